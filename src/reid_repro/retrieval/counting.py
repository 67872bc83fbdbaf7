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

from reid_repro.retrieval.compiled import inner, kernel
from reid_repro.retrieval.exact import as_distance, squared_gap
from reid_repro.retrieval.sorting import (
    ascending,
    count_below,
    count_up_to,
    in_order,
    place_of_greatest,
)

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
    ordered = in_order(row)
    for a in range(len(right)):
        value = row[right[a]]
        before = count_below(ordered, value)
        ranks[a] = before + 1
        if before + 1 < len(ordered) and ordered[before + 1] == value:
            ranks[a] += _equal(row[: right[a]], value)


@inner
def _taken(row: Rows, kept: Integers) -> Rows:
    taken = np.empty(len(kept), row.dtype)
    for j in range(len(kept)):
        taken[j] = row[kept[j]]
    return taken


@kernel(over="rows")
def ranks_in_rows(
    begin: int,
    end: int,
    rows: Rows,
    kept: Integers,
    starts: Integers,
    right: Integers,
    removed_starts: Integers,
    removed: Integers,
    counted: int,
    ranks: Integers,
    nan: npt.NDArray[np.bool_],
) -> None:
    """Fill `ranks` with those of the matches of each row, ascending from 1; `nan`: rows with NaN.

    `kept` are the columns that count for any query, ascending; `right` and `removed` are positions
    among them. A row with more than `counted` matches is sorted.
    """
    for i in range(begin, end):
        row = rows[i]
        nan[i] = _holds_nan(row)
        own = ranks[starts[i] : starts[i + 1]]
        if len(own) == 0:
            continue
        if len(kept) < len(row):
            row = _taken(row, kept)
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
        ascending(own)


@kernel(over="tile")
def count_before(
    begin: int,
    end: int,
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
    for i in range(begin, end):
        first, last = starts[i], starts[i + 1]
        if first == last:
            continue
        # Most entries lie behind the farthest match: only the others are looked at again.
        value, place = _up_to_value(
            tile[i], high[first + place_of_greatest(high[first:last])], column
        )
        ordered = in_order(value) if last - first > counted else value
        for a in range(first, last):
            if last - first > counted:
                below = count_below(ordered, low[a])
                within = count_up_to(ordered, high[a]) - below
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
def _up_to_value(row: Floats, most: Any, column: int) -> tuple[Floats, Integers]:
    """The entries of a row that are at most `most`, and their places, counted from `column`."""
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
                value[found], place[found] = strip[j], column + head + j
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


@kernel(over="queries")
def ranks_from_counts(
    begin: int,
    end: int,
    queries: int,
    counts: Integers,
    starts: Integers,
    right: Integers,
    distance: Floats,
    removed_starts: Integers,
    removed: Integers,
    removed_distance: Floats,
    ranks: Integers,
) -> None:
    """Fill `ranks` with those of each query's matches, ascending.

    The entries that do not count for a query are taken off.
    """
    for i in range(begin, end):
        for a in range(starts[i], starts[i + 1]):
            ranks[a] = counts[a] + 1
            for r in range(removed_starts[i], removed_starts[i + 1]):
                gap = removed_distance[r] - distance[a]
                ranks[a] -= gap < 0 or (gap == 0 and removed[r] < right[a])
        ascending(ranks[starts[i] : starts[i + 1]])


@kernel(over="tile")
def settled_rows(
    begin: int,
    end: int,
    tile: Floats,
    start: int,
    starts: Integers,
    low: Floats,
    high: Floats,
    queries: Floats,
    gallery: Floats,
    zeros: tuple[Doubles, Doubles],
    cosine: bool,
    out: Floats,
) -> None:
    """Fill `out` with the distances of a tile over the whole gallery.

    They are exact wherever an entry is near to a match.
    """
    for i in range(begin, end):
        for j in range(tile.shape[1]):
            squared = 2 * max(np.float64(tile[i, j]), 0.0)
            for a in range(starts[i], starts[i + 1]):
                if low[a] <= tile[i, j] <= high[a]:
                    squared = squared_gap(queries[start + i], gallery[j])
                    squared += zeros[0][start + i] + zeros[1][j]
                    break
            out[i, j] = as_distance(squared, cosine)
