#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the files of this folder: small random models of the architectures that have experts, and what
llama.cpp (here b11549, whose source is in PyPI's archive xllamacpp 2026.10.11549 under thirdparty/) computes
with them. Without llama.cpp, only the models in f32, byte for byte the same each time.

  pip install gguf==0.19.0 numpy
  cmake -S llama.cpp -B build -DLLAMA_CURL=OFF -DLLAMA_USE_PREBUILT_UI=OFF
  cmake --build build --target llama llama-quantize llama-perplexity
  make.py [llama.cpp build]

Per model, NAME-TYPE.tokens has the tokens of PROMPT on its first line, on its second those that follow at
temperature 0; NAME-TYPE.logits has the logits behind each of all these tokens, f32 [tokens, vocabulary];
perplexity.tsv has that of the first 800 bytes of examples/models/holdout.txt in chunks of 64 tokens.
"""
import glob
import os
import re
import subprocess
import sys
import tempfile

import gguf
import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
PROMPT = "It is a truth universally acknowledged"
GREEDY = 12
DIM, LAYERS, HEADS, KV_HEADS = 64, 2, 4, 2
EXPERTS, CHOSEN, EXPERT_FFN = 8, 3, 32
MERGES = ["Ġ t", "h e", "Ġ a", "i n", "Ġt he", "e r", "o n", "r e", "l y", "i s"]
# What llama.cpp makes of each model in f32; and a seed with which no choice of an expert hangs on how it rounds.
MODELS = {"qwen3moe": ("Q4_0", 1)}


def byte_letters():
    """The letters that stand for all bytes in GPT-2's vocabulary, by byte."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = (chr(0x100 + i) for i in range(256))
    return [chr(b) if b in plain else next(others) for b in range(256)]


def add_bpe(writer, pre, specials, bos, eos):
    tokens = byte_letters() + [m.replace(" ", "") for m in MERGES] + specials
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([1] * (len(tokens) - len(specials)) + [3] * len(specials))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(tokens.index(bos))
    writer.add_eos_token_id(tokens.index(eos))
    writer.add_add_bos_token(False)
    return len(tokens)


class Model:
    """A file with its architecture's keys, and tensors of random numbers."""

    def __init__(self, name, head_size=DIM // HEADS):
        self.name, self.q, self.kv, self.head_size = name, HEADS * head_size, KV_HEADS * head_size, head_size
        self.rng = np.random.default_rng(MODELS[name][1])
        self.writer = gguf.GGUFWriter(os.path.join(HERE, name + "-f32.gguf"), name)
        for key, value in (("block_count", LAYERS), ("context_length", 128), ("embedding_length", DIM),
                           ("feed_forward_length", 4 * EXPERT_FFN), ("attention.head_count", HEADS),
                           ("attention.head_count_kv", KV_HEADS), ("expert_count", EXPERTS),
                           ("expert_used_count", CHOSEN)):
            self.number(key, value)
        if head_size * HEADS != DIM:
            self.number("attention.key_length", head_size)
            self.number("attention.value_length", head_size)
        self.writer.add_float32(f"{name}.attention.layer_norm_rms_epsilon", 1e-6)

    def number(self, key, value):
        self.writer.add_uint32(f"{self.name}.{key}", value)

    def tensor(self, name, *shape, scale=1.0, mean=0.0):
        """Of numbers that keep the size of what is multiplied with them."""
        values = mean + scale * self.rng.standard_normal(shape) / (np.sqrt(shape[-1]) if len(shape) > 1 else 1)
        self.writer.add_tensor(name, values.astype(np.float32))

    def norm(self, name, size):
        self.tensor(name + ".weight", size, scale=0.2, mean=1.0)

    def outside_layers(self, vocab):
        self.tensor("token_embd.weight", vocab, DIM, scale=8.0)
        self.norm("output_norm", DIM)
        self.tensor("output.weight", vocab, DIM, scale=1.5)

    def attention(self, block):
        self.norm(block + "attn_norm", DIM)
        for name, rows in ("attn_q", self.q), ("attn_k", self.kv), ("attn_v", self.kv):
            self.tensor(f"{block}{name}.weight", rows, DIM, scale=1.5)
        self.tensor(block + "attn_output.weight", DIM, self.q, scale=1.5)

    def experts(self, block, width, norm="ffn_norm"):
        self.norm(block + norm, DIM)
        self.tensor(block + "ffn_gate_inp.weight", EXPERTS, DIM, scale=1.5)
        for name in "ffn_gate_exps", "ffn_up_exps":
            self.tensor(f"{block}{name}.weight", EXPERTS, width, DIM, scale=1.5)
        self.tensor(block + "ffn_down_exps.weight", EXPERTS, DIM, width, scale=3.0)

    def write(self):
        self.writer.write_header_to_file()
        self.writer.write_kv_data_to_file()
        self.writer.write_tensors_to_file()
        self.writer.close()


QWEN = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def make_qwen3moe():
    model = Model("qwen3moe", head_size=32)
    model.number("expert_feed_forward_length", EXPERT_FFN)
    model.outside_layers(add_bpe(model.writer, "qwen2", QWEN, "<|endoftext|>", "<|im_end|>"))
    for block in ("blk.%d." % i for i in range(LAYERS)):
        model.attention(block)
        model.norm(block + "attn_q_norm", 32)
        model.norm(block + "attn_k_norm", 32)
        model.experts(block, EXPERT_FFN)
    model.write()


def make_record(source, build, folder):
    """Compiles the program that asks llama.cpp."""
    program = os.path.join(folder, "record")
    library = os.path.dirname(glob.glob(os.path.join(build, "**", "libllama.so"), recursive=True)[0])
    subprocess.run(["c++", "-std=c++20", "-O2", f"-I{source}/include", f"-I{source}/ggml/include",
                    os.path.join(HERE, "..", "quantized", "record.cc"), f"-L{library}", f"-Wl,-rpath,{library}",
                    "-lllama", "-lggml", "-lggml-base", "-o", program], check=True)
    return program


def perplexity(build, model, folder):
    text = os.path.join(folder, "text")
    with open(os.path.join(HERE, "..", "..", "..", "examples", "models", "holdout.txt"), "rb") as f:
        beginning = f.read(800)
    with open(text, "wb") as f:
        f.write(beginning)
    found = None
    while found is None:  # its last lines are sometimes lost
        done = subprocess.run([os.path.join(build, "bin", "llama-perplexity"), "-m", model, "-f", text, "-c", "64", "-b", "64", "-t", "1", "-fa", "off",
                               "-ctk", "f32", "-ctv", "f32"], capture_output=True, text=True, check=True)
        found = re.search("Final estimate: PPL = ([0-9.]+)", done.stdout + done.stderr)
    return found.group(1)


def main():
    for name in MODELS:
        globals()["make_" + name.replace("-", "_")]()
    if len(sys.argv) == 1:
        return
    source, build = sys.argv[1:]
    rows = ["model\tperplexity\n"]
    with tempfile.TemporaryDirectory() as folder:
        record = make_record(source, build, folder)
        for name, (kind, _) in MODELS.items():
            f32 = os.path.join(HERE, name + "-f32.gguf")
            quantized = os.path.join(HERE, f"{name}-{kind.lower()}.gguf")
            subprocess.run([os.path.join(build, "bin", "llama-quantize"), f32, quantized, kind], check=True,
                           capture_output=True)
            for model in f32, quantized:
                base = model.removesuffix(".gguf")
                tokens = subprocess.run([record, model, PROMPT, base + ".logits", str(GREEDY)], check=True,
                                        capture_output=True, text=True).stdout
                with open(base + ".tokens", "w", encoding="utf-8") as f:
                    f.write(tokens)
                rows.append(f"{os.path.basename(base)}\t{perplexity(build, model, folder)}\n")
    with open(os.path.join(HERE, "perplexity.tsv"), "w", encoding="utf-8") as f:
        f.writelines(rows)


if __name__ == "__main__":
    main()
