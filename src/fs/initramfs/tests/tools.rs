//! The same with what Debian's cpio and bsdcpio write today, if they are there (`make test` sees to that): 20,000 files,
//! and everything that a tree can hold without root.

use super::archive::gzip;
use super::tree::{File, Tree};
use super::{unpack, unpacked};
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A directory that goes with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sis-initramfs-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a program writes that is given these names; `None` if there is no such program.
fn archive(command: &[&str], at: &Path, names: &[String]) -> Option<Vec<u8>> {
    let mut child = Command::new(command[0])
        .args(&command[1..])
        .current_dir(at)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut input = child.stdin.take().unwrap();
    let list = names.iter().map(|name| format!("{name}\n")).collect::<String>();
    let writer = std::thread::spawn(move || input.write_all(list.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "{command:?}");
    Some(output.stdout)
}

const COMMANDS: [&[&str]; 3] = [
    &["cpio", "--quiet", "-o", "-H", "newc"],
    &["cpio", "--quiet", "-o", "-H", "crc"],
    &["bsdcpio", "--quiet", "-o", "-H", "newc"],
];

#[test]
fn twenty_thousand_files_by_other_programs() {
    let scratch = Scratch::new("many");
    let at = &scratch.0;
    let mut names = vec![".".to_string()];
    for dir in 0..100 {
        names.push(format!("./d{dir}"));
        fs::create_dir(at.join(format!("d{dir}"))).unwrap();
        for file in 0..200 {
            let name = format!("d{dir}/f{file}");
            if file % 10 == 9 && file > 9 {
                fs::hard_link(at.join(format!("d{dir}/f9")), at.join(&name)).unwrap();
            } else if file % 10 == 8 {
                symlink(format!("f{}", file - 1), at.join(&name)).unwrap();
            } else {
                fs::write(at.join(&name), vec![b'0' + (file % 10) as u8; file * 3]).unwrap();
            }
            names.push(format!("./{name}"));
        }
    }
    for command in COMMANDS {
        let Some(image) = archive(command, at, &names) else {
            println!("skipped: there is no {}", command[0]);
            continue;
        };
        for image in [gzip(&image), image] {
            let (tree, summary) = unpacked(&image);
            assert_eq!((tree.len(), summary.entries), (20_101, 20_101), "{command:?}");
            for dir in 0..100 {
                for file in 0..200 {
                    let name = format!("d{dir}/f{file}");
                    let (like, name) = (if file % 10 == 9 { 9 } else { file }, name.as_bytes());
                    if file % 10 == 8 {
                        let target = format!("f{}", file - 1).into_bytes();
                        assert_eq!(tree.get(name), Some(&File::Symlink(target)));
                    } else {
                        assert_eq!(tree.contents(name), vec![b'0' + (like % 10) as u8; like * 3]);
                    }
                }
                assert_eq!(tree.names_of(format!("d{dir}/f199").as_bytes()), 20, "{command:?}");
            }
        }
    }
}

#[test]
fn long_names_empty_and_large_files_by_other_programs() {
    let scratch = Scratch::new("large");
    let at = &scratch.0;
    let deep = format!("{0}/{0}/{0}/{1}", "d".repeat(200), "f".repeat(255));
    fs::create_dir_all(at.join(&deep[..602])).unwrap();
    fs::write(at.join(&deep), "deep").unwrap();
    fs::write(at.join("empty"), "").unwrap();
    let large: Vec<u8> = (0..16u32 << 20).flat_map(u32::to_le_bytes).collect();
    fs::write(at.join("large"), &large).unwrap();
    let names = [&deep, "empty", "large"].map(str::to_string);
    for command in COMMANDS {
        let Some(image) = archive(command, at, &names) else { continue };
        // Two in a row, of which the second says nothing new.
        let twice = [&image[..], &image].concat();
        let mut tree = Tree::new();
        let summary = unpack(&twice, &mut tree).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((tree.len(), summary.archives, summary.data_bytes), (3, 2, 2 * ((64 << 20) + 4)));
        assert_eq!((tree.contents(deep.as_bytes()), tree.contents(b"empty")), (&b"deep"[..], &b""[..]));
        assert!(tree.contents(b"large") == large, "{command:?}");
    }
}
