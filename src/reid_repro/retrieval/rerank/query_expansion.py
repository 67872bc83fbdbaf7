"""Query expansion: replace a query by a mean of itself and its nearest features.

* Average query expansion (AQE): Chum, Philbin, Sivic, Isard and Zisserman, Total Recall, 2007.
* Weighted by similarity^alpha (alpha-QE): Radenovic, Tolias and Chum, Fine-tuning CNN Image
  Retrieval with No Human Annotation, 2019.

Neighbours are exact cosine neighbours, and expanded features are compared by cosine distance.
"""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from torch import Tensor

from reid_repro.retrieval.distances import Features, FeatureSpace, as_features, check_choice
from reid_repro.retrieval.rerank.base import check_at_least, check_block, check_rows, timed
from reid_repro.retrieval.rerank.means import Weights, weighted_means
from reid_repro.retrieval.rerank.nodes import joint_nodes
from reid_repro.retrieval.search import Neighbours, Progress, neighbours

Pool = Literal["gallery", "all"]
Averaged = Literal["normalised", "given"]


class AverageQueryExpansion:
    """AQE: the plain mean of the query and its k nearest gallery features.

    Exactness: neighbours are exact, means are summed in float64 in order of rank (on a GPU in
    float32) and rounded to float32, whatever the blocks and threads. `distances` then is a float32
    product of expanded queries and gallery: entries nearer to one another than its rounding error
    (`FeatureSpace.slack`) may change places with the block or the library, and only equal float32
    values tie. `space` holds the expanded features, for exact ranks of those by `search.neighbours`
    or `evaluate`.

    Args:
        k: neighbours in the mean, the feature itself not counted (clipped to what there is).
        include_query: the query itself is one of the averaged features. True as in the original,
            where the mean runs over the query and its verified results.
        expand_gallery: also replace each gallery feature by the mean of itself and its k nearest
            others (database-side augmentation). False as in the original; some toolboxes do both.
        pool: neighbours come from the "gallery", as in the original, or from "all" queries and
            gallery entries other than the feature itself.
        averaged: "normalised" features, or the features as "given", longer ones counting more.
        times: passes, each on the result of the one before; 1 as in the original.
        block: rows a block of the neighbour search; None chooses from the size.
        progress: called with (rows done, rows) during each neighbour search: one a pass, and with
            `expand_gallery` and pool "gallery" another for the gallery.

    Attributes:
        space: expanded queries and gallery under the cosine metric, after `fit`.
        timings: seconds of "neighbours", "expansion" (the means), "distances" (rows asked for).
    """

    def __init__(
        self,
        k: int = 10,
        *,
        include_query: bool = True,
        expand_gallery: bool = False,
        pool: Pool = "gallery",
        averaged: Averaged = "normalised",
        times: int = 1,
        block: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        check_at_least("k", k, 1)
        check_at_least("times", times, 1)
        check_choice("pool", pool, Pool)
        check_choice("averaged", averaged, Averaged)
        check_block(block)
        self.k, self.times, self.block, self.progress = k, times, block, progress
        self.include_query, self.expand_gallery = include_query, expand_gallery
        self.pool, self.averaged = pool, averaged
        self.timings: dict[str, float] = {}
        self.space: FeatureSpace | None = None

    def fit(self, query: Features, gallery: Features) -> Self:
        """Expand queries (n, d), and the gallery (g, d) where asked for.

        Raises:
            ValueError: features that are not float matrices of one width on one device, empty, or
                not finite.
        """
        self.timings, self.space = {}, None
        queries, entries = as_features(query, "query"), as_features(gallery, "gallery")
        for _ in range(self.times):
            if self.pool == "gallery":
                queries, entries = self._from_gallery(queries, entries)
            else:
                queries, entries = self._from_all(queries, entries)
        self.space = FeatureSpace(queries, entries, "cosine")
        return self

    def distances(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Cosine distances of the expanded queries start:stop to the gallery, (m, g) float32."""
        if self.space is None:
            raise ValueError(f"{type(self).__name__}: call fit before distances")
        check_rows(start, stop, self.space.n_queries)
        with timed(self.timings, "distances"):
            rows = self.space.approximate(start, stop).div_(2).clamp_(min=0)
            return np.asarray(rows.cpu().numpy(), dtype=np.float32)

    def _from_gallery(self, queries: Tensor, entries: Tensor) -> tuple[Tensor, Tensor]:
        """One pass with neighbours from the gallery."""
        own = np.full(len(queries), float(self.include_query))
        space = FeatureSpace(queries, entries, "cosine")
        expanded = self._expand(space, queries, entries, own, itself=False)
        if self.expand_gallery:
            space = FeatureSpace(entries, entries, "cosine")
            own = np.ones(len(entries))
            entries = self._expand(space, entries, entries, own, itself=True)
        return expanded, entries

    def _from_all(self, queries: Tensor, entries: Tensor) -> tuple[Tensor, Tensor]:
        """One pass with neighbours from queries and gallery."""
        nodes, n = joint_nodes(queries, entries, normalise=False)
        rows = nodes if self.expand_gallery else nodes[:n]
        own = np.ones(len(rows))
        own[:n] = self.include_query
        expanded = self._expand(FeatureSpace(rows, nodes, "cosine"), rows, nodes, own, itself=True)
        return expanded[:n], expanded[n:] if self.expand_gallery else entries

    def _expand(
        self, space: FeatureSpace, rows: Tensor, pool: Tensor, own: Weights, *, itself: bool
    ) -> Tensor:
        """Means of features `rows` and their neighbours of `pool`, the operands of `space`.

        `itself`: row i is entry i of the pool as well, and not its own neighbour.
        """
        k = min(self.k, len(pool) - itself)
        if k == 0:
            return rows
        with timed(self.timings, "neighbours"):
            found = _neighbours(space, k, self.block, self.progress, itself=itself)
        with timed(self.timings, "expansion"):
            if self.averaged == "normalised":
                rows, pool = space.queries, space.gallery
            weights = self._weights(1 - found.distances.astype(np.float64))
            return weighted_means(rows, pool, found.indices, weights, own)

    def _weights(self, similarity: Weights) -> Weights:
        """Weight of each neighbour beside the feature's own weight of 1, of the same shape."""
        return np.ones_like(similarity)


class AlphaQueryExpansion(AverageQueryExpansion):
    """alpha-QE: neighbours weighted by similarity^alpha, the query itself by 1.

    Similarities below zero count as zero. alpha = 0 is AQE.

    Agreement with others: fast-reid's `aqe(query, gallery, qe_times, qe_k, alpha)` is
    `AlphaQueryExpansion(qe_k - 1, alpha, expand_gallery=True, pool="all", averaged="given",
    times=qe_times)` as long as no neighbour's similarity is negative (it raises that to alpha with
    its sign) and no feature has qe_k or more exact copies (it then may leave the feature out).

    Args:
        k: neighbours in the mean, the feature itself not counted (clipped to what there is).
        alpha: exponent, at least 0; 3 is the authors' value.
        include_query, expand_gallery, pool, averaged, times, block, progress: as in
            `AverageQueryExpansion`; the authors expand the query, with itself, once, and leave the
            gallery as it is.
    """

    def __init__(
        self,
        k: int = 10,
        alpha: float = 3.0,
        *,
        include_query: bool = True,
        expand_gallery: bool = False,
        pool: Pool = "gallery",
        averaged: Averaged = "normalised",
        times: int = 1,
        block: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        super().__init__(
            k,
            include_query=include_query,
            expand_gallery=expand_gallery,
            pool=pool,
            averaged=averaged,
            times=times,
            block=block,
            progress=progress,
        )
        if not 0 <= alpha < float("inf"):
            raise ValueError(f"alpha is {alpha!r}: use a number of at least 0")
        self.alpha = alpha

    def _weights(self, similarity: Weights) -> Weights:
        weights: Weights = np.maximum(similarity, 0) ** self.alpha
        return weights


def _neighbours(
    space: FeatureSpace, k: int, block: int | None, progress: Progress | None, *, itself: bool
) -> Neighbours:
    """The k nearest entries; where row i is entry i (`itself`), those other than the row itself."""
    if not itself:
        return neighbours(space, k, block=block, progress=progress)
    if space.queries is space.gallery:
        return neighbours(space, k, block=block, self_match="exclude", progress=progress)
    found = neighbours(space, k + 1, block=block, progress=progress)
    drop = found.indices == np.arange(space.n_queries)[:, None]
    drop[:, -1] |= ~drop.any(1)  # behind k exact copies the row itself is not among them
    shape = (space.n_queries, k)
    return Neighbours(
        found.indices[~drop].reshape(shape), found.distances[~drop].reshape(shape), None
    )
