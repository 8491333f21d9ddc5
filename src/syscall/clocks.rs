//! Time: what it is, sleeping, alarms.

use super::{Arguments, Call};
use crate::arch::x86_64::usercopy;
use crate::errno::Errno;
use crate::fs::Result;
use crate::platform::{Machine, Platform};
use crate::proc::alarm;
use crate::proc::process::TREE;
use crate::sync::interrupt;
use crate::sync::parker::NEVER;
use core::sync::atomic::Ordering;

const SECOND: u64 = 1_000_000_000;

const REALTIME: u32 = 0;
const MONOTONIC: u32 = 1;
const PROCESS_CPU: u32 = 2;
const THREAD_CPU: u32 = 3;
const MONOTONIC_RAW: u32 = 4;
const REALTIME_COARSE: u32 = 5;
const MONOTONIC_COARSE: u32 = 6;
const BOOTTIME: u32 = 7;
const REALTIME_ALARM: u32 = 8;
const BOOTTIME_ALARM: u32 = 9;
const TAI: u32 = 11;

fn unix_ns() -> u64 {
    Machine::unix_ns().map_or_else(Machine::now_ns, |ns| ns as u64)
}

/// A clock's time in nanoseconds.
fn now(call: &Call<'_>, clock: u64) -> Result<u64> {
    Ok(match clock as u32 {
        REALTIME | REALTIME_COARSE | REALTIME_ALARM | TAI => unix_ns(),
        MONOTONIC | MONOTONIC_RAW | MONOTONIC_COARSE | BOOTTIME | BOOTTIME_ALARM => Machine::now_ns(),
        PROCESS_CPU => {
            crate::task::schedule::account();
            call.process().cpu_ns()
        }
        THREAD_CPU => {
            crate::task::schedule::account();
            call.task.thread.get().map_or(0, |thread| thread.cpu_ns())
        }
        // A process's or thread's, whose number is in the upper bits, turned round.
        other if (other as i32) < 0 => {
            let number = !(other as i32 >> 3) as u32;
            let tree = TREE.lock();
            if other & 4 != 0 {
                let task = tree.thread(number).ok_or(Errno::Einval)?;
                task.thread.get().map_or(0, |thread| thread.cpu_ns())
            } else {
                let number = if number == 0 { call.task.pid() } else { number };
                let process = tree.get(number).cloned().ok_or(Errno::Einval)?;
                drop(tree);
                process.cpu_ns()
            }
        }
        _ => return Err(Errno::Einval),
    })
}

pub fn write_timespec(to: u64, ns: u64) -> Result<()> {
    Ok(usercopy::write(to, &[ns / SECOND, ns % SECOND])?)
}

/// Nanoseconds that a program has given as a struct timespec.
pub fn timespec(from: u64) -> Result<u64> {
    let [seconds, ns]: [u64; 2] = usercopy::read(from)?;
    if (seconds as i64) < 0 || ns >= SECOND {
        return Err(Errno::Einval);
    }
    Ok(seconds.saturating_mul(SECOND).saturating_add(ns))
}

/// The same as a struct timeval.
pub fn timeval(from: u64) -> Result<u64> {
    let [seconds, us]: [u64; 2] = usercopy::read(from)?;
    if (seconds as i64) < 0 || us >= 1_000_000 {
        return Err(Errno::Einval);
    }
    Ok(seconds.saturating_mul(SECOND).saturating_add(us * 1000))
}

/// When a span of time that begins now will be over.
pub fn deadline_of(timeout: u64) -> Result<u64> {
    Ok(after(timespec(timeout)?))
}

/// So many nanoseconds from now; never mistaken for [`NEVER`].
pub fn after(ns: u64) -> u64 {
    Machine::now_ns().saturating_add(ns).min(NEVER - 1)
}

pub fn clock_gettime(call: &mut Call<'_>, [clock, to, ..]: Arguments) -> Result<u64> {
    let ns = now(call, clock)?;
    write_timespec(to, ns).map(|()| 0)
}

pub fn clock_getres(call: &mut Call<'_>, [clock, to, ..]: Arguments) -> Result<u64> {
    now(call, clock)?;
    if to != 0 {
        write_timespec(to, 1)?;
    }
    Ok(0)
}

pub fn gettimeofday(_: &mut Call<'_>, [to, zone, ..]: Arguments) -> Result<u64> {
    let ns = unix_ns();
    if to != 0 {
        usercopy::write(to, &[ns / SECOND, ns % SECOND / 1000])?;
    }
    if zone != 0 {
        usercopy::write(zone, &[0_u32; 2])?;
    }
    Ok(0)
}

pub fn time(_: &mut Call<'_>, [to, ..]: Arguments) -> Result<u64> {
    let seconds = unix_ns() / SECOND;
    if to != 0 {
        usercopy::write(to, &seconds)?;
    }
    Ok(seconds)
}

pub fn nanosleep(call: &mut Call<'_>, [span, left, ..]: Arguments) -> Result<u64> {
    let deadline = deadline_of(span)?;
    sleep(call, deadline, left)
}

/// Sleeps; what is left is told, and gone on with if no handler was called.
fn sleep(call: &Call<'_>, deadline: u64, left: u64) -> Result<u64> {
    if interrupt::sleep_until(deadline).is_ok() {
        return Ok(0);
    }
    if left != 0 {
        write_timespec(left, deadline.saturating_sub(Machine::now_ns()))?;
    }
    call.task.rest_ns.store(deadline, Ordering::Relaxed);
    Err(Errno::Erestartblock)
}

pub fn restart_syscall(call: &mut Call<'_>, _: Arguments) -> Result<u64> {
    match call.task.rest_ns.load(Ordering::Relaxed) {
        0 => Err(Errno::Eintr),
        deadline => sleep(call, deadline, 0),
    }
}

pub fn clock_nanosleep(call: &mut Call<'_>, [clock, flags, span, left, ..]: Arguments) -> Result<u64> {
    const ABSOLUTE: u64 = 1;
    let wanted = timespec(span)?;
    match clock as u32 {
        REALTIME | MONOTONIC | BOOTTIME | TAI => {}
        THREAD_CPU => return Err(Errno::Einval),
        _ => return Err(Errno::Eopnotsupp),
    }
    if flags & ABSOLUTE == 0 {
        return sleep(call, after(wanted), left);
    }
    let deadline = after(wanted.saturating_sub(now(call, clock)?));
    match interrupt::sleep_until(deadline) {
        Ok(()) => Ok(0),
        Err(_) => Err(Errno::Erestartnohand),
    }
}

pub fn alarm(call: &mut Call<'_>, [seconds, ..]: Arguments) -> Result<u64> {
    let (left, _) = alarm::set(call.process(), (seconds & 0xFFFF_FFFF) * SECOND, 0)?;
    // At least 1 if there was one.
    Ok(if left == 0 { 0 } else { (left.saturating_add(SECOND / 2) / SECOND).max(1) })
}

/// struct itimerval: the period, then what is left.
fn write_itimer(to: u64, (left, period): (u64, u64)) -> Result<()> {
    let words = [period / SECOND, period % SECOND / 1000, left / SECOND, left % SECOND / 1000];
    Ok(usercopy::write(to, &words)?)
}

/// Of the three only the one of real time is there; the others answer that they are off.
pub fn getitimer(call: &mut Call<'_>, [which, to, ..]: Arguments) -> Result<u64> {
    let now = match which as u32 {
        0 => alarm::left(call.process()),
        1 | 2 => (0, 0),
        _ => return Err(Errno::Einval),
    };
    write_itimer(to, now).map(|()| 0)
}

pub fn setitimer(call: &mut Call<'_>, [which, new, old, ..]: Arguments) -> Result<u64> {
    match which as u32 {
        0 => {}
        1 | 2 => return Err(Errno::Enosys),
        _ => return Err(Errno::Einval),
    }
    let (period, value) = if new == 0 { (0, 0) } else { (timeval(new)?, timeval(new + 16)?) };
    let before = alarm::set(call.process(), value, period)?;
    if old != 0 {
        write_itimer(old, before)?;
    }
    Ok(0)
}
