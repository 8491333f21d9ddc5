//! The first process: found, started on the console, and waited for.
//!
//! `init=`, or the first of a list that there is, gets the console as its descriptors 0 to 2 and as its controlling terminal.
//! Never a silent stop: what cannot be found or run is said, and so is how the first process ends; then there is the
//! monitor.

use super::processes;
use crate::arch::x86_64::cpu::Features;
use crate::arch::x86_64::frame::TrapFrame;
use crate::arch::x86_64::user::{Segments, Start};
use crate::boot::cmdline::{CommandLine, Param, Unknown};
use crate::errno::Errno;
use crate::fs::Result;
use crate::fs::calls::OpenHow;
use crate::fs::context::FsContext;
use crate::fs::fd::FdTable;
use crate::fs::flags::OpenFlags;
use crate::fs::namei::At;
use crate::fs::refs::Ref;
use crate::mm::frames;
use crate::platform::pc::clock;
use crate::proc::end::{self, Hooks};
use crate::proc::exec::arguments::{Arguments, List};
use crate::proc::limits::Limits;
use crate::proc::load;
use crate::proc::process::{self, Parts, Process, TREE, Task};
use crate::proc::run::Begin;
use crate::proc::signal::action::Actions;
use crate::proc::signal::mask::Mask;
use crate::proc::tree::{Birth, INIT};
use crate::proc::user::Mine;
use crate::proc::vdso;
use crate::sync::Completion;
use crate::task::{Name, Policy};
use crate::time::page::CpuBy;
use crate::tty::console;
use crate::{kernel, syscall};
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use log::{error, info};
use spin::Once;

/// Where the first program is looked for, if nobody says.
const PROGRAMS: &[&str] = &["/init", "/sbin/init", "/etc/init", "/bin/init", "/bin/sh"];

/// What it is told.
struct Wanted {
    path: Option<String>,
    arguments: Vec<String>,
    environment: Vec<String>,
}

static WANTED: Once<Wanted> = Once::new();
static ENDED: Completion = Completion::new();
static STATUS: AtomicU32 = AtomicU32::new(0);

/// Prepares for processes. Once, when there are files.
pub fn init(options: &CommandLine<'_>) -> Result<()> {
    let Some(caller) = kernel::files::caller() else { return Err(Errno::Enodev) };
    process::init(caller.mounts, kernel::files::TYPES)?;
    syscall::init();
    processes::init();
    end::on_end(Hooks {
        init_ended: |status| {
            STATUS.store(status, Ordering::Relaxed);
            ENDED.complete_all();
        },
        leader_ends: |process| {
            if processes::terminal_of(process).is_some() {
                crate::tty::controlling::leader_exits();
            }
        },
    });
    match vdso::live::init() {
        Ok(page) => {
            // All CPUs have what the boot CPU has.
            if Features::detect().contains(Features::RDTSCP) {
                page.set_cpu_by(CpuBy::Rdtscp);
            }
            clock::show_on(page);
        }
        Err(_) => error!(target: "init", "no memory for the vDSO: programs ask the kernel for the time"),
    }
    if options.flag("norandmaps") {
        load::leave_out_randomness();
    }
    if options.flag("strace") {
        syscall::trace();
    }
    Ok(())
}

/// Runs the first process to its end, if there is a program for it. What it is told is on the command line.
pub fn run(options: &CommandLine<'_>) {
    let mut wanted = Wanted {
        path: options.last("init").filter(|path| !path.is_empty()).map(String::from),
        arguments: Vec::new(),
        // As Linux has it.
        environment: ["HOME=/", "TERM=linux"].map(String::from).into(),
    };
    for unknown in options.unknown() {
        match unknown {
            Unknown::Argument(Param { key, value: None }) => wanted.arguments.push(key.into()),
            Unknown::Argument(Param { key, value: Some(value) }) => {
                wanted.arguments.push(alloc::format!("{key}={value}"));
            }
            Unknown::Environment { key, value } => {
                let before = alloc::format!("{key}=");
                wanted.environment.retain(|variable| !variable.starts_with(&before));
                wanted.environment.push(before + value);
            }
        }
    }
    WANTED.call_once(|| wanted);
    if let Err(error) = start() {
        error!(target: "init", "no first process: {error}; here is the monitor");
        return;
    }
    ENDED.wait();
    if let Err(error) = process::sync() {
        error!(target: "init", "what was written is not kept: {error}");
    }
    let status = STATUS.load(Ordering::Relaxed);
    match (status & 0x7F, status >> 8 & 0xFF) {
        (0, code) => info!(target: "init", "process 1 has ended: exit status {code}; here is the monitor"),
        (signal, _) => info!(target: "init", "process 1 was ended by signal {signal}; here is the monitor"),
    }
}

fn start() -> Result<()> {
    let caller = kernel::files::caller().ok_or(Errno::Enodev)?;
    let number = TREE.lock().reserve(0, u64::MAX)?;
    assert!(number == INIT, "the first process comes first");
    let processes = (frames::managed_frames() / 32).clamp(64, 16_384);
    let parts = Parts {
        memory: None,
        files: Ref::with_last(FdTable::new()?)?,
        place: Ref::new(FsContext::new(&caller.context.root())?)?,
        credentials: caller.credentials.clone(),
        limits: Limits::first(processes),
        actions: Actions::new(),
        terminal: 0,
    };
    let process = Process::new(INIT, parts)?;
    let task = Task::new(INIT, process.clone(), Mask::default(), Name::new("init"))?;
    Task::enlist(&task)?;
    {
        let mut tree = TREE.lock();
        tree.insert(INIT, 0, Birth::Child { exit_signal: 0 }, process)?;
        tree.set_thread(INIT, task.clone());
    }
    Task::begin(&task, Begin::First(begin), Policy::Normal(0))
}

/// In the first process's thread.
fn begin(task: &Task) -> Option<Start> {
    if let Err(error) = open_console(task) {
        error!(target: "init", "the console cannot be opened: {error}");
    }
    let wanted = WANTED.get()?;
    let one = wanted.path.as_deref();
    let paths: &[&str] = match &one {
        Some(path) => core::slice::from_ref(path),
        None => PROGRAMS,
    };
    for path in paths {
        match execute(task, path, wanted) {
            Ok(frame) => {
                info!(target: "init", "{path} is process 1");
                return Some(Start { frame, segments: Segments::default() });
            }
            Err(Errno::Enoent) if one.is_none() => {}
            Err(error) => error!(target: "init", "{path}: {error}"),
        }
    }
    if one.is_none() {
        error!(target: "init", "no program: none of {PROGRAMS:?} can be run");
    }
    None
}

fn open_console(task: &Task) -> Result<()> {
    const TIOCSCTTY: u32 = 0x540E;
    let standing = task.process.standing();
    let how = OpenHow::new(OpenFlags::RDWR.bits(), 0)?;
    let file = standing.caller().open(At::Cwd, b"/dev/console", how)?;
    let files = task.process.files();
    for _ in 0..3 {
        files.add(file.clone(), false, 3)?;
    }
    if console::serial_port().is_some() {
        file.ops().ioctl(&file, TIOCSCTTY, 0, &mut Mine)?;
    }
    Ok(())
}

fn execute(task: &Task, path: &str, wanted: &Wanted) -> Result<TrapFrame> {
    let mut strings = Arguments::new(path.as_bytes(), Some(8 << 20))?;
    strings.push(List::Arguments, path.as_bytes())?;
    for argument in &wanted.arguments {
        strings.push(List::Arguments, argument.as_bytes())?;
    }
    for variable in &wanted.environment {
        strings.push(List::Environment, variable.as_bytes())?;
    }
    strings.complete()?;
    let loaded = load::load(task, At::Cwd, path.as_bytes(), strings)?;
    let mut frame = TrapFrame::default();
    load::install(task, &mut frame, loaded)?;
    Ok(frame)
}
