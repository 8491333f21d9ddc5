//! Who may do what.

use super::world::{Calls, World, user};
use crate::errno::Errno;
use crate::fs::calls::SetTime;
use crate::fs::cred::Want;
use crate::fs::flags::{AtFlags, OpenFlags};
use crate::fs::io::{From, Into};
use crate::fs::mode::Device;
use crate::fs::namei::{At, Caller, Last};
use crate::fs::time::Time;
use crate::platform::host::Host;

#[test]
fn directories_are_searched_by_who_may() {
    let world = World::new();
    world.make_dir("d").unwrap();
    world.make_dir("d/e").unwrap();
    world.put("d/e/f", "secret").unwrap();
    let root = world.caller();
    let chmod =
        |path: &str, mode| root.chmod(&root.resolve(At::Cwd, path.as_bytes(), Last::Follow).unwrap(), mode);
    let other = user(7, 7, &[]);
    let caller = Caller { credentials: &other, ..root };
    assert_eq!(caller.text("d/e/f").unwrap(), "secret");
    chmod("d", 0o744).unwrap();
    for _ in 0..2 {
        assert_eq!(caller.text("d/e/f"), Err(Errno::Eacces));
        assert_eq!(caller.stat_of("d/e/no"), Err(Errno::Eacces));
        assert_eq!(caller.stat_of("d/."), Err(Errno::Eacces));
        assert_eq!(caller.stat_of("d/.."), Err(Errno::Eacces));
    }
    assert_eq!(caller.list("d").unwrap(), ["e"], "reading it is another right");
    chmod("d", 0o711).unwrap();
    assert_eq!(caller.text("d/e/f").unwrap(), "secret");
    assert_eq!(caller.list("d"), Err(Errno::Eacces));
    assert_eq!(caller.put("d/new", ""), Err(Errno::Eacces));
    assert_eq!(caller.make_dir("d/new"), Err(Errno::Eacces));
    assert_eq!(caller.remove("d/e/f"), Err(Errno::Eacces));
    assert_eq!(caller.put("d/e/f", ""), Err(Errno::Eacces));
    let access = |want, flags| caller.access(At::Cwd, b"d/e/f", want, flags);
    assert_eq!(access(Want::READ, AtFlags::empty()), Ok(()));
    assert_eq!(access(Want::WRITE, AtFlags::EACCESS), Err(Errno::Eacces));
    assert_eq!(caller.mknod(At::Cwd, b"n", 0o020666, Device::new(1, 3)), Err(Errno::Eperm));
    assert_eq!(caller.chroot(b"/"), Err(Errno::Eperm));
}

#[test]
fn sticky_and_setgid_directories() {
    let world = World::new();
    let root = world.caller();
    let path = |name: &str| root.resolve(At::Cwd, name.as_bytes(), Last::Follow).unwrap();
    world.make_dir("tmp").unwrap();
    root.chmod(&path("tmp"), 0o1777).unwrap();
    let (ann, bob) = (user(1, 10, &[50]), user(2, 20, &[]));
    let (ann, bob) = (Caller { credentials: &ann, ..root }, Caller { credentials: &bob, ..root });
    ann.put("tmp/hers", "x").unwrap();
    bob.put("tmp/his", "x").unwrap();
    assert_eq!(bob.remove("tmp/hers"), Err(Errno::Eperm));
    assert_eq!(bob.rename_to("tmp/hers", "tmp/mine"), Err(Errno::Eperm));
    assert_eq!(bob.rename_to("tmp/his", "tmp/hers"), Err(Errno::Eperm));
    assert_eq!(ann.rename_to("tmp/hers", "tmp/renamed"), Ok(()));
    // Bob may not write to it, and Ann, who meant to make one, is not handed his.
    root.chmod(&path("tmp/his"), 0o666).unwrap();
    assert_eq!(ann.put("tmp/his", ""), Err(Errno::Eacces));
    assert_eq!(ann.hard_link("tmp/his", "tmp/link"), Ok(()), "who may read and write it may");
    root.chmod(&path("tmp/his"), 0o600).unwrap();
    assert_eq!(ann.hard_link("tmp/his", "tmp/link2"), Err(Errno::Eperm));

    world.make_dir("shared").unwrap();
    root.chown(&path("shared"), None, Some(50)).unwrap();
    root.chmod(&path("shared"), 0o2777).unwrap();
    ann.make_dir("shared/d").unwrap();
    ann.put("shared/d/f", "").unwrap();
    let (dir, file) = (world.stat_of("shared/d").unwrap(), world.stat_of("shared/d/f").unwrap());
    assert_eq!((dir.mode, dir.gid, dir.uid), (0o042755, 50, 1));
    assert_eq!((file.mode, file.gid), (0o100644, 50));
    bob.open_as("shared/g", OpenFlags::CREAT | OpenFlags::WRONLY, 0o2775).unwrap();
    assert_eq!(world.stat_of("shared/g").unwrap().mode, 0o100755, "not his group: no setgid");
}

#[test]
fn attributes_are_changed_by_owners() {
    let world = World::new();
    let root = world.caller();
    let path = |name: &str| root.resolve(At::Cwd, name.as_bytes(), Last::Follow).unwrap();
    root.chmod(&path("/"), 0o777).unwrap();
    let (ann, bob) = (user(1, 10, &[50]), user(2, 20, &[]));
    let (ann, bob) = (Caller { credentials: &ann, ..root }, Caller { credentials: &bob, ..root });
    ann.put("f", "x").unwrap();
    let f = path("f");
    assert_eq!(bob.chmod(&f, 0o777), Err(Errno::Eperm));
    assert_eq!(ann.chmod(&f, 0o4775), Ok(()));
    assert_eq!(ann.chown(&f, Some(2), None), Err(Errno::Eperm));
    assert_eq!(ann.chown(&f, None, Some(20)), Err(Errno::Eperm), "not one of her groups");
    assert_eq!(ann.chown(&f, None, Some(50)), Ok(()));
    assert_eq!(
        (world.stat_of("f").unwrap().mode, world.stat_of("f").unwrap().gid),
        (0o100775, 50),
        "setuid is gone"
    );
    ann.chmod(&f, 0o6777).unwrap();
    let file = bob.open_as("f", OpenFlags::WRONLY, 0).unwrap();
    file.write(&mut From(b"y")).unwrap();
    assert_eq!(world.stat_of("f").unwrap().mode, 0o100777, "written to by another");
    let early = SetTime::To(Time { seconds: 5, nanoseconds: 7 });
    assert_eq!(bob.set_times(&f, early, SetTime::Omit), Err(Errno::Eperm));
    assert_eq!(bob.set_times(&f, SetTime::Now, SetTime::Now), Ok(()), "who may write may");
    assert_eq!(ann.set_times(&f, early, SetTime::Omit), Ok(()));
    assert_eq!(world.stat_of("f").unwrap().times.accessed, Time { seconds: 5, nanoseconds: 7 });
    let bad = SetTime::To(Time { seconds: 5, nanoseconds: 1_000_000_000 });
    assert_eq!(ann.set_times(&f, bad, SetTime::Omit), Err(Errno::Einval));
    assert_eq!(bob.open_as("f", OpenFlags::NOATIME, 0).err(), Some(Errno::Eperm));
    ann.chmod(&f, 0o400).unwrap();
    assert_eq!(ann.open_as("f", OpenFlags::WRONLY, 0).err(), Some(Errno::Eacces));
    assert_eq!(ann.open_as("f", OpenFlags::TRUNC, 0).err(), Some(Errno::Eacces));
    let made = ann.open_as("readonly", OpenFlags::CREAT | OpenFlags::RDWR, 0o444).unwrap();
    assert_eq!(made.write(&mut From(b"z")), Ok(1), "its maker may");
}

#[test]
fn reading_is_noted_when_it_is_news() {
    let host = Host::exclusive();
    let world = World::new();
    let times = || world.stat_of("f").unwrap().times;
    host.advance_to(1_000);
    world.put("f", "text").unwrap();
    let written = times();
    host.advance_to(2_000);
    world.text("f").unwrap();
    let read = times();
    assert!(read.accessed > written.accessed && read.modified == written.modified);
    host.advance_to(3_000);
    world.text("f").unwrap();
    assert_eq!(times(), read, "no news");
    host.advance_to(4_000);
    world.put("f", "more").unwrap();
    let file = world.open_as("f", OpenFlags::NOATIME, 0).unwrap();
    file.read(&mut Into::new(&mut [0; 4])).unwrap();
    assert_eq!(times().accessed, read.accessed);
    host.advance_to(5_000);
    world.text("f").unwrap();
    assert!(times().accessed > read.accessed);
}
