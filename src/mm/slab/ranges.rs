//! Ranges of pages in an area of addresses: which are taken, and where a new one fits. The vmalloc area's account.
//!
//! An AVL tree of the ranges that are taken, in order of their addresses. Each node also knows the gap behind it
//! and the largest gap of its subtree, so the lowest gap that is large enough is found on one way down. Two free
//! ranges side by side cannot be: the gap between two taken ones is one number. And freeing needs no memory.
//!
//! Behind each range one page stays unmapped, so that to run past the end of one is a page fault and not a look
//! into the next. The area's first page is such a guard too.
//!
//! There is no lock in here and no allocation. The nodes are the caller's, from a cache, made before the lock is
//! taken. (The tree of an address space, in `src/mm/vma`, is another: its ranges are merged and cut, and copied by
//! fork, so its nodes lie in one array.)
//!
//! Source: G. M. Adelson-Velskii, E. M. Landis, "An algorithm for the organization of information" (1962);
//! Knuth, The Art of Computer Programming, vol. 3, §6.2.3.

use super::source::Site;
use core::cmp::Ordering;
use core::ptr::NonNull;

/// Pages that are not mapped, behind each range.
pub const GUARD_PAGES: u64 = 1;

type Link = Option<NonNull<Node>>;

/// What the tree keeps of a range.
#[derive(Debug)]
pub struct Node {
    left: Link,
    right: Link,
    /// First page.
    start: u64,
    /// Pages, without the guard.
    pages: u64,
    /// Free pages from the guard's end to the next range or the area's end.
    gap: u64,
    /// The largest `gap` in the subtree.
    largest: u64,
    height: u8,
    /// Who allocated it.
    site: Site,
}

impl Node {
    /// Of no range yet.
    pub const fn new() -> Self {
        Self { left: None, right: None, start: 0, pages: 0, gap: 0, largest: 0, height: 1, site: 0 }
    }

    /// Behind the guard.
    const fn end(&self) -> u64 {
        self.start + self.pages + GUARD_PAGES
    }
}

impl Default for Node {
    fn default() -> Self {
        Self::new()
    }
}

/// A range that is taken, in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub start: u64,
    pub pages: u64,
    /// Who allocated it.
    pub site: Site,
}

/// The ranges of one area.
#[derive(Debug)]
pub struct Ranges {
    root: Link,
    /// Where the first range can begin, and free pages from there to the first range.
    start: u64,
    front: u64,
    count: usize,
    pages: u64,
}

// SAFETY: the nodes are the tree's own from `allocate` to `free`.
unsafe impl Send for Ranges {}

impl Ranges {
    /// An area from page `first` to `end`, not included. None of it is taken.
    pub const fn new(first: u64, end: u64) -> Self {
        let start = first + GUARD_PAGES;
        Self { root: None, start, front: end.saturating_sub(start), count: 0, pages: 0 }
    }

    /// Ranges taken.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Pages taken, without guards.
    pub const fn pages(&self) -> u64 {
        self.pages
    }

    /// The tree under `link`, for a look.
    fn get(link: &Link) -> Option<&Node> {
        // SAFETY: the tree's nodes are valid, and change through `&mut self` only.
        link.as_ref().map(|node| unsafe { node.as_ref() })
    }

    /// Takes `pages` pages at a multiple of `align` pages, a power of two, and says where they begin: at the lowest
    /// place in the lowest gap that is sure to do. `None` if there is no such gap; the node is then the caller's
    /// still. With an alignment, a gap does if it is long enough wherever it begins.
    ///
    /// # Safety
    /// The node is valid, and nobody else's until [`free`](Self::free) returns it.
    pub unsafe fn allocate(
        &mut self,
        node: NonNull<Node>,
        pages: u64,
        align: u64,
        site: Site,
    ) -> Option<u64> {
        let wanted = pages.checked_add(GUARD_PAGES)?.checked_add(align.checked_sub(1)?)?;
        if pages == 0 || !align.is_power_of_two() {
            return None;
        }
        let before = if self.front >= wanted { None } else { Some(self.gap_behind(wanted)?) };
        let (from, gap) = before.map_or((self.start, self.front), |node| (node.end(), node.gap));
        let start = from.next_multiple_of(align);
        let behind = gap - (start - from) - pages - GUARD_PAGES;
        match before.map(|node| node.start) {
            None => self.front = start - from,
            // SAFETY: the tree's own nodes.
            Some(key) => unsafe { set_gap(self.root, key, start - from) },
        }
        let new = Node { start, pages, gap: behind, largest: behind, site, ..Node::new() };
        // SAFETY: the caller's promise; the tree holds no range that begins there.
        unsafe {
            node.write(new);
            self.root = Some(insert(self.root, node));
        }
        self.count += 1;
        self.pages += pages;
        Some(start)
    }

    /// The first range with a gap of `wanted` pages behind it.
    fn gap_behind(&self, wanted: u64) -> Option<&Node> {
        let mut at = Self::get(&self.root).filter(|root| root.largest >= wanted)?;
        loop {
            at = match Self::get(&at.left).filter(|left| left.largest >= wanted) {
                Some(left) => left,
                None if at.gap >= wanted => return Some(at),
                None => Self::get(&at.right)?,
            };
        }
    }

    /// The range that begins at page `start` is free again. Returns its node, which is the caller's now, and what
    /// it was; `None` if no range begins there: it was freed before, or never given.
    pub fn free(&mut self, start: u64) -> Option<(NonNull<Node>, Range)> {
        let node = self.last_up_to(start).filter(|node| node.start == start)?;
        let Node { pages, gap: behind, site, .. } = *node;
        let freed = pages + GUARD_PAGES + behind;
        let before =
            start.checked_sub(1).and_then(|last| self.last_up_to(last)).map(|node| (node.start, node.gap));
        // SAFETY: the tree's own nodes.
        let removed = unsafe {
            let (root, removed) = remove(self.root, start);
            self.root = root;
            match before {
                None => self.front += freed,
                Some((key, gap)) => set_gap(self.root, key, gap + freed),
            }
            removed?
        };
        self.count -= 1;
        self.pages -= pages;
        Some((removed, Range { start, pages, site }))
    }

    /// The last range that begins at page `page` or before it.
    fn last_up_to(&self, page: u64) -> Option<&Node> {
        let (mut at, mut found) = (Self::get(&self.root), None);
        while let Some(node) = at {
            if node.start <= page {
                found = at;
            }
            at = Self::get(if node.start <= page { &node.right } else { &node.left });
        }
        found
    }

    /// The range that has `page`, or has it for its guard: whose end was run past?
    pub fn find(&self, page: u64) -> Option<Range> {
        let Node { start, pages, site, .. } = *self.last_up_to(page).filter(|node| page < node.end())?;
        Some(Range { start, pages, site })
    }

    /// The first range that begins at page `page` or behind it: to visit all, go on from behind each one's start.
    pub fn next_from(&self, page: u64) -> Option<Range> {
        let (mut at, mut found) = (Self::get(&self.root), None);
        while let Some(node) = at {
            if node.start >= page {
                found = Some(Range { start: node.start, pages: node.pages, site: node.site });
            }
            at = Self::get(if node.start >= page { &node.left } else { &node.right });
        }
        found
    }
}

// ---- the tree; recursion is as deep as it is high, less than 1.45 · log2(ranges) ----

fn height(link: Link) -> u8 {
    // SAFETY: every link is to a node of the tree.
    link.map_or(0, |node| unsafe { node.as_ref() }.height)
}

fn largest(link: Link) -> u64 {
    // SAFETY: every link is to a node of the tree.
    link.map_or(0, |node| unsafe { node.as_ref() }.largest)
}

/// Recomputes what a node says of its subtree.
///
/// # Safety
/// All functions from here on: links are to nodes of one tree, of which the caller has the only reference.
unsafe fn sum_up(mut node: NonNull<Node>) {
    // SAFETY: the caller's promise.
    let node = unsafe { node.as_mut() };
    node.height = 1 + height(node.left).max(height(node.right));
    node.largest = node.gap.max(largest(node.left)).max(largest(node.right));
}

/// The node's right child goes up to its place; to the left, mirrored, with `LEFT`.
unsafe fn rotate<const LEFT: bool>(node: NonNull<Node>) -> NonNull<Node> {
    let at = node.as_ptr();
    // SAFETY: the caller's promise; no reference to a node is held while links change.
    unsafe {
        let up = if LEFT { (*at).left } else { (*at).right };
        let Some(up) = up else { return node };
        if LEFT {
            (*at).left = (*up.as_ptr()).right.replace(node);
        } else {
            (*at).right = (*up.as_ptr()).left.replace(node);
        }
        sum_up(node);
        sum_up(up);
        up
    }
}

/// The subtree of `node`, whose children's heights may differ by two, in balance.
unsafe fn balance(node: NonNull<Node>) -> NonNull<Node> {
    let at = node.as_ptr();
    // SAFETY: the caller's promise.
    unsafe {
        sum_up(node);
        let (left, right) = ((*at).left, (*at).right);
        match (left, right) {
            (Some(child), _) if height(left) > height(right) + 1 => {
                if height((*child.as_ptr()).right) > height((*child.as_ptr()).left) {
                    (*at).left = Some(rotate::<false>(child));
                }
                rotate::<true>(node)
            }
            (_, Some(child)) if height(right) > height(left) + 1 => {
                if height((*child.as_ptr()).left) > height((*child.as_ptr()).right) {
                    (*at).right = Some(rotate::<true>(child));
                }
                rotate::<false>(node)
            }
            _ => node,
        }
    }
}

unsafe fn insert(tree: Link, new: NonNull<Node>) -> NonNull<Node> {
    let Some(node) = tree else { return new };
    let at = node.as_ptr();
    // SAFETY: the caller's promise.
    unsafe {
        if (*new.as_ptr()).start < (*at).start {
            (*at).left = Some(insert((*at).left, new));
        } else {
            (*at).right = Some(insert((*at).right, new));
        }
        balance(node)
    }
}

/// Takes the range out that begins at `start`; returns what is left, and its node.
unsafe fn remove(tree: Link, start: u64) -> (Link, Link) {
    let Some(node) = tree else { return (None, None) };
    let at = node.as_ptr();
    // SAFETY: the caller's promise.
    unsafe {
        let removed;
        match start.cmp(&(*at).start) {
            Ordering::Less => ((*at).left, removed) = remove((*at).left, start),
            Ordering::Greater => ((*at).right, removed) = remove((*at).right, start),
            Ordering::Equal => {
                let (Some(_), Some(right)) = ((*at).left, (*at).right) else {
                    return ((*at).left.or((*at).right), tree);
                };
                // The next one takes the node's place.
                let (rest, first) = remove_first(right);
                (*first.as_ptr()).left = (*at).left;
                (*first.as_ptr()).right = rest;
                return (Some(balance(first)), tree);
            }
        }
        (Some(balance(node)), removed)
    }
}

/// Takes the first range out; returns what is left, and its node.
unsafe fn remove_first(node: NonNull<Node>) -> (Link, NonNull<Node>) {
    let at = node.as_ptr();
    // SAFETY: the caller's promise.
    unsafe {
        let Some(left) = (*at).left else { return ((*at).right, node) };
        let (rest, first) = remove_first(left);
        (*at).left = rest;
        (Some(balance(node)), first)
    }
}

/// Sets the gap behind the range that begins at `start`.
unsafe fn set_gap(tree: Link, start: u64, gap: u64) {
    let Some(node) = tree else { return };
    let at = node.as_ptr();
    // SAFETY: the caller's promise.
    unsafe {
        match start.cmp(&(*at).start) {
            Ordering::Less => set_gap((*at).left, start, gap),
            Ordering::Greater => set_gap((*at).right, start, gap),
            Ordering::Equal => (*at).gap = gap,
        }
        sum_up(node);
    }
}

#[cfg(test)]
mod tests;
