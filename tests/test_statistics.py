"""Resamples, intervals and tests of differences: coverage, and naive recomputation."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.stats import binom

from reid_repro.ledger.statistics import (
    Draws,
    identity_draws,
    interval,
    samples_over_seeds,
    seed_sd,
)
from reid_repro.ledger.tests_of_difference import holm, paired_difference

SIMULATIONS = 300
IDENTITIES, QUERIES = 50, 6


def within_binomial_bounds(covered: int, level: float) -> bool:
    """Whether a count of covered truths is likely at the nominal rate (99.9 %).

    The percentile bootstrap of a clusters is short by (a - 1) / a in variance: at 50 clusters a
    rate of 0.89 in place of 0.90, for which the lower end leaves room.
    """
    low, high = binom.interval(0.999, SIMULATIONS, [level - 0.012, level])
    return bool(low[0] <= covered <= high[1])


@pytest.mark.parametrize("between", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("paired", [False, True])
def test_intervals_cover_at_the_nominal_rate(between: float, paired: bool) -> None:
    """Whatever share of the variance lies between identities; differences of two rankings too."""
    rng = np.random.default_rng(7)
    member = np.repeat(np.arange(IDENTITIES), QUERIES)
    covered = 0
    for trial in range(SIMULATIONS):
        draws = identity_draws(member, resamples=200, seed=trial)
        noise = rng.normal(0, 0.2, (2, len(member)))
        clustered = rng.normal(0, between, (2, IDENTITIES))[:, member]
        first, second = 0.5 + clustered + noise
        samples = draws.samples(first)
        if paired:
            samples = samples - draws.samples(second)
        low, high = interval(samples, 0.9) or (1.0, 0.0)
        covered += low <= (0.0 if paired else 0.5) <= high
    assert within_binomial_bounds(covered, 0.9)


def test_queries_taken_for_independent_would_cover_too_little() -> None:
    """The check above can fail: resampling queries alone does."""
    rng = np.random.default_rng(7)
    member = np.repeat(np.arange(IDENTITIES), QUERIES)
    covered = 0
    for trial in range(SIMULATIONS):
        values = 0.5 + rng.normal(0, 0.3, IDENTITIES)[member] + rng.normal(0, 0.2, len(member))
        draws = identity_draws(np.arange(len(member)), resamples=200, seed=trial)
        low, high = interval(draws.samples(values), 0.9) or (1.0, 0.0)
        covered += low <= 0.5 <= high
    assert not within_binomial_bounds(covered, 0.9)


def test_intervals_over_seeds_cover_at_the_nominal_rate() -> None:
    """Both the seeds' spread and the identities' are in the interval."""
    rng = np.random.default_rng(3)
    member = np.repeat(np.arange(IDENTITIES), QUERIES)
    covered = 0
    for trial in range(SIMULATIONS):
        query = rng.normal(0, 0.1, IDENTITIES)[member] + rng.normal(0, 0.1, len(member))
        values = 0.5 + query[:, None] + rng.normal(0, 0.02, 5)
        draws = identity_draws(member, resamples=200, seed=trial)
        samples = samples_over_seeds(draws, values, seed=trial, name="run")
        low, high = interval(samples, 0.9) or (1.0, 0.0)
        covered += low <= 0.5 <= high
    assert within_binomial_bounds(covered, 0.9)


@given(
    identities=st.lists(st.integers(0, 6), min_size=1, max_size=25),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=40, deadline=None)
def test_samples_are_means_over_the_drawn_queries(identities: list[int], seed: int) -> None:
    """By a loop over the draws; all queries of an identity are drawn equally often."""
    member = np.array(identities)
    draws = identity_draws(member, resamples=8, seed=seed)
    values = np.random.default_rng(seed).random(len(member))
    expected = [values.mean()]
    for counts in draws.counts:
        chosen = [v for v, count in zip(values, counts, strict=True) for _ in range(int(count))]
        expected.append(np.mean(chosen))
        times = {one: counts[member == one] for one in set(identities)}
        assert all(len(set(found)) == 1 for found in times.values())
        assert sum(found[0] for found in times.values()) == len(times)
    np.testing.assert_allclose(draws.samples(values), expected, rtol=1e-12)


def test_draws_are_seeded_by_number_and_name() -> None:
    member = np.arange(12)
    first = identity_draws(member, resamples=20, seed=1, name="veri776/test").counts
    assert (first == identity_draws(member, resamples=20, seed=1, name="veri776/test").counts).all()
    assert (first != identity_draws(member, resamples=20, seed=2, name="veri776/test").counts).any()
    assert (first != identity_draws(member, resamples=20, seed=1, name="vric/test").counts).any()


def test_rankings_of_one_test_set_stay_paired() -> None:
    """A constant improvement has no spread, however far apart the queries lie."""
    rng = np.random.default_rng(0)
    member = rng.integers(0, 30, 200)
    values = rng.random(200)
    draws = identity_draws(member, resamples=50, seed=0)
    np.testing.assert_allclose(draws.samples(values + 0.1) - draws.samples(values), 0.1, atol=1e-12)


def test_equal_shares_of_hits_are_ties_in_every_resample() -> None:
    """Rank-1 of two rankings that hit in other queries of the same identities: no rounding."""
    member = np.repeat(np.arange(30), 3)
    draws = identity_draws(member, resamples=300, seed=0)
    first, second = np.tile([100.0, 0, 0], 30), np.tile([0, 0, 100.0], 30)
    np.testing.assert_array_equal(draws.samples(first), draws.samples(second))


def test_seeds_are_drawn_alike_for_the_rankings_of_one_training() -> None:
    member = np.arange(40)
    values = np.random.default_rng(0).random((40, 1)) + np.array([[0.0, 0.1, 0.2]])
    draws = identity_draws(member, resamples=100, seed=0)
    plain = samples_over_seeds(draws, values, seed=5, name="pgan/pgan")
    better = samples_over_seeds(draws, values + 0.05, seed=5, name="pgan/pgan")
    other = samples_over_seeds(draws, values + 0.05, seed=5, name="pgan/grid")
    np.testing.assert_allclose(better - plain, 0.05, atol=1e-12)
    assert (other - plain)[1:].std() > 0.03
    single = samples_over_seeds(draws, values[:, :1], seed=5, name="pgan/pgan")
    np.testing.assert_array_equal(single, draws.samples(values[:, 0]))


def test_the_spread_over_seeds_is_that_of_their_mean() -> None:
    """Widened by sqrt(S / (S - 1)): the standard error of a mean of S seeds."""
    means = np.array([0.1, 0.2, 0.4])
    draws = Draws(np.ones((20_000, 2)))
    samples = samples_over_seeds(draws, np.tile(means, (2, 1)), seed=0, name="")
    error = means.std(ddof=1) / np.sqrt(3)
    assert samples[1:].std() == pytest.approx(error, rel=0.03)
    assert seed_sd(means) == pytest.approx(means.std(ddof=1))
    assert seed_sd([0.3]) is None


def test_an_interval_needs_resamples() -> None:
    assert interval([0.5], 0.9) is None
    assert interval([9.0, *range(101)], 0.9) == pytest.approx((5.0, 95.0))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: identity_draws([], resamples=5, seed=0, name="x/test"), "no identities.*x/test"),
        (lambda: identity_draws([1, 2], resamples=5, seed=0).samples([1.0]), "one value a query"),
        (lambda: interval([1, 2], 90), "between 0 and 1"),
        (
            lambda: samples_over_seeds(
                identity_draws([1], resamples=5, seed=0), [1.0], seed=0, name=""
            ),
            "n_query, n_seed",
        ),
        (
            lambda: paired_difference([1.0], [1.0], [1, 2], resamples=5, seed=0),
            "one of each a query",
        ),
    ],
)
def test_nonsense_is_refused(wrong: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wrong()


@given(
    moved=arrays.arrays(np.float64, 14, elements=st.integers(-8, 8).map(lambda number: number / 8)),
    members=st.lists(st.integers(0, 5), min_size=14, max_size=14),
)
@settings(max_examples=30, deadline=None)
def test_the_p_value_is_that_of_all_swaps(moved: np.ndarray, members: list[int]) -> None:
    """With few identities every swap is tried: against a literal loop over them."""
    identities = np.array(members)
    known = sorted(set(members))
    observed = abs(moved.sum())
    above = total = 0
    for signs in product([1, -1], repeat=len(known)):
        swapped = sum(s * moved[identities == i].sum() for s, i in zip(signs, known, strict=True))
        above += abs(swapped) >= observed - 1e-9
        total += 1
    second = np.linspace(0, 1, 14)
    found = paired_difference(second + moved, second, identities, resamples=9999, seed=0)
    assert found.p == pytest.approx(above / total)
    assert found.mean == pytest.approx(moved.mean())
    assert (found.identities, found.queries) == (len(known), 14)


def test_the_test_keeps_its_level_under_the_null() -> None:
    """Clustered differences around zero are significant at 5 % in 5 % of the cases."""
    rng = np.random.default_rng(1)
    member = np.repeat(np.arange(25), 4)
    rejected = 0
    for _ in range(300):
        moved = rng.normal(0, 0.2, 25)[member] + rng.normal(0, 0.1, 100)
        found = paired_difference(moved, np.zeros(100), member, resamples=199, seed=0)
        rejected += found.p < 0.05
    low, high = binom.interval(0.999, 300, 0.05)
    assert low <= rejected <= high


def test_the_effect_is_standardised_over_identities() -> None:
    first, second = np.array([0.5, 0.7, 0.9, 0.9]), np.array([0.4, 0.4, 0.8, 0.9])
    found = paired_difference(first, second, [1, 1, 2, 3], resamples=99, seed=0)
    means = np.array([0.2, 0.1, 0.0])
    assert found.effect == pytest.approx(means.mean() / means.std(ddof=1))
    same = paired_difference(first, first, [1, 1, 2, 3], resamples=99, seed=0)
    assert (same.p, same.effect, same.mean) == (1.0, None, 0.0)
    assert paired_difference([1.0], [0.5], [4], resamples=99, seed=0).effect is None


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_rejects_as_his_procedure_does(p_values: list[float]) -> None:
    """Step down from the smallest while p <= alpha / (number left)."""
    adjusted = holm(p_values)
    for alpha in (0.01, 0.05, 0.3):
        rejected = set()
        for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
            if p_values[place] * (len(p_values) - rank) > alpha:
                break
            rejected.add(place)
        assert {place for place, p in enumerate(adjusted) if p <= alpha} == rejected
