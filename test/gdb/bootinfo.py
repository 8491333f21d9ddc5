"""`sis bootinfo`: what the loader passed, every field by its name in src/boot/info.rs, the memory map included.

Works from the kernel's first instruction on: until the kernel has stored the pointer, asm/entry.S carries it in
rdi and then r12. All that BootInfo points to is physical, and is read so.
"""

import gdb

import machine
import paging

MAGIC = b"SISBOOT\0"
REGION = "sis::boot::info::MemoryRegion"


def candidates():
    """Physical addresses that may be BootInfo's."""
    stored = machine.static("sis::kernel::boot_info::BOOT_INFO")
    if machine.register("cr0") & machine.CR0_PG and paging.translate(int(stored.address)):
        pointer = machine.number(machine.virtual(int(stored.address), 8))
        found = pointer and paging.translate(pointer)
        if found:
            yield found[0]
    for name in ("rdi", "r12"):
        yield machine.register(name)


def fields(data, kind, prefix=""):
    """(path, type, bytes) of each field, nested structures opened."""
    for field in kind.fields():
        inner, at = field.type.strip_typedefs(), field.bitpos // 8
        part = data[at:at + inner.sizeof]
        if inner.code == gdb.TYPE_CODE_STRUCT:
            yield from fields(part, inner, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, inner, part


class BootInfo(gdb.Command):
    """Show what the loader passed to the kernel. Addresses are physical."""

    def __init__(self):
        super().__init__("sis bootinfo", gdb.COMMAND_DATA, gdb.COMPLETE_NONE)

    def invoke(self, argument, _from_tty):
        machine.attached()
        kind = machine.kernel_type("sis::boot::info::BootInfo")
        at = next((at for at in candidates() if machine.physical(at, 8) == MAGIC), None)
        if at is None:
            machine.fail("no BootInfo yet: the loader has not called the kernel")
        data = machine.physical(at, kind.sizeof)
        values = {}
        print(f"  BootInfo at {at:#x}")
        for path, inner, part in fields(data, kind):
            values[path] = machine.number(part, 0, inner.sizeof)
            print(f"  {path:27} {values[path]:#x}" + (f" ({values[path]})" if values[path] > 9 else ""))
        text = machine.physical(values["cmdline.addr"], values["cmdline.len"]) if values["cmdline.len"] else b""
        print(f'  command line                "{text.decode(errors="replace")}"')
        self.memory_map(values["regions.addr"], values["regions.len"])

    @staticmethod
    def memory_map(start, count):
        kind = machine.kernel_type(REGION)
        page = 4096
        data = machine.physical(start, count * kind.sizeof) if count else b""
        for index in range(count):
            parts = dict((path, (inner, part)) for path, inner, part in fields(data[index * kind.sizeof:], kind))
            value = {path: machine.number(part, 0, inner.sizeof) for path, (inner, part) in parts.items()}
            names = {f.enumval: f.name.rpartition("::")[2] for f in parts["kind"][0].fields()}
            name = names.get(value["kind"], f"unknown kind {value['kind']}")
            first, length = value["start"], value["pages"] * page
            print(f"  {first:#014x} - {first + length - 1:#014x} {length >> 10:8} KiB  {name}")


BootInfo()
