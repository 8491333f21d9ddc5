"""Scripts that print under this kernel what they print under Debian's Linux: test/lib/control.py says how."""

import re
import subprocess

from lib import control
from lib.harness import check, test
from tools import initramfs

MACHINES = {"cpu": ["qemu64", "max"], "machine": ["q35", "pc"], "smp": [1, 2, 4, 8]}
# Each takes half a minute: so a few machines in each run, which are others for the other script, and all in the matrix.
FOR_APPLETS = [("qemu64", "q35", 1), ("qemu64", "pc", 2), ("max", "pc", 4), ("max", "q35", 8)]
FOR_BASH = [("max", "pc", 1), ("max", "q35", 2), ("qemu64", "q35", 4), ("qemu64", "pc", 8)]


def of(machines, inside=True):
    """Lets these machines through, or all others."""
    return lambda row: ((row["cpu"], row["machine"], row["smp"]) in machines) == inside


def compare(t, script, runner, **machine):
    """The parts of the script's output; fails where the two kernels differ."""
    archive = control.image(script, runner)
    theirs = control.on_linux(t, archive, machine)
    ours = control.on_ours(t, archive, machine)
    (t.directory / "linux.txt").write_text(theirs, encoding="utf-8")
    (t.directory / "here.txt").write_text(ours, encoding="utf-8")
    listed = control.rules(script.replace(".sh", ".differs.txt"))
    told, idle = control.differences(ours, theirs, listed)
    check(not told, f"{len(told)} parts differ from Linux:\n" + "\n".join(told))
    check(not idle, "nothing to take out any more: " + ", ".join(f"{rule.part} | {rule.pattern.pattern}" for rule in idle))
    return control.parts(ours)


@test("applets", allow=of(FOR_APPLETS), **MACHINES)
@test("applets-more", level="matrix", allow=of(FOR_APPLETS, False), **MACHINES)
def applets(t, cpu, machine, smp):
    found = compare(t, "applets.sh", "/bin/sh", cpu=cpu, machine=machine, smp=smp)
    busybox, _ = initramfs.programs()
    known = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    # A part counts if the applet is one, its own commands name it, it was there to be run, and what it said was compared.
    text = control.parts(re.sub(r"^s (\S+)$", r"== \1", (control.PROGRAMS / "applets.sh").read_text(), flags=re.MULTILINE))
    hidden = {rule.part for rule in control.rules("applets.differs.txt") if rule.pattern.pattern == r"(.*\n)+"}
    ran = {name for name, body in found.items()
           if name in known and name not in hidden and body.strip() and re.search(rf"(^|[^\w-]){re.escape(name)}(\s|$|;)", text[name], re.MULTILINE)
           and not re.search(rf"^(.*: )?{re.escape(name)}: (applet )?not found", body, re.MULTILINE)}
    check(len(ran) >= 150, f"{len(ran)} applets were run")


@test("bash", allow=of(FOR_BASH), **MACHINES)
@test("bash-more", level="matrix", allow=of(FOR_BASH, False), **MACHINES)
def bash(t, cpu, machine, smp):
    found = compare(t, "bash.sh", "/bin/bash", cpu=cpu, machine=machine, smp=smp)
    check(len(found) >= 20, f"{len(found)} parts")
