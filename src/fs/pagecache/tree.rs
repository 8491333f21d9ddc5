//! The pages of a file, by their numbers: a tree with 64 ways at each node, and tags on the pages.
//!
//! ```text
//! height 1   Inner   below [ Node; 64 ]    marks  one bit for each way: is something so tagged below it?
//!              │
//! height 0   Leaf    frames [ u32; 64 ]    tags   one bit for each page
//! ```
//!
//! A file of up to 64 pages is one leaf. A tag is a word of 64 bits in a leaf, so what is looked for is found 64 pages at a
//! time; for those that are looked for across a whole file ([`SUMMED`]) the words above say where to go down. So write-back
//! meets dirty pages and no others.
//!
//! Pure code without a lock. Nodes are put aside before they are needed ([`Spare`]), so that nothing is allocated under the
//! lock that the tree is behind.

extern crate alloc;

use super::env::Error;
use super::state::boxed;
use crate::mm::addr::Frame;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// What can be said of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Tag {
    /// It is there.
    There,
    /// Newer than what the backing has.
    Dirty,
    /// Dirty when somebody began to write all that was.
    ToWrite,
    /// Being written.
    WriteBack,
    /// Being brought.
    Locked,
    /// Its bytes are good.
    UpToDate,
    /// Used since the clock's hand last came by.
    Referenced,
    /// Used more than once lately.
    Active,
    /// Somebody sleeps until it is no more Locked, or in WriteBack.
    Waited,
    /// An address space may have an entry that lets it write.
    Writable,
}

/// How many there are.
pub const TAGS: usize = 10;
/// The first so many have marks in the nodes above.
pub const SUMMED: usize = 4;

/// A set of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tags(u16);

impl Tags {
    pub const fn of(tags: &[Tag]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < tags.len() {
            bits |= 1 << tags[at] as u16;
            at += 1;
        }
        Self(bits)
    }

    pub const fn has(self, tag: Tag) -> bool {
        self.0 >> tag as u16 & 1 != 0
    }
}

const WAYS: usize = 64;
const BITS: u32 = 6;
/// More than any file has: its bytes are counted by 63 bits.
const HEIGHT_MAX: u32 = 8;
const NO_FRAME: u32 = u32::MAX;

/// 64 pages in a row.
pub struct Leaf {
    frames: [u32; WAYS],
    tags: [u64; TAGS],
}

impl Leaf {
    const EMPTY: Self = Self { frames: [NO_FRAME; WAYS], tags: [0; TAGS] };

    pub const fn word(&self, tag: Tag) -> u64 {
        self.tags[tag as usize]
    }

    pub fn frame(&self, way: usize) -> Option<Frame> {
        Frame::from_u32(self.frames[way]).filter(|_| self.word(Tag::There) >> way & 1 != 0)
    }

    /// Changes a tag that is not [`SUMMED`], of all pages in `ways`.
    pub fn change(&mut self, tag: Tag, ways: u64, on: bool) {
        debug_assert!(tag as usize >= SUMMED);
        let word = &mut self.tags[tag as usize];
        *word = if on { *word | ways } else { *word & !ways };
    }

    fn tags(&self, way: usize) -> Tags {
        let bit = |tag: usize| ((self.tags[tag] >> way & 1) as u16) << tag;
        Tags((0..TAGS).map(bit).fold(0, |all, bit| all | bit))
    }

    fn put(&mut self, way: usize, tags: Tags) {
        for (tag, word) in self.tags.iter_mut().enumerate() {
            *word = *word & !(1 << way) | u64::from(tags.0 >> tag & 1) << way;
        }
    }
}

/// 64 nodes in a row.
pub struct Inner {
    below: [Option<Node>; WAYS],
    marks: [u64; SUMMED],
}

impl Inner {
    const EMPTY: Self = Self { below: [const { None }; WAYS], marks: [0; SUMMED] };

    fn mark(&mut self, way: usize) {
        let below = self.below[way].as_ref();
        for (tag, word) in self.marks.iter_mut().enumerate() {
            let any = below.is_some_and(|node| node.marks(tag) != 0);
            *word = *word & !(1 << way) | u64::from(any) << way;
        }
    }
}

enum Node {
    Leaf(Box<Leaf>),
    Inner(Box<Inner>),
}

impl Node {
    fn marks(&self, tag: usize) -> u64 {
        match self {
            Self::Leaf(leaf) => leaf.tags[tag],
            Self::Inner(inner) => inner.marks[tag],
        }
    }
}

/// Nodes that were put aside.
#[derive(Default)]
pub struct Spare {
    leaf: Option<Box<Leaf>>,
    #[expect(clippy::vec_box, reason = "they go into the tree as they are")]
    inner: Vec<Box<Inner>>,
}

/// Nodes that are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    inner: u32,
}

impl Spare {
    pub fn get(&mut self, missing: Missing) -> Result<(), Error> {
        if self.leaf.is_none() {
            self.leaf = Some(boxed(Leaf::EMPTY)?);
        }
        let inner = missing.inner as usize;
        self.inner.try_reserve(inner.saturating_sub(self.inner.len())).map_err(|_| Error::NoMemory)?;
        while self.inner.len() < inner {
            self.inner.push(boxed(Inner::EMPTY)?);
        }
        Ok(())
    }
}

/// The tree.
#[derive(Default)]
pub struct Tree {
    root: Option<Node>,
    height: u32,
    counts: [u64; SUMMED],
}

/// Which way to go at that height.
const fn way(page: u64, height: u32) -> usize {
    (page >> (height * BITS)) as usize % WAYS
}

const fn reach(height: u32) -> u64 {
    1 << ((height + 1) * BITS)
}

impl Tree {
    pub const fn new() -> Self {
        Self { root: None, height: 0, counts: [0; SUMMED] }
    }

    /// How many pages have a tag that is [`SUMMED`].
    pub const fn count(&self, tag: Tag) -> u64 {
        self.counts[tag as usize]
    }

    /// The leaf that has, or would have, the page.
    #[inline]
    pub fn leaf(&self, page: u64) -> Option<&Leaf> {
        let (mut node, mut height) = (self.root.as_ref()?, self.height);
        if page >= reach(height) {
            return None;
        }
        loop {
            match node {
                Node::Leaf(leaf) => return Some(leaf),
                Node::Inner(inner) => node = inner.below[way(page, height)].as_ref()?,
            }
            height -= 1;
        }
    }

    /// The same, to change tags in it that are not [`SUMMED`].
    #[inline]
    pub fn leaf_mut(&mut self, page: u64) -> Option<&mut Leaf> {
        let (mut node, mut height) = (self.root.as_mut()?, self.height);
        if page >= reach(height) {
            return None;
        }
        loop {
            match node {
                Node::Leaf(leaf) => return Some(leaf),
                Node::Inner(inner) => node = inner.below[way(page, height)].as_mut()?,
            }
            height -= 1;
        }
    }

    /// A page that is there, and its tags.
    pub fn get(&self, page: u64) -> Option<(Frame, Tags)> {
        let (leaf, way) = (self.leaf(page)?, way(page, 0));
        Some((leaf.frame(way)?, leaf.tags(way)))
    }

    /// Whether the page has the tag.
    pub fn has(&self, page: u64, tag: Tag) -> bool {
        self.leaf(page).is_some_and(|leaf| leaf.word(tag) >> way(page, 0) & 1 != 0)
    }

    /// Puts a page there, where there is none, with these tags. Refused, and nothing changed, if nodes are missing.
    pub fn insert(
        &mut self,
        page: u64,
        frame: Frame,
        tags: &[Tag],
        spare: &mut Spare,
    ) -> Result<(), Missing> {
        debug_assert!(page < reach(HEIGHT_MAX));
        self.check_room(page, spare)?;
        while page >= reach(self.height) {
            if let Some(root) = self.root.take() {
                let mut inner = spare.inner.pop().expect("checked above");
                inner.below[0] = Some(root);
                inner.mark(0);
                self.root = Some(Node::Inner(inner));
            }
            self.height += 1;
        }
        let tags = Tags(Tags::of(tags).0 | 1 << Tag::There as u16);
        let root = &mut self.root;
        let old = Self::put(root, self.height, page, Some(frame), |_| tags, Some(spare));
        debug_assert!(!old.has(Tag::There), "page {page} is there already");
        self.recount(old, tags);
        Ok(())
    }

    fn check_room(&self, page: u64, spare: &Spare) -> Result<(), Missing> {
        let mut height = self.height;
        let mut inner = 0;
        let missing_below = if page < reach(height) {
            let mut node = self.root.as_ref();
            while let Some(Node::Inner(inner)) = node {
                node = inner.below[way(page, height)].as_ref();
                height -= 1;
            }
            match node {
                Some(_) => return Ok(()),
                None => height,
            }
        } else {
            while page >= reach(height) {
                height += 1;
            }
            inner = if self.root.is_some() { height - self.height } else { 0 };
            // Of the new root's ways, the page's is not the old one's.
            if self.root.is_some() { height - 1 } else { height }
        };
        inner += missing_below;
        if spare.leaf.is_some() && spare.inner.len() >= inner as usize {
            Ok(())
        } else {
            Err(Missing { inner })
        }
    }

    /// Gives the page the tags that `new` makes of its old ones, which are returned. `frame` goes with a page that is put
    /// there; nodes come from `spare`. A node that has no page any more goes.
    fn put(
        slot: &mut Option<Node>,
        height: u32,
        page: u64,
        frame: Option<Frame>,
        new: impl FnOnce(Tags) -> Tags,
        mut spare: Option<&mut Spare>,
    ) -> Tags {
        if let (None, Some(spare)) = (&slot, spare.as_deref_mut()) {
            *slot = if height == 0 {
                spare.leaf.take().map(Node::Leaf)
            } else {
                spare.inner.pop().map(Node::Inner)
            };
        }
        let way = way(page, height);
        let (old, empty) = match slot {
            Some(Node::Leaf(leaf)) => {
                let old = leaf.tags(way);
                leaf.put(way, new(old));
                if let Some(frame) = frame {
                    leaf.frames[way] = frame.number();
                }
                (old, leaf.word(Tag::There) == 0)
            }
            Some(Node::Inner(inner)) => {
                let old = Self::put(&mut inner.below[way], height - 1, page, frame, new, spare);
                inner.mark(way);
                (old, inner.marks[Tag::There as usize] == 0)
            }
            None => return Tags::default(),
        };
        if empty {
            *slot = None;
        }
        old
    }

    fn change(&mut self, page: u64, new: impl FnOnce(Tags) -> Tags) -> Tags {
        if page >= reach(self.height) {
            return Tags::default();
        }
        let (height, mut after) = (self.height, Tags::default());
        let note = |old: Tags| {
            after = if old.has(Tag::There) { new(old) } else { old };
            after
        };
        let old = Self::put(&mut self.root, height, page, None, note, None);
        self.recount(old, after);
        old
    }

    fn recount(&mut self, old: Tags, new: Tags) {
        for (tag, count) in self.counts.iter_mut().enumerate() {
            *count = *count + u64::from(new.0 >> tag & 1) - u64::from(old.0 >> tag & 1);
        }
        if self.root.is_none() {
            self.height = 0;
        }
    }

    /// Takes tags away from a page that is there, and gives it others; returns those that it had.
    pub fn retag(&mut self, page: u64, away: &[Tag], more: &[Tag]) -> Tags {
        let (away, more) = (Tags::of(away), Tags::of(more));
        debug_assert!(!away.has(Tag::There));
        self.change(page, |old| Tags(old.0 & !away.0 | more.0))
    }

    /// Takes a page out.
    pub fn remove(&mut self, page: u64) -> Option<(Frame, Tags)> {
        let (frame, tags) = self.get(page)?;
        self.change(page, |_| Tags::default());
        Some((frame, tags))
    }

    /// The first page from `from` on that has a tag which is [`SUMMED`].
    pub fn next(&self, tag: Tag, from: u64) -> Option<u64> {
        debug_assert!((tag as usize) < SUMMED);
        if from >= reach(self.height) {
            return None;
        }
        Self::next_in(self.root.as_ref()?, self.height, 0, from, tag as usize)
    }

    /// The same below `node`, whose first page is `base`.
    fn next_in(node: &Node, height: u32, base: u64, from: u64, tag: usize) -> Option<u64> {
        let from = from.max(base);
        let first = way(from - base, height);
        let mut left = node.marks(tag) & u64::MAX << first;
        while left != 0 {
            let way = left.trailing_zeros() as usize;
            let at = base + ((way as u64) << (height * BITS));
            match node {
                Node::Leaf(_) => return Some(at),
                Node::Inner(inner) => {
                    let below = inner.below[way].as_ref()?;
                    let found = Self::next_in(below, height - 1, at, from, tag);
                    if found.is_some() {
                        return found;
                    }
                }
            }
            left &= left - 1;
        }
        None
    }

    /// The first page from `from` on that is not there.
    pub fn next_gap(&self, from: u64) -> u64 {
        let mut page = from;
        while let Some(leaf) = self.leaf(page) {
            let run = u64::from((!(leaf.word(Tag::There) >> (page % 64))).trailing_zeros());
            if run < 64 - page % 64 {
                return page + run;
            }
            page += 64 - page % 64;
        }
        page
    }

    /// The first page of the next leaf at or behind that of `from`, if there is one.
    pub fn next_leaf(&self, from: u64) -> Option<u64> {
        let page = self.next(Tag::There, from & !(WAYS as u64 - 1))?;
        Some(page & !(WAYS as u64 - 1))
    }
}

#[cfg(test)]
mod tests;
