//! Signals: sent, handled, blocked, waited for.

use super::clocks::deadline_of;
use super::{Arguments, Call};
use crate::arch::x86_64::usercopy;
use crate::errno::Errno;
use crate::fs::Result;
use crate::fs::refs::Ref;
use crate::proc::deliver::leave_handler;
use crate::proc::process::{TREE, Task, WORK_MASK};
use crate::proc::send::{self, Target};
use crate::proc::signal::action::{ACTION_BYTES, Action};
use crate::proc::signal::altstack::{AltStack, STACK_BYTES};
use crate::proc::signal::info::{INFO_BYTES, Info};
use crate::proc::signal::{SigSet, Signal, altstack, deliver};
use crate::sync::interrupt;
use crate::sync::parker::NEVER;

/// Bytes of a set.
const SET: u64 = 8;

/// A signal, or 0 for none.
fn signal_or_none(number: u64) -> Result<Option<Signal>> {
    match number as u32 {
        0 => Ok(None),
        number => Signal::new(u64::from(number)).map(Some).ok_or(Errno::Einval),
    }
}

pub fn rt_sigaction(call: &mut Call<'_>, [signal, new, old, size, ..]: Arguments) -> Result<u64> {
    if size != SET {
        return Err(Errno::Einval);
    }
    let signal = Signal::new(signal & 0xFFFF_FFFF).ok_or(Errno::Einval)?;
    let wanted = match new {
        0 => None,
        address => {
            let mut bytes = [0; ACTION_BYTES];
            usercopy::copy_in(&mut bytes, address)?;
            Some(Action::from_bytes(&bytes))
        }
    };
    let before = {
        let mut group = call.process().group();
        match wanted {
            None => *group.actions.get(signal),
            Some(action) => {
                let (before, discard) = group.actions.set(signal, action)?;
                if discard {
                    let set = SigSet::of(&[signal]);
                    group.pending.discard(set);
                    group.iter().for_each(|task| task.signals.lock().pending.discard(set));
                }
                before
            }
        }
    };
    if old != 0 {
        usercopy::copy_out(old, &before.to_bytes())?;
    }
    Ok(0)
}

pub fn rt_sigprocmask(call: &mut Call<'_>, [how, new, old, size, ..]: Arguments) -> Result<u64> {
    if size != SET {
        return Err(Errno::Einval);
    }
    let wanted = if new == 0 { None } else { Some(usercopy::read::<u64>(new)?) };
    let before = {
        let mut mine = call.task.signals.lock();
        let before = mine.mask.now();
        if let Some(bits) = wanted {
            mine.mask.change(how & 0xFFFF_FFFF, bits)?;
        }
        before
    };
    if wanted.is_some() {
        send::look_again(call.task);
    }
    if old != 0 {
        usercopy::write(old, &before.bits())?;
    }
    Ok(0)
}

pub fn rt_sigpending(call: &mut Call<'_>, [to, size, ..]: Arguments) -> Result<u64> {
    if size > SET {
        return Err(Errno::Einval);
    }
    let set = {
        let group = call.process().group();
        let mine = call.task.signals.lock();
        group.pending.set().with(mine.pending.set()).and(mine.mask.now())
    };
    usercopy::copy_out(to, &set.bits().to_le_bytes()[..size as usize])?;
    Ok(0)
}

/// Leaves a handler: registers, mask and floating-point state as they were. There is no result.
pub fn rt_sigreturn(call: &mut Call<'_>, _: Arguments) -> Result<u64> {
    match leave_handler(call.task, call.frame) {
        Ok(()) => Ok(call.frame.rax),
        Err(_) => {
            send::force(call.task, Info::kernel(Signal::SEGV));
            Ok(0)
        }
    }
}

pub fn sigaltstack(call: &mut Call<'_>, [new, old, ..]: Arguments) -> Result<u64> {
    let wanted = match new {
        0 => None,
        address => {
            let mut bytes = [0; STACK_BYTES];
            usercopy::copy_in(&mut bytes, address)?;
            Some(AltStack::from_bytes(&bytes))
        }
    };
    let rsp = call.frame.rsp;
    let before = {
        let mut mine = call.task.signals.lock();
        let before = mine.stack.told(rsp);
        if let Some(wanted) = wanted {
            mine.stack.set(&wanted, rsp, altstack::SIZE_MIN)?;
        }
        before
    };
    if old != 0 {
        usercopy::copy_out(old, &before.to_bytes())?;
    }
    Ok(0)
}

pub fn kill(call: &mut Call<'_>, [pid, signal, ..]: Arguments) -> Result<u64> {
    let signal = signal_or_none(signal)?;
    let target = match pid as i32 {
        0 => Target::Group(TREE.lock().group(call.task.pid()).ok_or(Errno::Esrch)?),
        -1 => Target::All,
        i32::MIN => return Err(Errno::Esrch),
        pid if pid < 0 => Target::Group(pid.unsigned_abs()),
        pid => Target::Process(pid as u32),
    };
    send::kill(call.process(), target, signal).map(|()| 0)
}

fn thread(pid: Option<u32>, tid: u64) -> Result<Ref<Task>> {
    if tid as i32 <= 0 || pid.is_some_and(|pid| pid as i32 <= 0) {
        return Err(Errno::Einval);
    }
    let task = TREE.lock().thread(tid as u32).cloned().ok_or(Errno::Esrch)?;
    if pid.is_none_or(|pid| pid == task.process.pid) { Ok(task) } else { Err(Errno::Esrch) }
}

pub fn tkill(call: &mut Call<'_>, [tid, signal, ..]: Arguments) -> Result<u64> {
    to_thread(call, None, tid, signal)
}

pub fn tgkill(call: &mut Call<'_>, [pid, tid, signal, ..]: Arguments) -> Result<u64> {
    to_thread(call, Some(pid as u32), tid, signal)
}

fn to_thread(call: &Call<'_>, pid: Option<u32>, tid: u64, signal: u64) -> Result<u64> {
    let signal = signal_or_none(signal)?;
    let task = thread(pid, tid)?;
    // The question whether one may is that of the process.
    send::kill(call.process(), Target::Process(task.process.pid), None)?;
    if let Some(signal) = signal {
        let info = Info::tkill(signal, call.task.pid(), call.process().credentials().uid);
        send::queue(&task.process, Some(&task), info)?;
    }
    Ok(0)
}

/// What a program says of a signal that it sends to a process, or to one of its threads. `None` for number 0, the mere
/// question.
fn claimed(call: &Call<'_>, signal: u64, address: u64, to: u32, thread: Option<u64>) -> Result<Option<Info>> {
    let mut bytes = [0; INFO_BYTES];
    usercopy::copy_in(&mut bytes, address)?;
    if thread.is_some_and(|tid| tid as i32 <= 0 || to as i32 <= 0) {
        return Err(Errno::Einval);
    }
    let number = signal & 0xFFFF_FFFF;
    let signal = Signal::new(number);
    let info = Info::from_user(signal.unwrap_or(Signal::HUP), &bytes)?;
    if !info.may_be_claimed() && to != call.task.pid() {
        return Err(Errno::Eperm);
    }
    if signal.is_none() && number != 0 { Err(Errno::Einval) } else { Ok(signal.map(|_| info)) }
}

pub fn rt_sigqueueinfo(call: &mut Call<'_>, [pid, signal, info, ..]: Arguments) -> Result<u64> {
    let info = claimed(call, signal, info, pid as u32, None)?;
    send::kill(call.process(), Target::Process(pid as u32), None)?;
    let process = TREE.lock().get(pid as u32).cloned().ok_or(Errno::Esrch)?;
    info.map_or(Ok(()), |info| send::queue(&process, None, info)).map(|()| 0)
}

pub fn rt_tgsigqueueinfo(call: &mut Call<'_>, [pid, tid, signal, info, ..]: Arguments) -> Result<u64> {
    let info = claimed(call, signal, info, pid as u32, Some(tid))?;
    let task = thread(Some(pid as u32), tid)?;
    send::kill(call.process(), Target::Process(pid as u32), None)?;
    info.map_or(Ok(()), |info| send::queue(&task.process, Some(&task), info)).map(|()| 0)
}

pub fn pause(_: &mut Call<'_>, _: Arguments) -> Result<u64> {
    while interrupt::sleep_until(NEVER).is_ok() {}
    Err(Errno::Erestartnohand)
}

pub fn rt_sigsuspend(call: &mut Call<'_>, [mask, size, ..]: Arguments) -> Result<u64> {
    if size != SET {
        return Err(Errno::Einval);
    }
    let bits = usercopy::read::<u64>(mask)?;
    suspend_mask(call, bits);
    while interrupt::sleep_until(NEVER).is_ok() {}
    Err(Errno::Erestartnohand)
}

/// Another mask until the call is over, or a handler has been called.
pub fn suspend_mask(call: &Call<'_>, bits: u64) {
    call.task.signals.lock().mask.suspend(bits);
    send::look_again(call.task);
    call.task.note(WORK_MASK);
}

pub fn rt_sigtimedwait(call: &mut Call<'_>, [set, info, timeout, size, ..]: Arguments) -> Result<u64> {
    if size != SET {
        return Err(Errno::Einval);
    }
    let wanted = SigSet::mask(usercopy::read::<u64>(set)?);
    let deadline = if timeout == 0 { NEVER } else { deadline_of(timeout)? };
    let take = || {
        let mut group = call.process().group();
        let mut mine = call.task.signals.lock();
        deliver::dequeue(&mut mine.pending, &mut group.pending, wanted.complement())
    };
    let mut found = take();
    if found.is_none() {
        call.task.signals.lock().mask.begin_wait(wanted);
        call.task.look_again();
        let slept = interrupt::sleep_until(deadline);
        call.task.signals.lock().mask.end_wait();
        found = take();
        send::look_again(call.task);
        if found.is_none() {
            return Err(if slept.is_ok() { Errno::Eagain } else { Errno::Eintr });
        }
    }
    call.task.look_again();
    let found = found.ok_or(Errno::Eagain)?;
    if info != 0 {
        usercopy::copy_out(info, &found.to_bytes())?;
    }
    Ok(u64::from(found.signal().number()))
}
