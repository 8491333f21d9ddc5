/* interrupts.S: where every exception and interrupt enters the kernel.
 *
 * 256 stubs of one size push what the CPU left out, then take one of three paths that save all registers, call
 * Rust, restore and return. They differ in how they find this CPU's data (GS, src/arch/x86_64/percpu/mod.rs) and in
 * what they call:
 *
 *   trap_common    exceptions. Believes the saved CS: from ring 3, GS is the user's, and SWAPGS brings ours
 *   trap_interrupt vectors 32 to 255: the same, but for what is called
 *   trap_paranoid  #DB, NMI, #DF and #MC come at any instruction, also between SYSCALL and its SWAPGS, where CS is
 *                  already ours and GS still the user's. It believes nothing: it saves the base, whatever it is,
 *                  and loads ours, which waits at the top of the interrupt stack. From there a #DB of ring 3's, where GS
 *                  is the user's for certain, goes on the thread's own stack (trap_debug_user): what follows may sleep
 *
 * Mode   long, CPL 0, IF=0 (all are interrupt gates)
 * Calls  trap_handler (src/kernel/traps.rs), or interrupt_handler (src/platform/pc/vectors.rs)
 * Stack  the interrupted one, aligned down to 16 by the CPU; an IST stack for #DB, NMI, #DF and #MC
 * GS     ours if ring 0 was interrupted, else the user's: see the two paths
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
#include "frame.h"

        .text

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
        .if     \vector == 1 || \vector == 2 || \vector == 8 || \vector == 18
        .long   trap_paranoid - . - 4
        .elseif \vector < EXCEPTIONS
        .long   trap_common - . - 4
        .elseif \vector == SYSCALL_INT
        .long   syscall_int - . - 4     /* asm/syscall.S */
        .else
        .long   trap_interrupt - . - 4
        .endif
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

/* Saves, brings our GS, calls `handler`: extern "sysv64" fn(&mut TrapFrame). */
.macro ENTER_AND_CALL handler
        TRAP_CFI 16                     /* error code and vector */
        SAVE_REGISTERS
        /* By the privilege level, not by comparing with one selector. The fences keep the CPU from running ahead with
         * the wrong base, on either side of a branch that it guesses wrong (Intel's advice on speculative SWAPGS,
         * CVE-2019-1125). */
        test    byte ptr [rsp + FRAME_CS], 3
        jz      1f
        swapgs
1:      lfence
        CLEAN_FLAGS
        mov     rdi, rsp
        lea     rbp, [rsp + 1]          /* odd: here lies a trap frame */
        call    \handler
.endm

        .globl  trap_common
        .type   trap_common, @function
        .balign 16
trap_common:
        ENTER_AND_CALL trap_handler

        .globl  trap_return
        .type   trap_return, @function
trap_return:
        /* Rust returns with interrupts off. */
        test    byte ptr [rsp + FRAME_CS], 3
        jz      1f
        swapgs
1:      RESTORE_REGISTERS_AND_RETURN
        .cfi_endproc
        .size   trap_common, . - trap_common
        .size   trap_return, . - trap_return

        .globl  trap_interrupt
        .type   trap_interrupt, @function
        .balign 16
trap_interrupt:
        ENTER_AND_CALL interrupt_handler
        /* Is another thread to run, and may it? One word says both (src/arch/x86_64/preempt.rs). The switch happens in
         * there, on this stack, and it returns when this thread has its turn again. */
        cmp     dword ptr gs:[cpu_data + PERCPU_PREEMPT], 0
        je      3f
2:      test    byte ptr [rsp + FRAME_CS], 3
        jz      1f
        swapgs
1:      .cfi_remember_state
        RESTORE_REGISTERS_AND_RETURN
        .cfi_restore_state
3:      mov     rdi, rsp
        call    preempt_interrupted
        jmp     2b
        .cfi_endproc
        .size   trap_interrupt, . - trap_interrupt

/* This CPU's GS base is where RSP was before the CPU pushed: the frame begins just below it, since an
 * interrupt stack is always entered at its top. The old base waits in r14, which Rust preserves. */
        .globl  trap_paranoid
        .type   trap_paranoid, @function
        .balign 16
trap_paranoid:
        TRAP_CFI 16
        /* A debug trap of ring 3's is an ordinary exception, but for the stack that it came on. */
        cmp     dword ptr [rsp], 1
        jne     1f
        test    byte ptr [rsp + FRAME_CS - FRAME_VECTOR], 3
        jnz     trap_debug_user
1:      SAVE_REGISTERS
        CLEAN_FLAGS
        cmp     byte ptr [trap_has_fsgsbase], 0
        je      2f

        /* Ring 3 may have loaded any base at all with WRGSBASE. */
        rdgsbase r14
        mov     rax, [rsp + FRAME_SIZE]
        wrgsbase rax
        mov     rdi, rsp
        lea     rbp, [rsp + 1]
        call    trap_handler
        wrgsbase r14
        jmp     4f

        /* Without FSGSBASE only the kernel can load GS's base, and it refuses kernel addresses to ring 3: so a base
         * in the upper half is ours. r14 = whether we swapped. */
2:      mov     ecx, IA32_GS_BASE
        rdmsr
        xor     r14d, r14d
        test    edx, edx
        js      3f
        swapgs
        inc     r14d
3:      lfence
        mov     rdi, rsp
        lea     rbp, [rsp + 1]
        call    trap_handler
        test    r14d, r14d
        jz      4f
        swapgs
4:      RESTORE_REGISTERS_AND_RETURN
        .cfi_endproc
        .size   trap_paranoid, . - trap_paranoid

/* A debug trap of ring 3's: the frame goes from the IST stack to the thread's own, which is empty, since what follows may
 * sleep, and the next one on this CPU comes on the same IST stack. GS is the user's for certain. */
        .type   trap_debug_user, @function
        .balign 16
trap_debug_user:
        TRAP_CFI 16
        swapgs
        lfence
        PUSH_REG rax
        mov     rax, rsp
        .cfi_def_cfa rax, 64
        mov     rsp, gs:[cpu_data + PERCPU_KERNEL_STACK]
        push    qword ptr [rax + 56]    /* ss */
        push    qword ptr [rax + 48]    /* rsp */
        push    qword ptr [rax + 40]    /* rflags */
        push    qword ptr [rax + 32]    /* cs */
        push    qword ptr [rax + 24]    /* rip */
        push    qword ptr [rax + 16]    /* error code */
        push    qword ptr [rax + 8]     /* vector */
        mov     rax, [rax]
        .cfi_endproc
        .cfi_startproc simple
        .cfi_signal_frame
        .cfi_def_cfa rsp, 56
        .cfi_offset rip, -40
        .cfi_offset rsp, -16
        .cfi_offset rflags, -24
        SAVE_REGISTERS
        CLEAN_FLAGS
        mov     rdi, rsp
        lea     rbp, [rsp + 1]
        call    trap_handler
        jmp     trap_return
        .cfi_endproc
        .size   trap_debug_user, . - trap_debug_user

/* What this CPU has, for the entry code: set once by src/arch/x86_64/cpu.rs. */
        .data
OBJECT trap_has_fsgsbase
        .byte   0
ENDOBJECT trap_has_fsgsbase
