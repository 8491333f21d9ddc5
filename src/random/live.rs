//! The generator at work: one pool, one base key, and a key on each CPU.

use super::chacha::{KEY, wipe};
use super::generator::{Generator, expand};
use super::jitter::Jitter;
use super::pool::Pool;
use crate::arch::x86_64::hardware_random::{self, Source};
use crate::arch::x86_64::percpu::{Exclusive, per_cpu};
use crate::arch::x86_64::{percpu, tsc};
use crate::sync::interrupt::Interrupted;
use crate::sync::parker::NEVER;
use crate::sync::{IrqLock, Rank, WaitQueue};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use log::info;

/// Interrupts that are taken for one bit.
const INTERRUPTS_PER_BIT: u32 = 64;
/// Time after which a seed is replaced, even if little has come in.
const RESEED_NS: u64 = 60_000_000_000;
/// Time stamps that the CPU makes against itself before it gives up and leaves it to interrupts.
const STAMPS: u32 = 100_000;
/// Words that it walks over meanwhile.
const WALK: usize = 512;

struct State {
    pool: Pool,
    base: Generator,
    seeded_ns: u64,
}

static STATE: IrqLock<State> =
    IrqLock::new(Rank::Random, State { pool: Pool::new(), base: Generator::new(), seeded_ns: 0 });
/// The base's generation, to be looked at without its lock; 0 until it is ready.
static GENERATION: AtomicU64 = AtomicU64::new(0);
/// Whether the line that says so is in the log.
static SAID: AtomicBool = AtomicBool::new(false);
/// Who waits for it to be ready.
static READY: WaitQueue = WaitQueue::new();

per_cpu! {
    static LOCAL: Exclusive<Generator> = Exclusive::new(Generator::new());

    /// What this CPU's interrupts have brought: their times, one over the other; and how many more are wanted.
    static STAMPS_OF_INTERRUPTS: u64 = 0;
    static INTERRUPTS_LEFT: u32 = INTERRUPTS_PER_BIT;
}

/// It is not ready yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotReady;

impl State {
    /// A new base key, of everything in the pool.
    fn reseed(&mut self, now_ns: u64) {
        let mut extra = [0; KEY];
        hardware_random::fill(&mut extra);
        let mut seed = self.pool.draw(&extra);
        let generation = self.base.generation() + 1;
        self.base.seed(&mut seed, generation);
        self.seeded_ns = now_ns;
        GENERATION.store(generation, Ordering::Release);
    }
}

/// Takes what the CPU's own generator gives, and says whether that is enough. Once there is a clock.
pub fn init() {
    let mut bytes = [0; KEY];
    let source = hardware_random::fill(&mut bytes);
    let bits = if source.is_some() { 8 * KEY as u32 } else { 0 };
    {
        // Before it is ready, requests are answered from the base alone: by what there is.
        let mut state = STATE.lock();
        state.pool.add(&tsc::read().to_le_bytes(), 0);
        let mut hint = state.pool.draw(&bytes);
        state.base.stir(&hint);
        wipe(&mut hint);
    }
    add(&bytes, bits);
    wipe(&mut bytes);
    say(match source {
        Some(Source::RdSeed) => "256 bits from RDSEED",
        Some(Source::RdRand) => "256 bits from RDRAND",
        None => "",
    });
    if source.is_none() {
        info!(target: "random", "not ready: this CPU has no generator; interrupts will do, or whoever needs it first");
    }
}

/// Adds to the pool, and makes a seed of it when there is enough.
pub fn add(bytes: &[u8], bits: u32) {
    let now_ns = crate::log::now_ns();
    let became_ready = {
        let mut state = STATE.lock();
        let is_first = state.base.generation() == 0;
        let is_full = state.pool.add(bytes, bits);
        if is_full {
            state.reseed(now_ns);
        }
        is_full && is_first
    };
    if became_ready {
        READY.wake_all();
    }
}

/// Says once that it is ready, if it is.
fn say(how: &str) {
    if is_ready() && !SAID.swap(true, Ordering::Relaxed) {
        info!(target: "random", "ready: {how}");
    }
}

/// Called with every interrupt, with interrupts off: it has come at this time. Every 64th goes to the pool, and the others
/// pay a dozen instructions.
#[inline]
pub fn interrupt() {
    STAMPS_OF_INTERRUPTS.set(STAMPS_OF_INTERRUPTS.get().rotate_left(7) ^ tsc::read());
    if INTERRUPTS_LEFT.sub_is_zero(1) {
        interrupts_are_enough();
    }
}

#[cold]
fn interrupts_are_enough() {
    INTERRUPTS_LEFT.set(INTERRUPTS_PER_BIT);
    add(&STAMPS_OF_INTERRUPTS.get().to_le_bytes(), 1);
    say("by interrupts");
}

/// Whether 256 bits have come together since the machine was turned on.
pub fn is_ready() -> bool {
    GENERATION.load(Ordering::Relaxed) != 0
}

/// Fills `out`, ready or not: for what must not wait.
pub fn fill(out: &mut [u8]) {
    expand(draw(), out);
}

/// The same if it is ready.
pub fn try_fill(out: &mut [u8]) -> Result<(), NotReady> {
    if is_ready() {
        fill(out);
        Ok(())
    } else {
        Err(NotReady)
    }
}

/// The same once it is ready. May sleep.
///
/// # Errors
/// [`Interrupted`] if a signal comes sooner.
pub fn fill_ready(out: &mut [u8]) -> Result<(), Interrupted> {
    if !is_ready() {
        run_against_the_clock();
        READY.wait_or_signal(is_ready, NEVER)?;
    }
    fill(out);
    Ok(())
}

fn draw() -> [u8; KEY] {
    let generation = GENERATION.load(Ordering::Acquire);
    let mut state = None;
    if generation == 0 || LOCAL.with(|local| local.generation() != generation) || is_old() {
        let now_ns = crate::log::now_ns();
        let state = state.insert(STATE.lock());
        if generation == 0 {
            return state.base.draw();
        }
        if now_ns.saturating_sub(state.seeded_ns) > RESEED_NS {
            state.reseed(now_ns);
        }
        let generation = state.base.generation();
        let mut key = state.base.draw();
        LOCAL.with(|local| local.seed(&mut key, generation));
    }
    // Whether or not this is still the same CPU, its key is a good one: of this generation or the one before.
    let drawn = LOCAL.with(|local| (local.generation() != 0).then(|| local.draw()));
    drop(state);
    drawn.unwrap_or_else(|| STATE.lock().base.draw())
}

/// Whether the seed has had its time. The word is read without the lock: a moment later or earlier is the same.
fn is_old() -> bool {
    static LOOKED_NS: AtomicU64 = AtomicU64::new(0);
    let now_ns = crate::log::now_ns();
    let due = now_ns.saturating_sub(LOOKED_NS.load(Ordering::Relaxed)) > RESEED_NS;
    if due {
        LOOKED_NS.store(now_ns, Ordering::Relaxed);
    }
    due
}

/// Lets the CPU race its own clock until the pool is full, or until it is clear that nothing comes of it.
fn run_against_the_clock() {
    let mut jitter = Jitter::new();
    let mut walk = [0u64; WALK];
    let mut at = percpu::number();
    for _ in 0..STAMPS {
        if is_ready() {
            break;
        }
        // Where the next step leads depends on when this one was.
        let stamp = tsc::read();
        for _ in 0..32 {
            at = (at + (stamp as usize & 63) + 1) % WALK;
            walk[at] = walk[at].wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(stamp);
        }
        let bits = jitter.take(stamp);
        let mixed = [stamp.to_le_bytes(), walk[at].to_le_bytes()];
        add(mixed.as_flattened(), bits);
    }
    say("by jitter");
}
