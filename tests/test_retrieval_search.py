"""Exact search against a stable argsort of float64 distances."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import reid_repro.retrieval.search as search_module
from reid_repro.retrieval.dense_search import farthest_rows, propose_rows, search_rows
from reid_repro.retrieval.distances import FeatureSpace, Metric
from reid_repro.retrieval.operands import HalfDistances, Tiles
from reid_repro.retrieval.products import Precision, Product, full_precision, multiply
from reid_repro.retrieval.search import knn, neighbours

Array = npt.NDArray[np.float32]


def reference(query: Array, gallery: Array, metric: str) -> Array:
    """The definition: float64 distances of float32 features, rounded to float32."""
    x, y = query.astype(np.float64), gallery.astype(np.float64)
    if metric == "euclidean":
        return np.sqrt(((x[:, None] - y[None]) ** 2).sum(2)).astype(np.float32)
    lengths = np.linalg.norm(x, axis=1), np.linalg.norm(y, axis=1)
    x /= np.where(lengths[0] > 0, lengths[0], 1)[:, None]
    y /= np.where(lengths[1] > 0, lengths[1], 1)[:, None]
    x, y = (values.astype(np.float32).astype(np.float64) for values in (x, y))
    zeros = (lengths[0] == 0)[:, None].astype(float) + (lengths[1] == 0)[None]
    return ((((x[:, None] - y[None]) ** 2).sum(2) + zeros) / 2).astype(np.float32)


def features(seed: int, n: int, dim: int, kind: str) -> Array:
    rng = np.random.default_rng(seed)
    if kind == "grid":  # many exact ties, copies and zero rows
        return rng.integers(-1, 2, size=(n, dim)).astype(np.float32)
    values = rng.normal(size=(n, dim))
    if kind == "cone":  # an untrained network: almost equal directions, far from the origin
        values = 50 + 1e-3 * values
    elif kind == "tiny":
        values *= 1e-24
    elif kind == "copies":
        values = values[rng.integers(max(1, n // 4), size=n)]
    return values.astype(np.float32)


kinds = st.sampled_from(["plain", "grid", "cone", "tiny", "copies"])


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 9999),
    n=st.integers(1, 40),
    g=st.integers(1, 90),
    dim=st.integers(1, 9),
    kind=kinds,
    metric=st.sampled_from(["euclidean", "cosine"]),
    block=st.integers(1, 25),
    precision=st.sampled_from(["float32", "bfloat16"]),
    data=st.data(),
)
def test_knn_is_the_stable_argsort(
    seed: int,
    n: int,
    g: int,
    dim: int,
    kind: str,
    metric: Metric,
    block: int,
    precision: Precision,
    data: st.DataObject,
) -> None:
    gallery = features(seed, g, dim, kind)
    query = features(seed + 1, n, dim, kind)
    query[: g // 2] = gallery[: min(n, g // 2)]
    k = data.draw(st.integers(1, g))
    few = data.draw(st.sampled_from([0, search_module.FEW]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_module, "FEW", few)  # 0: no query is searched densely from the start
        indices, distances = knn(query, gallery, k, metric=metric, block=block, precision=precision)
    want = reference(query, gallery, metric)
    order = np.argsort(want, axis=1, kind="stable")[:, :k]
    assert indices.dtype == np.int64
    assert distances.dtype == np.float32
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_array_equal(distances, np.take_along_axis(want, order, 1))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 9999),
    n=st.integers(2, 60),
    kind=kinds,
    precision=st.sampled_from(["float32", "bfloat16"]),
    data=st.data(),
)
def test_own_entry_first_or_left_out(
    seed: int, n: int, kind: str, precision: Precision, data: st.DataObject
) -> None:
    rows = features(seed, n, 5, kind)
    k = data.draw(st.integers(1, n - 1))
    want = reference(rows, rows, "euclidean")
    np.fill_diagonal(want, -1)
    order = np.argsort(want, axis=1, kind="stable")
    first, distance = knn(rows, rows, k, self_match="first", block=7, precision=precision)
    np.testing.assert_array_equal(first, order[:, :k])
    assert (distance[:, 0] == 0).all()
    without, _ = knn(rows, rows, k, self_match="exclude", precision=precision)
    np.testing.assert_array_equal(without, order[:, 1 : k + 1])


def test_wide_features_agree_at_every_block_size() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(30, 700))
    rows = (centres[rng.integers(30, size=900)] + 0.2 * rng.normal(size=(900, 700))).astype("f4")
    rows[100:300] = rows[300:500]
    rows[500:600] = rows[0]  # more copies than there are spare candidates
    want = knn(rows, rows, 20, block=900)
    for block in (40, 256, 300):
        got = knn(rows[:60], rows, 20, block=block)
        np.testing.assert_array_equal(got[0], want[0][:60])
        np.testing.assert_array_equal(got[1], want[1][:60])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_float_types_are_held_in_float32(dtype: torch.dtype) -> None:
    rows = torch.from_numpy(features(3, 50, 6, "plain")).to(dtype)
    want = knn(rows.float().numpy(), rows.float().numpy(), 5)
    np.testing.assert_array_equal(knn(rows, rows, 5)[0], want[0])
    if dtype != torch.bfloat16:
        np.testing.assert_array_equal(knn(rows.numpy(), rows.numpy(), 5)[1], want[1])


def test_zero_vectors_are_at_cosine_distance_one() -> None:
    gallery = np.array([[0, 0], [1, 0], [-1, 0], [0, 0]], dtype=np.float32)
    indices, distances = knn(np.array([[2.0, 0], [0, 0]]), gallery, 4, metric="cosine")
    assert indices.tolist() == [[1, 0, 3, 2], [0, 1, 2, 3]]
    assert distances.tolist() == [[0, 1, 1, 2], [1, 1, 1, 1]]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 9999), kind=kinds, metric=st.sampled_from(["euclidean", "cosine"]))
def test_the_product_stays_within_its_bound(seed: int, kind: str, metric: Metric) -> None:
    rng = np.random.default_rng(seed)
    dim = int(rng.integers(1, 300))
    space = FeatureSpace(features(seed, 40, dim, kind), features(seed + 1, 50, dim, kind), metric)
    pairs = torch.cartesian_prod(torch.arange(40), torch.arange(50))
    exact = space.exact(pairs[:, 0], pairs[:, 1]).view(40, 50)
    error = (space.approximate(0, 40).double() - exact).abs()
    assert bool((error <= space.slack(slice(0, 40))).all())


def test_farthest_and_progress() -> None:
    rows = features(9, 40, 5, "plain")
    calls: list[tuple[int, int]] = []
    found = neighbours(
        FeatureSpace(rows, rows, "euclidean"),
        3,
        block=16,
        farthest=True,
        progress=lambda *at: calls.append(at),
    )
    assert found.farthest is not None
    np.testing.assert_array_equal(found.farthest, reference(rows, rows, "euclidean").max(1))
    assert calls == [(16, 40), (32, 40), (40, 40)]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("threads", [1, 2])
def test_near_ties_beyond_the_buffers(precision: Precision, threads: int) -> None:
    """Groups whose members differ by less than bfloat16 shows, more of them than buffers hold."""
    rng = np.random.default_rng(5)
    centres = rng.normal(size=(3, 40))
    near = centres[rng.integers(3, size=700)] + 1e-4 * rng.normal(size=(700, 40))
    apart = 1e-3 * centres[rng.integers(3, size=300)] + rng.normal(size=(300, 40))
    rows = np.concatenate([near, apart]).astype(np.float32)
    rows[50:60] = rows[40]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = neighbours(
            FeatureSpace(rows, rows, "euclidean"),
            7,
            block=256,
            self_match="first",
            farthest=True,
            precision=precision,
        )
    finally:
        torch.set_num_threads(before)
    want = reference(rows, rows, "euclidean")
    assert found.farthest is not None
    np.testing.assert_array_equal(found.farthest, want.max(1))
    np.fill_diagonal(want, -1)
    np.testing.assert_array_equal(found.indices, np.argsort(want, axis=1, kind="stable")[:, :7])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 9999), kind=kinds, k=st.integers(1, 20), skip=st.booleans())
def test_dense_rows_of_a_bfloat16_product(seed: int, kind: str, k: int, skip: bool) -> None:
    """The way of a GPU, in torch on the CPU: decided rows are exact, the others named."""
    rows = features(seed, 300, 12, kind)
    space = FeatureSpace(rows, rows, "euclidean")
    halves = HalfDistances(space, "bfloat16")
    found, unsure = propose_rows(space, halves, slice(10, 150), k, skip_self=skip)
    want = reference(rows, rows, "euclidean")
    if skip:
        np.fill_diagonal(want, np.inf)
    order = np.argsort(want, axis=1, kind="stable")[10:150, :k]
    sure = ~unsure.numpy()
    np.testing.assert_array_equal(found.columns.numpy()[sure], order[sure])
    rest = search_rows(space, torch.arange(10, 150), k, skip_self=skip)
    np.testing.assert_array_equal(rest.columns.numpy(), order)
    far = farthest_rows(space, torch.arange(10, 150)).numpy()
    np.testing.assert_array_equal(far, reference(rows, rows, "euclidean")[10:150].max(1))
    if kind == "plain" and k < 5:
        assert sure.all()


def test_nothing_to_tell_apart() -> None:
    rows = np.ones((400, 6), dtype=np.float32)
    found = neighbours(
        FeatureSpace(rows, rows, "euclidean"), 3, farthest=True, precision="bfloat16"
    )
    assert found.indices.tolist() == [[0, 1, 2]] * 400
    assert not found.distances.any()
    assert found.farthest is not None
    assert not found.farthest.any()


def test_a_wrong_precision_is_named() -> None:
    rows = features(0, 5, 3, "plain")
    with pytest.raises(ValueError, match="precision is 'half'"):
        knn(rows, rows, 1, precision="half")


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 9999),
    kind=kinds,
    product=st.sampled_from(["float32-torch", "float32-numpy", "bfloat16"]),
    metric=st.sampled_from(["euclidean", "cosine"]),
    step=st.sampled_from([1, 7, 50]),
)
def test_tiles_stay_within_their_bound(
    seed: int, kind: str, product: Product, metric: Metric, step: int
) -> None:
    """|v - h| <= margin + widening |v|: what every certified answer rests on."""
    dim = int(np.random.default_rng(seed).integers(1, 400))
    space = FeatureSpace(features(seed, 20, dim, kind), features(seed + 1, 50, dim, kind), metric)
    halves = HalfDistances(space, product)
    pairs = torch.cartesian_prod(torch.arange(20), torch.arange(50))
    exact = space.exact(pairs[:, 0], pairs[:, 1]).view(20, 50).numpy() / 2
    for start in range(0, 20, step):
        tiles, rows = Tiles(halves, step), slice(start, start + step)
        left = halves.left(rows)
        for column in range(0, 50, step):
            tile = tiles.multiply(left, column)
            if product == "bfloat16":
                tile = torch.from_numpy(tile).view(torch.bfloat16).float().numpy()
            value = tile.astype(np.float64)
            allowed = halves.margin[rows, None].numpy() + halves.widening * np.abs(value)
            assert (np.abs(value - exact[rows, column : column + step]) <= allowed).all()


def test_gallery_order_only_settles_ties() -> None:
    rows = features(4, 400, 12, "plain")
    order = np.random.default_rng(1).permutation(400)
    want, _ = knn(rows[:50], rows, 9)
    got, _ = knn(rows[:50], rows[order], 9)
    np.testing.assert_array_equal(order[got], want)


def test_products_overrule_the_callers_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, bool]] = []
    mm = torch.mm

    def watched(*args: Any, **kwargs: Any) -> torch.Tensor:
        reduced = torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction
        seen.append((torch.get_float32_matmul_precision(), bool(reduced)))
        return mm(*args, **kwargs)

    monkeypatch.setattr(torch, "mm", watched)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        rows = torch.rand(5, 4)
        multiply(rows, rows, torch.empty(5, 5), "float32-torch")
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert seen == [("highest", False)]


@pytest.mark.parametrize("change", ["reversed", "big-endian", "read-only"])
def test_arrays_of_any_layout(change: str, recwarn: pytest.WarningsRecorder) -> None:
    rows = features(8, 40, 6, "plain")
    want = knn(rows, rows, 5)[0]
    if change == "reversed":
        given_rows = rows[::-1].copy()[::-1]
    else:
        given_rows = rows.astype(">f4") if change == "big-endian" else rows.copy()
        given_rows.setflags(write=change != "read-only")
    np.testing.assert_array_equal(knn(given_rows, given_rows, 5)[0], want)
    assert not recwarn.list


def test_precision_settings_of_the_caller_are_overruled_and_restored() -> None:
    rows = torch.from_numpy(features(1, 64, 64, "plain"))
    want = knn(rows, rows, 9)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            got = knn(rows, rows, 9)
            with full_precision(torch.device("cpu")):
                assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    np.testing.assert_array_equal(got[0], want[0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_gpu_and_cpu_agree_to_the_bit() -> None:
    rows = torch.from_numpy(features(2, 3000, 257, "plain"))
    rows[:500] = rows[500:1000]
    for metric in ("euclidean", "cosine"):
        cpu = knn(rows, rows, 15, metric=metric)
        gpu = knn(rows.cuda(), rows.cuda(), 15, metric=metric)
        np.testing.assert_array_equal(cpu[0], gpu[0])


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((np.ones((3, 2)), np.ones((4, 2)), 5), {}, "k is 5: use 1 to 4"),
        ((np.ones((3, 2)), np.ones((4, 2)), 0), {}, "k is 0"),
        ((np.ones((3, 2)), np.ones((4, 3)), 1), {}, "2 dimensions"),
        ((np.ones((3, 2), dtype=int), np.ones((4, 2)), 1), {}, "queries must be a float matrix"),
        ((np.ones(3), np.ones((4, 2)), 1), {}, "float matrix"),
        ((np.ones((0, 2)), np.ones((4, 2)), 1), {}, "queries is empty"),
        ((np.ones((3, 2)), np.array([[1, 2], [1, np.nan]]), 1), {}, "gallery row 1 holds NaN"),
        ((np.ones((3, 2)), np.full((4, 2), 1e300), 1), {}, "row 0 holds NaN or infinite"),
        ((np.ones((3, 2)), np.full((4, 2), 1e25), 1), {}, "scale them down"),
        ((np.ones((3, 2)), np.ones((4, 2)), 1), {"metric": "dot"}, "metric is 'dot'"),
        ((np.ones((3, 2)), np.ones((4, 2)), 1), {"block": 0}, "block is 0"),
        ((np.ones((3, 2)), np.ones((4, 2)), 1), {"self_match": "first"}, "queries to be the gal"),
        ((np.ones((4, 2)), np.ones((4, 2)), 4), {"self_match": "exclude"}, "use 1 to 3"),
    ],
)
def test_bad_input_is_named(
    arguments: tuple[Array, Array, int], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        knn(*arguments, **options)
