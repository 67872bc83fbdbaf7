"""The compiled comparisons behind `sparse.py`: sums of rows, cosine and Jaccard distances.

Query rows meet all gallery rows by a walk along the gallery's inverted index. They are cut into
`parts`, each with its own accumulator; what a row becomes depends on that row alone.
"""

from __future__ import annotations

import numpy as np

from reid_repro.retrieval.compiled import kernel
from reid_repro.retrieval.rerank.sparse_kernels import Float32, Float64, Int32, Int64


@kernel(over="out")
def sum_rows(
    begin: int, end: int, indptr: Int64, data: Float32, squares: bool, out: Float64
) -> None:
    """Sum of each row's entries, or of their squares, (n,)."""
    for row in range(begin, end):
        total = 0.0
        for entry in range(indptr[row], indptr[row + 1]):
            value = np.float64(data[entry])
            total += value * value if squares else value
        out[row] = total


@kernel(over="parts")
def cosine(
    begin: int,
    end: int,
    indptr: Int64,
    indices: Int32,
    data: Float32,
    scale: Float64,
    lists: Int64,
    entries: Int32,
    values: Float32,
    gallery_scale: Float64,
    out: Float32,
    parts: int,
) -> None:
    """Cosine distances of sparse rows to the gallery behind an inverted index."""
    m = len(out)
    for part in range(begin, end):
        sums = np.empty(out.shape[1], dtype=np.float64)
        for row in range(m * part // parts, m * (part + 1) // parts):
            for j in range(len(sums)):
                sums[j] = 0
            for place in range(indptr[row], indptr[row + 1]):
                value = np.float64(data[place])
                for entry in range(lists[indices[place]], lists[indices[place] + 1]):
                    sums[entries[entry]] += value * values[entry]
            factor = scale[row]
            for j in range(out.shape[1]):
                out[row, j] = max(0.0, 1.0 - sums[j] * (factor * gallery_scale[j]))


@kernel(over="parts")
def jaccard(
    begin: int,
    end: int,
    indptr: Int64,
    indices: Int32,
    data: Float32,
    sums: Float64,
    lists: Int64,
    entries: Int32,
    values: Float32,
    gallery_sums: Float64,
    out: Float32,
    parts: int,
) -> None:
    """Generalised Jaccard distances of sparse rows to the gallery behind an inverted index."""
    m = len(out)
    for part in range(begin, end):
        shared = np.empty(out.shape[1], dtype=np.float64)
        for row in range(m * part // parts, m * (part + 1) // parts):
            for j in range(len(shared)):
                shared[j] = 0
            for place in range(indptr[row], indptr[row + 1]):
                value = data[place]
                for entry in range(lists[indices[place]], lists[indices[place] + 1]):
                    shared[entries[entry]] += min(value, values[entry])
            total = sums[row]
            for j in range(out.shape[1]):
                either = total + gallery_sums[j] - shared[j]
                out[row, j] = max(0.0, 1.0 - shared[j] / either) if either > 0 else 1.0
