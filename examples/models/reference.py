#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Reference results for the GGUF models, in float64 with exactly decoded weights.

  reference.py greedy FILE.gguf "PROMPT" [-n 64]    greedy continuation with its margins
  reference.py perplexity FILE.gguf [--ctx 512]     perplexity of holdout.txt

Needs python3-numpy and python3-sentencepiece. Perplexity is measured as llama.cpp's perplexity
tool does: the text with BOS in front is cut into chunks of ctx tokens, the first token of each
becomes BOS, and the second half of each chunk is scored.
"""
import argparse
import json
import os
import struct

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
BOS, EOS = 1, 2


def decode(raw, t, n):
    """n values of GGUF tensor type t, as float64"""
    if t == 0:
        return np.frombuffer(raw, "<f4", n).astype(np.float64)
    if t == 1:
        return np.frombuffer(raw, "<f2", n).astype(np.float64)
    if t == 30:
        return (np.frombuffer(raw, "<u2", n).astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    size, head = {8: (34, 2), 2: (18, 2), 3: (20, 4)}[t]
    a = np.frombuffer(raw, np.uint8, n // 32 * size).reshape(-1, size)
    s = a[:, :head].copy().view("<f2").astype(np.float64)
    if t == 8:
        return (a[:, 2:].copy().view(np.int8) * s).reshape(-1)
    q = np.concatenate([a[:, head:] & 15, a[:, head:] >> 4], 1).astype(np.float64)
    return ((q - 8) * s if t == 2 else q * s[:, :1] + s[:, 1:]).reshape(-1)


def read(path):
    """-> (metadata dict, {tensor name: float64 array})"""
    with open(path, "rb") as f:
        d = f.read()
    at = 8
    fmt = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

    def take(c):
        nonlocal at
        v = struct.unpack_from("<" + c, d, at)[0]
        at += struct.calcsize("<" + c)
        return v

    def value(kind):
        nonlocal at
        if kind == 8:
            n = take("Q")
            at += n
            return d[at - n:at]
        if kind == 9:
            k, n = take("I"), take("Q")
            return [value(k) for _ in range(n)]
        return take(fmt[kind])

    n_tensors, n_meta = take("Q"), take("Q")
    meta = {}
    for _ in range(n_meta):
        key = value(8).decode()
        meta[key] = value(take("I"))
    infos = []
    for _ in range(n_tensors):
        name = value(8).decode()
        shape = [take("Q") for _ in range(take("I"))][::-1]
        infos.append((name, shape, take("I"), take("Q")))
    base = (at + 31) // 32 * 32
    return meta, {n: decode(d[base + off:], t, int(np.prod(s))).reshape(s) for n, s, t, off in infos}


def forward(meta, w, tokens):
    """logits [len(tokens), vocab]"""
    dim, heads, kv = (meta["llama." + k] for k in ("embedding_length", "attention.head_count", "attention.head_count_kv"))
    n, hs, eps = len(tokens), dim // heads, meta["llama.attention.layer_norm_rms_epsilon"]
    theta = np.arange(n)[:, None] * meta["llama.rope.freq_base"] ** (-np.arange(0, hs, 2) / hs)
    cos, sin = np.cos(theta)[:, None], np.sin(theta)[:, None]

    def norm(x, g):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * g

    def rope(x):
        a, b, out = x[..., 0::2], x[..., 1::2], np.empty_like(x)
        out[..., 0::2], out[..., 1::2] = a * cos - b * sin, a * sin + b * cos
        return out

    x = w["token_embd.weight"][tokens]
    hidden = np.triu(np.full((n, n), -np.inf), 1)
    for i in range(meta["llama.block_count"]):
        def m(name):
            return w[f"blk.{i}.{name}.weight"]
        h = norm(x, m("attn_norm"))
        q = rope((h @ m("attn_q").T).reshape(n, heads, hs))
        k = rope((h @ m("attn_k").T).reshape(n, kv, hs))
        v = (h @ m("attn_v").T).reshape(n, kv, hs)
        o = np.empty((n, heads, hs))
        for j in range(heads):
            s = q[:, j] @ k[:, j // (heads // kv)].T / np.sqrt(hs) + hidden
            s = np.exp(s - s.max(-1, keepdims=True))
            o[:, j] = s / s.sum(-1, keepdims=True) @ v[:, j // (heads // kv)]
        x = x + o.reshape(n, dim) @ m("attn_output").T
        h = norm(x, m("ffn_norm"))
        g = h @ m("ffn_gate").T
        x = x + (g / (1 + np.exp(-g)) * (h @ m("ffn_up").T)) @ m("ffn_down").T
    return norm(x, w["output_norm.weight"]) @ w.get("output.weight", w["token_embd.weight"]).T


def greedy(meta, w, tokens, n):
    """-> ([token], [its logit less the second best one])"""
    ids, margins = list(tokens), []
    for _ in range(n):
        z = forward(meta, w, ids)[-1]
        ids.append(int(z.argmax()))
        second, first = np.partition(z, -2)[-2:]
        margins.append(round(float(first - second), 4))
        if ids[-1] == EOS:
            break
    return ids[len(tokens):], margins


def perplexity(meta, w, tokens, ctx):
    """-> (perplexity, number of chunks, number of scored tokens)"""
    total = count = 0
    for at in range(0, len(tokens) - ctx + 1, ctx):
        ids = [BOS] + tokens[at + 1:at + ctx]
        z = forward(meta, w, ids)[ctx // 2:-1]
        top = z.max(-1, keepdims=True)
        z = z - top - np.log(np.exp(z - top).sum(-1, keepdims=True))
        total -= z[np.arange(len(z)), ids[ctx // 2 + 1:]].sum()
        count += len(z)
    return float(np.exp(total / count)), len(tokens) // ctx, count


def main():
    import sentencepiece as spm
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = p.add_subparsers(dest="cmd", required=True)
    c = sub.add_parser("greedy")
    c.add_argument("model")
    c.add_argument("prompt")
    c.add_argument("-n", type=int, default=64)
    c = sub.add_parser("perplexity")
    c.add_argument("model")
    c.add_argument("--ctx", type=int, default=512)
    a = p.parse_args()
    sp = spm.SentencePieceProcessor(model_file=os.path.join(HERE, "tok.model"))
    meta, w = read(a.model)
    if a.cmd == "greedy":
        ids = [BOS] + sp.encode(a.prompt)
        tokens, margins = greedy(meta, w, ids, a.n)
        print(json.dumps({"prompt": a.prompt, "prompt_tokens": ids, "tokens": tokens, "margins": margins,
                          "text": sp.decode(ids[1:] + tokens)[len(a.prompt):]}, ensure_ascii=False))
    else:
        with open(os.path.join(HERE, "holdout.txt"), encoding="utf-8") as f:
            ids = [BOS] + sp.encode(f.read())
        print("perplexity %.4f (%d chunks, %d tokens scored)" % perplexity(meta, w, ids, a.ctx))


if __name__ == "__main__":
    main()
