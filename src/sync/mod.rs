//! Locks.

pub mod irq_lock;

pub use irq_lock::IrqLock;
