# SPDX-License-Identifier: MIT
"""Makes up results in the form that tessera-bench writes, for the tests of the scripts.

  synthetic.py [--quick] [--compiler NAME] [--seed N] > RESULT.json
"""
import argparse
import json
import pathlib
import random
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from results_io import BYTES_PER_WEIGHT, PEAK_OF, SHAPES, shape_size  # noqa: E402

PEAKS = {"f32": 117.0, "bf16": 235.0, "int8": 470.0, "int16": 235.0}
MEMORY = {"4k": 26.6, "2m": 33.2}
M = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 512]
# {backend: {format: (in place, packed)}}: share of the peak at m = 512, 0 if it does not have that mode
BACKENDS = {
    "tessera": {"f32": (.95, .98), "bf16": (.94, .97), "f16": (.94, .96), "q8_0": (.71, .76), "q4_0": (.71, .74),
                "q4_1": (.63, .68)},
    "tessera-exact": {"q8_0": (.86, .93), "q4_0": (.85, .92), "q4_1": (.85, .92)},
    "mkl": {"f32": (.86, .95), "bf16": (.90, .94)},
    "mkl-as-is": {"f32": (.66, .69)},
    "openblas": {"f32": (.84, 0), "bf16": (.87, 0)},
    "openblas-debian": {"f32": (.83, 0)},
    "blis": {"f32": (.76, 0)},
    "onednn": {"f32": (.93, .97), "bf16": (.92, .96), "f16": (.60, .62), "u8s8": (.90, .92)},
    "ggml": {"f32": (.64, 0), "bf16": (.81, 0), "f16": (.83, 0), "q8_0": (.24, 0), "q4_0": (.20, .29),
             "q4_1": (.08, 0)},
}


def memory(pages, threads):
    return MEMORY[pages] * threads * (.92 if threads > 1 else 1)


def context(threads, compiler, mode):
    out = {"date": "2026-01-02T03:04:05+00:00", "host_name": "bench", "num_cpus": 2, "mhz_per_cpu": 3670,
           "caches": [], "cpu": "AMD EPYC 9R14", "kernel": "6.1.0", "governor": "unknown", "compiler": compiler,
           "flags": "-O3 -DNDEBUG", "commit": "0123abc", "highway": "1.3.0", "mode": mode,
           "threads": ",".join(map(str, threads)), "thp": "madvise", "l1d_bytes": "32768", "l2_bytes": "1048576",
           "l3_bytes": "33554432", "missing/aocl": "AOCL-BLIS: set TESSERA_AOCL_DIR to its prefix",
           "missing/libxsmm": "libxsmm: apt-get install libxsmm-dev"}
    for backend in BACKENDS:
        out[f"backend/{backend}"] = f"{backend} 1.2.3; AVX-512; -O2"
    for t in threads:
        for what, value in PEAKS.items():
            out[f"ceiling/peak/{what}/threads:{t}"] = f"{value * t:.1f}"
        for target, share in (("SSE4", .25), ("AVX2", 1), ("AVX3", 1), ("AVX3_ZEN4", 1)):
            out[f"ceiling/peak/f32/{target}/threads:{t}"] = f"{PEAKS['f32'] * t * share:.1f}"
        for level, value in (("L1", 215), ("L2", 118), ("L3", 82)):
            out[f"ceiling/read/{level}/threads:{t}"] = f"{value * t:.1f}"
        for pages in MEMORY:
            out[f"ceiling/read/memory/pages:{pages}/threads:{t}"] = f"{memory(pages, t):.1f}"
    return out


def cases(quick, threads):
    """(shape, m, pages, threads)"""
    big = ["llama2-7b.attn_q"] if quick else [shape for shape in SHAPES if shape != "odd.37x1000x992"]
    for t in threads:
        for shape in big:
            for m in M if shape == "llama2-7b.attn_q" else [577] if "clip" in shape else [1, 512]:
                for pages in ("4k", "2m") if m <= 8 else (None,):
                    yield shape, m, pages, t
        for size in (64, 128, 256) if quick else (64, 128, 192, 256, 384, 512):
            yield f"cube.{size}", size, None, t
        yield "odd.37x1000x992", 37, None, t


def seconds(share, form, shape, m, pages, threads, exact, mode):
    n, k = shape_size(shape)
    peak = PEAKS["f32" if exact else PEAK_OF.get(form, "int8")] * 1e9 * threads * .98
    ramp = m / (m + (1.0 if mode == "packed" else 5.0)) / (512 / 517)
    time = 2 * m * n * k / (peak * share * min(1, ramp))
    if pages:
        time = max(time, n * k * BYTES_PER_WEIGHT[form] / (MEMORY[pages] * 1e9 * threads * .95 * (.6 + .4 * share)))
    return time


def entries(name, m, n, k, samples, peak, gbps, bandwidth, own_ceilings):
    """the iterations of one row and their aggregates, as Google Benchmark writes them"""
    median = statistics.median(samples)
    quarters = statistics.quantiles(samples, n=4)
    noise = 50 * (quarters[2] - quarters[0]) / median
    common = {"run_name": name, "family_index": 0, "repetitions": len(samples), "threads": 1, "time_unit": "us"}

    def entry(value, **more):
        gflops = 2e-3 * m * n * k / value
        counters = {"m": m, "n": n, "k": k, "GFLOPS": gflops, "pct_peak": 100 * gflops / peak, "noise": noise,
                    "answer": float(noise <= 5)}
        if bandwidth:
            counters.update(GBps=gbps / value, pct_bandwidth=100 * gbps / value / bandwidth)
        if own_ceilings:
            counters.update(peak_GFLOPS=peak, **({"bandwidth_GBps": bandwidth} if bandwidth else {}))
        return {"name": name, **common, **more, "iterations": 1, "real_time": value, "cpu_time": value, **counters}
    for index, sample in enumerate(samples):
        yield entry(sample, run_type="iteration", repetition_index=index)
    for what, value in (("mean", statistics.fmean(samples)), ("median", median), ("min", min(samples))):
        yield {**entry(value, run_type="aggregate", aggregate_name=what), "name": f"{name}_{what}"}


def result(quick=False, threads=(1, 2), compiler="gcc 12.2.0", seed=1, noise=.01, samples=7, slow=None, backends=None,
           own_ceilings=True):
    """slow: {name of a row: factor on its times}; backends: only those of them; own_ceilings: rows have theirs,
    which files of old do not"""
    rng = random.Random(seed)
    rows = []
    for backend, formats in BACKENDS.items():
        for form, shares in formats.items() if not backends or backend in backends else ():
            for share, mode in zip(shares, ("in_place", "packed")):
                for shape, m, pages, t in cases(quick, threads) if share else ():
                    parts = ["matmul", form, mode, shape, f"m:{m}", f"pages:{pages}" if pages else "", f"threads:{t}"]
                    name = "/".join([part for part in parts if part] + [backend])
                    n, k = shape_size(shape)
                    time = 1e6 * seconds(share, form, shape, m, pages, t, "exact" in backend, mode)
                    time *= (slow or {}).get(name, 1)
                    times = [time * (1 + abs(rng.gauss(0, noise))) for _ in range(samples)]
                    peak = PEAKS["f32" if "exact" in backend else PEAK_OF.get(form, "int8")] * t
                    rows += entries(name, m, n, k, times, peak, n * k * BYTES_PER_WEIGHT[form] * 1e-3,
                                    memory(pages, t) if pages else None, own_ceilings)
    if not backends or "blis" in backends:
        name = "matmul/f32/in_place/odd.37x1000x992/m:37/threads:1/blis-broken"
        rows.append({"name": name, "run_name": name, "run_type": "iteration", "repetitions": 0, "time_unit": "us",
                     "repetition_index": 0, "threads": 1, "error_occurred": True, "iterations": 0, "real_time": 0.0,
                     "cpu_time": 0.0, "error_message": "wrong: y[3,5] = 1.5, should be 1.25, bound 1e-5"})
    out = {"context": context(threads, compiler, "quick" if quick else "full"), "benchmarks": rows}
    out["context"]["note/onednn/f16/packed"] = "turns the weights into bf16"
    return out


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--compiler", default="gcc 12.2.0")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    json.dump(result(options.quick, compiler=options.compiler, seed=options.seed), sys.stdout)
