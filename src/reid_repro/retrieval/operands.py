"""Half squared distances from one matrix product, with a certified bound on their error.

The rows x of the queries and y of the gallery get a few more columns, such that one product gives

    [-x, hx, 1] . [y, 1, hy] = (|x|^2 + |y|^2) / 2 - x.y = |x - y|^2 / 2,   hx = |x|^2 / 2,

small for near rows, in float32 or in bfloat16 (there hx is a sum of three columns, which together
hold more than float32's digits). The computed value v of an exact h then obeys

    |v - h| <= margin(row) + widening * |v|

where the margin adds up what is lost by rounding the rows (|x - bx||y| + |bx||y - by|) and in the
sum (gamma_d (|x| + |y|)^2 / 2 for any order), with the norms of the worst gallery row, and the
widening is the rounding of the result. Sources: Higham, Accuracy and Stability of Numerical
Algorithms, 2002, section 3.1, for the sum; the rest is the triangle inequality.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy.typing as npt
import torch
from torch import Tensor

from reid_repro.retrieval.distances import (
    SMALLEST_NORMAL,
    UNIT_ROUNDOFF,
    FeatureSpace,
)
from reid_repro.retrieval.products import Product, multiply
from reid_repro.retrieval.rows import rounding_losses, row_chunks, shifted, squared_norms

BFLOAT_TERMS = 3  # bfloat16 columns that hold one half norm: 3 x 8 bits
BFLOAT_ROUNDING = 2.0**-8  # of a result in bfloat16, rounded to nearest: it has 8 digits


class _Rows(NamedTuple):
    """Rows prepared for the product: the right operand, norms, and the norms of what was lost."""

    operand: Tensor
    norm: Tensor
    loss: Tensor


class HalfDistances:
    """Tiles of |x - y|^2 / 2 between the queries and the gallery of a space.

    Attributes:
        margin: bound on the error before the result is rounded, (n_queries,) float32.
        widening: relative rounding of the result.
        dtype: of the tiles, float32 or bfloat16.
        terms: columns that hold one half norm.
    """

    def __init__(self, space: FeatureSpace, product: Product) -> None:
        self.product: Product = product
        self.dtype = torch.bfloat16 if product == "bfloat16" else torch.float32
        self.terms = BFLOAT_TERMS if product == "bfloat16" else 1
        same = space.queries is space.gallery
        self._right = _prepared(space.gallery, space.gallery_halves, space.centre, self)
        self._left = (
            self._right
            if same
            else _prepared(space.queries, space.query_halves, space.centre, self)
        )
        self.widening = BFLOAT_ROUNDING if product == "bfloat16" else 4 * UNIT_ROUNDOFF
        self.margin = self._bound(space.gallery.shape[1])

    def _bound(self, dim: int) -> Tensor:
        left, right = self._left, self._right
        norm, loss = float(right.norm.max()), float(right.loss.max())
        depth = dim + 2 * self.terms
        gamma = depth * UNIT_ROUNDOFF / (1 - depth * UNIT_ROUNDOFF)
        whole, other = left.norm + left.loss, norm + loss
        bound = left.loss * norm + whole * loss
        bound += (gamma / 2 + 16 * UNIT_ROUNDOFF) * ((whole + other).square() + 2)
        bound += 4 * depth * SMALLEST_NORMAL
        return (bound * (1 + 4 * UNIT_ROUNDOFF)).float()

    def left(self, rows: slice) -> Tensor:
        """The left operand of queries `rows`: [-x, hx, 1] from [x, 1, hx]."""
        operand, terms = self._left.operand[rows], self.terms
        dim = operand.shape[1] - 2 * terms
        swapped = torch.empty_like(operand)
        torch.neg(operand[:, :dim], out=swapped[:, :dim])
        swapped[:, dim : dim + terms] = operand[:, dim + terms :]
        swapped[:, dim + terms :] = 1
        return swapped

    def right(self, rows: slice) -> Tensor:
        """The right operand of gallery `rows`: [y, 1, hy]."""
        return self._right.operand[rows]


class Tiles:
    """Products of tiles, one after another, into one buffer, as compiled loops read them."""

    def __init__(self, halves: HalfDistances, step: int) -> None:
        self._halves, self._step = halves, step
        self._buffer = torch.empty(0, dtype=halves.dtype)

    def multiply(self, left: Tensor, column: int) -> npt.NDArray[Any]:
        """Half distances of the left rows to at most `step` gallery entries from `column` on.

        float32, or the bits of bfloat16 as int16. The next call overwrites them.
        """
        right = self._halves.right(slice(column, column + self._step))
        size = len(left) * len(right)
        if self._buffer.numel() < size:
            self._buffer = torch.empty(size, dtype=self._halves.dtype, device=left.device)
        out = self._buffer[:size].view(len(left), len(right))
        multiply(left, right, out, self._halves.product)
        if self._halves.product == "bfloat16":
            out = out.view(torch.int16)
        return out.cpu().numpy()


def _prepared(features: Tensor, halves: Tensor, centre: Tensor | None, to: HalfDistances) -> _Rows:
    """The right operand [y, 1, hy] of centred rows, built by chunks in the product's type."""
    n, dim = features.shape
    terms = to.terms
    device = features.device
    operand = torch.empty((n, dim + 2 * terms), dtype=to.dtype, device=device)
    operand[:, dim : dim + terms] = 1
    for rows in row_chunks(features):
        chunk = features[rows] if centre is None else shifted(features[rows], centre)
        operand[rows, :dim] = chunk
    rest = halves.clone()
    for term in range(dim + terms, dim + 2 * terms):
        operand[:, term] = rest
        rest -= operand[:, term]
    norm = squared_norms(features, centre).sqrt_()
    if to.dtype == torch.float32 and centre is None:
        return _Rows(operand, norm, torch.zeros_like(norm))
    return _Rows(operand, norm, rounding_losses(features, centre, operand[:, :dim]))
