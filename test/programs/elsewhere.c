/* elsewhere.c: a program that asks the kernel to go on where ring 3 cannot be.
 *
 *     elsewhere TURNS
 *
 * At each address, TURNS times, a signal's frame is returned through that says: there. Its rcx and r11 agree with rip and the
 * flags, so nothing but the address speaks against SYSRET, which faults in ring 0 on Intel's CPUs if that is not canonical, on
 * the stack that the frame names (CVE-2012-0217). Each time there must be SIGSEGV, in ring 3. Then the other ways there: a
 * handler, a program's entry, and a SYSCALL in the last bytes before the hole. Status 0 if all went as on Linux, where this
 * runs as well.
 */
#include "ring3.h"

enum { ENOEXEC = 8, SA_SIGINFO = 4, SA_ONSTACK = 0x08000000, SA_NODEFER = 0x40000000, SA_RESTORER = 0x04000000, AT_EMPTY_PATH = 0x1000 };
/* Registers of a ucontext_t, in words from its beginning. */
enum { UC_REGISTERS = 5, UC_R11 = 8, UC_RAX = 18, UC_RCX = 19, UC_RSP = 20, UC_RIP = 21, UC_EFLAGS = 22, UC_CSGSFS = 23, UC_TRAPNO = 25 };
/* The first byte that nothing can be mapped at, and the first that is no address. */
#define END 0x7FFFFFFFF000
#define HOLE 0x800000000000

static const u64 ADDRESSES[] = {END, HOLE - 1, HOLE, HOLE + 1, 0x8000000000000000, 0xFFFF7FFFFFFFFFFF, 0xFFFF800000000000, 0xFFFFFFFF80000000, ~0UL};
enum { COUNT = sizeof ADDRESSES / sizeof *ADDRESSES };

extern char leave[];
__asm__("leave: mov $15, %eax\n syscall\n ud2");

static volatile u64 sent, went, caught, wrong;
static u64 address, stack, kept[UC_EFLAGS + 1];

static void handle(int signal, void *handler)
{
    u64 action[4] = {(u64)handler, SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTORER, (u64)leave, 0};
    call(SIGACTION, signal, action, 0, 8);
}

/* The frame says where to go on, and with which stack. */
static void elsewhere(int signal, void *info, u64 *context)
{
    (void)signal, (void)info;
    sent++;
    memcpy(kept, context, sizeof kept);
    context[UC_RIP] = context[UC_RCX] = address;
    context[UC_R11] = context[UC_EFLAGS];
    context[UC_RSP] = stack;
}

/* What is left alone goes on where it was. */
static void stays(int signal, void *info, u64 *context) { (void)signal, (void)info, (void)context; went++; }

static void fell(int signal, void *info, u64 *context)
{
    (void)signal, (void)info;
    caught++;
    if ((context[UC_CSGSFS] & 3) != 3) wrong++;
    /* As if nothing had been asked. */
    memcpy(context + UC_REGISTERS, kept + UC_REGISTERS, sizeof kept - UC_REGISTERS * sizeof *kept);
}

static void raise(int signal) { call(TKILL, call(GETTID), signal); }

static void returns(u64 turns)
{
    static const u64 stacks[] = {0, 0x1000, 0xFFFF800000000000, 0xFFFFFFFF80100000};
    handle(SIGSEGV, fell);
    for (u64 n = 0; n < COUNT; n++)
        for (u64 turn = 0; turn < turns; turn++) {
            handle(SIGUSR1, stays);
            raise(SIGUSR1);
            handle(SIGUSR1, elsewhere);
            address = ADDRESSES[n], stack = stacks[turn % 4];
            raise(SIGUSR1);
            if (caught != n * turns + turn + 1) wrong++;
        }
    say("elsewhere: "), say_number((long)went), say(" stayed, "), say_number((long)sent), say(" sent away, "), say_number((long)caught), say(" caught, ");
    say_number((long)wrong), say(" wrong\n");
    if (went != turns * COUNT || sent != went || caught != went) wrong++;
}

static void expect(const char *what, u64 where, long found, long wanted)
{
    if (found == wanted) return;
    say("elsewhere: "), say(what), say(" "), say_hex(where), say(": "), say_number(found), say(" instead of "), say_number(wanted), say("\n");
    wrong++;
}

/* How a child that does something ends. */
static long status_of(void (*what)(u64), u64 with)
{
    int status = 0;
    long child = call(FORK);
    if (child == 0) {
        u64 none[4] = {0};
        call(SIGACTION, SIGSEGV, none, 0, 8);
        what(with);
        call(EXIT_GROUP, 77);
    }
    call(WAIT4, child, &status, 0, 0);
    return status;
}

static void as_handler(u64 where)
{
    handle(SIGUSR1, (void *)where);
    raise(SIGUSR1);
}

/* A program of one page, whose entry is there. */
static void as_entry(u64 where)
{
    static struct {
        u8 ident[16];
        unsigned short type, machine;
        u32 version;
        u64 entry, phoff, shoff;
        u32 flags;
        unsigned short ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
        u32 p_type, p_flags;
        u64 p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_align;
    } file = {{0x7F, 'E', 'L', 'F', 2, 1, 1}, 2, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0, 1, 5, 0, 0x10000000, 0x10000000, 120, 120, PAGE};
    file.entry = where;
    long fd = call(MEMFD, "entry", 0);
    if (call(WRITE, fd, &file, sizeof file) != sizeof file) call(EXIT_GROUP, 78);
    char *arguments[] = {"entry", 0};
    /* Linux lets it begin. One that is refused before anything has changed is as good. */
    if (call(EXECVEAT, fd, "", arguments, arguments + 1, AT_EMPTY_PATH) == -ENOEXEC) raise(SIGSEGV);
}

static void fell_at_the_end(int signal, u64 *info, u64 *context)
{
    (void)signal;
    call(EXIT_GROUP, context[UC_RIP] == END && context[UC_TRAPNO] == 14 && info[2] == END ? 0 : 79);
}

/* On another stack: the page may be the stack's own. */
static void to_the_last_bytes(int signal, void *info, u64 *context)
{
    (void)signal, (void)info;
    u8 *page = (u8 *)call(MMAP, END - PAGE, PAGE, PROT_READ | PROT_WRITE | 4, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if ((u64)page != END - PAGE) call(EXIT_GROUP, 80);
    page[PAGE - 2] = 0x0F, page[PAGE - 1] = 0x05;
    context[UC_RIP] = END - 2, context[UC_RAX] = GETPID;
}

static void as_call(u64 unused)
{
    (void)unused;
    handle(SIGUSR1, to_the_last_bytes);
    handle(SIGSEGV, fell_at_the_end);
    raise(SIGUSR1);
}

static int run(int argc, char **argv)
{
    if (argc != 2) return 2;
    static u8 other[65536] __attribute__((aligned(16)));
    u64 alternate[3] = {(u64)other, 0, sizeof other};
    call(SIGALTSTACK, alternate, 0);
    returns(number(argv[1]));
    for (u64 n = 0; n < COUNT; n++) {
        expect("a handler at", ADDRESSES[n], status_of(as_handler, ADDRESSES[n]) & 127, SIGSEGV);
        expect("an entry at", ADDRESSES[n], status_of(as_entry, ADDRESSES[n]) & 127, SIGSEGV);
    }
    /* Nothing ends where the hole begins, so no SYSCALL returns there. */
    long fixed = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    expect("a page at", END, call(MMAP, END, PAGE, PROT_READ, fixed, -1, 0), -ENOMEM);
    expect("pages at", END - PAGE, call(MMAP, END - PAGE, 2 * PAGE, PROT_READ, fixed, -1, 0), -ENOMEM);
    void *one = map(PAGE, PROT_READ);
    expect("moved to", END, call(MREMAP, one, PAGE, PAGE, 3, END), -EINVAL);
    expect("a call before", END, status_of(as_call, 0), 0);
    say(wrong ? "elsewhere: WRONG\n" : "elsewhere: done\n");
    return wrong != 0;
}
