"""The files of programs, for a backtrace: found on this machine, checked against what is in memory, and given to gdb.

A file is taken if its ELF header and its segments are those that the process has in memory. Stripped or not makes no
difference there, so the file may be one with symbols of what runs without.

Source: System V gABI chapters 4 and 5 (ELF header, program header).
"""

import os
import pathlib

import gdb

import files
import machine
import rust
import vmas

LOAD = 1
PLACES = ["bin", "sbin", "usr/bin", "usr/sbin"]


def header(data):
    """(what two files of one program have alike, [(offset, address) of each segment, in pages]); None if it is no ELF file's."""
    if data[:5] != b"\x7fELF\x02":
        return None
    at, size, count = machine.number(data, 32), machine.number(data, 54, 2), machine.number(data, 56, 2)
    rows = [data[at + n * size:at + (n + 1) * size] for n in range(count)]
    loads = [(machine.number(row, 8) & -vmas.PAGE, machine.number(row, 16) & -vmas.PAGE) for row in rows if machine.number(row, 0, 4) == LOAD]
    return (data[:40], rows), loads


def of_file(path):
    """The same of a file on this machine."""
    try:
        with open(path, "rb") as file:
            return header(file.read(vmas.PAGE))
    except OSError:
        return None


def candidates(name):
    """Where the file may be that the program has as `name`."""
    root = gdb.parameter("sysroot")
    if root and os.path.isdir(root):
        yield pathlib.Path(root, name.lstrip("/"))
    for place in PLACES:
        yield from sorted((machine.ROOT / "build" / "packages").glob(f"*/{place}/*"))


class Loaded:
    """What a process shows of ELF files: in `with`, gdb knows those that were found here."""

    def __init__(self, areas=(), root=None, executable=None, file=None):
        self.areas, self.biases, self.found, self.added = areas, {}, {}, []
        for area in areas:
            there = area.name.startswith("/") and area.offset == 0 and header(vmas.read(root, area.start, vmas.PAGE))
            if there:
                same, loads = there
                self.biases[area.name] = area.start - next((address for offset, address in loads if offset == 0), area.start)
                self.found[area.name] = self.search(area.name, same, file if area.name == executable else None)

    @staticmethod
    def search(name, same, file):
        if file is not None:
            there = of_file(file)
            return file if there and there[0] == same else machine.fail(f"{file} is not the program {name} that runs there")
        return next((path for path in candidates(name) if (of_file(path) or [None])[0] == same), None)

    def __enter__(self):
        confirms = gdb.parameter("confirm")
        gdb.execute("set confirm off", to_string=True)
        for name, path in self.found.items():
            if path is not None:
                gdb.execute(f"add-symbol-file {path} -o {self.biases[name]:#x}", to_string=True)
                self.added.append(next(area.start for area in self.areas if area.name == name and area.prot & vmas.EXEC))
        gdb.execute(f"set confirm {'on' if confirms else 'off'}", to_string=True)
        return self

    def __exit__(self, *_):
        while self.added:
            gdb.execute(f"remove-symbol-file -a {self.added.pop():#x}", to_string=True)

    def area(self, address):
        return next((area for area in self.areas if area.start <= address < area.end), None)

    def knows(self, address):
        """Whether gdb has the file of what is there."""
        area = self.area(address)
        return area is not None and self.found.get(area.name) is not None

    def is_code(self, address):
        area = self.area(address)
        return area is not None and bool(area.prot & vmas.EXEC)

    def place(self, address):
        """Of what file code is, and where in it, as its own symbols count."""
        name = self.area(address).name
        return f"{name} at {address - self.biases[name]:#x}" if name in self.biases else name


NONE = Loaded()


def loaded(memory, root, file):
    """What a process shows. `file` is its program, if somebody knows."""
    running = rust.some(rust.part(memory["executable"]))
    name = files.path_of(rust.counted(rust.counted(running))) if running is not None else None
    return Loaded(vmas.areas(memory), root, name, file)
