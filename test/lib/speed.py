"""What a program in ring 3 pays, here and on Linux: programs/speed.c as process 1 of both, in the same machine.

The machine is the same down to the firmware (OVMF); only how the kernel comes into memory differs: our loader reads ours from an
ESP, QEMU hands Debian's bzImage to the firmware (-kernel), which starts it as the EFI program that it is. Under -icount the counter
that the program reads counts instructions, as in bench.py. Nothing of Linux is committed: initramfs.py fetches Debian's package.

From a kernel's entry to the first instruction of /init: a copy of the kernel whose first instructions are replaced by PROBE tells
the counter there, and the program tells the counter at its own first instruction in another run of the same machine. For our kernel
the entry is its ELF entry, where the loader jumps to; for Linux the EFI program's, so that its count has the unpacking of the kernel
in it, as the wait of whoever starts it has; what CLOCK_MONOTONIC says in the program, on Linux the time since timekeeping_init, is
told beside it.

-cpu max has ERMS, which has Linux copy and clear by `rep movsb` and `rep stosb`; QEMU counts an instruction for each byte of them.
The figures without ERMS (and FSRM) stand beside the others for that reason: they are what Linux does where that would not pay.
"""

import re
import statistics
import struct
import subprocess
from pathlib import Path

from lib import build
from lib.elfedit import Elf
from lib.guest import Guest
from tools import cpio, initramfs, mkesp, qemu

SOURCE = Path(__file__).resolve().parents[1] / "programs" / "speed.c"
FLAGS = ["-O2", "-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector", "-fno-pie", "-no-pie", "-mno-sse"]
# The rows of the program: what an operation is.
ROWS = {
    "null": "getppid", "read": "read a byte of /dev/zero", "stat": "stat of a file, three names deep", "open": "open and close it",
    "pipe": "a byte to another process and one back", "fork": "fork, exit, wait", "exec": "fork, exec of this program, exit, wait",
    "fault": "a page of zeroes, brought and given back", "mmap": "mmap 64 pages and munmap them, untouched",
    "mprotect": "mprotect of 64 pages that are there", "signal": "kill to itself, handler, sigreturn",
}
AIM_RATIO, AIM_MEAN, AIM_ENTRY = 1.0, 0.5, 100_000_000
WITHOUT_ERMS = "max,-erms,-fsrm"
LINUX_CMDLINE = "mitigations=off console=ttyS0 quiet"
# QEMU 10 ends itself ("Bad icount read") at a WRMSR to the x2APIC's timer.
NO_X2APIC = "nox2apic"

# The time-stamp counter as 16 letters A to P, lowest digit first, on COM1, and QEMU's exit with status 33.
PROBE = bytes.fromhex(
    "0f31 48c1e220 4809c2 4989d0"  #      rdtsc; shl rdx, 32; or rdx, rax; mov r8, rdx
    "b910000000 66baf803"  #              mov ecx, 16; mov dx, 0x3f8
    "4488c0 240f 0441 ee"  #           1: mov al, r8b; and al, 15; add al, 'A'; out dx, al
    "49c1e804 ffc9 75f0"  #               shr r8, 4; dec ecx; jnz 1b
    "66baf400 b010 ee ebfe"  #            mov dx, 0xf4; mov al, 0x10; out dx, al; jmp .
)


def program(folder):
    """The program's bytes."""
    output = Path(folder) / "speed"
    subprocess.run(["gcc", *FLAGS, "-o", output, SOURCE], check=True, timeout=60)
    return output.read_bytes()


def tree(folder, only=None):
    """The archive that both kernels unpack; with `only`, the program waits for a byte and does that row alone."""
    archive = cpio.Archive()
    for directory in ("data", "data/of", "dev"):
        archive.add(directory, initramfs.DIRECTORY | 0o755, links=2)
    archive.add("data/of/file", initramfs.REGULAR | 0o644, b"contents\n")
    archive.add("init", initramfs.REGULAR | 0o755, program(folder))
    if only:
        archive.add("row", initramfs.REGULAR | 0o644, only.encode())
    return archive.end()


def with_probe_elf(kernel):
    """Our kernel with the probe at its entry."""
    elf = Elf(kernel)
    return bytes(elf.patch(elf.header["e_entry"], PROBE))


def with_probe_pe(image):
    """An EFI program with the probe at its entry (PE format: the optional header's AddressOfEntryPoint, section table)."""
    image = bytearray(image)
    pe = struct.unpack_from("<I", image, 0x3C)[0]
    sections, optional = struct.unpack_from("<H", image, pe + 6)[0], struct.unpack_from("<H", image, pe + 20)[0]
    start = struct.unpack_from("<I", image, pe + 24 + 16)[0]
    for at in range(pe + 24 + optional, pe + 24 + optional + 40 * sections, 40):
        _, address, size, offset = struct.unpack_from("<IIII", image, at + 8)
        if address <= start and start + len(PROBE) <= address + size:
            offset += start - address
            image[offset:offset + len(PROBE)] = PROBE
            return bytes(image)
    raise RuntimeError("the kernel's entry is in none of its sections")


def ours(folder, only=None, kernel=None, **machine):
    """A machine with our kernel and the program, started."""
    image = folder / "esp.img"
    options = "console=tty0 console=ttyS0 loglevel=3 initrd=speed.img" + (f" {NO_X2APIC}" if machine.get("icount") else "")
    mkesp.make_image(image, {"EFI/BOOT/BOOTX64.EFI": build.RELEASE.loader.read_bytes(), "speed.img": tree(folder, only),
                             "kernel.elf": kernel or build.RELEASE.stripped.read_bytes(), "cmdline.txt": (options + "\n").encode()})
    return Guest(qemu.Machine(disk=image, serial=["test"], accel="tcg", **machine), folder)


def linux(folder, only=None, kernel=None, **machine):
    """The same machine with Debian's Linux and the program, started. `kernel` is its bzImage's bytes."""
    bzimage, initrd = folder / "vmlinuz", folder / "speed.img"
    bzimage.write_bytes(kernel or initramfs.linux().read_bytes())
    initrd.write_bytes(tree(folder, only))
    options = LINUX_CMDLINE + (f" {NO_X2APIC}" if machine.get("icount") else "")
    extra = ["-kernel", str(bzimage), "-initrd", str(initrd), "-append", options]
    return Guest(qemu.Machine(serial=["test"], accel="tcg", extra=extra, **machine), folder)


def run(start, folder, **machine):
    """A run of all rows: name to (ticks, nanoseconds) for one operation."""
    guest = start(folder, **machine)
    try:
        guest.expect(re.compile(r"speed: (done|failed.*\n)"), 300)
        text = guest.text
    finally:
        guest.kill()
    rows = {name: (int(ticks) / int(n), int(ns) / int(n)) for name, n, ticks, ns in re.findall(r"speed: row (\S+) (\d+) (\d+) (\d+)", text)}
    if "speed: done" not in text or list(rows) != list(ROWS):
        raise RuntimeError(f"the program failed, or has other rows than expected:\n{text[-2000:]}")
    return rows


def reported(guest):
    """The number with which code that was planted into a kernel ends its machine: sixteen letters, the lowest digit first."""
    try:
        status = guest.wait_exit(300)
    finally:
        guest.kill()
    digits = re.search(r"([A-P]{16})\Z", guest.text)
    if status != qemu.EXIT_SUCCESS or not digits:
        raise RuntimeError(f"what was planted into the kernel did not report (status {status}): {guest.tail(0)!r}")
    return sum((ord(digit) - ord("A")) << (4 * place) for place, digit in enumerate(digits[1]))


def counter_at_entry(start, kernel, folder, **machine):
    """The counter when the kernel is entered."""
    return reported(start(folder, kernel=kernel, **machine))


def entry_to_init(start, kernel, folder, **machine):
    """Ticks from the kernel's entry to the first instruction of /init; and those of them that its clock ran. `kernel`: with PROBE."""
    entered = counter_at_entry(start, kernel, folder, **machine)
    guest = start(folder, only="null", **machine)
    try:
        first, clock = map(int, guest.expect(re.compile(r"speed: first (\d+) (\d+)\s"), 300).groups())
    finally:
        guest.kill()
    return first - entered, clock


def measure(folder, icount, ticks):
    """Everything, as a dictionary; `ticks` is those of one instruction under `icount`. Linux's is None where it cannot be had.

    rows: name to {ours, linux, without_erms: instructions; ours_ns, linux_ns: wall clock, 2 CPUs}
    entry: {ours, linux, linux_clock}: instructions of 4 CPUs with 512 MiB
    """
    image = initramfs.linux()
    rows = {name: dict.fromkeys(("ours", "linux", "without_erms", "ours_ns", "linux_ns")) for name in ROWS}
    entries = dict.fromkeys(("ours", "linux", "linux_clock"))
    counted, timed, many = {"smp": 1, "icount": icount}, {"smp": 2}, {"smp": 4, "icount": icount, "mem": "512M"}
    runs = [("ours", ours, counted, 0), ("ours_ns", ours, timed, 1)]
    if image:
        runs += [("linux", linux, counted, 0), ("without_erms", linux, counted | {"cpu": WITHOUT_ERMS}, 0), ("linux_ns", linux, timed, 1)]
    for column, start, machine, which in runs:
        for name, figures in run(start, folder, **machine).items():
            rows[name][column] = figures[which] if which else figures[which] / ticks
    entries["ours"] = entry_to_init(ours, with_probe_elf(build.RELEASE.stripped.read_bytes()), folder, **many)[0] / ticks
    if image:
        whole, clock = entry_to_init(linux, with_probe_pe(image.read_bytes()), folder, **many)
        entries |= {"linux": whole / ticks, "linux_clock": clock / ticks}
    return {"rows": rows, "entry": entries, "kernel": image.name if image else None}


def mean_ratio(rows, column="linux"):
    """The geometric mean of ours / `column`."""
    return statistics.geometric_mean(row["ours"] / row[column] for row in rows.values())


def table(figures):
    """The table's lines, and whether every aim is met."""
    rows, entries, kernel = figures["rows"], figures["entry"], figures["kernel"]
    lines = [f"{'ring 3: a static program as /init, instructions, 1 CPU':58} {'here':>10} {'Linux':>12} {'ratio':>6} {'no ERMS':>12} {'ratio':>6}"
             f" {'here, ns':>11} {'Linux, ns':>11}"]
    good = True

    def number(value, form=",.0f"):
        return "" if value is None else format(value, form)

    def ratio(here, other):
        return None if other is None else here / other

    for name, row in rows.items():
        to = ratio(row["ours"], row["linux"])
        missed = to is not None and to > AIM_RATIO
        good &= not missed
        lines.append(f"{name + ': ' + ROWS[name]:58} {number(row['ours']):>10} {number(row['linux']):>12} {number(to, '.2f'):>6}"
                     f" {number(row['without_erms']):>12} {number(ratio(row['ours'], row['without_erms']), '.2f'):>6}"
                     f" {number(row['ours_ns']):>11} {number(row['linux_ns']):>11}{'  MISSED' if missed else ''}")
    if kernel:
        mean = mean_ratio(rows)
        good &= mean <= AIM_MEAN
        lines.append(f"{f'geometric mean of the ratios, aim <= {AIM_MEAN}':58} {'':>10} {'':>12} {mean:6.2f} {'':>12}"
                     f" {mean_ratio(rows, 'without_erms'):6.2f}{'' if mean <= AIM_MEAN else '  MISSED'}")
    met = entries["ours"] <= AIM_ENTRY
    good &= met
    lines.append(f"{f'kernel entry to /init, 4 CPUs, aim <= {AIM_ENTRY:,}':58} {number(entries['ours']):>10} {number(entries['linux']):>12}"
                 f" {number(ratio(entries['ours'], entries['linux']), '.4f'):>6}{'' if met else '  MISSED'}")
    if kernel:
        lines += [f"    of Linux's, {number(entries['linux_clock'])} since its clock runs: what is before is mostly its unpacking",
                  f"Linux: Debian's {kernel}, {LINUX_CMDLINE}; no ERMS: with -cpu {WITHOUT_ERMS}; ns: wall clock, 2 CPUs, plain TCG, this machine"]
    else:
        lines.append("Linux cannot be had here: apt-get and dpkg-deb would fetch Debian's linux-image-amd64")
    return lines, good
