//! What the system calls itself: the same in /proc/version, /proc/sys/kernel and `uname`.
//!
//! Programs look at the release to learn what they may ask for: glibc ends a program on a kernel "too old" for it, and
//! procps takes three numbers from it. So it is that of the Linux whose interface this is, with our name behind.

/// The interface.
pub const OS_TYPE: &str = "Linux";
/// Of the interface, and whose kernel it is.
pub const RELEASE: &str = "6.1.0-sis";
/// Of the kernel itself.
pub const VERSION: &str = concat!("#1 SMP PREEMPT SIS ", env!("CARGO_PKG_VERSION"));
/// What it was made on and with, where Linux names its compiler.
pub const BUILT: &str = "(sis@sis) (rustc)";
/// The machine's name as long as nobody gives it another.
pub const HOST_NAME: &str = "sis";
/// The domain's, likewise.
pub const DOMAIN_NAME: &str = "(none)";
/// Bytes of the longest name that can be given.
pub const NAME_MAX: usize = 64;
