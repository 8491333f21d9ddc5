/* probe.S: accesses that are allowed to fail.
 *
 * Each faulting instruction has an entry in the exception table (.ex_table): when it faults, the trap
 * handler finds it there and goes on at its second address instead of panicking. There the function
 * returns 0 for "faulted".
 *
 * The table is in address order, as this file is; the kernel searches it by halves and checks the order
 * in its self-test.
 *
 * One more is a breakpoint: #BP's RIP is that of the instruction after INT3, so it is that one's address that is in
 * the table.
 *
 * Convention  System V: rdi = address, rsi = where to put the value; rax = 1, or 0 if it faulted
 * Clobbers    rcx, rdx
 */
#include "macros.h"

        .text

.macro PROBE name, value, load:vararg
FUNC \name
\name\()_access:
        \load
        EX_TABLE \name\()_access, \name\()_fault
        mov     [rsi], \value
        mov     eax, 1
        ret
\name\()_fault:
        xor     eax, eax
        ret
ENDFUNC \name
.endm

/* unsafe extern "sysv64" fn probe_read_u8(addr: u64, value: *mut u64) -> u64;  and so on */
        PROBE   probe_read_u8,  rcx, movzx ecx, byte ptr [rdi]
        PROBE   probe_read_u16, rcx, movzx ecx, word ptr [rdi]
        PROBE   probe_read_u32, rcx, mov ecx, dword ptr [rdi]
        PROBE   probe_read_u64, rcx, mov rcx, qword ptr [rdi]

/* unsafe extern "sysv64" fn probe_rdmsr(number: u32, value: *mut u64) -> u64;
 * An unknown number is #GP on hardware; QEMU reads 0 instead. */
FUNC probe_rdmsr
        mov     ecx, edi
probe_rdmsr_access:
        rdmsr
        EX_TABLE probe_rdmsr_access, probe_rdmsr_fault
        shl     rdx, 32
        or      rax, rdx
        mov     [rsi], rax
        mov     eax, 1
        ret
probe_rdmsr_fault:
        xor     eax, eax
        ret
ENDFUNC probe_rdmsr

/* unsafe extern "sysv64" fn probe_wrmsr(number: u32, value: u64) -> u64; */
FUNC probe_wrmsr
        mov     ecx, edi
        mov     eax, esi
        mov     rdx, rsi
        shr     rdx, 32
probe_wrmsr_access:
        wrmsr
        EX_TABLE probe_wrmsr_access, probe_wrmsr_fault
        mov     eax, 1
        ret
probe_wrmsr_fault:
        xor     eax, eax
        ret
ENDFUNC probe_wrmsr

/* unsafe extern "sysv64" fn probe_breakpoint() -> u64;
 * 0: it was taken, and was foreseen. */
FUNC probe_breakpoint
        int3
probe_breakpoint_next:
        EX_TABLE probe_breakpoint_next, probe_breakpoint_taken
        mov     eax, 1
        ret
probe_breakpoint_taken:
        xor     eax, eax
        ret
ENDFUNC probe_breakpoint
