//! Turning the machine off, and resetting it.
//!
//! Off is ACPI's sleep state S5: a number out of the DSDT, written with SLP_EN to both PM1 control registers.
//! Reset tries what the FADT names, then the ways that a PC has without ACPI (arch::x86_64::reset).
//! Source: ACPI 6.5 §4.8.3.2.1 (PM1 control), §4.8.3.6 (reset register), §16.1.3 (S5).

use super::acpi;
use super::registers::{read16, write8, write16};
use crate::acpi::aml::sleep_type;
use crate::arch::x86_64::{interrupts, reset};
use crate::platform::NoPowerOff;

/// Turns the machine off. Returns only if that is not possible.
pub fn off() -> NoPowerOff {
    /// Bits 12:10 of PM1 control, and bit 13, which makes them count.
    const SLP_TYP: u16 = 7 << 10;
    const SLP_EN: u16 = 1 << 13;
    let (Some(fadt), Some(tables)) = (acpi::fadt(), acpi::tables()) else { return NoPowerOff::NoAcpi };
    let Some(sleep) = tables.aml().find_map(|table| sleep_type(table.body(), 5)) else {
        return NoPowerOff::NoS5;
    };
    let was_on = interrupts::disable();
    let result = if fadt.is_hw_reduced() {
        // SLEEP_CONTROL: SLP_TYPx in bits 4:2, SLP_EN bit 5.
        fadt.sleep_control.and_then(|register| write8(&register, sleep.a << 2 | 1 << 5))
    } else {
        acpi::enable();
        let pm1 = |block: Option<crate::acpi::fadt::Block>, kind: u8| {
            let register = block?.register;
            let value = read16(&register)? & !(SLP_TYP | SLP_EN) | u16::from(kind) << 10;
            // The type first, then the same with the enable bit, as the specification has it.
            write16(&register, value)?;
            write16(&register, value | SLP_EN)
        };
        let a = pm1(fadt.pm1a_control, sleep.a);
        let b = pm1(fadt.pm1b_control, sleep.b);
        a.or(b)
    };
    if result.is_some() {
        reset::pause();
    }
    interrupts::restore(was_on);
    if result.is_some() { NoPowerOff::Ignored } else { NoPowerOff::NoRegister }
}

/// Resets the machine: by the FADT's register if there is one, else by the PC's own ways.
pub fn restart() -> ! {
    interrupts::disable();
    if let Some(way) = acpi::fadt().and_then(|fadt| fadt.reset) {
        if write8(&way.register, way.value).is_some() {
            reset::pause();
        }
    }
    reset::reset()
}
