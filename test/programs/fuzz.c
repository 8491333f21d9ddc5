/* fuzz.c: system calls at random.
 *
 *     fuzz FIRST-SEED ROUNDS CALLS
 *
 * Each round is a process, with a session of its own, that makes so many calls; what it gives them is made to look like what
 * they want: descriptors, paths, sizes, flags and addresses that are right, nearly right, or not at all. A round may end in
 * any way, or not at all, then it is killed. What the kernel has written is looked through for addresses of the kernel and
 * for the patterns that its debug build fills free memory with. In the end as much memory must be free as after the first
 * rounds.
 *
 * Kept out: what would turn the machine off, and signals to everybody. A round does what it does below a directory of its own.
 */
#include "ring3.h"
#include "calls.h"

/* The low bits of each bad address of this program's own in the kernel's half. */
enum { OWN = 0xA5B };
/* Who counts rounds; so many may have begun at once. */
static long counter;
enum { BESIDE = 16 };
enum { SHARES = 8, PATIENCE_MS = 200, WARM_ROUNDS = 40, SLACK_KIB = 4096 };
#define SCRATCH "/tmp/fuzz"

/* ---- memory that calls are pointed at ---- */

enum { AREA = 16 * PAGE };
static char *area, *read_only, *no_access, *hole;

static const char *const PATHS[] = {
    "a", "b", "c", "d", "d/e", "d/../a", "./a", "", ".", "..", "a/", "missing", "missing/x", "link", "loop", "fifo",
    "/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/ptmx", "/dev/shm/x", "/proc/self/maps", "/proc/self/stat",
    "/proc/self/fd/0", "/proc/self/exe", "/proc/self/cmdline", "/proc/meminfo", "/proc/stat", "/proc/interrupts", "/proc/mounts", "/proc/self", "/proc", "/dev",
    "/bin/true", "/bin/busybox", "/proc/self/environ", "/proc/self/status", "/proc/self/task", "/proc/self/limits", "/proc/self/cwd",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
};
enum { PATH_COUNT = sizeof PATHS / sizeof *PATHS };

/* A word that may mean something. */
static u64 word(void)
{
    static const u64 edges[] = {0, 1, 2, 3, 7, 8, 16, 100, 127, 128, 255, 256, 511, 512, 4095, 4096, 4097, 65535, 65536, 0x7FFFFFFF, 0x80000000,
        0xFFFFFFFF, 0x100000000, 0x7FFFFFFFFFFFFFFF, 0x8000000000000000, -1UL, -2UL, -4096UL, -100UL, 1000000000, 999999999};
    switch (below(6)) {
    case 0: return dice();
    case 1: return 1UL << below(64);
    case 2: return below(64);
    case 3: return (1UL << below(32)) | (1UL << below(32));
    default: return edges[below(sizeof edges / sizeof *edges)];
    }
}

static u64 bad_address(void)
{
    switch (below(8)) {
    case 0: return 0;
    case 1: return (below(2) ? 0xFFFF800000000000 + below(1UL << 30) : 0xFFFFFFFF80000000 + below(4UL << 20)) & -(u64)PAGE | OWN;
    case 2: return 0x00007FFFFFFFF000 - below(64);
    case 3: return (u64)read_only + below(PAGE);
    case 4: return (u64)no_access + below(PAGE);
    case 5: return (u64)hole - below(16);
    case 6: return 0x0000800000000000 - 4 + below(8);
    default: return word();
    }
}

/* Somewhere in the area, more often than not with something there that could be meant. */
static u64 address(void)
{
    if (below(12) == 0) return bad_address();
    char *at = area + below(AREA / 64) * 64 + (below(8) ? 0 : below(64));
    if (at > area + AREA - 4096) at = area;
    u64 *words = (u64 *)((u64)at & ~7UL);
    switch (below(8)) {
    case 0: for (int i = 0; i < 16; i++) words[i] = word(); break;
    case 1: for (int i = 0; i < 16; i++) words[i] = 0; break;
    case 2: for (int i = 0; i < 8; i++) words[2 * i] = (u64)area + below(AREA), words[2 * i + 1] = below(5000); break;
    case 3: for (int i = 0; i < 4; i++) words[2 * i] = below(2), words[2 * i + 1] = below(1000000); break;
    case 4: for (int i = 0; i < 8; i++) words[i] = below(16) | (dice() << 32 & 0x000F000F00000000UL); break;
    case 5: for (int i = 0; i < 4; i++) words[i] = (u64)PATHS[below(PATH_COUNT)]; words[4] = 0; break;
    default: break;
    }
    return (u64)at;
}

static u64 path(void)
{
    if (below(10) == 0) return address();
    return (u64)PATHS[below(PATH_COUNT)];
}

static u64 flags(void)
{
    u64 value = 0;
    for (u64 n = below(4); n; n--) value |= 1UL << below(24);
    return below(20) ? value : word();
}

static u64 process(void)
{
    switch (below(5)) {
    case 0: return 0;
    case 1: return call(GETPID);
    case 2: return call(GETPID) + 1;
    default: return 999999 + below(3);
    }
}

/* ---- one call ---- */

static int starts(const char *text, const char *with)
{
    while (*with && *text == *with) text++, with++;
    return !*with;
}

static u64 value(const struct row *row, const char *name)
{
    if (below(40) == 0) return word();
    if (name[0] == '*') {
        if (starts(name, "*path") || same(name, "*from") || same(name, "*to") || same(name, "*target") || same(name, "*source") || same(name, "*name"))
            return path();
        if (same(name, "*type")) return (u64)(below(2) ? "tmpfs" : "proc");
        return address();
    }
    if (same(name, "fd") || same(name, "in") || same(name, "out") || same(name, "to")) return below(20);
    if (same(name, "dir") || same(name, "to_dir")) return below(3) ? (u64)AT_FDCWD : below(20);
    if (same(name, "pid") || same(name, "tid") || same(name, "group") || same(name, "who") || same(name, "id")) return process();
    if (same(name, "signal")) return below(66);
    if (same(name, "size") && starts(row->name, "rt_")) return 8;
    if (same(name, "count") || same(name, "len") || same(name, "size") || same(name, "old_len") || same(name, "new_len"))
        return below(3) ? below(300) : below(3) ? below(3 * PAGE) : word();
    if (same(name, "offset")) return below(2) ? below(10000) : word();
    if (same(name, "mode")) return below(2) ? 0777 : dice() & 0177777;
    if (same(name, "prot")) return below(8);
    if (same(name, "command") && same(row->name, "fcntl")) return below(2) ? below(17) : 1024 + below(12);
    if (same(name, "command") && same(row->name, "ioctl")) return below(4) ? 0x5400 + below(0x60) : word();
    if (same(name, "argument")) return below(2) ? address() : word();
    if (same(name, "option") || same(name, "code") || same(name, "operation") || same(name, "which") || same(name, "resource") || same(name, "clock")
        || same(name, "whence") || same(name, "advice") || same(name, "how") || same(name, "policy") || same(name, "options")) return below(4) ? below(70) : word();
    if (same(name, "timeout") || same(name, "a") || same(name, "addr")) return address();
    if (same(name, "ms") || same(name, "seconds")) return below(3);
    if (same(name, "flags")) return flags();
    return word();
}

/* Would end more than the round, or share its memory with another that does the same; would change what the machine is called
 * or says; would give random words, of which any may look like a secret.
 */
static const short KEPT_OUT[] = {SIGRETURN, VFORK, EXIT, EXIT_GROUP, REBOOT, PAUSE, KILL, SETHOSTNAME, SYSLOG, GETRANDOM, 0};
/* Those whose first argument says to whom a signal goes, or who is moved; and those that change what is mapped. */
static const short SIGNALLING[] = {TKILL, TGKILL, SIGQUEUEINFO, TGSIGQUEUEINFO, SETPGID, 0};
static const short MAPPING[] = {MMAP, MPROTECT, MUNMAP, MREMAP, MADVISE, 0};

static int is_one_of(const struct row *row, const short *numbers)
{
    while (*numbers && *numbers != row->number) numbers++;
    return *numbers != 0;
}

/* ---- what came out ---- */

/* What a debug build fills free frames and free slabs with, each bit the other way round: this file may be read as well. */
static const volatile u64 FREE[] = {~0xDEADF4EEDEADF4EE, ~0xDFDFDFDFDFDFDFDF};

static int is_secret(u64 word)
{
    if (~word == FREE[0] || ~word == FREE[1]) return 1;
    /* The beginnings of the kernel's regions (src/boot/layout.rs): direct map, heap, devices, ECAM, CPUs and stacks, frame table,
     * image. Other words that look negative mean something else: numbers of nobody side by side, or -100 as it lies across two. What
     * went into a file as a bad address comes out of it again; or with a number in its lower half, which is a small one. */
    if ((word & (PAGE - 1)) == OWN || word == 0xFFFFFFFF80000000) return 0;
    u64 region = word >> 40;
    int is_in = region == 0xFFFF80 || region == 0xFFFF88 || region == 0xFFFF90 || region == 0xFFFFA0 || region == 0xFFFFB0 || region == 0xFFFFC0;
    u64 place = word & 0xFFFFFFFFFF;
    return is_in && place < 64UL << 30 && (region != 0xFFFF80 || place >= 16 << 20) || word - 0xFFFFFFFF80000000 < 64UL << 20;
}

static long look_through(const struct row *row, const u64 *values, u64 seed)
{
    const u64 *words = (const u64 *)area;
    for (u64 i = 0; i < AREA / 8; i++) {
        if (!is_secret(words[i])) continue;
        say("fuzz: seed "), say_number((long)seed), say(": "), say(row->name), say(" has given away "), say_hex(words[i]), say(" at byte "), say_number((long)(i * 8));
        for (int n = 0; n < 6; n++) say(" "), say_hex(values[n]);
        say("\n");
        return 1;
    }
    return 0;
}

/* Everything that the program wrote there itself and that would be taken for a secret goes. */
static void clean(void)
{
    u64 *words = (u64 *)area;
    for (u64 i = 0; i < AREA / 8; i++)
        if (words[i] >> 47 == 0x1FFFF || is_secret(words[i])) words[i] = 0;
}

/* ---- a round ---- */

/* What sleeps is woken: a signal comes every 10 ms, for as long as the round does not turn that off. */
static void nothing(int signal) { (void)signal; }
__asm__("leave_handler: mov $15, %eax\n syscall");
extern char leave_handler[];

static void wake_often(void)
{
    u64 action[4] = {(u64)nothing, 0x04000000, (u64)leave_handler, 0};
    u64 every[4] = {0, 10000, 0, 10000};
    call(SIGACTION, SIGALRM, action, 0, 8);
    call(SETITIMER, 0, every, 0);
}

static void prepare_round(u64 seed)
{
    seed_dice(seed);
    call(SETSID);
    call(CHDIR, SCRATCH);
    char name[2] = {(char)('A' + seed % SHARES), 0};
    call(MKDIR, name, 0777);
    call(CHDIR, name);
    call(MKDIR, "d", 0777);
    call(CLOSE, call(OPEN, "a", O_CREAT | O_RDWR, 0666));
    call(SYMLINK, "loop", "loop"), call(SYMLINK, "a", "link"), call(MKNOD, "fifo", 0010666, 0);
    /* Of all kinds, up to 19; what else is opened comes behind. */
    for (int fd = 3; fd < 12; fd++) {
        static const char *const kinds[] = {"a", ".", "/dev/zero", "/dev/null", "/dev/ptmx", "/proc/self/stat", "b", "/dev/shm", "d"};
        long got = call(OPEN, kinds[fd - 3], fd == 3 || fd == 9 ? O_CREAT | O_RDWR : below(2) ? 04000 : 04002, 0666);
        if (got > 0 && got != fd) call(DUP2, got, fd), call(CLOSE, got);
    }
    int pair[2];
    if (call(PIPE2, pair, 04000) == 0) call(DUP2, pair[0], 12), call(DUP2, pair[1], 13);
    call(DUP2, call(MEMFD, "m", 0), 14);
    /* The console goes where a descriptor at random hardly finds it: user 0 may hang it up. */
    call(DUP2, 1, 200), said_to = 200;
    /* Nor by that there was no terminal to be had, for another round may have seen to that. */
    for (int fd = 0; fd < 3; fd++) call(CLOSE, fd), call(DUP2, fd < 2 ? 7 : 4, fd);
    /* Of four rounds, three are nobody's. */
    if (seed % 4) call(SETGROUPS, 0, 0), call(SETGID, 65534), call(SETUID, 65534);
    area = map(AREA, PROT_READ | PROT_WRITE);
    read_only = map(PAGE, PROT_READ);
    no_access = map(PAGE, PROT_NONE);
    hole = (char *)map(2 * PAGE, PROT_READ | PROT_WRITE) + PAGE;
    call(MUNMAP, hole, PAGE);
    wake_often();
}

static int run_round(u64 seed, u64 calls)
{
    prepare_round(seed);
    for (u64 n = 0; n < calls; n++) {
        const struct row *row = &CALLS[below(sizeof CALLS / sizeof *CALLS)];
        if (is_one_of(row, KEPT_OUT)) continue;
        u64 values[6] = {0};
        for (int i = 0; i < 6; i++) values[i] = row->arguments[i] ? value(row, row->arguments[i]) : dice();
        /* What follows would be this program's own undoing, not a test of the kernel. */
        if (row->number == FORK || row->number == CLONE) values[0] = (values[0] & 0xFE00u) | SIGCHLD, values[1] = 0;
        if (row->number == MOUNT || row->number == UMOUNT2) values[row->number == MOUNT] = (u64)"d";
        /* Neither the first process nor one of those who count rounds, this one's or another's that began beside it. */
        int whom = (int)values[0];
        if ((is_one_of(row, SIGNALLING) || row->number == PRLIMIT && whom != 0) && whom <= counter + BESIDE) continue;
        if (is_one_of(row, MAPPING) && values[0] - ((u64)area - (64UL << 20)) < (128UL << 20) && values[0] != (u64)hole) values[0] = 0;
        clean();
        long got = call6(row->number, values[0], values[1], values[2], values[3], values[4], values[5]);
        if ((row->number == FORK || row->number == CLONE) && got == 0) call(EXIT_GROUP, 0);
        if (is_secret((u64)got)) {
            say("fuzz: "), say(row->name), say(" returned "), say_hex((u64)got), say("\n");
            return 99;
        }
        if (look_through(row, values, seed)) return 99;
    }
    return 0;
}

/* ---- all rounds ---- */

static long leaks;

/* Ends when the round does, or has taken its time. */
static int wait_for(long child)
{
    u64 chld = 1UL << (SIGCHLD - 1), limit[2] = {PATIENCE_MS / 1000, PATIENCE_MS % 1000 * 1000000};
    int status = 0;
    for (;;) {
        long got = call(WAIT4, child, &status, WNOHANG, 0);
        if (got == child) return status;
        if (call(SIGTIMEDWAIT, &chld, 0, limit, 8) == -EAGAIN) call(KILL, child, SIGKILL);
    }
}

static int run(int argc, char **argv)
{
    /* A round may come upon /proc/self/exe. */
    if (argc != 4) return 0;
    u64 first = number(argv[1]), rounds = number(argv[2]), calls = number(argv[3]);
    u64 chld = 1UL << (SIGCHLD - 1), ended = 0, killed = 0, died = 0;
    long before = 0;
    counter = call(GETPID);
    call(SIGPROCMASK, 0, &chld, 0, 8);
    /* What rounds leave behind is this one's to collect. */
    call(PRCTL, 36, 1, 0, 0, 0);
    call(MKDIR, SCRATCH, 0777);
    call(CHMOD, SCRATCH, 01777);
    for (u64 n = 0; n < rounds; n++) {
        if (n == WARM_ROUNDS) before = free_memory();
        long child = call(FORK);
        if (child == 0) call(EXIT_GROUP, run_round(first + n, calls));
        if (child < 0) { say("fuzz: fork: "), say_number(child), say("\n"); return 2; }
        int status = wait_for(child);
        if (status == 99 << 8) leaks++;
        else if ((status & 127) == SIGKILL) killed++;
        else if (status & 127) died++;
        else ended++;
        /* Those that it has left: in sessions and groups of whatever number, so by name of their parent, which is this one. */
        while (call(WAIT4, -1, &status, WNOHANG, 0) > 0) {}
        if (n % 100 == 99) say("fuzz: round "), say_number((long)n + 1), say("\n");
    }
    /* The files that rounds have made are the only thing that may stay. */
    for (char share = 'A'; share < 'A' + SHARES; share++) {
        char mounted[] = SCRATCH "/A/d";
        mounted[sizeof SCRATCH] = share;
        while (call(UMOUNT2, mounted, 2) == 0) {}
    }
    long cleaner = call(FORK);
    if (cleaner == 0) {
        static char *arguments[] = {"rm", "-rf", SCRATCH, 0}, *environment[] = {0};
        call(EXECVE, "/bin/rm", arguments, environment);
        call(EXIT_GROUP, 1);
    }
    int status = 0;
    call(WAIT4, cleaner, &status, 0, 0);
    while (call(WAIT4, -1, &status, WNOHANG, 0) > 0) {}
    long after = free_memory();
    say("fuzz: "), say_number((long)rounds), say(" rounds: "), say_number((long)ended), say(" ended, "), say_number((long)died), say(" died, "),
    say_number((long)killed), say(" killed, "), say_number(leaks), say(" leaks; free before "), say_number(before), say(" KiB, after "), say_number(after), say(" KiB\n");
    return leaks || rounds > WARM_ROUNDS && before - after > SLACK_KIB;
}
