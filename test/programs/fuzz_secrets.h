/* fuzz_secrets.h: what no program should get to see, and the account of what was made and seen, which all of fuzz.c's processes
 * share.
 *
 * A debug build fills what is free with bytes of 0xD and something: free frames, free objects, new ones, what is around them,
 * and the stack below a call. What the fuzzer gives the kernel has no such byte, so who finds some of them in a row has been
 * given what nobody wrote. Four in a row do not come by chance; two or three may, as a time or a number of a file, but not
 * whenever a call succeeds: those are counted for each call.
 */

/* ---- the account ---- */

enum { DRIVERS = 5, LISTED = 256, ROWS = sizeof CALLS / sizeof *CALLS, KINDS = ROWS + 256 };

struct driver {
    /* Moves with every call that a round makes. */
    u32 moves;
    /* Processes that the round has made, which are to be ended with it. */
    u32 listed, pids[LISTED];
};

struct account {
    u32 leaks, stuck, rounds, ended, died, killed, threads, frames, looks;
    /* No process of the fuzzer itself has a higher number. */
    u32 highest;
    u32 made[ROWS], good[ROWS];
    /* By call, and those with many commands by command: with two in a row, with three, and all that succeeded. */
    u32 twos[KINDS], threes[KINDS], all[KINDS];
    struct driver drivers[DRIVERS];
    char host[65];
};

static struct account *account;

#define ADD(place, n) __atomic_add_fetch(&(place), n, __ATOMIC_RELAXED)

static u32 kind_of(const struct row *row, const u64 *values)
{
    u64 command = row->number == IOCTL || row->number == FCNTL ? values[1] : row->number == PRCTL || row->number == ARCH_PRCTL ? values[0] : 0;
    return command ? ROWS + (u32)(command ^ command >> 8) % 256 : (u32)(row - CALLS);
}

/* ---- secrets ---- */

#define EACH(byte) (0x0101010101010101UL * (byte))

/* The top bit of each byte that is 0xD and something. */
static u64 marks(u64 word)
{
    u64 other = (word ^ EACH(0xD0)) & EACH(0xF0);
    return ~((other & EACH(0x7F)) + EACH(0x7F) | other) & EACH(0x80);
}

/* Without those. Nor is it an address of the kernel. */
static u64 clean_word(u64 word)
{
    word &= ~marks(word);
    return word >> 47 == 0x1FFFF && word < -4096UL ? word & 0x7FFFFFFFFFFF : word;
}

static int is_filling(u8 byte) { return byte == 0xDA || byte == 0xDB || byte == 0xDC || byte == 0xDE || byte == 0xDF; }

/* The beginnings of the kernel's regions (src/boot/layout.rs): direct map, heap, devices, ECAM, CPUs and stacks, frame table, image,
 * and as much of each as a small machine has. What went in as a bad address may come out again; or with a number in its lower
 * half, which is a small one. */
static int is_kernels(u64 word)
{
    if ((word & (PAGE - 1)) == OWN || word == 0xFFFFFFFF80000000) return 0;
    u64 region = word >> 40, place = word & 0xFFFFFFFFFF;
    int is_in = region == 0xFFFF80 || region == 0xFFFF88 || region == 0xFFFF90 || region == 0xFFFFA0 || region == 0xFFFFB0 || region == 0xFFFFC0;
    return is_in && place < 4UL << 30 && (region != 0xFFFF80 || place >= 16 << 20) || word - 0xFFFFFFFF80000000 < 64UL << 20;
}

struct found { const u8 *at; u64 word; u32 row; };

static u64 word_at(const u8 *at) { u64 word; __builtin_memcpy(&word, at, 8); return word; }

/* Looks at all bytes; `from` and `to` are multiples of 8. The address of the kernel that there is, or the longest row of one
 * filling, if there is one of two or more. An address that was there before in part is none: `before`, if it is known, is what
 * was there.
 */
static struct found look(const u8 *from, const u8 *to, const u8 *before)
{
    struct found found = {0, 0, 1};
    for (const u8 *at = from; at < to; at += 8) {
        u64 word = *(const u64 *)at;
        if (!word) continue;
        /* An address of the kernel ends in two such bytes, wherever it begins. */
        u64 low = ~word;
        if ((low - EACH(1)) & ~low & EACH(0x80))
            for (const u8 *begin = at - from < 7 ? from : at - 7; begin <= at; begin++) {
                u64 seen = word_at(begin);
                if (!is_kernels(seen)) continue;
                u64 changed = before ? seen ^ word_at(before + (begin - from)) : -1UL;
                if ((changed & 0xFFFF) && (changed >> 16 & 0xFFFF)) return (struct found){begin, seen, 8};
            }
        if (!marks(word)) continue;
        for (const u8 *begin = at; begin < at + 8; begin++) {
            if (!is_filling(*begin) || begin > from && begin[-1] == *begin) continue;
            const u8 *end = begin + 1;
            while (end < to && *end == *begin) end++;
            if (end - begin > found.row) found = (struct found){begin, *begin, (u32)(end - begin)};
        }
    }
    return found;
}

/* What the fuzzer wrote there itself and that would be taken for a secret goes; the rest is noted in `copy`. */
static void clean(u8 *from, u8 *to, u8 *copy)
{
    for (u64 *at = (u64 *)from, *noted = (u64 *)copy; at < (u64 *)to; at++, noted++) {
        u64 word = *at;
        if (word) *at = word = clean_word(word);
        if (*noted != word) *noted = word;
    }
}

/* Of several threads, one says what it has found. */
static void tell(u64 seed, const char *who, struct found found, const u64 *values)
{
    static int telling;
    if (__atomic_exchange_n(&telling, 1, __ATOMIC_SEQ_CST)) return;
    ADD(account->leaks, 1);
    say("fuzz: seed "), say_number((long)seed), say(": "), say(who), say(" has given away "), say_hex(found.word), say(", bytes "), say_number(found.row),
    say(" at "), say_hex((u64)found.at);
    for (int n = 0; values && n < 6; n++) say(" "), say_hex(values[n]);
    say("\n");
}

/* All of it must be 0, as nobody has written there. */
static int is_zero(const void *at, u64 bytes)
{
    const u8 *from = at;
    while (bytes && !*from) from++, bytes--;
    return !bytes;
}
