//! The firmware's services, one thin function each.
//!
//! Everything here is valid until ExitBootServices. [`call`] measures what the calls cost.
//! Source: UEFI 2.10 §7 (boot services).

use super::error::Failure;
use crate::arch::x86_64::tsc;
use crate::boot::layout::PAGE_SIZE;
use core::ffi::c_void;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU64, Ordering};
use uefi_raw::protocol::console::{InputKey, SimpleTextOutputProtocol};
use uefi_raw::protocol::loaded_image::LoadedImageProtocol;
use uefi_raw::table::boot::{BootServices, EventType, MemoryType, TimerDelay, Tpl};
use uefi_raw::table::configuration::ConfigurationTable;
use uefi_raw::table::runtime::ResetType;
use uefi_raw::table::system::SystemTable;
use uefi_raw::{Guid, Handle, Status};

/// Ticks of the time-stamp counter spent in firmware calls.
static IN_FIRMWARE: AtomicU64 = AtomicU64::new(0);

/// Makes one firmware call, and adds its time to the sum.
pub fn call<R>(service: impl FnOnce() -> R) -> R {
    let before = tsc::read();
    let result = service();
    IN_FIRMWARE.fetch_add(tsc::read().saturating_sub(before), Ordering::Relaxed);
    result
}

/// That sum.
pub fn ticks_in_firmware() -> u64 {
    IN_FIRMWARE.load(Ordering::Relaxed)
}

/// EFI_ALLOCATE_TYPE.
#[repr(u32)]
enum AllocateType {
    AnyPages = 0,
    MaxAddress = 1,
}

/// The way into the firmware.
#[derive(Clone, Copy)]
pub struct Firmware {
    image: Handle,
    system: NonNull<SystemTable>,
}

// SAFETY: the loader runs on one processor.
unsafe impl Send for Firmware {}

impl Firmware {
    /// # Safety
    /// The arguments are those of this image's entry point, and boot services still run.
    pub unsafe fn new(image: Handle, system: *mut SystemTable) -> Self {
        Self { image, system: NonNull::new(system).expect("firmware passes its system table") }
    }

    pub fn image(&self) -> Handle {
        self.image
    }

    pub fn system(&self) -> &SystemTable {
        // SAFETY: `new`'s caller vouches for the table; the firmware changes it only inside calls.
        unsafe { self.system.as_ref() }
    }

    pub fn boot(&self) -> &BootServices {
        // SAFETY: as above; the pointer is valid until ExitBootServices, after which nobody calls this.
        unsafe { &*self.system().boot_services }
    }

    pub fn console(&self) -> *mut SimpleTextOutputProtocol {
        self.system().stdout
    }

    /// The pairs of GUID and address by which ACPI and others are found.
    pub fn configuration_tables(&self) -> &[ConfigurationTable] {
        let system = self.system();
        if system.configuration_table.is_null() {
            return &[];
        }
        // SAFETY: the firmware keeps that many entries there.
        unsafe {
            core::slice::from_raw_parts(
                system.configuration_table,
                system.number_of_configuration_table_entries,
            )
        }
    }

    /// The firmware resets the machine five minutes after it started us, unless told not to. A failure
    /// means that there is no such timer.
    pub fn disable_watchdog(&self) {
        // SAFETY: a plain service call without data.
        let _ = call(|| unsafe { (self.boot().set_watchdog_timer)(0, 0, 0, ptr::null()) });
    }

    /// Rate of the time-stamp counter, by the firmware's idea of half a millisecond. The shortest of a few:
    /// what gets in between (an SMI, another program on the host) only ever makes it longer. 0 if the result
    /// is no rate that a CPU has.
    pub fn estimate_tsc_hz(&self) -> u64 {
        const MICROSECONDS: usize = 500;
        const CREDIBLE: core::ops::Range<u64> = 1_000_000..10_000_000_000;
        let sample = |_| {
            let before = tsc::read();
            // SAFETY: a plain service call.
            let status = call(|| unsafe { (self.boot().stall)(MICROSECONDS) });
            let ticks = tsc::read().saturating_sub(before);
            (status == Status::SUCCESS).then_some(ticks * (1_000_000 / MICROSECONDS as u64))
        };
        let hz = (0..5).filter_map(sample).min().unwrap_or(0);
        if CREDIBLE.contains(&hz) { hz } else { 0 }
    }

    /// A protocol of a handle.
    pub fn protocol<P>(&self, handle: Handle, guid: &Guid) -> Result<NonNull<P>, Status> {
        let mut found: *mut c_void = ptr::null_mut();
        // SAFETY: the out pointer is ours; the caller pairs GUID and type.
        let status = call(|| unsafe { (self.boot().handle_protocol)(handle, guid, &mut found) });
        match NonNull::new(found.cast()) {
            Some(protocol) if status == Status::SUCCESS => Ok(protocol),
            _ if status == Status::SUCCESS => Err(Status::UNSUPPORTED),
            _ => Err(status),
        }
    }

    /// The first instance of a protocol in the system.
    pub fn locate<P>(&self, guid: &Guid) -> Result<NonNull<P>, Status> {
        let mut found: *mut c_void = ptr::null_mut();
        // SAFETY: as in `protocol`.
        let status = call(|| unsafe { (self.boot().locate_protocol)(guid, ptr::null_mut(), &mut found) });
        match NonNull::new(found.cast()) {
            Some(protocol) if status == Status::SUCCESS => Ok(protocol),
            _ if status == Status::SUCCESS => Err(Status::UNSUPPORTED),
            _ => Err(status),
        }
    }

    /// Up to `N` handles that carry a protocol.
    pub fn handles<const N: usize>(&self, guid: &Guid) -> ([Handle; N], usize) {
        const BY_PROTOCOL: i32 = 2;
        let mut handles = [ptr::null_mut(); N];
        let mut bytes = size_of_val(&handles);
        // SAFETY: the buffer is ours and `bytes` long.
        let status = call(|| unsafe {
            (self.boot().locate_handle)(BY_PROTOCOL, guid, ptr::null(), &mut bytes, handles.as_mut_ptr())
        });
        // Too many to fit: the firmware has written none.
        let count = if status == Status::SUCCESS { bytes / size_of::<Handle>() } else { 0 };
        (handles, count.min(N))
    }

    /// The protocol that describes this program.
    pub fn loaded_image(&self) -> Result<&LoadedImageProtocol, Failure> {
        self.protocol::<LoadedImageProtocol>(self.image, &LoadedImageProtocol::GUID)
            // SAFETY: the protocol stays while this image runs.
            .map(|protocol| unsafe { protocol.as_ref() })
            .map_err(|status| Failure::firmware("LoadedImage protocol", "not to be had", status))
    }

    /// What the boot manager or the shell passed to this program.
    pub fn load_options(&self) -> &[u8] {
        match self.loaded_image() {
            Ok(image) if !image.load_options.is_null() => {
                // SAFETY: the firmware keeps that many bytes there while this image runs.
                unsafe {
                    core::slice::from_raw_parts(image.load_options.cast(), image.load_options_size as usize)
                }
            }
            _ => &[],
        }
    }

    /// Pages of memory, with whatever was in them, that stay ours until the firmware is gone, and as our
    /// `OwnRange` after.
    pub fn allocate(&self, kind: MemoryType, bytes: u64) -> Result<&'static mut [u8], Status> {
        self.allocate_pages(AllocateType::AnyPages, kind, bytes, 0)
    }

    /// The same, ending at or below `last`.
    pub fn allocate_below(
        &self,
        last: u64,
        kind: MemoryType,
        bytes: u64,
    ) -> Result<&'static mut [u8], Status> {
        self.allocate_pages(AllocateType::MaxAddress, kind, bytes, last)
    }

    fn allocate_pages(
        &self,
        how: AllocateType,
        kind: MemoryType,
        bytes: u64,
        last: u64,
    ) -> Result<&'static mut [u8], Status> {
        let pages = bytes.div_ceil(PAGE_SIZE).max(1) as usize;
        let mut address = last;
        // SAFETY: a plain service call; the out pointer is ours.
        let status = call(|| unsafe { (self.boot().allocate_pages)(how as u32, kind, pages, &mut address) });
        if status != Status::SUCCESS {
            return Err(status);
        }
        if address == 0 {
            // Free memory like any other to the firmware, but no place for a reference.
            // SAFETY: just allocated, and not used.
            let _ = call(|| unsafe { (self.boot().free_pages)(address, pages) });
            return Err(Status::OUT_OF_RESOURCES);
        }
        // SAFETY: the firmware has just given us these pages, mapped one to one; nobody else uses them, and
        // memory that came from outside the program has some value in every byte.
        Ok(unsafe { core::slice::from_raw_parts_mut(address as *mut u8, pages * PAGE_SIZE as usize) })
    }

    /// Resets the machine, by the runtime services: the only way back once boot services are half gone.
    pub fn reset(&self) -> ! {
        // SAFETY: runtime services stay, with their tables as they are, until SetVirtualAddressMap.
        unsafe {
            let runtime = &*self.system().runtime_services;
            (runtime.reset_system)(ResetType::COLD, Status::ABORTED, 0, ptr::null())
        }
    }

    /// Ends this program at once, from wherever it is.
    pub fn exit(&self, status: Status) -> ! {
        // SAFETY: our own image handle; the firmware cleans up after us.
        unsafe { (self.boot().exit)(self.image, status, 0, ptr::null_mut()) }
    }

    /// Waits until a key is pressed or some seconds have passed.
    pub fn wait_for_key(&self, seconds: u64) {
        let boot = self.boot();
        let input = self.system().stdin;
        let mut key = InputKey::default();
        let mut timer = ptr::null_mut();
        // SAFETY: plain service calls with out pointers of our own; `input` is the firmware's console, and
        // null where there is none. A key that was typed before is not an answer: the queue is read empty.
        unsafe {
            while !input.is_null() && ((*input).read_key_stroke)(input, &mut key) == Status::SUCCESS {}
            let status =
                (boot.create_event)(EventType::TIMER, Tpl::APPLICATION, None, ptr::null_mut(), &mut timer);
            if status != Status::SUCCESS {
                let _ = (boot.stall)(seconds as usize * 1_000_000);
                return;
            }
            // In units of 100 ns.
            let _ = (boot.set_timer)(timer, TimerDelay::RELATIVE, seconds * 10_000_000);
            let mut events = [timer, ptr::null_mut()];
            let mut count = 1;
            if !input.is_null() {
                events[1] = (*input).wait_for_key;
                count = 2;
            }
            let mut which = 0;
            let _ = (boot.wait_for_event)(count, events.as_mut_ptr(), &mut which);
            let _ = (boot.close_event)(timer);
        }
    }
}
