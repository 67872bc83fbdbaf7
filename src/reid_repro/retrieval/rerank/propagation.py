"""Message propagation of GNN re-ranking (`gnn.py`, Eq. 14) over node features of three kinds.

A layer replaces the feature h_i of every node by a weighted sum (or elementwise maximum) of its
neighbours' features, which is then L2-normalised. The normalisation is one number a node, so
features are kept unnormalised beside their inverse norms, and the next layer's weights take these
in. Rows of the adjacency matrix stay sparse (`SparseNodes`) for the first layers, which is where
the published settings are; rows that have filled up become dense panels of columns (`PanelNodes`).
Original features are dense and short (`FeatureNodes`).
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch

from reid_repro.retrieval.distances import FeatureSpace
from reid_repro.retrieval.rerank.dense_panels import Panels, combine_dense
from reid_repro.retrieval.rerank.sparse import (
    Rows,
    Vector,
    add_rows,
    combine_rows,
    cosine_rows,
    row_norms,
    transpose,
)
from reid_repro.retrieval.search import Progress

FloatArray = npt.NDArray[np.float32]
ENTRY_BYTES = 8  # of a sparse entry: int32 column and float32 value
DENSE_SHARE = 8  # sparse rows with more than 1 / 8 of all entries take longer than dense ones


class Messages(NamedTuple):
    """What the nodes send to each other in every layer.

    Attributes:
        neighbours: N(i, k2), the node itself first, (n, k2) int64.
        weights: f(e_ij) of each, divided by k2 for the mean, (n, k2) float64.
        residual: the node's own feature is added to the aggregate.
        maximum: the aggregate is the elementwise maximum instead of the sum.
    """

    neighbours: npt.NDArray[np.int64]
    weights: Vector
    residual: bool
    maximum: bool

    def scaled(self, scale: Vector) -> tuple[FloatArray, FloatArray | None]:
        """Weights (n, k2) for rows that still lack their scales (n,), and those of the residual."""
        weights = self.weights * scale[self.neighbours]
        if not self.residual:
            return weights.astype(np.float32), None
        if self.maximum:
            return weights.astype(np.float32), scale.astype(np.float32)
        weights[:, 0] += scale  # the node itself is its first neighbour
        return weights.astype(np.float32), None


class Nodes(Protocol):
    """Node features during propagation, and their cosine distances at the end."""

    def layer(self, messages: Messages, symmetrise: bool) -> Nodes:
        """The features after one more layer; `self` is used up."""
        ...

    def settle(self, n_query: int) -> None:
        """Propagation is over: keep what `distances` of the first n_query nodes needs."""
        ...

    def distances(self, start: int, stop: int, out: FloatArray) -> None:
        """Cosine distances of nodes start:stop to nodes n_query:n, into out (m, g) float32."""
        ...


class SparseNodes:
    """Sparse non-negative features (n, n); `memory` bounds their bytes during a layer."""

    def __init__(self, rows: Rows, memory: int) -> None:
        self._rows, self._memory = rows, memory
        self._scale: Vector | None = None  # None: not normalised yet

    def layer(self, messages: Messages, symmetrise: bool) -> Nodes:
        """See `Nodes`; dense panels as soon as the next features would not fit."""
        rows, n = self._rows, self._rows.n
        entries = min(self._memory // ENTRY_BYTES, n * n // DENSE_SHARE)
        if symmetrise:
            if 4 * len(rows.data) > entries:
                return self._dense().layer(messages, symmetrise)
            rows = self._symmetric(rows)
        scale = np.ones(n) if symmetrise or self._scale is None else self._scale
        weights, own = messages.scaled(scale)
        combined = combine_rows(
            messages.neighbours,
            weights,
            rows,
            n,
            own=own,
            maximum=messages.maximum,
            limit=entries - len(rows.data),
        )
        if combined is None:
            return self._dense().layer(messages, symmetrise)
        after = SparseNodes(combined, self._memory)
        after._scale = inverse(row_norms(combined))
        return after

    def _symmetric(self, rows: Rows) -> Rows:
        """D H + (D H)^T of rows H and scales D."""
        if self._scale is not None:
            factor = np.repeat(self._scale, np.diff(rows.indptr))
            rows = rows._replace(data=(rows.data * factor).astype(np.float32))
        return add_rows(rows, transpose(rows, rows.n))

    def _dense(self) -> PanelNodes:
        return PanelNodes(self._rows, self._scale, self._memory)

    def settle(self, n_query: int) -> None:
        """See `Nodes`: query rows, and an inverted index of the gallery's."""
        rows, n = self._rows, self._rows.n
        scale = inverse(row_norms(rows))
        self._query_scale, self._gallery_scale = scale[:n_query], scale[n_query:]
        self._inverted = transpose(rows.part(n_query, n), n)
        self._rows = rows.part(0, n_query).copied()

    def distances(self, start: int, stop: int, out: FloatArray) -> None:
        """See `Nodes`; nodes without a shared neighbour are at exactly 1."""
        cosine_rows(
            self._rows.part(start, stop),
            self._query_scale[start:stop],
            self._inverted,
            self._gallery_scale,
            out,
        )


class PanelNodes:
    """Features (n, n) that have filled up, as panels of columns in memory or in a file."""

    def __init__(self, rows: Rows, scale: Vector | None, memory: int) -> None:
        self._scale = np.ones(rows.n) if scale is None else scale
        self._panels = Panels(rows.n, memory)
        self._panels.fill(rows)

    def layer(self, messages: Messages, symmetrise: bool) -> Nodes:
        """See `Nodes`."""
        if symmetrise:
            self._panels.symmetrise(self._scale)
            self._scale = np.ones_like(self._scale)
        weights, own = messages.scaled(self._scale)
        squared = self._panels.combine(messages.neighbours, weights, own, messages.maximum)
        self._scale = inverse(np.sqrt(squared))
        return self

    def settle(self, n_query: int) -> None:
        """See `Nodes`."""
        self._n_query = n_query

    def distances(self, start: int, stop: int, out: FloatArray) -> None:
        """See `Nodes`."""
        self._panels.cosine_rows(self._scale, start, stop, self._n_query, out)


class FeatureNodes:
    """The L2-normalised original features (n, d), float32, as node features.

    Their cosines come from a float32 matrix product, whose last bits may follow the block of rows
    and the library.
    """

    def __init__(self, features: FloatArray) -> None:
        self._features = features

    def layer(self, messages: Messages, symmetrise: bool) -> Nodes:
        """See `Nodes`; there is nothing to symmetrise in n x d features."""
        weights, own = messages.scaled(np.ones(len(self._features)))
        out = np.empty_like(self._features)
        squared = combine_dense(
            self._features, messages.neighbours, weights, own, messages.maximum, out
        )
        out *= inverse(np.sqrt(squared))[:, None].astype(np.float32)
        return FeatureNodes(out)

    def settle(self, n_query: int) -> None:
        """See `Nodes`."""
        features = torch.from_numpy(self._features)
        self._space = FeatureSpace(features[:n_query], features[n_query:], "cosine")

    def distances(self, start: int, stop: int, out: FloatArray) -> None:
        """See `Nodes`."""
        squared = self._space.approximate(start, stop)
        out[:] = self._space.distance(squared).numpy()


def propagate(
    nodes: Nodes, messages: Messages, layers: int, symmetrise: bool, progress: Progress | None
) -> Nodes:
    """Apply the layers; progress is called with (layers done, layers) after each."""
    for done in range(1, layers + 1):
        nodes = nodes.layer(messages, symmetrise)
        if progress is not None:
            progress(done, layers)
    return nodes


def inverse(norms: Vector) -> Vector:
    """1 / norm; zero for rows of zeros, which are at cosine distance 1 from everything."""
    return np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
