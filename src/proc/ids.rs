//! Who a process is, and who it may become.
//!
//! A process has three user ids and one for files. The *real* one is whose it is, the *effective* one is what counts for what it
//! may do, the *saved* one is what it may go back to; the one for files is the effective one unless set apart. Groups
//! likewise. These rules are what keeps `passwd` from being a way to become anybody:
//!
//! ```text
//!                 user 0 (effective) may               others may
//!   setuid        set all three                        set the effective one to the real or the saved one
//!   setreuid      anything                             real: real, effective; effective: any of the three
//!   setresuid     anything                             each to any of the three
//!   setfsuid      anything                             to any of the three
//!   exec of a set-user-id file: effective and saved become the file's
//! ```
//!
//! Linux asks for a capability where this says user 0; here all of them are one. Credentials are not changed but
//! replaced: each call returns new ones, and whoever has the old ones goes on with them.
//!
//! Source: Linux, kernel/sys.c, kernel/signal.c (`kill_ok_by_cred`), security/commoncap.c; credentials(7).

use alloc::vec::Vec;

use crate::errno::Errno;
use crate::fs::cred::Credentials;
use crate::fs::mode;

/// Most groups that a process may have besides its own (`NGROUPS_MAX`).
pub const GROUPS_MAX: usize = 65_536;
/// What stands for "leave it as it is", and is nobody.
const UNCHANGED: u32 = u32::MAX;

/// User or group: the rules are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    User,
    Group,
}

/// The four ids of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Four {
    real: u32,
    effective: u32,
    saved: u32,
    fs: u32,
}

impl Four {
    const fn of(who: &Credentials, kind: Kind) -> Self {
        match kind {
            Kind::User => {
                Self { real: who.uid, effective: who.effective_uid, saved: who.saved_uid, fs: who.fs_uid }
            }
            Kind::Group => {
                Self { real: who.gid, effective: who.effective_gid, saved: who.saved_gid, fs: who.fs_gid }
            }
        }
    }

    const fn put(self, who: &mut Credentials, kind: Kind) {
        let Self { real, effective, saved, fs } = self;
        match kind {
            Kind::User => {
                (who.uid, who.effective_uid, who.saved_uid, who.fs_uid) = (real, effective, saved, fs)
            }
            Kind::Group => {
                (who.gid, who.effective_gid, who.saved_gid, who.fs_gid) = (real, effective, saved, fs)
            }
        }
    }

    const fn has(&self, id: u32) -> bool {
        id == self.real || id == self.effective || id == self.saved
    }
}

/// Whether what Linux wants a capability for is allowed, files aside.
pub const fn is_privileged(who: &Credentials) -> bool {
    who.effective_uid == 0
}

fn changed(
    who: &Credentials,
    kind: Kind,
    rule: impl FnOnce(Four, bool) -> Option<Four>,
) -> Result<Credentials, Errno> {
    let new = rule(Four::of(who, kind), is_privileged(who)).ok_or(Errno::Eperm)?;
    let mut credentials = who.copy()?;
    new.put(&mut credentials, kind);
    Ok(credentials)
}

/// `setuid`, `setgid`. [`Errno::Einval`] for -1.
pub fn set(who: &Credentials, kind: Kind, id: u32) -> Result<Credentials, Errno> {
    if id == UNCHANGED {
        return Err(Errno::Einval);
    }
    changed(who, kind, |ids, privileged| {
        if privileged {
            Some(Four { real: id, effective: id, saved: id, fs: id })
        } else {
            (id == ids.real || id == ids.saved).then_some(Four { effective: id, fs: id, ..ids })
        }
    })
}

/// `setreuid`, `setregid`; -1 leaves one as it is.
pub fn set_real_effective(
    who: &Credentials,
    kind: Kind,
    real: u32,
    effective: u32,
) -> Result<Credentials, Errno> {
    changed(who, kind, |ids, privileged| {
        let real_ok = real == UNCHANGED || privileged || real == ids.real || real == ids.effective;
        let effective_ok = effective == UNCHANGED || privileged || ids.has(effective);
        let mut new = ids;
        new.real = if real == UNCHANGED { ids.real } else { real };
        new.effective = if effective == UNCHANGED { ids.effective } else { effective };
        // Who takes on another identity cannot go back to the saved one.
        if real != UNCHANGED || (effective != UNCHANGED && effective != ids.real) {
            new.saved = new.effective;
        }
        new.fs = new.effective;
        (real_ok && effective_ok).then_some(new)
    })
}

/// `setresuid`, `setresgid`: real, effective, saved; -1 leaves one as it is.
pub fn set_three(who: &Credentials, kind: Kind, three: [u32; 3]) -> Result<Credentials, Errno> {
    changed(who, kind, |ids, privileged| {
        let allowed = three.iter().all(|&id| id == UNCHANGED || privileged || ids.has(id));
        let or = |id, old| if id == UNCHANGED { old } else { id };
        let [real, effective, saved] = three;
        let effective = or(effective, ids.effective);
        allowed.then_some(Four {
            real: or(real, ids.real),
            effective,
            saved: or(saved, ids.saved),
            fs: effective,
        })
    })
}

/// `setfsuid`, `setfsgid`: the old id, which is all that the call says, and new credentials if it is allowed and is one.
pub fn set_fs(who: &Credentials, kind: Kind, id: u32) -> (u32, Option<Result<Credentials, Errno>>) {
    let ids = Four::of(who, kind);
    let allowed = (ids.has(id) || is_privileged(who)) && id != ids.fs && id != UNCHANGED;
    (ids.fs, allowed.then(|| changed(who, kind, |ids, _| Some(Four { fs: id, ..ids }))))
}

/// `setgroups`. [`Errno::Eperm`], or [`Errno::Einval`] for too many, or for nobody's.
pub fn set_groups(who: &Credentials, mut groups: Vec<u32>) -> Result<Credentials, Errno> {
    if !is_privileged(who) {
        return Err(Errno::Eperm);
    }
    if groups.len() > GROUPS_MAX || groups.contains(&UNCHANGED) {
        return Err(Errno::Einval);
    }
    groups.sort_unstable();
    Ok(Credentials { groups, ..*who })
}

/// What a program begins with.
#[derive(Debug)]
pub struct Begun {
    pub credentials: Credentials,
    /// It has rights that who started it has not (`AT_SECURE`): nothing in its environment is to be trusted.
    pub is_secure: bool,
}

/// `execve` of a file with this mode and owner. `may_gain`: not on a mount without set-id bits, nor after
/// `PR_SET_NO_NEW_PRIVS`. Of a script the interpreter's file counts.
pub fn exec(who: &Credentials, file_mode: u32, owner: (u32, u32), may_gain: bool) -> Result<Begun, Errno> {
    let mut credentials = who.copy()?;
    if may_gain && file_mode & mode::SETUID != 0 {
        credentials.effective_uid = owner.0;
    }
    // Without the group's right to run it, the bit means mandatory locks.
    if may_gain && file_mode & mode::SETGID != 0 && file_mode & mode::GROUP_EXECUTE != 0 {
        credentials.effective_gid = owner.1;
    }
    (credentials.saved_uid, credentials.fs_uid) = (credentials.effective_uid, credentials.effective_uid);
    (credentials.saved_gid, credentials.fs_gid) = (credentials.effective_gid, credentials.effective_gid);
    let is_secure = credentials.effective_uid != who.uid || credentials.effective_gid != who.gid;
    Ok(Begun { credentials, is_secure })
}

/// Whether the ids of one are not those of the other, groups aside.
pub fn differ(one: &Credentials, other: &Credentials) -> bool {
    [Kind::User, Kind::Group].iter().any(|&kind| Four::of(one, kind) != Four::of(other, kind))
}

/// Whether one process may send another a signal. SIGCONT besides goes to everybody in the same session.
pub const fn may_signal(who: &Credentials, to: &Credentials) -> bool {
    let real = who.uid == to.uid || who.uid == to.saved_uid;
    let effective = who.effective_uid == to.uid || who.effective_uid == to.saved_uid;
    is_privileged(who) || real || effective
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(ids: [u32; 4]) -> Credentials {
        let [uid, effective_uid, saved_uid, fs_uid] = ids;
        Credentials { uid, effective_uid, saved_uid, fs_uid, ..Credentials::of(0, 50) }
    }

    fn ids(who: Result<Credentials, Errno>) -> Result<[u32; 4], Errno> {
        who.map(|who| [who.uid, who.effective_uid, who.saved_uid, who.fs_uid])
    }

    const KEEP: u32 = u32::MAX;
    const EPERM: Result<[u32; 4], Errno> = Err(Errno::Eperm);

    #[test]
    fn setuid() {
        let set = |who: [u32; 4], id| ids(super::set(&user(who), Kind::User, id));
        assert_eq!(set([0, 0, 0, 0], 5), Ok([5; 4]));
        assert_eq!(set([5, 0, 5, 0], 7), Ok([7; 4]), "the effective one is what counts");
        assert_eq!(set([5, 6, 7, 6], 7), Ok([5, 7, 7, 7]));
        assert_eq!(set([5, 6, 7, 6], 5), Ok([5, 5, 7, 5]));
        assert_eq!(set([5, 6, 7, 6], 6), EPERM);
        assert_eq!(set([0, 6, 6, 6], 1), EPERM, "real user 0 is not enough");
        assert_eq!(set([0, 0, 0, 0], KEEP), Err(Errno::Einval));
    }

    #[test]
    fn setreuid() {
        let set =
            |who: [u32; 4], real, effective| ids(set_real_effective(&user(who), Kind::User, real, effective));
        assert_eq!(set([5, 6, 7, 6], 6, 5), Ok([6, 5, 5, 5]), "exchanged");
        assert_eq!(set([5, 6, 7, 6], KEEP, 7), Ok([5, 7, 7, 7]));
        assert_eq!(set([5, 6, 7, 6], KEEP, 5), Ok([5, 5, 7, 5]), "back to itself: the saved one stays");
        assert_eq!(set([5, 6, 7, 6], 7, KEEP), EPERM);
        assert_eq!(set([5, 6, 7, 6], KEEP, 8), EPERM);
        assert_eq!(set([0, 0, 0, 0], KEEP, 8), Ok([0, 8, 8, 8]));
        assert_eq!(set([5, 6, 7, 6], KEEP, KEEP), Ok([5, 6, 7, 6]));
    }

    #[test]
    fn setresuid() {
        let set = |who: [u32; 4], three| ids(set_three(&user(who), Kind::User, three));
        assert_eq!(set([5, 6, 7, 6], [7, 5, 6]), Ok([7, 5, 6, 5]));
        assert_eq!(set([5, 6, 7, 6], [KEEP, 8, KEEP]), EPERM);
        assert_eq!(set([0, 0, 0, 9], [1, 2, 3]), Ok([1, 2, 3, 2]));
        assert_eq!(set([5, 6, 7, 9], [KEEP; 3]), Ok([5, 6, 7, 6]));
    }

    #[test]
    fn setfsuid_says_what_it_was() {
        let (old, new) = set_fs(&user([5, 6, 7, 6]), Kind::User, 7);
        assert_eq!((old, new.map(ids)), (6, Some(Ok([5, 6, 7, 7]))));
        for id in [8, KEEP, 6] {
            let (old, new) = set_fs(&user([5, 6, 7, 6]), Kind::User, id);
            assert!(old == 6 && new.is_none(), "{id}");
        }
        assert!(set_fs(&user([0; 4]), Kind::User, 8).1.is_some());
    }

    #[test]
    fn groups_go_by_the_user() {
        let who = Credentials { effective_uid: 1, ..Credentials::of(1, 50) };
        assert_eq!(set(&who, Kind::Group, 51).unwrap_err(), Errno::Eperm);
        assert_eq!(set(&who, Kind::Group, 50).unwrap().effective_gid, 50);
        let root = set(&Credentials::ROOT, Kind::Group, 51).unwrap();
        assert_eq!(
            (root.gid, root.effective_gid, root.saved_gid, root.fs_gid, root.uid),
            (51, 51, 51, 51, 0)
        );
        assert_eq!(set_groups(&Credentials::ROOT, [9, 3, 5].into()).unwrap().groups, [3, 5, 9]);
        assert_eq!(set_groups(&who, Vec::new()).unwrap_err(), Errno::Eperm);
        assert_eq!(set_groups(&Credentials::ROOT, [KEEP].into()).unwrap_err(), Errno::Einval);
        assert_eq!(set_groups(&Credentials::ROOT, std::vec![1; GROUPS_MAX + 1]).unwrap_err(), Errno::Einval);
    }

    #[test]
    fn set_id_files() {
        let who = user([5, 5, 5, 5]);
        let begin = |mode, may_gain| {
            let Begun { credentials: c, is_secure } = exec(&who, mode, (0, 60), may_gain).unwrap();
            ([c.uid, c.effective_uid, c.saved_uid, c.fs_uid], c.effective_gid, is_secure)
        };
        assert_eq!(begin(0o755, true), ([5; 4], 50, false));
        assert_eq!(begin(0o4755, true), ([5, 0, 0, 0], 50, true));
        assert_eq!(begin(0o2755, true), ([5; 4], 60, true));
        assert_eq!(begin(0o2745, true), ([5; 4], 50, false));
        assert_eq!(begin(0o6755, false), ([5; 4], 50, false));
        assert!(!differ(&exec(&who, 0o755, (0, 60), true).unwrap().credentials, &who));
        assert!(differ(&exec(&who, 0o2755, (0, 60), true).unwrap().credentials, &who));
        // One that is set-user-id already stays what it is, and is not trusted any more than before.
        let Begun { credentials, is_secure } = exec(&user([5, 0, 7, 3]), 0o755, (1, 1), true).unwrap();
        assert_eq!((ids(Ok(credentials)), is_secure), (Ok([5, 0, 0, 0]), true));
    }

    #[test]
    fn who_may_do_what_to_whom() {
        let plain = |id| user([id; 4]);
        assert!(may_signal(&plain(5), &plain(5)) && may_signal(&plain(0), &plain(5)));
        assert!(!may_signal(&plain(5), &plain(6)));
        assert!(may_signal(&plain(5), &user([5, 0, 0, 0])), "one's own set-user-id program");
        assert!(
            !may_signal(&plain(5), &user([6, 5, 6, 5])),
            "the effective one of who gets it does not count"
        );
    }
}
