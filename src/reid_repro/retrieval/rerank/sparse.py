"""Sparse rows for the re-rankers that compare neighbourhoods: compiled steps on CSR arrays.

The encodings of SCA, k-reciprocal re-ranking and GNN re-ranking are n rows with a few hundred
non-negative entries in n columns. Three steps carry all of them: weighted sums (or maxima) of
neighbours' rows (`combine_rows`), the inverted index (`transpose`), and comparisons of query rows
with all gallery rows by a walk along that index (`cosine_rows`,
`jaccard_rows`).

Every result element is computed by one thread in a fixed order: results do not depend on the
number of threads or on how query rows are cut into blocks. Memory beyond inputs and outputs is a
dense accumulator a part of the rows; nothing is n x n.
"""

from __future__ import annotations

from typing import NamedTuple, overload

import numpy as np
import numpy.typing as npt

from reid_repro.retrieval.compiled import thread_count
from reid_repro.retrieval.rerank import sparse_comparisons as comparisons
from reid_repro.retrieval.rerank import sparse_kernels as kernels

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]
Vector = npt.NDArray[np.float64]


class Rows(NamedTuple):
    """A sparse matrix by rows (CSR); `scipy.sparse.csr_array(rows.csr, shape=...)` takes `csr`.

    Attributes:
        indptr: row i holds entries indptr[i]:indptr[i + 1], (n + 1,) int64.
        indices: columns, ascending and without repetition in a row, (nnz,) int32.
        data: values, (nnz,) float32.
    """

    indptr: IntArray
    indices: npt.NDArray[np.int32]
    data: FloatArray

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.indptr) - 1

    @property
    def csr(self) -> tuple[FloatArray, npt.NDArray[np.int32], IntArray]:
        """(data, indices, indptr), the order in which scipy takes them."""
        return self.data, self.indices, self.indptr

    def part(self, start: int, stop: int) -> Rows:
        """Rows start:stop; indices and data are views."""
        first, last = self.indptr[start], self.indptr[stop]
        indptr = self.indptr[start : stop + 1] - first
        return Rows(indptr, self.indices[first:last], self.data[first:last])

    def copied(self) -> Rows:
        """The same rows in arrays of their own, which keep no larger ones alive."""
        return Rows(self.indptr.copy(), self.indices.copy(), self.data.copy())


def neighbour_rows(neighbours: IntArray, values: FloatArray) -> Rows:
    """Rows that hold values[i, p] in column neighbours[i, p]; both (n, k), columns distinct."""
    n, k = neighbours.shape
    order = np.argsort(neighbours, axis=1)
    indices = np.take_along_axis(neighbours, order, axis=1).astype(np.int32)
    data = np.take_along_axis(values, order, axis=1).astype(np.float32, copy=False)
    return Rows(np.arange(0, n * k + 1, k, dtype=np.int64), indices.ravel(), data.ravel())


@overload
def combine_rows(
    neighbours: IntArray,
    weights: FloatArray,
    rows: Rows,
    n_columns: int,
    *,
    own: FloatArray | None = None,
    maximum: bool = False,
) -> Rows: ...


@overload
def combine_rows(
    neighbours: IntArray,
    weights: FloatArray,
    rows: Rows,
    n_columns: int,
    *,
    own: FloatArray | None = None,
    maximum: bool = False,
    limit: int,
) -> Rows | None: ...


def combine_rows(
    neighbours: IntArray,
    weights: FloatArray,
    rows: Rows,
    n_columns: int,
    *,
    own: FloatArray | None = None,
    maximum: bool = False,
    limit: int | None = None,
) -> Rows | None:
    """out[i] = own[i] rows[i] + sum (or elementwise maximum) over p of w[i, p] rows[nb[i, p]].

    Args:
        neighbours: nb, rows to combine, (m, k) int64.
        weights: w, non-negative, (m, k) float32.
        rows: sparse rows with non-negative values, at least as many as `neighbours` names.
        n_columns: columns of `rows`.
        own: weight of the row itself, (m,) float32; None leaves it out.
        maximum: take the elementwise maximum over neighbours; absent entries are zeros.
        limit: most entries that the result may have.

    Returns:
        The m combined rows, or None (before anything is allocated) beyond `limit` entries.
    """
    neighbours = np.ascontiguousarray(neighbours)  # views of lists would be a type of their own
    with_own = own is not None
    mine = own if own is not None else np.empty(0, dtype=np.float32)
    indptr = np.zeros(len(neighbours) + 1, dtype=np.int64)
    shape = n_columns, with_own, kernels.PARTS
    kernels.count_combined(neighbours, rows.indptr, rows.indices, *shape, indptr[1:])
    np.cumsum(indptr, out=indptr)
    if limit is not None and indptr[-1] > limit:
        return None
    indices = np.empty(indptr[-1], dtype=np.int32)
    data = np.empty(indptr[-1], dtype=np.float32)
    kernels.fill_combined(
        neighbours,
        weights,
        mine,
        with_own,
        maximum,
        *rows,
        n_columns,
        kernels.PARTS,
        indptr,
        indices,
        data,
    )
    return Rows(indptr, indices, data)


def add_rows(left: Rows, right: Rows) -> Rows:
    """left + right, two sparse matrices of the same shape."""
    indptr = np.zeros_like(left.indptr)
    kernels.count_union(left.indptr, left.indices, right.indptr, right.indices, indptr[1:])
    np.cumsum(indptr, out=indptr)
    indices = np.empty(indptr[-1], dtype=np.int32)
    data = np.empty(indptr[-1], dtype=np.float32)
    kernels.fill_union(*left, *right, indptr, indices, data, left.n)
    return Rows(indptr, indices, data)


def transpose(rows: Rows, n_columns: int) -> Rows:
    """The inverted index: for each column the rows that hold it (ascending) and their values."""
    parts = thread_count()
    places = np.zeros((parts, n_columns), dtype=np.int64)
    kernels.count_columns(rows.indptr, rows.indices, places)
    indptr = np.zeros(n_columns + 1, dtype=np.int64)
    np.cumsum(places.sum(axis=0), out=indptr[1:])
    # Part p of the rows writes column c from where the parts before it end.
    places = indptr[:-1] + np.cumsum(places, axis=0) - places
    indices, data = np.empty_like(rows.indices), np.empty_like(rows.data)
    kernels.fill_columns(*rows, places, indices, data)
    return Rows(indptr, indices, data)


def row_sums(rows: Rows) -> Vector:
    """Sum of each row, (n,) float64."""
    out = np.empty(rows.n)
    comparisons.sum_rows(rows.indptr, rows.data, False, out)
    return out


def row_norms(rows: Rows) -> Vector:
    """L2 norm of each row, (n,) float64."""
    out = np.empty(rows.n)
    comparisons.sum_rows(rows.indptr, rows.data, True, out)
    return np.sqrt(out, out=out)


def cosine_rows(
    rows: Rows, scale: Vector, inverted: Rows, gallery_scale: Vector, out: FloatArray
) -> None:
    """Write 1 - scale[i] gallery_scale[j] <row i, gallery row j> into out, (m, g) float32.

    Scales are inverse norms, (m,) and (g,) float64. Rows without a shared column are at exactly 1;
    rounding below zero is cut off.
    """
    parts = min(kernels.PARTS, len(out))
    comparisons.cosine(*rows, scale, *inverted, gallery_scale, out, parts)


def jaccard_rows(
    rows: Rows, sums: Vector, inverted: Rows, gallery_sums: Vector, out: FloatArray
) -> None:
    """Write the generalised Jaccard distance 1 - sum(min) / sum(max) into out, (m, g) float32.

    sum(max) is sums[i] + gallery_sums[j] - sum(min), so only shared columns are visited; rows
    without one are at exactly 1.

    Args:
        rows: query rows with non-negative values, m of them.
        sums: their `row_sums`, (m,) float64.
        inverted: `transpose` of the gallery's rows.
        gallery_sums: `row_sums` of the gallery's rows, (g,) float64.
        out: result, (m, g) float32.
    """
    parts = min(kernels.PARTS, len(out))
    comparisons.jaccard(*rows, sums, *inverted, gallery_sums, out, parts)
