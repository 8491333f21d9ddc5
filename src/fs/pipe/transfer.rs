//! Reading and writing.

use super::{Caller, Error, For, Notify, PIPE_BUF, Pipe};
use crate::fs::pagecache::{Env, Sink, Source};

/// What a write has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrote {
    pub len: usize,
    /// The last reader has gone before all was written: SIGPIPE.
    pub broken: bool,
}

impl<E: Env, N: Notify> Pipe<E, N> {
    /// Takes up to `len` bytes; waits until there is at least one. 0 if there are no writers and nothing is left. EAGAIN,
    /// EINTR, EFAULT.
    pub fn read(&self, len: usize, sink: &mut dyn Sink, caller: &dyn Caller) -> Result<usize, Error> {
        if len == 0 {
            return Ok(0);
        }
        let mut state = self.state.lock();
        while state.ring.is_empty() {
            if state.writers == 0 {
                return Ok(0);
            }
            if caller.is_impatient() {
                return Err(Error::WouldBlock);
            }
            let (locked, woken) = self.wait(state, For::Bytes, caller);
            state = locked;
            if state.ring.is_empty() && state.writers != 0 {
                woken?;
            }
        }
        let (mut done, mut fault) = (0, false);
        let was_full = state.ring.is_full();
        while done < len && !fault && !state.ring.is_empty() {
            let (want, went) = state.ring.pull(&self.env, len - done, sink);
            done += went;
            fault = went < want;
        }
        self.look_after(&mut state);
        if was_full != state.ring.is_full() || state.ring.is_empty() {
            self.notify.changed();
        }
        if done == 0 { Err(Error::Fault) } else { Ok(done) }
    }

    /// Gives `len` bytes; waits until all of them are in. Up to [`PIPE_BUF`] are in one piece, whatever others write.
    /// EPIPE, EAGAIN, EINTR, EFAULT, ENOMEM, if not a single byte was written.
    pub fn write(&self, len: usize, source: &mut dyn Source, caller: &dyn Caller) -> Result<Wrote, Error> {
        if len == 0 {
            return Ok(Wrote { len: 0, broken: false });
        }
        let mut done = 0;
        let mut state = self.state.lock();
        let refused = loop {
            if state.readers == 0 {
                break Some(Error::BrokenPipe);
            }
            let (was_empty, before) = (state.ring.is_empty(), done);
            // What is more than whole pages goes into the last one, if it fits there.
            let odd = if len - done <= PIPE_BUF { len - done } else { (len - done) % PIPE_BUF };
            let result = if odd != 0 && odd <= state.ring.room_in_last() && done == 0 {
                Some(Ok((odd, state.ring.append(&self.env, odd, source))))
            } else if !state.ring.is_full() {
                let want = (len - done).min(PIPE_BUF);
                Some(state.ring.push(&self.env, want, source).map(|came| (want, came)))
            } else {
                None
            };
            match result {
                Some(Ok((want, came))) => {
                    done += came;
                    if done != before && was_empty {
                        self.notify.changed();
                    }
                    if came < want {
                        break Some(Error::Fault);
                    }
                    if done == len {
                        break None;
                    }
                }
                Some(Err(error)) => break Some(error),
                None if caller.is_impatient() => break Some(Error::WouldBlock),
                None => {
                    self.look_after(&mut state);
                    let (locked, woken) = self.wait(state, For::Room, caller);
                    state = locked;
                    if let (Err(error), true) = (woken, state.ring.is_full() && state.readers != 0) {
                        break Some(error);
                    }
                }
            }
        };
        self.look_after(&mut state);
        match refused {
            Some(error) if done == 0 => Err(error),
            refused => Ok(Wrote { len: done, broken: refused == Some(Error::BrokenPipe) }),
        }
    }
}
