//! Who somebody is, and what that lets them do with a file.
//!
//! The classes are tried in order and the first that fits decides, even if a later one would allow more: an owner whose
//! bits are 0 is kept out of a file that everybody else may read. User 0 reads and writes everything, searches every
//! directory, and runs what somebody may run. Which capability a right of user 0's is on Linux stands beside it; here
//! all of them are one ([`Credentials::is_root`]).

use super::Result;
use super::mode::{self, Kind};
use super::refs::Ref;
use crate::errno::Errno;
use alloc::vec::Vec;
use bitflags::bitflags;

bitflags! {
    /// What is wanted of a file.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Want: u32 {
        const READ = 4;
        const WRITE = 2;
        /// Running a program, searching a directory.
        const EXECUTE = 1;
    }
}

/// A process's ids, as far as files are concerned. Immutable: who changes some makes a new one.
#[derive(Debug)]
pub struct Credentials {
    pub uid: u32,
    pub gid: u32,
    pub effective_uid: u32,
    pub effective_gid: u32,
    pub saved_uid: u32,
    pub saved_gid: u32,
    /// These count for files; they are the effective ones unless set apart.
    pub fs_uid: u32,
    pub fs_gid: u32,
    /// Sorted.
    pub groups: Vec<u32>,
}

impl Credentials {
    /// User 0.
    pub const ROOT: Self = Self::of(0, 0);

    /// That user and group, and no others.
    pub const fn of(uid: u32, gid: u32) -> Self {
        Self {
            uid,
            gid,
            effective_uid: uid,
            effective_gid: gid,
            saved_uid: uid,
            saved_gid: gid,
            fs_uid: uid,
            fs_gid: gid,
            groups: Vec::new(),
        }
    }

    /// The first reference to user 0's.
    pub fn root() -> Result<Ref<Self>> {
        Ref::new(Self::ROOT)
    }

    /// Whether what needs a capability is allowed.
    pub const fn is_root(&self) -> bool {
        self.fs_uid == 0
    }

    /// Whether this group is one of theirs.
    pub fn is_in(&self, gid: u32) -> bool {
        self.fs_gid == gid || self.groups.binary_search(&gid).is_ok()
    }

    /// Whether they may change the file's attributes: its owner may, and user 0 (`CAP_FOWNER`).
    pub fn owns(&self, owner: Owner) -> bool {
        self.fs_uid == owner.uid || self.is_root()
    }

    /// [`Errno::Eacces`] unless all of `want` is allowed.
    pub fn check(&self, owner: Owner, want: Want) -> Result<()> {
        let bits = if self.fs_uid == owner.uid {
            owner.mode >> 6
        } else if self.is_in(owner.gid) {
            owner.mode >> 3
        } else {
            owner.mode
        };
        if Want::from_bits_truncate(bits).contains(want) {
            return Ok(());
        }
        // CAP_DAC_OVERRIDE, which does not run what nobody may run.
        let may = !want.contains(Want::EXECUTE)
            || owner.mode & mode::FORMAT == Kind::Directory.bits()
            || owner.mode & mode::ANY_EXECUTE != 0;
        if self.is_root() && may { Ok(()) } else { Err(Errno::Eacces) }
    }

    /// Whether they may take something that is `inner`'s out of the directory `outer`, writable though it is: not if it
    /// is sticky, unless they own either.
    pub fn check_sticky(&self, outer: Owner, inner: Owner) -> Result<()> {
        let is_free = outer.mode & mode::STICKY == 0
            || self.fs_uid == inner.uid
            || self.fs_uid == outer.uid
            || self.is_root();
        if is_free { Ok(()) } else { Err(Errno::Eperm) }
    }

    /// The same once more, to be changed.
    pub fn copy(&self) -> Result<Self> {
        let mut groups = Vec::new();
        groups.try_reserve_exact(self.groups.len()).map_err(|_| Errno::Enomem)?;
        groups.extend_from_slice(&self.groups);
        Ok(Self { groups, ..*self })
    }

    /// By the real ids instead, for `access`.
    pub fn real(&self) -> Result<Self> {
        let Self { groups, .. } = self.copy()?;
        Ok(Self { fs_uid: self.uid, fs_gid: self.gid, groups, ..Self::of(self.uid, self.gid) })
    }
}

/// Whose a file is and who may do what: what all decisions are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// With the bits of the kind.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn file(mode: u32) -> Owner {
        Owner { mode: 0o100000 | mode, uid: 10, gid: 20 }
    }

    #[test]
    fn the_first_class_that_fits_decides() {
        let owner = Credentials::of(10, 20);
        let group = Credentials { groups: [3, 20, 99].into(), ..Credentials::of(11, 5) };
        let other = Credentials::of(12, 6);
        assert!(owner.check(file(0o077), Want::READ).is_err());
        assert!(group.check(file(0o707), Want::READ).is_err());
        assert!(other.check(file(0o770), Want::READ).is_err());
        assert!(owner.check(file(0o400), Want::READ).is_ok());
        assert!(group.check(file(0o060), Want::READ | Want::WRITE).is_ok());
        assert!(other.check(file(0o005), Want::READ | Want::EXECUTE).is_ok());
        assert_eq!(other.check(file(0o005), Want::READ | Want::WRITE), Err(Errno::Eacces));
    }

    #[test]
    fn user_0_may_all_but_run_what_nobody_may() {
        let root = Credentials::ROOT;
        assert!(root.check(file(0), Want::READ | Want::WRITE).is_ok());
        assert!(root.check(file(0o666), Want::EXECUTE).is_err());
        assert!(root.check(file(0o001), Want::EXECUTE).is_ok());
        let directory = Owner { mode: 0o040000, uid: 10, gid: 20 };
        assert!(root.check(directory, Want::all()).is_ok());
    }

    #[test]
    fn sticky_directories_keep_strangers_from_removing() {
        let sticky = Owner { mode: 0o041777, uid: 1, gid: 1 };
        let theirs = file(0o644);
        assert!(Credentials::of(10, 9).check_sticky(sticky, theirs).is_ok());
        assert!(Credentials::of(1, 9).check_sticky(sticky, theirs).is_ok());
        assert!(Credentials::ROOT.check_sticky(sticky, theirs).is_ok());
        assert_eq!(Credentials::of(2, 20).check_sticky(sticky, theirs), Err(Errno::Eperm));
        assert!(Credentials::of(2, 20).check_sticky(Owner { mode: 0o040777, ..sticky }, theirs).is_ok());
    }
}
