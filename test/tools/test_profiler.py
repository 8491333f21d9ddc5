"""Tests of profiler.py: what it reads off QEMU's log and addr2line's answers, and what it makes of both."""

import io
import unittest

from tools import profiler

LOG = b"""\
Trace 0: 0x7f1b2c000100 [0000000000000000/ffffffff80001000/0x4b0/00000000] yields
Trace 1: 0x7f1b2c000140 [0000000000000000/ffffffff80001004/0x4b0/00000000]
cpu_io_recompile: rewound execution of TB to ffffffff80001004
Trace 0: 0x7f1b2c000100 [0000000000000000/ffffffff80001000/0x4b0/00000000] yields
Trace 0: 0x7f1b2c000180 [0000000000000000/0000000000401000/0x4b0/00000000]
"""

ANSWER = """\
0xffffffff80001000
<core::sync::atomic::AtomicU64>::load
/usr/lib/rustlib/src/rust/library/core/src/sync/atomic.rs:2700 (discriminator 1)
<sis::time::clock::Clock>::now_ns::<sis::platform::pc::clock::chips::Chips>
/home/me/tree/src/time/clock.rs:182
sis::task::schedule::yield_now
/home/me/tree/src/task/schedule.rs:301 (discriminator 2)
0xffffffff80001004
switch_stacks
/home/me/tree/asm/switch.S:30
0x401000
??
??:0
"""


class Profiler(unittest.TestCase):
    def test_addresses_are_counted_however_the_log_is_cut(self):
        wanted = {0xffffffff80001000: 2, 0xffffffff80001004: 1, 0x401000: 1}
        for chunk in (1, 7, 64, 10_000):
            self.assertEqual(profiler.count_addresses(io.BytesIO(LOG).read, chunk), wanted, chunk)
        self.assertEqual(profiler.count_addresses(io.BytesIO(LOG.rstrip(b"\n")).read), wanted)

    def test_names_are_short_and_say_where(self):
        for function, place, wanted in (
                ("<sis::time::clock::Clock>::now_ns::<sis::x::Y<u8>>", "/a/src/time/clock.rs:1", "clock::now_ns"),
                ("<sis::sync::Lock<T> as core::ops::Drop>::drop", "/a/src/sync/spin_lock.rs:1", "spin_lock::drop"),
                ("sis::kernel::bench::per_operation::<F>::{closure#1}", "/a/src/kernel/bench.rs:9", "bench::per_operation {}"),
                ("sis::mm::frame::take::h0123456789abcdef", "/a/src/mm/frame/mod.rs:9", "frame::take"),
                ("switch_stacks", "/a/asm/switch.S:9", "switch::switch_stacks"),
                ("??", "??:0", "??")):
            self.assertEqual(profiler.short(function, place), wanted)

    def test_the_librarys_instructions_are_their_callers(self):
        chains = profiler.parse_addr2line(ANSWER)
        self.assertEqual([len(chain) for chain in chains.values()], [3, 1, 1])
        counts = {0xffffffff80001000: 2000, 0xffffffff80001004: 1000, 0x401000: 5}
        own, inclusive, lines = profiler.profile(counts, chains)
        self.assertEqual(own, {"clock::now_ns": 2000, "switch::switch_stacks": 1000, "(program)": 5})
        self.assertEqual(inclusive["schedule::yield_now"], 2000)
        self.assertEqual(lines, {"src/time/clock.rs:182": 2000, "asm/switch.S:30": 1000, "?": 5})


if __name__ == "__main__":
    unittest.main()
