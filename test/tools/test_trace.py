"""Tests of trace.py: a dump with a log around it, what is drawn of it, and dumps that are damaged."""

import io
import json
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree
from contextlib import redirect_stdout

from tools import trace

DUMP = """\
[    1.000000] boot: something else
sis> trace
trace cpu 0 events 5 lost 0\r
 1000 switch 1 7 p
 1500 wake 9 1
 1600 start 8 0
 4000 switch 7 8 s
 5000 migrate 7 1
trace cpu 1 events 2 lost 3
 2500 switch 9 2 p
[    2.000000] a line in between
 6000 switch 2 9 s
trace names 2
 name 7 the shell
[    3.000000] and one more
 name 2 idle/1
sis>
"""


def rows(events, phase, cpu):
    return [event for event in events if event["ph"] == phase and event["tid"] == cpu]


class Reading(unittest.TestCase):
    def test_events_are_found_in_a_log(self):
        cpus, names = trace.read(DUMP.splitlines())
        self.assertEqual(names, {7: "the shell", 2: "idle/1"})
        self.assertEqual(cpus[0], (0, [(1000, "switch", 1, 7, "p"), (1500, "wake", 9, 1), (1600, "start", 8, 0),
                                       (4000, "switch", 7, 8, "s"), (5000, "migrate", 7, 1)]))
        self.assertEqual(cpus[1], (3, [(2500, "switch", 9, 2, "p"), (6000, "switch", 2, 9, "s")]))

    def test_a_dump_that_is_cut_off_is_refused(self):
        for text in (DUMP[:DUMP.index(" 6000")], DUMP.replace(" 4000 switch", " 4000 swi"), DUMP.replace(" name 2", " nam2")):
            with self.assertRaisesRegex(trace.Damaged, "1 lines less"):
                trace.read(text.splitlines())

    def test_the_last_of_several_dumps_counts(self):
        cpus, names = trace.read((DUMP + "trace cpu 0 events 1 lost 0\n 7000 wake 3 0\ntrace names 1\n name 3 late\n").splitlines())
        self.assertEqual((cpus, names), ({0: (0, [(7000, "wake", 3, 0)])}, {3: "late"}))

    def test_what_cannot_be_is_refused(self):
        for old, new, words in ((" 4000 switch 7", " 4000 switch 6", "7 runs at 4000 ns"), (" 4000", " 400", "time goes back")):
            with self.assertRaisesRegex(trace.Damaged, words):
                trace.convert(trace.read(DUMP.replace(old, new).splitlines())[0])

    def test_who_sleeps_is_woken_before_it_runs(self):
        dump = """trace cpu 0 events 3 lost 0
 10 switch 5 0 s
 20 wake 5 1
 30 switch 0 6 p
trace cpu 1 events 1 lost 0
 20 switch 1 5 p"""
        trace.check(trace.read(dump.splitlines())[0])
        for worse in (dump.replace("20 wake 5 1", "21 wake 5 1"), dump.replace("wake 5", "wake 4")):
            with self.assertRaisesRegex(trace.Damaged, "thread 5 sleeps at 10 ns and runs at 20 ns"):
                trace.check(trace.read(worse.splitlines())[0])
        with self.assertRaisesRegex(trace.Damaged, "thread 5 runs at 20 ns on CPU 1, and was put on CPU 2"):
            trace.check(trace.read(dump.replace("wake 5 1", "wake 5 2").splitlines())[0])
        # What may be among what is lost is not missed.
        trace.check(trace.read(dump.replace("wake 5", "wake 4").replace("1 events 1 lost 0", "1 events 1 lost 2").splitlines())[0])


class Drawing(unittest.TestCase):
    def setUp(self):
        self.events = trace.convert(trace.read(DUMP.splitlines())[0], {7: "shell"})

    def test_each_cpu_has_its_threads_one_after_the_other(self):
        drawn = [(event["name"], event["ts"], event["dur"]) for event in rows(self.events, "X", 0)]
        self.assertEqual(drawn, [("thread 1", 1.0, 0.0), ("shell", 1.0, 3.0), ("thread 8", 4.0, 2.0)])
        # Three events are lost there: before the first that is left, nothing is known.
        drawn = [(event["name"], event["ts"], event["dur"]) for event in rows(self.events, "X", 1)]
        self.assertEqual(drawn, [("thread 9", 2.5, 0.0), ("thread 2", 2.5, 3.5), ("thread 9", 6.0, 0.0)])
        self.assertEqual(rows(self.events, "X", 0)[1]["args"]["until"], "it slept")

    def test_wake_ups_migrations_and_losses_are_marks(self):
        marks = [(event["name"], event["ts"], event.get("args")) for event in rows(self.events, "i", 0)]
        self.assertEqual(marks, [("wake thread 9", 1.5, {"thread": 9, "to": 1}),
                                 ("start thread 8", 1.6, {"thread": 8, "to": 0}),
                                 ("migrate shell", 5.0, {"thread": 7, "to": 1})])
        self.assertEqual([event["name"] for event in rows(self.events, "i", 1)], ["3 events lost"])

    def output(self, *options):
        with tempfile.NamedTemporaryFile("w") as dump:
            dump.write(DUMP)
            dump.flush()
            output = io.StringIO()
            with redirect_stdout(output):
                trace.main([*options, dump.name])
        return output.getvalue()

    def test_the_program_writes_json(self):
        found = json.loads(self.output())
        self.assertEqual(len(found["traceEvents"]), len(self.events))
        self.assertIn("the shell", [event["name"] for event in found["traceEvents"]])

    def test_the_program_draws(self):
        picture = ElementTree.fromstring(self.output("--svg"))
        space = "{http://www.w3.org/2000/svg}"
        bars = [bar for bar in picture.iter(f"{space}rect") if bar.get("height") == str(trace.HEIGHT)]
        # 840 pixels for 5 us: the shell from 0 to 3, thread 8 up to the end; below, from what is left of the events on.
        drawn = [(float(bar.get("x")), float(bar.get("width"))) for bar in bars]
        self.assertEqual(drawn, [(50, 504), (554, 336), (302, 588)])
        self.assertEqual([bar.get("class") for bar in bars], [None, None, "i"])
        self.assertIn("the shell", [text.text for text in picture.iter(f"{space}text")])
        arrows = [path.get("d") for path in picture.iter(f"{space}path") if path.get("class") == "m"]
        self.assertEqual(arrows, ["M134.0 34V60", "M150.8 1V8", "M722.0 34V60"])

    def test_a_part_is_drawn(self):
        picture = self.output("--svg", "--from", "0.003", "--to", "0.004")
        self.assertIn('x="50.0" y="8" width="840.0"', picture)
        with self.assertRaisesRegex(SystemExit, "no time"):
            self.output("--svg", "--from", "0.5")

    def test_a_file_without_a_trace_is_refused(self):
        with tempfile.NamedTemporaryFile("w") as empty, self.assertRaisesRegex(SystemExit, "no `trace cpu` line"):
            trace.main([empty.name])


if __name__ == "__main__":
    unittest.main()
