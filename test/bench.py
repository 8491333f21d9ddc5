#!/usr/bin/env python3
"""`make bench`: what a boot costs, counted and timed.

  instructions   guest instructions from the kernel's entry to its prompt, with 512 MiB. QEMU's -icount lets each
                 instruction take 8 ns of guest time (shift=3) and makes the run repeatable; the kernel's own boot
                 line is read as a clock. And how many more they are with 16 GiB. A loop of known length, planted into a copy of the kernel, checks first that
                 the clock counts instructions as this file believes.
  hot paths      the monitor's `bench`, in the same way: its ticks are instructions then.
  several CPUs   the rows that need them, with four, in the same way: under -icount all CPUs take turns in one thread,
                 and a figure is the sum of what all of them execute, waiting included. The start of 4 and of 64 CPUs
                 in milliseconds of the kernel's own clock, 8 ns an instruction; 10 of them are a wait that the protocol
                 asks for.
  milliseconds   from the loader's start to the prompt, less the time inside UEFI calls, under plain TCG on this
                 machine: the median of three runs. A figure for this machine only; likewise all that is called wall
                 clock: switch, wake-up, mutex and call with two CPUs, each a thread of QEMU's, and the start of many.
  ring 3         what a program pays for the kernel, beside Debian's Linux in the same machine: lib/speed.py.

`--json FILE` writes the figures too; `--ring3` measures the last alone. Status 1 if a figure misses its aim.
"""

import argparse
import json
import re
import statistics
import sys
import tempfile
from pathlib import Path

TEST = Path(__file__).resolve().parent
sys.path.insert(0, str(TEST))
sys.dont_write_bytecode = True

from lib import build, speed  # noqa: E402
from lib.elfedit import Elf  # noqa: E402
from lib.guest import Guest  # noqa: E402
from tools import mkesp, qemu  # noqa: E402

AIM_INSTRUCTIONS = 10_000_000
AIM_MS = 100.0
# How much longer a boot takes with much memory.
SMALL, LARGE = "512M", "16G"
AIM_GROWTH = 100_000_000
# Rows of the monitor's `bench`, with the most that each should be; of instructions, or of nanoseconds where they say so.
AIMS = {"interrupt": 120, "clock": 40, "timer": 150, "expiry": 10_000, "frame": 60, "heap": 60, "map": 11_000,
        "mmap": 6_000, "fault": 1_200, "cow": 1_700, "fork": None, "exit": None,
        "spin": 20, "irq-lock": 30, "mutex": 20, "epoch": 12,
        "yield": 200, "yield-own": 450, "syscall": 150, "wakeup": 500, "spawn": 5_000,
        "open": None, "stat": None, "zero": None, "pread": None, "pipe": None, "create": None, "readdir": None,
        "call": None, "shootdown": None}
# Those that need several CPUs, and how many they are given.
SEVERAL, SEVERAL_CPUS = ("call", "shootdown"), 4
# Those that are also timed by the clock on the wall, with two CPUs.
WALL, WALL_CPUS = ("yield", "wakeup", "mutex", "call"), 2
# Start of so many CPUs.
STARTS = (4, 64)
# What Linux 6.1 (mitigations=off) takes on the same machine for the like of them, the way from ring 3 and back included,
# which ours leave out.
LINUX = {"mmap": 18_856, "fault": 3_151, "cow": 4_329}
NS_PER_INSTRUCTION = 8  # of -icount shift=3
ICOUNT = "shift=3,sleep=off"
RUNS = 3

# Planted at the kernel's first Rust function (whatever it overwrites behind that never runs): 2 * LOOPS instructions between two readings of the time-stamp
# counter, then the difference as 16 letters A to P, lowest digit first, on COM1, and QEMU's exit with status 33.
LOOPS = 1_000_000
CALIBRATION = bytes.fromhex(
    "0f31 48c1e220 4809c2 4989d0"  #      rdtsc; shl rdx, 32; or rdx, rax; mov r8, rdx
    f"b9 {LOOPS.to_bytes(4, 'little').hex()}"  # mov ecx, LOOPS
    "ffc9 75fc"  #                     1: dec ecx; jnz 1b
    "0f31 48c1e220 4809c2 4c29c2 4989d0"  # rdtsc; shl rdx, 32; or rdx, rax; sub rdx, r8; mov r8, rdx
    "b910000000 66baf803"  #              mov ecx, 16; mov dx, 0x3f8
    "4488c0 240f 0441 ee"  #           2: mov al, r8b; and al, 15; add al, 'A'; out dx, al
    "49c1e804 ffc9 75f0"  #               shr r8, 4; dec ecx; jnz 2b
    "66baf400 b010 ee ebfe"  #            mov dx, 0xf4; mov al, 0x10; out dx, al; jmp .
)


def stages(text):
    """Of the boot line: the counter's rate in MHz, and the milliseconds of each stage."""
    line = re.search(r"\] boot: (.*)", text)
    if not line:
        raise RuntimeError(f"the kernel printed no boot line:\n{text[-2000:]}")
    rate = int(re.search(r"tsc (\d+) MHz", line[1])[1])
    return rate, {name.strip(): float(ms) for name, ms in re.findall(r"([a-z ]+) ([\d.]+) ms", line[1])}


def figures_of(text):
    """The rows that `bench` printed."""
    rows = re.findall(r"^ *(\S+): ([\d.]+) (ticks|ns) +\((.*)\)", text, re.MULTILINE)
    return [(name, float(figure), unit, about) for name, figure, unit, about in rows]


def one_row(name, text):
    """The one row that was asked for."""
    rows = figures_of(text)
    if [row[0] for row in rows] != [name]:
        raise RuntimeError(f"`bench {name}` has no figure:\n{text}")
    return rows[0]


class Bench:
    def __init__(self, folder):
        self.folder = folder

    def start(self, kernel, mem=SMALL, smp=1, **machine):
        image = self.folder / "esp.img"
        mkesp.make_image(image, {"EFI/BOOT/BOOTX64.EFI": build.RELEASE.loader.read_bytes(), "kernel.elf": kernel,
                                 # QEMU 10 ends itself ("Bad icount read") at a WRMSR to the x2APIC's timer.
                                 "cmdline.txt": b"console=tty0 console=ttyS0 nox2apic\n"})
        return Guest(qemu.Machine(disk=image, serial=["test"], accel="tcg", smp=smp, mem=mem, **machine), self.folder)

    def ask(self, *commands, **machine):
        """Boots; what is printed up to the prompt, and the answer to each command."""
        guest = self.start(build.RELEASE.stripped.read_bytes(), **machine)
        try:
            text = guest.prompt(300)
            return text, [guest.command(command, timeout=300) for command in commands]
        finally:
            guest.kill()

    def boot_line(self, **machine):
        """The milliseconds of the boot line's stages, and the counter's rate as the kernel took it, in MHz."""
        return stages(self.ask(**machine)[0])

    def hot_paths(self):
        """The rows of `bench` with one CPU, then those that need several: name, figure, unit, what it is about."""
        _, [text] = self.ask("bench", icount=ICOUNT)
        alone = figures_of(text)
        if {name for name, *_ in alone} != set(AIMS) - set(SEVERAL):
            raise RuntimeError(f"`bench` has other rows than expected:\n{text}")
        _, answers = self.ask(*(f"bench {name}" for name in SEVERAL), icount=ICOUNT, smp=SEVERAL_CPUS)
        return alone, [one_row(name, text) for name, text in zip(SEVERAL, answers)]

    def wall(self):
        """Rows by the clock on the wall: name, nanoseconds, what it is about. Medians."""
        text, answers = self.ask(*(f"bench {name}" for name in WALL * RUNS), smp=WALL_CPUS)
        rate, _ = stages(text)
        rows = [one_row(name, answer) for name, answer in zip(WALL * RUNS, answers)]
        return [(name, statistics.median(figure for of, figure, *_ in rows if of == name) * 1000 / rate,
                 next(about for of, _, _, about in rows if of == name)) for name in WALL]

    def start_ms(self, cpus, **machine):
        """How long the kernel took to start so many CPUs, by its own clock."""
        text, _ = self.ask(smp=cpus, **machine)
        line = re.search(rf"smp: {cpus} of {cpus} CPUs online, after ([\d.]+) ms", text)
        if not line:
            raise RuntimeError(f"not all of {cpus} CPUs have started:\n{text[-2000:]}")
        return float(line[1])

    def calibrate(self):
        """Ticks of the time-stamp counter for one instruction, by a loop of known length."""
        elf = Elf.load(build.RELEASE.kernel)
        elf.patch(elf.symbol("kernel_main"), CALIBRATION)
        ticks = speed.reported(self.start(bytes(elf), icount=ICOUNT))
        return ticks / (2 * LOOPS)


def finish(path, figures, good):
    """Writes the figures where they are wanted; the status."""
    if path:
        Path(path).write_text(json.dumps(figures, indent=2) + "\n")
    return 0 if good else 1


def main():
    parser = argparse.ArgumentParser(description="Measures a boot.")
    parser.add_argument("--json", metavar="FILE", help="write the figures to FILE")
    parser.add_argument("--ring3", action="store_true", help="what programs pay alone")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sis-bench-") as folder:
        bench = Bench(Path(folder))
        ticks = bench.calibrate()
        if abs(ticks / NS_PER_INSTRUCTION - 1) > 0.01:
            sys.exit(f"bench: under -icount {ICOUNT} one instruction takes {ticks:.3f} ticks, not {NS_PER_INSTRUCTION}")
        print(f"clock: {ticks:.4f} ticks an instruction under -icount {ICOUNT}", flush=True)

        ring3 = speed.measure(Path(folder), ICOUNT, ticks)
        ring3_lines, ring3_good = speed.table(ring3)
        if args.ring3:
            print("\n" + "\n".join(ring3_lines))
            return finish(args.json, {"ring3": ring3}, ring3_good)

        def instructions_to_prompt(mem):
            rate, counted = bench.boot_line(icount=ICOUNT, mem=mem)
            return round(counted["kernel to prompt"] * 1000 * rate / ticks)

        instructions, with_more = (instructions_to_prompt(mem) for mem in (SMALL, LARGE))
        growth = with_more - instructions
        paths, several = bench.hot_paths()
        runs = [bench.boot_line()[1] for _ in range(RUNS)]
        wall = bench.wall()
        starts = [(cpus, bench.start_ms(cpus, icount=ICOUNT), statistics.median(bench.start_ms(cpus) for _ in range(RUNS))) for cpus in STARTS]
    ours = statistics.median(run["ours"] for run in runs)
    figures = {"kernel_to_prompt_instructions": instructions, "growth_instructions": growth, "loader_to_prompt_ms": ours, "runs_ms": runs, "ticks_per_instruction": ticks}

    rows = [
        ("guest instructions, kernel entry to prompt", f"{instructions:,}", f"< {AIM_INSTRUCTIONS:,}", "", instructions < AIM_INSTRUCTIONS),
        (f"    {LARGE} instead of {SMALL}, more by", f"{growth:,}", f"< {AIM_GROWTH:,}", "", growth < AIM_GROWTH),
        ("ms, loader start to prompt less UEFI calls", f"{ours:.1f}", f"< {AIM_MS:.0f}", "", ours < AIM_MS),
    ]
    for stage in runs[0]:
        if stage != "ours":
            rows.append((f"    {stage}, ms", f"{statistics.median(run[stage] for run in runs):.1f}", "", "", True))

    def counted(name, figure, unit, about):
        here, what = (figure / ticks, "instructions") if unit == "ticks" else (figure, unit)
        figures[f"{name}_{what}"] = here
        aim, linux = AIMS[name], LINUX.get(name)
        return f"{what}, {about}", f"{here:,.1f}", f"<= {aim:,}" if aim else "", f"{linux:,}" if linux else "", not aim or here <= aim

    tables = [(f"{SMALL}, 1 CPU", rows + [counted(*row) for row in paths])]
    tables.append((f"{SEVERAL_CPUS} CPUs, the instructions of all in sum", [counted(*row) for row in several]))
    rows = []
    for cpus, by_count, by_wall in starts:
        figures[f"start_of_{cpus}_ms"], figures[f"start_of_{cpus}_wall_ms"] = by_count, by_wall
        rows.append((f"ms, start of {cpus} CPUs, {NS_PER_INSTRUCTION} ns an instruction", f"{by_count:,.1f}", "", "", True))
        rows.append((f"ms, start of {cpus} CPUs, wall clock", f"{by_wall:,.1f}", "", "", True))
    tables.append(("start, by the kernel's clock", rows))
    figures |= {f"{name}_wall_ns": ns for name, ns, _ in wall}
    tables.append((f"wall clock with {WALL_CPUS} CPUs", [(f"ns, {about}", f"{ns:,.1f}", "", "", True) for _, ns, about in wall]))
    for title, rows in tables:
        print(f"\n{title:76} {'here':>12} {'aim':>12} {'Linux *':>10}")
        for name, here, aim, linux, good in rows:
            print(f"{name:76} {here:>12} {aim:>12} {linux:>10}{'' if good else '  MISSED'}")
    print("* Linux 6.1, mitigations=off, on the same machine: with the way from ring 3 and back, which ours leave out")
    print("\n" + "\n".join(ring3_lines))
    return finish(args.json, figures | {"ring3": ring3}, ring3_good and all(good for _, rows in tables for *_, good in rows))


if __name__ == "__main__":
    sys.exit(main())
