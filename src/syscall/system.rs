//! The system as a whole, and what belongs nowhere else.

use super::{Arguments, Call};
use crate::arch::x86_64::usercopy;
use crate::boot::layout::{PAGE_SIZE, USER_END};
use crate::errno::Errno;
use crate::fs::Result;
use crate::fs::procfs::process::ALL_CAPABILITIES;
use crate::fs::procfs::uts;
use crate::mm::frames;
use crate::platform::{Machine, Platform};
use crate::proc::load;
use crate::proc::process::{PER_LINUX32, TREE};
use crate::proc::signal::Signal;
use crate::random;
use crate::sync::{Rank, SpinLock};
use crate::task::Name;
use crate::task::context::Base;
use core::sync::atomic::Ordering;

/// The machine's name, which can be changed.
static HOSTNAME: SpinLock<HostName> = SpinLock::new(Rank::Hostname, HostName::FIRST);

/// The name's bytes, and how many of them count.
#[derive(Clone, Copy)]
pub struct HostName([u8; uts::NAME_MAX], usize);

impl HostName {
    const FIRST: Self = {
        let mut bytes = [0; uts::NAME_MAX];
        let mut at = 0;
        while at < uts::HOST_NAME.len() {
            bytes[at] = uts::HOST_NAME.as_bytes()[at];
            at += 1;
        }
        Self(bytes, at)
    };

    pub fn as_bytes(&self) -> &[u8] {
        &self.0[..self.1]
    }
}

pub fn host_name() -> HostName {
    *HOSTNAME.lock()
}

/// EINVAL if it is too long.
pub fn set_host_name(name: &[u8]) -> Result<()> {
    let mut new = HostName([0; uts::NAME_MAX], name.len());
    new.0.get_mut(..name.len()).ok_or(Errno::Einval)?.copy_from_slice(name);
    *HOSTNAME.lock() = new;
    Ok(())
}

/// Bytes of each of the six strings.
const FIELD: usize = 65;
pub fn uname(call: &mut Call<'_>, [to, ..]: Arguments) -> Result<u64> {
    let mut bytes = [0; 6 * FIELD];
    let name = host_name();
    let [kind, release, version, domain] =
        [uts::OS_TYPE, uts::RELEASE, uts::VERSION, uts::DOMAIN_NAME].map(str::as_bytes);
    let is_narrow = call.process().personality.load(Ordering::Relaxed) == PER_LINUX32;
    let machine: &[u8] = if is_narrow { b"i686" } else { b"x86_64" };
    let fields = [kind, name.as_bytes(), release, version, machine, domain];
    for (n, field) in fields.into_iter().enumerate() {
        bytes[n * FIELD..n * FIELD + field.len()].copy_from_slice(field);
    }
    usercopy::copy_out(to, &bytes)?;
    Ok(0)
}

pub fn sethostname(call: &mut Call<'_>, [from, len, ..]: Arguments) -> Result<u64> {
    if call.process().credentials().effective_uid != 0 {
        return Err(Errno::Eperm);
    }
    if len > 64 {
        return Err(Errno::Einval);
    }
    let mut name = [0; uts::NAME_MAX];
    let name = &mut name[..len as usize];
    usercopy::copy_in(name, from)?;
    set_host_name(name)?;
    Ok(0)
}

/// struct sysinfo.
pub fn sysinfo(_: &mut Call<'_>, [to, ..]: Arguments) -> Result<u64> {
    let mut bytes = [0; 112];
    let words = [
        Machine::now_ns() / 1_000_000_000,
        0,
        0,
        0,
        frames::managed_frames() * PAGE_SIZE,
        frames::free_frames() * PAGE_SIZE,
        0,
        0,
        0,
        0,
    ];
    for (n, word) in words.iter().enumerate() {
        bytes[n * 8..n * 8 + 8].copy_from_slice(&word.to_le_bytes());
    }
    bytes[80..82].copy_from_slice(&(TREE.lock().count() as u16).to_le_bytes());
    bytes[104..108].copy_from_slice(&1_u32.to_le_bytes());
    usercopy::copy_out(to, &bytes)?;
    Ok(0)
}

pub fn getrandom(_: &mut Call<'_>, [to, len, flags, ..]: Arguments) -> Result<u64> {
    const NONBLOCK: u64 = 1;
    const KNOWN: u64 = 7;
    let flags = flags & 0xFFFF_FFFF;
    const PIECE: usize = 256;
    if flags & !KNOWN != 0 {
        return Err(Errno::Einval);
    }
    let len = len.min(0x7FFF_F000) as usize;
    let mut bytes = [0; PIECE];
    let mut done = 0;
    while done < len {
        let piece = &mut bytes[..(len - done).min(PIECE)];
        if flags & NONBLOCK != 0 {
            random::try_fill(piece).map_err(|_| Errno::Eagain)?;
        } else {
            random::fill_ready(piece)?;
        }
        let left = usercopy::copy_out_partly(to + done as u64, piece).unwrap_or(piece.len());
        done += piece.len() - left;
        if left > 0 {
            return if done > 0 { Ok(done as u64) } else { Err(Errno::Efault) };
        }
    }
    Ok(len as u64)
}

/// The old one, and, unless that is all that is wanted, another. None but Linux's own two.
pub fn personality(call: &mut Call<'_>, [persona, ..]: Arguments) -> Result<u64> {
    /// Asks only.
    const ASK: u32 = 0xFFFF_FFFF;
    let now = &call.process().personality;
    Ok(match persona as u32 {
        ASK => now.load(Ordering::Relaxed),
        new @ (0 | PER_LINUX32) => now.swap(new, Ordering::Relaxed),
        _ => return Err(Errno::Einval),
    }
    .into())
}

pub fn arch_prctl(_: &mut Call<'_>, [code, address, ..]: Arguments) -> Result<u64> {
    const SET_GS: u64 = 0x1001;
    const SET_FS: u64 = 0x1002;
    const GET_FS: u64 = 0x1003;
    const GET_GS: u64 = 0x1004;
    match code & 0xFFFF_FFFF {
        SET_FS | SET_GS if address >= USER_END => return Err(Errno::Eperm),
        SET_FS => Base::Fs.set(address),
        SET_GS => Base::Gs.set(address),
        GET_FS => usercopy::write(address, &Base::Fs.get())?,
        GET_GS => usercopy::write(address, &Base::Gs.get())?,
        _ => return Err(Errno::Einval),
    }
    Ok(0)
}

pub fn prctl(call: &mut Call<'_>, [option, a, b, c, d, _]: Arguments) -> Result<u64> {
    const SET_PDEATHSIG: u64 = 1;
    const GET_PDEATHSIG: u64 = 2;
    const GET_DUMPABLE: u64 = 3;
    const SET_DUMPABLE: u64 = 4;
    const GET_KEEPCAPS: u64 = 7;
    const SET_NAME: u64 = 15;
    const GET_NAME: u64 = 16;
    const CAPBSET_READ: u64 = 23;
    const SET_CHILD_SUBREAPER: u64 = 36;
    const GET_CHILD_SUBREAPER: u64 = 37;
    const SET_NO_NEW_PRIVS: u64 = 38;
    const GET_NO_NEW_PRIVS: u64 = 39;
    match option & 0xFFFF_FFFF {
        SET_PDEATHSIG if a == 0 || Signal::new(a).is_some() => {
            call.process().death_signal.store(a as u8, Ordering::Relaxed);
            Ok(0)
        }
        GET_PDEATHSIG => {
            let signal = call.process().death_signal.load(Ordering::Relaxed);
            usercopy::write(a, &u32::from(signal))?;
            Ok(0)
        }
        GET_DUMPABLE => Ok(call.process().is_dumpable.load(Ordering::Relaxed).into()),
        SET_DUMPABLE if a <= 1 => {
            call.process().is_dumpable.store(a == 1, Ordering::Relaxed);
            Ok(0)
        }
        GET_KEEPCAPS => Ok(0),
        // Never taken back.
        SET_NO_NEW_PRIVS if [a, b, c, d] == [1, 0, 0, 0] => {
            call.process().no_new_privileges.store(true, Ordering::Relaxed);
            Ok(0)
        }
        GET_NO_NEW_PRIVS if [a, b, c, d] == [0; 4] => {
            Ok(call.process().no_new_privileges.load(Ordering::Relaxed).into())
        }
        CAPBSET_READ if a <= 40 => Ok(1),
        SET_NAME => {
            let mut bytes = [0; 16];
            usercopy::copy_string(&mut bytes[..15], a)?;
            let len = bytes.iter().position(|&byte| byte == 0).unwrap_or(15);
            let text = core::str::from_utf8(&bytes[..len]).unwrap_or("?");
            load::rename(call.task, Name::new(text));
            Ok(0)
        }
        GET_NAME => {
            let name = *call.task.name.lock();
            let mut bytes = [0; 16];
            let len = name.as_str().len().min(15);
            bytes[..len].copy_from_slice(&name.as_str().as_bytes()[..len]);
            usercopy::copy_out(a, &bytes)?;
            Ok(0)
        }
        SET_CHILD_SUBREAPER => {
            TREE.lock().set_subreaper(call.task.pid(), a != 0);
            Ok(0)
        }
        GET_CHILD_SUBREAPER => {
            let on = TREE.lock().is_subreaper(call.task.pid());
            usercopy::write(a, &u32::from(on))?;
            Ok(0)
        }
        _ => Err(Errno::Einval),
    }
}

pub fn reboot(call: &mut Call<'_>, [magic, magic2, command, ..]: Arguments) -> Result<u64> {
    const RESTART: u32 = 0x0123_4567;
    const HALT: u32 = 0xCDEF_0123;
    const POWER_OFF: u32 = 0x4321_FEDC;
    const CAD_ON: u32 = 0x89AB_CDEF;
    const CAD_OFF: u32 = 0;
    if call.process().credentials().effective_uid != 0 {
        return Err(Errno::Eperm);
    }
    if magic as u32 != 0xFEE1_DEAD
        || !matches!(magic2 as u32, 672_274_793 | 85_072_278 | 369_367_448 | 537_993_216)
    {
        return Err(Errno::Einval);
    }
    match command as u32 {
        CAD_ON | CAD_OFF => Ok(0),
        RESTART => Machine::restart(),
        HALT | POWER_OFF => {
            let reason = Machine::power_off();
            log::error!(target: "power", "{reason}");
            Err(Errno::Eio)
        }
        _ => Err(Errno::Einval),
    }
}

/// Capabilities, all or none: user 0 has them. Source: capget(2).
pub fn capget(call: &mut Call<'_>, [header, data, ..]: Arguments) -> Result<u64> {
    const VERSIONS: [u32; 3] = [0x1998_0330, 0x2007_1026, 0x2008_0522];
    let [version, pid]: [u32; 2] = usercopy::read(header)?;
    if !VERSIONS.contains(&version) {
        usercopy::write(header, &VERSIONS[2])?;
        return if data == 0 { Ok(0) } else { Err(Errno::Einval) };
    }
    if pid as i32 <= -1 {
        return Err(Errno::Einval);
    }
    let who = match pid {
        0 => call.process().clone(),
        pid => TREE.lock().get(pid).cloned().ok_or(Errno::Esrch)?,
    };
    let credentials = who.credentials();
    let has = |uid: u32| if uid == 0 { ALL_CAPABILITIES } else { 0 };
    let (effective, permitted) = (has(credentials.effective_uid), has(credentials.effective_uid));
    // Effective, permitted, inheritable: the lower halves, then the upper ones.
    let words = [effective, permitted, 0, effective >> 32, permitted >> 32, 0].map(|word| word as u32);
    if version == VERSIONS[0] {
        usercopy::write(data, &[words[0], words[1], words[2]])?;
    } else {
        usercopy::write(data, &words)?;
    }
    Ok(0)
}
