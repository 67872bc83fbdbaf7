"""Evaluation against loops over fully sorted rows, and against examples worked by hand."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import reid_repro.retrieval.metrics as metrics_module
import reid_repro.retrieval.ranking as ranking_module
from reid_repro.retrieval import average_precision, evaluate, evaluate_distances

Labels = npt.NDArray[np.int64]


def naive(
    distances: npt.NDArray[np.floating[Any]],
    query_ids: Labels,
    gallery_ids: Labels,
    query_cameras: Labels | None,
    gallery_cameras: Labels | None,
    *,
    ap: str,
    same_camera: str,
    ranks: int,
) -> dict[str, Any] | None:
    """Walk down each fully sorted row; None where no query has a match."""
    rows: list[tuple[int, float, float, int]] = []
    cmc = np.zeros(ranks)
    for q, row in enumerate(distances):
        place, hits, last, total = 0, 0, 0, 0.0
        first = 0
        before = 1.0
        for g in sorted(range(len(row)), key=lambda g: (row[g], g)):
            same = query_ids[q] == gallery_ids[g]
            if gallery_ids[g] == -1:
                continue
            if (
                same
                and same_camera == "remove"
                and query_cameras is not None
                and gallery_cameras is not None
                and query_cameras[q] == gallery_cameras[g] != -1
                and query_ids[q] > 0
            ):
                continue
            place += 1
            match = same and query_ids[q] > 0
            hits += match
            precision = hits / place
            if match:
                first, last = first or place, place
                total += precision if ap == "step" else (before + precision) / 2
            before = precision
        if hits:
            rows.append((q, total / hits, hits / last, first))
            cmc[first - 1 :] += 1
    if not rows:
        return None
    query, aps, inps, firsts = (np.array(column) for column in zip(*rows, strict=True))
    return {
        "query": query,
        "ap": aps,
        "inp": inps,
        "first_hit": firsts,
        "cmc": cmc / len(rows),
        "mAP": aps.mean(),
        "mINP": inps.mean(),
    }


def check(got: Any, want: dict[str, Any]) -> None:
    for name in ("query", "first_hit"):
        np.testing.assert_array_equal(getattr(got, name), want[name])
        assert getattr(got, name).dtype == np.int64
    for name in ("ap", "inp", "cmc", "mAP", "mINP"):
        np.testing.assert_allclose(getattr(got, name), want[name], rtol=1e-12, atol=1e-15)
    assert got.n_valid == len(want["query"])


@st.composite
def labels(draw: st.DrawFn) -> dict[str, Any]:
    rng = np.random.default_rng(draw(st.integers(0, 99_999)))
    n, g, people = draw(st.integers(1, 8)), draw(st.integers(1, 40)), draw(st.integers(0, 5))
    out: dict[str, Any] = {
        "query_ids": rng.integers(-1, people + 1, size=n),
        "gallery_ids": rng.integers(-1, people + 1, size=g),
    }
    if draw(st.booleans()):
        cameras = draw(st.integers(0, 3))
        out["query_cameras"] = rng.integers(-1, cameras + 1, size=n)
        out["gallery_cameras"] = rng.integers(-1, cameras + 1, size=g)
    return out


rules = st.fixed_dictionaries(
    {
        "ap": st.sampled_from(["step", "trapezoid"]),
        "same_camera": st.sampled_from(["remove", "keep"]),
    }
)


def features(seed: int, n: int, grid: bool) -> npt.NDArray[np.float32]:
    """Small integers (ties, copies, zero rows), or a narrow cone far from the origin."""
    rng = np.random.default_rng(seed)
    if grid:
        return rng.integers(-1, 2, size=(n, 4)).astype(np.float32)
    return (50 + 1e-3 * rng.normal(size=(n, 4))).astype(np.float32)


def exact_distances(
    query: npt.NDArray[np.float32], gallery: npt.NDArray[np.float32], metric: str
) -> npt.NDArray[np.float32]:
    """float64 distances of float32 features (normalised for cosine), rounded to float32."""
    x, y = query.astype(np.float64), gallery.astype(np.float64)
    zero = np.zeros((len(x), len(y)))
    if metric == "cosine":
        norms = [np.sqrt((values**2).sum(1, keepdims=True)) for values in (x, y)]
        zero = (norms[0] == 0) + (norms[1] == 0).T.astype(float)
        x, y = (
            (values / np.where(norm > 0, norm, 1)).astype(np.float32).astype(np.float64)
            for values, norm in zip((x, y), norms, strict=True)
        )
    squared = ((x[:, None] - y[None]) ** 2).sum(2) + zero
    return (squared / 2 if metric == "cosine" else np.sqrt(squared)).astype(np.float32)


def expectation(
    distances: npt.NDArray[np.floating[Any]], given_labels: dict[str, Any], rule: dict[str, Any]
) -> dict[str, Any] | None:
    full = {"query_cameras": None, "gallery_cameras": None} | given_labels
    return naive(distances, **full, **rule, ranks=12)


@settings(max_examples=150, deadline=None)
@given(
    labels=labels(),
    rule=rules,
    seed=st.integers(0, 9999),
    levels=st.integers(1, 30),
    dtype=st.sampled_from([np.float16, np.float32, np.float64]),
    block=st.integers(1, 9),
    sorting=st.booleans(),
)
def test_evaluation_of_distances_is_the_naive_walk(
    labels: dict[str, Any],
    rule: dict[str, Any],
    seed: int,
    levels: int,
    dtype: type,
    block: int,
    sorting: bool,
) -> None:
    n, g = len(labels["query_ids"]), len(labels["gallery_ids"])
    rng = np.random.default_rng(seed)
    distances = (rng.integers(levels, size=(n, g)) / levels).astype(dtype)  # few levels: many ties
    want = expectation(distances, labels, rule)

    def blocks() -> Iterator[npt.NDArray[np.floating[Any]]]:
        for start in range(0, n, block):
            yield distances[start : start + block]

    with pytest.MonkeyPatch.context() as patch:
        if sorting:  # the way of queries with very many matches
            patch.setattr(ranking_module, "COUNTED_MATCHES", 0)
        if want is None:
            with pytest.raises(ValueError, match="no query has a match"):
                evaluate_distances(distances, **labels, **rule, ranks=12)
            return
        check(evaluate_distances(distances, **labels, **rule, ranks=12), want)
        check(evaluate_distances(blocks(), **labels, **rule, ranks=12), want)
        column_major = np.asfortranarray(distances)
        check(evaluate_distances(column_major, **labels, **rule, ranks=12), want)
        tensor = torch.from_numpy(distances)
        check(evaluate_distances(tensor, **labels, **rule, ranks=12), want)


@settings(max_examples=120, deadline=None)
@given(
    labels=labels(),
    rule=rules,
    seed=st.integers(0, 9999),
    grid=st.booleans(),
    metric=st.sampled_from(["euclidean", "cosine"]),
    block=st.integers(1, 9),
    as_torch=st.booleans(),
)
def test_evaluation_of_features_is_exact(
    labels: dict[str, Any],
    rule: dict[str, Any],
    seed: int,
    grid: bool,
    metric: Any,
    block: int,
    as_torch: bool,
) -> None:
    n, g = len(labels["query_ids"]), len(labels["gallery_ids"])
    query, gallery = features(seed, n, grid), features(seed + 1, g, grid)
    query[: g // 2] = gallery[: min(n, g // 2)]  # queries that also sit in the gallery
    want = expectation(exact_distances(query, gallery, metric), labels, rule)
    if want is None:
        return
    given_features = (query, gallery.astype(np.float64))
    if as_torch:
        given_features = (torch.from_numpy(query).double(), torch.from_numpy(gallery))
        labels = {name: torch.from_numpy(values) for name, values in labels.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics_module, "default_block", lambda _: block)
        check(evaluate(*given_features, **labels, **rule, metric=metric, ranks=12), want)


def test_real_sized_features_equal_a_stable_argsort() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(50, 256))
    query_ids, gallery_ids = rng.integers(1, 51, size=100), rng.integers(-1, 51, size=2000)
    query = (centres[query_ids - 1] + 3 * rng.normal(size=(100, 256))).astype(np.float32)
    gallery = (centres[gallery_ids - 1] + 3 * rng.normal(size=(2000, 256))).astype(np.float32)
    gallery[:300] = gallery[300:600]
    cameras: dict[str, Any] = {
        "query_cameras": rng.integers(6, size=100),
        "gallery_cameras": rng.integers(6, size=2000),
    }
    distances = np.stack(
        [np.sqrt(((gallery.astype(np.float64) - x) ** 2).sum(1)) for x in query.astype(np.float64)]
    ).astype(np.float32)
    want = evaluate_distances(distances, query_ids, gallery_ids, **cameras)
    got = evaluate(query, gallery, query_ids, gallery_ids, **cameras)
    np.testing.assert_array_equal(got.ap, want.ap)
    np.testing.assert_array_equal(got.cmc, want.cmc)
    order = np.argsort(distances, axis=1, kind="stable")
    q = int(got.query[7])
    keep = (gallery_ids[order[q]] != -1) & ~(
        (gallery_ids[order[q]] == query_ids[q])
        & (cameras["gallery_cameras"][order[q]] == cameras["query_cameras"][q])
    )
    places = np.flatnonzero(gallery_ids[order[q]][keep] == query_ids[q]) + 1
    assert got.ap[7] == pytest.approx(float(average_precision(places)))


def test_worked_example_of_both_ap_rules() -> None:
    # Ranking R W R W W R: precisions 1/1, 2/3, 3/6 at the hits; just before them 1, 1/2, 2/5.
    distances = np.array([[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]])
    gallery_ids = np.array([7, 8, 7, 9, 0, 7])
    step = evaluate_distances(distances, np.array([7]), gallery_ids, ranks=8)
    assert step.mAP == pytest.approx((1 + 2 / 3 + 1 / 2) / 3)
    assert step.mINP == pytest.approx(3 / 6)
    assert step.cmc.tolist() == [1.0] * 8  # longer than the gallery: the last value goes on
    trapezoid = evaluate_distances(distances, np.array([7]), gallery_ids, ap="trapezoid")
    assert trapezoid.mAP == pytest.approx(((1 + 1) + (2 / 3 + 1 / 2) + (1 / 2 + 2 / 5)) / 6)
    # One match at rank 3: 1/3 by steps; half of (1/3 + 0) by trapezoids.
    assert average_precision([3]) == pytest.approx(1 / 3)
    assert average_precision([3], "trapezoid") == pytest.approx(1 / 6)
    assert average_precision([[1], [2]], "trapezoid").tolist() == [1.0, 0.25]


def test_worked_example_of_the_protocol() -> None:
    # Query 0 (id 1, camera 0): entry 0 is removed, entry 1 is junk, entry 2 a distractor ahead of
    # the match (entry 3). Query 1 (id 2) has no match, query 2 (id 0) is itself a distractor.
    distances = np.array([[0.0, 0.1, 0.2, 0.3], [0.0, 0.1, 0.2, 0.3], [0.3, 0.2, 0.1, 0.0]])
    result = evaluate_distances(
        distances, [1, 2, 0], [1, -1, 0, 1], [0, 0, 0], [0, 0, 1, -1], ranks=3
    )
    assert (result.n_query, result.n_valid, result.query.tolist()) == (3, 1, [0])
    assert result.first_hit.tolist() == [2]
    assert result.cmc.tolist() == [0, 1, 1]
    kept = evaluate_distances(
        distances, [1, 2, 0], [1, -1, 0, 1], [0, 0, 0], [0, 0, 1, -1], same_camera="keep"
    )
    assert kept.ap.tolist() == [(1 + 2 / 3) / 2]
    assert json.loads(json.dumps(result.to_dict()))["protocol"]["same_camera"] == "remove"


def test_single_shot_gallery_draws_one_image_an_identity() -> None:
    """Recompute each repeat by loops from the same keys: the smallest valid key represents."""
    rng = np.random.default_rng(5)
    n, g, repeats, seed = 15, 60, 25, 3
    query_ids, gallery_ids = rng.integers(-1, 7, size=n), rng.integers(-1, 7, size=g)
    query_cameras, gallery_cameras = rng.integers(-1, 2, size=n), rng.integers(-1, 2, size=g)
    distances = rng.integers(12, size=(n, g)) / 12
    kept = np.flatnonzero(gallery_ids != -1)
    firsts: dict[int, list[int]] = {}
    for repeat in range(repeats):
        keys = np.random.default_rng([seed, repeat]).permutation(len(kept))
        for q in range(n):
            if query_ids[q] <= 0:
                continue
            chosen: dict[tuple[Any, Any], tuple[int, int]] = {}
            for key, entry in zip(keys, kept, strict=True):
                same = gallery_ids[entry] == query_ids[q]
                if same and query_cameras[q] == gallery_cameras[entry] != -1:
                    continue
                who = (gallery_ids[entry], entry if gallery_ids[entry] == 0 else -1)
                chosen[who] = min(chosen.get(who, (g, g)), (int(key), int(entry)))
            if (query_ids[q], -1) not in chosen:
                continue
            gallery = sorted((distances[q, entry], entry) for _, entry in chosen.values())
            ranking = [entry for _, entry in gallery]
            firsts.setdefault(q, []).append(ranking.index(chosen[query_ids[q], -1][1]) + 1)
    arguments = (distances, query_ids, gallery_ids, query_cameras, gallery_cameras)
    options: dict[str, Any] = {"single_gallery_shot": True, "repeats": repeats, "seed": seed}
    got = evaluate_distances(*arguments, **options, ranks=10)
    ranks = np.array([firsts[q] for q in got.query])
    assert sorted(firsts) == got.query.tolist()
    np.testing.assert_allclose(got.first_hit, ranks.mean(1))
    np.testing.assert_allclose(got.ap, (1 / ranks).mean(1))
    np.testing.assert_allclose(got.cmc, [(ranks <= r).mean() for r in range(1, 11)])
    assert got.hits is not None
    assert got.hits.dtype == np.float32
    shares = [[np.mean([rank <= r for rank in row]) for r in range(1, 11)] for row in ranks]
    np.testing.assert_allclose(got.hits, shares, rtol=1e-6)
    rows = (distances[i : i + 4] for i in range(0, n, 4))
    again = evaluate_distances(rows, *arguments[1:], **options)
    np.testing.assert_array_equal(again.ap, got.ap)
    other = evaluate_distances(*arguments, **(options | {"seed": 4}))
    assert not np.array_equal(other.ap, got.ap)
    one = evaluate_distances(*arguments, single_gallery_shot=True)
    assert one.first_hit.dtype == np.int64
    assert one.hits is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ap": "rectangle"}, "ap is 'rectangle'"),
        ({"same_camera": "drop"}, "same_camera is 'drop'"),
        ({"repeats": 3}, "single_gallery_shot"),
        ({"ranks": 0}, "ranks 0"),
        ({"query_ids": [1, 2]}, "more distance rows than the 2"),
        ({"query_ids": [1, 2, 3, 4]}, "3 distance rows for 4 queries"),
        ({"query_ids": [1.0, 2.0, 3.0]}, "query_ids must be a vector of integers"),
        ({"gallery_ids": [1, 2, 3]}, r"expected \(rows, 3\)"),
        ({"query_cameras": [1, 1, 1]}, "together"),
        ({"query_cameras": [1, 1, 1], "gallery_cameras": [1]}, "gallery_cameras has 1 entries"),
        ({"gallery_ids": [-1, -1]}, "no query has a match"),
        ({"blocks": np.full((3, 2), np.nan)}, "NaN"),
        ({"blocks": np.ones(6)}, "distances of shape"),
    ],
)
def test_bad_input_is_named(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "blocks": np.ones((3, 2)),
        "query_ids": [1, 2, 3],
        "gallery_ids": [1, 2],
    }
    with pytest.raises(ValueError, match=message):
        evaluate_distances(**(arguments | change))


def test_feature_rows_must_fit_their_identities() -> None:
    with pytest.raises(ValueError, match="gallery has 4 rows, gallery_ids 3"):
        evaluate(np.ones((2, 2)), np.ones((4, 2)), [1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="every gallery entry is junk"):
        evaluate(np.ones((1, 2)), np.ones((2, 2)), [1], [-1, -1])
