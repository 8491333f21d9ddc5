/* stacks.S: the boot processor's stacks.
 *
 * Stacks grow down; below each lies one page that the kernel unmaps as one of its first acts
 * (src/arch/x86_64/stacks/mod.rs), so that running over the end is a fault with a name and not a
 * silent overwrite of the neighbour.
 *
 *   guard | boot stack | guard | #DF | guard | NMI | guard | #MC | guard | #DB
 *
 * Takes no bytes in the file. Source: Intel SDM vol. 3 §6.14.5 (interrupt stack table).
 */
#include "macros.h"

        .section .stacks, "aw", @nobits

.macro STACK name, size
        .balign PAGE_SIZE
        .globl  \name\()_guard
        .type   \name\()_guard, @object
\name\()_guard:
        .skip   PAGE_SIZE
        .size   \name\()_guard, PAGE_SIZE
        .globl  \name
        .type   \name, @object
\name:
        .skip   \size
        .size   \name, \size
        .globl  \name\()_top
        .type   \name\()_top, @object
\name\()_top:
        .size   \name\()_top, 0
.endm

        STACK   boot_stack, BOOT_STACK_SIZE
        STACK   double_fault_stack, IST_STACK_SIZE
        STACK   nmi_stack, IST_STACK_SIZE
        STACK   machine_check_stack, IST_STACK_SIZE
        STACK   debug_stack, IST_STACK_SIZE
