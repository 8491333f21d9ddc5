/* idle.S: sleeping until something happens, without sleeping through it.
 *
 * The caller turned interrupts off, looked whether there was work, and found none. STI takes effect after the
 * instruction that follows it, so no interrupt can come between it and HLT and be slept through. An NMI or a #DB can:
 * IF does not hold them back. So their handlers set this CPU's `woken`, and where one of them came between
 * idle_look and idle_done, go on at idle_look instead (src/kernel/idle.rs), which sees it.
 *
 *      idle_look   by MWAIT? ──yes──► MONITOR this CPU's line
 *                  woken? ──yes──┐    woken? ──yes──┐        an NMI anywhere here
 *                  STI           │    STI           │        is sent back to idle_look
 *                  HLT           │    MWAIT         │
 *      idle_done   <- woken <────┴──────────────────┘
 *                  STI, return
 *
 * MWAIT sleeps as HLT does, and in states of the CPU's choosing; a hint of 0 in EAX is C1. It ends with an interrupt, as
 * HLT does, or with a write to what MONITOR was told of, the line with `woken`: and it may end for no reason, so whoever
 * called looks again. Under a hypervisor it is often slower, or spins: see src/arch/x86_64/idle.rs.
 *
 * Convention  System V; edi = 1: by MWAIT, 0: by HLT; IF=0 on entry, IF=1 on return
 * GS          ours
 * Source      Intel SDM vol. 2, STI, HLT, MONITOR, MWAIT; vol. 3 §6.7.1 (NMI), §8.10 (idle loops)
 */
#include "macros.h"

        .text

/* unsafe extern "sysv64" fn idle_wait(by_mwait: u32); */
FUNC idle_wait
        .globl  idle_look
        .type   idle_look, @function
idle_look:
        test    edi, edi
        jnz     1f
        cmp     byte ptr gs:[cpu_data + PERCPU_WOKEN], 0
        jne     idle_done
        sti
        hlt
        jmp     idle_done
1:      mov     rax, gs:[cpu_data + PERCPU_GS_BASE]
        lea     rax, [rax + cpu_data + PERCPU_WOKEN]    /* MONITOR's address is not relative to GS */
        xor     ecx, ecx                /* no extensions */
        xor     edx, edx                /* no hints */
        monitor
        cmp     byte ptr gs:[cpu_data + PERCPU_WOKEN], 0
        jne     idle_done
        xor     eax, eax                /* C1 */
        sti
        mwait
        .globl  idle_done
        .type   idle_done, @function
idle_done:
        sti
        ret
        .size   idle_look, idle_done - idle_look
        .size   idle_done, . - idle_done
ENDFUNC idle_wait
