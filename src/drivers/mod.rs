//! Device drivers: the hardware behind `platform`'s port and MMIO accessors, one file a device.
//!
//! A driver is generic over the few accesses it makes, so that its logic runs on the host against
//! a model of the registers; `platform` supplies the real ones.

pub mod fbcon;
#[cfg(target_os = "none")]
pub mod framebuffer;
#[cfg(any(test, target_os = "none"))]
pub mod pci;
pub mod serial;
