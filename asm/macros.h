/* macros.h: what every assembly file here begins with.
 *
 * FUNC/ENDFUNC give a symbol its type, size and call-frame information, so that a debugger and the
 * kernel's own backtraces know each address by name. Call-frame information goes to .debug_frame:
 * it is for debuggers alone and takes no room in memory. Offsets and selectors come by name from
 * offsets.h, which build.rs makes from the Rust definitions.
 */
#ifndef SIS_MACROS_H
#define SIS_MACROS_H

#include "offsets.h"

        .intel_syntax noprefix
        .cfi_sections .debug_frame

/* An ordinary function: called with CALL, returns with RET. */
.macro FUNC name
        .globl  \name
        .type   \name, @function
        .balign 16
\name:
        .cfi_startproc
.endm

.macro ENDFUNC name
        .cfi_endproc
        .size   \name, . - \name
.endm

/* A variable. */
.macro OBJECT name
        .globl  \name
        .type   \name, @object
\name:
.endm

.macro ENDOBJECT name
        .size   \name, . - \name
.endm

/* If the instruction at `from` faults, go on at `to`. */
.macro EX_TABLE from, to
        .pushsection .ex_table, "a"
        .balign 8
        .quad   \from, \to
        .popsection
.endm

#endif
