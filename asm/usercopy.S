/* usercopy.S: the one door to user memory.
 *
 * Everything that the kernel reads or writes at an address that a program gave passes through here. Each instruction
 * that touches it has an entry in the exception table: a page that is not there yet is first brought by the owner of
 * the address space, and if there is none the copy ends with what was not copied, instead of in a panic. The caller
 * has checked that the range lies in the user's half (src/arch/x86_64/usercopy.rs): the table excuses faults at user
 * addresses only.
 *
 * SMAP keeps the rest of the kernel out: user pages fault for ring 0 unless RFLAGS.AC is set. STAC and CLAC stand
 * around each whole operation, once, since each costs more than a word copied. They are #UD where SMAP is missing, so
 * the image has no-ops in their place, and src/arch/x86_64/patch puts them in. An interrupt in between clears AC
 * for itself, and IRETQ brings it back.
 *
 * Convention  System V; DF=0; may be interrupted, and may fault at its user address
 * Source      Intel SDM vol. 3 §4.6 (access rights), vol. 2 STAC, CLAC, REP
 */
#include "macros.h"

        .text

/* unsafe extern "sysv64" fn usercopy(to: *mut u8, from: *const u8, len: u64) -> u64;
 * Either side may be the user's. Returns how many bytes were not copied: exactly, so that a call that ends early can
 * say how far it came. By words of eight and a tail; where single bytes were measured to be faster, a jump over the
 * words is patched in. */
FUNC usercopy
        PATCH_STAC
        mov     rcx, rdx
        PATCH_JUMP PATCH_COPY_BYTES, usercopy_bytes
        and     edx, 7
        shr     rcx, 3
usercopy_words:
        rep movsq
        EX_TABLE usercopy_words, usercopy_words_fault
        mov     ecx, edx
usercopy_bytes:
        rep movsb
        EX_TABLE usercopy_bytes, usercopy_done
usercopy_done:
        PATCH_CLAC
        mov     rax, rcx
        ret
        /* Some of the word's bytes may have been there: on by bytes, which stop where it begins to be missing. */
usercopy_words_fault:
        lea     rcx, [rdx + rcx * 8]
        jmp     usercopy_bytes
ENDFUNC usercopy

/* unsafe extern "sysv64" fn userclear(to: *mut u8, len: u64) -> u64;
 * Zeros. Returns how many bytes were not written. */
FUNC userclear
        PATCH_STAC
        mov     rcx, rsi
        mov     edx, esi
        and     edx, 7
        shr     rcx, 3
        xor     eax, eax
userclear_words:
        rep stosq
        EX_TABLE userclear_words, userclear_words_fault
        mov     ecx, edx
userclear_bytes:
        rep stosb
        EX_TABLE userclear_bytes, userclear_done
userclear_done:
        PATCH_CLAC
        mov     rax, rcx
        ret
userclear_words_fault:
        lea     rcx, [rdx + rcx * 8]
        jmp     userclear_bytes
ENDFUNC userclear

/* unsafe extern "sysv64" fn userstring(to: *mut u8, from: *const u8, limit: u64) -> u64;
 * Copies up to and with the first zero byte, `limit` bytes at most. Returns the length without it; `limit` if none
 * came; u64::MAX after a fault. */
FUNC userstring
        PATCH_STAC
        xor     eax, eax
        test    rdx, rdx
        jz      2f
userstring_load:
        movzx   ecx, byte ptr [rsi + rax]
        EX_TABLE userstring_load, userstring_fault
        mov     [rdi + rax], cl
        test    ecx, ecx
        jz      2f
        inc     rax
        cmp     rax, rdx
        jb      userstring_load
2:      PATCH_CLAC
        ret
userstring_fault:
        mov     rax, -1
        jmp     2b
ENDFUNC userstring

/* unsafe extern "sysv64" fn userstrlen(from: *const u8, limit: u64) -> u64;
 * The same, and copies nothing. */
FUNC userstrlen
        PATCH_STAC
        xor     eax, eax
        test    rsi, rsi
        jz      2f
userstrlen_load:
        cmp     byte ptr [rdi + rax], 0
        EX_TABLE userstrlen_load, userstrlen_fault
        je      2f
        inc     rax
        cmp     rax, rsi
        jb      userstrlen_load
2:      PATCH_CLAC
        ret
userstrlen_fault:
        mov     rax, -1
        jmp     2b
ENDFUNC userstrlen

/* Words that programs wait on. Aligned to four, which the caller checks: a locked access across two cache lines stops
 * every CPU.
 *
 *   unsafe extern "sysv64" fn NAME(at: *mut u32, operand: u32, old: *mut u32) -> u64;
 *
 * 1, and what was there in `old`; or 0 after a fault. `operation` makes the new value in r8d out of eax, the old one,
 * and esi. */
.macro USER_ATOMIC name, operation:vararg
FUNC \name
        PATCH_STAC
\name\()_load:
        mov     eax, [rdi]
        EX_TABLE \name\()_load, \name\()_fault
1:      mov     r8d, eax
        \operation
\name\()_exchange:
        lock cmpxchg [rdi], r8d
        EX_TABLE \name\()_exchange, \name\()_fault
        jne     1b                      /* somebody was faster: eax has the new old value */
        PATCH_CLAC
        mov     [rdx], eax
        mov     eax, 1
        ret
\name\()_fault:
        PATCH_CLAC
        xor     eax, eax
        ret
ENDFUNC \name
.endm

        USER_ATOMIC user_swap32, mov r8d, esi
        USER_ATOMIC user_add32,  add r8d, esi
        USER_ATOMIC user_or32,   or r8d, esi
        USER_ATOMIC user_and32,  and r8d, esi
        USER_ATOMIC user_xor32,  xor r8d, esi

/* unsafe extern "sysv64" fn user_load32(at: *const u32, old: *mut u32) -> u64; */
FUNC user_load32
        PATCH_STAC
user_load32_load:
        mov     ecx, [rdi]
        EX_TABLE user_load32_load, user_load32_fault
        PATCH_CLAC
        mov     [rsi], ecx
        mov     eax, 1
        ret
user_load32_fault:
        PATCH_CLAC
        xor     eax, eax
        ret
ENDFUNC user_load32

/* unsafe extern "sysv64" fn user_cmpxchg32(at: *mut u32, expected: u32, new: u32, old: *mut u32) -> u64;
 * It was exchanged if `old` is `expected` afterwards. */
FUNC user_cmpxchg32
        PATCH_STAC
        mov     eax, esi
user_cmpxchg32_exchange:
        lock cmpxchg [rdi], edx
        EX_TABLE user_cmpxchg32_exchange, user_cmpxchg32_fault
        PATCH_CLAC
        mov     [rcx], eax
        mov     eax, 1
        ret
user_cmpxchg32_fault:
        PATCH_CLAC
        xor     eax, eax
        ret
ENDFUNC user_cmpxchg32

        /* Where the exception table is asked whose fault it was. */
        .globl  usercopy_end
        .type   usercopy_end, @function
usercopy_end:
        .size   usercopy_end, 0
