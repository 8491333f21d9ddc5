"""Where the build's outputs lie, and how to ask make for them.

The Makefile is the only place that knows how to build. What it passes to the tests comes by environment:
BUILD (its output folder), and the toolchain's variables as test/tools/toolchain.sh found them.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"


@dataclass(frozen=True)
class Outputs:
    """One build: release in build/, debug in build/debug/."""

    name: str
    folder: Path

    @property
    def kernel(self):
        """The kernel with its symbols."""
        return self.folder / "kernel.elf"

    @property
    def stripped(self):
        """The copy without them, for the ESP."""
        return self.folder / "kernel.stripped.elf"

    @property
    def loader(self):
        return self.folder / "BOOTX64.EFI"

    @property
    def image(self):
        return self.folder / "esp.img"


RELEASE = Outputs("release", BUILD)
DEBUG = Outputs("debug", BUILD / "debug")
BY_NAME = {outputs.name: outputs for outputs in (RELEASE, DEBUG)}


def make(*words, timeout=1800, check=True):
    """Runs make in the checkout, away from the make that runs us; its CompletedProcess with text output."""
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "DEBUG", "BUILD")}
    done = subprocess.run(["make", "--no-print-directory", "-C", str(ROOT), *words], env=env, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=timeout)
    if check and done.returncode:
        raise RuntimeError(f"make {' '.join(words)} failed ({done.returncode}):\n{done.stdout}")
    return done
