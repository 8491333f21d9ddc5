//! Memory is refused once, at every point where it is asked for: an error comes back, what was there is still there, the
//! same call works when it is made again, and in the end nothing is missing.

use super::super::fault::Outcome;
use super::machine::Host;
use super::objects::{File, Thing, assert_all_back};
use super::program::{BASE, RW, Space, anonymous, machine, new_space, of_file, page};
use crate::boot::layout::PAGE_SIZE;
use crate::mm::vma::Error;
use crate::mm::vma::room::failing;
use crate::mm::vma::space::{Layout, Limits, MapFlags, RemapFlags};

/// Whether a refusal is what a step came to.
trait Refused {
    fn refused(&self) -> bool;
}

impl<T> Refused for Result<T, Error> {
    fn refused(&self) -> bool {
        matches!(self, Err(Error::NoMemory))
    }
}

impl<T> Refused for Result<T, Outcome> {
    fn refused(&self) -> bool {
        matches!(self, Err(Outcome::OutOfMemory))
    }
}

/// Makes the steps of a test, each again if it was refused.
struct Stubborn {
    refusals: u64,
}

impl Stubborn {
    fn try_it<T, E: core::fmt::Debug>(&mut self, mut step: impl FnMut() -> Result<T, E>) -> T
    where
        Result<T, E>: Refused,
    {
        let first = step();
        if first.refused() {
            self.refusals += 1;
            return step().expect("memory is refused only once");
        }
        first.unwrap()
    }
}

const FAR: u64 = 1 << 44;

/// Some of everything that needs memory. Gives how often it was refused.
fn story(host: Host) -> u64 {
    let mut it = Stubborn { refusals: 0 };
    let file = Thing::File(File::new(host, 1, 20, false));
    let space: Space = it.try_it(|| Space::new(host, Layout::with_stack(Some(8 << 20)), Limits::default()));
    it.try_it(|| space.map(anonymous(BASE, 10, RW, MapFlags::empty())));
    (0..6).for_each(|n| it.try_it(|| space.write(page(n), n + 1)));
    it.try_it(|| space.read(page(7)));
    it.try_it(|| space.map(of_file(page(20), 10, RW, MapFlags::PRIVATE, &file, 3)));
    it.try_it(|| space.read(page(21)));
    it.try_it(|| space.write(page(21), 21));
    it.try_it(|| space.write(page(22), 22));
    it.try_it(|| space.map(anonymous(page(40), 700, RW, MapFlags::SHARED)));
    it.try_it(|| space.write(page(40), 40));
    it.try_it(|| space.write(page(700), 700));
    it.try_it(|| space.protect(page(2), PAGE_SIZE, crate::mm::vma::area::Prot::READ, false));
    let child = it.try_it(|| space.fork());
    it.try_it(|| child.write(page(0), 100));
    it.try_it(|| space.write(page(1), 200));
    it.try_it(|| child.read(page(700)));
    it.try_it(|| space.protect(page(2), PAGE_SIZE, RW, false));
    let flags = RemapFlags::MAY_MOVE | RemapFlags::FIXED;
    let len = 10 * PAGE_SIZE;
    let moved = it.try_it(|| space.remap(BASE, len, len, flags, FAR));
    assert_eq!(moved, FAR);
    it.try_it(|| space.write(FAR + 9 * PAGE_SIZE, 9));
    it.try_it(|| space.unmap(FAR + 4 * PAGE_SIZE, PAGE_SIZE));
    let mine = [0, 1, 2, 3, 5, 7].map(|n| space.read(FAR + n * PAGE_SIZE).unwrap());
    assert_eq!(mine, [1, 200, 3, 4, 6, 0]);
    let its = [0, 1, 2, 3, 4, 5, 21, 22, 40, 700].map(|n| child.read(page(n)).unwrap());
    assert_eq!(its, [100, 2, 3, 4, 5, 6, 21, 22, 40, 700]);
    assert_eq!(space.read(BASE), Err(Outcome::Segv { mapped: false }));
    it.refusals
}

#[test]
fn every_frame_is_refused_once() {
    let host = machine();
    let before = host.free_frames();
    assert_eq!(story(host), 0);
    assert_all_back(host, before);
    for n in 0.. {
        host.fail_after(n);
        let refusals = story(host);
        if host.fail_never() {
            assert!(n > 25, "the story asks for {n} frames only");
            return;
        }
        assert_eq!(refusals, 1, "frame {n}");
        assert_all_back(host, before);
    }
}

#[test]
fn every_piece_of_the_heap_is_refused_once() {
    let host = machine();
    let before = host.free_frames();
    for n in 0.. {
        failing::after(n);
        let refusals = story(host);
        if failing::never() {
            assert!(n > 10, "the story asks the heap {n} times only");
            return;
        }
        assert_eq!(refusals, 1, "request {n}");
        assert_all_back(host, before);
    }
}

/// A program that takes all there is gets an error, and then everything is given back.
#[test]
fn all_memory_is_used_up_and_comes_back() {
    let host = super::machine::Machine::new(600, 10_000);
    let before = host.free_frames();
    let space = new_space(host);
    space.map(anonymous(BASE, 2000, RW, MapFlags::empty())).unwrap();
    let written = (0..2000).take_while(|&n| space.write(page(n), n) == Ok(())).count() as u64;
    assert!(written > 580, "{written}");
    assert_eq!((host.free_frames(), space.write(page(written), 1)), (0, Err(Outcome::OutOfMemory)));
    assert!(matches!(space.fork(), Err(Error::NoMemory)));
    assert_eq!(space.read(page(written - 1)), Ok(written - 1));
    // A little room: the fork gets its top table, and ends half-way.
    space.unmap(page(0), 2 * PAGE_SIZE).unwrap();
    let free = host.free_frames();
    assert!(matches!(space.fork(), Err(Error::NoMemory)));
    assert_eq!(host.free_frames(), free);
    (2..written).for_each(|n| assert_eq!(space.read(page(n)), Ok(n)));
    (2..written).for_each(|n| space.write(page(n), n + 1).unwrap());
    assert_eq!(host.free_frames(), free);
    drop(space);
    assert_all_back(host, before);
}
