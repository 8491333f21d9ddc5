//! Boot: what the firmware leaves us, and how it reaches the kernel.
//!
//! The lowest layer. [`info`] is the one structure that loader and kernel share; [`layout`] says where in
//! the virtual address space everything lives. [`elf`], [`cmdline`] and [`memmap`] are pure code over byte
//! slices and are tested on the host. [`loader`] is the UEFI program itself: it stands on top of everything
//! here, and only in the loader's build.

pub mod cmdline;
pub mod elf;
pub mod info;
pub mod layout;
pub mod memmap;

#[cfg(target_os = "uefi")]
pub mod loader;
