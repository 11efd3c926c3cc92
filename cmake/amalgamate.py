#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes tessera_all.h, the library as one file: the API of tessera/tessera.h, the pool of threads and the
bodies of tessera/impl.h, for programs that would rather carry one file than a folder. It is made of the
headers whenever it is wanted and not kept beside them, where it could fall behind:

    cmake/amalgamate.py -o tessera_all.h

Includes are replaced by the text of the file that they name, where they first name it. What is compiled
once for each instruction set stands in parts, which the file includes itself for."""

import argparse
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[1]
NAME = "tessera_all.h"

# The parts: each is read again whenever the library's own headers include the file that it is made of.
# Highway includes the first once for each of its targets, and that one the second, for sub-targets too.
PARTS = {"tessera/simd/all_kernels-inl.h": "TESSERA_ALL_TARGET", "tessera/simd/kernels-inl.h": "TESSERA_ALL_KERNELS"}

HEAD = """\
// SPDX-License-Identifier: MIT
// Tessera {version} in one file, made by cmake/amalgamate.py: change the headers that it is made of.
//
// Include it wherever the library is called, and in one .cc of the program with its bodies, before
// any header of Highway:
//
//   #define TESSERA_IMPLEMENTATION
//   #include "tessera_all.h"
//
// Highway 1.2 or newer, https://github.com/google/highway, has to be among the include folders, and
// so has the folder with this file, under this name. Highway's library, or its hwy/targets.cc and
// hwy/abort.cc, is linked:
//
//   c++ -std=c++20 -O2 -I. -Ihighway program.cc highway/hwy/targets.cc highway/hwy/abort.cc
//
// TESSERA_FORMATS and TESSERA_TARGETS say what is compiled, which takes minutes for everything.
// TESSERA_THREAD_POOL adds the class ThreadPool. The C API is not in this file.
"""

INCLUDE = re.compile(r'#include "(tessera/[^"]+)"')
SIMD_HALF = "#if defined(TESSERA_SIMD_PASS)\n"  # of a format: what is compiled for each instruction set


def head(out: list[str], text: str) -> None:
    if out and out[-1].startswith("// ==== "):  # nothing came of that one
        out.pop()
    out.append(f"// ==== {text}")


class Amalgam:
    def __init__(self, include: pathlib.Path):
        self.include = include
        self.where: dict[tuple[str, bool], str] = {}  # a file, or its half -> the section that has it
        self.sections: dict[str, list[str]] = {}

    def add(self, name: str, section: str, in_pass: bool = False) -> None:
        """Appends a file and, in their places, those that it includes, if no section has them. In the
        pass for one instruction set, that is the second half of a format's file."""
        text = (self.include / name).read_text()
        plain, mark, half = text.partition(SIMD_HALF)
        if mark:
            text = mark + half if in_pass else plain.rstrip()
        elif in_pass and (name, False) in self.where:  # has no such half, but it may include some
            text = "\n".join(line for line in text.splitlines() if INCLUDE.match(line))
        else:
            in_pass = False
        if (name, in_pass) in self.where:
            if self.where[name, in_pass] == "pool" != section:
                raise SystemExit(f"{name} is needed without the pool, too")
            return
        self.where[name, in_pass] = section
        out = self.sections.setdefault(section, [])
        head(out, name)
        depth, most = 0, 2 if in_pass else 1  # includes are inside the guards and no other condition
        for line in text.splitlines():
            depth += bool(re.match(r"#\s*if", line)) - bool(re.match(r"#\s*endif", line))
            if "TESSERA_SIMD_PASS" in line and re.match(r"#(define|undef) ", line):
                in_pass = line.startswith("#define")
            include = INCLUDE.match(line)
            if line.startswith("// SPDX-License-Identifier"):
                continue
            elif line.startswith("#define HWY_TARGET_INCLUDE"):  # foreach_target.h includes it
                out += [f'#define HWY_TARGET_INCLUDE "{NAME}"', "#define " + PARTS[line.split('"')[1]]]
            elif not include:
                out.append(line)
            elif include[1] in PARTS:
                part = PARTS[include[1]]
                out += [f"#define {part}", f'#include "{NAME}"', f"#undef {part}"]
                self.add(include[1], part)
            elif depth > most:
                raise SystemExit(f"{name}: `{line}` depends on a condition")
            else:
                self.add(include[1], section, in_pass)
                head(out, f"{name}, continued")

    def whole(self) -> str:
        config = (self.include / "tessera/base/config.h").read_text()
        version = re.search(r'TESSERA_VERSION_STRING "([^"]+)"', config)[1]
        self.add("tessera/tessera.h", "api")
        self.add("tessera/thread_pool.h", "pool")
        self.add("tessera/impl.h", "impl")
        api, pool, impl, target, kernels = ("\n".join(self.sections[name]) for name in (
            "api", "pool", "impl", "TESSERA_ALL_TARGET", "TESSERA_ALL_KERNELS"))
        return f"""{HEAD.format(version=version)}
#if defined(TESSERA_ALL_KERNELS)  // once for each instruction set
{kernels}
#elif defined(TESSERA_ALL_TARGET)  // once for each of Highway's targets
{target}
#else
{api}

#if defined(TESSERA_THREAD_POOL)
{pool}
#endif  // TESSERA_THREAD_POOL

#if defined(TESSERA_IMPLEMENTATION)
{impl}
#endif  // TESSERA_IMPLEMENTATION
#endif
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True, help="the file, or the folder for it")
    output = parser.parse_args().output
    if output.is_dir():
        output /= NAME
    output.write_text(Amalgam(ROOT / "include").whole())


if __name__ == "__main__":
    main()
