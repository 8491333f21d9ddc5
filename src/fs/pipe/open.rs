//! The ends of a pipe: made together, or opened by name.
//!
//! | open a FIFO for | and there is | it |
//! | --- | --- | --- |
//! | reading | a writer | goes on |
//! | reading | none | waits for one to come; `O_NONBLOCK`: goes on |
//! | writing | a reader | goes on |
//! | writing | none | waits for one to come; `O_NONBLOCK`: ENXIO |
//! | both | | goes on |
//!
//! That the other has come counts, even if he has left again: openings are counted, not only ends that are open.

use super::account::Charge;
use super::{Caller, Error, For, Notify, Pipe, State};
use crate::fs::pagecache::Env;

/// What an end is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
    Both,
}

impl Access {
    pub const fn reads(self) -> bool {
        matches!(self, Self::Read | Self::Both)
    }

    pub const fn writes(self) -> bool {
        matches!(self, Self::Write | Self::Both)
    }
}

/// What an end remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// Writers that had been there when it was opened, none of whom is there.
    pub(super) writer_opens: u64,
}

impl<E: Env, N: Notify> Pipe<E, N> {
    /// `pipe`: with one end for reading and one for writing open. ENOMEM.
    pub fn pair(env: E, notify: N, charge: Charge) -> Result<Self, Error> {
        Self::new(env, notify, 1, charge)
    }

    /// What is behind a FIFO, with no end open.
    pub fn fifo(env: E, notify: N, charge: Charge) -> Result<Self, Error> {
        Self::new(env, notify, 0, charge)
    }

    /// Opens an end of a FIFO, or once more one of a pair, which waits for nobody. EINTR, ENXIO: then it is not open.
    pub fn open(&self, access: Access, caller: &dyn Caller) -> Result<Opened, Error> {
        let mut state = self.state.lock();
        if self.waits && access == Access::Write && state.readers == 0 && caller.is_impatient() {
            return Err(Error::NoReader);
        }
        state.charge.take_again();
        let opened = Opened { writer_opens: if state.writers == 0 { state.writer_opens } else { u64::MAX } };
        if access.reads() {
            state.readers += 1;
            state.reader_opens += 1;
        }
        if access.writes() {
            state.writers += 1;
            state.writer_opens += 1;
        }
        self.wake_all(&mut state, For::Peer);
        self.notify.changed();
        let peers = |state: &State| match access {
            Access::Read => (state.writers, state.writer_opens),
            Access::Write => (state.readers, state.reader_opens),
            Access::Both => (1, 0),
        };
        let (there, before) = peers(&state);
        if there != 0 || !self.waits || caller.is_impatient() {
            return Ok(opened);
        }
        while peers(&state).1 == before {
            let (locked, woken) = self.wait(state, For::Peer, caller);
            state = locked;
            if woken.is_err() && peers(&state).1 == before {
                self.close_in(&mut state, access);
                return Err(Error::Interrupted);
            }
        }
        Ok(opened)
    }

    /// An end that [`open`](Self::open) or [`pair`](Self::pair) has opened is needed no more.
    pub fn close(&self, access: Access) {
        self.close_in(&mut self.state.lock(), access);
    }

    fn close_in(&self, state: &mut State, access: Access) {
        if access.reads() {
            state.readers -= 1;
        }
        if access.writes() {
            state.writers -= 1;
        }
        if state.readers == 0 {
            // EPIPE.
            self.wake_all(state, For::Room);
        }
        if state.writers == 0 {
            // The end of the file.
            self.wake_all(state, For::Bytes);
        }
        if state.readers == 0 && state.writers == 0 {
            // Nobody can read it any more: who opens the FIFO next finds it empty.
            state.ring.clear(&self.env);
            state.charge.give_back();
        }
        self.look_after(state);
        self.notify.changed();
    }
}
