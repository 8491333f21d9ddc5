/* user.S: into ring 3 for the first time, and out for the last.
 *
 * A program runs on behalf of a kernel function that waits for its end, as if it had called it: user_enter saves what
 * that function expects back, changes to the task's kernel stack, and leaves through the frame that lies at its top.
 * Whatever ends the program (a system call, a fault) calls user_leave, which makes user_enter return.
 *
 *      caller's stack                task's kernel stack
 *      +------------------+          +------------------+ <- top
 *      | return address   |          | ss .. rip        |
 *      | rflags           |          | error, vector    |
 *      | rbp rbx r12..r15 |          | rax .. r15       | <- rsp, then IRETQ
 *      +------------------+ <- kept in user_return_stack
 *
 * Convention  System V
 * GS          ours on both sides of each; SWAPGS stands at syscall_iret
 * Source      Intel SDM vol. 3 §6.14.3 (IRET in 64-bit mode); System V ABI AMD64 supplement §3.2.1
 */
#include "macros.h"

        .bss
        .balign 8
OBJECT user_return_stack
        .skip   8
ENDOBJECT user_return_stack

        .text

/* unsafe extern "sysv64" fn user_enter(frame: *mut TrapFrame) -> u64;
 * `frame` ends at the top of the task's kernel stack, and is ring 3's. Returns what user_leave is given. */
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
        mov     [rip + user_return_stack], rsp
        mov     rsp, rdi
        jmp     syscall_iret
ENDFUNC user_enter

/* unsafe extern "sysv64" fn user_leave(how: u64) -> !;
 * From any kernel stack that may be given up, with interrupts off. */
        .globl  user_leave
        .type   user_leave, @function
        .balign 16
user_leave:
        .cfi_startproc
        .cfi_undefined rip              /* until the saved registers are back, nobody can say who called */
        mov     rsp, [rip + user_return_stack]
        mov     rax, rdi
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

/* unsafe extern "sysv64" fn user_segments(gs_base: u64);
 * Takes from ring 3 whatever it has loaded into the segment registers and their bases. With interrupts off. Loading GS
 * clears its base on Intel's CPUs: until that is back, an NMI would find 0 there, take it for the user's, and SWAPGS.
 * So the other base is ours as well for that time. */
FUNC user_segments
        mov     ecx, IA32_KERNEL_GS_BASE
        mov     eax, edi
        mov     rdx, rdi
        shr     rdx, 32
        wrmsr
        xor     r8d, r8d
        mov     ds, r8d
        mov     es, r8d
        mov     fs, r8d
        mov     gs, r8d
        mov     ecx, IA32_GS_BASE
        wrmsr
        xor     eax, eax
        xor     edx, edx
        mov     ecx, IA32_FS_BASE
        wrmsr
        mov     ecx, IA32_KERNEL_GS_BASE
        wrmsr
        ret
ENDFUNC user_segments
