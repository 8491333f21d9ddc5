//! What memory costs.

use super::per_operation;
use crate::mm::frame::Owner;
use crate::mm::frames;
use alloc::vec::Vec;
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

/// 64 bytes of the heap.
pub fn heap() -> Option<u64> {
    let mut good = true;
    let result = per_operation(|| {
        let mut bytes: Vec<u8> = Vec::new();
        good &= bytes.try_reserve_exact(black_box(64)).is_ok();
        let _ = black_box(&bytes);
    });
    good.then_some(result)
}
