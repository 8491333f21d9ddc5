/* idt.S: the interrupt descriptor table: 256 gates, one for each vector.
 *
 * A gate holds its handler's address in three pieces, which no linker relocation can fill, so the table
 * is computed by idt_fill in the first microsecond. All stubs have one size (interrupts.S), so the
 * address of stub n is a multiplication.
 *
 *   gate, 16 bytes:  63           48 47   40 39  35 34 32 31      16 15           0
 *                    offset 31:16    access   0     IST    selector   offset 15:0
 *                    second half: offset 63:32, rest 0
 *
 * Source: Intel SDM vol. 3 §6.14.1 figure 6-8.
 */
#include "macros.h"

        .bss
        .balign 4096
OBJECT idt
        .skip   256 * 16
ENDOBJECT idt

        .data
        .balign 8
OBJECT idt_pointer
        .word   256 * 16 - 1
        .quad   idt
ENDOBJECT idt_pointer

        .section .text.entry, "ax", @progbits

/* fn idt_fill()    Fills the table. Runs by physical address before our tables are loaded.
 * Clobbers rax, rcx, rdx, rsi, rdi.
 */
FUNC idt_fill
        lea     rdi, [rip + idt]
        mov     rsi, offset trap_stubs  /* linked address of the stub for vector 0 */
        mov     ecx, 256
1:      movzx   eax, si                 /* offset 15:0 */
        or      eax, KERNEL_CS << 16
        mov     rdx, rsi
        shr     rdx, 16
        movzx   edx, dx                 /* offset 31:16 */
        shl     rdx, 48
        or      rax, rdx
        mov     edx, GATE_INTERRUPT
        shl     rdx, 40
        or      rax, rdx
        mov     [rdi], rax
        mov     rax, rsi
        shr     rax, 32
        mov     [rdi + 8], rax
        add     rsi, TRAP_STUB_SIZE
        add     rdi, 16
        dec     ecx
        jnz     1b

        /* The four that change stacks: the IST number is byte 4 of the gate. */
        mov     byte ptr [rip + idt + 16 * 1 + 4], IST_DEBUG
        mov     byte ptr [rip + idt + 16 * 2 + 4], IST_NMI
        mov     byte ptr [rip + idt + 16 * 8 + 4], IST_DOUBLE_FAULT
        mov     byte ptr [rip + idt + 16 * 18 + 4], IST_MACHINE_CHECK
        /* Those that ring 3 may raise itself, #BP and #OF by INT3 and INT 4: the access byte is byte 5. */
        mov     byte ptr [rip + idt + 16 * 3 + 5], GATE_INTERRUPT_USER
        mov     byte ptr [rip + idt + 16 * 4 + 5], GATE_INTERRUPT_USER
        mov     byte ptr [rip + idt + 16 * SYSCALL_INT + 5], GATE_INTERRUPT_USER
        ret
ENDFUNC idt_fill
