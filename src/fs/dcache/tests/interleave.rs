//! Lookups against renaming, exchanging, removing, making and reclaiming, in all interleavings.
//!
//! Each lookup notes when it began and ended, and what it saw. That must fit one moment of change: nobody who begins
//! after somebody has seen the new state sees the old one, nobody sees the new one before the change has begun, nor the
//! old one if he begins after it has ended. Misses say nothing, as they are asked of the file system.

use super::explore::{Thread, explore, now};
use crate::fs::dcache::{Dcache, DentryRef, Entry, hash};
use crate::fs::namei::At;
use crate::fs::refs::Ref;
use crate::fs::tests::world::{Calls, World};
use crate::sync::grace::EPOCHS;
use core::sync::atomic::Ordering;
use std::boxed::Box;
use std::format;
use std::string::String;
use std::sync::Arc;
use std::vec::Vec;

/// What a lookup saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Saw {
    Miss,
    Negative,
    Inode(u64),
}

/// One lookup, or the change.
#[derive(Clone, Debug)]
struct Event {
    began: u64,
    ended: u64,
    /// Which name and what was seen; `None` is the change.
    lookup: Option<(String, Saw)>,
}

/// A directory with two names in it, or room for them.
struct Scene {
    world: World,
    dir: DentryRef,
    /// In one chain, or in two. A run must be as the one before, and what a name's chain is depends on where the directory
    /// is in memory: so the names are chosen for it.
    names: [String; 2],
}

impl Scene {
    /// With the first `count` of the names made.
    fn new(same_chain: bool, count: usize) -> Arc<Self> {
        let world = World::with_cache(16);
        let dir = world.root.dentry.clone();
        let bucket = |name: &str| hash(&dir, name.as_bytes()) & 15;
        let fits = |name: &String| (bucket(name) == bucket("a")) == same_chain;
        let names = [String::from("a"), (0..).map(|n| format!("b{n}")).find(fits).unwrap()];
        for name in &names[..count] {
            world.put(name, "").unwrap();
        }
        Arc::new(Self { world, dir, names })
    }

    fn cache(&self) -> &Dcache {
        &self.world.cache
    }

    /// The entry of a name, negative if there is nothing.
    fn entry(&self, name: &str) -> DentryRef {
        self.world.caller().lookup(&self.world.root, name.as_bytes()).unwrap()
    }

    fn number(&self, name: &str) -> u64 {
        self.world.stat_of(name).unwrap().inode
    }
}

type Find = fn(&Dcache, &DentryRef, &str) -> Saw;

/// The lookup as walks have it.
fn find(cache: &Dcache, dir: &DentryRef, name: &str) -> Saw {
    let reading = EPOCHS.read();
    match cache.find(&reading, dir, name.as_bytes()) {
        None => Saw::Miss,
        Some(found) => found.inode_in(&reading).map_or(Saw::Negative, |inode| Saw::Inode(inode.number)),
    }
}

/// One that takes the first entry by that name for the one that counts.
fn find_unchecked(cache: &Dcache, dir: &DentryRef, name: &str) -> Saw {
    let reading = EPOCHS.read();
    let hash = hash(dir, name.as_bytes());
    super::explore::step();
    let mut at: *const Entry = cache.bucket(hash).load(Ordering::Acquire);
    // SAFETY: as in `find_hashed`.
    while let Some(entry) = unsafe { at.as_ref() } {
        if entry.hash == hash && entry.name() == name.as_bytes() {
            // SAFETY: as above.
            let dentry = unsafe { &*entry.dentry.load(Ordering::Acquire) };
            return dentry.inode_in(&reading).map_or(Saw::Negative, |inode| Saw::Inode(inode.number));
        }
        super::explore::step();
        at = entry.next.load(Ordering::Acquire);
    }
    Saw::Miss
}

/// A thread that looks up these names, one after the other.
fn reader(scene: &Arc<Scene>, names: &[usize], find: Find) -> Thread<Vec<Event>> {
    let scene = scene.clone();
    let names: Vec<String> = names.iter().map(|&name| scene.names[name].clone()).collect();
    Box::new(move || {
        let look = |name: String| {
            let began = now();
            let saw = find(scene.cache(), &scene.dir, &name);
            Event { began, ended: now(), lookup: Some((name, saw)) }
        };
        names.into_iter().map(look).collect()
    })
}

/// A thread that makes the change.
fn writer(change: impl FnOnce() + Send + 'static) -> Thread<Vec<Event>> {
    Box::new(move || {
        let began = now();
        change();
        [Event { began, ended: now(), lookup: None }].into()
    })
}

/// Whether the events fit one moment of change, between the old state and the new one.
fn fits(events: &[Vec<Event>], old: &[(&str, Saw)], new: &[(&str, Saw)]) -> bool {
    let all: Vec<&Event> = events.iter().flatten().collect();
    let change = all.iter().find(|event| event.lookup.is_none()).expect("there is a change");
    let is_in = |state: &[(&str, Saw)], name: &str, saw: Saw| state.contains(&(name, saw));
    let (mut olds, mut news) = (Vec::new(), Vec::new());
    for event in &all {
        let Some((name, saw)) = &event.lookup else { continue };
        if *saw == Saw::Miss {
            continue;
        }
        match (is_in(old, name, *saw), is_in(new, name, *saw)) {
            (true, true) => (),
            (true, false) => olds.push(*event),
            (false, true) => news.push(*event),
            (false, false) => return false,
        }
    }
    olds.iter().all(|old| old.began < change.ended && news.iter().all(|new| old.began < new.ended))
        && news.iter().all(|new| new.ended > change.began)
}

/// What is renamed to what, with lookups in other threads of the first name and the second. Returns how many runs there
/// were, and how many were wrong.
fn renaming(
    find: Find,
    exchange: bool,
    readers: &[&[usize]],
    interruptions: usize,
    same_chain: bool,
) -> (usize, usize) {
    let now = std::cell::RefCell::new(None);
    let mut bad = 0;
    let runs = explore(
        interruptions,
        || {
            let scene = Scene::new(same_chain, 2);
            let [a, b] = &scene.names;
            *now.borrow_mut() = Some((scene.names.clone(), scene.number(a), scene.number(b)));
            let (moved, other) = (scene.entry(a), scene.entry(b));
            let prepared =
                scene.cache().prepare_rename(&moved, &scene.dir, b.as_bytes(), &other, exchange).unwrap();
            let mut threads: Vec<Thread<Vec<Event>>> =
                readers.iter().map(|wanted| reader(&scene, wanted, find)).collect();
            threads.push(writer(move || {
                let _tree = scene.world.root.mount.fs.tree.write();
                scene.cache().rename(&moved, &scene.dir, &other, prepared);
            }));
            threads
        },
        |events| {
            let ([a, b], x, y) = now.borrow().clone().expect("set up");
            let old = [(a.as_str(), Saw::Inode(x)), (b.as_str(), Saw::Inode(y))];
            let new = if exchange {
                [(a.as_str(), Saw::Inode(y)), (b.as_str(), Saw::Inode(x))]
            } else {
                [(a.as_str(), Saw::Negative), (b.as_str(), Saw::Inode(x))]
            };
            bad += usize::from(!fits(&events, &old, &new));
        },
    );
    (runs, bad)
}

#[test]
fn a_renaming_is_one_moment() {
    for same_chain in [false, true] {
        for exchange in [false, true] {
            for order in [[0, 1], [1, 0]] {
                let (runs, bad) = renaming(find, exchange, &[&order], usize::MAX, same_chain);
                assert!(runs > 300, "{runs}");
                assert_eq!(bad, 0, "of {runs}: exchange {exchange}, {order:?}, one chain {same_chain}");
            }
            // Three threads are many: one interruption of a thread that could go on, or two in one of the cases.
            let interruptions = if same_chain || exchange { 1 } else { 2 };
            let (runs, bad) = renaming(find, exchange, &[&[0, 1], &[1, 0]], interruptions, same_chain);
            assert_eq!(bad, 0, "of {runs}");
        }
    }
}

/// The exploration finds what the check in the lookup is for.
#[test]
fn without_the_check_both_names_are_seen() {
    let (_, bad) = renaming(find_unchecked, false, &[&[1, 0]], usize::MAX, false);
    assert!(bad > 0);
    let (_, bad) = renaming(find_unchecked, true, &[&[1, 0]], usize::MAX, false);
    assert!(bad > 0);
}

/// One name, one change, two lookups of it in each of two threads.
fn single(
    setup: impl Fn(&Arc<Scene>) -> Thread<Vec<Event>>,
    exists: bool,
    states: impl Fn(u64) -> (Saw, Saw),
) -> usize {
    let number = std::cell::Cell::new(0);
    explore(
        3,
        || {
            let scene = Scene::new(false, usize::from(exists));
            let change = setup(&scene);
            number.set(if exists { scene.number("a") } else { 0 });
            [reader(&scene, &[0, 0], find), reader(&scene, &[0, 0], find), change].into()
        },
        |events| {
            let (old, new) = states(number.get());
            // What is made gets a number of its own.
            let made = events.iter().flatten().find_map(|event| match event.lookup {
                Some((_, Saw::Inode(made))) => Some(Saw::Inode(made)),
                _ => None,
            });
            let new = if new == Saw::Inode(0) { made.unwrap_or(new) } else { new };
            assert!(fits(&events, &[("a", old)], &[("a", new)]), "{events:?}");
        },
    )
}

#[test]
fn a_removal_is_one_moment() {
    let runs = single(
        |scene| {
            let (scene, gone) = (scene.clone(), scene.entry("a"));
            writer(move || scene.cache().remove(&gone))
        },
        true,
        |number| (Saw::Inode(number), Saw::Negative),
    );
    assert!(runs > 50, "{runs}");
}

#[test]
fn making_is_one_moment() {
    let runs = single(
        |scene| {
            let (scene, negative) = (scene.clone(), scene.entry("a"));
            // A file that is there under another name stands for what the file system makes.
            scene.world.put(&scene.names[1], "").unwrap();
            let inode = scene.entry(&scene.names[1]).inode_ref().unwrap();
            writer(move || negative.set_inode(inode))
        },
        false,
        |_| (Saw::Negative, Saw::Inode(0)),
    );
    assert!(runs > 20, "{runs}");
}

/// Who finds an entry that is being reclaimed gets a reference or none, and never one to what is gone.
#[test]
fn what_is_reclaimed_is_had_or_missed() {
    let mut had = [0; 2];
    let runs = explore(
        usize::MAX,
        || {
            let scene = Scene::new(false, 1);
            let number = scene.number("a");
            let get: Thread<(bool, Option<DentryRef>)> = {
                let scene = scene.clone();
                Box::new(move || {
                    let reading = EPOCHS.read();
                    let found = scene.cache().find(&reading, &scene.dir, b"a");
                    let kept = found.and_then(|found| {
                        super::explore::step();
                        assert_eq!(found.inode_in(&reading).map(|inode| inode.number), Some(number));
                        // SAFETY: found in this read section.
                        unsafe { Ref::try_from(found) }
                    });
                    drop(reading);
                    (false, kept)
                })
            };
            let reclaim: Thread<(bool, Option<DentryRef>)> =
                Box::new(move || (scene.cache().reclaim(16) > 0, None));
            [get, reclaim].into()
        },
        |mut ends| {
            let (_, kept) = ends.remove(0);
            let (gone, _) = ends.remove(0);
            // It is in the cache if and only if it was had in time.
            assert_eq!(kept.is_some(), !gone || kept.as_ref().is_some_and(|kept| !kept.is_cached()));
            if let Some(kept) = &kept {
                assert!(kept.inode_ref().is_some());
            }
            had[usize::from(kept.is_some())] += 1;
        },
    );
    assert!(runs > 20 && had[0] > 0 && had[1] > 0, "{runs}: {had:?}");
}

#[test]
fn the_cache_is_bounded_and_keeps_what_is_used() {
    let world = World::with_cache(64);
    world.make_dir("d").unwrap();
    world.make_dir("d/e").unwrap();
    let used = world.caller().resolve(At::Cwd, b"d/e", crate::fs::namei::Last::Follow).unwrap();
    for n in 0..1000 {
        world.put(&format!("d/{n}"), "").unwrap();
        assert!(world.stat_of(&format!("d/no{n}")).is_err());
        let counts = world.cache.counts();
        assert!(counts.entries <= 64 + super::super::BATCH, "{counts:?}");
    }
    assert!(used.dentry.is_cached());
    let again = world.caller().resolve(At::Cwd, b"d/e", crate::fs::namei::Last::Follow).unwrap();
    assert!(again.is(&used));
    // More than the limit, if so many are in use.
    let open: Vec<_> = (0..200)
        .map(|n| {
            world
                .caller()
                .resolve(At::Cwd, format!("d/{n}").as_bytes(), crate::fs::namei::Last::Follow)
                .unwrap()
        })
        .collect();
    assert!(world.cache.counts().entries >= 200);
    drop(open);
    world.cache.reclaim(1000);
    assert!(world.cache.counts().entries <= 2, "{:?}", world.cache.counts());
}
