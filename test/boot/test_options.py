"""Options of the command line that change how the kernel starts: each is seen taking effect."""

import re

from lib.harness import check, test


def warnings(guest):
    return [line for line in guest.boot_text.splitlines() if "warning" in line or "error" in line]


@test("timeline")
def timeline(t):
    """One `boot:` line tells the milliseconds of each stage, those inside the firmware apart."""
    guest = t.boot()
    lines = [line for line in guest.boot_text.splitlines() if re.match(r"\[ *\d+\.\d{6}\] boot: ", line)]
    check(len(lines) == 1, f"{len(lines)} lines begin with boot:")
    stages = dict(re.findall(r"(loader|firmware calls|jump|kernel to prompt|ours) ([\d.]+) ms", lines[0]))
    check(len(stages) == 5, f"the line does not tell all stages: {lines[0]!r}")
    ms = {name: float(value) for name, value in stages.items()}
    total = ms["loader"] + ms["jump"] + ms["kernel to prompt"]
    check(abs(total - ms["ours"]) < 0.01, f"the stages do not add up to {ms['ours']}: {ms}")
    check(0 < ms["kernel to prompt"] < 20_000 and ms["firmware calls"] > 0, f"implausible: {ms}")
    # Time stamps of the log never go back, and begin at the kernel's entry.
    stamps = [float(stamp) for stamp in re.findall(r"^\[ *(\d+\.\d{6})\]", guest.boot_text, re.MULTILINE)]
    check(stamps == sorted(stamps) and stamps[0] < 10, f"time stamps out of order: {stamps}")


@test("loglevel")
def loglevel(t):
    """Few lines reach the console, all of them the ring."""
    guest = t.boot(cmdline="loglevel=4")
    shown = re.findall(r"^\[ *\d+\.\d{6}\] .*", guest.boot_text, re.MULTILINE)
    ring = re.findall(r"^\[ *\d+\.\d{6}\] .*", guest.command("dmesg"), re.MULTILINE)
    check(not shown, f"lines on the console: {shown}")
    check(any("] boot: " in line for line in ring), f"dmesg lacks the boot line: {ring}")


@test("loglevel-bad")
def loglevel_bad(t):
    """A value that means nothing is said and changes nothing."""
    guest = t.boot(cmdline="loglevel=loud panic=later")
    check("loglevel=loud" in guest.boot_text, "the bad loglevel is not named")
    check("panic=later" in guest.boot_text, "the bad panic is not named")
    check("] boot: " in guest.boot_text, "the log is not shown")


@test("video")
def video(t):
    guest = t.boot(cmdline="video=800x600")
    check(not warnings(guest), f"complaints: {warnings(guest)}")
    check("800x600" in guest.command("bootinfo"), "bootinfo does not say 800x600")
    picture = guest.screendump()
    check((picture.width, picture.height) == (800, 600), f"the screen has {picture.width}x{picture.height}")


@test("video-unknown", value=["801x13"])
@test("video-unknown", level="matrix", value=["wide"])
def video_unknown(t, value):
    """A mode that is not there: a warning that names it, and the firmware's own mode."""
    guest = t.boot(cmdline=f"video={value}")
    check([line for line in warnings(guest) if re.search(rf'video="?{value}\b', line)], f"no warning about it: {warnings(guest)}")
    picture = guest.screendump(until=lambda picture: len(picture.colours()) > 1)
    check(f"{picture.width}x{picture.height}" in guest.command("bootinfo"), "bootinfo and the screen disagree")
    check(len(picture.colours()) > 1, "nothing is on the screen")


@test("initrd")
def initrd(t):
    """The file is loaded, whole and unchanged: its first and last words are looked at in memory."""
    body = b"SISFIRST" + bytes(range(256)) * 4096 + b"tail" + b"SISLAST!"
    guest = t.boot({"initrd.img": body}, cmdline="initrd=initrd.img")
    shown = guest.command("bootinfo")
    line = next((line for line in shown.splitlines() if "initrd" in line and re.search(r"0x[0-9a-f]+", line)), None)
    check(line is not None, f"bootinfo does not say where the initrd is:\n{shown}")
    check(str(len(body)) in line or f"{len(body):#x}" in line, f"bootinfo does not say {len(body)} bytes: {line!r}")
    start = int(re.search(r"0x[0-9a-f]+", line)[0], 16)
    direct = start if start >> 47 else 0xFFFF_8000_0000_0000 + start
    for address, word in ((direct, b"SISFIRST"), (direct + len(body) - 8, b"SISLAST!")):
        dump = guest.command(f"x/8b {address:#x}")
        found = re.search(r"((?:[0-9a-f]{2} ){7}[0-9a-f]{2})", dump)
        check(found and bytes.fromhex(found[1]) == word, f"at {address:#x}: {dump!r}, not {word.hex(' ')}")
    check(re.search(r'files: initrd: byte 0: neither cpio nor gzip: "SISFIR"', guest.boot_text), f"it is no archive, and nobody says so:\n{guest.boot_text[-2000:]}")
    check("init: no program: none of" in guest.boot_text, "nobody says that there is no program in it")


@test("initrd-missing")
def initrd_missing(t):
    """An initrd that is not there is named with the reason. Whether it goes on or gives up, it says so."""
    guest = t.start(cmdline="initrd=gone.img")
    line = guest.expect(re.compile(r"loader: (?:error|warning): ([^\r\n]*)\r?\n"), timeout=60)[1]
    check("gone.img" in line and "EFI_NOT_FOUND" in line, f"the line is {line!r}")


@test("root-without-disks")
def root(t):
    """root= cannot work yet: a line says so, and here is the monitor."""
    guest = t.boot(cmdline="root=/dev/vda")
    check(re.search(r"root=/dev/vda: .+", guest.boot_text), "no line about root=")


@test("unknown-words")
def unknown(t):
    """Words for init are no errors, and an unknown console is named."""
    guest = t.boot(cmdline="single HOME=/ console=hvc7 console=ttyS0")
    check("console=hvc7" in guest.boot_text, "the unknown console is not named")


@test("selftest-option", value=["selftest", "selftest=nosuch"])
@test("selftest-option", level="matrix", value=["selftest=wx", "selftest=wx,idt"])
def selftest_option(t, value):
    """Ends QEMU with success (33) or failure (35), after a line for each test."""
    guest = t.start(cmdline=value)
    good = "nosuch" not in value
    status = guest.wait_exit(90)
    check(status == (33 if good else 35), f"status {status}")
    lines = re.findall(r"selftest: (\w+): (ok|FAILED|no such test)", guest.text)
    check(lines, "no line about any test")
    check(all(word == "ok" for _, word in lines) == good, f"the lines are {lines}")
    if value == "selftest":
        check(len(lines) >= 8, f"only {len(lines)} tests ran")
