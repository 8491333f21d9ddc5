/* flat_memory.S: programs for ring 3 that use memory, as asm/flat.S has those that use the doors.
 *
 * The address space that they run in is src/kernel/user/space.rs's: their bytes at two places, once to be executed and
 * once to be written to, a stack, and whatever they ask for. A page is there once it is touched, never before; so each
 * of them is about what its page faults find. Kernel accesses go by the same page tables and the same TLB: where a
 * program must not die of an address that has become bad, it has write() read from it, which says EFAULT.
 *
 * Mode    long, CPL 3, IF=1           Stack   64 KiB, which come page by page
 * In      rdi = where the program's own bytes are to be written to; every other register but rsp is zero
 * Calls   by Linux's numbers and registers
 */
#include "flat.h"

        .set    PROT_NONE, 0
        .set    PROT_READ, 1
        .set    PROT_RW, 3
        .set    MAP_SHARED, 0x01
        .set    MAP_PRIVATE, 0x02
        .set    MAP_ANONYMOUS, 0x20
        .set    MAP_NORESERVE, 0x4000
        .set    MAP_POPULATE, 0x8000
        .set    MREMAP_MAYMOVE, 1
        .set    MADV_DONTNEED, 4
        .set    MS_SYNC, 4

/* System calls with constants, by name. Each answers in rax. */
.macro MAP bytes, prot, flags
        xor     edi, edi
        movabs  rsi, \bytes
        mov     edx, \prot
        mov     r10d, \flags
        mov     r8, -1
        xor     r9d, r9d
        mov     eax, MMAP
        syscall
.endm

/* CALL3 number, pages from rbx, bytes, third argument */
.macro CALL3 number, page, bytes, third
        lea     rdi, [rbx + (\page) * PAGE_SIZE]
        mov     esi, \bytes
        mov     edx, \third
        mov     eax, \number
        syscall
.endm

/* The kernel cannot read a byte of that page of rbx's. */
.macro CHECK_GONE page
        CHECK_GONE_AT [rbx + (\page) * PAGE_SIZE]
.endm

.macro CHECK_GONE_AT place:vararg
        lea     rsi, \place
        mov     edi, 1
        mov     edx, 1
        mov     eax, WRITE
        syscall
        cmp     rax, -EFAULT
        CHECK
.endm

.macro CHECK_DONE
        test    rax, rax
        CHECK
.endm

/* rax is an address of the user's half, and no error. */
.macro CHECK_ADDRESS
        mov     rcx, rax
        shr     rcx, 47
        CHECK
.endm

.macro CHECK_WORD page, value
        cmp     qword ptr [rbx + (\page) * PAGE_SIZE + 8], \value
        CHECK
.endm

PROGRAM flat_memory
        /* Demand zero: 64 pages, read first and then written, or written at once. */
        MAP     64*PAGE_SIZE, PROT_RW, MAP_PRIVATE|MAP_ANONYMOUS
        CHECK_ADDRESS
        mov     rbx, rax
        CHECK_GONE_AT [rbx - 1]
        mov     rdx, rbx
        xor     ecx, ecx
1:      test    ecx, 1
        jz      2f
        cmp     qword ptr [rdx + 8], 0
        CHECK
2:      mov     [rdx + 8], rcx
        add     rdx, PAGE_SIZE
        inc     ecx
        cmp     ecx, 64
        jne     1b
        mov     rdx, rbx
        xor     ecx, ecx
1:      cmp     [rdx + 8], rcx
        CHECK
        cmp     qword ptr [rdx], 0
        CHECK
        add     rdx, PAGE_SIZE
        inc     ecx
        cmp     ecx, 64
        jne     1b

        /* A hole in it: no TLB remembers, and what lies beside it stays. */
        CALL3   MUNMAP, 16, 16*PAGE_SIZE, 0
        CHECK_DONE
        CHECK_GONE 16
        CHECK_GONE 31
        CHECK_WORD 15, 15
        CHECK_WORD 32, 32

        /* No rights, and rights again: the content is the same. */
        CALL3   MPROTECT, 40, PAGE_SIZE, PROT_NONE
        CHECK_DONE
        CHECK_GONE 40
        CALL3   MPROTECT, 40, PAGE_SIZE, PROT_RW
        CHECK_DONE
        CHECK_WORD 40, 40
        CALL3   MPROTECT, 41, PAGE_SIZE, PROT_READ
        CHECK_DONE
        CHECK_WORD 41, 41

        /* A page that grows to four, elsewhere, since its neighbour is taken. */
        lea     rdi, [rbx + 48 * PAGE_SIZE]
        mov     esi, PAGE_SIZE
        mov     edx, 4 * PAGE_SIZE
        mov     r10d, MREMAP_MAYMOVE
        mov     eax, MREMAP
        syscall
        CHECK_ADDRESS
        cmp     qword ptr [rax + 8], 48
        CHECK
        cmp     qword ptr [rax + 3 * PAGE_SIZE + 8], 0
        CHECK
        CHECK_GONE 48
        CHECK_WORD 49, 49

        /* Dropped pages are zero again. */
        CALL3   MADVISE, 0, 8*PAGE_SIZE, MADV_DONTNEED
        CHECK_DONE
        CHECK_WORD 7, 0
        CHECK_WORD 8, 8

        /* The heap grows and shrinks. */
        xor     edi, edi
        mov     eax, BRK
        syscall
        mov     r12, rax
        lea     rdi, [r12 + 3 * PAGE_SIZE]
        mov     eax, BRK
        syscall
        sub     rax, r12
        cmp     rax, 3 * PAGE_SIZE
        CHECK
        mov     qword ptr [r12 + 2 * PAGE_SIZE], 1
        mov     rdi, r12
        mov     eax, BRK
        syscall
        cmp     rax, r12
        CHECK
        CHECK_GONE_AT [r12 + 2 * PAGE_SIZE]

        /* Shared memory, there from the beginning. */
        MAP     8*PAGE_SIZE, PROT_RW, MAP_SHARED|MAP_ANONYMOUS|MAP_POPULATE
        CHECK_ADDRESS
        mov     rbx, rax
        mov     qword ptr [rbx + 7 * PAGE_SIZE + 8], 7
        CALL3   MSYNC, 0, 8*PAGE_SIZE, MS_SYNC
        CHECK_DONE
        CHECK_WORD 7, 7
        CALL3   MADVISE, 0, 8*PAGE_SIZE, MADV_DONTNEED
        CHECK_WORD 7, 7

        /* A terabyte without a promise, and its two ends. */
        MAP     1<<40, PROT_RW, MAP_PRIVATE|MAP_ANONYMOUS|MAP_NORESERVE
        CHECK_ADDRESS
        movabs  rcx, 1 << 40
        mov     byte ptr [rax], 1
        mov     byte ptr [rax + rcx - 1], 1

        /* What is refused. */
        MAP     0, PROT_RW, MAP_PRIVATE|MAP_ANONYMOUS
        cmp     rax, -EINVAL
        CHECK
        MAP     PAGE_SIZE, PROT_RW, MAP_PRIVATE
        cmp     rax, -EBADF
        CHECK
        MAP     1<<47, PROT_RW, MAP_PRIVATE|MAP_ANONYMOUS|MAP_NORESERVE
        cmp     rax, -ENOMEM
        CHECK
        MAP     1<<40, PROT_RW, MAP_PRIVATE|MAP_ANONYMOUS
        cmp     rax, -ENOMEM
        CHECK
        CALL3   MPROTECT, 0, 64*PAGE_SIZE, 8
        cmp     rax, -EINVAL
        CHECK
        lea     rdi, [rbx + 1]
        mov     esi, PAGE_SIZE
        mov     eax, MUNMAP
        syscall
        cmp     rax, -EINVAL
        CHECK
        CALL3   MADVISE, 0, PAGE_SIZE, 77
        cmp     rax, -EINVAL
        CHECK
        EXIT_WITH 0
ENDPROGRAM flat_memory

/* Copy on write: the program's own bytes, mapped privately twice. What is written at one place is not seen at the other,
 * whether the page was read before or not, and whoever writes. */
PROGRAM flat_cow
        mov     rbx, rdi
        lea     r12, [rbx + (8f - flat_cow)]
        mov     eax, [r12]
        cmp     eax, 0x600DBEEF
        CHECK
        mov     dword ptr [r12], 1
        cmp     dword ptr [rip + 8f], 0x600DBEEF
        CHECK
        cmp     dword ptr [r12], 1
        CHECK
        cmp     dword ptr [r12 + 4], 0x600DF00D
        CHECK
        EXIT_WITH 0
        .balign 8
8:      .long   0x600DBEEF, 0x600DF00D
ENDPROGRAM flat_cow

/* Counts how often it has run in its address space, in three kinds of memory: its own bytes, its stack, its heap. The
 * exit status is the count, or 99 if they do not agree. A copy of the address space goes on from where it was made. */
PROGRAM flat_count
        lea     rbx, [rdi + (8f - flat_count)]
        inc     dword ptr [rbx]
        mov     r12d, [rbx]
        inc     dword ptr [rsp - 3 * PAGE_SIZE]
        cmp     [rsp - 3 * PAGE_SIZE], r12d
        jne     3f
        mov     r13, [rbx + 8]
        test    r13, r13
        jnz     1f
        xor     edi, edi
        mov     eax, BRK
        syscall
        mov     r13, rax
        mov     [rbx + 8], r13
        lea     rdi, [r13 + PAGE_SIZE]
        mov     eax, BRK
        syscall
1:      inc     dword ptr [r13]
        cmp     [r13], r12d
        jne     3f
        EXIT_WITH r12d
3:      EXIT_WITH 99
        .balign 16
8:      .quad   0, 0
ENDPROGRAM flat_count

/* Takes memory until there is none. */
PROGRAM flat_hog
        MAP     1<<40, PROT_RW, MAP_PRIVATE|MAP_ANONYMOUS|MAP_NORESERVE
1:      mov     [rax], rax
        add     rax, PAGE_SIZE
        jmp     1b
ENDPROGRAM flat_hog

/* ---- What ends a program ---- */

/* A page of its own, in rbx, that was written to. */
.macro OWN_PAGE
        MAP     PAGE_SIZE, PROT_RW, MAP_PRIVATE|MAP_ANONYMOUS
        mov     rbx, rax
        mov     byte ptr [rbx], 0xC3    /* RET */
.endm

PROGRAM flat_use_unmapped
        OWN_PAGE
        CALL3   MUNMAP, 0, PAGE_SIZE, 0
        mov     al, [rbx]
        EXIT_WITH 99
ENDPROGRAM flat_use_unmapped

PROGRAM flat_write_protected
        OWN_PAGE
        CALL3   MPROTECT, 0, PAGE_SIZE, PROT_READ
        mov     al, [rbx]
        mov     [rbx], al
        EXIT_WITH 99
ENDPROGRAM flat_write_protected

PROGRAM flat_read_none
        OWN_PAGE
        CALL3   MPROTECT, 0, PAGE_SIZE, PROT_NONE
        mov     al, [rbx]
        EXIT_WITH 99
ENDPROGRAM flat_read_none

PROGRAM flat_run_data
        OWN_PAGE
        call    rbx
        EXIT_WITH 99
ENDPROGRAM flat_run_data

PROGRAM flat_call_null
        xor     eax, eax
        call    rax
        EXIT_WITH 99
ENDPROGRAM flat_call_null

/* Just above the stack, and far below it: neither is the stack's. */
PROGRAM flat_above_stack
        mov     al, [rsp]
        EXIT_WITH 99
ENDPROGRAM flat_above_stack

PROGRAM flat_below_stack
        mov     [rsp - (1 << 20)], al
        EXIT_WITH 99
ENDPROGRAM flat_below_stack
