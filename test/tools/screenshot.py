#!/usr/bin/env python3
"""`make screenshot`: boots into the shell of `make run`, types a few commands, and writes what its screen shows to docs/screenshot.png.

The picture in README.md is made by this and by nothing else. The machine and the commands are fixed, so a new
picture differs from the last one only where the kernel does (and in its time stamps). The PNG is our own (screen.py):
a picture needs no library.
"""

import sys
import tempfile
from pathlib import Path

TEST = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TEST))

from lib import build  # noqa: E402
from lib.guest import Guest  # noqa: E402
from tools import mkesp, qemu  # noqa: E402

# What fits on 1024x768 and shows what runs there; of the log only what went wrong.
CMDLINE = "initrd=initramfs.img console=tty0 console=ttyS0 loglevel=3 video=1024x768"
COMMANDS = ["uname -a", "ls /", "sleep 1000 | cat &", "ps", "bash --version | head -n 1", "seq 1 1000 | sort -rn | head -n 3", "free -m",
            "head -n 8 /proc/interrupts"]
PROMPT = "~ # "


def main():
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else build.ROOT / "docs" / "screenshot.png"
    with tempfile.TemporaryDirectory(prefix="sis-shot-") as folder:
        image = Path(folder, "esp.img")
        mkesp.make_image(image, {
            "EFI/BOOT/BOOTX64.EFI": build.RELEASE.loader.read_bytes(),
            "kernel.elf": build.RELEASE.stripped.read_bytes(),
            "initramfs.img": (build.ROOT / "build" / "initramfs.img").read_bytes(),
            "cmdline.txt": (CMDLINE + "\n").encode(),
        })
        guest = Guest(qemu.Machine(disk=image, serial=["test"], accel="tcg"), Path(folder))
        try:
            guest.expect(PROMPT, timeout=60)
            for command in COMMANDS:
                guest.send(command + "\n")
                guest.expect(PROMPT)
            # The kernel paints when it has nothing else to do: a picture like the one before is the last.
            seen = []
            picture = guest.screendump(until=lambda picture: seen.append(picture.pixels) or picture.pixels in seen[-2:-1])
        finally:
            guest.kill()
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(picture.to_png())
    print(f"{target}: {picture.width}x{picture.height}")


if __name__ == "__main__":
    main()
