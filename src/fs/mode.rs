//! A file's mode: what kind it is, and who may do what. Linux's numbers (`sys/stat.h`).

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A FIFO. The numbers are those of directory entries (`DT_*`), and the mode's upper four bits.
    Fifo = 1,
    CharDevice = 2,
    Directory = 4,
    BlockDevice = 6,
    Regular = 8,
    Symlink = 10,
    Socket = 12,
}

impl Kind {
    /// By the mode's upper bits.
    pub const fn from_mode(mode: u32) -> Option<Self> {
        Some(match (mode & FORMAT) >> 12 {
            1 => Self::Fifo,
            2 => Self::CharDevice,
            4 => Self::Directory,
            6 => Self::BlockDevice,
            8 => Self::Regular,
            10 => Self::Symlink,
            12 => Self::Socket,
            _ => return None,
        })
    }

    /// The mode's upper bits.
    pub const fn bits(self) -> u32 {
        (self as u32) << 12
    }

    pub const fn is_device(self) -> bool {
        matches!(self, Self::CharDevice | Self::BlockDevice)
    }
}

/// The bits of the kind.
pub const FORMAT: u32 = 0o170000;
/// All others.
pub const PERMISSIONS: u32 = 0o7777;
/// A program runs as its owner.
pub const SETUID: u32 = 0o4000;
/// A program runs as its group; what is made in a directory belongs to the directory's.
pub const SETGID: u32 = 0o2000;
/// Only owners take things out of a directory.
pub const STICKY: u32 = 0o1000;
/// The group may run it.
pub const GROUP_EXECUTE: u32 = 0o010;
/// Somebody may run it.
pub const ANY_EXECUTE: u32 = 0o111;

/// The numbers of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Device {
    /// 12 bits.
    pub major: u32,
    /// 20 bits.
    pub minor: u32,
}

impl Device {
    pub const NONE: Self = Self { major: 0, minor: 0 };

    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    /// As `stat` gives it: the low eight bits of the minor number, twelve of the major one, the rest.
    pub const fn encode(self) -> u64 {
        let (major, minor) = (self.major as u64, self.minor as u64);
        minor & 0xFF | (major & 0xFFF) << 8 | (minor & !0xFF) << 12 | (major & !0xFFF) << 32
    }

    /// As `mknod` takes it, in 32 bits.
    pub const fn decode(number: u32) -> Self {
        Self { major: number >> 8 & 0xFFF, minor: number & 0xFF | number >> 12 & 0xF_FF00 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_are_linuxs() {
        assert_eq!(Device::new(8, 1).encode(), 0x801);
        assert_eq!(Device::new(259, 0x12345).encode(), 0x1231_0345);
        for device in [Device::new(1, 3), Device::new(0xFFF, 0xF_FFFF), Device::new(136, 1000)] {
            assert_eq!(Device::decode(device.encode() as u32), device);
        }
    }

    #[test]
    fn kinds_are_the_modes_bits() {
        assert_eq!(Kind::from_mode(0o100644), Some(Kind::Regular));
        assert_eq!(Kind::from_mode(0o040755), Some(Kind::Directory));
        assert_eq!(Kind::from_mode(0o120777), Some(Kind::Symlink));
        assert_eq!(Kind::from_mode(0o020666), Some(Kind::CharDevice));
        assert_eq!(Kind::from_mode(0o150000), None);
        assert_eq!(Kind::Directory.bits(), 0o040000);
    }
}
