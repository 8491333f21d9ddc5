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
use crate::proc::ids::{self, Kind};
use crate::proc::process::TREE;
use crate::tty::{controlling, job};
use core::sync::atomic::Ordering;

pub fn getpid(call: &mut Call<'_>, _: Arguments) -> Result<u64> {
    Ok(u64::from(call.task.pid()))
}

pub fn gettid(call: &mut Call<'_>, _: Arguments) -> Result<u64> {
    Ok(u64::from(call.task.tid()))
}

pub fn getppid(call: &mut Call<'_>, _: Arguments) -> Result<u64> {
    Ok(call.process().parent.load(Ordering::Relaxed).into())
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
    call.process().terminal.store(0, Ordering::Relaxed);
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

/// Other credentials, by the rules of [`ids`].
fn change(call: &Call<'_>, rule: impl FnOnce(&Credentials) -> Result<Credentials>) -> Result<u64> {
    let new = rule(&call.process().credentials())?;
    call.process().set_credentials(Ref::new(new)?);
    Ok(0)
}

pub fn setuid(call: &mut Call<'_>, [uid, ..]: Arguments) -> Result<u64> {
    change(call, |now| ids::set(now, Kind::User, uid as u32))
}

pub fn setgid(call: &mut Call<'_>, [gid, ..]: Arguments) -> Result<u64> {
    change(call, |now| ids::set(now, Kind::Group, gid as u32))
}

pub fn setreuid(call: &mut Call<'_>, [real, effective, ..]: Arguments) -> Result<u64> {
    change(call, |now| ids::set_real_effective(now, Kind::User, real as u32, effective as u32))
}

pub fn setregid(call: &mut Call<'_>, [real, effective, ..]: Arguments) -> Result<u64> {
    change(call, |now| ids::set_real_effective(now, Kind::Group, real as u32, effective as u32))
}

pub fn setresuid(call: &mut Call<'_>, [real, effective, saved, ..]: Arguments) -> Result<u64> {
    change(call, |now| ids::set_three(now, Kind::User, [real, effective, saved].map(|id| id as u32)))
}

pub fn setresgid(call: &mut Call<'_>, [real, effective, saved, ..]: Arguments) -> Result<u64> {
    change(call, |now| ids::set_three(now, Kind::Group, [real, effective, saved].map(|id| id as u32)))
}

/// Returns the old one, whatever comes of it.
fn set_fs(call: &Call<'_>, kind: Kind, id: u64) -> u64 {
    let (old, new) = ids::set_fs(&call.process().credentials(), kind, id as u32);
    if let Some(new) = new {
        // Without memory for it the old one stays, which is what the program is told then.
        let _ = change(call, |_| new);
    }
    u64::from(old)
}

pub fn setfsuid(call: &mut Call<'_>, [uid, ..]: Arguments) -> Result<u64> {
    Ok(set_fs(call, Kind::User, uid))
}

pub fn setfsgid(call: &mut Call<'_>, [gid, ..]: Arguments) -> Result<u64> {
    Ok(set_fs(call, Kind::Group, gid))
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
    if !ids::is_privileged(&call.process().credentials()) {
        return Err(Errno::Eperm);
    }
    if count > ids::GROUPS_MAX as u64 {
        return Err(Errno::Einval);
    }
    let mut groups = room::with_room(count as usize)?;
    for n in 0..count {
        groups.push(usercopy::read::<u32>(from + n * 4)?);
    }
    change(call, |now| ids::set_groups(now, groups))
}
