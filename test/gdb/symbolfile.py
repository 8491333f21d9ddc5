"""Writes an ELF file that holds nothing but debug information, for `add-symbol-file`.

For code that gdb could not name otherwise: the loader, whose own debug information is in Microsoft's format, and the
kernel's first instructions at the physical address that they run at. Addresses are relative to the image; gdb's
`-o` adds where it lies. No code, no types: functions, source lines, and how to unwind each function.

Source: DWARF 4 §2, §6.2 (line numbers), §6.4 (call frames), §7; System V gABI chapter 4.
"""

import struct
from dataclasses import dataclass, field

ASSEMBLER, RUST = 0x8001, 0x1C  # DW_LANG_*
RSP, RBP, RETURN = 7, 6, 16  # DWARF's numbers (System V ABI AMD64 supplement, figure 3.36)


@dataclass
class Function:
    name: str
    start: int
    size: int
    lines: list = field(default_factory=list)  # (address, file, line)
    frame: list = field(default_factory=list)  # (address, call-frame instructions), ascending


def uleb(value):
    out = bytearray()
    while True:
        out.append(value & 0x7F | (0x80 if value > 0x7F else 0))
        value >>= 7
        if not value:
            return bytes(out)


def sleb(value):
    out = bytearray()
    while True:
        byte, value = value & 0x7F, value >> 7
        done = value == (-1 if byte & 0x40 else 0)
        out.append(byte | (0 if done else 0x80))
        if done:
            return bytes(out)


def string(text):
    return text.encode() + b"\0"


# ---- call-frame instructions (DWARF 4 §6.4.2) ----


def def_cfa(register, offset):
    return b"\x0c" + uleb(register) + uleb(offset)


def cfa_offset(offset):
    return b"\x0e" + uleb(offset)


def saved(register, words):
    """`register` is saved `words` * 8 bytes below the CFA."""
    return bytes([0x80 | register]) + uleb(words)


NOTHING = b"\0"


def undefined(register):
    return b"\x07" + uleb(register)


def frame_section(functions):
    """.debug_frame: one CIE, one FDE a function; code alignment 1, data alignment -8."""
    cie = struct.pack("<I", 0xFFFF_FFFF) + bytes([4, 0, 8, 0]) + uleb(1) + sleb(-8) + uleb(RETURN)
    cie += def_cfa(RSP, 8) + saved(RETURN, 1)
    out = padded(cie)
    for function in functions:
        body, at = b"", function.start
        for address, instructions in function.frame:
            if address > at:
                body += b"\x04" + struct.pack("<I", address - at)
            body, at = body + instructions, max(at, address)
        out += padded(struct.pack("<IQQ", 0, function.start, function.size) + body)
    return out


def padded(entry):
    entry += bytes(-(len(entry) + 4) % 8)
    return struct.pack("<I", len(entry)) + entry


# ---- source lines ----


def line_section(functions):
    files = sorted({file for function in functions for _, file, _ in function.lines})
    numbers = {file: index + 1 for index, file in enumerate(files)}
    header = bytes([1, 1, 1, 0xFB, 14, 13]) + bytes([0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1]) + b"\0"
    header += b"".join(string(file) + bytes(3) for file in files) + b"\0"
    program = b""
    for function in functions:
        if not function.lines:
            continue
        address, file, line = function.lines[0][0], 1, 1
        program += b"\0\x09\x02" + struct.pack("<Q", address)
        for to, name, number in function.lines:
            program += b"\x02" + uleb(to - address) + b"\x03" + sleb(number - line)
            if numbers[name] != file:
                program += b"\x04" + uleb(numbers[name])
            program += b"\x01"
            address, file, line = to, numbers[name], number
        program += b"\x02" + uleb(function.start + function.size - address) + b"\0\x01\x01"
    unit = struct.pack("<HI", 4, len(header)) + header + program
    return struct.pack("<I", len(unit)) + unit


# ---- names ----

ABBREVIATIONS = bytes([
    1, 0x11, 1, 0x03, 0x08, 0x1B, 0x08, 0x13, 0x05, 0x10, 0x17, 0x11, 0x01, 0x12, 0x07, 0, 0,  # unit, with children
    2, 0x2E, 0, 0x03, 0x08, 0x11, 0x01, 0x12, 0x07, 0x3F, 0x19, 0, 0,  # subprogram: name, low_pc, high_pc, external
    0])


def info_section(functions, name, folder, language):
    low = min(function.start for function in functions)
    high = max(function.start + function.size for function in functions)
    body = b"\x01" + string(name) + string(folder) + struct.pack("<HIQQ", language, 0, low, high - low)
    for function in functions:
        body += b"\x02" + string(function.name) + struct.pack("<QQ", function.start, function.size)
    unit = struct.pack("<HIB", 4, 0, 8) + body + b"\0"
    return struct.pack("<I", len(unit)) + unit


def symbol_sections(functions):
    names, table = b"\0", bytes(24)
    for function in functions:
        table += struct.pack("<IBBHQQ", len(names), 0x12, 0, 1, function.start, function.size)
        names += string(function.name)
    return table, names


def elf(functions, name, folder, language):
    """The bytes of the file. `name` and `folder` are the unit's source file and directory."""
    functions = sorted(functions, key=lambda function: function.start)
    low = functions[0].start
    size = max(function.start + function.size for function in functions) - low
    table, names = symbol_sections(functions)
    # name, type, flags, address, contents, link, info, entry size
    sections = [
        (".text", 8, 6, low, b"", 0, 0, 0),
        (".debug_abbrev", 1, 0, 0, ABBREVIATIONS, 0, 0, 0),
        (".debug_info", 1, 0, 0, info_section(functions, name, folder, language), 0, 0, 0),
        (".debug_line", 1, 0, 0, line_section(functions), 0, 0, 0),
        (".debug_frame", 1, 0, 0, frame_section([f for f in functions if f.frame]), 0, 0, 0),
        (".symtab", 2, 0, 0, table, 6 + 1, 1, 24),
        (".strtab", 3, 0, 0, names, 0, 0, 0),
    ]
    strings = b"\0" + b"".join(string(section[0]) for section in sections) + string(".shstrtab")
    sections.append((".shstrtab", 3, 0, 0, strings, 0, 0, 0))
    body, headers, at = b"", bytes(64), 1
    for title, kind, flags, address, content, link, info, entry in sections:
        offset = 64 + len(body)
        length = size if kind == 8 else len(content)
        headers += struct.pack("<IIQQQQIIQQ", at, kind, flags, address, offset, length, link, info, 16 if kind == 8 else 1, entry)
        body += content
        at += len(title) + 1
    count = len(sections) + 1
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 0, 64 + len(body), 0, 64, 0, 0, 64, count, count - 1)
    return ident + header + body + headers
