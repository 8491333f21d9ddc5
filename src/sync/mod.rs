//! Locks, and what needs none because each CPU has its own.

pub mod irq_lock;
pub mod per_cpu;

pub use irq_lock::IrqLock;
pub use per_cpu::{CPUS, PerCpuCell};
