/* traps.c: what a program does itself, and the signal that it gets for that.
 *
 *     traps            one line for each exception: signal, code, address, vector, error code, as a handler sees them
 *     traps storm N    N signals over code that keeps things below its stack pointer and in its vector registers
 *
 * The same lines come from Linux; where a CPU model raises another exception than the manual says, the test knows.
 */
#include "ring3.h"

enum { SIGILL = 4, SIGTRAP = 5, SIGBUS = 7, SIGFPE = 8, SA_SIGINFO = 4, SA_RESTORER = 0x04000000, SA_NODEFER = 0x40000000 };
/* Registers of a ucontext_t, in words from its beginning, and of a siginfo_t. */
enum { UC_RSP = 20, UC_RIP = 21, UC_EFLAGS = 22, UC_ERR = 24, UC_TRAPNO = 25, UC_FPSTATE = 28 };

__asm__("leave_handler: mov $15, %eax\n syscall");
extern char leave_handler[];

static void handle(int signal, void (*handler)(int, u64 *, u64 *))
{
    u64 action[4] = {(u64)handler, SA_SIGINFO | SA_RESTORER | SA_NODEFER, (u64)leave_handler, 0};
    call(SIGACTION, signal, action, 0, 8);
}

/* ---- one exception after the other ---- */

/* attempt(what): calls it; it need not come back. What it leaves in the vector unit and in EFLAGS is put right. */
u64 kept_rsp;
long attempt(void (*what)(void));
extern char attempt_over[];
__asm__(
    "attempt:\n push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"
    " mov %rsp, kept_rsp(%rip)\n sub $8, %rsp\n call *%rdi\n"
    "attempt_over:\n mov kept_rsp(%rip), %rsp\n pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n ret\n");

static u64 seen_signal, seen_code, seen_address, seen_rip, seen_vector, seen_error;

static void caught(int signal, u64 *info, u64 *context)
{
    (void)signal;
    /* One that comes at the handler's way back, as a step may, is not the one that was asked for. */
    seen_signal = info[0] & 0xFFFFFFFF, seen_code = info[1] & 0xFFFFFFFF, seen_address = info[2];
    seen_rip = context[UC_RIP], seen_vector = context[UC_TRAPNO], seen_error = context[UC_ERR];
    context[UC_EFLAGS] &= ~(u64)0x40100;
    context[UC_RIP] = (u64)attempt_over;
}

static char *none, *constant, *data, *beyond;

static void divide(void) { __asm__ volatile("xor %%edx, %%edx\n xor %%ecx, %%ecx\n mov $1, %%eax\n div %%ecx" ::: "eax", "ecx", "edx"); }
static void step(void) { __asm__ volatile("pushf\n orl $0x100, (%%rsp)\n popf\n nop\n nop" ::: "memory"); }
static void icebp(void) { __asm__ volatile(".byte 0xF1"); }
static void int3(void) { __asm__ volatile("int3"); }
static void int_3(void) { __asm__ volatile(".byte 0xCD, 3"); }
static void int_4(void) { __asm__ volatile("int $4"); }
static void int_5(void) { __asm__ volatile("int $5"); }
static void undefined(void) { __asm__ volatile("ud2"); }
static void halt(void) { __asm__ volatile("hlt"); }
static void interrupts_off(void) { __asm__ volatile("cli"); }
static void port(void) { __asm__ volatile("out %%al, $0x80" ::: "memory"); }
static void machine_register(void) { __asm__ volatile("rdmsr" :: "c"(0xC0000080) : "eax", "edx"); }
static void tables(void) { __asm__ volatile("mov %0, %%cr3" :: "r"(0UL) : "memory"); }
static void swap_gs(void) { __asm__ volatile("swapgs"); }
static void sysret(void) { __asm__ volatile("sysretq" :: "c"(0x8000000000000000), "a"(0) : "r11", "memory"); }
static void int_2(void) { __asm__ volatile("int $2"); }
static void int_14(void) { __asm__ volatile("int $14"); }
static void to_ring_0(void) { __asm__ volatile("push $0\n push %rsp\n pushf\n push $0x10\n push $0\n iretq"); }
static void not_canonical(void) { __asm__ volatile("mov (%0), %%al" :: "r"(0x8000000000000000) : "al"); }
static void stack_away(void) { __asm__ volatile("mov %%rbp, %%rbx\n mov %0, %%rbp\n mov (%%rbp), %%al\n mov %%rbx, %%rbp" :: "r"(0x8000000000000000) : "al", "rbx"); }
static void jump_away(void) { __asm__ volatile("jmp *%0" :: "r"(0x8000000000000000)); }
static void read_null(void) { __asm__ volatile("mov (%0), %%al" :: "r"(8UL) : "al"); }
static void write_null(void) { __asm__ volatile("movb $0, (%0)" :: "r"(8UL) : "memory"); }
static void call_null(void) { __asm__ volatile("call *%0" :: "r"(0UL) : "memory"); }
static void read_none(void) { __asm__ volatile("mov (%0), %%al" :: "r"(none) : "al"); }
static void write_constant(void) { __asm__ volatile("movb $0, (%0)" :: "r"(constant) : "memory"); }
static void run_data(void) { __asm__ volatile("jmp *%0" :: "r"(data)); }
static void read_beyond(void) { __asm__ volatile("mov (%0), %%al" :: "r"(beyond) : "al"); }
static void read_kernel(void) { __asm__ volatile("mov (%0), %%al" :: "r"(0xFFFFFFFF80000000) : "al"); }
static void x87(void)
{
    static const unsigned short control = 0x037B;   /* divisions by zero are not masked */
    __asm__ volatile("fninit\n fldcw %0\n fld1\n fldz\n fdivrp %%st, %%st(1)\n fwait" :: "m"(control));
}
static void sse(void)
{
    static const u32 control = 0x1F80 & ~0x200u;    /* the same */
    __asm__ volatile("ldmxcsr %0\n movss %1, %%xmm0\n xorps %%xmm1, %%xmm1\n divss %%xmm1, %%xmm0" :: "m"(control), "m"((float){1}) : "xmm0", "xmm1");
}
static void misaligned(void)
{
    __asm__ volatile("pushf\n orl $0x40000, (%%rsp)\n popf\n mov 1(%0), %%eax\n pushf\n andl $~0x40000, (%%rsp)\n popf" :: "r"(data) : "eax", "memory");
}

static void show(const char *name, void (*what)(void))
{
    seen_signal = 0;
    attempt(what);
    static const u32 all_masked = 0x1F80;
    __asm__ volatile("fninit\n ldmxcsr %0" :: "m"(all_masked));
    say(name), say(":");
    if (!seen_signal) { say(" nothing\n"); return; }
    say(" signal "), say_number((long)seen_signal), say(" code "), say_number((int)seen_code), say(" vector "), say_number((long)seen_vector);
    say(" error "), say_hex(seen_error), say(" address ");
    char *named[] = {none, constant, data, beyond};
    static const char *const names[] = {"none", "constant", "data", "beyond"};
    int n = 0;
    while (n < 4 && (u64)named[n] != seen_address) n++;
    if (n < 4) say(names[n]);
    else if (seen_address && seen_address == seen_rip) say("rip");
    else say_hex(seen_address);
    say("\n");
}

static int all(void)
{
    static const int signals[] = {SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV};
    for (u64 n = 0; n < sizeof signals / sizeof *signals; n++) handle(signals[n], caught);
    none = map(PAGE, PROT_NONE), constant = map(PAGE, PROT_READ), data = map(PAGE, PROT_READ | PROT_WRITE);
    data[0] = 1;
    long file = call(MEMFD, "short", 0);
    call(FTRUNCATE, file, PAGE);
    beyond = (char *)call(MMAP, 0, 2 * PAGE, PROT_READ, MAP_SHARED, file, 0) + PAGE;
    show("divide", divide), show("step", step), show("icebp", icebp), show("int3", int3), show("int-3", int_3), show("int-4", int_4), show("int-5", int_5);
    show("int-2", int_2), show("int-14", int_14), show("undefined", undefined), show("halt", halt), show("cli", interrupts_off), show("out", port);
    show("rdmsr", machine_register), show("cr3", tables), show("swapgs", swap_gs), show("sysret", sysret), show("iret", to_ring_0);
    show("not-canonical", not_canonical), show("stack-away", stack_away), show("jump-away", jump_away);
    show("read-null", read_null), show("write-null", write_null), show("call-null", call_null), show("read-none", read_none);
    show("write-constant", write_constant), show("run-data", run_data), show("read-beyond", read_beyond), show("read-kernel", read_kernel);
    show("x87", x87), show("sse", sse), show("misaligned", misaligned);
    return 0;
}

/* ---- signals over code that does not expect any ---- */

static volatile long came;

/* Uses the stack, and every register that a call may use. */
static void clobbers(int signal, u64 *info, u64 *context)
{
    (void)signal, (void)info, (void)context;
    volatile u64 much[64];
    for (int n = 0; n < 64; n++) much[n] = ~0UL;
    __asm__ volatile("" :: "r"(much) : "memory");
    static const u32 other = 0x9F80 & ~0x8000u;   /* rounds up, masks all */
    __asm__ volatile(
        "pcmpeqd %%xmm0, %%xmm0\n pcmpeqd %%xmm1, %%xmm1\n pcmpeqd %%xmm7, %%xmm7\n pcmpeqd %%xmm8, %%xmm8\n pcmpeqd %%xmm15, %%xmm15\n"
        "ldmxcsr %0\n fninit\n fldpi\n fldpi" :: "m"(other) : "memory");
    came++;
}

/* A turn: 16 words below the stack pointer and values in xmm0, 1, 7, 8, 15, st0 and MXCSR stay as they are for a while.
 * Returns how many do not.
 */
long turn(u64 value);
__asm__(
    "turn:\n"
    " xor %eax, %eax\n mov $16, %ecx\n"
    "1: mov %rdi, -136(%rsp,%rcx,8)\n dec %ecx\n jnz 1b\n"              /* -128(%rsp) to -8(%rsp) */
    " movq %rdi, %xmm0\n movq %rdi, %xmm1\n movq %rdi, %xmm7\n movq %rdi, %xmm8\n movq %rdi, %xmm15\n"
    " fninit\n fld1\n"
    " mov $3000, %ecx\n"
    "2: dec %ecx\n jnz 2b\n"
    " mov $16, %ecx\n"
    "3: cmp %rdi, -136(%rsp,%rcx,8)\n je 4f\n inc %eax\n"
    "4: dec %ecx\n jnz 3b\n"
    " movq %xmm0, %rdx\n cmp %rdi, %rdx\n je 5f\n inc %eax\n"
    "5: movq %xmm1, %rdx\n cmp %rdi, %rdx\n je 5f\n inc %eax\n"
    "5: movq %xmm7, %rdx\n cmp %rdi, %rdx\n je 5f\n inc %eax\n"
    "5: movq %xmm8, %rdx\n cmp %rdi, %rdx\n je 5f\n inc %eax\n"
    "5: movq %xmm15, %rdx\n cmp %rdi, %rdx\n je 5f\n inc %eax\n"
    "5: fld1\n fcomip %st(1), %st\n je 5f\n inc %eax\n"
    "5: fninit\n stmxcsr -128(%rsp)\n cmpl $0x1F80, -128(%rsp)\n je 5f\n inc %eax\n"
    "5: ret\n");

static int storm(long wanted)
{
    handle(SIGALRM, clobbers);
    u64 every[4] = {0, 300, 0, 300};
    call(SETITIMER, 0, every, 0);
    long wrong = 0, turns = 0;
    while (came < wanted) wrong += turn(0x0123456789ABCDEF + turns * 0x1000100010001), turns++;
    call(SETITIMER, 0, (u64[4]){0}, 0);
    say("traps: "), say_number(came), say(" signals over "), say_number(turns), say(" turns, "), say_number(wrong), say(" wrong\n");
    return wrong != 0;
}

static int run(int argc, char **argv)
{
    if (argc > 2 && same(argv[1], "storm")) return storm((long)number(argv[2]));
    return all();
}
