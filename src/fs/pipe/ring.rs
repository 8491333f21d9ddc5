//! The pages of a pipe, in the order in which they are read. Behind the pipe's lock.

extern crate alloc;

use super::{Error, PIPE_BUF};
use crate::fs::pagecache::{Env, Piece, Sink, Source};
use crate::mm::addr::Frame;
use alloc::vec::Vec;

/// A page, and the bytes of it that are to be read; not none.
#[derive(Clone, Copy)]
struct Page {
    frame: Frame,
    from: u16,
    len: u16,
}

/// The ring.
pub struct Ring {
    /// A power of two of places.
    pages: Vec<Option<Page>>,
    /// The place of the first page is this, modulo their number.
    first: usize,
    used: usize,
    bytes: usize,
    /// The page that was read last, kept for the next write.
    spare: Option<Frame>,
}

fn places(count: usize) -> Result<Vec<Option<Page>>, Error> {
    let mut pages = Vec::new();
    pages.try_reserve_exact(count).map_err(|_| Error::NoMemory)?;
    pages.resize(count, None);
    Ok(pages)
}

impl Ring {
    pub fn new(pages: usize) -> Result<Self, Error> {
        Ok(Self { pages: places(pages)?, first: 0, used: 0, bytes: 0, spare: None })
    }

    pub const fn is_empty(&self) -> bool {
        self.used == 0
    }

    pub fn is_full(&self) -> bool {
        self.used == self.pages.len()
    }

    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn pages(&self) -> usize {
        self.pages.len()
    }

    /// The place of the `n`th page.
    fn place(&self, n: usize) -> usize {
        self.first.wrapping_add(n) & (self.pages.len() - 1)
    }

    /// Makes it that many pages long, a power of two. EBUSY if more are in use; ENOMEM.
    pub fn resize(&mut self, count: usize) -> Result<(), Error> {
        if count < self.used {
            return Err(Error::Busy);
        }
        let mut pages = places(count)?;
        for (n, page) in pages.iter_mut().enumerate().take(self.used) {
            *page = self.pages[self.place(n)];
        }
        (self.pages, self.first) = (pages, 0);
        Ok(())
    }

    /// How many bytes the last page has room for.
    pub fn room_in_last(&self) -> usize {
        let last = self.used.checked_sub(1).and_then(|n| self.pages[self.place(n)]);
        last.map_or(0, |page| PIPE_BUF - usize::from(page.from + page.len))
    }

    /// Adds bytes to the last page, which has room for them; returns how many have come.
    pub fn append<E: Env>(&mut self, env: &E, len: usize, source: &mut dyn Source) -> usize {
        let Some(n) = self.used.checked_sub(1) else { return 0 };
        let place = self.place(n);
        let Some(page) = &mut self.pages[place] else { return 0 };
        // SAFETY: the ring has a reference.
        let bytes = unsafe { env.bytes(page.frame) };
        let came = source.fill(bytes.part(usize::from(page.from + page.len), len));
        page.len += came as u16;
        self.bytes += came;
        came
    }

    /// Adds a page with bytes, for which there is a place; returns how many have come. ENOMEM.
    pub fn push<E: Env>(&mut self, env: &E, len: usize, source: &mut dyn Source) -> Result<usize, Error> {
        let frame = self.spare.take().or_else(|| env.allocate(false)).ok_or(Error::NoMemory)?;
        // SAFETY: it is the ring's.
        let bytes: Piece<'_> = unsafe { env.bytes(frame) };
        let came = source.fill(bytes.part(0, len));
        if came == 0 {
            self.keep(env, frame);
            return Ok(0);
        }
        let place = self.place(self.used);
        self.pages[place] = Some(Page { frame, from: 0, len: came as u16 });
        self.used += 1;
        self.bytes += came;
        Ok(came)
    }

    /// Takes bytes from the first page, up to `len`. Returns how many were to go, and how many went.
    pub fn pull<E: Env>(&mut self, env: &E, len: usize, sink: &mut dyn Sink) -> (usize, usize) {
        let place = self.place(0);
        let Some(page) = self.pages[place].as_mut().filter(|_| self.used != 0) else { return (0, 0) };
        let want = len.min(usize::from(page.len));
        // SAFETY: the ring has a reference.
        let bytes = unsafe { env.bytes(page.frame) };
        let went = sink.take(bytes.part(usize::from(page.from), want));
        page.from += went as u16;
        page.len -= went as u16;
        self.bytes -= went;
        if page.len == 0 {
            let frame = page.frame;
            self.pages[place] = None;
            self.first = self.first.wrapping_add(1);
            self.used -= 1;
            self.keep(env, frame);
        }
        (want, went)
    }

    fn keep<E: Env>(&mut self, env: &E, frame: Frame) {
        if let Some(other) = self.spare.replace(frame) {
            env.put(other);
        }
    }

    /// Gives all pages back.
    pub fn clear<E: Env>(&mut self, env: &E) {
        let pages = self.pages.iter_mut().filter_map(Option::take).map(|page| page.frame);
        pages.chain(self.spare.take()).for_each(|frame| env.put(frame));
        (self.used, self.bytes) = (0, 0);
    }
}
