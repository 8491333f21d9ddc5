//! How an interrupt line says that it is raised: by an edge or a level, and of which polarity.
//!
//! The words are the same for the 8259A's ELCR, the local APIC's LINT entries, the I/O APIC's redirection
//! table and the ACPI tables' flags; only their bits differ.

/// When an interrupt is taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Trigger {
    /// Once, as the line becomes active. ISA devices.
    Edge,
    /// For as long as the line is active: several devices may share it. PCI devices.
    Level,
}

/// Which voltage is "active".
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Polarity {
    /// ISA devices.
    High,
    /// PCI devices.
    Low,
}
