//! What only the firmware can tell: ACPI's root pointer, the framebuffer, the serial port.
//! None of them is needed to boot; a missing one is reported and left out.
//! Source: UEFI 2.10 §4.6 (configuration tables), §12.9 (graphics output), §10.3.3 (ACPI device paths).

use super::firmware::{Firmware, call};
use crate::arch::x86_64::port::{COM1, COM2};
use crate::boot::info::{Framebuffer, Serial};
use crate::boot::layout::{ECAM_BASE, MMIO_BASE};
use uefi_raw::protocol::console::serial::SerialIoProtocol;
use uefi_raw::protocol::console::{
    GraphicsOutputModeInformation, GraphicsOutputProtocol, GraphicsPixelFormat,
};
use uefi_raw::protocol::device_path::{DevicePathProtocol, DeviceSubType, DeviceType};
use uefi_raw::{Guid, Handle, Status, guid};

/// ACPI 2.0 and later: an RSDP with a 64-bit address in it.
const ACPI_20: Guid = guid!("8868e871-e4f1-11d3-bc22-0080c73c8881");
/// ACPI 1.0: the RSDP of 20 bytes.
const ACPI_10: Guid = guid!("eb9d2d30-2d88-11d3-9a16-0090273fc14d");

pub struct Devices {
    /// Physical address; 0 if none.
    pub rsdp: u64,
    pub framebuffer: Framebuffer,
    pub serial: Serial,
}

/// Looks for all three, with `video` as the wanted size of the screen.
pub fn collect(firmware: &Firmware, video: Option<(u32, u32)>) -> Devices {
    let devices =
        Devices { rsdp: rsdp(firmware), framebuffer: framebuffer(firmware, video), serial: serial(firmware) };
    if devices.rsdp == 0 {
        say!("warning: ACPI: the firmware has no root pointer");
    }
    match devices.framebuffer {
        Framebuffer { base: 0, .. } => say!("no framebuffer"),
        fb => say!("framebuffer {}x{} at {:#x}", fb.width, fb.height, fb.base),
    }
    devices
}

/// The newest root pointer there is.
fn rsdp(firmware: &Firmware) -> u64 {
    let tables = firmware.configuration_tables();
    let find =
        |guid| tables.iter().find(|table| table.vendor_guid == guid).map(|table| table.vendor_table as u64);
    find(ACPI_20).or_else(|| find(ACPI_10)).unwrap_or(0)
}

fn framebuffer(firmware: &Firmware, video: Option<(u32, u32)>) -> Framebuffer {
    let Ok(graphics) = firmware.locate::<GraphicsOutputProtocol>(&GraphicsOutputProtocol::GUID) else {
        return Framebuffer::default();
    };
    if let Some(size) = video {
        set_mode(graphics.as_ptr(), size);
    }
    // SAFETY: the firmware keeps the mode and its description valid while boot services run.
    unsafe {
        let mode = graphics.as_ref().mode;
        if mode.is_null() || (*mode).info.is_null() {
            return Framebuffer::default();
        }
        describe((*mode).frame_buffer_base, (*mode).frame_buffer_size as u64, &*(*mode).info)
    }
}

/// Switches to the mode of that size, if there is one with a framebuffer.
fn set_mode(graphics: *mut GraphicsOutputProtocol, (width, height): (u32, u32)) {
    // SAFETY: `graphics` is a live protocol; out pointers are ours; the description that QueryMode allocates
    // is read at once, and its few bytes go back with boot services memory.
    unsafe {
        let mode = (*graphics).mode;
        let count = if mode.is_null() { 0 } else { (*mode).max_mode };
        for number in 0..count {
            let (mut len, mut info) = (0, core::ptr::null());
            let status = call(|| ((*graphics).query_mode)(graphics, number, &mut len, &mut info));
            if status != Status::SUCCESS || info.is_null() || len < size_of::<GraphicsOutputModeInformation>()
            {
                continue;
            }
            let info: &GraphicsOutputModeInformation = &*info;
            if (info.horizontal_resolution, info.vertical_resolution) != (width, height)
                || masks(info).is_none()
            {
                continue;
            }
            if (*mode).mode == number || call(|| ((*graphics).set_mode)(graphics, number)) == Status::SUCCESS
            {
                return;
            }
        }
    }
    say!("warning: video={width}x{height}: no such mode; the firmware's stays");
}

/// The bits of red, green and blue; `None` for a mode without 32-bit pixels in memory.
fn masks(info: &GraphicsOutputModeInformation) -> Option<[u32; 3]> {
    match info.pixel_format {
        GraphicsPixelFormat::PIXEL_RED_GREEN_BLUE_RESERVED_8_BIT_PER_COLOR => Some([0xFF, 0xFF00, 0xFF_0000]),
        GraphicsPixelFormat::PIXEL_BLUE_GREEN_RED_RESERVED_8_BIT_PER_COLOR => Some([0xFF_0000, 0xFF00, 0xFF]),
        GraphicsPixelFormat::PIXEL_BIT_MASK => {
            let mask = info.pixel_information;
            // All four together say how wide a pixel is.
            let all = mask.red | mask.green | mask.blue | mask.reserved;
            (all.leading_zeros() < 8).then_some([mask.red, mask.green, mask.blue])
        }
        _ => None,
    }
}

/// The framebuffer of the current mode, if it is as large as it says.
fn describe(base: u64, len: u64, info: &GraphicsOutputModeInformation) -> Framebuffer {
    let (width, height) = (info.horizontal_resolution, info.vertical_resolution);
    let stride = info.pixels_per_scan_line;
    let needed = u64::from(stride) * u64::from(height) * 4;
    let Some([red_mask, green_mask, blue_mask]) = masks(info) else { return Framebuffer::default() };
    // Far above any real bus address, but the window for devices ends there.
    let end = base.checked_add(needed).filter(|&end| end <= ECAM_BASE - MMIO_BASE);
    if end.is_none()
        || base == 0
        || base % 4 != 0
        || width == 0
        || height == 0
        || stride < width
        || len < needed
    {
        return Framebuffer::default();
    }
    Framebuffer { base, len: needed, width, height, stride, red_mask, green_mask, blue_mask }
}

/// The UART behind the firmware's serial console: the first that is one of the PC's two.
fn serial(firmware: &Firmware) -> Serial {
    let (handles, count) = firmware.handles::<32>(&SerialIoProtocol::GUID);
    for &handle in &handles[..count] {
        let Some(port) = uart_port_of(firmware, handle) else { continue };
        let mut baud = 0;
        if let Ok(serial) = firmware.protocol::<SerialIoProtocol>(handle, &SerialIoProtocol::GUID) {
            // SAFETY: the protocol and its mode are valid while boot services run.
            unsafe {
                let mode = serial.as_ref().mode;
                if !mode.is_null() {
                    baud = u32::try_from((*mode).baud_rate).unwrap_or(0);
                }
            }
        }
        return Serial { port: port.into(), baud };
    }
    Serial::default()
}

/// The I/O port of the UART behind a handle, if it is one of the PC's two.
pub fn uart_port_of(firmware: &Firmware, handle: Handle) -> Option<u16> {
    let path = firmware.protocol::<DevicePathProtocol>(handle, &DevicePathProtocol::GUID).ok()?;
    uart_port(path.as_ptr())
}

/// Finds `Acpi(PNP0501, n)` in a device path: COM1 is number 0.
fn uart_port(mut node: *const DevicePathProtocol) -> Option<u16> {
    /// PNP0501, a 16550-compatible UART, as a compressed EISA id.
    const PNP0501: u32 = 0x0501_41D0;
    const ACPI_HID: DeviceSubType = DeviceSubType(1);
    // A device path has a few nodes; a longer one is broken.
    for _ in 0..32 {
        // SAFETY: the firmware's device paths consist of nodes that begin with their length and end with an
        // end node, which stops this walk. Node fields are read unaligned.
        unsafe {
            let header = node.read_unaligned();
            let len = usize::from(header.length());
            if header.major_type == DeviceType::END || len < 4 {
                return None;
            }
            if header.major_type == DeviceType::ACPI && header.sub_type == ACPI_HID && len >= 12 {
                let [hid, uid] = node.byte_add(4).cast::<[u32; 2]>().read_unaligned();
                match (hid, uid) {
                    (PNP0501, 0) => return Some(COM1),
                    (PNP0501, 1) => return Some(COM2),
                    _ => {}
                }
            }
            node = node.byte_add(len);
        }
    }
    None
}
