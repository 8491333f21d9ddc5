//! The model's half of what makes a mapping larger, or moves it: `mremap`, `brk`, and stacks.

use super::{GUARD, LOWEST, MAX, Model, PAGES, is_data, number, up};
use crate::boot::layout::PAGE_SIZE;
use crate::mm::vma::Error;
use crate::mm::vma::area::{Area, Backing, Flags, Prot};
use crate::mm::vma::space::RemapFlags;

impl Model {
    pub fn remap(
        &mut self,
        addr: u64,
        old: u64,
        new: u64,
        flags: RemapFlags,
        to: u64,
    ) -> Result<usize, Error> {
        let (moves, fixed) = (flags.contains(RemapFlags::MAY_MOVE), flags.contains(RemapFlags::FIXED));
        let keep = flags.contains(RemapFlags::DONT_UNMAP);
        if ((fixed || keep) && !moves) || (keep && old != new) || addr % PAGE_SIZE != 0 {
            return Err(Error::Invalid);
        }
        let old = up(old).ok_or(Error::Invalid)?;
        let new = up(new).filter(|&new| new != 0).ok_or(Error::Invalid)?;
        let at = number(addr);
        let page = self.pages.get(at).cloned().flatten().ok_or(Error::Fault)?;
        let end = (at + 1..PAGES).find(|&n| !self.goes_on(n)).unwrap_or(PAGES);
        if fixed || keep {
            let fits = to % PAGE_SIZE == 0 && to.checked_add(new).is_some_and(|end| end <= MAX);
            let whole = addr.checked_add(old).filter(|&end| end <= MAX || old <= new);
            let whole = whole.filter(|_| fits).ok_or(Error::Invalid)?;
            if addr < to + new && (to < whole || to <= addr) {
                return Err(Error::Invalid);
            }
        } else if old >= new {
            let rest = addr.checked_add(new).ok_or(Error::Invalid)?;
            return if old == new { Ok(at) } else { self.unmap(rest, old - new).map(|()| at) };
        }
        let moved = old.min(new);
        if moved == 0 && !page.flags.contains(Flags::SHARED) {
            return Err(Error::Invalid);
        }
        if moved > (end - at) as u64 * PAGE_SIZE {
            return Err(Error::Fault);
        }
        if let Backing::Object { offset, .. } = page.backing {
            let _ = offset.checked_add(new).filter(|&end| end <= i64::MAX as u64).ok_or(Error::Invalid)?;
        }
        let more = (new - moved) / PAGE_SIZE;
        let (place, mut gone) = if fixed || keep {
            let place = if fixed { Self::fixed(to, new)? } else { self.place(to, new, false)? };
            let tail = if old > new { (number(addr + new), number(addr + old)) } else { (0, 0) };
            let gone = vec![(place, place + number(new)), tail];
            let more = if keep { new / PAGE_SIZE } else { more };
            if more != 0 {
                self.limits(more, is_data(&page), &gone)?;
            }
            self.room(6)?;
            (place, gone)
        } else {
            self.limits(more, is_data(&page), &[])?;
            let in_place = at + number(moved) == end && end as u64 + more <= PAGES as u64;
            if in_place && self.open()[end..end + more as usize].iter().all(|&open| open) {
                self.charge(more, &page)?;
                self.fill(at, end + more as usize, &page);
                return Ok(at);
            }
            if !moves {
                return Err(Error::NoMemory);
            }
            let place = self.place(0, new, false)?;
            self.room(4)?;
            (place, vec![])
        };
        self.charge(if keep { new / PAGE_SIZE } else { more }, &page)?;
        gone.retain(|&(from, to)| from < to);
        gone.into_iter().for_each(|(from, to)| self.drop_pages(from, to));
        let count = number(moved);
        let own: Vec<_> = self.own[at..at + count].iter_mut().map(Option::take).collect();
        if !keep {
            self.pages[at..at + count].fill(None);
        }
        self.fill(place, place + number(new), &page);
        self.own[place..place + count].clone_from_slice(&own);
        Ok(place)
    }

    pub fn brk(&mut self, to: u64) -> u64 {
        if self.try_brk(to).is_some() {
            self.heap.1 = to;
        }
        self.heap.1
    }

    fn try_brk(&mut self, to: u64) -> Option<()> {
        let size = to.checked_sub(self.heap.0)?;
        if self.limits.data.is_some_and(|limit| size > limit) {
            return None;
        }
        let (old, new) = (number(up(self.heap.1)?), up(to)?);
        if new > MAX {
            return None;
        }
        let new = number(new);
        if new < old {
            self.pages[new..old].iter().flatten().next()?;
            return self.unmap(new as u64 * PAGE_SIZE, (old - new) as u64 * PAGE_SIZE).ok();
        }
        if new > old {
            let open = self.open();
            (old..(new + 1).min(PAGES)).all(|n| open[n]).then_some(())?;
            let flags = Flags::CHARGED | Flags::OWN_PAGES;
            let page =
                Area { prot: Prot::READ | Prot::WRITE, max_prot: Prot::all(), flags, backing: Backing::Zero };
            self.limits((new - old) as u64, true, &[]).ok()?;
            self.room(1).ok()?;
            self.charge((new - old) as u64, &page).ok()?;
            self.fill(old, new, &page);
        }
        Some(())
    }

    /// Whether a stack grows down to the page `at`, and then it has.
    pub fn grow(&mut self, at: usize) -> bool {
        let Some(top) = (at..PAGES).find(|&n| self.pages[n].is_some()) else { return false };
        let Some(page) = self.pages[top].clone().filter(|page| page.flags.contains(Flags::GROWS_DOWN)) else {
            return false;
        };
        let end = (top + 1..PAGES).find(|&n| !self.goes_on(n)).unwrap_or(PAGES);
        let near = (0..at).rev().take(GUARD).find_map(|n| self.pages[n].as_ref());
        let blocked =
            near.is_some_and(|page| !page.prot.is_empty() && !page.flags.contains(Flags::GROWS_DOWN));
        let large = self.limits.stack.is_some_and(|limit| (end - at) as u64 * PAGE_SIZE > limit);
        let refused = self.charge((top - at) as u64, &page).is_err();
        if at < LOWEST || blocked || large || refused || self.limits((top - at) as u64, false, &[]).is_err() {
            return false;
        }
        self.fill(at, top, &page);
        true
    }
}
