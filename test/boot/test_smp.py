"""Every CPU: started, listed, counted, stopped."""

import re

from lib.harness import Skip, check, test
from tools import qemu


def rows(guest):
    """The lines of `cpus`: number, APIC ID, state."""
    found = re.findall(r"^\s+(\d+)\s+(\d+)\s+(?:\d+|-)\s+(?:\d+|-)\s+(?:\d+|-)\s+(\S.*)$", guest.command("cpus", timeout=300), re.MULTILINE)
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


@test("cpus-many", level="cpus", allow=lambda row: row["smp"] != "288" or (row["machine"], row["mode"]) == ("q35", "x2apic"),
      smp=["64", "255", "288"], machine=["q35", "pc"], mode=["xapic", "x2apic"])
def many(t, smp, machine, mode):
    """As many CPUs as xAPIC mode has IDs for, and more: x2APIC, and MADT entries of type 9. All of them answer."""
    if mode == "x2apic" and qemu.qemu_version() < (9,):
        raise Skip("QEMU has no x2APIC mode under TCG before version 9")
    # Until they are started they are in the firmware's loop, by MWAIT if they have it; and QEMU's MWAIT is a PAUSE where there
    # are several CPUs. So each would keep a thread of the host busy, and the one that boots would hardly get on.
    guest = t.boot(smp=smp, machine=machine, cpu="max,-monitor", mem="1G", timeout=1500, cmdline="nox2apic" if mode == "xapic" else "")
    found = rows(guest)
    check([number for number, _, _ in found] == list(range(int(smp))), f"not {smp} CPUs: {found}")
    check(all(state == "online" for _, _, state in found), f"not all online: {found}")
    check(len({apic for _, apic, _ in found}) == int(smp), f"APIC IDs twice: {found}")
    check(f"TSC alike on {smp} CPUs" in guest.boot_text, "the boot log has no word on their counters")
    check("smp-isolation: ok" in guest.command("selftest smp-isolation", timeout=900), "not all of them answer a call")


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
    """100,000 calls, storms, shootdowns, one time: on four CPUs."""
    option = "nox2apic" if mode == "xapic" else ""
    guest = t.start(smp="4", cmdline=f"selftest=smp {option}")
    check(guest.wait_exit(900) == qemu.EXIT_SUCCESS, "a self-test failed")
    check(guest.text.count("smp-") >= 5, "not all tests ran")


@test("smp-selftest-xapic", level="matrix")
def smp_selftest_xapic(t):
    """The same in xAPIC mode, where an IPI is two writes."""
    smp_selftest(t, "xapic")


@test("smp-calls-long", level="matrix", mode=["x2apic", "xapic"])
def smp_calls_long(t, mode):
    """A million calls to other CPUs."""
    guest = t.start(smp="4", cmdline=f"selftest=long-calls {'nox2apic' if mode == 'xapic' else ''}")
    check(guest.wait_exit(900) == qemu.EXIT_SUCCESS, "a self-test failed")


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


def qemu_forgets(guest):
    """Under TCG an INIT clears the MTRRs, which on hardware it leaves alone."""
    return guest.machine.accel == "tcg"


@test("tsc-alike", smp=["2", "4"], cpu=["qemu64", "max"], clock=["TSC", "HPET"])
def tsc_alike(t, smp, cpu, clock):
    """The boot log says that the CPUs' counters and cache types are alike; whoever does not use the TSC does not care."""
    guest = t.boot(smp=smp, cpu=cpu, cmdline="notsc" if clock == "HPET" else "")
    alike = re.search(rf"clock: TSC alike on {smp} CPUs, within \d+ ns", guest.boot_text)
    check(bool(alike) == (clock == "TSC"), f"{alike and alike[0]}, where the clock is the {clock}")
    check(re.search(rf"smp: MTRRs alike on {smp} CPUs, \d+ ranges", guest.boot_text), "no word on the MTRRs")
    check("cached otherwise" not in guest.boot_text, "a CPU is accused")
    if qemu_forgets(guest):
        others = "CPU 1" if smp == "2" else f"CPUs 1 to {int(smp) - 1}"
        check(re.search(rf"smp: {others}: MTRRs set as the boot CPU's: IA32_MTRR_DEF_TYPE 0x0, the boot CPU's 0x\w+", guest.boot_text),
              "those that INIT has made forget are not named")


@test("tsc-skewed", ns=["1000000000", "-1000000000"], hpet=["on", "off"])
def tsc_skewed(t, ns, hpet):
    """One CPU's counter seems to be off by a second: it is named, and another counter is the clock, on all CPUs."""
    guest = t.boot(smp="3", cmdline=f"tscskew=2:{ns}", machine=f"q35,hpet={hpet}")
    way = "behind" if ns.startswith("-") else "ahead"
    found = re.search(rf"smp: CPU 2: its TSC is {way} by (\d+) ns or more", guest.boot_text)
    check(found and 500_000_000 < int(found[1]) <= 1_010_000_000, f"not named, or not by how much: {found and found[0]}")
    check("CPU 1: its TSC" not in guest.boot_text, "another one is accused as well")
    by = "HPET, 64 bits: TSC differs between CPUs" if hpet == "on" else "PM timer, 24 bits: TSC differs between CPUs, HPET absent"
    check(f"clock: {by}" in guest.boot_text, "no other clock")
    check(f"{by.split(',')[0]}, the clock" in guest.command("clocks 1", timeout=60), "that is not the clock")
    check("smp-handover: ok" in guest.command("selftest smp-handover", timeout=200), "time is not one")
    slept = re.search(r"slept (\d+\.\d+) s", guest.command("sleep 0.5", timeout=60))
    check(slept and 0.5 <= float(slept[1]) < 10, f"slept {slept and slept[1]} s")


@test("tsc-skewed-bad")
def tsc_skewed_bad(t):
    guest = t.boot(smp="2", cmdline="tscskew=two")
    check("tscskew=two: not a CPU's number, a colon and nanoseconds" in guest.boot_text, "a bad value is not told of")
    check("TSC alike on 2 CPUs" in guest.boot_text, "it has had an effect")
