/* callers.c: a program for the debugger to look at, with glibc and its threads: each thread is somewhere, with known callers.
 *
 *   callers         two threads: the first reads from a pipe that nobody writes to, the other waits for the first
 *   callers spin    one, which runs for ever
 *
 * The read is made here and not by libc, so that every function that has called has a frame pointer.
 */
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static int ends[2];
static pthread_t first;

__attribute__((noinline)) static long read_by_hand(int fd, void *to, unsigned long len)
{
    long result = 0;
    __asm__ volatile("syscall" : "+a"(result) : "D"(fd), "S"(to), "d"(len) : "rcx", "r11", "memory");
    return result;
}

__attribute__((noinline)) static long inner(int fd)
{
    char byte;
    return read_by_hand(fd, &byte, 1) + 1;
}

__attribute__((noinline)) static long outer(int fd)
{
    return inner(fd) + 1;
}

__attribute__((noinline)) static void say(const char *text)
{
    puts(text);
    fflush(stdout);
}

/* It says so itself: from then on it is on the stack. */
__attribute__((noinline)) static void spin(void)
{
    say("begun");
    for (;;)
        __asm__ volatile("pause");
}

static void *other(void *nothing)
{
    pthread_join(first, NULL);
    return nothing;
}

int main(int count, char **words)
{
    pthread_t second;
    (void)words;
    first = pthread_self();
    if (pipe(ends) != 0)
        return 1;
    if (count > 1)
        spin();
    say("begun");
    if (pthread_create(&second, NULL, other, NULL) != 0)
        return 2;
    return (int)outer(ends[0]);
}
