"""Query expansion: replace a query by a mean of itself and its nearest gallery features.

* Average query expansion (AQE): Chum, Philbin, Sivic, Isard and Zisserman, Total Recall, 2007.
* Weighted by similarity^alpha (alpha-QE): Radenovic, Tolias and Chum, Fine-tuning CNN Image
  Retrieval with No Human Annotation, 2019.

Features are L2-normalised, neighbours are cosine neighbours, expanded features are normalised
again and compared by cosine distance.
"""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from reid_repro.retrieval.distances import Features, FeatureSpace, as_features, normalised
from reid_repro.retrieval.rerank.base import check_at_least, check_block, check_rows, timed
from reid_repro.retrieval.search import SelfMatch, neighbours

MEAN_ELEMENTS = 1 << 22  # gathered float32 elements a chunk of the weighted means


class AverageQueryExpansion:
    """AQE: the plain mean of the query and its k nearest gallery features.

    Args:
        k: gallery neighbours in the mean (clipped to the gallery).
        include_query: the query itself is one of the averaged features. True as in the original,
            where the mean runs over the query and its verified results.
        expand_gallery: also replace each gallery feature by the mean of itself and its k nearest
            other gallery features (database-side augmentation). False as in the original; some
            toolboxes do both.
        block: queries a block of the neighbour search; None chooses from the gallery's size.
    """

    def __init__(
        self,
        k: int = 10,
        *,
        include_query: bool = True,
        expand_gallery: bool = False,
        block: int | None = None,
    ) -> None:
        check_at_least("k", k, 1)
        check_block(block)
        self.k = k
        self.include_query = include_query
        self.expand_gallery = expand_gallery
        self.block = block
        self.timings: dict[str, float] = {}
        self._space: FeatureSpace | None = None

    def fit(self, query: Features, gallery: Features) -> Self:
        """Expand queries (n, d), and the gallery (g, d) where asked for."""
        self.timings = {}
        entries = normalised(as_features(gallery, "gallery"))
        queries = normalised(as_features(query, "query"))
        expanded = self._expand(queries, entries, self.include_query, "keep")
        if self.expand_gallery:
            entries = self._expand(entries, entries, True, "exclude")
        self._space = FeatureSpace(expanded, entries, "cosine")
        return self

    def distances(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Cosine distances of the expanded queries start:stop to the gallery, (m, g) float32."""
        if self._space is None:
            raise ValueError(f"{type(self).__name__}: call fit before distances")
        check_rows(start, stop, self._space.n_queries)
        with timed(self.timings, "distances"):
            rows = self._space.distance(self._space.approximate(start, stop))
            return np.asarray(rows.cpu().numpy(), dtype=np.float32)

    def _expand(
        self, features: Tensor, gallery: Tensor, include_self: bool, self_match: SelfMatch
    ) -> Tensor:
        k = min(self.k, len(gallery) - (self_match == "exclude"))
        if k == 0:
            return features
        with timed(self.timings, "neighbours"):
            space = FeatureSpace(features, gallery, "cosine")
            found = neighbours(space, k, block=self.block, self_match=self_match)
        with timed(self.timings, "expansion"):
            indices = torch.from_numpy(found.indices).to(features.device)
            weights = self._weights(1 - torch.from_numpy(found.distances).to(features.device))
            mean = features.clone() if include_self else torch.zeros_like(features)
            step = max(1, MEAN_ELEMENTS // (k * gallery.shape[1]))
            for first in range(0, len(features), step):
                rows = slice(first, first + step)
                mean[rows] += (weights[rows, :, None] * gallery[indices[rows]]).sum(1)
            return normalised(mean)

    def _weights(self, similarity: Tensor) -> Tensor:
        """Weight of each neighbour beside the query's own weight of 1, of the same shape."""
        return torch.ones_like(similarity)


class AlphaQueryExpansion(AverageQueryExpansion):
    """alpha-QE: neighbours weighted by similarity^alpha, the query itself by 1.

    Similarities below zero count as zero. alpha = 0 is AQE.

    Args:
        k: gallery neighbours in the mean (clipped to the gallery).
        alpha: exponent, at least 0; 3 is the authors' value.
        include_query, expand_gallery, block: as in `AverageQueryExpansion`; the authors expand the
            query, with itself, and leave the gallery as it is.
    """

    def __init__(
        self,
        k: int = 10,
        alpha: float = 3.0,
        *,
        include_query: bool = True,
        expand_gallery: bool = False,
        block: int | None = None,
    ) -> None:
        super().__init__(k, include_query=include_query, expand_gallery=expand_gallery, block=block)
        if not 0 <= alpha < float("inf"):
            raise ValueError(f"alpha is {alpha!r}: use a number of at least 0")
        self.alpha = alpha

    def _weights(self, similarity: Tensor) -> Tensor:
        return similarity.clamp(min=0).pow(self.alpha)
