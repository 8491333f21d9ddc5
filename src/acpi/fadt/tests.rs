//! Made-up FADTs of every length; the real ones are in `dumps.rs`.

use super::super::sdt::made;
use super::*;

/// A table of `length` bytes with everything in it, the new fields different from the old.
fn bytes(revision: u8, length: usize) -> Vec<u8> {
    let mut raw = vec![0; 276];
    let mut put = |at: usize, bytes: &[u8]| raw[at..at + bytes.len()].copy_from_slice(bytes);
    put(36, &0x7000_1000u32.to_le_bytes());
    put(40, &0x7000_2000u32.to_le_bytes());
    put(45, &[4, 9, 0, 0xB2, 0, 0, 0, 0xA0, 0xA1]);
    for (n, port) in [0x600u32, 0x680, 0x604, 0x684, 0x650, 0x608, 0x620, 0x6A0].into_iter().enumerate() {
        put(56 + 4 * n, &port.to_le_bytes());
    }
    put(88, &[4, 2, 1, 4, 16, 8, 32]);
    put(108, &[0x32, 0x03, 0x00]);
    put(112, &(1u32 << 10 | 1 << 8 | 1 << 20).to_le_bytes());
    let gas = |space: u8, bits: u8, address: u64| [&[space, bits, 0, 0][..], &address.to_le_bytes()].concat();
    put(116, &gas(1, 8, 0xCF9));
    put(128, &[6, 0, 0, 5]);
    put(132, &0x1_7000_1000u64.to_le_bytes());
    put(140, &0x1_7000_2000u64.to_le_bytes());
    for (n, (bits, address)) in
        [(32, 0x800), (32, 0x880), (16, 0x804), (16, 0x884), (8, 0x850), (32, 0x808)].into_iter().enumerate()
    {
        put(148 + 12 * n, &gas(1, bits, address));
    }
    put(220, &gas(0, 128, 0xFED8_0000));
    put(232, &gas(1, 64, 0x8A0));
    put(244, &gas(0, 8, 0xFED8_0100));
    put(256, &gas(0, 8, 0xFED8_0104));
    made(Signature::FADT, revision, &raw[36..length])
}

fn changed(revision: u8, length: usize, change: impl FnOnce(&mut [u8])) -> Fadt {
    let mut raw = bytes(revision, length);
    change(&mut raw);
    super::super::sdt::set_checksum(&mut raw);
    Fadt::parse(&Table::parse(&raw, 0).unwrap()).unwrap()
}

fn fadt(revision: u8, length: usize) -> Fadt {
    changed(revision, length, |_| {})
}

fn address(block: Option<Block>) -> u64 {
    block.map_or(0, |block| block.register.address)
}

#[test]
fn the_oldest() {
    let fadt = fadt(1, 116);
    assert_eq!((fadt.facs, fadt.dsdt), (0x7000_1000, 0x7000_2000));
    assert_eq!((fadt.preferred_profile, fadt.sci_int, fadt.smi_cmd), (4, 9, 0xB2));
    assert_eq!((fadt.acpi_enable, fadt.acpi_disable, fadt.century), (0xA0, 0xA1, 0x32));
    let blocks = [
        fadt.pm1a_event,
        fadt.pm1b_event,
        fadt.pm1a_control,
        fadt.pm1b_control,
        fadt.pm2_control,
        fadt.gpe0,
        fadt.gpe1,
    ];
    assert_eq!(blocks.map(address), [0x600, 0x680, 0x604, 0x684, 0x650, 0x620, 0x6A0]);
    assert_eq!(blocks.map(|block| block.unwrap().len), [4, 4, 2, 2, 1, 16, 8]);
    assert_eq!(fadt.pm1a_event.unwrap().second_half(), 0x602);
    let timer = fadt.pm_timer.unwrap();
    assert_eq!((timer.register.port(), timer.is_32_bit), (Some(0x608), true));
    assert_eq!((fadt.boot_arch, fadt.has_8042()), (None, true));
    assert_eq!((fadt.reset, fadt.sleep_control, fadt.sleep_status), (None, None, None));
    assert!(!fadt.is_hw_reduced(), "reserved then");
    assert_eq!(fadt.minor_revision, 0);
    assert_eq!(fadt.gpe1_base, 32);
}

#[test]
fn the_newest() {
    let fadt = fadt(6, 276);
    assert_eq!((fadt.facs, fadt.dsdt), (0x1_7000_1000, 0x1_7000_2000));
    let blocks = [
        fadt.pm1a_event,
        fadt.pm1b_event,
        fadt.pm1a_control,
        fadt.pm1b_control,
        fadt.pm2_control,
        fadt.gpe0,
        fadt.gpe1,
    ];
    assert_eq!(blocks.map(address), [0x800, 0x880, 0x804, 0x884, 0x850, 0xFED8_0000, 0x8A0]);
    assert_eq!(fadt.gpe0.unwrap().register.space, Space::Memory);
    assert_eq!(fadt.pm_timer.unwrap().register.port(), Some(0x808));
    assert_eq!(fadt.boot_arch, Some(BootArch::LEGACY_DEVICES | BootArch::HAS_8042));
    let reset = fadt.reset.unwrap();
    assert_eq!((reset.register.port(), reset.value), (Some(0xCF9), 6));
    assert_eq!(fadt.sleep_control.unwrap().address, 0xFED8_0100);
    assert_eq!(fadt.sleep_status.unwrap().address, 0xFED8_0104);
    assert!(fadt.is_hw_reduced() && !fadt.has_power_button());
    assert_eq!((fadt.revision, fadt.minor_revision, fadt.length), (6, 5, 276));
}

/// Each field comes with its last byte, at whatever length a table stops.
#[test]
fn every_length() {
    for length in 116..=276 {
        let fadt = fadt(5, length);
        let has = |end| length >= end;
        assert_eq!(fadt.length, length);
        assert_eq!(fadt.reset.is_some(), has(129), "{length}");
        assert_eq!(fadt.facs > u32::MAX.into(), has(140), "{length}");
        assert_eq!(fadt.dsdt > u32::MAX.into(), has(148), "{length}");
        assert_eq!(address(fadt.pm1a_event) == 0x800, has(160), "{length}");
        assert_eq!(address(fadt.pm1b_control) == 0x884, has(196), "{length}");
        assert_eq!(fadt.pm_timer.unwrap().register.address == 0x808, has(220), "{length}");
        assert_eq!(fadt.sleep_control.is_some(), has(256), "{length}");
        assert_eq!(fadt.sleep_status.is_some(), has(268), "{length}");
    }
    let raw = bytes(1, 115);
    let short = TableError::Short { length: 115, needed: 116 };
    assert_eq!(Fadt::parse(&Table::parse(&raw, 0).unwrap()), Err(short));
}

#[test]
fn the_new_field_only_where_it_makes_sense() {
    let with = |at: usize, byte: u8| changed(6, 276, |raw| raw[at] = byte);
    let zero = changed(6, 276, |raw| {
        raw[132..148].fill(0);
        raw[148..244].fill(0);
    });
    assert_eq!((zero.facs, zero.dsdt), (0x7000_1000, 0x7000_2000));
    assert_eq!((address(zero.pm1a_event), address(zero.pm1b_control)), (0x600, 0x684));
    assert_eq!(zero.pm_timer.unwrap().register.address, 0x608);
    assert_eq!(address(with(148, 0x7F).pm1a_event), 0x600, "a space that nobody can reach");
    assert_eq!(address(with(154, 1).pm1a_event), 0x600, "no port");
    let wide = with(149, 255).pm1a_event.unwrap();
    assert_eq!((wide.register.address, wide.len), (0x800, 4), "the width does not count");
}

#[test]
fn lengths_of_blocks() {
    let none = changed(1, 116, |raw| raw[88..94].fill(0));
    assert_eq!((none.pm1a_event, none.pm1a_control, none.gpe0), (None, None, None));
    assert_eq!(none.pm_timer, None);
    let by_width = changed(6, 276, |raw| raw[88..94].fill(0));
    assert_eq!(by_width.pm1a_event.unwrap().len, 4);
    assert_eq!(by_width.pm1a_control.unwrap().len, 2);
    assert_eq!(by_width.pm_timer, None);
    let short = changed(1, 116, |raw| raw[88..90].copy_from_slice(&[3, 1]));
    assert_eq!((short.pm1a_event, short.pm1a_control), (None, None));
    let past = changed(1, 116, |raw| raw[56..60].copy_from_slice(&0xFFFEu32.to_le_bytes()));
    assert_eq!(past.pm1a_event, None, "beyond the last port");
}

#[test]
fn reset_registers() {
    let reset = |change: fn(&mut [u8])| changed(3, 244, change).reset;
    assert!(reset(|_| {}).is_some());
    assert_eq!(reset(|raw| raw[113] &= !4), None, "RESET_REG_SUP clear");
    assert_eq!(reset(|raw| raw[116] = 0x7F), None, "fixed hardware");
    assert_eq!(reset(|raw| raw[120..128].fill(0)), None, "no address");
    assert!(reset(|raw| raw[116] = 0).is_some(), "memory");
    let pci = reset(|raw| {
        raw[116] = 2;
        raw[120..128].copy_from_slice(&0x1F_0000_00ACu64.to_le_bytes());
    });
    assert_eq!(pci.unwrap().register.pci().unwrap().device, 31);
    assert_eq!(reset(|raw| raw[116..127].copy_from_slice(&[2; 11])), None, "no such device");
}

#[test]
fn boot_architecture() {
    let with = |revision, low| changed(revision, 244, |raw| raw[109] = low);
    assert!(with(1, 0).has_8042() && with(2, 0).has_8042());
    assert!(!with(3, 0x3D).has_8042() && with(3, 2).has_8042());
    assert!(with(4, 0x20).boot_arch.unwrap().contains(BootArch::NO_CMOS_RTC));
}
