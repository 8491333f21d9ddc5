//! Frames: who owns which page of RAM, and finding one that nobody owns.
//!
//! ```text
//! allocate, free            one frame, on this CPU        FrameCache: 64 numbers, no lock
//!      │ empty or full: 32 at a time
//!      ▼
//! Zones                     Normal (from 4 GiB up) first, then Dma32 (below 4 GiB)
//!      │
//!      ▼
//! Buddy, one a zone         blocks of 2^0 to 2^10 frames, a free list for each order
//!      │
//!      ▼
//! FrameInfo, one a frame    32 bytes: count of references, owner, links
//! ```
//!
//! Everything here is plain code over a [`Table`] of [`FrameInfo`]s: it names no lock, no CPU and no address, so the
//! host's tests run the same lines as the kernel. Whoever wires it up puts [`Zones`] behind a lock that handlers
//! may take too, and gives each CPU a [`FrameCache`]. [`plan`] computes from the loader's memory map what there is
//! to be given out and where the table goes.
//!
//! No operation looks at more than a few frames: there is no bitmap and no scan. The one exception is a limit that
//! is no zone's end, see [`Request::below`].

pub mod buddy;
pub mod cache;
pub mod error;
pub mod info;
#[cfg(test)]
mod model;
pub mod owner;
pub mod plan;
pub mod table;
pub mod zones;

pub use buddy::{Buddy, MAX_ORDER, ORDERS};
pub use cache::FrameCache;
pub use error::FreeError;
pub use info::{Dropped, FrameInfo};
pub use owner::Owner;
pub use plan::Plan;
pub use table::{MappedTable, Table};
pub use zones::{Request, Zone, Zones};
