"""The furthest pair of a group that is too large for its products to be kept.

A few sweeps over the group find a pair that is nearly the furthest. Then the products are computed
one tile at a time, and only the pairs that the bounds of `groups_block.py` allow to be at least as
far are computed from the features.
"""

from __future__ import annotations

import numpy as np
import torch

from reid_repro.retrieval.compiled import kernel
from reid_repro.retrieval.groups_block import Block, pairs_of
from reid_repro.retrieval.groups_kernels import OUTPUT, distance, row_error
from reid_repro.retrieval.groups_rows import Bits, Integers, Singles, widened

SWEEPS = 3


def furthest_pair_streamed(block: Block) -> tuple[int, int, np.float32]:
    """Furthest two rows of a block, the first in order among equals, and their distance."""
    own = _own_terms(block)
    pair, far = _distant_pair(block)
    for i, j, tile in block.tiles():
        bits = tile.bfloat16().view(torch.uint16).numpy()
        rows = block.features, block.members, bits, block.squared, own
        left, right, best = pairs_of(len(bits))
        _furthest_in_rows(*rows, i, j, block.scale, far, best, left, right)
        if best.max() >= far:
            row = int(best.argmax())  # rows in order: the first of the furthest
            found = int(left[row]), int(right[row])
            pair = found if best[row] > far else min(pair, found)
            far = best[row]
    return *pair, far


def _distant_pair(block: Block) -> tuple[tuple[int, int], np.float32]:
    """A pair to start from: a few times the furthest row from the last one."""
    pair, far, row = (0, 0), np.float32(-1), 0
    for _ in range(SWEEPS):
        distances = np.empty(len(block.members), dtype=np.float32)
        _distances_from(block.features, block.members, row, distances)
        other = int(distances.argmax())
        if distances[other] > far:
            pair, far = (min(row, other), max(row, other)), distances[other]
        row = other
    return pair, far


@kernel(over="members")
def _distances_from(
    begin: int, end: int, features: Singles, members: Integers, row: int, out: Singles
) -> None:
    for i in range(begin, end):
        out[i] = distance(features, members[row], members[i])


def _own_terms(block: Block) -> Singles:
    """A row's own part of the bound of its distances: its squared norm and error."""
    most_norm, most_residue = float(block.norm.max()), float(block.residue.max())
    own = [
        row_error(norm, residue, most_norm, most_residue, block.accumulation)
        for norm, residue in zip(block.norm, block.residue, strict=True)
    ]
    terms: Singles = (block.squared + np.array(own)).astype(np.float32)
    return terms


@kernel(over="tile")
def _furthest_in_rows(
    begin: int,
    end: int,
    features: Singles,
    members: Integers,
    tile: Bits,
    squared: Singles,
    own: Singles,
    first: int,
    second: int,
    scale: float,
    least: np.float32,
    best: Singles,
    left: Integers,
    right: Integers,
) -> None:
    """Per row of a tile, its furthest pair among those that may be as far as `least`, or -1."""
    n = len(tile)
    for a in range(begin, end):
        i = first + a
        best[a], left[a], right[a] = -1, i, i
        for c in range(n):
            j = second + c
            if j <= i:
                continue
            value = widened(tile[a, c])
            bound = squared[j] - np.float32(2) * value + OUTPUT * abs(value)
            if np.float64(bound + own[i]) >= np.float64(max(least, best[a])) * scale:
                gap = distance(features, members[i], members[j])
                if gap > best[a]:
                    best[a], right[a] = gap, j
