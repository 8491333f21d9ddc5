//! N_TTY, the line discipline: what makes a terminal of a line that carries bytes.
//!
//! It stands between a driver, which has bytes from the other end, and programs, which read and write. Everything that
//! people expect of a terminal is done here: what is typed is shown, a wrong letter is rubbed out, Enter ends a line and
//! only then somebody gets it, ^C is a signal. It is pure code: no lock, no sleep, no clock, no memory but its own.
//!
//! ```text
//!   driver ──receive──▶ input ──▶ ring of 4,096 bytes ──read──▶ program
//!                         │ edit
//!                         ▼
//!                       echo ──▶ output ◀──write── program
//!                                  │
//!                                  ▼
//!                                [`Line`]
//! ```
//!
//! What it wants of others it leaves as [`Events`]: signals, wake-ups, flow. Whoever owns it takes them after each call.
//! How it behaves is what Linux does, down to the corners: [`tests`] holds it against a recording of a real terminal.
//!
//! Files: [`ring`] what has come and not been read; [`input`] what becomes of a byte; [`edit`] the keys that change a
//! line; [`backlog`] what has no room yet; [`echo`] what is shown, and when; [`output`] columns, tabs and line ends; [`read`] who gets what, and when.
//!
//! Source: POSIX.1-2017 chapter 11; behaviour beyond it as seen on Linux 6.18.

mod backlog;
mod echo;
mod edit;
mod input;
mod output;
mod read;
mod ring;
mod settings;
#[cfg(test)]
pub mod tests;

pub use backlog::Backlog;
pub use input::Mark;
pub use read::{Reading, Step};
pub use ring::CAPACITY;

use super::termios::{DISABLED, Local, Output, Termios, cc};
use alloc::collections::TryReserveError;
use bitflags::bitflags;
use echo::EchoBuffer;
use ring::Ring;

bitflags! {
    /// What has happened that concerns others.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Events: u16 {
        /// SIGINT to the foreground group.
        const INTERRUPT = 1;
        /// SIGQUIT to it.
        const QUIT = 2;
        /// SIGTSTP to it.
        const SUSPEND = 4;
        /// There may be something to read, or a reader has to look at new settings.
        const READABLE = 8;
        /// The same for writers.
        const WRITABLE = 0x10;
        /// There is room again for input that was not taken before.
        const ROOM = 0x20;
        /// Sending was stopped or started: see [`NTty::is_stopped`].
        const FLOW = 0x40;
        /// The other end is to stop or to go on: see [`NTty::is_throttled`].
        const THROTTLE = 0x80;
    }
}

impl Default for Events {
    fn default() -> Self {
        Self::empty()
    }
}

/// Where output goes: the driver's side.
pub trait Line {
    /// Bytes that can be sent now.
    fn room(&self) -> usize;

    /// Sends bytes, at most as many as there is room for.
    fn send(&mut self, bytes: &[u8]);

    /// Sends a byte before all that waits. A line on which nothing waits sends it as any other, if there is room.
    fn send_now(&mut self, byte: u8) {
        if self.room() > 0 {
            self.send(&[byte]);
        }
    }

    /// Drops what was sent and has not left.
    fn discard(&mut self);
}

/// Which direction is emptied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    Input,
    Output,
    Both,
}

/// The discipline of one terminal.
pub struct NTty {
    settings: Termios,
    /// Which bytes mean something, by the settings.
    special: settings::ByteSet,
    /// How the settings want input treated.
    mode: settings::Mode,
    ring: Ring,
    echo: EchoBuffer,
    /// Column of the cursor, as far as can be told from here.
    column: u32,
    /// Column at which the line that is being typed began.
    canon_column: u32,
    /// The next byte is taken as it is.
    literal: bool,
    /// Between the \ and the / of ECHOPRT.
    erasing: bool,
    /// Sending is stopped, by STOP or by a program.
    stopped: bool,
    /// By a program: START does not start it.
    stopped_by_program: bool,
    /// Input was refused for want of room.
    refused: bool,
    throttled: bool,
    /// Bytes at the front of what is to come that were already looked at for STOP and START.
    looked_ahead: usize,
    /// There is no driver to be held back, but a pair: refusing is enough.
    is_pair: bool,
    events: Events,
}

/// Bytes left in the ring at which the other end is told to stop, and held back in it at which it may go on.
const THROTTLE_ROOM: usize = 128;
const UNTHROTTLE_HELD: usize = 128;

impl NTty {
    /// A new one. `is_pair` says that the driver keeps what is not taken, as a pseudo-terminal does; else it is told when
    /// to hold the other end back.
    pub fn new(settings: Termios, is_pair: bool) -> Result<Self, TryReserveError> {
        let mut tty = Self {
            special: settings::ByteSet::default(),
            mode: settings::Mode::of(&settings),
            ring: Ring::new()?,
            echo: EchoBuffer::new()?,
            settings,
            column: 0,
            canon_column: 0,
            literal: false,
            erasing: false,
            stopped: false,
            stopped_by_program: false,
            refused: false,
            throttled: false,
            looked_ahead: 0,
            is_pair,
            events: Events::empty(),
        };
        tty.special = settings::ByteSet::of(&tty.settings);
        Ok(tty)
    }

    pub fn settings(&self) -> &Termios {
        &self.settings
    }

    /// What has happened since it was asked last.
    pub fn take_events(&mut self) -> Events {
        core::mem::take(&mut self.events)
    }

    /// Whether the driver must not send.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Whether the other end is to be held back.
    pub fn is_throttled(&self) -> bool {
        self.throttled
    }

    /// The line has room again: shows what had none.
    pub fn resume(&mut self, line: &mut dyn Line) {
        self.process_echoes(line);
    }

    /// Room on the line, as far as it is not stopped.
    fn room(&self, line: &dyn Line) -> usize {
        if self.stopped { 0 } else { line.room() }
    }

    // ---- stopping and starting what is sent ----

    fn stop(&mut self) {
        if !self.stopped {
            self.stopped = true;
            self.events |= Events::FLOW;
        }
    }

    /// Starts again, unless a program has said stop.
    fn start(&mut self) {
        if self.stopped && !self.stopped_by_program {
            self.stopped = false;
            self.events |= Events::FLOW | Events::WRITABLE;
        }
    }

    /// TCOOFF: nothing is sent until [`Self::program_start`].
    pub fn program_stop(&mut self) {
        if !self.stopped_by_program {
            self.stopped_by_program = true;
            self.stop();
        }
    }

    /// TCOON.
    pub fn program_start(&mut self) {
        if self.stopped_by_program {
            self.stopped_by_program = false;
            self.start();
        }
    }

    /// TCIOFF and TCION: sends STOP or START to the other end, past what waits; no STOP of its own holds it up, but a
    /// program's does.
    pub fn send_flow(&mut self, stop: bool, line: &mut dyn Line) {
        let byte = self.settings.cc[if stop { cc::VSTOP } else { cc::VSTART }];
        if byte != DISABLED && !self.stopped_by_program {
            line.send_now(byte);
        }
    }

    // ---- emptying ----

    /// TCFLSH. What the driver has of input that was not taken yet stays there; it is offered again.
    pub fn flush(&mut self, which: Flush, line: &mut dyn Line) {
        if which != Flush::Output {
            self.forget_input();
            if self.throttled {
                self.throttled = false;
                self.events |= Events::THROTTLE;
            }
        }
        if which != Flush::Input {
            line.discard();
            self.events |= Events::WRITABLE;
        }
    }

    /// Nothing has been typed.
    fn forget_input(&mut self) {
        self.ring.clear();
        self.erasing = false;
        self.looked_ahead = 0;
        self.kick();
    }

    /// There is room again: whoever holds back input that was refused may try.
    fn kick(&mut self) {
        if self.refused {
            self.refused = false;
            self.events |= Events::ROOM;
        }
    }

    /// The terminal has lost its other end: everything that was held for it is gone, and the settings are as new.
    pub fn hang_up(&mut self, settings: Termios) {
        self.ring.clear();
        self.echo.clear();
        (self.literal, self.erasing, self.stopped, self.stopped_by_program) = (false, false, false, false);
        (self.refused, self.throttled, self.looked_ahead) = (false, false, 0);
        (self.column, self.canon_column) = (0, 0);
        self.settings = settings;
        self.apply_settings();
        self.events = Events::READABLE | Events::WRITABLE | Events::FLOW;
    }

    // ---- questions ----

    /// FIONREAD: bytes that a read would give. An end of file is none.
    pub fn available(&self) -> usize {
        if self.settings.makes_lines() { self.ring.line_bytes() } else { self.ring.held() }
    }

    /// Whether a read would give something, or end of file, at once. `poll` asks on behalf of poll(2), which waits for
    /// MIN bytes where no time is set.
    pub fn is_readable(&self, poll: bool) -> bool {
        if self.settings.makes_lines() {
            return self.ring.has_line();
        }
        let (minimum, time) = (self.minimum(), self.settings.cc[cc::VTIME]);
        let wanted = if poll && time == 0 && minimum > 0 { minimum } else { 1 };
        self.ring.readable() >= wanted
    }

    fn minimum(&self) -> usize {
        usize::from(self.settings.cc[cc::VMIN])
    }

    /// Whether a write would take something at once.
    pub fn is_writable(&self, line: &dyn Line) -> bool {
        self.room(line) > 0
    }

    fn local(&self, flag: Local) -> bool {
        self.settings.local.contains(flag)
    }

    fn processes_output(&self) -> bool {
        self.settings.output.contains(Output::OPOST)
    }
}
