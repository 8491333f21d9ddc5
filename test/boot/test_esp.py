"""The disk image: made reproducibly, and its files replaceable with mtools through either view of it."""

import shutil
import subprocess

from lib.build import RELEASE, ROOT
from lib.harness import Skip, check, test
from tools import mkesp


@test("esp-reproducible")
def reproducible(t):
    """The same input gives the same bytes, whatever the order of the files and the time of day."""
    files = {"EFI/BOOT/BOOTX64.EFI": RELEASE.loader.read_bytes(), "kernel.elf": RELEASE.stripped.read_bytes(), "cmdline.txt": b"a\n"}
    mkesp.make_image(t.directory / "one.img", files)
    mkesp.make_image(t.directory / "two.img", dict(reversed(files.items())))
    one, two = ((t.directory / name).read_bytes() for name in ("one.img", "two.img"))
    check(one == two, "two images of the same files differ")
    mkesp.make_image(t.directory / "two.img", files | {"cmdline.txt": b"b\n"})
    check(one != (t.directory / "two.img").read_bytes(), "another command line changed nothing")


@test("esp-build-is-reproducible")
def build_reproducible(t):
    """The image that make built is the one that its files give."""
    again = t.directory / "again.img"
    files = mkesp.read_image(RELEASE.image)
    # Where Debian's busybox cannot be had, there is no initramfs.
    initramfs = [f"initramfs.img={ROOT}/build/initramfs.img"] if "initramfs.img" in files else []
    expected = {"efi/boot/bootx64.efi", "kernel.elf", "cmdline.txt"} | ({"initramfs.img"} if initramfs else set())
    check({name.lower() for name in files} == expected, f"on the ESP: {sorted(files)}")
    check(files["kernel.elf"] == RELEASE.stripped.read_bytes(), "the ESP's kernel.elf is not kernel.stripped.elf")
    subprocess.run(["python3", ROOT / "test/tools/mkesp.py", "-o", again, f"EFI/BOOT/BOOTX64.EFI={RELEASE.loader}",
                    f"kernel.elf={RELEASE.stripped}", *initramfs, f"cmdline.txt=:{files['cmdline.txt'].decode().rstrip()}"], check=True)
    check(again.read_bytes() == RELEASE.image.read_bytes(), "build/esp.img is not what its files give")


@test("mtools", view=["whole-disk", "partition"])
def mtools(t, view):
    """A command line put there with mcopy, through the whole-disk view and through the partition, is the one that boots."""
    if not shutil.which("mcopy"):
        raise Skip("mtools is not installed")
    offset = {"whole-disk": "", "partition": "@@1M"}[view]
    disk, line = t.directory / "copy.img", t.directory / "cmdline.txt"
    shutil.copyfile(RELEASE.image, disk)
    line.write_text(f"console=ttyS0 put-there-by=mcopy-{view}\n")
    subprocess.run(["mcopy", "-o", "-i", f"{disk}{offset}", line, "::/cmdline.txt"], check=True, capture_output=True)
    guest = t.boot(disk=disk)
    shown = guest.command("bootinfo")
    check(f"put-there-by=mcopy-{view}" in shown, f"bootinfo does not show the command line:\n{shown}")
