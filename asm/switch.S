/* switch.S: from one thread to another.
 *
 * A thread that does not run is a stack: everything that its function expects back lies there, and what is left of it
 * is one number, the stack pointer. So a switch is: push the six registers that a System V function must preserve,
 * exchange the stack pointer, pop the other thread's six, return to whoever called for it there. The registers that a
 * call may change need no saving, for the compiler takes them for lost; those of a thread that an interrupt has stopped
 * lie in the trap frame, further up on the same stack. Flags: interrupts are off on both sides, DF is clear.
 *
 * Floating-point state and address space are changed by the caller, src/task/schedule.rs.
 *
 *      a thread that does not run              one that has not begun
 *      +------------------+                    +------------------+ <- top, aligned to 16
 *      | ... its frames   |                    | 0, 0             |    where a backtrace ends
 *      | return address   |                    | thread_start     |
 *      | rbp rbx r12..r15 |                    | 0, 0, argument.. |
 *      +------------------+ <- kept            +------------------+ <- kept
 *
 * Convention  System V; IF=0 throughout
 * GS          ours, and stays: it is the CPU's and not the thread's
 * Source      System V ABI AMD64 supplement §3.2.1 (callee-saved registers)
 */
#include "macros.h"

        .text

/* unsafe extern "sysv64" fn switch_stacks(kept: *mut u64, to: u64);
 * Keeps this thread's stack pointer in *kept and goes on where `to` was kept. Returns when somebody switches back. */
FUNC switch_stacks
        push    rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset rbp, 0
        push    rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset rbx, 0
        push    r12
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r12, 0
        push    r13
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r13, 0
        push    r14
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r14, 0
        push    r15
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r15, 0
        mov     [rdi], rsp
        mov     rsp, rsi
        /* The same picture on the other stack, so the same rules hold. A debugger that puts RSP to what was kept and RIP
         * here walks a thread that does not run: test/gdb/threads.py. */
        .globl  switch_landing
        .type   switch_landing, @function
switch_landing:
        pop     r15
        .cfi_adjust_cfa_offset -8
        .cfi_restore r15
        pop     r14
        .cfi_adjust_cfa_offset -8
        .cfi_restore r14
        pop     r13
        .cfi_adjust_cfa_offset -8
        .cfi_restore r13
        pop     r12
        .cfi_adjust_cfa_offset -8
        .cfi_restore r12
        pop     rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore rbx
        pop     rbp
        .cfi_adjust_cfa_offset -8
        .cfi_restore rbp
        ret
        .size   switch_landing, . - switch_landing
ENDFUNC switch_stacks

/* Where the first switch to a thread returns to: r12 = the thread. Nobody called, so nothing can return. */
        .globl  thread_start
        .type   thread_start, @function
        .balign 16
thread_start:
        .cfi_startproc
        .cfi_undefined rip              /* a backtrace ends here */
        xor     ebp, ebp
        mov     rdi, r12
        call    thread_main             /* src/task/life.rs */
        ud2                             /* it does not return */
        .cfi_endproc
        .size   thread_start, . - thread_start
