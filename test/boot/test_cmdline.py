"""\\cmdline.txt in every state a disk can have it in: the machine boots, and the loader says what was wrong."""

import random
import re

from lib.harness import check, test

MARK = "marker=found"  # an option that bootinfo must show where the file could be read

# What is on the disk, whether its options still count, and what the loader must say (None: nothing).
STATES = {
    "missing": (None, False, "EFI_NOT_FOUND|not there"),
    "empty": (b"", False, None),
    "plain": (f"{MARK}\n".encode(), True, None),
    "crlf": (f"{MARK}\r\n".encode(), True, None),
    "no-newline": (MARK.encode(), True, None),
    "utf8-bom": (b"\xef\xbb\xbf" + f"{MARK}\n".encode(), True, None),
    "utf16": (f"{MARK}\n".encode("utf-16"), True, "UTF-16"),
    "utf16-be": (b"\xfe\xff" + f"{MARK}\n".encode("utf-16-be"), True, "UTF-16"),
    "64k": ((f"{MARK} " + "filler=" * 9400)[:65536].encode(), True, "longer than"),
    "binary": (random.Random(1).randbytes(4096), False, "not text"),
    "zeroes": (bytes(512), False, "not text"),
    "two-lines": (f"{MARK}\nother=line\n".encode(), True, "only the first counts"),
}


IN_EVERY_RUN = ["missing", "crlf", "utf8-bom", "utf16", "64k", "binary"]


@test("cmdline", state=IN_EVERY_RUN)
@test("cmdline", level="matrix", state=[state for state in STATES if state not in IN_EVERY_RUN])
def cmdline(t, state):
    content, counts, warning = STATES[state]
    guest = t.boot({"cmdline.txt": content})
    warnings = [line for line in guest.boot_text.splitlines() if line.startswith("loader: warning:")]
    if warning:
        about = [line for line in warnings if "cmdline.txt" in line and re.search(warning, line)]
        check(about, f"no warning that says {warning!r}; the warnings are {warnings}")
    else:
        check(not warnings, f"warnings without a reason: {warnings}")
    shown = guest.command("bootinfo")
    check((MARK in shown) == counts, f"bootinfo {'does not show' if counts else 'shows'} {MARK}:\n{shown}")
    check("other=line" not in shown, "the second line counts as well")
