//! From firmware to kernel: pages, page tables, `BootInfo`, ExitBootServices, the jump.
//!
//! Everything that needs memory or can fail is done in [`prepare`], while there is somebody to return to.
//! [`Prepared::enter`] then leaves boot services; after that nothing is allocated.
//!
//! The page tables are those of `boot::layout`: the kernel image by its segments' permissions, RAM in the
//! direct map with the largest pages that fit, the framebuffer, and one page onto itself: that with the
//! kernel's first instructions, which run while CR3 changes.
//! Source: UEFI 2.10 §7.4.6 (ExitBootServices).

use super::super::elf::{Image, SegmentFlags};
use super::super::info::{self, BootInfo, BootTimes, MemoryKind, MemoryRegion, PhysSlice};
use super::super::layout::{DIRECT_MAP_BASE, DIRECT_MAP_SIZE, MMIO_BASE, PAGE_SIZE};
use super::super::memmap::{self, Descriptor, OwnRange};
use super::devices::Devices;
use super::error::{Failure, Reason};
use super::files::File;
use super::firmware::{Firmware, call, ticks_in_firmware};
use crate::arch::x86_64::cpu::Features;
use crate::arch::x86_64::paging::map::{map_page, map_range, tables_needed};
use crate::arch::x86_64::paging::{Entry, Flags, Tables};
use crate::arch::x86_64::{cr, tsc};
use core::convert::Infallible;
use uefi_raw::Status;
use uefi_raw::table::boot::{MemoryDescriptor, MemoryType};

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

/// The firmware's memory map, in a buffer with room for it to grow.
struct MemoryMap {
    buffer: &'static mut [u8],
    len: usize,
    descriptor_size: usize,
    key: usize,
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

/// Descriptors by which the map may still grow: each allocation splits one, and so do event handlers in
/// ExitBootServices.
const SPARE_DESCRIPTORS: usize = 64;

impl MemoryMap {
    /// Gets a buffer that is large enough, and the map.
    fn new(firmware: &Firmware) -> Result<Self, Failure> {
        let mut map = Self { buffer: &mut [], len: 0, descriptor_size: 0, key: 0 };
        // With no buffer the firmware answers with the size it needs, and with that of a descriptor.
        let status = map.fetch(firmware);
        if status != Status::BUFFER_TOO_SMALL || map.descriptor_size < size_of::<MemoryDescriptor>() {
            return Err(Failure::firmware("memory map", "the firmware does not say how large it is", status));
        }
        let bytes = map.len + SPARE_DESCRIPTORS * map.descriptor_size;
        map.buffer = firmware
            .allocate(MemoryType::LOADER_DATA, bytes as u64)
            .map_err(|status| Failure::firmware("memory map", "no memory for it", status))?;
        match map.fetch(firmware) {
            Status::SUCCESS => Ok(map),
            status => Err(Failure::firmware("memory map", "cannot get it", status)),
        }
    }

    /// Reads the map into the buffer.
    fn fetch(&mut self, firmware: &Firmware) -> Status {
        let (mut len, mut version) = (self.buffer.len(), 0);
        // SAFETY: the buffer is `len` bytes long; the out pointers are ours.
        let status = call(|| unsafe {
            (firmware.boot().get_memory_map)(
                &mut len,
                self.buffer.as_mut_ptr().cast(),
                &mut self.key,
                &mut self.descriptor_size,
                &mut version,
            )
        });
        self.len = len;
        status
    }

    /// The descriptors, each `descriptor_size` bytes after the last: newer firmware may have longer ones.
    fn descriptors(&self) -> impl Iterator<Item = Descriptor> + Clone + '_ {
        self.buffer[..self.len].chunks_exact(self.descriptor_size).map(|bytes| {
            // SAFETY: the chunk is at least as long as a descriptor, whose fields are all integers.
            let d = unsafe { bytes.as_ptr().cast::<MemoryDescriptor>().read_unaligned() };
            Descriptor {
                efi_type: d.ty.0,
                phys_start: d.phys_start,
                pages: d.page_count,
                attributes: d.att.bits(),
            }
        })
    }

    fn count(&self) -> usize {
        self.len / self.descriptor_size
    }
}

/// Page tables from a run of pages that was set aside; memory is mapped one to one.
struct Pool {
    next: u64,
    end: u64,
}

impl Tables for Pool {
    fn allocate(&mut self) -> Option<u64> {
        let table = self.next;
        self.next += PAGE_SIZE;
        (table < self.end).then_some(table)
    }

    fn get(&self, table: u64, index: usize) -> Entry {
        // SAFETY: tables come from the pool alone, and an index is below 512.
        unsafe { (table as *const Entry).add(index).read() }
    }

    fn set(&mut self, table: u64, index: usize, entry: Entry) {
        // SAFETY: as above.
        unsafe { (table as *mut Entry).add(index).write(entry) };
    }
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
    let ram = regions_now(&map, regions)?;
    let top_level = if loaded.features.contains(Features::PAGE_1G) { 3 } else { 2 };
    let entry_phys = kernel.start + (image.entry() - image.base());
    let fb = loaded.devices.framebuffer;
    // Tables for RAM; for image, framebuffer and entry page; and the root.
    let mut tables = 1;
    for (start, len) in ram_runs(&regions[..ram]) {
        tables += tables_needed(DIRECT_MAP_BASE + start, len, top_level);
    }
    tables += tables_needed(image.base(), image.len_bytes(), 1)
        + tables_needed(MMIO_BASE + fb.base, fb.len + PAGE_SIZE, 2)
        + tables_needed(entry_phys, PAGE_SIZE, 1);
    let table_pages = firmware
        .allocate(MemoryType::LOADER_DATA, tables * PAGE_SIZE)
        .map_err(|status| Failure::firmware("page tables", "no memory for them", status))?;
    table_pages.fill(0);
    let page_tables = own(table_pages, MemoryKind::PageTables);
    let pml4 = page_tables.start;
    let mut pool = Pool { next: pml4 + PAGE_SIZE, end: pml4 + tables * PAGE_SIZE };
    build_tables(&mut pool, pml4, loaded, kernel.start, entry_phys, &regions[..ram], top_level)
        .map_err(|error| Failure::new("page tables", Reason::PageTables(error)))?;

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
        framebuffer: fb,
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
    // Code, because firmware with a strict policy maps data pages no-execute, and the kernel's first
    // instructions run on the firmware's page tables.
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

/// Start and length of each stretch of RAM, whatever its kinds: they share one mapping.
fn ram_runs(regions: &[MemoryRegion]) -> impl Iterator<Item = (u64, u64)> + '_ {
    let mut ram = regions.iter().filter(|region| region.kind.is_ram()).peekable();
    core::iter::from_fn(move || {
        let first = ram.next()?;
        let mut end = first.end();
        while let Some(next) = ram.next_if(|next| next.start == end) {
            end = next.end();
        }
        // What the direct map has no room for stays unmapped, and so unused.
        Some((first.start, end.min(DIRECT_MAP_SIZE).saturating_sub(first.start)))
    })
}

fn build_tables(
    pool: &mut Pool,
    pml4: u64,
    loaded: &Loaded<'_>,
    kernel_phys: u64,
    entry_phys: u64,
    regions: &[MemoryRegion],
    top_level: u32,
) -> Result<(), crate::arch::x86_64::paging::map::MapError> {
    let data = Flags::WRITE | Flags::NO_EXECUTE | Flags::GLOBAL;
    for (start, len) in ram_runs(regions) {
        map_range(pool, pml4, DIRECT_MAP_BASE + start, start, len, data, top_level)?;
    }
    let image = &loaded.image;
    for segment in image.segments() {
        let mut flags = Flags::GLOBAL;
        if segment.flags.contains(SegmentFlags::W) {
            flags |= Flags::WRITE;
        }
        if !segment.flags.contains(SegmentFlags::X) {
            flags |= Flags::NO_EXECUTE;
        }
        let start = segment.page_start();
        let phys = kernel_phys + (start - image.base());
        // Small pages, so that the kernel can take single ones away (stack guards).
        map_range(pool, pml4, start, phys, segment.page_end() - start, flags, 1)?;
    }
    let fb = loaded.devices.framebuffer;
    if fb.base != 0 {
        let start = fb.base & !(PAGE_SIZE - 1);
        let len = (fb.base + fb.len).next_multiple_of(PAGE_SIZE) - start;
        // Write-through until the kernel makes cache type 1 write-combining.
        map_range(pool, pml4, MMIO_BASE + start, start, len, data | Flags::PWT, 2)?;
    }
    let page = entry_phys & !(PAGE_SIZE - 1);
    map_page(pool, pml4, page, page, Flags::empty(), 1)
}

impl Prepared {
    /// Leaves the firmware and enters the kernel. Returns only if the firmware does not let go.
    pub fn enter(mut self, firmware: &Firmware) -> Result<Infallible, Failure> {
        say!("leaving the firmware");
        self.exit_boot_services(firmware)?;
        super::console::firmware_is_gone();

        match memmap::normalise(self.map.descriptors(), &self.own, self.regions) {
            Ok(summary) => self.info.regions.len = summary.len as u64,
            Err(error) => {
                // There is nobody left to return to.
                say!("error: memory map: {}", Reason::MemoryMap(error));
                cr::wait_forever();
            }
        }
        self.info.times.exit_boot_services = tsc::read();
        self.info.times.in_firmware = ticks_in_firmware();
        // SAFETY: asm/entry.S has this signature; the ELF check has put the entry into an executable segment,
        // `load_image` has copied it to this physical address, and the tables map it there too.
        let entry: extern "sysv64" fn(*const BootInfo, u64) -> ! =
            unsafe { core::mem::transmute(self.entry_phys as *const ()) };
        entry(self.info, self.pml4)
    }

    /// The map's key must be that of the latest change. Event handlers that run inside the call may change
    /// the map once more: then it is fetched again, and only GetMemoryMap and ExitBootServices may be
    /// called from then on.
    fn exit_boot_services(&mut self, firmware: &Firmware) -> Result<(), Failure> {
        let mut status = Status::ABORTED;
        for _ in 0..4 {
            let fetched = self.map.fetch(firmware);
            if fetched != Status::SUCCESS {
                return Err(Failure::firmware("memory map", "cannot get it again", fetched));
            }
            // SAFETY: our image handle, and the key of the map just fetched.
            status = call(|| unsafe { (firmware.boot().exit_boot_services)(firmware.image(), self.map.key) });
            if status == Status::SUCCESS {
                return Ok(());
            }
        }
        Err(Failure::firmware("ExitBootServices", "refused", status))
    }
}
