/* limits.c: each limit is reached, what is refused is refused as on Linux, and the others go on.
 *
 *     limits
 *
 * Each case is a process of its own, and a line. Status 0 if all went as on Linux, where this runs as well. Processes
 * (many.c), CPU time, queued signals, urgency (together.c) have theirs elsewhere.
 */
#include "ring3.h"

enum { FSIZE = 1, DATA = 2, STACK = 3, NOFILE = 7, AS = 9 };
enum { E2BIG = 7, EBADF = 9, EMFILE = 24, EFBIG = 27, SIGPIPE = 13, SIGXFSZ = 25, SA_ONSTACK = 0x08000000, SA_RESTORER = 0x04000000 };
enum { O_NONBLOCK = 04000, F_DUPFD = 0, F_SETPIPE_SZ = 1031, F_GETPIPE_SZ = 1032, MAYMOVE = 1, MAX_MAPPINGS = 65530 };
#define NONE (~0UL)

extern char leave[];
__asm__("leave: mov $15, %eax\n syscall\n ud2");

static int wrong;

/* The number that a call must have returned. */
static void expect(const char *what, long found, long wanted)
{
    if (found == wanted) return;
    say("limits: "), say(what), say(": "), say_number(found), say(" instead of "), say_number(wanted), say("\n");
    wrong = 1;
}

static void limit(int which, u64 soft, u64 hard)
{
    u64 both[2] = {soft, hard};
    expect("setrlimit", call(SETRLIMIT, which, both), 0);
}

/* How a child that does something ends. */
static long status_of(void (*what)(void))
{
    int status = 0;
    long child = call(FORK);
    if (child == 0) {
        wrong = 0;
        what();
        if (said_length) flush();
        call(EXIT_GROUP, wrong);
    }
    expect("wait4", call(WAIT4, child, &status, 0, 0), child);
    return status;
}

static void one(const char *name, void (*what)(void), long wanted)
{
    long status = status_of(what);
    int good = status == wanted || wanted < 128 && (status & 127) == wanted && wanted;
    say("limits: "), say(name), say(good ? ": as it should be\n" : ": WRONG: status "), good ? (void)0 : (say_hex((u64)status), say("\n"));
    wrong |= !good;
}

static void files(void)
{
    int ends[2], more[2];
    for (int n = 3; n < 300; n++) call(CLOSE, n);
    limit(NOFILE, 10, NONE & 0xFFF);
    long last = 0;
    for (int n = 0; n < 20 && last >= 0; n++) if ((last = call(DUP, 0)) >= 0) expect("a descriptor below the limit", last < 10, 1);
    expect("dup", last, -EMFILE);
    expect("open", call(OPEN, "/", O_DIRECTORY, 0), -EMFILE);
    expect("memfd_create", call(MEMFD, "x", 0), -EMFILE);
    expect("pipe", call(PIPE, ends), -EMFILE);
    expect("dup2 to the limit", call(DUP2, 0, 10), -EBADF);
    expect("F_DUPFD from the limit", call(FCNTL, 0, F_DUPFD, 10), -EINVAL);
    /* Room for one end only: neither is made. */
    call(CLOSE, 9);
    expect("pipe with room for one end", call(PIPE, ends), -EMFILE);
    expect("and that is not taken", call(DUP, 0), 9);
    call(CLOSE, 9), call(CLOSE, 8);
    expect("pipe", call(PIPE, more), 0);
    /* A limit below what is open takes nothing away. */
    limit(NOFILE, 3, NONE & 0xFFF);
    expect("write", call(WRITE, more[1], "x", 1), 1);
    expect("dup2 to what is open", call(DUP2, 0, 9), -EBADF);
    expect("poll of more than the limit", call(POLL, 0, 4, 0), -EINVAL);
    limit(NOFILE, 4095, 4095);
    long count = 0;
    while ((last = call(DUP, 0)) >= 0) count++;
    expect("dup", last, -EMFILE), expect("descriptors", count, 4095 - 10);
}

static u64 heap_grows(void)
{
    long now = call(BRK, 0);
    return (u64)call(BRK, now + 2 * 1024 * 1024) != (u64)now;
}

static void address_space(void)
{
    enum { MIB = 1 << 20 };
    long before = figure("/proc/self/status", "VmSize:") * 1024, shared = MAP_SHARED | MAP_ANONYMOUS;
    u8 *small = map(PAGE, PROT_READ | PROT_WRITE);
    limit(AS, (u64)before + MIB, NONE);
    expect("mmap", call(MMAP, 0, 2 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), -ENOMEM);
    expect("mmap, shared", call(MMAP, 0, 2 * MIB, PROT_READ, shared, -1, 0), -ENOMEM);
    expect("mremap", call(MREMAP, small, PAGE, 2 * MIB, MAYMOVE), -ENOMEM);
    expect("brk", (long)heap_grows(), 0);
    expect("what there is room for", (u64)call(MMAP, 0, MIB / 2, PROT_READ, shared, -1, 0) < NONE - PAGE, 1);
    /* In another's place. */
    expect("mmap over it", call(MMAP, small, PAGE, PROT_READ, MAP_FIXED | shared, -1, 0), (long)small);
    expect("fork", status_of(flush), 0);
}

/* Until there is no more stack. */
static void dig(u64 bytes)
{
    u8 *at = __builtin_frame_address(0);
    for (u64 n = 0; n < bytes; n += PAGE / 2) ((volatile u8 *)at)[-(long)n - 256] = 1;
}

static void stack_in_address_space(void)
{
    limit(AS, (u64)figure("/proc/self/status", "VmSize:") * 1024 + 64 * 1024, NONE);
    dig(1 << 20);
}

static void data(void)
{
    long private = MAP_PRIVATE | MAP_ANONYMOUS;
    limit(DATA, PAGE, NONE);
    expect("mmap", call(MMAP, 0, PAGE, PROT_READ | PROT_WRITE, private, -1, 0), -ENOMEM);
    u8 *constant = (u8 *)call(MMAP, 0, PAGE, PROT_READ, private, -1, 0);
    expect("mmap, to be read only", (u64)constant < NONE - PAGE, 1);
    expect("mmap, shared", (u64)call(MMAP, 0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) < NONE - PAGE, 1);
    expect("mprotect", call(MPROTECT, constant, PAGE, PROT_READ | PROT_WRITE), -ENOMEM);
    expect("brk", (long)heap_grows(), 0);
    /* The stack is none. */
    dig(256 * 1024);
}

static void stack_within(void) { limit(STACK, 256 * 1024, NONE), dig(64 * 1024); }
static void stack_beyond(void) { limit(STACK, 256 * 1024, NONE), dig(512 * 1024); }

static void caught(int signal) { call(EXIT_GROUP, signal == SIGSEGV ? 5 : 6); }

static void stack_caught(void)
{
    static u8 other[65536];
    u64 alternate[3] = {(u64)other, 0, sizeof other}, action[4] = {(u64)caught, SA_ONSTACK | SA_RESTORER, (u64)leave, 0};
    call(SIGALTSTACK, alternate, 0), call(SIGACTION, SIGSEGV, action, 0, 8);
    stack_beyond();
}

/* A quarter of the stack is what a program's arguments may take. */
static void arguments(void)
{
    enum { LONG = 100000, COUNT = 6 };
    char *text = map(LONG, PROT_READ | PROT_WRITE), *all[COUNT + 1] = {0};
    memset(text, 'x', LONG - 1);
    for (int n = 0; n < COUNT; n++) all[n] = text;
    limit(STACK, 2 << 20, NONE);
    expect("execve", call(EXECVE, "/proc/self/exe", all, all + COUNT), -E2BIG);
    all[4] = 0;
    all[0] = "limits", all[1] = "ends";
    expect("execve", call(EXECVE, "/proc/self/exe", all, all + COUNT), 0);
}

static void file_size(void)
{
    static u8 much[16384];
    u64 ignore[4] = {1, 0, 0, 0};
    int ends[2];
    long file = call(MEMFD, "file", 0);
    call(SIGACTION, SIGXFSZ, ignore, 0, 8);
    limit(FSIZE, 10000, NONE);
    expect("write across the limit", call(WRITE, file, much, sizeof much), 10000);
    expect("write at the limit", call(WRITE, file, much, 1), -EFBIG);
    expect("pwrite behind it", call(PWRITE, file, much, 1, 20000), -EFBIG);
    expect("pwrite below it", call(PWRITE, file, much, 100, 9990), 10);
    expect("ftruncate to it", call(FTRUNCATE, file, 10000), 0);
    expect("ftruncate", call(FTRUNCATE, file, 10001), -EFBIG);
    expect("fallocate", call(FALLOCATE, file, 0, 0, 10001), -EFBIG);
    expect("lseek", call(LSEEK, file, 0, 2), 10000);
    expect("write of nothing", call(WRITE, file, much, 0), 0);
    /* A pipe is no file that could be too large. */
    expect("pipe", call(PIPE2, ends, O_NONBLOCK), 0);
    expect("write to a pipe", call(WRITE, ends[1], much, sizeof much), sizeof much);
}

static void file_size_kills(void)
{
    long file = call(MEMFD, "file", 0);
    limit(FSIZE, 10, NONE);
    expect("write", call(WRITE, file, "0123456789", 10), 10);
    call(WRITE, file, "0", 1);
}

static void pipes(void)
{
    static u8 much[PAGE];
    int ends[2];
    long bytes = 0, got;
    expect("pipe", call(PIPE2, ends, O_NONBLOCK), 0);
    long size = call(FCNTL, ends[1], F_GETPIPE_SZ);
    while ((got = call(WRITE, ends[1], much, PAGE)) > 0) bytes += got;
    expect("write to a full pipe", got, -EAGAIN), expect("what is in it", bytes, size);
    expect("read", call(READ, ends[0], much, PAGE), PAGE), expect("write", call(WRITE, ends[1], much, PAGE), PAGE);
    call(SETUID, 65534);
    expect("a pipe too large", call(FCNTL, ends[1], F_SETPIPE_SZ, 1 << 21), -EPERM);
    expect("a large pipe", call(FCNTL, ends[1], F_SETPIPE_SZ, 1 << 20), 1 << 20);
    u64 ignore[4] = {1, 0, 0, 0};
    call(SIGACTION, SIGPIPE, ignore, 0, 8), call(CLOSE, ends[0]);
    expect("write to nobody", call(WRITE, ends[1], much, 1), -32);
}

/* A user has room for 1,024 pipes of 16 pages; then there are some of two, which do not grow. */
static void pipes_of_a_user(void)
{
    int ends[2], pipes = 0;
    long size = 16 * PAGE;
    limit(NOFILE, 4096, 4096);
    call(SETUID, 65533);
    for (; pipes < 1100 && size == 16 * PAGE; pipes++) {
        expect("pipe", call(PIPE, ends), 0);
        size = call(FCNTL, ends[0], F_GETPIPE_SZ);
    }
    expect("pipes", pipes, 1025), expect("the last one's size", size, 2 * PAGE);
    expect("a larger pipe", call(FCNTL, ends[0], F_SETPIPE_SZ, 4 * PAGE), -EPERM);
    expect("a smaller pipe", call(FCNTL, ends[0], F_SETPIPE_SZ, PAGE), PAGE);
    expect("another smaller pipe", call(FCNTL, ends[0] - 2, F_SETPIPE_SZ, PAGE), PAGE);
    expect("a larger pipe for it", call(FCNTL, ends[0], F_SETPIPE_SZ, 8 * PAGE), 8 * PAGE);
}

static void mappings(void)
{
    u64 pages = 2 * MAX_MAPPINGS;
    u8 *all = map(pages * PAGE, PROT_READ);
    long got = 0, n = 0;
    while ((u64)n < pages && (got = call(MPROTECT, all + n * PAGE, PAGE, PROT_NONE)) == 0) n += 2;
    expect("mprotect", got, -ENOMEM);
    expect("mappings", n > MAX_MAPPINGS - 100 && n <= MAX_MAPPINGS, 1);
    /* That takes two, this takes one: there may have been room for one. */
    call(MUNMAP, all + (n + 2) * PAGE, PAGE);
    expect("munmap of a piece", call(MUNMAP, all + (n + 4) * PAGE, PAGE), -ENOMEM);
    expect("munmap of all", call(MUNMAP, all, pages * PAGE), 0);
}

static int run(int argc, char **argv)
{
    if (argc > 1 && same(argv[1], "ends")) return 0;
    one("open files", files, 0);
    one("address space", address_space, 0);
    one("address space for the stack", stack_in_address_space, SIGSEGV);
    one("data", data, 0);
    one("stack, within", stack_within, 0);
    one("stack, beyond", stack_beyond, SIGSEGV);
    one("stack, beyond, caught", stack_caught, 5 << 8);
    one("arguments", arguments, 0);
    one("file size", file_size, 0);
    one("file size, not caught", file_size_kills, SIGXFSZ);
    one("pipes", pipes, 0);
    one("pipes of a user", pipes_of_a_user, 0);
    /* They were given back. */
    one("pipes of a user, again", pipes_of_a_user, 0);
    one("mappings", mappings, 0);
    say(wrong ? "limits: WRONG\n" : "limits: done\n");
    return wrong;
}
