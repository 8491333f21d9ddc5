//! A machine of the imagination, with which code above `platform` runs in unit tests.
//!
//! Its clock stands until a test moves it, and its alarm then calls on the way. Its devices are what a test plugs in:
//! bytes of PCI configuration space. There is one such machine, as there is one real one, so a test takes it with
//! [`Host::exclusive`] and leaves it to the next as it was.

use super::{
    Architecture, Cache, Handler, Line, MapError, NoLine, NoPowerOff, PciAddress, Platform, SerialRegisters,
    timers,
};
use crate::boot::info::{Framebuffer, MemoryRegion};
use std::boxed::Box;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

/// The machine.
pub enum Host {}

/// No alarm is set.
const NEVER: u64 = u64::MAX;

static NOW_NS: AtomicU64 = AtomicU64::new(0);
static ALARM_NS: AtomicU64 = AtomicU64::new(NEVER);
/// The alarm's range.
static REACH_NS: AtomicU64 = AtomicU64::new(NEVER);
static ALARMS: AtomicUsize = AtomicUsize::new(0);
static LINES: Mutex<Vec<(Line, Handler, usize)>> = Mutex::new(Vec::new());
static CONFIG: Mutex<BTreeMap<PciAddress, Box<[u8; 256]>>> = Mutex::new(BTreeMap::new());
static DEFERRED: Mutex<Vec<(Handler, usize)>> = Mutex::new(Vec::new());

/// One test's hold on the machine.
pub struct Exclusive(#[expect(dead_code, reason = "held, not read")] MutexGuard<'static, ()>);

fn lock<T>(mutex: &'static Mutex<T>) -> MutexGuard<'static, T> {
    // A test that failed leaves nothing that the next one does not reset.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Host {
    /// Takes the machine, for as long as the answer lives.
    pub fn exclusive() -> Exclusive {
        static TAKEN: Mutex<()> = Mutex::new(());
        let taken = lock(&TAKEN);
        timers::init();
        // What an earlier test left armed is run off first.
        NOW_NS.store(u64::MAX - 1, Ordering::Relaxed);
        timers::fire(0);
        lock(&DEFERRED).clear();
        lock(&LINES).clear();
        lock(&CONFIG).clear();
        NOW_NS.store(0, Ordering::Relaxed);
        ALARM_NS.store(NEVER, Ordering::Relaxed);
        REACH_NS.store(NEVER, Ordering::Relaxed);
        ALARMS.store(0, Ordering::Relaxed);
        Exclusive(taken)
    }
}

impl Exclusive {
    /// Moves the clock, and lets the alarm call on the way.
    pub fn advance_to(&self, ns: u64) {
        while let Some(due) = Some(ALARM_NS.load(Ordering::Relaxed)).filter(|&due| due <= ns) {
            NOW_NS.fetch_max(due, Ordering::Relaxed);
            ALARM_NS.store(NEVER, Ordering::Relaxed);
            timers::fire(0);
        }
        NOW_NS.store(ns, Ordering::Relaxed);
    }

    /// From here on the alarm reaches no further than this, like a chip with few bits.
    pub fn limit_alarm(&self, ns: u64) {
        REACH_NS.store(ns, Ordering::Relaxed);
    }

    /// How often the alarm was set.
    pub fn alarms_set(&self) -> usize {
        ALARMS.load(Ordering::Relaxed)
    }

    /// Raises a line: calls its handlers, then what they have deferred.
    pub fn raise(&self, line: Line) {
        let handlers: Vec<_> = lock(&LINES).iter().copied().filter(|entry| entry.0 == line).collect();
        for (_, handler, argument) in handlers {
            handler(argument);
        }
        let deferred = core::mem::take(&mut *lock(&DEFERRED));
        for (work, argument) in deferred {
            work(argument);
        }
    }

    /// Plugs in a PCI function with this configuration space.
    pub fn plug(&self, at: PciAddress, config: [u8; 256]) {
        lock(&CONFIG).insert(at, Box::new(config));
    }
}

/// There is no serial port.
#[derive(Clone, Copy)]
pub enum NoSerial {}

impl SerialRegisters for NoSerial {
    fn read(&self, _: u8) -> u8 {
        match *self {}
    }

    fn write(&self, _: u8, _: u8) {
        match *self {}
    }
}

impl Platform for Host {
    type Serial = NoSerial;
    const ARCHITECTURE: Architecture = Architecture::Model;
    const NAME: &'static str = "a host's model";

    fn serial(_: usize) -> Option<NoSerial> {
        None
    }

    fn serial_line(_: usize) -> Option<Line> {
        None
    }

    fn serial_number(_: u64) -> Option<usize> {
        None
    }

    fn framebuffer_pixels(_: &Framebuffer) -> Option<*mut u32> {
        None
    }

    fn request_line(line: Line, _: &'static str, handler: Handler, argument: usize) -> Result<(), NoLine> {
        lock(&LINES).push((line, handler, argument));
        Ok(())
    }

    fn defer(work: Handler, argument: usize) -> bool {
        let mut deferred = lock(&DEFERRED);
        if !deferred.iter().any(|&(other, its)| other as usize == work as usize && its == argument) {
            deferred.push((work, argument));
        }
        true
    }

    fn defer_to(_: fn(usize)) {}

    fn run_deferred() -> bool {
        let work = lock(&DEFERRED).pop();
        if let Some((work, argument)) = work {
            work(argument);
        }
        work.is_some()
    }

    fn in_interrupt() -> bool {
        false
    }

    fn now_ns() -> u64 {
        NOW_NS.load(Ordering::Relaxed)
    }

    fn unix_ns() -> Option<i64> {
        None
    }

    fn set_alarm(deadline_ns: u64) {
        let reach = Self::now_ns().saturating_add(REACH_NS.load(Ordering::Relaxed));
        ALARM_NS.store(deadline_ns.min(reach), Ordering::Relaxed);
        ALARMS.fetch_add(1, Ordering::Relaxed);
    }

    fn memory_map() -> &'static [MemoryRegion] {
        &[]
    }

    /// Memory of the test's own, of zeros.
    fn map_device(_: u64, len: u64, _: Cache) -> Result<u64, MapError> {
        let len = usize::try_from(len).map_err(|_| MapError::BadRange)?;
        Ok(Box::leak(std::vec![0u64; len.div_ceil(8)].into_boxed_slice()).as_ptr() as u64)
    }

    fn pci_read(at: PciAddress, offset: u16, width: u8) -> u32 {
        let config = lock(&CONFIG);
        let bytes = config.get(&at).and_then(|config| config.get(usize::from(offset)..)?.get(..width.into()));
        bytes.map_or(u32::MAX >> (32 - 8 * u32::from(width)), |bytes| {
            bytes.iter().rev().fold(0, |value, &byte| value << 8 | u32::from(byte))
        })
    }

    fn pci_write(at: PciAddress, offset: u16, width: u8, value: u32) {
        let mut config = lock(&CONFIG);
        let bytes = config
            .get_mut(&at)
            .and_then(|config| config.get_mut(usize::from(offset)..)?.get_mut(..width.into()));
        for (byte, new) in bytes.into_iter().flatten().zip(value.to_le_bytes()) {
            *byte = new;
        }
    }

    fn pci_root(index: usize) -> Option<(u16, u8)> {
        (index == 0).then_some((0, 0))
    }

    fn acpi_root() -> Option<u64> {
        None
    }

    fn power_off() -> NoPowerOff {
        NoPowerOff::NoAcpi
    }

    fn restart() -> ! {
        panic!("the machine restarts")
    }
}

#[test]
fn deferred_work_runs_once_after_the_handlers() {
    static RAN: AtomicUsize = AtomicUsize::new(0);
    let host = Host::exclusive();
    let handler: Handler = |_| {
        assert_eq!(RAN.load(Ordering::Relaxed), 0);
        assert!(Host::defer(|by| _ = RAN.fetch_add(by, Ordering::Relaxed), 5));
    };
    for _ in 0..2 {
        Host::request_line(Line::Isa(4), "test", handler, 0).expect("there is one");
    }
    host.raise(Line::Isa(3));
    assert_eq!(RAN.load(Ordering::Relaxed), 0);
    host.raise(Line::Isa(4));
    assert_eq!(RAN.load(Ordering::Relaxed), 5);
}

#[test]
fn configuration_space_is_bytes_where_something_is_plugged_in() {
    let host = Host::exclusive();
    let at = PciAddress { segment: 0, bus: 0, device: 3, function: 0 };
    assert_eq!((Host::pci_read(at, 0, 4), Host::pci_read(at, 2, 1)), (u32::MAX, 0xFF));
    host.plug(at, [0x5A; 256]);
    Host::pci_write(at, 4, 2, 0x1_1234);
    assert_eq!(Host::pci_read(at, 4, 4), 0x5A5A_1234);
    assert_eq!(Host::pci_read(at, 254, 4), u32::MAX, "past the end");
}
