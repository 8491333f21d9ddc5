//! What can go wrong before the kernel runs, in words.

use super::super::elf::ElfError;
use super::super::memmap;
use crate::arch::x86_64::cpu::Features;
use crate::arch::x86_64::paging::map;
use core::fmt;
use uefi_raw::Status;

/// A step that failed: `\kernel.elf: cannot open: EFI_NOT_FOUND`.
#[derive(Debug)]
pub struct Failure {
    /// The file or the step.
    pub what: Subject,
    pub reason: Reason,
    /// What the firmware answered, if it was the firmware.
    pub status: Option<Status>,
}

/// A file name or the name of a step; copied, because a name may come from the command line.
#[derive(Debug)]
pub struct Subject {
    bytes: [u8; 64],
    len: usize,
}

#[derive(Debug)]
pub enum Reason {
    Text(&'static str),
    Elf(ElfError),
    MemoryMap(memmap::MapError),
    PageTables(map::MapError),
    MissingFeatures(Features),
}

impl Failure {
    pub fn new(what: &str, reason: Reason) -> Self {
        let mut subject = Subject { bytes: [0; 64], len: 0 };
        for c in what.chars() {
            if subject.len + c.len_utf8() > subject.bytes.len() {
                break;
            }
            subject.len += c.encode_utf8(&mut subject.bytes[subject.len..]).len();
        }
        Self { what: subject, reason, status: None }
    }

    /// A firmware call that did not succeed.
    pub fn firmware(what: &str, reason: &'static str, status: Status) -> Self {
        Self { status: Some(status), ..Self::new(what, Reason::Text(reason)) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = core::str::from_utf8(&self.what.bytes[..self.what.len]).unwrap_or("?");
        write!(f, "{what}: {}", self.reason)?;
        match self.status {
            Some(status) => write!(f, ": {}", StatusName(status)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Elf(error) => error.fmt(f),
            Self::MemoryMap(error) => write!(f, "the firmware's map and ours do not agree: {error}"),
            Self::PageTables(map::MapError::OutOfMemory) => f.write_str("more tables needed than computed"),
            Self::PageTables(map::MapError::BadRange) => f.write_str("a range that cannot be mapped"),
            Self::PageTables(map::MapError::Occupied) => f.write_str("two ranges want one address"),
            Self::MissingFeatures(missing) => {
                f.write_str("this kernel needs features that the CPU does not have:")?;
                missing.names().try_for_each(|name| write!(f, " {name}"))
            }
        }
    }
}

/// A status by the name that the UEFI specification gives it (2.10 appendix D).
pub struct StatusName(pub Status);

impl fmt::Display for StatusName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Status::SUCCESS => "EFI_SUCCESS",
            Status::LOAD_ERROR => "EFI_LOAD_ERROR",
            Status::INVALID_PARAMETER => "EFI_INVALID_PARAMETER",
            Status::UNSUPPORTED => "EFI_UNSUPPORTED",
            Status::BAD_BUFFER_SIZE => "EFI_BAD_BUFFER_SIZE",
            Status::BUFFER_TOO_SMALL => "EFI_BUFFER_TOO_SMALL",
            Status::NOT_READY => "EFI_NOT_READY",
            Status::DEVICE_ERROR => "EFI_DEVICE_ERROR",
            Status::WRITE_PROTECTED => "EFI_WRITE_PROTECTED",
            Status::OUT_OF_RESOURCES => "EFI_OUT_OF_RESOURCES",
            Status::VOLUME_CORRUPTED => "EFI_VOLUME_CORRUPTED",
            Status::VOLUME_FULL => "EFI_VOLUME_FULL",
            Status::NO_MEDIA => "EFI_NO_MEDIA",
            Status::MEDIA_CHANGED => "EFI_MEDIA_CHANGED",
            Status::NOT_FOUND => "EFI_NOT_FOUND",
            Status::ACCESS_DENIED => "EFI_ACCESS_DENIED",
            Status::NO_RESPONSE => "EFI_NO_RESPONSE",
            Status::NO_MAPPING => "EFI_NO_MAPPING",
            Status::TIMEOUT => "EFI_TIMEOUT",
            Status::NOT_STARTED => "EFI_NOT_STARTED",
            Status::ALREADY_STARTED => "EFI_ALREADY_STARTED",
            Status::ABORTED => "EFI_ABORTED",
            Status::INCOMPATIBLE_VERSION => "EFI_INCOMPATIBLE_VERSION",
            Status::SECURITY_VIOLATION => "EFI_SECURITY_VIOLATION",
            Status::CRC_ERROR => "EFI_CRC_ERROR",
            Status::END_OF_MEDIA => "EFI_END_OF_MEDIA",
            Status::END_OF_FILE => "EFI_END_OF_FILE",
            Status::INVALID_LANGUAGE => "EFI_INVALID_LANGUAGE",
            Status::COMPROMISED_DATA => "EFI_COMPROMISED_DATA",
            other => return write!(f, "EFI status {:#x}", other.0),
        })
    }
}
