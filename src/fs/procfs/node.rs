//! Inodes of /proc: what a name is, and whether it still is.

use super::super::Result;
use super::super::file::{Entries, File, FileOps, Opened};
use super::super::flags::{Access, OpenFlags};
use super::super::inode::{Birth, Followed, Inode, InodeOps, Name, New, SetAttr};
use super::super::mode::{Device, Kind};
use super::super::refs::Ref;
use super::super::super_block::SuperBlock;
use super::super::time::{Time, Times};
use super::open::{NameFile, RawFile, SettingFile, TextFile, Texts};
use super::process::Process;
use super::tree::{Entry, PROCESS, PROCESS_ONLY, ROOT, What};
use super::{Sources, links};
use crate::errno::Errno;
use crate::mm::vma::room;
use alloc::vec::Vec;
use core::any::Any;

/// What an inode is.
#[derive(Clone, Copy)]
enum Is {
    Root,
    /// A process's directory, or, in `task`, a thread's.
    Process {
        in_task: bool,
    },
    Entry(&'static Entry),
    /// A descriptor, with what its file may do; and what is said of it.
    Fd(i32, Access),
    FdInfo(i32),
}

/// An inode's half.
pub struct Node {
    sources: Sources,
    /// What it is of, and to whom it belongs.
    process: Option<(Ref<dyn Process>, (u32, u32))>,
    is: Is,
}

/// Positions in a directory: `.` and `..`, then tables' entries, then numbers.
const FIRST: u64 = 2;
const NUMBERS: u64 = 256;

/// Inode numbers: the root's is Linux's; the machine's files have the lower, processes' the upper ones.
const ROOT_NUMBER: u64 = 1;

/// A number in decimal, as a name: no zeroes in front.
fn number(name: &Name) -> Option<u32> {
    let text = core::str::from_utf8(name).ok()?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) || text.len() > 1 && text.starts_with('0') {
        return None;
    }
    text.parse().ok()
}

/// Decimal digits of a number, for names in directories.
struct Digits([u8; 10]);

impl Digits {
    fn of(mut number: u32, in_digits: impl FnOnce(&[u8]) -> bool) -> bool {
        let mut digits = Self([b'0'; 10]);
        let mut at = digits.0.len();
        loop {
            at -= 1;
            digits.0[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return in_digits(&digits.0[at..]);
            }
        }
    }
}

/// The root directory.
pub fn root(block: &Ref<SuperBlock>, sources: Sources) -> Result<Ref<Inode>> {
    make(block, ROOT_NUMBER, Node { sources, process: None, is: Is::Root })
}

/// An inode that is `node`.
fn make(block: &Ref<SuperBlock>, number: u64, node: Node) -> Result<Ref<Inode>> {
    let (kind, mode, links) = node.kind();
    // Of the process's user, so that the modes mean something; directories are everybody's.
    let (uid, gid) = node.process.as_ref().map_or((0, 0), |(_, owner)| *owner);
    let new = New { kind, mode, uid, gid, device: Device::NONE, target: b"" };
    let birth = Birth { number, links, times: Times::all(Time::now()) };
    Inode::new(block, birth, &new, Ref::ops(node)?)
}

impl Node {
    /// Kind, mode and links.
    fn kind(&self) -> (Kind, u32, u32) {
        let dir = |mode| (Kind::Directory, mode, 2);
        match self.is {
            Is::Root | Is::Process { .. } => dir(0o555),
            Is::Entry(entry) => match entry.what {
                What::Directory(_) | What::Tasks | What::Fds | What::FdInfos => dir(entry.mode),
                What::Link(_) | What::Itself | What::ThreadItself | What::Place(_) => {
                    (Kind::Symlink, entry.mode, 1)
                }
                _ => (Kind::Regular, entry.mode, 1),
            },
            Is::Fd(_, access) => {
                let bits = (u32::from(access.read) * 0o500) | (u32::from(access.write) * 0o300);
                (Kind::Symlink, bits, 1)
            }
            Is::FdInfo(_) => (Kind::Regular, 0o400, 1),
        }
    }

    /// The process, if it is one's and still there.
    fn process(&self) -> Result<&Ref<dyn Process>> {
        let (process, _) = self.process.as_ref().ok_or(Errno::Enoent)?;
        process.owner().map(|_| process).ok_or(Errno::Enoent)
    }

    /// One that belongs to the same, and to whom that belongs now: who stands in the directory may have become another since it
    /// was made, and what is found with an owner of old would be looked up for ever.
    fn same(&self, is: Is) -> Self {
        let process = self.process.as_ref();
        let process = process.map(|(process, owner)| (process.clone(), process.owner().unwrap_or(*owner)));
        Self { sources: self.sources, process, is }
    }

    /// A process's, or a thread's.
    fn of(&self, process: Ref<dyn Process>, in_task: bool) -> Option<Self> {
        let owner = process.owner()?;
        Some(Self { sources: self.sources, process: Some((process, owner)), is: Is::Process { in_task } })
    }

    /// The table of a directory that has one.
    fn table(&self) -> &'static [Entry] {
        match self.is {
            Is::Root => ROOT,
            Is::Process { in_task: false } => PROCESS,
            Is::Process { in_task: true } => &PROCESS[PROCESS_ONLY..],
            Is::Entry(&Entry { what: What::Directory(entries), .. }) => entries,
            _ => &[],
        }
    }

    /// The inode number of a table's entry, or of a descriptor.
    fn number_of(&self, dir: &Inode, key: u64) -> u64 {
        match (&self.process, self.is) {
            (None, _) => dir.number << 8 | (key + 1),
            (Some(_), Is::Process { .. }) => dir.number | (key + 1),
            (Some((process, _)), is) => {
                let is_info = matches!(is, Is::Entry(Entry { what: What::FdInfos, .. }));
                let in_task = dir.number >> 8 & 1;
                1 << 63 | u64::from(is_info) << 62 | in_task << 61 | u64::from(process.id()) << 24 | key
            }
        }
    }

    /// The number of a process's directory.
    fn number_of_process(process: &dyn Process, in_task: bool) -> u64 {
        1 << 62 | u64::from(process.id()) << 24 | u64::from(in_task) << 8
    }

    /// What a directory's entry is, as far as it is none of a table's.
    fn dynamic(&self, dir: &Inode, name: &Name) -> Result<Option<(u64, Self)>> {
        let Some(number) = number(name) else { return Ok(None) };
        let threaded = |found: Option<Ref<dyn Process>>, in_task: bool| {
            let found = found?;
            let at = Self::number_of_process(&*found, in_task);
            Some((at, self.of(found, in_task)?))
        };
        Ok(match self.is {
            // A thread that is not its process's first has a directory here too, which is not listed.
            Is::Root => threaded(self.sources.processes.find(number), false),
            Is::Entry(Entry { what: What::Tasks, .. }) => {
                let found = self.process()?.next_thread(number).filter(|found| found.id() == number);
                threaded(found, true)
            }
            Is::Entry(Entry { what: What::Fds | What::FdInfos, .. }) => {
                let is_info = !matches!(self.is, Is::Entry(Entry { what: What::Fds, .. }));
                let process = self.process()?;
                if !process.may_be_looked_into() {
                    return Err(Errno::Eacces);
                }
                let Ok(fd) = i32::try_from(number) else { return Ok(None) };
                let access = process.files().and_then(|files| files.access(fd));
                let is = |access| if is_info { Is::FdInfo(fd) } else { Is::Fd(fd, access) };
                access.map(|access| (self.number_of(dir, number.into()), self.same(is(access))))
            }
            _ => None,
        })
    }

    /// Lists what has numbers for names: the next one that is not below the number given.
    fn list(at: u64, to: &mut dyn Entries, mut next: impl FnMut(u32) -> Option<(u32, u64, Kind)>) -> u64 {
        let mut at = at.max(NUMBERS);
        while let Ok(from) = u32::try_from(at - NUMBERS) {
            let Some((number, inode, kind)) = next(from) else { break };
            let behind = NUMBERS + u64::from(number) + 1;
            if !Digits::of(number, |name| to.add(name, inode, kind, behind)) {
                return NUMBERS + u64::from(number);
            }
            at = behind;
        }
        at
    }
}

impl InodeOps for Node {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn lookup(&self, dir: &Inode, name: &Name) -> Result<Option<Ref<Inode>>> {
        if self.process.is_some() {
            self.process()?;
        }
        let table = self.table();
        let found = table.iter().position(|entry| entry.name.as_bytes() == name);
        let found = match found {
            Some(at) => {
                let key = Self::key(table, at);
                Some((self.number_of(dir, key), self.same(Is::Entry(&table[at]))))
            }
            None => self.dynamic(dir, name)?,
        };
        // Not "nothing yet": whoever wants to make something is told that there is nothing, as on Linux.
        let (number, node) = found.ok_or(Errno::Enoent)?;
        make(&dir.fs, number, node).map(Some)
    }

    /// A descriptor's link is that long on Linux, whatever it says.
    fn size(&self) -> u64 {
        if matches!(self.is, Is::Fd(..)) { 64 } else { 0 }
    }

    fn link_target(&self) -> Option<&[u8]> {
        match self.is {
            Is::Entry(Entry { what: What::Link(to), .. }) => Some(to.as_bytes()),
            _ => None,
        }
    }

    fn follow(&self, _: &Inode) -> Result<Followed> {
        links::follow(&self.link()?)
    }

    fn read_link(&self, _: &Inode) -> Result<Vec<u8>> {
        links::read(&self.link()?)
    }

    fn is_valid(&self) -> bool {
        let Some((process, owner)) = &self.process else { return true };
        if process.owner() != Some(*owner) {
            return false;
        }
        match self.is {
            Is::Fd(fd, access) => process.files().and_then(|files| files.access(fd)) == Some(access),
            Is::FdInfo(fd) => process.files().is_some_and(|files| files.access(fd).is_some()),
            _ => true,
        }
    }

    /// `>` of a shell.
    fn truncate(&self, _: &Inode, _: u64) -> Result<()> {
        Ok(())
    }

    fn changing(&self, _: &Inode, change: &SetAttr) -> Result<()> {
        // Of the machine's files anything may be changed, of a process's all but the mode.
        if self.process.is_some() && change.mode.is_some() { Err(Errno::Eperm) } else { Ok(()) }
    }

    fn open(&self, _: &Ref<Inode>, _: OpenFlags) -> Result<Opened> {
        let sources = self.sources;
        let process = match &self.process {
            None => None,
            Some(_) => Some(self.process()?.clone()),
        };
        match (self.is, process) {
            (Is::FdInfo(fd), Some(process)) => TextFile::open(Texts::FdInfo(process, fd)),
            (Is::Entry(entry), process) => match (entry.what, process) {
                (What::Global(make), _) => TextFile::open(Texts::Global(sources, make)),
                (What::Of(make), Some(process)) => {
                    if entry.is_private() && !process.may_be_looked_into() {
                        return Err(Errno::Eacces);
                    }
                    TextFile::open(Texts::Of(sources, process, make))
                }
                (What::Raw(what), Some(process)) => {
                    if entry.is_private() && !process.may_be_looked_into() {
                        return Err(Errno::Eacces);
                    }
                    let image = process.image();
                    Opened::object(RawFile { process, what, image })
                }
                (What::Name, Some(process)) => NameFile::open(process),
                (What::Setting(which), _) => SettingFile::open(sources, which),
                _ => Ok(Opened::Node),
            },
            _ => Ok(Opened::Node),
        }
    }

    fn file(&self) -> &dyn FileOps {
        self
    }
}

impl Node {
    /// Where a table's entry is in the whole table: threads have but a part of it, under the same numbers.
    fn key(table: &'static [Entry], at: usize) -> u64 {
        let is_part = core::ptr::eq(table, &raw const PROCESS[PROCESS_ONLY..]);
        (at + if is_part { PROCESS_ONLY } else { 0 }) as u64
    }

    /// Which link it is.
    fn link(&self) -> Result<links::Link<'_>> {
        use links::Link;
        Ok(match self.is {
            Is::Entry(Entry { what: What::Itself, .. }) => Link::Itself(self.sources.processes),
            Is::Entry(Entry { what: What::ThreadItself, .. }) => Link::ThreadItself(self.sources.processes),
            Is::Entry(Entry { what: What::Link(to), .. }) => Link::Text(to),
            Is::Entry(Entry { what: What::Place(place), .. }) => Link::Place(&**self.process()?, *place),
            Is::Fd(fd, _) => Link::Fd(&**self.process()?, fd),
            _ => return Err(Errno::Einval),
        })
    }
}

impl FileOps for Node {
    fn readdir(&self, file: &File, at: u64, to: &mut dyn Entries) -> Result<u64> {
        if self.process.is_some() {
            self.process()?;
        }
        let dir = &*file.inode;
        let up = file.path.dentry.parent().and_then(|parent| parent.inode().map(|inode| inode.number));
        for (position, name, number) in [(0, &b"."[..], dir.number), (1, b"..", up.unwrap_or(dir.number))] {
            if at <= position && !to.add(name, number, Kind::Directory, position + 1) {
                return Ok(position);
            }
        }
        let table = self.table();
        let first = at.saturating_sub(FIRST).min(table.len() as u64) as usize;
        for (index, entry) in table.iter().enumerate().skip(first) {
            let position = FIRST + index as u64;
            let kind = self.same(Is::Entry(entry)).kind().0;
            let number = self.number_of(dir, Self::key(table, index));
            if !to.add(entry.name.as_bytes(), number, kind, position + 1) {
                return Ok(position);
            }
        }
        let behind = at.max(FIRST + table.len() as u64);
        match self.is {
            Is::Root => Ok(Self::list(at, to, |from| {
                let found = self.sources.processes.next(from)?;
                Some((found.pid(), Self::number_of_process(&*found, false), Kind::Directory))
            })),
            Is::Entry(Entry { what: What::Tasks, .. }) => {
                let process = self.process()?;
                Ok(Self::list(at, to, |from| {
                    let found = process.next_thread(from)?;
                    Some((found.id(), Self::number_of_process(&*found, true), Kind::Directory))
                }))
            }
            Is::Entry(Entry { what: what @ (What::Fds | What::FdInfos), .. }) => {
                let process = self.process()?;
                if !process.may_be_looked_into() {
                    return Err(Errno::Eacces);
                }
                let Some(files) = process.files() else { return Ok(behind) };
                let kind = if matches!(what, What::Fds) { Kind::Symlink } else { Kind::Regular };
                Ok(Self::list(at, to, |from| {
                    let fd = files.next_open(i32::try_from(from).ok()?)?;
                    Some((fd as u32, self.number_of(dir, fd as u64), kind))
                }))
            }
            _ => Ok(behind),
        }
    }
}

/// Writes a number that is a link's text.
pub fn write_number(to: &mut Vec<u8>, number: u32) -> Result<()> {
    room::reserve(to, 10).map_err(|_| Errno::Enomem)?;
    Digits::of(number, |digits| {
        to.extend_from_slice(digits);
        true
    });
    Ok(())
}
