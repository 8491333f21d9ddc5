//! Page tables, as the pure half of an address space wants them: what [`Space`](super::super::vma::space::Space) decides
//! is done here.
//!
//! All of it needs the address space for writing. A user's pages are 4 KiB each, so nothing has to be split and a change
//! cannot fail. Each page that is mapped has a reference on its frame, which goes when no TLB has the page any more.

use super::super::addr::Frame;
use super::super::vma::Pages;
use super::super::vma::area::Prot;
use super::super::vma::room::NoMemory;
use super::super::vma::span::Span;
use super::env::{Content, Env, SpaceTlb, Store, frame_of};
use crate::arch::x86_64::paging::{
    Attributes, Edit, Entry, Flags, LEVELS, MapError, PageTables, Removed, Rights, Room, Share, Tlb,
    page_size,
};

/// The tables and pages of one address space.
pub struct UserPages<E: Env> {
    pub(super) tables: PageTables<Store<E>>,
    pub(super) env: E,
}

const IN_RANGE: &str = "pages of 4 KiB in the user's half can be changed without memory";

/// What an entry may allow by the area's rights.
///
/// Memory that a program wants both writable and executable is both: that no page is, is a rule of the kernel's for
/// itself, and code that writes to the page it runs on could never go on if it had to be one after the other.
fn rights(prot: Prot) -> Rights {
    if prot.is_empty() {
        Rights::None
    } else if prot.contains(Prot::WRITE) {
        Rights::Write
    } else if prot.contains(Prot::EXEC) {
        Rights::Execute
    } else {
        Rights::Read
    }
}

fn executable_too(entry: Entry, prot: Prot) -> Entry {
    let both = prot.contains(Prot::WRITE.union(Prot::EXEC));
    if both { Entry(entry.0 & !Flags::NO_EXECUTE.bits()) } else { entry }
}

/// An entry for a page that has not been mapped here.
pub(super) fn entry_for(frame: Frame, prot: Prot, writable: bool) -> Entry {
    let entry = Entry::leaf(frame.start().as_u64(), Attributes::user(rights(prot)), 1);
    let entry = executable_too(entry, prot);
    let seen = Flags::ACCESSED.bits();
    if writable {
        // The processor need not come back to say so.
        Entry(entry.0 | seen | Flags::DIRTY.bits())
    } else {
        Entry((entry.0 | seen) & !Flags::WRITE.bits())
    }
}

impl<E: Env> UserPages<E> {
    pub(super) fn new(env: E) -> Result<Self, MapError> {
        Ok(Self { tables: env.new_tables()?, env })
    }

    /// Does something to the tables. Frames that it takes out lose a reference once it has ended.
    pub(super) fn edit<R>(
        &mut self,
        work: impl FnOnce(&mut Edit<'_, Store<E>, SpaceTlb<'_, E>, &mut dyn FnMut(Removed)>) -> R,
    ) -> R {
        let Self { tables, env } = self;
        let tlb = SpaceTlb { env: &*env, root: tables.root() };
        let mut release = |removed: Removed| env.put_mapped(frame_of(removed.entry));
        work(&mut tables.edit(&tlb, &mut release))
    }

    pub(super) fn tlb(&self) -> impl Tlb {
        SpaceTlb { env: &self.env, root: self.tables.root() }
    }

    /// Tables that the pages of `from` can need at `to`: one of each level wherever they enter the part of the addresses
    /// that such a table translates.
    fn tables_for(&self, from: Span, to: u64) -> u64 {
        let (mut last, mut tables) = ([None; LEVELS as usize], 0);
        let found = self.tables.for_each_leaf(from.start..from.end, |virt, _| {
            let at = virt - from.start + to;
            for (level, last) in (2..=LEVELS).zip(&mut last) {
                let part = at / page_size(level);
                tables += u64::from(last.replace(part) != Some(part));
            }
        });
        found.expect(IN_RANGE);
        tables
    }
}

impl<E: Env, F: Content<E>> Pages<F> for UserPages<E> {
    fn unmap(&mut self, span: Span) {
        self.edit(|edit| edit.unmap(span.start..span.end, Room::Look)).expect(IN_RANGE);
    }

    fn protect(&mut self, span: Span, prot: Prot) {
        let new = |_, entry: Entry| executable_too(entry.limited_to(rights(prot)), prot);
        self.edit(|edit| edit.change(span.start..span.end, new)).expect(IN_RANGE);
    }

    fn prepare(&mut self, from: Span, to: u64) -> Result<(), NoMemory> {
        self.tables.memory().put_aside(self.tables_for(from, to))
    }

    fn relocate(&mut self, from: Span, to: u64) {
        let range = from.start..from.end;
        self.edit(|edit| {
            edit.relocate(range.clone(), to).expect("tables were put aside for it");
            // What is left on the old side is tables.
            edit.unmap(range, Room::Look).expect(IN_RANGE);
        });
        self.tables.memory().give_back();
    }

    /// They go at once: who reads them again finds zeroes, as he might have anyway.
    fn lazy_free(&mut self, span: Span) {
        Pages::<F>::unmap(self, span);
    }

    fn read_ahead(&mut self, span: Span, file: &F, offset: u64) {
        file.read_ahead(offset, span.len());
    }

    fn copy_on_write(&mut self, child: &mut Self, span: Span) -> Result<(), NoMemory> {
        let (env, mut refused) = (self.env.clone(), false);
        let take = |_, entry: Entry, _| {
            let frame = frame_of(entry);
            let taken = frame == env.zero_page() || env.get(frame);
            refused |= !taken;
            taken
        };
        let shared =
            self.edit(|edit| edit.share(span.start..span.end, &mut child.tables, Share::Private, take));
        // It is memory for tables that is missing, or room in a frame's count.
        if shared.is_ok() && !refused { Ok(()) } else { Err(NoMemory) }
    }
}
