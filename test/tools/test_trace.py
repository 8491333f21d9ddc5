"""Tests of trace.py: a dump with a log around it, what is drawn of it, and dumps that are damaged."""

import io
import json
import tempfile
import unittest
from contextlib import redirect_stdout

from tools import trace

DUMP = """\
[    1.000000] boot: something else
sis> trace
trace cpu 0 events 4 lost 0\r
 1000 switch 1 7 p
 1500 wake 9 1
 4000 switch 7 8 s
 5000 migrate 7 1
trace cpu 1 events 2 lost 3
 2500 switch 9 2 p
[    2.000000] a line in between
 6000 switch 2 9 s
sis>
"""


def rows(events, phase, cpu):
    return [event for event in events if event["ph"] == phase and event["tid"] == cpu]


class Reading(unittest.TestCase):
    def test_events_are_found_in_a_log(self):
        cpus = trace.read(DUMP.splitlines())
        self.assertEqual(cpus[0], (0, [(1000, "switch", 1, 7, "p"), (1500, "wake", 9, 1),
                                       (4000, "switch", 7, 8, "s"), (5000, "migrate", 7, 1)]))
        self.assertEqual(cpus[1], (3, [(2500, "switch", 9, 2, "p"), (6000, "switch", 2, 9, "s")]))

    def test_a_dump_that_is_cut_off_is_refused(self):
        for text in (DUMP[:DUMP.index(" 6000")], DUMP.replace(" 4000 switch", " 4000 swi")):
            with self.assertRaisesRegex(trace.Damaged, "1 events less"):
                trace.read(text.splitlines())

    def test_what_cannot_be_is_refused(self):
        for old, new, words in ((" 4000 switch 7", " 4000 switch 6", "7 runs at 4000 ns"), (" 4000", " 400", "time goes back")):
            with self.assertRaisesRegex(trace.Damaged, words):
                trace.convert(trace.read(DUMP.replace(old, new).splitlines()))


class Drawing(unittest.TestCase):
    def setUp(self):
        self.events = trace.convert(trace.read(DUMP.splitlines()), {7: "shell"})

    def test_each_cpu_has_its_threads_one_after_the_other(self):
        drawn = [(event["name"], event["ts"], event["dur"]) for event in rows(self.events, "X", 0)]
        self.assertEqual(drawn, [("thread 1", 1.0, 0.0), ("shell", 1.0, 3.0), ("thread 8", 4.0, 2.0)])
        # Three events are lost there: before the first that is left, nothing is known.
        drawn = [(event["name"], event["ts"], event["dur"]) for event in rows(self.events, "X", 1)]
        self.assertEqual(drawn, [("thread 9", 2.5, 0.0), ("thread 2", 2.5, 3.5), ("thread 9", 6.0, 0.0)])
        self.assertEqual(rows(self.events, "X", 0)[1]["args"]["until"], "it slept")

    def test_wake_ups_migrations_and_losses_are_marks(self):
        marks = [(event["name"], event["ts"], event.get("args")) for event in rows(self.events, "i", 0)]
        self.assertEqual(marks, [("wake thread 9", 1.5, {"to": 1}), ("migrate shell", 5.0, {"to": 1})])
        self.assertEqual([event["name"] for event in rows(self.events, "i", 1)], ["3 events lost"])

    def test_the_program_writes_json(self):
        with tempfile.NamedTemporaryFile("w") as dump:
            dump.write(DUMP)
            dump.flush()
            output = io.StringIO()
            with redirect_stdout(output):
                trace.main([dump.name])
        found = json.loads(output.getvalue())
        self.assertEqual(len(found["traceEvents"]), len(self.events))

    def test_a_file_without_a_trace_is_refused(self):
        with tempfile.NamedTemporaryFile("w") as empty, self.assertRaisesRegex(SystemExit, "no `trace cpu` line"):
            trace.main([empty.name])


if __name__ == "__main__":
    unittest.main()
