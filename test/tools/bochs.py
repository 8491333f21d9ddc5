#!/usr/bin/env python3
"""Bochs: the second CPU model, for what QEMU's TCG lets pass.

    make bochs                       the serial line on this terminal; Ctrl-] ends Bochs
    make bochs BOCHS_CPU=ryzen SMP=8 MEM=1G CMDLINE=... DEBUG=1
    printf 'help\\nselftest\\n' | make bochs    no terminal: one line typed at each prompt, the end behind the last

Bochs raises what Intel's CPUs raise: #XM from SSE, #GP for a reserved bit or an unknown MSR (ignore_bad_msrs, which
OVMF needs, lets RDMSR and WRMSR of *unknown* ones pass). It has AVX-512, x2APIC, PCID and the TSC deadline, and no
ACPI: OVMF finds no tables there. This file alone knows how a Bochs is configured and started; test/boot/test_bochs.py
talks to the same `Bochs` object that `main` puts on the terminal.

The machine: i440FX, the ESP's image as an IDE disk, COM1, and a VGA that OVMF has no driver for: no framebuffer.
  - OVMF in its 2 MiB build, variables and code in one image: Bochs takes no larger ROM. Debian 13 has none.
  - The disk is `volatile`: writes go into an unlinked file, and the image stays as it is. Its geometry is given, so
    that cylinders end where the image does; the guessed one cuts off the last sectors, where the GPT's copy is.
  - COM1 is a pseudo-terminal in raw mode, the display another one that nobody sees: Debian's Bochs has no display
    "none". The second also tells when Bochs has ended.
  - reset_on_triple_fault=0 and panic: action=fatal, so that a triple fault ends the run and stands in the log.
  - A reset ends the run, as -no-reboot does in QEMU: OVMF does not start a second time here (it finds the power
    management's I/O base switched on and at 0, and waits for a timer that is not there). Bochs has no option for it,
    so whoever holds it asks `was_reset`, which reads the log.
  - A debugger build, so it starts with `c`, "continue", from a file.
  - No file grows beyond FILE_LIMIT: some mistakes write a line into the log at every instruction.
All files of a run, the log among them, are in one folder that Bochs starts in: no path in its configuration can hold
a space. Bochs 2.7; its user manual, chapter "The configuration file bochsrc".
"""

import errno
import fcntl
import os
import pathlib
import re
import selectors
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
import tty
from dataclasses import dataclass

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import qemu  # noqa: E402 (its neighbour: where OVMF lies, and what make's variables say)

DEFAULT_CPU = "tigerlake"
MAX_CPUS = 8  # of Debian's build
# The rate of the emulated clock, and of the TSC. The loader believes 100 MHz and more; the higher it is, the more
# instructions a wait takes, that for the serial line most of all.
IPS = 120_000_000
MAX_ROM = 2 << 20
HEADS, SECTORS = 16, 32  # a cylinder is 256 KiB, of which every image of whole MiB is a multiple
CTRL_BRACKET = b"\x1d"
PROMPT = b"\nsis> "
SILENCE_SECONDS = 120  # without a terminal: so long without a byte means that nothing more will come

CONFIGURATION = """\
plugin_ctrl: unmapped=1, biosdev=1, extfpuirq=1, serial=1, parallel=0, speaker=0
config_interface: textconfig
display_library: term
memory: guest={megabytes}, host={host}
cpu: model={cpu}, count={smp}, ips={ips}, reset_on_triple_fault=0, ignore_bad_msrs=1
clock: sync=none
romimage: file=firmware.fd
vgaromimage: file={vgabios}
vga: extension=vbe, update_freq=1
pci: enabled=1, chipset=i440fx
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=disk, path=disk.img, mode=volatile, cylinders={cylinders}, heads={heads}, spt={sectors}
boot: disk
com1: enabled=1, mode=term, dev={serial}
log: bochs.log
panic: action=fatal
error: action=report
info: action=report
debug: action=ignore
"""
FILE_LIMIT = 256 << 20
# Each device says so when the machine is reset, at power-on for the first time.
RESET = b"reset of 'serial' plugin device"
VGABIOS = "/usr/share/vgabios/vgabios.bin"


class BochsError(Exception):
    """The machine cannot be started; the text says what to install or change."""


@dataclass
class Machine:
    """A machine to boot. The defaults are those of `make bochs`."""

    disk: str | os.PathLike
    cpu: str = DEFAULT_CPU  # one of `bochs --help cpu`
    smp: int | str = 2
    mem: str = "512M"


def why_not():
    """What Bochs lacks on this host, in one line, or None."""
    if not shutil.which("bochs"):
        return "Bochs is not installed (Debian: bochs bochs-term bochsbios vgabios)"
    if not os.path.isfile(VGABIOS):
        return f"{VGABIOS} is not there (Debian: vgabios)"
    if qemu.find_firmware("2m") is None:
        return qemu.why_no_firmware("2m") + "; Bochs takes no larger one"
    return None


def megabytes(mem):
    """QEMU's notation of a size, 512M or 2G or a bare number of MiB, as a number of MiB."""
    match = re.fullmatch(r"(\d+)([MG]?)", str(mem), re.IGNORECASE)
    if not match or not int(match[1]):
        raise BochsError(f"MEM={mem}: such as 512M or 2G is meant")
    return int(match[1]) * (1024 if match[2].upper() == "G" else 1)


def configuration(machine, serial):
    """The text of the configuration file; `serial` is the terminal that COM1 is."""
    if not str(machine.smp).isdecimal() or not 1 <= int(machine.smp) <= MAX_CPUS:
        raise BochsError(f"SMP={machine.smp}: Bochs has 1 to {MAX_CPUS} CPUs")
    if not re.fullmatch(r"\w+", machine.cpu):
        raise BochsError(f"BOCHS_CPU={machine.cpu}: `bochs --help cpu` lists the models")
    cylinders, rest = divmod(os.path.getsize(machine.disk), HEADS * SECTORS * 512)
    if rest or not cylinders:
        raise BochsError(f"{machine.disk}: its size is no multiple of a cylinder, 256 KiB")
    mem = megabytes(machine.mem)
    return CONFIGURATION.format(megabytes=mem, host=min(mem, 2048), cpu=machine.cpu, smp=machine.smp, vgabios=VGABIOS,
                                cylinders=cylinders, ips=IPS, heads=HEADS, sectors=SECTORS, serial=serial)


class Wire:
    """A pseudo-terminal in raw mode, with the calls of a socket: Bochs opens one end, we hold the other."""

    def __init__(self):
        self._ours, self._theirs = os.openpty()
        tty.setraw(self._theirs)
        # The display is text of 80 by 25, and Bochs refuses a terminal that is too small for it.
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 132, 0, 0))
        os.set_blocking(self._ours, False)
        self.name = os.ttyname(self._theirs)

    def fileno(self):
        return self._ours

    def theirs(self):
        return self._theirs

    def recv(self, size):
        """As a socket's: b"" at the end, which is when nobody holds the other end any more."""
        try:
            return os.read(self._ours, size)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return b""

    def send(self, data):
        return os.write(self._ours, data)

    def release(self):
        """Closes the far end on our side, so that the end of the other holder is seen."""
        if self._theirs is not None:
            os.close(self._theirs)
            self._theirs = None

    def close(self):
        self.release()
        if self._ours is not None:
            os.close(self._ours)
            self._ours = None


class Bochs:
    """A running Bochs in `folder`. Whoever reads `display` to its end then releases `serial`, to see that one's."""

    def __init__(self, machine, folder):
        reason = why_not()
        if reason:
            raise BochsError(reason)
        self.log_file = folder / "bochs.log"
        self.screen = b""  # the end of what the display showed: where Bochs says what is wrong with its configuration
        self._log_read, self._log_rest, self._resets = 0, b"", 0
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.serial, self.display = Wire(), Wire()
        try:
            code, variables = map(pathlib.Path, qemu.find_firmware("2m"))
            rom = variables.read_bytes() + code.read_bytes()  # in this order: the code ends at 4 GiB
            if len(rom) > MAX_ROM:
                raise BochsError(f"{variables} and {code} are more than 2 MiB together; Bochs takes no larger ROM")
            (folder / "firmware.fd").write_bytes(rom)
            (folder / "disk.img").symlink_to(os.path.abspath(machine.disk))
            (folder / "start").write_text("c\n")
            (folder / "bochsrc").write_text(configuration(machine, self.serial.name))
            # A session of its own: neither Ctrl-C nor anything on our terminal reaches it.
            command = f"ulimit -f {FILE_LIMIT // 512} && exec bochs -q -f bochsrc -rc start"
            self.process = subprocess.Popen(["sh", "-c", command], cwd=folder,
                                            stdin=self.display.theirs(), stdout=self.display.theirs(),
                                            stderr=self.display.theirs(), env=os.environ | {"TERM": "xterm"},
                                            start_new_session=True)
        except BaseException:
            self.close()
            raise
        self.display.release()

    def close(self):
        """Ends Bochs if it still runs, and frees what it held. A second call does nothing."""
        process = getattr(self, "process", None)
        if process:
            if process.poll() is None:
                process.kill()
            process.wait()
        self.serial.close()
        self.display.close()

    def log(self):
        try:
            return self.log_file.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def was_reset(self):
        """Whether the machine was reset since power-on. Reads what is new in the log; cheap enough to ask often."""
        try:
            with open(self.log_file, "rb") as f:
                f.seek(self._log_read)
                new = f.read(16 << 20)
        except FileNotFoundError:
            return False
        self._log_read += len(new)
        text = self._log_rest + new
        complete, line_end, self._log_rest = text.rpartition(b"\n")
        self._resets += (complete + line_end).count(RESET)
        return self._resets > 1

    def complaints(self):
        """What the log says about the end of a run that nobody wanted to end."""
        return re.findall(r">>PANIC<< (.*)", self.log())


# ---- make bochs ----------------------------------------------------------------------------------------------------


def from_environment(env=os.environ):
    """The Machine that make's variables describe."""
    cfg = qemu.from_environment({name: value for name, value in env.items() if name != "ROOT"})
    return Machine(cfg.disk, env.get("BOCHS_CPU") or DEFAULT_CPU, cfg.smp, cfg.mem)


class Terminal:
    """The person's terminal, in raw mode for the time of a `with`: every key goes to COM1, only Ctrl-] does not."""

    def __enter__(self):
        self._before = termios.tcgetattr(0)
        tty.setraw(0)
        return self

    def __exit__(self, *_):
        termios.tcsetattr(0, termios.TCSADRAIN, self._before)

    def keys(self):
        """(what was typed, whether the end was asked for)"""
        typed = os.read(0, 4096)
        before, end, _ = typed.partition(CTRL_BRACKET)
        return before, bool(end) or not typed

    def heard(self, text):
        return b"", False


class Script:
    """Lines from a pipe: one at each prompt, and the end at the prompt behind the last one's output."""

    def __init__(self, lines):
        self._lines, self._text = lines, b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def heard(self, text):
        """(what to type, whether this was the end) after `text` came from the machine."""
        # Only what follows the last line typed can hold the next prompt.
        self._text += text
        if PROMPT not in self._text:
            return b"", False
        self._text = b""
        return (self._lines.pop(0) + b"\r", False) if self._lines else (b"", True)


def talk(bochs, side):
    """Carries bytes between COM1 and `side` until one of them ends. True if it was `side` that did."""
    interactive, done, sending = isinstance(side, Terminal), False, b""
    with selectors.DefaultSelector() as selector:
        selector.register(bochs.serial, selectors.EVENT_READ, "serial")
        selector.register(bochs.display, selectors.EVENT_READ, "display")
        if interactive:
            selector.register(0, selectors.EVENT_READ, "keys")
        silent_since = time.monotonic()
        while not bochs.was_reset():
            for key, _ in selector.select(1):
                typed = b""
                if key.data == "display":
                    shown = bochs.display.recv(65536)
                    bochs.screen = (bochs.screen + shown)[-2000:]
                    if not shown:
                        selector.unregister(bochs.display)
                        bochs.serial.release()
                elif key.data == "keys":
                    typed, done = side.keys()
                else:
                    text = bochs.serial.recv(65536)
                    if not text:
                        return False
                    silent_since = time.monotonic()
                    sys.stdout.buffer.write(text)
                    sys.stdout.buffer.flush()
                    typed, done = side.heard(text)
                sending += typed
                if done:
                    return True
            if not interactive and time.monotonic() - silent_since > SILENCE_SECONDS:
                raise BochsError(f"nothing on the serial line for {SILENCE_SECONDS} s")
            if sending:
                try:
                    sending = sending[bochs.serial.send(sending):]
                except BlockingIOError:
                    pass  # the guest does not read now; the loop comes round
    return False


def run(machine, folder):
    """Bochs on this terminal, or under a script; the status to end with."""
    terminal = os.isatty(0)
    side = Terminal() if terminal else Script(sys.stdin.buffer.read().splitlines())
    bochs = Bochs(machine, folder)
    try:
        print(f"Bochs, {machine.smp} CPU(s) {machine.cpu}, {machine.mem}; its log is {shlex.quote(str(bochs.log_file))}")
        if terminal:
            print("Serial line on this terminal: Ctrl-] ends Bochs. Firmware alone takes it 10 s and more.")
        sys.stdout.flush()
        with side:
            asked = talk(bochs, side)
        print()
        if asked:
            return 0
        if bochs.was_reset() and not bochs.complaints():
            print("The machine was reset; Bochs ends.")
            return 0
        status = bochs.process.wait()
        for line in bochs.complaints():
            print(f"bochs: {line}", file=sys.stderr)
        if status and not bochs.complaints():
            print(re.sub(r"[^ -~\n]", "", bochs.screen.decode(errors="replace")), file=sys.stderr)
        print(f"Bochs has ended, status {status}.", file=sys.stderr)
        return 1 if status or bochs.complaints() else 0
    finally:
        bochs.close()


def main():
    if sys.argv[1:]:
        sys.exit("usage: bochs.py   (it reads make's variables)")
    # make, or a terminal that goes away: Bochs must not outlive us.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    try:
        machine = from_environment()
        sys.exit(run(machine, pathlib.Path(os.environ.get("BUILD") or qemu.ROOT_DIR / "build") / "run" / "bochs"))
    except KeyboardInterrupt:
        sys.exit(130)
    except (BochsError, qemu.QemuError, OSError) as error:
        sys.exit(f"bochs.py: {error}")


if __name__ == "__main__":
    main()
