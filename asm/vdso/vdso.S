/* vdso.S: code of the kernel's that runs in ring 3, at the price of a call.
 *
 * Programs ask for the time more often than for anything else. Where the clock is the TSC, all they need is a multiplication
 * and numbers that the kernel changes a few times a day: those stand in a page that every program can read (struct
 * ClockPage, src/time/page.rs), just below this image. The C library finds the image by AT_SYSINFO_EHDR and the
 * functions by their names, as in any shared object; build.rs links it by linker/vdso.ld, and the kernel has it as bytes.
 *
 * The page is written while it is read. Its first word is a count of changes, odd while one is being made and as long as
 * the numbers are of no use (another clock than the TSC): then each of these is the system call it stands for. An even
 * one that is the same before and after says that what was read in between belongs together. Nobody waits here.
 *
 *              ┌───────────────────────┐
 *      -4096   │ clock page            │  read only
 *              ├───────────────────────┤
 *          0   │ ELF header, symbols,  │  ← AT_SYSINFO_EHDR
 *              │ eh_frame, code        │  read and execute
 *              └───────────────────────┘
 *
 * Mode        ring 3, position independent; no stack is used
 * Convention  System V; DF=0. Like the calls, they return 0 or -errno; a bad pointer is the program's fault, literally
 * Source      Linux, Documentation/ABI/stable/vdso (names and version); System V ABI AMD64 supplement §3.7 (unwinding)
 */
        .intel_syntax noprefix
        /* Here it is unwound by programs: exceptions thrown in signal handlers, profilers, debuggers. */
        .cfi_sections .eh_frame, .debug_frame

#include "offsets.h"

        .set    SYS_GETTIMEOFDAY, 96
        .set    SYS_TIME, 201
        .set    SYS_CLOCK_GETTIME, 228
        .set    SYS_GETCPU, 309

/* Clocks, as bits: MONOTONIC, MONOTONIC_COARSE and BOOTTIME (the machine never sleeps) count from the start, REALTIME and
 * its coarse one from 1970. A coarse clock may be as good as the other. */
        .set    FROM_START, 1 << 1 | 1 << 6 | 1 << 7
        .set    FROM_1970, 1 << 0 | 1 << 5
        .set    CLOCKS, 8

.macro FUNC name
        .globl  __vdso_\name
        .type   __vdso_\name, @function
        .balign 16
__vdso_\name:
        .cfi_startproc
.endm

/* Its end, and the call it stands for, which takes the same arguments in the same registers. */
.macro ENDFUNC name, number
\name\()_call:
        mov     eax, \number
        syscall
        ret
        .cfi_endproc
        .size   __vdso_\name, . - __vdso_\name
        /* Where a program has no function of this name itself, it may take this one. */
        .weak   \name
        .type   \name, @function
        .set    \name, __vdso_\name
        .size   \name, . - __vdso_\name
.endm

/* rax = nanoseconds, since 1970 if r9 is all ones and since the start if it is 0; on to `otherwise` if only the
 * kernel knows. Changes rax rcx rdx r8 r10 r11. */
.macro NANOSECONDS otherwise
        lea     r8, [rip + clock_page]
771:    mov     r10, [r8 + CLOCK_PAGE_SEQUENCE]
        test    r10b, 1
        jnz     \otherwise
        /* Loads are done in order on x86_64; LFENCE keeps the counter from being read before them. */
        lfence
        rdtsc
        shl     rdx, 32
        or      rax, rdx
        /* 0, but not before the counter has been read: no CPU takes AND for what it comes to. */
        mov     ecx, eax
        and     ecx, 0
        sub     rax, [r8 + CLOCK_PAGE_ANCHOR]
        /* A CPU whose counter is a little behind the one that set the anchor: nothing has passed yet. */
        cmp     rax, [r8 + CLOCK_PAGE_MOST]
        cmova   rax, rcx
        mul     qword ptr [r8 + CLOCK_PAGE_SCALED]
        shrd    rax, rdx, CLOCK_PAGE_FRACTION_BITS
        add     rax, [r8 + CLOCK_PAGE_BASE_NS]
        mov     r11, [r8 + CLOCK_PAGE_WALL_NS]
        and     r11, r9
        add     rax, r11
        /* Before 1970, or after 2262. */
        js      \otherwise
        /* Its address needs the counter, so the CPU cannot load this before: still even, and nothing was changed up to the
         * count that was used. */
        cmp     r10, [r8 + rcx + CLOCK_PAGE_SEQUENCE]
        jne     771b
.endm

/* rdx = rax / 10^9, rax = the rest. Exact for all 64 bits: 2^9 is a factor of 10^9, and the rest of it divides by a
 * multiplication with 2^75 / 5^9 / 2^9, rounded up (T. Granlund, P. Montgomery, "Division by Invariant Integers using
 * Multiplication", 1994). Changes rcx. */
.macro SECONDS
        mov     rcx, rax
        shr     rax, 9
        movabs  rdx, 0x44B82FA09B5A53
        mul     rdx
        shr     rdx, 11
        imul    rax, rdx, 1000000000
        sub     rcx, rax
        mov     rax, rcx
.endm

        .text

/* int clock_gettime(clockid_t clock, struct timespec *now); */
FUNC clock_gettime
        cmp     edi, CLOCKS
        jae     clock_gettime_call
        xor     r9d, r9d
        mov     eax, FROM_START
        bt      eax, edi
        jc      1f
        mov     eax, FROM_1970
        bt      eax, edi
        jnc     clock_gettime_call
        not     r9
1:      NANOSECONDS clock_gettime_call
        SECONDS
        mov     [rsi], rdx
        mov     [rsi + 8], rax
        xor     eax, eax
        ret
ENDFUNC clock_gettime, SYS_CLOCK_GETTIME

/* int gettimeofday(struct timeval *now, struct timezone *zone); either may be null. */
FUNC gettimeofday
        test    rdi, rdi
        jz      1f
        mov     r9, -1
        NANOSECONDS gettimeofday_call
        SECONDS
        mov     [rdi], rdx
        /* Microseconds: less than 10^9 / 1000, rounded down, is right with 2^38 / 1000 rounded up. */
        imul    rax, rax, 274877907
        shr     rax, 38
        mov     [rdi + 8], rax
1:      test    rsi, rsi
        jz      1f
        /* The kernel has no zone: it is UTC, and always was. */
        mov     qword ptr [rsi], 0
1:      xor     eax, eax
        ret
ENDFUNC gettimeofday, SYS_GETTIMEOFDAY

/* time_t time(time_t *now); */
FUNC time
        mov     r9, -1
        NANOSECONDS time_call
        SECONDS
        mov     rax, rdx
        test    rdi, rdi
        jz      1f
        mov     [rdi], rax
1:      ret
ENDFUNC time, SYS_TIME

/* int getcpu(unsigned *cpu, unsigned *node, void *unused);
 * Where the kernel has put both into IA32_TSC_AUX (the node above 12 bits of CPU), RDTSCP brings them. */
FUNC getcpu
        cmp     dword ptr [rip + clock_page + CLOCK_PAGE_CPU_BY], CLOCK_PAGE_BY_RDTSCP
        jne     getcpu_call
        rdtscp
        test    rdi, rdi
        jz      1f
        mov     eax, ecx
        and     eax, 0xFFF
        mov     [rdi], eax
1:      test    rsi, rsi
        jz      1f
        shr     ecx, 12
        mov     [rsi], ecx
1:      xor     eax, eax
        ret
ENDFUNC getcpu, SYS_GETCPU
