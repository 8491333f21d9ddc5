//! The machine's serial ports: a lock each, an interrupt line or a timer, and polled output for who cannot wait for either.
//!
//! ```text
//! line ─► interrupt ─┐
//!                    ├─► lock ─► Port::service, Port::poll ─► Upper::received, Upper::fill ─► unlock ─► Upper::notify
//! timer ─► tick ─────┘
//! ```
//!
//! The lock is held with interrupts off, and only ever for as many bytes as a FIFO has room for: whoever waits for the
//! transmitter lets go of it between two looks.

use super::port::{Counts, Events, Port, Room, Upper};
use super::settings::{BadSettings, Character, Lines, Settings};
use super::uart16550::{Counters, Model};
use crate::platform::{Machine, Platform, timers};
use crate::sync::{IrqLock, Rank};
use core::num::NonZeroU64;

/// ttyS0 and ttyS1.
pub const PORTS: usize = 2;
/// A port is polled at least and at most so often.
const PERIOD_NS: core::ops::RangeInclusive<u64> = 250_000..=10_000_000;

type Registers = <Machine as Platform>::Serial;

struct Slot {
    port: Option<Port<Registers>>,
    upper: &'static dyn Upper,
    driven: Option<Driven>,
    timer: Option<timers::Timer>,
}

/// How a port is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driven {
    ByInterrupt,
    /// There is no interrupt line for it.
    ByTimer,
}

/// Whoever has no terminal hears nothing and says nothing.
struct Nobody;

impl Upper for Nobody {
    fn received(&self, _: &[Character]) -> Room {
        Room::Enough
    }

    fn fill(&self, _: &mut [u8]) -> usize {
        0
    }

    fn notify(&self, _: Events) {}
}

static SLOTS: [IrqLock<Slot>; PORTS] =
    [const { IrqLock::new(Rank::Serial, Slot { port: None, upper: &Nobody, driven: None, timer: None }) };
        PORTS];

/// Calls `act` with the port and what stands above it, if there is such a port, and tells the latter afterwards what has
/// happened.
fn with<R>(number: usize, act: impl FnOnce(&mut Port<Registers>, &dyn Upper, &mut Events) -> R) -> Option<R> {
    let mut events = Events::empty();
    let mut slot = SLOTS.get(number)?.lock();
    let upper = slot.upper;
    let result = act(slot.port.as_mut()?, upper, &mut events);
    drop(slot);
    if !events.is_empty() {
        upper.notify(events);
    }
    Some(result)
}

/// What a port is.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    pub model: Model,
    pub depth: u8,
}

/// Looks for the port anew and sets it to `baud`. What was written before goes out first.
pub fn open(number: usize, baud: u32) -> Option<Found> {
    let slot = SLOTS.get(number)?;
    close(number);
    let port = Port::open(Machine::serial(number)?, baud).ok()?;
    let found = Found { model: port.model(), depth: port.depth() };
    slot.lock().port = Some(port);
    Some(found)
}

/// Lets go of the port, which says nothing from then on.
pub fn close(number: usize) {
    drain(number);
    if let Some(slot) = SLOTS.get(number) {
        slot.lock().port = None;
    }
}

/// What is there, if it is open.
pub fn found(number: usize) -> Option<Found> {
    with(number, |port, _, _| Found { model: port.model(), depth: port.depth() })
}

/// `upper` is the port's terminal from now on.
pub fn attach(number: usize, upper: &'static dyn Upper) {
    if let Some(slot) = SLOTS.get(number) {
        slot.lock().upper = upper;
    }
}

/// Has the port interrupt when there is something to do, or, where there is no line for it or none is wanted, looks after
/// it by a timer. Once interrupts and timers are there. `None`: there is no such port, or neither can be had.
pub fn drive(number: usize, by_interrupt: bool) -> Option<Driven> {
    let settings = settings(number)?;
    let already = SLOTS[number].lock().driven;
    let driven = match already {
        // It was open before, and has its line or timer still.
        Some(driven) => driven,
        None => connect(number, by_interrupt, settings)?,
    };
    SLOTS[number].lock().driven = Some(driven);
    let has_line = driven == Driven::ByInterrupt;
    with(number, |port, upper, events| *events |= port.set_by_interrupt(has_line, upper));
    Some(driven)
}

/// Asks for the port's line, or for a timer.
fn connect(number: usize, by_interrupt: bool, settings: Settings) -> Option<Driven> {
    let line = Machine::serial_line(number).filter(|_| by_interrupt);
    if line.is_some_and(|line| Machine::request_line(line, "ttyS", interrupt, number).is_ok()) {
        return Some(Driven::ByInterrupt);
    }
    let timer = timers::every(period_ns(number, settings), tick, number).ok()?;
    SLOTS[number].lock().timer = Some(timer);
    Some(Driven::ByTimer)
}

/// Half the time that it takes to fill the FIFO: what comes between two looks fits, even if one is late.
fn period_ns(number: usize, settings: Settings) -> NonZeroU64 {
    let depth = found(number).map_or(1, |found| u64::from(found.depth));
    let bits = depth * u64::from(settings.bits()) * 1_000_000_000;
    let ns = bits / (2 * u64::from(settings.baud.max(1)));
    NonZeroU64::new(ns.clamp(*PERIOD_NS.start(), *PERIOD_NS.end())).unwrap_or(NonZeroU64::MIN)
}

/// How the port is served, if it is.
pub fn driven(number: usize) -> Option<Driven> {
    let slot = SLOTS.get(number)?.lock();
    slot.driven.filter(|_| slot.port.is_some())
}

/// The interrupt handler.
fn interrupt(number: usize) {
    with(number, |port, upper, events| *events |= port.service(upper));
}

/// The timer's.
fn tick(number: usize) {
    poll(number);
}

/// Looks whether there is something to do.
pub fn poll(number: usize) {
    with(number, |port, upper, events| *events |= port.poll(upper));
}

// ---- what a terminal asks for ----

/// There is something to send: [`Upper::fill`] gives it.
pub fn start_tx(number: usize) {
    with(number, |port, upper, events| *events |= port.start_tx(upper));
}

/// Stops sending, or goes on.
pub fn set_stopped(number: usize, stopped: bool) {
    with(number, |port, upper, events| *events |= port.set_stopped(stopped, upper));
}

/// Sends a byte before all others, even while stopped.
pub fn send_now(number: usize, byte: u8) {
    with(number, |port, upper, events| *events |= port.send_now(byte, upper));
}

/// Turns the chip's FIFO off or on; for tests, and for chips whose FIFO is broken.
pub fn use_fifo(number: usize, on: bool) {
    with(number, |port, _, _| port.use_fifo(on));
}

/// The other side is to stop sending.
pub fn throttle(number: usize) {
    with(number, |port, upper, events| *events |= port.throttle(upper));
}

/// It may go on.
pub fn unthrottle(number: usize) {
    with(number, |port, upper, events| *events |= port.unthrottle(upper));
}

pub fn settings(number: usize) -> Option<Settings> {
    with(number, |port, _, _| port.settings())
}

/// Sets the line anew. Who wants what was written to go out at the old speed waits for [`is_idle`] first; what the FIFO
/// holds does so in any case.
pub fn set_settings(number: usize, settings: Settings) -> Result<(), BadSettings> {
    let set =
        with(number, |port, upper, events| port.set_settings(settings, upper).map(|found| *events |= found));
    set.unwrap_or(Err(BadSettings))?;
    // A timer goes with the speed. Without another one it stays the old one: slower or faster, but the port is served.
    if SLOTS[number].lock().timer.is_some()
        && let Ok(new) = timers::every(period_ns(number, settings), tick, number)
        && let Some(old) = SLOTS[number].lock().timer.replace(new)
    {
        timers::cancel(old);
    }
    Ok(())
}

/// The modem's lines.
pub fn lines(number: usize) -> Option<Lines> {
    with(number, |port, _, events| {
        let (lines, found) = port.lines();
        *events |= found;
        lines
    })
}

/// Sets those of `which`, outputs only.
pub fn set_lines(number: usize, which: Lines, to: Lines) {
    with(number, |port, _, _| port.set_lines(which, to));
}

/// Holds the line at 0, or lets go of it.
pub fn set_break(number: usize, on: bool) {
    with(number, |port, _, _| port.set_break(on));
}

/// Whether the other side has been told to stop, and not to go on since.
pub fn has_stopped_sender(number: usize) -> bool {
    with(number, |port, _, _| port.has_stopped_sender()).unwrap_or(false)
}

/// Whether everything has left.
pub fn is_idle(number: usize) -> bool {
    with(number, |port, _, _| port.is_idle()).unwrap_or(true)
}

/// What has happened, and gone wrong, since it was opened.
pub fn counts(number: usize) -> Option<(Counts, Counters)> {
    with(number, |port, _, _| (port.counts(), port.errors()))
}

// ---- polled output ----

/// Waits until the transmitter has room, with the lock free in between; in vain if it is stuck.
fn wait_for_room(number: usize) {
    let patience = with(number, |port, _, _| port.patience()).unwrap_or(0);
    for _ in 0..patience {
        if with(number, |port, upper, events| port.look(upper, events)).unwrap_or(true) {
            return;
        }
        core::hint::spin_loop();
    }
}

/// Sends some of what the terminal has queued, without an interrupt; false if nothing of it may go out now.
pub fn push(number: usize) -> bool {
    push_as(number, false)
}

fn push_as(number: usize, is_holder: bool) -> bool {
    if !with(number, |port, _, _| port.can_push(is_holder)).unwrap_or(false) {
        return false;
    }
    wait_for_room(number);
    with(number, |port, upper, events| port.push(is_holder, upper, events)).unwrap_or(false)
}

/// Sends all that the terminal has queued and waits until the last bit has left, as before a reset.
pub fn drain(number: usize) {
    while push_as(number, true) {}
    with(number, |port, _, _| port.flush());
}

/// A line that is sent polled: what the terminal had queued goes out before it, and nothing of the terminal's until it is
/// dropped.
pub struct Held(usize);

impl Held {
    pub fn new(number: usize) -> Self {
        with(number, |port, _, _| port.hold());
        while push_as(number, true) {}
        Self(number)
    }

    /// Sends bytes. When this returns, the chip has them.
    pub fn write(&self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            wait_for_room(self.0);
            let sent = with(self.0, |port, upper, events| port.write_some(bytes, upper, events));
            let Some(sent) = sent else { return };
            bytes = &bytes[sent..];
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        with(self.0, |port, upper, events| *events |= port.release(upper));
    }
}

/// Takes the port's lock away from whoever has it.
///
/// # Safety
/// As for [`IrqLock::force_unlock`].
pub unsafe fn break_in(number: usize) {
    if let Some(slot) = SLOTS.get(number) {
        // SAFETY: the caller's promise.
        unsafe { slot.force_unlock() };
    }
}
