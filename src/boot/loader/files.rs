//! Files on the volume that this program came from.
//! Source: UEFI 2.10 §13.4 (simple file system), §13.5 (file protocol).

use super::error::{Failure, Reason};
use super::firmware::{Firmware, call};
use core::ptr::{self, NonNull};
use uefi_raw::Status;
use uefi_raw::protocol::file_system::{
    FileAttribute, FileInfo, FileMode, FileProtocolV1, SimpleFileSystemProtocol,
};
use uefi_raw::table::boot::MemoryType;

/// Longest path, in UTF-16 units, with its terminating zero.
const PATH_MAX: usize = 256;
/// Bytes asked for at once. Firmware reads a file fastest in one piece, but some fails above a gigabyte.
const CHUNK: usize = 64 << 20;

/// The root directory of our own volume.
pub struct Volume {
    root: NonNull<FileProtocolV1>,
}

/// A file, read whole.
pub struct File {
    pages: &'static [u8],
    len: usize,
}

impl File {
    pub fn bytes(&self) -> &'static [u8] {
        &self.pages[..self.len]
    }
}

/// An open file that closes itself.
struct Open(NonNull<FileProtocolV1>);

impl Drop for Open {
    fn drop(&mut self) {
        let file = self.0.as_ptr();
        // SAFETY: opened by us and not closed yet.
        let _ = call(|| unsafe { ((*file).close)(file) });
    }
}

impl Volume {
    /// Finds it by the device that LoadedImage names.
    pub fn open(firmware: &Firmware) -> Result<Self, Failure> {
        let device = firmware.loaded_image()?.device_handle;
        if device.is_null() {
            return Err(Failure::new(
                "our own volume",
                Reason::Text("the firmware does not say where this program is from"),
            ));
        }
        let fail = |status| {
            Failure::firmware("our own volume", "no file system on the device this program is from", status)
        };
        let fs = firmware
            .protocol::<SimpleFileSystemProtocol>(device, &SimpleFileSystemProtocol::GUID)
            .map_err(fail)?;
        let mut root = ptr::null_mut();
        // SAFETY: the protocol is valid, the out pointer ours.
        let status = call(|| unsafe { (fs.as_ref().open_volume)(fs.as_ptr(), &mut root) });
        match NonNull::new(root) {
            Some(root) if status == Status::SUCCESS => Ok(Self { root }),
            _ => Err(Failure::firmware("our own volume", "cannot open", status)),
        }
    }

    /// Reads a file whole. `/` in the name is taken for `\`, and a leading one may be left out.
    pub fn read(&self, firmware: &Firmware, name: &str) -> Result<File, Failure> {
        let file = self.open_file(name)?;
        let len = size(&file, name)?;
        let fail = |reason, status| Failure::firmware(name, reason, status);
        let pages = firmware
            .allocate(MemoryType::LOADER_DATA, len as u64)
            .map_err(|status| fail("no memory for it", status))?;
        let mut done = 0;
        while done < len {
            let mut count = (len - done).min(CHUNK);
            let into = pages[done..len].as_mut_ptr();
            // SAFETY: `count` bytes are left at `into`.
            let status = call(|| unsafe { (file.0.as_ref().read)(file.0.as_ptr(), &mut count, into.cast()) });
            if status != Status::SUCCESS {
                return Err(fail("cannot read", status));
            }
            if count == 0 {
                return Err(Failure::new(name, Reason::Text("ends before its size says")));
            }
            done += count.min(len - done);
        }
        Ok(File { pages, len })
    }

    fn open_file(&self, name: &str) -> Result<Open, Failure> {
        let mut path = [0u16; PATH_MAX];
        let backslash = (!name.starts_with(['\\', '/'])).then_some(u16::from(b'\\'));
        let units =
            name.encode_utf16().map(|unit| if unit == u16::from(b'/') { u16::from(b'\\') } else { unit });
        for (at, unit) in backslash.into_iter().chain(units).enumerate() {
            // The last one stays the terminating zero.
            if at == PATH_MAX - 1 {
                return Err(Failure::new(name, Reason::Text("the name is too long")));
            }
            path[at] = unit;
        }
        let mut file = ptr::null_mut();
        // SAFETY: the volume is open, the path ends in a zero, the out pointer is ours.
        let status = call(|| unsafe {
            (self.root.as_ref().open)(
                self.root.as_ptr(),
                &mut file,
                path.as_ptr(),
                FileMode::READ,
                FileAttribute::empty(),
            )
        });
        match NonNull::new(file) {
            Some(file) if status == Status::SUCCESS => Ok(Open(file)),
            _ => Err(Failure::firmware(name, "cannot open", status)),
        }
    }
}

/// Size of an open file in bytes.
fn size(file: &Open, name: &str) -> Result<usize, Failure> {
    /// FileInfo is followed by the name, which is at most 255 units on FAT.
    #[repr(C)]
    struct Buffer {
        info: FileInfo,
        name: [u16; PATH_MAX],
    }
    let mut buffer = core::mem::MaybeUninit::<Buffer>::zeroed();
    let mut len = size_of::<Buffer>();
    // SAFETY: the buffer is `len` bytes long and aligned for FileInfo.
    let status = call(|| unsafe {
        (file.0.as_ref().get_info)(file.0.as_ptr(), &FileInfo::ID, &mut len, buffer.as_mut_ptr().cast())
    });
    if status != Status::SUCCESS {
        return Err(Failure::firmware(name, "cannot ask for its size", status));
    }
    // SAFETY: zeroed, then filled by the firmware; all fields are integers.
    let info = unsafe { &(*buffer.as_ptr()).info };
    if info.attribute.contains(FileAttribute::DIRECTORY) {
        return Err(Failure::new(name, Reason::Text("is a directory")));
    }
    usize::try_from(info.file_size).map_err(|_| Failure::new(name, Reason::Text("larger than memory")))
}
