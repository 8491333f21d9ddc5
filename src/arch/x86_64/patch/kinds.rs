//! What code can be patched for: numbers that asm/macros.h writes into the table of patches.
//!
//! Pure constants: build.rs compiles this file too.

/// The CPU has SMAP: STAC and CLAC exist.
pub const PATCH_SMAP: u64 = 1;
/// Copies to and from user memory are faster by single bytes (REP MOVSB) than by words.
pub const PATCH_COPY_BYTES: u64 = 2;

/// What assembly knows of it; see build.rs.
pub const ASM: &[(&str, u64)] = &[("PATCH_SMAP", PATCH_SMAP), ("PATCH_COPY_BYTES", PATCH_COPY_BYTES)];
