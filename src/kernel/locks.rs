//! What is told of locks that were held for too long: by the log, as the kernel goes on.

use super::backtrace;
use super::image::Named;
use crate::arch::x86_64::cpu::Features;
use crate::sync::checks::{self, Violation, What};
use core::fmt::{self, Write};
use log::warn;

/// Interrupts that are off for longer are worth a line, where nothing but the kernel can be to blame.
const OFF_NS: u64 = 10_000_000;
/// The same on a virtual machine, whose CPUs the host stops as it likes.
const OFF_VIRTUAL_NS: u64 = 1_000_000_000;

/// Begins to look at how long interrupts are off, in builds with checks.
pub fn watch(tsc_hz: u64) {
    let is_virtual = Features::detect().contains(Features::HYPERVISOR);
    checks::set_limits(tsc_hz, if is_virtual { OFF_VIRTUAL_NS } else { OFF_NS });
    checks::on_delay(|found| warn!(target: "locks", "{}", Told(found)));
}

/// A finding, with what only the kernel can add.
pub struct Told<'a>(pub &'a Violation);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        if let What::OffLong(_) = self.0.what {
            // A guard is dropped without a word: the place is where its function was called from.
            let on_again = backtrace::first_outside(&[
                "sync::",
                "core::",
                "kernel::locks",
                "log::",
                "misuse::locks::report",
            ]);
            f.write_char(',')?;
            write!(f, " and are on again in {}", Named(on_again))?;
        }
        Ok(())
    }
}
