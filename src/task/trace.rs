//! What threads did on the CPUs and when: the last events of each CPU, to be drawn as a time line.
//!
//! Each CPU writes to a ring of its own, so nothing is locked; its owner keeps interrupts out while it writes, as it does
//! for the run queue. An event is 16 bytes, and the oldest is overwritten. [`Trace::dump`] writes a ring as text, a line
//! an event, which `test/tools/trace.py` turns into the JSON that Perfetto and Chrome draw:
//!
//! ```text
//! trace cpu 1 events 2 lost 0
//!  12345678 switch 7 9 p           at 12345678 ns: from thread 7 to thread 9, which displaced it (p; s, if 7 slept)
//!  12345999 wake 7 0               thread 7 was woken up, to run on CPU 0
//! ```
//!
//! Everything is numbers and single words, so that a line that was damaged on the way is known by its shape.

use core::fmt;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The CPU went from one thread to another; `slept`: the old one does not wait for it any more.
    Switch { from: u32, to: u32, slept: bool },
    /// This CPU woke a thread up, to run on `cpu`.
    Wake { thread: u32, cpu: u32 },
    /// This CPU moved a thread that waits, to `cpu`.
    Migrate { thread: u32, cpu: u32 },
}

/// Bits of the first word that are the time: 2^62 ns are 146 years. The rest is the kind.
const TIME_BITS: u32 = 62;
/// Bit of the second word that says `slept`; thread numbers have 31 bits.
const SLEPT: u64 = 1 << 31;

/// An event and its time, in two words: `kind : time`, `second number : first number`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Record(u64, u64);

impl Record {
    const fn new(at_ns: u64, event: Event) -> Self {
        let (kind, first, second, flag) = match event {
            Event::Switch { from, to, slept } => (0, from, to, if slept { SLEPT } else { 0 }),
            Event::Wake { thread, cpu } => (1, thread, cpu, 0),
            Event::Migrate { thread, cpu } => (2, thread, cpu, 0),
        };
        let time = at_ns & ((1 << TIME_BITS) - 1);
        Self(kind << TIME_BITS | time, (second as u64) << 32 | (first as u64 & (SLEPT - 1)) | flag)
    }

    const fn decoded(self) -> (u64, Event) {
        let (first, second) = ((self.1 & (SLEPT - 1)) as u32, (self.1 >> 32) as u32);
        let event = match self.0 >> TIME_BITS {
            0 => Event::Switch { from: first, to: second, slept: self.1 & SLEPT != 0 },
            1 => Event::Wake { thread: first, cpu: second },
            _ => Event::Migrate { thread: first, cpu: second },
        };
        (self.0 & ((1 << TIME_BITS) - 1), event)
    }
}

/// The last `N` events of a CPU; `N` is a power of two.
#[derive(Debug)]
pub struct Trace<const N: usize> {
    records: [Record; N],
    /// Events so far.
    count: u64,
    is_on: bool,
}

impl<const N: usize> Trace<N> {
    /// An empty one, which is off.
    pub const fn new() -> Self {
        const { assert!(N.is_power_of_two(), "a power of two") };
        Self { records: [Record(0, 0); N], count: 0, is_on: false }
    }

    /// Turns it on, empty; or off, and then it stays as it is.
    pub const fn turn(&mut self, on: bool) {
        if on {
            self.count = 0;
        }
        self.is_on = on;
    }

    #[inline]
    pub const fn is_on(&self) -> bool {
        self.is_on
    }

    /// Takes down an event, if it is on. Thread numbers have 31 bits.
    #[inline]
    pub const fn record(&mut self, at_ns: u64, event: Event) {
        if self.is_on {
            self.records[self.count as usize & (N - 1)] = Record::new(at_ns, event);
            self.count += 1;
        }
    }

    /// Events that it has.
    pub const fn len(&self) -> usize {
        if self.count < N as u64 { self.count as usize } else { N }
    }

    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Events that were overwritten.
    pub const fn lost(&self) -> u64 {
        self.count - self.len() as u64
    }

    /// All events, the oldest first, each with its time.
    pub fn iter(&self) -> impl Iterator<Item = (u64, Event)> {
        (self.lost()..self.count).map(|at| self.records[at as usize & (N - 1)].decoded())
    }

    /// Writes the last `most` events as text; see the head of this file. A line is 70 bytes or less.
    pub fn dump(&self, cpu: u32, most: usize, to: &mut impl fmt::Write) -> fmt::Result {
        let shown = self.len().min(most);
        let left_out = self.len() - shown;
        writeln!(to, "trace cpu {cpu} events {shown} lost {}", self.lost() + left_out as u64)?;
        for (at_ns, event) in self.iter().skip(left_out) {
            match event {
                Event::Switch { from, to: new, slept } => {
                    writeln!(to, " {at_ns} switch {from} {new} {}", if slept { 's' } else { 'p' })
                }
                Event::Wake { thread, cpu } => writeln!(to, " {at_ns} wake {thread} {cpu}"),
                Event::Migrate { thread, cpu } => writeln!(to, " {at_ns} migrate {thread} {cpu}"),
            }?;
        }
        Ok(())
    }
}

impl<const N: usize> Default for Trace<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;
    use std::vec::Vec;

    const MOST: u32 = (1 << 31) - 1;

    #[test]
    fn events_come_back_as_they_went_in() {
        let events = [
            Event::Switch { from: MOST, to: 0, slept: true },
            Event::Switch { from: 0, to: MOST, slept: false },
            Event::Wake { thread: 5, cpu: 319 },
            Event::Migrate { thread: MOST, cpu: 2 },
        ];
        for event in events {
            assert_eq!(Record::new((1 << 62) - 1, event).decoded(), ((1 << 62) - 1, event));
        }
        assert_eq!(size_of::<Record>(), 16);
    }

    #[test]
    fn the_oldest_are_lost() {
        let mut trace = Trace::<4>::new();
        trace.record(1, Event::Wake { thread: 1, cpu: 0 });
        assert!(trace.is_empty(), "off");
        trace.turn(true);
        (0..6).for_each(|at| trace.record(at, Event::Wake { thread: at as u32, cpu: 0 }));
        assert_eq!((trace.len(), trace.lost()), (4, 2));
        assert_eq!(trace.iter().map(|(at_ns, _)| at_ns).collect::<Vec<_>>(), [2, 3, 4, 5]);
        trace.turn(false);
        trace.record(9, Event::Wake { thread: 1, cpu: 0 });
        assert_eq!(trace.len(), 4);
    }

    #[test]
    fn a_dump_is_what_the_tool_reads() {
        let mut trace = Trace::<8>::new();
        trace.turn(true);
        trace.record(5, Event::Wake { thread: 1, cpu: 0 });
        trace.record(10, Event::Switch { from: 7, to: 9, slept: false });
        trace.record(20, Event::Migrate { thread: 7, cpu: 3 });
        trace.record(30, Event::Switch { from: 9, to: 0, slept: true });
        let mut text = String::new();
        trace.dump(1, 3, &mut text).unwrap();
        assert_eq!(
            text,
            "trace cpu 1 events 3 lost 1\n 10 switch 7 9 p\n 20 migrate 7 3\n 30 switch 9 0 s\n"
        );
    }
}
