//! Taking signals, on the way back to ring 3: a handler's frame is built, or the process stops, or ends.

use super::end;
use super::process::{Group, Task, WORK_END, WORK_MASK, WORK_SIGNAL, WORK_STOP};
use super::signal::action::{Action, Flags};
use super::signal::deliver::{self as decide, Delivery, Taker};
use super::signal::frame::fpstate::{Fpu, LEGACY_BYTES};
use super::signal::frame::{self, Call, LastFault};
use super::signal::restart::{Interrupted, Outcome};
use super::signal::{Info, SigSet, Signal};
use super::tree;
use crate::arch::x86_64::frame::{SYSCALL_INT, SYSCALL_VECTOR, TrapFrame};
use crate::boot::layout::USER_END;
use crate::errno::Errno;
use crate::fs::Result;
use crate::mm::vma::room;
use crate::proc::process::TREE;
use crate::proc::send;
use crate::proc::user::Mine;
use crate::task::fpu;
use core::mem;
use spin::Once;

/// Does one thing that there is to do. With interrupts on, on the thread's own stack.
pub fn deliver(task: &Task, registers: &mut TrapFrame) {
    // Then on, though there be no signal: the call that was given up for the stop has to begin again.
    while task.work() & WORK_STOP != 0 {
        wait_for_continuation(task);
    }
    let pid = task.pid();
    let delivery = loop {
        match take(task) {
            Err(IsEnding) => return,
            // Nobody outside could let it go on: as if that one had never been.
            Ok(Some(Delivery::Stop { info })) if info.signal() != Signal::STOP && is_orphaned(pid) => {}
            Ok(delivery) => break delivery,
        }
    };
    match delivery {
        Some(Delivery::Handle { info, action }) => {
            restart(registers, Some(action.flags.contains(Flags::RESTART)));
            if call_handler(task, registers, &info, &action).is_err() {
                // There is no room for the frame. Whoever has a handler for that, on another stack, is told; but not if it is
                // that handler's own.
                if info.signal() == Signal::SEGV {
                    task.process.group().actions.reset(Signal::SEGV);
                }
                send::force(task, Info::kernel(Signal::SEGV));
            }
        }
        Some(Delivery::End { info }) => {
            // What it did itself; what others send has nothing to do with where it is.
            if info.is_synchronous() {
                log::info!(
                    target: "proc",
                    "{}[{pid}]: {} at {:#x}, address {:#x}",
                    *task.name.lock(),
                    info.signal().name().unwrap_or("a signal"),
                    registers.rip,
                    info.address()
                );
            }
            end::begin(task, end::killed(info.signal()));
        }
        Some(Delivery::Stop { info }) => {
            restart(registers, None);
            stop(task, info.signal());
        }
        None => {
            restart(registers, None);
            if task.work() & WORK_MASK != 0 {
                task.done(WORK_MASK);
                task.signals.lock().mask.restore();
                send::look_again(task);
            }
        }
    }
}

/// The process ends already.
struct IsEnding;

/// The next signal, out of its queue.
fn take(task: &Task) -> core::result::Result<Option<Delivery>, IsEnding> {
    let mut group = task.process.group();
    if group.end.is_some() {
        task.note(WORK_END);
        return Err(IsEnding);
    }
    let mut mine = task.signals.lock();
    let taker = Taker { blocked: mine.mask.now(), is_init: task.pid() == tree::INIT };
    let Group { actions, pending, is_to_stop, .. } = &mut *group;
    let delivery = decide::next(&mut mine.pending, pending, actions, taker);
    if let Some(Delivery::Stop { .. }) = delivery {
        *is_to_stop = true;
    }
    if !decide::is_needed(&mine.pending, pending, mine.mask.now()) {
        task.done(WORK_SIGNAL);
    }
    Ok(delivery)
}

/// A call that was interrupted: what the program sees of that. Once.
fn restart(registers: &mut TrapFrame, handler: Option<bool>) {
    let is_call = matches!(registers.vector, SYSCALL_VECTOR | SYSCALL_INT);
    let Some(interrupted) = Some(registers.rax).filter(|_| is_call).and_then(interrupted) else { return };
    let outcome = interrupted.outcome(registers.error, handler);
    outcome.apply(&mut registers.rax, &mut registers.rip);
    if matches!(outcome, Outcome::Again(_)) {
        // What was a call is none any more.
        registers.vector = 0;
    }
}

/// The call's own word for it.
fn interrupted(rax: u64) -> Option<Interrupted> {
    let is = |errno: Errno| rax == errno.to_result();
    if is(Errno::Erestart) {
        Some(Interrupted::IfAsked)
    } else if is(Errno::Erestartnointr) {
        Some(Interrupted::Always)
    } else if is(Errno::Erestartnohand) {
        Some(Interrupted::WithoutHandler)
    } else if is(Errno::Erestartblock) {
        Some(Interrupted::ByRest)
    } else {
        None
    }
}

/// Whether nobody outside a process's group could let it go on.
fn is_orphaned(pid: u32) -> bool {
    let tree = TREE.lock();
    tree.group(pid).is_some_and(|group| tree.is_orphaned(group))
}

/// All threads stop, and the parent is told; unless somebody has sent SIGCONT since the signal was taken.
fn stop(task: &Task, signal: Signal) {
    {
        let mut group = task.process.group();
        if group.end.is_some() || group.stopped.is_some() || !mem::take(&mut group.is_to_stop) {
            return;
        }
        group.stopped = Some(signal.number());
        for one in group.iter() {
            one.alert(WORK_STOP);
        }
    }
    end::tell_of_stop(&task.process, Some(signal.number()));
    wait_for_continuation(task);
}

fn wait_for_continuation(task: &Task) {
    let goes_on = || {
        let group = task.process.group();
        let goes_on = task.work() & WORK_END != 0 || group.stopped.is_none();
        if goes_on {
            task.done(WORK_STOP);
        }
        goes_on
    };
    task.process.continued.wait_until(goes_on);
    // What was sent meanwhile was told to nobody.
    task.look_again();
}

/// This machine's floating-point state, as frames have it.
pub fn machine() -> &'static Fpu {
    static MACHINE: Once<Fpu> = Once::new();
    MACHINE.call_once(|| {
        let mut legacy = [0; LEGACY_BYTES];
        fpu::legacy(&mut legacy);
        Fpu::new(fpu::size(), crate::arch::x86_64::cr::xcr0().unwrap_or(0), &legacy)
    })
}

/// `rt_sigreturn`: everything as the frame on the stack has it. EFAULT if there is none.
pub fn leave_handler(task: &Task, registers: &mut TrapFrame) -> Result<()> {
    let size = fpu::size();
    let mut floating = room::with_room(size).map_err(|_| Errno::Enomem)?;
    floating.resize(size, 0);
    let returned = frame::leave(registers, machine(), &mut floating, &Mine)?;
    // IRETQ to an address that is not canonical faults in ring 0, with ring 3's GS.
    if returned.registers.rip >= USER_END {
        return Err(Errno::Efault);
    }
    // SAFETY: `leave` has made it such that loading it cannot fault.
    unsafe { fpu::load(&floating) };
    *registers = returned.registers;
    // It is in no call any more.
    registers.vector = 0;
    {
        let mut mine = task.signals.lock();
        mine.mask.set(returned.mask);
        let _ = mine.stack.set(&returned.stack, registers.rsp, 0);
    }
    send::look_again(task);
    Ok(())
}

/// Writes a handler's frame and has the program go on there.
fn call_handler(task: &Task, registers: &mut TrapFrame, info: &Info, action: &Action) -> Result<()> {
    // As in `leave_handler`.
    if action.handler >= USER_END {
        return Err(Errno::Efault);
    }
    let size = fpu::size();
    let mut floating = room::with_room(size).map_err(|_| Errno::Enomem)?;
    // There is room: nothing is allocated with interrupts off.
    fpu::save(|state| floating.extend_from_slice(state));
    let (mask, stack) = {
        let mine = task.signals.lock();
        (mine.mask.to_save(), mine.stack)
    };
    let (error, vector, cr2) = *task.last_fault.lock();
    let fault = LastFault { error, vector, cr2 };
    let call = Call { info, action, mask, stack: &stack, fault };
    frame::enter(registers, &call, machine(), &mut floating, &mut Mine)?;
    {
        let mut mine = task.signals.lock();
        let own =
            if action.flags.contains(Flags::NODEFER) { SigSet::EMPTY } else { SigSet::of(&[info.signal()]) };
        mine.mask.enter_handler(action.mask.with(own));
        mine.stack.enter_handler();
    }
    task.done(WORK_MASK);
    fpu::clear();
    send::look_again(task);
    Ok(())
}
