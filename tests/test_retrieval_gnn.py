"""GNN re-ranking against dense n x n matrices written from the paper's equations."""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reranking import peak_growth, tensor_steps
from reranking_oracles import clustered, dense_gnn, unit_rows

from reid_repro.retrieval import evaluate
from reid_repro.retrieval.rerank import GNN, dense_panels, propagation_torch, sparse_torch
from reid_repro.retrieval.rerank.propagation import Messages
from reid_repro.retrieval.rerank.propagation_torch import TensorNodes


@pytest.fixture
def small_panels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dense node features in panels of 16 columns."""
    monkeypatch.setattr(dense_panels, "PANEL_ELEMENTS", 1)


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


options_of_gnn = st.fixed_dictionaries(
    {
        "k1": st.integers(1, 30),
        "k2": st.integers(1, 9),
        "layers": st.integers(1, 5),
        "alpha": st.sampled_from([0.0, 1.0, 1.5, 2.0, 3.0]),
        "aggregate": st.sampled_from(["sum", "mean", "max"]),
        "nodes": st.sampled_from(["symmetric", "symmetric", "adjacency", "features"]),
        "edge_weights": st.booleans(),
        "propagate": st.sampled_from([True, True, True, False]),
        "symmetric": st.sampled_from(["paper", "authors"]),
        "residual": st.sampled_from([None, None, True, False]),
        "blend": st.sampled_from([0.0, 0.0, 0.3, 1.0]),
    }
)


@settings(max_examples=50, deadline=None)
@given(
    options=options_of_gnn,
    seed=st.integers(0, 10_000),
    n_query=st.integers(1, 12),
    n_gallery=st.integers(1, 70),
    copies=st.integers(0, 20),
    zeros=st.sampled_from([0, 0, 1, 3]),
    memory=st.sampled_from([1, 1 << 14, 1 << 30]),
)
def test_it_is_the_dense_definition(
    options: dict[str, Any],
    seed: int,
    n_query: int,
    n_gallery: int,
    copies: int,
    zeros: int,
    memory: int,
) -> None:
    query, gallery = clustered(seed, n_query, n_gallery, copies=min(copies, n_gallery))
    gallery[:zeros] = 0
    got = GNN(memory=memory, **options).fit(query, gallery).distances(0, n_query)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, dense_gnn(query, gallery, **options), atol=2e-6)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"layers": 1},
        {"symmetric": "authors"},
        {"symmetric": "authors", "residual": True},
        {"aggregate": "max"},
        {"aggregate": "mean"},
        {"nodes": "adjacency"},
        {"edge_weights": False},
        {"propagate": False},
        {"blend": 0.3},
    ],
    ids=str,
)
@pytest.mark.parametrize("memory", [1 << 30, 1 << 17])
def test_sparse_rows_and_panels_follow_each_option_and_it_matters(
    options: dict[str, Any], memory: int, small_panels: None
) -> None:
    """400 nodes: rows stay sparse with the first bound, move to a file with the second."""
    query, gallery = clustered(3, 60, 340, dim=16, identities=40, copies=30)
    asked = {"k1": 8, "k2": 4, **options}
    got = GNN(memory=memory, **asked).fit(query, gallery).distances(0, 60)
    np.testing.assert_allclose(got, dense_gnn(query, gallery, **asked), atol=2e-6)
    if options:
        assert np.abs(got - dense_gnn(query, gallery, k1=8, k2=4)).max() > 1e-3


@settings(max_examples=30, deadline=None)
@given(
    options=options_of_gnn,
    seed=st.integers(0, 10_000),
    n_query=st.integers(1, 12),
    n_gallery=st.integers(1, 150),
    memory=st.sampled_from([1, 1 << 14, 1 << 30]),
)
def test_torch_operations_give_the_same(
    options: dict[str, Any], seed: int, n_query: int, n_gallery: int, memory: int
) -> None:
    query, gallery = clustered(seed, n_query, n_gallery, identities=12)
    with pytest.MonkeyPatch.context() as chunks, tensor_steps():
        chunks.setattr(sparse_torch, "ELEMENTS", 1000)
        chunks.setattr(sparse_torch, "PAIRS", 500)
        chunks.setattr(propagation_torch, "ELEMENTS", 1000)
        got = GNN(memory=memory, **options).fit(query, gallery).distances(0, n_query)
    want = GNN(**options).fit(query, gallery).distances(0, n_query)
    np.testing.assert_allclose(got, want, atol=1e-6)
    if not options["blend"] and options["nodes"] != "features":
        np.testing.assert_array_equal(got == 1, want == 1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("options", [{}, {"symmetric": "authors"}, {"nodes": "features"}], ids=str)
def test_a_gpu_gives_the_same(options: dict[str, Any]) -> None:
    query, gallery = clustered(3, 60, 940, dim=16, identities=80, copies=30)
    device = [torch.from_numpy(side).cuda() for side in (query, gallery)]
    got = GNN(8, 4, **options).fit(*device).distances(0, 60)
    want = GNN(8, 4, **options).fit(query, gallery).distances(0, 60)
    np.testing.assert_allclose(got, want, atol=1e-6)


@pytest.mark.parametrize("symmetric", ["paper", "authors"])
@pytest.mark.parametrize("memory", [1, 1 << 30])
def test_deep_propagation_stays_exact(symmetric: str, memory: int, small_panels: None) -> None:
    query, gallery = clustered(5, 20, 100, identities=12)
    asked = {"k1": 6, "k2": 3, "layers": 24, "symmetric": symmetric}
    got = GNN(memory=memory, **asked).fit(query, gallery).distances(0, 20)
    np.testing.assert_allclose(got, dense_gnn(query, gallery, **asked), atol=2e-6)


@pytest.mark.parametrize("memory", [1, 1 << 30])
@pytest.mark.parametrize("tensors", [False, True])
def test_256_layers_stay_with_the_definition(
    tensors: bool, memory: int, small_panels: None
) -> None:
    query, gallery = clustered(5, 20, 100, identities=12)
    asked = {"k1": 6, "k2": 3, "layers": 256}
    with tensor_steps(tensors):
        got = GNN(memory=memory, **asked).fit(query, gallery).distances(0, 20)
    want = dense_gnn(query, gallery, **asked)
    assert np.mean((want > 0.01) & (want < 0.99)) > 0.05  # neither all near nor all apart
    np.testing.assert_allclose(got, want, atol=2e-6)


@pytest.mark.parametrize("size", [1.0, 1e6])
def test_cosines_do_not_depend_on_the_size_of_messages(size: float) -> None:
    """20 cliques of ten nodes, of which the first is a query; features are not yet normalised."""
    node, p = np.arange(200)[:, None], np.arange(4)
    near = node % 20 + 20 * ((node // 20 + p) % 10)
    adjacent = np.zeros((200, 200))
    adjacent[node, near] = 1
    messages = Messages(near, np.full(near.shape, size), residual=False, maximum=False)
    nodes = TensorNodes(torch.from_numpy(near), symmetric=True, memory=1 << 20)
    after = nodes.layer(messages, symmetrise=False)
    assert isinstance(after, TensorNodes)
    after.settle(20)
    got = np.empty((20, 180), dtype=np.float32)
    after.distances(0, 20, got)
    unit = unit_rows((adjacent + adjacent.T)[near].sum(1))
    np.testing.assert_allclose(got, 1 - unit[:20] @ unit[20:].T, atol=1e-6)


@pytest.mark.parametrize("memory", [1, 1 << 30])
def test_nodes_without_a_common_neighbour_are_at_exactly_one(memory: int) -> None:
    rng = np.random.default_rng(0)
    left, right = (side + 0.01 * rng.normal(size=(40, 2)) for side in ([1, 0], [-1, 0]))
    query, gallery = left[:5], np.concatenate([right, left[5:]])
    rows = GNN(6, 3, memory=memory).fit(query, gallery).distances(0, 5)
    assert (rows[:, :40] == 1).all()
    assert (rows[:, 40:].min(axis=1) < 1).all()


def test_copies_of_a_node_are_at_zero() -> None:
    one = np.random.default_rng(0).normal(size=(1, 6)).astype(np.float32)
    rows = GNN(8, 3).fit(one, np.repeat(one, 7, axis=0)).distances(0, 1)
    np.testing.assert_allclose(rows, np.zeros((1, 7)), atol=1e-7)
    assert len(np.unique(rows)) == 1


def test_k_is_clipped_to_the_nodes() -> None:
    query, gallery = clustered(6, 3, 9)
    got = GNN(500, 400).fit(query, gallery).distances(0, 3)
    np.testing.assert_array_equal(got, GNN(12, 12).fit(query, gallery).distances(0, 3))


@pytest.mark.parametrize("options", [{}, {"symmetric": "authors"}, {"aggregate": "max"}], ids=str)
def test_the_order_of_the_gallery_does_not_matter(options: dict[str, Any]) -> None:
    query, gallery = clustered(7, 20, 120)
    order = np.random.default_rng(0).permutation(120)
    straight = GNN(9, 4, **options).fit(query, gallery).distances(0, 20)
    shuffled = GNN(9, 4, **options).fit(query, gallery[order]).distances(0, 20)
    np.testing.assert_allclose(shuffled, straight[:, order], atol=1e-6)


@pytest.mark.parametrize("memory", [1 << 17, 1 << 30])
@pytest.mark.parametrize("symmetric", ["paper", "authors"])
def test_rows_are_the_same_for_every_block_and_thread_count(
    memory: int, symmetric: str, threads: Callable[[int], None]
) -> None:
    query, gallery = clustered(8, 37, 300, dim=16, identities=40, copies=20)
    asked = {"k1": 8, "k2": 4, "memory": memory, "symmetric": symmetric}
    threads(2)
    whole = GNN(**asked).fit(query, gallery).distances(0, 37)
    threads(1)
    for block, step in ((1, 5), (64, 11)):
        fitted = GNN(block=block, **asked).fit(query, gallery)
        parts = [fitted.distances(first, min(first + step, 37)) for first in range(0, 37, step)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert fitted.distances(4, 4).shape == (0, 300)


def test_any_float_input_is_taken() -> None:
    query, gallery = clustered(9, 15, 90)
    half = query.astype(np.float16), gallery.astype(np.float16)
    want = GNN(8, 3).fit(*(side.astype(np.float32) for side in half)).distances(0, 15)
    wide = np.asfortranarray(half[1].astype(np.float64))
    strided = torch.from_numpy(np.repeat(half[0], 2, axis=1))[:, ::2]
    np.testing.assert_array_equal(GNN(8, 3).fit(*half).distances(0, 15), want)
    np.testing.assert_array_equal(GNN(8, 3).fit(strided, wide).distances(0, 15), want)
    scaled = GNN(8, 3).fit(4 * query, 0.25 * gallery).distances(0, 15)
    np.testing.assert_array_equal(scaled, GNN(8, 3).fit(query, gallery).distances(0, 15))


def peak_of_deep_propagation() -> int:
    """For a process of its own, whose heap has no room left over from other work."""
    dense_panels.PANEL_ELEMENTS = 1 << 18
    reranker = GNN(10, 5, layers=5, memory=1 << 22)
    reranker.fit(*clustered(2, 100, 1900, dim=16, identities=20)).distances(0, 20)  # compiles
    query, gallery = clustered(2, 100, 5900, dim=16, identities=20)
    return peak_growth(lambda: reranker.fit(query, gallery).distances(0, 20))


def test_memory_stays_far_below_a_square_matrix() -> None:
    """The dense features of 5 layers are in a file of 144 MB."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        assert process.submit(peak_of_deep_propagation).result() < 2 * 6000**2


def test_a_file_that_was_cut_is_named() -> None:
    panels = dense_panels.Panels(300, memory=1)
    panels._file.truncate(1000)
    with pytest.raises(OSError, match="panel 0 ends 359000 bytes early"):
        panels.read(0, 0, 300)


def test_a_file_without_room_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        dense_panels.shutil, "disk_usage", lambda path: SimpleNamespace(free=100_000)
    )
    query, gallery = clustered(2, 50, 250)
    with pytest.raises(ValueError, match="300 x 300 dense node features need"):
        GNN(memory=1000).fit(query, gallery)


def test_progress_and_timings_by_phase() -> None:
    calls: list[tuple[int, int]] = []
    query, gallery = clustered(4, 10, 90)
    reranker = GNN(layers=3, progress=lambda done, total: calls.append((done, total)))
    reranker.fit(query, gallery).distances(0, 10)
    assert (100, 100) in calls
    assert calls[-3:] == [(1, 3), (2, 3), (3, 3)]
    assert list(reranker.timings) == ["neighbours", "graph", "propagation", "distances"]
    assert min(reranker.timings.values()) > 0


def test_it_improves_the_ranking_of_clusters() -> None:
    rng = np.random.default_rng(4)
    ids = np.repeat(np.arange(1, 41), 12)
    features = rng.normal(size=(40, 32))[ids - 1] + 1.1 * rng.normal(size=(480, 32))
    query = np.arange(480) % 12 < 2
    split = (features[query], features[~query], ids[query], ids[~query])
    baseline = evaluate(*split, metric="cosine").mAP
    for symmetric in ("paper", "authors"):
        assert evaluate(*split, reranker=GNN(12, 4, symmetric=symmetric)).mAP > baseline + 0.05


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: GNN(k1=0), "k1"),
        (lambda: GNN(k2=1.5), "k2"),
        (lambda: GNN(layers=0), "layers"),
        (lambda: GNN(alpha=-1), "alpha"),
        (lambda: GNN(alpha=float("nan")), "alpha"),
        (lambda: GNN(aggregate="median"), "aggregate"),
        (lambda: GNN(nodes="edges"), "nodes"),
        (lambda: GNN(symmetric="code"), "symmetric"),
        (lambda: GNN(blend=1.5), "blend"),
        (lambda: GNN(block=0), "block"),
        (lambda: GNN(memory=0), "memory"),
        (lambda: GNN().distances(0, 1), "call fit"),
        (lambda: GNN().fit(np.ones((2, 3)), np.ones((2, 4))), "3 dimensions"),
        (lambda: GNN().fit(np.full((2, 3), np.nan), np.ones((2, 3))), "NaN"),
        (lambda: GNN().fit(np.ones((2, 3)), np.ones((0, 3))), "empty"),
        (lambda: GNN(2, 1).fit(*clustered(0, 2, 5)).distances(1, 3), "lie outside the 2"),
    ],
)
def test_bad_arguments_are_named(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
