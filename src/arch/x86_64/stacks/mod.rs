//! The boot processor's stacks (asm/stacks.S): their guard pages, and whose an address is.

pub mod sizes;

use super::paging::live;
use super::selectors::{TSS_RSP0, TSS_SIZE};
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
    static task_stack_guard: [u8; 0];
    static task_stack_top: [u8; 0];
}

/// A stack, with its guard page.
pub struct Stack {
    pub name: &'static str,
    /// The unmapped page below it.
    pub guard: Range<u64>,
    /// Its usable bytes.
    pub range: Range<u64>,
}

/// Which of them belong to vectors that change stacks.
const INTERRUPT_STACKS: Range<usize> = 1..5;

/// All of them.
pub fn all() -> [Stack; 6] {
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
        stack("task", &raw const task_stack_guard, &raw const task_stack_top),
    ]
}

/// The stack that has overflowed, if a push from `rsp` on faulted at `address`: one is in its guard page, and the other
/// there or just above, where the five words of an interrupt do not fit any more.
pub fn overflowed(address: u64, rsp: u64) -> Option<&'static str> {
    const WORDS: u64 = 64;
    let has = |stack: &Stack| {
        stack.guard.contains(&address) && (stack.guard.start..stack.range.start + WORDS).contains(&rsp)
    };
    all().into_iter().find(has).map(|stack| stack.name)
}

/// The stack that `rsp` lies in.
pub fn name(rsp: u64) -> Option<&'static str> {
    all().into_iter().find(|stack| stack.range.contains(&rsp)).map(|stack| stack.name)
}

/// The usable bytes of the stack that `address` lies in.
pub fn containing(address: u64) -> Option<Range<u64>> {
    all().into_iter().map(|stack| stack.range).find(|range| range.contains(&address))
}

/// Whether `address` lies in one of the interrupt stacks.
pub fn is_for_interrupts(address: u64) -> bool {
    all()[INTERRUPT_STACKS].iter().any(|stack| stack.range.contains(&address))
}

/// Top of the stack on which the kernel works for the program in ring 3.
pub fn task_top() -> u64 {
    &raw const task_stack_top as u64
}

/// Whether `rsp` is that of code that runs on the NMI's stack; its top counts, where nothing is pushed yet.
pub fn is_nmi_stack(rsp: u64) -> bool {
    let start = &raw const nmi_stack_guard as u64 + PAGE_SIZE;
    start <= rsp && rsp <= &raw const nmi_stack_top as u64
}

/// Writes the address of a CPU's data to the very top of each interrupt stack, above where the CPU begins to
/// push: the entry code of those vectors that cannot trust GS finds it there (asm/interrupts.S).
///
/// # Safety
/// None of the interrupt stacks is in use.
pub unsafe fn set_owner(percpu: u64) {
    for stack in &all()[INTERRUPT_STACKS] {
        // SAFETY: IST_RESERVED bytes at the top are kept out of the TSS for this.
        unsafe { ((stack.range.end - sizes::IST_RESERVED) as *mut u64).write_volatile(percpu) };
    }
}

/// Where ring 3 enters the kernel by an interrupt, on the boot CPU.
///
/// # Safety
/// `top` is that of a stack that is empty whenever ring 3 runs.
pub unsafe fn set_rsp0(top: u64) {
    unsafe extern "C" {
        /// asm/gdt.S
        static mut tss: [u8; TSS_SIZE as usize];
    }
    // SAFETY: the field lies in the TSS, and the CPU reads it only when it enters from ring 3. It is aligned to four.
    unsafe { (&raw mut tss).byte_add(TSS_RSP0 as usize).cast::<u64>().write_unaligned(top) };
}

/// Unmaps the guard pages. Returns how many there are.
///
/// # Safety
/// The kernel's own page tables are in CR3, with the image mapped by 4 KiB pages.
pub unsafe fn install_guards() -> usize {
    // SAFETY: the guard pages are part of no stack and of no other object.
    all().into_iter().filter(|stack| unsafe { live::unmap_page(stack.guard.start) }).count()
}
