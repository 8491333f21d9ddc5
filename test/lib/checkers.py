"""The project's promises that can be read off its text: Rust style, assembly, documents.

Each function takes a `Tree` (source.py) and returns its complaints, `path:line: what`. check.py calls them on the
checkout, test_check.py on small bad samples. What needs the built image is in image.py, the layers in layers.py.
"""

import re

from lib.source import line_of, rust_code

MAX_LINES = 700
SOURCE = (".rs", ".S", ".h", ".ld", ".py", ".sh")
# Spelled apart, so that this file does not accuse itself.
LEFT_OPEN = re.compile(r"\b(?:tod" r"o|unimplemente" r"d)!|\b(?:FIXM" r"E|XX" r"X)\b")


# ---- any source file ----


def length(tree):
    """A file that needs a table of contents wants to be two."""
    return [f"{path}:{MAX_LINES + 1}: {text.count(chr(10))} lines, at most {MAX_LINES} are one subject"
            for path, text in tree.items() if path.endswith(SOURCE) and text.count("\n") > MAX_LINES]


def left_open(tree):
    """Nothing is left for later in the code; what is missing stands in docs/not-done."""
    return [f"{path}:{line_of(text, match.start())}: {match.group()} left in the code"
            for path, text in tree.items() if path.endswith(SOURCE) for match in LEFT_OPEN.finditer(text)]


def header(tree):
    """The first lines say what a file is."""
    start = {".rs": ("//!", "#!["), ".S": ("/*",), ".h": ("/*",), ".ld": ("/*",), ".py": ('"""', "#!"), ".sh": ("#",)}
    problems = []
    for path, text in tree.items():
        wanted = next((words for suffix, words in start.items() if path.endswith(suffix)), None)
        if wanted and text.strip() and not text.lstrip().startswith(wanted):
            problems.append(f"{path}:1: does not begin with the comment that says what it is")
    return problems


# ---- Rust ----


def unsafe_argued(tree):
    """Every `unsafe` block and impl has `// SAFETY:` close above it (or behind its brace), every unsafe fn `# Safety`."""
    problems = []
    for path, text in tree.items():
        if not path.endswith(".rs"):
            continue
        lines = text.split("\n")
        code = rust_code(text)
        for match in re.finditer(r"\bunsafe\s*(\{|impl\b|(?:extern\s+)?(?:fn)\b)?", code):
            number = line_of(code, match.start())
            above = "\n".join(lines[max(0, number - 9):number + 1])
            if match[1] in ("{", "impl") and "SAFETY:" not in above:
                problems.append(f"{path}:{number}: unsafe without // SAFETY:")
        for match in re.finditer(r"\bpub(?:\([^)]*\))?\s+(?:const\s+)?unsafe\s+(?:extern\s+)?fn\s+(\w+)", code):
            number = line_of(code, match.start())
            above = number - 2  # the contiguous doc comment and attributes above the function
            while above >= 0 and re.match(r"\s*(///|//|#\[)", lines[above]):
                above -= 1
            if "Safety" not in "\n".join(lines[above + 1:number]):
                problems.append(f"{path}:{number}: unsafe fn {match[1]} without a # Safety section")
    return problems


_PRIVILEGED = re.compile(
    r"\b(?:(?:global_|naked_)?asm!|naked_asm!"
    r"|(?:rdmsr|wrmsr|outb|outw|outl|inb|inw|inl|invlpg|lgdt|lidt|ltr|read_cr[0-8]|write_cr[0-8])\b"
    r"|IA32_\w+|MSR_\w+)"
)


def privileged_in_arch_only(tree, home="src/arch/"):
    """Instructions, ports, MSRs and control registers are named in src/arch alone (and in asm/)."""
    return [f"{path}:{line_of(code, match.start())}: {match.group()} outside {home}"
            for path, text in tree.under("src/", ".rs") if not path.startswith(home)
            for code in [rust_code(text)] for match in _PRIVILEGED.finditer(code)]


def one_machine_behind_the_trait(tree, machine="platform::pc", allowed=("src/platform/", "src/kernel/", "src/monitor/", "src/start.rs")):
    """What is to run on any machine asks `Machine`; only start-up, traps and the monitor's displays name the PC itself."""
    return [f"{path}:{line_of(code, match.start())}: {machine} outside {', '.join(allowed)}"
            for path, text in tree.under("src/", ".rs") if not path.startswith(allowed)
            for code in [rust_code(text)] for match in re.finditer(rf"\b{machine}\b", code)]


# ---- assembly ----


def asm_symbols(tree):
    """Every global symbol has a type and a size in the file that defines it; a constant (.set) has neither.

    Call-frame information is checked where it ends up, in kernel.elf (image.py): macros open and close it.
    """
    problems = []
    for path, text in tree.under("asm/", ".S", ".h"):
        for match in re.finditer(r"^\s*\.globa?l\s+(\S+)", text, re.MULTILINE):
            name, line = match[1], line_of(text, match.start())
            quoted = re.escape(name)
            if re.search(rf"^\s*\.(?:set|equ)\s+{quoted}\s*,", text, re.MULTILINE):
                continue
            # A macro may open a symbol and another close it: the name is then the macro's argument.
            for directive in ("type", "size"):
                if not re.search(rf"^\s*\.{directive}\s+{quoted}\s*,", text, re.MULTILINE):
                    problems.append(f"{path}:{line}: {name} has no .{directive}")
    return problems


# ---- documents ----

DOCUMENT = re.compile(r"^(?:README\.md|docs/.*)$")
# A path in a text: from a folder of ours, up to what cannot be part of a name.
_PATH = re.compile(r"(?<![\w./:@-])((?:src|asm|linker|test|docs|\.ci|\.cargo)/[\w.*/-]*[\w*/]|build\.rs|Makefile|Cargo\.toml|Cargo\.lock)(?![\w-])")
_LINK = re.compile(r"\]\(([^)#\s:]+)(?:#[^)]*)?\)")


def documents(tree):
    return {path: text for path, text in tree.items() if DOCUMENT.match(path)}


def paths_exist(tree, others=()):
    """Every path of ours that a document (or a comment of the sources) names exists. `others`: pictures and the like."""
    known = type(tree)(tree)
    known.update({path: "" for path in others})
    problems = []
    sources = {path: text for folder in ("src/", "asm/", "linker/") for path, text in tree.under(folder)}
    for path, text in (documents(tree) | sources).items():
        for match in _PATH.finditer(text):
            if not known.exists(match[1]):
                problems.append(f"{path}:{line_of(text, match.start())}: {match[1]} does not exist")
    for path, text in documents(tree).items():
        folder = path.rpartition("/")[0]
        for match in _LINK.finditer(text):
            parts = [part for part in folder.split("/") if part] if not match[1].startswith("/") else []
            for part in match[1].strip("/").split("/"):
                if part == "..":
                    parts = parts[:-1]
                elif part != ".":
                    parts.append(part)
            if not known.exists("/".join(parts)):
                problems.append(f"{path}:{line_of(text, match.start())}: the link {match[1]} leads nowhere")
    return problems


READING_ORDER = "docs/reading-order"


def reading_order(tree, folders=("src/", "asm/", "linker/")):
    """Every file of the system appears in docs/reading-order, once, and what appears there exists.

    A line of it is a path, or text; `#` begins a comment.
    """
    name = READING_ORDER if READING_ORDER in tree else READING_ORDER + ".md"
    if name not in tree:
        return [f"{READING_ORDER}:1: there is no reading order"]
    problems, seen = [], {}
    for number, line in enumerate(tree[name].split("\n"), 1):
        for path in re.findall(r"(?<![\w/.-])((?:src|asm|linker)/[\w./-]*\w)", line.split("#")[0]):
            if path in seen:
                problems.append(f"{name}:{number}: {path} stands in line {seen[path]} already")
            seen[path] = number
            if path not in tree:
                problems.append(f"{name}:{number}: {path} does not exist")
    missing = [path for folder in folders for path, _ in tree.under(folder) if path not in seen]
    return problems + [f"{name}:1: {path} is missing" for path in missing]


def commands(tree):
    """(path, line, command) of every line in a document's ```sh blocks, without comments and a leading `$ `."""
    for path, text in documents(tree).items():
        for block in re.finditer(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            number = line_of(text, block.start(1))
            for offset, line in enumerate(block[1].split("\n")):
                command = re.sub(r"(^|\s)#.*", "", line).strip().removeprefix("$ ").strip()
                if command:
                    yield path, number + offset, command


def commands_are_tested(tree, known):
    """Every command in a document matches one of `known`: {regex: how it is tried} (doc_commands.py)."""
    return [f"{path}:{line}: no test runs `{command}` (test/lib/doc_commands.py)"
            for path, line, command in commands(tree) if not any(re.fullmatch(regex, command) for regex in known)]


def make_help_is_complete(tree):
    """Every target that the contract names is in the Makefile with a line of help."""
    targets = "run gdb test matrix fuzz crash bench bochs check".split()
    text = tree.get("Makefile", "")
    return [f"Makefile:1: no target `{target}` with a `##` line of help" for target in targets
            if not re.search(rf"^{target}:.*## \S", text, re.MULTILINE)]
