//! The kernel's own tree of files: what is mounted at boot, and what the initrd puts there.
//!
//! ```text
//! /        tmpfs: the initrd, unpacked, or nothing
//! /dev     devtmpfs: a node for what is driven
//! /dev/pts devpts: the terminals of programs
//! /dev/shm tmpfs: memory that programs share by name
//! /proc    procfs: the kernel itself
//! /tmp     tmpfs
//! ```
//!
//! It is there before there is a program: the monitor's `ls` and `cat` go through the same calls as programs will, as user
//! 0, from the root. An image that is damaged is refused by name and place; what came before the damage stays.

use crate::boot::layout::PAGE_SIZE;
use crate::errno::Errno;
use crate::fs::context::FsContext;
use crate::fs::cred::Credentials;
use crate::fs::dcache::Dcache;
use crate::fs::flags::MountFlags;
use crate::fs::initramfs;
use crate::fs::later;
use crate::fs::mount::{Mounts, Path};
use crate::fs::namei::{At, Caller};
use crate::fs::refs::Ref;
use crate::fs::super_block::FsType;
use crate::fs::tmpfs::{self, Options};
use crate::fs::unpack::Unpacker;
use crate::fs::{self, Result, devfs, devices, mapped, nameless, pagecache, procfs};
use crate::kernel::boot_info;
use crate::mm::frame::Owner;
use crate::mm::{frames, pressure};
use crate::platform::{Machine, Platform};
use crate::task::{self, JoinHandle, Policy};
use crate::tty::devpts;
use log::{error, info};
use spin::Once;

/// Everything that a caller needs.
struct Files {
    cache: Ref<Dcache>,
    mounts: Mounts,
    root: Path,
    context: FsContext,
    credentials: Ref<Credentials>,
}

static FILES: Once<Files> = Once::new();

/// The kinds of file systems that there are.
pub static TYPES: &[&dyn FsType] = &[&tmpfs::TYPE, &devfs::TYPE, &procfs::TYPE, &devpts::TYPE];

/// One entry of the cache for so many frames.
const FRAMES_PER_ENTRY: u64 = 4;
/// And no fewer, nor more.
const ENTRIES: (u64, u64) = (1 << 10, 1 << 18);
/// Frames that so many entries take, with their inodes, roughly: what the cache says that it can give back.
const ENTRIES_PER_FRAME: u64 = 8;

static SHRINKER: pressure::Shrinker = pressure::Shrinker {
    name: "directory entries",
    when: pressure::When::Low,
    count: || FILES.get().map_or(0, |files| files.cache.counts().entries as u64 / ENTRIES_PER_FRAME),
    scan: |pages, _| {
        let wanted = usize::try_from(pages.saturating_mul(ENTRIES_PER_FRAME)).unwrap_or(usize::MAX);
        FILES.get().map_or(0, |files| files.cache.reclaim(wanted) as u64 / ENTRIES_PER_FRAME)
    },
};

/// Who calls as the kernel itself: user 0, in the root. `None` before there are files.
pub fn caller() -> Option<Caller<'static>> {
    let files = FILES.get()?;
    Some(Caller { mounts: &files.mounts, context: &files.context, credentials: &files.credentials })
}

/// Names that were looked up.
pub fn cache() -> Option<&'static Ref<Dcache>> {
    FILES.get().map(|files| &files.cache)
}

fn make() -> Result<Files> {
    let entries = (frames::managed_frames() / FRAMES_PER_ENTRY).clamp(ENTRIES.0, ENTRIES.1);
    let cache = Dcache::new(entries as usize)?;
    let mounts = Mounts::new()?;
    let options = Options { mode: 0o755, ..Options::NONE };
    let (block, _) = tmpfs::make(&cache, &tmpfs::TYPE, options)?;
    nameless::init(&cache)?;
    let root = mounts.mount_root(block, b"rootfs", MountFlags::RELATIME)?;
    let context = FsContext::new(&root)?;
    Ok(Files { cache, mounts, root, context, credentials: Credentials::root()? })
}

/// Mounts what there is, with the initrd in it.
pub fn init(initrd: &[u8]) {
    assert!(devices::init(), "the first driver has a place");
    assert!(pressure::register(&SHRINKER), "there is a place for one more who gives memory back");
    mapped::init();
    tmpfs::set_default_limit(frames::managed_frames() / 2);
    let files = match make() {
        Ok(files) => FILES.call_once(|| files),
        Err(error) => {
            error!(target: "files", "there are none: {error}");
            return;
        }
    };
    super::procfs::init();
    start_ending();
    if !initrd.is_empty() && unpack(files, initrd) {
        give_back_initrd();
    }
    if !pagecache::live::start_write_back() {
        error!(target: "files", "no memory for the write-back thread");
    }
    let mounted = MOUNTED.iter().try_for_each(|mounted| mount(files, mounted));
    match mounted {
        Ok(()) => {
            let limit = (frames::managed_frames() / 2 * PAGE_SIZE) >> 20;
            info!(target: "files", "tmpfs on / and /tmp, at most {limit} MiB each; devtmpfs on /dev; proc on /proc");
        }
        Err(error) => error!(target: "files", "not all is mounted: {error}"),
    }
}

/// The thread that ends what others have let go of where they could not.
static ENDING: Once<JoinHandle> = Once::new();

fn start_ending() {
    match task::spawn("files", Policy::Normal(0), end_files, 0) {
        Ok(handle) => {
            ENDING.call_once(|| handle);
            later::leave_to(|| {
                if let Some(handle) = ENDING.get() {
                    task::unpark(handle.thread());
                }
            });
        }
        Err(_) => {
            error!(target: "files", "no memory for the thread that ends them: who has names given back does")
        }
    }
}

fn end_files(_: usize) -> usize {
    loop {
        later::end_all();
        task::park();
    }
}

/// Something that is mounted on top of the root.
struct Mounted {
    on: &'static [u8],
    kind: &'static dyn FsType,
    /// Of the directory, if it is to be made.
    mode: u32,
    flags: MountFlags,
    options: &'static [u8],
}

const fn mounted(on: &'static str, kind: &'static dyn FsType, mode: u32, options: &'static str) -> Mounted {
    let flags = MountFlags::RELATIME.union(MountFlags::NOSUID);
    Mounted { on: on.as_bytes(), kind, mode, flags, options: options.as_bytes() }
}

/// All of it, in this order.
static MOUNTED: &[Mounted] = &[
    mounted("/dev", &devfs::TYPE, 0o755, ""),
    mounted("/dev/pts", &devpts::TYPE, 0o755, "gid=5,mode=620,ptmxmode=666"),
    mounted("/dev/shm", &tmpfs::TYPE, 0o755, "mode=1777"),
    mounted("/proc", &procfs::TYPE, 0o555, ""),
    mounted("/tmp", &tmpfs::TYPE, 0o1777, ""),
];

/// Mounts one of them, on a directory that is made if need be.
fn mount(files: &'static Files, mounted: &Mounted) -> Result<()> {
    let Some(caller) = caller() else { return Err(Errno::Enodev) };
    let Mounted { on, kind, mode, flags, options } = *mounted;
    match caller.mkdir(At::Cwd, on, mode) {
        Ok(()) | Err(Errno::Eexist) => (),
        Err(error) => return Err(error),
    }
    caller.mount(&files.cache, kind, kind.name().as_bytes(), on, flags, options).map(|_| ())
}

/// Nobody looks at the image any more.
fn give_back_initrd() {
    let Some(range) = boot_info::initrd_frames() else { return };
    let before = frames::free_frames();
    match frames::give_back(range, Owner::Initrd) {
        Ok(()) => {
            let more = frames::free_frames() - before;
            info!(target: "files", "initrd: its {} KiB of memory are free", more * PAGE_SIZE / 1024);
        }
        Err(error) => error!(target: "files", "initrd: its memory stays: {error:?}"),
    }
}

/// The initrd becomes files. False if not all of it does: then it stays in memory, to be looked at.
fn unpack(files: &'static Files, image: &[u8]) -> bool {
    let Some(caller) = caller() else { return false };
    let umask = files.context.set_umask(0);
    let mut unpacker = Unpacker::new(caller, &files.root);
    let start_ns = Machine::now_ns();
    let result = initramfs::unpack(image, &mut unpacker);
    let times = unpacker.finish();
    files.context.set_umask(umask);
    fs::tidy();
    let is_whole = result.is_ok();
    match result {
        Ok(found) => info!(
            target: "files",
            "initrd: {} entries, {} bytes of contents, unpacked to / in {} ms; archives: {}, gzip members: {}",
            found.entries,
            found.data_bytes,
            (Machine::now_ns() - start_ns) / 1_000_000,
            found.archives,
            found.members
        ),
        Err(error) => error!(target: "files", "initrd: {error}; what came before is unpacked"),
    }
    if let Err(error) = times {
        error!(target: "files", "initrd: directories' times: {error}");
    }
    is_whole
}
