//! What an address space needs of the rest of the kernel, for tests: page tables, objects, and the commit account.
//!
//! Used by `fuzz.rs` and the tests of [`super::space`]. The page tables remember what each page shows, so that a call
//! that was forgotten, or one too many, is seen as a page that should not be there or content that is lost.

use core::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::area::Prot;
use super::room::NoMemory;
use super::span::Span;
use super::{Commit, Object, Pages};
use crate::boot::layout::PAGE_SIZE;

/// The commit account, Linux's heuristic: one request larger than all memory is refused.
#[derive(Clone, Debug)]
pub struct Account(Rc<Numbers>);

#[derive(Debug)]
struct Numbers {
    ram: u64,
    promised: Cell<u64>,
    objects: Cell<u64>,
    refuse: Cell<bool>,
}

impl Account {
    pub fn new(ram: u64) -> Self {
        Self(Rc::new(Numbers {
            ram,
            promised: Cell::new(0),
            objects: Cell::new(0),
            refuse: Cell::new(false),
        }))
    }

    pub fn promised(&self) -> u64 {
        self.0.promised.get()
    }

    /// Objects made so far; their numbers are below.
    pub fn objects(&self) -> u64 {
        self.0.objects.get()
    }

    /// Refuse the next request.
    pub fn refuse_next(&self) {
        self.0.refuse.set(true);
    }

    /// Refuse none. True if the refusal that was ordered has not happened.
    pub fn refuse_none(&self) -> bool {
        self.0.refuse.replace(false)
    }

    pub fn file(&self) -> Thing {
        let number = self.0.objects.get();
        self.0.objects.set(number + 1);
        Thing(Rc::new(Inner { number, charged: 0, account: self.clone() }))
    }
}

impl Commit for Account {
    fn charge(&self, pages: u64) -> Result<(), NoMemory> {
        if self.0.refuse.replace(false) || pages > self.0.ram {
            return Err(NoMemory);
        }
        self.0.promised.set(self.0.promised.get() + pages);
        Ok(())
    }

    fn uncharge(&self, pages: u64) {
        assert!(pages != 0, "nothing is given back");
        self.0
            .promised
            .set(self.0.promised.get().checked_sub(pages).expect("more is given back than was taken"));
    }
}

/// A file, or memory that stands for one.
#[derive(Clone, Debug)]
pub struct Thing(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    number: u64,
    charged: u64,
    account: Account,
}

impl Thing {
    pub fn number(&self) -> u64 {
        self.0.number
    }

    pub fn charged(&self) -> u64 {
        self.0.charged
    }
}

impl PartialEq for Thing {
    fn eq(&self, other: &Self) -> bool {
        self.0.number == other.0.number
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.charged != 0 {
            self.account.uncharge(self.charged);
        }
    }
}

impl Object<Account> for Thing {
    fn shared_memory(account: &Account, pages: u64, charge: bool) -> Result<Self, NoMemory> {
        let charged = if charge { pages } else { 0 };
        if charge {
            account.charge(pages)?;
        }
        let number = account.0.objects.get();
        account.0.objects.set(number + 1);
        Ok(Self(Rc::new(Inner { number, charged, account: account.clone() })))
    }
}

/// What an entry shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    Zero,
    Object {
        number: u64,
        offset: u64,
    },
    /// A page of the program's own, with this content.
    Own(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pte {
    pub shown: Shown,
    pub writable: bool,
}

/// Page tables, by page number.
#[derive(Clone, Default, Debug, PartialEq)]
pub struct Tables {
    pub entries: BTreeMap<u64, Pte>,
    /// Pages of which a file has been told that they will be read, as (object, offset).
    pub read_ahead: Vec<(u64, u64, Span)>,
    pub lazy: Vec<Span>,
    prepared: Option<Span>,
    pub refuse: bool,
}

impl Tables {
    fn numbers(span: Span) -> core::ops::Range<u64> {
        span.start / PAGE_SIZE..span.end / PAGE_SIZE
    }

    fn refused(&mut self) -> Result<(), NoMemory> {
        if core::mem::take(&mut self.refuse) { Err(NoMemory) } else { Ok(()) }
    }
}

impl Pages<Thing> for Tables {
    fn unmap(&mut self, span: Span) {
        let gone: Vec<u64> = self.entries.range(Self::numbers(span)).map(|(&n, _)| n).collect();
        for n in gone {
            self.entries.remove(&n);
        }
    }

    fn protect(&mut self, span: Span, prot: Prot) {
        for (_, pte) in self.entries.range_mut(Self::numbers(span)) {
            pte.writable &= prot.contains(Prot::WRITE);
        }
    }

    fn prepare(&mut self, from: Span, to: u64) -> Result<(), NoMemory> {
        assert!(!from.is_empty(), "tables for nothing");
        self.refused()?;
        self.prepared = Some(Span::new(to, to + from.len()));
        Ok(())
    }

    fn relocate(&mut self, from: Span, to: u64) {
        let to = Span::new(to, to + from.len());
        assert_eq!(self.prepared.take(), Some(to), "not prepared");
        assert!(self.entries.range(Self::numbers(to)).next().is_none(), "something is there");
        for n in Self::numbers(from) {
            if let Some(pte) = self.entries.remove(&n) {
                self.entries.insert(n - from.start / PAGE_SIZE + to.start / PAGE_SIZE, pte);
            }
        }
    }

    fn lazy_free(&mut self, span: Span) {
        self.lazy.push(span);
    }

    fn read_ahead(&mut self, span: Span, file: &Thing, offset: u64) {
        self.read_ahead.push((file.number(), offset, span));
    }

    fn copy_on_write(&mut self, child: &mut Self, span: Span) -> Result<(), NoMemory> {
        self.refused()?;
        for (&n, pte) in self.entries.range_mut(Self::numbers(span)) {
            pte.writable = false;
            assert!(child.entries.insert(n, *pte).is_none(), "copied twice");
        }
        Ok(())
    }
}
