//! /proc and /dev, on the live machine, while threads come and go on every CPU.
//!
//! Every file of /proc is read whole, by single bytes, in pieces of an odd size and at odd offsets. What does not change is
//! the same each time; what changes is whole: a line of numbers adds up, a thread's file is that thread's. A thread that has
//! ended meanwhile is not there, which is the only thing that may go wrong.

use super::{Outcome, Trouble, check};
use crate::errno::Errno;
use crate::fs::calls::OpenHow;
use crate::fs::file::{Entries, File};
use crate::fs::flags::{OpenFlags, Whence};
use crate::fs::io::Into;
use crate::fs::mode::Kind;
use crate::fs::namei::{At, Caller};
use crate::fs::refs::Ref;
use crate::fs::{self, Result};
use crate::kernel::files;
use crate::mm::vma::room;
use crate::task::{self, Policy, schedule};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Rounds through all of it.
const ROUNDS: usize = 3;
/// Bytes that are read at once.
const WHOLE: usize = 64 << 10;
const ODD: usize = 61;
/// Directories in directories.
const DEPTH: usize = 5;
/// Threads that begin and end others.
const CHURNERS: usize = 4;

/// What is being read must have been like this: told by what changes.
const CHANGING: &[&[u8]] = &[
    b"buddyinfo",
    b"interrupts",
    b"loadavg",
    b"meminfo",
    b"slabinfo",
    b"stat",
    b"uptime",
    b"vmstat",
    b"zoneinfo",
    b"uuid",
    b"nr",
    b"min_free_kbytes",
    b"entropy_avail",
    b"status",
];

static STOP: AtomicBool = AtomicBool::new(false);
/// Threads that came and went.
static ENDED: AtomicUsize = AtomicUsize::new(0);

/// Begins threads that end at once, until it is over.
fn churn(_: usize) -> usize {
    while !STOP.load(Ordering::Relaxed) {
        if let Ok(thread) = task::spawn("short", Policy::Normal(0), |_| 0, 0) {
            thread.join();
            ENDED.fetch_add(1, Ordering::Relaxed);
        }
        task::yield_now();
    }
    0
}

/// Names in a directory, each with its kind.
#[derive(Default)]
struct Names {
    names: Vec<(Vec<u8>, Kind)>,
    is_out_of_memory: bool,
}

impl Names {
    fn keep(&mut self, name: &[u8], kind: Kind) -> core::result::Result<(), room::NoMemory> {
        room::reserve(&mut self.names, 1)?;
        let mut copy = room::with_room(name.len())?;
        copy.extend_from_slice(name);
        self.names.push((copy, kind));
        Ok(())
    }
}

impl Entries for Names {
    fn add(&mut self, name: &[u8], _: u64, kind: Kind, _: u64) -> bool {
        self.is_out_of_memory |= name != b"." && name != b".." && self.keep(name, kind).is_err();
        !self.is_out_of_memory
    }
}

fn open(caller: &Caller<'_>, path: &[u8], flags: OpenFlags) -> Result<Ref<File>> {
    caller.open(At::Cwd, path, OpenHow::new(flags.bits(), 0)?)
}

/// What is read of a file in pieces of that size.
fn read_in(file: &File, size: usize, whole: &mut Vec<u8>) -> Result<()> {
    whole.clear();
    file.seek(0, Whence::Set)?;
    let mut piece: Vec<u8> = room::with_room(size).map_err(|_| Errno::Enomem)?;
    piece.resize(size, 0);
    loop {
        let len = file.read(&mut Into::new(&mut piece))?;
        if len == 0 {
            return Ok(());
        }
        room::reserve(whole, len).map_err(|_| Errno::Enomem)?;
        whole.extend_from_slice(&piece[..len]);
    }
}

/// Whether that is how a file of a thread's that has ended is refused.
fn is_gone(error: Errno) -> bool {
    matches!(error, Errno::Enoent | Errno::Esrch)
}

/// What the walk has seen.
#[derive(Default)]
struct Seen {
    files: usize,
    gone: usize,
    bytes: usize,
}

/// Reads all files below a directory.
fn walk(caller: &Caller<'_>, path: &mut Vec<u8>, depth: usize, seen: &mut Seen) -> Outcome {
    let mut names = Names::default();
    let listed = open(caller, path, OpenFlags::DIRECTORY).and_then(|dir| dir.readdir(&mut names));
    match listed {
        Ok(()) => {}
        Err(error) if is_gone(error) && depth > 0 => {
            seen.gone += 1;
            return Ok(());
        }
        Err(_) => return Err("a directory cannot be read".into()),
    }
    check(!names.is_out_of_memory, "memory is out")?;
    for (name, kind) in &names.names {
        let len = path.len();
        room::reserve(path, name.len() + 1).map_err(|_| "memory is out")?;
        path.push(b'/');
        path.extend_from_slice(name);
        let outcome = match kind {
            Kind::Directory if depth < DEPTH => walk(caller, path, depth + 1, seen),
            // Writing is all that can be done with it.
            Kind::Regular if name != b"drop_caches" => read(caller, path, seen),
            _ => Ok(()),
        };
        path.truncate(len);
        outcome?;
    }
    Ok(())
}

/// Reads one file in every way.
fn read(caller: &Caller<'_>, path: &[u8], seen: &mut Seen) -> Outcome {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(b"");
    let (mut first, mut again) = (Vec::new(), Vec::new());
    let mut work = || -> Result<Option<&'static str>> {
        let file = open(caller, path, OpenFlags::empty())?;
        read_in(&file, WHOLE, &mut first)?;
        if let Some(problem) = problem(path, name, &first) {
            return Ok(Some(problem));
        }
        let is_still = !CHANGING.contains(&name);
        for size in [1, ODD] {
            // What was opened anew is made anew.
            let file = open(caller, path, OpenFlags::empty())?;
            read_in(&file, size, &mut again)?;
            if let Some(problem) = problem(path, name, &again) {
                return Ok(Some(problem));
            }
            if is_still && again != first {
                return Ok(Some("a file that stays as it is was read as two"));
            }
        }
        let mut piece = [0; ODD];
        for at in (0..first.len() + 100).step_by(37) {
            let mut into = Into::new(&mut piece);
            file.read_at(&mut into, at as u64)?;
            let expected = first.get(at..(at + ODD).min(first.len())).unwrap_or(&[]);
            if is_still && into.filled() != expected {
                return Ok(Some("at an odd offset stands something else"));
            }
        }
        Ok(None)
    };
    match work() {
        Ok(None) => {
            seen.files += 1;
            seen.bytes += first.len();
            Ok(())
        }
        Ok(Some(problem)) => {
            log::error!(target: "selftest", "{}", path.escape_ascii());
            Err(problem.into())
        }
        Err(error) if is_gone(error) => {
            seen.gone += 1;
            Ok(())
        }
        Err(error) => {
            log::error!(target: "selftest", "{}: {error}", path.escape_ascii());
            Err("a file cannot be read".into())
        }
    }
}

/// The numbers of a line.
fn numbers(line: &str) -> impl Iterator<Item = u64> + '_ {
    line.split_ascii_whitespace().filter_map(|word| word.parse().ok())
}

/// What is wrong with a text, by what must hold of it whenever it is read.
fn problem(path: &[u8], name: &[u8], text: &[u8]) -> Option<&'static str> {
    let text = core::str::from_utf8(text).ok()?;
    let bad = |good: bool, what: &'static str| (!good).then_some(what);
    let thread = path.strip_prefix(b"/proc/").and_then(|rest| rest.split(|&byte| byte == b'/').next());
    let thread = thread.and_then(|word| core::str::from_utf8(word).ok()?.parse::<u64>().ok());
    match (name, thread) {
        (b"stat", Some(id)) => {
            let head = text.split_once(" (").map(|(head, _)| head.parse());
            let fields = text.rsplit_once(") ").map_or(0, |(_, rest)| rest.split(' ').count());
            bad(head == Some(Ok(id)) && fields == 50, "a thread's stat is another's, or not whole")
        }
        (b"status", Some(id)) => {
            let pid = text.lines().find_map(|line| line.strip_prefix("Pid:\t"));
            bad(pid.and_then(|pid| pid.parse().ok()) == Some(id), "a thread's status is another's")
        }
        (b"stat", None) => {
            let mut lines = text.lines().take_while(|line| line.starts_with("cpu"));
            let sum: u64 = numbers(lines.next()?).sum();
            // Each is rounded down to hundredths by itself.
            let (parts, count) =
                lines.fold((0, 0), |(sum, count), line| (sum + numbers(line).sum::<u64>(), count + 1));
            bad(sum >= parts && sum <= parts + 2 * count + 2, "the CPUs' times do not add up")
        }
        (b"meminfo", None) => {
            let of = |name: &str| numbers(text.lines().find(|line| line.starts_with(name))?).next();
            bad(of("MemFree:") <= of("MemTotal:") && of("MemFree:") > Some(0), "more is free than there is")
        }
        (b"interrupts", None) => {
            let mut lines = text.lines();
            let cpus = lines.next()?.split_ascii_whitespace().count();
            let enough = |line: &str| {
                line.starts_with("ERR") || line.starts_with("MIS") || numbers(line).count() >= cpus
            };
            bad(cpus == schedule::online().iter().count() && lines.all(enough), "a CPU has no column")
        }
        (b"uptime" | b"loadavg", None) => bad(text.ends_with('\n') && text.contains('.'), "no such numbers"),
        _ => None,
    }
}

/// Numbers in /proc are in order, and those of threads that are there all the time are among them.
fn listing(caller: &Caller<'_>, always: &[u64]) -> Outcome {
    let mut names = Names::default();
    open(caller, b"/proc", OpenFlags::DIRECTORY)?.readdir(&mut names)?;
    let found = || {
        let texts = names.names.iter().filter_map(|(name, _)| core::str::from_utf8(name).ok());
        texts.filter_map(|name| name.parse::<u64>().ok())
    };
    check(found().is_sorted_by(|one, next| one < next), "threads are listed out of order, or twice")?;
    check(always.iter().all(|id| found().any(|found| found == *id)), "a thread that lives is not listed")
}

/// A thread's number in /proc.
fn own_number(caller: &Caller<'_>) -> Result<u64> {
    let text = caller.read_link(At::Cwd, b"/proc/self")?;
    core::str::from_utf8(&text).ok().and_then(|text| text.parse().ok()).ok_or(Errno::Einval)
}

/// Devices that give bytes without end, or none, or records: in pieces of every kind. The terminals' are for their own tests.
fn devices(caller: &Caller<'_>) -> Outcome {
    for (name, gives) in [
        (&b"/dev/null"[..], false),
        (b"/dev/zero", true),
        (b"/dev/full", true),
        (b"/dev/random", true),
        (b"/dev/urandom", true),
    ] {
        // Where the CPU has no generator /dev/random may have to be waited for.
        let device = open(caller, name, OpenFlags::empty())?;
        for (size, at) in [(1, 0), (1, 1), (ODD, 3), (4097, 4095), (WHOLE, 1 << 40)] {
            let mut buffer: Vec<u8> = room::with_room(size).map_err(|_| "memory is out")?;
            buffer.resize(size, 0);
            let expected = if gives { size } else { 0 };
            check(device.read(&mut Into::new(&mut buffer))? == expected, "a device gives less")?;
            check(
                device.read_at(&mut Into::new(&mut buffer), at)? == expected,
                "a device gives less at an offset",
            )?;
        }
    }
    let log = open(caller, b"/dev/kmsg", OpenFlags::NONBLOCK)?;
    let mut records = 0;
    let mut buffer: Vec<u8> = room::with_room(WHOLE).map_err(|_| "memory is out")?;
    buffer.resize(WHOLE, 0);
    loop {
        // One byte is too little for a record, and takes none.
        let refused = log.read(&mut Into::new(&mut buffer[..1]));
        match log.read(&mut Into::new(&mut buffer)) {
            Ok(len) => {
                check(refused == Err(Errno::Einval), "a record went into one byte")?;
                check(len > 1 && buffer[len - 1] == b'\n', "a record of the log is not whole")?;
                records += 1;
            }
            Err(Errno::Eagain) => break,
            // Others write meanwhile, and the oldest records go.
            Err(Errno::Epipe) => {}
            Err(error) => return Err(error.into()),
        }
    }
    check(records > 10, "the log has hardly anything")?;
    // Its own descriptors: a thread of the kernel's has none, and the links lead nowhere.
    for name in [&b"/dev/stdin"[..], b"/dev/stdout", b"/dev/stderr", b"/dev/fd/0"] {
        check(
            open(caller, name, OpenFlags::empty()).err() == Some(Errno::Enoent),
            "a descriptor from nowhere",
        )?;
    }
    pts(caller)
}

/// A pair's slave has a name as long as the master is open.
fn pts(caller: &Caller<'_>) -> Outcome {
    let count = || -> Result<usize> {
        let mut names = Names::default();
        open(caller, b"/dev/pts", OpenFlags::DIRECTORY)?.readdir(&mut names)?;
        Ok(names.names.len())
    };
    let before = count()?;
    let master = open(caller, b"/dev/ptmx", OpenFlags::RDWR | OpenFlags::NOCTTY)?;
    check(count()? == before + 1, "a new pair is not listed")?;
    Caller::close(master);
    check(count()? == before, "the slave of a closed master is listed")
}

pub fn run() -> Outcome {
    static RUNNING: AtomicBool = AtomicBool::new(false);
    let caller = files::caller().ok_or("there are no files")?;
    check(!RUNNING.swap(true, Ordering::Relaxed), "it is running already")?;
    STOP.store(false, Ordering::Relaxed);
    let ended = ENDED.load(Ordering::Relaxed);
    let churners: [_; CHURNERS] = core::array::from_fn(|_| task::spawn("churn", Policy::Normal(0), churn, 0));
    let mut seen = Seen::default();
    let result = own_number(&caller).map_err(Trouble::from).and_then(|own| {
        let always: Vec<u64> = churners
            .iter()
            .flatten()
            .map(|thread| own - u64::from(task::current().id()) + u64::from(thread.thread().id()))
            .chain([own])
            .collect();
        (0..ROUNDS).try_for_each(|_| {
            listing(&caller, &always)?;
            let mut path = Vec::new();
            path.extend_from_slice(b"/proc");
            walk(&caller, &mut path, 0, &mut seen)?;
            devices(&caller)
        })
    });
    // Not over before some have ended, on the slowest machine.
    while result.is_ok() && ENDED.load(Ordering::Relaxed) - ended < 2 * CHURNERS {
        task::yield_now();
    }
    STOP.store(true, Ordering::Relaxed);
    for churner in churners {
        churner.map(task::JoinHandle::join).map_err(|_| Trouble::Skipped("no thread to be had"))?;
    }
    RUNNING.store(false, Ordering::Relaxed);
    fs::tidy();
    let ended = ENDED.load(Ordering::Relaxed) - ended;
    let Seen { files, gone, bytes } = seen;
    log::info!(target: "selftest", "{files} files of /proc, {bytes} bytes; {ended} threads ended meanwhile, {gone} in the midst of it");
    result?;
    check(files > ROUNDS * 100, "there are hardly any files")
}
