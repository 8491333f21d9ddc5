"""The terminal's screen: what bytes make of it, and what it answers."""

import unittest

from lib.vt import Screen


def shown(text, rows=5, columns=10):
    screen = Screen(rows, columns)
    screen.feed(text)
    return screen


class Vt(unittest.TestCase):
    def test_text_wraps_and_scrolls(self):
        screen = shown("0123456789ab\r\nc")
        self.assertEqual(screen.lines, ["0123456789", "ab", "c", "", ""])
        screen = shown("1\r\n2\r\n3\r\n4\r\n5\r\n6")
        self.assertEqual((screen.lines, screen.scrolled), (["2", "3", "4", "5", "6"], 1))

    def test_the_last_column_wraps_with_the_next_character_only(self):
        screen = shown("0123456789")
        self.assertEqual((screen.row, screen.column), (0, 9))
        screen.feed("\r\nx")
        self.assertEqual(screen.lines[:2], ["0123456789", "x"])

    def test_control_characters(self):
        screen = shown("ab\bc\td\a\0")
        self.assertEqual((screen.line, screen.column), ("ac      d", 9))
        self.assertEqual(shown("\b\b").column, 0)

    def test_the_cursor_goes_and_stays_on_the_screen(self):
        screen = shown("\x1b[3;4Hx\x1b[Ay\x1b[2D\x1b[Bz")
        self.assertEqual(screen.lines, ["", "    y", "   z", "", ""])
        screen.feed("\x1b[99;99H")
        self.assertEqual((screen.row, screen.column), (4, 9))
        screen.feed("\x1b[99A\x1b[99D")
        self.assertEqual((screen.row, screen.column), (0, 0))
        screen.feed("\x1b[3G\x1b[2d")
        self.assertEqual((screen.row, screen.column), (1, 2))

    def test_erasing(self):
        full = "aaaaaaaaaa" * 5 + "\x1b[3;5H"
        a, left, right = "a" * 10, " " * 5 + "a" * 5, "a" * 4
        for code, lines in [("\x1b[J", [a, a, right, "", ""]), ("\x1b[1J", ["", "", left, a, a]), ("\x1b[2J", [""] * 5),
                            ("\x1b[K", [a, a, right, a, a]), ("\x1b[1K", [a, a, left, a, a]), ("\x1b[2K", [a, a, "", a, a]),
                            ("\x1b[2X", [a, a, "aaaa  aaaa", a, a])]:
            self.assertEqual(shown(full + code).lines, lines, code)

    def test_characters_and_lines_come_and_go(self):
        self.assertEqual(shown("abcdef\x1b[1;3H\x1b[2P").line, "abef")
        self.assertEqual(shown("abcdef\x1b[1;3H\x1b[2@").line, "ab  cdef")
        five = "1\r\n2\r\n3\r\n4\r\n5\x1b[2;1H"
        self.assertEqual(shown(five + "\x1b[L").lines, ["1", "", "2", "3", "4"])
        self.assertEqual(shown(five + "\x1b[2M").lines, ["1", "4", "5", "", ""])
        self.assertEqual(shown(five + "\x1b[9M").lines, ["1", "", "", "", ""])

    def test_a_region_scrolls_alone(self):
        five = "1\r\n2\r\n3\r\n4\r\n5\x1b[2;4r"
        self.assertEqual(shown(five + "\x1b[4;1H\n").lines, ["1", "3", "4", "", "5"])
        self.assertEqual(shown(five + "\x1b[2;1H\x1bM").lines, ["1", "", "2", "3", "5"])
        self.assertEqual(shown(five + "\x1b[5;1H\n").lines, ["1", "2", "3", "4", "5"])

    def test_the_other_screen_gives_this_one_back(self):
        screen = shown("here\x1b[?1049hthere")
        self.assertEqual(screen.lines[0], "    there")
        screen.feed("\x1b[?1049l")
        self.assertEqual((screen.line, screen.column), ("here", 4))

    def test_a_saved_place(self):
        self.assertEqual(shown("ab\x1b7\x1b[5;5H\x1b8c").line, "abc")

    def test_answers(self):
        screen = Screen(24, 80)
        self.assertEqual(screen.feed("ab\x1b[6n\x1b[999;999H\x1b[6n"), "\x1b[1;3R\x1b[24;80R")

    def test_any_pieces(self):
        text = "one\x1b[2;3Htwo\x1b[6n\x1b[1;31mred\x1b[0m\x1b[?25l\x1b(B"
        whole, pieces = Screen(), Screen()
        answer = whole.feed(text)
        self.assertEqual("".join(map(pieces.feed, text)), answer)
        self.assertEqual(pieces.lines, whole.lines)
        self.assertEqual(whole.unknown | pieces.unknown, set())

    def test_what_is_not_known_is_kept(self):
        self.assertEqual(shown("\x1b[5yx\x1b[?7777h").unknown, {"\x1b[5y", "\x1b[?7777h"})


if __name__ == "__main__":
    unittest.main()
