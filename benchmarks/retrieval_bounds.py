"""Bounds and plain implementations that lines are compared with, written for this benchmark.

The bounds are matrix products of the same shape with nothing kept: no exact search by products is
faster than its product. The plain implementations are dense and literal, as most public code is.
"""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from reid_repro.retrieval import average_precision

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

TILE = 2048  # rows and columns of an output tile: 16 MiB in float32, 8 MiB in bfloat16
GALLERY_ROWS = 512  # rows of a block of mm + topk


def torch_product(left: Tensor, right: Tensor) -> None:
    """left @ right.T by tiles into one reused buffer."""
    buffer = torch.empty(TILE * TILE, dtype=left.dtype, device=left.device)
    for top in range(0, len(left), TILE):
        rows = left[top : top + TILE]
        for first in range(0, len(right), TILE):
            columns = right[first : first + TILE]
            out = buffer[: len(rows) * len(columns)].view(len(rows), len(columns))
            torch.mm(rows, columns.T, out=out)


def numpy_product(left: FloatArray, right: FloatArray) -> None:
    """The same by numpy's BLAS."""
    buffer = np.empty(TILE * TILE, dtype=np.float32)
    for top in range(0, len(left), TILE):
        rows = left[top : top + TILE]
        for first in range(0, len(right), TILE):
            columns = right[first : first + TILE]
            out = buffer[: len(rows) * len(columns)].reshape(len(rows), len(columns))
            np.matmul(rows, columns.T, out=out)


def euclidean_distances(left: FloatArray, right: FloatArray) -> FloatArray:
    """Distances of L2-normalised rows as one float32 matrix, worked on in place."""
    product = torch.from_numpy(left) @ torch.from_numpy(right).T
    return np.asarray(product.mul_(-2).add_(2).clamp_(min=0).sqrt_().numpy())


def argsort_evaluator(
    distances: FloatArray,
    query_ids: IntArray,
    gallery_ids: IntArray,
    query_cameras: IntArray,
    gallery_cameras: IntArray,
    ranks: int,
) -> tuple[npt.NDArray[np.float64], float]:
    """CMC and mAP by a stable argsort of each row and a walk over masks; junk left out before."""
    values, first_hits = [], np.zeros(ranks)
    for q, row in enumerate(distances):
        order = np.argsort(row, kind="stable")
        same = gallery_ids[order] == query_ids[q]
        own = same & (gallery_cameras[order] == query_cameras[q])
        places = np.flatnonzero(same[~own])
        if len(places):
            values.append(float(average_precision(places + 1)))
            first_hits[places[0] :] += 1
    return first_hits / len(values), float(np.mean(values))


def topk_search(nodes: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest inner products of every row: a product and a topk a block."""
    found = [
        torch.topk(nodes[start : start + GALLERY_ROWS] @ nodes.T, k, dim=1)
        for start in range(0, len(nodes), GALLERY_ROWS)
    ]
    return torch.cat([block.values for block in found]), torch.cat([b.indices for b in found])


class DenseGNN:
    """GNN re-ranking as its authors compute it, on dense n x n matrices in torch.

    Similarities of all nodes (Eq. 7), a 0/1 matrix of the k1 nearest (Eq. 8); in each layer the
    features are symmetrised (Eq. 9, up to its factor), summed over the k2 nearest with weights
    similarity^alpha (Eq. 14, the node being its own first neighbour) and L2-normalised.
    """

    def __init__(self, k1: int, k2: int, layers: int = 2, alpha: float = 2.0) -> None:
        self.k1, self.k2, self.layers, self.alpha = k1, k2, layers, alpha
        self.timings: dict[str, float] = {}

    def similarities(self, query: Tensor, gallery: Tensor) -> Tensor:
        """Cosine similarities of the refined features, (q, g)."""
        begin = time.perf_counter()
        nodes = torch.cat([query, gallery])
        similarity, neighbour = torch.topk(nodes @ nodes.T, max(self.k1, self.k2), dim=1)
        features = torch.zeros(len(nodes), len(nodes), device=nodes.device)
        features.scatter_(1, neighbour[:, : self.k1], 1.0)
        built = self._lap("graph", begin, nodes)
        weight = similarity[:, : self.k2].pow(self.alpha)
        for _ in range(self.layers):
            features = features + features.T
            features = self._propagate(features, neighbour[:, : self.k2], weight)
        propagated = self._lap("propagation", built, nodes)
        result = features[: len(query)] @ features[len(query) :].T
        self._lap("similarities", propagated, nodes)
        return result

    def _propagate(self, features: Tensor, neighbour: Tensor, weight: Tensor) -> Tensor:
        total = torch.zeros_like(features)
        for j in range(neighbour.shape[1]):
            # A block of rows at a time: the gathered rows of all nodes would be another n x n.
            for start in range(0, len(features), TILE):
                rows = slice(start, start + TILE)
                total[rows].addcmul_(weight[rows, j, None], features[neighbour[rows, j]])
        return total.div_(total.norm(dim=1, keepdim=True))

    def _lap(self, phase: str, begin: float, nodes: Tensor) -> float:
        if nodes.is_cuda:
            torch.cuda.synchronize()
        now = time.perf_counter()
        self.timings[phase] = now - begin
        return now
