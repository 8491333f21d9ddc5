"""One who does the steps of a case of test/data/tty on a real terminal, and says what he has seen."""

import itertools
import os
import select
import signal
import struct
import termios
import threading
from pathlib import Path

from .tty_system import raw_ioctl, raw_read, raw_write, ready, vhangup
from .tty_words import CC, CHARS, FLAGS, HELD, RAW, SIGNALS, error, parse_bytes, parse_char, show_bytes


class Actor:
    """Does steps on the terminal: the process that owns the case, or one that it has forked."""

    def __init__(self, case):
        self.case = case
        self.caught = []
        self.reader = None

    def prepare(self):
        signal.pthread_sigmask(signal.SIG_BLOCK, HELD)
        for number in (signal.SIGTTIN, signal.SIGTTOU):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
            signal.signal(number, lambda number, _: self.caught.append(number))
            signal.siginterrupt(number, True)

    def signals(self):
        found, self.caught = self.caught, []
        while info := signal.sigtimedwait(HELD, 0):
            found.append(info.si_signo)
        return [signal.Signals(number).name[3:] for number in sorted(found)]

    def fd(self, which):
        case = self.case
        return {"slave": case.slave, "blocking": case.blocking, "master": case.master}[which]

    def step(self, verb, rest):
        """Does it; returns the lines for the recording."""
        result = getattr(self, "do_" + verb)(rest)
        return [] if result is None else result if isinstance(result, list) else [result]

    def done(self, what, result, fine=0):
        return [] if result == fine else f"{what} {result}"

    # Bytes.

    def do_type(self, rest):
        data = parse_bytes(rest)
        return self.done("typed", raw_write(self.fd("master"), data), len(data))

    def do_write(self, rest):
        data = parse_bytes(rest)
        return self.done("wrote", raw_write(self.fd("slave"), data), len(data))

    def read(self, what, fd, size):
        data = raw_read(fd, size)
        return f"{what} {data if isinstance(data, str) else show_bytes(data)}"

    def do_read(self, rest):
        return self.read("read", self.fd("slave"), int(rest))

    def do_mread(self, rest):
        return self.read("mread", self.fd("master"), int(rest))

    def do_wait(self, rest):
        return self.read("read", self.fd("blocking"), int(rest))

    def do_begin(self, rest):
        results, ids, fd = [], [], self.fd("blocking")

        def run():
            ids.append(threading.get_native_id())
            results.append(self.read("read", fd, int(rest)))

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        while not results:
            if ids:
                task = f"/proc/self/task/{ids[0]}"
                try:
                    state = Path(task + "/stat").read_text().rsplit(")", 1)[1].split()[0]
                    call = Path(task + "/syscall").read_text().split()
                except OSError:
                    continue
                if state == "S" and call[:2] == ["0", hex(fd)]:
                    break
            os.sched_yield()
        self.reader = (thread, results)

    def do_end(self, _):
        thread, results = self.reader
        thread.join(20)
        return results or ["read never"]

    # Settings.

    def do_set(self, rest, how=termios.TCSANOW, fd="slave"):
        words = rest.split()
        try:
            mode = termios.tcgetattr(self.fd(fd))
        except termios.error as problem:
            return f"set {error(problem.args[0])}"
        for word in itertools.chain.from_iterable(RAW if word == "raw" else [word] for word in words):
            name, _, value = word.partition("=")
            if name in ("min", "time"):
                mode[CC][CHARS[name]] = bytes([int(value)])
            elif value:
                mode[CC][CHARS[name]] = parse_char(value)
            elif name.lstrip("-") in FLAGS:
                field, bits = FLAGS[name.lstrip("-")]
                mode[field] = mode[field] & ~bits if name.startswith("-") else mode[field] | bits
            else:
                raise SystemExit(f"no setting {word}")
        packed = struct.pack("=4IB19s", *mode[:4], 0, b"".join(c if isinstance(c, bytes) else bytes([c]) for c in mode[CC])[:19])
        request = {termios.TCSANOW: termios.TCSETS, termios.TCSADRAIN: termios.TCSETSW, termios.TCSAFLUSH: termios.TCSETSF}[how]
        return self.done("set", raw_ioctl(self.fd(fd), request, bytearray(packed)))

    def do_setf(self, rest):
        return self.do_set(rest, termios.TCSAFLUSH)

    def do_setw(self, rest):
        return self.do_set(rest, termios.TCSADRAIN)

    def do_mset(self, rest):
        return self.do_set(rest, termios.TCSANOW, "master")

    def do_termios(self, rest):
        data = bytearray(36)
        result = raw_ioctl(self.fd(rest or "slave"), termios.TCGETS, data)
        if result:
            return f"termios {result}"
        i, o, c, l, line, cc = struct.unpack("=4IB19s", data)
        return f"termios {i:x} {o:x} {c:x} {l:x} {line:x} {cc.hex()}"

    # Questions and orders.

    def do_flush(self, rest):
        which = {"in": termios.TCIFLUSH, "out": termios.TCOFLUSH, "both": termios.TCIOFLUSH}[rest]
        return self.done("flush", raw_ioctl(self.fd("slave"), termios.TCFLSH, which))

    def do_mflush(self, rest):
        which = {"in": termios.TCIFLUSH, "out": termios.TCOFLUSH, "both": termios.TCIOFLUSH}[rest]
        return self.done("flush", raw_ioctl(self.fd("master"), termios.TCFLSH, which))

    def do_flow(self, rest):
        which = {"ooff": termios.TCOOFF, "oon": termios.TCOON, "ioff": termios.TCIOFF, "ion": termios.TCION}[rest]
        return self.done("flow", raw_ioctl(self.fd("slave"), termios.TCXONC, which))

    def number(self, what, fd, request):
        data = bytearray(4)
        result = raw_ioctl(self.fd(fd), request, data)
        return f"{what} {result or struct.unpack('=i', data)[0]}"

    def do_inq(self, _):
        return self.number("inq", "slave", termios.FIONREAD)

    def do_outq(self, _):
        return self.number("outq", "slave", termios.TIOCOUTQ)

    def do_minq(self, _):
        return self.number("inq", "master", termios.FIONREAD)

    def poll(self, fd):
        found = ready(self.fd(fd), select.POLLIN | select.POLLOUT | select.POLLPRI)
        names = [("in", select.POLLIN), ("pri", select.POLLPRI), ("out", select.POLLOUT), ("err", select.POLLERR), ("hup", select.POLLHUP)]
        return "poll " + " ".join(name for name, bit in names if found & bit)

    def do_poll(self, _):
        return self.poll("slave")

    def do_mpoll(self, _):
        return self.poll("master")

    def do_win(self, rest, fd="slave"):
        rows, columns = map(int, rest.split())
        return self.done("win", raw_ioctl(self.fd(fd), termios.TIOCSWINSZ, bytearray(struct.pack("=4H", rows, columns, 0, 0))))

    def do_mwin(self, rest):
        return self.do_win(rest, "master")

    def do_getwin(self, rest):
        data = bytearray(8)
        result = raw_ioctl(self.fd(rest or "slave"), termios.TIOCGWINSZ, data)
        return f"win {result or ' '.join(map(str, struct.unpack('=4H', data)[:2]))}"

    def do_break(self, rest):
        return self.done("break", raw_ioctl(self.fd("slave"), termios.TCSBRK, int(rest)))

    def do_excl(self, _):
        return self.done("excl", raw_ioctl(self.fd("slave"), termios.TIOCEXCL))

    def do_nxcl(self, _):
        return self.done("nxcl", raw_ioctl(self.fd("slave"), termios.TIOCNXCL))

    def do_modem(self, _):
        return self.number("modem", "slave", termios.TIOCMGET)

    # The pair.

    def do_hold(self, _):
        self.case.held = True

    def do_close(self, rest):
        case = self.case
        for name in ["slave", "blocking"] if rest == "slave" else [rest]:
            os.close(getattr(case, name))
            setattr(case, name, -1)

    def do_open(self, rest):
        flags = os.O_RDWR | os.O_NOCTTY if rest != "ctty" else os.O_RDWR
        opened = []
        for extra in (os.O_NONBLOCK, 0):
            try:
                opened.append(os.open(self.case.path, flags | extra))
            except OSError as problem:
                return f"open {error(problem.errno)}"
        self.case.slave, self.case.blocking = opened

    def do_lock(self, rest):
        return self.done("lock", raw_ioctl(self.fd("master"), 0x40045431, bytearray(struct.pack("=i", int(rest)))))

    # Sessions and groups.

    def name(self, number):
        names = {actor_id: name for name, actor_id in self.case.ids.items()}
        return names.get(number, number if number == 0 else "other")

    def id(self, name):
        return self.case.ids[name] if name in self.case.ids else int(name)

    def do_setsid(self, _):
        try:
            os.setsid()
        except OSError as problem:
            return f"setsid {error(problem.errno)}"

    def do_setpgid(self, rest):
        try:
            os.setpgid(0, self.id(rest or "0"))
        except OSError as problem:
            return f"setpgid {error(problem.errno)}"

    def do_sctty(self, rest):
        return self.done("sctty", raw_ioctl(self.fd("slave"), termios.TIOCSCTTY, int(rest or 0)))

    def do_notty(self, _):
        return self.done("notty", raw_ioctl(self.fd("slave"), termios.TIOCNOTTY))

    def do_spgrp(self, rest, fd="slave"):
        return self.done("spgrp", raw_ioctl(self.fd(fd), termios.TIOCSPGRP, bytearray(struct.pack("=i", self.id(rest)))))

    def do_mspgrp(self, rest):
        return self.do_spgrp(rest, "master")

    def group(self, what, fd, request):
        data = bytearray(4)
        result = raw_ioctl(self.fd(fd or "slave"), request, data)
        return f"{what} {result or self.name(struct.unpack('=i', data)[0])}"

    def do_gpgrp(self, rest):
        return self.group("pgrp", rest, termios.TIOCGPGRP)

    def do_gsid(self, rest):
        return self.group("sid", rest, 0x5429)

    def do_vhangup(self, _):
        return self.done("vhangup", vhangup())

    def do_orphan(self, _):
        """Goes on in a child whose parent has ended; groups and sessions keep their numbers."""
        parent = os.getpid()
        if os.fork():
            os._exit(0)
        while os.getppid() == parent:
            os.sched_yield()

    def do_devtty(self, _):
        try:
            os.close(os.open("/dev/tty", os.O_RDWR | os.O_NONBLOCK))
            return "devtty yes"
        except OSError as problem:
            return f"devtty {error(problem.errno)}"

    def do_on(self, rest):
        """`on TTOU ignore`, `block` or `catch`."""
        name, what = rest.split()
        number = SIGNALS["SIG" + name]
        signal.pthread_sigmask(signal.SIG_BLOCK if what == "block" else signal.SIG_UNBLOCK, [number])
        if what == "ignore":
            signal.signal(number, signal.SIG_IGN)
        elif what == "catch":
            signal.signal(number, lambda number, _: self.caught.append(number))
            signal.siginterrupt(number, True)
