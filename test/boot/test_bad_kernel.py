"""A kernel.elf that is missing, cut off or full of lies: the loader says which file and why, and gives up cleanly.

Many bad kernels fit into one run: each lies on an ESP of its own, and firmware that gets an error back from one
boot disk goes on to the next. So every run also shows that the loader's return to the firmware works.
"""

import re

from lib.build import RELEASE
from lib.elfedit import EHDR_SIZE, PF_R, PF_W, PF_X, PHDR_SIZE, Elf
from lib.harness import check, test

HUGE = 0xFFFF_FFFF_FFFF_F000


def kernel():
    return Elf.load(RELEASE.stripped)


def cut(length):
    """A kernel.elf that ends after `length` bytes."""
    return bytes(kernel().truncate(length))


def header(**fields):
    return bytes(kernel().set(**fields))


def segment(which, **fields):
    """A kernel with fields of one loadable segment changed; `which` counts the loadable ones."""
    elf = kernel()
    return bytes(elf.set_segment(elf.loads[which]["index"], **fields))


def code_segment():
    return next(seg for seg in kernel().loads if seg["p_flags"] & PF_X)


def data_segment():
    """A writable segment with bytes of the file and zeroes behind them."""
    return next(seg for seg in kernel().loads if seg["p_flags"] & PF_W)


def bad_kernels():
    """{name: (kernel.elf or None, what the reason must say)}."""
    elf = kernel()
    loads, count = elf.loads, elf.header["e_phnum"]
    table, first, last = elf.header["e_phoff"], loads[0], max(elf.loads, key=lambda seg: seg["p_offset"] + seg["p_filesz"])
    table_end = table + count * PHDR_SIZE
    code, data = code_segment(), data_segment()
    cut_off = r"reach.? past the end of the file"
    return {
        "missing": (None, r"EFI_NOT_FOUND"),
        "empty": (b"", r"empty"),
        "cut-before-header-end": (cut(EHDR_SIZE - 1), r"too short"),
        "cut-after-header": (cut(EHDR_SIZE), cut_off),
        "cut-in-table": (cut(table + PHDR_SIZE + 7), cut_off),
        "cut-before-table-end": (cut(table_end - 1), cut_off),
        "cut-after-table": (cut(table_end), cut_off),
        "cut-in-first-segment": (cut(first["p_offset"] + first["p_filesz"] // 2), cut_off),
        "cut-in-last-segment": (cut(last["p_offset"] + last["p_filesz"] - 1), cut_off),
        "magic": (b"\x7fELG" + cut(1 << 30)[4:], r"not an ELF file"),
        "text-file": (b"root=/dev/vda\n" * 100, r"not an ELF file"),
        "elf32": (header(e_class=1), r"64-bit"),
        "big-endian": (header(e_data=2), r"little-endian"),
        "machine": (header(e_machine=183), r"x86-64"),
        "shared-object": (header(e_type=3), r"e_type 3"),
        "phentsize": (header(e_phentsize=PHDR_SIZE + 8), r"program headers of 64 bytes"),
        "phnum-0": (header(e_phnum=0), r"no program headers"),
        "phnum-65535": (header(e_phnum=65535), r"65535 program headers"),
        "phoff-wraps": (header(e_phoff=HUGE), cut_off),
        "memsz-huge": (segment(-1, p_memsz=1 << 45), r"image 0x[0-9a-f]+ bytes long|outside|wraps"),
        "memsz-wraps": (segment(0, p_memsz=HUGE), r"wraps around"),
        "filesz-above-memsz": (segment(0, p_memsz=loads[0]["p_filesz"] - 1), r"p_filesz 0x[0-9a-f]+ is above p_memsz"),
        "offset-wraps": (segment(0, p_offset=HUGE), cut_off),
        "overlap": (segment(1, p_vaddr=loads[0]["p_vaddr"]), r"overlap"),
        "align-3": (segment(0, p_align=3), r"p_align 0x3"),
        "misaligned": (segment(0, p_offset=loads[0]["p_offset"] + 16), r"differ modulo"),
        "writable-code": (segment(0, p_flags=PF_R | PF_W | PF_X), r"both writable and executable"),
        "no-segment": (b"".join([cut(table), bytes(table_end - table), cut(1 << 30)[table_end:]]), r"no loadable segment"),
        "entry-outside": (header(e_entry=code["p_vaddr"] - 0x1000), r"entry point"),
        "entry-in-data": (header(e_entry=data["p_vaddr"]), r"entry point"),
        "below-the-window": (segment(0, p_vaddr=0x10_0000), r"outside the kernel's window"),
    }


BAD = None


def groups(size=8):
    global BAD
    BAD = BAD or bad_kernels()
    names = list(BAD)
    return [names[at:at + size] for at in range(0, len(names), size)]


@test("bad-kernel", group=[0, 1, 2, 3])
def bad_kernel(t, group):
    """Eight bad kernels on eight disks: one error line each, in order, and back to the firmware every time."""
    all_groups = groups()
    check(len(all_groups) == 4, f"there are {len(all_groups)} groups of bad kernels, and 4 tests")
    names = all_groups[group]
    disks = [t.image({"kernel.elf": BAD[name][0]}, name=f"{name}.img") for name in names]
    extra = []
    for number, disk in enumerate(disks[1:], 1):
        path = str(disk).replace(",", ",,")
        extra += ["-drive", f"if=none,id=bad{number},format=raw,snapshot=on,file={path}"]
        extra += ["-device", f"virtio-blk-pci,drive=bad{number},bootindex={number}"]
    guest = t.start(disk=disks[0], extra=extra)
    for name in names:
        error = guest.expect(re.compile(r"loader: error: ([^\r\n]*)\r?\n"), timeout=60)[1]
        check(error.startswith("\\kernel.elf: "), f"{name}: the file is not named first: {error!r}")
        check(re.search(BAD[name][1], error), f"{name}: {error!r} does not say {BAD[name][1]!r}")
        guest.expect("any key")
        guest.send(" ")
        guest.expect(re.compile(r"loader: returning to the firmware\r?\n"))
    # Nothing is left to boot: the firmware itself must still be there to say so.
    guest.expect(re.compile("BdsDxe|UEFI|Shell|No bootable|Press any key|Boot Manager"), timeout=60)


@test("return-without-key")
def return_without_key(t):
    """Nobody at the keyboard: after 10 s the loader goes back to the firmware by itself."""
    import time

    guest = t.start({"kernel.elf": b""})
    guest.expect("any key", timeout=60)
    asked = time.monotonic()
    guest.expect(re.compile(r"loader: returning to the firmware\r?\n"), timeout=40)
    check(time.monotonic() - asked > 5, "the loader did not wait for a key")
    guest.expect(re.compile("BdsDxe|UEFI|Shell|No bootable|Boot Manager"), timeout=60)


@test("unstripped-kernel")
def unstripped(t):
    """build/kernel.elf with all its symbols boots as it is."""
    guest = t.boot({"kernel.elf": RELEASE.kernel.read_bytes()})
    check(guest.command("echo whole") == "whole", "no answer")
