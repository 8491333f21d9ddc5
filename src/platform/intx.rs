//! INTx behind bridges: which pin of which device on the root bus a function's pin becomes.
//!
//! ```text
//! bus 2    device 5, INTB# ─┐ (5 + 1) % 4 = INTC#
//!                           ▼
//! bus 1    bridge, device 2 ─┐ (2 + 2) % 4 = INTA#
//!                            ▼
//! bus 0    bridge, device 3   its INTA#: from here on it is the board's business
//! ```
//!
//! A bridge passes the pins of the slots behind it on to its own four, each slot turned by its number, so that the
//! INTA# of four single cards are four lines. That is the specification's, also for the virtual wires of PCI Express.
//!
//! Source: PCI-to-PCI Bridge Architecture 1.2 §9.1, table 9-1; PCI Express Base 5.0 §2.2.8.1, table 2-19.

use super::{PciAddress, Platform, pci_bus};

/// The function on the root bus, and its pin, that `pin` (0 is INTA#) of the function at `at` arrives at. `None` if no
/// chain of bridges leads there.
pub fn at_root<P: Platform>(mut at: PciAddress, mut pin: u8) -> Option<(PciAddress, u8)> {
    let root = pci_bus::root_bus::<P>(at.segment)?;
    // A bridge is on a bus with a lower number than what is behind it.
    while at.bus != root {
        pin = (pin & 3).wrapping_add(at.device) & 3;
        at = pci_bus::bridge_to::<P>(at.segment, root, at.bus)?;
    }
    Some((at, pin & 3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::host::{Exclusive, Host};
    use crate::testing::Random;

    const fn at(bus: u8, device: u8, function: u8) -> PciAddress {
        PciAddress { segment: 0, bus, device, function }
    }

    fn plug(host: &Exclusive, place: PciAddress, header: u8, buses: [u8; 3]) {
        let mut config = [0; 256];
        config[0] = 0x34;
        config[0x0E] = header;
        config[0x18..0x1B].copy_from_slice(&buses);
        host.plug(place, config);
    }

    /// The picture above.
    #[test]
    fn through_two_bridges() {
        let host = Host::exclusive();
        plug(&host, at(0, 3, 0), 1, [0, 1, 2]);
        plug(&host, at(1, 2, 0), 1, [1, 2, 2]);
        plug(&host, at(2, 5, 0), 0x80, [0; 3]);
        plug(&host, at(2, 5, 6), 0, [0; 3]);
        for pin in 0..4 {
            assert_eq!(at_root::<Host>(at(2, 5, 0), pin), Some((at(0, 3, 0), (5 + 2 + pin) % 4)));
            assert_eq!(at_root::<Host>(at(2, 5, 6), pin), at_root::<Host>(at(2, 5, 0), pin));
            assert_eq!(at_root::<Host>(at(1, 2, 0), pin), Some((at(0, 3, 0), (2 + pin) % 4)));
            assert_eq!(at_root::<Host>(at(0, 9, 1), pin), Some((at(0, 9, 1), pin)));
        }
        assert_eq!(at_root::<Host>(at(3, 0, 0), 0), None, "no bridge leads there");
        assert_eq!(at_root::<Host>(PciAddress { segment: 7, ..at(0, 0, 0) }, 0), None);
    }

    #[test]
    fn one_bus_in_order() {
        let host = Host::exclusive();
        plug(&host, at(0, 4, 0), 0x80, [0; 3]);
        plug(&host, at(0, 4, 3), 0, [0; 3]);
        plug(&host, at(0, 1, 0), 0, [0; 3]);
        plug(&host, at(0, 1, 5), 0, [0; 3]); // function 0 says that there is none
        plug(&host, at(0, 2, 1), 0, [0; 3]); // no function 0
        plug(&host, at(0, 31, 0), 0, [0; 3]);
        let found: Vec<_> = pci_bus::functions::<Host>(0, 0).collect();
        assert_eq!(found, [at(0, 1, 0), at(0, 4, 0), at(0, 4, 3), at(0, 31, 0)]);
    }

    /// Bridges with any bus numbers whatever, to themselves and upwards: an answer comes.
    #[test]
    fn bridges_that_lie() {
        let mut random = Random::new(9);
        for _ in 0..300 {
            let host = Host::exclusive();
            for _ in 0..12 {
                let place = at(random.below(6) as u8, random.below(32) as u8, 0);
                plug(&host, place, 1, core::array::from_fn(|_| random.below(7) as u8));
            }
            for bus in 0..8 {
                if let Some((root, pin)) = at_root::<Host>(at(bus, 1, 0), 3) {
                    assert!(root.bus == 0 && pin < 4);
                }
            }
        }
    }
}
