//! What each user's pipes have room for, in pages.
//!
//! A page of a pipe is nobody's memory that could be ended for having too much of it. So whoever is not user 0 gets small
//! pipes when he has room in pipes for [`SOFT`] pages, and no more than [`HARD`], if that is not 0.
//!
//! Source: Linux man-pages 6, pipe(7), "/proc files".

use super::{Error, PAGES};
use crate::mm::vma::room;
use crate::sync::{Rank, SpinLock};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

/// `pipe-user-pages-soft`, and `pipe-user-pages-hard`; 0 is no limit.
pub static SOFT: AtomicUsize = AtomicUsize::new(16_384);
pub static HARD: AtomicUsize = AtomicUsize::new(0);

/// Pages of a new pipe of one who has many.
const PAGES_LEAST: usize = 2;

/// Who has any, in the users' order.
struct Accounts(Vec<(u32, usize)>);

static ACCOUNTS: SpinLock<Accounts> = SpinLock::new(Rank::PipeUsers, Accounts(Vec::new()));

/// Users, or one, may have so many.
#[derive(Clone, Copy)]
struct Limits {
    soft: usize,
    hard: usize,
}

impl Limits {
    fn now(privileged: bool) -> Self {
        if privileged {
            return Self { soft: 0, hard: 0 };
        }
        Self { soft: SOFT.load(Ordering::Relaxed), hard: HARD.load(Ordering::Relaxed) }
    }

    const fn is_over_soft(self, pages: usize) -> bool {
        self.soft != 0 && pages > self.soft
    }

    const fn is_over_hard(self, pages: usize) -> bool {
        self.hard != 0 && pages > self.hard
    }
}

impl Accounts {
    /// A user's count becomes another; returns it. ENOMEM, and then it has not.
    fn change(&mut self, user: u32, from: usize, to: usize) -> Result<usize, Error> {
        let at = match self.0.binary_search_by_key(&user, |entry| entry.0) {
            Ok(at) => at,
            Err(_) if to == from => return Ok(0),
            Err(at) => {
                room::reserve(&mut self.0, 1).map_err(|_| Error::NoMemory)?;
                self.0.insert(at, (user, 0));
                at
            }
        };
        let count = &mut self.0[at].1;
        *count = *count + to - from;
        let now = *count;
        if now == 0 {
            self.0.remove(at);
        }
        Ok(now)
    }

    /// For a new pipe; returns how many pages it gets. ENFILE, ENOMEM.
    fn open(&mut self, user: u32, limits: Limits) -> Result<usize, Error> {
        let (mut pages, mut total) = (PAGES, self.change(user, 0, PAGES)?);
        if limits.is_over_soft(total) {
            total = self.change(user, PAGES, PAGES_LEAST)?;
            pages = PAGES_LEAST;
        }
        if limits.is_over_hard(total) {
            self.change(user, pages, 0)?;
            return Err(Error::TooMany);
        }
        Ok(pages)
    }

    /// A pipe gets another size. EPERM if it becomes larger, and that is too large; ENOMEM.
    fn resize(&mut self, user: u32, from: usize, to: usize, limits: Limits) -> Result<(), Error> {
        let total = self.change(user, from, to)?;
        if to > from && (limits.is_over_soft(total) || limits.is_over_hard(total)) {
            self.change(user, to, from)?;
            return Err(Error::NotPermitted);
        }
        Ok(())
    }
}

/// What one pipe has of its user's, as long as an end of it is open.
pub struct Charge {
    user: u32,
    /// 0: nobody's.
    pages: usize,
    is_counted: bool,
}

impl Charge {
    /// Of nobody, who has no limit.
    pub const NONE: Self = Self { user: 0, pages: 0, is_counted: false };

    /// For a new pipe. ENFILE, ENOMEM.
    pub fn new(user: u32, privileged: bool) -> Result<Self, Error> {
        let pages = ACCOUNTS.lock().open(user, Limits::now(privileged))?;
        Ok(Self { user, pages, is_counted: true })
    }

    /// The pages that it is for.
    pub const fn pages(&self) -> usize {
        if self.pages == 0 { PAGES } else { self.pages }
    }

    /// For another size. EPERM, ENOMEM.
    pub fn resize(&mut self, pages: usize, privileged: bool) -> Result<(), Error> {
        if self.is_counted {
            ACCOUNTS.lock().resize(self.user, self.pages, pages, Limits::now(privileged))?;
            self.pages = pages;
        }
        Ok(())
    }

    /// Nobody has an end open any more. The pipe may be there for a while yet, as somebody could be looking at it.
    pub fn give_back(&mut self) {
        if core::mem::take(&mut self.is_counted) {
            // Less than before needs no memory.
            let _ = ACCOUNTS.lock().change(self.user, self.pages, 0);
        }
    }

    /// A FIFO is opened once more before it was gone. Without memory for the count it is not counted.
    pub fn take_again(&mut self) {
        if self.pages != 0 && !self.is_counted {
            self.is_counted = ACCOUNTS.lock().change(self.user, 0, self.pages).is_ok();
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn who_has_many_gets_small_ones_and_then_none() {
        let mut accounts = Accounts(Vec::new());
        let limits = Limits { soft: 40, hard: 44 };
        assert_eq!(accounts.open(7, limits), Ok(16));
        assert_eq!(accounts.open(7, limits), Ok(16));
        // 48 would be more than 40.
        assert_eq!(accounts.open(7, limits), Ok(2));
        assert_eq!(accounts.open(7, limits), Ok(2));
        for _ in 0..4 {
            assert_eq!(accounts.open(7, limits), Ok(2));
        }
        assert_eq!(accounts.open(7, limits), Err(Error::TooMany), "46 are more than 44");
        // Another's is another's, and who may have all has all.
        assert_eq!(accounts.open(8, limits), Ok(16));
        assert_eq!(accounts.open(7, Limits { soft: 0, hard: 0 }), Ok(16));
        assert_eq!(accounts.0, vec![(7, 60), (8, 16)]);
    }

    #[test]
    fn only_what_grows_is_refused() {
        let mut accounts = Accounts(Vec::new());
        let limits = Limits { soft: 20, hard: 0 };
        assert_eq!(accounts.open(7, limits), Ok(16));
        assert_eq!(accounts.resize(7, 16, 32, limits), Err(Error::NotPermitted));
        assert_eq!(accounts.resize(7, 16, 32, Limits { soft: 0, hard: 0 }), Ok(()));
        assert_eq!(accounts.resize(7, 32, 16, limits), Ok(()));
        assert_eq!(accounts.resize(7, 16, 1, limits), Ok(()));
        assert_eq!(accounts.change(7, 1, 0), Ok(0));
        assert_eq!(accounts.0, vec![]);
    }

    #[test]
    fn a_charge_is_given_back() {
        // Of a user that no other test has.
        const USER: u32 = 4_000_000_001;
        let has = || ACCOUNTS.lock().0.iter().find(|one| one.0 == USER).map(|one| one.1);
        let mut charge = Charge::new(USER, false).unwrap();
        assert_eq!((charge.pages(), has()), (16, Some(16)));
        charge.resize(64, false).unwrap();
        assert_eq!((charge.pages(), has()), (64, Some(64)));
        charge.give_back();
        assert_eq!(has(), None);
        charge.take_again();
        charge.take_again();
        assert_eq!(has(), Some(64));
        drop(charge);
        assert_eq!(has(), None);
        assert_eq!(Charge::NONE.pages(), PAGES);
    }
}
