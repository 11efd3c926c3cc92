#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes foreign.bin: random blocks of tensor types that the library does not multiply, and their
values as the package `gguf` decodes them, which shares no code with decode.cc.

  pip install gguf numpy
  make_foreign.py

File: "TSRDECO1", then for each type u32 number in ggml, u32 values, u32 bytes, the bytes, the values
as f32; all little-endian.
"""
import os
import struct

import gguf
import numpy as np

BLOCKS = 4
# Offsets of f16 numbers in a block; any bytes will do for the rest.
HALVES = {"Q2_K": [80, 82], "Q3_K": [108], "IQ4_XS": [0]}


def main():
    rng = np.random.default_rng(6)
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "foreign.bin")
    with open(path, "wb") as out:
        out.write(b"TSRDECO1")
        for name, halves in HALVES.items():
            kind = gguf.GGMLQuantizationType[name]
            size = gguf.GGML_QUANT_SIZES[kind][1]
            blocks = rng.integers(0, 256, (BLOCKS, size), dtype=np.uint8)
            for at in halves:  # a common one, a negative, a subnormal, one near the largest
                scales = np.array([0.0123, -0.7, 3e-6, 300.0], dtype="<f2")
                blocks[:, at:at + 2] = scales.view(np.uint8).reshape(BLOCKS, 2)
            values = gguf.quants.dequantize(blocks, kind).astype("<f4")
            out.write(struct.pack("<III", kind.value, values.size, blocks.size))
            out.write(blocks.tobytes() + values.tobytes())


if __name__ == "__main__":
    main()
