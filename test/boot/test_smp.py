"""Every CPU: started, listed, counted, stopped."""

import re

from lib.harness import check, test
from tools import qemu


def rows(guest):
    """The lines of `cpus`: number, APIC ID, state."""
    found = re.findall(r"^\s+(\d+)\s+(\d+)\s+(?:\d+|-)\s+(?:\d+|-)\s+(?:\d+|-)\s+(\S.*)$", guest.command("cpus"), re.MULTILINE)
    return [(int(number), int(apic), state.strip()) for number, apic, state in found]


def online(guest):
    return [number for number, _, state in rows(guest) if state == "online"]


@test("cpus", smp=["1", "2", "3", "4", "8", "16"], machine=["q35", "pc"], mode=["xapic", "x2apic"], cpu=["qemu64", "max"])
def cpus(t, smp, machine, mode, cpu):
    """The prompt, and every CPU online, each with an APIC ID of its own."""
    if mode == "x2apic" and cpu == "qemu64":
        cpu = "qemu64,+x2apic"
    guest = t.boot(smp=smp, machine=machine, cpu=cpu, cmdline="nox2apic" if mode == "xapic" else "")
    found = rows(guest)
    check([number for number, _, _ in found] == list(range(int(smp))), f"not {smp} CPUs: {found}")
    check(all(state == "online" for _, _, state in found), f"not all online: {found}")
    check(len({apic for _, apic, _ in found}) == int(smp), f"APIC IDs twice: {found}")
    check(f"smp: {smp} of {smp} CPUs online" in guest.boot_text, "the boot log does not count them")
    check(guest.command("echo alive") == "alive", "no answer")


@test("cpus-many", level="matrix", smp=["64", "255", "288"])
def many(t, smp):
    """More CPUs than xAPIC mode has IDs for, or nearly: x2APIC, and MADT entries of type 9."""
    guest = t.boot(smp=smp, cpu="max", mem="1G", timeout=300)
    check(len(online(guest)) == int(smp), f"{len(online(guest))} of {smp} online")


@test("maxcpus")
def maxcpus(t):
    guest = t.boot(smp="4", cmdline="maxcpus=3")
    states = [state for _, _, state in rows(guest)]
    check(states == ["online"] * 3 + ["left out by maxcpus"], f"with maxcpus=3: {states}")


@test("hidden-cpu")
def hidden(t):
    """One CPU does not get its start-up IPI: it is named and left out, the others run."""
    guest = t.boot(smp="4", cmdline="hidecpu=2")
    states = [state for _, _, state in rows(guest)]
    check(states == ["online", "online", "did not answer", "online"], f"with CPU 2 hidden: {states}")
    check(re.search(r"smp: CPU 2, APIC ID 2: did not answer", guest.boot_text), "it is not named")
    check("smp-isolation: ok" in guest.command("selftest smp-isolation"), "the others do not work")


@test("smp-panic", where=["panic", "panic/2"])
def smp_panic(t, where):
    """A panic on one CPU stops the others within its message, and says where each was."""
    guest = t.boot(smp="4", cmdline="panic=exit")
    guest.send(where + "\r")
    status = guest.wait_exit(60)
    check(status == qemu.EXIT_FAILURE, f"status {status}")
    own = 2 if "/" in where else 0
    check(f"cpu {own}, task" in guest.text, "the panic does not name its CPU")
    for cpu in {0, 1, 2, 3} - {own}:
        found = re.search(rf"cpu {cpu}, stopped:\s+--- NMI ---\s+\d+: 0x[0-9a-f]+ <", guest.text)
        check(found, f"no backtrace of CPU {cpu}")


@test("bt-all")
def bt_all(t):
    """Backtraces of all CPUs; and an NMI from outside is told by each."""
    guest = t.boot(smp="3")
    text = guest.command("bt all")
    for cpu in (1, 2):
        check(re.search(rf"cpu {cpu}:\s+0: 0x[0-9a-f]+ <idle_\w+\+", text), f"CPU {cpu} is not idle in\n{text}")
    guest.qmp("inject-nmi")
    for _ in range(3):
        guest.expect(re.compile(r"NMI: cpu \d at 0x[0-9a-f]+ <[^>]+>"))
    guest.send("\r")
    guest.prompt()
    check({f"cpu {n} at" for n in range(3)} <= set(re.findall(r"cpu \d at", guest.command("dmesg"))), "not each CPU is named")


@test("smp-selftest", mode=["x2apic"])
def smp_selftest(t, mode="x2apic"):
    """A million calls, storms, shootdowns, one time: on four CPUs."""
    option = "nox2apic" if mode == "xapic" else ""
    guest = t.start(smp="4", cmdline=f"selftest=smp {option}")
    check(guest.wait_exit(900) == qemu.EXIT_SUCCESS, "a self-test failed")
    check(guest.text.count("smp-") >= 5, "not all tests ran")


@test("smp-selftest-xapic", level="matrix")
def smp_selftest_xapic(t):
    """The same in xAPIC mode, where an IPI is two writes."""
    smp_selftest(t, "xapic")


@test("cpus-idle-by-mwait")
def by_mwait(t):
    """`idle=mwait` where the CPU has it: CPUs sleep and wake up by interrupts, NMIs included; where it has not, that is said."""
    guest = t.boot(smp="2", cpu="max", cmdline="idle=mwait")
    check("cpu: idle by MWAIT" in guest.text, guest.text)
    check("slept 0.5" in guest.command("sleep 0.5"), "a sleep does not end")
    check("smp-moves: ok" in guest.command("selftest smp-moves", timeout=300), "threads do not wake each other")
    check("cpu 1:" in guest.command("bt all"), "CPU 1 does not answer an NMI")
    guest = t.boot(cpu="qemu64,-monitor", cmdline="idle=mwait")
    check("idle=mwait: this CPU has no MWAIT; idle by HLT" in guest.text, guest.text)
