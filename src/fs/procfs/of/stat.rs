//! `stat` and `statm`: one line of numbers each, by their places.

use super::super::super::format::Text;
use super::super::open::once;
use super::super::process::{Facts, Memory, Process};
use super::super::{Sources, ticks};
use crate::boot::layout::PAGE_SIZE;
use core::fmt::Write;

/// The 52 fields of `stat`. Source: proc_pid_stat(5).
pub fn stat(_: &Sources, process: &dyn Process, after: Option<u64>, out: &mut Text) -> Option<u64> {
    once(after, || {
        let is_thread = process.id() != process.pid();
        let Some(facts) = process.facts(!is_thread) else { return };
        let memory = process.memory();
        let _ = write!(out, "{} (", process.id());
        process.name(out);
        line(out, &facts, &memory.unwrap_or_default(), process.may_be_looked_into());
    })
}

fn line(out: &mut Text, facts: &Facts, memory: &Memory, shows_addresses: bool) {
    let Facts { state, parent, group, session, flags, faults, child_faults, class, threads, .. } = *facts;
    // The number in 32 bits, as stat(2) has it.
    let terminal = facts.terminal.map_or(0, |(device, _)| device.encode() as i32);
    let foreground = facts.terminal.map_or(-1, |(_, group)| group);
    let _ = write!(out, ") {} {parent} {group} {session} {terminal} {foreground}", state.letter());
    let _ = write!(out, " {flags} {} {} {} {}", faults[0], child_faults[0], faults[1], child_faults[1]);
    for ns in [facts.user_ns, facts.system_ns, facts.child_user_ns, facts.child_system_ns] {
        let _ = write!(out, " {}", ticks(ns));
    }
    // 21: the time to the next SIGALRM of setitimer, which Linux has as 0.
    let _ = write!(out, " {} {} {threads} 0 {}", class.priority(), class.nice, ticks(facts.start_ns));
    let _ = write!(out, " {} {} {}", memory.size * PAGE_SIZE, memory.resident(), facts.resident_limit);
    let hidden = |address: u64| if shows_addresses { address } else { 0 };
    // 29 and 30: where its stack and its instruction pointer are, which Linux shows of a process that is ending alone.
    let (code, stack) = (memory.code_range, memory.stack_start);
    let _ = write!(out, " {} {} {} 0 0", hidden(code.0), hidden(code.1), hidden(stack));
    // As before real-time signals: those up to 31.
    let signals = facts.signals;
    for set in [signals.pending, signals.blocked, signals.ignored, signals.caught] {
        let _ = write!(out, " {}", set & 0x7FFF_FFFF);
    }
    // 35: where it waits, no more than whether. 36, 37: pages swapped, never counted.
    let waits = !matches!(facts.state, super::super::process::State::Running);
    let _ = write!(out, " {} 0 0 {} {}", u8::from(waits), facts.exit_signal, facts.cpu);
    let _ = write!(out, " {} {} {}", class.real_time, class.policy, ticks(facts.device_wait_ns));
    // 43, 44: time in virtual machines.
    let _ = write!(out, " 0 0");
    let (data, arguments, environment) = (memory.data_range, memory.argument_range, memory.environment_range);
    for address in [data.0, data.1, memory.brk_start, arguments.0, arguments.1, environment.0, environment.1]
    {
        let _ = write!(out, " {}", hidden(address));
    }
    let _ = writeln!(out, " {}", if shows_addresses { facts.exit_code } else { 0 });
}

/// Pages: all, present, of files, code, libraries (0 on Linux), data and stack, dirty (0 on Linux).
pub fn statm(_: &Sources, process: &dyn Process, after: Option<u64>, out: &mut Text) -> Option<u64> {
    once(after, || {
        let memory = process.memory().unwrap_or_default();
        let shared = memory.file + memory.shared;
        let (size, resident, code) = (memory.size, memory.resident(), memory.code);
        let _ = writeln!(out, "{size} {resident} {shared} {code} 0 {} 0", memory.data + memory.stack);
    })
}

/// Where in the kernel it waits: not told, which Linux shows as 0.
pub fn wait_channel(_: &Sources, _: &dyn Process, after: Option<u64>, out: &mut Text) -> Option<u64> {
    once(after, || _ = out.push(b"0"))
}
