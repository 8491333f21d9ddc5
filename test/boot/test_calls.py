"""System calls from programs that mean no good, or do not know better: test/programs, the same ELF files that Linux was asked with."""

import re

from boot.test_bochs import start as start_bochs
from boot.test_interrupts import Counters, row
from boot.test_user import counts
from lib import programs
from lib.build import BY_NAME, RELEASE, ROOT
from lib.elfedit import Elf
from lib.guest import Guest, plain
from lib.harness import Context, Skip, check, test
from tools import initramfs, qemu

CMDLINE = "console=ttyS0 loglevel=4 initrd=initramfs.img"
# What Linux answers to test/programs/pointers.c, recorded and held to by bad-pointers-linux: 6.1, mitigations=off no5lvl.
ANSWERS = ROOT / "test" / "data" / "calls" / "pointers.txt"
# Where this kernel answers otherwise, and why.
DIFFERS = {
    ("mremap *new_addr", "null"): "no program has anything at address 0, whoever's it is",
    ("futex *word", "read-only"): "a word that only this process can see, and nobody write, wakes nobody; Linux says so",
}


def boot(t, name, line, files=None, cmdline=CMDLINE, bochs=False, **machine):
    """A guest whose first process runs `line`, which finds the program `name` in /bin. It is QEMU's, or Bochs's."""
    busybox, bash = initramfs.programs()
    if busybox is None:
        raise Skip("no static busybox here, and none to be fetched")
    init = f"#!/bin/sh\nexport PATH=/bin\n{line}\n"
    inside = {"init": (init.encode(), 0o755), f"bin/{name}": (programs.program(name), 0o755)}
    files = {"initramfs.img": initramfs.make(busybox, bash, inside)} | (files or {})
    return (start_bochs if bochs else Context.start)(t, files, cmdline, **machine)


def answers(text):
    """`call *argument` and the address's kind: the answer."""
    lines = [line.strip() for line in text.replace("\r", "").splitlines()]
    kinds = next(line for line in lines if line.startswith("addresses: ")).split()[1:]
    rows = [match for line in lines if (match := re.fullmatch(r"(\w+ \*\w+):((?: (?:\d+|ok|wait|[se]\d+))+)", line))]
    found = {(row[1], kind): answer for row in rows for kind, answer in zip(kinds, row[2].split(), strict=True)}
    check(len(rows) * len(kinds) == len(found), "a row comes twice")
    return found


@test("bad-pointers", smp=[1, 4])
def bad_pointers(t, smp):
    """Every call that there is, every argument that is an address, every kind of bad address: the answers are Linux's."""
    guest = boot(t, "pointers", "pointers", smp=smp)
    guest.expect("pointers: done", timeout=600)
    found, linux = answers(guest.text), answers(ANSWERS.read_text())
    calls = {f"{name} {argument}" for _, name, arguments in programs.served() for argument in arguments if argument[0] == "*"}
    check({row for row, _ in found} == calls, f"not asked: {calls - {row for row, _ in found}}")
    check(calls <= {row for row, _ in linux}, f"nobody knows what Linux says to {calls - {row for row, _ in linux}}")
    bad = {key: answer for key, answer in found.items() if answer != linux[key] and key not in DIFFERS}
    check(not bad, "\n".join(f"{row}, {kind}: {answer}, on Linux {linux[row, kind]}" for (row, kind), answer in bad.items()))
    guest.prompt()


@test("bad-pointers-linux", level="matrix")
def bad_pointers_on_linux(t):
    """What is kept as Linux's answers is what it says. Where it is not, the new answers are written beside the log."""
    busybox, _ = initramfs.programs()
    linux = initramfs.linux()
    if busybox is None or linux is None:
        raise Skip("no Linux to ask here, and none to be fetched (Debian: linux-image-amd64)")
    init = "#!/bin/sh\nexport PATH=/bin\nmkdir -p /dev /proc\nmount -t devtmpfs none /dev\nmount -t proc none /proc\nexec <>/dev/console >&0 2>&1\necho\npointers\nwhile :; do sleep 1000; done\n"
    ramdisk = t.directory / "linux.cpio"
    ramdisk.write_bytes(initramfs.make(busybox, busybox, {"init": (init.encode(), 0o755), "bin/pointers": (programs.program("pointers"), 0o755)}))
    line = "console=ttyS0 quiet loglevel=0 mitigations=off no5lvl"
    fields = t.machine()
    fields.extra = [*fields.extra, "-kernel", str(linux), "-initrd", str(ramdisk), "-append", line]
    guest = Guest(fields, t.directory, len(t.guests))
    t.guests.append(guest)
    guest.expect("pointers: done", timeout=600)
    found, kept = answers(guest.text), answers(ANSWERS.read_text())
    lines = [one for one in guest.text.replace("\r", "").splitlines() if re.match(r"addresses: |\w+ \*\w+: ", one)]
    (t.directory / ANSWERS.name).write_text("\n".join(lines) + "\n")
    differs = {key for key in found.keys() | kept.keys() if found.get(key) != kept.get(key)}
    check(not differs, f"{t.directory / ANSWERS.name} should be {ANSWERS}: {sorted(differs)[:10]}")


def last_line(t, name, line, timeout, **machine):
    """Runs one of the programs whose last line says how it went, and ends in `status 0`."""
    guest = boot(t, name, f"{line}; echo status $?", **machine)
    found = guest.expect(re.compile(r"\n(?:status (\d+)(?=\r?\n)|panic: .*)"), timeout)
    said = [one for one in guest.text[:found.start()].replace("\r", "").splitlines() if one.startswith(f"{name}: ")]
    check(found[1] == "0", f"{line}: {found[0].strip()}: {said[-3:]}")
    guest.prompt()
    return said[-1]


@test("many-at-once", smp=[1, 4])
def many_at_once(t, smp):
    """A thousand processes in 512 MiB, twice; then the memory is there again."""
    line = last_line(t, "many", "many at-once 1000", 600, smp=smp, mem="512M")
    check(line.startswith("many: 1000 at-once; free before"), line)


@test("many-bomb", smp=[1, 4])
def many_bomb(t, smp):
    """A fork bomb gets as many processes as its user may have, not one more; others fork on."""
    line = last_line(t, "many", "many bomb 300", 600, smp=smp)
    check(line.startswith("many: 300 bomb; free before"), line)


@test("many-exec", smp=[1, 4], count=[300])
@test("many-exec", level="matrix", smp=[1, 4], count=[10_000])
def many_exec(t, smp, count):
    """fork, exec and wait, again and again; then the memory is there again."""
    line = last_line(t, "many", f"many exec {count}", 3000, smp=smp)
    check(line.startswith(f"many: {count} exec; free before"), line)


@test("together", smp=[1, 4])
def together(t, smp):
    """What threads and processes share, and who ends and wakes whom by it."""
    line = last_line(t, "together", "together", 300, smp=smp)
    check(line == "together: done", line)


@test("family", smp=[1, 4])
def family(t, smp):
    """What parents and children hear of each other, what is inherited, and hundreds of them asleep on one CPU."""
    line = last_line(t, "family", "family", 300, smp=smp)
    check(line == "family: done", line)


@test("limits", smp=[1, 4])
def limits(t, smp):
    """Each limit is reached, refuses as on Linux, and the next one is asked; a full /tmp is told of, and empty again."""
    full = "dd if=/dev/zero of=/tmp/full bs=65536 2>/dev/null; echo full $?; echo word > /tmp/word; echo none $?; rm /tmp/full; echo word > /tmp/word; cat /tmp/word"
    line = last_line(t, "limits", f"{full}; limits", 300, smp=smp, mem="128M")
    check(line == "limits: done", line)
    check("\nfull 1\n" in plain(t.guests[-1].text) and "\nnone 1\n" in plain(t.guests[-1].text), "a full file system is written to")
    check("\nword\n" in plain(t.guests[-1].text), "nothing can be written after it was full")


@test("unknown-calls")
def unknown_calls(t):
    """What nobody has is -ENOSYS, and one line of the log for each program and number, however often it is asked for."""
    line = last_line(t, "unknown", "unknown; unknown; cp /bin/unknown /tmp/other; /tmp/other; unknown", 120)
    check(line == "unknown: 0 wrong", line)
    told = re.findall(r"syscall: (unknown|other)\[\d+\]: (\d+) \((.*)\) is not there \(-ENOSYS\)", t.guests[-1].command("dmesg"))
    numbers = ["500", "501", "1000000", str(0x40000000 + 39), str(2**32 - 1), str(2**31)]
    wanted = [(program, number, "no such call") for program in ("unknown", "other") for number in numbers]
    check(sorted(told) == sorted(wanted), f"the log has {told}")


@test("strace", smp=[1, 4])
def strace(t, smp):
    """Each call of a program is two lines of the log: name, arguments by name and value; then the result."""
    guest = boot(t, "limits", "/bin/echo some words; /bin/cat /nowhere", cmdline=f"{CMDLINE} strace", smp=smp)
    guest.prompt(timeout=120)
    check("\nsome words\n" in plain(guest.text), "the program has printed nothing")
    log = guest.command("dmesg", timeout=60)
    names = {name: [one.lstrip("*") for one in arguments] for _, name, arguments in programs.served()}
    calls, ends = [], []
    for program, tid, said in re.findall(r"strace: (\w+)\[(\d+)\]: (.*)", log):
        if call := re.fullmatch(r"(\w+)\((.*)\)", said):
            found = [one.split(" ") for one in call[2].split(", ") if one]
            check([name.lstrip("*") for name, _ in found] == names[call[1]], f"{said}: its arguments are {names[call[1]]}")
            calls.append((program, tid, call[1], {name.lstrip("*"): int(value, 16) for name, value in found}))
        else:
            end = re.fullmatch(r"(\w+) = (0x[0-9a-f]+|E\w+)", said)
            check(end, f"what line is this: {said!r}")
            # It belongs to that thread's last call.
            last = next((call for call in reversed(calls) if call[1] == tid), None)
            check(last is None or last[2] == end[1], f"{said}, and {tid} has called {last}")
            ends.append((program, tid, end[1], end[2]))
    written = [(tid, what) for program, tid, name, what in calls if (program, name) == ("echo", "write")]
    check(len(written) == 1 and (written[0][1]["fd"], written[0][1]["count"]) == (1, 11), f"echo has written {written}")
    tid = written[0][0]
    check(("echo", tid, "write", "0xb") in ends, f"of that has come {[end for end in ends if end[1] == tid]}")
    own = [name for _, one, name, _ in calls if one == tid]
    check("execve" in own and own[-1] == "exit_group" and own.index("execve") < own.index("write"), f"echo has called {own}")
    check(any(end[0] == "cat" and end[2] in ("open", "openat") and end[3].upper() == "ENOENT" for end in ends), "nothing says that /nowhere is not there")


@test("stale", cpu=["qemu64", "max"], smp=[1, 4], rounds=[25])
@test("stale", level="matrix", cpu=["qemu64", "max"], smp=[2, 4, 8], rounds=[3000])
def stale(t, cpu, smp, rounds):
    """Memory that is taken away while threads on other CPUs use it is gone for all when the call returns: SIGSEGV, no access in between."""
    line = last_line(t, "stale", f"stale {rounds} {smp}", 3000, cpu=cpu, smp=smp)
    check(line == "stale: done", line)
    ways = re.findall(r"stale: [^\n:]*: \d+ rounds, (\d+) accesses", plain(t.guests[-1].text))
    check(len(ways) == 7 and all(int(accesses) > rounds for accesses in ways), f"{ways} accesses")


@test("frames", cpu=["qemu64", "max"], smp=[1, 4], count=[10_000])
@test("frames", level="fuzz", cpu=["qemu64", "max"], smp=[4], count=[1_000_000])
def frames(t, cpu, smp, count):
    """Signal frames that a program has damaged: whatever comes of it comes to the program."""
    line = last_line(t, "frames", f"frames 1 {count}", 6000, smp=smp, cpu=cpu)
    found = re.fullmatch(r"frames: (\d+) frames: (\d+) went through, (\d+) caught, (\d+) died, 0 strange", line)
    check(found and int(found[1]) >= count, line)
    # Of all kinds, or the damage is not what it is meant to be.
    check(int(found[2]) > count // 100 and int(found[3]) > count // 100, line)


# What no program can have done: what ends by a signal alone has failed by it; there are no attributes to be had.
NEVER_DONE = {"pause", "rt_sigsuspend", "restart_syscall", *(f"{how}{what}xattr" for how in ("", "l", "f") for what in ("set", "get", "remove"))}


@test("fuzz-calls", build=["release", "debug"], cpu=["qemu64", "max"], smp=[1, 4], rounds=[40], seed=[1])
@test("fuzz-calls", level="fuzz", build=["release"], cpu=["qemu64", "max"], smp=[1], rounds=[3000], seed=[1, 1_000_000])
@test("fuzz-calls", level="fuzz", build=["release"], cpu=["qemu64", "max"], smp=[4], rounds=[12_000], seed=[1, 1_000_000])
@test("fuzz-calls", level="fuzz", build=["debug"], cpu=["qemu64", "max"], smp=[1], rounds=[1000], seed=[2_000_000])
@test("fuzz-calls", level="fuzz", build=["debug"], cpu=["qemu64", "max"], smp=[4], rounds=[4000], seed=[2_000_000])
def fuzz_calls(t, build, cpu, smp, rounds, seed):
    """System calls at random: no panic, no hang, nothing given away, memory and slabs there again. A debug build fills what is free."""
    line = last_line(t, "fuzz", f"fuzz {seed} {rounds} 200 {smp}", 6000, smp=smp, cpu=cpu, outputs=BY_NAME[build])
    found = re.fullmatch(r"fuzz: (\d+) rounds: .*? (\d+) leaks; free .*", line)
    check(found and int(found[1]) >= rounds and found[2] == "0", line)
    said = plain(t.guests[-1].text)
    # Every call has been made; in many rounds, each has been made so that it did something.
    never = {what: set(re.search(rf"\nfuzz: never {what}:(.*)", said)[1].split()) for what in ("made", "with success")}
    check(not never["made"], f"never made: {never['made']}")
    print(f"never with success: {sorted(never['with success'])}")
    check(rounds < 1000 or never["with success"] <= NEVER_DONE, f"never with success: {never['with success'] - NEVER_DONE}")
    check(int(re.search(r"\nfuzz: (\d+) threads", said)[1]) > rounds // 4, "hardly a thread")


# What `traps` says on Linux, 6.18 on a Xeon and on an EPYC.
TRAPS = ROOT / "test" / "data" / "calls" / "traps.txt"
# QEMU's TCG checks no alignment, has no #XM, and makes no difference between stack and data.
NOT_IN_TCG = {"misaligned: nothing", "sse: nothing", "stack-away: signal 11 code 128 vector 13 error 0x0 address 0x0"}


def each_trap(t, but=frozenset(), **machine):
    """What `traps` says is what it says on Linux, or one of the lines `but`."""
    guest = boot(t, "traps", "traps; echo status $?", **machine)
    guest.expect("\nstatus 0", timeout=120)
    found = [line for line in plain(guest.text).splitlines() if re.match(r"[\w-]+: (signal|nothing)", line)]
    wanted = TRAPS.read_text().splitlines()
    wrong = [f"{one!r} instead of {other!r}" for one, other in zip(found, wanted) if one != other and one not in but]
    check(len(found) == len(wanted) and not wrong, "\n".join(wrong) or f"only {found}")
    guest.prompt()


@test("traps", cpu=["qemu64", "max"])
def traps(t, cpu):
    """Every exception that a program can raise itself is the signal that it is on Linux, with the same siginfo and context."""
    each_trap(t, NOT_IN_TCG, cpu=cpu)


@test("bochs-traps", cpu=["tigerlake"])
@test("bochs-traps", level="matrix", cpu=["ryzen", "core2_penryn_t9600"])
def traps_on_bochs(t, cpu):
    """The same without exception, on a CPU that checks alignment, has #XM, and #SS for a stack that is no address."""
    each_trap(t, bochs=True, cpu=cpu)


def nowhere(t, turns, **machine):
    """`elsewhere` is caught each time, and the ways out say that the kernel has not gone there by SYSRETQ."""
    line = last_line(t, "elsewhere", f"elsewhere {turns}", 600, **machine)
    check(line == "elsewhere: done", line)
    guest = t.guests[-1]
    sent = int(re.search(r"elsewhere: (\d+) stayed, \1 sent away, \1 caught, 0 wrong", plain(guest.text))[1])
    ways = counts(guest)
    # Into the handlers of each: that of the signal, and that of SIGSEGV.
    check(sent >= turns and ways["iret"] >= 3 * sent, f"{sent} were sent away, and the ways out are {ways}")


@test("elsewhere", cpu=["qemu64", "max"], smp=[1, 4])
def elsewhere(t, cpu, smp):
    """Nobody gets the kernel to return to where no program can be: by a signal's frame, a handler, an entry, a call before the hole."""
    nowhere(t, 1000, cpu=cpu, smp=smp)


@test("bochs-elsewhere", cpu=["tigerlake"])
@test("bochs-elsewhere", level="matrix", cpu=["ryzen", "corei7_skylake_x"])
def elsewhere_on_bochs(t, cpu):
    """The same where SYSRET to an address that is none faults in ring 0, on the program's stack."""
    nowhere(t, 100, bochs=True, cpu=cpu)


@test("traps-storm", cpu=["qemu64", "max"], smp=[1, 4])
def traps_storm(t, cpu, smp):
    """Signals over code that keeps things below its stack pointer and in its vector registers, all of which handlers use too."""
    line = last_line(t, "traps", "traps storm 2000", 600, cpu=cpu, smp=smp)
    check(re.fullmatch(r"traps: \d+ signals over \d+ turns, 0 wrong", line), line)


@test("call-overflow", smp=["1", "4"])
def call_overflow(t, smp):
    """A system call that calls itself for ever ends in the page below its thread's stack: the program is named, and how it came there."""
    elf = Elf.load(RELEASE.kernel)
    names = [name for name, _, size, _ in elf.symbols() if name.endswith("12memfd_create") and size]
    check(len(names) == 1, f"the call's functions are {names}")
    # CALL, to itself. It makes no frames, so the backtrace goes on with who has the last.
    elf.patch(elf.symbol(names[0]), bytes.fromhex("e8 fb ff ff ff"))
    last = int(smp) - 1
    guest = boot(t, "traps", f"taskset {1 << last:x} traps", {"kernel.elf": bytes(elf)}, f"{CMDLINE} panic=exit", smp=smp)
    status = guest.wait_exit(120)
    check(status == 35, f"status {status}")
    output = guest.text[guest.text.rindex("panic: "):].replace("\r", "")
    check("#DF double fault" in output and re.search(rf"cpu {last}, task traps\b", output), f"the program or its CPU is not named:\n{output}")
    check(re.search(r"kernel stack overflow in task traps: (?!the boot stack)", output), f"the overflow is not named:\n{output}")
    trace = re.findall(r"^ +\d+: (0x[0-9a-f]+)(?: <(.*)>)?$", output.partition("backtrace:")[2].partition("stopped:")[0], re.MULTILINE)
    way = [name.partition("+")[0].rpartition("::")[2] or address for address, name in trace[:4]]
    check(way[:3] == ["memfd_create", "system_call", "syscall_framed"] and way[3].startswith("0x000000000040"), f"the backtrace does not lead to the program:\n{output}")
    check(last == 0 or "cpu 0, stopped:" in output, "CPU 0 was not stopped")


@test("nmi-calls", cpu=["qemu64", "max"])
def nmis_while_all_call(t, cpu):
    """10,000 NMIs while four CPUs do nothing but call: some come when the kernel has no stack, on the way in and out, and no program notices."""
    guest = boot(t, "spin", "spin 4; echo status $?", smp=4, cpu=cpu)
    guest.expect("spin: begun", timeout=120)
    guest.qmp("chardev-send-break", id="serial0")
    guest.expect("break: the monitor")
    guest.prompt()
    nmis, first = Counters(guest), counts(guest)
    total = lambda: row(guest.command("irq"), 2)  # noqa: E731
    begun = total()
    while (quick := total() - begun) < 7_500:
        nmis.send_nmis(250)
    # The last of the way out is one block to QEMU, which looks for interrupts between blocks.
    single = "one-insn-per-tb" if qemu.qemu_version() >= (8, 1) else "singlestep"
    said = guest.qmp("human-monitor-command", **{"command-line": f"{single} on"})
    check(not said, f"QEMU says of {single}: {said}")
    while (taken := total() - begun) < 10_000:
        nmis.send_nmis(50)
    guest.qmp("human-monitor-command", **{"command-line": f"{single} off"})
    entering, leaving = (counts(guest)[way] - first[way] for way in ("entering", "leaving"))
    print(f"{taken} NMIs, {taken - quick} of them between any two instructions: {entering} on the way in, {leaving} on the way out")
    check(entering > 20 and leaving > 5, f"of {taken} NMIs {entering} came on the way in, {leaving} on the way out")
    guest.command("resume")
    guest.send("\n")
    found = guest.expect(re.compile(r"spin: (\d+) calls, (\d+) wrong\r?\nstatus 0"), timeout=60)
    check(int(found[1]) > 10_000 and found[2] == "0", found[0])
    guest.prompt()
