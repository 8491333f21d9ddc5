/* syscall.S: the doors from ring 3, SYSCALL and INT 0x80, and the way back.
 *
 * Mode   long, CPL 0, IF=0 (SFMASK; an interrupt gate)    CR3    the process's
 * Stack  SYSCALL: still the user's; INT 0x80: the kernel's, from the TSS
 * GS     the user's until SWAPGS
 * In     rax = number, rdi rsi rdx r10 r8 r9 = arguments; by SYSCALL, rcx = user RIP, r11 = user RFLAGS
 * Out    rax = result or -errno; by SYSCALL, rcx and r11 clobbered; every other register as it was
 * Calls  syscall_handler (src/task/context.rs), with interrupts on
 * Source Intel SDM vol. 2 SYSCALL, SYSRET, SWAPGS; vol. 3 §5.8.8; AMD APM vol. 2 §6.1.1
 *
 * SYSCALL changes RIP, CS, SS and RFLAGS, and not RSP: for a few instructions the kernel runs on a stack that any
 * value may be the top of. No ordinary interrupt can come there, since SFMASK clears IF; NMI, #MC, #DB and #DF can,
 * and have stacks of their own and a GS that they find by themselves (trap_paranoid in asm/interrupts.S).
 *
 * Both doors build the same frame as an exception (struct TrapFrame, src/arch/x86_64/frame.rs):
 *
 *      +------------------+  <- where user_enter stood on this thread's kernel stack (asm/user.S)
 *      | ss = USER_DS     |
 *      | rsp              |  by way of this CPU's scratch word
 *      | rflags           |  = r11
 *      | cs = USER_CS     |
 *      | rip              |  = rcx
 *      +------------------+
 *      | error code       |  the number, since rax's place takes the result
 *      | vector           |  SYSCALL_VECTOR, which no interrupt has; or 0x80
 *      +------------------+
 *      | rax .. r15       |  <- rsp: 22 words, so aligned to 16
 *      +------------------+
 */
#include "frame.h"

        .text

/* Call-frame rules where SYSCALL arrives: nothing is on a stack yet. */
.macro SYSCALL_CFI
        .cfi_startproc simple
        .cfi_signal_frame
        .cfi_def_cfa rsp, 0
        .cfi_register rip, rcx
        .cfi_register rflags, r11
.endm

/* From the user's registers to a whole frame. The scratch word holds the user's RSP for three instructions only, with
 * interrupts off throughout: a second SYSCALL on this CPU would overwrite it. */
.macro SYSCALL_FRAME vector
        swapgs
        mov     gs:[cpu_data + PERCPU_USER_RSP], rsp
        mov     rsp, gs:[cpu_data + PERCPU_KERNEL_STACK]
        .cfi_undefined rsp
        push    USER_DS
        .cfi_adjust_cfa_offset 8
        push    qword ptr gs:[cpu_data + PERCPU_USER_RSP]
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset rsp, 0
        PUSH_REG r11
        .cfi_rel_offset rflags, 0
        push    USER_CS
        .cfi_adjust_cfa_offset 8
        PUSH_REG rcx
        .cfi_rel_offset rip, 0
        PUSH_REG rax
        push    \vector
        .cfi_adjust_cfa_offset 8
        SAVE_REGISTERS
.endm

        .globl  syscall_entry
        .type   syscall_entry, @function
        .balign 64
syscall_entry:
        SYSCALL_CFI
        SYSCALL_FRAME SYSCALL_VECTOR

        /* The frame is complete: from here on an interrupt finds an ordinary kernel. DF, AC and the others are clear
         * by SFMASK. */
        .globl  syscall_framed
        .type   syscall_framed, @function
syscall_framed:
#ifdef DEBUG_ASSERTIONS
        test    spl, 15                 /* as in CLEAN_FLAGS */
        jz      1f
        ud2
1:
#endif
        sti
        mov     rdi, rsp
        lea     rbp, [rsp + 1]          /* odd: here lies a trap frame */
        call    syscall_handler         /* returns with interrupts off */

        /* SYSRET takes RIP from rcx and RFLAGS from r11, and CS and SS from STAR. So it will do if that is what the
         * frame says: which it does, unless the door was INT 0x80 or somebody has changed the frame.
         *
         * On Intel's CPUs SYSRET to a non-canonical address faults in ring 0, with the user's RSP: the handler's
         * frame would go wherever the program says (CVE-2012-0217). So only addresses of the lower half go this way;
         * the page before its end is never mapped, and a SYSCALL in the last bytes of it cannot be.
         * RF and TF are for IRETQ: SYSRET clears the one, and with the other traps before the user's instruction.
         * The same decision in words is `sysret_is_safe` in src/arch/x86_64/syscall.rs. */
        mov     rcx, [rsp + FRAME_RIP]
        cmp     rcx, [rsp + FRAME_RCX]
        jne     syscall_by_iret
        mov     r11, [rsp + FRAME_RFLAGS]
        cmp     r11, [rsp + FRAME_R11]
        jne     syscall_by_iret
        test    r11d, RFLAGS_TF | RFLAGS_RF
        jnz     syscall_by_iret
        shr     rcx, 47                 /* CR4.LA57 is off: the lower half has 47 bits */
        jnz     syscall_by_iret
        cmp     qword ptr [rsp + FRAME_CS], USER_CS
        jne     syscall_by_iret
        cmp     qword ptr [rsp + FRAME_SS], USER_DS
        jne     syscall_by_iret

        inc     qword ptr gs:[cpu_data + PERCPU_SYSRETS]
        .cfi_remember_state
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
        /* From here to SYSRET the stack is the user's again: the second window for what cannot be held back. */
        .globl  syscall_leave
        .type   syscall_leave, @function
syscall_leave:
        mov     rsp, [rsp + FRAME_RSP - FRAME_VECTOR]
        .cfi_def_cfa rsp, 0
        .cfi_same_value rsp
        .cfi_register rip, rcx
        .cfi_register rflags, r11
        swapgs
        sysretq

        .cfi_restore_state
        .globl  syscall_by_iret
        .type   syscall_by_iret, @function
syscall_by_iret:
        inc     qword ptr gs:[cpu_data + PERCPU_IRETS]
        .globl  syscall_iret
        .type   syscall_iret, @function
syscall_iret:                           /* also the first way into ring 3: asm/user.S */
        swapgs
        RESTORE_REGISTERS_AND_RETURN
        .globl  syscall_end
        .type   syscall_end, @function
syscall_end:
        .cfi_endproc
        .size   syscall_entry, syscall_framed - syscall_entry
        .size   syscall_framed, syscall_leave - syscall_framed
        .size   syscall_leave, syscall_by_iret - syscall_leave
        .size   syscall_by_iret, syscall_iret - syscall_by_iret
        .size   syscall_iret, syscall_end - syscall_iret
        .size   syscall_end, 0

/* INT 0x80, the slow door: the stub has pushed vector and error code (asm/interrupts.S). The same numbers and
 * registers; rcx and r11 are kept. From ring 0 it is an interrupt that nobody asked for. */
        .globl  syscall_int
        .type   syscall_int, @function
        .balign 16
syscall_int:
        TRAP_CFI 16
        test    byte ptr [rsp + FRAME_CS - FRAME_VECTOR], 3
        jz      trap_interrupt
        swapgs
        lfence                          /* as in ENTER_AND_CALL, asm/interrupts.S */
        inc     qword ptr gs:[cpu_data + PERCPU_COUNTS + 8 * SYSCALL_INT]
        mov     [rsp + FRAME_ERROR - FRAME_VECTOR], rax
        SAVE_REGISTERS
        CLEAN_FLAGS                     /* a gate clears TF, NT and RF; DF and AC stay as they were */
        jmp     syscall_framed
        .cfi_endproc
        .size   syscall_int, . - syscall_int

/* SYSCALL from 32-bit code, which on AMD's CPUs comes here (CSTAR). There is no 32-bit code segment, so nobody can; a
 * program that did would be ended, since the frame cannot say where to return to. */
        .globl  syscall_compat
        .type   syscall_compat, @function
        .balign 16
syscall_compat:
        SYSCALL_CFI
        SYSCALL_FRAME SYSCALL_COMPAT_VECTOR
        .globl  syscall_compat_framed
        .type   syscall_compat_framed, @function
syscall_compat_framed:
        mov     rdi, rsp
        lea     rbp, [rsp + 1]
        call    syscall_handler
        ud2                             /* it does not return */
        .cfi_endproc
        .size   syscall_compat, syscall_compat_framed - syscall_compat
        .size   syscall_compat_framed, . - syscall_compat_framed
