//! Floating-point state of threads that have one.
//!
//! The kernel is built without SSE and has none, so most threads have nothing to save. One that wants registers becomes
//! an owner ([`own`]); from then on they are saved whenever it is left and loaded whenever it goes on: eagerly, for a
//! trap at the first use would cost more than it saves, and what a guess leaves in the registers can be read by others.
//! Who is no owner finds CR0.TS set after an owner has run, so that a use by mistake is #NM and sees nothing.

use super::thread::try_current;
use crate::arch::x86_64::fpu::{self as unit, Layout};
use crate::arch::x86_64::interrupts;
use alloc::alloc::{alloc, dealloc};
use core::ptr::NonNull;

pub use unit::Area;

/// Memory for the state is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoState;

/// Finds out how state is saved on this machine.
pub(super) fn init() {
    let layout = unit::layout();
    log::info!(target: "cpu", "floating-point state: {} bytes, by {}", layout.size, layout.by.name());
}

/// For a kernel that is to forget the exchange: an owner goes on with the registers as they are.
pub(super) fn leave_as_it_is() {
    unit::allow();
}

/// Saves and loads what two threads have, one of them at least. With interrupts off.
#[inline]
pub(super) fn exchange(from: *mut Area, to: *mut Area) {
    if let Some(from) = NonNull::new(from) {
        // SAFETY: an owner's, which is being left; TS is clear while an owner runs.
        unsafe { unit::save(from) };
    }
    match NonNull::new(to) {
        // SAFETY: an owner's, which nobody else uses, with a state that `own` or `save` wrote.
        Some(to) => unsafe {
            unit::allow();
            unit::load(to);
        },
        None => unit::forbid(),
    }
}

/// From here on the thread that runs has floating-point state of its own, in its state after reset.
pub fn own() -> Result<(), NoState> {
    let me = try_current().expect("task::init comes first");
    if me.context.has_fpu() {
        return Ok(());
    }
    let Layout { size, .. } = unit::layout();
    // SAFETY: the size is not 0.
    let area = NonNull::new(unsafe { alloc(block(size)) }).ok_or(NoState)?.cast::<Area>();
    let were_on = interrupts::disable();
    // SAFETY: fresh memory of the size and alignment of a state.
    unsafe {
        unit::initialise(area);
        unit::allow();
        unit::load(area);
    }
    me.context.set_fpu(Some(area));
    interrupts::restore(were_on);
    Ok(())
}

/// Bytes of a state.
pub fn size() -> usize {
    unit::layout().size
}

/// What FXSAVE saves of the thread that runs, which is an owner.
pub fn legacy(to: &mut [u8; 512]) {
    let were_on = interrupts::disable();
    unit::legacy(to);
    interrupts::restore(were_on);
}

/// What the thread that runs has in its registers, as [`load`] takes it: [`size`] bytes. `with` is called with interrupts
/// off, and not at all if it is no owner.
pub fn save(with: impl FnOnce(&[u8])) {
    let me = try_current().expect("task::init comes first");
    let were_on = interrupts::disable();
    if let Some(area) = me.context.fpu() {
        // SAFETY: the thread's own, which runs, so TS is clear.
        unsafe { unit::save(area) };
        // SAFETY: the area has as many bytes, all of them initialised.
        with(unsafe { core::slice::from_raw_parts(area.as_ptr().cast::<u8>(), size()) });
    }
    interrupts::restore(were_on);
}

/// The opposite. Nothing happens if the thread that runs is no owner.
///
/// # Safety
/// It is what [`save`] wrote, or was made to be such that loading it cannot fault: no reserved bit of MXCSR is set, and
/// none of XSAVE's header that XCR0 does not have.
pub unsafe fn load(from: &[u8]) {
    let me = try_current().expect("task::init comes first");
    let were_on = interrupts::disable();
    if let Some(area) = me.context.fpu() {
        // SAFETY: the thread's own, of that size; nobody else looks at it with interrupts off.
        unsafe { core::slice::from_raw_parts_mut(area.as_ptr().cast::<u8>(), size()) }.copy_from_slice(from);
        // SAFETY: the caller's promise.
        unsafe { unit::load(area) };
    }
    interrupts::restore(were_on);
}

/// Puts the state of the thread that runs back to what it is after reset, for another program: nothing is left of what
/// there was. Nothing happens if it is no owner.
pub fn reset() {
    // SAFETY: as `put_back` says.
    put_back(|area| unsafe { unit::initialise(area) });
}

/// The same for a handler of the same program: in memory something may be left, which its signal frames may show.
pub fn clear() {
    // SAFETY: as `put_back` says, and `own` has initialised it.
    put_back(|area| unsafe { unit::clear(area) });
}

/// Has `write` make a state in the area of the thread that runs, which is nobody else's meanwhile, and loads it.
fn put_back(write: impl FnOnce(NonNull<Area>)) {
    let me = try_current().expect("task::init comes first");
    let were_on = interrupts::disable();
    if let Some(area) = me.context.fpu() {
        write(area);
        // SAFETY: the thread's own, with the state that was just written.
        unsafe { unit::load(area) };
    }
    interrupts::restore(were_on);
}

/// The opposite of [`own`]: what it had is lost.
pub fn disown() {
    let me = try_current().expect("task::init comes first");
    let were_on = interrupts::disable();
    let area = me.context.set_fpu(None);
    if area.is_some() {
        unit::forbid();
    }
    interrupts::restore(were_on);
    if let Some(area) = area {
        // SAFETY: from `own`, and no switch knows it any more.
        unsafe { dealloc(area.as_ptr().cast(), block(unit::layout().size)) };
    }
}

fn block(size: usize) -> core::alloc::Layout {
    core::alloc::Layout::from_size_align(size, unit::ALIGN)
        .expect("CPUID's size is far below the address space's")
}
