//! x86_64: everything that names a register, a port, an MSR or an instruction.
//!
//! The assembly side is in `asm/`; its symbols are declared next to the Rust code that uses them. What only
//! decodes (descriptors, page-table entries, error codes, CPUID leaves) is plain code that host tests run;
//! what needs ring 0 is compiled for the bare target alone.

pub mod access;
pub mod ap;
pub mod apic;
pub mod cpu;
pub mod cpu_flags;
pub mod cr;
pub mod exceptions;
pub mod fpu;
pub mod frame;
pub mod gdt;
pub mod hardware_random;
pub mod hpet;
pub mod idt;
pub mod interrupts;
pub mod ioapic;
pub mod line;
pub mod msr;
pub mod mtrr;
pub mod pages;
pub mod paging;
pub mod patch;
pub mod pic;
pub mod pirq;
pub mod pit;
pub mod pmtimer;
pub mod preempt;
pub mod rtc;
pub mod selectors;
#[cfg(test)]
pub mod sigreturn;
pub mod syscall;
pub mod topology;
pub mod tsc;
pub mod tsc_rate;
pub mod usercopy;

#[cfg(not(target_os = "linux"))]
pub mod port;

#[cfg(target_os = "none")]
pub mod backtrace;
#[cfg(target_os = "none")]
pub mod debug;
#[cfg(target_os = "none")]
pub mod idle;
#[cfg(target_os = "none")]
pub mod mca;
#[cfg(target_os = "none")]
pub mod percpu;
#[cfg(target_os = "none")]
pub mod probe;
#[cfg(target_os = "none")]
pub mod recover;
#[cfg(target_os = "none")]
pub mod reset;
#[cfg(target_os = "none")]
pub mod segment;
#[cfg(target_os = "none")]
pub mod stacks;
#[cfg(target_os = "none")]
pub mod switch;
#[cfg(target_os = "none")]
pub mod user;
