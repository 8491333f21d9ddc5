/* faults.S: every exception, on purpose.
 *
 * What `fault KIND` in the monitor calls, each inside recover_call. Where the hardware has a way to raise
 * an exception from ring 0, that way is taken; the others come by INT n, or, where the vector carries an
 * error code (INT pushes none), by a frame built by hand and a jump to the stub.
 *
 * Convention  System V, unsafe extern "sysv64" fn(a: u64, b: u64); most do not return.
 * Source      Intel SDM vol. 3 §6.15 (exception reference).
 */
#include "macros.h"

        .text

FUNC fault_de                           /* #DE: 1 / 0 */
        mov     eax, 1
        xor     edx, edx
        xor     ecx, ecx
        div     ecx
        ret
ENDFUNC fault_de

FUNC fault_db                           /* #DB: single step; traps after the instruction that follows POPF */
        pushfq
        .cfi_adjust_cfa_offset 8
        or      dword ptr [rsp], 1 << 8 /* RFLAGS.TF */
        popfq
        .cfi_adjust_cfa_offset -8
        nop
        ret
ENDFUNC fault_db

FUNC fault_bp                           /* #BP */
        int3
        ret
ENDFUNC fault_bp

FUNC fault_ud                           /* #UD: the opcode reserved for it */
        ud2
        ret
ENDFUNC fault_ud

FUNC fault_nm                           /* #NM: x87 while CR0.TS says that somebody else's state is loaded */
        mov     rax, cr0
        or      eax, 1 << 3             /* TS; the caller clears it */
        mov     cr0, rax
        fnop
        ret
ENDFUNC fault_nm

/* Two that need a descriptor which is not present. The slot of user data lends itself, since there is no
 * ring 3 yet; the caller puts it right again (gdt::restore_user_data). */
FUNC fault_np                           /* #NP(selector): ES from a descriptor that is not present */
        and     byte ptr gs:[gdt + (USER_DS & ~7) + 5], 0x7F
        mov     eax, USER_DS
        mov     es, eax
        ret
ENDFUNC fault_np

FUNC fault_ss                           /* #SS(selector): the same with SS, whose DPL must be ours to get that far */
        and     byte ptr gs:[gdt + (USER_DS & ~7) + 5], 0x1F
        mov     eax, USER_DS & ~7
        mov     ss, eax
        ret
ENDFUNC fault_ss

FUNC fault_gp                           /* #GP(0): a non-canonical address, through any other register */
        mov     rax, 1
        shl     rax, 63
        mov     rax, [rax]
        ret
ENDFUNC fault_gp

FUNC fault_gp_selector                  /* #GP(selector): a selector past the end of the GDT */
        mov     eax, 0x1238
        mov     es, eax
        ret
ENDFUNC fault_gp_selector

FUNC fault_gp_ldt                       /* #GP(selector): one of the LDT, which there is none of */
        mov     eax, 0x1C               /* entry 3, TI */
        mov     es, eax
        ret
ENDFUNC fault_gp_ldt

/* #GP(vector): INT 255 while the IDT ends before its gate. What can come until the caller has put the limit right
 * again (fault_idt_whole) lies below. */
FUNC fault_gp_idt
        sub     rsp, 16
        .cfi_adjust_cfa_offset 16
        sidt    [rsp]
        mov     word ptr [rsp], 255 * 16 - 1
        lidt    [rsp]
        add     rsp, 16
        .cfi_adjust_cfa_offset -16
        int     255
        ret
ENDFUNC fault_gp_idt

/* unsafe extern "sysv64" fn fault_idt_whole(); */
FUNC fault_idt_whole
        sub     rsp, 16
        .cfi_adjust_cfa_offset 16
        sidt    [rsp]
        mov     word ptr [rsp], 256 * 16 - 1
        lidt    [rsp]
        add     rsp, 16
        .cfi_adjust_cfa_offset -16
        ret
ENDFUNC fault_idt_whole

FUNC fault_mf                           /* #MF: x87 1/0 with the exception unmasked, seen at the next x87 instruction */
        fninit
        push    0x037B                  /* control word: everything masked but division by zero */
        .cfi_adjust_cfa_offset 8
        fldcw   [rsp]
        add     rsp, 8
        .cfi_adjust_cfa_offset -8
        fldz
        fld1
        fdivrp
        fwait
        ret
ENDFUNC fault_mf

FUNC fault_xm                           /* #XM: SSE 1/0, unmasked. QEMU's TCG raises no SSE exceptions: then INT 19 */
        push    0x1D80                  /* MXCSR: everything masked but division by zero */
        .cfi_adjust_cfa_offset 8
        ldmxcsr [rsp]
        mov     eax, 0x3F800000         /* 1.0 */
        movd    xmm0, eax
        xorps   xmm1, xmm1
        divss   xmm0, xmm1
        mov     dword ptr [rsp], 0x1F80 /* the default again */
        ldmxcsr [rsp]
        add     rsp, 8
        .cfi_adjust_cfa_offset -8
        int     19
        ret
ENDFUNC fault_xm

FUNC fault_read                         /* #PF: read of address `a` */
        mov     rax, [rdi]
        ret
ENDFUNC fault_read

FUNC fault_write                        /* #PF: write to address `a` */
        mov     qword ptr [rdi], 0
        ret
ENDFUNC fault_write

/* #PF at address `a`, and in its handler another one: the walk over the stack follows rbp, which is `b`. */
FUNC fault_nested
        mov     rbp, rsi
        mov     rax, [rdi]
        ret
ENDFUNC fault_nested

FUNC fault_jump                         /* #PF: fetch from address `a` */
        call    rdi
        ret
ENDFUNC fault_jump

/* #DF: an exception that cannot be delivered, since RSP points to nowhere. */
FUNC fault_df
        .cfi_def_cfa rbp, 0             /* our caller is recover_call, whose rbp is its rsp: that is still there */
        xor     esp, esp
        ud2
ENDFUNC fault_df

/* #DF again, by the usual way: recursion until the guard page is hit. */
FUNC fault_stack_overflow
        push    rbp
        .cfi_adjust_cfa_offset 8
        mov     rbp, rsp
        call    fault_stack_overflow
        pop     rbp
        .cfi_adjust_cfa_offset -8
        ret
ENDFUNC fault_stack_overflow

/* INT a, for any vector. INT takes its vector from the instruction, so there is one for each. */
FUNC fault_int
        lea     rax, [rip + int_table]
        and     edi, 255
        lea     rax, [rax + rdi * 4]
        jmp     rax
        .balign 4
int_table:
        .set    vector, 0
        .rept   256
        .byte   0xCD, vector            /* INT vector, also for 3: the short form is another opcode */
        ret
        .balign 4
        .set    vector, vector + 1
        .endr
ENDFUNC fault_int

/* Vector `a` with error code `b`, as the CPU would push them, and on to the stub. */
FUNC fault_synthetic
        mov     rax, rsp
        .cfi_def_cfa rax, 8             /* through the pushes below */
        and     rsp, -16
        push    KERNEL_DS
        push    rax
        pushfq
        push    KERNEL_CS
        lea     rcx, [rip + 1f]
        push    rcx
        push    rsi
        imul    edi, edi, TRAP_STUB_SIZE
        lea     rcx, [rip + trap_stubs]
        add     rcx, rdi
        jmp     rcx
        .cfi_def_cfa rsp, 8             /* IRETQ would come back here with the old stack pointer */
1:      ret
ENDFUNC fault_synthetic
