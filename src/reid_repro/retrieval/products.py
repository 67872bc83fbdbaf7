"""Which matrix product is fastest here: float32 by torch or numpy, or bfloat16 by torch.

Their results differ in the last bits (bfloat16: in the eighth), which the certified searches allow
for. So the choice is one of speed alone, and is made by measuring once: libraries differ by half
on the same processor, and bfloat16 is fast only where the hardware multiplies it.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor

Product = Literal["float32-torch", "float32-numpy", "bfloat16"]
Precision = Literal["auto", "float32", "bfloat16"]
PROBE = (1024, 2048, 512)  # rows, columns and depth of the products that are timed
PROBE_ROUNDS = 6
NUMPY_HANDICAP = 1.2  # its threads, which torch's do not know of, slow the loops between products
WORTH_PROBING = 1 << 35  # multiplications; below, a search takes a fraction of a second anyway


def product_for(precision: Precision, device: torch.device, multiplications: int) -> Product:
    """The product to use for a search of so many multiplications."""
    if precision == "bfloat16":
        return "bfloat16"
    if device.type == "cpu":
        if multiplications < WORTH_PROBING:
            return "float32-numpy"
        return _fastest(precision, torch.get_num_threads())
    native = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    return "bfloat16" if precision == "auto" and native else "float32-torch"


def multiply(left: Tensor, right: Tensor, out: Tensor, product: Product) -> None:
    """`left @ right.T` of contiguous matrices into `out`, all of one type, summed in float32."""
    if product == "float32-numpy":
        np.matmul(left.numpy(), right.numpy().T, out=out.numpy())
        return
    with full_precision(left.device):
        torch.mm(left, right.T, out=out)


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Products as the bounds on their error take them, whatever the caller has set.

    No TF32 and no bfloat16 in place of float32, no autocast, and no partial sums in bfloat16.
    """
    matmul = torch.backends.cuda.matmul
    before = torch.get_float32_matmul_precision()
    reduced = matmul.allow_bf16_reduced_precision_reduction
    torch.set_float32_matmul_precision("highest")
    matmul.allow_bf16_reduced_precision_reduction = False
    try:
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
        matmul.allow_bf16_reduced_precision_reduction = reduced


@functools.cache
def _fastest(precision: Precision, threads: int) -> Product:
    rows, columns, depth = PROBE
    left = torch.linspace(-1, 1, rows * depth).view(rows, depth)
    right = torch.linspace(1, -1, columns * depth).view(columns, depth)
    kinds: list[Product] = ["float32-torch", "float32-numpy"]
    if precision == "auto":
        kinds.append("bfloat16")
    tasks = {kind: _task(left, right, kind) for kind in kinds}
    best = dict.fromkeys(kinds, float("inf"))
    with as_many_threads():
        for _ in range(PROBE_ROUNDS):  # in turn, so that a busy moment strikes none alone
            for kind, task in tasks.items():
                begin = time.perf_counter()
                task()
                best[kind] = min(best[kind], time.perf_counter() - begin)
    best["float32-numpy"] *= NUMPY_HANDICAP
    return min(kinds, key=best.__getitem__)


def _task(left: Tensor, right: Tensor, product: Product) -> Callable[[], None]:
    dtype = torch.bfloat16 if product == "bfloat16" else torch.float32
    left, right = left.to(dtype), right.to(dtype)
    out = torch.empty(len(left), len(right), dtype=dtype)
    return lambda: multiply(left, right, out, product)


@functools.cache
def _pools() -> ThreadpoolController:
    return ThreadpoolController()


@contextmanager
def as_many_threads() -> Iterator[None]:
    """numpy's products use as many threads as torch's, so that one setting holds for both."""
    with _pools().limit(limits=torch.get_num_threads(), user_api="blas"):
        yield
