//! The watchdog at work: a CPU that is stuck for 10 s is named by another one, with its backtrace, in every build.
//!
//! ```text
//! watcher   every second: nudges each CPU that is not at rest, and the deputy
//! others    nudged: able to switch since the last time? a sign of life. Switch once more
//! deputy    nudged: notes it. A timer 11 s later finds the note old: the watcher itself is stuck
//! ```
//!
//! The watcher is whoever became busy first; it watches until all CPUs are at rest, and then nobody does: an idle machine
//! takes no interrupt for this. Its deputy is the next CPU, at rest or not. So in a second one CPU has a timer interrupt,
//! and each busy one, and the deputy, one nudge, whatever the number of CPUs. With one CPU there is nobody to watch.
//!
//! All is told from within the interrupt: what else might be stuck is not known. In a debug build the line names the
//! place where interrupts were turned off, or the last lock that was taken.

use super::others;
use crate::arch::x86_64::backtrace::frame_pointer;
use crate::arch::x86_64::percpu::{self, copies, per_cpu};
use crate::arch::x86_64::preempt;
use crate::kernel::backtrace;
use crate::kernel::procfs::load;
use crate::platform::pc::ipi;
use crate::platform::{Machine, Platform, timers};
use crate::sync::checks;
use crate::sync::grace::{self, is_at_rest};
use crate::sync::watchdog::{LIMIT_NS, PERIOD_NS, Signs, Stopped};
use crate::task::{Policy, schedule, thread};
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU32, Ordering, fence};
use log::error;

static SIGNS: Signs<{ percpu::MAX_CPUS }> = Signs::new();

/// The watcher, and its deputy; [`NOBODY`] while all are at rest.
static WATCHER: AtomicU32 = AtomicU32::new(NOBODY);
static DEPUTY: AtomicU32 = AtomicU32::new(NOBODY);
const NOBODY: u32 = u32::MAX;

per_cpu! {
    /// When this CPU was nudged last as a deputy, in nanoseconds of the clock.
    static NUDGED_NS: u64 = 0;
    /// 1 while its timer for that is set.
    static TIMER: u8 = 0;
    /// Its switches to other threads, when it was asked for the last time.
    static SWITCHES: u64 = 0;
}

/// Begins, as the boot CPU is busy. Once, when all CPUs run.
pub fn init() {
    grace::on_busy(begin);
    begin();
}

fn own() -> u32 {
    percpu::number() as u32
}

/// This CPU has become busy.
fn begin() {
    load::begin();
    if WATCHER.load(Ordering::Relaxed) == NOBODY && copies::online_count() > 1 {
        watch();
    }
}

/// This CPU watches from now on, if nobody does.
fn watch() {
    if WATCHER.compare_exchange(NOBODY, own(), Ordering::SeqCst, Ordering::Relaxed).is_err() {
        return;
    }
    if timers::at(Machine::now_ns() + PERIOD_NS, look, own() as usize).is_err() {
        // No timer is free; whoever becomes busy next tries again.
        WATCHER.store(NOBODY, Ordering::SeqCst);
        return;
    }
    // At once: this CPU may be stuck before its timer comes.
    if let Some(deputy) = appoint() {
        ipi::nudge(deputy);
    }
}

/// Makes the CPU behind this one its deputy.
fn appoint() -> Option<usize> {
    let (me, online) = (percpu::number(), copies::online());
    let deputy = online.iter().find(|&cpu| cpu > me).or_else(|| online.iter().find(|&cpu| cpu != me));
    DEPUTY.store(deputy.map_or(NOBODY, |cpu| cpu as u32), Ordering::SeqCst);
    deputy
}

/// Whether this CPU has nothing to do but what this interrupt is about.
fn is_idle_here() -> bool {
    thread::try_current().is_some_and(|thread| thread.policy() == Policy::Idle)
}

/// A second has passed, since CPU `watcher` set the timer for this. In an interrupt, with interrupts off.
fn look(watcher: usize) {
    let (me, now_ns) = (own(), Machine::now_ns());
    if WATCHER.compare_exchange(watcher as u32, me, Ordering::SeqCst, Ordering::Relaxed).is_err() {
        // It was stuck itself, and its deputy has taken over.
        return;
    }
    let online = copies::online();
    let others = || online.iter().filter(|&cpu| cpu != me as usize);
    let deputy = appoint();
    let mut is_anybody_busy = !is_idle_here();
    if is_anybody_busy {
        show_life(me as usize, now_ns);
    }
    for cpu in others() {
        if is_at_rest(cpu) {
            SIGNS.rests(cpu);
            continue;
        }
        is_anybody_busy = true;
        if let Some(stopped) = SIGNS.ask(cpu, now_ns) {
            tell(stopped);
        }
        ipi::nudge(cpu);
    }
    if !is_anybody_busy {
        WATCHER.store(NOBODY, Ordering::SeqCst);
        // Against a CPU that became busy meanwhile, and found a watcher.
        fence(Ordering::SeqCst);
        if others().all(is_at_rest) {
            return;
        }
        watch();
        return;
    }
    if let Some(deputy) = deputy.filter(|&cpu| is_at_rest(cpu)) {
        ipi::nudge(deputy);
    }
    if timers::at(now_ns + PERIOD_NS, look, me as usize).is_err() {
        WATCHER.store(NOBODY, Ordering::SeqCst);
    }
}

/// Whether this CPU has been through its scheduler since it was asked to. If a switch is wanted, that may be since this very
/// interrupt, in which a slice has ended as well: then it is known by the switches that there have been.
fn has_switched() -> bool {
    let (before, now) = (SWITCHES.get(), schedule::switches_here());
    SWITCHES.set(now);
    !preempt::is_wanted() || now != before
}

/// What this CPU was asked for the last time, a switch, has it had it? Then it lives. And it is asked again.
fn show_life(me: usize, now_ns: u64) {
    if has_switched() {
        SIGNS.beat(me, now_ns);
    } else if let Some(stopped) = SIGNS.ask(me, now_ns) {
        tell(stopped);
    }
    preempt::want();
}

/// What a nudge calls: in an interrupt, with interrupts off.
pub fn nudged(_: usize) {
    let (me, now_ns) = (percpu::number(), Machine::now_ns());
    if has_switched() {
        SIGNS.beat(me, now_ns);
    }
    preempt::want();
    if DEPUTY.load(Ordering::Relaxed) == own() {
        NUDGED_NS.set(now_ns);
        if TIMER.get() == 0 {
            set_deputys_timer(now_ns);
        }
    }
}

fn set_deputys_timer(from_ns: u64) {
    let is_set = timers::at(from_ns + LIMIT_NS + PERIOD_NS, look_at_watcher, 0).is_ok();
    TIMER.set(u8::from(is_set));
}

/// The deputy's timer.
fn look_at_watcher(_: usize) {
    TIMER.set(0);
    let (now_ns, nudged_ns) = (Machine::now_ns(), NUDGED_NS.get());
    let watcher = WATCHER.load(Ordering::SeqCst);
    if watcher == NOBODY || watcher == own() || DEPUTY.load(Ordering::SeqCst) != own() {
        return;
    }
    if now_ns.saturating_sub(nudged_ns) < LIMIT_NS {
        set_deputys_timer(nudged_ns);
        return;
    }
    tell(Stopped { cpu: watcher as usize, for_ns: now_ns - nudged_ns });
    look(watcher as usize);
}

/// Names a CPU that has stopped, and where it is.
#[cold]
fn tell(stopped: Stopped) {
    let Stopped { cpu, for_ns } = stopped;
    let seconds = for_ns / 1_000_000_000;
    error!(target: "watchdog", "cpu {cpu} is stuck for {seconds} s, seen by cpu {}{}", own(), checks::seen_on(cpu));
    let mut lines = Lines { text: [0; 160], len: 0 };
    let _ = if cpu == percpu::number() {
        backtrace::print(&mut lines, frame_pointer())
    } else {
        others::print_backtrace(cpu, &mut lines)
    };
}

/// Text that becomes lines of the log.
struct Lines {
    text: [u8; 160],
    len: usize,
}

impl Write for Lines {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                let line = core::str::from_utf8(&self.text[..self.len]).unwrap_or("?");
                error!(target: "watchdog", "{line}");
                self.len = 0;
            } else if let Some(place) = self.text.get_mut(self.len) {
                *place = byte;
                self.len += 1;
            }
        }
        Ok(())
    }
}
