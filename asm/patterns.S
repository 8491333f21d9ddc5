/* patterns.S: a pattern in every register, and a loop that looks whether it is still there.
 *
 * For the self-test of preemption (src/kernel/selftest/threads.rs): an interrupt may stop this loop at any instruction
 * and run other threads, which do the same with other patterns. The kernel itself has no vector instructions, so here
 * is where they are. What lies where: asm/patterns.h.
 *
 * Convention  System V; MXCSR is left changed, which is the calling thread's own
 */
#include "patterns.h"

        .text

/* `kind`: 0 general registers alone, 1 SSE, 2 AVX. In: rdi = 24 words, as in the picture up to the code, of which the
 * 15th to 18th are the first four again. Returns 0, or the code of what was not as it had been. */
.macro PATTERNS name, kind
FUNC \name
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
        sub     rsp, BLOCK
        .cfi_adjust_cfa_offset BLOCK
        mov     rsi, rdi
        mov     rdi, rsp
        mov     ecx, 24
        rep     movsq
        .if     \kind
        .set    wide, \kind == 2
        LOAD_VECTORS
        .endif
        LOAD_GENERAL
7:      SAME_GENERAL
        .if     \kind
        SAME_VECTORS
        .endif
        dec     qword ptr [rsp + ROUNDS]
        jnz     7b
        mov     dword ptr [rsp + CODE], 0
8:      mov     eax, [rsp + CODE]
        add     rsp, BLOCK
        .cfi_adjust_cfa_offset -BLOCK
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
ENDFUNC \name
.endm

/* unsafe extern "sysv64" fn patterns_general(block: *const u64) -> u32;    and so for the other two */
        PATTERNS patterns_general, 0
        PATTERNS patterns_sse, 1
        PATTERNS patterns_avx, 2
