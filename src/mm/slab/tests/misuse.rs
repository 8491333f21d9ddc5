//! Each kind of misuse, committed on purpose: it is found, at the right byte, with the names of the guilty.

use super::*;

const ALLOCATED: Site = 0xA110C;
const FREED: Site = 0xF4EED;
const AGAIN: Site = 0xA9A14;

fn poke(object: NonNull<u8>, at: isize, value: u8) {
    // SAFETY: within the arena; that it is not within the object is the point.
    unsafe { object.offset(at).write_volatile(value) };
}

fn machine() -> Machine<true> {
    Machine::new(256, 1)
}

/// The one violation there is.
fn only<const CHECKS: bool>(machine: &Machine<CHECKS>) -> Violation {
    let found = machine.arena().reported();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0]
}

#[track_caller]
fn assert_found(found: &Violation, fault: Fault, object: NonNull<u8>, size: usize, byte: isize) {
    assert_eq!((found.fault, found.object, found.size, found.byte), (fault, object.addr().get(), size, byte));
    assert_eq!(found.allocated_by, ALLOCATED);
}

#[test]
fn overflow_by_one_byte() {
    // With sizes that are rounded up, that fill their class, and that are aligned.
    for (size, align) in [(1, 1), (40, 8), (48, 8), (64, 64), (176, 8), (1000, 512), (3000, 4096), (8100, 8)]
    {
        let machine = machine();
        let object = machine.allocate(0, size, align, ALLOCATED).unwrap();
        poke(object, size as isize, 0);
        // SAFETY: in use until here.
        unsafe { machine.heap.free(&machine.on(0), object, layout(size, align), FREED) };
        let found = only(&machine);
        assert_found(&found, Fault::Overflow, object, size, size as isize);
        assert_eq!(found.found_by, FREED);
        assert_eq!(machine.settle(), 0, "it is freed all the same");
    }
}

#[test]
fn overflow_in_a_named_cache() {
    let machine = machine();
    let cache = leak(Cache::<true>::new("vma", 104, 8));
    let object = machine.heap.allocate_from(cache, &machine.on(0), ALLOCATED).unwrap();
    poke(object, 104, 1);
    // SAFETY: in use until here.
    unsafe { machine.heap.free_to(cache, &machine.on(0), object, FREED) };
    let found = only(&machine);
    assert_found(&found, Fault::Overflow, object, 104, 104);
    let expected = format!(
        "heap overflow: byte 104 of {object:p} was written, of 104 bytes in vma, allocated by 0xa110c, found by 0xf4eed"
    );
    assert_eq!(found.to_string(), expected);
}

#[test]
fn underflow() {
    let machine = machine();
    for (before, fault) in [(-1, Fault::Underflow), (-32, Fault::Underflow), (-56, Fault::Header)] {
        let object = machine.allocate(0, 40, 8, ALLOCATED).unwrap();
        poke(object, before, 0);
        machine.free(0, object, 40, FREED);
        let found = only(&machine);
        assert_eq!((found.fault, found.object, found.allocated_by), (fault, object.addr().get(), ALLOCATED));
        assert!(fault == Fault::Header || found.byte == before);
    }
}

#[test]
fn double_free() {
    let machine = machine();
    let object = machine.allocate(0, 64, 8, ALLOCATED).unwrap();
    machine.free(0, object, 64, FREED);
    assert_eq!(machine.arena().reported(), []);
    // In the magazine; in its slab; and when the slab's page is not the heap's any more.
    for _ in 0..2 {
        machine.free(0, object, 64, AGAIN);
        let found = only(&machine);
        assert_found(&found, Fault::DoubleFree, object, 64, 0);
        assert_eq!((found.freed_by, found.found_by), (FREED, AGAIN));
        machine.heap.drain(&machine.on(0));
    }
    assert_eq!(machine.settle(), 0);
    machine.free(0, object, 64, AGAIN);
    let found = only(&machine);
    assert_eq!((found.fault, found.object, found.found_by), (Fault::NotAnObject, object.addr().get(), AGAIN));
    // No harm is done: no two objects are one.
    let mut objects: Vec<_> = (0..200).map(|_| machine.allocate(0, 64, 8, 1).unwrap()).collect();
    objects.sort();
    objects.dedup();
    assert_eq!(objects.len(), 200);
}

#[test]
fn use_after_free() {
    let machine = machine();
    let object = machine.allocate(0, 64, 8, ALLOCATED).unwrap();
    machine.free(0, object, 64, FREED);
    poke(object, 3, 0xDA);
    // It is not the next one that is given: there is time for a late write.
    assert_ne!(machine.allocate(0, 64, 8, 1), Some(object));
    assert_eq!(machine.arena().reported(), []);
    let others = (0..200).map(|_| machine.allocate(0, 64, 8, AGAIN).unwrap());
    assert!(others.into_iter().any(|other| other == object));
    let found = only(&machine);
    assert_found(&found, Fault::UseAfterFree, object, 64, 3);
    assert_eq!((found.freed_by, found.found_by), (FREED, AGAIN));
}

#[test]
fn use_after_free_found_when_pages_go_back() {
    let machine = machine();
    let object = machine.allocate(0, 500, 8, ALLOCATED).unwrap();
    machine.free(0, object, 500, FREED);
    poke(object, 499, 0);
    assert_eq!(machine.settle(), 0);
    let found = only(&machine);
    assert_found(&found, Fault::UseAfterFree, object, 500, 499);
    assert_eq!((found.freed_by, found.found_by), (FREED, 0));
}

#[test]
fn wrong_size() {
    let machine = machine();
    let object = machine.allocate(0, 100, 8, ALLOCATED).unwrap();
    machine.free(0, object, 101, FREED);
    assert_found(&only(&machine), Fault::WrongSize, object, 100, 101);
    // Of another class, it is not even looked at.
    let object = machine.allocate(0, 100, 8, ALLOCATED).unwrap();
    machine.free(0, object, 1000, FREED);
    let found = only(&machine);
    assert_eq!(
        (found.fault, found.object, found.cache),
        (Fault::NotAnObject, object.addr().get(), "size-1536")
    );
}

#[test]
fn no_object() {
    let machine = machine();
    let object = machine.allocate(0, 64, 8, ALLOCATED).unwrap();
    let mut local = 0u64;
    let nowhere = NonNull::new(core::ptr::without_provenance_mut(0x1000)).unwrap();
    let inside = NonNull::new(object.as_ptr().wrapping_add(8)).unwrap();
    for other in [inside, NonNull::from(&mut local).cast(), nowhere] {
        machine.free(0, other, 64, FREED);
        let found = only(&machine);
        assert_eq!(
            (found.fault, found.object, found.found_by),
            (Fault::NotAnObject, other.addr().get(), FREED)
        );
        let expected = format!("free of {other:p}, which is no object of size-192, by 0xf4eed");
        assert_eq!(found.to_string(), expected);
    }
    machine.free(0, object, 64, FREED);
    assert_eq!((machine.arena().reported(), machine.settle()), (vec![], 0));
}

/// Without checks a pointer of another cache is found when it goes back to the slabs, and not let in.
#[test]
fn no_object_without_checks() {
    let machine = Machine::<false>::new(256, 1);
    let object = machine.allocate(0, 64, 8, ALLOCATED).unwrap();
    machine.free(0, object, 128, FREED);
    machine.heap.drain(&machine.on(0));
    let found = only(&machine);
    assert_eq!(
        (found.fault, found.object, found.cache),
        (Fault::NotAnObject, object.addr().get(), "size-128")
    );
    machine.free(0, object, 64, FREED);
    assert_eq!(machine.settle(), 0);
}

/// The checks are what finds it: without them, the same overflow passes.
#[test]
fn overflow_without_checks() {
    let machine = Machine::<false>::new(256, 1);
    let object = machine.allocate(0, 40, 8, ALLOCATED).unwrap();
    poke(object, 40, 0);
    machine.free(0, object, 40, FREED);
    assert_eq!((machine.settle(), machine.arena().reported()), (0, vec![]));
}

#[test]
fn an_audit_need_not_wait_for_the_free() {
    let machine = machine();
    let [first, second, third] = [64, 64, 3000].map(|size| machine.allocate(0, size, 8, ALLOCATED).unwrap());
    let mut found = vec![];
    machine.heap.audit(|violation| found.push(violation));
    assert_eq!(found, []);
    poke(third, 3001, 0);
    machine.free(0, first, 64, FREED);
    poke(first, 0, 0);
    machine.heap.audit(|violation| found.push(violation));
    assert_eq!(found.len(), 2);
    assert_found(&found[0], Fault::UseAfterFree, first, 64, 0);
    assert_found(&found[1], Fault::Overflow, third, 3000, 3001);
    let mut live = vec![];
    machine.heap.live(|object| live.push((object.object, object.size, object.allocated_by, object.cache)));
    let expected = [(second, 64, "size-192"), (third, 3000, "size-4096")];
    let expected = expected.map(|(object, size, cache)| (object.addr().get(), size, ALLOCATED, cache));
    live.sort_by_key(|&(_, size, ..)| size);
    assert_eq!(live, expected);
}

/// New memory is neither zero nor what was there before.
#[test]
fn new_objects_hold_nothing_useful() {
    let machine = machine();
    let object = machine.allocate(0, 300, 8, ALLOCATED).unwrap();
    // SAFETY: in use, by us, and written by the heap.
    assert!(unsafe { std::slice::from_raw_parts(object.as_ptr(), 300) }.iter().all(|&byte| byte == 0xDA));
}
