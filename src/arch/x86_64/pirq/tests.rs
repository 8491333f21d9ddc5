//! The routers against models of the bridges' registers, and against the tables that the boards' firmware has.

use super::*;
use std::collections::HashMap;

/// Bus 0: bytes by (device, offset), function 0 each; ones elsewhere.
#[derive(Default)]
struct Bus(HashMap<(u8, u16), u8>);

impl Bus {
    fn set(&mut self, device: u8, offset: u16, bytes: &[u8]) {
        for (at, &byte) in (offset..).zip(bytes) {
            self.0.insert((device, at), byte);
        }
    }

    fn read(&self, device: u8, function: u8, offset: u16, width: u8) -> u32 {
        assert_eq!(function, 0);
        let byte = |n| self.0.get(&(device, offset + n)).copied().unwrap_or(0xFF);
        (0..u16::from(width)).rev().fold(0, |value, n| value << 8 | u32::from(byte(n)))
    }
}

fn q35() -> Bus {
    let mut bus = Bus::default();
    bus.set(0, 0, &[0x86, 0x80, 0xC0, 0x29]);
    bus.set(31, 0, &[0x86, 0x80, 0x18, 0x29]);
    bus.set(31, 0x60, &[10, 11, 0x80, 0x85]);
    bus.set(31, 0x68, &[5, 9, 8, 15]);
    bus.set(31, 0xF0, &[0x01, 0xC0, 0xD1, 0xFE]);
    bus
}

fn pc(isa: u8, id: [u8; 2]) -> Bus {
    let mut bus = Bus::default();
    bus.set(0, 0, &[0x86, 0x80, 0x37, 0x12]);
    bus.set(isa, 0, &[0x86, 0x80, id[0], id[1]]);
    bus.set(isa, 0x60, &[11, 10, 0x80, 2]);
    bus
}

const NO_DIR: &dyn Fn(u64) -> Option<u16> = &|_| None;

#[test]
fn boards_are_told_by_their_bridges() {
    let find = |bus: &Bus| Router::find(&|d, f, o, w| bus.read(d, f, o, w));
    assert_eq!(find(&q35()), Some(Router::Ich9));
    assert_eq!(find(&pc(1, [0x00, 0x70])), Some(Router::Piix { isa: 1 }));
    assert_eq!(find(&pc(7, [0x10, 0x71])), Some(Router::Piix { isa: 7 }));
    assert_eq!(find(&pc(1, [0x18, 0x29])), None, "an ICH9 does not go with an i440FX");
    assert_eq!(find(&Bus::default()), None);
    let mut without = q35();
    without.set(31, 2, &[0, 0]);
    assert_eq!(find(&without), None, "another LPC bridge");
}

#[test]
fn piix_slots_turn_by_one() {
    let bus = pc(1, [0x00, 0x70]);
    let read: Read<'_> = &|d, f, o, w| bus.read(d, f, o, w);
    let router = Router::find(read).unwrap();
    let name = |device, pin| router.link(device, pin, NO_DIR).to_string();
    assert_eq!([name(1, 0), name(1, 3), name(2, 0), name(3, 2)], ["PIRQA", "PIRQD", "PIRQB", "PIRQA"]);
    assert_eq!(name(0, 0), "PIRQD");
    let irq = |device| router.irq(router.link(device, 0, NO_DIR), read);
    // 2 is the cascade: what a register says of it cannot be meant.
    assert_eq!([irq(1), irq(2), irq(3), irq(4)], [Some(11), Some(10), None, None]);
    assert_eq!(router.gsi(router.link(1, 0, NO_DIR)), None);
    assert_eq!(router.device_routes(read), None);
    assert_eq!([router.wired(1, 3), router.wired(1, 2), router.wired(2, 3)], [Some(9), None, None]);
}

#[test]
fn ich9_routes() {
    let bus = q35();
    let read: Read<'_> = &|d, f, o, w| bus.read(d, f, o, w);
    let router = Router::find(read).unwrap();
    assert_eq!(router.device_routes(read), Some(0xFED1_C000 + 0x3140));
    let name = |device, pin| router.link(device, pin, NO_DIR).to_string();
    assert_eq!([name(0, 0), name(3, 0), name(24, 3)], ["PIRQE", "PIRQH", "PIRQH"]);
    assert_eq!([name(30, 0), name(30, 3)], ["PIRQE", "PIRQH"]);
    assert_eq!([name(31, 0), name(25, 2)], ["PIRQA", "PIRQC"]);
    let links = [0, 1, 2, 3].map(|pin| router.link(31, pin, NO_DIR));
    assert_eq!(links.map(|link| router.irq(link, read)), [Some(10), Some(11), None, None]);
    let links = [0, 1, 2, 3].map(|pin| router.link(0, pin, NO_DIR));
    assert_eq!(links.map(|link| router.irq(link, read)), [Some(5), Some(9), None, Some(15)]);
    assert_eq!(links.map(|link| router.gsi(link)), [20, 21, 22, 23].map(Some));
    assert_eq!(router.wired(31, 3), None);
}

#[test]
fn ich9_device_registers_are_obeyed() {
    // D31IR, D29IR, D28IR, D27IR, D26IR, D25IR.
    let values =
        HashMap::from([(0, 0x4567), (4, 0x0123), (6, 0x7777), (8, 0x3210), (12, 0xFFFF), (16, 0x8008)]);
    let dir: &dyn Fn(u64) -> Option<u16> = &|offset| values.get(&offset).copied();
    let names = |device| [0, 1, 2, 3].map(|pin| Router::Ich9.link(device, pin, dir).0);
    assert_eq!(names(31), [7, 6, 5, 4]);
    assert_eq!(names(29), [3, 2, 1, 0]);
    assert_eq!(names(28), [7; 4]);
    assert_eq!(names(27), [0, 1, 2, 3]);
    assert_eq!(names(26), [7; 4], "the reserved bit does not count");
    assert_eq!(names(25), [0; 4]);
    assert_eq!(values.keys().filter(|&&at| at + 2 <= DIR_BYTES).count(), values.len());
}

/// A window that is turned off, or no window at all.
#[test]
fn no_root_complex() {
    let mut bus = q35();
    bus.set(31, 0xF0, &[0x00]);
    assert_eq!(Router::Ich9.device_routes(&|d, f, o, w| bus.read(d, f, o, w)), None);
    bus.set(31, 0xF0, &[0xFF; 4]);
    assert_eq!(Router::Ich9.device_routes(&|d, f, o, w| bus.read(d, f, o, w)), None);
}

/// Any device and pin whatever lead to a line that there is.
#[test]
fn nothing_leads_outside() {
    for (router, lines) in [(Router::Ich9, 8), (Router::Piix { isa: 1 }, 4)] {
        for (device, pin) in (0..=255).flat_map(|device| (0..=255).map(move |pin| (device, pin))) {
            assert!(router.link(device, pin, &|_| Some(0xFFFF)).0 < lines);
        }
    }
}
