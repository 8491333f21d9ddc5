//! No memory: a refusal is a value, and afterwards everything is as it was.

use super::*;
use std::sync::atomic::Ordering::Relaxed;

/// Allocates until refused, at most as often as the pages could allow.
fn exhaust<const CHECKS: bool>(machine: &Machine<CHECKS>, size: usize) -> Vec<NonNull<u8>> {
    let most = machine.arena().limit.load(Relaxed) * 4096 / size;
    let objects: Vec<_> = (0..=most).map_while(|_| machine.allocate(0, size, 8, 1)).collect();
    assert!(objects.len() <= most, "never refused");
    objects
}

fn refused_and_as_before<const CHECKS: bool>() {
    let machine = Machine::<CHECKS>::new(64, 2);
    for size in [1, 16, 64, 100, 1000, 4000, 8000] {
        let first = exhaust(&machine, size);
        assert!(!first.is_empty());
        assert_eq!(machine.allocate(0, size, 8, 1), None);
        // One back, one more.
        machine.free(0, first[0], size, 1);
        assert!(machine.allocate(0, size, 8, 1).is_some());
        assert_eq!(machine.allocate(0, size, 8, 1), None);
        first.iter().for_each(|&object| machine.free(1, object, size, 1));
        assert_eq!(machine.settle(), 0);
        let second = exhaust(&machine, size);
        assert_eq!(second.len(), first.len());
        second.iter().for_each(|&object| machine.free(0, object, size, 1));
        assert_eq!(machine.settle(), 0);
    }
    assert_eq!(machine.arena().reported(), []);
}

#[test]
fn refused_and_as_before_plain() {
    refused_and_as_before::<false>();
}

#[test]
fn refused_and_as_before_checked() {
    refused_and_as_before::<true>();
}

/// Without checks, slabs are used to the last object: 64 pages hold 64 · 4096 / 64.
#[test]
fn no_byte_lost() {
    let machine = Machine::<false>::new(64, 1);
    for (size, count) in
        [(16, 16384), (64, 4096), (512, 512), (1024, 256), (2048, 128), (4096, 64), (8192, 32)]
    {
        let objects = exhaust(&machine, size);
        assert_eq!(objects.len(), count, "objects of {size} bytes");
        objects.iter().for_each(|&object| machine.free(0, object, size, 1));
        assert_eq!(machine.settle(), 0);
    }
}

/// A piece of work that needs all sorts of memory, and gives up with the first refusal.
fn work(machine: &Machine<true>, cache: &'static Cache<true>) -> Option<()> {
    let mut objects = vec![];
    let mut named = vec![];
    let mut all = || {
        for size in [10, 100, 1000, 8192, 100_000] {
            for _ in 0..5 {
                objects.push((machine.allocate(0, size, 8, 1)?, size));
                named.push(machine.heap.allocate_from(cache, &machine.on(0), 1)?);
            }
        }
        Some(())
    };
    let done = all();
    objects.iter().for_each(|&(object, size)| machine.free(0, object, size, 1));
    // SAFETY: in use until here.
    named.iter().for_each(|&object| unsafe { machine.heap.free_to(cache, &machine.on(0), object, 1) });
    done
}

#[test]
fn each_allocation_fails_once() {
    let machine = Machine::<true>::new(256, 1);
    let cache = leak(Cache::new("vma", 104, 8));
    machine.heap.fail.only_count();
    assert_eq!(work(&machine, cache), Some(()));
    let count = machine.heap.fail.asked();
    assert_eq!(count, 50);
    for n in 1..=count {
        machine.heap.fail.once(n);
        assert_eq!(work(&machine, cache), None, "the {n}-th");
        assert_eq!((machine.heap.fail.asked(), machine.heap.fail.failed()), (n, 1));
        assert_eq!((machine.settle(), machine.arena().large(), machine.arena().reported()), (0, 0, vec![]));
    }
    machine.heap.fail.once(count + 1);
    assert_eq!(work(&machine, cache), Some(()));
}

/// More named caches than there are magazines: the last ones do without.
#[test]
fn caches_without_a_magazine() {
    let machine = Machine::<false>::new(256, 1);
    let caches: Vec<_> = (0..MAGAZINES).map(|_| leak(Cache::new("many", 40, 8))).collect();
    let all = || caches.iter().map(|cache| machine.heap.allocate_from(cache, &machine.on(0), 1).unwrap());
    let objects: Vec<_> = all().chain(all()).collect();
    assert_eq!(machine.heap.stats().map(|stats| stats.in_use).sum::<usize>(), 2 * MAGAZINES);
    let with = machine.heap.stats().filter(|stats| stats.name == "many" && stats.in_magazines > 0).count();
    assert_eq!(with, MAGAZINES - CLASSES);
    for (object, cache) in objects.iter().zip(caches.iter().chain(&caches)) {
        // SAFETY: in use until here.
        unsafe { machine.heap.free_to(cache, &machine.on(0), *object, 1) };
    }
    assert_eq!(machine.settle(), 0);
}

/// Half a magazine comes at a time, and the object freed last is the one allocated next.
#[test]
fn a_magazine_at_work() {
    let machine = Machine::<false>::new(256, 2);
    let object = machine.allocate(0, 64, 8, 1).unwrap();
    let Stats { in_use, in_magazines, slabs, room, bytes, .. } = machine.stats("size-64");
    assert_eq!((in_use, in_magazines, slabs, room, bytes), (1, 15, 1, 64, 4096));
    machine.free(0, object, 64, 1);
    assert_eq!(machine.allocate(0, 64, 8, 1), Some(object));
    // A full magazine gives half away. The limit is known from the first use.
    let objects: Vec<_> = (0..60).map(|_| machine.allocate(0, 64, 8, 1).unwrap()).collect();
    objects[..31].iter().for_each(|&object| machine.free(1, object, 64, 1));
    assert_eq!(machine.cpus[1].count(4), 31);
    machine.free(1, objects[31], 64, 1);
    assert_eq!(machine.cpus[1].count(4), 16);
    objects[32..].iter().chain([&object]).for_each(|&object| machine.free(0, object, 64, 1));
    assert_eq!((machine.stats("size-64").in_use, machine.settle()), (0, 0));
}

#[test]
fn what_stays_where_it_is() {
    type Plain = Heap<Arena, false>;
    assert!(Plain::stays(layout(65, 8), 96) && Plain::stays(layout(96, 8), 65));
    assert!(!Plain::stays(layout(65, 8), 97) && !Plain::stays(layout(65, 8), 64));
    assert!(Plain::stays(layout(1, 8), 16) && !Plain::stays(layout(1, 8), 0));
    assert!(!Plain::stays(layout(9000, 8), 9001) && !Plain::stays(layout(8192, 8), 8193));
    assert!(!Heap::<Arena, true>::stays(layout(65, 8), 66), "its red zone would be in the way");
}

/// Nobody may ask for nothing; if somebody does, it is refused.
#[test]
fn nothing() {
    let machine = Machine::<false>::new(8, 1);
    assert_eq!(machine.allocate(0, 0, 8, 1), None);
    assert_eq!(Machine::<true>::new(8, 1).allocate(0, 0, 8, 1), None);
}
