"""Exact k-nearest-neighbour search by blocks of queries, without an n x n matrix.

A block's float32 product proposes a few more than k candidates; these are re-scored exactly; a row
is done when the bound on the product's error proves that no other entry can belong to the k
nearest, and is otherwise searched again among all entries within that bound (`distances.py`).
The answer is therefore the same for every block size and device, and ties follow gallery order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from reid_repro.retrieval.distances import (
    Features,
    FeatureSpace,
    Metric,
    as_features,
    check_choice,
    default_block,
)

SelfMatch = Literal["keep", "first", "exclude"]
Progress = Callable[[int, int], None]


class Neighbours(NamedTuple):
    """Nearest gallery entries of n queries.

    Attributes:
        indices: gallery rows, nearest first, (n, k) int64.
        distances: their distances in the metric, (n, k) float32.
        farthest: distance of the farthest gallery entry, (n,) float32 (all entries count), where
            asked for.
    """

    indices: npt.NDArray[np.int64]
    distances: npt.NDArray[np.float32]
    farthest: npt.NDArray[np.float32] | None


def knn(
    queries: Features,
    gallery: Features,
    k: int,
    *,
    metric: Metric = "euclidean",
    block: int | None = None,
    self_match: SelfMatch = "keep",
    device: torch.device | str | None = None,
    progress: Progress | None = None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Exact k nearest gallery entries of every query: indices and distances, nearest first.

    Args:
        queries: features (n, d), numpy or torch, any float type; held in float32.
        gallery: features (g, d).
        k: neighbours a query, 1 to g (g - 1 with `self_match="exclude"`).
        metric: see `distances.py`; a zero vector is at cosine distance 1 from everything.
        block: queries a block; memory grows with block x g. The answer does not depend on it.
        self_match: when the queries are the gallery, row for row: "first" puts a query's own entry
            before its exact copies, "exclude" leaves it out. "keep" treats it like any other.
        device: where to search; default: where the features are.
        progress: called with (queries done, n) after each block.

    Returns:
        indices (n, k) int64 and distances (n, k) float32; equal distances in gallery order.

    Raises:
        ValueError: bad features, or k beyond what the gallery holds (never clipped).
    """
    same = queries is gallery
    gallery = as_features(gallery, "gallery", device)
    queries = gallery if same else as_features(queries, "queries", device)
    space = FeatureSpace(queries, gallery, metric)
    found = neighbours(space, k, block=block, self_match=self_match, progress=progress)
    return found.indices, found.distances


def neighbours(
    space: FeatureSpace,
    k: int,
    *,
    block: int | None = None,
    self_match: SelfMatch = "keep",
    farthest: bool = False,
    progress: Progress | None = None,
) -> Neighbours:
    """`knn` on a prepared space, with `farthest` that distance of each query from the same pass."""
    n, g = space.n_queries, space.n_gallery
    _check(k, n, g, block, self_match)
    step = block or default_block(g)
    indices = np.empty((n, k), dtype=np.int64)
    distances = np.empty((n, k), dtype=np.float32)
    far = np.empty(n, dtype=np.float32) if farthest else None
    for start in range(0, n, step):
        stop = min(start + step, n)
        approximate = space.approximate(start, stop)
        rows = torch.arange(start, stop, device=approximate.device)
        if far is not None:
            squared = space.exact(rows, approximate.argmax(1))
            far[start:stop] = space.distance(squared).cpu().numpy()
        others = k
        if self_match != "keep":
            approximate[rows - start, rows] = torch.inf
            others = k - (self_match == "first")
        column, distance = _nearest(space, approximate, start, others)
        if self_match == "first":
            column = torch.cat([rows[:, None], column], 1)
            own = space.distance(space.exact(rows, rows))
            distance = torch.cat([own[:, None], distance], 1)
        indices[start:stop] = column.cpu().numpy()
        distances[start:stop] = distance.cpu().numpy()
        if progress is not None:
            progress(stop, n)
    return Neighbours(indices, distances, far)


def _check(k: int, n: int, g: int, block: int | None, self_match: str) -> None:
    check_choice("self_match", self_match, SelfMatch)
    if self_match != "keep" and n != g:
        raise ValueError(
            f"self_match={self_match!r} needs the queries to be the gallery: {n} and {g} rows"
        )
    most = g - (self_match == "exclude")
    if not 1 <= k <= most:
        raise ValueError(f"k is {k}: use 1 to {most}, the gallery entries that a query can have")
    if block is not None and block < 1:
        raise ValueError(f"block is {block}: use at least one query a block")


def _nearest(space: FeatureSpace, approximate: Tensor, start: int, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest of a block of approximate squared rows; entries at infinity are left out."""
    m, g = approximate.shape
    if k == 0:
        empty = torch.empty((m, 0), device=approximate.device)
        return empty.long(), empty
    width = min(g, k + max(8, k // 4))
    bound, column = torch.topk(approximate, width, dim=1, largest=False)
    column = column.sort(1).values  # gallery order, so that stable sorts keep it among ties
    rows = torch.arange(start, start + m, device=column.device)
    squared = space.exact(rows.repeat_interleave(width), column.reshape(-1)).view(m, width)
    masked = torch.isinf(approximate.gather(1, column))
    squared.masked_fill_(masked, torch.inf)
    distance, order = space.distance(squared).sort(dim=1, stable=True)
    column = column.gather(1, order)[:, :k].contiguous()
    distance = distance[:, :k].contiguous()
    if width < g:
        kth = squared.sort(1).values[:, k - 1 : k]
        slack = space.slack(start, start + m)
        # All entries left out are at least as far as the last candidate in the product.
        unsure = (bound[:, -1:] <= kth + slack).squeeze(1)
        for row in unsure.nonzero().squeeze(1).tolist():
            near = (approximate[row] <= kth[row] + slack[row]).nonzero().squeeze(1)
            value = space.distance(space.exact(torch.full_like(near, start + row), near))
            value, order = value.sort(stable=True)
            column[row], distance[row] = near[order[:k]], value[:k]
    return column, distance
