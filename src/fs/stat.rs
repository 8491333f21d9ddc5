//! What `stat`, `statx` and `statfs` say of a file, and the structures in which Linux's programs want it.
//!
//! Source: the kernel's `struct stat` of x86_64 (144 bytes), `struct statx` (256), `struct statfs` (120).

use super::inode::Inode;
use super::mode::Device;
use super::super_block::SuperBlock;
use super::time::{Time, Times};

/// What is known of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    pub device: Device,
    pub inode: u64,
    pub mode: u32,
    pub links: u32,
    pub uid: u32,
    pub gid: u32,
    /// Of a device file.
    pub of_device: Device,
    pub size: u64,
    pub block_size: u32,
    /// In units of 512 bytes.
    pub blocks: u64,
    pub times: Times,
    /// The mount it was looked at through.
    pub mount: u64,
    pub is_mount_root: bool,
}

/// What `statx` is asked for and answers: type to blocks are the basic ones.
pub const STATX_BASIC: u32 = 0x7FF;
pub const STATX_BTIME: u32 = 0x800;
pub const STATX_MNT_ID: u32 = 0x1000;
const STATX_ATTR_MOUNT_ROOT: u64 = 0x2000;

/// Puts numbers into bytes, little end first.
struct Bytes<const N: usize>([u8; N]);

impl<const N: usize> Bytes<N> {
    fn put<const L: usize>(&mut self, at: usize, bytes: [u8; L]) {
        self.0[at..at + L].copy_from_slice(&bytes);
    }

    fn u64(&mut self, at: usize, value: u64) {
        self.put(at, value.to_le_bytes());
    }

    fn u32(&mut self, at: usize, value: u32) {
        self.put(at, value.to_le_bytes());
    }
}

impl Stat {
    /// Of an inode. Takes no lock.
    pub fn of(inode: &Inode) -> Self {
        let owner = inode.owner();
        Self {
            device: inode.fs.device,
            inode: inode.number,
            mode: owner.mode,
            links: inode.links(),
            uid: owner.uid,
            gid: owner.gid,
            of_device: inode.device,
            size: inode.ops.size(),
            block_size: inode.fs.block_size,
            blocks: inode.ops.blocks(),
            times: inode.times(),
            mount: 0,
            is_mount_root: false,
        }
    }

    /// `struct stat`.
    pub fn to_stat(&self) -> [u8; 144] {
        let mut out = Bytes([0; 144]);
        out.u64(0, self.device.encode());
        out.u64(8, self.inode);
        out.u64(16, u64::from(self.links));
        out.u32(24, self.mode);
        out.u32(28, self.uid);
        out.u32(32, self.gid);
        out.u64(40, self.of_device.encode());
        out.u64(48, self.size);
        out.u64(56, u64::from(self.block_size));
        out.u64(64, self.blocks);
        let times = [self.times.accessed, self.times.modified, self.times.changed];
        for (n, time) in times.into_iter().enumerate() {
            out.u64(72 + 16 * n, time.seconds as u64);
            out.u64(80 + 16 * n, u64::from(time.nanoseconds));
        }
        out.0
    }

    /// `struct statx`: everything that there is, whatever was asked for.
    pub fn to_statx(&self) -> [u8; 256] {
        let mut out = Bytes([0; 256]);
        out.u32(0, STATX_BASIC | STATX_BTIME | STATX_MNT_ID);
        out.u32(4, self.block_size);
        out.u64(8, if self.is_mount_root { STATX_ATTR_MOUNT_ROOT } else { 0 });
        out.u32(16, self.links);
        out.u32(20, self.uid);
        out.u32(24, self.gid);
        out.put(28, (self.mode as u16).to_le_bytes());
        out.u64(32, self.inode);
        out.u64(40, self.size);
        out.u64(48, self.blocks);
        out.u64(56, STATX_ATTR_MOUNT_ROOT);
        let time = |out: &mut Bytes<256>, at: usize, time: Time| {
            out.u64(at, time.seconds as u64);
            out.u32(at + 8, time.nanoseconds);
        };
        time(&mut out, 64, self.times.accessed);
        time(&mut out, 80, self.times.born);
        time(&mut out, 96, self.times.changed);
        time(&mut out, 112, self.times.modified);
        out.u32(128, self.of_device.major);
        out.u32(132, self.of_device.minor);
        out.u32(136, self.device.major);
        out.u32(140, self.device.minor);
        out.u64(144, self.mount);
        out.0
    }
}

/// `struct statfs`; `mount_flags` are the `ST_*` of the mount.
pub fn statfs(fs: &SuperBlock, mount_flags: u64) -> [u8; 120] {
    const ST_VALID: u64 = 0x20;
    let found = fs.ops.statfs();
    let mut out = Bytes([0; 120]);
    out.u64(0, u64::from(fs.magic));
    out.u64(8, u64::from(fs.block_size));
    out.u64(16, found.blocks);
    out.u64(24, found.free);
    out.u64(32, found.available);
    out.u64(40, found.files);
    out.u64(48, found.free_files);
    out.u64(56, fs.device.encode());
    out.u64(64, super::inode::NAME_MAX as u64);
    out.u64(72, u64::from(fs.block_size));
    out.u64(80, mount_flags | ST_VALID);
    out.0
}
