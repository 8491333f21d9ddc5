//! A CPU's room in the per-CPU region: mapped when it is to be started, and its variables made from the template.

use crate::arch::x86_64::paging::{Attributes, MapError, Rights};
use crate::arch::x86_64::percpu::{self, CPU, copies};
use crate::arch::x86_64::stacks::{self, slot};
use crate::arch::x86_64::{ap, gdt};
use crate::boot::layout::PAGE_SIZE;
use crate::platform::{kernel_tables, page_source};
use core::sync::atomic::Ordering;

/// Makes everything that CPU `cpu` needs before its first instruction in the kernel, and writes it to its entry.
/// What has been mapped when memory runs out stays mapped, for the next try.
pub fn prepare(cpu: usize) -> Result<(), MapError> {
    let template = copies::template();
    let start = slot::variables(cpu);
    if template.len() as u64 > slot::ROOM {
        return Err(MapError::BadRange);
    }
    map(start, template.len() as u64)?;
    for index in 0..slot::STACKS.len() {
        let stack = slot::stack(cpu, index);
        map(stack.start, stack.end - stack.start)?;
    }
    let base = start.wrapping_sub(template.as_ptr() as u64);
    let top = slot::stack(cpu, 0).end;
    let tops = stacks::interrupt_stacks(cpu);
    // SAFETY: just mapped, writable, and no CPU uses it yet.
    unsafe {
        (start as *mut u8).copy_from_nonoverlapping(template.as_ptr(), template.len());
        stacks::set_owner(tops, base);
        let entry = &ap::ENTRIES_BY_NUMBER[cpu];
        entry.gdt.store(gdt::fill(base, top, tops), Ordering::Relaxed);
        entry.gs_base.store(base, Ordering::Relaxed);
        entry.stack.store(top, Ordering::Relaxed);
    }
    copies::announce(cpu, base);
    if let Some(data) = CPU.on(cpu) {
        data.set_identity(cpu as u32, base);
    }
    debug_assert_eq!(percpu::copies(), cpu + 1);
    Ok(())
}

/// Maps fresh pages, not executable.
fn map(start: u64, len: u64) -> Result<(), MapError> {
    let attributes = Attributes::kernel(Rights::Write);
    for virt in (start..start + len).step_by(PAGE_SIZE as usize) {
        let page = page_source::page().ok_or(MapError::NoMemory)?;
        let mapped = kernel_tables::lock().map(virt, page, PAGE_SIZE, attributes, 1);
        match mapped {
            Ok(()) => {}
            Err(MapError::Occupied) => page_source::free(page),
            Err(error) => {
                page_source::free(page);
                return Err(error);
            }
        }
    }
    Ok(())
}
