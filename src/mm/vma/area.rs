//! What a mapping is, besides where: rights, flags, and what its bytes come from.
//!
//! The attributes of the tree's ranges in an address space ([`super::space`]). Two areas side by side are one if they
//! agree in all of this and, for a file, the second goes on where the first ends. Memory without a file has no offset,
//! so it stays mergeable wherever it is moved.

use bitflags::bitflags;

use super::span::Span;
use super::tree::Attributes;
use crate::boot::layout::PAGE_SIZE;

bitflags! {
    /// `PROT_*`: what a program may do with a page.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Prot: u32 {
        const READ = 1;
        const WRITE = 2;
        const EXEC = 4;
    }

    /// What an area is. The numbers are the kernel's own.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Flags: u32 {
        /// Writes are seen by all who map the same object; without it they are the writer's own.
        const SHARED = 1 << 0;
        /// A stack: grows to the address of a fault below it.
        const GROWS_DOWN = 1 << 1;
        /// Never charged to the commit account (`MAP_NORESERVE`).
        const NO_RESERVE = 1 << 2;
        /// Each page of it is charged.
        const CHARGED = 1 << 3;
        /// Private and writable once, so it may hold pages that are nowhere else: `fork` has to copy its tables.
        const OWN_PAGES = 1 << 4;
        /// A child does not get it (`MADV_DONTFORK`).
        const NO_FORK = 1 << 5;
        /// A child gets it empty (`MADV_WIPEONFORK`).
        const WIPE_ON_FORK = 1 << 6;
    }
}

/// Where the first content of a page comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backing<F> {
    /// From nowhere: zeroes. Always private; shared memory is an object of its own.
    Zero,
    /// From a file, or from memory that stands for one, from the byte `offset` on, page-aligned.
    Object { object: F, offset: u64 },
}

/// The attributes of a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Area<F> {
    pub prot: Prot,
    /// The most that `mprotect` may give: less than everything for a shared file that is not open for writing.
    pub max_prot: Prot,
    pub flags: Flags,
    pub backing: Backing<F>,
}

/// Bytes below a stack that stay unmapped: 256 pages, as on Linux, so that a function with a large frame cannot step
/// over them into what lies below.
pub const STACK_GUARD: u64 = 256 * PAGE_SIZE;

impl<F> Area<F> {
    /// Whether writes go to pages of the program's own.
    pub const fn is_private(&self) -> bool {
        !self.flags.contains(Flags::SHARED)
    }

    /// Whether it counts for `RLIMIT_DATA`: private, writable, and no stack.
    pub const fn is_data(&self) -> bool {
        self.prot.contains(Prot::WRITE) && !self.flags.intersects(Flags::SHARED.union(Flags::GROWS_DOWN))
    }

    /// The pages of it that are charged, if it is `span`.
    pub const fn charged_pages(&self, span: Span) -> u64 {
        if self.flags.contains(Flags::CHARGED) { span.pages() } else { 0 }
    }
}

impl<F: Clone + PartialEq> Attributes for Area<F> {
    fn from(&self, by: u64) -> Self {
        let backing = match &self.backing {
            Backing::Zero => Backing::Zero,
            Backing::Object { object, offset } => {
                Backing::Object { object: object.clone(), offset: offset + by }
            }
        };
        Self { backing, ..*self }
    }

    fn continues(&self, len: u64, next: &Self) -> bool {
        let goes_on = match (&self.backing, &next.backing) {
            (Backing::Zero, Backing::Zero) => true,
            (
                Backing::Object { object, offset },
                Backing::Object { object: next_object, offset: next_offset },
            ) => offset.wrapping_add(len) == *next_offset && object == next_object,
            _ => false,
        };
        goes_on && self.prot == next.prot && self.max_prot == next.max_prot && self.flags == next.flags
    }

    fn guard(&self) -> u64 {
        if self.flags.contains(Flags::GROWS_DOWN) { STACK_GUARD } else { 0 }
    }
}
