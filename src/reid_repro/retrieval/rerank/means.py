"""Means of features and their weighted neighbours, for query expansion."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from reid_repro.retrieval.compiled import kernel

MEAN_ELEMENTS = 1 << 22  # gathered float32 elements a chunk, off the CPU

FloatArray = npt.NDArray[np.float32]
Weights = npt.NDArray[np.float64]


def weighted_means(
    features: Tensor,
    pool: Tensor,
    indices: npt.NDArray[np.int64],
    weights: Weights,
    own: Weights,
) -> Tensor:
    """(own[i] features[i] + sum over p of weights[i, p] pool[indices[i, p]]) / (own[i] + k).

    Args:
        features: rows to expand, (n, d) float32; `pool` (g, d) those that are added.
        indices: rows of the pool, (n, k); `weights` theirs, (n, k).
        own: weight of each row itself, 0 or 1, (n,).

    Returns:
        (n, d) float32 on the features' device, summed in float64 on the CPU, in order.
    """
    if features.device.type != "cpu":
        return _gathered_means(features, pool, indices, weights, own)
    out = torch.empty_like(features)
    _means(features.numpy(), pool.numpy(), indices, weights, own, out.numpy())
    return out


@kernel(over="features")
def _means(
    begin: int,
    end: int,
    features: FloatArray,
    pool: FloatArray,
    indices: npt.NDArray[np.int64],
    weights: Weights,
    own: Weights,
    out: FloatArray,
) -> None:
    dim = features.shape[1]
    for row in range(begin, end):
        total = np.empty(dim, dtype=np.float64)
        for at in range(dim):
            total[at] = own[row] * features[row, at]
        for rank in range(indices.shape[1]):
            weight, source = weights[row, rank], pool[indices[row, rank]]
            for at in range(dim):
                total[at] += weight * source[at]
        count = own[row] + indices.shape[1]
        for at in range(dim):
            out[row, at] = total[at] / count


def _gathered_means(
    features: Tensor,
    pool: Tensor,
    indices: npt.NDArray[np.int64],
    weights: Weights,
    own: Weights,
) -> Tensor:
    """`weighted_means` by torch operations, in float32."""
    device = features.device
    index = torch.from_numpy(indices).to(device)
    weight = torch.from_numpy(weights).to(device).float()
    own_weight = torch.from_numpy(own).to(device).float()[:, None]
    out = torch.empty_like(features)
    step = max(1, MEAN_ELEMENTS // max(index.shape[1] * features.shape[1], 1))
    for first in range(0, len(features), step):
        rows = slice(first, first + step)
        total = (weight[rows, :, None] * pool[index[rows]]).sum(1)
        total += own_weight[rows] * features[rows]
        out[rows] = total / (own_weight[rows] + index.shape[1])
    return out
