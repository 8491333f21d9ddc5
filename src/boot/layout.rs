//! The virtual address space, as numbers.
//!
//! Loader and kernel both build page tables, so the addresses stand here once. Each region begins at its
//! own PML4 entry (512 GiB), which keeps "whose is this address?" one comparison.
//!
//! ```text
//! 0000_0000_0000_0000  user                      (the last page below the hole is never mapped)
//! FFFF_8000_0000_0000  direct map of RAM         write-back, no-execute, largest pages, global
//! FFFF_8800_0000_0000  kernel heap and vmalloc
//! FFFF_9000_0000_0000  device MMIO               uncached; the framebuffer write-combining
//! FFFF_A000_0000_0000  PCI ECAM, by segment
//! FFFF_B000_0000_0000  per-CPU areas and kernel stacks
//! FFFF_C000_0000_0000  frame table                32 bytes for each page of RAM
//! FFFF_FFFF_8000_0000  kernel image              text RX, rodata R, data and bss RW
//! ```
//!
//! Why the image sits in the top 2 GiB: code compiled with `-C code-model=kernel` reaches its own symbols
//! by sign-extended 32-bit addresses, and those cover just this range.
//! Source: Intel SDM vol. 1 §3.3.7.1 (canonical addresses); System V ABI AMD64 supplement §3.5.1 (code models).

/// Bytes in the smallest page.
pub const PAGE_SIZE: u64 = 4096;
/// Bytes in a page that a page-directory entry maps.
pub const LARGE_PAGE_SIZE: u64 = 2 << 20;
/// Bytes in a page that a page-directory-pointer entry maps.
pub const HUGE_PAGE_SIZE: u64 = 1 << 30;

/// First address past what user programs may map. The page below the canonical hole stays empty: a
/// SYSCALL in its last two bytes would return to a non-canonical address.
pub const USER_END: u64 = 0x0000_7FFF_FFFF_F000;

/// Physical address `p` of RAM is readable and writable at `DIRECT_MAP_BASE + p`.
pub const DIRECT_MAP_BASE: u64 = 0xFFFF_8000_0000_0000;
/// Bytes the direct map may cover: 8 TiB.
pub const DIRECT_MAP_SIZE: u64 = HEAP_BASE - DIRECT_MAP_BASE;

/// Kernel heap and vmalloc.
pub const HEAP_BASE: u64 = 0xFFFF_8800_0000_0000;

/// Device registers. Physical address `p` of a device below 16 TiB is mapped, when somebody asks for it,
/// at `MMIO_BASE + p`.
pub const MMIO_BASE: u64 = 0xFFFF_9000_0000_0000;

/// PCI Express configuration space, by segment.
pub const ECAM_BASE: u64 = 0xFFFF_A000_0000_0000;

/// Per-CPU areas and kernel stacks, each stack with a guard page below it.
pub const PERCPU_BASE: u64 = 0xFFFF_B000_0000_0000;
/// End of the per-CPU region.
pub const PERCPU_END: u64 = 0xFFFF_C000_0000_0000;
/// Most CPUs that the kernel runs on: a multiple of 64, for sets of them are words of bits. The largest machine that is
/// tested has 288.
pub const MAX_CPUS: usize = 320;

/// What is known of each page of physical memory, as an array by its number. Only the parts that RAM asks for are
/// mapped; see `mm::frame`.
pub const FRAME_TABLE_BASE: u64 = 0xFFFF_C000_0000_0000;
/// Bytes the array would have for 16 TiB: 2^32 times 32.
pub const FRAME_TABLE_SIZE: u64 = 128 << 30;

/// Where the kernel image is linked (linker/kernel.ld takes it from here through build.rs).
pub const KERNEL_BASE: u64 = 0xFFFF_FFFF_8000_0000;
/// Most bytes the image may take, from [`KERNEL_BASE`]; the rest of the last 2 GiB stays unmapped.
pub const KERNEL_MAX_SIZE: u64 = 64 << 20;

/// What goes from Rust to the assembler and the linker; see build.rs.
pub const ASM: &[(&str, u64)] = &[
    ("PAGE_SIZE", PAGE_SIZE),
    ("DIRECT_MAP_BASE", DIRECT_MAP_BASE),
    ("KERNEL_BASE", KERNEL_BASE),
    ("KERNEL_MAX_SIZE", KERNEL_MAX_SIZE),
];
