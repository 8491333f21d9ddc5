//! Pipes, alone and with threads.

use super::*;
use crate::mm::space::tests::machine::{Host, Machine};
use crate::sync::interrupt::interrupted;
use crate::sync::parker::Parker;
use crate::testing::Random;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::collections::VecDeque;
use std::vec;
use std::vec::Vec;

type TestPipe<N = ()> = Pipe<Host, N>;

fn pair() -> (Host, TestPipe) {
    let host = Machine::new(600, 1000);
    (host, Pipe::pair(host, (), Charge::NONE).unwrap())
}

fn write(pipe: &TestPipe, bytes: &[u8]) -> Result<usize, Error> {
    pipe.write(bytes.len(), &mut &bytes[..], &Impatient).map(|wrote| wrote.len)
}

fn read(pipe: &TestPipe, len: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; len];
    let took = pipe.read(len, &mut &mut bytes[..], &Impatient)?;
    bytes.truncate(took);
    Ok(bytes)
}

/// Waits until that many wait for something, and nobody is on his way.
fn until_waiting(pipe: &TestPipe, what: For, count: u32) {
    loop {
        let turnout = *pipe.state.lock().turnout(what);
        if turnout.waiting == count && turnout.coming == 0 {
            return;
        }
        std::thread::yield_now();
    }
}

fn assert_frames_back(host: Host, pipe: TestPipe) {
    drop(pipe);
    assert_eq!(host.free_frames(), 599, "frames have not come back");
}

#[test]
fn what_fits() {
    let (host, pipe) = pair();
    let page = [7; PIPE_BUF];
    for _ in 0..PAGES {
        assert_eq!(write(&pipe, &page), Ok(PIPE_BUF));
    }
    assert_eq!(write(&pipe, b"x"), Err(Error::WouldBlock));
    assert_eq!(pipe.len(), 65_536);
    // A byte that is read makes no room: pages are what counts.
    assert_eq!(read(&pipe, 1).unwrap().len(), 1);
    assert_eq!(write(&pipe, b"x"), Err(Error::WouldBlock));
    assert_eq!(read(&pipe, PIPE_BUF - 1).unwrap().len(), PIPE_BUF - 1);
    assert_eq!(write(&pipe, &page[..4000]), Ok(4000));
    // In one piece or not at all, and no new page for what fits into the last.
    assert_eq!(write(&pipe, &page[..97]), Err(Error::WouldBlock));
    assert_eq!(write(&pipe, &page[..96]), Ok(96));
    assert_eq!(read(&pipe, 1 << 20).unwrap().len(), 65_536);
    assert_eq!(read(&pipe, 1), Err(Error::WouldBlock));
    // More than fits: as much as does.
    assert_eq!(write(&pipe, &[1; 70_000]), Ok(65_536));
    assert_eq!(read(&pipe, 70_000).unwrap(), [1; 65_536]);
    // Byte by byte they share pages.
    assert!((0..65_536).all(|_| write(&pipe, b"y") == Ok(1)));
    assert_eq!(write(&pipe, b"y"), Err(Error::WouldBlock));
    assert_frames_back(host, pipe);
}

#[test]
fn its_size() {
    let (host, pipe) = pair();
    for (asked, privileged, result) in [
        (0, false, Ok(4096)),
        (1, false, Ok(4096)),
        (4097, false, Ok(8192)),
        (100_000, false, Ok(131_072)),
        (1 << 20, false, Ok(1 << 20)),
        ((1 << 20) + 1, false, Err(Error::NotPermitted)),
        ((1 << 20) + 1, true, Ok(2 << 20)),
        ((1 << 31) + 1, true, Err(Error::Invalid)),
        (65_536, false, Ok(65_536)),
    ] {
        assert_eq!(pipe.set_size(asked, privileged), result, "{asked}");
        result.iter().for_each(|&size| assert_eq!(pipe.size(), size));
    }
    // With bytes in it, begun anywhere in the ring.
    write(&pipe, &[0; 3 * PIPE_BUF]).unwrap();
    read(&pipe, 3 * PIPE_BUF).unwrap();
    let bytes: Vec<u8> = (0..50_000).map(|n| (n % 251) as u8).collect();
    assert_eq!(write(&pipe, &bytes), Ok(50_000));
    assert_eq!(pipe.set_size(32_768, false), Err(Error::Busy));
    assert_eq!(pipe.set_size(131_072, false), Ok(131_072));
    assert_eq!(write(&pipe, &bytes), Ok(50_000));
    let all = read(&pipe, 200_000).unwrap();
    assert!(all[..50_000] == bytes && all[50_000..] == bytes);
    assert_frames_back(host, pipe);
}

#[test]
fn ends_that_are_closed() {
    let (host, pipe) = pair();
    let (read_end, write_end) = (Opened::default(), Opened::default());
    let poll = || (pipe.poll(Access::Read, &read_end).0, pipe.poll(Access::Write, &write_end).0);
    const IN: u16 = Events::IN | Events::RDNORM;
    const OUT: u16 = Events::OUT | Events::WRNORM;
    assert_eq!(poll(), (0, OUT));
    write(&pipe, &[1; 65_536]).unwrap();
    assert_eq!(poll(), (IN, 0));
    read(&pipe, 65_000).unwrap();
    assert_eq!(poll(), (IN, OUT));
    pipe.close(Access::Write);
    assert_eq!(poll(), (IN | Events::HUP, OUT));
    assert_eq!(read(&pipe, 1000).unwrap().len(), 536);
    assert_eq!(read(&pipe, 1000), Ok(Vec::new()), "the end");
    pipe.close(Access::Read);
    assert_frames_back(host, pipe);
    let (host, pipe) = pair();
    pipe.close(Access::Read);
    assert_eq!(pipe.poll(Access::Write, &write_end).0, OUT | Events::ERR);
    assert_eq!(write(&pipe, b"x"), Err(Error::BrokenPipe));
    assert_eq!(write(&pipe, b""), Ok(0));
    assert_frames_back(host, pipe);
}

struct Faulting(usize);

impl crate::fs::pagecache::Source for Faulting {
    fn fill(&mut self, bytes: crate::fs::pagecache::Piece<'_>) -> usize {
        let len = bytes.len().min(self.0);
        bytes.copy_in(&vec![9; len]);
        self.0 -= len;
        len
    }
}

impl crate::fs::pagecache::Sink for Faulting {
    fn take(&mut self, bytes: crate::fs::pagecache::Piece<'_>) -> usize {
        let len = bytes.len().min(self.0);
        self.0 -= len;
        len
    }
}

#[test]
fn memory_that_is_not_there() {
    let (host, pipe) = pair();
    for (came, result) in [(0, Err(Error::Fault)), (5, Ok(5)), (5000, Ok(5000))] {
        let wrote = pipe.write(10_000, &mut Faulting(came), &Impatient);
        assert_eq!(wrote.map(|wrote| wrote.len), result);
    }
    // Nothing is lost of what was not taken.
    assert_eq!(pipe.read(100, &mut Faulting(0), &Impatient), Err(Error::Fault));
    assert_eq!(pipe.read(100, &mut Faulting(3), &Impatient), Ok(3));
    assert_eq!(read(&pipe, 10_000).unwrap(), [9; 5002]);
    // One page is kept for the next; there is no other.
    host.fail_after(0);
    assert_eq!(write(&pipe, &[1; 10_000]), Ok(4096));
    host.fail_after(0);
    assert_eq!(write(&pipe, &[1; 4096]), Err(Error::NoMemory));
    assert!(!host.fail_never());
    assert_eq!(read(&pipe, 10_000).unwrap(), [1; 4096]);
    assert_frames_back(host, pipe);
}

/// As the man page has it, page by page.
#[derive(Default)]
struct Model {
    /// Bytes, and how much room is behind them.
    pages: VecDeque<(Vec<u8>, usize)>,
}

impl Model {
    fn write(&mut self, mut bytes: &[u8], places: usize) -> Result<usize, Error> {
        let len = bytes.len();
        let odd = if len <= PIPE_BUF { len } else { len % PIPE_BUF };
        if let Some((last, room)) = self.pages.back_mut().filter(|(_, room)| odd != 0 && odd <= *room) {
            last.extend_from_slice(&bytes[..odd]);
            *room -= odd;
            bytes = &bytes[odd..];
        }
        while !bytes.is_empty() && self.pages.len() < places {
            let (now, later) = bytes.split_at(bytes.len().min(PIPE_BUF));
            self.pages.push_back((now.to_vec(), PIPE_BUF - now.len()));
            bytes = later;
        }
        if bytes.len() == len && len != 0 { Err(Error::WouldBlock) } else { Ok(len - bytes.len()) }
    }

    fn read(&mut self, len: usize) -> Result<Vec<u8>, Error> {
        let mut found = Vec::new();
        while let Some((first, _)) = self.pages.front_mut().filter(|_| found.len() < len) {
            let take = first.len().min(len - found.len());
            found.extend(first.drain(..take));
            if first.is_empty() {
                self.pages.pop_front();
            }
        }
        if found.is_empty() && len != 0 { Err(Error::WouldBlock) } else { Ok(found) }
    }
}

#[test]
fn as_the_model_does() {
    let (host, pipe) = pair();
    let (mut random, mut model, mut places) = (Random::new(5), Model::default(), PAGES);
    for round in 0..100_000 {
        let len = match random.below(4) {
            0 => random.index(10),
            1 => random.index(PIPE_BUF + 2),
            2 => PIPE_BUF * random.index(4),
            _ => random.index(30_000),
        };
        match random.below(9) {
            0..4 => {
                let bytes: Vec<u8> = (0..len).map(|n| (n + round) as u8).collect();
                assert_eq!(write(&pipe, &bytes), model.write(&bytes, places), "round {round}");
            }
            4..8 => assert!(read(&pipe, len) == model.read(len), "round {round}"),
            _ => {
                let wanted = 1 << random.below(6);
                let result =
                    if wanted < model.pages.len() { Err(Error::Busy) } else { Ok(wanted * PIPE_BUF) };
                assert_eq!(pipe.set_size(wanted * PIPE_BUF, false), result);
                places = pipe.size() / PIPE_BUF;
            }
        }
        assert_eq!(pipe.len(), model.pages.iter().map(|(bytes, _)| bytes.len()).sum());
    }
    assert_frames_back(host, pipe);
}

/// Records of several writers, each in one piece, come whole and in each writer's order.
#[test]
fn what_many_write_stays_in_pieces() {
    const WRITERS: u64 = 3;
    const RECORDS: u64 = 3000;
    let (host, pipe) = pair();
    pipe.set_size(2 * PIPE_BUF, false).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let pipe = &pipe;
            scope.spawn(move || {
                let mut random = Random::new(writer);
                for number in 0..RECORDS {
                    let len = 8 + random.index(if number % 10 == 0 { PIPE_BUF - 8 } else { 100 });
                    let mut record = vec![writer as u8 + 1; len];
                    record[..2].copy_from_slice(&(len as u16).to_le_bytes());
                    record[2] = writer as u8;
                    record[4..8].copy_from_slice(&(number as u32).to_le_bytes());
                    let wrote = pipe.write(len, &mut &record[..], &Patient);
                    assert_eq!(wrote, Ok(Wrote { len, broken: false }));
                }
            });
        }
        let (mut next, mut random, mut bytes) = ([0; WRITERS as usize], Random::new(99), VecDeque::new());
        while next.iter().sum::<u32>() < (WRITERS * RECORDS) as u32 {
            let mut some = vec![0; 1 + random.index(6000)];
            let len = some.len();
            let took = pipe.read(len, &mut &mut some[..], &Patient).unwrap();
            bytes.extend(&some[..took]);
            while bytes.len() >= 8 {
                let len = usize::from(u16::from_le_bytes([bytes[0], bytes[1]]));
                if bytes.len() < len {
                    break;
                }
                let record: Vec<u8> = bytes.drain(..len).collect();
                let writer = usize::from(record[2]);
                assert_eq!(u32::from_le_bytes(record[4..8].try_into().unwrap()), next[writer]);
                assert!(
                    record[8..].iter().all(|&byte| usize::from(byte) == writer + 1),
                    "a record in pieces"
                );
                next[writer] += 1;
            }
        }
        assert!(bytes.is_empty());
    });
    assert_frames_back(host, pipe);
}

/// Readers and writers of any size, among whom no wake-up may be lost: the test would not end.
#[test]
fn many_read_what_many_write() {
    const EACH: usize = 400_000;
    let (host, pipe) = pair();
    pipe.set_size(PIPE_BUF, false).unwrap();
    let (sum, count) = (AtomicU64::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for reader in 0..3 {
            let (pipe, sum, count) = (&pipe, &sum, &count);
            scope.spawn(move || {
                let mut random = Random::new(reader);
                loop {
                    let mut some = vec![0; 1 + random.index(5000)];
                    let len = some.len();
                    let took = pipe.read(len, &mut &mut some[..], &Patient).unwrap();
                    if took == 0 {
                        return;
                    }
                    sum.fetch_add(some[..took].iter().map(|&byte| u64::from(byte)).sum(), SeqCst);
                    count.fetch_add(took, SeqCst);
                }
            });
        }
        let mut expected = 0;
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let pipe = &pipe;
                scope.spawn(move || {
                    let (mut random, mut left, mut sum) = (Random::new(50 + writer), EACH, 0);
                    while left != 0 {
                        let most = if random.below(3) == 0 { 20_000 } else { 3 };
                        let len = (1 + random.index(most)).min(left);
                        let bytes: Vec<u8> = (0..len).map(|_| random.byte()).collect();
                        sum += bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>();
                        assert_eq!(pipe.write(len, &mut &bytes[..], &Patient).unwrap().len, len);
                        left -= len;
                    }
                    sum
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| expected += writer.join().unwrap());
        pipe.close(Access::Write);
        while count.load(SeqCst) != 3 * EACH {
            std::thread::yield_now();
        }
        assert_eq!(sum.load(SeqCst), expected);
    });
    assert_frames_back(host, pipe);
}

/// One byte wakes one reader; the others sleep on.
#[test]
fn nobody_is_woken_for_nothing() {
    let (host, pipe) = pair();
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut byte = [0];
                assert_eq!(pipe.read(1, &mut &mut byte[..], &Patient), Ok(1));
                done.fetch_add(1, SeqCst);
            });
        }
        until_waiting(&pipe, For::Bytes, 4);
        for expected in 1..=3 {
            assert_eq!(write(&pipe, b"x"), Ok(1));
            until_waiting(&pipe, For::Bytes, 4 - expected);
            while done.load(SeqCst) != expected as usize {
                std::thread::yield_now();
            }
            assert!(pipe.is_empty());
        }
        // The rest wakes the last one, and there is nobody else.
        assert_eq!(write(&pipe, b"xy"), Ok(2));
    });
    assert_eq!((done.into_inner(), pipe.len()), (4, 1));
    assert_frames_back(host, pipe);
}

/// Two readers wait, two bytes come at once: the first who has his wakes the second.
#[test]
fn who_leaves_something_wakes_the_next() {
    let (host, pipe) = pair();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| assert_eq!(pipe.read(1, &mut &mut [0][..], &Patient), Ok(1)));
        }
        until_waiting(&pipe, For::Bytes, 3);
        assert_eq!(write(&pipe, b"abc"), Ok(3));
    });
    // Likewise writers, when there is room for several.
    write(&pipe, &[0; 65_536]).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| assert!(pipe.write(4096, &mut &[1; 4096][..], &Patient).is_ok()));
        }
        until_waiting(&pipe, For::Room, 3);
        assert_eq!(read(&pipe, 4 * 4096).unwrap().len(), 4 * 4096);
    });
    assert_eq!(pipe.len(), 15 * 4096);
    assert_frames_back(host, pipe);
}

#[test]
fn a_reader_who_goes_breaks_the_pipe() {
    let (host, pipe) = pair();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| pipe.write(100_000, &mut &[1; 100_000][..], &Patient));
        until_waiting(&pipe, For::Room, 1);
        pipe.close(Access::Read);
        assert_eq!(writer.join().unwrap(), Ok(Wrote { len: 65_536, broken: true }));
    });
    assert_frames_back(host, pipe);
    let (host, pipe) = pair();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| pipe.read(1, &mut &mut [0][..], &Patient));
        until_waiting(&pipe, For::Bytes, 1);
        pipe.close(Access::Write);
        assert_eq!(reader.join().unwrap(), Ok(0));
    });
    assert_frames_back(host, pipe);
}

/// One to whom a signal may come.
struct Interruptible {
    signal: AtomicBool,
    task: AtomicPtr<std::thread::Thread>,
}

impl Interruptible {
    fn here(&self) {
        self.task.store(Kernel::current().cast_mut(), SeqCst);
    }

    fn interrupt(&self) {
        self.signal.store(true, SeqCst);
        // SAFETY: the task ends after the scope in which this is called.
        unsafe { Kernel::unpark(self.task.load(SeqCst)) };
    }
}

impl Caller for Interruptible {
    fn is_interrupted(&self) -> bool {
        self.signal.load(SeqCst)
    }
}

#[test]
fn signals_end_waiting() {
    let caller = || Interruptible { signal: false.into(), task: AtomicPtr::default() };
    let (host, pipe) = pair();
    let (one, two) = (caller(), caller());
    std::thread::scope(|scope| {
        let hurt = scope.spawn(|| {
            one.here();
            pipe.read(1, &mut &mut [0][..], &one)
        });
        until_waiting(&pipe, For::Bytes, 1);
        let other = scope.spawn(|| pipe.read(1, &mut &mut [0][..], &two));
        until_waiting(&pipe, For::Bytes, 2);
        one.interrupt();
        assert_eq!(hurt.join().unwrap(), Err(Error::Interrupted));
        until_waiting(&pipe, For::Bytes, 1);
        write(&pipe, b"x").unwrap();
        assert_eq!(other.join().unwrap(), Ok(1));
    });
    // A writer has written something before.
    let three = caller();
    std::thread::scope(|scope| {
        let hurt = scope.spawn(|| {
            three.here();
            pipe.write(70_000, &mut &[1; 70_000][..], &three)
        });
        until_waiting(&pipe, For::Room, 1);
        three.interrupt();
        assert_eq!(hurt.join().unwrap(), Ok(Wrote { len: 65_536, broken: false }));
    });
    assert_frames_back(host, pipe);
}

/// Whoever waits with patience gives up for a signal too: reading, writing, and opening a FIFO.
#[test]
fn signals_end_the_patience() {
    let (host, pipe) = pair();
    assert_eq!(interrupted(|| pipe.read(1, &mut &mut [0][..], &Patient)), Err(Error::Interrupted));
    let much = [1; 70_000];
    let wrote = interrupted(|| pipe.write(much.len(), &mut &much[..], &Patient));
    assert_eq!(wrote, Ok(Wrote { len: 65_536, broken: false }));
    assert_eq!(interrupted(|| pipe.write(1, &mut &[1][..], &Patient)), Err(Error::Interrupted));
    assert_frames_back(host, pipe);
    let host = Machine::new(600, 1000);
    let fifo: TestPipe = Pipe::fifo(host, (), Charge::NONE).unwrap();
    for access in [Access::Read, Access::Write] {
        assert_eq!(interrupted(|| fifo.open(access, &Patient)), Err(Error::Interrupted));
    }
    assert_eq!(fifo.open(Access::Write, &Impatient), Err(Error::NoReader), "an end was left open");
    assert_frames_back(host, fifo);
}

#[test]
fn opening_a_fifo() {
    let host = Machine::new(600, 1000);
    let fifo: TestPipe = Pipe::fifo(host, (), Charge::NONE).unwrap();
    assert_eq!(fifo.open(Access::Write, &Impatient), Err(Error::NoReader));
    let reader = fifo.open(Access::Read, &Impatient).unwrap();
    // Nobody has ever written: the end, and no hang-up.
    assert_eq!((read(&fifo, 1), fifo.poll(Access::Read, &reader).0), (Ok(Vec::new()), 0));
    fifo.open(Access::Write, &Impatient).unwrap();
    assert_eq!(read(&fifo, 1), Err(Error::WouldBlock));
    write(&fifo, b"ab").unwrap();
    let late = fifo.open(Access::Read, &Patient).unwrap();
    fifo.close(Access::Write);
    assert_eq!(fifo.poll(Access::Read, &reader).0 & Events::HUP, Events::HUP);
    assert_eq!(fifo.poll(Access::Read, &late).0 & Events::HUP, Events::HUP);
    assert_eq!(
        fifo.open(Access::Read, &Impatient).map(|end| fifo.poll(Access::Read, &end).0 & Events::HUP),
        Ok(0)
    );
    (0..3).for_each(|_| fifo.close(Access::Read));
    assert!(fifo.is_empty(), "what nobody has read is gone with the last end");
    // Each waits for the other, whoever comes first.
    for first in [Access::Read, Access::Write] {
        let second = if first == Access::Read { Access::Write } else { Access::Read };
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| fifo.open(first, &Patient));
            until_waiting(&fifo, For::Peer, 1);
            // He has been there; that he leaves at once does not matter.
            fifo.open(second, &Patient).unwrap();
            fifo.close(second);
            assert!(waiting.join().unwrap().is_ok());
        });
        fifo.close(first);
    }
    fifo.open(Access::Both, &Patient).unwrap();
    write(&fifo, b"x").unwrap();
    assert_eq!(read(&fifo, 5), Ok(vec![b'x']));
    fifo.close(Access::Both);
    // Interrupted: it is not open.
    let caller = Interruptible { signal: false.into(), task: AtomicPtr::default() };
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            caller.here();
            fifo.open(Access::Read, &caller)
        });
        until_waiting(&fifo, For::Peer, 1);
        caller.interrupt();
        assert_eq!(waiting.join().unwrap(), Err(Error::Interrupted));
    });
    assert_eq!(fifo.open(Access::Write, &Impatient), Err(Error::NoReader));
    assert_frames_back(host, fifo);
}

/// Who polls is told of every change that he could see.
#[test]
fn changes_are_told() {
    struct Count(AtomicUsize);
    impl Notify for &Count {
        fn changed(&self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    let host = Machine::new(600, 1000);
    let count = Count(AtomicUsize::new(0));
    let pipe: TestPipe<&Count> = Pipe::pair(host, &count, Charge::NONE).unwrap();
    let mut random = Random::new(3);
    let poll = || (pipe.poll(Access::Read, &Opened::default()), pipe.poll(Access::Write, &Opened::default()));
    for _ in 0..3000 {
        let (before, told) = (poll(), count.0.load(SeqCst));
        let mut bytes = vec![1; 1 + random.index(40_000)];
        let len = bytes.len();
        if random.below(2) == 0 {
            let _ = pipe.write(len, &mut &bytes[..], &Impatient);
        } else {
            let _ = pipe.read(len, &mut &mut bytes[..], &Impatient);
        }
        // Fuller is no news to him who waits for more.
        let news = poll().0.0 & !before.0.0 | poll().1.0 & !before.1.0;
        assert!(news == 0 || count.0.load(SeqCst) != told, "{before:?} {:?}", poll());
    }
    let told = count.0.load(SeqCst);
    pipe.close(Access::Write);
    assert_ne!(count.0.load(SeqCst), told);
}

/// A pair is opened again by `/dev/fd`: also when whoever wrote has written and gone.
#[test]
fn a_pair_that_is_opened_again_waits_for_nobody() {
    let (host, pipe) = pair();
    pipe.write(3, &mut &b"abc"[..], &Patient).unwrap();
    pipe.close(Access::Write);
    pipe.open(Access::Read, &Patient).unwrap();
    let mut bytes = [0; 8];
    assert_eq!(pipe.read(8, &mut &mut bytes[..], &Patient), Ok(3));
    assert_eq!(pipe.read(8, &mut &mut bytes[..], &Patient), Ok(0), "the end");
    pipe.open(Access::Write, &Impatient).unwrap();
    pipe.close(Access::Write);
    pipe.close(Access::Read);
    pipe.open(Access::Write, &Patient).unwrap();
    pipe.close(Access::Write);
    pipe.open(Access::Read, &Patient).unwrap();
    assert_frames_back(host, pipe);
}
