//! Numbers of the model-specific registers that this kernel touches, and of their bits.
//! Source: Intel SDM vol. 4; AMD APM vol. 2 appendix A.

/// Extended features: SYSCALL, long mode, no-execute.
pub const IA32_EFER: u32 = 0xC000_0080;
/// EFER: SYSCALL and SYSRET exist.
pub const EFER_SCE: u64 = 1 << 0;
/// Segments of SYSCALL (bits 47:32) and SYSRET (63:48).
pub const IA32_STAR: u32 = 0xC000_0081;
/// Where SYSCALL goes.
pub const IA32_LSTAR: u32 = 0xC000_0082;
/// Where it goes from 32-bit code; on AMD's CPUs only, others have the register and do not use it.
pub const IA32_CSTAR: u32 = 0xC000_0083;
/// Flags that SYSCALL clears.
pub const IA32_FMASK: u32 = 0xC000_0084;
/// EFER: long mode, once paging is on.
pub const EFER_LME: u64 = 1 << 8;
/// EFER: page-table entries may forbid execution.
pub const EFER_NXE: u64 = 1 << 11;
/// Eight cache types that page-table entries choose from.
pub const IA32_PAT: u32 = 0x277;
/// What has been added to the time-stamp counter, by writing here or there, since reset.
pub const IA32_TSC_ADJUST: u32 = 0x3B;
/// Memory type range registers: which there are; what holds where none says anything; the first pair, of base and mask; and
/// those for the first MiB.
pub const IA32_MTRRCAP: u32 = 0xFE;
pub const IA32_MTRR_DEF_TYPE: u32 = 0x2FF;
pub const IA32_MTRR_PHYSBASE0: u32 = 0x200;
pub const IA32_MTRR_PHYSMASK0: u32 = 0x201;
pub const IA32_MTRR_FIX: [u32; 11] =
    [0x250, 0x258, 0x259, 0x268, 0x269, 0x26A, 0x26B, 0x26C, 0x26D, 0x26E, 0x26F];
/// What RDTSCP and RDPID bring in ECX: the CPU's number, for programs.
pub const IA32_TSC_AUX: u32 = 0xC000_0103;
/// Base of GS.
pub const IA32_GS_BASE: u32 = 0xC000_0101;
/// Base of FS.
pub const IA32_FS_BASE: u32 = 0xC000_0100;
/// The other base of GS, which SWAPGS brings in.
pub const IA32_KERNEL_GS_BASE: u32 = 0xC000_0102;
/// Local APIC's base address and mode.
pub const IA32_APIC_BASE: u32 = 0x1B;

/// CR0: protected mode; a bit that is always one; paging.
pub const CR0_PE: u64 = 1 << 0;
pub const CR0_ET: u64 = 1 << 4;
pub const CR0_PG: u64 = 1 << 31;
/// CR4: long mode's page-table format. Here, because assembly needs it before Rust runs.
pub const CR4_PAE: u64 = 1 << 5;
/// CR4: machine checks are reported as #MC.
pub const CR4_MCE: u64 = 1 << 6;

/// What assembly knows of it; see build.rs.
pub const ASM: &[(&str, u64)] = &[
    ("IA32_EFER", IA32_EFER as u64),
    ("EFER_NXE", EFER_NXE),
    ("IA32_GS_BASE", IA32_GS_BASE as u64),
    ("IA32_KERNEL_GS_BASE", IA32_KERNEL_GS_BASE as u64),
    ("IA32_FS_BASE", IA32_FS_BASE as u64),
    ("EFER_LME", EFER_LME),
    ("CR0_PE", CR0_PE),
    ("CR0_ET", CR0_ET),
    ("CR0_PG", CR0_PG),
    ("CR4_PAE", CR4_PAE),
    ("CR4_MCE", CR4_MCE),
];
