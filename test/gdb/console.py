"""`sis console`: what the machine has written on its serial line, and typing on it.

In tmux `make gdb` opens a pane that shows the serial line and takes keys (terminal.py). Elsewhere QEMU writes it into
a log, which this command shows; with a text it types that, and Enter. What is typed while the machine is
stopped waits for it to go on.
"""

import os
import pathlib
import re
import socket
import threading

import gdb

import machine

LINES = 40
ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[()][0-9A-B]|[=>78cDEHM])")


def drain(line):
    """Reads and forgets: the log has it."""
    try:
        while line.recv(65536):
            pass
    except OSError:
        pass


class Console(gdb.Command):
    """Show the end of the serial line's log, or type on it: sis console [TEXT]."""

    typist = None  # stays connected: QEMU takes one at a time, and reads only once it has been continued

    def __init__(self):
        super().__init__("sis console", gdb.COMMAND_SUPPORT, gdb.COMPLETE_NONE)

    def invoke(self, argument, _from_tty):
        log, line = os.environ.get("SIS_GDB_SERIAL_LOG"), os.environ.get("SIS_GDB_SERIAL")
        if not log:
            machine.fail("this machine was not started by `make gdb`: its serial line is where its starter put it")
        if argument:
            self.type(line, argument)
            return
        path = pathlib.Path(log)
        text = path.read_text(errors="replace") if path.exists() else ""
        lines = ESCAPES.sub("", text).replace("\r", "").split("\n")
        print("\n".join(lines[-LINES:]) if text else "nothing has come over the serial line yet")

    def type(self, line, text):
        if os.environ.get("SIS_GDB_TERMINAL"):
            machine.fail("the serial line is in the other pane: type there")
        try:
            if Console.typist is None:
                Console.typist = socket.socket(socket.AF_UNIX)
                Console.typist.connect(line)
                # Who is connected must read: a full socket would hold up the machine.
                threading.Thread(target=drain, args=(Console.typist,), daemon=True).start()
            Console.typist.sendall(text.encode() + b"\r")
        except OSError as error:
            Console.typist = None
            machine.fail(f"cannot type on the serial line: {error}")


Console()
