#!/usr/bin/env python3
"""A terminal for the serial line of `make gdb`: terminal.py SOCKET.

Shows what comes and sends every key as it is, ^C included. Ends when QEMU does, or at ^].
"""

import contextlib
import os
import select
import socket
import sys
import termios
import tty

LEAVE = b"\x1d"  # ^], as in telnet


@contextlib.contextmanager
def raw(terminal):
    """The terminal in raw mode, if it is one."""
    if not os.isatty(terminal):
        yield
        return
    before = termios.tcgetattr(terminal)
    tty.setraw(terminal)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: terminal.py SOCKET")
    line = socket.socket(socket.AF_UNIX)
    try:
        line.connect(sys.argv[1])
    except OSError as error:
        sys.exit(f"terminal.py: {sys.argv[1]}: {error.strerror}")
    print("The serial line; ^] leaves it.", flush=True)
    keys, screen = sys.stdin.fileno(), sys.stdout.fileno()
    sources = [line, keys]
    with raw(keys):
        while line in sources:
            ready, _, _ = select.select(sources, [], [])
            if line in ready:
                try:
                    data = line.recv(65536)
                except ConnectionResetError:
                    data = b""
                if not data:
                    return
                os.write(screen, data)
            if keys in ready:
                data = os.read(keys, 4096)
                if LEAVE in data:
                    return
                if data:
                    line.sendall(data)
                else:  # no more keys; the line may still speak
                    sources.remove(keys)


if __name__ == "__main__":
    main()
