"""Compiled loops of coarse-to-fine search; one query runs on one thread, a batch shares them.

A query's result is computed by the same code alone and in a batch. Distances are Euclidean,
evaluated in float64 and rounded to float32, as in `distances.py`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from reid_repro.retrieval.compiled import alone, inner, kernel, reassociated
from reid_repro.retrieval.exact import as_distance, squared_gap
from reid_repro.retrieval.groups_rows import Bits, Integers, Reals, Singles, widened
from reid_repro.retrieval.sorting import ascending

Keys = npt.NDArray[np.uint64]

ROW = np.uint64(0xFFFFFFFF)  # the part of a key that holds the row
INFINITY_BITS = np.uint64(0x7F800000)
WORTH_SIFTING = 3  # times as many images as are asked for


class Images(NamedTuple):
    """The gallery in group order: group g is the range start[g]:start[g + 1].

    Attributes:
        entries: features (n, d); `members` their gallery rows, `start` (groups + 1,).
        rounded: (entries - centre) * factor in bfloat16; norm: of these rows before the rounding;
            lost: norm of what the rounding took.
    """

    entries: Singles
    members: Integers
    start: Integers
    rounded: Bits
    norm: Reals
    lost: Reals
    centre: Reals
    factor: float


@inner
def _key(x: Singles, y: Singles, row: int) -> np.uint64:
    """Distance and row in one number: distances are not negative, so their bits order like them."""
    distance = np.float32(as_distance(squared_gap(x, y), False))
    bits = np.uint64(distance.view(np.uint32))
    key: np.uint64 = (bits << np.uint64(32)) | np.uint64(row)
    return key


@inner
def _empty_heap(size: int) -> Keys:
    heap = np.empty(size, dtype=np.uint64)
    for place in range(size):
        heap[place] = np.uint64(0xFFFFFFFFFFFFFFFF)
    return heap


@inner
def _keep(heap: Keys, key: np.uint64) -> None:
    """Put a key among the smallest that were seen, a heap with the largest of them on top."""
    if key >= heap[0]:
        return
    place, child = 0, 1
    while child < len(heap):
        if child + 1 < len(heap) and heap[child + 1] > heap[child]:
            child += 1
        if heap[child] <= key:
            break
        heap[place] = heap[child]
        place, child = child, 2 * child + 1
    heap[place] = key


@alone
def nearest_rows(query: Singles, entries: Singles, k: int) -> Integers:
    """The k nearest entries, nearest first, equal distances in the order of entries."""
    heap = _empty_heap(k)
    for i in range(len(entries)):
        _keep(heap, _key(query, entries[i], i))
    ascending(heap)
    rows = np.empty(k, dtype=np.int64)
    for i in range(k):
        rows[i] = np.int64(heap[i] & ROW)
    return rows


@alone
def count_members(groups: Integers, start: Integers) -> int:
    """Number of images in the groups."""
    total = 0
    for group in groups:
        total += start[group + 1] - start[group]
    return total


@reassociated
def _product(query: Singles, bits: Bits) -> np.float32:
    """Inner product with a row in bfloat16, in float32."""
    total = np.float32(0)
    for k in range(len(query)):
        total += query[k] * widened(bits[k])
    return total


@inner
def _bounds(query: Singles, groups: Integers, images: Images, lower: Singles, heap: Keys) -> None:
    """Bounds of the images' squared distances from the rounded rows, the least upper ones kept.

    With x' the rounding of x and q' of q, 2 |<q, x> - <q', x'>| <= 2 |q||x - x'| + the rounding of
    q and of the sum, of norms and of the results to float32, all relative to (|q| + |x|)^2.
    """
    dim = len(query)
    moved, squared = np.empty(dim, dtype=np.float32), 0.0
    for k in range(dim):
        value = (np.float64(query[k]) - images.centre[k]) * images.factor
        moved[k] = value
        squared += value * value
    norm = np.sqrt(squared)
    relative = (dim + 64) * 2.0**-23
    place = 0
    for group in groups:
        for i in range(images.start[group], images.start[group + 1]):
            spread = (norm + images.norm[i]) ** 2
            error = 2 * norm * images.lost[i] + relative * spread + 2.0**-100
            distance = squared + images.norm[i] ** 2
            distance -= 2 * np.float64(_product(moved, images.rounded[i]))
            lower[place] = distance - error
            upper = np.float32(max(distance + error, 0.0))
            if not np.isnan(upper):
                _keep(heap, np.uint64(upper.view(np.uint32)))
            place += 1


@alone
def rank_members(
    query: Singles, groups: Integers, images: Images, indices: Integers, distances: Singles
) -> None:
    """Fill a row with the groups' images, nearest first, as far as it goes.

    Where few of them are asked for, rows rounded to bfloat16, half as many bytes to read, leave
    most images out, and what their bounds do not decide is computed exactly.
    """
    reached = count_members(groups, images.start)
    heap = _empty_heap(min(reached, len(indices)))
    sifted = WORTH_SIFTING * len(heap) <= reached
    lower, limit = np.empty(reached if sifted else 0, dtype=np.float32), np.float32(0)
    if sifted:
        _bounds(query, groups, images, lower, heap)
        bits = min(heap[0], INFINITY_BITS)  # fewer bounds than places where some overflowed
        limit = np.uint32(bits).view(np.float32) * np.float32(1 + 2.0**-20)
        heap = _empty_heap(len(heap))
    place = 0
    for group in groups:
        for i in range(images.start[group], images.start[group + 1]):
            if not (sifted and lower[place] > limit):
                _keep(heap, _key(query, images.entries[i], images.members[i]))
            place += 1
    ascending(heap)
    for i in range(len(heap)):
        indices[i] = np.int64(heap[i] & ROW)
        distances[i] = np.uint32(heap[i] >> np.uint64(32)).view(np.float32)


@kernel(over="queries")
def nearest_rows_batch(
    begin: int, end: int, queries: Singles, entries: Singles, k: int, out: Integers
) -> None:
    """`nearest_rows` of every query into `out` (m, k)."""
    for q in range(begin, end):
        rows = nearest_rows(queries[q], entries, k)
        for i in range(k):
            out[q, i] = rows[i]


@kernel(over="queries")
def rank_members_batch(
    begin: int,
    end: int,
    queries: Singles,
    groups: Integers,
    images: Images,
    indices: Integers,
    distances: Singles,
) -> None:
    """`rank_members` of every query with its own groups (m, K)."""
    for q in range(begin, end):
        rank_members(queries[q], groups[q], images, indices[q], distances[q])


@kernel(over="order")
def append_rest(
    begin: int,
    end: int,
    order: Integers,
    groups: int,
    members: Integers,
    start: Integers,
    indices: Integers,
) -> None:
    """Write the images of the groups order[q, groups:] behind those of the first groups."""
    for q in range(begin, end):
        place = count_members(order[q, :groups], start)
        for group in order[q, groups:]:
            for i in range(start[group], start[group + 1]):
                if place < indices.shape[1]:
                    indices[q, place] = members[i]
                place += 1


@kernel(over="out")
def group_means(begin: int, end: int, entries: Singles, start: Integers, out: Singles) -> None:
    """Mean of each range of rows, summed in float64, into `out` (groups, d)."""
    for group in range(begin, end):
        total = np.zeros(entries.shape[1])
        for i in range(start[group], start[group + 1]):
            row = entries[i]
            for k in range(len(row)):
                total[k] += row[k]
        size = start[group + 1] - start[group]
        mean = out[group]
        for k in range(len(total)):
            mean[k] = total[k] / size
