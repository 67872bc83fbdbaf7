"""Exact k-nearest-neighbour search by tiles, without an n x n matrix.

A matrix product, in bfloat16 where the hardware is fast at it and in float32 elsewhere, proposes
the entries that can belong to the k nearest within a bound on its error (`operands.py`,
`candidates.py`); these are re-scored exactly. When the queries are the gallery, only the tiles on
and above the diagonal are multiplied: each serves its rows and its columns. Rows with too many
candidates (masses of near copies), and everything on a GPU, go through `dense_search.py`.
The answer is therefore the same for every tile size, precision and device, and ties follow gallery
order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from reid_repro.retrieval.candidates import (
    NOBODY,
    Stream,
    finish,
    stream,
    take_columns,
    take_rows,
)
from reid_repro.retrieval.dense_search import farthest_rows, propose_rows, search_rows
from reid_repro.retrieval.distances import (
    BLOCK_ELEMENTS,
    Features,
    FeatureSpace,
    Metric,
    as_features,
    check_choice,
    default_block,
)
from reid_repro.retrieval.operands import HalfDistances, Tiles
from reid_repro.retrieval.products import (
    Precision,
    Product,
    as_many_threads,
    product_for,
)
from reid_repro.retrieval.rescoring import farthest_of, nearest_of

SelfMatch = Literal["keep", "first", "exclude"]
Progress = Callable[[int, int], None]

DEVICE_ELEMENTS = 1 << 26  # of a block of dense rows on a GPU: 256 MiB in float32
FEW = 16  # queries that are searched densely
TILE = 2048  # 8 MiB in bfloat16: the caches that several cores share hold it


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
    precision: Precision = "auto",
    progress: Progress | None = None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Exact k nearest gallery entries of every query: indices and distances, nearest first.

    Args:
        queries: features (n, d), numpy or torch, any float type; held in float32.
        gallery: features (g, d).
        k: neighbours a query, 1 to g (g - 1 with `self_match="exclude"`).
        metric: see `distances.py`; a zero vector is at cosine distance 1 from everything.
        block: rows and columns of a tile. The answer does not depend on it.
        self_match: when the queries are the gallery, row for row: "first" puts a query's own entry
            before its exact copies, "exclude" leaves it out. "keep" treats it like any other.
        device: where to search; default: where the features are.
        precision: of the product that proposes: "auto" takes what is fastest here. The answer
            does not depend on it.
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
    found = neighbours(
        space, k, block=block, self_match=self_match, precision=precision, progress=progress
    )
    return found.indices, found.distances


def neighbours(
    space: FeatureSpace,
    k: int,
    *,
    block: int | None = None,
    self_match: SelfMatch = "keep",
    farthest: bool = False,
    precision: Precision = "auto",
    progress: Progress | None = None,
) -> Neighbours:
    """`knn` on a prepared space, with `farthest` that distance of each query from the same pass."""
    n, g = space.n_queries, space.n_gallery
    _check(k, n, g, block, self_match, precision)
    found = Neighbours(
        np.empty((n, k), dtype=np.int64),
        np.empty((n, k), dtype=np.float32),
        np.empty(n, dtype=np.float32) if farthest else None,
    )
    own = self_match == "first"
    others = Neighbours(found.indices[:, own:], found.distances[:, own:], found.farthest)
    search = _Search(space, others, self_match != "keep", block or TILE, precision)
    search.run(progress)
    if own:
        rows = torch.arange(n, device=space.gallery.device)
        found.indices[:, 0] = np.arange(n)
        found.distances[:, 0] = space.distance(space.exact(rows, rows)).cpu().numpy()
    return found


class _Search:
    """One search: where it looks, and the arrays that it fills (`others`: without the self)."""

    def __init__(
        self,
        space: FeatureSpace,
        others: Neighbours,
        skip_self: bool,
        tile: int,
        precision: Precision,
    ) -> None:
        self.space, self.others, self.skip_self = space, others, skip_self
        self.k, self.tile, self.precision = others.indices.shape[1], tile, precision

    def run(self, progress: Progress | None) -> None:
        """Fill the arrays."""
        n, g = self.space.n_queries, self.space.n_gallery
        report = progress or (lambda done, total: None)
        device = self.space.gallery.device
        if n <= FEW and self.space.queries is not self.space.gallery:
            self._densely(report)  # preparing operands would cost more than the product
            return
        product = product_for(self.precision, device, n * g * self.space.gallery.shape[1])
        if device.type != "cpu":
            self._on_device(product, report)
            return
        with as_many_threads():
            halves = HalfDistances(self.space, product)
            if self.space.queries is self.space.gallery:
                self._symmetric(halves, report)
            else:
                self._rectangular(halves, report)

    def _streams(self, halves: HalfDistances, rows: slice) -> list[Stream]:
        """Empty streams for queries `rows`: the nearest, and the farthest where asked for."""
        margin = halves.margin[rows].numpy()
        wanted = [(self.k, False)] if self.k else []
        wanted += [(1, True)] if self.others.farthest is not None else []
        return [
            stream(
                margin,
                k,
                n_gallery=self.space.n_gallery,
                bfloat16=halves.product == "bfloat16",
                widening=halves.widening,
                farthest=far,
            )
            for k, far in wanted
        ]

    def _symmetric(self, halves: HalfDistances, report: Progress) -> None:
        n, step = self.space.n_queries, self.tile
        streams = self._streams(halves, slice(0, n))
        if not streams:
            return
        tiles = Tiles(halves, step)
        for row in range(0, n, step):
            left = halves.left(slice(row, row + step))
            for column in range(row, n, step):
                tile = tiles.multiply(left, column)
                for at in streams:
                    take_rows(at, tile, row, column, self._own(at, row))
                    if column > row:
                        take_columns(at, tile, row, column)
            report(min(row + step, n), n)
        self._settle(streams, 0)

    def _rectangular(self, halves: HalfDistances, report: Progress) -> None:
        n, g, step = self.space.n_queries, self.space.n_gallery, self.tile
        tiles = Tiles(halves, step)
        for start in range(0, n, step):
            stop = min(start + step, n)
            streams = self._streams(halves, slice(start, stop))
            left = halves.left(slice(start, stop))
            for column in range(0, g, step):
                tile = tiles.multiply(left, column)
                for at in streams:
                    take_rows(at, tile, 0, column, self._own(at, start))
            self._settle(streams, start)
            report(stop, n)

    def _on_device(self, product: Product, report: Progress) -> None:
        """Dense blocks in torch: bfloat16 proposes where it can, float32 does the rest."""
        space, n = self.space, self.space.n_queries
        halves = HalfDistances(space, product) if product == "bfloat16" and self.k else None
        step = default_block(space.n_gallery, DEVICE_ELEMENTS)
        for start in range(0, n, step):
            rows = slice(start, min(start + step, n))
            rest = np.arange(rows.start, rows.stop)
            if self.others.farthest is not None:
                self._farthest_again(rest)
            if halves is not None:
                found, unsure = propose_rows(space, halves, rows, self.k, skip_self=self.skip_self)
                self.others.indices[rows] = found.columns.cpu().numpy()
                self.others.distances[rows] = found.distances.cpu().numpy()
                rest = rest[unsure.cpu().numpy()]
            self._search_again(rest)
            report(rows.stop, n)

    def _densely(self, report: Progress) -> None:
        rows = np.arange(self.space.n_queries)
        if self.others.farthest is not None:
            self._farthest_again(rows)
        self._search_again(rows)
        report(len(rows), len(rows))

    def _own(self, at: Stream, row: int) -> int:
        return row if self.skip_self and at.nearest else NOBODY

    def _settle(self, streams: list[Stream], start: int) -> None:
        """Re-score the candidates of queries from `start`; search marked rows by other means."""
        space, others = self.space, self.others
        cosine = space.metric == "cosine"
        zeros = space.query_zero.numpy(), space.gallery_zero.numpy()
        features = space.queries.numpy(), space.gallery.numpy()
        for at in streams:
            finish(at)
            rows = slice(start, start + len(at.filled))
            if at.nearest:
                # In arrays of their own: views without the self would be a type of their own.
                shape = len(at.filled), self.k
                columns, distances = np.empty(shape, np.int64), np.empty(shape, np.float32)
                nearest_of(at, start, self.k, *features, zeros, cosine, columns, distances)
                others.indices[rows], others.distances[rows] = columns, distances
                self._search_again(np.flatnonzero(at.filled < 0) + start)
            else:
                assert others.farthest is not None
                farthest_of(at, start, *features, zeros, cosine, others.farthest[rows])
                self._farthest_again(np.flatnonzero(at.filled <= 0) + start)

    def _search_again(self, rows: npt.NDArray[np.int64]) -> None:
        """The nearest of rows that are searched densely."""
        for part in self._parts(rows):
            found = search_rows(self.space, part, self.k, skip_self=self.skip_self)
            at = part.cpu().numpy()
            self.others.indices[at] = found.columns.cpu().numpy()
            self.others.distances[at] = found.distances.cpu().numpy()

    def _farthest_again(self, rows: npt.NDArray[np.int64]) -> None:
        assert self.others.farthest is not None
        for part in self._parts(rows):
            self.others.farthest[part.cpu().numpy()] = farthest_rows(self.space, part).cpu().numpy()

    def _parts(self, rows: npt.NDArray[np.int64]) -> Iterator[Tensor]:
        """Query numbers in blocks whose dense rows are affordable."""
        device = self.space.gallery.device
        elements = BLOCK_ELEMENTS if device.type == "cpu" else DEVICE_ELEMENTS
        step = default_block(self.space.n_gallery, elements)
        for first in range(0, len(rows), step):
            yield torch.from_numpy(rows[first : first + step]).to(device)


def _check(k: int, n: int, g: int, block: int | None, self_match: str, precision: str) -> None:
    check_choice("self_match", self_match, SelfMatch)
    check_choice("precision", precision, Precision)
    if self_match != "keep" and n != g:
        raise ValueError(
            f"self_match={self_match!r} needs the queries to be the gallery: {n} and {g} rows"
        )
    most = g - (self_match == "exclude")
    if not 1 <= k <= most:
        raise ValueError(f"k is {k}: use 1 to {most}, the gallery entries that a query can have")
    if block is not None and block < 1:
        raise ValueError(f"block is {block}: use at least one query a block")
