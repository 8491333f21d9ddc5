//! What a piece of memory is to us, by what the firmware says of it, and whom to believe if it says two things.
//!
//! [`super::normalise`] asks here for each descriptor. The rule throughout: doubt goes against using memory.
//!
//! Source: UEFI 2.10 §7.2.3 GetMemoryMap() and table 7.10 "Memory Type Usage after ExitBootServices()".

use super::super::info::MemoryKind;

/// EFI_MEMORY_WB: the memory may be cached write-back.
pub const EFI_MEMORY_WB: u64 = 1 << 3;
/// EFI_MEMORY_SP: meant for a specific purpose.
pub const EFI_MEMORY_SP: u64 = 1 << 18;
/// EFI_MEMORY_RUNTIME: the runtime services need it mapped.
pub const EFI_MEMORY_RUNTIME: u64 = 1 << 63;
/// EFI_MEMORY_UC, WC, WT, WB and UCE: what the memory can do, rather than what it must.
pub const EFI_CACHEABILITY_MASK: u64 = 0x1F;

/// The kinds that the firmware can tell us of, from the least restrictive. Where descriptors contradict
/// each other, the later kind wins, because the damage done by believing the other one is greater:
///
/// 1. `Usable`, `BootServices`: believing it wrongly means to write there. The second comes after the
///    first because it must wait until the kernel stands on its own.
/// 2. `AcpiReclaim`, `AcpiNvs`, `Runtime`: RAM whose content somebody needs: for a while; for ever;
///    for ever, and executed by us.
/// 3. `Persistent`, `Mmio`, `Reserved`: not to be in the direct map at all. The first two have an owner
///    who may map them, a disk driver and a device driver (where even reading has effects); the third
///    is mapped only if some other table names an address in it.
/// 4. `Unusable`: nobody may map it for any reason. A machine check is not to be reasoned with.
pub(super) const BY_RESTRICTION: [MemoryKind; 9] = [
    MemoryKind::Usable,
    MemoryKind::BootServices,
    MemoryKind::AcpiReclaim,
    MemoryKind::AcpiNvs,
    MemoryKind::Runtime,
    MemoryKind::Persistent,
    MemoryKind::Mmio,
    MemoryKind::Reserved,
    MemoryKind::Unusable,
];

pub(super) fn restriction(kind: MemoryKind) -> usize {
    BY_RESTRICTION.iter().position(|&k| k == kind).unwrap_or(BY_RESTRICTION.len())
}

/// Whether the kernel's allocator will get such memory at some time.
pub(super) const fn is_free(kind: MemoryKind) -> bool {
    matches!(kind, MemoryKind::Usable | MemoryKind::BootServices)
}

pub(super) const fn is_own(kind: MemoryKind) -> bool {
    matches!(
        kind,
        MemoryKind::Kernel
            | MemoryKind::PageTables
            | MemoryKind::BootInfo
            | MemoryKind::Initrd
            | MemoryKind::Trampoline
    )
}

/// The kind of one descriptor, by EFI_MEMORY_TYPE and attributes.
pub const fn kind_of(efi_type: u32, attributes: u64) -> MemoryKind {
    let kind = match efi_type {
        // EfiLoaderCode and EfiLoaderData: the loader itself, and what it has allocated. What of that is
        // to last is an own range; the rest goes the way of EfiBootServicesCode and EfiBootServicesData.
        1..=4 => MemoryKind::BootServices,
        5 | 6 => MemoryKind::Runtime,
        7 => MemoryKind::Usable,
        8 => MemoryKind::Unusable,
        9 => MemoryKind::AcpiReclaim,
        10 => MemoryKind::AcpiNvs,
        11 | 12 => MemoryKind::Mmio,
        14 => MemoryKind::Persistent,
        // EfiReservedMemoryType, EfiPalCode (of another architecture), EfiUnacceptedMemoryType (in a
        // confidential guest, touching it before accepting it ends the guest), and the ranges of OEMs
        // and of other systems' loaders, from 0x7000_0000.
        _ => MemoryKind::Reserved,
    };
    if kind.is_ram() && attributes & EFI_MEMORY_RUNTIME != 0 {
        return MemoryKind::Runtime;
    }
    // The allocator's pages are mapped write-back, so memory that cannot be is none of them. And memory
    // for a specific purpose is fast or large memory beside the machine's own that waits for a driver
    // who knows what it is for: the first kernel page that lands in it would keep it from that driver
    // for good. Linux decides both the same way, for the same types.
    let is_general = attributes & EFI_MEMORY_WB != 0 && attributes & EFI_MEMORY_SP == 0;
    if is_free(kind) && !is_general { MemoryKind::Reserved } else { kind }
}
