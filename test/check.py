#!/usr/bin/env python3
"""`make check`, the project's own part: layering, documents, assembly, W^X. Formatter and lints run before it.

Prints one line a complaint, `path:line: what`, and ends with status 1 if there is any. The checkers are in
test/lib (layers.py, checkers.py, image.py), each with a test that shows it failing. What they check against, the
table of layers above all, stands here.
"""

import re
import subprocess
import sys
from pathlib import Path

TEST = Path(__file__).resolve().parent
sys.path.insert(0, str(TEST))
sys.dont_write_bytecode = True

from lib import build, checkers, doc_commands, image, layers  # noqa: E402
from lib.source import Tree  # noqa: E402

# From the hardware up; a module may use those of its own line and of the lines above it here. The longest name
# that fits a module decides, so boot::loader is not where boot is.
LAYERS = [
    ["avl", "boot", "cpu_set", "errno", "time", "utf8", "testing"],
    ["arch"],
    ["sync"],
    ["log"],
    ["random"],
    ["acpi"],
    ["platform"],
    ["mm"],
    ["task"],
    ["drivers"],
    ["fs"],
    ["proc"],
    ["tty", "net"],
    ["syscall"],
    ["kernel"],
    ["monitor"],
    ["start"],
    ["boot::loader"],
]

# Stacks grow down, so their tops are addresses past their last byte, as ends of code are: symbols without a size.
END_LABELS = ("_top", "_end")


def defined_in_asm(tree):
    """The global symbols of asm/: those of the macros FUNC, OBJECT, PROBE and STACK, and plain .globl ones."""
    names = set()
    for _, text in tree.under("asm/", ".S"):
        names |= set(re.findall(r"^\s*(?:FUNC|OBJECT|PROBE)\s+(\w+)", text, re.MULTILINE))
        names |= set(re.findall(r"^\s*\.globa?l\s+(\w+)", text, re.MULTILINE))
        for name in re.findall(r"^\s*STACK\s+(\w+)", text, re.MULTILINE):
            names |= {name, f"{name}_guard", f"{name}_top"}
    return names


def built(tree):
    """What only the linked files can show."""
    kernel, loader = build.RELEASE.kernel.read_bytes(), build.RELEASE.loader.read_bytes()
    names = defined_in_asm(tree)
    problems = [f"build/kernel.elf: {what} is both writable and executable" for what in image.writable_and_executable(kernel)]
    problems += [f"build/BOOTX64.EFI: {what} is both writable and executable" for what in image.pe_writable_and_executable(loader)]
    problems += [f"build/kernel.elf: {what}" for what in image.asm_in_debugger(kernel, names, END_LABELS)]
    # `timers::every` asks the Platform for the time, which on this one is a reading of the TSC.
    disassembly = subprocess.run(["objdump", "-d", "--no-show-raw-insn", build.RELEASE.kernel], capture_output=True, text=True, check=True)
    problems += [f"build/kernel.elf: {what}" for what in image.not_static(disassembly.stdout, "6timers5every", "rdtsc")]
    found = names & {name for name, *_ in image.Elf(kernel).symbols()}
    if len(found) < len(names) / 2:
        problems.append(f"build/kernel.elf: only {len(found)} of the {len(names)} symbols of asm/ are in it")
    return problems


def main():
    tree = Tree.of_checkout(build.ROOT)
    pictures = [str(path.relative_to(build.ROOT)) for kind in ("png", "svg") for path in (build.ROOT / "docs").rglob(f"*.{kind}")]
    checks = {
        "layers": lambda: layers.check(tree, LAYERS),
        "length of files": lambda: checkers.length(tree),
        "nothing left open": lambda: checkers.left_open(tree),
        "headers": lambda: checkers.header(tree),
        "unsafe is argued": lambda: checkers.unsafe_argued(tree),
        "privileged code in arch only": lambda: checkers.privileged_in_arch_only(tree),
        "one machine behind the trait": lambda: checkers.one_machine_behind_the_trait(tree),
        "assembly symbols": lambda: checkers.asm_symbols(tree),
        "paths in documents": lambda: checkers.paths_exist(tree, pictures),
        "reading order": lambda: checkers.reading_order(tree),
        "commands in documents": lambda: checkers.commands_are_tested(tree, doc_commands.KNOWN),
        "make targets": lambda: checkers.make_help_is_complete(tree),
        "the built image": lambda: built(tree),
    }
    if not build.RELEASE.kernel.exists():
        build.make("-s")
    bad = 0
    for name, run in checks.items():
        problems = run()
        bad += len(problems)
        print(f"check: {name}: {'ok' if not problems else f'{len(problems)} complaints'}")
        print(*problems, sep="\n", end="\n" if problems else "")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
