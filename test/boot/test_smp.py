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
