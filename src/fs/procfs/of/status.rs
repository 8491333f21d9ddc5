//! `status`: the same figures as `stat`, and more, for people; and `oom_score_adj`.

use super::super::super::cred::Credentials;
use super::super::super::format::Text;
use super::super::Sources;
use super::super::open::once;
use super::super::process::{Facts, Memory, Process, flags};
use crate::task::CpuSet;
use core::fmt::Write;

/// KiB in a page.
const KIB: u64 = 4;

pub fn status(sources: &Sources, process: &dyn Process, after: Option<u64>, out: &mut Text) -> Option<u64> {
    once(after, || {
        let Some(facts) = process.facts(false) else { return };
        identity(out, process, &facts);
        if let Some(memory) = process.memory() {
            self::memory(out, &memory);
            let _ = out.write_str("CoreDumping:\t0\nTHP_enabled:\t0\nuntag_mask:\t0xffffffffffffffff\n");
        }
        let _ = writeln!(out, "Threads:\t{}", facts.threads);
        signals(out, &facts);
        capabilities(out, process);
        let _ = writeln!(out, "NoNewPrivs:\t{}", u8::from(facts.no_new_privileges));
        let _ = out.write_str("Seccomp:\t0\nSeccomp_filters:\t0\n");
        cpus(out, sources, &process.allowed_cpus());
        let _ = out.write_str("Mems_allowed:\t1\nMems_allowed_list:\t0\n");
        let _ = writeln!(out, "voluntary_ctxt_switches:\t{}", facts.voluntary_switches);
        let _ = writeln!(out, "nonvoluntary_ctxt_switches:\t{}", facts.involuntary_switches);
    })
}

/// A name in one line: what would end it is escaped, as is the backslash.
fn name(out: &mut Text, process: &dyn Process) {
    let mut name = Text::new();
    process.name(&mut name);
    for &byte in name.bytes() {
        let _ = match byte {
            b'\n' => out.push(b"\\n"),
            b'\\' => out.push(b"\\\\"),
            byte => out.push(&[byte]),
        };
    }
}

fn identity(out: &mut Text, process: &dyn Process, facts: &Facts) {
    let (pid, id, state) = (process.pid(), process.id(), facts.state);
    let _ = out.write_str("Name:\t");
    name(out, process);
    let _ = writeln!(out, "\nUmask:\t{:04o}", facts.umask);
    let _ = writeln!(out, "State:\t{} ({})", state.letter(), state.word());
    let _ = writeln!(out, "Tgid:\t{pid}\nNgid:\t0\nPid:\t{id}\nPPid:\t{}", facts.parent);
    let _ = writeln!(out, "TracerPid:\t{}", facts.tracer);
    let credentials = process.credentials();
    let none = Credentials::ROOT;
    let who = credentials.as_deref().unwrap_or(&none);
    for (what, ids) in [
        ("Uid", [who.uid, who.effective_uid, who.saved_uid, who.fs_uid]),
        ("Gid", [who.gid, who.effective_gid, who.saved_gid, who.fs_gid]),
    ] {
        let _ = writeln!(out, "{what}:\t{}\t{}\t{}\t{}", ids[0], ids[1], ids[2], ids[3]);
    }
    let slots = process.files().map_or(64, |files| files.capacity());
    let _ = write!(out, "FDSize:\t{slots}\nGroups:\t");
    for group in &who.groups {
        let _ = write!(out, "{group} ");
    }
    // Linux has a blank even where there are no groups.
    let _ = out.write_str(if who.groups.is_empty() { " \n" } else { "\n" });
    let _ =
        writeln!(out, "NStgid:\t{pid}\nNSpid:\t{id}\nNSpgid:\t{}\nNSsid:\t{}", facts.group, facts.session);
    let _ = writeln!(out, "Kthread:\t{}", u8::from(facts.flags & flags::KERNEL_THREAD != 0));
}

fn memory(out: &mut Text, memory: &Memory) {
    for (what, pages) in [
        ("VmPeak", memory.peak_size.max(memory.size)),
        ("VmSize", memory.size),
        ("VmLck", memory.locked),
        ("VmPin", memory.pinned),
        ("VmHWM", memory.peak_resident.max(memory.resident())),
        ("VmRSS", memory.resident()),
        ("RssAnon", memory.anonymous),
        ("RssFile", memory.file),
        ("RssShmem", memory.shared),
        ("VmData", memory.data),
        ("VmStk", memory.stack),
        ("VmExe", memory.code),
        ("VmLib", memory.library),
        ("VmPTE", memory.tables),
        ("VmSwap", memory.swapped),
        ("HugetlbPages", 0),
    ] {
        let _ = writeln!(out, "{what}:\t{:8} kB", pages * KIB);
    }
}

fn signals(out: &mut Text, facts: &Facts) {
    let signals = facts.signals;
    let _ = writeln!(out, "SigQ:\t{}/{}", signals.queued, signals.queue_limit);
    for (what, set) in [
        ("SigPnd", signals.pending),
        ("ShdPnd", signals.shared_pending),
        ("SigBlk", signals.blocked),
        ("SigIgn", signals.ignored),
        ("SigCgt", signals.caught),
    ] {
        let _ = writeln!(out, "{what}:\t{set:016x}");
    }
}

fn capabilities(out: &mut Text, process: &dyn Process) {
    let caps = process.capabilities();
    for (what, set) in [
        ("CapInh", caps.inheritable),
        ("CapPrm", caps.permitted),
        ("CapEff", caps.effective),
        ("CapBnd", caps.bounding),
        ("CapAmb", caps.ambient),
    ] {
        let _ = writeln!(out, "{what}:\t{set:016x}");
    }
}

/// The CPUs among those that there are, as a mask, 32 a word and the highest first, and as ranges.
fn cpus(out: &mut Text, sources: &Sources, allowed: &CpuSet) {
    let next = |from: usize| sources.system.next_cpu(from);
    let mut last = 0;
    while let Some(cpu) = next(last) {
        last = cpu + 1;
    }
    let is_in = |cpu: usize| next(cpu) == Some(cpu) && allowed.contains(cpu);
    let _ = out.write_str("Cpus_allowed:\t");
    let words = last.div_ceil(32).max(1);
    for word in (0..words).rev() {
        let bits = (0..32).filter(|bit| is_in(word * 32 + bit)).fold(0u32, |bits, bit| bits | 1 << bit);
        // The highest word has as many digits as there are CPUs for.
        let digits = if word == words - 1 { (last - word * 32).div_ceil(4).max(1) } else { 8 };
        let _ = write!(out, "{bits:0digits$x}{}", if word > 0 { "," } else { "" });
    }
    let _ = out.write_str("\nCpus_allowed_list:\t");
    let (mut at, mut separator) = (0, "");
    while at < last {
        if !is_in(at) {
            at += 1;
            continue;
        }
        let first = at;
        while at < last && is_in(at) {
            at += 1;
        }
        let _ = write!(out, "{separator}{first}");
        if at - 1 > first {
            let _ = write!(out, "-{}", at - 1);
        }
        separator = ",";
    }
    let _ = out.write_str("\n");
}

pub fn oom_score_adjustment(
    _: &Sources,
    process: &dyn Process,
    after: Option<u64>,
    out: &mut Text,
) -> Option<u64> {
    once(after, || {
        let adjustment = process.facts(false).map_or(0, |facts| facts.oom_score_adjustment);
        let _ = writeln!(out, "{adjustment}");
    })
}

/// The execution domain, in hexadecimal.
pub fn personality(_: &Sources, process: &dyn Process, after: Option<u64>, out: &mut Text) -> Option<u64> {
    once(after, || {
        let personality = process.facts(false).map_or(0, |facts| facts.personality);
        let _ = writeln!(out, "{personality:08x}");
    })
}

/// The user who logged in, for audits: nobody did, which is 2^32 - 1. No line feed, as on Linux.
pub fn login_user(_: &Sources, _: &dyn Process, after: Option<u64>, out: &mut Text) -> Option<u64> {
    once(after, || _ = write!(out, "{}", u32::MAX))
}
