/* flat.S: programs for ring 3.
 *
 * Each is a few instructions of position-independent code without a header: src/kernel/user maps its bytes, read and
 * execute, and jumps to the first. `user NAME` in the monitor runs one. The first few show the doors; the rest try to
 * break the kernel, and each of those is to be ended by name, or to exit with status 0 and the kernel none the worse.
 *
 * Mode    long, CPL 3, IF=1           Stack   64 KiB, which come page by page
 * In      every register zero but rsp, and rdi where somebody gives an argument
 * Calls   by Linux's numbers and registers
 */
#include "flat.h"

/* ---- The doors ---- */

/* Writes by both doors, reads a line and gives it back, exits with 7. */
PROGRAM flat_hello
        SAY     1f, 2f
        syscall
        SAY     2f, 3f
        int     0x80
        SAY     3f, 4f
        syscall
        xor     edi, edi
        lea     rsi, [rsp - 8192]       /* a page that nobody has touched yet: the kernel is the first */
        mov     edx, 200
        mov     eax, READ
        syscall
        mov     ebx, eax
        SAY     4f, 5f
        syscall
        mov     edi, 1
        lea     rsi, [rsp - 8192]
        mov     edx, ebx
        mov     eax, WRITE
        int     0x80
        EXIT_WITH 7
1:      .ascii  "hello from ring 3, by SYSCALL\n"
2:      .ascii  "hello from ring 3, by INT 0x80\n"
3:      .ascii  "what is your name? "
4:      .ascii  "hello, "
5:
ENDPROGRAM flat_hello

/* Every register and flag over a call: patterns in all of them, flags that would hurt a kernel that believed them. */
        .set    HOSTILE_FLAGS, 0x44ED7  /* AC NT OF DF IF SF ZF AF PF CF, and bit 1 */

.macro LOAD_PATTERNS table
        mov     rbx, [rip + \table]
        mov     rbp, [rip + \table + 8]
        mov     rdi, [rip + \table + 16]
        mov     rsi, [rip + \table + 24]
        mov     rdx, [rip + \table + 32]
        mov     r8, [rip + \table + 40]
        mov     r9, [rip + \table + 48]
        mov     r10, [rip + \table + 56]
        mov     r12, [rip + \table + 64]
        mov     r13, [rip + \table + 72]
        mov     r14, [rip + \table + 80]
        mov     r15, [rip + \table + 88]
        mov     rcx, [rip + \table + 96]
        mov     r11, [rip + \table + 104]
.endm

.macro CHECK_PATTERN reg, table, at
        cmp     \reg, [rip + \table + \at]
        CHECK
.endm

/* `what` with all registers set; afterwards each is compared. [rsp] holds rsp itself, [rsp + 8] the turns. */
.macro TURNS count, table, result, what:vararg
        mov     dword ptr [rsp + 8], \count
8:      mov     [rsp], rsp
        push    HOSTILE_FLAGS
        popfq
        LOAD_PATTERNS \table
        mov     eax, GETPID
        \what
        pushfq
        cld
        cmp     qword ptr [rsp], HOSTILE_FLAGS
        CHECK
        push    0x202
        popfq
        cmp     rax, \result
        CHECK
        lea     rax, [rsp + 8]
        cmp     [rsp + 8], rax
        CHECK
        pop     rax
        CHECK_PATTERN rbx, \table, 0
        CHECK_PATTERN rbp, \table, 8
        CHECK_PATTERN rdi, \table, 16
        CHECK_PATTERN rsi, \table, 24
        CHECK_PATTERN rdx, \table, 32
        CHECK_PATTERN r8, \table, 40
        CHECK_PATTERN r9, \table, 48
        CHECK_PATTERN r10, \table, 56
        CHECK_PATTERN r12, \table, 64
        CHECK_PATTERN r13, \table, 72
        CHECK_PATTERN r14, \table, 80
        CHECK_PATTERN r15, \table, 88
.endm

.macro NEXT_TURN
        dec     dword ptr [rsp + 8]
        jnz     8b
.endm

PROGRAM flat_registers
        sub     rsp, 16
        /* SYSCALL gives back the address of the next instruction and the flags, and nothing of the kernel's. */
        TURNS   10000, 9f, 1, syscall
3:      mov     eax, 0
        cmp     r11, HOSTILE_FLAGS
        CHECK
        NEXT_TURN
        TURNS   10000, 9f, 1, int 0x80
        CHECK_PATTERN rcx, 9f, 96
        CHECK_PATTERN r11, 9f, 104
        NEXT_TURN
        /* No call at all: interrupts alone. */
        TURNS   200000, 9f, GETPID, nop
        CHECK_PATTERN rcx, 9f, 96
        CHECK_PATTERN r11, 9f, 104
        NEXT_TURN
        EXIT_WITH 0
        .balign 8
9:      .quad   0x1111111111111111, 0x2222222222222222, 0x3333333333333333, 0xC444444444444444
        .quad   0x5555555555555555, 0x6666666666666666, 0x7777777777777777, 0x8888888888888888
        .quad   0x9999999999999999, 0xAAAAAAAAAAAAAAAA, 0xBBBBBBBBBBBBBBBB, 0xCCCCCCCCCCCCCCCC
        .quad   0xDDDDDDDDDDDDDDDD, 0xEEEEEEEEEEEEEEEE
ENDPROGRAM flat_registers

/* Single step over SYSCALL: a trap in ring 0 is no harm, and one comes behind the NOP, in ring 3. */
PROGRAM flat_step
        SAY     1f, 2f
        pushfq
        or      dword ptr [rsp], 1 << 8
        popfq
        syscall
        nop
        ud2
1:      .ascii  "stepped over\n"
2:
ENDPROGRAM flat_step

/* The same over INT 0x80. */
PROGRAM flat_step_int
        SAY     1f, 2f
        pushfq
        or      dword ptr [rsp], 1 << 8
        popfq
        int     0x80
        nop
        ud2
1:      .ascii  "stepped over\n"
2:
ENDPROGRAM flat_step_int

/* Calls that do not exist, and one that does with an upper half, which says nothing. */
PROGRAM flat_enosys
        mov     eax, 500
        syscall
        cmp     rax, -ENOSYS
        CHECK
        mov     eax, 500
        int     0x80
        cmp     rax, -ENOSYS
        CHECK
        mov     rax, -1
        syscall
        cmp     rax, -ENOSYS
        CHECK
        mov     eax, GETPID
        syscall
        mov     r12, rax
        movabs  rax, (1 << 32) + GETPID
        syscall
        cmp     rax, r12
        CHECK
        EXIT_WITH 0
ENDPROGRAM flat_enosys

/* Addresses that are not the program's to give. */
.macro BAD_WRITE address, len
        mov     edi, 1
        movabs  rsi, \address
        movabs  rdx, \len
        mov     eax, WRITE
        syscall
        cmp     rax, -EFAULT
        CHECK
.endm

PROGRAM flat_pointers
        BAD_WRITE 0, 1
        BAD_WRITE 0x300000, 1
        BAD_WRITE 0x7FFFFFFFF000, 1
        BAD_WRITE 0x7FFFFFFFEFFF, 2
        BAD_WRITE 0x800000000000, 1
        BAD_WRITE KERNEL_BASE, 1
        BAD_WRITE DIRECT_MAP_BASE, 4096
        BAD_WRITE -1, 1
        BAD_WRITE -1, 2
        BAD_WRITE 0xFFFFFFFFFFFFF000, 8192
        /* A line is waited for; then text is read-only for the kernel's copy as well. */
        xor     edi, edi
        lea     rsi, [rip + flat_pointers]
        mov     edx, 100
        mov     eax, READ
        syscall
        cmp     rax, -EFAULT
        CHECK
        EXIT_WITH 0
ENDPROGRAM flat_pointers

/* The stack grows by being touched, as far as it may. */
PROGRAM flat_stack
        mov     rax, rsp
        mov     ecx, 16
1:      sub     rax, 4096
        mov     [rax], ecx
        dec     ecx
        jnz     1b
        mov     byte ptr [rax - 1], 0   /* one too many */
        EXIT_WITH 1
ENDPROGRAM flat_stack

/* A hundred thousand calls by each door: to be disturbed meanwhile. */
.macro SPIN door:vararg
        mov     ebx, 100000
8:      mov     eax, GETPID
        \door
        cmp     rax, 1
        CHECK
        dec     ebx
        jnz     8b
.endm

PROGRAM flat_spin
        SPIN    syscall
        SPIN    int 0x80
        EXIT_WITH 0
ENDPROGRAM flat_spin

/* The same with a stack pointer into the kernel's own NMI stack: an NMI between SYSCALL and the kernel's stack must
 * not be taken for one that interrupted the handler of another. */
PROGRAM flat_spin_stack
        mov     rsp, offset nmi_stack + 2048
        SPIN    syscall
        SPIN    int 0x80
        EXIT_WITH 0
ENDPROGRAM flat_spin_stack

/* Stack pointers that no kernel may use, through both doors. */
.macro STACK_POINTER value
        movabs  rsp, \value
        mov     eax, GETPID
        syscall
        cmp     rax, 1
        CHECK
        mov     eax, GETPID
        int     0x80
        cmp     rax, 1
        CHECK
        movabs  rax, \value
        cmp     rsp, rax
        CHECK
.endm

PROGRAM flat_bad_stack
        STACK_POINTER 0
        STACK_POINTER 1
        STACK_POINTER 0x300000
        STACK_POINTER 0x7FFFFFFFF000
        STACK_POINTER 0x800000000000
        STACK_POINTER KERNEL_BASE
        STACK_POINTER DIRECT_MAP_BASE
        STACK_POINTER 0xFFFFFFFFFFFFFFFF
        EXIT_WITH 0
ENDPROGRAM flat_bad_stack

/* A base of GS that looks like the kernel's, where ring 3 may load one; then calls, interrupts and NMIs. */
PROGRAM flat_gs
        mov     r12, offset boot_stack
        wrgsbase r12
        SPIN    syscall
        SPIN    int 0x80
        mov     ecx, 10000000
1:      dec     ecx
        jnz     1b
        rdgsbase rax
        cmp     rax, r12
        CHECK
        EXIT_WITH 0
ENDPROGRAM flat_gs

/* Segment registers loaded with what ring 3 may. */
PROGRAM flat_segments
        mov     eax, USER_DS
        mov     ds, eax
        mov     es, eax
        mov     fs, eax
        mov     gs, eax
        SPIN    syscall
        SPIN    int 0x80
        EXIT_WITH 0
ENDPROGRAM flat_segments

/* ---- What ends a program ---- */

/* SYSCALL in the last two bytes that a program can have: it returns to where nothing may be. */
PROGRAM flat_last_bytes
        mov     eax, GETPID
        syscall
ENDPROGRAM flat_last_bytes

        HOSTILE flat_read_kernel, AT KERNEL_BASE, mov rbx, [rax]
        HOSTILE flat_write_kernel, AT KERNEL_BASE, mov [rax], rbx
        HOSTILE flat_jump_kernel, AT KERNEL_BASE, jmp rax
        HOSTILE flat_read_null, AT 0, mov rbx, [rax]
        HOSTILE flat_read_noncanonical, AT 0x800000000000, mov rbx, [rax]
        HOSTILE flat_jump_noncanonical, AT 0x800000000000, jmp rax
        HOSTILE flat_write_text, mov [rip + flat_write_text], eax
        HOSTILE flat_hlt, hlt
        HOSTILE flat_cli, cli
        HOSTILE flat_in, in al, 0x60
        HOSTILE flat_out, out 0x80, al
        HOSTILE flat_rdmsr, rdmsr
        HOSTILE flat_cr3, mov cr3, rax
        HOSTILE flat_swapgs, swapgs
        HOSTILE flat_sysret, sysretq
        HOSTILE flat_lgdt, lgdt [rsp - 16]
        HOSTILE flat_int3, int3
        HOSTILE flat_int_nmi, int 2
        HOSTILE flat_int_pf, int 14
        HOSTILE flat_int_timer, int 0x30
        HOSTILE flat_ud2, ud2
        HOSTILE flat_icebp, .byte 0xF1

PROGRAM flat_push_noncanonical
        movabs  rsp, 0x800000000010
        push    rax
        EXIT_WITH 99
ENDPROGRAM flat_push_noncanonical

PROGRAM flat_run_stack
        push    0x90
        jmp     rsp
ENDPROGRAM flat_run_stack

PROGRAM flat_divide
        mov     eax, 1
        div     ecx                     /* all registers but rsp begin as zero */
        EXIT_WITH 99
ENDPROGRAM flat_divide

/* Alignment is checked while RFLAGS.AC and CR0.AM are set. */
PROGRAM flat_misaligned
        pushfq
        or      dword ptr [rsp], 1 << 18
        popfq
        mov     rax, [rsp - 15]
        EXIT_WITH 99
ENDPROGRAM flat_misaligned

/* IRETQ may not raise the privilege level. */
PROGRAM flat_iret
        push    KERNEL_DS
        push    rsp
        push    0x202
        push    KERNEL_CS
        push    KERNEL_BASE & 0x7FFFFFFF
        iretq
        EXIT_WITH 99
ENDPROGRAM flat_iret
