"""k-reciprocal encoding on the CPU: the steps of `k_reciprocal.py` on compiled sparse rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from reid_repro.retrieval.distances import FeatureSpace
from reid_repro.retrieval.rerank.jaccard import blend
from reid_repro.retrieval.rerank.reciprocal_sets import (
    encode_rows,
    expanded_sets,
    known_distances,
)
from reid_repro.retrieval.rerank.sparse import Rows, combine_rows, transpose
from reid_repro.retrieval.search import Neighbours

IntArray = npt.NDArray[np.int64]
PAIRS = 1 << 18  # exact distances computed at a time


class CompiledCodes:
    """Codes of n nodes, of which the first are the queries; the steps are called in order.

    Args:
        found: neighbours of each node, itself first, with their Euclidean distances.
    """

    def __init__(self, found: Neighbours) -> None:
        self._ranked = found.indices.astype(np.int32)
        self._distances = found.distances
        self._codes: Rows

    def find_sets(self, wide: int, half: int, *, expand: bool, at_least: bool) -> None:
        """R* of every node from the first `wide` ranks, and `half` ranks of its members."""
        ranked = np.ascontiguousarray(self._ranked[:, :wide])
        indptr, indices = expanded_sets(ranked, wide, half, expand=expand, at_least=at_least)
        self._codes = Rows(indptr, indices, np.empty(len(indices), dtype=np.float32))

    def encode(self, space: FeatureSpace, scale: Tensor | None) -> None:
        """Weights exp(-squared distance / scale) over R*, each row summing to 1.

        `scale` (n,) float64 divides a node's squared distances, none of which is larger. Rounded to
        float32 by the search, most are then known well enough for float32 weights. None takes the
        squared distances as they are, all computed anew: exp would magnify the rounding.
        """
        indptr, indices, data = self._codes
        divisor = np.ones(len(indptr) - 1) if scale is None else scale.numpy()
        for first, last in _row_blocks(indptr, PAIRS):
            entries = slice(indptr[first], indptr[last])
            squared = np.full(entries.stop - entries.start, np.nan)
            if scale is not None:
                near = (self._ranked[first:last], self._distances[first:last])
                known_distances(indptr, indices, first, *near, squared)
            rest = np.flatnonzero(np.isnan(squared))
            row = np.repeat(np.arange(first, last), np.diff(indptr[first : last + 1]))[rest]
            column = indices[entries][rest].astype(np.int64)
            exact = space.exact(torch.from_numpy(row), torch.from_numpy(column))
            squared[rest] = exact.numpy()
            encode_rows(squared, indptr, first, divisor[first:last], scale is None, data)

    def average(self, near: int) -> None:
        """Replace each node's code by the mean over its first `near` ranks."""
        ranked = self._ranked[:, :near].astype(np.int64)
        weights = np.ones(ranked.shape, dtype=np.float32)
        combined = combine_rows(ranked, weights, self._codes, len(ranked))
        assert combined is not None  # no limit was set
        np.divide(combined.data, np.float32(near), out=combined.data)
        self._codes = combined

    def index(self, n_query: int) -> None:
        """Keep the queries' codes and the inverted index of the others; drop the rest."""
        n = self._codes.n
        self._queries = self._codes.part(0, n_query).copied()
        self._inverted = transpose(self._codes.part(n_query, n), n)
        del self._codes, self._ranked, self._distances

    def blend(
        self, start: int, stop: int, squared: Tensor, weight: Tensor, share: float
    ) -> npt.NDArray[np.float32]:
        """share * Jaccard + weight * squared for queries start:stop, computed within `squared`."""
        rows: npt.NDArray[np.float32] = squared.numpy()
        codes = self._queries.part(start, stop)
        blend(rows, codes, self._inverted, weight.numpy().astype(np.float32), share)
        return rows


def _row_blocks(indptr: IntArray, entries: int) -> Iterator[tuple[int, int]]:
    """Consecutive row ranges of about as many entries, at least a row each."""
    first, n = 0, len(indptr) - 1
    while first < n:
        last = int(np.searchsorted(indptr, indptr[first] + entries, side="right")) - 1
        last = min(max(last, first + 1), n)
        yield first, last
        first = last
