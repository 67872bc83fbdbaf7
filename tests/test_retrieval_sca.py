"""Sparse contextual activation against its dense definition."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reranking import tensor_steps
from reranking_oracles import clustered, dense_sca

from reid_repro.retrieval import evaluate
from reid_repro.retrieval.rerank import SparseContextualActivation, sparse_torch


@settings(max_examples=25, deadline=None)
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
    sides = (torch.from_numpy(side).to(device) for side in (query, gallery))
    with tensor_steps():
        got = SparseContextualActivation(k2=k2).fit(*sides).distances(0, 30)
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
