/* spin.c: a process on each of the first N CPUs that does nothing but call, until a byte is typed.
 *
 *     spin N
 *
 * Each call is made with patterns of its own in the registers that a call leaves alone, those of SSE among them, and looks
 * for them afterwards. For whoever interrupts meanwhile, at every instruction of the way in and out.
 */
#include "ring3.h"

enum { MOST = 64 };
static volatile u64 *shared;

/* One call; how many registers were not what they had been. */
static inline u64 one(u64 pattern)
{
    u64 wrong;
    __asm__ volatile(
        "movq %1, %%xmm1\n movq %1, %%xmm15\n"
        "mov %1, %%rbx\n lea 1(%1), %%r12\n lea 2(%1), %%r13\n lea 3(%1), %%r14\n lea 4(%1), %%r15\n"
        "mov $110, %%eax\n syscall\n"
        "xor %%ecx, %%ecx\n"
        "cmp %1, %%rbx\n setne %%cl\n"
        "sub $1, %%r12\n cmp %1, %%r12\n setne %%al\n add %%al, %%cl\n"
        "sub $2, %%r13\n cmp %1, %%r13\n setne %%al\n add %%al, %%cl\n"
        "sub $3, %%r14\n cmp %1, %%r14\n setne %%al\n add %%al, %%cl\n"
        "sub $4, %%r15\n cmp %1, %%r15\n setne %%al\n add %%al, %%cl\n"
        "movq %%xmm1, %%rdx\n cmp %1, %%rdx\n setne %%al\n add %%al, %%cl\n"
        "movq %%xmm15, %%rdx\n cmp %1, %%rdx\n setne %%al\n add %%al, %%cl\n"
        : "=&c"(wrong)
        : "D"(pattern)
        : "rax", "rbx", "rdx", "r11", "r12", "r13", "r14", "r15", "xmm1", "xmm15", "memory", "cc");
    return wrong;
}

static int run(int argc, char **argv)
{
    if (argc != 2) return 2;
    u64 count = number(argv[1]), calls = 0, wrong = 0;
    if (count > MOST) return 2;
    shared = (u64 *)call(MMAP, 0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    long children[MOST];
    for (u64 cpu = 0; cpu < count; cpu++) {
        children[cpu] = call(FORK);
        if (children[cpu]) continue;
        u64 mask = 1UL << cpu;
        if (call(SETAFFINITY, 0, 8, &mask) < 0) call(EXIT_GROUP, 1);
        for (;;) {
            u64 bad = one(0x1234567800000000 + (cpu << 24) + shared[2 * cpu]);
            shared[2 * cpu]++;
            shared[2 * cpu + 1] += bad;
        }
    }
    /* All of them are at it. */
    for (u64 cpu = 0; cpu < count; cpu++)
        while (shared[2 * cpu] < 1000) call(YIELD);
    say("spin: begun\n");
    char byte;
    call(READ, 0, &byte, 1);
    for (u64 cpu = 0; cpu < count; cpu++) {
        int status = 0;
        call(KILL, children[cpu], SIGKILL);
        call(WAIT4, children[cpu], &status, 0, 0);
        /* One that has ended by itself has been hit. */
        if (status != SIGKILL) say("spin: one ended: "), say_hex((u64)status), say("\n"), wrong++;
        calls += shared[2 * cpu], wrong += shared[2 * cpu + 1];
    }
    say("spin: "), say_number((long)calls), say(" calls, "), say_number((long)wrong), say(" wrong\n");
    return wrong != 0;
}
