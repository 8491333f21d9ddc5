"""Damaging an ELF file on purpose, and reading what a test wants to know of one.

`Elf` wraps the bytes of an ELF64 file and names the fields by the words of the System V ABI (gABI chapters 4
and 5), so that a test says `elf.set(e_machine=3)` or `elf.set_segment(0, p_filesz=1 << 40)`. It never checks
anything: its purpose is files that lie. `symbol` and `patch` find code by name for tests that plant an
instruction in the kernel.
"""

import struct

# Field: offset and struct format, in the file header and in a program header.
HEADER = {
    "e_class": (4, "<B"), "e_data": (5, "<B"), "e_version_ident": (6, "<B"), "e_type": (16, "<H"),
    "e_machine": (18, "<H"), "e_version": (20, "<I"), "e_entry": (24, "<Q"), "e_phoff": (32, "<Q"),
    "e_shoff": (40, "<Q"), "e_flags": (48, "<I"), "e_ehsize": (52, "<H"), "e_phentsize": (54, "<H"),
    "e_phnum": (56, "<H"), "e_shentsize": (58, "<H"), "e_shnum": (60, "<H"), "e_shstrndx": (62, "<H"),
}
SEGMENT = {
    "p_type": (0, "<I"), "p_flags": (4, "<I"), "p_offset": (8, "<Q"), "p_vaddr": (16, "<Q"),
    "p_paddr": (24, "<Q"), "p_filesz": (32, "<Q"), "p_memsz": (40, "<Q"), "p_align": (48, "<Q"),
}
SECTION = {
    "sh_name": (0, "<I"), "sh_type": (4, "<I"), "sh_flags": (8, "<Q"), "sh_addr": (16, "<Q"),
    "sh_offset": (24, "<Q"), "sh_size": (32, "<Q"), "sh_link": (40, "<I"), "sh_entsize": (56, "<Q"),
}
EHDR_SIZE, PHDR_SIZE, SHDR_SIZE = 64, 56, 64
PT_LOAD, SHT_SYMTAB, SHT_NOBITS = 1, 2, 8
PF_X, PF_W, PF_R = 1, 2, 4
SHF_WRITE, SHF_ALLOC, SHF_EXECINSTR = 1, 2, 4


class Elf:
    """The bytes of an ELF64 little-endian file, editable field by field."""

    def __init__(self, data):
        self.data = bytearray(data)

    @classmethod
    def load(cls, path):
        with open(path, "rb") as file:
            return cls(file.read())

    def __bytes__(self):
        return bytes(self.data)

    def _get(self, table, base):
        return {name: struct.unpack_from(form, self.data, base + at)[0] for name, (at, form) in table.items()}

    def _set(self, table, base, fields):
        for name, value in fields.items():
            at, form = table[name]
            struct.pack_into(form, self.data, base + at, value)
        return self

    @property
    def header(self):
        """The file header's fields."""
        return self._get(HEADER, 0)

    def set(self, **fields):
        """Overwrites fields of the file header."""
        return self._set(HEADER, 0, fields)

    def _segment_at(self, index):
        return self.header["e_phoff"] + index * PHDR_SIZE

    @property
    def segments(self):
        """All program headers, each with its `index`."""
        return [self._get(SEGMENT, self._segment_at(i)) | {"index": i} for i in range(self.header["e_phnum"])]

    @property
    def loads(self):
        """The PT_LOAD program headers that take memory."""
        return [s for s in self.segments if s["p_type"] == PT_LOAD and s["p_memsz"]]

    def set_segment(self, index, **fields):
        """Overwrites fields of one program header."""
        return self._set(SEGMENT, self._segment_at(index), fields)

    def truncate(self, length):
        """Cuts the file after `length` bytes."""
        del self.data[length:]
        return self

    def _text(self, at):
        return self.data[at:self.data.index(0, at)].decode()

    @property
    def sections(self):
        """All section headers, each with its `name`."""
        head = self.header
        found = [self._get(SECTION, head["e_shoff"] + i * SHDR_SIZE) for i in range(head["e_shnum"])]
        if found:
            names = found[head["e_shstrndx"]]["sh_offset"]
            for section in found:
                section["name"] = self._text(names + section["sh_name"])
        return found

    def symbols(self):
        """(name, address, size, type) of every named symbol; empty for a stripped file."""
        sections = self.sections
        for table in (s for s in sections if s["sh_type"] == SHT_SYMTAB):
            strings = sections[table["sh_link"]]["sh_offset"]
            for at in range(table["sh_offset"], table["sh_offset"] + table["sh_size"], 24):
                name, info, _, shndx, value, size = struct.unpack_from("<IBBHQQ", self.data, at)
                if name and shndx:
                    yield self._text(strings + name), value, size, info & 15

    def symbol(self, name):
        """The address of the symbol called `name`."""
        found = {value for symbol, value, _, _ in self.symbols() if symbol == name}
        if len(found) != 1:
            raise KeyError(f"{len(found)} addresses for the symbol {name}")
        return found.pop()

    def patch(self, address, code):
        """Overwrites the bytes that are loaded at the virtual address."""
        for seg in self.loads:
            at = address - seg["p_vaddr"]
            if 0 <= at and at + len(code) <= seg["p_filesz"]:
                start = seg["p_offset"] + at
                self.data[start:start + len(code)] = code
                return self
        raise KeyError(f"{address:#x} is not in the file")
