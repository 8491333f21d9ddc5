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
