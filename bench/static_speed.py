#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the inner loops cost on CPUs that are not at hand, by the model of llvm-mca.

  static_speed.py [--cpu NAME]... [--format NAME]... [--object ARCHITECTURE=FILE]... [--tsv]

Compiles cmake/impl.cc for x86-64 and 64-bit Arm with Clang (or takes the object files that are given), finds
the loop of each tile of full height and of one row, and prints for each CPU what results/static_speed.md has,
which is what this wrote.

The model knows neither caches nor branches, and takes every load for a hit. It needs clang-19 and
g++-aarch64-linux-gnu, which `./bootstrap deps ci` installs, and Debian's package llvm-19.
"""
import argparse
import dataclasses
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
GOAL = 85  # percent of the pipes' limit
ITERATIONS = 100

# Name, llvm-mca's CPU, architecture, the instruction set that runs there. mca's cortex-a76 starts one multiplication
# a cycle where the CPU starts two, so Neoverse N1, which has the same core, stands for it. It has no model of
# Apple's M1 but that of its predecessor, A14, which is named so.
CPUS = [
    ("cortex-a72", "cortex-a72", "aarch64", "NEON"),
    ("neoverse-n1", "neoverse-n1", "aarch64", "NEON_DOTPROD"),
    ("apple-m1", "apple-m1", "aarch64", "NEON_DOTPROD"),
    ("neoverse-v2", "neoverse-v2", "aarch64", "NEON_I8MM"),
    ("haswell", "haswell", "x86_64", "AVX2"),
    ("alderlake", "alderlake", "x86_64", "AVX2_VNNI"),
    ("skylake-avx512", "skylake-avx512", "x86_64", "AVX3"),
    ("sapphirerapids", "sapphirerapids", "x86_64", "AVX3_SPR"),
]
FORMATS = ["f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0"]
MULTIPLY = {
    "aarch64": r"fmla|sdot|udot|usdot|smmla|bfdot|bfmmla|smull2?|smlal2?",
    "x86_64": r"(?:{vex}\s+)?(?:vfmadd\w+ps|vpdpbusd|vpmaddwd|vpmaddubsw|vdpbf16ps|vmulps)",
}
JUMP = r"(?:j\w+|b\.\w+|b|cbn?z|tbn?z)\s"


HEADING = """<!-- SPDX-License-Identifier: MIT -->
<!-- Made by bench/static_speed.py. -->
# Inner loops on CPUs that are not at hand

By the model of llvm-mca 19, compiled by Clang 19: no such CPU was measured. A tile of so many rows of x, full ones
with W as it is prepared for many rows: multiplications and additions a cycle (MAC); cycles of an iteration; how near
that is to the least time of the multiplications on their pipes, and to that of all that the loop has; instructions
for a value of W; vector registers stored to or loaded from the stack. The goal is 85 % of the pipes, without stack.
"""


class Failure(Exception):
    pass


def checked(command, text=None):
    try:
        return subprocess.run(list(map(str, command)), input=text, capture_output=True, text=True, check=True).stdout
    except OSError as error:
        raise Failure(str(error)) from error
    except subprocess.CalledProcessError as error:
        raise Failure(f"{' '.join(map(str, command[:4]))} ...: {error.stderr[-2000:]}") from error


# ---- code ---------------------------------------------------------------------------------

def highway():
    found = sorted(ROOT.glob("build/*/_deps/highway-src")) or sorted(pathlib.Path("/usr/include").glob("hwy"))
    if not found:
        raise Failure("no sources of Highway: configure a build first")
    return found[0] if found[0].name != "hwy" else found[0].parent


def compiled(architecture, folder):
    target = pathlib.Path(folder) / f"{architecture}.o"
    checked(["clang++-19", f"--target={architecture}-linux-gnu", "-std=c++20", "-O3", "-DNDEBUG", "-DHWY_WANT_AVX3_DL",
             "-I", ROOT / "include", "-I", highway(), "-c", ROOT / "cmake/impl.cc", "-o", target])
    return target


def functions(target):
    """-> {demangled name: [(address, instruction)]}"""
    text = checked(["llvm-objdump-19", "-d", "--no-show-raw-insn", "-C", target])
    found, lines = {}, []
    for line in text.splitlines():
        head = re.match(r"^[0-9a-f]+ <(.*)>:$", line)
        if head:
            lines = found.setdefault(head[1], [])
            continue
        instruction = re.match(r"^\s*([0-9a-f]+):\s+(.*)$", line)
        if instruction:
            lines.append((int(instruction[1], 16), re.sub(r"\s+", " ", instruction[2]).strip()))
    return found


def inner_loop(code, multiply):
    """the loop with the most multiplications: its instructions"""
    place = {address: i for i, (address, _) in enumerate(code)}
    best, most = [], 0
    for end, (address, text) in enumerate(code):
        jump = re.match(JUMP + r".*?0x([0-9a-f]+)", text)
        begin = place.get(int(jump[1], 16)) if jump else None
        if begin is None or begin > end:
            continue
        loop = [line for _, line in code[begin:end]]  # without the branch
        count = sum(bool(re.match(rf"({multiply})\b", line)) for line in loop)
        if count > most:
            best, most = loop, count
    return best


PARENTS = {"AVX2_VNNI": "AVX2", "NEON_DOTPROD": "NEON", "NEON_I8MM": "NEON_BF16"}


def tiles(form, rows):
    """the tiles of a format by name, the better first; those of prepared panels are for many rows of x"""
    shape, name = r"\d+ul, \d+ul>", f"tessera::v0_1::{form.upper()}"
    if form.startswith("q"):
        prepared = [rf"MmlaTile<[\w:]+Paired<{name}>, false>", rf"Int8Tile<[\w:]+Unpacked<{name}>, false, {shape}"]
        return prepared * (rows == 0) + [f"MmlaTile<{name}, false>", rf"Int8Tile<{name}, false, {shape}"]
    return ["Bf16Tile"] * (form == "bf16") + [f"FmaTile<{name}, {shape}"]


def tile(code, target, form, rows):
    """the tile of so many rows, or of full height with 0: its instruction set, height and instructions"""
    while target:
        for kind in tiles(form, rows):
            found = [(int(match[1]), body) for name, body in code.items()
                     if (match := re.search(rf"N_{target}::{kind}::run<(\d+)ul, 1ul>\(", name)) and body]
            found = [one for one in found if rows in (0, one[0])]
            if found:
                height, body = max(found)
                return target, height, body
        target = PARENTS.get(target)
    raise Failure(f"no tile of {rows or 'full'} rows for {form}")


# ---- the model ----------------------------------------------------------------------------

def model(loop, cpu, architecture):
    """-> cycles of one iteration, the least that its multiplications need of their pipes, and the least that all of
    it needs of what the CPU has"""
    straight = [re.sub(r"\s*(?://|#) .*$", "", line) for line in loop if not re.match(JUMP, line)]
    report = checked(["llvm-mca-19", f"-mtriple={architecture}", f"-mcpu={cpu}", f"-iterations={ITERATIONS}",
                      "-all-views=false", "-summary-view", "-instruction-info"], "\n".join(straight) + "\n")
    total = int(re.search(r"Total Cycles:\s+(\d+)", report)[1]) / ITERATIONS
    limit, bound = 0.0, float(re.search(r"Block RThroughput:\s+([\d.]+)", report)[1])
    for line in report[report.index("[6]"):].splitlines():  # micro-operations, latency, throughput, .., instruction
        fields = re.match(r"^\s*\d+\s+\d+\s+([\d.]+)\s+(?:[*U]\s+)*((?:{vex}\s+)?\w+)", line)
        if fields and re.fullmatch(MULTIPLY[architecture], fields[2]):
            limit += float(fields[1])
    return total, limit, bound


@dataclasses.dataclass
class Row:
    cpu: str
    target: str
    form: str
    rows: int
    instructions: int
    macs: int
    cycles: float
    limit: float
    bound: float
    stack: int
    values: int

    @property
    def rate(self):
        return self.macs / self.cycles

    @property
    def percent(self):
        return 100 * self.limit / self.cycles

    @property
    def met(self):
        return self.percent >= GOAL and self.stack == 0


def lanes_of(target):
    return 16 if target.startswith("AVX3") else 8 if target.startswith("AVX2") else 4


def measure(cpu, mca, architecture, target, form, rows, code):
    space, height, body = tile(code, target, form, rows)
    loop = inner_loop(body, MULTIPLY[architecture])
    if not loop:
        raise Failure(f"no loop in the tile of {form} on {space}")
    nr = 2 * lanes_of(space)
    vector = [line for line in loop if re.match(rf"({MULTIPLY[architecture]})\b", line)]
    values = 32  # of depth
    if not form.startswith("q"):
        pairs = re.match(r"vdpbf16ps|bfdot", vector[0])
        values = len(vector) * (2 if pairs else 1) // (height * 2)
    stack = sum(bool(re.search(r"\b[qvd]\d+.*\[sp|[xyz]mm\d+.*\(%rsp|\(%rsp.*[xyz]mm\d+", line)) for line in loop)
    total, limit, bound = model(loop, mca, architecture)
    return Row(cpu, space, form, height, len(loop) + 1, values * height * nr, total, limit, bound, stack, values * nr)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpu", action="append", help="this one only")
    parser.add_argument("--format", action="append", help="this one only")
    parser.add_argument("--object", action="append", default=[], metavar="ARCHITECTURE=FILE")
    parser.add_argument("--tsv", action="store_true", help="separated by tabs")
    options = parser.parse_args(arguments)
    objects = dict(entry.split("=", 1) for entry in options.object)
    rows, code = [], {}
    try:
        with tempfile.TemporaryDirectory() as folder:
            for cpu, mca, architecture, target in CPUS:
                if options.cpu and cpu not in options.cpu:
                    continue
                if architecture not in code:
                    code[architecture] = functions(objects.get(architecture) or compiled(architecture, folder))
                for form in FORMATS:
                    if options.format and form not in options.format:
                        continue
                    for height in (0, 1):  # full, one row
                        rows.append(measure(cpu, mca, architecture, target, form, height, code[architecture]))
    except Failure as error:
        print(f"static_speed.py: {error}", file=sys.stderr)
        return 2
    columns = ["cpu", "code of", "W", "rows of x", "MAC/cycle", "cycles", "% of pipes", "% of loop", "instructions/value",
               "stack", "goal"]
    table = [columns]
    for row in rows:
        goal = "" if row.rows == 1 else "met" if row.met else "not met"
        table.append([row.cpu, row.target, row.form, str(row.rows), f"{row.rate:.1f}", f"{row.cycles:.1f}",
                      f"{row.percent:.0f}", f"{100 * row.bound / row.cycles:.0f}", f"{row.instructions / row.values:.2f}", str(row.stack), goal])
    if not options.tsv:
        print(HEADING)
    for line in table:
        print("\t".join(line) if options.tsv else "| " + " | ".join(line) + " |")
        if line is columns and not options.tsv:
            print("|---" * len(columns) + "|")
    return 0


if __name__ == "__main__":
    sys.exit(main())
