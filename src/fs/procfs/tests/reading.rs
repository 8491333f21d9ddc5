//! Every file whole, by single bytes, and at odd offsets, with nothing changing and with everything.

use super::super::process::{Region, RegionName};
use super::model::{Model, machine};
use crate::errno::Errno;
use crate::fs::flags::OpenFlags;
use crate::fs::io::Into;
use crate::fs::mode::Kind;
use crate::fs::tests::world::{Calls, Listing};
use crate::testing::Random;
use std::string::{String, ToString};
use std::thread;
use std::vec::Vec;

/// All regular files that can be read, below a directory; links are not followed.
fn files(model: &Model, path: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut left = std::vec![path.to_string()];
    while let Some(path) = left.pop() {
        let Ok(dir) = model.open_as(&path, OpenFlags::DIRECTORY, 0) else { continue };
        let mut entries = Listing::default();
        if dir.readdir(&mut entries).is_err() {
            continue;
        }
        for (name, _, kind) in entries.entries {
            let at = std::format!("{path}/{name}");
            match kind {
                Kind::Directory if name != "." && name != ".." => left.push(at),
                Kind::Regular if name != "drop_caches" => all.push(at),
                _ => (),
            }
        }
    }
    all
}

fn busy_machine() -> &'static Model {
    let model = machine();
    for pid in [1, 20, 4_194_304] {
        let thread = model.add(pid);
        let mut thread = thread.lock().unwrap();
        thread.regions = (1..200)
            .map(|n| Region {
                start: n * 0x2000,
                end: n * 0x2000 + 0x1000,
                read: true,
                write: n % 2 == 0,
                execute: n % 3 == 0,
                is_shared: n % 5 == 0,
                offset: n * 4096,
                name: match n % 4 {
                    0 => RegionName::Nothing,
                    1 => RegionName::Word("[heap]"),
                    _ => RegionName::File(model.world.root.clone()),
                },
            })
            .collect();
        thread
            .files
            .as_ref()
            .unwrap()
            .add(model.open_as("/", OpenFlags::empty(), 0).unwrap(), false, 9)
            .unwrap();
    }
    model
}

#[test]
fn every_file_is_the_same_in_any_pieces() {
    let model = busy_machine();
    let all = files(model, "/proc");
    assert!(all.len() > 130, "{}", all.len());
    let mut random = Random::new(3);
    let mut bytes = 0;
    for path in all {
        let whole = model.read_in(&path, 1 << 16).unwrap();
        for size in [1, 3, 61, 4095, 4096, 4097] {
            assert!(model.read_in(&path, size).unwrap() == whole, "{path} in pieces of {size}");
        }
        let file = model.open_as(&path, OpenFlags::empty(), 0).unwrap();
        for _ in 0..50 {
            let at = random.index(whole.len() + 20);
            let mut piece = std::vec![0; 1 + random.index(5000)];
            let len = file.read_at(&mut Into::new(&mut piece), at as u64).unwrap();
            let expected = whole.get(at..(at + piece.len()).min(whole.len())).unwrap_or(&[]);
            assert!(&piece[..len] == expected, "{path} at {at}");
        }
        assert_eq!(file.read_at(&mut Into::new(&mut [0; 9]), i64::MAX as u64), Ok(0), "{path}");
        bytes += whole.len();
    }
    assert!(bytes > 100_000, "{bytes}");
}

/// Areas that come and go while they are read by single bytes: each line is whole, and those that stay are all there.
#[test]
fn areas_that_come_and_go() {
    let model = busy_machine();
    let thread = model.threads.lock().unwrap()[&20].clone();
    let file = model.open_as("/proc/20/maps", OpenFlags::empty(), 0).unwrap();
    let mut random = Random::new(4);
    let mut text = String::new();
    let mut byte = [0; 1];
    while file.read(&mut Into::new(&mut byte)).unwrap() == 1 {
        text.push(byte[0].into());
        if text.len() % 7 == 0 {
            let mut thread = thread.lock().unwrap();
            let at = random.index(thread.regions.len());
            // Those at even pages stay.
            if thread.regions[at].start % 0x4000 == 0 {
                continue;
            }
            let gone = thread.regions.remove(at);
            if random.below(2) == 0 {
                let shorter = Region { end: gone.end - 0x800, ..gone };
                thread.regions.insert(at, shorter);
            }
        }
    }
    let starts: Vec<u64> = text
        .lines()
        .map(|line| {
            let words: Vec<_> = line.split_ascii_whitespace().collect();
            assert!(words.len() >= 5 && words[1].len() == 4 && words[3].contains(':'), "{line}");
            u64::from_str_radix(words[0].split_once('-').unwrap().0, 16).unwrap()
        })
        .collect();
    assert!(starts.is_sorted_by(|a, b| a < b));
    let stay: Vec<u64> = (1..200).map(|n| n * 0x2000).filter(|start| start % 0x4000 == 0).collect();
    assert!(stay.iter().all(|start| starts.contains(start)));
}

/// Threads that read everything while others begin and end processes: nothing is said of a process but by itself, and the
/// only errors are those of what has ended.
#[test]
fn everything_is_read_while_processes_come_and_go() {
    const KEPT: core::ops::Range<u32> = 1..6;
    let model = machine();
    KEPT.for_each(|pid| _ = model.add(pid));
    let stop = core::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        for worker in 0..2u32 {
            let stop = &stop;
            scope.spawn(move || {
                let mut random = Random::new(worker.into());
                while !stop.load(core::sync::atomic::Ordering::Relaxed) {
                    let pid = 100 + worker * 1000 + random.below(8) as u32;
                    if random.below(2) == 0 { model.end(pid) } else { _ = model.add(pid) }
                }
            });
        }
        let readers: Vec<_> = (0..3u64)
            .map(|reader| {
                scope.spawn(move || {
                    let mut random = Random::new(99 + reader);
                    let (mut read, mut gone) = (0, 0);
                    for _ in 0..4 {
                        for path in files(model, "/proc") {
                            let size = if random.below(2) == 0 { 1 } else { 1 + random.index(300) };
                            match model.read_in(&path, size) {
                                Ok(bytes) => {
                                    read += 1;
                                    check_one(&path, &bytes);
                                }
                                Err(Errno::Enoent | Errno::Esrch) => gone += 1,
                                Err(error) => panic!("{path}: {error:?}"),
                            }
                        }
                        let listed = model.list("/proc").unwrap();
                        assert!(KEPT.into_iter().all(|pid| listed.contains(&pid.to_string())), "{listed:?}");
                    }
                    (read, gone)
                })
            })
            .collect();
        let counts: Vec<(i32, i32)> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
        stop.store(true, core::sync::atomic::Ordering::Relaxed);
        assert!(counts.iter().all(|(read, _)| *read > 500), "{counts:?}");
    });
}

/// What a process's file says of whose it is.
fn check_one(path: &str, bytes: &[u8]) {
    let words: Vec<_> = path.split('/').collect();
    let Ok(pid) = words[2].parse::<u32>() else { return };
    let text = core::str::from_utf8(bytes).unwrap();
    match *words.last().unwrap() {
        "comm" => assert_eq!(text, std::format!("task{pid}\n")),
        "stat" => assert!(text.starts_with(&std::format!("{pid} (task{pid}) ")), "{path}: {text}"),
        "status" => assert!(text.contains(&std::format!("\nPid:\t{pid}\n")), "{path}: {text}"),
        _ => (),
    }
}
