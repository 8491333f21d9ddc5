/* many.c: processes by the thousand.
 *
 *     many at-once N       so many at the same time, then all of them go
 *     many bomb N          a fork bomb of a user who may have N processes: it ends when its leader says so
 *     many exec N          fork, exec and wait, so many times, one after the other
 *
 * Each ends with what memory is free then, beside what was when the same had been done once before: what the kernel keeps for
 * later is kept by then.
 */
#include "ring3.h"

enum { SLACK_KIB = 1024, NPROC = 6 };
/* What may be kept for names of a process that has ended: each had its /proc/self/exe looked up. */
enum { NAMES_KIB = 4 };

static int report(const char *what, long count, long before, long after)
{
    say("many: "), say_number(count), say(" "), say(what), say("; free before "), say_number(before), say(" KiB, after "), say_number(after), say(" KiB\n");
    return before - after > SLACK_KIB;
}

/* All wait for the end of one pipe's writers; each says that it is there by a byte into another. */
static long at_once(long n)
{
    int gate[2], here[2];
    call(PIPE, gate), call(PIPE, here);
    long made = 0;
    for (; made < n; made++) {
        long child = call(FORK);
        if (child == 0) {
            char byte = 0;
            call(CLOSE, gate[1]);
            call(WRITE, here[1], &byte, 1);
            call(READ, gate[0], &byte, 1);
            call(EXIT_GROUP, 3);
        }
        if (child < 0) { say("many: fork: "), say_number(child), say("\n"); break; }
    }
    char bytes[256];
    for (long seen = 0, got; seen < made; seen += got > 0 ? got : 0) got = call(READ, here[0], bytes, sizeof bytes);
    say("many: "), say_number(made), say(" are there at once\n");
    call(CLOSE, gate[1]), call(CLOSE, gate[0]), call(CLOSE, here[0]), call(CLOSE, here[1]);
    long good = 0;
    int status;
    while (call(WAIT4, -1, &status, 0, 0) > 0) good += status == 3 << 8;
    return good;
}

/* Each makes two more, for ever, until forks are refused; how many there were at most is counted in memory that all share. */
static long bomb(long n)
{
    long *shared = (long *)call(MMAP, 0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int gate[2];
    call(PIPE, gate);
    long leader = call(FORK);
    if (leader == 0) {
        u64 limit[2] = {(u64)n, (u64)n};
        call(SETRLIMIT, NPROC, limit);
        call(SETGID, 65534), call(SETUID, 65534);
        call(CLOSE, gate[1]);
        for (;;) {
            long child = call(FORK);
            if (child > 0 && __atomic_add_fetch(&shared[0], 1, __ATOMIC_SEQ_CST) > 100000) call(EXIT_GROUP, 1);
            if (child < 0) {
                if (child != -EAGAIN) __atomic_store_n(&shared[1], child, __ATOMIC_SEQ_CST);
                __atomic_add_fetch(&shared[2], 1, __ATOMIC_SEQ_CST);
                /* Here a bomb would go on. All sleep until the gate's writer is gone; then the tree falls. */
                char byte;
                call(READ, gate[0], &byte, 1);
                call(EXIT_GROUP, 0);
            }
        }
    }
    /* When every one of them has been refused, there are as many as there may be. */
    while (__atomic_load_n(&shared[2], __ATOMIC_SEQ_CST) < n) call(YIELD);
    long made = shared[0] + 1, odd = shared[1];
    long mine = call(FORK);
    if (mine == 0) call(EXIT_GROUP, 0);
    say("many: "), say_number(made), say(" processes of one user, the limit being "), say_number(n), say(mine > 0 ? "; others still fork\n" : "; nobody forks any more\n");
    call(CLOSE, gate[1]), call(CLOSE, gate[0]);
    int status;
    while (call(WAIT4, -1, &status, 0, 0) > 0) {}
    call(MUNMAP, shared, PAGE);
    return odd || mine < 0 ? -1 : made;
}

static long exec(long n)
{
    static char *arguments[] = {"many", "nothing", 0}, *environment[] = {0};
    long good = 0;
    int status;
    for (long i = 0; i < n; i++) {
        long child = call(FORK);
        if (child == 0) {
            call(EXECVE, "/proc/self/exe", arguments, environment);
            call(EXIT_GROUP, 1);
        }
        if (call(WAIT4, child, &status, 0, 0) == child) good += status == 7 << 8;
        if (i % 1000 == 999) say("many: "), say_number(i + 1), say("\n");
    }
    return good;
}

static int run(int argc, char **argv)
{
    if (argc == 2 && same(argv[1], "nothing")) return 7;
    if (argc != 3) return 2;
    long n = (long)number(argv[2]), done = 0, before = 0;
    /* What a leader leaves is this one's to wait for. */
    call(PRCTL, 36, 1, 0, 0, 0);
    for (int round = 0; round < 2; round++) {
        before = free_memory();
        long count = round || !same(argv[1], "exec") ? n : 100;
        if (same(argv[1], "at-once")) done = at_once(count);
        if (same(argv[1], "bomb")) done = bomb(count);
        if (same(argv[1], "exec")) done = exec(count);
        long kept = before - figure("/proc/meminfo", "MemFree:");
        if (same(argv[1], "exec") && kept > NAMES_KIB * count + SLACK_KIB) { say("many: "), say_number(kept), say(" KiB are kept\n"); return 1; }
        if (done != count) { say("many: only "), say_number(done), say("\n"); return 1; }
    }
    return report(argv[1], done, before, free_memory());
}
