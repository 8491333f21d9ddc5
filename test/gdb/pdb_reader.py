"""Functions and source lines of the loader, out of its PDB; the image itself says how its frames look.

The compiler writes the loader's debug information for UEFI in Microsoft's format, which gdb does not read. What gdb
needs of it is little: each function's name and extent, its lines, and where the caller's registers are saved. The
last is read off the function's first instructions, as the image has no unwind tables.

Used by entry.py for `make gdb LOADER=1`; plain Python. All addresses are RVAs.

Source: LLVM, docs/PDB (MSF files, DBI stream, module streams); Microsoft, microsoft-pdb (cvinfo.h);
Microsoft, PE format; Intel SDM vol. 2 (opcodes of the prologue).
"""

import struct
from pathlib import Path

from symbolfile import RBP, Function, cfa_offset, def_cfa, saved

MAGIC = b"Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0"
PROCEDURES = (0x110F, 0x1110, 0x1146, 0x1147)  # S_LPROC32, S_GPROC32, and both by id
LINES, CHECKSUMS = 0xF2, 0xF4
NO_LINES = (0, 0xF00F00, 0xFEEFEE)  # "always" and "never step into"


def u16(data, at):
    return struct.unpack_from("<H", data, at)[0]


def u32(data, at):
    return struct.unpack_from("<I", data, at)[0]


class PdbError(Exception):
    """The file is not what it should be."""


class Image:
    """The loader's PE file."""

    def __init__(self, data):
        self.data = data
        pe = u32(data, 0x3C)
        if data[:2] != b"MZ" or data[pe:pe + 4] != b"PE\0\0":
            raise PdbError("not a PE image")
        optional = pe + 24
        self.entry, self.size = u32(data, optional + 16), u32(data, optional + 56)
        self.directories = [(u32(data, optional + 112 + 8 * i), u32(data, optional + 116 + 8 * i))
                            for i in range(u32(data, optional + 108))]
        first = optional + u16(data, pe + 20)
        self.sections = []  # (name, RVA, size in memory, file offset, size in the file)
        for at in range(first, first + 40 * u16(data, pe + 6), 40):
            size, rva, raw_size, raw = struct.unpack_from("<IIII", data, at + 8)
            self.sections.append((data[at:at + 8].rstrip(b"\0").decode(), rva, size, raw, min(raw_size, size)))

    def read(self, rva, length):
        for _, start, _, raw, size in self.sections:
            if start <= rva < start + size:
                return self.data[raw + rva - start:raw + min(rva - start + length, size)]
        return b""

    def relocated(self):
        """RVAs of the 8-byte addresses that loading changes (base relocations of type DIR64)."""
        at, found = 0, set()
        table = self.read(*self.directories[5])
        while at + 8 <= len(table):
            page, size = u32(table, at), u32(table, at + 4)
            for entry in range(at + 8, at + max(size, 8), 2):
                if u16(table, entry) >> 12 == 10:
                    found.add(page + (u16(table, entry) & 0xFFF))
            at += max(size, 8)
        return found

    def is_loaded_in(self, memory):
        """Whether `memory`, SizeOfImage bytes from an image's base, holds this program's code, byte by byte."""
        relocated = self.relocated()
        for name, rva, _, raw, size in self.sections:
            if name == ".text":
                want, have = bytearray(self.data[raw:raw + size]), bytearray(memory[rva:rva + size])
                for at in relocated:
                    if rva <= at < rva + size:
                        want[at - rva:at - rva + 8] = have[at - rva:at - rva + 8] = bytes(8)
                return want == have
        return False

    def identity(self):
        """GUID and age of the PDB that belongs to this image (CodeView record "RSDS")."""
        rva, length = self.directories[6]
        for at in range(0, length, 28):
            entry = self.read(rva + at, 28)
            if len(entry) == 28 and u32(entry, 12) == 2:
                record = self.read(u32(entry, 20), 24)
                if record[:4] == b"RSDS":
                    return record[4:20], u32(record, 20)
        raise PdbError("the loader names no PDB: was it built without debug information?")


class Pdb:
    """A PDB file as its streams."""

    def __init__(self, data):
        if data[:32] != MAGIC:
            raise PdbError("not a PDB")
        block, _, _, length, _, map_at = struct.unpack_from("<6I", data, 32)

        def blocks(numbers, size):
            return b"".join(data[n * block:(n + 1) * block] for n in numbers)[:size]

        count = -(-length // block)
        directory = blocks(struct.unpack_from(f"<{count}I", data, map_at * block), length)
        streams = u32(directory, 0)
        sizes = [0 if size == 0xFFFF_FFFF else size for size in struct.unpack_from(f"<{streams}I", directory, 4)]
        self.streams, at = [], 4 + 4 * streams
        for size in sizes:
            count = -(-size // block)
            self.streams.append(blocks(struct.unpack_from(f"<{count}I", directory, at), size))
            at += 4 * count

    def guid(self):
        return self.streams[1][12:28]

    def strings(self):
        """The stream /names: file names by offset."""
        info = self.streams[1]
        names_len = u32(info, 28)
        names, at = info[32:32 + names_len], 32 + names_len
        size, _ = struct.unpack_from("<II", info, at)
        at += 8
        for _ in range(2):  # two bit sets: present, deleted
            at += 4 + 4 * u32(info, at)
        for _ in range(size):
            key, stream = struct.unpack_from("<II", info, at)
            at += 8
            if names[key:names.index(b"\0", key)] == b"/names":
                content = self.streams[stream]
                return content[12:12 + u32(content, 8)]
        raise PdbError("the PDB has no file names")

    def modules(self):
        """(symbol records, C13 line information) of each object file."""
        dbi = self.streams[3]
        at, end = 64, 64 + u32(dbi, 24)
        while at < end:
            stream, symbols, c11, c13 = u16(dbi, at + 34), *struct.unpack_from("<III", dbi, at + 36)
            at = dbi.index(b"\0", dbi.index(b"\0", at + 64) + 1) + 1
            at += -at % 4
            if stream != 0xFFFF:
                content = self.streams[stream]
                yield content[4:symbols], content[symbols + c11:symbols + c11 + c13]


def procedures(symbols):
    """(name, segment, offset, size) of each function."""
    at = 0
    while at + 4 <= len(symbols):
        length, kind = u16(symbols, at), u16(symbols, at + 2)
        if kind in PROCEDURES:
            size, offset, segment = u32(symbols, at + 16), u32(symbols, at + 32), u16(symbols, at + 36)
            name = symbols[at + 39:symbols.index(b"\0", at + 39)].decode(errors="replace")
            yield name, segment, offset, size
        at += 2 + length


def source_lines(c13, strings):
    """(segment, offset, file, line)."""
    parts, at = [], 0
    while at + 8 <= len(c13):
        kind, length = struct.unpack_from("<II", c13, at)
        parts.append((kind, c13[at + 8:at + 8 + length]))
        at += 8 + length + -length % 4
    checksums = next((part for kind, part in parts if kind == CHECKSUMS), b"")
    for part in (part for kind, part in parts if kind == LINES):
        base, segment, flags = u32(part, 0), u16(part, 4), u16(part, 6)
        at = 12
        while at + 12 <= len(part):
            file, count, size = struct.unpack_from("<III", part, at)
            name_at = u32(checksums, file)
            name = strings[name_at:strings.index(b"\0", name_at)].decode(errors="replace")
            for index in range(count):
                offset, bits = struct.unpack_from("<II", part, at + 12 + 8 * index)
                if bits & 0xFFFFFF not in NO_LINES:
                    yield segment, base + offset, name, bits & 0xFFFFFF
            at += size


# The CPU's register numbers in DWARF's order (System V ABI AMD64 supplement, figure 3.36).
DWARF = [0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15]


def frame_of(code, start):
    """Call-frame rules after each instruction of a prologue: pushes, the stack pointer's move, RBP's."""
    rules, at, depth, cfa, pending = [], 0, 8, False, 0

    def rule(instructions):
        rules.append((start + at, instructions))

    while at < len(code):
        if 0x50 <= code[at] <= 0x57 or code[at] == 0x41 and 0x50 <= code[at + 1] <= 0x57:
            wide = code[at] == 0x41
            register = DWARF[(code[at + wide] & 7) + 8 * wide]
            at, depth = at + 1 + wide, depth + 8
            rule((b"" if cfa else cfa_offset(depth)) + saved(register, depth // 8))
        elif code[at:at + 3] == b"\x48\x83\xec":  # sub rsp, imm8
            depth, at = depth + code[at + 3], at + 4
            rule(b"" if cfa else cfa_offset(depth))
        elif code[at:at + 3] == b"\x48\x81\xec":  # sub rsp, imm32
            depth, at = depth + u32(code, at + 3), at + 7
            rule(b"" if cfa else cfa_offset(depth))
        elif code[at] == 0xB8 and len(code) > at + 5:  # mov eax, imm32, before the call that touches each page
            pending, at = u32(code, at + 1), at + 5
        elif pending and code[at] == 0xE8:
            at += 5
        elif pending and code[at:at + 3] == b"\x48\x29\xc4":  # sub rsp, rax
            depth, pending, at = depth + pending, 0, at + 3
            rule(b"" if cfa else cfa_offset(depth))
        elif code[at:at + 3] == b"\x48\x89\xe5":  # mov rbp, rsp
            at, cfa = at + 3, True
            rule(def_cfa(RBP, depth))
        elif code[at:at + 4] == b"\x48\x8d\x6c\x24":  # lea rbp, [rsp + disp8]
            offset = struct.unpack_from("<b", code, at + 4)[0]
            at, cfa = at + 5, True
            rule(def_cfa(RBP, depth - offset))
        elif code[at:at + 4] == b"\x48\x8d\xac\x24":  # lea rbp, [rsp + disp32]
            offset = struct.unpack_from("<i", code, at + 4)[0]
            at, cfa = at + 8, True
            rule(def_cfa(RBP, depth - offset))
        else:
            break
    return rules


def functions(image_path, pdb_path):
    """All functions of the loader, after a check that the two files belong together."""
    image, pdb = Image(Path(image_path).read_bytes()), Pdb(Path(pdb_path).read_bytes())
    guid, _age = image.identity()
    if guid != pdb.guid():
        raise PdbError(f"{pdb_path} is of another build than {image_path}")
    strings, found = pdb.strings(), {}
    base = {number + 1: section[1] for number, section in enumerate(image.sections)}
    lines = []
    for symbols, c13 in pdb.modules():
        for name, segment, offset, size in procedures(symbols):
            if segment in base and size:
                start = base[segment] + offset
                found[start] = Function(name, start, size, frame=frame_of(image.read(start, min(size, 64)), start))
        lines += [(base[segment] + offset, file, line) for segment, offset, file, line in source_lines(c13, strings) if segment in base]
    ordered = sorted(found.values(), key=lambda function: function.start)
    lines.sort()
    at = 0
    for function in ordered:
        while at < len(lines) and lines[at][0] < function.start:
            at += 1
        while at < len(lines) and lines[at][0] < function.start + function.size:
            function.lines.append(lines[at])
            at += 1
    return ordered
