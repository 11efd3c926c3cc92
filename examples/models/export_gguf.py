#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write the trained model as GGUF v3 files (needs numpy).

  export_gguf.py [--model work/model.npz] [--tok work/tok.model] [--out .] [TYPE ...]

Types: f32 f16 bf16 q8_0 q4_0 q4_1 (all by default). Norm vectors stay f32, every matrix
is in the file's type. The output matrix is the token embedding (no output.weight).
The quantizers follow the scalar reference ones of ggml, in float32 without fused
multiply-add: max-magnitude element first, scale in float32, scale stored as float16,
codes by truncation of x+8.5 (q4_0) or x+0.5 (q4_1), round half away from zero (q8_0).
"""
import argparse
import json
import os
import struct
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q8_0": 8, "bf16": 30}
FILE_TYPE = {"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q8_0": 7, "bf16": 32}
ALIGN = 32


# ---- tensor types: float32 -> bytes ---------------------------------------------------

def halves(*columns):
    with np.errstate(over="ignore"):
        return np.stack(columns, 1).astype("<f2").view(np.uint8)


def inverse(d):
    with np.errstate(divide="ignore"):
        return np.where(d != 0, np.float32(1) / d, np.float32(0)).astype(np.float32)[:, None]


def encode(x, t):
    x = np.ascontiguousarray(x, dtype=np.float32)
    if t == "f32":
        return x.astype("<f4").tobytes()
    if t == "f16":
        return x.astype("<f2").tobytes()
    if t == "bf16":                                            # round to nearest even
        u = x.view(np.uint32).astype(np.uint64)
        return ((u + 0x7FFF + ((u >> 16) & 1)) >> 16).astype("<u2").tobytes()
    b = x.reshape(-1, 32)
    if t == "q8_0":
        d = np.abs(b).max(axis=1) / np.float32(127)
        y = b * inverse(d)
        q = np.trunc(y + np.copysign(np.float32(0.5), y))
        low = np.abs(y - np.trunc(y)) < np.float32(0.5)         # 0.49999997 + 0.5 is 1 in float32
        q = np.where(low, np.trunc(y), q).astype(np.int8)
        return np.concatenate([halves(d), q.view(np.uint8)], 1).tobytes()
    if t == "q4_0":
        top = b[np.arange(len(b)), np.abs(b).argmax(axis=1)]
        d = np.where(top != 0, top, np.float32(0)) / np.float32(-8)
        q = np.minimum(15, (b * inverse(d) + np.float32(8.5)).astype(np.int8)).astype(np.uint8)
        head = halves(d)
    else:
        lo = b.min(axis=1)
        d = (b.max(axis=1) - lo) / np.float32(15)
        q = np.minimum(15, ((b - lo[:, None]) * inverse(d) + np.float32(0.5)).astype(np.int8)).astype(np.uint8)
        head = halves(d, lo)
    return np.concatenate([head, q[:, :16] | (q[:, 16:] << 4)], 1).tobytes()


# ---- tokenizer ------------------------------------------------------------------------

def read_sentencepiece(d):
    """[(piece bytes, score, type)] of a sentencepiece .model: protobuf field 1
    {1: piece, 2: score, 3: type}. Its type numbers are GGUF's: 1 normal, 2 unknown,
    3 control, 4 user defined, 5 unused, 6 byte."""
    def varint(at):
        v = shift = 0
        while True:
            b, at = d[at], at + 1
            v, shift = v | (b & 127) << shift, shift + 7
            if b < 128:
                return v, at

    at, out = 0, []
    while at < len(d):
        tag, at = varint(at)
        size, at = varint(at)
        if tag & 7 != 2:
            sys.exit("not a sentencepiece model")
        if tag == 10:
            piece, score, kind, end = b"", 0.0, 1, at + size
            while at < end:
                t, at = varint(at)
                if t == 10:
                    k, at = varint(at)
                    piece, at = d[at:at + k], at + k
                elif t == 21:
                    score, at = struct.unpack_from("<f", d, at)[0], at + 4
                else:
                    kind, at = varint(at)
            out.append((piece, score, kind))
        else:
            at += size
    return out


# ---- GGUF -----------------------------------------------------------------------------

KIND = {"u32": (4, "I"), "i32": (5, "i"), "f32": (6, "f"), "bool": (7, "?"), "str": (8, None)}


def put(kind, v):
    if kind == "str":
        b = v if isinstance(v, bytes) else v.encode("utf-8")
        return struct.pack("<Q", len(b)) + b
    return struct.pack("<" + KIND[kind][1], v)


def write_gguf(path, meta, tensors):
    """meta: [(key, kind, value)], kind 'a:' + kind for a list; tensors: [(name, shape, type, bytes)]"""
    head = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(meta))]
    for key, kind, v in meta:
        head.append(put("str", key))
        if kind.startswith("a:"):
            head.append(struct.pack("<IIQ", 9, KIND[kind[2:]][0], len(v)))
            head.extend(put(kind[2:], e) for e in v)
        else:
            head.append(struct.pack("<I", KIND[kind][0]) + put(kind, v))
    at = 0
    for name, shape, t, raw in tensors:
        head.append(put("str", name) + struct.pack("<I", len(shape)))
        head.extend(struct.pack("<Q", n) for n in reversed(shape))
        head.append(struct.pack("<IQ", TYPES[t], at))
        at += (len(raw) + ALIGN - 1) // ALIGN * ALIGN
    head = b"".join(head)
    with open(path, "wb") as f:
        f.write(head + b"\0" * (-len(head) % ALIGN))
        for _, _, _, raw in tensors:
            f.write(raw + b"\0" * (-len(raw) % ALIGN))


def metadata(cfg, size, t, pieces):
    return [
        ("general.architecture", "str", "llama"),
        ("general.type", "str", "model"),
        ("general.name", "str", f"Austen {size}"),
        ("general.description", "str", "Small language model trained from scratch on the six novels of Jane Austen"),
        ("general.license", "str", "mit"),
        ("general.size_label", "str", size),
        ("general.languages", "a:str", ["en"]),
        ("general.file_type", "u32", FILE_TYPE[t]),
        ("general.quantization_version", "u32", 2),
        ("llama.vocab_size", "u32", cfg["vocab"]),
        ("llama.context_length", "u32", cfg["seq"]),
        ("llama.embedding_length", "u32", cfg["dim"]),
        ("llama.block_count", "u32", cfg["layers"]),
        ("llama.feed_forward_length", "u32", cfg["hidden"]),
        ("llama.rope.dimension_count", "u32", cfg["dim"] // cfg["heads"]),
        ("llama.rope.freq_base", "f32", cfg["rope_base"]),
        ("llama.attention.head_count", "u32", cfg["heads"]),
        ("llama.attention.head_count_kv", "u32", cfg["kv"]),
        ("llama.attention.layer_norm_rms_epsilon", "f32", cfg["eps"]),
        ("tokenizer.ggml.model", "str", "llama"),
        ("tokenizer.ggml.pre", "str", "default"),
        ("tokenizer.ggml.tokens", "a:str", [p for p, _, _ in pieces]),
        ("tokenizer.ggml.scores", "a:f32", [s for _, s, _ in pieces]),
        ("tokenizer.ggml.token_type", "a:i32", [k for _, _, k in pieces]),
        ("tokenizer.ggml.bos_token_id", "u32", 1),
        ("tokenizer.ggml.eos_token_id", "u32", 2),
        ("tokenizer.ggml.unknown_token_id", "u32", 0),
        ("tokenizer.ggml.add_bos_token", "bool", True),
        ("tokenizer.ggml.add_eos_token", "bool", False),
        ("tokenizer.ggml.add_space_prefix", "bool", True),
    ]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("types", nargs="*", metavar="TYPE", help=" ".join(TYPES))
    p.add_argument("--model", default=os.path.join(HERE, "work", "model.npz"))
    p.add_argument("--tok", default=os.path.join(HERE, "work", "tok.model"))
    p.add_argument("--out", default=HERE)
    a = p.parse_args()
    bad = set(a.types) - set(TYPES)
    if bad:
        p.error("no such type: " + ", ".join(sorted(bad)))
    z = np.load(a.model)
    cfg = json.loads(str(z["config"]))
    w = {n: z[n] for n in z.files if n not in ("config", "info")}
    with open(a.tok, "rb") as f:
        pieces = read_sentencepiece(f.read())
    if len(pieces) != cfg["vocab"] or [k for _, _, k in pieces[:3]] != [2, 3, 3]:
        sys.exit("the tokenizer does not fit the model")
    blocks = ["attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down"]
    names = ["token_embd.weight"] + [f"blk.{i}.{n}.weight" for i in range(cfg["layers"]) for n in blocks] + ["output_norm.weight"]
    if set(names) != set(w):
        sys.exit("the checkpoint does not have the expected tensors")
    count = sum(x.size for x in w.values())
    size = f"{count / 1e6:.1f}M"
    os.makedirs(a.out, exist_ok=True)
    for t in a.types or ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1"):
        tensors = []
        for n in names:
            tt = t if w[n].ndim == 2 else "f32"
            tensors.append((n, w[n].shape, tt, encode(w[n], tt)))
        path = os.path.join(a.out, f"austen-{size}-{t}.gguf")
        write_gguf(path, metadata(cfg, size, t, pieces), tensors)
        print(f"{os.path.basename(path)}: {os.path.getsize(path)} bytes")


if __name__ == "__main__":
    main()
