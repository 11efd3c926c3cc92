# SPDX-License-Identifier: MIT
"""Reads what tessera-bench writes, for the scripts of this folder.

A row is one backend on one case (format, mode, shape, m, pages, threads). It has the ceilings that took
turns with it, so that every percentage is of what the machine could do just then; in files of old those
of the file, measured when the process began. A percentage of a ceiling is that of the best pass; what
compares libraries is the median.
"""
import dataclasses
import gzip
import json
import pathlib
import re
import statistics
import tomllib

FORMATS = ["f32", "bf16", "f16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "iq4_nl", "mxfp4", "q4_K", "q5_K", "q6_K", "u8s8"]
MODES = ["in_place", "packed"]
SHAPES = {  # name: (n, k)
    "llama2-7b.attn_q": (4096, 4096), "llama2-7b.ffn_up": (11008, 4096), "tinyllama-1.1b.ffn_up": (5632, 2048),
    "tinyllama-1.1b.attn_q": (2048, 2048), "llama3.2-1b.ffn_up": (8192, 2048), "llama3-8b.ffn_up": (14336, 4096),
    "qwen3-30b-a3b.experts_up": (768 * 8, 2048), "qwen3-30b-a3b.expert_up": (768, 2048),  # of a row: 8 experts
    "smollm-135m.ffn_up": (1536, 576), "clip-vit-l.ffn_up": (4096, 1024), "odd.37x1000x992": (1000, 992)}
PEAK_OF = {"f32": "f32", "f16": "f32", "bf16": "bf16"}  # instruction class; all others: int8
BYTES_PER_WEIGHT = {"f32": 4, "f16": 2, "bf16": 2, "u8s8": 1, "q8_0": 34 / 32, "q4_0": 18 / 32, "q4_1": 20 / 32,
                    "q5_0": 22 / 32, "q5_1": 24 / 32, "iq4_nl": 18 / 32, "mxfp4": 17 / 32,
                    "q4_K": 144 / 256, "q5_K": 176 / 256, "q6_K": 210 / 256}
MICROSECONDS = {"ns": 1e-3, "us": 1, "ms": 1e3, "s": 1e6}
PUBLISHED = "published figure, not measured in this run"
NAME = re.compile(r"matmul/(?P<format>[^/]+)/(?P<mode>[^/]+)/(?P<shape>[^/]+)/m:(?P<m>\d+)"
                  r"(?:/pages:(?P<pages>\w+))?/threads:(?P<threads>\d+)/(?P<backend>[^/]+)")


class BadResult(Exception):
    """A file that cannot be read as a result; its text says which and why."""


def is_ours(backend):
    return backend.split("-")[0] == "tessera"


def family(backend):
    """mkl-as-is -> mkl: what stands for the same library"""
    return backend.split("-")[0]


@dataclasses.dataclass(frozen=True)
class Case:
    format: str
    mode: str
    shape: str
    m: int
    pages: str | None  # "4k" or "2m" if the weights come from memory
    threads: int

    def order(self):
        def place(value, values):
            return (values.index(value) if value in values else len(values), value)
        size = [int(part) for part in re.findall(r"\d+", self.shape)] if self.shape.startswith("cube") else []
        return (place(self.format, FORMATS), place(self.mode, MODES), place(self.shape, list(SHAPES)) if not size
                else (len(SHAPES) + 1, f"{size[0]:9}"), self.threads, self.m, self.pages or "")

    def __str__(self):
        pages = f" pages:{self.pages}" if self.pages else ""
        return f"{self.format} {self.mode} {self.shape} m:{self.m}{pages} threads:{self.threads}"


@dataclasses.dataclass
class Row:
    case: Case
    backend: str
    result: "Result"
    n: int = 0
    k: int = 0
    median_us: float = 0.0
    best_us: float = 0.0
    noise: float = 0.0  # percent
    answer: bool = True
    error: str = ""
    published: bool = False
    own_peak: float | None = None  # measured in turns with it; GFLOP/s, GB/s
    own_bandwidth: float | None = None
    w_rows: int | None = None  # of W that were read, if not all n

    @property
    def name(self):
        """as tessera-bench calls it"""
        pages = f"/pages:{self.case.pages}" if self.case.pages else ""
        return (f"matmul/{self.case.format}/{self.case.mode}/{self.case.shape}/m:{self.case.m}{pages}"
                f"/threads:{self.case.threads}/{self.backend}")

    def _rate(self, microseconds):
        return 2e-3 * self.case.m * self.n * self.k / microseconds

    def _bytes_rate(self, microseconds):
        return self.weight_bytes * 1e-3 / microseconds

    @property
    def gflops(self):
        return self._rate(self.median_us)

    @property
    def best_gflops(self):
        return self._rate(self.best_us)

    @property
    def weight_bytes(self):
        return (self.w_rows or self.n) * self.k * BYTES_PER_WEIGHT[self.case.format]

    @property
    def gbps(self):
        return self._bytes_rate(self.median_us)

    @property
    def best_gbps(self):
        return self._bytes_rate(self.best_us)

    @property
    def intensity(self):
        """flop per byte of W, x and y (both f32)"""
        return 2 * self.case.m * self.n * self.k / (self.weight_bytes + 4 * self.case.m * (self.n + self.k))

    @property
    def instruction_class(self):
        return "f32" if self.backend.endswith("-exact") else PEAK_OF.get(self.case.format, "int8")

    @property
    def peak(self):
        """GFLOP/s of the row's instruction class, None if it was not measured"""
        if self.own_peak:
            return self.own_peak
        target = self.backend.partition("-")[2] if is_ours(self.backend) else ""
        return self.result.peak(self.instruction_class, self.case.threads, target)

    @property
    def format_peak(self):
        """the same for the class of the format, which is another one for `exact`"""
        own, usual = (self.result.peak(what, self.case.threads)
                      for what in (self.instruction_class, PEAK_OF.get(self.case.format, "int8")))
        # The peak just then, times what the one instruction has over the other at the beginning.
        return self.peak * usual / own if own and usual else self.peak

    @property
    def bandwidth(self):
        if not self.case.pages:
            return None
        return self.own_bandwidth or self.result.bandwidth(self.case.pages, self.case.threads)

    @property
    def roofline(self):
        """GFLOP/s: the peak or what reading W from memory once allows, whichever is less"""
        if self.peak is None or (self.case.pages and self.bandwidth is None):
            return None
        if not self.case.pages:
            return self.peak
        return min(self.peak, self.bandwidth * 2 * self.case.m / BYTES_PER_WEIGHT[self.case.format])

    @property
    def usable(self):
        """has numbers, and the ceilings without which they are not shown"""
        return not self.error and self.median_us > 0 and self.roofline is not None

    @property
    def percent_of_peak(self):
        return 100 * self.best_gflops / self.peak

    @property
    def percent_of_bandwidth(self):
        return 100 * self.best_gbps / self.bandwidth

    @property
    def percent_of_roofline(self):
        return 100 * self.best_gflops / self.roofline

    @property
    def bound(self):
        return "peak" if self.roofline == self.peak else "bandwidth"

    @property
    def note(self):
        return self.result.context.get(f"note/{self.backend}/{self.case.format}/{self.case.mode}", "")

    @property
    def counts(self):
        """may stand as a peer: one that turns the weights into another format is shown but does not count"""
        return self.usable and not is_ours(self.backend) and "turns the weights into" not in self.note

    @property
    def mark(self):
        if self.error:
            return self.error if self.error.startswith("wrong") else "error: " + self.error
        return PUBLISHED if self.published else "" if self.answer else "no answer"


@dataclasses.dataclass
class Result:
    """One file: its context and rows."""
    path: str
    context: dict
    rows: list = dataclasses.field(default_factory=list)

    def ceilings(self):
        """{"peak/f32/threads:1": GFLOP/s, "read/memory/pages:4k/threads:1": GB/s, ...}"""
        prefix = "ceiling/"
        return {key[len(prefix):]: float(value) for key, value in self.context.items() if key.startswith(prefix)}

    def peak(self, what, threads, target=""):
        found = self.ceilings()
        names = [what] if what != "bf16" else ["bf16", "f32"]  # some CPUs have no bf16 dot, or a slow one
        if target and any(f"/{target}/" in key for key in found):
            wanted = [f"peak/{name}/{target}/threads:{threads}" for name in dict.fromkeys([*names, "f32"])]
        else:
            wanted = [f"peak/{name}/threads:{threads}" for name in names]
        return max((found[key] for key in wanted if key in found), default=None)

    def bandwidth(self, pages, threads):
        return self.ceilings().get(f"read/memory/pages:{pages}/threads:{threads}")

    def named(self, kind):
        """{name: text} of the context's "kind/name" entries"""
        return {key.partition("/")[2]: text for key, text in self.context.items() if key.startswith(kind + "/")}


def shape_size(shape):
    """-> (n, k)"""
    cube = re.fullmatch(r"cube\.(\d+)", shape)
    return (int(cube[1]),) * 2 if cube else SHAPES.get(shape, (0, 0))


def _row(result, match, entries):
    case = Case(match["format"], match["mode"], match["shape"], int(match["m"]), match["pages"], int(match["threads"]))
    row = Row(case, match["backend"], result)
    row.n, row.k = (int(entries[0].get(key, size)) for key, size in zip("nk", shape_size(case.shape)))
    errors = [entry.get("error_message", "unknown") for entry in entries if entry.get("error_occurred")]
    if errors:
        row.error = errors[0]
        return row

    def times(run_type, name=None):
        return [entry["real_time"] * MICROSECONDS[entry.get("time_unit", "us")] for entry in entries
                if entry.get("run_type", "iteration") == run_type and entry.get("aggregate_name") == name]
    samples = times("iteration")
    row.median_us = statistics.median(samples or times("aggregate", "median"))
    # The best pass of a sample is shorter than it; files of old have the samples alone.
    row.best_us = min([entry["best_us"] for entry in entries if entry.get("run_type", "iteration") == "iteration"
                       and "best_us" in entry] or samples or times("aggregate", "min"))
    row.noise = float(entries[0].get("noise", 0))
    row.answer = entries[0].get("answer", 1) != 0
    row.own_peak, row.own_bandwidth = (entries[0].get(key) for key in ("peak_GFLOPS", "bandwidth_GBps"))
    row.w_rows = entries[0].get("w_rows")
    return row


def load(path):
    """The Result of a JSON file, which may be gzipped."""
    try:
        data = pathlib.Path(path).read_bytes()
        data = json.loads(gzip.decompress(data) if str(path).endswith(".gz") else data)
        result = Result(str(path), data["context"])
        entries = {}
        for entry in data["benchmarks"]:
            match = NAME.match(entry.get("run_name", entry["name"]))
            # What a backend does not offer is no result.
            if match and not entry.get("error_message", "").startswith("unsupported: "):
                entries.setdefault(match[0], (match, []))[1].append(entry)
        result.rows = [_row(result, *found) for found in entries.values()]
        result.ceilings()
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadResult(f"{path}: not a result of tessera-bench: {type(error).__name__}: {error}") from error
    return result


@dataclasses.dataclass
class Run:
    """What the files of one CPU and compiler say together. A case is taken whole from one file, the last that
    has an answer for it, so that it is compared with peers and ceilings of its own process only."""
    cpu: str
    compiler: str
    results: list
    cases: dict  # Case: {backend: Row}

    @property
    def name(self):
        return f"{self.cpu}, {self.compiler}"

    @property
    def context(self):
        return self.results[0].context

    def find(self, backend, **case):
        return self.cases.get(Case(**case), {}).get(backend)

    def backends(self):
        return list(dict.fromkeys(backend for rows in self.cases.values() for backend in rows))


def _has_answer(rows):
    ours = rows.get("tessera")
    return bool(ours and ours.usable and ours.answer)


def runs(results):
    """Groups results by CPU and compiler; what was measured later counts, if it gave an answer."""
    found = {}
    for result in results:
        cpu = result.context.get("cpu", "unknown CPU")
        compiler = result.context.get("compiler", "unknown compiler")
        found.setdefault((cpu, compiler), Run(cpu, compiler, [], {})).results.append(result)
    for run in found.values():
        run.results.sort(key=lambda result: result.context.get("date", ""))
        for result in run.results:
            cases = {}
            for row in result.rows:
                cases.setdefault(row.case, {})[row.backend] = row
            for case, rows in cases.items():
                if case not in run.cases or _has_answer(rows) or not _has_answer(run.cases[case]):
                    run.cases[case] = rows
        run.cases = dict(sorted(run.cases.items(), key=lambda item: item[0].order()))
    return list(found.values())


def best_peer(rows):
    """The row of {backend: Row} with the best median among the peers that count; None if there is none."""
    return max((row for row in rows.values() if row.counts), key=lambda row: row.gflops, default=None)


def load_published(path):
    """Published figures as a Result, whose ceilings are those measured there."""
    try:
        data = tomllib.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        context = {f"ceiling/{key}": value for key, value in data["ceilings"].items()}
        context.update(machine=data["machine"], how=data["how"])
        result = Result(str(path), context)
        for peer in data["peer"]:
            context["backend/" + peer["name"]] = peer["version"]
            for key, note in peer.get("notes", {}).items():
                context[f"note/{peer['name']}/{key}"] = note
            for key, figures in peer["figures"].items():
                form, mode = key.split("/")
                for place, (best, median, _percent) in figures.items():
                    shape, m = place.split("/m:")
                    n, k = shape_size(shape)
                    pages = "2m" if int(m) <= 8 else None
                    flops = 2e-3 * int(m) * n * k
                    result.rows.append(Row(Case(form, mode, shape, int(m), pages, 1), peer["name"], result, n, k,
                                           flops / median, flops / best, published=True))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadResult(f"{path}: {type(error).__name__}: {error}") from error
    return result
