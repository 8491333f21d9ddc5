"""What every `sis` command stands on: the halted machine's registers and memory, and the kernel's own types.

gdb reads memory by virtual address, through whatever page tables are in CR3. Page tables, and everything before the
kernel has its own, must be read by physical address: QEMU's stub has a switch for that, which `physical` turns on
for one read. Structure layouts come from the kernel's DWARF, so that nothing here repeats an offset from src/.

Source: QEMU, docs/system/gdb.rst ("Advanced debugging options": PhyMemMode).
"""

import contextlib
import os
import pathlib
import re
import sys

import gdb

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "test"))
from lib.elfedit import Elf  # noqa: E402

CR0_PG, CR4_LA57, EFER_LMA = 1 << 31, 1 << 12, 1 << 10


def fail(text):
    """One clear line instead of a result."""
    raise gdb.GdbError(text)


def attached():
    """Complains unless there is a halted machine to look at."""
    if gdb.selected_thread() is None:
        fail("no machine is attached: start with `make gdb`, or `target remote` the stub of a QEMU")


def virtual(address, length):
    """Memory as the CPU would read it now."""
    try:
        return gdb.selected_inferior().read_memory(address, length).tobytes()
    except gdb.MemoryError:
        fail(f"nothing is mapped at {address:#018x} now")


def physical(address, length):
    """Memory by physical address. What is no memory reads as zeros."""
    gdb.execute("maintenance packet Qqemu.PhyMemMode:1", to_string=True)
    try:
        return gdb.selected_inferior().read_memory(address, length).tobytes()
    except gdb.MemoryError:
        return bytes(length)
    finally:
        gdb.execute("maintenance packet Qqemu.PhyMemMode:0", to_string=True)


def number(data, at=0, size=8):
    """A little-endian number inside `data`."""
    return int.from_bytes(data[at:at + size], "little")


def evaluate(text):
    """A symbol's address, by the name that the linker knows, or else the value of an expression; unsigned."""
    at = linked(text.strip())
    if at is not None:
        return at
    try:
        value = gdb.parse_and_eval(text)
        value = value.address if value.type.strip_typedefs().code == gdb.TYPE_CODE_FUNC else value
        return int(value) & (1 << 64) - 1
    except gdb.error as error:
        fail(f"{text}: {error}")


def register(name):
    """A register of the selected CPU, whichever frame is selected."""
    return int(gdb.newest_frame().read_register(name)) & (1 << 64) - 1


def table_register(name):
    """(base, limit) of "GDT" or "IDT", which gdb itself does not know; QEMU's monitor does."""
    cpu = gdb.selected_thread().ptid[1] - 1
    text = gdb.execute("monitor info registers -a", to_string=True)
    mine = re.search(rf"CPU#{cpu}\b(.*?)(?=CPU#\d|\Z)", text, re.DOTALL)
    found = mine and re.search(rf"^{name}=\s*([0-9a-f]+) ([0-9a-f]+)", mine[1], re.MULTILINE)
    if not found:
        fail(f"QEMU's monitor does not show {name}")
    return int(found[1], 16), int(found[2], 16)


def long_mode():
    """Complains unless the CPU is in long mode."""
    attached()
    if not register("efer") & EFER_LMA:
        fail("the CPU is not in long mode yet: the firmware has not come that far")


def symbol_at(address):
    """` <name+3>` for an address inside a symbol, else nothing."""
    text = gdb.execute(f"info symbol {address:#x}", to_string=True)
    found = re.match(r"(\S+(?: \+ \d+)?) in section", text)
    return f" <{found[1].replace(' ', '')}>" if found else ""


class Kernel(Elf):
    """kernel.elf, for what gdb does not tell: symbols without a type, and the bytes in the file."""

    _loaded = (None, None)

    @classmethod
    def current(cls):
        """The program that gdb has loaded."""
        name = gdb.current_progspace().filename
        if not name:
            fail("gdb has no program: file build/kernel.elf")
        key = name, os.stat(name).st_mtime_ns
        if cls._loaded[0] != key:
            cls._loaded = key, cls.load(name)
            cls._loaded[1].by_name = {symbol: value for symbol, value, _, _ in cls._loaded[1].symbols()}
        return cls._loaded[1]

    def bytes_at(self, address, length):
        """What the file holds for a linked address."""
        for seg in self.loads:
            at = address - seg["p_vaddr"]
            if 0 <= at and at + length <= seg["p_filesz"]:
                return bytes(self.data[seg["p_offset"] + at:seg["p_offset"] + at + length])
        fail(f"kernel.elf has no bytes for {address:#x}")


def linked(name):
    """Linked address of an assembly or linker symbol; None if the program has none of that name."""
    return Kernel.current().by_name.get(name)


@contextlib.contextmanager
def language(name):
    """gdb's expressions and names in one language, whatever the code that the CPU is in."""
    before = gdb.parameter("language")
    gdb.execute(f"set language {name}", to_string=True)
    try:
        yield
    finally:
        gdb.execute(f"set language {before}", to_string=True)


def static(name):
    """A `static` of the kernel, by its path, as a gdb.Value that has not been read yet."""
    with language("rust"):
        symbol = gdb.lookup_global_symbol(name) or gdb.lookup_static_symbol(name)
    if symbol is None:
        fail(f"the program has no {name}: is this a kernel.elf with debug information?")
    return symbol.value()


def kernel_type(name):
    """A type of the kernel, by its path."""
    try:
        with language("rust"):
            return gdb.lookup_type(name)
    except gdb.error:
        fail(f"the program has no type {name}: is this a kernel.elf with debug information?")


def find_struct(value, fields):
    """The structure with these fields inside `value`: through locks, cells and other wrappers."""
    kind = value.type.strip_typedefs()
    if kind.code != gdb.TYPE_CODE_STRUCT:
        return None
    names = [field.name for field in kind.fields()]
    if set(fields) <= set(names):
        return value
    inner = (find_struct(value[name], fields) for name in names if name)
    return next((found for found in inner if found is not None), None)
