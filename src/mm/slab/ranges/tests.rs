//! The ranges against a plain map of the area, and the tree's own rules after each step.

use super::*;
use crate::mm::slab::tests::number;
use crate::testing::Random;
use std::collections::BTreeMap;

/// Checks a subtree: order, balance, sums, and that range and gap lead to the next range without a hole. `at` is
/// where the next range has to begin. Returns the height and the largest gap.
fn check(link: &Link, at: &mut u64, previous_gap: &mut u64) -> (u8, u64) {
    let Some(node) = Ranges::get(link) else { return (0, 0) };
    let (left, left_gap) = check(&node.left, at, previous_gap);
    assert_eq!(*at + *previous_gap, node.start);
    (*at, *previous_gap) = (node.end(), node.gap);
    let (right, right_gap) = check(&node.right, at, previous_gap);
    assert!(left.abs_diff(right) <= 1, "out of balance at {:#x}", node.start);
    let (height, largest) = (1 + left.max(right), node.gap.max(left_gap).max(right_gap));
    assert_eq!((node.height, node.largest), (height, largest));
    (height, largest)
}

struct Model {
    ranges: Ranges,
    taken: BTreeMap<u64, (u64, Site)>,
    first: u64,
    end: u64,
}

impl Model {
    fn new(first: u64, end: u64) -> Self {
        Self { ranges: Ranges::new(first, end), taken: BTreeMap::new(), first, end }
    }

    /// The gaps: from a range's guard to the next range.
    fn gaps(&self) -> impl Iterator<Item = (u64, u64)> {
        let starts = self.taken.keys().copied().chain([self.end]);
        let ends = self.taken.iter().map(|(start, (pages, _))| start + pages + GUARD_PAGES);
        [self.first + GUARD_PAGES].into_iter().chain(ends).zip(starts)
    }

    fn allocate(&mut self, pages: u64, align: u64, site: Site) -> Option<u64> {
        let fits = |&(from, to): &(u64, u64)| to - from >= pages + GUARD_PAGES + align - 1;
        let expected = self.gaps().find(fits).map(|(from, _)| from.next_multiple_of(align));
        let node = NonNull::from(Box::leak(Box::new(Node::new())));
        // SAFETY: a new node.
        let found = unsafe { self.ranges.allocate(node, pages, align, site) };
        assert_eq!(found, expected, "{pages} pages at a multiple of {align}");
        match found {
            Some(start) => _ = self.taken.insert(start, (pages, site)),
            // SAFETY: refused, so it is ours still.
            None => drop(unsafe { Box::from_raw(node.as_ptr()) }),
        }
        found
    }

    fn free(&mut self, start: u64) {
        let expected = self.taken.remove(&start).map(|(pages, site)| Range { start, pages, site });
        let found = self.ranges.free(start);
        assert_eq!(found.map(|(_, range)| range), expected);
        if let Some((node, _)) = found {
            // SAFETY: it came from `Box::leak` in `allocate`, and is handed back.
            drop(unsafe { Box::from_raw(node.as_ptr()) });
        }
    }

    fn check(&self) {
        let (mut at, mut gap) = (self.ranges.start, self.ranges.front);
        check(&self.ranges.root, &mut at, &mut gap);
        assert_eq!(at + gap, self.end);
        assert_eq!(self.ranges.count(), self.taken.len());
        assert_eq!(self.ranges.pages(), self.taken.values().map(|(pages, _)| pages).sum::<u64>());
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        let starts: Vec<_> = self.taken.keys().copied().collect();
        starts.into_iter().for_each(|start| self.free(start));
    }
}

#[test]
fn against_a_map() {
    let mut random = Random::new(number("SIS_FUZZ_SEED", 11));
    let (first, end) = (0x1000, 0x1000 + 3000);
    let mut model = Model::new(first, end);
    let (mut refused, mut most) = (0, 0);
    for round in 0..number("SIS_FUZZ", 100_000) {
        // Long phases of growing and of shrinking, so that both a crowded and an empty area are seen.
        let grow = if round / 1000 % 2 == 0 { 7 } else { 3 };
        if random.below(10) < grow {
            let most = random.pick(&[4, 4, 40, 400]);
            let pages = 1 + random.below(most);
            let most = random.pick(&[1, 1, 1, 6]);
            let align = 1 << random.below(most);
            refused += u64::from(model.allocate(pages, align, round as Site).is_none());
        } else if let Some(&start) = model.taken.keys().nth(random.index(model.taken.len().max(1))) {
            model.free(start);
        }
        // What was never given is not taken, and is found nowhere.
        let page = first + random.below(end - first);
        let holder = model.taken.range(..=page).next_back();
        let holder = holder.filter(|(start, (pages, _))| page < *start + pages + GUARD_PAGES);
        let as_range = |(&start, &(pages, site)): (&u64, &(u64, Site))| Range { start, pages, site };
        assert_eq!(model.ranges.find(page), holder.map(as_range));
        assert_eq!(model.ranges.next_from(page), model.taken.range(page..).next().map(as_range));
        if !model.taken.contains_key(&page) {
            model.free(page);
        }
        if round % 16 == 0 {
            model.check();
        }
        most = most.max(model.taken.len());
    }
    assert!(refused > 0 && most > 100, "{refused} refused, at most {most} at a time");
    while let Some((&start, _)) = model.taken.first_key_value() {
        model.free(start);
    }
    model.check();
    assert_eq!((model.ranges.front, model.ranges.root), (end - first - GUARD_PAGES, None));
}

/// Ten thousand ranges in order, every second one freed, then the holes filled: the way down stays short.
#[test]
fn short_ways() {
    let mut model = Model::new(0, 1 << 40);
    // The model's own search would take long; its map is not asked here.
    let mut starts = vec![];
    for site in 0..10_000 {
        let node = NonNull::from(Box::leak(Box::new(Node::new())));
        // SAFETY: a new node.
        let start = unsafe { model.ranges.allocate(node, 3, 1, site) }.unwrap();
        starts.push(start);
        model.taken.insert(start, (3, site));
    }
    assert!(starts.is_sorted());
    model.check();
    assert!(height(model.ranges.root) <= 19, "1.45 · log2(10,000)");
    for start in starts.iter().step_by(2) {
        model.free(*start);
    }
    model.check();
    assert_eq!(model.allocate(3, 1, 0), Some(starts[0]));
    assert_eq!(
        model.allocate(4, 1, 0),
        Some(starts[9999] + 4),
        "a hole of three pages and a guard is too small"
    );
}

#[test]
fn no_such_range() {
    let mut model = Model::new(0, 10);
    let node = NonNull::from(Box::leak(Box::new(Node::new())));
    for (pages, align) in
        [(0, 1), (u64::MAX, 1), (1, u64::MAX), (1, 0), (1, 3), (1 << 63, 1 << 63), (9, 1), (8, 2)]
    {
        // SAFETY: refused each time, so the node stays ours.
        assert_eq!(unsafe { model.ranges.allocate(node, pages, align, 0) }, None, "{pages} at {align}");
    }
    // SAFETY: from `Box::leak` above.
    drop(unsafe { Box::from_raw(node.as_ptr()) });
    assert_eq!(model.allocate(8, 1, 0), Some(1), "all but the two guards");
    assert_eq!(model.allocate(1, 1, 0), None);
    assert!(Ranges::new(5, 3).front == 0);
}
