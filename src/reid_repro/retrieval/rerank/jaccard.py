"""Jaccard distance of sparse codes blended with an original distance, in one pass over the rows.

Zhong et al. 2017 (`k_reciprocal.py`), Eqs. 10 and 12. Codes are rows that sum to 1, so that
sum(max) = 2 - sum(min), and sum(min) comes from a walk along the inverted index of the gallery's
codes: only entries that share a column are visited. All others are at Jaccard distance 1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from reid_repro.retrieval.compiled import kernel, thread_count
from reid_repro.retrieval.rerank.sparse import Rows

FloatArray = npt.NDArray[np.float32]


def blend(rows: FloatArray, codes: Rows, inverted: Rows, weight: FloatArray, share: float) -> None:
    """Replace original distances by share * Jaccard + weight * original, in place.

    Args:
        rows: original distances of m queries to g gallery entries, (m, g) float32; values below
            zero (rounding) count as zero.
        codes: codes of the m queries.
        inverted: `sparse.transpose` of the gallery's codes.
        weight: factor of each query's original distances, (m,) float32.
        share: factor of the Jaccard distance; at 0 the codes are not looked at.
    """
    parts = max(1, min(len(rows), thread_count()))
    _blend(rows, *codes, *inverted, weight, share, parts)


@kernel(over="parts")
def _blend(
    begin: int,
    end: int,
    rows: FloatArray,
    indptr: npt.NDArray[np.int64],
    indices: npt.NDArray[np.int32],
    data: FloatArray,
    entry_of: npt.NDArray[np.int64],
    entries: npt.NDArray[np.int32],
    entry_data: FloatArray,
    weight: FloatArray,
    share: float,
    parts: int,
) -> None:
    m, g = rows.shape
    apart = np.float32(share)
    zero = np.float32(0)
    for part in range(begin, end):
        shared = np.zeros(g if share > 0 else 0, dtype=np.float64)  # sum(min), zero between rows
        touched = np.empty(len(shared), dtype=np.int32)
        nearer = np.empty(len(shared), dtype=np.float32)
        for query in range(part * m // parts, (part + 1) * m // parts):
            row, factor, count = rows[query], weight[query], 0
            if share > 0:
                for place in range(indptr[query], indptr[query + 1]):
                    column, value = indices[place], data[place]
                    for entry in range(entry_of[column], entry_of[column + 1]):
                        other, least = entries[entry], min(value, entry_data[entry])
                        # A weight that underflowed to zero must not list an entry twice.
                        if shared[other] == 0 and least > 0:
                            touched[count] = other
                            count += 1
                        shared[other] += least
            for place in range(count):
                other = touched[place]
                common = min(shared[other], 1.0)
                jaccard = np.float32(share * (1 - common / (2 - common)))
                nearer[place] = jaccard + factor * max(row[other], zero)
                shared[other] = 0
            for other in range(g):
                row[other] = apart + factor * max(row[other], zero)
            for place in range(count):
                row[touched[place]] = nearer[place]
