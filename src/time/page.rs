//! The clock page: what a program needs to know the time by itself.
//!
//! One page that every program can read, just below the vDSO (asm/vdso/vdso.S), which is its only reader. It holds the line
//! that the clock is (`time::clock`): nanoseconds through a point, by the TSC. Whoever changes the clock goes through
//! [`ClockPage::begin`] and [`Change::end`], around the change:
//!
//! ```text
//!   sequence   readers
//!   even       compute, and look again: the same as before, or once more
//!   odd        ask the kernel: the clock is being changed, or is not the TSC
//! ```
//!
//! **No program sees time go back**, on whatever CPU it asks, by whichever way. `begin` makes the sequence odd before the
//! clock takes the count at which its lines meet; so a value that was computed here and found good was of an earlier
//! count on the old line. What comes after it goes through the kernel, which sees to it itself, until `end`: then the new
//! line is in force.
//!
//! Compiled into build.rs too: uses nothing of the crate.
//! Source: H. Boehm, "Can Seqlocks Get Along With Programming Language Memory Models?" (MSPC 2012).

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, fence};

/// Bits behind the point of [`Line::scaled`]: those of `time::rate`, as src/proc/vdso/mod.rs sees to.
pub const FRACTION_BITS: u64 = 40;

/// A clock by the TSC, as numbers: at the count `anchor` it is `base_ns`, and `scaled` / 2^40 more with each count, of which
/// `most` may have passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    pub anchor: u64,
    pub base_ns: u64,
    /// Nanoseconds per count, times 2^40.
    pub scaled: u64,
    /// More counts than this since the anchor mean that the count is from before it.
    pub most: u64,
}

/// How a program finds out which CPU it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum CpuBy {
    /// It asks the kernel.
    Call = 0,
    /// RDTSCP: every CPU's IA32_TSC_AUX is its number, and its node's shifted left by 12.
    Rdtscp = 1,
}

/// The page. `changing` is the kernel's own, and no secret.
#[repr(C, align(4096))]
pub struct ClockPage {
    sequence: AtomicU64,
    anchor: AtomicU64,
    base_ns: AtomicU64,
    scaled: AtomicU64,
    most: AtomicU64,
    /// To be added for nanoseconds since 1970.
    wall_ns: AtomicI64,
    cpu_by: AtomicU32,
    changing: AtomicBool,
}

impl ClockPage {
    /// Programs ask the kernel.
    pub const fn new() -> Self {
        Self {
            sequence: AtomicU64::new(1),
            anchor: AtomicU64::new(0),
            base_ns: AtomicU64::new(0),
            scaled: AtomicU64::new(0),
            most: AtomicU64::new(0),
            wall_ns: AtomicI64::new(0),
            cpu_by: AtomicU32::new(CpuBy::Call as u32),
            changing: AtomicBool::new(false),
        }
    }

    /// From here on programs ask the kernel: the clock is about to be changed, or set. `None` if somebody else is just
    /// doing so, on another CPU or below this on the same; he must not be waited for with interrupts off.
    pub fn begin(&self) -> Option<Change<'_>> {
        if self.changing.swap(true, Acquire) {
            return None;
        }
        let sequence = self.sequence.load(Relaxed);
        // With a full barrier: no count that the change is made by may be read before programs are sent away.
        self.sequence.swap(sequence | 1, SeqCst);
        fence(SeqCst);
        Some(Change(self))
    }

    /// Once, when every CPU that runs programs has it so.
    pub fn set_cpu_by(&self, by: CpuBy) {
        self.cpu_by.store(by as u32, Relaxed);
    }
}

impl Default for ClockPage {
    fn default() -> Self {
        Self::new()
    }
}

/// A change under way. One that is dropped leaves programs to ask the kernel.
#[must_use]
pub struct Change<'a>(&'a ClockPage);

impl Change<'_> {
    /// The clock has been changed. `line`: what it is now, `None` if it is not the TSC; `wall_ns` makes it the time of day.
    pub fn end(self, line: Option<Line>, wall_ns: i64) {
        let page = self.0;
        let Some(Line { anchor, base_ns, scaled, most }) = line else { return };
        page.anchor.store(anchor, Relaxed);
        page.base_ns.store(base_ns, Relaxed);
        page.scaled.store(scaled, Relaxed);
        page.most.store(most, Relaxed);
        page.wall_ns.store(wall_ns, Relaxed);
        let odd = page.sequence.load(Relaxed);
        page.sequence.store(odd.wrapping_add(1), Release);
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        // If `end` has made the sequence even it stays so.
        self.0.changing.store(false, Release);
    }
}

macro_rules! offset {
    ($name:literal, $field:ident) => {
        ($name, core::mem::offset_of!(ClockPage, $field) as u64)
    };
}

/// What assembly knows of it; see build.rs.
pub const ASM: &[(&str, u64)] = &[
    offset!("CLOCK_PAGE_SEQUENCE", sequence),
    offset!("CLOCK_PAGE_ANCHOR", anchor),
    offset!("CLOCK_PAGE_BASE_NS", base_ns),
    offset!("CLOCK_PAGE_SCALED", scaled),
    offset!("CLOCK_PAGE_MOST", most),
    offset!("CLOCK_PAGE_WALL_NS", wall_ns),
    offset!("CLOCK_PAGE_CPU_BY", cpu_by),
    ("CLOCK_PAGE_BY_RDTSCP", CpuBy::Rdtscp as u64),
    ("CLOCK_PAGE_FRACTION_BITS", FRACTION_BITS),
];
