"""Interrupts on every kind of interrupt hardware: the typed line comes by interrupt."""

import re

from lib.harness import check, test

OPTIONS = {"apic": "", "noapic": "noapic", "nolapic": "nolapic", "nox2apic": "nox2apic"}


@test("irq", machine=["q35", "pc"], cpu=["qemu64", "max"], how=list(OPTIONS))
def typed_by_interrupt(t, machine, cpu, how):
    """What is typed arrives by the serial port's interrupt, through whichever chip, and none of it by asking."""
    guest = t.boot(machine=machine, cpu=cpu, cmdline=OPTIONS[how])
    log = guest.command("dmesg")
    wanted = {"apic": "I/O APIC: the MADT", "nox2apic": "I/O APIC: the MADT", "noapic": "8259 through LINT0: noapic",
              "nolapic": "8259: nolapic"}[how]
    check(f"device lines by {wanted}" in log, f"another controller is in use:\n{log}")
    counts = []
    for text in ("echo first", "echo the second line, which is longer"):
        check(guest.command(text) == text.removeprefix("echo "), "no answer")
        table = guest.command("irq")
        row = re.search(r"^\s*\d+\s+(\d+)\s+ttyS", table, re.MULTILINE)
        check(row, f"the serial port has no row in\n{table}")
        counts.append(int(row[1]))
        check(re.search(r"[1-9]\d* bytes by interrupt, 0 polled, 0 lost", table), f"not all by interrupt:\n{table}")
        check("unexpected 0," in table, f"unexpected interrupts:\n{table}")
    check(counts[1] > counts[0] > 0, f"the row does not rise: {counts}")


@test("nmi")
def nmi(t):
    """An NMI from outside says where the CPU was, and everything goes on."""
    guest = t.boot()
    guest.qmp("inject-nmi")
    guest.expect(re.compile(r"NMI: cpu 0 at 0x[0-9a-f]+ <[^>]+>"))
    guest.send("\r")
    guest.prompt()
    check(guest.command("echo alive") == "alive", "no answer after an NMI")
    check(re.search(r"^\s*2\s+1\s", guest.command("irq"), re.MULTILINE), "the NMI was not counted once")


@test("nmi-storm")
def nmi_storm(t):
    """Thousands of NMIs while the line is typed at, timers run and the kernel prints: nothing is stuck or lost."""
    guest = t.boot(cmdline="hz=1000")
    sent = 0
    for turn in range(40):
        guest.send(f"echo turn {turn}\r")
        for _ in range(50):
            guest.qmp("inject-nmi")
            sent += 1
        guest.expect(re.compile(rf"\nturn {turn}\b"))
        guest.prompt()
    table = guest.command("irq")
    taken = int(re.search(r"^\s*2\s+(\d+)\s", table, re.MULTILINE)[1])
    # Two that come while the first is being handled are one.
    check(sent // 2 < taken <= sent, f"{sent} sent, {taken} taken")
    check("0 lost" in table and "unexpected 0," in table, table)
    check(int(re.search(r"(\d+) ticks", guest.command("timers"))[1]) > 100, "the ticks have stopped")


@test("watch")
def watch(t):
    """A hardware watchpoint reports the write, and goes on; switched off, it does not."""
    guest = t.boot(cmdline="hz=20")
    check("nothing is watched" in guest.command("watch"), "something is watched")
    where = re.search(r"(0xffffffff[0-9a-f]+)\s+8\s+\S*timers::TICKS", guest.command("sym timers::TICKS") + guest.command("sym TICKS"))
    found = where[1] if where else re.search(r"(0xffffffff[0-9a-f]+)", guest.command("sym TICKS"))[1]
    guest.send(f"watch {found}\r")
    guest.expect("watching the 8 bytes")
    guest.expect(re.compile(r"watch: \S+ <[^>]*TICKS[^>]*> was written before 0x[0-9a-f]+ <[^>]+>"))
    guest.send("watch off\recho is it off\r")
    guest.expect("\nis it off")
    guest.prompt()
    check("nothing is watched" in guest.command("watch"), "still watched")
    check("no multiple" in guest.command("watch 0x1001"), "an odd address is watched")
