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
    queries: Floats,
    gallery: Floats,
    zeros: tuple[Doubles, Doubles],
    cosine: bool,
    counted: int,
    counts: Integers,
) -> None:
    """Add to `counts` how many entries of a tile lie before each match of its rows.

    Row i is query start + i, column j entry column + j. Entries below `low` of a match lie before
    it, those above `high` after it; the others are compared by exact distance, then place. A row
    with more than `counted` matches is sorted.
    """
    for i in prange(len(tile)):
        first, last = starts[i], starts[i + 1]
        if first == last:
            continue
        # Most entries lie behind the farthest match: only the others are looked at again.
        value, place = _up_to_value(tile[i], np.max(high[first:last]))
        place += column
        if last - first > counted:
            order = np.argsort(value)
            value, place = value[order], place[order]
        for a in range(first, last):
            if last - first > counted:
                below = np.searchsorted(value, low[a])
                within = np.searchsorted(value, high[a], side="right") - below
            else:
                below = _below(value, low[a])
                within = _up_to(value, high[a]) - below
            counts[a] += below
            if within > 0:
                counts[a] += _near_before(
                    value,
                    place,
                    low[a],
                    high[a],
                    start + i,
                    right[a],
                    queries,
                    gallery,
                    zeros,
                    cosine,
                )


@inner
def _up_to_value(row: Floats, most: Any) -> tuple[Floats, Integers]:
    """The entries of a row that are at most `most`, and their places."""
    total = _up_to(row, most)
    value, place = np.empty(total, dtype=np.float32), np.empty(total, dtype=np.int64)
    found = 0
    for head in range(0, len(row), STRIP):
        if found == total:
            break
        strip = row[head : min(head + STRIP, len(row))]
        if _up_to(strip, most) == 0:
            continue
        for j in range(len(strip)):
            if strip[j] <= most:
                value[found], place[found] = strip[j], head + j
                found += 1
    return value, place


@inner
def _near_before(
    value: Floats,
    place: Integers,
    low: Any,
    high: Any,
    query: int,
    right: int,
    queries: Floats,
    gallery: Floats,
    zeros: tuple[Doubles, Doubles],
    cosine: bool,
) -> int:
    """How many of the entries between `low` and `high` lie before the match at place `right`."""
    before, own = 0, np.float32(0)
    for j in range(-1, len(value)):  # the match itself first: one sum, so that copies are equal
        entry = right if j < 0 else place[j]
        if j >= 0 and (entry == right or not low <= value[j] <= high):
            continue
        squared = squared_gap(queries[query], gallery[entry])
        distance = as_distance(squared + zeros[0][query] + zeros[1][entry], cosine)
        if j < 0:
            own = distance
        elif distance < own or (distance == own and entry < right):
            before += 1
    return before


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
