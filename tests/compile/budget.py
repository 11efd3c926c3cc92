#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the library costs to compile, and its size, by the number of targets and formats: each row is
compiled, measured and held against its budget. ctest takes what is marked `quick`; all of it takes ten
minutes:

    tests/compile/budget.py --highway build/release/_deps/highway-src --compiler g++ --all

Size is that of code and constants; compilers agree on it from one machine to the next. CPU time is told
as a multiple of that of a yardstick, a file of the standard library's, because machines do not. A budget is
what was measured, with GCC 12.2 and Clang 19.1 on Emerald Rapids on 2026-11-30, and a tenth more of size, or half of
time. A change that needs more raises it here, and README's table with it. Exit status 1 if a row is over its
budget, 77 if this is not x86-64."""

import argparse
import dataclasses
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
SKIPPED = 77
YARDSTICK = "#include <iostream>\n#include <regex>\n"


@dataclasses.dataclass
class Row:
    formats: str  # "" for all
    targets: str  # beside the compiler's own, SSE2; "" for all
    measured: dict[str, tuple[float, float]]  # by compiler: KiB, yardsticks of CPU time; no budget without
    quick: bool = False


ROWS = [
    Row("Q4_0", "SSE2", {"gcc": (179, 12.4), "clang": (160, 7.3)}, quick=True),
    Row("Q4_0", "AVX2", {"gcc": (229, 18.6)}),
    Row("F32,Q4_0,Q8_0", "AVX2", {"gcc": (418, 33.5)}),
    Row("F32,Q4_0,Q8_0", "AVX2,AVX2_VNNI,AVX3_DL,AVX3_ZEN4", {"gcc": (730, 58.5)}),
    Row("Q4_0", "", {}),
    Row("", "SSE2", {}),
    Row("", "AVX2", {}),
    Row("", "", {}),
]
HEADER = {"gcc": (2, 1.0), "clang": (2, 0.9)}  # tessera/tessera.h alone


class Compiler:
    def __init__(self, command: str, highway: str, folder: pathlib.Path):
        self.folder = folder
        self.command = [command, "-std=c++20", "-O2", f"-I{ROOT / 'include'}"]
        self.command += [f"-isystem{pathlib.Path(f).resolve()}" for f in highway.split("|") if f != "/usr/include"]
        version = subprocess.run([command, "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
        self.name = "clang" if "clang" in version else "gcc"

    def compile(self, source: pathlib.Path, *flags: str) -> tuple[float, float, float]:
        """KiB of code and constants, CPU seconds, peak MiB."""
        to = self.folder / "object.o"
        process = subprocess.Popen([*self.command, *flags, "-c", source, "-o", to])
        _, status, used = os.wait4(process.pid, 0)
        if status != 0:
            raise SystemExit(f"{source} does not compile")
        text = subprocess.run(["size", to], stdout=subprocess.PIPE, text=True, check=True).stdout
        return int(text.splitlines()[1].split()[0]) / 1024, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--compiler", default="c++")
    parser.add_argument("--highway", required=True, help="folder with Highway's headers, or several: a|b")
    parser.add_argument("--all", action="store_true", help="all rows")
    options = parser.parse_args()
    if platform.machine() != "x86_64" or not shutil.which(options.compiler) or not shutil.which("size"):
        print(f"SKIPPED: needs x86-64, {options.compiler} and size")
        return SKIPPED
    over = 0
    with tempfile.TemporaryDirectory() as folder:
        compiler = Compiler(options.compiler, options.highway, pathlib.Path(folder))
        source = pathlib.Path(folder) / "yardstick.cc"
        source.write_text(YARDSTICK)
        yardstick = min(compiler.compile(source)[1] for _ in range(2))

        def tell(what: str, size: float, seconds: float, mib: float, measured: tuple[float, float] | None) -> None:
            nonlocal over
            text = f"{what}: {size:.0f} KiB, {seconds:.1f} s of CPU = {seconds / yardstick:.1f} yardsticks, {mib:.0f} MiB"
            if measured:
                text += f"; once {measured[0]:g} KiB, {measured[1]:g} yardsticks"
                if size > 1.1 * measured[0] or seconds / yardstick > 1.5 * measured[1]:
                    text, over = "OVER BUDGET: " + text, over + 1
            print(text, flush=True)

        header = compiler.compile(ROOT / "tests/compile/tessera_alone.cc")
        tell("tessera/tessera.h", *header, HEADER.get(compiler.name))
        for row in ROWS:
            if row.quick or options.all:
                flags = [f"-D{choice}={names}" for choice, names in (
                    ("TESSERA_FORMATS", row.formats), ("TESSERA_TARGETS", row.targets)) if names]
                tell(f"formats {row.formats or 'all'}, targets {row.targets or 'all'}",
                     *compiler.compile(ROOT / "cmake/impl.cc", *flags), row.measured.get(compiler.name))
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
