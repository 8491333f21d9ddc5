//! The tables that virtual machines' firmware leaves in memory, decoded; `test/data/acpi/dump.py` made the dumps.
//!
//! What is expected here was read off the machine's configuration or from `iasl -d`, not from our own output.

use std::collections::HashSet;

use super::aml::prt::{Definition, Source};
use super::aml::{Routing, SleepType, routings, sleep_type};
use super::fadt::Fadt;
use super::hpet::Hpet;
use super::madt::{Cpu, Entry, Madt, Route};
use super::mcfg::Mcfg;
use super::memory::PhysicalMemory;
use super::rsdp::{self, Rsdp};
use super::sdt::{Signature, Table, TableError};
use super::slit::Slit;
use super::srat::{Affinity, Srat};
use super::tables::Tables;
use crate::arch::x86_64::line::{Polarity, Trigger};

/// One machine's tables: runs of bytes and their physical addresses, the root pointer first.
pub struct Dump {
    pub name: &'static str,
    pub records: Vec<(u64, Vec<u8>)>,
}

impl PhysicalMemory for Dump {
    fn read(&self, phys: u64, len: usize) -> Option<&[u8]> {
        self.records.iter().find_map(|(start, bytes)| {
            let at = usize::try_from(phys.checked_sub(*start)?).ok()?;
            bytes.get(at..at.checked_add(len)?)
        })
    }
}

impl Dump {
    pub fn rsdp(&self) -> u64 {
        self.records[0].0
    }

    fn tables(&self) -> Tables<'_, Self> {
        Tables::read(self, self.rsdp()).unwrap()
    }
}

macro_rules! dumps {
    ($($name:literal)*) => {
        /// All dumps.
        pub fn all() -> Vec<Dump> {
            vec![$(Dump {
                name: $name,
                records: records(include_bytes!(concat!("../../test/data/acpi/", $name, ".dump"))),
            }),*]
        }
    };
}

dumps!("pc-1" "pc-4" "pc-64" "q35-1" "q35-4" "q35-64" "q35-288" "pc-ovmf" "q35-ovmf" "q35-ovmf-4m" "q35-numa"
    "pc-nohpet" "microvm" "bochs");

fn records(mut file: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut records = vec![];
    while let Some((head, rest)) = file.split_first_chunk::<12>() {
        let address = u64::from_le_bytes(*head.first_chunk().unwrap());
        let len = u32::from_le_bytes(*head.last_chunk().unwrap()) as usize;
        records.push((address, rest[..len].to_vec()));
        file = &rest[len..];
    }
    records
}

fn dump(name: &str) -> Dump {
    all().into_iter().find(|dump| dump.name == name).unwrap()
}

#[test]
fn every_table_is_good() {
    for dump in all() {
        let tables = dump.tables();
        assert_eq!((tables.bad_count(), tables.left_out()), (0, 0), "{}", dump.name);
        assert_eq!((tables.xsdt_error(), tables.rsdp().defect), (None, None));
        let signatures: Vec<_> = tables.iter().map(|table| table.signature().to_string()).collect();
        for needed in ["FACP", "APIC"] {
            assert!(signatures.iter().any(|found| found == needed), "{}: {signatures:?}", dump.name);
        }
        assert!(tables.dsdt().is_ok());
        let expected = if tables.rsdp().xsdt != 0 { Signature::XSDT } else { Signature::RSDT };
        assert_eq!(tables.root().signature(), expected, "{}", dump.name);
    }
}

#[test]
fn processors() {
    let counts = [("pc-1", 1), ("pc-4", 4), ("pc-64", 64), ("q35-1", 1), ("q35-4", 4), ("q35-64", 64)];
    // The last one's from 255 on are x2APIC entries.
    for (name, count) in counts.into_iter().chain([("q35-288", 288)]) {
        let dump = dump(name);
        let table = dump.tables().find(Signature::MADT).unwrap();
        let madt = Madt::parse(&table).unwrap();
        let expected: Vec<_> =
            (0..count).map(|id| Cpu { uid: id, apic_id: id, enabled: true, online_capable: false }).collect();
        assert_eq!(madt.cpus().collect::<Vec<_>>(), expected, "{name}");
    }
}

#[test]
fn interrupts() {
    for dump in all().iter().filter(|dump| !["microvm", "bochs"].contains(&dump.name)) {
        let table = dump.tables().find(Signature::MADT).unwrap();
        let madt = Madt::parse(&table).unwrap();
        let route = |gsi, polarity, trigger| Route { gsi, polarity, trigger };
        assert_eq!(madt.local_apic_address(), 0xFEE0_0000);
        assert!(madt.has_8259());
        let chips: Vec<_> = madt.io_apics().map(|found| (found.address, found.gsi_base)).collect();
        assert_eq!(chips, [(0xFEC0_0000, 0)]);
        // QEMU wires the PIT to input 2, and its PCI interrupts are active high.
        assert_eq!(madt.gsi_for_isa(0), route(2, Polarity::High, Trigger::Edge));
        assert_eq!(madt.gsi_for_isa(1), route(1, Polarity::High, Trigger::Edge));
        assert_eq!(madt.gsi_for_sci(9), route(9, Polarity::High, Trigger::Level));
        assert_eq!(madt.gsi_for_isa(11), route(11, Polarity::High, Trigger::Level));
        let nmis: Vec<_> = madt.local_nmis().map(|nmi| (nmi.uid, nmi.lint)).collect();
        assert_eq!(nmis, [(None, 1)]);
        let overrides = madt.entries().filter(|entry| matches!(entry, Entry::SourceOverride { .. })).count();
        assert_eq!(overrides, 5);
        assert_eq!(madt.structures().last().map(|s| s.offset + s.bytes.len()), Some(table.bytes().len()));
    }
}

fn fadt(name: &str) -> Fadt {
    dump(name).tables().fadt().unwrap()
}

#[test]
fn fixed_hardware() {
    let pc = fadt("pc-4");
    assert_eq!((pc.revision, pc.length, pc.sci_int, pc.smi_cmd), (1, 116, 9, 0xB2));
    assert_eq!((pc.acpi_enable, pc.acpi_disable), (0xF1, 0xF0));
    assert_eq!((pc.reset, pc.boot_arch), (None, None), "revision 1 knows no reset register");
    assert_eq!(pc.pm_timer.unwrap().register.port(), Some(0x608));
    assert_eq!(pc.pm1a_control.unwrap().register.port(), Some(0x604));
    assert_eq!((pc.pm1b_event, pc.pm1b_control), (None, None));
    assert_eq!(pc.century, 0x32);

    let q35 = fadt("q35-4");
    assert_eq!((q35.revision, q35.length, q35.sci_int), (3, 244, 9));
    let reset = q35.reset.unwrap();
    assert_eq!((reset.register.port(), reset.value), (Some(0xCF9), 0xF));
    assert_eq!(q35.pm1a_event.map(|block| (block.register.port(), block.len)), Some((Some(0x600), 4)));
    assert_eq!(q35.pm1a_control.unwrap().register.port(), Some(0x604));
    assert!(q35.pm_timer.is_some_and(|timer| !timer.is_32_bit));
    assert!(q35.has_8042() && q35.has_power_button() && !q35.is_hw_reduced());
}

#[test]
fn a_hardware_reduced_machine() {
    let fadt = fadt("microvm");
    assert!(fadt.is_hw_reduced() && !fadt.has_8042());
    assert_eq!((fadt.pm1a_event, fadt.pm1a_control, fadt.pm_timer), (None, None, None));
    assert!(fadt.sleep_control.is_some() && fadt.sleep_status.is_some() && fadt.reset.is_some());
    let dump = dump("microvm");
    let tables = dump.tables();
    assert_eq!(sleep_type(tables.dsdt().unwrap().body(), 5), Some(SleepType { a: 5, b: 0 }));
}

/// Bochs's own BIOS: a root pointer of revision 0, an SSDT, and the only `_PRT` here that is a constant.
#[test]
fn another_firmware() {
    let dump = dump("bochs");
    let tables = dump.tables();
    assert_eq!((tables.rsdp().revision, tables.root().signature()), (0, Signature::RSDT));
    assert_eq!(tables.aml().count(), 2);
    let table = tables.find(Signature::MADT).unwrap();
    let madt = Madt::parse(&table).unwrap();
    assert_eq!(madt.cpus().map(|cpu| cpu.apic_id).collect::<Vec<_>>(), [0, 1]);
    assert_eq!((madt.gsi_for_isa(0).gsi, madt.local_nmis().count()), (2, 0));
    // Nothing overrides the SCI: its own nature counts.
    let sci = Route { gsi: 9, polarity: Polarity::Low, trigger: Trigger::Level };
    assert_eq!(madt.gsi_for_sci(9), sci);
    let fadt = tables.fadt().unwrap();
    assert_eq!((fadt.length, fadt.reset, fadt.century), (116, None, 0));
    assert_eq!(fadt.pm1a_control.unwrap().register.port(), Some(0xB004));
    assert_eq!(fadt.pm_timer.unwrap().register.port(), Some(0xB008));
    let dsdt = tables.dsdt().unwrap();
    assert_eq!(sleep_type(dsdt.body(), 5), Some(SleepType { a: 0, b: 0 }));
    let found: Vec<_> = routings(dsdt.body()).collect();
    let [Definition { bridge, routing: Routing::Static(prt), .. }] = found[..] else { panic!("{found:?}") };
    assert_eq!((bridge.to_string().as_str(), prt.rows().count()), ("\\_SB_.PCI0", 128));
    let links: Vec<_> = (0..4)
        .map(|pin| match prt.find(0, 0, pin) {
            Some(Source::Link { name, index: 0 }) => name.to_string(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(links, ["LNKD", "LNKA", "LNKB", "LNKC"]);
}

/// The one table that a Debian package carries: SeaBIOS's DSDT, of before QEMU made its own. Where it is installed.
#[test]
fn a_packaged_dsdt() {
    let Ok(raw) = std::fs::read("/usr/share/seabios/acpi-dsdt.aml") else { return };
    let table = Table::parse(&raw, 0).unwrap();
    assert_eq!(table.signature(), Signature::DSDT);
    let found: Vec<_> = routings(table.body()).collect();
    let [Definition { bridge, routing: Routing::Static(prt), .. }] = found[..] else { panic!("{found:?}") };
    assert_eq!((bridge.to_string().as_str(), prt.stated(), prt.rows().count()), ("\\_SB_.PCI0", 128, 128));
    assert!(matches!(prt.find(1, 0, 1), Some(Source::Link { name, .. }) if name.to_string() == "LNKB"));
}

/// The root pointers of a BIOS are where the search looks.
#[test]
fn root_pointers_in_the_bios_area() {
    for dump in all().iter().filter(|dump| !dump.name.contains("ovmf")) {
        let (phys, pointer) = &dump.records[0];
        let at = (*phys as usize).checked_sub(0xE_0000).unwrap();
        let mut area = vec![0xFF; 0x2_0000];
        area[at..at + pointer.len()].copy_from_slice(pointer);
        let found = rsdp::find(&area);
        assert_eq!(found, Some((at, Rsdp::read(dump, *phys).unwrap())), "{}", dump.name);
    }
}

#[test]
fn timers_and_configuration_space() {
    for dump in all() {
        let tables = dump.tables();
        let hpet = tables.find(Signature::HPET).map(|table| Hpet::parse(&table).unwrap());
        let expected = !["pc-nohpet", "microvm"].contains(&dump.name);
        assert_eq!(hpet.is_some(), expected, "{}", dump.name);
        if let Some(hpet) = hpet {
            assert_eq!((hpet.base.address, hpet.vendor(), hpet.comparators()), (0xFED0_0000, 0x8086, 3));
            assert!(hpet.is_64_bit() && hpet.replaces_legacy(), "{}", dump.name);
        }
        let table = tables.find(Signature::MCFG);
        assert_eq!(table.is_some(), dump.name.starts_with("q35"), "{}", dump.name);
        if let Some(table) = table {
            let mcfg = Mcfg::parse(&table).unwrap();
            let base = 0xB000_0000;
            assert_eq!(mcfg.bus_address(0, 0), Some(base), "{}", dump.name);
            assert_eq!(mcfg.bus_address(0, 255), Some(base + (255 << 20)));
            assert_eq!((mcfg.allocations().count(), mcfg.bad_count()), (1, 0));
        }
    }
}

#[test]
fn domains() {
    let dump = dump("q35-numa");
    let tables = dump.tables();
    let table = tables.find(Signature::SRAT).unwrap();
    let mut cpus = vec![];
    let mut bytes = [0; 2];
    for entry in Srat::parse(&table).unwrap().entries() {
        match entry {
            Affinity::Cpu { apic_id, domain, enabled: true, .. } => cpus.push((apic_id, domain)),
            Affinity::Memory { len, domain, enabled: true, .. } => bytes[domain as usize] += len,
            _ => {}
        }
    }
    assert_eq!(cpus, [(0, 0), (1, 0), (2, 1), (3, 1)]);
    // All of 128 MiB each but the 384 KiB of devices below 1 MiB.
    assert_eq!(bytes, [(128 << 20) - (384 << 10), 128 << 20]);
    let table = tables.find(Signature::SLIT).unwrap();
    let slit = Slit::parse(&table).unwrap();
    let distances = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(from, to)| slit.distance(from, to).unwrap());
    assert_eq!((slit.localities(), distances), (2, [10, 21, 21, 10]));
}

#[test]
fn byte_code() {
    for dump in all().iter().filter(|dump| !["microvm", "bochs"].contains(&dump.name)) {
        let tables = dump.tables();
        let dsdt = tables.dsdt().unwrap();
        assert_eq!(sleep_type(dsdt.body(), 5), Some(SleepType { a: 0, b: 0 }), "{}", dump.name);
        let found: Vec<_> = routings(dsdt.body()).collect();
        assert!(found.iter().all(|found| matches!(found.routing, Routing::Method)), "{}", dump.name);
        let names: Vec<_> = found.iter().map(|found| found.bridge.to_string()).collect();
        assert_eq!(names, ["\\_SB_.PCI0"], "{}", dump.name);
    }
}

/// Every table loses each of its bytes in turn, and every one is noticed.
#[test]
fn one_wrong_bit_and_a_table_is_gone() {
    let mut dump = dump("q35-4");
    let (addresses, xsdt) = {
        let tables = dump.tables();
        (tables.addresses().collect::<HashSet<_>>(), tables.rsdp().xsdt)
    };
    assert_eq!(xsdt, 0);
    for record in 0..dump.records.len() {
        let (phys, len) = (dump.records[record].0, dump.records[record].1.len());
        if !addresses.contains(&phys) {
            continue;
        }
        for at in 8..len {
            dump.records[record].1[at] ^= 4;
            let tables = dump.tables();
            let bad: Vec<_> = tables.bad().map(|bad| bad.phys).collect();
            assert_eq!(bad, [phys], "byte {at}");
            assert!(matches!(tables.bad().next().unwrap().error, TableError::Checksum(_)));
            dump.records[record].1[at] ^= 4;
        }
    }
}

/// q35's `_PRT` is a method that returns one of two constants. Under the name `_PRT` they are static routing.
#[test]
fn a_large_static_routing_table() {
    for (name, letters) in [(b"PRTA", "GSI"), (b"PRTP", "LNK")] {
        let dump = dump("q35-4");
        let tables = dump.tables();
        let mut aml = tables.dsdt().unwrap().body().to_vec();
        let at = aml.windows(5).position(|found| found[0] == 0x08 && &found[1..] == name).unwrap();
        aml[at + 1..at + 5].copy_from_slice(b"_PRT");
        let found = routings(&aml).find(|found| matches!(found.routing, Routing::Static(_))).unwrap();
        assert_eq!((found.offset, found.bridge.to_string()), (at, "\\_SB_.PCI0".to_owned()));
        let Routing::Static(prt) = found.routing else { unreachable!() };
        assert_eq!((prt.stated(), prt.rows().count()), (128, 128));
        for (device, pin, line) in [(0, 0, 4), (7, 3, 6), (24, 3, 7), (31, 3, 3)] {
            let Some(Source::Link { name, index: 0 }) = prt.find(device, 0, pin) else {
                panic!("device {device}")
            };
            assert_eq!(name.to_string(), format!("{letters}{}", char::from(b'A' + line)), "device {device}");
        }
    }
}
