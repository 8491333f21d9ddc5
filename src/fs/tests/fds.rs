//! The descriptor table against a map from numbers to files, and under threads.

use super::world::{Calls, World};
use crate::errno::Errno;
use crate::fs::fd::FdTable;
use crate::fs::file::File;
use crate::fs::flags::OpenFlags;
use crate::fs::refs::Ref;
use crate::testing::Random;
use std::collections::BTreeMap;
use std::format;
use std::vec::Vec;

/// The table as the book has it: a file by its inode, and whether `exec` closes it.
#[derive(Clone, Default)]
struct Model(BTreeMap<i32, (u64, bool)>);

impl Model {
    fn lowest(&self, from: i32) -> i32 {
        (from..).find(|fd| !self.0.contains_key(fd)).unwrap()
    }
}

fn files(world: &World, count: usize) -> Vec<Ref<File>> {
    (0..count)
        .map(|n| world.open_as(&format!("f{n}"), OpenFlags::CREAT | OpenFlags::RDWR, 0o600).unwrap())
        .collect()
}

#[test]
fn numbers_are_the_models() {
    let world = World::new();
    let files = files(&world, 8);
    let number = |file: &Ref<File>| file.inode.number;
    let mut random = Random::new(1);
    let (mut table, mut model) = (FdTable::new().unwrap(), Model::default());
    for round in 0..40_000 {
        let limit = if round % 1000 < 500 { 5000 } else { 70 };
        let fd = random.below(90) as i32 - 2 + if random.below(20) == 0 { 4000 } else { 0 };
        let close = random.below(2) == 0;
        let file = random.pick(&[0, 1, 2, 3, 4, 5, 6, 7]);
        let expected;
        let found: Result<i32, Errno> = match random.below(9) {
            0..3 => {
                let lowest = model.lowest(0);
                expected = if lowest < limit { Ok(lowest) } else { Err(Errno::Emfile) };
                table.add(files[file].clone(), close, limit as u64)
            }
            3 => {
                expected = model.0.get(&fd).map(|_| fd).ok_or(Errno::Ebadf);
                table.close(fd).map(|_| fd)
            }
            4 => {
                let from = random.below(100) as i32;
                let lowest = model.lowest(from);
                expected = match model.0.get(&fd) {
                    None => Err(Errno::Ebadf),
                    Some(_) if from > 0 && from >= limit => Err(Errno::Einval),
                    Some(_) if lowest >= limit => Err(Errno::Emfile),
                    Some(_) => Ok(lowest),
                };
                let old = model.0.get(&fd).copied();
                let found = table.duplicate(fd, from, close, limit as u64);
                if let (Ok(new), Some((inode, _))) = (found, old) {
                    model.0.insert(new, (inode, close));
                }
                assert_eq!(found, expected, "round {round}");
                continue;
            }
            5 => {
                let to = random.below(100) as i32 - 1;
                expected = match model.0.get(&fd) {
                    _ if to < 0 => Err(Errno::Ebadf),
                    None => Err(Errno::Ebadf),
                    Some(_) if to >= limit => Err(Errno::Ebadf),
                    Some(_) => Ok(to),
                };
                let found = table.duplicate_to(fd, to, close, limit as u64).map(|_| to);
                if let (Ok(to), Some(&(inode, _))) = (found, model.0.get(&fd)) {
                    model.0.insert(to, (inode, close));
                }
                assert_eq!(found, expected, "round {round}");
                continue;
            }
            6 => {
                expected = model.0.get(&fd).map(|_| 0).ok_or(Errno::Ebadf);
                if let Some(entry) = model.0.get_mut(&fd) {
                    entry.1 = close;
                }
                table.set_close_on_exec(fd, close).map(|()| 0)
            }
            7 if random.below(100) == 0 => {
                let copy = table.copy().unwrap();
                if random.below(2) == 0 {
                    table.close_on_exec();
                    model.0.retain(|_, (_, close)| !*close);
                }
                if random.below(3) == 0 {
                    table.close_range(10, 50);
                    model.0.retain(|&fd, _| !(10..=50).contains(&fd));
                }
                drop(copy);
                table = table.copy().unwrap();
                continue;
            }
            _ => {
                expected = model.0.get(&fd).map(|entry| entry.0 as i32).ok_or(Errno::Ebadf);
                let found = table.get(fd).map(|file| number(&file) as i32);
                assert_eq!(table.is_close_on_exec(fd).ok(), model.0.get(&fd).map(|entry| entry.1));
                let next = (fd >= 0).then(|| model.0.range(fd..).next().map(|(&fd, _)| fd)).flatten();
                assert_eq!(table.next_open(fd), next);
                found
            }
        };
        assert_eq!(found, expected, "round {round}");
        match found {
            Ok(fd) if expected == Ok(fd) && table.get(fd).is_ok() && !model.0.contains_key(&fd) => {
                model.0.insert(fd, (number(&files[file]), close));
            }
            Ok(fd) if table.get(fd).is_err() => {
                model.0.remove(&fd);
            }
            _ => (),
        }
    }
    drop(table);
    crate::fs::tidy();
    for file in &files {
        assert_eq!(file.count(), 1, "nothing is left open");
    }
}

#[test]
fn a_number_that_is_reserved_is_not_open_yet() {
    let world = World::new();
    let table = FdTable::new().unwrap();
    let file = files(&world, 1).remove(0);
    let reserved = table.reserve(0, true, 10).unwrap();
    assert_eq!(reserved.number(), 0);
    assert_eq!(table.get(0).err(), Some(Errno::Ebadf));
    assert_eq!(table.close(0).err(), Some(Errno::Ebadf));
    assert_eq!(table.add(file.clone(), false, 10), Ok(1));
    assert_eq!(table.duplicate_to(1, 0, false, 10).err(), Some(Errno::Ebusy));
    drop(reserved);
    assert_eq!(table.add(file.clone(), false, 10), Ok(0));
    assert_eq!(table.add(file.clone(), false, 0), Err(Errno::Emfile));
    let path = world.open_as("f0", OpenFlags::PATH, 0).unwrap();
    let fd = table.add(path, false, 10).unwrap();
    assert!(table.get(fd).is_ok());
    assert_eq!(table.get_file(fd).err(), Some(Errno::Ebadf));
}

/// Some look up, some open and close: a file that is found is whole, and in the end nothing is left.
#[test]
fn lookups_while_others_close() {
    let world = World::new();
    let files = files(&world, 4);
    let table = FdTable::new().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (table, files) = (&table, &files);
            scope.spawn(move || {
                let mut random = Random::new(thread);
                for _ in 0..10_000 {
                    match random.below(4) {
                        0 => {
                            let fd = table.add(files[thread as usize].clone(), false, 300).unwrap();
                            let found = table.get(fd);
                            drop(table.close(fd));
                            drop(found);
                        }
                        1 => {
                            let _ = table.add(files[random.index(4)].clone(), false, 200);
                        }
                        2 => drop(table.close(random.below(200) as i32)),
                        _ => {
                            if let Ok(file) = table.get(random.below(210) as i32) {
                                assert!(files.iter().any(|other| other.is(&file)));
                            }
                        }
                    }
                }
            });
        }
    });
    drop(table);
    for file in &files {
        assert_eq!(file.count(), 1);
    }
}
