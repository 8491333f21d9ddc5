/* unknown.c: calls that nobody has, three times each, and again in a child. Each must be refused, and change nothing.
 *
 *     unknown
 *
 * Status 0 if so. The last of all is one that everybody has: the upper half of rax says nothing.
 */
#include "ring3.h"

static const long NUMBERS[] = {500, 501, 1000000, 0x40000000 + GETPID, -1, (long)0x80000000};

static long refused(void)
{
    long wrong = 0;
    for (int turn = 0; turn < 3; turn++)
        for (u64 n = 0; n < sizeof NUMBERS / sizeof *NUMBERS; n++) wrong += call(NUMBERS[n]) != -ENOSYS;
    return wrong;
}

static int run(int argc, char **argv)
{
    (void)argc, (void)argv;
    int status = 1;
    long wrong = refused(), child = call(FORK);
    if (child == 0) call(EXIT_GROUP, refused() != 0);
    call(WAIT4, child, &status, 0, 0);
    wrong += status != 0;
    wrong += call(0x700000000 + GETPID) != call(GETPID);
    say("unknown: "), say_number(wrong), say(" wrong\n");
    return wrong != 0;
}
