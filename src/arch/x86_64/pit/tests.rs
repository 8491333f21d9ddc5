//! The driver against a model of two counters and port 61h.

use super::*;
use std::{cell::RefCell, collections::VecDeque};

#[derive(Default)]
struct Counter {
    mode: u8,
    /// Written since the control word: none, the lower byte, both.
    halves: u8,
    low: u8,
    count: u32,
    left: u32,
    running: bool,
    null: bool,
    out: bool,
    gate: bool,
    /// Bytes that a latch or a read-back command has put before the count.
    latched: VecDeque<u8>,
    read_high: bool,
    edges: u32,
    /// The control word that a lazy machine has not looked at yet.
    awaited: Option<u8>,
}

impl Counter {
    fn set_out(&mut self, out: bool) {
        self.edges += u32::from(out && !self.out);
        self.out = out;
    }

    fn tick(&mut self) {
        if self.halves != 2 || !self.gate {
            return;
        }
        if self.null {
            (self.null, self.left, self.running) = (false, self.count, true);
            return;
        }
        match self.mode {
            0 => {
                self.left = self.left.wrapping_sub(1) & 0xFFFF;
                if self.left == 0 && self.running {
                    self.running = false;
                    self.set_out(true);
                }
            }
            2 => {
                self.left -= 1;
                if self.left == 1 {
                    self.set_out(false);
                } else if self.left == 0 {
                    self.left = self.count;
                    self.set_out(true);
                }
            }
            mode => panic!("mode {mode}"),
        }
    }

    fn bytes(&self) -> [u8; 2] {
        (self.left as u16).to_le_bytes()
    }

    fn latch_count(&mut self) {
        if self.latched.is_empty() {
            self.latched.extend(self.bytes());
        }
    }

    fn control(&mut self, value: u8) {
        assert_eq!(value & 0x31, 0x30, "both bytes, binary");
        self.mode = value >> 1 & 7;
        (self.halves, self.running, self.null, self.read_high) = (0, false, true, false);
        self.latched.clear();
        // The output takes the level at which the mode starts.
        self.out = self.mode != 0;
    }

    fn write(&mut self, value: u8) {
        if let Some(control) = self.awaited.take() {
            self.control(control);
        }
        if self.halves % 2 == 0 {
            (self.low, self.halves) = (value, 1);
        } else {
            let count = u32::from(u16::from_le_bytes([self.low, value]));
            assert!(self.mode != 2 || count != 1, "a count of 1 is illegal in mode 2");
            self.count = if count == 0 { 0x1_0000 } else { count };
            (self.halves, self.null) = (2, true);
        }
    }

    fn read(&mut self) -> u8 {
        if let Some(byte) = self.latched.pop_front() {
            return byte;
        }
        // Unlatched: the count moves between the two bytes.
        let byte = self.bytes()[usize::from(self.read_high)];
        self.read_high = !self.read_high;
        byte
    }
}

#[derive(Default)]
struct Chip {
    counters: [Counter; 3],
    nmi_sc: u8,
    /// Ticks that each access to a port takes.
    cost: u32,
    /// A virtual machine that looks at the control word when a count is written.
    lazy: bool,
}

impl Chip {
    fn advance(&mut self, ticks: u32) {
        for _ in 0..ticks {
            self.counters.iter_mut().for_each(Counter::tick);
        }
    }

    fn command(&mut self, value: u8) {
        let counter = &mut self.counters[usize::from(value >> 6)];
        match value & 0x30 {
            0 => counter.latch_count(),
            // It goes on as it was until a count comes.
            _ if self.lazy && counter.halves == 2 => counter.awaited = Some(value),
            _ => counter.control(value),
        }
    }
}

struct Bus(RefCell<Chip>);

fn bus() -> Bus {
    let bus = Bus(RefCell::default());
    {
        let mut chip = bus.0.borrow_mut();
        chip.counters[0].gate = true;
        chip.nmi_sc = 0x0E;
    }
    bus
}

impl Bus {
    fn advance(&self, ticks: u32) {
        self.0.borrow_mut().advance(ticks);
    }

    fn edges(&self) -> u32 {
        self.0.borrow().counters[0].edges
    }
}

impl Ports for &Bus {
    fn read8(&self, port: u16) -> u8 {
        let mut chip = self.0.borrow_mut();
        let cost = chip.cost;
        chip.advance(cost);
        match port {
            0x40..=0x42 => chip.counters[usize::from(port - 0x40)].read(),
            0x61 => chip.nmi_sc | u8::from(chip.counters[2].out) << 5 | 0x10,
            _ => panic!("read of port {port:#x}"),
        }
    }

    fn write8(&self, port: u16, value: u8) {
        let mut chip = self.0.borrow_mut();
        let cost = chip.cost;
        chip.advance(cost);
        match port {
            0x40..=0x42 => chip.counters[usize::from(port - 0x40)].write(value),
            0x43 => chip.command(value),
            0x61 => {
                assert_eq!(value & 0xF0, 0, "the read-only half is written as 0");
                chip.nmi_sc = value;
                chip.counters[2].gate = value & 1 != 0;
            }
            _ => panic!("write of port {port:#x}"),
        }
    }

    fn read16(&self, port: u16) -> u16 {
        panic!("16-bit read of port {port:#x}")
    }
    fn read32(&self, port: u16) -> u32 {
        panic!("32-bit read of port {port:#x}")
    }
    fn write16(&self, port: u16, _: u16) {
        panic!("16-bit write of port {port:#x}")
    }
    fn write32(&self, port: u16, _: u32) {
        panic!("32-bit write of port {port:#x}")
    }
}

#[test]
fn divisors_have_limits() {
    for (hz, count) in [(19, 62_799), (100, 11_932), (1000, 1193), (596_591, 2), (100_000, 12)] {
        assert_eq!(divisor(hz), Some(count), "{hz} Hz");
    }
    // Too slow for 16 bits, too fast for a count of 2, or between two counts.
    for hz in [0, 1, 18, 596_591 * 2, 450_000, 700_000, HZ, u32::MAX] {
        assert_eq!(divisor(hz), None, "{hz} Hz");
        let bus = bus();
        assert_eq!(Pit::new(&bus).periodic(hz), None);
        assert_eq!(bus.0.borrow().counters[0].halves, 0, "nothing was written");
    }
}

#[test]
fn the_rate_generator_ticks_at_the_rate_it_says() {
    for hz in [19, 100, 1000, 10_000] {
        let bus = bus();
        let count = Pit::new(&bus).periodic(hz).expect("a rate");
        bus.advance(HZ * 2 + 1);
        assert!(bus.edges().abs_diff(2 * HZ / count) <= 1, "{hz} Hz: {}", bus.edges());
        assert!(bus.edges().abs_diff(2 * hz) <= 1 + hz / 50);
    }
    assert_eq!(rate().hz(), u64::from(HZ));
    assert_eq!(rate().to_ns(3_579_545), 3_000_000_000);
}

#[test]
fn a_one_shot_fires_once_when_it_says() {
    for (ask, get) in [(0, 2), (1, 2), (2, 2), (1000, 1000), (65_537, 65_537), (u32::MAX, 65_537)] {
        let bus = bus();
        assert_eq!(Pit::new(&bus).one_shot(ask), get);
        bus.advance(get - 1);
        assert_eq!(bus.edges(), 0, "{ask}");
        bus.advance(1);
        assert_eq!(bus.edges(), 1, "{ask}");
        bus.advance(200_000);
        assert_eq!(bus.edges(), 1, "{ask}: again, after the counter has wrapped");
    }
}

#[test]
fn stopped_is_stopped() {
    for lazy in [false, true] {
        let bus = bus();
        let mut pit = Pit::new(&bus);
        pit.periodic(1000).expect("a rate");
        bus.advance(5000);
        bus.0.borrow_mut().lazy = lazy;
        pit.stop();
        let before = bus.edges();
        bus.advance(1_000_000);
        // A lazy machine ends the last count.
        assert_eq!(bus.edges() - before, u32::from(lazy));
    }
}

/// Negative: the count moves with every access here; unlatched, its two bytes would not belong together.
#[test]
fn counts_are_read_whole() {
    let bus = bus();
    let mut pit = Pit::new(&bus);
    pit.one_shot(65_537);
    bus.advance(1);
    bus.0.borrow_mut().cost = 40;
    let mut last = 0x1_0000;
    for _ in 0..200 {
        let count = u32::from(pit.count(Channel::Timer));
        // Three accesses of 40 ticks each, the first of which latches.
        assert_eq!(last - count, if last == 0x1_0000 { 40 } else { 120 });
        last = count;
    }
}

/// The firmware was beeping, with one NMI source off.
#[test]
fn the_stopwatch_is_silent_and_goes_round() {
    let bus = bus();
    {
        let mut chip = bus.0.borrow_mut();
        chip.nmi_sc = 0x07;
        chip.cost = 1;
    }
    let mut watch = Stopwatch::start(&bus).expect("it runs");
    assert_eq!(bus.0.borrow().nmi_sc, 0x05, "gate open, speaker off, NMI switch as it was");
    bus.0.borrow_mut().cost = 0;
    let mut before = watch.count();
    for step in [0, 1, 5_000, 65_535, 30_000, 1 << 16, 3 << 16 | 7] {
        bus.advance(step);
        let now = watch.count();
        assert_eq!(now.wrapping_sub(before), step as u16, "{step}");
        before = now;
    }
}

/// Negative: time stands still in this model unless it is told, as it does on a floating bus.
#[test]
fn a_stopwatch_that_does_not_run_is_told() {
    assert!(Stopwatch::start(&bus()).is_none());
}
