//! The processors' stacks: their guard pages, and whose an address is.
//!
//! The boot processor's are in the image (asm/stacks.S), the others' in the per-CPU region ([`slot`]).

pub mod sizes;
pub mod slot;

use super::paging::live;
use super::percpu;
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
#[derive(Clone)]
pub struct Stack {
    pub name: &'static str,
    /// The unmapped page below it.
    pub guard: Range<u64>,
    /// Its usable bytes.
    pub range: Range<u64>,
}

/// The boot processor's, in the order of [`slot::STACKS`].
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

/// Those of another CPU.
pub fn of(cpu: usize) -> [Stack; 5] {
    core::array::from_fn(|index| {
        let range = slot::stack(cpu, index);
        Stack { name: slot::STACKS[index].0, guard: range.start - PAGE_SIZE..range.start, range }
    })
}

/// The stack that has `address` in itself, in its guard page, or as its top.
fn around(address: u64) -> Option<Stack> {
    let has = |stack: &Stack| (stack.guard.start..=stack.range.end).contains(&address);
    // A top is the next one's guard page, so that comes first.
    let near = |at: u64| slot::owner(at).filter(|&cpu| cpu > 0 && cpu < percpu::copies());
    let others = [near(address), near(address.wrapping_sub(1))].into_iter().flatten().flat_map(of);
    let exact = |stack: &Stack| (stack.guard.start..stack.range.end).contains(&address);
    all().into_iter().chain(others.clone()).find(exact).or_else(|| all().into_iter().chain(others).find(has))
}

/// The stack that has overflowed, if a push from `rsp` on faulted at `address`: one is in its guard page, and the other
/// there or just above, where the five words of an interrupt do not fit any more.
pub fn overflowed(address: u64, rsp: u64) -> Option<&'static str> {
    const WORDS: u64 = 64;
    let stack = around(address)?;
    let is_over =
        stack.guard.contains(&address) && (stack.guard.start..stack.range.start + WORDS).contains(&rsp);
    is_over.then_some(stack.name)
}

/// The stack that `rsp` lies in.
pub fn name(rsp: u64) -> Option<&'static str> {
    around(rsp).filter(|stack| stack.range.contains(&rsp)).map(|stack| stack.name)
}

/// The usable bytes of the stack that `address` lies in.
pub fn containing(address: u64) -> Option<Range<u64>> {
    around(address).map(|stack| stack.range).filter(|range| range.contains(&address))
}

/// Whether `address` lies in one of the interrupt stacks.
pub fn is_for_interrupts(address: u64) -> bool {
    name(address).is_some_and(|name| slot::STACKS[slot::INTERRUPT_STACKS].iter().any(|stack| stack.0 == name))
}

/// Whether `rsp` is that of code that runs on this CPU's NMI stack; its top counts, where nothing is pushed yet.
pub fn is_nmi_stack(rsp: u64) -> bool {
    let range = match percpu::number() {
        0 => &raw const nmi_stack_guard as u64 + PAGE_SIZE..&raw const nmi_stack_top as u64,
        cpu => slot::stack(cpu, slot::NMI),
    };
    range.start <= rsp && rsp <= range.end
}

/// Tops of the boot CPU's interrupt stacks.
pub fn boot_interrupt_stacks() -> [u64; 4] {
    let all = all();
    core::array::from_fn(|index| all[slot::INTERRUPT_STACKS.start + index].range.end)
}

/// Tops of another CPU's: IST 1 to 4.
pub fn interrupt_stacks(cpu: usize) -> [u64; 4] {
    core::array::from_fn(|index| slot::stack(cpu, slot::INTERRUPT_STACKS.start + index).end)
}

/// Writes a CPU's GS base to the very top of each of its interrupt stacks, above where the CPU begins to push: the
/// entry code of those vectors that cannot trust GS finds it there (asm/interrupts.S).
///
/// # Safety
/// These are a CPU's interrupt stacks, mapped, and none is in use.
pub unsafe fn set_owner(tops: [u64; 4], gs_base: u64) {
    for top in tops {
        // SAFETY: IST_RESERVED bytes at the top are kept out of the TSS for this.
        unsafe { ((top - sizes::IST_RESERVED) as *mut u64).write_volatile(gs_base) };
    }
}

/// Where ring 3 enters the kernel by an interrupt, on this CPU.
///
/// # Safety
/// `top` is that of a stack that is empty whenever ring 3 runs.
#[inline]
pub unsafe fn set_rsp0(top: u64) {
    // SAFETY: the CPU reads it only when it enters from ring 3; the caller's promise.
    unsafe { super::gdt::set_rsp0(top) };
}

/// Unmaps the guard pages. Returns how many there are.
///
/// # Safety
/// The kernel's own page tables are in CR3, with the image mapped by 4 KiB pages.
pub unsafe fn install_guards() -> usize {
    // SAFETY: the guard pages are part of no stack and of no other object.
    all().into_iter().filter(|stack| unsafe { live::unmap_page(stack.guard.start) }).count()
}
