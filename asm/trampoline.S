/* trampoline.S: where every CPU but the first begins.
 *
 * A start-up IPI sets a CPU going in real mode, as in 1978, at the beginning of a page below 1 MiB. What stands there
 * is a copy of the code from `trampoline` on, made by src/arch/x86_64/ap/mod.rs, which has also filled in the addresses
 * that depend on where the page is. All CPUs go through it at the same time: it has no stack and writes to no memory.
 *
 *   trampoline     real mode       CS = the page, everything else unknown or 0
 *   trampoline_32  protected mode  flat segments; on with PAE, our start tables, EFER.LME and NXE, then paging
 *   trampoline_64  long mode       jumps to where the kernel is linked
 *   ap_start       there           from the start tables to the kernel's own, in which the page is not mapped; who am
 *                                  I? my GS base, my GDT, my stack, my TSS
 *   ap_main        Rust            src/platform/pc/cpus/arrive.rs
 *
 * Mode   as above, CPL 0, IF=0       Stack  none, then the CPU's idle stack
 * CR3    none; start tables (the kernel's half, and this one page by its physical address); the kernel's
 * Source Intel SDM vol. 3 §8.4 (MP initialisation), §9.8.5 (entering IA-32e mode), §9.9.1; MP specification §B.4
 */
#include "macros.h"

        .section .rodata.trampoline, "a", @progbits
        .balign 16
        .globl  trampoline
        .type   trampoline, @object
trampoline:
        .code16
        cli
        cld
        /* Where are we? EBX = the page's address, for as long as addresses are physical. */
        xor     ebx, ebx
        mov     bx, cs
        mov     ds, bx
        shl     ebx, 4
        /* With a 32-bit operand: the 16-bit one would take 24 bits of the base. */
        .byte   0x66
        lgdt    [trampoline_gdt_pointer - trampoline]
        /* Protection on; and the caches, which INIT leaves off. */
        mov     eax, CR0_PE | CR0_ET
        mov     cr0, eax
        .byte   0x66                    /* JMP FAR m16:32: the only way to load CS */
        jmp     fword ptr [trampoline_far_32 - trampoline]

        .code32
trampoline_32:
        mov     eax, KERNEL_DS
        mov     ds, eax
        mov     es, eax
        mov     ss, eax
        mov     eax, CR4_PAE
        mov     cr4, eax
        mov     eax, [ebx + trampoline_cr3 - trampoline]
        mov     cr3, eax
        /* NXE before paging: the tables' no-execute bits would be reserved ones, and fault. */
        mov     ecx, IA32_EFER
        rdmsr
        or      eax, EFER_LME | EFER_NXE
        wrmsr
        mov     eax, cr0
        or      eax, CR0_PG
        mov     cr0, eax
        /* Now in long mode, but in a 32-bit code segment. */
        jmp     fword ptr [ebx + trampoline_far_64 - trampoline]

        .code64
trampoline_64:
        mov     rax, offset ap_start
        jmp     rax

        .balign 8
trampoline_gdt:
        .quad   0
        .quad   0x00AF9B000000FFFF      /* KERNEL_CS and KERNEL_DS as in asm/gdt.S */
        .quad   0x00CF93000000FFFF
        .quad   0x00CF9B000000FFFF      /* 32-bit code */
        .set    CODE_32, 0x18

/* What src/arch/x86_64/ap/mod.rs fills in. Each of the first three gets the page's address added. */
        .globl  trampoline_gdt_pointer
        .globl  trampoline_far_32
        .globl  trampoline_far_64
        .globl  trampoline_cr3
        .type   trampoline_gdt_pointer, @object
        .type   trampoline_far_32, @object
        .type   trampoline_far_64, @object
        .type   trampoline_cr3, @object
        .balign 4
        .word   0                       /* so that the bases are aligned */
trampoline_gdt_pointer:
        .word   trampoline_gdt_pointer - trampoline_gdt - 1
        .long   trampoline_gdt - trampoline
trampoline_far_32:
        .long   trampoline_32 - trampoline
        .word   CODE_32
        .word   0
trampoline_far_64:
        .long   trampoline_64 - trampoline
        .word   KERNEL_CS
        .word   0
trampoline_cr3:
        .long   0
        .globl  trampoline_end
        .type   trampoline_end, @object
trampoline_end:
        .size   trampoline_gdt_pointer, 6
        .size   trampoline_far_32, 8
        .size   trampoline_far_64, 8
        .size   trampoline_cr3, 4
        .size   trampoline, . - trampoline
        .size   trampoline_end, 0

        .data
        .balign 8
/* The kernel's tables, and the CPUs that may come: src/arch/x86_64/ap/mod.rs. */
OBJECT ap_cr3
        .quad   0
ENDOBJECT ap_cr3
OBJECT ap_entries
        .quad   0
ENDOBJECT ap_entries
OBJECT ap_count
        .quad   0
ENDOBJECT ap_count

        .text

        .globl  ap_start
        .type   ap_start, @function
        .balign 16
ap_start:
        .cfi_startproc
        .cfi_undefined rip              /* nobody called */
        mov     rax, [rip + ap_cr3]
        mov     cr3, rax                /* the trampoline is gone; and nobody needs to take it away again */

        /* Our APIC ID, of 32 bits where CPUID has that many: EDX of leaf 1Fh or 0Bh, which are there if EBX is not 0;
         * else the top byte of leaf 1's EBX. */
        xor     eax, eax
        cpuid
        mov     esi, eax                /* the highest leaf */
        mov     edi, 0x1F
1:      cmp     esi, edi
        jb      2f
        mov     eax, edi
        xor     ecx, ecx
        cpuid
        test    ebx, ebx
        jnz     4f
2:      cmp     edi, 0x0B
        mov     edi, 0x0B
        jne     1b
        mov     eax, 1
        cpuid
        shr     ebx, 24
        mov     edx, ebx

        /* RDI = our entry. Who is not in the table was not called; and who comes too late, or as the second with one
         * ID, finds that somebody has been there: the state goes from "called" to "arrived" once. */
4:      mov     rdi, [rip + ap_entries]
        mov     rsi, [rip + ap_count]
5:      cmp     [rdi + AP_APIC_ID], edx
        jne     6f
        mov     eax, AP_CALLED
        mov     ecx, AP_ARRIVED
        lock cmpxchg [rdi + AP_STATE], ecx
        je      7f
6:      add     rdi, AP_SIZE
        dec     rsi
        jnz     5b
8:      cli
        hlt
        jmp     8b

7:      mov     rsp, [rdi + AP_STACK]
        sub     rsp, 16
        mov     word ptr [rsp + 6], GDT_SIZE - 1
        mov     rax, [rdi + AP_GDT]
        mov     [rsp + 8], rax
        lgdt    [rsp + 6]
        add     rsp, 16
        lidt    [idt_pointer]
        mov     eax, KERNEL_DS
        mov     ss, eax
        xor     eax, eax
        mov     ds, eax
        mov     es, eax
        mov     fs, eax
        mov     gs, eax
        lldt    ax
        mov     ecx, IA32_GS_BASE
        mov     eax, [rdi + AP_GS_BASE]
        mov     edx, [rdi + AP_GS_BASE + 4]
        wrmsr
        xor     eax, eax
        xor     edx, edx
        mov     ecx, IA32_KERNEL_GS_BASE
        wrmsr
        mov     ecx, IA32_FS_BASE
        wrmsr
        mov     eax, TSS_SELECTOR
        ltr     ax
        /* CS is what it was in the trampoline's table: the same descriptor stands at the same place in ours. */
        push    2
        .cfi_adjust_cfa_offset 8
        popfq
        .cfi_adjust_cfa_offset -8
        mov     eax, 0x400
        mov     dr7, rax
        xor     ebp, ebp                /* the end of the frame-pointer chain */
        call    ap_main                 /* extern "sysv64" fn(&Entry) -> ! */
        ud2
        .cfi_endproc
        .size   ap_start, . - ap_start
