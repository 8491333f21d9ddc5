"""`sis idt` and `sis gdt`: the tables that IDTR and GDTR name now, the firmware's as well as the kernel's.

The lines are those of the monitor's `idt` and `gdt`, with each gate's handler by its symbol.
Source: Intel SDM vol. 3 §3.4.5 (segment descriptors), §7.2.3 (TSS descriptor), §6.14.1 (gates).
"""

import gdb

import machine


def gate_text(low, high):
    """A gate, decoded."""
    kind = {14: "interrupt gate", 15: "trap gate"}.get(low >> 40 & 15, "reserved type")
    offset = (low & 0xFFFF) | (low >> 48) << 16 | (high & 0xFFFF_FFFF) << 32
    absent = "" if low >> 47 & 1 else ", not present"
    return f"{kind} {low >> 16 & 0xFFFF:#06x}:{offset:#018x}, DPL {low >> 45 & 3}, IST {low >> 32 & 7}{absent}", offset


def descriptor_text(low, high):
    """A segment descriptor, decoded."""
    if low == 0:
        return "null"
    kind, absent = low >> 40 & 15, "" if low >> 47 & 1 else ", not present"
    base = (low >> 16 & 0xFF_FFFF) | (low >> 56 & 0xFF) << 24
    limit = (low & 0xFFFF) | (low >> 48 & 15) << 16
    limit = limit << 12 | 0xFFF if low >> 55 & 1 else limit
    if not low >> 44 & 1:
        name = {0x2: "LDT", 0x9: "64-bit TSS, available", 0xB: "64-bit TSS, busy", 0xC: "64-bit call gate"}
        base |= (high & 0xFFFF_FFFF) << 32
        return f"{name.get(kind, 'reserved system type')}, base {base:#018x}, limit {limit:#x}{absent}"
    name = "data" if kind < 8 else "64-bit code" if low >> 53 & 1 else "32-bit code"
    return f"{name}, ring {low >> 45 & 3}, base {base:#x}, limit {limit:#x}{absent}"


def table(name):
    """(base, limit, contents as 64-bit numbers)."""
    machine.long_mode()
    base, limit = machine.table_register(name)
    length = limit + 1 & ~7
    return base, limit, memoryview(machine.virtual(base, length)).cast("Q").tolist() if length else []


class Idt(gdb.Command):
    """Show the interrupt gates in use: sis idt [VECTOR].

Past the exceptions, gates that differ only in their address are one line."""

    def __init__(self):
        super().__init__("sis idt", gdb.COMMAND_DATA, gdb.COMPLETE_NONE)

    def invoke(self, argument, _from_tty):
        base, limit, words = table("IDT")
        gates = [gate_text(low, high) for low, high in zip(words[::2], words[1::2])]
        print(f"  base {base:#018x}{machine.symbol_at(base)}, limit {limit:#x}")
        vectors = range(len(gates))
        if argument:
            vector = machine.evaluate(argument)
            if vector not in vectors:
                machine.fail(f"this IDT has no vector {vector}: it ends at {len(gates) - 1}")
            vectors = [vector]

        def alike(one, two):
            return words[2 * one] & 0x0000_FFFF_FFFF_0000 == words[2 * two] & 0x0000_FFFF_FFFF_0000

        at = 0
        while at < len(vectors):
            first = last = vectors[at]
            while first >= 32 and at + 1 < len(vectors) and alike(first, last + 1):
                at, last = at + 1, last + 1
            text, offset = gates[first]
            label = f"{first:3} - {last:3}" if last > first else f"{first:3}"
            print(f"  {label}: {text}{machine.symbol_at(offset)}" + (" ff." if last > first else ""))
            at += 1


class Gdt(gdb.Command):
    """Show the segment descriptors in use."""

    def __init__(self):
        super().__init__("sis gdt", gdb.COMMAND_DATA, gdb.COMPLETE_NONE)

    def invoke(self, argument, _from_tty):
        base, limit, words = table("GDT")
        print(f"  base {base:#018x}{machine.symbol_at(base)}, limit {limit:#x}")
        at = 0
        while at < len(words):
            low, high = words[at], words[at + 1] if at + 1 < len(words) else 0
            print(f"  {at * 8:#04x}: {low:016x}  {descriptor_text(low, high)}")
            at += 2 if low and not low >> 44 & 1 else 1


Idt()
Gdt()
