"""A block of the gallery with the approximate inner products of all its pairs.

Splitting a group takes its furthest pair, and the pairs of a part are pairs of the whole: so one
product, kept in bfloat16 (2 bytes a pair), serves all splits below it. Rows are shifted to the
block's mean, which moves no distance but makes the products small where the block is small, and
scaled by a power of two, so that no feature is too small or too large for the product.

For the true row x (float64, shifted and scaled) and its rounding x' that enters the product, the
product p of a pair obeys

    |p - <x, y>| <= |x - x'||y| + |x'||y - y'| + c |x'||y'| + 2^-8 |p|,

c covering the accumulation in float32 in any order. `groups_kernels` turns it into bounds of
distances; `residue` is |x - x'| and `norm` is |x|.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from math import frexp

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from reid_repro.retrieval.distances import UNIT_ROUNDOFF
from reid_repro.retrieval.groups_kernels import (
    best_in_rows,
    furthest_pairs,
    likely_left,
    row_bounds,
)
from reid_repro.retrieval.groups_rows import (
    Bits,
    Integers,
    Reals,
    Singles,
    round_rows,
    scale_rows,
)
from reid_repro.retrieval.products import (
    Precision,
    Product,
    as_many_threads,
    multiply,
    product_for,
)

TILE = 2048  # rows and columns of a product: 8 MiB in bfloat16, within reach of the caches
SMALLEST_BFLOAT = 256  # rows; torch hands smaller bfloat16 products to loops of lower precision
WIDE = 1024  # members from which a single group is worth all threads
FIRST_ROWS = 64  # of a wide group: rows whose furthest pair is looked for first
ROW_ELEMENTS = 1 << 20  # elements of a chunk of rows taken to float64
GRAM_BYTES = 2  # a pair


class Block:
    """Rows `members` (ascending) of the features (n, d), their products, and bounds for pairs.

    Attributes:
        members: gallery rows of the block, (m,) int64.
        scale: factor from squared distances of the features to those of the product's rows.
        error: bound on the error of the squared distance of any two rows, in the features' scale.
    """

    def __init__(self, features: Singles, members: Integers, precision: Precision) -> None:
        self.features, self.members = features, members
        exponent, centre = placement(features, members)
        self.scale = 2.0 ** (2 * exponent)
        m, dim = len(members), features.shape[1]
        product = product_for(precision, torch.device("cpu"), m * m * dim // 2)
        if m < SMALLEST_BFLOAT and product == "bfloat16":
            product = "float32-torch"
        self._product: Product = product
        if product == "bfloat16":
            self._operand = torch.empty((m, dim), dtype=torch.bfloat16)
            bits = self._operand.view(torch.uint16).numpy()
            self.norm, self.residue = round_rows(features, members, centre, 2.0**exponent, bits)
        else:
            self._operand = torch.empty((m, dim), dtype=torch.float32)
            rows = self._operand.numpy()
            self.norm, self.residue = scale_rows(features, members, centre, 2.0**exponent, rows)
        self.squared: Singles = np.square(self.norm).astype(np.float32)
        self.accumulation = 4 * dim * UNIT_ROUNDOFF
        norm, residue = float(self.norm.max()), float(self.residue.max())
        self.error = 2 * norm * (2 * residue + (self.accumulation + 2.0**-8) * norm) / self.scale

    def multiply_all(self) -> None:
        """Compute the products of all pairs i < j: 2 m^2 bytes, of which half stay untouched."""
        m = len(self.members)
        gram = torch.empty((m, m), dtype=torch.bfloat16)
        for i, j, tile in self.tiles():
            gram[i : i + len(tile), j : j + len(tile)] = tile
        self.gram: Bits = gram.view(torch.uint16).numpy()
        self._operand = torch.empty(0)

    def tiles(self) -> Iterator[tuple[int, int, Tensor]]:
        """Products of the rows from i with the rows from j, i <= j, in square tiles.

        The tiles cover all pairs i < j and share one buffer: use each before asking for the next.
        """
        m = len(self.members)
        side = min(TILE, m)
        # Tiles of one size, the last ones overlapping: thin products are slow and less precise.
        firsts = [*range(0, m - side, side), m - side]
        tile = torch.empty((side, side), dtype=self._operand.dtype)
        with as_many_threads():
            for i, j in itertools.combinations_with_replacement(firsts, 2):
                left, right = self._operand[i : i + side], self._operand[j : j + side]
                multiply(left, right, tile, self._product)
                yield i, j, tile

    def furthest(
        self, order: Integers, starts: Integers, stops: Integers
    ) -> tuple[Integers, Integers, Singles]:
        """Furthest pair of each group as places in `order` (rows of the block), and how far."""
        left, right = np.empty_like(starts), np.empty_like(starts)
        far = np.empty(len(starts), dtype=np.float32)
        wide = stops - starts >= WIDE
        for g in np.flatnonzero(wide):
            left[g], right[g], far[g] = self._furthest_of_wide(order, starts[g], stops[g])
        rest = np.flatnonzero(~wide)
        pairs = pairs_of(len(rest))
        furthest_pairs(
            self.features,
            self.members,
            self.gram,
            self.squared,
            self.norm,
            self.residue,
            self.accumulation,
            self.scale,
            order,
            starts[rest],
            stops[rest],
            *pairs,
        )
        left[rest], right[rest], far[rest] = pairs
        return left, right, far

    def _furthest_of_wide(
        self, order: Integers, start: int, stop: int
    ) -> tuple[int, int, np.float32]:
        """One group on all threads: rows in order of their bounds, the likeliest first."""
        own, bound = np.empty((2, stop - start), dtype=np.float32)
        row_bounds(
            self.gram,
            self.squared,
            self.norm,
            self.residue,
            self.accumulation,
            order,
            start,
            stop,
            own,
            bound,
        )
        ranked = np.argsort(-bound, kind="stable")
        far, pair = np.float32(-1), (start, start)
        for rows in (ranked[:FIRST_ROWS], ranked[FIRST_ROWS:]):
            open_rows = rows[bound[rows].astype(np.float64) >= float(far) * self.scale]
            best = np.empty(len(open_rows), dtype=np.float32)
            partner = np.empty(len(open_rows), dtype=np.int64)
            best_in_rows(
                self.features,
                self.members,
                self.gram,
                self.squared,
                order,
                start + open_rows,
                stop,
                own[open_rows],
                self.scale,
                far,
                best,
                partner,
            )
            if len(best) and best.max() >= far:
                ties = np.flatnonzero(best == best.max())
                found = min((int(start + open_rows[t]), int(partner[t])) for t in ties)
                pair = found if best.max() > far else min(pair, found)
                far = best.max()
        return *pair, far

    def likely_left(
        self, order: Integers, places: Integers, left: Integers, right: Integers
    ) -> npt.NDArray[np.int8]:
        """Whether order[places] is nearer to order[left]: 1, 0, or -1 where the bounds leave it."""
        decided = np.empty(len(places), dtype=np.int8)
        likely_left(
            self.gram,
            self.squared,
            self.norm,
            self.residue,
            self.accumulation,
            order,
            places,
            left,
            right,
            decided,
        )
        return decided


def pairs_of(groups: int) -> tuple[Integers, Integers, Singles]:
    """Room for the furthest pair of each group (two places), and how far it is."""
    left, right = np.empty((2, groups), dtype=np.int64)
    return left, right, np.empty(groups, dtype=np.float32)


def placement(features: Singles, members: Integers) -> tuple[int, Reals]:
    """The exponent of two that takes the rows' norms below one, and the mean of the rows."""
    total, largest = np.zeros(features.shape[1]), 0.0
    step = max(1, ROW_ELEMENTS // features.shape[1])
    for first in range(0, len(members), step):
        rows = features[members[first : first + step]].astype(np.float64)
        total += rows.sum(axis=0)
        largest = max(largest, float(np.einsum("nd,nd->n", rows, rows).max()))
    # Shifted rows are at most twice as long.
    return -(frexp(largest**0.5)[1] + 1), total / len(members)
