"""Tests of the harness itself: what picks combinations, reads pictures and damages ELF files. No machine is booted."""

import struct
import unittest
from itertools import product as cartesian

from lib import elfedit
from lib.elfedit import Elf
from lib.guest import PROMPT_RE, plain
from lib.pairwise import all_pairs, pairs_of, product
from lib.screen import CELL_H, CELL_W, Picture


class Pairwise(unittest.TestCase):
    FACTORS = {"a": [1, 2], "b": ["x", "y", "z"], "c": [True, False], "d": list("pqrs")}

    def test_every_pair_occurs(self):
        covered = set().union(*map(pairs_of, all_pairs(self.FACTORS)))
        for (one, ones), (other, others) in cartesian(self.FACTORS.items(), repeat=2):
            for pair in cartesian(ones, others) if one < other else ():
                self.assertIn(((one, pair[0]), (other, pair[1])), covered)

    def test_far_fewer_than_all_and_always_the_same(self):
        rows = all_pairs(self.FACTORS)
        self.assertLessEqual(len(rows), 15)
        self.assertEqual(len(product(self.FACTORS)), 48)
        self.assertEqual(rows, all_pairs(self.FACTORS))

    def test_forbidden_combinations_do_not_occur(self):
        rows = all_pairs(self.FACTORS, lambda row: not (row["a"] == 1 and row["b"] == "x"))
        self.assertNotIn((1, "x"), [(row["a"], row["b"]) for row in rows])
        self.assertIn((2, "x"), [(row["a"], row["b"]) for row in rows])

    def test_no_factors_is_one_row(self):
        self.assertEqual(all_pairs({}), [{}])


def small_elf():
    """A header, one segment of 16 bytes at 0x1000, file offset 0x80."""
    head = struct.pack("<4sBBBB8xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 0, 2, 62, 1, 0x1000, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    segment = struct.pack("<IIQQQQQQ", elfedit.PT_LOAD, 5, 0x80, 0x1000, 0x1000, 16, 32, 0x1000)
    return Elf((head + segment).ljust(0x80, b"\0") + bytes(range(16)))


class ElfEditing(unittest.TestCase):
    def test_fields_lie_where_the_abi_says(self):
        elf = small_elf()
        self.assertEqual((elf.header["e_machine"], elf.header["e_phnum"], elf.header["e_entry"]), (62, 1, 0x1000))
        self.assertEqual((elf.loads[0]["p_vaddr"], elf.loads[0]["p_filesz"]), (0x1000, 16))
        elf.set(e_machine=3).set_segment(0, p_memsz=1 << 63)
        self.assertEqual((elf.header["e_machine"], elf.segments[0]["p_memsz"]), (3, 1 << 63))
        self.assertEqual(elf.header["e_phnum"], 1)

    def test_patch_goes_by_address_and_refuses_others(self):
        elf = small_elf().patch(0x1004, b"\x0f\x0b")
        self.assertEqual(bytes(elf)[0x84:0x86], b"\x0f\x0b")
        for address in (0xFFF, 0x100F, 0x2000):
            with self.assertRaises(KeyError):
                elf.patch(address, b"\x0f\x0b")


def picture_of(lines, columns):
    """A picture with one made-up glyph a character, as a text console would draw it."""
    pixels = bytearray()
    for line in lines:
        for y in range(CELL_H):
            for char in line.ljust(columns):
                ink = 0 if char == " " else (ord(char) * 2654435761 >> y) & 0x7E
                for x in range(CELL_W):
                    pixels += b"\xff\xff\xff" if ink >> (7 - x) & 1 else b"\x10\x20\x30"
    return Picture(columns * CELL_W, len(lines) * CELL_H, bytes(pixels))


class Screen(unittest.TestCase):
    def test_text_is_read_by_a_known_row(self):
        picture = picture_of(["feed a bad cab", "Z", "", "abcdef"], 20)
        self.assertEqual(picture.text(picture.learn("abcdef")), ["feed a bad cab", "?", "", "abcdef"])

    def test_a_row_that_is_not_there_is_not_found(self):
        self.assertIsNone(picture_of(["feed", "abcdeff"], 20).learn("abcdef"))
        self.assertIsNone(picture_of(["", ""], 20).learn("abcdef"))

    def test_ppm_with_a_comment_and_png_of_it(self):
        picture = Picture.from_ppm(b"P6\n# made by hand\n2 1\n255\n" + bytes([1, 2, 3, 4, 5, 6]))
        self.assertEqual((picture.width, picture.height, picture.pixels), (2, 1, bytes([1, 2, 3, 4, 5, 6])))
        png = picture.to_png()
        self.assertTrue(png.startswith(b"\x89PNG\r\n\x1a\n"))
        self.assertEqual(struct.unpack(">II", png[16:24]), (2, 1))
        self.assertEqual(png, picture.to_png())
        with self.assertRaises(ValueError):
            Picture.from_ppm(b"P5\n1 1\n255\n\0")


class Serial(unittest.TestCase):
    def test_the_prompt_counts_only_at_the_start_of_a_line(self):
        self.assertTrue(PROMPT_RE.search("\r\nsis> "))
        self.assertTrue(PROMPT_RE.search("x\n\r\x1b[Ksis> "))
        self.assertFalse(PROMPT_RE.search("say sis> "))
        self.assertFalse(PROMPT_RE.search("x\rsis> "))

    def test_escape_sequences_are_no_text(self):
        self.assertEqual(plain("\x1b[2J\x1b[01;01Ha\r\n\x1b[0mb"), "a\nb")


if __name__ == "__main__":
    unittest.main()
