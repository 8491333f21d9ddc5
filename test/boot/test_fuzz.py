"""`make fuzz`: random damage where an attacker could do it, on the real machine. Reproducible: each round has a seed.

The host tests feed the same parsers millions of inputs; these rounds are about what is around the parsers: memory
that the loader allocates, copies and gives back, and the way from a refusal to the firmware.
"""

import random
import re

from lib.build import RELEASE
from lib.elfedit import EHDR_SIZE, Elf
from lib.harness import check, test

ROUNDS = list(range(40))
DISKS = 8


def damaged(dice):
    """A kernel.elf with a few bytes of its headers changed, or a piece of it missing."""
    elf = Elf.load(RELEASE.stripped)
    kind = dice.randrange(4)
    headers = elf.header["e_phoff"] + elf.header["e_phnum"] * 56
    if kind == 0:
        return bytes(elf.truncate(dice.randrange(len(elf.data))))
    for _ in range(dice.randrange(1, 5)):
        at = dice.randrange(headers) if kind < 3 else dice.randrange(EHDR_SIZE, headers)
        elf.data[at] = dice.choice([0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)])
    return bytes(elf)


@test("fuzz-kernel-elf", level="fuzz", seed=ROUNDS)
def kernel_elf(t, seed):
    """Every damaged kernel is refused by name, or boots: never a hang, a reset or a triple fault on the way."""
    dice = random.Random(seed)
    disks = [t.image({"kernel.elf": damaged(dice)}, cmdline="panic=exit", name=f"{number}.img") for number in range(DISKS)]
    extra = []
    for number, disk in enumerate(disks[1:], 1):
        extra += ["-drive", f"if=none,id=bad{number},format=raw,snapshot=on,file={str(disk).replace(',', ',,')}"]
        extra += ["-device", f"virtio-blk-pci,drive=bad{number},bootindex={number}"]
    guest = t.start(disk=disks[0], extra=extra)
    for _ in disks:
        found = guest.expect(re.compile(r"loader: error: ([^\r\n]*)\r?\n|\n(?:\x1b\[[0-9;]*[A-Za-z]|\r)*sis> |panic: "), timeout=60)
        if found[1] is None:
            t.tolerate_end(guest)  # what it does from here on is the kernel's own affair
            return
        check(found[1].startswith("\\kernel.elf: "), f"the file is not named: {found[1]!r}")
        guest.expect("any key")
        guest.send(" ")


@test("fuzz-cmdline", level="fuzz", seed=ROUNDS)
def cmdline(t, seed):
    """Any bytes in cmdline.txt boot to a prompt, unless they ask for something else."""
    dice = random.Random(seed)
    words = ["console=", "ttyS0", "tty0", "video=", "800x600", "loglevel=", "\"", "=", " ", "\t", "--", "initrd", "x" * 300, "\u00e9", "\u20ac"]
    kinds = [
        lambda: dice.randbytes(dice.randrange(70000)),
        lambda: "".join(dice.choice(words) for _ in range(dice.randrange(2000))).replace("initrd=", "").encode(),
        lambda: "".join(dice.choice(words) for _ in range(50)).replace("initrd=", "").encode("utf-16"),
    ]
    # The serial line must stay a console, or there is nothing to wait for.
    content = dice.choice(kinds)() + b" console=ttyS0"
    guest = t.boot({"cmdline.txt": content})
    check(guest.command("echo alive") == "alive", "no answer")


@test("fuzz-monitor", level="fuzz", seed=ROUNDS)
def monitor(t, seed):
    """Keys at random, then the line is given up: the monitor always answers afterwards."""
    dice = random.Random(seed)
    guest = t.boot()
    harmless = ["help", "echo", "dmesg", "bootinfo", "memmap", "cpu", "regs", "gdt", "idt", "pt", "maps", "x", "x/9b", "sym", "bt", "fault"]
    for number in range(30):
        keys = bytearray()
        for _ in range(dice.randrange(40)):
            keys += dice.choice([b"\x1b[A", b"\x1b[D", b"\x1b", b"\t", b"\x01", b"\x05", b"\x0b", b"\x15", b"\x17", b"\x0c", b"\x7f", dice.randbytes(1)])
        # Without Enter, which could run anything, and without ^C, which is to come last. A list of candidates for
        # Tab ends in a prompt as well.
        guest.send(bytes(keys).translate(None, b"\r\n\x03"))
        guest.send("\x03")
        guest.expect("^C\r\n")
        guest.expect("sis> ")
        line = f"{dice.choice(harmless)} {dice.choice(['', '0', '0x', '-1', hex(dice.getrandbits(64)), 'kernel_main', 'idt+', '9' * 30])}"
        output = guest.command(line)
        check("panic: " not in output, f"{line!r} panics:\n{output}")
        check(guest.command(f"echo {number}") == str(number), f"no answer after {line!r}")
