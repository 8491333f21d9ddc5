"""ACPI: the tables as the monitor shows them, and turning the machine off."""

import re

from lib.harness import check, test

OPTIONS = {"apic": "", "noapic": "noapic", "nolapic": "nolapic"}


def sci_count(guest):
    """How often the SCI came."""
    table = guest.command("irq")
    row = re.search(r"^\s*\d+\s+(\d+)\s+ACPI", table, re.MULTILINE)
    check(row, f"the SCI has no row in\n{table}")
    check("unexpected 0," in table, f"unexpected interrupts:\n{table}")
    return int(row[1])


@test("power-button", machine=["q35", "pc"], cpu=["qemu64", "max"], how=list(OPTIONS), busy=["idle", "prints", "sleeps"])
def power_button(t, machine, cpu, how, busy):
    """The button raises the SCI, on whichever chip, and the machine says so and goes off: at the prompt, out of the
    middle of printing, and out of a long wait."""
    guest = t.boot(machine=machine, cpu=cpu, cmdline=OPTIONS[how])
    check("power: power button by the SCI, interrupt 9" in guest.command("dmesg"), "the log does not name the SCI")
    check(sci_count(guest) == 0, "SCIs without a button")
    if busy == "prints":
        guest.send("maps\r" * 20)
        guest.expect("direct map")
    elif busy == "sleeps":
        guest.send("sleep 1000\r")
        guest.expect("\n")
    guest.qmp("system_powerdown")
    guest.expect(re.compile(r"power: the power button was pressed: turning off"), timeout=60)
    status = guest.wait_exit()
    check(guest.shutdown_reason() == "guest-shutdown", f"QMP's reason is {guest.shutdown_reason()}")
    check(status == 0, f"QEMU's status is {status}")
    check("panic" not in guest.text, "a panic on the way")


@test("power-button-twice", how=list(OPTIONS))
def power_button_twice(t, how):
    """Impatient presses change nothing: one line, one end."""
    guest = t.boot(cmdline=OPTIONS[how])
    for _ in range(20):
        guest._send("qmp", b'{"execute": "system_powerdown"}\n')
    guest.wait_exit()
    check(guest.shutdown_reason() == "guest-shutdown", f"QMP's reason is {guest.shutdown_reason()}")
    check(guest.text.count("power: the power button was pressed") == 1, "not one line")


@test("power-button-none", how=["acpi=off", "control"])
def power_button_none(t, how):
    """Without ACPI there is no SCI; where nobody presses, none comes in however long a wait."""
    guest = t.boot(machine="q35,acpi=off" if how == "acpi=off" else "q35")
    if how == "acpi=off":
        check("  ACPI" not in guest.command("irq"), "an SCI without ACPI")
        guest.qmp("system_powerdown")
        check(guest.command("echo alive") == "alive", "no answer after a button that is not there")
    else:
        guest.command("sleep 5", timeout=60)
        check(sci_count(guest) == 0, "SCIs in an idle machine")


@test("poweroff", machine=["q35", "pc"])
def poweroff(t, machine):
    """S5, and not a reset: QEMU's status is 0 for both, so QMP's reason tells them apart."""
    guest = t.boot(machine=machine)
    guest.send("poweroff\r")
    status = guest.wait_exit()
    check(guest.shutdown_reason() == "guest-shutdown", f"QMP's reason is {guest.shutdown_reason()}")
    check(status == 0, f"QEMU's status is {status}")


@test("poweroff-without-acpi")
def poweroff_without_acpi(t):
    """No FADT (OVMF makes a root pointer and a table of its own all the same): the command says so and returns; a
    reset works without."""
    guest = t.boot(machine="q35,acpi=off")
    check("no method" in guest.command("poweroff"), "poweroff does not say that there is no method")
    check("FACP" not in guest.command("acpi"), "there is a FADT")
    guest.send("reboot\r")
    guest.wait_exit()
    check(guest.shutdown_reason() == "guest-reset", f"QMP's reason is {guest.shutdown_reason()}")


@test("acpi-tables", machine=["q35", "pc"])
def tables(t, machine):
    """The machine that QEMU was asked for is the one in the tables."""
    guest = t.boot(machine=machine, smp=3)
    names = [line.split()[0] for line in guest.command("acpi").splitlines()]
    wanted = {"FACP", "APIC", "HPET", "DSDT"} | ({"MCFG"} if machine == "q35" else set())
    check(wanted <= set(names), f"of {wanted} only {names}")
    madt = guest.command("acpi MADT")
    check(madt.lower().count("local apic ") >= 3, f"three processors are not in\n{madt}")
    check("0xfed00000" in guest.command("acpi HPET"), "the HPET is elsewhere")
    check("S5" in guest.command("acpi DSDT"), "the DSDT has no S5")
    check("unknown" in guest.command("acpi NONE"), "a table that is not there")
