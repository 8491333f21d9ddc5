//! Archives that are right, made here and by other programs.

pub mod archive;
mod refused;
mod tools;
pub mod tree;

use super::{Meta, Node, Summary, unpack};
use archive::{Archive, DIRECTORY, Entry, gzip};
use tree::{File, Tree};

const DEBIAN: &[u8] = include_bytes!("../../../../test/data/initramfs/debian-newc.cpio");
const DEBIAN_CRC: &[u8] = include_bytes!("../../../../test/data/initramfs/debian-crc.cpio");
const BSDCPIO: &[u8] = include_bytes!("../../../../test/data/initramfs/bsdcpio-newc.cpio");
const GZIPPED: &[u8] = include_bytes!("../../../../test/data/initramfs/debian-newc.cpio.gz");

/// What the four hold.
fn check_sample(image: &[u8]) {
    let (tree, summary) = unpacked(image);
    let meta = |mode, uid, gid| Meta { mode, uid, gid, mtime: 1_700_000_000 };
    let busy: Vec<u8> = (1..=300).flat_map(|n| format!("{n}\n").into_bytes()).collect();
    let long = [&b"etc/"[..], &[b'n'; 250]].concat();
    for (name, file) in [
        (&b"."[..], File::Directory(meta(0o755, 0, 0))),
        (b"bin", File::Directory(meta(0o755, 0, 0))),
        (b"bin/busy", File::Regular(meta(0o644, 0, 0), busy.clone())),
        (b"bin/cat", File::Regular(meta(0o644, 0, 0), busy.clone())),
        (b"bin/ls", File::Regular(meta(0o644, 0, 0), busy)),
        (b"bin/sh", File::Symlink(b"busy".to_vec())),
        (b"console", File::Node(meta(0o644, 0, 0), Node::CharDevice(5, 1))),
        (b"disk", File::Node(meta(0o644, 0, 0), Node::BlockDevice(253, 0xF_FFFF))),
        (b"etc", File::Directory(meta(0o755, 0, 0))),
        (b"etc/deep", File::Directory(meta(0o1777, 0, 0))),
        (b"etc/deep/er", File::Directory(meta(0o755, 0, 0))),
        (b"etc/deep/er/link", File::Symlink(b"../../hello".to_vec())),
        (b"etc/empty", File::Regular(meta(0o644, 0, 0), vec![])),
        (b"etc/hello", File::Regular(meta(0o644, 1000, 100), b"hello\n".to_vec())),
        (&long, File::Regular(meta(0o644, 0, 0), b"long\n".to_vec())),
        (b"init", File::Regular(meta(0o755, 0, 0), b"#!/bin/sh\n".to_vec())),
        (b"pipe", File::Node(meta(0o644, 0, 0), Node::Fifo)),
    ] {
        assert_eq!(tree.get(name), Some(&file), "{}", name.escape_ascii());
    }
    assert_eq!((tree.len(), summary.entries, summary.archives), (17, 17, 1));
    assert_eq!(tree.names_of(b"bin/ls"), 3, "one file with three names");
}

fn unpacked(image: &[u8]) -> (Tree, Summary) {
    let mut tree = Tree::new();
    let summary = unpack(image, &mut tree).unwrap_or_else(|error| panic!("{error}"));
    (tree, summary)
}

#[test]
fn archives_of_debians_cpio_and_of_bsdcpio() {
    for image in [DEBIAN, DEBIAN_CRC, BSDCPIO, GZIPPED] {
        check_sample(image);
    }
}

#[test]
fn nothing_is_no_error() {
    for image in [&b""[..], &[0; 1], &[0; 4096]] {
        assert_eq!(unpacked(image).1, Summary::default());
    }
    assert_eq!(unpacked(&Archive::new().end()).1.archives, 1);
}

#[test]
fn archives_follow_one_another_plain_and_packed() {
    let archive = |name: &str, text: &[u8]| Archive::new().entry(Entry::file(name, text)).end();
    let (a, b, c) = (archive("a", b"1"), archive("b", b"22"), archive("a", b"333"));
    for zeros in [0, 1, 3, 4, 511, 512, 5000] {
        let zeros = vec![0; zeros];
        for image in [
            [&a[..], &zeros, &b, &zeros, &c, &zeros].concat(),
            [&zeros[..], &gzip(&a), &zeros, &b, &zeros, &gzip(&c)].concat(),
            [&a[..], &zeros, &gzip(&b), &gzip(&c)].concat(),
            gzip(&[&a[..], &zeros, &b, &zeros, &c, &zeros].concat()),
            // Members are cut where it suits whoever cuts them: in a header, a name, in contents.
            [&gzip(&a[..50]), &zeros[..], &gzip(&a[50..]), &gzip(b""), &gzip(&b), &c].concat(),
            [&gzip(&[&a[..], &b[..115]].concat())[..], &gzip(&[&b[115..], &c].concat())].concat(),
        ] {
            let (tree, summary) = unpacked(&image);
            assert_eq!(tree.contents(b"a"), b"333", "the later one counts");
            assert_eq!(tree.contents(b"b"), b"22");
            assert_eq!((summary.archives, summary.entries, summary.data_bytes), (3, 3, 6));
        }
    }
}

#[test]
fn every_length_of_name_contents_and_target() {
    let mut archive = Archive::new();
    let name = |len: usize| (0..len).map(|at| if at % 200 == 100 { '/' } else { 'x' }).collect::<String>();
    for len in (1..100).chain([255, 256, 257, 1000, 4094, 4095]) {
        archive = archive.entry(Entry::file(&format!("f{}", &name(len)[1..]), &vec![b'c'; len]));
        let target = &vec![b't'; len];
        archive = archive.entry(Entry::symlink(&format!("l{}", &name(len)[1..]), target));
    }
    for image in [archive.clone().end(), gzip(&archive.clone().end()), archive.checked().end()] {
        let (tree, _) = unpacked(&image);
        for len in (1..100).chain([255, 256, 257, 1000, 4094, 4095]) {
            assert_eq!(tree.contents(format!("f{}", &name(len)[1..]).as_bytes()).len(), len);
            let link = tree.get(format!("l{}", &name(len)[1..]).as_bytes());
            assert_eq!(link, Some(&File::Symlink(vec![b't'; len])));
        }
    }
}

/// The format is a stream's: whoever cuts it where, the result is the same.
#[test]
fn pieces_of_any_size() {
    let wanted = unpacked(DEBIAN).0;
    for size in [1, 2, 3, 7, 109, 110, 111, 4096] {
        let (mut parser, mut tree) = (super::cpio::Parser::new(), Tree::new());
        for piece in DEBIAN.chunks(size) {
            parser.unpacked(piece, 0, &mut tree).unwrap();
        }
        assert_eq!(parser.finish::<tree::Full>().map(|sum| sum.archives), Ok(1));
        assert_eq!(tree, wanted);
    }
}

#[test]
fn links_bring_their_contents_first_last_or_both() {
    let link = |name: &str, text: &[u8]| Entry { ino: 7, nlink: 3, ..Entry::file(name, text) };
    for texts in [["", "", "all"], ["all", "", ""], ["", "all", ""], ["x", "yy", "all"]] {
        let mut archive = Archive::new();
        for (name, text) in ["a", "b", "c"].iter().zip(texts) {
            archive = archive.entry(link(name, text.as_bytes()));
        }
        let image = archive.end();
        let (tree, _) = unpacked(&image);
        for name in [b"a", b"b", b"c"] {
            assert_eq!((tree.contents(name), tree.names_of(name)), (&b"all"[..], 3));
        }
        // The next archive counts its inodes anew; so does another device in the same one.
        let next = Archive::new().entry(link("d", b"other")).end();
        let (tree, _) = unpacked(&[&image[..], &next].concat());
        assert_eq!((tree.contents(b"d"), tree.names_of(b"d"), tree.names_of(b"a")), (&b"other"[..], 1, 3));
    }
    let elsewhere = Entry { device: (8, 2), ..link("b", b"2") };
    let fifo = Entry { mode: 0o010_644, ..link("c", b"") };
    let archive = Archive::new().entry(link("a", b"1")).entry(elsewhere).entry(fifo.clone());
    let image = archive.entry(Entry { name: b"d\0".to_vec(), ..fifo }).end();
    let (tree, _) = unpacked(&image);
    assert_eq!((tree.names_of(b"a"), tree.names_of(b"b"), tree.names_of(b"c")), (1, 1, 2));
    // A name that is given twice is one name.
    let (tree, _) = unpacked(&Archive::new().entry(link("a", b"")).entry(link("./a", b"once")).end());
    assert_eq!((tree.contents(b"a"), tree.names_of(b"a")), (&b"once"[..], 1));
}

#[test]
fn a_file_of_64_mib_passes_in_pieces() {
    let mut text = vec![0u8; 64 << 20];
    text.chunks_mut(1 << 12).enumerate().for_each(|(at, piece)| piece[0] = at as u8);
    let image = Archive::new().checked().entry(Entry::file("big", &text)).end();
    let mut tree = Tree::new();
    unpack(&image, &mut tree).unwrap();
    assert!(tree.contents(b"big") == text);
    drop(tree);
    let packed = gzip(&image);
    assert!(packed.len() < 1 << 20);
    let mut tree = Tree::new();
    unpack(&packed, &mut tree).unwrap();
    assert!(tree.contents(b"big") == text);
    assert!(tree.largest_piece() <= 32 << 10, "no more than the window at a time");
}

#[test]
fn twenty_thousand_files_a_tenth_of_them_links() {
    let mut archive = Archive::new();
    for dir in 0..100 {
        archive = archive.entry(Entry::new(&format!("d{dir}"), DIRECTORY | 0o755));
        for file in 0..200u32 {
            let mut entry = Entry::file(&format!("d{dir}/f{file}"), format!("{dir} {file}").as_bytes());
            if file % 10 == 9 {
                // All the links of a directory are one file.
                (entry.ino, entry.nlink) = (1_000_000 + dir, 20);
            }
            archive = archive.entry(entry);
        }
    }
    let image = archive.end();
    for image in [gzip(&image), image] {
        let (tree, summary) = unpacked(&image);
        assert_eq!((tree.len(), summary.entries), (20_100, 20_100));
        for dir in 0..100 {
            assert_eq!(tree.contents(format!("d{dir}/f7").as_bytes()), format!("{dir} 7").as_bytes());
            assert_eq!(tree.contents(format!("d{dir}/f9").as_bytes()), format!("{dir} 199").as_bytes());
            assert_eq!(tree.names_of(format!("d{dir}/f9").as_bytes()), 20);
        }
    }
}

#[test]
fn gzip_headers_with_everything_in_them() {
    let image = Archive::new().entry(Entry::file("a", b"1")).end();
    let plain = gzip(&image);
    for flags in 0..32u8 {
        let mut member = plain[..10].to_vec();
        member[3] = flags;
        if flags & 4 != 0 {
            member.extend(b"\x05\x00extra");
        }
        if flags & 8 != 0 {
            member.extend(b"name.cpio\0");
        }
        if flags & 16 != 0 {
            member.extend(b"a comment\0");
        }
        if flags & 2 != 0 {
            let mut crc = super::crc32::Crc32::new();
            crc.update(&member);
            member.extend((crc.value() as u16).to_le_bytes());
        }
        member.extend(&plain[10..]);
        assert_eq!(unpacked(&member).0.contents(b"a"), b"1", "flags {flags}");
    }
}
