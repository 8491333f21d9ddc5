//! The UEFI program: `\EFI\BOOT\BOOTX64.EFI`. All of it is in `sis::boot::loader`.

#![cfg_attr(target_os = "uefi", no_std, no_main)]

#[cfg(target_os = "uefi")]
mod uefi {
    use sis::boot::loader;
    use uefi_raw::table::system::SystemTable;
    use uefi_raw::{Handle, Status};

    #[unsafe(no_mangle)]
    extern "efiapi" fn efi_main(image: Handle, system: *mut SystemTable) -> Status {
        // SAFETY: the firmware calls this once, with its own image handle and system table.
        unsafe { loader::main(image, system) }
    }

    #[panic_handler]
    fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
        loader::panic(info)
    }
}

/// The loader is a program for UEFI; elsewhere there is nothing to run.
#[cfg(not(target_os = "uefi"))]
fn main() {}
