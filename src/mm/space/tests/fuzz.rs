//! Random calls and accesses on up to three programs that fork from each other, against the page-by-page model of
//! [`vma`](crate::mm::vma) and the bytes that each page must show.
//!
//! `SIS_FUZZ` sets the number of steps (120,000 without it), `SIS_FUZZ_SEED` another sequence. Every answer is compared;
//! every 32nd step, all pages that are mapped. One step in eight is refused a frame or a piece of the heap: then it has
//! changed nothing. Each time the last program ends, every frame must be back.

use super::super::env::frame_of;
use super::super::fault::Outcome;
use super::machine::{Host, Machine};
use super::objects::{File, Thing, assert_all_back};
use super::program::{Space, WORD};
use crate::arch::x86_64::paging::Flags as EntryFlags;
use crate::boot::layout::PAGE_SIZE;
use crate::mm::vma::Error;
use crate::mm::vma::area::{Area, Backing, Flags, Prot};
use crate::mm::vma::model::{self, Model, PAGES};
use crate::mm::vma::room::failing;
use crate::mm::vma::space::{Access, Advice, Layout, Limits, MapFlags, Mapping, OpenFile, RemapFlags};
use crate::testing::Random;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::vec::Vec;

const STEPS: u64 = 120_000;
/// Pages that the account promises at once.
const RAM: u64 = 700;
/// A word that no program writes to.
const UNTOUCHED: usize = 300;
/// Pages of each file; the last pages of some mappings lie beyond.
const FILE_PAGES: u64 = 60;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect(variable))
}

const fn at(page: usize) -> u64 {
    page as u64 * PAGE_SIZE
}

/// What all programs share.
struct World {
    host: Host,
    /// The last is mapped in private only, so its pages may leave the cache.
    files: Vec<Arc<File>>,
    /// What was written to pages of objects, by object and offset.
    written: BTreeMap<(u64, u64), u64>,
    /// Pages of memory objects, by number.
    sizes: BTreeMap<u64, u64>,
}

impl World {
    /// The word of a page of an object; `None` beyond its end.
    fn word(&self, object: u64, offset: u64, word: usize) -> Option<u64> {
        let pages = self.sizes.get(&object).copied().unwrap_or(FILE_PAGES);
        if offset >= pages * PAGE_SIZE {
            return None;
        }
        let first = if self.sizes.contains_key(&object) { 0 } else { File::word(object, offset, word) };
        let written = self.written.get(&(object, offset)).filter(|_| word == WORD);
        Some(written.copied().unwrap_or(first))
    }
}

struct Program {
    space: Space,
    model: Model,
}

/// An access or a call, its arguments chosen.
#[derive(Debug)]
enum Step {
    Touch(u64, Option<u64>),
    Execute(u64),
    Map { addr: u64, len: u64, prot: Prot, flags: MapFlags, file: usize, offset: u64 },
    Unmap(u64, u64),
    Protect(u64, u64, Prot),
    Remap(u64, u64, u64, RemapFlags, u64),
    Brk(u64),
    Advise(u64, u64, Advice),
}

impl Program {
    fn new(host: Host, random: &mut Random) -> Self {
        let layout = Layout {
            lowest: at(model::LOWEST),
            top: at(model::TOP),
            bottom: at(model::BOTTOM),
            end: at(PAGES),
        };
        let limits = Limits {
            address_space: (random.below(3) == 0).then(|| at(1500 + random.index(1500))),
            data: (random.below(3) == 0).then(|| at(600 + random.index(600))),
            stack: Some(at(1 + random.index(900))),
            map_count: random.pick(&[20, 60, 65_530]),
        };
        let space = Space::new(host, layout, limits).unwrap();
        let heap = at(random.pick(&[16, 60, 500]));
        space.set_heap(heap, 0);
        let model = Model {
            pages: std::vec![None; PAGES],
            own: std::vec![None; PAGES],
            limits,
            heap: (heap, heap),
            ram: RAM,
        };
        Self { space, model }
    }

    fn page(&self, addr: u64) -> Option<&Area<u64>> {
        self.model.pages.get((addr / PAGE_SIZE) as usize)?.as_ref()
    }

    /// What a word of a page must be: `Err` where there is none.
    fn content(&self, world: &World, n: usize, word: usize) -> Result<u64, Outcome> {
        let page = self.model.pages[n].as_ref().ok_or(Outcome::Segv { mapped: false })?;
        let own = self.model.own[n];
        match &page.backing {
            Backing::Zero => Ok(own.filter(|_| word == WORD).unwrap_or(0)),
            // A copy has the rest of the page as it was in the object, where it does not change.
            Backing::Object { object, offset } if own.is_some() => {
                if word == WORD {
                    Ok(own.unwrap_or(0))
                } else {
                    world.word(*object, *offset, word).ok_or(Outcome::Bus)
                }
            }
            Backing::Object { object, offset } => world.word(*object, *offset, word).ok_or(Outcome::Bus),
        }
    }

    /// What an access is to come to, if there is memory; and it has come to that in the model.
    fn ideal_touch(
        &mut self,
        world: &mut World,
        addr: u64,
        access: Access,
        new: u64,
    ) -> Result<u64, Outcome> {
        let n = (addr / PAGE_SIZE) as usize;
        if n >= PAGES || (self.model.pages[n].is_none() && !self.model.grow(n)) {
            return Err(Outcome::Segv { mapped: false });
        }
        let page = self.model.pages[n].clone().expect("mapped, or grown just now");
        let allowed = match access {
            Access::Read => !page.prot.is_empty(),
            Access::Write => page.prot.contains(Prot::WRITE),
            Access::Execute => page.prot.contains(Prot::EXEC),
        };
        if !allowed {
            return Err(Outcome::Segv { mapped: true });
        }
        let before = self.content(world, n, WORD)?;
        if access == Access::Write {
            match page.backing {
                Backing::Object { object, offset } if page.flags.contains(Flags::SHARED) => {
                    world.written.insert((object, offset), new);
                }
                _ => self.model.own[n] = Some(new),
            }
        }
        Ok(before)
    }

    /// Everything that is mapped shows what it should, and allows no more than it should.
    fn check(&self, world: &World) {
        let leaves = self.space.leaves();
        let mut there = std::vec![false; PAGES];
        for (virt, entry) in leaves {
            let n = (virt / PAGE_SIZE) as usize;
            there[n] = true;
            let page = self.model.pages[n].as_ref().expect("a page is left of what is unmapped");
            let flags = entry.flags();
            let present = flags.contains(EntryFlags::PRESENT);
            assert_eq!(present, !page.prot.is_empty(), "page {n:#x}: {flags}");
            if present {
                assert!(!flags.contains(EntryFlags::WRITE) || page.prot.contains(Prot::WRITE), "page {n:#x}");
                assert_eq!(
                    !flags.contains(EntryFlags::NO_EXECUTE),
                    page.prot.contains(Prot::EXEC),
                    "page {n:#x}"
                );
            }
            let found =
                [WORD, UNTOUCHED].map(|word| world.host.word(frame_of(entry), word).load(Ordering::SeqCst));
            let right =
                [WORD, UNTOUCHED].map(|word| self.content(world, n, word).expect("a page beyond the end"));
            assert_eq!(found, right, "page {n:#x}, {page:?}");
        }
        let lost = (0..PAGES).find(|&n| self.model.own[n].is_some() && !there[n]);
        assert_eq!(lost, None, "a page is lost");
    }

    fn some_page(&self, random: &mut Random) -> u64 {
        let page = at(random.index(PAGES + 2));
        self.space.look(|space| match (random.below(4), space.areas().at_or_above(page)) {
            (0 | 1, Some(entry)) => entry.span.start + at(random.index(entry.span.pages().min(9) as usize)),
            (2, Some(entry)) => entry.span.end.wrapping_sub(at(random.index(3))),
            _ => page,
        })
    }

    fn some_step(&self, random: &mut Random, round: u64) -> Step {
        let addr = self.some_page(random);
        let len = match random.below(40) {
            0 => random.pick(&[0, u64::MAX, at(PAGES), at(600)]),
            1..=6 => at(random.index(300)),
            _ => at(1 + random.index(24)),
        };
        let prot = Prot::from_bits_truncate(random.pick(&[0, 1, 1, 3, 3, 3, 5, 7]));
        match random.below(100) {
            0..=24 => Step::Touch(addr + 8 * WORD as u64, Some(round)),
            25..=49 => Step::Touch(addr + 8 * WORD as u64, None),
            50 | 51 => Step::Execute(addr),
            52..=66 => {
                let shared = random.below(3) == 0;
                let mut flags = if shared { MapFlags::SHARED } else { MapFlags::PRIVATE };
                for (odds, flag) in [
                    (2, MapFlags::ANONYMOUS),
                    (3, MapFlags::FIXED),
                    (12, MapFlags::GROWSDOWN),
                    (8, MapFlags::NORESERVE),
                    (5, MapFlags::POPULATE),
                ] {
                    flags.set(flag, random.below(odds) == 0);
                }
                let addr = if random.below(3) == 0 { 0 } else { addr };
                let file = random.index(if shared { 2 } else { 3 });
                Step::Map { addr, len, prot, flags, file, offset: at(random.index(FILE_PAGES as usize)) }
            }
            67..=74 => Step::Unmap(addr, len),
            75..=82 => Step::Protect(addr, len, prot),
            83..=90 => {
                let flags = RemapFlags::from_bits_truncate(random.pick(&[0, 1, 1, 1, 3, 3, 5, 7]));
                let whole =
                    self.space.look(|space| space.areas().find(addr).map(|entry| entry.span.end - addr));
                let old = random.pick(&[len, whole.unwrap_or(len), whole.unwrap_or(len), 0]);
                let new = if flags.contains(RemapFlags::DONT_UNMAP) { old } else { len };
                Step::Remap(addr, old, new, flags, self.some_page(random))
            }
            91..=93 => Step::Brk(self.model.heap.0.wrapping_add(at(random.index(80))).wrapping_sub(100)),
            _ => {
                let number = random.pick(&[0, 3, 4, 4, 8, 8, 10, 11, 18, 19]);
                Step::Advise(addr, len, Advice::from_number(number).unwrap())
            }
        }
    }
}

/// An answer in one form. A fault's refusals and calls' do not mix.
type Answer = Result<u64, Result<Outcome, Error>>;

const NO_MEMORY: [Answer; 2] = [Err(Err(Error::NoMemory)), Err(Ok(Outcome::OutOfMemory))];

fn mapping(world: &World, step: &Step) -> Option<Mapping<Thing>> {
    let &Step::Map { addr, len, prot, flags, file, offset } = step else { return None };
    let open = OpenFile {
        file: Thing::File(world.files[file].clone()),
        offset,
        readable: true,
        writable: true,
        no_exec: false,
    };
    let file = (!flags.contains(MapFlags::ANONYMOUS)).then_some(open);
    Some(Mapping { addr, len, prot, flags, file })
}

fn real(program: &Program, world: &World, step: &Step) -> Answer {
    let space = &program.space;
    match *step {
        Step::Touch(addr, new) => space.access(addr / PAGE_SIZE * PAGE_SIZE, WORD, new).map_err(Ok),
        Step::Execute(addr) => match space.handle_fault(addr, Access::Execute, true) {
            Outcome::Done => Ok(0),
            other => Err(Ok(other)),
        },
        Step::Map { .. } => {
            let want = mapping(world, step).expect("this is one");
            space.map(want).map(|mapped| mapped.span.start).map_err(Err)
        }
        Step::Unmap(addr, len) => space.unmap(addr, len).map(|()| 0).map_err(Err),
        Step::Protect(addr, len, prot) => space.protect(addr, len, prot, false).map(|()| 0).map_err(Err),
        Step::Remap(addr, old, new, flags, to) => space.remap(addr, old, new, flags, to).map_err(Err),
        Step::Brk(to) => Ok(space.brk(to)),
        Step::Advise(addr, len, advice) => space.advise(addr, len, advice).map(|()| 0).map_err(Err),
    }
}

fn ideal(program: &mut Program, world: &mut World, step: &Step, object: u64) -> Answer {
    match *step {
        Step::Touch(addr, new) => {
            let access = if new.is_some() { Access::Write } else { Access::Read };
            program.ideal_touch(world, addr, access, new.unwrap_or(0)).map_err(Ok)
        }
        Step::Execute(addr) => program.ideal_touch(world, addr, Access::Execute, 0).map(|_| 0).map_err(Ok),
        Step::Map { prot, flags, .. } => {
            let want = mapping(world, step).expect("this is one");
            let file = want.file.as_ref().map(|open| open.file.number());
            let (first, pages) = program.model.map(&want, file, object).map_err(Err)?;
            if flags.contains(MapFlags::ANONYMOUS | MapFlags::SHARED) {
                world.sizes.insert(object, pages);
            }
            // Pages of a file that were brought for writing are copies from now on.
            if flags.contains(MapFlags::POPULATE | MapFlags::PRIVATE) && prot.contains(Prot::WRITE) {
                for (virt, _) in program.space.leaves() {
                    let n = (virt / PAGE_SIZE) as usize;
                    if (first..first + pages as usize).contains(&n) {
                        program.model.own[n] = Some(program.content(world, n, WORD).expect("it is mapped"));
                    }
                }
            }
            Ok(at(first))
        }
        Step::Unmap(addr, len) => program.model.unmap(addr, len).map(|()| 0).map_err(Err),
        Step::Protect(addr, len, prot) => {
            program.model.protect(addr, len, prot, false).map(|()| 0).map_err(Err)
        }
        Step::Remap(addr, old, new, flags, to) => {
            program.model.remap(addr, old, new, flags, to).map(at).map_err(Err)
        }
        Step::Brk(to) => Ok(program.model.brk(to)),
        Step::Advise(addr, len, advice) => {
            if advice == Advice::Free {
                // Up to the first page that it is not for. A length that makes no sense is an empty range.
                let end = addr.saturating_add(len).min(at(PAGES));
                for n in (addr / PAGE_SIZE) as usize..(end / PAGE_SIZE) as usize {
                    match &program.model.pages[n] {
                        Some(page) if page.backing != Backing::Zero => break,
                        Some(_) if addr.checked_add(len).is_some() => program.model.own[n] = None,
                        _ => {}
                    }
                }
            }
            program.model.advise(addr, len, advice).map(|()| 0).map_err(Err)
        }
    }
}

/// How often steps of each kind went well, were turned down, were refused memory.
#[derive(Default, Debug)]
struct Tally(BTreeMap<(&'static str, &'static str), u64>);

impl Tally {
    fn count(&mut self, what: &'static str, how: &'static str) {
        *self.0.entry((what, how)).or_insert(0) += 1;
    }
}

fn name(step: &Step) -> &'static str {
    match step {
        Step::Touch(_, Some(_)) => "write",
        Step::Touch(_, None) => "read",
        Step::Execute(_) => "execute",
        Step::Map { .. } => "map",
        Step::Unmap(..) => "unmap",
        Step::Protect(..) => "protect",
        Step::Remap(..) => "remap",
        Step::Brk(_) => "brk",
        Step::Advise(..) => "advise",
    }
}

fn make(program: &mut Program, world: &mut World, step: &Step, random: &mut Random, tally: &mut Tally) {
    let armed = random.below(8) == 0;
    if armed && random.below(2) == 0 {
        world.host.fail_after(random.below(4));
    } else if armed {
        failing::after(random.below(2));
    }
    let object = world.host.objects.load(Ordering::SeqCst);
    let heap = program.model.heap.1;
    let found = real(program, world, step);
    let waited = [world.host.fail_never(), failing::never()];
    if armed && !waited.contains(&true) {
        let stays = matches!(step, Step::Brk(_)) && found == Ok(heap);
        if stays || NO_MEMORY.contains(&found) {
            // A stack may have grown before there was no page for it.
            if let (Step::Touch(addr, _) | Step::Execute(addr), None) = (step, program.page(step_addr(step)))
            {
                assert!(program.model.grow((addr / PAGE_SIZE) as usize));
            }
            tally.count(name(step), "refused");
            return;
        }
    }
    let right = ideal(program, world, step, object);
    assert_eq!(found, right, "{step:x?}");
    let well = if let Step::Brk(to) = step { found == Ok(*to) } else { found.is_ok() };
    tally.count(name(step), if well { "done" } else { "failed" });
}

fn step_addr(step: &Step) -> u64 {
    match *step {
        Step::Touch(addr, _) | Step::Execute(addr) => addr,
        _ => 0,
    }
}

fn fork(program: &mut Program, world: &World, random: &mut Random, tally: &mut Tally) -> Option<Program> {
    let armed = random.below(2) == 0;
    let (free, promised) = (world.host.free_frames(), program.space.promised());
    match random.below(2) {
        _ if !armed => {}
        0 => world.host.fail_after(random.below(12)),
        _ => failing::after(random.below(2)),
    }
    let child = program.space.fork();
    let refused = armed && ![world.host.fail_never(), failing::never()].contains(&true);
    let model = program.model.fork();
    let Ok(space) = child else {
        assert!(refused || model.is_none(), "a fork failed for no reason");
        assert_eq!((world.host.free_frames(), program.space.promised()), (free, promised));
        tally.count("fork", "refused");
        return None;
    };
    assert!(!refused);
    tally.count("fork", "done");
    Some(Program { space, model: model.expect("the account should have refused") })
}

#[test]
fn programs_see_the_bytes_that_they_should() {
    let mut random = Random::new(number("SIS_FUZZ_SEED", 7));
    let host = Machine::new(20_000, RAM);
    let before = host.free_frames();
    let steps = number("SIS_FUZZ", STEPS);
    let mut tally = Tally::default();
    let files = || (0..3).map(|n| File::new(host, n, FILE_PAGES, false)).collect();
    let mut world = World { host, files: files(), written: BTreeMap::new(), sizes: BTreeMap::new() };
    let mut programs = std::vec![Program::new(host, &mut random)];
    for round in 1..=steps {
        let which = random.index(programs.len());
        match random.below(1200) {
            0..=3 if programs.len() < 3 => {
                let child = fork(&mut programs[which], &world, &mut random, &mut tally);
                programs.extend(child);
            }
            4 | 5 => {
                drop(programs.swap_remove(which));
                if programs.is_empty() {
                    (world.files, world.written, world.sizes) =
                        (Vec::new(), BTreeMap::new(), BTreeMap::new());
                    assert_all_back(host, before);
                    world.files = files();
                    programs.push(Program::new(host, &mut random));
                    tally.count("all", "back");
                }
            }
            6..=30 => world.files[2].evict(at(random.index(FILE_PAGES as usize))),
            _ => {
                let step = programs[which].some_step(&mut random, round);
                make(&mut programs[which], &mut world, &step, &mut random, &mut tally);
            }
        }
        if round % 32 == 0 {
            programs.iter().for_each(|program| program.check(&world));
        }
    }
    if steps >= STEPS {
        for what in ["read", "write", "map", "unmap", "protect", "remap", "brk", "advise", "fork"] {
            let hows = if what == "fork" { &["done", "refused"][..] } else { &["done", "failed", "refused"] };
            hows.iter().for_each(|how| {
                assert!(tally.0.contains_key(&(what, *how)), "never {how}: {what}, {tally:?}")
            });
        }
        assert!(tally.0.contains_key(&("all", "back")), "{tally:?}");
    }
    drop((programs, world));
    assert_all_back(host, before);
}
