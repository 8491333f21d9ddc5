//! The PC: everything that [`Platform`] asks for, on x86_64 hardware with or without ACPI.

pub mod acpi;
mod alarm;
pub mod clock;
pub mod cpus;
pub mod events;
pub mod interrupts;
pub mod intx;
pub mod ipi;
mod lines;
pub mod memory;
pub mod pci;
pub mod power;
mod registers;
pub mod vectors;

use super::{Architecture, Cache, Handler, Line, MapError, NoLine, NoPowerOff, PciAddress, Platform};
use crate::arch::x86_64::percpu;
use crate::arch::x86_64::port::{self, PortBlock};
use crate::boot::info::{Framebuffer, MemoryRegion};
use crate::boot::layout::MMIO_BASE;

pub use crate::arch::x86_64::reset::debug_exit;

/// The machine.
pub enum Pc {}

/// I/O ports and ISA lines of ttyS0 and ttyS1, by the PC's convention.
const SERIAL: [(u16, u8); 2] = [(port::COM1, 4), (port::COM2, 3)];

/// What the command line says about the machine's chips.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    pub interrupts: interrupts::Options,
    pub clock: clock::Options,
}

/// What the loader says about them.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    pub memory_map: &'static [MemoryRegion],
    /// Physical address of ACPI's root pointer; 0 if the firmware names none.
    pub acpi_root: u64,
    /// The TSC's rate by its estimate; 0 if it has none.
    pub tsc_hz: u64,
}

/// Brings the chips up: tables, clock (which the log then follows), interrupt controllers, timer. Once, with
/// interrupts off; they may come afterwards.
pub fn init(found: Found, options: Options) {
    memory::init(found.memory_map);
    acpi::init(found.acpi_root);
    pci::init();
    clock::init(options.clock, found.tsc_hz);
    interrupts::init(options.interrupts);
    alarm::init();
    events::init();
}

impl Platform for Pc {
    type Serial = PortBlock;
    const ARCHITECTURE: Architecture = Architecture::X86_64;
    const NAME: &'static str = "PC";

    fn serial(number: usize) -> Option<PortBlock> {
        let (base, _) = SERIAL.get(number)?;
        // SAFETY: these ports are a UART by the PC's convention, or nothing; the console owns them.
        Some(unsafe { PortBlock::new(*base) })
    }

    fn serial_line(number: usize) -> Option<Line> {
        SERIAL.get(number).map(|&(_, irq)| Line::Isa(irq))
    }

    fn serial_number(base: u64) -> Option<usize> {
        SERIAL.iter().position(|&(port, _)| u64::from(port) == base)
    }

    fn framebuffer_pixels(framebuffer: &Framebuffer) -> Option<*mut u32> {
        // The loader has mapped them.
        (framebuffer.base != 0).then(|| (MMIO_BASE + framebuffer.base) as *mut u32)
    }

    fn request_line(line: Line, name: &'static str, handler: Handler, argument: usize) -> Result<(), NoLine> {
        interrupts::request_line(line, name, handler, argument)
    }

    fn defer(work: Handler, argument: usize) -> bool {
        vectors::defer(work, argument)
    }

    fn defer_to(wake: fn(usize)) {
        vectors::defer_to(wake);
    }

    fn run_deferred() -> bool {
        vectors::run_one_deferred()
    }

    fn in_interrupt() -> bool {
        percpu::in_interrupt()
    }

    #[inline]
    fn now_ns() -> u64 {
        clock::now_ns()
    }

    fn unix_ns() -> Option<i64> {
        clock::unix_ns()
    }

    #[inline]
    fn set_alarm(deadline_ns: u64) {
        alarm::set(deadline_ns);
    }

    fn memory_map() -> &'static [MemoryRegion] {
        memory::map()
    }

    fn map_device(phys: u64, len: u64, cache: Cache) -> Result<u64, MapError> {
        memory::map_device(phys, len, cache)
    }

    fn pci_read(at: PciAddress, offset: u16, width: u8) -> u32 {
        pci::read(at, offset, width)
    }

    fn pci_write(at: PciAddress, offset: u16, width: u8, value: u32) {
        pci::write(at, offset, width, value);
    }

    fn pci_root(index: usize) -> Option<(u16, u8)> {
        pci::root(index)
    }

    fn acpi_root() -> Option<u64> {
        acpi::root()
    }

    fn power_off() -> NoPowerOff {
        power::off()
    }

    fn restart() -> ! {
        power::restart()
    }
}
