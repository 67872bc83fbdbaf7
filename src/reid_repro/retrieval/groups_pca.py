"""Principal component analysis of features, for coarse search in few dimensions.

GLAD (Wei et al., 2017, Section 5) reduces group descriptors from 4096 to 128 dimensions; which
images the projection is fitted on, and whether its outputs are normalised again, it leaves open:
`PCA` is fitted on whatever matrix it is given, and leaves the outputs as they are by default.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh
from scipy.linalg.blas import dsyrk, ssyrk

from reid_repro.retrieval.compiled import alone, kernel
from reid_repro.retrieval.distances import Features, as_features
from reid_repro.retrieval.products import as_many_threads

Singles = npt.NDArray[np.float32]
Reals = npt.NDArray[np.float64]

CHUNK = 1024  # rows that are centred at a time
SMALL = 1024  # rows or dimensions up to which sums and eigenvectors are in float64


class PCA:
    """Projection onto the directions of largest variance.

    The covariance is in float32, where its matrix has up to 1,024 rows in float64. A component's
    sign is such that its largest entry in absolute value is positive.

    Args:
        dim: dimensions kept.
        normalise: L2-normalise the projected rows; rows of zeros stay zero.

    Attributes:
        mean: (d,) float64.
        components: (d, dim) float32, orthonormal columns, the largest variance first.
        variances: variance along each component, (dim,) float64, divided by n - 1.
    """

    def __init__(self, dim: int, *, normalise: bool = False) -> None:
        if isinstance(dim, bool) or not isinstance(dim, int | np.integer) or dim < 1:
            raise ValueError(f"dim is {dim!r}: use an integer of at least 1")
        self.dim, self.normalise = int(dim), normalise
        self.mean: Reals | None = None

    def fit(self, features: Features) -> Self:
        """Find the components of features (n, d).

        Raises:
            ValueError: bad features, or fewer than `dim` dimensions or rows.
        """
        rows = np.asarray(as_features(features, "features", "cpu").numpy())
        n, d = rows.shape
        if self.dim > min(n, d):
            raise ValueError(
                f"PCA to {self.dim} dimensions of {n} x {d} features: use at most {min(n, d)}"
            )
        mean = np.zeros(d)
        for first in range(0, n, CHUNK):
            mean += rows[first : first + CHUNK].sum(axis=0, dtype=np.float64)
        self.mean = mean / n
        with as_many_threads():
            values, components = (_of_dimensions if d <= n else _of_rows)(rows, self.mean, self.dim)
        largest = np.abs(components).argmax(axis=0)
        components *= np.where(components[largest, np.arange(self.dim)] < 0, -1, 1)
        self.variances: Reals = np.maximum(values, 0) / max(n - 1, 1)
        self.components: Singles = np.ascontiguousarray(components, dtype=np.float32)
        return self

    def transform(self, features: Features) -> Singles:
        """Project features (n, d) to (n, dim) float32; a row's result does not depend on others.

        Raises:
            ValueError: bad features, of another width than fitted, or nothing fitted.
        """
        rows = np.asarray(as_features(features, "features", "cpu").numpy())
        if self.mean is None:
            raise ValueError("PCA: call fit before transform")
        if rows.shape[1] != len(self.mean):
            raise ValueError(f"features have {rows.shape[1]} dimensions, PCA {len(self.mean)}")
        projected: Singles = np.empty((len(rows), self.dim), dtype=np.float32)
        _project_all(rows, self.mean, self.components, self.normalise, projected)
        return projected


def _of_dimensions(rows: Singles, mean: Reals, dim: int) -> tuple[Reals, Reals]:
    """Leading variances, times n, and components by way of the scatter matrix (d, d)."""
    size = rows.shape[1]
    dtype, syrk = _arithmetic(size)
    scatter = np.zeros((size, size), dtype=dtype, order="F")
    for first in range(0, len(rows), CHUNK):
        centred = (rows[first : first + CHUNK] - mean).astype(dtype)
        scatter = syrk(1.0, centred.T, beta=1.0, c=scatter, lower=1, overwrite_c=1)
    return _leading(scatter, dim)


def _of_rows(rows: Singles, mean: Reals, dim: int) -> tuple[Reals, Reals]:
    """The same by way of the inner products (n, n), where there are fewer rows than dimensions."""
    dtype, syrk = _arithmetic(len(rows))
    centred = (rows - mean).astype(dtype)
    values, vectors = _leading(syrk(1.0, centred.T, trans=1, lower=1), dim)
    # Beyond the rank of the rows a direction is not defined: complete to orthonormal columns.
    basis, triangle = np.linalg.qr(centred.T @ vectors)
    return values, basis * np.where(np.diag(triangle) < 0, -1, 1)


def _arithmetic(size: int) -> tuple[type[np.floating[Any]], Callable[..., Any]]:
    """Type and symmetric product for a matrix of this size: float64 where that takes no time."""
    return (np.float64, dsyrk) if size <= SMALL else (np.float32, ssyrk)


def _leading(matrix: npt.NDArray[np.floating[Any]], dim: int) -> tuple[Reals, Reals]:
    """The `dim` largest eigenvalues and their vectors of a matrix given by its lower triangle."""
    n = len(matrix)
    values, vectors = eigh(
        matrix, lower=True, subset_by_index=(n - dim, n - 1), overwrite_a=True, check_finite=False
    )
    return values[::-1].astype(np.float64), vectors[:, ::-1].astype(np.float64)


@alone
def project(row: Singles, mean: Reals, components: Singles, normalise: bool) -> Singles:
    """One projected row, (dim,) float32, summed in float64 in the order of the dimensions."""
    dim = components.shape[1]
    total = np.zeros(dim)
    for j in range(len(row)):
        value = np.float64(row[j]) - mean[j]
        for k in range(dim):
            total[k] += value * np.float64(components[j, k])
    scale = 1.0
    if normalise:
        squared = 0.0
        for k in range(dim):
            squared += total[k] * total[k]
        if squared > 0:
            scale = 1 / np.sqrt(squared)
    out = np.empty(dim, dtype=np.float32)
    for k in range(dim):
        out[k] = total[k] * scale
    return out


@kernel(over="rows")
def _project_all(
    begin: int,
    end: int,
    rows: Singles,
    mean: Reals,
    components: Singles,
    normalise: bool,
    out: Singles,
) -> None:
    for i in range(begin, end):
        projected = project(rows[i], mean, components, normalise)
        for k in range(len(projected)):
            out[i, k] = projected[k]
