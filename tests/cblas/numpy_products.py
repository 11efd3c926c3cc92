# SPDX-License-Identifier: MIT
# numpy_products.py LIBRARY: numpy's products over libtessera_cblas, which LD_PRELOAD puts in front of
# the BLAS that numpy is linked to. Each against the same in double, with a bound on its roundings.
# Exit status 77, and a line: numpy is not here, or has a BLAS of its own inside.
import ctypes
import os
import subprocess
import sys

if os.environ.get("LD_PRELOAD") != sys.argv[1]:
    os.environ["LD_PRELOAD"] = sys.argv[1]
    os.execv(sys.executable, [sys.executable] + sys.argv)
try:
    import numpy as np
except ImportError:
    print("SKIPPED: no numpy for", sys.executable)
    sys.exit(77)

library = ctypes.CDLL(sys.argv[1])
address = ctypes.cast(library.cblas_sgemm, ctypes.c_void_p).value
found = ctypes.cast(ctypes.CDLL(None).cblas_sgemm, ctypes.c_void_p).value
assert address == found, "LD_PRELOAD has no effect"
from numpy.core import _multiarray_umath
needed = subprocess.run(["ldd", _multiarray_umath.__file__], capture_output=True, text=True).stdout
if "libblas.so.3" not in needed and "libcblas.so.3" not in needed:
    print("SKIPPED: this numpy is not linked to libblas.so.3")
    sys.exit(77)

rng = np.random.default_rng(20261130)
count = 0


def operand(rows, cols):
    """A matrix stored in one of the ways that numpy hands to BLAS, or must copy first."""
    way = rng.integers(5)
    if way == 0:
        return rng.standard_normal((rows, cols), np.float32)
    if way == 1:
        return rng.standard_normal((cols, rows), np.float32).T
    if way == 2:
        return rng.standard_normal((rows + 3, cols + 5), np.float32)[1:rows + 1, 2:cols + 2]
    if way == 3:
        return rng.standard_normal((cols + 1, rows + 4), np.float32)[:cols, 4:].T
    return rng.standard_normal((2 * rows, 2 * cols), np.float32)[::2, ::2]


def check(a, b):
    global count
    got = a @ b
    wide = a.astype(np.float64) @ b.astype(np.float64)
    bound = (a.shape[-1] + 2) * 2.0**-24 * (abs(a).astype(np.float64) @ abs(b).astype(np.float64))
    wrong = ~(abs(got - wide) <= bound)
    if wrong.any():
        sys.exit(f"{a.shape} {a.strides} @ {b.shape} {b.strides}: {wrong.sum()} wrong")
    count += 1


for _ in range(1500):
    m, n, k = (int(rng.choice([1, 2, 3, 5, 8, 16, 31, 64, 100])) for _ in range(3))
    check(operand(m, k), operand(k, n))
    check(operand(m, k), operand(k, 1)[:, 0])
    check(operand(1, k)[0], operand(k, n))
check(rng.standard_normal((300, 400), np.float32), rng.standard_normal((400, 500), np.float32))
check(rng.standard_normal((6, 70, 40), np.float32), rng.standard_normal((6, 40, 50), np.float32))
print(count, "products of numpy", np.__version__, "are right")
