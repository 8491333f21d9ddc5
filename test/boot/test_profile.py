"""`make profile`: where a row of the benchmarks spends its instructions."""

import re

from lib import build
from lib.guest import SLOW
from lib.harness import check, test


@test("profile", alone=True, level="matrix")
def profile(t):
    """The rows of a profile come to what the row itself is, and name the functions that it is about."""
    t.machine()  # skips where there is no firmware
    text = build.make("profile", "BENCH=yield", timeout=600 * SLOW).stdout
    (t.directory / "profile.log").write_text(text)
    figure = float(re.search(r"^yield: ([\d.]+) ticks", text, re.MULTILINE)[1]) / 8
    total = float(re.search(r"^instructions for each of 1,000 operations: ([\d.,]+)", text, re.MULTILINE)[1].replace(",", ""))
    # Both threads' switches, and the loops around them.
    check(2 * figure <= total <= 2 * figure + 20, f"one switch takes {figure}, and the profile has {total} of two:\n{text}")
    rows = {name: (float(own), float(all_in)) for own, all_in, name in re.findall(r"^ +([\d.]+) +([\d.]+)  (.+)$", text, re.MULTILINE)}
    check(abs(sum(own for own, _ in rows.values()) - total) < 10, f"the rows do not come to the sum:\n{text}")
    # Six registers go, six come, and it returns.
    check(sum(rows[f"switch::{name}"][0] for name in ("switch_stacks", "switch_landing")) == 30, f"the exchange of stacks:\n{text}")
    own, all_in = rows["schedule::yield_now"]
    check(own < all_in and all_in > total * 0.8, f"yield_now has {own} itself and {all_in} in all:\n{text}")
