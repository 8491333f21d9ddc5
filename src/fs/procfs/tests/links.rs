//! Links that lead to the thing itself.

use super::model::machine;
use crate::errno::Errno;
use crate::fs::fd::FdTable;
use crate::fs::flags::OpenFlags;
use crate::fs::io::Into;
use crate::fs::namei::{At, Last};
use crate::fs::refs::Ref;
use crate::fs::tests::world::{Calls, World};
use std::string::String;

#[test]
fn descriptors_lead_to_what_they_have_open_whatever_its_name() {
    let model = machine();
    let thread = model.add(1);
    model.make_dir("/tmp").unwrap();
    model.put("/tmp/a b", "some text").unwrap();
    let files = thread.lock().unwrap().files.clone().unwrap();
    let reader = model.open_as("/tmp/a b", OpenFlags::empty(), 0).unwrap();
    let writer = model.open_as("/tmp/a b", OpenFlags::WRONLY, 0).unwrap();
    assert_eq!((files.add(reader, true, 100), files.add(writer, false, 100)), (Ok(0), Ok(1)));
    assert_eq!(model.read_link("/proc/1/fd/0").unwrap(), "/tmp/a b");
    assert_eq!(model.lstat("/proc/1/fd/0").unwrap().mode & 0o777, 0o500);
    assert_eq!(model.lstat("/proc/1/fd/1").unwrap().mode & 0o777, 0o300);
    assert_eq!(model.stat_of("/proc/1/fd/0").unwrap().inode, model.stat_of("/tmp/a b").unwrap().inode);
    model.rename_to("/tmp/a b", "/tmp/c").unwrap();
    assert_eq!(model.read_link("/proc/1/fd/0").unwrap(), "/tmp/c");
    model.remove("/tmp/c").unwrap();
    model.put("/tmp/c", "another file").unwrap();
    assert_eq!(model.read_link("/proc/1/fd/0").unwrap(), "/tmp/c (deleted)");
    assert_eq!(model.whole("/proc/1/fd/0").unwrap(), "some text");
    assert_eq!(model.whole("/proc/self/fd/0").unwrap(), "some text");
    // Opened for reading through what is open for writing: the file is what counts.
    assert_eq!(model.whole("/proc/1/fd/1").unwrap(), "some text");
    let info = model.whole("/proc/1/fdinfo/0").unwrap();
    let inode = model.stat_of("/proc/1/fd/0").unwrap().inode;
    assert_eq!(
        info,
        std::format!("pos:\t0\nflags:\t02100000\nmnt_id:\t{}\nino:\t{inode}\n", model.world.root.mount.id)
    );
    // The number means something else from now on.
    drop(FdTable::close(&files, 0).unwrap());
    assert_eq!(model.read_link("/proc/1/fd/0").err(), Some(Errno::Enoent));
    assert_eq!(model.whole("/proc/1/fdinfo/0").err(), Some(Errno::Enoent));
    let other = model.open_as("/tmp/c", OpenFlags::RDWR, 0).unwrap();
    assert_eq!(files.add(other, false, 100), Ok(0));
    assert_eq!(model.read_link("/proc/1/fd/0").unwrap(), "/tmp/c");
    assert_eq!(model.lstat("/proc/1/fd/0").unwrap().mode & 0o777, 0o700);
    assert_eq!(model.list("/proc/1/fd").unwrap(), ["0", "1"]);
    for bad in ["/proc/1/fd/2", "/proc/1/fd/-1", "/proc/1/fd/99999999999", "/proc/1/fd/00"] {
        assert_eq!(model.lstat(bad).err(), Some(Errno::Enoent), "{bad}");
    }
    // A link itself, and not what it leads to.
    let no_follow = model.open_as("/proc/1/fd/0", OpenFlags::NOFOLLOW, 0);
    assert_eq!(no_follow.err(), Some(Errno::Eloop));
    let place = model.open_as("/proc/1/fd/0", OpenFlags::NOFOLLOW | OpenFlags::PATH, 0).unwrap();
    assert_eq!(model.caller().read_link(At::Path(&place.path), b"").unwrap(), b"/tmp/c");
}

#[test]
fn places_of_a_process() {
    let model = machine();
    let thread = model.add(1);
    model.make_dir("/home").unwrap();
    model.make_dir("/home/me").unwrap();
    model.put("/home/me/prog", "ELF").unwrap();
    model.link_to("elsewhere", "/home/me/link").unwrap();
    let caller = model.caller();
    let home = caller.resolve(At::Cwd, b"/home/me", Last::Follow).unwrap();
    let context = thread.lock().unwrap().context.clone().unwrap();
    context.set_cwd(home).unwrap();
    thread.lock().unwrap().exe = Some(caller.resolve(At::Cwd, b"/home/me/prog", Last::Follow).unwrap());
    assert_eq!(model.read_link("/proc/1/cwd").unwrap(), "/home/me");
    assert_eq!(model.read_link("/proc/1/exe").unwrap(), "/home/me/prog");
    assert_eq!(model.read_link("/proc/1/root").unwrap(), "/");
    assert_eq!(model.whole("/proc/1/exe").unwrap(), "ELF");
    // On through a link: to a file below it, upwards, and to one that is a link itself.
    assert_eq!(model.whole("/proc/1/cwd/prog").unwrap(), "ELF");
    assert_eq!(model.whole("/proc/1/cwd/../me/prog").unwrap(), "ELF");
    assert_eq!(model.read_link("/proc/1/cwd/link").unwrap(), "elsewhere");
    assert_eq!(model.whole("/proc/1/root/proc/1/cwd/./prog").unwrap(), "ELF");
    assert_eq!(model.open_as("/proc/1/exe/x", OpenFlags::empty(), 0).err(), Some(Errno::Enotdir));
    // What it is made through a link: in the directory that it leads to.
    model.put("/proc/1/cwd/new", "here").unwrap();
    assert_eq!(model.text("/home/me/new").unwrap(), "here");
    // What has no program has no link to one.
    thread.lock().unwrap().exe = None;
    assert_eq!(model.read_link("/proc/1/exe").err(), Some(Errno::Enoent));
    assert_eq!(model.whole("/proc/1/exe").err(), Some(Errno::Enoent));
    // Removed under it.
    ["/home/me/prog", "/home/me/link", "/home/me/new"].iter().for_each(|name| model.remove(name).unwrap());
    model.remove_dir("/home/me").unwrap();
    assert_eq!(model.read_link("/proc/1/cwd").unwrap(), "/home/me (deleted)");
    assert_eq!(model.list("/proc/1/cwd").err(), Some(Errno::Enoent));
}

/// What is on no tree of names is shown by number; and what is there to be opened is opened.
#[test]
fn files_without_names() {
    let model = machine();
    let thread = model.add(1);
    let files = thread.lock().unwrap().files.clone().unwrap();
    model.make_dir("/tmp").unwrap();
    let unnamed = model.open_as("/tmp", OpenFlags::TMPFILE | OpenFlags::RDWR, 0o600).unwrap();
    unnamed.write(&mut crate::fs::io::From(b"nameless")).unwrap();
    files.add(unnamed, false, 100).unwrap();
    assert!(model.read_link("/proc/1/fd/0").unwrap().ends_with(" (deleted)"));
    assert_eq!(model.whole("/proc/1/fd/0").unwrap(), "nameless");
    // Another world's: mounted, but not here.
    let other: &'static World = std::boxed::Box::leak(std::boxed::Box::new(World::new()));
    other.put("/x", "far away").unwrap();
    files.add(other.open_as("/x", OpenFlags::empty(), 0).unwrap(), false, 100).unwrap();
    assert_eq!(model.read_link("/proc/1/fd/1").unwrap(), "(unreachable)/x");
    assert_eq!(model.whole("/proc/1/fd/1").unwrap(), "far away");
}

#[test]
fn mounts_are_seen_from_the_process() {
    let model = machine();
    let thread = model.add(1);
    ["/a", "/a/b c", "/d"].iter().for_each(|dir| model.make_dir(dir).unwrap());
    model.caller().bind(b"/a/b c", b"/d", false).unwrap();
    model.make_dir("/d/jail").unwrap();
    // Without what a file system in memory says of itself.
    let whole = |path: &str| model.whole(path).unwrap().replace(",inode64", "");
    let mounts = whole("/proc/mounts");
    assert_eq!(
        mounts,
        "root / tmpfs rw,relatime 0 0\nproc /proc proc rw,relatime 0 0\nroot /d tmpfs rw,relatime 0 0\n"
    );
    assert_eq!(model.read_link("/proc/mounts").unwrap(), "self/mounts");
    let infos = whole("/proc/self/mountinfo");
    let lines: std::vec::Vec<std::vec::Vec<&str>> =
        infos.lines().map(|line| line.split(' ').collect()).collect();
    assert_eq!(lines.len(), 3);
    let (root, bound) = (&lines[0], &lines[2]);
    assert_eq!(root[3..], ["/", "/", "rw,relatime", "-", "tmpfs", "root", "rw"]);
    assert_eq!(bound[3..], [r"/a/b\040c", "/d", "rw,relatime", "-", "tmpfs", "root", "rw"]);
    assert_eq!((bound[1], bound[2]), (root[0], root[2]), "on the root, and the same file system");
    // From a root of its own.
    let jail = model.caller().resolve(At::Cwd, b"/d", Last::Follow).unwrap();
    thread.lock().unwrap().context.clone().unwrap().set_root(jail).unwrap();
    assert_eq!(whole("/proc/1/mounts"), "root / tmpfs rw,relatime 0 0\n");
    // Byte by byte while mounts come and go: each line is whole.
    let file = model.open_as("/proc/self/mounts", OpenFlags::empty(), 0).unwrap();
    let mut text = String::new();
    let mut byte = [0; 1];
    while file.read(&mut Into::new(&mut byte)).unwrap() == 1 {
        text.push(byte[0].into());
        if text.len() == 10 {
            model.caller().unmount(b"/d", Last::Follow, true).unwrap();
        }
    }
    assert!(text.lines().all(|line| line.ends_with(" 0 0")), "{text}");
    drop(Ref::clone(&model.world.user));
}
