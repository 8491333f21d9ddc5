//! Many threads in one tree: nothing is lost while names change, and in the end everything adds up.

use super::world::{Calls, Listing, World, settle};
use crate::errno::Errno;
use crate::fs::context::FsContext;
use crate::fs::flags::{FallocateFlags, OpenFlags, RenameFlags, Whence};
use crate::fs::io::{From, Into};
use crate::fs::mode::Kind;
use crate::fs::namei::Caller;
use crate::testing::Random;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::collections::BTreeMap;
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

/// Two threads have directories change names all the time, by exchanging them. Each name leads somewhere at every moment,
/// so the walks of the others always come to a file, and to one of the four.
#[test]
fn names_that_are_exchanged_are_never_missing() {
    let world = World::with_cache(32);
    let mut files = Vec::new();
    for n in 0..4 {
        world.make_dir(&format!("d{n}")).unwrap();
        world.put(&format!("d{n}/file"), "x").unwrap();
        files.push(world.stat_of(&format!("d{n}/file")).unwrap().inode);
    }
    let (done, walks) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for seed in 0..2 {
            let (world, done, walks) = (&world, &done, &walks);
            scope.spawn(move || {
                let mut random = Random::new(seed);
                while walks.load(Ordering::Relaxed) < 60_000 {
                    let (one, two) = (random.below(4), random.below(4));
                    world.rename_as(&format!("d{one}"), &format!("d{two}"), RenameFlags::EXCHANGE).unwrap();
                    if random.below(10) == 0 {
                        world.cache.reclaim(16);
                    }
                }
                done.store(true, Ordering::Relaxed);
            });
        }
        for seed in 0..2 {
            let (world, files, done, walks) = (&world, &files, &done, &walks);
            scope.spawn(move || {
                let mut random = Random::new(100 + seed);
                while !done.load(Ordering::Relaxed) {
                    let path = format!("/d{0}/../d{0}/./file", random.below(4));
                    let found = world.stat_of(&path).unwrap_or_else(|error| panic!("{path}: {error:?}"));
                    assert!(files.contains(&found.inode));
                    walks.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
}

/// One moves a file between two names, the other follows: who has seen it under the new one does not see it under the old
/// one. The file carries the number of the move.
#[test]
fn a_file_is_not_seen_under_its_old_name() {
    let world = World::with_cache(32);
    world.put("a", "x").unwrap();
    let moves = AtomicU64::new(0);
    const MOVES: u64 = 20_000;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..MOVES {
                let (from, to) = if n % 2 == 0 { ("a", "b") } else { ("b", "a") };
                world.rename_to(from, to).unwrap();
                moves.store(n + 1, Ordering::SeqCst);
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let before = moves.load(Ordering::SeqCst);
                    let (a, b) = (world.stat_of("a").is_ok(), world.stat_of("b").is_ok());
                    let after = moves.load(Ordering::SeqCst);
                    // At most one more may be under way than is counted.
                    if after == before && !a && !b {
                        // It was not at a, then not at b any more: it was moved from there.
                        assert!(before % 2 == 1, "seen under neither name");
                    }
                    if after == before && a && b {
                        // a was there, then b: it was moved once in between, which is under way or over.
                        assert!(before % 2 == 0, "seen under its old name");
                    }
                    if after == MOVES {
                        return;
                    }
                }
            });
        }
    });
}

fn name(random: &mut Random) -> String {
    let mut path = String::new();
    for _ in 0..1 + random.below(3) {
        path += &format!("/{}", random.below(6));
    }
    path
}

/// What some of the calls may say when others are about.
fn expect<T>(outcome: Result<T, Errno>) -> Option<T> {
    use Errno::{Ebusy, Eexist, Einval, Eisdir, Eloop, Enoent, Enospc, Enotdir, Enotempty, Eperm};
    match outcome {
        Ok(value) => Some(value),
        Err(Ebusy | Eexist | Einval | Eisdir | Eloop | Enoent | Enospc | Enotdir | Enotempty | Eperm) => None,
        Err(error) => panic!("{error:?}"),
    }
}

/// Everything below a directory: what there is of each inode, by its number.
fn survey(world: &World, path: &str, seen: &mut BTreeMap<u64, (u32, Kind)>) -> u32 {
    let mut listing = Listing::default();
    world.open_as(path, OpenFlags::DIRECTORY, 0).unwrap().readdir(&mut listing).unwrap();
    let mut dirs = 0;
    for (name, number, kind) in listing.entries {
        if name == "." || name == ".." {
            continue;
        }
        let inner = format!("{}/{name}", path.trim_end_matches('/'));
        let stat = world.lstat(&inner).unwrap();
        assert_eq!(stat.inode, number);
        seen.entry(number).or_insert((0, kind)).0 += 1;
        if kind == Kind::Directory {
            dirs += 1;
            let subdirs = survey(world, &inner, seen);
            assert_eq!(stat.links, 2 + subdirs, "{inner}");
        }
    }
    dirs
}

fn clear(world: &World, path: &str) {
    for name in world.list(path).unwrap() {
        let inner = format!("{path}/{name}");
        if world.lstat(&inner).unwrap().mode & 0o170000 == 0o040000 {
            clear(world, &inner);
            world.remove_dir(&inner).unwrap();
        } else {
            world.remove(&inner).unwrap();
        }
    }
}

#[test]
fn in_the_end_everything_adds_up() {
    let world = World::with_cache(48);
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let world = &world;
            scope.spawn(move || {
                let context = FsContext::new(&world.root).unwrap();
                let caller = Caller { context: &context, ..world.caller() };
                let mut random = Random::new(seed);
                let mut open = Vec::new();
                for _ in 0..15_000 {
                    let (one, two) = (name(&mut random), name(&mut random));
                    match random.below(14) {
                        0 | 1 => {
                            let _ = expect(caller.make_dir(&one));
                        }
                        2 | 3 => {
                            let _ = expect(caller.put(&one, &"text".repeat(random.index(3000))));
                        }
                        4 => {
                            let _ = expect(caller.link_to(&two, &one));
                        }
                        5 => {
                            let _ = expect(caller.hard_link(&two, &one));
                        }
                        6 => {
                            let _ = expect(caller.remove(&one));
                        }
                        7 => {
                            let _ = expect(caller.remove_dir(&one));
                        }
                        8 | 9 => {
                            let flags = random.pick(&[
                                RenameFlags::empty(),
                                RenameFlags::EXCHANGE,
                                RenameFlags::NOREPLACE,
                            ]);
                            let _ = expect(caller.rename_as(&one, &two, flags));
                        }
                        10 => {
                            open.extend(expect(caller.open_as(&one, OpenFlags::RDWR, 0)));
                            if open.len() > 5 {
                                open.remove(random.index(5));
                            }
                        }
                        11 => {
                            let _ = expect(caller.enter(&one));
                        }
                        12 => {
                            if let Ok(here) = caller.here() {
                                assert!(here.starts_with('/'), "{here}");
                            }
                            let _ = expect(caller.stat_of("../.."));
                        }
                        _ => {
                            if let Some(stat) = expect(caller.lstat(&one)) {
                                assert!(stat.links > 0 || stat.inode > 0);
                            }
                        }
                    }
                }
            });
        }
    });
    settle();
    let mut seen = BTreeMap::new();
    let subdirs = survey(&world, "/", &mut seen);
    assert_eq!(world.stat_of("/").unwrap().links, 2 + subdirs);
    assert_eq!(world.fs.inodes.used(), 1 + seen.len() as u64);
    assert!(seen.iter().all(|(_, (names, kind))| *kind != Kind::Directory || *names == 1));
    clear(&world, "/");
    settle();
    assert_eq!((world.fs.inodes.used(), world.fs.pages.used()), (1, 0), "nothing is left");
    world.cache.reclaim(1000);
    assert_eq!(world.cache.counts().entries, 0);
}

/// A file's bytes against a list of bytes: writes, holes, truncation, `fallocate`.
#[test]
fn bytes_are_the_models() {
    const MOST: usize = 40_000;
    let world = World::new();
    let file = world.open_as("f", OpenFlags::CREAT | OpenFlags::RDWR, 0o600).unwrap();
    let caller = world.caller();
    let mut random = Random::new(3);
    let mut model: Vec<u8> = Vec::new();
    for round in 0..20_000 {
        let (at, len) = (random.index(MOST), 1 + random.index(6000));
        match random.below(8) {
            0..3 => {
                let bytes: Vec<u8> = (0..len).map(|_| 1 + random.byte() % 255).collect();
                assert_eq!(file.write_at(&mut From(&bytes), at as u64), Ok(len));
                if model.len() < at + len {
                    model.resize(at + len, 0);
                }
                model[at..at + len].copy_from_slice(&bytes);
            }
            3 => {
                caller.truncate_file(&file, at as i64, u64::MAX).unwrap();
                model.resize(at, 0);
            }
            4 => {
                let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                file.fallocate(flags, at as i64, len as i64, u64::MAX).unwrap();
                let end = (at + len).min(model.len());
                model[at.min(end)..end].fill(0);
            }
            5 => {
                let keeps = random.below(2) == 0;
                let flags = if keeps { FallocateFlags::KEEP_SIZE } else { FallocateFlags::empty() };
                file.fallocate(flags, at as i64, len as i64, u64::MAX).unwrap();
                if !keeps && model.len() < at + len {
                    model.resize(at + len, 0);
                }
            }
            6 => {
                if let Ok(found) = file.seek(at as i64, Whence::Data) {
                    // Holes are zeroes, and data begins at a page's border or where it was asked for.
                    assert!(model[at..found as usize].iter().all(|&byte| byte == 0), "round {round}");
                    let hole = file.seek(found as i64, Whence::Hole).unwrap();
                    assert!(hole > found && hole <= model.len() as u64, "round {round}");
                } else if at < model.len() {
                    assert!(model[at..].iter().all(|&byte| byte == 0), "round {round}");
                }
            }
            _ => {
                let mut found = vec![0xEE; len];
                let mut into = Into::new(&mut found);
                let done = file.read_at(&mut into, at as u64).unwrap();
                let expected = &model[at.min(model.len())..(at + len).min(model.len())];
                assert_eq!(done, expected.len(), "round {round}");
                assert!(found[..done] == *expected, "round {round}");
            }
        }
        assert_eq!(file.inode.ops.size(), model.len() as u64);
    }
}
