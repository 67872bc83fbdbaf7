"""Exact squared distances of single pairs, as compiled loops share them.

`squared_gap` sums in float64 in whatever order the compiler finds fastest: the same for every call
within one kernel, so nothing depends on blocks or threads. Two kernels may differ in the last bits
of float64, which show only where a float32 rounding is that close; distances that decide a tie
are therefore compared within one kernel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from reid_repro.retrieval.compiled import inner, kernel, reassociated

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@reassociated
def squared_gap(x: Floats, y: Floats) -> float:
    """|x - y|^2 of two float32 rows, differences and sum in float64."""
    total = 0.0
    for i in range(x.shape[0]):
        gap = np.float64(x[i]) - np.float64(y[i])
        total += gap * gap
    return total


@inner
def as_distance(squared: float, cosine: bool) -> Any:
    """The float32 distance of an exact squared distance: see `distances.FeatureSpace.distance`."""
    if cosine:
        return np.float32(squared / 2)
    return np.float32(np.sqrt(squared))


def squared_pairs(left: Floats, right: Floats, rows: Integers, columns: Integers) -> Doubles:
    """Exact squared distances of the pairs (left[rows], right[columns]), (p,) float64."""
    out = np.empty(len(rows), dtype=np.float64)
    _squared_pairs(left, right, rows, columns, out)
    return out


@kernel(over="rows")
def _squared_pairs(
    begin: int,
    end: int,
    left: Floats,
    right: Floats,
    rows: Integers,
    columns: Integers,
    out: Doubles,
) -> None:
    for p in range(begin, end):
        out[p] = squared_gap(left[rows[p]], right[columns[p]])
