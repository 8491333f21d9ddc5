//! Names: which there are, and what becomes of them when a process ends.

use super::model::{Model, machine};
use crate::errno::Errno;
use crate::fs::calls::OpenHow;
use crate::fs::cred::Credentials;
use crate::fs::flags::OpenFlags;
use crate::fs::io::{From, Into};
use crate::fs::mode::Kind;
use crate::fs::namei::{At, Caller};
use crate::fs::refs::Ref;
use crate::fs::tests::world::{Calls, Listing};
use std::collections::BTreeSet;
use std::string::{String, ToString};
use std::vec::Vec;

/// Numbers near both ends.
const PIDS: [u32; 6] = [1, 2, 300, 4_194_303, 4_194_304, u32::MAX - 1];

fn numbers(model: &Model, path: &str, limit: usize) -> Vec<u32> {
    let dir = model.open_as(path, OpenFlags::DIRECTORY, 0).unwrap();
    let mut all = Vec::new();
    loop {
        let mut some = Listing { limit, ..Listing::default() };
        dir.readdir(&mut some).unwrap();
        if some.entries.is_empty() {
            return all.iter().filter_map(|name: &String| name.parse().ok()).collect();
        }
        all.extend(some.entries.into_iter().map(|entry| entry.0));
    }
}

#[test]
fn processes_are_listed_in_order_whatever_the_pieces() {
    let model = machine();
    PIDS.iter().for_each(|&pid| _ = model.add(pid));
    model.add_thread(300, 301);
    for limit in [0, 1, 2, 7] {
        assert_eq!(numbers(model, "/proc", limit), PIDS, "{limit}");
    }
    assert_eq!(numbers(model, "/proc/300/task", 1), [300, 301]);
    // A thread's directory is there, and not listed.
    assert!(model.whole("/proc/301/stat").unwrap().starts_with("301 (task301) S 1 300 "));
    assert!(model.whole("/proc/300/task/301/stat").unwrap().starts_with("301 (task301) "));
    for bad in [
        "/proc/0",
        "/proc/0300",
        "/proc/+1",
        "/proc/3",
        "/proc/4294967296",
        "/proc/300/task/1",
        "/proc/1/task/2",
    ] {
        assert_eq!(model.stat_of(bad).err(), Some(Errno::Enoent), "{bad}");
    }
    assert_eq!(
        model.stat_of("/proc/300/task/301/task").err(),
        Some(Errno::Enoent),
        "threads have no threads"
    );
    assert_eq!(model.read_link("/proc/self").unwrap(), "1");
    model.current.store(301, core::sync::atomic::Ordering::Relaxed);
    assert_eq!(model.read_link("/proc/self").unwrap(), "300");
    assert_eq!(model.read_link("/proc/thread-self").unwrap(), "300/task/301");
    assert_eq!(model.whole("/proc/thread-self/comm").unwrap(), "task301\n");
    assert_eq!(model.whole("/proc/self/comm").unwrap(), "task300\n");
    model.end(301);
    assert_eq!(model.read_link("/proc/self").err(), Some(Errno::Enoent), "nobody asks");
}

/// What a listing says is what is there, by kind and number, and no two have one number.
#[test]
fn listings_agree_with_what_is_found() {
    let model = machine();
    let file = model.open_as("/proc/version", OpenFlags::empty(), 0).unwrap();
    for pid in [1, 2] {
        let thread = model.add(pid);
        let files = thread.lock().unwrap().files.clone().unwrap();
        (0..3).for_each(|_| _ = files.add(file.clone(), false, 1000).unwrap());
    }
    model.add_thread(2, 3);
    let mut seen = BTreeSet::new();
    let mut left = std::vec!["/proc".to_string()];
    while let Some(path) = left.pop() {
        let dir = model.open_as(&path, OpenFlags::DIRECTORY, 0).unwrap();
        let mut entries = Listing::default();
        dir.readdir(&mut entries).unwrap();
        for (name, number, kind) in entries.entries {
            let at = std::format!("{path}/{name}");
            let stat = model.lstat(&at).unwrap();
            if name == ".." && path == "/proc" {
                continue;
            }
            assert_eq!((stat.inode, Kind::from_mode(stat.mode)), (number, Some(kind)), "{at}");
            if name == "." || name == ".." {
                continue;
            }
            assert!(seen.insert(number), "{at}: {number:#x} is another's");
            if kind == Kind::Directory {
                left.push(at);
            }
        }
    }
    assert!(seen.len() > 150, "{}", seen.len());
}

#[test]
fn what_has_ended_is_gone_and_its_number_is_another_process() {
    let model = machine();
    let first = model.add(7);
    model.add(8);
    let dir = model.open_as("/proc/7", OpenFlags::DIRECTORY, 0).unwrap();
    let stat = model.open_as("/proc/7/stat", OpenFlags::empty(), 0).unwrap();
    let (task, fds) = (
        model.open_as("/proc/7/task", OpenFlags::DIRECTORY, 0).unwrap(),
        model.open_as("/proc/7/fd", OpenFlags::DIRECTORY, 0).unwrap(),
    );
    let status = model.open_as("/proc/7/status", OpenFlags::empty(), 0).unwrap();
    let mut byte = [0; 1];
    assert_eq!(status.read(&mut Into::new(&mut byte)), Ok(1));
    let cmdline = model.open_as("/proc/7/cmdline", OpenFlags::empty(), 0).unwrap();
    model.end(7);
    assert_eq!(stat.read(&mut Into::new(&mut byte)), Err(Errno::Esrch));
    assert_eq!(cmdline.read(&mut Into::new(&mut byte)), Err(Errno::Esrch));
    // A record that was begun is whole.
    let mut rest = std::vec![0; 4096];
    let len = status.read(&mut Into::new(&mut rest)).unwrap();
    assert!(String::from_utf8_lossy(&rest[..len]).starts_with("ame:\ttask7\n"));
    for dir in [&dir, &task, &fds] {
        assert_eq!(dir.readdir(&mut Listing::default()), Err(Errno::Enoent));
    }
    let how = OpenHow::new(0, 0).unwrap();
    let caller = model.caller();
    assert_eq!(caller.open(At::Path(&dir.path), b"stat", how).err(), Some(Errno::Enoent));
    assert_eq!(model.stat_of("/proc/7").err(), Some(Errno::Enoent));
    // Somebody else has the number: a new directory; what was opened stays the old one's.
    let second = model.add(7);
    second.lock().unwrap().name = "other".into();
    assert_eq!(model.whole("/proc/7/comm").unwrap(), "other\n");
    assert_eq!(caller.open(At::Path(&dir.path), b"stat", how).err(), Some(Errno::Enoent));
    assert_eq!(stat.read(&mut Into::new(&mut byte)), Err(Errno::Esrch));
    drop(first);
}

/// A process that ends between the listing and the opening of each file.
#[test]
fn ends_between_listing_and_opening() {
    let model = machine();
    (1..100).for_each(|pid| _ = model.add(pid));
    let found = numbers(model, "/proc", 10);
    (1..100).filter(|pid| pid % 3 == 0).for_each(|pid| model.end(pid));
    for pid in found {
        let result = model.whole(&std::format!("/proc/{pid}/stat"));
        match pid % 3 {
            0 => assert_eq!(result.err(), Some(Errno::Enoent)),
            _ => assert!(result.unwrap().starts_with(&std::format!("{pid} (task{pid}) "))),
        }
    }
    // One that comes and goes while a listing stands on it.
    let dir = model.open_as("/proc", OpenFlags::DIRECTORY, 0).unwrap();
    let mut seen = Vec::new();
    for round in 0.. {
        let mut one = Listing { limit: 1, ..Listing::default() };
        dir.readdir(&mut one).unwrap();
        let Some((name, ..)) = one.entries.pop() else { break };
        let Ok(pid) = name.parse::<u32>() else { continue };
        seen.push(pid);
        if pid % 2 == 0 && pid < 100 {
            model.end(pid);
            model.end(pid + 2);
            model.add(pid + 1000 + round);
        }
    }
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    let always: Vec<_> = (1..100).filter(|pid| pid % 3 != 0 && pid % 2 != 0).collect();
    assert!(always.iter().all(|pid| seen.contains(pid)), "{seen:?}");
}

#[test]
fn belongs_to_its_user_and_what_is_private_is_kept() {
    let model = machine();
    let thread = model.add(5);
    thread.lock().unwrap().owner = Some((1000, 100));
    let stat = model.stat_of("/proc/5/environ").unwrap();
    assert_eq!((stat.uid, stat.gid, stat.mode & 0o777), (1000, 100, 0o400));
    let (own, other) =
        (Ref::new(Credentials::of(1000, 100)).unwrap(), Ref::new(Credentials::of(1001, 100)).unwrap());
    let as_user = |user| Caller { credentials: user, ..model.caller() };
    let open = |user, path: &str, flags: OpenFlags| {
        as_user(user).open(At::Cwd, path.as_bytes(), OpenHow::new(flags.bits(), 0).unwrap()).err()
    };
    for path in ["/proc/5/environ", "/proc/5/fd", "/proc/5/io", "/proc/5/auxv"] {
        assert_eq!(open(&own, path, OpenFlags::empty()), None, "{path}");
        assert_eq!(open(&other, path, OpenFlags::empty()), Some(Errno::Eacces), "{path}");
    }
    assert_eq!(open(&other, "/proc/5/status", OpenFlags::empty()), None);
    assert_eq!(open(&other, "/proc/sys/kernel/hostname", OpenFlags::WRONLY), Some(Errno::Eacces));
    let inside = model.open_as("/proc/5", OpenFlags::DIRECTORY, 0).unwrap();
    // Its user has changed: it belongs to the new one, also for who stands in its directory since before.
    thread.lock().unwrap().owner = Some((1001, 100));
    assert_eq!(open(&other, "/proc/5/environ", OpenFlags::empty()), None);
    let how = OpenHow::new(0, 0).unwrap();
    assert_eq!(as_user(&other).open(At::Path(&inside.path), b"task/5/environ", how).err(), None);
    // Who may not look into it, whatever the modes say.
    thread.lock().unwrap().is_closed = true;
    for path in
        ["/proc/5/environ", "/proc/5/maps", "/proc/5/smaps", "/proc/5/fd/0", "/proc/5/cwd/x", "/proc/5/root"]
    {
        assert_eq!(model.stat_of(path).and_then(|_| model.whole(path)).err(), Some(Errno::Eacces), "{path}");
    }
    assert_eq!(model.whole("/proc/5/comm").unwrap(), "task5\n");
}

#[test]
fn nothing_is_made_or_taken_away() {
    let model = machine();
    model.add(1);
    assert_eq!(model.put("/proc/new", "x").err(), Some(Errno::Enoent));
    assert_eq!(model.make_dir("/proc/1/x").err(), Some(Errno::Enoent));
    assert_eq!(model.remove("/proc/version").err(), Some(Errno::Eperm));
    assert_eq!(model.remove_dir("/proc/1").err(), Some(Errno::Eperm));
    assert_eq!(model.rename_to("/proc/version", "/proc/x").err(), Some(Errno::Enoent));
    let version = model.open_as("/proc/version", OpenFlags::RDWR, 0).unwrap();
    assert_eq!(version.write(&mut From(b"x")).err(), Some(Errno::Einval));
}

#[test]
fn settings_and_names_are_written_in_one_piece() {
    let model = machine();
    model.add(1);
    let write = |path: &str, text: &[u8]| {
        let file = model.open_as(path, OpenFlags::WRONLY | OpenFlags::TRUNC, 0)?;
        file.write(&mut From(text))
    };
    assert_eq!(write("/proc/sys/kernel/hostname", b"box\n"), Ok(4));
    assert_eq!(model.whole("/proc/sys/kernel/hostname").unwrap(), "box\n");
    assert_eq!(write("/proc/sys/kernel/hostname", b"nonsense"), Err(Errno::Einval));
    assert_eq!(write("/proc/1/comm", b"a name that is far too long\n"), Ok(28));
    assert_eq!(model.whole("/proc/1/comm").unwrap(), "a name that is \n");
    let file = model.open_as("/proc/sys/kernel/hostname", OpenFlags::WRONLY, 0).unwrap();
    assert_eq!(file.write_at(&mut From(b"x"), 1), Err(Errno::Einval));
}
