"""Ring 3: programs that use the doors, and programs that try to break in (asm/flat.S, asm/flat_memory.S)."""

import re

from boot.test_bochs import boot as boot_bochs
from boot.test_interrupts import Counters
from lib.harness import check, test

PF, GP = r"#PF page fault, vector 14", r"#GP general protection[^,]*, vector 13"

# What `user NAME` says at the end of each that needs nothing typed: a regular expression.
ENDS = {
    "registers": r"exit status 0",
    "step": r"killed by #DB .*vector 1, at 0x40[0-9a-f]+ \(single step\)",
    "step-int": r"killed by #DB .*vector 1, at 0x40[0-9a-f]+ \(single step\)",
    "enosys": r"exit status 0",
    "stack": rf"killed by {PF}, error code 0x6 .*, address 0x7ffffefeffff, at 0x40[0-9a-f]+",
    "memory": r"exit status 0",
    "cow": r"exit status 0",
    "count": r"exit status 1",
    "spin": r"exit status 0",
    "spin-stack": r"exit status 0",
    "bad-stack": r"exit status 0",
    "segments": r"exit status 0",
    "last-bytes": rf"killed by {PF}, error code 0x14 .*, address 0x7ffffffff000, at 0x7ffffffff000",
    "read-kernel": rf"killed by {PF}, error code 0x5 .*, address 0xffffffff80000000, at 0x40[0-9a-f]+",
    "write-kernel": rf"killed by {PF}, error code 0x7 .*, address 0xffffffff80000000, at 0x40[0-9a-f]+",
    "jump-kernel": rf"killed by {PF}, error code 0x15 .*, address 0xffffffff80000000, at 0xffffffff80000000",
    "read-null": rf"killed by {PF}, error code 0x4 .*, address 0x0, at 0x40[0-9a-f]+",
    "read-noncanonical": rf"killed by {GP}, .*",
    "jump-noncanonical": rf"killed by {GP}, .*",
    # By the manual #SS; QEMU's TCG makes no difference between stack and data there.
    "push-noncanonical": rf"killed by (?:#SS [^,]*, vector 12|{GP}), .*",
    "write-text": rf"killed by {PF}, error code 0x7 .*, address 0x400[0-9a-f]+, at 0x40[0-9a-f]+",
    "run-stack": rf"killed by {PF}, error code 0x15 .*, address 0x7ffffefffff8, at 0x7ffffefffff8",
    "use-unmapped": rf"killed by {PF}, error code 0x4 .*, address 0x7ffff7ffe000, at 0x400[0-9a-f]+",
    "write-protected": rf"killed by {PF}, error code 0x7 .*, address 0x7ffff7ffe000, at 0x400[0-9a-f]+",
    "read-none": rf"killed by {PF}, error code 0x4 .*, address 0x7ffff7ffe000, at 0x400[0-9a-f]+",
    "run-data": rf"killed by {PF}, error code 0x15 .*, address 0x7ffff7ffe000, at 0x7ffff7ffe000",
    "call-null": rf"killed by {PF}, error code 0x14 .*, address 0x0, at 0x0",
    "above-stack": rf"killed by {PF}, error code 0x4 .*, address 0x7fffff000000, at 0x400[0-9a-f]+",
    "below-stack": rf"killed by {PF}, error code 0x6 .*, address 0x7ffffef00000, at 0x400[0-9a-f]+",
    "divide": r"killed by #DE [^,]*, vector 0, at 0x40[0-9a-f]+",
    # QEMU's TCG checks no alignment; a CPU does.
    "misaligned": r"killed by #AC [^,]*, vector 17, .*|exit status 99",
    "ud2": r"killed by #UD [^,]*, vector 6, at 0x40[0-9a-f]+",
    "icebp": r"killed by #DB [^,]*, vector 1, at 0x40[0-9a-f]+",
    "sse": r"exit status 0",
    "patterns": r"exit status 0",
    "churn": r"exit status 0",
    "calls": r"exit status 0",
    "int3": r"killed by #BP [^,]*, vector 3, at 0x40[0-9a-f]+",
    "int-nmi": rf"killed by {GP}, error code 0x12 .*",
    "int-pf": rf"killed by {GP}, error code 0x72 .*",
    "int-timer": rf"killed by {GP}, error code 0x182 .*",
    "iret": rf"killed by {GP}, error code 0x8 .*",
}
ENDS |= {name: rf"killed by {GP}, error code 0x0 .*" for name in
         ("hlt", "cli", "in", "out", "rdmsr", "cr3", "lgdt", "swapgs", "sysret")}
# These have their own tests, or another end on each CPU.
OTHERS = {"hello", "pointers", "gs", "hog", "forever"}


def names(guest):
    """The programs that the kernel has."""
    return re.findall(r"^  ([\w-]+) {2,}\S", guest.command("user"), re.MULTILINE)


def counts(guest):
    """How often each way out of the kernel was taken, and how many NMIs came without a kernel stack."""
    text = guest.command("user")
    words = re.search(r"(\d+) by SYSRETQ, (\d+) by IRETQ; (\d+) calls by INT 0x80", text)
    nmis = re.search(r"(\d+) on the way in, (\d+) on the way out", text)
    check(words and nmis, f"`user` says nothing of the doors:\n{text}")
    return dict(zip(("sysret", "iret", "int", "entering", "leaving"), map(int, words.groups() + nmis.groups())))


def run(guest, name, wanted):
    """Runs a program that needs nothing typed, and checks how it ends."""
    output = guest.command(f"user {name}", timeout=120)
    end = output.splitlines()[-1]
    check(re.fullmatch(f"user: {name}: (?:{wanted})", end), f"user {name} ends so:\n{output}")
    return output


def typed(guest, name, question, text):
    """Runs a program that reads a line; what it wrote, up to how it ended."""
    start = len(guest.text)
    guest.send(f"user {name}\r")
    guest.expect(question)
    guest.send(f"{text}\r")
    guest.expect(re.compile(rf"user: {name}: [^\r\n]*"))
    guest.prompt()
    return guest.text[start:].replace("\r", "")


def programs(guest, has_fsgsbase, ends=ENDS):
    """Every program, one after the other on one machine, which is as before afterwards."""
    check(set(names(guest)) == set(ends) | OTHERS, f"the programs differ from this test: {set(names(guest)) ^ (set(ends) | OTHERS)}")
    for name, wanted in ends.items():
        run(guest, name, wanted)
    run(guest, "gs", "exit status 0" if has_fsgsbase else r"killed by #UD [^,]*, vector 6, at 0x400007")
    output = typed(guest, "pointers", "user pointers", "a line")
    check("user: pointers: exit status 0" in output, output)
    report = guest.command("selftest", timeout=120)
    check(re.search(r"\b0 failed", report), f"after all programs selftest says:\n{report}")


@test("user", cpu=["qemu64", "max"], machine=["q35", "pc"])
def doors(t, cpu, machine):
    """A program writes by both doors, reads and exits; each other one ends by name, the kernel never."""
    guest = t.boot(cpu=cpu, machine=machine, cmdline="hz=1000")
    before = counts(guest)
    output = typed(guest, "hello", "what is your name? ", "worldly\x7f\x7f")
    for line in ("hello from ring 3, by SYSCALL", "hello from ring 3, by INT 0x80", "hello, world", "user: hello: exit status 7"):
        check(f"\n{line}\n" in output, f"{line!r} is missing:\n{output}")
    after = counts(guest)
    # Four SYSCALLs that returned, and two INT 0x80, which return by IRETQ.
    changes = {name: after[name] - before[name] for name in after}
    check(changes == {"sysret": 4, "iret": 2, "int": 2, "entering": 0, "leaving": 0}, f"the doors have counted {changes}")
    programs(guest, has_fsgsbase=cpu == "max")
    check(typed(guest, "hello", "what is your name? ", "x").count("hello") == 5, "the second time is not as the first")


@test("user-interrupt-key", smp=[1, 4])
def interrupt_key(t, smp):
    """^C ends a program that never ends, and one that waits for a line; then it is a key of the monitor's again."""
    guest = t.boot(smp=smp)
    for name, shown in (("forever", "for ever"), ("hello", "what is your name? ")):
        for _ in range(3):
            guest.send(f"user {name}\r")
            guest.expect(shown)
            guest.send("\x03")
            guest.expect(f"user: {name}: stopped")
            guest.prompt()
    check("exit status 1" in run(guest, "count", "exit status 1"), "programs do not run any more")


@test("user-step")
def step(t):
    """With TF set the way back is IRETQ, and the call itself is done."""
    guest = t.boot(cpu="max")
    before = counts(guest)
    check("stepped over" in run(guest, "step", ENDS["step"]), "the call was not made")
    after = counts(guest)
    check((after["sysret"], after["iret"]) == (before["sysret"], before["iret"] + 1), f"the ways back: {before}, then {after}")


@test("user-unknown-call")
def unknown(t):
    """One line for each number, however often it is called; and again for the next program."""
    guest = t.boot()
    for _ in range(2):
        output = run(guest, "enosys", "exit status 0")
        check(len(re.findall(r"system call 500 is not there", output)) == 1, output)


@test("user-hog")
def hog(t):
    """A program that takes all memory is ended by name; everything is there again afterwards, and other programs run."""
    guest = t.boot(mem="128M")
    free = lambda: int(re.search(r"(\d+) KiB of it free", guest.command("free"))[1])  # noqa: E731
    run(guest, "memory", "exit status 0")
    before = free()
    for _ in range(2):
        output = run(guest, "hog", r"killed: out of memory, for address 0x7[0-9a-f]+, at 0x400[0-9a-f]+")
        victim = re.search(r"memory: out of memory: killed hog \((\d+) pages\), asked for by .*", output)
        check(victim and int(victim[1]) * 4 > before // 2, f"no line says who had to go, and for what:\n{output}")
        after = free()
        # The heap may keep a slab or two of what it has had.
        check(abs(before - after) <= 256, f"{before} KiB were free, {after} are")
    run(guest, "memory", "exit status 0")


def storm(guest, names, wanted, rounds):
    """NMIs while programs spin in system calls, until `wanted` is content with the counts."""
    nmis = Counters(guest)
    first = counts(guest)
    sent = 0
    for turn in range(rounds):
        start = len(guest.text)
        guest.send(f"user {names[turn % len(names)]}\r")
        while not re.search(r"\nuser: [^\n]*\n", guest.text[start:].replace("\r", "")):
            nmis.send_nmis(20)
            sent += 20
        guest.prompt()
        ended = re.search(r"\n(user: [^\n]*)\n", guest.text[start:].replace("\r", ""))
        check(ended[1].endswith("exit status 0"), f"under NMIs: {ended[1]}")
        now = counts(guest)
        if wanted(now["entering"] - first["entering"], now["leaving"] - first["leaving"]):
            break
    found = now["entering"] - first["entering"], now["leaving"] - first["leaving"]
    print(f"{sent} NMIs: {found[0]} on the way in, {found[1]} on the way out")
    check(wanted(*found), f"of {sent} NMIs {found[0]} came on the way in, {found[1]} on the way out")
    report = guest.command("selftest", timeout=120)
    check(re.search(r"\b0 failed", report), f"after the NMIs selftest says:\n{report}")


@test("user-nmi", cpu=["qemu64", "max"])
def nmi_on_the_way_in(t, cpu):
    """NMIs between SYSCALL and the kernel's stack, with any stack pointer and, where there is FSGSBASE, any GS."""
    guest = t.boot(cpu=cpu)
    programs = ["spin", "spin-stack", "gs"] if cpu == "max" else ["spin", "spin-stack"]
    turns = iter(range(len(programs)))
    # Each of the programs once at least.
    storm(guest, programs, lambda entering, leaving: next(turns, None) is None and entering > 20, rounds=60)


@test("user-nmi-one", level="matrix", cpu=["qemu64", "max"])
def nmi_on_the_way_out(t, cpu):
    """The same with QEMU looking for interrupts after each instruction: then they also come between the last POP and SYSRET."""
    guest = t.boot(cpu=cpu, accel="tcg,one-insn-per-tb=on", timeout=300)
    storm(guest, ["spin", "spin-stack"], lambda entering, leaving: entering > 5 and leaving > 5, rounds=20)


@test("bochs-user", cpu=["tigerlake", "ryzen"])
def bochs(t, cpu):
    """A stricter CPU: SYSRET's #GP would come at CPL 0 there, alignment is checked, SYSRET wants its segments right."""
    guest = boot_bochs(t, cpu=cpu)
    ends = ENDS | {"misaligned": r"killed by #AC [^,]*, vector 17, .*", "push-noncanonical": r"killed by #SS [^,]*, vector 12, .*"}
    if cpu != "tigerlake":
        # An hour of calls, at this speed.
        ends = {name: end for name, end in ends.items() if not name.startswith(("spin", "registers", "segments"))}
    output = typed(guest, "hello", "what is your name? ", "world")
    check("\nhello, world\n" in output and "user: hello: exit status 7" in output, output)
    for name, wanted in ends.items():
        run(guest, name, wanted)
    report = guest.command("selftest", timeout=240)
    check(re.search(r"\b0 failed", report), f"after all programs selftest says:\n{report}")
