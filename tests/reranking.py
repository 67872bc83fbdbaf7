"""Features and dense references for the tests of the re-rankers, written from the definitions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from reid_repro.retrieval.rerank import devices

Floats = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]


def clustered(
    seed: int, n_query: int, n_gallery: int, *, dim: int = 8, identities: int = 6, copies: int = 0
) -> tuple[Floats, Floats]:
    """Unit features around identity centres; the first `copies` gallery rows repeat others."""
    rng = np.random.default_rng(seed)
    n = n_query + n_gallery
    centres = rng.normal(size=(identities, dim))
    features = centres[rng.integers(identities, size=n)] + 0.6 * rng.normal(size=(n, dim))
    features = (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)
    if copies:
        features[n_query : n_query + copies] = features[rng.integers(n, size=copies)]
    return features[:n_query], features[n_query:]


def squared_distances(features: Floats) -> Matrix:
    """All pairs, from the differences, (n, n) float64."""
    wide = features.astype(np.float64)
    return ((wide[:, None] - wide[None]) ** 2).sum(2)


def dense_k_reciprocal(
    query: Floats,
    gallery: Floats,
    k1: int = 20,
    k2: int = 6,
    lambda_: float = 0.3,
    *,
    neighbourhood: str = "code",
    overlap: str = "more",
    expand: bool = True,
    weight_scale: str = "row_maximum",
    blend_scale: str = "row_maximum",
    ranks: tuple[int, int] | None = None,
) -> Matrix:
    """k-reciprocal encoding with n x n matrices and one loop a definition, (q, g).

    `ranks` sets the ranks of R and of a candidate's set by hand, in place of `neighbourhood`.
    """
    squared = squared_distances(np.concatenate([query, gallery]))
    n, n_query = len(squared), len(query)
    scaled = squared / squared.max(axis=1, keepdims=True)
    first = np.sqrt(squared).astype(np.float32)
    np.fill_diagonal(first, -1)
    ranked = np.argsort(first, axis=1, kind="stable")
    extra = 1 if neighbourhood == "code" else 0
    wide, half = ranks or (k1 + extra, max(int(np.around(k1 / 2)) + extra, 1))

    def reciprocal(k: int) -> list[set[int]]:
        nearest = [set(row) for row in ranked[:, :k].tolist()]
        return [{j for j in row if i in nearest[j]} for i, row in enumerate(nearest)]

    around, near = reciprocal(wide), reciprocal(half)
    encoded = np.zeros((n, n))
    for i in range(n):
        members = set(around[i])
        for candidate in around[i] if expand else ():
            shared, two_thirds = 3 * len(near[candidate] & around[i]), 2 * len(near[candidate])
            if shared > two_thirds or (overlap == "at_least" and shared == two_thirds):
                members |= near[candidate]
        columns = sorted(members)
        weight = np.exp(-(scaled if weight_scale == "row_maximum" else squared)[i, columns])
        encoded[i, columns] = weight / weight.sum()
    if k2 > 1:
        encoded = np.stack([encoded[ranked[i, :k2]].mean(axis=0) for i in range(n)])
    out = np.zeros((n_query, n - n_query))
    for i in range(n_query):
        for j in range(n_query, n):
            shared = np.minimum(encoded[i], encoded[j]).sum()
            jaccard = 1 - shared / np.maximum(encoded[i], encoded[j]).sum()
            original = (scaled if blend_scale == "row_maximum" else squared)[i, j]
            out[i, j - n_query] = (1 - lambda_) * jaccard + lambda_ * original
    return out


def naive_expansion(
    rows: Floats | Matrix,
    pool: Floats | Matrix,
    k: int,
    alpha: float,
    *,
    include: bool,
    own: npt.NDArray[np.int64] | None = None,
    given: bool = False,
) -> Matrix:
    """Mean of each row and its k nearest of the pool, (n, d).

    Row i is left out of its own neighbours as entry own[i] of the pool. `given` averages the
    features themselves in place of the normalised ones.
    """
    entries = pool.astype(np.float64)
    unit = entries / np.linalg.norm(entries, axis=1, keepdims=True)
    out = []
    for i, x in enumerate(rows.astype(np.float64)):
        direction = x / (np.linalg.norm(x) or 1)
        cosine = unit @ direction
        order = np.argsort(-cosine, kind="stable")
        near = [j for j in order if own is None or j != own[i]][:k]
        total = (x if given else direction) * include
        for j in near:
            total = total + max(cosine[j], 0) ** alpha * (entries if given else unit)[j]
        out.append(total / (len(near) + include))
    return np.stack(out)


def cosine_distances(left: Matrix, right: Matrix | Floats) -> Matrix:
    """1 - cos of all pairs, float64."""
    x = left / np.linalg.norm(left, axis=1, keepdims=True)
    y = right / np.linalg.norm(right, axis=1, keepdims=True)
    return 1 - x @ y.T.astype(np.float64)


@contextmanager
def tensor_steps(on: bool = True) -> Iterator[None]:
    """Fit re-rankers by torch operations on the CPU as well, where `on`."""
    with pytest.MonkeyPatch.context() as patch:
        if on:
            patch.setattr(devices, "takes_tensor_steps", lambda device: True)
        yield


def peak_growth(work: Callable[[], object]) -> int:
    """Bytes by which the resident memory of this process grows at most while `work` runs."""
    reset, status = Path("/proc/self/clear_refs"), Path("/proc/self/status")

    def kibibytes(field: str) -> int:
        line = next(line for line in status.read_text().splitlines() if line.startswith(field))
        return int(line.split()[1])

    try:
        reset.write_text("5")  # the high-water mark starts again from here
    except OSError:
        pytest.skip("the system does not tell the peak of a part of a process")
    before = kibibytes("VmRSS")
    work()
    return 1024 * (kibibytes("VmHWM") - before)
