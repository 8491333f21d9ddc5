//! `BootInfo`: all that the loader tells the kernel, in one structure.
//!
//! The loader fills it after its last firmware call and passes its address; the kernel checks magic,
//! version and size, and trusts the rest. Every address in it is physical unless its name says otherwise,
//! so that it means the same before and after the page tables change. What it points to (memory map,
//! command line) lies in the same run of pages, the region of kind [`MemoryKind::BootInfo`].
//!
//! Layout is `repr(C)` with fixed-width fields and no padding, because two separate compilations read it.

/// "SISBOOT" and a zero byte, as a little-endian number.
pub const MAGIC: u64 = u64::from_le_bytes(*b"SISBOOT\0");
/// Raised whenever a field moves or changes its meaning.
pub const VERSION: u32 = 1;

/// The hand-over structure.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BootInfo {
    /// [`MAGIC`].
    pub magic: u64,
    /// [`VERSION`].
    pub version: u32,
    /// `size_of::<BootInfo>()` as the loader knew it.
    pub size: u32,

    /// Physical address of the first byte of the kernel image; it is contiguous.
    pub kernel_phys: u64,
    /// Where that byte is linked: [`super::layout::KERNEL_BASE`] or above.
    pub kernel_virt: u64,
    /// Bytes of the image from its first to past its last page.
    pub kernel_len: u64,
    /// Physical address of the PML4 in CR3.
    pub page_table_root: u64,

    /// Array of [`MemoryRegion`], ascending, without overlap, gaps left out.
    pub regions: PhysSlice,
    /// The command line, UTF-8, without a trailing zero.
    pub cmdline: PhysSlice,
    /// The initial RAM disk; length 0 if there is none.
    pub initrd: PhysSlice,

    /// ACPI root pointer; 0 if the firmware names none.
    pub rsdp: u64,
    /// EFI system table; its boot services are gone.
    pub efi_system_table: u64,
    /// One free page below 1 MiB, kept for starting the other processors; 0 if there was none.
    pub trampoline: u64,

    /// Framebuffer; `base` is 0 if there is none.
    pub framebuffer: Framebuffer,

    /// The UART that the firmware speaks through.
    pub serial: Serial,

    /// Time stamps of the loader.
    pub times: BootTimes,
}

/// A run of bytes (or of elements, where the field says so) in physical memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PhysSlice {
    /// Physical address of the first element.
    pub addr: u64,
    /// Number of elements (bytes for text and images).
    pub len: u64,
}

/// What a run of pages holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum MemoryKind {
    /// RAM that nobody uses.
    Usable = 1,
    /// RAM of boot services and of the loader: free once CR3, GDT, IDT and stack are the kernel's own.
    BootServices = 2,
    /// The kernel image.
    Kernel = 3,
    /// Page tables that the loader built; in use while they are in CR3.
    PageTables = 4,
    /// This structure, the memory map and the command line.
    BootInfo = 5,
    /// The initial RAM disk.
    Initrd = 6,
    /// The page for starting the other processors.
    Trampoline = 7,
    /// ACPI tables; may be reused once they have been read.
    AcpiReclaim = 8,
    /// ACPI's own storage; never to be touched.
    AcpiNvs = 9,
    /// Code and data of the UEFI runtime services.
    Runtime = 10,
    /// RAM that the firmware reports as faulty.
    Unusable = 11,
    /// Memory that keeps its content without power.
    Persistent = 12,
    /// Device registers, as far as the firmware lists them.
    Mmio = 13,
    /// Everything else that must be left alone.
    Reserved = 14,
}

impl MemoryKind {
    /// Whether this is RAM that belongs in the direct map. ACPI tables and the runtime services' data are:
    /// the kernel reads them. Reserved ranges and device registers are not.
    pub const fn is_ram(self) -> bool {
        !matches!(self, Self::Unusable | Self::Persistent | Self::Mmio | Self::Reserved)
    }

    /// Short name for `memmap`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Usable => "usable",
            Self::BootServices => "boot services",
            Self::Kernel => "kernel image",
            Self::PageTables => "page tables",
            Self::BootInfo => "boot info",
            Self::Initrd => "initrd",
            Self::Trampoline => "AP trampoline",
            Self::AcpiReclaim => "ACPI tables",
            Self::AcpiNvs => "ACPI NVS",
            Self::Runtime => "UEFI runtime",
            Self::Unusable => "unusable",
            Self::Persistent => "persistent",
            Self::Mmio => "device MMIO",
            Self::Reserved => "reserved",
        }
    }
}

/// A run of pages of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct MemoryRegion {
    /// Physical address, page-aligned.
    pub start: u64,
    /// Number of 4 KiB pages, at least 1.
    pub pages: u64,
    /// What it holds.
    pub kind: MemoryKind,
    /// Always 0.
    pub reserved: u32,
    /// EFI_MEMORY_* attribute bits as the firmware gave them (UEFI 2.10 §7.2.3).
    pub attributes: u64,
}

impl MemoryRegion {
    /// First address past the region.
    pub const fn end(&self) -> u64 {
        self.start + self.pages * super::layout::PAGE_SIZE
    }
}

/// A linear framebuffer with 32 bits a pixel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Framebuffer {
    /// Physical address of pixel (0, 0); 0 if there is no framebuffer.
    pub base: u64,
    /// Bytes.
    pub len: u64,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Pixels from one line to the next.
    pub stride: u32,
    /// Bits of red in a pixel.
    pub red_mask: u32,
    /// Bits of green in a pixel.
    pub green_mask: u32,
    /// Bits of blue in a pixel.
    pub blue_mask: u32,
}

/// The UART of the firmware's console.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Serial {
    /// I/O port of its first register; 0 if the firmware named none.
    pub port: u32,
    /// Bits a second the firmware runs it at; 0 if unknown.
    pub baud: u32,
}

/// Time-stamp counter readings of the loader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct BootTimes {
    /// The loader's first instruction in Rust.
    pub loader_start: u64,
    /// After ExitBootServices returned.
    pub exit_boot_services: u64,
    /// Ticks spent inside firmware calls between the two.
    pub in_firmware: u64,
    /// Ticks a second, estimated with Stall(); 0 if that failed.
    pub tsc_hz: u64,
}

/// What is wrong with a `BootInfo`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootInfoError {
    /// The address is not that of a `BootInfo`.
    Magic(u64),
    /// Loader and kernel are from different builds.
    Version(u32),
    /// As above.
    Size(u32),
}

impl BootInfo {
    /// What the kernel checks before it believes anything else in here.
    pub fn check(&self) -> Result<(), BootInfoError> {
        if self.magic != MAGIC {
            Err(BootInfoError::Magic(self.magic))
        } else if self.version != VERSION {
            Err(BootInfoError::Version(self.version))
        } else if self.size as usize != size_of::<BootInfo>() {
            Err(BootInfoError::Size(self.size))
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_padding_anywhere() {
        // The sum of the field sizes: a hole would hold whatever was in memory before.
        assert_eq!(size_of::<BootInfo>(), 8 + 4 + 4 + 4 * 8 + 3 * 16 + 3 * 8 + 40 + 8 + 32);
        assert_eq!(size_of::<MemoryRegion>(), 32);
    }

    #[test]
    fn a_foreign_structure_is_refused() {
        // SAFETY: every field is an integer or a structure of integers, for which zero is a value.
        let mut info: BootInfo = unsafe { core::mem::zeroed() };
        assert_eq!(info.check(), Err(BootInfoError::Magic(0)));
        info.magic = MAGIC;
        assert_eq!(info.check(), Err(BootInfoError::Version(0)));
        info.version = VERSION;
        assert_eq!(info.check(), Err(BootInfoError::Size(0)));
        info.size = size_of::<BootInfo>() as u32;
        assert_eq!(info.check(), Ok(()));
    }
}
