//! Random damage to archives: no panic, nothing passed on that the sink's contract forbids, and no more work than the
//! image is long.
//!
//! `SIS_FUZZ` sets the number of images (20,000 without it), `SIS_FUZZ_SEED` another sequence; `make fuzz` tries many more
//! with a new seed. Half of them are damaged in their headers on purpose, digit by digit, for damage at random
//! is mostly in contents, which nobody looks at; and those that are packed are packed after it, most of the time, or
//! nothing but the check of gzip's sum would be tried.

use super::tests::archive::{Archive, DIRECTORY, Entry, gzip};
use super::tests::tree::Tree;
use super::{Problem, unpack};
use crate::testing::Random;

const IMAGES: u64 = 20_000;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect(variable))
}

/// A small archive with one of everything.
fn seed(random: &mut Random) -> Vec<u8> {
    let mut archive = Archive::new();
    if random.below(2) == 0 {
        archive = archive.checked();
    }
    let names = ["a", "./b", "dir/c", "dir//d", "e", "a", "long-name-of-a-file"];
    let bad = ["/etc", "../x", "a/..", "", "g/", "."];
    for _ in 0..random.below(6) {
        let name = if random.below(64) == 0 { random.pick(&bad) } else { random.pick(&names) };
        let data: Vec<u8> = (0..random.below(40)).map(|_| random.byte()).collect();
        let mut entry = match random.below(6) {
            0 => Entry::new(random.pick(&["dir", "g/", ".", "./h"]), DIRECTORY | 0o755),
            1 => Entry::symlink(name, b"target"),
            2 => Entry { node: (5, 1), ..Entry::new(name, 0o020_600) },
            3 => Entry::new(name, 0o010_600),
            _ => Entry::file(name, &data),
        };
        if random.below(3) == 0 {
            (entry.nlink, entry.ino) = (2, 1 + random.below(3) as u32);
        }
        archive = archive.entry(entry);
    }
    if random.below(16) == 0 { archive.open_end() } else { archive.end() }
}

fn damage(random: &mut Random, image: &mut Vec<u8>) {
    const DIGITS: &[u8] = b"0123456789abcdefABCDEF07";
    for _ in 0..=random.below(4) {
        if image.is_empty() {
            return;
        }
        let at = random.index(image.len());
        match random.below(8) {
            0 => image[at] ^= 1 << random.below(8),
            1 => image[at] = random.pick(&[0, b'/', b'.', b'0', 0xFF, 0x1F, 0x8B]),
            2 => image.truncate(at),
            3 => drop(image.drain(at..(at + random.index(130)).min(image.len()))),
            4 => {
                let copy = image[at..(at + random.index(130)).min(image.len())].to_vec();
                image.splice(at..at, copy);
            }
            // A digit of a header, most often of one of the lengths.
            _ => {
                let starts: Vec<usize> =
                    image.windows(5).enumerate().filter(|(_, w)| w == b"07070").map(|(at, _)| at).collect();
                if !starts.is_empty() {
                    let field = if random.below(2) == 0 { random.pick(&[6, 11]) } else { random.index(13) };
                    let at = random.pick(&starts) + 6 + 8 * field + random.index(8);
                    if let Some(byte) = image.get_mut(at) {
                        *byte = random.pick(DIGITS);
                    }
                }
            }
        }
    }
}

#[test]
fn damaged_archives() {
    let seed_number = number("SIS_FUZZ_SEED", 7);
    let mut random = Random::new(seed_number);
    let rounds = number("SIS_FUZZ", IMAGES);
    let (mut good, mut packed, mut entries) = (0u64, 0u64, 0u64);
    let mut kinds = std::collections::BTreeMap::<String, u64>::new();
    for _ in 0..rounds {
        let mut image = vec![];
        for _ in 0..=random.below(3) {
            let mut part = seed(&mut random);
            if random.below(3) > 0 {
                damage(&mut random, &mut part);
            }
            if random.below(4) == 0 {
                packed += 1;
                part = gzip(&part);
                if random.below(4) == 0 {
                    damage(&mut random, &mut part);
                }
            }
            image.extend(part);
            image.resize(image.len() + random.index(9), 0);
        }
        let len = image.len() as u64;
        let image = image.into_boxed_slice();
        match unpack(&image, &mut Tree::with_room(100_000)) {
            Ok(summary) => {
                good += 1;
                entries += summary.entries;
                // What is unpacked is not longer than deflate can make it, and an entry has a header.
                assert!(summary.data_bytes <= len * 1032 && summary.entries <= len * 1032 / 110);
            }
            Err(error) => {
                assert!(error.place.image <= len);
                assert!(!format!("{error}").contains('\0'));
                let kind = format!("{:?}", error.problem);
                let end = kind.find(|c: char| !c.is_alphanumeric()).unwrap_or(kind.len());
                *kinds.entry(kind[..end].to_string()).or_default() += 1;
                assert_ne!(error.problem, Problem::NoMemory);
            }
        }
    }
    println!(
        "initramfs fuzz: {rounds} images, seed {seed_number}, {good} good, {packed} parts packed, {entries} entries, {kinds:?}"
    );
    // Every way to be wrong is met, and enough is right for the rest to be reached.
    assert!(good > rounds / 20 && packed > rounds / 20, "{good} {packed}");
    let met =
        ["Magic", "NotHex", "Truncated", "BadName", "NameTooLong", "Absolute", "DotDot", "Type", "Checksum"];
    for kind in met.iter().chain(&["Target", "GzipHeader", "GzipCrc", "Deflate", "NotDirectory", "Device"]) {
        assert!(rounds < 10_000 || kinds.contains_key(*kind), "{kind} was never met: {kinds:?}");
    }
}
