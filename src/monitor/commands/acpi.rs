//! `acpi`: the firmware's tables.

use super::{Call, Result};
use crate::acpi::{Signature, describe};
use crate::monitor::parse::Problem;
use crate::platform;

pub fn run<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    let word = call.words.next();
    call.words.end()?;
    let Some(tables) = platform::pc::acpi::tables() else {
        let _ = writeln!(call.out, "  this machine has no ACPI tables");
        return Ok(());
    };
    let mut found = false;
    // The DSDT is in no list: the FADT points to it.
    for table in tables.iter().chain(tables.dsdt().ok()) {
        let header = table.header();
        match word {
            None => {
                let (signature, length, revision) = (header.signature, header.length, header.revision);
                let _ = writeln!(
                    call.out,
                    "  {signature}  {:#012x}  {length:6} bytes  revision {revision}",
                    table.phys()
                );
            }
            Some(word) if word == "all" || signature_of(word) == Some(header.signature) => {
                let _ = describe(&table, call.out);
            }
            Some(_) => continue,
        }
        found = true;
    }
    for bad in tables.bad() {
        let _ = writeln!(call.out, "  {bad}");
    }
    match word {
        Some(word) if !found => Err(Problem::Unknown(word)),
        _ => Ok(()),
    }
}

/// Four letters; the MADT and the FADT also go by those names.
fn signature_of(word: &str) -> Option<Signature> {
    let word = match word {
        "MADT" | "madt" => "APIC",
        "FADT" | "fadt" => "FACP",
        other => other,
    };
    let mut bytes: [u8; 4] = word.as_bytes().try_into().ok()?;
    bytes.make_ascii_uppercase();
    Some(Signature(bytes))
}

pub fn complete(sink: &mut dyn FnMut(&str)) {
    ["all", "MADT", "FADT", "HPET", "MCFG", "DSDT"].into_iter().for_each(sink);
}
