/* stale.c: what one thread takes away, others do not have any more when the call has returned.
 *
 *     stale ROUNDS CPUS
 *
 * One thread on the first CPU takes a page away, or the right to write to it, that threads on the others use in a loop, in ring
 * 3: so each of them has its translation at hand. When the call has returned, what is in the page changes by another way. Each
 * must get SIGSEGV, with no access in between. A line for each way; status 0 if all went as on Linux, where this runs as well.
 */
#include "ring3.h"

enum { SIGBUS = 7, SA_SIGINFO = 4, SA_NODEFER = 0x40000000, SA_RESTORER = 0x04000000, MAYMOVE = 1, MREMAP_FIXED = 2, FUTEX_WAIT = 0, FUTEX_WAKE = 1, MOST = 16, MANY = 1000000 };

extern char leave[];
__asm__("leave: mov $15, %eax\n syscall\n ud2");

/* What a thread has done. Nobody else writes there. */
static struct one {
    volatile u64 accesses, faults, odd, at, over, unused[3];
} ones[MOST] __attribute__((aligned(64)));

/* What is used and taken away; the same page elsewhere; where nothing is. */
static volatile u64 *page, *alias;
static char *away;
static long file;
static volatile u64 running, writes;
/* The round that was begun last, and the last in which the page is there again. */
static volatile u32 begun, there;
static u64 threads, first_cpu, bad;

static struct one *self(void)
{
    long tid = call(GETTID);
    for (u64 n = 0; n < threads; n++) if ((long)ones[n].at == tid) return &ones[n];
    return 0;
}

/* Waits until the page is there again; the access is then made once more. */
static void taken(int signal, u64 *info, u64 *context)
{
    (void)signal, (void)context;
    struct one *me = self();
    if (!me || info[2] < (u64)page || info[2] >= (u64)page + PAGE) call(EXIT_GROUP, 90);
    u32 round = begun;
    me->faults++;
    for (u32 now; (now = there) < round;) call(FUTEX, &there, FUTEX_WAIT, now, 0, 0, 0);
}

static long uses(void *which)
{
    struct one *me = which;
    u64 mine = 0;
    me->at = (u64)call(GETTID);
    while (running) {
        if (writes) page[1 + (me - ones)] = mine += 2;
        else if (page[0] & 1) me->odd++;
        me->accesses++;
    }
    me->over = 1;
    return 0;
}

static void pin(u64 cpu)
{
    u64 mask = 1UL << cpu;
    call(SETAFFINITY, 0, 8, &mask);
}

/* ---- ways to take it away, and to bring it back ---- */

static void forbids(void) { call(MPROTECT, page, PAGE, PROT_NONE); }
static void makes_constant(void) { call(MPROTECT, page, PAGE, PROT_READ); }
static void allows(void) { call(MPROTECT, page, PAGE, PROT_READ | PROT_WRITE); }
static void unmaps(void) { call(MUNMAP, page, PAGE); }
static void maps(void) { call(MMAP, page, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0); }
static void moves(void) { call(MREMAP, page, PAGE, PAGE, MAYMOVE | MREMAP_FIXED, away); }
static void moves_back(void) { call(MREMAP, away, PAGE, PAGE, MAYMOVE | MREMAP_FIXED, page); }
static void maps_none(void) { call(MMAP, page, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0); }
static void cuts(void) { call(FTRUNCATE, file, 0); }
static void grows(void) { call(FTRUNCATE, file, PAGE); }
static void maps_own(void) { call(MMAP, page, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0); }
/* The frame that was theirs becomes somebody else's, who writes to it. */
static void others_have_it(void)
{
    u64 *theirs = map(8 * PAGE, PROT_READ | PROT_WRITE);
    for (u64 n = 0; n < 8 * PAGE / 8; n++) theirs[n] = 1;
    call(MUNMAP, theirs, 8 * PAGE);
}
static void alias_is_odd(void) { alias[0] |= 1; }
static void nothing(void) {}

static void start(u64 only_writes)
{
    begun = there = 0, writes = only_writes, running = 1;
    for (u64 n = 0; n < threads; n++) {
        ones[n].accesses = ones[n].faults = ones[n].odd = ones[n].at = ones[n].over = 0;
        pin(first_cpu + n);
        thread(uses, &ones[n], THREAD);
    }
    pin(0);
}

static void stop(void)
{
    running = 0;
    for (u64 n = 0; n < threads; n++) while (!ones[n].over) call(YIELD);
}

/* All have its translation at hand. */
static void all_use_it(void)
{
    for (u64 n = 0; n < threads; n++) {
        u64 now = ones[n].accesses;
        while (ones[n].accesses < now + 2) call(YIELD);
    }
}

/* `take` and `change`, then each thread faults; `give`, then each goes on. */
static void way(const char *name, u64 rounds, u64 only_writes, void (*first)(void), void (*take)(void), void (*change)(void), void (*give)(void))
{
    u64 late = 0, stuck = 0, odd = 0, accesses = 0;
    u64 before[MOST], words[MOST];
    first();
    alias[0] = 0;
    start(only_writes);
    for (u64 round = 1; round <= rounds; round++) {
        all_use_it();
        begun = (u32)round;
        take();
        for (u64 n = 0; n < threads; n++) before[n] = ones[n].accesses, words[n] = only_writes ? alias[1 + n] : 0;
        change();
        for (u64 n = 0; n < threads; n++)
            while (ones[n].faults < round) {
                call(YIELD);
                if (ones[n].accesses < before[n] + MANY) continue;
                say("stale: "), say(name), say(": WRONG: it is used as ever\n");
                call(EXIT_GROUP, 1);
            }
        for (u64 n = 0; n < threads; n++) {
            /* One had been made and was not counted yet; a write had been made or never is. */
            late += ones[n].accesses > before[n] + 1;
            late += only_writes && alias[1 + n] != words[n];
            stuck += ones[n].faults != round;
        }
        give();
        alias[0] = 2 * round;
        there = (u32)round;
        call(FUTEX, &there, FUTEX_WAKE, MOST, 0, 0, 0);
    }
    stop();
    for (u64 n = 0; n < threads; n++) odd += ones[n].odd, accesses += ones[n].accesses;
    say("stale: "), say(name), say(": "), say_number((long)rounds), say(" rounds, "), say_number((long)accesses), say(" accesses, "), say_number((long)late);
    say(" late, "), say_number((long)odd), say(" stale, "), say_number((long)stuck), say(" miscounted\n");
    bad += late + odd + stuck;
}

/* What a child has is what there was when it was made, though others go on writing. */
static void forks(u64 rounds)
{
    u64 changed = 0;
    maps_own();
    start(1);
    for (u64 round = 0; round < rounds; round++) {
        all_use_it();
        long child = call(FORK);
        if (child == 0) {
            u64 words[MOST], differ = 0;
            for (u64 n = 0; n < threads; n++) words[n] = page[1 + n];
            for (int n = 0; n < 3; n++) call(YIELD);
            for (u64 n = 0; n < threads; n++) differ |= page[1 + n] != words[n];
            call(EXIT_GROUP, (int)differ);
        }
        int status = 1;
        call(WAIT4, child, &status, 0, 0);
        changed += status != 0;
    }
    stop();
    say("stale: fork: "), say_number((long)rounds), say(" children, "), say_number((long)changed), say(" with what was written later\n");
    bad += changed;
}

static int run(int argc, char **argv)
{
    if (argc != 3) return 2;
    u64 rounds = number(argv[1]), cpus = number(argv[2]);
    threads = cpus > 1 ? cpus - 1 : 1, first_cpu = cpus > 1;
    if (threads > MOST) return 2;
    file = call(MEMFD, "page", 0);
    call(FTRUNCATE, file, PAGE);
    alias = (u64 *)call(MMAP, 0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    page = map(PAGE, PROT_NONE), away = map(PAGE, PROT_NONE);
    u64 action[4] = {(u64)taken, SA_SIGINFO | SA_NODEFER | SA_RESTORER, (u64)leave, 0};
    call(SIGACTION, SIGSEGV, action, 0, 8), call(SIGACTION, SIGBUS, action, 0, 8);
    way("mprotect, no access", rounds, 0, maps, forbids, alias_is_odd, allows);
    way("mprotect, reads only", rounds, 1, maps, makes_constant, nothing, allows);
    way("munmap", rounds, 0, maps, unmaps, alias_is_odd, maps);
    way("munmap, its own", rounds, 0, maps_own, unmaps, others_have_it, maps_own);
    way("mmap over it", rounds, 0, maps, maps_none, alias_is_odd, maps);
    way("mremap", rounds, 0, maps, moves, alias_is_odd, moves_back);
    way("truncate", rounds, 0, maps, cuts, others_have_it, grows);
    forks(rounds / 4);
    say(bad ? "stale: WRONG\n" : "stale: done\n");
    return bad != 0;
}
