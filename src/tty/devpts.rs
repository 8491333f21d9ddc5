//! devpts: the directory of the pseudo-terminals' slaves, /dev/pts.
//!
//! A file system whose names are numbers of pairs: `N` is there as long as the master of pair N is open, and `ptmx`, which
//! opens a new pair, always. A name stands for that pair: when its number is given out again it is another node, and each
//! walk asks whether it still is this one. Mode and owner are kept with the pair as long as it lives, since `mesg` and
//! `login` change them; at first it belongs to who opened the master, and to the terminals' group.
//!
//! Source: Linux Documentation/filesystems/devpts.rst.

use super::ptys::{self, Named, PAIRS, PAIRS_MAX};
use crate::boot::layout::PAGE_SIZE;
use crate::errno::Errno;
use crate::fs::Result;
use crate::fs::dcache::Dcache;
use crate::fs::file::{Entries, File, FileOps};
use crate::fs::inode::{Birth, Inode, InodeOps, Name, New};
use crate::fs::mode::{Device, Kind};
use crate::fs::refs::Ref;
use crate::fs::super_block::{FsFlags, FsOps, FsType, StatFs, SuperBlock};
use crate::fs::time::{Time, Times};
use crate::sync::{Mutex, Rank};
use core::any::Any;
use core::fmt;

/// The group of terminals, by the number that distributions have.
pub const GROUP_TTY: u32 = 5;
/// The number of what opens a new pair.
pub const PTMX_DEVICE: Device = Device::new(5, 2);

/// As `statfs` knows it.
pub const MAGIC: u32 = 0x1CD1;

/// Inode numbers: the root, ptmx, then the pairs.
const ROOT: u64 = 1;
const PTMX: u64 = 2;
const FIRST: u64 = 3;

/// What is said when it is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Options {
    gid: u32,
    mode: u32,
    ptmx_mode: u32,
}

impl Options {
    const DEFAULT: Self = Self { gid: GROUP_TTY, mode: 0o620, ptmx_mode: 0o666 };

    /// `gid=5,mode=620,ptmxmode=666`. EINVAL for what is not known.
    fn parse(text: &[u8]) -> Result<Self> {
        let text = core::str::from_utf8(text).map_err(|_| Errno::Einval)?;
        let mut options = Self::DEFAULT;
        for word in text.split(',').filter(|word| !word.is_empty()) {
            let mode = |value| u32::from_str_radix(value, 8).ok().filter(|mode| mode & !0o7777 == 0);
            let value = |value: Option<u32>| value.ok_or(Errno::Einval);
            match word.split_once('=') {
                Some(("gid", text)) => options.gid = value(text.parse().ok())?,
                Some(("mode", text)) => options.mode = value(mode(text))?,
                Some(("ptmxmode", text)) => options.ptmx_mode = value(mode(text))?,
                // There is one set of pairs, whatever is asked for.
                _ => return Err(Errno::Einval),
            }
        }
        Ok(options)
    }
}

/// The file system.
struct Devpts {
    options: Options,
    /// The nodes that were looked up, which keep what was changed of them.
    nodes: Mutex<[Option<Ref<Inode>>; PAIRS_MAX]>,
}

struct Whole(Ref<Devpts>);

impl FsOps for Whole {
    fn statfs(&self) -> StatFs {
        StatFs::default()
    }

    fn show_options(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        let Options { gid, mode, ptmx_mode } = self.0.options;
        write!(to, ",gid={gid},mode={mode:03o},ptmxmode={ptmx_mode:03o}")
    }

    fn shutdown(&self) {
        for number in 0..PAIRS_MAX {
            let gone = self.0.nodes.lock()[number].take();
            drop(gone);
        }
    }
}

/// What an inode is.
enum Is {
    Root,
    Ptmx,
    Slave(u32, Named),
}

struct Node {
    fs: Ref<Devpts>,
    is: Is,
}

impl Node {
    fn make(block: &Ref<SuperBlock>, number: u64, new: &New<'_>, node: Self) -> Result<Ref<Inode>> {
        let links = if new.kind == Kind::Directory { 2 } else { 1 };
        let birth = Birth { number, links, times: Times::all(Time::now()) };
        Inode::new(block, birth, new, Ref::ops(node)?)
    }

    fn device(&self, mode: u32, uid: u32, gid: u32, device: Device) -> New<'static> {
        New { kind: Kind::CharDevice, mode, uid, gid, device, target: b"" }
    }

    /// The node of a pair: the one that there is, or a new one.
    fn slave(&self, dir: &Inode, number: u32) -> Result<Option<Ref<Inode>>> {
        let Some(named) = PAIRS.named(number) else { return Ok(None) };
        let mut nodes = self.fs.nodes.lock();
        let slot = &mut nodes[number as usize];
        let is_same = |inode: &Ref<Inode>| {
            let node = inode.ops.as_any().downcast_ref::<Self>();
            matches!(node, Some(Self { is: Is::Slave(_, theirs), .. }) if *theirs == named)
        };
        if let Some(inode) = slot.as_ref().filter(|inode| is_same(inode)) {
            return Ok(Some(inode.clone()));
        }
        let Options { gid, mode, .. } = self.fs.options;
        let new = self.device(mode, named.user, gid, Device::new(ptys::MAJOR, number));
        let node = Self { fs: self.fs.clone(), is: Is::Slave(number, named) };
        let inode = Self::make(&dir.fs, FIRST + u64::from(number), &new, node)?;
        let before = slot.replace(inode.clone());
        drop(nodes);
        drop(before);
        Ok(Some(inode))
    }
}

impl InodeOps for Node {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn lookup(&self, dir: &Inode, name: &Name) -> Result<Option<Ref<Inode>>> {
        if !matches!(self.is, Is::Root) {
            return Err(Errno::Enotdir);
        }
        if name == b"ptmx" {
            let new = self.device(self.fs.options.ptmx_mode, 0, 0, PTMX_DEVICE);
            let node = Self { fs: self.fs.clone(), is: Is::Ptmx };
            return Self::make(&dir.fs, PTMX, &new, node).map(Some);
        }
        let number = core::str::from_utf8(name).ok().and_then(|text| text.parse::<u32>().ok());
        // Only as it is listed: no zeroes or signs in front.
        let is_plain = name == b"0" || name.first().is_some_and(|first| (b'1'..=b'9').contains(first));
        match number.filter(|_| is_plain) {
            Some(number) => self.slave(dir, number),
            None => Ok(None),
        }
    }

    fn is_valid(&self) -> bool {
        match self.is {
            Is::Slave(number, named) => PAIRS.named(number) == Some(named),
            _ => true,
        }
    }

    fn file(&self) -> &dyn FileOps {
        self
    }
}

impl FileOps for Node {
    fn readdir(&self, file: &File, at: u64, to: &mut dyn Entries) -> Result<u64> {
        let up = file.path.dentry.parent().and_then(|parent| parent.inode().map(|inode| inode.number));
        for (position, name, number, kind) in [
            (0, &b"."[..], ROOT, Kind::Directory),
            (1, b"..", up.unwrap_or(ROOT), Kind::Directory),
            (2, b"ptmx", PTMX, Kind::CharDevice),
        ] {
            if at <= position && !to.add(name, number, kind, position + 1) {
                return Ok(position);
            }
        }
        let mut at = at.max(FIRST);
        while let Some(number) = u32::try_from(at - FIRST).ok().filter(|&number| number < PAIRS_MAX as u32) {
            let mut digits = [0; 10];
            let name = decimal(number, &mut digits);
            if PAIRS.named(number).is_some() && !to.add(name, at, Kind::CharDevice, at + 1) {
                break;
            }
            at += 1;
        }
        Ok(at)
    }
}

/// A number's digits.
fn decimal(mut number: u32, digits: &mut [u8; 10]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[at..];
        }
    }
}

/// The kind.
pub struct Type;

/// What `mount` calls it.
pub static TYPE: Type = Type;

impl FsType for Type {
    fn name(&self) -> &'static str {
        "devpts"
    }

    fn flags(&self) -> FsFlags {
        FsFlags::NO_DEVICE | FsFlags::REVALIDATE
    }

    fn mount(
        &self,
        cache: &Ref<Dcache>,
        _: &[u8],
        options: &[u8],
        is_read_only: bool,
    ) -> Result<Ref<SuperBlock>> {
        let nodes = Mutex::new(Rank::FsTable, [const { None }; PAIRS_MAX]);
        let fs = Ref::new(Devpts { options: Options::parse(options)?, nodes })?;
        let device = SuperBlock::anonymous_device();
        let whole = Ref::fs(Whole(fs.clone()))?;
        let block = SuperBlock::new(&TYPE, cache, device, MAGIC, PAGE_SIZE as u32, whole)?;
        let new =
            New { kind: Kind::Directory, mode: 0o755, uid: 0, gid: 0, device: Device::NONE, target: b"" };
        let root = Node::make(&block, ROOT, &new, Node { fs, is: Is::Root })?;
        block.set_root(root)?;
        block.set_read_only(is_read_only);
        Ok(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_numbers() {
        assert_eq!(Options::parse(b""), Ok(Options::DEFAULT));
        let given = Options { gid: 7, mode: 0o600, ptmx_mode: 0 };
        assert_eq!(Options::parse(b"gid=7,mode=600,ptmxmode=000"), Ok(given));
        for bad in ["gid=x", "mode=9", "mode=77777", "newinstance", "gid", "size=3"] {
            assert_eq!(Options::parse(bad.as_bytes()), Err(Errno::Einval), "{bad}");
        }
    }
}
