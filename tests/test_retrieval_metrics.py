"""Evaluation against walks down fully sorted rows, and against examples worked by hand."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from evaluation_oracles import (
    check,
    exact_distances,
    expectation,
    features,
    labels,
    rules,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import reid_repro.retrieval.ranking as ranking_module
from reid_repro.retrieval import average_precision, evaluate, evaluate_distances


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


@settings(max_examples=150, deadline=None)
@given(
    labels=labels(),
    rule=rules,
    seed=st.integers(0, 9999),
    grid=st.booleans(),
    metric=st.sampled_from(["euclidean", "cosine"]),
    rows=st.sampled_from([1, 3, 1024]),
    columns=st.sampled_from([1, 5, 4096]),
    counted=st.sampled_from([0, 2, 64]),
    as_torch=st.booleans(),
)
def test_evaluation_of_features_is_exact(
    labels: dict[str, Any],
    rule: dict[str, Any],
    seed: int,
    grid: bool,
    metric: Any,
    rows: int,
    columns: int,
    counted: int,
    as_torch: bool,
) -> None:
    """By tiles of any size, with remainders; matches counted, or found in sorted rows of tiles."""
    n, g = len(labels["query_ids"]), len(labels["gallery_ids"])
    query, gallery = features(seed, n, grid), features(seed + 1, g, grid)
    query[: g // 2] = gallery[: min(n, g // 2)]  # queries that also sit in the gallery
    want = expectation(exact_distances(query, gallery, metric), labels, rule)
    kept = int((labels["gallery_ids"] != -1).sum())
    given_features = (query, gallery.astype(np.float64))
    if as_torch:
        given_features = (torch.from_numpy(query).double(), torch.from_numpy(gallery))
        labels = {name: torch.from_numpy(values) for name, values in labels.items()}
    tiles: list[tuple[int, ...]] = []
    count_before = ranking_module.count_before

    def counted_tiles(tile: npt.NDArray[Any], *more: Any) -> None:
        tiles.append(tile.shape)
        count_before(tile, *more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking_module, "QUERIES", rows)
        patch.setattr(ranking_module, "ENTRIES", columns)
        patch.setattr(ranking_module, "COUNTED_MATCHES", counted)
        patch.setattr(ranking_module, "count_before", counted_tiles)
        if want is None:
            with pytest.raises(ValueError, match=r"no query has a match|every gallery entry"):
                evaluate(*given_features, **labels, **rule, metric=metric, ranks=12)
            return
        check(evaluate(*given_features, **labels, **rule, metric=metric, ranks=12), want)
    assert len(tiles) == -(-n // rows) * -(-kept // columns)
    assert all(height <= rows and width <= columns for height, width in tiles)


@settings(max_examples=60, deadline=None)
@given(labels=labels(), rule=rules, seed=st.integers(0, 9999), order=st.randoms())
def test_the_order_of_the_gallery_does_not_matter_without_ties(
    labels: dict[str, Any], rule: dict[str, Any], seed: int, order: Any
) -> None:
    n, g = len(labels["query_ids"]), len(labels["gallery_ids"])
    query, gallery = features(seed, n, grid=False), features(seed + 1, g, grid=False)
    distances = exact_distances(query, gallery, "euclidean")
    assume(all(len(np.unique(row)) == g for row in distances))
    want = expectation(distances, labels, rule)
    assume(want is not None)
    moved = np.array(order.sample(range(g), g))
    permuted = {
        name: values[moved] if name.startswith("gallery") else values
        for name, values in labels.items()
    }
    before = evaluate(query, gallery, **labels, **rule)
    after = evaluate(query, gallery[moved], **permuted, **rule)
    for name in ("mAP", "mINP", "cmc", "query", "ap", "inp", "first_hit"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))


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
    distances = np.array([[0, 1, 2, 3], [0, 1, 2, 3], [3, 2, 1, 0]], dtype=np.float32)
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
        ({"gallery_ids": [-1, -1], "single_gallery_shot": True}, "no query has a match"),
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
