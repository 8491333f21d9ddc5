"""The recorder of terminals: its language, and that the committed recordings are those of the committed tables."""

import sys
import unittest
from pathlib import Path

TOOLS = Path(__file__).resolve().parent
sys.path.insert(0, str(TOOLS))
sys.path.insert(0, str(TOOLS.parent))

import tty_record  # noqa: E402
from lib.tty_words import parse_bytes, parse_char, show_bytes  # noqa: E402


class Language(unittest.TestCase):
    def test_bytes_both_ways(self):
        data = parse_bytes('"a\\n\\x80\\"\\\\" 20*"x" "\\e"')
        self.assertEqual(data, b'a\n\x80"\\' + 20 * b"x" + b"\x1b")
        self.assertEqual(parse_bytes(show_bytes(data)), data)
        self.assertEqual(show_bytes(b""), '""')

    def test_characters(self):
        self.assertEqual([parse_char(text) for text in ("^H", "^?", "off", "q", "ff")], [b"\b", b"\x7f", b"\0", b"q", b"\xff"])

    def test_braces_are_choices(self):
        cases = tty_record.cases_of('[a]\n  set {x,-x} {y,z}\n  type {"1","2\\n"} "q"\n')
        self.assertEqual(len(cases), 8)
        self.assertEqual(cases[0], ["[a/1]", "  set x y", '  type "1" "q"'])
        self.assertEqual(cases[7], ["[a/8]", "  set -x z", '  type "2\\n" "q"'])

    def test_a_name_is_there_once(self):
        with self.assertRaises(SystemExit):
            tty_record.cases_of("[a]\n[a]\n")


class Recordings(unittest.TestCase):
    def test_they_are_of_these_tables(self):
        for table in tty_record.TABLES:
            cases = tty_record.cases_of((tty_record.DATA / f"{table}.cases").read_text())
            recorded = (tty_record.DATA / f"{table}.recorded").read_text().splitlines()
            steps = [line for line in recorded if not line.startswith("  > ")]
            self.assertEqual([line for case in cases for line in case], steps, f"{table}: record it again")

    @unittest.skipUnless(Path("/dev/ptmx").exists(), "no pseudo-terminals here")
    def test_the_recorder_still_sees_it(self):
        """A few cases that no Linux does otherwise, on this one."""
        recorded = (tty_record.DATA / "n_tty.recorded").read_text().split("\n[")
        wanted = [case for case in recorded if case.startswith(("a-line]", "eof-in-mid-line]", "the-line-of-the-chapter]"))]
        self.assertEqual(len(wanted), 3)
        cases = [["[" + case.splitlines()[0]] + [line for line in case.splitlines()[1:] if not line.startswith("  > ")] for case in wanted]
        self.assertEqual(tty_record.record_all(cases), "".join(f"[{case}\n" for case in wanted))


if __name__ == "__main__":
    unittest.main()
