/* dynamic.c: a program of the machine's own C library, loaded by its interpreter: threads, locks between processes, libraries
 * that are opened later, what the C library does with signals and memory.
 *
 * Each line says what came of one thing. It prints the same on Linux, where the test runs it first.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 8, ROUNDS = 20000 };

static __thread int own = 7;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long sum;

static void *add(void *unused)
{
    (void)unused;
    for (int n = 0; n < ROUNDS; n++) {
        pthread_mutex_lock(&lock);
        sum++;
        pthread_mutex_unlock(&lock);
        own++;
    }
    return (void *)(long)own;
}

static void threads(void)
{
    pthread_t all[THREADS];
    long each = 0;
    for (int n = 0; n < THREADS; n++) pthread_create(&all[n], NULL, add, NULL);
    for (int n = 0; n < THREADS; n++) {
        void *mine;
        pthread_join(all[n], &mine);
        each += (long)mine;
    }
    printf("threads: %ld under a lock, %ld each for itself, %d here\n", sum, each, own);
}

struct shared { pthread_mutex_t lock; pthread_cond_t turn; int whose; };

/* Two processes, one after the other, by a condition that both have mapped; in the end one dies with the lock. */
static void processes(void)
{
    struct shared *it = mmap(NULL, sizeof *it, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutexattr_t kind;
    pthread_condattr_t also;
    pthread_mutexattr_init(&kind), pthread_condattr_init(&also);
    pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED), pthread_condattr_setpshared(&also, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&it->lock, &kind), pthread_cond_init(&it->turn, &also);
    int turns = 0, me = 0;
    pid_t child = fork();
    if (child == 0) me = 1;
    pthread_mutex_lock(&it->lock);
    while (turns < 500) {
        while (it->whose != me) pthread_cond_wait(&it->turn, &it->lock);
        turns++;
        it->whose = !me;
        pthread_cond_signal(&it->turn);
    }
    if (me) _exit(turns / 100);
    pthread_mutex_unlock(&it->lock);
    int status;
    waitpid(child, &status, 0);
    int found = pthread_mutex_lock(&it->lock);
    printf("processes: %d turns and %d, the lock of one that has ended: %s\n", turns, WEXITSTATUS(status), found == EOWNERDEAD ? "its owner is dead" : strerror(found));
}

static void libraries(void)
{
    void *library = dlopen("libm.so.6", RTLD_NOW);
    double (*cosine)(double) = library ? (double (*)(double))dlsym(library, "cos") : NULL;
    printf("libraries: cos(0) is %.3f, %s\n", cosine ? cosine(0) : -1, dlopen("libnosuch.so", RTLD_NOW) ? "found" : "none by another name");
}

static sigjmp_buf back;
static void caught(int signal, siginfo_t *info, void *context)
{
    (void)context;
    siglongjmp(back, signal * 100 + info->si_code);
}

static void signals(void)
{
    struct sigaction action = {.sa_sigaction = caught, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    stack_t other = {.ss_sp = malloc(SIGSTKSZ), .ss_size = SIGSTKSZ};
    sigaltstack(&other, NULL);
    sigaction(SIGSEGV, &action, NULL), sigaction(SIGFPE, &action, NULL);
    static volatile int zero, first, second, *volatile nowhere = (int *)16;
    first = sigsetjmp(back, 1);
    if (!first) *nowhere = 1;
    second = sigsetjmp(back, 1);
    if (!second) zero = 10 / zero;
    printf("signals: %d, %d\n", first, second);
}

static void memory(void)
{
    unsigned seed = 1;
    void *pieces[256] = {0};
    unsigned long good = 1;
    for (int n = 0; n < 20000; n++) {
        int at = rand_r(&seed) % 256;
        size_t size = rand_r(&seed) % 8 ? rand_r(&seed) % 2000 : rand_r(&seed) % 300000;
        if (pieces[at]) good &= *(int *)pieces[at] == at;
        pieces[at] = realloc(pieces[at], size + sizeof(int));
        *(int *)pieces[at] = at;
    }
    printf("memory: %s\n", good ? "whole" : "damaged");
}

static void others(char **environment)
{
    char *arguments[] = {"echo", "spawned:", "by", "name", NULL};
    pid_t child;
    int status = -1, failed;
    fflush(stdout);
    failed = posix_spawnp(&child, "echo", NULL, NULL, arguments, environment);
    if (!failed) waitpid(child, &status, 0);
    FILE *from = popen("echo through a pipe", "r");
    char line[64] = "";
    if (from && fgets(line, sizeof line, from)) pclose(from);
    struct timespec now, resolution;
    clock_gettime(CLOCK_MONOTONIC, &now), clock_getres(CLOCK_MONOTONIC, &resolution);
    printf("others: %d %d, %s", failed, status, line);
    printf("vdso: %s, resolution %ld ns\n", getauxval(AT_SYSINFO_EHDR) ? "there" : "none", resolution.tv_nsec);
}

static void last(void) { printf("atexit: over\n"); }
__attribute__((constructor)) static void first(void) { printf("constructor: %d\n", own); }

int main(int argc, char **argv, char **environment)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    atexit(last);
    printf("%d arguments, the last is %s\n", argc, argv[argc - 1]);
    threads(), processes(), libraries(), signals(), memory(), others(environment);
    return 3;
}
