//! The machine's frames: [`frame`](super::frame)'s allocator at work, behind its lock and this CPU's cache.
//!
//! Lock order: [`ZONES`] is taken with interrupts off and calls nobody. May be used in interrupt handlers, not in an NMI's.

use super::addr::{Frame, FrameRange, PhysAddr};
use super::frame::plan::Plan;
use super::frame::zones::Level;
use super::frame::{
    FrameCache, FrameInfo, FreeError, MAX_ORDER, MappedTable, Owner, Request, Table, Zone, Zones,
};
use super::heap::HEAP;
use super::pressure;
use crate::arch::x86_64::paging::live::{self, DirectMap};
use crate::arch::x86_64::paging::map::map_range;
use crate::arch::x86_64::paging::{ENTRIES, Entry, Flags, Tables};
use crate::arch::x86_64::percpu::Exclusive;
use crate::arch::x86_64::percpu::per_cpu;
use crate::boot::info::MemoryRegion;
use crate::boot::layout::{DIRECT_MAP_BASE, PAGE_SIZE};
use crate::platform::call;
use crate::platform::page_source;
use crate::sync::irq_lock::IrqGuard;
use crate::sync::{IrqLock, Rank};
use core::sync::atomic::{AtomicU64, Ordering};
use log::{info, warn};
use spin::Once;

/// What free frames are full of: in a debug build all of them, in others those of programs while a test asks for it
/// (`space::poison`).
pub const FREE: u8 = 0xDE;

static ZONES: Once<IrqLock<Zones<MappedTable>>> = Once::new();

/// The runs of frames that have a [`FrameInfo`].
static COVERED: Once<Covered> = Once::new();

per_cpu! {
    /// Frames freed lately, on this CPU.
    static CACHE: Exclusive<FrameCache> = Exclusive::new(FrameCache::new());
}

struct Covered {
    runs: [FrameRange; super::frame::plan::PIECES_MAX],
    len: usize,
}

/// The lock, once there is something behind it.
#[inline]
fn zones() -> &'static IrqLock<Zones<MappedTable>> {
    ZONES.get().expect("frames::init comes before the first allocation")
}

/// The live tables, with new ones out of a run of frames that was set aside.
struct Reserved {
    frames: FrameRange,
    used: u32,
}

impl Tables for Reserved {
    fn allocate(&mut self) -> Option<u64> {
        let frame =
            self.frames.start()?.checked_add(self.used).filter(|&frame| self.frames.contains(frame))?;
        self.used += 1;
        let table = frame.start().as_u64();
        (0..ENTRIES).for_each(|index| DirectMap.set(table, index, Entry::default()));
        Some(table)
    }

    fn get(&self, table: u64, index: usize) -> Entry {
        DirectMap.get(table, index)
    }

    fn set(&mut self, table: u64, index: usize, entry: Entry) {
        DirectMap.set(table, index, entry);
    }
}

/// Takes over all RAM that the firmware's map leaves. Once, before the first device is mapped; the loader's memory and
/// the boot services' is free from here on, so nothing of it may be in use.
pub fn init(regions: &'static [MemoryRegion]) {
    let mut plan = Plan::new(regions, FrameRange::EMPTY);
    let mut tables = Reserved { frames: plan.tables(), used: 0 };
    let flags = Flags::WRITE | Flags::NO_EXECUTE | Flags::GLOBAL;
    for piece in plan.pieces() {
        let Some(pages) = piece.pages().and_then(|pages| pages.start()) else { continue };
        let storage = piece.storage.start().map_or(0, |frame| frame.start().as_u64());
        let len = piece.storage.bytes();
        map_range(&mut tables, live::root(), pages.start().as_u64(), storage, len, flags, 2)
            .expect("the plan has set aside enough tables, and nothing else is mapped there");
    }
    plan.keep_tables(tables.used);
    if plan.left_out() > 0 {
        warn!(target: "memory", "{} pages of RAM have no place in the frame table, and stay unused", plan.left_out());
    }
    // SAFETY: all pieces are mapped; `fill` clears what the plan wants cleared before anybody asks for it.
    let mut zones = Zones::new(unsafe { MappedTable::new() });
    plan.fill(&mut zones);
    let free = zones.free_frames();
    COVERED.call_once(|| {
        let mut runs = [FrameRange::EMPTY; super::frame::plan::PIECES_MAX];
        let len = plan.pieces().len();
        for (run, piece) in runs.iter_mut().zip(plan.pieces()) {
            *run = piece.frames;
        }
        Covered { runs, len }
    });
    info!(
        target: "memory",
        "{} MiB free in {} zones, {} KiB for the frame table",
        (free * PAGE_SIZE) >> 20,
        Zone::ALL.iter().filter(|&&zone| zones.zone(zone).managed_frames() > 0).count(),
        plan.table_bytes() >> 10
    );
    ZONES.call_once(|| IrqLock::new(Rank::Zones, zones));
    page_source::set(page_source::PageSource {
        allocate: || pressure::allocate_frame(Owner::PageTable).map(|frame| frame.start().as_u64()),
        allocate_low: || {
            let request = Request::new(Owner::PageTable).below(PhysAddr::new(1 << 32)?);
            allocate_block(request).map(|frame| frame.start().as_u64())
        },
        free: |table| self::free(Frame::new(table / PAGE_SIZE).expect("a table is a frame")),
    });
}

/// What is known of a frame; `None` for one that is no RAM of ours.
pub fn info(frame: Frame) -> Option<&'static FrameInfo> {
    let covered = COVERED.get()?;
    let known = covered.runs[..covered.len].iter().any(|run| run.contains(frame));
    known.then(|| info_of(frame))
}

/// The same for a frame that was allocated.
#[inline]
pub fn info_of(frame: Frame) -> &'static FrameInfo {
    // SAFETY: `init` has mapped the table before there was a frame to ask for.
    let table: &'static MappedTable = const { &unsafe { MappedTable::new() } };
    table.info(frame)
}

/// One frame, with one reference and whatever bytes were in it; `None` if none is left. Nothing is given back for it: for
/// that, see [`pressure::allocate_frame`].
#[inline]
pub fn allocate(owner: Owner) -> Option<Frame> {
    if HEAP.fail.is_armed() {
        return allocate_or_fail(owner);
    }
    allocate_unasked(owner)
}

#[cold]
#[inline(never)]
fn allocate_or_fail(owner: Owner) -> Option<Frame> {
    if HEAP.fail.fails() { None } else { allocate_unasked(owner) }
}

#[inline]
fn allocate_unasked(owner: Owner) -> Option<Frame> {
    // SAFETY: `init` has run, as there is somebody who asks.
    let table = unsafe { MappedTable::new() };
    CACHE.with(|cache| cache.allocate(&table, owner, zones_looked_at))
}

/// The lock, for who is going to take frames. What is low is noted, and left to others.
fn zones_looked_at() -> IrqGuard<'static, Zones<MappedTable>> {
    let zones = zones().lock();
    if Zone::ALL.iter().any(|&zone| zones.level(zone) <= Level::Low) {
        pressure::want();
    }
    zones
}

/// Gives back what [`allocate`] gave. The last reference must be the caller's.
///
/// # Panics
/// If the frame is free, or in use by others: to go on would be to give it out twice.
#[inline]
pub fn free(frame: Frame) {
    fill(frame, 0);
    // SAFETY: as above.
    let table = unsafe { MappedTable::new() };
    if let Err(error) = CACHE.with(|cache| cache.free(&table, frame, || zones().lock())) {
        refuse(error);
    }
}

/// In a debug build, whoever reads what he has not written sees it.
#[inline]
fn fill(frame: Frame, order: u32) {
    if cfg!(debug_assertions) {
        // SAFETY: the caller's, who is about to have them no more; in the direct map.
        unsafe { bytes(frame).write_bytes(FREE, (PAGE_SIZE as usize) << order) };
    }
}

#[cold]
#[inline(never)]
fn refuse(error: FreeError) -> ! {
    panic!("{error}")
}

/// 2^order frames in a row, or under a limit.
pub fn allocate_block(request: Request) -> Option<Frame> {
    if HEAP.fail.is_armed() && HEAP.fail.fails() {
        return None;
    }
    let found = zones_looked_at().allocate(request);
    if found.is_some() {
        return found;
    }
    // What is missing may be in the caches.
    flush_caches();
    zones().lock().allocate(request)
}

/// Gives back what [`allocate_block`] gave, with the order that it had.
///
/// # Panics
/// As [`free`].
pub fn free_block(frame: Frame, order: u32) {
    fill(frame, order);
    if let Err(error) = zones().lock().free(frame, order) {
        refuse(error);
    }
}

/// Gives this CPU's cached frames back to the zones.
pub fn flush_caches() {
    CACHE.with(|cache| cache.flush(&mut zones().lock()));
}

/// The same of all CPUs, or of this one alone if the caller may not wait for the others.
pub fn flush_all_caches() {
    call::run_on_all_or_here(&flush_caches);
}

/// Frames in the CPUs' caches. Each CPU is asked, as nobody else may look there; if the caller may not wait, this one.
pub fn cached_frames() -> u64 {
    let sum = AtomicU64::new(0);
    call::run_on_all_or_here(&|| _ = sum.fetch_add(cached_here(), Ordering::Relaxed));
    sum.into_inner()
}

fn cached_here() -> u64 {
    CACHE.with(|cache| cache.len() as u64)
}

/// Free frames, without those in other CPUs' caches: nobody is disturbed.
pub fn free_frames() -> u64 {
    cached_here() + zones().lock().free_frames()
}

/// Free frames, those in all caches among them. See [`cached_frames`].
pub fn all_free_frames() -> u64 {
    cached_frames() + zones().lock().free_frames()
}

/// Calls `tell` with each block that there is data for: whose it is, and how many frames. For displays: interrupts are
/// off meanwhile, and `tell` must not ask for frames.
pub fn for_each_block(tell: &mut dyn FnMut(Owner, u64)) {
    let Some(covered) = COVERED.get() else { return };
    let zones = zones().lock();
    for run in &covered.runs[..covered.len] {
        let mut at = run.start();
        while let Some(frame) = at.filter(|&frame| run.contains(frame)) {
            let (first, order, owner) = zones.block_of(frame).unwrap_or((frame, 0, Owner::Reserved));
            tell(owner, 1 << order);
            at = first.checked_add(1 << order);
        }
    }
}

/// Adds to `pages` what each owner has, by [`Owner`] number. Others take and give meanwhile: interrupts are off for no
/// more than a piece of it.
pub fn count_owners(pages: &mut [u64; Owner::ALL.len()]) {
    /// Blocks that are looked at together.
    const PIECE: usize = 512;
    let Some(covered) = COVERED.get() else { return };
    for run in &covered.runs[..covered.len] {
        let mut at = run.start();
        while at.is_some_and(|frame| run.contains(frame)) {
            let zones = zones().lock();
            for _ in 0..PIECE {
                let Some(frame) = at.filter(|&frame| run.contains(frame)) else { break };
                let (first, order, owner) = zones.block_of(frame).unwrap_or((frame, 0, Owner::Reserved));
                // A block may have come to be around a frame that was passed.
                let next = first.checked_add(1 << order);
                pages[owner as usize] += next.map_or(1, |next| u64::from(next.number() - frame.number()));
                at = next;
            }
        }
    }
}

/// All frames that are given out or to be given out.
pub fn managed_frames() -> u64 {
    zones().lock().managed_frames()
}

/// How much is left where there is least.
pub fn level() -> Level {
    let zones = zones().lock();
    Zone::ALL.map(|zone| zones.level(zone)).into_iter().min().unwrap_or(Level::High)
}

/// Gives out frames from now on that somebody had since the start, and has read. All of them, or none if one of them is
/// not `owner`'s.
pub fn give_back(range: FrameRange, owner: Owner) -> Result<(), FreeError> {
    zones().lock().add_from(range, owner)
}

/// For display and tests: a look at the zones.
pub fn with_zones<R>(look: impl FnOnce(&Zones<MappedTable>) -> R) -> R {
    look(&zones().lock())
}

/// A frame's bytes, through the direct map.
#[inline]
pub fn bytes(frame: Frame) -> *mut u8 {
    (DIRECT_MAP_BASE + frame.start().as_u64()) as *mut u8
}

/// The highest order of [`allocate_block`].
pub const HIGHEST_ORDER: u32 = MAX_ORDER;
