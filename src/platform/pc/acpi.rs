//! The machine's ACPI tables.

use super::memory::Firmware;
use crate::acpi::fadt::Fadt;
use crate::acpi::{Tables, rsdp};
use crate::arch::x86_64::access::{Ports, RealPorts};
use crate::sync::{IrqLock, Rank};
use core::sync::atomic::{AtomicU64, Ordering};
use log::info;

/// Physical address of the root pointer; 0 if there is none.
static ROOT: AtomicU64 = AtomicU64::new(0);

/// The FADT, which power management asks at times when tables should not be parsed any more.
static FADT: IrqLock<Option<Fadt>> = IrqLock::new(Rank::Fadt, None);

/// Takes the root pointer that the loader found, or looks for one itself, and says so.
pub fn init(from_loader: u64) {
    let found = || rsdp::search(&Firmware).map_or(0, |(root, ..)| root);
    let root = if from_loader != 0 { from_loader } else { found() };
    if root == 0 {
        info!(target: "acpi", "none");
        return;
    }
    ROOT.store(root, Ordering::Relaxed);
    let tables = tables();
    *FADT.lock() = tables.as_ref().and_then(|tables| tables.fadt());
    let count = tables.map_or(0, |tables| tables.iter().count());
    info!(target: "acpi", "root pointer at {root:#x}, {count} tables");
}

/// Physical address of the root pointer.
pub fn root() -> Option<u64> {
    Some(ROOT.load(Ordering::Relaxed)).filter(|&root| root != 0)
}

/// The tables, checked anew; `None` if there are none.
pub fn tables() -> Option<Tables<'static, Firmware>> {
    Tables::read(&Firmware, root()?).ok()
}

/// The FADT, if there is one.
pub fn fadt() -> Option<Fadt> {
    *FADT.lock()
}

/// Turns ACPI mode on, in which the power button and its like are the kernel's business: a command to the
/// firmware, which then sets SCI_EN in PM1 control. True if it is on.
pub fn enable() -> bool {
    /// Bit 0 of PM1 control.
    const SCI_EN: u16 = 1;
    /// Firmware may take its time; each read of a port is about a microsecond.
    const TRIES: u32 = 3_000_000;
    let Some(fadt) = fadt().filter(|fadt| !fadt.is_hw_reduced()) else { return false };
    let Some(control) = fadt.pm1a_control else { return false };
    let is_on = || super::registers::read16(&control.register).is_some_and(|value| value & SCI_EN != 0);
    if is_on() || fadt.smi_cmd == 0 || fadt.acpi_enable == 0 {
        return is_on();
    }
    let Ok(port) = u16::try_from(fadt.smi_cmd) else { return false };
    // SAFETY: the port and the command are the firmware's own, for this.
    unsafe { RealPorts::new() }.write8(port, fadt.acpi_enable);
    (0..TRIES).any(|_| is_on())
}
