//! Addresses and page numbers, as types that do not mix.
//!
//! A physical address cannot be dereferenced, a virtual one cannot go into a page-table entry, and a number of bytes
//! is neither; as plain integers all three add up without a word. Here they do not: what makes one out of another
//! has a name ([`PhysAddr::to_direct`]), and arithmetic that could leave the address space says so.
//!
//! | of | bytes | pages | runs of pages |
//! | --- | --- | --- | --- |
//! | RAM and devices | [`PhysAddr`] | [`Frame`] | [`FrameRange`] |
//! | what instructions name | [`VirtAddr`] | [`Page`] | [`PageRange`] |
//!
//! Used by all of `mm` and above; uses the layout's numbers only.
//! Source: Intel SDM vol. 1 §3.3.7.1 (canonical addresses); vol. 3 §4.1.4 (MAXPHYADDR), §4.5 (sizes of pages).

mod pages;
#[cfg(test)]
mod tests;

use crate::arch::x86_64::paging::is_canonical;
use crate::boot::layout::{
    DIRECT_MAP_BASE, DIRECT_MAP_SIZE, HUGE_PAGE_SIZE, LARGE_PAGE_SIZE, PAGE_SIZE, USER_END,
};
use crate::boot::memmap::PHYS_END;
use core::fmt;
pub use pages::{Frame, FrameRange, Page, PageRange};

/// The sizes in which a page can be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PageSize {
    /// 4 KiB, by an entry of a page table.
    Small,
    /// 2 MiB, by an entry of a page directory.
    Large,
    /// 1 GiB, by an entry of a page-directory-pointer table.
    Huge,
}

impl PageSize {
    /// From small to huge.
    pub const ALL: [Self; 3] = [Self::Small, Self::Large, Self::Huge];

    pub const fn bytes(self) -> u64 {
        match self {
            Self::Small => PAGE_SIZE,
            Self::Large => LARGE_PAGE_SIZE,
            Self::Huge => HUGE_PAGE_SIZE,
        }
    }

    /// How many small pages it is.
    pub const fn pages(self) -> u64 {
        self.bytes() / PAGE_SIZE
    }

    /// The level of the table whose entry maps it; 1 is the page table.
    pub const fn level(self) -> u32 {
        match self {
            Self::Small => 1,
            Self::Large => 2,
            Self::Huge => 3,
        }
    }

    const fn mask(self) -> u64 {
        self.bytes() - 1
    }
}

/// A physical address: below 2^52, where a processor can put it on its bus.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct PhysAddr(u64);

impl PhysAddr {
    /// `None` from 2^52 on.
    pub const fn new(address: u64) -> Option<Self> {
        if address < PHYS_END { Some(Self(address)) } else { None }
    }

    pub const fn as_u64(self) -> u64 {
        self.0
    }

    pub const fn checked_add(self, bytes: u64) -> Option<Self> {
        match self.0.checked_add(bytes) {
            Some(sum) => Self::new(sum),
            None => None,
        }
    }

    pub const fn checked_sub(self, bytes: u64) -> Option<Self> {
        match self.0.checked_sub(bytes) {
            Some(difference) => Some(Self(difference)),
            None => None,
        }
    }

    /// Bytes from `lower` up to here; `None` if `lower` is above.
    pub const fn bytes_from(self, lower: Self) -> Option<u64> {
        self.0.checked_sub(lower.0)
    }

    pub const fn is_aligned(self, size: PageSize) -> bool {
        self.0 & size.mask() == 0
    }

    /// The start of the page of that size that it is in.
    pub const fn align_down(self, size: PageSize) -> Self {
        Self(self.0 & !size.mask())
    }

    /// The next start of a page, or the address itself if it is one; `None` past the last.
    pub const fn align_up(self, size: PageSize) -> Option<Self> {
        match self.checked_add(size.mask()) {
            Some(sum) => Some(sum.align_down(size)),
            None => None,
        }
    }

    /// Where the direct map has it, if it reaches so far. Whether there is RAM the memory map knows.
    pub const fn to_direct(self) -> Option<VirtAddr> {
        if self.0 < DIRECT_MAP_SIZE { Some(VirtAddr(DIRECT_MAP_BASE + self.0)) } else { None }
    }
}

/// A virtual address: canonical, so the low 47 bits and 17 that are all alike.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct VirtAddr(u64);

impl VirtAddr {
    /// `None` in the hole between the halves.
    pub const fn new(address: u64) -> Option<Self> {
        if is_canonical(address) { Some(Self(address)) } else { None }
    }

    /// Where something of the kernel's own is.
    pub fn of<T: ?Sized>(place: *const T) -> Self {
        Self(place.cast::<u8>() as u64)
    }

    pub const fn as_u64(self) -> u64 {
        self.0
    }

    pub fn as_ptr<T>(self) -> *const T {
        core::ptr::with_exposed_provenance(self.0 as usize)
    }

    pub fn as_mut_ptr<T>(self) -> *mut T {
        core::ptr::with_exposed_provenance_mut(self.0 as usize)
    }

    /// Whether it lies where user programs may map something.
    pub const fn is_user(self) -> bool {
        self.0 < USER_END
    }

    /// Whether it lies in the upper half.
    pub const fn is_kernel(self) -> bool {
        self.0 >> 63 == 1
    }

    /// `None` if that is not in the same half any more.
    pub const fn checked_add(self, bytes: u64) -> Option<Self> {
        match self.0.checked_add(bytes) {
            Some(sum) => self.in_same_half(sum),
            None => None,
        }
    }

    /// `None` if that is not in the same half any more.
    pub const fn checked_sub(self, bytes: u64) -> Option<Self> {
        match self.0.checked_sub(bytes) {
            Some(difference) => self.in_same_half(difference),
            None => None,
        }
    }

    const fn in_same_half(self, other: u64) -> Option<Self> {
        if is_canonical(other) && other >> 63 == self.0 >> 63 { Some(Self(other)) } else { None }
    }

    /// Bytes from `lower` up to here; `None` if `lower` is above, or in the other half.
    pub const fn bytes_from(self, lower: Self) -> Option<u64> {
        if lower.0 >> 63 == self.0 >> 63 { self.0.checked_sub(lower.0) } else { None }
    }

    pub const fn is_aligned(self, size: PageSize) -> bool {
        self.0 & size.mask() == 0
    }

    /// The start of the page of that size that it is in.
    pub const fn align_down(self, size: PageSize) -> Self {
        Self(self.0 & !size.mask())
    }

    /// The next start of a page, or the address itself if it is one; `None` past the last of the half.
    pub const fn align_up(self, size: PageSize) -> Option<Self> {
        match self.checked_add(size.mask()) {
            Some(sum) => Some(sum.align_down(size)),
            None => None,
        }
    }

    /// The physical address behind a place in the direct map; `None` for any other place.
    pub const fn direct_to_phys(self) -> Option<PhysAddr> {
        match self.0.checked_sub(DIRECT_MAP_BASE) {
            Some(offset) if offset < DIRECT_MAP_SIZE => Some(PhysAddr(offset)),
            _ => None,
        }
    }
}

/// Hexadecimal in both forms of output; `{:?}` names the type.
macro_rules! shown_as_hex {
    ($($type:ident: $value:expr;)*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::LowerHex::fmt(&$value(*self), f)
            }
        }

        impl fmt::LowerHex for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::LowerHex::fmt(&$value(*self), f)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($type), "({:#x})"), $value(*self))
            }
        }
    )*};
}

shown_as_hex! {
    PhysAddr: PhysAddr::as_u64;
    VirtAddr: VirtAddr::as_u64;
    Frame: |frame: Frame| frame.start().as_u64();
    Page: |page: Page| page.start().as_u64();
}
