//! Segment selectors and IST numbers: the small numbers that GDT, TSS, IDT and entry code share.
//!
//! The order of the GDT is forced by SYSCALL and SYSRET. SYSCALL takes CS from STAR[47:32] and SS = CS + 8,
//! so kernel data follows kernel code. SYSRET takes SS = STAR[63:48] + 8 and CS = STAR[63:48] + 16, so user
//! data comes before user code. Source: Intel SDM vol. 3 §5.8.8; AMD APM vol. 2 §6.1.1.

/// Ring 0 code, 64-bit.
pub const KERNEL_CS: u64 = 0x08;
/// Ring 0 data; also SS.
pub const KERNEL_DS: u64 = 0x10;
/// Ring 3 data; also SS. RPL 3 included.
pub const USER_DS: u64 = 0x18 | 3;
/// Ring 3 code, 64-bit. RPL 3 included.
pub const USER_CS: u64 = 0x20 | 3;
/// The task-state segment, whose descriptor takes two slots.
pub const TSS_SELECTOR: u64 = 0x28;
/// Bytes of the GDT: null, four segments, and the TSS's two slots.
pub const GDT_SIZE: u64 = 7 * 8;

/// Bytes of a 64-bit TSS without an I/O permission map.
pub const TSS_SIZE: u64 = 104;
/// Offset of RSP0 in the TSS (SDM vol. 3 figure 7-11).
pub const TSS_RSP0: u64 = 4;
/// Offset of IST1; IST n stands at `TSS_IST1 + 8 * (n - 1)`.
pub const TSS_IST1: u64 = 36;

/// IST stack of #DF: the fault may be a broken stack.
pub const IST_DOUBLE_FAULT: u64 = 1;
/// IST stack of the NMI: it comes at any instruction, whatever RSP is then.
pub const IST_NMI: u64 = 2;
/// IST stack of #MC, for the same reason.
pub const IST_MACHINE_CHECK: u64 = 3;
/// IST stack of #DB: a watchpoint may hit in the SYSCALL entry while RSP is still the user's.
pub const IST_DEBUG: u64 = 4;

/// A present 64-bit interrupt gate of DPL 0: IF is cleared on entry (SDM vol. 3 §6.14.1).
pub const GATE_INTERRUPT: u64 = 0x8E;
/// The same with DPL 3, so that INT n from ring 3 is let through.
pub const GATE_INTERRUPT_USER: u64 = GATE_INTERRUPT | 3 << 5;
/// The present, available 64-bit TSS type in a descriptor's access byte.
pub const DESCRIPTOR_TSS: u64 = 0x89;

/// What assembly knows of it; see build.rs.
pub const ASM: &[(&str, u64)] = &[
    ("KERNEL_CS", KERNEL_CS),
    ("KERNEL_DS", KERNEL_DS),
    ("USER_DS", USER_DS),
    ("USER_CS", USER_CS),
    ("TSS_SELECTOR", TSS_SELECTOR),
    ("GDT_SIZE", GDT_SIZE),
    ("TSS_SIZE", TSS_SIZE),
    ("TSS_RSP0", TSS_RSP0),
    ("TSS_IST1", TSS_IST1),
    ("IST_DOUBLE_FAULT", IST_DOUBLE_FAULT),
    ("IST_NMI", IST_NMI),
    ("IST_MACHINE_CHECK", IST_MACHINE_CHECK),
    ("IST_DEBUG", IST_DEBUG),
    ("GATE_INTERRUPT", GATE_INTERRUPT),
    ("GATE_INTERRUPT_USER", GATE_INTERRUPT_USER),
    ("DESCRIPTOR_TSS", DESCRIPTOR_TSS),
];
