//! Misuse of the heap and of locks on purpose, to see that it is named.

mod locks;

use super::{Call, Result};
use crate::kernel::image::Named;
use crate::mm::heap;
use crate::mm::slab::{CHECKED, Violation};
use crate::monitor::parse::{Problem, number};
use crate::sync::{IrqLock, Rank};
use alloc::alloc::{alloc, dealloc};
use core::alloc::Layout;
use core::fmt::Write;

/// Does something wrong with an object.
type Provoke = fn(*mut u8, Layout);

/// What can be done wrong.
const KINDS: [(&str, Provoke); 3] =
    [("overflow", overflow), ("double-free", double_free), ("use-after-free", use_after_free)];

/// An object of no class's size, so that there is a byte behind it.
const LAYOUT: Layout = Layout::new::<[u8; 40]>();

fn overflow(object: *mut u8, layout: Layout) {
    // SAFETY: none, on purpose. The byte behind the object is red zone in a build with checks, the only one that this is
    // run in.
    unsafe {
        object.add(layout.size()).write(1);
        dealloc(object, layout);
    }
}

fn double_free(object: *mut u8, layout: Layout) {
    // SAFETY: none, on purpose; the heap refuses the second.
    unsafe {
        dealloc(object, layout);
        dealloc(object, layout);
    }
}

fn use_after_free(object: *mut u8, layout: Layout) {
    // SAFETY: none, on purpose. Nobody else has the memory yet, and the audit puts it right.
    unsafe {
        dealloc(object, layout);
        object.add(3).write(1);
    }
    heap::audit(&mut note);
    // SAFETY: as above: what it was.
    unsafe { object.add(3).write(crate::mm::slab::POISON) };
}

/// What was found. It is told of under the heap's locks, and printed later.
static FOUND: IrqLock<[Option<Violation>; 4]> = IrqLock::new(Rank::Findings, [None; 4]);

fn note(found: &Violation) {
    if let Some(slot) = FOUND.lock().iter_mut().find(|slot| slot.is_none()) {
        *slot = Some(*found);
    }
}

/// As the heap would report it in its panic.
fn print(found: &Violation, out: &mut dyn Write) {
    let _ = writeln!(out, "  {found}");
    for (what, site) in
        [("allocated", found.allocated_by), ("freed", found.freed_by), ("found", found.found_by)]
    {
        if site != 0 {
            let _ = writeln!(out, "    {what} by {}", Named(site as u64));
        }
    }
}

pub fn run<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    let word = call.words.next().ok_or(Problem::Missing("KIND"))?;
    if let Some((_, entry)) = locks::STUCK.iter().find(|(name, _)| *name == word) {
        let cpu = call.words.next().ok_or(Problem::Missing("CPU"))?;
        let cpu = number(cpu).ok_or(Problem::NotANumber(cpu))?;
        call.words.end()?;
        locks::stop(*entry, usize::try_from(cpu).unwrap_or(usize::MAX), call.out);
        return Ok(());
    }
    call.words.end()?;
    if let Some((_, provoke)) = locks::KINDS.iter().find(|(name, _)| *name == word) {
        locks::run(*provoke, call.out);
        return Ok(());
    }
    let (_, provoke) = KINDS.iter().find(|(name, _)| *name == word).ok_or(Problem::Unknown(word))?;
    if !CHECKED {
        let _ = writeln!(call.out, "  this build's heap does not look for misuse; a debug build's does");
        return Ok(());
    }
    // SAFETY: the layout is not empty.
    let object = unsafe { alloc(LAYOUT) };
    if object.is_null() {
        let _ = writeln!(call.out, "  the heap is out of memory");
        return Ok(());
    }
    heap::on_violation(Some(note));
    provoke(object, LAYOUT);
    heap::on_violation(None);
    let found = core::mem::take(&mut *FOUND.lock());
    found.iter().flatten().for_each(|found| print(found, call.out));
    Ok(())
}

pub fn complete(sink: &mut dyn FnMut(&str)) {
    KINDS.iter().for_each(|(name, _)| sink(name));
    locks::KINDS.iter().for_each(|(name, _)| sink(name));
    locks::STUCK.iter().for_each(|(name, _)| sink(name));
}
