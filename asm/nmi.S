/* nmi.S: back into the NMI's handler without IRET.
 *
 * From the moment that the CPU takes an NMI it holds back further ones, until the next IRETQ, whoever executes it.
 * An exception inside the handler that returned by IRETQ would let them in too early: the next NMI would be entered
 * at the top of the same stack, over the frame that the first one returns by. So an exception that was foreseen
 * returns into the handler by POPFQ and RET instead, which the CPU attaches no such meaning to. They exchange
 * neither code segment nor privilege, and none of that is to be exchanged: ring 0 was interrupted by ring 0.
 *
 * RIP and RFLAGS are handed over on the interrupted code's own stack, just below its RSP. The frame may lie there:
 * a page fault has no stack of its own, and the CPU has pushed its frame from RSP down, aligned to 16:
 *
 *      RSP aligned            RSP = 8 (mod 16)
 *      +--------+ <- RSP      +--------+ <- RSP
 *      | ss     | rip         |        | rip              what is written here
 *      | rsp    | rflags      | ss     | rflags
 *      | rflags |             | rsp    |
 *      | cs     |             | rflags |
 *      | rip    | new RSP     | cs     |
 *                             | rip    | new RSP
 *
 * Neither overwrites a word that is still to be read, if both are read first.
 *
 * Mode    long, CPL 0, IF=0, NMIs held back        GS  ours, as the interrupted code has it
 * Source  Intel SDM vol. 3 §6.7.1 (handling multiple NMIs); AMD APM vol. 2 §8.2.2
 */
#include "macros.h"

        .text

/* unsafe extern "sysv64" fn nmi_return(frame: *mut TrapFrame) -> !; */
        .globl  nmi_return
        .type   nmi_return, @function
        .balign 16
nmi_return:
        .cfi_startproc
        .cfi_undefined rip              /* nobody called: what comes next is the interrupted code */
        mov     rax, [rdi + FRAME_RSP]
        mov     rcx, [rdi + FRAME_RFLAGS]
        mov     rdx, [rdi + FRAME_RIP]
        mov     [rax - 8], rdx
        mov     [rax - 16], rcx
        sub     rax, 16
        mov     [rdi + FRAME_RIP], rax  /* where the POP RSP below finds it */
        mov     rsp, rdi
        pop     r15
        pop     r14
        pop     r13
        pop     r12
        pop     r11
        pop     r10
        pop     r9
        pop     r8
        pop     rbp
        pop     rdi
        pop     rsi
        pop     rdx
        pop     rcx
        pop     rbx
        pop     rax
        add     rsp, 16                 /* vector and error code */
        pop     rsp
        popfq
        ret
        .cfi_endproc
        .size   nmi_return, . - nmi_return
