//! The 8254 programmable interval timer: three 16-bit counters at 1.193182 MHz.
//!
//! Counter 0 is IRQ 0: a one-shot timer where there is nothing better, or a tick. Counter 2, once the speaker's, has
//! its gate in port 61h; left running with the speaker off it is a clock, and the measure of others, of last resort.
//!
//! Invariants:
//! * a count is 2 to 65,536 in mode 2 and 1 to 65,536 in mode 0; 65,536 is written as 0, and nothing else is;
//! * a count is always read latched: its two bytes belong together;
//! * port 61h keeps its two NMI switches (bits 2 and 3), and its read-only half is written as 0.
//!
//! The bytes of a counter come in pairs, so two users at once would get each other's halves: all methods that touch
//! one take `&mut self`. Different counters have different data ports, and each command names its counter: so a
//! [`Pit`] for counter 0 and a [`Stopwatch`] on counter 2 do not disturb each other.
//!
//! Source: Intel 8254 data sheet (order 231164), "Programming the 8254", "Mode definitions"; port 61h:
//! Intel ICH9 data sheet §13.7.1 "NMI_SC".

use super::access::Ports;
use crate::time::rate::Rate;

const COUNTER_0: u16 = 0x40;
const CONTROL: u16 = 0x43;
const NMI_SC: u16 = 0x61;

/// A third of the ACPI timer's 3.579545 MHz, a twelfth of the 14.31818 MHz that the first PC's board had: so many
/// ticks in so many nanoseconds.
const TICKS: u64 = 3_579_545;
const TICKS_NS: u64 = 3_000_000_000;
/// The same in Hz, rounded.
pub const HZ: u32 = 1_193_182;
/// The longest count.
pub const MAX_COUNT: u32 = 0x1_0000;

/// Control word: both bytes of the count, lower first.
const LOW_HIGH: u8 = 3 << 4;
const MODE_0: u8 = 0 << 1;
const MODE_2: u8 = 2 << 1;

/// Port 61h: counter 2's gate and both NMI switches. Bit 1, the speaker, is never set here.
const GATE_2: u8 = 1 << 0;
const NMI_SWITCHES: u8 = 3 << 2;
/// Reads after which counter 2 is taken to stand still: each takes longer than a tick.
const SPINS: u32 = 10_000;

/// Which of the three. Counter 1 refreshed the first PC's memory; it is not touched.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Channel {
    Timer = 0,
    Speaker = 2,
}

/// The count for `hz` ticks a second in mode 2, if one comes within 1 %: from 19 Hz to 596,591 Hz.
pub const fn divisor(hz: u32) -> Option<u32> {
    if hz == 0 || hz > HZ {
        return None;
    }
    let count = (HZ + hz / 2) / hz;
    let made = count as u64 * hz as u64;
    if count < 2 || count > MAX_COUNT || made.abs_diff(HZ as u64) > HZ as u64 / 100 {
        return None;
    }
    Some(count)
}

/// How fast it counts.
pub const fn rate() -> Rate {
    match Rate::from_counts(TICKS, TICKS_NS) {
        Some(rate) => rate,
        None => unreachable!(),
    }
}

/// The chip.
#[derive(Debug)]
pub struct Pit<P> {
    ports: P,
}

impl<P: Ports> Pit<P> {
    pub const fn new(ports: P) -> Self {
        Self { ports }
    }

    /// IRQ 0 comes `hz` times a second from now on, or as near as can be: each so many ticks. `None`, with nothing
    /// changed, if that is more than 1 % off.
    pub fn periodic(&mut self, hz: u32) -> Option<u32> {
        let count = divisor(hz)?;
        self.load(Channel::Timer, MODE_2, count);
        Some(count)
    }

    /// IRQ 0 comes once, `ticks` from now. The ticks that were set: at most [`MAX_COUNT`], 55 ms; whoever wants
    /// more sets it again then.
    pub fn one_shot(&mut self, ticks: u32) -> u32 {
        // The output rises one tick after the count has reached 0.
        let count = ticks.saturating_sub(1).clamp(1, MAX_COUNT);
        self.load(Channel::Timer, MODE_0, count);
        count + 1
    }

    /// No more IRQ 0. The control word alone stops the chip. Some virtual machines look at it only when a count is
    /// written, so one is; and then the control word again, so that a real chip does not run. A machine of the
    /// other kind sends one more IRQ 0, 55 ms later.
    pub fn stop(&mut self) {
        self.load(Channel::Timer, MODE_0, MAX_COUNT);
        self.ports.write8(CONTROL, control(Channel::Timer, MODE_0));
    }

    fn load(&mut self, channel: Channel, mode: u8, count: u32) {
        let [low, high, ..] = count.to_le_bytes();
        let data = COUNTER_0 + channel as u16;
        self.ports.write8(CONTROL, control(channel, mode));
        self.ports.write8(data, low);
        self.ports.write8(data, high);
    }

    /// What is left of a count: in mode 2 from the count down to 1, in mode 0 to 0 and round.
    pub fn count(&mut self, channel: Channel) -> u16 {
        // Latch command: counter number, and no mode.
        self.ports.write8(CONTROL, (channel as u8) << 6);
        let data = COUNTER_0 + channel as u16;
        let low = self.ports.read8(data);
        u16::from_le_bytes([low, self.ports.read8(data)])
    }
}

/// Counter 2, running round and round in mode 2, silently: 16 bits that count up, and wrap every 55 ms.
#[derive(Debug)]
pub struct Stopwatch<P> {
    pit: Pit<P>,
}

impl<P: Ports> Stopwatch<P> {
    /// Opens the gate, and looks whether it runs; `None` if it does not. From here on counter 2 is not the speaker's.
    pub fn start(ports: P) -> Option<Self> {
        let mut pit = Pit::new(ports);
        let off = pit.ports.read8(NMI_SC) & NMI_SWITCHES;
        pit.ports.write8(NMI_SC, off);
        pit.load(Channel::Speaker, MODE_2, MAX_COUNT);
        pit.ports.write8(NMI_SC, off | GATE_2);
        let mut this = Self { pit };
        // The count is loaded with the next tick; until then the one that is read may be another's.
        let first = this.count();
        let moved = (0..SPINS).any(|_| this.count() != first);
        moved.then_some(this)
    }

    /// Ticks, in 16 bits. The chip counts from 65,536, which reads as 0, down to 1.
    pub fn count(&mut self) -> u16 {
        self.pit.count(Channel::Speaker).wrapping_neg()
    }
}

const fn control(channel: Channel, mode: u8) -> u8 {
    (channel as u8) << 6 | LOW_HIGH | mode
}

#[cfg(test)]
mod tests;
