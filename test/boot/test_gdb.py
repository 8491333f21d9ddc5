"""The debugger: breakpoints that typing hits, backtraces through exceptions, the `sis` commands, and `make gdb` itself.

gdb runs in batch mode on a machine that QMP has stopped. What is typed on the serial line meanwhile waits
there until gdb lets the machine go on, so that nothing here depends on who is faster.
"""

import os
import re
import shutil
import subprocess
import tempfile

from lib import build
from lib.elfedit import Elf
from lib.guest import SLOW, Failure
from lib.harness import Skip, check, test
from lib.shell import Shell

TIMEOUT = 120
HELPERS = build.ROOT / "test" / "gdb" / "sis.py"
ECHO = "sis::monitor::commands::text::echo"
BUILDS = ["release", "debug"]


# Every trap passes there, the interrupt of the key that was typed as well: exceptions only.
BREAK = "break trap_handler if (*frame).vector < 32"


def need_gdb():
    """The gdb to use; skips the test where there is none that can run the helpers."""
    gdb = shutil.which(os.environ.get("GDB", "gdb"))
    if not gdb:
        raise Skip("gdb is not installed")
    answer = subprocess.run([gdb, "-nx", "-batch", "-ex", 'python print("yes")'], capture_output=True, text=True, check=False)
    if "yes" not in answer.stdout:
        raise Skip(f"{gdb} has no Python")
    return gdb


class Debugged:
    """A machine with a gdb stub, at a prompt."""

    def __init__(self, t, name="release", boot=None, **machine):
        """`boot` starts it, if not `t.boot`: to another prompt."""
        self.gdb, self.t, self.outputs = need_gdb(), t, build.BY_NAME[name]
        self.folder = tempfile.TemporaryDirectory(prefix="sis-", dir="/tmp")
        self.socket = f"{self.folder.name}/gdb"
        self.guest = (boot or t.boot)(outputs=self.outputs, gdb=f"unix:{self.socket},server=on,wait=off", **machine)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.guest.kill()
        self.folder.cleanup()

    def run(self, *commands, typed=None):
        """What gdb prints for these commands. The machine is stopped, and goes on when gdb has detached."""
        self.guest.qmp("stop")
        if typed:
            self.guest.send(typed + "\r")
        words = [self.gdb, "-nx", "-q", "-batch", str(self.outputs.kernel), "-ex", "set pagination off", "-ex", "set width 0",
                 "-ex", f"source {HELPERS}", "-ex", f"target remote {self.socket}"]
        for command in commands:
            words += ["-ex", command]
        try:
            done = subprocess.run(words + ["-ex", "delete", "-ex", "detach"], text=True, errors="replace", stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT * SLOW)
        except subprocess.TimeoutExpired as late:
            said = (late.stdout or b"").decode(errors="replace")
            raise Failure(f"gdb was not done after {late.timeout:g} s; it had said:\n{said}") from None
        with open(self.t.directory / "gdb.log", "a", encoding="utf-8") as log:
            log.write(done.stdout)
        return done.stdout


def frames(text):
    """The lines of the backtraces in gdb's output."""
    return re.findall(r"^#\d+ .*", text, re.MULTILINE)


def check_backtrace(text, functions):
    """A backtrace names these functions, the innermost first, and ends where the kernel began."""
    lines, at = frames(text), 0
    for function in functions:
        found = next((i for i in range(at, len(lines)) if re.search(function, lines[i])), None)
        check(found is not None, f"the backtrace does not name {function} (in this order: {', '.join(functions)}):\n{text}")
        at = found + 1
    check(lines and "start_high" in lines[-1], f"the backtrace does not end at start_high:\n{text}")
    check("Backtrace stopped" not in text and "??" not in text, f"the backtrace lost its way:\n{text}")


@test("gdb-breakpoint", build=BUILDS)
def breakpoint_(t, build):
    """A breakpoint in a monitor command, hit by typing the command; then the command goes on as if nothing had been."""
    with Debugged(t, build) as machine:
        text = machine.run(f"break {ECHO}", "continue", "bt", typed="echo hello")
        check(re.search(rf"Breakpoint 1, .*\b{ECHO}\b", text), f"the breakpoint was not hit:\n{text}")
        check_backtrace(text, [rf"\b{ECHO}\b", "sis::monitor", "kernel_main"])
        machine.guest.expect("\r\nhello\r")
        machine.guest.prompt()


# What is typed, and the functions between the trap handler and kernel_main.
THROUGH = {
    "x 0x10": ["signal handler", "probe_read_u64", r"\bsis::monitor::commands::memory::examine\b"],
    "fault pf": ["signal handler", "fault_read", "recover_call", r"\bsis::monitor::commands::fault::run\b"],
    "fault exec": ["signal handler", "fault_jump", "recover_call", r"\bsis::monitor::commands::fault::run\b"],
    "fault ac": ["signal handler", "fault_synthetic", "recover_call", r"\bsis::monitor::commands::fault::run\b"],
    "fault mc": ["signal handler", "fault_int", "recover_call", r"\bsis::monitor::commands::fault::run\b"],
    "fault db": ["signal handler", "fault_db", "recover_call", r"\bsis::monitor::commands::fault::run\b"],
}


@test("gdb-backtrace", build=BUILDS)
def backtrace(t, build):
    """`bt` in the trap handler walks through the exception's frame, on the same stack and from an IST stack."""
    with Debugged(t, build) as machine:
        for line, functions in THROUGH.items():
            text = machine.run(BREAK, "continue", "bt", typed=line)
            check_backtrace(text, ["trap_handler", *functions, "kernel_main"])
            machine.guest.prompt()
        check(machine.guest.command("echo alive") == "alive", "no answer")


@test("gdb-backtrace-fatal", kind=["df", "stack-overflow"])
def backtrace_fatal(t, kind):
    """The same from the double fault's stack: a stack pointer that is gone, and a stack that is full."""
    function = {"df": "fault_df", "stack-overflow": "fault_stack_overflow"}[kind]
    with Debugged(t) as machine:
        text = machine.run(BREAK, "continue", "bt", typed=f"fault {kind}")
        check_backtrace(text, ["trap_handler", "signal handler", function, "recover_call", "sis::monitor::commands::fault::run", "kernel_main"])
        if kind == "stack-overflow":
            check(text.count(" fault_stack_overflow ") > 100, f"the recursion is not there:\n{text[:2000]}")


UP = """python
for _ in range(20):
    gdb.execute("up", to_string=True)
    if "examine" in (gdb.selected_frame().name() or ""):
        break
place = gdb.selected_frame().find_sal()
print(f"up: {place.symtab.filename}:{place.line}")
end
"""


@test("gdb-up")
def up(t):
    """`up` leads to the line of the Rust function that asked for the access, with its variables."""
    script = t.directory / "up.gdb"
    script.write_text(UP)
    with Debugged(t, "debug") as machine:
        text = machine.run(BREAK, "continue", f"source {script}", "info locals", typed="x 0x10")
        found = re.search(r"^up: (.*):(\d+)$", text, re.MULTILINE)
        check(found and found[1].endswith("src/monitor/commands/memory.rs"), f"up does not lead to examine:\n{text}")
        line = (build.ROOT / "src/monitor/commands/memory.rs").read_text().splitlines()[int(found[2]) - 1]
        check("probe::read_" in line, f"up leads to the line {line!r}")


@test("gdb-landing")
def landing(t):
    """Where an experiment lands after its exception: once the saved registers are back, the caller is known again."""
    with Debugged(t) as machine:
        text = machine.run("break recover_landing", "continue", "stepi 8", "bt", typed="fault ud")
        check_backtrace(text, ["recover_landing", "sis::monitor::commands::fault::run", "kernel_main"])


def part(text, name):
    """What gdb printed between the marks that `marked` sets."""
    found = re.search(rf"^<<{re.escape(name)}>>\n(.*?)^<<end>>$", text, re.MULTILINE | re.DOTALL)
    check(found, f"no output for {name}:\n{text}")
    return found[1].rstrip("\n")


def marked(*commands):
    """The commands, each with a mark before and after its output."""
    words = []
    for command in commands:
        words += [f"echo <<{command}>>\\n", command, "echo <<end>>\\n"]
    return words


def without_names(text):
    """Lines of `maps` without what is only a name."""
    return [" ".join(re.match(r".*phys \S+  \S+", line)[0].split()) for line in text.splitlines()]


@test("gdb-helpers", build=BUILDS)
def helpers(t, build):
    """Each `sis` command sees from outside what the monitor's command sees from inside."""
    with Debugged(t, build, smp=2) as machine:
        show = machine.guest.command
        main = "kernel_main"
        inside = {name: show(name) for name in ("dmesg", "maps", "gdt", "idt", "bootinfo", "memmap", f"pt {main}", "pt 0x10",
                                                "pt 0xdead000000000000")}
        inside |= {f"pt {main}": show(f"pt {main}")}  # once more: now it does not change by being looked at
        outside = machine.run(*marked("sis dmesg", "sis dmesg 2", "sis maps", "sis gdt", "sis idt", "sis idt 14", "sis idt 256",
                                      "sis bootinfo", f"sis pt {main}", "sis pt 0x10", "sis pt 0xdead000000000000", "sis pt nosuch", "sis console",
                                      "sis entry", "help sis"))
        see = lambda name: part(outside, name)  # noqa: E731

        check(see("sis dmesg") == inside["dmesg"], f"sis dmesg shows:\n{see('sis dmesg')}\nand not\n{inside['dmesg']}")
        check(see("sis dmesg 2").splitlines() == inside["dmesg"].splitlines()[-2:], f"sis dmesg 2 shows {see('sis dmesg 2')!r}")
        check(len(without_names(inside["maps"])) >= 5, f"maps shows:\n{inside['maps']}")
        check(without_names(see("sis maps")) == without_names(inside["maps"]), f"sis maps shows:\n{see('sis maps')}\nand not\n{inside['maps']}")
        check("kernel text" in see("sis maps") and "direct map" in see("sis maps"), f"no names in sis maps:\n{see('sis maps')}")
        for name in ("pt 0x10", "pt 0xdead000000000000"):
            check(see(f"sis {name}") == inside[name], f"sis {name} shows:\n{see(f'sis {name}')}\nand not\n{inside[name]}")
        check(see(f"sis pt {main}") == inside[f"pt {main}"], f"sis pt shows:\n{see(f'sis pt {main}')}\nand not\n{inside[f'pt {main}']}")

        check("nosuch: " in see("sis pt nosuch"), f"sis pt nosuch says {see('sis pt nosuch')!r}")
        check(see("sis gdt").splitlines()[1:] == inside["gdt"].splitlines()[1:], f"sis gdt shows:\n{see('sis gdt')}\nand not\n{inside['gdt']}")
        gates = {name: re.findall(r"(?:interrupt|trap) gate .*?IST \d", text) for name, text in (("in", inside["idt"]), ("out", see("sis idt")))}
        check(len(gates["in"]) > 32 and gates["in"] == gates["out"], f"sis idt shows:\n{see('sis idt')}\nand not\n{inside['idt']}")
        check("<idt>" in see("sis idt") and "<trap_stubs+224>" in see("sis idt 14"), f"no symbols in sis idt 14:\n{see('sis idt 14')}")
        check("no vector 256" in see("sis idt 256"), f"sis idt 256 says {see('sis idt 256')!r}")

        info = see("sis bootinfo")
        for field, word in (("kernel_phys", "kernel"), ("rsdp", "ACPI root pointer"), ("page_table_root", "page tables")):
            value = re.search(rf"{word}\s+(0x[0-9a-f]+)", inside["bootinfo"])[1]
            check(re.search(rf"\b{field}\s+{value}\b", info), f"sis bootinfo has not {field} = {value}:\n{info}")
        regions = re.compile(r"^  (0x[0-9a-f]+ - 0x[0-9a-f]+) +(\d+) KiB", re.MULTILINE)
        check(regions.findall(info) == regions.findall(inside["memmap"]), f"sis bootinfo's map:\n{info}\nand not\n{inside['memmap']}")

        check("not started by `make gdb`" in see("sis console"), f"sis console says {see('sis console')!r}")
        check("running already" in see("sis entry"), f"sis entry says {see('sis entry')!r}")
        for name in ("pt", "maps", "idt", "gdt", "dmesg", "bootinfo", "console", "entry", "locks", "percpu", "ps", "bt", "fds", "vmas"):
            check(f"sis {name} --" in see("help sis"), f"help sis lacks {name}:\n{see('help sis')}")
        check("Python Exception" not in outside and "Traceback" not in outside, f"a helper broke:\n{outside}")


@test("gdb-locks")
def locks(t):
    """`sis locks` in a debug build: what is held when the wrong order is found, with the line that took it; nothing at the prompt."""
    with Debugged(t, "debug") as machine:
        text = machine.run("break sis::sync::checks::tell", "continue", *marked("sis locks"), typed="misuse rank")
        shown = part(text, "sis locks")
        check(re.search(r"^cpu 0: *\n +SpinInner 0x[0-9a-f]+, since src/monitor/commands/misuse/locks\.rs:\d+$", shown, re.MULTILINE), f"shows:\n{text}")
        machine.guest.expect("lock order: `outer experiment` taken at src/monitor/commands/misuse/locks.rs:")
        machine.guest.prompt()
        text = machine.run("break sis::monitor::commands::text::echo", "continue", *marked("sis locks"), typed="echo on")
        check(part(text, "sis locks") == "cpu 0: no lock", f"shows:\n{text}")
        text = machine.run("break sis::sync::checks::tell", "continue", *marked("sis locks"), typed="misuse mutex")
        check(re.search(r"^task monitor: *\n +SleepInner 0x[0-9a-f]+, since src/monitor/commands/misuse/locks\.rs:\d+$", part(text, "sis locks"), re.MULTILINE), f"shows:\n{text}")
        machine.guest.expect("lock order: `outer sleeping experiment` taken at")
        machine.guest.prompt()
    with Debugged(t) as machine:
        text = machine.run("sis locks")
        check("only a debug build does" in text, f"a release build says:\n{text}")


@test("gdb-percpu", build=BUILDS)
def percpu(t, build):
    """`sis percpu`: every variable of a CPU by its name, with the values that this CPU has, whichever one gdb looks from."""
    with Debugged(t, build, smp="3") as machine:
        # Marks each CPU's copy: three times its number, and one.
        check("smp-isolation: ok" in machine.guest.command("selftest smp-isolation"), "the self-test fails")
        names = ["sis percpu 0", "sis percpu 2", "sis percpu 2 cpu_data", "sis percpu 1 MARK", "sis percpu 3", "sis percpu", "sis percpu 0 nosuch"]
        text = machine.run("thread 2", *marked(*names))
        check("Python Exception" not in text and "Traceback" not in text, f"a helper broke:\n{text}")
        symbols = list(Elf.load(machine.outputs.kernel).symbols())
        start, end = (next(value for name, value, _, _ in symbols if name == f"__percpu_{word}") for word in ("start", "end"))
        count = len({value for _, value, size, _ in symbols if size and start <= value < end})
        for cpu in (0, 2):
            shown = part(text, f"sis percpu {cpu}")
            base = int(re.match(rf"cpu {cpu}, GS base 0x([0-9a-f]+):", shown)[1], 16)
            lines = re.findall(r"^  0x([0-9a-f]+)  (\S+) = (.+)$", shown, re.MULTILINE)
            check(count == len(lines) > 15, f"{len(lines)} variables of {count}:\n{shown}")
            check(all(start <= (int(at, 16) - base) % (1 << 64) < end for at, _, _ in lines), f"an address is not in the copy:\n{shown}")
            values = {name: value for _, name, value in lines}
            check(values["sis::kernel::selftest::smp::MARK"] == str(3 * cpu + 1), f"not CPU {cpu}'s mark:\n{shown}")
            check({"gdt", "tss", "cpu_data", "sis::mm::heap::MAGAZINES"} <= set(values), f"not all there:\n{shown}")
            # The third descriptor of asm/gdt.S is the kernel's data segment.
            check(values["gdt"].split()[2].startswith("0xcf93"), f"this is no GDT: {values['gdt']}")
        data = part(text, "sis percpu 2 cpu_data")
        check("number: 2, " in data and ", kernel_stack: " in data, f"the fields are not those of CPU 2:\n{data}")
        check(part(text, "sis percpu 1 MARK").endswith("smp::MARK = 4"), f"by name:\n{part(text, 'sis percpu 1 MARK')}")
        check("CPU 3 has no per-CPU variables" in part(text, "sis percpu 3"), f"CPU 3:\n{part(text, 'sis percpu 3')}")
        check("the number of a CPU is wanted" in part(text, "sis percpu"), f"no number:\n{part(text, 'sis percpu')}")
        check("no per-CPU variable has nosuch" in part(text, "sis percpu 0 nosuch"), "a name that nothing has is accepted")


CALLERS = build.ROOT / "test" / "programs" / "callers.c"
IN_CALLERS = ["read_by_hand", "inner", "outer", "main"]


class DebuggedShell(Debugged):
    """The same at bash's prompt, with the program `callers`, whose file is `program` here."""

    def __init__(self, t, name, **machine):
        self.program = t.directory / "bin" / "callers"
        self.program.parent.mkdir(exist_ok=True)
        flags = ["-g", "-O0", "-fno-omit-frame-pointer", "-static", "-pthread"]
        subprocess.run(["gcc", *flags, "-o", self.program, CALLERS], check=True, timeout=60 * SLOW)

        def boot(**machine):
            files = {"bin/callers": (self.program.read_bytes(), 0o755)}
            self.shell = Shell(t, files, program="/bin/bash --norc --noprofile --noediting", **machine)
            return self.shell.guest

        super().__init__(t, name, boot, **machine)

    def begin(self, line):
        """Runs it in the background; its number."""
        return int(self.shell.run(f"{line} & echo pid $!").split("pid ")[1].split()[0])


def user_frames(text):
    """Of a backtrace the program's frames: (function or None, address) of each, the innermost first."""
    lines = frames(text[text.index("ring 3"):])
    return [re.match(r"#\d+ +(?:0x[0-9a-f]+ in )?(\S+) \(.*  /bin/\S+ at (0x[0-9a-f]+)$", line).groups() for line in lines]


@test("gdb-processes", build=BUILDS)
def processes(t, build):
    """`sis ps`, `fds`, `vmas` show what /proc does; `sis bt` leads through the system call into a program that CR3 has not."""
    with DebuggedShell(t, build) as machine:
        run = machine.shell.run
        sleeper = machine.begin("sleep 1000")
        callers = machine.begin("callers > /tmp/said")
        shell = int(run("echo $$"))
        run("until grep -q begun /tmp/said; do :; done")
        pids = [shell, sleeper, callers]
        maps = {pid: run(f"cat /proc/{pid}/maps") for pid in pids}
        links = {pid: run(f"cd /proc/{pid}/fd; for n in *; do echo $n $(readlink $n); done; cd") for pid in (sleeper, callers)}
        kin = {pid: run(f"cut -d' ' -f1,4-6 /proc/{pid}/stat").split() for pid in pids}
        other = next(tid for tid in map(int, re.findall(r"task/(\d+)", run(f"echo /proc/{callers}/task/*"))) if tid != callers)
        names = ["sis ps", "sis threads", *(f"sis {what} {pid}" for what in ("bt", "fds", "vmas") for pid in pids), f"sis bt {other}",
                 f"sis bt {callers} {machine.program}", f"sis bt {callers} /bin/true", "sis bt callers", "sis bt worker/0", "sis bt 9999", "sis fds 9999", "sis vmas"]
        # At the idle thread's door, after a key: so all of them certainly wait.
        text = machine.run("break idle_wait", "continue", "delete", "info registers rip rsp cr3", *marked(*names), f"set sysroot {t.directory}",
                           *marked("sis bt"), f"echo <<found>>\\n", f"sis bt {callers}", "echo <<end>>\\n", "info registers rip rsp cr3", typed="")
        check("Python Exception" not in text and "Traceback" not in text, f"a helper broke:\n{text}")
        see = lambda name: part(text, name)  # noqa: E731

        rows = {int(row[0]): row for row in (line.split() for line in see("sis ps").splitlines()[1:]) if len(row) > 5 and row[1].isdigit()}
        for pid, (name, call) in {shell: ("bash", "read"), sleeper: ("sleep", "clock_nanosleep"), callers: ("callers", "read")}.items():
            check(rows[pid][:4] == kin[pid] and rows[pid][4:] == [str(pid), name, "waiting,", call], f"{pid}, {kin[pid]}:\n{see('sis ps')}")
        check(re.search(rf"^ +{other}  callers +waiting, futex$", see("sis ps"), re.MULTILINE), f"not its second thread:\n{see('sis ps')}")

        for pid in pids:
            inside = [re.match(r"(\S+ \S+ \S+) \S+ \d+ *(.*?) *$", line).groups() for line in maps[pid].splitlines()]
            outside = [re.match(r"(\S+ \S+ \S+) +\d+ of \d+ +pages *(.*)$", line).groups() for line in see(f"sis vmas {pid}").splitlines()]
            outside = [(where, "" if name == "[shared memory]" else name) for where, name in outside]
            check(len(inside) > 5 and inside == outside, f"sis vmas {pid} shows:\n{see(f'sis vmas {pid}')}\nand not\n{maps[pid]}")
            check(re.search(r" r-xp \S+ +[1-9]\d* of ", see(f"sis vmas {pid}")), f"no code of {pid} is there:\n{see(f'sis vmas {pid}')}")
        for pid, inside in links.items():
            outside = [re.match(r" *(\d+)  (?:r-|-w|rw)  at \d+ +\w+ +(\S+)", line).groups() for line in see(f"sis fds {pid}").splitlines()]
            check([f"{number} {name}" for number, name in outside] == inside.splitlines(), f"sis fds {pid} shows:\n{see(f'sis fds {pid}')}\nand not\n{inside}")
        check(re.search(r"^ +\d+  r-  at 0 +Fifo +pipe:\[\d+\]$", see(f"sis fds {callers}"), re.MULTILINE), f"not the pipe:\n{see(f'sis fds {callers}')}")

        shown = see(f"sis bt {shell}")
        for function in ("switch_landing", "tty", "transfer::read", "dispatch::serve", "signal handler", r"ring 3, read\(fd=0x0, "):
            check(re.search(function, shown), f"the shell's backtrace does not name {function}:\n{shown}")
        check("ring 3, clock_nanosleep(" in see(f"sis bt {sleeper}"), f"shows:\n{see(f'sis bt {sleeper}')}")
        # All of it, by its number: two threads. With its file, by name.
        both = see(f"sis bt {callers} {machine.program}").split(f"process {callers}, thread {other}, callers, waiting:\n")
        check(len(both) == 2 and "pipe" in both[0], f"not both threads:\n{both}")
        named = user_frames(both[0])
        check([name for name, _ in named][:4] == IN_CALLERS, f"the program's callers:\n{both[0]}")
        check(re.search(r"in outer \(fd=\d+\) at .*callers\.c:\d+", both[0]), f"no line of the program's:\n{both[0]}")
        symbols = {name: value for name, value, _, _ in Elf.load(machine.program).symbols()}
        check(0 <= int(named[2][1], 16) - symbols["outer"] < 64, f"outer is not there: {named}")
        joins = [name for name, _ in user_frames(both[1])]
        check("other" in joins and "start_thread" in joins, f"the second thread's callers:\n{both[1]}")
        rip = re.search(r"  rip ([0-9a-f]{16})", both[0])
        check(rip and int(rip[1], 16) == int(named[0][1], 16), f"the registers are another's:\n{both[0]}")
        # Without it: the same places, by frame pointers alone; but a function of a library's that has none.
        bare = user_frames(see(f"sis bt {callers}").split(f"thread {other}, ")[0])
        check(bare[:4] == [("??", at) for _, at in named[:4]], f"by frame pointers: {bare}, and not {named}")
        check(user_frames(see(f"sis bt {other}"))[0][0] == "??", f"one thread:\n{see(f'sis bt {other}')}")
        check([name for name, _ in user_frames(see("found").split(f"thread {other}, ")[0])][:4] == IN_CALLERS, f"not found under sysroot:\n{see('found')}")
        check("/bin/true is not the program /bin/callers" in see(f"sis bt {callers} /bin/true"), f"takes any file:\n{see(f'sis bt {callers} /bin/true')}")
        check(f"process {callers}, " in see("sis bt callers"), f"by name:\n{see('sis bt callers')}")
        check("thread_start" in see("sis bt worker/0"), f"a kernel thread:\n{see('sis bt worker/0')}")
        for name in ("sis bt 9999", "sis fds 9999"):
            check("no " in see(name) and "9999" in see(name), f"{name} says {see(name)!r}")
        check("usage: sis vmas PID" in see("sis vmas"), f"sis vmas says {see('sis vmas')!r}")
        registers = re.findall(r"^(rip|rsp|cr3) +(0x[0-9a-f]+)", text, re.MULTILINE)
        check(len(registers) == 6 and registers[:3] == registers[3:], f"the machine was not left as it was: {registers}")
        # It goes on as if nothing had been.
        check(run("kill %1 %2; wait; echo gone").endswith("gone\n"), "the machine has suffered")


@test("gdb-running")
def running(t):
    """`sis bt` of a program that runs, from whichever CPU gdb looks."""
    with DebuggedShell(t, "release", smp=2) as machine:
        pid = machine.begin("callers spin > /tmp/said")
        machine.shell.run("until grep -q begun /tmp/said; do :; done")
        text = machine.run(*marked("thread 1", f"sis bt {pid} {machine.program}"), "echo <<again>>\\n", "thread 2", f"sis bt {pid} {machine.program}", "thread", "echo <<end>>\\n")
        for shown in (part(text, f"sis bt {pid} {machine.program}"), part(text, "again")):
            names = [name for name, _ in user_frames(shown)]
            check("spin" in names and names[names.index("spin") + 1] == "main", f"where it is:\n{shown}")
        check("Current thread is 2" in text, f"another CPU is selected:\n{text}")
        check(machine.shell.run("kill %1; wait; echo gone").endswith("gone\n"), "the machine has suffered")


def make_gdb(t, *commands, **variables):
    """Output of `make gdb` in batch form."""
    need_gdb()
    t.machine()  # skips where there is no firmware
    # A dollar sign of gdb's is doubled for make.
    arguments = " ".join(f"-ex '{command}'" for command in ("set width 0", *commands)).replace("$", "$$")
    words = [f"{name}={value}" for name, value in ({"SMP": 1, "ACCEL": os.environ.get("ACCEL") or "tcg"} | variables).items()]
    done = build.make("gdb", f"GDB_ARGS=-nx -batch {arguments}", *words, timeout=TIMEOUT * SLOW, check=False)
    (t.directory / "gdb.log").write_text(done.stdout)
    check("Python Exception" not in done.stdout and "Traceback" not in done.stdout, f"a helper broke:\n{done.stdout}")
    socket = re.search(r"/tmp/sis-gdb\.\w+", done.stdout)
    check(not socket or not os.path.exists(socket[0]), f"{socket and socket[0]} is left behind")
    return done.stdout


@test("gdb-entry", alone=True)
def entry(t):
    """`make gdb` stops at _start, before its first instruction; all that follows can be reached from there."""
    # The line is typed once the kernel has set up the UART, which empties it.
    text = make_gdb(t, *marked("bt", "x/i $pc", "sis bootinfo", "sis dmesg", "sis pt $pc"), "tbreak kernel_main", "continue",
                    *marked("sis dmesg 1"), "tbreak sis::monitor::shell::run", "continue", "sis console echo typed", f"tbreak {ECHO}",
                    "continue", *marked("info symbol $pc", "sis console"), CMDLINE="console=tty0 console=ttyS0 monitor")
    check(re.match(r"#0 +_start \(\) at .*asm/entry\.S:\d+", part(text, "bt")), f"make gdb does not stop at _start:\n{text}")
    check(len(frames(part(text, "bt"))) == 1, f"the backtrace goes on past _start:\n{text}")
    check(re.search(r"<_start>:\s+cli", part(text, "x/i $pc")), f"this is not the first instruction:\n{text}")
    phys = re.search(r"kernel_phys\s+0x([0-9a-f]+)", part(text, "sis bootinfo"))
    check(phys and f"at its physical address 0x{phys[1]}" in text, f"the entry is not where BootInfo says:\n{text}")
    check("not there yet" in part(text, "sis dmesg"), f"sis dmesg says {part(text, 'sis dmesg')!r}")
    check(re.search(rf"-> 0x0*{phys[1]} ", part(text, "sis pt $pc")), f"sis pt does not translate on the firmware's tables:\n{text}")
    check(re.search(r"Temporary breakpoint 1, .*kernel_main", text), f"kernel_main was not reached:\n{text}")
    check("the log is empty" in part(text, "sis dmesg 1") or "]" in part(text, "sis dmesg 1"), f"the log is not readable:\n{text}")
    check("::commands::text::echo" in part(text, "info symbol $pc"), f"what sis console typed has not arrived:\n{text}")
    check("loader: " in part(text, "sis console") and "echo typed" in part(text, "sis console"), f"sis console shows:\n{text}")


@test("gdb-loader", alone=True)
def loader(t):
    """`make gdb LOADER=1` finds the loader wherever firmware put it, with names, lines and callers; the kernel comes next."""
    text = make_gdb(t, *marked("bt", "sis bootinfo", "sis dmesg", "sis idt 3"), "tbreak sis::boot::cmdline::CommandLine::video", "continue",
                    *marked("info symbol $pc", "where"), "sis entry", *marked("bt 1"), LOADER=1)
    check(re.search(r"The loader is at 0x[0-9a-f]+\. This is its first instruction", text), f"the loader was not found:\n{text}")
    check(re.match(r"#0 +loader::uefi::efi_main \(\) at .*src/bin/loader\.rs:\d+", part(text, "bt")), f"the stop is not at efi_main:\n{text}")
    check("no BootInfo yet" in part(text, "sis bootinfo"), f"sis bootinfo says {part(text, 'sis bootinfo')!r}")
    check("not there yet" in part(text, "sis dmesg"), f"sis dmesg says {part(text, 'sis dmesg')!r}")
    check("gate" in part(text, "sis idt 3"), f"the firmware's IDT is not shown:\n{text}")
    where = part(text, "where")
    check(re.search(r"#0 .*CommandLine::video.*src/boot/cmdline", where), f"no stop in video:\n{text}")
    check(re.search(r"#\d+ .*sis::boot::loader::(main|run)", where), f"the caller is not named:\n{text}")
    check(re.match(r"#0 +_start \(\) at .*asm/entry\.S:\d+", part(text, "bt 1")), f"sis entry does not reach _start:\n{text}")


@test("nmi-while-going-to-sleep")
def nmi_while_going_to_sleep(t):
    """An NMI between the last look for work and HLT is told of at once, not after the next interrupt."""
    with Debugged(t) as machine:
        # The machine stops anywhere; in a Rust function gdb would look for the label among Rust's names alone.
        text = machine.run("set language asm", "x/5i idle_look")
        found = re.findall(r"(0x[0-9a-f]+) <idle_\w+(?:\+\d+)?>:\s+(\w+)", text)
        check([name for _, name in found] == ["test", "jne", "cmpb", "jne", "sti"], f"the way to sleep is another one:\n{text}")
        for steps, (address, _) in enumerate(found):
            # Not more than one NMI a second is told of. Not until a prompt: one that is left over would do.
            machine.guest.send("sleep 1.1\r")
            machine.guest.expect("slept 1.1")
            text = machine.run(f"tbreak *{address}", "continue", "x/i $pc", "monitor nmi", typed=f"echo {steps} steps")
            check(re.search(rf"=> {address} ", text), f"gdb stopped elsewhere:\n{text}")
            told, done = r"NMI: cpu 0 at 0x[0-9a-f]+ <idle_", rf"\n{steps} steps"
            machine.guest.expect(re.compile(rf"(?s){told}.*{done}|{done}.*{told}"))
