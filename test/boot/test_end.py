"""How a run ends: reboot, and what `panic=` says to do after a panic."""

from lib.build import RELEASE
from lib.elfedit import Elf
from lib.harness import check, test


def panics(guest):
    """Types `panic` and checks all that a panic must print."""
    guest.send("panic\r")
    guest.expect("panic: ")
    guest.expect("backtrace:")
    guest.expect("monitor")
    guest.expect("last log lines:")
    guest.expect("] boot: ")


@test("reboot", machine=["q35", "pc"])
def reboot(t, machine):
    """The machine resets as a machine does, and not by a triple fault (which the verdict would see)."""
    guest = t.boot(machine=machine)
    guest.send("reboot\r")
    status = guest.wait_exit()
    check(guest.shutdown_reason() == "guest-reset", f"QMP's reason is {guest.shutdown_reason()}")
    check(status == 0, f"QEMU's status is {status}")


def panic_halt(t, cmdline):
    guest = t.boot(cmdline=cmdline)
    panics(guest)
    guest.idle(0.5)
    before = len(guest.text)
    guest.send("echo nobody\r")
    check(guest.quiet(1), f"the halted kernel still says {guest.text[before:]!r}")
    check(guest.qmp("query-status")["status"] == "running", "the machine does not run any more")
    screen = guest.screendump(until=lambda picture: len(picture.colours()) > 1)
    check(len(screen.colours()) > 1, "the panic is not on the screen")


@test("panic-default")
def panic_default(t):
    """All is said, then silence, with the machine still there for a debugger."""
    panic_halt(t, "")


@test("panic-halt", level="matrix")
def panic_halt_by_name(t):
    panic_halt(t, "panic=halt")


@test("panic-exit")
def panic_exit(t):
    guest = t.boot(cmdline="panic=exit")
    panics(guest)
    check(guest.wait_exit() == 35, f"QEMU's status is {guest.status}")


@test("panic-reboot")
def panic_reboot(t):
    guest = t.boot(cmdline="panic=reboot")
    panics(guest)
    guest.wait_exit()
    check(guest.shutdown_reason() == "guest-reset", f"QMP's reason is {guest.shutdown_reason()}")


@test("triple-fault-is-seen")
def triple_fault(t):
    """A kernel that loads an empty IDT and faults: proof that the harness would notice if ours ever did."""
    elf = Elf.load(RELEASE.kernel)
    # push 0; push 0; lidt [rsp]; ud2
    elf.patch(elf.symbol("kernel_main"), bytes.fromhex("6a00 6a00 0f011c24 0f0b"))
    t.expect_triple_fault = True
    guest = t.start({"kernel.elf": bytes(elf)})
    guest.wait_exit(60)
    check(guest.shutdown_reason() == "guest-reset", f"QMP's reason is {guest.shutdown_reason()}")
    guest.kill()
    check(guest.triple_fault(), "the cpu_reset log does not say so")
