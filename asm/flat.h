/* flat.h: what the programs for ring 3 are written with (asm/flat.S, asm/flat_memory.S).
 *
 * Where a program checks something, its exit status is 0 if all was well, or else the number of the check.
 */
#ifndef SIS_FLAT_H
#define SIS_FLAT_H

#include "macros.h"

        .set    READ, 0
        .set    WRITE, 1
        .set    MMAP, 9
        .set    MPROTECT, 10
        .set    MUNMAP, 11
        .set    BRK, 12
        .set    MREMAP, 25
        .set    MSYNC, 26
        .set    MADVISE, 28
        .set    GETPID, 39
        .set    EXIT, 60
        .set    EFAULT, 14
        .set    EBADF, 9
        .set    ENOMEM, 12
        .set    EINVAL, 22
        .set    ENOSYS, 38

.macro PROGRAM name
        .balign 16
        .globl  \name
        .type   \name, @object
\name:
        .set    checks, 0
.endm

/* Its last bytes: the way out with the status in edi, for those that get there. */
.macro ENDPROGRAM name
        .globl  \name\()_end
        .type   \name\()_end, @object
\name\()_end:
        .size   \name, \name\()_end - \name
        .size   \name\()_end, 0
.endm

.macro EXIT_WITH status
        mov     edi, \status
        mov     eax, EXIT
        syscall
        ud2
.endm

/* Goes on if the last comparison was equal, else ends with the next number as its status. */
.macro CHECK
        .set    checks, checks + 1
        je      777f
        EXIT_WITH checks
777:
.endm

.macro SAY text, end
        mov     edi, 1
        lea     rsi, [rip + \text]
        mov     edx, offset \end - \text
        mov     eax, WRITE
.endm

/* Instructions of one kind each: what follows them is not to be reached. */
.macro HOSTILE name, instructions:vararg
PROGRAM \name
        \instructions
        EXIT_WITH 99
ENDPROGRAM \name
.endm

.macro AT address, instruction:vararg
        movabs  rax, \address
        \instruction
.endm

        .section .rodata.flat, "a", @progbits

#endif
