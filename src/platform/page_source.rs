//! Where a machine's own code gets pages for page tables: from memory management, a layer above, which says so here.

use core::sync::atomic::{AtomicPtr, Ordering};

/// Gives a page, by its physical address, with whatever is in it; `None` if memory is out.
pub type PageSource = fn() -> Option<u64>;

/// A [`PageSource`], as an address; null before there is one.
static SOURCE: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Says where pages come from. Before the first device is mapped.
pub fn set(source: PageSource) {
    SOURCE.store(source as *mut (), Ordering::Release);
}

/// A page.
pub fn page() -> Option<u64> {
    let source = SOURCE.load(Ordering::Acquire);
    if source.is_null() {
        return None;
    }
    // SAFETY: `set` alone stores there, and what it stores is a PageSource.
    let source = unsafe { core::mem::transmute::<*mut (), PageSource>(source) };
    source()
}

#[test]
fn there_is_none_until_it_is_set() {
    assert_eq!(page(), None);
    set(|| Some(0x5000));
    assert_eq!(page(), Some(0x5000));
}
