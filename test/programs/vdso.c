/* vdso.c: process 1 that asks for the time in both ways, and tries to write where it must not.
 *
 * Freestanding, so that nothing but the kernel's own code is between the two. Each check that fails is a line, and the exit
 * status is the number of them; the last line says how many times the clock was read.
 */
typedef unsigned long u64;
typedef struct { u64 sec, ns; } timespec;

static long call(long n, long a, long b, long c, long d)
{
    long r;
    register long r10 __asm__("r10") = d;
    __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
    return r;
}

enum { WRITE = 1, MPROTECT = 10, FORK = 57, EXIT = 60, WAIT4 = 61, GETTIMEOFDAY = 96, TIME = 201, SETAFFINITY = 203, CLOCK_GETTIME = 228 };

static long failed;

static u64 length(const char *text) { u64 n = 0; while (text[n]) n++; return n; }
static void say(const char *text) { call(WRITE, 1, (long)text, length(text), 0); }

static void say_number(const char *before, u64 number, const char *after)
{
    char digits[24], *at = digits + 23;
    *at = 0;
    do *--at = '0' + number % 10; while (number /= 10);
    say(before); say(at); say(after);
}

static void check(int good, const char *what)
{
    if (!good) { failed++; say("vdso: wrong: "); say(what); say("\n"); }
}

static int same(const char *a, const char *b)
{
    while (*a && *a == *b) a++, b++;
    return *a == *b;
}

/* By the symbol table alone: as many symbols as DT_HASH has chains. */
static void *find(char *image, const char *name)
{
    u64 headers = *(u64 *)(image + 32), *dynamic = 0;
    for (int i = 0; i < *(unsigned short *)(image + 56); i++) {
        char *header = image + headers + 56 * i;
        if (*(unsigned *)header == 2) dynamic = (u64 *)(image + *(u64 *)(header + 16));
    }
    char *strings = 0, *symbols = 0;
    unsigned *hash = 0;
    for (; dynamic && dynamic[0]; dynamic += 2) {
        if (dynamic[0] == 4) hash = (unsigned *)(image + dynamic[1]);
        if (dynamic[0] == 5) strings = image + dynamic[1];
        if (dynamic[0] == 6) symbols = image + dynamic[1];
    }
    for (unsigned i = 1; hash && i < hash[1]; i++)
        if (same(strings + *(unsigned *)(symbols + 24 * i), name)) return image + *(u64 *)(symbols + 24 * i + 8);
    return 0;
}

static int faults(char *at)
{
    long child = call(FORK, 0, 0, 0, 0);
    if (!child) { *(volatile char *)at = 1; call(EXIT, 0, 0, 0, 0); }
    int status = 0;
    call(WAIT4, child, (long)&status, 0, 0);
    return (status & 0x7F) == 11;
}

static u64 ns(timespec t) { return t.sec * 1000000000 + t.ns; }

__attribute__((used)) void begin(long *stack)
{
    long *at = stack + 1 + stack[0] + 1;
    while (*at++) {}
    char *image = 0;
    for (; at[0]; at += 2) if (at[0] == 33) image = (char *)at[1];
    check(image && *(unsigned *)image == 0x464C457F, "no image");
    if (!image) call(EXIT, 1, 0, 0, 0);

    int (*clock)(int, timespec *) = find(image, "__vdso_clock_gettime");
    int (*day)(u64 *, void *) = find(image, "__vdso_gettimeofday");
    u64 (*now)(u64 *) = find(image, "__vdso_time");
    int (*cpu)(unsigned *, unsigned *, void *) = find(image, "__vdso_getcpu");
    check(clock && day && now && cpu, "functions");
    if (failed) call(EXIT, failed, 0, 0, 0);

    /* Both ways in turn: time goes forward only, on both clocks. */
    static const int clocks[] = { 1, 0 };
    for (int c = 0; c < 2; c++) {
        u64 last = 0, reads = 0;
        for (int i = 0; i < 20000; i++) {
            timespec t;
            check(clock(clocks[c], &t) == 0 && t.ns < 1000000000, "the call");
            if (ns(t) < last) { check(0, "back, in the image"); break; }
            last = ns(t);
            call(CLOCK_GETTIME, clocks[c], (long)&t, 0, 0);
            if (ns(t) < last) { check(0, "back, in the kernel"); break; }
            last = ns(t);
            reads += 2;
        }
        say_number("vdso: clock ", clocks[c], " read ");
        say_number("", reads, " times\n");
    }
    u64 tv[2], seconds = call(TIME, 0, 0, 0, 0);
    check(day(tv, 0) == 0 && tv[0] - seconds < 2 && tv[1] < 1000000, "gettimeofday");
    check(now(0) - seconds < 2, "time");
    unsigned number = ~0u, node = ~0u;
    check(cpu(&number, &node, 0) == 0 && number < 1024 && node == 0, "getcpu");
    /* On every CPU that there is; how it is found out the page says. */
    unsigned cpus = 0;
    u64 all = ~0UL;
    for (unsigned n = 0; n < 64; n++) {
        u64 one = 1UL << n;
        if (call(SETAFFINITY, 0, sizeof one, (long)&one, 0) != 0) continue;
        for (int i = 0; i < 100; i++) check(cpu(&number, 0, 0) == 0 && number == n, "getcpu on another CPU");
        cpus++;
    }
    call(SETAFFINITY, 0, sizeof all, (long)&all, 0);
    say_number("vdso: getcpu on ", cpus, " CPUs, ");
    say_number("by way ", *(unsigned *)(image - 4096 + 48), "\n");
    timespec t;
    check(clock(99, &t) == -22, "a clock that is none");

    /* Nobody writes there. */
    check(faults(image) && faults(image - 4096), "written to");
    check(call(MPROTECT, (long)image, 4096, 3, 0) < 0, "the image made writable");
    check(call(MPROTECT, (long)image - 4096, 4096, 3, 0) < 0, "the page made writable");
    /* How fast: counts of the TSC for a thousand reads. */
    u64 spent[2];
    for (int way = 0; way < 2; way++) {
        u64 before = __builtin_ia32_rdtsc();
        for (int i = 0; i < 1000; i++)
            if (way) call(CLOCK_GETTIME, 1, (long)&t, 0, 0); else clock(1, &t);
        spent[way] = __builtin_ia32_rdtsc() - before;
    }
    say_number("vdso: counts for a read: ", spent[0] / 1000, " without a call, ");
    say_number("", spent[1] / 1000, " with\n");
    say_number("vdso: done, ", failed, " wrong\n");
    call(EXIT, failed, 0, 0, 0);
}

__asm__(".globl _start\n_start: mov %rsp, %rdi\n and $-16, %rsp\n call begin\n");
