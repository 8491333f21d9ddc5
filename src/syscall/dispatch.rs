//! From a number to its handler, and what is told of it on the way.

use super::Arguments;
use super::table::{self, HANDLERS, TABLE};
use crate::arch::x86_64::frame::{SYSCALL_COMPAT_VECTOR, TrapFrame};
use crate::errno::Errno;
use crate::fs::Result;
use crate::fs::file::File;
use crate::fs::mount::Path;
use crate::fs::namei::At;
use crate::fs::refs::Ref;
use crate::proc::process::{Process, Standing, Task, WORK_SIGNAL};
use crate::proc::signal::{Info, Signal};
use crate::proc::{run, send};
use crate::sync::{IrqLock, Rank};
use crate::task::Name;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

/// A call that is being made.
pub struct Call<'a> {
    pub task: &'a Task,
    pub frame: &'a mut TrapFrame,
}

/// `AT_FDCWD`.
const CWD: i32 = -100;

/// A directory descriptor's path, for as long as it is needed.
pub enum Place {
    Cwd,
    File(Ref<File>),
}

impl Place {
    pub fn at(&self) -> At<'_> {
        match self {
            Self::Cwd => At::Cwd,
            Self::File(file) => At::Path(&file.path),
        }
    }
}

impl Call<'_> {
    pub fn process(&self) -> &Ref<Process> {
        &self.task.process
    }

    pub fn standing(&self) -> Standing {
        self.task.process.standing()
    }

    /// The open file that a descriptor names.
    pub fn file(&self, fd: u64) -> Result<Ref<File>> {
        self.task.process.files().get_file(fd as i32)
    }

    /// Where a path begins that is given with a directory's descriptor.
    pub fn place(&self, fd: u64, path: &[u8]) -> Result<Place> {
        if fd as i32 == CWD || path.first() == Some(&b'/') {
            return Ok(Place::Cwd);
        }
        self.task.process.files().get(fd as i32).map(Place::File)
    }

    /// Where an open file is.
    pub fn path_of(&self, fd: u64) -> Result<Path> {
        Ok(Path::clone(&self.task.process.files().get(fd as i32)?.path))
    }
}

static TRACES: AtomicBool = AtomicBool::new(false);

/// `strace`: every call is a line of the log.
pub fn trace() {
    TRACES.store(true, Ordering::Relaxed);
}

/// Programs' calls come here from now on.
pub fn init() {
    run::on_system_call(serve);
}

fn serve(task: &Task, frame: &mut TrapFrame) -> u64 {
    let number = frame.call_number();
    if frame.vector == SYSCALL_COMPAT_VECTOR {
        send::force(task, Info::kernel(Signal::SEGV));
        return Errno::Enosys.to_result();
    }
    let arguments = [frame.rdi, frame.rsi, frame.rdx, frame.r10, frame.r8, frame.r9];
    let handler = usize::try_from(number).ok().and_then(|number| HANDLERS.get(number)).copied().flatten();
    let Some(handler) = handler else { return unknown(task, number) };
    if cfg!(debug_assertions) {
        soil_stack();
    }
    if TRACES.load(Ordering::Relaxed) {
        return traced(task, frame, handler, number, &arguments);
    }
    let result = handler(&mut Call { task, frame }, arguments);
    result.unwrap_or_else(|error| failed(task, error))
}

/// As rax carries it. A call that has given up for a signal begins again or is EINTR, which is decided where signals are
/// taken: so this thread goes there, though another have taken the signal, or SIGCONT have taken back the stop.
fn failed(task: &Task, error: Errno) -> u64 {
    if error.is_restart() {
        task.note(WORK_SIGNAL);
    }
    error.to_result()
}

/// What a debug build's calls find on the stack below them, so that bytes of it that a program is given show.
const STACK: u8 = 0xDC;

#[inline(never)]
fn soil_stack() {
    // Something to be written to, or it would be a constant.
    core::hint::black_box(&mut [STACK; 8 << 10]);
}

#[cold]
fn traced(
    task: &Task,
    frame: &mut TrapFrame,
    handler: table::Handler,
    number: u64,
    arguments: &Arguments,
) -> u64 {
    let row = TABLE.iter().find(|row| u64::from(row.number) == number).expect("what has a handler has a row");
    log::info!(target: "strace", "{}[{}]: {}", *task.name.lock(), task.tid(), Shown(row, arguments));
    let result = handler(&mut Call { task, frame }, *arguments);
    match &result {
        Ok(value) => {
            log::info!(target: "strace", "{}[{}]: {} = {value:#x}", *task.name.lock(), task.tid(), row.name)
        }
        Err(error) => {
            log::info!(target: "strace", "{}[{}]: {} = {error:?}", *task.name.lock(), task.tid(), row.name)
        }
    }
    result.unwrap_or_else(|error| failed(task, error))
}

struct Shown<'a>(&'a table::Row, &'a Arguments);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.0.name)?;
        let names = self.0.arguments.split(", ").filter(|name| !name.is_empty());
        for (n, (name, value)) in names.zip(self.1).enumerate() {
            let comma = if n > 0 { ", " } else { "" };
            write!(f, "{comma}{name} {value:#x}")?;
        }
        f.write_str(")")
    }
}

/// Of which calls, by which programs, was told already.
struct Told {
    calls: [(Name, u64); KEPT],
    next: usize,
}

const KEPT: usize = 128;

static TOLD: IrqLock<Option<Told>> = IrqLock::new(Rank::UnknownCalls, None);

#[cold]
fn unknown(task: &Task, number: u64) -> u64 {
    let name = *task.name.lock();
    let is_new = {
        let mut told = TOLD.lock();
        let told = told.get_or_insert_with(|| Told { calls: [(Name::new(""), u64::MAX); KEPT], next: 0 });
        let is_new = !told.calls.contains(&(name, number));
        if is_new {
            told.calls[told.next % KEPT] = (name, number);
            told.next += 1;
        }
        is_new
    };
    if is_new {
        let row = TABLE.iter().find(|row| u64::from(row.number) == number);
        let call = row.map_or("no such call", |row| row.name);
        log::warn!(target: "syscall", "{name}[{}]: {number} ({call}) is not there (-ENOSYS)", task.tid());
    }
    Errno::Enosys.to_result()
}
