//! Machine-check banks: what the hardware says of its own failure.
//! Source: Intel SDM vol. 3 §15.3; AMD APM vol. 2 §9.3.

use super::probe;
use core::fmt::{self, Write};

const IA32_MCG_CAP: u32 = 0x179;
const IA32_MCG_STATUS: u32 = 0x17A;
/// Bank n's control, status, address and misc registers stand at `IA32_MC0_CTL + 4 n` and after.
const IA32_MC0_CTL: u32 = 0x400;

/// MCi_STATUS.
const VALID: u64 = 1 << 63;
const OVERFLOW: u64 = 1 << 62;
const UNCORRECTED: u64 = 1 << 61;
const ADDRESS_VALID: u64 = 1 << 58;
const CONTEXT_CORRUPT: u64 = 1 << 57;

/// Prints every bank that has something to say.
pub fn print(out: &mut dyn Write) -> fmt::Result {
    let Some(capabilities) = probe::rdmsr(IA32_MCG_CAP) else {
        return writeln!(out, "  this CPU has no machine-check banks");
    };
    let banks = (capabilities & 0xFF) as u32;
    let status = probe::rdmsr(IA32_MCG_STATUS).unwrap_or(0);
    writeln!(out, "  machine-check status {status:#x}, {banks} banks")?;
    for bank in 0..banks {
        let register = IA32_MC0_CTL + 4 * bank;
        let Some(status) = probe::rdmsr(register + 1).filter(|status| status & VALID != 0) else { continue };
        write!(out, "  bank {bank}: {status:#018x}, error code {:#06x}", status & 0xFFFF)?;
        for (bit, name) in
            [(UNCORRECTED, "uncorrected"), (OVERFLOW, "overflow"), (CONTEXT_CORRUPT, "context corrupt")]
        {
            if status & bit != 0 {
                write!(out, ", {name}")?;
            }
        }
        if let (true, Some(address)) = (status & ADDRESS_VALID != 0, probe::rdmsr(register + 2)) {
            write!(out, ", address {address:#x}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}
