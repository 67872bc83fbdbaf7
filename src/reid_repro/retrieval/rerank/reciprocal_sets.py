"""k-reciprocal sets and their encoding on the CPU, as compiled loops over ranked neighbour lists.

Zhong et al. 2017 (`k_reciprocal.py`): the reciprocal sets R(i, k) of Eq. 3, their expansion R* of
Eq. 5, and the weights of Eq. 7. Ranked lists are (n, k) int32, the node itself first; sparse rows
are those of `sparse.py`. A row is computed by one thread, in the same order in every run.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from reid_repro.retrieval.compiled import inner, kernel, thread_count
from reid_repro.retrieval.sorting import ascending

Ranked = npt.NDArray[np.int32]
Pointers = npt.NDArray[np.int64]
CHUNKS_PER_THREAD = 4  # pieces of the rows a thread: each has its own scratch of n entries


def row_chunks() -> int:
    """Pieces that kernels cut their rows into, for the threads that torch uses."""
    return CHUNKS_PER_THREAD * thread_count()


def expanded_sets(
    ranked: Ranked, wide: int, half: int, *, expand: bool, at_least: bool
) -> tuple[Pointers, Ranked]:
    """R*(i, k1) of every node: `indptr` (n + 1,) and ascending `indices`.

    Args:
        ranked: neighbours of n nodes, nearest first, (n, at least `wide`).
        wide: ranks of the set R itself; `half`, at most `wide`, those of a candidate's set.
        expand: False leaves R* = R.
        at_least: a candidate joins on "at least", not "more than", two thirds of its own set.
    """
    chunks = row_chunks()
    members, size = _reciprocal(ranked, wide)
    candidate, candidate_size = _reciprocal(ranked, half) if expand else (members, size * 0)
    indptr = np.zeros(len(ranked) + 1, dtype=np.int64)
    sets = (members, size, candidate, candidate_size)
    _count_expanded(*sets, at_least, chunks, indptr)
    np.cumsum(indptr, out=indptr)
    indices = np.empty(indptr[-1], dtype=np.int32)
    _fill_expanded(*sets, at_least, chunks, indptr, indices)
    return indptr, indices


def _reciprocal(ranked: Ranked, k: int) -> tuple[Ranked, Ranked]:
    """R(i, k) of Eq. 3: members in order of rank, (n, k) with the first `size[i]` valid."""
    members = np.empty((len(ranked), k), dtype=np.int32)
    size = np.empty(len(ranked), dtype=np.int32)
    _find_reciprocal(ranked, k, members, size)
    return members, size


@kernel(over="ranked")
def _find_reciprocal(
    begin: int, end: int, ranked: Ranked, k: int, members: Ranked, size: Ranked
) -> None:
    for node in range(begin, end):
        found = 0
        for rank in range(k):
            other = ranked[node, rank]
            for back in range(k):
                if ranked[other, back] == node:
                    members[node, found] = other
                    found += 1
                    break
        size[node] = found


@inner
def _expand(
    node: int,
    members: Ranked,
    size: Ranked,
    candidate: Ranked,
    candidate_size: Ranked,
    at_least: bool,
    mark: Ranked,
    out: Ranked,
) -> int:
    """Write R*(node) to `out` and return its size; `mark` is scratch that no two nodes share.

    An entry of `mark` is the node's stamp for the members of R, its negative for those that join.
    """
    stamp = node + 1
    total = int(size[node])
    for place in range(total):
        member = members[node, place]
        mark[member] = stamp
        out[place] = member
    for place in range(size[node]):
        other = members[node, place]
        shared = 0
        for rank in range(candidate_size[other]):
            shared += mark[candidate[other, rank]] == stamp
        least = 2 * candidate_size[other] + (0 if at_least else 1)
        if 3 * shared < least:
            continue
        for rank in range(candidate_size[other]):
            joining = candidate[other, rank]
            if abs(mark[joining]) != stamp:
                mark[joining] = -stamp
                out[total] = joining
                total += 1
    return total


@kernel(over="chunks")
def _count_expanded(
    begin: int,
    end: int,
    members: Ranked,
    size: Ranked,
    candidate: Ranked,
    candidate_size: Ranked,
    at_least: bool,
    chunks: int,
    indptr: Pointers,
) -> None:
    """Set indptr[i + 1] to the size of R*(i)."""
    n = len(members)
    limit = members.shape[1] * (1 + candidate.shape[1])
    for chunk in range(begin, end):
        mark = np.zeros(n, dtype=np.int32)
        out = np.empty(limit, dtype=np.int32)
        for node in range(chunk * n // chunks, (chunk + 1) * n // chunks):
            indptr[node + 1] = _expand(
                node, members, size, candidate, candidate_size, at_least, mark, out
            )


@kernel(over="chunks")
def _fill_expanded(
    begin: int,
    end: int,
    members: Ranked,
    size: Ranked,
    candidate: Ranked,
    candidate_size: Ranked,
    at_least: bool,
    chunks: int,
    indptr: Pointers,
    indices: Ranked,
) -> None:
    """Write R*(i) to its place in `indices`."""
    n = len(members)
    for chunk in range(begin, end):
        mark = np.zeros(n, dtype=np.int32)
        for node in range(chunk * n // chunks, (chunk + 1) * n // chunks):
            out = indices[indptr[node] : indptr[node + 1]]
            _expand(node, members, size, candidate, candidate_size, at_least, mark, out)
            ascending(out)


@kernel(over="ranked")
def known_distances(
    begin: int,
    end: int,
    indptr: Pointers,
    indices: Ranked,
    first: int,
    ranked: Ranked,
    distances: npt.NDArray[np.float32],
    squared: npt.NDArray[np.float64],
) -> None:
    """Squared distances of the entries of rows first, first + 1, ... that are ranked neighbours.

    Args:
        indptr, indices: all rows.
        ranked: neighbours of those rows, (m, k), at `distances` (m, k).
        squared: result, one row after another; NaN for the entries that are not among them.
    """
    origin = indptr[first]
    for row in range(begin, end):
        for entry in range(indptr[first + row], indptr[first + row + 1]):
            squared[entry - origin] = np.nan
            for rank in range(ranked.shape[1]):
                if ranked[row, rank] == indices[entry]:
                    squared[entry - origin] = np.float64(distances[row, rank]) ** 2
                    break


@kernel(over="scale")
def encode_rows(
    begin: int,
    end: int,
    squared: npt.NDArray[np.float64],
    indptr: Pointers,
    first: int,
    scale: npt.NDArray[np.float64],
    relative: bool,
    data: npt.NDArray[np.float32],
) -> None:
    """V of Eq. 7 for rows first, first + 1, ...: exp(-squared / scale), each row summing to 1.

    Args:
        squared: squared distances of the rows' entries, one row after another.
        indptr: pointers of all rows; `data` receives the rows' weights at their places.
        scale: divisor of each of the rows, (m,).
        relative: distances count from the row's least, which changes no weight and keeps exp from
            underflow where distances are not scaled.
    """
    origin = indptr[first]
    for row in range(begin, end):
        start, stop = indptr[first + row], indptr[first + row + 1]
        least = 0.0
        if relative:
            least = squared[start - origin]
            for entry in range(start, stop):
                least = min(least, squared[entry - origin])
        total = 0.0
        for entry in range(start - origin, stop - origin):
            squared[entry] = np.exp((least - squared[entry]) / scale[row])
            total += squared[entry]
        for entry in range(start, stop):
            data[entry] = squared[entry - origin] / total
