/* ring3.h: what the test programs here share. They are freestanding: between them and the kernel there is nothing, so they
 * run the same on this kernel and on Linux. `calls.h` is made from src/syscall/table.rs when they are built.
 */
#ifndef RING3_H
#define RING3_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

enum {
    READ = 0, WRITE = 1, OPEN = 2, CLOSE = 3, STAT = 4, POLL = 7, LSEEK = 8, MMAP = 9, MPROTECT = 10, MUNMAP = 11, BRK = 12, SIGACTION = 13,
    SIGPROCMASK = 14, SIGRETURN = 15, IOCTL = 16, PREAD = 17, ACCESS = 21, PIPE = 22, YIELD = 24, MREMAP = 25, MADVISE = 28, DUP = 32, DUP2 = 33, PAUSE = 34,
    NANOSLEEP = 35, ALARM = 37, SETITIMER = 38, GETPID = 39, SENDFILE = 40, CLONE = 56, FORK = 57, VFORK = 58, EXECVE = 59, EXIT = 60, WAIT4 = 61, KILL = 62,
    FCNTL = 72, FTRUNCATE = 77, CHDIR = 80, RENAME = 82, MKDIR = 83, RMDIR = 84, LINK = 86, UNLINK = 87, SYMLINK = 88, READLINK = 89, CHMOD = 90,
    GETTIMEOFDAY = 96, GETRLIMIT = 97, SYSLOG = 103, SETUID = 105, SETGID = 106, SETPGID = 109, GETPPID = 110, SETSID = 112, SETGROUPS = 116,
    SIGTIMEDWAIT = 128, SIGQUEUEINFO = 129, SIGALTSTACK = 131, MKNOD = 133, PRCTL = 157, ARCH_PRCTL = 158, SETRLIMIT = 160, SYNC = 162, MOUNT = 165,
    UMOUNT2 = 166, REBOOT = 169, SETHOSTNAME = 170, GETTID = 186, TKILL = 200, FUTEX = 202, SETAFFINITY = 203, GETDENTS = 217, CLOCK_GETTIME = 228,
    EXIT_GROUP = 231, TGKILL = 234, WAITID = 247, RENAMEAT = 264, LINKAT = 265, SYMLINKAT = 266, READLINKAT = 267, FACCESSAT = 269, SET_ROBUST_LIST = 273,
    UTIMENSAT = 280, PIPE2 = 293, TGSIGQUEUEINFO = 297, PRLIMIT = 302, SYNCFS = 306, RENAMEAT2 = 316, GETRANDOM = 318, MEMFD = 319, EXECVEAT = 322,
    STATX = 332, FACCESSAT2 = 439, PWRITE = 18, SELECT = 23, MSYNC = 26, UNAME = 63, FLOCK = 73, TRUNCATE = 76, FCHMOD = 91, FCHOWN = 93, GETRUSAGE = 98,
    GETGROUPS = 115, CAPGET = 125, SIGPENDING = 127, SIGSUSPEND = 130, PERSONALITY = 135, STATFS = 137, GETPRIORITY = 140, SETPRIORITY = 141, SETPARAM = 142,
    SETSCHEDULER = 144, SCHED_MAX = 146, SCHED_MIN = 147, SETXATTR = 188, FREMOVEXATTR = 199, GETAFFINITY = 204, SET_TID = 218, CLOCK_GETRES = 229,
    CLOCK_NANOSLEEP = 230, IOPRIO_SET = 251, IOPRIO_GET = 252, OPENAT = 257, MKNODAT = 259, FCHOWNAT = 260, NEWFSTATAT = 262, UNLINKAT = 263, FCHMODAT = 268,
    PSELECT = 270, PPOLL = 271, GET_ROBUST_LIST = 274, FALLOCATE = 285, DUP3 = 292, CLOSE_RANGE = 436,
};

enum { EPERM = 1, EINTR = 4, EAGAIN = 11, ENOMEM = 12, EFAULT = 14, EINVAL = 22, ENOSYS = 38 };
enum { SIGKILL = 9, SIGUSR1 = 10, SIGSEGV = 11, SIGALRM = 14, SIGCHLD = 17 };
enum { PROT_NONE = 0, PROT_READ = 1, PROT_WRITE = 2, MAP_SHARED = 1, MAP_PRIVATE = 2, MAP_FIXED = 16, MAP_ANONYMOUS = 32 };
enum { O_RDWR = 2, O_CREAT = 0100, O_TRUNC = 01000, O_DIRECTORY = 0200000, O_CLOEXEC = 02000000 };
enum { WNOHANG = 1, WEXITED = 4, WNOWAIT = 0x01000000, AT_FDCWD = -100, PAGE = 4096 };

static inline long call6(long n, long a, long b, long c, long d, long e, long f)
{
    long r;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    return r;
}

#define CALL_1(n) call6(n, 0, 0, 0, 0, 0, 0)
#define CALL_2(n, a) call6(n, (long)(a), 0, 0, 0, 0, 0)
#define CALL_3(n, a, b) call6(n, (long)(a), (long)(b), 0, 0, 0, 0)
#define CALL_4(n, a, b, c) call6(n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define CALL_5(n, a, b, c, d) call6(n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define CALL_6(n, a, b, c, d, e) call6(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)
#define CALL_7(n, a, b, c, d, e, f) call6(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define CALL_PICK(_1, _2, _3, _4, _5, _6, _7, name, ...) name
/* call(number, arguments...) */
#define call(...) CALL_PICK(__VA_ARGS__, CALL_7, CALL_6, CALL_5, CALL_4, CALL_3, CALL_2, CALL_1, 0)(__VA_ARGS__)

/* The compiler may ask for these by itself. */
void *memset(void *to, int byte, u64 n) { for (u64 i = 0; i < n; i++) ((volatile u8 *)to)[i] = (u8)byte; return to; }
void *memcpy(void *to, const void *from, u64 n) { for (u64 i = 0; i < n; i++) ((volatile u8 *)to)[i] = ((const u8 *)from)[i]; return to; }

static inline u64 length(const char *text) { u64 n = 0; while (text[n]) n++; return n; }

static inline int same(const char *a, const char *b)
{
    while (*a && *a == *b) a++, b++;
    return *a == *b;
}

/* What is said is collected and written a line at a time, so that lines of several processes stay whole. */
static char said[512];
static u64 said_length;

/* Where it goes. */
static int said_to = 1;

static inline void flush(void) { call(WRITE, said_to, said, said_length); said_length = 0; }

static inline void say(const char *text)
{
    for (; *text; text++) {
        said[said_length++] = *text;
        if (*text == '\n' || said_length == sizeof said) flush();
    }
}

static inline void say_number(long number)
{
    char digits[24], *at = digits + 23;
    u64 rest = number < 0 ? -(u64)number : (u64)number;
    *at = 0;
    do *--at = '0' + rest % 10; while (rest /= 10);
    if (number < 0) *--at = '-';
    say(at);
}

static inline void say_hex(u64 number)
{
    char digits[20], *at = digits + 19;
    *at = 0;
    do *--at = "0123456789abcdef"[number % 16]; while (number /= 16);
    say("0x");
    say(at);
}

static inline u64 number(const char *text)
{
    u64 value = 0;
    for (; *text >= '0' && *text <= '9'; text++) value = value * 10 + (*text - '0');
    return value;
}

/* Random numbers that a seed brings back (xorshift, Marsaglia 2003). Who has threads gives each its own DICE. */
#ifndef DICE
static u64 dice_state = 1;
#define DICE dice_state
#endif
static inline u64 dice(void)
{
    DICE ^= DICE << 13;
    DICE ^= DICE >> 7;
    DICE ^= DICE << 17;
    return DICE * 0x2545F4914F6CDD1D;
}
static inline u64 below(u64 n) { return (dice() >> 16) % n; }
static inline void seed_dice(u64 seed) { DICE = seed * 0x9E3779B97F4A7C15 + 1; dice(); dice(); }

static inline void *map(u64 bytes, int prot)
{
    long at = call(MMAP, 0, bytes, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at < 0 && at > -4096) { say("no memory to begin with\n"); call(EXIT_GROUP, 100); }
    return (void *)at;
}

enum { CLONE_VM = 0x100, CLONE_FS = 0x200, CLONE_FILES = 0x400, CLONE_SIGHAND = 0x800, CLONE_THREAD = 0x10000 };
enum { THREAD = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD };

/* A thread of this process, on a stack of its own, which calls `work` and ends with what that returns. */
static inline long thread(long (*work)(void *), void *with, long flags)
{
    u8 *stack = (u8 *)map(16 * PAGE, PROT_READ | PROT_WRITE) + 16 * PAGE;
    long made;
    register long r10 __asm__("r10") = 0;
    register long r8 __asm__("r8") = 0;
    register void *r12 __asm__("r12") = (void *)work;
    register void *r13 __asm__("r13") = with;
    __asm__ volatile("syscall\n test %%rax, %%rax\n jnz 1f\n xor %%ebp, %%ebp\n mov %%r13, %%rdi\n call *%%r12\n mov %%rax, %%rdi\n mov $60, %%eax\n syscall\n ud2\n1:"
                     : "=a"(made) : "a"(CLONE), "D"(flags), "S"(stack), "d"(0L), "r"(r10), "r"(r8), "r"(r12), "r"(r13) : "rcx", "r11", "memory");
    return made;
}

/* The number after `key` in a file of /proc, such as "MemFree:". -1 if there is none. */
static inline long figure(const char *path, const char *key)
{
    static char text[8192];
    long fd = call(OPEN, path, 0, 0), n = 0, got;
    while (fd >= 0 && (got = call(READ, fd, text + n, sizeof text - 1 - n)) > 0) n += got;
    call(CLOSE, fd);
    text[n] = 0;
    u64 size = length(key);
    for (char *at = text; *at; at++) {
        u64 i = 0;
        while (i < size && at[i] == key[i]) i++;
        if (i < size) continue;
        at += size;
        while (*at == ' ' || *at == '\t') at++;
        return (long)number(at);
    }
    return -1;
}

/* What memory is free, in KiB, when nothing is kept for later. What a cache gives up is free when the last reader who may have
 * seen it is past that: so as long as it becomes more, it is asked again.
 */
static inline long free_memory(void)
{
    for (long most = -1;;) {
        long fd = call(OPEN, "/proc/sys/vm/drop_caches", 1, 0), moment[2] = {0, 20000000};
        call(WRITE, fd, "3\n", 2);
        call(CLOSE, fd);
        call(NANOSLEEP, moment, 0);
        long now = figure("/proc/meminfo", "MemFree:");
        if (now <= most) return most;
        most = now;
    }
}

static int run(int argc, char **argv);

__attribute__((used)) static void begin(long *stack)
{
    int status = run((int)stack[0], (char **)(stack + 1));
    if (said_length) flush();
    call(EXIT_GROUP, status);
}

__asm__(".globl _start\n_start: xor %ebp, %ebp\n mov %rsp, %rdi\n and $-16, %rsp\n call begin\n ud2");

#endif
