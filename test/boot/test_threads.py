"""Threads: the self-tests of switching, beginning and ending, waiting and registers; the monitor beside threads that work."""

import re

from boot.test_gdb import Debugged
from lib import build as outputs
from lib.harness import check, test


@test("threads", cpu=["qemu64", "max"], slice=["", " slice=50"])
def self_tests(t, cpu, slice):  # noqa: A002
    """`selftest=smp` ends with success, with slices as ever and with short ones; at least four tests ran."""
    guest = t.start(cmdline=f"selftest=smp{slice}", cpu=cpu)
    status = guest.wait_exit(150)
    check(status == 33, f"status {status}")
    names = re.findall(r"selftest: (smp-\w+): ok", guest.text)
    check({"smp-switch", "smp-threads", "smp-wait", "smp-fpu"} <= set(names), f"only these ran: {names}")
    registers = {"qemu64": "xmm", "max": "ymm"}[cpu]
    check(re.search(rf"smp-fpu: \d{{5,}} switches, \d+ loops, {registers}", guest.text), "too few switches, or other registers")


RING_3 = ["ring3", "stop", "unmap", "churn", "borrow"]


@test("threads-ring3", cpu=["qemu64", "max"], smp=[1, 4], slice=["", " slice=50"])
def ring_3(t, cpu, smp, slice):  # noqa: A002
    """Programs side by side: registers, bases and memory are each one's own; they can be stopped; nobody reads what is unmapped."""
    tests = ",".join(f"smp-{name}" for name in RING_3)
    guest = t.start(cmdline=f"selftest={tests}{slice}", cpu=cpu, smp=smp)
    status = guest.wait_exit(300)
    check(status == 33, f"status {status}")
    for name in RING_3:
        check(f"selftest: smp-{name}: ok" in guest.text, f"smp-{name} did not run")
    registers = {"qemu64": "xmm", "max": "ymm"}[cpu]
    check(re.search(rf"smp-ring3: \d{{5,}} switches, \d+ loops, {registers}", guest.text), "too few switches, or other registers")


@test("threads-forgotten", cpu=["qemu64", "max"], what=["fpu", "segments"])
def forgotten(t, cpu, what):
    """A kernel that does not exchange what belongs to a thread fails the tests of that, and no other."""
    guest = t.boot(cpu=cpu, cmdline=f"forget={what} monitor")
    for name, fails in (("smp-fpu", what == "fpu"), ("smp-ring3", True)):
        output = guest.command(f"selftest {name}", timeout=300)
        wanted = f"{name}: FAILED: a register was changed" if fails else f"{name}: ok"
        check(wanted in output, f"with forget={what} it says:\n{output}")


@test("threads-forgotten-shootdown")
def forgotten_shootdown(t):
    """A kernel that asks no other CPU to forget what was unmapped fails the test of that."""
    guest = t.boot(smp=4, cmdline="forget=shootdown monitor")
    output = guest.command("selftest smp-unmap", timeout=300)
    check("smp-unmap: FAILED: a" in output, f"it says:\n{output}")


@test("threads-long", level="matrix", cpu=["qemu64", "max"], smp=[1, 4])
def long(t, cpu, smp):
    """A million preemptions of 64 threads, in the kernel and in ring 3."""
    guest = t.start(cmdline="selftest=long-fpu,long-ring3 slice=50", cpu=cpu, smp=smp)
    status = guest.wait_exit(14400)
    check(status == 33, f"status {status}")
    check("is stuck" not in guest.text, "the watchdog names a CPU that switches all the time")
    for name in ("fpu", "ring3"):
        check(re.search(rf"long-{name}: \d{{7,}} switches", guest.text), f"long-{name} did not switch a million times")


@test("threads-long-unmap", level="matrix", smp=[1, 4])
def long_unmap(t, smp):
    """The same for memory that is unmapped, with poison in free frames."""
    guest = t.start(cmdline="selftest=long-unmap", smp=smp)
    check(guest.wait_exit(14400) == 33, "a page was read after it was unmapped")


@test("threads-fair")
def fair(t):
    """Eight equal threads get equal parts of the CPU, and who sleeps is woken in time: by the clock of -icount."""
    # QEMU 10 ends itself at a WRMSR to the x2APIC's timer under -icount.
    guest = t.boot(icount="shift=3,sleep=off", cmdline="nox2apic", timeout=300)
    output = guest.command("selftest smp-switch", timeout=300)
    found = re.search(r"smp-switch: (\d+) to (\d+) us of (\d+) each, woken (\d+) us late", output)
    check(found and "smp-switch: ok" in output, f"no figures:\n{output}")
    least, most, each, late = map(int, found.groups())
    check(each * 0.98 <= least <= most <= each * 1.02, f"of {each} us each had {least} to {most}")
    check(late < 20_000, f"a sleeper was woken {late} us late")
    found = re.search(r"smp-switch: nice 0 (\d+) us, nice 5 (\d+) us", output)
    check(found, f"no figures:\n{output}")
    ratio = int(found[1]) / int(found[2])
    # Of the weights of nice 0 and nice 5 (src/task/sched/weight.rs).
    check(abs(ratio / (1024 / 336) - 1) <= 0.05, f"nice 0 had {ratio} times what nice 5 had")


@test("threads-spread")
def spread(t):
    """Eight threads that only work have half of one of four CPUs each, within 5 % over 10 s: by the clock of -icount."""
    guest = t.boot(icount="shift=3,sleep=off", cmdline="nox2apic", smp="4", timeout=300)
    output = guest.command("selftest smp-spread", timeout=400)
    found = re.search(r"smp-spread: (\d+) to (\d+) us of (\d+) each", output)
    check(found and "smp-spread: ok" in output, f"no figures:\n{output}")
    least, most, each = map(int, found.groups())
    check(each * 0.95 <= least <= most <= each * 1.05, f"of {each} us each had {least} to {most}")


@test("threads-debug")
def debug_build(t):
    """The same with every check on."""
    guest = t.boot(outputs=outputs.DEBUG)
    output = guest.command("selftest smp", timeout=300)
    check("FAILED" not in output and output.count(": ok (") >= 4, output)


@test("threads-listed")
def listed(t):
    """`threads` shows the monitor, which runs, the idle thread, which is ready, and the worker, which waits."""
    guest = t.boot()
    text = guest.command("threads")
    for line in (r"monitor +running +normal 0 +0 ", r"idle/0 +ready +idle +0 ", r"worker/0 +waiting +fifo \d+ +0 "):
        check(re.search(line, text), f"no line like {line}:\n{text}")
    times = {name: float(time) for name, time in re.findall(r"^ +\d+ +(\S+) .* (\d+\.\d+) s", text, re.MULTILINE)}
    check(times["monitor"] > 0, f"the monitor has had no time:\n{text}")
    before = times["idle/0"]
    guest.command("sleep 2")
    text = guest.command("threads")
    idle = float(re.search(r"idle/0 .* (\d+\.\d+) s", text)[1])
    check(idle - before > 1.5, f"in two idle seconds the idle thread had {idle - before} s")


@test("threads-named-in-panic")
def named(t):
    """A panic says which thread it was."""
    guest = t.boot(cmdline="panic=exit")
    guest.send("panic\r")
    status = guest.wait_exit()
    check(status == 35, f"status {status}")
    check("cpu 0, task monitor, " in guest.text, "the task is not named")


@test("threads-gdb", build=["release", "debug"])
def in_gdb(t, build):
    """`sis threads` lists them; `sis bt` walks one that waits, one that does not exist, and leaves the machine as it was."""
    with Debugged(t, build) as debugged:
        # At the idle thread's door, after a key: so the monitor certainly waits.
        text = debugged.run("break idle_wait", "continue", "sis threads", "sis bt monitor", "sis bt worker/0", "sis bt nobody", "sis bt 1", "info registers rip", typed="")
        for line in (r"monitor +waiting +normal 0 +cpu 0", r"idle/0 +running +idle +cpu 0", r"worker/0 +waiting +fifo \d+"):
            check(re.search(line, text), f"no line like {line}:\n{text}")
        monitor = text.split("monitor, waiting:")[1].split("worker/0, waiting:")[0]
        for function in ("park", "wait_until", "shell::run", "start_high"):
            check(function in monitor, f"the monitor's backtrace does not name {function}:\n{monitor}")
        worker = text.split("worker/0, waiting:")[1].split("no thread nobody")[0]
        for function in ("park", "worker", "thread_main", "thread_start"):
            check(function in worker, f"the worker's backtrace does not name {function}:\n{worker}")
        idle = text.split("idle/0, running:")[1]
        check("idle" in idle and "thread_start" in idle, f"the idle thread's backtrace:\n{idle}")
        # It goes on as if nothing had been.
        check("slept 1." in debugged.guest.command("sleep 1"), "the machine has suffered")
