//! The exercisers on the host, with models of frames and of a TLB that notice misuse.

use super::world::{Calls, World};
use crate::fs::exercise::fsx::{Fsx, MOST, Window};
use crate::fs::exercise::stress::{Worker, clear};
use crate::fs::flags::OpenFlags;
use crate::fs::mapped;
use crate::fs::nameless;
use crate::fs::pages::{self, Machine};
use crate::mm::addr::Frame;
use crate::mm::space::listed::{List, Listed};
use crate::mm::space::tests::machine::Shows;
use crate::mm::space::tests::program::RW;
use crate::mm::space::{Outcome, Shown};
use crate::mm::vma::space::{Layout, Limits, MapFlags, Mapping};
use core::ops::Range;
use std::sync::{Arc, Weak};
use std::vec::Vec;

static SPACES: List<Machine, Shown<Machine>> = List::new();

/// All address spaces of [`SPACES`].
struct All;

impl Shows for All {
    fn unmap(&self, file: usize, bytes: Range<u64>, which: &dyn Fn(u64, Frame) -> bool) {
        SPACES.for_each(|space| space.unmap_object(|shown| shown.is_of(file), bytes.clone(), which));
    }

    fn write_protect(&self, file: usize, bytes: Range<u64>) {
        SPACES.for_each(|space| space.write_protect_object(|shown| shown.is_of(file), bytes.clone()));
    }
}

/// Pipes work, and other files without names.
fn prepare() {
    static PREPARED: std::sync::Once = std::sync::Once::new();
    PREPARED.call_once(|| {
        nameless::init(&World::new().cache).unwrap();
    });
}

/// Has the tests' address spaces asked, for as long as it lives.
pub fn ask_spaces() -> impl Drop {
    struct Asked(#[expect(dead_code, reason = "kept")] Arc<All>);
    impl Drop for Asked {
        fn drop(&mut self) {}
    }
    let all = Arc::new(All);
    let shows: Weak<All> = Arc::downgrade(&all);
    pages::machine().shows.write().unwrap().push(shows);
    Asked(all)
}

pub type Space = Listed<Machine, Shown<Machine>>;

pub fn space() -> Space {
    let layout = Layout::with_stack(Some(8 << 20));
    Space::new(&SPACES, pages::machine(), layout, Limits::default()).expect("memory for a top table")
}

/// Where a file is shown; the private one is behind it.
pub const AT: u64 = 0x1000_0000;

pub fn map(space: &Space, at: u64, flags: MapFlags, file: &crate::fs::refs::Ref<crate::fs::file::File>) {
    let file = Some(mapped::open(file, 0).expect("it can be mapped"));
    let flags = flags | MapFlags::FIXED;
    space.map(Mapping { addr: at, len: MOST as u64, prot: RW, flags, file }).expect("it is mapped");
}

/// A processor that moves words.
struct Words(Space);

impl Words {
    fn each(
        &self,
        private: bool,
        at: usize,
        len: usize,
        mut byte: impl FnMut(usize, &mut u8) -> bool,
    ) -> bool {
        let base = AT + if private { MOST as u64 } else { 0 };
        (0..len).all(|n| {
            let (page, word) = ((at + n) / 4096 * 4096, (at + n) % 4096 / 8);
            let Ok(old) = self.0.access(base + page as u64, word, None) else { return false };
            let mut bytes = old.to_le_bytes();
            if byte(n, &mut bytes[(at + n) % 8]) {
                let new = u64::from_le_bytes(bytes);
                return self.0.access(base + page as u64, word, Some(new)).is_ok();
            }
            true
        })
    }
}

impl Window for Words {
    fn load(&mut self, private: bool, at: usize, to: &mut [u8]) -> bool {
        self.each(private, at, to.len(), |n, byte| {
            to[n] = *byte;
            false
        })
    }

    fn store(&mut self, private: bool, at: usize, from: &[u8]) -> bool {
        self.each(private, at, from.len(), |n, byte| {
            *byte = from[n];
            true
        })
    }
}

#[test]
fn one_file_against_its_bytes() {
    let _asked = ask_spaces();
    for seed in 0..2 {
        let world = World::new();
        let file = world.open_as("file", OpenFlags::CREAT | OpenFlags::RDWR, 0o600).unwrap();
        let space = space();
        map(&space, AT, MapFlags::SHARED, &file);
        map(&space, AT + MOST as u64, MapFlags::PRIVATE, &file);
        let mut fsx = Fsx::new(world.caller(), file, Words(space), seed).unwrap();
        assert_eq!(fsx.run(1500), Ok(()), "seed {seed}");
        drop(fsx);
        super::world::settle();
        world.remove("file").unwrap();
        super::world::settle();
        assert_eq!((world.fs.inodes.used(), world.fs.pages.used()), (1, 0), "nothing is left");
    }
}

/// The same on a disk, whose pages go and come back meanwhile: to be had again they must have been written.
#[test]
fn one_file_on_a_disk() {
    use crate::fs::exercise::disk::{self, Disk};
    use core::sync::atomic::{AtomicBool, Ordering};
    let _asked = ask_spaces();
    prepare();
    let world = World::new();
    let disk = Disk::exact(MOST / 4096, std::thread::yield_now).unwrap();
    let file = disk::open(&disk, &world.user).unwrap();
    let space = space();
    map(&space, AT, MapFlags::SHARED, &file);
    map(&space, AT + MOST as u64, MapFlags::PRIVATE, &file);
    let mut fsx = Fsx::new(world.caller(), file.clone(), Words(space), 7).unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let squeezing = scope.spawn(|| {
            let pages = disk::pages_of(&file);
            while !over.load(Ordering::Relaxed) {
                pages.write_back(0..u64::MAX);
                pages.invalidate(0..u64::MAX);
                std::thread::yield_now();
            }
        });
        let outcome = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| fsx.run(1500)));
        over.store(true, Ordering::Relaxed);
        squeezing.join().unwrap();
        assert_eq!(outcome.unwrap(), Ok(()));
    });
    assert!(disk.writes.load(Ordering::Relaxed) > 0 && disk.reads.load(Ordering::Relaxed) > 0);
    // All of it comes back from there.
    let pages = disk::pages_of(&file);
    file.ops().fsync(&file, false).unwrap();
    assert_eq!(pages.counts().dirty, 0);
    assert_eq!(fsx.run(0), Ok(()));
    disk.set_broken(true);
    file.write_at(&mut crate::fs::io::From(b"lost"), 0).unwrap();
    assert_eq!(file.ops().fsync(&file, false), Err(crate::errno::Errno::Eio));
    assert_eq!(file.ops().fsync(&file, false), Ok(()), "told once");
}

#[test]
fn what_was_stamped() {
    use crate::fs::exercise::disk::{stamp, version};
    let mut page = [0; 4096];
    for (number, at) in [(0, 1), (7, 9), (7, 10)] {
        stamp(number, at, 0, &mut page);
        assert_eq!((version(number, &page), version(number + 1, &page)), (Some(at), None));
        let last = core::mem::replace(&mut page[4000], 0x55);
        assert_eq!(version(number, &page), if last == 0x55 { Some(at) } else { None });
    }
    assert_eq!(version(3, &[0; 4096]), Some(0), "never written");
}

#[test]
fn many_threads_leave_nothing() {
    let world = World::with_cache(64);
    prepare();
    world.make_dir("t").unwrap();
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let world = &world;
            scope.spawn(move || {
                let mut worker = std::boxed::Box::new(Worker::new(world.caller(), b"/t", seed));
                assert_eq!(worker.run(3000), Ok(()));
                worker.end();
            });
        }
    });
    clear(&world.caller(), b"/t").unwrap_or_else(|error| panic!("{error:?}"));
    world.remove_dir("t").unwrap();
    super::world::settle();
    assert_eq!((world.fs.inodes.used(), world.fs.pages.used()), (1, 0), "nothing is left");
}

/// A child that is being made while the file gets shorter has no page behind the end either.
#[test]
fn forks_and_truncations() {
    let _asked = ask_spaces();
    let world = World::new();
    let file = world.open_as("file", OpenFlags::CREAT | OpenFlags::RDWR, 0o600).unwrap();
    let parent = space();
    map(&parent, AT, MapFlags::SHARED, &file);
    for round in 0..200 {
        let caller = world.caller();
        caller.truncate_file(&file, MOST as i64, u64::MAX).unwrap();
        for page in 0..8 {
            parent.access(AT + page * 4096, 0, Some(round + 1)).unwrap();
        }
        let children: Vec<Space> = std::thread::scope(|scope| {
            let forks: Vec<_> = (0..2).map(|_| scope.spawn(|| parent.fork().unwrap())).collect();
            caller.truncate_file(&file, 4096, u64::MAX).unwrap();
            forks.into_iter().map(|fork| fork.join().unwrap()).collect()
        });
        for space in children.iter().chain([&parent]) {
            assert_eq!(space.access(AT, 0, None), Ok(round + 1));
            for page in 1..8 {
                assert_eq!(
                    space.access(AT + page * 4096, 0, None),
                    Err(Outcome::Bus),
                    "round {round}, page {page}"
                );
            }
        }
    }
    // The file stays open as long as it is shown.
    assert!(file.count() > 1);
    drop(parent);
    super::world::settle();
    assert_eq!(file.count(), 1);
}

#[test]
fn a_pipe_is_two_files() {
    use crate::errno::Errno;
    use crate::fs::io::{From, Into};
    prepare();
    let world = World::new();
    let caller = world.caller();
    assert_eq!(caller.pipe(OpenFlags::DIRECT).err(), Some(Errno::Einval));
    let [from, to] = caller.pipe(OpenFlags::NONBLOCK | OpenFlags::CLOEXEC).unwrap();
    let stat = from.path.stat().unwrap();
    assert_eq!((stat.mode, stat.links, stat.inode), (0o010600, 1, to.path.stat().unwrap().inode));
    let name = std::format!("pipe:[{}]", stat.inode);
    assert_eq!(caller.path_of(&from.path).unwrap(), name.as_bytes());
    let mut bytes = [0; 8];
    assert_eq!(from.read(&mut Into::new(&mut bytes)), Err(Errno::Eagain));
    assert_eq!(from.write(&mut From(b"no")), Err(Errno::Ebadf));
    assert_eq!(to.read(&mut Into::new(&mut bytes)), Err(Errno::Ebadf));
    assert_eq!(to.write(&mut From(b"some")), Ok(4));
    assert_eq!(from.ops().pipe_size(&from), Ok(65536));
    assert_eq!(to.ops().set_pipe_size(&to, 5000, false), Ok(8192));
    assert_eq!(from.ops().set_pipe_size(&from, 2 << 20, false), Err(Errno::Eperm));
    struct Memory([u8; 4]);
    impl crate::fs::io::User for Memory {
        fn copy_in(&mut self, _: &mut [u8], _: u64) -> crate::fs::Result<()> {
            Err(Errno::Efault)
        }
        fn copy_out(&mut self, to: u64, from: &[u8]) -> crate::fs::Result<()> {
            assert_eq!(to, 77);
            self.0.copy_from_slice(from);
            Ok(())
        }
    }
    let mut memory = Memory([0; 4]);
    assert_eq!(from.ops().ioctl(&from, 0x541B, 77, &mut memory), Ok(0));
    assert_eq!(memory.0, 4i32.to_ne_bytes());
    let events = crate::fs::poll::Events::IN | crate::fs::poll::Events::RDNORM;
    assert_eq!(from.ops().poll(&from, None), events);
    // Opened again, as `/proc/self/fd` does it.
    let how = crate::fs::calls::OpenHow::new(OpenFlags::WRONLY.bits(), 0).unwrap();
    let again = caller.open_path((*to.path).clone(), how).unwrap();
    crate::fs::namei::Caller::close(to);
    assert_eq!(from.read(&mut Into::new(&mut bytes)), Ok(4));
    assert_eq!(&bytes[..4], b"some");
    assert_eq!(from.read(&mut Into::new(&mut bytes)), Err(Errno::Eagain), "there is a writer yet");
    crate::fs::namei::Caller::close(again);
    assert_eq!(from.read(&mut Into::new(&mut bytes)), Ok(0));
    let [from, to] = caller.pipe(OpenFlags::empty()).unwrap();
    crate::fs::namei::Caller::close(from);
    assert_eq!(to.write(&mut From(b"x")), Err(Errno::Epipe));
}

/// Half of it was written when the reader went: the number is the answer, and the writer hears of it all the same.
#[test]
fn who_writes_hears_that_nobody_reads_the_rest() {
    use crate::fs::io::{From, Into, Source};
    struct Told<'a>(From<'a>, bool);
    impl Source for Told<'_> {
        fn left(&self) -> usize {
            self.0.left()
        }
        fn take(&mut self, to: &mut [u8]) -> usize {
            self.0.take(to)
        }
        fn nobody_reads(&mut self) {
            self.1 = true;
        }
    }
    prepare();
    let world = World::new();
    let [from, to] = world.caller().pipe(OpenFlags::empty()).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut source = Told(From(&[7; 100_000]), false);
            (to.write(&mut source), source.1)
        });
        let mut bytes = [0; 4096];
        assert_eq!(from.read(&mut Into::new(&mut bytes)), Ok(4096));
        crate::fs::namei::Caller::close(from);
        let (written, told) = writer.join().unwrap();
        assert!(written.is_ok_and(|written| (4096..100_000).contains(&written)) && told);
    });
}

#[test]
fn memory_that_is_a_file() {
    use crate::fs::io::From;
    let _asked = ask_spaces();
    prepare();
    let world = World::new();
    let caller = world.caller();
    let file = caller.memory_file(b"x y").unwrap();
    assert_eq!(caller.path_of(&file.path).unwrap(), b"/memfd:x y (deleted)");
    assert_eq!(file.write(&mut From(b"12345678")), Ok(8));
    let space = space();
    map(&space, AT, MapFlags::SHARED, &file);
    assert_eq!(space.access(AT, 0, Some(1)), Ok(u64::from_le_bytes(*b"12345678")));
    assert_eq!((file.inode.links(), file.inode.ops.size()), (0, 8));
    assert!(caller.memory_file(&[b'n'; 238]).is_ok() && caller.memory_file(&[b'n'; 239]).is_err());
}
