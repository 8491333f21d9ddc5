//! Reading: from the pages to whoever wants the bytes.

use super::bytes::Sink;
use super::env::{Backing, Env, Error};
use super::readahead::ReadAhead;
use super::state::{Inner, Look, PAGE};
use super::tree::Tag;
use super::{PAGE_SIZE, Piece};

impl<E: Env, B: Backing> Inner<E, B> {
    pub fn read_at(
        &self,
        offset: u64,
        len: usize,
        sink: &mut dyn Sink,
        ahead: &ReadAhead,
    ) -> Result<usize, Error> {
        let mut done = 0;
        let mut touched = ahead.last_page();
        while done < len {
            let Some(at) = offset.checked_add(done as u64).filter(|&at| at < self.size()) else { break };
            let (page, from) = (at / PAGE_SIZE, (at % PAGE_SIZE) as usize);
            let want = (PAGE - from).min(len - done);
            match self.look(page, Some(page) != touched) {
                Ok(Look::There { page: held, size, .. }) => {
                    // The size that goes with the page: it may have become less since.
                    let want = want.min(usize::try_from(size.saturating_sub(at)).unwrap_or(usize::MAX));
                    let taken = if want == 0 { 0 } else { sink.take(held.piece().part(from, want)) };
                    done += taken;
                    if taken < want {
                        return if done == 0 { Err(Error::Fault) } else { Ok(done) };
                    }
                    if want == 0 {
                        break;
                    }
                    touched = Some(page);
                    ahead.read_to(page + 1);
                }
                Ok(Look::Busy) => self.wait(page, &[Tag::Locked]),
                Ok(Look::Absent) if !self.keeps => {
                    // A hole. What was there when the size was looked at is there no more, or never was.
                    let want =
                        want.min(usize::try_from(self.size().saturating_sub(at)).unwrap_or(usize::MAX));
                    let taken = if want == 0 { 0 } else { sink.take(self.zeroes().part(from, want)) };
                    done += taken;
                    if taken < want {
                        return if done == 0 { Err(Error::Fault) } else { Ok(done) };
                    }
                }
                Ok(Look::Absent) => {
                    let last = at.saturating_add((len - done) as u64).min(self.size()).saturating_sub(1);
                    let wanted = (last / PAGE_SIZE).saturating_sub(page) + 1;
                    if let Err(error) = self.bring(page, ahead.miss(page, wanted)) {
                        return if done == 0 { Err(error) } else { Ok(done) };
                    }
                }
                Err(error) => return if done == 0 { Err(error) } else { Ok(done) },
            }
        }
        Ok(done)
    }

    fn zeroes(&self) -> Piece<'_> {
        // SAFETY: the page of zeroes is there for ever.
        unsafe { self.env().bytes(self.env().zero_page()) }
    }

    pub fn seek(&self, offset: u64, data: bool) -> Option<u64> {
        self.with(|pages| {
            if offset >= pages.size {
                return None;
            }
            let first = offset / PAGE_SIZE;
            if data {
                let page = pages.tree.next(Tag::There, first)?;
                return Some((page * PAGE_SIZE).max(offset)).filter(|&at| at < pages.size);
            }
            let page = pages.tree.next_gap(first);
            Some((page * PAGE_SIZE).max(offset).min(pages.size))
        })
    }
}
