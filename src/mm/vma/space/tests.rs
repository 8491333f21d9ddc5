//! Single calls at the addresses of a real program, and arguments that the random calls do not reach.

use super::super::area::{Flags, Prot, STACK_GUARD};
use super::super::machine::{Account, Tables, Thing};
use super::super::span::Span;
use super::super::{Error, Pages};
use super::{
    Access, Advice, Decision, Layout, Limits, MAP_COUNT_MAX, MapFlags, Mapping, OpenFile, Present,
    RemapFlags, Source, Space,
};
use crate::boot::layout::{PAGE_SIZE, USER_END};

const MIB: u64 = 1 << 20;
const RW: Prot = Prot::READ.union(Prot::WRITE);
const PRIVATE: MapFlags = MapFlags::PRIVATE.union(MapFlags::ANONYMOUS);

struct Test {
    space: Space<Thing, Account>,
    tables: Tables,
    account: Account,
}

impl Test {
    fn new() -> Self {
        let account = Account::new(1 << 20);
        let limits = Limits::default();
        let space = Space::new(Layout::with_stack(limits.stack), limits, account.clone());
        Self { space, tables: Tables::default(), account }
    }

    fn map(&mut self, addr: u64, len: u64, prot: Prot, flags: MapFlags) -> Result<u64, Error> {
        self.map_file(addr, len, prot, flags, None)
    }

    fn map_file(
        &mut self,
        addr: u64,
        len: u64,
        prot: Prot,
        flags: MapFlags,
        file: Option<OpenFile<Thing>>,
    ) -> Result<u64, Error> {
        let want = Mapping { addr, len, prot, flags, file };
        let mapped = self.space.map(want, &mut self.tables)?;
        self.space.areas().check();
        Ok(mapped.span.start)
    }

    fn open(&self, offset: u64) -> OpenFile<Thing> {
        OpenFile { file: self.account.file(), offset, readable: true, writable: true, no_exec: false }
    }

    fn spans(&self) -> Vec<Span> {
        self.space.areas().iter().map(|entry| entry.span).collect()
    }
}

/// Top down, and merged: what malloc and thread libraries see on Linux.
#[test]
fn mappings_grow_downwards_and_merge() {
    let mut test = Test::new();
    let top = USER_END - 128 * MIB;
    assert_eq!(test.map(0, MIB, RW, PRIVATE), Ok(top - MIB));
    assert_eq!(test.map(0, 5, RW, PRIVATE), Ok(top - MIB - PAGE_SIZE));
    assert_eq!(test.spans(), [Span::new(top - MIB - PAGE_SIZE, top)]);
    assert_eq!(test.account.promised(), 257);
    assert_eq!(test.space.protect(top - MIB, PAGE_SIZE, Prot::READ, false, &mut test.tables), Ok(()));
    assert_eq!(test.spans().len(), 3);
    assert_eq!(test.space.protect(top - MIB, PAGE_SIZE, RW, false, &mut test.tables), Ok(()));
    assert_eq!(test.spans().len(), 1);
    assert_eq!(test.space.unmap(top - 2 * MIB, 2 * MIB, &mut test.tables), Ok(()));
    assert_eq!((test.spans().len(), test.account.promised()), (0, 0));
}

#[test]
fn addresses_that_a_program_may_not_have() {
    let mut test = Test::new();
    let fixed = PRIVATE | MapFlags::FIXED;
    for (addr, len, error) in [
        (USER_END, PAGE_SIZE, Error::NoMemory),
        (USER_END - PAGE_SIZE, 2 * PAGE_SIZE, Error::NoMemory),
        (0xFFFF_8000_0000_0000, PAGE_SIZE, Error::NoMemory),
        (u64::MAX - 4095, PAGE_SIZE, Error::NoMemory),
        (0, PAGE_SIZE, Error::NotPermitted),
        (0xF000, PAGE_SIZE, Error::NotPermitted),
        (0x1_0001, PAGE_SIZE, Error::Invalid),
        (0x1_0000, 0, Error::Invalid),
        (0x1_0000, u64::MAX, Error::NoMemory),
    ] {
        assert_eq!(test.map(addr, len, RW, fixed), Err(error), "{addr:#x} {len:#x}");
    }
    assert_eq!(test.map(USER_END - PAGE_SIZE, PAGE_SIZE, RW, fixed), Ok(USER_END - PAGE_SIZE));
    assert_eq!(test.map(0x1_0000, PAGE_SIZE, RW, fixed), Ok(0x1_0000));
    // Hints are only hints.
    assert_eq!(test.map(0x1234, PAGE_SIZE, RW, PRIVATE), Ok(USER_END - 128 * MIB - PAGE_SIZE));
    assert_eq!(test.map(0x2_0ABC, PAGE_SIZE, RW, PRIVATE), Ok(0x2_0000));
    assert_eq!(test.map(u64::MAX, PAGE_SIZE, RW, PRIVATE), Ok(USER_END - 128 * MIB - 2 * PAGE_SIZE));
    assert_eq!(test.map(0, PAGE_SIZE, RW, PRIVATE | MapFlags::LOW_32), Ok(0x4000_0000));
}

#[test]
fn flags_and_offsets_that_make_no_sense() {
    let mut test = Test::new();
    let anonymous = MapFlags::ANONYMOUS;
    let unknown = MapFlags::from_bits_retain(0x80_0000);
    for (flags, error) in [
        (anonymous, Error::Invalid),
        (anonymous | MapFlags::from_bits_retain(5), Error::Invalid),
        (anonymous | MapFlags::SHARED_VALIDATE, Error::Invalid),
        (anonymous | MapFlags::SHARED | MapFlags::GROWSDOWN, Error::Invalid),
        (MapFlags::PRIVATE, Error::Invalid),
    ] {
        assert_eq!(test.map(0, PAGE_SIZE, RW, flags), Err(error), "{flags:?}");
    }
    let open = |test: &Test, offset| Some(test.open(offset));
    for (flags, offset, error) in [
        (MapFlags::SHARED_VALIDATE | unknown, 0, Error::NotSupported),
        (MapFlags::PRIVATE | MapFlags::GROWSDOWN, 0, Error::Invalid),
        (MapFlags::PRIVATE, 8, Error::Invalid),
        (MapFlags::PRIVATE, i64::MAX as u64 - 4095, Error::Overflow),
        (MapFlags::PRIVATE, u64::MAX - 4095, Error::Overflow),
    ] {
        let file = open(&test, offset);
        assert_eq!(test.map_file(0, PAGE_SIZE, RW, flags, file), Err(error), "{flags:?} {offset:#x}");
    }
    let file = open(&test, 0);
    assert!(test.map_file(0, PAGE_SIZE, RW, MapFlags::SHARED_VALIDATE, file).is_ok());
    let file = open(&test, 0);
    assert!(test.map_file(0, PAGE_SIZE, RW, MapFlags::SHARED | unknown, file).is_ok());
    assert_eq!(test.account.promised(), 0);
}

/// A stack takes what it needs, up to its limit, and stays away from what lies below.
#[test]
fn a_stack_and_its_guard() {
    let mut test = Test::new();
    let bottom = USER_END - PAGE_SIZE;
    let stack = PRIVATE | MapFlags::FIXED | MapFlags::GROWSDOWN;
    assert_eq!(test.map(bottom, PAGE_SIZE, RW, stack), Ok(bottom));
    assert_eq!(test.space.fault(bottom - 3 * PAGE_SIZE + 17, Access::Write, true), Decision::GrowStack);
    test.account.refuse_next();
    assert_eq!(test.space.grow_stack(bottom - 3 * PAGE_SIZE + 17), Err(Error::NoMemory));
    assert_eq!((test.spans(), test.account.promised()), (vec![Span::new(bottom, USER_END)], 1));
    assert_eq!(test.space.grow_stack(bottom - 3 * PAGE_SIZE + 17), Ok(()));
    assert_eq!(test.spans(), [Span::new(bottom - 3 * PAGE_SIZE, USER_END)]);
    assert_eq!((test.account.promised(), test.space.totals().stack), (4, 4));
    // 8 MiB are the limit.
    assert_eq!(test.space.fault(USER_END - 8 * MIB, Access::Read, true), Decision::GrowStack);
    assert_eq!(test.space.fault(USER_END - 8 * MIB - 1, Access::Read, true), Decision::NoMapping);
    assert_eq!(test.space.grow_stack(USER_END - 8 * MIB - 1), Err(Error::NoMemory));
    // A neighbour below, which is put there by force.
    let below = USER_END - 4 * MIB;
    assert_eq!(test.map(below - PAGE_SIZE, PAGE_SIZE, RW, PRIVATE | MapFlags::FIXED), Ok(below - PAGE_SIZE));
    assert_eq!(test.space.fault(below + STACK_GUARD, Access::Write, true), Decision::GrowStack);
    assert_eq!(test.space.fault(below + STACK_GUARD - 1, Access::Write, true), Decision::NoMapping);
    // One that cannot be touched does no harm.
    let tables = &mut test.tables;
    assert_eq!(test.space.protect(below - PAGE_SIZE, PAGE_SIZE, Prot::empty(), false, tables), Ok(()));
    assert_eq!(test.space.fault(below, Access::Write, true), Decision::GrowStack);
    // And mmap gives out nothing in the guard.
    let guard = bottom - 3 * PAGE_SIZE - STACK_GUARD;
    assert_ne!(test.map(guard, PAGE_SIZE, RW, PRIVATE), Ok(guard));
    assert_eq!(test.map(guard - PAGE_SIZE, PAGE_SIZE, RW, PRIVATE), Ok(guard - PAGE_SIZE));
    assert_eq!(test.space.brk(u64::MAX, &mut test.tables), 0);
}

#[test]
fn faults_by_kind_of_mapping() {
    let mut test = Test::new();
    let (file, offset) = (test.open(3 * PAGE_SIZE), 4 * PAGE_SIZE);
    let fixed = MapFlags::FIXED | MapFlags::PRIVATE;
    let at = 0x40_0000;
    test.map_file(at, 2 * PAGE_SIZE, Prot::READ | Prot::EXEC, fixed, Some(file.clone())).expect("room");
    test.map_file(at * 2, 2 * PAGE_SIZE, RW, fixed, Some(file.clone())).expect("room");
    let shared = MapFlags::FIXED | MapFlags::SHARED;
    test.map_file(at * 3, 2 * PAGE_SIZE, RW, shared, Some(file.clone())).expect("room");
    test.map(at * 4, PAGE_SIZE, RW, PRIVATE | MapFlags::FIXED).expect("room");
    test.map(at * 5, PAGE_SIZE, Prot::empty(), PRIVATE | MapFlags::FIXED).expect("room");
    let page = |addr, access| match test.space.fault(addr, access, true) {
        Decision::Page(fault) => (fault.source, fault.present()),
        other => panic!("{addr:#x}: {other:?}"),
    };
    let (second, object) = (PAGE_SIZE + 5, &file.file);
    let private = Source::Private { object, offset };
    assert_eq!(page(at + second, Access::Execute), (private, Present::Nothing));
    assert_eq!(page(at * 2 + second, Access::Read), (private, Present::Nothing));
    assert_eq!(page(at * 2 + second, Access::Write), (private, Present::CopyOnWrite));
    assert_eq!(
        page(at * 3 + second, Access::Write),
        (Source::Shared { object, offset }, Present::MakeWritable)
    );
    assert_eq!(page(at * 4, Access::Write), (Source::Zero, Present::CopyOnWrite));
    for (addr, access, user, decision) in [
        (at, Access::Write, true, Decision::Denied),
        (at, Access::Execute, false, Decision::Denied),
        (at * 4, Access::Execute, true, Decision::Denied),
        (at * 5, Access::Read, true, Decision::Denied),
        (at * 5 + PAGE_SIZE, Access::Read, true, Decision::NoMapping),
        (at - 1, Access::Read, true, Decision::NoMapping),
        (USER_END, Access::Read, true, Decision::NoMapping),
        (u64::MAX, Access::Write, false, Decision::NoMapping),
        (0, Access::Execute, true, Decision::NoMapping),
    ] {
        assert_eq!(test.space.fault(addr, access, user), decision, "{addr:#x} {access:?}");
    }
}

#[test]
fn msync_goes_from_piece_to_piece() {
    let mut test = Test::new();
    let at = 0x40_0000;
    let file = test.open(0);
    for (n, flags) in [(0, MapFlags::SHARED), (1, MapFlags::PRIVATE), (3, MapFlags::SHARED)] {
        let file = OpenFile { offset: n * 7 * PAGE_SIZE, ..file.clone() };
        let len = PAGE_SIZE * if n == 3 { 2 } else { 1 };
        test.map_file(at + n * PAGE_SIZE, len, RW, flags | MapFlags::FIXED, Some(file)).expect("room");
    }
    let span = Space::<Thing, Account>::sync_range(at, 4 * PAGE_SIZE).expect("a range");
    let mut steps = vec![];
    let mut next = span.start;
    while next < span.end {
        let step = test.space.sync_step(next, span.end);
        next = step.next;
        steps.push((step.hole, step.write.map(|(_, offset, len)| (offset, len))));
    }
    let page = PAGE_SIZE;
    assert_eq!(steps, [(false, Some((0, page))), (false, None), (true, Some((21 * page, page)))]);
    assert!(test.space.sync_step(at + 5 * page, at + 6 * page).hole);
    assert_eq!(Space::<Thing, Account>::sync_range(at + 1, page), Err(Error::Invalid));
    assert_eq!(Space::<Thing, Account>::sync_range(at, u64::MAX), Err(Error::NoMemory));
}

#[test]
fn limits_on_areas_and_data() {
    let mut test = Test::new();
    let top = USER_END - 128 * MIB;
    let pages = MAP_COUNT_MAX as u64 + 10;
    let start = top - pages * PAGE_SIZE;
    assert_eq!(test.map(0, pages * PAGE_SIZE, RW, PRIVATE), Ok(start));
    let mut refused = None;
    for n in (1..pages).step_by(2) {
        let at = start + n * PAGE_SIZE;
        if let Err(error) = test.space.protect(at, PAGE_SIZE, Prot::READ, false, &mut test.tables) {
            refused = Some(error);
            break;
        }
    }
    assert_eq!(refused, Some(Error::NoMemory));
    assert!(test.space.areas().len() > MAP_COUNT_MAX - 2, "{}", test.space.areas().len());
    test.space.areas().check();
    test.space.clear(&mut test.tables);
    assert_eq!(test.account.promised(), 0);
    // The program's own data counts with the heap.
    test.space.limits.data = Some(3 * PAGE_SIZE);
    test.space.set_heap(at_heap(), 2 * PAGE_SIZE);
    assert_eq!(test.space.brk(at_heap() + PAGE_SIZE, &mut test.tables), at_heap() + PAGE_SIZE);
    assert_eq!(test.space.brk(at_heap() + PAGE_SIZE + 1, &mut test.tables), at_heap() + PAGE_SIZE);
    assert_eq!(test.map(0, 3 * PAGE_SIZE, RW, PRIVATE), Err(Error::NoMemory));
    assert!(test.map(0, 3 * PAGE_SIZE, Prot::READ, PRIVATE).is_ok());
}

const fn at_heap() -> u64 {
    0x60_0000
}

/// More than all memory in one go is refused, unless the program does without the promise.
#[test]
fn a_promise_too_large() {
    let mut test = Test::new();
    let huge = ((1 << 20) + 1) * PAGE_SIZE;
    assert_eq!(test.map(0, huge, RW, PRIVATE), Err(Error::NoMemory));
    assert_eq!(test.map(0, huge, RW, MapFlags::SHARED | MapFlags::ANONYMOUS), Err(Error::NoMemory));
    assert!(test.map(0, huge, RW, PRIVATE | MapFlags::NORESERVE).is_ok());
    let quiet = test.map(0, huge, Prot::READ, PRIVATE).expect("read-only memory is not charged");
    let tables = &mut test.tables;
    assert_eq!(test.space.protect(quiet, huge, RW, false, tables), Err(Error::NoMemory));
    assert_eq!(test.account.promised(), 0);
}

#[test]
fn marks_and_moves_that_are_refused() {
    let mut test = Test::new();
    let at = 0x40_0000;
    test.map(at, 4 * PAGE_SIZE, RW, PRIVATE | MapFlags::FIXED).expect("room");
    let tables = &mut test.tables;
    let unknown = RemapFlags::from_bits_retain(8);
    assert_eq!(test.space.remap(at, PAGE_SIZE, PAGE_SIZE, unknown, 0, tables), Err(Error::Invalid));
    assert_eq!(
        test.space.remap(at, u64::MAX - 4095, PAGE_SIZE, RemapFlags::MAY_MOVE, 0, tables),
        Err(Error::Invalid)
    );
    assert_eq!(
        test.space.remap(at, PAGE_SIZE, 1 << 60, RemapFlags::MAY_MOVE, 0, tables),
        Err(Error::NoMemory)
    );
    let fixed = RemapFlags::MAY_MOVE | RemapFlags::FIXED;
    assert_eq!(test.space.remap(at, PAGE_SIZE, PAGE_SIZE, fixed, at, tables), Err(Error::Invalid));
    assert_eq!(test.space.remap(at, PAGE_SIZE, PAGE_SIZE, fixed, USER_END, tables), Err(Error::Invalid));
    assert_eq!(test.space.mark(at, PAGE_SIZE, Advice::DontNeed), Err(Error::Invalid));
    assert_eq!(test.space.advise(at, PAGE_SIZE, Advice::DontFork, tables), Err(Error::Invalid));
    assert_eq!(Advice::from_number(9), None);
    tables.unmap(Span::new(at, at + PAGE_SIZE));
    let mut child = Tables::default();
    assert_eq!(test.space.mark(at, PAGE_SIZE, Advice::DontFork), Ok(()));
    let forked = test.space.fork(&mut test.tables, &mut child).expect("memory");
    let areas: Vec<_> =
        forked.areas().iter().map(|e| (e.span, e.attr.flags.contains(Flags::CHARGED))).collect();
    assert_eq!(areas, [(Span::new(at + PAGE_SIZE, at + 4 * PAGE_SIZE), true)]);
    assert_eq!(test.account.promised(), 7);
}
