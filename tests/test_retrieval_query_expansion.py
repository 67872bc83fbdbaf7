"""Query expansion against naive means."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reranking import clustered, cosine_distances, naive_expansion

from reid_repro.retrieval import evaluate
from reid_repro.retrieval.rerank import AlphaQueryExpansion, AverageQueryExpansion, means


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small problems: threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n_query=st.integers(1, 9),
    n_gallery=st.integers(1, 30),
    k=st.integers(1, 40),
    alpha=st.sampled_from([0.0, 0.5, 3.0]),
    include=st.booleans(),
    expand_gallery=st.booleans(),
    pool=st.sampled_from(["gallery", "all"]),
    given_features=st.booleans(),
    times=st.integers(1, 2),
)
def test_any_settings_are_the_naive_means(
    seed: int,
    n_query: int,
    n_gallery: int,
    k: int,
    alpha: float,
    include: bool,
    expand_gallery: bool,
    pool: Any,
    given_features: bool,
    times: int,
) -> None:
    query, gallery = clustered(seed, n_query, n_gallery)
    lengths = np.random.default_rng(seed).uniform(0.5, 2, size=(n_gallery, 1))
    gallery = (gallery * lengths).astype(np.float32)
    reranker = AlphaQueryExpansion(
        k,
        alpha,
        include_query=include,
        expand_gallery=expand_gallery,
        pool=pool,
        averaged="given" if given_features else "normalised",
        times=times,
    )
    rows = reranker.fit(query, gallery).distances(0, n_query)
    x, y = query.astype(np.float64), gallery.astype(np.float64)
    for _ in range(times):
        own = np.arange(n_query + n_gallery)
        if pool == "gallery":
            queries = naive_expansion(x, y, k, alpha, include=include, given=given_features)
            places, entries = own[:n_gallery], y
        else:
            everything = np.concatenate([x, y])
            settings_of = {"own": own, "given": given_features}
            queries = naive_expansion(x, everything, k, alpha, include=include, **settings_of)
            places, entries = own[n_query:], everything
        if expand_gallery:
            y = naive_expansion(
                y, entries, k, alpha, include=True, own=places, given=given_features
            )
        x = queries
    if np.linalg.norm(x, axis=1).min() > 1e-3:  # else rounding decides the direction of a mean
        np.testing.assert_allclose(rows, cosine_distances(x, y), atol=2e-5)


def test_alpha_zero_is_the_plain_mean() -> None:
    query, gallery = clustered(5, 12, 50)
    for options in ({}, {"include_query": False}, {"expand_gallery": True, "pool": "all"}):
        plain = AverageQueryExpansion(4, **options).fit(query, gallery).distances(2, 9)
        weighted = AlphaQueryExpansion(4, 0.0, **options).fit(query, gallery).distances(2, 9)
        np.testing.assert_array_equal(plain, weighted)


@pytest.mark.parametrize("times", [1, 2])
def test_settings_that_agree_with_fast_reid(times: int) -> None:
    query, gallery = clustered(11, 9, 60, identities=4)
    query, gallery = np.abs(query), 3 * np.abs(gallery)  # no negative similarities
    features = np.concatenate([query, gallery]).astype(np.float64)
    for _ in range(times):  # the mean over the five nearest of all, itself the first of them
        unit = features / np.linalg.norm(features, axis=1, keepdims=True)
        similarity = unit @ unit.T
        nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :5]
        weight = np.take_along_axis(similarity, nearest, axis=1) ** 3
        features = (weight[:, :, None] * features[nearest]).mean(axis=1)
    reranker = AlphaQueryExpansion(
        4, 3.0, expand_gallery=True, pool="all", averaged="given", times=times
    ).fit(query, gallery)
    assert reranker.space is not None
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    np.testing.assert_allclose(reranker.space.queries, unit[:9], atol=1e-6)
    np.testing.assert_allclose(reranker.space.gallery, unit[9:], atol=1e-6)


def test_a_query_behind_its_exact_copies_is_not_its_own_neighbour() -> None:
    query, gallery = clustered(0, 4, 30)
    query[:] = query[0]
    got = AverageQueryExpansion(2, pool="all").fit(query, gallery)
    assert got.space is not None
    np.testing.assert_allclose(got.space.queries, query, atol=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 3.0])
def test_means_do_not_depend_on_blocks_or_threads(alpha: float) -> None:
    query, gallery = clustered(1, 23, 140, copies=12)
    spaces = []
    for threads, block in ((1, 30), (2, None)):
        torch.set_num_threads(threads)
        reranker = AlphaQueryExpansion(6, alpha, expand_gallery=True, block=block)
        spaces.append(reranker.fit(query, gallery).space)
    for space in spaces[1:]:
        np.testing.assert_array_equal(space.queries, spaces[0].queries)
        np.testing.assert_array_equal(space.gallery, spaces[0].gallery)


def test_means_off_the_cpu_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(means, "MEAN_ELEMENTS", 100)
    rng = np.random.default_rng(0)
    features, pool = torch.randn(21, 7), torch.randn(30, 7)
    arguments = rng.integers(30, size=(21, 4)), rng.uniform(size=(21, 4)), rng.integers(2, size=21)
    indices, weights, own = arguments[0], arguments[1], arguments[2].astype(np.float64)
    compiled = means.weighted_means(features, pool, indices, weights, own)
    gathered = means._gathered_means(features, pool, indices, weights, own)
    np.testing.assert_allclose(compiled, gathered, atol=1e-6)


def test_k_is_clipped_to_a_small_gallery() -> None:
    query, gallery = clustered(6, 3, 2)
    rows = AverageQueryExpansion(10, expand_gallery=True).fit(query, gallery).distances(0, 3)
    assert rows.shape == (3, 2)
    alone = AverageQueryExpansion(10, expand_gallery=True).fit(query, gallery[:1])
    assert alone.distances(0, 3).shape == (3, 1)


@pytest.mark.parametrize("build", [AverageQueryExpansion, AlphaQueryExpansion])
@pytest.mark.parametrize(
    ("options", "rows"),
    [
        ({}, [9]),
        ({"times": 2}, [9, 9]),
        ({"expand_gallery": True}, [9, 40]),
        ({"pool": "all"}, [9]),
        ({"pool": "all", "expand_gallery": True}, [49]),
    ],
    ids=str,
)
def test_progress_of_every_search(build: Any, options: dict[str, Any], rows: list[int]) -> None:
    calls: list[tuple[int, int]] = []
    reranker = build(3, progress=lambda done, total: calls.append((done, total)), **options)
    reranker.fit(*clustered(1, 9, 40))
    assert [total for done, total in calls if done == total] == rows


def test_expanded_features_can_be_ranked_exactly() -> None:
    query, gallery = clustered(3, 15, 80)
    rng = np.random.default_rng(0)
    ids = rng.integers(1, 8, size=15), rng.integers(0, 8, size=80)
    reranker = AverageQueryExpansion(3)
    streamed = evaluate(query, gallery, *ids, reranker=reranker)
    assert reranker.space is not None
    exact = evaluate(reranker.space.queries, reranker.space.gallery, *ids, metric="cosine")
    np.testing.assert_allclose(streamed.ap, exact.ap, atol=1e-12)


@pytest.mark.parametrize(
    ("query", "gallery", "message"),
    [
        (np.ones((2, 3)), np.ones((2, 4)), "3 dimensions"),
        (np.ones((2, 3)), np.ones((0, 3)), "gallery is empty"),
        (np.ones((2, 3)), np.array([[1.0, 2, 3], [1, np.nan, 1]]), "gallery row 1 holds NaN"),
        (np.array([[np.inf, 2, 3]]), np.ones((2, 3)), "query row 0 holds NaN or infinite"),
    ],
)
@pytest.mark.parametrize("pool", ["gallery", "all"])
def test_bad_features_are_named(query: Any, gallery: Any, message: str, pool: Any) -> None:
    with pytest.raises(ValueError, match=message):
        AverageQueryExpansion(pool=pool).fit(query, gallery)
