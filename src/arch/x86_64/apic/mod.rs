//! The local APIC: each CPU's own interrupt controller. It takes interrupts from I/O APICs, other CPUs, its
//! timer and its two pins, and sends them to other CPUs.
//!
//! [`Lapic`] is the same in xAPIC and x2APIC mode; which one it is, `modes` decides and switches. It holds no state
//! but the mode: the registers behind it are those of the CPU that runs, so one value serves all CPUs
//! that are in the same mode.
//!
//! Invariants:
//! * no MSR is touched that x2APIC mode does not have, and no reserved bit set: either is #GP there;
//! * an LVT entry gets a kind of delivery that it can do, and a vector from 16 up;
//! * a broadcast is only what asks for one: CPU FFh in xAPIC mode and FFFF_FFFFh in x2APIC mode are no CPUs;
//! * every wait is bounded.
//!
//! What the caller sees to: interrupts are off around [`Lapic::send`] in xAPIC mode (a handler that sends one
//! between the two halves would send ours to its own target), and the spurious vector's handler does no EOI.
//!
//! Source: Intel SDM vol. 3 §10 (APIC); AMD APM vol. 2 §16.

pub mod modes;
pub mod registers;
pub mod timer;

use super::access::{Mmio32, Msrs};
use core::fmt;
use modes::Mode;
use registers::{Delivery, Errors, Lvt, LvtEntry, Register, SVR_ENABLE};

/// How often the delivery status is read before the last IPI counts as stuck. Delivery takes less than a
/// microsecond, a read some 0.1 µs.
const SPINS: u32 = 100_000;
/// ICR: the last IPI has not been accepted yet (xAPIC mode).
const PENDING: u32 = 1 << 12;
/// ICR: "assert", which all but one ancient kind of INIT want.
const ASSERT: u32 = 1 << 14;

/// What kind of IPI.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ipi {
    /// An interrupt with this vector.
    Fixed(u8),
    Nmi,
    /// Resets the CPU, which then waits for a start-up IPI.
    Init,
    /// Starts a CPU after an INIT, in real mode at the beginning of this 4 KiB page.
    Startup(u8),
}

/// Where to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Target {
    /// The CPU with this APIC ID.
    Cpu(u32),
    /// This CPU; fixed interrupts only.
    Own,
    /// All, this one too; fixed interrupts only.
    All,
    /// All but this one.
    Others,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum IpiError {
    /// A vector below 16, or a page that no CPU can start from.
    Vector(u8),
    /// No CPU can have this ID in this mode.
    Target(u32),
    /// This kind cannot be sent there.
    Combination,
    /// The one before is stuck: nothing was sent.
    Busy,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LvtError {
    /// This APIC has no such entry.
    Absent(Lvt),
    /// The entry cannot deliver so.
    Delivery(Lvt),
    /// A vector below 16.
    Vector(u8),
}

impl fmt::Display for IpiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vector(vector) => write!(f, "local APIC: vector {vector:#04x} cannot be sent"),
            Self::Target(id) => write!(f, "local APIC: no CPU has ID {id:#x} in this mode"),
            Self::Combination => f.write_str("local APIC: this kind of IPI cannot be sent there"),
            Self::Busy => f.write_str("local APIC: the last IPI is stuck"),
        }
    }
}

impl fmt::Display for LvtError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(lvt) => write!(f, "local APIC: it has no LVT entry {lvt:?}"),
            Self::Delivery(lvt) => write!(f, "local APIC: LVT entry {lvt:?} cannot deliver so"),
            Self::Vector(vector) => write!(f, "local APIC: vector {vector:#04x} in an LVT entry"),
        }
    }
}

/// The version register.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Version(u32);

impl Version {
    /// 10h and more for one within the CPU; less for the 82489DX beside it.
    pub const fn number(self) -> u8 {
        self.0 as u8
    }

    /// Number of LVT entries, less one.
    pub const fn max_lvt(self) -> u8 {
        (self.0 >> 16) as u8
    }

    pub const fn has(self, lvt: Lvt) -> bool {
        self.max_lvt() >= lvt.since()
    }
}

/// The doors to the registers. `M` is the page of xAPIC mode.
#[derive(Clone, Copy, Debug)]
enum Door<M> {
    Memory(M),
    Msr,
}

/// The local APIC of the CPU that runs the code.
#[derive(Clone, Copy, Debug)]
pub struct Lapic<M, S> {
    door: Door<M>,
    msrs: S,
}

impl<M: Mmio32, S: Msrs> Lapic<M, S> {
    /// One in xAPIC mode, with the page at IA32_APIC_BASE behind `registers`.
    pub const fn xapic(registers: M, msrs: S) -> Self {
        Self { door: Door::Memory(registers), msrs }
    }

    /// One in x2APIC mode.
    pub const fn x2apic(msrs: S) -> Self {
        Self { door: Door::Msr, msrs }
    }

    pub const fn mode(&self) -> Mode {
        match self.door {
            Door::Memory(_) => Mode::XApic,
            Door::Msr => Mode::X2Apic,
        }
    }

    #[inline]
    fn read(&self, register: Register) -> u32 {
        match &self.door {
            Door::Memory(page) => page.read(register.offset()),
            Door::Msr => self.msrs.read(register.msr()) as u32,
        }
    }

    #[inline]
    fn write(&self, register: Register, value: u32) {
        match &self.door {
            Door::Memory(page) => page.write(register.offset(), value),
            Door::Msr => self.msrs.write(register.msr(), u64::from(value)),
        }
    }

    const fn msrs(&self) -> &S {
        &self.msrs
    }

    /// This CPU's ID: 8 bits in xAPIC mode, 32 in x2APIC mode.
    pub fn id(&self) -> u32 {
        let raw = self.read(Register::ID);
        match self.door {
            Door::Memory(_) => raw >> 24,
            Door::Msr => raw,
        }
    }

    pub fn version(&self) -> Version {
        Version(self.read(Register::VERSION))
    }

    /// Turns it on, from whatever state the firmware has left: every LVT entry masked, nothing in service, errors
    /// cleared, every priority let through. Spurious interrupts get vector `spurious`, whose low four bits are
    /// ones (older CPUs have them wired so), errors `error`.
    pub fn setup(&self, spurious: u8, error: u8) -> Result<(), LvtError> {
        if spurious < 16 || spurious & 15 != 15 {
            return Err(LvtError::Vector(spurious));
        }
        if error < 16 {
            return Err(LvtError::Vector(error));
        }
        // The error entry comes first in the list: writing an entry whose vector is below 16 (0 after reset)
        // is reported as an error, even if the entry is masked.
        for lvt in Lvt::ALL {
            self.mask_lvt(lvt);
        }
        self.write(Register::TPR, 0);
        // Fresh, not changed: bits 9 and 12 (focus checking, no broadcast of EOIs) are as good as reserved.
        self.write(Register::SVR, SVR_ENABLE | u32::from(spurious));
        self.drain();
        self.take_errors();
        self.set_lvt(Lvt::Error, LvtEntry::fixed(error))
    }

    /// Turns it off: entries masked, then the switch. IA32_APIC_BASE stays.
    pub fn shut_down(&self) {
        for lvt in Lvt::ALL {
            self.mask_lvt(lvt);
        }
        let vector = self.read(Register::SVR) & 0xFF;
        self.write(Register::SVR, vector);
    }

    /// Ends what is in service from before our time: it would hold back all interrupts of lower priority for ever.
    fn drain(&self) {
        // At most one per vector.
        for _ in 0..256 {
            if (0..8).all(|word| self.read(Register::in_service(word)) == 0) {
                break;
            }
            self.eoi();
        }
    }

    /// An interrupt with this vector is being handled (and not yet ended).
    pub fn is_in_service(&self, vector: u8) -> bool {
        self.read(Register::in_service(vector >> 5)) >> (vector & 31) & 1 != 0
    }

    /// An interrupt with this vector waits for its turn.
    pub fn is_requested(&self, vector: u8) -> bool {
        self.read(Register::requested(vector >> 5)) >> (vector & 31) & 1 != 0
    }

    /// Ends the interrupt of highest priority in service. Not for NMIs, ExtINT and the spurious vector, which are never
    /// in service: another one would be ended instead.
    #[inline]
    pub fn eoi(&self) {
        // Any other value is #GP in x2APIC mode.
        self.write(Register::EOI, 0);
    }

    /// Interrupts whose vector's upper half is at most `class` wait; 0 lets all through.
    pub fn set_task_priority(&self, class: u8) {
        self.write(Register::TPR, u32::from(class & 15) << 4);
    }

    pub fn task_priority(&self) -> u8 {
        (self.read(Register::TPR) >> 4 & 15) as u8
    }

    /// An entry as it is; one that does not exist is masked.
    pub fn lvt(&self, lvt: Lvt) -> LvtEntry {
        if self.version().has(lvt) {
            LvtEntry::from_bits(self.read(lvt.register()))
        } else {
            LvtEntry::fixed(0).masked()
        }
    }

    /// Sets an entry. It stays masked as long as the APIC is off ([`Lapic::setup`]).
    pub fn set_lvt(&self, lvt: Lvt, entry: LvtEntry) -> Result<(), LvtError> {
        if !self.version().has(lvt) {
            return Err(LvtError::Absent(lvt));
        }
        let fits = entry.bits() & !lvt.writable() == 0;
        match entry.delivery() {
            Some(Delivery::Fixed) if entry.vector() < 16 => return Err(LvtError::Vector(entry.vector())),
            Some(Delivery::Fixed | Delivery::Nmi | Delivery::Smi) if fits => {}
            // From the 8259As, which hang on a pin; INIT, too, is for the pins only.
            Some(Delivery::ExtInt | Delivery::Init) if fits && matches!(lvt, Lvt::Lint0 | Lvt::Lint1) => {}
            _ => return Err(LvtError::Delivery(lvt)),
        }
        self.write(lvt.register(), entry.bits());
        Ok(())
    }

    /// Masks an entry, if it exists, and leaves the rest of it as it is.
    pub fn mask_lvt(&self, lvt: Lvt) {
        if self.version().has(lvt) {
            let entry = LvtEntry::from_bits(self.read(lvt.register()) & lvt.writable());
            self.write(lvt.register(), entry.masked().bits());
        }
    }

    /// Lets an entry through again.
    pub fn unmask_lvt(&self, lvt: Lvt) -> Result<(), LvtError> {
        self.set_lvt(lvt, LvtEntry::from_bits(self.lvt(lvt).bits() & lvt.writable()).unmasked())
    }

    /// Errors since the last call. The register shows what had come up to the last *write*, so it is written
    /// first (with 0: all else is #GP in x2APIC mode).
    pub fn take_errors(&self) -> Errors {
        self.write(Register::ESR, 0);
        Errors::from_bits_truncate(self.read(Register::ESR))
    }

    /// Sends an IPI. Earlier stores are visible to whoever receives it. In xAPIC mode interrupts are off.
    pub fn send(&self, ipi: Ipi, target: Target) -> Result<(), IpiError> {
        let command = command(ipi)? | shorthand(ipi, target)?;
        let id = match target {
            Target::Cpu(id) => id,
            _ => 0,
        };
        match &self.door {
            Door::Memory(page) => {
                // FFh is a broadcast.
                if id >= 0xFF {
                    return Err(IpiError::Target(id));
                }
                self.wait_until_sent()?;
                // The low half sends, so the high half comes first.
                page.write(Register::ICR_HIGH.offset(), id << 24);
                page.write(Register::ICR.offset(), command);
            }
            Door::Msr => {
                if id == u32::MAX {
                    return Err(IpiError::Target(id));
                }
                // These WRMSRs can overtake earlier stores: the receiver would not see what it was called for.
                self.msrs.fence();
                match (ipi, target) {
                    (Ipi::Fixed(vector), Target::Own) => {
                        self.msrs.write(Register::SELF_IPI.msr(), u64::from(vector));
                    }
                    _ => self.msrs.write(Register::ICR.msr(), u64::from(id) << 32 | u64::from(command)),
                }
            }
        }
        Ok(())
    }

    /// Waits, within a bound, until the last IPI was accepted. In x2APIC mode there is nothing to wait for.
    pub fn wait_until_sent(&self) -> Result<(), IpiError> {
        if let Door::Memory(page) = &self.door {
            for _ in 0..SPINS {
                if page.read(Register::ICR.offset()) & PENDING == 0 {
                    return Ok(());
                }
                core::hint::spin_loop();
            }
            return Err(IpiError::Busy);
        }
        Ok(())
    }
}

/// ICR bits 0 to 15: physical destination, edge.
fn command(ipi: Ipi) -> Result<u32, IpiError> {
    let (delivery, vector) = match ipi {
        Ipi::Fixed(vector) if vector < 16 => return Err(IpiError::Vector(vector)),
        // Pages A0h to BFh were the video memory's and mean something else (MP specification §B.4.2); in page 0
        // are the real-mode vectors.
        Ipi::Startup(page) if page == 0 || matches!(page, 0xA0..=0xBF) => {
            return Err(IpiError::Vector(page));
        }
        Ipi::Fixed(vector) => (Delivery::Fixed, vector),
        Ipi::Nmi => (Delivery::Nmi, 0),
        Ipi::Init => (Delivery::Init, 0),
        Ipi::Startup(page) => (Delivery::Startup, page),
    };
    Ok(u32::from(vector) | (delivery as u32) << 8 | ASSERT)
}

/// ICR bits 18 and 19. Table 10-4: only fixed interrupts can be sent to oneself.
fn shorthand(ipi: Ipi, target: Target) -> Result<u32, IpiError> {
    let fixed = matches!(ipi, Ipi::Fixed(_));
    match target {
        Target::Cpu(_) => Ok(0),
        Target::Others => Ok(3 << 18),
        Target::Own if fixed => Ok(1 << 18),
        Target::All if fixed => Ok(2 << 18),
        Target::Own | Target::All => Err(IpiError::Combination),
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
