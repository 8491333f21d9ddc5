//! Tables as text, for the monitor's `acpi` command.
//!
//! [`describe`] writes a line with the header of any table, then what its decoder makes of it, indented. A
//! table that is too long, or lies about how much it holds, is cut off after [`LINES_MAX`] lines.

use core::fmt::{self, Display, Write};

use super::aml::{Routing, routings, sleep_type};
use super::fadt::{Block, Fadt};
use super::hpet::Hpet;
use super::madt::{Entry, IntiFlags, LocalNmi, Madt};
use super::mcfg::Mcfg;
use super::sdt::{Signature, Table, TableError, Text};
use super::slit::Slit;
use super::srat::{Affinity, Srat};
use crate::arch::x86_64::line::{Polarity, Trigger};

/// Lines about one table, the header's not counted. A machine with 288 processors needs some 300.
pub const LINES_MAX: usize = 1024;

/// Writes what a table says, each line ended by `\n`. Unknown tables get the line about their header only.
pub fn describe(table: &Table, out: &mut dyn Write) -> fmt::Result {
    let header = table.header();
    write!(out, "{} at {:#x}, {} bytes, ", header.signature, table.phys(), header.length)?;
    write!(out, "revision {}, by \"{}\" ", header.revision, Text(&header.oem_id))?;
    write!(out, "\"{}\" {:#x}, ", Text(&header.oem_table_id), header.oem_revision)?;
    writeln!(out, "made with \"{}\" {:#x}", Text(&header.creator_id), header.creator_revision)?;
    let mut lines = Lines { out, left: LINES_MAX };
    let result = match header.signature {
        Signature::MADT => Madt::parse(table).map(|madt| describe_madt(&madt, &mut lines)),
        Signature::FADT => Fadt::parse(table).map(|fadt| describe_fadt(&fadt, &mut lines)),
        Signature::HPET => Hpet::parse(table).map(|hpet| describe_hpet(&hpet, &mut lines)),
        Signature::MCFG => Mcfg::parse(table).map(|mcfg| describe_mcfg(&mcfg, &mut lines)),
        Signature::SRAT => Srat::parse(table).map(|srat| describe_srat(&srat, &mut lines)),
        Signature::SLIT => Slit::parse(table).map(|slit| describe_slit(&slit, &mut lines)),
        Signature::DSDT | Signature::SSDT => Ok(describe_aml(table.body(), &mut lines)),
        _ => Ok(Ok(())),
    };
    match result {
        Ok(Err(_)) if lines.left == 0 => writeln!(lines.out, "  and so on"),
        Ok(written) => written,
        Err(error) => describe_error(error, &mut lines),
    }
}

fn describe_error(error: TableError, lines: &mut Lines) -> fmt::Result {
    lines.line(format_args!("not usable: {error}"))
}

/// Writes lines, and fails once it has written enough of them.
struct Lines<'w> {
    out: &'w mut dyn Write,
    left: usize,
}

impl Lines<'_> {
    fn line(&mut self, what: impl Display) -> fmt::Result {
        self.left = self.left.checked_sub(1).ok_or(fmt::Error)?;
        writeln!(self.out, "  {what}")
    }
}

impl Display for IntiFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trigger = match self.trigger() {
            Some(Trigger::Edge) => "edge",
            Some(Trigger::Level) => "level",
            None => "trigger of the bus",
        };
        let polarity = match self.polarity() {
            Some(Polarity::High) => "active high",
            Some(Polarity::Low) => "active low",
            None => "polarity of the bus",
        };
        write!(f, "{trigger}, {polarity}")
    }
}

impl Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = |flags: u32| match flags & 3 {
            0 => "disabled",
            2 => "may come online",
            _ => "enabled",
        };
        match *self {
            Self::LocalApic { uid, apic_id, flags } => {
                write!(f, "processor {uid}: local APIC {apic_id}, {}", state(flags))
            }
            Self::LocalX2Apic { uid, apic_id, flags } => {
                write!(f, "processor {uid}: local x2APIC {apic_id}, {}", state(flags))
            }
            Self::IoApic(found) => {
                write!(f, "I/O APIC {} at {:#x}, from GSI {} on", found.id, found.address, found.gsi_base)
            }
            Self::SourceOverride { bus, source, gsi, flags } => {
                let bus = if bus == 0 { "ISA" } else { "unknown bus" };
                write!(f, "{bus} IRQ {source} is GSI {gsi}: {flags}")
            }
            Self::NmiSource { gsi, flags } => write!(f, "GSI {gsi} is an NMI: {flags}"),
            Self::LocalNmi { nmi: LocalNmi { uid, lint, flags }, .. } => {
                write!(f, "LINT{lint} of ")?;
                match uid {
                    Some(uid) => write!(f, "processor {uid}")?,
                    None => write!(f, "all processors")?,
                }
                write!(f, " is an NMI: {flags}")
            }
            Self::AddressOverride(address) => write!(f, "local APICs at {address:#x} instead"),
            Self::Other { kind, len } => write!(f, "entry of type {kind}, {len} bytes"),
        }
    }
}

fn describe_madt(madt: &Madt, lines: &mut Lines) -> fmt::Result {
    let legacy = if madt.has_8259() { "with" } else { "without" };
    lines.line(format_args!("local APICs at {:#x}, {legacy} 8259s", madt.local_apic_address()))?;
    madt.entries().try_for_each(|entry| lines.line(entry))
}

impl Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:#x}, {} bytes", self.register.space, self.register.address, self.len)
    }
}

fn describe_fadt(fadt: &Fadt, lines: &mut Lines) -> fmt::Result {
    lines.line(format_args!("DSDT at {:#x}, FACS at {:#x}", fadt.dsdt, fadt.facs))?;
    let profile = match fadt.preferred_profile {
        1 => "desktop",
        2 => "mobile",
        3 => "workstation",
        4 => "enterprise server",
        5 => "small server",
        6 => "appliance",
        7 => "performance server",
        8 => "tablet",
        _ => "unspecified",
    };
    lines.line(format_args!("profile: {profile}; SCI is interrupt {}", fadt.sci_int))?;
    if fadt.is_hw_reduced() {
        lines.line("hardware-reduced: there are no PM1 registers")?;
    } else if fadt.smi_cmd == 0 {
        lines.line("no SMI command port: always in ACPI mode")?;
    } else {
        let (enable, disable) = (fadt.acpi_enable, fadt.acpi_disable);
        lines.line(format_args!(
            "SMI command port {:#x}: {enable:#04x} enters ACPI mode, {disable:#04x} leaves it",
            fadt.smi_cmd
        ))?;
    }
    let blocks = [
        ("PM1a event", fadt.pm1a_event),
        ("PM1b event", fadt.pm1b_event),
        ("PM1a control", fadt.pm1a_control),
        ("PM1b control", fadt.pm1b_control),
        ("PM2 control", fadt.pm2_control),
        ("GPE0", fadt.gpe0),
        ("GPE1", fadt.gpe1),
    ];
    for (name, block) in blocks {
        block.map_or(Ok(()), |block| lines.line(format_args!("{name}: {block}")))?;
    }
    if let Some(timer) = fadt.pm_timer {
        let bits = if timer.is_32_bit { 32 } else { 24 };
        let (space, address) = (timer.register.space, timer.register.address);
        lines.line(format_args!("PM timer: {space} {address:#x}, counts {bits} bits"))?;
    }
    match fadt.reset {
        Some(reset) => lines.line(format_args!("reset: {:#04x} to {}", reset.value, reset.register))?,
        None => lines.line("reset: no register")?,
    }
    for (name, register) in [("sleep control", fadt.sleep_control), ("sleep status", fadt.sleep_status)] {
        register.map_or(Ok(()), |register| lines.line(format_args!("{name}: {register}")))?;
    }
    if fadt.century != 0 {
        lines.line(format_args!("RTC century: CMOS {:#04x}", fadt.century))?;
    }
    match fadt.boot_arch {
        Some(found) => {
            lines.line(format_args!("boot architecture: {:#06x} {}", found.bits(), Flags(&found)))?
        }
        None => lines.line("boot architecture: not said, so all that a PC had")?,
    }
    lines.line(format_args!("flags: {:#010x} {}", fadt.flags.bits(), Flags(&fadt.flags)))
}

/// The names of the flags that are set.
struct Flags<'a, T>(&'a T);

impl<T: bitflags::Flags> Display for Flags<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = self.0.iter_names().map(|(name, _)| name);
        f.write_str(names.next().unwrap_or("none"))?;
        names.try_for_each(|name| write!(f, " {name}"))
    }
}

fn describe_hpet(hpet: &Hpet, lines: &mut Lines) -> fmt::Result {
    let bits = if hpet.is_64_bit() { 64 } else { 32 };
    lines.line(format_args!("timer block {} at {:#x}", hpet.number, hpet.base.address))?;
    lines.line(format_args!(
        "vendor {:#06x}, revision {}, {} comparators, {bits} bits{}",
        hpet.vendor(),
        hpet.hardware_revision(),
        hpet.comparators(),
        if hpet.replaces_legacy() { ", replaces PIT and RTC" } else { "" }
    ))?;
    let page = ["unknown", "4 KiB", "64 KiB"].get(usize::from(hpet.page_protection)).unwrap_or(&"reserved");
    lines.line(format_args!("shortest period {} ticks; page protection: {page}", hpet.min_tick))
}

fn describe_mcfg(mcfg: &Mcfg, lines: &mut Lines) -> fmt::Result {
    for found in mcfg.allocations() {
        let (start, end) = (found.start_bus, found.end_bus);
        let (segment, base) = (found.segment, found.base);
        lines.line(format_args!("segment {segment}, buses {start:02x} to {end:02x}: {base:#x}"))?;
    }
    match mcfg.bad_count() {
        0 => Ok(()),
        bad => lines.line(format_args!("{bad} allocations that make no sense")),
    }
}

impl Display for Affinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = |enabled| if enabled { "" } else { ", disabled" };
        match *self {
            Self::Cpu { apic_id, domain, enabled, x2apic, .. } => {
                let kind = if x2apic { "x2APIC" } else { "APIC" };
                write!(f, "domain {domain}: processor with {kind} {apic_id}{}", state(enabled))
            }
            Self::Memory { base, len, domain, enabled, hot_pluggable, persistent } => {
                write!(f, "domain {domain}: memory at {base:#x}, {len:#x} bytes{}", state(enabled))?;
                f.write_str(if hot_pluggable { ", hot-pluggable" } else { "" })?;
                f.write_str(if persistent { ", persistent" } else { "" })
            }
            Self::Other { kind, len } => write!(f, "entry of type {kind}, {len} bytes"),
        }
    }
}

fn describe_srat(srat: &Srat, lines: &mut Lines) -> fmt::Result {
    srat.entries().try_for_each(|entry| lines.line(entry))
}

fn describe_slit(slit: &Slit, lines: &mut Lines) -> fmt::Result {
    let count = slit.localities();
    lines.line(format_args!("{count} domains; distances from each of them:"))?;
    (0..count).try_for_each(|from| lines.line(Distances { slit, from }))
}

/// One row of the square.
struct Distances<'a> {
    slit: &'a Slit<'a>,
    from: usize,
}

impl Display for Distances<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.from)?;
        let row = (0..self.slit.localities()).map_while(|to| self.slit.distance(self.from, to));
        row.into_iter().try_for_each(|distance| write!(f, " {distance}"))
    }
}

fn describe_aml(aml: &[u8], lines: &mut Lines) -> fmt::Result {
    for state in 0..=5 {
        if let Some(found) = sleep_type(aml, state) {
            lines.line(format_args!("\\_S{state}_: SLP_TYPa {}, SLP_TYPb {}", found.a, found.b))?;
        }
    }
    for found in routings(aml) {
        match found.routing {
            Routing::Method => lines.line(format_args!("{}._PRT: a method", found.bridge))?,
            Routing::Unreadable => lines.line(format_args!("{}._PRT: not understood", found.bridge))?,
            Routing::Static(prt) => {
                lines.line(format_args!("{}._PRT: {} rows", found.bridge, prt.rows().count()))?;
                prt.rows().try_for_each(|row| lines.line(format_args!("  {row}")))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acpi::sdt::made;

    fn text(signature: Signature, body: &[u8]) -> String {
        let raw = made(signature, 5, body);
        let mut out = String::new();
        describe(&Table::parse(&raw, 0x7FE_1000).unwrap(), &mut out).unwrap();
        out
    }

    #[test]
    fn a_table_that_nobody_knows() {
        let expected = "WAET at 0x7fe1000, 40 bytes, revision 5, by \"SISOEM\" \"SIS TEST\" 0x1, made with \"SIS \" 0x2\n";
        assert_eq!(text(Signature(*b"WAET"), &[0; 4]), expected);
    }

    #[test]
    fn a_table_that_is_not_usable() {
        let found = text(Signature::MADT, &[0; 4]);
        assert!(found.ends_with("\n  not usable: 40 bytes, 44 needed\n"), "{found}");
    }

    #[test]
    fn a_table_without_end() {
        let mut body = vec![0; 8];
        body.extend([0x7E, 2].repeat(LINES_MAX));
        let found = text(Signature::MADT, &body);
        assert_eq!(found.lines().count(), 1 + LINES_MAX + 1);
        assert!(found.ends_with("  entry of type 126, 2 bytes\n  and so on\n"));
        body.truncate(8 + 2 * (LINES_MAX - 1));
        assert!(text(Signature::MADT, &body).ends_with("  entry of type 126, 2 bytes\n"));
    }

    #[test]
    fn a_writer_that_fails() {
        struct Full;
        impl Write for Full {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                if text.contains("local") { Err(fmt::Error) } else { Ok(()) }
            }
        }
        let raw = made(Signature::MADT, 5, &[0; 8]);
        assert_eq!(describe(&Table::parse(&raw, 0).unwrap(), &mut Full), Err(fmt::Error));
    }
}
