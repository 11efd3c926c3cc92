#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares the speed of two commits, or of two built programs.

  compare.py BASE NEW [--filter REGEX] [--rounds N] [--threshold 3] [--seconds S] [--cmake ARGUMENT]...
  compare.py --programs PROGRAM PROGRAM ...

Builds both commits in work trees of their own (the same commit only once) and runs them by turns,
A B B A A B ...: a pair of runs next to each other sees the same machine. For each case and pair there
is one ratio of the medians; the figure printed is the centre of these ratios (Hodges-Lehmann).

What comes out slower than the threshold (percent) is only suspected: with some dozens of cases, chance
alone brings one now and then. It is measured again, in more rounds of just these cases, and those
rounds decide alone. It is a regression if the ratio is above the threshold with the confidence that
all suspected cases together raise a false alarm in one comparison of a hundred at most. The bound is
that of Wilcoxon's signed-rank test, which asks nothing of the noise but that it hits both sides alike.
A slowdown that exceeds the threshold by less than the noise therefore passes.

Exit status: 0 no regression, 1 regression, 2 something went wrong.
"""
import argparse
import math
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

import results_io

FALSE_ALARMS = 0.01  # in comparisons of equal sides
BATCHES = 3          # of confirming rounds, at most


class Failure(Exception):
    pass


# ---- statistics ---------------------------------------------------------------------------

def tail_counts(count):
    """counts[w]: how many of the 2^count choices of signs give a rank sum of w"""
    counts = [1]
    for rank in range(1, count + 1):
        longer = counts + [0] * rank
        for w, ways in enumerate(counts):
            longer[w + rank] += ways
        counts = longer
    return counts


def centre_and_bounds(ratios, error):
    """-> (low, centre, high) of paired ratios; each bound fails with a probability of `error` at most, and
    is 0 or infinite if there are too few ratios for that."""
    logs = [math.log(ratio) for ratio in ratios]
    walsh = sorted((a + b) / 2 for i, a in enumerate(logs) for b in logs[i:])
    probability, rank = 0.0, 0
    for ways in tail_counts(len(logs)):
        probability += ways / 2 ** len(logs)
        if probability > error:
            break
        rank += 1
    low = math.exp(walsh[rank - 1]) if rank else 0.0
    high = math.exp(walsh[-rank]) if rank else math.inf
    return low, math.exp(statistics.median(walsh)), high


def confirming_rounds(rounds, suspects):
    """enough that even the strictest bound exists, with three rounds to spare"""
    return max(2 * rounds, math.ceil(math.log2(max(suspects, 1) * BATCHES / FALSE_ALARMS)) + 3)


# ---- measuring ----------------------------------------------------------------------------

def measure(run, rounds, cases, progress=lambda text: None):
    """run(side, cases) -> {case: time} for side 0 and 1, by turns. -> {case: ([times], [times])}"""
    found = {}
    for number in range(rounds):
        for side in (0, 1) if number % 2 == 0 else (1, 0):
            progress(f"round {number + 1} of {rounds}, {'new' if side else 'base'}")
            for case, time in run(side, cases).items():
                found.setdefault(case, ([], []))[side].append(time)
    return found


def ratios_of(times):
    return [new / base for base, new in zip(*times)]


def confirm(run, table, suspects, rounds, limit, progress):
    """Measures the suspects again, anew but for their own earlier batches, and enters the verdicts. Who stays
    above the limit without being certain gets another batch; the batches share the allowed false alarms."""
    number = len(suspects)
    times = {case: ([], []) for case in suspects}
    for batch in range(BATCHES):
        if not suspects:
            return
        progress(f"{len(suspects)} of {len(table)} cases are suspected: {rounds} more rounds of these")
        for case, pair in measure(run, rounds, suspects, progress).items():
            if case in suspects and len(pair[0]) == len(pair[1]) == rounds:
                for side in (0, 1):
                    times[case][side].extend(pair[side])
        undecided = []
        for case in suspects:
            if not times[case][0]:
                continue
            low, centre, high = centre_and_bounds(ratios_of(times[case]), FALSE_ALARMS / number / BATCHES)
            table[case] = (times[case], centre, low, high, "REGRESSION" if low > limit else "not confirmed")
            if low <= limit < centre:
                undecided.append(case)
        suspects = undecided


def compare(run, rounds, threshold, progress=lambda text: None):
    """-> {case: (times of both sides, centre, low, high, verdict)}"""
    limit = 1 + threshold / 100
    times = measure(run, rounds, None, progress)
    both = {case: pair for case, pair in times.items() if len(pair[0]) == len(pair[1]) == rounds}
    table = {}
    for case, pair in both.items():
        low, centre, high = centre_and_bounds(ratios_of(pair), 0.05)
        table[case] = (pair, centre, low, high, "faster" if high < 1 / limit else "")
    suspects = [case for case, row in table.items() if row[1] > limit]
    for case in suspects:
        table[case] = (*table[case][:4], "not confirmed")
    confirm(run, table, suspects, confirming_rounds(rounds, len(suspects)), limit, progress)
    for case in times.keys() - both.keys():
        table[case] = (times[case], None, None, None, "on one side only")
    return table


def benchmark_filter(cases):
    """a regular expression, in the grammar that Google Benchmark takes, for just these names"""
    return "^(" + "|".join(re.sub(r"([.+*?()\[\]{}|^$\\])", r"\\\1", case) for case in cases) + ")(/|$)"


def runner(programs, folder, options):
    """-> run(side, cases), which runs the program of that side"""
    def run(side, cases):
        out = pathlib.Path(folder) / f"result-{'ab'[side]}.json"  # names of the same length on both sides
        out.unlink(missing_ok=True)
        command = [programs[side], "--quick", "--only-ours", "--no-ceilings", f"--benchmark_out={out}",
                   "--benchmark_out_format=json"]
        pattern = benchmark_filter(cases) if cases else options.filter
        command += [f"--benchmark_filter={pattern}"] if pattern else []
        command += [f"--seconds={options.seconds}"] if options.seconds else []
        checked(command, "the run")
        rows = results_io.load(out).rows
        wrong = [f"{row.backend} on {row.case}: {row.error}" for row in rows if row.error]
        if wrong:
            raise Failure(f"{'new' if side else 'base'}: " + "; ".join(wrong))
        if not rows:
            raise Failure(f"{'new' if side else 'base'}: no case matches {pattern!r}")
        return {row.name: row.median_us for row in rows}
    return run


# ---- building -----------------------------------------------------------------------------

def checked(command, what, cwd=None):
    """Runs a command; its stdout, or Failure with the end of what it said."""
    try:
        done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, errors="replace")
    except OSError as error:
        raise Failure(f"{what}: {error}") from error
    if done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
        raise Failure(f"{what} failed with status {done.returncode}: {' '.join(map(str, command[:8]))}\n{said}")
    return done.stdout


def build(root, commit, tree, options):
    """Builds the commit in a new work tree; -> the program"""
    checked(["git", "worktree", "add", "--detach", tree, commit], f"the work tree of {commit}", root)
    store = checked(["git", "rev-parse", "--path-format=absolute", "--git-common-dir"], "git", root).strip()
    places = [root / ".deps", pathlib.Path(store).parent / ".deps"]
    archives = next((place for place in places if place.is_dir()), None)
    if archives and not (tree / ".deps").exists():
        (tree / ".deps").symlink_to(archives.resolve())  # archives and packages: works offline
    sources = [f"-D{key}={value}" for key, value in os.environ.items() if key.startswith("FETCHCONTENT_")]
    checked(["cmake", "-S", ".", "-B", "build", "-DCMAKE_BUILD_TYPE=Release", "-DTESSERA_BUILD_TESTS=OFF",
             "-DTESSERA_BUILD_EXAMPLES=OFF", "-DTESSERA_BUILD_BENCH=ON", *sources, *options.cmake],
            f"cmake for {commit}", tree)
    checked(["cmake", "--build", "build", "--target", "tessera-bench", "--parallel", str(os.cpu_count() or 1)],
            f"the build of {commit}", tree)
    found = [path for path in sorted((tree / "build").rglob("tessera-bench")) if path.is_file()]
    if not found:
        raise Failure(f"the build of {commit} left no tessera-bench")
    return found[0]


def compare_commits(options, folder, progress):
    root = pathlib.Path(checked(["git", "rev-parse", "--show-toplevel"], "git", pathlib.Path(__file__).parent).strip())
    commits = [checked(["git", "rev-parse", "--verify", side + "^{commit}"], f"commit {side}", root).strip()
               for side in options.sides]
    programs, trees = {}, []
    try:
        for commit, name in zip(commits, "ab"):
            if commit not in programs:
                progress(f"building {commit[:12]}")
                trees.append(pathlib.Path(folder) / name)
                programs[commit] = build(root, commit, trees[-1], options)
        return compare(runner([programs[commit] for commit in commits], folder, options), options.rounds,
                       options.threshold, progress)
    finally:
        for tree in trees:
            subprocess.run(["git", "worktree", "remove", "--force", str(tree)], cwd=root, capture_output=True)
        subprocess.run(["git", "worktree", "prune"], cwd=root, capture_output=True)


# ---- the table ----------------------------------------------------------------------------

def print_table(table):
    width = max(len(case) for case in table)
    print(f"{'case':{width}}  {'base us':>10}  {'new us':>10}  {'new/base':>8}  {'interval':^15}")
    for case, (pair, centre, low, high, verdict) in table.items():
        medians = "  ".join(f"{statistics.median(side):10.2f}" if side else f"{'-':>10}" for side in pair)
        figures = f"{centre:8.3f}  {low:6.3f} - {high:6.3f}" if centre else " " * 25
        print(f"{case:{width}}  {medians}  {figures}  {verdict}".rstrip())


def progress_on_stderr(text):
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sides", nargs=2, metavar="SIDE", help="base and new: commits, or programs with --programs")
    parser.add_argument("--programs", action="store_true", help="the sides are built programs")
    parser.add_argument("--filter", default="", help="regular expression on the names of the cases")
    parser.add_argument("--rounds", type=int, default=6, help="pairs of runs before any are confirmed (default 6)")
    parser.add_argument("--threshold", type=float, default=3, help="percent slower that is tolerated (default 3)")
    parser.add_argument("--seconds", type=float, help="time for each case in each run")
    parser.add_argument("--cmake", action="append", default=[], metavar="ARGUMENT",
                        help="one more argument for cmake, such as --cmake=-DCMAKE_CXX_COMPILER=clang++-19")
    options = parser.parse_args(arguments)
    if options.rounds < 5:  # fewer, and the 95 % interval has no ends
        parser.error("--rounds: 5 at least")
    try:
        with tempfile.TemporaryDirectory(prefix="tessera-compare-") as folder:
            if options.programs:
                programs = [pathlib.Path(side).resolve() for side in options.sides]
                table = compare(runner(programs, folder, options), options.rounds, options.threshold,
                                progress_on_stderr)
            else:
                table = compare_commits(options, folder, progress_on_stderr)
    except (Failure, results_io.BadResult) as error:
        progress_on_stderr("")
        print(f"compare.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 2
    progress_on_stderr("")
    print_table(table)
    slower = [case for case, row in table.items() if row[4] == "REGRESSION"]
    print(f"{len(slower)} of {len(table)} cases are more than {options.threshold:g} % slower, beyond noise")
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
