//! Mounts: crossing them both ways, binding, moving, busy ones, read-only ones.

use super::world::{Calls, World, user};
use crate::errno::Errno;
use crate::fs::flags::{MountFlags, OpenFlags};
use crate::fs::io::From;
use crate::fs::mode::Device;
use crate::fs::namei::{At, Caller, Last};
use crate::fs::tmpfs::TYPE;
use std::string::String;

fn mount(world: &World, on: &str) {
    let flags = MountFlags::RELATIME;
    world.caller().mount(&world.cache, &TYPE, b"tmpfs", on.as_bytes(), flags, b"mode=755").unwrap();
}

fn unmount(world: &World, on: &str) -> Result<(), Errno> {
    world.caller().unmount(on.as_bytes(), Last::Follow, false)
}

#[test]
fn walks_cross_mounts_both_ways() {
    let world = World::new();
    world.make_dir("m").unwrap();
    world.put("m/below", "hidden").unwrap();
    let below = world.stat_of("m").unwrap();
    mount(&world, "m");
    let root = world.stat_of("/").unwrap().inode;
    let above = world.stat_of("m").unwrap();
    assert!(above.device != below.device && above.is_mount_root);
    assert_eq!(world.stat_of("m/below"), Err(Errno::Enoent));
    world.make_dir("m/d").unwrap();
    assert_eq!(world.stat_of("m/d/../..").unwrap().inode, root);
    world.enter("m/d").unwrap();
    assert_eq!(world.here().unwrap(), "/m/d");
    assert_eq!(world.stat_of("../..").unwrap().device, world.stat_of("/").unwrap().device);
    // One on top of the other.
    world.enter("/").unwrap();
    mount(&world, "m");
    assert_eq!(world.stat_of("m/d"), Err(Errno::Enoent));
    world.put("m/top", "top").unwrap();
    assert_eq!(world.stat_of("m/../m/top").unwrap().size, 3);
    assert_eq!(world.remove_dir("m"), Err(Errno::Ebusy));
    assert_eq!(world.rename_to("m", "n"), Err(Errno::Ebusy));
    world.put("f", "").unwrap();
    assert_eq!(world.rename_to("f", "m/f"), Err(Errno::Exdev));
    assert_eq!(world.hard_link("f", "m/f"), Err(Errno::Exdev));
    unmount(&world, "m").unwrap();
    assert!(world.stat_of("m/d").is_ok());
    unmount(&world, "m").unwrap();
    assert_eq!(world.text("m/below").unwrap(), "hidden");
    assert_eq!(unmount(&world, "m"), Err(Errno::Einval));
    assert_eq!(unmount(&world, "/"), Err(Errno::Einval));
    world.rename_to("m", "n").unwrap();
}

#[test]
fn what_is_in_use_is_not_unmounted_but_lazily() {
    let world = World::new();
    world.make_dir("m").unwrap();
    mount(&world, "m");
    world.make_dir("m/inner").unwrap();
    mount(&world, "m/inner");
    assert_eq!(unmount(&world, "m"), Err(Errno::Ebusy), "a mount is on it");
    unmount(&world, "m/inner").unwrap();
    let file = world.open_as("m/f", OpenFlags::CREAT | OpenFlags::RDWR, 0o600).unwrap();
    assert_eq!(unmount(&world, "m"), Err(Errno::Ebusy), "a file is open");
    drop(file);
    world.enter("m").unwrap();
    assert_eq!(unmount(&world, "/m"), Err(Errno::Ebusy), "somebody is in it");
    world.enter("/").unwrap();
    mount(&world, "m/inner");
    let file = world.open_as("m/inner/f", OpenFlags::CREAT | OpenFlags::RDWR, 0o600).unwrap();
    world.enter("m/inner").unwrap();
    world.caller().unmount(b"/m", Last::Follow, true).unwrap();
    assert!(world.list("/m").unwrap().is_empty());
    assert_eq!(file.write(&mut From(b"still there")), Ok(11));
    assert_eq!(world.text("f").unwrap(), "still there");
    assert_eq!(world.stat_of("..").unwrap().inode, world.stat_of(".").unwrap().inode, "no way out");
    assert_eq!(world.here().unwrap(), "(unreachable)/");
    // What is mounted there now would be for ever: nobody can reach it any more, and it would keep what it stands on.
    world.make_dir("d").unwrap();
    let caller = world.caller();
    let mounted = caller.mount(&world.cache, &TYPE, b"tmpfs", b"d", MountFlags::RELATIME, b"");
    assert_eq!(mounted.err(), Some(Errno::Einval));
    assert_eq!(caller.bind(b"/m", b"d", false).err(), Some(Errno::Einval));
    assert_eq!(caller.bind(b"d", b"/m", false).err(), Some(Errno::Einval));
    world.enter("/").unwrap();
    drop(file);
    let mut left = 0;
    world.mounts.for_each(|_| left += 1);
    assert_eq!(left, 1);
    world.remove_dir("m").unwrap();
}

#[test]
fn binding_and_moving() {
    let world = World::new();
    for dir in ["a", "a/b", "a/b/c", "x", "y"] {
        world.make_dir(dir).unwrap();
    }
    world.put("a/b/f", "one").unwrap();
    let caller = world.caller();
    caller.bind(b"a/b", b"x", false).unwrap();
    assert_eq!(world.text("x/f").unwrap(), "one");
    world.put("x/f", "two").unwrap();
    assert_eq!(world.text("a/b/f").unwrap(), "two");
    assert_eq!(world.stat_of("x/..").unwrap().inode, world.stat_of("/").unwrap().inode);
    // A directory that leaves the part that is bound leads nowhere upwards.
    world.enter("x/c").unwrap();
    assert_eq!(world.here().unwrap(), "/x/c");
    world.rename_to("/a/b/c", "/a/c").unwrap();
    assert_eq!(world.stat_of(".."), Err(Errno::Enoent));
    world.enter("/").unwrap();
    // With what is mounted below, or without.
    mount(&world, "a/b");
    world.put("a/b/inner", "in").unwrap();
    caller.bind(b"/a", b"y", false).unwrap();
    assert_eq!(world.stat_of("y/b/inner"), Err(Errno::Enoent));
    assert_eq!(world.text("y/b/f").unwrap(), "two");
    unmount(&world, "y").unwrap();
    caller.bind(b"/a", b"y", true).unwrap();
    assert_eq!(world.text("y/b/inner").unwrap(), "in");
    assert_eq!(unmount(&world, "y"), Err(Errno::Ebusy));
    unmount(&world, "y/b").unwrap();
    unmount(&world, "y").unwrap();
    // Moving.
    assert_eq!(caller.move_mount(b"/a/b", b"/a/b"), Err(Errno::Eloop));
    assert_eq!(caller.move_mount(b"/a", b"/y"), Err(Errno::Einval), "no mount");
    caller.move_mount(b"/a/b", b"/y").unwrap();
    assert_eq!(world.text("y/inner").unwrap(), "in");
    assert_eq!(world.text("a/b/f").unwrap(), "two");
    world.rename_to("a/b", "a/d").unwrap();
    assert_eq!(unmount(&world, "y"), Ok(()));
    // A file on a file.
    world.put("g", "file g").unwrap();
    assert_eq!(caller.bind(b"/g", b"/y", false).err(), Some(Errno::Enotdir));
    caller.bind(b"/g", b"/a/d/f", false).unwrap();
    assert_eq!(world.text("a/d/f").unwrap(), "file g");
    assert_eq!(world.remove("a/d/f"), Err(Errno::Ebusy));
    unmount(&world, "a/d/f").unwrap();
    let bob = user(2, 2, &[]);
    let bob = Caller { credentials: &bob, ..caller };
    assert_eq!(bob.bind(b"/a", b"/y", false).err(), Some(Errno::Eperm));
}

#[test]
fn mounts_that_allow_less() {
    let world = World::new();
    world.make_dir("m").unwrap();
    world.caller().mknod(At::Cwd, b"null", 0o020666, Device::new(1, 3)).unwrap();
    world.put("f", "x").unwrap();
    let caller = world.caller();
    caller.bind(b"/", b"/m", false).unwrap();
    let set = |flags| caller.remount(b"/m", flags, b"", true);
    set(MountFlags::NODEV | MountFlags::RELATIME).unwrap();
    assert_eq!(world.open_as("m/null", OpenFlags::empty(), 0).err(), Some(Errno::Eacces));
    assert_eq!(world.open_as("null", OpenFlags::empty(), 0).err(), Some(Errno::Enxio), "only there");
    let file = world.open_as("m/f", OpenFlags::WRONLY, 0).unwrap();
    assert_eq!(set(MountFlags::RDONLY), Err(Errno::Ebusy));
    drop(file);
    set(MountFlags::RDONLY).unwrap();
    let refused = Err(Errno::Erofs);
    assert_eq!(world.put("m/f", "y"), refused);
    assert_eq!(world.put("m/new", "y"), refused);
    assert_eq!(world.make_dir("m/new"), refused);
    assert_eq!(world.make_dir("m/m"), Err(Errno::Eexist), "what is there comes first");
    assert_eq!(world.remove("m/f"), refused);
    assert_eq!(world.rename_to("m/f", "m/g"), refused);
    assert_eq!(caller.chmod(&caller.resolve(At::Cwd, b"m/f", Last::Follow).unwrap(), 0), refused);
    assert_eq!(world.text("m/f").unwrap(), "x");
    assert_eq!(world.put("f", "y"), Ok(()), "the other mount allows it");
    set(MountFlags::RELATIME).unwrap();
    assert_eq!(world.put("m/f", "z"), Ok(()));
    assert_eq!(unmount(&world, "m"), Ok(()));
}

#[test]
fn a_file_system_ends_with_its_last_mount() {
    let world = World::new();
    world.make_dir("m").unwrap();
    world.make_dir("n").unwrap();
    mount(&world, "m");
    let mut path = String::from("m");
    for _ in 0..50 {
        path += "/d";
        world.make_dir(&path).unwrap();
    }
    world.caller().bind(b"/m/d", b"/n", false).unwrap();
    unmount(&world, "m").unwrap();
    assert!(world.stat_of("n/d/d").is_ok());
    let fs = world.caller().resolve(At::Cwd, b"/n", Last::Follow).unwrap().mount.fs.clone();
    unmount(&world, "n").unwrap();
    assert_eq!(fs.root().err(), Some(Errno::Enodev));
    let left = world.cache.counts().entries;
    assert!(left <= 4, "{left} entries of a file system that is gone");
}
