//! A live pair, with a thread at each end.

use super::super::ioctl;
use super::super::job::Nobody;
use super::super::job::model::Model;
use super::*;
use crate::sync::interrupt::{Signals, interrupted};
use crate::sync::parker::now_ns;
use std::boxed::Box;
use std::thread;
use std::vec;
use std::vec::Vec;

/// Whoever reads waits for somebody to type; his number of changes tells when he does.
fn until(condition: impl Fn() -> bool) {
    while !condition() {
        thread::yield_now();
    }
}

fn pair() -> (Pair, Opened) {
    let pair = Pair::new(3, TtyId(0x8803), Surroundings { processes: &Nobody, now_ns }).expect("memory");
    assert_eq!(pair.open_slave(true, false), Err(Error::Io), "it is locked");
    let (command, _) = ioctl::find(0x4004_5431).expect("TIOCSPTLCK");
    pair.order(None, &Order { command, value: 0, data: &[0; 4] }).expect("unlocks");
    let file = pair.open_slave(true, false).expect("opens");
    (pair, file)
}

fn raw(pair: &Pair) {
    let (get, set) = (ioctl::find(0x5401).expect("TCGETS").0, ioctl::find(0x5402).expect("TCSETS").0);
    let old = pair.order(None, &Order { command: get, value: 0, data: &[] }).expect("settings");
    let mut settings = crate::tty::termios::Termios::standard().with_termios(old.bytes().try_into().unwrap());
    settings.make_raw();
    pair.order(None, &Order { command: set, value: 0, data: &settings.to_termios() }).expect("raw");
}

/// 256 KiB both ways at once, with all four ends in threads of their own.
#[test]
fn both_ways_at_once() {
    let (pair, file) = pair();
    raw(&pair);
    let data: Vec<u8> = (0..262_144u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let collect = |read: &dyn Fn(&mut [u8]) -> Result<usize, Error>| {
        let (mut got, mut buffer) = (Vec::new(), vec![0; 3000]);
        while got.len() < data.len() {
            let count = read(&mut buffer).expect("bytes");
            got.extend_from_slice(&buffer[..count]);
        }
        got
    };
    thread::scope(|scope| {
        scope.spawn(|| assert_eq!(pair.master_write(&data, false), Ok(data.len())));
        scope.spawn(|| assert_eq!(pair.slave_write(&file, &data, false), Ok(data.len())));
        let master = scope.spawn(|| collect(&|buffer| pair.master_read(buffer, false)));
        let slave = collect(&|buffer| pair.slave_read(&file, buffer, false));
        assert!(slave == data);
        assert!(master.join().unwrap() == data);
    });
}

#[test]
fn a_program_talks_to_a_person() {
    let (pair, file) = pair();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut buffer = [0; 100];
            pair.slave_write(&file, b"name? ", false).expect("written");
            let count = pair.slave_read(&file, &mut buffer, false).expect("a line");
            pair.slave_write(&file, b"hello ", false).expect("written");
            pair.slave_write(&file, &buffer[..count], false).expect("written");
            assert_eq!(pair.slave_read(&file, &mut buffer, false), Ok(0));
            pair.close_slave();
        });
        let mut screen = Vec::new();
        let mut expect = |text: &[u8]| {
            let mut buffer = [0; 64];
            while !screen.ends_with(text) {
                let count = pair.master_read(&mut buffer, false).expect("the program writes");
                screen.extend_from_slice(&buffer[..count]);
            }
        };
        expect(b"name? ");
        pair.master_write(b"Xim\x15Kim\r", false).expect("typed");
        expect(b"hello Kim\r\n");
        pair.master_write(b"\x04", false).expect("typed");
        // The program is at its end of file, and goes.
        assert_eq!(pair.master_read(&mut [0; 64], false), Err(Error::Io));
        assert!(pair.master_poll().contains(Poll::HUP));
    });
    pair.close_master();
    assert!(pair.is_over());
}

#[test]
fn closing_the_master_wakes_all() {
    let (pair, file) = pair();
    thread::scope(|scope| {
        let reader = scope.spawn(|| pair.slave_read(&file, &mut [0; 10], false));
        let writer = scope.spawn(|| {
            let mut result = Ok(0);
            while result.is_ok() {
                result = pair.slave_write(&file, &[b'x'; 3000], false);
            }
            result
        });
        let (readers, writers) = pair.slave_waiting();
        until(|| !readers.queue().is_empty() && !writers.queue().is_empty());
        pair.close_master();
        assert_eq!(reader.join().unwrap(), Err(Error::Io));
        assert_eq!(writer.join().unwrap(), Err(Error::Io));
    });
    assert_eq!(pair.slave_read(&file, &mut [0; 10], false), Ok(0));
    assert_eq!(pair.slave_poll(&file), Poll::DEAD);
}

#[test]
fn who_does_not_want_to_wait() {
    let (pair, file) = pair();
    assert_eq!(pair.slave_read(&file, &mut [0; 10], true), Err(Error::Again));
    assert_eq!(pair.master_read(&mut [0; 10], true), Err(Error::Again));
    let written = pair.slave_write(&file, &[b'x'; 20_000], true).expect("some");
    assert_eq!(written, crate::tty::pty::QUEUE);
    assert_eq!(pair.slave_write(&file, b"x", true), Err(Error::Again));
    assert_eq!(pair.slave_poll(&file), Poll::empty());
}

/// A key at the master is a signal to the group in the foreground, through the live object too.
#[test]
fn keys_are_signals() {
    use super::super::job::Signal;
    let model: &'static Model = Box::leak(Box::default());
    model.add_leader(1);
    model.run(1);
    let pair = Pair::new(0, TtyId(0x8800), Surroundings { processes: model, now_ns }).expect("memory");
    let (command, _) = ioctl::find(0x4004_5431).expect("TIOCSPTLCK");
    pair.order(None, &Order { command, value: 0, data: &[0; 4] }).expect("unlocks");
    let _file = pair.open_slave(true, true).expect("opens, and controls");
    pair.master_write(b"\x03\x1a", false).expect("typed");
    assert_eq!(model.take_signals(1), [Signal::Int, Signal::Tstp]);
}

/// Whoever sleeps in a pair gives up for a signal: reading, waiting for another reader's turn, and writing what nobody
/// takes. What was written by then counts.
#[test]
fn signals_end_every_wait() {
    let (pair, file) = pair();
    // Else what is too long for a line is swallowed, and nobody waits.
    raw(&pair);
    assert_eq!(interrupted(|| pair.slave_read(&file, &mut [0; 4], false)), Err(Error::Restart));
    assert_eq!(interrupted(|| pair.master_read(&mut [0; 4], false)), Err(Error::Restart));
    {
        let _turn = pair.read_turn.lock();
        assert_eq!(interrupted(|| pair.slave_read(&file, &mut [0; 4], false)), Err(Error::Restart));
    }
    let _turn = pair.write_turn.lock();
    assert_eq!(interrupted(|| pair.slave_write(&file, b"x", false)), Err(Error::Restart));
    drop(_turn);
    let much = vec![b'x'; 1 << 20];
    let written = interrupted(|| pair.slave_write(&file, &much, false));
    assert!(written.is_ok_and(|count| count > 0 && count < much.len()), "{written:?}");
    assert_eq!(interrupted(|| pair.slave_write(&file, &much, false)), Err(Error::Restart));
    // Who was to take his turn and gave up leaves the others theirs.
    let signals = Signals::mine();
    signals.send();
    assert_eq!(pair.slave_read(&file, &mut [0; 4], false), Err(Error::Restart), "it was there before");
    signals.clear();
    assert_eq!(pair.slave_read(&file, &mut [0; 4], true), Err(Error::Again));
    let typed = interrupted(|| pair.master_write(&much, false));
    assert!(typed.is_ok_and(|count| count < much.len()) || typed == Err(Error::Restart), "{typed:?}");
}
