#!/usr/bin/env python3
"""Takes down what a real Linux terminal does, so that ours can be held against it.

    tty_record.py                 record both tables again: test/data/tty/*.cases -> *.recorded
    tty_record.py --check         record, and compare with what is committed; status 1 on a difference
    tty_record.py --random SEED N random cases on the standard output, recorded
    tty_record.py FILE            record another table, on the standard output

Each case gets a process, a session and a pseudo-terminal of its own. A table is lines: `[name]`, then steps; what
follows a step in a recording begins with `>`. test/data/tty/README.md says what the steps are. Braces make several
cases of one: `set {echo,-echo}`.

Nothing waits for time. After each step the terminal has to be at rest: poll(2) on a slave without input runs the
kernel's pending work on it to its end, and so does a read of an empty master. Where the slave has input that is not
read, other pseudo-terminals, whose work the kernel queues behind ours, have to come out first, and every worker of the
kernel that is at work then has to be through with it.
"""

import ctypes
import errno
import fcntl
import itertools
import os
import re
import select
import signal
import struct
import sys
import termios
import threading
import random
from pathlib import Path

DATA = Path(__file__).resolve().parents[1] / "data" / "tty"
TABLES = ["n_tty", "pty"]

# ---- words ----

IFLAG, OFLAG, CFLAG, LFLAG, CC = 0, 1, 2, 3, 6
FLAGS = {name.lower(): (IFLAG, getattr(termios, name)) for name in
         "IGNBRK BRKINT IGNPAR PARMRK INPCK ISTRIP INLCR IGNCR ICRNL IXON IXANY IXOFF IMAXBEL".split()}
FLAGS |= {"iuclc": (IFLAG, 0o1000), "iutf8": (IFLAG, 0o40000)}
FLAGS |= {name.lower(): (OFLAG, getattr(termios, name)) for name in "OPOST ONLCR OCRNL ONOCR ONLRET OFILL".split()}
FLAGS |= {"olcuc": (OFLAG, 2), "tab3": (OFLAG, 0o14000)}
FLAGS |= {name.lower(): (LFLAG, getattr(termios, name)) for name in
          "ISIG ICANON ECHO ECHOE ECHOK ECHONL NOFLSH TOSTOP ECHOCTL ECHOPRT ECHOKE IEXTEN".split()}
FLAGS |= {"extproc": (LFLAG, 0o200000), "cstopb": (CFLAG, termios.CSTOPB), "parenb": (CFLAG, termios.PARENB)}
CHARS = {name.lower(): getattr(termios, "V" + name) for name in
         "INTR QUIT ERASE KILL EOF TIME MIN START STOP SUSP EOL REPRINT DISCARD WERASE LNEXT EOL2".split()}
RAW = "-ignbrk -brkint -parmrk -istrip -inlcr -igncr -icrnl -ixon -opost -echo -echonl -icanon -isig -iexten".split()
SIGNALS = {f"SIG{name}": getattr(signal, f"SIG{name}") for name in "INT QUIT TSTP HUP CONT WINCH TTIN TTOU".split()}
HELD = [signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGHUP, signal.SIGCONT, signal.SIGWINCH]
ESCAPES = {"n": b"\n", "r": b"\r", "t": b"\t", "b": b"\b", "a": b"\a", "e": b"\x1b", "\\": b"\\", '"': b'"'}


def parse_bytes(text):
    """`"abc\\n" 300*"x"`: strings, with a number of times before them."""
    data = b""
    for times, body in re.findall(r'(?:(\d+)\*)?"((?:[^"\\]|\\.)*)"', text):
        piece, at = b"", 0
        while at < len(body):
            if body[at] != "\\":
                piece += body[at].encode()
                at += 1
            elif body[at + 1] == "x":
                piece += bytes([int(body[at + 2:at + 4], 16)])
                at += 4
            else:
                piece += ESCAPES[body[at + 1]]
                at += 2
        data += piece * int(times or 1)
    return data


def show_byte(byte):
    named = {value[0]: "\\" + key for key, value in ESCAPES.items() if key != "e"}
    return named.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}")


def show_bytes(data):
    """The same the other way; runs of 16 and more are counted."""
    parts, plain = [], ""
    for byte, run in itertools.groupby(data):
        count = len(list(run))
        if count < 16:
            plain += show_byte(byte) * count
            continue
        parts += [f'"{plain}"'] if plain else []
        parts.append(f'{count}*"{show_byte(byte)}"')
        plain = ""
    return " ".join(parts + ([f'"{plain}"'] if plain or not parts else []))


def parse_char(text):
    if text == "off":
        return b"\0"
    if text.startswith("^") and len(text) == 2:
        return bytes([127 if text[1] == "?" else ord(text[1]) & 31])
    return bytes([int(text, 16)]) if len(text) == 2 else text.encode()


def error(number):
    return errno.errorcode[number]


# ---- waiting ----

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


# ---- one who acts ----

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


# ---- a case ----

class Case:
    """One case, in a process of its own. Other actors are forked from it and told by pipes what to do."""

    def __init__(self, behind):
        self.behind = behind
        self.held = False
        os.setsid()
        self.master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        number = bytearray(4)
        fcntl.ioctl(self.master, 0x80045430, number)
        self.path = f"/dev/pts/{struct.unpack('=i', number)[0]}"
        self.slave = self.blocking = -1
        self.ids = {"R": os.getpid()}
        self.actor = Actor(self)
        self.others = {}
        self.actor.prepare()

    def start(self):
        raw_ioctl(self.master, 0x40045431, bytearray(4))
        self.slave = os.open(self.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        self.blocking = os.open(self.path, os.O_RDWR | os.O_NOCTTY)
        fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)

    def settle(self):
        """Until nothing moves. Returns what came out at the master."""
        out = b""
        for _ in range(2):
            if self.slave < 0 or ready(self.slave, select.POLLIN):
                self.behind.wait()
            # Where nobody fetches what comes out, it must at least have come to where the master finds it.
            if self.held and self.master >= 0 and ready(self.master, select.POLLIN):
                self.behind.wait()
            while not self.held and self.master >= 0:
                data = raw_read(self.master, 65536)
                if isinstance(data, str) or not data:
                    break
                out += data
        return out

    def fork(self, name):
        """A new actor; it inherits the terminal's descriptors, and leaves when its pipe is closed."""
        ask, answer = os.pipe(), os.pipe()
        child = os.fork()
        if child:
            os.close(ask[0]), os.close(answer[1])
            self.others[name] = (open(ask[1], "w"), open(answer[0]))
            self.ids[name] = child
            for to, _ in self.others.values():
                print("#ids", " ".join(f"{key}={value}" for key, value in self.ids.items()), file=to, flush=True)
            return
        os.close(ask[1]), os.close(answer[0])
        self.actor = Actor(self)
        self.actor.prepare()
        with open(ask[0]) as orders, open(answer[1], "w") as results:
            for line in orders:
                verb, _, rest = line.strip().partition(" ")
                if verb == "#ids":
                    self.ids = {key: int(value) for key, value in (word.split("=") for word in rest.split())}
                    continue
                lines = [] if verb == "#signals" else self.actor.step(verb, rest.strip())
                lines += [f"sig {number}" for number in self.actor.signals()]
                print(*lines, ".", sep="\n", file=results, flush=True)
        os._exit(0)

    def ask(self, name, line):
        to, back = self.others[name]
        print(line, file=to, flush=True)
        return list(itertools.takewhile(lambda got: got != ".", (got.rstrip("\n") for got in iter(back.readline, ""))))

    def run(self, line):
        who, _, what = line.partition(": ")
        if re.fullmatch(r"[A-Z]", who):
            lines = self.ask(who, what)
        else:
            verb, _, rest = line.partition(" ")
            if verb == "fork":
                self.fork(rest)
                lines = []
            elif verb == "leave":
                for stream in self.others.pop(rest):
                    stream.close()
                os.waitpid(self.ids[rest], 0)
                lines = []
            else:
                lines = self.actor.step(verb, rest.strip())
        out = self.settle()
        lines += [f"out {show_bytes(out)}"] if out else []
        lines += [f"sig {name}" for name in self.actor.signals()]
        for name in self.others:
            lines += [f"{name}: {got}" for got in self.ask(name, "#signals")]
        return lines


def record(case, behind):
    """The case's lines with what happened after each, by a child."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with open(writing, "w") as out:
            run = Case(behind)
            if not case[0].split(None, 1)[-1].startswith("bare"):
                run.start()
            print(case[0], file=out)
            for line in case[1:]:
                print(line, file=out)
                for got in run.run(line.strip()):
                    print(f"  > {got}", file=out)
            out.flush()
        os._exit(0)
    os.close(writing)
    with open(reading) as result:
        text = result.read()
    if os.waitpid(child, 0)[1]:
        raise SystemExit(f"{case[0]}: the recorder failed behind\n{text}")
    return text


# ---- tables ----

def expand(case):
    """Braces: one case for each choice. A comma, a brace and a quote of text that is typed are written \\x2c and so on."""
    pieces = [re.split(r"(\{[^}]*\})", line) for line in case]
    options = [[piece[1:-1].split(",") if piece.startswith("{") else [piece] for piece in line] for line in pieces]
    flat = [option for line in options for option in line]
    cases = []
    for number, chosen in enumerate(itertools.product(*flat), 1):
        chosen = iter(chosen)
        lines = ["".join(next(chosen) for _ in line) for line in options]
        if any(len(option) > 1 for option in flat):
            lines[0] = lines[0].replace("]", f"/{number}]", 1)
        cases.append([line.rstrip() for line in lines if line.strip()])
    return cases


def cases_of(text):
    cases, made = [], []
    for line in text.splitlines():
        if line.startswith("random "):
            first, count = map(int, line.split()[1:])
            made += [random_case(seed) for seed in range(first, first + count)]
        elif line.startswith("["):
            cases.append([line])
        elif line.strip() and not line.lstrip().startswith("#"):
            cases[-1].append(line)
    cases = [expanded for case in cases for expanded in expand(case)] + made
    names = [case[0].split("]")[0] for case in cases]
    for name in names:
        if names.count(name) > 1:
            raise SystemExit(f"{name}] is there twice")
    return cases


def record_all(cases):
    behind = Behind()
    return "".join(record(case, behind) for case in cases)


def random_case(seed):
    """A few settings, then whatever comes."""
    rng = random.Random(seed)
    chars = ["a", "b", " ", ".", "_", "7", "Z", "\\t", "\\t", "\\n", "\\r", "\\x7f", "\\x7f", "\\x15", "\\x17", "\\x12", "\\x16",
             "\\x04", "\\x03", "\\x1c", "\\x1a", "\\x11", "\\x13", "\\xc3\\xa9", "\\xe2\\x82\\xac", "\\x80", "\\xff", "\\x00", "\\b",
             "\\x01", "\\x0f", ";", "!", "\\xc4"]
    flags = ("icrnl inlcr igncr istrip iuclc ixon ixany imaxbel iutf8 iutf8 parmrk opost onlcr ocrnl onocr onlret tab3 olcuc "
             "isig icanon icanon icanon echo echo echoe echok echoke echoctl echoprt echonl noflsh iexten iexten extproc").split()
    lines = [f"[random-{seed}]"]

    def setting():
        words = [("-" if rng.random() < 0.4 else "") + flag for flag in rng.sample(sorted(set(flags)), rng.randint(1, 6))]
        words += rng.choice([[], [], [f"eol={rng.choice([';', 'a', '^A', 'ff'])}"], [f"eol2={rng.choice(['!', 'off'])}"],
                             [f"erase={rng.choice(['^H', 'off', 'b'])}"], [f"min={rng.randint(0, 3)}"]])
        return words

    def text(most):
        return '"' + "".join(rng.choice(chars) for _ in range(rng.randint(1, most))) + '"'

    if rng.random() < 0.8:
        lines.append("  set " + " ".join(setting()))
    for _ in range(rng.randint(3, 14)):
        what = rng.random()
        if what < 0.5:
            lines.append("  type " + text(12))
        elif what < 0.65:
            lines.append(f"  read {rng.choice([1, 2, 3, 64, 100])}")
        elif what < 0.75:
            lines.append("  write " + text(8))
        elif what < 0.86:
            lines.append(f"  {rng.choice(['set', 'set', 'set', 'setf'])} " + " ".join(setting()))
        else:
            lines.append("  " + rng.choice(["inq", "poll", "flush in", "flow ooff", "flow oon", "flow ioff", "flush out", "inq"]))
    # Time is not among the things that are tried at random: nobody reads where he would have to wait.
    return lines + ["  read 100", "  inq"]


def main():
    arguments = sys.argv[1:]
    if arguments[:1] == ["--random"]:
        first, count = map(int, arguments[1:])
        sys.stdout.write(record_all([random_case(seed) for seed in range(first, first + count)]))
        return 0
    if arguments and arguments[0] != "--check":
        sys.stdout.write(record_all(cases_of(Path(arguments[0]).read_text())))
        return 0
    bad = 0
    for table in TABLES:
        if not (DATA / f"{table}.cases").exists():
            continue
        cases = cases_of((DATA / f"{table}.cases").read_text())
        text = record_all(cases)
        target = DATA / f"{table}.recorded"
        if not arguments:
            target.write_text(text)
        elif target.read_text() != text:
            bad = 1
            for was, now in itertools.zip_longest(target.read_text().split("\n["), text.split("\n[")):
                if was != now:
                    print(f"committed: [{was}\nnow: [{now}\n")
        print(f"{table}: {len(cases)} cases {'recorded' if not arguments else 'compared'}", file=sys.stderr)
    return bad


if __name__ == "__main__":
    sys.exit(main())
