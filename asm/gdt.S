/* gdt.S: segment descriptors and task-state segment.
 *
 * Long mode ignores base and limit of code and data; what is left of segmentation is the privilege level,
 * the L bit, and the task-state segment with the stacks to switch to. The order is SYSCALL's: see
 * src/arch/x86_64/selectors.rs.
 *
 * Both are per-CPU variables (src/arch/x86_64/percpu/mod.rs): the CPU writes to them (the busy bit), and the stacks
 * are each CPU's own. The initial values are the boot CPU's; src/platform/pc/cpus/room.rs changes them for the others.
 *
 *   0x00 null   0x08 kernel code   0x10 kernel data   0x18 user data   0x20 user code   0x28 TSS (two slots)
 *
 * Source: Intel SDM vol. 3 §3.4.5 (descriptors), §7.2.3 (TSS descriptor in 64-bit mode), §7.7 (64-bit TSS).
 */
#include "macros.h"

        .section .percpu, "aw", @progbits
        .balign 64
OBJECT gdt
        .quad   0
        .quad   0x00AF9B000000FFFF      /* G L P DPL=0 code, readable, accessed */
        .quad   0x00CF93000000FFFF      /* G B P DPL=0 data, writable, accessed */
        .quad   0x00CFF3000000FFFF      /* the same, DPL=3 */
        .quad   0x00AFFB000000FFFF      /* code, DPL=3 */
        .quad   0, 0                    /* the TSS's: gdt_fill_tss */
        .if     . - gdt != GDT_SIZE
        .error  "GDT_SIZE in src/arch/x86_64/selectors.rs is not the GDT's size"
        .endif
ENDOBJECT gdt

/* RSP0 is where ring 3 will enter; IST1-4 are for the vectors that trust no stack. The fields are only
 * four-aligned, which is the manual's doing. */
        .balign 128                     /* within one page: old CPUs want it in contiguous physical memory */
OBJECT tss
        .long   0
        .quad   boot_stack_top          /* RSP0 */
        .quad   0, 0                    /* RSP1, RSP2: rings nobody uses */
        .quad   0
        .quad   double_fault_stack_top - IST_RESERVED  /* IST1 */
        .quad   nmi_stack_top - IST_RESERVED           /* IST2 */
        .quad   machine_check_stack_top - IST_RESERVED /* IST3 */
        .quad   debug_stack_top - IST_RESERVED         /* IST4 */
        .quad   0, 0, 0                 /* IST5-7 */
        .quad   0
        .word   0
        .word   TSS_SIZE                /* no I/O permission map: its offset is past the limit */
        .if     . - tss != TSS_SIZE
        .error  "TSS_SIZE in src/arch/x86_64/selectors.rs is not the TSS's size"
        .endif
ENDOBJECT tss

        .section .rodata, "a", @progbits
        .balign 8
OBJECT gdt_pointer
        .word   GDT_SIZE - 1
        .quad   boot_gdt                /* linker/kernel.ld */
ENDOBJECT gdt_pointer

        .section .text.entry, "ax", @progbits

/* fn gdt_fill_tss()    Writes the boot CPU's TSS descriptor, whose base is in four pieces that no relocation fits:
 *
 *   63      56 55   52 51   48 47      40 39            16 15         0
 *   base 31:24  flags   limit   access     base 23:0        limit 15:0
 *   and in the second slot: base 63:32.
 *
 * Runs by physical address before our tables are loaded, in the boot CPU's copy of the table. Clobbers rax, rcx, rdx.
 */
FUNC gdt_fill_tss
        mov     rax, offset boot_tss    /* its linked address, not where it is now */
        mov     rcx, rax
        and     ecx, 0x00FFFFFF
        shl     rcx, 16
        or      rcx, TSS_SIZE - 1
        mov     rdx, rax
        shr     rdx, 24
        and     edx, 0xFF
        shl     rdx, 56
        or      rcx, rdx
        mov     edx, DESCRIPTOR_TSS
        shl     rdx, 40
        or      rcx, rdx
        mov     [rip + boot_gdt + TSS_SELECTOR], rcx
        shr     rax, 32
        mov     [rip + boot_gdt + TSS_SELECTOR + 8], rax
        ret
ENDFUNC gdt_fill_tss
