"""The machine matrix: from power-on to a prompt that answers, on every machine that this kernel promises to boot on."""

from lib.build import BY_NAME
from lib.harness import check, test


def answers(guest):
    """The prompt is alive: echo and help do what they say, and the screen's size is a plausible one."""
    check(guest.command("echo hello") == "hello", f"echo hello printed {guest.tail(0)!r}")
    listed = guest.command("help")
    for name in ("help", "echo", "dmesg", "bootinfo", "memmap", "fault", "panic", "selftest", "reboot"):
        check(any(line.split()[:1] == [name] for line in listed.splitlines()), f"help does not list {name}:\n{listed}")


MACHINES = {
    "machine": ["q35", "pc"],
    "cpu": ["qemu64", "max", "Haswell-noTSX", "EPYC"],
    "mem": ["128M", "512M", "3G", "5G"],
    "disk": ["virtio", "ahci", "usb"],
    "firmware": ["4m", "2m"],
}


def boots(t, outputs, machine, cpu, mem, disk, firmware):
    guest = t.boot(outputs=outputs, machine=machine, cpu=cpu, mem=mem, disk_bus=disk, firmware=firmware, smp=2)
    answers(guest)


@test("prompt", **MACHINES)
def prompt(t, **machine):
    boots(t, t.outputs, **machine)


@test("prompt", level="matrix", **MACHINES, build=["debug"])
def prompt_debug(t, build, **machine):
    boots(t, BY_NAME[build], **machine)


@test("debug-build", build=["debug"])
def debug_build(t, build):
    """The build with all checks on reaches the prompt and passes its own tests."""
    guest = t.boot(outputs=BY_NAME[build])
    answers(guest)
    guest.command("selftest", timeout=300)
