//! `madvise`: what a program says of the use it will make of its memory.
//!
//! Two kinds. [`Space::advise`] changes pages and no area, so the lock need only be held shared; [`Space::mark`]
//! changes what a child of `fork` gets. Both do what they can: a hole in the range is passed over, and ENOMEM at the
//! end says that there was one.

use super::super::area::{Area, Flags};
use super::super::span::{Span, aligned, page_up};
use super::super::{Commit, Error, Pages};
use super::{Space, object_at};

/// `MADV_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// How it will be read: nothing depends on it here.
    Normal,
    Random,
    Sequential,
    /// A file's pages are wanted soon.
    WillNeed,
    /// The pages may go at once. Private ones are zero, or the file's, when next read.
    DontNeed,
    /// The content of private memory may go, when it is convenient.
    Free,
    DontFork,
    DoFork,
    WipeOnFork,
    KeepOnFork,
}

impl Advice {
    /// By Linux's number.
    pub const fn from_number(number: i32) -> Option<Self> {
        Some(match number {
            0 => Self::Normal,
            1 => Self::Random,
            2 => Self::Sequential,
            3 => Self::WillNeed,
            4 => Self::DontNeed,
            8 => Self::Free,
            10 => Self::DontFork,
            11 => Self::DoFork,
            18 => Self::WipeOnFork,
            19 => Self::KeepOnFork,
            _ => return None,
        })
    }

    /// Whether it is [`Space::mark`] that takes it.
    pub const fn marks(self) -> bool {
        matches!(self, Self::DontFork | Self::DoFork | Self::WipeOnFork | Self::KeepOnFork)
    }

    /// Flags that an area gets, and whether it has them afterwards.
    const fn flag(self) -> Option<(Flags, bool)> {
        match self {
            Self::DontFork => Some((Flags::NO_FORK, true)),
            Self::DoFork => Some((Flags::NO_FORK, false)),
            Self::WipeOnFork => Some((Flags::WIPE_ON_FORK, true)),
            Self::KeepOnFork => Some((Flags::WIPE_ON_FORK, false)),
            _ => None,
        }
    }

    /// EINVAL for a kind of memory that this is not for.
    fn suits<F>(self, area: &Area<F>) -> Result<(), Error> {
        let of_zeroes = area.is_private() && matches!(area.backing, super::Backing::Zero);
        if matches!(self, Self::Free | Self::WipeOnFork) && !of_zeroes { Err(Error::Invalid) } else { Ok(()) }
    }
}

impl<F: Clone + PartialEq, C: Commit> Space<F, C> {
    /// `madvise` with what concerns pages. EINVAL for arguments, and where [`Advice::Free`] meets something else than
    /// private memory without a file: there it ends.
    pub fn advise(
        &self,
        addr: u64,
        len: u64,
        advice: Advice,
        pages: &mut impl Pages<F>,
    ) -> Result<(), Error> {
        if advice.marks() {
            return Err(Error::Invalid);
        }
        let span = advised(addr, len)?;
        let mut at = span.start;
        for entry in self.tree.overlapping(span) {
            let piece = entry.span.common(span);
            at = if piece.start == at { piece.end } else { u64::MAX };
            advice.suits(entry.attr)?;
            match advice {
                Advice::DontNeed => pages.unmap(piece),
                Advice::Free => pages.lazy_free(piece),
                Advice::WillNeed => {
                    let object = object_at(&entry.attr.backing, entry.span.start, piece.start);
                    if let Some((object, offset)) = object {
                        pages.read_ahead(piece, object, offset);
                    }
                }
                _ => {}
            }
        }
        if at == span.end { Ok(()) } else { Err(Error::NoMemory) }
    }

    /// `madvise` with what concerns `fork`. EINVAL for arguments, and where [`Advice::WipeOnFork`] meets something else
    /// than private memory without a file; ENOMEM for holes, and if the heap refuses, and then nothing has changed.
    pub fn mark(&mut self, addr: u64, len: u64, advice: Advice) -> Result<(), Error> {
        let (flag, on) = advice.flag().ok_or(Error::Invalid)?;
        let span = advised(addr, len)?;
        self.tree.reserve(2)?;
        let (mut at, mut hole) = (span.start, false);
        loop {
            let next = self.tree.at_or_above(at).filter(|next| next.span.start < span.end);
            let Some(entry) = next.filter(|_| at < span.end) else { break };
            let (whole, piece) = (entry.span, entry.span.common(Span::new(at, span.end)));
            hole |= piece.start != at;
            at = piece.end;
            advice.suits(entry.attr)?;
            if entry.attr.flags.contains(flag) != on {
                let cuts = usize::from(piece.start > whole.start) + usize::from(piece.end < whole.end);
                self.room_for(cuts)?;
                self.tree.change(piece, |_, area| area.flags.set(flag, on));
            }
        }
        if hole || at < span.end { Err(Error::NoMemory) } else { Ok(()) }
    }
}

/// The range of a call; it may be empty.
fn advised(addr: u64, len: u64) -> Result<Span, Error> {
    let len = page_up(len).filter(|_| aligned(addr)).ok_or(Error::Invalid)?;
    Span::at(addr, len).ok_or(Error::Invalid)
}
