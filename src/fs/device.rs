//! Which driver is behind a device's number, and what is behind FIFOs and sockets.
//!
//! A device file is a number; whoever drives the device registers to be asked when one is opened. Drivers are
//! found by major number and a range of minor numbers, in a table that only grows.

use super::Result;
use super::file::Opened;
use super::flags::OpenFlags;
use super::inode::Inode;
use super::mode::{Device, Kind};
use super::refs::Ref;
use crate::errno::Errno;
use core::sync::atomic::{AtomicPtr, Ordering};

/// Opens a device. The number is the inode's; one that leads to nothing is ENXIO.
pub type Open = fn(&Ref<Inode>, OpenFlags) -> Result<Opened>;

/// What is registered.
#[derive(Debug)]
pub struct Driver {
    /// As `/proc/devices` names it.
    pub name: &'static str,
    /// Character or block device; or a socket, for which the numbers do not matter.
    pub kind: Kind,
    pub major: u32,
    /// First and last.
    pub minors: (u32, u32),
    pub open: Open,
}

impl Driver {
    fn serves(&self, kind: Kind, device: Device) -> bool {
        self.kind == kind
            && (!kind.is_device()
                || self.major == device.major && (self.minors.0..=self.minors.1).contains(&device.minor))
    }
}

/// How many there can be.
pub const DRIVERS_MAX: usize = 64;

static DRIVERS: [AtomicPtr<Driver>; DRIVERS_MAX] =
    [const { AtomicPtr::new(core::ptr::null_mut()) }; DRIVERS_MAX];

/// Makes a driver known; false if there is no place for it. An earlier one for the same numbers stays in front.
#[must_use]
pub fn register(driver: &'static Driver) -> bool {
    let new = core::ptr::from_ref(driver).cast_mut();
    DRIVERS.iter().any(|slot| {
        slot.compare_exchange(core::ptr::null_mut(), new, Ordering::Release, Ordering::Relaxed).is_ok()
    })
}

/// All of them, in the order in which they came.
pub fn drivers() -> impl Iterator<Item = &'static Driver> {
    // SAFETY: `register` alone writes these, and it takes `&'static`.
    DRIVERS.iter().map_while(|slot| unsafe { slot.load(Ordering::Acquire).as_ref() })
}

/// Opens what is no file of a file system's own.
pub(super) fn open(inode: &Ref<Inode>, flags: OpenFlags) -> Result<Opened> {
    let driver = drivers().find(|driver| driver.serves(inode.kind, inode.device));
    (driver.ok_or(Errno::Enxio)?.open)(inode, flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_kinds_decide() {
        let open: Open = |_, _| Err(Errno::Enxio);
        let ttys = Driver { name: "ttyS", kind: Kind::CharDevice, major: 4, minors: (64, 67), open };
        assert!(ttys.serves(Kind::CharDevice, Device::new(4, 64)));
        assert!(ttys.serves(Kind::CharDevice, Device::new(4, 67)));
        assert!(!ttys.serves(Kind::CharDevice, Device::new(4, 68)));
        assert!(!ttys.serves(Kind::CharDevice, Device::new(5, 64)));
        assert!(!ttys.serves(Kind::BlockDevice, Device::new(4, 64)));
        let sockets = Driver { name: "socket", kind: Kind::Socket, major: 0, minors: (0, 0), open };
        assert!(sockets.serves(Kind::Socket, Device::new(7, 7)));
    }
}
