//! The 8254 programmable interval timer: three 16-bit counters at 1.193182 MHz.
//!
//! Counter 0 is IRQ 0: the tick (`hz=`), or a one-shot timer where there is nothing better. Counter 2, once the
//! speaker's, has its gate and output in port 61h and so can be waited for without interrupts; it is the
//! clock of last resort for measuring others.
//!
//! Invariants:
//! * a count is 2 to 65,536 in mode 2 and 1 to 65,536 in mode 0; 65,536 is written as 0, and nothing else is;
//! * a count is always read latched: its two bytes belong together;
//! * port 61h keeps its two NMI switches (bits 2 and 3), and its read-only half is written as 0.
//!
//! The bytes of a counter come in pairs, so two users at once would get each other's halves: all methods that touch
//! one take `&mut self`.
//!
//! Source: Intel 8254 data sheet (order 231164), "Programming the 8254", "Mode definitions"; port 61h:
//! Intel ICH9 data sheet §13.7.1 "NMI_SC".

use super::access::Ports;
use super::counter::Rate;

const COUNTER_0: u16 = 0x40;
const CONTROL: u16 = 0x43;
const NMI_SC: u16 = 0x61;

/// A third of the ACPI timer's 3.579545 MHz, a twelfth of the 14.31818 MHz that the first PC's board had.
const TICKS: u64 = 3_579_545;
const SECONDS: u64 = 3;
/// The same in Hz, rounded.
pub const HZ: u32 = 1_193_182;
/// The longest count.
pub const MAX_COUNT: u32 = 0x1_0000;

/// Control word: both bytes of the count, lower first.
const LOW_HIGH: u8 = 3 << 4;
const MODE_0: u8 = 0 << 1;
const MODE_2: u8 = 2 << 1;
/// Read-back of both count and status: the bits that are *not* set say what.
const READ_BACK: u8 = 3 << 6;

/// Port 61h: counter 2's gate, the speaker, both NMI switches, counter 2's output.
const GATE_2: u8 = 1 << 0;
const SPEAKER: u8 = 1 << 1;
const NMI_SWITCHES: u8 = 3 << 2;
const OUT_2: u8 = 1 << 5;

/// Which of the three. Counter 1 refreshed the first PC's memory; it is not touched.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Channel {
    Timer = 0,
    Speaker = 2,
}

/// What a counter says of itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Status(u8);

impl Status {
    /// Its output pin is high. In mode 0: the count has run down.
    pub const fn output(self) -> bool {
        self.0 & 1 << 7 != 0
    }

    /// The count that was written has not been loaded yet, so the one that is read is another.
    pub const fn null_count(self) -> bool {
        self.0 & 1 << 6 != 0
    }

    /// 0 to 5.
    pub const fn mode(self) -> u8 {
        let mode = self.0 >> 1 & 7;
        // Bit 2 counts for modes 0, 1, 4 and 5 only.
        if mode & 2 != 0 { mode & 3 } else { mode }
    }
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
    match Rate::new(TICKS, SECONDS) {
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

    /// IRQ 0 comes `hz` times a second from now on. The rate that was set: the nearest one there is. `None`,
    /// with nothing changed, if that is more than 1 % off.
    pub fn periodic(&mut self, hz: u32) -> Option<Rate> {
        let count = divisor(hz)?;
        self.load(Channel::Timer, MODE_2, count);
        Rate::new(TICKS, SECONDS * u64::from(count))
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
        self.read_count(channel)
    }

    /// Status and count of the same moment.
    pub fn status(&mut self, channel: Channel) -> (Status, u16) {
        self.ports.write8(CONTROL, READ_BACK | 2 << channel as u8);
        let status = self.ports.read8(COUNTER_0 + channel as u16);
        (Status(status), self.read_count(channel))
    }

    fn read_count(&mut self, channel: Channel) -> u16 {
        let data = COUNTER_0 + channel as u16;
        let low = self.ports.read8(data);
        u16::from_le_bytes([low, self.ports.read8(data)])
    }

    /// Ticks since the counter last started over under [`Pit::periodic`], with a count of `divisor`. An IRQ 0 that is
    /// on its way is not in it: a clock made of both must see by a step back that one is.
    pub fn ticks_into_period(&mut self, divisor: u32) -> u32 {
        let left = match self.count(Channel::Timer) {
            0 => MAX_COUNT,
            left => u32::from(left),
        };
        divisor.saturating_sub(left)
    }

    /// Starts counter 2, silently: its output is high `ticks` from now. A guard to be given back to
    /// [`Pit::finish`].
    pub fn start_countdown(&mut self, ticks: u32) -> Countdown {
        let before = self.ports.read8(NMI_SC) & (NMI_SWITCHES | GATE_2 | SPEAKER);
        let off = before & NMI_SWITCHES;
        self.ports.write8(NMI_SC, off);
        let count = ticks.saturating_sub(1).clamp(1, MAX_COUNT);
        self.load(Channel::Speaker, MODE_0, count);
        self.ports.write8(NMI_SC, off | GATE_2);
        Countdown { before, count }
    }

    /// The countdown is over.
    pub fn is_over(&self) -> bool {
        self.ports.read8(NMI_SC) & OUT_2 != 0
    }

    /// Ticks since the countdown began, until it is over: a clock that needs no interrupt.
    pub fn elapsed(&mut self, countdown: &Countdown) -> u32 {
        let (status, left) = self.status(Channel::Speaker);
        if status.output() {
            countdown.count + 1
        } else if status.null_count() {
            0
        } else {
            // A count of 65,536 reads as 0 at first, and only then: after 0 the output is high.
            let left = if left == 0 && countdown.count == MAX_COUNT { MAX_COUNT } else { u32::from(left) };
            countdown.count.saturating_sub(left)
        }
    }

    /// Waits until it is over, for at most `spins` looks. `false` if it is not.
    pub fn wait(&self, spins: u32) -> bool {
        (0..spins).any(|_| {
            core::hint::spin_loop();
            self.is_over()
        })
    }

    /// Gate and speaker as they were.
    pub fn finish(&mut self, countdown: Countdown) {
        self.ports.write8(NMI_SC, countdown.before);
    }
}

/// A countdown under way.
#[derive(Debug)]
#[must_use = "the gate stays open until Pit::finish"]
pub struct Countdown {
    before: u8,
    count: u32,
}

const fn control(channel: Channel, mode: u8) -> u8 {
    (channel as u8) << 6 | LOW_HIGH | mode
}

#[cfg(test)]
mod tests;
