//! From a path to what it leads to.
//!
//! A walk goes in a read section of the epochs, over what is in memory: entries ([`Dcache::find`]), inodes' modes, the
//! targets of symbolic links, the table of mounts. It takes no lock, counts no reference, writes no word that another CPU
//! reads; only who wants to keep what was found gets a reference to it at the end. Where the cache does not know, the walk
//! stops ([`Step::Pause`]): it gets references to the directory that it is in, leaves the read section, has the file
//! system look the name up, which may wait for a disk, and goes on from there. Should the directory have gone meanwhile,
//! it begins again.
//!
//! ```text
//! section:  root ─► usr ─► lib ─► ?          Pause(lib, "x/y")
//! outside:                        lookup(lib, "x"), into the cache
//! section:                 lib ─► x ─► y     Done
//! ```
//!
//! `..` goes no further up than the process's root, and at the root of a mount to the directory that it stands on. In a
//! mount that shows only a part of its file system (a bind mount) a directory may have been renamed out of that part; `..`
//! from there leads nowhere (ENOENT), as else it would lead out.

use super::Result;
use super::context::FsContext;
use super::cred::{Credentials, Want};
use super::dcache::{Dcache, Dentry, DentryRef, OwnedName, touch};
use super::inode::{Followed, Inode, NAME_MAX, PATH_MAX};
use super::mode::Kind;
use super::mount::{Mount, Mounts, Path};
use super::refs::Ref;
use super::super_block::FsFlags;
use crate::errno::Errno;
use crate::mm::vma::room;
use crate::sync::grace::{EPOCHS, Reading};
use alloc::vec::Vec;

/// Symbolic links that one walk follows.
pub const LINKS_MAX: u32 = 40;

/// Who asks, and where they stand: what every call on paths needs.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    pub mounts: &'a Mounts,
    pub context: &'a FsContext,
    pub credentials: &'a Ref<Credentials>,
}

/// Where a path that does not begin with `/` does.
#[derive(Clone, Copy, Debug)]
pub enum At<'a> {
    /// In the process's directory (`AT_FDCWD`).
    Cwd,
    /// There: what a directory descriptor is open on.
    Path(&'a Path),
}

/// Whether a symbolic link that is the path's end is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    Follow,
    NoFollow,
}

/// The end of a path, of which there need be nothing yet.
pub struct Parent {
    pub dir: Path,
    pub(super) name: OwnedName,
    /// There were slashes behind it: only a directory will do.
    pub is_slashed: bool,
}

impl Parent {
    pub fn name(&self) -> &[u8] {
        self.name.get()
    }

    /// `.`, `..`, and what is only slashes, are no names; the calls differ in what they say to them.
    pub fn is_plain(&self) -> bool {
        !matches!(self.name(), b"" | b"." | b"..")
    }
}

/// Where a walk is.
#[derive(Clone, Copy)]
pub(super) struct Here<'r> {
    pub mount: &'r Mount,
    pub dentry: &'r Dentry,
    pub inode: &'r Inode,
}

/// What a walk is to come to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goal {
    End(Last),
    /// The directory of the last component.
    Parent,
}

/// Makes of the end of a walk, and of the last component that was not walked, what is wanted of it; `None`: once more.
type Finish<'f, R> = dyn FnMut(Here<'_>, Option<(&[u8], bool)>) -> Option<R> + 'f;

/// Why a walk leaves its read section.
enum Why {
    /// The cache does not know the first component.
    Lookup,
    /// The first component is a symbolic link whose target is not in memory.
    Follow(Ref<Inode>),
}

/// How a stretch in a read section ends.
enum Step<R> {
    Done(R),
    /// References could not be had: from the start again.
    Again,
    Pause {
        dir: Path,
        text: Vec<u8>,
        why: Why,
    },
}

/// What is left of the path, the innermost link's text last.
struct Texts<'t> {
    stack: [&'t [u8]; LINKS_MAX as usize + 1],
    depth: usize,
}

/// Without the slashes in front.
fn trimmed(text: &[u8]) -> &[u8] {
    let slashes = text.iter().take_while(|&&byte| byte == b'/').count();
    &text[slashes..]
}

/// The first component, and what is behind it, which is empty or begins with a slash.
fn first(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|&byte| byte == b'/').unwrap_or(text.len()))
}

impl<'t> Texts<'t> {
    fn new(text: &'t [u8]) -> Self {
        let mut stack: [&[u8]; LINKS_MAX as usize + 1] = [b""; LINKS_MAX as usize + 1];
        stack[0] = text;
        Self { stack, depth: 0 }
    }

    /// The next component: it, and whether nothing but slashes is behind it, and whether those are.
    fn next(&mut self) -> Option<(&'t [u8], bool, bool)> {
        loop {
            let text = trimmed(self.stack[self.depth]);
            if text.is_empty() {
                if self.depth == 0 {
                    return None;
                }
                self.depth -= 1;
                continue;
            }
            let (name, rest) = first(text);
            self.stack[self.depth] = rest;
            let is_last = self.stack[..=self.depth].iter().all(|text| trimmed(text).is_empty());
            // Slashes behind a link's text count as little as its end does: what it leads to is looked at as it is.
            let is_slashed = self.stack[..=self.depth].iter().any(|text| !text.is_empty());
            return Some((name, is_last, is_slashed));
        }
    }

    /// Goes into a link. There is room for as many as one walk follows.
    fn push(&mut self, target: &'t [u8]) {
        if !self.stack[self.depth].is_empty() {
            self.depth += 1;
        }
        self.stack[self.depth] = target;
    }

    /// `name` and all that is behind it, in one piece.
    fn rest(&self, name: &[u8]) -> Result<Vec<u8>> {
        let texts = || self.stack[..=self.depth].iter().rev();
        let mut rest = room::with_room(name.len() + texts().map(|text| text.len() + 1).sum::<usize>())
            .map_err(|_| Errno::Enomem)?;
        rest.extend_from_slice(name);
        for text in texts().filter(|text| !text.is_empty()) {
            if !text.starts_with(b"/") {
                rest.push(b'/');
            }
            rest.extend_from_slice(text);
        }
        Ok(rest)
    }
}

/// References to a place found in a read section.
pub(super) fn keep(mount: &Mount, dentry: &Dentry) -> Option<Path> {
    // SAFETY: both were found in a read section that is going on.
    unsafe { Some(Path { mount: Ref::try_from(mount)?, dentry: Ref::try_from(dentry)? }) }
}

impl<'c> Caller<'c> {
    /// Checks a path as a program gave it.
    fn check(path: &[u8]) -> Result<()> {
        if path.is_empty() {
            return Err(Errno::Enoent);
        }
        if path.len() >= PATH_MAX { Err(Errno::Enametoolong) } else { Ok(()) }
    }

    /// What a path leads to.
    pub fn resolve(&self, at: At<'_>, path: &[u8], last: Last) -> Result<Path> {
        Self::check(path)?;
        self.walk(at, path, Goal::End(last), &mut 0, &mut |here, _| keep(here.mount, here.dentry))
    }

    /// Calls `look` with what a path leads to, in the read section of the walk: it takes no lock and does not wait. It may
    /// be called again, if it returns `None`.
    pub(super) fn look<R>(
        &self,
        at: At<'_>,
        path: &[u8],
        last: Last,
        mut look: impl FnMut(Here<'_>) -> Option<R>,
    ) -> Result<R> {
        Self::check(path)?;
        self.walk(at, path, Goal::End(last), &mut 0, &mut |here, _| look(here))
    }

    /// The directory in which a path's last component is, or is to be.
    pub fn resolve_parent(&self, at: At<'_>, path: &[u8]) -> Result<Parent> {
        self.resolve_parent_after(at, path, &mut 0)
    }

    /// The same for a path that symbolic links have led to, `links` of them so far.
    pub(super) fn resolve_parent_after(&self, at: At<'_>, path: &[u8], links: &mut u32) -> Result<Parent> {
        Self::check(path)?;
        self.walk(at, path, Goal::Parent, links, &mut |here, last| {
            let (name, is_slashed) = last.unwrap_or((b"", true));
            let dir = keep(here.mount, here.dentry)?;
            Some(Parent { dir, name: OwnedName::new(name), is_slashed })
        })
    }

    /// The walk: stretches in read sections, and what comes between them.
    fn walk<R>(
        &self,
        at: At<'_>,
        path: &[u8],
        goal: Goal,
        links: &mut u32,
        finish: &mut Finish<'_, R>,
    ) -> Result<R> {
        // Where it goes on, once it has been interrupted.
        let mut start: Option<(Path, Vec<u8>)> = None;
        // Keeps what was looked up in the cache until it was come by.
        let mut _pinned: Option<DentryRef> = None;
        loop {
            let before = *links;
            let step = {
                let reading = EPOCHS.read();
                match &start {
                    Some((dir, text)) => self.stretch(&reading, At::Path(dir), text, goal, links, finish),
                    None => self.stretch(&reading, at, path, goal, links, finish),
                }?
            };
            let (dir, text, why) = match step {
                Step::Done(result) => return Ok(result),
                Step::Again => {
                    *links = before;
                    crate::sync::hooks::pause();
                    continue;
                }
                Step::Pause { dir, text, why } => (dir, text, why),
            };
            match why {
                Why::Lookup => {
                    let found = self.lookup(&dir, first(&text).0)?;
                    if found.inode().is_none() {
                        // There is nothing, whether or not the cache may remember that.
                        return Err(Errno::Enoent);
                    }
                    _pinned = Some(found);
                    start = Some((dir, text));
                }
                Why::Follow(link) => {
                    let (_, rest) = first(&text);
                    start = Some(match link.ops.follow(&link)? {
                        Followed::Jump(path) => (path, Self::joined(b"", rest)?),
                        Followed::Text(target) if target.is_empty() => return Err(Errno::Enoent),
                        Followed::Text(target) => {
                            let dir = if target[0] == b'/' { self.context.root() } else { dir };
                            (dir, Self::joined(&target, rest)?)
                        }
                    });
                }
            }
        }
    }

    /// A link's target with what is behind the link, which is nothing or begins with a slash, to be walked from a directory.
    /// A jump has no target; if it is the end of the path, nothing is left.
    fn joined(target: &[u8], rest: &[u8]) -> Result<Vec<u8>> {
        let target: &[u8] = match (target, rest) {
            (b"", b"") => b"",
            _ => trimmed_front(target),
        };
        let mut text = room::with_room(target.len() + rest.len()).map_err(|_| Errno::Enomem)?;
        text.extend_from_slice(target);
        text.extend_from_slice(rest);
        Ok(text)
    }

    /// A stretch of the walk in one read section.
    fn stretch<'r, R>(
        &self,
        reading: &'r Reading<'_>,
        at: At<'_>,
        text: &[u8],
        goal: Goal,
        links: &mut u32,
        finish: &mut Finish<'_, R>,
    ) -> Result<Step<R>>
    where
        'c: 'r,
    {
        let places = self.context.places_in(reading);
        let root = &places.root;
        let base = match at {
            _ if text.starts_with(b"/") => root,
            At::Cwd => &places.cwd,
            At::Path(path) => path,
        };
        let no_inode = Errno::Enoent;
        let at_path = |path: &'_ Path| -> Result<(&'r Mount, &'r Dentry, &'r Inode)> {
            // SAFETY: root and directory are kept by the context for this section, a start by the caller for longer.
            let (mount, dentry) =
                unsafe { (&*core::ptr::from_ref(&*path.mount), &*core::ptr::from_ref(&*path.dentry)) };
            Ok((mount, dentry, dentry.inode_in(reading).ok_or(no_inode)?))
        };
        let (mount, dentry, inode) = at_path(base)?;
        let mut here = Here { mount, dentry, inode };
        let mut texts: Texts<'_> = Texts::new(text);
        let mut needs_directory = false;
        while let Some((name, is_last, is_slashed)) = texts.next() {
            if here.inode.kind != Kind::Directory {
                return Err(Errno::Enotdir);
            }
            self.credentials.check(here.inode.owner(), Want::EXECUTE)?;
            if name.len() > NAME_MAX {
                return Err(Errno::Enametoolong);
            }
            if is_last && goal == Goal::Parent {
                return Ok(finish(here, Some((name, is_slashed))).map_or(Step::Again, Step::Done));
            }
            match name {
                b"." => {
                    needs_directory = true;
                    continue;
                }
                b".." => {
                    here = self.up(reading, here, root)?;
                    needs_directory = true;
                    continue;
                }
                _ => (),
            }
            let pause = |texts: &Texts<'_>, why| -> Result<Step<R>> {
                let Some(dir) = keep(here.mount, here.dentry) else { return Ok(Step::Again) };
                Ok(Step::Pause { dir, text: texts.rest(name)?, why })
            };
            let fs = &here.inode.fs;
            let Some(found) = fs.cache.find(reading, here.dentry, name) else {
                return pause(&texts, Why::Lookup);
            };
            let is_volatile = fs.flags.contains(FsFlags::REVALIDATE);
            let Some(inode) = found.inode_in(reading) else {
                if is_volatile {
                    return pause(&texts, Why::Lookup);
                }
                touch(found);
                return Err(Errno::Enoent);
            };
            if is_volatile && !inode.ops.is_valid() {
                return pause(&texts, Why::Lookup);
            }
            if inode.kind == Kind::Symlink
                && (!is_last || is_slashed || goal == Goal::End(Last::Follow))
                && !found.is_mounted_on()
            {
                *links += 1;
                if *links > LINKS_MAX {
                    return Err(Errno::Eloop);
                }
                touch(found);
                let Some(target) = inode.ops.link_target() else {
                    // SAFETY: found in this read section.
                    return match unsafe { inode.try_ref() } {
                        Some(link) => pause(&texts, Why::Follow(link)),
                        None => Ok(Step::Again),
                    };
                };
                if target.is_empty() {
                    return Err(Errno::Enoent);
                }
                if target[0] == b'/' {
                    let (mount, dentry, inode) = at_path(root)?;
                    here = Here { mount, dentry, inode };
                }
                // What was slashed behind the link has to be a directory.
                needs_directory |= is_last && is_slashed;
                texts.push(target);
                continue;
            }
            touch(found);
            here = self.onto(reading, Here { mount: here.mount, dentry: found, inode })?;
            needs_directory = is_slashed;
        }
        if needs_directory && here.inode.kind != Kind::Directory {
            return Err(Errno::Enotdir);
        }
        Ok(finish(here, None).map_or(Step::Again, Step::Done))
    }

    /// What stands on top of a place.
    fn onto<'r>(&self, reading: &'r Reading<'_>, mut here: Here<'r>) -> Result<Here<'r>>
    where
        'c: 'r,
    {
        while here.dentry.is_mounted_on() {
            let Some(mount) = self.mounts.on(reading, here.mount, here.dentry) else { break };
            let dentry: &'r Dentry = &mount.root;
            here = Here { mount, dentry, inode: dentry.inode_in(reading).ok_or(Errno::Enoent)? };
        }
        Ok(here)
    }

    /// `..`.
    fn up<'r>(&self, reading: &'r Reading<'_>, mut here: Here<'r>, root: &Path) -> Result<Here<'r>>
    where
        'c: 'r,
    {
        loop {
            let is_root =
                core::ptr::eq(here.mount, &*root.mount) && core::ptr::eq(here.dentry, &*root.dentry);
            if is_root {
                return Ok(here);
            }
            if !core::ptr::eq(here.dentry, &**here.mount.root) {
                break;
            }
            let Some((mount, dentry)) = here.mount.place_in(reading) else { return Ok(here) };
            here = Here { mount, dentry, inode: dentry.inode_in(reading).ok_or(Errno::Enoent)? };
        }
        if !here.mount.root.is_root() {
            let cache = &here.inode.fs.cache;
            let is_inside = || Dcache::is_below(reading, here.dentry, &here.mount.root);
            if !cache.while_nothing_moves(is_inside) {
                return Err(Errno::Enoent);
            }
        }
        let Some(parent) = here.dentry.parent_in(reading) else { return Ok(here) };
        let inode = parent.inode_in(reading).ok_or(Errno::Enoent)?;
        self.onto(reading, Here { mount: here.mount, dentry: parent, inode })
    }

    /// Has the file system look up a name, and remembers what it says. The entry is negative if there is nothing.
    pub(super) fn lookup(&self, dir: &Path, name: &[u8]) -> Result<DentryRef> {
        let inode = dir.dentry.inode_ref().ok_or(Errno::Enoent)?;
        let _tree = inode.fs.tree.read();
        let _lock = inode.lock.read();
        lookup_locked(&dir.dentry, &inode, name)
    }
}

/// Without the slashes in front, which said that it begins at the root.
fn trimmed_front(text: &[u8]) -> &[u8] {
    let rest = trimmed(text);
    if rest.is_empty() { b"." } else { rest }
}

/// The same, with the directory's lock held, and the tree.
pub(super) fn lookup_locked(dir: &DentryRef, inode: &Inode, name: &[u8]) -> Result<DentryRef> {
    // One that was removed has nothing in it and gets nothing, whatever the cache remembers.
    if inode.links() == 0 {
        return Err(Errno::Enoent);
    }
    let cache = &inode.fs.cache;
    let is_volatile = inode.fs.flags.contains(FsFlags::REVALIDATE);
    if let Some(found) = cache.get(dir, name) {
        let is_good = match found.inode() {
            Some(inode) => !is_volatile || inode.ops.is_valid(),
            None => !is_volatile,
        };
        if is_good {
            return Ok(found);
        }
        cache.remove(&found);
    }
    let found = inode.ops.lookup(inode, name)?;
    cache.insert(dir, name, found)
}
