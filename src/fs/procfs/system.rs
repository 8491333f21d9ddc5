//! What /proc asks of those who know the machine: a layer above, which registers at boot.
//!
//! Plain figures as of one moment. What a machine or a kernel does not have is `None`, or not there.

use super::super::Result;
use super::super::format::Text;
use super::super::mount::Mounts;
use super::super::super_block::FsType;
use super::settings::Setting;

/// Where a CPU's time went; nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTimes {
    pub user: u64,
    pub nice: u64,
    pub system: u64,
    pub idle: u64,
    pub device_wait: u64,
    pub interrupts: u64,
    pub deferred: u64,
}

impl CpuTimes {
    pub const fn plus(self, other: Self) -> Self {
        Self {
            user: self.user + other.user,
            nice: self.nice + other.nice,
            system: self.system + other.system,
            idle: self.idle + other.idle,
            device_wait: self.device_wait + other.device_wait,
            interrupts: self.interrupts + other.interrupts,
            deferred: self.deferred + other.deferred,
        }
    }
}

/// What is counted of interrupts. The order is that of /proc/interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupt {
    /// Where to go on behind it.
    pub key: u32,
    /// Of a device, its number; of what CPUs do among themselves, three letters.
    pub label: Label,
    /// Chip and line, and who asked for it; or what it is for.
    pub chip: &'static str,
    pub name: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    Number(u32),
    Letters(&'static str),
}

/// What memory is used for; pages unless said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    pub total: u64,
    pub free: u64,
    /// What programs could have without anything having to be paged out.
    pub available: u64,
    /// Pieces of files, and what of shared memory.
    pub files: u64,
    pub shared: u64,
    pub dirty: u64,
    pub writing: u64,
    pub anonymous: u64,
    pub mapped: u64,
    pub slabs_reclaimable: u64,
    pub slabs_kept: u64,
    pub stacks: u64,
    pub tables: u64,
    pub per_cpu: u64,
    pub commit_limit: u64,
    pub committed: u64,
    pub vmalloc_total: u64,
    pub vmalloc_used: u64,
    /// Of the direct map: pages of 4 KiB, 2 MiB, 1 GiB, in KiB of memory.
    pub direct_kib: [u64; 3],
}

/// Orders of blocks that are told apart.
pub const ORDERS: usize = 11;

/// A zone of memory; pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoneUse {
    pub name: &'static str,
    pub free: u64,
    pub min: u64,
    pub low: u64,
    pub high: u64,
    pub spanned: u64,
    pub present: u64,
    pub managed: u64,
    pub first_frame: u64,
    /// Free blocks, by order.
    pub blocks: [u64; ORDERS],
}

/// A cache of the heap's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlabUse {
    pub name: &'static str,
    pub used: usize,
    pub room: usize,
    pub size: usize,
    pub per_slab: usize,
    pub pages_per_slab: usize,
    pub used_slabs: usize,
    pub slabs: usize,
}

/// Sums since the start, for /proc/vmstat: by Linux's names.
pub type Counter = (&'static str, u64);

/// The machine, and the kernel as a whole.
pub trait System: Sync {
    fn mounts(&self) -> Option<&Mounts>;
    fn types(&self) -> &[&'static dyn FsType];
    /// As the kernel was given it.
    fn command_line(&self) -> &str;

    /// Nanoseconds since the kernel's entry.
    fn now_ns(&self) -> u64;
    /// Nanoseconds since 1970; 0 if the machine does not know.
    fn unix_ns(&self) -> i64;
    /// The mean number of threads that ran or wanted to, of 1, 5 and 15 minutes, in 2,048ths.
    fn load(&self) -> [u64; 3];

    /// The next CPU in use, `from` on.
    fn next_cpu(&self, from: usize) -> Option<usize>;
    fn cpu_times(&self, cpu: usize) -> CpuTimes;
    /// Writes what /proc/cpuinfo says of it.
    fn describe_cpu(&self, cpu: usize, to: &mut Text);

    /// The first interrupt with a key of at least `from`.
    fn next_interrupt(&self, from: u32) -> Option<Interrupt>;
    /// How often a CPU has taken it.
    fn interrupt_count(&self, key: u32, cpu: usize) -> u64;
    /// Interrupts that were errors.
    fn interrupt_errors(&self) -> u64;

    /// Switches from a thread to another.
    fn switches(&self) -> u64;

    fn memory(&self) -> MemoryUse;
    fn zone(&self, index: usize) -> Option<ZoneUse>;
    /// The `index`th cache of the heap's.
    fn slab(&self, index: usize) -> Option<SlabUse>;
    /// Sums that are kept, beside what the others say.
    fn counter(&self, index: usize) -> Option<Counter>;

    /// Writes a setting's value, without a line's end.
    fn setting(&self, which: Setting, to: &mut Text);
    /// Another value; `text` is without the line's end. EINVAL for what makes no sense, EPERM for what is not to be
    /// changed.
    fn set(&self, which: Setting, text: &[u8]) -> Result<()>;
}
