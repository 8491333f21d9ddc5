/* entry.S: the kernel's first instructions.
 *
 * The loader calls _start by its physical address, still on the firmware's page tables, which map all of
 * memory onto itself. The kernel's tables map this one page onto itself too, so that loading CR3 here
 * changes the world around us but not the next instruction.
 *
 * Mode   long, CPL 0, IF=0            Stack  the firmware's, then boot_stack
 * CR3    firmware's, then ours        GS, FS unused
 * In     rdi = BootInfo (physical)    rsi = our PML4 (physical)
 * Out    never returns: calls kernel_main(rdi = BootInfo in the direct map)
 *
 * GDT and IDT are filled and loaded before CR3, by physical address, but their registers hold the
 * addresses in the kernel's own space. From CR3 on any exception finds them. The one hole, from LGDT to
 * MOV CR3, is two instructions that touch no memory; LIDT closes the firmware's IDT only just before.
 *
 * Source: Intel SDM vol. 3 §4.5 (4-level paging), §9.8.5 (IA-32e initialisation); UEFI 2.10 §2.3.4.
 */
#include "macros.h"

        .section .text.entry.start, "ax", @progbits

/* extern "sysv64" fn _start(info: *const BootInfo, pml4: u64) -> !        both by physical address */
        .globl  _start
        .type   _start, @function
_start:
        .cfi_startproc
        .cfi_undefined rip              /* nobody called: a backtrace ends here */
        cli
        cld
        mov     r12, rdi
        mov     r13, rsi

        /* Page-table entries below us carry the no-execute bit, which is a reserved bit, and so a
         * fault, until EFER.NXE is set. The loader has checked that this CPU knows it. */
        mov     ecx, IA32_EFER
        rdmsr
        or      eax, EFER_NXE
        wrmsr

        call    idt_fill                /* by physical address: RIP-relative code does not care */
        call    gdt_fill_tss

        /* Both operands are read here, through the firmware's mapping; the bases in them are ours. */
        lgdt    [rip + gdt_pointer]
        lidt    [rip + idt_pointer]
        mov     cr3, r13

        /* Our tables. The firmware's stack is gone with its mapping. */
        mov     rsp, offset boot_stack_top
        push    KERNEL_CS
        push    offset start_high
        retfq                           /* the only way to load CS: a far transfer */
        .cfi_endproc
        .size   _start, . - _start

/* The same code by its linked address, in the last 2 GiB. */
        .globl  start_high
        .type   start_high, @function
start_high:
        .cfi_startproc
        .cfi_undefined rip
        mov     eax, KERNEL_DS
        mov     ss, eax
        /* DS, ES, FS and GS are not used in long mode beyond the bases of the last two: null. */
        xor     eax, eax
        mov     ds, eax
        mov     es, eax
        mov     fs, eax
        mov     gs, eax
        /* LTR last: it sets the busy bit in our GDT, and from here the IST stacks work. */
        mov     eax, TSS_SELECTOR
        ltr     ax

        xor     ebp, ebp                /* the end of the frame-pointer chain */
        movabs  rdi, DIRECT_MAP_BASE
        add     rdi, r12
        call    kernel_main
        ud2                             /* kernel_main does not return */
        .cfi_endproc
        .size   start_high, . - start_high
