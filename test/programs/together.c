/* together.c: threads and processes that share something: who ends whom, and who wakes whom; and what limits do.
 *
 *     together          each case is a line of its own; status 0 if all went as on Linux, where this runs as well
 *     together reads    two threads, the second of which reads lines, and says what it got
 */
#include "ring3.h"

enum { CLONE_VFORK = 0x4000, SIGTERM = 15 };
enum { FUTEX_WAIT = 0, FUTEX_WAKE = 1, FUTEX_REQUEUE = 3, FUTEX_PRIVATE = 128, ETIMEDOUT = 110 };

static int bad;

static void check(const char *what, int good)
{
    say("together: "), say(what), say(good ? ": as it should be\n" : ": WRONG\n");
    bad |= !good;
}

/* Until a word that others write is what it should be; the CPU is theirs meanwhile. */
static void wait_for(volatile u32 *word, u32 value)
{
    while (__atomic_load_n(word, __ATOMIC_SEQ_CST) != value) call(YIELD);
}

static volatile u32 *shared;

static char *append(char *to, const char *text)
{
    while (*text) *to++ = *text++;
    *to = 0;
    return to;
}

static char *append_number(char *to, u32 number)
{
    char digits[12], *at = digits + 11;
    *at = 0;
    do *--at = '0' + number % 10; while (number /= 10);
    return append(to, at);
}

/* The letter of the state of a process's thread; 0 if there is no such thread. */
static char state_of(long pid, long tid)
{
    char path[64], text[256];
    append(append_number(append(append_number(append(path, "/proc/"), (u32)pid), "/task/"), (u32)tid), "/stat");
    long fd = call(OPEN, path, 0, 0), got = fd < 0 ? 0 : call(READ, fd, text, sizeof text - 1);
    if (fd >= 0) call(CLOSE, fd);
    if (got <= 0) return 0;
    text[got] = 0;
    char *state = text;
    while (*state && *state != ')') state++;
    return state[0] ? state[2] : 0;
}

static long leader_waits(void *leader)
{
    /* A thread that has ended is a zombie or gone; either way it can be sent nothing that anybody sees: its state is asked for. */
    for (char state; (state = state_of((long)leader, (long)leader)) && state != 'Z';) call(YIELD);
    return 5;
}

/* The last thread's status counts, though the first had another. */
static int leader_ends_first(void)
{
    int status = 0;
    long child = call(FORK);
    if (child == 0) {
        thread(leader_waits, (void *)call(GETPID), THREAD);
        call(EXIT, 3);
    }
    call(WAIT4, child, &status, 0, 0);
    return status == 5 << 8;
}

static long pauses(void *unused)
{
    (void)unused;
    __atomic_store_n(&shared[0], (u32)call(GETPID), __ATOMIC_SEQ_CST);
    for (;;) call(PAUSE);
    return 0;
}

/* A signal that ends a process ends one that waits for its child to have memory of its own. */
static int signal_ends_vfork(void)
{
    int status = 0;
    shared[0] = 0;
    long parent = call(FORK);
    if (parent == 0) {
        thread(pauses, 0, CLONE_VM | CLONE_VFORK | SIGCHLD);
        call(EXIT_GROUP, 9);
    }
    while (!__atomic_load_n(&shared[0], __ATOMIC_SEQ_CST)) call(YIELD);
    call(KILL, parent, SIGTERM);
    call(WAIT4, parent, &status, 0, 0);
    call(KILL, (long)shared[0], SIGKILL);
    return status == SIGTERM;
}

static long pauses_too(void *unused)
{
    (void)unused;
    __atomic_add_fetch(&shared[0], 1, __ATOMIC_SEQ_CST);
    for (;;) call(PAUSE);
    return 0;
}

/* One that is sent to one thread ends all. */
static int signal_ends_all(void)
{
    int status = 0;
    shared[0] = 0;
    long parent = call(FORK);
    if (parent == 0) {
        long last = 0;
        for (int n = 0; n < 3; n++) last = thread(pauses_too, 0, THREAD);
        wait_for(&shared[0], 3);
        call(TGKILL, call(GETPID), last, SIGTERM);
        for (;;) call(PAUSE);
    }
    call(WAIT4, parent, &status, 0, 0);
    return status == SIGTERM;
}

/* Wakes who waits for `word`, until somebody has been woken. */
static void wake(volatile u32 *word, long flags)
{
    while (call(FUTEX, word, FUTEX_WAKE | flags, 1, 0, 0, 0) == 0) call(YIELD);
}

/* A child waits for a word as it has it mapped, the parent wakes it by the word as it is mapped here. */
static int wakes(volatile u32 *mine, volatile u32 *theirs)
{
    int status = 0;
    *mine = 7;
    long child = call(FORK);
    if (child == 0) {
        long slow[2] = {120, 0};
        call(EXIT_GROUP, (int)-call(FUTEX, theirs, FUTEX_WAIT, 7, slow, 0, 0));
    }
    wake(mine, 0);
    call(WAIT4, child, &status, 0, 0);
    return status == 0;
}

static int wakes_in_anonymous_memory(void) { return wakes(shared + 8, shared + 8); }

/* The same file, mapped twice, the second time from another page on. */
static int wakes_in_a_file(void)
{
    long fd = call(MEMFD, "words", 0);
    if (fd < 0 || call(FTRUNCATE, fd, 4 * PAGE) != 0) return 0;
    u8 *one = (u8 *)call(MMAP, 0, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    u8 *two = (u8 *)call(MMAP, 0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 2 * PAGE);
    call(CLOSE, fd);
    int good = wakes((volatile u32 *)(one + 2 * PAGE + 40), (volatile u32 *)(two + 40));
    call(MUNMAP, one, 4 * PAGE), call(MUNMAP, two, PAGE);
    return good;
}

/* Whoever says that only his own threads use a word wakes no other process, and is not woken by one. */
static int private_is_private(void)
{
    int status = 0;
    shared[8] = 7, shared[0] = 0;
    long child = call(FORK);
    if (child == 0) {
        long soon[2] = {0, 300000000};
        __atomic_store_n(&shared[0], 1, __ATOMIC_SEQ_CST);
        call(EXIT_GROUP, call(FUTEX, shared + 8, FUTEX_WAIT | FUTEX_PRIVATE, 7, soon, 0, 0) == -ETIMEDOUT ? 0 : 1);
    }
    wait_for(&shared[0], 1);
    long woken = 0;
    while (call(WAIT4, child, &status, WNOHANG, 0) == 0) {
        woken += call(FUTEX, shared + 8, FUTEX_WAKE, 100, 0, 0, 0);
        woken += call(FUTEX, shared + 8, FUTEX_WAKE | FUTEX_PRIVATE, 100, 0, 0, 0);
    }
    return status == 0 && woken == 0;
}

/* Those who wait for one word are had to wait for another, by another process. */
static int requeues(void)
{
    int status = 0;
    shared[8] = 7, shared[16] = 0;
    long child = call(FORK);
    if (child == 0) {
        long slow[2] = {120, 0};
        call(EXIT_GROUP, (int)-call(FUTEX, shared + 8, FUTEX_WAIT, 7, slow, 0, 0));
    }
    while (call(FUTEX, shared + 8, FUTEX_REQUEUE, 0, 1, shared + 16, 0) == 0) call(YIELD);
    int moved = call(FUTEX, shared + 8, FUTEX_WAKE, 100, 0, 0, 0) == 0;
    wake(shared + 16, 0);
    call(WAIT4, child, &status, 0, 0);
    return moved && status == 0;
}

/* ---- limits ---- */

enum { LIMIT_CPU = 0, LIMIT_SIGPENDING = 11, LIMIT_NICE = 13, LIMIT_RTPRIO = 14, FIFO = 1, SIGXCPU = 24, SIGRT = 40, EACCES = 13 };

struct action { void *handler; u64 flags; void *restorer; u64 mask; };
extern char leave[];
__asm__("leave: mov $15, %eax\n syscall\n ud2");

static void counted(int signal) { (void)signal; shared[32]++; }

static void limit(int which, u64 soft, u64 hard)
{
    u64 both[2] = {soft, hard};
    call(SETRLIMIT, which, both);
}

/* Told after a second of CPU time and after two, ended after three; its child begins anew. */
static int cpu_time_ends(void)
{
    int status = 0;
    shared[32] = 0;
    long child = call(FORK);
    if (child == 0) {
        struct action action = {counted, 0x04000000, leave, 0};
        call(SIGACTION, SIGXCPU, &action, 0, 8);
        limit(LIMIT_CPU, 1, 3);
        for (;;) {}
    }
    call(WAIT4, child, &status, 0, 0);
    return status == SIGKILL && shared[32] == 2;
}

/* One without a handler is ended by what tells it; one that sleeps has used nothing. */
static int cpu_time_is_not_the_clocks(void)
{
    int spun = 0, slept = 0;
    long spins = call(FORK);
    if (spins == 0) {
        limit(LIMIT_CPU, 1, ~0UL);
        for (;;) {}
    }
    long sleeps = call(FORK);
    if (sleeps == 0) {
        long moment[2] = {1, 200000000};
        limit(LIMIT_CPU, 1, 1);
        call(NANOSLEEP, moment, 0);
        call(EXIT_GROUP, 4);
    }
    call(WAIT4, spins, &spun, 0, 0);
    call(WAIT4, sleeps, &slept, 0, 0);
    return (spun & 127) == SIGXCPU && slept == 4 << 8;
}

/* Of signals that are queued so many wait, and no more. */
static int signals_wait(void)
{
    u64 mask = 1UL << (SIGRT - 1);
    long info[16] = {0}, done = 0, refused = 0;
    long child = call(FORK);
    if (child == 0) {
        call(SIGPROCMASK, 0, &mask, 0, 8);
        limit(LIMIT_SIGPENDING, 3, 3);
        ((int *)info)[2] = -1; /* si_code: SI_QUEUE */
        for (int n = 0; n < 6; n++) {
            long got = call(SIGQUEUEINFO, call(GETPID), SIGRT, info);
            done += got == 0, refused += got == -EAGAIN;
        }
        call(EXIT_GROUP, done <= 3 && refused == 6 - done ? 0 : 1);
    }
    int status = 1;
    call(WAIT4, child, &status, 0, 0);
    return status == 0;
}

/* Whoever is not user 0 is as urgent as his limits let him. */
static int urgency(void)
{
    long child = call(FORK);
    if (child == 0) {
        int ten = 10, eleven = 11;
        limit(LIMIT_NICE, 25, 25), limit(LIMIT_RTPRIO, 10, 10);
        call(SETUID, 65534);
        int good = call(SETPRIORITY, 0, 0, -5) == 0 && call(SETPRIORITY, 0, 0, -6) == -EACCES && call(SETPRIORITY, 0, 0, 3) == 0 && call(SETPRIORITY, 0, 0, 1) == 0;
        good &= call(SETSCHEDULER, 0, FIFO, &eleven) == -EPERM && call(SETSCHEDULER, 0, FIFO, &ten) == 0;
        call(EXIT_GROUP, !good);
    }
    int status = 1;
    call(WAIT4, child, &status, 0, 0);
    return status == 0;
}

/* ---- who takes a signal ---- */

enum { SIG_BLOCK = 0, TAKEN = 40, TAKER, ASKED, ROUND, TURNS = 50 };

static void taken(int signal)
{
    (void)signal;
    shared[TAKER] = (u32)call(GETTID);
    __atomic_add_fetch(&shared[TAKEN], 1, __ATOMIC_SEQ_CST);
}

/* Whether a signal for the whole process, sent again and again, is always taken by that thread. */
static int is_taken_by(long tid)
{
    int good = 1;
    for (u32 n = 1; n <= TURNS; n++) {
        shared[TAKEN] = 0;
        call(KILL, call(GETPID), SIGUSR1);
        wait_for(&shared[TAKEN], 1);
        good &= shared[TAKER] == (u32)tid;
    }
    return good;
}

static long sends(void *unused)
{
    (void)unused;
    /* The first thread sleeps, then spins, then has the signal blocked; the third one sleeps in a call, and would take it. */
    int good = is_taken_by(call(GETPID));
    shared[ASKED] = 1;
    /* It sleeps again, perhaps. */
    good &= is_taken_by(call(GETPID));
    wait_for(&shared[ROUND], 1);
    good &= is_taken_by(call(GETPID));
    shared[ASKED] = 2;
    wait_for(&shared[ROUND], 2);
    shared[TAKEN] = 0;
    call(KILL, call(GETPID), SIGUSR1);
    wait_for(&shared[TAKEN], 1);
    good &= shared[TAKER] != (u32)call(GETPID);
    call(EXIT_GROUP, !good);
    return 0;
}

/* What is sent to a process its first thread takes, whatever it does and whoever sends; unless it has it blocked. */
static int first_thread_takes(void)
{
    int status = 1;
    long child = call(FORK);
    if (child == 0) {
        /* Not blocked while it is handled, since the next one comes then. */
        struct action action = {taken, 0x44000000, leave, 0};
        u64 mask = 1UL << (SIGUSR1 - 1);
        shared[ASKED] = shared[ROUND] = shared[0] = 0;
        call(SIGACTION, SIGUSR1, &action, 0, 8);
        thread(pauses_too, 0, THREAD);
        wait_for(&shared[0], 1);
        thread(sends, 0, THREAD);
        while (shared[ASKED] == 0) call(PAUSE);
        shared[ROUND] = 1;
        while (shared[ASKED] == 1) {}
        call(SIGPROCMASK, SIG_BLOCK, &mask, 0, 8);
        shared[ROUND] = 2;
        for (;;) call(PAUSE);
    }
    call(WAIT4, child, &status, 0, 0);
    return status == 0;
}

/* Reads what the descriptor of a pipe gives it. */
static long reads_pipe(void *descriptor)
{
    char byte = 0;
    long got = call(READ, (long)descriptor, &byte, 1);
    call(EXIT_GROUP, got == 1 && byte == 'x' ? 0 : 1);
    return 0;
}

/* A call in which a thread waits goes on when the process does, however often it was stopped. */
static int calls_outlast_stops(void)
{
    enum { SIGSTOP = 19, SIGCONT = 18 };
    int ends[2], status = 1;
    call(PIPE, ends);
    shared[0] = 0;
    long child = call(FORK);
    if (child == 0) {
        thread(pauses_too, 0, THREAD);
        wait_for(&shared[0], 1);
        long reader = thread(reads_pipe, (void *)(long)ends[0], THREAD);
        while (state_of(call(GETPID), reader) != 'S') call(YIELD);
        shared[1] = (u32)reader;
        shared[0] = 2;
        for (;;) call(PAUSE);
    }
    wait_for(&shared[0], 2);
    for (u32 n = 0; n < 100; n++) {
        call(KILL, child, SIGSTOP);
        /* Each of them is stopped, or some are, or are about to be. */
        if (n % 4 == 0) for (char state; (state = state_of(child, shared[1])) && state != 'T';) call(YIELD);
        for (u32 spin = n * 37 % 512; spin; spin--) __asm__ volatile("pause");
        call(KILL, child, SIGCONT);
    }
    call(WRITE, ends[1], "x", 1);
    call(WAIT4, child, &status, 0, 0);
    return status == 0;
}

/* ---- a lock, and who closes its file meanwhile ---- */

enum { EBADF = 9, F_SETLK = 6, F_OFD_GETLK = 36, F_WRLCK = 1, F_UNLCK = 2, RACES = 1000, RACED = 50, DESCRIPTOR, CLOSED };
struct range { short type, whence; long start, length; int pid; };

static long closes(void *unused)
{
    (void)unused;
    for (u32 n = 1; n <= RACES; n++) {
        wait_for(&shared[RACED], n);
        for (u32 spin = n * 37 % 512; spin; spin--) __asm__ volatile("pause");
        call(CLOSE, shared[DESCRIPTOR]);
        __atomic_store_n(&shared[CLOSED], n, __ATOMIC_SEQ_CST);
    }
    return 0;
}

/* A lock on a file that another thread closes at that moment is either not had or gone. */
static int no_lock_stays(void)
{
    int status = 1;
    long child = call(FORK);
    if (child == 0) {
        long probe = call(OPEN, "/tmp/locked", O_RDWR | O_CREAT, 0600);
        int good = probe >= 0;
        thread(closes, 0, THREAD);
        for (u32 n = 1; n <= RACES; n++) {
            struct range all = {F_WRLCK, 0, 0, 0, 0}, found = {F_WRLCK, 0, 0, 0, 0};
            long fd = call(OPEN, "/tmp/locked", O_RDWR, 0);
            shared[DESCRIPTOR] = (u32)fd;
            __atomic_store_n(&shared[RACED], n, __ATOMIC_SEQ_CST);
            long got = call(FCNTL, fd, F_SETLK, &all);
            good &= got == 0 || got == -EBADF;
            wait_for(&shared[CLOSED], n);
            good &= call(FCNTL, probe, F_OFD_GETLK, &found) == 0 && found.type == F_UNLCK;
        }
        call(UNLINK, "/tmp/locked");
        call(EXIT_GROUP, !good);
    }
    call(WAIT4, child, &status, 0, 0);
    return status == 0;
}

/* ---- what is typed ---- */

static long reads(void *unused)
{
    static char line[256];
    (void)unused;
    for (long got; (got = call(READ, 0, line, sizeof line - 1)) > 0;) line[got] = 0, say("got "), say(line);
    call(EXIT_GROUP, 0);
    return 0;
}

static __attribute__((noreturn)) void two_and_one_reads(void)
{
    long tid = thread(reads, 0, THREAD);
    while (state_of(call(GETPID), tid) != 'S') call(YIELD);
    call(WRITE, 1, "begun\n", 6);
    for (;;) call(PAUSE);
}

static int run(int argc, char **argv)
{
    if (argc > 1 && same(argv[1], "reads")) two_and_one_reads();
    shared = (volatile u32 *)call(MMAP, 0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    check("the last thread's status counts", leader_ends_first());
    check("a signal ends the wait for a vfork", signal_ends_vfork());
    check("a signal for one thread ends all", signal_ends_all());
    check("futex in shared memory", wakes_in_anonymous_memory());
    check("futex in a file, mapped twice", wakes_in_a_file());
    check("futex of one's own", private_is_private());
    check("requeued by another process", requeues());
    check("signals that may wait", signals_wait());
    check("urgency by limits", urgency());
    check("a signal for all goes to the first thread", first_thread_takes());
    check("a call goes on after stops", calls_outlast_stops());
    check("no lock stays on a file that is closed meanwhile", no_lock_stays());
    check("CPU time that is used up", cpu_time_ends());
    check("CPU time is not the clock's", cpu_time_is_not_the_clocks());
    say("together: done\n");
    return bad;
}
