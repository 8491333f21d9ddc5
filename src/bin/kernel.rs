//! The kernel: what asm/entry.S calls once the CPU stands on the kernel's own tables.

#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod bare {
    use sis::boot::info::BootInfo;
    use sis::kernel::panic;
    use sis::start;

    #[unsafe(no_mangle)]
    extern "sysv64" fn kernel_main(info: *const BootInfo) -> ! {
        // SAFETY: asm/entry.S calls this once, with the loader's structure in the direct map.
        unsafe { start::run(info) }
    }

    #[panic_handler]
    fn rust_panic(info: &core::panic::PanicInfo<'_>) -> ! {
        panic::from_rust(info)
    }
}

/// The kernel runs on bare metal; on the host there is nothing to start.
#[cfg(not(target_os = "none"))]
fn main() {}
