/* fuzz.c: system calls at random.
 *
 *     fuzz FIRST-SEED ROUNDS CALLS DRIVERS
 *
 * Each round is a process, with a session of its own, that makes so many calls; what it gives them is made to look like what
 * they want: descriptors, paths, sizes, flags and addresses that are right, nearly right, or not at all. Every other round has
 * threads, which share all that threads can: memory, descriptors, handlers; and any of them may fork, exec, or end all. A round
 * may end in any way, or not at all: one that does not get on is killed, and some are killed in the midst. So many drivers have
 * each a round going at the same time. What the kernel has written is looked through for what no program should see
 * (fuzz_secrets.h): in memory that calls write to, in the frames of signals, behind the end of files, and where a program finds
 * itself after exec. In the end as much memory must be free as after the first rounds, and in every slab be as many objects.
 *
 * Kept out: what would turn the machine off, and signals to others. A round does what it does below a directory of its own.
 */
typedef struct self self_t;
/* Who runs. Every thread has this register, and a signal's handler has its thread's. */
register self_t *self __asm__("r15");
struct self {
    unsigned long dice, seed, calls;
    unsigned char *area;
    struct driver *driver;
    unsigned slot, depth, is_process, has_threads;
};
#define DICE (self->dice)

#include "ring3.h"
#include "calls.h"

/* The low bits of each bad address of this program's own in the kernel's half. */
enum { OWN = 0xA5B };

#include "fuzz_secrets.h"
#include "fuzz_values.h"

/* What an idle machine may have more afterwards: memory that CPUs have at hand in pieces, tables of locks of device files, and
 * what user 0 has made outside of his directory. */
enum { SHARES = 8, TICK_MS = 50, STILL_TICKS = 4, TICKS = 60, STUCK_TICKS = 1200, WARM_ROUNDS = 12, SLACK_KIB = 1024, SLACK_FIGURE_KIB = 128, SLACK_OBJECTS = 12, OBJECTS_PER_FILE = 4 };
enum { CLONE_THREAD_ALL = 0x10F00, CLONE_SETTLS = 0x80000, CLONE_PARENT_SETTID = 0x100000, CLONE_CHILD_CLEARTID = 0x200000, CLONE_CHILD_SETTID = 0x1000000, CLONE_VFORK = 0x4000 };
#define SCRATCH "/tmp/fuzz"

/* Would change the line that is spoken to, or move this program's own pieces. */
static int is_mapping(const struct row *row)
{
    return row->number == MMAP || row->number == MPROTECT || row->number == MUNMAP || row->number == MREMAP || row->number == MADVISE;
}

static int is_ours(u64 from, u64 bytes)
{
    u64 to = from + bytes;
    if (from - (u64)hole < PAGE) return 0;
    if (to < from) return 1;
    return from < 0x800000 && to > 0x400000 || from < PLAY_AT && to > ROOM || to > 0x7F0000000000;
}

/* ---- frames of signals ---- */

__asm__("leave_handler: mov $15, %eax\n syscall");

static const struct row *row_of(int number)
{
    const struct row *row = CALLS;
    while (row->number != number) row++;
    return row;
}

static void count(const struct row *row, int is_good)
{
    ADD(account->made[row - CALLS], 1);
    if (is_good) ADD(account->good[row - CALLS], 1);
}

/* The frame is the address to return to, the context and the siginfo; somewhere above lies what is kept of the FPU. */
static void caught(int signal, const void *info, const void *context)
{
    (void)signal;
    static const struct row *row;
    if (!row) row = row_of(SIGRETURN);
    count(row, 1);
    ADD(account->frames, 1);
    /* Its general registers are this program's own. */
    const u8 *at = context, *fpu = (const u8 *)((const u64 *)context)[28];
    u32 size = !fpu ? 0 : ((const u32 *)fpu)[116] == 0x46505853 ? ((const u32 *)fpu)[117] : 512;
    struct found found = look(at - 8, at + 40, 0);
    if (found.row < 4) found = look(at + 168, (const u8 *)info + 128, 0);
    if (found.row < 4) found = look(fpu, fpu + size % 8192 / 8 * 8, 0);
    if (!found.at || found.row < 4) return;
    tell(self->seed, "a signal's frame", found, 0);
    call(EXIT_GROUP, 99);
}

/* What sleeps is woken: a signal comes every 10 ms, for as long as the round does not turn that off. */
static void wake_often(void)
{
    u64 every[4] = {0, 10000, 0, 10000};
    call(SETITIMER, 0, every, 0);
}

static void catch_signals(void)
{
    static const u8 caught_ones[] = {SIGALRM, SIGUSR1, 12, 1, 13, 15, 20, 21, 22, 34, 35, 40, 64};
    u64 action[4] = {(u64)caught, 0x04000000, (u64)leave_handler, 0};
    for (u64 n = 0; n < sizeof caught_ones; n++) call(SIGACTION, caught_ones[n], action, 0, 8);
}

/* ---- a call ---- */

/* More than three in a row are told; fewer are counted. */
static void look_through(const struct row *row, const u64 *values, int is_good)
{
    u32 kind = kind_of(row, values);
    if (is_good) ADD(account->all[kind], 1);
    struct found found = look(self->area, self->area + AREA, copy_of(self->area));
    if (!found.at) return;
    if (found.row < 4) {
        /* What is random has rows of two. */
        if (row->number == GETRANDOM) return;
        if (found.row == 2) ADD(account->twos[kind], 1);
        else ADD(account->threes[kind], 1);
        return;
    }
    tell(self->seed, row->name, found, values);
    call(EXIT_GROUP, 99);
}

static void run_calls(u64 calls);

static void list(long pid)
{
    u32 at = ADD(self->driver->listed, 1) - 1;
    if (at < LISTED) self->driver->pids[at] = (u32)pid;
}

static char *LOOK[] = {"fuzz", "look", 0}, *NO_ENVIRONMENT[] = {0};

/* Another process goes on a little. */
static void as_child(void)
{
    list(call(GETPID));
    self->depth++;
    self->is_process = 1;
    self->dice ^= (u64)call(GETPID) << 20 | 1;
    wake_often();
    if (below(6) == 0) call(EXECVE, "/proc/self/exe", LOOK, NO_ENVIRONMENT);
    run_calls(below(20));
    call(EXIT_GROUP, 0);
}

__attribute__((used)) static void thread_begins(void)
{
    ADD(account->threads, 1);
    if (self->is_process) list(call(GETPID)), wake_often();
    run_calls(self->calls);
    call(self->is_process || below(16) == 0 ? EXIT_GROUP : EXIT, 0);
}

/* A thread; or a process that shares this one's memory. */
static long spawn(u64 flags)
{
    static u32 slots = 1;
    u32 slot = ADD(slots, 1) - 1;
    if (slot >= SLOTS) return -EAGAIN;
    /* Be it a thread or another process: what this one looks at is not its own any more. */
    self->has_threads = 1;
    u8 *top = area_of(slot) + SLOT - PAGE;
    self_t *child = (self_t *)top;
    *child = *self;
    child->area = area_of(slot), child->slot = slot, child->dice = dice() | 1, child->calls = self->calls / 2 + 1;
    child->is_process = (flags & 0x10000) == 0, child->depth = 1;
    long made;
    register long r10 __asm__("r10") = (long)(COMMON_AT + 4 * slot);
    register long r8 __asm__("r8") = (long)child;
    register self_t *r12 __asm__("r12") = child;
    __asm__ volatile("syscall\n test %%rax, %%rax\n jnz 1f\n mov %%r12, %%r15\n xor %%ebp, %%ebp\n call thread_begins\n ud2\n1:"
                     : "=a"(made) : "a"(CLONE), "D"(flags), "S"(top), "d"(COMMON_AT + 4 * slot + 64), "r"(r10), "r"(r8), "r"(r12) : "rcx", "r11", "memory");
    if (made > 0 && child->is_process) list(made);
    return made;
}

/* fork and its kin. */
static long make_process(const struct row *row, u64 *values)
{
    if (row->number == VFORK) {
        long got = call(VFORK);
        if (got == 0 && below(2)) call(EXECVE, "/proc/self/exe", LOOK, NO_ENVIRONMENT);
        if (got == 0) call(EXIT_GROUP, 0);
        return got;
    }
    if (row->number == CLONE && below(2)) {
        static const u32 extra[] = {CLONE_SETTLS, CLONE_PARENT_SETTID, CLONE_CHILD_CLEARTID, CLONE_CHILD_SETTID};
        u64 flags = self->has_threads && below(4) ? CLONE_THREAD_ALL : CLONE_VM | below(8) * 0x200 % 0x800 | below(2) * CLONE_VFORK | SIGCHLD;
        return spawn(flags | ONE_OF(extra) | ONE_OF(extra));
    }
    if (self->depth > 1) return -EAGAIN;
    if (row->number == CLONE) values[0] = (values[0] & 0xFE00u) | SIGCHLD, values[1] = 0;
    long got = call6(row->number, values[0], 0, values[2], values[3], values[4], 0);
    if (got == 0) as_child();
    if (got > 0) list(got);
    return got;
}

/* Those whose first argument, or second, says who is meant: none but the round's own. */
static int means_others(const struct row *row, const u64 *values)
{
    static const short by_first[] = {TKILL, TGKILL, SIGQUEUEINFO, TGSIGQUEUEINFO, SETPGID, SETPARAM, SETSCHEDULER, SETAFFINITY, PRLIMIT, 0};
    int whom = (int)values[row->number == SETPRIORITY ? 1 : 0], all = row->number == KILL ? whom != 0 : row->number == SETPRIORITY;
    for (const short *at = by_first; *at; at++) all |= *at == row->number && whom != 0;
    /* A group of negative number is one of somebody's as well. */
    if (row->number == KILL && whom < 0) return 1;
    if (row->number == SETPRIORITY) return (int)values[0] != 0 || whom != 0 && whom <= (int)account->highest;
    return all && whom <= (int)account->highest;
}

static void make_call(void)
{
    const struct row *row = &CALLS[below(ROWS)];
    u64 values[6];
    for (int i = 0; i < 6; i++) values[i] = row->arguments[i] ? clean_argument(by_name(row, row->arguments[i])) : dice();
    if (below(4)) shape(row, values);
    switch (row->number) {
    case SIGRETURN: return;
    case EXIT: case EXIT_GROUP:
        if (below(4)) return;
        count(row, 1);
        break;
    case EXECVE:
        if (below(3) == 0) values[0] = (u64)"/proc/self/exe", values[1] = (u64)LOOK, values[2] = (u64)NO_ENVIRONMENT;
        break;
    case EXECVEAT:
        if (below(4) == 0) values[0] = (u64)AT_FDCWD, values[1] = (u64)"/proc/self/exe", values[2] = (u64)LOOK, values[3] = (u64)NO_ENVIRONMENT, values[4] = 0;
        break;
    case MOUNT: values[1] = (u64)"d"; break;
    case UMOUNT2: values[0] = (u64)"d"; break;
    /* Its name stays, and it stays on. */
    case SETHOSTNAME: values[0] = (u64)account->host, values[1] = length(account->host); break;
    case REBOOT: values[0] = below(2) ? 0xFEE1DEAD : values[0], values[1] = 672274793, values[2] = below(2) ? 0 : 0x89ABCDEF; break;
    case SYSLOG:
        if (values[0] == 10 || (u32)values[0] <= 3 || (u32)values[0] == 9) break;
        values[0] = 10;
    }
    for (int i = 0; i < 6; i++)
        if (!only_looks(row->number) && is_kept(values[i])) {
            if (row->number == OPEN || row->number == OPENAT) values[i + 1] &= 04003 | O_DIRECTORY;
            else values[i] = (u64)PATHS[0];
        }
    if (means_others(row, values)) return;
    if (is_mapping(row) && (is_ours(values[0], values[1]) || row->number == MREMAP && (is_ours(values[0], values[2]) || is_ours(values[4], values[2])))) return;
    clean(self->area, self->area + AREA, copy_of(self->area));
    ADD(self->driver->moves, 1);
    if (row->number == EXECVE || row->number == EXECVEAT) count(row, values[1] == (u64)LOOK || values[2] == (u64)LOOK);
    int makes = row->number == FORK || row->number == VFORK || row->number == CLONE;
    long got = makes ? make_process(row, values) : call6(row->number, values[0], values[1], values[2], values[3], values[4], values[5]);
    int is_good = got >= 0 || got < -4095;
    if (row->number != EXECVE && row->number != EXECVEAT) count(row, is_good);
    /* Nothing wakes who has asked for one signal in seconds. */
    if (row->number == ALARM && below(8)) wake_often();
    if (is_kernels((u64)got)) {
        tell(self->seed, row->name, (struct found){0, (u64)got, 8}, values);
        call(EXIT_GROUP, 99);
    }
    look_through(row, values, is_good);
}

/* ---- what nobody has written is 0 ---- */

static void must_be_zero(const char *what, const void *at, u64 bytes)
{
    if ((long)at < 0 && (long)at > -4096 || is_zero(at, bytes)) return;
    tell(self->seed, what, (struct found){at, word_at(at), (u32)bytes}, 0);
    call(EXIT_GROUP, 99);
}

/* Holes of a file, what was cut off, and what lies in its last page behind its end. */
static void look_behind_files(void)
{
    long fd = call(MEMFD, "tail", 0), high = call(FCNTL, fd, 1030, 100);
    call(CLOSE, fd);
    if (high < 0) return;
    u64 had = 1 + below(5000), kept = below(had), then = had + below(3 * PAGE);
    u8 *bytes = self->area;
    memset(bytes, 'a', had);
    int is_cut = call(WRITE, high, bytes, had) == (long)had && call(FTRUNCATE, high, kept) == 0 && call(FTRUNCATE, high, then) == 0;
    memset(bytes, 'b', 5 * PAGE);
    if (is_cut && call(PREAD, high, bytes, then, 0) == (long)then) must_be_zero("a file that was cut", bytes + kept, then - kept);
    long at = call(MMAP, 0, 5 * PAGE, PROT_READ, MAP_SHARED, high, 0);
    if (is_cut && at > 0) must_be_zero("a mapped file", (u8 *)at + kept, (then + PAGE - 1) / PAGE * PAGE - kept);
    call(MUNMAP, at, 5 * PAGE);
    call(CLOSE, high);
}

static void look_at_new_memory(void)
{
    u64 pages = 1 + below(8), more = pages + below(8);
    long at = call(MMAP, 0, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at < 0) return;
    must_be_zero("mmap", (void *)at, pages * PAGE);
    memset((void *)at, 'a', pages * PAGE);
    long moved = call(MREMAP, at, pages * PAGE, more * PAGE, 1);
    if (moved > 0) {
        at = moved;
        must_be_zero("mremap", (u8 *)at + pages * PAGE, (more - pages) * PAGE);
        pages = more;
    }
    if (call(MADVISE, at, pages * PAGE, 4) == 0) must_be_zero("madvise", (void *)at, pages * PAGE);
    call(MUNMAP, at, pages * PAGE);
}

extern char _end[];

/* After exec: the stack with all that the kernel has laid there, and what is behind the program's data. */
static int look_around(const u64 *stack)
{
    static self_t me;
    self = &me;
    account = (struct account *)map(sizeof *account, PROT_READ | PROT_WRITE);
    said_to = SAID_TO;
    const u64 *at = stack + 1 + stack[0] + 1;
    while (*at++) {}
    const char *last = (const char *)stack;
    for (; at[0]; at += 2)
        if (at[0] == 31) last = (const char *)at[1];
    u64 top = ((u64)last + length(last) + PAGE) & -(u64)PAGE;
    struct found found = look((const u8 *)((u64)stack & -(u64)PAGE), (const u8 *)top, 0);
    if (found.at && found.row >= 4) tell(0, "exec's stack", found, 0);
    u64 end = (u64)_end, limit = (end + PAGE - 1) & -(u64)PAGE, heap = (u64)call(BRK, 0);
    must_be_zero("exec", (void *)end, limit - end);
    if (call(BRK, heap + 3 * PAGE) == (long)(heap + 3 * PAGE)) must_be_zero("brk", (void *)heap, 3 * PAGE);
    look_at_new_memory();
    look_at_new_memory();
    return account->leaks ? 99 : 0;
}

/* ---- a round ---- */

static void run_calls(u64 calls)
{
    for (u64 n = 0; n < calls; n++) {
        make_call();
        /* Others might write there or unmap it. */
        if (self->has_threads || below(50)) continue;
        ADD(account->looks, 1);
        look_behind_files();
        look_at_new_memory();
    }
}

static void open_all_kinds(void)
{
    for (int fd = 3; fd < 12; fd++) {
        static const char *const kinds[] = {"a", ".", "/dev/zero", "/dev/null", "/dev/ptmx", "/proc/self/stat", "b", "/dev/shm", "d"};
        long got = call(OPEN, kinds[fd - 3], fd == 3 || fd == 9 ? O_CREAT | O_RDWR : fd == 7 ? 04402 : below(2) ? 04000 : 04002, 0666);
        if (got > 0 && got != fd) call(DUP2, got, fd), call(CLOSE, got);
    }
    int pair[2], number = 0, unlocked = 0;
    if (call(PIPE2, pair, 04000) == 0) call(DUP2, pair[0], 12), call(DUP2, pair[1], 13);
    long memory = call(MEMFD, "m", 0);
    call(DUP2, memory, 14);
    char name[] = "/dev/pts/00000", *digit = name + sizeof name - 2;
    call(IOCTL, 7, 0x40045431, &unlocked), call(IOCTL, 7, 0x80045430, &number);
    char *first = name + 9;
    if (number < 10) first[0] = (char)('0' + number), first[1] = 0;
    else for (; digit >= first; number /= 10) *digit-- = (char)('0' + number % 10);
    long terminal = call(OPEN, name, 04402, 0);
    call(DUP2, terminal, TERMINAL);
    for (int fd = KINDS_OF_FILES; fd < 30; fd++) call(CLOSE, fd);
}

static void prepare_round(u64 seed)
{
    seed_dice(seed);
    self->seed = seed;
    self->has_threads = seed % 2;
    call(SETSID);
    call(CHDIR, SCRATCH);
    char name[2] = {(char)('A' + seed / 2 % SHARES), 0};
    call(MKDIR, name, 0777);
    call(CHDIR, name);
    call(MKDIR, "d", 0777);
    call(CLOSE, call(OPEN, "a", O_CREAT | O_RDWR, 0666));
    call(SYMLINK, "loop", "loop"), call(SYMLINK, "a", "link"), call(MKNOD, "fifo", 0010666, 0);
    /* The console goes where a descriptor at random hardly finds it: user 0 may hang it up. */
    call(DUP2, 1, SAID_TO), said_to = SAID_TO;
    open_all_kinds();
    /* Nor by that there was no terminal to be had, for another round may have seen to that. */
    for (int fd = 0; fd < 3; fd++) call(CLOSE, fd), call(DUP2, fd < 2 ? 7 : 4, fd);
    /* Of four rounds, three are nobody's. */
    if (seed / 2 % 4) call(SETGROUPS, 0, 0), call(SETGID, 65534), call(SETUID, 65534);
    call(MMAP, ROOM, SLOTS * SLOT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    /* Who overflows his stack meets this. */
    for (u64 slot = 0; slot < SLOTS; slot++) call(MPROTECT, area_of(slot) + AREA, PAGE, PROT_NONE);
    call(MMAP, COMMON_AT, COMMON, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    call(MMAP, PLAY_AT, PLAY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    read_only = map(PAGE, PROT_READ);
    no_access = map(PAGE, PROT_NONE);
    hole = (u8 *)map(2 * PAGE, PROT_READ | PROT_WRITE) + PAGE;
    call(MUNMAP, hole, PAGE);
    catch_signals();
    wake_often();
}

static void run_round(u64 seed, u64 calls)
{
    static self_t first;
    first.driver = self->driver;
    self = &first;
    self->area = area_of(0), self->calls = calls, self->is_process = 1;
    prepare_round(seed);
    if (self->has_threads)
        for (u64 n = 1 + below(3); n; n--) spawn(CLONE_THREAD_ALL | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID);
    run_calls(calls);
    /* The others go on without the first, or end with it. */
    call(self->has_threads && below(2) ? EXIT : EXIT_GROUP, 0);
}

/* ---- all rounds ---- */

/* SIGCHLD, or some time. */
static int child_ends_within(long ms)
{
    u64 chld = 1UL << (SIGCHLD - 1), limit[2] = {(u64)ms / 1000, (u64)ms % 1000 * 1000000};
    return call(SIGTIMEDWAIT, &chld, 0, limit, 8) != -EAGAIN;
}

/* Ends when the round does. It is killed when it does not get on, or when its time is over. */
static int wait_for(long child, long ticks, long tick_ms)
{
    int status = 0;
    u32 moves = self->driver->moves, still = 0;
    for (long tick = 0;;) {
        if (call(WAIT4, child, &status, WNOHANG, 0) == child) return status;
        if (child_ends_within(tick_ms)) continue;
        still = moves == self->driver->moves ? still + 1 : 0, moves = self->driver->moves;
        if (still >= STILL_TICKS || tick >= ticks) call(KILL, child, SIGKILL);
        if (++tick < ticks + STUCK_TICKS) continue;
        say("fuzz: "), say_number(child), say(" has been killed and does not end\n");
        ADD(account->stuck, 1);
        return SIGKILL;
    }
}

/* What a round has left behind is this one's now. Every one of it was listed. */
static void end_all(void)
{
    for (long tick = 0;;) {
        int status;
        long got = call(WAIT4, -1, &status, WNOHANG, 0);
        if (got < 0) break;
        if (got > 0) {
            if (status == 99 << 8) ADD(account->leaks, 1);
            continue;
        }
        for (u32 n = 0; n < self->driver->listed && n < LISTED; n++)
            if (self->driver->pids[n] > account->highest) call(KILL, self->driver->pids[n], SIGKILL);
        if (child_ends_within(20) || ++tick < STUCK_TICKS) continue;
        say("fuzz: children have been killed and do not end\n");
        ADD(account->stuck, 1);
        break;
    }
    self->driver->listed = 0;
}

static void drive(u32 number, u64 first, u64 rounds, u64 calls)
{
    self->driver = &account->drivers[number];
    u64 chld = 1UL << (SIGCHLD - 1);
    call(SIGPROCMASK, 0, &chld, 0, 8);
    call(PRCTL, 36, 1, 0, 0, 0);
    for (u64 n = 0; n < rounds && !account->stuck; n++) {
        seed_dice(first + n);
        int is_short = below(8) == 0;
        long ticks = is_short ? 1 : TICKS, tick_ms = is_short ? (long)(1 + below(40)) : TICK_MS;
        long child = call(FORK);
        if (child == 0) run_round(first + n, calls);
        if (child < 0) {
            say("fuzz: fork: "), say_number(child), say("\n");
            ADD(account->stuck, 1);
            return;
        }
        int status = wait_for(child, ticks, tick_ms);
        if ((status & 127) == SIGKILL) ADD(account->killed, 1);
        else if (status & 127) ADD(account->died, 1);
        else ADD(account->ended, 1);
        end_all();
        u32 all = ADD(account->rounds, 1);
        if (all % 100 == 0) say("fuzz: round "), say_number(all), say("\n");
    }
}

/* So many at once, and what they leave is put away: files are the only thing that may stay. */
static void drive_all(u32 drivers, u64 first, u64 rounds, u64 calls)
{
    int status;
    call(MKDIR, SCRATCH, 0777);
    call(CHMOD, SCRATCH, 01777);
    for (u32 n = 0; n < drivers; n++) {
        long child = call(FORK);
        if (child == 0) drive(n, first + n * 10000, rounds, calls), call(EXIT_GROUP, 0);
        if (child > (long)account->highest) account->highest = (u32)child;
    }
    while (call(WAIT4, -1, &status, 0, 0) > 0) {}
    for (char share = 'A'; share < 'A' + SHARES; share++) {
        char mounted[] = SCRATCH "/A/d";
        mounted[sizeof SCRATCH] = share;
        while (call(UMOUNT2, mounted, 2) == 0) {}
    }
    if (call(FORK) == 0) {
        static char *arguments[] = {"sh", "-c", "rm -rf " SCRATCH " /dev/shm/* /dev/shm/.[!.]*", 0}, *environment[] = {"PATH=/bin", 0};
        call(EXECVE, "/bin/sh", arguments, environment);
        call(EXIT_GROUP, 1);
    }
    while (call(WAIT4, -1, &status, 0, 0) > 0) {}
}

/* ---- what is there ---- */

enum { CACHES = 64 };
struct slab { char name[24]; long objects; };

/* Names and objects in use of /proc/slabinfo. */
static int read_slabs(struct slab *slabs)
{
    static char text[16384];
    long fd = call(OPEN, "/proc/slabinfo", 0, 0), bytes = 0, got;
    while (fd >= 0 && (got = call(READ, fd, text + bytes, sizeof text - 1 - bytes)) > 0) bytes += got;
    call(CLOSE, fd);
    text[bytes] = 0;
    int n = 0, line = 0;
    for (char *at = text; *at && n < CACHES; line++) {
        char *name = at;
        while (*at && *at != ' ') at++;
        u64 size = (u64)(at - name);
        while (*at == ' ') at++;
        if (line >= 2) {
            memset(slabs[n].name, 0, sizeof slabs[n].name);
            memcpy(slabs[n].name, name, size < 23 ? size : 23);
            slabs[n++].objects = (long)number(at);
        }
        while (*at && *at++ != '\n') {}
    }
    return n;
}

/* Tables that grow with the numbers of processes are among what vmalloc has; frames that leak there show in what is free. */
static const char *const FIGURES[] = {"AnonPages:", "PageTables:", "KernelStack:", "Cached:", "Shmem:"};
enum { FIGURE_COUNT = sizeof FIGURES / sizeof *FIGURES };

struct memory {
    long free, files, figures[FIGURE_COUNT];
    int count;
    struct slab slabs[CACHES];
};

static void measure(struct memory *now)
{
    now->free = free_memory();
    for (int n = 0; n < FIGURE_COUNT; n++) now->figures[n] = figure("/proc/meminfo", FIGURES[n]);
    now->count = read_slabs(now->slabs);
    now->files = 0;
    static const char *const mounted[] = {"/", "/dev", "/dev/shm", "/tmp"};
    for (int n = 0; n < 4; n++) {
        u64 told[16] = {0};
        if (call(STATFS, mounted[n], told) == 0) now->files += (long)(told[5] - told[6]);
    }
}

static int told_more(const char *what, long before, long after)
{
    say("fuzz: more "), say(what), say(" than before: "), say_number(after), say(" instead of "), say_number(before), say("\n");
    return 1;
}

/* Says what is more than it was, but for what may be. */
static int is_more(const struct memory *before, const struct memory *after)
{
    int bad = 0;
    long new_files = after->files > before->files ? after->files - before->files : 0;
    if (before->free - after->free > SLACK_KIB) bad |= told_more("memory in use", -before->free, -after->free);
    for (int n = 0; n < FIGURE_COUNT; n++)
        if (after->figures[n] - before->figures[n] > SLACK_FIGURE_KIB) bad |= told_more(FIGURES[n], before->figures[n], after->figures[n]);
    for (int n = 0; n < after->count; n++) {
        long had = 0;
        for (int old = 0; old < before->count; old++)
            if (same(before->slabs[old].name, after->slabs[n].name)) had = before->slabs[old].objects;
        if (after->slabs[n].objects - had > SLACK_OBJECTS + OBJECTS_PER_FILE * new_files) bad |= told_more(after->slabs[n].name, had, after->slabs[n].objects);
    }
    return bad || !after->count;
}

/* Bytes in a row that do not come by chance so often. */
static void judge_short_rows(void)
{
    for (u32 kind = 0; kind < KINDS; kind++) {
        u32 twos = account->twos[kind], threes = account->threes[kind];
        if (threes < 3 && (twos < 6 || twos * 4 < account->all[kind])) continue;
        account->leaks++;
        say("fuzz: "), say(kind < ROWS ? CALLS[kind].name : "a command"), say(" "), say_number(kind), say(" has given away bytes, "), say_number(twos), say(" times two and "),
        say_number(threes), say(" times three, of "), say_number(account->all[kind]), say("\n");
    }
}

static int names(const char *what, const u32 *counts)
{
    int n = 0;
    say("fuzz: "), say(what);
    for (u32 row = 0; row < ROWS; row++)
        if (!counts[row]) say(" "), say(CALLS[row].name), n++;
    say("\n");
    return n;
}

static int run(int argc, char **argv)
{
    static self_t me;
    self = &me;
    if (argc == 2 && same(argv[1], "look")) return look_around((u64 *)argv - 1);
    /* A round may come upon /proc/self/exe. */
    if (argc != 5) return 0;
    u64 first = number(argv[1]), rounds = number(argv[2]), calls = number(argv[3]), drivers = number(argv[4]);
    if (!drivers || drivers > DRIVERS) return 2;
    account = (void *)call(MMAP, ACCOUNT_AT, sizeof *account, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    account->highest = (u32)call(GETPID);
    char uts[6][65];
    call(UNAME, uts);
    memcpy(account->host, uts[1], sizeof account->host);
    static struct memory before, after;
    drive_all((u32)drivers, first + 5000000, WARM_ROUNDS, calls);
    measure(&before);
    account->rounds = account->ended = account->died = account->killed = 0;
    drive_all((u32)drivers, first, (rounds + drivers - 1) / drivers, calls);
    measure(&after);
    judge_short_rows();
    int missed = names("never made:", account->made), bad = is_more(&before, &after);
    names("never with success:", account->good);
    say("fuzz: "), say_number(account->threads), say(" threads, "), say_number(account->frames), say(" signals, "), say_number(account->looks), say(" looks\n");
    say("fuzz: "), say_number(account->rounds), say(" rounds: "), say_number(account->ended), say(" ended, "), say_number(account->died), say(" died, "),
    say_number(account->killed), say(" killed, "), say_number(account->leaks), say(" leaks; free before "), say_number(before.free), say(" KiB, after "),
    say_number(after.free), say(" KiB\n");
    return account->leaks || account->stuck || missed || bad;
}
