//! Images that become files in a tmpfs.

use super::world::{Calls, World};
use crate::errno::Errno;
use crate::fs::initramfs::{self, Problem, Summary};
use crate::fs::mode::Device;
use crate::fs::tmpfs::Options;
use crate::fs::unpack::Unpacker;
use std::format;
use std::string::String;
use std::vec::Vec;

/// An entry of a newc archive: name, mode, links and inode, device numbers, contents.
fn entry(name: &str, mode: u32, link: (u32, u32), node: (u32, u32), data: &[u8]) -> Vec<u8> {
    let (links, ino) = link;
    let fields = [
        ino,
        mode,
        7,
        8,
        links,
        1_000_000,
        data.len() as u32,
        8,
        1,
        node.0,
        node.1,
        name.len() as u32 + 1,
        0,
    ];
    let mut bytes = b"070701".to_vec();
    fields.iter().for_each(|field| bytes.extend(format!("{field:08x}").bytes()));
    bytes.extend(name.bytes().chain([0]));
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn plain(name: &str, mode: u32, data: &[u8]) -> Vec<u8> {
    entry(name, mode, (1, 0), (0, 0), data)
}

fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = entries.concat();
    bytes.extend(plain("TRAILER!!!", 0, b""));
    bytes
}

fn unpack(world: &World, image: &[u8]) -> Result<Summary, initramfs::Error<Errno>> {
    world.context.set_umask(0);
    let mut unpacker = Unpacker::new(world.caller(), &world.root);
    let result = initramfs::unpack(image, &mut unpacker);
    unpacker.finish().unwrap();
    result
}

#[test]
fn all_kinds_come_out_as_they_went_in() {
    let world = World::new();
    let summary = unpack(
        &world,
        &archive(&[
            plain(".", 0o040_711, b""),
            plain("bin", 0o041_755, b""),
            plain("bin/su", 0o104_755, b"#!text\n"),
            plain("bin/ln", 0o120_777, b"su"),
            entry("a", 0o100_640, (2, 9), (0, 0), b""),
            entry("b", 0o100_640, (2, 9), (0, 0), b"linked"),
            entry("null", 0o020_666, (1, 0), (1, 3), b""),
            entry("sda", 0o060_660, (1, 0), (8, 0), b""),
            plain("fifo", 0o010_600, b""),
            plain("sock", 0o140_600, b""),
        ]),
    );
    assert_eq!(summary.unwrap().entries, 10);
    let shown = |name: &str| {
        let stat = world.lstat(name).unwrap();
        (stat.mode, stat.links, stat.size, stat.of_device, stat.times.modified.seconds)
    };
    let (none, then) = (Device::NONE, 1_000_000);
    for name in ["/", "/bin", "/bin/su", "/bin/ln", "/a", "/null"] {
        let stat = world.lstat(name).unwrap();
        assert_eq!((stat.uid, stat.gid, stat.times.modified.seconds), (7, 8, then), "{name}");
    }
    assert_eq!(world.lstat("/").unwrap().mode, 0o040_711);
    assert_eq!(world.lstat("/bin").unwrap().mode, 0o041_755);
    assert_eq!(shown("/bin/su"), (0o104_755, 1, 7, none, then));
    assert_eq!(world.read_link("/bin/ln").unwrap(), "su");
    assert_eq!(shown("/a"), (0o100_640, 2, 6, none, then));
    assert_eq!(world.lstat("/a").unwrap().inode, world.lstat("/b").unwrap().inode);
    assert_eq!((world.text("/a").unwrap(), world.text("/b").unwrap()), ("linked".into(), "linked".into()));
    assert_eq!(shown("/null"), (0o020_666, 1, 0, Device::new(1, 3), then));
    assert_eq!(shown("/sda"), (0o060_660, 1, 0, Device::new(8, 0), then));
    assert_eq!(shown("/fifo").0, 0o010_600);
    assert_eq!(shown("/sock").0, 0o140_600);
}

#[test]
fn the_later_archive_wins() {
    let world = World::new();
    let first = archive(&[
        plain("dir", 0o040_700, b""),
        plain("file", 0o100_600, b"old and long"),
        plain("link", 0o120_777, b"/dir"),
        plain("empty", 0o040_700, b""),
        plain("kept", 0o100_600, b"kept"),
    ]);
    let second = archive(&[
        plain("dir", 0o040_755, b""),
        plain("file", 0o100_644, b"new"),
        plain("link", 0o100_644, b"no link"),
        plain("empty", 0o120_777, b"file"),
    ]);
    unpack(&world, &first).unwrap();
    let inode = world.lstat("/file").unwrap().inode;
    unpack(&world, &second).unwrap();
    assert_eq!(world.lstat("/dir").unwrap().mode, 0o040_755);
    assert_eq!(
        (world.text("/file").unwrap(), world.lstat("/file").unwrap().inode),
        (String::from("new"), inode)
    );
    assert_eq!(world.text("/link").unwrap(), "no link");
    assert_eq!(world.list("/dir").unwrap(), [""; 0]);
    assert_eq!(world.read_link("/empty").unwrap(), "file");
    assert_eq!(world.text("/kept").unwrap(), "kept");
}

#[test]
fn what_cannot_be_made_is_named() {
    let world = World::new();
    let full =
        archive(&[plain("d", 0o040_700, b""), plain("d/x", 0o100_600, b"x"), plain("d", 0o100_600, b"")]);
    let error = unpack(&world, &full).unwrap_err();
    assert_eq!((error.name.bytes(), error.problem), (b"d".as_slice(), Problem::Sink(Errno::Enotempty)));
    let error = unpack(&world, &archive(&[plain("no/file", 0o100_600, b"")])).unwrap_err();
    assert_eq!((error.name.bytes(), error.problem), (b"no/file".as_slice(), Problem::Sink(Errno::Enoent)));
    assert!(format!("{error}").ends_with("no such file or directory"), "{error}");
    // A limit of pages: what fitted is there.
    let small = World::with(100, Options { pages: Some(2), ..Options::NONE });
    let error = unpack(&small, &archive(&[plain("big", 0o100_600, &[1; 10_000])])).unwrap_err();
    assert_eq!((error.name.bytes(), error.problem), (b"big".as_slice(), Problem::Sink(Errno::Enospc)));
    assert_eq!(small.lstat("/big").unwrap().size, 8192);
}
