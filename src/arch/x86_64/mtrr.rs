//! Memory type range registers: which physical addresses are cached and how, as the firmware has set it up.
//!
//! This kernel takes them as they are and chooses cache types in page tables (the PAT). But each CPU has a set of its
//! own, and where two sets differ, one CPU caches what the other does not: stores get lost, and nothing reports it. So
//! a CPU that differs from the boot CPU is told of, and given the same.
//!
//! Firmware has been known to forget a CPU. And QEMU's software CPU forgets at each INIT, and with that whenever another
//! CPU is started, what hardware keeps (SDM vol. 3 table 10-1: "INIT: unchanged").
//!
//! [`Mtrrs::read`] copies the registers by any way of reading them, [`Mtrrs::difference`] compares two copies in what
//! takes effect (a pair that is not valid says nothing, nor do fixed ranges that are off), and [`Mtrrs::load`] writes
//! one into another CPU, within the frame that the manual prescribes.
//! Source: Intel SDM vol. 3 §12.11 (MTRRs), §12.11.7.2 (changing them), §12.11.8 (with several CPUs); AMD APM vol. 2
//! §7.7.

use super::msr::numbers::{
    IA32_MTRR_DEF_TYPE, IA32_MTRR_FIX, IA32_MTRR_PHYSBASE0, IA32_MTRR_PHYSMASK0, IA32_MTRRCAP,
};
use core::fmt;

/// Pairs for variable ranges that the numbers of the registers leave room for. CPUs have eight or ten.
pub const MAX_PAIRS: usize = 40;
const FIXED: usize = IA32_MTRR_FIX.len();

/// Of IA32_MTRRCAP: the number of pairs; fixed ranges exist; write-combining exists.
const CAP_PAIRS: u64 = 0xFF;
const CAP_FIXED: u64 = 1 << 8;
const CAP_WC: u64 = 1 << 10;
/// Of IA32_MTRR_DEF_TYPE: the type of what no range has; fixed ranges are on; all of it is on.
const DEFAULT_TYPE: u64 = 0xFF;
const FIXED_ON: u64 = 1 << 10;
const ON: u64 = 1 << 11;
/// Of a PHYSMASK: the pair is valid.
const VALID: u64 = 1 << 11;

/// One CPU's registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mtrrs {
    cap: u64,
    default: u64,
    fixed: [u64; FIXED],
    /// Base and mask.
    pairs: [(u64, u64); MAX_PAIRS],
}

/// The first register in which two CPUs differ: its number, and what each has there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    pub register: u32,
    pub ours: u64,
    pub theirs: u64,
}

impl Difference {
    /// Whether [`Mtrrs::load`] helps: not where the CPUs have different registers.
    pub const fn is_curable(&self) -> bool {
        self.register != IA32_MTRRCAP
    }
}

impl Mtrrs {
    /// Copies them; `read` is asked for no register that IA32_MTRRCAP does not announce.
    pub fn read(read: impl Fn(u32) -> u64) -> Self {
        let (cap, default) = (read(IA32_MTRRCAP), read(IA32_MTRR_DEF_TYPE));
        let mut found = Self { cap, default, fixed: [0; FIXED], pairs: [(0, 0); MAX_PAIRS] };
        if cap & CAP_FIXED != 0 {
            found.fixed = IA32_MTRR_FIX.map(&read);
        }
        let count = found.pair_count();
        for (number, pair) in (0..).step_by(2).zip(&mut found.pairs[..count]) {
            *pair = (read(IA32_MTRR_PHYSBASE0 + number), read(IA32_MTRR_PHYSMASK0 + number));
        }
        found
    }

    fn pair_count(&self) -> usize {
        ((self.cap & CAP_PAIRS) as usize).min(MAX_PAIRS)
    }

    /// Pairs that are in use.
    pub fn valid_pairs(&self) -> usize {
        self.pairs.iter().filter(|pair| pair.1 & VALID != 0).count()
    }

    /// Writes all of them, where IA32_MTRRCAP is the same. Nothing else is cached by them meanwhile: the caller sees to the
    /// rest, and to the caches whenever `flush` is called.
    pub fn load(&self, mut write: impl FnMut(u32, u64), flush: impl FnOnce()) {
        write(IA32_MTRR_DEF_TYPE, self.default & !ON);
        if self.cap & CAP_FIXED != 0 {
            IA32_MTRR_FIX.into_iter().zip(self.fixed).for_each(|(number, value)| write(number, value));
        }
        for (number, (base, mask)) in (0..).step_by(2).zip(&self.pairs[..self.pair_count()]) {
            write(IA32_MTRR_PHYSBASE0 + number, *base);
            write(IA32_MTRR_PHYSMASK0 + number, *mask);
        }
        flush();
        write(IA32_MTRR_DEF_TYPE, self.default);
    }

    /// Where `theirs` differ in what takes effect.
    pub fn difference(&self, theirs: &Self) -> Option<Difference> {
        let differ = |register, mask: u64, ours: u64, theirs: u64| {
            ((ours ^ theirs) & mask != 0).then_some(Difference { register, ours, theirs })
        };
        let in_head =
            differ(IA32_MTRRCAP, CAP_PAIRS | CAP_FIXED | CAP_WC, self.cap, theirs.cap).or_else(|| {
                differ(IA32_MTRR_DEF_TYPE, ON | FIXED_ON | DEFAULT_TYPE, self.default, theirs.default)
            });
        if in_head.is_some() || self.default & ON == 0 {
            return in_head;
        }
        let fixed_count = if self.default & FIXED_ON != 0 { FIXED } else { 0 };
        let fixed =
            (0..fixed_count).find_map(|n| differ(IA32_MTRR_FIX[n], u64::MAX, self.fixed[n], theirs.fixed[n]));
        fixed.or_else(|| {
            (0..self.pair_count()).find_map(|n| {
                let (ours, theirs) = (self.pairs[n], theirs.pairs[n]);
                if (ours.1 | theirs.1) & VALID == 0 {
                    return None;
                }
                let at = 2 * n as u32;
                differ(IA32_MTRR_PHYSMASK0 + at, u64::MAX, ours.1, theirs.1)
                    .or_else(|| differ(IA32_MTRR_PHYSBASE0 + at, u64::MAX, ours.0, theirs.0))
            })
        })
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { register, ours, theirs } = self;
        match *register {
            IA32_MTRRCAP => f.write_str("IA32_MTRRCAP")?,
            IA32_MTRR_DEF_TYPE => f.write_str("IA32_MTRR_DEF_TYPE")?,
            fixed if IA32_MTRR_FIX.contains(&fixed) => write!(f, "fixed MTRR {fixed:#x}")?,
            pair => {
                let which = if pair % 2 == 0 { "PHYSBASE" } else { "PHYSMASK" };
                write!(f, "IA32_MTRR_{which}{}", pair.saturating_sub(IA32_MTRR_PHYSBASE0) / 2)?;
            }
        }
        write!(f, " {theirs:#x}, the boot CPU's {ours:#x}")
    }
}

#[cfg(target_os = "none")]
mod live {
    use super::super::cr::{self, Cr0};
    use super::super::msr::{rdmsr, wrmsr};
    use super::Mtrrs;
    use core::arch::asm;

    fn flush_caches() {
        // SAFETY: WBINVD loses nothing; it only takes its time.
        unsafe { asm!("wbinvd", options(nostack, preserves_flags)) };
        cr::flush_tlb_all();
    }

    impl Mtrrs {
        /// This CPU's.
        ///
        /// # Safety
        /// CPUID says that there are some.
        pub unsafe fn own() -> Self {
            // SAFETY: the caller's promise, and no others are asked for than IA32_MTRRCAP announces.
            Self::read(|number| unsafe { rdmsr(number) })
        }

        /// Gives them to this CPU: caches off and empty around it.
        ///
        /// # Safety
        /// They are those of a CPU of the same IA32_MTRRCAP, on the same machine; interrupts are off.
        pub unsafe fn take_over(&self) {
            let cr0 = Cr0::read();
            // SAFETY: paging and protection stay. Without caches everything is slow, and right.
            unsafe { cr0.union(Cr0::CD).difference(Cr0::NW).write() };
            flush_caches();
            // SAFETY: the registers exist here as there, and so do the types that they name.
            self.load(|number, value| unsafe { wrmsr(number, value) }, flush_caches);
            // SAFETY: as it was.
            unsafe { cr0.write() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};
    use std::collections::BTreeMap;
    use std::string::ToString;

    /// As firmware may leave them on a PC with 3 GiB: default write-back, the hole below 4 GiB uncached.
    fn register(number: u32) -> u64 {
        match number {
            IA32_MTRRCAP => CAP_WC | CAP_FIXED | 8,
            IA32_MTRR_DEF_TYPE => ON | FIXED_ON | 6,
            0x200 => 0xC000_0000,
            0x201 => 0xF_C000_0000 | VALID,
            0x202..=0x20F => 0,
            0x250 | 0x258 => 0x0606_0606_0606_0606,
            0x259 | 0x268..=0x26F => 0,
            _ => panic!("there is no register {number:#x}"),
        }
    }

    fn with(changes: &[(u32, u64)]) -> Mtrrs {
        Mtrrs::read(|number| {
            changes
                .iter()
                .find(|change| change.0 == number)
                .map_or_else(|| register(number), |change| change.1)
        })
    }

    #[test]
    fn equal_ones_do_not_differ() {
        assert_eq!(with(&[]).difference(&with(&[])), None);
        assert_eq!(with(&[]).valid_pairs(), 1);
    }

    /// Each register that takes effect is looked at, in either direction, and it is named.
    #[test]
    fn every_register_counts() {
        let all = [IA32_MTRR_DEF_TYPE, 0x200, 0x201].into_iter().chain(IA32_MTRR_FIX);
        for number in all {
            let value = register(number) ^ 1;
            let difference = with(&[]).difference(&with(&[(number, value)]));
            assert_eq!(
                difference,
                Some(Difference { register: number, ours: register(number), theirs: value })
            );
            assert!(with(&[(number, value)]).difference(&with(&[])).is_some());
        }
        for number in (0x203..0x210).step_by(2) {
            let difference = with(&[]).difference(&with(&[(number, VALID)])).unwrap();
            assert_eq!((difference.register, difference.theirs), (number, VALID));
        }
    }

    #[test]
    fn what_has_no_effect_does_not_count() {
        // A pair that is not valid, whatever it says; bits that only say what else there is.
        assert_eq!(with(&[]).difference(&with(&[(0x204, 0x1234_5000), (0x205, 0xF_0000_0000)])), None);
        assert_eq!(with(&[]).difference(&with(&[(IA32_MTRRCAP, CAP_WC | CAP_FIXED | 8 | 1 << 11)])), None);
        // Fixed ranges while they are off; everything while everything is.
        let off = (IA32_MTRR_DEF_TYPE, ON | 6);
        assert_eq!(with(&[off]).difference(&with(&[off, (0x250, 0)])), None);
        let off = (IA32_MTRR_DEF_TYPE, 6);
        assert_eq!(with(&[off]).difference(&with(&[off, (0x250, 0), (0x201, 0)])), None);
    }

    /// A CPU that was never set up: as after a reset.
    #[test]
    fn a_forgotten_cpu_is_noticed() {
        let reset = Mtrrs::read(|number| if number == IA32_MTRRCAP { register(number) } else { 0 });
        let difference = with(&[]).difference(&reset).unwrap();
        assert_eq!(difference.to_string(), "IA32_MTRR_DEF_TYPE 0x0, the boot CPU's 0xc06");
    }

    /// Loading makes alike, touches only what is there, and nothing while the ranges are on.
    #[test]
    fn loading_makes_alike() {
        let boot = with(&[(0x202, 0x8_0000_0000), (0x203, 0xF_8000_0000 | VALID)]);
        let registers = RefCell::new(BTreeMap::from([(IA32_MTRRCAP, register(IA32_MTRRCAP))]));
        let read = |number| registers.borrow().get(&number).copied().unwrap_or(0);
        assert!(boot.difference(&Mtrrs::read(read)).is_some_and(|difference| difference.is_curable()));
        let (on, flushed) = (Cell::new(true), Cell::new(false));
        let write = |number, value| {
            register(number);
            assert_ne!(number, IA32_MTRRCAP);
            if number == IA32_MTRR_DEF_TYPE {
                on.set(value & ON != 0);
                assert_eq!(on.get(), flushed.get(), "on before the caches were flushed");
            } else {
                assert!(!on.get() && !flushed.get());
            }
            registers.borrow_mut().insert(number, value);
        };
        boot.load(write, || flushed.set(true));
        assert!(on.get() && flushed.get());
        assert_eq!(boot, Mtrrs::read(read));
        let fewer = with(&[(IA32_MTRRCAP, CAP_WC | CAP_FIXED | 7)]);
        assert!(boot.difference(&fewer).is_some_and(|difference| !difference.is_curable()));
    }

    #[test]
    fn only_announced_registers_are_read() {
        let asked = Cell::new(0);
        let none = Mtrrs::read(|number| {
            asked.set(asked.get() + 1);
            assert!([IA32_MTRRCAP, IA32_MTRR_DEF_TYPE].contains(&number));
            0
        });
        assert_eq!((asked.get(), none.difference(&none)), (2, None));
        // More pairs than the numbers leave room for.
        let many = Mtrrs::read(|number| {
            assert!(number < IA32_MTRR_FIX[0] || number == IA32_MTRR_DEF_TYPE, "{number:#x}");
            if number == IA32_MTRRCAP { 0xFF } else { 0 }
        });
        assert_eq!(many.pair_count(), MAX_PAIRS);
    }

    #[test]
    fn names_of_registers() {
        let named = |register| Difference { register, ours: 6, theirs: 0 }.to_string();
        assert_eq!(named(0x205), "IA32_MTRR_PHYSMASK2 0x0, the boot CPU's 0x6");
        assert_eq!(named(0x200), "IA32_MTRR_PHYSBASE0 0x0, the boot CPU's 0x6");
        assert_eq!(named(0x268), "fixed MTRR 0x268 0x0, the boot CPU's 0x6");
    }
}
