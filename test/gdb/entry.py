"""`sis entry`: runs the machine from its reset to the kernel's entry; `sis entry loader`: to the loader's.

Neither address is known when the machine starts. The loader puts the kernel into any free physical memory and calls
`_start` there; firmware puts the loader wherever it likes. But the UEFI specification has a door for debuggers:

  1. Firmware leaves a structure at a multiple of 4 MiB that points to its system table. We let the machine
     run in short slices and look for it in between.
  2. The system table leads to a table of all loaded images. We watch that table's length, and compare each new image
     with build/BOOTX64.EFI byte by byte: that is the loader, and its entry point has not run yet.
  3. It also leads to ExitBootServices, the last thing that the loader calls. Stopped there, the kernel is in memory,
     and its physical address lies on the loader's stack: the one number there at which we find `_start`'s bytes.

Nothing is typed, guessed or assumed about addresses; where firmware does not keep to the specification, the
stop is at start_high, the kernel's first instruction at its linked address, and we say so.

Hardware breakpoints only: software ones would be written into memory that firmware is about to fill.

Source: UEFI 2.10 §4.3 (system table), §4.4 (boot services), §18.4 (debug image info table).
"""

import contextlib
import os
import threading

import gdb

import machine
import pdb_reader
import symbolfile

SLICE = 0.05  # seconds between two looks at memory
ALIGNMENT = 4 << 20  # of EFI_SYSTEM_TABLE_POINTER
SIGNATURE = b"IBI SYST"
IMAGE_INFO_GUID = bytes.fromhex("772e1549da1a6447b7a27afefed95e8b")  # 49152E77-1ADA-4764-B7A2-7AFEFED95E8B
# Offsets in EFI_SYSTEM_TABLE, EFI_BOOT_SERVICES and EFI_LOADED_IMAGE_PROTOCOL.
BOOT_SERVICES, TABLE_COUNT, TABLES, EXIT_BOOT_SERVICES, IMAGE_BASE = 96, 104, 112, 232, 64
STACK_BYTES = 64 << 10
CODE_BYTES = 64  # of _start, to know it by

MOVED = []  # where the symbols of the entry have been added; forget_entry_symbols takes them away


def quiet(command):
    return gdb.execute(command, to_string=True)


@contextlib.contextmanager
def no_notices():
    """No word about the stops in between. gdb prints them past all that could catch them, so its output goes nowhere."""
    gdb.flush()
    terminal, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        gdb.flush()
        os.dup2(terminal, 1)
        os.close(terminal)
        os.close(nowhere)


def build_folder():
    return machine.ROOT / (os.environ.get("BUILD") or "build")


def pc():
    return machine.register("rip")


def stop_at(address):
    return gdb.Breakpoint(f"*{address:#x}", type=gdb.BP_HARDWARE_BREAKPOINT, internal=True)


def resume():
    """Runs until something stops the machine."""
    quiet("continue")
    if not gdb.selected_inferior().pid:
        machine.fail("QEMU has ended")


def run_for(seconds):
    """Runs for so long, or until a breakpoint."""
    running = True

    def interrupt():
        if running:
            gdb.execute("interrupt")

    timer = threading.Timer(seconds, lambda: gdb.post_event(interrupt))
    timer.start()
    try:
        resume()
    finally:
        running = False
        timer.cancel()


# ---- what firmware tells ----


def system_table():
    """Physical address of the system table, or None as long as there is none."""
    text = quiet("monitor info memory_size_summary")
    size = int(text.partition("base memory:")[2].split()[0])
    # RAM that has no room below the hole for devices goes on at 4 GiB.
    for start, end in ((0, min(size, 4 << 30)), (4 << 30, (4 << 30) + size)):
        if start and size <= 2 << 30:
            break
        for at in range(start, end, ALIGNMENT):
            found = machine.physical(at, 16)
            if found[:8] == SIGNATURE:
                table = machine.number(found, 8)
                if machine.physical(table, 8) == SIGNATURE:
                    return table
    return None


def configuration_table(system, guid):
    """Address of the table with that GUID, or None."""
    count, tables = (machine.number(machine.physical(system + at, 8)) for at in (TABLE_COUNT, TABLES))
    data = machine.physical(tables, 24 * min(count, 256))
    for at in range(0, len(data), 24):
        if data[at:at + 16] == guid:
            return machine.number(data, at + 16)
    return None


def find_image(table, image):
    """Base address of the image in firmware's list that is `image`, or None."""
    header = machine.physical(table, 16)
    count, entries = machine.number(header, 4, 4), machine.number(header, 8)
    data = machine.physical(entries, 8 * min(count + 1, 1024))
    for at in reversed(range(0, len(data), 8)):
        normal = machine.number(data, at)
        # EFI_DEBUG_IMAGE_INFO_NORMAL: type 1, then the loaded image's protocol.
        info = machine.physical(normal, 16) if normal else bytes(16)
        if machine.number(info, 0, 4) != 1:
            continue
        place = machine.physical(machine.number(info, 8) + IMAGE_BASE, 16)
        base, size = machine.number(place), machine.number(place, 8)
        if size == image.size and image.is_loaded_in(machine.physical(base, size)):
            return base
    return None


# ---- symbols at addresses that only now are known ----


def add_symbols(name, content, offset):
    path = build_folder() / "gdb" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    quoted = str(path).replace("\\", "\\\\").replace('"', '\\"')
    quiet(f'add-symbol-file "{quoted}" -o {offset:#x}')


def loader_symbols(base):
    """The loader's functions and lines; says what is wrong if there are none."""
    image = build_folder() / "BOOTX64.EFI"
    profile = "debug" if os.environ.get("DEBUG") == "1" else "release"
    pdb = machine.ROOT / "build" / "target" / "x86_64-unknown-uefi" / profile / "loader.pdb"
    try:
        functions = pdb_reader.functions(image, pdb)
    except (OSError, pdb_reader.PdbError) as error:
        print(f"no symbols of the loader: {error}")
        return
    add_symbols("loader.elf", symbolfile.elf(functions, "loader", str(machine.ROOT), symbolfile.RUST), base)


def entry_symbols(kernel, phys):
    """_start and what it calls, where they run before the kernel's page tables: the linked symbols, moved."""
    moved = []
    for name, at, size, _ in kernel.symbols():
        if name not in ("_start", "idt_fill", "gdt_fill_tss"):
            continue
        symtab = gdb.find_pc_line(at).symtab
        rows = symtab.linetable() if symtab else ()
        lines = sorted({(row.pc, symtab.fullname(), row.line) for row in rows if row.line and at <= row.pc < at + size})
        # Nobody called _start; the others have the rule that every file begins with.
        rule = symbolfile.undefined(symbolfile.RETURN) if name == "_start" else symbolfile.NOTHING
        moved.append(symbolfile.Function(name, at, size, lines, [(at, rule)]))
    add_symbols("entry.elf", symbolfile.elf(moved, "entry", str(machine.ROOT), symbolfile.ASSEMBLER), phys - kernel.symbol("_start"))
    MOVED.append(phys)


def forget_entry_symbols(_event):
    """In the kernel's own address space the moved symbols are in the way of the true ones."""
    if pc() >> 63:
        gdb.events.stop.disconnect(forget_entry_symbols)
        quiet(f"remove-symbol-file -a {MOVED.pop():#x}")


# ---- the command ----


class Entry(gdb.Command):
    """Run from reset to the kernel's first instruction, or to the loader's: sis entry [loader]."""

    def __init__(self):
        super().__init__("sis entry", gdb.COMMAND_RUNNING, gdb.COMPLETE_NONE)

    def invoke(self, argument, _from_tty):
        machine.attached()
        if argument not in ("", "loader"):
            machine.fail("usage: sis entry [loader]")
        if pc() >> 63:
            machine.fail("the kernel is running already: restart the machine to see its entry")
        with no_notices(), machine.language("c"):
            said = self.to_loader() if argument else self.to_kernel()
        print(said)
        gdb.execute("frame")

    @staticmethod
    def to_system_table(high):
        """Runs until firmware has its system table; None if the kernel came first."""
        while (system := system_table()) is None:
            run_for(SLICE)
            if pc() == high:
                return None
        return system

    def to_loader(self):
        image = pdb_reader.Image((build_folder() / "BOOTX64.EFI").read_bytes())
        high = machine.linked("start_high")
        points = [stop_at(high)]
        try:
            system = self.to_system_table(high)
            table = system and configuration_table(system, IMAGE_INFO_GUID)
            while system and table is None:
                run_for(SLICE)
                if pc() == high:
                    system = None
                else:
                    table = configuration_table(system, IMAGE_INFO_GUID)
            if system is None:
                return "The loader was not found: firmware keeps no list of images. Stopped at the kernel's entry."
            watch = gdb.Breakpoint(f"*(unsigned int *) {table + 4:#x}", type=gdb.BP_WATCHPOINT, wp_class=gdb.WP_WRITE, internal=True)
            points.append(watch)
            while (base := find_image(table, image)) is None:
                resume()
                if pc() == high:
                    return "The loader was not found in firmware's list of images. Stopped at the kernel's entry."
            watch.delete()
            points.remove(watch)
            points.append(stop_at(base + image.entry))
            resume()
            if pc() != base + image.entry:
                return f"The loader at {base:#x} had started before it was found. Stopped at the kernel's entry."
            loader_symbols(base)
            return f"The loader is at {base:#x}. This is its first instruction; `sis entry` goes on to the kernel's."
        finally:
            for point in points:
                point.delete()

    def to_kernel(self):
        kernel = machine.Kernel.current()
        high = machine.linked("start_high")
        points = [stop_at(high)]
        late = "Stopped at start_high, the kernel's first instruction at its linked address"
        try:
            system = self.to_system_table(high)
            if system is None:
                return f"{late}: firmware's system table was not found."
            services = machine.number(machine.physical(system + BOOT_SERVICES, 8))
            leave = machine.number(machine.physical(services + EXIT_BOOT_SERVICES, 8))
            points.append(stop_at(leave))
            resume()
            if pc() != leave:
                return f"{late}: nobody called ExitBootServices."
            phys = self.find_kernel(kernel)
            if phys is None:
                return f"{late}: _start was not found on the loader's stack."
            points.append(stop_at(phys))
            points.pop(1).delete()
            resume()
            if pc() != phys:
                return f"{late}: nobody called _start at {phys:#x}."
            entry_symbols(kernel, phys)
            gdb.events.stop.connect(forget_entry_symbols)
            return f"The kernel's entry, at its physical address {phys:#x} on the firmware's page tables; start_high is next."
        finally:
            for point in points:
                point.delete()

    @staticmethod
    def find_kernel(kernel):
        """Physical address of _start: the number on the loader's stack at which its bytes are."""
        start = kernel.symbol("_start")
        code = kernel.bytes_at(start, CODE_BYTES)
        stack = machine.physical(machine.register("rsp"), STACK_BYTES)
        seen = set()
        for at in range(0, len(stack), 8):
            value = machine.number(stack, at)
            if value and value not in seen and value < 1 << 52 and value & 0xFFF == start & 0xFFF:
                seen.add(value)
                if machine.physical(value, CODE_BYTES) == code:
                    return value
        return None


Entry()
