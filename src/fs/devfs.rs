//! The file system of /dev: a tmpfs that begins with the nodes of what the kernel drives.
//!
//! Drivers say which nodes they want ([`add`]), by names, numbers and modes of Linux's; what is behind the numbers is in
//! [`device`](super::device). Whoever mounts one gets the nodes of all who have spoken until then, and may add and remove
//! others as in any tmpfs: a node is a name for a number and nothing more.
//!
//! Source: Linux Documentation/admin-guide/devices.txt.

use super::Result;
use super::dcache::Dcache;
use super::inode::{Inode, New};
use super::mode::{self, Device, Kind};
use super::refs::Ref;
use super::super_block::{FsFlags, FsType, SuperBlock};
use super::tmpfs::{self, Options};
use crate::errno::Errno;
use core::sync::atomic::{AtomicPtr, Ordering};

/// A file in /dev.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    pub name: &'static str,
    pub kind: Kind,
    /// Who may do what, without the kind's bits.
    pub mode: u32,
    pub gid: u32,
    /// Of a device.
    pub device: Device,
    /// Of a symbolic link.
    pub target: &'static str,
}

impl Node {
    /// A character device that belongs to user 0 and group 0.
    pub const fn character(name: &'static str, mode: u32, major: u32, minor: u32) -> Self {
        Self { name, kind: Kind::CharDevice, mode, gid: 0, device: Device::new(major, minor), target: "" }
    }

    /// An empty directory.
    pub const fn directory(name: &'static str, mode: u32) -> Self {
        Self { name, kind: Kind::Directory, mode, gid: 0, device: Device::NONE, target: "" }
    }

    /// A symbolic link.
    pub const fn link(name: &'static str, target: &'static str) -> Self {
        Self { name, kind: Kind::Symlink, mode: 0o777, gid: 0, device: Device::NONE, target }
    }
}

/// Nodes that one driver wants.
pub struct Nodes(pub &'static [Node]);

/// How many may speak.
pub const NODES_MAX: usize = 32;

static NODES: [AtomicPtr<Nodes>; NODES_MAX] = [const { AtomicPtr::new(core::ptr::null_mut()) }; NODES_MAX];

/// Wants nodes in every /dev that is mounted from now on; false if there is no place for one more who does.
#[must_use]
pub fn add(nodes: &'static Nodes) -> bool {
    let new = core::ptr::from_ref(nodes).cast_mut();
    NODES.iter().any(|slot| {
        slot.compare_exchange(core::ptr::null_mut(), new, Ordering::Release, Ordering::Relaxed).is_ok()
    })
}

/// All that are wanted, in the order in which they came.
pub fn nodes() -> impl Iterator<Item = &'static Node> {
    // SAFETY: `add` alone writes these, and it takes `&'static`.
    let all = NODES.iter().map_while(|slot| unsafe { slot.load(Ordering::Acquire).as_ref() });
    all.flat_map(|nodes| nodes.0)
}

/// The kind.
pub struct Type;

/// What `mount` calls it.
pub static TYPE: Type = Type;

impl FsType for Type {
    fn name(&self) -> &'static str {
        "devtmpfs"
    }

    fn flags(&self) -> FsFlags {
        FsFlags::NO_DEVICE
    }

    fn mount(
        &self,
        cache: &Ref<Dcache>,
        _: &[u8],
        options: &[u8],
        is_read_only: bool,
    ) -> Result<Ref<SuperBlock>> {
        let mut options = Options::parse(options)?;
        if options.mode == Options::NONE.mode {
            options.mode = 0o755;
        }
        let (block, _) = tmpfs::make(cache, &TYPE, options)?;
        // The options may leave no room for all.
        fill(&block).inspect_err(|_| block.abandon())?;
        block.set_read_only(is_read_only);
        Ok(block)
    }
}

/// Makes all that are wanted.
fn fill(block: &SuperBlock) -> Result<()> {
    let root = block.root()?;
    let root = root.inode().ok_or(Errno::Enoent)?;
    for node in nodes() {
        match make(block, root, node) {
            // Two who want the same: the first has it.
            Ok(()) | Err(Errno::Eexist) => (),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn make(block: &SuperBlock, root: &Inode, node: &Node) -> Result<()> {
    let new = New {
        kind: node.kind,
        mode: node.mode & mode::PERMISSIONS,
        uid: 0,
        gid: node.gid,
        device: node.device,
        target: node.target.as_bytes(),
    };
    let _tree = block.tree.read();
    let _lock = root.lock.write();
    if root.ops.lookup(root, node.name.as_bytes())?.is_some() {
        return Err(Errno::Eexist);
    }
    root.ops.create(root, node.name.as_bytes(), &new).map(|_| ())
}
