"""Is one ranking better than another? A paired randomisation test on per-query values.

Under the null hypothesis the two rankings' names could be swapped. They are swapped for all
queries of an identity at once, since these are no independent observations (Smucker et al. 2007
compare tests of retrieval systems; the randomisation test is scipy's). With thousands of queries
nearly every difference is significant, so that its size stands beside the p-value, and Holm's
correction (1979) keeps the chance of any false positive in one paper at the level of one test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.stats import permutation_test

from reid_repro.ledger.statistics import Array, stream

# Swaps that are held in memory at once: 64 MiB of them.
HELD = 2**23


@dataclass(frozen=True)
class Difference:
    """A paired comparison: the mean of a - b over queries, and what is known about it.

    `p` is two-sided. `effect` is the mean over identities of their mean differences in units of
    its standard deviation (Cohen's d of paired samples); None where all differences are alike.
    """

    mean: float
    p: float
    effect: float | None
    identities: int
    queries: int

    @property
    def reversed(self) -> Difference:
        """The same comparison as b - a."""
        effect = None if self.effect is None else -self.effect
        return replace(self, mean=-self.mean, effect=effect)


def paired_difference(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    identities: npt.ArrayLike,
    *,
    resamples: int,
    seed: int,
    name: str = "",
) -> Difference:
    """Test the mean over queries of `first` - `second`, both (n_query,), against zero.

    `identities` is (n_query,). Raises ValueError for empty or unequal inputs.
    """
    moved = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    known, member = np.unique(np.asarray(identities), return_inverse=True)
    if moved.ndim != 1 or len(moved) == 0 or len(moved) != len(member):
        raise ValueError(
            f"differences of shape {moved.shape} and {len(member)} identities; "
            "expected one of each a query, at least 1"
        )
    totals: Array = np.bincount(member, weights=moved).astype(np.float64)
    means = totals / np.bincount(member)
    return Difference(
        mean=float(moved.mean()),
        p=_p_value(totals, resamples, stream(seed, name)),
        effect=_standardised(means),
        identities=len(known),
        queries=len(moved),
    )


def _p_value(totals: Array, resamples: int, rng: np.random.Generator) -> float:
    """Of swapping the sign of each identity's total: the mean over queries is their sum / n."""
    if len(totals) < 2 or not np.any(totals):  # both signs give the same, or there is one alone
        return 1.0
    result = permutation_test(
        (totals,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, HELD // len(totals)),
        rng=rng,
    )
    return float(result.pvalue)


def _standardised(means: Array) -> float | None:
    if len(means) < 2:
        return None
    spread = float(means.std(ddof=1))
    return float(means.mean()) / spread if spread > 0 else None


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: adjusted p-values in the order given.

    The i-th smallest of m is multiplied by m - i + 1, and none is smaller than the one before it.
    """
    ordered = sorted(range(len(p_values)), key=lambda place: p_values[place])
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(ordered):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted
