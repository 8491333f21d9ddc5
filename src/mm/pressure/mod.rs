//! What is done when memory is short.
//!
//! ```text
//! a CPU fetches frames, and a zone is at its low mark ──► it is noted (want), under the zones' lock
//!      the next request that may take its time ─────────► BATCH pages from those who keep some (relax)
//! a request would be refused ───────────────────────────► more of them, the last resorts too; again (persist)
//!      still nothing, for a call, for the kernel ───────► an error: ENOMEM
//!      still nothing, for a page fault ─────────────────► somebody has to go (out_of_memory)
//! ```
//!
//! A page fault has nobody to whom an error could be returned. Whoever owns address spaces chooses the program that
//! ends ([`set_victim_chooser`]); a line of the log says who it was and why.
//!
//! Nothing is given back in an interrupt handler, nor while something is being given back: a request made there is
//! refused at once. Never under the zones' lock, nor while a CPU's magazines are in hand: the heap asks for its own
//! pages at `frames::allocate`, which does not come here.

#[cfg(target_os = "none")]
mod live;
mod registry;
#[cfg(target_os = "none")]
mod victim;

#[cfg(target_os = "none")]
pub use live::{allocate_frame, for_each, init, persist, reclaim, reclaimed, register, relax, want};
pub use registry::{Manner, Registry, Shrinker, When};
#[cfg(target_os = "none")]
pub use victim::{Victim, out_of_memory, set_victim_chooser};
