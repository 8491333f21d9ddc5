//! A page fault, from the address to the page.
//!
//! Any number of CPUs are in here at once for one address space, with its lock held for reading: the areas and the page
//! tables stay, and entries change by compare-and-exchange. Whoever loses has done nothing but get a frame, gives it
//! back, and lets the instruction run again. An entry that was seen under the lock and is exchanged under the same lock
//! was there all the time: nothing that is done with the lock for reading puts back what has been replaced. So the
//! reference that goes with the entry was there too, and a frame found to have no other has none.
//!
//! Source: Intel SDM vol. 3 §4.10.4.3 (no flush is needed where a fault is all that an old translation can cause).

use super::super::addr::Frame;
use super::super::vma::area::Prot;
use super::super::vma::space::{Access, Decision, Fault, Present, Source};
use super::super::vma::span::Span;
use super::AddressSpace;
use super::env::{Content, Env, NoPage, Provided, frame_of};
use super::pages::{UserPages, entry_for};
use crate::arch::x86_64::paging::{Cursor, Entry, Flags, MapError, Slot, replace_by_copy};
use crate::boot::layout::PAGE_SIZE;

/// What has come of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The instruction may run again.
    Done,
    /// SIGSEGV, EFAULT. `mapped`: there is something, and it may not be used so.
    Segv { mapped: bool },
    /// No memory: somebody has to go.
    OutOfMemory,
    /// SIGBUS: the mapping reaches further than what is mapped.
    Bus,
}

/// Most pages that a fault maps because they are at hand, the one asked for included.
const AROUND: u64 = 16;

impl<E: Env, F: Content<E>> AddressSpace<E, F> {
    /// Makes the access at `addr` possible, by ring 3 (`user`) or by the kernel for a program, or says why not. The
    /// caller holds no lock and, since a page may come from a disk, can wait. If memory is out another program may have
    /// to go for it; then the instruction may run again, and fault again.
    pub fn handle_fault(&self, addr: u64, access: Access, user: bool) -> Outcome {
        match self.try_fault(addr, access, user) {
            Outcome::OutOfMemory => {
                // Whoever goes may be of this very address space: no lock is held.
                let env = self.lock.read().pages.env.clone();
                if env.make_room(addr) { Outcome::Done } else { Outcome::OutOfMemory }
            }
            outcome => outcome,
        }
    }

    /// The same, for a call, which can be refused: nobody has to go.
    fn try_fault(&self, addr: u64, access: Access, user: bool) -> Outcome {
        loop {
            let inner = self.lock.read();
            match inner.space.fault(addr, access, user) {
                Decision::Page(fault) => return inner.pages.bring(&fault).into(),
                Decision::NoMapping => return Outcome::Segv { mapped: false },
                Decision::Denied => return Outcome::Segv { mapped: true },
                Decision::GrowStack => drop(inner),
            }
            // In between it may have become anything; so ask again.
            if self.lock.write().space.grow_stack(addr).is_err() {
                return Outcome::Segv { mapped: false };
            }
        }
    }

    /// Brings the pages of a new mapping (`MAP_POPULATE`), as far as that goes.
    pub(super) fn populate(&self, span: Span) {
        let mut at = span.start;
        while at < span.end {
            // Asked anew for each page: another thread may unmap it meanwhile.
            let access = {
                let inner = self.lock.read();
                let Some(entry) = inner.space.areas().find(at) else { return };
                let prot = entry.attr.prot;
                if prot.contains(Prot::WRITE) && entry.attr.is_private() {
                    Access::Write
                } else if prot.is_empty() {
                    return;
                } else {
                    Access::Read
                }
            };
            if self.try_fault(at, access, true) != Outcome::Done {
                return;
            }
            at += PAGE_SIZE;
        }
    }
}

impl From<Result<(), NoPage>> for Outcome {
    fn from(result: Result<(), NoPage>) -> Self {
        match result {
            Ok(()) => Self::Done,
            Err(NoPage::NoMemory) => Self::OutOfMemory,
            Err(NoPage::Bus) => Self::Bus,
        }
    }
}

impl From<MapError> for NoPage {
    fn from(_: MapError) -> Self {
        // The address is a user's and no page is larger than its table: it can only be memory.
        Self::NoMemory
    }
}

/// An entry as it was seen, with what the processor may set in it taken as no change.
const fn same_but_seen(a: Entry, b: Entry) -> bool {
    const SEEN: u64 = Flags::ACCESSED.bits() | Flags::DIRTY.bits();
    (a.0 ^ b.0) & !SEEN == 0
}

impl<E: Env> UserPages<E> {
    /// What an access that is allowed needs.
    fn bring<F: Content<E>>(&self, fault: &Fault<'_, F>) -> Result<(), NoPage> {
        let slot = self.tables.ensure(fault.page, 1)?;
        let entry = slot.load();
        if entry.is_empty() {
            return self.fetch(slot, fault);
        }
        // Held: another CPU is about to put a copy there. Writable: another was faster, or this one's TLB is old.
        if !entry.present() || (fault.write && entry.flags().contains(Flags::WRITE)) {
            return Ok(());
        }
        match (fault.present(), &fault.source) {
            (Present::Nothing, _) => Ok(()),
            (Present::MakeWritable, Source::Shared { object, offset }) => {
                object.written(*offset)?;
                make_writable(slot, entry);
                Ok(())
            }
            (Present::CopyOnWrite | Present::MakeWritable, _) => self.copy_on_write(slot, entry, fault),
        }
    }

    fn own_frame(&self, zeroed: bool) -> Result<Frame, NoPage> {
        self.env.allocate_frame(zeroed).ok_or(NoPage::NoMemory)
    }

    /// A first page.
    fn fetch<F: Content<E>>(&self, slot: Slot<'_>, fault: &Fault<'_, F>) -> Result<(), NoPage> {
        let prot = fault.prot;
        let entry = match fault.source {
            Source::Zero if fault.write => entry_for(self.own_frame(true)?, prot, true),
            Source::Zero => entry_for(self.env.zero_page(), prot, false),
            Source::Shared { object, offset } => {
                let Provided { frame, writable } = object.page(offset, fault.write)?;
                entry_for(frame, prot, prot.contains(Prot::WRITE) && (writable || fault.write))
            }
            Source::Private { object, offset } if fault.write => {
                let own = self.own_frame(false)?;
                match object.page(offset, false) {
                    Ok(Provided { frame, .. }) => {
                        self.env.copy_frame(frame, own);
                        self.env.put(frame);
                    }
                    Err(why) => {
                        self.env.put(own);
                        return Err(why);
                    }
                }
                entry_for(own, prot, true)
            }
            Source::Private { object, offset } => entry_for(object.page(offset, false)?.frame, prot, false),
        };
        if slot.install(entry).is_err() {
            self.env.put_mapped(frame_of(entry));
        }
        if !fault.write {
            self.map_around(fault);
        }
        Ok(())
    }

    /// Maps those of the pages beside it that the object has at hand. They may as well stay away, so every failure is
    /// passed over.
    fn map_around<F: Content<E>>(&self, fault: &Fault<'_, F>) {
        let (Source::Shared { object, offset } | Source::Private { object, offset }) = fault.source else {
            return;
        };
        // The window is aligned, so it is within one table.
        let start = fault.page & !(AROUND * PAGE_SIZE - 1);
        let window = fault.area.common(Span::new(start, start + AROUND * PAGE_SIZE));
        let mut cursor = Cursor::new(&self.tables);
        let mut wanted = 0;
        for (place, page) in (window.start..window.end).step_by(PAGE_SIZE as usize).enumerate() {
            let Ok(slot) = cursor.ensure(page, 1) else { return };
            wanted |= u64::from(page != fault.page && slot.load().is_empty()) << place;
        }
        if wanted == 0 {
            return;
        }
        // All at once: who asks for one after the other meets everybody else who does, at each.
        let mut found = [None; AROUND as usize];
        object.cached(offset - (fault.page - window.start), wanted, &mut found);
        for (place, frame) in found.into_iter().enumerate() {
            let Some(frame) = frame else { continue };
            let slot = cursor.ensure(window.start + place as u64 * PAGE_SIZE, 1);
            if slot.map_or(true, |slot| slot.install(entry_for(frame, fault.prot, false)).is_err()) {
                self.env.put(frame);
            }
        }
    }

    /// The first write to a page that is not, or not yet, the program's own.
    fn copy_on_write<F>(&self, slot: Slot<'_>, entry: Entry, fault: &Fault<'_, F>) -> Result<(), NoPage> {
        let old = frame_of(entry);
        let zero = old == self.env.zero_page();
        if !zero && self.env.is_unique(old) {
            if make_writable(slot, entry) {
                self.env.becomes_anonymous(old);
            }
            return Ok(());
        }
        let own = self.own_frame(zero)?;
        if !zero {
            self.env.copy_frame(old, own);
        }
        let copy = entry_for(own, fault.prot, true);
        let replaced = replace_by_copy(slot, fault.page, entry, copy, &self.tlb());
        self.env.put_mapped(if replaced { old } else { own });
        Ok(())
    }
}

/// Lets a page be written to from now on. False if it is another page by now, or somebody has done it. Whoever has the
/// old translation in a TLB faults once more, so nothing is flushed.
fn make_writable(slot: Slot<'_>, seen: Entry) -> bool {
    let mut old = seen;
    loop {
        let new = Entry(old.0 | Flags::WRITE.union(Flags::DIRTY).union(Flags::ACCESSED).bits());
        match slot.replace(old, new) {
            Ok(()) => return true,
            Err(now) if same_but_seen(now, old) => old = now,
            Err(_) => return false,
        }
    }
}
