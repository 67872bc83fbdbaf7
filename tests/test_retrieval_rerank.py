"""Re-rankers against dense references written from their definitions."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reid_repro.retrieval import evaluate, evaluate_distances
from reid_repro.retrieval.rerank import (
    AlphaQueryExpansion,
    AverageQueryExpansion,
    KReciprocal,
    Reranker,
)

Matrix = npt.NDArray[np.float64]


def clustered(
    seed: int, n_query: int, n_gallery: int, *, dim: int = 8, identities: int = 6, copies: int = 0
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Unit features around identity centres; the first `copies` gallery rows repeat others."""
    rng = np.random.default_rng(seed)
    n = n_query + n_gallery
    centres = rng.normal(size=(identities, dim))
    features = centres[rng.integers(identities, size=n)] + 0.6 * rng.normal(size=(n, dim))
    features = (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)
    if copies:
        features[n_query : n_query + copies] = features[rng.integers(n, size=copies)]
    return features[:n_query], features[n_query:]


def squared_distances(features: npt.NDArray[np.float32]) -> Matrix:
    wide = features.astype(np.float64)
    return ((wide[:, None] - wide[None]) ** 2).sum(2)


def dense_k_reciprocal(
    query: npt.NDArray[np.float32],
    gallery: npt.NDArray[np.float32],
    k1: int = 20,
    k2: int = 6,
    lambda_: float = 0.3,
    *,
    neighbourhood: str = "code",
    overlap: str = "more",
    expand: bool = True,
    weight_scale: str = "row_maximum",
    blend_scale: str = "row_maximum",
) -> Matrix:
    """k-reciprocal encoding with n x n matrices and one loop a definition."""
    squared = squared_distances(np.concatenate([query, gallery]))
    n, n_query = len(squared), len(query)
    scaled = squared / squared.max(axis=1, keepdims=True)
    first = np.sqrt(squared).astype(np.float32)
    np.fill_diagonal(first, -1)
    ranked = np.argsort(first, axis=1, kind="stable")
    extra = 1 if neighbourhood == "code" else 0

    def reciprocal(node: int, k: int) -> set[int]:
        return {j for j in ranked[node, : k + extra] if node in ranked[j, : k + extra]}

    encoded = np.zeros((n, n))
    for i in range(n):
        base = reciprocal(i, k1)
        members = set(base)
        for candidate in base if expand else ():
            half = reciprocal(candidate, int(np.around(k1 / 2)))
            shared, two_thirds = 3 * len(half & base), 2 * len(half)
            if shared > two_thirds or (overlap == "at_least" and shared == two_thirds):
                members |= half
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


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n_query=st.integers(1, 12),
    n_gallery=st.integers(1, 60),
    k1=st.integers(1, 25),
    k2=st.integers(1, 8),
    lambda_=st.sampled_from([0.0, 0.3, 1.0]),
    copies=st.integers(0, 20),
)
def test_k_reciprocal_is_the_dense_definition(
    seed: int, n_query: int, n_gallery: int, k1: int, k2: int, lambda_: float, copies: int
) -> None:
    query, gallery = clustered(seed, n_query, n_gallery, copies=min(copies, n_gallery))
    if np.ptp(np.concatenate([query, gallery]), axis=0).max() == 0:
        return  # all features equal: the definition divides zero by zero
    got = KReciprocal(k1, k2, lambda_).fit(query, gallery).distances(0, n_query)
    want = dense_k_reciprocal(query, gallery, k1, k2, lambda_)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"neighbourhood": "text"},
        {"overlap": "at_least"},
        {"expand": False},
        {"weight_scale": "none"},
        {"blend_scale": "none"},
        {"k1": 5},  # round(2.5) is 2
        {"k1": 7},  # round(3.5) is 4
        {"k2": 1},
    ],
    ids=str,
)
def test_k_reciprocal_options_follow_the_definition_and_matter(options: dict[str, Any]) -> None:
    query, gallery = clustered(3, 30, 150, identities=12, copies=15)
    got = KReciprocal(**options).fit(query, gallery).distances(0, 30)
    want = dense_k_reciprocal(query, gallery, **options)
    np.testing.assert_allclose(got, want, atol=1e-5)
    assert np.abs(got - dense_k_reciprocal(query, gallery)).max() > 1e-3


def test_k_reciprocal_rows_do_not_depend_on_blocks_or_input_type() -> None:
    query, gallery = clustered(1, 23, 140, copies=12)
    whole = KReciprocal().fit(query, gallery).distances(0, 23)
    for block in (1, 7, 64):
        fitted = KReciprocal(block=block).fit(
            torch.from_numpy(query).double(), torch.from_numpy(gallery)
        )
        parts = [fitted.distances(start, min(start + 5, 23)) for start in range(0, 23, 5)]
        np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-6)
    assert fitted.distances(4, 4).shape == (0, 140)


def test_k_reciprocal_of_equal_features_is_finite_and_ties() -> None:
    ones = np.ones((9, 4), dtype=np.float32)
    rows = KReciprocal(4, 2).fit(ones[:3], ones).distances(0, 3)
    assert np.isfinite(rows).all()


def test_cosine_metric_is_euclidean_on_unit_features() -> None:
    query, gallery = clustered(2, 10, 80)
    scale = np.random.default_rng(0).uniform(0.5, 3, size=(80, 1)).astype(np.float32)
    got = KReciprocal(metric="cosine").fit(query, gallery * scale).distances(0, 10)
    np.testing.assert_allclose(got, dense_k_reciprocal(query, gallery), atol=1e-5)


def naive_expansion(
    features: npt.NDArray[np.float32],
    gallery: npt.NDArray[np.float32],
    k: int,
    alpha: float,
    include: bool,
    skip_self: bool,
) -> Matrix:
    rows = []
    for i, x in enumerate(features.astype(np.float64)):
        cosine = gallery.astype(np.float64) @ x
        order = [j for j in np.argsort(-cosine, kind="stable") if not (skip_self and j == i)]
        total = x.copy() if include else np.zeros_like(x)
        for j in order[:k]:
            total += max(cosine[j], 0) ** alpha * gallery[j]
        rows.append(total / np.linalg.norm(total))
    return np.stack(rows)


@pytest.mark.parametrize("alpha", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize("expand_gallery", [True, False])
def test_query_expansion_is_the_naive_mean(
    alpha: float, include: bool, expand_gallery: bool
) -> None:
    query, gallery = clustered(5, 12, 50)
    fitted = AlphaQueryExpansion(
        4, alpha, include_query=include, expand_gallery=expand_gallery
    ).fit(3 * query, gallery)
    expanded = naive_expansion(query, gallery, 4, alpha, include, False)
    entries = gallery.astype(np.float64)
    if expand_gallery:
        entries = naive_expansion(gallery, gallery, 4, alpha, True, True)
    np.testing.assert_allclose(fitted.distances(0, 12), 1 - expanded @ entries.T, atol=2e-6)
    if alpha == 0:
        plain = AverageQueryExpansion(4, include_query=include, expand_gallery=expand_gallery)
        np.testing.assert_allclose(
            plain.fit(query, gallery).distances(2, 9), fitted.distances(2, 9), atol=1e-6
        )


def test_expansion_clips_k_to_a_small_gallery() -> None:
    query, gallery = clustered(6, 3, 2)
    rows = AverageQueryExpansion(10, expand_gallery=True).fit(query, gallery).distances(0, 3)
    assert rows.shape == (3, 2)
    alone = AverageQueryExpansion(10, expand_gallery=True).fit(query, gallery[:1])
    assert alone.distances(0, 3).shape == (3, 1)


@pytest.mark.parametrize(
    "reranker", [AverageQueryExpansion(3), AlphaQueryExpansion(3, 2.0), KReciprocal(6, 3)]
)
def test_evaluate_streams_a_reranker(reranker: Reranker) -> None:
    assert isinstance(reranker, Reranker)
    query, gallery = clustered(7, 20, 90)
    rng = np.random.default_rng(0)
    query_ids, gallery_ids = rng.integers(1, 8, size=20), rng.integers(-1, 8, size=90)
    got = evaluate(query, gallery, query_ids, gallery_ids, reranker=reranker)
    rows = reranker.fit(query, gallery).distances(0, 20)
    want = evaluate_distances(rows, query_ids, gallery_ids)
    np.testing.assert_array_equal(got.ap, want.ap)
    assert reranker.timings["distances"] > 0


def test_reranking_helps_on_clusters() -> None:
    rng = np.random.default_rng(4)
    centres = rng.normal(size=(40, 32))
    ids = np.repeat(np.arange(1, 41), 12)
    features = centres[ids - 1] + 1.1 * rng.normal(size=(480, 32))
    query = np.arange(480) % 12 < 2
    split = (features[query], features[~query], ids[query], ids[~query])
    baseline = evaluate(*split, metric="cosine").mAP
    for reranker in (AverageQueryExpansion(5), KReciprocal(10, 4, metric="cosine")):
        assert evaluate(*split, reranker=reranker).mAP > baseline + 0.02


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: KReciprocal(k1=0), "k1"),
        (lambda: KReciprocal(k2=2.5), "k2"),
        (lambda: KReciprocal(lambda_=1.2), "lambda_"),
        (lambda: KReciprocal(overlap="less"), "overlap"),
        (lambda: KReciprocal(metric="l1"), "metric"),
        (lambda: KReciprocal(block=0), "block"),
        (lambda: AverageQueryExpansion(0), "k is 0"),
        (lambda: AlphaQueryExpansion(3, -1.0), "alpha"),
        (lambda: KReciprocal().distances(0, 1), "call fit"),
        (lambda: AverageQueryExpansion().distances(0, 1), "call fit"),
        (lambda: KReciprocal().fit(np.ones((2, 3)), np.ones((2, 4))), "3 dimensions"),
        (lambda: KReciprocal(2, 1).fit(*clustered(0, 2, 5)).distances(1, 3), "lie outside the 2"),
    ],
)
def test_bad_arguments_are_named(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
