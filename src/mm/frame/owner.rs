//! Whose a frame can be. Written down in its [`super::FrameInfo`], and shown by the monitor.

/// Whose a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Owner {
    /// Not RAM, or RAM that may not be used; or inside of a block, whose first frame knows more.
    Reserved = 0,
    /// In a free list.
    Free,
    /// Free, in a CPU's cache.
    CpuCache,
    /// Firmware's for ever: runtime services, ACPI's own storage.
    Firmware,
    /// ACPI tables, which could be reused by somebody who has read them.
    Acpi,
    /// The kernel's image.
    KernelImage,
    /// What the loader left: boot info, memory map, the trampoline's page.
    Boot,
    /// The initial RAM disk.
    Initrd,
    /// The array of [`FrameInfo`].
    FrameTable,
    /// A page table.
    PageTable,
    /// The heap's: a slab of small objects.
    Slab,
    /// The kernel's, mapped page by page.
    Vmalloc,
    /// A kernel stack, or a per-CPU area.
    Stack,
    /// A user program's, with no file behind it.
    Anonymous,
    /// A piece of a file.
    PageCache,
    /// A device reads and writes it.
    Dma,
    /// Whatever has no kind of its own.
    Kernel,
}

impl Owner {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 17] = [
        Self::Reserved,
        Self::Free,
        Self::CpuCache,
        Self::Firmware,
        Self::Acpi,
        Self::KernelImage,
        Self::Boot,
        Self::Initrd,
        Self::FrameTable,
        Self::PageTable,
        Self::Slab,
        Self::Vmalloc,
        Self::Stack,
        Self::Anonymous,
        Self::PageCache,
        Self::Dma,
        Self::Kernel,
    ];

    /// Whether somebody has it: it is no hole, and not free.
    #[inline]
    pub const fn is_holder(self) -> bool {
        self as u8 > Self::CpuCache as u8
    }

    /// Short name, for lists.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Free => "free",
            Self::CpuCache => "CPU's cache",
            Self::Firmware => "firmware",
            Self::Acpi => "ACPI tables",
            Self::KernelImage => "kernel image",
            Self::Boot => "boot data",
            Self::Initrd => "initrd",
            Self::FrameTable => "frame table",
            Self::PageTable => "page table",
            Self::Slab => "slab",
            Self::Vmalloc => "vmalloc",
            Self::Stack => "stack",
            Self::Anonymous => "anonymous",
            Self::PageCache => "page cache",
            Self::Dma => "DMA",
            Self::Kernel => "kernel",
        }
    }
}
