"""Propagation by torch operations: the node features of `propagation.py` for any device.

Everything stays on the device until a block of distances is returned, except rows that have filled
up beyond the bound on memory: these go on as the panels of `propagation.py`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from reid_repro.retrieval.distances import FeatureSpace
from reid_repro.retrieval.rerank.propagation import DENSE_SHARE, Messages, Nodes, PanelNodes
from reid_repro.retrieval.rerank.sparse_torch import (
    add_transpose,
    combine_rows,
    compare_rows,
    neighbour_rows,
)

FloatArray = npt.NDArray[np.float32]
ELEMENTS = 1 << 26  # of the columns that a layer of dense features takes at a time
ENTRY_BYTES = 12  # of a sparse entry: int64 column and float32 value


class TensorNodes:
    """`SparseNodes` on a device: neighbour lists (n, k1) of Eq. 8 as rows with ones.

    Args:
        ranked: neighbours, (n, k1) int64 on the device.
        symmetric: add the transpose (Eq. 9).
        memory: bound on the bytes of entries in a layer.
    """

    def __init__(self, ranked: Tensor, symmetric: bool, memory: int) -> None:
        n, k = ranked.shape
        self._n, self._memory = n, memory
        self._rows = neighbour_rows(ranked, torch.ones(ranked.shape, device=ranked.device))
        self._norms = torch.full((n,), k**0.5, dtype=torch.float64, device=ranked.device)
        if symmetric:
            self._rows, self._norms, _ = add_transpose(self._rows)
        self._scale: Tensor | None = None  # None: not normalised yet

    def layer(self, messages: Messages, symmetrise: bool) -> Nodes:
        """See `propagation.Nodes`."""
        limit = min(self._memory // ENTRY_BYTES, self._n**2 // DENSE_SHARE)
        if symmetrise:
            if 4 * len(self._rows.data) > limit:
                return self._dense().layer(messages, symmetrise)
            self._symmetrise()
        scale = np.ones(self._n) if self._scale is None else self._scale.cpu().numpy()
        edges, factors, own = on_device(messages, scale, self._rows.data.device)
        combined = combine_rows(
            edges,
            factors,
            self._rows,
            own=own,
            maximum=messages.maximum,
            limit=limit - len(self._rows.data),
        )
        if combined is None:
            return self._dense().layer(messages, symmetrise=False)
        self._rows, self._norms, _ = combined
        self._scale = _inverse(self._norms)
        return self

    def _symmetrise(self) -> None:
        """Replace H by D H + (D H)^T, D the scales."""
        rows = self._rows
        if self._scale is not None:
            rows = rows.scaled(self._scale)
        self._rows, self._norms, _ = add_transpose(rows)
        self._scale = None

    def _dense(self) -> Nodes:
        """The same features as a dense matrix: on the device, or panels beyond the bound."""
        if 4 * self._n**2 > self._memory:
            scale = None if self._scale is None else self._scale.cpu().numpy()
            return PanelNodes(self._rows.on_host(), scale, self._memory)
        matrix = torch.zeros((self._n, self._n), device=self._rows.data.device)
        matrix[self._rows.numbers, self._rows.indices] = self._rows.data
        return DenseNodes(matrix, self._scale)

    def settle(self, n_query: int) -> None:
        """See `propagation.Nodes`."""
        # Unit rows on both sides: unnormalised sums could outgrow the integers of `compare_rows`.
        scale, n_gallery = _inverse(self._norms), self._n - n_query
        gallery = self._rows.part(n_query, self._n).scaled(scale[n_query:])
        self._inverted, self._n_gallery = gallery.transposed(self._n), n_gallery
        self._rows = self._rows.part(0, n_query).scaled(scale[:n_query])

    def distances(self, start: int, stop: int, out: FloatArray) -> None:
        """See `propagation.Nodes`."""
        rows = self._rows.part(start, stop)
        cosine = compare_rows(rows, self._inverted, self._n_gallery, smaller=False)
        out[:] = (1 - cosine).clamp_(min=0).float().cpu().numpy()


class DenseNodes:
    """Dense node features (n, c) on a device, with scales (n,) still to be applied.

    Cosines are products in float64; which float32 one rounds to may follow the block of rows.
    """

    def __init__(self, matrix: Tensor, scale: Tensor | None = None) -> None:
        self._matrix = matrix
        ones = torch.ones(len(matrix), dtype=torch.float64, device=matrix.device)
        self._scale = ones if scale is None else scale

    def layer(self, messages: Messages, symmetrise: bool) -> Nodes:
        """See `propagation.Nodes`; in place, some columns at a time."""
        matrix = self._matrix
        if symmetrise:
            matrix *= self._scale.float()[:, None]
            matrix = matrix + matrix.T
            self._scale = torch.ones_like(self._scale)
        edges, factors, own = on_device(messages, self._scale.cpu().numpy(), matrix.device)
        squared = torch.zeros_like(self._scale)
        step = max(1, ELEMENTS // len(matrix))
        for first in range(0, matrix.shape[1], step):
            columns = matrix[:, first : first + step]
            mix = columns[edges[:, 0]] * factors[:, :1]
            for edge, factor in zip(edges.T[1:], factors.T[1:], strict=True):
                message = columns[edge] * factor[:, None]
                mix = torch.maximum(mix, message) if messages.maximum else mix.add_(message)
            if own is not None:
                mix += columns * own[:, None]
            squared += mix.double().square_().sum(1)
            matrix[:, first : first + step] = mix
        self._matrix, self._scale = matrix, _inverse(squared.sqrt_())
        return self

    def settle(self, n_query: int) -> None:
        """See `propagation.Nodes`."""
        self._n_query = n_query

    def distances(self, start: int, stop: int, out: FloatArray) -> None:
        """See `propagation.Nodes`."""
        matrix, scale, split = self._matrix, self._scale, self._n_query
        cosine = torch.zeros(out.shape, dtype=torch.float64, device=matrix.device)
        step = max(1, ELEMENTS // len(matrix))
        for first in range(0, matrix.shape[1], step):
            columns = matrix[:, first : first + step]
            cosine += columns[start:stop].double() @ columns[split:].double().T
        cosine *= scale[start:stop, None] * scale[split:]
        out[:] = (1 - cosine).clamp_(min=0).float().cpu().numpy()


class TensorFeatureNodes(DenseNodes):
    """`FeatureNodes` on a device: the original features (n, d), which are left as they are."""

    def __init__(self, features: Tensor) -> None:
        super().__init__(features.clone())

    def layer(self, messages: Messages, symmetrise: bool) -> Nodes:
        """See `propagation.Nodes`; there is nothing to symmetrise."""
        super().layer(messages, symmetrise=False)
        return self

    def settle(self, n_query: int) -> None:
        """See `propagation.Nodes`."""
        features = self._matrix * self._scale.float()[:, None]
        self._space = FeatureSpace(features[:n_query], features[n_query:], "cosine")

    def distances(self, start: int, stop: int, out: FloatArray) -> None:
        """See `propagation.Nodes`."""
        squared = self._space.approximate(start, stop)
        out[:] = self._space.distance(squared).cpu().numpy()


def on_device(
    messages: Messages, scale: npt.NDArray[np.float64], device: torch.device
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Neighbours, weights and the residual's weight for features with these scales."""
    weights, own = messages.scaled(scale)
    kept = None if own is None else torch.from_numpy(own).to(device)
    neighbours = torch.from_numpy(messages.neighbours).to(device)
    return neighbours, torch.from_numpy(weights).to(device), kept


def _inverse(norms: Tensor) -> Tensor:
    """1 / norm, zero where the norm is."""
    return torch.where(norms > 0, 1 / norms, 0)
