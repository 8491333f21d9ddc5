//! `pci`: what is plugged in, and where each interrupt pin leads.

use super::{Call, Result};
use crate::drivers::pci::{class_name, walk};
use crate::platform::pc::{interrupts, intx};
use crate::platform::{Machine, Platform};

pub fn run<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    call.words.end()?;
    let out = &mut *call.out;
    let by_io_apic = interrupts::by_io_apic();
    let mut count = 0;
    walk::<Machine>(&mut |function| {
        count += 1;
        let [base, sub, interface] = function.class;
        let _ = writeln!(
            out,
            "  {}  {:04x}:{:04x}  class {base:02x}{sub:02x}{interface:02x}  header {}  {}",
            function.at,
            function.vendor,
            function.device,
            function.header,
            class_name(function.class)
        );
        if let Some(behind) = function.buses_behind::<Machine>() {
            let _ = writeln!(out, "      buses {:02x} to {:02x} behind it", behind.start(), behind.end());
        }
        for bar in function.bars::<Machine>() {
            let _ = writeln!(out, "      {bar}");
        }
        if let Some(pin) = function.pin::<Machine>() {
            let name = char::from(b'A' + pin);
            let _ = match intx::lead(function.at, pin, by_io_apic) {
                Some(lead) => writeln!(out, "      INT{name} -> {lead}"),
                None => writeln!(out, "      INT{name} -> nobody knows"),
            };
        }
    });
    if count == 0 {
        let _ = writeln!(out, "  there is no PCI on this {}", Machine::NAME);
    }
    Ok(())
}
