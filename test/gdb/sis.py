"""The debugger's own commands for this kernel: `source test/gdb/sis.py`, then `help sis`.

`make gdb` does it; it works as well on any QEMU that a gdb with kernel.elf is attached to. One file a subject beside
this one; each registers its commands when it is imported. Needs gdb 9 or newer with Python.
"""

import os
import sys

import gdb

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True


class Sis(gdb.Command):
    """Look at the SIS kernel, and at the machine below it."""

    def __init__(self):
        super().__init__("sis", gdb.COMMAND_USER, gdb.COMPLETE_NONE, True)


Sis()

import backtrace  # noqa: E402, F401
import bootinfo  # noqa: E402, F401
import console  # noqa: E402, F401
import descriptors  # noqa: E402, F401
import dmesg  # noqa: E402, F401
import entry  # noqa: E402, F401
import files  # noqa: E402, F401
import locks  # noqa: E402, F401
import paging  # noqa: E402, F401
import percpu  # noqa: E402, F401
import processes  # noqa: E402, F401
import threads  # noqa: E402, F401
import vmas  # noqa: E402, F401
