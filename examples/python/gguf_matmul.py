#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Multiplies a numpy matrix by a q4_0 tensor of a GGUF file, which is mapped and used where it lies.
usage: gguf_matmul.py libtessera_c.so MODEL.gguf     (build with -DTESSERA_SHARED=ON; needs numpy)"""
import ctypes as c
import struct
import sys

import numpy as np

F32, Q4_0 = 0, 2


class View(c.Structure):  # tessera_view and tessera_mut_view
    _fields_ = [("data", c.c_void_p), ("rows", c.c_size_t), ("cols", c.c_size_t), ("row_stride", c.c_size_t),
                ("dtype", c.c_int32)]


class Status(c.Structure):  # tessera_status
    _fields_ = [("code", c.c_int32), ("subject", c.c_char_p), ("detail", c.c_char_p), ("got", c.c_uint64),
                ("want", c.c_uint64), ("name", c.c_char * 24)]


def matmul(library, x, w):
    """x[m, k] (f32) times the transposed W[n, k] (a View) -> y[m, n]."""
    y = np.empty((x.shape[0], w.rows), np.float32)
    views = [View(a.ctypes.data, *a.shape, a.strides[0], F32) for a in (y, x)] + [w]
    library.tessera_matmul.restype = Status
    status = library.tessera_matmul(*map(c.byref, views), None, None, None)
    if status.code != 0:
        text = c.create_string_buffer(320)
        library.tessera_status_text(c.byref(status), text, c.c_size_t(len(text)))
        raise ValueError(text.value.decode())
    return y


def q4_0_rows(path):
    """The first q4_0 tensor of a GGUF file: its name, k, and its rows as mapped bytes."""
    with open(path, "rb") as file:
        def read(form):
            return struct.unpack("<" + form, file.read(struct.calcsize("<" + form)))

        def value(kind):  # of metadata: a text, an array or a number
            if kind == 8:
                return file.read(*read("Q"))
            if kind == 9:
                element, count = read("IQ")
                return [value(element) for _ in range(count)]
            return read("BbHhIif?__Qqd"[kind])[0]

        _, _, tensor_count, value_count = read("IIQQ")
        metadata = {value(8): value(*read("I")) for _ in range(value_count)}
        tensors = [(value(8), read(f"{read('I')[0]}Q"), *read("IQ")) for _ in range(tensor_count)]
        step = metadata.get(b"general.alignment", 32)
        begin = -(-file.tell() // step) * step
    name, (k, n), _, offset = next(t for t in tensors if t[2] == Q4_0)
    return name.decode(), k, np.memmap(path, np.uint8, "r", begin + offset, (n, k // 32 * 18))


def decoded(rows):
    """Rows of q4_0 blocks -> their values."""
    blocks = rows.reshape(len(rows), -1, 18)
    scale = blocks[..., :2].copy().view(np.float16).astype(np.float32)
    codes = np.concatenate([blocks[..., 2:] & 15, blocks[..., 2:] >> 4], -1).astype(np.float32) - 8
    return (scale * codes).reshape(len(rows), -1)


library = c.CDLL(sys.argv[1])
name, k, rows = q4_0_rows(sys.argv[2])
x = np.random.default_rng(1).standard_normal((5, k), np.float32)
y = matmul(library, x, View(rows.ctypes.data, len(rows), k, rows.shape[1], Q4_0))
w = decoded(rows)
error = np.abs(y - x @ w.T).max()
bound = np.abs(x).max() / 254 * np.abs(w).sum(1).max()  # x is rounded in blocks, see Accuracy::fast
print(f"x{x.shape} times the transposed {name}{w.shape}: off by {error:.3g}, may be {bound:.3g}")
sys.exit(0 if error < bound else 1)
