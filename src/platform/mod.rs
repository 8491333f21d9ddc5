//! What the layers above may ask of the machine without knowing what machine it is.
//!
//! [`Platform`] is the whole list. [`Machine`] names the one implementation that this build has: [`pc`] in the kernel,
//! [`host`], a model with a clock that tests move, where unit tests run. Its functions take no `self` and are chosen
//! when the kernel is compiled, so a call through the trait is the call of the function behind it, or that function's
//! body (docs/04-interrupts.md shows it in the disassembly).
//!
//! What is built on the trait alone, and so belongs to no machine: [`timers`], [`pci_bus`] and [`intx`].

#[cfg(any(test, target_os = "none"))]
pub mod chain;
#[cfg(any(test, target_os = "none"))]
pub mod ecam;
#[cfg(test)]
pub mod host;
#[cfg(any(test, target_os = "none"))]
pub mod intx;
#[cfg(target_os = "none")]
pub mod kernel_tables;
#[cfg(any(test, target_os = "none"))]
pub mod page_source;
#[cfg(target_os = "none")]
pub mod pc;
#[cfg(any(test, target_os = "none"))]
pub mod pci_bus;
#[cfg(any(test, target_os = "none"))]
#[cfg(any(test, target_os = "none"))]
pub mod timers;

use crate::boot::info::{Framebuffer, MemoryRegion};
use core::fmt;

#[cfg(test)]
pub use host::Host as Machine;
#[cfg(target_os = "none")]
pub use pc::Pc as Machine;
#[cfg(target_os = "none")]
pub use pc::ipi::{call, tlb};

/// The architecture of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    X86_64,
    /// None: a model for tests.
    Model,
}

/// What runs when an interrupt comes, or a timer: with the argument that was given with it.
pub type Handler = fn(usize);

/// An interrupt line of a device, as whoever wants it knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// One of the sixteen lines of an ISA device.
    Isa(u8),
    /// A system interrupt by the number that ACPI's tables give it, as in SCI_INT: the ISA line of that number where
    /// there are 8259s or an override, else the global one. Level-triggered, active low unless the override has it
    /// otherwise, and shared.
    Global(u32),
    /// The pin (0 is INTA#) of a PCI function. Shared between functions: a handler says nothing if it was not for it.
    Pci { at: PciAddress, pin: u8 },
}

/// A PCI function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PciAddress {
    /// Segment group; 0 on most machines.
    pub segment: u16,
    pub bus: u8,
    /// 0 to 31.
    pub device: u8,
    /// 0 to 7.
    pub function: u8,
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.{}", self.segment, self.bus, self.device, self.function)
    }
}

/// A line cannot be had: there is none of that number, no vector is left, or what is on it does not share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoLine;

/// How a device's memory is cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// Each access reaches the device, in order: registers.
    Uncached,
    /// Writes are gathered: framebuffers.
    WriteCombining,
}

/// Device memory cannot be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// Past the window that the kernel keeps for devices, or the length is 0.
    BadRange,
    /// No memory for page tables.
    NoMemory,
    /// Mapped already, with another cache type.
    OtherCache,
}

/// Why the machine cannot be turned off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPowerOff {
    /// No ACPI, or a broken one.
    NoAcpi,
    /// No constant `\_S5_` in the DSDT or an SSDT.
    NoS5,
    /// A register that cannot be reached.
    NoRegister,
    /// Everything was done, and the machine is still on.
    Ignored,
}

impl fmt::Display for NoPowerOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoAcpi => "this machine has no method: there are no ACPI tables",
            Self::NoS5 => "this machine has no method: its ACPI tables do not say what S5 is",
            Self::NoRegister => {
                "this machine has no method: its power-management registers cannot be reached"
            }
            Self::Ignored => "the machine did not turn off",
        })
    }
}

/// Byte-wide registers of a serial port.
pub trait SerialRegisters {
    /// Reads register `register`, 0 to 7.
    fn read(&self, register: u8) -> u8;
    /// Writes register `register`, 0 to 7.
    fn write(&self, register: u8, value: u8);
}

#[cfg(not(target_os = "linux"))]
impl SerialRegisters for crate::arch::x86_64::port::PortBlock {
    fn read(&self, register: u8) -> u8 {
        self.read(register)
    }

    fn write(&self, register: u8, value: u8) {
        self.write(register, value);
    }
}

/// A machine.
///
/// All functions may be called on every CPU, and, unless they say otherwise, in interrupt handlers.
pub trait Platform: 'static {
    /// How the registers of a serial port are reached.
    type Serial: SerialRegisters;

    // ---- identity ----

    const ARCHITECTURE: Architecture;
    /// What kind of machine it is.
    const NAME: &'static str;

    // ---- console ----

    /// Registers of serial port `number`; 0 is ttyS0.
    fn serial(number: usize) -> Option<Self::Serial>;
    /// The line of serial port `number`.
    fn serial_line(number: usize) -> Option<Line>;
    /// Which serial port has its registers at `base`, in the numbers that the loader uses.
    fn serial_number(base: u64) -> Option<usize>;
    /// The framebuffer's pixels; `None` if there are none.
    fn framebuffer_pixels(framebuffer: &Framebuffer) -> Option<*mut u32>;

    // ---- interrupts ----

    /// Calls `handler(argument)` with interrupts off when `line` is raised, and lets it through. `name` is what `irq`
    /// shows. Not in interrupt handlers.
    fn request_line(line: Line, name: &'static str, handler: Handler, argument: usize) -> Result<(), NoLine>;
    /// Calls `work(argument)` later, with interrupts on: in a thread, or, before there are any, at the end of the
    /// outermost interrupt. Once, however often it is asked for until then. False if too much is waiting: the caller
    /// keeps what it has.
    fn defer(work: Handler, argument: usize) -> bool;
    /// From here on whoever has something deferred on this CPU calls `wake` with the CPU's number, whose thread calls
    /// [`run_deferred`](Self::run_deferred). Called on each CPU, by a thread that stays there.
    fn defer_to(wake: fn(usize));
    /// Does one piece of this CPU's deferred work; false if there is none. For that one thread.
    fn run_deferred() -> bool;
    /// Whether this code has interrupted other code: then it must not wait for what that may hold.
    fn in_interrupt() -> bool;

    // ---- time ----

    /// Nanoseconds since the kernel's entry; never less than an earlier answer. Callable anywhere, NMIs included.
    fn now_ns() -> u64;
    /// Nanoseconds since 1970-01-01 00:00 UTC; `None` if the machine does not know.
    fn unix_ns() -> Option<i64>;
    /// Calls [`timers::fire`] at `deadline_ns` or soon after, at once if that has passed, and forgets what was set
    /// before. A chip with a short range may call early. With interrupts off.
    fn set_alarm(deadline_ns: u64);

    // ---- memory ----

    /// The firmware's map, as the loader passed it on.
    fn memory_map() -> &'static [MemoryRegion];
    /// Maps device memory, for good; returns where. What is mapped already stays as it is. Not in interrupt handlers.
    fn map_device(phys: u64, len: u64, cache: Cache) -> Result<u64, MapError>;

    // ---- PCI ----

    /// Reads 1, 2 or 4 bytes of a function's configuration space; all ones where there is nothing. `offset` is a
    /// multiple of `width`.
    fn pci_read(at: PciAddress, offset: u16, width: u8) -> u32;
    /// Writes 1, 2 or 4 bytes of it.
    fn pci_write(at: PciAddress, offset: u16, width: u8, value: u32);

    /// The `index`th bus that is behind no bridge: segment and number; `None` past the last. Where walks begin.
    fn pci_root(index: usize) -> Option<(u16, u8)>;

    // ---- ACPI ----

    /// Physical address of ACPI's root pointer.
    fn acpi_root() -> Option<u64>;

    // ---- the end ----

    /// Turns the machine off. Returns only if that is not possible. Not in interrupt handlers.
    fn power_off() -> NoPowerOff;
    /// Resets the machine, whatever state it is in.
    fn restart() -> !;
}
