//! What memory costs.

use super::per_operation;
use crate::mm::frame::Owner;
use crate::mm::frames;
use alloc::alloc::{alloc, dealloc};
use core::alloc::Layout;
use core::hint::black_box;

/// One frame, of those that this CPU has at hand.
pub fn frame() -> Option<u64> {
    let mut good = true;
    let result = per_operation(|| match frames::allocate(Owner::Kernel) {
        Some(frame) => frames::free(black_box(frame)),
        None => good = false,
    });
    good.then_some(result)
}

/// 64 bytes of the heap, of a size that only shows while it runs.
pub fn heap() -> Option<u64> {
    let mut good = true;
    let result = per_operation(|| {
        let layout = black_box(Layout::new::<[u64; 8]>());
        // SAFETY: the layout is not empty, and what is given back is what was given.
        unsafe {
            let object = alloc(layout);
            good &= !object.is_null();
            if !object.is_null() {
                dealloc(black_box(object), layout);
            }
        }
    });
    good.then_some(result)
}
