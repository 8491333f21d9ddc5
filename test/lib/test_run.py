"""Tests of the test run itself: what counts as passed, failed and skipped, and that nothing is lost on the way."""

import contextlib
import io
import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace

import run
from lib import build, harness
from tools import qemu


class Summaries(unittest.TestCase):
    def test_cargo(self):
        line = "test result: {}. {} passed; {} failed; {} ignored; 0 measured; 0 filtered out; finished in 0.01s\n"
        self.assertEqual(run.cargo_summary("x\n" + line.format("ok", 3, 0, 1) + line.format("FAILED", 2, 4, 0)), (5, 4, 1))
        self.assertEqual(run.cargo_summary("error: could not compile"), (0, 0, 0))

    def test_unittest(self):
        self.assertEqual(run.unittest_summary("Ran 7 tests in 0.1s\n\nOK\n"), (7, 0, 0))
        self.assertEqual(run.unittest_summary("Ran 7 tests in 0.1s\n\nFAILED (failures=1, errors=2, skipped=1)\n"), (3, 3, 1))
        self.assertEqual(run.unittest_summary("Traceback"), (0, 0, 0))

    def test_a_fuzzer_that_tried_too_little_has_failed(self):
        line = "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s\n"
        for said, failed in (("acpi fuzz: 1000 mutated tables, seed 4\n", 0), ("acpi fuzz: 999 mutated tables\n", 1), ("", 1)):
            with contextlib.redirect_stdout(io.StringIO()):
                self.assertEqual(run.fuzz_summary(1000)(said + line), (2, failed, 0), said)

    def test_a_host_run_that_tests_nothing_or_breaks_off_has_failed(self):
        for command in ("true", "echo 'test result: ok. 3 passed; 0 failed; 0 ignored'; false"):
            count = run.Count()
            self.quietly(run.host_tests, count, "x", ["sh", "-c", command], run.cargo_summary)
            self.assertEqual(count.failed, 1, command)

    def quietly(self, function, *arguments):
        with contextlib.redirect_stdout(io.StringIO()):
            function(*arguments)


class Outcomes(unittest.TestCase):
    def outcome(self, function, **values):
        declared = harness.Declared("name", function, {}, None, "test", False)
        with tempfile.TemporaryDirectory() as folder:
            was, build.BUILD = build.BUILD, Path(folder)
            try:
                return harness.run(harness.Case(declared, values), None)
            finally:
                build.BUILD = was

    def test_pass_fail_skip_and_a_broken_test(self):
        def fails(t):
            harness.check(1 > 2, "one is not more than two")

        def skips(t):
            raise harness.Skip("no such machine")

        def breaks(t):
            [][1]

        self.assertEqual(self.outcome(lambda t: None).outcome, "passed")
        self.assertIn("one is not more than two", self.outcome(fails).reason)
        self.assertEqual(self.outcome(fails).outcome, "failed")
        self.assertEqual((self.outcome(skips).outcome, self.outcome(skips).reason), ("skipped", "no such machine"))
        self.assertEqual(self.outcome(breaks).outcome, "failed")
        self.assertIn("IndexError", self.outcome(breaks).reason)

    def test_firmware_that_is_not_installed_skips(self):
        was, qemu.find_firmware = qemu.find_firmware, lambda kind="auto": None
        try:
            result = self.outcome(lambda t: t.machine(firmware="2m"))
        finally:
            qemu.find_firmware = was
        self.assertEqual(result.outcome, "skipped")
        self.assertIn("2 MiB", result.reason)

    def test_what_a_guest_did_wrong_fails_a_test_that_saw_nothing(self):
        def guest(**wrong):
            good = {"status": 0, "kill": lambda: None, "triple_fault": lambda: False, "resets": lambda: [],
                    "why_ended": lambda: "", "process": SimpleNamespace(poll=lambda: None, returncode=None),
                    "serial_log": "", "text": "", "by_hand": lambda: ""}
            return SimpleNamespace(**(good | wrong))

        self.assertEqual(self.outcome(lambda t: t.guests.append(guest())).outcome, "passed")
        for wrong in (
            {"triple_fault": lambda: True},
            {"resets": lambda: [{"data": {"reason": "guest-reset"}}]},
            {"status": None, "process": SimpleNamespace(poll=lambda: 1, returncode=1)},
        ):
            self.assertEqual(self.outcome(lambda t: t.guests.append(guest(**wrong))).outcome, "failed", wrong)


class Selection(unittest.TestCase):
    def test_levels(self):
        was, harness.REGISTERED[:] = list(harness.REGISTERED), []
        try:
            factors = {"a": [1, 2], "b": [1, 2], "c": [1, 2]}
            harness.test("one", **factors)(None)
            harness.test("two", level="matrix")(None)
            harness.test("three", level="fuzz", seed=[1, 2, 3])(None)
            self.assertLess(len(harness.cases("test")), 8)
            self.assertEqual(len(harness.cases("matrix")), 9)
            self.assertEqual([case.name for case in harness.cases("fuzz")], ["three-1", "three-2", "three-3"])
            harness.test("two", level="matrix")(None)
            with self.assertRaises(ValueError):
                harness.cases("matrix")
        finally:
            harness.REGISTERED[:] = was



if __name__ == "__main__":
    unittest.main()
