//! Which files there are: names, modes, and who makes their text.

use super::super::format::Text;
use super::process::{Bytes, Process};
use super::settings::Setting;
use super::{Sources, global, of};

/// Makes the record behind `after` of one of the machine's files; `None` past the last.
pub type MakeGlobal = fn(&Sources, Option<u64>, &mut Text) -> Option<u64>;
/// The same of a process's.
pub type MakeOf = fn(&Sources, &dyn Process, Option<u64>, &mut Text) -> Option<u64>;

/// Where a link of a process's leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Root,
    Cwd,
    Exe,
}

/// What a name is.
#[derive(Clone, Copy)]
pub enum What {
    Global(MakeGlobal),
    Of(MakeOf),
    /// Its name, which can be written.
    Name,
    Raw(Bytes),
    Setting(Setting),
    Directory(&'static [Entry]),
    /// To a path.
    Link(&'static str),
    /// To whoever asks, and to his thread.
    Itself,
    ThreadItself,
    /// To a place of the process's.
    Place(Place),
    Tasks,
    Fds,
    FdInfos,
}

/// A name in a directory.
pub struct Entry {
    pub name: &'static str,
    /// Without the kind's bits.
    pub mode: u32,
    pub what: What,
}

impl Entry {
    /// Whether it is only for who may look into the process.
    pub fn is_private(&self) -> bool {
        self.mode & 0o044 == 0 || matches!(self.name, "maps" | "smaps" | "smaps_rollup")
    }
}

const fn entry(name: &'static str, mode: u32, what: What) -> Entry {
    Entry { name, mode, what }
}

const fn text(name: &'static str, make: MakeGlobal) -> Entry {
    entry(name, 0o444, What::Global(make))
}

const fn of(name: &'static str, make: MakeOf) -> Entry {
    entry(name, 0o444, What::Of(make))
}

const fn dir(name: &'static str, entries: &'static [Entry]) -> Entry {
    entry(name, 0o555, What::Directory(entries))
}

/// One that says what holds.
const fn fixed(name: &'static str, which: Setting) -> Entry {
    entry(name, 0o444, What::Setting(which))
}

/// One that can be changed.
const fn setting(name: &'static str, which: Setting) -> Entry {
    entry(name, 0o644, What::Setting(which))
}

/// /proc itself. Processes come behind these.
pub static ROOT: &[Entry] = &[
    text("buddyinfo", global::zones::buddyinfo),
    text("cmdline", global::version::command_line),
    text("cpuinfo", global::cpu::info),
    text("devices", global::lists::devices),
    text("filesystems", global::lists::filesystems),
    text("interrupts", global::interrupts::make),
    text("loadavg", global::load::make),
    text("meminfo", global::memory::meminfo),
    entry("mounts", 0o777, What::Link("self/mounts")),
    text("partitions", global::lists::partitions),
    entry("self", 0o777, What::Itself),
    entry("slabinfo", 0o400, What::Global(global::slabs::make)),
    text("stat", global::cpu::stat),
    text("swaps", global::lists::swaps),
    dir("sys", SYS),
    entry("thread-self", 0o777, What::ThreadItself),
    text("uptime", global::cpu::uptime),
    text("version", global::version::version),
    text("vmstat", global::memory::vmstat),
    text("zoneinfo", global::zones::zoneinfo),
];

static SYS: &[Entry] = &[dir("fs", SYS_FS), dir("kernel", SYS_KERNEL), dir("vm", SYS_VM)];

static SYS_FS: &[Entry] = &[
    fixed("file-max", Setting::FileMax),
    fixed("nr_open", Setting::OpenMax),
    fixed("overflowgid", Setting::OverflowGid),
    fixed("overflowuid", Setting::OverflowUid),
    fixed("pipe-max-size", Setting::PipeMaxSize),
    setting("pipe-user-pages-hard", Setting::PipePagesHard),
    setting("pipe-user-pages-soft", Setting::PipePagesSoft),
];

static SYS_KERNEL: &[Entry] = &[
    fixed("cap_last_cap", Setting::CapLastCap),
    fixed("core_pattern", Setting::CorePattern),
    fixed("domainname", Setting::DomainName),
    setting("hostname", Setting::HostName),
    fixed("ngroups_max", Setting::GroupsMax),
    fixed("osrelease", Setting::OsRelease),
    fixed("ostype", Setting::OsType),
    fixed("overflowgid", Setting::OverflowGid),
    fixed("overflowuid", Setting::OverflowUid),
    fixed("panic", Setting::Panic),
    fixed("pid_max", Setting::PidMax),
    setting("printk", Setting::Printk),
    dir("pty", &[fixed("max", Setting::PtysMax), fixed("nr", Setting::PtysInUse)]),
    dir(
        "random",
        &[
            fixed("boot_id", Setting::BootId),
            fixed("entropy_avail", Setting::EntropyAvailable),
            fixed("poolsize", Setting::PoolSize),
            fixed("uuid", Setting::Uuid),
        ],
    ),
    fixed("randomize_va_space", Setting::RandomizeVaSpace),
    fixed("tainted", Setting::Tainted),
    fixed("threads-max", Setting::ThreadsMax),
    fixed("version", Setting::Version),
];

static SYS_VM: &[Entry] = &[
    fixed("dirty_background_ratio", Setting::DirtyBackgroundRatio),
    fixed("dirty_ratio", Setting::DirtyRatio),
    entry("drop_caches", 0o200, What::Setting(Setting::DropCaches)),
    fixed("max_map_count", Setting::MaxMapCount),
    fixed("min_free_kbytes", Setting::MinFreeKbytes),
    fixed("mmap_min_addr", Setting::MmapMinAddr),
    fixed("overcommit_memory", Setting::OvercommitMemory),
    fixed("overcommit_ratio", Setting::OvercommitRatio),
    fixed("swappiness", Setting::Swappiness),
];

/// A process's directory; a thread's has all but the first.
pub static PROCESS: &[Entry] = &[
    entry("task", 0o555, What::Tasks),
    entry("auxv", 0o400, What::Raw(Bytes::Auxiliary)),
    entry("cmdline", 0o444, What::Raw(Bytes::Arguments)),
    entry("comm", 0o644, What::Name),
    entry("cwd", 0o777, What::Place(Place::Cwd)),
    entry("environ", 0o400, What::Raw(Bytes::Environment)),
    entry("exe", 0o777, What::Place(Place::Exe)),
    entry("fd", 0o500, What::Fds),
    entry("fdinfo", 0o555, What::FdInfos),
    entry("io", 0o400, What::Of(of::limits::io)),
    of("limits", of::limits::limits),
    of("loginuid", of::status::login_user),
    of("maps", of::maps::maps),
    of("mountinfo", of::mounts::mountinfo),
    of("mounts", of::mounts::mounts),
    of("oom_score_adj", of::status::oom_score_adjustment),
    entry("personality", 0o400, What::Of(of::status::personality)),
    entry("root", 0o777, What::Place(Place::Root)),
    of("smaps", of::maps::smaps),
    of("smaps_rollup", of::maps::smaps_rollup),
    of("stat", of::stat::stat),
    of("statm", of::stat::statm),
    of("status", of::status::status),
    of("wchan", of::stat::wait_channel),
];

/// How many of a process's come before those that threads have too.
pub const PROCESS_ONLY: usize = 1;
