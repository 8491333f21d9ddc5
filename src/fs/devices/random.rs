//! random and urandom: the same generator, for who waits until it is ready and for who does not.

use super::super::Result;
use super::super::file::{File, FileOps};
use super::super::flags::{OpenFlags, Whence};
use super::super::io::{Sink, Source, moved};
use crate::errno::Errno;
use crate::random;

/// Bytes that are made at once.
const PIECE: usize = 256;

pub struct Random {
    /// Until there have been 256 bits.
    pub waits: bool,
}

impl FileOps for Random {
    fn read(&self, file: &File, to: &mut dyn Sink, _: u64) -> Result<usize> {
        let wanted = to.room();
        let mut bytes = [0; PIECE];
        if wanted == 0 {
            return Ok(0);
        }
        if self.waits && !random::is_ready() {
            if file.flags().contains(OpenFlags::NONBLOCK) {
                return Err(Errno::Eagain);
            }
            random::fill_ready(&mut bytes)?;
        }
        let mut done = 0;
        while done < wanted {
            let piece = &mut bytes[..PIECE.min(wanted - done)];
            random::fill(piece);
            let put = to.put(piece);
            done += put;
            if put < piece.len() {
                break;
            }
        }
        bytes.fill(0);
        core::hint::black_box(&bytes);
        moved(done)
    }

    /// What is written is believed to be worth nothing: it is stirred in, and counts for no bits.
    fn write(&self, _: &File, from: &mut dyn Source, _: u64) -> Result<usize> {
        let wanted = from.left();
        let mut bytes = [0; PIECE];
        let mut done = 0;
        while done < wanted {
            let piece = &mut bytes[..PIECE.min(wanted - done)];
            let taken = from.take(piece);
            random::add(&piece[..taken], 0);
            done += taken;
            if taken < piece.len() {
                break;
            }
        }
        if wanted == 0 { Ok(0) } else { moved(done) }
    }

    fn seek(&self, _: &File, _: i64, _: Whence, current: u64) -> Result<u64> {
        Ok(current)
    }
}
