"""The initrd as distributions make it: a large tree, packed on this host by Debian's cpio and by bsdcpio, and what became of it."""

import gzip
import os
import re
import shutil
import stat
import struct
import subprocess
import zlib

from lib.guest import SLOW
from lib.harness import Skip, check, test

# 20,000 files, half of them in one directory, of which every tenth is a symbolic link and another tenth links to one file.
DIRECTORIES = [(f"tree/dir-{number}", 200) for number in range(50)] + [("tree/wide", 10_000)]
LARGE = 64 << 20
DEEP = "/".join(["d" * 200] * 15)
TIME = 1_234_567_890
BOOT_TIMEOUT = 240
COMMANDS = {"cpio": ["cpio", "--quiet", "-o", "-H", "newc"], "bsdcpio": ["bsdcpio", "--quiet", "-o", "-H", "newc"]}


def plant(top):
    """Makes the tree, and returns the names of two archives that together have all of it; what is in both is in the second."""
    first, second = ["tree"], []
    os.makedirs(top / "tree")
    for number, (directory, files) in enumerate(DIRECTORIES):
        os.mkdir(top / directory)
        first.append(directory)
        for count in range(files):
            name = f"{directory}/file-{count}"
            if count % 10 == 8:
                os.symlink(f"file-{count - 1}", top / name)
            elif count % 10 == 9 and count > 9:
                os.link(top / directory / "file-9", top / name)
            else:
                (top / name).write_bytes(b"%d," % number * (count % 200))
                os.chmod(top / name, 0o640 + count % 8)
            first.append(name)
    parts = ["tree"]
    for part in DEEP.split("/"):
        parts.append(part)
        os.mkdir(top / "/".join(parts))
        second.append("/".join(parts))
    (top / f"tree/{DEEP}/{'n' * 255}").write_text("far down\n")
    (top / "tree/empty").touch()
    # No two pages alike, and yet quickly made and packed.
    piece = b"".join(zlib.crc32(b"%d" % number).to_bytes(4, "little") for number in range(5003))
    (top / "tree/large").write_bytes((piece * (LARGE // len(piece) + 1))[:LARGE])
    os.chmod(top / "tree/large", 0o4711)
    second += [f"tree/{DEEP}/{'n' * 255}", "tree/empty", "tree/large", "tree/dir-0/file-1"]
    for folder, directories, names in os.walk(top, topdown=False):
        for name in directories + names:
            os.utime(os.path.join(folder, name), (TIME, TIME + len(name)), follow_symlinks=False)
    return first, second


def pack(by, top, names):
    """The archive that a program makes of these names."""
    if not shutil.which(COMMANDS[by][0]):
        raise Skip(f"{by} is not installed (test/tools/setup.sh test)")
    listed = "".join(f"{name}\n" for name in names).encode()
    return subprocess.run(COMMANDS[by], cwd=top, input=listed, stdout=subprocess.PIPE, check=True).stdout


def tree_sum(top):
    """(entries, bytes, CRC-32) of a tree: the same walk as that of src/monitor/commands/files/tree.rs."""
    crc = entries = length = 0

    def walk(name, path):
        nonlocal crc, entries, length
        about = os.lstat(path)
        entries += 1
        said = name + b"\0" + struct.pack("<IIIq", about.st_mode, about.st_uid, about.st_gid, int(about.st_mtime))
        if stat.S_ISDIR(about.st_mode):
            crc = zlib.crc32(said, crc)
            for child in sorted(os.listdir(path)):
                walk(name + b"/" + child if name else child, os.path.join(path, child))
            return
        said += struct.pack("<IQ", about.st_nlink, about.st_size)
        if stat.S_ISLNK(about.st_mode):
            said += os.readlink(path)
        else:
            with open(path, "rb") as file:
                contents = file.read()
            length += len(contents)
            said += contents
        crc = zlib.crc32(said, crc)

    walk(b"", os.fsencode(top))
    return entries, length, crc


@test("initramfs-made", by=["cpio"], packed=[False])
@test("initramfs-made", by=["bsdcpio"], packed=[True])
@test("initramfs-made", level="matrix", by=["cpio"], packed=[True])
@test("initramfs-made", level="matrix", by=["bsdcpio"], packed=[False])
def made_by_other_programs(t, by, packed):
    """20,000 files with links, long names, an empty and a 64 MiB file, in two archives in a row: all there, by one sum over the tree."""
    top = t.directory / "root"
    shutil.rmtree(top, ignore_errors=True)
    os.mkdir(top)
    first, second = plant(top)
    # What the first archive says of a file that the second has too is no longer so.
    again = top / "tree/dir-0/file-1"
    right, mode = again.read_bytes(), again.stat().st_mode
    again.write_bytes(b"an older version, and a longer one")
    image = pack(by, top, first)
    again.write_bytes(right)
    os.chmod(again, mode)
    os.utime(again, (TIME, TIME))
    more = pack(by, top, second)
    image += bytes(512) + (gzip.compress(more, 1) if packed else more)
    wanted = tree_sum(top / "tree")
    shutil.rmtree(top)
    guest = t.boot({"made.img": image}, cmdline="initrd=made.img monitor", timeout=BOOT_TIMEOUT * SLOW)
    line = re.search(r"files: initrd: (\d+) entries, (\d+) bytes of contents, unpacked to / in (\d+) ms; archives: (\d+), gzip members: (\d+)", guest.boot_text)
    check(line, f"nobody says that it is unpacked:\n{guest.boot_text[-2000:]}")
    check(int(line[1]) == len(first) + len(second) and (line[4], line[5]) == ("2", str(int(packed))), f"other counts than expected: {line[0]}")
    said = guest.command("sum /tree", timeout=BOOT_TIMEOUT * SLOW)
    entries, length, crc = wanted
    check(f"{entries} entries, {length} bytes, CRC-32 {crc:08x}" in said, f"the tree is {said.strip()}, not {wanted[:2]} with {crc:08x}")
