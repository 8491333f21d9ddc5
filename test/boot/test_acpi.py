"""ACPI: the tables as the monitor shows them, and turning the machine off."""

from lib.harness import check, test


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
