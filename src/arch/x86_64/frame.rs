//! The trap frame: every register of the interrupted code, as asm/interrupts.S leaves it on the stack.
//!
//! ```text
//!  high   ss  rsp  rflags  cs  rip     pushed by the CPU (always all five in long mode)
//!         error                        by the CPU for vectors 8, 10-14, 17, 21, 29 and 30; else 0 by the stub
//!         vector                       by the stub
//!         rax rbx … r15                by trap_common
//!  low    ← rsp, and the `&mut TrapFrame` that Rust gets
//! ```
//! Source: Intel SDM vol. 3 §6.14.2 (64-bit mode stack frame).

/// Registers of interrupted code. What a handler writes here is what the code goes on with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct TrapFrame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rbp: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rbx: u64,
    pub rax: u64,
    /// Which of the 256 gates was taken.
    pub vector: u64,
    /// The CPU's error code, or 0 where the vector has none.
    pub error: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

impl TrapFrame {
    /// Of a system call: its number. As on Linux, the upper half of rax says nothing.
    pub const fn call_number(&self) -> u64 {
        self.error & 0xFFFF_FFFF
    }
}

/// Vectors for which the CPU pushes an error code (SDM vol. 3 table 6-1; AMD APM vol. 2 §8.2 for 29 and 30),
/// as a bit set.
pub const ERROR_CODE_VECTORS: u64 =
    1 << 8 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 17 | 1 << 21 | 1 << 29 | 1 << 30;

/// Bytes from one trap stub to the next in asm/interrupts.S; the largest takes 2 + 5 + 5.
pub const TRAP_STUB_SIZE: u64 = 16;

macro_rules! offset {
    ($name:literal, $field:ident) => {
        ($name, core::mem::offset_of!(TrapFrame, $field) as u64)
    };
}

/// Vectors below this are the CPU's exceptions.
pub const EXCEPTIONS: u64 = 32;

/// The system calls' slow door: the one vector that ring 3 may raise itself. As Linux has it.
pub const SYSCALL_INT: u64 = 0x80;
/// What stands for the vector in the frame of a SYSCALL: no interrupt has it. `error` holds the number of the call.
pub const SYSCALL_VECTOR: u64 = 0x100;
/// The same for a SYSCALL from 32-bit code.
pub const SYSCALL_COMPAT_VECTOR: u64 = 0x101;

/// RFLAGS: a trap after each instruction.
pub const RFLAGS_TF: u64 = 1 << 8;
/// RFLAGS: the next instruction is not stopped at by a breakpoint.
pub const RFLAGS_RF: u64 = 1 << 16;

/// What assembly knows of it; see build.rs.
pub const ASM: &[(&str, u64)] = &[
    ("EXCEPTIONS", EXCEPTIONS),
    ("SYSCALL_INT", SYSCALL_INT),
    ("SYSCALL_VECTOR", SYSCALL_VECTOR),
    ("SYSCALL_COMPAT_VECTOR", SYSCALL_COMPAT_VECTOR),
    ("RFLAGS_TF", RFLAGS_TF),
    ("RFLAGS_RF", RFLAGS_RF),
    offset!("FRAME_R15", r15),
    offset!("FRAME_R14", r14),
    offset!("FRAME_R13", r13),
    offset!("FRAME_R12", r12),
    offset!("FRAME_R11", r11),
    offset!("FRAME_R10", r10),
    offset!("FRAME_R9", r9),
    offset!("FRAME_R8", r8),
    offset!("FRAME_RBP", rbp),
    offset!("FRAME_RDI", rdi),
    offset!("FRAME_RSI", rsi),
    offset!("FRAME_RDX", rdx),
    offset!("FRAME_RCX", rcx),
    offset!("FRAME_RBX", rbx),
    offset!("FRAME_RAX", rax),
    offset!("FRAME_VECTOR", vector),
    offset!("FRAME_ERROR", error),
    offset!("FRAME_RIP", rip),
    offset!("FRAME_CS", cs),
    offset!("FRAME_RFLAGS", rflags),
    offset!("FRAME_RSP", rsp),
    offset!("FRAME_SS", ss),
    ("FRAME_SIZE", size_of::<TrapFrame>() as u64),
    ("ERROR_CODE_VECTORS", ERROR_CODE_VECTORS),
    ("TRAP_STUB_SIZE", TRAP_STUB_SIZE),
];
