//! The UEFI loader: from the firmware's hands to the kernel's first instruction.
//!
//! Each step prints one line. In order:
//!
//! 1. [`firmware`]: the system table, the clock, and what CPU this is.
//! 2. [`files`]: our own volume, `\cmdline.txt`, `\kernel.elf`, and the initrd if one is asked for.
//! 3. [`devices`]: ACPI's root pointer, the framebuffer, the serial port.
//! 4. [`handover`]: the kernel's pages, its page [`tables`], `BootInfo`, ExitBootServices, the jump.
//!
//! Up to ExitBootServices any failure is one line on the console and a return to the firmware. Firmware
//! calls all go through [`firmware::call`], which adds up the time they take: most of the time before the
//! kernel is theirs.
//!
//! Source: UEFI specification 2.10 §4 (system table), §7 (boot services), §13 (files).

// Errors carry a file's name and are made once, on the way out: nobody copies them in a loop, and there is no heap
// to put them on.
#![allow(clippy::result_large_err)]

#[macro_use]
mod console;
mod devices;
mod error;
mod files;
mod firmware;
mod handover;
mod memory_map;
mod tables;

use super::cmdline::{self, CommandLine, MAX_LEN};
use super::elf::{Image, Window};
use crate::arch::x86_64::cpu::Features;
use crate::arch::x86_64::cr::{self, Cr4};
use crate::arch::x86_64::tsc;
use error::{Failure, Reason};
use firmware::Firmware;
use spin::Mutex;
use uefi_raw::table::system::SystemTable;
use uefi_raw::{Handle, Status};

/// # Safety
/// Called once, by the firmware, with what it passes to an image's entry point.
pub unsafe fn main(image: Handle, system: *mut SystemTable) -> Status {
    let start = tsc::read();
    // SAFETY: as the caller says.
    let firmware = unsafe { Firmware::new(image, system) };
    *FIRMWARE.lock() = Some(firmware);
    console::init(&firmware);
    say!("SIS loader {}", env!("CARGO_PKG_VERSION"));
    let Err(failure) = run(&firmware, start);
    say!("error: {failure}");
    say!("returning to the firmware (any key, or 10 seconds)");
    firmware.wait_for_key(10);
    say!("returning to the firmware");
    failure.status.unwrap_or(Status::LOAD_ERROR)
}

/// Everything; returns only if something failed.
fn run(firmware: &Firmware, start: u64) -> Result<core::convert::Infallible, Failure> {
    firmware.disable_watchdog();
    let features = check_cpu()?;
    let tsc_hz = firmware.estimate_tsc_hz();

    let volume = files::Volume::open(firmware)?;
    let mut text = [0; MAX_LEN];
    let command_line = command_line(firmware, &volume, &mut text)?;
    let options = CommandLine::new(command_line);
    say!("command line: {command_line:?}");

    let file = volume.read(firmware, "\\kernel.elf")?;
    let image = Image::parse(file.bytes(), Window::KERNEL)
        .map_err(|error| Failure::new("\\kernel.elf", Reason::Elf(error)))?;
    say!(
        "\\kernel.elf: {} KiB, {} KiB in memory",
        file.bytes().len().div_ceil(1024),
        image.len_bytes() >> 10
    );
    let initrd = match options.initrd() {
        Some(name) => {
            let file = volume.read(firmware, name)?;
            say!("{name}: {} KiB", file.bytes().len().div_ceil(1024));
            Some(file)
        }
        None => None,
    };

    let video = options.video().unwrap_or_else(|bad| {
        say!("warning: {bad}");
        None
    });
    let devices = devices::collect(firmware, video);
    let loaded = handover::Loaded { image, initrd, command_line, devices, features, start, tsc_hz };
    handover::prepare(firmware, &loaded)?.enter(firmware)
}

/// Checks the CPU for what page tables and kernel rely on.
fn check_cpu() -> Result<Features, Failure> {
    let features = Features::detect();
    if !features.missing().is_empty() {
        return Err(Failure::new("CPU", Reason::MissingFeatures(features.missing())));
    }
    if Cr4::read().contains(Cr4::LA57) {
        return Err(Failure::new(
            "CPU",
            Reason::Text("the firmware runs with five-level paging, which this kernel does not support"),
        ));
    }
    Ok(features)
}

/// The command line: load options if they are text, else `\cmdline.txt`, else nothing.
fn command_line<'o>(
    firmware: &Firmware,
    volume: &files::Volume,
    out: &'o mut [u8],
) -> Result<&'o str, Failure> {
    const NAME: &str = "\\cmdline.txt";
    let options = firmware.load_options();
    if cmdline::load_options(options, out).is_some() {
        let decoded = cmdline::load_options(options, out).expect("it was some a line ago");
        if let Some(warning) = decoded.warning {
            say!("warning: load options: {warning}");
        }
        return Ok(decoded.text);
    }
    let file = match volume.read(firmware, NAME) {
        Ok(file) => file,
        Err(failure) if failure.status == Some(Status::NOT_FOUND) => {
            say!("warning: {NAME}: not there; the command line is empty");
            return Ok("");
        }
        Err(failure) => return Err(failure),
    };
    let decoded = cmdline::decode(file.bytes(), out);
    if let Some(warning) = decoded.warning {
        say!("warning: {NAME}: {warning}");
    }
    Ok(decoded.text)
}

/// For a panic, which gets no arguments. `None` before the start and after ExitBootServices.
static FIRMWARE: Mutex<Option<Firmware>> = Mutex::new(None);

/// From here on a panic has nobody to return to.
fn forget_firmware() {
    *FIRMWARE.lock() = None;
    console::firmware_is_gone();
}

/// A panic of the loader itself: a bug, but still not a silent one.
pub fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    console::force_unlock();
    say!("error: panic: {}", info.message());
    if let Some(at) = info.location() {
        say!("error: at {at}");
    }
    match FIRMWARE.lock().take() {
        Some(firmware) => {
            firmware.wait_for_key(10);
            firmware.exit(Status::ABORTED)
        }
        None => cr::wait_forever(),
    }
}
