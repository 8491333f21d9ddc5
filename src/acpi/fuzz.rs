//! Random damage to every table there is a dump of, and to made-up ones: no panic, no endless loop, and nothing
//! reported that is not inside of the table.
//!
//! `SIS_FUZZ` sets the number of tables (100,000 without it), `SIS_FUZZ_SEED` another sequence. `make test` asks for a
//! million and checks the line that says how many there were, `make fuzz` for many more with a new seed.
//!
//! Each mutated table gets a right checksum most of the time, or the decoders behind it would never be
//! reached. It lies in memory of exactly its size, so that a read past it could not succeed unnoticed.

use core::fmt::{self, Write};

use super::aml::{Routing, routings, sleep_type};
use super::bytes::Structures;
use super::dumps::{self, Dump};
use super::fadt::Fadt;
use super::hpet::Hpet;
use super::madt::Madt;
use super::mcfg::{BUS_SIZE, Mcfg};
use super::print::{LINES_MAX, describe};
use super::rsdp::{Rsdp, find};
use super::sdt::{Signature, Table, made, set_checksum};
use super::slit::Slit;
use super::srat::{Affinity, Srat};
use super::tables::{ENTRIES_MAX, Tables};
use crate::testing::Random;

const TABLES: u64 = 100_000;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect(variable))
}

/// What the mutations start from: whole tables.
struct Seeds {
    small: Vec<Vec<u8>>,
    /// Long byte code, scanned more rarely.
    large: Vec<Vec<u8>>,
    /// Some bytes before and behind each place that the scans look for.
    aml: Vec<Vec<u8>>,
}

fn seeds() -> Seeds {
    let mut seeds = Seeds { small: vec![], large: vec![], aml: vec![] };
    for (_, bytes) in dumps::all().into_iter().flat_map(|dump| dump.records) {
        if bytes.starts_with(b"RSD PTR ") || bytes.starts_with(b"FACS") {
            continue;
        }
        for at in bytes.windows(4).enumerate().filter(|(_, w)| w == b"_PRT" || w == b"_S5_").map(|(at, _)| at)
        {
            let window = bytes[at.saturating_sub(40)..bytes.len().min(at + 200)].to_vec();
            seeds.aml.push(window);
        }
        let kind = if bytes.len() > 1000 { &mut seeds.large } else { &mut seeds.small };
        if !kind.contains(&bytes) {
            kind.push(bytes);
        }
    }
    seeds.aml.sort();
    seeds.aml.dedup();
    // What no dump has: static routing, the other entries, the longest FADT.
    let mut prt = b"\x10\x3e_SB_\x5b\x82\x37PCI0\x08_PRT\x12\x2b\x03".to_vec();
    prt.extend(b"\x12\x0a\x04\x0c\xff\xff\x01\x00\x00\x00\x11");
    prt.extend(b"\x12\x0d\x04\x0c\xff\xff\x02\x00\x01LNKA\x00");
    prt.extend(b"\x12\x10\x04\x0b\xff\xff\x0a\x02\\\x2e_SB_LNKB\x01");
    seeds.aml.push(prt);
    seeds.aml.push(b"\x08\\_S5_\x12\x0a\x04\x0a\x07\x0b\x05\x00\x00\x00".to_vec());
    let mut madt = vec![0, 0, 0xE0, 0xFE, 1, 0, 0, 0];
    for (kind, len) in [(0u8, 8u8), (1, 12), (2, 10), (3, 8), (4, 6), (5, 12), (9, 16), (10, 12), (0x7F, 20)]
    {
        madt.extend([kind, len]);
        madt.extend((2..len).map(|n| n.wrapping_mul(kind | 1)));
    }
    seeds.small.push(made(Signature::MADT, 5, &madt));
    seeds.small.push(made(Signature::FADT, 6, &[1; 240]));
    let mut srat = vec![0; 12];
    for (kind, len) in [(0u8, 16u8), (1, 40), (2, 24), (3, 20)] {
        srat.extend([kind, len]);
        srat.extend((2..len).map(|n| n & 1));
    }
    seeds.small.push(made(Signature::SRAT, 3, &srat));
    seeds.small.push(made(Signature::SLIT, 1, &[&3u64.to_le_bytes()[..], &[10; 9]].concat()));
    seeds
}

/// Values that lie at an edge of something.
const EDGES: [u8; 12] = [0, 1, 2, 3, 0x0F, 0x3F, 0x40, 0x7F, 0x80, 0xC0, 0xFE, 0xFF];

fn mutate(random: &mut Random, raw: &mut Vec<u8>, from: usize) {
    for _ in 0..=random.below(6) {
        if raw.len() <= from {
            return;
        }
        let at = from + random.index(raw.len() - from);
        match random.below(8) {
            0 => raw[at] ^= 1 << random.below(8),
            1 => raw[at] = random.byte(),
            2 | 3 => raw[at] = random.pick(&EDGES),
            4 => {
                let edge = random.pick(&EDGES);
                raw[at..].iter_mut().take(4).for_each(|byte| *byte = edge);
            }
            5 => {
                let count = random.index(20).min(raw.len() - at);
                raw.drain(at..at + count);
            }
            6 => {
                let bytes: Vec<_> = (0..random.below(20)).map(|_| random.byte()).collect();
                raw.splice(at..at, bytes);
            }
            _ => {
                let end = (at + random.index(64)).min(raw.len());
                let copy = raw[at..end].to_vec();
                raw.splice(at..at, copy);
            }
        }
    }
}

/// Counts what is written, and that it is fit for a terminal.
struct Sink {
    lines: usize,
}

impl Write for Sink {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.lines += text.bytes().filter(|&byte| byte == b'\n').count();
        assert!(text.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)), "{text:?}");
        Ok(())
    }
}

/// The structures follow one another from `start` to at most the table's end.
fn walk(structures: Structures, table: &[u8], start: usize) {
    let mut end = start;
    for found in structures {
        assert_eq!(found.offset, end);
        assert!(found.bytes.len() >= 2);
        assert_eq!(table.get(end..end + found.bytes.len()), Some(found.bytes));
        end += found.bytes.len();
    }
    assert!(end <= table.len().max(start));
}

/// How often each decoder had something to say: a fuzzer that is turned away at the header finds nothing.
#[derive(Debug, Default)]
struct Reached {
    madt: u64,
    fadt: u64,
    hpet: u64,
    mcfg: u64,
    srat: u64,
    slit: u64,
    sleep: u64,
    rows: u64,
}

impl Reached {
    fn least(&self) -> u64 {
        let Self { madt, fadt, hpet, mcfg, srat, slit, sleep, rows } = *self;
        [madt, fadt, hpet, mcfg, srat, slit, sleep, rows].into_iter().min().unwrap_or(0)
    }
}

fn check_aml(aml: &[u8], reached: &mut Reached) {
    for state in 0..=5 {
        if let Some(found) = sleep_type(aml, state) {
            assert!(found.a < 8 && found.b < 8);
            reached.sleep += 1;
        }
    }
    let mut last = None;
    for found in routings(aml) {
        assert!(found.offset < aml.len() && last.is_none_or(|last| last < found.offset));
        last = Some(found.offset);
        if let Routing::Static(prt) = found.routing {
            let rows = prt.rows().inspect(|row| {
                assert!(row.device < 32 && row.pin < 4 && row.function.is_none_or(|function| function < 8));
                assert!(prt.find(row.device, row.function.unwrap_or(0), row.pin).is_some());
            });
            let count = rows.take(aml.len()).count();
            assert!(count <= aml.len() / 5, "a row has at least five bytes");
            reached.rows += count as u64;
        }
    }
}

/// Everything that can be asked of a table.
fn check(raw: &[u8], reached: &mut Reached) {
    let Ok(table) = Table::parse(raw, 0x1000) else { return };
    let bytes = table.bytes();
    assert!(bytes.len() <= raw.len());
    if let Ok(madt) = Madt::parse(&table) {
        reached.madt += 1;
        walk(madt.structures(), bytes, 44);
        assert_eq!(madt.entries().count(), madt.structures().count());
        assert!(madt.cpus().count() <= madt.entries().count());
        let _ = (madt.local_apic_address(), madt.has_8259(), madt.local_nmis().count());
        for irq in 0..16 {
            let route = madt.gsi_for_isa(irq);
            assert!(madt.io_apic_for(route.gsi).is_none_or(|found| found.gsi_base <= route.gsi));
        }
        let _ = madt.gsi_for_sci(9);
    }
    if let Ok(fadt) = Fadt::parse(&table) {
        reached.fadt += 1;
        let blocks = [fadt.pm1a_event, fadt.pm1b_event, fadt.pm1a_control, fadt.pm1b_control, fadt.gpe0];
        for block in blocks.iter().flatten() {
            assert!(block.register.is_reachable(block.len));
            assert!(block.second_half() >= block.register.address);
        }
        assert!(fadt.pm_timer.is_none_or(|timer| timer.register.is_reachable(4)));
        let _ = (fadt.has_8042(), fadt.has_power_button());
    }
    if let Ok(hpet) = Hpet::parse(&table) {
        reached.hpet += 1;
        assert!((1..=32).contains(&hpet.comparators()) && hpet.base.address != 0);
    }
    if let Ok(mcfg) = Mcfg::parse(&table) {
        reached.mcfg += 1;
        assert!(44 + (mcfg.allocations().count() + mcfg.bad_count()) * 16 <= bytes.len());
        for found in mcfg.allocations() {
            let last = found.bus_address(found.end_bus).unwrap();
            assert!(last.checked_add(BUS_SIZE).is_some_and(|end| end <= 1 << 52));
        }
    }
    if let Ok(srat) = Srat::parse(&table) {
        reached.srat += 1;
        walk(srat.structures(), bytes, 48);
        for entry in srat.entries() {
            if let Affinity::Memory { base, len, .. } = entry {
                assert!(base.checked_add(len).is_some());
            }
        }
    }
    if let Ok(slit) = Slit::parse(&table) {
        reached.slit += 1;
        let count = slit.localities();
        let all = (0..count).flat_map(|from| (0..count).map(move |to| (from, to)));
        assert!(all.into_iter().all(|(from, to)| slit.distance(from, to).is_some()));
        assert!(44 + count * count <= bytes.len() && slit.distance(count, 0).is_none());
    }
    if [Signature::DSDT, Signature::SSDT].contains(&table.signature()) {
        check_aml(table.body(), reached);
    }
    let mut sink = Sink { lines: 0 };
    describe(&table, &mut sink).unwrap();
    assert!((1..=LINES_MAX + 2).contains(&sink.lines));
}

#[test]
fn mutated_tables() {
    let seeds = seeds();
    let seed = number("SIS_FUZZ_SEED", 4);
    let mut random = Random::new(seed);
    let mut reached = Reached::default();
    let rounds = number("SIS_FUZZ", TABLES);
    for _ in 0..rounds {
        let mut raw = match random.below(128) {
            0 => seeds.large[random.index(seeds.large.len())].clone(),
            1..=40 => {
                let mut aml = seeds.aml[random.index(seeds.aml.len())].clone();
                mutate(&mut random, &mut aml, 0);
                made(random.pick(&[Signature::DSDT, Signature::SSDT]), 2, &aml)
            }
            _ => seeds.small[random.index(seeds.small.len())].clone(),
        };
        // Most damage is behind the header, where the decoders are.
        let from = if random.below(16) == 0 { 0 } else { 36 };
        mutate(&mut random, &mut raw, from);
        if random.below(16) != 0 && raw.len() >= 36 {
            let length = raw.len() as u32;
            raw[4..8].copy_from_slice(&length.to_le_bytes());
            set_checksum(&mut raw);
        }
        check(&raw.into_boxed_slice(), &mut reached);
    }
    assert!(reached.least() > rounds / 500, "{reached:?}");
    std::println!("acpi fuzz: {rounds} mutated tables, seed {seed}, {reached:?}");
}

/// The list of tables, the root pointer and the addresses in them, damaged as well.
#[test]
fn mutated_machines() {
    let mut random = Random::new(number("SIS_FUZZ_SEED", 5));
    let machines: Vec<Dump> = dumps::all();
    for _ in 0..number("SIS_FUZZ", TABLES) / 200 {
        let machine = &machines[random.index(machines.len())];
        let mut records = machine.records.clone();
        let rsdp = machine.rsdp();
        for _ in 0..=random.below(3) {
            // The root pointer and the lists are the first records.
            let count = if random.below(2) == 0 { 3 } else { records.len() };
            let raw = &mut records[random.index(count)].1;
            let is_rsdp = raw.starts_with(b"RSD PTR ");
            let from = if is_rsdp { 8 } else { 36 };
            mutate(&mut random, raw, from);
            if is_rsdp && raw.len() >= 20 {
                raw[8] = 0;
                raw[8] = 0u8.wrapping_sub(raw[..20].iter().fold(0, |sum, byte| sum.wrapping_add(*byte)));
            } else if raw.len() >= 36 {
                let length = raw.len() as u32;
                raw[4..8].copy_from_slice(&length.to_le_bytes());
                set_checksum(raw);
            }
        }
        let dump = Dump { name: machine.name, records };
        let _ = Rsdp::read(&dump, rsdp);
        let _ = find(&dump.records[0].1);
        let Ok(tables) = Tables::read(&dump, rsdp) else { continue };
        assert!(tables.iter().count() + tables.bad_count() <= ENTRIES_MAX);
        assert!(tables.bad().count() <= tables.bad_count());
        let _ = (tables.fadt(), tables.dsdt().is_ok(), tables.aml().count());
        for table in tables.iter() {
            if table.bytes().len() < 1000 {
                check(table.bytes(), &mut Reached::default());
            }
        }
    }
}
