"""`sis pt ADDR` and `sis maps`: the page tables in CR3, read by physical address.

The same walk as src/arch/x86_64/paging/walk.rs and the same lines as the monitor's `pt` and `maps`, but from
outside: it works on the firmware's tables as well, and on tables that the kernel could not survive.

Source: Intel SDM vol. 3 §4.5 (4-level and 5-level paging), §4.6.1 (how permissions combine over the levels).
"""

import re

import gdb

import machine

NAMES = {5: "PML5", 4: "PML4", 3: "PDPT", 2: "PD", 1: "PT"}
PRESENT, WRITE, USER, PWT, PCD, ACCESSED, DIRTY, LARGE, GLOBAL = (1 << bit for bit in range(9))
NO_EXECUTE = 1 << 63
ADDRESS = 0x000F_FFFF_FFFF_F000


def page_size(level):
    return 1 << 12 + 9 * (level - 1)


def is_leaf(level, entry):
    return level == 1 or bool(entry & LARGE and level <= 3)


def target(level, entry):
    """The table or page that an entry names. In a large page bit 12 is a cache type bit."""
    address = entry & ADDRESS
    return address & ~(page_size(level) - 1) if level > 1 and is_leaf(level, entry) else address


def flags_text(flags):
    """As the monitor shows them."""
    letters = [(PRESENT, "R"), (WRITE, "W"), (NO_EXECUTE, "X"), (USER, "U")]
    text = "".join(c if bool(flags & bit) != (bit == NO_EXECUTE) else "-" for bit, c in letters)
    unusual = [(GLOBAL, " G"), (PWT, " PWT"), (PCD, " PCD"), (ACCESSED, " A"), (DIRTY, " D")]
    return text + "".join(name for bit, name in unusual if flags & bit)


def combine(path, entry):
    """Permissions after one more level: WRITE and USER where all have them, NO_EXECUTE where any has."""
    every, some = WRITE | USER, NO_EXECUTE
    low = entry & (0x1FF | NO_EXECUTE)
    return (path & low & every) | ((path | low) & some) | (low & ~every & ~some)


def root():
    """(levels, physical address of the top table); complains where there is no such thing."""
    machine.attached()
    if not machine.register("cr0") & machine.CR0_PG:
        machine.fail("paging is off: the CPU uses physical addresses, and CR3 names no table yet")
    machine.long_mode()
    levels = 5 if machine.register("cr4") & machine.CR4_LA57 else 4
    return levels, machine.register("cr3") & ADDRESS


def walk(virt, top=None):
    """(level, table, index, entry) from the top down to a leaf or to the first entry that is not present.

    From CR3 on, or from the top table `top` of another address space."""
    level, table = root()
    table = table if top is None else top
    while True:
        index = virt >> 12 + 9 * (level - 1) & 511
        entry = machine.number(machine.physical(table + 8 * index, 8))
        yield level, table, index, entry
        if not entry & PRESENT or is_leaf(level, entry):
            return
        level, table = level - 1, target(level, entry)


def translate(virt, top=None):
    """(physical address, flags of the whole path), or None. By CR3, or by the top table `top`."""
    flags = WRITE | USER
    for level, _, _, entry in walk(virt, top):
        flags = combine(flags, entry)
    if not entry & PRESENT:
        return None
    return target(level, entry) + (virt & page_size(level) - 1), flags


def is_canonical(virt, levels):
    return virt >> 9 * levels + 11 in (0, (1 << 53 - 9 * levels) - 1)


def runs():
    """(virt, length, phys, flags, smallest level, largest level) of each run that is contiguous and of one kind."""
    levels, top = root()
    current = None

    def visit(table, level, base, path):
        nonlocal current
        entries = memoryview(machine.physical(table, 4096)).cast("Q")
        for index, entry in enumerate(entries):
            if not entry & PRESENT:
                continue
            virt = base + index * page_size(level)
            if level == levels and index >= 256:  # the sign comes back into the upper half
                virt += (1 << 64) - (1 << 12 + 9 * levels)
            flags = combine(path, entry)
            if not is_leaf(level, entry):
                yield from visit(target(level, entry), level - 1, virt, flags)
                continue
            flags &= ~(ACCESSED | DIRTY | LARGE)
            phys, size = target(level, entry), page_size(level)
            if current and (current[0] + current[1], current[2] + current[1], current[3]) == (virt, phys, flags):
                current[1] += size
                current[4], current[5] = min(current[4], level), max(current[5], level)
            else:
                if current:
                    yield tuple(current)
                current = [virt, size, phys, flags, level, level]

    yield from visit(top, levels, 0, WRITE | USER)
    if current:
        yield tuple(current)


def regions():
    """(start, name), descending: the image by the linker's symbols, the rest by src/boot/layout.rs."""
    found = []
    layout = machine.ROOT / "src" / "boot" / "layout.rs"
    if layout.exists():
        bases = re.findall(r"^/// (.*?)[.;,:]?\n(?:///.*\n)*pub const (\w+)_BASE: u64 = (0x[0-9A-Fa-f_]+);", layout.read_text(), re.MULTILINE)
        found += [(int(value, 16), name.lower().replace("_", " ")) for _, name, value in bases]
    for name in ("text", "rodata", "data", "ksyms"):
        start = machine.linked(f"__{name}_start")
        if start is not None:
            found.append((start, f"kernel {name}"))
    return sorted(found, reverse=True)


class PageTable(gdb.Command):
    """Show how an address is translated: sis pt ADDR.

Each level's table, index and entry, read by physical address from CR3 on. ADDR is any expression."""

    def __init__(self):
        super().__init__("sis pt", gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument, _from_tty):
        if not argument:
            machine.fail("usage: sis pt ADDR")
        virt = machine.evaluate(argument)
        levels, _ = root()
        if not is_canonical(virt, levels):
            print(f"  {virt:#018x} is not canonical: bits 63 to {9 * levels + 11} are not all alike")
            return
        for level, table, index, entry in walk(virt):
            line = f"  {NAMES[level]:4} at {table:#012x} [{index:3}] = {entry:#018x}  "
            if not entry & PRESENT:
                print(line + "not present")
            else:
                kind = "page" if is_leaf(level, entry) else "table"
                print(line + f"{kind} {target(level, entry):#012x} {flags_text(entry)}")
        found = translate(virt)
        print(f"  {virt:#018x} -> {found[0]:#014x}  {flags_text(found[1])}" if found else f"  {virt:#018x} is not mapped")


class Maps(gdb.Command):
    """Show all that the page tables in CR3 map, run by run."""

    def __init__(self):
        super().__init__("sis maps", gdb.COMMAND_DATA, gdb.COMPLETE_NONE)

    def invoke(self, argument, _from_tty):
        sizes, names = {1: "4K", 2: "2M", 3: "1G"}, None
        for virt, length, phys, flags, small, large in runs():
            names = names or regions()
            pages = sizes[small] if small == large else f"{sizes[small]}-{sizes[large]}"
            name = next((name for start, name in names if virt >= start), "lower half")
            print(f"  {virt:#018x} - {virt + length - 1:#018x}  {flags_text(flags):<10} phys {phys:#012x}  {pages}  {name}")


PageTable()
Maps()
