#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests of compare.py: its statistics on simulated noise, and whole runs of made-up programs."""
import contextlib
import io
import json
import pathlib
import random
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
import compare  # noqa: E402
import synthetic  # noqa: E402

CASES = [f"matmul/f32/packed/cube.{64 + index}/m:{64 + index}/threads:1/tessera" for index in range(40)]
PROGRAM = """#!{python} -IS
import json, random, re, sys
options = dict(a.lstrip("-").split("=", 1) for a in sys.argv[1:] if "=" in a)
assert {{"--quick", "--only-ours", "--no-ceilings"}} <= set(sys.argv), sys.argv
data = json.load(open({template!r}))
pattern = re.compile(options.get("benchmark_filter", ""))
data["benchmarks"] = [b for b in data["benchmarks"] if pattern.search(b["run_name"])]
shift = random.gauss(1, 0.02)
for b in data["benchmarks"]:
    b["real_time"] *= shift * random.gauss(1, 0.01) * ({factor} if {slow!r} in b["run_name"] else 1)
{more}
json.dump(data, open(options["benchmark_out"], "w"))
"""


class Simulation:
    """A machine with noise per run and case, outliers, and spells in which everything is slow."""

    def __init__(self, seed, noise=0.02, slow=(), factor=1.1):
        self.rng = random.Random(seed)
        self.noise, self.slow, self.factor = noise, slow, factor
        self.spell = 1.0

    def __call__(self, side, cases):
        if self.rng.random() < 0.2:
            self.spell = self.rng.choice([1.0, 1.0, 1.15])
        times = {}
        for case in cases or CASES:
            times[case] = 100 * self.spell * (1 + self.rng.gauss(0, self.noise))
            if self.rng.random() < 0.01:
                times[case] *= 1.5
            if side and case in self.slow:
                times[case] *= self.factor
        return times


def regressions(table):
    return [case for case, row in table.items() if row[4] == "REGRESSION"]


class Statistics(unittest.TestCase):
    def test_counts_of_rank_sums(self):
        self.assertEqual(compare.tail_counts(3), [1, 1, 1, 2, 1, 1, 1])
        self.assertEqual(sum(compare.tail_counts(10)), 2 ** 10)

    def test_bounds_cover_as_often_as_they_say(self):
        rng = random.Random(3)
        missed = 0
        for _ in range(1000):
            low, _, _ = compare.centre_and_bounds([1 + rng.gauss(0, 0.03) for _ in range(8)], 0.05)
            missed += low > 1
        self.assertLess(missed, 75)
        self.assertGreater(missed, 15)

    def test_too_few_rounds_have_no_bounds(self):
        low, centre, high = compare.centre_and_bounds([1.1, 1.1, 1.1], 0.05)
        self.assertEqual((low, high), (0, float("inf")))
        self.assertAlmostEqual(centre, 1.1)

    def test_confirming_rounds_allow_the_strictest_bound(self):
        for suspects in (1, 7, 400):
            rounds = compare.confirming_rounds(6, suspects)
            error = compare.FALSE_ALARMS / suspects / compare.BATCHES
            self.assertGreater(compare.centre_and_bounds([1.1] * rounds, error)[0], 1.09)


class Decisions(unittest.TestCase):
    def test_equal_sides_raise_no_alarm(self):
        for seed in range(50):
            table = compare.compare(Simulation(seed), 6, 3)
            self.assertEqual(len(table), 40)
            self.assertEqual(regressions(table), [], f"seed {seed}")

    def test_equal_sides_on_a_very_noisy_machine(self):
        for seed in range(20):
            self.assertEqual(regressions(compare.compare(Simulation(seed, noise=0.08), 6, 3)), [], f"seed {seed}")

    def test_ten_percent_slower_is_caught(self):
        for seed in range(50):
            slow = [CASES[seed % 40], CASES[(seed + 7) % 40]]
            table = compare.compare(Simulation(seed, slow=slow), 6, 3)
            self.assertEqual(sorted(regressions(table)), sorted(slow), f"seed {seed}")

    def test_all_cases_ten_percent_slower(self):
        self.assertEqual(len(regressions(compare.compare(Simulation(1, slow=CASES), 6, 3))), 40)

    def test_two_percent_slower_passes_and_faster_is_named(self):
        self.assertEqual(regressions(compare.compare(Simulation(1, slow=CASES, factor=1.02), 6, 3)), [])
        table = compare.compare(Simulation(1, slow=CASES[:1], factor=0.8), 6, 3)
        self.assertEqual(table[CASES[0]][4], "faster")

    def test_a_case_of_one_side_only_is_listed(self):
        def run(side, cases):
            return {"both": 1.0, "new only": 1.0} if side else {"both": 1.0}
        self.assertEqual(compare.compare(run, 6, 3)["new only"][4], "on one side only")

    def test_sides_take_turns(self):
        order = []
        compare.measure(lambda side, cases: order.append(side) or {}, 4, None)
        self.assertEqual(order, [0, 1, 1, 0, 0, 1, 1, 0])

    def test_filter_takes_just_the_names(self):
        self.assertEqual(compare.benchmark_filter(["a/b.c/m:1", "d"]), r"^(a/b\.c/m:1|d)(/|$)")


class Programs(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.template = str(pathlib.Path(self.folder.name) / "template.json")
        data = synthetic.result(quick=True, threads=(1,), samples=3, backends=["tessera"])
        data["benchmarks"] = [entry for entry in data["benchmarks"] if "/packed/cube" in entry["run_name"]]
        pathlib.Path(self.template).write_text(json.dumps(data))

    def program(self, name, factor=1.0, slow="cube.64/", more=""):
        path = pathlib.Path(self.folder.name) / name
        path.write_text(PROGRAM.format(python=sys.executable, template=self.template, factor=factor, slow=slow,
                                       more=more))
        path.chmod(0o755)
        return str(path)

    def status(self, *arguments):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = compare.main(["--programs", "--rounds=5", "--filter=matmul/(f32|q4_0)/packed/cube", *arguments])
        return status, out.getvalue(), err.getvalue()

    def test_equal_programs(self):
        program = self.program("a")
        status, out, _ = self.status(program, program)
        self.assertEqual(status, 0, out)
        self.assertIn("0 of 6 cases", out)

    def test_slower_program(self):
        status, out, _ = self.status(self.program("a"), self.program("b", 1.2, "f32/packed/cube.64/"))
        self.assertEqual(status, 1, out)
        self.assertIn("1 of 6 cases", out)

    def test_errors(self):
        good = self.program("a")
        wrong = self.program("b", more="data['benchmarks'][0].update(error_occurred=True, error_message='wrong: y')")
        failing = self.program("c", more="sys.exit('out of memory')")
        for other, text in ((wrong, "wrong: y"), (failing, "out of memory"), (good + "-missing", "No such file")):
            status, _, err = self.status(good, other)
            self.assertEqual(status, 2)
            self.assertIn(text, err)
        self.assertEqual(self.status(good, good, "--filter=nothing")[0], 2)


if __name__ == "__main__":
    unittest.main()
