//! null, zero and full. All their positions are the first.

use super::super::Result;
use super::super::file::{File, FileOps};
use super::super::flags::Whence;
use super::super::io::{Sink, Source, moved};
use crate::errno::Errno;

fn zeroes(to: &mut dyn Sink) -> Result<usize> {
    match to.room() {
        0 => Ok(0),
        room => moved(to.put_zeroes(room)),
    }
}

pub struct Null;

impl FileOps for Null {
    fn read(&self, _: &File, _: &mut dyn Sink, _: u64) -> Result<usize> {
        Ok(0)
    }

    /// Does not even look at it.
    fn write(&self, _: &File, from: &mut dyn Source, _: u64) -> Result<usize> {
        Ok(from.left())
    }

    fn seek(&self, _: &File, _: i64, _: Whence, _: u64) -> Result<u64> {
        Ok(0)
    }
}

pub struct Zero;

impl FileOps for Zero {
    fn read(&self, _: &File, to: &mut dyn Sink, _: u64) -> Result<usize> {
        zeroes(to)
    }

    fn write(&self, _: &File, from: &mut dyn Source, _: u64) -> Result<usize> {
        Ok(from.left())
    }

    fn seek(&self, _: &File, _: i64, _: Whence, _: u64) -> Result<u64> {
        Ok(0)
    }
}

pub struct Full;

impl FileOps for Full {
    fn read(&self, _: &File, to: &mut dyn Sink, _: u64) -> Result<usize> {
        zeroes(to)
    }

    fn write(&self, _: &File, _: &mut dyn Source, _: u64) -> Result<usize> {
        Err(Errno::Enospc)
    }

    fn seek(&self, _: &File, _: i64, _: Whence, _: u64) -> Result<u64> {
        Ok(0)
    }
}
