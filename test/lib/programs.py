"""The test programs of test/programs, as static ELF files that run on this kernel and on Linux alike."""

import hashlib
import re
import subprocess
import tempfile
from pathlib import Path

from lib.build import ROOT

SOURCES = ROOT / "test" / "programs"
BUILT = ROOT / "build" / "programs"
TABLE = ROOT / "src" / "syscall" / "table.rs"
# As small as the kernel's own, and with no library; what is not theirs to decide, such as a stack protector, is off.
FLAGS = "-O2 -Wall -Wextra -static -nostdlib -ffreestanding -fno-stack-protector -fno-pie -no-pie -fcf-protection=none -Wno-parentheses".split()


def served():
    """The calls that the kernel serves: number, name, names of the arguments."""
    rows = re.findall(r'^    (\d+) "(\w+)" "([^"]*)" = ', TABLE.read_text(), re.MULTILINE)
    assert len(rows) > 150, "the table of calls does not look as it did"
    return [(int(number), name, [one.strip() for one in arguments.split(",") if one.strip()]) for number, name, arguments in rows]


def header():
    """calls.h: the same for C."""
    lines = ["/* Made from src/syscall/table.rs. */", "struct row { int number; const char *name, *arguments[6]; };", "static const struct row CALLS[] = {"]
    for number, name, arguments in served():
        lines.append(f'    {{{number}, "{name}", {{{", ".join(f"{chr(34)}{one}{chr(34)}" for one in arguments) or "0"}}}}},')
    return "\n".join([*lines, "};", ""])


def program(name):
    """The bytes of a program, built if it is not yet as its sources are."""
    made = header()
    sources = [SOURCES / f"{name}.c", *sorted(SOURCES.glob("*.h"))]
    key = hashlib.sha256("\0".join([made, *FLAGS, *(path.read_text() for path in sources)]).encode()).hexdigest()[:16]
    place = BUILT / key
    output = place / name
    if not output.exists():
        place.mkdir(parents=True, exist_ok=True)
        # Two tests may build it at once.
        with tempfile.TemporaryDirectory(dir=place) as folder:
            partial = Path(folder) / name
            (Path(folder) / "calls.h").write_text(made)
            subprocess.run(["gcc", *FLAGS, f"-I{folder}", f"-I{SOURCES}", sources[0], "-o", partial], check=True)
            partial.replace(output)
    return output.read_bytes()


def hosted(name):
    """A program of test/programs that is linked with this machine's C library, as a path; None if that has no headers here."""
    source = SOURCES / f"{name}.c"
    place = BUILT / hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    output = place / name
    if not output.exists():
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place) as folder:
            partial = Path(folder) / name
            built = subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-fPIE", "-pie", source, "-o", partial, "-lpthread", "-ldl"], capture_output=True, text=True, check=False)
            if "stdio.h: No such file" in built.stderr or "dlfcn.h: No such file" in built.stderr:
                return None
            if built.returncode:
                raise RuntimeError(built.stderr)
            partial.replace(output)
    return output


def with_libraries(path):
    """Files that a program for the C library's loader needs: itself, the loader, the libraries. Where they are here: there."""
    listed = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
    return [Path(path), *(Path(found) for found in re.findall(r"(/\S+) \(0x", listed))]
