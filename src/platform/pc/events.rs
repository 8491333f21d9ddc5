//! ACPI's fixed events: the system control interrupt (SCI), and the power button, the one event that is served.
//!
//! ```text
//! button ─► PM1 status, PWRBTN_STS ─► SCI, level-triggered ─► sci: the bit is cleared, nothing more
//!                                                               └─► pressed, deferred ─► the hook of above
//! ```
//!
//! Of all that could raise the SCI only the button is enabled: no timer overflow, no general-purpose event. So an idle
//! machine is not woken by it. A status bit that stands all the same is cleared, since a level-triggered line that
//! nobody quietens would interrupt for ever.
//!
//! What an orderly end is, the layers above know: [`on_button`] takes a function from them.
//!
//! Source: ACPI 6.5 §4.8.2.2.1.1 (fixed power button), §4.8.3.1 (PM1 event registers), §4.8.4.1 (general-purpose
//! events), §16.3.1 (what an operating system clears when it takes over).

use super::registers::{self, Reached};
use super::{acpi, vectors};
use crate::acpi::Fadt;
use crate::acpi::fadt::Block;
use crate::acpi::gas::Gas;
use crate::platform::{Line, Machine, Platform, timers};
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use log::{info, warn};
use spin::Once;

/// The button, in PM1 status and PM1 enable.
const PWRBTN: u16 = 1 << 8;
/// How long until it is tried again to leave the hook for later.
const RETRY_NS: u64 = 10_000_000;

/// The registers of a PM1 event block.
#[derive(Clone, Copy)]
struct Pm1 {
    /// What has happened; a one that is written clears it.
    status: Reached,
    /// What raises the SCI.
    enable: Reached,
}

/// Blocks a and b; written once, before the line opens.
static PM1: Once<[Option<Pm1>; 2]> = Once::new();

/// What is to be done about the button.
pub type Hook = fn();

/// The registered [`Hook`], as an address; null for none.
static HOOK: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());
/// The button was pressed, and what follows from it has not ended: more presses mean nothing new.
static PENDING: AtomicBool = AtomicBool::new(false);

impl Pm1 {
    fn of(block: Option<Block>) -> Option<Self> {
        let block = block?;
        let half = Gas { address: block.second_half(), ..block.register };
        Some(Self { status: registers::reach(&block.register, 2)?, enable: registers::reach(&half, 2)? })
    }

    fn clear(&self) -> u16 {
        let status = self.status.read16();
        if status != 0 {
            self.status.write16(status);
        }
        status
    }
}

/// Takes the events over from the firmware, and says what became of it. Once, with interrupts off.
pub fn init() {
    let Some(fadt) = acpi::fadt() else { return };
    match take_over(&fadt) {
        Ok(()) => info!(target: "power", "power button by the SCI, interrupt {}", fadt.sci_int),
        Err(why) => info!(target: "power", "no power button: {why}"),
    }
}

fn take_over(fadt: &Fadt) -> Result<(), &'static str> {
    if fadt.is_hw_reduced() {
        return Err("a hardware-reduced machine has no SCI");
    }
    let blocks = [Pm1::of(fadt.pm1a_event), Pm1::of(fadt.pm1b_event)];
    let present = || blocks.iter().flatten();
    if present().next().is_none() {
        return Err("there are no PM1 event registers");
    }
    // Before the mode changes: what was the firmware's is not to interrupt us.
    present().for_each(|pm1| pm1.enable.write16(0));
    [fadt.gpe0, fadt.gpe1].iter().flatten().for_each(silence);
    present().for_each(|pm1| _ = pm1.clear());
    if !acpi::enable() {
        return Err("the firmware does not go to ACPI mode");
    }
    // The firmware may have turned something on for its own use on the way.
    [fadt.gpe0, fadt.gpe1].iter().flatten().for_each(silence);
    if !fadt.has_power_button() {
        return Err("it is no fixed one, and there is no interpreter for its method");
    }
    PM1.call_once(|| blocks);
    let line = Line::Global(fadt.sci_int.into());
    Machine::request_line(line, "ACPI", sci, 0).map_err(|_| "there is no line for the SCI")?;
    present().for_each(|pm1| pm1.enable.write16(PWRBTN));
    Ok(())
}

/// Turns all events of a general-purpose block off: the enable registers are its second half, of bytes.
fn silence(block: &Block) {
    let half = block.len / 2;
    for offset in 0..half {
        let at = |base: u64| Gas { address: base + u64::from(offset), ..block.register };
        registers::write8(&at(block.second_half()), 0);
        registers::write8(&at(block.register.address), 0xFF);
    }
}

/// The SCI's handler.
fn sci(_: usize) {
    let blocks = PM1.get().into_iter().flatten().flatten();
    let status = blocks.fold(0, |status, pm1| status | pm1.clear());
    if status & PWRBTN != 0 && !PENDING.swap(true, Ordering::Relaxed) {
        ask(0);
    }
}

/// Leaves it for after the handler. Also the callback of a timer: if too much waits already, that tries again.
fn ask(_: usize) {
    if !vectors::defer(pressed, 0) {
        ask_later();
    }
}

fn ask_later() {
    if timers::at(Machine::now_ns().saturating_add(RETRY_NS), ask, 0).is_err() {
        // Whoever wants it off presses again.
        PENDING.store(false, Ordering::Relaxed);
    }
}

/// Deferred.
fn pressed(_: usize) {
    let hook = HOOK.load(Ordering::Acquire);
    if hook.is_null() {
        warn!(target: "power", "the power button was pressed too early");
    } else {
        // SAFETY: `on_button` alone stores there, and what it stores is a Hook.
        let hook = unsafe { core::mem::transmute::<*mut (), Hook>(hook) };
        hook();
    }
    PENDING.store(false, Ordering::Relaxed);
}

/// From here on the button calls `hook`, in deferred work.
pub fn on_button(hook: Hook) {
    HOOK.store(hook as *mut (), Ordering::Release);
}
