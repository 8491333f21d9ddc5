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

import fcntl
import itertools
import os
import random
import re
import select
import struct
import sys
import termios
from pathlib import Path

TEST = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TEST))
sys.dont_write_bytecode = True

from lib.tty_actor import Actor  # noqa: E402
from lib.tty_system import Behind, raw_ioctl, raw_read, ready  # noqa: E402
from lib.tty_words import show_bytes  # noqa: E402

DATA = TEST / "data" / "tty"
TABLES = ["n_tty", "pty"]


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
    cpus = os.sched_getaffinity(0)
    behind = Behind()
    try:
        return "".join(record(case, behind) for case in cases)
    finally:
        os.sched_setaffinity(0, cpus)


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
