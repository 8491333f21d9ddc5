#!/usr/bin/env python3
"""`make profile BENCH=yield`: where a row of the monitor's `bench` spends its instructions, by function.

    test/tools/profiler.py yield             by function: what a function has itself, and with what is inlined into it
    test/tools/profiler.py yield --lines 40  the 40 lines of source with the most as well
    test/tools/profiler.py ring3-stat        a row of what programs pay (lib/speed.py): the kernel's functions, and `(program)`

QEMU runs under -icount, as in test/bench.py, one instruction a translation block, and says of each which address it was
at (`-d exec,nochain`). That begins at the prompt and ends at the next one, and goes through a pipe, since a row may be
ten million instructions. What was executed less often than a row has operations is the monitor's, and left out; the rest
is divided by the operations. Of a program's rows less is left out, what one operation in ten did: a fork's bookkeeping that
comes every other time is part of its price. DWARF says which functions an address is part of: mostly several, one inlined into the other.
A count is of instructions, as in `make bench`; a CPU may take a hundred times as long for one as for another.
"""

import argparse
import collections
import os
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

TEST = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TEST))
sys.dont_write_bytecode = True

import bench  # noqa: E402
from lib import build, speed  # noqa: E402

# What a row's figure is the mean of (OPERATIONS in src/kernel/bench.rs), and what is left out: less than nine in ten.
OPERATIONS = 1000
SELDOM = 0.9
# Rows of programs: the name's prefix, and what is left out there.
RING3 = "ring3-"
SELDOM_RING3 = 0.1
# Addresses below are a program's.
KERNEL = 1 << 63
EXECUTED = re.compile(rb"^Trace \d+: \S+ \[[0-9a-f]+/([0-9a-f]+)/", re.MULTILINE)


def count_addresses(read, chunk=1 << 20):
    """How often each address is in a log of QEMU's, which `read(n)` returns piece by piece and b"" at its end."""
    counts, rest = collections.Counter(), b""
    while data := read(chunk):
        whole, line, rest = (rest + data).rpartition(b"\n")
        counts.update(EXECUTED.findall(whole + line))
    counts.update(EXECUTED.findall(rest))
    return {int(address, 16): count for address, count in counts.items()}


def parse_addr2line(text):
    """Of each address the functions that it is in, the innermost first: (function, file:line)."""
    chains, chain, lines = {}, None, iter(text.splitlines())
    for line in lines:
        if re.fullmatch(r"0x[0-9a-f]+", line):
            chain = chains.setdefault(int(line, 16), [])
        else:
            place = next(lines)
            chain.append((line, re.sub(r" \(discriminator \d+\)$", "", place)))
    return chains


def chains_of(addresses, kernel):
    """The same, asked of the kernel's debug information."""
    done = subprocess.run(["addr2line", "-a", "-i", "-f", "-C", "-e", kernel], check=True, text=True, stdout=subprocess.PIPE,
                          input="".join(f"{address:#x}\n" for address in addresses))
    return parse_addr2line(done.stdout)


def short(function, place):
    """A function's name as its file and itself: `fair::give_up`, without types, generics and the rest of the path."""
    name = re.sub(r"::h[0-9a-f]{16}$", "", function)
    # From inside to outside: generics, and the type or trait that a function is of.
    while "<" in name and name != (name := re.sub(r"(?<!-)<[^<>]*>", "", name)):
        pass
    names = [part for part in name.split("::") if part]
    while len(names) > 1 and names[-1].startswith("{"):
        names[-2:] = [names[-2] + " {}"]
    file = re.search(r"([^/]+?)(?:/mod)?\.(?:rs|S):", place)
    return f"{file[1]}::{names[-1]}" if file and names else function


def is_ours(place):
    """Not of Rust's library, nor of a crate."""
    return not re.search(r"/library/|index\.crates\.io|/rustc/", place)


def source(place):
    """The place in the tree."""
    return re.sub(r"^.*?/((?:src|asm)/)", r"\1", place)


def profile(counts, chains):
    """By function: (itself, with what is inlined into it); by line: itself. The library's are their callers'."""
    own, inclusive, lines = collections.Counter(), collections.Counter(), collections.Counter()
    for address, count in counts.items():
        chain = chains.get(address) or [("?", "?")]
        if address < KERNEL:
            chain = [("(program)", "?")]
        chain = [frame for frame in chain if is_ours(frame[1])] or chain[-1:]
        names = [short(*frame) for frame in chain]
        own[names[0]] += count
        for name in set(names):
            inclusive[name] += count
        lines[source(chain[0][1])] += count
    return own, inclusive, lines


def record(row, folder):
    """Runs the row. Its figure as the monitor or the program prints it, its operations, and how often each address was executed."""
    if row.startswith(RING3):
        guest = speed.ours(folder, only=row.removeprefix(RING3), icount=bench.ICOUNT, smp=1)
    else:
        guest = bench.Bench(folder).start(build.RELEASE.stripped.read_bytes(), icount=bench.ICOUNT,
                                          smp=bench.SEVERAL_CPUS if row in bench.SEVERAL else 1)
    pipe = folder / "executed"
    os.mkfifo(pipe)
    counts = {}

    def read():
        with open(pipe, "rb", buffering=0) as log:
            counts.update(count_addresses(log.read))

    def monitor(line):
        answer = guest.qmp("human-monitor-command", **{"command-line": line})
        if answer:
            raise RuntimeError(f"QEMU says of `{line}`: {answer}")

    reader = threading.Thread(target=read, daemon=True)
    try:
        if row.startswith(RING3):
            guest.expect("speed: ready", 300)
        else:
            guest.prompt(300)
        reader.start()
        monitor(f"logfile {pipe}")
        monitor("one-insn-per-tb on")
        monitor("log exec,nochain")
        if row.startswith(RING3):
            guest.send("\r")
            guest.expect(re.compile("speed: (done|failed)"), 3600)
            text = guest.text
        else:
            text = guest.command(f"bench {row}", timeout=3600)
    finally:
        guest.kill()
    reader.join()
    if row.startswith(RING3):
        name, n, ticks = re.search(r"speed: row (\S+) (\d+) (\d+)", text).groups()
        return f"{name}: {int(ticks) / int(n) / bench.NS_PER_INSTRUCTION:,.1f} instructions ({speed.ROWS[name]})", int(n), counts
    if not bench.figures_of(text):
        raise RuntimeError(f"`bench {row}` has no figure:\n{text}")
    return text.strip(), OPERATIONS, counts


def main():
    parser = argparse.ArgumentParser(description="Where a row of `bench` spends its instructions.")
    rows = [*bench.AIMS, *(RING3 + name for name in speed.ROWS)]
    parser.add_argument("row", choices=rows, metavar="ROW", help=", ".join(rows))
    parser.add_argument("--lines", type=int, default=0, metavar="N", help="also the N lines of source with the most")
    parser.add_argument("--code", action="store_true", help="also each instruction, by address")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sis-profile-") as folder:
        text, operations, counts = record(args.row, Path(folder))
    seldom = operations * (SELDOM_RING3 if args.row.startswith(RING3) else SELDOM)
    often = {address: count for address, count in counts.items() if count >= seldom}
    left = sum(counts.values()) - sum(often.values())
    chains = chains_of(often, build.RELEASE.kernel)
    own, inclusive, lines = profile(often, chains)
    print(f"{text}\n\ninstructions for each of {operations:,} operations: {sum(often.values()) / operations:,.1f}, "
          f"beside {left:,} of the monitor's\n\n{'itself':>10} {'with inlined':>12}  function")
    for name, count in sorted(inclusive.items(), key=lambda item: (-own[item[0]], -item[1])):
        print(f"{own[name] / operations:10.1f} {count / operations:12.1f}  {name}")
    if args.lines:
        print(f"\n{'itself':>10}  line")
        for place, count in lines.most_common(args.lines):
            print(f"{count / operations:10.1f}  {place}")
    if args.code:
        print(f"\n{'executed':>10}  instruction")
        for address, count in sorted(often.items()):
            print(f"{count / operations:10.1f}  {address:#x}  " + " < ".join(short(*frame) for frame in chains[address]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
