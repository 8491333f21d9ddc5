//! Locks, and what needs none because each CPU has its own.

pub mod irq_lock;
pub mod per_cpu;
pub mod rw_lock;

pub use irq_lock::IrqLock;
pub use per_cpu::{CPUS, PerCpuCell};
pub use rw_lock::RwLock;
