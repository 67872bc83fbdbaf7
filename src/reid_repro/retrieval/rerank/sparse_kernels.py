"""The compiled loops behind `sparse.py`, over plain arrays; see there for what they compute.

Rows are cut into a fixed number of parts, each with its own accumulator, and threads share out the
parts: what a row becomes depends on that row alone. A bit set of the columns that a row touches
gives them in ascending order without a sort.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from reid_repro.retrieval.compiled import inner, kernel

Int64 = npt.NDArray[np.int64]
Int32 = npt.NDArray[np.int32]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Bits = npt.NDArray[np.uint64]

PARTS = 64

# A 64-bit de Bruijn sequence: multiplied by a single bit, its top six bits tell the bit's place.
_DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
_PLACE = np.zeros(64, dtype=np.int64)
for _bit in range(64):
    _PLACE[((int(_DE_BRUIJN) << _bit) & (2**64 - 1)) >> 58] = _bit


@inner
def _mark(columns: Int32, bits: Bits) -> np.int64:
    """Set the bits of the columns; how many were not set before."""
    added = np.int64(0)
    for entry in range(len(columns)):
        column = columns[entry]
        word, place = column >> 6, np.uint64(column & 63)
        before = bits[word]
        added += 1 - np.int64((before >> place) & np.uint64(1))
        bits[word] = before | (np.uint64(1) << place)
    return added


@inner
def _add_scaled(
    weight: np.float32, columns: Int32, values: Float32, sums: Float32, bits: Bits
) -> None:
    for entry in range(len(columns)):
        column = columns[entry]
        sums[column] += weight * values[entry]
        bits[column >> 6] |= np.uint64(1) << np.uint64(column & 63)


@inner
def _keep_larger(
    weight: np.float32, columns: Int32, values: Float32, largest: Float32, bits: Bits
) -> None:
    for entry in range(len(columns)):
        column = columns[entry]
        largest[column] = max(largest[column], weight * values[entry])
        bits[column >> 6] |= np.uint64(1) << np.uint64(column & 63)


@inner
def _move_out(sums: Float32, bits: Bits, columns: Int32, values: Float32) -> None:
    """Move the marked entries of the accumulator to a sparse row, in order, leaving it empty."""
    entry = 0
    for word in range(len(bits)):
        left = bits[word]
        bits[word] = np.uint64(0)
        while left != np.uint64(0):
            lowest = left & (~left + np.uint64(1))
            column = (word << 6) + _PLACE[np.int64((lowest * _DE_BRUIJN) >> np.uint64(58))]
            columns[entry] = column
            values[entry] = sums[column]
            sums[column] = 0
            entry += 1
            left ^= lowest


@kernel(over="parts")
def count_combined(
    begin: int,
    end: int,
    neighbours: Int64,
    indptr: Int64,
    indices: Int32,
    n_columns: int,
    with_own: bool,
    parts: int,
    out: Int64,
) -> None:
    """Entries of each combined row, (m,)."""
    m = len(neighbours)
    for part in range(begin, end):
        bits = np.zeros((n_columns + 63) // 64, dtype=np.uint64)
        for row in range(m * part // parts, m * (part + 1) // parts):
            size = np.int64(0)
            if with_own:
                size += _mark(indices[indptr[row] : indptr[row + 1]], bits)
            for p in range(neighbours.shape[1]):
                other = neighbours[row, p]
                size += _mark(indices[indptr[other] : indptr[other + 1]], bits)
            out[row] = size
            for word in range(len(bits)):
                bits[word] = 0


@kernel(over="parts")
def fill_combined(
    begin: int,
    end: int,
    neighbours: Int64,
    weights: Float32,
    own: Float32,
    with_own: bool,
    maximum: bool,
    indptr: Int64,
    indices: Int32,
    data: Float32,
    n_columns: int,
    parts: int,
    out_indptr: Int64,
    out_indices: Int32,
    out_data: Float32,
) -> None:
    """Combined rows into the places that `count_combined` found."""
    m = len(neighbours)
    for part in range(begin, end):
        sums = np.zeros(n_columns, dtype=np.float32)
        bits = np.zeros((n_columns + 63) // 64, dtype=np.uint64)
        for row in range(m * part // parts, m * (part + 1) // parts):
            for p in range(neighbours.shape[1]):
                other = neighbours[row, p]
                first, last = indptr[other], indptr[other + 1]
                if maximum:
                    _keep_larger(weights[row, p], indices[first:last], data[first:last], sums, bits)
                else:
                    _add_scaled(weights[row, p], indices[first:last], data[first:last], sums, bits)
            if with_own:
                first, last = indptr[row], indptr[row + 1]
                _add_scaled(own[row], indices[first:last], data[first:last], sums, bits)
            first, last = out_indptr[row], out_indptr[row + 1]
            _move_out(sums, bits, out_indices[first:last], out_data[first:last])


@inner
def _union(
    left: Int32,
    left_data: Float32,
    right: Int32,
    right_data: Float32,
    columns: Int32,
    values: Float32,
    fill: bool,
) -> int:
    """Entries of the sum of two sparse rows, and (fill) the sum itself."""
    i, j, size = 0, 0, 0
    while i < len(left) or j < len(right):
        take_left = j == len(right) or (i < len(left) and left[i] <= right[j])
        take_right = i == len(left) or (j < len(right) and right[j] <= left[i])
        if fill:
            value = np.float32(0)
            if take_left:
                value += left_data[i]
                columns[size] = left[i]
            if take_right:
                value += right_data[j]
                columns[size] = right[j]
            values[size] = value
        i += take_left
        j += take_right
        size += 1
    return size


@kernel(over="out")
def count_union(
    begin: int,
    end: int,
    left_indptr: Int64,
    left: Int32,
    right_indptr: Int64,
    right: Int32,
    out: Int64,
) -> None:
    """Entries of each row of a sum, (n,)."""
    values = np.empty(0, dtype=np.float32)
    columns = np.empty(0, dtype=np.int32)
    for row in range(begin, end):
        out[row] = _union(
            left[left_indptr[row] : left_indptr[row + 1]],
            values,
            right[right_indptr[row] : right_indptr[row + 1]],
            values,
            columns,
            values,
            False,
        )


@kernel(over="rows")
def fill_union(
    begin: int,
    end: int,
    left_indptr: Int64,
    left: Int32,
    left_data: Float32,
    right_indptr: Int64,
    right: Int32,
    right_data: Float32,
    indptr: Int64,
    columns: Int32,
    values: Float32,
    rows: int,
) -> None:
    """Rows of a sum into the places that `count_union` found."""
    for row in range(begin, end):
        a, b = left_indptr[row], left_indptr[row + 1]
        c, d = right_indptr[row], right_indptr[row + 1]
        e, f = indptr[row], indptr[row + 1]
        _union(
            left[a:b], left_data[a:b], right[c:d], right_data[c:d], columns[e:f], values[e:f], True
        )


@kernel(over="counts")
def count_columns(begin: int, end: int, indptr: Int64, indices: Int32, counts: Int64) -> None:
    """Entries of each column in each part of the rows, (parts, columns)."""
    n, parts = len(indptr) - 1, len(counts)
    for part in range(begin, end):
        count = counts[part]
        for entry in range(indptr[n * part // parts], indptr[n * (part + 1) // parts]):
            count[indices[entry]] += 1


@kernel(over="places")
def fill_columns(
    begin: int,
    end: int,
    indptr: Int64,
    indices: Int32,
    data: Float32,
    places: Int64,
    out_indices: Int32,
    out_data: Float32,
) -> None:
    """Row numbers and values by column; `places` (parts, columns) is where each part begins."""
    n, parts = len(indptr) - 1, len(places)
    for part in range(begin, end):
        place = places[part]
        for row in range(n * part // parts, n * (part + 1) // parts):
            for entry in range(indptr[row], indptr[row + 1]):
                column = indices[entry]
                out_indices[place[column]] = row
                out_data[place[column]] = data[entry]
                place[column] += 1
