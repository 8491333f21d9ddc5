/* speed.c: process 1 that measures what a program pays for the kernel. The same file runs on this kernel and on Linux.
 *
 * Each row does one operation N times between two readings of the time-stamp counter, after a tenth as many that nobody counts; an
 * empty loop of N is taken off. Freestanding, so that nothing but the kernel's code is between two calls. What comes out is said at
 * the end only: a console that is still sending would be part of the next row.
 *
 *     speed: first TICKS NANOSECONDS       the counter at this program's first instruction, and CLOCK_MONOTONIC a little later
 *     speed: row NAME N TICKS NANOSECONDS  of all N; nanoseconds by CLOCK_MONOTONIC
 *     speed: done
 *
 * Where the file /row is there, it holds a row's name: that row alone is done, after a byte came from the console, once.
 */
typedef unsigned long u64;
typedef struct { u64 sec, ns; } timespec;

enum { READ, WRITE, OPEN, CLOSE, STAT, MMAP = 9, MPROTECT, MUNMAP, SIGACTION = 13, PIPE = 22, PAUSE = 34, GETPID = 39,
       FORK = 57, EXECVE = 59, EXIT, WAIT4, KILL, GETPPID = 110, MKNOD = 133, CLOCK_GETTIME = 228 };
enum { PAGE = 4096, PROT_R = 1, PROT_RW = 3, MAP_PRIVATE_ANON = 0x22, SIGUSR1 = 10, SA_RESTORER = 0x04000000 };
static const char FILE_NAME[] = "/data/of/file";

static long call(long n, long a, long b, long c, long d)
{
    long r;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = -1;
    register long r9 __asm__("r9") = 0;
    __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    return r;
}

static u64 ticks(void)
{
    unsigned low, high;
    __asm__ volatile("lfence\n rdtsc" : "=a"(low), "=d"(high) :: "memory");
    return (u64)high << 32 | low;
}

static u64 now_ns(void) { timespec t; call(CLOCK_GETTIME, 1, (long)&t, 0, 0); return t.sec * 1000000000 + t.ns; }

/* ---- what is said ---- */

static char said[4096];
static u64 length;

static void say(const char *text) { while (*text) said[length++] = *text++; }
static void say_number(u64 number)
{
    char digits[24], *at = digits + 23;
    *at = 0;
    do *--at = '0' + number % 10; while (number /= 10);
    say(" "); say(at);
}
static void flush(void) { call(WRITE, 1, (long)said, length, 0); length = 0; }

static void stop(void) { flush(); for (;;) call(PAUSE, 0, 0, 0, 0); }
static long good(long result, const char *what)
{
    if (result < 0) { say("speed: failed: "); say(what); say_number(-result); say("\n"); stop(); }
    return result;
}

/* ---- the rows; each does its operation so many times ---- */

static void row_empty(long n) { while (n--) __asm__ volatile("" ::: "memory"); }
static void row_null(long n) { while (n--) call(GETPPID, 0, 0, 0, 0); }

static int zero;
static void row_read(long n) { char byte; while (n--) good(call(READ, zero, (long)&byte, 1, 0), "read"); }

static void row_stat(long n) { char into[256]; while (n--) good(call(STAT, (long)FILE_NAME, (long)into, 0, 0), "stat"); }
static void row_open(long n) { while (n--) call(CLOSE, good(call(OPEN, (long)FILE_NAME, 0, 0, 0), "open"), 0, 0, 0); }

static void join(long child)
{
    int status = 0;
    good(call(WAIT4, child, (long)&status, 0, 0), "wait4");
    good(-status, "a child's status");
}

/* A byte there and a byte back, by two pipes and two processes. */
static void row_pipe(long n)
{
    int there[2], back[2];
    char byte = 0;
    good(call(PIPE, (long)there, 0, 0, 0), "pipe");
    good(call(PIPE, (long)back, 0, 0, 0), "pipe");
    long child = good(call(FORK, 0, 0, 0, 0), "fork");
    if (!child) {
        call(CLOSE, there[1], 0, 0, 0);
        while (call(READ, there[0], (long)&byte, 1, 0) == 1) call(WRITE, back[1], (long)&byte, 1, 0);
        call(EXIT, 0, 0, 0, 0);
    }
    while (n--) {
        good(call(WRITE, there[1], (long)&byte, 1, 0), "write");
        good(call(READ, back[0], (long)&byte, 1, 0), "read");
    }
    for (int i = 0; i < 2; i++) call(CLOSE, there[i], 0, 0, 0), call(CLOSE, back[i], 0, 0, 0);
    join(child);
}

static void row_fork(long n)
{
    while (n--) {
        long child = good(call(FORK, 0, 0, 0, 0), "fork");
        if (!child) call(EXIT, 0, 0, 0, 0);
        join(child);
    }
}

static void row_exec(long n)
{
    static const char *const words[] = { "/init", "ends at once", 0 };
    static const char *const none[] = { 0 };
    while (n--) {
        long child = good(call(FORK, 0, 0, 0, 0), "fork");
        if (!child) { call(EXECVE, (long)words[0], (long)words, (long)none, 0); call(EXIT, 1, 0, 0, 0); }
        join(child);
    }
}

static char *map(u64 pages) { return (char *)good(call(MMAP, 0, pages * PAGE, PROT_RW, MAP_PRIVATE_ANON), "mmap"); }
static void unmap(char *at, u64 pages) { good(call(MUNMAP, (long)at, pages * PAGE, 0, 0), "munmap"); }
static void touch(char *at, u64 pages) { for (; pages--; at += PAGE) *(volatile char *)at = 1; }

/* The area comes and goes within, one for all n, and is small enough that nobody takes a huge page for it. */
static void row_fault(long n) { char *at = map(n); touch(at, n); unmap(at, n); }

static void row_mmap(long n) { while (n--) unmap(map(64), 64); }

/* The pages are there, so that there is something to change; one of two goes each way. */
static void row_mprotect(long n)
{
    char *at = map(64);
    touch(at, 64);
    while (n--) good(call(MPROTECT, (long)at, 64 * PAGE, n & 1 ? PROT_R : PROT_RW, 0), "mprotect");
    unmap(at, 64);
}

static volatile long caught;
static void on_signal(int number) { (void)number; caught++; }
void restore(void);
static void row_signal(long n)
{
    struct { void (*handler)(int); u64 flags; void (*restorer)(void); u64 mask; } act = { on_signal, SA_RESTORER, restore, 0 };
    good(call(SIGACTION, SIGUSR1, (long)&act, 0, 8), "sigaction");
    long self = call(GETPID, 0, 0, 0, 0), before = caught;
    for (long i = n; i--;) call(KILL, self, SIGUSR1, 0, 0);
    good(caught - before == n ? 0 : -1, "signals are missing");
}

static const struct row { const char *name; void (*run)(long); long n; } ROWS[] = {
    { "null", row_null, 1000 },   { "read", row_read, 1000 }, { "stat", row_stat, 1000 },         { "open", row_open, 1000 },
    { "pipe", row_pipe, 1000 },   { "fork", row_fork, 200 },  { "exec", row_exec, 200 },          { "fault", row_fault, 400 },
    { "mmap", row_mmap, 1000 },   { "mprotect", row_mprotect, 1000 }, { "signal", row_signal, 1000 },
};

static void measure(const struct row *row, int warm)
{
    if (warm) row->run(row->n / 10);
    u64 start = ticks();
    row_empty(row->n);
    u64 empty = ticks() - start, from_ns = now_ns();
    start = ticks();
    row->run(row->n);
    u64 spent = ticks() - start, ns = now_ns() - from_ns;
    say("speed: row "); say(row->name); say_number(row->n); say_number(spent - empty); say_number(ns); say("\n");
}

static int same(const char *a, const char *b) { while (*a && *a == *b) a++, b++; return *a == *b; }

__attribute__((used)) void begin(long *stack, u64 first)
{
    if (stack[0] > 1 && same((char *)stack[2], "ends at once")) call(EXIT, 0, 0, 0, 0);
    u64 ns = now_ns();
    say("speed: first"); say_number(first); say_number(ns); say("\n");
    call(MKNOD, (long)"/dev/zero", 020666, 1 << 8 | 5, 0);
    zero = good(call(OPEN, (long)"/dev/zero", 0, 0, 0), "/dev/zero");
    char only[32] = { 0 };
    long file = call(OPEN, (long)"/row", 0, 0, 0);
    if (file >= 0) {
        call(READ, file, (long)only, sizeof only - 1, 0);
        call(CLOSE, file, 0, 0, 0);
        say("speed: ready\n"); flush();
        call(READ, 0, (long)&said, 1, 0);
    }
    for (u64 i = 0; i < sizeof ROWS / sizeof *ROWS; i++)
        if (!*only || same(only, ROWS[i].name)) measure(&ROWS[i], !*only);
    say("speed: done\n");
    stop();
}

/* The counter first of all; then the stack's contents and it, as `begin` takes them. */
__asm__(".globl _start\n_start: rdtsc\n shl $32, %rdx\n lea (%rdx,%rax), %rsi\n mov %rsp, %rdi\n and $-16, %rsp\n call begin\n"
        ".globl restore\nrestore: mov $15, %eax\n syscall\n");
