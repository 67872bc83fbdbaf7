"""Drawn galleries of one image an identity, against loops over the same draws."""

from typing import Any

import numpy as np
import pytest
from evaluation_oracles import (
    check_draws,
    exact_distances,
    features,
    first_ranks_of_draws,
    labels,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import reid_repro.retrieval.ranking as ranking_module
from reid_repro.retrieval import evaluate, evaluate_distances


def test_single_shot_gallery_draws_one_image_an_identity() -> None:
    rng = np.random.default_rng(5)
    n, g = 15, 60
    arguments: dict[str, Any] = {
        "query_ids": rng.integers(-1, 7, size=n),
        "gallery_ids": rng.integers(-1, 7, size=g),
        "query_cameras": rng.integers(-1, 2, size=n),
        "gallery_cameras": rng.integers(-1, 2, size=g),
    }
    distances = rng.integers(12, size=(n, g)) / 12
    draws: dict[str, Any] = {"repeats": 25, "seed": 3}
    firsts = first_ranks_of_draws(distances, **arguments, **draws)
    options = draws | {"single_gallery_shot": True}
    got = evaluate_distances(distances, **arguments, **options, ranks=10)
    check_draws(got, firsts)
    assert got.hits is not None
    assert got.hits.dtype == np.float32
    ranks = [firsts[q] for q in got.query]
    shares = [[np.mean([rank <= r for rank in row]) for r in range(1, 11)] for row in ranks]
    np.testing.assert_allclose(got.hits, shares, rtol=1e-6)
    rows = (distances[i : i + 4] for i in range(0, n, 4))
    again = evaluate_distances(rows, **arguments, **options)
    np.testing.assert_array_equal(again.ap, got.ap)
    other = evaluate_distances(distances, **arguments, **(options | {"seed": 4}))
    assert not np.array_equal(other.ap, got.ap)
    one = evaluate_distances(distances, **arguments, single_gallery_shot=True)
    assert one.first_hit.dtype == np.int64
    assert one.hits is None


@settings(max_examples=120, deadline=None)
@given(
    labels=labels(),
    same_camera=st.sampled_from(["remove", "keep"]),
    draws=st.fixed_dictionaries({"repeats": st.integers(1, 4), "seed": st.integers(0, 9)}),
    seed=st.integers(0, 9999),
    grid=st.booleans(),
    metric=st.sampled_from(["euclidean", "cosine"]),
    rows=st.sampled_from([1, 3, 64]),
)
def test_drawn_galleries_of_features_are_exact(
    labels: dict[str, Any],
    same_camera: Any,
    draws: dict[str, int],
    seed: int,
    grid: bool,
    metric: Any,
    rows: int,
) -> None:
    n, g = len(labels["query_ids"]), len(labels["gallery_ids"])
    query, gallery = features(seed, n, grid), features(seed + 1, g, grid)
    query[: g // 2] = gallery[: min(n, g // 2)]  # queries that also sit in the gallery
    options: dict[str, Any] = draws | {"same_camera": same_camera}
    firsts = first_ranks_of_draws(exact_distances(query, gallery, metric), **labels, **options)
    options |= {"single_gallery_shot": True, "metric": metric, "ranks": 12}
    blocks: list[int] = []
    settled_rows = ranking_module.settled_rows

    def settled(tile: Any, *more: Any) -> Any:
        blocks.append(len(tile))
        return settled_rows(tile, *more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking_module, "default_block", lambda _: rows)
        patch.setattr(ranking_module, "settled_rows", settled)
        if not firsts:
            with pytest.raises(ValueError, match=r"no query has a match|every gallery entry"):
                evaluate(query, gallery, **labels, **options)
            return
        check_draws(evaluate(query, gallery, **labels, **options), firsts)
    assert sum(blocks) == n
    assert max(blocks) <= rows
