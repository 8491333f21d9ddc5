"""Files on the machine: the initrd becomes a tree, /dev has its nodes, and the monitor's commands show both."""

import gzip
import random
import re
import zlib

from lib.harness import check, test
from tools import cpio
from tools.cpio import archive

TIME = 1_000_000_000
DATE = "2001-09-09T01:46:40Z"


def entry(*arguments, **more):
    return cpio.entry(*arguments, time=TIME, **more)


BIG = random.Random(7).randbytes(3_000_001)
TREE = archive(
    entry("etc", 0o40755), entry("etc/motd", 0o100644, "Grüße\n".encode() * 3), entry("etc/empty", 0o100600),
    entry("bin", 0o40755, owner=(3, 4)), entry("bin/su", 0o104755, b"\x7fELF\0\1", owner=(0, 5)), entry("bin/sh", 0o120777, b"su"),
    entry("bin/one", 0o100444, links=2, inode=11), entry("bin/two", 0o100444, b"twice", links=2, inode=11),
    entry("dev", 0o40755), entry("pipe", 0o10640), entry("disk", 0o60660, device=(8, 1)), entry("sticky", 0o41777),
    entry("sticky/theirs", 0o100644, b"old", owner=(3, 4)),
)
MORE = archive(entry("big", 0o100644, BIG), entry("etc/motd", 0o100640, b"the second archive wins\n"), entry("sticky/theirs", 0o100600, b"new", owner=(5, 6)))


def rows(text):
    """What `ls` says: by name."""
    found = {}
    for line in text.splitlines():
        row = re.match(r"  (\S{10}) +(\d+) +(\d+) +(\d+) +(\d+(?:, +\d+)?) (\S+Z) (.*)", line)
        if row:
            mode, links, uid, gid, size, date, name = row.groups()
            found[name] = (mode, int(links), int(uid), int(gid), size.replace(" ", ""), date)
    return found


@test("files-initrd", packed=[False, True])
def initrd_unpacked(t, packed):
    """Two archives in a row, plain or the second of them packed: every file of them is there as it went in."""
    image = TREE + bytes(512) + (gzip.compress(MORE) if packed else MORE)
    guest = t.boot({"first.img": image}, cmdline="initrd=first.img", mem="128M")
    line = re.search(r"files: initrd: (\d+) entries, (\d+) bytes of contents, unpacked to / in \d+ ms; archives: (\d+), gzip members: (\d+)", guest.boot_text)
    check(line, f"nobody says that it is unpacked:\n{guest.boot_text[-2000:]}")
    check((line[1], line[3], line[4]) == ("16", "2", str(int(packed))), f"other counts than expected: {line[0]}")
    freed = re.search(r"files: initrd: its (\d+) KiB of memory are free", guest.boot_text)
    check(freed and int(freed[1]) == -(-len(image) // 4096) * 4, f"the image has {len(image)} bytes: {freed and freed[0]}")
    check("init: no program: none of" in guest.boot_text, "nobody says that there is no program in it")
    root, binaries = rows(guest.command("ls")), rows(guest.command("ls /bin"))
    for name, expected in {
        "bin": ("drwxr-xr-x", 2, 3, 4, None, DATE), "pipe": ("prw-r-----", 1, 0, 0, "0", DATE), "disk": ("brw-rw----", 1, 0, 0, "8,1", DATE),
        "sticky": ("drwxrwxrwt", 2, 0, 0, None, DATE), "big": ("-rw-r--r--", 1, 0, 0, str(len(BIG)), DATE), "tmp": ("drwxrwxrwt", 2, 0, 0, None, None),
    }.items():
        got = root.get(name)
        check(got and all(want in (None, had) for want, had in zip(expected, got)), f"/{name} is {got}, not {expected}")
    expected = {
        "su": ("-rwsr-xr-x", 1, 0, 5, "6", DATE), "sh -> su": ("lrwxrwxrwx", 1, 0, 0, "2", DATE),
        "one": ("-r--r--r--", 2, 0, 0, "5", DATE), "two": ("-r--r--r--", 2, 0, 0, "5", DATE),
    }
    check(binaries == expected, f"/bin has {binaries}")
    check(guest.command("cat /etc/motd").strip() == "the second archive wins", guest.command("cat /etc/motd"))
    check(guest.command("cat /sticky/theirs").strip() == "new", guest.command("cat /sticky/theirs"))
    check(guest.command("cat /bin/one").strip() == "twice", guest.command("cat /bin/one"))
    check(guest.command("cat /bin/sh").strip() == r"\x7fELF\x00\x01", guest.command("cat /bin/sh"))
    check(guest.command("cat /etc/empty").strip() == "", guest.command("cat /etc/empty"))
    said = guest.command("sum /big", timeout=60)
    check(f"{len(BIG)} bytes, CRC-32 {zlib.crc32(BIG):08x}" in said, f"/big is damaged: {said}")
    one, two = (re.search(r"inode (\d+) on 0:\d+, mode 100444", guest.command(f"stat /bin/{name}")) for name in ("one", "two"))
    check(one and two and one[1] == two[1], "two names of one file have two inodes")


FINE = entry("ok", 0o100644, b"fine")


def lying(field, value):
    """An archive whose second entry has another number in one field of its header than is true."""
    header = bytearray(entry("liar", 0o100644, b"1234"))
    header[6 + 8 * field:14 + 8 * field] = b"%08x" % value
    return FINE + bytes(header) + entry(cpio.TRAILER, 0)


BROKEN = {
    "truncated": (TREE[:-126], r'"sticky/theirs", byte \d+: the image ends in the middle of it'),
    "in-data": (archive(entry("a", 0o100644, b"x" * 100))[:180], r'"a", byte 0: the image ends in the middle of it'),
    "dotdot": (archive(entry("ok", 0o100644, b"fine"), entry("../x", 0o100644)), r'"\.\./x", byte \d+: name with'),
    "absolute": (archive(FINE, entry("/etc/x", 0o100644)), r'"/etc/x", byte \d+: absolute name'),
    "magic": (FINE + entry("liar", 0o100644).replace(b"070701", b"070709"), r'neither cpio nor gzip: "070709"'),
    "name-past-end": (lying(11, 4000), r'byte \d+: the image ends in the middle of it'),
    "size-wraps": (lying(6, 0xffff_fffe), r'"liar", byte \d+: the image ends in the middle of it'),
    "no-parent": (archive(entry("ok", 0o100644, b"fine"), entry("no/x", 0o100644)), r'"no/x", byte \d+: no such file or directory'),
    "xz": (b"\xfd7zXZ\0" + bytes(100), r"xz is not understood"),
    "too-much": (archive(entry("ok", 0o100644, b"fine")) + gzip.compress(archive(*(entry(f"z{n}", 0o100644, bytes(4 << 20)) for n in range(40)))),
                 r'"z\d+", unpacked byte \d+ \(gzip member at byte \d+\): no (?:space left|memory.*)'),
}


# One of each kind in every run; the rest of them differs from these in the parser alone, of which the host's tests have all.
@test("files-initrd-broken", level="matrix", how=["in-data", "dotdot", "magic", "xz"])
@test("files-initrd-broken", how=["truncated", "absolute", "name-past-end", "size-wraps", "no-parent", "too-much"])
def initrd_broken(t, how):
    """A damaged image, or one with more in it than there is memory, is refused by name; the machine goes on with what came before."""
    image, said = BROKEN[how]
    guest = t.boot({"first.img": image}, cmdline="initrd=first.img", mem="128M")
    check(re.search(rf"files: initrd: .*(?:{said}).*; what came before is unpacked", guest.boot_text), guest.boot_text[-1500:])
    check("null" in rows(guest.command("ls /dev")), "/dev is missing")
    if b"fine" in image:
        check(guest.command("cat /ok").strip() == "fine", guest.command("cat /ok"))


NODES = {"null": (3, "crw-rw-rw-"), "zero": (5, "crw-rw-rw-"), "full": (7, "crw-rw-rw-"), "random": (8, "crw-rw-rw-"),
         "urandom": (9, "crw-rw-rw-"), "kmsg": (11, "crw-r--r--")}


@test("files-dev")
def dev(t):
    """Linux's names, numbers and modes; each node is read and written."""
    guest = t.boot()
    check("files: tmpfs on / and /tmp" in guest.boot_text, guest.boot_text[-1500:])
    found = rows(guest.command("ls /dev"))
    for name, (minor, mode) in NODES.items():
        check(found[name][0] == mode and found[name][4] == f"1,{minor}", f"/dev/{name} is {found[name]}")
    for name, mode, numbers in (("ttyS0", "crw-rw----", "4,64"), ("console", "crw-------", "5,1"), ("ptmx", "crw-rw-rw-", "5,2"), ("tty", "crw-rw-rw-", "5,0")):
        check(found[name][0] == mode and found[name][4] == numbers, f"/dev/{name} is {found[name]}")
    check(found["shm"][0] == "drwxrwxrwt", f"/dev/shm is {found['shm']}")
    check(guest.command("cat /dev/null").strip() == "", "/dev/null has something in it")
    million = f"1000000 bytes, CRC-32 {zlib.crc32(bytes(1_000_000)):08x}"
    for name in ("zero", "full"):
        check(million in guest.command(f"sum /dev/{name} 1000000", timeout=60), f"/dev/{name} has other things than zeroes")
    sums = {guest.command(f"sum /dev/{name} 65537", timeout=60) for name in ("random", "urandom", "random", "urandom")}
    check(len(sums) == 4 and all("65537 bytes" in line for line in sums), f"not random: {sums}")
    for name in ("null", "zero", "random", "urandom"):
        check(guest.command(f"write /dev/{name} text").strip() == "", f"/dev/{name} takes nothing")
    check("no space left" in guest.command("write /dev/full text"), "/dev/full takes something")
    # The log, a record to a line, and a line more of our own.
    guest.command("write /dev/kmsg <3>marked by hand")
    shown = guest.command("cat /dev/kmsg 1000000", timeout=60).splitlines()
    check(all(re.fullmatch(r"[0-7],\d+,\d+,-;\S+: .*", line) for line in shown if line), f"other lines than records: {shown}")
    numbers = [int(line.split(",")[1]) for line in shown if line]
    check(numbers == list(range(len(numbers))) and len(numbers) > 10, f"records are missing: {numbers}")
    check(shown[-1].startswith("3,") and shown[-1].endswith(",-;user: marked by hand"), f"the last one is {shown[-1]}")
    check("user: marked by hand" in guest.command("dmesg"), "dmesg does not have it")


@test("files-commands")
def commands(t):
    """Files made, written, listed and removed, and what is refused, by Linux's words."""
    guest = t.boot()
    mounts = guest.command("mount")
    for line in (r"rootfs on / type tmpfs \(rw,relatime,mode=755,inode64\)", r"devtmpfs on /dev type devtmpfs \(rw,nosuid,relatime",
                 r"tmpfs on /tmp type tmpfs \(rw,nosuid,relatime"):
        check(re.search(line, mounts), f"no {line} in:\n{mounts}")

    def says(command, words):
        answer = guest.command(command).strip()
        check(answer == words, f"`{command}` says {answer!r}, not {words!r}")

    says("mkdir /tmp/a", "")
    says("mkdir /tmp/a", "/tmp/a: it exists already")
    says("write /tmp/a/x some   text", "")
    says("cat /tmp/a/x", "some   text")
    says("write tmp/a/../a/x shorter", "")
    says("cat /tmp/a/x", "shorter")
    says("sum /tmp/a/x", f"8 bytes, CRC-32 {zlib.crc32(b'shorter' + bytes([10])):08x}")
    check(guest.command("cat /tmp/a/x 5").split() == ["short", "(5", "bytes)"], "not the first five bytes")
    says("rm /tmp/a", "/tmp/a: a directory that is not empty")
    says("rm /tmp", "/tmp: in use")
    says("cat /tmp/a", "/tmp/a: a directory")
    says("cat /tmp/a/x/y", "/tmp/a/x/y: not a directory")
    says("ls /nowhere", "/nowhere: no such file or directory")
    says("rm /tmp/a/x", "")
    says("rm /tmp/a", "")
    says("stat /tmp/a", "/tmp/a: no such file or directory")
    check("is missing; usage: cat PATH [BYTES]" in guest.command("cat"), "no usage")
@test("files-selftest", level="matrix", smp=[1, 4])
@test("files-selftest", smp=[2])
def selftest(t, smp):
    """FIFOs between threads, files that threads share, devices in pieces of odd sizes; nothing is left behind."""
    answer = t.boot(smp=smp).command("selftest files", timeout=120)
    check("files: ok" in answer, answer)


@test("files-exercise", level="matrix", smp=[4])
def exercise(t, smp):
    """A million steps by four threads in one tree, and fewer on one file: every byte right, every frame back."""
    guest = t.boot(smp=smp, mem="512M", cmdline="exercise=1000000")
    answer = guest.command("selftest files-stress", timeout=3000)
    check("files-stress: ok" in answer and "1000000 steps on 4 CPUs" in answer, answer)
    answer = guest.command("selftest files-fsx", timeout=3000)
    check("files-fsx: ok" in answer, answer)


@test("files-disk", smp=[1, 4])
def on_a_disk(t, smp):
    """One file on a disk whose pages are written back and taken away meanwhile: every byte right, every frame back."""
    guest = t.boot(smp=smp)
    answer = guest.command("selftest files-disk", timeout=300)
    check("files-disk: ok" in answer and re.search(r"[1-9]\d* pages written, [1-9]\d* brought", answer), answer)


@test("files-large", smp=[2])
@test("files-large", level="matrix", smp=[1, 4])
def larger_than_memory(t, smp):
    """A file that is larger than the memory: who writes is held back, pages are given back, and all of it is right."""
    guest = t.boot(smp=smp, mem="128M")
    answer = guest.command("selftest files-large", timeout=600)
    check("files-large: ok" in answer, answer)


@test("files-exercise-short", smp=[4])
def exercise_short(t, smp):
    """The same for 20,000 steps; a cached walk takes no lock."""
    guest = t.boot(smp=smp, mem="512M")
    for name in ("fsx", "stress"):
        answer = guest.command(f"selftest files-{name}", timeout=300)
        check(f"files-{name}: ok" in answer, answer)
    answer = guest.command("selftest files-walk", timeout=120)
    check("files-walk: ok" in answer or "counts no locks" in answer, answer)
