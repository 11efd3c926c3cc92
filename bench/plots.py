# SPDX-License-Identifier: MIT
"""The pictures of the report, with matplotlib: each function draws one and returns the figure.

Ours is drawn in one strong colour and thicker, every other backend in its own, the same everywhere. A
picture has at most eight series: ours, and the peers that are best most often in what it shows.
"""
import collections

import matplotlib
from results_io import FORMATS, MODES, PEAK_OF, family, is_ours

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.lines import Line2D  # noqa: E402
from matplotlib.patches import Patch  # noqa: E402
from matplotlib.ticker import FuncFormatter  # noqa: E402

SERIES = 8
COLOURS = {"tessera": "#d62728", "tessera-exact": "#ff9896", "mkl": "#1f77b4", "mkl-as-is": "#9ec5e8",
           "openblas": "#2ca02c", "openblas-debian": "#a5dca0", "blis": "#17becf", "onednn": "#7f4fc9",
           "onednn-sycl": "#c9b3e6", "libxsmm": "#bcbd22", "ggml": "#8c564b", "aocl": "#e377c2",
           "ik_llama.cpp": "#111111", "gemma.cpp": "#7f7f7f"}
MARKERS = {"f32": "o", "bf16": "o", "f16": "^", "q8_0": "o", "q4_0": "^", "q4_1": "s", "q5_0": "v", "q5_1": "<",
           "iq4_nl": ">", "mxfp4": "p", "q4_K": "D", "q5_K": "d", "q6_K": "h", "u8s8": "x"}
NEWER = [(marker, form) for form, marker in MARKERS.items() if marker not in "o^sx"]
MODE_TEXT = {"in_place": "weights in place", "packed": "weights packed"}
MAIN_SHAPE = "llama2-7b.attn_q"
PLAIN = FuncFormatter(lambda value, _: f"{value:g}")
PLAIN_125 = FuncFormatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else "")
plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
                     "figure.dpi": 110, "hatch.linewidth": 0.6, "svg.hashsalt": "tessera"})


def colour(backend):
    return COLOURS.get(backend) or COLOURS.get(family(backend)) or "#999999"


def fill(row):
    return {"facecolor": colour(row.backend), "hatch": "////" if row.published else None,
            "edgecolor": "white" if row.published else "none"}


def share(row):
    """percent of the peak of the format's instruction class, for `exact` too, so that bars can be compared"""
    return 100 * row.best_gflops / row.format_peak


def chosen(cases, most=SERIES):
    """The backends to draw from [{backend: Row}], ours first, then by how often and how well they do."""
    score = collections.Counter()
    for rows in cases:
        top = max((row.gflops for row in rows.values() if row.usable), default=1)
        for backend, row in rows.items():
            if row.usable:
                score[backend] += (row.gflops / top) ** 4
    ours = [name for name in ("tessera",) if name in score]
    peers = [name for name, _ in score.most_common() if not is_ours(name)]
    exact = [name for name in ("tessera-exact",) if name in score]
    return (ours + peers + exact)[:most]


def select(run, **wanted):
    """{case: rows} of the cases in which each named field has one of the given values"""
    return {case: rows for case, rows in run.cases.items()
            if all(getattr(case, field) in values for field, values in wanted.items())}


def with_published(cases, published):
    cases = {case: dict(rows) for case, rows in cases.items()}
    for row in published:
        if row.case in cases:
            cases[row.case][row.backend] = row
    return cases


def first_rows(cases, names):
    """one row of each name, for the legend"""
    return {name: next(rows[name] for rows in cases.values() if name in rows) for name in names}


def legend_text(row):
    return row.backend + "\n(published,\nnot in this run)" * row.published


def one_thread(run):
    return [min(case.threads for case in run.cases)]


def empty(axes, text="not measured"):
    axes.text(0.5, 0.5, text, ha="center", va="center", color="#888888", transform=axes.transAxes)
    axes.set_xticks([])
    axes.set_yticks([])


def roofline(run):
    """One panel for each instruction class: the measured roofs; points of the main shape and the cubes."""
    threads = one_thread(run)
    figure, panels = plt.subplots(1, 3, figsize=(16, 6), layout="constrained")
    shown = {case: rows for case, rows in select(run, threads=threads, pages=[None, "2m"]).items()
             if case.shape == MAIN_SHAPE or case.shape.startswith("cube") and case.mode == "packed"}
    names = chosen([rows for case, rows in shown.items() if case.format != "u8s8"])
    names = [name for name in names if name != "tessera-exact"]
    for axes, what in zip(panels, ("f32", "bf16", "int8")):
        formats = [form for form in FORMATS if PEAK_OF.get(form, "int8") == what and form != "u8s8"]
        rows = [row for case, found in shown.items() if case.format in formats
                for name, row in found.items() if name in names and row.usable and (row.counts or is_ours(name))]
        if not rows:
            empty(axes)
            axes.set_title(f"{what}: not measured")
            continue
        for row in sorted(rows, key=lambda row: is_ours(row.backend)):
            ours, packed = is_ours(row.backend), row.case.mode == "packed"
            axes.scatter(row.intensity, row.best_gflops, s=46 if ours else 20, marker=MARKERS[row.case.format],
                         facecolors=colour(row.backend) if packed else "none", edgecolors=colour(row.backend),
                         linewidths=1.4 if ours else 0.9, alpha=1 if ours else 0.75, zorder=4 if ours else 3)
        low, high = min(row.intensity for row in rows) / 1.6, max(row.intensity for row in rows) * 2
        draw_roofs(axes, run, what, threads[0], low, high)
        bottom = max(min(row.best_gflops for row in rows) / 1.5, rows[0].peak / 300)
        axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(bottom, rows[0].peak * 1.5),
                 title=(", ".join(formats) if len(formats) < 5 else f"{len(formats)} block formats") +
                 f" (roof: {what})", xlabel="flop per byte of W, x and y")
        axes.grid(True, which="major", color="#eeeeee")
        axes.yaxis.set_major_formatter(PLAIN)
        axes.yaxis.set_minor_formatter(PLAIN_125)
        axes.xaxis.set_major_formatter(PLAIN)
        axes.xaxis.set_minor_formatter(PLAIN_125)
    panels[0].set_ylabel("GFLOP/s, best pass")
    keys = [Line2D([], [], ls="", marker="o", color=colour(name), ms=9 if is_ours(name) else 6, label=name)
            for name in names]
    keys += [Line2D([], [], ls="", marker="o", mfc=inside, mec="#444444", label=MODE_TEXT[mode])
             for inside, mode in (("none", "in_place"), ("#444444", "packed"))]
    keys += [Line2D([], [], ls="", marker=marker, mfc="none", mec="#444444", label=text)
             for marker, text in (("o", "f32, bf16, q8_0"), ("^", "f16, q4_0"), ("s", "q4_1"), *NEWER)]
    roofs = {line.get_label(): line for axes in panels for line in axes.get_legend_handles_labels()[0]}
    figure.legend(handles=keys + list(roofs.values()), loc="outside right upper", frameon=False)
    plural = "s" if threads[0] > 1 else ""
    figure.suptitle(f"Roofline, {threads[0]} thread{plural}: {MAIN_SHAPE} at each m, and cubes (packed)")
    return figure


def draw_roofs(axes, run, what, threads, low, high):
    result = run.results[0]
    peak = result.peak(what, threads)
    axes.plot([low, high], [peak, peak], color="black", lw=1.6, zorder=2)
    axes.text(high, peak * 1.05, f"{what} peak {peak:.0f} GFLOP/s", ha="right", va="bottom", fontsize=10)
    ceilings = result.ceilings()
    for name, key, style in (("L2:", "L2", ":"), ("L3:", "L3", "-."), ("memory, 2 MiB:", "memory/pages:2m", "-"),
                             ("memory, 4 KiB:", "memory/pages:4k", "--")):
        rate = ceilings.get(f"read/{key}/threads:{threads}")
        if rate and low < peak / rate:
            axes.plot([low, peak / rate], [low * rate, peak], color="#777777", lw=1.1, ls=style, zorder=1,
                      label=f"{name} {rate:.0f} GB/s")


def bars(run, form, published=()):
    """In place and packed: percent of the peak for each shape at its prefill size; None if there are none."""
    threads = one_thread(run)
    cases = {case: rows for case, rows in select(run, format=[form], threads=threads, pages=[None]).items()
             if case.m >= 512 and not case.shape.startswith("cube")}
    cases = with_published(cases, published)
    names = chosen(cases.values(), most=14)  # all that there are
    if not names:
        return None
    figure, panels = plt.subplots(2, 1, figsize=(14, 8), layout="constrained", sharey=True)
    for axes, mode in zip(panels, MODES):
        here = {case: rows for case, rows in cases.items() if case.mode == mode}
        present = [name for name in names if any(name in rows and rows[name].usable for rows in here.values())]
        axes.set_title(MODE_TEXT[mode], loc="left")
        axes.set_ylabel("percent of peak, best pass")
        if not present:
            empty(axes)
            continue
        width = min(0.84 / len(present), 0.16)
        for index, name in enumerate(present):
            for place, rows in enumerate(here.values()):
                row = rows.get(name)
                if row and row.usable:
                    x = place + (index + 0.5 - len(present) / 2) * width
                    height = share(row)
                    axes.bar(x, height, width * 0.92, **fill(row))
                    text = f"{height:.0f} %" + " ?" * (not row.answer) + "*" * (not row.counts and not is_ours(name))
                    axes.text(x, height + 1, text, ha="center", va="bottom", rotation=90, fontsize=9,
                              fontweight="bold" if is_ours(name) else "normal")
        labels = ["\n".join([*case.shape.rsplit(".", 1), f"m = {case.m}"]) for case in here]
        axes.set_xticks(range(len(here)), labels)
        axes.set_xlim(-0.55, len(here) - 0.45)
        axes.axhline(100, color="#bbbbbb", lw=1, zorder=0)
        axes.grid(True, axis="y", color="#eeeeee")
    top = max(share(row) for rows in cases.values() for name, row in rows.items() if name in names and row.usable)
    panels[0].set_ylim(0, max(116, 1.16 * top))
    keys = [Patch(label=legend_text(row), **fill(row)) for row in first_rows(cases, names).values()]
    figure.legend(handles=keys, loc="outside right upper", frameon=False)
    figure.suptitle(f"{form}: percent of the measured {PEAK_OF.get(form, 'int8')} peak, {threads[0]} thread"
                    "  (? no answer, * turns the weights into another format)")
    return figure


def curve(run, form, published=()):
    """GFLOP/s (median) over m = 1..64 of the main shape, with the ceiling; None if there are too few."""
    threads = one_thread(run)
    cases = select(run, format=[form], threads=threads, shape=[MAIN_SHAPE], pages=[None, "2m"], m=range(1, 65))
    cases = with_published(cases, published)
    names = chosen(cases.values())
    if len({case.m for case in cases}) < 3 or not names:
        return None
    figure, panels = plt.subplots(1, 2, figsize=(15, 6), layout="constrained", sharey=True)
    for axes, mode in zip(panels, MODES):
        here = {case.m: rows for case, rows in cases.items() if case.mode == mode}
        axes.set_title(MODE_TEXT[mode], loc="left")
        for name in reversed(names):
            rows = {m: rows[name] for m, rows in here.items() if name in rows and rows[name].usable}
            ours = is_ours(name)
            axes.plot(rows.keys(), [row.gflops for row in rows.values()], marker="o", ms=6 if ours else 3.5,
                      lw=2.6 if name == "tessera" else 1.3, color=colour(name), zorder=4 if ours else 3,
                      ls=":" if any(row.published for row in rows.values()) else "-")
        measured = {m: [row for row in rows.values() if row.usable and not row.published] for m, rows in here.items()}
        roof = {m: max(row.roofline for row in rows) for m, rows in measured.items() if rows}
        axes.plot(roof.keys(), roof.values(), color="black", lw=1.2, ls="--", zorder=2)
        axes.set_xscale("log", base=2)
        ticks = sorted({case.m for case in cases})
        axes.set_xticks(ticks, list(map(str, ticks)))
        axes.minorticks_off()
        axes.axvspan(ticks[0] * 0.9, 10 if max(ticks) > 8 else 8, color="#f5f5f5", zorder=0)
        axes.set(xlabel="m (rows of x); grey: weights from memory, 2 MiB pages",
                 xlim=(ticks[0] * 0.9, ticks[-1] * 1.1))
        axes.grid(True, color="#eeeeee")
    panels[0].set_ylabel("GFLOP/s, median")
    panels[0].set_ylim(bottom=0)
    keys = [Line2D([], [], color=colour(name), marker="o", lw=2.6 if is_ours(name) else 1.3, label=legend_text(row),
                   ls=":" if row.published else "-") for name, row in first_rows(cases, names).items()]
    keys.append(Line2D([], [], color="black", ls="--", label="ceiling"))
    figure.legend(handles=keys, loc="outside right upper", frameon=False)
    figure.suptitle(f"{form}, {MAIN_SHAPE}: rate over m, {threads[0]} thread")
    return figure


def scaling(run):
    """How many times the rate of one thread the most threads reach; None if there is one count only."""
    counts = sorted({case.threads for case in run.cases})
    if len(counts) < 2:
        return None
    few, many = counts[0], counts[-1]
    figure, panels = plt.subplots(2, 1, figsize=(14, 8), layout="constrained", sharey=True)
    drawn = select(run, shape=[MAIN_SHAPE], m=[1, 512], pages=[None, "2m"], threads=[few])
    names = chosen(drawn.values())
    for axes, m in zip(panels, (512, 1)):
        here = [case for case in drawn if case.m == m and case.format != "u8s8"]
        for place, case in enumerate(here):
            pairs = [(name, run.find(name, **{**vars(case), "threads": many}), run.cases[case].get(name))
                     for name in names]
            pairs = [(name, more, one) for name, more, one in pairs if more and one and more.usable and one.usable]
            for index, (name, more, one) in enumerate(pairs):
                width = min(0.84 / len(pairs), 0.16)
                x, gain = place + (index + 0.5 - len(pairs) / 2) * width, more.gflops / one.gflops
                axes.bar(x, gain, width * 0.92, color=colour(name))
                axes.text(x, gain + 0.02, f"{gain:.2f}", ha="center", va="bottom", rotation=90, fontsize=8.5,
                          fontweight="bold" if is_ours(name) else "normal")
        axes.axhline(many / few, color="#bbbbbb", lw=1, zorder=0)
        axes.set_xticks(range(len(here)), [f"{case.format}\n{case.mode.replace('_', ' ')}" for case in here])
        axes.set_xlim(-0.5, len(here) - 0.5)
        axes.set_title(f"{MAIN_SHAPE}, m = {m}" + (", weights from memory (2 MiB pages)" if m == 1 else ""), loc="left")
        axes.set_ylabel(f"{many} threads over {few}, medians")
        axes.grid(True, axis="y", color="#eeeeee")
    panels[0].set_ylim(0, 1.25 * many / few)
    figure.legend(handles=[Patch(color=colour(name), label=name) for name in names],
                  loc="outside right upper", frameon=False)
    figure.suptitle(f"Thread scaling, {few} to {many} threads (line: {many / few:g} times)")
    return figure


def all_pictures(run, published=()):
    """Yields (name, figure or None); who asks closes the figure."""
    formats = [form for form in FORMATS if any(case.format == form for case in run.cases)]
    yield "roofline", roofline(run)
    for form in formats:
        yield f"bars-{form}", bars(run, form, published)
        yield f"curve-{form}", curve(run, form, published)
    yield "threads", scaling(run)
