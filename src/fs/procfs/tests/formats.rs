//! Formats: against texts taken down from Linux 6.x, and, where the tests run on Linux, against what it says now.
//!
//! A line of Linux's is taken apart into figures, the figures are given to a model, and what the model's file says must be
//! that line again, to the byte.

use super::super::process::{
    Class, Facts, Io, LIMITS, Limit, Memory, Present, Region, RegionName, Signals, State,
};
use super::model::machine;
use crate::fs::mode::Device;
use crate::fs::tests::world::Calls;
use std::fs::read_to_string;
use std::string::String;
use std::vec::Vec;

/// A shell's line, with a name that looks like the end of one.
const SHELL: &str = "5123 (a) b (c) S 5100 5123 5100 34816 5130 4194304 1200 5400 3 7 12 5 40 20 20 0 1 0 8812345 7426048 1307 \
    18446744073709551615 94019403411456 94019404313085 140726263023744 0 0 0 65536 3686404 1266761467 1 0 0 17 1 0 0 0 0 0 \
    94019404547056 94019404598244 94019432091648 140726263031062 140726263031068 140726263031068 140726263033838 0\n";
/// A kernel thread's.
const KERNEL: &str = "15 (rcu_preempt) I 2 0 0 0 -1 2129984 0 0 0 0 0 1234 0 0 20 0 1 0 24 0 0 18446744073709551615 0 0 0 0 0 0 0 \
    2147483647 0 1 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n";
/// A real-time one's.
const REAL_TIME: &str = "16 (migration/0) S 2 0 0 0 -1 69238848 0 0 0 0 0 9 0 0 -100 0 1 0 25 0 0 18446744073709551615 0 0 0 0 0 0 0 \
    2147483647 0 1 0 0 17 0 99 1 0 0 0 0 0 0 0 0 0 0 0\n";

/// Figures of a line of `stat`.
fn taken_apart(line: &str) -> (u32, String, Facts, Memory) {
    let (pid, rest) = line.trim_end().split_once(" (").unwrap();
    let (name, rest) = rest.rsplit_once(") ").unwrap();
    let words: Vec<&str> = rest.split(' ').collect();
    assert_eq!(words.len(), 50, "{line}");
    // By the numbers of the manual, which begin with 1 at the pid.
    let field = |number: usize| words[number - 3];
    let unsigned = |number: usize| field(number).parse::<u64>().unwrap();
    let signed = |number: usize| field(number).parse::<i64>().unwrap();
    let ns = |number: usize| unsigned(number) * 10_000_000;
    let states = [
        State::Running,
        State::Sleeping,
        State::Waiting,
        State::Stopped,
        State::Traced,
        State::Zombie,
        State::Idle,
    ];
    let terminal = signed(7);
    let memory = Memory {
        size: unsigned(23) / 4096,
        anonymous: unsigned(24),
        code_range: (unsigned(26), unsigned(27)),
        stack_start: unsigned(28),
        data_range: (unsigned(45), unsigned(46)),
        brk_start: unsigned(47),
        argument_range: (unsigned(48), unsigned(49)),
        environment_range: (unsigned(50), unsigned(51)),
        ..Memory::default()
    };
    let facts = Facts {
        state: states.into_iter().find(|state| field(3) == std::format!("{}", state.letter())).unwrap(),
        parent: unsigned(4) as u32,
        group: unsigned(5) as u32,
        session: unsigned(6) as u32,
        terminal: (terminal != 0).then_some((Device::decode(terminal as u32), signed(8) as i32)),
        flags: unsigned(9) as u32,
        faults: [unsigned(10), unsigned(12)],
        child_faults: [unsigned(11), unsigned(13)],
        user_ns: ns(14),
        system_ns: ns(15),
        child_user_ns: ns(16),
        child_system_ns: ns(17),
        class: Class { policy: unsigned(41) as u32, real_time: unsigned(40) as u32, nice: signed(19) as i32 },
        threads: unsigned(20) as u32,
        start_ns: ns(22),
        resident_limit: unsigned(25),
        signals: Signals {
            pending: unsigned(31),
            blocked: unsigned(32),
            ignored: unsigned(33),
            caught: unsigned(34),
            ..Signals::default()
        },
        exit_signal: signed(38) as i32,
        cpu: unsigned(39) as u32,
        device_wait_ns: ns(42),
        exit_code: signed(52) as i32,
        ..Facts::default()
    };
    (pid.parse().unwrap(), name.into(), facts, memory)
}

#[test]
fn a_line_of_stat_comes_out_as_it_went_in() {
    for line in [SHELL, KERNEL, REAL_TIME] {
        let line = line.split_ascii_whitespace().collect::<Vec<_>>().join(" ") + "\n";
        let (pid, name, facts, memory) = taken_apart(&line);
        let model = machine();
        let thread = model.add(pid);
        {
            let mut thread = thread.lock().unwrap();
            (thread.name, thread.facts, thread.memory) = (name, facts, Some(memory));
        }
        assert_eq!(model.whole(&std::format!("/proc/{pid}/stat")).unwrap(), line);
        // Who may not look into it is told no addresses.
        thread.lock().unwrap().is_closed = true;
        let closed = model.whole(&std::format!("/proc/{pid}/stat")).unwrap();
        let (.., hidden) = taken_apart(&closed);
        assert_eq!((hidden.stack_start, hidden.code_range, hidden.argument_range), (0, (0, 0), (0, 0)));
    }
}

/// Names of lines, in order.
fn names(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect()
}

/// Whether `some` are in `all`, in that order.
fn is_in_order(some: &[&str], all: &[&str]) -> Result<(), String> {
    let mut rest = all.iter();
    for name in some {
        if !rest.any(|other| other == name) {
            return Err(std::format!("{name} is not there, or not in its place"));
        }
    }
    Ok(())
}

const STATUS: &str = "Name Umask State Tgid Ngid Pid PPid TracerPid Uid Gid FDSize Groups NStgid NSpid NSpgid NSsid Kthread VmPeak \
    VmSize VmLck VmPin VmHWM VmRSS RssAnon RssFile RssShmem VmData VmStk VmExe VmLib VmPTE VmSwap HugetlbPages CoreDumping \
    THP_enabled untag_mask Threads SigQ SigPnd ShdPnd SigBlk SigIgn SigCgt CapInh CapPrm CapEff CapBnd CapAmb NoNewPrivs Seccomp \
    Seccomp_filters Cpus_allowed Cpus_allowed_list Mems_allowed Mems_allowed_list voluntary_ctxt_switches \
    nonvoluntary_ctxt_switches";
const MEMINFO: &str = "MemTotal MemFree MemAvailable Buffers Cached SwapCached Active Inactive Active(anon) Inactive(anon) \
    Active(file) Inactive(file) Unevictable Mlocked SwapTotal SwapFree Dirty Writeback AnonPages Mapped Shmem KReclaimable Slab \
    SReclaimable SUnreclaim KernelStack PageTables NFS_Unstable Bounce WritebackTmp CommitLimit Committed_AS VmallocTotal \
    VmallocUsed VmallocChunk Percpu DirectMap4k DirectMap2M DirectMap1G";

#[test]
fn lines_have_linuxs_names_in_linuxs_order() {
    let model = machine();
    model.add(1);
    for (path, expected) in [("/proc/1/status", STATUS), ("/proc/meminfo", MEMINFO)] {
        let text = model.whole(path).unwrap();
        assert_eq!(names(&text), expected.split_ascii_whitespace().collect::<Vec<_>>(), "{path}");
    }
    // What the Linux that runs this has, old or new: what it lacks, old ones do not have yet.
    if let (Ok(status), Ok(meminfo)) = (read_to_string("/proc/self/status"), read_to_string("/proc/meminfo"))
    {
        if status.contains("\nKthread:") {
            is_in_order(&STATUS.split_ascii_whitespace().collect::<Vec<_>>(), &names(&status)).unwrap();
        }
        is_in_order(&MEMINFO.split_ascii_whitespace().collect::<Vec<_>>(), &names(&meminfo)).unwrap();
    }
}

#[test]
fn a_line_of_status() {
    let model = machine();
    let thread = model.add(1);
    {
        let mut thread = thread.lock().unwrap();
        thread.name = "two\nlines\\".into();
        thread.owner = Some((7, 8));
        thread.facts.signals.ignored = u64::MAX;
    }
    let text = model.whole("/proc/1/status").unwrap();
    for line in [
        "Name:\ttwo\\nlines\\\\\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t1\nNgid:\t0\nPid:\t1\nPPid:\t1\nTracerPid:\t0\n",
        "Uid:\t7\t7\t7\t7\nGid:\t8\t8\t8\t8\nFDSize:\t64\nGroups:\t4 20 \nNStgid:\t1\n",
        "VmSize:\t    4000 kB\n",
        "VmRSS:\t     600 kB\n",
        "SigIgn:\tffffffffffffffff\n",
        "CapEff:\t000001ffffffffff\nCapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000000\n",
        // CPUs 0, 1 and 3.
        "Cpus_allowed:\tb\nCpus_allowed_list:\t0-1,3\n",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert_eq!(model.whole("/proc/1/statm").unwrap(), "1000 150 50 7 0 233 0\n");
    assert_eq!(model.whole("/proc/1/cmdline").unwrap(), "/bin/task\0--flag\0");
    // A kernel thread has no memory, and no line of it.
    thread.lock().unwrap().memory = None;
    let text = model.whole("/proc/1/status").unwrap();
    assert!(!text.contains("Vm") && text.contains("NSsid:\t1\nKthread:\t0\nThreads:\t1\n"), "{text}");
    assert_eq!(model.whole("/proc/1/statm").unwrap(), "0 0 0 0 0 0 0\n");
}

/// Areas without a file, as Linux prints them.
const MAPS: [&str; 5] = [
    "55a1c8b2e000-55a1c8b4f000 rw-p 00000000 00:00 0                          [heap]",
    "7f1e9c021000-7f1ea0000000 ---p 00000000 00:00 0 ",
    "7fff30ba4000-7fff30bc5000 rw-p 00000000 00:00 0                          [stack]",
    "7fff30bd7000-7fff30bd9000 r-xp 00000000 00:00 0                          [vdso]",
    "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]",
];

fn region(line: &str) -> Option<Region> {
    let words: Vec<_> = line.split_ascii_whitespace().collect();
    let hex = |text: &str| u64::from_str_radix(text, 16).unwrap();
    let (start, end) = words[0].split_once('-').unwrap();
    let modes = words[1].as_bytes();
    let name = match words.get(5) {
        None => RegionName::Nothing,
        Some(&word) if word.starts_with('[') && words.len() == 6 => {
            RegionName::Word(String::from(word).leak())
        }
        _ => return None,
    };
    (words[3] == "00:00").then(|| Region {
        start: hex(start),
        end: hex(end),
        read: modes[0] == b'r',
        write: modes[1] == b'w',
        execute: modes[2] == b'x',
        is_shared: modes[3] == b's',
        offset: hex(words[2]),
        name,
    })
}

#[test]
fn areas_come_out_as_they_went_in() {
    let model = machine();
    let thread = model.add(1);
    let live = read_to_string("/proc/self/maps").unwrap_or_default();
    let lines: Vec<&str> = live.lines().filter(|line| region(line).is_some()).collect();
    for lines in [&MAPS[..], &lines] {
        thread.lock().unwrap().regions = lines.iter().filter_map(|line| region(line)).collect();
        let text = model.whole("/proc/1/maps").unwrap();
        assert_eq!(text.lines().collect::<Vec<_>>(), lines);
    }
    // A file's: device, inode and path are the file's own.
    model.put("/lib file", "x").unwrap();
    let file = model
        .caller()
        .resolve(crate::fs::namei::At::Cwd, b"/lib file", crate::fs::namei::Last::Follow)
        .unwrap();
    let (device, inode) = (file.mount.fs.device, file.dentry.inode().unwrap().number);
    let region = Region {
        start: 0x40_0000,
        end: 0x40_3000,
        read: true,
        write: false,
        execute: true,
        is_shared: true,
        offset: 0x1000,
        name: RegionName::File(file),
    };
    {
        let mut thread = thread.lock().unwrap();
        thread.regions = std::vec![region];
        thread.present = Present {
            private_clean: 2,
            private_dirty: 1,
            referenced: 3,
            proportional: 3 * 4096,
            ..Present::default()
        };
    }
    let line =
        std::format!("00400000-00403000 r-xs 00001000 {:02x}:{:02x} {inode}", device.major, device.minor);
    assert_eq!(model.whole("/proc/1/maps").unwrap(), std::format!("{line:<73}/lib file\n"));
    model.remove("/lib file").unwrap();
    assert_eq!(model.whole("/proc/1/maps").unwrap(), std::format!("{line:<73}/lib file (deleted)\n"));
    let smaps = model.whole("/proc/1/smaps").unwrap();
    for line in [
        "Size:                 12 kB\n",
        "Rss:                  12 kB\nPss:                  12 kB\n",
        "Private_Dirty:         4 kB\n",
    ] {
        assert!(smaps.contains(line), "{line} is not in\n{smaps}");
    }
    assert!(smaps.ends_with("VmFlags: rd ex sh mr mw me \n"), "{smaps}");
    let rollup = model.whole("/proc/1/smaps_rollup").unwrap();
    assert!(
        rollup.starts_with(
            "00400000-00403000 ---p 00000000 00:00 0                                  [rollup]\nRss:"
        ),
        "{rollup}"
    );
    // The lines that Linux has too, in its order.
    let live = read_to_string("/proc/self/smaps").unwrap_or_default();
    if let Some(end) = live.find("VmFlags") {
        // But for the area's own line.
        is_in_order(&names(&smaps)[1..], &names(&live[..end + 9])[1..]).unwrap();
    }
}

const LIMITS_TEXT: &str = "\
Limit                     Soft Limit           Hard Limit           Units     
Max cpu time              unlimited            unlimited            seconds   
Max file size             unlimited            unlimited            bytes     
Max data size             unlimited            unlimited            bytes     
Max stack size            8388608              unlimited            bytes     
Max core file size        0                    unlimited            bytes     
Max resident set          unlimited            unlimited            bytes     
Max processes             96365                96365                processes 
Max open files            20000                20000                files     
Max locked memory         8388608              8388608              bytes     
Max address space         unlimited            unlimited            bytes     
Max file locks            unlimited            unlimited            locks     
Max pending signals       96365                96365                signals   
Max msgqueue size         819200               819200               bytes     
Max nice priority         0                    0                    
Max realtime priority     0                    0                    
Max realtime timeout      unlimited            unlimited            us        
";

#[test]
fn limits_come_out_as_they_went_in() {
    let model = machine();
    let thread = model.add(1);
    let live = read_to_string("/proc/self/limits").ok();
    for text in [Some(LIMITS_TEXT), live.as_deref()].into_iter().flatten() {
        let mut limits = [Limit::NONE; LIMITS];
        for (limit, line) in limits.iter_mut().zip(text.lines().skip(1)) {
            let value = |text: &str| text.trim().parse().unwrap_or(u64::MAX);
            *limit = Limit { soft: value(&line[26..47]), hard: value(&line[47..67.min(line.len())]) };
        }
        thread.lock().unwrap().limits = limits;
        assert_eq!(model.whole("/proc/1/limits").unwrap(), text);
    }
    let io =
        Io { read_bytes: 6976, written_bytes: 1, read_calls: 10, device_read_bytes: 4096, ..Io::default() };
    thread.lock().unwrap().io = io;
    let text = "rchar: 6976\nwchar: 1\nsyscr: 10\nsyscw: 0\nread_bytes: 4096\nwrite_bytes: 0\ncancelled_write_bytes: 0\n";
    assert_eq!(model.whole("/proc/1/io").unwrap(), text);
}

#[test]
fn the_machine_in_numbers() {
    let model = machine();
    model.add(1);
    for (path, text) in [
        (
            "/proc/stat",
            "cpu  700 0 6 350 0 0 0 0 0 0\ncpu0 100 0 2 50 0 0 0 0 0 0\ncpu1 200 0 2 100 0 0 0 0 0 0\ncpu3 400 0 2 200 0 0 0 0 0 0\n\
             intr 60436 0 0 0 0 124 0 0 0 0 274\nctxt 555\nbtime 1699998765\nprocesses 9999\nprocs_running 2\nprocs_blocked 0\n",
        ),
        ("/proc/uptime", "1234.56 3.50\n"),
        ("/proc/loadavg", "1.00 0.50 0.01 2/1 4711\n"),
        ("/proc/filesystems", "nodev\ttmpfs\nnodev\tdevtmpfs\nnodev\tproc\n"),
        ("/proc/cmdline", "root=/dev/vda quiet\n"),
        ("/proc/swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"),
        (
            "/proc/interrupts",
            "           CPU0       CPU1       CPU3       \n\
             \x20 4:         40         41         43  IO-APIC-edge   ttyS0\n\
             \x20 9:         90         91         93  IO-APIC-fasteoi  acpi\n\
             NMI:      10000      10001      10003   Non-maskable interrupts\n\
             LOC:      10010      10011      10013   Local timer interrupts\n\
             ERR:          3\nMIS:          0\n",
        ),
        (
            "/proc/buddyinfo",
            "Node 0, zone    DMA32      0      1      2      3      4      5      6      7      8      9     10 \n\
             Node 0, zone   Normal      0      1      2      3      4      5      6      7      8      9     10 \n",
        ),
        ("/proc/cpuinfo", "processor\t: 0\n\nprocessor\t: 1\n\nprocessor\t: 3\n\n"),
        ("/proc/sys/kernel/random/uuid", "value\n"),
    ] {
        assert_eq!(model.whole(path).unwrap(), text, "{path}");
    }
    let slabs = model.whole("/proc/slabinfo").unwrap();
    let lines: Vec<_> = slabs.lines().collect();
    assert_eq!(lines[0], "slabinfo - version: 2.1");
    assert_eq!(
        lines[2],
        "thread                10     42     96   42    1 : tunables    0    0    0 : slabdata      1      1      0"
    );
    assert!(lines[3].starts_with("two_words "));
    assert!(model.whole("/proc/version").unwrap().starts_with("Linux version 6."));
    let vmstat = model.whole("/proc/vmstat").unwrap();
    assert!(
        vmstat.lines().all(
            |line| line.split(' ').count() == 2 && line.split(' ').nth(1).unwrap().parse::<u64>().is_ok()
        )
    );
    assert!(vmstat.contains("nr_free_pages 600\n") && vmstat.contains("pgfault 12\n"));
}

/// Lines of Linux's that have the same columns whatever stands in them.
#[test]
fn columns_are_linuxs() {
    let model = machine();
    model.add(1);
    let Ok(live) = read_to_string("/proc/meminfo") else { return };
    let column = |text: &str, name: &str| {
        text.lines()
            .find(|line| line.starts_with(name))
            .and_then(|line| line.find(" kB"))
            .map(|at| (name.len(), at))
    };
    let ours = model.whole("/proc/meminfo").unwrap();
    for name in ["MemTotal:", "Inactive(anon):", "SUnreclaim:", "Committed_AS:", "DirectMap4k:"] {
        assert_eq!(column(&ours, name), column(&live, name), "{name}");
    }
    let headings = |text: &str| {
        text.lines().next().unwrap().split_ascii_whitespace().map(String::from).collect::<Vec<_>>()
    };
    for path in ["/proc/swaps", "/proc/partitions"] {
        let Ok(live) = read_to_string(path) else { continue };
        assert_eq!(headings(&model.whole(path).unwrap()), headings(&live), "{path}");
    }
    if let Ok(live) = read_to_string("/proc/interrupts") {
        let first = |text: &str| text.lines().next().unwrap().find("CPU1");
        assert_eq!(first(&model.whole("/proc/interrupts").unwrap()), first(&live));
    }
}
