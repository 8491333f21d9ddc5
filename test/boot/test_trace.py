"""The recording of threads on CPUs: what the self-test's threads do, as test/tools/trace.py reads it."""

import json
import re

from lib import build as outputs
from lib.harness import check, test
from tools import trace


def recorded(t, **options):
    """A guest with four CPUs that has made a recording, and the dump's text."""
    guest = t.boot(smp="4", timeout=300, **options)
    output = guest.command("selftest smp-trace", timeout=300)
    check("smp-trace: ok" in output, output)
    return guest, guest.command("trace dump 4096", timeout=300)


def look(text):
    """Reads a dump, and checks what is true of all: by itself, and as JSON. Returns it, with the slices."""
    cpus, names = trace.read(text.splitlines())
    check(sorted(cpus) == [0, 1, 2, 3], f"there are the CPUs {sorted(cpus)}")
    check(not any(lost for lost, _ in cpus.values()), "events are lost")
    # Time goes forward, each CPU leaves whom it came to, nobody sleeps and runs before it is woken, or elsewhere than
    # where it was put.
    trace.check(cpus)
    drawn = json.loads(json.dumps(trace.convert(cpus, names)))
    slices = [event for event in drawn if event["ph"] == "X"]
    for cpu in cpus:
        end = 0
        for piece in (piece for piece in slices if piece["tid"] == cpu):
            check(piece["dur"] >= 0 and piece["ts"] >= end - 0.001, f"CPU {cpu}: {piece} begins before {end}")
            end = piece["ts"] + piece["dur"]
    nameless = {piece["args"]["thread"] for piece in slices} - set(names)
    check(not nameless, f"nobody knows the names of {nameless}")
    return cpus, names, slices


def kinds(cpus, names, kind):
    """[(ns, by which CPU, thread's name, to which CPU)] of a kind of events, by time."""
    return sorted((event[0], cpu, names[event[2]], event[3]) for cpu, (_, events) in cpus.items() for event in events if event[1] == kind)


@test("trace")
def whole(t):
    """All that the self-test does is in the recording, by the clock of -icount."""
    guest, text = recorded(t, icount="shift=3,sleep=off", cmdline="nox2apic")
    (t.directory / "dump").write_text(text)  # docs/13-time-line.svg is drawn from it
    cpus, names, slices = look(text)
    by_name = {}
    for piece in slices:
        by_name.setdefault(piece["name"], []).append(piece)
    workers = [f"work/{number}" for number in range(6)]
    missing = {*workers, "urgent", "ping", "pong", "monitor", *(f"idle/{cpu}" for cpu in range(4))} - set(by_name)
    check(not missing, f"{missing} never ran")
    # Beginnings: each once, before it first runs.
    starts = kinds(cpus, names, "start")
    check(sorted(name for _, _, name, _ in starts) == sorted([*workers, "urgent", "ping", "pong"]), f"these began: {starts}")
    for ns, _, name, _ in starts:
        first = min(piece["ts"] for piece in by_name[name])
        check(first >= ns / 1000 - 0.001, f"{name} begins at {ns} ns and runs at {first} us")
    check({cpu for _, _, name, cpu in starts if name in workers} == {0, 1, 2, 3}, f"not all CPUs were given work: {starts}")
    # The urgent one stays where it may be, and works a millisecond at a time that nobody takes from it.
    urgent = by_name["urgent"]
    check({piece["tid"] for piece in urgent} == {1}, "the urgent one was elsewhere")
    long = [piece for piece in urgent if piece["dur"] > 900]
    check(len(long) >= 3 and all(piece["until"] == "it slept" for piece in (p["args"] for p in long)), f"the urgent one ran like that: {urgent}")
    woken = [name for _, _, name, _ in kinds(cpus, names, "wake")]
    check(woken.count("urgent") >= 3 and woken.count("ping") >= 3 and woken.count("pong") >= 3, f"these were woken up: {woken}")
    # The first worker was sent away, twice at least; `look` has seen that it ran where it was sent to, if it ran there.
    sent = [(ns, cpu) for ns, _, name, cpu in kinds(cpus, names, "migrate") if name == "work/0"]
    check(len(sent) >= 2, f"work/0 went to {sent}")
    # On, off, and away again.
    check(re.search(r"cpu 3: \d+ events, 0 before them lost\n +recording is off", guest.command("trace").replace("\r", "")), "its state")
    check(guest.command("trace clear").strip() == "", "`trace clear` has something to say")
    check(guest.command("trace").strip() == "recording is off", "something is left")
    guest.command("trace on")
    check("recording is on" in guest.command("trace"), "it is not on")
    guest.command("sleep 0.1")
    cpus, names = trace.read(guest.command("trace dump 2").splitlines())
    check(cpus[0][0] > 0 and len(cpus[0][1]) == 2, f"of CPU 0 there is {cpus[0]}")
    check("recording is off" in guest.command("trace"), "it goes on after a dump")


@test("trace-log")
def beside_the_log(t):
    """Lines of the log that come while it is dumped wait until it is whole."""
    guest, text = recorded(t)
    look(text)
    start = len(guest.text)
    guest.send("trace dump 4096\r")
    guest.expect("trace cpu 0", start=start)
    for _ in range(10):
        guest.qmp("inject-nmi")
    guest.prompt(timeout=300)
    guest.expect(re.compile(r"NMI: cpu \d"), start=start)
    text = guest.text[start:]
    check("trace names" in text, "no names")
    look(text)
    body = text[text.index("trace cpu 0"):text.rindex(" name ")]
    strange = [line for line in body.replace("\r", "").split("\n") if line and not re.match(r"trace (cpu|names) | \d+ (switch|wake|start|migrate) | name \d+ ", line)]
    check(not strange, f"between the lines of the dump there is {strange}")


@test("trace-debug")
def debug_build(t):
    """With every check on, of locks above all."""
    guest, text = recorded(t, outputs=outputs.DEBUG)
    look(text)
