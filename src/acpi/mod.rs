//! ACPI's tables: what the firmware says of the machine, decoded.
//!
//! Pure code over byte slices: no hardware, no allocation, no `unsafe`, nothing stored but what is small.
//! The platform gives a way to read physical memory ([`PhysicalMemory`]) and the root pointer's address;
//! [`Tables`] checks the list of tables, and each module decodes one kind:
//!
//! | module | table |
//! | --- | --- |
//! | [`rsdp`] | the root pointer, handed over by UEFI or searched for in the BIOS area |
//! | [`tables`], [`sdt`] | RSDT and XSDT, the header that all tables share |
//! | [`madt`] | processors, I/O APICs, how ISA interrupts are wired, NMI lines |
//! | [`fadt`], [`gas`] | the power-management registers, reset, where the DSDT is |
//! | [`hpet`], [`mcfg`] | the event timer; where PCI's configuration space is mapped |
//! | [`srat`], [`slit`] | which processor and which memory are near each other |
//! | [`aml`] | two constants out of the byte code: `\_S5_` and static `_PRT` packages |
//! | [`print`] | all of it as text, for the monitor |
//!
//! Firmware is not trusted: for any bytes whatever there is no panic, no read past a slice or a length that
//! a table states, and no loop that does not get closer to the table's end. Fields are unaligned and are
//! therefore read byte by byte, never through a reference to a structure. `fuzz.rs` holds it to that.
//!
//! Source: ACPI Specification 6.5; older layouts from 1.0b, 2.0c, 3.0b and 5.0.

pub mod aml;
mod bytes;
#[cfg(test)]
mod dumps;
pub mod fadt;
#[cfg(test)]
mod fuzz;
pub mod gas;
pub mod hpet;
pub mod madt;
pub mod mcfg;
pub mod memory;
pub mod print;
pub mod rsdp;
pub mod sdt;
pub mod slit;
pub mod srat;
pub mod tables;

pub use fadt::Fadt;
pub use gas::Gas;
pub use hpet::Hpet;
pub use madt::Madt;
pub use mcfg::Mcfg;
pub use memory::PhysicalMemory;
pub use print::describe;
pub use rsdp::Rsdp;
pub use sdt::{Signature, Table, TableError};
pub use slit::Slit;
pub use srat::Srat;
pub use tables::Tables;
