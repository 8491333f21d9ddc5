//! From firmware to kernel: pages, page tables, `BootInfo`, ExitBootServices, the jump.
//!
//! Everything that needs memory or can fail is done in [`prepare`], while there is somebody to return to.
//! [`Prepared::enter`] then leaves boot services; after that nothing is allocated.
//!
//! Source: UEFI 2.10 §7.4.6 (ExitBootServices).

use super::super::elf::Image;
use super::super::info::{self, BootInfo, BootTimes, MemoryKind, MemoryRegion, PhysSlice};
use super::super::layout::PAGE_SIZE;
use super::super::memmap::{self, OwnRange};
use super::devices::Devices;
use super::error::{Failure, Reason, StatusName};
use super::files::File;
use super::firmware::{Firmware, call, ticks_in_firmware};
use super::memory_map::{MemoryMap, SPARE_DESCRIPTORS};
use super::tables;
use crate::arch::x86_64::cpu::Features;
use crate::arch::x86_64::{interrupts, tsc};
use core::convert::Infallible;
use uefi_raw::Status;
use uefi_raw::protocol::memory_protection::MemoryAttributeProtocol;
use uefi_raw::table::boot::{MemoryAttribute, MemoryType};

/// What the earlier steps found.
pub struct Loaded<'a> {
    pub image: Image<'a>,
    pub initrd: Option<File>,
    pub command_line: &'a str,
    pub devices: Devices,
    pub features: Features,
    /// Time stamp of the loader's start.
    pub start: u64,
    pub tsc_hz: u64,
}

/// Everything that the kernel gets, all but the final memory map.
pub struct Prepared {
    info: &'static mut BootInfo,
    regions: &'static mut [MemoryRegion],
    own: [OwnRange; 5],
    map: MemoryMap,
    entry_phys: u64,
    pml4: u64,
}

/// Allocates and fills everything but the final memory map.
pub fn prepare(firmware: &Firmware, loaded: &Loaded<'_>) -> Result<Prepared, Failure> {
    let image = &loaded.image;
    let kernel_pages = load_image(firmware, image)?;
    let kernel = own(kernel_pages, MemoryKind::Kernel);
    let trampoline = trampoline(firmware);

    let map = MemoryMap::new(firmware)?;
    let (info, regions, boot_info) = allocate_boot_info(firmware, loaded, &map)?;

    // The map as it is now: the kinds of RAM will still change, but not what is RAM.
    let known = regions_now(&map, regions)?;
    let plan = tables::Plan::new(
        image,
        kernel.start,
        loaded.devices.framebuffer,
        &regions[..known],
        loaded.features,
    );
    let entry_phys = plan.entry_phys;
    make_executable(firmware, entry_phys);
    let page_tables = own(plan.build(firmware)?, MemoryKind::PageTables);
    let pml4 = page_tables.start;

    let initrd = loaded.initrd.as_ref().map_or(&[][..], |file| file.bytes());
    let initrd_start = if initrd.is_empty() { 0 } else { initrd.as_ptr() as u64 };
    *info = BootInfo {
        magic: info::MAGIC,
        version: info::VERSION,
        size: size_of::<BootInfo>() as u32,
        kernel_phys: kernel.start,
        kernel_virt: image.base(),
        kernel_len: image.len_bytes(),
        page_table_root: pml4,
        regions: PhysSlice { addr: regions.as_ptr() as u64, len: 0 },
        cmdline: info.cmdline,
        initrd: PhysSlice { addr: initrd_start, len: initrd.len() as u64 },
        rsdp: loaded.devices.rsdp,
        efi_system_table: core::ptr::from_ref(firmware.system()) as u64,
        trampoline: trampoline.start,
        framebuffer: loaded.devices.framebuffer,
        serial: loaded.devices.serial,
        times: BootTimes {
            loader_start: loaded.start,
            exit_boot_services: 0,
            in_firmware: 0,
            tsc_hz: loaded.tsc_hz,
        },
    };
    let initrd = OwnRange {
        start: initrd_start,
        pages: (initrd.len() as u64).div_ceil(PAGE_SIZE),
        kind: MemoryKind::Initrd,
    };
    let own = [kernel, page_tables, boot_info, initrd, trampoline];
    Ok(Prepared { info, regions, own, map, entry_phys, pml4 })
}

fn own(memory: &[u8], kind: MemoryKind) -> OwnRange {
    OwnRange { start: memory.as_ptr() as u64, pages: memory.len() as u64 / PAGE_SIZE, kind }
}

/// Copies the segments to pages of their own. What no segment covers is zero, as is the rest of each.
fn load_image(firmware: &Firmware, image: &Image<'_>) -> Result<&'static mut [u8], Failure> {
    // Code, because some firmware maps data pages no-execute, and the kernel's first instructions run on the
    // firmware's page tables.
    let memory = firmware
        .allocate(MemoryType::LOADER_CODE, image.len_bytes())
        .map_err(|status| Failure::firmware("\\kernel.elf", "no memory for it", status))?;
    memory.fill(0);
    for segment in image.segments() {
        let at = (segment.vaddr - image.base()) as usize;
        memory[at..at + segment.bytes.len()].copy_from_slice(segment.bytes);
    }
    Ok(memory)
}

/// The kernel's first instructions run on the firmware's page tables. Firmware with the strictest policy gives
/// out even code pages as not executable, and has a protocol to change that (UEFI 2.10 §7.2.3.2).
fn make_executable(firmware: &Firmware, address: u64) {
    let Ok(protocol) = firmware.locate::<MemoryAttributeProtocol>(&MemoryAttributeProtocol::GUID) else {
        return;
    };
    let page = address & !(PAGE_SIZE - 1);
    // SAFETY: a page of our own, which nobody writes from now on.
    let status = call(|| unsafe {
        let this = protocol.as_ptr();
        let _ = ((*this).set_memory_attributes)(this, page, PAGE_SIZE, MemoryAttribute::READ_ONLY);
        ((*this).clear_memory_attributes)(this, page, PAGE_SIZE, MemoryAttribute::EXECUTE_PROTECT)
    });
    if status != Status::SUCCESS {
        say!("warning: cannot make the kernel's first page executable: {}", StatusName(status));
    }
}

/// A page below 1 MiB for starting the other processors: they begin in real mode. Not below 4 KiB, where
/// the real-mode vectors are, and not above 640 KiB.
fn trampoline(firmware: &Firmware) -> OwnRange {
    const LAST: u64 = 0x9_FFFF;
    let none = OwnRange { start: 0, pages: 0, kind: MemoryKind::Trampoline };
    match firmware.allocate_below(LAST, MemoryType::LOADER_DATA, PAGE_SIZE) {
        Ok(page) if page.as_ptr() as u64 >= PAGE_SIZE => own(page, MemoryKind::Trampoline),
        _ => {
            say!("warning: no free page below 1 MiB: only one processor can run");
            none
        }
    }
}

/// One run of pages: the structure, the command line, then room for the regions.
fn allocate_boot_info(
    firmware: &Firmware,
    loaded: &Loaded<'_>,
    map: &MemoryMap,
) -> Result<(&'static mut BootInfo, &'static mut [MemoryRegion], OwnRange), Failure> {
    let text = loaded.command_line.as_bytes();
    let text_at = size_of::<BootInfo>();
    let regions_at = (text_at + text.len()).next_multiple_of(align_of::<MemoryRegion>());
    let count = memmap::max_regions(map.count() + SPARE_DESCRIPTORS, 5);
    let memory = firmware
        .allocate(MemoryType::LOADER_DATA, (regions_at + count * size_of::<MemoryRegion>()) as u64)
        .map_err(|status| Failure::firmware("boot info", "no memory for it", status))?;
    memory.fill(0);
    let range = own(memory, MemoryKind::BootInfo);
    let (head, tail) = memory.split_at_mut(regions_at);
    head[text_at..text_at + text.len()].copy_from_slice(text);
    let cmdline = PhysSlice { addr: head[text_at..].as_ptr() as u64, len: text.len() as u64 };
    // SAFETY: page-aligned memory of our own that is long enough. Its zeros are valid for BootInfo, which
    // holds integers; the regions are written before they are read, and not before `fill_empty`.
    let (info, regions) = unsafe {
        let info = &mut *head.as_mut_ptr().cast::<BootInfo>();
        let empty =
            MemoryRegion { start: 0, pages: 0, kind: MemoryKind::Reserved, reserved: 0, attributes: 0 };
        let first = tail.as_mut_ptr().cast::<MemoryRegion>();
        for index in 0..count {
            first.add(index).write(empty);
        }
        (info, core::slice::from_raw_parts_mut(first, count))
    };
    info.cmdline = cmdline;
    Ok((info, regions, range))
}

/// The regions by the map as it is, without our own ranges. Returns how many.
fn regions_now(map: &MemoryMap, regions: &mut [MemoryRegion]) -> Result<usize, Failure> {
    memmap::normalise(map.descriptors(), &[], regions)
        .map(|summary| summary.len)
        .map_err(|error| Failure::new("memory map", Reason::MemoryMap(error)))
}

impl Prepared {
    /// Leaves the firmware and enters the kernel. Returns only if the firmware has not begun to let go.
    pub fn enter(mut self, firmware: &Firmware) -> Result<Infallible, Failure> {
        say!("leaving the firmware");
        self.exit_boot_services(firmware)?;
        // The firmware's interrupt handlers are gone with it.
        interrupts::disable();
        self.info.times.exit_boot_services = tsc::read();
        self.info.times.in_firmware = ticks_in_firmware();
        super::forget_firmware();
        // SAFETY: asm/entry.S has this signature; the ELF check has put the entry into an executable segment,
        // `load_image` has copied it to this physical address, and the tables map it there too.
        let entry: extern "sysv64" fn(*const BootInfo, u64) -> ! =
            unsafe { core::mem::transmute(self.entry_phys as *const ()) };
        entry(self.info, self.pml4)
    }

    /// The map's key must be that of the latest change, and event handlers that run inside the call may change
    /// the map once more: then both are repeated. The regions are made of the map before the call, so that a
    /// map which contradicts ours is an error while there is still somebody to tell.
    fn exit_boot_services(&mut self, firmware: &Firmware) -> Result<(), Failure> {
        let mut status = Status::ABORTED;
        for _ in 0..4 {
            let fetched = self.map.fetch(firmware);
            if fetched != Status::SUCCESS {
                return self.refused(
                    firmware,
                    status,
                    Failure::firmware("memory map", "cannot get it again", fetched),
                );
            }
            match memmap::normalise(self.map.descriptors(), &self.own, self.regions) {
                Ok(summary) => self.info.regions.len = summary.len as u64,
                Err(error) => {
                    let failure = Failure::new("memory map", Reason::MemoryMap(error));
                    return self.refused(firmware, status, failure);
                }
            }
            // SAFETY: our image handle, and the key of the map just fetched.
            status = call(|| unsafe { (firmware.boot().exit_boot_services)(firmware.image(), self.map.key) });
            if status == Status::SUCCESS {
                return Ok(());
            }
        }
        self.refused(firmware, status, Failure::firmware("ExitBootServices", "refused", status))
    }

    /// Before the first call of ExitBootServices an error can go up as any other. After it the firmware is half
    /// gone, even if it refused: its drivers have stopped, and nothing but the two calls above is allowed. What
    /// is left is COM1 and a reset.
    fn refused(&self, firmware: &Firmware, last: Status, failure: Failure) -> Result<(), Failure> {
        if last == Status::ABORTED {
            return Err(failure);
        }
        super::console::firmware_is_gone();
        say!("error: {failure}");
        say!("the firmware cannot be returned to; resetting in 10 seconds");
        tsc::wait(10 * self.info.times.tsc_hz);
        firmware.reset()
    }
}
