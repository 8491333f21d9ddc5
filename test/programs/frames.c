/* frames.c: signal frames that a program has damaged, for the kernel to come back through.
 *
 *     frames SEED COUNT
 *
 * A handler gets a good frame and goes back through it after random damage, again and again. What comes back wrong is caught
 * by another handler, on a stack of its own, or ends the process; then a new one goes on. Whatever happens, it must happen to
 * the program: the machine's own registers, and what the kernel gives out of its own, are looked at after each return.
 */
#include "ring3.h"

enum { SA_SIGINFO = 4, SA_ONSTACK = 0x08000000, SA_NODEFER = 0x40000000, SA_RESTORER = 0x04000000, CONTEXT_BYTES = 304, FLOATING_BYTES = 1024, RIP = 16 };

extern char leave[];
__asm__("leave: mov $15, %eax\n syscall\n ud2");

struct action { void *handler; u64 flags; void *restorer; u64 mask; };
/* Shared with whoever goes on: how many frames there were, and how it went. */
static volatile u64 *shared;
enum { MADE, RETURNED, CAUGHT, DIED, STRANGE };
static u64 wanted;
/* Where a damaged return that hits nothing goes on. */
static void *buffer[5];

static void catch_all(int signal, void *info, u64 *context)
{
    (void)signal, (void)info, (void)context;
    shared[CAUGHT]++;
    __builtin_longjmp(buffer, 1);
}

/* A few bytes of the frame become others: of the registers, of the floating-point state, of its header, of the stack and mask. */
static void damage(int signal, void *info, u64 *context)
{
    (void)signal, (void)info;
    u8 *bytes = (u8 *)context, *floating = *(u8 **)(bytes + 224);
    u64 *registers = (u64 *)(bytes + 40);
    for (u64 n = 1 + below(4); n; n--) {
        u64 value = below(3) ? dice() : below(2) ? 1UL << below(64) : 0xFFFF800000000000 + below(1UL << 40);
        switch (below(10)) {
        case 0: registers[RIP] = below(2) ? 0x0000800000000000 - below(16) : value; break;
        case 1: registers[15] = value; break;                                           /* rsp */
        case 2: registers[17] ^= below(3) ? 1UL << below(22) : dice(); break;           /* flags: TF, IOPL, NT, RF, VM, AC, ... */
        case 3: registers[18] = dice(); break;                                          /* cs, gs, fs, ss */
        case 4: *(u64 *)(bytes + 224) = below(2) ? value : (u64)floating + below(128); break;
        case 5: if (floating) *(u64 *)(floating + 512 + below(8) * 8) = value; break;   /* XSTATE_BV, XCOMP_BV, reserved */
        case 6: if (floating) *(u32 *)(floating + 24) = (u32)value; break;              /* MXCSR */
        case 7: if (floating) *(u64 *)(floating + 464 + below(6) * 8) = value; break;   /* sizes and magic words */
        case 8: if (floating) floating[below(FLOATING_BYTES)] = (u8)value; break;
        default: bytes[below(CONTEXT_BYTES)] = (u8)value; break;
        }
    }
}

static void work(void)
{
    static u8 stack[65536] __attribute__((aligned(16)));
    u64 alternate[3] = {(u64)stack, 0, sizeof stack};
    struct action other = {catch_all, SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTORER, leave, 0}, first = {damage, SA_SIGINFO | SA_NODEFER | SA_RESTORER, leave, 0};
    static const int caught[] = {4, 5, 7, 8, 11, 31};
    if (__builtin_setjmp(buffer)) goto again;
again:
    call(SIGALTSTACK, alternate, 0);
    for (u64 i = 0; i < sizeof caught / sizeof *caught; i++) call(SIGACTION, caught[i], &other, 0, 8);
    call(SIGACTION, SIGUSR1, &first, 0, 8);
    while (shared[MADE] < wanted) {
        u64 none = 0;
        shared[MADE]++;
        call(SIGPROCMASK, 2, &none, 0, 8);
        __asm__ volatile("cld");
        call(TKILL, call(GETTID), SIGUSR1);
        shared[RETURNED]++;
        /* Ring 3 is still ring 3, and its selectors what they always are. */
        u64 cs, ss;
        __asm__ volatile("mov %%cs, %0\n mov %%ss, %1" : "=r"(cs), "=r"(ss));
        if ((cs & 3) != 3 || (ss & 3) != 3) shared[STRANGE]++;
    }
}

static int run(int argc, char **argv)
{
    if (argc != 3) return 2;
    u64 seed = number(argv[1]);
    wanted = number(argv[2]);
    shared = (u64 *)call(MMAP, 0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    u64 said_at = 0;
    while (shared[MADE] < wanted) {
        long child = call(FORK);
        if (child == 0) {
            /* Wherever a frame sends it, it is not to run for ever, nor to speak. */
            u64 every[4] = {0, 0, 2, 0};
            call(SETITIMER, 0, every, 0);
            call(CLOSE, 0), call(CLOSE, 1), call(CLOSE, 2);
            seed_dice(seed + shared[DIED]);
            work();
            call(EXIT_GROUP, 0);
        }
        int status = 0;
        call(WAIT4, child, &status, 0, 0);
        if (status) shared[DIED]++;
        if (shared[MADE] - said_at >= 50000) said_at = shared[MADE], say("frames: "), say_number((long)said_at), say("\n");
    }
    say("frames: "), say_number((long)shared[MADE]), say(" frames: "), say_number((long)shared[RETURNED]), say(" went through, "), say_number((long)shared[CAUGHT]), say(" caught, "), say_number((long)shared[DIED]), say(" died, "), say_number((long)shared[STRANGE]), say(" strange\n");
    return shared[STRANGE] != 0;
}
