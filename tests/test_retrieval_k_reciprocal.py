"""k-reciprocal re-ranking against its dense definition, on both of its implementations."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reranking import clustered, dense_k_reciprocal, peak_growth, tensor_steps

from reid_repro.retrieval.rerank import (
    KReciprocal,
    jaccard,
    reciprocal_codes,
    reciprocal_codes_torch,
)
from reid_repro.retrieval.rerank.nodes import joint_nodes
from reid_repro.retrieval.rerank.sparse import Rows, transpose

Floats = npt.NDArray[np.float32]

OPTIONS: list[dict[str, Any]] = [
    {"neighbourhood": "text"},
    {"overlap": "at_least"},
    {"expand": False},
    {"weight_scale": "none"},
    {"blend_scale": "none"},
    {"k1": 5},  # round(2.5) is 2
    {"k1": 7},  # round(3.5) is 4
    {"k2": 1},
]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small problems: threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def rows_of(reranker: KReciprocal, query: Floats, gallery: Floats, *, tensors: bool) -> Floats:
    """All distance rows, by compiled loops or by torch operations."""
    with tensor_steps(tensors):
        return reranker.fit(query, gallery).distances(0, len(query))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n_query=st.integers(1, 8),
    n_gallery=st.integers(1, 40),
    k1=st.integers(1, 60),
    k2=st.integers(1, 8),
    lambda_=st.sampled_from([0.0, 0.3, 1.0]),
    copies=st.integers(0, 20),
    neighbourhood=st.sampled_from(["code", "text"]),
    overlap=st.sampled_from(["more", "at_least"]),
    expand=st.booleans(),
    scales=st.sampled_from([("row_maximum", "row_maximum"), ("none", "none")]),
    tensors=st.booleans(),
)
def test_any_settings_follow_the_dense_definition(
    seed: int,
    n_query: int,
    n_gallery: int,
    k1: int,
    k2: int,
    lambda_: float,
    copies: int,
    neighbourhood: Any,
    overlap: Any,
    expand: bool,
    scales: tuple[Any, Any],
    tensors: bool,
) -> None:
    query, gallery = clustered(seed, n_query, n_gallery, copies=min(copies, n_gallery))
    if np.ptp(np.concatenate([query, gallery]), axis=0).max() == 0:
        return  # all features equal: the definition divides zero by zero
    options: dict[str, Any] = {
        "neighbourhood": neighbourhood,
        "overlap": overlap,
        "expand": expand,
        "weight_scale": scales[0],
        "blend_scale": scales[1],
    }
    reranker = KReciprocal(k1, k2, lambda_, **options)
    got = rows_of(reranker, query, gallery, tensors=tensors)
    assert got.dtype == np.float32
    want = dense_k_reciprocal(query, gallery, k1, k2, lambda_, **options)
    np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize("tensors", [False, True])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_each_option_matters(options: dict[str, Any], tensors: bool) -> None:
    query, gallery = clustered(3, 20, 110, identities=10, copies=15)
    got = rows_of(KReciprocal(**options), query, gallery, tensors=tensors)
    np.testing.assert_allclose(got, dense_k_reciprocal(query, gallery, **options), atol=1e-5)
    default = rows_of(KReciprocal(), query, gallery, tensors=tensors)
    assert np.abs(got - default).max() > 1e-3


def test_settings_that_agree_with_fast_reid() -> None:
    query, gallery = clustered(8, 12, 100, identities=10)
    # Its evaluator: k1 = 20 ranks, 11 of a candidate; squared distances without a maximum.
    raw: dict[str, Any] = {"weight_scale": "none", "blend_scale": "none"}
    jaccard_rows = dense_k_reciprocal(query, gallery, 20, 6, 0.0, ranks=(20, 11), **raw)
    squared = dense_k_reciprocal(query, gallery, 20, 6, 1.0, **raw)
    euclidean = KReciprocal(19, 6, 0.3, **raw).fit(query, gallery).distances(0, 12)
    np.testing.assert_allclose(euclidean, 0.7 * jaccard_rows + 0.3 * squared, atol=1e-5)
    half = KReciprocal(19, 6, 0.3 / 1.7, metric="cosine", **raw).fit(query, 2 * gallery)
    cosine = 0.7 * jaccard_rows + 0.3 * squared / 2
    np.testing.assert_allclose(half.distances(0, 12), cosine / (1 - 0.3 / 2), atol=1e-5)


@pytest.mark.parametrize("tensors", [False, True])
def test_jaccard_rows_do_not_depend_on_blocks_or_threads(
    monkeypatch: pytest.MonkeyPatch, tensors: bool
) -> None:
    query, gallery = clustered(1, 23, 140, copies=12)
    whole = rows_of(KReciprocal(lambda_=0), query, gallery, tensors=tensors)
    monkeypatch.setattr(reciprocal_codes, "PAIRS", 50)
    monkeypatch.setattr(reciprocal_codes_torch, "ELEMENTS", 700)
    for threads, block in ((1, 17), (2, None)):
        torch.set_num_threads(threads)
        reranker = KReciprocal(lambda_=0, block=block)
        with tensor_steps(tensors):
            reranker.fit(query, gallery)
        parts = [reranker.distances(start, min(start + 5, 23)) for start in range(0, 23, 5)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
        np.testing.assert_array_equal(reranker.distances(0, 23), whole)
    assert reranker.distances(4, 4).shape == (0, 140)


def test_blended_rows_hardly_depend_on_blocks() -> None:
    query, gallery = clustered(1, 23, 140, copies=12)
    whole = KReciprocal().fit(query, gallery).distances(0, 23)
    fitted = KReciprocal(block=9).fit(query, gallery)
    parts = [fitted.distances(start, min(start + 5, 23)) for start in range(0, 23, 5)]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-6)


def test_any_float_type_and_layout_is_the_same_input() -> None:
    query, gallery = (np.round(side * 64) / 64 for side in clustered(2, 10, 60))  # exact in float16
    want = KReciprocal(8, 3).fit(query, gallery).distances(0, 10)
    joint = torch.from_numpy(np.concatenate([query, gallery]))
    inputs: list[tuple[Any, Any]] = [
        (query.astype(np.float16), gallery.astype(np.float64)),
        (torch.from_numpy(query).double(), torch.from_numpy(gallery).bfloat16().half()),
        (np.repeat(query, 2, axis=1)[:, ::2], np.asfortranarray(gallery)),
        (joint[:10], joint[10:]),
    ]
    for given_query, given_gallery in inputs:
        got = KReciprocal(8, 3).fit(given_query, given_gallery).distances(0, 10)
        np.testing.assert_allclose(got, want, atol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_gives_the_same_rows() -> None:
    query, gallery = clustered(1, 50, 700, identities=40, copies=30)
    for options in ({}, {"lambda_": 0.0, "overlap": "at_least"}, {"weight_scale": "none"}):
        want = KReciprocal(**options).fit(query, gallery).distances(0, 50)
        sides = torch.from_numpy(query).cuda(), torch.from_numpy(gallery).cuda()
        got = KReciprocal(**options).fit(*sides).distances(0, 50)
        np.testing.assert_allclose(got, want, atol=1e-6)
        again = KReciprocal(**options).fit(*sides).distances(0, 50)
        np.testing.assert_array_equal(again, got)


def test_memory_stays_far_below_all_pairs() -> None:
    query, gallery = clustered(1, 500, 19_500, dim=4, identities=2000)
    KReciprocal(4, 2).fit(query[:10], gallery[:90]).distances(0, 10)  # compiled beforehand

    def rerank() -> None:
        reranker = KReciprocal().fit(query, gallery)
        for start in range(0, 500, 50):
            reranker.distances(start, start + 50)

    assert peak_growth(rerank) < 300 << 20  # a byte for every pair of nodes is 400 MB


@pytest.mark.parametrize("tensors", [False, True])
def test_the_order_of_the_gallery_does_not_matter(tensors: bool) -> None:
    query, gallery = clustered(9, 12, 90)  # no copies: their ties follow the order
    order = np.random.default_rng(0).permutation(90)
    rows = rows_of(KReciprocal(), query, gallery, tensors=tensors)
    permuted = rows_of(KReciprocal(), query, gallery[order], tensors=tensors)
    np.testing.assert_allclose(permuted, rows[:, order], atol=1e-6)


@pytest.mark.parametrize("tensors", [False, True])
def test_equal_features_are_finite_and_tie(tensors: bool) -> None:
    ones = np.ones((9, 4), dtype=np.float32)
    rows = rows_of(KReciprocal(4, 2), ones[:3], ones, tensors=tensors)
    assert np.isfinite(rows).all()


@pytest.mark.parametrize("tensors", [False, True])
def test_weights_of_far_neighbours_may_vanish(tensors: bool) -> None:
    query, gallery = clustered(4, 6, 50)
    options: dict[str, Any] = {"weight_scale": "none", "lambda_": 0.0}
    got = rows_of(KReciprocal(**options), 40 * query, 40 * gallery, tensors=tensors)
    want = dense_k_reciprocal(40 * query, 40 * gallery, **options)
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_cosine_metric_is_euclidean_on_unit_features() -> None:
    query, gallery = clustered(2, 10, 80)
    scale = np.random.default_rng(0).uniform(0.5, 3, size=(80, 1)).astype(np.float32)
    got = KReciprocal(metric="cosine").fit(query, gallery * scale).distances(0, 10)
    np.testing.assert_allclose(got, dense_k_reciprocal(query, gallery), atol=1e-5)


def test_blend_of_rows_that_share_nothing_little_and_everything() -> None:
    def rows(*lines: dict[int, float]) -> Rows:
        indptr = np.cumsum([0, *(len(line) for line in lines)]).astype(np.int64)
        indices = np.array([column for line in lines for column in line], dtype=np.int32)
        values = [value for line in lines for value in line.values()]
        return Rows(indptr, indices, np.array(values, dtype=np.float32))

    codes = rows({0: 0.25, 2: 0.75}, {4: 1.0})
    entries = rows({1: 1.0}, {0: 0.5, 3: 0.5}, {0: 0.25, 2: 0.75}, {2: 0.0, 4: 1.0})
    original = np.array([[1, 2, -1e-7, 3], [4, 5, 6, 0]], dtype=np.float32)
    got = original.copy()
    jaccard.blend(got, codes, transpose(entries, 5), np.array([0.5, 0.1], dtype=np.float32), 0.8)
    # The second pair shares 1/4 of a union of 7/4.
    want = [[0.8 + 0.5, 0.8 * 6 / 7 + 1, 0, 0.8 + 1.5], [0.8 + 0.4, 0.8 + 0.5, 0.8 + 0.6, 0]]
    np.testing.assert_allclose(got, want, rtol=1e-6)
    jaccard.blend(original, codes, transpose(entries, 5), np.ones(2, dtype=np.float32), 0.0)
    np.testing.assert_array_equal(original, [[1, 2, 0, 3], [4, 5, 6, 0]])


def test_joint_nodes_copy_no_more_than_they_must() -> None:
    matrix = torch.randn(9, 4)
    nodes, n_query = joint_nodes(matrix[:3], matrix[3:], normalise=False)
    assert n_query == 3
    assert nodes.data_ptr() == matrix.data_ptr()
    np.testing.assert_array_equal(nodes, matrix)
    for query, gallery in ((matrix[:3], matrix[4:]), (matrix[3:], matrix[:3])):
        joint, _ = joint_nodes(query, gallery, normalise=False)
        np.testing.assert_array_equal(joint, torch.cat([query, gallery]))
    unit, _ = joint_nodes(matrix[:3], matrix[3:], normalise=True)
    np.testing.assert_allclose(unit, torch.nn.functional.normalize(matrix, dim=1), atol=1e-6)


@pytest.mark.parametrize(
    ("query", "gallery", "message"),
    [
        (np.ones((2, 3)), np.ones((2, 4)), "query has 3 dimensions, gallery has 4"),
        (np.ones((2, 3)), np.ones((0, 3)), "gallery is empty"),
        (np.ones((0, 3)), np.ones((2, 3)), "query is empty"),
        (np.ones((2, 3)), np.array([[1.0, 2, 3], [1, np.nan, 1]]), "gallery row 1 holds NaN"),
        (np.array([[np.inf, 2, 3]]), np.ones((2, 3)), "query row 0 holds NaN or infinite"),
        (np.ones((2, 3), dtype=np.int64), np.ones((2, 3)), "query must be a float matrix"),
        (np.full((2, 3), 1e30), np.ones((2, 3)), "scale them down"),
    ],
)
def test_bad_features_are_named(query: Any, gallery: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KReciprocal().fit(query, gallery)
