//! Sizes of the processors' stacks. Each has one unmapped guard page below it.

/// The stack that the kernel starts on. Formatting a panic in a debug build takes up to 6 KiB of it.
pub const BOOT_STACK_SIZE: u64 = 64 << 10;
/// Each of the interrupt stacks (IST 1-4): deep enough to print a whole panic from.
pub const IST_STACK_SIZE: u64 = 16 << 10;
/// The stack on which any other CPU than the first starts, and idles.
pub const IDLE_STACK_SIZE: u64 = 32 << 10;

/// Bytes at the top of each interrupt stack that the CPU does not push to: the CPU's GS base,
/// padded so that frames stay aligned to 16.
pub const IST_RESERVED: u64 = 16;

/// What assembly knows of it; see build.rs.
pub const ASM: &[(&str, u64)] = &[
    ("BOOT_STACK_SIZE", BOOT_STACK_SIZE),
    ("IST_STACK_SIZE", IST_STACK_SIZE),
    ("IST_RESERVED", IST_RESERVED),
];
