//! Random calls on up to three address spaces that fork from each other, against the model of `model.rs`.
//!
//! `SIS_FUZZ` sets the number of calls (120,000 without it), `SIS_FUZZ_SEED` another sequence. Every result is compared,
//! error or address; every 16th call all pages are too, with the tree's invariants, the sums, the commit account and
//! the page tables. One call in eight is refused some memory: then nothing may have changed.

use super::area::{Area, Backing, Flags, Prot};
use super::calls::{Call, page, some_call, some_page};
use super::machine::{Account, Pte, Shown, Tables, Thing};
use super::model::{self, Model, PAGES};
use super::room::failing;
use super::space::{
    Access, Advice, Decision, Layout, Limits, MapFlags, Mapping, OpenFile, Source, Space, Totals,
};
use super::{Error, Pages};
use crate::boot::layout::PAGE_SIZE;
use crate::testing::Random;

const CALLS: u64 = 120_000;
/// Pages that the commit account grants at once.
const RAM: u64 = 700;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect(variable))
}

/// One program: the space, its page tables, and what both should be.
struct Program {
    space: Space<Thing, Account>,
    tables: Tables,
    model: Model,
}

/// All of it at one moment, to be compared with.
type Snapshot = (Vec<(super::span::Span, Area<Thing>)>, Totals, Tables, u64, u64);

/// What a call has come to: an address or an error. A `brk` that stays where it is, and a fork that fails, too.
type Outcome = Result<u64, Error>;

impl Program {
    fn new(account: &Account, random: &mut Random) -> Self {
        let layout = Layout {
            lowest: page(model::LOWEST),
            top: page(model::TOP),
            bottom: page(model::BOTTOM),
            end: page(PAGES),
        };
        let some =
            |random: &mut Random, n: u64| (random.below(3) == 0).then(|| (n + random.below(n)) * PAGE_SIZE);
        let limits = Limits {
            address_space: some(random, 1500),
            data: some(random, 600),
            stack: Some((1 + random.below(900)) * PAGE_SIZE),
            map_count: random.pick(&[12, 40, 120, 65_530]),
        };
        let heap = page(random.pick(&[16, 60, 500]));
        let mut space = Space::new(layout, limits, account.clone());
        space.set_heap(heap, 0);
        let model =
            Model { pages: vec![None; PAGES], own: vec![None; PAGES], limits, heap: (heap, heap), ram: RAM };
        Self { space, tables: Tables::default(), model }
    }

    fn snapshot(&mut self, account: &Account) -> Snapshot {
        let areas = self.space.areas().iter().map(|e| (e.span, e.attr.clone())).collect();
        let heap = self.model.heap.1;
        (areas, *self.space.totals(), self.tables.clone(), account.promised(), heap)
    }

    fn real(&mut self, call: &Call) -> Outcome {
        let (space, tables) = (&mut self.space, &mut self.tables);
        match *call {
            Call::Map(ref want) => {
                let mapped = space.map(want.clone(), tables)?;
                let asked =
                    want.flags.contains(MapFlags::POPULATE) && !want.flags.contains(MapFlags::NONBLOCK);
                assert_eq!(mapped.populate, asked);
                Ok(mapped.span.start)
            }
            Call::Unmap(addr, len) => space.unmap(addr, len, tables).map(|()| 0),
            Call::Protect(addr, len, prot, down) => space.protect(addr, len, prot, down, tables).map(|()| 0),
            Call::Remap(addr, old, new, flags, to) => space.remap(addr, old, new, flags, to, tables),
            Call::Brk(to) => Ok(space.brk(to, tables)),
            Call::Advise(addr, len, advice) if advice.marks() => space.mark(addr, len, advice).map(|()| 0),
            Call::Advise(addr, len, advice) => space.advise(addr, len, advice, tables).map(|()| 0),
        }
    }

    fn ideal(&mut self, call: &Call, next_object: u64) -> Outcome {
        match *call {
            Call::Map(ref want) => {
                let file = want.file.as_ref().map(|open| open.file.number());
                self.model.map(want, file, next_object).map(|(at, _)| page(at))
            }
            Call::Unmap(addr, len) => self.model.unmap(addr, len).map(|()| 0),
            Call::Protect(addr, len, prot, down) => self.model.protect(addr, len, prot, down).map(|()| 0),
            Call::Remap(addr, old, new, flags, to) => self.model.remap(addr, old, new, flags, to).map(page),
            Call::Brk(to) => Ok(self.model.brk(to)),
            Call::Advise(addr, len, advice) => self.model.advise(addr, len, advice).map(|()| 0),
        }
    }

    /// An access, and what the fault handler would do about it.
    fn touch(&mut self, addr: u64, access: Access, content: u64, tally: &mut Tally) {
        let n = (addr / PAGE_SIZE) as usize;
        let before = self.model.pages.get(n).cloned().flatten();
        if let (Decision::GrowStack, true) = (self.space.fault(addr, access, true), before.is_none()) {
            let grown = self.space.grow_stack(addr);
            assert_eq!(grown.is_ok(), self.model.grow(n), "{addr:#x}: {grown:?}");
            tally.count("stack", if grown.is_ok() { "grown" } else { "not grown" });
        } else if before.is_none() && n < PAGES {
            assert!(!self.model.grow(n), "the stack above {addr:#x} was to grow");
        }
        let page = self.model.pages.get(n).cloned().flatten();
        let decision = self.space.fault(addr, access, true);
        let allowed = page.as_ref().map(|page| match access {
            Access::Read => !page.prot.is_empty(),
            Access::Write => page.prot.contains(Prot::WRITE),
            Access::Execute => page.prot.contains(Prot::EXEC),
        });
        let fault = match (allowed, decision) {
            (Some(true), Decision::Page(fault)) => fault,
            (Some(false), Decision::Denied) => return,
            (None, Decision::NoMapping | Decision::GrowStack) => return,
            (allowed, decision) => panic!("{addr:#x}: {decision:?}, allowed: {allowed:?}"),
        };
        assert_eq!((fault.page, fault.write), (addr / PAGE_SIZE * PAGE_SIZE, access == Access::Write));
        let writable = fault.prot.contains(Prot::WRITE);
        let shown = match fault.source {
            Source::Shared { object, offset } => Shown::Object { number: object.number(), offset },
            Source::Zero | Source::Private { .. } if fault.write => {
                self.model.own[n] = Some(content);
                Shown::Own(content)
            }
            Source::Private { object, offset } => Shown::Object { number: object.number(), offset },
            Source::Zero => Shown::Zero,
        };
        let writable = writable && (fault.write || matches!(fault.source, Source::Shared { .. }));
        let entry = self.tables.entries.entry(n as u64).or_insert(Pte { shown, writable });
        if fault.write {
            *entry = Pte { shown, writable };
        }
    }

    /// Everything there is, against the model.
    fn check(&self) {
        self.space.areas().check();
        let mut pages = vec![None; PAGES];
        let mut sums = Totals::NONE;
        for entry in self.space.areas().iter() {
            for n in entry.span.start / PAGE_SIZE..entry.span.end / PAGE_SIZE {
                let area = super::tree::Attributes::from(entry.attr, n * PAGE_SIZE - entry.span.start);
                let backing = match area.backing {
                    Backing::Zero => Backing::Zero,
                    Backing::Object { object, offset } => Backing::Object { object: object.number(), offset },
                };
                let page = Area { backing, prot: area.prot, max_prot: area.max_prot, flags: area.flags };
                sums.mapped += 1;
                sums.data += u64::from(model::is_data(&page));
                sums.stack += u64::from(page.flags.contains(Flags::GROWS_DOWN));
                sums.shared += u64::from(page.flags.contains(Flags::SHARED));
                sums.charged += u64::from(model::is_charged(&page));
                pages[n as usize] = Some(page);
            }
        }
        assert!(pages == self.model.pages, "the areas");
        assert_eq!(self.space.areas().len(), self.model.areas(), "how many areas");
        assert_eq!(*self.space.totals(), sums);
        for (n, page) in pages.iter().enumerate() {
            let entry = self.tables.entries.get(&(n as u64));
            let own = self.model.own[n].map(Shown::Own);
            assert!(own.is_none() || entry.map(|pte| pte.shown) == own, "page {n:#x} has lost its content");
            let Some(pte) = entry else { continue };
            let page = page.as_ref().expect("a page is left of what is unmapped");
            assert!(!pte.writable || page.prot.contains(Prot::WRITE), "page {n:#x} can be written");
            let right = own.unwrap_or(match page.backing {
                Backing::Zero => Shown::Zero,
                Backing::Object { object: number, offset } => Shown::Object { number, offset },
            });
            assert_eq!(pte.shown, right, "page {n:#x}");
        }
    }
}

/// Makes one call; refuses it memory once in eight times.
fn step(program: &mut Program, call: &Call, account: &Account, random: &mut Random, tally: &mut Tally) {
    let before = (random.below(8) == 0).then(|| program.snapshot(account));
    if before.is_some() {
        match random.below(4) {
            // Of what mprotect does piece by piece, something may be done already.
            0 if !matches!(call, Call::Protect(..)) => account.refuse_next(),
            1 => program.tables.refuse = true,
            _ => failing::after(random.below(2)),
        }
    }
    let next_object = account.objects();
    let heap = program.model.heap.1;
    let found = program.real(call);
    let waited = [account.refuse_none(), core::mem::take(&mut program.tables.refuse), failing::never()];
    if let Some(before) = before {
        if !waited.contains(&true) {
            assert_eq!(found, if matches!(call, Call::Brk(_)) { Ok(heap) } else { Err(Error::NoMemory) });
            assert!(before == program.snapshot(account), "a call that was refused has changed something");
            tally.count(call.kind(), "refused");
            return;
        }
    }
    assert_eq!(found, program.ideal(call, next_object), "{call:x?}");
    let done = if let Call::Brk(to) = call { found == Ok(*to) } else { found.is_ok() };
    tally.count(call.kind(), if done { "done" } else { "failed" });
}

/// How often each kind of call has succeeded, failed, been refused memory: a run in which one of these never happens
/// has shown nothing of it.
#[derive(Default, Debug)]
struct Tally(std::collections::BTreeMap<(&'static str, &'static str), u64>);

impl Tally {
    fn count(&mut self, kind: &'static str, how: &'static str) {
        *self.0.entry((kind, how)).or_insert(0) += 1;
    }

    fn check(&self) {
        for kind in ["map", "unmap", "protect", "remap", "brk", "advise", "fork"] {
            for how in ["done", "failed", "refused"] {
                // That a fork has to fail without help takes an area that has grown larger than all memory.
                let rare = kind == "fork" && how == "failed";
                assert!(rare || self.0.contains_key(&(kind, how)), "never {how}: {kind}, of {:?}", self.0);
            }
        }
        assert!(self.0.contains_key(&("stack", "grown")), "no stack has grown");
    }
}

/// Says where a failing test has failed.
struct Round(u64);

impl Drop for Round {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::eprintln!("in round {}", self.0);
        }
    }
}

fn check_account(programs: &[Program], account: &Account) {
    let mut charged = 0;
    let mut objects = std::collections::BTreeMap::new();
    for program in programs {
        charged += program.space.totals().charged;
        for entry in program.space.areas().iter() {
            if let Backing::Object { object, .. } = &entry.attr.backing {
                objects.insert(object.number(), object.charged());
            }
        }
    }
    assert_eq!(account.promised(), charged + objects.values().sum::<u64>(), "the commit account");
}

#[test]
fn spaces_agree_with_lists_of_pages() {
    let mut random = Random::new(number("SIS_FUZZ_SEED", 41));
    let account = Account::new(RAM);
    let files: Vec<Thing> = (0..3).map(|_| account.file()).collect();
    let mut programs = vec![Program::new(&account, &mut random)];
    let (mut tally, rounds) = (Tally::default(), number("SIS_FUZZ", CALLS));
    for round in 0..rounds {
        let _said_if_it_fails = Round(round);
        let which = random.index(programs.len());
        match random.below(600) {
            0 | 1 if programs.len() < 3 => fork(&mut programs, which, &account, &mut random, &mut tally),
            2 => {
                let mut gone = programs.swap_remove(which);
                gone.space.clear(&mut gone.tables);
                assert!(gone.tables.entries.is_empty(), "pages are left");
                assert_eq!(*gone.space.totals(), Totals::NONE);
                if programs.is_empty() {
                    assert_eq!(account.promised(), 0);
                    programs.push(Program::new(&account, &mut random));
                }
            }
            3..=300 => {
                let addr =
                    some_page(&mut random, programs[which].space.areas()).wrapping_sub(random.below(2));
                let access = random.pick(&[Access::Read, Access::Write, Access::Write, Access::Execute]);
                programs[which].touch(addr, access, round, &mut tally);
            }
            _ => {
                let call = some_call(
                    &mut random,
                    programs[which].space.areas(),
                    programs[which].model.heap.0,
                    &files,
                );
                step(&mut programs[which], &call, &account, &mut random, &mut tally);
            }
        }
        if round % 16 == 0 {
            programs.iter().for_each(Program::check);
            check_account(&programs, &account);
        }
    }
    if rounds >= CALLS {
        tally.check();
    }
}

fn fork(
    programs: &mut Vec<Program>,
    which: usize,
    account: &Account,
    random: &mut Random,
    tally: &mut Tally,
) {
    let parent = &mut programs[which];
    let promised = account.promised();
    let how = random.below(6);
    let armed = how < 3;
    match how {
        0 => account.refuse_next(),
        1 => parent.tables.refuse = true,
        2 => failing::after(random.below(2)),
        _ => {}
    }
    let mut tables = Tables::default();
    let child = parent.space.fork(&mut parent.tables, &mut tables);
    let waited = [account.refuse_none(), core::mem::take(&mut parent.tables.refuse), failing::never()];
    let Ok(space) = child else {
        assert_eq!(account.promised(), promised, "a fork that failed has kept a charge");
        assert!(tables.entries.is_empty(), "a fork that failed has left pages");
        let expected = parent.model.fork().is_none();
        assert!(expected || (armed && !waited.contains(&true)), "a fork failed for no reason");
        tally.count("fork", if expected { "failed" } else { "refused" });
        return;
    };
    let model = parent.model.fork().expect("the account should have refused");
    for (n, pte) in &tables.entries {
        let both = [pte.writable, parent.tables.entries[n].writable];
        assert_eq!(both, [false, false], "page {n:#x} can be written after a fork");
    }
    programs.push(Program { space, tables, model });
    tally.count("fork", "done");
}

/// Page tables are told of what is read ahead and freed lazily, area by area.
#[test]
fn advice_reaches_the_pages() {
    let account = Account::new(RAM);
    let mut program = Program::new(&account, &mut Random::new(1));
    program.space.limits = Limits::default();
    let file = account.file();
    let map = |file: Option<OpenFile<Thing>>, at| Mapping {
        addr: page(at),
        len: page(4),
        prot: Prot::READ,
        flags: MapFlags::PRIVATE
            | MapFlags::FIXED
            | MapFlags::from_bits_retain(if file.is_none() { 0x20 } else { 0 }),
        file,
    };
    let open =
        OpenFile { file: file.clone(), offset: page(7), readable: true, writable: false, no_exec: false };
    program.space.map(map(Some(open), 100), &mut program.tables).expect("room");
    program.space.map(map(None, 104), &mut program.tables).expect("room");
    let space = &program.space;
    assert_eq!(space.advise(page(101), page(6), Advice::WillNeed, &mut program.tables), Ok(()));
    let read = super::span::Span::new(page(101), page(104));
    assert_eq!(program.tables.read_ahead, [(file.number(), page(8), read)]);
    assert_eq!(space.advise(page(105), page(9), Advice::Free, &mut program.tables), Err(Error::NoMemory));
    assert_eq!(program.tables.lazy, [super::span::Span::new(page(105), page(108))]);
    program.tables.unmap(read);
}
