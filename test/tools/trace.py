#!/usr/bin/env python3
"""trace.py: from the kernel's trace of threads on CPUs to the JSON that Perfetto and Chrome draw.

    trace.py [-n NAMES] [DUMP] > trace.json      then open it in ui.perfetto.dev or chrome://tracing

DUMP (or standard input) is what the kernel has written, with anything else between its lines: src/task/trace.rs has the
format. A serial log will do. NAMES has lines `ID NAME`. A line of each CPU shows which thread ran when; wake-ups and
migrations are marks on it. Times are microseconds, as the format wants them, with the nanoseconds behind the point.

Format: "Trace Event Format" (Chromium); phases X (a slice), i (a mark), M (names).
"""

import argparse
import json
import re
import sys
from pathlib import Path

HEAD = re.compile(r"trace cpu (\d+) events (\d+) lost (\d+)")
SWITCH = re.compile(r"(\d+) switch (\d+) (\d+) ([ps])")
OTHER = re.compile(r"(\d+) (wake|migrate) (\d+) (\d+)")


class Damaged(Exception):
    """A dump that is not whole: it says where."""


def read(lines):
    """{cpu: (lost, [event, ...])}; an event is (ns, kind, thread, other) and for switches (ns, "switch", from, to, "p")."""
    cpus, missing, current = {}, 0, None
    for number, line in enumerate(lines, 1):
        line = line.strip()
        head = HEAD.fullmatch(line)
        if head and missing:
            raise Damaged(f"line {number}: CPU {current} has {missing} events less than it says")
        if head:
            current, missing = int(head[1]), int(head[2])
            cpus[current] = (int(head[3]), [])
        elif missing and (found := SWITCH.fullmatch(line)):
            cpus[current][1].append((int(found[1]), "switch", int(found[2]), int(found[3]), found[4]))
            missing -= 1
        elif missing and (found := OTHER.fullmatch(line)):
            cpus[current][1].append((int(found[1]), found[2], int(found[3]), int(found[4])))
            missing -= 1
    if missing:
        raise Damaged(f"CPU {current} has {missing} events less than it says")
    return cpus


def check(cpus):
    """Each CPU goes forward in time and leaves the thread that it came to."""
    for cpu, (_, events) in cpus.items():
        now, running = 0, None
        for event in events:
            if event[0] < now:
                raise Damaged(f"CPU {cpu}: time goes back from {now} to {event[0]} ns")
            now = event[0]
            if event[1] == "switch":
                if running not in (None, event[2]):
                    raise Damaged(f"CPU {cpu}: {running} runs at {now} ns, and yet the switch is from {event[2]}")
                running = event[3]


def convert(cpus, names=None):
    """The list of trace events. What ran before a CPU's first switch has run since the first event of all."""
    check(cpus)
    names, result = names or {}, []

    def name(thread):
        return names.get(thread, f"thread {thread}")

    times = [event[0] for _, events in cpus.values() for event in events]
    first, last = min(times, default=0), max(times, default=0)
    for cpu, (lost, events) in sorted(cpus.items()):
        row = {"pid": 0, "tid": cpu}
        result.append({"ph": "M", "name": "thread_name", "args": {"name": f"CPU {cpu}"}, **row})
        result.append({"ph": "M", "name": "thread_sort_index", "args": {"sort_index": cpu}, **row})
        if lost:
            # Of what is lost nothing is known, so nothing is drawn there.
            result.append({"ph": "i", "s": "t", "ts": (events[0][0] if events else last) / 1000, "name": f"{lost} events lost", **row})
        since, running = events[0][0] if lost and events else first, None

        def piece(end, how):
            args = {"thread": running, "until": how}
            result.append({"ph": "X", "ts": since / 1000, "dur": (end - since) / 1000, "name": name(running), "args": args, **row})

        for event in events:
            if event[1] == "switch":
                running = event[2]
                piece(event[0], "it slept" if event[4] == "s" else "others were to run")
                since, running = event[0], event[3]
            else:
                result.append({"ph": "i", "s": "t", "ts": event[0] / 1000, "name": f"{event[1]} {name(event[2])}",
                               "args": {"to": event[3]}, **row})
        if running is not None:
            piece(last, "the trace ends")
    return result


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Turns a trace of threads on CPUs into JSON for Perfetto or Chrome.")
    parser.add_argument("-n", "--names", help="a file with lines `ID NAME`")
    parser.add_argument("dump", nargs="?", help="a file; without it, standard input")
    options = parser.parse_args(arguments)

    def lines(path):
        return Path(path).read_text(errors="replace").splitlines()

    names = {}
    for line in lines(options.names) if options.names else []:
        number, _, name = line.strip().partition(" ")
        if number.isdigit() and name:
            names[int(number)] = name
    try:
        cpus = read(lines(options.dump) if options.dump else sys.stdin)
        if not cpus:
            raise Damaged("there is no `trace cpu` line in it")
        events = convert(cpus, names)
    except Damaged as damage:
        sys.exit(f"trace.py: {damage}")
    json.dump({"displayTimeUnit": "ns", "traceEvents": events}, sys.stdout, indent=0)
    print()


if __name__ == "__main__":
    main()
