/* ksyms.S: room for the symbol table.
 *
 * Only its header, all zero, which reads as "no table". After linking, test/tools/ksyms.py writes the
 * table behind the rest of the file and points this segment at it: the segment is the last one, so
 * nothing moves. src/kernel/symbols.rs has the format.
 */
#include "macros.h"

        .section .ksyms, "a", @progbits
        .balign 8
OBJECT ksyms_placeholder
        .quad   0, 0, 0
ENDOBJECT ksyms_placeholder
