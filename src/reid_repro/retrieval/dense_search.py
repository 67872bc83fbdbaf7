"""Exact nearest neighbours of some rows from dense rows of a product, in torch on any device.

A block's product proposes some more than k candidates by `topk`; these are re-scored exactly; a
row is done when the bound on the product's error proves that no other entry can belong to the k
nearest. A bfloat16 product leaves the other rows to a float32 one; there, what is still undecided
is searched among all entries within the bound.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from reid_repro.retrieval.distances import FeatureSpace
from reid_repro.retrieval.operands import HalfDistances
from reid_repro.retrieval.products import multiply

BFLOAT_SPARE = 64  # candidates beyond 2 k: bfloat16 tells few near entries apart


class Found(NamedTuple):
    """Nearest entries of m rows: columns (m, k) int64, distances (m, k) float32."""

    columns: Tensor
    distances: Tensor


def search_rows(space: FeatureSpace, rows: Tensor, k: int, *, skip_self: bool) -> Found:
    """The k nearest entries of queries `rows`, which hold a block's worth of query numbers."""
    approximate = space.approximate_rows(rows)
    if skip_self:
        approximate.scatter_(1, rows[:, None], torch.inf)
    return _nearest(space, approximate, rows, k)


def farthest_rows(space: FeatureSpace, rows: Tensor) -> Tensor:
    """The exact greatest distance of queries `rows`, a block's worth, (m,) float32."""
    approximate = space.approximate_rows(rows)
    window = approximate.amax(1, keepdim=True) - 2 * space.slack(rows)
    row, column = (approximate >= window).nonzero(as_tuple=True)
    distance = space.distance(space.exact(rows[row], column))
    return torch.zeros(len(rows), device=rows.device).scatter_reduce_(0, row, distance, "amax")


def propose_rows(
    space: FeatureSpace, halves: HalfDistances, rows: slice, k: int, *, skip_self: bool
) -> tuple[Found, Tensor]:
    """`search_rows` from a bfloat16 product, and which rows it leaves undecided, (m,) bool."""
    device = space.gallery.device
    number = torch.arange(rows.start, rows.stop, device=device)
    left, right = halves.left(rows), halves.right(slice(None))
    product = torch.empty((len(left), len(right)), dtype=halves.dtype, device=device)
    multiply(left, right, product, halves.product)
    value = product.float()
    if skip_self:
        value.scatter_(1, number[:, None], torch.inf)
    width = min(space.n_gallery, 2 * k + BFLOAT_SPARE)
    bound, column = torch.topk(value, width, dim=1, largest=False)
    column, distance, kth = _rescored(space, bound, column, number, k)
    # An entry left out shows at least the last bound, so it really is at least that far:
    least = bound[:, -1] * (1 - halves.widening) - halves.margin[rows]
    unsure = (least <= kth[:, 0] / 2) & (width < space.n_gallery)
    return Found(column, distance), unsure


def _rescored(
    space: FeatureSpace, bound: Tensor, column: Tensor, rows: Tensor, k: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The k nearest of each row's candidates, and the k-th exact squared distance, (m, 1).

    Candidates whose bound is infinite are left out.
    """
    column, order = column.sort(1)  # gallery order, so that stable sorts keep it among ties
    width = column.shape[1]
    squared = space.exact(rows.repeat_interleave(width), column.reshape(-1)).view(-1, width)
    squared.masked_fill_(torch.isinf(bound.gather(1, order)), torch.inf)
    distance, order = space.distance(squared).sort(dim=1, stable=True)
    column = column.gather(1, order)[:, :k].contiguous()
    kth = squared.sort(1).values[:, k - 1 : k]
    return column, distance[:, :k].contiguous(), kth


def _nearest(space: FeatureSpace, approximate: Tensor, rows: Tensor, k: int) -> Found:
    """The k nearest of approximate squared rows; entries at infinity are left out."""
    m, g = approximate.shape
    if k == 0:
        empty = torch.empty((m, 0), device=approximate.device)
        return Found(empty.long(), empty)
    width = min(g, k + max(8, k // 4))
    bound, column = torch.topk(approximate, width, dim=1, largest=False)
    column, distance, kth = _rescored(space, bound, column, rows, k)
    if width < g:
        slack = space.slack(rows)
        # All entries left out are at least as far as the last candidate in the product.
        unsure = (bound[:, -1:] <= kth + slack).squeeze(1)
        for i in unsure.nonzero().squeeze(1).tolist():
            near = (approximate[i] <= kth[i] + slack[i]).nonzero().squeeze(1)
            value = space.distance(space.exact(torch.full_like(near, int(rows[i])), near))
            value, order = value.sort(stable=True)
            column[i], distance[i] = near[order[:k]], value[:k]
    return Found(column, distance)
