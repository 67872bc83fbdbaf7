"""Compiled loops of the clustering: furthest pairs, and assignment to them.

Every function works on `order`, rows of one block of the gallery, in which each group is the range
`start[g]:stop[g]` in gallery order; `members[row]` is the gallery row. `gram[i, j]`, i < j, holds
the bits of bfloat16 inner products of the block's scaled and shifted rows. With the vectors of
`groups_block.Block` it bounds the squared distance of a pair from both sides; only what the
bounds leave undecided is computed from the features, in float64, and rounded to float32. So the
results are those of exact distances, on any number of threads.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from reid_repro.retrieval.compiled import alone, inner, kernel
from reid_repro.retrieval.exact import squared_gap
from reid_repro.retrieval.groups_rows import Bits, Integers, Reals, Singles, widened

# Products are doubled in a squared distance, and each is rounded to nearest: with the 8 significant
# bits of bfloat16 by at most 2^-8 of itself, which leaves nothing to spare here.
OUTPUT = np.float32(2.0**-7)


@inner
def distance(features: Singles, i: int, j: int) -> np.float32:
    """Squared Euclidean distance of two rows, summed in float64, rounded to float32."""
    return np.float32(squared_gap(features[i], features[j]))


@inner
def _inner_product(gram: Bits, i: int, j: int) -> np.float32:
    return widened(gram[i, j] if i < j else gram[j, i])


@inner
def _row_bound(
    gram: Bits, squared: Singles, order: Integers, a: int, stop: int
) -> tuple[np.float32, int]:
    """Greatest bound of row a with the later members, without the row's own terms."""
    best, partner = np.float32(-np.inf), a + 1
    row = gram[order[a]]
    for c in range(a + 1, stop):
        value = widened(row[order[c]])
        bound = squared[order[c]] - np.float32(2) * value + OUTPUT * abs(value)
        if bound > best:
            best, partner = bound, c
    return best, partner


@inner
def _best_in_row(
    features: Singles,
    members: Integers,
    gram: Bits,
    squared: Singles,
    order: Integers,
    a: int,
    stop: int,
    own: np.float32,
    scale: float,
    least: np.float32,
) -> tuple[np.float32, int]:
    """Furthest later member of row a among those that may be as far as `least`, (-1, a) if none.

    The first of several at the same distance, which is the smallest in gallery order.
    """
    best, partner = np.float32(-1), a
    floor = max(np.float64(least), 0.0) * scale - np.float64(own)
    row = gram[order[a]]
    for c in range(a + 1, stop):
        value = widened(row[order[c]])
        bound = squared[order[c]] - np.float32(2) * value + OUTPUT * abs(value)
        if np.float64(bound) >= floor:
            gap = distance(features, members[order[a]], members[order[c]])
            if gap > best:
                best, partner = gap, c
                floor = max(floor, np.float64(best) * scale - np.float64(own))
    return best, partner


@inner
def greatest(values: Reals, order: Integers, start: int, stop: int) -> float:
    """The greatest value of the rows order[start:stop]."""
    most = 0.0
    for a in range(start, stop):
        most = max(most, values[order[a]])
    return most


@alone
def row_error(
    norm: float, residue: float, other_norm: float, other_residue: float, accumulation: float
) -> float:
    """Bound on the error of the squared distances of one row to others with these maxima.

    |<x, y> - <x', y'>| <= |x - x'||y| + |x'||y - y'|, the accumulation relative to |x'||y'|, and
    32 u (|x| + |y|)^2 for the squared norms, the float32 sums here and the rounding of results.
    What the rounding of the output adds (`OUTPUT`) is not in it.
    """
    rounded, other_rounded = norm + residue, other_norm + other_residue
    products = residue * other_norm + rounded * other_residue
    products += accumulation * rounded * other_rounded
    return 2 * products + 2.0**-19 * (norm + other_norm) ** 2 + 2.0**-100


@kernel(over="own")
def row_bounds(
    begin: int,
    end: int,
    gram: Bits,
    squared: Singles,
    norm: Reals,
    residue: Reals,
    accumulation: float,
    order: Integers,
    start: int,
    stop: int,
    own: Singles,
    bound: Singles,
) -> None:
    """Of each row of one group: its own terms, and the bound of its furthest later member.

    Bounds are of scaled squared distances; the last row has no later member and bound -infinity.
    """
    n = stop - start
    most_norm = greatest(norm, order, start, stop)
    most_residue = greatest(residue, order, start, stop)
    for place in range(begin, end):
        # Late rows are short: pair them with early ones, so that threads have equal work.
        a = start + (place // 2 if place % 2 == 0 else n - 1 - place // 2)
        row = order[a]
        error = row_error(norm[row], residue[row], most_norm, most_residue, accumulation)
        own[a - start] = np.float32(np.float64(squared[row]) + error)
        best, _ = _row_bound(gram, squared, order, a, stop)
        bound[a - start] = best + own[a - start]


@kernel(over="rows")
def best_in_rows(
    begin: int,
    end: int,
    features: Singles,
    members: Integers,
    gram: Bits,
    squared: Singles,
    order: Integers,
    rows: Integers,
    stop: int,
    own: Singles,
    scale: float,
    least: np.float32,
    best: Singles,
    partner: Integers,
) -> None:
    """`_best_in_row` of several rows (places in `order`) of one group."""
    for r in range(begin, end):
        best[r], partner[r] = _best_in_row(
            features, members, gram, squared, order, rows[r], stop, own[r], scale, least
        )


@inner
def _furthest(
    features: Singles,
    members: Integers,
    gram: Bits,
    squared: Singles,
    norm: Reals,
    residue: Reals,
    accumulation: float,
    scale: float,
    order: Integers,
    start: int,
    stop: int,
) -> tuple[int, int, np.float32]:
    n = stop - start
    most_norm = greatest(norm, order, start, stop)
    most_residue = greatest(residue, order, start, stop)
    own, bound = np.empty(n, dtype=np.float32), np.empty(n, dtype=np.float32)
    best, left, right = np.float32(-1), start, start
    top = np.float32(-np.inf)
    for a in range(start, stop - 1):
        row = order[a]
        error = row_error(norm[row], residue[row], most_norm, most_residue, accumulation)
        own[a - start] = np.float32(np.float64(squared[row]) + error)
        value, partner = _row_bound(gram, squared, order, a, stop)
        bound[a - start] = value + own[a - start]
        if bound[a - start] > top:
            top, left, right = bound[a - start], a, partner
    best = distance(features, members[order[left]], members[order[right]])
    for a in range(start, stop - 1):
        if np.float64(bound[a - start]) >= np.float64(best) * scale:
            far, partner = _best_in_row(
                features, members, gram, squared, order, a, stop, own[a - start], scale, best
            )
            if far > best or (far == best and (a < left or (a == left and partner < right))):
                best, left, right = far, a, partner
    return left, right, best


@kernel(over="starts")
def furthest_pairs(
    begin: int,
    end: int,
    features: Singles,
    members: Integers,
    gram: Bits,
    squared: Singles,
    norm: Reals,
    residue: Reals,
    accumulation: float,
    scale: float,
    order: Integers,
    starts: Integers,
    stops: Integers,
    left: Integers,
    right: Integers,
    far: Singles,
) -> None:
    """Furthest pair (places in `order`, the smallest among equals) of many groups, and how far."""
    for g in range(begin, end):
        left[g], right[g], far[g] = _furthest(
            features,
            members,
            gram,
            squared,
            norm,
            residue,
            accumulation,
            scale,
            order,
            starts[g],
            stops[g],
        )


@kernel(over="starts")
def furthest_pairs_directly(
    begin: int,
    end: int,
    features: Singles,
    order: Integers,
    starts: Integers,
    stops: Integers,
    left: Integers,
    right: Integers,
    far: Singles,
) -> None:
    """`furthest_pairs` from the features alone: for groups too small to be worth a product."""
    for g in range(begin, end):
        far[g] = -1
        for a in range(starts[g], stops[g]):
            for c in range(a + 1, stops[g]):
                gap = distance(features, order[a], order[c])
                if gap > far[g]:
                    left[g], right[g], far[g] = a, c, gap


@kernel(over="places")
def nearer_left(
    begin: int,
    end: int,
    features: Singles,
    order: Integers,
    places: Integers,
    left: Integers,
    right: Integers,
    out: npt.NDArray[np.bool_],
) -> None:
    """Whether members order[places] are strictly nearer to order[left] than to order[right]."""
    for p in range(begin, end):
        row = order[places[p]]
        to_left = distance(features, row, order[left[p]])
        out[p] = to_left < distance(features, row, order[right[p]])


@kernel(over="places")
def likely_left(
    begin: int,
    end: int,
    gram: Bits,
    squared: Singles,
    norm: Reals,
    residue: Reals,
    accumulation: float,
    order: Integers,
    places: Integers,
    left: Integers,
    right: Integers,
    out: npt.NDArray[np.int8],
) -> None:
    """`nearer_left` as far as the bounds decide it: 1 left, 0 right, -1 not decided."""
    for p in range(begin, end):
        row, one, other = order[places[p]], order[left[p]], order[right[p]]
        if row in (one, other):
            out[p] = row == one
            continue
        margin = row_error(norm[one], residue[one], norm[row], residue[row], accumulation)
        margin += row_error(norm[other], residue[other], norm[row], residue[row], accumulation)
        to_one, to_other = _inner_product(gram, row, one), _inner_product(gram, row, other)
        margin += np.float64(OUTPUT) * (abs(to_one) + abs(to_other))
        gap = np.float64(squared[one]) - np.float64(squared[other])
        gap -= 2 * (np.float64(to_one) - np.float64(to_other))
        out[p] = -1 if abs(gap) <= margin else gap < 0
