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
    # The aim of the whole kernel is 8 MiB, image, tables and all.
    check(left - free <= 8 << 10, f"{left - free} KiB of {left} are gone")
    guest.command("bench heap", timeout=60)
    check(re.search(r"\s64\s+0\s+[1-9]\d*\s+1\s", guest.command("slabs")), "no slab of 64-byte objects, all of them free")
