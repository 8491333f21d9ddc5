//! Everything, at random, one after the other, against a file that is an array of bytes.
//!
//! Two programs have the file mapped, one shared, one private; frames are so few that pages go and come; the disk fails now
//! and then, as do copies in the middle. After each `sync` that says it went well the disk has what the array has. Programs
//! also write past the end of the file, in its last page: such bytes must never be seen when it gets longer.

use super::disk::{Backed, Disk, Faulting, PAGE, Ram, TestFile, cache, file};
use super::program::Program;
use crate::boot::layout::PAGE_SIZE;
use crate::fs::pagecache::{Cache, Error, Position, ReadAhead};
use crate::mm::space::Outcome;
use crate::mm::space::tests::machine::Host;
use crate::testing::Random;
use core::sync::atomic::Ordering::SeqCst;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

/// Pages that are mapped, and mostly used.
const PAGES: u64 = 24;
const SHARED: u64 = 0x1000_0000;
const PRIVATE: u64 = 0x2000_0000;

struct World {
    cache: &'static Cache<Host>,
    random: Random,
    disk: Option<Arc<Disk>>,
    ram: Option<Arc<Ram>>,
    file: Arc<TestFile>,
    program: Arc<Program>,
    ahead: ReadAhead,
    bytes: Vec<u8>,
    /// Pages that the private mapping has copied.
    copies: BTreeMap<u64, Vec<u8>>,
    /// Writes have failed: the disk may have less than it should.
    lost: bool,
}

impl World {
    fn new(seed: u64, frames: u32, disk: bool) -> Self {
        let cache = cache(frames);
        let (on_disk, in_ram) = (Arc::new(Disk::with(0, true)), Ram::new(40));
        let backing: Backed = if disk { on_disk.clone() } else { in_ram.clone() };
        let file = Arc::new(file(cache, backing, 0));
        let program = Program::new(cache.env);
        program.map(SHARED, PAGES, true, &file, 0);
        program.map(PRIVATE, PAGES, false, &file, 0);
        Self {
            cache,
            random: Random::new(seed),
            disk: disk.then_some(on_disk),
            ram: (!disk).then_some(in_ram),
            file,
            program,
            ahead: ReadAhead::new(),
            bytes: Vec::new(),
            copies: BTreeMap::new(),
            lost: false,
        }
    }

    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// An offset: near the end, at a page's border, or anywhere.
    fn some_offset(&mut self) -> u64 {
        let most = PAGES * PAGE_SIZE;
        match self.random.below(6) {
            0 => self.size().saturating_sub(10) + self.random.below(20),
            1 => self.random.below(PAGES) * PAGE_SIZE + self.random.below(3),
            2 => self.size(),
            _ => self.random.below(most),
        }
        .min(most)
    }

    fn some_len(&mut self) -> usize {
        match self.random.below(4) {
            0 => self.random.index(10),
            1 => PAGE * self.random.index(4),
            2 => self.random.index(PAGE),
            _ => self.random.index(5 * PAGE),
        }
    }

    fn word(&self, at: u64) -> u64 {
        let byte = |at: u64| self.bytes.get(at as usize).copied().unwrap_or(0);
        u64::from_le_bytes(core::array::from_fn(|n| byte(at + n as u64)))
    }

    fn read(&mut self) {
        let (at, len) = (self.some_offset(), self.some_len());
        let fault = if self.random.below(4) == 0 { self.random.index(len + 1) } else { usize::MAX };
        let mut found = vec![0xAA; len];
        let result = self.file.read_at(at, len, &mut Faulting(&mut found[..], fault), &self.ahead);
        let expected = &self.bytes[(at.min(self.size()) as usize)..];
        let expected = &expected[..expected.len().min(len)];
        match result {
            Ok(taken) => {
                assert!(taken == expected.len() || taken <= fault, "{taken} of {}", expected.len());
                assert!(
                    taken == expected.len().min(fault) || self.failing(),
                    "{taken} of {}",
                    expected.len()
                );
                assert!(found[..taken] == expected[..taken], "{len} bytes at {at:#x}");
                assert!(found[taken..].iter().all(|&byte| byte == 0xAA));
            }
            Err(Error::Fault) => assert!(fault == 0 && !expected.is_empty()),
            Err(error) => {
                assert!(error == Error::Io && self.failing() || error == Error::NoMemory, "{error:?}")
            }
        }
    }

    fn failing(&self) -> bool {
        self.disk.as_ref().is_some_and(|disk| disk.reads_left.load(SeqCst) < 0)
    }

    fn write(&mut self) {
        let (mut at, mut len) = (self.some_offset(), self.some_len());
        let append = self.random.below(5) == 0;
        let most = (PAGES * PAGE_SIZE) as usize;
        if append {
            at = self.size();
        }
        len = len.min(most.saturating_sub(at as usize));
        let new: Vec<u8> = (0..len).map(|_| self.random.byte() | 1).collect();
        let fault = if self.random.below(4) == 0 { self.random.index(len + 1) } else { usize::MAX };
        let position = if append { Position::End } else { Position::At(at) };
        let done = match self.file.write_at(position, len, &mut Faulting(&new[..], fault)) {
            Ok(written) => {
                assert_eq!(written.start, at);
                assert!(written.len == len || written.len <= fault);
                written.len
            }
            Err(Error::Fault) => {
                assert!(fault == 0 && len != 0);
                0
            }
            Err(error) => {
                assert!(matches!(error, Error::Io | Error::NoSpace | Error::NoMemory), "{error:?}");
                0
            }
        };
        if done != 0 {
            let end = at as usize + done;
            self.bytes.resize(self.bytes.len().max(end), 0);
            self.bytes[at as usize..end].copy_from_slice(&new[..done]);
        }
    }

    fn truncate(&mut self) {
        let new = self.some_offset();
        if self.file.truncate(new).is_ok() {
            if new < self.size() {
                drop(self.copies.split_off(&new.div_ceil(PAGE_SIZE)));
            }
            self.bytes.resize(new as usize, 0);
        }
    }

    fn punch(&mut self) {
        let start = self.some_offset();
        let end = start + self.some_len() as u64;
        let result = self.file.punch_hole(start..end);
        let (from, to) = (start.min(self.size()) as usize, end.min(self.size()) as usize);
        match result {
            Ok(()) => self.bytes[from..to].fill(0),
            // Some of it has been done. Which, is seen by reading.
            Err(_) => {
                if let Some(disk) = &self.disk {
                    disk.reads_left.store(-1, SeqCst);
                    disk.full.store(false, SeqCst);
                }
                let mut found = vec![0; to - from];
                let len = self.file.read_at(from as u64, to - from, &mut &mut found[..], &self.ahead);
                if len != Ok(to - from) {
                    return self.punch();
                }
                for (byte, found) in self.bytes[from..to].iter_mut().zip(found) {
                    assert!(found == *byte || found == 0);
                    *byte = found;
                }
            }
        }
    }

    /// The shared mapping.
    fn shared(&mut self) {
        let at = self.random.below(PAGES * PAGE_SIZE) & !7;
        let last_page = self.size().next_multiple_of(PAGE_SIZE);
        if self.random.below(2) == 0 {
            match self.program.load(SHARED, at) {
                // Past the end there may be what programs have written there.
                Ok(found) if at + 8 <= self.size() => assert_eq!(found, self.word(at), "at {at:#x}"),
                Ok(_) => assert!(at < last_page),
                Err(Outcome::Bus) => assert!(at >= last_page || self.disk_fails() || self.is_full()),
                Err(why) => assert!(why == Outcome::OutOfMemory, "{why:?}"),
            }
            return;
        }
        let word = self.random.next_u64() | 0x0101_0101_0101_0101;
        match self.program.store(SHARED, at, word) {
            Ok(()) => {
                assert!(at < last_page);
                for (n, byte) in (at..)
                    .zip(word.to_le_bytes())
                    .filter(|&(n, _)| n < self.bytes.len() as u64)
                    .collect::<Vec<_>>()
                {
                    self.bytes[n as usize] = byte;
                }
            }
            Err(Outcome::Bus) => assert!(at >= last_page || self.disk_fails() || self.is_full()),
            Err(why) => assert!(why == Outcome::OutOfMemory, "{why:?}"),
        }
    }

    fn disk_fails(&self) -> bool {
        self.disk.as_ref().is_some_and(|disk| disk.reads_left.load(SeqCst) < 0 || disk.full.load(SeqCst))
    }

    fn is_full(&self) -> bool {
        self.ram.as_ref().is_some_and(|ram| ram.used.load(SeqCst) >= ram.limit)
    }

    /// The private one: what it has written is its own, the rest is the file's.
    fn private(&mut self) {
        let at = self.random.below(PAGES * PAGE_SIZE) & !7;
        let (page, within) = (at / PAGE_SIZE, at as usize % PAGE);
        if self.random.below(3) != 0 {
            if let Ok(found) = self.program.load(PRIVATE, at) {
                match self.copies.get(&page) {
                    Some(copy) => assert_eq!(found.to_le_bytes(), copy[within..within + 8]),
                    None if at + 8 <= self.size() => assert_eq!(found, self.word(at), "at {at:#x}"),
                    None => {}
                }
            }
        } else if at + 8 <= self.size() {
            let word = self.random.next_u64();
            if self.program.store(PRIVATE, at, word).is_ok() {
                let page_at = page * PAGE_SIZE;
                let original =
                    (0..PAGE as u64).map(|n| self.bytes.get((page_at + n) as usize).copied().unwrap_or(0));
                let copy = self.copies.entry(page).or_insert_with(|| original.collect());
                copy[within..within + 8].copy_from_slice(&word.to_le_bytes());
            }
        }
    }

    fn remap(&mut self) {
        let shared = self.random.below(2) == 0;
        let base = if shared { SHARED } else { PRIVATE };
        self.program.0.unmap(base, PAGES * PAGE_SIZE).unwrap();
        self.program.map(base, PAGES, shared, &self.file, 0);
        if !shared {
            self.copies.clear();
        }
    }

    fn sync(&mut self) {
        let seen = self.file.seen();
        let result = self.file.fsync(false, &seen);
        self.lost |= result.is_err();
        if let (false, Some(disk)) = (self.lost, &self.disk) {
            assert_eq!(self.file.counts().dirty, 0);
            assert!(disk.content(self.size()) == self.bytes, "the disk has something else");
        }
    }

    /// From here on the disk fails, at the next read or write or so, or does not; or it is full.
    fn break_or_mend(&mut self) {
        let Some(disk) = self.disk.clone() else { return };
        let mut after = || if self.random.below(2) == 0 { self.random.below(4) as i64 } else { i64::MAX };
        disk.reads_left.store(after(), SeqCst);
        disk.full.store(self.random.below(8) == 0, SeqCst);
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..22 => self.read(),
            22..44 => self.write(),
            44..54 => self.truncate(),
            54..60 => self.punch(),
            60..74 => self.shared(),
            74..84 => self.private(),
            84..87 => self.sync(),
            87..89 => self.file.write_back(0..u64::MAX),
            89..91 => _ = self.cache.reclaim(1 + self.random.below(30)),
            91..93 => _ = self.file.invalidate(0..u64::MAX),
            93..95 => self.file.read_ahead(0..u64::MAX),
            95 => self.remap(),
            96..98 => self.break_or_mend(),
            98 => _ = self.cache.write_back_pass(),
            _ => _ = self.cache.env.now_ns.fetch_add(7_000_000_000, SeqCst),
        }
        assert_eq!(self.file.size(), self.size());
    }

    fn end(self) {
        let host = self.cache.env;
        if let Some(disk) = &self.disk {
            disk.reads_left.store(i64::MAX, SeqCst);
            disk.full.store(false, SeqCst);
        }
        let counts = self.file.counts();
        if let Some(ram) = &self.ram {
            assert_eq!(ram.used.load(SeqCst), counts.pages, "each page is charged once");
            assert_eq!(self.cache.total.kept.load(SeqCst), counts.pages);
        } else {
            assert_eq!(self.cache.total.pages.load(SeqCst), counts.pages);
            assert_eq!(self.cache.total.dirty.load(SeqCst), counts.dirty);
        }
        assert_eq!(counts.write_back, 0);
        let ram = self.ram.clone();
        drop((self.program, self.file));
        assert_eq!(host.free_frames() as u64, host.frames_in_all() - 1, "frames have not come back");
        assert_eq!(self.cache.total.pages.load(SeqCst) + self.cache.total.dirty.load(SeqCst), 0);
        assert_eq!(ram.map_or(0, |ram| ram.used.load(SeqCst)), 0);
    }
}

fn run(seed: u64, frames: u32, disk: bool, steps: u64) {
    let mut world = World::new(seed, frames, disk);
    for step in 0..steps {
        let step = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| world.step()))
            .map_err(|why| (step, why));
        if let Err((step, why)) = step {
            std::eprintln!("seed {seed}, step {step}, {frames} frames, disk {disk}");
            std::panic::resume_unwind(why);
        }
    }
    world.end();
}

#[test]
fn on_a_disk_with_memory_to_spare() {
    (0..10).for_each(|seed| run(seed, 400, true, 4000));
}

#[test]
fn on_a_disk_with_little_memory() {
    (10..25).for_each(|seed| run(seed, 44, true, 4000));
}

#[test]
fn in_memory() {
    (30..40).for_each(|seed| run(seed, 400, false, 3000));
}
