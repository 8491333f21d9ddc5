/* idle.S: sleeping until something happens, without sleeping through it.
 *
 * The caller turned interrupts off, looked whether there was work, and found none. STI takes effect after the
 * instruction that follows it, so no interrupt can come between it and HLT and be slept through. An NMI or a #DB can:
 * IF does not hold them back. So their handlers set this CPU's `woken`, and where one of them came between
 * idle_look and idle_done, go on at idle_look instead (src/kernel/idle.rs), which sees it.
 *
 *      idle_look   woken? ──yes──────────────┐
 *                  STI                       │   an NMI anywhere here
 *                  HLT                       │   is sent back to idle_look
 *      idle_done   <- woken from HLT         │
 *                  STI, return <─────────────┘
 *
 * Convention  System V; IF=0 on entry, IF=1 on return
 * GS          ours
 * Source      Intel SDM vol. 2, STI and HLT; vol. 3 §6.7.1 (NMI)
 */
#include "macros.h"

        .text

/* unsafe extern "sysv64" fn idle_wait(); */
FUNC idle_wait
        .globl  idle_look
        .type   idle_look, @function
idle_look:
        cmp     byte ptr gs:[cpu_data + PERCPU_WOKEN], 0
        jne     idle_done
        sti
        hlt
        .globl  idle_done
        .type   idle_done, @function
idle_done:
        sti
        ret
        .size   idle_look, idle_done - idle_look
        .size   idle_done, . - idle_done
ENDFUNC idle_wait
