"""Evaluation by judgements: a walk down sorted rows as Oxford5k's protocol words it, and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from evaluation_oracles import check, exact_distances, features
from hypothesis import given
from hypothesis import strategies as st

from reid_repro.retrieval import metrics
from reid_repro.retrieval.judgements import Judgements
from reid_repro.retrieval.metrics import evaluate, evaluate_distances
from reid_repro.retrieval.rerank import AverageQueryExpansion, KReciprocal

Verdicts = dict[tuple[int, int], bool]


def judged(verdicts: Verdicts, order: npt.NDArray[np.int64] | None = None) -> Judgements:
    pairs = sorted(verdicts)
    if order is not None:
        pairs = [pairs[place] for place in order]
    query, gallery = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    relevant = np.array([verdicts[pair] for pair in pairs], dtype=bool)
    return Judgements(query=query, gallery=gallery, relevant=relevant)


def oxford_ap(ranking: list[int], right: set[int], junk: set[int]) -> float:
    """The area under precision over recall with straight lines between the points, junk skipped."""
    recall, precision, area = 0.0, 1.0, 0.0
    found = seen = 0
    for entry in ranking:
        if entry in junk:
            continue
        seen += 1
        found += entry in right
        new_recall, new_precision = found / len(right), found / seen
        area += (new_recall - recall) * (precision + new_precision) / 2
        recall, precision = new_recall, new_precision
    return area


def walk(distances: Any, verdicts: Verdicts, ap: str, ranks: int) -> dict[str, Any] | None:
    """Each row sorted, junk of its query alone skipped; None where no query has a match."""
    rows, cmc = [], np.zeros(ranks)
    for q, row in enumerate(distances):
        right = {g for (query, g), good in verdicts.items() if query == q and good}
        junk = {g for (query, g), good in verdicts.items() if query == q and not good}
        if not right:
            continue
        ranking = sorted(range(len(row)), key=lambda g, row=row: (row[g], g))
        counting = [g for g in ranking if g not in junk]
        places = [place for place, g in enumerate(counting, start=1) if g in right]
        steps = [hit / place for hit, place in enumerate(places, start=1)]
        area = oxford_ap(ranking, right, junk)
        rows.append(
            (q, np.mean(steps) if ap == "step" else area, len(places) / places[-1], places[0])
        )
        cmc[places[0] - 1 :] += 1
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


@st.composite
def worlds(draw: st.DrawFn) -> tuple[int, int, int, Verdicts]:
    """Seed, queries, gallery and any verdicts; sometimes more matches than are counted singly."""
    seed = draw(st.integers(0, 99_999))
    n, g = draw(st.integers(1, 6)), draw(st.sampled_from([1, 7, 30, 150]))
    rng = np.random.default_rng(seed)
    share = draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
    good = draw(st.sampled_from([0.0, 0.5, 0.9, 1.0]))
    verdicts = {
        (q, e): bool(rng.random() < good)
        for q in range(n)
        for e in range(g)
        if rng.random() < share
    }
    return seed, n, g, verdicts


def compare(got: Any, want: dict[str, Any] | None) -> None:
    if want is None:
        with pytest.raises(ValueError, match="no query has a match"):
            got()
    else:
        check(got(), want)


@given(worlds(), st.sampled_from(["step", "trapezoid"]), st.booleans())
def test_features_are_scored_by_judgements(
    world: tuple[int, int, int, Verdicts], ap: Any, grid: bool
) -> None:
    seed, n, g, verdicts = world
    query, gallery = features(seed, n, grid), features(seed + 1, g, grid)
    rng = np.random.default_rng(seed)
    given_in = judged(verdicts, rng.permutation(len(verdicts)))
    # Identities and cameras say nothing, junk and equal cameras least of all.
    ids = rng.integers(-1, 3, n), rng.integers(-1, 3, g)
    cameras = rng.integers(0, 2, n), rng.integers(0, 2, g)
    want = walk(exact_distances(query, gallery, "euclidean"), verdicts, ap, 12)
    compare(
        lambda: evaluate(query, gallery, *ids, *cameras, ap=ap, ranks=12, judgements=given_in), want
    )


@given(worlds(), st.sampled_from(["step", "trapezoid"]), st.integers(1, 4))
def test_distances_in_blocks_are_scored_by_judgements(
    world: tuple[int, int, int, Verdicts], ap: Any, step: int
) -> None:
    seed, n, g, verdicts = world
    distances = np.random.default_rng(seed).integers(0, 9, (n, g)).astype(np.float32)
    ids = np.full(n, -1), np.full(g, -1)
    blocks = [distances[start : start + step] for start in range(0, n, step)]
    want = walk(distances, verdicts, ap, 12)
    compare(
        lambda: evaluate_distances(blocks, *ids, ap=ap, ranks=12, judgements=judged(verdicts)),
        want,
    )


@pytest.mark.parametrize("reranker", ["features", "distances"])
def test_rerankers_are_scored_by_judgements(reranker: str) -> None:
    query, gallery = features(3, 5, grid=False), features(4, 60, grid=False)
    rng = np.random.default_rng(5)
    verdicts = {(q, e): bool(rng.random() < 0.6) for q in range(5) for e in rng.choice(60, 9)}
    ids = np.ones(5, int), np.ones(60, int)

    def build() -> Any:
        if reranker == "features":
            return AverageQueryExpansion(k=3)
        return KReciprocal(k1=6, k2=2, lambda_=0.3)

    fitted = build()
    fitted.fit(torch.from_numpy(query), torch.from_numpy(gallery))
    got = evaluate(
        query, gallery, *ids, ap="trapezoid", reranker=build(), judgements=judged(verdicts)
    )
    rows = np.asarray(fitted.distances(0, 5))
    want = evaluate_distances(rows, *ids, ap="trapezoid", judgements=judged(verdicts))
    assert got.first_hit.tolist() == want.first_hit.tolist()
    oracle = walk(rows, verdicts, "trapezoid", 50)
    assert oracle is not None
    np.testing.assert_allclose(got.ap, oracle["ap"], rtol=1e-12)


def test_an_image_good_for_one_landmark_and_junk_for_another() -> None:
    # Query 0 (landmark A): entry 0 is good. Query 1 (landmark B): entry 0 is junk, 2 is good.
    distances = np.array([[1, 2, 3], [1, 2, 3]], dtype=np.float32)
    verdicts = {(0, 0): True, (1, 0): False, (1, 2): True}
    got = evaluate_distances(
        distances, [1, 2], [1, 0, 2], ap="trapezoid", judgements=judged(verdicts)
    )
    # Of query 1 the junk is gone, the stranger first, the match second: (0 / 1 + 1 / 2) / 2.
    assert got.first_hit.tolist() == [1, 2]
    np.testing.assert_allclose(got.ap, [1.0, 0.25])
    # As a wrong answer it would stand before the match.
    wrong = evaluate_distances(
        distances, [1, 2], [1, 0, 2], judgements=judged({(0, 0): True, (1, 2): True})
    )
    assert wrong.first_hit.tolist() == [1, 3]


def test_judgements_that_restate_identities_change_nothing() -> None:
    rng = np.random.default_rng(0)
    query, gallery = features(1, 20, grid=False), features(2, 300, grid=False)
    ids = rng.integers(1, 6, 20), rng.integers(0, 6, 300)
    pairs = {(q, g): True for q in range(20) for g in range(300) if ids[0][q] == ids[1][g]}
    by_identity = evaluate(query, gallery, *ids, ap="trapezoid", same_camera="keep")
    by_judgement = evaluate(
        query, gallery, np.full(20, -1), ids[1], ap="trapezoid", judgements=judged(pairs)
    )
    np.testing.assert_array_equal(by_judgement.ap, by_identity.ap)
    np.testing.assert_array_equal(by_judgement.cmc, by_identity.cmc)


def test_blocks_of_queries_keep_their_judgements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reid_repro.retrieval.ranking.QUERIES", 3)
    monkeypatch.setattr(metrics, "default_block", lambda _: 2)
    query, gallery = features(1, 11, grid=True), features(2, 40, grid=True)
    rng = np.random.default_rng(1)
    verdicts = {(q, e): bool(rng.random() < 0.7) for q in (0, 4, 5, 10) for e in rng.choice(40, 6)}
    ids = np.ones(11, int), np.ones(40, int)
    distances = exact_distances(query, gallery, "euclidean")
    want = walk(distances, verdicts, "trapezoid", 12)
    for got in (
        evaluate(query, gallery, *ids, ap="trapezoid", ranks=12, judgements=judged(verdicts)),
        evaluate_distances(distances, *ids, ap="trapezoid", ranks=12, judgements=judged(verdicts)),
    ):
        assert want is not None
        check(got, want)
        assert got.n_query == 11


def test_a_table_of_rows_becomes_positions() -> None:
    table = pd.DataFrame(
        {
            "query": [8, 8, 9, 7, 9],
            "image": [2, 0, 2, 1, 5],
            "judgement": ["good", "junk", "ok", "good", "junk"],
        }
    )
    # Query row 7 and gallery row 5 belong to other trials.
    found = Judgements.of(table, query_rows=[9, 8], gallery_rows=[2, 1, 0])
    assert found.query.tolist() == [1, 1, 0]
    assert found.gallery.tolist() == [0, 2, 0]
    assert found.relevant.tolist() == [True, False, True]


def table_of(**columns: list[Any]) -> pd.DataFrame:
    return pd.DataFrame({"query": [3], "image": [0], "judgement": ["good"]} | columns)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: judged({(0, 9): True}), "judgements name gallery 9; there are 3, from 0"),
        (lambda: judged({(2, 0): False}), "judgements name query 2; there are 2, from 0"),
        (
            lambda: Judgements(query=np.r_[0, 0], gallery=np.r_[1, 1], relevant=np.r_[True, False]),
            "query 0 and gallery image 1 are judged twice",
        ),
        (
            lambda: Judgements(query=np.r_[0], gallery=np.r_[1, 2], relevant=np.r_[True]),
            "judgements.gallery has 2 entries for 1",
        ),
        (
            lambda: Judgements(query=np.r_[0], gallery=np.r_[1], relevant=np.r_[1]),
            "judgements.relevant must be 1 booleans; got int64",
        ),
        (
            lambda: Judgements(query=np.r_[-1], gallery=np.r_[1], relevant=np.r_[True]),
            "positions start at 0",
        ),
        (
            lambda: Judgements.of(table_of(judgement=["bad"]), [3], [0]),
            "judgement 'bad' is none of good, ok, junk",
        ),
        (lambda: Judgements.of(table_of(), [3, 3], [0]), "query_rows names a row twice"),
    ],
)
def test_judgements_that_do_not_fit(make: Any, message: str) -> None:
    distances = np.zeros((2, 3), dtype=np.float32)
    with pytest.raises(ValueError, match=message):
        evaluate_distances(distances, [1, 1], [1, 1, 1], judgements=make())


def test_no_gallery_is_drawn_from_judgements() -> None:
    with pytest.raises(ValueError, match="judgements name no identities"):
        evaluate_distances(
            np.zeros((1, 1), np.float32),
            [1],
            [1],
            single_gallery_shot=True,
            judgements=judged({(0, 0): True}),
        )
