"""PCI: what the monitor finds, and an interrupt from a device's pin to its handler on each kind of wiring."""

import re

from lib.harness import check, test

OPTIONS = {"apic": "", "noapic": "noapic", "nolapic": "nolapic"}
# Where QEMU's test device is: in slots of the root bus, or behind a bridge, in a slot that turns the pin.
PLACES = {
    "slot5": ["-device", "edu,addr=5"],
    "slot10": ["-device", "edu,addr=0xa"],
    "bridge": ["-device", "pci-bridge,id=far,chassis_nr=1,addr=7", "-device", "edu,bus=far,addr=3"],
    "bridges": ["-device", "pci-bridge,id=near,chassis_nr=1,addr=8", "-device", "pci-bridge,id=far,bus=near,chassis_nr=2,addr=6",
                "-device", "edu,bus=far,addr=2"],
    "express": ["-device", "pcie-root-port,id=near,chassis=1,addr=9", "-device", "pcie-pci-bridge,id=far,bus=near",
                "-device", "edu,bus=far,addr=5"],
    "dmi": ["-device", "i82801b11-bridge,id=far,addr=0x1e", "-device", "edu,bus=far,addr=2"],
}
ON_Q35 = ("express", "dmi")
# PCI's own rule for the device above: the pin's number on the root bus, and the slot that it is in there.
ROOT = {"slot5": (5, 0), "slot10": (10, 0), "bridge": (7, 3), "bridges": (8, (2 + 6) % 4), "express": (9, (5 + 0) % 4), "dmi": (30, 2)}


def expected(machine, how, place):
    """What the board does with it, by QEMU's models of the boards: hw/i386/pc_piix.c and hw/isa/lpc_ich9.c."""
    slot, pin = ROOT[place]
    if machine == "pc":
        return r"ISA line (?:10|11) by PIRQ" + "ABCD"[(slot + pin - 1) % 4]
    link = pin if slot == 30 else (slot + pin) % 4
    way = rf"GSI {20 + link}" if how == "apic" else r"ISA line (?:10|11)"
    return rf"{way} by PIRQ{'EFGH'[link]}"


def allowed(row):
    return row["machine"] == "q35" or row["place"] not in ON_Q35


@test("pci-intx", allow=allowed, machine=["q35", "pc"], how=list(OPTIONS), place=list(PLACES))
def intx(t, machine, how, place):
    """A hundred interrupts arrive, each once, on a line with two handlers, and where the board's wiring has them."""
    guest = t.boot(machine=machine, cmdline=OPTIONS[how], extra=PLACES[place])
    report = guest.command("selftest pci-intx", timeout=120)
    check("pci-intx: ok" in report, report)
    wanted = expected(machine, how, place)
    check(re.search(rf"INTA -> {wanted}\b", report), f"not by {wanted}:\n{report}")
    table = guest.command("irq")
    row = re.search(r"^\s*\d+\s+(\d+)\s+(.*edu, edu's neighbour.*)$", table, re.MULTILINE)
    check(row and int(row[1]) == 100, f"not a hundred on a shared line:\n{table}")
    check("unexpected 0," in table, f"unexpected interrupts:\n{table}")
    # Handlers stay, and a second run finds the line quiet.
    check("pci-intx: ok" in guest.command("selftest pci-intx", timeout=120), "the second time it fails")


@test("pci-intx-skip")
def skipped(t):
    """Without the device the test says what it lacks, and a run of all tests is a success."""
    guest = t.boot()
    check("skipped: no such device" in guest.command("selftest pci-intx"), "it does not say so")


@test("pci-list", machine=["q35", "pc", "q35,acpi=off"])
def listing(t, machine):
    """`pci` shows the functions that QEMU says there are, those behind bridges included, and one line for each pin."""
    extra = ["-device", "pci-bridge,id=far,chassis_nr=1,addr=7", "-device", "edu,bus=far,addr=3"]
    guest = t.boot(machine=machine, extra=extra)
    listed = guest.command("pci")
    found = re.findall(r"^  (\w{4}):(\w\w):(\w\w)\.(\d)  (\w{4}):(\w{4})  class (\w{4})", listed, re.MULTILINE)
    wanted = []

    def collect(devices):
        for device in devices:
            code = device["class_info"]["class"]
            wanted.append((0, device["bus"], device["slot"], device["function"], device["id"]["vendor"], device["id"]["device"], code))
            collect(device.get("pci_bridge", {}).get("devices", []))

    for bus in guest.qmp("query-pci"):
        collect(bus["devices"])
    seen = [(int(a, 16), int(b, 16), int(c, 16), int(d), *(int(x, 16) for x in rest)) for a, b, c, d, *rest in found]
    check(seen == sorted(wanted), f"QEMU has {sorted(wanted)}, listed are\n{listed}")
    if machine == "pc":
        check(re.search(r"00:01\.3 .*\n +INTA -> ISA line 9 by the chip", listed), f"the PIIX4's SCI is elsewhere:\n{listed}")
    check("nobody knows" not in listed, f"a pin leads nowhere:\n{listed}")
    ecam = "ECAM of segment 0, buses 00 to ff: the memory map reserves it" in guest.command("dmesg")
    check(ecam == (machine == "q35"), f"ECAM {'is' if ecam else 'is not'} in use")
