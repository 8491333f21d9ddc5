//! A thread of a process, while it runs: from its first instruction to its last, and each time that it comes into the kernel.
//!
//! ```text
//! begin ─► main: memory, registers ─► ring 3 ──SYSCALL──► system_call ──► the table (a layer above)
//!                                       ▲  └──exception─► exception: noted as a signal
//!                                       └──────────────── look: signals, stops, the end
//! ```

use super::end;
use super::process::{Memory, Task, WORK_END, WORK_MASK, WORK_SIGNAL, WORK_STOP};
use super::signal::fault::{self, Exception};
use super::signal::info::code;
use super::signal::{Info, Signal};
use super::{deliver, send};
use crate::arch::x86_64::frame::TrapFrame;
use crate::arch::x86_64::user::Start;
use crate::arch::x86_64::{debug, interrupts, usercopy};
use crate::errno::Errno;
use crate::fs::Result;
use crate::fs::refs::Ref;
use crate::sync::interrupt;
use crate::task::context::{self, Program};
use crate::task::fault::Answer;
use crate::task::thread::Thread;
use crate::task::{self, CpuSet, Policy, fpu, life};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicPtr, Ordering};

/// How a thread begins.
#[expect(clippy::large_enum_variant, reason = "all threads but one are copies")]
pub enum Begin {
    /// As a copy of its maker.
    Copy {
        memory: Ref<Memory>,
        registers: Start,
        floating: Vec<u8>,
        /// Where its number is written (`CLONE_CHILD_SETTID`); 0 for nowhere.
        set_tid: u64,
    },
    /// In the kernel, which finds a program for it; that of the first process.
    First(fn(&Task) -> Option<Start>),
}

/// Who serves system calls: a layer above. With interrupts on; returns what rax is to be.
static SERVE: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// What serves system calls.
pub type Serve = fn(&Task, &mut TrapFrame) -> u64;

/// Says who serves system calls. Once, before the first process.
pub fn on_system_call(serve: Serve) {
    SERVE.store(serve as *mut (), Ordering::Release);
    interrupt::register(Some(|| current().is_some_and(send::has_news)));
}

/// The thread of a process that runs this, if it is one.
#[inline]
pub fn current() -> Option<&'static Task> {
    context::program().and_then(Program::as_any).and_then(|any| any.downcast_ref::<Task>())
}

impl Task {
    /// Begins it: it is in the tree and in its process already. EAGAIN: there is no memory for a thread; it has not begun.
    pub fn begin(task: &Ref<Self>, begin: Begin, policy: Policy) -> Result<()> {
        // It may run where its maker may; the first one's maker is the kernel's first thread, which stays where it is.
        let allowed = match begin {
            Begin::First(_) => CpuSet::ALL,
            Begin::Copy { .. } => task::current().allowed(),
        };
        *task.start.lock() = Some(begin);
        let raw = task.clone().leak() as usize;
        let name = *task.name.lock();
        match life::spawn_within(&allowed, name.as_str(), policy, main, raw) {
            Ok(handle) => {
                // Whoever is told of the new thread may ask for it before it has run.
                task.thread.call_once(|| handle.thread().clone());
                Ok(())
            }
            Err(_) => {
                // SAFETY: left open just now, and nobody has begun.
                drop(unsafe { Ref::unleak(raw as *const Self) });
                let begin = task.start.lock().take();
                drop(begin);
                Err(Errno::Eagain)
            }
        }
    }
}

/// Whether a thread is a process's, at whatever point.
pub fn is_of_process(thread: &Thread) -> bool {
    thread.does(main)
}

fn main(raw: usize) -> usize {
    // SAFETY: `begin` has left it open for this thread.
    let task: Ref<Task> = unsafe { Ref::unleak(raw as *const Task) };
    task.thread.call_once(task::current);
    let begin = task.start.lock().take().expect("a thread begins once");
    context::on_behalf_of(&*task, || {
        match fpu::own().ok().and_then(|()| prepare(&task, begin)) {
            // SAFETY: the lower half is the process's memory; `activate` changes it together with what keeps it.
            Some(registers) => unsafe { context::enter(&registers) },
            None => end::begin(&task, end::killed(Signal::KILL)),
        }
        let status = task.status.load(Ordering::Relaxed);
        end::thread_ends(&task, status);
    });
    fpu::disown();
    drop(task);
    crate::fs::tidy();
    0
}

/// Gets a thread ready for ring 3.
fn prepare(task: &Task, begin: Begin) -> Option<Start> {
    match begin {
        Begin::First(begin) => begin(task),
        Begin::Copy { memory, registers, floating, set_tid } => {
            task.activate(Some(memory));
            // SAFETY: what its maker's `save` wrote.
            unsafe { fpu::load(&floating) };
            if set_tid != 0 {
                // Linux says nothing of a bad address here either.
                let _ = usercopy::write(set_tid, &task.tid());
            }
            Some(registers)
        }
    }
}

impl Program for Task {
    #[inline]
    fn system_call(&self, frame: &mut TrapFrame) {
        let serve = SERVE.load(Ordering::Relaxed);
        // SAFETY: `on_system_call` alone stores there, before the first process: such a function.
        let serve = unsafe { core::mem::transmute::<*mut (), Serve>(serve) };
        frame.rax = serve(self, frame);
        interrupts::disable();
        if self.work() != 0 {
            self.look(frame);
        }
    }

    fn exception(&self, frame: &TrapFrame, cr2: u64, answer: Answer) {
        let dr6 = if frame.vector == DEBUG { debug::take_status() } else { 0 };
        let info = match (frame.vector, answer) {
            (PAGE_FAULT, Answer::OutOfMemory) => Info::kernel(Signal::KILL),
            (PAGE_FAULT, Answer::Bus) => Info::fault(Signal::BUS, code::BUS_ADRERR, cr2),
            (PAGE_FAULT, Answer::Refused { mapped: true }) => {
                Info::fault(Signal::SEGV, code::SEGV_ACCERR, cr2)
            }
            (PAGE_FAULT, _) => Info::fault(Signal::SEGV, code::SEGV_MAPERR, cr2),
            (vector, _) => {
                let exception =
                    Exception { vector, rip: frame.rip, dr6, floating_flags: floating_flags(vector) };
                fault::signal_of(&exception).unwrap_or_else(|| Info::kernel(Signal::SEGV))
            }
        };
        *self.last_fault.lock() = (frame.error, frame.vector, cr2);
        send::force(self, info);
    }

    fn look(&self, frame: &mut TrapFrame) {
        loop {
            let work = self.work();
            if work & (WORK_END | WORK_SIGNAL | WORK_STOP | WORK_MASK) == 0 {
                return;
            }
            if work & WORK_END != 0 {
                // SAFETY: the thread is on its way to ring 3, and holds nothing.
                unsafe { context::leave() }
            }
            interrupts::enable();
            deliver::deliver(self, frame);
            interrupts::disable();
        }
    }

    fn as_any(&'static self) -> Option<&'static dyn core::any::Any> {
        Some(self)
    }
}

const DEBUG: u64 = 1;
const PAGE_FAULT: u64 = 14;
const X87: u64 = 16;
const SIMD: u64 = 19;

/// Which of the floating-point unit's exceptions are at work; for the two vectors that are about them.
fn floating_flags(vector: u64) -> u32 {
    if !matches!(vector, X87 | SIMD) {
        return 0;
    }
    let mut state = [0; 4096];
    let size = fpu::size();
    let Some(state) = state.get_mut(..size) else { return 0 };
    fpu::save(|saved| state.copy_from_slice(saved));
    let word = |at: usize| u16::from_le_bytes([state[at], state[at + 1]]);
    if vector == X87 {
        fault::x87_flags(word(2), word(0))
    } else {
        fault::sse_flags(u32::from(word(24)) | u32::from(word(26)) << 16)
    }
}
