//! The machine's files.

pub mod cpu;
pub mod interrupts;
pub mod lists;
pub mod load;
pub mod memory;
pub mod slabs;
pub mod version;
pub mod zones;
