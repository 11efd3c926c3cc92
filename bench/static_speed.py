#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the inner loops cost on CPUs that are not at hand, by the model of llvm-mca.

  static_speed.py [--cpu NAME]... [--format NAME]... [--object ARCHITECTURE=FILE]... [--tsv]
                  [--llama-cpp FOLDER] [--kleidiai FOLDER]

Compiles cmake/impl.cc for x86-64 and 64-bit Arm with Clang (or takes the object files that are given), finds
the loop of each tile of full height and of one row, and prints for each CPU what results/static_speed.md has,
which is what this wrote.

With the sources of llama.cpp and KleidiAI, the loops of their kernels stand beside ours, compiled for that CPU.

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
FLOATS = ["f32", "f16", "bf16"]
FORMATS = [*FLOATS, "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "iq4_nl", "mxfp4", "q4_k", "q5_k", "q6_k"]
# Of ggml and KleidiAI the kernels for many rows: library, CPUs, format, source, function.
REPACK = "ggml/src/ggml-cpu/arch/{}/repack.cpp"
SGEMM, QUANTS = "ggml/src/ggml-cpu/llamafile/sgemm.cpp", "ggml/src/ggml-cpu/arch/{}/quants.c"
KAI = "kai/ukernels/matmul/matmul_clamp_f32_"
DOTPROD, I8MM, AVX2, AVX512 = (["neoverse-n1", "apple-m1"], ["neoverse-v2"], ["haswell", "alderlake"],
                               ["skylake-avx512", "sapphirerapids"])
PEERS = [
    *[("ggml", cpus, form, REPACK.format("arm"), f"ggml_gemm_{form}_{tile}_q8_0")
      for cpus, tile in ((DOTPROD, "4x4"), (I8MM, "4x8")) for form in ("q8_0", "q4_0")],
    ("ggml", DOTPROD + I8MM, "f32", SGEMM, r"tinyBLAS<4, __Float32x4_t, .*gemm<4, 6, \d>"),
    ("ggml", ["cortex-a72", *DOTPROD, *I8MM], "q4_1", QUANTS.format("arm"), "ggml_vec_dot_q4_1_q8_1"),
    ("ggml", ["cortex-a72", *DOTPROD, *I8MM], "q5_0", QUANTS.format("arm"), "ggml_vec_dot_q5_0_q8_0"),
    ("ggml", ["cortex-a72"], "q8_0", QUANTS.format("arm"), "ggml_vec_dot_q8_0_q8_0"),
    ("ggml", ["cortex-a72"], "q4_0", QUANTS.format("arm"), "ggml_vec_dot_q4_0_q8_0"),
    ("KleidiAI", DOTPROD, "q4_0", KAI + "qsi8d32p_qsi4c32p/kai_matmul_clamp_f32_qsi8d32p4x4_qsi4c32p4x4_16x4_neon_dotprod"
     "_asm.S", r"kai_kernel.*16x4_neon_dotprod"),
    ("KleidiAI", I8MM, "q4_0", KAI + "qsi8d32p_qsi4c32p/kai_matmul_clamp_f32_qsi8d32p4x8_qsi4c32p4x8_16x4_neon_i8mm"
     "_asm.S", r"kai_kernel.*16x4_neon_i8mm"),
    ("KleidiAI", ["cortex-a72", *DOTPROD, *I8MM], "f32", KAI + "f32_f32p/kai_matmul_clamp_f32_f32_f32p16x1b_6x16_neon_mla"
     "_asm.S", r"kai_kernel.*6x16_neon_mla"),
    ("ggml", AVX2 + AVX512, "q4_0", REPACK.format("x86"), r"(?:ggml_gemm_q4_0_8x8_q8_0|gemm_q4_b32_8x8_q8_0_lut_avx<.*4)"),
    *[("ggml", AVX2 + AVX512, form, SGEMM, rf"tinyBLAS_Q0_AVX<block_{form}, .*gemm4xN<\d>") for form in ("q8_0", "q5_0")],
    ("ggml", AVX2 + AVX512, "q4_1", QUANTS.format("x86"), "ggml_vec_dot_q4_1_q8_1"),
    *[("ggml", cpus, form, SGEMM, rf"tinyBLAS<{lanes}, .*{kind}, {kind}, float>::gemm<4, {rows}, \d>")
      for cpus, lanes, rows in ((AVX2, 8, 3), (AVX512, 16, 6)) for form, kind in (("f32", "float"), ("f16", "unsigned short"))],
]
MARCH = {"cortex-a72": "armv8-a", "neoverse-n1": "armv8.2-a+dotprod+fp16", "apple-m1": "armv8.2-a+dotprod+fp16",
         "neoverse-v2": "armv8.2-a+dotprod+fp16+i8mm+bf16", "haswell": "haswell", "alderlake": "alderlake",
         "skylake-avx512": "skylake-avx512", "sapphirerapids": "sapphirerapids"}

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
for a value of W, and MAC for an instruction; vector registers stored to or loaded from the stack. The goal is 85 % of
the pipes, without stack.

Rows with the name of a library are its kernels for this CPU and format, compiled and modelled alike: that of the
innermost loops with the most MAC for an instruction, without what the loop around it does.
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
        if head and re.fullmatch(r"label_\d+", head[1]):  # of assembly, within a function
            continue
        if head:
            lines = found.setdefault(head[1], [])
            continue
        instruction = re.match(r"^\s*([0-9a-f]+):\s+(.*)$", line)
        if instruction:
            lines.append((int(instruction[1], 16), re.sub(r"\s+", " ", instruction[2]).strip()))
    return found


def is_back(text, address):
    """whether an instruction at this address jumps to an earlier one"""
    jump = re.match(JUMP + r".*?0x([0-9a-f]+)", text)
    return jump is not None and int(jump[1], 16) <= address


def loops(code):
    """of each loop: its instructions without the branch, and whether it has no other in it"""
    place = {address: i for i, (address, _) in enumerate(code)}
    for end, (address, text) in enumerate(code):
        jump = re.match(JUMP + r".*?0x([0-9a-f]+)", text)
        begin = place.get(int(jump[1], 16)) if jump else None
        if begin is None or begin > end:
            continue
        yield [line for _, line in code[begin:end]], not any(is_back(line, at) for at, line in code[begin:end])


def inner_loop(code, multiply):
    """the loop with the most multiplications: its instructions"""
    best, most = [], 0
    for loop, _ in loops(code):
        count = sum(bool(re.match(rf"({multiply})\b", line)) for line in loop)
        if count > most:
            best, most = loop, count
    return best


# What an instruction set does not list is that of the next lower one.
PARENTS = {"AVX3_SPR": "AVX3_ZEN4", "AVX3_ZEN4": "AVX3_DL", "AVX3_DL": "AVX3", "AVX3": "AVX2_VNNI",
           "AVX2_VNNI": "AVX2", "NEON_I8MM": "NEON_BF16", "NEON_BF16": "NEON_DOTPROD", "NEON_DOTPROD": "NEON",
           "NEON": "NEON_WITHOUT_AES"}


def tiles(form, rows):
    """the tiles of a format by name, the better first; those of prepared panels are for many rows of x"""
    shape, name = r"\d+ul, \d+ul>", f"tessera::v0_1::{form.upper()}"
    if form not in FLOATS:
        least = "true" if form in ("q4_1", "q5_1", "q4_k", "q5_k") else "false"
        # Where bytes are multiplied in pairs, a tile is of codes up to so many; elsewhere one is for all.
        most = {"q4": 15, "q5": 31, "mx": 31, "q6": 63}.get(form[:2], 255)
        prepared = []
        for limit in (most, 255):
            codes = rf"[\w:]+UnpackedCodes<{least}, {2 if form == 'q6_k' else 1}ul, \w+, {limit}, "
            steps = 2 if form == "q8_0" else r"\d"  # which is prepared where bytes are widened, or paired
            prepared += [rf"MmlaTile<[\w:]+Paired<{codes}\dul> ?>, false>", rf"Int8Tile<{codes}{steps}ul>, false, {shape}"]
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
    rows: int | None  # of x; None: another library's
    instructions: int
    macs: int
    cycles: float
    limit: float
    bound: float
    stack: int
    values: int | None  # of W

    @property
    def rate(self):
        return self.macs / self.cycles

    @property
    def percent(self):
        return 100 * self.limit / self.cycles

    @property
    def met(self):
        return self.percent >= GOAL and self.stack == 0


def products_of(loop, form):
    """how many products a loop adds up, by its instructions; scales are not counted where codes are multiplied"""
    integer = {"sdot": 16, "smmla": 32, "smull": 8, "smull2": 8, "smlal": 8, "smlal2": 8}
    x86_bits = {"x": 128, "y": 256, "z": 512}
    count = {"bytes": 0, "words": 0, "floats": 0}
    for line in loop:
        mnemonic = re.sub(r"^\{vex\}\s+", "", line).split()[0]
        widest = re.findall(r"%([xyz])mm", line)
        bits = x86_bits[max(widest)] if widest else 128
        if mnemonic in integer:
            count["bytes"] += integer[mnemonic]
        elif mnemonic in ("vpdpbusd", "vpmaddubsw"):
            count["bytes"] += bits // 8
        elif mnemonic == "vpmaddwd":
            count["words"] += bits // 16
        elif mnemonic == "fmla" or re.match(r"vfmadd\w+ps", mnemonic):
            count["floats"] += bits // 32
    if form in FLOATS:
        return count["floats"]
    return count["bytes"] or count["words"]


def peers(folders, cpu, mca, architecture, form, folder):
    """-> rows of the other libraries' kernels for this CPU and format"""
    for library, cpus, of, source, function in PEERS:
        if cpu not in cpus or form != of or folders.get(library) is None:
            continue
        root = pathlib.Path(folders[library])
        target = pathlib.Path(folder) / f"{library}_{cpu}_{source.replace('/', '_')}.o"
        if not target.exists():
            language = ["clang++-19", "-std=c++17"] if source.endswith(".cpp") else ["clang-19"]
            includes = [f"-I{root / part}" for part in ("", "ggml/include", "ggml/src", "ggml/src/ggml-cpu")]
            checked([*language, f"--target={architecture}-linux-gnu", f"-march={MARCH[cpu]}", "-O3", "-DNDEBUG", "-D_GNU_SOURCE",
                     "-DGGML_USE_LLAMAFILE", *includes, "-c", root / source, "-o", target])
        found = [(products_of(loop, form) / (len(loop) + 1), name, loop)
                 for name, body in functions(target).items() if re.search(function, name)
                 for loop, innermost in loops(body) if innermost]
        if not found or max(found)[0] == 0:
            raise Failure(f"{library}: no loop in {function} for {cpu}")
        _, name, loop = max(found)
        total, limit, bound = model(loop, mca, architecture)
        short = re.sub(r"^void |\(anonymous namespace\)::|\(.*$|kai_kernel_matmul_clamp_", "", name)
        yield Row(cpu, f"{library}: {short}", form, None, len(loop) + 1, products_of(loop, form), total, limit, bound,
                  stack_accesses(loop), None)


def stack_accesses(loop):
    return sum(bool(re.search(r"\b[qvd]\d+.*\[sp|[xyz]mm\d+.*\(%rsp|\(%rsp.*[xyz]mm\d+", line)) for line in loop)


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
    if form in FLOATS:
        pairs = re.match(r"vdpbf16ps|bfdot", vector[0])
        values = len(vector) * (2 if pairs else 1) // (height * 2)
    stack = stack_accesses(loop)
    total, limit, bound = model(loop, mca, architecture)
    return Row(cpu, space, form, height, len(loop) + 1, values * height * nr, total, limit, bound, stack, values * nr)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpu", action="append", help="this one only")
    parser.add_argument("--format", action="append", help="this one only")
    parser.add_argument("--object", action="append", default=[], metavar="ARCHITECTURE=FILE")
    parser.add_argument("--llama-cpp", metavar="FOLDER", help="its sources")
    parser.add_argument("--kleidiai", metavar="FOLDER", help="its sources")
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
                    rows.extend(peers({"ggml": options.llama_cpp, "KleidiAI": options.kleidiai}, cpu, mca, architecture, form,
                                      folder))
    except Failure as error:
        print(f"static_speed.py: {error}", file=sys.stderr)
        return 2
    columns = ["cpu", "code of", "W", "rows of x", "MAC/cycle", "cycles", "% of pipes", "% of loop", "instructions/value",
               "MAC/instruction", "stack", "goal"]
    table = [columns]
    for row in rows:
        goal = "" if row.rows in (1, None) else "met" if row.met else "not met"
        of_values = f"{row.instructions / row.values:.2f}" if row.values else ""
        table.append([row.cpu, row.target, row.form, str(row.rows or ""), f"{row.rate:.1f}", f"{row.cycles:.1f}",
                      f"{row.percent:.0f}", f"{100 * row.bound / row.cycles:.0f}", of_values,
                      f"{row.macs / row.instructions:.2f}", str(row.stack), goal])
    if not options.tsv:
        print(HEADING)
    for line in table:
        print("\t".join(line) if options.tsv else "| " + " | ".join(line) + " |")
        if line is columns and not options.tsv:
            print("|---" * len(columns) + "|")
    return 0


if __name__ == "__main__":
    sys.exit(main())
