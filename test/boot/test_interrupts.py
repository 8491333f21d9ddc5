"""Interrupts on every kind of interrupt hardware: the typed line comes by interrupt; and NMIs by the thousand."""

import re
import time

from lib.guest import REPLY_TIMEOUT, SLOW
from lib.harness import check, test
from tools import qemu

OPTIONS = {"x2apic": "", "xapic": "nox2apic", "noapic": "noapic", "nolapic": "nolapic"}
HPET = {"hpet": "", "nohpet": "nohpet", "hpet-off": ""}


def by_interrupt(guest, polled="0"):
    """What is typed arrives by the serial port's interrupt, but for as many bytes as `polled`, an expression, allows."""
    counts = []
    for text in ("echo first", "echo the second line, which is longer"):
        check(guest.command(text) == text.removeprefix("echo "), "no answer")
        table = guest.command("irq")
        found = re.search(r"^\s*\d+\s+(\d+)\s+ttyS", table, re.MULTILINE)
        check(found, f"the serial port has no row in\n{table}")
        counts.append(int(found[1]))
        check(re.search(rf"[1-9]\d* bytes by interrupt, {polled} polled, 0 lost", table), f"not all by interrupt:\n{table}")
        check("unexpected 0," in table, f"unexpected interrupts:\n{table}")
    check(counts[1] > counts[0] > 0, f"the row does not rise: {counts}")


@test("irq", machine=["q35", "pc"], how=list(OPTIONS), hpet=list(HPET), cpu=["qemu64", "max"])
def typed_by_interrupt(t, machine, how, hpet, cpu):
    """Prompt, `sleep 1`, a typed line: by the serial port's interrupt, through whichever chip, and none by asking."""
    has_x2apic = qemu.qemu_version() >= (9,)
    if how == "x2apic" and cpu == "qemu64":
        cpu = "qemu64,+x2apic"
    machine += ",hpet=off" if hpet == "hpet-off" else ""
    guest = t.boot(machine=machine, cpu=cpu, cmdline=f"{OPTIONS[how]} {HPET[hpet]}".strip())
    log = guest.command("dmesg")
    wanted = {"noapic": "8259 through LINT0: noapic", "nolapic": "8259: nolapic"}.get(how, "I/O APIC: the MADT")
    check(f"device lines by {wanted}" in log, f"another controller is in use:\n{log}")
    mode = re.search(r"local APIC 0 at 0xfee00000, (\w+)", log)
    if how in ("x2apic", "xapic"):
        check(mode and mode[1].lower() == (how if has_x2apic else "xapic"), f"the local APIC is in another mode:\n{log}")
    else:
        check((mode is None) == (how == "nolapic"), f"a local APIC with {how}:\n{log}")
    slept = re.search(r"slept (\d+\.\d+) s", guest.command("sleep 1", timeout=60))
    check(slept and float(slept[1]) >= 1, f"sleep 1 says {slept and slept[0]}")
    by_interrupt(guest)


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


class Counters:
    """The boot CPU's counters of interrupts, which QEMU reads out of the machine's memory while it runs."""

    def __init__(self, guest):
        self.guest, seen = guest, []
        template = re.search(r"(0x[0-9a-f]+) <cpu_data\+0x0>", guest.command("sym cpu_data"))
        base = re.search(r"gsbase\s+([0-9a-f]+)", guest.command("regs"))
        self.data = f"{int(template[1], 16) + int(base[1], 16) & 2**64 - 1:#x}"
        for _ in range(5):
            guest.command("fault 2")
            words = re.findall(r"(?<= )[0-9a-f]{16}\b", guest.command(f"x/32g {self.data}"))
            seen.append([int(word, 16) for word in words])
        # INT 2 is counted where NMIs are: the word that was 1, 2, 3 …
        found = [at for at, values in enumerate(zip(*seen)) if values == (1, 2, 3, 4, 5)]
        check(len(found) == 1, f"the counter is not to be found: {seen}")
        self.offset = 8 * (found[0] - 2)
        phys = re.search(r"-> (0x[0-9a-f]+)", guest.command(f"pt {int(self.data, 16) + self.offset:#x}"))
        check(phys, "the counters are not mapped")
        self.phys = int(phys[1], 16)

    def __getitem__(self, vector):
        text = self.guest.qmp("human-monitor-command", **{"command-line": f"xp /1gx {self.phys + 8 * vector:#x}"})
        return int(text.split(": ")[1], 16)

    def symbol(self, vector):
        """The address of one, for the monitor."""
        return f"{int(self.data, 16) + self.offset + 8 * vector:#x}"

    def send_nmis(self, count):
        """One after the other was taken: one that is sent while another waits is none."""
        taken = self[2]
        for _ in range(count):
            deadline = time.monotonic() + REPLY_TIMEOUT * SLOW
            self.guest.qmp("inject-nmi")
            while (now := self[2]) == taken:
                check(time.monotonic() < deadline, f"an NMI is not taken, after {taken}")
            taken = now


def row(table, vector):
    """The count of a vector in what `irq` shows; 0 if it has no row."""
    found = re.search(rf"^\s*{vector}\s+(\d+)\s", table, re.MULTILINE)
    return int(found[1]) if found else 0


@test("nmi-storm")
def nmi_storm(t):
    """10,000 NMIs while the line is typed at, timers run and the kernel prints: each is taken, and nothing is stuck.

    In each one's handler a page fault and a breakpoint, which are foreseen, must not let the next NMI in.
    """
    guest = t.boot(cmdline="hz=1000")
    count = Counters(guest)
    check(guest.command("fault in-nmi") == "in-nmi: on", "the faults inside the handler are not on")
    before, sent = guest.command("irq"), 0
    for turn in range(100):
        guest.send(f"echo turn {turn}\r")
        count.send_nmis(100)
        sent += 100
        guest.expect(re.compile(rf"\nturn {turn}\b"))
        guest.prompt()
    table = guest.command("irq")
    taken, faults, breakpoints = (row(table, vector) - row(before, vector) for vector in (2, 14, 3))
    check(sent == 10_000 and 9_000 < taken <= sent, f"{sent} sent, {taken} taken")
    check(faults == breakpoints == taken, f"{taken} taken, with {faults} page faults and {breakpoints} breakpoints")
    check(guest.command("fault in-nmi") == "in-nmi: off", "the faults inside the handler are not off")
    check("0 polled, 0 lost" in table and "unexpected 0," in table, table)
    ticks = lambda: int(re.search(r"(\d+) ticks", guest.command("timers"))[1])  # noqa: E731
    first = ticks()
    guest.command("sleep 0.1")
    check(ticks() > first > 100, f"the ticks have stopped after {first}")


@test("nmi-flood")
def nmi_flood(t):
    """As many NMIs as come, without waiting for any: some fall together, none does harm."""
    guest = t.boot(cmdline="hz=1000")
    guest.command("fault in-nmi")
    for turn in range(20):
        guest.send(f"echo turn {turn}\r")
        for _ in range(50):
            guest.qmp("inject-nmi")
        guest.expect(re.compile(rf"\nturn {turn}\b"))
        guest.prompt()
    table = guest.command("irq")
    # Those that come while one waits are one with it: how many depends on the host. At each turn one was taken at least.
    check(20 <= row(table, 2) <= 1000, f"1000 sent, {row(table, 2)} taken")
    check("0 polled, 0 lost" in table and "unexpected 0," in table, table)
    check("slept" in guest.command("sleep 0.1"), "timers have stopped")


@test("nmi-and-watchpoint")
def nmi_and_watchpoint(t):
    """#DB has one stack: what the handlers of NMI and #DB write themselves must not raise it, watched or not."""
    guest = t.boot(cmdline="hz=100")
    count = Counters(guest)
    check("interrupt stack" in guest.command("watch nmi_stack+8"), "the NMI's stack is watched")
    for vector, name in ((2, "the NMI's"), (1, "#DB's")):
        guest.command(f"watch {count.symbol(vector)}")
        before = count[vector]
        if vector == 2:
            count.send_nmis(100)
        else:
            check("db: recovered" in guest.command("fault db"), "single step does not come back")
        # The log may be speaking of NMIs meanwhile.
        guest.send("echo alive\r")
        guest.expect("\nalive")
        guest.prompt()
        check(count[vector] > before, f"{name} counter has not risen")
        check(count.symbol(vector) in guest.command("watch"), f"{name} counter is not watched any more")
    # And NMIs while watchpoints are hit all the time, by the tick.
    guest.command("watch timers::TICKS")
    hits = count[1]
    count.send_nmis(500)
    deadline = time.monotonic() + REPLY_TIMEOUT * SLOW
    while count[1] < hits + 10:
        check(time.monotonic() < deadline, f"the watchpoint is not hit any more, after {count[1] - hits} times")
    # What is typed has the log's lines in it.
    guest.send("watch off\r")
    guest.send("echo it is off\r")
    guest.expect("\nit is off")
    guest.prompt()
    check("unexpected 0," in guest.command("irq"), "unexpected interrupts")


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
