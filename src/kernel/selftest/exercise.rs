//! Files exercised on the live machine, and counted: what they took is given back, to the frame.
//!
//! The exercisers are `fs::exercise`. `exercise=N` on the command line says how many steps they take.

use super::{Outcome, Trouble, check, settle};
use crate::arch::x86_64::percpu::copies;
use crate::arch::x86_64::usercopy;
use crate::boot::layout::PAGE_SIZE;
use crate::fs::calls::OpenHow;
use crate::fs::exercise::fsx::{Fsx, MOST, Window, Wrong};
use crate::fs::exercise::stress::{Worker, clear};
use crate::fs::file::File;
use crate::fs::flags::{AtFlags, MountFlags, OpenFlags};
use crate::fs::namei::{At, Caller, Last};
use crate::fs::refs::Ref;
use crate::fs::super_block::StatFs;
use crate::fs::{self, mapped, pipe, tmpfs};
use crate::kernel::user::space::Space;
use crate::kernel::{boot_info, files};
use crate::mm::vma::area::Prot;
use crate::mm::vma::space::{MapFlags, Mapping};
use crate::mm::{frames, heap};
use crate::sync::checks;
use crate::task::{self, JoinHandle, Policy};
use alloc::boxed::Box;
use core::sync::atomic::{AtomicUsize, Ordering};
use log::{error, info};

const DIR: &[u8] = b"/tmp/exercise";
const FILE: &[u8] = b"/tmp/exercise/file";
/// Steps, unless the command line says otherwise.
const STEPS: u64 = 20_000;
const THREADS: usize = 4;

pub(super) fn steps() -> u64 {
    boot_info::command_line().number("exercise").ok().flatten().unwrap_or(STEPS)
}

/// The addresses at which a file is shown, shared and private.
pub(super) struct Places([u64; 2]);

impl Window for Places {
    fn load(&mut self, private: bool, at: usize, to: &mut [u8]) -> bool {
        usercopy::copy_in(to, self.0[usize::from(private)] + at as u64).is_ok()
    }

    fn store(&mut self, private: bool, at: usize, from: &[u8]) -> bool {
        usercopy::copy_out(self.0[usize::from(private)] + at as u64, from).is_ok()
    }
}

/// Runs `test` with a tmpfs of its own, which has nothing in it afterwards.
fn with_tmpfs(test: impl FnOnce(&Caller<'_>) -> Outcome) -> Outcome {
    let caller = files::caller().ok_or("there are no files")?;
    let cache = files::cache().ok_or("there is no cache")?;
    caller.mkdir(At::Cwd, DIR, 0o700)?;
    let flags = MountFlags::RELATIME;
    let mount = caller.mount(cache, &tmpfs::TYPE, b"exercise", DIR, flags, b"")?;
    let used = || {
        fs::tidy();
        let StatFs { blocks, free, files, free_files, .. } = mount.fs.ops.statfs();
        (blocks - free, files - free_files)
    };
    let outcome = test(&caller);
    settle();
    let left = used();
    if left != (0, 1) {
        error!(target: "selftest", "{} pages and {} inodes are left", left.0, left.1);
    }
    drop(mount);
    caller.unmount(DIR, Last::Follow, false)?;
    caller.rmdir(At::Cwd, DIR)?;
    fs::tidy();
    outcome.and(check(left == (0, 1), "pages or inodes are left"))
}

/// Frames that others may have taken in the meantime: the heap keeps a slab of each size at hand, and the stacks of threads
/// that have ended are kept for those to come. Whoever loses something at each hundredth step has lost many more.
const OTHERS: u64 = 64;

/// Hardly fewer frames are free after a test than before. There may be more: on many CPUs somebody else may just have ended.
pub(super) fn nothing_lost(test: impl FnOnce() -> Outcome) -> Outcome {
    settle();
    heap::drain_all();
    let before = frames::all_free_frames();
    let outcome = test();
    settle();
    heap::drain_all();
    let after = frames::all_free_frames();
    let is_good = after + OTHERS >= before;
    if !is_good {
        error!(target: "selftest", "{before} frames were free, {after} are");
    }
    outcome.and(check(is_good, "frames are missing"))
}

/// One file, by one thread.
pub fn fsx() -> Outcome {
    nothing_lost(|| with_tmpfs(one_file))
}

fn one_file(caller: &Caller<'_>) -> Outcome {
    let flags = OpenFlags::CREAT | OpenFlags::RDWR;
    let file = caller.open(At::Cwd, FILE, OpenHow::new(flags.bits(), 0o600)?)?;
    let outcome = with_fsx(caller, &file, |fsx| said(fsx.run(steps())));
    caller.unlink(At::Cwd, FILE)?;
    outcome
}

/// Runs `test` with an exerciser of an empty file, which is shown at two places meanwhile.
pub(super) fn with_fsx(
    caller: &Caller<'_>,
    file: &Ref<File>,
    test: impl FnOnce(&mut Fsx<'_, Places>) -> Outcome,
) -> Outcome {
    let space = Space::new("exercise", &[0x90; PAGE_SIZE as usize], false)?;
    let mut places = [0; 2];
    for (place, flags) in places.iter_mut().zip([MapFlags::SHARED, MapFlags::PRIVATE]) {
        let prot = Prot::READ | Prot::WRITE;
        let file = Some(mapped::open(file, 0)?);
        let want = Mapping { addr: 0, len: MOST as u64, prot, flags, file };
        *place = space.space().map(want)?.span.start;
    }
    let active = space.activate();
    let made = Fsx::new(*caller, file.clone(), Places(places), 1);
    let outcome = made.map_err(|_| Trouble::Failed("no memory")).and_then(|mut fsx| test(&mut fsx));
    drop(active);
    outcome
}

/// What an exerciser has found, told.
pub(super) fn said(outcome: Result<(), Wrong>) -> Outcome {
    outcome.map_err(|wrong| {
        error!(target: "selftest", "step {}, byte {}: {}", wrong.step, wrong.at, wrong.what);
        Trouble::Failed(wrong.what)
    })
}

/// Steps of each thread; then one of them goes wrong, and says so itself.
static EACH: AtomicUsize = AtomicUsize::new(0);

/// A thread; 1 if all went well.
fn work(seed: usize) -> usize {
    let Some(caller) = files::caller() else { return 0 };
    // Not on the stack.
    let mut worker = Box::new(Worker::new(caller, DIR, seed as u64));
    let outcome = worker.run(EACH.load(Ordering::Relaxed) as u64);
    worker.end();
    match outcome {
        Ok(()) => 1,
        Err((what, step)) => {
            error!(target: "selftest", "thread {seed}, step {step}: {what}");
            0
        }
    }
}

/// Many threads, in one tree.
pub fn stress() -> Outcome {
    nothing_lost(|| {
        with_tmpfs(|caller| {
            EACH.store(steps() as usize / THREADS, Ordering::Relaxed);
            let threads: [_; THREADS] =
                core::array::from_fn(|seed| task::spawn("exercise", Policy::Normal(0), work, seed));
            let good: usize = threads.into_iter().map(|thread| thread.map_or(0, JoinHandle::join)).sum();
            let cleared = clear(caller, DIR);
            info!(target: "selftest", "{} steps on {} CPUs", steps(), copies::online_count());
            check(good == THREADS, "a thread met something wrong")?;
            cleared?;
            check(pipe::files::count() == 0, "a FIFO that nobody has open is still there")
        })
    })
}

/// Locks and shared writes of a walk along a path that is in the cache. An interrupt may add to what this CPU counts, so
/// it is the least of many tries.
pub fn walk() -> Outcome {
    if !checks::CHECKED {
        return Err(Trouble::Skipped("a release build counts no locks"));
    }
    with_tmpfs(|caller| {
        caller.mkdir(At::Cwd, b"/tmp/exercise/a", 0o700)?;
        let flags = OpenFlags::CREAT | OpenFlags::RDWR;
        const PATH: &[u8] = b"/tmp/exercise/a/file";
        Caller::close(caller.open(At::Cwd, PATH, OpenHow::new(flags.bits(), 0o600)?)?);
        let least = |work: &dyn Fn() -> bool| {
            let mut least = (u64::MAX, u64::MAX);
            for _ in 0..100 {
                let before = checks::counts();
                let good = work();
                let after = checks::counts();
                if good && after.0 >= before.0 && after.1 >= before.1 {
                    least = least.min((after.0 - before.0, after.1 - before.1));
                }
            }
            least
        };
        let stat = |path: &[u8]| caller.stat(At::Cwd, path, AtFlags::empty());
        let found = least(&|| stat(PATH).is_ok());
        let nothing = least(&|| stat(b"/tmp/exercise/a/no").is_err());
        let opened = least(&|| {
            let file = OpenHow::new(0, 0).and_then(|how| caller.open(At::Cwd, PATH, how));
            file.map(Caller::close).is_ok()
        });
        info!(
            target: "selftest",
            "locks and shared writes: stat {}+{}, of nothing {}+{}, open and close {}+{}",
            found.0, found.1, nothing.0, nothing.1, opened.0, opened.1
        );
        caller.unlink(At::Cwd, PATH)?;
        caller.rmdir(At::Cwd, b"/tmp/exercise/a")?;
        check(found == (0, 0), "a walk over the cache takes a lock, or writes a shared word")?;
        check(nothing == (0, 0), "a walk to nothing takes a lock, or writes a shared word")?;
        check(opened.0 > 0 && opened.1 > 0, "nothing is counted")
    })
}
