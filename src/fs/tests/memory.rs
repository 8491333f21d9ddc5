//! Memory that is refused, at each place where some is asked for: an error, and nothing else has changed.

use super::world::{Calls, World, settle};
use crate::errno::Errno;
use crate::fs::cred::Credentials;
use crate::fs::fd::FdTable;
use crate::fs::flags::{MountFlags, OpenFlags, RenameFlags};
use crate::fs::locks::{LockOwner, RangeLock};
use crate::fs::namei::Last;
use crate::fs::refs::Ref;
use crate::fs::tmpfs::TYPE;
use crate::mm::vma::room::failing;
use std::format;
use std::string::String;
use std::vec::Vec;

/// All that can be seen of the tree.
fn seen(world: &World) -> String {
    let mut text = String::new();
    let mut dirs: Vec<String> = [String::from("/")].into();
    while let Some(dir) = dirs.pop() {
        for name in world.list(&dir).unwrap() {
            let path = format!("{}/{name}", dir.trim_end_matches('/'));
            let stat = world.lstat(&path).unwrap();
            text += &format!("{path} {:o} {} {}\n", stat.mode, stat.links, stat.size);
            if stat.mode & 0o170000 == 0o040000 {
                dirs.push(path);
            }
        }
    }
    let mut mounts = 0;
    world.mounts.for_each(|_| mounts += 1);
    text + &format!("{} inodes, {} pages, {mounts} mounts", world.fs.inodes.used(), world.fs.pages.used())
}

fn tree() -> World {
    let world = World::new();
    for dir in ["a", "a/b", "c", "m"] {
        world.make_dir(dir).unwrap();
    }
    world.put("a/file", "text").unwrap();
    world.link_to("a/file", "link").unwrap();
    world
}

#[test]
fn each_refusal_is_an_error_and_changes_nothing() {
    type Call = fn(&World) -> Result<(), Errno>;
    let mount: Call = |world| {
        let flags = MountFlags::RELATIME;
        world.caller().mount(&world.cache, &TYPE, b"source", b"/m", flags, b"").map(|_| ())
    };
    let calls: [(&str, Call); 18] = [
        ("mkdir", |world| world.make_dir("a/new")),
        ("put", |world| world.put("a/new", "some text")),
        ("long name", |world| world.put(&"n".repeat(200), "")),
        ("symlink", |world| world.link_to("somewhere", "c/link")),
        ("link", |world| world.hard_link("a/file", "c/hard")),
        ("rename", |world| world.rename_to("a/file", "c/file")),
        ("rename over", |world| world.rename_to("a/b", "c")),
        ("exchange", |world| world.rename_as("a/b", "link", RenameFlags::EXCHANGE)),
        ("unlink", |world| world.remove("a/file")),
        ("rmdir", |world| world.remove_dir("a/b")),
        ("stat", |world| world.stat_of("link").map(|_| ())),
        ("list", |world| world.list("a").map(|_| ())),
        ("chdir", |world| world.enter("a/b")),
        ("getcwd", |world| world.here().map(|_| ())),
        ("unnamed", |world| world.open_as("a", OpenFlags::TMPFILE | OpenFlags::RDWR, 0o600).map(|_| ())),
        ("mount", mount),
        ("bind", |world| world.caller().bind(b"/a", b"/m", true).map(|_| ())),
        ("access", |world| {
            let bob = Ref::new(Credentials { groups: [1, 3].into(), ..Credentials::of(2, 2) })?;
            let caller = crate::fs::namei::Caller { credentials: &bob, ..world.caller() };
            let want = crate::fs::cred::Want::READ;
            caller.access(crate::fs::namei::At::Cwd, b"a/file", want, crate::fs::flags::AtFlags::empty())
        }),
    ];
    for (name, call) in calls {
        for n in 0.. {
            assert!(n < 200, "{name} asks for more and more");
            let world = tree();
            world.cache.reclaim(100);
            failing::after(n);
            let outcome = call(&world);
            let was_granted = failing::never();
            settle_some();
            if was_granted {
                assert_eq!(outcome, Ok(()), "{name}");
                assert!(n > 0, "{name} asks for nothing");
                break;
            }
            if outcome.is_ok() {
                // Refused where it does not matter.
                continue;
            }
            assert_eq!(outcome, Err(Errno::Enomem), "{name}, request {n}");
            world.enter("/").unwrap();
            let written =
                if name == "put" || name == "long name" { ["a/new", &"n".repeat(200)] } else { ["", ""] };
            for path in written {
                // Made, and then not written to.
                let _ = world.remove(path);
            }
            settle_some();
            assert_eq!(seen(&world), seen(&tree()), "{name}, request {n}");
            assert_eq!(call(&world), Ok(()), "{name}, after request {n}");
        }
    }
}

/// What can be freed now is.
fn settle_some() {
    crate::fs::tidy();
}

#[test]
fn unmounting_descriptors_and_locks() {
    for n in 0.. {
        let world = tree();
        let flags = MountFlags::RELATIME;
        world.caller().mount(&world.cache, &TYPE, b"source", b"/m", flags, b"").unwrap();
        failing::after(n);
        let outcome = world.caller().unmount(b"/m", Last::Follow, n % 2 == 0);
        if failing::never() {
            assert_eq!(outcome, Ok(()));
            break;
        }
        assert_eq!(outcome, Err(Errno::Enomem));
        assert_eq!(world.caller().unmount(b"/m", Last::Follow, false), Ok(()));
    }
    let world = tree();
    let file = world.open_as("a/file", OpenFlags::RDWR, 0).unwrap();
    for n in 0.. {
        failing::after(n);
        let outcome = FdTable::new().and_then(|table| {
            for _ in 0..130 {
                table.add(file.clone(), false, 1000)?;
            }
            let copy = table.copy()?;
            assert!(copy.get(129).is_ok());
            Ok(())
        });
        if failing::never() {
            assert_eq!(outcome, Ok(()));
            break;
        }
        assert_eq!(outcome, Err(Errno::Enomem));
    }
    settle();
    assert_eq!(file.count(), 1);
    for n in 0.. {
        let wanted = RangeLock { owner: LockOwner::of(&file), start: n, end: n + 1, exclusive: true };
        failing::after(0);
        let outcome = file.locks().try_set(&wanted);
        assert!(!failing::never() && outcome == Err(Errno::Enolck));
        if n == 2 {
            break;
        }
    }
}
