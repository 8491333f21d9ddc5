//! Processes and threads: how they begin, become others, end, and are waited for.

use super::scheduling::rusage;
use super::{Arguments, Call};
use crate::arch::x86_64::usercopy;
use crate::errno::Errno;
use crate::fs::Result;
use crate::fs::flags::AtFlags;
use crate::proc::clone::{self as new, CloneArgs, CloneFlags};
use crate::proc::exec::arguments::{Arguments as Strings, List, STRING_MAX};
use crate::proc::limits::Resource;
use crate::proc::process::{TREE, WORK_END};
use crate::proc::signal::Signal;
use crate::proc::tree::{News, What, Which};
use crate::proc::{SIGCHLD, end, load, user, wait};
use core::sync::atomic::Ordering;

pub fn clone(call: &mut Call<'_>, [flags, stack, parent_tid, child_tid, tls, _]: Arguments) -> Result<u64> {
    let args = CloneArgs {
        flags: CloneFlags::from_bits_truncate(flags & !0xFF & 0xFFFF_FFFF),
        exit_signal: flags as u8 & 0x7F,
        stack,
        parent_tid,
        child_tid,
        tls,
    };
    new::clone(call.task, call.frame, &args).map(u64::from)
}

fn as_clone(call: &Call<'_>, flags: CloneFlags) -> Result<u64> {
    let args = CloneArgs { flags, exit_signal: SIGCHLD, stack: 0, parent_tid: 0, child_tid: 0, tls: 0 };
    new::clone(call.task, call.frame, &args).map(u64::from)
}

pub fn fork(call: &mut Call<'_>, _: Arguments) -> Result<u64> {
    as_clone(call, CloneFlags::empty())
}

pub fn vfork(call: &mut Call<'_>, _: Arguments) -> Result<u64> {
    as_clone(call, CloneFlags::VM | CloneFlags::VFORK)
}

pub fn execve(call: &mut Call<'_>, [path, argv, envp, ..]: Arguments) -> Result<u64> {
    const CWD: u64 = -100_i64 as u64;
    execveat(call, [CWD, path, argv, envp, 0, 0])
}

pub fn execveat(call: &mut Call<'_>, [dir, path, argv, envp, flags, _]: Arguments) -> Result<u64> {
    let flags = AtFlags::from_bits(flags as u32).ok_or(Errno::Einval)?;
    if !(AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW).contains(flags) {
        return Err(Errno::Einval);
    }
    let path = user::path(path)?;
    if path.is_empty() && !flags.contains(AtFlags::EMPTY_PATH) {
        return Err(Errno::Enoent);
    }
    let place = call.place(dir, &path)?;
    let stack = call.process().limits.lock().bound(Resource::Stack);
    let mut strings = Strings::new(&path, stack)?;
    list(&mut strings, List::Arguments, argv)?;
    list(&mut strings, List::Environment, envp)?;
    strings.complete()?;
    let loaded = load::load(call.task, place.at(), &path, strings)?;
    drop(place);
    load::install(call.task, call.frame, loaded)?;
    // rax is the new program's.
    Ok(0)
}

/// Strings that a program has pointers to, with a null behind the last; none at all if there is no list.
fn list(strings: &mut Strings, which: List, mut at: u64) -> Result<()> {
    if at == 0 {
        return Ok(());
    }
    loop {
        let pointer: u64 = usercopy::read(at)?;
        if pointer == 0 {
            return Ok(());
        }
        let mut from = pointer;
        let mut piece = [0; 256];
        loop {
            match usercopy::copy_string(&mut piece, from)? {
                Some(len) => {
                    strings.append(which, &piece[..len])?;
                    strings.end(which)?;
                    break;
                }
                None => {
                    strings.append(which, &piece)?;
                    from += piece.len() as u64;
                    if from - pointer > STRING_MAX as u64 {
                        return Err(Errno::E2big);
                    }
                }
            }
        }
        at += 8;
    }
}

pub fn exit(call: &mut Call<'_>, [status, ..]: Arguments) -> Result<u64> {
    call.task.status.store(end::exited(status as u8), Ordering::Relaxed);
    call.task.note(WORK_END);
    Ok(0)
}

pub fn exit_group(call: &mut Call<'_>, [status, ..]: Arguments) -> Result<u64> {
    end::begin(call.task, end::exited(status as u8));
    Ok(0)
}

pub fn set_tid_address(call: &mut Call<'_>, [address, ..]: Arguments) -> Result<u64> {
    call.task.clear_tid.store(address, Ordering::Relaxed);
    Ok(u64::from(call.task.tid()))
}

/// Bytes of a list's head.
const ROBUST_HEAD: u64 = 24;

pub fn set_robust_list(call: &mut Call<'_>, [head, size, ..]: Arguments) -> Result<u64> {
    if size != ROBUST_HEAD {
        return Err(Errno::Einval);
    }
    call.task.robust_list.store(head, Ordering::Relaxed);
    Ok(0)
}

pub fn get_robust_list(call: &mut Call<'_>, [tid, head, size, ..]: Arguments) -> Result<u64> {
    let found = match tid as u32 {
        0 => call.task.robust_list.load(Ordering::Relaxed),
        tid => {
            let tree = TREE.lock();
            let task = tree.thread(tid).ok_or(Errno::Esrch)?;
            if task.process.pid != call.task.pid() {
                return Err(Errno::Eperm);
            }
            task.robust_list.load(Ordering::Relaxed)
        }
    };
    usercopy::write(head, &found)?;
    usercopy::write(size, &ROBUST_HEAD)?;
    Ok(0)
}

const WNOHANG: u64 = 1;
const WUNTRACED: u64 = 2;
const WEXITED: u64 = 4;
const WCONTINUED: u64 = 8;
const WNOWAIT: u64 = 0x0100_0000;
const WNOTHREAD: u64 = 0x2000_0000;
const WALL: u64 = 0x4000_0000;
const WCLONE: u64 = 0x8000_0000;

fn which(call: &Call<'_>, pid: i32) -> Result<Which> {
    Ok(match pid {
        -1 => Which::Any,
        0 => Which::Group(TREE.lock().group(call.task.pid()).ok_or(Errno::Echild)?),
        i32::MIN => return Err(Errno::Esrch),
        pid if pid < 0 => Which::Group(pid.unsigned_abs()),
        pid => Which::Pid(pid as u32),
    })
}

pub fn wait4(call: &mut Call<'_>, [pid, status, options, usage, ..]: Arguments) -> Result<u64> {
    let options = options & 0xFFFF_FFFF;
    if options & !(WNOHANG | WUNTRACED | WCONTINUED | WNOTHREAD | WALL | WCLONE) != 0 {
        return Err(Errno::Einval);
    }
    let what = What {
        exited: true,
        stopped: options & WUNTRACED != 0,
        continued: options & WCONTINUED != 0,
        leave: false,
        all: options & WALL != 0,
        clone_only: options & WCLONE != 0,
    };
    let which = which(call, pid as i32)?;
    let Some(found) = wait::wait(call.task, which, what, options & WNOHANG == 0)? else { return Ok(0) };
    if status != 0 {
        usercopy::write(status, &found.status())?;
    }
    if usage != 0 {
        usercopy::copy_out(usage, &rusage(found.cpu_ns))?;
    }
    Ok(u64::from(found.pid))
}

pub fn waitid(call: &mut Call<'_>, [kind, id, info, options, usage, _]: Arguments) -> Result<u64> {
    let options = options & 0xFFFF_FFFF;
    let known = WNOHANG | WNOWAIT | WEXITED | WUNTRACED | WCONTINUED | WNOTHREAD | WALL | WCLONE;
    if options & !known != 0 || options & (WEXITED | WUNTRACED | WCONTINUED) == 0 {
        return Err(Errno::Einval);
    }
    let which = match (kind as u32, id as u32) {
        (0, _) => Which::Any,
        (1, pid) if pid as i32 > 0 => Which::Pid(pid),
        (2, 0) => Which::Group(TREE.lock().group(call.task.pid()).ok_or(Errno::Echild)?),
        (2, group) if group as i32 > 0 => Which::Group(group),
        _ => return Err(Errno::Einval),
    };
    let what = What {
        exited: options & WEXITED != 0,
        stopped: options & WUNTRACED != 0,
        continued: options & WCONTINUED != 0,
        leave: options & WNOWAIT != 0,
        all: options & WALL != 0,
        clone_only: options & WCLONE != 0,
    };
    let found = wait::wait(call.task, which, what, options & WNOHANG == 0)?;
    // struct siginfo: signal, errno, code, then pid, uid, status.
    let mut words = [0_u32; 32];
    if let Some(found) = &found {
        let (code, status) = match found.news {
            News::Exited(status) if status & 0x7F == 0 => (1, status >> 8 & 0xFF),
            News::Exited(status) => (if status & 0x80 != 0 { 3 } else { 2 }, status & 0x7F),
            News::Stopped(signal) => (5, u32::from(signal)),
            News::Continued => (6, u32::from(Signal::CONT.number())),
        };
        words[0] = u32::from(SIGCHLD);
        words[2] = code;
        words[4] = found.pid;
        words[5] = found.uid;
        words[6] = status;
    }
    if info != 0 {
        usercopy::write(info, &words)?;
    }
    if let Some(found) = found.filter(|_| usage != 0) {
        usercopy::copy_out(usage, &rusage(found.cpu_ns))?;
    }
    Ok(0)
}
