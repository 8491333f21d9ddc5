//! System calls against a program made of arrays.

use super::*;
use std::vec::Vec;

const BASE: u64 = 0x40_0000;

#[derive(Default)]
struct Model {
    memory: Vec<u8>,
    written: Vec<u8>,
    input: Vec<u8>,
    unknown: Vec<u64>,
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
