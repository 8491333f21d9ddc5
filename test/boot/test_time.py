"""The clock and the timers, on every kind of timer hardware."""

import re

from lib.harness import check, test

OPTIONS = {"apic": "", "noapic": "noapic", "nolapic": "nolapic"}
CLOCKS = {"all": "", "nohpet": "nohpet", "notsc": "notsc", "hpet=off": "", "neither": "notsc nohpet"}


@test("sleep", machine=["q35", "pc"], cpu=["qemu64", "max"], how=list(OPTIONS), clock=list(CLOCKS))
def sleep(t, machine, cpu, how, clock):
    """A timer wakes the sleeper, not before its time by the kernel's clock; the clock is the one that was left."""
    off = ",hpet=off" if clock == "hpet=off" else ""
    guest = t.boot(machine=machine + off, cpu=cpu, cmdline=f"{OPTIONS[how]} {CLOCKS[clock]}".strip())
    log = guest.command("dmesg")
    source = {"all": "TSC", "nohpet": "TSC", "hpet=off": "TSC", "notsc": "HPET", "neither": "PM timer"}[clock]
    check(re.search(rf"clock: {source}, ", log), f"the clock is not the {source}:\n{log}")
    for asked in ("0.01", "1"):
        slept = re.search(r"slept (\d+\.\d+) s", guest.command(f"sleep {asked}", timeout=60))
        check(slept and float(slept[1]) >= float(asked), f"asked for {asked}: {slept and slept[0]}")
    first, second = (float(re.search(r"([\d.]+) s", guest.command("uptime"))[1]) for _ in range(2))
    check(1 < first < second, f"uptime: {first}, then {second}")
    table = guest.command("irq")
    row = "PIT" if how == "nolapic" else "APIC timer"
    check(re.search(rf"^\s*\d+\s+[1-9]\d*\s+{row}", table, re.MULTILINE), f"no interrupt of the {row}:\n{table}")
    check(re.search(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d", guest.command("date")), "no date")


@test("sleep-bad")
def bad(t):
    guest = t.boot()
    for word in ("", "x", "-1", "1e9", "1.0000000001", "99999999999999"):
        check("usage: sleep" in guest.command(f"sleep {word}"), f"sleep {word!r} is accepted")


@test("idle-is-tickless")
def tickless(t):
    """A kernel with nothing to do takes no timer interrupt: only its own sleep's."""
    guest = t.boot()
    count = lambda: int((re.search(r"(\d+)\s+APIC timer", guest.command("irq")) or [0, 0])[1])
    before = count()
    guest.command("sleep 5", timeout=60)
    check(count() - before <= 2, f"{count() - before} timer interrupts in five seconds")
