"""The table of what programs pay, and where the probe goes in an EFI program."""

import struct
import unittest

from lib import speed


def figures(ours, linux):
    row = {"ours": ours, "linux": linux, "without_erms": linux, "ours_ns": 1.0, "linux_ns": linux}
    return {"rows": {name: dict(row) for name in speed.ROWS}, "entry": {"ours": 5e6, "linux": linux and 6e9, "linux_clock": linux and 2e9},
            "kernel": "vmlinuz" if linux else None}


class Tables(unittest.TestCase):
    def test_a_row_that_is_slower_is_marked(self):
        told = figures(40, 100)
        lines, good = speed.table(told)
        self.assertTrue(good)
        self.assertNotIn("MISSED", "\n".join(lines))
        told["rows"]["stat"]["ours"] = 101
        lines, good = speed.table(told)
        self.assertFalse(good)
        self.assertEqual([line.split(":")[0] for line in lines if "MISSED" in line], ["stat"])

    def test_the_mean_has_an_aim_of_its_own(self):
        lines, good = speed.table(figures(51, 100))
        self.assertFalse(good)
        self.assertEqual([line.split(" of")[0] for line in lines if "MISSED" in line], ["geometric mean"])
        self.assertAlmostEqual(speed.mean_ratio(figures(51, 100)["rows"]), 0.51)

    def test_the_way_to_init_has_one_too(self):
        told = figures(40, 100)
        told["entry"]["ours"] = 2e8
        self.assertFalse(speed.table(told)[1])

    def test_without_linux_ours_are_there(self):
        lines, good = speed.table(figures(40, None))
        self.assertTrue(good)
        self.assertIn("cannot be had", lines[-1])


class Probes(unittest.TestCase):
    def test_it_is_where_the_entry_is(self):
        image = bytearray(0x400)
        struct.pack_into("<I", image, 0x3C, 0x80)
        struct.pack_into("<HH", image, 0x80 + 6, 1, 0)
        struct.pack_into("<H", image, 0x80 + 20, 0x20)
        struct.pack_into("<I", image, 0x80 + 24 + 16, 0x1010)
        # One section: 0x200 bytes at 0x1000, from 0x200 in the file.
        struct.pack_into("<IIII", image, 0x80 + 24 + 0x20 + 8, 0x200, 0x1000, 0x200, 0x200)
        self.assertEqual(speed.with_probe_pe(image)[0x210:0x210 + len(speed.PROBE)], speed.PROBE)
        struct.pack_into("<I", image, 0x80 + 24 + 16, 0x1200)
        with self.assertRaises(RuntimeError):
            speed.with_probe_pe(image)
