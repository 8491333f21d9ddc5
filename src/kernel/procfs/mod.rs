//! What /proc is told: the kernel's part of `fs::procfs`.
//!
//! ```text
//! programs     processes, and behind them the kernel's threads ─► procfs::Processes
//! threads      the latter, shown as Linux shows its own
//! machine      CPUs, interrupts, memory, settings              ─► procfs::System
//! cpu          what /proc/cpuinfo says of a CPU
//! interrupts   vectors, by Linux's numbers and letters
//! load         how many threads run or want to, in the mean
//! settings     /proc/sys
//! ```

mod cpu;
mod interrupts;
pub mod load;
mod machine;
mod programs;
mod settings;
mod threads;

use crate::fs::procfs::{self, Sources};

/// From here on a /proc can be mounted. Once.
pub fn init() {
    load::init();
    settings::init();
    procfs::register(Sources { processes: &programs::EVERYBODY, system: &machine::MACHINE });
}
