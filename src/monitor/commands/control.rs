//! Commands that end something, or test everything.

use super::{Call, Result};
use crate::arch::x86_64::cr;
use crate::arch::x86_64::percpu::{self, copies};
use crate::cpu_set::CpuSet;
use crate::kernel::bench::{self, Unit};
use crate::kernel::selftest::{self, TESTS};
use crate::monitor::parse::{self, Problem};
use crate::platform::pc::ipi;
use crate::platform::{Machine, Platform};
use crate::tty::console;

pub fn panic<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    let text = call.words.rest();
    if !call.suffix.is_empty() {
        let cpu = parse::number(call.suffix).ok_or(Problem::NotANumber(call.suffix))? as usize;
        if cpu != percpu::number() {
            if !copies::is_online(cpu) {
                return Err(Problem::Unknown(call.suffix));
            }
            ipi::call::send(&CpuSet::one(cpu), |_| panic!("asked for by the monitor"), 0);
            cr::wait_forever();
        }
    }
    panic!("{}", if text.is_empty() { "asked for by the monitor" } else { text });
}

pub fn reboot<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    call.words.end()?;
    let _ = writeln!(call.out, "resetting");
    console::drain();
    Machine::restart()
}

pub fn poweroff<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    call.words.end()?;
    console::drain();
    let reason = Machine::power_off();
    let _ = writeln!(call.out, "{reason}");
    Ok(())
}

pub fn selftest<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    console::drain();
    match call.words.next() {
        None => {
            selftest::run_all();
        }
        Some(name) => {
            call.words.end()?;
            selftest::run_named(name).ok_or(Problem::Unknown(name))?;
        }
    }
    Ok(())
}

pub fn complete_selftest(sink: &mut dyn FnMut(&str)) {
    TESTS.iter().for_each(|test| sink(test.name));
}

pub fn bench<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    let wanted = call.words.next();
    call.words.end()?;
    if let Some(name) = wanted.filter(|name| bench::TABLE.iter().all(|one| one.name != *name)) {
        return Err(Problem::Unknown(name));
    }
    for one in bench::TABLE.iter().filter(|one| wanted.is_none_or(|name| name == one.name)) {
        let unit = match one.unit {
            Unit::Ticks => "ticks",
            Unit::Nanoseconds => "ns",
        };
        // What was written leaves by interrupts, which would be counted.
        console::drain();
        let _ = match (one.run)() {
            Some(hundredths) => {
                let (whole, part) = (hundredths / 100, hundredths % 100);
                writeln!(call.out, "  {}: {whole}.{part:02} {unit}  ({})", one.name, one.about)
            }
            None => writeln!(call.out, "  {}: not possible here  ({})", one.name, one.about),
        };
    }
    Ok(())
}

pub fn complete_bench(sink: &mut dyn FnMut(&str)) {
    bench::TABLE.iter().for_each(|one| sink(one.name));
}
