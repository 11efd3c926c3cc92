#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Holds results of tessera-bench against goals.toml, which explains the conditions.

  check_goals.py [--only GROUP] [--published TOML] [--goals TOML] RESULT.json...

Prints each cell with goal and measurement: met, NOT MET, no answer (too noisy), or not measured. Results of
different compilers are checked each by itself. The last line says "N of M cells met"; exit status 0 only if
that is all of them, 2 if a file cannot be read.
"""
import argparse
import pathlib
import sys
import tomllib

import results_io
from results_io import BYTES_PER_WEIGHT, MODES, Case, best_peer, family

HERE = pathlib.Path(__file__).resolve().parent
FROM_MEMORY = 8        # tokens, at most
BANDWIDTH_CAP = 90     # percent: no factor over a peer asks for more


class Open(Exception):
    """A condition that cannot be decided; its text is the status."""


class Cell:
    """One format, mode and case of a row of the goals, in one run."""

    def __init__(self, run, published, row, form, mode, case):
        self.run, self.published, self.row, self.form, self.mode = run, published, row, form, mode
        self.shape, _, m = case.partition("/m:")
        self.m = int(m)
        self.threads = row.get("threads", 1)
        self.backend = row.get("backend", "tessera")
        self.conditions = dict(row.get("conditions", {}), **row.get(form, {}))
        self.best_mode = self.conditions.pop("best_mode", False)

    # -- what was measured --

    def case(self, comparing=False, **other):
        """comparing: on the pages for comparisons with peers"""
        m = other.get("m", self.m)
        mode = other.get("mode", self.mode)
        shape = other.get("shape", self.shape)
        memory = "expert" in shape or (m <= FROM_MEMORY and not shape.startswith("cube"))
        pages = ("2m" if comparing or mode == "packed" else "4k") if memory else None
        return Case(other.get("form", self.form), mode, shape, m, pages, other.get("threads", self.threads))

    def sure(self, row):
        if row is None or not row.usable:
            raise Open("not measured" if row is None or not row.error else "NOT MET: " + row.error)
        if not row.answer:
            raise Open("no answer")
        return row

    def ours(self, backend=None, comparing=False, **other):
        return self.sure(self.run.cases.get(self.case(comparing, **other), {}).get(backend or self.backend))

    def in_mode(self, find):
        """find(mode) -> Row or None: in this mode, or the best of any mode if asked for or if there is none"""
        found = {mode: find(mode) for mode in MODES}
        if not self.best_mode and found[self.mode]:
            return found[self.mode]
        return max((row for row in found.values() if row), key=lambda row: row.gflops, default=None)

    # -- conditions: each -> (met, goal, measured) --

    def percent(self, what, goal):
        row = self.ours()
        value = getattr(row, "percent_of_" + what)
        return value >= goal, f">= {goal:g} % of {what}", f"{value:.1f} %"

    def percent_of_peak(self, goal):
        return self.percent("peak", goal)

    def percent_of_bandwidth(self, goal):
        return self.percent("bandwidth", goal)

    def percent_of_roofline(self, goal):
        return self.percent("roofline", goal)

    def over(self, peer, factor, name, strictly=False):
        """ours over a peer, with the cap at a share of the bandwidth"""
        ours = self.ours(comparing=True)
        scale = ours.roofline / peer.roofline if peer.published else 1  # published: as shares of the ceilings
        ratio = ours.gflops / (peer.gflops * scale)
        measured = f"{ratio:.2f} x {peer.backend}" + (f" {peer.case.mode}" if peer.case.mode != self.mode else "")
        measured += f" ({results_io.PUBLISHED})" if peer.published else ""
        goal = f"{'>' if strictly else '>='} {factor:g} x {name}"
        met = ratio > factor if strictly else ratio >= factor
        if ours.case.pages:
            gbps = peer.gflops * scale / (2 * self.m) * BYTES_PER_WEIGHT[self.form] * (ours.w_rows or ours.n) / ours.n
            if factor * gbps > BANDWIDTH_CAP / 100 * ours.bandwidth:
                goal += f", here >= {BANDWIDTH_CAP} % of bandwidth"
                measured += f", {ours.percent_of_bandwidth:.1f} %"
                met = met or ours.percent_of_bandwidth >= BANDWIDTH_CAP
        return met, goal, measured

    def ratio_to_best_peer(self, factor, strictly=False):
        self.ours(comparing=True)
        peer = self.in_mode(lambda mode: best_peer(self.run.cases.get(self.case(True, mode=mode), {})))
        return self.over(self.sure(peer), factor, "best peer", strictly)

    def above_best_peer(self, factor):
        return self.ratio_to_best_peer(factor, strictly=True)

    def ratio_to_backend(self, wanted):
        """against the best of those named; a name with a dash is one build, others are all builds of a library"""
        factor, = set(wanted.values())

        def measured(mode):
            rows = self.run.cases.get(self.case(True, mode=mode), {})
            return best_peer({row.backend: row for row in rows.values() if same(row.backend)})

        def same(backend):
            return any(backend == name or ("-" not in name and family(backend) in (name, name.split(".")[0]))
                       for name in wanted)

        def elsewhere(mode):
            return best_peer({row.backend: row for row in self.published.rows
                              if row.case == self.case(True, mode=mode) and same(row.backend)})
        self.ours(comparing=True)
        peer = self.in_mode(measured)
        if peer is None and self.published:
            peer = self.in_mode(elsewhere)
        return self.over(self.sure(peer), factor, " or ".join(wanted))

    def ratio_to_format(self, wanted):
        (form, factor), = wanted.items()
        ours, other = self.ours(), self.ours(self.row.get("reference_backend", "tessera"), form=form)
        ratio = ours.gflops / other.gflops
        return ratio >= factor, f">= {factor:g} x {form}", f"{ratio:.3f} x"

    def ratio_to_case(self, wanted):
        (case, factor), = wanted.items()
        shape, _, m = case.partition("/m:")
        ours, other = self.ours(comparing=True), self.ours(comparing=True, shape=shape, m=int(m))
        ratio = ours.gflops / other.gflops
        return ratio >= factor, f">= {factor:g} x {case}", f"{ratio:.3f} x"

    def ratio_to_one_thread(self, factor):
        ratio = self.ours().gflops / self.ours(threads=1).gflops
        return ratio >= factor, f">= {factor:g} x one thread", f"{ratio:.3f} x"

    def not_slower_than_one_thread(self, _):
        many, one = self.ours(), self.ours(threads=1)
        allowed = one.median_us * (1 + (one.noise + many.noise) / 100)
        return many.median_us <= allowed, "not slower than one thread", f"{one.median_us / many.median_us:.3f} x"

    def points_below_best_target(self, points):
        ours, best = self.ours(), self.ours("tessera")
        gap = best.percent_of_peak - ours.percent_of_peak
        return gap <= points, f"<= {points:g} points below the best target", f"{gap:.1f} points"

    def no_dips(self, _):
        rows = [self.ours(m=int(case.partition("/m:")[2])) for case in self.row["curve"]]
        dips = [f"m {a.case.m} takes {100 * (a.median_us / b.median_us - 1):.1f} % longer than {b.case.m}"
                for a, b in zip(rows, rows[1:]) if a.case.pages == b.case.pages
                and a.median_us > b.median_us * (1 + (a.noise + b.noise) / 100)]
        return not dips, "no dips", ", ".join(dips) or "none"

    def check(self):
        """-> (status, [goal], [measured])"""
        status, goals, measured = "met", [], []
        for kind, wanted in self.conditions.items():
            try:
                met, goal, value = getattr(self, kind)(wanted)
                goals.append(goal)
                measured.append(value)
                if not met:
                    status = "NOT MET"
            except Open as open_question:
                goals.append(f"{kind} {wanted}")
                measured.append("-")
                if status == "met":
                    status = str(open_question)
        return status, goals, measured


def cells(goals, only, run, published):
    for row in goals["row"]:
        if only and row["group"] != only:
            continue
        formats = row.get("formats") or [form for form in results_io.FORMATS if form in row]
        for form in formats:
            for mode in row["modes"]:
                for case in row.get("cases", row.get("curve", [])[:1]):
                    yield Cell(run, published, row, form, mode, case)


def check_run(goals, only, run, published):
    """Prints the run's cells. -> (met, all)"""
    met = count = 0
    group = None
    print(f"{run.name}, commit {run.context.get('commit', 'unknown')}: "
          + ", ".join(result.path for result in run.results))
    for cell in cells(goals, only, run, published):
        status, wanted, measured = cell.check()
        met += status == "met"
        count += 1
        if cell.row["group"] != group:
            group = cell.row["group"]
            print(f"-- {group}")
        place = cell.shape + (f" m:{cell.m}" if "curve" not in cell.row else " m:1..64")
        who = cell.backend.removeprefix("tessera").removeprefix("-")
        place += f" threads:{cell.threads}" * (cell.threads > 1) + f" [{who}]" * bool(who)
        print(f"{cell.form:5} {cell.mode.replace('_', ' '):8} {place:34} {'; '.join(wanted)}: {'; '.join(measured)}"
              f"   {status}")
    return met, count


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="+", metavar="RESULT.json", type=pathlib.Path)
    parser.add_argument("--only", metavar="GROUP", help="one group of the goals: dense, block, files, experts")
    parser.add_argument("--published", type=pathlib.Path, metavar="TOML",
                        help="lets these figures stand in for libraries that goals name and the run did not measure")
    parser.add_argument("--goals", type=pathlib.Path, default=HERE / "goals.toml")
    options = parser.parse_args(arguments)
    try:
        goals = tomllib.loads(options.goals.read_text(encoding="utf-8"))
        published = results_io.load_published(options.published) if options.published else None
        all_runs = results_io.runs([results_io.load(path) for path in options.results])
    except (results_io.BadResult, OSError, ValueError) as error:
        print(f"check_goals.py: {error}", file=sys.stderr)
        return 2
    totals = [check_run(goals, options.only, run, published) for run in all_runs]
    met, count = map(sum, zip(*totals))
    print(f"{met} of {count} cells met")
    return 0 if met == count else 1


if __name__ == "__main__":
    sys.exit(main())
