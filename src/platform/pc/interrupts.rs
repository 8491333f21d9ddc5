//! How device interrupts reach the CPU on this machine.
//!
//! ```text
//! I/O APIC     line ─► I/O APIC ─► local APIC ─► vector        where there is a MADT
//! 8259, LINT0  line ─► 8259 pair ─► LINT0 (ExtINT) ─► vector   `noapic`, or no MADT; the local APIC has the timer
//! 8259         line ─► 8259 pair ─► CPU ─► vector              `nolapic`, or a CPU without APIC
//! ```
//!
//! Whoever wants a line asks [`request_line`] and never learns which of the three it was. The 8259s
//! are set up in every case, at vectors 32 to 47: even masked they send spurious interrupts.
//! Source: Intel SDM vol. 3 §10; MultiProcessor Specification 1.4 §3.6.2 (the three modes); ACPI 6.5 §5.2.12.

use super::intx::{self, Input};
use super::vectors::{self, NoVector, PIC_BASE, SPURIOUS};
use super::{acpi, lines, memory};
use crate::acpi::madt::Madt;
use crate::acpi::sdt::Signature;
use crate::arch::x86_64::access::{MappedRegisters, RealMsrs, RealPorts};
use crate::arch::x86_64::apic::modes::{self, ApicBase, Mode, Offer};
use crate::arch::x86_64::apic::registers::{Lvt, LvtEntry};
use crate::arch::x86_64::apic::{Lapic, LvtError};
use crate::arch::x86_64::cpu::{self, Features};
use crate::arch::x86_64::ioapic::{IoApic, IoApics};
use crate::arch::x86_64::line::{Polarity, Trigger};
use crate::arch::x86_64::pic::{Arrival, Irq, Pic};
use crate::platform::{Cache, Handler, Line, NoLine};
use crate::sync::{IrqLock, Rank};
use core::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use log::{info, warn};
use spin::Once;

/// Most I/O APICs that are used.
const IO_APICS: usize = 16;
/// Bytes of an I/O APIC's window that are used: index at 0, data at 10h, EOI at 40h.
const IO_APIC_WINDOW: u32 = 0x44;
/// Bytes of the local APIC's registers.
const LAPIC_WINDOW: u32 = 0x400;

/// The local APIC, as this kernel reaches it.
pub type LocalApic = Lapic<MappedRegisters, RealMsrs>;

static PIC: IrqLock<Option<Pic<RealPorts>>> = IrqLock::new(Rank::Pic, None);
/// The local APIC: at one address, or by the same MSRs, on every CPU. Written once.
static LAPIC: Once<LocalApic> = Once::new();
static ROUTER: IrqLock<Router> = IrqLock::new(Rank::Router, Router { io_apics: None });

/// What the 8259's sixteen lines call: handlers and their arguments, as in `vectors`.
static PIC_LINES: [(AtomicUsize, AtomicUsize); 16] =
    [const { (AtomicUsize::new(0), AtomicUsize::new(0)) }; 16];
/// Spurious interrupts of the 8259 pair.
static PIC_SPURIOUS: AtomicU64 = AtomicU64::new(0);
/// The vector that local APICs report errors by; 0 for none.
static ERROR_VECTOR: AtomicU8 = AtomicU8::new(0);
/// Errors that local APICs have reported.
static APIC_ERRORS: AtomicU64 = AtomicU64::new(0);

/// The I/O APICs; without them lines go through the 8259s.
struct Router {
    io_apics: Option<IoApics<MappedRegisters, IO_APICS>>,
}

impl From<NoVector> for NoLine {
    fn from(_: NoVector) -> Self {
        Self
    }
}

/// What the command line says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    pub nox2apic: bool,
    pub noapic: bool,
    pub nolapic: bool,
}

fn msrs() -> RealMsrs {
    // SAFETY: used for the local APIC's registers alone, in x2APIC mode, and for IA32_APIC_BASE, which every CPU with
    // an APIC has.
    unsafe { RealMsrs::new() }
}

/// Sets up the controllers. Every line is masked afterwards. Once, with interrupts off.
pub fn init(options: Options) {
    init_pic();
    let features = Features::detect();
    let wanted = if options.nolapic { Mode::Disabled } else { Mode::XApic };
    let has_lapic =
        features.contains(Features::APIC) && wanted != Mode::Disabled && init_lapic(features, options);
    let tables = acpi::tables();
    let madt = tables.as_ref().and_then(|tables| tables.find(Signature::MADT));
    let madt = madt.as_ref().and_then(|table| Madt::parse(table).ok());
    if has_lapic && !options.noapic {
        ROUTER.lock().io_apics = madt.as_ref().and_then(init_io_apics);
    }
    let by_io_apic = ROUTER.lock().io_apics.is_some();
    if has_lapic {
        wire_local_lines(madt.as_ref(), !by_io_apic);
    }
    let why = match (options, madt.is_some()) {
        _ if by_io_apic => "the MADT names them",
        (Options { nolapic: true, .. }, _) => "nolapic",
        (Options { noapic: true, .. }, _) => "noapic",
        (_, false) => "there is no MADT",
        _ => "no local APIC, or no usable I/O APIC",
    };
    let how = match (has_lapic, by_io_apic) {
        (true, true) => "I/O APIC",
        (true, false) => "8259 through LINT0",
        (false, _) => "8259",
    };
    info!(target: "irq", "device lines by {how}: {why}");
}

fn init_pic() {
    // SAFETY: the 8259 pair and its ELCR are this module's alone.
    match Pic::init(unsafe { RealPorts::new() }, PIC_BASE) {
        Ok(pic) => *PIC.lock() = Some(pic),
        Err(error) => warn!(target: "irq", "8259: {error}"),
    }
    for line in 0..16u8 {
        let claimed = vectors::claim(PIC_BASE + line, "8259", pic_line, line.into());
        debug_assert!(claimed.is_ok());
    }
}

/// One of the 8259's lines.
fn pic_line(line: usize) {
    let Some(irq) = u8::try_from(line).ok().and_then(Irq::new) else { return };
    let arrival = PIC.lock().as_mut().map(|pic| pic.begin(irq));
    if !matches!(arrival, Some(Arrival::Device)) {
        PIC_SPURIOUS.fetch_add(1, Ordering::Relaxed);
        return;
    }
    let (handler, argument) = &PIC_LINES[line];
    let handler = handler.load(Ordering::Acquire);
    if handler != 0 {
        // SAFETY: `request_line` alone stores there, and what it stores is a Handler.
        let handler = unsafe { core::mem::transmute::<usize, Handler>(handler) };
        handler(argument.load(Ordering::Relaxed));
    } else {
        vectors::count_unexpected();
    }
    if let Some(pic) = PIC.lock().as_mut() {
        pic.eoi(irq);
    }
}

/// Turns the local APIC on in the mode that fits. False if that is not to be.
fn init_lapic(features: Features, options: Options) -> bool {
    let msrs = msrs();
    let base = ApicBase::read(&msrs);
    // CPUID leaf 7, EDX bit 29: IA32_ARCH_CAPABILITIES exists.
    let arch_capabilities = cpu::cpuid(0, 0).eax >= 7 && cpu::cpuid(7, 0).edx >> 29 & 1 != 0;
    let offer = Offer {
        apic: true,
        x2apic: features.contains(Features::X2APIC),
        now: base.mode(),
        locked: modes::is_locked(&msrs, arch_capabilities),
        nox2apic: options.nox2apic,
    };
    let (mode, why) = modes::choose(offer);
    let mode = match modes::switch(&msrs, mode) {
        Ok(()) => mode,
        Err(refused) => {
            // An emulator may show the CPUID bit and not have the mode.
            warn!(target: "irq", "local APIC: {} instead of {}", refused.got.name(), refused.wanted.name());
            refused.got
        }
    };
    let lapic = match mode {
        Mode::Disabled => return false,
        Mode::X2Apic => Lapic::x2apic(msrs),
        Mode::XApic => match memory::map_device(base.address(), 4096, Cache::Uncached) {
            // SAFETY: just mapped, uncached, for good; the registers are this module's.
            Ok(virt) => Lapic::xapic(unsafe { MappedRegisters::new(virt as usize, LAPIC_WINDOW) }, msrs),
            Err(_) => return false,
        },
    };
    let claimed = vectors::claim(SPURIOUS, "spurious", |_| {}, 0);
    let error = vectors::allocate("APIC error", apic_error, 0);
    let (Ok(()), Ok(error)) = (claimed, error) else { return false };
    if let Err(problem) = lapic.setup(SPURIOUS, error) {
        warn!(target: "irq", "local APIC: {problem:?}");
        return false;
    }
    info!(target: "irq", "local APIC {} at {:#x}, {}: {why}", lapic.id(), base.address(), mode.name());
    ERROR_VECTOR.store(error, Ordering::Relaxed);
    LAPIC.call_once(|| lapic);
    true
}

/// On each further CPU, with interrupts off: its local APIC, in the mode of the boot CPU's, and its NMI lines. What
/// comes from the 8259s is for the boot CPU. False if it does not go into that mode.
pub fn init_local() -> bool {
    let Some(lapic) = local_apic() else { return false };
    if modes::switch(&msrs(), lapic.mode()).is_err() {
        return false;
    }
    if lapic.setup(SPURIOUS, ERROR_VECTOR.load(Ordering::Relaxed)).is_err() {
        return false;
    }
    let tables = acpi::tables();
    let madt = tables.as_ref().and_then(|tables| tables.find(Signature::MADT));
    wire_local_lines(madt.as_ref().and_then(|table| Madt::parse(table).ok()).as_ref(), false);
    true
}

fn apic_error(_: usize) {
    APIC_ERRORS.fetch_add(1, Ordering::Relaxed);
    if let Some(lapic) = local_apic() {
        let errors = lapic.take_errors();
        for name in errors.names() {
            warn!(target: "irq", "local APIC: {name}");
        }
    }
}

/// LINT0 and LINT1: the NMI lines that the MADT names (firmware leaves them masked), by convention LINT1 if it names
/// none; and the 8259's output on LINT0 where it is in use.
fn wire_local_lines(madt: Option<&Madt<'_>>, ext_int: bool) {
    let Some(lapic) = local_apic() else { return };
    let id = lapic.id();
    let set = |lvt, entry: LvtEntry| {
        let wired: Result<(), LvtError> = lapic.set_lvt(lvt, entry);
        if let Err(problem) = wired {
            warn!(target: "irq", "local APIC: {problem:?}");
        }
    };
    if ext_int {
        set(Lvt::Lint0, LvtEntry::ext_int());
    }
    let uid = madt.and_then(|madt| madt.cpus().find(|cpu| cpu.apic_id == id).map(|cpu| cpu.uid));
    let mut named = false;
    for nmi in madt.into_iter().flat_map(Madt::local_nmis) {
        if nmi.uid.is_some() && nmi.uid != uid {
            continue;
        }
        let lvt = match nmi.lint {
            0 if !ext_int => Lvt::Lint0,
            1 => Lvt::Lint1,
            _ => continue,
        };
        set(lvt, LvtEntry::nmi());
        named = true;
    }
    if !named {
        set(Lvt::Lint1, LvtEntry::nmi());
    }
}

fn init_io_apics(madt: &Madt<'_>) -> Option<IoApics<MappedRegisters, IO_APICS>> {
    let mut all = IoApics::new();
    for found in madt.io_apics() {
        let virt = memory::map_device(found.address.into(), IO_APIC_WINDOW.into(), Cache::Uncached);
        let added = virt.ok().map(|virt| {
            // SAFETY: just mapped, uncached, for good; the window is this module's.
            let window = unsafe { MappedRegisters::new(virt as usize, IO_APIC_WINDOW) };
            IoApic::new(window, found.gsi_base).and_then(|one| all.add(one))
        });
        if !matches!(added, Some(Ok(()))) {
            warn!(target: "irq", "I/O APIC {} at {:#x}: not usable ({added:?})", found.id, found.address);
        }
    }
    for one in all.iter() {
        info!(target: "irq", "I/O APIC: lines {} to {}", one.gsi_base(), one.gsi_base() + one.lines() - 1);
    }
    (!all.is_empty()).then_some(all)
}

/// This CPU's local APIC, if it is in use.
#[inline]
pub fn local_apic() -> Option<LocalApic> {
    LAPIC.get().copied()
}

/// Ends an interrupt at the local APIC.
#[inline]
pub fn end_of_interrupt() {
    if let Some(lapic) = LAPIC.get() {
        lapic.eoi();
    }
}

/// An input, and how its line speaks.
struct Wire {
    input: Input,
    trigger: Trigger,
    polarity: Polarity,
}

/// Whether device lines go through I/O APICs.
pub fn by_io_apic() -> bool {
    ROUTER.lock().io_apics.is_some()
}

/// Where a line arrives on this machine.
fn wire_of(line: Line) -> Result<Wire, NoLine> {
    let by_io_apic = by_io_apic();
    let (input, by_isa) = match line {
        Line::Isa(irq) => (Input::Isa(irq), true),
        Line::Global(number) => match u8::try_from(number).ok().filter(|&irq| irq < 16) {
            Some(irq) => (Input::Isa(irq), false),
            None => (Input::Gsi(number), false),
        },
        Line::Pci { at, pin } => {
            let lead = intx::lead(at, pin, by_io_apic).ok_or(NoLine)?;
            intx::report(&lead);
            (lead.input, false)
        }
    };
    // What is no ISA device's is level-triggered, active low and shared, unless the MADT says otherwise.
    let trigger = if by_isa { Trigger::Edge } else { Trigger::Level };
    match input {
        Input::Isa(_) if !by_io_apic => Ok(Wire { input, trigger, polarity: Polarity::High }),
        Input::Isa(irq) => {
            let tables = acpi::tables();
            let madt = tables.as_ref().and_then(|tables| tables.find(Signature::MADT));
            let madt = madt.as_ref().and_then(|table| Madt::parse(table).ok()).ok_or(NoLine)?;
            let route = if by_isa { madt.gsi_for_isa(irq) } else { madt.gsi_for_sci(irq.into()) };
            Ok(Wire { input: Input::Gsi(route.gsi), trigger: route.trigger, polarity: route.polarity })
        }
        Input::Gsi(_) if by_io_apic => Ok(Wire { input, trigger, polarity: Polarity::Low }),
        Input::Gsi(_) => Err(NoLine),
    }
}

/// Wires a line to a handler and unmasks it.
pub fn request_line(line: Line, name: &'static str, handler: Handler, argument: usize) -> Result<(), NoLine> {
    let Wire { input, trigger, polarity } = wire_of(line)?;
    let is_shared = trigger == Trigger::Level;
    match input {
        Input::Gsi(gsi) => {
            let connect = |handler, argument| {
                let destination = local_apic().ok_or(NoLine)?.id();
                let mut router = ROUTER.lock();
                let io_apics = router.io_apics.as_mut().ok_or(NoLine)?;
                // A vector is never given back, so first: is there such a line?
                io_apics.entry(gsi).map_err(|_| NoLine)?;
                let vector = vectors::allocate(name, handler, argument)?;
                io_apics.route(gsi, vector, destination, trigger, polarity).map_err(|_| NoLine)?;
                Ok(vector)
            };
            let open = || {
                let mut router = ROUTER.lock();
                router.io_apics.as_mut().and_then(|io_apics| io_apics.unmask(gsi).ok()).ok_or(NoLine)
            };
            lines::take(input, is_shared, name, handler, argument, connect, open)
        }
        Input::Isa(irq) => {
            let line = Irq::new(irq).ok_or(NoLine)?;
            let connect = |handler: Handler, argument| {
                let mut pic = PIC.lock();
                // An edge is how all lines begin, and on a machine without an ELCR they stay so.
                if is_shared {
                    pic.as_mut().ok_or(NoLine)?.set_trigger(line, trigger).map_err(|_| NoLine)?;
                }
                let (slot, place) = &PIC_LINES[usize::from(irq)];
                place.store(argument, Ordering::Relaxed);
                slot.store(handler as usize, Ordering::Release);
                vectors::rename(PIC_BASE + irq, name);
                Ok(PIC_BASE + irq)
            };
            let open = || PIC.lock().as_mut().map(|pic| pic.unmask(line)).ok_or(NoLine);
            lines::take(input, is_shared, name, handler, argument, connect, open)
        }
    }
}

pub use lines::{next_line, other_owners};

/// Spurious interrupts of the 8259s, and errors of the local APIC, so far.
pub fn mishaps() -> (u64, u64) {
    (PIC_SPURIOUS.load(Ordering::Relaxed), APIC_ERRORS.load(Ordering::Relaxed))
}
