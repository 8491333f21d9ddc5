//! `execve`: another program in the place of the one that runs.
//!
//! ```text
//!  the file, or its interpreter's ─► a plan (elf) ─► a new memory: segments, stack, what the program is told
//!                                                      │  any error: the old program goes on as if nothing had been
//!  - - - - - - - - - - - - - - - - - - - - - - - - - - ▼ - - - the point of no return
//!  the other threads end ─► the new memory ─► files closed, handlers gone ─► registers
//! ```
//!
//! Source: POSIX.1-2017, exec; Linux, fs/exec.c and fs/binfmt_elf.c, for order and for what POSIX leaves open.

use super::elf::{self, Program, Segment};
use super::exec::arguments::Arguments;
use super::exec::layout::{self, Bias, Words};
use super::exec::script::{HEAD_BYTES, SCRIPTS_MAX, Script};
use super::exec::stack::{self, HWCAP2_FSGSBASE, Told};
use super::ids::{self, Begun};
use super::process::{Memory, Strings, TREE, Task, WORK_END};
use super::signal::Signal;
use super::user::Mine;
use super::{end, limits::Resource};
use crate::arch::x86_64::frame::TrapFrame;
use crate::arch::x86_64::user::{Segments, Start};
use crate::arch::x86_64::{cpu, usercopy};
use crate::boot::elf::SegmentFlags;
use crate::boot::layout::{PAGE_SIZE, USER_END};
use crate::errno::Errno;
use crate::fs::Result;
use crate::fs::busy::Running;
use crate::fs::calls::{OpenHow, may_execute};
use crate::fs::cred::Credentials;
use crate::fs::fd::FdTable;
use crate::fs::file::File;
use crate::fs::flags::MountFlags;
use crate::fs::io;
use crate::fs::mapped;
use crate::fs::namei::{At, Caller};
use crate::fs::refs::Ref;
use crate::mm::space::live::{KernelEnv, ListedSpace, SPACES, UserSpace};
use crate::mm::vma::area::Prot;
use crate::mm::vma::space::{Layout, Limits, MapFlags, Mapping};
use crate::random;
use crate::task::{Name, context, fpu};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

/// Nothing is mapped below (`vm.mmap_min_addr`).
const LOWEST: u64 = 0x1_0000;

/// `norandmaps`.
static WITHOUT_RANDOMNESS: AtomicBool = AtomicBool::new(false);

/// From here on everything has its place.
pub fn leave_out_randomness() {
    WITHOUT_RANDOMNESS.store(true, Ordering::Relaxed);
}

/// What nobody can guess, of one draw: for the places, if they are to be others each time, and for the program (AT_RANDOM).
fn draw() -> (Option<Words>, [u8; 16]) {
    let mut bytes = [0; 56];
    random::fill(&mut bytes);
    let word = |n: usize| u64::from_le_bytes(bytes[n * 8..n * 8 + 8].try_into().expect("eight bytes"));
    let words = || Words { stack: word(0), shift: word(1), mmap: word(2), base: word(3), brk: word(4) };
    let is_random = !WITHOUT_RANDOMNESS.load(Ordering::Relaxed);
    (is_random.then(words), bytes[40..].try_into().expect("sixteen bytes"))
}

impl elf::Source for File {
    fn len_bytes(&self) -> u64 {
        self.inode.ops.size()
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize> {
        File::read_at(self, &mut io::Into::new(into), offset)
    }
}

/// A program that is ready to be run, in a memory of its own.
pub struct Loaded {
    memory: Ref<Memory>,
    registers: TrapFrame,
    name: Name,
    credentials: Option<Ref<Credentials>>,
    /// It has rights that who calls it has not.
    is_secure: bool,
}

/// The file of a program, opened; with what its mode says of whose it is to be.
fn open(caller: &Caller<'_>, at: At<'_>, path: &[u8]) -> Result<Ref<File>> {
    let how = OpenHow::new(0, 0)?;
    // `execveat` has seen to it that an empty path was meant so.
    let file = match at {
        At::Path(place) if path.is_empty() => caller.open_path(place.clone(), how)?,
        _ => caller.open(at, path, how)?,
    };
    may_execute(&file.path, caller.credentials)?;
    Ok(file)
}

/// Finds the program that a path leads to, over `#!` and interpreters, and makes a memory with it. ENOEXEC and others: as if
/// nothing had been. The thread that runs has the memory that it had before.
pub fn load(task: &Task, at: At<'_>, path: &[u8], mut arguments: Arguments) -> Result<Loaded> {
    let standing = task.process.standing();
    let caller = standing.caller();
    let mut file = open(&caller, at, path)?;
    let mut called = copy(path)?;
    for scripts in 0.. {
        let mut head = [0; HEAD_BYTES];
        let len = elf::Source::read_at(&*file, 0, &mut head)?;
        let Some(script) = Script::read(&head[..len]) else { break };
        if scripts == SCRIPTS_MAX {
            return Err(Errno::Eloop);
        }
        let script = script?;
        arguments.interpret(&script, &called)?;
        called = copy(script.interpreter)?;
        file = open(&caller, At::Cwd, &called)?;
    }
    let program = Program::read(&*file, LOWEST..USER_END)?;
    let helper = match &program.interpreter {
        Some(path) => {
            let file = open(&caller, At::Cwd, path)?;
            let helper = Program::read(&*file, LOWEST..USER_END)?;
            Some((file, helper))
        }
        None => None,
    };
    let is_bound = task.process.no_new_privileges.load(Ordering::Relaxed);
    let (credentials, is_secure) = raised(&file, &standing.credentials, is_bound)?;
    let name = name_of(arguments.name());

    let (words, random) = draw();
    let limits = *task.process.limits.lock();
    let stack_limit = limits.bound(Resource::Stack);
    let places = layout::Layout::new(words.as_ref(), stack_limit);
    let bounds = Layout {
        lowest: LOWEST,
        top: places.mmap_top,
        bottom: USER_END / 3 / PAGE_SIZE * PAGE_SIZE,
        end: USER_END,
    };
    let memory_limits = Limits {
        address_space: limits.bound(Resource::AddressSpace),
        data: limits.bound(Resource::Data),
        stack: stack_limit,
        ..Limits::default()
    };
    let space = ListedSpace::new(&SPACES, KernelEnv, bounds, memory_limits)?;
    let memory = Memory::new(space, Strings::default(), Some(Running::new(file.clone())?))?;
    // What is written there is written through the tables that the CPU has.
    let before = task.active();
    task.activate(Some(memory.clone()));
    let filled = fill(&Filling {
        memory: &memory,
        file: &file,
        program: &program,
        helper: helper.as_ref().map(|(file, program)| (file, program)),
        arguments: &arguments,
        places: &places,
        words: words.as_ref(),
        random,
        credentials: credentials.as_ref().unwrap_or(&standing.credentials),
        is_secure,
    });
    task.activate(before);
    let registers = filled?;
    Ok(Loaded { memory, registers, name, credentials, is_secure })
}

fn copy(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut copy = crate::mm::vma::room::with_room(bytes.len()).map_err(|_| Errno::Enomem)?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}

/// What the process is to be called: the last part of the path, 15 bytes of it.
fn name_of(path: &[u8]) -> Name {
    let last = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
    let last = &last[..last.len().min(15)];
    let end = match core::str::from_utf8(last) {
        Ok(_) => last.len(),
        Err(error) => error.valid_up_to(),
    };
    Name::new(core::str::from_utf8(&last[..end]).unwrap_or(""))
}

/// Whose the program is to be, if that changes; and whether it has rights that who started it has not.
fn raised(file: &File, old: &Credentials, is_bound: bool) -> Result<(Option<Ref<Credentials>>, bool)> {
    let owner = file.inode.owner();
    let may_gain = !is_bound && !file.path.mount.flags().contains(MountFlags::NOSUID);
    let Begun { credentials, is_secure } = ids::exec(old, owner.mode, (owner.uid, owner.gid), may_gain)?;
    let changes = ids::differ(&credentials, old);
    Ok((if changes { Some(Ref::new(credentials)?) } else { None }, is_secure))
}

struct Filling<'a> {
    memory: &'a Memory,
    file: &'a Ref<File>,
    program: &'a Program,
    helper: Option<(&'a Ref<File>, &'a Program)>,
    arguments: &'a Arguments,
    places: &'a layout::Layout,
    words: Option<&'a Words>,
    random: [u8; 16],
    credentials: &'a Credentials,
    is_secure: bool,
}

/// Maps everything and writes the stack; the registers that it begins with.
fn fill(it: &Filling<'_>) -> Result<TrapFrame> {
    let space = &it.memory.space;
    let bias = place(space, it.program, layout::program_bias(it.program, it.words))?;
    map(space, it.file, it.program, bias)?;
    let helper_bias = match it.helper {
        Some((file, helper)) => {
            let bias = place(space, helper, Bias::AmongMappings)?;
            map(space, file, helper, bias)?;
            Some((bias, helper))
        }
        None => None,
    };
    let data: u64 = it
        .program
        .segments
        .iter()
        .filter(|segment| segment.flags.contains(SegmentFlags::W))
        .map(|segment| segment.end() - segment.vaddr)
        .sum();
    space.set_heap(layout::brk_start(it.program, bias, it.words), data);

    let top = it.places.stack_top;
    let mut prot = Prot::READ | Prot::WRITE;
    prot.set(Prot::EXEC, it.program.executable_stack);
    // Room for the strings, and then some, from the beginning; the rest grows.
    let len = (it.arguments.len_bytes() + 0x2_0000).next_multiple_of(PAGE_SIZE);
    let flags = MapFlags::PRIVATE | MapFlags::ANONYMOUS | MapFlags::FIXED | MapFlags::GROWSDOWN;
    space.map(Mapping { addr: top - len, len, prot, flags, file: None })?;

    let entry = bias.wrapping_add(it.program.entry);
    let told = Told {
        vdso: super::vdso::live::map(space)?,
        signal_stack_min: super::signal::frame::size_max(super::deliver::machine()),
        hwcap: u64::from(cpu::cpuid(1, 0).edx),
        hwcap2: if cpu::has_fsgsbase() { HWCAP2_FSGSBASE } else { 0 },
        headers: it.program.headers.map_or(0, |at| bias.wrapping_add(at)),
        header_count: u64::from(it.program.header_count),
        interpreter_base: helper_bias.map_or(0, |(bias, _)| bias),
        entry,
        uid: it.credentials.uid,
        effective_uid: it.credentials.effective_uid,
        gid: it.credentials.gid,
        effective_gid: it.credentials.effective_gid,
        is_secure: it.is_secure,
        random: it.random,
    };
    let written = stack::write(it.arguments, &told, top, it.places.stack_shift, &mut Mine)?;
    *it.memory.strings.lock() =
        Strings { arguments: written.arguments, environment: written.environment, stack: written.rsp };
    let rip = helper_bias.map_or(entry, |(bias, helper)| bias.wrapping_add(helper.entry));
    Ok(Start::new(rip, written.rsp, 0, (0, 0)).frame)
}

/// What is to be added to a program's addresses, and room for it there.
fn place(space: &UserSpace, program: &Program, bias: Bias) -> Result<u64> {
    let span = program.span().ok_or(Errno::Enoexec)?;
    match bias {
        Bias::Add(bias) => Ok(bias),
        Bias::AmongMappings => {
            let len = span.end - span.start;
            let more = len.checked_add(program.align).ok_or(Errno::Enomem)?;
            let flags = MapFlags::PRIVATE | MapFlags::ANONYMOUS;
            let want = Mapping { addr: 0, len: more, prot: Prot::empty(), flags, file: None };
            let found = space.map(want)?.span.start;
            space.unmap(found, more)?;
            let at = found.next_multiple_of(program.align);
            Ok(at.wrapping_sub(span.start & !(program.align - 1)))
        }
    }
}

/// Maps a program's segments.
fn map(space: &UserSpace, file: &Ref<File>, program: &Program, bias: u64) -> Result<()> {
    for segment in &program.segments {
        map_segment(space, file, segment, bias)?;
    }
    Ok(())
}

fn map_segment(space: &UserSpace, file: &Ref<File>, segment: &Segment, bias: u64) -> Result<()> {
    let mut prot = Prot::empty();
    prot.set(Prot::READ, segment.flags.contains(SegmentFlags::R));
    prot.set(Prot::WRITE, segment.flags.contains(SegmentFlags::W));
    prot.set(Prot::EXEC, segment.flags.contains(SegmentFlags::X));
    let at = bias.wrapping_add(segment.vaddr);
    let end = at.checked_add(segment.end() - segment.vaddr).ok_or(Errno::Enomem)?;
    if at < LOWEST || end > USER_END {
        return Err(Errno::Enomem);
    }
    let flags = MapFlags::PRIVATE | MapFlags::FIXED;
    if segment.file_bytes > 0 {
        let len = segment.file_bytes;
        let shown = mapped::open(file, segment.offset)?;
        space.map(Mapping { addr: at, len, prot, flags, file: Some(shown) })?;
        if segment.clear_bytes > 0 {
            let at = bias.wrapping_add(segment.clear_at());
            if usercopy::clear(at, segment.clear_bytes)? != 0 {
                return Err(Errno::Enomem);
            }
        }
    }
    if segment.zero_bytes > 0 {
        let want = Mapping {
            addr: at + segment.file_bytes,
            len: segment.zero_bytes,
            prot,
            flags: flags | MapFlags::ANONYMOUS,
            file: None,
        };
        space.map(want)?;
    }
    Ok(())
}

/// A copy of the table of descriptors, if others have it too. ENOMEM.
fn own_files(task: &Task) -> Result<Option<Ref<FdTable>>> {
    let files = task.process.files();
    if files.count() > 2 { Ok(Some(Ref::with_last(files.copy()?)?)) } else { Ok(None) }
}

/// The program that was loaded takes the place of the old one. EAGAIN, EINTR: the process ends, or somebody else is doing
/// the same; then the old one goes on.
pub fn install(task: &Task, frame: &mut TrapFrame, loaded: Loaded) -> Result<()> {
    alone(task)?;
    // A table that another process has too is not to be closed in.
    let own_files = own_files(task).inspect_err(|_| end::begin(task, end::killed(Signal::KILL)))?;
    // What waits for this thread's locks and for its end has it in the old memory.
    end::leave_memory(task);
    let Loaded { memory, registers, name, credentials, is_secure } = loaded;
    let process = &task.process;
    task.activate(Some(memory.clone()));
    let old = process.set_memory(Some(memory));
    end::release_vfork(task);
    drop(old);
    if let Some(files) = own_files {
        process.set_files(files);
    }
    process.give_locks_back(|files, fd| files.is_close_on_exec(fd).unwrap_or(false));
    process.files().close_on_exec();
    process.group().actions.exec();
    {
        let mut mine = task.signals.lock();
        mine.stack = super::signal::altstack::AltStack::NONE;
    }
    if let Some(credentials) = credentials {
        process.set_credentials(credentials);
    }
    process.is_dumpable.store(!is_secure, Ordering::Relaxed);
    if is_secure {
        process.death_signal.store(0, Ordering::Relaxed);
    }
    rename(task, name);
    TREE.lock().note_exec(process.pid);
    fpu::reset();
    context::set_segments(&Segments::default());
    *frame = registers;
    crate::fs::tidy();
    Ok(())
}

/// Another name for the thread that runs.
pub fn rename(task: &Task, name: Name) {
    *task.name.lock() = name;
    crate::task::thread::Thread::rename(name);
}

/// Has every other thread of the process end, and waits for that. Who was not the first takes its number.
fn alone(task: &Task) -> Result<()> {
    let process = &task.process;
    {
        let mut group = process.group();
        if group.end.is_some() || group.executing.is_some() {
            return Err(Errno::Eagain);
        }
        group.executing = Some(task.tid());
        for one in group.iter().filter(|one| one.tid() != task.tid()) {
            one.alert(WORK_END);
        }
    }
    // Some may be stopped.
    process.continued.wake_all();
    let is_alone = || process.group().threads == 1;
    let alone =
        process.children.wait_until_or(is_alone, || task.work() & WORK_END != 0, crate::sync::parker::NEVER);
    process.group().executing = None;
    if !alone {
        return Err(Errno::Eintr);
    }
    if task.tid() != process.pid {
        let mut tree = TREE.lock();
        let old = task.tid();
        if let Some(me) = tree.take_thread(old) {
            tree.set_thread(process.pid, me);
        }
        tree.release(old);
        task.set_tid(process.pid);
    }
    Ok(())
}
