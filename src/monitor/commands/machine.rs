//! Commands about the machine: what the firmware said, and what the CPU's registers hold.

use super::{Call, Result};
use crate::arch::x86_64::cr::{self, Cr0, Cr4, Xcr0};
use crate::arch::x86_64::percpu::copies;
use crate::arch::x86_64::{cpu, exceptions, gdt as segments, idt as gates, msr, segment};
use crate::boot::info::Framebuffer;
use crate::kernel::{boot_info, image::Named};
use crate::monitor::parse::{self, Problem};
use crate::platform::pc::{interrupts, vectors};
use crate::tty::console;

pub fn bootinfo<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    call.words.end()?;
    let info = boot_info::get();
    let out = &mut *call.out;
    let _ = writeln!(out, "  version           {}, {} bytes", info.version, info.size);
    let _ = writeln!(
        out,
        "  kernel            {:#x}, {} KiB, linked at {:#x}",
        info.kernel_phys,
        info.kernel_len >> 10,
        info.kernel_virt
    );
    let _ = writeln!(out, "  page tables       {:#x}", info.page_table_root);
    let _ = writeln!(out, "  memory map        {} regions at {:#x}", info.regions.len, info.regions.addr);
    let _ = writeln!(out, "  command line      {:?}", boot_info::command_line().as_str());
    let _ = writeln!(out, "  initrd            {:#x}, {} bytes", info.initrd.addr, info.initrd.len);
    let _ = writeln!(out, "  ACPI root pointer {:#x}", info.rsdp);
    let _ = writeln!(out, "  EFI system table  {:#x}", info.efi_system_table);
    let _ = writeln!(out, "  AP trampoline     {:#x}", info.trampoline);
    let _ = match info.framebuffer {
        Framebuffer { base: 0, .. } => writeln!(out, "  framebuffer       none"),
        fb => writeln!(
            out,
            "  framebuffer       {:#x}, {}x{}, stride {}, red {:08x} green {:08x} blue {:08x}",
            fb.base, fb.width, fb.height, fb.stride, fb.red_mask, fb.green_mask, fb.blue_mask
        ),
    };
    let _ = writeln!(out, "  firmware's serial port {:#x}, {} baud", info.serial.port, info.serial.baud);
    let t = info.times;
    let _ = writeln!(
        out,
        "  loader started    {} ticks after reset, {} ticks to ExitBootServices, {} of them in firmware",
        t.loader_start,
        t.exit_boot_services.saturating_sub(t.loader_start),
        t.in_firmware
    );
    let _ = writeln!(out, "  time-stamp clock  {} Hz, estimated", t.tsc_hz);
    Ok(())
}

pub fn cpu<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    call.words.end()?;
    let (family, model, stepping) = cpu::signature();
    let out = &mut *call.out;
    let _ = writeln!(out, "  {} \"{}\"", cpu::vendor().as_str(), cpu::brand().as_str());
    let _ = writeln!(
        out,
        "  family {family:#x}, model {model:#x}, stepping {stepping}, {} bits of physical address",
        cpu::physical_address_bits()
    );
    let _ = write!(out, "  has:");
    for name in cpu::Features::detect().names() {
        let _ = write!(out, " {name}");
    }
    let _ = writeln!(out, "\n  on:  {}", cpu::Words(cpu::enabled()));
    Ok(())
}

pub fn regs<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    call.words.end()?;
    let out = &mut *call.out;
    let (cr0, cr4) = (Cr0::read(), Cr4::read());
    let _ = writeln!(out, "  cr0     {:016x}  {}", cr0.bits(), Flags(&cr0));
    let _ = writeln!(out, "  cr2     {:016x}  address of the last page fault", cr::cr2());
    let _ = writeln!(out, "  cr3     {:016x}  the PML4", cr::cr3());
    let _ = writeln!(out, "  cr4     {:016x}  {}", cr4.bits(), Flags(&cr4));
    let _ = writeln!(out, "  cr8     {:016x}  task priority", cr::cr8());
    if cr4.contains(Cr4::OSXSAVE) {
        // SAFETY: OSXSAVE is set.
        let xcr0 = unsafe { Xcr0::read() };
        let _ = writeln!(out, "  xcr0    {:016x}  {}", xcr0.bits(), Flags(&xcr0));
    }
    for (name, value) in msr::shown() {
        let _ = match value {
            Some(value) => writeln!(out, "  {name:8}{value:016x}"),
            None => writeln!(out, "  {name:8}not there"),
        };
    }
    let now = segment::Registers::read();
    let _ = writeln!(
        out,
        "  cs {:#06x}  ss {:#06x}  ds {:#06x}  es {:#06x}  fs {:#06x}  gs {:#06x}  tr {:#06x}",
        now.cs, now.ss, now.ds, now.es, now.fs, now.gs, now.tr
    );
    let _ = writeln!(out, "  rflags {:016x}  rsp {:016x}", now.rflags, now.rsp);
    let (gdt, gdt_limit) = segments::register();
    let (idt, idt_limit) = gates::register();
    let _ =
        writeln!(out, "  gdtr    {gdt:016x} limit {gdt_limit:#x}\n  idtr    {idt:016x} limit {idt_limit:#x}");
    Ok(())
}

/// The names of set bits, with blanks between.
struct Flags<'a, B>(&'a B);

impl<B: bitflags::Flags> core::fmt::Display for Flags<'_, B> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter_names().try_for_each(|(name, _)| write!(f, "{name} "))
    }
}

pub fn gdt<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    call.words.end()?;
    let (base, limit) = segments::register();
    let _ = writeln!(call.out, "  base {}, limit {limit:#x}", Named(base));
    for (selector, descriptor) in segments::slots() {
        let low = descriptor.low;
        let _ = writeln!(call.out, "  {selector:#04x}: {low:016x}  {descriptor}");
    }
    Ok(())
}

pub fn idt<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    let wanted = match call.words.next() {
        Some(word) => match parse::number(word) {
            Some(vector @ 0..=255) => Some(vector as u8),
            _ => return Err(Problem::NotANumber(word)),
        },
        None => None,
    };
    call.words.end()?;
    let (base, limit) = gates::register();
    let _ = writeln!(call.out, "  base {}, limit {limit:#x}", Named(base));
    let mut first = wanted.unwrap_or(0);
    let last = wanted.unwrap_or(255);
    loop {
        let gate = gates::gate(first);
        let (mnemonic, name) = exceptions::name(first.into());
        // Past the exceptions, gates of one kind are one line.
        let mut end = first;
        if first >= exceptions::EXCEPTIONS as u8 {
            let alike = |vector: u8| {
                let other = gates::gate(vector);
                (other.kind(), other.ist(), other.dpl(), other.present())
                    == (gate.kind(), gate.ist(), gate.dpl(), gate.present())
            };
            while end < last && alike(end + 1) {
                end += 1;
            }
        }
        let _ = if end > first {
            writeln!(call.out, "  {first:3} - {end:3}: {gate} ff.")
        } else {
            writeln!(call.out, "  {first:3} {mnemonic:3}: {gate}  {name}")
        };
        if end == last {
            break;
        }
        first = end + 1;
    }
    let _ = writeln!(call.out, "  {} interrupts came that nobody had asked for", vectors::unexpected());
    Ok(())
}

/// CPUs that `irq` has a column for.
const COLUMNS: usize = 8;

pub fn irq<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    call.words.end()?;
    let out = &mut *call.out;
    vectors::for_each(&mut |vector, owner, count| {
        let name = owner.unwrap_or_else(|| exceptions::name(vector.into()).1);
        // The 8259's lines that nobody uses would fill half of the table.
        if owner != Some("8259") || count > 0 {
            let _ = write!(out, "  {vector:3}  {count:10}");
            if copies::copies() > 1 {
                for cpu in copies::online().iter().take(COLUMNS) {
                    let _ = write!(out, " {:8}", vectors::count_on(cpu, vector));
                }
            }
            let _ = write!(out, "  {name}");
            interrupts::other_owners(vector, &mut |name| _ = write!(out, ", {name}"));
            let _ = writeln!(out);
        }
    });
    let received = console::received();
    let (by_interrupt, polled, lost) = (received.by_interrupt, received.polled, received.lost);
    let _ = writeln!(out, "  serial line: {by_interrupt} bytes by interrupt, {polled} polled, {lost} lost");
    let (spurious, errors) = interrupts::mishaps();
    let unexpected = vectors::unexpected();
    let _ = writeln!(
        out,
        "  unexpected {unexpected}, spurious from the 8259 {spurious}, local APIC errors {errors}"
    );
    Ok(())
}
