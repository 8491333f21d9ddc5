//! A live terminal, with threads for the line, for the worker and for programs.

use super::super::ioctl::{self, Memory};
use super::super::job::model::Model;
use super::super::terminal::{Order, Poll};
use super::*;
use crate::sync::interrupt::interrupted;
use crate::sync::parker::now_ns;
use crate::tty::recorded::apply;
use crate::tty::termios::{Control, Input, Local};
use std::boxed::Box;
use std::collections::VecDeque;
use std::sync::Mutex as StdMutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::vec;
use std::vec::Vec;

/// What a line has on its way out, and what was done to it.
#[derive(Default)]
struct State {
    queue: VecDeque<u8>,
    /// Bytes that have reached the other end.
    out: Vec<u8>,
    /// Those that went before all others.
    urgent: Vec<u8>,
    stopped: bool,
    held: Vec<bool>,
    breaks: Vec<bool>,
    modem: u32,
    speed: u32,
    by_modem: bool,
    by_characters: bool,
}

/// A line with room for 16 bytes, which leave when [`Fake::tick`] is called.
#[derive(Default)]
struct Fake {
    state: StdMutex<State>,
    other_end_waits: AtomicBool,
}

const DEPTH: usize = 16;

impl Fake {
    /// What is in the queue reaches the other end, unless sending is stopped; whether anything did.
    fn tick(&self) -> bool {
        let mut state = self.state.lock().unwrap();
        if state.stopped || state.queue.is_empty() {
            return false;
        }
        let bytes: Vec<u8> = state.queue.drain(..).collect();
        state.out.extend(bytes);
        true
    }
}

impl Driver for Fake {
    fn room(&self) -> usize {
        DEPTH - self.state.lock().unwrap().queue.len()
    }
    fn send(&self, bytes: &[u8]) {
        self.state.lock().unwrap().queue.extend(bytes);
        assert!(self.state.lock().unwrap().queue.len() <= DEPTH);
    }
    fn unsent(&self) -> usize {
        self.state.lock().unwrap().queue.len()
    }
    fn discard(&self) {
        self.state.lock().unwrap().queue.clear();
    }
    fn stop(&self, stopped: bool) {
        self.state.lock().unwrap().stopped = stopped;
    }
    fn hold(&self, held: bool) {
        let mut state = self.state.lock().unwrap();
        if state.by_modem {
            state.held.push(held);
        }
        if state.by_characters {
            state.urgent.push(if held { 0x13 } else { 0x11 });
        }
        if state.by_modem || state.by_characters {
            self.other_end_waits.store(held, Ordering::SeqCst);
        }
    }
    fn send_now(&self, byte: u8) {
        self.state.lock().unwrap().urgent.push(byte);
        self.other_end_waits.store(byte == 0x13, Ordering::SeqCst);
    }
    fn configure(&self, settings: &mut Termios) {
        // It knows one speed above all others.
        settings.output_speed = settings.output_speed.min(115_200);
        settings.input_speed = settings.output_speed;
        settings.codes_from_speeds();
        let mut state = self.state.lock().unwrap();
        state.speed = settings.output_speed;
        state.by_modem = settings.control.contains(Control::CRTSCTS);
        state.by_characters = settings.input.contains(Input::IXOFF);
    }
    fn modem(&self) -> Result<u32, Error> {
        Ok(self.state.lock().unwrap().modem | ioctl::modem::CTS)
    }
    fn set_modem(&self, on: u32, off: u32) -> Result<(), Error> {
        let mut state = self.state.lock().unwrap();
        state.modem = (state.modem | on) & !off & (ioctl::modem::DTR | ioctl::modem::RTS);
        Ok(())
    }
    fn set_break(&self, on: bool) {
        self.state.lock().unwrap().breaks.push(on);
    }
}

struct Rig {
    tty: Tty<Fake>,
    model: &'static Model,
    over: AtomicBool,
}

impl Rig {
    fn new(words: &str) -> Self {
        let model: &'static Model = Box::leak(Box::default());
        model.add_leader(1);
        model.run(1);
        let mut settings = Termios::standard();
        apply(&mut settings, words);
        let around = Surroundings { processes: model, now_ns };
        let tty = Tty::new(Fake::default(), TtyId(0x440), settings, around).expect("memory");
        Self { tty, model, over: AtomicBool::new(false) }
    }

    /// Runs `body` beside a worker and a line that sends.
    fn run(&self, body: impl FnOnce(&Tty<Fake>)) {
        thread::scope(|scope| {
            scope.spawn(|| self.tty.work_until(&|| self.over.load(Ordering::SeqCst)));
            scope.spawn(|| {
                while !self.over.load(Ordering::SeqCst) {
                    if self.tty.driver().tick() {
                        self.tty.sent();
                    }
                    thread::yield_now();
                }
            });
            // Also when it panics: else the threads would never end.
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| body(&self.tty)));
            self.over.store(true, Ordering::SeqCst);
            self.tty.poke();
            if let Err(panic) = result {
                std::panic::resume_unwind(panic);
            }
        });
    }

    fn out(&self) -> Vec<u8> {
        self.tty.driver().state.lock().unwrap().out.clone()
    }
}

fn typed(tty: &Tty<Fake>, bytes: &[u8]) {
    assert_eq!(tty.arrived(bytes.iter().map(|&byte| (byte, Mark::Good))), bytes.len());
}

fn until(condition: impl Fn() -> bool) {
    while !condition() {
        thread::yield_now();
    }
}

#[test]
fn a_line_wakes_its_reader_and_is_shown() {
    let rig = Rig::new("");
    rig.run(|tty| {
        let file = tty.open(true, true).expect("opens");
        assert_eq!(tty.read(&file, &mut [0; 10], true), Err(Error::Again));
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut buffer = [0; 100];
                let count = tty.read(&file, &mut buffer, false).expect("a line");
                buffer[..count].to_vec()
            });
            until(|| !tty.readers().queue().is_empty());
            typed(tty, b"helk\x7flo");
            typed(tty, b"\r");
            assert_eq!(reader.join().unwrap(), b"hello\n");
        });
        until(|| rig.out() == b"helk\x08 \x08lo\r\n");
    });
}

#[test]
fn a_writer_sleeps_until_there_is_room() {
    let rig = Rig::new("raw");
    let data: Vec<u8> = (0..20_000u32).map(|at| (at % 253) as u8).collect();
    rig.run(|tty| {
        let file = tty.open(true, false).expect("opens");
        assert_eq!(tty.write(&file, &data, false), Ok(data.len()));
        tty.drain().expect("no signal");
        assert!(rig.out() == data);
    });
}

/// 64 KiB come in with a reader who sleeps in between: the other end is told to wait, and nothing is lost.
#[test]
fn flow_control_loses_nothing() {
    for (words, by_modem) in [("raw ixoff", false), ("raw crtscts", true)] {
        let rig = Rig::new(words);
        let data: Vec<u8> = (0..65_536u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        rig.run(|tty| {
            let file = tty.open(true, false).expect("opens");
            thread::scope(|scope| {
                scope.spawn(|| {
                    for piece in data.chunks(64) {
                        until(|| {
                            !tty.driver().other_end_waits.load(Ordering::SeqCst) && tty.arrivals_room() >= 64
                        });
                        typed(tty, piece);
                    }
                });
                // Nobody reads until the other end was told to wait.
                until(|| tty.driver().other_end_waits.load(Ordering::SeqCst));
                let (mut got, mut buffer) = (Vec::new(), vec![0; 777]);
                while got.len() < data.len() {
                    let count = tty.read(&file, &mut buffer, false).expect("bytes");
                    got.extend_from_slice(&buffer[..count]);
                }
                assert!(got == data);
            });
            assert_eq!(tty.lost(), 0);
            let state = tty.driver().state.lock().unwrap();
            assert_eq!(state.held.is_empty(), !by_modem);
            assert_eq!(state.urgent.is_empty(), by_modem);
        });
    }
}

#[test]
fn stop_holds_the_line_and_start_lets_it_go() {
    let rig = Rig::new("");
    rig.run(|tty| {
        let file = tty.open(true, false).expect("opens");
        typed(tty, b"\x13");
        until(|| tty.driver().state.lock().unwrap().stopped);
        assert_eq!(tty.write(&file, b"x", true), Err(Error::Again));
        assert_eq!(tty.poll(&file), Poll::empty());
        thread::scope(|scope| {
            let writer = scope.spawn(|| tty.write(&file, b"held", false));
            until(|| !tty.writers().queue().is_empty());
            typed(tty, b"\x11");
            assert_eq!(writer.join().unwrap(), Ok(4));
        });
        until(|| rig.out() == b"held");
    });
}

#[test]
fn time_ends_a_read() {
    let rig = Rig::new("raw min=0 time=1");
    rig.run(|tty| {
        let file = tty.open(true, false).expect("opens");
        let before = now_ns();
        assert_eq!(tty.read(&file, &mut [0; 10], false), Ok(0));
        assert!(now_ns() - before >= 100_000_000);
    });
}

#[test]
fn hanging_up_wakes_all() {
    let rig = Rig::new("");
    rig.run(|tty| {
        let file = tty.open(true, true).expect("opens");
        typed(tty, b"\x13");
        until(|| tty.driver().state.lock().unwrap().stopped);
        thread::scope(|scope| {
            let reader = scope.spawn(|| tty.read(&file, &mut [0; 10], false));
            let writer = scope.spawn(|| tty.write(&file, b"x", false));
            until(|| !tty.readers().queue().is_empty() && !tty.writers().queue().is_empty());
            tty.hang_up();
            assert_eq!(reader.join().unwrap(), Ok(0));
            assert_eq!(writer.join().unwrap(), Err(Error::Io));
        });
        use crate::tty::job::Signal;
        assert_eq!(rig.model.take_signals(1), [Signal::Hup, Signal::Cont]);
        assert_eq!(tty.poll(&file), Poll::DEAD);
        // Who opens it now has a line that lives.
        let file = tty.open(true, true).expect("opens");
        typed(tty, b"new\n");
        assert_eq!(tty.read(&file, &mut [0; 10], false), Ok(4));
    });
}

/// Memory of 64 bytes at address 0x1000.
struct Ram([u8; 64]);

impl Memory for Ram {
    fn read(&self, address: u64, to: &mut [u8]) -> Result<(), Error> {
        let start = address.checked_sub(0x1000).ok_or(Error::Fault)? as usize;
        to.copy_from_slice(self.0.get(start..start + to.len()).ok_or(Error::Fault)?);
        Ok(())
    }

    fn write(&mut self, address: u64, from: &[u8]) -> Result<(), Error> {
        let start = address.checked_sub(0x1000).ok_or(Error::Fault)? as usize;
        self.0.get_mut(start..start + from.len()).ok_or(Error::Fault)?.copy_from_slice(from);
        Ok(())
    }
}

#[test]
fn orders_by_number() {
    let rig = Rig::new("");
    rig.run(|tty| {
        let file = tty.open(true, true).expect("opens");
        let mut ram = Ram([0; 64]);
        let call = |number: u32, value: u64, ram: &mut Ram| tty.ioctl(&file, number, value, ram);
        assert_eq!(call(0x5401, 0x1000, &mut ram), Ok(0));
        assert_eq!(ram.0[..36], Termios::standard().to_termios());
        assert_eq!(call(0x5401, 0x1000 + 29, &mut ram), Err(Error::Fault));
        assert_eq!(call(0x5402, 0, &mut ram), Err(Error::Fault));
        assert_eq!(call(0x1234, 0x1000, &mut ram), Err(Error::NotTty));
        // A speed that the driver has not: it says which it took instead.
        let mut settings = Termios::standard();
        settings.output_speed = 4_000_000;
        settings.codes_from_speeds();
        settings.local.remove(Local::ECHO);
        ram.0[..44].copy_from_slice(&settings.to_termios2());
        assert_eq!(call(0x402c_542c, 0x1000, &mut ram), Ok(0));
        assert_eq!(call(0x802c_542a, 0x1000, &mut ram), Ok(0));
        assert_eq!(u32::from_le_bytes(ram.0[40..44].try_into().unwrap()), 115_200);
        assert_eq!(tty.driver().state.lock().unwrap().speed, 115_200);
        // Modem, break, what is unsent, and typing for others.
        ram.0[..4].copy_from_slice(&6u32.to_le_bytes());
        assert_eq!(call(0x5416, 0x1000, &mut ram), Ok(0));
        ram.0[0] = 2;
        assert_eq!(call(0x5417, 0x1000, &mut ram), Ok(0));
        assert_eq!(call(0x5415, 0x1000, &mut ram), Ok(0));
        assert_eq!(u32::from(ram.0[0]), ioctl::modem::RTS | ioctl::modem::CTS);
        assert_eq!(call(0x5427, 0, &mut ram), Ok(0));
        assert_eq!(call(0x5428, 0, &mut ram), Ok(0));
        assert_eq!(call(0x5425, 1, &mut ram), Ok(0));
        assert_eq!(tty.driver().state.lock().unwrap().breaks, [true, false, true, false]);
        assert_eq!(call(0x5411, 0x1000, &mut ram), Ok(0));
        assert_eq!(ram.0[0], 0);
        assert_eq!(call(0x5412, 0x1000, &mut ram), Err(Error::Io));
        // Whose terminal it is.
        assert_eq!(call(0x540f, 0x1000, &mut ram), Ok(0));
        assert_eq!(ram.0[0], 1);
        tty.close(&file);
    });
}

/// With no room on the line, echo is shown as soon as there is some, though nobody writes.
#[test]
fn echo_waits_for_room() {
    let rig = Rig::new("-icanon");
    let file = rig.tty.open(true, false).expect("opens");
    typed(&rig.tty, b"0123456789abcdefXYZ");
    rig.tty.work();
    assert_eq!(rig.tty.driver().unsent(), DEPTH);
    rig.run(|_| until(|| rig.out() == b"0123456789abcdefXYZ"));
    assert_eq!(rig.tty.read(&file, &mut [0; 64], true), Ok(19));
}

/// Whoever sleeps in a terminal gives up for a signal: reading, waiting for another's turn, writing to a line that stands
/// still, waiting until all is sent. What was written by then counts.
#[test]
fn signals_end_every_wait() {
    let rig = Rig::new("raw");
    let tty = &rig.tty;
    let file = tty.open(true, false).expect("opens");
    assert_eq!(interrupted(|| tty.read(&file, &mut [0; 4], false)), Err(Error::Restart));
    assert_eq!(interrupted(|| tty.write(&file, &[b'x'; 100], false)), Ok(DEPTH), "nothing takes more");
    assert_eq!(interrupted(|| tty.write(&file, b"y", false)), Err(Error::Restart));
    assert_eq!(interrupted(|| tty.drain()), Err(Error::Restart));
    let (_reading, _writing) = (tty.read_turn.lock(), tty.write_turn.lock());
    assert_eq!(interrupted(|| tty.read(&file, &mut [0; 4], false)), Err(Error::Restart));
    assert_eq!(interrupted(|| tty.write(&file, b"y", false)), Err(Error::Restart));
}

/// TCIOFF and TCION: the other end is told before it gets what waits, also if there is room for nothing more.
#[test]
fn the_other_end_is_told_before_all_that_waits() {
    let rig = Rig::new("raw");
    let tty = &rig.tty;
    let file = tty.open(true, true).expect("opens");
    tty.driver().stop(true);
    while tty.write(&file, &[b'x'; DEPTH], true).is_ok() {}
    for flow in [2, 3] {
        assert_eq!(tty.ioctl(&file, 0x540A, flow, &mut Ram([0; 64])), Ok(0));
    }
    assert_eq!(tty.driver().state.lock().unwrap().urgent, [0x13, 0x11]);
}

/// What the leader has written is not forgotten with the line, which takes its time; but one that does not move at all is not
/// waited for any longer than that.
#[test]
fn a_leaders_last_words_come_out() {
    let rig = Rig::new("raw");
    rig.run(|tty| {
        let file = tty.open(true, true).expect("opens");
        tty.driver().stop(true);
        assert_eq!(tty.write(&file, b"last words", false), Ok(10));
        thread::scope(|scope| {
            let leaving = scope.spawn(|| tty.leader_exits());
            until(|| !tty.writers().queue().is_empty() || leaving.is_finished());
            tty.driver().stop(false);
            leaving.join().unwrap();
        });
        assert!(rig.out() == b"last words");
        assert!(tty.poll(&file).contains(Poll::HUP));
    });
}

/// The end of a session's leader hangs up the line: who is in the foreground hears of it, all files are dead but the
/// console's, and the settings stay, for the other end still has them.
#[test]
fn the_leaders_end_is_the_lines() {
    use crate::tty::job::Signal;
    let rig = Rig::new("raw");
    let tty = &rig.tty;
    let console = tty.open(true, false).expect("opens").of_console();
    let file = tty.open(true, true).expect("opens");
    rig.model.fork(1, 2);
    rig.model.run(2);
    rig.model.caller(|child| child.group = 2);
    let (spgrp, _) = ioctl::find(0x5410).expect("TIOCSPGRP");
    rig.model.run(1);
    tty.order(&file, &Order { command: spgrp, value: 0, data: &2i32.to_le_bytes() }).expect("foreground");
    assert_eq!(tty.foreground(), Some(2));
    // That somebody else ends is nobody's business.
    rig.model.run(2);
    tty.leader_exits();
    assert_eq!((tty.foreground(), tty.poll(&file).contains(Poll::HUP)), (Some(2), false));
    rig.model.run(1);
    tty.leader_exits();
    assert_eq!(rig.model.take_signals(2), [Signal::Hup]);
    assert_eq!((tty.foreground(), rig.model.terminal()), (None, None));
    rig.model.run(2);
    assert_eq!(rig.model.terminal(), None);
    assert_eq!((tty.poll(&file), tty.read(&file, &mut [0; 4], false)), (Poll::DEAD, Ok(0)));
    assert_eq!(tty.write(&file, b"x", false), Err(Error::Io));
    assert_eq!(tty.write(&console, b"x", false), Ok(1));
    assert!(!tty.settings().local.contains(crate::tty::termios::Local::ICANON), "the settings are gone");
}
