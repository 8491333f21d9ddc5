//! How the parser gets at the bytes: through a trait that the platform implements.

/// Physical memory as far as firmware tables may lie in it.
///
/// In the kernel this is the direct map, limited to the memory map's regions; in tests, a dump.
pub trait PhysicalMemory {
    /// Exactly `len` bytes from the physical address `phys` on, or `None` if any of them cannot be read.
    /// The bytes must stay as they are for as long as the slice lives.
    fn read(&self, phys: u64, len: usize) -> Option<&[u8]>;
}
