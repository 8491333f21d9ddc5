//! A line from the console, as a program reads it: echoed, with erase, ended by Enter.
//!
//! Backspace or DEL takes the last byte back, ^U all of them; ^D on an empty line is the end of the input.

use crate::kernel::idle;
use crate::tty::console;
use core::fmt::Write;

const CAPACITY: usize = 256;
const BACKSPACE: u8 = 0x08;
const DELETE: u8 = 0x7F;
const CTRL_D: u8 = 0x04;
const CTRL_U: u8 = 0x15;

/// The line, and how much of it has been read.
pub struct Input {
    bytes: [u8; CAPACITY],
    len: usize,
    read: usize,
}

impl Input {
    pub const fn new() -> Self {
        Self { bytes: [0; CAPACITY], len: 0, read: 0 }
    }

    /// The rest of the last line, or else the next one, as much as fits. 0 is the end of the input, or that `is_over` says
    /// that nobody wants it any more.
    pub fn take(&mut self, to: &mut [u8], is_over: &dyn Fn() -> bool) -> usize {
        if self.read == self.len {
            self.wait(is_over);
        }
        let len = to.len().min(self.len - self.read);
        to[..len].copy_from_slice(&self.bytes[self.read..self.read + len]);
        self.read += len;
        len
    }

    /// Waits for a whole line. Room for its line feed is kept free.
    fn wait(&mut self, is_over: &dyn Fn() -> bool) {
        let mut out = console::Output;
        (self.len, self.read) = (0, 0);
        while !is_over() {
            let Some(byte) = console::read() else {
                idle::wait_for_input_or(is_over);
                continue;
            };
            match byte {
                b'\r' | b'\n' => {
                    let _ = out.write_str("\n");
                    self.push(b'\n');
                    return;
                }
                CTRL_D if self.len == 0 => return,
                BACKSPACE | DELETE => self.erase(1, &mut out),
                CTRL_U => self.erase(self.len, &mut out),
                b' '..=b'~' if self.len < CAPACITY - 1 => {
                    self.push(byte);
                    let _ = out.write_char(char::from(byte));
                }
                _ => {}
            }
        }
    }

    fn push(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    fn erase(&mut self, count: usize, out: &mut dyn Write) {
        for _ in 0..count.min(self.len) {
            self.len -= 1;
            let _ = out.write_str("\x08 \x08");
        }
    }
}
