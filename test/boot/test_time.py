"""The clock and the timers, on every kind of timer hardware.

What counts seconds runs under -icount, where guest time passes as instructions do, and at once while the guest has
nothing to do: an idle minute is over in a second, and so are many minutes while the guest waits for us to type: what
belongs together is typed together. There the RTC has to follow the guest's time, too, and the local APIC is in xAPIC
mode: QEMU 10 ends itself ("Bad icount read") at a WRMSR to the x2APIC's timer.
"""

import re

from lib.harness import check, test

OPTIONS = {"apic": "", "noapic": "noapic", "nolapic": "nolapic"}
CLOCKS = {"all": "", "nohpet": "nohpet", "notsc": "notsc", "hpet=off": "", "neither": "notsc nohpet"}
ICOUNT = {"icount": "shift=3,sleep=off", "extra": ["-rtc", "clock=vm"]}


def boot_counted(t, cmdline="", **machine):
    """A guest whose time is counted in instructions."""
    return t.boot(cmdline=f"nox2apic {cmdline}".strip(), timeout=240, **ICOUNT, **machine)


def commands(guest, *lines, timeout=180):
    """Types all the lines at once; what each printed."""
    guest.send("".join(f"{line}\r" for line in lines))
    return [guest.prompt(timeout) for _ in lines]


def parse_counts(table):
    return {row[1].strip(): int(row[0]) for row in re.findall(r"^ +\d+ +(\d+)  (.*)$", table, re.MULTILINE)}


def counts(guest):
    """Of each interrupt's owner, how many there were."""
    return parse_counts(guest.command("irq"))


def check_log(guest):
    """The log's time goes on where the clock takes over from the loader's estimate."""
    log = guest.command("dmesg")
    times = [float(time) for time in re.findall(r"^\[ *(\d+\.\d+)\]", log, re.MULTILINE)]
    check(len(times) > 8 and times == sorted(times), f"the log's time goes back:\n{log}")
    return log


def check_agreement(guest, seconds, *, counters, ppm=200):
    """`clocks`: all these counters, each within so many ppm of the clock, and the RTC within a second."""
    shown = guest.command(f"clocks {seconds}", timeout=60 + seconds)
    found = {name: abs(float(off)) for name, off in re.findall(r"^  (.*): [\d.]+ s, ([-+][\d.]+) ppm$", shown, re.MULTILINE)}
    check(set(found) == set(counters), f"not the counters {', '.join(counters)}:\n{shown}")
    check(all(off <= ppm for off in found.values()), f"more than {ppm} ppm apart:\n{shown}")
    rtc = re.search(r"RTC: (\d+) s in ([\d.]+) s", shown)
    check(rtc and abs(int(rtc[1]) - float(rtc[2])) <= 1, f"the RTC is off by more than a second:\n{shown}")
    return shown


@test("sleep", machine=["q35", "pc"], cpu=["qemu64", "max"], how=list(OPTIONS), clock=list(CLOCKS))
def sleep(t, machine, cpu, how, clock):
    """A timer wakes the sleeper, not before its time by the kernel's clock; the clock is the one that was left."""
    off = ",hpet=off" if clock == "hpet=off" else ""
    guest = t.boot(machine=machine + off, cpu=cpu, cmdline=f"{OPTIONS[how]} {CLOCKS[clock]}".strip())
    log = check_log(guest)
    source = {"all": "TSC", "nohpet": "TSC", "hpet=off": "TSC", "notsc": "HPET", "neither": "PM timer"}[clock]
    check(re.search(rf"clock: {source}, ", log), f"the clock is not the {source}:\n{log}")
    if source == "TSC":
        by = "HPET" if clock == "all" else "PM timer"
        check(f"measured by {by}, watched by {by}" in log, f"not measured and watched by the {by}:\n{log}")
    for asked in ("0.01", "1"):
        slept = re.search(r"slept (\d+\.\d+) s", guest.command(f"sleep {asked}", timeout=60))
        check(slept and float(slept[1]) >= float(asked), f"asked for {asked}: {slept and slept[0]}")
    first, second = (float(re.search(r"([\d.]+) s", guest.command("uptime"))[1]) for _ in range(2))
    check(1 < first < second, f"uptime: {first}, then {second}")
    hpet = clock in ("all", "notsc")
    row = "APIC timer" if how != "nolapic" else "HPET" if hpet else "PIT"
    check(counts(guest).get(row), f"no interrupt of the {row}:\n{guest.command('irq')}")
    check(re.search(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d", guest.command("date")), "no date")


@test("sleep-bad")
def bad(t):
    guest = t.boot()
    for word in ("", "x", "-1", "1e9", "1.0000000001", "99999999999999"):
        check("usage: sleep" in guest.command(f"sleep {word}"), f"sleep {word!r} is accepted")
    for words in ("x", "1 2", "reads", "reads -1", "stray", "stray x", "stray 99999999999"):
        check("usage: clocks" in guest.command(f"clocks {words}"), f"clocks {words!r} is accepted")


@test("sleep-without-acpi", clock=["TSC", "PIT"], how=list(OPTIONS))
def without_acpi(t, clock, how):
    """Neither HPET nor PM timer is to be found: the PIT measures the TSC, or is the clock itself."""
    notsc = "notsc" if clock == "PIT" else ""
    guest = t.boot(machine="q35,acpi=off", cmdline=f"{OPTIONS[how]} {notsc}".strip())
    log = check_log(guest)
    line = {"TSC": "TSC, not invariant, measured by PIT, with nothing to watch it by",
            "PIT": "PIT: TSC off by notsc, HPET absent, PM timer absent"}[clock]
    check(f"clock: {line}" in log and "estimate" not in log, f"not {line!r}:\n{log}")
    slept = re.search(r"slept (\d+\.\d+) s", guest.command("sleep 1", timeout=60))
    check(slept and float(slept[1]) >= 1, f"asked for 1: {slept and slept[0]}")
    check(counts(guest).get("PIT" if how == "nolapic" else "APIC timer"), "no interrupt of the timer")


@test("clocks-agree", machine=["q35", "pc"], clock=["all", "notsc", "neither", "acpi=off"],
      allow=lambda row: row["machine"] == "q35" or row["clock"] != "acpi=off")
def agree(t, machine, clock):
    """From the boot on, with the coarse rate at first, ten seconds are the same by all counters."""
    off = ",acpi=off" if clock == "acpi=off" else ""
    guest = boot_counted(t, CLOCKS.get(clock, ""), machine=machine + off)
    counters = {"all": ["HPET", "PM timer"], "notsc": ["PM timer"], "neither": [], "acpi=off": ["PIT"]}[clock]
    check_agreement(guest, 10, counters=counters)
    if clock in ("all", "acpi=off"):
        refined = re.findall(r"clock: TSC \d+ Hz, measured by [^,]*, within (\d+) ppm", guest.command("dmesg"))
        check(len(refined) == 3 and int(refined[-1]) < 10 <= int(refined[0]), f"the rate's bounds, in ppm: {refined}")


@test("clocks-agree-real", level="matrix")
def agree_in_real_time(t):
    """The same in real time, where the host takes the CPU away: counters are there, how far off is for the log."""
    guest = t.boot()
    print(check_agreement(guest, 10, counters=["HPET", "PM timer"], ppm=1_000_000))


@test("clock-never-back", clock=list(CLOCKS))
def never_back(t, clock):
    """Ten million reads while the rate changes all the time; fewer of the clocks that are a trip over the bus away."""
    off = ",hpet=off" if clock == "hpet=off" else ""
    guest = t.boot(machine="q35" + off, cmdline=CLOCKS[clock])
    reads = 1_000_000 if "notsc" in CLOCKS[clock] else 10_000_000
    shown = guest.command(f"clocks reads {reads}", timeout=300)
    found = re.search(rf"{reads} reads in [\d.]+ s, (\d+) changes.*\n  (\d+) steps back", shown)
    check(found and int(found[1]) > 10 and found[2] == "0", f"with changes, and no step back:\n{shown}")


@test("clock-that-strays", clock=["all", "nohpet"])
def strays(t, clock):
    """A TSC that is not what it was measured to be is dropped, once and in one line; one that is nearly so is not."""
    guest = boot_counted(t, CLOCKS[clock])
    counters, line = {"all": (["PM timer"], r"HPET, 64 bits: TSC strayed, 2\d\d\d ppm off HPET"),
                      "nohpet": ([], r"PM timer, 24 bits: TSC strayed, HPET off by nohpet, 2\d\d\d ppm off PM timer")}[clock]
    guest.command("clocks stray 500")
    guest.command("sleep 100", timeout=120)
    check("strayed" not in guest.command("dmesg"), "500 ppm are too much for it")
    guest.command("clocks stray 2400")
    guest.command("sleep 100", timeout=120)
    lines = re.findall("clock: .*strayed.*", check_log(guest))
    check(len(lines) == 1 and re.search(line, lines[0]), f"not dropped in a line like {line}: {lines}")
    check_agreement(guest, 10, counters=counters)
    check("not the clock" in guest.command("clocks stray 3000"), "the TSC is still the clock")


@test("clock-that-slows")
def slows(t):
    """A TSC that all but stops would never let the watchdog's time come: alarms that come too soon tell of it."""
    guest = boot_counted(t)
    guest.command("sleep 12", timeout=60)
    guest.command("clocks stray -990000")
    guest.command("sleep 2", timeout=120)
    check("HPET, 64 bits: TSC strayed" in check_log(guest), "after 200 seconds by the others it is still the clock")


@test("ticks", how=["apic", "hpet", "pit"])
def ticks(t, how):
    """hz=: as many ticks as there should be, and as many interrupts of the chip."""
    guest = boot_counted(t, "hz=1000 " + {"apic": "", "hpet": "nolapic", "pit": "nolapic nohpet"}[how])
    row = {"apic": "APIC timer", "hpet": "HPET", "pit": "PIT"}[how]
    first, table, _, last, last_table = commands(guest, "timers", "irq", "sleep 10", "timers", "irq")
    (first_ticks, first_time), (last_ticks, last_time) = ticks_and_time(first), ticks_and_time(last)
    ticked, seconds = last_ticks - first_ticks, last_time - first_time
    taken = parse_counts(last_table)[row] - parse_counts(table)[row]
    check(seconds > 10 and abs(ticked / seconds - 1000) < 10, f"{ticked} ticks in {seconds} s")
    check(abs(taken / seconds - 1000) < 20, f"{taken} interrupts of the {row} in {seconds} s")


def ticks_and_time(shown):
    found = re.search(r"(\d+) ticks in ([\d.]+) s", shown)
    check(found, f"no ticks:\n{shown}")
    return int(found[1]), float(found[2])


def has_good_alarm(row):
    """With a local APIC or an HPET: the 8254 takes 18 interrupts a second."""
    return row["how"] != "nolapic" or row["clock"] in ("all", "notsc")


@test("idle-minute", how=list(OPTIONS), clock=list(CLOCKS), allow=has_good_alarm)
def idle_minute(t, how, clock):
    """A kernel with nothing to do takes a handful of interrupts a minute: the clock's upkeep, and its own sleep's."""
    off = ",hpet=off" if clock == "hpet=off" else ""
    guest = boot_counted(t, f"{OPTIONS[how]} {CLOCKS[clock]}", machine="q35" + off)
    # The PM timer comes round every 4.7 s, and is looked at twice in that time.
    check_idle(guest, 30 if clock == "neither" else 20)


@test("idle-minute-real", level="matrix")
def idle_minute_real(t):
    check_idle(t.boot())


def check_idle(guest, most=20):
    tables = commands(guest, "irq", "sleep 60", "irq")
    before, after = parse_counts(tables[0]), parse_counts(tables[2])
    check("slept 60." in tables[1], f"not a minute: {tables[1]}")
    taken = {name: after[name] - before[name] for name in after if name != "ttyS"}
    check(sum(taken.values()) < most, f"interrupts in an idle minute: {taken}")
