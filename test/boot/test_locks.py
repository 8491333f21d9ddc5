"""Locks: deadlocks on purpose, each named with both places before anybody waits; and the monitor goes on."""

import re

from lib import build
from lib.harness import check, test
from tools import qemu

HERE = r"src/monitor/commands/misuse/locks\.rs:(\d+)"

# What is typed, and what is answered.
KINDS = {
    "rank": rf"lock order: `outer experiment` taken at {HERE}, while `inner experiment`, which must come after it, is held since {HERE}",
    "mutex": rf"lock order: `outer sleeping experiment` taken at {HERE}, while `inner sleeping experiment`, which must come after it, is held since {HERE}",
    "abba": rf"lock order: `outer interrupt experiment` taken at {HERE}, while `inner interrupt experiment`, which must come after it, is held since {HERE}",
    "sleep": rf"sleep at {HERE} while `outer experiment` is held since {HERE}",
    "let-in": rf"interrupts on again, as the lock taken at {HERE} is given back, while `inner interrupt experiment` is held since {HERE}",
}
SOURCE = (build.ROOT / "src/monitor/commands/misuse/locks.rs").read_text().splitlines()


@test("locks-misuse")
def misuse(t):
    """Wrong order, of locks that spin and of locks that sleep, ABBA, sleeping under a spin lock, interrupts on under a lock that keeps them off, and off for 11 s."""
    guest = t.boot(outputs=build.DEBUG)
    for kind, words in KINDS.items():
        output = guest.command(f"misuse {kind}")
        found = re.findall(words, output)
        check(len(found) == 1 and len(output.splitlines()) == 1, f"misuse {kind} is reported as:\n{output}")
        first, second = (SOURCE[int(line) - 1] for line in found[0])
        check(("park()" in first if kind == "sleep" else ".lock()" in first) and ".lock()" in second, f"{kind}: the lines are {first!r} and {second!r}")
    output = guest.command("misuse irq-off", timeout=60)
    found = re.search(rf"interrupts were off for (\d+) ms, since {HERE}, and are on again in 0x[0-9a-f]+ <.*irq_off", output)
    check(found and int(found[1]) >= 10_900, f"misuse irq-off is reported as:\n{output}")
    check("IRQ_OUTER.lock()" in SOURCE[int(found[2]) - 1], f"that line is {SOURCE[int(found[2]) - 1]!r}")
    check("lock order" not in guest.command("dmesg"), "the log has a report")
    check(guest.command("echo alive") == "alive", "no answer")


@test("locks-every-command")
def every_command(t):
    """A debug build checks the order of locks under every display: a wrong one would be a panic."""
    guest = t.boot(outputs=build.DEBUG)
    for command in ("acpi all", "bench", "bootinfo", "bt", "clocks", "cpu", "date", "dmesg", "fault pf", "free", "gdt", "help", "history", "idt",
                    "irq", "leaks", "maps", "memmap", "pci", "pt kernel_main", "regs", "slabs", "sleep 0.1", "timers", "uptime", "user registers", "user"):
        output = guest.command(command, timeout=60)
        check("lock order" not in output and "panic:" not in output, f"{command} says:\n{output}")


@test("locks-release")
def release(t):
    """A release build says that it does not look."""
    guest = t.boot()
    check("does not watch its locks" in guest.command("misuse rank"), "it should say so")


# What a stuck CPU is stuck in, and which lock a debug build names.
STUCK = {
    "irq-stuck": ("irq_stuck", rf", interrupts off since {HERE}, `outer interrupt experiment` held since {HERE}"),
    "preempt-stuck": ("preempt_stuck", rf", `outer experiment` held since {HERE}"),
}


@test("watchdog", kind=list(STUCK), cpu=["0", "2"], outputs=["release", "debug"])
def watchdog(t, kind, cpu, outputs):
    """A CPU with interrupts or preemption off for 14 s of its own time is named once by another one, with its backtrace."""
    guest = t.boot(smp="4", outputs=build.DEBUG if outputs == "debug" else None)
    guest.command(f"misuse {kind} {cpu}", timeout=120)
    log = guest.command("dmesg")
    told = [line for line in log.splitlines() if "is stuck for" in line]
    check(len(told) == 1, f"told {len(told)} times:\n{log}")
    found = re.search(r"watchdog: cpu (\d) is stuck for (\d+) s, seen by cpu (\d)(.*)", told[0])
    check(found and found[1] == cpu and 10 <= int(found[2]) < 14, f"told is {told[0]}")
    check(kind == "preempt-stuck" or found[3] != cpu, f"who has interrupts off cannot say so: {told[0]}")
    function, places = STUCK[kind]
    check(re.search(rf"watchdog: +\d+: 0x[0-9a-f]+ <[^>]*{function}", log), f"no backtrace:\n{log}")
    if outputs == "debug":
        lines = re.fullmatch(places, found[4])
        check(lines, f"the places are {found[4]!r}")
        check(all(".lock()" in SOURCE[int(line) - 1] for line in lines.groups()), f"these lines take no lock: {lines.groups()}")
    else:
        check(found[4] == "", f"a release build knows {found[4]!r}")
    check(guest.command("echo alive") == "alive", "no answer")


LOCKS = ("SpinLock", "IrqLock", "RwLock", "SeqLock", "Epochs", "Mutex", "RwMutex", "Semaphore", "Completion", "WaitQueue")


@test("locks-torture-broken")
def broken(t):
    """With locks that are none, what each kind protects breaks, and the torture says so."""
    guest = t.start(smp="4", cmdline="selftest=smp-spinning,smp-sleeping brokenlock=all")
    check(guest.wait_exit(300) == qemu.EXIT_FAILURE, "it should fail")
    found = dict(re.findall(r"selftest: (\w+), not taken: (\d+) violations", guest.text))
    check(set(found) == set(LOCKS) and all(int(count) > 0 for count in found.values()), f"not each kind broke: {found}")


@test("locks-torture", outputs=["release", "debug"])
def torture(t, outputs):
    """With every lock in its place nothing breaks, on four CPUs."""
    guest = t.start(smp="4", cmdline="selftest=smp-spinning,smp-sleeping", outputs=build.DEBUG if outputs == "debug" else None)
    check(guest.wait_exit(900) == qemu.EXIT_SUCCESS, "a self-test failed")
    found = dict(re.findall(r"selftest: (\w+): (\d+) violations", guest.text))
    check(found == dict.fromkeys(LOCKS, "0"), f"it found {found}")
