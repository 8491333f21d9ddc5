//! A per-CPU variable: the type behind [`per_cpu!`](crate::per_cpu).
//!
//! The static's own bytes are the template's, which is read-only and which no code here touches: all access goes
//! through GS, or adds a CPU's base to the static's address.

use super::pin::Pinned;
use super::{copies, gs_base};
use crate::arch::x86_64::interrupts;
use core::cell::UnsafeCell;
use core::marker::PhantomData;

/// A variable of type `T` in every CPU's copy. `P` is its name as a type, by which the instructions below name it.
#[repr(transparent)]
pub struct Variable<P, T> {
    template: UnsafeCell<T>,
    place: PhantomData<P>,
}

// SAFETY: the template is only read, by whoever makes a copy; whether a copy may be shared is asked where one is lent.
unsafe impl<P, T> Sync for Variable<P, T> {}

/// The instructions that name the variable `gs:[NAME]`. `per_cpu!` writes them; eight bytes are the whole list because
/// a size that is not used costs nothing.
///
/// # Safety
/// They access the variable that the type is the name of.
#[rustfmt::skip]
pub unsafe trait Place {
    /// # Safety
    /// The variable is an integer of that size; so for all of them.
    unsafe fn load8() -> u8;
    unsafe fn load32() -> u32;
    unsafe fn load64() -> u64;
    unsafe fn store8(value: u8);
    unsafe fn store32(value: u32);
    unsafe fn store64(value: u64);
    unsafe fn add32(value: u32);
    unsafe fn add64(value: u64);
    /// Subtracts; returns whether 0 is left.
    unsafe fn sub32(value: u32) -> bool;
}

/// Declares per-CPU variables, each with its initial value: `per_cpu! { pub static NAME: Type = value; }`.
///
/// The name stands for two things: the static, and a type without values that carries its instructions.
#[macro_export]
macro_rules! per_cpu {
    ($($(#[$attribute:meta])* $visibility:vis static $name:ident: $type:ty = $value:expr;)*) => {$(
        $(#[$attribute])*
        #[unsafe(link_section = ".percpu")]
        $visibility static $name: $crate::arch::x86_64::percpu::Variable<$name, $type> =
            $crate::arch::x86_64::percpu::Variable::new($value);

        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        #[doc(hidden)]
        $visibility enum $name {}

        // SAFETY: each names the static of that name.
        unsafe impl $crate::arch::x86_64::percpu::Place for $name {
            $crate::per_cpu!(@load $name load8 u8 reg_byte "mov {}, byte ptr gs:[{}]");
            $crate::per_cpu!(@load $name load32 u32 reg "mov {:e}, dword ptr gs:[{}]");
            $crate::per_cpu!(@load $name load64 u64 reg "mov {}, qword ptr gs:[{}]");
            $crate::per_cpu!(@store $name store8 u8 reg_byte "mov byte ptr gs:[{1}], {0}");
            $crate::per_cpu!(@store $name store32 u32 reg "mov dword ptr gs:[{1}], {0:e}");
            $crate::per_cpu!(@store $name store64 u64 reg "mov qword ptr gs:[{1}], {0}");
            $crate::per_cpu!(@store $name add32 u32 reg "add dword ptr gs:[{1}], {0:e}");
            $crate::per_cpu!(@store $name add64 u64 reg "add qword ptr gs:[{1}], {0}");

            #[inline(always)]
            unsafe fn sub32(value: u32) -> bool {
                let is_zero: u8;
                // SAFETY: the caller's promise.
                unsafe {
                    core::arch::asm!("sub dword ptr gs:[{1}], {0:e}", "sete {2}",
                        in(reg) value, sym $name, lateout(reg_byte) is_zero, options(nostack));
                }
                is_zero != 0
            }
        }
    )*};
    (@load $name:ident $function:ident $type:ident $class:ident $text:literal) => {
        #[inline(always)]
        unsafe fn $function() -> $type {
            let value: $type;
            // SAFETY: the caller's promise. Not `pure`: the CPU, and so the answer, may change at any time.
            unsafe {
                core::arch::asm!($text, out($class) value, sym $name, options(nostack, preserves_flags, readonly));
            }
            value
        }
    };
    (@store $name:ident $function:ident $type:ident $class:ident $text:literal) => {
        #[inline(always)]
        unsafe fn $function(value: $type) {
            // SAFETY: the caller's promise.
            unsafe { core::arch::asm!($text, in($class) value, sym $name, options(nostack)) };
        }
    };
}

impl<P, T> Variable<P, T> {
    pub const fn new(template: T) -> Self {
        Self { template: UnsafeCell::new(template), place: PhantomData }
    }

    /// Where the copy with that GS base is.
    #[inline]
    fn at(&self, base: u64) -> *mut T {
        self.template.get().wrapping_byte_add(base as usize)
    }
}

impl<P, T: Sync> Variable<P, T> {
    /// This CPU's copy, for as long as the code stays on this CPU.
    #[inline]
    pub fn here<'a>(&self, _: &'a impl Pinned) -> &'a T {
        // SAFETY: copies are there for good, and T may be shared.
        unsafe { &*self.at(gs_base()) }
    }

    /// The copy of CPU `cpu`; `None` if that has none.
    pub fn on(&self, cpu: usize) -> Option<&'static T> {
        let base = copies::base(cpu)?;
        // SAFETY: as above.
        Some(unsafe { &*self.at(base) })
    }
}

macro_rules! integers {
    ($($type:ty, $load:ident, $store:ident;)*) => {$(
        impl<P: Place> Variable<P, $type> {
            /// This CPU's value.
            #[inline]
            pub fn get(&self) -> $type {
                // SAFETY: of that size.
                unsafe { P::$load() }
            }

            /// Sets this CPU's value.
            #[inline]
            pub fn set(&self, value: $type) {
                // SAFETY: of that size.
                unsafe { P::$store(value) };
            }

            /// The value of CPU `cpu`, as of a moment ago; `None` if that has none.
            pub fn value_on(&self, cpu: usize) -> Option<$type> {
                let base = copies::base(cpu)?;
                // SAFETY: copies are there for good. The CPU writes by single instructions of that size, which are
                // as good as relaxed atomic stores; the reference that `on` would give is never made of it.
                Some(unsafe { self.at(base).read_volatile() })
            }
        }
    )*};
}

integers! {
    u8, load8, store8;
    u32, load32, store32;
    u64, load64, store64;
}

impl<P: Place> Variable<P, u32> {
    /// Adds to this CPU's value.
    #[inline]
    pub fn add(&self, value: u32) {
        // SAFETY: of that size.
        unsafe { P::add32(value) };
    }

    /// Subtracts from this CPU's value; returns whether 0 is left.
    #[inline]
    pub fn sub_is_zero(&self, value: u32) -> bool {
        // SAFETY: of that size.
        unsafe { P::sub32(value) }
    }
}

impl<P: Place> Variable<P, u64> {
    /// Adds to this CPU's value.
    #[inline]
    pub fn add(&self, value: u64) {
        // SAFETY: of that size.
        unsafe { P::add64(value) };
    }
}

/// What each CPU has to itself, to change as it likes.
#[repr(transparent)]
pub struct Exclusive<T>(UnsafeCell<T>);

impl<T> Exclusive<T> {
    pub const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }
}

impl<P, T: Send> Variable<P, Exclusive<T>> {
    /// Calls `use_it` with this CPU's value and interrupts off. It must not come here again for the same variable.
    #[inline]
    pub fn with<R>(&self, use_it: impl FnOnce(&mut T) -> R) -> R {
        let were_on = interrupts::disable();
        // SAFETY: nobody but this CPU comes here for this copy, and nothing can interrupt; `use_it` does not come here
        // again, as it was told. `Exclusive` is not Sync, so there is no other way to it.
        let result = use_it(unsafe { &mut *(*self.at(gs_base())).0.get() });
        interrupts::restore(were_on);
        result
    }
}
