/* capture.S: all registers, into a trap frame.
 *
 * A Rust panic is no trap: there is no frame on the stack to print. This makes one of the registers as they
 * are, with RIP where the call returns to and RSP as it will be then.
 *
 * Convention  System V; changes no register.
 */
#include "macros.h"

        .text

/* unsafe extern "sysv64" fn capture_registers(frame: *mut TrapFrame); */
FUNC capture_registers
        mov     [rdi + FRAME_RAX], rax
        mov     [rdi + FRAME_RBX], rbx
        mov     [rdi + FRAME_RCX], rcx
        mov     [rdi + FRAME_RDX], rdx
        mov     [rdi + FRAME_RSI], rsi
        mov     [rdi + FRAME_RDI], rdi
        mov     [rdi + FRAME_RBP], rbp
        mov     [rdi + FRAME_R8], r8
        mov     [rdi + FRAME_R9], r9
        mov     [rdi + FRAME_R10], r10
        mov     [rdi + FRAME_R11], r11
        mov     [rdi + FRAME_R12], r12
        mov     [rdi + FRAME_R13], r13
        mov     [rdi + FRAME_R14], r14
        mov     [rdi + FRAME_R15], r15
        push    rax                     /* kept across the rest */
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset rax, 0
        pushfq
        .cfi_adjust_cfa_offset 8
        pop     rax
        .cfi_adjust_cfa_offset -8
        mov     [rdi + FRAME_RFLAGS], rax
        mov     rax, [rsp + 8]          /* return address, above the saved rax */
        mov     [rdi + FRAME_RIP], rax
        lea     rax, [rsp + 16]
        mov     [rdi + FRAME_RSP], rax
        mov     eax, cs
        mov     [rdi + FRAME_CS], rax
        mov     eax, ss
        mov     [rdi + FRAME_SS], rax
        pop     rax
        .cfi_adjust_cfa_offset -8
        .cfi_restore rax
        ret
ENDFUNC capture_registers
