"""What the documents tell a reader to type: every shell command of their ```sh blocks, and every line behind `sis>`.

Which commands are run here and which elsewhere is in lib/doc_commands.py; `make check` insists that each is known.
"""

import os
import re
import selectors
import signal
import subprocess
import time

from lib import build, checkers, doc_commands
from lib.guest import SLOW, Failure
from lib.harness import check, test
from lib.source import Tree

# Nothing comes back after these; each has a test of its own.
ENDS = re.compile(r"panic\b|reboot\b|poweroff\b|fault (?:df|stack-overflow|thread-overflow|8)\b")
REFUSED = re.compile("no such command|usage: ")


def how(command):
    return next(way for regex, way in doc_commands.KNOWN.items() if re.fullmatch(regex, command))


def environment():
    """That of a reader's shell: nothing of the make that may have called us."""
    inherited = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "DEBUG", "BUILD")
    return {name: value for name, value in os.environ.items() if name not in inherited}


def reaches_prompt(command, timeout=120):
    """Runs a command that ends in QEMU on this terminal; waits for the prompt, then ends QEMU with Ctrl-A X."""
    process = subprocess.Popen(command, shell=True, cwd=build.ROOT, env=environment(), stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    text, deadline = b"", time.monotonic() + timeout * SLOW
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            # The monitor's, or that of the shell from the initramfs.
            while not re.search(rb"\n(sis> |~ # )", text):
                left = deadline - time.monotonic()
                data = os.read(process.stdout.fileno(), 65536) if left > 0 and selector.select(left) else b""
                if not data:
                    raise Failure(f"`{command}` does not reach the prompt:\n{text.decode(errors='replace')[-3000:]}")
                text += data
        process.stdin.write(b"\x01x")
        process.stdin.flush()
        process.communicate(timeout=30 * SLOW)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@test("commands-in-documents", alone=True)
def shell_commands(t):
    listed = sorted({command for _, _, command in checkers.commands(Tree.of_checkout(build.ROOT))})
    check("make run" in listed, f"no document says `make run`; the commands are {listed}")
    for command in listed:
        if how(command) == doc_commands.PROMPT:
            reaches_prompt(command)
        elif how(command) == doc_commands.RUN:
            done = subprocess.run(command, shell=True, cwd=build.ROOT, env=environment(), text=True, timeout=600 * SLOW,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            check(done.returncode == 0, f"`{command}` ends with {done.returncode}:\n{done.stdout[-3000:]}")


ASKS = ("user hello",)


@test("monitor-lines-in-documents")
def monitor_lines(t):
    """Each line that a document shows behind the prompt is understood, unless the document shows how it is not."""
    documents = checkers.documents(Tree.of_checkout(build.ROOT))
    pairs = {pair for text in documents.values() for pair in re.findall(r"^sis> (.*\S)\n?(.*)", text, re.MULTILINE)}
    lines = {line for line, answer in pairs if not REFUSED.search(answer)}
    check(lines, "no document shows the monitor")
    guest = t.boot()
    for line in sorted(lines):
        if not ENDS.match(line):
            # What asks something back is answered with another line.
            output = guest.command(line + ("\rreader" if line in ASKS else ""), timeout=120)
            check(not REFUSED.search(output), f"`{line}` in a document gives {output!r}")
