"""What a boot test is made of: the `@test` decorator, the context a test gets, and the running of one test.

A file test/boot/test_*.py registers functions:

    @test("prompt", machine=["q35", "pc"], mem=["128M", "3G"])
    def prompt(t, machine, mem):
        guest = t.boot(machine=machine, mem=mem)
        ...

Each keyword after the name is a factor: one test a combination, pairwise or in full (pairwise.py). A test fails
by raising, `check` being the short way. Whatever it started is ended for it, and its guests are looked over: a
triple fault, a RESET event or an end of QEMU that the test did not wait for fails it too.

Used by run.py; knows guest.py and the tools, and no test.
"""

import os
import shutil
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

from lib import build
from lib.guest import Failure, Guest
from lib.pairwise import all_pairs, product
from tools import mkesp, qemu

REGISTERED = []


class Skip(Exception):
    """The machine we are on cannot run this test; the text says what it lacks."""


def check(condition, message):
    """Fails the test unless `condition`; `message` says what was found, not only what was expected."""
    if not condition:
        raise Failure(message)


@dataclass(frozen=True)
class Declared:
    """A test function with its factors."""

    name: str
    function: object
    factors: dict
    allow: object
    level: str  # test, matrix, cpus or fuzz: the run that it belongs to
    alone: bool  # nothing else may run beside it


def test(name, *, allow=None, level="test", alone=False, **factors):
    """Registers a test. `allow` drops combinations; `level` keeps it out of `make test`."""

    def register(function):
        REGISTERED.append(Declared(name, function, factors, allow, level, alone))  # decorators may be stacked
        return function

    return register


@dataclass
class Case:
    """One test to run: a function and the values of its factors."""

    declared: Declared
    values: dict = field(default_factory=dict)

    @property
    def name(self):
        return "-".join([self.declared.name, *map(str, self.values.values())])


def cases(level="test"):
    """Every test of a run, in the order of registration. The matrix is all but fuzzers and crowds of CPUs, in full."""
    included = {"test": ("test",), "matrix": ("test", "matrix"), "cpus": ("cpus",), "fuzz": ("fuzz",)}[level]
    chosen = []
    for declared in REGISTERED:
        if declared.level not in included:
            continue
        rows = (all_pairs if level == "test" else product)(declared.factors, declared.allow)
        chosen += [Case(declared, row) for row in rows]
    names = [case.name for case in chosen]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"two tests have one name: {', '.join(sorted(twice))}")
    return chosen


@dataclass
class Result:
    case: Case
    outcome: str  # passed, failed, skipped
    seconds: float
    reason: str = ""
    logs: list = field(default_factory=list)  # (title, text) to show when it failed
    by_hand: list = field(default_factory=list)


class Context:
    """What a test works with: `boot` starts machines, `directory` keeps its files."""

    def __init__(self, case, outputs):
        self.outputs = outputs  # build.Outputs: release or debug
        self.directory = build.BUILD / "test" / case.name
        self.guests = []
        self.expect_reset = self.expect_triple_fault = False  # set by a test whose guest does that on purpose
        self._tolerated = set()
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)

    def image(self, files=None, cmdline=None, outputs=None, name="esp.img"):
        """An ESP image with the build's loader and kernel; `files` replaces (or with None removes) some."""
        outputs = outputs or self.outputs
        content = {
            "EFI/BOOT/BOOTX64.EFI": outputs.loader.read_bytes(),
            "kernel.elf": outputs.stripped.read_bytes(),
            "cmdline.txt": ((cmdline or "") + "\n").encode(),
        }
        content |= files or {}
        path = self.directory / name
        mkesp.make_image(path, {name: body for name, body in content.items() if body is not None})
        return path

    def machine(self, **fields):
        """The machine of the tests unless `fields` say otherwise. Skips what this host has no firmware for."""
        fields.setdefault("firmware", os.environ.get("FIRMWARE") or "auto")
        if qemu.find_firmware(fields["firmware"]) is None:
            raise Skip(qemu.why_no_firmware(fields["firmware"]))
        defaults = {"serial": ["test"], "accel": os.environ.get("ACCEL") or "tcg", "smp": 1}
        return qemu.Machine(**(defaults | fields))

    def start(self, files=None, cmdline=None, outputs=None, **machine):
        """Starts a machine with such an ESP; returns at once."""
        machine = self.machine(**machine)
        if machine.disk is None:
            machine.disk = self.image(files, cmdline, outputs)
        guest = Guest(machine, self.directory, len(self.guests))
        self.guests.append(guest)
        return guest

    def boot(self, files=None, cmdline=None, outputs=None, timeout=60, **machine):
        """Starts a machine and waits for the monitor's prompt; `guest.boot_text` is what came before it."""
        guest = self.start(files, cmdline, outputs, **machine)
        guest.boot_text = guest.prompt(timeout)
        return guest

    def tolerate_end(self, guest):
        """This guest may end by itself at any moment from now on."""
        self._tolerated.add(id(guest))

    def verdict(self):
        """Ends what still runs. A complaint about any guest that did what no guest should, or None."""
        complaints = []
        for guest in self.guests:
            waited = guest.status is not None or id(guest) in self._tolerated
            if not waited and guest.process.poll() is not None:
                complaints.append(f"QEMU ended unasked (status {guest.process.returncode}); {guest.why_ended()}")
            guest.kill()
            if guest.triple_fault() and not self.expect_triple_fault:
                complaints.append("Triple fault in QEMU's cpu_reset log")
            if guest.resets() and not self.expect_reset:
                complaints.append(f"QMP reports a reset: {guest.resets()[0]['data']}")
        return "; ".join(complaints) or None


def run(case, outputs):
    """Runs one test to its Result; never raises but for an interrupt."""
    started = time.monotonic()
    context = Context(case, outputs)
    outcome, reason = "passed", ""
    try:
        case.declared.function(context, **case.values)
    except Skip as skip:
        outcome, reason = "skipped", str(skip)
    except Failure as failure:
        where = traceback.extract_tb(failure.__traceback__)
        outer = [f for f in where if f"{os.sep}boot{os.sep}" in f.filename] or where
        outcome = "failed"
        reason = f"{Path(outer[-1].filename).name}:{outer[-1].lineno}: {failure}"
    except Exception:  # a mistake in the test itself fails it with its traceback
        outcome, reason = "failed", traceback.format_exc()
    finally:
        complaint = context.verdict()
    if complaint and outcome != "skipped":
        outcome, reason = "failed", f"{reason}; {complaint}" if reason else complaint
    result = Result(case, outcome, time.monotonic() - started, reason)
    if outcome == "failed":
        for number, guest in enumerate(context.guests):
            result.logs.append((f"serial log of machine {number + 1}, whole ({guest.serial_log})", guest.text))
            result.by_hand.append(guest.by_hand())
    else:
        # Images are kept for failures alone: they are what the repeat-by-hand command needs.
        for image in context.directory.glob("*.img"):
            image.unlink()
    return result

