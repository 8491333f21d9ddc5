//! The heap on memory of the host.

mod arena;
mod limits;
mod misuse;
mod property;
mod threads;

use super::*;
use arena::Arena;
use core::alloc::Layout;
use core::ptr::NonNull;

/// A number from the environment, as `SIS_FUZZ`.
pub fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect(variable))
}

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

/// A heap, and a machine's CPUs. The test's thread is all of them in turn.
#[derive(Clone, Copy)]
struct Machine<const CHECKS: bool> {
    heap: &'static Heap<Arena, CHECKS>,
    cpus: &'static [CpuMagazines],
}

impl<const CHECKS: bool> Machine<CHECKS> {
    fn new(pages: usize, cpus: usize) -> Self {
        let heap = leak(Heap::new(Arena::new(pages)));
        let cpus = leak((0..cpus).map(|_| CpuMagazines::new()).collect::<Vec<_>>());
        cpus.iter().for_each(|cpu| heap.add_cpu(cpu));
        Self { heap, cpus }
    }

    fn arena(&self) -> &'static Arena {
        self.heap.source()
    }

    /// The rights of one of the CPUs.
    fn on(&self, cpu: usize) -> Mine<'static> {
        // SAFETY: each is dropped before the next of this CPU is made, as the tests use them in one expression.
        unsafe { self.cpus[cpu].mine() }
    }

    fn allocate(&self, cpu: usize, size: usize, align: usize, site: Site) -> Option<NonNull<u8>> {
        self.heap.allocate(&self.on(cpu), layout(size, align), site)
    }

    /// Of an object with alignment 8 that `allocate` has given, in use or, to provoke the heap, not.
    fn free(&self, cpu: usize, object: NonNull<u8>, size: usize, site: Site) {
        // SAFETY: misuse is for the checks to find before anything is touched.
        unsafe { self.heap.free(&self.on(cpu), object, layout(size, 8), site) };
    }

    /// Everything that can be given back is. Returns how many pages are left in use.
    fn settle(&self) -> usize {
        for cpu in 0..self.cpus.len() {
            self.heap.drain(&self.on(cpu));
        }
        self.heap.shrink(&self.on(0));
        self.arena().used()
    }

    fn stats(&self, name: &str) -> Stats {
        self.heap.stats().find(|stats| stats.name == name).unwrap()
    }
}
