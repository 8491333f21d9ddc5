//! Who a process is: its numbers, its group and session, its user.
//!
//! Credentials are a process's, and so all its threads', as POSIX has it; Linux keeps them for each thread, and its C
//! libraries see to it that nobody notices.

use super::{Arguments, Call};
use crate::arch::x86_64::usercopy;
use crate::errno::Errno;
use crate::fs::Result;
use crate::fs::cred::Credentials;
use crate::fs::refs::Ref;
use crate::mm::vma::room;
use crate::proc::process::TREE;
use crate::tty::{controlling, job};

pub fn getpid(call: &mut Call<'_>, _: Arguments) -> Result<u64> {
    Ok(u64::from(call.task.pid()))
}

pub fn gettid(call: &mut Call<'_>, _: Arguments) -> Result<u64> {
    Ok(u64::from(call.task.tid()))
}

pub fn getppid(call: &mut Call<'_>, _: Arguments) -> Result<u64> {
    Ok(u64::from(TREE.lock().parent(call.task.pid()).unwrap_or(0)))
}

/// A process by its number, 0 being one's own.
fn pid(call: &Call<'_>, pid: u64) -> u32 {
    if pid as u32 == 0 { call.task.pid() } else { pid as u32 }
}

pub fn getpgid(call: &mut Call<'_>, [of, ..]: Arguments) -> Result<u64> {
    TREE.lock().group(pid(call, of)).map(u64::from).ok_or(Errno::Esrch)
}

pub fn getpgrp(call: &mut Call<'_>, _: Arguments) -> Result<u64> {
    getpgid(call, [0; 6])
}

pub fn getsid(call: &mut Call<'_>, [of, ..]: Arguments) -> Result<u64> {
    TREE.lock().session(pid(call, of)).map(u64::from).ok_or(Errno::Esrch)
}

pub fn setpgid(call: &mut Call<'_>, [of, group, ..]: Arguments) -> Result<u64> {
    if (group as i32) < 0 {
        return Err(Errno::Einval);
    }
    TREE.lock().set_group(call.task.pid(), of as u32, group as u32).map(|()| 0)
}

pub fn setsid(call: &mut Call<'_>, _: Arguments) -> Result<u64> {
    let session = TREE.lock().new_session(call.task.pid())?;
    call.process().terminal.store(0, core::sync::atomic::Ordering::Relaxed);
    Ok(u64::from(session))
}

/// Whoever has the caller's controlling terminal open loses it.
pub fn vhangup(call: &mut Call<'_>, _: Arguments) -> Result<u64> {
    if call.process().credentials().effective_uid != 0 {
        return Err(Errno::Eperm);
    }
    if let Some(terminal) = job::processes().terminal() {
        controlling::hang_up(terminal);
    }
    Ok(0)
}

pub fn getuid(call: &mut Call<'_>, _: Arguments) -> Result<u64> {
    Ok(u64::from(call.process().credentials().uid))
}

pub fn geteuid(call: &mut Call<'_>, _: Arguments) -> Result<u64> {
    Ok(u64::from(call.process().credentials().effective_uid))
}

pub fn getgid(call: &mut Call<'_>, _: Arguments) -> Result<u64> {
    Ok(u64::from(call.process().credentials().gid))
}

pub fn getegid(call: &mut Call<'_>, _: Arguments) -> Result<u64> {
    Ok(u64::from(call.process().credentials().effective_gid))
}

pub fn getresuid(call: &mut Call<'_>, [real, effective, saved, ..]: Arguments) -> Result<u64> {
    let now = call.process().credentials();
    usercopy::write(real, &now.uid)?;
    usercopy::write(effective, &now.effective_uid)?;
    usercopy::write(saved, &now.saved_uid)?;
    Ok(0)
}

pub fn getresgid(call: &mut Call<'_>, [real, effective, saved, ..]: Arguments) -> Result<u64> {
    let now = call.process().credentials();
    usercopy::write(real, &now.gid)?;
    usercopy::write(effective, &now.effective_gid)?;
    usercopy::write(saved, &now.saved_gid)?;
    Ok(0)
}

/// Changes credentials; `change` is given a copy, and whether the process may do anything (`CAP_SETUID`, `CAP_SETGID`).
fn change(call: &Call<'_>, change: impl FnOnce(&mut Credentials, bool) -> Result<()>) -> Result<u64> {
    let old = call.process().credentials();
    let mut new = old.copy()?;
    change(&mut new, old.effective_uid == 0)?;
    call.process().set_credentials(Ref::new(new)?);
    Ok(0)
}

/// -1 leaves it as it is.
fn wanted(value: u64) -> Option<u32> {
    Some(value as u32).filter(|&id| id != u32::MAX)
}

pub fn setuid(call: &mut Call<'_>, [uid, ..]: Arguments) -> Result<u64> {
    let uid = wanted(uid).ok_or(Errno::Einval)?;
    change(call, |now, privileged| {
        if privileged {
            (now.uid, now.saved_uid) = (uid, uid);
        } else if uid != now.uid && uid != now.saved_uid {
            return Err(Errno::Eperm);
        }
        (now.effective_uid, now.fs_uid) = (uid, uid);
        Ok(())
    })
}

pub fn setgid(call: &mut Call<'_>, [gid, ..]: Arguments) -> Result<u64> {
    let gid = wanted(gid).ok_or(Errno::Einval)?;
    change(call, |now, privileged| {
        if privileged {
            (now.gid, now.saved_gid) = (gid, gid);
        } else if gid != now.gid && gid != now.saved_gid {
            return Err(Errno::Eperm);
        }
        (now.effective_gid, now.fs_gid) = (gid, gid);
        Ok(())
    })
}

pub fn setreuid(call: &mut Call<'_>, [real, effective, ..]: Arguments) -> Result<u64> {
    let (real, effective) = (wanted(real), wanted(effective));
    change(call, |now, privileged| {
        let old = now.uid;
        let may_be_real = |id: u32| privileged || id == old || id == now.effective_uid;
        let may_be_effective = |id: u32| may_be_real(id) || id == now.saved_uid;
        if !real.is_none_or(may_be_real) || !effective.is_none_or(may_be_effective) {
            return Err(Errno::Eperm);
        }
        now.uid = real.unwrap_or(now.uid);
        now.effective_uid = effective.unwrap_or(now.effective_uid);
        if real.is_some() || effective.is_some_and(|id| id != old) {
            now.saved_uid = now.effective_uid;
        }
        now.fs_uid = now.effective_uid;
        Ok(())
    })
}

pub fn setregid(call: &mut Call<'_>, [real, effective, ..]: Arguments) -> Result<u64> {
    let (real, effective) = (wanted(real), wanted(effective));
    change(call, |now, privileged| {
        let old = now.gid;
        let may_be_real = |id: u32| privileged || id == old || id == now.effective_gid;
        let may_be_effective = |id: u32| may_be_real(id) || id == now.saved_gid;
        if !real.is_none_or(may_be_real) || !effective.is_none_or(may_be_effective) {
            return Err(Errno::Eperm);
        }
        now.gid = real.unwrap_or(now.gid);
        now.effective_gid = effective.unwrap_or(now.effective_gid);
        if real.is_some() || effective.is_some_and(|id| id != old) {
            now.saved_gid = now.effective_gid;
        }
        now.fs_gid = now.effective_gid;
        Ok(())
    })
}

pub fn setresuid(call: &mut Call<'_>, [real, effective, saved, ..]: Arguments) -> Result<u64> {
    let new = [real, effective, saved].map(wanted);
    change(call, |now, privileged| {
        let old = [now.uid, now.effective_uid, now.saved_uid];
        if !privileged && new.iter().flatten().any(|id| !old.contains(id)) {
            return Err(Errno::Eperm);
        }
        now.uid = new[0].unwrap_or(old[0]);
        now.effective_uid = new[1].unwrap_or(old[1]);
        now.saved_uid = new[2].unwrap_or(old[2]);
        now.fs_uid = now.effective_uid;
        Ok(())
    })
}

pub fn setresgid(call: &mut Call<'_>, [real, effective, saved, ..]: Arguments) -> Result<u64> {
    let new = [real, effective, saved].map(wanted);
    change(call, |now, privileged| {
        let old = [now.gid, now.effective_gid, now.saved_gid];
        if !privileged && new.iter().flatten().any(|id| !old.contains(id)) {
            return Err(Errno::Eperm);
        }
        now.gid = new[0].unwrap_or(old[0]);
        now.effective_gid = new[1].unwrap_or(old[1]);
        now.saved_gid = new[2].unwrap_or(old[2]);
        now.fs_gid = now.effective_gid;
        Ok(())
    })
}

/// Returns the old one, whatever comes of it.
pub fn setfsuid(call: &mut Call<'_>, [uid, ..]: Arguments) -> Result<u64> {
    let old = call.process().credentials().fs_uid;
    let uid = uid as u32;
    let _ = change(call, |now, privileged| {
        if privileged || [now.uid, now.effective_uid, now.saved_uid, now.fs_uid].contains(&uid) {
            now.fs_uid = uid;
        }
        Ok(())
    });
    Ok(u64::from(old))
}

pub fn setfsgid(call: &mut Call<'_>, [gid, ..]: Arguments) -> Result<u64> {
    let old = call.process().credentials().fs_gid;
    let gid = gid as u32;
    let _ = change(call, |now, privileged| {
        if privileged || [now.gid, now.effective_gid, now.saved_gid, now.fs_gid].contains(&gid) {
            now.fs_gid = gid;
        }
        Ok(())
    });
    Ok(u64::from(old))
}

pub fn getgroups(call: &mut Call<'_>, [count, to, ..]: Arguments) -> Result<u64> {
    let now = call.process().credentials();
    let groups = &now.groups;
    if count as i32 == 0 {
        return Ok(groups.len() as u64);
    }
    if (count as i32) < groups.len() as i32 {
        return Err(Errno::Einval);
    }
    for (n, group) in groups.iter().enumerate() {
        usercopy::write(to + n as u64 * 4, group)?;
    }
    Ok(groups.len() as u64)
}

pub fn setgroups(call: &mut Call<'_>, [count, from, ..]: Arguments) -> Result<u64> {
    const MOST: u64 = 65_536;
    if count > MOST {
        return Err(Errno::Einval);
    }
    let mut groups = room::with_room(count as usize)?;
    for n in 0..count {
        groups.push(usercopy::read::<u32>(from + n * 4)?);
    }
    groups.sort_unstable();
    change(call, |now, privileged| {
        if !privileged {
            return Err(Errno::Eperm);
        }
        now.groups = groups;
        Ok(())
    })
}
