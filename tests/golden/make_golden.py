#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes one golden file per format: inputs, their bytes and what the bytes mean, as the package
`gguf` says, which shares no code with this library.

  pip install gguf numpy
  make_golden.py [FORMAT ...]        by default all that FORMATS lists
  make_golden.py --ggml LIB iq4_nl   the package has no encoder for it: ggml's own, from its
                                     ggml-quants.c in a library compiled with -ffp-contract=off

File: "TSRGOLD1", u32 number of values, u32 number of encoded bytes; the values as f32, the
encoded bytes, the decoded values as f32; all little-endian.

Left out, because the numpy code of the package is not ggml's C code there (format_test.cc covers
them by hand): blocks whose maximum is -0.0, blocks so tiny that the inverse of their scale is
infinite, NaN and infinity in blocks, signalling NaN. Of iq4_nl, blocks below 1e-15, for which
ggml leaves the codes of the block before, and those whose sums overflow, of which x86 and Arm make
a NaN of different sign.

Of formats that are decoded only, the bytes are random and the values are what they mean.
"""
import ctypes
import os
import struct
import sys

import gguf
import numpy as np

FORMATS = ["f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "mxfp4", "q4_K", "q5_K", "q6_K"]
# Formats that are decoded only, and where a block has f16 numbers; any bytes will do for the rest.
DECODED = {"q4_K": [0, 2], "q5_K": [0, 2], "q6_K": [208]}


def uniform(count, seed):
    """`count` values in [-1, 1) on a grid of 2^-23, the same with every version of numpy"""
    out = np.empty(count, np.float32)
    state = seed
    for i in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        out[i] = ((state >> 40) - 2**23) * 2.0**-23
    return out


def blocks():
    """blocks of 32 finite values that every format takes"""
    f = np.float32
    ramp = np.arange(32)
    for exponent in (-100, -40, -24, -20, -16, -12, -6, -1, 0, 3, 10, 15, 40, 100):
        for i in range(2):
            yield uniform(32, 1000 * i + exponent) * f(2.0) ** f(exponent)
    for seed in range(40):  # bell-shaped, as weights are
        yield uniform(32 * 6, 77 + seed).reshape(6, 32).sum(axis=0, dtype=f) * f(0.02)
    yield np.zeros(32, f)
    yield np.full(32, 1.0, f)
    yield np.full(32, -3.75, f)
    yield np.where(ramp % 2 == 0, f(0.0), f(1.0))
    yield np.where(ramp == 5, f(-0.0), ramp.astype(f))  # a negative zero that is no maximum
    for top in (127.0, -127.0, 16.0, -16.0, 8.0, -8.0):  # scale 1: every k + 0.5 is a tie of some format
        tie = (ramp - 16 + 0.5).astype(f)
        tie[3] = top
        yield np.clip(tie, -abs(top), abs(top))
        tie = (4 * (ramp - 16) + 0.5).astype(f)
        tie[3] = top
        yield np.clip(tie, -abs(top), abs(top))
    tie = (ramp % 16).astype(f) + f(0.5)  # q4_1 with scale 1 and min 0
    tie[0], tie[1] = 0.0, 15.0
    yield np.clip(tie, 0, 15)
    both = uniform(32, 5)  # the largest magnitude twice, with either sign first
    both[7], both[20] = 2.0, -2.0
    yield both
    yield -both
    for at in (0, 15, 16, 31):  # one value among zeros
        one = np.zeros(32, f)
        one[at] = -2.5
        yield one
        yield uniform(32, at) * f(0.01) + np.where(ramp == at, f(40.0), f(0.0))
    # Scales around the smallest and the largest of f16, subnormal and infinite ones too.
    for unit in (6e-8, 3e-8, 2.9e-8, 6.1e-5, 65504.0, 65519.0, 65520.0, 70000.0):
        for codes in (127.0, 8.0, 15.0, 16.0):
            block = uniform(32, int(unit)) * f(unit) * f(codes)
            block[9] = f(unit) * f(codes)
            yield block


def float_edges(name):
    """for f16 and bf16: each of a sample of codes, the ties between them, infinities, a NaN"""
    values = [np.inf, -np.inf, np.nan, -0.0, 3.4028235e38, -3.4028235e38, 1e-45]
    for code in list(range(0, 40)) + list(range(1000, 1050)) + list(range(0x7BE0, 0x7C00)):
        low, high = decode_one(name, code), decode_one(name, code + 1)
        if np.isfinite(low) and np.isfinite(high):
            tie = np.float32((np.float64(low) + np.float64(high)) / 2)
            values += [low, tie, np.nextafter(tie, np.float32(0)), np.nextafter(tie, np.float32(9e9))]
    values += [65504.0, 65519.0, 65519.996, 65520.0, 65536.0]
    values += [0.0] * (-len(values) % 32)
    return np.array(values, np.float32)


def decode_one(name, code):
    bits = np.array([code], np.uint16)
    return bits.view(np.float16).astype(np.float32)[0] if name == "f16" else \
        (bits.astype(np.uint32) << 16).view(np.float32)[0]


def random_blocks(name, kind):
    size = gguf.GGML_QUANT_SIZES[kind][1]
    blocks = ((uniform(16 * size, size) + 1) * 128).astype(np.uint8).reshape(16, size)
    scales = np.array([0.0123, -0.7, 3e-6, 6e-8, 0.0, -0.0, 65504.0, 300.0] * 2, "<f2")
    for i, at in enumerate(DECODED[name]):  # usual, negative, subnormal, zero, the largest
        blocks[:, at:at + 2] = np.roll(scales, 3 * i).view(np.uint8).reshape(16, 2)
    return blocks


def encode(name, kind, values, ggml):
    if name != "iq4_nl":
        return gguf.quants.quantize(values.reshape(-1, 32), kind)
    out = np.zeros(values.size // 32 * gguf.GGML_QUANT_SIZES[kind][1], np.uint8)
    ggml.quantize_row_iq4_nl_ref(values.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p),
                                 ctypes.c_int64(values.size))
    return out


def encoded_values(name, kind, ggml):
    values = np.concatenate([b.astype(np.float32) for b in blocks()
                             if name != "iq4_nl" or 1e-15 <= np.abs(b).max() < 2.0**60])
    if name in ("f32", "f16", "bf16"):
        values = np.concatenate([values, float_edges("f16"), float_edges("bf16")])
    with np.errstate(all="ignore"):
        encoded = np.ascontiguousarray(encode(name, kind, values, ggml))
        raw = encoded.view(np.uint8)
        decoded = gguf.quants.dequantize(raw.ravel(), kind) if name not in ("f32", "f16") else \
            encoded.astype(np.float32)
    return values, raw, decoded


def main():
    folder = os.path.dirname(os.path.abspath(__file__))
    arguments = sys.argv[1:]
    ggml = None
    if arguments[:1] == ["--ggml"]:
        ggml = ctypes.CDLL(arguments[1], mode=os.RTLD_LAZY)
        arguments = arguments[2:]
    for name in arguments or FORMATS:
        kind = gguf.GGMLQuantizationType[name.upper()]
        if name in DECODED:
            raw = random_blocks(name, kind)
            values = decoded = gguf.quants.dequantize(raw, kind).astype(np.float32)
        else:
            values, raw, decoded = encoded_values(name, kind, ggml)
        path = os.path.join(folder, name + ".bin")
        with open(path, "wb") as f:
            f.write(b"TSRGOLD1" + struct.pack("<II", values.size, raw.size))
            f.write(values.astype("<f4").tobytes() + raw.tobytes() +
                    np.ascontiguousarray(decoded).astype("<f4").tobytes())
        print(f"{path}: {values.size} values, {raw.size} bytes")


if __name__ == "__main__":
    main()
