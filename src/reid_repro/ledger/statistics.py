"""Intervals of retrieval metrics.

The queries of one identity resemble each other, so they are no independent sample: what is
resampled first is identities, with replacement, then the queries of each (Davison & Hinkley 1997,
section 3.8). For the tables the second stage draws with replacement as well, which counts what
differs within an identity twice and makes the interval a little too wide; the samples that
verdicts are built on take all queries of a drawn identity, which covers at the nominal rate
(their strategy 1; Rao & Wu 1988 for a first stage that draws from many). Intervals are
percentile ones.
"""

from __future__ import annotations

import functools
import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


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
    _check_level(level)
    order = np.argsort(identities, kind="stable")
    values = values[order]
    _, counts = np.unique(identities, return_counts=True)
    means = np.empty((resamples, *values.shape[1:]))
    for resample, drawn in enumerate(_drawn_twice(tuple(counts.tolist()), resamples, seed)):
        means[resample] = np.add.reduce(values.take(drawn, axis=0), axis=0) / len(drawn)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


@functools.lru_cache(maxsize=4)
def _drawn_twice(
    counts: tuple[int, ...], resamples: int, seed: int
) -> tuple[npt.NDArray[np.int32], ...]:
    """The queries of each resample, in order of identities, which have `counts` queries each.

    Kept for a few test sets, 4 bytes a query and resample: a page shows many values of each.
    """
    sizes = np.array(counts)
    starts = np.cumsum(sizes) - sizes
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(resamples):
        drawn = rng.integers(len(sizes), size=len(sizes))
        repeated = np.repeat(drawn, sizes[drawn])
        found.append((starts[repeated] + rng.integers(sizes[repeated])).astype(np.int32))
    return tuple(found)


@dataclass(frozen=True)
class Draws:
    """Resamples of one test set, the same for everything that is measured on it.

    `counts` (B, n) says how often each of the n queries stands in each resample: one product with
    the values makes all resampled means. Sums of hits are exact in it, so that ties stay ties.
    """

    counts: Array

    def samples(self, values: npt.ArrayLike) -> Array:
        """The mean of `values` (n,) and its resamples: (1 + B,).

        Differences, ratios and maxima of such samples are those of the same resamples: two
        rankings of one test set stay paired. Raises ValueError for another number of values.
        """
        column = np.asarray(values, dtype=np.float64)
        if column.shape != self.counts.shape[1:]:
            raise ValueError(
                f"{column.shape} values for draws of {self.counts.shape[1]} queries; "
                "expected one value a query"
            )
        sums = np.concatenate([[column.sum()], self.counts @ column])
        means: Array = sums / np.concatenate([[len(column)], self.counts.sum(axis=1)])
        return means


def identity_draws(
    identities: npt.ArrayLike, *, resamples: int, seed: int, name: str = ""
) -> Draws:
    """Resamples of a test set: identities with replacement, each with all of its queries.

    `identities` is (n,). `name` keeps the draws of test sets apart that have the same `seed`.
    Raises ValueError where there are no identities.
    """
    known, member = np.unique(np.asarray(identities), return_inverse=True)
    if len(known) == 0:
        raise ValueError(f"no identities to draw from{f' in {name}' if name else ''}")
    rng = stream(seed, name)
    drawn = rng.multinomial(len(known), np.full(len(known), 1 / len(known)), size=resamples)
    return Draws(drawn[:, member].astype(np.float64))


def stream(seed: int, name: str) -> np.random.Generator:
    """The random numbers of one named use: they do not depend on what else is drawn, or when."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def samples_over_seeds(draws: Draws, values: npt.ArrayLike, *, seed: int, name: str) -> Array:
    """The mean over queries and seeds with its resamples, (1 + B,), of `values` (n, S).

    Where there are several seeds, each resample draws seeds too: the deviation of their mean is
    added to that of the drawn queries, widened by sqrt(S / (S - 1)), since a mean of S drawn with
    replacement varies too little by this factor. `name` is that of the training: rankings of the
    same networks share its draws.
    """
    columns = np.asarray(values, dtype=np.float64)
    if columns.ndim != 2 or columns.shape[1] == 0:
        raise ValueError(f"values of shape {columns.shape}; expected (n_query, n_seed)")
    samples = draws.samples(columns.mean(axis=1))
    number = columns.shape[1]
    if number == 1:
        return samples
    means = columns.mean(axis=0)
    drawn = stream(seed, name).integers(number, size=(len(samples) - 1, number))
    moved = means[drawn].mean(axis=1) - means.mean()
    samples[1:] += np.sqrt(number / (number - 1)) * moved
    return samples


def interval(samples: npt.ArrayLike, level: float) -> tuple[float, float] | None:
    """The percentile interval of samples (1 + B,), the measured value left out; None if B is 0."""
    _check_level(level)
    resampled = np.asarray(samples, dtype=np.float64)[1:]
    if len(resampled) == 0:
        return None
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def seed_sd(means: npt.ArrayLike) -> float | None:
    """The standard deviation over seeds of a metric, `means` (S,); None with a single one."""
    found = np.asarray(means, dtype=np.float64)
    return float(found.std(ddof=1)) if len(found) > 1 else None


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it must lie between 0 and 1")
