//! Panics: the last thing the kernel says.
//!
//! What is printed goes past the locks of log and console, for their holder may be what panicked, and is
//! printed piece by piece, so that a second fault in between costs only the rest. A panic inside a panic
//! says so with as little machinery as possible, and stops. Then `panic=` decides: `halt` (default),
//! `reboot`, or `exit`, which ends QEMU with status 35.

use super::backtrace;
use super::image::Named;
use super::others;
use super::traps::Report;
use crate::arch::x86_64::backtrace::frame_pointer;
use crate::arch::x86_64::{cr, interrupts, percpu, probe, recover, reset};
use crate::log;
use crate::platform::{Machine, Platform};
use crate::task::thread as task;
use crate::tty::console::{self, Emergency};
use core::fmt::Write;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// What to do after a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Action {
    Halt = 0,
    Reboot = 1,
    Exit = 2,
}

impl Action {
    /// The value of `panic=`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "halt" => Some(Self::Halt),
            "reboot" => Some(Self::Reboot),
            "exit" => Some(Self::Exit),
            _ => None,
        }
    }
}

static ACTION: AtomicU8 = AtomicU8::new(Action::Halt as u8);

/// Sets what happens after a panic.
pub fn set_action(action: Action) {
    ACTION.store(action as u8, Ordering::Relaxed);
}

/// Whose panic it is: the number of its CPU; `u32::MAX` before there is one.
static OWNER: AtomicU32 = AtomicU32::new(u32::MAX);

/// How many panics have begun.
static DEPTH: AtomicU32 = AtomicU32::new(0);

/// Log lines that a panic repeats.
const LOG_LINES: usize = 20;
/// Code bytes shown before and from RIP on.
const CODE_BEFORE: u64 = 16;
const CODE_AFTER: u64 = 24;

/// A Rust panic: a failed assertion, an index out of bounds, `panic!` itself.
pub fn from_rust(info: &PanicInfo<'_>) -> ! {
    let frame = recover::registers();
    let mut out = begin(format_args!("{}", info.message()));
    if let Some(at) = info.location() {
        let _ = writeln!(out, "  at {at}");
    }
    let _ = Report { frame: &frame, cr2: cr::cr2() }.registers(&mut out);
    print_code(&mut out, frame.rip);
    end(&mut out, frame_pointer())
}

/// An exception that nobody foresaw.
pub fn from_trap(report: &Report<'_>) -> ! {
    let mut out = begin(format_args!("{report}"));
    let _ = report.print(&mut out);
    print_code(&mut out, report.frame.rip);
    end(&mut out, core::ptr::from_ref(report.frame) as u64 | 1)
}

/// The head line; and the way out if this is not the first.
fn begin(message: core::fmt::Arguments<'_>) -> Emergency {
    // A handler that ran now would find the locks taken from their holders.
    interrupts::disable();
    recover::finish();
    // Of two CPUs that panic, the first speaks; one that panics in its own panic goes on below.
    if !others::stop() && OWNER.load(Ordering::Acquire) != percpu::number() as u32 {
        cr::wait_forever();
    }
    OWNER.store(percpu::number() as u32, Ordering::Release);
    let depth = DEPTH.fetch_add(1, Ordering::Relaxed);
    let mut out = Emergency::new();
    match depth {
        0 => {
            let _ = writeln!(out, "\npanic: {message}");
            let _ = writeln!(
                out,
                "  cpu {}, task {}, {} s after the kernel's entry",
                percpu::number(),
                task::current_name(),
                log::Elapsed::now()
            );
        }
        1 => {
            let _ = writeln!(out, "\npanic inside a panic: {message}");
            stop();
        }
        // Even that line panicked.
        _ => stop(),
    }
    out
}

/// The parts that both kinds share.
fn end(out: &mut Emergency, rbp: u64) -> ! {
    let _ = writeln!(out, "backtrace:");
    let _ = backtrace::print(out, rbp);
    let _ = others::print_stopped(out);
    let _ = writeln!(out, "last log lines:");
    log::last_unlocked(LOG_LINES, &mut |line| {
        let _ = writeln!(out, "  {line}");
    });
    stop()
}

/// Bytes of code around RIP, that at RIP in angle brackets; unreadable ones as `??`.
fn print_code(out: &mut Emergency, rip: u64) {
    let _ = write!(out, "  code");
    for address in rip.saturating_sub(CODE_BEFORE)..rip.saturating_add(CODE_AFTER) {
        let _ = match (probe::read_u8(address), address == rip) {
            (Some(byte), true) => write!(out, " <{byte:02x}>"),
            (Some(byte), false) => write!(out, " {byte:02x}"),
            (None, _) => write!(out, " ??"),
        };
    }
    let _ = writeln!(out, "\n  at {}", Named(rip));
}

/// Does what `panic=` says.
fn stop() -> ! {
    let action = ACTION.load(Ordering::Relaxed);
    console::drain();
    if action == Action::Exit as u8 {
        reset::debug_exit(false);
    } else if action == Action::Reboot as u8 {
        Machine::restart();
    }
    cr::wait_forever()
}
