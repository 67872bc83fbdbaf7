"""Ranks of the true matches of each query by counting what lies before them: no sort of a row.

An entry lies before a match when its distance is smaller, or equal and its place in the gallery
earlier: what a stable argsort gives. Ragged lists are flat arrays with `starts`: those of query i
are starts[i]:starts[i + 1].

Two sources: rows of given distances (`ranks_in_rows`), and tiles of half distances with a known
error (`operands.py`), where entries too near to a match to be told apart are compared by their
exact distances (`count_before`, `ranks_from_counts`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import prange

from reid_repro.retrieval.compiled import inner, kernel
from reid_repro.retrieval.exact import as_distance, squared_gap

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Rows = npt.NDArray[Any]  # float32 or float64

STRIP = 64


@inner
def _up_to(row: Rows, value: Any) -> Any:
    """Entries at most `value`; 32-bit counts let the compiler use whole vectors."""
    count = np.int32(0)
    for j in range(len(row)):
        count = np.int32(count + np.int32(row[j] <= value))
    return count


@inner
def _below(row: Rows, value: Any) -> Any:
    count = np.int32(0)
    for j in range(len(row)):
        count = np.int32(count + np.int32(row[j] < value))
    return count


@inner
def _equal(row: Rows, value: Any) -> Any:
    count = np.int32(0)
    for j in range(len(row)):
        count = np.int32(count + np.int32(row[j] == value))
    return count


@inner
def _holds_nan(row: Rows) -> Any:
    count = np.int32(0)
    for j in range(len(row)):
        count = np.int32(count + np.int32(row[j] != row[j]))
    return count > 0


@inner
def _places_by_sort(row: Rows, right: Integers, ranks: Integers) -> None:
    ordered = np.sort(row)
    for a in range(len(right)):
        value = row[right[a]]
        before = np.searchsorted(ordered, value)
        ranks[a] = before + 1
        if before + 1 < len(ordered) and ordered[before + 1] == value:
            ranks[a] += _equal(row[: right[a]], value)


@kernel
def ranks_in_rows(
    rows: Rows,
    kept: Integers,
    starts: Integers,
    right: Integers,
    removed_starts: Integers,
    removed: Integers,
    counted: int,
) -> tuple[Integers, npt.NDArray[np.bool_]]:
    """Ascending ranks (from 1) of the matches of each row, and which rows hold NaN.

    `kept` are the columns that count for any query, ascending; `right` and `removed` are positions
    among them. A row with more than `counted` matches is sorted.
    """
    ranks = np.empty(len(right), dtype=np.int64)
    nan = np.zeros(len(rows), dtype=np.bool_)
    for i in prange(len(rows)):
        row = rows[i]
        nan[i] = _holds_nan(row)
        own = ranks[starts[i] : starts[i + 1]]
        if len(own) == 0:
            continue
        if len(kept) < len(row):
            row = row[kept]
        places = right[starts[i] : starts[i + 1]]
        if len(own) > counted:
            _places_by_sort(row, places, own)
        else:
            for a in range(len(own)):
                place = places[a]
                own[a] = 1 + _up_to(row[:place], row[place]) + _below(row[place + 1 :], row[place])
        for a in range(len(own)):
            place, value = places[a], row[places[a]]
            for r in range(removed_starts[i], removed_starts[i + 1]):
                other = row[removed[r]]
                own[a] -= other < value or (other == value and removed[r] < place)
        own.sort()
    return ranks, nan


@kernel
def count_before(
    tile: Floats,
    start: int,
    column: int,
    starts: Integers,
    right: Integers,
    low: Floats,
    high: Floats,
    distance: Floats,
    queries: Floats,
    gallery: Floats,
    zeros: tuple[Doubles, Doubles],
    cosine: bool,
    counted: int,
    counts: Integers,
) -> None:
    """Add to `counts` how many entries of a tile lie before each match of its rows.

    Row i is query start + i, column j entry column + j. Entries below `low` of a match lie before
    it, those above `high` after it; the others are compared by exact `distance`, then place. A row
    with more than `counted` matches is sorted.
    """
    rows, columns = tile.shape
    for i in prange(rows):
        row, query = tile[i], queries[start + i]
        if starts[i + 1] - starts[i] > counted:
            order = np.argsort(row)
            ordered = row[order]
        else:
            order = np.empty(0, dtype=np.int64)
            ordered = row[:0]
        for a in range(starts[i], starts[i + 1]):
            if len(ordered) > 0:
                first = np.searchsorted(ordered, low[a])
                counts[a] += first
                while first < columns and ordered[first] <= high[a]:
                    j = column + order[first]
                    counts[a] += _is_before(
                        query, gallery, zeros, cosine, start + i, j, right[a], distance[a]
                    )
                    first += 1
                continue
            below = _below(row, low[a])
            counts[a] += below
            if _up_to(row, high[a]) == below:
                continue
            for head in range(0, columns, STRIP):
                strip = row[head : min(head + STRIP, columns)]
                if _up_to(strip, high[a]) == _below(strip, low[a]):
                    continue
                for j in range(len(strip)):
                    if low[a] <= strip[j] <= high[a]:
                        counts[a] += _is_before(
                            query,
                            gallery,
                            zeros,
                            cosine,
                            start + i,
                            column + head + j,
                            right[a],
                            distance[a],
                        )


@inner
def _is_before(
    query: Floats,
    gallery: Floats,
    zeros: tuple[Doubles, Doubles],
    cosine: bool,
    number: int,
    entry: int,
    place: int,
    distance: Any,
) -> Any:
    """1 where an entry lies before the match at `place` with that exact distance, else 0."""
    if entry == place:
        return 0
    squared = squared_gap(query, gallery[entry]) + zeros[0][number] + zeros[1][entry]
    own = as_distance(squared, cosine)
    return 1 if own < distance or (own == distance and entry < place) else 0


@kernel
def ranks_from_counts(
    counts: Integers,
    starts: Integers,
    right: Integers,
    distance: Floats,
    removed_starts: Integers,
    removed: Integers,
    removed_distance: Floats,
) -> Integers:
    """Ascending ranks of each query's matches, less the entries that do not count for it."""
    ranks = counts + 1
    for i in prange(len(starts) - 1):
        for a in range(starts[i], starts[i + 1]):
            for r in range(removed_starts[i], removed_starts[i + 1]):
                gap = removed_distance[r] - distance[a]
                ranks[a] -= gap < 0 or (gap == 0 and removed[r] < right[a])
        ranks[starts[i] : starts[i + 1]].sort()
    return ranks


@kernel
def settled_rows(
    tile: Floats,
    start: int,
    starts: Integers,
    low: Floats,
    high: Floats,
    queries: Floats,
    gallery: Floats,
    zeros: tuple[Doubles, Doubles],
    cosine: bool,
) -> Floats:
    """Distances of a tile over the whole gallery, exact wherever an entry is near to a match."""
    out = np.empty(tile.shape, dtype=np.float32)
    for i in prange(len(tile)):
        for j in range(tile.shape[1]):
            squared = 2 * max(np.float64(tile[i, j]), 0.0)
            for a in range(starts[i], starts[i + 1]):
                if low[a] <= tile[i, j] <= high[a]:
                    squared = squared_gap(queries[start + i], gallery[j])
                    squared += zeros[0][start + i] + zeros[1][j]
                    break
            out[i, j] = as_distance(squared, cosine)
    return out
