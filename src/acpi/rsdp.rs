//! The root pointer (RSDP): where the list of tables is.
//!
//! UEFI hands over its address; a BIOS leaves it at a multiple of 16 in one of two areas, and so do emulated
//! firmwares that name none. Used by [`super::Tables`].
//!
//! Source: ACPI 6.5 §5.2.5 Root System Description Pointer.

use core::fmt;

use super::bytes::{bytes_at, sum, u8_at, u16_at, u32_at, u64_at};
use super::memory::PhysicalMemory;

const SIGNATURE: [u8; 8] = *b"RSD PTR ";
/// Bytes of revision 0, and those that the first checksum covers in any revision.
const SIZE_1: usize = 20;
/// Bytes of revision 2; later ones may be longer.
const SIZE_2: usize = 36;
/// No root pointer is longer: the specification has added nothing to 36 in twenty years.
const SIZE_MAX: usize = 4096;

/// Physical address of the word that holds the segment of the extended BIOS data area.
const EBDA_SEGMENT: u64 = 0x40E;
/// The area's first KiB is where the pointer may stand.
const EBDA_LEN: usize = 1024;
/// The BIOS's read-only area.
const BIOS_AREA: u64 = 0xE_0000;
const BIOS_AREA_LEN: usize = 0x2_0000;

/// A root pointer with at least one usable address in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rsdp {
    /// 0 for ACPI 1.0, else 2.
    pub revision: u8,
    /// The maker's six letters.
    pub oem_id: [u8; 6],
    /// Physical address of the RSDT; 0 if there is none.
    pub rsdt: u32,
    /// Physical address of the XSDT; 0 if there is none, or `defect` says why it is not believed.
    pub xsdt: u64,
    /// What is wrong with the part that revision 2 added. The older part is right all the same.
    pub defect: Option<RsdpError>,
}

/// Why some bytes are not a root pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RsdpError {
    /// The memory there cannot be read.
    Unreadable,
    /// Not "RSD PTR ".
    Signature,
    /// The first 20 bytes add up to this instead of 0.
    Checksum(u8),
    /// The length is none of a revision 2 pointer, or more than there is.
    Length(u32),
    /// All bytes of a revision 2 pointer add up to this instead of 0.
    ExtendedChecksum(u8),
    /// Both addresses are 0.
    NoAddress,
}

impl fmt::Display for RsdpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Unreadable => write!(f, "its memory cannot be read"),
            Self::Signature => write!(f, "no \"RSD PTR \" there"),
            Self::Checksum(sum) => write!(f, "its first 20 bytes add up to {sum:#04x}, not 0"),
            Self::Length(length) => write!(f, "it cannot be {length} bytes long"),
            Self::ExtendedChecksum(sum) => write!(f, "its bytes add up to {sum:#04x}, not 0"),
            Self::NoAddress => write!(f, "it names neither RSDT nor XSDT"),
        }
    }
}

impl core::error::Error for RsdpError {}

impl Rsdp {
    /// Reads the pointer at the start of `raw`, which may be longer than it.
    ///
    /// A revision 2 pointer whose extension is broken is taken as far as it is right: as revision 0.
    pub fn parse(raw: &[u8]) -> Result<Self, RsdpError> {
        let old = raw.get(..SIZE_1).ok_or(RsdpError::Unreadable)?;
        if !old.starts_with(&SIGNATURE) {
            return Err(RsdpError::Signature);
        }
        let checksum = sum(old);
        if checksum != 0 {
            return Err(RsdpError::Checksum(checksum));
        }
        let oem_id = bytes_at(old, 9).ok_or(RsdpError::Unreadable)?;
        let revision = u8_at(old, 15).ok_or(RsdpError::Unreadable)?;
        let rsdt = u32_at(old, 16).ok_or(RsdpError::Unreadable)?;
        // Revision 1 was never published; what calls itself so is laid out as revision 0.
        let (xsdt, defect) = match (revision >= 2).then(|| extension(raw)) {
            None => (0, None),
            Some(Ok(xsdt)) => (xsdt, None),
            Some(Err(defect)) => (0, Some(defect)),
        };
        if rsdt == 0 && xsdt == 0 {
            return Err(defect.unwrap_or(RsdpError::NoAddress));
        }
        Ok(Self { revision, oem_id, rsdt, xsdt, defect })
    }

    /// Reads the pointer at a physical address.
    pub fn read<M: PhysicalMemory + ?Sized>(memory: &M, phys: u64) -> Result<Self, RsdpError> {
        let old = memory.read(phys, SIZE_1).ok_or(RsdpError::Unreadable)?;
        if u8_at(old, 15).is_some_and(|revision| revision >= 2) {
            let length = memory.read(phys, SIZE_2).and_then(|raw| u32_at(raw, 20)).unwrap_or(0);
            let wanted = usize::try_from(length).unwrap_or(0);
            if (SIZE_2..=SIZE_MAX).contains(&wanted) {
                return Self::parse(memory.read(phys, wanted).unwrap_or(old));
            }
        }
        Self::parse(memory.read(phys, SIZE_2).unwrap_or(old))
    }
}

/// The XSDT's address out of the part that revision 2 added.
fn extension(raw: &[u8]) -> Result<u64, RsdpError> {
    let length = u32_at(raw, 20).ok_or(RsdpError::Length(0))?;
    let wanted = usize::try_from(length).unwrap_or(usize::MAX);
    let fits = (SIZE_2..=SIZE_MAX).contains(&wanted);
    let whole = raw.get(..wanted).filter(|_| fits).ok_or(RsdpError::Length(length))?;
    match sum(whole) {
        0 => u64_at(whole, 24).ok_or(RsdpError::Length(length)),
        checksum => Err(RsdpError::ExtendedChecksum(checksum)),
    }
}

/// The first pointer in `area`, which begins at a multiple of 16 in physical memory, and its offset there.
pub fn find(area: &[u8]) -> Option<(usize, Rsdp)> {
    (0..area.len()).step_by(16).find_map(|at| {
        let rsdp = Rsdp::parse(area.get(at..)?).ok()?;
        Some((at, rsdp))
    })
}

/// Looks where a BIOS leaves the pointer: the extended BIOS data area, then the read-only area.
/// The address is the pointer's own.
pub fn search<M: PhysicalMemory + ?Sized>(memory: &M) -> Option<(u64, Rsdp)> {
    let segment = memory.read(EBDA_SEGMENT, 2).and_then(|raw| u16_at(raw, 0)).unwrap_or(0);
    let ebda = (u64::from(segment) << 4, EBDA_LEN);
    // A segment of 0, or one below the BIOS's own data, is a word that nobody has set.
    let ebda = Some(ebda).filter(|&(start, _)| start >= 0x500);
    ebda.into_iter().chain([(BIOS_AREA, BIOS_AREA_LEN)]).find_map(|(start, len)| {
        let (at, rsdp) = find(memory.read(start, len)?)?;
        Some((start + at as u64, rsdp))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fix(raw: &mut [u8], at: usize) {
        raw[at] = 0;
        raw[at] = 0u8.wrapping_sub(sum(raw));
    }

    pub(crate) fn pointer(revision: u8, rsdt: u32, xsdt: u64) -> Vec<u8> {
        let mut raw = b"RSD PTR \0SISOEM".to_vec();
        raw.push(revision);
        raw.extend(rsdt.to_le_bytes());
        fix(&mut raw, 8);
        if revision >= 2 {
            raw.extend(36u32.to_le_bytes());
            raw.extend(xsdt.to_le_bytes());
            raw.extend([0; 4]);
            fix(&mut raw, 32);
        }
        raw
    }

    struct Low(Vec<u8>);

    impl PhysicalMemory for Low {
        fn read(&self, phys: u64, len: usize) -> Option<&[u8]> {
            let start = usize::try_from(phys).ok()?;
            self.0.get(start..start.checked_add(len)?)
        }
    }

    #[test]
    fn both_revisions() {
        let old = Rsdp::parse(&pointer(0, 0x1234_5678, 0)).unwrap();
        assert_eq!((old.revision, old.rsdt, old.xsdt, &old.oem_id), (0, 0x1234_5678, 0, b"SISOEM"));
        let new = Rsdp::parse(&pointer(2, 0x1234_5678, 0x1_2345_6789)).unwrap();
        assert_eq!((new.revision, new.rsdt, new.xsdt), (2, 0x1234_5678, 0x1_2345_6789));
        assert_eq!(new.defect, None);
    }

    #[test]
    fn what_is_no_pointer() {
        let good = pointer(0, 0x1000, 0);
        for len in 0..20 {
            assert_eq!(Rsdp::parse(&good[..len]), Err(RsdpError::Unreadable), "{len} bytes");
        }
        for at in 0..20 {
            let mut bad = good.clone();
            bad[at] ^= 0x40;
            let expected = if at < 8 { RsdpError::Signature } else { RsdpError::Checksum(sum(&bad)) };
            assert_eq!(Rsdp::parse(&bad), Err(expected), "byte {at}");
        }
        assert_eq!(Rsdp::parse(&pointer(0, 0, 0)), Err(RsdpError::NoAddress));
        assert_eq!(Rsdp::parse(&pointer(2, 0, 0)), Err(RsdpError::NoAddress));
    }

    #[test]
    fn a_broken_extension_leaves_the_rsdt() {
        let good = pointer(2, 0x1000, 0x2000);
        for at in 20..36 {
            let mut bad = good.clone();
            bad[at] ^= 0x80;
            let rsdp = Rsdp::parse(&bad).unwrap();
            assert_eq!((rsdp.rsdt, rsdp.xsdt), (0x1000, 0), "byte {at}");
            assert!(rsdp.defect.is_some(), "byte {at}");
        }
        let short = Rsdp::parse(&good[..35]).unwrap();
        assert_eq!((short.xsdt, short.defect), (0, Some(RsdpError::Length(36))));
        let mut alone = pointer(2, 0, 0x2000);
        alone[24] ^= 1;
        assert!(matches!(Rsdp::parse(&alone), Err(RsdpError::ExtendedChecksum(_))));
    }

    #[test]
    fn read_takes_the_length_it_states() {
        let mut raw = pointer(2, 0x1000, 0x2000);
        raw.extend([7, 7, 7, 7]);
        raw[20] = 40;
        fix(&mut raw, 32);
        assert_eq!(Rsdp::read(&Low(raw.clone()), 0).unwrap().xsdt, 0x2000);
        raw.truncate(38);
        let cut = Rsdp::read(&Low(raw.clone()), 0).unwrap();
        assert_eq!(cut.defect, Some(RsdpError::Length(0)), "memory ends inside it");
        raw.truncate(19);
        assert_eq!(Rsdp::read(&Low(raw), 0), Err(RsdpError::Unreadable));
    }

    #[test]
    fn found_in_either_area_at_multiples_of_16() {
        let mut memory = Low(vec![0; 0x10_0000]);
        assert_eq!(search(&memory), None);
        let raw = pointer(2, 0x1000, 0x2000);
        memory.0[0xF_FFE8..0xF_FFE8 + 20].copy_from_slice(&raw[..20]);
        assert_eq!(search(&memory), None, "not at a multiple of 16");
        memory.0[0xE_0000..0xE_0024].copy_from_slice(&raw);
        assert_eq!(search(&memory).unwrap().0, 0xE_0000);
        memory.0[0x40E..0x410].copy_from_slice(&[0xC0, 0x9F]);
        assert_eq!(search(&memory).unwrap().0, 0xE_0000, "nothing in the EBDA");
        memory.0[0x9_FC10..0x9_FC34].copy_from_slice(&raw);
        assert_eq!(search(&memory).unwrap().0, 0x9_FC10);
        memory.0[0x9_FC10 + 8] ^= 1;
        assert_eq!(search(&memory).unwrap().0, 0xE_0000, "a broken one is passed over");
        memory.0.truncate(0xA_0000);
        assert_eq!(search(&memory), None);
    }

    #[test]
    fn an_old_pointer_at_the_very_end_of_the_area() {
        let mut area = vec![0; 0x2_0000 - 12];
        let at = 0x2_0000 - 32;
        area[at..].copy_from_slice(&pointer(0, 0x1000, 0));
        assert_eq!(find(&area).unwrap().0, at);
    }
}
