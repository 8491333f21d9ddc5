#!/usr/bin/env python3
"""Writes those parts of the documents that the sources already say: tables of commands, options, faults, tests.

    gendocs.py           brings the documents that have such parts up to date
    gendocs.py --check   changes nothing; names each part that is stale and ends with status 1 if there is one

A document has a place for each part, between two lines:

    <!-- generated: commands -->
    <!-- end -->

What stands between them is this tool's; the rest is written by hand. The sources are read as text and not compiled,
so each table is looked for by its declaration, and a table that is not found, or is empty, is an error: a part
never vanishes in silence. Same sources, same documents.
"""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WIDTH = 110
STRING = r'"((?:[^"\\]|\\.)*)"'


class GendocsError(Exception):
    """A source or a document is not as this tool expects it."""


# ---- reading the sources -------------------------------------------------------------------------------------------


def unescape(text):
    """The content of a Rust string literal, of which the tables use three escapes."""
    return re.sub(r'\\([n"\\])', lambda match: "\n" if match[1] == "n" else match[1], text)


def table(folder, declaration):
    """The text of the one table below `folder` that begins with `declaration` and ends with `];` at the line's start."""
    found = []
    for path in sorted((ROOT / folder).rglob("*.rs")):
        head, begin, rest = path.read_text().partition(declaration)
        if begin:
            body, end, _ = rest.partition("\n];")
            if not end:
                raise GendocsError(f"{path.relative_to(ROOT)}: no end of `{declaration}`")
            found.append(body)
    if len(found) != 1:
        raise GendocsError(f"{folder}: {len(found)} tables begin with `{declaration}`, one is expected")
    return found[0]


def entries(folder, declaration, pattern):
    """Each entry's strings, unescaped; a string that an entry does not have is empty."""
    rows = re.findall(pattern, table(folder, declaration))
    if not rows:
        raise GendocsError(f"{folder}: nothing found in `{declaration}`")
    return [tuple(unescape(text) for text in row) for row in rows]


def readers(name):
    """The files outside the command line's own code that ask it for this option."""
    asks = re.compile(rf'\.(?:flag|all|last|number)\(\s*"{name}"\s*\)|\b\w*options\.{name}\(\)')
    own = ROOT / "src/boot/cmdline"
    paths = [path for path in sorted((ROOT / "src").rglob("*.rs")) if not path.is_relative_to(own)]
    return [str(path.relative_to(ROOT)) for path in paths if asks.search(path.read_text())]


# ---- the parts -----------------------------------------------------------------------------------------------------


def item(head, *paragraphs):
    """A bold head and wrapped text below it, as one item of a list."""
    lines = [f"- **`{head}`**: {paragraphs[0]}", *(f"  {text}" for text in paragraphs[1:])]
    return "\n".join(textwrap.fill(line, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
                     for line in lines)


def block(rows):
    """Two columns as a block of plain text."""
    wide = max(len(left) for left, _ in rows)
    return "\n".join(["```text", *(f"{left:{wide}}  {right}".rstrip() for left, right in rows), "```"])


def sentence(text):
    return text if text.endswith((".", "?", "!")) else text + "."


def commands():
    rows = entries("src/monitor", "pub const TABLE: &[Command] = &[",
                   rf"\bcommand\(\s*{STRING},\s*{STRING},\s*{STRING},\s*{STRING},")
    items = []
    for name, arguments, short, details in rows:
        head = f"{name} {arguments}".strip()
        items.append(item(head, sentence(short), *map(sentence, details.split("\n"))))
    return "\n".join(items)


def faults():
    rows = entries("src/monitor", "const KINDS: &[Kind] = &[",
                   rf"(?:\bkind\(|\bby_int!\(|\bsynthetic!\(|\bKind \{{ name:)\s*{STRING},\s*(?:about:\s*)?{STRING}")
    return block(rows)


def selftests():
    rows = entries("src/kernel", "pub const TESTS: &[SelfTest] = &[",
                   rf"\bSelfTest \{{\s*name: {STRING},\s*about: {STRING}")
    return block(rows)


def options():
    rows = entries("src/boot/cmdline", "pub const KNOWN_OPTIONS: &[KnownOption] = &[",
                   rf"\b(bare|value|either)\(\s*{STRING},\s*{STRING}(?:,\s*{STRING})?,?\s*\)")
    items = []
    for form, name, second, third in rows:
        value, text = ("", second) if form == "bare" else (second, third)
        head = {"bare": name, "value": f"{name}={value}", "either": f"{name}[={value}]"}[form]
        where = readers(name)
        state = "Read by " + " and ".join(f"`{path}`" for path in where) + "." if where else "Not read yet."
        items.append(item(head, sentence(text), state))
    return "\n".join(items)


def constants(path):
    """The `pub const NAME: u64 = …;` of a source file, in order, evaluated: integers, names before or after, + - * <<."""
    texts = dict(re.findall(r"^pub const (\w+): u64 = ([^;]+);", (ROOT / path).read_text(), re.MULTILINE))

    def value(name):
        text = texts[name]
        words = re.sub(r"\b[A-Z]\w*", lambda match: str(value(match[0])), text)
        if not re.fullmatch(r"[\dxA-Fa-f_ <+*()-]+", words):
            raise GendocsError(f"{path}: {name} = {text} is not understood")
        return eval(words)  # digits and operators alone, as was just seen

    return {name: value(name) for name in texts}


def syscalls():
    rows = re.findall(rf'^    (\d+) {STRING} {STRING}( = \w+::\w+)?;$', (ROOT / "src/syscall/table.rs").read_text(), re.MULTILINE)
    if len(rows) < 300:
        raise GendocsError("src/syscall/table.rs: the table of calls is not understood")
    there = [(f"{number} {name}", f"({arguments})") for number, name, arguments, served in rows if served]
    missing = [name for _, name, _, served in rows if not served]
    rest = textwrap.fill(", ".join(missing) + ".", WIDTH, break_long_words=False, break_on_hyphens=False)
    return f"{len(there)} of {len(rows)} are there:\n\n{block(there)}\n\n-ENOSYS is what these say:\n\n{rest}"


# What lies between two addresses of the layout: the names of its bounds, what it is, how it is mapped.
REGIONS = [
    (None, "USER_END", "user", "the program's; its last page stays empty"),
    ("DIRECT_MAP_BASE", "HEAP_BASE", "direct map of RAM", "write-back, no-execute, largest pages, global"),
    ("HEAP_BASE", "MMIO_BASE", "heap and vmalloc", "write-back, no-execute, a guard page behind each piece"),
    ("MMIO_BASE", "ECAM_BASE", "devices", "uncached; the framebuffer write-combining"),
    ("ECAM_BASE", "PERCPU_BASE", "PCI configuration space", "uncached, by segment"),
    ("PERCPU_BASE", "PERCPU_END", "per-CPU areas, kernel stacks", "write-back, each with a guard page"),
    ("FRAME_TABLE_BASE", "+FRAME_TABLE_SIZE", "frame table", "write-back, only where there is RAM"),
    ("KERNEL_BASE", "+KERNEL_MAX_SIZE", "kernel image", "text RX, rodata R, data and bss RW"),
]


def size(count):
    """Bytes in the largest unit that leaves few digits."""
    units = ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while count >= 1024 and len(units) > 1:
        count, units = count / 1024, units[1:]
    return f"{count:.0f} {units[0]}"


def layout():
    known = constants("src/boot/layout.rs")
    used = {name.strip("+") for low, high, *_ in REGIONS for name in (low, high) if name}
    forgotten = {name for name in known if name.endswith(("_BASE", "_END"))} - used
    if forgotten:
        raise GendocsError(f"src/boot/layout.rs: no region of the picture has {', '.join(sorted(forgotten))}")
    edge = "+" + "-" * 30 + "+"
    lines, above = [f"{'':22}{edge}"], 1 << 64
    for low, high, name, how in reversed(REGIONS):
        start = known[low] if low else 0
        end = start + known[high[1:]] if high[0] == "+" else known[high]
        if not start < end <= above:
            raise GendocsError(f"src/boot/layout.rs: the region {name!r} is not where the picture has it")
        if end < above:
            what = "canonical hole" if end == known["USER_END"] else f"{size(above - end)} of nothing"
            lines += [f"{'':22}|  {f'({what})':28}|", f"{'':22}{edge}"]
        lines.append(f"{'':22}|  {name:28}|  {size(end - start)}: {how}")
        # The address stands at the region's lower edge.
        digits = f"{start:016X}"
        lines.append(f"{'_'.join(digits[at:at + 4] for at in range(0, 16, 4))}   {edge}")
        above = start
    return "```text\n" + "\n".join(lines) + "\n```"


def make_help():
    done = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode or not done.stdout.strip():
        raise GendocsError(f"make help failed: {done.stderr.strip()}")
    return "```text\n" + done.stdout.rstrip() + "\n```"


PARTS = {"commands": commands, "faults": faults, "selftests": selftests, "options": options, "layout": layout, "make help": make_help, "syscalls": syscalls}
DOCUMENTS = ["README.md", "docs/monitor.md", "docs/command-line.md", "docs/08-page-tables.md", "docs/syscalls.md"]
PLACE = re.compile(r"^<!-- generated: ([\w ]+) -->\n(.*?)^<!-- end -->$", re.MULTILINE | re.DOTALL)


def renew(path, text, made, stale):
    """The text with every part filled in. What changed is added to `stale`."""
    def fill(match):
        name = match[1]
        if name not in PARTS:
            raise GendocsError(f"{path}: there is no part called {name!r}")
        if name not in made:
            made[name] = PARTS[name]()
        if match[2].strip("\n") != made[name]:
            stale.append(f"{path}:{text.count(chr(10), 0, match.start()) + 1}: the part {name!r} is stale")
        return f"<!-- generated: {name} -->\n\n{made[name]}\n\n<!-- end -->"

    return PLACE.sub(fill, text)


def main():
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit("usage: gendocs.py [--check]")
    made, stale, texts = {}, [], {}
    try:
        for path in DOCUMENTS:
            texts[path] = renew(path, (ROOT / path).read_text(), made, stale)
        unused = set(PARTS) - set(made)
        if unused:
            raise GendocsError(f"no document has a place for {', '.join(sorted(unused))}")
    except (GendocsError, OSError) as error:
        sys.exit(f"gendocs.py: {error}")
    if sys.argv[1:]:
        print(*stale, sep="\n", end="\n" if stale else "")
        sys.exit("gendocs.py: `python3 test/tools/gendocs.py` brings them up to date" if stale else 0)
    for path, text in texts.items():
        if (ROOT / path).read_text() != text:
            (ROOT / path).write_text(text)
            print(f"{path}: written")


if __name__ == "__main__":
    main()
