//! The checks of a build that has none: the same names, no size, no code.

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
