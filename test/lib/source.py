"""The checkout as `check.py` sees it: its text files, and Rust without what is not code.

A `Tree` is a dictionary from path to text, so that a checker's own test can hand it a tree of three lines.
"""

import re
import subprocess
from pathlib import Path

TEXT = {".rs", ".S", ".h", ".c", ".ld", ".py", ".sh", ".md", ".toml", ".gdb", ".txt", ""}


class Tree(dict):
    """{path: text}, paths relative to the checkout with forward slashes."""

    @classmethod
    def of_checkout(cls, root):
        """What git tracks or would track; without git, everything but build/."""
        listed = subprocess.run(["git", "-C", str(root), "ls-files", "-zco", "--exclude-standard"], capture_output=True)
        if listed.returncode == 0:
            names = [name.decode() for name in listed.stdout.split(b"\0") if name]
        else:
            names = [str(path.relative_to(root)) for path in Path(root).rglob("*")]
            names = [name for name in names if not name.startswith(("build/", ".git/"))]
        tree = cls()
        for name in sorted(names):
            path = Path(root, name)
            if path.suffix in TEXT and path.is_file() and "__pycache__" not in path.parts:
                try:
                    tree[name] = path.read_text()
                except UnicodeDecodeError:
                    continue  # a binary without a suffix
        return tree

    def under(self, folder, *suffixes):
        """(path, text) of the files below a folder with one of the suffixes."""
        for path, text in self.items():
            if path.startswith(folder) and (not suffixes or path.endswith(suffixes)):
                yield path, text

    def exists(self, path):
        """Whether a file or a folder of the tree has this path; `*` stands for any part of a name."""
        path = path.rstrip("/")
        if "*" in path:
            pattern = re.compile("[^/]*".join(map(re.escape, path.split("*"))))
            return any(pattern.fullmatch(name) for name in self)
        return path in self or any(name.startswith(path + "/") for name in self)


_NOT_CODE = re.compile(
    r"""
      (?P<comment> //[^\n]* )
    | (?P<block> /\* )
    | (?P<raw> \b[bc]?r(?P<hashes>\#*)" )
    | (?P<string> [bc]?"(?:[^"\\]|\\.)*" )
    | (?P<char> b?'(?:[^'\\\n]|\\(?:x[0-9a-fA-F]{2}|u\{[0-9a-fA-F_]+\}|.))' )
    """,
    re.VERBOSE | re.DOTALL,
)


def _blank(text):
    """As many blanks as there were characters, on the same lines."""
    return re.sub(r"[^\n]", " ", text)


def rust_code(text, keep_comments=False):
    """Rust source with comments (unless kept), strings and characters blanked out; every line keeps its number."""
    out, at = [], 0
    while match := _NOT_CODE.search(text, at):
        out.append(text[at:match.start()])
        end = match.end()
        if match["block"]:
            depth = 1
            while depth and (inner := re.compile(r"/\*|\*/").search(text, end)):
                depth += 1 if inner.group() == "/*" else -1
                end = inner.end()
            end = end if not depth else len(text)
        elif match["raw"]:
            close = text.find('"' + match["hashes"], end)
            end = len(text) if close < 0 else close + 1 + len(match["hashes"])
        piece = text[match.start():end]
        comment = match["comment"] or match["block"]
        out.append(piece if comment and keep_comments else _blank(piece))
        at = end
    out.append(text[at:])
    return "".join(out)


def line_of(text, position):
    """The number of the line that holds the character at `position`, from 1."""
    return text.count("\n", 0, position) + 1
