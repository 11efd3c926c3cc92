#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes a report of results of tessera-bench.

  report.py RESULT.json... [-o FOLDER] [--reference TOML]    FOLDER/report.html and the pictures as PNG
  report.py --terminal RESULT.json...                        a table on the terminal

The page is self-contained. Results of the same compiler are one run: a case that was measured again is
taken from the last file that has an answer for it. The pictures need matplotlib, the table does not.
What a library that is missing in the results reached elsewhere comes from --reference, marked as such.
"""
import argparse
import base64
import html
import io
import pathlib
import re
import sys

import results_io
from results_io import PUBLISHED, best_peer, family, is_ours

HERE = pathlib.Path(__file__).resolve().parent
MACHINE = ["cpu", "num_cpus", "mhz_per_cpu", "governor", "microcode", "kernel", "thp", "l1d_bytes", "l2_bytes",
           "l3_bytes", "load_avg", "date", "mode", "threads", "commit", "compiler", "flags", "highway",
           "library_version"]
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 110em; margin: 2em auto; padding: 0 1.5em; color: #222 }
img { max-width: 100%; border: 1px solid #ddd; margin: .4em 0 1.2em }
table { border-collapse: collapse; font-size: 13px; margin: .6em 0 1.6em }
th, td { padding: .18em .6em; border-bottom: 1px solid #e4e4e4; text-align: left; vertical-align: top }
th { border-bottom: 2px solid #888; position: sticky; top: 0; background: #fff }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
tr.ours td { background: #fdecec } tr.published td { color: #777; font-style: italic }
tr.case td { border-top: 2px solid #bbb } .bad { color: #b00020; font-weight: bold }
"""


# ---- what a row says ----------------------------------------------------------------------

def percent_of_ceiling(row):
    """of the lower of peak and bandwidth"""
    return f"{row.percent_of_roofline:.0f} % of {row.bound}"


def missing_published(run, published):
    """the published rows of libraries that this run did not measure, for cases that it has"""
    present = {family(row.backend) for rows in run.cases.values() for row in rows.values() if row.usable}
    return [row for row in published.rows if family(row.backend) not in present and row.case in run.cases] \
        if published else []


# ---- the terminal -------------------------------------------------------------------------

TERMINAL = ["format", "mode", "shape", "m", "pages", "threads", "GFLOP/s", "best peer", "GFLOP/s", "ratio", "ceiling"]


def terminal_line(case, rows):
    """ours and the best peer (medians), and what ours (best pass) reaches of the ceiling"""
    line = [case.format, case.mode.replace("_", " "), case.shape, str(case.m), case.pages or "", str(case.threads)]
    ours, peer = rows.get("tessera"), best_peer(rows)
    shown = ours if ours and ours.usable else None
    line += [f"{shown.gflops:.1f}" if shown else "-", peer.backend if peer else "-",
             f"{peer.gflops:.1f}" if peer else "-", f"{shown.gflops / peer.gflops:.2f}" if shown and peer else "-"]
    if shown:
        line.append(percent_of_ceiling(shown))
    else:
        line.append(f"({percent_of_ceiling(peer)})" if peer else "no ceiling" if not (ours and ours.error) else "-")
    marks = [f"{row.backend}: {row.mark}" for row in rows.values()
             if row.mark and (row is ours or row is peer or row.error)]
    return line, "; ".join(marks)


def terminal_table(run):
    lines = [terminal_line(case, rows) for case, rows in run.cases.items()]
    columns = list(zip(TERMINAL, *(line for line, _ in lines)))
    widths = [max(map(len, column)) for column in columns]
    left = {0, 1, 2, 7, 10}

    def text(cells, mark=""):
        parts = [cell.ljust(w) if i in left else cell.rjust(w) for i, (cell, w) in enumerate(zip(cells, widths))]
        return ("  ".join(parts) + ("  " + mark if mark else "")).rstrip()
    yield f"{run.name}, commit {run.context.get('commit', 'unknown')}"
    yield "GFLOP/s are medians; the ceiling is what the best pass of ours reaches of it; (...): the peer's"
    yield text(TERMINAL)
    for line, mark in lines:
        yield text(line, mark)
    for name, how in run.results[0].named("missing").items():
        yield f"not measured: {name}: {how}"


# ---- the page -----------------------------------------------------------------------------

def table(head, rows):
    """rows: (class, [cells]); a cell is HTML, or a number's text if it begins with a digit"""
    out = ["<table><thead><tr>", *(f"<th>{html.escape(cell)}</th>" for cell in head), "</tr></thead><tbody>"]
    for kind, cells in rows:
        out.append(f'<tr class="{kind}">')
        out += [f'<td class="number">{cell}</td>' if re.match(r"\d", cell) else f"<td>{cell}</td>" for cell in cells]
        out.append("</tr>")
    return "".join(out) + "</tbody></table>\n"


def named_table(head, entries):
    return table(head, [("", [html.escape(str(cell)) for cell in entry]) for entry in entries])


def result_row(row):
    """cells after those of the case"""
    if row.error or row.median_us <= 0:
        return [html.escape(row.backend), "", "", "", "", "", "", f'<span class="bad">{html.escape(row.mark)}</span>']
    if not row.usable:
        return [html.escape(row.backend), "", "", "", "", "", "", "no ceiling measured: not shown"]
    memory = [f"{row.best_gbps:.1f}", f"{row.percent_of_bandwidth:.0f} %"] if row.case.pages else ["", ""]
    remarks = [f'<span class="bad">{row.mark}</span>' if row.mark == "no answer" else row.mark,
               html.escape(row.note) + (" (does not count)" if not row.counts and not is_ours(row.backend) else "")]
    return [html.escape(row.backend), f"{row.gflops:.1f}", f"{row.best_gflops:.1f}",
            f"{row.percent_of_peak:.0f} % of {row.instruction_class}", *memory,
            "" if row.published else f"{row.noise:.1f} %", ", ".join(filter(None, remarks))]


def full_table(run, published):
    head = ["format", "mode", "shape", "n x k", "m", "pages", "threads", "backend", "GFLOP/s median", "best",
            "of peak", "GB/s best", "of bandwidth", "noise", "remarks"]
    extra = {}
    for row in published:
        extra.setdefault(row.case, []).append(row)
    lines = []
    for case, rows in run.cases.items():
        order = [*rows.values(), *extra.get(case, [])]
        order.sort(key=lambda row: (row.backend != "tessera", row.published, -row.gflops if row.usable else 0))
        n, k = order[0].n, order[0].k
        for index, row in enumerate(order):
            kind = "ours" if is_ours(row.backend) else "published" if row.published else ""
            cells = [case.format, case.mode.replace("_", " "), case.shape, f"{n} x {k}", str(case.m),
                     case.pages or "", str(case.threads)]
            lines.append((kind + (" case" if index == 0 else ""), cells + result_row(row)))
    return table(head, lines)


def ceilings_table(result):
    rows = []
    for key, value in sorted(result.ceilings().items()):
        unit = "GB/s" if key.startswith("read/") else "Gop/s" if "/int" in key else "GFLOP/s"
        rows.append((key, f"{value:.1f} {unit}"))
    return named_table(["ceiling", "measured"], rows)


def picture(name, figure, folder):
    """Saves the figure in the folder; -> the <img> that holds it."""
    data = io.BytesIO()
    figure.savefig(data, format="png")
    (folder / f"{name}.png").write_bytes(data.getvalue())
    return f'<img alt="{name}" src="data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}">\n'


def run_section(run, published, folder, suffix):
    import plots  # only here: the rest works without matplotlib
    extra = missing_published(run, published)
    out = [f"<h2>{html.escape(run.name)}</h2>\n"]
    for result in run.results:
        context = {key: result.context[key] for key in MACHINE if key in result.context}
        context["caches"] = ", ".join(f"L{c['level']} {c['type']} {c['size'] >> 10} KiB, shared by {c['num_sharing']}"
                                      for c in result.context.get("caches", []))
        out += [f"<h3>{html.escape(pathlib.Path(result.path).name)}</h3>\n",
                named_table(["machine and build", ""], [item for item in context.items() if item[1] not in ("", [])]),
                named_table(["measured", "version, code path, flags"], result.named("backend").items()),
                named_table(["not measured", "what was looked for, how to get it"], result.named("missing").items()),
                "<details><summary>ceilings, measured when the process began</summary>", ceilings_table(result),
                "</details>\n"]
    if extra:
        names = dict.fromkeys(row.backend for row in extra)
        context = published.context
        out += [f"<h3>{PUBLISHED}</h3><p>Measured elsewhere: {html.escape(context['machine'])}; "
                f"{html.escape(context['how'])}. Percentages are of the ceilings measured there.</p>",
                named_table(["library", "version and how it was built"],
                            [(name, context[f"backend/{name}"]) for name in names])]
    for name, figure in plots.all_pictures(run, extra):
        if figure is not None:
            out.append(picture(name + suffix, figure, folder))
            plots.plt.close(figure)
    out += ["<h3>All results</h3><p>GFLOP/s = 2 m n k / time. Percentages are of the best pass and of the ceiling "
            "that took turns with it (in files of old: the one above); GB/s counts the bytes of the weights. Noise is half the distance between "
            "the quartiles, in percent of the median; over 5 % there is no answer.</p>", full_table(run, extra)]
    return "".join(out)


def write_report(all_runs, published, folder):
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for run in all_runs:
        suffix = "" if run is all_runs[0] else "-" + re.sub(r"\W+", "-", run.name)
        parts.append(run_section(run, published, folder, suffix))
    page = folder / "report.html"
    page.write_text(f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>tessera-bench</title>'
                    f"<style>{STYLE}</style></head><body><h1>tessera-bench</h1>\n{''.join(parts)}</body></html>\n",
                    encoding="utf-8")
    return page


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="+", metavar="RESULT.json", type=pathlib.Path)
    parser.add_argument("-o", dest="folder", type=pathlib.Path, default=pathlib.Path("."), help="where to write")
    parser.add_argument("--reference", type=pathlib.Path, default=HERE / "results" / "published_peers.toml",
                        help="published figures, for libraries that were not measured")
    parser.add_argument("--terminal", action="store_true", help="print a table instead")
    options = parser.parse_args(arguments)
    try:
        all_runs = results_io.runs([results_io.load(path) for path in options.results])
        if not any(run.cases for run in all_runs):
            raise results_io.BadResult("the results hold no measurement")
        if options.terminal:
            for run in all_runs:
                print(*terminal_table(run), sep="\n")
            return 0
        page = write_report(all_runs, results_io.load_published(options.reference), options.folder)
    except (results_io.BadResult, OSError) as error:
        print(f"report.py: {error}", file=sys.stderr)
        return 1
    except ImportError as error:
        print(f"report.py: {error} (Debian: apt-get install python3-matplotlib)", file=sys.stderr)
        return 1
    print(f"report: {page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
