//! `stat`, `uptime`, `cpuinfo`: where the CPUs' time went, and what they are.

use super::super::super::format::Text;
use super::super::open::once;
use super::super::system::{CpuTimes, Label};
use super::super::{Sources, System, ticks};
use core::fmt::Write;

/// The CPUs in use.
pub fn cpus(system: &dyn System) -> impl Iterator<Item = usize> + '_ {
    let mut from = 0;
    core::iter::from_fn(move || {
        let cpu = system.next_cpu(from)?;
        from = cpu + 1;
        Some(cpu)
    })
}

fn times_line(out: &mut Text, times: &CpuTimes) {
    let CpuTimes { user, nice, system, idle, device_wait, interrupts, deferred } = *times;
    for ns in [user, nice, system, idle, device_wait, interrupts, deferred] {
        let _ = write!(out, " {}", ticks(ns));
    }
    // Stolen, and of virtual machines.
    let _ = out.write_str(" 0 0 0\n");
}

/// In one record: sum and parts are of one moment, as far as the CPUs stand still.
pub fn stat(sources: &Sources, after: Option<u64>, out: &mut Text) -> Option<u64> {
    once(after, || {
        let system = sources.system;
        let mut sum = CpuTimes::default();
        let mut parts = Text::new();
        for cpu in cpus(system) {
            let times = system.cpu_times(cpu);
            sum = sum.plus(times);
            let _ = write!(parts, "cpu{cpu}");
            times_line(&mut parts, &times);
        }
        // Two blanks, and the sums.
        let _ = out.write_str("cpu ");
        times_line(out, &sum);
        let _ = out.push(parts.bytes());
        interrupts(system, out);
        let counts = sources.processes.counts();
        let started = system.unix_ns().saturating_sub_unsigned(system.now_ns()).max(0) / 1_000_000_000;
        let _ = writeln!(out, "ctxt {}\nbtime {started}\nprocesses {}", system.switches(), counts.ever);
        let _ = writeln!(out, "procs_running {}\nprocs_blocked {}", counts.running, counts.blocked);
    })
}

/// How many there were, and of each device's, by number from 0 on.
fn interrupts(system: &dyn System, out: &mut Text) {
    let count = |key| cpus(system).map(|cpu| system.interrupt_count(key, cpu)).sum::<u64>();
    let (mut sum, mut next, mut from) = (0, 0, 0);
    let mut parts = Text::new();
    while let Some(one) = system.next_interrupt(from) {
        from = one.key + 1;
        let times = count(one.key);
        sum += times;
        let Label::Number(number) = one.label else { continue };
        while next < number {
            let _ = parts.write_str(" 0");
            next += 1;
        }
        let _ = write!(parts, " {times}");
        next = number + 1;
    }
    let _ = write!(out, "intr {sum}");
    let _ = out.push(parts.bytes());
    let _ = out.push(b"\n");
}

/// Seconds since the start, and seconds that CPUs had nothing to do, all together.
pub fn uptime(sources: &Sources, after: Option<u64>, out: &mut Text) -> Option<u64> {
    once(after, || {
        let idle: u64 = cpus(sources.system).map(|cpu| sources.system.cpu_times(cpu).idle).sum();
        let now = sources.system.now_ns();
        let hundredths = |ns: u64| (ns / 1_000_000_000, ns % 1_000_000_000 / 10_000_000);
        let ((now, parts), (idle, idle_parts)) = (hundredths(now), hundredths(idle));
        let _ = writeln!(out, "{now}.{parts:02} {idle}.{idle_parts:02}");
    })
}

/// A CPU a record.
pub fn info(sources: &Sources, after: Option<u64>, out: &mut Text) -> Option<u64> {
    let cpu = sources.system.next_cpu(after.map_or(0, |after| after as usize + 1))?;
    sources.system.describe_cpu(cpu, out);
    Some(cpu as u64)
}
