/* entry.S: the kernel's first instructions.
 *
 * The loader calls _start by its physical address, still on the firmware's page tables, which map all of
 * memory onto itself. The kernel's tables map this one page onto itself too, so that loading CR3 here
 * changes the world around us but not the next instruction.
 *
 * Mode   long, CPL 0, IF=0            Stack  the firmware's, then boot_stack
 * CR3    firmware's, then ours        GS     at the end the boot CPU's variables; FS unused
 * In     rdi = BootInfo (physical)    rsi = our PML4 (physical)
 * Out    never returns: calls kernel_main(rdi = BootInfo in the direct map)
 *
 * An exception finds a handler at every instruction but the few from MOV CR3 to LTR: the firmware's until
 * then, ours after. GDT and IDT are therefore filled before, by physical address. What runs in between
 * touches only this page, the two pointers, the GDT and the stack, all of which the loader has just mapped;
 * only an NMI or a machine check could come in there, and would be fatal.
 *
 * The firmware's settings are not inherited: CR4, RFLAGS, LDTR and DR7 get values of our own.
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

        /* The boot CPU's per-CPU variables, from the template: its GDT and TSS are among them. */
        lea     rsi, [rip + __percpu_start]
        lea     rdi, [rip + __percpu_boot]
        lea     rcx, [rip + __percpu_end]
        sub     rcx, rsi
        shr     rcx, 3
        rep     movsq

        /* DS, ES, FS and GS are not used in long mode beyond the bases of the last two: null. */
        xor     eax, eax
        mov     ds, eax
        mov     es, eax
        mov     fs, eax
        mov     gs, eax
        /* With our tables, gs:[name] will be the boot CPU's copy of a per-CPU variable: at start_high's first instruction
         * already, for a trap handler counts there. The other base is ring 3's. */
        xor     edx, edx
        mov     ecx, IA32_KERNEL_GS_BASE
        wrmsr
        mov     ecx, IA32_GS_BASE
        mov     rax, offset __percpu_boot
        sub     rax, offset __percpu_start
        mov     [rip + boot_cpu_data + PERCPU_GS_BASE], rax
        mov     rdx, rax
        shr     rdx, 32
        wrmsr

        call    idt_fill                /* by physical address: RIP-relative code does not care */
        call    gdt_fill_tss

        /* The one paging feature that we need, and machine checks as they were. Whatever else the firmware
         * had on (PCIDs, shadow stacks, protection keys) it had for tables and code of its own. */
        mov     rax, cr4
        and     eax, CR4_MCE
        or      eax, CR4_PAE
        mov     cr4, rax

        mov     cr3, r13

        /* Our tables. From here on linked addresses work; the firmware's stack is gone with its mapping. */
        lgdt    [gdt_pointer]
        lidt    [idt_pointer]
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
        xor     eax, eax
        lldt    ax                      /* no local descriptors */
        /* LTR last: it sets the busy bit in our GDT, and from here the IST stacks work. */
        mov     eax, TSS_SELECTOR
        ltr     ax
        /* Only the bit that is always one: IF and DF are off, and so are NT, which would make IRETQ fault,
         * and AC, which would switch SMAP off. */
        push    2
        .cfi_adjust_cfa_offset 8
        popfq
        .cfi_adjust_cfa_offset -8
        mov     eax, 0x400              /* no breakpoints; bit 10 is always one */
        mov     dr7, rax

        xor     ebp, ebp                /* the end of the frame-pointer chain */
        movabs  rdi, DIRECT_MAP_BASE
        add     rdi, r12
        call    kernel_main
        ud2                             /* kernel_main does not return */
        .cfi_endproc
        .size   start_high, . - start_high
