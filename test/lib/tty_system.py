"""System calls on a terminal as they are, and waiting until the kernel's part of one is at rest."""

import ctypes
import os
import select
import termios
from pathlib import Path

from .tty_words import IFLAG, LFLAG, OFLAG, error

LIBC = ctypes.CDLL(None, use_errno=True)


def raw_read(fd, size):
    """read(2) as it is: Python's own would try again after a signal."""
    buffer = ctypes.create_string_buffer(size or 1)
    count = LIBC.read(fd, buffer, size)
    return error(ctypes.get_errno()) if count < 0 else buffer.raw[:count]


def raw_write(fd, data):
    count = LIBC.write(fd, data, len(data))
    return error(ctypes.get_errno()) if count < 0 else count


def raw_ioctl(fd, request, argument=0):
    """The result, or an error's name; integers are passed by value, bytearrays by address."""
    if isinstance(argument, bytearray):
        argument = (ctypes.c_char * len(argument)).from_buffer(argument)
    else:
        argument = ctypes.c_ulong(argument)
    result = LIBC.ioctl(fd, ctypes.c_ulong(request), argument)
    return error(ctypes.get_errno()) if result < 0 else result


def vhangup():
    result = LIBC.vhangup()
    return error(ctypes.get_errno()) if result < 0 else result


def ready(fd, events):
    poll = select.poll()
    poll.register(fd, events)
    return dict(poll.poll(0)).get(fd, 0)


def busy_workers():
    """Kernel workers that are at work on what a terminal would give them: /proc shows that by a plus sign."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                name = Path(entry.path, "comm").read_text()
            except OSError:
                continue
            if name.startswith("kworker/u") and "+events_unbound" in name:
                found.append(entry.path)
    return found


class Behind:
    """Work that the kernel queues behind whatever it has by now; what was queued before has then at least begun."""

    def __init__(self):
        # Queues are by groups of CPUs: the recorder's orders all go to one.
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        self.pairs = [os.openpty() for _ in range(2)]
        for _, slave in self.pairs:
            mode = termios.tcgetattr(slave)
            mode[LFLAG] = mode[IFLAG] = mode[OFLAG] = 0
            termios.tcsetattr(slave, termios.TCSANOW, mode)

    def wait(self):
        for _ in range(3):
            for master, _ in self.pairs:
                os.write(master, b"x")
            for _, slave in self.pairs:
                os.read(slave, 1)
        for worker in busy_workers():
            while worker in busy_workers():
                os.sched_yield()
