//! The checks of a build that has none: the same names, no size, no code.

use super::Seen;
use crate::sync::rank::Rank;

/// What a lock carries for them.
pub struct Tag;

impl Tag {
    pub const fn new(_: Rank) -> Self {
        Self
    }

    #[inline(always)]
    pub fn wanted(&self) {}

    #[inline(always)]
    pub fn taken(&self) {}

    #[inline(always)]
    pub fn taken_shared(&self) {}

    #[inline(always)]
    pub fn released(&self) {}

    #[inline(always)]
    pub fn stuck(&self) -> impl FnMut() {
        || ()
    }
}

/// What is kept of a task: nothing.
pub struct TaskLocks;

impl TaskLocks {
    pub const fn new() -> Self {
        Self
    }
}

impl Default for TaskLocks {
    fn default() -> Self {
        Self::new()
    }
}

/// Interrupts that were off for too long, to be told of.
pub struct TooLong;

impl TooLong {
    #[inline(always)]
    pub fn report(self) {}
}

#[inline(always)]
pub fn interrupts_off(_: bool) {}

#[inline(always)]
pub fn interrupts_on(_: bool) -> TooLong {
    TooLong
}

#[inline(always)]
pub fn may_sleep() {}

#[inline(always)]
pub fn task_ends() {}

/// What `on::seen_on` would know.
#[inline(always)]
pub fn seen_on(_: usize) -> Seen {
    Seen::default()
}

#[inline(always)]
pub fn note_shared_write() {}

pub fn counts() -> (u64, u64) {
    (0, 0)
}
