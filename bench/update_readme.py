#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the figures of README.md from committed results, so that they cannot drift from them.

  update_readme.py RESULT.json...            rewrites the part between the marks and, in bench/results,
                                             products.md and roofline.png
  update_readme.py RESULT.json... --check    exit status 1 if any is not what these results give

The part lies between <!-- bench:begin --> and <!-- bench:end -->. It has the ratios to the best other library;
products.md has the rest. Both show a run of each CPU: that of the compiler of its first file. CPUs come in the
order of the files, the first is in the picture, which carries a digest of the files it was drawn from, so that
--check needs no matplotlib.
"""
import argparse
import hashlib
import pathlib
import sys

import results_io
from results_io import FORMATS, MODES, Case, best_peer

ROOT = pathlib.Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
SHAPE = "llama2-7b.attn_q"
M = [512, 32, 8, 1]
SHORT_M = {512: "prompt: m = 512", 8: "m = 8", 1: "one token: m = 1"}


def threads_of(run):
    return min(case.threads for case in run.cases)


def rows_of(run, form, mode, m):
    """what was measured at one thread: {backend: row}"""
    pages = None if m > 8 else "4k" if mode == "in_place" else "2m"
    return run.cases.get(Case(form, mode, SHAPE, m, pages, threads_of(run)), {})


def cell(run, form, mode, m):
    """ours (median), what the best sample reaches of the ceiling, and the ratio to the best peer"""
    rows = rows_of(run, form, mode, m)
    ours, peer = rows.get("tessera"), best_peer(rows)
    if not ours or not ours.usable:
        return "wrong" if ours and ours.error else "-"
    text = f"{ours.gflops:.0f}, {ours.percent_of_roofline:.0f} %" + (" bw" if ours.bound == "bandwidth" else "")
    if not ours.answer or peer and not peer.answer:
        return text + ", no answer"
    return text + (f"<br>{ours.gflops / peer.gflops:.2f} x {peer.backend}" if peer else "<br>no peer")


def short_cell(run, form, m):
    """the ratio of our better mode to the best that any other library does in either mode, and our figure"""
    both = [rows_of(run, form, mode, m) for mode in MODES]
    ours = [rows["tessera"] for rows in both if "tessera" in rows and rows["tessera"].usable]
    peers = [peer for peer in map(best_peer, both) if peer]
    if not ours:
        return "-"
    best = max(ours, key=lambda row: row.gflops)
    if not peers:
        return f"no peer ({best.gflops:.0f})"
    peer = max(peers, key=lambda row: row.gflops)
    if not best.answer or not peer.answer:
        return f"no answer ({best.gflops:.0f})"
    return f"**{best.gflops / peer.gflops:.2f} x** {peer.backend} ({best.gflops:.0f})"


def heading(run):
    context, threads = run.context, threads_of(run)
    target = run.results[0].named("backend").get("tessera", "").partition(":")[0]
    return (f"{run.cpu}{f' ({target})' if target else ''}, {threads} thread{'s' if threads > 1 else ''}, "
            f"{run.compiler}, {context.get('date', '')[:10]}, commit {context.get('commit', 'unknown')}:")


def header(first, columns):
    return ["| " + " | ".join([*first, *columns]) + " |", "|---" * (len(first) + len(columns)) + "|"]


def formats_of(run):
    return [form for form in FORMATS
            if form != "u8s8" and any(rows_of(run, form, mode, m) for mode in MODES for m in M)]


def short_table(run):
    lines = ["", heading(run), "", *header(["W"], [SHORT_M[m] for m in SHORT_M])]
    for form in formats_of(run):
        lines.append("| " + " | ".join([form, *(short_cell(run, form, m) for m in SHORT_M)]) + " |")
    return lines


def table(run):
    lines = ["", heading(run), "", *header(["W", ""], [f"m = {m}" for m in M])]
    for form in formats_of(run):
        for mode in MODES:
            cells = [cell(run, form, mode, m) for m in M]
            if any(text != "-" for text in cells):
                lines.append(f"| {form} | {mode.replace('_', ' ')} | " + " | ".join(cells) + " |")
    sources = ", ".join(f"[{pathlib.Path(result.path).name}]({pathlib.Path(result.path).name})"
                        for result in run.results)
    peers = ", ".join(name for name in run.results[0].named("backend") if not results_io.is_ours(name))
    lines += ["", f"Measured beside it: {peers}. All figures: {sources}."]
    return lines


def section(runs):
    lines = [BEGIN, "![Roofline](bench/results/roofline.png)", "",
             "W is 4096 x 4096, m the rows of x. A cell is our speed over that of the best other library, each with W "
             "as it lies or packed, whichever it is faster with; in brackets our GFLOP/s. "
             "[products.md](bench/results/products.md) has both ways apart, beside what the CPU can do at most."]
    for run in runs:
        lines += short_table(run)
    return "\n".join([*lines, END])


def products(runs):
    lines = ["<!-- SPDX-License-Identifier: MIT -->", "<!-- Made by bench/update_readme.py. -->", "# Products", "",
             "W is 4096 x 4096. A cell: GFLOP/s (median); the best sample in percent of the measured peak of the "
             "format's instructions, or of the memory bandwidth (bw) where that is the lower ceiling; and the ratio to "
             "the best other library in the same mode and run. With m <= 8 the weights come from memory, in place on "
             "4 KiB pages, packed on 2 MiB pages. \"no peer\": no other library measured has that mode. \"no answer\": "
             "the samples scatter too widely to say."]
    for run in runs:
        lines += table(run)
    return "\n".join(lines) + "\n"


def replaced(text, new):
    begin, end = text.find(BEGIN), text.find(END)
    if begin < 0 or end < begin:
        raise results_io.BadResult(f"README.md has no part between {BEGIN} and {END}")
    return text[:begin] + new + text[end + len(END):]


def digest(run):
    """of all that the results say: what a picture made from other results does not carry"""
    joined = hashlib.sha256()
    for result in run.results:
        joined.update(pathlib.Path(result.path).read_bytes())
    return joined.hexdigest()


def draw(run, path):
    import plots
    figure = plots.roofline(run)
    figure.savefig(path, metadata={"Source": digest(run)})
    plots.plt.close(figure)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="+", metavar="RESULT.json", type=pathlib.Path)
    parser.add_argument("--check", action="store_true", help="change nothing, only compare")
    parser.add_argument("--root", type=pathlib.Path, default=ROOT, help="the checkout")
    options = parser.parse_args(arguments)
    readme, results = options.root / "README.md", options.root / "bench" / "results"
    image, full = results / "roofline.png", results / "products.md"
    try:
        runs = {}
        for run in results_io.runs([results_io.load(path) for path in options.results]):
            if not run.cases:
                raise results_io.BadResult("the results hold no measurement")
            runs.setdefault(run.cpu, run)
        run = next(iter(runs.values()))
        old = readme.read_text(encoding="utf-8")
        new = replaced(old, section(runs.values()))
        if not options.check:
            draw(run, image)
            readme.write_text(new, encoding="utf-8")
            full.write_text(products(runs.values()), encoding="utf-8")
            return 0
        stale = ["README.md"] if new != old else []
        if not full.exists() or full.read_text(encoding="utf-8") != products(runs.values()):
            stale.append("bench/results/products.md")
        if not image.exists() or b"Source\0" + digest(run).encode() not in image.read_bytes():
            stale.append("bench/results/roofline.png")
    except (results_io.BadResult, OSError) as error:
        print(f"update_readme.py: {error}", file=sys.stderr)
        return 2
    except ImportError as error:
        print(f"update_readme.py: {error} (Debian: apt-get install python3-matplotlib)", file=sys.stderr)
        return 2
    for name in stale:
        print(f"{name} is not what these results give: run bench/update_readme.py "
              + " ".join(map(str, options.results)))
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
