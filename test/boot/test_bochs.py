"""The kernel on Bochs, a CPU that is stricter than QEMU's: where Bochs and a 2 MiB OVMF are installed.

What only this run can fail: #XM raised by an SSE instruction, #GP for reserved bits of control registers and MSRs,
the feature bits of a recent Intel CPU (AVX-512, FSGSBASE, x2APIC) and of an AMD one, a machine without ACPI tables.

`BochsGuest` gives tools/bochs.py's Bochs the face that the tests know from QEMU. What QMP says there, the log says
here: a triple fault is a panic of Bochs's that ends it, a reset is a second line of each device's.
"""

import codecs
import dataclasses
import re
import selectors
import shlex
import time

from boot.test_faults import EXPECTED, FATAL, check_report
from boot.test_interrupts import by_interrupt
from lib.build import ROOT
from lib.elfedit import Elf
from lib.guest import SLOW, Failure, Guest
from lib.harness import Skip, check, test
from tools import bochs

BOOT_TIMEOUT = 180
REPLY_TIMEOUT = 240


class BochsGuest(Guest):
    """One run of Bochs, its files in a folder of their own below the test's."""

    def _start(self):
        self._log = open(self.serial_log, "wb")
        try:
            self.bochs = bochs.Bochs(self.machine, self.directory / f"bochs{len(list(self.directory.glob('bochs*')))}")
        except bochs.BochsError as error:
            raise Failure(str(error)) from None
        self.process = self.bochs.process
        Guest._running.add(self.process)
        self._sockets = {"serial": self.bochs.serial, "display": self.bochs.display}
        for name, wire in self._sockets.items():
            self._selector.register(wire, selectors.EVENT_READ, name)
        self._screen, self._screen_decoder = "", codecs.getincrementaldecoder("utf-8")("replace")

    def _pump(self, seconds):
        going = super()._pump(seconds)
        # The display's end is Bochs's end; only then may the serial line's be seen, which holds bytes until then.
        if self.bochs.display not in (key.fileobj for key in self._selector.get_map().values()):
            self.bochs.serial.release()
        return going

    def _take_qmp(self, data):
        """What is not the serial line: the display, where Bochs says why it did not even begin."""
        self._screen = (self._screen + self._screen_decoder.decode(data))[-2000:]

    def _ended(self):
        self.status = self.process.wait()
        self.stderr = "; ".join(self.bochs.complaints())

    def kill(self):
        if self._closing:
            return
        self._closing = True
        if getattr(self, "bochs", None):
            self.bochs.close()
            self._ended()
            Guest._running.discard(self.process)
            for name in ("firmware.fd", "disk.img"):
                self.bochs.log_file.with_name(name).unlink(missing_ok=True)
        self._selector.close()
        self._log.close()

    def expect(self, pattern, timeout=REPLY_TIMEOUT, start=None):
        return super().expect(pattern, timeout, start)

    def prompt(self, timeout=BOOT_TIMEOUT):
        return super().prompt(timeout)

    def command(self, line, timeout=REPLY_TIMEOUT):
        return super().command(line, timeout)

    def by_hand(self):
        words = [f"{name}={shlex.quote(str(value))}" for name, value in
                 (("BOCHS_CPU", self.machine.cpu), ("SMP", self.machine.smp), ("MEM", self.machine.mem))]
        return f"make -C {shlex.quote(str(ROOT))} bochs {' '.join(words)}"

    def why_ended(self):
        return f"Bochs says: {self.stderr or self._screen.strip()[-500:] or 'nothing'}"

    def shutdown_reason(self):
        return self.stderr or None

    def resets(self):
        """In QMP's form, for the harness's verdict."""
        return [{"data": "Bochs's log tells of a reset"}] if self.bochs.was_reset() else []

    def triple_fault(self):
        return "3rd (" in self.bochs.log()


def start(t, files=None, cmdline=None, **machine):
    """A Bochs with the ESP of the tests; `files` as in the harness."""
    reason = bochs.why_not()
    if reason:
        raise Skip(reason)
    guest = BochsGuest(bochs.Machine(t.image(files, cmdline), **({"smp": 1} | machine)), t.directory)
    t.guests.append(guest)
    return guest


def boot(t, **machine):
    guest = start(t, **machine)
    guest.boot_text = guest.prompt()
    return guest


def lines_of_cpu(guest):
    """What the CPU has and what is on, as two sets of words."""
    shown = guest.command("cpu")
    found = [set(re.findall(rf"^\s*{title}:\s*(.*)$", shown, re.MULTILINE)[0].split()) for title in ("has", "on")
             if re.search(rf"^\s*{title}:", shown, re.MULTILINE)]
    check(len(found) == 2, f"cpu shows no lists of what it has and what is on:\n{shown}")
    return found


# Which mode of the local APIC and which of its timers Bochs's models have.
CHIPS = {"tigerlake": ("x2APIC", "by TSC deadline"), "ryzen": ("xAPIC", "one-shot")}


def interrupts(guest, cpu):
    """Without ACPI: the local APIC in the mode that the CPU has, device lines through the 8259, a timer that wakes."""
    log = guest.command("dmesg")
    mode, timer = CHIPS[cpu]
    check(re.search(rf"local APIC 0 at 0xfee00000, {mode}:", log), f"the local APIC is not in {mode} mode:\n{log}")
    check(re.search(rf"timers: local APIC, {timer}", log), f"the local APIC's timer is not {timer}:\n{log}")
    check("device lines by 8259 through LINT0" in log, f"device lines come another way:\n{log}")
    # A second of the guest's may take Bochs a minute, where the CPU states a rate that Bochs does not keep.
    slept = re.search(r"slept (\d+\.\d+) s", guest.command("sleep 1", timeout=240))
    check(slept and float(slept[1]) >= 1, f"sleep 1 says {slept and slept[0]}")
    # A byte of the terminal's may be there before the port has its interrupt.
    by_interrupt(guest, polled="[01]")
    check(re.search(r"^\s*\d+\s+[1-9]\d*\s+APIC timer", guest.command("irq"), re.MULTILINE), "no interrupt of the APIC timer")


def works(guest):
    """The prompt answers, and the kernel's own tests pass."""
    check(guest.command("echo hello") == "hello", f"echo hello printed {guest.tail(0)!r}")
    listed = guest.command("help")
    for name in ("help", "echo", "cpu", "fault", "selftest", "reboot"):
        check(re.search(rf"^\s*{name}\b", listed, re.MULTILINE), f"help does not list {name}:\n{listed}")
    report = guest.command("selftest")
    names = re.findall(r"selftest: (\w+): ok", report)
    check(len(names) >= 8 and re.search(r"\b0 failed", report), f"selftest says:\n{report}")


@test("bochs")
def tigerlake(t):
    """A recent Intel CPU: everything that it has is on, and the monitor works as elsewhere."""
    guest = boot(t, cpu="tigerlake", smp=2)
    check("no root pointer" in guest.boot_text, f"the loader says nothing about the missing ACPI tables:\n{guest.boot_text}")
    check(re.search(r"tsc [1-9]\d* MHz", guest.boot_text), f"no rate of the TSC:\n{guest.boot_text}")
    works(guest)
    interrupts(guest, "tigerlake")
    check("no method" in guest.command("poweroff"), "poweroff does not say that there is no method")
    has, on = lines_of_cpu(guest)
    wanted = {"nx", "wp", "pge", "sse", "xsave", "avx", "avx512", "fsgsbase", "smep", "smap", "umip"}
    check(wanted <= on, f"not on: {' '.join(sorted(wanted - on))}")
    check("x2apic" in has, f"x2APIC is not seen: {' '.join(sorted(has))}")
    for bad in ("0", "0xdead000000000000", "0x7fffffffffff", "0x800000000000", "0xffff800000000000", "0xffffb00000000000",
                "0xffffffffffffffff", "0xfffffffffffffff0", "boot_stack_guard"):
        for count in (1, 64):
            output = guest.command(f"x/{count} {bad}")
            check(output and "panic" not in output and "exception" not in output, f"x/{count} {bad} gives {output!r}")
    # And what can be read is read.
    check(re.search(r"(?:[0-9a-f]{2}[ ]?){16}", guest.command("x/16 start_high")), "x/16 start_high shows no bytes")
    check(guest.command("echo alive") == "alive", "no answer")


@test("bochs-faults")
def faults(t):
    """Every exception that one can go on after, raised as the CPU raises it: #XM by SSE here, not by INT 19."""
    guest = boot(t, cpu="tigerlake")
    elf = Elf.load(t.outputs.kernel)
    check("xm" in EXPECTED and "pf" in EXPECTED, "the table of faults has changed its names")
    # Some twice, the second time with what the first left in the FPU, MXCSR and debug registers.
    for kind in [*(kind for kind in EXPECTED if kind not in FATAL), "xm", "mf", "nm", "db", "nm", "mf", "xm"]:
        output = guest.command(f"fault {kind}")
        # As Intel's manual has it, without what QEMU does differently.
        check_report(kind, output, dataclasses.replace(EXPECTED[kind], qemu_code=None), elf)
        check(f"{kind}: recovered" in output, f"fault {kind} does not say that it recovered:\n{output}")
        if kind == "xm":
            # By the instruction itself; behind it stands an INT 19 for QEMU, in the same function.
            rip = re.search(r"rip\s+(0x[0-9a-f]+)", output)
            check(rip, f"fault xm shows no rip:\n{output}")
            code = code_at(elf, int(rip[1], 16))
            check(code.startswith(b"\xf3\x0f\x5e"), f"#XM's rip is not at DIVSS but at {code.hex(' ')}")
    works(guest)


def code_at(elf, address, length=4):
    for seg in elf.loads:
        if seg["p_vaddr"] <= address < seg["p_vaddr"] + seg["p_filesz"]:
            at = seg["p_offset"] + address - seg["p_vaddr"]
            return bytes(elf)[at:at + length]
    raise Failure(f"{address:#x} is not in the kernel's file")


@test("bochs-double-fault")
def double_fault(t):
    """A stack overflow is reported from #DF's own stack; no triple fault, which the verdict would see."""
    guest = boot(t, cpu="tigerlake")
    guest.send("fault stack-overflow\r")
    guest.expect("panic: ")
    guest.expect("kernel stack overflow")
    guest.expect("fault_stack_overflow")
    guest.expect("last log lines:")


@test("bochs-cpu", level="matrix", cpu=["ryzen", "corei7_haswell_4770", "core2_penryn_t9600", "corei7_skylake_x"], smp=[1, 8],
      mem=["256M", "1G"])
def other_cpus(t, cpu, smp, mem):
    works(boot(t, cpu=cpu, smp=smp, mem=mem))


@test("bochs-ryzen")
def ryzen(t):
    """An AMD CPU; then `reboot`, which has no ACPI register to go by here, resets the machine in an orderly way."""
    t.expect_reset = True
    guest = boot(t, cpu="ryzen")
    works(guest)
    interrupts(guest, "ryzen")
    has, on = lines_of_cpu(guest)
    wanted = {"nx", "wp", "pge", "sse", "xsave", "avx", "smep", "smap"}
    check(wanted <= on, f"not on: {' '.join(sorted(wanted - on))}")
    check("umip" in on or "umip" not in has, "UMIP is there and not on")
    check(not guest.resets(), f"a reset before anybody asked for one: {guest.resets()}")
    guest.send("reboot\r")
    guest.expect("resetting")
    # No event tells of it, and OVMF does not start a second time on Bochs (tools/bochs.py): the log is looked at.
    deadline = time.monotonic() + REPLY_TIMEOUT * SLOW
    while not guest.resets():
        check(time.monotonic() < deadline, "no reset in Bochs's log")
        guest.idle(0.2)
    guest.kill()
