"""Which module may use which: the check behind DESIGN.md's table of layers.

A path `crate::a::b` (in a `use`, however nested, or in the middle of code; `super::` and `self::` are resolved,
and a binary's `sis::` counts as `crate::`) must lead to the same layer or a lower one. The table itself stands at the
top of check.py.
"""

import re

from lib.source import line_of, rust_code

_PATH = re.compile(r"\b(crate|sis|super|self)((?:\s*::\s*[A-Za-z_]\w*)*)(\s*::\s*[{*])?")


def module_of(path):
    """src/a/b.rs and src/a/b/mod.rs are ("a", "b"); the crate's root is ()."""
    parts = path.removeprefix("src/").removesuffix(".rs").split("/")
    if parts[-1] in ("mod", "lib"):
        parts.pop()
    return tuple(parts)


def _group(text, at):
    """The pieces of a use group, `text[at]` being behind its brace: (position, piece); nested braces stay whole."""
    depth, start = 0, at
    for position in range(at, len(text)):
        char = text[position]
        if char == "{":
            depth += 1
        elif char == "}" and depth:
            depth -= 1
        elif char in ",}" and not depth:
            yield start, text[start:position]
            start = position + 1
            if char == "}":
                return


def _expand(text, at, prefix):
    """All paths of a use group as (position, path)."""
    for position, piece in _group(text, at):
        names = re.match(r"\s*((?:[A-Za-z_]\w*\s*::\s*)*)([A-Za-z_]\w*|\*)?\s*(\{)?", piece)
        path = prefix + tuple(re.findall(r"\w+", names[1] + (names[2] or "")))
        if names[3]:
            yield from _expand(text, position + names.end(), path)
        elif path != prefix:
            yield position + names.start(1), path


def _inline_modules(code):
    """(start, end, name) of every `mod name { ... }` in a file."""
    for match in re.finditer(r"\bmod\s+(\w+)\s*\{", code):
        depth, end = 1, match.end()
        while depth and (brace := re.compile(r"[{}]").search(code, end)):
            depth += 1 if brace.group() == "{" else -1
            end = brace.end()
        yield match.end(), end, match[1]


def uses(path, text):
    """(line, module path) of everything in this crate that a file names."""
    code, file_module = rust_code(text), module_of(path)
    inline = list(_inline_modules(code))
    in_binary = path.startswith("src/bin/")
    for match in _PATH.finditer(code):
        before = code[:match.start()].rstrip()
        if before.endswith("::") or (match[1] == "sis" and not in_binary):
            continue
        names = tuple(re.findall(r"\w+", match[2]))
        if not match[2] and not match[3]:
            continue  # `self`, `pub(crate)`
        module = file_module + tuple(name for start, end, name in inline if start <= match.start() < end)
        base = () if match[1] in ("crate", "sis") else module
        if match[1] == "super":
            base = module[:-1]
            while names and names[0] == "super":
                base, names = base[:-1], names[1:]
        if match[3] and "{" in match[3]:
            for position, found in _expand(code, match.end(), base + names):
                yield line_of(code, position), found
        else:
            yield line_of(code, match.start()), base + names


def layer_of(module, layers):
    """The number of the layer that holds a module path, by the longest prefix in the table; None if no layer does."""
    for length in range(len(module), 0, -1):
        name = "::".join(module[:length])
        for number, names in enumerate(layers):
            if name in names:
                return number
    return None


def check(tree, layers, free=()):
    """One line for each use of a higher layer. `free` are names at the crate's root that any layer may use."""
    problems = []
    for path, text in tree.under("src/", ".rs"):
        module = module_of(path)
        if not module or path.startswith("src/bin/"):
            continue  # the library's list of modules and the two programs stand on top of everything
        own = layer_of(module, layers)
        if own is None:
            problems.append(f"{path}:1: module {'::'.join(module)} is in no layer (the table is in test/check.py)")
            continue
        for line, used in sorted(set(uses(path, text))):
            if not used or used[0] in free:
                continue
            below = layer_of(used, layers)
            if below is None:
                if used[0] not in {name.split("::")[0] for names in layers for name in names}:
                    problems.append(f"{path}:{line}: crate::{'::'.join(used)} is in no layer (the table is in test/check.py)")
            elif below > own:
                problems.append(f"{path}:{line}: layer {'/'.join(layers[own])} uses crate::{'::'.join(used)}, which is above it")
    return problems
