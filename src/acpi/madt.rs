//! The MADT ("APIC"): processors, I/O APICs, how the ISA interrupts reach them, and the NMI lines.
//!
//! Read by whoever brings up the interrupt controllers and starts the other processors. Entries of types that
//! we do not know are passed over by their length; one that is shorter than its type demands is, too.
//!
//! Source: ACPI 6.5 §5.2.12 Multiple APIC Description Table, tables 5.19 to 5.44.

use super::bytes::{Structure, Structures, u8_at, u16_at, u32_at, u64_at};
use super::sdt::{Signature, Table, TableError};
use crate::arch::x86_64::line::{Polarity, Trigger};

/// Offset of the first entry.
const ENTRIES: usize = 44;
/// In the fields for a processor's id: all processors.
const ALL_8: u8 = 0xFF;
const ALL_32: u32 = 0xFFFF_FFFF;

/// The MPS INTI flags of an entry, table 5.26.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntiFlags(pub u16);

impl IntiFlags {
    /// `None`: as the bus has it ("conforms"), also for the reserved value 2.
    pub const fn polarity(self) -> Option<Polarity> {
        match self.0 & 3 {
            1 => Some(Polarity::High),
            3 => Some(Polarity::Low),
            _ => None,
        }
    }

    /// `None`: as the bus has it ("conforms"), also for the reserved value 2.
    pub const fn trigger(self) -> Option<Trigger> {
        match self.0 >> 2 & 3 {
            1 => Some(Trigger::Edge),
            3 => Some(Trigger::Level),
            _ => None,
        }
    }
}

/// Where an interrupt arrives, and how its line behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Global system interrupt: counts the inputs of all I/O APICs.
    pub gsi: u32,
    pub polarity: Polarity,
    pub trigger: Trigger,
}

/// An entry, decoded. The fields bear the names of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Type 0.
    LocalApic { uid: u8, apic_id: u8, flags: u32 },
    /// Type 1.
    IoApic(IoApic),
    /// Type 2. `bus` is 0, ISA.
    SourceOverride { bus: u8, source: u8, gsi: u32, flags: IntiFlags },
    /// Type 3: an input of an I/O APIC that is an NMI.
    NmiSource { gsi: u32, flags: IntiFlags },
    /// Type 4 and, with `x2apic`, type 10.
    LocalNmi { nmi: LocalNmi, x2apic: bool },
    /// Type 5.
    AddressOverride(u64),
    /// Type 9.
    LocalX2Apic { uid: u32, apic_id: u32, flags: u32 },
    /// Any other type, or one of the above that is too short.
    Other { kind: u8, len: u8 },
}

/// An I/O APIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoApic {
    pub id: u8,
    /// Physical address of its registers.
    pub address: u32,
    /// The GSI of its input 0. How many it has, its version register says.
    pub gsi_base: u32,
}

/// The NMI line of one processor or of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalNmi {
    /// ACPI's number for the processor; `None`: all of them.
    pub uid: Option<u32>,
    /// LINT0 or LINT1; other values make no sense and occur.
    pub lint: u8,
    pub flags: IntiFlags,
}

/// A processor, from an entry of either kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// ACPI's number for it, by which NMI entries name it.
    pub uid: u32,
    pub apic_id: u32,
    /// It is there and may be started.
    pub enabled: bool,
    /// Not there now, but may come while the system runs.
    pub online_capable: bool,
}

impl Entry {
    fn decode(structure: &Structure) -> Self {
        let len = u8::try_from(structure.bytes.len()).unwrap_or(u8::MAX);
        Self::known(structure).unwrap_or(Self::Other { kind: structure.kind, len })
    }

    /// `None` if the type is unknown, or a field lies past the entry.
    fn known(structure: &Structure) -> Option<Self> {
        let raw = structure.bytes;
        let byte = |at| u8_at(raw, at);
        let word = |at| u16_at(raw, at).map(IntiFlags);
        let dword = |at| u32_at(raw, at);
        Some(match structure.kind {
            0 => Self::LocalApic { uid: byte(2)?, apic_id: byte(3)?, flags: dword(4)? },
            1 => Self::IoApic(IoApic { id: byte(2)?, address: dword(4)?, gsi_base: dword(8)? }),
            2 => Self::SourceOverride { bus: byte(2)?, source: byte(3)?, gsi: dword(4)?, flags: word(8)? },
            3 => Self::NmiSource { flags: word(2)?, gsi: dword(4)? },
            4 => {
                let uid = Some(byte(2)?).filter(|&uid| uid != ALL_8).map(u32::from);
                Self::LocalNmi { nmi: LocalNmi { uid, flags: word(3)?, lint: byte(5)? }, x2apic: false }
            }
            5 => Self::AddressOverride(u64_at(raw, 4)?),
            9 => Self::LocalX2Apic { apic_id: dword(4)?, flags: dword(8)?, uid: dword(12)? },
            10 => {
                let uid = Some(dword(4)?).filter(|&uid| uid != ALL_32);
                Self::LocalNmi { nmi: LocalNmi { uid, flags: word(2)?, lint: byte(8)? }, x2apic: true }
            }
            _ => return None,
        })
    }
}

/// A MADT.
#[derive(Clone, Copy, Debug)]
pub struct Madt<'a> {
    raw: &'a [u8],
    revision: u8,
}

impl<'a> Madt<'a> {
    pub fn parse(table: &Table<'a>) -> Result<Self, TableError> {
        Ok(Self { raw: table.expect(Signature::MADT, ENTRIES)?, revision: table.revision() })
    }

    /// Physical address of the local APIC's registers: the 64-bit one of a type 5 entry, if there is one.
    pub fn local_apic_address(&self) -> u64 {
        let field = u32_at(self.raw, 36).unwrap_or(0).into();
        self.entries()
            .find_map(|entry| if let Entry::AddressOverride(address) = entry { Some(address) } else { None })
            .unwrap_or(field)
    }

    /// PCAT_COMPAT: there are two 8259s as well, which must be masked.
    pub fn has_8259(&self) -> bool {
        u32_at(self.raw, 40).is_some_and(|flags| flags & 1 != 0)
    }

    /// The entries as bytes.
    pub const fn structures(&self) -> Structures<'a> {
        Structures::new(self.raw, ENTRIES)
    }

    /// The entries, decoded, in the table's order.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + Clone + use<'a> {
        self.structures().map(|structure| Entry::decode(&structure))
    }

    /// The processors, whatever the form of their entry, the table's first first: the one we run on, usually.
    ///
    /// Left out are entries with the broadcast id, which stand for nobody, and enabled ones whose APIC id below
    /// 256 an enabled one had before: firmware describes a processor in both forms, against the specification.
    pub fn cpus(&self) -> impl Iterator<Item = Cpu> + Clone + use<'a> {
        let has_capable_bit = self.revision >= 5;
        let mut seen = [0u64; 4];
        self.entries().filter_map(move |entry| {
            let (uid, apic_id, flags) = match entry {
                Entry::LocalApic { uid, apic_id, flags } if apic_id != ALL_8 => {
                    (uid.into(), apic_id.into(), flags)
                }
                Entry::LocalX2Apic { uid, apic_id, flags } if apic_id != ALL_32 => (uid, apic_id, flags),
                _ => return None,
            };
            let enabled = flags & 1 != 0;
            if let Some(word) = usize::try_from(apic_id / 64).ok().and_then(|at| seen.get_mut(at)) {
                let bit = 1 << (apic_id % 64);
                if enabled && *word & bit != 0 {
                    return None;
                }
                *word |= if enabled { bit } else { 0 };
            }
            // The bit was reserved before ACPI 6.3, and a processor is one or the other.
            let online_capable = has_capable_bit && !enabled && flags & 2 != 0;
            Some(Cpu { uid, apic_id, enabled, online_capable })
        })
    }

    pub fn io_apics(&self) -> impl Iterator<Item = IoApic> + Clone + use<'a> {
        self.entries().filter_map(|entry| if let Entry::IoApic(found) = entry { Some(found) } else { None })
    }

    /// The I/O APIC whose inputs may include a GSI: the one with the highest base not above it. Only its
    /// version register says whether it has that many.
    pub fn io_apic_for(&self, gsi: u32) -> Option<IoApic> {
        self.io_apics().filter(|found| found.gsi_base <= gsi).max_by_key(|found| found.gsi_base)
    }

    /// The processors' NMI lines.
    pub fn local_nmis(&self) -> impl Iterator<Item = LocalNmi> + Clone + use<'a> {
        self.entries()
            .filter_map(|entry| if let Entry::LocalNmi { nmi, .. } = entry { Some(nmi) } else { None })
    }

    /// Where the interrupt of ISA line `irq` (0 to 15) arrives: by an override, else at the GSI of that
    /// number. What conforms to the bus is edge-triggered and active high.
    pub fn gsi_for_isa(&self, irq: u8) -> Route {
        self.route(irq.into(), Polarity::High, Trigger::Edge)
    }

    /// Where the system control interrupt arrives, `sci` being the FADT's SCI_INT. It is an ISA line for the
    /// overrides, but its own nature is level-triggered and active low.
    pub fn gsi_for_sci(&self, sci: u16) -> Route {
        self.route(sci, Polarity::Low, Trigger::Level)
    }

    fn route(&self, irq: u16, polarity: Polarity, trigger: Trigger) -> Route {
        let own = Route { gsi: irq.into(), polarity, trigger };
        let found = self.entries().find_map(|entry| match entry {
            Entry::SourceOverride { bus: 0, source, gsi, flags } if u16::from(source) == irq => {
                let polarity = flags.polarity().unwrap_or(polarity);
                Some(Route { gsi, polarity, trigger: flags.trigger().unwrap_or(trigger) })
            }
            _ => None,
        });
        found.unwrap_or(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acpi::sdt::made;

    fn with<T>(revision: u8, entries: &[&[u8]], test: impl FnOnce(Madt) -> T) -> T {
        let mut body = [0xFEE0_0000u32.to_le_bytes(), [1, 0, 0, 0]].concat();
        body.extend(entries.concat());
        let raw = made(Signature::MADT, revision, &body);
        test(Madt::parse(&Table::parse(&raw, 0).unwrap()).unwrap())
    }

    fn x2apic(id: u32, flags: u8, uid: u32) -> Vec<u8> {
        let mut raw = vec![9, 16, 0, 0];
        raw.extend(id.to_le_bytes());
        raw.extend([flags, 0, 0, 0]);
        raw.extend(uid.to_le_bytes());
        raw
    }

    #[test]
    fn every_type() {
        use Entry::*;
        let address = [&[5, 12, 0, 0][..], &0x1_FEE0_0000u64.to_le_bytes()].concat();
        let x2 = x2apic(0x1_0000, 1, 300);
        let entries: [&[u8]; 10] = [
            &[0, 8, 7, 8, 1, 0, 0, 0],
            &[1, 12, 2, 0, 0, 0, 0xC0, 0xFE, 24, 0, 0, 0],
            &[2, 10, 0, 9, 20, 0, 0, 0, 0x0D, 0],
            &[3, 8, 5, 0, 23, 0, 0, 0],
            &[4, 6, 0xFF, 0, 0, 1],
            &address,
            &[0x7E, 3, 1],
            &x2,
            &[10, 12, 0x0F, 0, 44, 1, 0, 0, 1, 0, 0, 0],
            &[2, 9, 0, 9, 20, 0, 0, 0, 0x0D],
        ];
        let all = super::LocalNmi { uid: None, lint: 1, flags: IntiFlags(0) };
        let one = super::LocalNmi { uid: Some(300), lint: 1, flags: IntiFlags(15) };
        let expected = [
            LocalApic { uid: 7, apic_id: 8, flags: 1 },
            IoApic(super::IoApic { id: 2, address: 0xFEC0_0000, gsi_base: 24 }),
            SourceOverride { bus: 0, source: 9, gsi: 20, flags: IntiFlags(13) },
            NmiSource { gsi: 23, flags: IntiFlags(5) },
            LocalNmi { nmi: all, x2apic: false },
            AddressOverride(0x1_FEE0_0000),
            Other { kind: 0x7E, len: 3 },
            LocalX2Apic { uid: 300, apic_id: 0x1_0000, flags: 1 },
            LocalNmi { nmi: one, x2apic: true },
            Other { kind: 2, len: 9 },
        ];
        with(5, &entries, |madt| {
            assert_eq!(madt.entries().collect::<Vec<_>>(), expected);
            assert_eq!(madt.local_apic_address(), 0x1_FEE0_0000);
            assert!(madt.has_8259());
            assert_eq!(madt.local_nmis().collect::<Vec<_>>(), [all, one]);
        });
        with(5, &entries[..4], |madt| assert_eq!(madt.local_apic_address(), 0xFEE0_0000));
    }

    #[test]
    fn each_type_cut_short_is_passed_over() {
        for (kind, full) in [(0, 8), (1, 12), (2, 10), (3, 8), (4, 6), (5, 12), (9, 16), (10, 12)] {
            for len in 2..full {
                let mut entry = vec![0; len];
                (entry[0], entry[1]) = (kind, len as u8);
                let found = with(5, &[&entry, &[1, 12, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0]], |madt| {
                    assert_eq!(madt.io_apics().next().unwrap().id, 9);
                    madt.entries().next().unwrap()
                });
                // The last bytes of type 10 are reserved: nothing is missing without them.
                if !(kind == 10 && len >= 9) {
                    assert_eq!(found, Entry::Other { kind, len: len as u8 });
                }
            }
        }
    }

    #[test]
    fn polarity_and_trigger() {
        let decoded = [0, 1, 3, 4, 12, 5, 13, 15, 7, 2, 8].map(|raw| {
            let flags = IntiFlags(raw);
            (flags.polarity(), flags.trigger())
        });
        use Polarity::*;
        use Trigger::*;
        let expected = [
            (None, None),
            (Some(High), None),
            (Some(Low), None),
            (None, Some(Edge)),
            (None, Some(Level)),
            (Some(High), Some(Edge)),
            (Some(High), Some(Level)),
            (Some(Low), Some(Level)),
            (Some(Low), Some(Edge)),
            (None, None),
            (None, None),
        ];
        assert_eq!(decoded, expected);
    }

    #[test]
    fn isa_routes() {
        let entries: [&[u8]; 4] = [
            &[2, 10, 1, 0, 99, 0, 0, 0, 0, 0],
            &[2, 10, 0, 0, 2, 0, 0, 0, 0, 0],
            &[2, 10, 0, 9, 20, 0, 0, 0, 0, 0],
            &[2, 10, 0, 5, 5, 0, 0, 0, 15, 0],
        ];
        let route = |gsi, polarity, trigger| Route { gsi, polarity, trigger };
        use Polarity::*;
        use Trigger::*;
        with(1, &entries, |madt| {
            assert_eq!(madt.gsi_for_isa(0), route(2, High, Edge), "the override of another bus is not ours");
            assert_eq!(madt.gsi_for_isa(1), route(1, High, Edge));
            assert_eq!(madt.gsi_for_isa(5), route(5, Low, Level));
            assert_eq!(madt.gsi_for_isa(9), route(20, High, Edge));
            assert_eq!(madt.gsi_for_sci(9), route(20, Low, Level), "an SCI that conforms");
            assert_eq!(madt.gsi_for_sci(265), route(265, Low, Level), "no ISA line");
        });
    }

    #[test]
    fn processors_of_both_forms() {
        let entries: [&[u8]; 9] = [
            &[0, 8, 0, 0, 1, 0, 0, 0],
            &[0, 8, 1, 0, 0, 0, 0, 0], // not there, and the id of another
            &[0, 8, 2, 0xFF, 1, 0, 0, 0],
            &[0, 8, 3, 6, 2, 0, 0, 0],
            &x2apic(0, 1, 0),
            &x2apic(6, 1, 3),
            &x2apic(300, 1, 4),
            &x2apic(u32::MAX, 1, 5),
            &x2apic(301, 3, 6),
        ];
        let cpu = |uid, apic_id, enabled, online_capable| Cpu { uid, apic_id, enabled, online_capable };
        let expected = [
            cpu(0, 0, true, false),
            cpu(1, 0, false, false),
            cpu(3, 6, false, true),
            cpu(3, 6, true, false),
            cpu(4, 300, true, false),
            cpu(6, 301, true, false),
        ];
        with(5, &entries, |madt| assert_eq!(madt.cpus().collect::<Vec<_>>(), expected));
        with(4, &entries, |madt| assert!(!madt.cpus().any(|cpu| cpu.online_capable), "reserved then"));
    }

    #[test]
    fn several_io_apics() {
        let entries: [&[u8]; 3] = [
            &[1, 12, 2, 0, 0, 0, 0, 1, 24, 0, 0, 0],
            &[1, 12, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0],
            &[1, 12, 3, 0, 0, 0, 0, 3, 48, 0, 0, 0],
        ];
        with(1, &entries, |madt| {
            let owner = [0, 23, 24, 47, 48, u32::MAX].map(|gsi| madt.io_apic_for(gsi).unwrap().id);
            assert_eq!(owner, [1, 1, 2, 2, 3, 3]);
        });
        with(1, &entries[..1], |madt| assert_eq!(madt.io_apic_for(23), None));
    }

    #[test]
    fn a_table_too_short() {
        let raw = made(Signature::MADT, 1, &[0; 7]);
        let error = Madt::parse(&Table::parse(&raw, 0).unwrap()).unwrap_err();
        assert_eq!(error, TableError::Short { length: 43, needed: 44 });
    }
}
