/* flat_threads.S: programs for ring 3 that run side by side (src/kernel/selftest/ring3.rs).
 *
 * As those in asm/flat.S. An argument in rdi has a number that is this one's in its lower half, by which it differs from
 * its neighbours, and how often it is to go round in its upper half; 0, as `user NAME` has it, is once.
 */
#include "flat.h"
#include "patterns.h"

/* In: rdi. The rounds go to rdi, the number to rax. */
.macro ARGUMENT
        mov     eax, edi
        shr     rdi, 32
        cmp     rdi, 1
        adc     rdi, 0                  /* 0 becomes 1 */
.endm

/* The state of floating point that a program begins with: FNINIT's, MXCSR's default, zeros. And that it works. */
PROGRAM flat_sse
        stmxcsr [rsp - 8]
        cmp     dword ptr [rsp - 8], 0x1F80
        CHECK
        fnstcw  [rsp - 8]
        cmp     word ptr [rsp - 8], 0x37F
        CHECK
        fnstsw  ax
        test    ax, ax
        CHECK
        .irp    number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        movups  [rsp - 16], xmm\number
        mov     rax, [rsp - 16]
        or      rax, [rsp - 8]
        CHECK
        .endr
        mov     eax, 6
        cvtsi2sd xmm0, eax
        mulsd   xmm0, xmm0
        mov     eax, GETPID
        syscall
        cvttsd2si eax, xmm0
        cmp     eax, 36
        CHECK
        fld1
        fadd    st(0), st(0)
        fistp   dword ptr [rsp - 8]
        cmp     dword ptr [rsp - 8], 2
        CHECK
        EXIT_WITH 0
ENDPROGRAM flat_sse

/* Never ends. Says so first, but for an argument of 0. */
PROGRAM flat_forever
        test    rdi, rdi
        jz      3f
        SAY     1f, 2f
        syscall
        jmp     3f
1:      .ascii  "for ever\n"
2:
3:      jmp     3b
ENDPROGRAM flat_forever

/* A pattern in every register and behind both bases, held over interrupts and calls. Its exit status is 0, or what was
 * not as it had been: a code of asm/patterns.h, 201 for FS's base, 202 for GS's, 203 for what a call returned. */
.macro HOLD
        LOAD_VECTORS
        LOAD_GENERAL
        .if     with_bases
        mov     fs:[0], r8
        mov     gs:[0], r9
        .endif
7:      SAME_GENERAL
        .if     with_bases
        mov     dword ptr [rsp + CODE], 201
        cmp     r8, fs:[0]
        jne     8f
        mov     dword ptr [rsp + CODE], 202
        cmp     r9, gs:[0]
        jne     8f
        .endif
        SAME_VECTORS
        test    byte ptr [rsp + ROUNDS], 63
        jnz     6f
        mov     eax, GETPID
        syscall
        mov     dword ptr [rsp + CODE], 203
        cmp     rax, 1
        jne     8f
        mov     rax, [rsp]
        mov     rcx, [rsp + 16]
        mov     r11, [rsp + 80]
6:      dec     qword ptr [rsp + ROUNDS]
        jnz     7b
        mov     dword ptr [rsp + CODE], 0
8:      mov     edi, [rsp + CODE]
        mov     eax, EXIT
        syscall
        ud2
.endm

        .set    with_bases, 1
PROGRAM flat_patterns
        sub     rsp, BLOCK
        ARGUMENT
        mov     [rsp + ROUNDS], rdi
        /* Fifteen words that no other number has. */
        movabs  rdx, 0x9E3779B97F4A7C15
        mov     rdi, rsp
        mov     ecx, 15
1:      add     rax, rdx
        imul    rax, rdx
        mov     rsi, rax
        shr     rsi, 29
        xor     rax, rsi
        stosq
        dec     ecx
        jnz     1b
        mov     rsi, rsp
        mov     ecx, 4
        rep     movsq
        /* Exceptions masked; flags, rounding, flushing and denormals as the number has them. */
        and     eax, 0xE07F
        or      eax, 0x1F80
        mov     [rsp + WANTED_MXCSR], eax
        /* AVX, and XGETBV's word that it is on. */
        mov     eax, 1
        cpuid
        and     ecx, 3 << 27
        cmp     ecx, 3 << 27
        jne     2f
        xor     ecx, ecx
        xgetbv
        and     eax, 6
        cmp     eax, 6
        je      3f
2:
        .set    wide, 0
        HOLD
3:
        .set    wide, 1
        HOLD
ENDPROGRAM flat_patterns

/* Maps memory wherever there is room, finds it zero, writes to it, finds that, and unmaps it: with neighbours in the
 * same address space, who have the same addresses a moment later. */
PROGRAM flat_churn
        ARGUMENT
        mov     r12, rax
        mov     r13, rdi
        /* One to sixteen pages. */
1:      movabs  rdx, 6364136223846793005
        imul    r12, rdx
        add     r12, 99
        mov     r14, r12
        shr     r14, 60
        inc     r14
        shl     r14, 12
        xor     edi, edi
        mov     rsi, r14
        mov     edx, 3                  /* PROT_READ|PROT_WRITE */
        mov     r10d, 0x22              /* MAP_PRIVATE|MAP_ANONYMOUS */
        mov     eax, MMAP
        syscall
        test    eax, 4095
        CHECK
        mov     rbx, rax
        lea     rbp, [rax + r14]
        mov     rdx, rax
2:      mov     rdi, rdx
        xor     eax, eax
        mov     ecx, 512
        repe    scasq
        CHECK
        mov     [rdx], r12
        mov     [rdx + 4088], rdx
        add     rdx, PAGE_SIZE
        cmp     rdx, rbp
        jb      2b
        mov     rdx, rbx
3:      cmp     [rdx], r12
        CHECK
        cmp     [rdx + 4088], rdx
        CHECK
        add     rdx, PAGE_SIZE
        cmp     rdx, rbp
        jb      3b
        mov     rdi, rbx
        mov     rsi, r14
        mov     eax, MUNMAP
        syscall
        test    rax, rax
        CHECK
        dec     r13
        jnz     1b
        EXIT_WITH 0
ENDPROGRAM flat_churn

/* A thousand calls. What they took, in ticks of the time-stamp counter, goes to where rdi points. */
PROGRAM flat_calls
        mov     r12, rdi
        mov     ebx, 1000
        rdtsc
        shl     rdx, 32
        lea     r13, [rax + rdx]
1:      mov     eax, GETPID
        syscall
        dec     ebx
        jnz     1b
        rdtsc
        shl     rdx, 32
        add     rax, rdx
        sub     rax, r13
        mov     [r12], rax
        EXIT_WITH 0
ENDPROGRAM flat_calls
