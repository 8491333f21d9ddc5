//! Random allocations and frees on several CPUs, against a map of what is in use.
//!
//! Every object is filled with a pattern of its own, and looked at when it is freed: two objects that shared a
//! byte would show. `SIS_FUZZ` sets the number of steps (100,000 without it), `SIS_FUZZ_SEED` another sequence.

use super::*;
use crate::testing::Random;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

const CPUS: usize = 3;

struct Object<const CHECKS: bool> {
    at: NonNull<u8>,
    layout: Layout,
    /// The named cache it came from.
    cache: Option<&'static Cache<CHECKS>>,
    pattern: u8,
    site: Site,
}

struct Model<const CHECKS: bool> {
    machine: Machine<CHECKS>,
    named: Vec<&'static Cache<CHECKS>>,
    /// By address.
    live: BTreeMap<usize, Object<CHECKS>>,
    random: Random,
    step: u64,
    refused: u64,
    most: usize,
}

impl<const CHECKS: bool> Model<CHECKS> {
    fn new(seed: u64) -> Self {
        let named = [("vma", 104, 8), ("inode", 700, 64), ("byte", 1, 1), ("page", 4096, 4096)];
        let named = named.map(|(name, size, align)| leak(Cache::new(name, size, align)));
        Self {
            machine: Machine::new(8192, CPUS),
            named: named.to_vec(),
            live: BTreeMap::new(),
            random: Random::new(seed),
            step: 0,
            refused: 0,
            most: 0,
        }
    }

    fn cpu(&mut self) -> Mine<'static> {
        self.machine.on(self.random.index(CPUS))
    }

    fn layout(&mut self) -> Layout {
        // As many of each magnitude, from 1 byte to 16 KiB.
        let most = 1 << self.random.index(15);
        let size = 1 + self.random.index(most);
        let align = match self.random.below(4) {
            0 => 1 << self.random.below(14),
            _ => 1 << self.random.below(5),
        };
        layout(size, align)
    }

    fn allocate(&mut self) {
        let (mine, site) = (self.cpu(), self.step as Site);
        let (cache, layout, found) = match self.random.below(4) {
            0 => {
                let cache = self.random.pick(&self.named);
                let align = if cache.name() == "page" { 4096 } else { 1 };
                (
                    Some(cache),
                    layout(cache.size(), align),
                    self.machine.heap.allocate_from(cache, &mine, site),
                )
            }
            _ => {
                let layout = self.layout();
                (None, layout, self.machine.heap.allocate(&mine, layout, site))
            }
        };
        let Some(at) = found else {
            let arena = self.machine.arena();
            assert!(arena.used() + 8 > arena.limit.load(Relaxed), "refused without need: {layout:?}");
            self.refused += 1;
            return;
        };
        let (start, end) = (at.addr().get(), at.addr().get() + layout.size());
        assert_eq!(start % layout.align(), 0, "{layout:?}");
        let before = self.live.range(..end).next_back();
        assert!(before.is_none_or(|(at, object)| at + object.layout.size() <= start), "{layout:?} overlaps");
        let pattern = self.random.byte();
        // SAFETY: as long as asked for.
        unsafe { at.write_bytes(pattern, layout.size()) };
        self.live.insert(start, Object { at, layout, cache, pattern, site });
        self.most = self.most.max(self.live.len());
    }

    fn free(&mut self, key: usize) {
        let Object { at, layout, cache, pattern, .. } = self.live.remove(&key).unwrap();
        // SAFETY: in use, by us.
        let bytes = unsafe { std::slice::from_raw_parts(at.as_ptr(), layout.size()) };
        assert!(bytes.iter().all(|&byte| byte == pattern), "{layout:?} was written to by another");
        let (mine, site) = (self.cpu(), self.step as Site);
        // SAFETY: in use until here.
        unsafe {
            match cache {
                Some(cache) => self.machine.heap.free_to(cache, &mine, at, site),
                None => self.machine.heap.free(&mine, at, layout, site),
            }
        }
    }

    /// What the heap says of itself is what the model knows.
    fn compare(&mut self) {
        let in_slabs = |object: &&Object<CHECKS>| object.cache.is_some() || !self.is_large(object.layout);
        let mine: Vec<_> = self.live.values().filter(in_slabs).collect();
        let stats: Vec<_> = self.machine.heap.stats().collect();
        assert_eq!(stats.iter().map(|stats| stats.in_use).sum::<usize>(), mine.len());
        assert_eq!(stats.iter().map(|stats| stats.bytes).sum::<usize>(), self.machine.arena().used() * 4096);
        assert_eq!(self.machine.arena().large(), self.live.len() - mine.len());
        assert!(
            stats
                .iter()
                .all(|stats| stats.in_use + stats.in_magazines <= stats.room && stats.empty_slabs <= 1)
        );
        for cache in &self.named {
            let used = mine.iter().filter(|object| object.cache.is_some_and(|of| of.name() == cache.name()));
            let used = used.count();
            assert!(
                stats.iter().find(|stats| stats.name == cache.name()).map_or(0, |stats| stats.in_use) == used
            );
        }
        let mut told = BTreeMap::new();
        self.machine
            .heap
            .live(|live| assert!(told.insert(live.object, (live.size, live.allocated_by)).is_none()));
        if CHECKS {
            let expected =
                mine.iter().map(|object| (object.at.addr().get(), (object.layout.size(), object.site)));
            assert!(told.into_iter().eq(expected), "leaks are others than the live objects");
        } else {
            assert!(told.is_empty());
        }
        self.machine.heap.audit(|found| panic!("{found}"));
    }

    fn is_large(&self, layout: Layout) -> bool {
        let around = if CHECKS { layout.align().max(64) + 16 } else { 0 };
        (layout.size() + around).next_multiple_of(layout.align()) > MAX_SIZE
    }

    fn run(&mut self, steps: u64) {
        for step in 0..steps {
            self.step = step;
            // Phases of growing and of shrinking, and in some of them hardly a page to be had.
            let grow = if step / 2000 % 2 == 0 { 7 } else { 3 };
            if step % 2000 == 0 {
                let scarce = step / 2000 % 4 == 2;
                let limit = if scarce { self.machine.arena().used() + 16 } else { 8192 };
                self.machine.arena().limit.store(limit, Relaxed);
            }
            let key = 0x1000 * self.random.index(8192) + self.random.index(4096);
            match self.random.below(1000) {
                0 => _ = self.machine.heap.shrink(&self.cpu()),
                1 => self.machine.heap.drain(&self.cpu()),
                2..4 => self.compare(),
                n if n % 10 < grow => self.allocate(),
                _ => {
                    // Any object: the one behind a random place between the first and the last.
                    let Some((&first, _)) = self.live.first_key_value() else { continue };
                    let last = *self.live.last_key_value().unwrap().0;
                    let place = first + key % (last - first + 1);
                    let chosen = *self.live.range(place..).next().unwrap().0;
                    self.free(chosen);
                }
            }
        }
        self.machine.arena().limit.store(8192, Relaxed);
        self.compare();
        while let Some((&key, _)) = self.live.first_key_value() {
            self.free(key);
        }
        self.compare();
        assert_eq!((self.machine.settle(), self.machine.arena().large()), (0, 0), "pages are missing");
        assert!(self.machine.heap.stats().all(|stats| stats.in_use + stats.in_magazines + stats.slabs == 0));
        assert_eq!(self.machine.arena().reported(), []);
        assert!(self.refused > 0 && self.most > 500, "{} refused, {} live at most", self.refused, self.most);
    }
}

#[test]
fn against_a_map() {
    Model::<false>::new(number("SIS_FUZZ_SEED", 1)).run(number("SIS_FUZZ", 100_000));
}

#[test]
fn against_a_map_with_checks() {
    Model::<true>::new(number("SIS_FUZZ_SEED", 2)).run(number("SIS_FUZZ", 100_000));
}
