//! A page fault: what is meant to be at an address, and whether the access is allowed.
//!
//! [`Space::fault`] only decides, and wants the lock shared. Whether there is a page already, page tables know; so the
//! answer says what to do in both cases. A stack that has to grow changes the space: then the handler takes the lock
//! exclusively, calls [`Space::grow_stack`], and asks again.

use super::super::area::{Area, Backing, Flags, Prot, STACK_GUARD};
use super::super::span::{Span, page_down};
use super::super::tree::Entry;
use super::super::{Commit, Error};
use super::{Space, Totals, charge};
use crate::boot::layout::PAGE_SIZE;

/// What an instruction has tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
    Execute,
}

/// What to do about it.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision<'a, F> {
    /// Allowed. Without a page: fetch one. With one: see [`Fault::present`].
    Page(Fault<'a, F>),
    /// [`Space::grow_stack`], then again.
    GrowStack,
    /// SIGSEGV with SEGV_MAPERR; EFAULT for the kernel's own access.
    NoMapping,
    /// SIGSEGV with SEGV_ACCERR; EFAULT likewise.
    Denied,
}

/// An access that is allowed.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault<'a, F> {
    /// Address of the page.
    pub page: u64,
    /// The area around it, within which pages beside it may be mapped in the same go.
    pub area: Span,
    pub prot: Prot,
    pub write: bool,
    pub source: Source<'a, F>,
}

/// Where a page comes from that is not there yet.
#[derive(Debug, PartialEq, Eq)]
pub enum Source<'a, F> {
    /// A page of zeroes: one of its own for a write, else one that all may share and that is not writable.
    Zero,
    /// The object's own page at `offset`, writable if `prot` says so and the object has been told of the write.
    Shared { object: &'a F, offset: u64 },
    /// The object's own page at `offset`, not writable; for a write, a copy of it.
    Private { object: &'a F, offset: u64 },
}

/// What a fault on a page that is there asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Present {
    /// Another CPU was faster, or the TLB old: nothing.
    Nothing,
    /// A page of the program's own, if the frame has no other user; else a copy.
    CopyOnWrite,
    /// The first write to a page of a shared object: tell the object, then make it writable.
    MakeWritable,
}

// All three only borrow an `F`; derived, they would want one that can be copied.
impl<F> Clone for Decision<'_, F> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<F> Copy for Decision<'_, F> {}
impl<F> Clone for Fault<'_, F> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<F> Copy for Fault<'_, F> {}
impl<F> Clone for Source<'_, F> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<F> Copy for Source<'_, F> {}

impl<F> Fault<'_, F> {
    /// What to do if a page is mapped at the address, and does not yet allow the access.
    pub const fn present(&self) -> Present {
        match (self.write, &self.source) {
            (false, _) => Present::Nothing,
            (true, Source::Shared { .. }) => Present::MakeWritable,
            (true, _) => Present::CopyOnWrite,
        }
    }
}

impl<F: Clone + PartialEq, C: Commit> Space<F, C> {
    /// What is to happen for an access at `addr`, by ring 3 (`user`) or by the kernel on behalf of a program.
    pub fn fault(&self, addr: u64, access: Access, user: bool) -> Decision<'_, F> {
        if addr >= self.layout.end {
            return Decision::NoMapping;
        }
        let Some(entry) = self.tree.at_or_above(addr) else { return Decision::NoMapping };
        if !entry.span.contains(addr) {
            let stack = entry.attr.flags.contains(Flags::GROWS_DOWN);
            let grows = stack && self.growth(addr, &entry).is_ok();
            return if grows { Decision::GrowStack } else { Decision::NoMapping };
        }
        let prot = entry.attr.prot;
        let allowed = match access {
            // No x86 page can be written or, without protection keys, executed, but not read.
            Access::Read => !prot.is_empty(),
            Access::Write => prot.contains(Prot::WRITE),
            // The kernel has no business executing a program's pages.
            Access::Execute => prot.contains(Prot::EXEC) && user,
        };
        if !allowed {
            return Decision::Denied;
        }
        let page = page_down(addr);
        let source = match &entry.attr.backing {
            Backing::Zero => Source::Zero,
            Backing::Object { object, offset } => {
                let offset = offset + (page - entry.span.start);
                if entry.attr.is_private() {
                    Source::Private { object, offset }
                } else {
                    Source::Shared { object, offset }
                }
            }
        };
        Decision::Page(Fault { page, area: entry.span, prot, write: access == Access::Write, source })
    }

    /// Lets the stack above `addr` reach down to it. ENOMEM where a limit, the guard gap or the commit account are in
    /// the way; EFAULT if there is no such stack; no error if another thread was faster.
    pub fn grow_stack(&mut self, addr: u64) -> Result<(), Error> {
        let entry = self.tree.at_or_above(addr).ok_or(Error::Fault)?;
        if entry.span.contains(addr) {
            return Ok(());
        }
        if !entry.attr.flags.contains(Flags::GROWS_DOWN) {
            return Err(Error::Fault);
        }
        let more = self.growth(addr, &entry)?;
        let (from, area) = (entry.span.start, entry.attr.clone());
        charge(&self.commit, area.charged_pages(more))?;
        self.totals.add(more, &area);
        self.tree.extend_down(from, more.start);
        Ok(())
    }

    /// What a stack would get in order to reach `addr`, below it.
    fn growth(&self, addr: u64, stack: &Entry<'_, Area<F>>) -> Result<Span, Error> {
        let start = page_down(addr);
        if start < self.layout.lowest {
            return Err(Error::NotPermitted);
        }
        // Nothing that can be touched may lie in the guard. Another stack may: it is one that was cut in two.
        if let Some(below) = self.tree.below(start) {
            let harmless = below.attr.prot.is_empty() || below.attr.flags.contains(Flags::GROWS_DOWN);
            if !harmless && start - below.span.end < STACK_GUARD {
                return Err(Error::NoMemory);
            }
        }
        if self.limits.stack.is_some_and(|limit| stack.span.end - start > limit) {
            return Err(Error::NoMemory);
        }
        let more = Span::new(start, stack.span.start);
        self.totals.allow(more.len() / PAGE_SIZE, false, &Totals::NONE, &self.limits)?;
        Ok(more)
    }
}
