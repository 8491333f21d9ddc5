//! System calls against a program made of arrays.

use super::*;
use crate::mm::vma::Error;
use crate::mm::vma::area::Prot;
use crate::mm::vma::space::{Advice, MapFlags, RemapFlags};
use std::cell::RefCell;
use std::vec::Vec;

const BASE: u64 = 0x40_0000;

#[derive(Default)]
struct Model {
    memory: Vec<u8>,
    written: Vec<u8>,
    input: Vec<u8>,
    unknown: Vec<u64>,
    space: SpaceModel,
}

/// An address space that writes down what it is asked for, and refuses lengths that are odd.
#[derive(Default)]
struct SpaceModel {
    asked: RefCell<Vec<Asked>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Map(u64, u64, Prot, MapFlags),
    Unmap(u64, u64),
    Protect(u64, u64, Prot, bool),
    Brk(u64),
    Remap(u64, u64, u64, RemapFlags, u64),
    Advise(u64, u64, Advice),
    Sync(u64, u64),
}

impl SpaceModel {
    fn note(&self, len: u64, asked: Asked) -> Result<(), Error> {
        self.asked.borrow_mut().push(asked);
        if len % 2 == 0 { Ok(()) } else { Err(Error::NoMemory) }
    }
}

impl Memory for SpaceModel {
    fn map(&self, addr: u64, len: u64, prot: Prot, flags: MapFlags) -> Result<u64, Error> {
        self.note(len, Asked::Map(addr, len, prot, flags)).map(|()| 0x7000)
    }

    fn unmap(&self, addr: u64, len: u64) -> Result<(), Error> {
        self.note(len, Asked::Unmap(addr, len))
    }

    fn protect(&self, addr: u64, len: u64, prot: Prot, from_area_start: bool) -> Result<(), Error> {
        self.note(len, Asked::Protect(addr, len, prot, from_area_start))
    }

    fn brk(&self, to: u64) -> u64 {
        let _ = self.note(0, Asked::Brk(to));
        to / 2
    }

    fn remap(&self, from: u64, len: u64, new_len: u64, flags: RemapFlags, to: u64) -> Result<u64, Error> {
        self.note(len, Asked::Remap(from, len, new_len, flags, to)).map(|()| 0x8000)
    }

    fn advise(&self, addr: u64, len: u64, advice: Advice) -> Result<(), Error> {
        self.note(len, Asked::Advise(addr, len, advice))
    }

    fn sync(&self, addr: u64, len: u64) -> Result<(), Error> {
        self.note(len, Asked::Sync(addr, len))
    }
}

impl Model {
    fn range(&self, address: u64, len: usize) -> Result<core::ops::Range<usize>, Fault> {
        let start = address.checked_sub(BASE).ok_or(Fault)? as usize;
        let end = start.checked_add(len).filter(|&end| end <= self.memory.len()).ok_or(Fault)?;
        Ok(start..end)
    }
}

impl Process for Model {
    fn pid(&self) -> u32 {
        7
    }

    fn copy_in(&mut self, to: &mut [u8], from: u64) -> Result<(), Fault> {
        to.copy_from_slice(&self.memory[self.range(from, to.len())?]);
        Ok(())
    }

    fn copy_out(&mut self, to: u64, from: &[u8]) -> Result<(), Fault> {
        let range = self.range(to, from.len())?;
        self.memory[range].copy_from_slice(from);
        Ok(())
    }

    fn memory(&mut self) -> &dyn Memory {
        &self.space
    }

    fn write_console(&mut self, bytes: &[u8]) {
        self.written.extend(bytes);
    }

    fn read_console(&mut self, to: &mut [u8]) -> usize {
        let len = to.len().min(self.input.len());
        to[..len].copy_from_slice(&self.input[..len]);
        self.input.drain(..len);
        len
    }

    fn note_unknown(&mut self, number: u64) {
        self.unknown.push(number);
    }
}

const EBADF: Outcome = Outcome::Return(-9i64 as u64);
const EFAULT: Outcome = Outcome::Return(-14i64 as u64);
const ENOSYS: Outcome = Outcome::Return(-38i64 as u64);

#[test]
fn the_table_is_in_order_and_has_no_number_twice() {
    assert!(TABLE.windows(2).all(|pair| pair[0].number < pair[1].number));
    assert_eq!(HANDLERS.iter().flatten().count(), TABLE.len());
    assert_eq!(TABLE.last().map(|call| usize::from(call.number) + 1), Some(NUMBERS));
}

#[test]
fn what_is_not_there_is_enosys_and_told() {
    let mut model = Model::default();
    for number in [2, 231 + 1, 512, 1 << 32, u64::MAX] {
        assert_eq!(dispatch(&mut model, number, &[0; 6]), ENOSYS);
    }
    assert_eq!(model.unknown, [2, 232, 512, 1 << 32, u64::MAX]);
}

#[test]
fn write_copies_everything_in_pieces() {
    let text: Vec<u8> = (0..1000).map(|n| n as u8).collect();
    let mut model = Model { memory: text.clone(), ..Model::default() };
    assert_eq!(dispatch(&mut model, 1, &[1, BASE, 1000, 0, 0, 0]), Outcome::Return(1000));
    assert_eq!(model.written, text);
    assert_eq!(dispatch(&mut model, 1, &[2, 0, 0, 0, 0, 0]), Outcome::Return(0), "no bytes, no address");
}

#[test]
fn write_stops_where_memory_ends() {
    let mut model = Model { memory: std::vec![1; 600], ..Model::default() };
    // Two whole pieces, and the third is not all there.
    assert_eq!(dispatch(&mut model, 1, &[1, BASE, 1000, 0, 0, 0]), Outcome::Return(512));
    assert_eq!(dispatch(&mut model, 1, &[1, BASE + 599, 2, 0, 0, 0]), EFAULT);
    for bad in [0, u64::MAX, 1 << 63, BASE - 1] {
        assert_eq!(dispatch(&mut model, 1, &[1, bad, 8, 0, 0, 0]), EFAULT, "{bad:#x}");
    }
    assert_eq!(dispatch(&mut model, 1, &[1, u64::MAX, u64::MAX, 0, 0, 0]), EFAULT);
    assert_eq!(model.written.len(), 512);
}

#[test]
fn read_takes_what_fits() {
    let mut model = Model { memory: std::vec![0; 64], input: b"a line\n".to_vec(), ..Model::default() };
    assert_eq!(dispatch(&mut model, 0, &[0, BASE, 0, 0, 0, 0]), Outcome::Return(0));
    assert_eq!(dispatch(&mut model, 0, &[0, BASE, 4, 0, 0, 0]), Outcome::Return(4));
    assert_eq!(dispatch(&mut model, 0, &[0, BASE + 4, u64::MAX, 0, 0, 0]), Outcome::Return(3));
    assert_eq!(&model.memory[..8], b"a line\n\0");
    assert_eq!(dispatch(&mut model, 0, &[0, BASE, 8, 0, 0, 0]), Outcome::Return(0), "the end");
}

#[test]
fn read_to_a_bad_address() {
    let mut model = Model { input: b"x\n".to_vec(), ..Model::default() };
    assert_eq!(dispatch(&mut model, 0, &[0, 1 << 63, 8, 0, 0, 0]), EFAULT);
}

#[test]
fn only_three_descriptors() {
    let mut model = Model { memory: std::vec![0; 8], ..Model::default() };
    for fd in [3, 4, u64::from(u32::MAX), -1i64 as u64] {
        for number in [0, 1] {
            assert_eq!(dispatch(&mut model, number, &[fd, BASE, 1, 0, 0, 0]), EBADF);
        }
    }
    // An int: Linux looks at 32 bits.
    assert_eq!(dispatch(&mut model, 1, &[1 << 32 | 1, BASE, 1, 0, 0, 0]), Outcome::Return(1));
}

#[test]
fn exit_and_getpid() {
    let mut model = Model::default();
    assert_eq!(dispatch(&mut model, 39, &[0; 6]), Outcome::Return(7));
    for number in [60, 231] {
        assert_eq!(dispatch(&mut model, number, &[0x1_03, 0, 0, 0, 0, 0]), Outcome::Exit(3));
    }
}

const EINVAL: Outcome = Outcome::Return(-22i64 as u64);
const ENOMEM: Outcome = Outcome::Return(-12i64 as u64);

/// Linux's numbers for the calls on memory.
const MMAP: u64 = 9;
const MPROTECT: u64 = 10;
const MUNMAP: u64 = 11;
const BRK: u64 = 12;
const MREMAP: u64 = 25;
const MSYNC: u64 = 26;
const MADVISE: u64 = 28;

#[test]
fn memory_calls_pass_on_what_they_are_given() {
    let mut model = Model::default();
    let rw = Prot::READ | Prot::WRITE;
    let anonymous = MapFlags::PRIVATE | MapFlags::ANONYMOUS;
    let calls: &[(u64, Arguments, u64, Asked)] = &[
        // Rights and flags that are not known are the address space's business, or nobody's.
        (MMAP, [1, 4096, 0x103, 0x22, 5, 4096], 0x7000, Asked::Map(1, 4096, rw, anonymous)),
        (MUNMAP, [4096, 2, 0, 0, 0, 0], 0, Asked::Unmap(4096, 2)),
        (MPROTECT, [4096, 2, 1, 0, 0, 0], 0, Asked::Protect(4096, 2, Prot::READ, false)),
        (MPROTECT, [4096, 2, 0x0100_0003, 0, 0, 0], 0, Asked::Protect(4096, 2, rw, true)),
        (BRK, [0x6000, 0, 0, 0, 0, 0], 0x3000, Asked::Brk(0x6000)),
        (
            MREMAP,
            [1, 2, 3, 5, 4, 0],
            0x8000,
            Asked::Remap(1, 2, 3, RemapFlags::MAY_MOVE | RemapFlags::DONT_UNMAP, 4),
        ),
        (MSYNC, [4096, 2, 4, 0, 0, 0], 0, Asked::Sync(4096, 2)),
        (MADVISE, [4096, 2, 4, 0, 0, 0], 0, Asked::Advise(4096, 2, Advice::DontNeed)),
    ];
    for (number, arguments, result, asked) in calls {
        assert_eq!(dispatch(&mut model, *number, arguments), Outcome::Return(*result), "{asked:?}");
        assert_eq!(model.space.asked.borrow_mut().pop().as_ref(), Some(asked));
    }
}

#[test]
fn memory_calls_refuse_by_linuxs_numbers() {
    let mut model = Model::default();
    // Answered before the address space is asked.
    for (number, arguments, error) in [
        (MMAP, [0, 4096, 3, 0x22, 0, 1], EINVAL),
        (MMAP, [0, 4096, 3, 0x02, 0, 0], EBADF),
        (MPROTECT, [0, 4096, 8, 0, 0, 0], EINVAL),
        (MPROTECT, [0, 4096, 0x0200_0001, 0, 0, 0], EINVAL),
        (MPROTECT, [0, 4096, 1 << 32, 0, 0, 0], EINVAL),
        (MREMAP, [0, 4096, 4096, 1 << 32, 0, 0], EINVAL),
        (MSYNC, [0, 4096, 5, 0, 0, 0], EINVAL),
        (MSYNC, [0, 4096, 8, 0, 0, 0], EINVAL),
        (MADVISE, [0, 4096, 5, 0, 0, 0], EINVAL),
    ] {
        assert_eq!(dispatch(&mut model, number, &arguments), error, "{number}: {arguments:x?}");
        assert!(model.space.asked.borrow().is_empty());
    }
    // And what it says itself.
    for number in [MMAP, MPROTECT, MUNMAP, MREMAP, MSYNC, MADVISE] {
        assert_eq!(dispatch(&mut model, number, &[0, 1, 0, 0x22, 0, 0]), ENOMEM, "{number}");
    }
}
