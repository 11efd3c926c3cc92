#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tessera_all.h, freshly made: what a compiler sees of it is, token by token, what it sees of tessera.h and
impl.h, for all targets and formats; and examples/one_file.cc, built with it as by hand, works.

    tests/compile/one_file.py --highway build/release/_deps/highway-src --hwy-library .../libhwy.a

Where the folder of Highway has its sources, they are compiled with the program instead of the library.
Exit status 1 if something is wrong."""

import argparse
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BY_FOLDER = '#include "tessera/tessera.h"\n#include "tessera/thread_pool.h"\n#include "tessera/impl.h"\n'
BY_FILE = '#define TESSERA_THREAD_POOL\n#define TESSERA_IMPLEMENTATION\n#include "tessera_all.h"\n'


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--compiler", default="c++")
    parser.add_argument("--highway", required=True, help="folder with Highway's headers, or several: a|b")
    parser.add_argument("--hwy-library", required=True, help="Highway's library")
    options = parser.parse_args()
    folders = [pathlib.Path(f).resolve() for f in options.highway.split("|")]
    highway = [f"-I{f}" for f in folders if f != pathlib.Path("/usr/include")]
    linked = [str(pathlib.Path(options.hwy_library).resolve())]
    if (folders[0] / "hwy/targets.cc").exists():
        linked = [str(folders[0] / "hwy" / source) for source in ("targets.cc", "abort.cc")]

    with tempfile.TemporaryDirectory() as folder:
        def run(*command: str | pathlib.Path, text: str | None = None) -> str:
            return subprocess.run(command, cwd=folder, input=text, stdout=subprocess.PIPE, text=True, check=True).stdout

        def tokens(text: str, include: str) -> list[str]:
            command = [options.compiler, "-std=c++20", "-E", "-P", include, *highway, "-x", "c++", "-"]
            return run(*command, text=text).split()

        run(sys.executable, ROOT / "cmake/amalgamate.py", "-o", folder)
        expected, got = tokens(BY_FOLDER, f"-I{ROOT / 'include'}"), tokens(BY_FILE, "-I.")
        if expected != got:
            at = next((i for i, pair in enumerate(zip(expected, got)) if pair[0] != pair[1]), min(len(expected), len(got)))
            print(f"of {len(expected)} and {len(got)} tokens the first that differ, after {' '.join(got[at - 20:at])}")
            print(f"in the folder: {' '.join(expected[at:at + 20])}\nin the file:   {' '.join(got[at:at + 20])}")
            return 1
        run(options.compiler, "-std=c++20", "-O2", "-I.", *highway, "-DTESSERA_FORMATS=F32,Q4_0",
            "-DTESSERA_TARGETS=SCALAR", ROOT / "examples/one_file.cc", *linked, "-o", "program")
        print(f"{len(got)} tokens in both; {run('./program')}", end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
