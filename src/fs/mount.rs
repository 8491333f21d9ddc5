//! What is mounted where: file systems, put on directories of others.
//!
//! A [`Path`] is a directory entry as seen through a mount; the same entry may be seen through several (bind mounts).
//! The table from (mount, entry) to what is mounted there is an immutable sorted list behind a [`Slot`]: walks look into
//! it without a lock, and whoever mounts or unmounts makes a new one, with [`Mounts::list`] locked. An entry that has
//! nothing on it says so itself (`Dentry::mounts`), so the table is looked at only where there is something.
//!
//! A mount on a mount point that has one already goes on top: its place is the root of the one below.
//!
//! Unmounting asks whether anybody refers to the mount, and closes it in the same step ([`Ref::close`]): from then on no
//! walk gets a reference to it. A lazy one takes the mount and all below it out of the table and leaves the rest to those
//! who still have something there.

use super::Result;
use super::calls::path_within;
use super::dcache::{Dcache, Dentry, DentryRef};
use super::flags::MountFlags;
use super::refs::{Last, Part, Ref, Slot};
use super::super_block::{FsType, SuperBlock};
use crate::errno::Errno;
use crate::mm::vma::room;
use crate::sync::checks::note_shared_write;
use crate::sync::grace::{EPOCHS, Reading};
use crate::sync::{Mutex, Rank, SpinLock};
use alloc::vec::Vec;
use core::ptr::{from_ref, null};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// A place in the tree that programs see.
#[derive(Clone)]
pub struct Path {
    pub mount: Ref<Mount>,
    pub dentry: DentryRef,
}

impl Path {
    /// Whether both are the same place.
    pub fn is(&self, other: &Self) -> bool {
        self.mount.is(&other.mount) && self.dentry.is(&other.dentry)
    }
}

impl core::fmt::Debug for Path {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "mount {}, {:?}", self.mount.id, self.dentry)
    }
}

/// Where a mount stands. Compared, or followed in a read section.
struct Place {
    parent: *const Mount,
    at: *const Dentry,
}

// SAFETY: the pointers are followed only in read sections, by `Mount::place_in`.
unsafe impl Send for Place {}
// SAFETY: as above.
unsafe impl Sync for Place {}

/// A file system, or a part of it, mounted once.
pub struct Mount {
    /// As `/proc/self/mountinfo` shows it.
    pub id: u64,
    pub fs: Ref<SuperBlock>,
    pub root: Part<DentryRef>,
    /// What it was mounted from, as it was named.
    pub source: Vec<u8>,
    flags: AtomicU32,
    place: Slot<Place>,
    /// The references behind `place`.
    on: SpinLock<Option<Path>>,
    /// Who may write at the moment: files open for writing, and calls that change something.
    writers: AtomicU32,
}

/// A right to write through a mount, which does not become read-only as long as there is one.
pub struct Writing(Ref<Mount>);

impl Drop for Writing {
    fn drop(&mut self) {
        note_shared_write();
        self.0.writers.fetch_sub(1, Ordering::Release);
    }
}

impl Mount {
    fn new(
        fs: Ref<SuperBlock>,
        root: DentryRef,
        source: &[u8],
        flags: MountFlags,
        on: Option<Path>,
    ) -> Result<Ref<Self>> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let mut owned = Vec::new();
        room::reserve(&mut owned, source.len()).map_err(|_| Errno::Enomem)?;
        owned.extend_from_slice(source);
        let place = Ref::new(Self::place_of(on.as_ref()))?;
        let mount = Ref::with_last(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            fs,
            root: Part::new(root),
            source: owned,
            flags: AtomicU32::new(flags.bits()),
            place: Slot::new(place),
            on: SpinLock::new(Rank::FsRoot, on),
            writers: AtomicU32::new(0),
        })?;
        mount.fs.mounted();
        Ok(mount)
    }

    fn place_of(on: Option<&Path>) -> Place {
        on.map_or(Place { parent: null(), at: null() }, |path| Place {
            parent: from_ref(&*path.mount),
            at: from_ref(&*path.dentry),
        })
    }

    pub fn flags(&self) -> MountFlags {
        MountFlags::from_bits_retain(self.flags.load(Ordering::Acquire))
    }

    /// Where it stands: the mount and its entry; `None` for what stands nowhere.
    #[inline]
    pub fn place_in<'a>(&self, reading: &'a Reading<'_>) -> Option<(&'a Self, &'a Dentry)> {
        let place = self.place.get(reading);
        // SAFETY: both are referred to for as long as the place is this one, and retired after it, if ever.
        unsafe { Some((place.parent.as_ref()?, place.at.as_ref()?)) }
    }

    /// The same, with references.
    pub fn mounted_on(&self) -> Option<Path> {
        self.on.lock().clone()
    }

    /// The path, in the file system itself, of the part that is mounted: `/`, unless it was bound.
    pub fn part(&self) -> Result<Vec<u8>> {
        path_within(&self.root)
    }

    /// Moves it there, or nowhere; returns where it stood.
    fn put(&self, place: Ref<Place>, on: Option<Path>) -> Option<Path> {
        let mut mine = self.on.lock();
        let _old = self.place.replace(place);
        core::mem::replace(&mut *mine, on)
    }

    /// The right to change something, if neither the mount nor the file system is read-only.
    pub fn want_write(mount: &Ref<Self>) -> Result<Writing> {
        note_shared_write();
        mount.writers.fetch_add(1, Ordering::SeqCst);
        let writing = Writing(mount.clone());
        if mount.flags().contains(MountFlags::RDONLY) || mount.fs.is_read_only() {
            return Err(Errno::Erofs);
        }
        Ok(writing)
    }

    /// Others what it allows; it becomes read-only only if nobody is writing.
    pub fn set_flags(&self, flags: MountFlags) -> Result<()> {
        let old = self.flags.swap(flags.bits(), Ordering::SeqCst);
        if flags.contains(MountFlags::RDONLY) && self.writers.load(Ordering::SeqCst) > 0 {
            self.flags.store(old, Ordering::SeqCst);
            return Err(Errno::Ebusy);
        }
        Ok(())
    }
}

impl Last for Mount {
    fn last(&self) {
        let on = self.on.lock().take();
        drop(on);
        // SAFETY: the last reference is gone. Who has just found the mount gets none, and does not come back to it.
        unsafe { self.root.end() };
        self.fs.unmounted();
    }
}

/// Mounts by where they stand.
struct Table {
    rows: Vec<Row>,
}

struct Row {
    parent: *const Mount,
    at: *const Dentry,
    mount: *const Mount,
}

// SAFETY: the pointers are compared, or followed in a read section.
unsafe impl Send for Table {}
// SAFETY: as above.
unsafe impl Sync for Table {}

impl Table {
    /// Of all in the list that stand somewhere, and are not `skipped`; `moved` stands where it says.
    fn new(
        list: &[Ref<Mount>],
        skipped: impl Fn(&Mount) -> bool,
        moved: Option<(&Ref<Mount>, &Place)>,
    ) -> Result<Ref<Self>> {
        let mut rows = room::with_room(list.len()).map_err(|_| Errno::Enomem)?;
        let reading = EPOCHS.read();
        for mount in list.iter().filter(|mount| !skipped(mount)) {
            let place = match moved {
                Some((moved, place)) if moved.is(mount) => place,
                _ => mount.place.get(&reading),
            };
            if !place.parent.is_null() {
                rows.push(Row { parent: place.parent, at: place.at, mount: from_ref(&**mount) });
            }
        }
        rows.sort_unstable_by_key(|row| (row.parent.addr(), row.at.addr()));
        Ref::new(Self { rows })
    }
}

/// All mounts, and the table by which walks find them.
pub struct Mounts {
    table: Slot<Table>,
    list: Mutex<Vec<Ref<Mount>>>,
}

/// At most so many.
pub const MOUNTS_MAX: usize = 10_000;

impl Mounts {
    pub fn new() -> Result<Self> {
        Ok(Self {
            table: Slot::new(Table::new(&[], |_| false, None)?),
            list: Mutex::new(Rank::Mounts, Vec::new()),
        })
    }

    /// What stands on that entry of that mount.
    pub fn on<'a>(&self, reading: &'a Reading<'_>, parent: &Mount, at: &Dentry) -> Option<&'a Mount> {
        let rows = &self.table.get(reading).rows;
        let key = (from_ref(parent).addr(), from_ref(at).addr());
        let found = rows.binary_search_by_key(&key, |row| (row.parent.addr(), row.at.addr())).ok()?;
        // SAFETY: mounts are retired after they are taken out of the table, so not before this section ends.
        unsafe { rows[found].mount.as_ref() }
    }

    /// All mounts, in the order in which they were made.
    pub fn for_each(&self, mut look: impl FnMut(&Ref<Mount>)) {
        self.list.lock().iter().for_each(&mut look);
    }

    /// The one that was made next after that with number `after`; the first, without.
    pub fn next(&self, after: Option<u64>) -> Option<Ref<Mount>> {
        let list = self.list.lock();
        let later = list.iter().filter(|mount| after.is_none_or(|after| mount.id > after));
        later.min_by_key(|mount| mount.id).cloned()
    }

    /// Mounts the first file system, on nothing; returns its root.
    pub fn mount_root(&self, fs: Ref<SuperBlock>, source: &[u8], flags: MountFlags) -> Result<Path> {
        let root = fs.root()?;
        let mount = Mount::new(fs, root.clone(), source, flags, None)?;
        let mut list = self.list.lock();
        room::reserve(&mut list, 1).map_err(|_| Errno::Enomem)?;
        list.push(mount.clone());
        Ok(Path { mount, dentry: root })
    }

    /// Mounts `root` of `fs` on the directory `on`; a file may be bound on a file. The mount's flags are `flags`.
    pub fn mount(
        &self,
        fs: Ref<SuperBlock>,
        root: DentryRef,
        source: &[u8],
        flags: MountFlags,
        on: &Path,
    ) -> Result<Ref<Mount>> {
        let mut list = self.list.lock();
        let made = Mount::new(fs.clone(), root, source, flags, None);
        let mount = made.inspect_err(|_| fs.abandon())?;
        self.attach(&mut list, &mount, on, true)?;
        Ok(mount)
    }

    /// Gives a mount its place, and makes the table anew. `new`: it is to be in the list, too.
    fn attach(&self, list: &mut Vec<Ref<Mount>>, mount: &Ref<Mount>, on: &Path, new: bool) -> Result<()> {
        let is_directory = |dentry: &DentryRef| dentry.inode().is_some_and(super::inode::Inode::is_directory);
        if is_directory(&mount.root) != is_directory(&on.dentry) {
            return Err(Errno::Enotdir);
        }
        let on = self.top(on);
        // As long as we have the tree nobody removes the directory, or the file, for which he has it together with others.
        let fs = on.mount.fs.clone();
        let _tree = fs.tree.write();
        if on.dentry.is_removed() || on.dentry.inode().is_none_or(|inode| inode.links() == 0) {
            return Err(Errno::Enoent);
        }
        Self::check(list, &on.mount)?;
        if new {
            if list.len() >= MOUNTS_MAX {
                return Err(Errno::Enospc);
            }
            room::reserve(list, 1).map_err(|_| Errno::Enomem)?;
            list.push(mount.clone());
        }
        let made = Ref::new(Mount::place_of(Some(&on)))
            .and_then(|place| Ok((Table::new(list, |_| false, Some((mount, &place)))?, place)));
        let (table, place) = match made {
            Ok(made) => made,
            Err(error) => {
                if new {
                    list.pop();
                }
                return Err(error);
            }
        };
        on.dentry.mounts.fetch_add(1, Ordering::AcqRel);
        let before = mount.put(place, Some(on));
        drop(self.table.replace(table));
        if let Some(before) = before {
            before.dentry.mounts.fetch_sub(1, Ordering::AcqRel);
        }
        Ok(())
    }

    /// EINVAL for one that was unmounted and is still in use: nobody could take away what stands there, and both would stay.
    fn check(list: &[Ref<Mount>], mount: &Ref<Mount>) -> Result<()> {
        if list.iter().any(|one| one.is(mount)) { Ok(()) } else { Err(Errno::Einval) }
    }

    /// What stands on top of a place.
    pub fn top(&self, path: &Path) -> Path {
        let mut path = path.clone();
        while path.dentry.is_mounted_on() {
            let reading = EPOCHS.read();
            let Some(above) = self.on(&reading, &path.mount, &path.dentry) else { break };
            // SAFETY: found in this read section.
            let Some(above) = (unsafe { Ref::try_from(above) }) else { continue };
            drop(reading);
            path = Path { dentry: above.root.clone(), mount: above };
        }
        path
    }

    /// Mounts what is at `from`, and what is below it, on `on` as well. `recursive`: with what is mounted below.
    pub fn bind(&self, from: &Path, on: &Path, recursive: bool) -> Result<Ref<Mount>> {
        let mut list = self.list.lock();
        Self::check(&list, &from.mount)?;
        let copy = |mount: &Mount, root: &DentryRef| {
            Mount::new(mount.fs.clone(), root.clone(), &mount.source, mount.flags(), None)
        };
        let first = copy(&from.mount, &from.dentry)?;
        // Which of the old ones became which of the new ones.
        let mut copies: Vec<(Ref<Mount>, Ref<Mount>)> = Vec::new();
        room::reserve(&mut copies, 1).map_err(|_| Errno::Enomem)?;
        copies.push((from.mount.clone(), first.clone()));
        let mut below: Vec<(Ref<Mount>, Path)> = Vec::new();
        if recursive {
            for mount in list.iter() {
                let Some(place) = mount.mounted_on() else { continue };
                let Some((_, parent)) = copies.iter().find(|(old, _)| old.is(&place.mount)) else { continue };
                let is_inside = !place.mount.is(&from.mount)
                    || Dcache::is_below(&EPOCHS.read(), &place.dentry, &from.dentry);
                if is_inside {
                    let new = copy(mount, &mount.root)?;
                    let at = Path { mount: parent.clone(), dentry: place.dentry };
                    room::reserve(&mut copies, 1).map_err(|_| Errno::Enomem)?;
                    room::reserve(&mut below, 1).map_err(|_| Errno::Enomem)?;
                    copies.push((mount.clone(), new.clone()));
                    below.push((new, at));
                }
            }
        }
        self.attach(&mut list, &first, on, true)?;
        for (mount, at) in &below {
            self.attach(&mut list, mount, at, true)?;
        }
        Ok(first)
    }

    /// Moves a mount, with all that is mounted below it.
    pub fn move_to(&self, from: &Path, on: &Path) -> Result<()> {
        let mut list = self.list.lock();
        if !from.dentry.is(&from.mount.root) || from.mount.mounted_on().is_none() {
            return Err(Errno::Einval);
        }
        // Not into itself.
        let mut at = Some(self.top(on));
        while let Some(path) = at {
            if path.mount.is(&from.mount) {
                return Err(Errno::Eloop);
            }
            at = path.mount.mounted_on();
        }
        self.attach(&mut list, &from.mount, on, false)
    }

    /// Unmounts the mount whose root `path` is. `lazy`: it is in use perhaps, and so are mounts below it.
    pub fn unmount(&self, path: Path, lazy: bool) -> Result<()> {
        let mut list = self.list.lock();
        let Path { mount, dentry } = path;
        if !dentry.is(&mount.root) || mount.mounted_on().is_none() {
            return Err(Errno::Einval);
        }
        drop(dentry);
        let mut ids = room::with_room(list.len()).map_err(|_| Errno::Enomem)?;
        ids.push(mount.id);
        loop {
            // Mounts may have been moved, so that a later one stands above an earlier: until nothing more is found.
            let stands = |other: &&Ref<Mount>| {
                !ids.contains(&other.id) && other.mounted_on().is_some_and(|on| ids.contains(&on.mount.id))
            };
            let Some(below) = list.iter().find(stands).filter(|_| lazy) else { break };
            ids.push(below.id);
        }
        let goes = |mount: &Mount| ids.contains(&mount.id);
        let table = Table::new(&list, goes, None)?;
        let mut gone = room::with_room(ids.len()).map_err(|_| Errno::Enomem)?;
        for _ in &ids {
            gone.push((None, Ref::new(Mount::place_of(None))?));
        }
        // Nothing fails from here on, but for a mount that is in use.
        drop(mount);
        // Who finds the mount and gets no reference begins again, and would find it again: so this is not interrupted by
        // anybody who runs.
        let reading = EPOCHS.read();
        if !lazy && !list.iter().any(|mount| goes(mount) && mount.close()) {
            return Err(Errno::Ebusy);
        }
        let old = self.table.replace(table);
        drop(reading);
        drop(old);
        for (slot, _) in &mut gone {
            *slot = list.iter().position(|mount| goes(mount)).map(|place| list.remove(place));
        }
        drop(list);
        for (mount, place) in gone {
            // `..` at the root of one that is still in use stays there.
            let Some(on) = mount.as_ref().and_then(|mount: &Ref<Mount>| mount.put(place, None)) else {
                continue;
            };
            on.dentry.mounts.fetch_sub(1, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Remounts: other flags for the mount whose root `path` is.
    pub fn remount(&self, path: &Path, flags: MountFlags) -> Result<()> {
        let _list = self.list.lock();
        if !path.dentry.is(&path.mount.root) {
            return Err(Errno::Einval);
        }
        path.mount.set_flags(flags)
    }
}

/// Kinds of file systems, by the names that `mount` uses.
pub fn find_type<'a>(types: &'a [&'static dyn FsType], name: &[u8]) -> Result<&'a &'static dyn FsType> {
    types.iter().find(|kind| kind.name().as_bytes() == name).ok_or(Errno::Enodev)
}
