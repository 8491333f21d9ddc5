"""The archive that `make run` boots into, as cpio reads it."""

import pathlib
import subprocess
import tempfile
import unittest

from tools import initramfs


class Archives(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.here = pathlib.Path(self.directory.name)
        # A program that lists two applets, as busybox does.
        self.busybox = self.here / "busybox"
        self.busybox.write_text("#!/bin/sh\nprintf 'bin/ls\\nsbin/init\\nbin/busybox\\n'\n")
        self.busybox.chmod(0o755)

    def tearDown(self):
        self.directory.cleanup()

    def test_cpio_finds_everything(self):
        image = initramfs.make(self.busybox, None, {"opt/deep/file": (b"abc", 0o600)})
        listed = subprocess.run(["cpio", "-tv", "--quiet"], input=image, capture_output=True, check=True).stdout.decode()
        names = [line.split()[8] for line in listed.splitlines()]
        self.assertEqual(len(names), len(set(names)))
        for name in ("init", "bin/busybox", "bin/ls", "sbin/init", "etc/passwd", "opt", "opt/deep", "opt/deep/file", "dev"):
            self.assertIn(name, names)
        self.assertIn("bin/ls -> /bin/busybox", listed)
        self.assertTrue(any(line.startswith("drwxrwxrwt") and line.endswith(" tmp") for line in listed.splitlines()))
        self.assertNotIn("bin/bash", names)

    def test_the_same_gives_the_same(self):
        self.assertEqual(initramfs.make(self.busybox, None), initramfs.make(self.busybox, None))

    def test_only_static_programs_will_do(self):
        self.assertFalse(initramfs.is_static(self.busybox))
        self.assertFalse(initramfs.is_static(self.here / "nothing"))
        head = bytearray(b"\x7fELF\x02\x01\x01" + bytes(57))
        head[18:20], head[32:40] = (62).to_bytes(2, "little"), (64).to_bytes(8, "little")
        head[54:58] = (56).to_bytes(2, "little") + (1).to_bytes(2, "little")
        for kind, expected in ((1, True), (3, False)):
            program = self.here / f"program{kind}"
            program.write_bytes(bytes(head) + kind.to_bytes(4, "little") + bytes(52))
            self.assertEqual(initramfs.is_static(program), expected)


if __name__ == "__main__":
    unittest.main()
