//! Segment registers, RFLAGS and RSP, for display.

use core::arch::asm;

/// What they hold now.
#[derive(Clone, Copy, Debug)]
pub struct Registers {
    pub cs: u16,
    pub ss: u16,
    pub ds: u16,
    pub es: u16,
    pub fs: u16,
    pub gs: u16,
    /// Task register: the selector of the TSS.
    pub tr: u16,
    pub rflags: u64,
    pub rsp: u64,
}

impl Registers {
    pub fn read() -> Self {
        macro_rules! read {
            ($instruction:literal, $type:ty) => {{
                let value: $type;
                // SAFETY: reading these registers has no side effect; PUSHFQ uses the stack and gives it back.
                unsafe { asm!($instruction, out(reg) value) };
                value
            }};
        }
        Self {
            cs: read!("mov {0:x}, cs", u16),
            ss: read!("mov {0:x}, ss", u16),
            ds: read!("mov {0:x}, ds", u16),
            es: read!("mov {0:x}, es", u16),
            fs: read!("mov {0:x}, fs", u16),
            gs: read!("mov {0:x}, gs", u16),
            tr: read!("str {0:x}", u16),
            rflags: read!("pushfq; pop {}", u64),
            rsp: read!("mov {}, rsp", u64),
        }
    }
}
