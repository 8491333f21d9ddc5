/* pointers.c: bad pointers to every system call.
 *
 * For each call that the kernel serves and each of its arguments that is an address, one address after the other is given
 * that is bad in its own way, the other arguments being such that the call gets as far as looking. Each in a process of its
 * own, for some of them end it. One line each:
 *
 *     read *buf: 14 14 14 14 14 14 14 14 14 14 14 14 14 14
 *
 * An error's number; `ok`; `s11`, ended by that signal; `wait`, still in the call when its time was over.
 */
#include "ring3.h"
#include "calls.h"

/* Of those that sleep, how long. */
#define PATIENCE_MS 1000
#define FILE "/tmp/strange/file"
#define DIRECTORY "/tmp/strange/directory"
#define NEW "/tmp/strange/new"

/* ---- the addresses ---- */

enum { KINDS = 14 };
static const char *const KIND_NAMES[KINDS] = {
    "null", "one", "hole", "straddling", "read-only", "no-access", "top", "above", "noncanonical", "direct", "direct-linux", "text", "last-page", "wrapping",
};
static u64 kinds[KINDS];

static void prepare_addresses(void)
{
    char *read_only = map(PAGE, PROT_READ | PROT_WRITE);
    memcpy(read_only, FILE, sizeof FILE);
    call(MPROTECT, read_only, PAGE, PROT_READ);
    kinds[4] = (u64)read_only;
    kinds[5] = (u64)map(PAGE, PROT_NONE);
    /* The last one, so that nothing is mapped into the hole. */
    char *hole = map(2 * PAGE, PROT_READ | PROT_WRITE);
    hole[PAGE - 1] = '/';
    call(MUNMAP, hole + PAGE, PAGE);
    kinds[0] = 0;
    kinds[1] = 1;
    kinds[2] = (u64)hole + PAGE;
    kinds[3] = (u64)hole + PAGE - 1;
    kinds[6] = 0x00007FFFFFFFF000 - 1;
    kinds[7] = 0x00007FFFFFFFF000;
    kinds[8] = 0x0000800000000000;
    kinds[9] = 0xFFFF800000001000;
    kinds[10] = 0xFFFF888000001000;
    kinds[11] = 0xFFFFFFFF80001000;
    kinds[12] = -(u64)PAGE;
    kinds[13] = -(u64)1;
}

/* ---- the other arguments ---- */

/* A page of zeros that may be read and written; it makes a good time, set of signals, empty list. */
static char *zeros;
static long file, other_file, directory;

/* What a call's argument is if its name alone does not say. */
static const struct { unsigned short number; u8 argument; long value; } SPECIAL[] = {
    {CLONE, 0, 0x01300000 | SIGCHLD}, /* both numbers are to be written */
    {CLONE, 1, 0},
    {EXECVE, 0, (long)"/bin/true"}, {EXECVEAT, 1, (long)"/bin/true"},
    {WAIT4, 0, -1}, {WAIT4, 2, WNOHANG}, {WAITID, 3, WEXITED | WNOHANG},
    {MOUNT, 1, (long)DIRECTORY}, {MOUNT, 2, (long)"tmpfs"}, {UMOUNT2, 0, (long)DIRECTORY},
    {REBOOT, 0, 0xFEE1DEAD}, {REBOOT, 1, 672274793}, {REBOOT, 2, 0x89ABCDEF},
    {FUTEX, 1, 1}, {FUTEX, 2, 1},     /* wakes one */
    {SET_ROBUST_LIST, 1, 24},
    {MMAP, 3, MAP_PRIVATE | MAP_ANONYMOUS}, {MREMAP, 3, 3}, {MADVISE, 2, 4},
    {ACCESS, 1, 0}, {FACCESSAT, 2, 0}, {FACCESSAT2, 2, 0},
    {SYSLOG, 0, 3}, {PRLIMIT, 1, 7}, {GETRLIMIT, 0, 7}, {SETRLIMIT, 0, 7},
    {SIGTIMEDWAIT, 0, 0}, {MKNOD, 1, 0100644}, {UTIMENSAT, 3, 0}, {STATX, 2, 0}, {STATX, 3, 0x7FF}, {SIGQUEUEINFO, 1, 0}, {TGSIGQUEUEINFO, 2, 0},
    {LINK, 1, (long)NEW}, {RENAME, 1, (long)NEW}, {RENAMEAT, 3, (long)NEW}, {LINKAT, 3, (long)NEW}, {RENAMEAT2, 3, (long)NEW},
    {SYMLINK, 1, (long)NEW}, {SYMLINKAT, 2, (long)NEW}, {READLINK, 0, (long)"/proc/self/exe"}, {READLINKAT, 1, (long)"/proc/self/exe"},
};

static long usual(const struct row *row, int argument)
{
    const char *name = row->arguments[argument];
    for (u64 i = 0; i < sizeof SPECIAL / sizeof *SPECIAL; i++)
        if (SPECIAL[i].number == row->number && SPECIAL[i].argument == argument) return SPECIAL[i].value;
    if (row->number == GETDENTS && same(name, "fd")) return directory;
    if (same(name, "fd") || same(name, "in")) return file;
    if (same(name, "out")) return other_file;
    if (same(name, "dir") || same(name, "to_dir")) return AT_FDCWD;
    if (same(name, "*path") || same(name, "*from") || same(name, "*target") || same(name, "*source") || same(name, "*name")) return (long)FILE;
    if (same(name, "*type")) return (long)"tmpfs";
    if (same(name, "size")) return row->name[0] == 'r' && row->name[1] == 't' || same(row->name, "ppoll") ? 8 : 128;
    if (same(name, "count") || same(name, "len") || same(name, "old_len") || same(name, "new_len")) return 16;
    if (same(name, "mode")) return 0644;
    if (same(name, "signal")) return SIGUSR1;
    return name[0] == '*' ? (long)zeros : 0;
}

/* ---- one call ---- */

/* A child that has ended and was not waited for yet. */
static void have_a_zombie(void)
{
    if (call(FORK) == 0) call(EXIT, 7);
    call(WAITID, 0, 0, zeros, WEXITED | WNOWAIT, 0);
}

static void try(const struct row *row, int argument, u64 address)
{
    int status = 0, result[2];
    /* What the one before may have renamed, linked or filled. */
    call(UNLINK, FILE);
    call(LINK, "/tmp/strange/spare", FILE);
    call(FTRUNCATE, file, PAGE);
    call(LSEEK, file, 0, 0);
    call(PIPE, result);
    long child = call(FORK);
    if (child == 0) {
        long values[6] = {0};
        for (int i = 0; i < 6 && row->arguments[i]; i++) values[i] = i == argument ? (long)address : usual(row, i);
        if (row->number == WAIT4 || row->number == WAITID) have_a_zombie();
        long got = call6(row->number, values[0], values[1], values[2], values[3], values[4], values[5]);
        if (row->number == CLONE && got == 0) call(EXIT, 0);
        call(WRITE, result[1], &got, sizeof got);
        call(EXIT_GROUP, 0);
    }
    call(CLOSE, result[1]);
    struct { int fd; short wanted, found; } poll = {result[0], 1, 0};
    int is_over = call(POLL, &poll, 1, PATIENCE_MS) != 0;
    if (!is_over) call(KILL, child, SIGKILL);
    long got = 0, there = call(READ, result[0], &got, sizeof got);
    call(CLOSE, result[0]);
    call(WAIT4, child, &status, 0, 0);
    say(" ");
    if (there == sizeof got) {
        if (got < 0 && got > -4096) say_number(-got);
        else say("ok");
    } else if (!is_over) {
        say("wait");
    } else {
        say((status & 127) ? "s" : "e");
        say_number((status & 127) ? status & 127 : status >> 8);
    }
    call(UMOUNT2, DIRECTORY, 0);
    call(UNLINK, NEW);
}

static int run(int argc, char **argv)
{
    (void)argc, (void)argv;
    call(MKDIR, "/tmp", 0777);
    call(MKDIR, "/tmp/strange", 0777);
    call(MKDIR, DIRECTORY, 0777);
    file = call(OPEN, "/tmp/strange/spare", O_CREAT | O_RDWR, 0644);
    other_file = call(OPEN, "/tmp/strange/other", O_CREAT | O_RDWR, 0644);
    directory = call(OPEN, "/tmp/strange", O_DIRECTORY, 0);
    zeros = map(PAGE, PROT_READ | PROT_WRITE);
    call(WRITE, file, zeros, PAGE);
    prepare_addresses();
    say("addresses:");
    for (int kind = 0; kind < KINDS; kind++) say(" "), say(KIND_NAMES[kind]);
    say("\n");
    for (u64 n = 0; n < sizeof CALLS / sizeof *CALLS; n++)
        for (int argument = 0; argument < 6 && CALLS[n].arguments[argument]; argument++) {
            if (CALLS[n].arguments[argument][0] != '*') continue;
            say(CALLS[n].name), say(" "), say(CALLS[n].arguments[argument]), say(":");
            for (int kind = 0; kind < KINDS; kind++) try(&CALLS[n], argument, kinds[kind]);
            say("\n");
        }
    say("pointers: done\n");
    return 0;
}
