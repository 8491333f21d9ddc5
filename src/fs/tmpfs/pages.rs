//! The bytes of a file of tmpfs: pages where something was written, and nothing in the holes between.
//!
//! The list is sorted by the pages' numbers. The length, and how many pages there are, are words that `stat` reads without
//! a lock. Bytes behind the end, in the last page, are zero.

use super::super::Result;
use super::super::io::{Sink, Source, moved};
use super::Budget;
use crate::boot::layout::PAGE_SIZE;
use crate::errno::Errno;
use crate::mm::vma::room;
use crate::sync::{Rank, RwMutex};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

const PAGE: usize = PAGE_SIZE as usize;

struct Page {
    number: u64,
    bytes: Vec<u8>,
}

/// The file.
pub struct Pages {
    pages: RwMutex<Vec<Page>>,
    size: AtomicU64,
    count: AtomicU64,
}

/// Which page a byte is in, and where in it.
const fn split(at: u64) -> (u64, usize) {
    (at / PAGE_SIZE, (at % PAGE_SIZE) as usize)
}

fn find(pages: &[Page], number: u64) -> core::result::Result<usize, usize> {
    // Files are mostly written and read from the front to the end.
    match pages.last() {
        Some(last) if last.number < number => Err(pages.len()),
        Some(last) if last.number == number => Ok(pages.len() - 1),
        _ => pages.binary_search_by_key(&number, |page| page.number),
    }
}

impl Pages {
    pub const fn new() -> Self {
        Self {
            pages: RwMutex::new(Rank::FsData, Vec::new()),
            size: AtomicU64::new(0),
            count: AtomicU64::new(0),
        }
    }

    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// Pages that it has.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    pub fn read(&self, to: &mut dyn Sink, at: u64) -> Result<usize> {
        let pages = self.pages.read();
        let left = self.size().saturating_sub(at);
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(to.room());
        let mut done = 0;
        while done < wanted {
            let (number, offset) = split(at + done as u64);
            let len = (PAGE - offset).min(wanted - done);
            let put = match find(&pages, number) {
                Ok(place) => to.put(&pages[place].bytes[offset..offset + len]),
                Err(_) => to.put_zeroes(len),
            };
            done += put;
            if put < len {
                return moved(done);
            }
        }
        Ok(done)
    }

    /// The page, made if it is not there; whether it was.
    fn page<'a>(
        &self,
        pages: &'a mut Vec<Page>,
        number: u64,
        budget: &Budget,
    ) -> Result<(&'a mut Page, bool)> {
        let found = find(pages, number);
        let (place, is_new) = match found {
            Ok(place) => (place, false),
            Err(place) => {
                room::reserve(pages, 1).map_err(|_| Errno::Enomem)?;
                let mut bytes = room::with_room(PAGE).map_err(|_| Errno::Enomem)?;
                bytes.resize(PAGE, 0);
                budget.take(1)?;
                pages.insert(place, Page { number, bytes });
                self.count.fetch_add(1, Ordering::Relaxed);
                (place, true)
            }
        };
        Ok((&mut pages[place], is_new))
    }

    /// Writes; the file grows if it has to. Who writes takes turns, by the inode's lock.
    pub fn write(&self, from: &mut dyn Source, at: u64, budget: &Budget) -> Result<usize> {
        let limit = from.file_size_limit().min(i64::MAX as u64);
        let room = limit.checked_sub(at).filter(|&room| room > 0).ok_or(Errno::Efbig)?;
        let wanted = usize::try_from(room).unwrap_or(usize::MAX).min(from.left());
        let mut pages = self.pages.write();
        let mut done = 0;
        let mut error = Errno::Efault;
        while done < wanted {
            let (number, offset) = split(at + done as u64);
            let len = (PAGE - offset).min(wanted - done);
            let (page, is_new) = match self.page(&mut pages, number, budget) {
                Ok(found) => found,
                Err(refused) => {
                    error = refused;
                    break;
                }
            };
            let taken = from.take(&mut page.bytes[offset..offset + len]);
            done += taken;
            let end = at + done as u64;
            if end > self.size() {
                self.size.store(end, Ordering::Release);
            }
            if taken < len {
                // What came is there; what did not may have been written to by halves.
                if number * PAGE_SIZE + PAGE_SIZE > self.size() {
                    let kept = self.size().saturating_sub(number * PAGE_SIZE) as usize;
                    page.bytes[kept..].fill(0);
                }
                if is_new && taken == 0 {
                    self.drop_range(&mut pages, number, number + 1, budget);
                }
                break;
            }
        }
        if done == 0 && wanted > 0 { Err(error) } else { Ok(done) }
    }

    /// Takes pages away, from one to before another.
    fn drop_range(&self, pages: &mut Vec<Page>, from: u64, to: u64, budget: &Budget) {
        let start = pages.partition_point(|page| page.number < from);
        let end = pages.partition_point(|page| page.number < to);
        pages.drain(start..end);
        let count = (end - start) as u64;
        self.count.fetch_sub(count, Ordering::Relaxed);
        budget.give_back(count);
    }

    /// Makes it that long.
    pub fn truncate(&self, size: u64, budget: &Budget) {
        let mut pages = self.pages.write();
        self.size.store(size, Ordering::Release);
        let (number, offset) = split(size);
        self.drop_range(&mut pages, size.div_ceil(PAGE_SIZE), u64::MAX, budget);
        if let Ok(place) = find(&pages, number) {
            pages[place].bytes[offset..].fill(0);
        }
        if pages.is_empty() {
            *pages = Vec::new();
        }
    }

    /// Zeroes from `at` to before `end`; whole pages of them are given back.
    pub fn punch(&self, at: u64, end: u64, budget: &Budget) {
        let mut pages = self.pages.write();
        let (first, last) = (at.div_ceil(PAGE_SIZE), end / PAGE_SIZE);
        if first < last {
            self.drop_range(&mut pages, first, last, budget);
        }
        for (from, to) in [(at, end.min(first * PAGE_SIZE)), (at.max(last * PAGE_SIZE), end)] {
            let (number, offset) = split(from);
            if from < to
                && let Ok(place) = find(&pages, number)
            {
                pages[place].bytes[offset..offset + (to - from) as usize].fill(0);
            }
        }
    }

    /// Has all pages from `at` to before `end` there, or none more than before. `grow`: the file becomes that long.
    pub fn allocate(&self, at: u64, end: u64, grow: bool, budget: &Budget) -> Result<()> {
        let mut pages = self.pages.write();
        let (first, last) = (at / PAGE_SIZE, end.div_ceil(PAGE_SIZE));
        let before = |number| pages.partition_point(|page| page.number < number) as u64;
        budget.could_take((last - first) - (before(last) - before(first)))?;
        for number in first..last {
            match self.page(&mut pages, number, budget) {
                Ok(_) => (),
                Err(error) => {
                    // Those that are new are empty, and hold nothing that anybody wrote: holes again.
                    pages.retain(|page| {
                        let is_empty = (first..number).contains(&page.number)
                            && page.bytes.iter().all(|&byte| byte == 0);
                        if is_empty {
                            self.count.fetch_sub(1, Ordering::Relaxed);
                            budget.give_back(1);
                        }
                        !is_empty
                    });
                    return Err(error);
                }
            }
        }
        if grow && end > self.size() {
            self.size.store(end, Ordering::Release);
        }
        Ok(())
    }

    /// The next byte from `at` on that is data, or that is a hole.
    pub fn seek(&self, at: u64, data: bool) -> Option<u64> {
        let pages = self.pages.read();
        let size = self.size();
        if at >= size {
            return None;
        }
        let mut number = at / PAGE_SIZE;
        if data {
            let place = pages.partition_point(|page| page.number < number);
            return pages.get(place).map(|page| at.max(page.number * PAGE_SIZE)).filter(|&at| at < size);
        }
        let mut place = pages.partition_point(|page| page.number < number);
        while pages.get(place).is_some_and(|page| page.number == number) {
            (place, number) = (place + 1, number + 1);
        }
        Some(at.max(number * PAGE_SIZE).min(size))
    }
}
