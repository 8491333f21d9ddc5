//! A machine's worth of files for a test: a cache, a tmpfs as the root, and somebody who calls.

use crate::errno::Errno;
use crate::fs::calls::OpenHow;
use crate::fs::context::FsContext;
use crate::fs::cred::Credentials;
use crate::fs::dcache::Dcache;
use crate::fs::file::{Entries, File};
use crate::fs::flags::{AtFlags, MountFlags, OpenFlags, RenameFlags};
use crate::fs::io::{From, Into};
use crate::fs::mode::Kind;
use crate::fs::mount::{Mounts, Path};
use crate::fs::namei::{At, Caller};
use crate::fs::refs::Ref;
use crate::fs::stat::Stat;
use crate::fs::tmpfs::{self, Options, Tmpfs};
use crate::fs::{Result, tidy};
use std::string::String;
use std::vec::Vec;

/// The files.
pub struct World {
    pub cache: Ref<Dcache>,
    pub mounts: Mounts,
    pub fs: Ref<Tmpfs>,
    pub root: Path,
    pub context: FsContext,
    pub user: Ref<Credentials>,
}

impl World {
    /// With a cache of so many entries.
    pub fn with_cache(entries: usize) -> Self {
        Self::with(entries, Options::NONE)
    }

    pub fn with(entries: usize, options: Options) -> Self {
        let cache = Dcache::new(entries).unwrap();
        let mounts = Mounts::new().unwrap();
        let (block, fs) = tmpfs::make(&cache, &tmpfs::TYPE, options).unwrap();
        let root = mounts.mount_root(block, b"root", MountFlags::RELATIME).unwrap();
        let context = FsContext::new(&root).unwrap();
        Self { cache, mounts, fs, root, context, user: Credentials::root().unwrap() }
    }

    pub fn new() -> Self {
        Self::with_cache(1000)
    }

    /// User 0, in the root.
    pub fn caller(&self) -> Caller<'_> {
        Caller { mounts: &self.mounts, context: &self.context, credentials: &self.user }
    }
}

/// Somebody else.
pub fn user(uid: u32, gid: u32, groups: &[u32]) -> Ref<Credentials> {
    Ref::new(Credentials { groups: groups.to_vec(), ..Credentials::of(uid, gid) }).unwrap()
}

/// The calls, as short as tests want them: paths are text, and begin where the caller is.
pub trait Calls {
    fn caller(&self) -> Caller<'_>;

    fn open_as(&self, path: &str, flags: OpenFlags, mode: u32) -> Result<Ref<File>> {
        self.caller().open(At::Cwd, path.as_bytes(), OpenHow::new(flags.bits(), mode)?)
    }

    fn make_dir(&self, path: &str) -> Result<()> {
        self.caller().mkdir(At::Cwd, path.as_bytes(), 0o777)
    }

    fn put(&self, path: &str, text: &str) -> Result<()> {
        let file = self.open_as(path, OpenFlags::CREAT | OpenFlags::TRUNC | OpenFlags::WRONLY, 0o666)?;
        let done = file.write(&mut From(text.as_bytes()))?;
        if done == text.len() { Ok(()) } else { Err(Errno::Enospc) }
    }

    fn text(&self, path: &str) -> Result<String> {
        let file = self.open_as(path, OpenFlags::empty(), 0)?;
        let mut buffer = [0; 4096];
        let mut into = Into::new(&mut buffer);
        file.read(&mut into)?;
        Ok(String::from_utf8(into.filled().to_vec()).unwrap())
    }

    fn link_to(&self, target: &str, path: &str) -> Result<()> {
        self.caller().symlink(target.as_bytes(), At::Cwd, path.as_bytes())
    }

    fn hard_link(&self, old: &str, new: &str) -> Result<()> {
        self.caller().link(At::Cwd, old.as_bytes(), At::Cwd, new.as_bytes(), AtFlags::empty())
    }

    fn remove(&self, path: &str) -> Result<()> {
        self.caller().unlink(At::Cwd, path.as_bytes())
    }

    fn remove_dir(&self, path: &str) -> Result<()> {
        self.caller().rmdir(At::Cwd, path.as_bytes())
    }

    fn rename_to(&self, old: &str, new: &str) -> Result<()> {
        self.rename_as(old, new, RenameFlags::empty())
    }

    fn rename_as(&self, old: &str, new: &str, flags: RenameFlags) -> Result<()> {
        self.caller().rename(At::Cwd, old.as_bytes(), At::Cwd, new.as_bytes(), flags)
    }

    fn stat_of(&self, path: &str) -> Result<Stat> {
        self.caller().stat(At::Cwd, path.as_bytes(), AtFlags::empty())
    }

    fn lstat(&self, path: &str) -> Result<Stat> {
        self.caller().stat(At::Cwd, path.as_bytes(), AtFlags::SYMLINK_NOFOLLOW)
    }

    fn read_link(&self, path: &str) -> Result<String> {
        let text = self.caller().read_link(At::Cwd, path.as_bytes())?;
        Ok(String::from_utf8(text).unwrap())
    }

    fn enter(&self, path: &str) -> Result<()> {
        self.caller().chdir(At::Cwd, path.as_bytes())
    }

    fn here(&self) -> Result<String> {
        Ok(String::from_utf8(self.caller().getcwd()?).unwrap())
    }

    /// Names in a directory, sorted, without `.` and `..`.
    fn list(&self, path: &str) -> Result<Vec<String>> {
        let dir = self.open_as(path, OpenFlags::DIRECTORY, 0)?;
        let mut names = Listing::default();
        dir.readdir(&mut names)?;
        let mut names: Vec<String> = names
            .entries
            .into_iter()
            .map(|entry| entry.0)
            .filter(|name| name != "." && name != "..")
            .collect();
        names.sort();
        Ok(names)
    }
}

impl Calls for World {
    fn caller(&self) -> Caller<'_> {
        World::caller(self)
    }
}

impl Calls for Caller<'_> {
    fn caller(&self) -> Caller<'_> {
        *self
    }
}

/// A directory's entries, as many as wanted.
#[derive(Default)]
pub struct Listing {
    pub entries: Vec<(String, u64, Kind)>,
    /// 0 is no limit.
    pub limit: usize,
}

impl Entries for Listing {
    fn add(&mut self, name: &[u8], number: u64, kind: Kind, _: u64) -> bool {
        if self.limit > 0 && self.entries.len() == self.limit {
            return false;
        }
        self.entries.push((String::from_utf8(name.to_vec()).unwrap(), number, kind));
        true
    }
}

/// Everything that is retired is freed, as long as no other test is reading.
pub fn settle() {
    for _ in 0..1000 {
        tidy();
        std::thread::yield_now();
    }
}
