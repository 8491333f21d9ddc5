/* family.c: what parents and children hear of each other, what children inherit, and many of them asleep.
 *
 *     family
 *
 * Each case is a line of its own. Status 0 if all went as on Linux, where this runs as well, by user 0.
 */
#include "ring3.h"

enum { SIGTERM = 15, GETSCHEDULER = 145 };
enum { SET_PDEATHSIG = 1, GET_PDEATHSIG = 2, GET_DUMPABLE = 3, SET_DUMPABLE = 4, SET_CHILD_SUBREAPER = 36 };
enum { FIFO = 1, RESET_ON_FORK = 0x40000000, SA_ONSTACK = 0x08000000, SA_RESTORER = 0x04000000 };

struct action { void (*handler)(int); u64 flags; void (*restorer)(void); u64 mask; };
struct altstack { void *at; int flags; u64 size; };

static int bad;
static volatile u32 *shared;
static const u64 SIGCHLD_ONLY = 1UL << (SIGCHLD - 1);

__asm__(".globl restore\nrestore: mov $15, %eax\n syscall");
void restore(void);

static void check(const char *what, int good)
{
    say("family: "), say(what), say(good ? ": as it should be\n" : ": WRONG\n");
    bad |= !good;
}

/* How a child ends that does this. */
static int status_of(int (*work)(void))
{
    int status = -1;
    long child = call(FORK);
    if (child == 0) call(EXIT_GROUP, work());
    call(WAIT4, child, &status, 0, 0);
    return status;
}

static int ends(void) { return 0; }

/* Who has waited for a child has its signal: it is not still on its way. */
static int signal_comes_before(void)
{
    u64 old, pending;
    long none[2] = {0, 0};
    int missed = 0;
    call(SIGPROCMASK, 0, &SIGCHLD_ONLY, &old, 8);
    for (int n = 0; n < 500; n++) {
        status_of(ends);
        pending = 0;
        call(SIGPENDING, &pending, 8);
        missed += !(pending & SIGCHLD_ONLY);
        while (call(SIGTIMEDWAIT, &SIGCHLD_ONLY, 0, none, 8) > 0) {}
    }
    call(SIGPROCMASK, 2, &old, 0, 8);
    return missed == 0;
}

/* A child that wants to know of its parent's end is told; its next parent is this process. */
static int death_is_told(void)
{
    int status = -1, got = -1;
    shared[0] = 0;
    call(PRCTL, SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    long parent = call(FORK);
    if (parent == 0) {
        long child = call(FORK);
        if (child == 0) {
            int good = call(PRCTL, SET_PDEATHSIG, 65, 0, 0, 0) == -EINVAL && call(PRCTL, SET_PDEATHSIG, SIGTERM, 0, 0, 0) == 0;
            good &= call(PRCTL, GET_PDEATHSIG, &got, 0, 0, 0) == 0 && got == SIGTERM;
            shared[0] = good ? 1 : 2;
            for (;;) call(PAUSE);
        }
        while (shared[0] == 0) call(YIELD);
        /* It is not inherited. */
        int its = status_of(ends);
        call(EXIT_GROUP, shared[0] != 1 || its != 0);
    }
    call(WAIT4, parent, &status, 0, 0);
    int good = status == 0;
    long child = call(WAIT4, -1, &status, 0, 0);
    call(PRCTL, SET_CHILD_SUBREAPER, 0, 0, 0, 0);
    return good && child > 0 && status == SIGTERM;
}

static int has_no_urgency(void)
{
    return call(GETSCHEDULER, 0) != 0 || call(GETPRIORITY, 0, 0) != 20;
}

/* Urgency that children do not inherit. */
static int urgency_stays(void)
{
    int ten = 10, none = 0, good;
    good = call(SETSCHEDULER, 0, FIFO | RESET_ON_FORK, &ten) == 0 && call(GETSCHEDULER, 0) == (FIFO | RESET_ON_FORK);
    good &= status_of(has_no_urgency) == 0;
    good &= call(SETSCHEDULER, 0, RESET_ON_FORK, &none) == 0 && call(SETPRIORITY, 0, 0, -5) == 0;
    good &= call(GETSCHEDULER, 0) == RESET_ON_FORK && status_of(has_no_urgency) == 0;
    good &= call(SETSCHEDULER, 0, 0, &none) == 0 && status_of(has_no_urgency) != 0;
    call(SETPRIORITY, 0, 0, 0);
    return good;
}

static u32 owner_of(const char *path)
{
    u32 words[36] = {0};
    return call(STAT, path, words) == 0 ? words[7] : -1u;
}

/* Who has become another user is not to be looked into by that user's others. */
static int another_user(void)
{
    int good = call(PRCTL, GET_DUMPABLE, 0, 0, 0, 0) == 1 && call(PRCTL, SET_DUMPABLE, 3, 0, 0, 0) == -EINVAL;
    call(PRCTL, SET_PDEATHSIG, SIGTERM, 0, 0, 0);
    int got = -1;
    good &= call(SETUID, 65534) == 0 && call(PRCTL, GET_DUMPABLE, 0, 0, 0, 0) == 0 && owner_of("/proc/self/stat") == 0;
    call(PRCTL, GET_PDEATHSIG, &got, 0, 0, 0);
    good &= got == 0;
    good &= call(PRCTL, SET_DUMPABLE, 1, 0, 0, 0) == 0 && owner_of("/proc/self/stat") == 65534;
    return !good;
}

static void ends_with_7(int signal) { (void)signal; call(EXIT_GROUP, 7); }

static void on(int signal, void (*handler)(int), u64 flags)
{
    struct action action = {handler, flags | SA_RESTORER, restore, 0};
    call(SIGACTION, signal, &action, 0, 8);
}

/* A signal that comes while the stack pointer is nonsense. */
static int no_room(u64 flags)
{
    struct altstack stack = {map(4 * PAGE, PROT_READ | PROT_WRITE), 0, 4 * PAGE};
    call(SIGALTSTACK, &stack, 0);
    on(SIGSEGV, ends_with_7, flags), on(SIGUSR1, ends_with_7, 0);
    __asm__ volatile("mov $4096, %%esp\n syscall\n ud2" : : "a"(KILL), "D"(call(GETPID)), "S"(SIGUSR1) : "rcx", "r11", "memory");
    return 1;
}

static int no_room_but_another_stack(void) { return no_room(SA_ONSTACK); }
static int no_room_at_all(void) { return no_room(0); }

static void counts(int signal) { (void)signal; shared[2]++; }

/* Children by the hundred that sleep on one CPU: others there still take turns, and an alarm rings. */
static int sleepers(void)
{
    enum { SLEEPERS = 600, TURNS = 20 };
    static long pids[SLEEPERS + 2];
    u64 first = 1, all[16];
    long size = call(GETAFFINITY, 0, sizeof all, all), long_time[2] = {100000, 0};
    int good = 1;
    shared[0] = shared[1] = shared[2] = shared[3] = 0;
    call(SETAFFINITY, 0, sizeof first, &first);
    for (int n = 0; n < SLEEPERS + 2; n++) {
        pids[n] = call(FORK);
        if (pids[n] < 0) good = 0;
        if (pids[n]) continue;
        if (n < SLEEPERS) {
            __atomic_add_fetch(&shared[3], 1, __ATOMIC_SEQ_CST);
            call(NANOSLEEP, long_time, 0);
            call(EXIT_GROUP, 1);
        }
        /* One of the two that never let go of the CPU. */
        int me = n - SLEEPERS;
        u32 seen = 0, turns = 0;
        while (turns < TURNS) {
            __atomic_add_fetch(&shared[me], 1, __ATOMIC_SEQ_CST);
            u32 other = __atomic_load_n(&shared[1 - me], __ATOMIC_SEQ_CST);
            turns += other != seen, seen = other;
        }
        shared[me] += 1 << 30;
        while (__atomic_load_n(&shared[1 - me], __ATOMIC_SEQ_CST) < 1 << 30) __atomic_add_fetch(&shared[me], 1, __ATOMIC_SEQ_CST);
        call(EXIT_GROUP, 0);
    }
    call(SETAFFINITY, 0, size, all);
    while (shared[3] < SLEEPERS) call(YIELD);
    for (int n = SLEEPERS; n < SLEEPERS + 2; n++) {
        int status = -1;
        call(WAIT4, pids[n], &status, 0, 0);
        good &= status == 0;
    }
    on(SIGALRM, counts, 0);
    u64 soon[4] = {0, 0, 0, 1000};
    good &= call(SETITIMER, 0, soon, 0) == 0;
    while (good && shared[2] == 0) call(YIELD);
    for (int n = 0; n < SLEEPERS; n++) {
        int status = -1;
        call(KILL, pids[n], SIGKILL), call(WAIT4, pids[n], &status, 0, 0);
        good &= status == SIGKILL;
    }
    return good;
}

static int run(int argc, char **argv)
{
    (void)argc, (void)argv;
    shared = (volatile u32 *)call(MMAP, 0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    check("a child's signal is there before it is waited for", signal_comes_before());
    check("a parent's end is told", death_is_told());
    check("urgency that stays", urgency_stays());
    check("who becomes another user is closed to him", status_of(another_user) == 0);
    check("no room for a frame, and another stack for SIGSEGV", status_of(no_room_but_another_stack) == 7 << 8);
    check("no room for a frame at all", status_of(no_room_at_all) == SIGSEGV);
    check("600 sleepers", sleepers());
    say("family: done\n");
    return bad;
}
