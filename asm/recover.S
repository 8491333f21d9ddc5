/* recover.S: run something that is meant to fault, and come back.
 *
 * The exception table knows single instructions. For whole experiments (`fault KIND` in the monitor: a
 * jump to nowhere, a broken stack) this saves where to go on, calls, and lets the trap handler return
 * here whatever the registers have become. One at a time, on one CPU.
 *
 *   recover_point:  rsp and the six registers that a System V function must preserve
 *
 * Convention  System V.   Source: System V ABI AMD64 supplement §3.2.1 (callee-saved registers).
 */
#include "macros.h"

        .bss
        .balign 8
OBJECT recover_point
        .skip   7 * 8
ENDOBJECT recover_point

        .text

/* unsafe extern "sysv64" fn recover_call(provoke: Provoke, a: u64, b: u64) -> u64;
 * Calls provoke(a, b). 0: it returned by itself.  1: a trap ended it (the handler resumed at recover_landing). */
FUNC recover_call
        mov     [rip + recover_point + 0], rsp
        mov     [rip + recover_point + 8], rbp
        mov     [rip + recover_point + 16], rbx
        mov     [rip + recover_point + 24], r12
        mov     [rip + recover_point + 32], r13
        mov     [rip + recover_point + 40], r14
        mov     [rip + recover_point + 48], r15
        push    rbp                     /* a frame, so that a backtrace finds our caller; and calls are aligned */
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset rbp, 0
        mov     rbp, rsp
        mov     rax, rdi
        mov     rdi, rsi
        mov     rsi, rdx
        call    rax
        pop     rbp
        .cfi_adjust_cfa_offset -8
        .cfi_restore rbp
        xor     eax, eax
        ret
ENDFUNC recover_call

/* The trap handler puts this address in the frame's rip. Only rip, cs and rflags are good here: the
 * stack pointer is whatever the experiment left. */
        .globl  recover_landing
        .type   recover_landing, @function
        .balign 16
recover_landing:
        .cfi_startproc
        .cfi_undefined rip              /* until the saved registers are back, nobody can say who called */
        cld
        mov     rsp, [rip + recover_point + 0]
        mov     rbp, [rip + recover_point + 8]
        mov     rbx, [rip + recover_point + 16]
        mov     r12, [rip + recover_point + 24]
        mov     r13, [rip + recover_point + 32]
        mov     r14, [rip + recover_point + 40]
        mov     r15, [rip + recover_point + 48]
        .cfi_offset rip, -8
        mov     eax, 1
        ret
        .cfi_endproc
        .size   recover_landing, . - recover_landing
