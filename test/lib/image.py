"""Promises about the built kernel and loader: no page both writable and executable, assembly known to debuggers.

Called by check.py after a build; test_check.py feeds it small files.
"""

import re
import struct

from lib.elfedit import PF_W, PF_X, SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE, Elf

STT_NOTYPE, STT_OBJECT, STT_FUNC = 0, 1, 2
ALIGNMENT = 16


def writable_and_executable(data):
    """Names of the sections and segments of an ELF file that are both."""
    elf = Elf(data)
    both = [f"segment {seg['index']}" for seg in elf.loads if seg["p_flags"] & PF_W and seg["p_flags"] & PF_X]
    wanted = SHF_ALLOC | SHF_WRITE | SHF_EXECINSTR
    return both + [f"section {s['name']}" for s in elf.sections if s["sh_flags"] & wanted == wanted]


def pe_writable_and_executable(data):
    """The same for the loader, a PE32+ image (Microsoft's PE format, section headers)."""
    pe = struct.unpack_from("<I", data, 0x3C)[0]
    if data[:2] != b"MZ" or data[pe:pe + 4] != b"PE\0\0":
        raise ValueError("not a PE image")
    count, optional = struct.unpack_from("<H", data, pe + 6)[0], struct.unpack_from("<H", data, pe + 20)[0]
    both = []
    for at in range(pe + 24 + optional, pe + 24 + optional + 40 * count, 40):
        flags = struct.unpack_from("<I", data, at + 36)[0]
        if flags & 0x8000_0000 and flags & 0x2000_0000:
            both.append(f"section {data[at:at + 8].rstrip(bytes(1)).decode()}")
    return both


def frame_ranges(data):
    """[start, end) of every function that .debug_frame describes (DWARF 5 §6.4.1)."""
    elf = Elf(data)
    section = next((s for s in elf.sections if s["name"] == ".debug_frame"), None)
    if section is None:
        return []
    at, end, found = section["sh_offset"], section["sh_offset"] + section["sh_size"], []
    while at + 4 <= end:
        length, head = struct.unpack_from("<I", data, at)[0], 4
        if length == 0xFFFF_FFFF:
            length, head = struct.unpack_from("<Q", data, at + 4)[0], 12
        if not length:
            break
        size = 8 if head == 12 else 4
        cie = int.from_bytes(data[at + head:at + head + size], "little")
        if cie != (1 << (8 * size)) - 1:
            start, count = struct.unpack_from("<QQ", data, at + head + size)
            found.append((start, start + count))
        at += head + length
    return found


def asm_in_debugger(data, names, end_labels=()):
    """Complaints about the symbols `names` of an ELF file: no type, no size, or code without call-frame information.

    Symbols that the linker dropped do not count. `end_labels` are suffixes of names that mark an end, where no
    byte lies, and so have size 0.
    """
    ranges, problems = frame_ranges(data), []
    for name, value, size, kind in Elf(data).symbols():
        if name not in names:
            continue
        if kind == STT_NOTYPE:
            problems.append(f"{name} has no type")
        if not size and not name.endswith(tuple(end_labels)):
            problems.append(f"{name} has no size")
        # The whole body must be covered, by one description or by several (each trap stub has its own, with
        # padding up to the next one's alignment between them).
        at, last = value, value + size
        while kind == STT_FUNC and at < last:
            padding = min(-at % ALIGNMENT, last - at) if at > value else 0
            covering = [end for start, end in ranges if start <= at < end]
            covering = covering or [end for start, end in ranges if padding and start == at + padding]
            if not covering and not (padding and at + padding == last):
                problems.append(f"{name} has no call-frame information at +{at - value:#x}")
                break
            at = max(covering, default=last)
    return problems


def not_static(disassembly, function, instruction):
    """Complaints about a function, named by a pattern, of objdump's output: the Platform trait costs nothing if what it
    calls through it stands in its body (seen by an instruction that only that has) and it calls nothing by pointer."""
    bodies = re.findall(rf"^[0-9a-f]+ <[^>]*{function}[^>]*>:\n((?:.+\n)*)", disassembly, re.MULTILINE)
    if len(bodies) != 1:
        return [f"{len(bodies)} functions are called {function}"]
    problems = [f"{function} calls by pointer: {call.strip()}" for call in re.findall(r"\bcall\s+\*.*", bodies[0])]
    if not re.search(rf"\b{instruction}\b", bodies[0]):
        problems.append(f"{function} has no {instruction} of its own")
    return problems
