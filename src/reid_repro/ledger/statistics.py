"""Intervals of retrieval metrics.

The queries of one identity resemble each other, so they are no independent sample: the
bootstrap draws identities with replacement, then queries with replacement within each
(two-stage cluster bootstrap; Davison & Hinkley 1997, section 3.8). The interval is the
percentile one.
"""

from __future__ import annotations

import numpy as np


def identity_bootstrap(
    values: np.ndarray,
    identities: np.ndarray,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper ends of the interval of each column's mean.

    `values` is (n_query,) or (n_query, m), `identities` (n_query,). Returns two arrays of shape
    () or (m,). Raises ValueError for empty or unequal inputs, or a level outside (0, 1).
    """
    values = np.asarray(values, dtype=np.float64)
    identities = np.asarray(identities)
    if len(values) == 0 or len(values) != len(identities):
        raise ValueError(
            f"values has {len(values)} rows and identities {len(identities)}; "
            "expected the same number, at least 1"
        )
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it must lie between 0 and 1")
    order = np.argsort(identities, kind="stable")
    values = values[order]
    _, first, counts = np.unique(identities[order], return_index=True, return_counts=True)
    rng = np.random.default_rng(seed)
    means = np.empty((resamples, *values.shape[1:]))
    for resample in range(resamples):
        drawn = rng.integers(len(counts), size=len(counts))
        sizes = np.repeat(counts[drawn], counts[drawn])
        starts = np.repeat(first[drawn], counts[drawn])
        means[resample] = values[starts + rng.integers(sizes)].mean(axis=0)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high
