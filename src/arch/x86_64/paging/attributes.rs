//! What a mapping allows, by name, and how an entry says it.
//!
//! Writable and executable at once cannot be said: [`Rights`] has no word for it. Nor can a page be both the user's and
//! global: it would stay in the TLB when its address space goes.
//!
//! The cache type is an index of three bits into the PAT (`cpu::enable` fills it). Two of them are where they always
//! were; the third is bit 7 in an entry for 4 KiB, and bit 12 in larger ones, whose bit 7 says that they are large.
//! Source: Intel SDM vol. 3 §4.9.2 (PAT), tables 4-15 to 4-20; §11.12.4.

use super::{Entry, Flags, page_size};

/// What may be done with a page. All but `None` may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Nothing: the entry keeps its page for better times (`mprotect(PROT_NONE)`), but is not present.
    None,
    Read,
    Write,
    Execute,
}

/// How the processor caches what is behind a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// RAM.
    WriteBack,
    /// Writes are collected, in any order; reads go to the device. For frame buffers.
    WriteCombining,
    /// Every access goes to the device as it is. For registers.
    Uncached,
    /// Reads are cached, writes go through.
    WriteThrough,
}

impl Cache {
    pub const ALL: [Self; 4] = [Self::WriteBack, Self::WriteCombining, Self::Uncached, Self::WriteThrough];

    /// Which entry of the PAT.
    pub const fn index(self) -> u64 {
        match self {
            Self::WriteBack => 0,
            Self::WriteCombining => 1,
            Self::Uncached => 3,
            Self::WriteThrough => 7,
        }
    }
}

/// All that is to be said of a mapping but the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    rights: Rights,
    user: bool,
    global: bool,
    cache: Cache,
}

impl Attributes {
    /// The kernel's own, in every address space: global.
    pub const fn kernel(rights: Rights) -> Self {
        Self { rights, user: false, global: true, cache: Cache::WriteBack }
    }

    /// A user program's.
    pub const fn user(rights: Rights) -> Self {
        Self { rights, user: true, global: false, cache: Cache::WriteBack }
    }

    pub const fn cached(self, cache: Cache) -> Self {
        Self { cache, ..self }
    }

    /// Not global: in one set of tables only.
    pub const fn local(self) -> Self {
        Self { global: false, ..self }
    }
}

/// The third bit of the cache type, by level.
const fn pat_bit(level: u32) -> u64 {
    if level == 1 { Flags::LARGE.bits() } else { 1 << 12 }
}

const PRESENT: u64 = Flags::PRESENT.bits();
const WRITE: u64 = Flags::WRITE.bits();
const HELD: u64 = Flags::HELD.bits();
const NO_EXECUTE: u64 = Flags::NO_EXECUTE.bits();
const PWT: u64 = Flags::PWT.bits();
const PCD: u64 = Flags::PCD.bits();

impl Entry {
    /// An entry of a table at `level` that maps a page of that size.
    pub const fn leaf(phys: u64, attributes: Attributes, level: u32) -> Self {
        let mut bits = if level > 1 { Flags::LARGE.bits() } else { 0 };
        if attributes.user {
            bits |= Flags::USER.bits();
        }
        if attributes.global {
            bits |= Flags::GLOBAL.bits();
        }
        let index = attributes.cache.index();
        bits |= ((index & 1) * PWT) | (((index >> 1) & 1) * PCD) | ((index >> 2) * pat_bit(level));
        Self(phys | bits).with_rights(attributes.rights)
    }

    /// Whether nothing is here: no page, no table, nothing held.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    const fn has(self, bit: u64) -> u64 {
        (self.0 & bit != 0) as u64
    }

    /// The cache type that the entry of a page at `level` asks for, as an index into the PAT.
    pub const fn cache_index(self, level: u32) -> u64 {
        self.has(PWT) | self.has(PCD) << 1 | self.has(pat_bit(level)) << 2
    }

    /// The same page with these rights.
    ///
    /// With `Rights::None` it keeps its WRITE bit, which then means "could be written", see
    /// [`limited_to`](Self::limited_to). A page that is held is no secret that a processor with the L1TF fault could
    /// give away: it is its own program's.
    pub const fn with_rights(self, rights: Rights) -> Self {
        let bits = self.0 & !(PRESENT | HELD);
        Self(match rights {
            Rights::None => bits | HELD,
            Rights::Read => bits & !WRITE | PRESENT | NO_EXECUTE,
            Rights::Write => bits | PRESENT | WRITE | NO_EXECUTE,
            Rights::Execute => bits & !(WRITE | NO_EXECUTE) | PRESENT,
        })
    }

    /// The same page with these rights, but not writable if it was not: it may wait to be copied, which is the page
    /// fault's business. For `mprotect`.
    pub const fn limited_to(self, rights: Rights) -> Self {
        let Self(bits) = self.with_rights(rights);
        if self.0 & WRITE == 0 { Self(bits & !WRITE) } else { Self(bits) }
    }

    /// Entry number `index` of the table that says the same as this large page at `level`.
    pub const fn piece(self, level: u32, index: u64) -> Self {
        let mut bits = self.0;
        if level == 2 {
            // First off with the bit: it becomes one of the address.
            bits &= !(Flags::LARGE.bits() | pat_bit(2));
            bits |= self.has(pat_bit(2)) * pat_bit(1);
        }
        Self(bits + index * page_size(level - 1))
    }

    /// Whether a translation by this entry, at whatever level, must leave the TLB when the entry becomes `new`.
    ///
    /// A user's page that is only allowed more needs no flush: the old translation faults, a fault drops it, and the
    /// fault's handler finds all well. The kernel's own page faults are errors, so there the answer is yes.
    pub const fn outdated_by(self, new: Self) -> bool {
        const SEEN: u64 = Flags::ACCESSED.bits() | Flags::DIRTY.bits() | HELD;
        const MORE: u64 = PRESENT | WRITE;
        let gone = self.0 & !new.0 & !SEEN & !NO_EXECUTE;
        let came = new.0 & !self.0 & !SEEN;
        let only_more = gone == 0 && came & !MORE == 0 && self.0 & Flags::USER.bits() != 0;
        let changed = (self.0 ^ new.0) & !SEEN != 0;
        self.present() && changed && !only_more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Rights; 4] = [Rights::None, Rights::Read, Rights::Write, Rights::Execute];

    #[test]
    fn nothing_is_writable_and_executable() {
        for level in 1..=3 {
            for (first, second) in ALL.into_iter().flat_map(|a| ALL.map(|b| (a, b))) {
                let entry = Entry::leaf(1 << 30, Attributes::user(first), level);
                for entry in [entry, entry.with_rights(second), entry.limited_to(second)] {
                    let flags = entry.flags();
                    let both =
                        flags.contains(Flags::WRITE | Flags::PRESENT) && !flags.contains(Flags::NO_EXECUTE);
                    assert!(!both, "{first:?} {second:?}");
                    assert!(!entry.is_empty() && entry.is_leaf(level) && entry.address(level) == 1 << 30);
                }
            }
        }
    }

    #[test]
    fn rights_limited_do_not_grow_back() {
        let entry = Entry::leaf(0x5000, Attributes::user(Rights::Write), 1);
        let held = entry.limited_to(Rights::None);
        assert!(!held.present());
        assert_eq!(held.limited_to(Rights::Write), entry);
        let read = held.limited_to(Rights::Read);
        assert!(read.present() && !read.flags().contains(Flags::WRITE));
        assert_eq!(read.limited_to(Rights::Write), read);
        assert_eq!(read.with_rights(Rights::Write), entry);
    }

    #[test]
    fn pieces_say_what_the_large_page_said() {
        for cache in Cache::ALL {
            let attributes = Attributes::kernel(Rights::Write).cached(cache);
            for level in [2, 3] {
                let large = Entry::leaf(7 << 30, attributes, level);
                assert_eq!(large.cache_index(level), cache.index());
                for index in [0, 1, 255, 511] {
                    let phys = (7 << 30) + index * page_size(level - 1);
                    assert_eq!(
                        large.piece(level, index),
                        Entry::leaf(phys, attributes, level - 1),
                        "{cache:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_needs_a_flush() {
        let user = |rights| Entry::leaf(0x5000, Attributes::user(rights), 1);
        let kernel = |rights| Entry::leaf(0x5000, Attributes::kernel(rights), 1);
        assert!(user(Rights::Write).outdated_by(user(Rights::Read)));
        assert!(user(Rights::Execute).outdated_by(user(Rights::Read)));
        assert!(user(Rights::Read).outdated_by(user(Rights::None)));
        assert!(user(Rights::Execute).outdated_by(user(Rights::Write)), "loses the right to execute");
        assert!(!user(Rights::None).outdated_by(user(Rights::Read)), "was in no TLB");
        assert!(!user(Rights::Read).outdated_by(user(Rights::Write)), "more rights");
        assert!(!user(Rights::Read).outdated_by(user(Rights::Execute)), "more rights");
        assert!(kernel(Rights::Read).outdated_by(kernel(Rights::Write)));
        assert!(!kernel(Rights::Read).outdated_by(kernel(Rights::Read)));
        assert!(user(Rights::Read).outdated_by(Entry::leaf(0x6000, Attributes::user(Rights::Read), 1)));
        let seen = Entry(user(Rights::Write).0 | Flags::ACCESSED.bits() | Flags::DIRTY.bits());
        assert!(!seen.outdated_by(user(Rights::Write)));
    }
}
