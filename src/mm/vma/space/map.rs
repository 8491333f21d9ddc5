//! `mmap`: a new mapping, at an address that the program has chosen or that is chosen for it.
//!
//! From the top down: the highest place that is long enough, below the room for the stack. A hint is taken if it is
//! free. `MAP_FIXED` replaces what is there; its old pages go only when nothing can fail any more.

use bitflags::bitflags;

use super::super::area::{Area, Backing, Flags, Prot};
use super::super::span::{Span, aligned, page_down, page_up};
use super::super::tree::Wanted;
use super::super::{Commit, Error, Object, Pages};
use super::{Space, Totals, charge, to_charge};
use crate::boot::layout::PAGE_SIZE;

bitflags! {
    /// `MAP_*`, with Linux's numbers. The low four bits are a number: 1, 2 or 3.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct MapFlags: u32 {
        const SHARED = 0x01;
        const PRIVATE = 0x02;
        /// Shared, and unknown flags are refused.
        const SHARED_VALIDATE = 0x03;
        const FIXED = 0x10;
        const ANONYMOUS = 0x20;
        /// Within the first 2 GiB.
        const LOW_32 = 0x40;
        const GROWSDOWN = 0x100;
        const DENYWRITE = 0x800;
        const EXECUTABLE = 0x1000;
        const LOCKED = 0x2000;
        const NORESERVE = 0x4000;
        const POPULATE = 0x8000;
        const NONBLOCK = 0x1_0000;
        const STACK = 0x2_0000;
        const FIXED_NOREPLACE = 0x10_0000;
    }
}

/// Which of the low bits say whether it is shared.
const TYPE: u32 = 0x0F;
/// Where `MAP_32BIT` looks.
const LOW_WINDOW: Span = Span { start: 0x4000_0000, end: 0x8000_0000 };

/// An open file, as far as mapping it depends on how it was opened and where it lies.
#[derive(Clone, Debug)]
pub struct OpenFile<F> {
    pub file: F,
    /// From which byte on; page-aligned.
    pub offset: u64,
    pub readable: bool,
    pub writable: bool,
    /// Its file system is mounted `noexec`.
    pub no_exec: bool,
}

/// What is asked for: the arguments of `mmap`.
#[derive(Clone, Debug)]
pub struct Mapping<F> {
    pub addr: u64,
    /// Bytes; rounded up to pages.
    pub len: u64,
    pub prot: Prot,
    /// Bits that have no name are kept ([`MapFlags::from_bits_retain`]).
    pub flags: MapFlags,
    /// Not looked at with [`MapFlags::ANONYMOUS`].
    pub file: Option<OpenFile<F>>,
}

/// What has come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    pub span: Span,
    /// The pages are wanted at once (`MAP_POPULATE`): to be faulted in by the caller, without error if that fails.
    pub populate: bool,
}

impl<F, C: Commit> Space<F, C>
where
    F: Object<C>,
{
    /// `mmap`. EINVAL, EACCES, EPERM, EOVERFLOW, EOPNOTSUPP for arguments; EEXIST for `MAP_FIXED_NOREPLACE`; ENOMEM
    /// where there is no room or a limit is reached. On any error nothing has changed.
    pub fn map(&mut self, want: Mapping<F>, pages: &mut impl Pages<F>) -> Result<Mapped, Error> {
        if want.len == 0 {
            return Err(Error::Invalid);
        }
        let len = page_up(want.len).ok_or(Error::NoMemory)?;
        let fixed = want.flags.intersects(MapFlags::FIXED | MapFlags::FIXED_NOREPLACE);
        let window = want.flags.contains(MapFlags::LOW_32).then_some(LOW_WINDOW);
        let span = if fixed { self.fixed(want.addr, len)? } else { self.place(want.addr, len, window)? };
        if want.flags.contains(MapFlags::FIXED_NOREPLACE) && self.tree.overlapping(span).next().is_some() {
            return Err(Error::Exists);
        }
        let mut area = Self::area(&want, len)?;
        let gone = if fixed { self.within(span) } else { Totals::NONE };
        self.totals.allow(span.pages(), area.is_data(), &gone, &self.limits)?;
        self.room_for(1 + self.pieces_more(span))?;
        self.tree.reserve(2)?;
        // Memory that is shared without a file is an object, with a charge of its own.
        if !area.is_private() && want.flags.contains(MapFlags::ANONYMOUS) {
            let reserve = !area.flags.contains(Flags::NO_RESERVE);
            let object = F::shared_memory(&self.commit, span.pages(), reserve)?;
            area.backing = Backing::Object { object, offset: 0 };
        }
        self.replace(span, area, &gone, pages)?;
        let populate = want.flags & (MapFlags::POPULATE | MapFlags::NONBLOCK) == MapFlags::POPULATE;
        Ok(Mapped { span, populate })
    }

    /// The attributes that are asked for; those of shared memory without a file are still without its object.
    fn area(want: &Mapping<F>, len: u64) -> Result<Area<F>, Error> {
        let kind = MapFlags::from_bits_retain(want.flags.bits() & TYPE);
        let shared = match kind {
            MapFlags::PRIVATE => false,
            MapFlags::SHARED => true,
            MapFlags::SHARED_VALIDATE if MapFlags::all().contains(want.flags) => true,
            MapFlags::SHARED_VALIDATE if want.flags.contains(MapFlags::ANONYMOUS) => {
                return Err(Error::Invalid);
            }
            MapFlags::SHARED_VALIDATE => return Err(Error::NotSupported),
            _ => return Err(Error::Invalid),
        };
        let grows = want.flags.contains(MapFlags::GROWSDOWN);
        let mut flags = Flags::empty();
        flags.set(Flags::SHARED, shared);
        flags.set(Flags::GROWS_DOWN, grows);
        flags.set(Flags::NO_RESERVE, want.flags.contains(MapFlags::NORESERVE));
        let writable = want.prot.contains(Prot::WRITE);
        flags.set(Flags::CHARGED, to_charge(flags, writable));
        flags.set(Flags::OWN_PAGES, writable && !shared);
        let (mut max_prot, mut backing) = (Prot::all(), Backing::Zero);
        if want.flags.contains(MapFlags::ANONYMOUS) {
            if shared && (grows || kind == MapFlags::SHARED_VALIDATE) {
                return Err(Error::Invalid);
            }
        } else {
            let open = want.file.as_ref().ok_or(Error::Invalid)?;
            if !aligned(open.offset) {
                return Err(Error::Invalid);
            }
            open.offset.checked_add(len).filter(|&end| end <= i64::MAX as u64).ok_or(Error::Overflow)?;
            max_prot = open.most(shared, want.prot)?;
            if grows {
                return Err(Error::Invalid);
            }
            backing = Backing::Object { object: open.file.clone(), offset: open.offset };
        }
        Ok(Area { prot: want.prot, max_prot, flags, backing })
    }
}

impl<F> OpenFile<F> {
    /// The most that a mapping of this file may be given, or why it may not be mapped with `prot`.
    fn most(&self, shared: bool, prot: Prot) -> Result<Prot, Error> {
        if (shared && prot.contains(Prot::WRITE) && !self.writable) || !self.readable {
            return Err(Error::Access);
        }
        if self.no_exec && prot.contains(Prot::EXEC) {
            return Err(Error::NotPermitted);
        }
        let mut most = Prot::all();
        most.set(Prot::WRITE, !shared || self.writable);
        most.set(Prot::EXEC, !self.no_exec);
        Ok(most)
    }
}

impl<F: Clone + PartialEq, C: Commit> Space<F, C> {
    /// The place that `MAP_FIXED` names.
    pub(super) fn fixed(&self, addr: u64, len: u64) -> Result<Span, Error> {
        if !aligned(addr) {
            return Err(Error::Invalid);
        }
        let span = self.layout.span(addr, len).ok_or(Error::NoMemory)?;
        if addr < self.layout.lowest { Err(Error::NotPermitted) } else { Ok(span) }
    }

    /// A free place for `len` bytes: at the hint, or as high as there is room, or in `window`.
    pub(super) fn place(&self, hint: u64, len: u64, window: Option<Span>) -> Result<Span, Error> {
        if page_down(hint) != 0 {
            let hint = page_down(hint).max(self.layout.lowest);
            let span = self.layout.span(hint, len).filter(|&span| self.tree.is_free(span));
            if let Some(span) = span {
                return Ok(span);
            }
        }
        let wanted = |window| Wanted { len, align: PAGE_SIZE, window };
        let found = match window {
            Some(window) => self.tree.lowest_gap(&wanted(window)),
            None => self
                .tree
                .highest_gap(&wanted(Span::new(self.layout.lowest, self.layout.top)))
                .or_else(|| self.tree.lowest_gap(&wanted(Span::new(self.layout.bottom, self.layout.end)))),
        };
        let start = found.ok_or(Error::NoMemory)?;
        self.layout.span(start, len).ok_or(Error::NoMemory)
    }

    /// Puts `area` in the place of whatever lies in `span`, which sums up to `gone`. Two nodes are reserved; what it
    /// needs beyond the charges of what it replaces it charges, which is the one thing that can fail.
    pub(super) fn replace(
        &mut self,
        span: Span,
        area: Area<F>,
        gone: &Totals,
        pages: &mut impl Pages<F>,
    ) -> Result<(), Error> {
        let needed = area.charged_pages(span);
        charge(&self.commit, needed.saturating_sub(gone.charged))?;
        if gone.mapped != 0 {
            self.take_out_keeping(span, needed.min(gone.charged), pages);
        }
        self.put_in(span, area);
        Ok(())
    }
}
