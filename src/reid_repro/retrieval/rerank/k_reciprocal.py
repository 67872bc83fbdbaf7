"""k-reciprocal re-ranking: Zhong, Zheng, Cao and Li, Re-ranking Person Re-identification with
k-reciprocal Encoding, 2017.

The definition is that of the authors' released code, which the paper's text leaves in places; each
such place is an option of `KReciprocal`. Queries and gallery together are the n nodes. Only rows of
neighbours are ever held: neighbour lists come from the exact blocked search, reciprocal sets
(Eqs. 1 to 3), their expansion R* (Eq. 5), the encoded vectors V (Eq. 7) and local query expansion
(Eq. 11) are sparse matrices, the Jaccard distance (Eq. 10) walks an inverted index of the gallery,
and the blend (Eq. 12) is computed for the query rows asked for.
"""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse

from reid_repro.retrieval.distances import (
    Features,
    FeatureSpace,
    Metric,
    as_features,
    check_choice,
    default_block,
    normalised,
)
from reid_repro.retrieval.rerank.base import check_at_least, check_block, check_rows, timed
from reid_repro.retrieval.search import Neighbours, Progress, neighbours

Neighbourhood = Literal["code", "text"]
Overlap = Literal["more", "at_least"]
Scale = Literal["row_maximum", "none"]
IntArray = npt.NDArray[np.int64]


class KReciprocal:
    """k-reciprocal encoding, the released code's definition by default.

    Ranks put a node itself first, then others by exact distance, ties in order (queries before
    gallery). Sizes beyond the number of nodes are clipped to it.

    Args:
        k1: size of the reciprocal neighbourhood.
        k2: nodes in the local query expansion, the node itself included; 1 turns it off.
        lambda_: share of the original distance in the result, 0 to 1.
        neighbourhood: "code" takes k1 + 1 and round(k1 / 2) + 1 ranks, the node itself being the
            first; "text" takes k1 and round(k1 / 2) ranks. Halves round to even.
        overlap: a candidate's half neighbourhood joins R* when it shares "more" than two thirds of
            itself with R (code) or "at_least" two thirds (text, Eq. 5).
        expand: False leaves R* = R.
        weight_scale: squared distances are divided by the "row_maximum" before exp(-d) (code), or
            taken as they are ("none": Eq. 7).
        blend_scale: the same choice for the original distance in the blend.
        metric: squared Euclidean distances of the features as given, or ("cosine") L2-normalised.
        block: queries a block of the search; None chooses from the size.
        progress: called with (nodes done, n) during the search.
    """

    def __init__(
        self,
        k1: int = 20,
        k2: int = 6,
        lambda_: float = 0.3,
        *,
        neighbourhood: Neighbourhood = "code",
        overlap: Overlap = "more",
        expand: bool = True,
        weight_scale: Scale = "row_maximum",
        blend_scale: Scale = "row_maximum",
        metric: Metric = "euclidean",
        block: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        check_at_least("k1", k1, 1)
        check_at_least("k2", k2, 1)
        check_block(block)
        if not 0 <= lambda_ <= 1:
            raise ValueError(f"lambda_ is {lambda_!r}: use a share from 0 to 1")
        check_choice("neighbourhood", neighbourhood, Neighbourhood)
        check_choice("overlap", overlap, Overlap)
        check_choice("weight_scale", weight_scale, Scale)
        check_choice("blend_scale", blend_scale, Scale)
        check_choice("metric", metric, Metric)
        self.k1, self.k2, self.lambda_ = k1, k2, lambda_
        self.neighbourhood, self.overlap, self.expand = neighbourhood, overlap, expand
        self.weight_scale, self.blend_scale = weight_scale, blend_scale
        self.metric, self.block, self.progress = metric, block, progress
        self.timings: dict[str, float] = {}
        self._space: FeatureSpace | None = None

    def fit(self, query: Features, gallery: Features) -> Self:
        """Build the graph of queries (n, d) and gallery (g, d) and encode every node."""
        self.timings = {}
        queries, entries = as_features(query, "query"), as_features(gallery, "gallery")
        if queries.shape[1] != entries.shape[1]:
            raise ValueError(
                f"query has {queries.shape[1]} dimensions, gallery has {entries.shape[1]}"
            )
        nodes = torch.cat([queries, entries])
        if self.metric == "cosine":
            nodes = normalised(nodes)
        space = FeatureSpace(nodes, nodes, "euclidean")
        extra = int(self.neighbourhood == "code")
        wide = min(self.k1 + extra, len(nodes))
        half = min(max(round(self.k1 / 2) + extra, 1), len(nodes))
        near = min(self.k2, len(nodes))
        with timed(self.timings, "neighbours"):
            found = neighbours(
                space,
                max(wide, half, near),
                block=self.block,
                self_match="first",
                farthest=True,
                progress=self.progress,
            )
        with timed(self.timings, "reciprocal"):
            pattern = self._expanded_sets(found.indices, wide, half)
        with timed(self.timings, "encoding"):
            encoded = self._encode(space, found, pattern)
        with timed(self.timings, "local expansion"):
            if self.k2 > 1:
                encoded = (_neighbour_graph(found.indices[:, :near]) @ encoded).tocsr()
                encoded.data /= near
        self._space = space
        self._n_query = len(queries)
        assert found.farthest is not None
        self._row_maximum = found.farthest.astype(np.float64) ** 2
        self._query_codes = encoded[: self._n_query]
        self._inverted = encoded[self._n_query :].tocsc()
        return self

    def distances(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Blended distances of queries start:stop to the gallery, (stop - start, g) float32."""
        if self._space is None:
            raise ValueError("KReciprocal: call fit before distances")
        check_rows(start, stop, self._n_query)
        with timed(self.timings, "distances"):
            out = np.empty((stop - start, self._inverted.shape[0]), dtype=np.float32)
            step = self.block or default_block(out.shape[1])
            for first in range(start, stop, step):
                last = min(first + step, stop)
                out[first - start : last - start] = self._blend(first, last)
            return out

    def _expanded_sets(self, ranked: IntArray, wide: int, half: int) -> sparse.csr_array:
        """R*(i, k1) of Eq. 5 as the pattern of an n x n matrix, sorted indices, data 1."""
        reciprocal = _reciprocal(ranked[:, :wide])
        if not self.expand:
            return reciprocal
        candidate = _reciprocal(ranked[:, :half])
        # shared[i, c] = |R(i, k1) and R(c, k1/2)|, wanted for c in R(i, k1).
        shared = (reciprocal @ candidate.T).multiply(reciprocal).tocoo()
        size = np.diff(candidate.indptr)[shared.coords[1]]
        share = 3 * shared.data.astype(np.int64)
        joins = share > 2 * size if self.overlap == "more" else share >= 2 * size
        row, column = (axis[joins] for axis in shared.coords)
        ones = np.ones(len(row), dtype=np.int32)
        joined = sparse.csr_array((ones, (row, column)), shape=reciprocal.shape)
        pattern = (reciprocal + joined @ candidate).tocsr()
        pattern.sort_indices()
        pattern.data[:] = 1
        return pattern

    def _encode(
        self, space: FeatureSpace, found: Neighbours, pattern: sparse.csr_array
    ) -> sparse.csr_array:
        """V of Eq. 7: exp(-d) over R*(i, k1), each row scaled to sum 1, float32."""
        n = pattern.shape[0]
        row = np.repeat(np.arange(n), np.diff(pattern.indptr))
        column = pattern.indices.astype(np.int64)
        device = space.gallery.device
        squared = (
            space.exact(torch.from_numpy(row).to(device), torch.from_numpy(column).to(device))
            .cpu()
            .numpy()
        )
        if self.weight_scale == "row_maximum":
            assert found.farthest is not None
            squared /= _positive(found.farthest.astype(np.float64) ** 2)[row]
        else:
            # Only the ratios within a row matter: start at zero to keep exp from underflow.
            squared -= np.minimum.reduceat(squared, pattern.indptr[:-1])[row]
        weight = np.exp(-squared)
        weight /= np.add.reduceat(weight, pattern.indptr[:-1])[row]
        return sparse.csr_array(
            (weight.astype(np.float32), pattern.indices, pattern.indptr), shape=pattern.shape
        )

    def _blend(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Eq. 12 for a block of queries: (1 - lambda) Jaccard + lambda original, (m, g)."""
        assert self._space is not None
        if self.lambda_ == 1:
            out = np.zeros((stop - start, self._inverted.shape[0]), dtype=np.float32)
        else:
            out = self._jaccard(start, stop)
            out *= 1 - self.lambda_
        if self.lambda_ > 0:
            columns = slice(self._n_query, None)
            squared = self._space.approximate(start, stop, columns).clamp_(min=0).cpu().numpy()
            scale = np.full(stop - start, self.lambda_)
            if self.blend_scale == "row_maximum":
                scale /= _positive(self._row_maximum[start:stop])
            squared *= scale[:, None].astype(np.float32)
            out += squared
        return out

    def _jaccard(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Eq. 10: 1 - sum(min) / sum(max), where sum(max) = 2 - sum(min) as rows sum to 1."""
        size = self._inverted.shape[0]
        out = np.empty((stop - start, size), dtype=np.float32)
        codes = self._query_codes
        for query in range(start, stop):
            entries = slice(codes.indptr[query], codes.indptr[query + 1])
            column, value = codes.indices[entries], codes.data[entries]
            first = self._inverted.indptr[column]
            length = self._inverted.indptr[column + 1] - first
            # Places of all entries of these columns of the inverted index, one after another.
            ends = np.cumsum(length)
            place = np.arange(ends[-1]) + np.repeat(first - ends + length, length)
            least = np.minimum(np.repeat(value, length), self._inverted.data[place])
            shared = np.bincount(self._inverted.indices[place], least, minlength=size)
            out[query - start] = 1 - shared / (2 - shared)
        return out


def _neighbour_graph(ranked: IntArray) -> sparse.csr_array:
    """n x n matrix with a one where column j is among the ranked neighbours of row i."""
    n, k = ranked.shape
    indptr = np.arange(0, n * k + 1, k)
    column = ranked.astype(np.int32).reshape(-1)  # a copy: it is sorted in place below
    graph = sparse.csr_array((np.ones(n * k, dtype=np.float32), column, indptr), shape=(n, n))
    graph.sort_indices()
    return graph


def _reciprocal(ranked: IntArray) -> sparse.csr_array:
    """R(i, k) of Eq. 3: j where i and j are each among the other's neighbours; data 1."""
    graph = _neighbour_graph(ranked)
    both = graph.multiply(graph.T.tocsr()).tocsr()
    both.sort_indices()
    return both


def _positive(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Row maxima to divide by: where all features are equal, distances are zero over anything."""
    return np.where(values > 0, values, 1.0)
