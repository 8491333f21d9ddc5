//! The walk and the header, on cards of our own making.

use super::*;
use crate::platform::host::{Exclusive, Host};
use crate::testing::Random;

const fn at(bus: u8, device: u8, function: u8) -> PciAddress {
    PciAddress { segment: 0, bus, device, function }
}

/// A card: ids 1234:0001 and a header type.
fn card(header: u8) -> [u8; 256] {
    let mut config = [0; 256];
    config[..4].copy_from_slice(&[0x34, 0x12, 0x01, 0x00]);
    config[0x0E] = header;
    config
}

fn bridge(primary: u8, secondary: u8, subordinate: u8) -> [u8; 256] {
    let mut config = card(1);
    config[0x18..0x1B].copy_from_slice(&[primary, secondary, subordinate]);
    config
}

fn walked() -> Vec<PciAddress> {
    let mut found = vec![];
    walk::<Host>(&mut |function| found.push(function.at));
    found
}

#[test]
fn a_machine_in_address_order() {
    let host = Host::exclusive();
    assert_eq!(walked(), []);
    // The bridge with the higher bus stands first.
    host.plug(at(0, 1, 0), bridge(0, 5, 6));
    host.plug(at(0, 2, 0), bridge(0, 3, 4));
    host.plug(at(0, 31, 0), card(0x80));
    host.plug(at(0, 31, 7), card(0));
    host.plug(at(5, 0, 0), bridge(5, 6, 6));
    host.plug(at(6, 9, 0), card(0));
    host.plug(at(3, 0, 0), card(0));
    host.plug(at(4, 0, 0), card(0)); // no bridge leads there
    host.plug(at(6, 10, 3), card(0)); // no function 0
    let expected =
        [at(0, 1, 0), at(0, 2, 0), at(0, 31, 0), at(0, 31, 7), at(3, 0, 0), at(5, 0, 0), at(6, 9, 0)];
    assert_eq!(walked(), expected);
    assert_eq!(find::<Host>(0x1234, 1).map(|found| found.at), Some(at(0, 1, 0)));
    assert_eq!(find::<Host>(0x1234, 2), None);
}

/// Bridges to their own bus, to each other, upwards, and twice to the same: each function is visited once.
#[test]
fn loops_among_bridges() {
    let host = Host::exclusive();
    host.plug(at(0, 1, 0), bridge(0, 0, 255));
    host.plug(at(0, 2, 0), bridge(0, 1, 255));
    host.plug(at(0, 3, 0), bridge(0, 1, 1));
    host.plug(at(0, 4, 0), bridge(0, 9, 8));
    host.plug(at(1, 0, 0), bridge(1, 0, 255));
    host.plug(at(1, 1, 0), bridge(1, 1, 255));
    host.plug(at(1, 2, 0), bridge(1, 255, 255));
    host.plug(at(255, 0, 0), bridge(255, 255, 255));
    host.plug(at(9, 0, 0), card(0));
    let expected = [
        at(0, 1, 0),
        at(0, 2, 0),
        at(0, 3, 0),
        at(0, 4, 0),
        at(1, 0, 0),
        at(1, 1, 0),
        at(1, 2, 0),
        at(255, 0, 0),
    ];
    assert_eq!(walked(), expected);
}

#[test]
fn any_bytes_in_the_headers() {
    let mut random = Random::new(3);
    for _ in 0..200 {
        let host = Host::exclusive();
        for _ in 0..20 {
            let mut config = [0; 256];
            config.iter_mut().for_each(|byte| *byte = random.byte());
            config[0x0E] = random.pick(&[0, 1, 0x80, 0x81, 2, 0xFF]);
            config[0x19] = random.below(12) as u8;
            host.plug(at(random.below(10) as u8, random.below(32) as u8, random.below(2) as u8), config);
        }
        let mut last = None;
        walk::<Host>(&mut |function| {
            assert!(last < Some(function.at), "{last:?}, then {}", function.at);
            last = Some(function.at);
            assert!(function.bars::<Host>().count() <= 6);
            assert!(function.pin::<Host>().is_none_or(|pin| pin < 4));
            function.enable_memory::<Host>();
        });
    }
}

fn plugged(host: &Exclusive, config: [u8; 256]) -> Function {
    host.plug(at(0, 7, 0), config);
    Function::read::<Host>(at(0, 7, 0)).unwrap()
}

#[test]
fn headers() {
    let host = Host::exclusive();
    let mut config = card(0x80);
    config[8..12].copy_from_slice(&[0x05, 0x30, 0x03, 0x0C]);
    config[0x3D] = 3;
    let found = plugged(&host, config);
    let expected = Function {
        at: at(0, 7, 0),
        vendor: 0x1234,
        device: 1,
        class: [0x0C, 0x03, 0x30],
        revision: 5,
        header: 0,
    };
    assert_eq!(found, expected);
    assert_eq!((found.pin::<Host>(), class_name(found.class)), (Some(2), "USB, xHCI"));
    for (register, pin) in [(0, None), (1, Some(0)), (4, Some(3)), (5, None), (0xFF, None)] {
        config[0x3D] = register;
        assert_eq!(plugged(&host, config).pin::<Host>(), pin);
    }
    assert_eq!(Function::read::<Host>(at(0, 8, 0)), None);
}

#[test]
fn base_addresses() {
    let host = Host::exclusive();
    let bars = |header, registers: &[u32]| {
        let mut config = card(header);
        for (at, value) in registers.iter().enumerate() {
            config[0x10 + 4 * at..][..4].copy_from_slice(&value.to_le_bytes());
        }
        plugged(&host, config).bars::<Host>().map(|bar| bar.to_string()).collect::<Vec<_>>()
    };
    let all = bars(0, &[0xC001, 0, 0xFEBF_000C, 0x12, 0xE000_0008, 0x8000_0000]);
    let expected = [
        "BAR 0: port 0xc000",
        "BAR 2: memory 0x12febf0000, 64-bit, prefetchable",
        "BAR 4: memory 0xe0000000, 32-bit, prefetchable",
        "BAR 5: memory 0x80000000, 32-bit",
    ];
    assert_eq!(all, expected);
    assert_eq!(
        bars(1, &[0x1001, 0xE000_0004, 0xFFFF_FFF1]),
        ["BAR 0: port 0x1000", "BAR 1: memory 0xe0000000, 32-bit"]
    );
    assert_eq!(
        bars(0, &[0, 0, 0, 0, 0, 0x1004]),
        ["BAR 5: memory 0x1000, 32-bit"],
        "no room for the other half"
    );
    assert_eq!(bars(0x7F, &[0x1001]), <[&str; 0]>::default());
}

#[test]
fn memory_is_enabled_all_the_way_up() {
    let host = Host::exclusive();
    host.plug(at(0, 3, 0), bridge(0, 1, 2));
    host.plug(at(1, 0, 0), bridge(1, 2, 2));
    let mut config = card(0);
    config[4..6].copy_from_slice(&[0x04, 0x04]);
    host.plug(at(2, 9, 0), config);
    host.plug(at(2, 10, 0), card(0));
    Function::read::<Host>(at(2, 9, 0)).unwrap().enable_memory::<Host>();
    let command = |place| Host::pci_read(place, 4, 2);
    assert_eq!([at(2, 9, 0), at(1, 0, 0), at(0, 3, 0)].map(command), [6, 2, 2]);
    assert_eq!(command(at(2, 10, 0)), 0);
}
