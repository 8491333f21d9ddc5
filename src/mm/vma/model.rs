//! What an address space ought to do, page by page: a list with one entry for each page, walked from end to end.
//!
//! The other half of `fuzz.rs`. Written from the manual pages without a tree, a gap search or sums, so that it is slow
//! and easy to believe. It has the errors too, since the order in which arguments are refused can be seen by programs.

mod growth;

use super::Error;
use super::area::{Area, Backing, Flags, Prot};
use super::space::{Advice, Limits, MapFlags, Mapping};
use super::tree::Attributes;
use crate::boot::layout::PAGE_SIZE;

/// Pages of the window that the model covers; nothing is mapped above.
pub const PAGES: usize = 4096;
/// Where mappings go, as page numbers: see [`super::space::Layout`].
pub const LOWEST: usize = 16;
pub const TOP: usize = 3072;
pub const BOTTOM: usize = 1365;
const GUARD: usize = 256;
const MAX: u64 = PAGES as u64 * PAGE_SIZE;

/// A page that is mapped. Objects are named by a number.
pub type Page = Area<u64>;

/// One address space.
#[derive(Clone)]
pub struct Model {
    pub pages: Vec<Option<Page>>,
    /// What each page's own content is, where a program has written to a private page.
    pub own: Vec<Option<u64>>,
    pub limits: Limits,
    pub heap: (u64, u64),
    pub ram: u64,
}

fn up(len: u64) -> Option<u64> {
    len.checked_next_multiple_of(PAGE_SIZE)
}

fn number(addr: u64) -> usize {
    (addr / PAGE_SIZE) as usize
}

impl Model {
    pub fn count(&self, which: impl Fn(&Page) -> bool) -> u64 {
        self.pages.iter().flatten().filter(|page| which(page)).count() as u64
    }

    /// Whether page `n` and the one before it are of one area.
    pub fn goes_on(&self, n: usize) -> bool {
        match (n.checked_sub(1).and_then(|n| self.pages[n].as_ref()), self.pages.get(n)) {
            (Some(before), Some(Some(page))) => before.continues(PAGE_SIZE, page),
            _ => false,
        }
    }

    pub fn areas(&self) -> usize {
        (0..PAGES).filter(|&n| self.pages[n].is_some() && !self.goes_on(n)).count()
    }

    fn room(&self, more: usize) -> Result<(), Error> {
        if self.areas() + more > self.limits.map_count { Err(Error::NoMemory) } else { Ok(()) }
    }

    /// Whether a hole here makes two areas of one.
    fn splits(&self, from: usize, to: usize) -> usize {
        usize::from((from..=to).all(|n| self.goes_on(n)))
    }

    fn limits(&self, more: u64, data: bool, without: &[(usize, usize)]) -> Result<(), Error> {
        let mut rest = self.clone();
        for &(from, to) in without {
            rest.pages[from..to].fill(None);
        }
        let over = |sum: u64, limit: Option<u64>| limit.is_some_and(|limit| sum + more > limit / PAGE_SIZE);
        let broken = over(rest.count(|_| true), self.limits.address_space)
            || (data && over(rest.count(is_data), self.limits.data));
        if broken { Err(Error::NoMemory) } else { Ok(()) }
    }

    /// Which pages may be given out.
    fn open(&self) -> Vec<bool> {
        let mut open = vec![false; PAGES];
        let mut guarded_from = PAGES;
        for n in (0..PAGES).rev() {
            match &self.pages[n] {
                Some(page) if page.flags.contains(Flags::GROWS_DOWN) => {
                    guarded_from = n.saturating_sub(GUARD)
                }
                Some(_) => guarded_from = n,
                None => open[n] = n < guarded_from,
            }
        }
        open
    }

    fn place(&self, hint: u64, len: u64, low: bool) -> Result<usize, Error> {
        let (open, need) = (self.open(), len / PAGE_SIZE);
        if need > PAGES as u64 {
            return Err(Error::NoMemory);
        }
        let need = need as usize;
        let free = |n: usize| n + need <= PAGES && open[n..n + need].iter().all(|&open| open);
        if hint >= PAGE_SIZE {
            let hint = (hint / PAGE_SIZE).max(LOWEST as u64);
            if hint < PAGES as u64 && free(hint as usize) {
                return Ok(hint as usize);
            }
        }
        // The first 2 GiB have 16 MiB here, and that option begins to look in the second.
        if low {
            return Err(Error::NoMemory);
        }
        let down = (LOWEST..TOP).rev().find(|&n| n + need <= TOP && free(n));
        down.or_else(|| (BOTTOM..PAGES).find(|&n| free(n))).ok_or(Error::NoMemory)
    }

    fn fixed(addr: u64, len: u64) -> Result<usize, Error> {
        if addr % PAGE_SIZE != 0 {
            return Err(Error::Invalid);
        }
        if addr.checked_add(len).is_none_or(|end| end > MAX) {
            return Err(Error::NoMemory);
        }
        if number(addr) < LOWEST { Err(Error::NotPermitted) } else { Ok(number(addr)) }
    }

    pub fn drop_pages(&mut self, from: usize, to: usize) {
        self.pages[from..to].fill(None);
        self.own[from..to].fill(None);
    }

    fn charge(&self, pages: u64, page: &Page) -> Result<(), Error> {
        if page.flags.contains(Flags::CHARGED) && pages > self.ram { Err(Error::NoMemory) } else { Ok(()) }
    }

    /// Gives the first page and how many. `object` is the number that memory without a file gets if it is shared.
    pub fn map<F>(
        &mut self,
        want: &Mapping<F>,
        file: Option<u64>,
        object: u64,
    ) -> Result<(usize, u64), Error> {
        let has = |flag| want.flags.contains(flag);
        let len = up(want.len).ok_or(Error::NoMemory)?;
        if len == 0 {
            return Err(Error::Invalid);
        }
        let fixed = has(MapFlags::FIXED) || has(MapFlags::FIXED_NOREPLACE);
        let at = if fixed {
            Self::fixed(want.addr, len)?
        } else {
            self.place(want.addr, len, has(MapFlags::LOW_32))?
        };
        let end = at + number(len);
        if has(MapFlags::FIXED_NOREPLACE) && self.pages[at..end].iter().any(Option::is_some) {
            return Err(Error::Exists);
        }
        let (shared, anonymous) = (has(MapFlags::SHARED), has(MapFlags::ANONYMOUS));
        let writes = want.prot.contains(Prot::WRITE);
        let mut flags = Flags::empty();
        flags.set(Flags::SHARED, shared);
        flags.set(Flags::GROWS_DOWN, has(MapFlags::GROWSDOWN));
        flags.set(Flags::NO_RESERVE, has(MapFlags::NORESERVE));
        flags.set(Flags::CHARGED, writes && !shared && !has(MapFlags::NORESERVE));
        flags.set(Flags::OWN_PAGES, writes && !shared);
        let mut page = Area { prot: want.prot, max_prot: Prot::all(), flags, backing: Backing::Zero };
        if anonymous && shared && has(MapFlags::GROWSDOWN) {
            return Err(Error::Invalid);
        }
        if anonymous && shared {
            page.backing = Backing::Object { object, offset: 0 };
        } else if !anonymous {
            let open = want.file.as_ref().ok_or(Error::Invalid)?;
            if !open.readable || (shared && writes && !open.writable) {
                return Err(Error::Access);
            }
            if open.no_exec && want.prot.contains(Prot::EXEC) {
                return Err(Error::NotPermitted);
            }
            if has(MapFlags::GROWSDOWN) {
                return Err(Error::Invalid);
            }
            page.max_prot.set(Prot::WRITE, open.writable || !shared);
            page.max_prot.set(Prot::EXEC, !open.no_exec);
            page.backing = Backing::Object { object: file.ok_or(Error::Invalid)?, offset: open.offset };
        }
        // Nothing is there unless the place is fixed.
        self.limits(number(len) as u64, is_data(&page), &[(at, end)])?;
        self.room(1 + self.splits(at, end))?;
        if anonymous && shared && !has(MapFlags::NORESERVE) && number(len) as u64 > self.ram {
            return Err(Error::NoMemory);
        }
        let given_back = self.pages[at..end].iter().flatten().filter(|page| is_charged(page)).count() as u64;
        self.charge((number(len) as u64).saturating_sub(given_back), &page)?;
        self.drop_pages(at, end);
        self.fill(at, end, &page);
        Ok((at, len / PAGE_SIZE))
    }

    fn fill(&mut self, from: usize, to: usize, first: &Page) {
        for n in from..to {
            self.pages[n] = Some(first.from((n - from) as u64 * PAGE_SIZE));
        }
    }

    pub fn unmap(&mut self, addr: u64, len: u64) -> Result<(), Error> {
        let len = up(len).filter(|&len| len != 0 && addr % PAGE_SIZE == 0).ok_or(Error::Invalid)?;
        if addr.checked_add(len).is_none_or(|end| end > MAX) {
            return Err(Error::Invalid);
        }
        let (from, to) = (number(addr), number(addr + len));
        self.room(self.splits(from, to))?;
        self.drop_pages(from, to);
        Ok(())
    }

    pub fn protect(&mut self, addr: u64, len: u64, prot: Prot, from_start: bool) -> Result<(), Error> {
        if addr % PAGE_SIZE != 0 {
            return Err(Error::Invalid);
        }
        if len == 0 {
            return Ok(());
        }
        let end = up(len).and_then(|len| addr.checked_add(len)).ok_or(Error::NoMemory)?;
        let mut at = number(addr);
        if from_start {
            at = (at..PAGES.min(number(end))).find(|&n| self.pages[n].is_some()).ok_or(Error::NoMemory)?;
            if !self.pages[at].as_ref().is_some_and(|page| page.flags.contains(Flags::GROWS_DOWN)) {
                return Err(Error::Invalid);
            }
            while self.goes_on(at) {
                at -= 1;
            }
        }
        while at < number(end) {
            let page = self.pages.get(at).cloned().flatten().ok_or(Error::NoMemory)?;
            let to = (at + 1..number(end).min(PAGES))
                .find(|&n| !self.goes_on(n))
                .unwrap_or(number(end).min(PAGES));
            let cuts = usize::from(self.goes_on(at)) + usize::from(to < PAGES && self.goes_on(to));
            if !page.max_prot.contains(prot) {
                return Err(Error::Access);
            }
            if page.prot != prot {
                let mut new = page.clone();
                new.prot = prot;
                let private = !page.flags.contains(Flags::SHARED);
                if prot.contains(Prot::WRITE) && private {
                    new.flags |= Flags::OWN_PAGES;
                    new.flags.set(Flags::CHARGED, !page.flags.contains(Flags::NO_RESERVE));
                }
                let pages = (to - at) as u64;
                let data = (self.count(is_data) + pages) * PAGE_SIZE;
                if is_data(&new) && !is_data(&page) && self.limits.data.is_some_and(|limit| data > limit) {
                    return Err(Error::NoMemory);
                }
                self.room(cuts)?;
                if !is_charged(&page) {
                    self.charge(pages, &new)?;
                }
                self.fill(at, to, &new);
            }
            at = to;
        }
        Ok(())
    }

    /// `madvise`. Ends at the first page that the advice is not for.
    pub fn advise(&mut self, addr: u64, len: u64, advice: Advice) -> Result<(), Error> {
        let end = up(len).filter(|_| addr % PAGE_SIZE == 0).and_then(|len| addr.checked_add(len));
        let (end, mut holes) = (number(end.ok_or(Error::Invalid)?), false);
        let mut at = number(addr);
        while at < end {
            let Some(page) = self.pages.get(at).cloned().flatten() else {
                (holes, at) = (true, at + 1);
                if at >= PAGES {
                    break;
                }
                continue;
            };
            let to = (at + 1..end.min(PAGES)).find(|&n| !self.goes_on(n)).unwrap_or(end.min(PAGES));
            let plain = page.backing == Backing::Zero;
            if matches!(advice, Advice::Free | Advice::WipeOnFork) && !plain {
                return Err(Error::Invalid);
            }
            if advice == Advice::DontNeed {
                self.own[at..to].fill(None);
            }
            let mut new = page.clone();
            match advice {
                Advice::DontFork => new.flags.insert(Flags::NO_FORK),
                Advice::DoFork => new.flags.remove(Flags::NO_FORK),
                Advice::WipeOnFork => new.flags.insert(Flags::WIPE_ON_FORK),
                Advice::KeepOnFork => new.flags.remove(Flags::WIPE_ON_FORK),
                _ => {}
            }
            if new != page {
                let cuts = usize::from(self.goes_on(at)) + usize::from(to < PAGES && self.goes_on(to));
                self.room(cuts)?;
                self.fill(at, to, &new);
            }
            at = to;
        }
        if holes { Err(Error::NoMemory) } else { Ok(()) }
    }

    pub fn fork(&self) -> Option<Self> {
        let mut child = self.clone();
        for n in 0..PAGES {
            if child.pages[n].as_ref().is_some_and(|page| page.flags.contains(Flags::NO_FORK)) {
                child.drop_pages(n, n + 1);
            } else if child.pages[n].as_ref().is_some_and(|page| page.flags.contains(Flags::WIPE_ON_FORK)) {
                child.own[n] = None;
            }
        }
        // The account is asked once for each area, and looks at nothing but its size.
        let mut run = 0;
        for n in 0..PAGES {
            run = if child.goes_on(n) { run + 1 } else { 1 };
            if child.pages[n].as_ref().is_some_and(is_charged) && run > self.ram {
                return None;
            }
        }
        Some(child)
    }
}

pub fn is_data(page: &Page) -> bool {
    page.prot.contains(Prot::WRITE) && !page.flags.intersects(Flags::SHARED | Flags::GROWS_DOWN)
}

pub fn is_charged(page: &Page) -> bool {
    page.flags.contains(Flags::CHARGED)
}
