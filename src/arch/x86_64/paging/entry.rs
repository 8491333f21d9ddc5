//! One page-table entry.
//! Source: Intel SDM vol. 3 tables 4-15 to 4-20.

use bitflags::bitflags;
use core::fmt;

bitflags! {
    /// The flag bits of an entry. PWT, PCD and PAT together choose one of eight cache types
    /// (`cpu::enable` sets what they mean: PWT alone is write-combining).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Flags: u64 {
        const PRESENT = 1 << 0;
        const WRITE = 1 << 1;
        const USER = 1 << 2;
        /// Cache type, bit 0.
        const PWT = 1 << 3;
        /// Cache type, bit 1.
        const PCD = 1 << 4;
        const ACCESSED = 1 << 5;
        const DIRTY = 1 << 6;
        /// In levels 2 and 3: a page, not a table. In level 1 this bit is cache type, bit 2.
        const LARGE = 1 << 7;
        /// Stays in the TLB when CR3 changes.
        const GLOBAL = 1 << 8;
        /// Ours, the CPU ignores it: not present, but the page is kept (`Rights::None`).
        const HELD = 1 << 9;
        const NO_EXECUTE = 1 << 63;
    }
}

impl Flags {
    /// Flags of an entry that points to another table: permissions are the leaves' business.
    pub const TABLE: Self = Self::PRESENT.union(Self::WRITE);
    /// The same where the leaves may be a user's.
    pub const USER_TABLE: Self = Self::TABLE.union(Self::USER);
}

/// An entry as the CPU reads it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Entry(pub u64);

impl Entry {
    /// Bits 51:12.
    const ADDRESS: u64 = 0x000F_FFFF_FFFF_F000;

    /// An entry with a page-aligned physical address.
    pub const fn new(phys: u64, flags: Flags) -> Self {
        Self(phys & Self::ADDRESS | flags.bits())
    }

    pub const fn present(self) -> bool {
        self.0 & Flags::PRESENT.bits() != 0
    }

    /// Whether this entry maps memory itself instead of pointing to another table.
    pub const fn is_leaf(self, level: u32) -> bool {
        level == 1 || self.0 & Flags::LARGE.bits() != 0
    }

    /// Physical address of the table, or of the page. In a large page, bit 12 is a cache type bit.
    pub const fn address(self, level: u32) -> u64 {
        let address = self.0 & Self::ADDRESS;
        if level > 1 && self.is_leaf(level) { address & !(super::page_size(level) - 1) } else { address }
    }

    pub const fn flags(self) -> Flags {
        Flags::from_bits_truncate(self.0)
    }
}

/// Flags in the way of `ls -l`: "rw-x" with `-` for what is not set, then those that are unusual.
impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = |on, c| if on { c } else { '-' };
        write!(
            f,
            "{}{}{}{}",
            letter(self.contains(Self::PRESENT), 'R'),
            letter(self.contains(Self::WRITE), 'W'),
            letter(!self.contains(Self::NO_EXECUTE), 'X'),
            letter(self.contains(Self::USER), 'U'),
        )?;
        for (flag, name) in [
            (Self::GLOBAL, " G"),
            (Self::PWT, " PWT"),
            (Self::PCD, " PCD"),
            (Self::ACCESSED, " A"),
            (Self::DIRTY, " D"),
        ] {
            if self.contains(flag) {
                f.write_str(name)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn address_of_a_large_page_leaves_its_pat_bit_out() {
        let entry = Entry(0x4000_0000 | 1 << 12 | Flags::LARGE.bits() | 1);
        assert_eq!(entry.address(2), 0x4000_0000);
        assert_eq!(entry.address(1), 0x4000_1000);
    }

    #[test]
    fn no_execute_is_not_part_of_the_address() {
        let entry = Entry::new(0x1234_5000, Flags::PRESENT | Flags::NO_EXECUTE);
        assert_eq!(entry.address(1), 0x1234_5000);
        assert_eq!(entry.flags(), Flags::PRESENT | Flags::NO_EXECUTE);
    }

    #[test]
    fn text_form() {
        assert_eq!(
            format!("{}", Flags::PRESENT | Flags::WRITE | Flags::NO_EXECUTE | Flags::GLOBAL),
            "RW-- G"
        );
        assert_eq!(format!("{}", Flags::PRESENT | Flags::USER | Flags::PWT), "R-XU PWT");
    }
}
