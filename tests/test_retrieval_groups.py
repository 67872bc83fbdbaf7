"""Clustering and coarse-to-fine search against loops written from GLAD's Algorithm 1 and Eq. 7."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import reid_repro.retrieval.groups as groups_module
from reid_repro.retrieval import evaluate, knn
from reid_repro.retrieval.groups import (
    PCA,
    CoarseToFine,
    CoarseToFineIndex,
    SplitTree,
    TwoFoldDivisiveClustering,
    calibrate,
)
from reid_repro.retrieval.rerank import Reranker

Features = npt.NDArray[np.float32]
Reals = npt.NDArray[np.float64]
NUDGE = 1 + 1e-7  # thresholds lie between attainable dissimilarities, not on their last bits


def gallery(seed: int, n: int, dim: int = 6, *, copies: int = 0, whole: bool = False) -> Features:
    """Clusters of clusters; `copies` rows repeat others; `whole` numbers make distances tie."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(5, dim)) + 0.4 * rng.normal(size=(4, 5, dim))
    features = centres[rng.integers(4, size=n), rng.integers(5, size=n)]
    features = features + 0.2 * rng.normal(size=(n, dim))
    if whole:
        features = np.round(2 * features)
    features[:copies] = features[rng.integers(n, size=copies)]
    return features.astype(np.float32)


def pair_distances(features: Features) -> Reals:
    wide = features.astype(np.float64)
    return np.stack([((row - wide) ** 2).sum(axis=1) for row in wide])


def algorithm_1(features: Features, threshold: float) -> npt.NDArray[np.int64]:
    """The paper's loop; groups are then numbered by their first member."""
    exact = pair_distances(features)
    dis = exact.astype(np.float32)
    result = [list(range(len(features)))]
    while True:
        parts: list[list[int]] = []
        for group in result:
            n = len(group)
            inside = np.ix_(group, group)
            if n == 1 or dis[inside].max() == 0 or exact[inside].sum() <= threshold * n * (n - 1):
                parts.append(group)
                continue
            first, second = np.unravel_index(dis[inside].argmax(), (n, n))  # the first of equals
            left, right = group[first], group[second]
            parts.append([j for j in group if dis[j, left] < dis[j, right]])
            parts.append([j for j in group if not dis[j, left] < dis[j, right]])
        if len(parts) == len(result):
            break
        result = parts
    labels = np.empty(len(features), dtype=np.int64)
    for number, group in enumerate(sorted(parts, key=min)):
        labels[group] = number
    return labels


def levels(features: Features) -> list[float]:
    """Thresholds from all to none split."""
    exact = pair_distances(features)
    return [0.0, *(float(np.quantile(exact, q)) * NUDGE for q in (0.02, 0.1, 0.3, 0.6)), 1e30]


@contextmanager
def threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(1, 45),
    dim=st.integers(1, 9),
    copies=st.integers(0, 20),
    whole=st.booleans(),
    level=st.integers(0, 5),
    memory=st.sampled_from([0, 2 * 30 * 30, 1 << 30]),
)
def test_clustering_is_algorithm_1(
    seed: int, n: int, dim: int, copies: int, whole: bool, level: int, memory: int
) -> None:
    features = gallery(seed, n, dim, copies=min(copies, n), whole=whole)
    threshold = levels(features)[level]
    got = TwoFoldDivisiveClustering(threshold, memory=memory).fit(features)
    assert got.dtype == np.int64
    np.testing.assert_array_equal(got, algorithm_1(features, threshold))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("memory", [0, 2 * 100 * 100, 1 << 30])
@pytest.mark.parametrize("whole", [False, True])
def test_groups_do_not_depend_on_the_product(precision: str, memory: int, whole: bool) -> None:
    features = gallery(3, 320, 80, copies=40, whole=whole)
    tree = SplitTree(features, memory=memory, precision=precision)
    for threshold in levels(features)[::-1]:  # growing step by step, then cut again from below
        want = algorithm_1(features, threshold)
        np.testing.assert_array_equal(tree.labels(threshold), want)
        assert tree.n_groups(threshold) == want.max() + 1
    np.testing.assert_array_equal(
        tree.labels(levels(features)[3]), algorithm_1(features, levels(features)[3])
    )


@pytest.mark.parametrize("whole", [False, True])
def test_wide_groups_are_split_on_all_threads_alike(whole: bool) -> None:
    features = gallery(8, 1300, 16, copies=200, whole=whole)  # more than one thread takes at once
    threshold = float(np.quantile(pair_distances(features), 0.2)) * NUDGE
    want = algorithm_1(features, threshold)
    assert want.max() > 3
    np.testing.assert_array_equal(TwoFoldDivisiveClustering(threshold).fit(features), want)


@pytest.mark.parametrize("scale", [1e-20, 1e-12, 1e15])
@pytest.mark.parametrize("offset", [0.0, 50.0])
def test_scale_and_offset_leave_the_groups_exact(scale: float, offset: float) -> None:
    features = ((gallery(5, 60).astype(np.float64) + offset) * scale).astype(np.float32)
    for threshold in levels(features):
        np.testing.assert_array_equal(
            TwoFoldDivisiveClustering(threshold).fit(features), algorithm_1(features, threshold)
        )


def test_small_groups_far_apart_get_products_of_their_own() -> None:
    # Within a clump distances are a millionth of those between clumps: far below what a product
    # of the whole gallery resolves.
    rng = np.random.default_rng(0)
    clumps = 10 * rng.normal(size=(3, 1, 40)) + 0.01 * rng.normal(size=(3, 60, 40))
    features = clumps.reshape(-1, 40).astype(np.float32)
    exact = pair_distances(features)
    for threshold in np.quantile(exact[exact < 1], [0.1, 0.5, 0.9]) * NUDGE:
        got = TwoFoldDivisiveClustering(threshold, precision="bfloat16").fit(features)
        np.testing.assert_array_equal(got, algorithm_1(features, threshold))


def test_threshold_zero_separates_all_but_copies() -> None:
    features = gallery(1, 50)
    np.testing.assert_array_equal(TwoFoldDivisiveClustering(0).fit(features), np.arange(50))
    twice = np.concatenate([features, features])
    np.testing.assert_array_equal(
        TwoFoldDivisiveClustering(0).fit(twice), np.tile(np.arange(50), 2)
    )
    one = np.full((30, 7), 0.1, dtype=np.float32)  # 30 x 0.1 is not exact: rounding must not split
    assert TwoFoldDivisiveClustering(0).fit(one).max() == 0
    assert TwoFoldDivisiveClustering(0).fit(one[:1]).tolist() == [0]
    assert TwoFoldDivisiveClustering(float("inf")).fit(features).max() == 0


def test_differences_that_vanish_in_float32_do_not_loop() -> None:
    features = np.array([[0.0], [1e-30], [1.0]], dtype=np.float32)
    assert TwoFoldDivisiveClustering(0).fit(features).tolist() == [0, 0, 1]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 60), whole=st.booleans())
def test_calibration_is_the_nearest_attainable_number(seed: int, n: int, whole: bool) -> None:
    features = gallery(seed, n, whole=whole)
    full = SplitTree(features)
    full.grow(0)
    attainable = {1 + int((full.key > level).sum()) for level in [*full.key, 0.0]}
    for groups in {1, 2, (n + 1) // 2, max(1, n - 1), n}:
        got = TwoFoldDivisiveClustering(calibrate(features, min(groups, n))).fit(features).max() + 1
        want = min(attainable, key=lambda count: (abs(count - groups), count))
        assert got == (want if groups <= n else max(attainable))


def test_one_tree_serves_every_threshold_and_grows_on_demand() -> None:
    features = gallery(2, 200)
    tree = SplitTree(features)
    few = calibrate(tree, 10)
    split = int(tree.expanded.sum())
    assert 9 <= split < 199
    many = calibrate(tree, 150)
    assert many < few
    assert int(tree.expanded.sum()) > split
    for threshold in (few, many):
        labels = TwoFoldDivisiveClustering(threshold).fit(tree)
        np.testing.assert_array_equal(labels, TwoFoldDivisiveClustering(threshold).fit(features))


def test_groups_follow_a_permutation() -> None:
    features = gallery(4, 150)
    order = np.random.default_rng(0).permutation(150)
    for threshold in levels(features):
        labels = TwoFoldDivisiveClustering(threshold).fit(features)
        moved = TwoFoldDivisiveClustering(threshold).fit(features[order])
        np.testing.assert_array_equal(
            labels[order][:, None] == labels[order], moved[:, None] == moved
        )


def test_groups_do_not_depend_on_threads_or_input_type() -> None:
    features = gallery(6, 400, 12, copies=30)
    threshold = levels(features[:80])[2]
    want = TwoFoldDivisiveClustering(threshold).fit(features)
    with threads(1):
        np.testing.assert_array_equal(TwoFoldDivisiveClustering(threshold).fit(features), want)
    wide = np.zeros((400, 24))
    wide[:, ::2] = features
    for given_as in (
        torch.from_numpy(features).double(),
        wide[:, ::2],
        np.asfortranarray(features),
    ):
        np.testing.assert_array_equal(TwoFoldDivisiveClustering(threshold).fit(given_as), want)
    half = features.astype(np.float16)
    np.testing.assert_array_equal(
        TwoFoldDivisiveClustering(threshold).fit(half),
        TwoFoldDivisiveClustering(threshold).fit(half.astype(np.float32)),
    )


@pytest.mark.parametrize("small", [0, 1024])  # in float32, in float64
@pytest.mark.parametrize(("n", "d", "dim"), [(80, 40, 5), (12, 80, 5), (12, 80, 12), (90, 70, 8)])
def test_pca_is_the_singular_value_decomposition(
    n: int, d: int, dim: int, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reid_repro.retrieval.groups_pca.SMALL", small)
    rng = np.random.default_rng(n)
    features = (rng.normal(size=(n, d)) * 1.5 ** -np.minimum(np.arange(d), 14) + 3).astype(
        np.float32
    )
    fitted = PCA(dim).fit(features)
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    _, values, rows = np.linalg.svd(centred, full_matrices=False)
    rank = min(dim, n - 1)
    variances = values[:rank] ** 2 / (n - 1)
    atol = 1e-6 * variances[0]
    np.testing.assert_allclose(fitted.variances[:rank], variances, rtol=1e-5, atol=atol)
    along = (fitted.components[:, :rank] * rows[:rank].T).sum(axis=0)
    np.testing.assert_allclose(np.abs(along), 1, atol=1e-3)
    largest = np.abs(fitted.components).argmax(axis=0)
    assert (fitted.components[largest, np.arange(dim)] > 0).all()
    products = fitted.components.T @ fitted.components
    np.testing.assert_allclose(products, np.eye(dim), atol=1e-4)
    np.testing.assert_allclose(fitted.transform(features), centred @ fitted.components, atol=1e-5)
    unit = PCA(dim, normalise=True).fit(features).transform(features[:9])
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-6)


def brute_force(
    query: Features,
    features: Features,
    labels: npt.NDArray[np.int64],
    pca: PCA | None,
    groups: int,
) -> tuple[list[int], list[int]]:
    """Images of the nearest groups by distance, and the others by group: two loops."""
    numbers = sorted(set(labels.tolist()))
    means = np.stack(
        [features[labels == g].mean(axis=0, dtype=np.float64) for g in numbers]
    ).astype(np.float32)
    coarse, target = (
        (means, query)
        if pca is None
        else (
            pca.transform(means),
            pca.transform(query[None])[0],
        )
    )

    def gap(x: Features, y: Features) -> np.float32:
        return np.float32(np.sqrt(((x.astype(np.float64) - y.astype(np.float64)) ** 2).sum()))

    order = sorted(range(len(numbers)), key=lambda g: (gap(target, coarse[g]), g))
    near = [i for g in order[:groups] for i in np.flatnonzero(labels == numbers[g]).tolist()]
    rest = [i for g in order[groups:] for i in np.flatnonzero(labels == numbers[g]).tolist()]
    return sorted(near, key=lambda i: (gap(query, features[i]), i)), rest


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(1, 50),
    groups=st.integers(1, 12),
    dim=st.sampled_from([None, 1, 3]),
    copies=st.integers(0, 20),
    kinds=st.integers(1, 30),
)
def test_index_is_brute_force(
    seed: int, n: int, groups: int, dim: int | None, copies: int, kinds: int
) -> None:
    features = gallery(seed, n, copies=min(copies, n))
    queries = gallery(seed + 1, 4)
    queries[0] = features[0]
    labels = 7 * np.random.default_rng(seed).integers(-3, kinds, size=n)
    dim = None if dim is None else min(dim, n)
    index = CoarseToFineIndex(features, labels, dim=dim, groups=groups)
    longer = CoarseToFineIndex(features, labels, dim=dim, groups=groups, append_rest=True)
    batch, whole = index.search(queries), longer.search(queries)
    for row, query in enumerate(queries):
        near, rest = brute_force(query, features, labels, index.pca, groups)
        found = index.search(query)
        assert found.reached == batch.reached[row] == whole.reached[row] == len(near)
        assert found.indices.tolist() == near
        exact = np.sqrt(((features[near].astype(np.float64) - query) ** 2).sum(1))
        np.testing.assert_array_equal(found.distances, exact.astype(np.float32))
        np.testing.assert_array_equal(batch.indices[row, : len(near)], near)
        np.testing.assert_array_equal(batch.distances[row, : len(near)], found.distances)
        assert (batch.indices[row, len(near) :] == -1).all()
        assert np.isinf(batch.distances[row, len(near) :]).all()
        assert whole.indices[row].tolist() == near + rest
        assert longer.search(query).indices.tolist() == near + rest
        k = 1 + seed % n
        assert index.search(query, k).indices.tolist() == near[:k]
        assert longer.search(query, k).indices.tolist() == (near + rest)[:k]


def test_exhaustive_search_is_the_special_case() -> None:
    features, queries = gallery(9, 150, copies=30), gallery(10, 20)
    queries[:5] = features[:5]
    index = CoarseToFineIndex(features, np.arange(150), dim=None, groups=1000)
    found = index.search(queries, 40)
    indices, distances = knn(queries, features, 40)
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_array_equal(found.distances, distances)
    assert (found.reached == 150).all()


def test_wide_descriptors_are_searched_by_products(monkeypatch: pytest.MonkeyPatch) -> None:
    features, queries = gallery(11, 300, 20, copies=60), gallery(12, 30, 20)
    labels = SplitTree(features).labels(levels(features[:80])[2])
    index = CoarseToFineIndex(features, labels, dim=None, groups=7)
    want = index.search(queries)
    monkeypatch.setattr("reid_repro.retrieval.groups_index.WIDE_DESCRIPTORS", 0)
    got = index.search(queries)
    np.testing.assert_array_equal(got.indices, want.indices)
    np.testing.assert_array_equal(got.reached, want.reached)


@pytest.mark.parametrize("scale", [1e-22, 1.0, 1e15])
@pytest.mark.parametrize("whole", [False, True])
def test_few_of_many_are_the_first_of_all(scale: float, whole: bool) -> None:
    features = gallery(20, 400, 24, copies=150, whole=whole) + 20  # rows that round alike
    features = (scale * features.astype(np.float64)).astype(np.float32)
    index = CoarseToFineIndex(features, np.arange(400) % 9, dim=None, groups=7)
    queries = np.concatenate([features[:6], gallery(21, 6, 24) * np.float32(scale)])
    queries[-1] = 1e18  # far beyond the gallery: every bound overflows or is useless
    for k in (1, 5, 60):
        batch = index.search(queries, k)
        for row, query in enumerate(queries):
            every, few = index.search(query), index.search(query, k)
            np.testing.assert_array_equal(few.indices, every.indices[:k])
            np.testing.assert_array_equal(few.distances, every.distances[:k])
            np.testing.assert_array_equal(batch.indices[row], every.indices[:k])


def test_search_does_not_depend_on_threads_or_input_type() -> None:
    features, queries = gallery(13, 200, 16), gallery(14, 9, 16)
    labels = np.arange(200) % 40
    index = CoarseToFineIndex(features, labels, dim=4, groups=5)
    want = index.search(queries)
    with threads(1):
        again = CoarseToFineIndex(torch.from_numpy(features).double(), labels, dim=4, groups=5)
        got = again.search(torch.from_numpy(queries).double(), None)
    np.testing.assert_array_equal(got.indices, want.indices)
    np.testing.assert_array_equal(got.distances, want.distances)
    one = index.search(torch.from_numpy(queries[3]).double())
    np.testing.assert_array_equal(one.indices, want.indices[3, : one.reached])


def test_projection_can_be_fitted_elsewhere() -> None:
    features = gallery(15, 120, 10)
    labels = np.arange(120) // 6
    given_pca = PCA(3, normalise=True).fit(gallery(16, 90, 10))
    index = CoarseToFineIndex(features, labels, pca=given_pca, groups=4)
    assert index.pca is given_pca
    for query in gallery(17, 5, 10):
        assert (
            index.search(query).indices.tolist()
            == brute_force(query, features, labels, given_pca, 4)[0]
        )
    on_groups = CoarseToFineIndex(features, labels, dim=3, fitted_on="descriptors").pca
    assert on_groups is not None
    np.testing.assert_array_equal(on_groups.components, PCA(3).fit(index.descriptors).components)


@pytest.mark.parametrize("append_rest", [False, True])
def test_reranker_rows_rank_like_the_search(append_rest: bool) -> None:
    features, queries = gallery(18, 140, copies=20), gallery(19, 12)
    reranker = CoarseToFine(n_groups=40, dim=3, groups=6, append_rest=append_rest)
    assert isinstance(reranker, Reranker)
    rows = reranker.fit(queries, features).distances(0, 12)
    assert reranker.index is not None
    assert len(reranker.index.descriptors) == 40
    assert 0 < reranker.reached.min() <= reranker.reached.max() < 140
    for row, query, reached in zip(rows, queries, reranker.reached, strict=True):
        near, rest = brute_force(
            query,
            features,
            SplitTree(features).labels(calibrate(features, 40)),
            reranker.index.pca,
            6,
        )
        assert reached == len(near)
        order = near + (rest if append_rest else sorted(rest))
        assert np.argsort(row, kind="stable").tolist() == order
        assert np.isinf(row).sum() == (0 if append_rest else len(rest))
    np.testing.assert_array_equal(reranker.distances(3, 7), rows[3:7])
    assert reranker.distances(5, 5).shape == (0, 140)


def test_appended_images_rank_behind_copies_of_the_query() -> None:
    features = np.zeros((5, 2), dtype=np.float32)
    features[3:] = 4
    row = CoarseToFine(labels=np.array([0, 0, 0, 1, 1]), dim=None, groups=1, append_rest=True)
    distances = row.fit(features[:1], features).distances(0, 1)[0]
    assert (distances[:3] == 0).all()
    assert 0 < distances[3] < distances[4]


@pytest.mark.parametrize("furthest", [0.0, 1.0, 1.75, 1e18])
def test_appended_images_are_distinct_in_large_galleries(furthest: float) -> None:
    values = groups_module._beyond(furthest, 2**23 + 1)
    assert values.dtype == np.float32
    assert furthest < values[0]
    assert (values[:-1] < values[1:]).all()
    assert np.isfinite(values[-1])


def test_lost_matches_cost_accuracy_and_evaluation_streams() -> None:
    rng = np.random.default_rng(5)
    centres = rng.normal(size=(30, 16))
    ids = np.repeat(np.arange(1, 31), 10)
    features = (centres[ids - 1] + 0.7 * rng.normal(size=(300, 16))).astype(np.float32)
    asked = np.arange(300) % 10 < 2
    split = features[asked], features[~asked], ids[asked], ids[~asked]
    exhaustive = evaluate(*split)
    every = CoarseToFine(threshold=0, dim=None, groups=300)
    np.testing.assert_array_equal(evaluate(*split, reranker=every).ap, exhaustive.ap)
    assert (every.reached == 240).all()
    lossy = CoarseToFine(n_groups=60, dim=8, groups=4)
    kept = CoarseToFine(n_groups=60, dim=8, groups=4, append_rest=True)
    without, appended = (evaluate(*split, reranker=one).mAP for one in (lossy, kept))
    assert lossy.reached.max() < 240
    np.testing.assert_array_equal(lossy.reached, kept.reached)
    assert 0.3 < without < appended <= exhaustive.mAP + 0.02
    assert set(lossy.timings) == {"clustering", "index", "distances"}


NOT_FINITE = np.array([[1.0, np.nan], [1.0, 2.0]], dtype=np.float32)
INDEX = CoarseToFineIndex(gallery(0, 12), np.arange(12), dim=2)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: TwoFoldDivisiveClustering(-0.1), "threshold is -0.1"),
        (lambda: TwoFoldDivisiveClustering(float("nan")), "threshold is nan"),
        (lambda: SplitTree(gallery(0, 5)).labels(-1.0), "threshold is -1.0"),
        (lambda: TwoFoldDivisiveClustering(1).fit(NOT_FINITE), "row 0 holds NaN"),
        (lambda: TwoFoldDivisiveClustering(1).fit(NOT_FINITE + np.inf), "NaN or infinite"),
        (lambda: TwoFoldDivisiveClustering(1).fit(np.empty((0, 4))), "empty"),
        (lambda: TwoFoldDivisiveClustering(1).fit(np.ones((3, 4), dtype=int)), "float matrix"),
        (lambda: TwoFoldDivisiveClustering(1).fit(np.full((300, 4), 1e30)), "scale them down"),
        (lambda: calibrate(gallery(0, 5), 6), "groups is 6: use 1 to 5"),
        (lambda: calibrate(gallery(0, 5), 0), "groups is 0"),
        (lambda: PCA(0), "dim is 0"),
        (lambda: PCA(7).fit(gallery(0, 30)), "at most 6"),
        (lambda: PCA(2).transform(gallery(0, 3)), "call fit"),
        (lambda: PCA(2).fit(gallery(0, 9)).transform(np.ones((2, 3))), "3 dimensions"),
        (lambda: CoarseToFineIndex(gallery(0, 9), np.arange(8)), "labels has 8 entries"),
        (lambda: CoarseToFineIndex(gallery(0, 9), np.arange(9), groups=0), "groups is 0"),
        (lambda: CoarseToFineIndex(gallery(0, 9), np.arange(9), fitted_on="x"), "fitted_on"),
        (lambda: INDEX.search(gallery(0, 1)[0], 13), "k is 13: use 1 to 12"),
        (lambda: INDEX.search(np.ones(5)), "5 dimensions"),
        (lambda: INDEX.search(np.full(6, np.nan)), "NaN"),
        (lambda: CoarseToFine(), "give one of"),
        (lambda: CoarseToFine(threshold=1, n_groups=3), "give one of"),
        (lambda: CoarseToFine(threshold=1).distances(0, 1), "call fit"),
        (lambda: CoarseToFine(threshold=1).fit(np.ones((2, 3)), np.ones((2, 4))), "3 dimensions"),
        (
            lambda: (
                CoarseToFine(threshold=1, dim=2).fit(gallery(0, 2), gallery(1, 9)).distances(0, 3)
            ),
            "lie outside the 2",
        ),
    ],
)
def test_bad_arguments_are_named(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
