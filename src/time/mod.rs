//! Time: clocks that only go forward, what they are measured by, and timers. Pure code, tested on the host.
//!
//! Nothing here touches a chip or uses another module of the crate: `arch` gives each counter that the
//! machine has a [`Counter`], and the glue above keeps the statics, takes the locks and programs the
//! comparators. What has a `const fn new()` can be a static. Nothing allocates, and every loop is bounded.
//!
//! - [`rate`]: nanoseconds per count, and back. [`counter`]: what a chip has to offer.
//! - [`choice`]: which counter becomes the clock, and why. [`watchdog`]: when it stops being that.
//! - [`calibrate`], [`refine`]: the rate of a counter that does not know its own. [`skew`]: whether two are alike.
//! - [`clock`]: monotonic nanoseconds, readable in any context. [`wall`], [`date`]: the time of day.
//! - [`page`]: what programs need to read the clock by themselves. [`queue`]: what is to happen when.
//!
//! Units stand in the names: `_ns` is nanoseconds, u64, which last 584 years; a bare count is a counter's
//! own.

pub mod calibrate;
pub mod choice;
pub mod clock;
pub mod counter;
pub mod date;
pub mod page;
#[cfg(any(test, target_os = "none"))]
pub mod queue;
pub mod rate;
pub mod refine;
pub mod skew;
pub mod wall;
pub mod watchdog;

/// Nanoseconds in a second.
pub const NS_PER_SECOND: u64 = 1_000_000_000;
