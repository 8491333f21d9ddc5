"""Random numbers: from the CPU's own generator at once, and without one as soon as somebody needs them."""

import re

from lib.harness import check, test


@test("random", cpu=["max", "qemu64"])
def ready_and_said_once(t, cpu):
    """RDSEED makes it ready during the boot; where there is none, jitter does when it is asked for."""
    guest = t.boot(cpu=cpu)
    if cpu == "max":
        check("random: ready: 256 bits from RDSEED" in guest.boot_text, guest.boot_text)
    else:
        check("random: not ready: this CPU has no generator" in guest.boot_text, guest.boot_text)
    answer = guest.command("selftest random", timeout=60)
    check("random: ok" in answer, answer)
    said = re.findall(r"random: ready: .*", guest.command("dmesg"))
    check(len(said) == 1, f"it is said once that it is ready: {said}")
    check(cpu == "max" or said[0].endswith(("by jitter", "by interrupts")), said[0])
