//! A program, as its system calls see it.

use super::End;
use super::line::Input;
use super::running::Running;
use crate::arch::x86_64::frame::{SYSCALL_COMPAT_VECTOR, TrapFrame};
use crate::arch::x86_64::usercopy::{self, Fault};
use crate::mm::space::live::UserSpace;
use crate::mm::vma::Error;
use crate::mm::vma::area::Prot;
use crate::mm::vma::space::{Advice, MapFlags, Mapping, RemapFlags};
use crate::syscall::flat::memory::Memory;
use crate::syscall::flat::{self, Outcome, Process};
use crate::tty::console;
use crate::utf8::Decoder;
use core::fmt::Write;

/// Calls of which it is remembered that they were told of.
const NUMBERS: usize = 512;

/// What the kernel keeps for a program's calls.
pub struct State {
    name: &'static str,
    input: Input,
    decoder: Decoder,
    /// Unknown calls that were logged, by number; the last for all that are larger.
    told: [bool; NUMBERS + 1],
}

impl State {
    pub const fn new(name: &'static str) -> Self {
        Self { name, input: Input::new(), decoder: Decoder::new(), told: [false; NUMBERS + 1] }
    }
}

/// A call, while it is made.
struct Call<'a> {
    running: &'a Running,
    state: &'a mut State,
}

impl Process for Call<'_> {
    /// Programs know nothing of each other yet: each is the only one.
    fn pid(&self) -> u32 {
        1
    }

    fn copy_in(&mut self, to: &mut [u8], from: u64) -> Result<(), Fault> {
        usercopy::copy_in(to, from)
    }

    fn copy_out(&mut self, to: u64, from: &[u8]) -> Result<(), Fault> {
        usercopy::copy_out(to, from)
    }

    fn memory(&mut self) -> &dyn Memory {
        self.running.space().space()
    }

    fn write_console(&mut self, bytes: &[u8]) {
        let mut out = console::Output;
        let mut utf8 = [0; 4];
        for &byte in bytes {
            if let Some(decoded) = self.state.decoder.feed(byte) {
                let _ = out.write_str(decoded.unwrap_or('\u{FFFD}').encode_utf8(&mut utf8));
            }
        }
    }

    fn read_console(&mut self, to: &mut [u8]) -> usize {
        let is_over = || self.running.is_over();
        self.state.input.take(to, &is_over)
    }

    fn note_unknown(&mut self, number: u64) {
        let told = &mut self.state.told[number.min(NUMBERS as u64) as usize];
        if !core::mem::replace(told, true) {
            log::warn!(target: "user", "{}: system call {number} is not there (-ENOSYS)", self.state.name);
        }
    }
}

impl Memory for UserSpace {
    fn map(&self, addr: u64, len: u64, prot: Prot, flags: MapFlags) -> Result<u64, Error> {
        let mapped = UserSpace::map(self, Mapping { addr, len, prot, flags, file: None })?;
        Ok(mapped.span.start)
    }

    fn unmap(&self, addr: u64, len: u64) -> Result<(), Error> {
        UserSpace::unmap(self, addr, len)
    }

    fn protect(&self, addr: u64, len: u64, prot: Prot, from_area_start: bool) -> Result<(), Error> {
        UserSpace::protect(self, addr, len, prot, from_area_start)
    }

    fn brk(&self, to: u64) -> u64 {
        UserSpace::brk(self, to)
    }

    fn remap(&self, from: u64, len: u64, new_len: u64, flags: RemapFlags, to: u64) -> Result<u64, Error> {
        UserSpace::remap(self, from, len, new_len, flags, to)
    }

    fn advise(&self, addr: u64, len: u64, advice: Advice) -> Result<(), Error> {
        UserSpace::advise(self, addr, len, advice)
    }

    fn sync(&self, addr: u64, len: u64) -> Result<(), Error> {
        UserSpace::sync(self, addr, len, |_, _, _| {})
    }
}

/// Makes the call that a program asks for. Whether it is over then, by this or by somebody else's wish, is for its way back
/// to find out.
pub fn serve(running: &Running, frame: &mut TrapFrame) {
    if frame.vector == SYSCALL_COMPAT_VECTOR {
        running.set_end(End::Compat);
        return;
    }
    let arguments = [frame.rdi, frame.rsi, frame.rdx, frame.r10, frame.r8, frame.r9];
    // SAFETY: this is the program's thread, and its one call.
    let state = unsafe { running.state() };
    match flat::dispatch(&mut Call { running, state }, frame.call_number(), &arguments) {
        Outcome::Return(value) => frame.rax = value,
        Outcome::Exit(status) => running.set_end(End::Exit(status)),
    }
}
