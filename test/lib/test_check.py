"""Each checker of `make check` is shown a small bad sample that it must complain of, and a good one that it must not."""

import struct
import unittest

from lib import checkers, doc_commands, image, layers
from lib.elfedit import EHDR_SIZE, PHDR_SIZE, PF_R, PF_W, PF_X, SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE
from lib.source import Tree, rust_code


class Rust(unittest.TestCase):
    def test_only_code_is_left_and_lines_keep_their_numbers(self):
        text = 'a // asm!\n/* x /* y */ asm!\n*/ b "asm! \\" // c" r#"asm!""# \'"\' d<\'e> \'\\n\' f\n'
        code = rust_code(text)
        self.assertEqual(code.count("\n"), text.count("\n"))
        self.assertNotIn("asm!", code)
        for word in ("a", "b", "d<'e>", "f"):
            self.assertIn(word, code)

    def test_unsafe_needs_its_argument(self):
        bad = Tree({"src/a.rs": "//! A.\nfn f() { unsafe { g() } }\n"})
        good = Tree({"src/a.rs": '//! unsafe { }\nfn f() {\n    // SAFETY: g has no conditions.\n    unsafe { g() }\n    let s = "unsafe {";\n}\n'})
        self.assertEqual(checkers.unsafe_argued(bad), ["src/a.rs:2: unsafe without // SAFETY:"])
        self.assertEqual(checkers.unsafe_argued(good), [])
        self.assertTrue(checkers.unsafe_argued(Tree({"src/a.rs": "//! A.\nunsafe impl Send for A {}\n"})))
        self.assertTrue(checkers.unsafe_argued(Tree({"src/a.rs": "//! A.\n/// Does.\npub unsafe fn f() {}\n"})))
        self.assertFalse(checkers.unsafe_argued(Tree({"src/a.rs": "//! A.\n/// # Safety\n/// None.\n#[inline]\npub unsafe fn f() {}\n"})))

    def test_privileged_names_stay_in_arch(self):
        for text in ('core::arch::asm!("hlt")', "let m = IA32_EFER;", "rdmsr(1)"):
            self.assertTrue(checkers.privileged_in_arch_only(Tree({"src/mm/a.rs": text})), text)
            self.assertFalse(checkers.privileged_in_arch_only(Tree({"src/arch/x86_64/a.rs": text})), text)
        self.assertFalse(checkers.privileged_in_arch_only(Tree({"src/mm/a.rs": "// asm! and IA32_EFER\nlet format = 1;"})))

    def test_one_machine_behind_the_trait(self):
        use = "use crate::platform::pc::clock;"
        self.assertTrue(checkers.one_machine_behind_the_trait(Tree({"src/tty/a.rs": use})))
        self.assertFalse(checkers.one_machine_behind_the_trait(Tree({"src/tty/a.rs": "// platform::pc\n", "src/monitor/a.rs": use})))


class Layers(unittest.TestCase):
    TABLE = [["boot"], ["arch"], ["log"], ["drivers"], ["boot::loader"]]

    def complaints(self, path, text, free=()):
        return layers.check(Tree({path: text}), self.TABLE, free)

    def test_upward_uses(self):
        for line in (
            "use crate::drivers::serial;",
            "use crate::{boot::info, drivers::serial::{A, B}};",
            "use crate::{\n    boot,\n    drivers,\n};",
            "fn f() { crate::drivers::g() }",
            "use super::drivers::serial as s;",
            "pub use crate::drivers::*;",
            "use crate::boot::loader::x;",
            "mod inner { use super::super::drivers; }",
        ):
            self.assertTrue(self.complaints("src/log/mod.rs", line), line)

    def test_the_line_is_named(self):
        found = self.complaints("src/log/ring.rs", "//! Ring.\nuse crate::{\n    boot::info,\n    drivers::serial,\n};\n")
        self.assertEqual(found, ["src/log/ring.rs:4: layer log uses crate::drivers::serial, which is above it"])

    def test_downward_and_sideways_uses(self):
        for line in (
            "use crate::arch::x86_64::port; use crate::boot::info::BootInfo;",
            "use self::ring::Ring; pub(crate) fn f() {}",
            "// use crate::drivers::serial\nlet s = \"crate::drivers\";",
            "use log::info; use core::fmt::{self, Write};",
            "mod inner { mod deep { use super::super::ring; } use super::drivers; }",
        ):
            self.assertEqual(self.complaints("src/log/mod.rs", line), [], line)
        self.assertEqual(self.complaints("src/boot/loader/mod.rs", "use crate::drivers; use super::elf;"), [])
        self.assertEqual(self.complaints("src/bin/kernel.rs", "use sis::drivers;"), [])

    def test_what_is_in_no_layer(self):
        self.assertTrue(self.complaints("src/novel/mod.rs", ""))
        self.assertTrue(self.complaints("src/arch/mod.rs", "use crate::novel::x;"))
        self.assertFalse(self.complaints("src/arch/mod.rs", "crate::println!()", ["println"]))


class Text(unittest.TestCase):
    def test_length(self):
        self.assertTrue(checkers.length(Tree({"src/a.rs": "x\n" * 701})))
        self.assertFalse(checkers.length(Tree({"src/a.rs": "x\n" * 700, "Cargo.lock": "x\n" * 900})))

    def test_left_open(self):
        for word in ("tod" + "o!()", "unimplemente" + "d!()", "// FIXM" + "E: x", "# XX" + "X"):
            self.assertEqual(len(checkers.left_open(Tree({"test/a.py": "\n" + word}))), 1, word)
        self.assertFalse(checkers.left_open(Tree({"src/a.rs": "let todos = XXXL;"})))

    def test_header(self):
        self.assertTrue(checkers.header(Tree({"src/a.rs": "use core::fmt;\n"})))
        self.assertTrue(checkers.header(Tree({"asm/a.S": "        .text\n"})))
        self.assertFalse(checkers.header(Tree({"src/a.rs": "//! A.\n", "asm/a.S": "/* a.S: A. */", "test/a.py": "#!/usr/bin/env python3\n"})))


class Assembly(unittest.TestCase):
    GOOD = "/* a.S */\n .globl f\n .type f, @function\nf: ret\n .size f, . - f\n .globl K\n .set K, 4\n"

    def test_symbols(self):
        self.assertEqual(checkers.asm_symbols(Tree({"asm/a.S": self.GOOD})), [])
        self.assertEqual(len(checkers.asm_symbols(Tree({"asm/a.S": self.GOOD.replace(".size", "//")}))), 1)
        self.assertEqual(len(checkers.asm_symbols(Tree({"asm/a.S": self.GOOD.replace(".type f", ".type g")}))), 1)

    def test_names_of_macros_are_the_arguments(self):
        macro = ".macro F name\n .globl \\name\n .type \\name, @function\n.endm\n"
        self.assertEqual(checkers.asm_symbols(Tree({"asm/a.h": macro})), ["asm/a.h:2: \\name has no .size"])


class Documents(unittest.TestCase):
    def test_paths(self):
        tree = {"src/a.rs": "//! See asm/b.S.\n", "asm/b.S": "", "docs/x.md": "`src/a.rs`, src/, asm/*.S. [b](../asm/b.S#top) [w](https://x.y/src/z)"}
        self.assertEqual(checkers.paths_exist(Tree(tree)), [])
        for path, text in (
            ("docs/x.md", "see src/gone.rs."),
            ("docs/x.md", "see asm/*.gone"),
            ("README.md", "[b](docs/gone.md)"),
            ("docs/x.md", "[b](asm/b.S)"),
            ("src/a.rs", "//! src/a/gone.rs"),
        ):
            self.assertTrue(checkers.paths_exist(Tree(tree | {path: text})), text)

    def test_reading_order(self):
        tree = {"src/a.rs": "", "asm/b.S": "", "docs/reading-order": "# Order\nsrc/a.rs  the start\nasm/b.S\n"}
        self.assertEqual(checkers.reading_order(Tree(tree)), [])
        self.assertEqual(len(checkers.reading_order(Tree(tree | {"src/c.rs": ""}))), 1)
        self.assertEqual(len(checkers.reading_order(Tree(tree | {"docs/reading-order": "src/a.rs\nasm/b.S\nsrc/d.rs\n"}))), 1)
        self.assertEqual(len(checkers.reading_order(Tree(tree | {"docs/reading-order": "src/a.rs\nasm/b.S\nsrc/a.rs\n"}))), 1)
        self.assertEqual(len(checkers.reading_order(Tree({"src/a.rs": ""}))), 1)

    def test_commands(self):
        text = "x\n```sh\n$ make run SMP=4   # four\n\nmake rum\n```\n```\nmake ram\n```\n"
        tree = Tree({"README.md": text})
        self.assertEqual(list(checkers.commands(tree)), [("README.md", 3, "make run SMP=4"), ("README.md", 5, "make rum")])
        self.assertEqual(len(checkers.commands_are_tested(tree, doc_commands.KNOWN)), 1)
        self.assertIn("README.md:5", checkers.commands_are_tested(tree, doc_commands.KNOWN)[0])

    def test_make_targets(self):
        good = "".join(f"{target}: all ## does\n\t@x\n" for target in "run gdb test matrix fuzz crash bench bochs check".split())
        self.assertEqual(checkers.make_help_is_complete(Tree({"Makefile": good})), [])
        self.assertEqual(len(checkers.make_help_is_complete(Tree({"Makefile": good.replace("bochs: all ##", "bochs: all #")}))), 1)


def elf_with(segment_flags, section_flags, frames=(), symbols=()):
    """A small ELF: one segment, one section called .x, and .debug_frame, .symtab, .strtab as asked for."""
    strings, table = b"\0", struct.pack("<IBBHQQ", 0, 0, 0, 0, 0, 0)
    for name, value, size, kind in symbols:
        table += struct.pack("<IBBHQQ", len(strings), 1 << 4 | kind, 0, 1, value, size)
        strings += name.encode() + b"\0"
    debug = struct.pack("<II", 8, 0xFFFFFFFF) + b"cie!"
    for start, end in frames:
        debug += struct.pack("<IIQQ", 20, 0, start, end - start)
    names = b"\0.x\0.debug_frame\0.symtab\0.strtab\0"
    blobs = [(".x", 1, section_flags, b"\xc3" * 16, 0), (".debug_frame", 1, 0, debug, 0), (".symtab", 2, 0, table, 4), (".strtab", 3, 0, strings, 0)]
    body, headers, at = b"", bytes(64), EHDR_SIZE + PHDR_SIZE
    for name, kind, flags, blob, link in blobs + [("", 3, 0, names, 0)]:
        place = names.index(name.encode() + b"\0") if name else 0
        headers += struct.pack("<IIQQQQIIQQ", place, kind, flags, 0, at + len(body), len(blob), link, 0, 1, 24 if kind == 2 else 0)
        body += blob
    head = struct.pack("<4sBBBB8xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 0, 2, 62, 1, 0, 64, at + len(body), 0, 64, 56, 1, 64, len(blobs) + 2, len(blobs) + 1)
    return head + struct.pack("<IIQQQQQQ", 1, segment_flags, at, 0x1000, 0x1000, 16, 16, 16) + body + headers


class Image(unittest.TestCase):
    def test_writable_and_executable(self):
        self.assertEqual(image.writable_and_executable(elf_with(PF_R | PF_X, SHF_ALLOC | SHF_EXECINSTR)), [])
        both = elf_with(PF_R | PF_W | PF_X, SHF_ALLOC | SHF_EXECINSTR | SHF_WRITE)
        self.assertEqual(image.writable_and_executable(both), ["segment 0", "section .x"])

    def test_pe(self):
        def pe(flags):
            head = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40) + b"PE\0\0"
            return head + struct.pack("<HHIIIHH", 0x8664, 1, 0, 0, 0, 0, 0) + b".text\0\0\0" + bytes(28) + struct.pack("<I", flags)

        self.assertEqual(image.pe_writable_and_executable(pe(0x6000_0020)), [])
        self.assertEqual(image.pe_writable_and_executable(pe(0xE000_0020)), ["section .text"])
        with self.assertRaises(ValueError):
            image.pe_writable_and_executable(bytes(64))

    def test_assembly_is_known_to_the_debugger(self):
        def complaints(frames, *symbols):
            return image.asm_in_debugger(elf_with(PF_R, 0, frames, symbols), {"f", "g_top"}, ("_top",))

        function, data = image.STT_FUNC, image.STT_OBJECT
        self.assertEqual(complaints([(0x1000, 0x1010)], ("f", 0x1000, 16, function), ("g_top", 0x2000, 0, data)), [])
        # Two descriptions with padding between them, and padding at the end.
        self.assertEqual(complaints([(0x1000, 0x100A), (0x1010, 0x101C)], ("f", 0x1000, 32, function)), [])
        self.assertEqual(complaints([], ("f", 0x1000, 16, function)), ["f has no call-frame information at +0x0"])
        self.assertEqual(complaints([(0x1000, 0x100A)], ("f", 0x1000, 64, function)), ["f has no call-frame information at +0xa"])
        self.assertEqual(complaints([], ("f", 0x1000, 0, image.STT_NOTYPE)), ["f has no type", "f has no size"])

    def test_static_dispatch(self):
        def complaints(*instructions):
            return image.not_static("00 <_3xy6timers5every>:\n" + "".join(f" 10:\t{text}\n" for text in instructions) + "\n", "6timers5every", "rdtsc")

        self.assertEqual(complaints("rdtsc", "call   80 <insert>"), [])
        self.assertEqual(complaints("call   80 <now>"), ["6timers5every has no rdtsc of its own"])
        self.assertEqual(complaints("rdtsc", "call   *0x18(%rax)"), ["6timers5every calls by pointer: call   *0x18(%rax)"])
        self.assertEqual(image.not_static("", "f", "rdtsc"), ["0 functions are called f"])


if __name__ == "__main__":
    unittest.main()
