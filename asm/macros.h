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

/* Code that depends on the CPU: no-ops of the right length, and an entry for src/arch/x86_64/patch, which puts the
 * instructions in if `kind` is so. At most eight bytes. */
.macro PATCH_ENTRY site, kind, len, bytes:vararg
        .pushsection .patches, "a"
        .balign 8
        .quad   \site
        .long   \kind, \len
        .byte   \bytes
        .balign 8, 0
        .popsection
.endm

.macro PATCH_STAC
771:    .byte   0x0F, 0x1F, 0x00        /* NOP of three bytes */
        PATCH_ENTRY 771b, PATCH_SMAP, 3, 0x0F, 0x01, 0xCB
.endm

.macro PATCH_CLAC
771:    .byte   0x0F, 0x1F, 0x00
        PATCH_ENTRY 771b, PATCH_SMAP, 3, 0x0F, 0x01, 0xCA
.endm

/* A jump of two bytes to a place within reach of one. */
.macro PATCH_JUMP kind, to
771:    .byte   0x66, 0x90              /* NOP of two bytes */
        PATCH_ENTRY 771b, \kind, 2, 0xEB, (\to) - (771b + 2)
.endm

#endif
