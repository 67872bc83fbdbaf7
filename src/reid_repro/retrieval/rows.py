"""Norms, centre and normalisation of feature rows: sums in float64, in one pass over the matrix.

Compiled loops on the CPU, torch on other devices.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from reid_repro.retrieval.compiled import kernel, reassociated

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

ROW_ELEMENTS = 1 << 20  # elements of a chunk of rows taken to float64
ROWS_A_SUM = 256  # rows added up by one thread: the same for any number of threads


def row_chunks(features: Tensor) -> Iterator[slice]:
    """Ranges of rows that are taken to float64 at once."""
    step = max(1, ROW_ELEMENTS // features.shape[1])
    for first in range(0, features.shape[0], step):
        yield slice(first, first + step)


def squared_norms(features: Tensor, centre: Tensor | None) -> Tensor:
    """|x - centre|^2 of each row, (n,) float64."""
    if features.device.type == "cpu":
        origin = torch.zeros(features.shape[1], dtype=torch.float64) if centre is None else centre
        out = np.empty(len(features), dtype=np.float64)
        _squared_norms(features.numpy(), origin.numpy(), out)
        return torch.from_numpy(out)
    shift = 0 if centre is None else centre
    parts = [(features[rows].double() - shift).square_().sum(1) for rows in row_chunks(features)]
    return torch.cat(parts)


def mean_row(features: Tensor) -> Tensor:
    """The mean of the rows, (d,) float64."""
    if features.device.type == "cpu":
        sums = np.zeros((-(-len(features) // ROWS_A_SUM), features.shape[1]), dtype=np.float64)
        _partial_sums(features.numpy(), sums)
        return torch.from_numpy(sums.sum(0) / len(features))
    total = torch.zeros(features.shape[1], dtype=torch.float64, device=features.device)
    for rows in row_chunks(features):
        total += features[rows].double().sum(0)
    return total / len(features)


def normalised(features: Tensor) -> Tensor:
    """L2-normalise rows (n, d) in float64, rounded to float32; zero rows stay zero."""
    norm = squared_norms(features, None).sqrt_()
    norm[norm == 0] = 1
    out = torch.empty_like(features)
    if features.device.type == "cpu":
        _scaled(features.numpy(), norm.numpy(), out.numpy())
        return out
    for rows in row_chunks(features):
        out[rows] = features[rows].double().div_(norm[rows, None]).float()
    return out


def shifted(features: Tensor, centre: Tensor) -> Tensor:
    """The rows less their centre, rounded to float32."""
    out = torch.empty_like(features)
    if features.device.type == "cpu":
        _shifted(features.numpy(), centre.numpy(), out.numpy())
        return out
    for rows in row_chunks(features):
        out[rows] = features[rows].double().sub_(centre).float()
    return out


def rounding_losses(features: Tensor, centre: Tensor | None, rounded: Tensor) -> Tensor:
    """|(x - centre) - rounded| of each row, (n,) float64; `rounded` may be float32 or bfloat16."""
    if features.device.type == "cpu":
        origin = torch.zeros(features.shape[1], dtype=torch.float64) if centre is None else centre
        squared = np.empty(len(features))
        for rows in row_chunks(features):
            wide = np.ascontiguousarray(rounded[rows].float().numpy())
            _squared_losses(features[rows].numpy(), origin.numpy(), wide, squared[rows])
        return torch.from_numpy(np.sqrt(squared))
    shift = 0 if centre is None else centre
    parts = [
        (features[rows].double() - shift - rounded[rows]).square_().sum(1).sqrt_()
        for rows in row_chunks(features)
    ]
    return torch.cat(parts)


@reassociated
def _squared_loss(x: Floats, centre: Doubles, rounded: Floats) -> Any:
    total = 0.0
    for i in range(x.shape[0]):
        gap = np.float64(x[i]) - centre[i] - np.float64(rounded[i])
        total += gap * gap
    return total


@reassociated
def _squared_norm(x: Floats, centre: Doubles) -> Any:
    total = 0.0
    for i in range(x.shape[0]):
        gap = np.float64(x[i]) - centre[i]
        total += gap * gap
    return total


@kernel(over="features")
def _squared_losses(
    begin: int, end: int, features: Floats, centre: Doubles, rounded: Floats, out: Doubles
) -> None:
    for row in range(begin, end):
        out[row] = _squared_loss(features[row], centre, rounded[row])


@kernel(over="features")
def _squared_norms(begin: int, end: int, features: Floats, centre: Doubles, out: Doubles) -> None:
    for row in range(begin, end):
        out[row] = _squared_norm(features[row], centre)


@kernel(over="sums")
def _partial_sums(begin: int, end: int, features: Floats, sums: Doubles) -> None:
    """Sums of `ROWS_A_SUM` rows each, so that their total does not depend on the threads."""
    n, dim = features.shape
    for part in range(begin, end):
        for row in range(part * ROWS_A_SUM, min(n, (part + 1) * ROWS_A_SUM)):
            for i in range(dim):
                sums[part, i] += features[row, i]


@kernel(over="features")
def _scaled(begin: int, end: int, features: Floats, norm: Doubles, out: Floats) -> None:
    for row in range(begin, end):
        for i in range(features.shape[1]):
            out[row, i] = np.float32(np.float64(features[row, i]) / norm[row])


@kernel(over="features")
def _shifted(begin: int, end: int, features: Floats, centre: Doubles, out: Floats) -> None:
    for row in range(begin, end):
        for i in range(features.shape[1]):
            out[row, i] = np.float32(np.float64(features[row, i]) - centre[i])
