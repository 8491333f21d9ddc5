#!/usr/bin/env python3
"""Makes the .dump files beside this script: the ACPI tables that a virtual machine's firmware leaves in memory.

Starts each machine of MACHINES without a disk, waits until its firmware has nothing left to try, finds the RSDP in
guest memory through the QEMU monitor, and follows it to every table. `src/acpi/dumps.rs` reads the files.

A dump is a run of records, each a physical address (8 bytes), a length (4 bytes), both little-endian, and the bytes.
The first record is the RSDP. In each file stand: RSDP, RSDT, XSDT, what those list, the FACS and the DSDT.
`q35-288` needs QEMU 9 or newer.

    dump.py                  all machines of QEMU, into this folder
    dump.py NAME…            only these
    dump.py --image F NAME   out of file F, the memory of another machine from address 0 on
    dump.py --unpack F DIR   the tables of dump F as files in a folder, for `iasl -d`

`bochs.dump` came by --image from Bochs 2.7 with its own BIOS, one processor model "ryzen" with two cores, an i440FX, and
a debugger that stops where the BIOS begins to boot: `lb 0xfe6f2`, `c`, `writemem "F" 0 0x1ffff00`.
"""

import os
import re
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
OVMF = ["-bios", "/usr/share/ovmf/OVMF.fd"]
# The same project's larger build, which keeps code and variables apart.
OVMF_4M = ["-drive", "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd",
           "-drive", "if=pflash,format=raw,snapshot=on,file=/usr/share/OVMF/OVMF_VARS_4M.fd"]
NUMA = ["-m", "256", "-smp", "4", "-object", "memory-backend-ram,id=a,size=128M", "-object",
        "memory-backend-ram,id=b,size=128M", "-numa", "node,nodeid=0,memdev=a,cpus=0-1",
        "-numa", "node,nodeid=1,memdev=b,cpus=2-3", "-numa", "dist,src=0,dst=1,val=21"]
MICROVM = ["-M", "microvm,acpi=on,rtc=off", "-bios", "/usr/share/qemu/bios-microvm.bin", "-m", "128"]
MACHINES = {
    **{f"{machine}-{cpus}": ["-M", machine, "-m", "128", "-smp", str(cpus)]
       for machine in ("pc", "q35") for cpus in (1, 4, 64)},
    **{f"{machine}-ovmf": ["-M", machine, "-m", "128", "-smp", "4", *OVMF] for machine in ("pc", "q35")},
    "q35-ovmf-4m": ["-M", "q35", "-m", "128", "-smp", "4", *OVMF_4M],
    # Beyond what a local APIC entry's 8 bits can name: x2APIC entries.
    "q35-288": ["-M", "q35", "-cpu", "max", "-m", "256", "-smp", "288"],
    "q35-numa": ["-M", "q35", *NUMA],
    "pc-nohpet": ["-M", "pc,hpet=off", "-m", "128"],
    "microvm": MICROVM,
}


class Monitor:
    """QEMU's human monitor on its standard input and output."""

    def __init__(self, arguments):
        command = [os.environ.get("QEMU", "qemu-system-x86_64"), "-accel", "tcg,thread=single", "-nodefaults",
                   "-display", "none", "-net", "none", "-monitor", "stdio", *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._answer()

    def _answer(self):
        text = b""
        while not text.endswith(b"(qemu) "):
            piece = os.read(self.process.stdout.fileno(), 65536)
            if not piece:
                raise SystemExit("QEMU ended: " + text.decode(errors="replace"))
            text += piece
        return text.decode(errors="replace")

    def ask(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        return self._answer()

    def memory(self, address, size):
        with tempfile.TemporaryDirectory() as folder:
            self.ask(f'pmemsave {address:#x} {size:#x} "{folder}/m"')
            return Path(folder, "m").read_bytes()

    def end(self):
        self.process.kill()
        self.process.wait()


def ram_size(monitor):
    """Bytes of RAM below the hole, by the memory tree."""
    tops = re.findall(r"^\s+0*([0-9a-f]+)-0*([0-9a-f]+) .*alias (?:ram-below-4g|microvm.ram)", monitor.ask("info mtree"), re.M)
    return max((int(end, 16) for _, end in tops), default=(128 << 20) - 1) + 1


def rsdp_of(ram, wants_xsdt):
    """Where a root pointer with a right checksum stands. OVMF has two in memory: QEMU's, which it takes apart, and
    its own, the only one with an XSDT, at no multiple of 16."""
    for match in re.finditer(rb"RSD PTR ", ram):
        at = match.start()
        if at % 4 == 0 and sum(ram[at:at + 20]) % 256 == 0 and (ram[at + 15] >= 2 or not wants_xsdt):
            return at
    return None


def tables(ram, rsdp):
    """[(address, bytes)] of everything that the root pointer leads to."""
    revision = ram[rsdp + 15]
    records = [(rsdp, ram[rsdp:rsdp + (36 if revision >= 2 else 20)])]
    seen = set()

    def take(address, minimum=36):
        length = struct.unpack_from("<I", ram, address + 4)[0] if 0 < address < len(ram) - 8 else 0
        if address in seen or length < minimum:
            return None
        seen.add(address)
        records.append((address, ram[address:address + length]))
        return records[-1][1]

    roots = [(struct.unpack_from("<I", ram, rsdp + 16)[0], "<I")]
    if revision >= 2:
        roots.append((struct.unpack_from("<Q", ram, rsdp + 24)[0], "<Q"))
    for address, form in roots:
        root = take(address)
        for (entry,) in struct.iter_unpack(form, root[36:]) if root else ():
            table = take(entry)
            if table and table[:4] == b"FACP":
                take(struct.unpack_from("<I", table, 36)[0], 24)
                take(struct.unpack_from("<I", table, 40)[0])
                if len(table) >= 148:
                    take(struct.unpack_from("<Q", table, 132)[0], 24)
                    take(struct.unpack_from("<Q", table, 140)[0])
    return records


def write(name, found):
    data = b"".join(struct.pack("<QI", at, len(raw)) + raw for at, raw in found)
    (HERE / f"{name}.dump").write_bytes(data)
    names = " ".join(raw[:4].decode() for _, raw in found)
    print(f"{name}: {len(found)} tables, {len(data)} bytes: {names}", flush=True)


def dump(name):
    """Two looks a second until two of them show the same tables: the firmware writes them early, then only reads."""
    monitor = Monitor(MACHINES[name])
    last, deadline = None, time.monotonic() + 240
    try:
        while time.monotonic() < deadline:
            time.sleep(2)
            ram = monitor.memory(0, ram_size(monitor))
            rsdp = rsdp_of(ram, "ovmf" in name)
            found = tables(ram, rsdp) if rsdp is not None else None
            if found and len(found) > 3 and found == last:
                return write(name, found)
            last = found
        raise SystemExit(f"{name}: no ACPI tables after four minutes")
    finally:
        monitor.end()


def unpack(path, folder):
    data, at = Path(path).read_bytes(), 0
    while at < len(data):
        address, length = struct.unpack_from("<QI", data, at)
        raw = data[at + 12:at + 12 + length]
        Path(folder, f"{raw[:4].decode().strip()}-{address:x}.dat").write_bytes(raw)
        at += 12 + length


if __name__ == "__main__":
    if sys.argv[1:2] == ["--unpack"]:
        unpack(*sys.argv[2:4])
    elif sys.argv[1:2] == ["--image"]:
        memory = Path(sys.argv[2]).read_bytes()
        write(sys.argv[3], tables(memory, rsdp_of(memory, False)))
    else:
        for each in sys.argv[1:] or MACHINES:
            dump(each)
