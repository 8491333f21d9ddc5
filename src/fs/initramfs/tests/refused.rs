//! Archives that are wrong: each refused for what is wrong with it, at the place where it is, by its name.

use super::super::error::Field;
use super::super::{Place, Problem, unpack};
use super::archive::{Archive, Entry, gzip};
use super::tree::{Full, Tree};
use super::{DEBIAN, DEBIAN_CRC, GZIPPED};

/// Unpacks what cannot be unpacked: problem, name, place.
fn refused(image: &[u8]) -> (Problem<Full>, Vec<u8>, Place) {
    let error = unpack(image, &mut Tree::new()).expect_err("there is something wrong");
    assert!(!format!("{error}").is_empty());
    (error.problem, error.name.bytes().to_vec(), error.place)
}

/// The entry that is wrong comes second: 110 bytes of header, 4 of name "a", 4 of contents before it.
fn second(entry: Entry) -> Vec<u8> {
    Archive::new().entry(Entry::file("a", b"1")).entry(entry).end()
}

const SECOND: u64 = 110 + 2 + 4;

#[test]
fn names_that_lead_elsewhere() {
    for (name, problem) in [
        ("/etc/passwd", Problem::Absolute),
        ("//x", Problem::Absolute),
        ("..", Problem::DotDot),
        ("../x", Problem::DotDot),
        ("a/../../x", Problem::DotDot),
        ("", Problem::BadName),
        ("x/", Problem::NotDirectory),
        (".", Problem::NotDirectory),
    ] {
        let image = second(Entry::file(name, b"x"));
        let place = Place { image: SECOND, unpacked: None };
        assert_eq!(refused(&image), (problem, name.as_bytes().to_vec(), place));
        let place = Place { image: 0, unpacked: Some(SECOND) };
        assert_eq!(refused(&gzip(&image)), (problem, name.as_bytes().to_vec(), place));
    }
    let long = "x".repeat(256);
    let (problem, name, _) = refused(&second(Entry::file(&long, b"")));
    assert_eq!((problem, name.len()), (Problem::NameTooLong, 64));
    let entry = Entry::file(&"x/".repeat(2048), b"");
    assert_eq!(refused(&second(entry)).0, Problem::NameTooLong);
}

#[test]
fn sizes_that_lie() {
    for (size, name_size, problem) in [
        (Some(u32::MAX), None, Problem::Truncated),
        (Some(u32::MAX - 3), None, Problem::Truncated),
        (Some(100_000), None, Problem::Truncated),
        (None, Some(0), Problem::BadName),
        (None, Some(1), Problem::BadName),
        (None, Some(u32::MAX), Problem::NameTooLong),
        (None, Some(4097), Problem::NameTooLong),
        (None, Some(4096), Problem::Truncated),
        // The name then reaches into padding, or contents, and has a 0 in the middle.
        (None, Some(5), Problem::BadName),
    ] {
        let image = second(Entry { size, name_size, ..Entry::file("bcd", b"x") });
        assert_eq!(refused(&image).0, problem, "{size:?} {name_size:?}");
        let packed = refused(&gzip(&image)).0;
        assert!(packed == problem || packed == Problem::BadName, "{packed:?}");
    }
    // What is cut off is not begun where that can be known.
    let image = second(Entry { size: Some(u32::MAX), ..Entry::file("b", b"x") });
    let mut tree = Tree::new();
    assert!(unpack(&image, &mut tree).is_err());
    assert_eq!((tree.len(), tree.contents(b"a")), (1, &b"1"[..]));
}

#[test]
fn every_truncation() {
    for len in 1..DEBIAN.len() {
        let cut = &DEBIAN[..len];
        match unpack(cut, &mut Tree::new()) {
            // Only zeros are missing.
            Ok(_) => assert!(DEBIAN[len..].iter().all(|&byte| byte == 0)),
            Err(error) => assert_eq!(error.problem, Problem::Truncated, "{len}"),
        }
    }
    for len in 2..GZIPPED.len() {
        assert_eq!(refused(&GZIPPED[..len]).0, Problem::Truncated, "{len}");
    }
    assert_eq!(refused(&GZIPPED[..1]).0, Problem::Magic([0x1F, 0, 0, 0, 0, 0]));
    // A whole member with half an archive.
    let cut = gzip(&DEBIAN[..1000]);
    assert_eq!(refused(&cut).0, Problem::Truncated);
    let (problem, ..) = refused(&[&cut[..], DEBIAN].concat());
    assert_eq!(problem, Problem::Truncated, "a plain archive is not its other half");
}

#[test]
fn other_formats_by_their_names() {
    for (start, problem) in [
        (&b"\xFD7zXZ\0\0\x04"[..], Problem::Compression("xz")),
        (b"\x28\xB5\x2F\xFD....", Problem::Compression("zstd")),
        (b"BZh91AY&SY", Problem::Compression("bzip2")),
        (b"070707000000", Problem::Format("cpio's old portable format")),
        (b"\x7FELF\x02\x01", Problem::Magic(*b"\x7FELF\x02\x01")),
        (b"x", Problem::Magic(*b"x\0\0\0\0\0")),
    ] {
        let mut image = start.to_vec();
        image.resize(200, b' ');
        let wanted = if start.len() > 1 { problem } else { Problem::Magic(*b"x     ") };
        assert_eq!(refused(&image).0, wanted);
        let place = Place { image: 512 * DEBIAN.len().div_ceil(512) as u64, unpacked: None };
        let mut behind = DEBIAN.to_vec();
        behind.resize(place.image as usize, 0);
        behind.extend(&image);
        assert_eq!(refused(&behind), (wanted, vec![], place));
    }
    let mut image = second(Entry::file("b", b""));
    image[SECOND as usize + 5] = b'3';
    assert_eq!(refused(&image).0, Problem::Magic(*b"070703"));
}

#[test]
fn headers_that_are_no_numbers() {
    let fields = [
        Field::Inode,
        Field::Mode,
        Field::Uid,
        Field::Gid,
        Field::Links,
        Field::Time,
        Field::Size,
        Field::DeviceMajor,
        Field::DeviceMinor,
        Field::NodeMajor,
        Field::NodeMinor,
        Field::NameSize,
        Field::Check,
    ];
    for (nth, field) in fields.into_iter().enumerate() {
        for digit in [0, 7] {
            for bad in [b' ', b'+', b'-', b'g', b'x', 0, 0xFF] {
                let mut image = second(Entry::file("b", b""));
                image[SECOND as usize + 6 + 8 * nth + digit] = bad;
                assert_eq!(refused(&image).0, Problem::NotHex(field));
            }
        }
    }
}

#[test]
fn files_that_are_none() {
    let entry = |mode, node| Entry { node, ..Entry::new("b", mode) };
    for (entry, problem) in [
        (entry(0o644, (0, 0)), Problem::Type(0o644)),
        (entry(0o170_644, (0, 0)), Problem::Type(0o170_644)),
        (entry(0o020_644, (4096, 0)), Problem::Device(4096, 0)),
        (entry(0o060_644, (1, 1 << 20)), Problem::Device(1, 1 << 20)),
        (Entry::symlink("b", b""), Problem::Target),
        (Entry::symlink("b", b"\0"), Problem::Target),
        (Entry::symlink("b", b"x\0y"), Problem::Target),
        (Entry::symlink("b", &[b'x'; 4096]), Problem::Target),
        (Entry::symlink("b", &[b'x'; 4097]), Problem::Target),
    ] {
        assert_eq!((refused(&second(entry.clone())).0, &refused(&second(entry)).1[..]), (problem, &b"b"[..]));
    }
    assert_eq!(refused(&second(Entry::file("TRAILER!!!", b"x"))).0, Problem::Trailer);
}

#[test]
fn checksums() {
    let text = DEBIAN_CRC.windows(6).position(|bytes| bytes == b"hello\n").unwrap();
    let mut image = DEBIAN_CRC.to_vec();
    image[text] ^= 1;
    let said = b"hello\n".iter().map(|&byte| u32::from(byte)).sum();
    let (problem, name, _) = refused(&image);
    assert_eq!((problem, &name[..]), (Problem::Checksum { said, found: said + 1 }, &b"etc/hello"[..]));
    // In the format without checksums nobody looks.
    let text = DEBIAN.windows(6).position(|bytes| bytes == b"hello\n").unwrap();
    let mut image = DEBIAN.to_vec();
    image[text] ^= 1;
    assert!(unpack(&image, &mut Tree::new()).is_ok());

    let end = GZIPPED.len();
    let flip = |at: usize| {
        let mut image = GZIPPED.to_vec();
        image[at] ^= 1;
        refused(&image).0
    };
    assert!(matches!(flip(end - 8), Problem::GzipCrc { said, found } if said == found ^ 1));
    let len = DEBIAN.len() as u32;
    assert_eq!(flip(end - 4), Problem::GzipLength { said: len ^ 1, found: len });
    assert_eq!(flip(2), Problem::GzipHeader);
    let mut image = gzip(DEBIAN);
    image[3] = 0x20;
    assert_eq!(refused(&image).0, Problem::GzipHeader);
    let mut image = gzip(DEBIAN);
    image[10] = 0x07;
    assert_eq!(refused(&image).0, Problem::Deflate, "a block of the type that there is not");
}

#[test]
fn the_sinks_own_errors_end_it() {
    let image = second(Entry::file("b", &[0; 100]));
    for image in [image.clone(), gzip(&image)] {
        let error = unpack(&image, &mut Tree::with_room(50)).unwrap_err();
        assert_eq!((error.problem, error.name.bytes()), (Problem::Sink(Full), &b"b"[..]));
    }
}
