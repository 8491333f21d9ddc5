"""The vDSO on the machine: process 1 is a program that reads the clock without and with a system call, in turn."""

import re
import subprocess
from pathlib import Path

from lib.harness import check, test
from tools import cpio

SOURCE = Path(__file__).resolve().parent.parent / "programs" / "vdso.c"
FLAGS = ["-O1", "-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector", "-fno-pie", "-no-pie", "-mno-sse"]


def program(folder):
    """Process 1 in an archive."""
    output = Path(folder) / "init"
    subprocess.run(["gcc", *FLAGS, "-o", output, SOURCE], check=True, timeout=60)
    return cpio.archive(cpio.entry("init", 0o100755, output.read_bytes()))


@test("vdso", machine=["q35", "pc"], smp=[1, 4], clock=["tsc", "other"])
def without_a_call(t, machine, smp, clock):
    """Time goes forward only, whichever way it is asked for; nothing of it can be written. Where the clock is not the TSC every
    read is a call, and right all the same."""
    options = "initrd=vdso.img" + (" notsc" if clock == "other" else "")
    guest = t.boot({"vdso.img": program(t.directory)}, machine=machine, smp=smp, cmdline=options)
    said = guest.boot_text
    check("wrong" not in re.sub(r"done, 0 wrong", "", said), "\n".join(line for line in said.splitlines() if "wrong" in line))
    check("vdso: done, 0 wrong" in said, f"it did not come to its end:\n{said[-2000:]}")
    # By RDTSCP, where the CPU has it.
    has = re.search(r"^\s*has:\s*(.*)$", guest.command("cpu"), re.MULTILINE)[1].split()
    check(f"vdso: getcpu on {smp} CPUs, by way {int('rdtscp' in has)}" in said, said[-2000:])
    check(len(re.findall(r"vdso: clock [01] read 40000 times", said)) == 2, said[-2000:])
