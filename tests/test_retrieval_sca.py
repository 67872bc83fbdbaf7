"""Sparse contextual activation against its dense definition, and the sparse rows beneath it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse as scipy_sparse

from reid_repro.retrieval import evaluate
from reid_repro.retrieval.rerank import SparseContextualActivation, sparse_torch
from reid_repro.retrieval.rerank.sparse import (
    Rows,
    add_rows,
    combine_rows,
    cosine_rows,
    jaccard_rows,
    neighbour_rows,
    row_norms,
    row_sums,
    transpose,
)

Matrix = npt.NDArray[np.float64]
Features = npt.NDArray[np.float32]


def clustered(
    seed: int, n_query: int, n_gallery: int, *, dim: int = 8, identities: int = 6, copies: int = 0
) -> tuple[Features, Features]:
    """Features around identity centres; the first `copies` gallery rows repeat others."""
    rng = np.random.default_rng(seed)
    n = n_query + n_gallery
    centres = rng.normal(size=(identities, dim))
    features = centres[rng.integers(identities, size=n)] + 0.6 * rng.normal(size=(n, dim))
    features = features.astype(np.float32)
    features[n_query : n_query + copies] = features[rng.integers(n, size=copies)]
    return features[:n_query], features[n_query:]


def dense_sca(
    query: Features,
    gallery: Features,
    k1: int = 20,
    k2: int = 6,
    *,
    weight_scale: str = "row_maximum",
    membership: str = "sum",
    metric: str = "euclidean",
) -> Matrix:
    """The encoding with n x n matrices and one loop a step."""
    features = np.concatenate([query, gallery]).astype(np.float64)
    if metric == "cosine":
        features /= np.linalg.norm(features, axis=1, keepdims=True)
        features = features.astype(np.float32).astype(np.float64)
    squared = ((features[:, None] - features[None]) ** 2).sum(2)
    distance = squared / 2 if metric == "cosine" else np.sqrt(squared)
    first = distance.astype(np.float32)
    np.fill_diagonal(first, -1)
    ranked = np.argsort(first, axis=1, kind="stable")
    if weight_scale == "row_maximum":
        distance = distance / distance.max(axis=1, keepdims=True)
    n, n_query = len(features), len(query)
    encoded = np.zeros((n, n))
    for i in range(n):
        near = ranked[i, :k1]
        weight = np.exp(-distance[i, near])
        encoded[i, near] = weight / (weight.sum() if membership == "sum" else 1)
    encoded = np.stack([encoded[ranked[i, :k2]].mean(axis=0) for i in range(n)])
    out = np.empty((n_query, n - n_query))
    for i in range(n_query):
        for j in range(n_query, n):
            shared = np.minimum(encoded[i], encoded[j]).sum()
            out[i, j - n_query] = 1 - shared / np.maximum(encoded[i], encoded[j]).sum()
    return out


@settings(max_examples=40, deadline=None)
@given(
    options=st.fixed_dictionaries(
        {
            "k1": st.integers(1, 30),
            "k2": st.integers(1, 9),
            "weight_scale": st.sampled_from(["row_maximum", "none"]),
            "membership": st.sampled_from(["sum", "none"]),
            "metric": st.sampled_from(["euclidean", "cosine"]),
        }
    ),
    seed=st.integers(0, 10_000),
    n_query=st.integers(1, 10),
    n_gallery=st.integers(1, 60),
    copies=st.integers(0, 20),
)
def test_it_is_the_dense_definition(
    options: dict[str, Any], seed: int, n_query: int, n_gallery: int, copies: int
) -> None:
    query, gallery = clustered(seed, n_query, n_gallery, copies=min(copies, n_gallery))
    if np.ptp(np.concatenate([query, gallery]), axis=0).max() == 0:
        return  # all features equal: the definition divides zero by zero
    got = SparseContextualActivation(**options).fit(query, gallery).distances(0, n_query)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, dense_sca(query, gallery, **options), atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"k1": 5},
        {"k2": 1},
        {"weight_scale": "none"},
        {"membership": "none"},
        {"metric": "cosine"},
        {"k1": 500, "k2": 2},
    ],
    ids=str,
)
def test_each_option_follows_the_definition_and_matters(options: dict[str, Any]) -> None:
    query, gallery = clustered(3, 30, 150, identities=12, copies=15)
    got = SparseContextualActivation(**options).fit(query, gallery).distances(0, 30)
    np.testing.assert_allclose(got, dense_sca(query, gallery, **options), atol=1e-6)
    assert np.abs(got - dense_sca(query, gallery)).max() > 1e-3


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("k2", [1, 6])
def test_torch_operations_give_the_same(
    device: str, k2: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    monkeypatch.setattr(sparse_torch, "ELEMENTS", 5000)
    monkeypatch.setattr(sparse_torch, "PAIRS", 1000)
    query, gallery = clustered(3, 30, 150, identities=12, copies=15)
    on_tensors = SparseContextualActivation(k2=k2)
    on_tensors._tensor_steps = True
    sides = (torch.from_numpy(side).to(device) for side in (query, gallery))
    got = on_tensors.fit(*sides).distances(0, 30)
    want = SparseContextualActivation(k2=k2).fit(query, gallery).distances(0, 30)
    np.testing.assert_allclose(got, want, atol=1e-6)
    np.testing.assert_array_equal(got == 1, want == 1)


def test_far_apart_is_exactly_one_and_equal_is_zero() -> None:
    rng = np.random.default_rng(0)
    left, right = (side + 0.01 * rng.normal(size=(40, 2)) for side in ([100, 0], [-100, 0]))
    rows = SparseContextualActivation(6, 3, weight_scale="none").fit(left[:5], right).distances
    assert (rows(0, 5)[:, 5:] == 1).all()
    ones = np.ones((9, 4))
    rows = SparseContextualActivation(20, 20).fit(ones[:3], ones).distances
    np.testing.assert_array_equal(rows(0, 3), np.zeros((3, 9)))


def test_the_order_of_the_gallery_does_not_matter() -> None:
    query, gallery = clustered(7, 20, 120)
    order = np.random.default_rng(0).permutation(120)
    straight = SparseContextualActivation(9, 4).fit(query, gallery).distances(0, 20)
    shuffled = SparseContextualActivation(9, 4).fit(query, gallery[order]).distances(0, 20)
    np.testing.assert_allclose(shuffled, straight[:, order], atol=1e-6)


def test_rows_are_the_same_for_every_block_thread_count_and_input_type() -> None:
    query, gallery = clustered(8, 37, 160, dim=16, identities=40, copies=20)
    half = query.astype(np.float16), gallery.astype(np.float16)
    whole = SparseContextualActivation().fit(*half).distances(0, 37)
    wide = np.asfortranarray(half[1].astype(np.float64))
    strided = torch.from_numpy(np.repeat(half[0], 2, axis=1))[:, ::2]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for block, step in ((1, 5), (64, 11)):
            fitted = SparseContextualActivation(block=block).fit(strided, wide)
            parts = [fitted.distances(first, min(first + step, 37)) for first in range(0, 37, step)]
            np.testing.assert_array_equal(np.concatenate(parts), whole)
    finally:
        torch.set_num_threads(before)
    assert fitted.distances(4, 4).shape == (0, 160)


def test_it_improves_the_ranking_of_clusters() -> None:
    rng = np.random.default_rng(4)
    ids = np.repeat(np.arange(1, 41), 12)
    features = rng.normal(size=(40, 32))[ids - 1] + 1.1 * rng.normal(size=(480, 32))
    query = np.arange(480) % 12 < 2
    split = (features[query], features[~query], ids[query], ids[~query])
    reranker = SparseContextualActivation(12, 4)
    assert evaluate(*split, reranker=reranker).mAP > evaluate(*split).mAP + 0.05
    names = ["neighbours", "encoding", "local consistency", "distances"]
    assert list(reranker.timings) == names
    assert min(reranker.timings.values()) > 0


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SparseContextualActivation(k1=0), "k1"),
        (lambda: SparseContextualActivation(k2=True), "k2"),
        (lambda: SparseContextualActivation(weight_scale="mean"), "weight_scale"),
        (lambda: SparseContextualActivation(membership="l2"), "membership"),
        (lambda: SparseContextualActivation(metric="l1"), "metric"),
        (lambda: SparseContextualActivation(block=0), "block"),
        (lambda: SparseContextualActivation().distances(0, 1), "call fit"),
        (
            lambda: SparseContextualActivation().fit(np.ones((2, 3)), np.ones((2, 4))),
            "3 dimensions",
        ),
        (
            lambda: SparseContextualActivation().fit(np.full((2, 3), np.nan), np.ones((2, 3))),
            "NaN",
        ),
        (
            lambda: SparseContextualActivation(2, 1).fit(*clustered(0, 2, 5)).distances(1, 3),
            "lie outside the 2",
        ),
    ],
)
def test_bad_arguments_are_named(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def random_rows(rng: np.random.Generator, n: int, n_columns: int, share: float) -> Rows:
    matrix = scipy_sparse.random_array((n, n_columns), density=share, rng=rng, dtype=np.float32)
    matrix = scipy_sparse.csr_array(matrix)
    matrix.sort_indices()
    return Rows(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data)


def dense(rows: Rows, n_columns: int) -> Matrix:
    assert all(
        (np.diff(rows.indices[a:b]) > 0).all()
        for a, b in zip(rows.indptr, rows.indptr[1:], strict=False)
    )
    return scipy_sparse.csr_array(rows.csr, shape=(rows.n, n_columns)).toarray().astype(np.float64)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(1, 90),
    n_columns=st.integers(1, 200),
    share=st.sampled_from([0.0, 0.05, 0.4, 1.0]),
    k=st.integers(1, 6),
)
def test_sparse_steps_are_the_dense_ones(
    seed: int, n: int, n_columns: int, share: float, k: int
) -> None:
    rng = np.random.default_rng(seed)
    left, right = (random_rows(rng, n, n_columns, share) for _ in range(2))
    x, y = dense(left, n_columns), dense(right, n_columns)
    np.testing.assert_allclose(dense(add_rows(left, right), n_columns), x + y, rtol=1e-6)
    np.testing.assert_array_equal(dense(transpose(left, n_columns), n), x.T)
    np.testing.assert_array_equal(dense(left.part(n // 3, n), n_columns), x[n // 3 :])
    near = rng.integers(n, size=(n, k))
    weight, own = rng.random((n, k), dtype=np.float32), rng.random(n, dtype=np.float32)
    messages = weight[:, :, None].astype(np.float64) * x[near]
    combined = dense(combine_rows(near, weight, left, n_columns), n_columns)
    np.testing.assert_allclose(combined, messages.sum(1), rtol=1e-5)
    largest = combine_rows(near, weight, left, n_columns, own=own, maximum=True)
    want = messages.max(1) + own[:, None] * x
    np.testing.assert_allclose(dense(largest, n_columns), want, rtol=1e-5)
    np.testing.assert_allclose(row_sums(left), x.sum(1))
    np.testing.assert_allclose(row_norms(left), np.linalg.norm(x, axis=1))
    out = np.empty((n, n), dtype=np.float32)
    inverted = transpose(right, n_columns)
    jaccard_rows(left, row_sums(left), inverted, row_sums(right), out)
    most = np.maximum(x[:, None], y[None]).sum(2)
    shared = np.minimum(x[:, None], y[None]).sum(2)
    want = 1 - np.divide(shared, most, out=np.zeros_like(most), where=most > 0)
    np.testing.assert_allclose(out, want, atol=1e-6)
    scale = rng.random(n) / n_columns
    cosine_rows(left, scale, inverted, scale, out)
    np.testing.assert_allclose(out, 1 - scale[:, None] * (x @ y.T) * scale, atol=1e-6)


def test_a_limit_is_kept_before_anything_is_built() -> None:
    rows = neighbour_rows(np.array([[2, 0], [1, 2], [0, 1]]), np.ones((3, 2), dtype=np.float32))
    near, weight = np.array([[0, 1], [1, 2], [2, 0]]), np.ones((3, 2), dtype=np.float32)
    full = combine_rows(near, weight, rows, 3, limit=9)
    assert full is not None
    np.testing.assert_array_equal(dense(full, 3), [[1, 1, 2], [1, 2, 1], [2, 1, 1]])
    assert combine_rows(near, weight, rows, 3, limit=8) is None
