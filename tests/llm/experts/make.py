#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the files of this folder: small random models of the architectures that have experts, and what
llama.cpp (here b11549, whose source is in PyPI's archive xllamacpp 2026.10.11549 under thirdparty/) computes
with them. Without llama.cpp, only the models in f32, byte for byte the same each time; that of `wide`, whose rows
are long enough for blocks of 256, is too large to be kept.

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
DIM, LAYERS, HEADS = 64, 2, 4
EXPERTS, CHOSEN, EXPERT_FFN = 8, 3, 32
MERGES = ["Ġ t", "h e", "Ġ a", "i n", "Ġt he", "e r", "o n", "r e", "l y", "i s"]
# What llama.cpp makes of each model in f32; and a seed with which few choices of experts hang on how it rounds.
MODELS = {"qwen3moe": (["Q4_0"], 1), "mixtral": (["Q8_0"], 18), "qwen2moe": (["Q5_0"], 19), "olmoe": (["Q4_1"], 2),
          "gpt-oss": (["MXFP4_MOE"], 39), "wide": (["Q4_K_M", "Q3_K_M"], 5)}


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


def add_spm(writer):
    texts = ["▁", *"abcdefghijklmnopqrstuvwxyzI", "▁t", "he", "▁a", "in", "▁the", "er", "on", "▁tr", "is", "ly"]
    tokens = ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % b for b in range(256)] + texts
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * 259 + [-float(i) for i in range(len(texts), 0, -1)])
    writer.add_token_types([2, 3, 3] + [6] * 256 + [1] * len(texts))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    return len(tokens)


class Model:
    """A file with its architecture's keys, and tensors of random numbers."""

    def __init__(self, name, architecture=None, head_size=DIM // HEADS, kv_heads=2, ffn=4 * EXPERT_FFN):
        self.name = architecture or name
        self.q, self.kv = HEADS * head_size, kv_heads * head_size
        self.rng = np.random.default_rng(MODELS[name][1])
        self.writer = gguf.GGUFWriter(os.path.join(HERE, name + "-f32.gguf"), self.name)
        for key, value in (("block_count", LAYERS), ("context_length", 128), ("embedding_length", DIM),
                           ("feed_forward_length", ffn), ("attention.head_count", HEADS),
                           ("attention.head_count_kv", kv_heads), ("expert_count", EXPERTS),
                           ("expert_used_count", CHOSEN)):
            self.number(key, value)
        if head_size * HEADS != DIM:
            self.number("attention.key_length", head_size)
            self.number("attention.value_length", head_size)
        self.writer.add_float32(f"{self.name}.attention.layer_norm_rms_epsilon", 1e-6)

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

    def attention(self, block, biases=False, output_bias=False):
        self.norm(block + "attn_norm", DIM)
        for name, rows in ("attn_q", self.q), ("attn_k", self.kv), ("attn_v", self.kv):
            self.tensor(f"{block}{name}.weight", rows, DIM, scale=1.5)
            if biases:
                self.tensor(f"{block}{name}.bias", rows, scale=0.5)
        self.tensor(block + "attn_output.weight", DIM, self.q, scale=1.5)
        if output_bias:
            self.tensor(block + "attn_output.bias", DIM, scale=0.5)

    def experts(self, block, width, norm="ffn_norm", biases=False, inner=1.5, down=3.0):
        self.norm(block + norm, DIM)
        self.tensor(block + "ffn_gate_inp.weight", EXPERTS, DIM, scale=1.5)
        if biases:
            self.tensor(block + "ffn_gate_inp.bias", EXPERTS, scale=0.5)
            for name, size in ("ffn_gate_exps", width), ("ffn_up_exps", width), ("ffn_down_exps", DIM):
                self.tensor(f"{block}{name}.bias", EXPERTS, size, scale=np.sqrt(size))
        for name in "ffn_gate_exps", "ffn_up_exps":
            self.tensor(f"{block}{name}.weight", EXPERTS, width, DIM, scale=inner)
        self.tensor(block + "ffn_down_exps.weight", EXPERTS, DIM, width, scale=down)

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


def make_mixtral():
    model = Model("mixtral", architecture="llama", ffn=EXPERT_FFN)
    model.outside_layers(add_spm(model.writer))
    for block in ("blk.%d." % i for i in range(LAYERS)):
        model.attention(block)
        model.experts(block, EXPERT_FFN)
    model.write()


def make_qwen2moe():
    shared = 2 * EXPERT_FFN
    model = Model("qwen2moe")
    model.number("expert_feed_forward_length", EXPERT_FFN)
    model.number("expert_shared_feed_forward_length", shared)
    model.outside_layers(add_bpe(model.writer, "qwen2", QWEN, "<|endoftext|>", "<|im_end|>"))
    for block in ("blk.%d." % i for i in range(LAYERS)):
        model.attention(block, biases=True)
        model.experts(block, EXPERT_FFN)
        model.tensor(block + "ffn_gate_inp_shexp.weight", DIM, scale=0.3)
        for name in "ffn_gate_shexp", "ffn_up_shexp":
            model.tensor(f"{block}{name}.weight", shared, DIM, scale=1.5)
        model.tensor(block + "ffn_down_shexp.weight", DIM, shared, scale=1.5)
    model.write()


def make_olmoe():
    model = Model("olmoe", kv_heads=HEADS, ffn=EXPERT_FFN)
    model.outside_layers(add_bpe(model.writer, "olmo", ["<|endoftext|>"], "<|endoftext|>", "<|endoftext|>"))
    for block in ("blk.%d." % i for i in range(LAYERS)):
        model.attention(block)
        model.norm(block + "attn_q_norm", DIM)
        model.norm(block + "attn_k_norm", DIM)
        model.experts(block, EXPERT_FFN)
    model.write()


def make_gpt_oss():
    model = Model("gpt-oss", head_size=32)
    model.number("expert_feed_forward_length", EXPERT_FFN)
    model.number("attention.sliding_window", 8)
    model.writer.add_string("gpt-oss.rope.scaling.type", "yarn")
    model.writer.add_float32("gpt-oss.rope.scaling.factor", 4.0)
    model.number("rope.scaling.original_context_length", 32)
    specials = ["<|startoftext|>", "<|endoftext|>", "<|return|>", "<|constrain|>", "<|channel|>", "<|start|>",
                "<|end|>", "<|message|>", "<|call|>"]
    model.outside_layers(add_bpe(model.writer, "gpt-4o", specials, "<|startoftext|>", "<|return|>"))
    for block in ("blk.%d." % i for i in range(LAYERS)):
        model.attention(block, biases=True, output_bias=True)
        model.tensor(block + "attn_sinks.weight", HEADS, scale=2.0)
        # Large enough inside that some values are clipped.
        model.experts(block, EXPERT_FFN, norm="post_attention_norm", biases=True, inner=4.0, down=0.5)
    model.write()


def make_wide():
    global DIM, LAYERS, EXPERTS, CHOSEN
    before = DIM, LAYERS, EXPERTS, CHOSEN
    DIM, LAYERS, EXPERTS, CHOSEN = 256, 1, 4, 2
    model = Model("wide", architecture="qwen3moe", head_size=64, kv_heads=1)
    model.number("expert_feed_forward_length", DIM)
    model.outside_layers(add_bpe(model.writer, "qwen2", QWEN, "<|endoftext|>", "<|im_end|>"))
    model.attention("blk.0.")
    model.norm("blk.0.attn_q_norm", 64)
    model.norm("blk.0.attn_k_norm", 64)
    model.experts("blk.0.", DIM)
    model.write()
    DIM, LAYERS, EXPERTS, CHOSEN = before


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
        done = subprocess.run([os.path.join(build, "bin", "llama-perplexity"), "-m", model, "-f", text, "-c", "64",
                               "-b", "64", "-t", "1", "-fa", "off", "-ctk", "f32", "-ctv", "f32"],
                              capture_output=True, text=True, check=True)
        found = re.search("Final estimate: PPL = ([0-9.]+)", done.stdout + done.stderr)
    return found.group(1)


def main():
    for name in MODELS:
        globals()["make_" + name.replace("-", "_")]()
    if len(sys.argv) == 3:
        record(*sys.argv[1:])
    os.remove(os.path.join(HERE, "wide-f32.gguf"))


def record(source, build):
    rows = ["model\tperplexity\n"]
    with tempfile.TemporaryDirectory() as folder:
        program = make_record(source, build, folder)
        for name, (kinds, _) in MODELS.items():
            models = [os.path.join(HERE, name + "-f32.gguf")]
            for kind in kinds:
                models.append(os.path.join(HERE, f"{name}-{kind.lower().removesuffix('_moe')}.gguf"))
                subprocess.run([os.path.join(build, "bin", "llama-quantize"), models[0], models[-1], kind], check=True,
                               capture_output=True)
            for model in models[name == "wide":]:
                base = model.removesuffix(".gguf")
                tokens = subprocess.run([program, model, PROMPT, base + ".logits", str(GREEDY)], check=True,
                                        capture_output=True, text=True).stdout
                with open(base + ".tokens", "w", encoding="utf-8") as f:
                    f.write(tokens)
                rows.append(f"{os.path.basename(base)}\t{perplexity(build, model, folder)}\n")
    with open(os.path.join(HERE, "perplexity.tsv"), "w", encoding="utf-8") as f:
        f.writelines(rows)


if __name__ == "__main__":
    main()
