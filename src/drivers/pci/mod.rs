//! PCI: what is plugged in, and what it says of itself.
//!
//! [`walk`] finds every function, [`Function`] reads its header: ids, class, base addresses, interrupt pin. All of it
//! is configuration space as [`Platform`] gives it, so the host tests run the same lines on cards of their own making.
//! Nothing is written but, on request, the command register ([`Function::enable_memory`]).
//!
//! Source: PCI Local Bus 3.0 §6.1 to §6.2.5; PCI-to-PCI Bridge Architecture 1.2 §3.2; class codes: PCI Code and ID
//! Assignment Specification 1.11.

mod class;
#[cfg(test)]
mod tests;

pub use class::class_name;

use crate::platform::{PciAddress, Platform, pci_bus};
use core::fmt;
use core::ops::RangeInclusive;

/// Offsets in configuration space.
const COMMAND: u16 = 0x04;
const REVISION_CLASS: u16 = 0x08;
const HEADER_TYPE: u16 = 0x0E;
const FIRST_BAR: u16 = 0x10;
const INTERRUPT_PIN: u16 = 0x3D;
/// Bits of the command register: the function answers at its memory addresses, and pulls no interrupt pin.
const MEMORY: u32 = 1 << 1;
const NO_INTX: u32 = 1 << 10;

/// A function, with what never changes of its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    pub at: PciAddress,
    pub vendor: u16,
    pub device: u16,
    /// Base class, sub-class, programming interface.
    pub class: [u8; 3],
    pub revision: u8,
    /// 0 a device, 1 a bridge to PCI, 2 one to CardBus.
    pub header: u8,
}

/// A base address register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Which one; of a 64-bit one, the first half.
    pub index: u8,
    pub space: Space,
    /// 0: nobody has given it an address.
    pub address: u64,
}

/// Where a BAR is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    Port,
    Memory { is_64_bit: bool, is_prefetchable: bool },
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.space {
            Space::Port => write!(f, "BAR {}: port {:#x}", self.index, self.address),
            Space::Memory { is_64_bit, is_prefetchable } => {
                let bits = if is_64_bit { 64 } else { 32 };
                let prefetchable = if is_prefetchable { ", prefetchable" } else { "" };
                write!(f, "BAR {}: memory {:#x}, {bits}-bit{prefetchable}", self.index, self.address)
            }
        }
    }
}

impl Function {
    /// Reads a function's header; `None` if there is no such function.
    pub fn read<P: Platform>(at: PciAddress) -> Option<Self> {
        pci_bus::exists::<P>(at).then(|| {
            let ids = P::pci_read(at, 0, 4);
            let [revision, interface, sub, base] = P::pci_read(at, REVISION_CLASS, 4).to_le_bytes();
            let header = P::pci_read(at, HEADER_TYPE, 1) as u8 & 0x7F;
            let (vendor, device) = (ids as u16, (ids >> 16) as u16);
            Self { at, vendor, device, class: [base, sub, interface], revision, header }
        })
    }

    /// The pin that it pulls, 0 for INTA#; `None` if it has none.
    pub fn pin<P: Platform>(&self) -> Option<u8> {
        (P::pci_read(self.at, INTERRUPT_PIN, 1) as u8).checked_sub(1).filter(|&pin| pin < 4)
    }

    /// Its base addresses as they are now, those that are not there left out.
    pub fn bars<P: Platform>(&self) -> impl Iterator<Item = Bar> {
        let (at, count) = (self.at, [6, 2, 1].get(usize::from(self.header)).copied().unwrap_or(0));
        let raw = move |index: u8| P::pci_read(at, FIRST_BAR + 4 * u16::from(index), 4);
        let mut next = 0;
        core::iter::from_fn(move || {
            while next < count {
                let (index, low) = (next, raw(next));
                next += 1;
                if low == 0 || low == u32::MAX {
                    continue;
                }
                if low & 1 != 0 {
                    return Some(Bar { index, space: Space::Port, address: (low & !3).into() });
                }
                // Type 2; and there must be a register for the other half.
                let is_64_bit = low >> 1 & 3 == 2 && next < count;
                let high = if is_64_bit { raw(next) } else { 0 };
                next += u8::from(is_64_bit);
                let address = u64::from(high) << 32 | u64::from(low & !0xF);
                return Some(Bar {
                    index,
                    space: Space::Memory { is_64_bit, is_prefetchable: low & 8 != 0 },
                    address,
                });
            }
            None
        })
    }

    /// The buses behind it, if it is a bridge to PCI with bus numbers that make sense.
    pub fn buses_behind<P: Platform>(&self) -> Option<RangeInclusive<u8>> {
        pci_bus::buses_behind::<P>(self.at)
    }

    /// Lets the function answer at its memory addresses, and the bridges above pass them on: firmware may leave that
    /// off for a device that it has no driver for. Lets its interrupt pin through, too.
    pub fn enable_memory<P: Platform>(&self) {
        let command = P::pci_read(self.at, COMMAND, 2);
        P::pci_write(self.at, COMMAND, 2, command & !NO_INTX | MEMORY);
        let Some(root) = pci_bus::root_bus::<P>(self.at.segment) else { return };
        let mut bus = self.at.bus;
        while bus != root {
            let Some(bridge) = pci_bus::bridge_to::<P>(self.at.segment, root, bus) else { return };
            let command = P::pci_read(bridge, COMMAND, 2);
            P::pci_write(bridge, COMMAND, 2, command | MEMORY);
            bus = bridge.bus;
        }
    }
}

/// Visits every function that can be reached from the root buses, in address order within a segment.
///
/// A bus is looked at once, however many bridges claim to lead to it, and a bridge leads to buses with higher numbers
/// alone: 256 buses a segment is the most that this can take, whatever the bridges say.
pub fn walk<P: Platform>(visit: &mut dyn FnMut(Function)) {
    for (segment, root) in (0..).map_while(P::pci_root) {
        // Buses that are still to be looked at. Each turn takes the lowest, and adds higher ones only.
        let mut to_see = [0u64; 4];
        let add = |to_see: &mut [u64; 4], bus: u8| to_see[usize::from(bus / 64)] |= 1 << (bus % 64);
        add(&mut to_see, root);
        while let Some(word) = to_see.iter().position(|&word| word != 0) {
            let bus = (word as u32 * 64 + to_see[word].trailing_zeros()) as u8;
            to_see[word] &= to_see[word] - 1;
            for at in pci_bus::functions::<P>(segment, bus) {
                let Some(function) = Function::read::<P>(at) else { continue };
                if let Some(behind) = function.buses_behind::<P>() {
                    add(&mut to_see, *behind.start());
                }
                visit(function);
            }
        }
    }
}

/// The first function with these ids.
pub fn find<P: Platform>(vendor: u16, device: u16) -> Option<Function> {
    let mut found = None;
    walk::<P>(&mut |function| {
        if (function.vendor, function.device) == (vendor, device) && found.is_none() {
            found = Some(function);
        }
    });
    found
}
