#!/usr/bin/env python3
"""The test run: host unit tests, then the tests that boot machines, then one line that counts them all.

    test/run.py                    all tests, each matrix sampled pairwise (what `make test` runs)
    test/run.py --matrix           every combination      test/run.py --fuzz   the long fuzzers alone
    test/run.py --cpus             the machines with 64 and more CPUs alone, one at a time (what `make cpus` runs)
    test/run.py -k prompt --list   the names of the tests that a pattern finds; without --list it runs them
    test/run.py --debug-build      the same tests on the debug build

A pattern is a regular expression searched for in the names. A failed test prints its whole serial log and the
QEMU command to repeat it by hand; its image stays in build/test/NAME/. The last line is always
`N passed, N failed, N skipped`, and the status is 0 only if none failed and something passed.

Environment: SIS_TEST_SLOW=3 stretches every timeout; ACCEL, QEMU and FIRMWARE as for `make run`.
"""

import argparse
import importlib
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

TEST = Path(__file__).resolve().parent
sys.path.insert(0, str(TEST))
sys.dont_write_bytecode = True

from lib import build, harness  # noqa: E402
from lib.guest import Guest  # noqa: E402


class Count:
    """The sum, and what the last lines tell."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.failures, self.skips = [], []
        self._lock = threading.Lock()

    def add(self, name, result):
        """Counts one test and prints its line, and all there is to know if it failed."""
        with self._lock:
            word = {"passed": "ok  ", "failed": "FAIL", "skipped": "skip"}[result.outcome]
            print(f"{word}  {result.seconds:6.1f} s  {name}", flush=True)
            if result.outcome == "passed":
                self.passed += 1
            elif result.outcome == "skipped":
                self.skipped += 1
                self.skips.append((name, result.reason))
            else:
                self.failed += 1
                self.failures.append(name)
                print_failure(result)


def print_failure(result):
    print(f"      {result.reason}")
    for title, text in result.logs:
        print(f"------ {title}")
        # Escape sequences would act on the reader's terminal; here they are shown.
        print(re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", lambda c: repr(c.group())[1:-1], text.replace("\r\n", "\n")))
    for command in result.by_hand:
        print(f"------ by hand, the serial line on the terminal:\n{command}")
    print("------", flush=True)


def host_tests(count, title, command, summary, cwd=build.ROOT):
    """Runs a command that tests on the host; `summary` reads (passed, failed, skipped) off its output."""
    started = time.monotonic()
    done = subprocess.run(command, cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          stdin=subprocess.DEVNULL)
    passed, failed, skipped = summary(done.stdout)
    # A run that broke off, or that tested nothing, is a failure whatever it printed.
    if not failed and (done.returncode or not passed):
        failed = 1
    count.passed, count.failed, count.skipped = count.passed + passed, count.failed + failed, count.skipped + skipped
    word = "FAIL" if failed else "ok  "
    print(f"{word}  {time.monotonic() - started:6.1f} s  {title}: {passed} passed, {failed} failed, {skipped} skipped", flush=True)
    if failed:
        count.failures.append(title)
        print(f"------ {' '.join(map(str, command))}\n{done.stdout}------", flush=True)
    if skipped:
        count.skips.append((title, f"{skipped} are marked so in the source"))


def cargo_summary(text):
    """The sum of cargo's `test result:` lines."""
    lines = re.findall(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored", text, re.MULTILINE)
    return tuple(sum(map(int, column)) for column in zip(*lines)) or (0, 0, 0)


def unittest_summary(text):
    """What Python's unittest says at its end."""
    ran = re.search(r"^Ran (\d+) tests?", text, re.MULTILINE)
    bad = sum(map(int, re.findall(r"(?:failures|errors)=(\d+)", text)))
    skipped = sum(map(int, re.findall(r"skipped=(\d+)", text)))
    total = int(ran.group(1)) if ran else 0
    return max(0, total - bad - skipped), bad, skipped


# Mutated ACPI tables: what every run of the tests tries, and the long fuzzer.
SAMPLE, LONG = 1_000_000, 20_000_000
# Damaged initramfs images, likewise; with every run of the tests it is 20,000.
LONG_IMAGES = 1_000_000
# Programs' files and signal frames that are full of lies, likewise; with every run of the tests it is 50,000 of each.
LONG_PROGRAMS = 1_000_000
# Random operations on memory management's parts, of the long fuzzer; with every run of the tests it is 100,000.
LONG_MEMORY = 1_000_000


def fuzz_summary(wanted, said=r"acpi fuzz: (\d+) mutated tables", what="mutated ACPI tables"):
    """cargo's sum, with a failure added if the fuzzer did not say that it tried so many."""
    def summary(text):
        passed, failed, skipped = cargo_summary(text)
        tried = sum(map(int, re.findall(said, text)))
        print(f"      {tried} {what}, of {wanted} that were asked for", flush=True)
        return passed, failed + (tried < wanted), skipped

    return summary


def run_host_fuzz(count, tables, seed=None):
    """The ACPI parsers on damaged tables: the same sequence each time, or that of `seed`."""
    settings = [f"SIS_FUZZ={tables}"] + ([f"SIS_FUZZ_SEED={seed}"] if seed is not None else [])
    command = ["env", *settings, TEST / "tools" / "toolchain.sh", "host", "test", "--lib", "-q", "acpi::fuzz", "--", "--nocapture"]
    host_tests(count, f"host: damaged ACPI tables, {' '.join(settings)}", command, fuzz_summary(tables))


def run_initramfs_fuzz(count, images, seed):
    """The unpacker of initramfs images on damaged ones."""
    settings = [f"SIS_FUZZ={images}", f"SIS_FUZZ_SEED={seed}"]
    command = ["env", *settings, TEST / "tools" / "toolchain.sh", "host", "test", "--lib", "-q", "initramfs::fuzz", "--", "--nocapture"]
    summary = fuzz_summary(images, r"initramfs fuzz: (\d+) images", "damaged initramfs images")
    host_tests(count, f"host: damaged initramfs images, {' '.join(settings)}", command, summary)


def run_program_fuzz(count, number, seed):
    """What programs hand to the kernel in one piece: their files, and the frames that they return from signals by."""
    settings = [f"SIS_FUZZ={number}", f"SIS_FUZZ_SEED={seed}"]
    for part, said, what in (("proc::elf::fuzz", r"elf fuzz: (\d+) damaged", "damaged programs"),
                             ("signal::frame::fuzz", r"sigreturn fuzz: (\d+) hostile", "hostile signal frames")):
        command = ["env", *settings, TEST / "tools" / "toolchain.sh", "host", "test", "--lib", "-q", part, "--", "--nocapture"]
        host_tests(count, f"host: {what}, {' '.join(settings)}", command, fuzz_summary(number, said, what))


def run_memory_fuzz(count, operations, seed):
    """Memory management's parts and run queues against their models, for longer than with every run of the tests."""
    settings = [f"SIS_FUZZ={operations}", f"SIS_FUZZ_SEED={seed}"]
    for part in ("mm::", "paging::", "sched::"):
        command = ["env", *settings, TEST / "tools" / "toolchain.sh", "host", "test", "--lib", "-q", part]
        host_tests(count, f"host: {part} against models, {' '.join(settings)}", command, cargo_summary)


def run_host(count):
    host_tests(count, "host: cargo test --lib", [TEST / "tools" / "toolchain.sh", "host", "test", "--lib", "-q"], cargo_summary)
    run_host_fuzz(count, SAMPLE)
    modules = [f"{path.parent.name}.{path.stem}" for folder in ("lib", "tools") for path in sorted((TEST / folder).glob("test_*.py"))]
    host_tests(count, "host: the tools, the harness and the checkers", [sys.executable, "-B", "-m", "unittest", *modules],
               unittest_summary, TEST)


def run_cases(count, cases, outputs, jobs):
    """Boots machines, `jobs` at a time; those that want the machine for themselves come last."""
    def one(case):
        return case, harness.run(case, outputs)

    groups = [([case for case in cases if not case.declared.alone], jobs), ([case for case in cases if case.declared.alone], 1)]
    for group, workers in groups:
        if not group:
            continue
        with ThreadPoolExecutor(workers) as pool:
            futures = [pool.submit(one, case) for case in group]
            try:
                for future in as_completed(futures):
                    case, result = future.result()
                    count.add(case.name, result)
            except BaseException:
                for future in futures:
                    future.cancel()
                Guest.kill_all()
                raise


def built(outputs_needed):
    """Builds what the tests need. If make has called us, it has built one of the two."""
    done = None if "MAKELEVEL" not in os.environ else build.DEBUG if os.environ.get("DEBUG") == "1" else build.RELEASE
    for outputs in outputs_needed:
        if outputs is not done:
            build.make("-s", *(["DEBUG=1"] if outputs is build.DEBUG else []))
    missing = [str(path) for o in outputs_needed for path in (o.kernel, o.stripped, o.loader, o.image) if not path.exists()]
    if missing:
        sys.exit(f"run.py: not built: {', '.join(missing)}")


def main():
    parser = argparse.ArgumentParser(description="Runs the tests; the last line counts them.")
    parser.add_argument("--matrix", action="store_true", help="every combination instead of a pairwise sample")
    parser.add_argument("--cpus", action="store_true", help="the machines with 64 and more CPUs instead")
    parser.add_argument("--fuzz", action="store_true", help="the long fuzzers instead")
    parser.add_argument("-k", metavar="PATTERN", help="only boot tests whose name this regular expression finds")
    parser.add_argument("-j", type=int, default=os.cpu_count(), metavar="N", help="machines at a time (default: %(default)s)")
    parser.add_argument("--list", action="store_true", help="print the names and end")
    parser.add_argument("--debug-build", action="store_true", help="test the debug build")
    args = parser.parse_args()

    for path in sorted((TEST / "boot").glob("test_*.py")):
        importlib.import_module(f"boot.{path.stem}")
    cases = harness.cases("fuzz" if args.fuzz else "cpus" if args.cpus else "matrix" if args.matrix else "test")
    if args.k:
        cases = [case for case in cases if re.search(args.k, case.name)]
    if args.list:
        print(*(case.name for case in cases), sep="\n")
        return 0

    outputs = build.DEBUG if args.debug_build or os.environ.get("DEBUG") == "1" else build.RELEASE
    needed = {outputs} | {build.BY_NAME[case.values["build"]] for case in cases if "build" in case.values}
    started, count = time.monotonic(), Count()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        built(sorted(needed, key=lambda o: o.name, reverse=True))
        if not args.k and not args.fuzz and not args.cpus:
            run_host(count)
        if args.fuzz and not args.k:
            run_host_fuzz(count, LONG, random.randrange(1 << 32))
            run_initramfs_fuzz(count, LONG_IMAGES, random.randrange(1 << 32))
            run_program_fuzz(count, LONG_PROGRAMS, random.randrange(1 << 32))
            run_memory_fuzz(count, LONG_MEMORY, random.randrange(1 << 32))
        run_cases(count, cases, outputs, 1 if args.cpus else max(1, args.j))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        count.failed += 1
    for name, reason in sorted(count.skips):
        print(f"skipped: {name}: {reason}")
    for name in sorted(count.failures):
        print(f"failed: {name}")
    print(f"{time.monotonic() - started:.0f} s in all")
    print(f"{count.passed} passed, {count.failed} failed, {count.skipped} skipped")
    return 0 if count.passed and not count.failed else 1


if __name__ == "__main__":
    sys.exit(main())
