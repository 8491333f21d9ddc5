/* patterns.S: a pattern in every register, and a loop that looks whether it is still there.
 *
 * For the self-test of preemption (src/kernel/selftest/threads.rs): an interrupt may stop this loop at any instruction
 * and run other threads, which do the same with other patterns. The kernel itself has no vector instructions, so here
 * is where they are. All comparisons are with memory, so that no register is needed for anything else:
 *
 *      +------------------------------+
 *      | the vector register's bytes  |  rsp + 192: where it is stored to be compared
 *      | ...                          |
 *      | code | MXCSR now | MXCSR     |  rsp + 160
 *      | rounds                       |  rsp + 152
 *      | words 15 to 18 = 0 to 3      |
 *      | word 0 to word 14            |  <- rsp: rax rbx rcx rdx rsi rdi rbp r8 .. r15
 *      +------------------------------+
 *
 * Vector register n holds words n to n + 3 (the lower two of them without AVX).
 *
 * Convention  System V; MXCSR is left changed, which is the calling thread's own
 */
#include "macros.h"

#define ROUNDS          152
#define WANTED_MXCSR    160
#define FOUND_MXCSR     164
#define CODE            168
#define STORED          192
#define BLOCK           224

        .text

.macro CHECK reg, at, code
        mov     dword ptr [rsp + CODE], \code
        cmp     \reg, [rsp + \at]
        jne     8f
.endm

/* All general registers: codes 1 to 15. */
.macro CHECK_GENERAL
        CHECK   rax, 0, 1
        CHECK   rbx, 8, 2
        CHECK   rcx, 16, 3
        CHECK   rdx, 24, 4
        CHECK   rsi, 32, 5
        CHECK   rdi, 40, 6
        CHECK   rbp, 48, 7
        CHECK   r8, 56, 8
        CHECK   r9, 64, 9
        CHECK   r10, 72, 10
        CHECK   r11, 80, 11
        CHECK   r12, 88, 12
        CHECK   r13, 96, 13
        CHECK   r14, 104, 14
        CHECK   r15, 112, 15
.endm

/* One vector register against the general registers that hold its words: codes 100 + n. */
.macro CHECK_VECTOR number, a, b, c, d
        mov     dword ptr [rsp + CODE], 100 + \number
        .if     wide
        vmovups [rsp + STORED], ymm\number
        cmp     [rsp + STORED + 16], \c
        jne     8f
        cmp     [rsp + STORED + 24], \d
        jne     8f
        .else
        movups  [rsp + STORED], xmm\number
        .endif
        cmp     [rsp + STORED], \a
        jne     8f
        cmp     [rsp + STORED + 8], \b
        jne     8f
.endm

.macro CHECK_VECTORS
        CHECK_VECTOR 0, rax, rbx, rcx, rdx
        CHECK_VECTOR 1, rbx, rcx, rdx, rsi
        CHECK_VECTOR 2, rcx, rdx, rsi, rdi
        CHECK_VECTOR 3, rdx, rsi, rdi, rbp
        CHECK_VECTOR 4, rsi, rdi, rbp, r8
        CHECK_VECTOR 5, rdi, rbp, r8, r9
        CHECK_VECTOR 6, rbp, r8, r9, r10
        CHECK_VECTOR 7, r8, r9, r10, r11
        CHECK_VECTOR 8, r9, r10, r11, r12
        CHECK_VECTOR 9, r10, r11, r12, r13
        CHECK_VECTOR 10, r11, r12, r13, r14
        CHECK_VECTOR 11, r12, r13, r14, r15
        CHECK_VECTOR 12, r13, r14, r15, rax
        CHECK_VECTOR 13, r14, r15, rax, rbx
        CHECK_VECTOR 14, r15, rax, rbx, rcx
        CHECK_VECTOR 15, rax, rbx, rcx, rdx
        mov     dword ptr [rsp + CODE], 200
        stmxcsr [rsp + FOUND_MXCSR]
        mov     eax, [rsp + FOUND_MXCSR]
        cmp     eax, [rsp + WANTED_MXCSR]
        jne     8f
        mov     rax, [rsp]
.endm

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
        .irp    number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        .if     wide
        vmovups ymm\number, [rsp + 8 * \number - 120 * (\number / 15)]
        .else
        movups  xmm\number, [rsp + 8 * \number - 120 * (\number / 15)]
        .endif
        .endr
        ldmxcsr [rsp + WANTED_MXCSR]
        .endif
        mov     rax, [rsp]
        mov     rbx, [rsp + 8]
        mov     rcx, [rsp + 16]
        mov     rdx, [rsp + 24]
        mov     rsi, [rsp + 32]
        mov     rdi, [rsp + 40]
        mov     rbp, [rsp + 48]
        mov     r8, [rsp + 56]
        mov     r9, [rsp + 64]
        mov     r10, [rsp + 72]
        mov     r11, [rsp + 80]
        mov     r12, [rsp + 88]
        mov     r13, [rsp + 96]
        mov     r14, [rsp + 104]
        mov     r15, [rsp + 112]
7:      CHECK_GENERAL
        .if     \kind
        CHECK_VECTORS
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
