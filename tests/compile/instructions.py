#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""instructions.py PROGRAM...: looks for instructions of newer CPUs outside the functions that only those
CPUs run, in programs that the bodies are linked into: AVX-512 belongs into namespaces N_AVX3*, the
other instructions with VEX prefix into those and N_AVX2. One in a function that several targets share
would stop the program on an older CPU, whatever target was chosen. Exit status 1 if there is one, 77
if it cannot be told here. (Object files do, too, but objdump takes minutes for many sections.)"""

from __future__ import annotations

import collections
import platform
import re
import shutil
import subprocess
import sys

SKIPPED = 77
AVX512 = re.compile(r"%zmm|%k[0-7]\b|%[xy]mm(?:1[6-9]|2\d|3[01])\b|\{(?!vex)")
VEX = re.compile(r"(?:\{vex\} )?v(?!err|erw)|(?:andn|bextr|blsi|blsmsk|blsr|bzhi|mulx|pdep|pext|rorx|sarx|shlx|shrx)\b"
                 r"|.*%ymm")


def level(text: str) -> int:
    """0: any x86-64; 1: AVX2 and what came with it; 2: AVX-512."""
    return 2 if AVX512.search(text) else 1 if VEX.match(text) else 0


def allowed(function: str) -> int:
    return 2 if "N_AVX3" in function else 1 if "N_AVX2" in function else 0


def offences(path: str) -> tuple[dict[str, list[str]], collections.Counter]:
    """Functions with an instruction above their level, and how many functions of each level have one."""
    disassembly = subprocess.Popen(
        ["objdump", "--disassemble", "--no-show-raw-insn", "--demangle=auto", path],
        stdout=subprocess.PIPE, text=True)
    function, bad, highest = "", collections.defaultdict(list), {}
    for line in disassembly.stdout:
        if line.endswith(">:\n"):
            function = line[line.index("<") + 1:-3]
        elif "\t" in line:
            text = re.split(r"<|#", line.split("\t", 1)[1])[0].strip()  # without names of addresses
            found = level(text)
            highest[function] = max(found, highest.get(function, 0))
            if found > allowed(function):
                bad[function].append(text)
    if disassembly.wait() != 0:
        sys.exit(f"objdump failed on {path}")
    return bad, collections.Counter(highest.values())


def check(path: str) -> bool:
    bad, count = offences(path)
    for function, found in bad.items():
        print(f"FAILED: {len(found)} instructions such as `{found[0]}` in {function}")
    print(f"{path}: {sum(count.values())} functions, {count[1]} with AVX2 and {count[2]} with AVX-512, "
          f"{len(bad)} of them where others run too")
    return not bad


def missing() -> str:
    """Why nothing can be told here, or an empty string."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return f"no rule for {platform.machine()}"
    return "" if shutil.which("objdump") else "no objdump"


def main() -> int:
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    if missing():
        print(f"SKIPPED: {missing()}")
        return SKIPPED
    return 0 if all([check(path) for path in sys.argv[1:]]) else 1


if __name__ == "__main__":
    sys.exit(main())
