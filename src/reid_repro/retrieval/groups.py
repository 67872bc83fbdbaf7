"""Groups of a gallery and coarse-to-fine retrieval: GLAD (Wei et al., 2017), Section 5.

`TwoFoldDivisiveClustering` is Algorithm 1, on a tree of splits that serves every threshold
(`groups_tree.py`); `calibrate` finds the threshold for a number of groups, as the printed
thresholds depend on the scale of the features. `CoarseToFineIndex` searches by group, then by
image (`groups_index.py`), and `CoarseToFine` is the same as a re-ranker, so that it can be
evaluated like any other.
"""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt

from reid_repro.retrieval.distances import Features, as_features
from reid_repro.retrieval.groups_index import CoarseToFineIndex, FittedOn, Found
from reid_repro.retrieval.groups_pca import PCA
from reid_repro.retrieval.groups_tree import MEMORY, SplitTree
from reid_repro.retrieval.matches import Labels
from reid_repro.retrieval.products import Precision
from reid_repro.retrieval.rerank.base import check_rows, timed

__all__ = [
    "PCA",
    "CoarseToFine",
    "CoarseToFineIndex",
    "Found",
    "SplitTree",
    "TwoFoldDivisiveClustering",
    "calibrate",
]

IntArray = npt.NDArray[np.int64]


class TwoFoldDivisiveClustering:
    """Two-fold divisive clustering (TDC), Algorithm 1.

    A group whose dissimilarity D_dis (Eq. 6: mean squared distance of its pairs, 0 for one image)
    is above the threshold is split by its furthest pair; see `SplitTree` for precision and ties.
    At threshold 0 every image is a group of its own, with its exact copies.

    Args:
        threshold: theta, in squared distances of the features; at least 0. See `calibrate`.
        memory: bytes for approximate inner products of pairs; the groups do not depend on it.
        precision: of these products: "auto" takes bfloat16 where it is fast; nor on this.
    """

    def __init__(
        self, threshold: float, *, memory: int = MEMORY, precision: Precision = "auto"
    ) -> None:
        if not threshold >= 0:
            raise ValueError(f"threshold is {threshold!r}: use a squared distance of at least 0")
        self.threshold, self.memory, self.precision = threshold, memory, precision

    def fit(self, features: Features | SplitTree) -> IntArray:
        """Group numbers of the images, (n,) int64, in the order of the groups' first members.

        Args:
            features: gallery (n, d), or its tree, which several thresholds can share.
        """
        return _tree(features, self.memory, self.precision).labels(self.threshold)


def calibrate(
    features: Features | SplitTree,
    groups: int = 8509,
    *,
    memory: int = MEMORY,
    precision: Precision = "auto",
) -> float:
    """The threshold that gives the number of groups nearest to `groups` (the fewer among equals).

    Args:
        features: gallery (n, d), or its tree: what is split here need not be split again.
        groups: 1 to n; by default the number printed for theta = 0.0015 (Table 7).
        memory, precision: as in `TwoFoldDivisiveClustering`, where features are given.
    """
    return _tree(features, memory, precision).threshold_for(groups)


class CoarseToFine:
    """Coarse-to-fine retrieval as a re-ranker (`rerank.base.Reranker`).

    Distances are Euclidean to the images that a query reached. The others are at +infinity, which
    ranks them last in gallery order; with `append_rest` they get increasing values beyond the
    furthest image reached, group by group in coarse order.

    Args:
        threshold: cluster the gallery with this threshold, or
        n_groups: with the threshold calibrated to so many groups, or
        labels: take these groups, (g,) integers. Give one of the three.
        dim, groups, append_rest, pca, fitted_on: as in `CoarseToFineIndex`.

    Attributes:
        reached: gallery images that each query reached, (n,) int64; -1 until it was asked for.
        index: the index of the last gallery.
        timings: seconds of "clustering", "index" and "distances".
    """

    def __init__(
        self,
        *,
        threshold: float | None = None,
        n_groups: int | None = None,
        labels: Labels | None = None,
        dim: int | None = 128,
        groups: int = 100,
        append_rest: bool = False,
        pca: PCA | None = None,
        fitted_on: FittedOn = "gallery",
    ) -> None:
        if sum(given is not None for given in (threshold, n_groups, labels)) != 1:
            raise ValueError("give one of threshold, n_groups and labels: how to group the gallery")
        self.threshold, self.n_groups, self.labels = threshold, n_groups, labels
        self.dim, self.groups, self.append_rest = dim, groups, append_rest
        self.pca, self.fitted_on = pca, fitted_on
        self.timings: dict[str, float] = {}
        self.index: CoarseToFineIndex | None = None

    def fit(self, query: Features, gallery: Features) -> Self:
        """Group and index the gallery (g, d) for queries (n, d)."""
        self.timings, self.index = {}, None
        queries = as_features(query, "query", "cpu")
        entries = as_features(gallery, "gallery", "cpu")
        if queries.shape[1] != entries.shape[1]:
            raise ValueError(
                f"query has {queries.shape[1]} dimensions, gallery has {entries.shape[1]}"
            )
        with timed(self.timings, "clustering"):
            labels = self.labels
            if labels is None:
                tree = SplitTree(entries)
                threshold = self.threshold
                if threshold is None:
                    assert self.n_groups is not None
                    threshold = tree.threshold_for(self.n_groups)
                labels = tree.labels(threshold)
        with timed(self.timings, "index"):
            self.index = CoarseToFineIndex(
                entries,
                labels,
                dim=self.dim,
                groups=self.groups,
                append_rest=self.append_rest,
                pca=self.pca,
                fitted_on=self.fitted_on,
            )
        self._queries = queries
        self.reached: IntArray = np.full(len(queries), -1, dtype=np.int64)
        return self

    def distances(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Distances of queries start:stop to the gallery, (stop - start, g) float32."""
        if self.index is None:
            raise ValueError("CoarseToFine: call fit before distances")
        check_rows(start, stop, len(self._queries))
        with timed(self.timings, "distances"):
            rows = np.full((stop - start, self.index.n), np.inf, dtype=np.float32)
            if stop > start:
                found = self.index.search(self._queries[start:stop])
                self.reached[start:stop] = found.reached
                for row, indices, values, reached in zip(
                    rows, found.indices, found.distances, self.reached[start:stop], strict=True
                ):
                    row[indices[:reached]] = values[:reached]
                    if self.append_rest:
                        row[indices[reached:]] = _beyond(values[reached - 1], len(row) - reached)
            return rows


def _beyond(furthest: float, count: int) -> npt.NDArray[np.float32]:
    """The next `count` float32 numbers above the furthest distance: all distinct, up to 5e8."""
    # Positive floats are ordered like their bits; above zero the smallest normal one is the first.
    first = np.float32(max(furthest, float(np.finfo(np.float32).tiny))).view(np.int32)
    bits = first + np.arange(1, count + 1, dtype=np.int32)
    values: npt.NDArray[np.float32] = bits.view(np.float32)
    return values


def _tree(features: Features | SplitTree, memory: int, precision: Precision) -> SplitTree:
    if isinstance(features, SplitTree):
        return features
    return SplitTree(features, memory=memory, precision=precision)
