#!/usr/bin/env python3
"""Makes the tree of files that `make run` boots into: build/initramfs.img, a cpio archive ("newc").

In it are Debian's static busybox and bash, as they are, a link for each of busybox's applets, and a few lines of our own:
/init, which greets, and what a shell and its user expect in /etc. The programs are taken from this machine if it has
static ones, else fetched with apt into build/packages and unpacked there; they are never committed. Where neither is
possible it says so and makes nothing: then `make run` ends at the monitor.

The archive is computed here, byte by byte: the same programs give the same bytes, and no root is needed for devices and
owners.
"""

import argparse
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile

ROOT_DIR = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT_DIR / "test"))
from tools import cpio  # noqa: E402

FETCHED = ROOT_DIR / "build" / "packages"
# The date of every file: 2025-01-01 00:00:00 UTC.
EPOCH = 1735689600
DIRECTORY, REGULAR, LINK = 0o040000, 0o100000, 0o120000

INIT = """#!/bin/sh
# The first process. It begins a shell; when that ends, so does this, and the kernel's monitor comes. The shell is a
# process of its own because nobody could continue a job whose parent is the first process.
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root TERM="${TERM:-vt100}" ENV=/etc/profile
hostname sis
cat /etc/motd
cd "$HOME"
/bin/sh
exit $?
"""

MOTD = """\
SIS: Debian's busybox and bash, as they are, on a kernel that was written to be read.
Try: ls /bin; ps; top; cat /proc/interrupts; vi /etc/motd; bash; sleep 100 and ^C or ^Z.
`exit` leads to the kernel's own monitor, `poweroff` turns the machine off.
"""

PROFILE = """\
alias poweroff='busybox poweroff -f' reboot='busybox reboot -f' ll='ls -l'
PS1='\\w \\$ '
"""

FILES = {
    "init": (INIT, 0o755),
    "etc/motd": (MOTD, 0o644),
    "etc/profile": (PROFILE, 0o644),
    "etc/passwd": ("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n", 0o644),
    "etc/group": ("root:x:0:\ntty:x:5:\ndialout:x:20:\nnogroup:x:65534:\n", 0o644),
    "etc/hostname": ("sis\n", 0o644),
    "root/.profile": (PROFILE, 0o644),
}
DIRECTORIES = {"bin": 0o755, "sbin": 0o755, "dev": 0o755, "etc": 0o755, "proc": 0o555, "root": 0o700, "tmp": 0o1777,
               "usr": 0o755, "usr/bin": 0o755, "usr/sbin": 0o755, "var": 0o755, "var/tmp": 0o1777}


def is_static(path):
    """Whether a file is an ELF program for this machine that needs no interpreter."""
    try:
        with open(path, "rb") as file:
            head = file.read(64)
            if head[:5] != b"\x7fELF\x02" or struct.unpack_from("<H", head, 18)[0] != 62:
                return False
            offset, size, count = struct.unpack_from("<Q", head, 32)[0], *struct.unpack_from("<HH", head, 54)
            file.seek(offset)
            table = file.read(size * count)
    except OSError:
        return False
    return all(struct.unpack_from("<I", table, n * size)[0] != 3 for n in range(count))


def fetch(package, within):
    """The program of a Debian package, fetched without being installed, or None."""
    place = FETCHED / package
    found = place / within
    if found.exists():
        return found
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        return None
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for attempt in (["apt-get", "download", package], ["apt-get", "update", "-q"], ["apt-get", "download", package]):
        subprocess.run(attempt, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        for archive in place.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", archive.name, "."], cwd=place, check=True)
            return found if found.exists() else None
    return None


def linux():
    """Debian's Linux for this machine, as a file that can be booted, or None. For tests: what it does is what is right.

    `linux-image-amd64` holds nothing and depends on the version of the day; of that package, 70 MB and more, the kernel
    alone is kept.
    """
    place = FETCHED / "linux-image-amd64"
    for found in place.glob("vmlinuz-*"):
        return found
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb") and shutil.which("tar")):
        return None

    def current():
        listed = subprocess.run(["apt-cache", "depends", "linux-image-amd64"], capture_output=True, text=True, check=False).stdout
        names = [line.split()[-1] for line in listed.splitlines() if "Depends: linux-image-" in line]
        return names[0] if names else None

    with tempfile.TemporaryDirectory(dir=_made(FETCHED)) as folder:
        for update in (False, True):
            if update:
                subprocess.run(["apt-get", "update", "-q"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
            if package := current():
                subprocess.run(["apt-get", "download", package], cwd=folder, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, check=False)
            for archive in pathlib.Path(folder).glob("*.deb"):
                with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE) as files:
                    subprocess.run(["tar", "-x", "-C", folder, "--wildcards", "./boot/vmlinuz-*"], stdin=files.stdout, check=True)
                for kernel in pathlib.Path(folder).glob("boot/vmlinuz-*"):
                    return kernel.rename(_made(place) / kernel.name)
    return None


def _made(directory):
    """The directory, which is there from now on."""
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def program(names, package, within):
    """A static program: one of `names` on this machine, or the package's. None if there is neither."""
    for name in names:
        path = shutil.which(name)
        if path and is_static(path):
            return pathlib.Path(path)
    return fetch(package, within)


def make(busybox, bash, more=None):
    """The archive, with these programs in it; `more` adds files: name to (bytes, mode)."""
    archive = cpio.Archive(EPOCH)
    directories, files = dict(DIRECTORIES), {name: (text.encode(), mode) for name, (text, mode) in FILES.items()}
    files |= more or {}
    for name in files:
        for parent in list(pathlib.PurePosixPath(name).parents)[:-1]:
            directories.setdefault(str(parent), 0o755)
    for name, mode in sorted(directories.items()):
        archive.add(name, DIRECTORY | mode, links=2)
    for name, (body, mode) in sorted(files.items()):
        archive.add(name, REGULAR | mode, body)
    archive.add("bin/busybox", REGULAR | 0o755, busybox.read_bytes())
    if bash:
        archive.add("bin/bash", REGULAR | 0o755, bash.read_bytes())
    applets = subprocess.run([busybox, "--list-full"], capture_output=True, text=True, check=True).stdout.split()
    for applet in sorted(set(applets)):
        if applet not in ("bin/busybox", "bin/bash"):
            archive.add(applet, LINK | 0o777, b"/bin/busybox")
    return archive.end()


def programs():
    """busybox and bash, or None for what cannot be had."""
    busybox = program(["busybox"], "busybox-static", "bin/busybox")
    bash = program(["bash-static"], "bash-static", "bin/bash-static")
    return busybox, bash


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", dest="output", required=True, type=pathlib.Path)
    output = parser.parse_args().output
    busybox, bash = programs()
    if busybox is None:
        print("initramfs: no static busybox here, and none to be fetched (Debian: busybox-static); `make run` ends at the monitor",
              file=sys.stderr)
        output.write_bytes(b"")
        return 0
    output.write_bytes(make(busybox, bash))
    return 0


if __name__ == "__main__":
    sys.exit(main())
