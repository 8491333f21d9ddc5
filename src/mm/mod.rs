//! Memory. So far only what the time before memory management needs.

pub mod early;
