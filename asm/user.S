/* user.S: into ring 3 for the first time, and out for the last.
 *
 * A thread runs a program as if it called it: user_enter saves what its caller expects back, and leaves through a frame
 * below that, as if an interrupt ended. Where the frame began is where the kernel comes back to from ring 3, by the TSS's
 * RSP0 and by SYSCALL: the stack is empty from there on whenever ring 3 runs. Whatever ends the program (a system call,
 * a fault, somebody else's wish) calls user_leave, which makes user_enter return.
 *
 *      the thread's kernel stack
 *      +------------------+
 *      | ... its frames   |
 *      | return address   |
 *      | rflags           |
 *      | rbp rbx r12..r15 |
 *      +------------------+ <- PERCPU_KERNEL_STACK while the thread has a CPU, aligned to 16
 *      | ss .. rip        |
 *      | error, vector    |    the first way out, and then each way in
 *      | rax .. r15       |
 *      +------------------+ <- rsp, then IRETQ
 *
 * Convention  System V
 * GS          ours on both sides of each; SWAPGS stands at syscall_iret
 * Source      Intel SDM vol. 3 §6.14.3 (IRET in 64-bit mode); System V ABI AMD64 supplement §3.2.1
 */
#include "macros.h"

        .text

/* unsafe extern "sysv64" fn user_enter(start: *const Start);
 * Returns when user_leave is called. */
FUNC user_enter
        pushfq
        .cfi_adjust_cfa_offset 8
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
        cli
        mov     rsi, rsp
        sub     rsp, FRAME_SIZE
        .cfi_adjust_cfa_offset FRAME_SIZE
        mov     rdx, rsp
        call    user_begin              /* src/task/context.rs: (start, top, frame to be written) */
        jmp     syscall_iret
ENDFUNC user_enter

/* unsafe extern "sysv64" fn user_leave() -> !;
 * From any kernel stack that may be given up, with interrupts off. */
        .globl  user_leave
        .type   user_leave, @function
        .balign 16
user_leave:
        .cfi_startproc
        .cfi_undefined rip              /* until the saved registers are back, nobody can say who called */
        mov     rsp, gs:[cpu_data + PERCPU_KERNEL_STACK]
        pop     r15
        pop     r14
        pop     r13
        pop     r12
        pop     rbx
        pop     rbp
        popfq
        .cfi_offset rip, -8
        ret
        .cfi_endproc
        .size   user_leave, . - user_leave

/* unsafe extern "sysv64" fn user_selectors(selectors: u64);
 * DS, ES, FS and GS, from the lowest 16 bits up, with interrupts off. Loading FS or GS clears its base on Intel's CPUs,
 * and leaves it on AMD's: the caller writes it next. For GS the base that may go is ring 3's, which SWAPGS brings here.
 * What comes in between in spite of all finds a base in the lower half, or does not look: trap_paranoid. */
FUNC user_selectors
        mov     ds, edi
        shr     rdi, 16
        mov     es, edi
        shr     rdi, 16
        mov     fs, edi
        shr     rdi, 16
        swapgs
        mov     gs, edi
        swapgs
        ret
ENDFUNC user_selectors
