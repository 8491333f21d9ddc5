"""Memory management on the live machine: the kernel's own tests of it, with little RAM and with much."""

import re

from lib import build
from lib.harness import check, test

SIZES = ["128M qemu64", "512M max", "3G max", "5G qemu64", "16G max"]


@test("mm", size=SIZES)
def self_tests(t, size):
    """`selftest=mm` ends with success: blocks, heap, page ranges, refusals, exhaustion; no frame is lost."""
    mem, cpu = size.split()
    # More than QEMU would like to reserve; the tests touch 256 MiB of it at most.
    guest = t.start(cmdline="selftest=mm", mem=mem, cpu=cpu)
    status = guest.wait_exit(150)
    check(status == 33, f"status {status}")
    names = re.findall(r"selftest: (mm-[\w-]+): ok", guest.text)
    check(len(names) >= 12, f"only these ran: {names}")


@test("mm-debug")
def with_checks(t):
    """The same in a debug build, whose heap has red zones and poison; `leaks` names who has memory."""
    guest = t.boot(outputs=build.DEBUG)
    output = guest.command("selftest mm", timeout=300)
    check("FAILED" not in output and output.count(": ok (") >= 12, output)
    check("does not remember" not in guest.command("leaks"), "this is no debug build")
    for kind, words in (("overflow", "heap overflow: byte 40 of"), ("double-free", "double free of"), ("use-after-free", "use after free: byte 3 of")):
        output = guest.command(f"misuse {kind}")
        check(words in output and "misuse::" in output, f"misuse {kind} is reported as:\n{output}")
    check("FAILED" not in guest.command("selftest mm-heap", timeout=120), "the heap has suffered")


@test("mm-displays")
def displays(t):
    """What `free`, `slabs` and `memmap` say fits together."""
    guest = t.boot(mem="128M")
    numbers = re.search(r"(\d+) KiB to be given out, (\d+) KiB of it free", guest.command("free"))
    check(numbers, "`free` has another form")
    managed, free = int(numbers[1]), int(numbers[2])
    firmware = guest.command("memmap")
    # The sums stand below the regions.
    left = sum(int(re.findall(rf"(\d+) KiB  {kind}$", firmware, re.MULTILINE)[-1]) for kind in ("usable", "boot services"))
    check(managed <= left, f"{managed} KiB are given out, of {left}")
    # The kernel's own, owner by owner, is what it has to be, to the last page; of the whole image, tables and all, at most 8 MiB.
    own = [int(kib) for kib in re.findall(r"^ *(\d+) KiB {4}\S", firmware, re.MULTILINE)]
    total = re.search(r"(\d+) KiB  in use, of (\d+) KiB that the firmware leaves; (\d+) KiB are free; (-?\d+) KiB are missing", firmware)
    check(total, f"`memmap` has no sum:\n{firmware}")
    used, all_left, all_free, missing = map(int, total.groups())
    kinds = ("usable", "boot services", "kernel image", "page tables", "boot info", "initrd", "AP trampoline")
    by_kind = sum(int(found[-1]) for kind in kinds if (found := re.findall(rf"(\d+) KiB  {kind}$", firmware, re.MULTILINE)))
    check(all_left == by_kind and missing == 0 and sum(own) == used == all_left - all_free, f"the sums do not fit:\n{firmware}")
    check(used <= 8 << 10, f"{used} KiB of {all_left} are the kernel's own")
    image = [int(kib) for kib in re.findall(r"^ *(\d+) KiB {6}\S", firmware, re.MULTILINE)]
    check(len(image) == 6 and sum(image) == int(re.search(r"(\d+) KiB    kernel image", firmware)[1]), f"the image's parts are not the image:\n{firmware}")
    guest.command("bench heap", timeout=60)
    check(re.search(r"\s64\s+\d+\s+[1-9]\d*\s+1\s", guest.command("slabs")), "no slab of 64-byte objects, some of them free")


@test("mm-refused", nth=[3, 40])
@test("mm-refused", level="matrix", nth=[1, 2, 5, 7, 11, 17, 29, 71, 173, 499, 2003])
def refused(t, nth):
    """With each n-th request for memory refused the tests of it may fail, but the kernel answers, and has all memory back."""
    guest = t.boot(mem="128M", cmdline=f"console=ttyS0 failalloc={nth}")

    def free():
        return int(re.search(r"KiB to be given out, (\d+) KiB of it free", guest.command("free"))[1])

    # Once for what is kept after its first use.
    names = ("heap", "ranges", "blocks", "exhaustion", "demand-zero", "changes", "copy-on-write", "stacks", "fork")
    for name in names:
        guest.command(f"selftest mm-{name}", timeout=120)
    before = free()
    verdicts = [guest.command(f"selftest mm-{name}", timeout=120) for name in names]
    check(any("FAILED" in verdict for verdict in verdicts), "nothing was refused")
    check(not any("frames were free" in verdict for verdict in verdicts), f"frames are lost: {verdicts}")
    check(free() == before, f"{before} KiB were free, {free()} are")
    check("echoed" in guest.command("echo echoed"), "the monitor does not answer")
