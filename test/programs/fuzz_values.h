/* fuzz_values.h: what fuzz.c gives calls: descriptors, paths, sizes, flags, structures and addresses that are right, nearly right,
 * or not at all.
 */

/* ---- where things lie ---- */

/* Nobody maps anything there by chance. A slot is a thread's: what its calls are pointed at, a page that nobody may touch, a
 * copy of the former, and its stack. */
#define ROOM 0x2A5430000000UL
enum { SLOTS = 8, AREA = 8 * PAGE, SLOT = 64 * PAGE, COMMON = 4 * PAGE, PLAY = 64 * PAGE };
/* Every process of a round has these pages. */
#define COMMON_AT (ROOM + SLOTS * SLOT)
#define ACCOUNT_AT (COMMON_AT + 0x100000)
/* Free to be mapped over and unmapped. */
#define PLAY_AT (ROOM + 0x40000000)

static u8 *area_of(u64 slot) { return (u8 *)(ROOM + slot * SLOT); }
/* What the area held before the call. */
static u8 *copy_of(const u8 *area) { return (u8 *)area + AREA + PAGE; }
static u8 *read_only, *no_access, *hole;

enum {
    KINDS_OF_FILES = 16, /* descriptors of all kinds begin at 3 and end here */
    TERMINAL = 15,
    SAID_TO = 200,
};

static const char *const PATHS[] = {
    "a", "b", "c", "d", "d/e", "d/../a", "./a", "", ".", "..", "a/", "missing", "missing/x", "link", "loop", "fifo",
    "/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/ptmx", "/dev/shm/x", "/proc/self/maps", "/proc/self/stat",
    "/proc/self/fd/0", "/proc/self/exe", "/proc/self/cmdline", "/proc/meminfo", "/proc/stat", "/proc/interrupts", "/proc/mounts", "/proc/self", "/proc", "/dev",
    "/bin/true", "/bin/busybox", "/proc/self/environ", "/proc/self/status", "/proc/self/task", "/proc/self/limits", "/proc/self/cwd", "/proc/slabinfo",
    "/proc/self/smaps", "/proc/self/fdinfo/3", "/proc/self/mountinfo", "/proc/self/auxv", "/proc/zoneinfo", "/proc/vmstat", "/dev/pts", "/proc/thread-self/comm",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
};
enum { PATH_COUNT = sizeof PATHS / sizeof *PATHS };

#define ONE_OF(array) (array)[below(sizeof(array) / sizeof *(array))]

static int starts(const char *text, const char *with)
{
    while (*with && *text == *with) text++, with++;
    return !*with;
}

/* ---- numbers ---- */

/* A word that may mean something. */
static u64 any_word(void)
{
    static const u64 edges[] = {0, 1, 2, 3, 7, 8, 16, 100, 127, 128, 255, 256, 511, 512, 4095, 4096, 4097, 65535, 65536, 0x7FFFFFFF, 0x80000000,
        0xFFFFFFFF, 0x100000000, 0x7FFFFFFFFFFFFFFF, 0x8000000000000000, -1UL, -2UL, -4096UL, -100UL, 1000000000, 999999999};
    switch (below(6)) {
    case 0: return dice();
    case 1: return 1UL << below(64);
    case 2: return below(64);
    case 3: return (1UL << below(32)) | (1UL << below(32));
    default: return ONE_OF(edges);
    }
}

static u64 word(void) { return clean_word(any_word()); }

static u64 flags(void)
{
    u64 value = 0;
    for (u64 n = below(4); n; n--) value |= 1UL << below(24);
    return below(20) ? value : word();
}

/* ---- addresses ---- */

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

/* Room for 2 KiB at least, in this thread's area. */
static u64 *place(void)
{
    return (u64 *)(self->area + below((AREA - PAGE) / 64) * 64);
}

/* Somewhere in the area, more often than not with something there that could be meant. Or where others write as well. */
static u64 address(void)
{
    switch (below(24)) {
    case 0: case 1: return bad_address();
    case 2: return COMMON_AT + below(COMMON - 512);
    case 3: return PLAY_AT + below(PLAY);
    /* Nobody but the kernel writes into another's. */
    case 4: return (u64)area_of(below(SLOTS)) + below(AREA - PAGE);
    }
    u64 *words = place();
    switch (below(8)) {
    case 0: for (int i = 0; i < 16; i++) words[i] = word(); break;
    case 1: for (int i = 0; i < 16; i++) words[i] = 0; break;
    case 2: for (int i = 0; i < 8; i++) words[2 * i] = (u64)self->area + below(AREA), words[2 * i + 1] = below(5000); break;
    case 3: for (int i = 0; i < 4; i++) words[2 * i] = below(2), words[2 * i + 1] = below(1000000); break;
    case 4: for (int i = 0; i < 8; i++) words[i] = below(16) | (dice() << 32 & 0x000F000F00000000UL); break;
    case 5: for (int i = 0; i < 4; i++) words[i] = (u64)ONE_OF(PATHS); words[4] = 0; break;
    default: break;
    }
    return (u64)words + (below(8) ? 0 : below(64));
}

/* So many words there. */
static u64 with(u64 a, u64 b, u64 c, u64 d)
{
    u64 *words = place();
    words[0] = a, words[1] = b, words[2] = c, words[3] = d;
    return (u64)words;
}

static u64 path(void)
{
    if (below(10) == 0) return address();
    return (u64)ONE_OF(PATHS);
}

/* Of a round's own directory: what is found there, and what may be made. */
static u64 local_path(void)
{
    static const char *const names[] = {"a", "b", "c", "d", "d/e", "d/f", "missing", "missing", "fifo", "link"};
    return (u64)ONE_OF(names);
}

/* What all live on: no round may take it away. */
static int is_kept(u64 value)
{
    for (int n = 0; n < PATH_COUNT; n++) {
        const char *path = PATHS[n];
        if ((u64)path == value) return starts(path, "/bin/") || starts(path, "/dev/") && !starts(path, "/dev/shm/") || same(path, "/proc/self/exe");
    }
    return 0;
}

/* Those that only look at a path, or run it. */
static int only_looks(int number)
{
    static const short numbers[] = {STAT, 6, ACCESS, EXECVE, READLINK, STATFS, NEWFSTATAT, READLINKAT, FACCESSAT, EXECVEAT, STATX, FACCESSAT2, CHDIR, 161, UMOUNT2};
    for (u64 n = 0; n < sizeof numbers / sizeof *numbers; n++)
        if (numbers[n] == number) return 1;
    return 0;
}

/* ---- others ---- */

static u64 process(void)
{
    switch (below(5)) {
    case 0: return 0;
    case 1: return call(GETPID);
    case 2: return call(GETTID) + below(3);
    default: return 999999 + below(3);
    }
}

/* Those that a signal may go to: this thread, this process, others of the round. */
static u64 receiver(void)
{
    u32 listed = self->driver->listed < LISTED ? self->driver->listed : LISTED;
    switch (below(4)) {
    case 0: return call(GETTID);
    case 1: return listed ? self->driver->pids[below(listed)] : 999999;
    default: return call(GETPID);
    }
}

/* Most are caught or do nothing. */
static u64 signal(void)
{
    static const u8 often[] = {0, SIGALRM, SIGUSR1, 12, SIGCHLD, 18, 20, 23, 28, 34, 35, 40, 64};
    return below(30) ? ONE_OF(often) : below(66);
}

/* A moment, as a timespec or timeval: never long. */
static u64 moment(void) { return with(0, below(900), 0, below(900)); }

static u64 descriptor(void) { return below(20); }

static int is_an_id(const char *name)
{
    u64 size = length(name);
    return size > 2 && name[size - 1] == 'd' && name[size - 2] == 'i' && (name[size - 3] == 'u' || name[size - 3] == 'g');
}

/* No byte of it can be taken for the kernel's. */
static u64 clean_argument(u64 value) { return value & ~marks(value); }

/* ---- by an argument's name ---- */

static u64 by_name(const struct row *row, const char *name)
{
    if (below(40) == 0) return word();
    if (name[0] == '*') {
        if (same(name, "*name") && (row->number >= SETXATTR && row->number <= FREMOVEXATTR)) return (u64)"user.x";
        if (starts(name, "*path") || same(name, "*from") || same(name, "*to") || same(name, "*target") || same(name, "*source") || same(name, "*name"))
            return path();
        if (same(name, "*type")) return (u64)(below(2) ? "tmpfs" : "proc");
        if (starts(name, "*time")) return below(4) ? moment() : address();
        return address();
    }
    if (same(name, "fd") || same(name, "in") || same(name, "out") || same(name, "to")) return descriptor();
    if (same(name, "dir") || same(name, "to_dir")) return below(3) ? (u64)AT_FDCWD : descriptor();
    if (same(name, "pid") || same(name, "tid") || same(name, "group") || same(name, "who") || same(name, "id")) return process();
    if (same(name, "signal")) return signal();
    if (same(name, "size") && starts(row->name, "rt_")) return 8;
    if (same(name, "count") && (name[1] == 0 || row->arguments[1] && (same(row->arguments[1], "*spans") || same(row->arguments[0], "*fds")))) return below(9);
    if (same(name, "count") || same(name, "len") || same(name, "size") || same(name, "old_len") || same(name, "new_len"))
        return below(3) ? below(300) : below(3) ? below(3 * PAGE) : word();
    if (same(name, "offset")) return below(2) ? below(10000) : word();
    if (same(name, "mode")) return below(2) ? 0777 : dice() & 0177777;
    if (same(name, "prot")) return below(8);
    if (same(name, "argument")) return below(2) ? address() : word();
    if (same(name, "option") || same(name, "code") || same(name, "operation") || same(name, "which") || same(name, "resource") || same(name, "clock")
        || same(name, "whence") || same(name, "advice") || same(name, "how") || same(name, "policy") || same(name, "options")) return below(4) ? below(70) : word();
    if (same(name, "timeout") || same(name, "a") || same(name, "addr")) return address();
    if (same(name, "ms") || same(name, "seconds")) return below(3);
    if (is_an_id(name)) return below(2) ? -1UL : below(2) ? 0 : 65534;
    if (same(name, "flags")) return below(3) ? flags() : 0;
    return word();
}

/* ---- what by the names of its arguments alone hardly ever succeeds ---- */

/* Orders of terminals (src/tty/ioctl.rs), and those of all files. The values behind most are small numbers. */
static const u32 ORDERS[] = {
    0x5401, 0x5402, 0x5403, 0x5404, 0x5405, 0x5406, 0x5407, 0x5408, 0x5409, 0x540A, 0x540B, 0x540C, 0x540D, 0x540E, 0x540F, 0x5410, 0x5411, 0x5412, 0x5413, 0x5414,
    0x5415, 0x5416, 0x5417, 0x5418, 0x541B, 0x5422, 0x5423, 0x5424, 0x5425, 0x5427, 0x5428, 0x5429, 0x802C542A, 0x402C542B, 0x402C542C, 0x402C542D, 0x80045430,
    0x40045431, 0x80045439, 0x80045440, 0x5421, 0x5450, 0x5451,
};

static void shape_ioctl(u64 *v)
{
    v[0] = below(2) ? TERMINAL : below(2) ? 7 : descriptor();
    v[1] = ONE_OF(ORDERS);
    int is_setting = v[1] - 0x5402 < 3 || (v[1] & ~3U) == 0x402C5428;
    /* Settings are changed in a bit or two: at random a line says no more. */
    if (is_setting) {
        u64 *to = place();
        if (call(IOCTL, v[0], v[1] >> 16 ? 0x802C542A : 0x5401, to) == 0) ((u8 *)to)[below(44)] ^= (u8)clean_word(1 << below(8));
        v[2] = (u64)to;
    } else
        v[2] = v[1] == 0x540A || v[1] == 0x540B || v[1] == 0x5409 || v[1] == 0x5425 ? below(4) : v[1] == 0x5410 ? with(call(GETPID), 0, 0, 0) : with(below(4), 0, 0, 0);
    if (v[1] - 0x5401 < 6 || v[1] >> 24 == 0x80) v[2] = address();
}

static void shape_fcntl(u64 *v)
{
    static const u16 commands[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 36, 37, 38, 1024, 1025, 1026, 1030, 1031, 1032, 1033, 1034};
    v[1] = ONE_OF(commands);
    int is_lock = v[1] >= 5 && v[1] <= 7 || v[1] >= 36 && v[1] <= 38;
    /* struct flock: type and whence, from, bytes, whose. */
    v[2] = is_lock ? with(below(3) | below(3) << 16, below(100), below(100), 0) : v[1] == 1031 ? (u64)PAGE << below(6) : v[1] == 4 ? below(2) * 04000 + 2 : below(30);
}

static void shape_futex(u64 *v)
{
    static const u8 operations[] = {0, 0, 1, 1, 3, 4, 5, 9, 10, 6, 7, 8, 11, 12};
    u32 *word = (u32 *)(below(4) ? COMMON_AT : (u64)self->area) + below(8);
    v[0] = (u64)word;
    v[1] = ONE_OF(operations) | below(2) * 128 | below(4) / 3 * 256;
    int waits = (v[1] & 127) == 0 || (v[1] & 127) == 9 || (v[1] & 127) == 11;
    v[2] = waits && below(8) ? *word : below(3);
    v[3] = waits ? moment() : below(3);
    v[4] = COMMON_AT + 4 * below(8);
    v[5] = (v[1] & 127) == 4 || (v[1] & 127) == 12 ? *word : (v[1] & 127) == 5 ? dice() & 0x77003003 : -1UL;
}

extern char leave_handler[];
static void caught(int signal, const void *info, const void *context);

/* struct sigaction. SIGALRM has to be caught by whom it is meant to wake. */
static void shape_sigaction(u64 *v)
{
    static const u64 choices[] = {0x04, 0x01, 0x02, 0x08000000, 0x10000000, 0x40000000, 0x80000000};
    v[0] = below(2) ? signal() : 1 + below(64);
    u64 handler = v[0] == SIGALRM || below(4) ? (u64)caught : below(3);
    u64 chosen = 0x04000000 | ONE_OF(choices) | ONE_OF(choices);
    if (v[0] == SIGALRM) chosen &= ~0x80000000;
    v[1] = below(4) ? with(handler, chosen, (u64)leave_handler, word() & ~(1UL << (SIGALRM - 1))) : 0;
    v[2] = below(2) ? address() : 0;
    v[3] = 8;
}

static void shape_mapping(const struct row *row, u64 *v)
{
    static const u8 advices[] = {0, 1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23};
    v[0] = PLAY_AT + PAGE * below(PLAY / PAGE);
    v[1] = below(8) ? PAGE * (1 + below(8)) : below(3 * PAGE);
    switch (row->number) {
    case MMAP:
        v[2] = below(8);
        v[3] = (below(3) ? MAP_PRIVATE : MAP_SHARED) | below(2) * MAP_ANONYMOUS | below(2) * MAP_FIXED | below(4) / 3 * 0x100000 | below(4) / 3 * 0x8000;
        v[4] = below(2) ? 3 : below(2) ? 14 : descriptor();
        v[5] = PAGE * below(4);
        break;
    case MPROTECT: v[2] = below(4); break;
    case MREMAP: v[2] = PAGE * (1 + below(16)), v[3] = below(8), v[4] = PLAY_AT + PAGE * below(PLAY / PAGE); break;
    case MADVISE: v[2] = ONE_OF(advices); break;
    case MSYNC: v[2] = below(8); break;
    }
}

static void shape_mount(u64 *v)
{
    static const char *const types[] = {"tmpfs", "proc", "devtmpfs", "devpts", "sysfs", "ext4"}, *const options[] = {0, "size=64k", "mode=700", "nr_inodes=10", "gid=5,mode=620", "nonsense"};
    static const u32 how[] = {0, 0, 0, 1, 32, 33, 4096, 4096, 8192, 2, 4, 8, 1024, 1 << 18, 1 << 20};
    v[0] = (u64)(below(2) ? "none" : below(2) ? "." : "a"), v[1] = (u64)"d", v[2] = (u64)ONE_OF(types), v[3] = ONE_OF(how), v[4] = (u64)ONE_OF(options);
}

/* siginfo as sigqueue makes it. */
static u64 queued(u64 signal)
{
    u32 *info = (u32 *)place();
    for (int n = 0; n < 32; n++) info[n] = 0;
    info[0] = (u32)signal, info[2] = (u32)(below(4) ? -1 : -(int)below(8)), info[4] = (u32)call(GETPID), info[6] = (u32)word();
    return (u64)info;
}

static void shape(const struct row *row, u64 *v)
{
    static const short policies[] = {0, 1, 2, 3, 5}, personalities[] = {-1, 0, 8};
    switch (row->number) {
    case IOCTL: shape_ioctl(v); break;
    case FCNTL: shape_fcntl(v); break;
    case FUTEX: shape_futex(v); break;
    case SIGACTION: shape_sigaction(v); break;
    case MMAP: case MPROTECT: case MUNMAP: case MREMAP: case MADVISE: case MSYNC: shape_mapping(row, v); break;
    case MOUNT: shape_mount(v); break;
    case UMOUNT2: v[0] = (u64)"d", v[1] = below(4) ? 2 : below(16); break;
    case SIGPROCMASK: v[0] = below(3), v[1] = below(4) ? with(word() & ~(1UL << (SIGALRM - 1)), 0, 0, 0) : 0, v[2] = address(), v[3] = 8; break;
    case SIGSUSPEND: v[0] = with(word() & ~(1UL << (SIGALRM - 1)), 0, 0, 0), v[1] = 8; break;
    case SIGPENDING: v[1] = below(9); break;
    case SIGTIMEDWAIT: v[0] = with(word(), 0, 0, 0), v[1] = address(), v[2] = moment(), v[3] = 8; break;
    case SIGALTSTACK: v[0] = below(4) ? with((u64)self->area + below(2) * 64, below(8) ? 0 : 2, AREA - PAGE - below(PAGE), 0) : 0, v[1] = address(); break;
    case KILL: v[0] = below(4) ? receiver() : 0, v[1] = signal(); break;
    case TKILL: v[0] = receiver(), v[1] = signal(); break;
    case TGKILL: v[0] = call(GETPID), v[1] = receiver(), v[2] = signal(); break;
    case SIGQUEUEINFO: v[0] = receiver(), v[1] = signal(), v[2] = queued(v[1]); break;
    case TGSIGQUEUEINFO: v[0] = call(GETPID), v[1] = receiver(), v[2] = signal(), v[3] = queued(v[2]); break;
    case WAIT4: v[0] = below(2) ? -1UL : receiver(), v[1] = below(2) ? address() : 0, v[2] = (below(8) ? WNOHANG : 0) | below(2) * 2 | below(2) * 8 | below(4) / 3 * 0x40000000, v[3] = address(); break;
    case WAITID:
        v[0] = below(3), v[1] = receiver(), v[2] = address(), v[4] = address();
        v[3] = (below(8) ? WNOHANG : 0) | (below(4) ? WEXITED : 0) | below(2) * 2 | below(2) * 8 | below(4) / 3 * WNOWAIT;
        break;
    case PRCTL: {
        static const u8 options[] = {1, 2, 3, 4, 7, 8, 15, 16, 23, 36, 37, 38, 39, 22, 27, 28};
        v[0] = ONE_OF(options), v[1] = v[0] == 15 ? (u64)ONE_OF(PATHS) : v[0] == 2 || v[0] == 16 || v[0] == 37 ? address() : below(3), v[2] = v[3] = v[4] = 0;
        break;
    }
    case ARCH_PRCTL: v[0] = 0x1001 + below(4), v[1] = address(); break;
    case SETITIMER: v[0] = 0, v[1] = with(0, 5000 + below(10000), 0, 1 + below(5000)), v[2] = address(); break;
    case CLOCK_NANOSLEEP: v[0] = below(2), v[1] = below(2), v[2] = moment(), v[3] = address(); break;
    case CLOCK_GETTIME: case CLOCK_GETRES: v[0] = below(12), v[1] = address(); break;
    case SETAFFINITY: case GETAFFINITY: v[0] = process(), v[1] = 8 * (1 + below(40)), v[2] = row->number == SETAFFINITY ? with(word() | 1, word(), 0, 0) : (u64)place(); break;
    case SETSCHEDULER: v[0] = process(), v[1] = ONE_OF(policies), v[2] = with(below(2) * below(100), 0, 0, 0); break;
    case SETPARAM: v[0] = process(), v[1] = with(below(2) * below(100), 0, 0, 0); break;
    case SCHED_MAX: case SCHED_MIN: v[0] = ONE_OF(policies); break;
    case GETPRIORITY: case SETPRIORITY: v[0] = below(row->number == GETPRIORITY ? 3 : 1), v[1] = below(2) ? 0 : process(), v[2] = below(40) - 20; break;
    case IOPRIO_SET: case IOPRIO_GET: v[0] = 1, v[1] = 0, v[2] = below(4) << 13 | below(9); break;
    case PRLIMIT: v[0] = 0, v[1] = below(16), v[2] = below(2) ? with(below(2) ? 1UL << 20 : -1UL, -1UL, 0, 0) : 0, v[3] = address(); break;
    case GETRLIMIT: case SETRLIMIT: v[0] = below(16), v[1] = row->number == SETRLIMIT ? with(1UL << (10 + below(20)), -1UL, 0, 0) : address(); break;
    case GETRUSAGE: v[0] = below(3) - 1, v[1] = address(); break;
    case SETGROUPS: v[0] = below(5), v[1] = with(word() & 0xFFFF, word() & 0xFFFF, 0, 0); break;
    case GETGROUPS: v[0] = below(2) * 64; break;
    case SETPGID: v[0] = below(2) ? 0 : receiver(), v[1] = below(2) ? 0 : receiver(); break;
    case CLOSE_RANGE: v[0] = 16 + below(20), v[1] = v[0] + below(10), v[2] = below(4) * 2; break;
    case PIPE2: v[1] = below(4) * 02000000 / 2 | below(2) * 04000; break;
    case DUP2: case DUP3: v[1] = 3 + below(30), v[2] = below(2) * O_CLOEXEC; break;
    case MEMFD: v[0] = (u64)ONE_OF(PATHS), v[1] = below(4); break;
    case FALLOCATE: v[0] = below(2) ? 3 : 14, v[1] = below(4), v[2] = below(10000), v[3] = 1 + below(10000); break;
    case FLOCK: v[1] = (1UL << below(4)) | 4; break;
    case LSEEK: v[1] = below(10000), v[2] = below(5); break;
    case SENDFILE: v[0] = descriptor(), v[1] = below(2) ? 3 : 5, v[2] = below(2) ? with(below(5000), 0, 0, 0) : 0, v[3] = below(9000); break;
    case LINK: case RENAME: v[0] = local_path(), v[1] = local_path(); break;
    case MKDIR: case RMDIR: case UNLINK: v[0] = local_path(); break;
    case RENAMEAT: case RENAMEAT2: v[0] = v[2] = (u64)AT_FDCWD, v[1] = local_path(), v[3] = local_path(), v[4] = below(4); break;
    case LINKAT: case UNLINKAT: case FCHOWNAT: case NEWFSTATAT: case FACCESSAT2: case STATX: case UTIMENSAT: {
        static const u16 at[] = {0, 0, 0x100, 0x200, 0x400, 0x800, 0x1000, 0x2000, 0x4000};
        int where = row->number == UNLINKAT || row->number == STATX ? 2 : row->number == LINKAT || row->number == FCHOWNAT ? 4 : 3;
        v[where] = ONE_OF(at);
        if (row->number == STATX) v[3] = below(2) ? 0xFFF : word();
        if (below(2)) v[0] = (u64)AT_FDCWD, v[1] = local_path();
        if (row->number == LINKAT) v[2] = (u64)AT_FDCWD, v[3] = local_path(), v[4] = below(3) / 2 * 0x400;
        if (row->number == FACCESSAT2) v[2] = below(8);
        break;
    }
    case MKNOD: v[1] = (u64)(1 + below(15)) << 12 | 0666, v[2] = below(2) ? 0x103 : word(); break;
    case MKNODAT: v[2] = (u64)(1 + below(15)) << 12 | 0666, v[3] = below(2) ? 0x103 : word(); break;
    case PERSONALITY: v[0] = (u64)(u32)ONE_OF(personalities); break;
    case CAPGET: v[0] = with(0x20080522 | (below(2) ? 0 : process() << 32), 0, 0, 0), v[1] = (u64)place(); break;
    /* The word that a thread's end clears and wakes. */
    case SET_TID: v[0] = COMMON_AT + 4 * below(8); break;
    case SET_ROBUST_LIST: v[0] = with((u64)self->area, 16, 0, 0), v[1] = 24; break;
    case GET_ROBUST_LIST: v[0] = below(2) ? 0 : receiver(); break;
    case ACCESS: case FACCESSAT: v[row->number == ACCESS ? 1 : 2] = below(9); break;
    case SYSLOG: { static const u8 types[] = {0, 1, 3, 9, 10, 10, 3, 2}; v[0] = ONE_OF(types), v[2] = below(PAGE); break; }
    case TRUNCATE: case FTRUNCATE: v[1] = below(20000); break;
    case SELECT: case PSELECT: v[0] = below(20), v[1] = with(word() & 0xFFFFF, 0, 0, 0), v[2] = with(word() & 0xFFFFF, 0, 0, 0), v[3] = below(2) ? 0 : v[1], v[4] = moment(), v[5] = 0; break;
    case POLL: case PPOLL: {
        u32 *fds = (u32 *)place();
        for (int n = 0; n < 8; n++) fds[2 * n] = (u32)descriptor(), fds[2 * n + 1] = (u32)(dice() & 0x1FFF);
        v[0] = (u64)fds, v[1] = below(9);
        if (row->number == PPOLL) v[2] = moment(), v[3] = below(2) ? with(word() & ~(1UL << (SIGALRM - 1)), 0, 0, 0) : 0, v[4] = 8;
        else v[2] = below(3);
        break;
    }
    case READ: case PREAD: case WRITE: case PWRITE: v[0] = 3 + below(KINDS_OF_FILES - 3), v[1] = (u64)place(), v[2] = below(2048), v[3] = below(10000); break;
    case FCHMODAT: case FCHOWN: case FCHMOD: v[0] = row->number == FCHMODAT ? (u64)AT_FDCWD : 3; break;
    case OPEN: v[1] = below(3) | (below(2) ? O_CREAT : 0) | (below(8) ? 04000 : flags()) | below(8) / 7 * O_TRUNC; break;
    case OPENAT: v[2] = below(3) | (below(2) ? O_CREAT : 0) | (below(8) ? 04000 : flags()) | below(8) / 7 * O_DIRECTORY; break;
    case BRK: v[0] = (u64)call(BRK, 0) + PAGE * below(4); break;
    }
}
