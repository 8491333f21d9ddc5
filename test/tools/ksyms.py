#!/usr/bin/env python3
"""The post-link step: fills in the kernel's own symbol table, sorts its exception table, makes the stripped copy.

The linker leaves a last segment, `.ksyms`, with nothing of use in it (linker/kernel.ld). This tool reads the ELF
symbol table, demangles the names, and writes them as that segment's content, so that a panic can print names without
a debugger. Nothing else moves: `.ksyms` is last in memory, and its bytes go to the end of the file.

The table, little endian, as src/symbols reads it:

    8    "SISKSYM1"
    u32  count          u32  bytes of names        u64  base, the lowest symbol's address
    count times, by address:  u32 address - base   u32 size   u32 offset of the name in the names
    names:  u16 length, then UTF-8; one copy of each

The exception table (`__ex_table_start` to `__ex_table_end`) is pairs of u64, the instruction that may fault and where
to go on; object files bring theirs in any order, and the kernel searches it by halves.

Same input, same bytes. Source: ELF-64 Object File Format 1.5; System V ABI chapters 4 and 5.
"""

import argparse
import os
import re
import struct
import subprocess
import sys

PAGE = 4096
PT_LOAD, PT_NOTE, PT_GNU_STACK, PT_GNU_RELRO = 1, 4, 0x6474E551, 0x6474E552
PF_X, PF_W = 1, 2
SHT_SYMTAB, SHT_NOBITS = 2, 8
STT_NOTYPE, STT_OBJECT, STT_FUNC = 0, 1, 2
SHN_UNDEF, SHN_LORESERVE, SHN_ABS = 0, 0xFF00, 0xFFF1
EHDR, PHDR, SHDR, SYM = "<16sHHIQQQIHHHHHH", "<IIQQQQQQ", "<IIQQQQIIQQ", "<IBBHQQ"
# What tells two versions of one crate apart: at the end of a name in the old mangling, behind a crate's in the new.
RUST_HASH = re.compile(r"::h[0-9a-f]{16}$|(?<=\w)\[[0-9a-f]{8,16}\]")
# What code generation appends to a name that is otherwise mangled: `.llvm.123`, `.cold`, `.part.0`.
SUFFIX = re.compile(r"\.(?:llvm|cold|part|isra|constprop)(?:\.\d+)?$|\.\d+$")


class KsymsError(Exception):
    """The image is not what the linker script makes."""


class Elf:
    """A 64-bit little-endian executable, held as one mutable byte array."""

    def __init__(self, data):
        self.data = bytearray(data)
        if len(data) < 64 or data[:6] != b"\x7fELF\x02\x01":
            raise KsymsError("not a 64-bit little-endian ELF file")
        head = struct.unpack_from(EHDR, data)
        self.entry, self.phoff, self.shoff = head[4:7]
        self.phentsize, self.phnum, self.shentsize, self.shnum, self.shstrndx = head[9:14]
        if self.phentsize != 56 or (self.shnum and self.shentsize != 64):
            raise KsymsError("header entries of an unexpected size")
        self.segments = [list(struct.unpack_from(PHDR, data, self.phoff + i * 56)) for i in range(self.phnum)]
        self.sections = [list(struct.unpack_from(SHDR, data, self.shoff + i * 64)) for i in range(self.shnum)]

    def section(self, name):
        strings = self.sections[self.shstrndx]
        for index, section in enumerate(self.sections):
            at = strings[4] + section[0]
            if self.data[at : self.data.index(0, at)] == name.encode():
                return index
        raise KsymsError(f"no section {name}")

    def all_symbols(self):
        """(name, section index, address, size, type, is global) of every symbol with a name."""
        for section in self.sections:
            if section[1] != SHT_SYMTAB:
                continue
            strings = self.sections[section[6]]
            table = bytes(self.data[strings[4] : strings[4] + strings[5]])
            for at in range(section[4], section[4] + section[5], 24):
                name, info, _, index, value, size = struct.unpack_from(SYM, self.data, at)
                if name:
                    yield table[name : table.index(0, name)].decode(), index, value, size, info & 15, info >> 4 != 0

    def symbols(self):
        """(name, address, size, type, is global) of every symbol that stands in a section."""
        for name, index, *rest in self.all_symbols():
            if index != SHN_UNDEF and index < SHN_LORESERVE:
                yield name, *rest

    def absolutes(self):
        """The linker script's constants: {name: value}."""
        return {name: value for name, index, value, *_ in self.all_symbols() if index == SHN_ABS}

    def offset(self, address, length):
        """Where the bytes at a virtual address stand in the file."""
        for kind, _, offset, vaddr, _, filesz, _, _ in self.segments:
            if kind == PT_LOAD and vaddr <= address and address + length <= vaddr + filesz:
                return offset + address - vaddr
        raise KsymsError(f"{address:#x} is in no segment's file content")


def demangle(names):
    """Readable names, in the same order. c++filt comes with the assembler and knows both of Rust's manglings."""
    plain = []
    for name in names:
        while (shorter := SUFFIX.sub("", name)) != name and shorter:
            name = shorter
        plain.append(name)
    try:
        done = subprocess.run(
            ["c++filt", "--no-strip-underscore"], input="\n".join(plain), capture_output=True, text=True, check=True
        )
    except FileNotFoundError:
        raise KsymsError("c++filt is not installed (Debian: binutils)") from None
    except subprocess.CalledProcessError as error:
        raise KsymsError(f"c++filt failed: {error.stderr.strip()}") from None
    out = done.stdout.split("\n")
    if len(out) != len(plain):
        raise KsymsError(f"c++filt gave {len(out)} names for {len(plain)}")
    return [RUST_HASH.sub("", name) for name in out]


def pick(elf):
    """One symbol an address, sorted by it: functions before data, global before local, then the longest."""
    best = {}
    for name, address, size, kind, is_global in elf.symbols():
        # The compiler's nameless constants tell a reader nothing.
        if kind == STT_FUNC or (kind in (STT_OBJECT, STT_NOTYPE) and size and not name.startswith((".L", "anon."))):
            rank = (kind == STT_FUNC, is_global, size, name)
            if address not in best or rank > best[address][0]:
                best[address] = (rank, size, name)
    if not best:
        raise KsymsError("no symbols: was the image linked with --strip-all?")
    addresses = sorted(best)
    return addresses, [best[a][1] for a in addresses], demangle([best[a][2] for a in addresses])


def blob(elf):
    addresses, sizes, names = pick(elf)
    base = addresses[0]
    if addresses[-1] - base >= 1 << 32 or max(sizes) >= 1 << 32:
        raise KsymsError("symbols more than 4 GiB apart")
    pool, offsets = bytearray(), {}
    for name in names:
        if name not in offsets:
            offsets[name] = len(pool)
            text = name.encode()[:0xFFFF]
            pool += struct.pack("<H", len(text)) + text
    table = b"".join(struct.pack("<III", a - base, s, offsets[n]) for a, s, n in zip(addresses, sizes, names))
    pool += b"\0" * (-len(pool) % 8)
    return struct.pack("<8sIIQ", b"SISKSYM1", len(addresses), len(pool), base) + table + pool, len(addresses)


def fill(elf):
    """Puts the table at the end of the file and points segment and section at it."""
    index = elf.section(".ksyms")
    section = elf.sections[index]
    loads = [i for i, s in enumerate(elf.segments) if s[0] == PT_LOAD]
    last = max(loads, key=lambda i: elf.segments[i][3])
    segment = elf.segments[last]
    if segment[3] != section[3] or segment[3] % PAGE or segment[1] & (PF_W | PF_X) or segment[6] != section[5]:
        raise KsymsError(".ksyms is not alone in a last, read-only segment on a page boundary")
    content, count = blob(elf)
    elf.data += b"\0" * (-len(elf.data) % PAGE)
    offset = len(elf.data)
    elf.data += content
    segment[2], segment[5], segment[6] = offset, len(content), len(content)
    section[4], section[5] = offset, len(content)
    struct.pack_into(PHDR, elf.data, elf.phoff + last * 56, *segment)
    struct.pack_into(SHDR, elf.data, elf.shoff + index * 64, *section)
    limits = elf.absolutes()
    if section[3] + len(content) > limits.get("KERNEL_BASE", 0) + limits.get("KERNEL_MAX_SIZE", 1 << 64):
        raise KsymsError("the image with its symbol table outgrew its window (KERNEL_MAX_SIZE)")
    return count, len(content)


def sort_exceptions(elf):
    """Sorts the exception table in place; checks that it says something sensible."""
    where = {name: value for name, value, *_ in elf.symbols() if name in ("__ex_table_start", "__ex_table_end")}
    if len(where) != 2:
        raise KsymsError("no __ex_table_start and __ex_table_end")
    start, length = where["__ex_table_start"], where["__ex_table_end"] - where["__ex_table_start"]
    if length % 16 or length < 0:
        raise KsymsError(f"the exception table is {length} bytes, which is no multiple of 16")
    if not length:
        return 0
    at = elf.offset(start, length)
    entries = sorted(struct.iter_unpack("<QQ", bytes(elf.data[at : at + length])))
    code = [(s[3], s[3] + s[6]) for s in elf.segments if s[0] == PT_LOAD and s[1] & PF_X]
    for entry in entries:
        for address in entry:
            if not any(low <= address < high for low, high in code):
                raise KsymsError(f"the exception table names {address:#x}, which is not code")
    if len({fault for fault, _ in entries}) != len(entries):
        raise KsymsError("the exception table has two entries for one instruction")
    elf.data[at : at + length] = b"".join(struct.pack("<QQ", *entry) for entry in entries)
    return len(entries)


def stripped(elf):
    """The same segments and nothing else: no section headers, symbols or debug information."""
    kept = [s for s in elf.segments if s[0] in (PT_LOAD, PT_NOTE, PT_GNU_STACK, PT_GNU_RELRO)]
    out = bytearray(elf.data[:64])
    struct.pack_into("<Q", out, 32, 64)  # e_phoff
    struct.pack_into("<Q", out, 40, 0)  # e_shoff
    struct.pack_into("<HHHH", out, 56, len(kept), 0, 0, 0)  # e_phnum, e_shentsize, e_shnum, e_shstrndx
    out += b"\0" * (56 * len(kept))
    moved = []  # (old offset, new offset, length)
    for i, segment in sorted(enumerate(kept), key=lambda item: item[1][0] != PT_LOAD):
        kind, flags, offset, vaddr, paddr, filesz, memsz, align = segment
        if kind == PT_LOAD:
            if offset < 64 + 56 * elf.phnum and filesz:
                raise KsymsError("a segment that holds the ELF headers cannot be copied unchanged")
            out += b"\0" * (-len(out) % PAGE)
            new = len(out) + vaddr % PAGE
            out += b"\0" * (vaddr % PAGE) + elf.data[offset : offset + filesz]
            moved.append((offset, new, filesz))
        else:
            # The others describe bytes of a loaded segment, or none at all.
            new = next((n + offset - o for o, n, size in moved if o <= offset and offset + filesz <= o + size), 0)
        struct.pack_into(PHDR, out, 64 + i * 56, kind, flags, new, vaddr, paddr, filesz, memsz, align)
    return bytes(out)


def write(path, data):
    part = f"{path}.part{os.getpid()}"
    with open(part, "wb") as f:
        f.write(data)
    os.chmod(part, 0o755)
    os.replace(part, path)


def main():
    parser = argparse.ArgumentParser(description="Fill in the symbol table of a linked kernel.")
    parser.add_argument("kernel", help="the kernel as linked")
    parser.add_argument("output", help="the kernel with its symbol table")
    parser.add_argument("--strip", metavar="FILE", help="write a copy without symbols and debug information too")
    args = parser.parse_args()
    try:
        with open(args.kernel, "rb") as f:
            elf = Elf(f.read())
        exceptions = sort_exceptions(elf)
        count, size = fill(elf)
        write(args.output, elf.data)
        if args.strip:
            write(args.strip, stripped(elf))
        print(f"ksyms: {count} symbols in {size >> 10} KiB, {exceptions} exception-table entries")
    except (KsymsError, OSError, struct.error, IndexError, ValueError) as error:
        sys.exit(f"ksyms: {args.kernel}: {error}")


if __name__ == "__main__":
    main()
