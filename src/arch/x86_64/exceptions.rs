//! The 32 exceptions: their names, and what their error codes say.
//! Source: Intel SDM vol. 3 §6.15 and figure 6-7 (selector error codes), §4.7 (page-fault error codes).

pub use super::frame::EXCEPTIONS;
use bitflags::bitflags;
use core::fmt;

/// Mnemonic and name of an exception.
pub const fn name(vector: u64) -> (&'static str, &'static str) {
    match vector {
        0 => ("#DE", "divide error"),
        1 => ("#DB", "debug"),
        2 => ("NMI", "non-maskable interrupt"),
        3 => ("#BP", "breakpoint"),
        4 => ("#OF", "overflow"),
        5 => ("#BR", "bound range exceeded"),
        6 => ("#UD", "invalid opcode"),
        7 => ("#NM", "device not available"),
        8 => ("#DF", "double fault"),
        9 => ("#9", "coprocessor segment overrun"),
        10 => ("#TS", "invalid TSS"),
        11 => ("#NP", "segment not present"),
        12 => ("#SS", "stack-segment fault"),
        13 => ("#GP", "general protection"),
        14 => ("#PF", "page fault"),
        16 => ("#MF", "x87 floating-point error"),
        17 => ("#AC", "alignment check"),
        18 => ("#MC", "machine check"),
        19 => ("#XM", "SIMD floating-point exception"),
        20 => ("#VE", "virtualization exception"),
        21 => ("#CP", "control protection"),
        28 => ("#HV", "hypervisor injection"),
        29 => ("#VC", "VMM communication"),
        30 => ("#SX", "security exception"),
        15 | 22..=27 | 31 => ("#--", "reserved exception"),
        _ => ("INT", "interrupt"),
    }
}

bitflags! {
    /// Error code of #PF.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct PageFault: u64 {
        /// The page is present: this was a violation of its permissions.
        const PRESENT = 1 << 0;
        const WRITE = 1 << 1;
        /// The access came from ring 3.
        const USER = 1 << 2;
        /// A reserved bit is set in some page-table entry.
        const RESERVED = 1 << 3;
        const FETCH = 1 << 4;
        const PROTECTION_KEY = 1 << 5;
        const SHADOW_STACK = 1 << 6;
        const SGX = 1 << 15;
    }
}

impl fmt::Display for PageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.contains(Self::USER) { "user " } else { "kernel " })?;
        if self.contains(Self::SHADOW_STACK) {
            f.write_str("shadow-stack ")?;
        }
        f.write_str(if self.contains(Self::FETCH) {
            "fetch from "
        } else if self.contains(Self::WRITE) {
            "write to "
        } else {
            "read of "
        })?;
        f.write_str(if self.contains(Self::RESERVED) {
            "a page whose tables have a reserved bit set"
        } else if self.contains(Self::PROTECTION_KEY) {
            "a page whose protection key does not allow it"
        } else if self.contains(Self::SGX) {
            "a page that SGX does not allow it for"
        } else if self.contains(Self::PRESENT) {
            "a page that does not allow it"
        } else {
            "a page that is not present"
        })
    }
}

/// What an error code says, for those vectors where it says something.
pub struct ErrorCode {
    pub vector: u64,
    pub code: u64,
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.vector, self.code) {
            (14, code) => PageFault::from_bits_retain(code).fmt(f),
            (10..=13, 0) => f.write_str("no selector involved"),
            (10..=13, code) => {
                let table = match code >> 1 & 3 {
                    0 => "GDT",
                    1 | 3 => "IDT",
                    _ => "LDT",
                };
                let unit = if table == "IDT" { "vector" } else { "entry" };
                let by = if code & 1 != 0 { ", by an external event" } else { "" };
                write!(f, "{table} {unit} {}{by}", code >> 3 & 0x1FFF)
            }
            _ => f.write_str("-"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn error_codes_in_words() {
        let text = |vector, code| format!("{}", ErrorCode { vector, code });
        assert_eq!(text(14, 0), "kernel read of a page that is not present");
        assert_eq!(text(14, 0b00011), "kernel write to a page that does not allow it");
        assert_eq!(text(14, 0b10101), "user fetch from a page that does not allow it");
        assert_eq!(text(14, 0b01001), "kernel read of a page whose tables have a reserved bit set");
        assert_eq!(text(14, 0b00100), "user read of a page that is not present");
        assert_eq!(text(14, 1 << 5 | 0b111), "user write to a page whose protection key does not allow it");
        assert_eq!(text(14, 1 << 6 | 0b111), "user shadow-stack write to a page that does not allow it");
        assert_eq!(text(14, 1 << 15 | 0b101), "user read of a page that SGX does not allow it for");
        assert_eq!(text(13, 0x1238), "GDT entry 583");
        assert_eq!(text(13, 0x1C), "LDT entry 3");
        assert_eq!(text(13, 32 * 8 + 3), "IDT vector 32, by an external event");
        assert_eq!(text(11, 255 * 8 + 2), "IDT vector 255");
        assert_eq!(text(13, 0), "no selector involved");
        assert_eq!(text(8, 0), "-");
    }

    #[test]
    fn every_exception_has_a_name() {
        for vector in 0..EXCEPTIONS {
            assert!(name(vector).0.starts_with('#') || vector == 2, "vector {vector}");
        }
        assert_eq!(name(200), ("INT", "interrupt"));
    }
}
