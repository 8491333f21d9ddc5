"""gendocs.py on sources and documents of three lines: it reads tables, sees what is stale, and never loses a part."""

import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent))
import gendocs  # noqa: E402

COMMANDS = '''
pub const TABLE: &[Command] = &[
    command("echo", "TEXT", "print the text", "As typed.\\nSays \\"no\\" to nothing", text::echo),
    Command { takes_suffix: true, ..command("x", "", "examine", "Memory.", memory::examine) },
];
'''


class Gendocs(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        patch = mock.patch.object(gendocs, "ROOT", self.root)
        patch.start()
        self.addCleanup(patch.stop)

    def write(self, path, text):
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def test_commands(self):
        self.write("src/monitor/commands/mod.rs", COMMANDS)
        self.assertEqual(gendocs.commands().splitlines(), [
            "- **`echo TEXT`**: print the text.", "  As typed.", '  Says "no" to nothing.',
            "- **`x`**: examine.", "  Memory."])

    def test_options_say_who_reads_them(self):
        self.write("src/boot/cmdline/options.rs", "pub const KNOWN_OPTIONS: &[KnownOption] = &[\n"
                   '    value("root", "DEVICE", "root disk"),\n    bare("ro", "read-only"),\n'
                   '    either("selftest", "NAME,...", "run tests"),\n];\n')
        self.write("src/boot/cmdline/mod.rs", 'self.last("ro")')
        self.write("src/start.rs", 'options.root(); live::root(); options.flag("selftest")')
        self.assertEqual(gendocs.options().splitlines(), [
            "- **`root=DEVICE`**: root disk.", "  Read by `src/start.rs`.",
            "- **`ro`**: read-only.", "  Not read yet.",
            "- **`selftest[=NAME,...]`**: run tests.", "  Read by `src/start.rs`."])

    def test_a_table_that_is_gone_or_there_twice_or_empty_is_an_error(self):
        self.write("src/monitor/a.rs", "")
        self.assertRaises(gendocs.GendocsError, gendocs.commands)
        self.write("src/monitor/a.rs", "pub const TABLE: &[Command] = &[\n];\n")
        self.assertRaises(gendocs.GendocsError, gendocs.commands)
        self.write("src/monitor/a.rs", COMMANDS)
        gendocs.commands()
        self.write("src/monitor/b.rs", COMMANDS)
        self.assertRaises(gendocs.GendocsError, gendocs.commands)

    def test_stale_parts_are_seen_and_named_by_line(self):
        self.write("src/monitor/a.rs", COMMANDS)
        stale = []
        text = "# A\n\n<!-- generated: commands -->\nold\n<!-- end -->\n\nby hand\n"
        fresh = gendocs.renew("a.md", text, {}, stale)
        self.assertEqual(stale, ["a.md:3: the part 'commands' is stale"])
        self.assertIn("by hand", fresh)
        self.assertNotIn("old", fresh)
        stale.clear()
        self.assertEqual(gendocs.renew("a.md", fresh, {}, stale), fresh)
        self.assertEqual(stale, [])

    def test_an_unknown_part_is_an_error(self):
        with self.assertRaises(gendocs.GendocsError):
            gendocs.renew("a.md", "<!-- generated: poems -->\n<!-- end -->\n", {}, [])


if __name__ == "__main__":
    unittest.main()
