//! Class codes in words.
//!
//! Source: PCI Code and ID Assignment Specification 1.11, §1.

/// What a base class, sub-class and programming interface stand for.
pub fn class_name([base, sub, interface]: [u8; 3]) -> &'static str {
    match (base, sub, interface) {
        (0x00, 0x01, _) => "VGA of old",
        (0x01, 0x01, _) => "IDE controller",
        (0x01, 0x06, 0x01) => "SATA controller, AHCI",
        (0x01, 0x06, _) => "SATA controller",
        (0x01, 0x08, 0x02) => "NVMe controller",
        (0x01, ..) => "mass storage",
        (0x02, 0x00, _) => "Ethernet controller",
        (0x02, ..) => "network controller",
        (0x03, 0x00, _) => "VGA",
        (0x03, ..) => "display controller",
        (0x04, ..) => "multimedia",
        (0x05, ..) => "memory",
        (0x06, 0x00, _) => "host bridge",
        (0x06, 0x01, _) => "ISA bridge",
        (0x06, 0x04, _) => "PCI bridge",
        (0x06, 0x07, _) => "CardBus bridge",
        (0x06, ..) => "bridge",
        (0x07, 0x00, _) => "serial port",
        (0x07, ..) => "communication",
        (0x08, ..) => "system device",
        (0x09, ..) => "input device",
        (0x0A, ..) => "docking station",
        (0x0B, ..) => "processor",
        (0x0C, 0x03, 0x00) => "USB, UHCI",
        (0x0C, 0x03, 0x10) => "USB, OHCI",
        (0x0C, 0x03, 0x20) => "USB, EHCI",
        (0x0C, 0x03, 0x30) => "USB, xHCI",
        (0x0C, 0x05, _) => "SMBus",
        (0x0C, ..) => "serial bus",
        (0x0D, ..) => "wireless",
        (0x10, ..) => "encryption",
        (0x11, ..) => "signal processing",
        (0x12, ..) => "accelerator",
        _ => "of no class that is known",
    }
}
