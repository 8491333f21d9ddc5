//! Where a machine's own code gets pages for page tables, and gives them back: from memory management, a layer above,
//! which says so here.

use spin::Once;

/// Both ways.
#[derive(Clone, Copy)]
pub struct PageSource {
    /// A page, by its physical address, with whatever is in it; `None` if memory is out.
    pub allocate: fn() -> Option<u64>,
    /// The same below 4 GiB.
    pub allocate_low: fn() -> Option<u64>,
    /// Takes a page back that came from either.
    pub free: fn(u64),
}

static SOURCE: Once<PageSource> = Once::new();

/// Says where pages come from. Before the first device is mapped.
pub fn set(source: PageSource) {
    SOURCE.call_once(|| source);
}

/// A page.
pub fn page() -> Option<u64> {
    (SOURCE.get()?.allocate)()
}

/// A page below 4 GiB.
pub fn low_page() -> Option<u64> {
    (SOURCE.get()?.allocate_low)()
}

/// Gives back what [`page`] or [`low_page`] gave.
pub fn free(page: u64) {
    if let Some(source) = SOURCE.get() {
        (source.free)(page);
    }
}

#[test]
fn there_is_none_until_it_is_set() {
    use std::sync::atomic::{AtomicU64, Ordering};
    static FREED: AtomicU64 = AtomicU64::new(0);
    assert_eq!(page(), None);
    set(PageSource {
        allocate: || Some(0x5000),
        allocate_low: || Some(0x6000),
        free: |page| FREED.store(page, Ordering::Relaxed),
    });
    assert_eq!((page(), low_page()), (Some(0x5000), Some(0x6000)));
    free(0x5000);
    assert_eq!(FREED.load(Ordering::Relaxed), 0x5000);
}
