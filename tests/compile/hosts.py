#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The library as hosts really build it: compilers, optimisation levels and flags, each tried by compiling
the bodies that way, looking for instructions where they must not be, and running products on every
target. ctest runs a few cases with few targets; all of them take an hour or two:

    tests/compile/hosts.py --highway build/release/_deps/highway-src \\
        --hwy-library build/release/_deps/highway-build/libhwy.a

Exit status 1 if one fails, 77 if all that were named are skipped."""

from __future__ import annotations

import argparse
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time

import instructions

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
COMPILERS = ["g++", "g++-11", "clang++-14", "clang++-19"]

# Flags under which a file with the bodies must work, or be refused with this text.
BODIES = {
    "O0": "-O0",
    "O1": "-O1",
    "O2": "-O2",
    "O3": "-O3",
    "Os": "-Os",
    "c++23": "-O0 -std=c++2b",
    "unsigned-char": "-O2 -funsigned-char",
    "no-exceptions": "-O2 -fno-exceptions -fno-rtti",
    "unity": "-O1",
    "hidden": "-O2 -fPIC -fvisibility=hidden -fvisibility-inlines-hidden",
    "lto": "-O2 -flto",
    "asan": "-O1 -fsanitize=address,undefined -fno-sanitize-recover=all",
}
GCC_REFUSES = {"unsigned-char": "compiles Tessera's kernels wrongly with -funsigned-char"}

# Flags of a host's files that only include tessera.h.
FAST_MATH = ["-O0 -ffast-math", "-O1 -ffast-math", "-O2 -ffinite-math-only", "-O3 -ffast-math",
             "-O2 -funsafe-math-optimizations", "-O3 -ffast-math -mavx2 -mfma"]

# Two libraries in one program, the second perhaps with flags of its own.
TWO_LIBRARIES = ["-O0", "-O2", "-O2 -fsanitize=address", "-O2 + -march=x86-64-v3"]

# Two versions in one program: linked into it, or each in a shared library of its own.
TWO_VERSIONS = ["-O2", "-O2 -fPIC -fvisibility=hidden"]

# Formats, and targets beside the baseline's, for the quick form; and what else is never built.
NEVER = "(1LL << 3)|HWY_SVE|HWY_SVE2|HWY_SVE_256|HWY_SVE2_128|HWY_RVV"
FEW_FORMATS = "-DTESSERA_FORMATS=F32,F16,BF16,Q4_0,Q6_K"
FEW = f"{NEVER}|HWY_SSSE3|HWY_SSE4|HWY_AVX2|HWY_AVX3_DL|HWY_AVX3_ZEN4|HWY_AVX3_SPR"
ONE = f"{FEW}|HWY_AVX3|HWY_NEON|HWY_NEON_BF16"


class Failure(Exception):
    pass


class Skip(Exception):
    pass


class Host:
    """One compiler, with a folder of its own for what it makes."""

    def __init__(self, options: argparse.Namespace, compiler: str, folder: pathlib.Path):
        self.options, self.compiler, self.folder = options, compiler, folder
        if not shutil.which(compiler):
            raise Skip(f"no {compiler}")
        self.is_gcc = b"clang" not in subprocess.check_output([compiler, "--version"])

    def run(self, command: list[str]) -> str:
        """The output of a command that must succeed."""
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors="replace")
        if done.returncode != 0:
            raise Failure(f"exit status {done.returncode} of {' '.join(command)}\n{done.stdout[-3000:]}")
        return done.stdout

    def compile(self, source: str | pathlib.Path, flags: str, name: str, targets: str = "") -> str:
        """Compiles without a warning; returns the object file."""
        to = str(self.folder / f"{name}.o")
        command = [self.compiler, "-std=c++20", "-Wall", "-Wextra", "-DHWY_WANT_AVX3_DL", "-Iinclude",
                   "-Itests", *self.options.highway, *flags.split(), "-c", str(source), "-o", to]
        if targets:
            command.append(f"-DHWY_DISABLED_TARGETS=({targets})")
        output = self.run(command)
        if output:
            raise Failure(f"output of {' '.join(command)}\n{output}")
        return to

    def link(self, objects: list[str], flags: str, name: str) -> str:
        program = str(self.folder / name)
        command = [self.compiler, *flags.split(), *objects, self.options.hwy_library, "-o", program]
        if "-flto" in command and not self.is_gcc:
            lld = "ld.lld" + self.compiler.removeprefix("clang++")
            if not shutil.which(lld):
                raise Skip(f"no {lld}")
            command.append(f"--ld-path={lld}")
        self.run(command)
        return program


def bodies(host: Host, name: str) -> str:
    flags, quick = BODIES[name], host.options.quick
    targets, product = (FEW, HERE / "small_product.cc") if quick else ("", ROOT / "tests/plain_test.cc")
    if quick:
        flags += " " + FEW_FORMATS
    source = ROOT / "cmake/impl.cc"
    if name == "unity":  # a host's files in one, with the bodies among them
        source = host.folder / "unity.cc"
        source.write_text(f'#include "{HERE}/tessera_alone.cc"\n#include "{ROOT}/cmake/impl.cc"\n'
                          f'#include "tessera/thread_pool.h"\n#include "{product}"\n')
    if host.is_gcc and name in GCC_REFUSES and platform.machine() == "x86_64":
        try:
            host.compile(source, flags + " -fsyntax-only -Wfatal-errors", name, targets)
        except Failure as refusal:
            if GCC_REFUSES[name] in str(refusal):
                return "refused, as it should be"
        raise Failure("compiled, but should be refused")
    begin = time.monotonic()
    objects = [host.compile(source, flags, name, targets)]
    seconds = time.monotonic() - begin
    if name != "unity":
        objects.append(host.compile(product, flags, "product"))
    program = host.link(objects, flags, name)
    if instructions.missing():
        found = f"instructions not looked at: {instructions.missing()}"
    else:
        bad, count = instructions.offences(program)  # linked: objdump is slow with many sections
        if bad:
            raise Failure("\n".join(f"{len(b)} such as `{b[0]}` in {f}" for f, b in bad.items()))
        found = f"{sum(count.values())} functions, {count[1]} with AVX2, {count[2]} with AVX-512, none elsewhere"
    result = host.run([program])
    skipped = sorted(set(re.findall(r"SKIPPED target (\w+)", result)))
    return (f"{seconds:.0f} s to compile; {found}; {result.splitlines()[-1]}"
            + (f"; not run on this CPU: {', '.join(skipped)}" if skipped else ""))


def fast_math(host: Host, flags: str) -> str:
    if "-mavx2" in flags and " avx2 " not in pathlib.Path("/proc/cpuinfo").read_text():
        raise Skip("no AVX2")
    source = HERE / "fast_math_functions.cc"
    objects = [host.compile(HERE / "fast_math.cc", "-O1", "main"), host.compile(source, flags, "host"),
               host.compile(source, "-O1 -DREFERENCE", "reference")]
    return host.run([host.link(objects, flags, "fast_math")]).splitlines()[-1]


def two_libraries(host: Host, flags: str) -> str:
    flags, _, march = flags.partition(" + ")
    if march and " avx2 " not in pathlib.Path("/proc/cpuinfo").read_text():
        raise Skip("no AVX2")
    main = host.compile(HERE / "two_libraries.cc", flags, "main")
    source, results = HERE / "two_libraries_body.cc", []
    if host.options.quick:
        flags += " " + FEW_FORMATS
    a = host.compile(source, flags + " -DLIBRARY=a", "a", ONE)
    b = (host.compile(source, f"{flags} {march} -DLIBRARY=b -DTESSERA_TARGETS=AVX3", "b") if march else
         host.compile(source, flags + " -DLIBRARY=b", "b", FEW))
    for order in ([a, b], [b, a]):
        results.append(len(host.run([host.link([main, *order], flags, "program")]).splitlines()))
    return f"{results[0]} and {results[1]} targets listed"


def two_versions(host: Host, flags: str) -> str:
    source = HERE / "two_versions.cc"
    few = f"{flags} -DTESSERA_FORMATS=F32"
    libraries = [host.compile(source, few + " -DLIBRARY=a", "a", ONE),
                 host.compile(source, few + " -DLIBRARY=b -Dv0_1=v9_9", "b", ONE)]
    symbols = [set(re.findall(r"\S*7tessera\S*", host.run(["nm", "--defined-only", "-j", file]))) for file in libraries]
    if not symbols[0] or symbols[0] & symbols[1]:
        raise Failure(f"symbols of both versions: {sorted(symbols[0] & symbols[1])[:5]} of {len(symbols[0])}")
    if "-fPIC" in flags:
        libraries = [host.link([file], flags + " -shared", pathlib.Path(file).stem + ".so") for file in libraries]
    host.run([host.link([host.compile(source, flags, "main"), *libraries], flags, "program")])
    return f"{len(symbols[0])} and {len(symbols[1])} symbols, none of both"


def cases() -> dict[str, object]:
    table = {}
    for name in BODIES:
        table[name] = lambda host, name=name: bodies(host, name)
    for function, variants in ((fast_math, FAST_MATH), (two_libraries, TWO_LIBRARIES), (two_versions, TWO_VERSIONS)):
        for flags in variants:
            name = f"{function.__name__}{flags.replace(' ', '')}"
            table[name] = lambda host, function=function, flags=flags: function(host, flags)
    return table


def main() -> int:
    table = cases()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter,
                                     epilog="cases: " + " ".join(table))
    parser.add_argument("--highway", required=True, help="folder with Highway's headers, or several: a|b")
    parser.add_argument("--hwy-library", required=True, help="Highway's library")
    parser.add_argument("--compiler", action="append", help=f"default: {' '.join(COMPILERS)}")
    parser.add_argument("--quick", action="store_true", help="the baseline target and AVX3, few formats, short products")
    parser.add_argument("cases", nargs="*", metavar="CASE", help="default: all; a prefix names several")
    options = parser.parse_args()
    options.hwy_library = str(pathlib.Path(options.hwy_library).resolve())
    folders = [pathlib.Path(f).resolve() for f in options.highway.split("|")]
    # The compiler's own folders have an order that must not change.
    options.highway = [f"-isystem{f}" for f in folders if f != pathlib.Path("/usr/include")]
    chosen = [c for c in table if not options.cases or any(c.startswith(n) for n in options.cases)]
    if not chosen:
        parser.error("no such case")
    failed = passed = 0
    for compiler in options.compiler or COMPILERS:
        for name in chosen:
            with tempfile.TemporaryDirectory() as folder:
                try:
                    text = "ok: " + table[name](Host(options, compiler, pathlib.Path(folder)))
                    passed += 1
                except Skip as why:
                    text = f"SKIPPED: {why}"
                except Failure as why:
                    text = f"FAILED: {why}"
                    failed += 1
            print(f"{compiler} {name}: {text}", flush=True)
    return 1 if failed else 0 if passed else instructions.SKIPPED


if __name__ == "__main__":
    sys.exit(main())
