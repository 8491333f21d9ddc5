//! User memory, as the kernel may touch it: by address and length, checked first, through asm/usercopy.S.
//!
//! Who holds an address from a program calls these and nothing else. A range that wraps or leaves the user's half is a
//! [`Fault`] before any of it is touched; a page that is not there, or does not allow it, is one when it is reached,
//! unless the owner of the address space brings it (`task::fault::page_fault`). May fault and therefore sleep: no
//! spin lock is held, and interrupts are on.

use crate::boot::layout::USER_END;

/// A program's address that is not good: -EFAULT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault;

/// Whether `[address, address + len)` lies in the user's half.
pub const fn check(address: u64, len: u64) -> Result<(), Fault> {
    match address.checked_add(len) {
        Some(end) if end <= USER_END => Ok(()),
        _ => Err(Fault),
    }
}

/// What can be read as bytes from a program, whatever it wrote, and written to one without telling it anything that
/// was not meant for it.
///
/// # Safety
/// Every pattern of bytes is a valid value, and there is no padding.
pub unsafe trait Plain: Copy {}

macro_rules! plain {
    ($($type:ty),*) => {$(
        // SAFETY: integers have neither padding nor forbidden values.
        unsafe impl Plain for $type {}
    )*};
}
plain!(u8, u16, u32, u64, usize, i8, i16, i32, i64, isize);

// SAFETY: an array adds no padding.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

#[cfg(target_os = "none")]
pub use live::*;

#[cfg(target_os = "none")]
mod live {
    use super::super::patch::{self, kinds::PATCH_COPY_BYTES};
    use super::super::{interrupts, tsc};
    use super::{Fault, Plain, USER_END, check};
    use core::arch::asm;
    use core::mem::MaybeUninit;

    unsafe extern "sysv64" {
        fn usercopy(to: *mut u8, from: *const u8, len: u64) -> u64;
        fn userclear(to: *mut u8, len: u64) -> u64;
        fn userstring(to: *mut u8, from: *const u8, limit: u64) -> u64;
        fn userstrlen(from: *const u8, limit: u64) -> u64;
        fn user_load32(at: *const u32, old: *mut u32) -> u64;
        fn user_swap32(at: *mut u32, operand: u32, old: *mut u32) -> u64;
        fn user_add32(at: *mut u32, operand: u32, old: *mut u32) -> u64;
        fn user_or32(at: *mut u32, operand: u32, old: *mut u32) -> u64;
        fn user_and32(at: *mut u32, operand: u32, old: *mut u32) -> u64;
        fn user_xor32(at: *mut u32, operand: u32, old: *mut u32) -> u64;
        fn user_cmpxchg32(at: *mut u32, expected: u32, new: u32, old: *mut u32) -> u64;
        fn usercopy_end();
    }

    /// Copies from a program; returns how many bytes at the end are missing. Those of `to` are zero then.
    pub fn copy_in_partly(to: &mut [u8], from: u64) -> Result<usize, Fault> {
        check(from, to.len() as u64)?;
        // SAFETY: `to` is ours; a fault at the other side, which was just checked to be the user's, ends the copy.
        let left = unsafe { usercopy(to.as_mut_ptr(), from as *const u8, to.len() as u64) } as usize;
        let len = to.len();
        to[len - left..].fill(0);
        Ok(left)
    }

    /// Copies to a program; returns how many bytes at the end it did not get.
    pub fn copy_out_partly(to: u64, from: &[u8]) -> Result<usize, Fault> {
        check(to, from.len() as u64)?;
        // SAFETY: only user memory is written, which nothing in the kernel has a reference to.
        Ok(unsafe { usercopy(to as *mut u8, from.as_ptr(), from.len() as u64) } as usize)
    }

    /// Copies from a program, all or nothing.
    pub fn copy_in(to: &mut [u8], from: u64) -> Result<(), Fault> {
        if copy_in_partly(to, from)? == 0 { Ok(()) } else { Err(Fault) }
    }

    /// Copies to a program; after an error it may have got some.
    pub fn copy_out(to: u64, from: &[u8]) -> Result<(), Fault> {
        if copy_out_partly(to, from)? == 0 { Ok(()) } else { Err(Fault) }
    }

    /// Writes zeros to a program's memory; returns how many it did not get.
    pub fn clear(to: u64, len: u64) -> Result<u64, Fault> {
        check(to, len)?;
        // SAFETY: as above.
        Ok(unsafe { userclear(to as *mut u8, len) })
    }

    /// A value from a program.
    pub fn read<T: Plain>(from: u64) -> Result<T, Fault> {
        let mut value = MaybeUninit::<T>::zeroed();
        // SAFETY: as many bytes as the value has, all of them written above.
        let bytes = unsafe { core::slice::from_raw_parts_mut(value.as_mut_ptr().cast(), size_of::<T>()) };
        copy_in(bytes, from)?;
        // SAFETY: Plain types are valid whatever the bytes.
        Ok(unsafe { value.assume_init() })
    }

    /// A value for a program.
    pub fn write<T: Plain>(to: u64, value: &T) -> Result<(), Fault> {
        // SAFETY: Plain types have no padding, so every byte is initialised.
        let bytes = unsafe { core::slice::from_raw_parts(core::ptr::from_ref(value).cast(), size_of::<T>()) };
        copy_out(to, bytes)
    }

    /// How many bytes of a string may be looked at.
    fn string_limit(from: u64, limit: usize) -> Result<u64, Fault> {
        check(from, 0)?;
        Ok((limit as u64).min(USER_END - from))
    }

    /// A string up to its zero byte, which is copied too. `None`: there is none within `to`.
    pub fn copy_string(to: &mut [u8], from: u64) -> Result<Option<usize>, Fault> {
        let limit = string_limit(from, to.len())?;
        // SAFETY: at most `limit` bytes of `to`, and of the user's half, are touched.
        let len = unsafe { userstring(to.as_mut_ptr(), from as *const u8, limit) };
        string_len(len, limit, to.len())
    }

    /// The length of a string; `None`: there is no zero byte among the first `limit`.
    pub fn string_length(from: u64, limit: usize) -> Result<Option<usize>, Fault> {
        let within = string_limit(from, limit)?;
        // SAFETY: as above.
        let len = unsafe { userstrlen(from as *const u8, within) };
        string_len(len, within, limit)
    }

    /// A string that reaches the end of the user's half has no end that a program may read.
    fn string_len(len: u64, within: u64, limit: usize) -> Result<Option<usize>, Fault> {
        match len {
            u64::MAX => Err(Fault),
            _ if len < within => Ok(Some(len as usize)),
            _ if within < limit as u64 => Err(Fault),
            _ => Ok(None),
        }
    }

    /// What [`atomic`] does with a word.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Atomic {
        Swap(u32),
        Add(u32),
        Or(u32),
        And(u32),
        Xor(u32),
        /// If the word is the first, it becomes the second.
        CompareExchange(u32, u32),
    }

    fn check_word(at: u64) -> Result<(), Fault> {
        if at % 4 == 0 { check(at, 4) } else { Err(Fault) }
    }

    /// A program's word, read in one.
    pub fn load(at: u64) -> Result<u32, Fault> {
        check_word(at)?;
        let mut old = 0;
        // SAFETY: an aligned word of the user's half.
        if unsafe { user_load32(at as *const u32, &mut old) } != 0 { Ok(old) } else { Err(Fault) }
    }

    /// Changes a program's word, no other CPU coming in between. Returns what it was.
    pub fn atomic(at: u64, what: Atomic) -> Result<u32, Fault> {
        check_word(at)?;
        let (word, mut old) = (at as *mut u32, 0);
        // SAFETY: as above.
        let done = unsafe {
            match what {
                Atomic::Swap(operand) => user_swap32(word, operand, &mut old),
                Atomic::Add(operand) => user_add32(word, operand, &mut old),
                Atomic::Or(operand) => user_or32(word, operand, &mut old),
                Atomic::And(operand) => user_and32(word, operand, &mut old),
                Atomic::Xor(operand) => user_xor32(word, operand, &mut old),
                Atomic::CompareExchange(expected, new) => user_cmpxchg32(word, expected, new, &mut old),
            }
        };
        if done != 0 { Ok(old) } else { Err(Fault) }
    }

    /// Whether an instruction at `rip` is one of those that touch user memory.
    pub fn contains(rip: u64) -> bool {
        (usercopy as *const () as u64..usercopy_end as *const () as u64).contains(&rip)
    }

    /// What [`choose`] found: TSC ticks for a page by words, and by bytes.
    pub struct Measured {
        pub words: u64,
        pub bytes: u64,
    }

    /// Measures both ways of copying, and has the faster one patched in. REP MOVSB is the best there is on a recent
    /// CPU, and slow on others (and on emulators) that claim the same feature bits: so it is not asked what they are.
    ///
    /// # Safety
    /// Once, while no other CPU runs.
    pub unsafe fn choose() -> Measured {
        const LEN: usize = 4096;
        const ROUNDS: usize = 8;
        #[repr(align(64))]
        struct Buffer([u8; LEN]);
        static FROM: Buffer = Buffer([0x5A; LEN]);
        static mut TO: Buffer = Buffer([0; LEN]);
        let were_on = interrupts::disable();
        let to = (&raw mut TO).cast::<u8>();
        let best = |copy: &mut dyn FnMut()| {
            let ticks = |_| {
                let start = tsc::read_ordered();
                copy();
                tsc::read_ordered() - start
            };
            (0..ROUNDS).map(ticks).min().unwrap_or(u64::MAX)
        };
        // SAFETY: both copy LEN bytes between two buffers of that size, which nobody else uses; DF is clear.
        let words = best(&mut || unsafe {
            asm!("rep movsq", inout("rcx") LEN / 8 => _, inout("rsi") FROM.0.as_ptr() => _, inout("rdi") to => _,
                options(nostack, preserves_flags));
        });
        // SAFETY: as above.
        let bytes = best(&mut || unsafe {
            asm!("rep movsb", inout("rcx") LEN => _, inout("rsi") FROM.0.as_ptr() => _, inout("rdi") to => _,
                options(nostack, preserves_flags));
        });
        interrupts::restore(were_on);
        if bytes < words {
            // SAFETY: both ways are right; the caller promises the rest.
            unsafe { patch::apply(PATCH_COPY_BYTES) };
        }
        Measured { words, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_the_users_half() {
        for (address, len) in [(0, 0), (0, USER_END), (USER_END, 0), (USER_END - 1, 1), (0x1000, 0x1000)] {
            assert_eq!(check(address, len), Ok(()), "{address:#x}+{len:#x}");
        }
        for (address, len) in [
            (USER_END, 1),
            (USER_END - 1, 2),
            (0x7FFF_FFFF_FFFF, 1),
            (1 << 47, 1),
            (0xFFFF_8000_0000_0000, 8),
            (u64::MAX, 1),
            (u64::MAX, 2),
            (1, u64::MAX),
            (0, u64::MAX),
            (USER_END + 1, 0),
        ] {
            assert_eq!(check(address, len), Err(Fault), "{address:#x}+{len:#x}");
        }
    }
}
