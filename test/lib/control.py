"""The control run: one script under this kernel and under Debian's Linux, on the same machine, and what differs.

The script is the work of /init in the same initramfs, byte for byte. Linux is started by QEMU's -kernel, through the same
firmware, which saves it a boot loader and a disk; all else on the command line is the same (tools/qemu.py), and so is the
date that the clock begins at. What a script prints comes over the serial line between two marks.

What Linux printed is kept in build/control, under a name made of all that it depends on: so it is booted once for each
machine and script, not once a run. Used by boot/test_control.py.
"""

import difflib
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from lib import build
from lib.guest import Failure, Guest, plain
from lib.harness import Skip
from tools import initramfs, qemu

PROGRAMS = Path(__file__).resolve().parents[1] / "programs"
BEGIN, END = "@@ begin", re.compile(r"@@ end (\d+)")
# Both clocks begin here, so that no year nor month comes between two runs.
CLOCK = ["-rtc", "base=2025-06-01T12:00:00"]
TIMEOUT = 400

INIT = """#!/bin/sh
# What this kernel does by itself, Linux leaves to the first process, and to udev.
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root TERM=vt100
cd /
if [ ! -e /proc/self ]; then
    mount -t devtmpfs -o mode=755 devtmpfs /dev
    mkdir /dev/pts /dev/shm
    mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
    mount -t tmpfs -o mode=1777 tmpfs /dev/shm
    mount -t proc proc /proc
    mount -t tmpfs -o mode=1777 tmpfs /tmp
    ln -s /proc/self/fd /dev/fd
    for n in 0:stdin 1:stdout 2:stderr; do ln -s /proc/self/fd/${n%:*} /dev/${n#*:}; done
    chgrp tty /dev/tty /dev/ptmx
fi
exec <>/dev/console >&0 2>&1
hostname sis
stty rows 25 cols 200
dmesg -n 1
echo '@@ begin'
PROGRAM
echo "@@ end $?"
# Linux panics when this ends, and that is no part of the comparison.
while :; do sleep 1000; done
"""


def image(script, runner):
    """The initramfs that has this script as its work. Skips where there are no programs."""
    busybox, bash = initramfs.programs()
    if busybox is None or bash is None:
        raise Skip("no static busybox and bash here, and none to be fetched")
    files = {"init": (INIT.replace("PROGRAM", f"{runner} /{script}").encode(), 0o755)}
    files[script] = ((PROGRAMS / script).read_bytes(), 0o755)
    return initramfs.make(busybox, bash, files)


def output(guest):
    """What the script printed, once it is through."""
    guest.expect(BEGIN, timeout=180)
    start = guest.at
    try:
        end = guest.expect(END, timeout=TIMEOUT)
    except Failure as failure:
        parts = re.findall(r"^== (.*)$", plain(guest.text[start:]), re.MULTILINE)
        raise Failure(f"in part {parts[-1] if parts else 'none'}: {failure}") from None
    return plain(guest.text[start:end.start()]).lstrip("\n")


def on_linux(t, archive, machine):
    """The script's output under Linux. `machine` has the fields of the machine that this kernel has."""
    linux = initramfs.linux()
    if linux is None:
        raise Skip("no Linux to compare with here, and none to be fetched (Debian: linux-image-amd64)")
    ramdisk = t.directory / "control.cpio"
    ramdisk.write_bytes(archive)
    # Mitigations cost a software CPU most of its time, and are nothing that these programs see.
    line = "console=ttyS0,115200 quiet loglevel=0 mitigations=off panic=-1"
    fields = t.machine(**machine)
    fields.extra = [*fields.extra, *CLOCK, "-kernel", str(linux), "-initrd", str(ramdisk), "-append", line]
    words = " ".join(qemu.command(fields)).replace(str(ramdisk), "")
    name = hashlib.sha256(archive + linux.read_bytes() + f"{words} {qemu.qemu_version()}".encode()).hexdigest()[:24]
    kept = build.BUILD / "control" / name
    if not kept.exists():
        guest = Guest(fields, t.directory, len(t.guests))
        t.guests.append(guest)
        text = output(guest)
        guest.kill()
        kept.parent.mkdir(exist_ok=True)
        new = kept.with_suffix(f".{t.directory.name}")
        new.write_text(text, encoding="utf-8")
        new.rename(kept)
    ramdisk.unlink()
    return kept.read_text(encoding="utf-8")


def on_ours(t, archive, machine):
    """The same under this kernel."""
    guest = t.start({"initramfs.img": archive}, cmdline="console=ttyS0,115200 loglevel=0 initrd=initramfs.img",
                    extra=CLOCK, **machine)
    return output(guest)


@dataclass
class Rule:
    """Something that must differ: what `pattern` finds in a part becomes a tilde on both sides, or goes, if it is whole
    lines: those may be there or not."""

    part: str
    pattern: re.Pattern
    why: str


def rules(name):
    """The committed list for a script. Each rule is a line `PART | REGEX | REASON`; # begins a comment."""
    found = []
    for number, line in enumerate((PROGRAMS / name).read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = [field.strip() for field in line.split(" | ")]
        if len(fields) != 3 or not all(fields):
            raise ValueError(f"{name}:{number}: PART | REGEX | REASON is meant: {line!r}")
        found.append(Rule(fields[0], re.compile(fields[1], re.MULTILINE), fields[2]))
    return found


def parts(text):
    """The output by its headers "== NAME", in their order."""
    pieces = re.split(r"^== (.*)\n", text, flags=re.MULTILINE)
    found = {}
    for name, body in zip(pieces[1::2], pieces[2::2]):
        if name in found:
            raise Failure(f"two parts are called {name}")
        found[name] = body
    return found


def masked(part, body, listed):
    """A part without what must differ; and which rules found something."""
    used = set()
    for rule in listed:
        if rule.part in (part, "*"):
            body, count = rule.pattern.subn("" if rule.pattern.pattern.endswith(r"\n") else "~", body)
            if count:
                used.add(id(rule))
    return body, used


def differences(ours, theirs, listed):
    """For each part that differs a text that shows how; and the rules that found nothing on either side."""
    mine, linux = parts(ours), parts(theirs)
    told, used = [], set()
    for name in [*linux, *(name for name in mine if name not in linux)]:
        if name not in mine or name not in linux:
            told.append(f"{name}: is not there {'on Linux' if name in mine else 'here'}")
            continue
        (here, one), (there, two) = masked(name, mine[name], listed), masked(name, linux[name], listed)
        used |= one | two
        if here != there:
            lines = difflib.unified_diff(there.splitlines(), here.splitlines(), "Linux", "here", lineterm="", n=1)
            told.append(f"{name}:\n" + "\n".join(f"    {line}" for line in list(lines)[2:]))
    # Whole lines that may be there or not need not be.
    idle = [rule for rule in listed if id(rule) not in used and not rule.pattern.pattern.endswith(r"\n")]
    return told, idle
