//! The tree against a list with one entry for each page, and its invariants after each step.

use super::{Attributes, NONE, VmaTree, Wanted};
use crate::avl::Nodes;
use crate::boot::layout::PAGE_SIZE;
use crate::mm::vma::room::{NoMemory, failing};
use crate::mm::vma::span::Span;
use crate::testing::Random;

const PAGES: u64 = 512;

/// A colour, and a number that counts up by the page for odd colours, as offsets in a file do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Paint {
    colour: u8,
    number: u64,
}

impl Attributes for Paint {
    fn from(&self, offset: u64) -> Self {
        Self { number: if self.colour % 2 == 1 { self.number + offset / PAGE_SIZE } else { 0 }, ..*self }
    }

    fn continues(&self, len: u64, next: &Self) -> bool {
        self.from(len) == *next
    }

    fn guard(&self) -> u64 {
        if self.colour == 4 { 7 * PAGE_SIZE } else { 0 }
    }
}

impl<A: Attributes> VmaTree<A> {
    /// Everything that the head of `tree/mod.rs` says is always so.
    pub fn check(&self) {
        let mut nodes = 0;
        let mut before: Option<u32> = None;
        let mut at = self.root;
        while at != NONE && self.node(at).left != NONE {
            at = self.node(at).left;
        }
        while at != NONE {
            let span = self.span(at);
            assert!(!span.is_empty() && span.start % PAGE_SIZE == 0 && span.end % PAGE_SIZE == 0, "{span:?}");
            assert_eq!(self.node(at).low, span.start.saturating_sub(self.attr(at).guard()));
            if let Some(before) = before {
                let lower = self.span(before);
                assert!(lower.end <= span.start, "{lower:?} and {span:?}");
                let same = lower.end == span.start && self.attr(before).continues(lower.len(), self.attr(at));
                assert!(!same, "{span:?} continues {lower:?}");
            }
            for child in [self.node(at).left, self.node(at).right] {
                assert!(child == NONE || self.node(child).parent == at, "a child has another parent");
            }
            let (left, right) = (self.height(self.node(at).left), self.height(self.node(at).right));
            assert!(left.abs_diff(right) <= 1, "heights {left} and {right} at {span:?}");
            assert_eq!(self.node(at).sum, self.summed(at), "the sum at {span:?}");
            nodes += 1;
            before = Some(at);
            at = self.after(at);
        }
        assert_eq!(nodes, self.len());
        assert!(self.root == NONE || self.node(self.root).parent == NONE);
        let mut free = self.free;
        while free != NONE {
            assert!(self.attrs[free as usize].is_none(), "a free node has attributes");
            nodes += 1;
            free = self.node(free).left;
        }
        assert_eq!(nodes, self.nodes.len().saturating_sub(1), "nodes are lost");
        assert_eq!(self.nodes.len(), self.attrs.len());
    }

    /// Levels.
    pub fn levels(&self) -> u32 {
        if self.root == NONE { 0 } else { self.height(self.root) }
    }
}

fn page(n: u64) -> u64 {
    n * PAGE_SIZE
}

struct Pair {
    tree: VmaTree<Paint>,
    pages: Vec<Option<Paint>>,
}

impl Pair {
    fn new() -> Self {
        Self { tree: VmaTree::new(), pages: vec![None; PAGES as usize] }
    }

    fn taken(&self, span: Span) -> bool {
        self.slots(span).any(|n| self.pages[n].is_some())
    }

    fn slots(&self, span: Span) -> core::ops::Range<usize> {
        (span.start / PAGE_SIZE) as usize..(span.end / PAGE_SIZE) as usize
    }

    fn compare(&self) {
        let mut found = vec![None; PAGES as usize];
        for entry in self.tree.iter() {
            for n in self.slots(entry.span) {
                found[n] = Some(entry.attr.from(page(n as u64) - entry.span.start));
            }
        }
        assert_eq!(found, self.pages);
    }

    /// Whether page `n` may be given out: free, and not in the guard of the range that follows its gap.
    fn open(&self, n: u64) -> bool {
        let next = (n..PAGES).find(|&n| self.pages[n as usize].is_some());
        next.is_none_or(|at| {
            at != n && self.pages[at as usize].is_none_or(|paint| page(at) >= page(n + 1) + paint.guard())
        })
    }

    fn gaps(&self, wanted: &Wanted) -> Vec<u64> {
        let open: Vec<bool> = (0..PAGES).map(|n| self.open(n)).collect();
        let step = (wanted.align / PAGE_SIZE) as usize;
        (0..PAGES)
            .step_by(step)
            .filter(|&n| page(n) >= wanted.window.start && page(n) + wanted.len <= wanted.window.end)
            .filter(|&n| open[n as usize..(n + wanted.len / PAGE_SIZE) as usize].iter().all(|&open| open))
            .map(page)
            .collect()
    }
}

fn some_span(random: &mut Random, longest: u64) -> Span {
    let start = random.below(PAGES);
    let len = 1 + random.below(longest.min(PAGES - start));
    Span::new(page(start), page(start + len))
}

/// 100,000 steps: the tree holds what the list holds, and finds what a walk over the list finds.
#[test]
fn it_agrees_with_a_list_of_pages() {
    let mut random = Random::new(5);
    let mut pair = Pair::new();
    for round in 0..100_000u64 {
        // Times in which it fills up and times in which it empties.
        let longest = if round / 1000 % 2 == 0 { 6 } else { 40 };
        let span = some_span(&mut random, longest);
        let paint = Paint { colour: 1 + random.below(4) as u8, number: 0 };
        // Numbers that fit the neighbours' now and then.
        let paint = paint.from(if random.below(2) == 0 { span.start } else { 0 });
        pair.tree.reserve(2).expect("memory");
        match random.below(8) {
            0..=3 => {
                if !pair.taken(span) {
                    pair.tree.insert(span, paint);
                    for (n, slot) in pair.slots(span).enumerate() {
                        pair.pages[slot] = Some(paint.from(page(n as u64)));
                    }
                }
            }
            4 | 5 => {
                let mut taken = vec![];
                pair.tree.remove(span, |span, paint| taken.push((span, paint)));
                for (span, paint) in taken {
                    for (n, slot) in pair.slots(span).enumerate() {
                        assert_eq!(pair.pages[slot].take(), Some(paint.from(page(n as u64))));
                    }
                }
                assert!(!pair.taken(span), "{round}: something is left in {span:?}");
            }
            _ => {
                // Even colours only: numbers of the others would have to be made up.
                let colour = if random.below(2) == 0 { 2 } else { 4 };
                pair.tree.change(span, |_, paint| *paint = Paint { colour, number: 0 });
                for slot in pair.slots(span) {
                    pair.pages[slot] = pair.pages[slot].map(|_| Paint { colour, number: 0 });
                }
            }
        }
        pair.tree.check();
        pair.compare();
        let addr = page(random.below(PAGES)) + random.below(PAGE_SIZE);
        let found = pair.tree.find(addr).map(|e| e.attr.from(addr / PAGE_SIZE * PAGE_SIZE - e.span.start));
        assert_eq!(found, pair.pages[(addr / PAGE_SIZE) as usize]);
        if round % 4 == 0 {
            let wanted = Wanted {
                len: page(1 + random.below(24)),
                align: page(1 << random.below(4).saturating_sub(1)),
                window: some_span(&mut random, PAGES),
            };
            let gaps = pair.gaps(&wanted);
            assert_eq!(pair.tree.lowest_gap(&wanted), gaps.first().copied(), "{round}: {wanted:?}");
            assert_eq!(pair.tree.highest_gap(&wanted), gaps.last().copied(), "{round}: {wanted:?}");
            let free = pair.slots(span).all(|n| pair.open(n as u64));
            assert_eq!(pair.tree.is_free(span), free, "{round}: {span:?}");
        }
    }
}

/// As many ranges as a process may have, in and out in several orders.
#[test]
fn it_stays_low() {
    for order in 0..3u64 {
        let mut tree = VmaTree::new();
        let count = 65_530u64;
        let place = |n: u64| match order {
            0 => n,
            1 => count - 1 - n,
            _ => n * 40_503 % 65_537,
        };
        for n in 0..count {
            tree.reserve(1).expect("memory");
            let at = page(2 * place(n));
            tree.insert(Span::new(at, at + PAGE_SIZE), Paint { colour: 2, number: 0 });
        }
        assert_eq!(tree.len() as u64, count);
        tree.check();
        assert!(tree.levels() <= 23, "{} levels", tree.levels());
        for n in 0..count {
            if n % 16 != 0 {
                let at = page(2 * place(n));
                tree.remove(Span::new(at, at + PAGE_SIZE), |_, _| ());
            }
        }
        tree.check();
        assert!(tree.levels() <= 17, "{} levels", tree.levels());
    }
}

#[test]
fn refused_memory_changes_nothing() {
    let mut tree: VmaTree<Paint> = VmaTree::new();
    failing::after(0);
    assert_eq!(tree.reserve(1), Err(NoMemory));
    tree.check();
    tree.reserve(1).expect("memory");
    tree.insert(Span::new(0, page(9)), Paint { colour: 1, number: 3 });
    for n in 0..2 {
        failing::after(n);
        assert!(tree.try_clone().is_err());
    }
    assert!(!failing::never());
    let copy = tree.try_clone().expect("memory");
    copy.check();
    assert_eq!(copy.find(page(2)).map(|e| (e.span, *e.attr)), tree.find(page(2)).map(|e| (e.span, *e.attr)));
}

/// A guard keeps the gap below its range free, and no other, whatever the tree's shape.
#[test]
fn a_guard_that_reaches_over_its_neighbour() {
    let mut tree = VmaTree::new();
    tree.reserve(2).expect("memory");
    tree.insert(Span::new(page(10), page(11)), Paint { colour: 2, number: 0 });
    tree.insert(Span::new(page(13), page(14)), Paint { colour: 4, number: 0 });
    let wanted = |len, end| Wanted { len: page(len), align: PAGE_SIZE, window: Span::new(0, page(end)) };
    assert_eq!(tree.highest_gap(&wanted(1, 14)), Some(page(9)));
    assert_eq!(tree.highest_gap(&wanted(1, 15)), Some(page(14)));
    assert_eq!(tree.lowest_gap(&wanted(11, 30)), Some(page(14)));
    assert!(!tree.is_free(Span::new(page(11), page(12))));
    assert!(tree.is_free(Span::new(page(9), page(10))));
}
