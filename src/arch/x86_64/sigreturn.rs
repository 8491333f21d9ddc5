//! For host tests of signal frames: the instructions around the host's own sigreturn.
//!
//! A restorer for a handler of the host's; a call that goes into a frame, as a handler's end does; and the place where such a
//! frame is to lead, which takes down what it finds and comes back to the caller.

use core::arch::global_asm;

/// What the landing found in the registers.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Seen {
    pub rax: u64,
    pub rcx: u64,
    pub r11: u64,
    pub r15: u64,
    pub rsp: u64,
    pub xmm0: u64,
    pub rflags: u64,
}

unsafe extern "C" {
    fn sis_test_restorer();
    fn sis_test_sigreturn(rsp: u64);
    fn sis_test_landing();
    static sis_test_seen: Seen;
}

// One stack pointer is kept: for one thread at a time.
global_asm!(
    ".globl sis_test_restorer, sis_test_sigreturn, sis_test_landing, sis_test_seen",
    ".pushsection .text",
    "sis_test_restorer:",
    "mov eax, 15",
    "syscall",
    "sis_test_sigreturn:",
    "push rbx",
    "push rbp",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "mov [rip + sis_test_stack], rsp",
    "mov rsp, rdi",
    "mov eax, 15",
    "syscall",
    "ud2",
    "sis_test_landing:",
    "mov [rip + sis_test_seen], rax",
    "mov [rip + sis_test_seen + 8], rcx",
    "mov [rip + sis_test_seen + 16], r11",
    "mov [rip + sis_test_seen + 24], r15",
    "mov [rip + sis_test_seen + 32], rsp",
    "movq [rip + sis_test_seen + 40], xmm0",
    "lea rsp, [rip + sis_test_seen + 56]",
    "pushfq",
    "mov rsp, [rip + sis_test_stack]",
    "cld",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbp",
    "pop rbx",
    "ret",
    ".popsection",
    ".pushsection .bss",
    ".balign 16",
    "sis_test_seen: .zero 64",
    "sis_test_stack: .zero 8",
    ".popsection",
);

/// The address that a handler of the host's returns to.
pub fn restorer() -> u64 {
    sis_test_restorer as *const () as u64
}

/// Where a frame for [`into_frame`] has to lead.
pub fn landing() -> u64 {
    sis_test_landing as *const () as u64
}

/// Has the host's kernel take the frame below `rsp`, and returns what came of it.
///
/// # Safety
/// There is a frame, with which Linux goes on at [`landing`]. One at a time.
pub unsafe fn into_frame(rsp: u64) -> Seen {
    // SAFETY: the caller's promise.
    unsafe {
        sis_test_sigreturn(rsp);
        (&raw const sis_test_seen).read_volatile()
    }
}
