//! Bringing pages from the backing.
//!
//! Frames first, without a lock. Then they are put into the tree, Locked, wherever none is there, so that whoever wants one
//! of them waits for this to end and does not bring it too. Then the backing fills them, all at once. If that fails they go
//! again, and those who waited find nothing and try themselves.

use super::bytes::Piece;
use super::env::{Backing, Env, Error};
use super::state::{Held, Inner, Look, PAGE, Pages, RUN};
use super::tree::{Spare, Tag};
use super::{PAGE_SIZE, pages_of};
use crate::mm::addr::Frame;
use core::ops::Range;

/// Frames, each with a reference, that are nobody's yet.
pub struct Batch<'a, E: Env> {
    env: &'a E,
    frames: [Option<Frame>; RUN],
    len: usize,
}

impl<'a, E: Env> Batch<'a, E> {
    pub fn new(env: &'a E) -> Self {
        Self { env, frames: [None; RUN], len: 0 }
    }

    pub fn push(&mut self, frame: Frame) {
        self.frames[self.len] = Some(frame);
        self.len += 1;
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_full(&self) -> bool {
        self.len == RUN
    }

    pub fn get(&self, at: usize) -> Option<Frame> {
        self.frames.get(at).copied().flatten()
    }

    /// Forgets them: somebody has taken over the references.
    pub fn given(&mut self, from: usize, to: usize) {
        self.frames[from..to].fill(None);
    }

    /// Calls `work` with the bytes of the first `len`, to which there are references meanwhile.
    pub fn with_pieces<R>(&self, len: usize, work: impl FnOnce(&[Piece<'_>]) -> R) -> R {
        let any = self.frames[0].expect("a batch that is worked on is not empty");
        // SAFETY: the caller has the references, or the tree has for pages that stay there.
        let piece = |at: usize| unsafe { self.env.bytes(self.frames[at].unwrap_or(any)) };
        let pieces: [Piece<'_>; RUN] = core::array::from_fn(piece);
        work(&pieces[..len])
    }
}

impl<E: Env> Drop for Batch<'_, E> {
    fn drop(&mut self) {
        self.frames[..self.len].iter().flatten().for_each(|&frame| self.env.put(frame));
    }
}

/// What became of putting pages into the tree.
enum Placed {
    /// As many as go.
    All,
    /// The first is in a hole that is being made.
    Hole,
    /// Nodes are missing for the next one.
    Missing(super::tree::Missing),
}

impl<E: Env, B: Backing> Inner<E, B> {
    /// Sees to it that the page `first` is there or on its way, if it is before the end of the file; and, as far as that
    /// goes, the `count` pages from there on. An error is about the first.
    pub fn bring(&self, first: u64, count: u32) -> Result<(), Error> {
        self.cache.join(self)?;
        let end = first.saturating_add(u64::from(count)).min(self.size().div_ceil(PAGE_SIZE)).max(first + 1);
        let run = |first: u64| (end - first).min(RUN as u64) as usize;
        let (mut page, mut asked) = (first, run(first));
        loop {
            match self.bring_run(page, asked) {
                Ok(brought) => page += (brought as u64).max(1),
                Err(error) if page == first && asked == 1 => return Err(error),
                // One of the others may be to blame.
                Err(_) if page == first => {
                    asked = 1;
                    continue;
                }
                Err(_) => return Ok(()),
            }
            if page >= end || asked == 1 {
                return Ok(());
            }
            asked = run(page);
        }
    }

    fn bring_run(&self, first: u64, count: usize) -> Result<usize, Error> {
        if self.with(|pages| pages.tree.has(first, Tag::There)) {
            return Ok(0);
        }
        let mut batch = Batch::new(self.env());
        while batch.len() < count {
            match self.env().allocate(false) {
                Some(frame) => batch.push(frame),
                None if batch.len() == 0 => return Err(Error::NoMemory),
                None => break,
            }
        }
        let (mut spare, mut placed) = (Spare::default(), 0);
        loop {
            match self.change(|pages| place(pages, first, &batch, &mut placed, &mut spare)) {
                Placed::All => break,
                Placed::Hole => self.wait_for_hole(first),
                Placed::Missing(missing) => match spare.get(missing) {
                    Err(_) if placed != 0 => break,
                    got => got?,
                },
            }
        }
        if placed == 0 {
            return Ok(0);
        }
        let read = batch.with_pieces(placed, |pieces| self.backing.read(first, pieces));
        let mut waited = 0;
        self.change(|pages| {
            for at in 0..placed {
                let page = first + at as u64;
                if let (Ok(()), Some(frame)) = (read, batch.get(at)) {
                    // SAFETY: the tree has the reference, under the lock.
                    clear_past(pages, page, unsafe { self.env().bytes(frame) });
                    waited |= u64::from(pages.end(page, &[Tag::Locked], &[Tag::UpToDate])) << at;
                } else if let Some((_, tags)) = pages.tree.remove(page) {
                    waited |= u64::from(tags.has(Tag::Waited)) << at;
                }
            }
        });
        if read.is_ok() {
            batch.given(0, placed);
        }
        self.wake(first, waited);
        read.map(|()| placed)
    }

    /// The page, brought if it is not there; `None` past the end.
    pub fn get(&self, page: u64) -> Result<Option<(Held<'_, E>, super::tree::Tags)>, Error> {
        loop {
            match self.look(page, false)? {
                Look::There { page, tags, .. } => return Ok(Some((page, tags))),
                Look::Busy => self.wait(page, &[Tag::Locked]),
                Look::Absent if page * PAGE_SIZE >= self.size() => return Ok(None),
                Look::Absent => self.bring(page, 1)?,
            }
        }
    }

    pub fn read_ahead(&self, bytes: Range<u64>) {
        if !self.keeps {
            return;
        }
        let pages = pages_of(bytes.start..bytes.end.min(self.size()));
        let mut at = pages.start;
        while at < pages.end {
            let there = self.with(|inner| inner.tree.has(at, Tag::There));
            if !there && self.bring(at, (pages.end - at).min(RUN as u64) as u32).is_err() {
                return;
            }
            at += 1;
        }
    }
}

/// Puts the batch's frames into the tree, Locked, from the page `first` on, up to the first page that is there. `placed`
/// says how many are in it.
fn place<E: Env>(
    pages: &mut Pages,
    first: u64,
    batch: &Batch<'_, E>,
    placed: &mut usize,
    spare: &mut Spare,
) -> Placed {
    if *placed == 0 && pages.hole.contains(&first) {
        return Placed::Hole;
    }
    while let Some(frame) = batch.get(*placed).filter(|_| *placed < batch.len()) {
        let page = first + *placed as u64;
        let past_end = page.saturating_mul(PAGE_SIZE) >= pages.size;
        if past_end || pages.tree.has(page, Tag::There) || pages.hole.contains(&page) {
            break;
        }
        if let Err(missing) = pages.tree.insert(page, frame, &[Tag::Locked], spare) {
            return Placed::Missing(missing);
        }
        *placed += 1;
    }
    Placed::All
}

/// Makes zero what of a page lies past the end of the file, and is not just being written.
pub fn clear_past(pages: &Pages, page: u64, piece: Piece<'_>) {
    let end = pages.size.max(pages.reach).saturating_sub(page * PAGE_SIZE).min(PAGE_SIZE) as usize;
    if end < PAGE {
        piece.part(end, PAGE - end).clear();
    }
}
