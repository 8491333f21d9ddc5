//! A serial port at work: what its interrupt means, flow control, and who may send when.
//!
//! Above it is an [`Upper`], a terminal: it takes what is received and gives what is to be sent, each when the chip wants
//! it. Nothing is queued here; a byte is either the upper layer's, or the chip's.
//!
//! **The interrupt.** The chip has one line for all its reasons, and on a PC it is edge-triggered: the line rises when the
//! first reason comes and falls when the last is gone. A handler that leaves one reason standing gets no further edge: the
//! port is dead. So [`Port::service`] goes on until the identification register says that there is none. It may not go on
//! for ever either, with interrupts off, while a fast sender refills the receiver: after [`ROUNDS`] it takes the line
//! down by disabling all reasons for a moment, which makes a new edge of what is left.
//!
//! **The transmitter's interrupt** is a reason only once: it comes when the transmitter runs empty, or when it is enabled
//! while empty, and reading the identification register ends it. Who then sends nothing hears no more. Here this does not
//! matter, by an invariant: the interrupt is enabled exactly if bytes are in the chip *and* more are to come. Who has
//! more to send and finds the transmitter empty fills it at once ([`Port::start_tx`]), and does not wait for an interrupt
//! that some chips do not give.
//!
//! **Who sends.** The terminal's bytes go by interrupt, a FIFO at a time. Lines of the log, and those of a dying kernel, go
//! out polled, for they must be out when the call returns. Both stand under one rule, kept by [`hold`](Port::hold) and
//! [`release`](Port::release):
//!
//! 1. only who has the port's lock writes to the transmitter, and one counter of room is everybody's;
//! 2. what the terminal had queued when a line begins goes out before it (the caller drains it, polled), unless it is
//!    stopped: a line of the log does not wait for Control-Q;
//! 3. until the line has ended nothing of the terminal's goes out, so that no line is torn.
//!
//! So the order on the line is that in which things were written, and an echo never overtakes a message.
//!
//! Source: PC16550D data sheet, sections 8.4 to 8.9 and 8.11 "FIFO Interrupt Mode Operation".

use super::settings::{BadSettings, Character, Lines, Settings, StopStart};
use super::uart16550::registers::{LineControl, LineStatus, ModemControl, ModemStatus, iir, reg};
use super::uart16550::{Counters, InterruptEnable, Model, ProbeError, Uart};
use crate::platform::SerialRegisters;
use bitflags::bitflags;

/// Rounds that one service takes at the most.
const ROUNDS: usize = 16;
/// Characters passed up at once, and read in a round.
const BATCH: usize = 32;
/// The deepest FIFO that is filled at once.
const FILL: usize = 64;

/// Whether the terminal can take more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    Enough,
    /// The other side is to stop, as by [`Port::throttle`]; until [`Port::unthrottle`].
    Short,
}

/// What stands above a port. Called with the port's lock held and interrupts off: it takes and gives bytes, under no
/// lock but one that stands below the port's in rank, and does not call back.
pub trait Upper: Sync {
    /// Takes what has come, in order.
    fn received(&self, characters: &[Character]) -> Room;
    /// Whether a break is for somebody else than who has set the line, and so is passed on though nothing is to be received.
    fn wants_break(&self) -> bool {
        false
    }
    /// Gives bytes to send; 0 if there are none now, and then [`Port::start_tx`] is called when there are.
    fn fill(&self, to: &mut [u8]) -> usize;
    /// Something has happened that somebody may wait for. Called after the lock is free again.
    fn notify(&self, events: Events);
}

bitflags! {
    /// What a service has done.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Events: u8 {
        /// Characters were passed up.
        const RECEIVED = 1 << 0;
        /// Bytes were taken from above: there is room for more.
        const SENT = 1 << 1;
        /// An input of the modem's has changed.
        const MODEM = 1 << 2;
        /// Carrier has gone.
        const HANGUP = 1 << 3;
    }
}

/// Events since the port was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub received: u64,
    pub sent: u64,
    pub interrupts: u64,
    /// Interrupts without a reason.
    pub idle_interrupts: u64,
    /// Services that were cut short.
    pub long_services: u64,
}

/// Why nothing is sent, or what is.
#[derive(Debug, Default)]
struct Transmit {
    /// The terminal has bytes, or may have.
    wanted: bool,
    /// Stopped from above.
    stopped: bool,
    /// By the other side's stop character.
    xoff: bool,
    /// By CTS.
    cts_low: bool,
    /// Lines that are being sent polled.
    held: u32,
    /// A stop or start character, which passes by all that is queued.
    urgent: Option<u8>,
}

/// A port.
pub struct Port<R> {
    uart: Uart<R>,
    settings: Settings,
    control: ModemControl,
    enabled: InterruptEnable,
    /// Somebody serves its interrupt; else somebody polls it.
    by_interrupt: bool,
    transmit: Transmit,
    throttled: bool,
    counts: Counts,
}

impl<R: SerialRegisters> Port<R> {
    /// Looks for a UART; see [`Uart::probe`]. No interrupts yet.
    pub fn open(regs: R, baud: u32) -> Result<Self, ProbeError> {
        Ok(Self {
            uart: Uart::probe(regs, baud)?,
            settings: Settings::plain(baud),
            control: ModemControl::DTR | ModemControl::RTS | ModemControl::OUT2,
            enabled: InterruptEnable::empty(),
            by_interrupt: false,
            transmit: Transmit::default(),
            throttled: false,
            counts: Counts::default(),
        })
    }

    pub fn model(&self) -> Model {
        self.uart.model()
    }

    pub fn depth(&self) -> u8 {
        self.uart.depth()
    }

    pub fn settings(&self) -> Settings {
        self.settings
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What went wrong on the line.
    pub fn errors(&self) -> Counters {
        self.uart.counters()
    }

    /// From now on the port interrupts and somebody serves that, or it does not and somebody polls.
    pub fn set_by_interrupt(&mut self, on: bool, upper: &dyn Upper) -> Events {
        self.by_interrupt = on;
        let mut events = Events::empty();
        self.enable(InterruptEnable::empty());
        if on {
            self.enable(
                InterruptEnable::RECEIVED | InterruptEnable::LINE_STATUS | InterruptEnable::MODEM_STATUS,
            );
        }
        self.modem(&mut events);
        self.load(upper, &mut events);
        events
    }

    pub fn is_by_interrupt(&self) -> bool {
        self.by_interrupt
    }

    /// What the interrupt handler does.
    pub fn service(&mut self, upper: &dyn Upper) -> Events {
        let mut events = Events::empty();
        self.counts.interrupts += 1;
        for round in 0..ROUNDS {
            let reason = self.uart.regs.read(reg::IIR_FCR);
            // A port that has vanished reads as ones, and so as without a reason.
            if reason & iir::NONE != 0 {
                self.counts.idle_interrupts += u64::from(round == 0);
                return events;
            }
            self.round(reason & iir::REASON == iir::MODEM_STATUS, upper, &mut events);
        }
        self.counts.long_services += 1;
        let enabled = self.enabled;
        self.enable(InterruptEnable::empty());
        self.enable(enabled);
        self.load(upper, &mut events);
        events
    }

    /// What a timer does where there is no interrupt: the same, without asking for a reason.
    pub fn poll(&mut self, upper: &dyn Upper) -> Events {
        let mut events = Events::empty();
        self.round(true, upper, &mut events);
        events
    }

    fn round(&mut self, modem: bool, upper: &dyn Upper, events: &mut Events) {
        self.receive(upper, events);
        if modem {
            self.modem(events);
        }
        self.load(upper, events);
    }

    /// Takes what the receiver holds, at most [`BATCH`] characters: then the next round goes on.
    fn receive(&mut self, upper: &dyn Upper, events: &mut Events) {
        let mut batch = [Character::default(); BATCH];
        let mut len = 0;
        while len < BATCH {
            let Some(character) = self.uart.receive() else { break };
            self.counts.received += 1;
            if let Some(StopStart { stop, start }) = self.settings.obeys.filter(|_| !character.is_bad()) {
                if character.byte == stop || character.byte == start {
                    self.transmit.xoff = character.byte == stop;
                    continue;
                }
            }
            if self.settings.receives || character.is_break() && upper.wants_break() {
                batch[len] = character;
                len += 1;
            }
        }
        if len > 0 {
            *events |= Events::RECEIVED;
            if upper.received(&batch[..len]) == Room::Short && !self.throttled {
                self.set_throttled(true);
            }
        }
    }

    /// The only place that reads the modem status, which forgets what changed.
    fn modem(&mut self, events: &mut Events) -> ModemStatus {
        let status = ModemStatus::from_bits_retain(self.uart.regs.read(reg::MSR));
        self.transmit.cts_low = self.settings.rts_cts && !status.contains(ModemStatus::CTS);
        let changes = ModemStatus::CTS_CHANGED
            | ModemStatus::DSR_CHANGED
            | ModemStatus::RI_ENDED
            | ModemStatus::DCD_CHANGED;
        events.set(Events::MODEM, events.contains(Events::MODEM) || status.intersects(changes));
        if status.contains(ModemStatus::DCD_CHANGED) && !status.contains(ModemStatus::DCD) {
            *events |= Events::HANGUP;
        }
        status
    }

    /// Whether the other side has been told to stop: the character that says so is in the transmitter, or RTS is low.
    pub fn has_stopped_sender(&self) -> bool {
        self.throttled && self.transmit.urgent.is_none()
    }

    /// Whether the terminal's bytes may not go out.
    fn is_blocked(&self) -> bool {
        let Transmit { stopped, xoff, cts_low, held, .. } = self.transmit;
        stopped || xoff || cts_low || held > 0
    }

    /// Fills the transmitter if it is empty, and sees to it that it interrupts exactly if there is more.
    fn load(&mut self, upper: &dyn Upper, events: &mut Events) {
        loop {
            let more = self.fill(upper, events) && self.by_interrupt;
            let is_new = more && !self.enabled.contains(InterruptEnable::TRANSMITTER_EMPTY);
            let mut enabled = self.enabled;
            enabled.set(InterruptEnable::TRANSMITTER_EMPTY, more);
            self.enable(enabled);
            // It may have run empty just before: not every chip says so when it is asked afterwards.
            if !is_new || self.uart.room() == 0 {
                return;
            }
        }
    }

    /// Puts into the transmitter what there is room for; returns whether there may be more.
    fn fill(&mut self, upper: &dyn Upper, events: &mut Events) -> bool {
        if let Some(byte) = self.transmit.urgent.filter(|_| !self.transmit.cts_low && self.transmit.held == 0)
        {
            if self.uart.try_write(&[byte]) == 0 {
                return true;
            }
            self.transmit.urgent = None;
            self.counts.sent += 1;
        }
        if !self.transmit.wanted || self.is_blocked() {
            return false;
        }
        let room = self.uart.room().min(FILL);
        if room > 0 {
            let mut bytes = [0; FILL];
            let len = upper.fill(&mut bytes[..room]);
            let sent = self.uart.try_write(&bytes[..len]);
            debug_assert_eq!(sent, len);
            self.counts.sent += len as u64;
            if len > 0 {
                *events |= Events::SENT;
            }
            // Less than there was room for: that was all.
            self.transmit.wanted = len == room;
        }
        self.transmit.wanted
    }

    /// Writes the interrupt enable register if it is to change.
    fn enable(&mut self, enabled: InterruptEnable) {
        if enabled != self.enabled {
            self.enabled = enabled;
            self.uart.regs.write(reg::IER_DLM, enabled.bits());
        }
    }

    // ---- what the terminal asks for ----

    /// There is something to send.
    pub fn start_tx(&mut self, upper: &dyn Upper) -> Events {
        let mut events = Events::empty();
        self.transmit.wanted = true;
        self.load(upper, &mut events);
        events
    }

    /// Stops what is sent, or lets it go on: what is in the chip goes out in either case.
    pub fn set_stopped(&mut self, stopped: bool, upper: &dyn Upper) -> Events {
        let mut events = Events::empty();
        self.transmit.stopped = stopped;
        self.load(upper, &mut events);
        events
    }

    /// What comes in is to stop, by whatever the settings say: RTS, the stop character, or nothing.
    pub fn throttle(&mut self, upper: &dyn Upper) -> Events {
        self.throttle_as(true, upper)
    }

    /// It may go on.
    pub fn unthrottle(&mut self, upper: &dyn Upper) -> Events {
        self.throttle_as(false, upper)
    }

    fn throttle_as(&mut self, throttled: bool, upper: &dyn Upper) -> Events {
        let mut events = Events::empty();
        self.set_throttled(throttled);
        self.load(upper, &mut events);
        events
    }

    /// Sends a byte before all that is queued, even while stopped: a stop or start character. One that has not left is
    /// replaced.
    pub fn send_now(&mut self, byte: u8, upper: &dyn Upper) -> Events {
        let mut events = Events::empty();
        self.transmit.urgent = Some(byte);
        self.load(upper, &mut events);
        events
    }

    /// Turns the chip's FIFO off, or on again if it has one. What it holds is lost.
    pub fn use_fifo(&mut self, on: bool) {
        self.uart.flush();
        self.uart.use_fifo(on);
    }

    fn set_throttled(&mut self, throttled: bool) {
        if throttled == self.throttled {
            return;
        }
        self.throttled = throttled;
        if let Some(StopStart { stop, start }) = self.settings.sends {
            self.transmit.urgent = Some(if throttled { stop } else { start });
        }
        if self.settings.rts_cts {
            self.control.set(ModemControl::RTS, !throttled && self.settings.baud != 0);
            self.write_control();
        }
    }

    /// Sets the line anew. What the chip holds goes out first, at the old speed.
    pub fn set_settings(&mut self, settings: Settings, upper: &dyn Upper) -> Result<Events, BadSettings> {
        let (divisor, format) = settings.registers()?;
        let was_hung_up = self.settings.baud == 0;
        if let Some(divisor) = divisor {
            self.uart.set_line(divisor, format);
        }
        self.settings = settings;
        if divisor.is_none() {
            self.control -= ModemControl::DTR | ModemControl::RTS;
        } else if was_hung_up {
            self.control |= ModemControl::DTR | ModemControl::RTS;
        }
        if settings.obeys.is_none() {
            self.transmit.xoff = false;
        }
        if divisor.is_some() && self.control.contains(ModemControl::DTR) {
            self.control.set(ModemControl::RTS, !(settings.rts_cts && self.throttled));
        }
        self.write_control();
        let mut events = Events::empty();
        self.modem(&mut events);
        self.load(upper, &mut events);
        Ok(events)
    }

    /// Holds the line at 0, or lets go of it. How long is the caller's affair, who sleeps meanwhile.
    pub fn set_break(&mut self, on: bool) {
        if on {
            self.uart.flush();
        }
        let mut format = LineControl::from_bits_retain(self.uart.regs.read(reg::LCR));
        format.set(LineControl::BREAK, on);
        self.uart.regs.write(reg::LCR, format.bits());
    }

    /// The modem's lines.
    pub fn lines(&mut self) -> (Lines, Events) {
        let mut events = Events::empty();
        let status = self.modem(&mut events);
        (Lines::of(self.control, status), events)
    }

    /// Sets those of `which` as in `to`, outputs only.
    pub fn set_lines(&mut self, which: Lines, to: Lines) {
        let which = (which & Lines::OUT).control();
        self.control = (self.control - which) | (to.control() & which);
        self.write_control();
    }

    fn write_control(&mut self) {
        self.uart.regs.write(reg::MCR, self.control.bits());
    }

    /// Whether the last bit of everything has left.
    pub fn is_idle(&mut self) -> bool {
        !self.transmit.wanted
            && self.transmit.urgent.is_none()
            && self.uart.line_status().contains(LineStatus::TRANSMITTER_EMPTY)
    }

    // ---- polled output ----

    /// A line begins that is sent polled: the terminal's bytes wait until it is released.
    pub fn hold(&mut self) {
        self.transmit.held += 1;
        let enabled = self.enabled - InterruptEnable::TRANSMITTER_EMPTY;
        self.enable(enabled);
    }

    /// The line has ended.
    pub fn release(&mut self, upper: &dyn Upper) -> Events {
        let mut events = Events::empty();
        self.transmit.held = self.transmit.held.saturating_sub(1);
        self.load(upper, &mut events);
        events
    }

    /// Whether [`push`](Self::push) has something that may go out. Only who holds a line, `is_holder`, may push while one
    /// is held.
    pub fn can_push(&self, is_holder: bool) -> bool {
        let Transmit { wanted, stopped, xoff, cts_low, held, .. } = self.transmit;
        wanted && !stopped && !xoff && !cts_low && (is_holder || held == 0)
    }

    /// Sends a FIFO's worth of what the terminal has queued, waiting for room within the chip's bound; false if there is
    /// nothing left that may go out. Bytes that a stuck transmitter does not take are lost, and counted.
    pub fn push(&mut self, is_holder: bool, upper: &dyn Upper, events: &mut Events) -> bool {
        if !self.can_push(is_holder) {
            return false;
        }
        self.wait_for_room(upper, events);
        let mut bytes = [0; FILL];
        let len = upper.fill(&mut bytes[..usize::from(self.uart.depth()).min(FILL)]);
        self.uart.write_bytes(&bytes[..len]);
        self.counts.sent += len as u64;
        self.transmit.wanted = len > 0;
        if len > 0 {
            *events |= Events::SENT;
        }
        len > 0
    }

    /// Sends what there is room for, or at least one byte, for which it waits; returns how many.
    pub fn write_some(&mut self, bytes: &[u8], upper: &dyn Upper, events: &mut Events) -> usize {
        self.wait_for_room(upper, events);
        let sent = self.uart.try_write(bytes);
        if sent == 0 && !bytes.is_empty() {
            // Stuck: the chip's driver counts it.
            self.uart.write_byte(bytes[0]);
            return 1;
        }
        sent
    }

    /// Whether there is room; if not, what has been received is taken, for who asks may do so with interrupts off.
    pub fn look(&mut self, upper: &dyn Upper, events: &mut Events) -> bool {
        if self.uart.room() > 0 {
            return true;
        }
        self.receive(upper, events);
        false
    }

    /// How often it is worth while to look.
    pub fn patience(&self) -> u32 {
        self.uart.patience()
    }

    /// Waits for the transmitter, within the chip's bound. What is received meanwhile is taken: interrupts are off.
    fn wait_for_room(&mut self, upper: &dyn Upper, events: &mut Events) {
        for _ in 0..self.patience() {
            if self.look(upper, events) {
                return;
            }
            core::hint::spin_loop();
        }
    }

    /// Waits, within the chip's bound, until the last bit has left.
    pub fn flush(&mut self) -> bool {
        self.uart.flush()
    }
}
