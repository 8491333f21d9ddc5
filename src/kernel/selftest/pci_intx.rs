//! `pci-intx`: a PCI interrupt raised, taken, acknowledged, from pin to handler.
//!
//! It takes a device that interrupts when it is told to: QEMU's `edu` (`-device edu`), made for courses like this.
//! Writing a register raises its INTA#, writing another lowers it again. Two handlers are on the line, as on a real
//! machine where devices share it: one is the device's, the other finds that it was not meant.
//!
//! Source: QEMU's manual, "EDU device".

use super::{Outcome, Trouble, check};
use crate::arch::x86_64::access::{MappedRegisters, Mmio32};
use crate::drivers::pci::{self, Space};
use crate::platform::pc::{interrupts, intx};
use crate::platform::{Cache, Line, Machine, Platform, timers};
use crate::sync::WaitQueue;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use log::info;
use spin::Once;

/// Registers, by their offset.
const ID: u32 = 0x00;
const STATUS: u32 = 0x24;
const RAISE: u32 = 0x60;
const ACKNOWLEDGE: u32 = 0x64;
const WINDOW: u32 = 0x68;

/// Interrupts that are asked for.
const ROUNDS: u32 = 100;
/// How long each may take.
const LIMIT_NS: u64 = 5_000_000_000;

/// The device, for its handler.
static DEVICE: Once<MappedRegisters> = Once::new();
/// How often the device's handler found it waiting, and how often not.
static TAKEN: AtomicU64 = AtomicU64::new(0);
static NOT_MEANT: AtomicU64 = AtomicU64::new(0);
/// How often the other handler on the line was called.
static OTHER: AtomicU64 = AtomicU64::new(0);
/// The cause that the device gave last.
static CAUSE: AtomicU32 = AtomicU32::new(0);
static LATE: AtomicBool = AtomicBool::new(false);
/// Who waits for either.
static WAITING: WaitQueue = WaitQueue::new();

fn handler(_: usize) {
    let Some(device) = DEVICE.get() else { return };
    let cause = device.read(STATUS);
    if cause == 0 {
        NOT_MEANT.fetch_add(1, Ordering::Relaxed);
        return;
    }
    CAUSE.store(cause, Ordering::Relaxed);
    device.write(ACKNOWLEDGE, cause);
    TAKEN.fetch_add(1, Ordering::Relaxed);
    WAITING.wake_all();
}

fn other(_: usize) {
    OTHER.fetch_add(1, Ordering::Relaxed);
}

pub fn run() -> Outcome {
    let function = pci::find::<Machine>(0x1234, 0x11E8);
    let function = function.ok_or(Trouble::Skipped("no such device: QEMU has one by -device edu"))?;
    let pin = function.pin::<Machine>().ok_or("it has no interrupt pin")?;
    let lead =
        intx::lead(function.at, pin, interrupts::by_io_apic()).ok_or("nobody knows where its pin leads")?;
    info!(target: "selftest", "pci-intx: {} INT{} -> {lead}", function.at, char::from(b'A' + pin));
    let bar =
        function.bars::<Machine>().find(|bar| matches!(bar.space, Space::Memory { .. }) && bar.address != 0);
    let bar = bar.ok_or("the firmware has given it no address")?;
    function.enable_memory::<Machine>();
    let virt = Machine::map_device(bar.address, WINDOW.into(), Cache::Uncached);
    let virt = virt.map_err(|_| "its registers cannot be mapped")?;
    // SAFETY: just mapped, for good; nobody else uses the device, and the registers used here start no transfer.
    let device = DEVICE.call_once(|| unsafe { MappedRegisters::new(virt as usize, WINDOW) });
    check(device.read(ID) & 0xFFFF == 0x00ED, "its registers do not answer")?;
    device.write(ACKNOWLEDGE, u32::MAX);
    if TAKEN.load(Ordering::Relaxed) == 0 {
        // Once, however often the test runs: handlers stay.
        let line = Line::Pci { at: function.at, pin };
        let requested = Machine::request_line(line, "edu", handler, 0)
            .and_then(|()| Machine::request_line(line, "edu's neighbour", other, 0));
        requested.map_err(|_| "its line cannot be had")?;
    }
    let other_before = OTHER.load(Ordering::Relaxed);
    for round in 1..=ROUNDS {
        raise(device, round)?;
    }
    check(device.read(STATUS) == 0, "something is left to be acknowledged")?;
    check(
        OTHER.load(Ordering::Relaxed) >= other_before + u64::from(ROUNDS),
        "the other handler was passed over",
    )?;
    check(NOT_MEANT.load(Ordering::Relaxed) <= u64::from(ROUNDS), "the line is raised all the time")
}

fn give_up(_: usize) {
    LATE.store(true, Ordering::Relaxed);
    WAITING.wake_all();
}

/// Raises one interrupt, and waits for it.
fn raise(device: &MappedRegisters, cause: u32) -> Outcome {
    let before = TAKEN.load(Ordering::Relaxed);
    LATE.store(false, Ordering::Relaxed);
    let deadline = Machine::now_ns().saturating_add(LIMIT_NS);
    let timer = timers::at(deadline, give_up, 0).map_err(|_| "no timer is free")?;
    device.write(RAISE, cause);
    WAITING.wait_until(|| TAKEN.load(Ordering::Relaxed) != before || LATE.load(Ordering::Relaxed));
    timers::cancel(timer);
    check(TAKEN.load(Ordering::Relaxed) == before + 1, "the interrupt did not come, or came more than once")?;
    check(CAUSE.load(Ordering::Relaxed) == cause, "the device gave another cause")
}
