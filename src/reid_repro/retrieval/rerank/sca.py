"""Sparse contextual activation (SCA): Bai and Bai, Sparse Contextual Activation for Efficient
Visual Re-ranking, IEEE Transactions on Image Processing 25(3), 2016.

An image is described by its membership in the neighbourhoods of all images: a vector with a weight
exp(-distance) at each of its k1 nearest neighbours. Vectors are averaged over the k2 nearest
neighbours (local consistency enhancement) and compared by the generalised Jaccard distance of fuzzy
sets through an inverted index. k-reciprocal re-ranking keeps this encoding and replaces the k1
neighbours by reciprocal ones: Eqs. 3 (with N in the place of R*), 4 and 5 of the GNN re-ranking
paper describe it.

Queries and gallery together are the n nodes; only rows of neighbours are ever held.
"""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from reid_repro.retrieval.distances import Features, FeatureSpace, Metric, check_choice
from reid_repro.retrieval.rerank import devices
from reid_repro.retrieval.rerank.base import check_at_least, check_block, check_rows, timed
from reid_repro.retrieval.rerank.nodes import joint_nodes
from reid_repro.retrieval.rerank.sca_codes import Codes, CompiledCodes, TensorCodes
from reid_repro.retrieval.search import Neighbours, Progress, neighbours

WeightScale = Literal["row_maximum", "none"]
Membership = Literal["sum", "none"]


class SparseContextualActivation:
    """SCA, the authors' published settings of the encoding by default.

    A node is its own nearest neighbour and counts as one of k1 and of k2; the others follow by
    exact distance, ties in order (queries before gallery). k1 and k2 beyond the number of nodes are
    clipped to it. The mean over k2 vectors and their sum give the same Jaccard distance.

    Args:
        k1: neighbours with a membership above zero.
        k2: nodes in the local consistency enhancement, the node itself included; 1 turns it off.
        weight_scale: distances are divided by the "row_maximum", the distance of the node's
            farthest node, before exp(-d), as in the authors' demonstration; "none" takes them as
            they are, which is how the equation reads.
        membership: weights of a node are scaled to "sum" 1 before the enhancement, as in the
            authors' demonstration, or stay memberships of a fuzzy set, up to 1 ("none").
        metric: the original distance d: Euclidean (not squared) or cosine. The authors start from
            any distance matrix; Euclidean is the usual one of the compared features.
        block: queries a block of the search; None chooses from the size.
        progress: called with (nodes done, n) during the search.

    Attributes:
        timings: seconds for "neighbours" (search), "encoding" (memberships), "local consistency"
            and "distances" (inverted index and rows asked for).
    """

    def __init__(
        self,
        k1: int = 20,
        k2: int = 6,
        *,
        weight_scale: WeightScale = "row_maximum",
        membership: Membership = "sum",
        metric: Metric = "euclidean",
        block: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        check_at_least("k1", k1, 1)
        check_at_least("k2", k2, 1)
        check_choice("weight_scale", weight_scale, WeightScale)
        check_choice("membership", membership, Membership)
        check_choice("metric", metric, Metric)
        check_block(block)
        self.k1, self.k2 = k1, k2
        self.weight_scale, self.membership, self.metric = weight_scale, membership, metric
        self.block, self.progress = block, progress
        self.timings: dict[str, float] = {}
        self._codes: Codes | None = None

    def fit(self, query: Features, gallery: Features) -> Self:
        """Encode every node of the graph of queries (n, d) and gallery (g, d)."""
        self.timings, self._codes = {}, None  # an earlier fit's rows need not be held beside
        features, n_query = joint_nodes(query, gallery, normalise=False)
        n = len(features)
        k1, k2 = min(self.k1, n), min(self.k2, n)
        space, device = FeatureSpace(features, features, self.metric), features.device
        del features  # cosine distances have a normalised copy
        with devices.timed_on(device, self.timings, "neighbours"):
            found = neighbours(
                space,
                max(k1, k2),
                block=self.block,
                self_match="first",
                farthest=self.weight_scale == "row_maximum",
                progress=self.progress,
            )
        with devices.timed_on(device, self.timings, "encoding"):
            ranked, weights = found.indices[:, :k1], self._memberships(found, k1)
            codes: Codes
            if devices.takes_tensor_steps(device):
                codes = TensorCodes(ranked, weights, device)
            else:
                codes = CompiledCodes(ranked, weights)
        if k2 > 1:
            with devices.timed_on(device, self.timings, "local consistency"):
                codes.average(found.indices[:, :k2])
        with devices.timed_on(device, self.timings, "distances"):
            codes.settle(n_query)
        self._codes, self._n_query, self._n_gallery = codes, n_query, n - n_query
        return self

    def distances(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Jaccard distances of queries start:stop to the gallery, (m, g) float32.

        They are exactly 1 where no neighbour is shared: ties, which gallery order settles.
        """
        if self._codes is None:
            raise ValueError("SparseContextualActivation: call fit before distances")
        check_rows(start, stop, self._n_query)
        with timed(self.timings, "distances"):
            out = np.empty((stop - start, self._n_gallery), dtype=np.float32)
            if start < stop:
                self._codes.jaccard(start, stop, out)
            return out

    def _memberships(self, found: Neighbours, k1: int) -> npt.NDArray[np.float32]:
        """exp(-d) of the k1 nearest neighbours, in the scales chosen, (n, k1) float32."""
        distance = found.distances[:, :k1].astype(np.float64)
        if found.farthest is not None:
            farthest = found.farthest.astype(np.float64)
            distance /= np.where(farthest > 0, farthest, 1)[:, None]
        elif self.membership == "sum":
            # Only ratios within a row matter: start at zero to keep exp from underflow.
            distance -= distance.min(axis=1, keepdims=True)
        weight = np.exp(-distance)
        if self.membership == "sum":
            weight /= weight.sum(axis=1, keepdims=True)
        return weight.astype(np.float32)
