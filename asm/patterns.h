/* patterns.h: a pattern in every register, and whether it is still there.
 *
 * For the two loops that hold one: in the kernel (asm/patterns.S), and in ring 3 (asm/flat_threads.S). All comparisons
 * are with memory, so that no register is needed for anything else:
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
 * Vector register n holds words n to n + 3 (the lower two of them without AVX), register 15 words 0 to 3. Who finds
 * something else leaves a code and jumps to 8 ahead.
 */
#ifndef SIS_PATTERNS_H
#define SIS_PATTERNS_H

#include "macros.h"

#define ROUNDS          152
#define WANTED_MXCSR    160
#define FOUND_MXCSR     164
#define CODE            168
#define STORED          192
#define BLOCK           224

.macro SAME reg, at, code
        mov     dword ptr [rsp + CODE], \code
        cmp     \reg, [rsp + \at]
        jne     8f
.endm

/* All general registers: codes 1 to 15. */
.macro SAME_GENERAL
        SAME    rax, 0, 1
        SAME    rbx, 8, 2
        SAME    rcx, 16, 3
        SAME    rdx, 24, 4
        SAME    rsi, 32, 5
        SAME    rdi, 40, 6
        SAME    rbp, 48, 7
        SAME    r8, 56, 8
        SAME    r9, 64, 9
        SAME    r10, 72, 10
        SAME    r11, 80, 11
        SAME    r12, 88, 12
        SAME    r13, 96, 13
        SAME    r14, 104, 14
        SAME    r15, 112, 15
.endm

/* One vector register against the general registers that hold its words: codes 100 + n. */
.macro SAME_VECTOR number, a, b, c, d
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

.macro SAME_VECTORS
        SAME_VECTOR 0, rax, rbx, rcx, rdx
        SAME_VECTOR 1, rbx, rcx, rdx, rsi
        SAME_VECTOR 2, rcx, rdx, rsi, rdi
        SAME_VECTOR 3, rdx, rsi, rdi, rbp
        SAME_VECTOR 4, rsi, rdi, rbp, r8
        SAME_VECTOR 5, rdi, rbp, r8, r9
        SAME_VECTOR 6, rbp, r8, r9, r10
        SAME_VECTOR 7, r8, r9, r10, r11
        SAME_VECTOR 8, r9, r10, r11, r12
        SAME_VECTOR 9, r10, r11, r12, r13
        SAME_VECTOR 10, r11, r12, r13, r14
        SAME_VECTOR 11, r12, r13, r14, r15
        SAME_VECTOR 12, r13, r14, r15, rax
        SAME_VECTOR 13, r14, r15, rax, rbx
        SAME_VECTOR 14, r15, rax, rbx, rcx
        SAME_VECTOR 15, rax, rbx, rcx, rdx
        mov     dword ptr [rsp + CODE], 200
        stmxcsr [rsp + FOUND_MXCSR]
        mov     eax, [rsp + FOUND_MXCSR]
        cmp     eax, [rsp + WANTED_MXCSR]
        jne     8f
        mov     rax, [rsp]
.endm

/* Everything into its register. `wide` says which vector registers. */
.macro LOAD_VECTORS
        .irp    number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        .if     wide
        vmovups ymm\number, [rsp + 8 * \number - 120 * (\number / 15)]
        .else
        movups  xmm\number, [rsp + 8 * \number - 120 * (\number / 15)]
        .endif
        .endr
        ldmxcsr [rsp + WANTED_MXCSR]
.endm

.macro LOAD_GENERAL
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
.endm

#endif
