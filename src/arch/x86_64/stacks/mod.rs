//! The boot processor's stacks (asm/stacks.S): their guard pages, and whose an address is.

pub mod sizes;

use super::paging::live;
use crate::boot::layout::PAGE_SIZE;
use core::ops::Range;

unsafe extern "C" {
    static boot_stack_guard: [u8; 0];
    static boot_stack_top: [u8; 0];
    static double_fault_stack_guard: [u8; 0];
    static double_fault_stack_top: [u8; 0];
    static nmi_stack_guard: [u8; 0];
    static nmi_stack_top: [u8; 0];
    static machine_check_stack_guard: [u8; 0];
    static machine_check_stack_top: [u8; 0];
    static debug_stack_guard: [u8; 0];
    static debug_stack_top: [u8; 0];
}

/// A stack, with its guard page.
pub struct Stack {
    pub name: &'static str,
    /// The unmapped page below it.
    pub guard: Range<u64>,
    /// Its usable bytes.
    pub range: Range<u64>,
}

/// All of them.
pub fn all() -> [Stack; 5] {
    let stack = |name, guard: *const [u8; 0], top: *const [u8; 0]| {
        let start = guard as u64;
        Stack { name, guard: start..start + PAGE_SIZE, range: start + PAGE_SIZE..top as u64 }
    };
    [
        stack("boot", &raw const boot_stack_guard, &raw const boot_stack_top),
        stack("#DF", &raw const double_fault_stack_guard, &raw const double_fault_stack_top),
        stack("NMI", &raw const nmi_stack_guard, &raw const nmi_stack_top),
        stack("#MC", &raw const machine_check_stack_guard, &raw const machine_check_stack_top),
        stack("#DB", &raw const debug_stack_guard, &raw const debug_stack_top),
    ]
}

/// The stack whose guard page holds `address`: it has overflowed.
pub fn overflowed(address: u64) -> Option<&'static str> {
    all().into_iter().find(|stack| stack.guard.contains(&address)).map(|stack| stack.name)
}

/// The usable bytes of the stack that `address` lies in.
pub fn containing(address: u64) -> Option<Range<u64>> {
    all().into_iter().map(|stack| stack.range).find(|range| range.contains(&address))
}

/// Writes the address of a CPU's data to the very top of each interrupt stack, above where the CPU begins to
/// push: the entry code of those vectors that cannot trust GS finds it there (asm/interrupts.S).
///
/// # Safety
/// None of the interrupt stacks is in use.
pub unsafe fn set_owner(percpu: u64) {
    for stack in &all()[1..] {
        // SAFETY: IST_RESERVED bytes at the top are kept out of the TSS for this.
        unsafe { ((stack.range.end - sizes::IST_RESERVED) as *mut u64).write_volatile(percpu) };
    }
}

/// Unmaps the guard pages. Returns how many there are.
///
/// # Safety
/// The kernel's own page tables are in CR3, with the image mapped by 4 KiB pages.
pub unsafe fn install_guards() -> usize {
    // SAFETY: the guard pages are part of no stack and of no other object.
    all().into_iter().filter(|stack| unsafe { live::unmap_page(stack.guard.start) }).count()
}
