//! Where a PCI function's INTA# to INTD# arrives on this machine.
//!
//! First up through the bridges to the root bus (`platform::intx`), then over the board, by the first of these that
//! knows:
//!
//! 1. a `_PRT` that is a constant package and names a GSI, where there is an I/O APIC;
//! 2. the board's fixed wiring, where its bridges are known (`arch::x86_64::pirq`): that is a stand-in for a `_PRT`
//!    that is code, and the log says so;
//! 3. the interrupt-line register, in which firmware leaves the 8259's line. Last, because with an I/O APIC the
//!    line is often another one.
//!
//! Source: ACPI 6.5 §6.2.13 (_PRT); PCI Local Bus 3.0 §6.2.4 (interrupt line and pin).

use super::{acpi, memory, pci};
use crate::acpi::aml::prt::Source;
use crate::acpi::aml::{Routing, routings};
use crate::arch::x86_64::pirq::{DIR_BYTES, Link, Router};
use crate::platform::{Cache, Machine, PciAddress, intx};
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use log::{info, warn};

const INTERRUPT_LINE: u16 = 0x3C;

/// An input of the interrupt controllers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Of an I/O APIC that PCI alone uses: level-triggered, active low.
    Gsi(u32),
    /// An ISA line: of the 8259s, or where the MADT says of an I/O APIC.
    Isa(u8),
}

/// Who said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    Prt,
    /// By one of the board's lines, or past them.
    Board(Router, Option<Link>),
    LineRegister,
}

/// Where a pin leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lead {
    pub input: Input,
    pub by: Authority,
}

impl fmt::Display for Lead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.input {
            Input::Gsi(gsi) => write!(f, "GSI {gsi}")?,
            Input::Isa(irq) => write!(f, "ISA line {irq}")?,
        }
        match self.by {
            Authority::Prt => f.write_str(" by _PRT"),
            Authority::Board(_, Some(link)) => write!(f, " by {link}"),
            Authority::Board(_, None) => f.write_str(" by the chip's own wiring"),
            Authority::LineRegister => f.write_str(" by the interrupt-line register"),
        }
    }
}

/// Finds where a pin (0 is INTA#) of a function leads. Not in interrupt handlers.
pub fn lead(at: PciAddress, pin: u8, by_io_apic: bool) -> Option<Lead> {
    let (top, top_pin) = intx::at_root::<Machine>(at, pin)?;
    let by_prt = || {
        let input = static_gsi(top, top_pin).filter(|_| by_io_apic).map(Input::Gsi)?;
        Some(Lead { input, by: Authority::Prt })
    };
    let by_register = || {
        let irq = u8::try_from(pci::read(at, INTERRUPT_LINE, 1)).ok()?;
        // 0 is the timer's, and 255 says "none".
        (1..16).contains(&irq).then_some(Lead { input: Input::Isa(irq), by: Authority::LineRegister })
    };
    by_prt().or_else(|| by_board(top, top_pin, by_io_apic)).or_else(by_register)
}

/// By the board's wiring. Both boards have one segment, with one root bus.
fn by_board(top: PciAddress, pin: u8, by_io_apic: bool) -> Option<Lead> {
    let read = |device, function, offset, width| {
        pci::read(PciAddress { segment: 0, bus: 0, device, function }, offset, width)
    };
    if top.segment != 0 || top.bus != 0 {
        return None;
    }
    let router = Router::find(&read)?;
    if let Some(irq) = router.wired(top.device, top.function) {
        return Some(Lead { input: Input::Isa(irq), by: Authority::Board(router, None) });
    }
    let routes = router.device_routes(&read);
    let routes = routes.and_then(|phys| memory::map_device(phys, DIR_BYTES, Cache::Uncached).ok());
    let link = router.link(top.device, pin, &|offset| {
        // SAFETY: a register of the chipset that reading does not change, mapped uncached; `link` asks for even
        // offsets within the window.
        routes.map(|virt| unsafe { ((virt + offset) as *const u16).read_volatile() })
    });
    let gsi = router.gsi(link).filter(|_| by_io_apic).map(Input::Gsi);
    let input = gsi.or_else(|| router.irq(link, &read).map(Input::Isa))?;
    Some(Lead { input, by: Authority::Board(router, Some(link)) })
}

/// What a constant `_PRT` says of a pin on the root bus. Only one that is alone can be told to be that bus's: which
/// bridge a name of the byte code is, its methods would have to say.
fn static_gsi(top: PciAddress, pin: u8) -> Option<u32> {
    let tables = acpi::tables()?;
    let mut found = tables.aml().flat_map(|table| routings(table.body()));
    let (only, None) = (found.next()?, found.next()) else { return None };
    let Routing::Static(prt) = only.routing else { return None };
    match prt.find(top.device, top.function, pin)? {
        Source::Gsi(gsi) if top.segment == 0 && top.bus == 0 => Some(gsi),
        _ => None,
    }
}

/// Says once how PCI's lines are found.
pub fn report(lead: &Lead) {
    static SAID: AtomicBool = AtomicBool::new(false);
    if SAID.swap(true, Ordering::Relaxed) {
        return;
    }
    match lead.by {
        Authority::Prt => info!(target: "irq", "PCI lines by _PRT"),
        Authority::Board(router, _) => {
            info!(target: "irq", "PCI lines by {}: _PRT is no constant", router.name())
        }
        Authority::LineRegister => {
            warn!(target: "irq", "PCI lines by the interrupt-line register: nothing else knows")
        }
    }
}
