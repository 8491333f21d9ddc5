/* onpty.c: a program on a pseudo-terminal of its own, as `script` would run it.
 *
 *     onpty PROGRAM [ARGUMENTS]
 *
 * Bytes go both ways between the terminal that this was begun at, which is raw meanwhile, and the program's. Status: the
 * program's, as a shell would say it, once all that it wrote has come.
 */
#include "ring3.h"

enum { TCGETS = 0x5401, TCSETS = 0x5402, TIOCSCTTY = 0x540E, TIOCGWINSZ = 0x5413, TIOCSWINSZ = 0x5414, TIOCGPTN = 0x80045430, TIOCSPTLCK = 0x40045431 };
enum { ISIG = 1, ICANON = 2, ECHO = 8, IEXTEN = 0100000, ICRNL = 0400, IXON = 02000, OPOST = 1, VTIME = 5, VMIN = 6, EIO = 5, POLLIN = 1, O_NOCTTY = 0400 };
struct settings { u32 input, output, control, local; u8 line, characters[19]; };
struct watched { int fd; short wanted, found; };

static char **environment;

static long fail(const char *what, long error)
{
    say("onpty: "), say(what), say(": "), say_number(error), say("\n");
    return 125;
}

/* All of it: a terminal may take less. */
static int pass_on(int from, int to)
{
    static char bytes[4096];
    long count = call(READ, from, bytes, sizeof bytes);
    for (long at = 0, went; at < count; at += went)
        if ((went = call(WRITE, to, bytes + at, count - at)) <= 0) return 0;
    return count > 0;
}

static void become(const char *slave, char **argv)
{
    static char path[64];
    call(SETSID);
    int fd = call(OPEN, slave, O_RDWR, 0);
    if (call(IOCTL, fd, TIOCSCTTY, 0) < 0) call(EXIT_GROUP, fail("no controlling terminal", fd));
    for (int n = 0; n < 3; n++) call(DUP2, fd, n);
    if (fd > 2) call(CLOSE, fd);
    memcpy(path, "/bin/", 5);
    memcpy(path + 5, argv[0], length(argv[0]) + 1);
    call(EXECVE, path, argv, environment);
    call(EXIT_GROUP, 127);
}

static int run(int argc, char **argv)
{
    static char slave[] = "/dev/pts/\0\0\0\0";
    struct settings before, raw;
    char size[8];
    int number, zero = 0, status = 0;
    environment = argv + argc + 1;
    long master = call(OPEN, "/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC, 0);
    if (master < 0) return fail("/dev/ptmx", master);
    long error = call(IOCTL, master, TIOCSPTLCK, &zero);
    if (error < 0 || (error = call(IOCTL, master, TIOCGPTN, &number)) < 0) return fail("no slave", error);
    char digits[12], *digit = digits;
    do *digit++ = '0' + number % 10; while (number /= 10);
    for (char *to = slave + sizeof "/dev/pts/" - 1; digit > digits;) *to++ = *--digit;
    if ((error = call(IOCTL, 0, TIOCGWINSZ, size)) < 0 || (error = call(IOCTL, 0, TCGETS, &before)) < 0) return fail("no terminal", error);
    call(IOCTL, master, TIOCSWINSZ, size);

    long child = call(FORK);
    if (child == 0) become(slave, argv + 1);
    raw = before;
    raw.input &= ~(ICRNL | IXON), raw.output &= ~OPOST, raw.local &= ~(ISIG | ICANON | ECHO | IEXTEN);
    raw.characters[VMIN] = 1, raw.characters[VTIME] = 0;
    call(IOCTL, 0, TCSETS, &raw);
    /* Nobody has the slave open yet, perhaps: the master is hung up when somebody has had. */
    for (struct watched two[] = {{0, POLLIN, 0}, {master, POLLIN, 0}};;) {
        if (call(POLL, two, 2, -1) < 0) continue;
        if (two[1].found && !pass_on(master, 1)) break;
        if (two[0].found && !pass_on(0, master)) break;
    }
    call(WAIT4, child, &status, 0, 0);
    call(IOCTL, 0, TCSETS, &before);
    return status & 127 ? 128 + (status & 127) : status >> 8 & 255;
}
