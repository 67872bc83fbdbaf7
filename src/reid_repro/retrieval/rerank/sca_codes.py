"""The vectors of sparse contextual activation (`sca.py`): compiled on the CPU, torch elsewhere.

Both keep one row a node with its memberships, average rows over neighbours, and compare query rows
with the gallery's through an inverted index.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from reid_repro.retrieval.rerank import sparse, sparse_torch

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]


class Codes(Protocol):
    """Sparse non-negative vectors of n nodes."""

    def average(self, neighbours: IntArray) -> None:
        """Replace each vector by the mean over its neighbours (n, k2), the node itself included."""
        ...

    def settle(self, n_query: int) -> None:
        """Keep what `jaccard` of the first n_query nodes needs."""
        ...

    def jaccard(self, start: int, stop: int, out: FloatArray) -> None:
        """Generalised Jaccard distances of queries start:stop to the gallery into out (m, g)."""
        ...


class CompiledCodes:
    """`Codes` by the kernels of `sparse.py`: values (n, k1) in columns neighbours (n, k1)."""

    def __init__(self, neighbours: IntArray, values: FloatArray) -> None:
        self._rows = sparse.neighbour_rows(neighbours, values)

    def average(self, neighbours: IntArray) -> None:
        """See `Codes`."""
        share = np.full(neighbours.shape, 1 / neighbours.shape[1], dtype=np.float32)
        self._rows = sparse.combine_rows(neighbours, share, self._rows, self._rows.n)

    def settle(self, n_query: int) -> None:
        """See `Codes`."""
        rows, sums = self._rows, sparse.row_sums(self._rows)
        self._query_sums, self._gallery_sums = sums[:n_query], sums[n_query:]
        self._inverted = sparse.transpose(rows.part(n_query, rows.n), rows.n)
        self._rows = rows.part(0, n_query).copied()

    def jaccard(self, start: int, stop: int, out: FloatArray) -> None:
        """See `Codes`."""
        rows, sums = self._rows.part(start, stop), self._query_sums[start:stop]
        sparse.jaccard_rows(rows, sums, self._inverted, self._gallery_sums, out)


class TensorCodes:
    """`Codes` by torch operations on a device."""

    def __init__(self, neighbours: IntArray, values: FloatArray, device: torch.device) -> None:
        self._device = device
        columns, weights = torch.from_numpy(neighbours), torch.from_numpy(values)
        self._rows = sparse_torch.neighbour_rows(columns.to(device), weights.to(device))
        self._sums = weights.to(device).double().sum(1)

    def average(self, neighbours: IntArray) -> None:
        """See `Codes`."""
        columns = torch.from_numpy(neighbours).to(self._device)
        share = torch.full(columns.shape, 1 / columns.shape[1], device=self._device)
        combined = sparse_torch.combine_rows(columns, share, self._rows)
        assert combined is not None  # there is no limit
        self._rows, self._sums = combined.rows, combined.sums

    def settle(self, n_query: int) -> None:
        """See `Codes`."""
        rows = self._rows
        self._query_sums, self._gallery_sums = self._sums[:n_query, None], self._sums[n_query:]
        self._inverted = rows.part(n_query, rows.n).transposed(rows.n)
        self._rows = rows.part(0, n_query)

    def jaccard(self, start: int, stop: int, out: FloatArray) -> None:
        """See `Codes`."""
        rows, size = self._rows.part(start, stop), len(self._gallery_sums)
        shared = sparse_torch.compare_rows(rows, self._inverted, size, smaller=True)
        either = self._query_sums[start:stop] + self._gallery_sums - shared
        distance = (1 - shared / torch.where(either > 0, either, 1)).clamp_(min=0)
        out[:] = distance.float().cpu().numpy()
