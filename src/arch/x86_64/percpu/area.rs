//! What the entry code and the interrupt path keep for each CPU: one per-CPU variable, [`PerCpu`].
//!
//! Pure definitions: build.rs compiles this file too, for the offsets that assembly needs.

use core::mem::offset_of;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Vectors, and so counters, a CPU has.
pub const VECTORS: usize = 256;

/// In [`PerCpu::preempt`]: nobody wants this CPU. Below it, how many parts of the code forbid to take it away. So the
/// word is 0 when a switch is both wanted and allowed, and one comparison tells.
pub const PREEMPT_NOT_WANTED: u32 = 1 << 31;

/// Written by its CPU alone; others may look at the counters.
#[repr(C)]
pub struct PerCpu {
    /// This CPU's GS base: what to add to a per-CPU variable's address for this CPU's copy.
    pub(super) gs_base: AtomicU64,
    /// 0 for the boot CPU.
    pub number: AtomicU32,
    /// Whether this CPU may be taken from the thread that runs, and whether it should be: see `arch::preempt`.
    pub preempt: AtomicU32,
    /// The thread that runs, for the layer that knows what a thread is; 0 before there are any.
    pub thread: AtomicU64,
    /// Interrupt handlers that are running, one inside the other.
    pub interrupt_depth: AtomicU32,
    /// Deferred work is being done, or waits to be: see `platform::pc::vectors`.
    pub in_deferred: AtomicBool,
    /// Something came that no HLT may sleep through, and that IF does not hold back: an NMI, a watchpoint. Set by
    /// their handlers; asm/idle.S looks at it last thing before HLT.
    pub woken: AtomicBool,
    /// Interrupts taken, by vector.
    pub counts: [AtomicU64; VECTORS],
    /// Where SYSCALL puts the user's RSP until it has a stack (asm/syscall.S). Nobody else's.
    pub user_rsp: AtomicU64,
    /// Where the program of the thread that runs enters the kernel; the same address is in the TSS. Of no meaning to
    /// threads without a program.
    pub kernel_stack: AtomicU64,
    /// Ways back from system calls: by SYSRETQ, and by IRETQ.
    pub sysrets: AtomicU64,
    pub irets: AtomicU64,
    /// NMIs that came between SYSCALL and the complete frame, and between the last of the frame and ring 3.
    pub nmis_entering: AtomicU64,
    pub nmis_leaving: AtomicU64,
}

impl Default for PerCpu {
    fn default() -> Self {
        Self::new()
    }
}

impl PerCpu {
    pub const fn new() -> Self {
        Self {
            gs_base: AtomicU64::new(0),
            number: AtomicU32::new(0),
            preempt: AtomicU32::new(PREEMPT_NOT_WANTED),
            thread: AtomicU64::new(0),
            interrupt_depth: AtomicU32::new(0),
            in_deferred: AtomicBool::new(false),
            woken: AtomicBool::new(false),
            counts: [const { AtomicU64::new(0) }; VECTORS],
            user_rsp: AtomicU64::new(0),
            kernel_stack: AtomicU64::new(0),
            sysrets: AtomicU64::new(0),
            irets: AtomicU64::new(0),
            nmis_entering: AtomicU64::new(0),
            nmis_leaving: AtomicU64::new(0),
        }
    }

    /// Whose it is. Before that CPU runs.
    pub fn set_identity(&self, number: u32, gs_base: u64) {
        self.number.store(number, Ordering::Relaxed);
        self.gs_base.store(gs_base, Ordering::Relaxed);
    }

    /// An interrupt handler begins; returns how many it interrupts. As for [`Self::count`], no locked instruction is
    /// needed: a handler that interrupts this one puts the number back.
    #[inline]
    pub fn enter_interrupt(&self) -> u32 {
        let depth = self.interrupt_depth.load(Ordering::Relaxed);
        self.interrupt_depth.store(depth + 1, Ordering::Relaxed);
        depth
    }

    /// It ends.
    #[inline]
    pub fn leave_interrupt(&self) {
        self.interrupt_depth.store(self.interrupt_depth.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
    }

    /// Counts an interrupt. Only this CPU writes here, so a load and a store will do.
    #[inline]
    pub fn count(&self, vector: u8) {
        let counter = &self.counts[usize::from(vector)];
        counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

/// Offsets for assembly: `gs:[cpu_data + PERCPU_WOKEN]`.
pub const ASM: &[(&str, u64)] = &[
    ("PERCPU_GS_BASE", offset_of!(PerCpu, gs_base) as u64),
    ("PERCPU_NUMBER", offset_of!(PerCpu, number) as u64),
    ("PERCPU_PREEMPT", offset_of!(PerCpu, preempt) as u64),
    ("PERCPU_COUNTS", offset_of!(PerCpu, counts) as u64),
    ("PERCPU_WOKEN", offset_of!(PerCpu, woken) as u64),
    ("PERCPU_USER_RSP", offset_of!(PerCpu, user_rsp) as u64),
    ("PERCPU_KERNEL_STACK", offset_of!(PerCpu, kernel_stack) as u64),
    ("PERCPU_SYSRETS", offset_of!(PerCpu, sysrets) as u64),
    ("PERCPU_IRETS", offset_of!(PerCpu, irets) as u64),
];
