"""Ranks of the true matches of all queries, block by block, from features or from distances."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from reid_repro.retrieval.counting import (
    count_before,
    ranks_from_counts,
    ranks_in_rows,
    settled_rows,
)
from reid_repro.retrieval.distances import FeatureSpace, default_block
from reid_repro.retrieval.matches import (
    BlockMatches,
    IntArray,
    Matches,
    SingleShotGalleries,
)
from reid_repro.retrieval.operands import HalfDistances, Tiles
from reid_repro.retrieval.products import as_many_threads, product_for
from reid_repro.retrieval.scoring import Ranks, Rules

FloatArray = npt.NDArray[np.floating[Any]]

QUERIES, ENTRIES = 2048, 4096  # a tile: most of its 32 MiB stay in a shared cache
COUNTED_MATCHES = 64  # with more matches than this, one sort of the row costs less


def given_ranks(
    blocks: Iterable[FloatArray | Tensor], matches: Matches, rules: Rules
) -> Iterator[Ranks]:
    """Ranks from consecutive blocks of distance rows to the whole gallery, junk included.

    Raises:
        ValueError: a block of another width, NaN, or another number of rows than queries.
    """
    shots = _shots(matches, rules)
    start = 0
    for given in blocks:
        block = _checked(given, matches.n_gallery)
        stop = start + len(block)
        if stop > matches.n_query:
            raise ValueError(f"more distance rows than the {matches.n_query} of query_ids")
        found = matches.block(start, stop)
        ranks = np.empty(len(found.right), dtype=np.int64)
        nan = np.zeros(len(block), dtype=np.bool_)
        ranks_in_rows(block, matches.kept, *found, COUNTED_MATCHES, ranks, nan)
        if nan.any():
            raise ValueError("distances hold NaN: no rank can be given to them")
        if shots is not None:
            rows = block[:, matches.kept] if len(matches.kept) < block.shape[1] else block
            yield _drawn(shots, rows, start, found)
        else:
            yield _valid(start, found, ranks)
        start = stop
    if start != matches.n_query:
        raise ValueError(f"{start} distance rows for {matches.n_query} queries")


def exact_ranks(space: FeatureSpace, matches: Matches, rules: Rules) -> Iterator[Ranks]:
    """Ranks by the exact distances of a space whose gallery are the kept entries.

    Tiles of a float32 product tell on which side of each match an entry lies, except within a
    bound on their error: those entries are compared exactly. On a GPU only the product is there.
    """
    shots = _shots(matches, rules)
    count = space.n_queries * space.n_gallery * space.gallery.shape[1]
    with as_many_threads():
        halves = HalfDistances(space, product_for("float32", space.gallery.device, count))
    near = _Near(space, halves)
    step = QUERIES if shots is None else default_block(space.n_gallery)
    for start in range(0, space.n_queries, step):
        stop = min(start + step, space.n_queries)
        found = matches.block(start, stop)
        if shots is None:
            yield _valid(start, found, near.ranks(start, stop, found))
        else:
            yield _drawn(shots, near.rows(start, stop, found), start, found)


class _Near:
    """Places among the exact distances of a space, from tiles of approximate ones."""

    def __init__(self, space: FeatureSpace, halves: HalfDistances) -> None:
        self._space, self._halves = space, halves
        self._features = (
            space.queries.cpu().numpy(),
            space.gallery.cpu().numpy(),
            (space.query_zero.cpu().numpy(), space.gallery_zero.cpu().numpy()),
            space.metric == "cosine",
        )
        self._margin = halves.margin.cpu().double().numpy()

    def ranks(self, start: int, stop: int, found: BlockMatches) -> IntArray:
        """Ascending ranks of the matches of queries start:stop, flat."""
        distance, low, high = self._around(start, found.starts, found.right)
        removed, _, _ = self._around(start, found.removed_starts, found.removed)
        counts = np.zeros(len(found.right), dtype=np.int64)
        places = found.starts, found.right, low, high
        tiles = Tiles(self._halves, ENTRIES)
        with as_many_threads():
            left = self._halves.left(slice(start, stop))
            for column in range(0, self._space.n_gallery, ENTRIES):
                tile = tiles.multiply(left, column)
                count_before(tile, start, column, *places, *self._features, COUNTED_MATCHES, counts)
        rest = found.removed_starts, found.removed, removed
        ranks = np.empty_like(counts)
        lists = found.starts, found.right
        ranks_from_counts(stop - start, counts, *lists, distance, *rest, ranks)
        return ranks

    def rows(self, start: int, stop: int, found: BlockMatches) -> FloatArray:
        """Distance rows that order every entry exactly with respect to every match."""
        _, low, high = self._around(start, found.starts, found.right)
        with as_many_threads():
            left = self._halves.left(slice(start, stop))
            tile = Tiles(self._halves, self._space.n_gallery).multiply(left, 0)
        rows = np.empty(tile.shape, dtype=np.float32)
        settled_rows(tile, start, found.starts, low, high, *self._features, rows)
        return rows

    def _around(
        self, start: int, starts: IntArray, column: IntArray
    ) -> tuple[npt.NDArray[np.float32], ...]:
        """Exact distances of listed entries, and the tile values that may lie on either side."""
        space = self._space
        row = np.repeat(np.arange(len(starts) - 1), np.diff(starts)) + start
        device = space.gallery.device
        squared = space.exact(torch.from_numpy(row).to(device), torch.from_numpy(column).to(device))
        half = squared.cpu().numpy() / 2
        # |v - half| <= margin + widening |v| for an entry as far as the match; rounded outwards.
        gap = self._margin[row] + 2 * self._halves.widening * half
        low, high = half - gap * (1 + 1e-6), half + gap * (1 + 1e-6)
        return (
            space.distance(squared).cpu().numpy(),
            np.nextafter(low.astype(np.float32), np.float32(-np.inf)),
            np.nextafter(high.astype(np.float32), np.float32(np.inf)),
        )


def _shots(matches: Matches, rules: Rules) -> SingleShotGalleries | None:
    if not rules.single_gallery_shot:
        return None
    return SingleShotGalleries(matches, repeats=rules.repeats, seed=rules.seed)


def _valid(start: int, found: BlockMatches, ranks: IntArray) -> Ranks:
    """Leave out the queries without a match: their lists are empty, so the flat ranks stay."""
    valid = np.flatnonzero(np.diff(found.starts))
    return Ranks(valid + start, np.append(found.starts[valid], len(ranks)), ranks)


def _drawn(shots: SingleShotGalleries, rows: FloatArray, start: int, found: BlockMatches) -> Ranks:
    valid = np.flatnonzero(np.diff(found.starts))
    if len(valid) == 0:
        return Ranks(valid, found.starts[:1], found.right[:0, None])
    some = found._replace(starts=np.append(found.starts[valid], len(found.right)))
    ranks = shots.ranks(rows[valid], valid + start, some)
    return Ranks(valid + start, np.arange(len(valid) + 1), ranks)


def _checked(given: FloatArray | Tensor, n_gallery: int) -> FloatArray:
    """A block as contiguous float32 or float64 rows."""
    block = given.detach().cpu().numpy() if isinstance(given, Tensor) else np.asarray(given)
    if block.ndim != 2 or block.shape[1] != n_gallery:
        raise ValueError(
            f"distance block of shape {block.shape}: expected (rows, {n_gallery}), "
            "one column a gallery image"
        )
    narrow = np.issubdtype(block.dtype, np.floating) and block.dtype.itemsize <= 4
    return np.ascontiguousarray(block, dtype=np.float32 if narrow else np.float64)
