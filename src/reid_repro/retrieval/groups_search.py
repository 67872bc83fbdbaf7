"""Compiled loops of coarse-to-fine search; one query runs on one thread, a batch shares them.

A query's result is computed by the same code alone and in a batch. Distances are Euclidean,
evaluated in float64 and rounded to float32, as in `distances.py`.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from reid_repro.retrieval.compiled import inner, kernel
from reid_repro.retrieval.exact import as_distance, squared_gap

Reals = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]


@inner
def nearest_rows(query: Singles, entries: Singles, k: int) -> Integers:
    """The k nearest entries, nearest first, equal distances in the order of entries."""
    n = len(entries)
    distance = np.empty(n, dtype=np.float32)
    for i in range(n):
        distance[i] = as_distance(squared_gap(query, entries[i]), False)
    if k < n:
        kth = np.partition(distance, k - 1)[k - 1]
        free = k - np.sum(distance < kth)  # places for entries at the k-th distance itself
        rows = np.empty(k, dtype=np.int64)
        found = 0
        for i in range(n):
            if distance[i] < kth or (distance[i] == kth and free > 0):
                free -= distance[i] == kth
                rows[found] = i
                found += 1
    else:
        rows = np.arange(n)
    return rows[np.argsort(distance[rows], kind="mergesort")]


@inner
def count_members(groups: Integers, start: Integers) -> int:
    """Number of images in the groups."""
    total = 0
    for group in groups:
        total += start[group + 1] - start[group]
    return total


@inner
def rank_members(
    query: Singles,
    groups: Integers,
    entries: Singles,
    members: Integers,
    start: Integers,
    indices: Integers,
    distances: Singles,
) -> None:
    """Fill a row with the groups' images, nearest first, as far as it goes."""
    n = count_members(groups, start)
    # Distances are not negative, so their bits order like them: one sort settles ties as well.
    keys = np.empty(n, dtype=np.uint64)
    found = 0
    for group in groups:
        for i in range(start[group], start[group + 1]):
            distance = np.float32(as_distance(squared_gap(query, entries[i]), False))
            keys[found] = (np.uint64(distance.view(np.uint32)) << np.uint64(32)) | np.uint64(
                members[i]
            )
            found += 1
    keys.sort()
    for i in range(min(n, len(indices))):
        indices[i] = np.int64(keys[i] & np.uint64(0xFFFFFFFF))
        distances[i] = np.uint32(keys[i] >> np.uint64(32)).view(np.float32)


@kernel
def nearest_rows_batch(queries: Singles, entries: Singles, k: int) -> Integers:
    """`nearest_rows` of every query, (m, k)."""
    out = np.empty((len(queries), k), dtype=np.int64)
    for q in numba.prange(len(queries)):
        out[q] = nearest_rows(queries[q], entries, k)
    return out


@kernel
def rank_members_batch(
    queries: Singles,
    groups: Integers,
    entries: Singles,
    members: Integers,
    start: Integers,
    indices: Integers,
    distances: Singles,
) -> None:
    """`rank_members` of every query with its own groups (m, K)."""
    for q in numba.prange(len(queries)):
        rank_members(queries[q], groups[q], entries, members, start, indices[q], distances[q])


@kernel
def append_rest(
    order: Integers, groups: int, members: Integers, start: Integers, indices: Integers
) -> None:
    """Write the images of the groups order[q, groups:] behind those of the first groups."""
    for q in numba.prange(len(order)):
        place = count_members(order[q, :groups], start)
        for group in order[q, groups:]:
            for i in range(start[group], start[group + 1]):
                if place < indices.shape[1]:
                    indices[q, place] = members[i]
                place += 1


@kernel
def group_means(entries: Singles, start: Integers) -> Singles:
    """Mean of each range of rows, summed in float64, (groups, d) float32."""
    out = np.empty((len(start) - 1, entries.shape[1]), dtype=np.float32)
    for group in numba.prange(len(start) - 1):
        total = np.zeros(entries.shape[1])
        for i in range(start[group], start[group + 1]):
            total += entries[i]
        total /= start[group + 1] - start[group]
        out[group] = total.astype(np.float32)
    return out
