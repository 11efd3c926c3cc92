#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks tessera-llm from outside, by what it prints.

usage: cli_test.py CHECK TESSERA_LLM MODELS DATA

CHECK is a function below whose name begins with check_. MODELS is examples/models, whose cases
always run; DATA has more models and the results of other programs: a check that finds nothing there
says SKIPPED and exits with 77. Exit status 1 if something is wrong. With QUICK=1 in the environment,
for builds that are ten times slower, the long checks take fewer cases.
"""
import csv
import glob
import json
import math
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

# How far a logit may lie from that of a program which rounds elsewhere.
TOLERANCE = {"f32": 0.0, "f16": 0.03, "bf16": 0.2, "q8_0": 0.4, "q4_0": 0.45, "q4_1": 0.4}
# A sanitizer's allocator would end the program else; its warning begins with "==".
NULL_IF_NO_MEMORY = {name: "allocator_may_return_null=1" for name in ("ASAN_OPTIONS", "TSAN_OPTIONS")}
PROMPT = "The old gentleman had"
QUICK = os.environ.get("QUICK") == "1"
failures = 0


def check(condition, message):
    global failures
    if not condition:
        failures += 1
        print("FAIL " + message)


def skip(reason):
    print("SKIPPED: " + reason)
    sys.exit(1 if failures else 77)


def write_gguf(path, pairs=(), tensors=()):
    """A GGUF file of strings, numbers and lists of strings, and of f32 tensors that are zero."""
    text = lambda s: struct.pack("<Q", len(s.encode())) + s.encode()

    def value_bytes(value):
        if isinstance(value, list):
            return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(text, value))
        if isinstance(value, str):
            return struct.pack("<I", 8) + text(value)
        return struct.pack("<If", 6, value) if isinstance(value, float) else struct.pack("<II", 4, value)

    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs))
    for key, value in pairs:
        out += text(key) + value_bytes(value)
    offset = 0
    for name, dims in tensors:
        out += text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, 0, offset)
        size = 4
        for d in dims:
            size *= d
        offset += (size + 31) // 32 * 32
    with open(path, "wb") as f:
        f.write(out + bytes(-len(out) % 32 + offset))


class Program:
    def __init__(self, path, models, data):
        self.path, self.models, self.data = path, models, data
        self.model = os.path.join(models, "austen-3.7M-q8_0.gguf")

    def run(self, *args, env=None, **more):
        """-> (exit status, stdout as bytes, stderr as text)"""
        r = subprocess.run([self.path, *map(str, args)], capture_output=True, timeout=600,
                           env=dict(os.environ, **(env or {})), **more)
        return r.returncode, r.stdout, r.stderr.decode("utf-8", "replace")

    def text(self, *args):
        """What a run prints, which must succeed."""
        status, out, err = self.run(*args)
        check(status == 0, f"{args}: exit {status}: {err}")
        return out.decode("utf-8", "replace")

    def tokens(self, text, *args, model=None):
        out = self.text("tokenize", "-m", model or self.model, "-p", text, *args)
        check(out.endswith("\n") and out.count("\n") == 1, f"tokenize {text!r}: {out!r}")
        return [int(i) for i in out.split()]

    def ids(self, model, prompt, n, *args):
        out = self.text("-m", model, "-p", prompt, "-n", n, "--temp", 0, "--ids", "--ignore-eos", *args)
        return [int(i) for i in out.split()]

    def targets(self):
        """Names of the targets that run here, best first."""
        lines = self.text("targets").splitlines()
        for line in lines:
            if "does not run" in line:
                print("SKIPPED target " + line)
        names = [line.split()[0] for line in lines if "does not run" not in line]
        return names[:1] if QUICK else names

    def in_data(self, *path):
        """A file or folder of DATA; skips the check if it is not there."""
        if not self.data:
            skip("no folder of test data is named (TESSERA_TEST_DATA)")
        found = os.path.join(self.data, *path)
        if not os.path.exists(found):
            skip("no " + found)
        return found

    def outside(self, *args):
        """Runs a script that comes with the data."""
        r = subprocess.run([sys.executable, *args], capture_output=True, text=True)
        print(" ".join(args[1:]) + "\n" + r.stdout + r.stderr, end="")
        check(r.returncode == 0, "exit %d" % r.returncode)


def check_shipped(program):
    """The repository's own models on every target. Exact products must give every token of a float64
    program; fast ones those up to the first step at which their rounding may decide otherwise."""
    exact = fast = 0
    for model in sorted(glob.glob(os.path.join(program.models, "*.gguf"))):
        kind = re.search(r"-(\w+)\.gguf$", model).group(1)
        with open(os.path.join(program.models, "expected", f"greedy-{kind}.json")) as f:
            cases = json.load(f)["cases"][:1 if QUICK else None]
        for target in program.targets():
            for case in cases:
                doubt = next((i for i, m in enumerate(case["margins"]) if m < 2 * TOLERANCE[kind]), None)
                for args in (["-t", 1, "--accuracy", "exact", "--pack", "never"], ["-t", 2, "--accuracy", "exact"],
                             ["-t", 1, "--pack", "never"], ["-t", 1]):
                    end = None if "exact" in args else doubt
                    wanted = case["tokens"]
                    got = program.ids(model, case["prompt"], len(wanted), "--target", target, *args)
                    check(got[:end] == wanted[:end] and len(got) == len(wanted),
                          f"{os.path.basename(model)} {target} {args} '{case['prompt']}':\n{got}, not\n{wanted}")
                    exact, fast = exact + (end is None) * len(got), fast + (end or 0)
    print(f"{exact} tokens of exact products compared, {fast} of fast ones")
    check(exact > 0, "nothing was compared")


def check_truth(program):
    """The outside comparison over all models, each target and thread count."""
    script = program.in_data("check", "truth.py")
    folders = [(program.in_data("data", "gguf"), program.in_data("data", "expected")),
               (program.in_data("model"), program.in_data("model", "expected"))]
    for models, expected in folders:
        for threads in ("2",) if QUICK else ("1", "2"):
            program.outside(script, program.path, models, expected, "-t", threads)
        for target in program.targets()[1 if QUICK else 0:]:
            program.outside(script, program.path, models, expected, "--target", target)


def check_small_truth(program):
    """The same of the smallest model, for emulated machines."""
    script = program.in_data("check", "truth.py")
    models, expected = program.in_data("data", "gguf"), program.in_data("data", "expected")
    for target in program.targets():
        program.outside(script, program.path, models, expected, "--only", "stories260K", "--target", target)


def check_bad_files(program):
    program.outside(program.in_data("check", "bad_files.py"), program.path, program.in_data("data", "bad"))


def check_cases(program):
    """Files that went wrong once, with the answers of llama.cpp and of the templates themselves."""
    folder = program.in_data("cases", "cli")
    file = lambda name: os.path.join(folder, name)
    base = ["-t", 1, "--temp", 0]

    def ids_are(wanted, name, *args):
        out = program.text("-m", file(name), *base, *args, "--ids")
        check(out.split() == wanted.split(), f"{name}: {out.split()}, not {wanted}")

    def prompt_has(tokens, name, *args):
        status, _, err = program.run("-m", file(name), *base, "-cnv", *args, "-n", 1, stdin=subprocess.DEVNULL)
        check(status == 0 and re.search(rf"prompt +{tokens} tokens", err), f"{name} {args}: {status} {err}")

    def refused(words, name, *args):
        status, _, err = program.run(*args, "-m", file(name), *([] if args else ["-p", "hi"]))
        check(status == 1 and re.search(words, err), f"{name}: {status} {err}")

    for said in "  hi  ", "hi":
        prompt_has(29, "chat_llama3_trim.gguf", "-p", said)
        prompt_has(7, "chat_llama2_strip.gguf", "-p", said)
    prompt_has(43, "chat_llama3_trim.gguf", "-sys", " S ", "-p", "hi")
    for name in "end_of_turn_control", "EOT_control", "EOS_brackets_control":
        ids_are("261", f"eog_{name}.gguf", "-p", "A", "-n", 6)
    split = "441 416 331 407 261 378 359 439 438 438 410 410 475 479 472 484"
    for name, first in ("bpe_without_pre", ""), ("bpe_pre_default", ""), ("bpe_pre_dbrx", ""), ("bpe_pre_tekken", "11 "):
        out = program.text("tokenize", "-m", file(name + ".gguf"), "-p", "Once upon a time I'LL  1234")
        check(out.strip() == first + split, f"{name}: {out}")
    for name, wanted in (("mlp_bias", "109 " * 8), ("head_arrays", "245 " * 6 + "227 227"), ("key_with_blank", "241 " * 8)):
        ids_are(wanted, name + ".gguf", "-p", "Once upon a time", "-n", 8)
    refused("00002-of-00003", "split-00001-of-00003.gguf")
    refused("clip", "arch_clip_no_tokenizer.gguf")
    refused("adapter", "lora_adapter.gguf")
    refused("gpt-?oss", "arch_gptoss_pre_gpt4o.gguf")
    refused("nomic-bert", "arch_nomic_bert.gguf")
    refused("Git LFS", "git_lfs_pointer.gguf")
    for name, word in ("NVFP4", "nvfp4"), ("Q1_0", "q1_0"):
        check(word in program.text("info", "-m", file(f"type_{name}.gguf")), f"info names no {word}")
    # Of any model.
    model = ["-m", program.model]
    for args in (["-p", "hi", "-n", 1, "-c", -1], ["-hf", "a/b"]):
        status, out, err = program.run(*model, *args)
        check(status == 1 and err and not out, f"{args}: {status} {err}")
    for args in ["-p", -5], ["-r", 0]:
        status, _, err = program.run("bench", *model, *args)
        check(status == 1 and len(err) < 400, f"bench {args}: {status} {err}")
    for args in ["-ngl", 99], ["-fa"], ["-ctk", "f16"]:
        status, _, err = program.run(*model, *args, "-p", "hi", "-n", 1)
        check(status == 0 or status == 1 and args[0] in err, f"{args}: {status} {err}")
    check(len(program.ids(program.model, "hi", 3)) == len(program.text(*model, "-p", "hi", "--n-predict", 3, "--ids",
                                                                       "--ignore-eos").split()), "--n-predict")


def perplexities(program, name, wanted, *args, most=0.005):
    """Of each accuracy that the model's format knows: printed, and within half a percent of what is wanted."""
    blocks = re.search(r"-i?q\d_", name) is not None
    for accuracy in ("exact", "fast", "coarse") if blocks and not QUICK else ("fast",):
        out = program.text("perplexity", *args, "--accuracy", accuracy)
        check(re.fullmatch(r"\d+\.\d{4}\n", out), f"stdout is {out!r}")
        print(f"{name} {accuracy}: {out.strip()}, wanted {wanted}")
        check(abs(float(out) / float(wanted) - 1) < most, f"{name} {accuracy}: perplexity {out.strip()}, not {wanted}")


def check_perplexity(program):
    with open(program.in_data("data", "expected", "perplexity.tsv")) as f:
        rows = [line.split() for line in f.read().splitlines()[1:]]
    story = program.in_data("data", "expected", "story.txt")
    for name, _, _, _, wanted in rows:
        perplexities(program, name, wanted, "-m", program.in_data("data", "gguf", name + ".gguf"), "-f", story, "-c", 128)


def check_shipped_perplexity(program):
    """Of the repository's own models and the text that they were not trained on."""
    with open(os.path.join(program.models, "expected", "perplexity.tsv")) as f:
        rows = [line.split() for line in f.read().splitlines()[1:]]
    for kind, _, wanted, *_ in rows:
        model = os.path.join(program.models, f"austen-3.7M-{kind}.gguf")
        if os.path.exists(model) and (kind == "q4_0" or not QUICK):
            text = ["-m", model, "-f", os.path.join(program.models, "holdout.txt"), "-c", 512]
            perplexities(program, f"austen-3.7M-{kind}", wanted, *text)
            if kind == "q4_0":
                halves = program.text("perplexity", *text, "--kv", "f16")
                bytes_ = program.text("perplexity", *text, "--kv", "q8_0")
                print(f"austen-3.7M-{kind} --kv f16: {halves.strip()}, q8_0: {bytes_.strip()}")
                check(abs(float(bytes_) / float(halves) - 1) < 0.003 and bytes_ != halves,
                      f"--kv q8_0: perplexity {bytes_}, f16 {halves}")


def check_quantized(program):
    """Files of the types that people download, made by llama.cpp, against what it computes: logits of every position
    within 0.4, perplexity within 0.5 %. The files say how they were made."""
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "quantized")
    with open(os.path.join(folder, "prompts.txt"), encoding="utf-8") as f:
        prompts = f.read().splitlines()
    with open(os.path.join(folder, "perplexity.tsv"), encoding="utf-8") as f:
        rows = [line.split() for line in f.read().splitlines()[1:]]
    for kind, wanted in rows:
        model = os.path.join(folder, f"austen-3.7M-{kind}.gguf")
        for i, prompt in enumerate(prompts[:1 if QUICK else None]):
            with open(os.path.join(folder, f"{kind}.{i}.f16"), "rb") as f:
                recorded = f.read()
            recorded = struct.unpack(f"<{len(recorded) // 2}e", recorded)
            for pack in ("auto",) if QUICK else ("auto", "always", "never"):
                with tempfile.TemporaryDirectory() as temporary:
                    out = os.path.join(temporary, "logits")
                    program.text("-m", model, "-p", prompt, "-n", 1, "--temp", 0, "-t", 1, "--pack", pack, "--logits-out", out)
                    with open(out, "rb") as f:
                        logits = f.read()
                logits = struct.unpack(f"<{len(logits) // 4}f", logits)
                check(len(logits) == len(recorded), f"{kind}: {len(logits)} logits, not {len(recorded)}")
                worst = max(abs(a - b) for a, b in zip(logits, recorded))
                check(worst <= 0.4, f"{kind} {prompt!r} --pack {pack}: a logit is off by {worst:.3f}")
        if not QUICK:
            perplexities(program, f"austen-3.7M-{kind}", wanted, "-m", model, "-f", os.path.join(program.models, "holdout.txt"),
                         "-c", 512)


def tensors_of(program, model):
    """Name -> (type, shape, size, place in the file), as `info` shows them."""
    lines = re.findall(r"^(\S+) +(\w+) +\[([\d, ]+)\] +(\d+) bytes at (\d+)$", program.text("info", "-m", model), re.M)
    return {name: (kind, [int(d) for d in shape.split(",")], int(size), int(at)) for name, kind, shape, size, at in lines}


def check_experts(program):
    """Mixtures of experts against what llama.cpp computed; and that bench and quantize know what experts are."""
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "experts")
    with open(os.path.join(folder, "perplexity.tsv"), encoding="utf-8") as f:
        rows = [line.split() for line in f.read().splitlines()[1:]]
    check(len(rows) > 1, "nothing was recorded")
    prompt = "It is a truth universally acknowledged"
    with tempfile.TemporaryDirectory() as place:
        text, out = os.path.join(place, "text"), os.path.join(place, "out.gguf")
        with open(os.path.join(program.models, "holdout.txt"), "rb") as a, open(text, "wb") as b:
            b.write(a.read(800))
        for name, wanted in rows:
            model = os.path.join(folder, name + ".gguf")
            # 300 tokens; where x is rounded, some of them go to another expert, of nearly the same score.
            perplexities(program, name, wanted, "-m", model, "-f", text, "-c", 64, most=1e-5 if "f32" in name else 0.02)
            with open(os.path.join(folder, name + ".tokens"), encoding="utf-8") as f:
                prompt_ids, following = ([int(i) for i in line.split()] for line in f.read().splitlines())
            check(program.tokens(prompt, model=model) == prompt_ids, f"{name}: other tokens")
            kind = name.split("-")[-1]
            if kind == "f32":
                for more in ("--pack", "always"), ("--pack", "never", "-t", 1):
                    got = program.ids(model, prompt, len(following), *more)
                    check(got == following, f"{name} {more}: {got}, not {following}")
            tensors = tensors_of(program, model)
            # A token is multiplied with all matrices but the embedding table, and of experts with those it chose.
            used = int(re.search(r"expert_used_count +u32 +(\d+)", program.text("info", "-m", model)).group(1))
            bytes_of_token, bytes_of = 0, {}
            for tensor, (form, shape, size, _) in tensors.items():
                bytes_of[form] = bytes_of.get(form, 0) + size
                if form == "q3_K":  # runs as q8_0
                    size = math.prod(shape) // 32 * 34
                if tensor.endswith(".weight") and tensor != "token_embd.weight" and (len(shape) > 1 or "_shexp" in tensor):
                    bytes_of_token += size * used // shape[2] if len(shape) == 3 else size
            row = json.loads(program.text("bench", "-m", model, "-p", 4, "-n", 0, "-r", 1, "-o", "json"))[0]
            wanted_row = {"model_n_params": sum(math.prod(shape) for _, shape, _, _ in tensors.values()),
                          "weight_bytes": bytes_of_token}
            check({key: row[key] for key in wanted_row} == wanted_row, f"bench {name}: {row}, not {wanted_row}")
            check(row["model_type"].split()[1] == max(bytes_of, key=bytes_of.get), f"bench {name}: {row['model_type']}")
            # The bytes that llama.cpp's own program makes of the experts.
            source = os.path.join(folder, name.removesuffix(kind) + "f32.gguf")
            if kind == "f32" or any(tensors[t][0] != kind for t in tensors if t.endswith("_exps.weight")):
                continue
            program.text("quantize", source, out, kind)
            ours = tensors_of(program, out)
            with open(model, "rb") as a, open(out, "rb") as b:
                theirs_bytes, ours_bytes = a.read(), b.read()
            for tensor, (_, shape, size, at) in tensors.items():
                mine = ours[tensor]
                if tensor.endswith("_exps.weight") or len(shape) < 2 or tensor.endswith((".bias", "ffn_gate_inp.weight")):
                    check(mine[0] == tensors[tensor][0] and
                          ours_bytes[mine[3]:mine[3] + size] == theirs_bytes[at:at + size], f"{name} {tensor}: other bytes")


def check_published(program):
    """The greedy texts that llama2.c's author published, of 200 and 256 tokens."""
    model = program.in_data("data", "gguf", "stories260K-f32.gguf")
    for count in 200, 256:
        with open(program.in_data("data", "expected", f"llama2c-stories260K-n{count}.txt"), newline="") as f:
            wanted = f.read()
        got = program.text("-m", model, "-p", "", "-n", count, "--temp", 0)
        check(got == " " + wanted.rstrip("\n") + "\n", f"{count} tokens: {got!r}")


def check_foreign(program):
    """Files that other programs wrote."""
    folder = program.in_data("data", "foreign")
    text = program.text("-m", os.path.join(folder, "stories260K-f32-llamacpp-converted.gguf"), "-p", "",
                        "-n", 100, "--temp", 0)
    check(text == program.text("-m", program.in_data("data", "gguf", "stories260K-f32.gguf"), "-p", "",
                               "-n", 100, "--temp", 0), f"converted file: {text!r}")
    for name in "llama-2-tiny-random.gguf", "bytes-only-tiny-f32.gguf":
        check(program.text("-m", os.path.join(folder, name), "-p", "a b", "-n", 8), name + ": no text")
    status, _, err = program.run("-m", os.path.join(folder, "tinyllamas-stories-260k-f32-v1.gguf"))
    check(status == 1 and "GGUF version 1 is not read" in err, f"version 1: {status} {err}")


def check_threads(program):
    """Neither the number of threads nor anything else changes a text."""
    for sampling in (["--temp", 0], ["--temp", 0.8, "--seed", 7]):
        args = ["-m", program.model, "-p", PROMPT, "-n", 40, *sampling]
        one = program.text(*args, "-t", 1)
        check(one.startswith(PROMPT) and one.endswith("\n") and len(one) > 60, f"text {one!r}")
        for threads in 2, 3, 7:
            check(program.text(*args, "-t", threads) == one, f"another text with -t {threads}")
        check(program.text(*args) == one, "another text without -t")
    check(program.text(*args[:-1], 8) != one, "the same text with another seed")
    a, b = (program.text("-m", program.model, "-n", 30, "--no-display-prompt") for _ in range(2))
    check(a != b, "the same text twice without a seed")


def check_output(program):
    """What goes where."""
    base = ["-m", program.model, "-p", PROMPT, "--temp", 0]
    status, out, err = program.run(*base, "-n", 20, "-t", 1)
    text = out.decode()
    for part in (r"^load +\d+ ms$", r"^prompt +\d+ tokens, [\d.]+ s, [\d.]+ tokens/s$", r"^generation +20 tokens",
                 r"target \w+, 1 threads, weights q8_0 \(36 matrices\), 3.8 MiB mapped, 3.8 MiB packed$"):
        check(re.search(part, err, re.M), f"stderr lacks {part}: {err}")
    check(program.targets()[0] in err, f"not the best target: {err}")
    check(program.text(*base, "-n", 20, "--no-display-prompt") == text[len(PROMPT):], "--no-display-prompt")
    check(program.text("generate", *base, "-n", 20) == text, "the subcommand by its name")
    check(program.text(*base, "-n", 0) == PROMPT + "\n", "-n 0")
    check(len(program.ids(program.model, PROMPT, 20)) == 20, "--ids")
    check(program.ids(program.model, PROMPT, 0) == [], "--ids -n 0")
    for pack, message in ("auto", "3.8 MiB packed"), ("always", "3.8 MiB packed"), ("never", "0.0 MiB packed"):
        run = program.run(*base, "-n", 20, "--pack", pack)
        check(run[0] == 0 and message in run[2], f"--pack {pack}: {run}")

    with tempfile.TemporaryDirectory() as folder:
        log = os.path.join(folder, "log.json")
        program.text(*base, "-n", 20, "-t", 2, "--log-json", log)
        with open(log) as f:
            doc = json.load(f)
        check(doc["model"] == program.model and doc["threads"] == 2 and doc["bytes_mapped"] == 4011776 and
              doc["bytes_packed"] > 3900000 and doc["target"] in err and doc["load_ms"] > 0 and
              doc["prompt"]["tokens"] == 5 and doc["generation"]["tokens"] == 20 and
              doc["generation"]["tokens_per_second"] > 0 and "seed" in doc, f"--log-json: {doc}")
        file = os.path.join(folder, "prompt")
        with open(file, "w") as f:
            f.write(PROMPT)
        check(program.text("-m", program.model, "-f", file, "--temp", 0, "-n", 20) == text, "-f")
        logits = os.path.join(folder, "logits")
        program.text(*base, "-n", 1, "--logits-out", logits)
        tokens = int(re.search(r"^prompt +(\d+)", err, re.M).group(1))
        check(os.path.getsize(logits) == 4 * 2048 * tokens, f"{os.path.getsize(logits)} bytes of logits")

    status, out, err = program.run("-m", program.model, "-p", PROMPT, "-c", 30, "--temp", 0, "--ids", "--ignore-eos")
    check(status == 0 and "stopped: the context of 30 is full" in err, f"full context: {status} {err}")
    check(len(out.split()) == 30 - tokens + 1, f"full context: {len(out.split())} tokens")
    out = program.text("info", "-m", program.model)
    for part in (r"^GGUF version 3, 4011776 bytes", r"^llama.block_count +u32 +5$",
                 r"^tokenizer.ggml.tokens +string +\[2048\] \"<unk>\"", r"^token_embd.weight +q8_0 +\[256, 2048\] "):
        check(re.search(part, out, re.M), f"info lacks {part}")
    for line in program.text("targets").splitlines():
        check(re.fullmatch(r"[A-Z0-9_]+ +(runs here|does not run on this CPU)", line), f"targets: {line!r}")
    check(program.targets(), "no target runs here")
    check("generate" in program.text("--help"), "--help")
    check(re.fullmatch(r"\d+\.\d+\.\d+\n", program.text("--version")), "--version")
    for prompt in "[To Mrs. Weston.]", "-x", "--temp", "a 'b' \"c\"", " ", "é\n", "</s>":
        check(program.text("-m", program.model, "-p", prompt, "-n", 0) == prompt + "\n", f"prompt {prompt!r}")
    if hasattr(signal, "SIGPIPE"):
        r = subprocess.run(f"'{program.path}' -m '{program.model}' -p a -n 400 2>&1 | head -c 20",
                           shell=True, capture_output=True, timeout=60)
        check(len(r.stdout) == 20, "a reader that goes away")


def check_errors(program):
    """Refused with one line on stderr and exit status 1."""
    with tempfile.TemporaryDirectory() as folder:
        empty = os.path.join(folder, "empty")
        open(empty, "w").close()
        pipe = os.path.join(folder, "pipe")
        os.mkfifo(pipe)
        base = ["-m", program.model]
        for args, message in (
                (["generate"], "required"),
                (["-m", os.path.join(folder, "absent.gguf")], "absent.gguf: No such file or directory"),
                (["-m", folder], "is not a regular file"),
                (["-m", pipe], "is not a regular file"),
                (["-m", empty], "is empty"),
                (["-m", program.path], "not a GGUF file"),
                (base + ["--target", "AVX99"], 'unknown target "AVX99"; known are: '),
                (base + ["-t", 0], "not in range"),
                (base + ["-t", -1], ""),
                (base + ["-n", "many"], "many"),
                (base + ["-n", -2], "not in range"),
                (base + ["--temp", -1], "not in range"),
                (base + ["--top-p", 1.5], "not in range"),
                (base + ["--min-p", 2], "not in range"),
                (base + ["--repeat-penalty", 0], "not in range"),
                (base + ["--repeat-last-n", -2], "not in range"),
                (base + ["-f", os.path.join(folder, "absent")], "absent: No such file"),
                (base + ["-f", folder], "Is a directory"),
                (base + ["-f", empty, "-p", "a"], "excludes"),
                (base + ["-cnv"], "the file has no tokenizer.chat_template; --chat-template names one of: chatml, "),
                (base + ["-cnv", "--chat-template", "best"], '--chat-template "best" is not one of: chatml, '),
                (base + ["-sys", "a"], "requires --conversation"),
                (base + ["--log-json", folder], "Is a directory"),
                (["tokenize", *base, "-f", folder], "Is a directory"),
                (["tokenize", "-m", folder, "-p", "a"], "is not a regular file"),
                (["tokenize"], "required"),
                (base + ["-p", "a " * 50000], " tokens, the context holds 512"),
                (base + ["--nonsense", "--more"], "unknown option --nonsense"),
                (base + ["-hf", "a/b"], "unknown option -hf"),
                (base + ["-ctk", "q4_0"], "q4_0 not in {f16,f32,q8_0}"),
                (base + ["-ctk", "f16", "-ctv", "q8_0"], "values are kept as keys are, f16"),
                (base + ["--grammar", "root ::= a"], "unknown option --grammar"),
                (base + ["one", "two"], 'unexpected argument "one"'),
                (base + ["-c", -1], "-1 is not in range 0 .. "),
                (base + ["--top-k", "1e3"], '"1e3" is not a whole number'),
                (base + ["--ubatch-size", 0], "0 is not in range 1 .. "),
                *((base + [option, value], f"{value} is not in range") for value in ("nan", "inf", "-inf", "-nan")
                  for option in ("--temp", "--top-p", "--min-p", "--repeat-penalty")),
                (["bench", *base, "-p", "32,-5"], "-5 is not in range 0 .. "),
                (["bench", *base, "-n", -1], "-1 is not in range 0 .. "),
                (["bench", *base, "-r", 0], "0 is not in range 1 .. "),
                (["bench", *base, "-b", -1], "-1 is not in range 1 .. "),
                (base + ["--chat-template-file", empty], "requires --conversation"),
                (base + ["-cnv", "--chat-template-file", os.path.join(folder, "absent")], "absent: No such file"),
                (base + ["-cnv", "-no-cnv"], "excludes"),
                (base + ["-cnv", "--logits-out", os.path.join(folder, "logits")], "excludes"),
                (base + ["-c", 3, "-p", PROMPT], "the prompt has 5 tokens, the context holds 3"),
                (base + ["-c", 1 << 45, "-n", -1], "not enough memory for a context of 35184372088832"),
                (base + ["--logits-out", folder], "Is a directory"),
                (base + ["--pack", "sometimes"], "sometimes"),
                (base + ["--accuracy", "great"], "great"),
                (["nonsense"], 'unknown subcommand "nonsense"'),
                (["info"], "required"),
                (["info", "-m", empty], "is empty"),
                (["perplexity", *base, "-f", os.path.join(folder, "absent")], "No such file"),
                (["perplexity", *base, "-f", folder], "Is a directory"),
                (["perplexity", *base, "-f", empty, "-c", 128], "not one chunk of 128")):
            status, out, err = program.run(*args, *([] if "-n" in args or args[:1] != ["-m"] else ["-n", 2]),
                                           env=NULL_IF_NO_MEMORY)
            check(status == 1, f"{args}: exit {status}")
            check(message in err, f"{args}: {err!r} lacks {message!r}")
            lines = [line for line in err.splitlines() if not line.startswith(("note: ", "=="))]
            check(len(lines) == 1 and lines[0].startswith("tessera-llm: "), f"{args}: {err!r}")
            check(out.strip() == b"", f"{args}: stdout is {out!r}")
        status, _, err = program.run(*base, "-n", 2, env={"TESSERA_TARGET": "nonsense"})
        check(status == 1 and 'unknown target "nonsense"' in err, f"TESSERA_TARGET: {status} {err}")
    if os.path.exists("/dev/full"):
        with open("/dev/full", "wb") as full:
            r = subprocess.run([program.path, *base, "-n", "2"], stdout=full, stderr=subprocess.PIPE)
        check(r.returncode == 1 and b"stdout: No space left" in r.stderr, f"/dev/full: {r}")


def check_options(program):
    """Options as scripts for llama.cpp spell them, and a help that fits the terminal."""
    base = ["-m", program.model, "-p", PROMPT, "--temp", 0]
    text = program.text(*base, "-n", 12)
    for args in (["-n12"], ["--n-predict", 12], ["--n-predict=12"], ["-n", "+12"], ["-n", 12, "--target", program.targets()[0].lower()],
                 ["-n", 12, "--kv", "F32", "--pack", "AUTO", "--accuracy", "Fast"], ["-n", 12, "-no-cnv"],
                 ["-n", 12, "-b", 2, "-ub", 512], ["-n", 12, "-b", 512, "-ub", 3], ["-n", 12, "-np", 1, "-ngl", 0, "-fa", "off"],
                 ["-n", 12, "-ctk", "f32", "-ctv", "F32"]):
        status, out, err = program.run(*base, *args)
        check(status == 0 and out.decode() == text and "note:" not in err, f"{args}: {status} {out} {err}")
    for args, name in ((["-ngl", 99], "--n-gpu-layers"), (["-fa"], "--flash-attn"), (["-fa", "on"], "--flash-attn"),
                       (["-fa", "1"], "--flash-attn"), (["--no-mmap"], "--no-mmap"), (["-np", 4], "--parallel"),
                       (["-tb", 2], "--threads-batch")):
        status, out, err = program.run(*base, *args, "-n", 12)
        check(status == 0 and out.decode() == text and f"note: {name} changes nothing" in err, f"{args}: {status} {out} {err}")
    locked = program.run(*base, "-n", 12, "--mlock")
    check(locked[0] == 0 and locked[1].decode() == text, f"--mlock: {locked}")
    for prompt, escaped in ((r"a\nb\t\x41\\n\q", "a\nb\tA\\n\\q"), ("\\x4", "\\x4"), ("\\", "\\")):
        check(program.text("-m", program.model, "-p", prompt, "-n", 0, "-e") == escaped + "\n", f"-e {prompt!r}")
        check(program.text("-m", program.model, "-p", prompt, "-n", 0) == prompt + "\n", f"without -e {prompt!r}")
    r = subprocess.run([program.path, *map(str, base[:2]), "-f", "-", "-n", "12", "--temp", "0"], input=PROMPT.encode(),
                       capture_output=True)
    check(r.returncode == 0 and r.stdout.decode() == text, f"-f -: {r}")
    with tempfile.TemporaryDirectory() as folder:
        jinja, out = os.path.join(folder, "chat.jinja"), os.path.join(folder, "out.gguf")
        chat = ["-m", program.model, "-cnv", "-p", "Hello", "-n", 40, "--temp", 0, "--ids", "--ignore-eos"]
        with open(jinja, "w") as f:
            f.write("{{'<|user|>\n' + m + eos_token }}<|assistant|>")
        answers = [program.run(*chat, *more, stdin=subprocess.DEVNULL)[1]
                   for more in (["--chat-template-file", jinja], ["--chat-template", "zephyr"], ["--chat-template", "chatml"])]
        check(answers[0] == answers[1] != answers[2], f"--chat-template-file: {answers}")
        with open(jinja, "w") as f:
            f.write("{{ m }}")
        status, _, err = program.run(*chat, "--chat-template-file", jinja)
        check(status == 1 and "the template is of no known form" in err, f"unknown template: {status} {err}")
        status, _, err = program.run("quantize", program.model, out, "Q4_0")
        check(status == 1 and "only files of f32" in err, f"quantize Q4_0: {err}")
    status, out, err = program.run()
    check(status == 1 and "Usage: tessera-llm" in err and not out, f"no arguments: {status} {out} {err}")
    helps = [program.text(*words) for words in (["--help"], ["help"])]
    check(helps[0] == helps[1] and "generate" in helps[0], f"help: {helps}")
    for command in "generate", "perplexity", "tokenize", "bench", "quantize", "info", "targets":
        helps = [program.text(*words) for words in ([command, "--help"], ["help", command])]
        check(helps[0] == helps[1] and f"tessera-llm {command}" in helps[0], f"help {command}: {helps}")
        check(all(len(line) <= 100 for line in helps[0].splitlines()), f"help {command} is wide: {helps[0]}")
    # The first thing that makes no sense is named, whatever follows it.
    for words, name in ((["--zeta", "--alpha"], "--zeta"), (["--alpha", "--zeta"], "--alpha"), (["-xyz"], "-xyz")):
        status, _, err = program.run(*base, *words)
        check(status == 1 and f"unknown option {name}, " in err, f"{words}: {status} {err}")


def check_tokenize(program):
    """Ids of a text, from files that have no more than a tokenizer."""
    bos = program.tokens("")
    check(bos == [1], f"the empty text: {bos}")
    check(program.tokens("", "--no-bos") == [], "--no-bos")
    hello = program.tokens("Hello world")
    check(hello == [1, 547, 290, 1992, 1023], f"Hello world: {hello}")
    check(program.tokens("Hello world", "--no-bos") == hello[1:], "--no-bos")
    check(program.tokens("a</s>") == [1, 261, 2], "</s>")
    check(len(program.tokens("a</s>", "--no-parse-special")) > 3, "--no-parse-special")
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "text")
        for text in b"", b"a", b"\n", b"\0\0", b"\xff", b"a\r\nb\n", b"caf\xc3", "é€😀".encode(), bytes(range(256)):
            with open(file, "wb") as f:
                f.write(text)
            os.chmod(file, 0o400)
            from_file = program.text("tokenize", "-m", program.model, "-f", file)
            r = subprocess.run(f"cat '{file}' | '{program.path}' tokenize -m '{program.model}' -f /dev/stdin",
                               shell=True, capture_output=True)
            check(r.returncode == 0 and r.stdout.decode() == from_file, f"{text!r} through a pipe: {r}")
            os.chmod(file, 0o600)
            ids = [int(i) for i in from_file.split()]
            check(len(ids) >= 1 + len(text) // 8 and ids[0] == 1, f"{text!r}: {ids}")
        with open(file, "w") as f:
            f.write("The old gentleman, " * 5300)
        begin = time.monotonic()
        ids = program.text("tokenize", "-m", program.model, "-f", file).split()
        check(len(ids) > 20000 and time.monotonic() - begin < 20, f"100,000 characters: {len(ids)} tokens")
    for name in "ggml-vocab-gpt-2", "tiny-bpe-qwen2":
        model = program.in_data("data", "vocab", name + ".gguf")
        check(len(program.tokens("Hello world", model=model)) > 1, name)
        check(" 0 tensors" in program.text("info", "-m", model), "info " + name)
    gpt2 = program.in_data("data", "vocab", "ggml-vocab-gpt-2.gguf")
    check(program.tokens("Hello<|endoftext|>", model=gpt2) == [15496, 50256], "a special token")


def check_sampling(program):
    """The flags change what they should; the same seed gives the same text on any number of threads."""
    base = ["-m", program.model, "-p", PROMPT, "-n", 60, "--seed", 5]
    texts = {}
    for flags in ([], ["--top-k", 1], ["--top-k", 0, "--top-p", 1, "--min-p", 0], ["--min-p", 1], ["--temp", 1.5],
                  ["--repeat-penalty", 1.5], ["--repeat-penalty", 1.5, "--repeat-last-n", 4]):
        text = texts[" ".join(map(str, flags))] = program.text(*base, *flags, "-t", 1)
        check(program.text(*base, *flags, "-t", 3) == text, f"{flags}: another text with three threads")
    greedy = program.text(*base, "--temp", 0)
    check(texts["--top-k 1"] == greedy and texts["--min-p 1"] == greedy, "one token to choose from")
    check(len(set(texts.values())) == len(texts) - 1, f"the same text with other flags: {texts}")
    ids = program.ids(program.model, PROMPT, 60, "--repeat-penalty", 1e6, "--repeat-last-n", -1)
    check(len(set(ids)) == len(ids), f"a repetition in {ids}")


def check_chat(program):
    """Turns follow each other in one context, and Ctrl-C stops an answer, not the program."""
    base = ["-m", program.model, "--chat-template", "zephyr", "--accuracy", "exact", "--temp", 0]
    jinja = """{% for m in messages %}{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + m['content'].strip() + ' [/INST]' }}\
{% elif m['role'] == 'assistant' %}{{ ' ' + m['content'].strip() + ' ' + eos_token }}{% endif %}{% endfor %}<<SYS>>"""
    forms = [(["--chat-template", "zephyr"], "<|user|>\nHello</s>\n<|assistant|>\n", "", "</s>\n<|user|>\nDear</s>\n<|assistant|>\n"),
             (["--chat-template-file"], "[INST] Hello [/INST]", " ", " </s><s>[INST] Dear [/INST]")]
    # The second turn reads on where the first one ended, as if all of it were a prompt, however the
    # model spelled its answer. One token less must be noticed.
    noticed = 0
    with tempfile.NamedTemporaryFile("w", suffix=".jinja") as file:
        file.write(jinja)
        file.flush()
        for options, first, blank, second in forms:
            options = options + [file.name] * (len(options) == 1)
            for n in 3, 8, 12, 20:
                one = program.ids(program.model, first, n, "--accuracy", "exact")
                r = subprocess.run([program.path, "-m", program.model, *options, "--accuracy", "exact", "--temp", "0", "-cnv",
                                    "-n", str(n), "--ids", "--ignore-eos"], input=b"Hello\n\nDear", capture_output=True)
                lines = [[int(i) for i in line.split()] for line in r.stdout.decode().splitlines()]
                check(r.returncode == 0 and len(lines) == 2 and lines[0] == one, f"first answer of {n}: {r}")
                answers = [program.text("-m", program.model, "--accuracy", "exact", "-p", first, "-n", count, "--temp", 0,
                                        "--ignore-eos", "--no-display-prompt")[:-1] for count in (n, n - 1)]
                wholes = [first + (blank + text.strip() if blank else text) + second for text in answers]
                full, less = (program.ids(program.model, whole, n, "--accuracy", "exact") for whole in wholes)
                check(full == lines[1], f"{options}: second answer of {n}: {lines[1]}, not {full}")
                noticed += full != less
    print(f"{noticed} second answers depend on the last token of the first")
    check(noticed > 0, "no case that would notice a lost token")
    with_system = program.text(*base, "-cnv", "-sys", "Be kind.", "-p", "Hello", "-n", 12, "--ids")
    without = program.text(*base, "-cnv", "-p", "Hello", "-n", 12, "--ids")
    check(with_system.split() != without.split(), "-sys changes nothing")
    status, out, err = program.run(*base, "-cnv", "-p", "Hello", "-c", 64, "-n", -1, "--ignore-eos", stdin=subprocess.DEVNULL)
    check(status == 0 and "stopped: the context of 64 is full" in err, f"full: {status} {err}")
    # With room made in the middle of an answer and before a turn, the second answer comes too.
    r = subprocess.run([program.path, *map(str, base), "-cnv", "-c", "64", "-n", "50", "--ids", "--ignore-eos",
                        "--context-shift"], input=b"Hello\nDear\nAgain\n", capture_output=True)
    lengths = [len(line.split()) for line in r.stdout.splitlines()]
    check(r.returncode == 0 and lengths == [50] * 3 and b"stopped" not in r.stderr, f"--context-shift: {r}")
    status, out, err = program.run(*base, "-cnv", "-p", "Hello", "-c", 8, stdin=subprocess.DEVNULL)
    check(status == 1 and re.search(r"the prompt has \d+ tokens, the context holds 8", err), f"small: {status} {err}")
    # A later message that never fits is told, and the chat goes on.
    for shift in [], ["--context-shift"]:
        r = subprocess.run([program.path, *map(str, base), "-cnv", "-c", "128", "-n", "4", "--ids", "--ignore-eos", *shift],
                           input=b"Hello\n" + b"word " * 200 + b"\nDear\n", capture_output=True)
        check(r.returncode == 0 and len(r.stdout.splitlines()) == 2 and b"stopped" not in r.stderr and
              re.search(rb"not read: the message has \d{3,} tokens, the context holds 128\n", r.stderr), f"long message: {r}")
    status, out, err = program.run(*base[:2], "-cnv", "--chat-template", "chatml", "-p", "Hello", "-n", 1, stdin=subprocess.DEVNULL)
    check(status == 0 and "note: the vocabulary has no special token <|im_start|>, <|im_end|>: " in err, f"chatml: {err}")

    with subprocess.Popen([program.path, *map(str, base), "-cnv", "-c", "60000", "--ignore-eos"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as p:
        for word in b"Hello\n", b"Again\n":
            p.stdin.write(word)
            p.stdin.flush()
            answer = os.read(p.stdout.fileno(), 20)
            p.send_signal(signal.SIGINT)
            # The answer ends with a line end, and may have others in it, behind which more comes soon.
            while answer and (not answer.endswith(b"\n") or select.select([p.stdout], [], [], 1)[0]):
                answer = os.read(p.stdout.fileno(), 4096)
            check(p.poll() is None, "Ctrl-C during an answer ends the program")
        p.send_signal(signal.SIGINT)
        p.wait(timeout=60)  # stdin stays open: Ctrl-C alone is the reason
        out, err = p.communicate()
        check(p.returncode == 0 and b"generation" in err, f"Ctrl-C between answers: {p.returncode} {err}")
    with subprocess.Popen([program.path, *map(str, base[:2]), "-p", "a", "-c", "60000", "--ignore-eos"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as p:
        os.read(p.stdout.fileno(), 20)
        p.send_signal(signal.SIGINT)
        out, err = p.communicate(timeout=60)
        check(p.returncode == 130 and b"generation" in err, f"Ctrl-C without a chat: {p.returncode} {err}")


class Terminal:
    """A chat on a pseudo-terminal."""
    def __init__(self, program, args, locale):
        self.seen, self.status = b"", None
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.environ.update(LC_ALL=locale, TERM="xterm")
            os.execv(program.path, [program.path, *map(str, args)])

    def type(self, text, pause=0.4):
        """Types, once the program waits, and takes what it writes until it has been quiet for a while."""
        os.write(self.terminal, text)
        self.wait(pause)

    def wait(self, pause, until=b"", seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if not select.select([self.terminal], [], [], pause)[0]:
                if until in self.seen:
                    return
                continue
            try:
                new = os.read(self.terminal, 4096)
            except OSError:  # the program has ended
                new = b""
            if not new:
                return
            self.seen += new

    def close(self):
        """Ends the input -> the number of prompt tokens of the closing report."""
        self.type(b"\x04")
        self.wait(0.2, b"MiB packed")
        self.status = os.waitpid(self.pid, 0)[1]
        os.close(self.terminal)
        found = re.search(rb"^prompt +(\d+) tokens", self.seen, re.M)
        return int(found.group(1)) if found else None


def check_terminal(program):
    """What is typed arrives, in every locale: letters beyond ASCII, old lines, pastes of several."""
    args = ["-m", program.model, "--chat-template", "zephyr", "-cnv", "-n", 1, "--temp", 0, "-t", 1, "--ignore-eos"]
    up, left = b"\x1b[A", b"\x1b[D"
    cases = [([b"hi\n"], "hi\n"), (["café ok\n".encode()], "café ok\n"), (["漢 👍\n".encode()], "漢 👍\n"),
             (["é!\n".encode(), up + b"\n"], "é!\né!\n"),
             (["aé漢".encode(), left + b"x\n"], "aéx漢\n"), (["aé漢".encode(), b"\x7f\x7f\n"], "a\n"),
             (["one é\ntwo 漢\nthree\n".encode()], "one é\ntwo 漢\nthree\n")]
    for locale in ("C.UTF-8", "C", "nonsense") if not QUICK else ("C",):
        for typed, meant in cases:
            r = subprocess.run([program.path, *map(str, args)], input=meant.encode(), capture_output=True)
            wanted = int(re.search(rb"^prompt +(\d+) tokens", r.stderr, re.M).group(1))
            chat = Terminal(program, args, locale)
            chat.wait(0.3, b"> ")
            for text in typed:
                chat.type(text)
            got = chat.close()
            check(got == wanted and chat.status == 0, f"{typed} under {locale}: {got} tokens, not {wanted}: {chat.seen}")


def check_prompts(program):
    """Prompts of all kinds, as an argument and from a file."""
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "prompt")
        for prompt in (b"", b"a", b"\xff", b"\xc3", b"caf\xc3\xa9 \xf0\x9f\x98", "日本語".encode(), b"<s></s><unk>", b"\n\n"):
            with open(file, "wb") as f:
                f.write(prompt)
            for args in (["-f", file], ["-p", prompt]):
                r = subprocess.run([program.path, "-m", program.model, *args, "-n", "4", "--temp", "0"], capture_output=True)
                check(r.returncode == 0 and r.stdout.startswith(prompt) and len(r.stdout) > len(prompt),
                      f"{prompt!r} {args[0]}: {r}")
        with open(file, "wb") as f:
            f.write(b"The old gentleman had been " * 37)
        text = program.text("-m", program.model, "-f", file, "-n", 4, "--temp", 0, "-t", 2 * os.cpu_count() + 1)
        check(len(text) > 27 * 37, "a prompt of several batches, more threads than cores")


def check_bench(program):
    """Rows as llama-bench prints them, and what they say of themselves."""
    args = ["bench", "-m", program.model, "-p", "32,0", "-n", 8, "-r", 2, "-t", 1]
    status, out, err = program.run(*args, "-v")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.decode().splitlines()]
    check(status == 0 and len(rows) == 4, f"exit {status}: {out!r} {err}")
    check(rows[0] == ["model", "size", "params", "backend", "threads", "test", "t/s"], f"columns {rows[0]}")
    check([row[5] for row in rows[2:]] == ["pp32", "tg8"] and rows[2][0] == "llama q8_0", f"rows {rows}")
    check(all(re.fullmatch(r"\d+\.\d\d ± +\d+\.\d\d", row[6]) for row in rows[2:]), f"speeds {rows}")
    for test, more in ("pp32", ""), ("tg8", r"; 3\.8 MiB of weights a token, [\d.]+ GB/s"):
        match = re.search(rf"^{test}: ([\d.]+) % in products \(([\d.]+) % with weights, ([\d.]+) % in attention\), "
                          rf"([\d.]+) % in the rest of attention, ([\d.]+) % in the rest{more}$", err, re.M)
        products, weights, attention, more_attention, rest = map(float, match.groups()) if match else [0] * 5
        check(abs(products + more_attention + rest - 100) < 0.2 and abs(weights + attention - products) < 0.2,
              f"-v {test}: {err}")
    check(rows[2][1] == "3.78 MiB" and rows[2][2] == "3.72 M", f"size {rows[2]}")
    rows = json.loads(program.text(*args, "-o", "json", "--kv", "f16", "-d", 40))
    check([(r["n_prompt"], r["n_gen"], r["n_depth"]) for r in rows] == [(32, 0, 40), (0, 8, 40)], f"json {rows}")
    check(all(len(r["samples_ts"]) == 2 and r["type_kv"] == "f16" and r["avg_ts"] > 0 for r in rows), f"json {rows}")
    with tempfile.TemporaryDirectory() as folder:
        log = os.path.join(folder, "log.json")
        program.text(*args, "--log-json", log)
        with open(log) as f:
            doc = json.load(f)
        check(doc["threads"] == 1 and [r["n_gen"] for r in doc["tests"]] == [0, 8], f"--log-json: {doc}")
    lines = list(csv.DictReader(program.text(*args, "-o", "csv").splitlines()))
    check([line["n_prompt"] for line in lines] == ["32", "0"] and float(lines[0]["avg_ts"]) > 0, f"csv {lines}")


def check_context(program):
    """What happens where the context ends, and keys and values as halves."""
    args = ["-m", program.model, "-p", PROMPT, "--temp", 0, "--ignore-eos", "-n", 60]
    ids = program.ids(program.model, PROMPT, 60, "-c", 32, "--context-shift")
    check(len(ids) == 60 and len(set(ids)) > 10, f"--context-shift: {ids}")
    whole = program.ids(program.model, PROMPT, 60)
    check(ids[:27] == whole[:27], f"before the shift: {ids}, not {whole}")
    whole, halves = (program.ids(program.model, "It is a truth universally acknowledged", 20, "--accuracy", "exact",
                                 "--kv", kind) for kind in ("f32", "f16"))
    check(halves == whole, f"--kv f16: {halves}, not {whole}")
    ids = program.ids(program.model, PROMPT, 60, "-c", 50, "--context-shift", "-ctk", "q8_0", "-ctv", "q8_0")
    check(len(ids) == 60 and len(set(ids)) > 10, f"--context-shift with q8_0: {ids}")
    status, out, err = program.run(*args, "-ctk", "f16", "-ctv", "q8_0")
    check(status != 0 and "--cache-type-v q8_0: values are kept as keys are, f16" in err, f"-ctv: {status} {err}")
    status, out, err = program.run(*args, "-c", 32)
    check(status == 0 and "stopped: the context of 32 is full" in err, f"-c 32: {status} {err}")


def check_quantize(program):
    """From an f32 file to the bytes of every other type; nothing under the name unless complete."""
    folder = program.in_data("data", "gguf")
    with tempfile.TemporaryDirectory() as place:
        out = os.path.join(place, "out.gguf")
        for model in "stories260K", "babyllama361":
            source = os.path.join(folder, f"{model}-f32.gguf")
            for kind in "f32", "f16", "bf16", "q8_0", "q4_0", "q4_1":
                program.text("quantize", source, out, kind)
                with open(out, "rb") as a, open(os.path.join(folder, f"{model}-{kind}.gguf"), "rb") as b:
                    check(a.read() == b.read(), f"{model} {kind}: other bytes")
        half = os.path.join(folder, "stories260K-bf16.gguf")
        for kind in "q5_0", "q4_0":
            program.text("quantize", half, out, kind, "-t", 1)
            status, _, err = program.run("-m", out, "-p", "a", "-n", 2)
            check(status == 0 and f" {kind} (31 matrices)" in err and "run as" not in err, f"{kind}: {status} {err}")
        with open(out, "rb") as f:
            before = f.read()
        for args, message in (((out, os.path.join(place, "other.gguf"), "q8_0"), "only files of f32, f16 and bf16 are quantized"),
                              ((half, out, "q6_K"), 'type "q6_K" can be decoded only; known are f32, f16, bf16'),
                              ((half, out, "q6_X"), 'type "q6_X" is unknown; known are f32, f16, bf16'),
                              ((half, os.path.join(place, "no", "out"), "f16"), "No such file or directory"),
                              ((program.path, out, "f16"), "not a GGUF file")):
            status, _, err = program.run("quantize", *args)
            check(status == 1 and message in err, f"{args}: exit {status}: {err}")
        # The input is never the output, by whatever name.
        same = os.path.join(place, "same.gguf")
        shutil.copyfile(half, same)
        names = [same, os.path.join(place, ".", "same.gguf"), os.path.join(place, "soft"), os.path.join(place, "hard")]
        os.symlink(same, names[2])
        os.link(same, names[3])
        for name in names:
            status, _, err = program.run("quantize", same, name, "q8_0")
            check(status == 1 and "are the same file" in err, f"{name}: exit {status}: {err}")
        with open(same, "rb") as a, open(half, "rb") as b:
            check(a.read() == b.read(), "the input has changed")
        for name in names[2:] + [same]:
            os.remove(name)
        # Who ends the program in the middle leaves nothing behind. A pipe that nobody reads holds it up.
        for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE:
            big = os.path.join(place, "big.gguf")
            write_gguf(big, tensors=[(f"t{i}" + "x" * 50, [32]) for i in range(4000)])
            with subprocess.Popen([program.path, "quantize", big, os.path.join(place, "new.gguf"), "f32"],
                                  stderr=subprocess.PIPE) as p:
                os.read(p.stderr.fileno(), 10)
                time.sleep(0.2)
                check(any(name.endswith(".tmp") for name in os.listdir(place)), f"signal {number}: it is not at work")
                p.stderr.close() if number == signal.SIGPIPE else p.send_signal(number)
                p.wait(60)
            os.remove(big)
            check(p.returncode == -number and os.listdir(place) == ["out.gguf"],
                  f"signal {number}: {p.returncode}, left behind: {os.listdir(place)}")
        full = subprocess.run(f"ulimit -f 64; trap '' XFSZ; exec '{program.path}' quantize '{source}' '{out}' f16",
                              shell=True, executable="/bin/bash", capture_output=True, text=True)
        check(full.returncode == 1 and "File too large" in full.stderr, f"too large: {full}")
        with open(out, "rb") as f:
            check(f.read() == before, "the file of before is gone")
        check(os.listdir(place) == ["out.gguf"], f"left behind: {os.listdir(place)}")


def check_files(program):
    """Files that are not run: what they are is said first, and `info` shows them."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "file.gguf")
        for pairs, message in (([("general.architecture", "clip")], "reads images or sound"),
                               ([("general.type", "adapter"), ("general.architecture", "llama")], "it is an adapter (LoRA)"),
                               ([("general.type", "imatrix")], "it is an importance matrix"),
                               ([("general.architecture", "nomic-bert")], "nomic-bert\" is not supported (it is a model for embeddings)"),
                               ([("general.architecture", "qwen35"), ("tokenizer.ggml.pre", "qwen35")], "qwen35\" is not supported")):
            write_gguf(path, pairs)
            status, _, err = program.run("-m", path, "-p", "hi")
            check(status == 1 and message in err and "tokenizer" not in err, f"{pairs}: {status} {err}")
            check(pairs[0][1] in program.text("info", "-m", path), f"info {pairs}")
        # A model that writes one token and then has no number: the error begins on a line of its own.
        block = [("attn_q", [32, 32]), ("attn_k", [32, 32]), ("attn_v", [32, 32]), ("attn_output", [32, 32]),
                 ("ffn_gate", [32, 32]), ("ffn_up", [32, 32]), ("ffn_down", [32, 32]), ("attn_norm", [32]), ("ffn_norm", [32])]
        write_gguf(path, [("general.architecture", "llama"), ("llama.block_count", 1), ("llama.embedding_length", 32),
                          ("llama.feed_forward_length", 32), ("llama.context_length", 64), ("llama.attention.head_count", 1),
                          ("llama.attention.layer_norm_rms_epsilon", 1e-5), ("tokenizer.ggml.model", "llama"),
                          ("tokenizer.ggml.tokens", ["a", "<s>", "</s>", "b", "\u2581"])],
                   [("output.weight", [32, 5]), ("output_norm.weight", [32])] +
                   [(f"blk.0.{name}.weight", dims) for name, dims in block] + [("token_embd.weight", [32, 5])])
        with open(path, "r+b") as f:
            f.seek(-5 * 32 * 4, os.SEEK_END)
            f.write(struct.pack("<f", float("nan")))
        status, out, err = program.run("-m", path, "-p", "b", "-n", 3, "--temp", 0)
        check(status == 1 and out == b"ba\n" and "the logit of token 0 is" in err, f"NaN: {status} {out} {err}")
        with open(path, "w") as f:
            f.write("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
        status, _, err = program.run("-m", path, "-p", "hi")
        check(status == 1 and "git lfs pull" in err, f"Git LFS: {status} {err}")
        with open(program.model, "rb") as f:
            whole = f.read()
        with open(path, "wb") as f:
            f.write(whole[:len(whole) // 2])
        status, _, err = program.run("-m", path, "-p", "hi")
        check(status == 1 and "was a download cut off?" in err, f"half a file: {status} {err}")


def check_pack_cache(program):
    """Panels that are kept: mapped by the next start if they are its own, else packed again and said so."""
    with tempfile.TemporaryDirectory() as folder:
        model = os.path.join(folder, "model.gguf")
        shutil.copyfile(program.model, model)
        args = ["-m", model, "-p", PROMPT, "-n", 12, "--temp", 0, "-t", 2, "--pack"]
        wanted = program.text(*args, "always")

        def start(pack="always", cache=folder):
            """-> the notes of a start, which writes the same text; and the kept files"""
            status, out, err = program.run(*args, pack, "--pack-cache", cache)
            check(status == 0 and out.decode() == wanted, f"{pack} {cache}: {status} {out!r} {err}")
            notes = "".join(line for line in err.splitlines() if line.startswith("note: "))
            return notes, sorted(name for name in os.listdir(folder) if name != "model.gguf")

        notes, files = start()
        check(notes == "" and len(files) == 1 and files[0].startswith("model.gguf."), f"first: {notes} {files}")
        path = os.path.join(folder, files[0])
        with open(path, "rb") as f:
            good = f.read()
        inode = os.stat(path).st_ino
        notes, files = start()
        check(notes == "" and len(files) == 1 and os.stat(path).st_ino == inode, f"second: {notes} {files}")

        # Panels are what is read, not W: with other ones the text is another.
        with open(path, "wb") as f:
            f.write(good[:len(good) // 2] + bytes(len(good) - len(good) // 2))
        check(program.text(*args, "always", "--pack-cache", folder) != wanted, "the kept panels are not read")

        damages = {
            "half a file": (good[:len(good) // 2], "needs"),
            "no bytes": (b"", "is empty"),
            "a few bytes": (good[:20], "needs"),
            "another file": (b"GGUF" + good[4:], "beginning is something else"),
            "another layout": (good[:72] + struct.pack("<I", 77) + good[76:], "layout version is 77"),
            "more bytes": (good + b"x", "length is"),
        }
        for name, (content, reason) in damages.items():
            with open(path, "wb") as f:
                f.write(content)
            notes, files = start()
            check("packed again" in notes and reason in notes and len(files) == 1, f"{name}: {notes} {files}")
            with open(path, "rb") as f:
                check(f.read() == good, f"{name}: it was not mended")
        # The model changes: its panels are those of another.
        os.utime(model, (1, 1))
        notes, files = start()
        check("source hash is" in notes and len(files) == 1, f"another model: {notes} {files}")
        check(start() == ("", files), "the new panels are not taken")
        # Nothing packed, nothing kept; a folder that is not there is no reason to stop.
        os.remove(path)
        check(start(pack="never")[1] == [], "panels without packing")
        notes, _ = start(cache=os.path.join(folder, "none"))
        check("not kept" in notes and "No such file" in notes, f"no folder: {notes}")


def check_shrinking_file(program):
    """A model file that is cut while it is in use: a message, not a signal."""
    with tempfile.TemporaryDirectory() as folder:
        model = os.path.join(folder, "model.gguf")
        shutil.copyfile(program.model, model)
        text = os.path.join(program.models, "holdout.txt")
        with subprocess.Popen([program.path, "perplexity", "-m", model, "-f", text, "-c", "512", "-t", "2",
                               "--pack", "never"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as p:
            time.sleep(0.5)
            os.truncate(model, 1 << 20)
            out, err = p.communicate(timeout=300)
        check(p.returncode == 1 and err.startswith(b"tessera-llm: ") and not out,
              f"exit {p.returncode}, {out!r}, {err!r}")
        print(err.decode(), end="")


def main(name, *paths):
    globals()["check_" + name](Program(*(path and os.path.abspath(path) for path in paths)))
    print(f"{failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
