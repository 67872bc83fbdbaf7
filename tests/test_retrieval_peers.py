"""Evaluation and re-ranking against what others compute.

Two kinds of reference: loops written here from the published definitions, always; and the functions
of torchreid and fast-reid themselves, where `python benchmarks/retrieval_peers.py` has put them.
"""

import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from reid_repro.retrieval import Evaluation, evaluate_distances
from reid_repro.retrieval.distances import FeatureSpace
from reid_repro.retrieval.rerank import AlphaQueryExpansion, KReciprocal
from reid_repro.retrieval.simulation import Size, Split, simulate

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
import retrieval_peers as peers

RANKS = 20
SIZES = {
    "plain": Size(40, 300, 20, 4, 32, 1.2),
    "distractors and junk": Size(40, 200, 20, 4, 32, 1.2, distractors=80, junk=60, strangers=30),
    "one match": Size(60, 30, 30, 5, 16, 1.5, distractors=40, strangers=20),
    "two cameras": Size(30, 60, 15, 2, 16, 1.0),
}
Distances = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


@pytest.fixture(params=SIZES)
def split(request: pytest.FixtureRequest) -> Split:
    return simulate(SIZES[request.param], seed=3)


def euclidean(left: Distances, right: Distances) -> Distances:
    gaps = left[:, None].astype(np.float64) - right[None]
    return np.sqrt(np.square(gaps).sum(2)).astype(np.float32)


def peer(load: Callable[[], Any]) -> Any:
    """A peer's function, or a skip that says why it is not there."""
    try:
        return load()
    except peers.PeerMissingError as missing:
        pytest.skip(str(missing))


def without_junk(split: Split) -> tuple[Distances, Labels, Labels, Labels, Labels]:
    """Distances and labels as the Market-1501 evaluations get them: junk is not in the gallery."""
    kept = split.gallery_ids != -1
    distances = euclidean(split.query, split.gallery[kept])
    return (
        distances,
        split.query_ids,
        split.gallery_ids[kept],
        split.query_cameras,
        split.gallery_cameras[kept],
    )


def ranked_matches(split: Split, same_camera: str) -> list[list[bool]]:
    """For each query, right or wrong down its sorted gallery, as the released protocols walk it."""
    out = []
    for query, row in enumerate(euclidean(split.query, split.gallery)):
        walk = []
        for entry in np.argsort(row, kind="stable"):
            identity = split.gallery_ids[entry]
            right = identity == split.query_ids[query]
            shared = split.gallery_cameras[entry] == split.query_cameras[query]
            if identity == -1 or (right and shared and same_camera == "remove"):
                continue
            walk.append(bool(right))
        if any(walk):
            out.append(walk)
    return out


def step_precision(walk: list[bool]) -> float:
    """Mean of the precision at each match."""
    precisions, right = [], 0
    for place, match in enumerate(walk, start=1):
        right += match
        if match:
            precisions.append(right / place)
    return sum(precisions) / len(precisions)


def trapezoid_precision(walk: list[bool]) -> float:
    """Area under precision and recall as the Oxford5k evaluation sums it, entry by entry."""
    total, old_recall, old_precision, right = 0.0, 0.0, 1.0, 0
    for place, match in enumerate(walk, start=1):
        right += match
        recall, precision = right / sum(walk), right / place
        total += (recall - old_recall) * (old_precision + precision) / 2
        old_recall, old_precision = recall, precision
    return total


@pytest.mark.parametrize("same_camera", ["remove", "keep"])
@pytest.mark.parametrize("rule", ["step", "trapezoid"])
def test_scores_are_those_of_the_published_definitions(
    split: Split, rule: Any, same_camera: Any
) -> None:
    distances = euclidean(split.query, split.gallery)
    got = evaluate_distances(
        distances, *split.labels, ap=rule, same_camera=same_camera, ranks=RANKS
    )
    walks = ranked_matches(split, same_camera)
    precision = step_precision if rule == "step" else trapezoid_precision
    assert got.n_valid == len(walks)
    np.testing.assert_allclose(got.ap, [precision(walk) for walk in walks], rtol=0, atol=1e-12)
    cmc = [np.mean([any(walk[:rank]) for walk in walks]) for rank in range(1, RANKS + 1)]
    np.testing.assert_allclose(got.cmc, cmc, rtol=0, atol=1e-12)
    hardest = [max(place for place, match in enumerate(walk) if match) + 1 for walk in walks]
    inp = [sum(walk) / last for walk, last in zip(walks, hardest, strict=True)]
    np.testing.assert_allclose(got.inp, inp, rtol=0, atol=1e-12)


@pytest.mark.filterwarnings("ignore:Cython evaluation")
@pytest.mark.parametrize("compiled", [False, True])
def test_scores_are_those_of_torchreid(split: Split, compiled: bool) -> None:
    evaluator = peer(lambda: peers.torchreid_evaluator(compiled=compiled))
    given = without_junk(split)
    cmc, mean_precision = evaluator(*given, RANKS)
    got = evaluate_distances(*given, ranks=RANKS)
    # Its compiled version sums in float32.
    assert got.mAP == pytest.approx(float(np.mean(mean_precision)), rel=0, abs=1e-6)
    np.testing.assert_allclose(got.cmc, cmc, rtol=0, atol=1e-6)


def test_scores_are_those_of_fast_reid(split: Split) -> None:
    evaluator = peer(peers.fastreid_evaluator)
    given = without_junk(split)
    cmc, precisions, inps = evaluator(*given, RANKS)
    got = evaluate_distances(*given, ranks=RANKS)
    np.testing.assert_allclose(got.ap, precisions, rtol=0, atol=1e-6)
    np.testing.assert_allclose(got.inp, inps, rtol=0, atol=1e-6)
    np.testing.assert_allclose(got.cmc, cmc, rtol=0, atol=1e-6)


SHOT = Size(12, 15, 5, 3, 8, 1.5)
REPEATS = 2000


def shot_split() -> Split:
    return simulate(SHOT, seed=5)


def single_shot(split: Split, repeats: int) -> Evaluation:
    distances = euclidean(split.query, split.gallery)
    return evaluate_distances(
        distances, *split.labels, single_gallery_shot=True, repeats=repeats, ranks=5
    )


def test_single_shot_galleries_are_uniform_over_all_choices() -> None:
    """The CMC's mean over draws is its mean over every choice of one image an identity."""
    split = shot_split()
    distances = euclidean(split.query, split.gallery)
    curves = []
    for query, row in enumerate(distances):
        own = split.gallery_ids == split.query_ids[query]
        left = ~(own & (split.gallery_cameras == split.query_cameras[query]))
        if not (own & left).any():
            continue
        people = [
            np.flatnonzero(left & (split.gallery_ids == identity))
            for identity in np.unique(split.gallery_ids[left])
        ]
        places = []
        for gallery in itertools.product(*people):
            ordered = sorted(gallery, key=lambda entry: (row[entry], entry))
            places.append([bool(own[entry]) for entry in ordered].index(True))
        curves.append([np.mean(np.array(places) <= rank) for rank in range(5)])
    got = single_shot(split, REPEATS)
    assert got.n_valid == len(curves)
    # One draw's curve is a mean of shares in [0, 1]: its standard error is below this.
    bound = 4 * 0.5 / np.sqrt(REPEATS)
    np.testing.assert_allclose(got.cmc, np.mean(curves, axis=0), rtol=0, atol=bound)


@pytest.mark.filterwarnings("ignore:Cython evaluation")
def test_single_shot_cmc_is_that_of_torchreid() -> None:
    peer(lambda: peers.torchreid_evaluator(compiled=False))
    evaluator = peers.enter("torchreid.reid.metrics.rank").eval_cuhk03
    split = shot_split()
    distances = euclidean(split.query, split.gallery)
    state = np.random.get_state()  # which torchreid draws from
    try:
        np.random.seed(0)
        curves = [evaluator(distances, *split.labels, 5)[0] for _ in range(60)]  # of 10 draws each
    finally:
        np.random.set_state(state)
    bound = 4 * 0.5 * np.sqrt(1 / REPEATS + 1 / 600)
    got = single_shot(split, REPEATS)
    np.testing.assert_allclose(got.cmc, np.mean(curves, axis=0), rtol=0, atol=bound)


@pytest.mark.parametrize("load", [peers.torchreid_reranking, peers.fastreid_reranking])
@pytest.mark.parametrize("settings", [(20, 6, 0.3), (9, 1, 0.0), (15, 4, 0.7)])
def test_k_reciprocal_is_that_of_torchreid_and_fast_reid(
    load: Callable[[], Any], settings: tuple[int, int, float]
) -> None:
    function = peer(load)
    split = simulate(SIZES["plain"], seed=7)
    distances = euclidean(split.nodes, split.nodes)
    q = len(split.query)
    want = function(distances[:q, q:], distances[:q, :q], distances[q:, q:], *settings)
    got = KReciprocal(*settings).fit(split.query, split.gallery).distances(0, q)
    np.testing.assert_allclose(got, want, rtol=0, atol=2e-6)
    scores = [evaluate_distances(rows, *split.labels).mAP for rows in (got, want)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)


def test_k_reciprocal_is_that_of_fast_reid_with_faiss() -> None:
    """fast-reid's evaluator searches k1 ranks, self included, and scales nothing."""
    jaccard = peer(peers.fastreid_jaccard)
    split = simulate(SIZES["plain"], seed=7)
    want = jaccard(torch.from_numpy(split.nodes), k1=20, k2=6, search_option=3)
    q = len(split.query)
    same = KReciprocal(19, 6, 0.0, weight_scale="none", blend_scale="none")
    got = same.fit(split.query, split.gallery).distances(0, q)
    # It takes round(20 / 2) + 1 ranks of a candidate, as these settings do: round(19 / 2) is 10.
    np.testing.assert_allclose(got, want[:q, q:], rtol=0, atol=5e-6)


@pytest.mark.parametrize("times", [1, 2])
def test_alpha_expansion_is_that_of_fast_reid(times: int) -> None:
    """fast-reid expands queries and gallery among all nodes, each one of its own k neighbours."""
    function = peer(peers.fastreid_expansion)
    split = simulate(SIZES["plain"], seed=7)
    query, gallery = (torch.from_numpy(part) for part in (split.query, split.gallery))
    want = FeatureSpace(*function(query, gallery, times, 8, 3.0), "cosine")
    options: dict[str, Any] = {"averaged": "given"} if times > 1 else {}
    same = AlphaQueryExpansion(7, 3.0, expand_gallery=True, pool="all", times=times, **options)
    got = same.fit(query, gallery).distances(0, len(query))
    rows = want.distance(want.approximate(0, len(query))).numpy()
    np.testing.assert_allclose(got, rows, rtol=0, atol=2e-6)
