"""Locks: deadlocks on purpose, each named with both places before anybody waits; and the monitor goes on."""

import re

from lib import build
from lib.harness import check, test

HERE = r"src/monitor/commands/misuse/locks\.rs:(\d+)"

# What is typed, and what is answered.
KINDS = {
    "rank": rf"lock order: `outer experiment` taken at {HERE}, while `inner experiment`, which must come after it, is held since {HERE}",
    "abba": rf"lock order: `outer interrupt experiment` taken at {HERE}, while `inner interrupt experiment`, which must come after it, is held since {HERE}",
    "sleep": rf"sleep at {HERE} while `outer experiment` is held since {HERE}",
    "let-in": rf"interrupts on again, as the lock taken at {HERE} is given back, while `inner interrupt experiment` is held since {HERE}",
}
SOURCE = (build.ROOT / "src/monitor/commands/misuse/locks.rs").read_text().splitlines()


@test("locks-misuse")
def misuse(t):
    """Wrong order, ABBA, sleeping under a spin lock, interrupts on under a lock that keeps them off, and off for 11 s."""
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
