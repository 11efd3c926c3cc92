#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Train a small Llama-architecture language model on Jane Austen's six novels.

  train.py text                 export and clean the novels -> work/train.txt, holdout.txt
  train.py tokenizer            train the SentencePiece vocabulary -> work/tok.model
  train.py train [--minutes N]  train -> work/model.npz (best), work/last.npz, work/log.tsv
  train.py eval                 loss of work/model.npz on holdout.txt
  train.py sample TEXT          greedy continuation of TEXT

Needs r-cran-janeaustenr (and R) for `text`, python3-sentencepiece, python3-torch and
python3-numpy. Everything runs on the CPU. export_gguf.py turns work/model.npz into GGUF.
"""
import argparse
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
WORK = os.path.join(HERE, "work")
HOLDOUT = os.path.join(HERE, "holdout.txt")

# (object in the R package, title, held-out chapter: one in the middle of each novel)
NOVELS = [("sensesensibility", "Sense and Sensibility", 26), ("prideprejudice", "Pride and Prejudice", 33),
          ("mansfieldpark", "Mansfield Park", 24), ("emma", "Emma", 31),
          ("northangerabbey", "Northanger Abbey", 17), ("persuasion", "Persuasion", 14)]
BREAK = "\n\n\n"        # between chapters in the text files; paragraphs are parted by "\n\n"

VOCAB = 2048
UNK, BOS, EOS = 0, 1, 2
CONFIG = dict(vocab=VOCAB, dim=256, layers=5, heads=8, kv=4, hidden=576, seq=512, eps=1e-5, rope_base=10000.0)


# ---- text -----------------------------------------------------------------------------

def chapters(lines):
    """Split one novel into chapters, each a list of paragraphs. Headings, title pages,
    end marks and notes of the edition are dropped; italics marks are removed."""
    out, para, inside, note = [], [], False, False

    def flush():
        nonlocal para
        p = re.sub(r"\s+", " ", " ".join(para).replace("_", "")).strip()
        para = []
        if not p or not inside or re.fullmatch(r"[* ]+|(THE END|FINIS|Finis)\.?|\(End of volume \w+\.\)", p):
            return
        if p.startswith("*Vide"):
            return
        out[-1].append(p.replace("declared,*", "declared,"))

    for line in lines:
        s = line.strip()
        if re.fullmatch(r"(CHAPTER|Chapter) +[IVXLC\d]+\.?", s):
            flush()
            inside = True
            out.append([])
        elif re.fullmatch(r"VOLUME [IVX]+", s):
            flush()
        elif s == "A NOTE ON THE TEXT":
            flush()
            break
        elif note or re.match(r"\[(End volume|At this point in the first)", s):
            flush()
            note = not s.endswith("]")
        elif not s:
            flush()
        else:
            para.append(s)
    flush()
    return out


def cmd_text(a):
    os.makedirs(WORK, exist_ok=True)
    names = ", ".join(f'"{n}"' for n, _, _ in NOVELS)
    train, held = [], []
    with tempfile.TemporaryDirectory() as tmp:
        subprocess.run(["Rscript", "-e", f"library(janeaustenr); for (n in c({names})) "
                        "writeLines(enc2utf8(get(n)), file.path(commandArgs(TRUE)[1], n), useBytes=TRUE)", tmp], check=True)
        for name, title, out in NOVELS:
            with open(os.path.join(tmp, name), encoding="utf-8") as f:
                c = chapters(f)
            print(f"{title}: {len(c)} chapters, {sum(map(len, c))} paragraphs, {sum(len(p) for x in c for p in x)} characters")
            for i, paragraphs in enumerate(c, 1):
                (held if i == out else train).append("\n\n".join(paragraphs))
    for path, parts in ((os.path.join(WORK, "train.txt"), train), (HOLDOUT, held)):
        text = BREAK.join(parts) + "\n"
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        print(f"{os.path.basename(path)}: {len(parts)} chapters, {len(text.encode())} bytes")


def read_text(path):
    with open(path, encoding="utf-8") as f:
        return [c.split("\n\n") for c in f.read().strip("\n").split(BREAK)]


# ---- tokenizer ------------------------------------------------------------------------

def cmd_tokenizer(a):
    import sentencepiece as spm
    paragraphs = [p for c in read_text(os.path.join(WORK, "train.txt")) for p in c]
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(paragraphs), model_prefix=os.path.join(WORK, "tok"), model_type="bpe", vocab_size=VOCAB,
        byte_fallback=True, character_coverage=0.9999, normalization_rule_name="identity", add_dummy_prefix=True,
        remove_extra_whitespaces=False, split_digits=True, allow_whitespace_only_pieces=True, max_sentence_length=100000,
        unk_id=UNK, bos_id=BOS, eos_id=EOS, pad_id=-1, num_threads=1, minloglevel=1)
    sp = tokenizer()
    text = open(HOLDOUT, encoding="utf-8").read()
    ids = sp.encode(text)
    print(f"{sp.get_piece_size()} pieces; held-out text: {len(ids)} tokens, {len(text.encode()) / len(ids):.2f} bytes a token")


def tokenizer():
    import sentencepiece as spm
    return spm.SentencePieceProcessor(model_file=os.path.join(WORK, "tok.model"))


class Data:
    """The chapters as one token stream, with windows that start as a prompt would."""

    def __init__(self, sp, path):
        nl = sp.piece_to_id("<0x0A>")
        stream, self.starts = [], []
        for chapter in read_text(path):
            stream.append(BOS)
            ids = sp.encode("\n\n".join(chapter))
            at = 0
            for p in chapter:
                end = at
                while end < len(ids) and ids[end] != nl:
                    end += 1
                # (where the paragraph starts, where it ends, its tokens as a text of its own)
                self.starts.append((len(stream) + at, len(stream) + end, sp.encode(p)))
                at = end + 2
            stream += ids + [EOS]
        self.stream = np.array(stream, np.int64)
        self.at = np.array([s[0] for s in self.starts])

    def window(self, pos, size, snap):
        """BOS and size tokens from pos on, or from the start of the paragraph around it"""
        if snap:
            start, end, ids = self.starts[max(0, np.searchsorted(self.at, pos, side="right") - 1)]
            body = np.concatenate([ids, self.stream[end:end + size]])[:size]
        else:
            body = self.stream[pos:pos + size]
        if len(body) < size:
            body = np.concatenate([body, self.stream[:size - len(body)]])
        return np.concatenate([[BOS], body])

    def epoch(self, rng, size):
        """every part of the stream about once, in random order; 3 of 4 windows start a paragraph"""
        pos = np.arange(rng.integers(size), len(self.stream), size)
        rng.shuffle(pos)
        return [self.window(p, size, rng.random() < 0.75) for p in pos]


# ---- model ----------------------------------------------------------------------------

def build(torch, cfg):
    """the trained parameters: [(GGUF name, shape)] in one flat buffer"""
    d, h, kvd = cfg["dim"], cfg["hidden"], cfg["dim"] // cfg["heads"] * cfg["kv"]
    shapes = [("token_embd.weight", (cfg["vocab"], d))]
    for i in range(cfg["layers"]):
        shapes += [(f"blk.{i}.{n}.weight", s) for n, s in (
            ("attn_q", (d, d)), ("attn_k", (kvd, d)), ("attn_v", (kvd, d)), ("attn_output", (d, d)),
            ("ffn_gate", (h, d)), ("ffn_up", (h, d)), ("ffn_down", (d, h)))]
    n_decay = sum(int(np.prod(s)) for _, s in shapes)
    for i in range(cfg["layers"]):
        shapes += [(f"blk.{i}.attn_norm.weight", (d,)), (f"blk.{i}.ffn_norm.weight", (d,))]
    shapes.append(("output_norm.weight", (d,)))
    flat = torch.zeros(sum(int(np.prod(s)) for _, s in shapes))
    flat.grad = torch.zeros_like(flat)
    params, at = {}, 0
    for name, s in shapes:
        n = int(np.prod(s))
        p = flat[at:at + n].view(s)
        if len(s) == 1:
            p.fill_(1.0)
        else:
            std = 0.02 if name.startswith("token") else s[1] ** -0.5
            if "attn_output" in name or "ffn_down" in name:
                std /= math.sqrt(2 * cfg["layers"])
            p.normal_(0.0, std)
        p.requires_grad_(True)
        p.grad = flat.grad[at:at + n].view(s)
        params[name] = p
        at += n
    return flat, n_decay, params


def make_model(torch, cfg, dtype, dropout=0.0, pool_bits=22):
    """forward(params, tokens [B, T], training) -> logits [B, T, vocab], float32.
    Matrix products run in dtype (bfloat16 or float32), everything else in float32."""
    F = torch.nn.functional
    H, K, hs = cfg["heads"], cfg["kv"], cfg["dim"] // cfg["heads"]
    pos = torch.arange(cfg["seq"], dtype=torch.float32)[:, None]
    theta = pos * cfg["rope_base"] ** (-torch.arange(0, hs, 2, dtype=torch.float32) / hs)
    cos, sin = theta.cos()[:, None, :], theta.sin()[:, None, :]
    masks = {}
    pool = (torch.rand(1 << pool_bits) >= dropout).float() / (1 - dropout) if dropout else None

    class Norm(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, w):
            r = (x.square().mean(-1, keepdim=True) + cfg["eps"]).rsqrt_()
            n = x * r
            ctx.save_for_backward(n, r, w)
            return (n * w).to(dtype)

        @staticmethod
        def backward(ctx, g):
            n, r, w = ctx.saved_tensors
            g = g.float()
            gn = g * n
            gw = gn.reshape(-1, gn.shape[-1]).sum(0)
            m = (gn.mul_(w)).mean(-1, keepdim=True)
            return (g * w).sub_(n * m).mul_(r), gw

    def drop(x, training):
        """dropout with masks cut from a pool of random ones: cheap on a CPU"""
        if pool is None or not training:
            return x
        n = x.numel()
        at = int(torch.randint(pool.numel() - n, (1,)))
        return x * pool[at:at + n].view_as(x)

    def rope(x):                    # [B, T, heads, hs]; pairs of neighbours, as in GGUF's llama
        t = x.shape[1]
        a, b = x[..., 0::2].float(), x[..., 1::2].float()
        c, s = cos[:t], sin[:t]
        return torch.stack((a * c - b * s, a * s + b * c), -1).flatten(3).to(dtype)

    def mask(rows, cols):           # for the last `rows` of `cols` positions
        if (rows, cols) not in masks:
            masks[rows, cols] = torch.full((rows, cols), -math.inf).triu(1 + cols - rows)
        return masks[rows, cols]

    def attend(q, k, v, block=128):
        """q [B, K, H/K, T, hs], k and v [B, K, 1, T, hs]; by blocks of rows, skipping the masked part"""
        t, out = q.shape[3], []
        for a in range(0, t, block):
            e = min(t, a + block)
            kk, vv = k[:, :, :, :e], v[:, :, :, :e]
            s = torch.matmul(q[:, :, :, a:e], kk.transpose(-1, -2)).float()
            s = s.add_(mask(e - a, e)).softmax(-1).to(dtype)
            out.append(torch.matmul(s, vv))
        return torch.cat(out, 3)

    def forward(params, tokens, training=False):
        w = {n: p.to(dtype) if p.dim() == 2 and n != "token_embd.weight" else p for n, p in params.items()}
        emb = params["token_embd.weight"]
        B, T = tokens.shape
        x = drop(F.embedding(tokens, emb), training)
        for i in range(cfg["layers"]):
            p = f"blk.{i}."
            h = Norm.apply(x, w[p + "attn_norm.weight"])
            q = rope(F.linear(h, w[p + "attn_q.weight"]).view(B, T, H, hs)) * (hs ** -0.5)
            k = rope(F.linear(h, w[p + "attn_k.weight"]).view(B, T, K, hs))
            v = F.linear(h, w[p + "attn_v.weight"]).view(B, T, K, hs)
            q = q.view(B, T, K, H // K, hs).permute(0, 2, 3, 1, 4).contiguous()
            k = k.permute(0, 2, 1, 3).unsqueeze(2).expand(B, K, H // K, T, hs)
            v = v.permute(0, 2, 1, 3).unsqueeze(2).expand(B, K, H // K, T, hs)
            o = attend(q, k, v).permute(0, 3, 1, 2, 4).reshape(B, T, H * hs)
            x = x + drop(F.linear(o, w[p + "attn_output.weight"]).float(), training)
            h = Norm.apply(x, w[p + "ffn_norm.weight"])
            h = F.silu(F.linear(h, w[p + "ffn_gate.weight"])) * F.linear(h, w[p + "ffn_up.weight"])
            x = x + drop(F.linear(h, w[p + "ffn_down.weight"]).float(), training)
        x = Norm.apply(x, w["output_norm.weight"])
        return F.linear(x, emb.to(dtype)).float()

    return forward


def save(path, cfg, params, extra):
    tmp = path + ".tmp.npz"
    np.savez(tmp, config=json.dumps(cfg), info=json.dumps(extra), **{n: p.detach().numpy() for n, p in params.items()})
    os.replace(tmp, path)


def load(torch, path):
    z = np.load(path)
    cfg = json.loads(str(z["config"]))
    return cfg, {n: torch.from_numpy(z[n]) for n in z.files if n not in ("config", "info")}


def holdout_loss(torch, forward, params, data, size):
    """mean loss over the held-out stream, in windows of size tokens that start with BOS"""
    total = count = 0
    with torch.no_grad():
        for at in range(0, len(data.stream), size):
            body = data.stream[at:at + size]
            w = torch.from_numpy(np.concatenate([[BOS], body[1:] if body[0] == BOS else body]))
            logits = forward(params, w[None, :-1])[0]
            total += float(torch.nn.functional.cross_entropy(logits, w[1:], reduction="sum"))
            count += len(w) - 1
    return total / count


# ---- training -------------------------------------------------------------------------

def cmd_train(a):
    import torch
    if not a.minutes and not a.steps:
        sys.exit("train: give --minutes or --steps")
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    rng = np.random.default_rng(a.seed)
    sp = tokenizer()
    data, held = Data(sp, os.path.join(WORK, "train.txt")), Data(sp, HOLDOUT)
    cfg = CONFIG
    flat, n_decay, params = build(torch, cfg)
    dtype = {"bf16": torch.bfloat16, "f32": torch.float32}[a.dtype]
    forward = make_model(torch, cfg, dtype, a.dropout)
    m, v = torch.zeros_like(flat), torch.zeros_like(flat)
    settings = {k: x for k, x in vars(a).items() if k not in ("run", "cmd")}
    print(f"{flat.numel()} parameters, {len(data.stream)} training tokens, {len(held.stream)} held out; {settings}", flush=True)
    log = open(os.path.join(WORK, "log.tsv"), "w")
    log.write("step\ttokens\tepoch\tminutes\tlr\ttrain_loss\tholdout_loss\n")

    begin = time.time()
    step = tokens = epoch = 0
    best, recent, evaluated, batch_at, windows = math.inf, [], begin, 0, []
    lrs = 0.0
    while True:
        now = time.time()
        done = min(1.0, max(step / a.steps if a.steps else 0.0, (now - begin) / (60 * a.minutes) if a.minutes else 0.0))
        size = a.short if done < a.short_until else cfg["seq"]
        per = a.batch // size
        if step and (done >= 1.0 or now - evaluated > 60 * a.every):
            loss = holdout_loss(torch, forward, params, held, cfg["seq"])
            row = (step, tokens, tokens / len(data.stream), (now - begin) / 60, lrs, float(np.mean(recent)), loss)
            log.write("%d\t%d\t%.2f\t%.2f\t%.3e\t%.4f\t%.4f\n" % row)
            log.flush()
            print("step %d, %d tokens, epoch %.2f, %.2f min, lr %.2e, train %.4f, held out %.4f" % row, flush=True)
            info = dict(settings, step=step, tokens=tokens, holdout_loss=loss)
            save(os.path.join(WORK, "last.npz"), cfg, params, info)
            if loss < best:
                best = loss
                save(os.path.join(WORK, "model.npz"), cfg, params, info)
            recent, evaluated = [], time.time()
            if done >= 1.0:
                break
        if batch_at + per > len(windows) or len(windows[0]) != size + 1:
            windows, batch_at = data.epoch(rng, size), 0
            epoch += 1
        w = torch.from_numpy(np.stack(windows[batch_at:batch_at + per]))
        batch_at += per
        warm = min(1.0, (step + 1) / a.warmup)
        lrs = a.lr * warm * (a.floor + (1 - a.floor) * 0.5 * (1 + math.cos(math.pi * done)))

        logits = forward(params, w[:, :-1], True)
        loss = torch.nn.functional.cross_entropy(logits.view(-1, cfg["vocab"]), w[:, 1:].reshape(-1))
        flat.grad.zero_()
        loss.backward()
        recent.append(float(loss))
        step += 1
        tokens += per * size
        with torch.no_grad():       # AdamW over the one flat buffer
            g = flat.grad
            norm = float(g.norm())
            if norm > a.clip:
                g.mul_(a.clip / norm)
            m.lerp_(g, 1 - a.beta1)
            v.mul_(a.beta2).addcmul_(g, g, value=1 - a.beta2)
            flat[:n_decay].mul_(1 - lrs * a.decay)
            denom = v.sqrt().mul_(1 / math.sqrt(1 - a.beta2 ** step)).add_(1e-8)
            flat.addcdiv_(m, denom, value=-lrs / (1 - a.beta1 ** step))
        if step in (1, 5) or step % a.report == 0:
            print("  step %d %.2f min lr %.2e loss %.4f norm %.2f" % (step, (time.time() - begin) / 60, lrs, recent[-1], norm), flush=True)


def cmd_eval(a):
    import torch
    torch.set_num_threads(a.threads)
    cfg, params = load(torch, a.model)
    held = Data(tokenizer(), HOLDOUT)
    for name, dtype in (("f32", torch.float32), ("bf16", torch.bfloat16)):
        loss = holdout_loss(torch, make_model(torch, cfg, dtype), params, held, cfg["seq"])
        print(f"{name}: held-out loss {loss:.4f}, perplexity {math.exp(loss):.3f}")


def cmd_sample(a):
    import torch
    torch.set_num_threads(a.threads)
    cfg, params = load(torch, a.model)
    sp, forward = tokenizer(), make_model(torch, cfg, torch.float32)
    ids = [BOS] + sp.encode(a.text)
    n = len(ids)
    with torch.no_grad():
        for _ in range(a.n):
            ids.append(int(forward(params, torch.tensor([ids[-cfg["seq"]:]]))[0, -1].argmax()))
            if ids[-1] == EOS:
                break
    print(ids[n:])
    print(sp.decode(ids[1:]))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = p.add_subparsers(dest="cmd", required=True)
    sub.add_parser("text").set_defaults(run=cmd_text)
    sub.add_parser("tokenizer").set_defaults(run=cmd_tokenizer)
    c = sub.add_parser("train", formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    c.add_argument("--minutes", type=float, default=44.0, help="the schedule ends after so much wall time (0: no limit)")
    c.add_argument("--steps", type=int, default=0, help="... or after so many steps, whichever comes first (0: no limit)")
    c.add_argument("--batch", type=int, default=2048, help="tokens in a step")
    c.add_argument("--short", type=int, default=256, help="window length at first")
    c.add_argument("--short-until", type=float, default=0.6, help="part of the schedule with short windows")
    c.add_argument("--lr", type=float, default=2e-3)
    c.add_argument("--floor", type=float, default=0.0, help="last learning rate / highest")
    c.add_argument("--warmup", type=int, default=200, help="steps")
    c.add_argument("--decay", type=float, default=0.3, help="weight decay of the matrices")
    c.add_argument("--dropout", type=float, default=0.05, help="of embeddings and residual branches")
    c.add_argument("--beta1", type=float, default=0.9)
    c.add_argument("--beta2", type=float, default=0.99)
    c.add_argument("--clip", type=float, default=1.0)
    c.add_argument("--dtype", choices=("bf16", "f32"), default="bf16", help="of the matrix products")
    c.add_argument("--every", type=float, default=3.0, help="minutes between evaluations and checkpoints")
    c.add_argument("--report", type=int, default=100)
    c.add_argument("--threads", type=int, default=2)
    c.add_argument("--seed", type=int, default=1811)
    c.set_defaults(run=cmd_train)
    for name, run in (("eval", cmd_eval), ("sample", cmd_sample)):
        c = sub.add_parser(name)
        if name == "sample":
            c.add_argument("text")
            c.add_argument("-n", type=int, default=64)
        c.add_argument("--model", default=os.path.join(WORK, "model.npz"))
        c.add_argument("--threads", type=int, default=2)
        c.set_defaults(run=run)
    a = p.parse_args()
    a.run(a)


if __name__ == "__main__":
    main()
