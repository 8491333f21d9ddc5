//! Single calls on tmpfs, and the errors that Linux gives.

use super::world::{Calls, Listing, World};
use crate::errno::Errno;
use crate::fs::calls::OpenHow;
use crate::fs::flags::{AtFlags, FallocateFlags, OpenFlags, RenameFlags, Whence};
use crate::fs::io::{From, Into};
use crate::fs::mode::{Device, Kind};
use crate::fs::namei::{At, LINKS_MAX, Last};
use crate::fs::tmpfs::Options;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

fn tree() -> World {
    let world = World::new();
    for dir in ["a", "a/b", "a/b/c", "empty"] {
        world.make_dir(dir).unwrap();
    }
    world.put("a/file", "text").unwrap();
    world.put("a/b/c/deep", "deep text").unwrap();
    for (target, path) in [
        ("a/b", "to_b"),
        ("/a/file", "to_file"),
        ("nothing", "to_nothing"),
        ("loop2", "loop1"),
        ("loop1", "loop2"),
        ("a/b/", "to_b_slash"),
        ("a/file/", "to_file_slash"),
        ("..", "a/up"),
        ("/", "to_root"),
    ] {
        world.link_to(target, path).unwrap();
    }
    world
}

#[test]
fn paths_lead_where_linux_has_them_lead() {
    let world = tree();
    let number = |path: &str| world.stat_of(path).map(|stat| stat.inode);
    let (root, b, file) = (number("/").unwrap(), number("a/b").unwrap(), number("a/file").unwrap());
    let long = "n".repeat(256);
    let cases: [(&str, Result<u64, Errno>); 36] = [
        ("/", Ok(root)),
        ("//", Ok(root)),
        ("/..", Ok(root)),
        ("/../..//.", Ok(root)),
        (".", Ok(root)),
        ("a//b/./.", Ok(b)),
        ("a/b/c/../../b", Ok(b)),
        ("a/b/", Ok(b)),
        ("to_b", Ok(b)),
        ("to_b/", Ok(b)),
        ("to_b/c/..", Ok(b)),
        ("to_b_slash", Ok(b)),
        ("to_b_slash/c/..", Ok(b)),
        ("a/up/a/b", Ok(b)),
        ("to_root", Ok(root)),
        ("to_root/a/b", Ok(b)),
        ("to_root/..", Ok(root)),
        ("to_file", Ok(file)),
        ("to_root/to_root/to_root/to_file", Ok(file)),
        ("", Err(Errno::Enoent)),
        ("no", Err(Errno::Enoent)),
        ("no/", Err(Errno::Enoent)),
        ("no/more", Err(Errno::Enoent)),
        ("no/..", Err(Errno::Enoent)),
        ("a/file/", Err(Errno::Enotdir)),
        ("a/file/.", Err(Errno::Enotdir)),
        ("a/file/..", Err(Errno::Enotdir)),
        ("a/file/more", Err(Errno::Enotdir)),
        ("to_file/", Err(Errno::Enotdir)),
        ("to_file_slash", Err(Errno::Enotdir)),
        ("to_nothing", Err(Errno::Enoent)),
        ("to_nothing/more", Err(Errno::Enoent)),
        ("loop1", Err(Errno::Eloop)),
        ("loop1/more", Err(Errno::Eloop)),
        (&long, Err(Errno::Enametoolong)),
        ("a/file/../no", Err(Errno::Enotdir)),
    ];
    // Once out of the file system, once out of the cache.
    for (path, expected) in cases.iter().chain(&cases) {
        assert_eq!(number(path), *expected, "{path}");
    }
    assert_eq!(number(&format!("a/{long}/x")), Err(Errno::Enametoolong));
    assert_eq!(number(&"/a/..".repeat(819)), Ok(root), "4095 bytes");
    assert_eq!(number(&"/a/..".repeat(820)), Err(Errno::Enametoolong));
    assert_eq!(world.lstat("loop1").map(|stat| stat.mode), Ok(0o120777));
    assert_eq!(world.lstat("to_b").map(|stat| stat.size), Ok(3));
    assert_eq!(world.lstat("to_b/").map(|stat| stat.inode), Ok(b));
    assert_eq!(world.read_link("to_file").unwrap(), "/a/file");
    assert_eq!(world.read_link("a/file"), Err(Errno::Einval));
}

#[test]
fn forty_links_and_no_more() {
    let world = World::new();
    world.put("file", "end").unwrap();
    let mut before = "file".to_string();
    for n in 1..=LINKS_MAX + 1 {
        let name = format!("link{n}");
        world.link_to(&before, &name).unwrap();
        before = name;
    }
    for _ in 0..2 {
        assert!(world.stat_of("link40").is_ok());
        assert_eq!(world.stat_of("link41"), Err(Errno::Eloop));
    }
    // One after the other counts as well.
    world.link_to(".", "dot").unwrap();
    let many = |count: usize| "dot/".repeat(count) + "file";
    assert!(world.stat_of(&many(40)).is_ok());
    assert_eq!(world.stat_of(&many(41)), Err(Errno::Eloop));
}

#[test]
fn names_are_made_and_taken_away() {
    let world = tree();
    let exists = Err(Errno::Eexist);
    assert_eq!(world.make_dir("a"), exists);
    assert_eq!(world.make_dir("a/file"), exists);
    assert_eq!(world.make_dir("to_nothing"), exists);
    assert_eq!(world.make_dir("/"), exists);
    assert_eq!(world.make_dir("a/."), exists);
    assert_eq!(world.make_dir("a/.."), exists);
    assert_eq!(world.make_dir("no/more"), Err(Errno::Enoent));
    assert_eq!(world.make_dir("a/file/x"), Err(Errno::Enotdir));
    assert_eq!(world.make_dir("new/"), Ok(()));
    assert_eq!(world.make_dir("to_b/new"), Ok(()));
    assert_eq!(world.stat_of("a/b").unwrap().links, 4);
    assert_eq!(world.link_to("x", "sym/"), Err(Errno::Enoent));
    assert_eq!(world.link_to("", "sym"), Err(Errno::Enoent));
    assert_eq!(world.remove("new"), Err(Errno::Eisdir));
    assert_eq!(world.remove("no"), Err(Errno::Enoent));
    assert_eq!(world.remove("a/file/"), Err(Errno::Enotdir));
    assert_eq!(world.remove("a/."), Err(Errno::Eisdir));
    assert_eq!(world.remove_dir("a/file"), Err(Errno::Enotdir));
    assert_eq!(world.remove_dir("a"), Err(Errno::Enotempty));
    assert_eq!(world.remove_dir("a/."), Err(Errno::Einval));
    assert_eq!(world.remove_dir("a/.."), Err(Errno::Enotempty));
    assert_eq!(world.remove_dir("/"), Err(Errno::Ebusy));
    assert_eq!(world.remove_dir("to_b"), Err(Errno::Enotdir));
    assert_eq!(world.remove_dir("new/"), Ok(()));
    assert_eq!(world.remove("to_b"), Ok(()), "the link, not the directory");
    assert_eq!(
        world.list("/").unwrap(),
        ["a", "empty", "loop1", "loop2", "to_b_slash", "to_file", "to_file_slash", "to_nothing", "to_root"]
    );
    let caller = world.caller();
    assert_eq!(caller.mknod(At::Cwd, b"null", 0o020666, Device::new(1, 3)), Ok(()));
    let null = world.stat_of("null").unwrap();
    assert_eq!((null.mode, null.of_device), (0o020644, Device::new(1, 3)));
    assert_eq!(caller.mknod(At::Cwd, b"d", 0o040666, Device::NONE), Err(Errno::Eperm));
    assert_eq!(caller.mknod(At::Cwd, b"d", 0o150666, Device::NONE), Err(Errno::Einval));
    assert_eq!(caller.mknod(At::Cwd, b"plain", 0o600, Device::NONE), Ok(()));
    assert_eq!(world.open_as("null", OpenFlags::RDWR, 0).err(), Some(Errno::Enxio), "no driver here");
}

#[test]
fn a_removed_directory_is_a_dead_end() {
    let world = tree();
    world.enter("empty").unwrap();
    world.remove_dir("/empty").unwrap();
    assert_eq!(world.here(), Err(Errno::Enoent));
    assert_eq!(world.put("x", ""), Err(Errno::Enoent));
    assert_eq!(world.make_dir("x"), Err(Errno::Enoent));
    assert_eq!(world.stat_of("x"), Err(Errno::Enoent));
    assert_eq!(world.rename_to("/a/file", "x"), Err(Errno::Enoent));
    assert!(world.stat_of(".").is_ok());
    assert_eq!(world.stat_of("..").unwrap().inode, world.stat_of("/").unwrap().inode);
    assert_eq!(world.stat_of(".").unwrap().links, 0);
    let dir = world.open_as(".", OpenFlags::DIRECTORY, 0).unwrap();
    assert_eq!(dir.readdir(&mut Listing::default()), Err(Errno::Enoent));
}

#[test]
fn opening() {
    use OpenFlags as O;
    let world = tree();
    let error = |path: &str, flags: O| world.open_as(path, flags, 0o666).map(|_| ());
    assert_eq!(error("no", O::empty()), Err(Errno::Enoent));
    assert_eq!(error("a", O::WRONLY), Err(Errno::Eisdir));
    assert_eq!(error("a", O::CREAT), Err(Errno::Eisdir));
    assert_eq!(error("a", O::empty()), Ok(()));
    assert_eq!(error("a/file", O::DIRECTORY), Err(Errno::Enotdir));
    assert_eq!(error("a/file", O::CREAT | O::EXCL), Err(Errno::Eexist));
    assert_eq!(error("to_nothing", O::CREAT | O::EXCL), Err(Errno::Eexist));
    assert_eq!(error("to_b", O::NOFOLLOW), Err(Errno::Eloop));
    assert_eq!(error("to_b", O::NOFOLLOW | O::PATH), Ok(()));
    assert_eq!(error("to_b/", O::NOFOLLOW), Ok(()));
    assert_eq!(error("to_nothing", O::CREAT | O::NOFOLLOW), Err(Errno::Eloop));
    assert_eq!(error("loop1", O::CREAT), Err(Errno::Eloop));
    assert_eq!(error("new/", O::CREAT), Err(Errno::Eisdir));
    assert_eq!(error("a/file/", O::CREAT), Err(Errno::Enotdir));
    assert_eq!(error("a/..", O::CREAT), Err(Errno::Eisdir));
    assert_eq!(error("new", O::CREAT | O::DIRECTORY), Err(Errno::Einval));
    assert_eq!(error("to_nothing", O::CREAT | O::WRONLY), Ok(()));
    assert_eq!(
        world.stat_of("nothing").unwrap().mode,
        0o100644,
        "what the link leads to was made, less the umask"
    );

    let file = world.open_as("a/file", O::PATH, 0).unwrap();
    assert_eq!(file.read(&mut Into::new(&mut [0; 4])), Err(Errno::Ebadf));
    assert_eq!(
        world.caller().open(At::Path(&file.path), b"x", crate::fs::calls::OpenHow::new(0, 0).unwrap()).err(),
        Some(Errno::Enotdir)
    );
    let empty = world.caller().stat(At::Path(&file.path), b"", AtFlags::EMPTY_PATH).unwrap();
    assert_eq!(empty.inode, world.stat_of("a/file").unwrap().inode);
    assert_eq!(world.caller().stat(At::Path(&file.path), b"", AtFlags::empty()), Err(Errno::Enoent));

    let file = world.open_as("a/file", O::empty(), 0).unwrap();
    assert_eq!(file.write(&mut From(b"x")), Err(Errno::Ebadf));
    let file = world.open_as("a/file", O::WRONLY | O::TRUNC, 0).unwrap();
    assert_eq!(file.read(&mut Into::new(&mut [0; 4])), Err(Errno::Ebadf));
    assert_eq!(world.stat_of("a/file").unwrap().size, 0);
    let dir = world.open_as("a", O::empty(), 0).unwrap();
    assert_eq!(dir.read(&mut Into::new(&mut [0; 4])), Err(Errno::Eisdir));
}

#[test]
fn positions_and_appending() {
    let world = World::new();
    let file = world.open_as("f", OpenFlags::CREAT | OpenFlags::RDWR, 0o600).unwrap();
    assert_eq!(file.write(&mut From(b"hello, world")), Ok(12));
    assert_eq!(file.seek(-5, Whence::End), Ok(7));
    let mut buffer = [0; 20];
    let mut into = Into::new(&mut buffer);
    assert_eq!(file.read(&mut into), Ok(5));
    assert_eq!(into.filled(), b"world");
    assert_eq!(file.read(&mut Into::new(&mut [0; 4])), Ok(0), "the end");
    assert_eq!(file.seek(-1, Whence::Set), Err(Errno::Einval));
    assert_eq!(file.seek(i64::MAX, Whence::End), Err(Errno::Eoverflow));
    assert_eq!(file.write_at(&mut From(b"HELLO"), 0), Ok(5));
    assert_eq!(file.write_at(&mut From(b"!"), 10_000), Ok(1));
    assert_eq!(world.stat_of("f").unwrap().blocks, 16, "the hole has none");
    assert_eq!(file.seek(5, Whence::Hole), Ok(4096));
    assert_eq!(file.seek(5000, Whence::Data), Ok(8192));
    assert_eq!(file.seek(10_001, Whence::Data), Err(Errno::Enxio));
    assert_eq!(file.read_at(&mut Into::new(&mut [1; 4]), 10_001), Ok(0));
    let mut hole = [1; 3];
    assert_eq!(file.read_at(&mut Into::new(&mut hole), 5000), Ok(3));
    assert_eq!(hole, [0; 3]);
    let appending = world.open_as("f", OpenFlags::APPEND | OpenFlags::WRONLY, 0).unwrap();
    assert_eq!(appending.write_at(&mut From(b"?"), 0), Ok(1), "as on Linux");
    assert_eq!(world.stat_of("f").unwrap().size, 10_002);
    assert_eq!(appending.position(), 0);
    assert_eq!(appending.write(&mut From(b"?")), Ok(1));
    assert_eq!(appending.position(), 10_003);
    assert!(world.text("f").unwrap().starts_with("HELLO, world\0"));
    // What was cut off is zero when the file grows again.
    world.caller().truncate(At::Cwd, b"f", 2, u64::MAX).unwrap();
    world.caller().truncate(At::Cwd, b"f", 5, u64::MAX).unwrap();
    assert_eq!(world.text("f").unwrap(), "HE\0\0\0");
    assert_eq!(world.caller().truncate(At::Cwd, b"f", 6, 5), Err(Errno::Efbig));
    assert_eq!(world.caller().truncate(At::Cwd, b"f", -1, 5), Err(Errno::Einval));
    assert_eq!(world.caller().truncate(At::Cwd, b"/", 0, 5), Err(Errno::Eisdir));
}

#[test]
fn room_is_bounded_and_comes_back() {
    let world = World::with(100, Options { pages: Some(10), inodes: Some(5), ..Options::NONE });
    let text = "x".repeat(4096);
    for n in 0..3 {
        world.put(&format!("f{n}"), &text).unwrap();
    }
    assert_eq!(world.put("f3", &text.repeat(8)), Err(Errno::Enospc), "seven pages of eight");
    assert_eq!(world.stat_of("f3").unwrap().size, 7 * 4096);
    assert_eq!(world.make_dir("d"), Err(Errno::Enospc), "no inode");
    assert_eq!(world.fs.pages.used(), 10);
    // Open files stay until they are closed.
    let file = world.open_as("f3", OpenFlags::empty(), 0).unwrap();
    world.remove("f3").unwrap();
    assert_eq!((world.fs.pages.used(), world.fs.inodes.used()), (10, 5));
    let mut byte = [0];
    assert_eq!(file.read_at(&mut Into::new(&mut byte), 20_000), Ok(1));
    assert_eq!((byte, file.inode.links()), ([b'x'], 0));
    crate::fs::namei::Caller::close(file);
    assert_eq!((world.fs.pages.used(), world.fs.inodes.used()), (3, 4));
    world.make_dir("d").unwrap();
    let file = world.open_as("f0", OpenFlags::RDWR, 0).unwrap();
    let all = FallocateFlags::empty();
    assert_eq!(file.fallocate(all, 0, 9 * 4096, u64::MAX), Err(Errno::Enospc));
    assert_eq!(world.fs.pages.used(), 3);
    assert_eq!(file.fallocate(FallocateFlags::KEEP_SIZE, 0, 8 * 4096, u64::MAX), Ok(()));
    assert_eq!((file.inode.ops.size(), world.fs.pages.used()), (4096, 10));
    assert_eq!(file.fallocate(all, 5000, 100, u64::MAX), Ok(()));
    assert_eq!(file.inode.ops.size(), 5100);
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    assert_eq!(file.fallocate(punch, 4000, 7 * 4096 - 4000, u64::MAX), Ok(()));
    assert_eq!((file.inode.ops.size(), world.fs.pages.used()), (5100, 4));
    assert_eq!(&world.text("f0").unwrap()[3998..4003], "xx\0\0\0");
    assert_eq!(file.fallocate(FallocateFlags::PUNCH_HOLE, 0, 1, u64::MAX), Err(Errno::Eopnotsupp));
    assert_eq!(file.fallocate(all, 0, 0, u64::MAX), Err(Errno::Einval));
    assert_eq!(file.fallocate(all, i64::MAX, 1, u64::MAX), Err(Errno::Efbig));
}

#[test]
fn hard_links_and_files_without_names() {
    let world = tree();
    world.hard_link("a/file", "other").unwrap();
    assert_eq!(world.stat_of("other").unwrap().links, 2);
    assert_eq!(world.stat_of("other").unwrap().inode, world.stat_of("a/file").unwrap().inode);
    assert_eq!(world.hard_link("a", "dir"), Err(Errno::Eperm));
    assert_eq!(world.hard_link("a/file", "a/b"), Err(Errno::Eexist));
    assert_eq!(world.hard_link("no", "x"), Err(Errno::Enoent));
    world.hard_link("to_file", "sym").unwrap();
    assert_eq!(world.read_link("sym").unwrap(), "/a/file", "the link itself");
    world.remove("a/file").unwrap();
    assert_eq!(world.text("other").unwrap(), "text");
    assert_eq!(world.stat_of("other").unwrap().links, 1);

    let file = world.open_as(".", OpenFlags::TMPFILE | OpenFlags::RDWR, 0o600).unwrap();
    file.write(&mut From(b"nameless")).unwrap();
    assert_eq!(file.inode.links(), 0);
    let caller = world.caller();
    caller.link(At::Path(&file.path), b"", At::Cwd, b"named", AtFlags::EMPTY_PATH).unwrap();
    assert_eq!((world.text("named").unwrap(), file.inode.links()), ("nameless".to_string(), 1));
    world.remove("named").unwrap();
    let again = caller.link(At::Path(&file.path), b"", At::Cwd, b"named", AtFlags::EMPTY_PATH);
    assert_eq!(again, Err(Errno::Enoent), "what was unlinked stays so");
    assert_eq!(world.open_as(".", OpenFlags::TMPFILE, 0o600).err(), Some(Errno::Einval));
    let never = world.open_as(".", OpenFlags::TMPFILE | OpenFlags::EXCL | OpenFlags::RDWR, 0o600).unwrap();
    let named = caller.link(At::Path(&never.path), b"", At::Cwd, b"named", AtFlags::EMPTY_PATH);
    assert_eq!(named, Err(Errno::Enoent), "it was to have no name for good");
}

/// That there is nothing under a name is remembered, and somebody still has that; then the directory is removed. Nothing can be
/// made in it.
#[test]
fn nothing_is_made_in_a_removed_directory() {
    let world = tree();
    let caller = world.caller();
    let dir = world.open_as("empty", OpenFlags::DIRECTORY, 0).unwrap();
    assert_eq!(world.stat_of("empty/x"), Err(Errno::Enoent));
    let remembered = caller.lookup(&dir.path, b"x").unwrap();
    world.remove_dir("empty").unwrap();
    let created = OpenHow::new((OpenFlags::CREAT | OpenFlags::RDWR).bits(), 0o600).unwrap();
    assert_eq!(caller.open(At::Path(&dir.path), b"x", created).err(), Some(Errno::Enoent));
    assert_eq!(caller.mkdir(At::Path(&dir.path), b"x", 0o700), Err(Errno::Enoent));
    assert!(remembered.inode().is_none());
}

/// A write of nothing leaves the position where it is, also of a file that is appended to.
#[test]
fn a_write_of_nothing() {
    let world = World::new();
    world.put("file", "text").unwrap();
    let file = world.open_as("file", OpenFlags::WRONLY | OpenFlags::APPEND, 0).unwrap();
    assert_eq!((file.write(&mut From(b"")), file.position()), (Ok(0), 0));
    assert_eq!((file.write(&mut From(b"s")), file.position()), (Ok(1), 5));
}

#[test]
fn renaming() {
    let world = tree();
    let (file, dir) = (world.stat_of("a/file").unwrap().inode, world.stat_of("a/b").unwrap().inode);
    world.rename_to("a/file", "moved").unwrap();
    assert_eq!(world.stat_of("a/file"), Err(Errno::Enoent));
    assert_eq!(world.stat_of("moved").unwrap().inode, file);
    world.put("target", "old").unwrap();
    world.rename_to("moved", "target").unwrap();
    assert_eq!(world.stat_of("target").unwrap().inode, file);
    assert_eq!(world.rename_to("target", "a"), Err(Errno::Eisdir));
    assert_eq!(world.rename_to("a", "target"), Err(Errno::Enotdir));
    assert_eq!(world.rename_to("a", "a/b/x"), Err(Errno::Einval));
    assert_eq!(world.rename_to("a", "a/b"), Err(Errno::Einval));
    assert_eq!(world.rename_to("a/b/c", "a"), Err(Errno::Enotempty));
    assert_eq!(world.rename_to("a", "a"), Ok(()));
    assert_eq!(world.rename_to("a/.", "x"), Err(Errno::Ebusy));
    assert_eq!(world.rename_to("a", "x/.."), Err(Errno::Enoent));
    assert_eq!(world.rename_to("target", "x/"), Err(Errno::Enotdir));
    assert_eq!(world.rename_to("no", "x"), Err(Errno::Enoent));
    world.enter("a/b/c").unwrap();
    world.rename_to("/a/b", "/empty/").unwrap();
    assert_eq!(world.here().unwrap(), "/empty/c");
    assert_eq!(world.stat_of("..").unwrap().inode, dir);
    assert_eq!((world.stat_of("/a").unwrap().links, world.stat_of("/").unwrap().links), (2, 4));
    world.enter("/").unwrap();

    let both = RenameFlags::NOREPLACE | RenameFlags::EXCHANGE;
    assert_eq!(world.rename_as("a", "b", both), Err(Errno::Einval));
    assert_eq!(world.rename_as("a", "b", RenameFlags::WHITEOUT), Err(Errno::Einval));
    assert_eq!(world.rename_as("a", "empty", RenameFlags::NOREPLACE), Err(Errno::Eexist));
    assert_eq!(world.rename_as("a", "b", RenameFlags::EXCHANGE), Err(Errno::Enoent));
    // A file and a directory change places.
    world.rename_as("target", "empty/c", RenameFlags::EXCHANGE).unwrap();
    assert_eq!(world.text("empty/c").unwrap(), "text");
    assert_eq!(world.text("target/deep").unwrap(), "deep text");
    assert_eq!((world.stat_of("empty").unwrap().links, world.stat_of("/").unwrap().links), (2, 5));
    // Two names of one file.
    world.hard_link("empty/c", "same").unwrap();
    world.rename_to("empty/c", "same").unwrap();
    assert!(world.stat_of("empty/c").is_ok() && world.stat_of("same").is_ok(), "POSIX has both stay");
}

#[test]
fn listing_is_stable_while_entries_come_and_go() {
    let world = World::with_cache(64);
    const COUNT: usize = 20_000;
    world.make_dir("big").unwrap();
    for n in 0..COUNT {
        world.put(&format!("big/stays{n}"), "").unwrap();
        if n % 4 == 0 {
            world.put(&format!("big/goes{n}"), "").unwrap();
        }
    }
    let dir = world.open_as("big", OpenFlags::DIRECTORY, 0).unwrap();
    let mut seen: Vec<String> = Vec::new();
    let mut round = 0;
    loop {
        let mut some = Listing { limit: 100, ..Listing::default() };
        dir.readdir(&mut some).unwrap();
        if some.entries.is_empty() {
            break;
        }
        seen.extend(some.entries.into_iter().map(|(name, ..)| name));
        for n in (round * 80..(round + 1) * 80).filter(|n| n % 4 == 0 && *n < COUNT) {
            // From the other end, so that some go before they are seen.
            world.remove(&format!("big/goes{}", COUNT - 4 - n)).unwrap();
            world.put(&format!("big/new{n}"), "").unwrap();
            world.remove(&format!("big/new{n}")).unwrap();
        }
        round += 1;
    }
    assert_eq!(&seen[..2], [".", ".."]);
    let mut stays: Vec<&String> = seen.iter().filter(|name| name.starts_with("stays")).collect();
    assert_eq!(stays.len(), COUNT, "each once");
    stays.sort();
    stays.dedup();
    assert_eq!(stays.len(), COUNT);
    dir.seek(0, Whence::Set).unwrap();
    let mut again = Listing { limit: 3, ..Listing::default() };
    dir.readdir(&mut again).unwrap();
    assert_eq!(again.entries[2].0, "stays0");
    assert!(world.cache.counts().entries < 200, "{:?}", world.cache.counts());
}

#[test]
fn places_are_told_and_kept() {
    let world = tree();
    let caller = world.caller();
    let file = world.open_as("a/b/c/deep", OpenFlags::empty(), 0).unwrap();
    let path = |file: &crate::fs::file::File| String::from_utf8(caller.path_of(&file.path).unwrap()).unwrap();
    assert_eq!(path(&file), "/a/b/c/deep");
    world.rename_to("a/b", "empty/x").unwrap();
    assert_eq!(path(&file), "/empty/x/c/deep");
    world.remove("empty/x/c/deep").unwrap();
    assert_eq!(path(&file), "/empty/x/c/deep (deleted)");
    // A root of one's own.
    world.enter("empty/x").unwrap();
    caller.chroot(b"/empty").unwrap();
    assert_eq!(world.here().unwrap(), "/x");
    assert_eq!(world.stat_of("/..").unwrap().inode, world.stat_of("/").unwrap().inode);
    assert_eq!(world.stat_of("../../../..").unwrap().inode, world.stat_of("/").unwrap().inode);
    assert_eq!(world.stat_of("/a"), Err(Errno::Enoent));
    let outside = world.open_as("..", OpenFlags::PATH, 0).unwrap();
    caller.chroot(b"/x").unwrap();
    assert_eq!(path(&outside), "(unreachable)/empty");
    assert!(caller.resolve(At::Path(&outside.path), b"x/c", Last::Follow).is_ok());
}

#[test]
fn kinds_show_in_listings() {
    let world = tree();
    let mut listing = Listing::default();
    world.open_as("a", OpenFlags::empty(), 0).unwrap().readdir(&mut listing).unwrap();
    let kinds: Vec<_> = listing.entries.iter().map(|(name, _, kind)| (name.as_str(), *kind)).collect();
    assert_eq!(
        kinds,
        [
            (".", Kind::Directory),
            ("..", Kind::Directory),
            ("b", Kind::Directory),
            ("file", Kind::Regular),
            ("up", Kind::Symlink)
        ]
    );
    assert_eq!(listing.entries[1].1, world.stat_of("/").unwrap().inode);
}
