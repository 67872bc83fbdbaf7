"""GNN re-ranking: Zhang, Jiang, Zheng, Tan, Ding and Yang, Understanding Image Retrieval
Re-Ranking: A Graph Neural Network Perspective, 2020.

Queries and gallery together are the n nodes of a graph. A node's feature is its row of the k1
nearest-neighbour matrix (Eqs. 8 to 11); messages pass along the k2 nearest neighbours, weighted by
similarity^alpha (Eqs. 12 to 14); the cosine of the refined features ranks the gallery.

The definition is dense in n x n matrices; here rows of neighbours come from the exact blocked
search, propagation is a product of sparse rows (`propagation.py`) and the final cosines walk an
inverted index of the gallery. Results are those of the dense definition up to float32 rounding.
"""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
import numpy.typing as npt
import torch

from reid_repro.retrieval.distances import Features, FeatureSpace, check_choice, default_block
from reid_repro.retrieval.rerank import devices
from reid_repro.retrieval.rerank.base import check_at_least, check_block, check_rows, timed
from reid_repro.retrieval.rerank.nodes import joint_nodes
from reid_repro.retrieval.rerank.propagation import (
    FeatureNodes,
    Messages,
    Nodes,
    SparseNodes,
    propagate,
)
from reid_repro.retrieval.rerank.propagation_torch import TensorFeatureNodes, TensorNodes
from reid_repro.retrieval.rerank.sparse import add_rows, neighbour_rows, transpose
from reid_repro.retrieval.search import Neighbours, Progress, neighbours

Aggregate = Literal["sum", "mean", "max"]
NodeFeatures = Literal["symmetric", "adjacency", "features"]
Symmetric = Literal["paper", "authors"]

ROUNDING = 2.0**-22  # smaller similarities are what float32 leaves of zero


class GNN:
    """GNN re-ranking, the paper's equations by default.

    Features are L2-normalised first. A node is its own nearest neighbour and counts as one of k1
    and of k2; the others follow by exact cosine distance, ties in order (queries before gallery).
    k1 and k2 beyond the number of nodes are clipped to it.

    The paper symmetrises the adjacency matrix once, A* = (A + A^T) / 2 (Eq. 9), and a layer adds
    the aggregate to the node's own feature (Eq. 14): `symmetric="paper"`. The authors' released
    code instead replaces the features H by H + H^T before the aggregation of every layer, adds no
    feature of its own (the node is among its k2 neighbours), and normalises after each layer:
    `symmetric="authors"`. The default is the paper's: it is what the printed equations define, its
    ablation of A against A* (Table 1) exists only there, its rows stay sparser, and on simulated
    features it ranks slightly better.

    Similarities below zero, and what rounding leaves of zero, count as zero in edge weights: no
    even power turns dissimilar neighbours into similar ones. 0^0 is 1.

    Args:
        k1: neighbours that make up a node's feature (Eq. 8); the paper takes n / classes (Eq. 15).
        k2: neighbours that send messages (Eq. 12), the node itself included.
        layers: layers of propagation.
        alpha: exponent of the similarity in edge weights, at least 0.
        aggregate: of the weighted neighbours' features: their "sum", their "mean" (sum / k2) or
            the elementwise "max", where entries that a neighbour lacks are zeros.
        nodes: node features: "symmetric" A*, "adjacency" A, or the original "features" (Table 1);
            only A* is ever symmetrised.
        edge_weights: False weighs all messages by 1.
        propagate: False ranks by the node features themselves.
        symmetric: "paper" or "authors", above.
        residual: a layer adds the node's own feature (after any symmetrisation) to the aggregate;
            None does so for "paper" and not for "authors".
        blend: share of the original cosine distance in the result, 0 to 1; the paper has none, a
            later version of the authors' code 0.3.
        block: queries a block of the search; None chooses from the size.
        memory: bytes for node features during propagation. Sparse rows that would need more, or
            that fill more than 1 / 8 of n x n, become dense: in memory where 4 n^2 bytes are within
            the bound, otherwise in a temporary file of that size (TMPDIR), of which 50 MiB or 128 n
            bytes, whichever is more, are in memory at a time. A dense layer costs k2 n^2 additions
            and one pass over the file (at Market-1501's size 2.1 GB, reached after six layers);
            `distances` then reads the file once a call, so ask it for many rows at once. On a GPU
            rows stay there, except those that would need the file, which go on on the CPU.
        progress: called with (nodes done, n) during the search, then with (layers done, layers).

    Attributes:
        timings: seconds for "neighbours" (search), "graph" (edges and node features),
            "propagation", and "distances" (inverted index and rows asked for). Phase 1 of the
            paper's Table 3, retrieving neighbours, is the first two; phase 2, updating features, is
            "propagation" (its printed times grow in proportion to the layers, which leaves nothing
            for the final comparison).
    """

    def __init__(
        self,
        k1: int = 26,
        k2: int = 7,
        *,
        layers: int = 2,
        alpha: float = 2.0,
        aggregate: Aggregate = "sum",
        nodes: NodeFeatures = "symmetric",
        edge_weights: bool = True,
        propagate: bool = True,
        symmetric: Symmetric = "paper",
        residual: bool | None = None,
        blend: float = 0.0,
        block: int | None = None,
        memory: int = 1 << 30,
        progress: Progress | None = None,
    ) -> None:
        for name, value in (("k1", k1), ("k2", k2), ("layers", layers), ("memory", memory)):
            check_at_least(name, value, 1)
        check_block(block)
        check_choice("aggregate", aggregate, Aggregate)
        check_choice("nodes", nodes, NodeFeatures)
        check_choice("symmetric", symmetric, Symmetric)
        if not 0 <= alpha < float("inf"):
            raise ValueError(f"alpha is {alpha!r}: use a number of at least 0")
        if not 0 <= blend <= 1:
            raise ValueError(f"blend is {blend!r}: use a share from 0 to 1")
        self.k1, self.k2, self.layers, self.alpha = k1, k2, layers, alpha
        self.aggregate, self.nodes, self.edge_weights = aggregate, nodes, edge_weights
        self.propagate, self.symmetric = propagate, symmetric
        self.residual = symmetric == "paper" if residual is None else residual
        self.blend, self.block, self.memory, self.progress = blend, block, memory, progress
        self.timings: dict[str, float] = {}
        self._nodes: Nodes | None = None

    def fit(self, query: Features, gallery: Features) -> Self:
        """Build the graph of queries (n, d) and gallery (g, d) and propagate."""
        self.timings, self._nodes = {}, None  # an earlier fit's rows need not be held beside
        features, self._n_query = joint_nodes(query, gallery, normalise=False)
        n = len(features)
        k1, k2 = min(self.k1, n), min(self.k2, n)
        space = FeatureSpace(features, features, "cosine")  # normalises
        device = features.device
        del features
        with devices.timed_on(device, self.timings, "neighbours"):
            found = neighbours(
                space, max(k1, k2), block=self.block, self_match="first", progress=self.progress
            )
        with devices.timed_on(device, self.timings, "graph"):
            messages = self._messages(found, k2)
            nodes = self._node_features(space, found.indices[:, :k1])
        if self.propagate:
            with devices.timed_on(device, self.timings, "propagation"):
                nodes = propagate(
                    nodes, messages, self.layers, self._symmetrise_layers(), self.progress
                )
        with devices.timed_on(device, self.timings, "distances"):
            nodes.settle(self._n_query)
        self._nodes, self._n_gallery = nodes, n - self._n_query
        self._space = space if self.blend > 0 else None
        return self

    def distances(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Cosine distances of refined queries start:stop to the gallery, (m, g) float32.

        Where nothing is shared they are exactly 1 (before a blend): ties, which gallery order
        settles. On the CPU the rows do not depend on blocks or threads, except that distances of
        "features" and those in a blend come from a float32 matrix product, whose last bits may
        follow the block of rows and the library. On a GPU this also holds for rows that are dense.
        """
        if self._nodes is None:
            raise ValueError("GNN: call fit before distances")
        check_rows(start, stop, self._n_query)
        with timed(self.timings, "distances"):
            out = np.empty((stop - start, self._n_gallery), dtype=np.float32)
            if start < stop:
                self._nodes.distances(start, stop, out)
            if self._space is not None:
                step = self.block or default_block(self._n_gallery)
                for first in range(start, stop, step):
                    self._add_original(first, min(first + step, stop), out[first - start :])
            return out

    def _add_original(self, start: int, stop: int, out: npt.NDArray[np.float32]) -> None:
        assert self._space is not None
        squared = self._space.approximate(start, stop, slice(self._n_query, None))
        original = self._space.distance(squared).cpu().numpy()
        rows = out[: stop - start]
        rows *= 1 - self.blend
        rows += np.float32(self.blend) * original

    def _symmetrise_layers(self) -> bool:
        return self.symmetric == "authors" and self.nodes == "symmetric"

    def _node_features(self, space: FeatureSpace, ranked: npt.NDArray[np.int64]) -> Nodes:
        """x, A of Eq. 8 or A* of Eq. 9, without the factor 1 / 2 that no cosine depends on."""
        features = space.gallery
        on_tensors = devices.takes_tensor_steps(features.device)
        if self.nodes == "features":
            return TensorFeatureNodes(features) if on_tensors else FeatureNodes(features.numpy())
        symmetrised_later = self._symmetrise_layers() and self.propagate
        symmetric = self.nodes == "symmetric" and not symmetrised_later
        if on_tensors:
            return TensorNodes(torch.from_numpy(ranked).to(features.device), symmetric, self.memory)
        rows = neighbour_rows(ranked, np.ones(ranked.shape, dtype=np.float32))
        if symmetric:
            rows = add_rows(rows, transpose(rows, rows.n))
        return SparseNodes(rows, self.memory)

    def _messages(self, found: Neighbours, k2: int) -> Messages:
        """The edges of Eq. 12 with the weights of Eq. 14."""
        similarity = 1 - found.distances[:, :k2].astype(np.float64)
        similarity[similarity < ROUNDING] = 0
        weights = similarity**self.alpha if self.edge_weights else np.ones_like(similarity)
        if self.aggregate == "mean":
            weights /= k2
        return Messages(found.indices[:, :k2], weights, self.residual, self.aggregate == "max")
