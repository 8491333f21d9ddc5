/* interrupts.S: where every exception and interrupt enters the kernel.
 *
 * 256 stubs of one size push what the CPU left out, then share one path that saves all registers, calls
 * Rust, restores and returns.
 *
 * Mode   long, CPL 0, IF=0 (all are interrupt gates)
 * Stack  the interrupted one, aligned down to 16 by the CPU; an IST stack for #DB, NMI, #DF and #MC
 * GS     not touched: nothing uses it yet, and there is no ring 3 to come from
 * Source Intel SDM vol. 3 §6.12 and §6.14; AMD APM vol. 2 §8.9
 *
 * The stack when Rust is called (struct TrapFrame, src/arch/x86_64/frame.rs):
 *
 *      +------------------+  <- aligned to 16
 *      | ss               |
 *      | rsp              |
 *      | rflags           |  by the CPU
 *      | cs               |
 *      | rip              |
 *      +------------------+
 *      | error code       |  by the CPU, or 0 by the stub
 *      | vector           |  by the stub
 *      +------------------+
 *      | rax rbx rcx rdx  |
 *      | rsi rdi rbp r8.. |  by trap_common
 *      | ..r15            |  <- rsp = rdi: 22 * 8 = 176 bytes, so aligned to 16 again
 *      +------------------+
 *
 * rbp then points at the frame with its lowest bit set. A frame pointer never is odd, so whoever walks
 * the chain of frame pointers (src/arch/x86_64/backtrace.rs) knows that a trap frame lies there, and walks
 * on through the interrupted function.
 */
#include "macros.h"

        .text

/* Call-frame rules at a stub's first instruction: the CPU's five words, and `extra` bytes below them. */
.macro TRAP_CFI extra
        .cfi_startproc simple
        .cfi_signal_frame               /* the return address is an interrupted instruction, not a call's successor */
        .cfi_def_cfa rsp, 40 + \extra
        .cfi_offset rip, -40
        .cfi_offset cs, -32
        .cfi_offset rflags, -24
        .cfi_offset rsp, -16
        .cfi_offset ss, -8
.endm

/* 1 in `has_error` if the CPU pushes an error code for `vector`: a bit of a 64-bit set. */
.macro LOOK_UP vector
        .set    has_error, 0
        .if     \vector < 64
        .set    has_error, (ERROR_CODE_VECTORS >> \vector) & 1
        .endif
.endm

.macro TRAP_STUB vector
        LOOK_UP \vector
        .if     has_error
        TRAP_CFI 8
        .else
        TRAP_CFI 0
        push    0                       /* every frame has an error code */
        .cfi_adjust_cfa_offset 8
        .endif
        .byte   0x68                    /* PUSH imm32, so that all stubs have one length */
        .long   \vector
        .cfi_adjust_cfa_offset 8
        .byte   0xE9                    /* JMP rel32 */
        .long   trap_common - . - 4
        .cfi_endproc
        /* Pads up to the next stub; the assembler stops if this one has outgrown its room. */
        .org    trap_stubs + (\vector + 1) * TRAP_STUB_SIZE, 0xCC
.endm

        .balign 16
        .globl  trap_stubs
        .type   trap_stubs, @function
trap_stubs:
        .set    vector, 0
        .rept   256
        TRAP_STUB vector
        .set    vector, vector + 1
        .endr
        .size   trap_stubs, 256 * TRAP_STUB_SIZE

.macro PUSH_REG reg
        push    \reg
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset \reg, 0
.endm

.macro POP_REG reg
        pop     \reg
        .cfi_adjust_cfa_offset -8
        .cfi_restore \reg
.endm

        .globl  trap_common
        .type   trap_common, @function
        .balign 16
trap_common:
        TRAP_CFI 16                     /* error code and vector */
        PUSH_REG rax
        PUSH_REG rbx
        PUSH_REG rcx
        PUSH_REG rdx
        PUSH_REG rsi
        PUSH_REG rdi
        PUSH_REG rbp
        PUSH_REG r8
        PUSH_REG r9
        PUSH_REG r10
        PUSH_REG r11
        PUSH_REG r12
        PUSH_REG r13
        PUSH_REG r14
        PUSH_REG r15

        /* The interrupted code may have been in the middle of a backward string move; Rust assumes DF=0. */
        cld
#ifdef DEBUG_ASSERTIONS
        /* The soft-float target never stores aligned vectors, so nothing else would notice. */
        test    spl, 15
        jz      1f
        ud2
1:
#endif
        mov     rdi, rsp
        lea     rbp, [rsp + 1]          /* odd: here lies a trap frame */
        call    trap_handler            /* extern "sysv64" fn(&mut TrapFrame) */

        .globl  trap_return
        .type   trap_return, @function
trap_return:
        POP_REG r15
        POP_REG r14
        POP_REG r13
        POP_REG r12
        POP_REG r11
        POP_REG r10
        POP_REG r9
        POP_REG r8
        POP_REG rbp
        POP_REG rdi
        POP_REG rsi
        POP_REG rdx
        POP_REG rcx
        POP_REG rbx
        POP_REG rax
        add     rsp, 16                 /* vector and error code */
        .cfi_adjust_cfa_offset -16
        iretq
        .cfi_endproc
        .size   trap_common, . - trap_common
        .size   trap_return, . - trap_return
