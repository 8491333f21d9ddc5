#!/usr/bin/env python3
"""The one place that builds a QEMU command line.

`make run`, `make gdb`, the test harness and the benches all describe a `Machine` and ask `command()` for the words
to start; nobody else writes a `-device`. What a machine here is, beyond what its fields say:

  - nothing that was not asked for (-nodefaults, no network card): firmware starts faster on a lean machine;
  - the ESP's disk has bootindex 0, so firmware goes straight to it;
  - ROOT's disk stands before the ESP's, so that it is vda and its PCI address is the lower one;
  - disks and the firmware's variables are opened as throw-away snapshots: a run leaves build/ as it found it;
  - isa-debug-exit at port 0xf4, and -no-reboot: a reset ends QEMU, so a triple fault cannot look like a boot.

QEMU 7.2 and newer.
"""

import ctypes
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import mkesp  # noqa: E402 (its neighbour, from wherever this one was imported)

ROOT_DIR = pathlib.Path(__file__).resolve().parents[2]

# The status QEMU ends with when the kernel writes 0x10 or 0x11 to isa-debug-exit: (value << 1) | 1.
EXIT_SUCCESS, EXIT_FAILURE = 33, 35


class QemuError(Exception):
    """The machine cannot be started; the text says what to install or change."""


@dataclass
class Machine:
    """A machine to boot. The defaults are those of `make run`."""

    disk: str | os.PathLike | None = None  # the ESP's image
    disk_bus: str = "virtio"  # virtio, ahci or usb
    root: str | os.PathLike | None = None  # a second disk, before the ESP, on virtio
    snapshot: bool = True  # writes to the disks are thrown away
    smp: int | str = 2
    mem: str = "512M"
    cpu: str = "max"
    machine: str = "q35"  # or pc, with QEMU's own options behind it: "q35,hpet=off"
    accel: str = "auto"  # auto, tcg, kvm, or a whole -accel value
    gfx: str = "none"  # -display; the graphics adapter is there in any case
    vga: str = "std"
    firmware: str = "auto"  # OVMF: 4m, 2m, or the first that is there
    vars: str | os.PathLike | None = None  # the firmware's variable store, kept; None for a fresh throw-away copy
    serial: list[str] = field(default_factory=lambda: ["mon:stdio"])  # one -serial each
    monitor: str | None = None  # -monitor
    qmp: str | os.PathLike | None = None  # path of a Unix socket for QMP
    gdb: str | None = None  # -gdb: "tcp::1234", "unix:PATH,server=on,wait=off"
    stopped: bool = False  # wait for the debugger's or QMP's "go"
    icount: str | None = None  # "shift=3,sleep=off": one instruction is 8 ns of guest time, in one thread
    log: str | None = None  # -d: "cpu_reset,guest_errors"
    log_file: str | os.PathLike | None = None  # -D
    reboot: bool = False  # True: a reset restarts the machine, as on a desk
    qemu: str | None = None  # the program; None for $QEMU or the one on PATH
    extra: list[str] = field(default_factory=list)  # more arguments, last


# ---- what is installed ---------------------------------------------------------------------------------------------


def find_qemu(name=None):
    """The QEMU program: `name`, else $QEMU, else the one on PATH."""
    wanted = name or os.environ.get("QEMU") or "qemu-system-x86_64"
    found = shutil.which(wanted)
    if not found:
        raise QemuError(f"{wanted} is not installed (Debian, Arch: qemu-system-x86; Fedora: qemu-system-x86-core)")
    return found


_versions = {}


def qemu_version(qemu=None):
    """(major, minor, micro) of the QEMU program."""
    program = find_qemu(qemu)
    if program not in _versions:
        text = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
        match = re.search(r"version (\d+)\.(\d+)(?:\.(\d+))?", text)
        if not match:
            raise QemuError(f"{program} --version says no version: {text.strip()!r}")
        _versions[program] = tuple(int(n or 0) for n in match.groups())
    return _versions[program]


# Where distributions put OVMF: code (read-only) and variables (a template). The kind follows from the code's size.
FIRMWARE = [
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),  # Debian, Ubuntu
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),  # Debian 12, Fedora
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),  # Arch
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),  # Fedora
    ("/usr/share/qemu/ovmf-x86_64-4m-code.bin", "/usr/share/qemu/ovmf-x86_64-4m-vars.bin"),  # openSUSE
    ("/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin"),
    ("/usr/share/qemu/edk2-x86_64-code.fd", "/usr/share/qemu/edk2-i386-vars.fd"),  # QEMU's own build
    ("/usr/local/share/qemu/edk2-x86_64-code.fd", "/usr/local/share/qemu/edk2-i386-vars.fd"),
]
KINDS = {"2m": "2 MiB", "4m": "4 MiB"}


def find_firmware(kind="auto"):
    """(code, vars) of OVMF in its "4m" or "2m" build ("auto": 4m first), or None; `why_no_firmware` says why."""
    for wanted in ("4m", "2m") if kind == "auto" else (kind,):
        if wanted not in KINDS:
            raise QemuError(f"firmware {kind!r}: auto, 4m or 2m is meant")
        for code, variables in FIRMWARE:
            if os.path.isfile(code) and os.path.isfile(variables):
                if (os.path.getsize(code) > 2 << 20) == (wanted == "4m"):
                    return code, variables
    return None


def why_no_firmware(kind="auto"):
    """One line for a skipped test or a failed start."""
    which = "" if kind == "auto" else f" in its {KINDS[kind]} build"
    names = "Debian: ovmf, from Debian 13 on without a 2 MiB build; Fedora, Arch: edk2-ovmf"
    return f"OVMF{which} is not installed ({names})"


def kvm_usable():
    """KVM counts only where the CPU says vmx or svm and the device opens: the device alone can hang a guest."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
            if not re.search(r"^flags\s*:.*\b(vmx|svm)\b", f.read(), re.MULTILINE):
                return False
        os.close(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC))
        return True
    except OSError:
        return False


# ---- the command line ----------------------------------------------------------------------------------------------


def _path(path):
    """A file name inside a QEMU option: a comma is written twice."""
    return str(path).replace(",", ",,")


def _accel(cfg):
    accel = cfg.accel
    if accel in ("", "auto"):
        accel = "kvm" if kvm_usable() and not cfg.icount else "tcg"
    if accel == "tcg":
        # One host thread a CPU, except under -icount, which runs all CPUs in one.
        accel += "" if cfg.icount else ",thread=multi"
    return accel


def _disk_devices(cfg):
    snapshot = ",snapshot=on" if cfg.snapshot else ""
    words = []
    if cfg.root:
        words += ["-drive", f"if=none,id=root,format=raw,file={_path(cfg.root)}{snapshot}"]
        words += ["-device", "virtio-blk-pci,drive=root"]
    if not cfg.disk:
        return words
    words += ["-drive", f"if=none,id=esp,format=raw,file={_path(cfg.disk)}{snapshot}"]
    if cfg.disk_bus == "virtio":
        words += ["-device", "virtio-blk-pci,drive=esp,bootindex=0"]
    elif cfg.disk_bus == "ahci":
        # q35's chipset has an AHCI controller; pc's has IDE only, so it gets one as a card.
        if cfg.machine.split(",")[0] != "q35":
            words += ["-device", "ich9-ahci,id=ahci", "-device", "ide-hd,drive=esp,bus=ahci.0,bootindex=0"]
        else:
            words += ["-device", "ide-hd,drive=esp,bus=ide.0,bootindex=0"]
    elif cfg.disk_bus == "usb":
        words += ["-device", "qemu-xhci", "-device", "usb-storage,drive=esp,removable=on,bootindex=0"]
    else:
        raise QemuError(f"disk bus {cfg.disk_bus!r}: virtio, ahci or usb is meant")
    return words


def command(cfg):
    """The words that start `cfg`, program first."""
    firmware = find_firmware(cfg.firmware)
    if firmware is None:
        raise QemuError(why_no_firmware(cfg.firmware))
    code, variables = firmware
    words = [find_qemu(cfg.qemu), "-nodefaults", "-nic", "none"]
    words += ["-machine", cfg.machine, "-accel", _accel(cfg), "-cpu", cfg.cpu]
    words += ["-smp", str(cfg.smp), "-m", str(cfg.mem)]
    words += ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={_path(code)}"]
    if cfg.vars:
        words += ["-drive", f"if=pflash,unit=1,format=raw,file={_path(cfg.vars)}"]
    else:
        words += ["-drive", f"if=pflash,unit=1,format=raw,snapshot=on,file={_path(variables)}"]
    words += _disk_devices(cfg)
    words += ["-vga", cfg.vga, "-display", cfg.gfx]
    for serial in cfg.serial:
        words += ["-serial", serial]
    if cfg.monitor:
        words += ["-monitor", cfg.monitor]
    if cfg.qmp:
        words += ["-qmp", f"unix:{_path(cfg.qmp)},server=on,wait=off"]
    if cfg.gdb:
        words += ["-gdb", cfg.gdb]
    if cfg.stopped:
        words += ["-S"]
    if cfg.icount:
        words += ["-icount", cfg.icount]
    if cfg.log:
        words += ["-d", cfg.log]
    if cfg.log_file:
        words += ["-D", str(cfg.log_file)]
    words += ["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]
    if not cfg.reboot:
        words += ["-no-reboot"]
    return words + list(cfg.extra)


# ---- make's variables ----------------------------------------------------------------------------------------------


def esp_with(build, **replaced):
    """A copy of build/esp.img with some of its files replaced (cmdline_txt= is cmdline.txt), for one run."""
    source, copy = build / "esp.img", build / "run" / "esp.img"
    files = mkesp.read_image(source)
    for name, content in replaced.items():
        name = name.replace("_", ".")
        files = {path: body for path, body in files.items() if path.lower() != name}
        files[name] = content
    copy.parent.mkdir(exist_ok=True)
    mkesp.make_image(copy, files, source.stat().st_size)
    return copy


def from_environment(env=os.environ):
    """The Machine that make's variables describe. CMDLINE= and ROOT= choose the command line on the ESP."""
    build = pathlib.Path(env.get("BUILD") or ROOT_DIR / "build")
    names = {"SMP": "smp", "MEM": "mem", "CPU": "cpu", "MACHINE": "machine", "ACCEL": "accel", "GFX": "gfx"}
    names |= {"DISK": "disk_bus", "FIRMWARE": "firmware", "ROOT": "root", "QEMU": "qemu"}
    cfg = Machine(disk=build / "esp.img")
    for variable, name in names.items():
        if env.get(variable):
            setattr(cfg, name, env[variable])
    if cfg.root and not os.path.exists(cfg.root):
        raise QemuError(f"ROOT={cfg.root}: no such file")
    cfg.extra = shlex.split(env.get("QEMU_ARGS", ""))
    cmdline = env.get("CMDLINE")
    if cmdline is None and cfg.root:
        cmdline = "root=/dev/vda rw"
    if cmdline is not None:
        cfg.disk = esp_with(build, cmdline_txt=(cmdline + "\n").encode())
    return cfg


def run(cfg):
    """QEMU on this terminal; 0 where the guest powered off or said success."""
    words = command(cfg)
    print(shlex.join(words))
    print("Serial line on this terminal: Ctrl-A X ends QEMU, Ctrl-A C is its monitor.", flush=True)
    try:
        status = subprocess.call(words)
    except KeyboardInterrupt:
        return 130
    if status == EXIT_SUCCESS:
        print("The kernel reported success (QEMU's status 33).")
        return 0
    if status == EXIT_FAILURE:
        print("The kernel reported a failure or a panic (QEMU's status 35).", file=sys.stderr)
    return status


PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def become_gdb_target(cfg, sockets):
    """This process becomes QEMU, stopped; the debugger's and the serial line's sockets are in folder `sockets`."""
    log = pathlib.Path(os.environ.get("BUILD") or ROOT_DIR / "build") / "gdb" / "serial.log"
    cfg.stopped, cfg.gdb = True, f"unix:{sockets}/gdb,server=on,wait=off"
    cfg.serial = [f"unix:{sockets}/serial,server=on,wait=off,logfile={_path(log)}"]
    words = command(cfg)
    print(shlex.join(words), flush=True)
    os.setsid()  # ^C in the debugger's terminal is for the debugger
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)  # and this ends with run.sh, however that ends
    os.execv(words[0], words)


def main():
    usage = "usage: qemu.py run | command | gdb FOLDER | firmware [4m|2m]   (all but the last read make's variables)"
    verb, *rest = sys.argv[1:] or ["help"]
    try:
        if verb == "run" and not rest:
            sys.exit(run(from_environment()))
        elif verb == "command" and not rest:
            print(shlex.join(command(from_environment())))
        elif verb == "gdb" and len(rest) == 1:
            become_gdb_target(from_environment(), *rest)
        elif verb == "firmware" and len(rest) <= 1:
            found = find_firmware(*rest)
            if found is None:
                raise QemuError(why_no_firmware(*rest))
            print(*found, sep="\n")
        else:
            sys.exit(usage)
    except (QemuError, OSError) as error:
        sys.exit(f"qemu.py: {error}")


if __name__ == "__main__":
    main()
