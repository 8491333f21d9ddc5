//! Many threads in one tree, all calls at random, with names few enough that they meet.
//!
//! What a call answers depends on what others have just done, so any of the answers that Linux could give will do. But
//! bytes do not: at each place of a file is zero or what its inode's number and the place make, so whoever reads can tell;
//! and what comes out of a FIFO or a pipe was put in, in one piece. In the end all names are taken away ([`clear`]), and
//! then nothing may be left: whoever runs this counts inodes, pages and frames.

use super::super::Result;
use super::super::calls::OpenHow;
use super::super::file::{Entries, File};
use super::super::flags::{AtFlags, FallocateFlags, OpenFlags, RenameFlags};
use super::super::io::{From, Into};
use super::super::mode::{Device, Kind};
use super::super::namei::{At, Caller};
use super::super::refs::Ref;
use crate::errno::Errno;
use crate::testing::Random;

/// Names in a directory.
const NAMES: u64 = 6;
/// Components of a path, at most.
const DEPTH: u64 = 3;
/// Files that a thread keeps open.
const KEPT: usize = 4;
/// Bytes moved by one call.
const PIECE: usize = 9000;
/// A file's bytes are before that.
const MOST: u64 = 64 << 10;
/// What goes through a FIFO at a time.
const RECORD: usize = 16;

/// What was found, and in which step.
pub type Wrong = (&'static str, u64);

/// A path: where the tree is, and up to [`DEPTH`] names.
struct PathText {
    bytes: [u8; 96],
    len: usize,
}

impl PathText {
    fn new(base: &[u8]) -> Self {
        let mut path = Self { bytes: [0; 96], len: 0 };
        path.push(base);
        path
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    fn get(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The byte at a place of a file.
fn byte(number: u64, at: u64) -> u8 {
    let word = (number.rotate_left(32) ^ (at / 8)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (word ^ word >> 29).to_le_bytes()[at as usize % 8] | 1
}

/// A thread's half.
pub struct Worker<'a> {
    caller: Caller<'a>,
    base: &'a [u8],
    random: Random,
    kept: [Option<Ref<File>>; KEPT],
    buffer: [u8; PIECE],
    step: u64,
}

/// Whether a call may answer that, others being about.
const fn may_be(error: Errno) -> bool {
    use Errno::{
        Eagain, Ebusy, Eexist, Einval, Eisdir, Eloop, Emlink, Enoent, Enospc, Enotdir, Enotempty, Enxio,
        Eperm,
    };
    matches!(
        error,
        Eagain
            | Ebusy
            | Eexist
            | Einval
            | Eisdir
            | Eloop
            | Emlink
            | Enoent
            | Enospc
            | Enotdir
            | Enotempty
            | Enxio
            | Eperm
    )
}

impl<'a> Worker<'a> {
    /// In the tree at `base`.
    pub fn new(caller: Caller<'a>, base: &'a [u8], seed: u64) -> Self {
        Self {
            caller,
            base,
            random: Random::new(seed),
            kept: [const { None }; KEPT],
            buffer: [0; PIECE],
            step: 0,
        }
    }

    /// Takes so many steps.
    pub fn run(&mut self, steps: u64) -> core::result::Result<(), Wrong> {
        for _ in 0..steps {
            self.step += 1;
            match self.one() {
                Ok(true) => (),
                Ok(false) => {
                    return Err(("a file, a FIFO or a pipe has bytes that nobody put there", self.step));
                }
                Err(error) if may_be(error) => (),
                Err(error) => {
                    log::error!(target: "files", "step {} ends in {error}", self.step);
                    return Err(("a call answers what it should not", self.step));
                }
            }
        }
        Ok(())
    }

    fn name(&mut self) -> u8 {
        b'a' + self.random.below(NAMES) as u8
    }

    fn path(&mut self) -> PathText {
        let mut path = PathText::new(self.base);
        for _ in 0..=self.random.below(DEPTH) {
            path.push(b"/");
            let name = self.name();
            path.push(&[name]);
        }
        path
    }

    fn open(&mut self, flags: OpenFlags) -> Result<Ref<File>> {
        let path = self.path();
        let how = OpenHow::new((flags | OpenFlags::NONBLOCK).bits(), 0o600)?;
        self.caller.open(At::Cwd, path.get(), how)
    }

    /// One call, or a few that belong together; false if something is wrong with the bytes.
    fn one(&mut self) -> Result<bool> {
        match self.random.below(100) {
            0..12 => {
                let file = self.open(OpenFlags::CREAT | OpenFlags::RDWR)?;
                let good = self.write(&file)?;
                self.keep(file);
                return Ok(good);
            }
            12..20 => {
                let file = self.open(OpenFlags::RDWR)?;
                let good = self.read(&file)? && self.write(&file)?;
                self.keep(file);
                return Ok(good);
            }
            20..28 => {
                // One that was kept: perhaps it has no name any more.
                let at = self.random.below(KEPT as u64) as usize;
                if let Some(file) = self.kept[at].take() {
                    let good = self.read(&file);
                    self.kept[at] = Some(file);
                    return good;
                }
            }
            28..34 => {
                let path = self.path();
                self.caller.mkdir(At::Cwd, path.get(), 0o700)?;
            }
            34..38 => {
                let path = self.path();
                self.caller.rmdir(At::Cwd, path.get())?;
            }
            38..47 => {
                let path = self.path();
                self.caller.unlink(At::Cwd, path.get())?;
            }
            47..56 => self.rename()?,
            56..60 => {
                let (old, new) = (self.path(), self.path());
                self.caller.link(At::Cwd, old.get(), At::Cwd, new.get(), AtFlags::empty())?;
            }
            60..64 => {
                let (path, target) = (self.path(), [self.name(), b'/', self.name()]);
                self.caller.symlink(&target, At::Cwd, path.get())?;
            }
            64..67 => {
                let path = self.path();
                self.caller.read_link(At::Cwd, path.get())?;
            }
            67..76 => {
                let path = self.path();
                let flags =
                    if self.random.below(2) == 0 { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
                let stat = self.caller.stat(At::Cwd, path.get(), flags)?;
                return Ok(Kind::from_mode(stat.mode).is_some() && stat.size < 1 << 32);
            }
            76..80 => {
                let path = self.path();
                let dir =
                    self.caller.open(At::Cwd, path.get(), OpenHow::new(OpenFlags::DIRECTORY.bits(), 0)?)?;
                let mut seen = Seen { good: true, count: 0 };
                let listed = dir.readdir(&mut seen);
                Caller::close(dir);
                listed?;
                return Ok(seen.good);
            }
            80..85 => {
                let (path, size) = (self.path(), self.random.below(MOST) & !7);
                self.caller.truncate(At::Cwd, path.get(), size as i64, u64::MAX)?;
            }
            85..88 => {
                let file = self.open(OpenFlags::RDWR)?;
                let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                let (at, len) = (self.random.below(MOST) & !7, (self.random.below(MOST) & !7) + 8);
                let punched = if file.inode.kind == Kind::Regular {
                    file.fallocate(flags, at as i64, len as i64, u64::MAX)
                } else {
                    Ok(())
                };
                Caller::close(file);
                punched?;
            }
            88..90 => {
                let path = self.path();
                self.caller.mknod(At::Cwd, path.get(), Kind::Fifo.bits() | 0o600, Device::NONE)?;
            }
            90..96 => {
                // Mostly it is no FIFO: then it is read as the file that it is.
                let file = self.open(OpenFlags::RDWR)?;
                let good = if file.inode.kind == Kind::Fifo {
                    self.records(&file, &file, false)
                } else {
                    self.read(&file)
                };
                Caller::close(file);
                return good;
            }
            _ => {
                let [from, to] = self.caller.pipe(OpenFlags::NONBLOCK)?;
                let good = self.records(&from, &to, true);
                let is_empty = from.read(&mut Into::new(&mut self.buffer[..1]));
                Caller::close(to);
                let ends = from.read(&mut Into::new(&mut self.buffer[..1]));
                Caller::close(from);
                return Ok(good? && is_empty == Err(Errno::Eagain) && ends == Ok(0));
            }
        }
        Ok(true)
    }

    fn rename(&mut self) -> Result<()> {
        let (old, new) = (self.path(), self.path());
        let flags = match self.random.below(6) {
            0 => RenameFlags::EXCHANGE,
            1 => RenameFlags::NOREPLACE,
            _ => RenameFlags::empty(),
        };
        self.caller.rename(At::Cwd, old.get(), At::Cwd, new.get(), flags)
    }

    /// Keeps a file open, in the place of another.
    fn keep(&mut self, file: Ref<File>) {
        let at = self.random.below(KEPT as u64) as usize;
        if let Some(old) = self.kept[at].replace(file) {
            Caller::close(old);
        }
    }

    fn write(&mut self, file: &File) -> Result<bool> {
        if file.inode.kind != Kind::Regular {
            return Ok(true);
        }
        let (at, len) = (self.random.below(MOST) & !7, self.random.below(PIECE as u64) as usize & !7);
        let number = file.inode.number;
        for (byte, place) in self.buffer[..len].iter_mut().zip(at..) {
            *byte = self::byte(number, place);
        }
        Ok(file.write_at(&mut From(&self.buffer[..len]), at)? <= len)
    }

    fn read(&mut self, file: &File) -> Result<bool> {
        if file.inode.kind != Kind::Regular {
            return Ok(true);
        }
        let (at, len) = (self.random.below(MOST), 1 + self.random.below(PIECE as u64 - 1) as usize);
        let got = file.read_at(&mut Into::new(&mut self.buffer[..len]), at)?;
        let number = file.inode.number;
        Ok(self.buffer[..got]
            .iter()
            .zip(at..)
            .all(|(&got, place)| got == 0 || got == self::byte(number, place)))
    }

    /// A few records go in, and as many come out: those, one after the other, if nobody else has the pipe, and perhaps others' or
    /// none if somebody has.
    fn records(&mut self, from: &File, to: &File, alone: bool) -> Result<bool> {
        const MOST: usize = 8;
        let count = 1 + self.random.below(MOST as u64);
        let mut words = [0; MOST];
        let mut record = [0; RECORD];
        let mut put = 0;
        for _ in 0..count {
            let word = self.random.next_u64();
            record[..8].copy_from_slice(&word.to_le_bytes());
            record[8..].copy_from_slice(&(!word).to_le_bytes());
            match to.write(&mut From(&record)) {
                Ok(RECORD) => {
                    words[put] = word;
                    put += 1;
                }
                Ok(_) => return Ok(false),
                Err(Errno::Eagain) if !alone => break,
                // There is always room in a pipe of one's own.
                Err(Errno::Eagain) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        for &word in &words[..put] {
            match from.read(&mut Into::new(&mut record)) {
                Ok(RECORD) => (),
                // Somebody else has it.
                Err(Errno::Eagain) if !alone => break,
                _ => return Ok(false),
            }
            if alone && record[..8] != word.to_le_bytes() {
                return Ok(false);
            }
            if record[..8].iter().zip(&record[8..]).any(|(one, other)| *one != !*other) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Closes what was kept open.
    pub fn end(&mut self) {
        self.kept.iter_mut().filter_map(Option::take).for_each(Caller::close);
    }
}

/// Looks at a directory's entries.
struct Seen {
    good: bool,
    count: usize,
}

impl Entries for Seen {
    fn add(&mut self, name: &[u8], number: u64, _: Kind, _: u64) -> bool {
        let is_ours = matches!(name, [b'a'..=b'z'] | b"." | b"..");
        self.good &= is_ours && number != 0;
        self.count += 1;
        true
    }
}

/// Names of a directory, a few at a time.
struct Names {
    names: [(u8, [u8; 12]); 16],
    count: usize,
    is_directory: [bool; 16],
}

impl Entries for Names {
    fn add(&mut self, name: &[u8], _: u64, kind: Kind, _: u64) -> bool {
        if name == b"." || name == b".." {
            return true;
        }
        if self.count == self.names.len() || name.len() > 12 {
            return false;
        }
        let (len, bytes) = &mut self.names[self.count];
        *len = name.len() as u8;
        bytes[..name.len()].copy_from_slice(name);
        self.is_directory[self.count] = kind == Kind::Directory;
        self.count += 1;
        true
    }
}

fn names(caller: &Caller<'_>, path: &[u8]) -> Result<Names> {
    let dir = caller.open(At::Cwd, path, OpenHow::new(OpenFlags::DIRECTORY.bits(), 0)?)?;
    let mut names = Names { names: [(0, [0; 12]); 16], count: 0, is_directory: [false; 16] };
    let listed = dir.readdir(&mut names);
    Caller::close(dir);
    listed.map(|()| names)
}

/// Takes everything away below `base`: what is in a directory that is not empty comes up, under a name of its own, however
/// deep the tree has become.
pub fn clear(caller: &Caller<'_>, base: &[u8]) -> Result<()> {
    let mut moved = 0u32;
    loop {
        let found = names(caller, base)?;
        if found.count == 0 {
            return Ok(());
        }
        for (&(len, name), is_directory) in found.names[..found.count].iter().zip(found.is_directory) {
            let mut path = PathText::new(base);
            path.push(b"/");
            path.push(&name[..usize::from(len)]);
            if !is_directory {
                caller.unlink(At::Cwd, path.get())?;
                continue;
            }
            loop {
                let inner = names(caller, path.get())?;
                for &(len, name) in &inner.names[..inner.count] {
                    let (mut from, mut to) = (PathText::new(path.get()), PathText::new(base));
                    from.push(b"/");
                    from.push(&name[..usize::from(len)]);
                    to.push(b"/z");
                    moved += 1;
                    (0..8).rev().for_each(|digit| to.push(&[b'0' + (moved >> (4 * digit) & 15) as u8]));
                    caller.rename(At::Cwd, from.get(), At::Cwd, to.get(), RenameFlags::NOREPLACE)?;
                }
                if inner.count == 0 {
                    break;
                }
            }
            caller.rmdir(At::Cwd, path.get())?;
        }
    }
}
