"""The tree of splits of two-fold divisive clustering: GLAD (Wei et al., 2017), Section 5.

Algorithm 1 splits every group whose dissimilarity (Eq. 6) exceeds the threshold, by its furthest
pair. Neither the pair nor the parts depend on the threshold, so one tree serves all thresholds: a
cut walks down from the root and stops at the first group that is not above it. A part may be less
uniform than the whole; so the number of groups follows from the `key` of a group, the least
dissimilarity on the way from the root to it: it is split if its key is above the threshold.

The tree grows on demand, as far as a threshold or a number of groups needs it. Memory is O(n d)
beside the products of one block (`groups_block.py`), whose size is the `memory` argument.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from reid_repro.retrieval.distances import LARGEST_NORM, Features, as_features
from reid_repro.retrieval.groups_block import GRAM_BYTES, Block, pairs_of
from reid_repro.retrieval.groups_kernels import furthest_pairs_directly, nearer_left
from reid_repro.retrieval.groups_rows import Integers, Reals, deviations
from reid_repro.retrieval.groups_stream import furthest_pair_streamed
from reid_repro.retrieval.products import Precision

MEMORY = 1 << 30  # default bytes for the products of a block: 23,170 members
DIRECT = 24  # members up to which pairs are computed without a product
BLURRED = 0.1  # a block's error, relative to a group's dissimilarity, above which to start afresh

Flags = npt.NDArray[np.bool_]
Wanted = Callable[[], Flags]


class SplitTree:
    """All splits of a gallery (n, d) that have been asked for so far.

    Distances are squared Euclidean, evaluated in float64 and rounded to float32. The furthest pair
    (l, r), l < r, is the first in gallery order among equals; members strictly nearer to l go left.
    Groups of exact copies are never split.

    Args:
        features: numpy or torch, any float type; held in float32 on the CPU.
        memory: bytes for the products of a block. Larger groups are split by recomputing them.
        precision: of the products that propose pairs; the tree does not depend on it.

    Raises:
        ValueError: bad features, or so large that squared distances overflow.

    Attributes:
        order: gallery rows (n,) such that every node is the range start:stop of it; the members of
            nodes that are not split are in gallery order.
        start, stop, first, parent, dissimilarity, key: one value a node; node 0 is the root and
            children come after their parent, left before right. `first` is the first member.
        expanded: whether a node has been split.
    """

    def __init__(
        self, features: Features, *, memory: int = MEMORY, precision: Precision = "auto"
    ) -> None:
        self.features = np.asarray(as_features(features, "features", "cpu").numpy())
        largest = float(np.abs(self.features).max()) * self.features.shape[1] ** 0.5
        if not largest < LARGEST_NORM:
            raise ValueError(f"features have norms up to {largest:.3g}: scale them down")
        self._capacity = int((max(memory, 0) // GRAM_BYTES) ** 0.5)
        self._precision: Precision = precision
        n = len(self.features)
        self.order: Integers = np.arange(n)
        self.start, self.stop = np.array([0]), np.array([n])
        self.first, self.parent = np.array([0]), np.array([-1])
        self.dissimilarity = _dissimilarity(self.features, self.order, self.start, self.stop)
        self.key = self.dissimilarity.copy()
        self.expanded = np.array([False])

    @property
    def n(self) -> int:
        """Number of gallery images."""
        return len(self.order)

    def labels(self, threshold: float) -> Integers:
        """Group of each image at a threshold, (n,) int64, numbered by first member."""
        self.grow(threshold)
        above = self.key > threshold
        # The key falls along every path: a group stands below a split node, and is none itself.
        top = ~above & np.where(self.parent >= 0, above[self.parent], True)
        start, stop = self.start[top], self.stop[top]
        rank = np.empty(len(start), dtype=np.int64)
        rank[np.argsort(self.first[top])] = np.arange(len(start))
        place = np.argsort(start)
        labels = np.empty(self.n, dtype=np.int64)
        labels[self.order] = np.repeat(rank[place], (stop - start)[place])
        return labels

    def n_groups(self, threshold: float) -> int:
        """Number of groups at a threshold."""
        self.grow(threshold)
        return 1 + int(np.count_nonzero(self.key > threshold))

    def threshold_for(self, groups: int) -> float:
        """The threshold whose number of groups is nearest to `groups`, the fewer among equals.

        Numbers in between may not be attainable: parts less uniform than the whole come with it.

        Raises:
            ValueError: `groups` is not from 1 to n.
        """
        if not 1 <= groups <= self.n:
            raise ValueError(f"groups is {groups}: use 1 to {self.n}, the number of images")
        self._grow(lambda: self.key >= self._kth_key(groups))
        level = self._kth_key(groups)
        fewer = 1 + np.count_nonzero(self.key > level)
        if level == 0 or fewer == groups:
            return level
        more = 1 + np.count_nonzero(self.key >= level)
        below = float(self.key[self.key < level].max(initial=0.0))
        return below if more - groups < groups - fewer else level

    def grow(self, threshold: float) -> None:
        """Split every group above the threshold.

        Raises:
            ValueError: the threshold is negative or not a number.
        """
        if not threshold >= 0:
            raise ValueError(f"threshold is {threshold!r}: use a squared distance of at least 0")
        self._grow(lambda: self.key > threshold)

    def _kth_key(self, groups: int) -> float:
        """The key that is `groups`-th from above, 0 where there are not so many."""
        if groups > len(self.key):
            return 0.0
        return float(np.partition(self.key, len(self.key) - groups)[len(self.key) - groups])

    def _pending(self, wanted: Wanted) -> Flags:
        """Nodes that are wanted split, can be, and are not."""
        pending: Flags = wanted() & (self.key > 0) & ~self.expanded
        return pending

    def _grow(self, wanted: Wanted) -> None:
        """Split nodes until none is wanted: below one block at a time, the largest first."""
        while len(nodes := np.flatnonzero(self._pending(wanted))):
            size = (self.stop - self.start)[nodes]
            largest = int(nodes[size.argmax()])
            if size.max() <= DIRECT:
                self._descend(nodes, None, wanted)
            elif size.max() > self._capacity:
                self._split_streamed(largest)
            else:
                members = self.order[self.start[largest] : self.stop[largest]].copy()
                block = Block(self.features, members, self._precision)
                block.multiply_all()
                self._descend(np.array([largest]), block, wanted)

    def _descend(self, nodes: Integers, block: Block | None, wanted: Wanted) -> None:
        """Split nodes and what comes of them, all of one depth at a time."""
        first = self.start[nodes[0]] if block is not None else 0
        root = nodes[0] if block is not None else -1
        rows = np.arange(len(block.members)) if block is not None else self.order
        while len(nodes):
            starts, stops = self.start[nodes] - first, self.stop[nodes] - first
            if block is None:
                left, right, far = pairs_of(len(nodes))
                ranges = rows, starts, stops
                furthest_pairs_directly(self.features, *ranges, left, right, far)
            else:
                left, right, far = block.furthest(rows, starts, stops)
            nodes, starts, stops, left, right = self._splittable(
                far, nodes, starts, stops, left, right
            )
            goes_left = self._assign(block, rows, starts, stops, left, right)
            middles = _partition(rows, starts, stops, goes_left)
            if block is not None:
                self.order[first : first + len(rows)] = block.members[rows]
            known = len(self.key)
            self._add(nodes, first + middles)
            fresh = known + np.flatnonzero(self._pending(wanted)[known:])
            if block is not None:
                fresh = fresh[~self._is_blurred(fresh, block, root)]
            nodes = fresh

    def _is_blurred(self, nodes: Integers, block: Block, root: int) -> Flags:
        """Whether a block of their own serves nodes better: the bounds of this one are too wide."""
        size = self.stop[nodes] - self.start[nodes]
        spread = self.dissimilarity[nodes] < 0.25 * self.dissimilarity[root]
        wide = block.error > BLURRED * self.dissimilarity[nodes]
        blurred: Flags = spread & wide & (size > DIRECT)
        return blurred

    def _assign(
        self,
        block: Block | None,
        rows: Integers,
        starts: Integers,
        stops: Integers,
        left: Integers,
        right: Integers,
    ) -> Flags:
        """Whether each member of the groups, one group after another, goes left."""
        size = stops - starts
        places = np.arange(size.sum()) + np.repeat(starts - np.cumsum(size) + size, size)
        one, other = np.repeat(left, size), np.repeat(right, size)
        if block is None:
            return self._nearer_left(rows, places, one, other)
        decided = block.likely_left(rows, places, one, other)
        doubtful = np.flatnonzero(decided < 0)
        decided[doubtful] = self._nearer_left(
            block.members[rows], places[doubtful], one[doubtful], other[doubtful]
        )
        return np.equal(decided, 1)

    def _nearer_left(
        self, rows: Integers, places: Integers, left: Integers, right: Integers
    ) -> Flags:
        nearer = np.empty(len(places), dtype=np.bool_)
        nearer_left(self.features, rows, places, left, right, nearer)
        return nearer

    def _split_streamed(self, node: int) -> None:
        """Split one node that is too large for the memory of a block."""
        start, stop = self.start[node], self.stop[node]
        members = self.order[start:stop].copy()
        block = Block(self.features, members, self._precision)
        left, right, far = furthest_pair_streamed(block)
        if not far > 0:
            self._close(np.array([node]))
            return
        ends = np.array([start]), np.array([stop])
        pair = np.array([start + left]), np.array([start + right])
        goes_left = self._assign(None, self.order, *ends, *pair)
        middles = _partition(self.order, *ends, goes_left)
        self._add(np.array([node]), middles)

    def _splittable(self, far: npt.NDArray[np.float32], *columns: Integers) -> list[Integers]:
        """Drop the groups whose furthest distance is zero, after noting that they are whole."""
        splits = far > 0
        if not splits.all():
            self._close(columns[0][~splits])
        return [column[splits] for column in columns]

    def _close(self, nodes: Integers) -> None:
        """Nodes whose members do not differ in float32 squared distance: equal to copies."""
        self.dissimilarity[nodes] = self.key[nodes] = 0

    def _add(self, nodes: Integers, middles: Integers) -> None:
        """Append the children of nodes that were parted at `middles`."""
        start = np.stack([self.start[nodes], middles], 1).reshape(-1)
        stop = np.stack([middles, self.stop[nodes]], 1).reshape(-1)
        parent = np.repeat(nodes, 2)
        value = _dissimilarity(self.features, self.order, start, stop)
        self.expanded[nodes] = True
        self.start, self.stop = _joined(self.start, start), _joined(self.stop, stop)
        self.first = _joined(self.first, self.order[start])
        self.parent = _joined(self.parent, parent)
        self.dissimilarity = _joined(self.dissimilarity, value)
        self.key = _joined(self.key, np.minimum(self.key[parent], value))
        self.expanded = _joined(self.expanded, np.zeros(len(parent), dtype=bool))


def _joined(old: npt.NDArray[Any], new: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.concatenate([old, new])


def _dissimilarity(
    features: npt.NDArray[np.float32], order: Integers, start: Integers, stop: Integers
) -> Reals:
    """D_dis of groups (Eq. 6), 0 for one image: 2 / (N - 1) times the squared deviations."""
    total = deviations(features, order, start, stop).sum(axis=1)
    value: Reals = 2 * np.maximum(total, 0) / np.maximum(stop - start - 1, 1)
    return value


def _partition(order: Integers, starts: Integers, stops: Integers, goes_left: Flags) -> Integers:
    """Part each range of `order` in place, both sides in their old order; where the right begins.

    `goes_left` holds the members of the ranges, one range after another.
    """
    size = stops - starts
    group = np.repeat(np.arange(len(starts)), size)
    places = np.arange(size.sum()) + np.repeat(starts - np.cumsum(size) + size, size)
    order[places] = order[places][np.lexsort((~goes_left, group))]
    middles: Integers = starts + np.bincount(group[goes_left], minlength=len(starts))
    return middles
