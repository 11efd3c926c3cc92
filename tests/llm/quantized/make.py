#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the files of this folder with llama.cpp (here b11549, whose source is in PyPI's archive
xllamacpp 2026.10.11549 under thirdparty/): the model of examples/models, quantized from f32 to the types
that people download, and what llama.cpp then computes.

  cmake -S llama.cpp -B build -DBUILD_SHARED_LIBS=OFF -DLLAMA_CURL=OFF
  cmake --build build --target llama-quantize llama-perplexity
  make.py austen-3.7M-f32.gguf llama.cpp build

record.cc is compiled with llama.cpp's libraries. Per model and prompt, NAME.N.f16 has the logits of all
positions as f16, rows of the vocabulary; perplexity.tsv has that of examples/models/holdout.txt.
"""
import array
import glob
import os
import re
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TYPES = {"q4_K_M": "Q4_K_M", "q5_K_M": "Q5_K_M", "q6_K": "Q6_K", "q5_0": "Q5_0", "q5_1": "Q5_1", "iq4_nl": "IQ4_NL"}


def main():
    f32, source, build = sys.argv[1:]
    holdout = os.path.join(HERE, "..", "..", "..", "examples", "models", "holdout.txt")
    with open(os.path.join(HERE, "prompts.txt"), encoding="utf-8") as f:
        prompts = f.read().splitlines()
    with tempfile.TemporaryDirectory() as folder:
        record, logits = os.path.join(folder, "record"), os.path.join(folder, "logits")
        libraries = [glob.glob(os.path.join(build, "**", name), recursive=True)[0]
                     for name in ("libllama.a", "libggml.a", "libggml-cpu.a", "libggml-base.a")]
        subprocess.run(["c++", "-std=c++20", "-O2", f"-I{source}/include", f"-I{source}/ggml/include",
                        os.path.join(HERE, "record.cc"), *libraries, "-pthread", "-ldl", "-o", record], check=True)
        rows = ["type\tperplexity\n"]
        for name, kind in TYPES.items():
            model = os.path.join(HERE, f"austen-3.7M-{name}.gguf")
            subprocess.run([os.path.join(build, "bin", "llama-quantize"), f32, model, kind], check=True)
            for i, prompt in enumerate(prompts):
                subprocess.run([record, model, prompt, logits], check=True)
                values = array.array("f")
                with open(logits, "rb") as f:
                    values.frombytes(f.read())
                with open(os.path.join(HERE, f"{name}.{i}.f16"), "wb") as f:
                    f.write(struct.pack(f"<{len(values)}e", *values))
            found = None
            while found is None:  # its last lines are sometimes lost
                done = subprocess.run([os.path.join(build, "bin", "llama-perplexity"), "-m", model, "-f", holdout, "-c", "512",
                                       "-b", "512", "-t", "1", "-fa", "off", "-ctk", "f32", "-ctv", "f32"],
                                      capture_output=True, text=True, check=True)
                found = re.search("Final estimate: PPL = ([0-9.]+)", done.stdout + done.stderr)
            rows.append(f"{name}\t{found.group(1)}\n")
    with open(os.path.join(HERE, "perplexity.tsv"), "w", encoding="utf-8") as f:
        f.writelines(rows)


if __name__ == "__main__":
    main()
