//! `alarm` and the real-time interval timer: one for a process, which sends SIGALRM.

use super::process::{Process, TREE};
use super::send;
use super::signal::{Info, Signal};
use crate::errno::Errno;
use crate::fs::Result;
use crate::platform::timers::{self, Timer};
use crate::platform::{Machine, Platform};

/// It rings no more often than this, whatever was asked for: nobody may keep a CPU busy with it.
const LEAST_PERIOD_NS: u64 = 100_000;

/// When it rings, and how often again; nanoseconds, 0 for not at all.
pub struct Alarm {
    deadline_ns: u64,
    period_ns: u64,
    timer: Option<Timer>,
}

impl Alarm {
    pub const NONE: Self = Self { deadline_ns: 0, period_ns: 0, timer: None };
}

/// What is left until it rings, and how often it rings again; nanoseconds.
pub fn left(process: &Process) -> (u64, u64) {
    let alarm = process.timer.lock();
    left_of(&alarm)
}

fn left_of(alarm: &Alarm) -> (u64, u64) {
    match alarm.deadline_ns {
        0 => (0, 0),
        at => (at.saturating_sub(Machine::now_ns()).max(1), alarm.period_ns),
    }
}

/// Sets it: in `value_ns`, and every `period_ns` then. Returns what was left.
pub fn set(process: &Process, value_ns: u64, period_ns: u64) -> Result<(u64, u64)> {
    let mut alarm = process.timer.lock();
    let old = left_of(&alarm);
    if let Some(timer) = alarm.timer.take() {
        timers::cancel(timer);
    }
    (alarm.deadline_ns, alarm.period_ns) = (0, 0);
    if value_ns != 0 {
        arm(&mut alarm, process.pid, Machine::now_ns().saturating_add(value_ns), period_ns)?;
    }
    Ok(old)
}

fn arm(alarm: &mut Alarm, pid: u32, deadline_ns: u64, period_ns: u64) -> Result<()> {
    let timer = timers::at_leaving_some(deadline_ns, rings, pid as usize).map_err(|_| Errno::Eagain)?;
    *alarm = Alarm { deadline_ns, period_ns, timer: Some(timer) };
    Ok(())
}

/// In an interrupt handler: the tree is not to be looked at here.
fn rings(pid: usize) {
    fn ring(pid: usize) {
        let found = TREE.lock().get(pid as u32).cloned();
        let Some(process) = found else { return };
        {
            let mut alarm = process.timer.lock();
            if alarm.deadline_ns == 0 || alarm.deadline_ns > Machine::now_ns() {
                return;
            }
            alarm.timer = None;
            let (at, period) = (alarm.deadline_ns, alarm.period_ns);
            alarm.deadline_ns = 0;
            // Before anybody hears of it: who sets it anew in the handler has the last word.
            if period != 0 {
                let next = at.saturating_add(period).max(Machine::now_ns() + LEAST_PERIOD_NS);
                let _ = arm(&mut alarm, process.pid, next, period);
            }
        }
        send::to_process(&process, Info::kernel(Signal::ALRM));
    }
    if !Machine::defer(ring, pid) {
        let _ = timers::at(Machine::now_ns() + 1_000_000, rings, pid);
    }
}
