//! What threads did on the CPUs and when: the last events of each CPU, to be drawn as a time line.
//!
//! Each CPU writes to a ring of its own, so no CPU waits for another; `recorder` is who writes. An event is 16 bytes, and
//! the oldest is overwritten. [`Trace::dump`] writes a ring as text, a line an event, and [`dump_names`] whom they are
//! about. `test/tools/trace.py` turns both into a picture, or into the JSON that Perfetto and Chrome draw:
//!
//! ```text
//! trace cpu 1 events 4 lost 0
//!  12345678 switch 7 9 p           at 12345678 ns: from thread 7 to thread 9, which displaced it (p; s, if 7 slept)
//!  12345999 wake 7 0               thread 7 was woken up, to run on CPU 0
//!  12346111 start 11 2             thread 11 begins, on CPU 2
//!  12347000 migrate 9 3            thread 9, which waited for its turn, goes to CPU 3
//! trace names 1
//!  name 9 worker/1                 as far as they are known: to the end of the line
//! ```
//!
//! Everything but names is numbers and single words, so that a line that was damaged on the way is known by its shape.

use alloc::vec::Vec;
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
    /// This CPU began a thread, to run on `cpu`.
    Start { thread: u32, cpu: u32 },
}

impl Event {
    /// The threads that it is about; a switch is about two.
    pub fn threads(self) -> impl Iterator<Item = u32> {
        let (first, second) = match self {
            Self::Switch { from, to, .. } => (from, Some(to)),
            Self::Wake { thread, .. } | Self::Migrate { thread, .. } | Self::Start { thread, .. } => {
                (thread, None)
            }
        };
        core::iter::once(first).chain(second)
    }
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
            Event::Start { thread, cpu } => (3, thread, cpu, 0),
        };
        let time = at_ns & ((1 << TIME_BITS) - 1);
        Self(kind << TIME_BITS | time, (second as u64) << 32 | (first as u64 & (SLEPT - 1)) | flag)
    }

    const fn decoded(self) -> (u64, Event) {
        let (first, second) = ((self.1 & (SLEPT - 1)) as u32, (self.1 >> 32) as u32);
        let event = match self.0 >> TIME_BITS {
            0 => Event::Switch { from: first, to: second, slept: self.1 & SLEPT != 0 },
            1 => Event::Wake { thread: first, cpu: second },
            2 => Event::Migrate { thread: first, cpu: second },
            _ => Event::Start { thread: first, cpu: second },
        };
        (self.0 & ((1 << TIME_BITS) - 1), event)
    }
}

/// Room for events. Made where memory may be asked for, which is not where events are taken down.
#[derive(Debug, Default)]
pub struct Room(Vec<Record>);

impl Room {
    /// For so many events, which are a power of two; `None` if memory is out.
    pub fn new(events: usize) -> Option<Self> {
        debug_assert!(events.is_power_of_two());
        let mut records = Vec::new();
        records.try_reserve_exact(events).ok()?;
        records.resize(events, Record(0, 0));
        Some(Self(records))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The last events of a CPU: as many as it has been given room for.
#[derive(Debug)]
pub struct Trace {
    room: Room,
    /// Events so far.
    count: u64,
    is_on: bool,
}

impl Trace {
    /// An empty one, which is off and has no room.
    pub const fn new() -> Self {
        Self { room: Room(Vec::new()), count: 0, is_on: false }
    }

    /// Another room, and all is forgotten. Returns the old one, to be freed where that may be done.
    #[must_use]
    pub fn exchange(&mut self, room: Room) -> Room {
        self.turn(false);
        self.count = 0;
        core::mem::replace(&mut self.room, room)
    }

    /// Turns it on, empty, if it has room; or off, and then it stays as it is.
    pub fn turn(&mut self, on: bool) {
        if on {
            self.count = 0;
        }
        self.is_on = on && !self.room.0.is_empty();
    }

    #[inline]
    pub const fn is_on(&self) -> bool {
        self.is_on
    }

    /// Takes down an event, if it is on. Thread numbers have 31 bits.
    #[inline]
    pub fn record(&mut self, at_ns: u64, event: Event) {
        if self.is_on {
            let at = self.at(self.count);
            self.room.0[at] = Record::new(at_ns, event);
            self.count += 1;
        }
    }

    /// Where an event is.
    fn at(&self, number: u64) -> usize {
        number as usize & (self.room.0.len() - 1)
    }

    /// Events that it has.
    pub fn len(&self) -> usize {
        self.room.0.len().min(usize::try_from(self.count).unwrap_or(usize::MAX))
    }

    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Events that were overwritten.
    pub fn lost(&self) -> u64 {
        self.count - self.len() as u64
    }

    /// All events, the oldest first, each with its time.
    pub fn iter(&self) -> impl Iterator<Item = (u64, Event)> {
        (self.lost()..self.count).map(|number| self.room.0[self.at(number)].decoded())
    }

    /// The last `most` events, the oldest first, each with its time.
    pub fn last(&self, most: usize) -> impl Iterator<Item = (u64, Event)> {
        self.iter().skip(self.len().saturating_sub(most))
    }

    /// Writes the last `most` events as text; see the head of this file. A line is 70 bytes or less.
    pub fn dump(&self, cpu: usize, most: usize, to: &mut dyn fmt::Write) -> fmt::Result {
        let shown = self.len().min(most);
        let lost = self.lost() + (self.len() - shown) as u64;
        writeln!(to, "trace cpu {cpu} events {shown} lost {lost}")?;
        for (at_ns, event) in self.last(most) {
            match event {
                Event::Switch { from, to: new, slept } => {
                    writeln!(to, " {at_ns} switch {from} {new} {}", if slept { 's' } else { 'p' })
                }
                Event::Wake { thread, cpu } => writeln!(to, " {at_ns} wake {thread} {cpu}"),
                Event::Migrate { thread, cpu } => writeln!(to, " {at_ns} migrate {thread} {cpu}"),
                Event::Start { thread, cpu } => writeln!(to, " {at_ns} start {thread} {cpu}"),
            }?;
        }
        Ok(())
    }
}

impl Default for Trace {
    fn default() -> Self {
        Self::new()
    }
}

/// Writes threads' names as text; see the head of this file.
pub fn dump_names<T: fmt::Display>(names: &[(u32, T)], to: &mut dyn fmt::Write) -> fmt::Result {
    writeln!(to, "trace names {}", names.len())?;
    names.iter().try_for_each(|(thread, name)| writeln!(to, " name {thread} {name}"))
}

/// What is remembered of threads that have ended: of the last `N`, by their ids.
#[derive(Debug)]
pub struct Ended<T, const N: usize> {
    last: [Option<(u32, T)>; N],
    count: usize,
}

impl<T: Copy, const N: usize> Ended<T, N> {
    pub const fn new() -> Self {
        Self { last: [None; N], count: 0 }
    }

    pub fn clear(&mut self) {
        *self = Self::new();
    }

    pub const fn push(&mut self, thread: u32, what: T) {
        self.last[self.count % N] = Some((thread, what));
        self.count = self.count.wrapping_add(1);
    }

    pub fn find(&self, thread: u32) -> Option<T> {
        self.last.iter().flatten().find(|(id, _)| *id == thread).map(|&(_, what)| what)
    }
}

impl<T: Copy, const N: usize> Default for Ended<T, N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    const MOST: u32 = (1 << 31) - 1;

    #[test]
    fn events_come_back_as_they_went_in() {
        let events = [
            Event::Switch { from: MOST, to: 0, slept: true },
            Event::Switch { from: 0, to: MOST, slept: false },
            Event::Wake { thread: 5, cpu: 319 },
            Event::Migrate { thread: MOST, cpu: 2 },
            Event::Start { thread: 3, cpu: u32::MAX },
        ];
        for event in events {
            assert_eq!(Record::new((1 << 62) - 1, event).decoded(), ((1 << 62) - 1, event));
        }
        assert_eq!(size_of::<Record>(), 16);
    }

    fn with_room(events: usize) -> Trace {
        let mut trace = Trace::new();
        drop(trace.exchange(Room::new(events).expect("memory")));
        trace
    }

    #[test]
    fn the_oldest_are_lost() {
        let mut trace = with_room(4);
        trace.record(1, Event::Wake { thread: 1, cpu: 0 });
        assert!(trace.is_empty(), "off");
        trace.turn(true);
        (0..6).for_each(|at| trace.record(at, Event::Wake { thread: at as u32, cpu: 0 }));
        assert_eq!((trace.len(), trace.lost()), (4, 2));
        assert_eq!(trace.iter().map(|(at_ns, _)| at_ns).collect::<Vec<_>>(), [2, 3, 4, 5]);
        trace.turn(false);
        trace.record(9, Event::Wake { thread: 1, cpu: 0 });
        assert_eq!(trace.len(), 4);
        assert_eq!(trace.last(1).map(|(at_ns, _)| at_ns).collect::<Vec<_>>(), [5]);
    }

    #[test]
    fn without_room_it_is_never_on() {
        let mut trace = Trace::new();
        trace.turn(true);
        trace.record(1, Event::Wake { thread: 1, cpu: 0 });
        assert!(!trace.is_on() && trace.is_empty() && trace.iter().next().is_none());
        let mut trace = with_room(2);
        trace.turn(true);
        (0..3).for_each(|at| trace.record(at, Event::Start { thread: 1, cpu: 0 }));
        let old = trace.exchange(Room::default());
        assert_eq!(old.0.len(), 2);
        assert!(!trace.is_on() && trace.is_empty() && trace.lost() == 0);
    }

    #[test]
    fn the_last_that_ended_are_remembered() {
        let mut ended = Ended::<&str, 2>::new();
        assert_eq!(ended.find(0), None);
        for (thread, name) in [(0, "a"), (7, "b"), (9, "c")] {
            ended.push(thread, name);
        }
        assert_eq!([0, 7, 9].map(|thread| ended.find(thread)), [None, Some("b"), Some("c")]);
        ended.clear();
        assert_eq!(ended.find(9), None);
    }

    #[test]
    fn a_dump_is_what_the_tool_reads() {
        let mut trace = with_room(8);
        trace.turn(true);
        trace.record(5, Event::Wake { thread: 1, cpu: 0 });
        trace.record(10, Event::Switch { from: 7, to: 9, slept: false });
        trace.record(20, Event::Migrate { thread: 7, cpu: 3 });
        trace.record(30, Event::Switch { from: 9, to: 0, slept: true });
        trace.record(40, Event::Start { thread: 12, cpu: 2 });
        let mut text = String::new();
        trace.dump(1, 4, &mut text).unwrap();
        dump_names(&[(7, "shell"), (9, "a worker")], &mut text).unwrap();
        assert_eq!(
            text,
            "trace cpu 1 events 4 lost 1\n 10 switch 7 9 p\n 20 migrate 7 3\n 30 switch 9 0 s\n 40 start 12 2\n\
             trace names 2\n name 7 shell\n name 9 a worker\n"
        );
        let threads: Vec<_> = trace.iter().flat_map(|(_, event)| event.threads()).collect();
        assert_eq!(threads, [1, 7, 9, 7, 9, 0, 12]);
    }
}
