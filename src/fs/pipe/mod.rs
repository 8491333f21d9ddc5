//! Pipes, and what lies behind FIFOs: bytes that go in at one end and come out at the other.
//!
//! ```text
//!  write ──► ring of pages ──► read
//!            ┌──────┬──────┬──────┬──────┐
//!            │▒▒▒▒▒▒│▒▒▒▒▒ │      │   ▒▒▒│   each: which bytes of it are still to be read
//!            └──────┴──────┴──────┴──────┘
//!              last ▲  free          ▲ first
//! ```
//!
//! One lock that sleeps is held while bytes are copied, so that a write of up to [`PIPE_BUF`] bytes stays in one piece. Each
//! such write is in one page: behind what the last page has, if there is room, else in a new one. So a pipe is full when
//! all its pages have something in them, even if not all of their bytes are used; Linux counts likewise, and programs can
//! tell.
//!
//! **Waking.** Who waits enters a list with the lock held, and whoever lets go of the lock looks whether there is something
//! to do for one in the lists: a reader if the pipe is not empty, a writer if it is not full. One is woken, and no other
//! before he has come ([`Line::coming`]); when he leaves the lock he looks in his turn. So nobody is woken for nothing, and
//! as long as there is something to do for somebody, one of them is on his way.
//!
//! Generic over where frames come from. File descriptors, signals and names are above: an [`Error::BrokenPipe`] or
//! [`Wrote::broken`] is SIGPIPE, and what waits asks its [`Caller`] whether a signal has come.
//!
//! Source: POSIX.1-2017 (read, write, open, poll: "pipe or FIFO"); Linux man-pages 6, pipe(7), fifo(7), fcntl(2).

extern crate alloc;

pub mod account;
pub mod ends;
pub mod files;
mod open;
mod ring;
#[cfg(test)]
mod tests;
mod transfer;

use super::pagecache::Env;
use crate::boot::layout::PAGE_SIZE;
use crate::sync::interrupt;
use crate::sync::parker::{Kernel, NEVER};
use crate::sync::waiters::{BATCH, Waiter, Waiters};
use crate::sync::{IrqLock, Mutex, Rank, mutex::MutexGuard};
use account::Charge;
use core::pin::pin;
use ring::Ring;

pub use open::{Access, Opened};
pub use transfer::Wrote;

/// What is written in one piece.
pub const PIPE_BUF: usize = PAGE_SIZE as usize;
/// Pages of a new pipe: 64 KiB.
pub const PAGES: usize = 16;
/// Most pages that anybody may ask for: 1 MiB (`pipe-max-size`).
pub const PAGES_MAX: usize = 256;

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// EPERM: larger than a program may have it.
    NotPermitted,
    /// EINTR.
    Interrupted,
    /// ENXIO: nobody reads this FIFO.
    NoReader,
    /// EAGAIN: it would have to wait.
    WouldBlock,
    /// ENOMEM.
    NoMemory,
    /// EFAULT.
    Fault,
    /// EBUSY: more is in it than would fit.
    Busy,
    /// EINVAL.
    Invalid,
    /// ENFILE: the user has as many as he may have.
    TooMany,
    /// EPIPE, and SIGPIPE.
    BrokenPipe,
}

impl Error {
    /// Linux's number for it.
    pub const fn errno(self) -> i32 {
        match self {
            Self::NotPermitted => 1,
            Self::Interrupted => 4,
            Self::NoReader => 6,
            Self::WouldBlock => 11,
            Self::NoMemory => 12,
            Self::Fault => 14,
            Self::Busy => 16,
            Self::Invalid => 22,
            Self::TooMany => 23,
            Self::BrokenPipe => 32,
        }
    }
}

/// Who calls: whether he waits, and for how long.
pub trait Caller {
    /// Whether he would rather be refused (`O_NONBLOCK`).
    fn is_impatient(&self) -> bool {
        false
    }

    /// Whether a signal has come for him. Asked while he sleeps, so it waits for nothing; whoever makes it true wakes him.
    fn is_interrupted(&self) -> bool {
        interrupt::is_pending()
    }
}

/// Waits for as long as it takes.
pub struct Patient;

impl Caller for Patient {}

/// `O_NONBLOCK`.
pub struct Impatient;

impl Caller for Impatient {
    fn is_impatient(&self) -> bool {
        true
    }
}

/// Is told, under the pipe's lock, that what `poll` says may have changed.
pub trait Notify: Send + Sync {
    fn changed(&self);
}

/// Nobody.
impl Notify for () {
    fn changed(&self) {}
}

/// What `poll` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Events(pub u16);

impl Events {
    pub const IN: u16 = 0x1;
    pub const OUT: u16 = 0x4;
    pub const ERR: u16 = 0x8;
    pub const HUP: u16 = 0x10;
    pub const RDNORM: u16 = 0x40;
    pub const WRNORM: u16 = 0x100;
}

/// Those who wait for one thing.
struct Line {
    waiters: IrqLock<Waiters<Kernel>>,
}

/// How many of a line wait, and how many were woken and have not come yet. Behind the pipe's lock.
#[derive(Clone, Copy, Debug, Default)]
struct Turnout {
    waiting: u32,
    coming: u32,
}

impl Line {
    const fn new() -> Self {
        Self { waiters: IrqLock::new(Rank::WaitList, Waiters::new()) }
    }

    /// Wakes the first, unless one is on his way already.
    #[inline]
    fn wake_next(&self, turnout: &mut Turnout) {
        if turnout.waiting != 0 && turnout.coming == 0 {
            self.wake(turnout, 1);
        }
    }

    #[cold]
    #[inline(never)]
    fn wake(&self, turnout: &mut Turnout, most: u32) {
        let mut left = most.min(turnout.waiting);
        while left != 0 {
            let mut waiters = self.waiters.lock();
            for _ in 0..(left as usize).min(BATCH) {
                // All who wait are in the list, as they enter and leave it with the pipe's lock.
                if waiters.grant_first() {
                    turnout.waiting -= 1;
                    turnout.coming += 1;
                }
                left -= 1;
            }
        }
    }
}

/// What is behind the lock.
struct State {
    ring: Ring,
    charge: Charge,
    readers: u32,
    writers: u32,
    /// How often each end was opened since the pipe was made.
    reader_opens: u64,
    writer_opens: u64,
    reading: Turnout,
    writing: Turnout,
    opening: Turnout,
}

/// A pipe. Its ends are counted, not kept: whoever has one calls [`close`](Self::close).
pub struct Pipe<E: Env, N: Notify = ()> {
    env: E,
    notify: N,
    /// Who opens it waits for somebody at the other end: a FIFO.
    waits: bool,
    state: Mutex<State>,
    read_line: Line,
    write_line: Line,
    open_line: Line,
}

/// The lines, by what they wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    Bytes,
    Room,
    Peer,
}

impl State {
    fn turnout(&mut self, what: For) -> &mut Turnout {
        match what {
            For::Bytes => &mut self.reading,
            For::Room => &mut self.writing,
            For::Peer => &mut self.opening,
        }
    }
}

impl<E: Env, N: Notify> Pipe<E, N> {
    fn new(env: E, notify: N, ends: u32, charge: Charge) -> Result<Self, Error> {
        let state = State {
            ring: Ring::new(charge.pages())?,
            charge,
            readers: ends,
            writers: ends,
            reader_opens: u64::from(ends),
            writer_opens: u64::from(ends),
            reading: Turnout::default(),
            writing: Turnout::default(),
            opening: Turnout::default(),
        };
        let state = Mutex::new(Rank::Pipe, state);
        let [read_line, write_line, open_line] = [const { Line::new() }; 3];
        Ok(Self { env, notify, waits: ends == 0, state, read_line, write_line, open_line })
    }

    fn line(&self, what: For) -> &Line {
        match what {
            For::Bytes => &self.read_line,
            For::Room => &self.write_line,
            For::Peer => &self.open_line,
        }
    }

    /// Lets go of the lock, sleeps until it may be worth looking again, and takes it. EINTR if a signal has come; then
    /// look as well, before that is told: he may have been woken for something.
    fn wait<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        what: For,
        caller: &dyn Caller,
    ) -> (MutexGuard<'a, State>, Result<(), Error>) {
        let line = self.line(what);
        let waiter = pin!(Waiter::<Kernel>::new(0));
        state.turnout(what).waiting += 1;
        // SAFETY: the list's lock is taken again below, and the waiter taken out.
        unsafe { line.waiters.lock().add(waiter.as_ref()) };
        drop(state);
        waiter.sleep_unless(&|| caller.is_interrupted(), NEVER);
        let mut state = self.state.lock();
        let granted = {
            let mut waiters = line.waiters.lock();
            waiters.remove(&waiter);
            waiter.is_granted()
        };
        let turnout = state.turnout(what);
        if granted {
            turnout.coming -= 1;
        } else {
            turnout.waiting -= 1;
        }
        (state, if granted { Ok(()) } else { Err(Error::Interrupted) })
    }

    /// To be called before the lock is let go of: if there is something for somebody who waits, one of them is woken.
    #[inline]
    fn look_after(&self, state: &mut State) {
        if !state.ring.is_empty() {
            self.read_line.wake_next(&mut state.reading);
        }
        if !state.ring.is_full() {
            self.write_line.wake_next(&mut state.writing);
        }
    }

    /// All of them: an end was closed, or opened.
    fn wake_all(&self, state: &mut State, what: For) {
        let turnout = state.turnout(what);
        let waiting = turnout.waiting;
        self.line(what).wake(turnout, waiting);
    }

    /// Bytes that are to be read: `FIONREAD`.
    pub fn len(&self) -> usize {
        self.state.lock().ring.bytes()
    }

    /// Whether there is nothing to be read.
    pub fn is_empty(&self) -> bool {
        self.state.lock().ring.is_empty()
    }

    /// Bytes that it can hold: `F_GETPIPE_SZ`.
    pub fn size(&self) -> usize {
        self.state.lock().ring.pages() * PIPE_BUF
    }

    /// `F_SETPIPE_SZ`: at least so many bytes; returns how many. EPERM for more than 1 MiB, or than its user may have, unless
    /// `privileged`; EBUSY if
    /// more pages are in use; EINVAL; ENOMEM.
    pub fn set_size(&self, bytes: usize, privileged: bool) -> Result<usize, Error> {
        if bytes > 1 << 31 {
            return Err(Error::Invalid);
        }
        let pages = bytes.div_ceil(PIPE_BUF).max(1).next_power_of_two();
        let mut state = self.state.lock();
        if pages > PAGES_MAX && pages > state.ring.pages() && !privileged {
            return Err(Error::NotPermitted);
        }
        let old = state.ring.pages();
        state.charge.resize(pages, privileged)?;
        if let Err(error) = state.ring.resize(pages) {
            // That it had before, whatever the limits are now.
            let _ = state.charge.resize(old, true);
            return Err(error);
        }
        self.look_after(&mut state);
        self.notify.changed();
        Ok(pages * PIPE_BUF)
    }

    /// What `poll` says at an end, or both. `opened` is that end's.
    pub fn poll(&self, access: Access, opened: &Opened) -> Events {
        let state = self.state.lock();
        let mut events = 0;
        if access.reads() {
            if !state.ring.is_empty() {
                events |= Events::IN | Events::RDNORM;
            }
            // Not before there has been a writer.
            if state.writers == 0 && state.writer_opens != opened.writer_opens {
                events |= Events::HUP;
            }
        }
        if access.writes() {
            if !state.ring.is_full() {
                events |= Events::OUT | Events::WRNORM;
            }
            if state.readers == 0 {
                events |= Events::ERR;
            }
        }
        Events(events)
    }
}

impl<E: Env, N: Notify> Drop for Pipe<E, N> {
    fn drop(&mut self) {
        self.state.get_mut().ring.clear(&self.env);
    }
}
