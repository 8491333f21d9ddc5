#!/usr/bin/env python3
"""trace.py: from the kernel's trace of threads on CPUs to the JSON that Perfetto and Chrome draw, or to a picture.

    trace.py [DUMP] > trace.json                     then open it in ui.perfetto.dev or chrome://tracing
    trace.py --svg [--from MS] [--to MS] [DUMP] > trace.svg

DUMP (or standard input) is what `trace dump` has written, with anything else between its lines: src/task/trace.rs has
the format. A serial log will do; of several dumps in it the last counts. Each CPU has a row that shows which thread ran
when; wake-ups, beginnings and migrations are marks on the CPU that did them, and in the picture lines to the CPU where
the thread is to run. JSON's times are microseconds, as the format wants them, with the nanoseconds behind the point. The
picture's are milliseconds since the first event, and so are --from and --to.

Format: "Trace Event Format" (Chromium); phases X (a slice), i (a mark), M (names).
"""

import argparse
import json
import re
import sys
from html import escape
from pathlib import Path

HEAD = re.compile(r"trace cpu (\d+) events (\d+) lost (\d+)")
SWITCH = re.compile(r"(\d+) switch (\d+) (\d+) ([ps])")
OTHER = re.compile(r"(\d+) (wake|start|migrate) (\d+) (\d+)")
NAMES = re.compile(r"trace names (\d+)")
NAME = re.compile(r"name (\d+) (.+)")


class Damaged(Exception):
    """A dump that is not whole: it says where."""


def read(lines):
    """({cpu: (lost, [event, ...])}, {thread: name}).

    An event is (ns, kind, thread, other), and for switches (ns, "switch", from, to, "p")."""
    cpus, names, missing, current = {}, {}, 0, None
    for number, line in enumerate(lines, 1):
        line = line.strip()
        head, naming = HEAD.fullmatch(line), NAMES.fullmatch(line)
        if missing and (head or naming):
            raise Damaged(f"line {number}: {current} has {missing} lines less than it says")
        if head:
            cpu, missing, current = int(head[1]), int(head[2]), f"CPU {head[1]}"
            if cpu in cpus:
                cpus, names = {}, {}  # another dump
            cpus[cpu] = (int(head[3]), [])
        elif naming:
            names, missing, current = {}, int(naming[1]), "the list of names"
        elif missing and current == "the list of names":
            if found := NAME.fullmatch(line):
                names[int(found[1])] = found[2]
                missing -= 1
        elif missing and (found := SWITCH.fullmatch(line)):
            cpus[cpu][1].append((int(found[1]), "switch", int(found[2]), int(found[3]), found[4]))
            missing -= 1
        elif missing and (found := OTHER.fullmatch(line)):
            cpus[cpu][1].append((int(found[1]), found[2], int(found[3]), int(found[4])))
            missing -= 1
    if missing:
        raise Damaged(f"{current} has {missing} lines less than it says")
    return cpus, names


def check(cpus):
    """Each CPU goes forward in time and leaves the thread that it came to; nobody sleeps and runs without a wake-up, or
    elsewhere than where it was put last."""
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
    # From here on nothing is lost on any CPU.
    since = max((events[0][0] for lost, events in cpus.values() if lost and events), default=0)
    asleep, place = {}, {}
    # At one time on several CPUs: who sleeps does so before he is woken, and that is before he runs.
    moments = [(event[0], rank, cpu, event) for cpu, (_, events) in cpus.items() for event in events if event[0] >= since
               for rank in ([0, 2] if event[1] == "switch" else [1])]
    for ns, rank, cpu, event in sorted(moments, key=lambda moment: moment[:2]):
        if rank == 0 and event[4] == "s":
            asleep[event[2]] = ns
        elif rank == 1:
            asleep.pop(event[2], None)
            place[event[2]] = event[3]
        elif rank == 2 and event[3] in asleep:
            raise Damaged(f"thread {event[3]} sleeps at {asleep[event[3]]} ns and runs at {ns} ns, and nobody has woken it")
        elif rank == 2 and place.get(event[3], cpu) != cpu:
            raise Damaged(f"thread {event[3]} runs at {ns} ns on CPU {cpu}, and was put on CPU {place[event[3]]}")


def slices(cpus):
    """[(cpu, thread, begin, end, why it ended), ...]. What ran before a CPU's first switch has run since the first
    event of all, unless events of that CPU are lost: then since the first that is left."""
    times = [event[0] for _, events in cpus.values() for event in events]
    first, last = min(times, default=0), max(times, default=0)
    result = []
    for cpu, (lost, events) in sorted(cpus.items()):
        since, running = events[0][0] if lost and events else first, None
        for event in events:
            if event[1] == "switch":
                result.append((cpu, event[2], since, event[0], "it slept" if event[4] == "s" else "others were to run"))
                since, running = event[0], event[3]
        if running is not None:
            result.append((cpu, running, since, last, "the trace ends"))
    return result


def convert(cpus, names=None):
    """The list of trace events."""
    check(cpus)
    names, result = names or {}, []

    def name(thread):
        return names.get(thread, f"thread {thread}")

    last = max((event[0] for _, events in cpus.values() for event in events), default=0)
    ran = slices(cpus)
    for cpu, (lost, events) in sorted(cpus.items()):
        row = {"pid": 0, "tid": cpu}
        result.append({"ph": "M", "name": "thread_name", "args": {"name": f"CPU {cpu}"}, **row})
        result.append({"ph": "M", "name": "thread_sort_index", "args": {"sort_index": cpu}, **row})
        if lost:
            # Of what is lost nothing is known, so nothing is drawn there.
            result.append({"ph": "i", "s": "t", "ts": (events[0][0] if events else last) / 1000, "name": f"{lost} events lost", **row})
        for _, thread, begin, end, how in (piece for piece in ran if piece[0] == cpu):
            result.append({"ph": "X", "ts": begin / 1000, "dur": (end - begin) / 1000, "name": name(thread),
                           "args": {"thread": thread, "until": how}, **row})
        for event in events:
            if event[1] != "switch":
                result.append({"ph": "i", "s": "t", "ts": event[0] / 1000, "name": f"{event[1]} {name(event[2])}",
                               "args": {"thread": event[2], "to": event[3]}, **row})
    return result


# Of the picture, in its units, which are pixels: where the time begins and ends, a row's height, and the distance of rows.
LEFT, RIGHT, HEIGHT, PITCH = 50, 890, 26, 52
COLORS = "#4e79a7 #f28e2b #59a14f #b07aa1 #edc948 #76b7b2 #9c755f #ff9da7 #8cd17d #d4a6c8 #a0cbe8 #ffbe7d".split()
MARKS = {"wake": "#222222", "start": "#59a14f", "migrate": "#d62728"}
STYLE = """text{font:11px sans-serif;fill:#222}.i{fill:#eeeeee}.t{stroke:#bbbbbb;stroke-width:.5}
.m{fill:none;stroke-width:1.2}.w{font-size:10px;text-anchor:middle;fill:#000}"""


def draw(cpus, names, begin_ms=None, end_ms=None):
    """The picture, as lines of SVG. Idle threads are pale; who has no name is shown by number."""
    check(cpus)
    times = [event[0] for _, events in cpus.values() for event in events]
    if not times:
        raise Damaged("nothing has happened")
    zero = min(times)
    begin = zero + int((begin_ms or 0) * 1e6)
    end = zero + int(end_ms * 1e6) if end_ms else max(times)
    if end <= begin:
        raise Damaged("there is no time between --from and --to")
    rows = {cpu: 8 + PITCH * at for at, cpu in enumerate(sorted(cpus))}
    bottom = 8 + PITCH * len(rows) - (PITCH - HEIGHT) + 8

    def across(ns):
        return round(LEFT + (ns - begin) / (end - begin) * (RIGHT - LEFT), 1)

    def name(thread):
        return names.get(thread, f"thread {thread}")

    shown = [(cpu, thread, max(since, begin), min(until, end)) for cpu, thread, since, until, _ in slices(cpus)
             if until >= begin and since <= end]
    threads = sorted({thread for _, thread, _, _ in shown if not name(thread).startswith("idle/")})
    colors = {thread: COLORS[at % len(COLORS)] for at, thread in enumerate(threads)}
    # A scale of at most a dozen steps of 1, 2 or 5 times a power of ten, in ns.
    step = next(step for power in range(12) for step in (10**power, 2 * 10**power, 5 * 10**power) if (end - begin) / step <= 12)
    body = []
    for ns in range(-(-(begin - zero) // step) * step + zero, end + 1, step):
        body.append(f'<path class="t" d="M{across(ns)} 4V{bottom}"/>')
        body.append(f'<text x="{across(ns)}" y="{bottom + 12}" text-anchor="middle">{(ns - zero) / 1e6:g}</text>')
    body.append(f'<text x="{RIGHT + 5}" y="{bottom + 12}">ms</text>')
    for cpu, top in rows.items():
        body.append(f'<text x="6" y="{top + 17}">CPU {cpu}</text>')
        for _, thread, since, until in (piece for piece in shown if piece[0] == cpu):
            left, width = across(since), round(across(until) - across(since), 1)
            if width < 0.3:
                continue
            look = f'fill="{colors[thread]}"' if thread in colors else 'class="i"'
            body.append(f'<rect x="{left}" y="{top}" width="{width}" height="{HEIGHT}" {look}/>')
            if thread in colors and width > 6 * len(name(thread)) + 4:
                body.append(f'<text class="w" x="{round(left + width / 2, 1)}" y="{top + 17}">{escape(name(thread))}</text>')
    # From the CPU that did it to the one where the thread is to run; above the row, if it is the same.
    for cpu, (_, events) in sorted(cpus.items()):
        for event in events:
            if event[1] in MARKS and begin <= event[0] <= end and event[3] in rows:
                x, top, to = across(event[0]), rows[cpu], rows[event[3]]
                if to == top:
                    path = f"M{x} {top - 7}V{top}"
                else:
                    ends = (top + HEIGHT, to) if to > top else (top, to + HEIGHT)
                    path = f"M{x} {ends[0]}V{ends[1]}"
                body.append(f'<path class="m" stroke="{MARKS[event[1]]}" marker-end="url(#{event[1]})" d="{path}"/>')
    legend, x, y = [], LEFT, bottom + 32
    entries = [(colors[thread], name(thread)) for thread in threads] + [("#eeeeee", "idle")]
    for color, text in entries + [(MARKS[kind], f"\u2192 {kind}") for kind in MARKS]:
        if x + 7 * len(text) + 24 > RIGHT:
            x, y = LEFT, y + 18
        legend.append(f'<rect x="{x}" y="{y - 9}" width="10" height="10" fill="{color}"/><text x="{x + 14}" y="{y}">{escape(text)}</text>')
        x += 7 * len(text) + 28
    heads = [f'<marker id="{kind}" viewBox="0 0 6 6" refX="5" refY="3" markerWidth="5" markerHeight="5" orient="auto">'
             f'<path d="M0 0L6 3L0 6z" fill="{color}"/></marker>' for kind, color in MARKS.items()]
    width, height = RIGHT + 30, y + 12
    return [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
            f"<style>{STYLE}</style>", f'<defs>{"".join(heads)}</defs>',
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>', *body, *legend, "</svg>"]


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Turns a trace of threads on CPUs into JSON for Perfetto or Chrome, or a picture.")
    parser.add_argument("--svg", action="store_true", help="draw it, instead of JSON")
    parser.add_argument("--from", dest="begin", type=float, metavar="MS", help="with --svg: from here on")
    parser.add_argument("--to", dest="end", type=float, metavar="MS", help="with --svg: until then")
    parser.add_argument("dump", nargs="?", help="a file; without it, standard input")
    options = parser.parse_args(arguments)
    text = Path(options.dump).read_text(errors="replace") if options.dump else sys.stdin.read()
    try:
        cpus, names = read(text.splitlines())
        if not cpus:
            raise Damaged("there is no `trace cpu` line in it")
        if options.svg:
            print("\n".join(draw(cpus, names, options.begin, options.end)))
            return
        events = convert(cpus, names)
    except Damaged as damage:
        sys.exit(f"trace.py: {damage}")
    json.dump({"displayTimeUnit": "ns", "traceEvents": events}, sys.stdout, indent=0)
    print()


if __name__ == "__main__":
    main()
