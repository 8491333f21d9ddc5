//! All tables of a machine: the XSDT, or the RSDT where there is no XSDT to believe, and what it lists.
//!
//! The platform makes one [`Tables`] at boot. Each table is checked when it is looked at; which ones are bad,
//! and why, is counted once, at the start, for the boot log.
//!
//! Source: ACPI 6.5 §5.2.7 RSDT, §5.2.8 XSDT.

use core::fmt;

use super::bytes::{u32_at, u64_at};
use super::fadt::Fadt;
use super::memory::PhysicalMemory;
use super::rsdp::{Rsdp, RsdpError};
use super::sdt::{Signature, Table, TableError, read_header};

/// Entries of the list that are looked at. Large servers have about a hundred, most of them SSDTs.
pub const ENTRIES_MAX: usize = 256;
/// Bad tables of which the reason is kept; more are only counted.
pub const REASONS_MAX: usize = 8;

/// Why there are no tables at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootError {
    /// The root pointer is none.
    Rsdp(RsdpError),
    /// Neither list can be used. `None`: the root pointer names none of that kind.
    NoList { xsdt: Option<TableError>, rsdt: Option<TableError> },
}

impl fmt::Display for RootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (xsdt, rsdt) = match *self {
            Self::Rsdp(why) => return write!(f, "root pointer: {why}"),
            Self::NoList { xsdt, rsdt } => (xsdt, rsdt),
        };
        for (name, why) in [("XSDT: ", xsdt), ("; RSDT: ", rsdt)] {
            match why {
                Some(why) => write!(f, "{name}{why}")?,
                None => write!(f, "{name}none")?,
            }
        }
        Ok(())
    }
}

impl core::error::Error for RootError {}

/// A table in the list that is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadTable {
    /// Its number in the list.
    pub index: usize,
    /// Its physical address.
    pub phys: u64,
    /// What is wrong with it.
    pub error: TableError,
}

impl fmt::Display for BadTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {} at {:#x}: {}", self.index, self.phys, self.error)
    }
}

/// The tables of a machine.
#[derive(Clone, Copy)]
pub struct Tables<'m, M: ?Sized> {
    memory: &'m M,
    rsdp: Rsdp,
    root: Table<'m>,
    xsdt_error: Option<TableError>,
    bad: usize,
    reasons: [Option<BadTable>; REASONS_MAX],
}

impl<'m, M: PhysicalMemory + ?Sized> Tables<'m, M> {
    /// Reads the root pointer at a physical address, then [`Self::from_rsdp`].
    pub fn read(memory: &'m M, rsdp_phys: u64) -> Result<Self, RootError> {
        Self::from_rsdp(memory, Rsdp::read(memory, rsdp_phys).map_err(RootError::Rsdp)?)
    }

    /// Takes the XSDT, else the RSDT, and looks at every table in it once.
    pub fn from_rsdp(memory: &'m M, rsdp: Rsdp) -> Result<Self, RootError> {
        let list = |phys: u64, signature| {
            (phys != 0).then(|| {
                let table = Table::read(memory, phys)?;
                table.expect(signature, 0)?;
                Ok(table)
            })
        };
        let xsdt = list(rsdp.xsdt, Signature::XSDT);
        let (root, xsdt_error) = match xsdt {
            Some(Ok(root)) => (root, None),
            _ => {
                let xsdt = xsdt.and_then(Result::err);
                match list(rsdp.rsdt.into(), Signature::RSDT) {
                    Some(Ok(root)) => (root, xsdt),
                    rsdt => return Err(RootError::NoList { xsdt, rsdt: rsdt.and_then(Result::err) }),
                }
            }
        };
        let mut tables = Self { memory, rsdp, root, xsdt_error, bad: 0, reasons: [None; REASONS_MAX] };
        let mut bad = 0;
        for why in tables.entries().filter_map(Result::err) {
            if let Some(slot) = tables.reasons.get_mut(bad) {
                *slot = Some(why);
            }
            bad += 1;
        }
        tables.bad = bad;
        Ok(tables)
    }

    pub const fn rsdp(&self) -> &Rsdp {
        &self.rsdp
    }

    /// The list itself, XSDT or RSDT.
    pub const fn root(&self) -> &Table<'m> {
        &self.root
    }

    /// Why the XSDT is not the one in use, if the root pointer names one.
    pub const fn xsdt_error(&self) -> Option<TableError> {
        self.xsdt_error
    }

    /// How many tables of the list are passed over for being bad.
    pub const fn bad_count(&self) -> usize {
        self.bad
    }

    /// The first [`REASONS_MAX`] of them.
    pub fn bad(&self) -> impl Iterator<Item = &BadTable> {
        self.reasons.iter().flatten()
    }

    /// How many entries the list has beyond the [`ENTRIES_MAX`] that are looked at.
    pub fn left_out(&self) -> usize {
        self.listed().saturating_sub(ENTRIES_MAX)
    }

    fn entry_size(&self) -> usize {
        if self.root.signature() == Signature::XSDT { 8 } else { 4 }
    }

    fn listed(&self) -> usize {
        self.root.body().len() / self.entry_size()
    }

    /// The addresses in the list, in its order; zeros too.
    pub fn addresses(&self) -> impl Iterator<Item = u64> + Clone + use<'m, M> {
        let (body, size) = (self.root.body(), self.entry_size());
        (0..self.listed().min(ENTRIES_MAX)).map_while(move |index| {
            let at = index * size;
            if size == 8 { u64_at(body, at) } else { u32_at(body, at).map(u64::from) }
        })
    }

    /// Each table of the list, or what is wrong with it.
    pub fn entries(&self) -> impl Iterator<Item = Result<Table<'m>, BadTable>> + Clone + use<'m, M> {
        let memory = self.memory;
        self.addresses().enumerate().map(move |(index, phys)| {
            Table::read(memory, phys).map_err(|error| BadTable { index, phys, error })
        })
    }

    /// The good tables of the list, in its order. The DSDT is not in it: see [`Self::dsdt`].
    pub fn iter(&self) -> impl Iterator<Item = Table<'m>> + Clone + use<'m, M> {
        self.entries().filter_map(Result::ok)
    }

    /// The good tables of one name. Only tables of that name are read as a whole.
    pub fn all(&self, signature: Signature) -> impl Iterator<Item = Table<'m>> + Clone + use<'m, M> {
        let memory = self.memory;
        self.addresses().filter_map(move |phys| {
            let header = read_header(memory, phys).ok().filter(|header| header.signature == signature);
            header.and_then(|_| Table::read(memory, phys).ok())
        })
    }

    /// The `n`th good table of that name, from 0.
    pub fn find_nth(&self, signature: Signature, n: usize) -> Option<Table<'m>> {
        self.all(signature).nth(n)
    }

    /// The first good table of that name.
    pub fn find(&self, signature: Signature) -> Option<Table<'m>> {
        self.find_nth(signature, 0)
    }

    /// The FADT, decoded.
    pub fn fadt(&self) -> Option<Fadt> {
        Fadt::parse(&self.find(Signature::FADT)?).ok()
    }

    /// The DSDT, which the FADT points to.
    pub fn dsdt(&self) -> Result<Table<'m>, TableError> {
        let table = Table::read(self.memory, self.fadt().map_or(0, |fadt| fadt.dsdt))?;
        table.expect(Signature::DSDT, 0)?;
        Ok(table)
    }

    /// The tables with byte code: DSDT, then all SSDTs.
    pub fn aml(&self) -> impl Iterator<Item = Table<'m>> + Clone + use<'m, M> {
        self.dsdt().ok().into_iter().chain(self.all(Signature::SSDT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acpi::sdt::made;

    /// Memory as a few runs of bytes.
    struct Runs(Vec<(u64, Vec<u8>)>);

    impl PhysicalMemory for Runs {
        fn read(&self, phys: u64, len: usize) -> Option<&[u8]> {
            self.0.iter().find_map(|(start, bytes)| {
                let at = usize::try_from(phys.checked_sub(*start)?).ok()?;
                bytes.get(at..at.checked_add(len)?)
            })
        }
    }

    fn rsdp(rsdt: u32, xsdt: u64) -> Rsdp {
        Rsdp { revision: 2, oem_id: *b"SISOEM", rsdt, xsdt, defect: None }
    }

    fn xsdt(addresses: &[u64]) -> Vec<u8> {
        made(Signature::XSDT, 1, &addresses.iter().flat_map(|a| a.to_le_bytes()).collect::<Vec<_>>())
    }

    fn rsdt(addresses: &[u32]) -> Vec<u8> {
        made(Signature::RSDT, 1, &addresses.iter().flat_map(|a| a.to_le_bytes()).collect::<Vec<_>>())
    }

    fn machine() -> Runs {
        let mut bad = made(Signature::SSDT, 1, b"bad");
        bad[36] ^= 1;
        let mut fadt = [0; 80];
        fadt[4..8].copy_from_slice(&0x9000u32.to_le_bytes());
        Runs(vec![
            (0x1000, rsdt(&[0x4000, 0x5000])),
            (0x2000, xsdt(&[0x3000, 0, 0x4000, 0xF000, 0x5000, 0x6000])),
            (0x3000, made(Signature::FADT, 1, &fadt)),
            (0x4000, made(Signature::SSDT, 1, b"one")),
            (0x5000, bad),
            (0x6000, made(Signature::SSDT, 1, b"two")),
            (0x9000, made(Signature::DSDT, 1, b"dsdt")),
        ])
    }

    #[test]
    fn bad_tables_are_skipped_and_counted() {
        let memory = machine();
        let tables = Tables::from_rsdp(&memory, rsdp(0x1000, 0x2000)).unwrap();
        assert_eq!(tables.root().signature(), Signature::XSDT);
        assert_eq!((tables.xsdt_error(), tables.left_out()), (None, 0));
        let bad: Vec<_> = tables.bad().map(|bad| (bad.index, bad.phys, bad.error)).collect();
        let expected = [(1, 0, TableError::Null), (3, 0xF000, TableError::Unreadable), (4, 0x5000, bad[2].2)];
        assert_eq!(bad, expected);
        assert!(matches!(bad[2].2, TableError::Checksum(_)));
        assert_eq!(tables.bad_count(), 3);
        assert_eq!(tables.iter().map(|t| t.phys()).collect::<Vec<_>>(), [0x3000, 0x4000, 0x6000]);
    }

    #[test]
    fn finding() {
        let memory = machine();
        let tables = Tables::from_rsdp(&memory, rsdp(0, 0x2000)).unwrap();
        assert_eq!(tables.find(Signature::SSDT).unwrap().body(), b"one");
        assert_eq!(tables.find_nth(Signature::SSDT, 1).unwrap().body(), b"two", "past the bad one");
        assert!(tables.find_nth(Signature::SSDT, 2).is_none());
        assert!(tables.find(Signature::MADT).is_none());
        assert_eq!(tables.dsdt().unwrap().body(), b"dsdt");
        assert_eq!(tables.aml().map(|t| t.phys()).collect::<Vec<_>>(), [0x9000, 0x4000, 0x6000]);
    }

    #[test]
    fn the_rsdt_where_the_xsdt_is_not_to_be_believed() {
        let mut memory = machine();
        memory.0[1].1[36] ^= 1;
        let tables = Tables::from_rsdp(&memory, rsdp(0x1000, 0x2000)).unwrap();
        assert_eq!(tables.root().signature(), Signature::RSDT);
        assert!(matches!(tables.xsdt_error(), Some(TableError::Checksum(_))));
        assert_eq!(tables.iter().map(|t| t.phys()).collect::<Vec<_>>(), [0x4000]);
        assert_eq!(tables.dsdt().map(|_| ()), Err(TableError::Null), "no FADT");

        let tables = Tables::from_rsdp(&memory, rsdp(0x1000, 0)).unwrap();
        assert_eq!((tables.root().phys(), tables.xsdt_error()), (0x1000, None));
        let none = |rsdt, xsdt| Tables::from_rsdp(&memory, rsdp(rsdt, xsdt)).map(|_| ()).unwrap_err();
        let RootError::NoList { xsdt: Some(TableError::Checksum(_)), rsdt: None } = none(0, 0x2000) else {
            panic!("{:?}", none(0, 0x2000))
        };
        let other = Some(TableError::Signature(Signature::FADT));
        assert_eq!(none(0x3000, 0x3000), RootError::NoList { xsdt: other, rsdt: other });
    }

    #[test]
    fn a_list_too_long() {
        let memory = Runs(vec![(0x2000, xsdt(&[0; ENTRIES_MAX + 3])), (0x1000, rsdt(&[9; 5]))]);
        let tables = Tables::from_rsdp(&memory, rsdp(0, 0x2000)).unwrap();
        assert_eq!((tables.bad_count(), tables.left_out()), (ENTRIES_MAX, 3));
        assert_eq!(tables.bad().count(), REASONS_MAX);
    }

    #[test]
    fn the_root_pointer_first() {
        let memory = machine();
        let error = Tables::read(&memory, 0x4000).map(|_| ()).unwrap_err();
        assert_eq!(error, RootError::Rsdp(RsdpError::Signature));
    }
}
