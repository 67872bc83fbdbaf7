"""Sparse rows by torch operations: the steps of `sparse.py` for any device.

Results are repeatable without an order of threads: neighbours' rows are added one neighbour at a
time into a dense chunk of rows, where no two entries of one neighbour meet in one place, and the
scattered sums of the final comparisons are integers in units of 2^-48 (codes and cosines are at
most 1, far above it, and sums of up to 2^15 fit into an int64).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from reid_repro.retrieval.rerank.sparse import Rows

ELEMENTS = 1 << 26  # of a dense chunk of rows
PAIRS = 1 << 24  # of sparse entries compared at a time
UNIT = 2.0**-48  # of the scattered sums


class TensorRows(NamedTuple):
    """`sparse.Rows` on a device, with int64 columns."""

    indptr: Tensor
    indices: Tensor
    data: Tensor

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.indptr) - 1

    @property
    def numbers(self) -> Tensor:
        """The row of every entry."""
        lengths = self.indptr[1:] - self.indptr[:-1]
        return torch.arange(self.n, device=lengths.device).repeat_interleave(lengths)

    def part(self, start: int, stop: int) -> TensorRows:
        """Rows start:stop, in arrays of their own."""
        indptr = self.indptr[start : stop + 1]
        entries = slice(int(indptr[0]), int(indptr[-1]))
        return TensorRows(
            indptr - indptr[0], self.indices[entries].clone(), self.data[entries].clone()
        )

    def transposed(self, n_columns: int) -> TensorRows:
        """The inverted index: entries by column, rows ascending within each."""
        column, order = self.indices.sort(stable=True)
        return TensorRows(pointers(column, n_columns), self.numbers[order], self.data[order])

    def scaled(self, factor: Tensor) -> TensorRows:
        """Row i times factor[i], (n,); values stay float32."""
        return self._replace(data=(self.data * factor[self.numbers]).float())

    def on_host(self) -> Rows:
        """The rows of `sparse.py`."""
        indptr, indices, data = (array.cpu().numpy() for array in self)
        return Rows(indptr, indices.astype(np.int32), data)


class Combined(NamedTuple):
    """Sparse rows with their L2 norms and sums, (n,) float64."""

    rows: TensorRows
    norms: Tensor
    sums: Tensor


def neighbour_rows(neighbours: Tensor, values: Tensor) -> TensorRows:
    """Rows that hold values[i, p] in column neighbours[i, p], both (n, k)."""
    n, k = neighbours.shape
    column, order = neighbours.sort(1)
    indptr = torch.arange(0, n * k + 1, k, device=neighbours.device)
    return TensorRows(indptr, column.flatten(), values.gather(1, order).flatten())


def combine_rows(
    neighbours: Tensor,
    weights: Tensor,
    rows: TensorRows,
    *,
    own: Tensor | None = None,
    maximum: bool = False,
    limit: int | None = None,
) -> Combined | None:
    """`sparse.combine_rows` of n rows with n columns; None beyond `limit` entries."""
    n = rows.n
    parts: list[Combined] = []
    room = n * n if limit is None else limit
    step = max(1, ELEMENTS // n)
    for first in range(0, n, step):
        chunk = slice(first, min(first + step, n))
        mix = torch.zeros((chunk.stop - first, n), device=rows.data.device)
        for nodes, factor in zip(neighbours[chunk].T, weights[chunk].T, strict=True):
            _add(mix, rows, nodes, factor, maximum)
        if own is not None:
            nodes = torch.arange(first, chunk.stop, device=mix.device)
            _add(mix, rows, nodes, own[chunk], False)
        parts.append(_compressed(mix))
        room -= len(parts[-1].rows.data)
        if room < 0:
            return None
    return _joined(parts)


def add_transpose(rows: TensorRows) -> Combined:
    """rows + their transpose, of n rows with n columns."""
    back, parts = rows.transposed(rows.n), []
    step = max(1, ELEMENTS // rows.n)
    for first in range(0, rows.n, step):
        last = min(first + step, rows.n)
        mix = torch.zeros((last - first, rows.n), device=rows.data.device)
        for side in (rows, back):
            piece = side.part(first, last)
            mix[piece.numbers, piece.indices] += piece.data
        parts.append(_compressed(mix))
    return _joined(parts)


def compare_rows(
    rows: TensorRows, inverted: TensorRows, n_gallery: int, *, smaller: bool
) -> Tensor:
    """Sums over shared columns of products, or of the smaller value, (m, g) float64.

    Args:
        rows: query rows, m of them, with non-negative values.
        inverted: the gallery's rows, transposed.
        n_gallery: g.
        smaller: sum the smaller of both values instead of their product.

    No sum may reach 2^15: compare cosines by rows of norm 1 on both sides.
    """
    query = rows.numbers
    value = rows.data.double()
    first = inverted.indptr[rows.indices]
    length = inverted.indptr[rows.indices + 1] - first
    ends = length.cumsum(0)
    total = int(ends[-1]) if len(ends) else 0
    sums = torch.zeros(rows.n * n_gallery, dtype=torch.int64, device=query.device)
    for begin in range(0, total, PAIRS):
        place = torch.arange(begin, min(begin + PAIRS, total), device=query.device)
        piece = torch.searchsorted(ends, place, right=True)
        met = place - ends[piece] + length[piece] + first[piece]
        mine, other = value[piece], inverted.data[met].double()
        shared = torch.minimum(mine, other) if smaller else mine * other
        target = query[piece] * n_gallery + inverted.indices[met]
        sums.index_add_(0, target, (shared / UNIT).round_().long())
    return sums.double().mul_(UNIT).view(rows.n, n_gallery)


def _add(mix: Tensor, rows: TensorRows, nodes: Tensor, factor: Tensor, maximum: bool) -> None:
    """Add factor[i] times the row of nodes[i] to mix[i], or keep the larger, element by element."""
    first = rows.indptr[nodes]
    row, entry = spread(first, rows.indptr[nodes + 1] - first)
    place = row * mix.shape[1] + rows.indices[entry]  # no place twice
    value = rows.data[entry] * factor[row]
    flat = mix.view(-1)
    flat[place] = torch.maximum(flat[place], value) if maximum else flat[place] + value


def _compressed(mix: Tensor) -> Combined:
    """The entries of non-negative dense rows that are above zero."""
    row, column = mix.nonzero(as_tuple=True)
    norms = torch.empty(len(mix), dtype=torch.float64, device=mix.device)
    sums = torch.empty_like(norms)
    for first in range(0, len(mix), 256):
        wide = mix[first : first + 256].double()
        sums[first : first + 256] = wide.sum(1)
        norms[first : first + 256] = wide.square_().sum(1).sqrt_()
    return Combined(TensorRows(pointers(row, len(mix)), column, mix[row, column]), norms, sums)


def _joined(parts: list[Combined]) -> Combined:
    """Rows one after another."""
    lengths = torch.cat([part.rows.indptr[1:] - part.rows.indptr[:-1] for part in parts])
    rows = TensorRows(
        torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]),
        torch.cat([part.rows.indices for part in parts]),
        torch.cat([part.rows.data for part in parts]),
    )
    norms = torch.cat([part.norms for part in parts])
    return Combined(rows, norms, torch.cat([part.sums for part in parts]))


def pointers(keys: Tensor, n: int) -> Tensor:
    """Where each key 0..n-1 begins in ascending keys, and at last their number, (n + 1,)."""
    ends = torch.bincount(keys, minlength=n).cumsum(0)
    return torch.cat([ends.new_zeros(1), ends])


def spread(first: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Of pieces first:first + length, one after another: piece and place of every element."""
    piece = torch.arange(len(first), device=first.device).repeat_interleave(length)
    place = torch.arange(len(piece), device=first.device)
    return piece, place - (length.cumsum(0) - length - first)[piece]
