//! What other CPUs cost. Under -icount all CPUs' instructions are counted by one clock, so a figure is what the asker
//! and those asked execute in sum, and repeats; on hardware they work side by side, and it is the time until the asker
//! goes on.

use super::per_operation;
use crate::arch::x86_64::paging::Tlb;
use crate::arch::x86_64::paging::live::KernelTlb;
use crate::arch::x86_64::percpu::{self, NoPreemption, copies};
use crate::boot::layout::HEAP_BASE;
use crate::platform::pc::ipi::call as calls;

/// In a part of the heap's region that nobody uses.
const PAGE: u64 = HEAP_BASE + (511 << 30);

/// One other CPU, idle as a rule, calls an empty function; this one waits until it has.
pub fn call() -> Option<u64> {
    let _pin = NoPreemption::new();
    let own = percpu::number();
    let other = copies::online().iter().find(|&cpu| cpu != own)?;
    let mut good = true;
    let result = per_operation(|| good &= calls::run_on(other, &|| ()));
    good.then_some(result)
}

/// All CPUs forget one page of the kernel's half; this one waits until they have.
pub fn shootdown() -> Option<u64> {
    (copies::online_count() > 1).then(|| per_operation(|| KernelTlb.flush_page(PAGE)))
}
