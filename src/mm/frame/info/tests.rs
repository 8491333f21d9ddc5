//! Owners, flags, and references that come and go on several threads.

use super::*;
use std::sync::atomic::AtomicUsize;

fn held() -> FrameInfo {
    let info = FrameInfo::new();
    info.set_head(Owner::Anonymous, 3, 0, 1);
    info
}

#[test]
fn owners_are_numbered_as_listed() {
    for (number, owner) in Owner::ALL.into_iter().enumerate() {
        assert_eq!(owner as usize, number);
        assert_eq!(FrameInfo::is_held_in(number as u32), owner.is_holder());
        assert_eq!(Owner::ALL.iter().filter(|other| other.name() == owner.name()).count(), 1);
    }
    assert_eq!(Owner::ALL.iter().filter(|owner| !owner.is_holder()).count(), 3);
    for nonsense in Owner::ALL.len() as u32..256 {
        assert!(!FrameInfo::is_held_in(nonsense));
        assert_eq!(FrameInfo::owner_in(nonsense), Owner::Reserved);
    }
}

#[test]
fn references_are_counted() {
    let info = held();
    assert!(info.is_unique() && info.get() && !info.is_unique());
    assert_eq!((info.put(), info.is_unique(), info.put()), (Dropped::Shared, true, Dropped::Last));
    assert_eq!((info.put(), info.count()), (Dropped::NotHeld, 0));
    assert!(!info.try_get());
    assert_eq!(info.count(), 0);
}

#[test]
fn too_many_references_are_refused() {
    let info = held();
    info.set_head(Owner::Anonymous, 0, 0, FrameInfo::COUNT_MAX - 1);
    assert!(info.get() && !info.get() && !info.try_get());
    assert_eq!((info.count(), info.put()), (FrameInfo::COUNT_MAX, Dropped::Shared));
    assert!(info.try_get());
}

#[test]
fn owner_order_and_flags_do_not_touch_each_other() {
    let info = held();
    assert_eq!((info.set_flags(5), info.set_flags(2), info.clear_flags(1)), (0, 5, 7));
    info.set_owner(Owner::PageCache);
    assert_eq!((info.owner(), info.order(), info.flags(), info.count()), (Owner::PageCache, 3, 6, 1));
    info.set_head(Owner::Free, 10, UNTOUCHED, 0);
    assert!(info.is_free_block(10) && !info.is_free_block(9));
    info.set_inside();
    assert_eq!((info.owner(), info.state(), info.count()), (Owner::Reserved, 0, 0));
}

/// References come and go on four threads; the last is seen once, and no thread sees a frame after it.
#[test]
fn one_of_many_threads_drops_the_last() {
    for _ in 0..200 {
        let (info, last) = (held(), AtomicUsize::new(0));
        for _ in 1..4 {
            assert!(info.get());
        }
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        assert!(info.get() && info.try_get());
                        assert_eq!((info.put(), info.put()), (Dropped::Shared, Dropped::Shared));
                    }
                    match info.put() {
                        Dropped::Last => _ = last.fetch_add(1, Ordering::Relaxed),
                        dropped => assert_eq!(dropped, Dropped::Shared),
                    }
                });
            }
        });
        assert_eq!((last.into_inner(), info.count()), (1, 0));
    }
}
