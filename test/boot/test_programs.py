"""Programs that nobody here wrote: Debian's static busybox and bash, from the initramfs, driven as a person would.

Here they are given commands; test_keys.py presses the keys of a terminal. lib/shell.py has the shell.
"""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from boot.test_bochs import start as start_bochs
from boot.test_serial import second_port
from lib import programs
from lib.harness import Skip, check, test
from lib.shell import SHELL, Shell
from tools import initramfs, qemu

LOUD = SHELL.replace("loglevel=3 ", "")
# What a job says, and not its own text.
GOES_ON = re.compile("(?<!echo )goes on")


@test("shell", cpu=["qemu64", "max"], machine=["q35", "pc"], smp=[1, 2, 4, 8])
def shell(t, cpu, machine, smp):
    drive(Shell(t, cpu=cpu, machine=machine, smp=smp), smp)


@test("shell-many", level="matrix", smp=[64, 288])
def shell_on_many_cpus(t, smp):
    """The same where there are more CPUs than an xAPIC or a word of 64 bits could name."""
    if smp > 255 and qemu.qemu_version() < (9,):
        raise Skip("QEMU has no x2APIC mode under TCG before version 9")
    # As in cpus-many: a CPU that waits by MWAIT is one more thread that never rests.
    drive(Shell(t, cpu="max,-monitor", smp=smp, mem="1G", timeout=1500), smp)


@test("bochs-shell", cpu=["tigerlake"])
@test("bochs-shell", level="matrix", cpu=["ryzen", "corei7_haswell_4770"])
def shell_on_bochs(t, cpu):
    """The same on another CPU than QEMU's, on a machine without ACPI, which so has one."""
    shell = Shell(t, start=start_bochs, cpu=cpu, timeout=300)
    drive(shell, 1)
    shell.guest.send("exit 5\n")
    shell.guest.prompt()
    check("exit status 5" in shell.guest.command("dmesg"), "it is not said how the first process ended")


def drive(shell, smp):
    """Commands, pipes, files, jobs that end, and how many CPUs a program is told of."""
    for line, expected in [
        ("echo one two", "one two\n"),
        ("echo hello | cat | tr a-z A-Z", "HELLO\n"),
        ("seq 1 1000 | sort -rn | head -n 1", "1000\n"),
        ("cat <<X\nhere is a\ndocument\nX", None),
        ("x=$(ls / | wc -l); test $x -gt 8 && echo many", "many\n"),
        ("for i in 1 2 3; do sh -c \"exit $i\"; echo $?; done", "1\n2\n3\n"),
        ("mkdir -p /tmp/a/b && echo text > /tmp/a/b/c && cp -r /tmp/a /tmp/d && cat /tmp/d/b/c", "text\n"),
        ("ln -s /tmp/d/b/c /tmp/l; readlink /tmp/l; cat /tmp/l; rm -r /tmp/a /tmp/d; cat /tmp/l", None),
        ("dd if=/dev/zero bs=4096 count=100 2>/dev/null | md5sum", None),
        ("sh -c 'sleep 0.1 & wait $!; echo $?'", "0\n"),
        ("(exit 7); echo $?", "7\n"),
        ("sh -c 'kill -TERM $$'; echo $?", None),
        ("kill -0 99999 2>/dev/null; echo $?", "1\n"),
        ("ps | grep -c init", None),
        ("ulimit -n; umask; id -u; hostname", None),
        ("uname -s -m", "Linux x86_64\n"),
        # Wherever there is a CPU; and where the parent may, if that is less.
        ("nproc", f"{smp}\n"),
        ("taskset 1 sh -c 'nproc; (nproc)'", "1\n1\n"),
        # Some at once, and each comes to an end. 288 on as many CPUs, with two to run them, would take half an hour for the locks.
        (f"for i in $(seq {min(smp, 32)}); do (:) & done; wait; echo all $?", None),
    ]:
        found = shell.run(line)
        check(expected is None or found == expected, f"{line!r}: {found!r} instead of {expected!r}")
    check("document" in shell.run("cat <<X\ndocument\nX"), "a here-document")
    check(shell.run("nosuchprogram").strip().endswith("not found"), "an unknown program is run")
    check("Terminated" in shell.run("sh -c 'kill -TERM $$'"), "a signal that ends is not told of")


@test("shell-jobs", cpu=["qemu64", "max"], machine=["q35", "pc"], smp=[1, 2, 4, 8])
def jobs(t, cpu, machine, smp):
    """Keys and jobs."""
    do_jobs(Shell(t, cpu=cpu, machine=machine, smp=smp))


@test("shell-jobs-many", level="matrix", smp=[64, 288])
def jobs_on_many_cpus(t, smp):
    if smp > 255 and qemu.qemu_version() < (9,):
        raise Skip("QEMU has no x2APIC mode under TCG before version 9")
    do_jobs(Shell(t, cpu="max,-monitor", smp=smp, mem="1G", timeout=1500))


def do_jobs(shell):
    guest = shell.guest
    shell.start("sh -c 'echo begun; sleep 1000'", "\nbegun")
    guest.send("\x03")
    shell.answer()
    check(shell.run("echo $?") == "130\n", "^C has not ended it by SIGINT")
    shell.start("sh -c 'echo begun; while :; do :; done'", "\nbegun")
    guest.send("\x03")
    shell.answer()
    check(shell.run("echo $?") == "130\n", "^C has not ended a loop")
    # What it says when it goes on tells that it has the terminal again.
    shell.start("sh -c 'trap \"echo goes on\" CONT; echo begun; while :; do sleep 0.1; done'", "\nbegun")
    guest.send("\x1a")
    shell.answer()
    check("Stopped" in shell.run("jobs"), "^Z has not stopped it")
    guest.send("bg\n")
    shell.answer_and(GOES_ON)
    check("Running" in shell.run("jobs"), "bg has not continued it")
    guest.send("fg\n")
    guest.expect(GOES_ON, shell.timeout)
    guest.send("\x03")
    shell.answer()
    check(shell.run("jobs") == "", "it is still there")
    shell.start("sh -c 'echo begun; exec cat'", "\nbegun")
    guest.send("typed\n")
    guest.expect(re.compile("typed\r?\ntyped"), shell.timeout)
    guest.send("\x04")
    shell.answer()
    # In a shell without jobs: one with jobs takes the news of the stop, if it comes before the next command, for the end.
    job = "sh -c 'echo > /tmp/begun; exec sleep 1000' & while [ ! -s /tmp/begun ]; do :; done"
    check(shell.run(f'sh -c "{job}; kill -STOP \\$!; kill -CONT \\$!; kill \\$!; wait \\$!; echo \\$?"').endswith("143\n"), "a job that is killed")
    # Nobody outside the session could let it go on, so ^Z's signal does not stop it; SIGSTOP does, being what it is.
    orphan = "kill -TSTP $$; echo goes on; kill -STOP $$; echo and on"
    shell.run(f"setsid sh -c '{orphan}' > /tmp/orphan &")
    shell.run("while ! grep -q 'T (stopped)' /proc/[0-9]*/status; do :; done")
    check(shell.run("cat /tmp/orphan") == "goes on\n", "an orphaned group is stopped by SIGTSTP, or not by SIGSTOP")
    shell.run("kill -CONT $(grep -l 'T (stopped)' /proc/[0-9]*/status | cut -d/ -f3); while ! grep -q 'and on' /tmp/orphan; do :; done")

    # The call that such a signal comes into goes on, as if it had not come.
    shell.run("mkfifo /tmp/fifo; setsid sh -c 'echo $$ > /tmp/reader; read x; echo \"$? $x\" > /tmp/heard' < /tmp/fifo & exec 9> /tmp/fifo")
    shell.run("until [ -s /tmp/reader ] && reader=$(cat /tmp/reader) && grep -q 'S (sleeping)' /proc/$reader/status; do :; done")
    shell.run("kill -TSTP $reader; echo words >&9; exec 9>&-")
    check(shell.run("while [ ! -s /tmp/heard ]; do :; done; cat /tmp/heard") == "0 words\n", "a call of an orphaned group's is given up by SIGTSTP")


@test("shell-bash", smp=[1, 4])
def bash(t, smp):
    shell = Shell(t, program="/bin/bash --norc --noprofile --noediting", smp=smp)
    for line, expected in [
        ("echo ${BASH_VERSINFO[0]}", "5\n"),
        ("a=(1 2 3); echo $((a[0]+a[1]+a[2])) ${#a[@]}", "6 3\n"),
        ("diff <(seq 1 5) <(seq 1 5) && echo same", "same\n"),
        ("for ((i=0;i<3;i++)); do echo -n $i; done; echo", "012\n"),
        ("trap 'echo got' USR1; kill -USR1 $$", "got\n"),
        ("coproc cat; echo hi >&${COPROC[1]}; read -u ${COPROC[0]} x; echo $x", None),
        ("time true 2>/dev/null; echo done", None),
        ("printf '%s\\n' {a..e} | while read l; do echo -n $l; done; echo", "abcde\n"),
    ]:
        found = shell.run(line)
        check(expected is None or found == expected, f"{line!r}: {found!r} instead of {expected!r}")


# Programs of this machine's that need an interpreter and libraries, and what they are to print as they print it here.
DYNAMIC = ["sort -n /etc/numbers", "ls -lR /etc/tree", "sha256sum /etc/numbers", "env -i A=1 /usr/bin/env", "expr 6 \\* 7", "od -c /etc/hostname", "tac /etc/numbers"]


@test("dynamic", cpu=["qemu64", "max"], smp=[1, 4])
def dynamic(t, cpu, smp):
    """Programs with PT_INTERP: the C library's loader, threads, libraries; they print what they print on the machine that runs this."""
    own = programs.hosted("dynamic")
    tools = {line.split()[0]: shutil.which(line.split()[0]) for line in DYNAMIC}
    if own is None or not shutil.which("ldd") or any(path is None or initramfs.is_static(path) for path in tools.values()):
        raise Skip("no C library to link with here, or no programs that are linked with one")
    files = {"bin/dynamic": (own.read_bytes(), 0o755), "etc/numbers": (b"30\n4\n1\n200\n", 0o644)}
    for path in {own, *map(Path, tools.values())}:
        found = programs.with_libraries(path)
        # What is opened later nobody lists.
        for needed in [*found, *(one.with_name("libm.so.6") for one in found if one.name == "libc.so.6")]:
            # What is a link to the C library's file here is that file there; a tool keeps its own name, and busybox's links have others.
            name = f"dyn/{path.name}" if needed == path else str(needed).lstrip("/")
            files[name] = (needed.resolve().read_bytes(), 0o755)
    files |= {"etc/tree/one": (b"1\n", 0o644), "etc/tree/sub/two": (b"22\n", 0o600)}
    shell = Shell(t, files, cpu=cpu, smp=smp)
    here = subprocess.run([own, "one", "two"], capture_output=True, text=True, check=False)
    check(here.returncode == 3, here.stdout + here.stderr)
    found = shell.run("/dyn/dynamic one two; echo status $?", timeout=300)
    check(found == here.stdout + "status 3\n", f"{found}\ninstead of\n{here.stdout}")
    with tempfile.TemporaryDirectory() as folder:
        for name, (body, mode) in files.items():
            if name.startswith("etc/"):
                path = Path(folder) / name.removeprefix("etc/")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(body)
                path.chmod(mode)
        (Path(folder) / "hostname").write_text("sis\n")
        for line in DYNAMIC:
            if line.startswith("ls "):
                # Owners and times are others'.
                found = shell.run(f"LC_ALL=C /dyn/{line} 2>&1 | cut -c1-10,32-")
                check(found.count("-rw-r--r--") == 1 and found.count("-rw-------") == 1 and "rror" not in found and "unction" not in found, found)
                continue
            wanted = subprocess.run(line.replace("/etc/", ""), shell=True, cwd=folder, capture_output=True, text=True, check=True, env={"LC_ALL": "C", "PATH": os.environ["PATH"]}).stdout
            found = shell.run(f"cd /etc; LC_ALL=C /dyn/{line.replace('/etc/', '')}")
            check(found == wanted, f"{line}: {found!r} instead of {wanted!r}")


@test("last-words", smp=[1, 4])
def last_words(t, smp):
    """What a program writes to a terminal before it ends comes out, though nobody closes it: to a port of its own, and, by the
    leader of a session, to the console, which is hung up then."""
    text = "".join(f"{n}\n" for n in range(1, 1501)).encode()
    words, listener = second_port()
    with listener:
        shell = Shell(t, smp=smp, extra=words)
        wire = listener.accept()[0]
    shell.run("stty -F /dev/ttyS1 raw")
    wire.settimeout(60)
    with wire:
        for _ in range(3):
            # Not by the shell, which would close it.
            shell.guest.send("sh -c 'exec seq 1 1500 >/dev/ttyS1'; echo over\n")
            data = bytearray()
            while not data.endswith(text):
                piece = wire.recv(65536)
                check(piece, f"QEMU closed the second port after {bytes(data[-100:])}")
                data += piece
            shell.answer()
        shell.guest.send("exec seq 1 1500\n")
        said = shell.guest.prompt(timeout=120).replace("\r", "")
        check(text.decode().strip() in said, f"the last words are {said[-300:]!r}")


@test("break-unheard")
def a_break_is_heard(t):
    """A program that has the line closed to all that comes does not lock out who sends a break."""
    shell = Shell(t)
    # It is asked for nothing more, so nothing is lost that was typed.
    shell.run("stty -cread")
    shell.guest.qmp("chardev-send-break", id="serial0")
    shell.guest.expect("break: the monitor")
    shell.guest.prompt()
    check("ttyS0" in shell.guest.command("serial"), "the monitor does not answer")


@test("init-ends", how=["exit", "signal", "missing", "damaged"])
def init_ends(t, how):
    """Never a silent stop."""
    if how in ("exit", "signal"):
        shell = Shell(t, cmdline=LOUD)
        shell.guest.send("exit 3\n" if how == "exit" else "trap - SEGV; kill -SEGV $$; exit 4\n")
        guest, said = shell.guest, "exit status 3" if how == "exit" else "exit status 139"
    else:
        busybox, bash = initramfs.programs()
        if busybox is None:
            raise Skip("no static busybox here, and none to be fetched")
        files = {"bad": (b"\x7fELF" + bytes(100), 0o755)}
        line = f"{LOUD} init={'/nowhere' if how == 'missing' else '/bad'}"
        guest = t.start({"initramfs.img": initramfs.make(busybox, bash, files)}, cmdline=line)
        said = r"/nowhere: no such file" if how == "missing" else r"/bad: no program that can be run"
    found = guest.prompt(timeout=120)
    check(re.search(said, found), f"it is not said: {found[-1500:]}")
    check("process 1" in found or how not in ("exit", "signal"), found[-500:])
    check("init" in guest.command("dmesg"), "the monitor does not answer")


@test("forks", smp=[1, 4])
def forks(t, smp):
    """Processes by the hundred, and memory as before."""
    shell = Shell(t, smp=smp, mem="256M")
    shell.run("for i in 1 2 3 4 5; do /bin/true; done; free")

    def free():
        return int(shell.run("echo 3 > /proc/sys/vm/drop_caches; grep MemFree /proc/meminfo").split()[1])

    before = free()
    found = shell.run("i=0; while [ $i -lt 200 ]; do /bin/true || echo bad; i=$((i+1)); done; echo $i", timeout=300)
    check(found == "200\n", found)
    found = shell.run("i=0; while [ $i -lt 40 ]; do sleep 0.2 & i=$((i+1)); done; wait; echo all", timeout=300)
    check("all\n" in found, found)
    after = free()
    # Stacks are kept for threads to come, and slabs for their like.
    check(abs(before - after) < 4096, f"{before} kB free before, {after} kB after")


@test("memory-size", mem=["128M", "3G", "5G", "96G"])
@test("memory-size", level="matrix", mem=["512M", "2G", "4G", "16G"])
def memory_size(t, mem):
    """Little memory, and so much that it lies on both sides of the hole below 4 GiB: programs have most of it, and use some."""
    # More than the host has: pages of it come as they are used.
    sparse = ["-object", f"memory-backend-ram,id=m,size={mem},reserve=off", "-machine", "memory-backend=m"]
    shell = Shell(t, mem=mem, cpu="max", smp=2, extra=sparse)
    kib = int(mem[:-1]) << (20 if mem[-1] == "G" else 10)
    total, free = (int(re.search(rf"{name}: +(\d+) kB", shell.run("cat /proc/meminfo"))[1]) for name in ("MemTotal", "MemFree"))
    check(kib * 7 // 8 < total < kib and free > total - (64 << 10), f"{total} kB, {free} of them free, of {kib}")
    shell.run("dd if=/dev/zero bs=1M count=24 2>/dev/null | tr '\\0' x > /tmp/x")
    check(shell.run("md5sum < /tmp/x; rm /tmp/x") == f"{hashlib.md5(b'x' * (24 << 20)).hexdigest()}  -\n", "a file of 24 MiB")
    check(shell.run("seq 1 1000 | sort -rn | head -n 1") == "1000\n", "programs do not run as they should")


@test("memory-hog", smp=[1, 4])
def memory_hog(t, smp):
    """Who takes too much goes by name; the shell stays, and has its memory back."""
    shell = Shell(t, smp=smp, mem="128M", cmdline=SHELL.replace("loglevel=3", "loglevel=5"))
    # In a process group of its own size: a table that grows for ever.
    found = shell.run("awk 'BEGIN { while (1) a[i++] = \"0123456789abcdef\" }'; echo $?", timeout=300)
    check("137" in found and re.search(r"memory: out of memory: killed awk \(\d+ pages\)", found), found)
    check("alive" in shell.run("echo alive"), "the shell is gone")
    free = int(re.search(r"MemFree: +(\d+)", shell.run("cat /proc/meminfo"))[1])
    check(free > 60 << 10, f"{free} kB free afterwards")
