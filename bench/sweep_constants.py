#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures values of the constants in sweep_constants.toml and writes sweeps/<name>.tsv.

For each value, a copy of include/ with that one number changed is compiled for one instruction set,
with sweep_constants.cc, to a shared object. All values of a constant work in one process on the same
data and take turns (A B C, C B A, ...); the table has medians.

    python3 bench/sweep_constants.py --highway build/release/_deps/highway-src NAME...
"""
import argparse
import concurrent.futures
import ctypes
import hashlib
import json
import multiprocessing
import os
import pathlib
import re
import statistics
import subprocess
import tomllib

BENCH, ROOT = pathlib.Path(__file__).resolve().parents[:2]
FLAGS = ["-std=c++20", "-O3", "-DNDEBUG", "-fPIC", "-shared", "-fvisibility=hidden",
         "-fno-gnu-unique", "-DHWY_COMPILE_ONLY_STATIC", "-DHWY_WANT_AVX3_DL", "-pthread"]
CPUS = {"207": "Emerald Rapids", "143": "Sapphire Rapids", "97": "Zen 4"}  # by model


def changed(text, find, value):
    """`text` with the first group of each match of `find` replaced."""
    spans = [match.span(1) for match in re.finditer(find, text)]
    assert len({text[begin:end] for begin, end in spans}) == 1, f"{find} finds not one number"
    for begin, end in reversed(spans):
        text = text[:begin] + value + text[end:]
    return text


def variant(constant, value, march, options):
    """Where the library with that value is, and the texts of its headers."""
    file, lists = f"tessera/{constant['file']}", "tessera/format/list.h"
    texts = {str(path.relative_to(ROOT / "include")): re.sub(r"\s*//.*", "", path.read_text(encoding="utf-8"))
             for path in sorted((ROOT / "include").rglob("*.h"))}  # without comments, which may change
    formats = sorted({case[0].upper() for case in constant["cases"]} | {"F32"})  # few compile faster
    texts[lists] = f"#define TESSERA_FORMATS {', '.join(formats)}\n" + texts[lists]
    texts[file] = changed(texts[file], constant["find"], value)
    code = json.dumps([march, options.compiler, (BENCH / "sweep_constants.cc").read_text(), texts])
    return options.build / hashlib.sha256(code.encode()).hexdigest()[:16], texts


def build(folder, texts, march, options):
    library = folder / "variant.so"
    if not library.exists():
        for path, text in texts.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
        subprocess.run([options.compiler, *FLAGS, *f"-march={march}".split(), "-I", folder, "-isystem", options.highway,
                        BENCH / "sweep_constants.cc", "-o", folder / "new.so"], check=True)
        (folder / "new.so").rename(library)
    return library


def build_highway(options):
    """What of Highway is no header, for all variants."""
    library, source = options.build / "highway.so", options.highway + "/hwy"
    subprocess.run([options.compiler, *FLAGS[:5], "-I", options.highway, source + "/abort.cc",
                    source + "/targets.cc", "-o", library], check=True)
    return library


def measure(highway, libraries, case, rounds):
    """[(median, half the distance of the quartiles as a share), ...] of the libraries."""
    w, mode, n, k, m = case
    gemm = mode.startswith("gemm_")
    if gemm or mode in ("in_place", "packed", "serial", "pack_x"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    ctypes.CDLL(str(highway), ctypes.RTLD_GLOBAL)
    loaded = [ctypes.CDLL(str(library)) for library in libraries]
    make = loaded[0].make_case
    make.restype, make.argtypes = ctypes.c_void_p, [ctypes.c_char_p] * 2 + [ctypes.c_size_t] * 3
    data = ctypes.c_void_p(make(w.encode(), mode.encode(), n, k, m))
    for library in loaded:
        library.turn.restype, library.result.restype = ctypes.c_double, ctypes.c_uint64
    results = {library.result(data) for library in loaded}  # where dots end and tiles begin changes bits
    assert data and (gemm or len(results) == 1), f"{case}: results differ"
    speeds = [[] for _ in loaded]
    for i in range(rounds):
        for speed, library in list(zip(speeds, loaded))[::1 if i % 2 == 0 else -1]:
            speed.append(library.turn(data, ctypes.c_double(0.02)))
    quartiles = [statistics.quantiles(s, n=4) for s in speeds]
    return [(q[1], (q[2] - q[0]) / 2 / q[1]) for q in quartiles]


def start_builds(constant, options, pool, jobs):
    """{(value, march): library to be}; what several constants have in common is compiled once."""
    started = {}
    for march in {(case[5:] or ["native"])[0] for case in constant["cases"]}:
        for value in map(str, constant["values"]):
            folder, texts = variant(constant, value, march, options)
            job = jobs.get(folder) or pool.submit(build, folder, texts, march, options)
            jobs[folder] = started[value, march] = job
    return started


def sweep(constant, highway, libraries, options):
    values, rows, noise = list(map(str, constant["values"])), [], 0.0
    for w, mode, n, k, ms, *march in constant["cases"]:
        variants = [libraries[value, (march or ["native"])[0]] for value in values]
        for m in ms:
            with multiprocessing.Pool(1) as process:  # its memory goes with it
                medians = process.apply(measure, (highway, variants, (w, mode, n, k, m), options.rounds))
            noise = max([noise, *(spread for _, spread in medians)])
            rows += [[" ".join([w, *march]), mode, n, k, m, f"{constant['name']}={value}", f"{speed:.4g}"]
                     for value, (speed, _) in zip(values, medians)]
    print(constant["name"], f"noise {noise:.1%}", *rows, sep="\n", flush=True)
    info = pathlib.Path("/proc/cpuinfo").read_text()
    cpu = CPUS.get(re.search(r"^model\s*: (\d+)", info, re.M)[1], re.search(r"model name\s*: (.*)", info)[1])
    version, commit = [subprocess.check_output(command, text=True).strip() for command in (
        [options.compiler, "-dumpversion"], ["git", "-C", ROOT, "rev-parse", "--short", "HEAD"])]
    start = [cpu, f"{options.compiler} {version}", commit, f"sweep_constants.py {constant['name']}"]
    lines = ["# SPDX-License-Identifier: MIT", f"# {constant['about']}",
             f"# Medians of {options.rounds} turns; half the distance of the quartiles is {noise:.1%} at most.",
             "# Modes: bench/sweep_constants.toml. Where x or W is only packed: 10^9 values a second.",
             "cpu\tcompiler\tcommit\tcommand\tw\tmode\tn\tk\tm\tchoice\tGFLOP/s"]
    lines += ["\t".join(map(str, start + row)) for row in rows]
    (BENCH / "sweeps" / f"{constant['name']}.tsv").write_text("\n".join([*lines, ""]), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="constants (default: all)")
    parser.add_argument("--highway", required=True, help="folder with hwy/highway.h in it")
    parser.add_argument("--compiler", default="g++")
    parser.add_argument("--build", default=ROOT / "build" / "sweep_constants", type=pathlib.Path)
    parser.add_argument("--build-only", action="store_true")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    constants = tomllib.loads((BENCH / "sweep_constants.toml").read_text(encoding="utf-8"))["constant"]
    wanted = [c for c in constants if c["name"] in (options.names or [c["name"]])]
    options.build.mkdir(parents=True, exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs, highway = {}, build_highway(options)
        started = [start_builds(constant, options, pool, jobs) for constant in wanted]
        for constant, builds in zip(wanted, started):
            libraries = {key: job.result() for key, job in builds.items()}
            if not options.build_only:
                sweep(constant, highway, libraries, options)


if __name__ == "__main__":
    main()
