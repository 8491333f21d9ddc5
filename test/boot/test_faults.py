"""Every exception, on purpose: it reports itself by its name, vector, error code and place, and the monitor goes on.

EXPECTED holds what each KIND of the `fault` command must report, from the manual and not from the kernel. A kind
that the kernel lists and this table does not know fails the test, and so does the reverse.
"""

import re
from dataclasses import dataclass

from lib.build import RELEASE
from lib.elfedit import Elf
from lib.harness import check, test

UD2 = b"\x0f\x0b"


@dataclass(frozen=True)
class Report:
    """What must be said: `code` is None for vectors that carry none, `place` the function that rip lies in."""

    name: str
    vector: int
    place: str
    code: int | None = None
    address: str | None = None  # a number, or the name of a symbol
    words: str = ""  # what the error code says
    qemu_code: int | None = None  # where QEMU's differs


EXPECTED = {
    "de": Report("#DE divide error", 0, "fault_de"),
    "db": Report("#DB debug", 1, "fault_db"),
    "nmi": Report("NMI non-maskable interrupt", 2, "fault_int"),
    "bp": Report("#BP breakpoint", 3, "fault_bp"),
    "of": Report("#OF overflow", 4, "fault_int"),
    "br": Report("#BR bound range exceeded", 5, "fault_int"),
    "ud": Report("#UD invalid opcode", 6, "fault_ud"),
    "nm": Report("#NM device not available", 7, "fault_nm"),
    "cso": Report("#9 coprocessor segment overrun", 9, "fault_int"),
    "ts": Report("#TS invalid TSS", 10, "fault_synthetic", 0x28),
    # The selector of the descriptor that is not present (SDM vol. 3 figure 6-7): its index << 3.
    "np": Report("#NP segment not present", 11, "fault_np", 0x18, words="GDT entry 3"),
    "ss": Report("#SS stack-segment fault", 12, "fault_ss", 0x18, words="GDT entry 3"),
    "gp": Report("#GP general protection", 13, "fault_gp", 0, words="no selector involved"),
    "gp-selector": Report("#GP general protection", 13, "fault_gp_selector", 0x1238, words="GDT entry 583"),
    "gp-ldt": Report("#GP general protection", 13, "fault_gp_ldt", 3 << 3 | 4, words="LDT entry 3"),
    "gp-idt": Report("#GP general protection", 13, "fault_gp_idt", 255 << 3 | 2, words="IDT vector 255"),
    "gp-external": Report("#GP general protection", 13, "fault_synthetic", 32 << 3 | 3, words="IDT vector 32, by an external event"),
    # The bits of its error code: 1 present, 2 write, 4 user, 8 reserved, 16 fetch.
    "pf": Report("#PF page fault", 14, "fault_read", 0, "0xdeadb000", "kernel read of a page that is not present"),
    "pf-write": Report("#PF page fault", 14, "fault_write", 2, "0xdeadb000", "kernel write to a page that is not present"),
    "pf-user": Report("#PF page fault", 14, "fault_synthetic", 4, words="user read of a page that is not present"),
    "pf-reserved": Report("#PF page fault", 14, "fault_read", 8 | 1, "boot_stack_guard",
                          "kernel read of a page whose tables have a reserved bit set", qemu_code=8),
    "pf-nested": Report("#PF page fault", 14, "fault_nested", 0, "0xdeadb000", "kernel read of a page that is not present"),
    "text": Report("#PF page fault", 14, "fault_write", 3, "__text_start", "kernel write to a page that does not allow it"),
    "rodata": Report("#PF page fault", 14, "fault_write", 3, "__rodata_start", "kernel write to a page that does not allow it"),
    "exec": Report("#PF page fault", 14, "", 0x11, "__data_start", "kernel fetch from a page that does not allow it"),
    "null": Report("#PF page fault", 14, "", 0x10, "0x0", "kernel fetch from a page that is not present"),
    "reserved": Report("#-- reserved exception", 15, "fault_int"),
    "mf": Report("#MF x87 floating-point error", 16, "fault_mf"),
    "ac": Report("#AC alignment check", 17, "fault_synthetic", 0),
    "mc": Report("#MC machine check", 18, "fault_int"),
    "xm": Report("#XM SIMD floating-point exception", 19, "fault_xm"),
    "ve": Report("#VE virtualization exception", 20, "fault_int"),
    "cp": Report("#CP control protection", 21, "fault_synthetic", 1),
    "hv": Report("#HV hypervisor injection", 28, "fault_int"),
    "vc": Report("#VC VMM communication", 29, "fault_synthetic", 0x72),
    "sx": Report("#SX security exception", 30, "fault_synthetic", 1),
    "df": Report("#DF double fault", 8, "fault_df", 0),
    "stack-overflow": Report("#DF double fault", 8, "fault_stack_overflow", 0),
}
# After these there is no stack to go on with.
FATAL = ("df", "stack-overflow")
# Their reports have no way from the fault to the monitor: no frame pointer leads there.
CUT_OFF = (*FATAL, "pf-nested")

# Name and error code of every exception by number: INT n, or a frame with error code 0 where the CPU pushes one.
NAMES = {kind.vector: kind.name for kind in EXPECTED.values()}
RESERVED = (15, *range(22, 28), 31)
WITH_CODE = (8, *range(10, 15), 17, 21, 29, 30)


def check_report(kind, output, wanted, elf):
    """The exception's line, the line of its rip, and the backtrace of one report."""
    line = re.search(r"(?:exception|panic): ([^\n]*)", output)
    check(line, f"fault {kind} reports nothing:\n{output}")
    line = line[1]
    check(line.startswith(f"{wanted.name}, vector {wanted.vector}") and not re.match(rf".*vector {wanted.vector}\d", line),
          f"fault {kind} reports {line!r}, not {wanted.name}, vector {wanted.vector}")
    code = re.search(r"error code 0x([0-9a-f]+)", line)
    found = int(code[1], 16) if code else None
    check(found == wanted.code or found and found == wanted.qemu_code, f"fault {kind} reports {line!r}, and the error code is {wanted.code}")
    if wanted.words:
        check(f"({wanted.words})" in line, f"fault {kind} reports {line!r}, and the code says {wanted.words!r}")
    if wanted.address:
        address = int(wanted.address, 16) if wanted.address.startswith("0x") else elf.symbol(wanted.address)
        check(re.search(rf"address {address:#x}\b", line), f"fault {kind} reports {line!r}, and the address is {address:#x}")
    if wanted.place:
        check(re.search(rf"^\s*(?:rip|at) .*\b{wanted.place}\b", output, re.MULTILINE), f"fault {kind}: rip is not in {wanted.place}:\n{output}")
    trace = output.partition("backtrace:")[2] or output
    if kind not in CUT_OFF:
        check("monitor" in trace, f"fault {kind}: the backtrace does not reach the monitor:\n{output}")


@test("faults", cpu=["max", "qemu64"])
def faults(t, cpu):
    """All that one can go on after, one after the other on one machine."""
    guest = t.boot(cpu=cpu)
    elf = Elf.load(RELEASE.kernel)
    kinds = [line.split()[0] for line in guest.command("fault").splitlines() if line.strip()]
    kinds = [kind for kind in kinds if kind not in ("N", "in-handler", "in-nmi", "thread-overflow")]
    check(sorted(kinds) == sorted(EXPECTED), f"fault lists {sorted(set(kinds) ^ set(EXPECTED))} differently from this test")
    for kind in kinds:
        if kind not in FATAL:
            output = guest.command(f"fault {kind}")
            check_report(kind, output, EXPECTED[kind], elf)
            check(f"{kind}: recovered" in output, f"fault {kind} does not say that it recovered:\n{output}")
        if kind == "pf-nested":
            # What CR2 holds now is the handler's own fault, and the report had the first one's all the same.
            cr2 = re.search(r"cr2 +([0-9a-f]+)", guest.command("regs"))
            check(int(cr2[1], 16) == elf.symbol("boot_stack_guard"), f"the handler has not faulted: cr2 is {cr2[1]}")
    report = guest.command("selftest", timeout=60)
    check(re.search(r"\b0 failed", report), f"after all faults selftest says:\n{report}")


@test("fault-in-handler", how=["apic", "nolapic"])
def in_handler(t, how):
    """A page fault inside an interrupt's handler goes on at its fix-up, and the next interrupts come as ever."""
    guest = t.boot(cmdline=how.removeprefix("apic"))
    for turn in (1, 2, 3):
        output = guest.command("fault in-handler")
        check(output == f"in-handler: {turn} reads have failed and been recovered from", f"fault in-handler gives:\n{output}")
    table = guest.command("irq")
    check(re.search(r"^\s*14\s+[1-9]\d*\s", table, re.MULTILINE), f"no page fault was counted:\n{table}")
    check(re.search(r"^\s*\d+\s+3\s+fault in-handler$", table, re.MULTILINE), f"not three interrupts:\n{table}")
    check("slept" in guest.command("sleep 0.1"), "timers have stopped")


@test("fault-vectors")
def vectors(t):
    """INT n of every exception's vector and of some others, through the same gates: named, and survived.

    The vectors whose gates expect an error code are the hard ones, since INT pushes none. Vector 8 is a double fault,
    after which nothing goes on: see fault-fatal.
    """
    guest = t.boot()
    for vector in (*range(8), *range(9, 32)):
        output = guest.command(f"fault {vector}")
        name = "#-- reserved exception" if vector in RESERVED else NAMES[vector]
        code = 0 if vector in WITH_CODE else None
        place = "fault_synthetic" if vector in WITH_CODE else "fault_int"
        check_report(vector, output, Report(name, vector, place, code), None)
        check(re.search(rf"^{vector}: recovered", output, re.MULTILINE), f"fault {vector} is not recovered from:\n{output}")
    for vector in (32, 39, 47, 128, 254, 255):
        # They are no exceptions: nothing is reported, and only the counters know of them.
        output = guest.command(f"fault {vector}")
        check(re.search(rf"^{vector}: ", output, re.MULTILINE) and "panic" not in output, f"fault {vector} gives:\n{output}")
    for bad in ("256", "-1", "0x100", "99999999999999999999"):
        output = guest.command(f"fault {bad}")
        check("unknown" in output and "\n" not in output, f"fault {bad} gives {output!r}")
    check(guest.command("echo alive") == "alive", "no answer")


@test("machine-check")
def machine_check(t):
    """A machine check by the hardware's way: the panic names #MC and decodes the bank that QEMU was told to fill."""
    guest = t.boot(cpu="max", cmdline="panic=exit")
    # Bank 2: valid, uncorrected, enabled, with an address; error code 0x135. MCG_STATUS: MCIP and RIPV.
    guest.qmp("human-monitor-command", **{"command-line": "mce 0 2 0xb400000000000135 0x5 0x12345000 0"})
    guest.expect(re.compile(r"panic: #MC machine check, vector 18\b"))
    status = guest.wait_exit()
    check(status == 35, f"QEMU's status is {status}")
    output = guest.text[guest.text.rindex("panic: "):].replace("\r", "")
    bank = re.search(r"^\s*bank 2: (0x[0-9a-f]+), (.*)$", output, re.MULTILINE)
    check(bank and int(bank[1], 16) == 0xB400000000000135, f"the bank is not shown:\n{output}")
    check("error code 0x0135, uncorrected" in bank[2] and "address 0x12345000" in bank[2], f"the bank is shown as {bank[2]!r}")


@test("fault-thread-overflow", smp=["1", "4"])
def thread_overflow(t, smp):
    """A spawned thread that runs into the page below its stack, on the last CPU, is named; the others are stopped."""
    guest = t.boot(smp=smp, cmdline="panic=exit")
    guest.send("fault thread-overflow\r")
    status = guest.wait_exit()
    check(status == 35, f"status {status}")
    last = int(smp) - 1
    check(re.search(rf"cpu {last}, task deep", guest.text), "the thread or its CPU is not named")
    check(re.search(r"kernel stack overflow in task deep: (?!the boot stack)", guest.text), "the overflow is not named")
    check(last == 0 or "cpu 0, stopped:" in guest.text, "CPU 0 was not stopped")


@test("fault-fatal", kind=["df", "stack-overflow", "8"])
def fatal(t, kind):
    """No stack to go on with: a panic that names it, then QEMU's status 35."""
    guest = t.boot(cmdline="panic=exit")
    guest.send(f"fault {kind}\r")
    guest.expect("panic: ")
    status = guest.wait_exit()
    check(status == 35, f"QEMU's status is {status}")
    output = guest.text[guest.text.rindex("panic: "):].replace("\r", "")
    check("recovered" not in output, f"a double fault is recovered from:\n{output}")
    if kind == "8":
        check("#DF double fault, vector 8" in output, f"fault 8 reports:\n{output}")
        return
    check_report(kind, output, EXPECTED[kind], Elf.load(RELEASE.kernel))
    if kind == "df":
        check("rsp 0x0 is in no stack" in output, f"the lost stack pointer is not named:\n{output}")
    if kind == "stack-overflow":
        check("kernel stack overflow in task monitor: the boot stack ran into its guard page" in output, f"the overflow is not named:\n{output}")
        check(len(re.findall("fault_stack_overflow", output)) > 3, f"the backtrace does not show the recursion:\n{output}")


def early(t, symbol, cmdline="panic=exit"):
    """A machine whose kernel has an invalid opcode at `symbol`."""
    elf = Elf.load(RELEASE.kernel)
    elf.patch(elf.symbol(symbol), UD2)
    return t.start({"kernel.elf": bytes(elf)}, cmdline=cmdline)


@test("early-exception", symbol=["start_high", "kernel_main"])
def early_exception(t, symbol):
    """An exception before the kernel has done anything at all still says what and where; no reset."""
    guest = early(t, symbol)
    report = guest.expect(re.compile(r"(panic|exception): ([^\r\n]*)\r?\n"), timeout=60)[2]
    check("#UD" in report and "vector 6" in report, f"the report is {report!r}")
    guest.expect(re.compile(rf"\b{symbol}\b"))
    guest.expect("backtrace:")


@test("panic-inside-a-panic")
def nested(t):
    """The code that prints a panic's backtrace is broken: the second panic says so and ends the machine as asked."""
    elf = Elf.load(RELEASE.kernel)
    names = [name for name, _, size, _ in elf.symbols() if "backtrace" in name and "print" in name and size]
    check(names, "no function with backtrace and print in its name")
    for name in names:
        elf.patch(elf.symbol(name), UD2)
    guest = t.boot({"kernel.elf": bytes(elf)}, cmdline="panic=exit")
    guest.send("panic outer\r")
    guest.expect("panic: outer")
    guest.expect("panic inside a panic: ")
    status = guest.wait_exit()
    check(status == 35, f"QEMU's status is {status}")
