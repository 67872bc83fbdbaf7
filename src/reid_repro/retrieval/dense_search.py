"""Exact nearest neighbours of some rows from dense float32 rows, in torch: any device, any ties.

A block's product proposes a few more than k candidates by `topk`; these are re-scored exactly; a
row is done when the bound on the product's error proves that no other entry can belong to the k
nearest, and is otherwise searched again among all entries within that bound.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from reid_repro.retrieval.distances import FeatureSpace


class Found(NamedTuple):
    """Nearest entries of m rows: columns (m, k) int64, distances (m, k) float32, farthest (m,)."""

    columns: Tensor
    distances: Tensor
    farthest: Tensor | None


def search_rows(
    space: FeatureSpace, rows: Tensor, k: int, *, skip_self: bool, farthest: bool
) -> Found:
    """The k nearest entries of queries `rows`, which hold a block's worth of query numbers."""
    approximate = space.approximate_rows(rows)
    far = _farthest(space, approximate, rows) if farthest else None
    if skip_self:
        approximate.scatter_(1, rows[:, None], torch.inf)
    return Found(*_nearest(space, approximate, rows, k), far)


def _farthest(space: FeatureSpace, approximate: Tensor, rows: Tensor) -> Tensor:
    """The exact greatest distance of each row."""
    out = torch.empty(len(rows), device=approximate.device)
    window = approximate.amax(1, keepdim=True) - 2 * space.slack(rows)
    for i, row in enumerate(rows.tolist()):
        far = (approximate[i] >= window[i]).nonzero().squeeze(1)
        out[i] = space.distance(space.exact(torch.full_like(far, row), far)).max()
    return out


def _nearest(
    space: FeatureSpace, approximate: Tensor, rows: Tensor, k: int
) -> tuple[Tensor, Tensor]:
    """The k nearest of approximate squared rows; entries at infinity are left out."""
    m, g = approximate.shape
    if k == 0:
        empty = torch.empty((m, 0), device=approximate.device)
        return empty.long(), empty
    width = min(g, k + max(8, k // 4))
    bound, column = torch.topk(approximate, width, dim=1, largest=False)
    column = column.sort(1).values  # gallery order, so that stable sorts keep it among ties
    squared = space.exact(rows.repeat_interleave(width), column.reshape(-1)).view(m, width)
    masked = torch.isinf(approximate.gather(1, column))
    squared.masked_fill_(masked, torch.inf)
    distance, order = space.distance(squared).sort(dim=1, stable=True)
    column = column.gather(1, order)[:, :k].contiguous()
    distance = distance[:, :k].contiguous()
    if width < g:
        kth = squared.sort(1).values[:, k - 1 : k]
        slack = space.slack(rows)
        # All entries left out are at least as far as the last candidate in the product.
        unsure = (bound[:, -1:] <= kth + slack).squeeze(1)
        for i in unsure.nonzero().squeeze(1).tolist():
            near = (approximate[i] <= kth[i] + slack[i]).nonzero().squeeze(1)
            value = space.distance(space.exact(torch.full_like(near, int(rows[i])), near))
            value, order = value.sort(stable=True)
            column[i], distance[i] = near[order[:k]], value[:k]
    return column, distance
