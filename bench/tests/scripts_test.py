#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests of the scripts that read results: reading, report, goals, README. All on made-up results."""
import contextlib
import copy
import gzip
import importlib.util
import io
import json
import pathlib
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
import check_goals  # noqa: E402
import report  # noqa: E402
import results_io  # noqa: E402
import synthetic  # noqa: E402
import update_readme  # noqa: E402

MATPLOTLIB = importlib.util.find_spec("matplotlib") is not None
PUBLISHED = HERE.parent / "results" / "published_peers.toml"
DATA = synthetic.result(quick=True, samples=4)
F32 = "matmul/f32/packed/llama2-7b.attn_q/m:512/threads:1/"
FROM_MEMORY = "matmul/q4_0/packed/llama2-7b.attn_q/m:4/pages:2m/threads:1/"


class WithFolder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def save(self, data, name="result.json"):
        path = self.folder / name
        path.write_text(json.dumps(data))
        return path

    def run_of(self, *results):
        paths = [self.save(data, f"{index}.json") for index, data in enumerate(results)]
        return results_io.runs([results_io.load(path) for path in paths])[0]

    def call(self, script, *arguments):
        """-> (exit status, stdout, stderr)"""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = script.main([str(argument) for argument in arguments])
        return status, out.getvalue(), err.getvalue()


def only(*names, **context):
    """a copy of the made-up result with just these rows"""
    data = {"context": dict(DATA["context"], **context), "benchmarks": []}
    data["benchmarks"] = copy.deepcopy([entry for entry in DATA["benchmarks"] if entry["run_name"] in names])
    return data


def set_times(data, name, *times, **more):
    """the row's samples in microseconds"""
    data["benchmarks"] = [entry for entry in data["benchmarks"] if entry["run_name"] != name]
    match = results_io.NAME.match(name)
    n, k = results_io.shape_size(match["shape"])
    data["benchmarks"] += [{"name": name, "run_name": name, "run_type": "iteration", "time_unit": "us",
                            "real_time": time, "n": n, "k": k, "noise": 1.0, "answer": 1.0, **more} for time in times]
    return data


class Reading(WithFolder):
    def test_median_best_and_percentages(self):
        data = set_times(only(), F32 + "tessera", 200e3, 160e3, 170e3)
        row = self.run_of(data).find("tessera", format="f32", mode="packed", shape="llama2-7b.attn_q", m=512,
                                     pages=None, threads=1)
        self.assertAlmostEqual(row.gflops, 2 * 512 * 4096 * 4096 / 170e-3 / 1e9)
        self.assertAlmostEqual(row.percent_of_peak, 100 * 2 * 512 * 4096 * 4096 / 160e-3 / 1e9 / 117)
        self.assertEqual(row.bound, "peak")
        self.assertEqual(row.name, F32 + "tessera")

    def test_from_memory(self):
        data = set_times(only(), FROM_MEMORY + "tessera", 400.0)
        (rows,) = self.run_of(data).cases.values()
        row = rows["tessera"]
        self.assertAlmostEqual(row.gbps, 4096 * 4096 * 18 / 32 / 400e-6 / 1e9)
        self.assertAlmostEqual(row.percent_of_bandwidth, 100 * row.gbps / 33.2)
        self.assertAlmostEqual(row.roofline, min(470, 33.2 * 8 * 32 / 18))

    def test_a_row_has_the_ceilings_that_took_turns_with_it(self):
        data = set_times(only(), FROM_MEMORY + "tessera", 400.0, peak_GFLOPS=400.0, bandwidth_GBps=25.0)
        set_times(data, FROM_MEMORY + "tessera-exact", 400.0, peak_GFLOPS=100.0, bandwidth_GBps=25.0)
        (rows,) = self.run_of(data).cases.values()
        row, exact = rows["tessera"], rows["tessera-exact"]
        self.assertEqual((row.peak, row.bandwidth), (400, 25))
        self.assertAlmostEqual(row.percent_of_bandwidth, 100 * row.gbps / 25)
        self.assertAlmostEqual(row.percent_of_peak, 100 * row.gflops / 400)
        self.assertAlmostEqual(row.roofline, min(400, 25 * 8 * 32 / 18))
        self.assertEqual((exact.peak, row.format_peak), (100, 400))
        self.assertAlmostEqual(exact.format_peak, 100 * 470 / 117)
        data["context"] = {key: value for key, value in data["context"].items() if not key.startswith("ceiling")}
        (rows,) = self.run_of(data).cases.values()
        self.assertTrue(rows["tessera"].usable)

    def test_files_of_old_have_the_ceilings_of_the_file_alone(self):
        old = synthetic.result(quick=True, samples=4, own_ceilings=False)
        self.assertNotIn("peak_GFLOPS", old["benchmarks"][0])
        new = self.run_of(DATA).cases
        for case, rows in self.run_of(old).cases.items():
            for backend, row in rows.items():
                now = new[case][backend]
                self.assertEqual(row.usable, now.usable)
                if row.usable:
                    self.assertIsNone(row.own_peak)
                    self.assertAlmostEqual(row.roofline, now.roofline, delta=0.01 * now.roofline)
                    self.assertAlmostEqual(row.format_peak, now.format_peak, delta=0.01 * now.format_peak)

    def test_best_pass(self):
        data = set_times(only(), F32 + "tessera", 170e3, 160e3)
        for entry, best in zip(data["benchmarks"], (150e3, 155e3)):
            entry["best_us"] = best
        (rows,) = self.run_of(data).cases.values()
        self.assertEqual((rows["tessera"].median_us, rows["tessera"].best_us), (165e3, 150e3))

    def test_aggregates_and_units(self):
        data = only()
        for name, time in (("median", 170.0), ("min", 160.0), ("mean", 999.0)):
            data["benchmarks"].append({"name": f"{F32}tessera_{name}", "run_name": F32 + "tessera", "time_unit": "ms",
                                       "run_type": "aggregate", "aggregate_name": name, "real_time": time})
        (rows,) = self.run_of(data).cases.values()
        self.assertEqual((rows["tessera"].median_us, rows["tessera"].best_us), (170e3, 160e3))

    def test_peak_of_class_and_target(self):
        result = results_io.Result("", dict(DATA["context"]))
        self.assertEqual(result.peak("int8", 2), 940)
        self.assertEqual(result.peak("f32", 1, "SSE4"), 29.2)
        self.assertEqual(result.peak("f32", 1, "exact"), 117)
        del result.context["ceiling/peak/bf16/threads:1"]
        self.assertEqual(result.peak("bf16", 1), 117)

    def test_without_ceiling_there_is_no_number(self):
        data = set_times(only(), F32 + "tessera", 170e3)
        data["context"] = {key: value for key, value in data["context"].items() if not key.startswith("ceiling")}
        run = self.run_of(data)
        self.assertFalse(next(iter(run.cases.values()))["tessera"].usable)
        text = "\n".join(report.terminal_table(run))
        self.assertIn("no ceiling", text)
        self.assertNotIn("101", text)

    def test_best_peer(self):
        data = set_times(only(), F32 + "tessera", 170e3)
        for backend, time in (("tessera-exact", 1.0), ("mkl", 180e3), ("onednn", 175e3), ("blis", 160e3)):
            set_times(data, F32 + backend, time)
        data["context"]["note/onednn/f32/packed"] = "turns the weights into bf16"
        set_times(data, F32 + "blis", 1.0, error_occurred=True, error_message="wrong: y[0,0]")
        (rows,) = self.run_of(data).cases.values()
        self.assertEqual(results_io.best_peer(rows).backend, "mkl")
        self.assertEqual(rows["blis"].mark, "wrong: y[0,0]")

    def test_later_is_what_was_measured_later_in_whatever_order_files_come(self):
        for index, (date, time) in enumerate((("2026-01-02T03:04:05", 200.0), ("2026-01-02T03:05:00", 400.0))):
            self.save(set_times(only(date=date), FROM_MEMORY + "tessera", time), f"{index}.json")
        for names in (("0.json", "1.json"), ("1.json", "0.json")):
            (found,) = results_io.runs([results_io.load(self.folder / name) for name in names])
            self.assertEqual(found.context["date"], "2026-01-02T03:04:05")
            (rows,) = found.cases.values()
            self.assertAlmostEqual(rows["tessera"].gbps, 4096 * 4096 * 18 / 32 / 400e-6 / 1e9)

    def test_a_case_run_again_comes_whole_from_the_later_file(self):
        first, again = (set_times(set_times(only(), F32 + "tessera", ours, answer=answer), F32 + "mkl", peer)
                        for ours, peer, answer in ((190e3, 100e3, 0.0), (170e3, 180e3, 1.0)))
        for order in ((first, again), (again, first)):
            (rows,) = self.run_of(*order).cases.values()
            self.assertEqual((rows["tessera"].median_us, rows["mkl"].median_us), (170e3, 180e3))

    def test_compilers_are_kept_apart(self):
        self.save(only(F32 + "tessera"), "a.json")
        self.save(only(F32 + "tessera", compiler="clang 19.1.7"), "b.json")
        found = results_io.runs([results_io.load(self.folder / name) for name in ("a.json", "b.json")])
        self.assertEqual([run.compiler for run in found], ["gcc 12.2.0", "clang 19.1.7"])

    def test_cpus_are_kept_apart(self):
        for name, cpu in (("a.json", "here"), ("b.json", "there"), ("c.json", "here")):
            data = only(F32 + "tessera")
            data["context"]["cpu"] = cpu
            self.save(data, name)
        found = results_io.runs([results_io.load(self.folder / name) for name in ("a.json", "b.json", "c.json")])
        self.assertEqual([(run.cpu, len(run.results)) for run in found], [("here", 2), ("there", 1)])

    def test_gzip_and_bad_files(self):
        path = self.folder / "a.json.gz"
        path.write_bytes(gzip.compress(json.dumps(only(F32 + "tessera")).encode()))
        self.assertEqual(len(results_io.load(path).rows), 1)
        for text in ("", "[]", '{"context": {}}', '{"context": {"ceiling/x": "fast"}, "benchmarks": []}'):
            (self.folder / "bad.json").write_text(text)
            with self.assertRaises(results_io.BadResult):
                results_io.load(self.folder / "bad.json")

    def test_published_figures(self):
        published = results_io.load_published(PUBLISHED)
        rows = {(row.backend, row.case.format, row.case.mode, row.case.shape, row.case.m): row
                for row in published.rows}
        row = rows["ik_llama.cpp", "q8_0", "packed", "llama2-7b.attn_q", 512]
        self.assertAlmostEqual(row.best_gflops, 229.6)
        self.assertAlmostEqual(row.gflops, 224.4)
        self.assertEqual(round(row.percent_of_peak), 49)
        self.assertTrue(row.published and row.counts)
        self.assertFalse(rows["ik_llama.cpp", "f16", "packed", "llama2-7b.attn_q", 512].counts)
        self.assertTrue(all(row.usable and row.n and row.best_us <= row.median_us for row in published.rows))


class Report(WithFolder):
    def test_terminal(self):
        status, out, _ = self.call(report, "--terminal", self.save(DATA))
        self.assertEqual(status, 0)
        self.assertRegex(out, r"f32 +packed +llama2-7b.attn_q +512 +1 +1\d\d\.\d +onednn +1\d\d\.\d +1\.0\d "
                              r"+9\d % of peak")
        self.assertRegex(out, r"q4_0 +packed +llama2-7b.attn_q +1 +2m +1 .* % of bandwidth")
        self.assertIn("blis-broken: wrong: y[3,5]", out)
        self.assertIn("not measured: aocl: AOCL-BLIS: set TESSERA_AOCL_DIR", out)
        self.assertNotIn("matplotlib", sys.modules if not MATPLOTLIB else {})

    def test_tables_of_the_page(self):
        run = self.run_of(DATA)
        published = results_io.load_published(PUBLISHED)
        extra = report.missing_published(run, published)
        self.assertEqual({results_io.family(row.backend) for row in extra},
                         {"aocl", "gemma.cpp", "ik_llama.cpp", "libxsmm"})
        text = report.full_table(run, extra)
        self.assertEqual(text.count("<tr class"), sum(map(len, run.cases.values())) + len(extra))
        self.assertEqual(text.count(results_io.PUBLISHED), len(extra))
        self.assertIn("wrong: y[3,5]", text)
        self.assertIn("peak/int8/threads:2", report.ceilings_table(run.results[0]))

    def test_bad_input(self):
        self.assertEqual(self.call(report, "--terminal", self.folder / "missing.json")[0], 1)
        self.assertEqual(self.call(report, "--terminal", self.save(only()))[0], 1)

    @unittest.skipUnless(MATPLOTLIB, "needs matplotlib")
    def test_page_and_pictures(self):
        few = [entry["run_name"] for entry in DATA["benchmarks"] if "/q4_0/" in entry["run_name"]]
        status, out, _ = self.call(report, self.save(only(*few)), "-o", self.folder / "out")
        self.assertEqual(status, 0)
        page = (self.folder / "out" / "report.html").read_text()
        self.assertEqual(page.count("data:image/png;base64,"), 4)
        self.assertEqual(sorted(path.name for path in (self.folder / "out").glob("*.png")),
                         ["bars-q4_0.png", "curve-q4_0.png", "roofline.png", "threads.png"])
        self.assertNotIn("<script", page)


class Goals(WithFolder):
    def check(self, data, goals, *arguments):
        path = self.folder / "goals.toml"
        path.write_text("".join(f'[[row]]\ngroup = "dense"\nwhat = ""\n{goal}\n' for goal in goals))
        status, out, _ = self.call(check_goals, self.save(data), "--goals", path, *arguments)
        return status, out.splitlines()

    def one(self, data, conditions, *arguments, case="llama2-7b.attn_q/m:512", form="f32", more=""):
        status, lines = self.check(data, [f'modes = ["packed"]\ncases = ["{case}"]\n{more}\n{form} = {conditions}'],
                                   *arguments)
        self.assertEqual(status == 0, lines[-1] == "1 of 1 cells met")
        return lines[-2].rsplit("   ", 1)[1]

    def test_percent_uses_the_best_sample(self):
        data = set_times(only(), F32 + "tessera", 200e3, 150e3, 200e3)  # best 114.5 of 117
        self.assertEqual(self.one(data, "{percent_of_peak = 97}"), "met")
        self.assertEqual(self.one(data, "{percent_of_peak = 98}"), "NOT MET")

    def test_ratio_uses_the_medians(self):
        data = set_times(set_times(only(), F32 + "tessera", 100e3, 170e3, 180e3), F32 + "mkl", 170e3)
        self.assertEqual(self.one(data, "{ratio_to_best_peer = 1.0}"), "met")
        self.assertEqual(self.one(data, "{above_best_peer = 1.0}"), "NOT MET")
        self.assertEqual(self.one(data, "{percent_of_peak = 50, ratio_to_best_peer = 1.1}"), "NOT MET")

    def test_noise_wrong_and_missing(self):
        noisy = set_times(only(), F32 + "tessera", 150e3, answer=0.0)
        self.assertEqual(self.one(noisy, "{percent_of_peak = 50}"), "no answer")
        wrong = set_times(only(), F32 + "tessera", 1, error_occurred=True, error_message="wrong: y")
        self.assertEqual(self.one(wrong, "{percent_of_peak = 50}"), "NOT MET: wrong: y")
        self.assertEqual(self.one(only(), "{percent_of_peak = 50}"), "not measured")
        peerless = set_times(only(), F32 + "tessera", 150e3)
        self.assertEqual(self.one(peerless, "{ratio_to_best_peer = 1.0}"), "not measured")
        self.assertEqual(self.one(peerless, "{percent_of_peak = 99, ratio_to_best_peer = 1.0}"), "NOT MET")

    def test_a_peer_of_the_other_mode_stands_in(self):
        data = set_times(only(), F32 + "tessera", 150e3)
        set_times(data, F32.replace("packed", "in_place") + "mkl", 160e3)
        self.assertEqual(self.one(data, "{ratio_to_best_peer = 1.05}"), "met")
        self.assertEqual(self.one(data, "{ratio_to_best_peer = 1.10}"), "NOT MET")

    def test_cap_at_the_bandwidth(self):
        weights = 4096 * 4096 * 18 / 32
        at = lambda percent: weights / (percent / 100 * 33.2e3)  # noqa: E731  microseconds
        for ours, peer, status in ((91, 80, "met"), (89, 80, "NOT MET"), (71, 50, "met"), (69, 50, "NOT MET")):
            data = set_times(only(), FROM_MEMORY + "tessera", at(ours))
            set_times(data, FROM_MEMORY + "ggml", at(peer))
            self.assertEqual(self.one(data, "{ratio_to_best_peer = 1.4}", case="llama2-7b.attn_q/m:4", form="q4_0"),
                             status, (ours, peer))

    def test_published_figures_stand_in_as_shares(self):
        name = F32.replace("f32", "q8_0") + "tessera"
        ours = 2 * 512 * 4096 * 4096 / (1.5 * 224.4e3)  # just 1.5 times ik_llama.cpp's median
        data = set_times(only(), name, ours * 0.99)
        goal = '{ratio_to_backend = {"ik_llama.cpp" = 1.5}, best_mode = true}'
        self.assertEqual(self.one(data, goal, form="q8_0"), "not measured")
        self.assertEqual(self.one(data, goal, "--published", PUBLISHED, form="q8_0"), "met")
        data["context"]["ceiling/peak/int8/threads:1"] = "500"
        self.assertEqual(self.one(data, goal, "--published", PUBLISHED, form="q8_0"), "NOT MET")

    def test_formats_threads_and_targets(self):
        data = only()
        set_times(data, F32.replace("f32", "q4_0") + "tessera", 100.0)
        set_times(data, F32.replace("f32", "q4_1") + "tessera", 114.0)
        self.assertEqual(self.one(data, "{ratio_to_format = {q4_0 = 0.87}}", form="q4_1"), "met")
        self.assertEqual(self.one(data, "{ratio_to_format = {q4_0 = 0.88}}", form="q4_1"), "NOT MET")
        set_times(data, F32.replace("f32", "q4_0").replace("threads:1", "threads:2") + "tessera", 51.0)
        self.assertEqual(self.one(data, "{ratio_to_one_thread = 1.95}", form="q4_0", more="threads = 2"), "met")
        self.assertEqual(self.one(data, "{ratio_to_one_thread = 1.97}", form="q4_0", more="threads = 2"), "NOT MET")
        set_times(set_times(data, F32 + "tessera", 150e3), F32 + "tessera-AVX2", 153e3)
        avx2 = 'backend = "tessera-AVX2"'
        self.assertEqual(self.one(data, "{points_below_best_target = 3}", more=avx2), "met")
        self.assertEqual(self.one(data, "{points_below_best_target = 1}", more=avx2), "NOT MET")

    def test_dips(self):
        goal = ('modes = ["packed"]\ncurve = ["llama2-7b.attn_q/m:12", "llama2-7b.attn_q/m:16", '
                '"llama2-7b.attn_q/m:24"]\nf32 = {no_dips = true}')
        for times, status in (((10, 12, 14), 0), ((10, 9.9, 14), 0), ((10, 15, 14), 1)):
            data = only()
            for m, time in zip((12, 16, 24), times):
                set_times(data, F32.replace("m:512", f"m:{m}") + "tessera", time)
            self.assertEqual(self.check(data, [goal])[0], status, times)

    def test_the_goals_of_the_project(self):
        status, out, _ = self.call(check_goals, self.save(DATA), "--published", PUBLISHED)
        self.assertEqual(status, 1)
        self.assertRegex(out.splitlines()[-1], r"^\d+ of 441 cells met$")
        for group, count in (("dense", 108), ("block", 185)):
            last = self.call(check_goals, self.save(DATA), "--only", group)[1].splitlines()[-1]
            self.assertTrue(last.endswith(f" of {count} cells met"), last)


class Readme(WithFolder):
    def setUp(self):
        super().setUp()
        (self.folder / "bench" / "results").mkdir(parents=True)
        self.readme = self.folder / "README.md"
        self.readme.write_text(f"above\n{update_readme.BEGIN}\nold\n{update_readme.END}\nbelow\n")

    def test_section(self):
        text = update_readme.section([self.run_of(DATA)])
        self.assertRegex(text, r"\| f32 \| \*\*1\.0\d x\*\* onednn \(1\d\d\) \|")
        self.assertEqual(len([line for line in text.splitlines() if line.startswith("| q")]), 3)

    def test_products(self):
        text = update_readme.products([self.run_of(DATA)])
        self.assertRegex(text, r"\| f32 \| packed \| 1\d\d, 9\d %<br>1\.0\d x onednn \|")
        self.assertEqual(len([line for line in text.splitlines() if line.startswith("| q")]), 6)

    def test_check_without_picture(self):
        result = self.save(DATA)
        self.assertEqual(self.call(update_readme, result, "--check", "--root", self.folder)[0], 1)
        self.readme.write_text("no marks\n")
        self.assertEqual(self.call(update_readme, result, "--check", "--root", self.folder)[0], 2)

    @unittest.skipUnless(MATPLOTLIB, "needs matplotlib")
    def test_update_and_check(self):
        result = self.save(DATA)
        self.assertEqual(self.call(update_readme, result, "--root", self.folder)[0], 0)
        self.assertTrue(self.readme.read_text().startswith("above\n" + update_readme.BEGIN))
        self.assertTrue(self.readme.read_text().endswith(update_readme.END + "\nbelow\n"))
        self.assertEqual(self.call(update_readme, result, "--check", "--root", self.folder)[0], 0)
        other = self.save(synthetic.result(quick=True, samples=4, seed=5))
        self.assertEqual(self.call(update_readme, other, "--check", "--root", self.folder)[0], 1)


if __name__ == "__main__":
    unittest.main()
