//! What the allocator complains of, in words.

use super::owner::Owner;
use crate::mm::addr::Frame;
use core::fmt;

/// Why frames were not taken back. Each is a bug of the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreeError {
    /// The allocator has no such block: unaligned, too large, or outside of the RAM that it knows.
    NoSuchBlock { frame: Frame, order: u32 },
    /// It is free already, or inside of a block, or was never given out.
    NotHeld { frame: Frame, owner: Owner },
    /// It was given out as a block of another order.
    Order { frame: Frame, order: u32, freed_as: u32 },
    /// Somebody else has a reference.
    Shared { frame: Frame, count: u32 },
}

impl fmt::Display for FreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NoSuchBlock { frame, order } => {
                write!(f, "frame {frame:#x} freed with order {order}: no such block")
            }
            Self::NotHeld { frame, owner: Owner::Free } => {
                write!(f, "double free of frame {frame:#x}: it is free already")
            }
            Self::NotHeld { frame, owner: Owner::CpuCache } => {
                write!(f, "double free of frame {frame:#x}: it is in a CPU's cache already")
            }
            Self::NotHeld { frame, owner } => {
                write!(f, "free of frame {frame:#x}, which nobody was given: {}", owner.name())
            }
            Self::Order { frame, order, freed_as } => {
                write!(f, "frame {frame:#x} freed with order {freed_as}, but it has order {order}")
            }
            Self::Shared { frame, count } => {
                write!(f, "free of frame {frame:#x}, to which there are {count} references")
            }
        }
    }
}

/// An invariant that does not hold, and the frame it was seen at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt {
    pub number: u32,
    pub what: &'static str,
}
