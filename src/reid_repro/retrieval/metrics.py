"""Evaluation of a retrieval: features or distances in, mAP, CMC and mINP out, by query blocks.

Protocol: a query's own identity seen by its own camera can be removed, junk (identity -1) never
counts, distractors (identity 0) are wrong answers, queries without any match are counted and left
out of every mean (`matches.py`). Where people judged what is right, their judgements stand in for
identities and cameras (`judgements.py`). The metrics are defined in `scoring.py`; the distances,
and what "exact" means for them, in `distances.py`. Equal distances are ranked in gallery order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from reid_repro.retrieval.distances import (
    Features,
    FeatureSpace,
    Metric,
    as_features,
    default_block,
)
from reid_repro.retrieval.judgements import JudgedMatches, Judgements
from reid_repro.retrieval.matches import Labels, Matches, SameCamera
from reid_repro.retrieval.ranking import FloatArray, exact_ranks, given_ranks
from reid_repro.retrieval.rerank.base import Reranker
from reid_repro.retrieval.scoring import (
    APRule,
    Evaluation,
    Rules,
    average_precision,
    score,
)

__all__ = ["Evaluation", "average_precision", "evaluate", "evaluate_distances"]

Blocks = FloatArray | Tensor | Iterable[FloatArray | Tensor]


def evaluate(
    query: Features,
    gallery: Features,
    query_ids: Labels,
    gallery_ids: Labels,
    query_cameras: Labels | None = None,
    gallery_cameras: Labels | None = None,
    *,
    metric: Metric = "euclidean",
    ap: APRule = "step",
    same_camera: SameCamera = "remove",
    single_gallery_shot: bool = False,
    repeats: int = 1,
    seed: int = 0,
    ranks: int = 50,
    reranker: Reranker | None = None,
    judgements: Judgements | None = None,
) -> Evaluation:
    """Rank the gallery for every query by feature distance, or by a re-ranker, and score it.

    No query x gallery matrix is kept: blocks of rows stream through the scorer. Without a
    re-ranker, ranks follow the exact distances of `distances.py`, whatever the device.

    Args:
        query: features (n, d), numpy or torch, any float type; `gallery` (g, d).
        query_ids: identities, (n,) integers; `gallery_ids` (g,): -1 junk, 0 distractor.
        query_cameras: cameras, (n,) integers, -1 unknown; `gallery_cameras` (g,). Without cameras
            nothing is removed.
        metric: distance of the features. A re-ranker has its own; this one is then not used.
        ap: definition of average precision.
        same_camera: whether entries of the query's identity and camera are removed.
        single_gallery_shot: rank galleries of one image an identity, drawn after the removal
            (`matches.SingleShotGalleries`), `repeats` times from `seed`; values are means.
        ranks: length of the CMC.
        reranker: fitted here on the query and the gallery as given, junk included (junk images
            are part of a real gallery): to keep junk out of the graph, leave it out of `gallery`.
        judgements: what is right, instead of identities and cameras, which then say nothing. No
            single-shot galleries can be drawn from them.

    Raises:
        ValueError: arguments that do not fit together, or no query with any match.
    """
    rules = Rules(
        ap=ap,
        same_camera=same_camera,
        single_gallery_shot=single_gallery_shot,
        repeats=repeats,
        seed=seed,
        ranks=ranks,
    )
    cameras = query_cameras, gallery_cameras
    matches = _matches(query_ids, gallery_ids, cameras, judgements, rules)
    query, gallery = as_features(query, "query"), as_features(gallery, "gallery")
    for name, features, labels in (
        ("query", query, matches.n_query),
        ("gallery", gallery, matches.n_gallery),
    ):
        if len(features) != labels:
            raise ValueError(f"{name} has {len(features)} rows, {name}_ids {labels}")
    if reranker is not None:
        reranker.fit(query, gallery)
        refined = _space_of(reranker)
        if refined is None:
            rows = _reranked(reranker, len(query), len(gallery))
            return score(given_ranks(rows, matches, rules), matches.n_query, rules)
    if len(matches.kept) == 0:
        raise ValueError("every gallery entry is junk (identity -1): nothing to rank")
    kept = None
    if len(matches.kept) < matches.n_gallery:
        kept = torch.from_numpy(matches.kept).to(gallery.device)
    if reranker is None:
        space = FeatureSpace(query, gallery if kept is None else gallery[kept], metric)
    else:
        assert refined is not None
        space = refined if kept is None else refined.restricted(kept)
    return score(exact_ranks(space, matches, rules), matches.n_query, rules)


def _space_of(reranker: Reranker) -> FeatureSpace | None:
    """The refined features of a re-ranker that ranks by features: their exact order is known."""
    space = getattr(reranker, "space", None)
    return space if isinstance(space, FeatureSpace) else None


def evaluate_distances(
    blocks: Blocks,
    query_ids: Labels,
    gallery_ids: Labels,
    query_cameras: Labels | None = None,
    gallery_cameras: Labels | None = None,
    *,
    ap: APRule = "step",
    same_camera: SameCamera = "remove",
    single_gallery_shot: bool = False,
    repeats: int = 1,
    seed: int = 0,
    ranks: int = 50,
    judgements: Judgements | None = None,
) -> Evaluation:
    """Score given distances: a matrix (n, g), or consecutive blocks of its rows.

    Any float type is compared as it comes. The other arguments are those of `evaluate`.

    Raises:
        ValueError: arguments that do not fit together, NaN distances, or no query with any match.
    """
    rules = Rules(
        ap=ap,
        same_camera=same_camera,
        single_gallery_shot=single_gallery_shot,
        repeats=repeats,
        seed=seed,
        ranks=ranks,
    )
    cameras = query_cameras, gallery_cameras
    matches = _matches(query_ids, gallery_ids, cameras, judgements, rules)
    if isinstance(blocks, np.ndarray | Tensor):
        blocks = _row_blocks(blocks)
    return score(given_ranks(blocks, matches, rules), matches.n_query, rules)


def _matches(
    query_ids: Labels,
    gallery_ids: Labels,
    cameras: tuple[Labels | None, Labels | None],
    judgements: Judgements | None,
    rules: Rules,
) -> Matches:
    """What counts for which query, by judgements if there are any."""
    if judgements is None:
        return Matches(query_ids, gallery_ids, *cameras, rules.same_camera)
    if rules.single_gallery_shot:
        raise ValueError("judgements name no identities: single_gallery_shot cannot draw from them")
    return JudgedMatches(query_ids, gallery_ids, judgements)


def _row_blocks(matrix: FloatArray | Tensor) -> Iterator[FloatArray | Tensor]:
    if matrix.ndim != 2:
        raise ValueError(f"distances of shape {tuple(matrix.shape)}: expected (queries, gallery)")
    step = default_block(matrix.shape[1])
    for start in range(0, len(matrix), step):
        yield matrix[start : start + step]


def _reranked(reranker: Reranker, n_query: int, n_gallery: int) -> Iterator[FloatArray]:
    step = default_block(n_gallery)
    for start in range(0, n_query, step):
        yield reranker.distances(start, min(start + step, n_query))
