//! The command about threads.

use super::{Call, Result};
use crate::task::thread::{self, State};
use crate::task::{Policy, schedule, stack};
use core::fmt;

/// `rr 5`, `normal 0`.
struct Class(Policy);

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, value) = match self.0 {
            Policy::Fifo(priority) => ("fifo", i32::from(priority)),
            Policy::RoundRobin(priority) => ("rr", i32::from(priority)),
            Policy::Normal(nice) => ("normal", i32::from(nice)),
            Policy::Batch(nice) => ("batch", i32::from(nice)),
            Policy::Idle => return f.pad("idle"),
        };
        // The column's width is what is left of it by the word.
        let left = f.width().unwrap_or(0).saturating_sub(word.len() + 1);
        write!(f, "{word} {value:<left$}")
    }
}

fn word(state: State) -> &'static str {
    match state {
        State::Ready => "ready",
        State::Running => "running",
        State::Parked => "waiting",
        State::Dead => "dead",
    }
}

/// `threads`.
pub fn run<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    call.words.end()?;
    schedule::account();
    let _ = writeln!(call.out, "  id  name                  state    class      cpu  time");
    thread::for_each(&mut |thread| {
        let us = thread.cpu_ns() / 1000;
        let _ = writeln!(
            call.out,
            "  {:<3} {:<21} {:<8} {:<10} {:<4} {}.{:06} s{}{}",
            thread.id(),
            thread.name(),
            word(thread.state()),
            Class(thread.policy()),
            thread.cpu(),
            us / 1_000_000,
            us % 1_000_000,
            if thread.has_fpu() { ", fpu" } else { "" },
            if thread.has_program() { ", ring 3" } else { "" }
        );
    });
    let (stacks, kept) = stack::counts();
    let _ = writeln!(
        call.out,
        "  {stacks} stacks of {} KiB, {kept} of them kept for new threads; {} switches",
        stack::SIZE >> 10,
        schedule::switches()
    );
    Ok(())
}
