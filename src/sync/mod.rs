//! Locks. What needs none because each CPU has its own is in `arch::x86_64::percpu`.

pub mod irq_lock;
pub mod preempt_lock;
pub mod rw_lock;

pub use irq_lock::IrqLock;
pub use preempt_lock::{PreemptGuard, PreemptLock};
pub use rw_lock::RwLock;
