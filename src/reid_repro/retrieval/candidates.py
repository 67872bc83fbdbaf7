"""Streams of approximate half distances in, certified candidates for the nearest entries out.

Tiles of `operands.HalfDistances` arrive in any order. Each row keeps the entries that can still
belong to its k nearest: with kth the k-th smallest value seen, an entry above

    limit = (kth (1 + w) + 2 margin)(1 + w),   w = widening,

cannot, whatever the rounding: the k entries up to kth are really within kth (1 + w) + margin, and
an entry that really is as near shows no more than the limit (rounding to nearest is off by at most
w of the exact as well as of the rounded value). Most of a tile lies far above every
limit, so strips of it are only counted, by vectors; limits shrink as buffers fill and are cleared.
A row whose candidates do not fit its buffer is marked, and is searched by other means.

The same buffers, from the other end, hold the candidates for the farthest entry.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import prange, types

from reid_repro.retrieval.compiled import between_products, inner, kernel, variants_of

STRIP = 64  # entries counted at once
FAR_BUFFER = 256
NOBODY = -(1 << 40)

Tile = npt.NDArray[Any]  # float32, or int16: the bits of bfloat16


class Stream(NamedTuple):
    """Candidates of n rows for the k nearest, or for the farthest (k = 1).

    Attributes:
        k: wanted a row.
        nearest: or the farthest.
        widening: see `HalfDistances`.
        margin: (n,) float32.
        limit: values that pass, in the tile's own type, (n,).
        best: the k best values seen, the worst of them first (a heap), (n, k) float32.
        filled: entries in the buffer, (n,) int32; -1 where they did not fit.
        column, value: the buffers, (n, capacity).
    """

    k: int
    nearest: bool
    widening: float
    margin: npt.NDArray[np.float32]
    limit: Tile
    best: npt.NDArray[np.float32]
    filled: npt.NDArray[np.int32]
    column: npt.NDArray[np.int32]
    value: npt.NDArray[np.float32]


def stream(
    margin: npt.NDArray[np.float32],
    k: int,
    *,
    n_gallery: int,
    bfloat16: bool,
    widening: float,
    farthest: bool = False,
) -> Stream:
    """An empty stream for rows of the given margins; it holds every entry of a small gallery."""
    capacity = min(n_gallery, FAR_BUFFER if farthest else 2 * k + 128)
    n = len(margin)
    worst = np.float32(-np.inf if farthest else np.inf)
    return Stream(
        k,
        not farthest,
        widening,
        margin,
        np.full(n, encode_limit(worst, bfloat16), dtype=np.int16 if bfloat16 else np.float32),
        np.full((n, k), worst),
        np.zeros(n, dtype=np.int32),
        np.empty((n, capacity), dtype=np.int32),
        np.empty((n, capacity), dtype=np.float32),
    )


def encode_limit(limit: np.float32, bfloat16: bool) -> np.float32 | np.int16:
    """A limit in the tile's type: itself, or the upper half of its bits, which orders the same."""
    if not bfloat16:
        return limit
    return np.int16(np.float32(limit).view(np.int32) >> 16)


def decode(value: Any) -> Any:
    """The float32 of a tile's entry: itself, or a bfloat16 of these 16 bits."""


@variants_of(decode)
def _decode(value: Any) -> Any:
    def same(value: Any) -> Any:
        return value

    def widened(value: Any) -> Any:
        return np.int32(np.int32(value) << 16).view(np.float32)

    return widened if isinstance(value, types.Integer) else same


def encode(limit: Any, like: Any) -> Any:
    """The largest entry of the type of `like` that is not above `limit`, which is not negative."""


@variants_of(encode)
def _encode(limit: Any, like: Any) -> Any:
    def same(limit: Any, like: Any) -> Any:
        return limit

    def halved(limit: Any, like: Any) -> Any:
        return np.int16(np.float32(limit).view(np.int32) >> 16)

    return halved if isinstance(like, types.Integer) else same


@inner
def _lower(stream: Stream, row: int, value: Any) -> None:
    """Put a value that is among the k best seen into the row's heap, and draw its limit in."""
    best, k = stream.best[row], stream.k
    if stream.nearest:
        place = 0
        while 2 * place + 1 < k:  # the worst of the k stands on top: sift the new value down
            child = 2 * place + 1
            if child + 1 < k and best[child + 1] > best[child]:
                child += 1
            if best[child] <= value:
                break
            best[place] = best[child]
            place = child
        best[place] = value
        widening, margin = 1 + stream.widening, 2 * stream.margin[row]
        limit = np.float32((best[0] * widening + margin) * widening * (1 + 1e-6))
    else:
        best[0] = value
        widening, margin = 1 - stream.widening, 2 * stream.margin[row]
        limit = np.float32((value * widening - margin) * widening * (1 - 1e-6))
        limit = max(limit, np.float32(0))
    stream.limit[row] = encode(limit, stream.limit[row])


@inner
def _clear(stream: Stream, row: int) -> None:
    """Drop what the limit of a row excludes from its buffer."""
    value, column = stream.value[row], stream.column[row]
    limit = np.float32(decode(stream.limit[row]))
    kept = 0
    for i in range(stream.filled[row]):
        inside = value[i] <= limit if stream.nearest else value[i] >= limit
        if inside:
            value[kept], column[kept] = value[i], column[i]
            kept += 1
    stream.filled[row] = kept


@inner
def _push(stream: Stream, row: int, column: int, value: Any) -> Any:
    """Add an entry to a row's buffer and return the row's limit.

    A full buffer is cleared first; a row is marked where that does not help.
    """
    filled = stream.filled[row]
    capacity = stream.column.shape[1]
    if filled == capacity:
        _clear(stream, row)
        filled = stream.filled[row]
        if filled > capacity - capacity // 8 - 1:
            stream.filled[row] = filled = -1
    if filled >= 0:
        value = max(value, np.float32(0))
        stream.column[row, filled] = column
        stream.value[row, filled] = value
        stream.filled[row] = filled + 1
        top = stream.best[row, 0]
        if (value < top) if stream.nearest else (value > top):
            _lower(stream, row, value)
    return stream.limit[row]


@inner
def _hits(strip: Tile, limit: Any, nearest: bool) -> Any:
    """How many entries pass; 32-bit counts let the compiler use whole vectors."""
    hits = np.int32(0)
    if nearest:
        for j in range(len(strip)):
            hits = np.int32(hits + np.int32(strip[j] <= limit))
    else:
        for j in range(len(strip)):
            hits = np.int32(hits + np.int32(strip[j] >= limit))
    return hits


@inner
def _hits_each(strip: Tile, limit: Tile, nearest: bool) -> Any:
    """The same with a limit for each entry."""
    hits = np.int32(0)
    if nearest:
        for j in range(len(strip)):
            hits = np.int32(hits + np.int32(strip[j] <= limit[j]))
    else:
        for j in range(len(strip)):
            hits = np.int32(hits + np.int32(strip[j] >= limit[j]))
    return hits


@between_products
def take_rows(stream: Stream, tile: Tile, row: int, column: int, own: int) -> None:
    """Feed tile[i, j], half the distance of entry column + j, to the stream of row + i.

    Entry own + i is left out of row + i (`NOBODY`: none is).
    """
    rows, columns = tile.shape
    nearest = stream.nearest
    for i in prange(rows):
        at = row + i
        limit = stream.limit[at]
        for first in range(0, columns, STRIP):
            strip = tile[i, first : min(first + STRIP, columns)]
            if _hits(strip, limit, nearest) == 0:
                continue
            for j in range(len(strip)):
                inside = strip[j] <= limit if nearest else strip[j] >= limit
                if inside and column + first + j != own + i:
                    limit = _push(stream, at, column + first + j, decode(strip[j]))


@between_products
def take_columns(stream: Stream, tile: Tile, row: int, column: int) -> None:
    """Feed the same tile to the streams of its columns: entry row + i seen from column + j."""
    rows, columns = tile.shape
    nearest = stream.nearest
    for number in prange((columns + STRIP - 1) // STRIP):
        first = number * STRIP
        last = min(first + STRIP, columns)
        limit = stream.limit[column + first : column + last]
        for i in range(rows):
            strip = tile[i, first:last]
            if _hits_each(strip, limit, nearest) == 0:
                continue
            for j in range(len(strip)):
                inside = strip[j] <= limit[j] if nearest else strip[j] >= limit[j]
                if inside:
                    _push(stream, column + first + j, row + i, decode(strip[j]))


def finish(stream: Stream) -> None:
    """Drop what the last limits exclude; mark rows whose limit says nothing."""
    _finish(len(stream.filled), stream)


@kernel(over="rows")
def _finish(begin: int, end: int, rows: int, stream: Stream) -> None:
    for row in range(begin, end):
        if stream.filled[row] > 0:
            _clear(stream, row)
        if not stream.nearest and decode(stream.limit[row]) <= 0:
            stream.filled[row] = -1  # farthest and nearest look the same in this precision
