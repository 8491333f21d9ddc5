//! Files: what they are kept in, what they are called, and where their contents come from.

pub mod format;
pub mod initramfs;
