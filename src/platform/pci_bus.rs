//! One PCI bus, over any [`Platform`]: which functions are on it, and which of them are bridges to another one.
//!
//! The least that finding an interrupt's way needs (`intx`); what a device is and can do, `drivers::pci` reads.
//!
//! Source: PCI Local Bus 3.0 §3.2.2.3.4 (function 0 and the multi-function bit), §6.1; PCI-to-PCI Bridge
//! Architecture 1.2 §3.2.5 (bus numbers).

use super::{PciAddress, Platform};
use core::ops::RangeInclusive;

/// Offsets in configuration space.
const ID: u16 = 0x00;
const HEADER_TYPE: u16 = 0x0E;
const SECONDARY_BUS: u16 = 0x19;
const SUBORDINATE_BUS: u16 = 0x1A;
/// In the header type: there are functions 1 to 7, too.
const MULTI_FUNCTION: u32 = 1 << 7;
/// The header of a bridge to another PCI bus.
const BRIDGE: u32 = 1;

/// Whether a function is there.
pub fn exists<P: Platform>(at: PciAddress) -> bool {
    // A vendor of ones is nobody's; one of zeros occurs where nobody answers, on broken machines.
    !matches!(P::pci_read(at, ID, 2), 0xFFFF | 0)
}

/// The functions on a bus, in address order. Function 0 is asked first: without it there is no device, and whether
/// there are others its header says.
pub fn functions<P: Platform>(segment: u16, bus: u8) -> impl Iterator<Item = PciAddress> {
    (0..32u8).flat_map(move |device| {
        let first = PciAddress { segment, bus, device, function: 0 };
        let count = match exists::<P>(first) {
            false => 0,
            true if P::pci_read(first, HEADER_TYPE, 1) & MULTI_FUNCTION != 0 => 8,
            true => 1,
        };
        let all = (0..count).map(move |function| PciAddress { function, ..first });
        all.filter(|&at| at.function == 0 || exists::<P>(at))
    })
}

/// The buses behind a function: the one right behind it, and the last. `None` if it is no bridge, or if its numbers
/// make no sense. Since what is behind a bridge has a higher number than the bridge's own bus, no walk along
/// bridges goes round in circles, whatever their registers say.
pub fn buses_behind<P: Platform>(at: PciAddress) -> Option<RangeInclusive<u8>> {
    if P::pci_read(at, HEADER_TYPE, 1) & !MULTI_FUNCTION != BRIDGE {
        return None;
    }
    let [secondary, subordinate] = [SECONDARY_BUS, SUBORDINATE_BUS].map(|at_| P::pci_read(at, at_, 1) as u8);
    (at.bus < secondary && secondary <= subordinate).then_some(secondary..=subordinate)
}

/// The bridge that a bus is right behind, looked for from the root bus on.
pub fn bridge_to<P: Platform>(segment: u16, root: u8, bus: u8) -> Option<PciAddress> {
    let mut above = root;
    // Each turn is on a bus with a higher number.
    while above < bus {
        let (bridge, behind) = functions::<P>(segment, above)
            .filter_map(|at| Some((at, buses_behind::<P>(at)?)))
            .find(|(_, behind)| behind.contains(&bus))?;
        if *behind.start() == bus {
            return Some(bridge);
        }
        above = *behind.start();
    }
    None
}

/// The first bus of a segment.
pub fn root_bus<P: Platform>(segment: u16) -> Option<u8> {
    (0..).map_while(P::pci_root).find(|root| root.0 == segment).map(|root| root.1)
}
