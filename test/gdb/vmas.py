"""`sis vmas PID`: what a process may use of its addresses, and how much of it is there; and its memory, for other commands.

All of it is read through the process's own page tables, by physical address: CR3 may have another's.

Source: src/mm/vma/tree/mod.rs, src/mm/vma/area.rs, src/fs/mapped.rs; `/proc/PID/maps` shows the same.
"""

from dataclasses import dataclass

import gdb

import files
import machine
import paging
import processes
import rust
import threads

READ, WRITE, EXEC = 1, 2, 4  # Prot
SHARED, GROWS_DOWN = 1, 2  # Flags
PAGE = 4096


@dataclass
class Area:
    """A range of addresses."""

    start: int
    end: int
    prot: int
    flags: int
    offset: int
    name: str

    def line(self):
        """As in `/proc/PID/maps`, without device and inode."""
        rights = "".join(letter if self.prot & bit else "-" for bit, letter in ((READ, "r"), (WRITE, "w"), (EXEC, "x")))
        return f"{self.start:08x}-{self.end:08x} {rights}{'s' if self.flags & SHARED else 'p'} {self.offset:08x}"


def areas(memory):
    """All of them, by address."""
    space = machine.find_struct(processes.space_of(memory)["lock"]["data"]["value"], ("tree", "brk_start"))
    heap = int(space["brk_start"]), int(space["brk_end"])
    found = []
    for node, attributes in zip(rust.elements(space["tree"]["nodes"]), rust.elements(space["tree"]["attrs"])):
        attributes = rust.some(attributes)
        if attributes is None:
            continue
        area = Area(int(node["start"]), int(node["end"]), threads.plain(attributes["prot"]), threads.plain(attributes["flags"]), 0, "")
        kind, backing = rust.variant(attributes["backing"])
        if kind == "Object":
            area.offset = int(backing["offset"])
            what, shown = rust.variant(backing["object"])
            # A trait object of which there is one kind: the holder of an open file.
            area.name = files.path_of(rust.counted(rust.at(rust.address(shown["object"]["pointer"]["pointer"]), "sis::fs::mapped::Holder")["file"])) if what == "File" else "[shared memory]"
        elif area.flags & GROWS_DOWN:
            area.name = "[stack]"
        elif heap[0] < heap[1] and area.start < heap[1] and area.end > heap[0]:
            area.name = "[heap]"
        found.append(area)
    return sorted(found, key=lambda area: area.start)


def present(root):
    """The addresses of the pages that are there, by the page tables from `root` on; the lower half."""
    def visit(table, level, base):
        for index, entry in enumerate(memoryview(machine.physical(table, PAGE)).cast("Q")):
            if not entry & paging.PRESENT or level == 4 and index >= 256:
                continue
            virt = base + index * paging.page_size(level)
            if paging.is_leaf(level, entry):
                yield from range(virt, virt + paging.page_size(level), PAGE)
            else:
                yield from visit(paging.target(level, entry), level - 1, virt)

    yield from visit(root, 4, 0)


def read(root, address, length):
    """Bytes of a program's memory, as many as are there from `address` on."""
    data = b""
    while len(data) < length:
        found = paging.translate(address + len(data), root) if address + len(data) < 1 << 47 else None
        if found is None:
            break
        inside = PAGE - (address + len(data)) % PAGE
        data += machine.physical(found[0], min(inside, length - len(data)))
    return data


def follows_call(root, address):
    """Whether the instruction before an address can be a call: E8 and four bytes, or FF /2, of two to seven bytes (SDM vol. 2, CALL)."""
    code = read(root, address - 7, 7)
    return len(code) == 7 and (code[2] == 0xE8 or any(code[n] == 0xFF and code[n + 1] >> 3 & 7 == 2 for n in range(6)))


def root_of(memory):
    """Physical address of the top page table."""
    return int(processes.space_of(memory)["root"])


class Vmas(gdb.Command):
    """Show what a process has mapped, and how many pages of each are there: sis vmas PID."""

    def __init__(self):
        super().__init__("sis vmas", gdb.COMMAND_DATA)

    def invoke(self, argument, _from_tty):
        memory = processes.of(argument, "sis vmas PID").memory()
        if memory is None:
            machine.fail("it has no memory any more: it has ended")
        pages = sorted(present(root_of(memory)))
        for area in areas(memory):
            there = sum(area.start <= page < area.end for page in pages)
            print(f"{area.line()} {there:6} of {(area.end - area.start) // PAGE:<6} pages  {area.name}".rstrip())


Vmas()
