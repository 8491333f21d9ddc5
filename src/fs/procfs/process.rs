//! What /proc asks of those who know the processes: a layer above, which registers at boot.
//!
//! A [`Process`] is a view of one, or of one of its threads, that outlives it: all that is asked of it then is answered with
//! "gone". So nobody holds a lock while /proc is read, and a number that is given out again is another process. What kernel
//! threads do not have (memory, arguments, descriptors) need not be implemented: the answers that stand here are Linux's
//! for them.
//!
//! Everything here may sleep, unless it says otherwise.

use super::super::Result;
use super::super::cred::Credentials;
use super::super::fd::FdTable;
use super::super::format::Text;
use super::super::mode::Device;
use super::super::mount::Path;
use super::super::refs::{Counted, Ref};
use crate::errno::Errno;
use crate::task::CpuSet;

/// All processes.
pub trait Processes: Sync {
    /// The one with the lowest number that is not below `from`. Listing goes from one to the next: no lock is held in
    /// between, what is there throughout comes once, and what comes or goes meanwhile once or not at all.
    fn next(&self, from: u32) -> Option<Ref<dyn Process>>;
    /// A thread by its number: also the first one of a process, which is the process.
    fn find(&self, id: u32) -> Option<Ref<dyn Process>>;
    /// Process and thread of whoever asks.
    fn current(&self) -> Option<(u32, u32)>;
    /// How many threads there are; how many of them run or want to; how many wait for a device. Then the last number that
    /// was given out, and how many threads there ever were.
    fn counts(&self) -> Counts;
}

/// Threads, by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub threads: u64,
    pub running: u64,
    pub blocked: u64,
    pub last_id: u32,
    pub ever: u64,
}

/// What a thread is doing, by the letter that Linux has for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// It runs, or waits for a CPU.
    Running,
    /// It waits for something, and a signal would wake it.
    #[default]
    Sleeping,
    /// It waits for something, whatever signals come.
    Waiting,
    Stopped,
    Traced,
    Zombie,
    Dead,
    /// A kernel thread that has nothing to do.
    Idle,
}

impl State {
    pub const fn letter(self) -> char {
        match self {
            Self::Running => 'R',
            Self::Sleeping => 'S',
            Self::Waiting => 'D',
            Self::Stopped => 'T',
            Self::Traced => 't',
            Self::Zombie => 'Z',
            Self::Dead => 'X',
            Self::Idle => 'I',
        }
    }

    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Sleeping => "sleeping",
            Self::Waiting => "disk sleep",
            Self::Stopped => "stopped",
            Self::Traced => "tracing stop",
            Self::Zombie => "zombie",
            Self::Dead => "dead",
            Self::Idle => "idle",
        }
    }
}

/// Bits of a process's flags, as Linux has them and `ps` looks at them.
pub mod flags {
    /// It is ending.
    pub const EXITING: u32 = 0x4;
    /// It was forked and has not called `exec`.
    pub const FORKED: u32 = 0x40;
    /// It has had the rights of user 0.
    pub const SUPERPRIV: u32 = 0x100;
    /// A thread of the kernel's.
    pub const KERNEL_THREAD: u32 = 0x0020_0000;
}

/// How it is scheduled: Linux's number of the class, and what goes with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Class {
    /// 0 other, 1 FIFO, 2 round robin, 3 batch, 5 idle.
    pub policy: u32,
    /// 1 to 99 for the real-time ones, 0 for all others.
    pub real_time: u32,
    /// -20 to 19.
    pub nice: i32,
}

impl Class {
    /// As `stat` prints it: 0 to 39 for those who share, and below 0 for the real-time ones.
    pub const fn priority(self) -> i32 {
        if self.real_time > 0 { -1 - self.real_time as i32 } else { 20 + self.nice }
    }
}

/// Sets of signals: bit 0 is signal 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signals {
    /// Waiting for this thread, and for the process.
    pub pending: u64,
    pub shared_pending: u64,
    pub blocked: u64,
    pub ignored: u64,
    pub caught: u64,
    /// Waiting ones of the user's, and how many there may be.
    pub queued: u64,
    pub queue_limit: u64,
}

/// What a process has in memory; pages unless said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    pub size: u64,
    pub peak_size: u64,
    pub locked: u64,
    pub pinned: u64,
    /// What is present: nobody's file's, a file's, shared memory's; and the most that ever was.
    pub anonymous: u64,
    pub file: u64,
    pub shared: u64,
    pub peak_resident: u64,
    pub data: u64,
    pub stack: u64,
    /// The program's own code, and that of libraries.
    pub code: u64,
    pub library: u64,
    pub tables: u64,
    pub swapped: u64,
    /// Addresses.
    pub code_range: (u64, u64),
    pub data_range: (u64, u64),
    pub brk_start: u64,
    pub stack_start: u64,
    pub argument_range: (u64, u64),
    pub environment_range: (u64, u64),
}

impl Memory {
    pub const fn resident(&self) -> u64 {
        self.anonymous + self.file + self.shared
    }
}

/// What is known of a thread, as of one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub state: State,
    pub parent: u32,
    pub tracer: u32,
    pub group: u32,
    pub session: u32,
    /// The controlling terminal, and which group is in its foreground.
    pub terminal: Option<(Device, i32)>,
    /// Of [`flags`].
    pub flags: u32,
    /// Page faults that needed no device, and that did; its own and those of children that were waited for.
    pub faults: [u64; 2],
    pub child_faults: [u64; 2],
    /// Nanoseconds in programs and in the kernel.
    pub user_ns: u64,
    pub system_ns: u64,
    pub child_user_ns: u64,
    pub child_system_ns: u64,
    /// Nanoseconds that it waited for devices.
    pub device_wait_ns: u64,
    /// When it began, nanoseconds since the kernel's entry.
    pub start_ns: u64,
    pub class: Class,
    pub threads: u32,
    pub cpu: u32,
    pub voluntary_switches: u64,
    pub involuntary_switches: u64,
    pub umask: u32,
    /// The signal that its end is told by, and how it ended.
    pub exit_signal: i32,
    pub exit_code: i32,
    pub no_new_privileges: bool,
    pub resident_limit: u64,
    pub oom_score_adjustment: i32,
    pub personality: u32,
    pub signals: Signals,
}

/// Who it is, for permissions and capabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    pub inheritable: u64,
    pub permitted: u64,
    pub effective: u64,
    pub bounding: u64,
    pub ambient: u64,
}

/// All of them, of Linux's 41.
pub const ALL_CAPABILITIES: u64 = (1 << 41) - 1;

/// What of its memory is read as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bytes {
    /// Arguments, each with a 0 behind it.
    Arguments,
    Environment,
    /// What the kernel has put behind the environment: pairs of words.
    Auxiliary,
}

/// What an area of its memory is called.
#[derive(Clone, Debug)]
pub enum RegionName {
    Nothing,
    /// `[heap]`, `[stack]`, `[vdso]`.
    Word(&'static str),
    File(Path),
}

/// An area of its memory.
#[derive(Clone, Debug)]
pub struct Region {
    pub start: u64,
    pub end: u64,
    pub read: bool,
    pub write: bool,
    pub execute: bool,
    pub is_shared: bool,
    /// Bytes into the file.
    pub offset: u64,
    pub name: RegionName,
}

/// What of an area is present; pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Present {
    pub shared_clean: u64,
    pub shared_dirty: u64,
    pub private_clean: u64,
    pub private_dirty: u64,
    pub referenced: u64,
    pub anonymous: u64,
    pub locked: u64,
    /// Pages divided by those who have them, in 4,096ths.
    pub proportional: u64,
}

/// A limit: what counts, and up to where its owner may raise it; `u64::MAX` is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub soft: u64,
    pub hard: u64,
}

impl Limit {
    pub const NONE: Self = Self { soft: u64::MAX, hard: u64::MAX };
}

/// How many there are, by Linux's numbers (`RLIMIT_CPU` is 0).
pub const LIMITS: usize = 16;

/// What it has read and written: calls and bytes, and of them what went to devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Io {
    pub read_bytes: u64,
    pub written_bytes: u64,
    pub read_calls: u64,
    pub write_calls: u64,
    pub device_read_bytes: u64,
    pub device_written_bytes: u64,
    pub cancelled_bytes: u64,
}

/// A process or a thread of one.
pub trait Process: Send + Sync {
    /// The process's number.
    fn pid(&self) -> u32;
    /// The thread's; that of a process's first thread is the process's.
    fn id(&self) -> u32;
    /// Effective user and group; `None`: it is gone. Never waits, and may be called where nothing may sleep.
    fn owner(&self) -> Option<(u32, u32)>;
    /// `None`: it is gone. `whole`: the times, faults and switches of all its threads together.
    fn facts(&self, whole: bool) -> Option<Facts>;
    /// Writes its name, up to 15 bytes for a program.
    fn name(&self, to: &mut Text);

    /// Another name, if whoever asks may give it one.
    fn set_name(&self, name: &[u8]) -> Result<()> {
        let _ = name;
        Err(Errno::Einval)
    }

    fn credentials(&self) -> Result<Ref<Credentials>> {
        Credentials::root()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            permitted: ALL_CAPABILITIES,
            effective: ALL_CAPABILITIES,
            bounding: ALL_CAPABILITIES,
            ..Capabilities::default()
        }
    }

    /// Whether whoever asks may look into it: at its memory, its files, what it runs.
    fn may_be_looked_into(&self) -> bool {
        true
    }

    fn allowed_cpus(&self) -> CpuSet {
        CpuSet::ALL
    }

    /// The next of its threads, `from` on.
    fn next_thread(&self, from: u32) -> Option<Ref<dyn Process>>;

    fn root(&self) -> Result<Path>;
    fn cwd(&self) -> Result<Path>;

    /// The program that it runs; ENOENT: none.
    fn exe(&self) -> Result<Path> {
        Err(Errno::Enoent)
    }

    /// Its open files.
    fn files(&self) -> Option<Ref<FdTable>> {
        None
    }

    fn memory(&self) -> Option<Memory> {
        None
    }

    /// A number that is another one once it has executed another program.
    fn image(&self) -> u64 {
        0
    }

    /// Reads bytes of its own; returns how many, 0 at the end.
    fn bytes(&self, what: Bytes, at: u64, to: &mut [u8]) -> Result<usize> {
        let _ = (what, at, to);
        Ok(0)
    }

    /// The first area that ends above `from`.
    fn region(&self, from: u64) -> Result<Option<Region>> {
        let _ = from;
        Ok(None)
    }

    /// What of that area is present.
    fn present(&self, region: &Region) -> Present {
        let _ = region;
        Present::default()
    }

    fn limits(&self) -> [Limit; LIMITS] {
        [Limit::NONE; LIMITS]
    }

    fn io(&self) -> Io {
        Io::default()
    }
}

impl Ref<dyn Process> {
    /// A view made for this occasion.
    pub fn process<T: Process + 'static>(view: T) -> Result<Self> {
        Ok(Self::process_shared(Ref::new(view)?))
    }

    /// One that its owner has a reference to.
    pub fn process_shared<T: Process + 'static>(view: Ref<T>) -> Self {
        view.coerce(|at| at as *mut Counted<dyn Process>)
    }
}
