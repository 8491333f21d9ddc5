//! The order in which locks may be taken: one table for the whole kernel.
//!
//! Every lock has a rank, and whoever holds one takes only locks that stand below it in this table. Then nobody can wait
//! in a circle: in each wait the one who waits holds less than what he waits for. Two locks of one rank are never held
//! together, for nothing would say which comes first.
//!
//! There are three groups, and their order is no matter of taste:
//!
//! * Locks that sleep come first. Under a lock that spins nobody may sleep.
//! * Then those that spin while interrupts may be on ([`SpinLock`](super::SpinLock), [`RwLock`](super::RwLock)).
//! * Then those that keep interrupts off ([`IrqLock`](super::IrqLock)). A handler takes them on top of whatever its CPU
//!   was doing. So if some CPU took a lock of the second group while it held one of the third, another CPU could hold the
//!   former, be interrupted, and wait in its handler for the latter: neither would ever go on.
//!
//! A debug build checks this each time that a lock is taken (`checks`). [`try_lock`](super::SpinLock::try_lock)
//! may be tried in any order, since it does not wait; what it has taken counts as held from then on.

/// Builds the enumeration, the names, and the borders between the groups.
macro_rules! ranks {
    (sleep { $($sleep:ident $sleep_name:literal,)* } spin { $($spin:ident $spin_name:literal,)* } irq { $($irq:ident $irq_name:literal,)* }) => {
        /// A lock's place in the order; also its name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Rank { $($sleep,)* $($spin,)* $($irq,)* }

        impl Rank {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$sleep,)* $(Self::$spin,)* $(Self::$irq,)*];

            /// What reports call a lock of this rank.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$sleep => $sleep_name,)* $(Self::$spin => $spin_name,)* $(Self::$irq => $irq_name,)* }
            }

            /// How a lock of this rank waits.
            pub const fn group(self) -> Group {
                match self { $(Self::$sleep)|* => Group::Sleep, $(Self::$spin)|* => Group::Spin, $(Self::$irq)|* => Group::Irq }
            }
        }
    };
}

/// How who wants a lock waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// By sleeping.
    Sleep,
    /// By spinning.
    Spin,
    /// By spinning with interrupts off.
    Irq,
}

impl Group {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sleep => "sleeps",
            Self::Spin => "spins",
            Self::Irq => "spins, interrupts off",
        }
    }
}

ranks! {
    sleep {
        // The monitor's experiments, and tests.
        SleepOuter "outer sleeping experiment",
        SleepInner "inner sleeping experiment",
        // A line is edited: prints.
        Editor "monitor's editor",
        // A recording is read: prints.
        Recorder "recorder of threads",
        // A file is read or written at its position: whatever its operations do.
        FilePosition "file's position",
        // A record of a file in /proc is made: asks whoever knows.
        ProcText "text of a file in /proc",
        // Something is mounted or unmounted: looks at directories.
        Mounts "mounts",
        // Directories are changed: one at a time by who has it for reading, several by who has it for writing.
        FsTree "file system's tree",
        Inode "inode",
        // A file system's own structures, below all that the VFS takes.
        FsData "file system's data",
        FsTable "file system's inodes",
        // Copy user memory, which may fault.
        FileWriters "file's writers",
        // The FIFOs that are open; then one of them.
        Fifos "open FIFOs",
        Pipe "pipe",
        // Where a reader of the log is.
        KernelLog "place in the log",
        // A terminal's first opening and its last closing: waits until it has sent.
        TerminalOpening "terminal's opening",
        // Whose turn it is at a terminal; then the terminal: signals, asks the driver.
        TerminalReader "terminal's reader",
        TerminalWriter "terminal's writer",
        Terminal "terminal",
        // Faults and mmap: takes frames and tables, and waits for pages of files.
        Space "address space",
        // What keeps a file's pages: copies to and from them.
        Disk "disk",
    }
    spin {
        SpinOuter "outer experiment",
        SpinInner "inner experiment",
        // Who descends from whom; then what a process has.
        Processes "tree of processes",
        ProcessParts "process's parts",
        Hostname "machine's name",
        // Who has address spaces visited, or makes one.
        Spaces "list of address spaces",
        // A process's open files; its root and directory.
        Descriptors "file descriptors",
        FsContext "root and directory",
        // What users have in pipes.
        PipeUsers "users of pipes",
        // Locks on files: wakes.
        FileLocks "locks on files",
        LockWaits "waits for locks on files",
        FsRoot "file system's root",
        // Directory entries in memory: retires.
        Dcache "directory entries",
        // Which files have pages, and which have dirty ones.
        PageCache "page cache",
        // A file's pages: gives back frames and nodes.
        FilePages "file's pages",
        // Maps and unmaps: takes frames, for tables and for what is mapped.
        KernelTables "kernel's page tables",
        // Painting is what it is for.
        Printer "printer of the log",
        Screen "screen",
        ScreenText "screen's text",
    }
    irq {
        IrqOuter "outer interrupt experiment",
        IrqInner "inner interrupt experiment",
        // When a process's alarm rings: arms timers.
        ProcessTimer "process's alarm",
        // Threads, actions and signals of a process; then one thread's; who waits for a word. All of them wake.
        ProcessGroup "process's threads and signals",
        TaskSignals "thread's signals",
        Futexes "waiters for a word",
        // Which unknown calls were told of.
        UnknownCalls "unknown system calls",
        // The console's interrupt key: stops a program.
        Foreground "program in the foreground",
        // A program is stopped: wakes its thread.
        Programs "list of programs",
        // An interrupt line is wired: through the router or the 8259s, to a vector.
        Lines "interrupt lines",
        Router "I/O APICs",
        Pic "8259s",
        VectorNames "vectors' names",
        // The clock is looked after: arms timers, reads chips.
        ClockUpkeep "clock's upkeep",
        // Threads begin, end, and wait. Who wakes one may arm a timer for its slice.
        Threads "list of threads",
        ThreadEnd "thread's end",
        StacksKept "stacks kept",
        StackSlots "places for stacks",
        // Inside of every lock that sleeps. Wakes.
        WaitList "waiters",
        // A timer is armed: sets the alarm.
        Timers "timers",
        // May leave work for later.
        Alarm "alarm",
        ClockRate "clock comparison",
        Rtc "real-time clock",
        // Read as a counter from nearly anywhere, by try_lock.
        Pit "8254",
        Fadt "FADT",
        MemoryMap "memory map",
        PciPorts "PCI's ports",
        Vmalloc "vmalloc's ranges",
        // A cache of the heap: takes slabs' pages.
        Slabs "slabs",
        Zones "zones of frames",
        // Removed memory that readers may still look at.
        Retired "retired memory",
        Sequence "sequence lock's writer",
        // Drawn from under whatever lock.
        Random "random numbers",
        // Asks the terminal above for bytes, and gives it what has come.
        Serial "serial port",
        // Bytes that have arrived at a terminal.
        TerminalInput "terminal's input",
        SerialRings "console's bytes",
        // The mean load: asks nobody.
        LoadMeans "mean load",
        // What an experiment has found, under whatever lock.
        Findings "experiment's findings",
        // Everybody logs.
        LogRing "log",
        LogCursor "log's reader",
        // Whoever wakes a thread, or switches to one.
        Trace "trace of threads",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_groups_are_in_order_and_names_are_unique() {
        assert!(Rank::ALL.is_sorted());
        assert!(Rank::ALL.is_sorted_by_key(|rank| rank.group()));
        for (at, rank) in Rank::ALL.iter().enumerate() {
            assert_eq!(*rank as usize, at);
            assert!(Rank::ALL[..at].iter().all(|other| other.name() != rank.name()), "{}", rank.name());
        }
    }
}
