/* frame.h: building the trap frame, and going back through it.
 *
 * What asm/interrupts.S and asm/syscall.S share: two ways into the kernel, one frame (struct TrapFrame,
 * src/arch/x86_64/frame.rs). Each PUSH tells the debugger where the register is now.
 */
#ifndef SIS_FRAME_H
#define SIS_FRAME_H

#include "macros.h"

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

/* All registers but those that the CPU and the stub have pushed. */
.macro SAVE_REGISTERS
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
.endm

.macro RESTORE_REGISTERS_AND_RETURN
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
.endm

/* The flags that interrupted code may have set and Rust does not expect: DF, in the middle of a backward string
 * move, and AC, which would let us touch user memory unnoticed. CLAC does not exist without SMAP. */
.macro CLEAN_FLAGS
        cld
        PATCH_CLAC
#ifdef DEBUG_ASSERTIONS
        /* The soft-float target never stores aligned vectors, so nothing else would notice. */
        test    spl, 15
        jz      772f
        ud2
772:
#endif
.endm

#endif
