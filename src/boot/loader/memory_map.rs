//! The firmware's memory map.
//! Source: UEFI 2.10 §7.2.3 (GetMemoryMap).

use super::super::memmap::Descriptor;
use super::error::Failure;
use super::firmware::{Firmware, call};
use uefi_raw::Status;
use uefi_raw::table::boot::{MemoryDescriptor, MemoryType};

/// The firmware's memory map, in a buffer with room for it to grow.
pub struct MemoryMap {
    buffer: &'static mut [u8],
    len: usize,
    descriptor_size: usize,
    /// Names this state of the map to ExitBootServices.
    pub key: usize,
}

/// Descriptors by which the map may still grow: each allocation splits one, and so do event handlers in
/// ExitBootServices.
pub const SPARE_DESCRIPTORS: usize = 64;

impl MemoryMap {
    /// Gets a buffer that is large enough, and the map.
    pub fn new(firmware: &Firmware) -> Result<Self, Failure> {
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
    pub fn fetch(&mut self, firmware: &Firmware) -> Status {
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
    pub fn descriptors(&self) -> impl Iterator<Item = Descriptor> + Clone + '_ {
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

    pub fn count(&self) -> usize {
        self.len / self.descriptor_size
    }
}
