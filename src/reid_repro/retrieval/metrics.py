"""Evaluation of a retrieval: features or distances in, mAP, CMC and mINP out, by query blocks.

Protocol: a query's own identity seen by its own camera can be removed, junk (identity -1) never
counts, distractors (identity 0) are wrong answers, queries without any match are counted and left
out of every mean (`matches.py`). The metrics are defined in `scoring.py`; the distances, and what
"exact" means for them, in `distances.py`. Equal distances are ranked in gallery order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from reid_repro.retrieval.distances import (
    Features,
    FeatureSpace,
    Metric,
    as_features,
    default_block,
)
from reid_repro.retrieval.matches import IntArray, Labels, Matches, SameCamera
from reid_repro.retrieval.rerank.base import Reranker
from reid_repro.retrieval.scoring import (
    APRule,
    Evaluation,
    FloatArray,
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
    matches = Matches(query_ids, gallery_ids, query_cameras, gallery_cameras, same_camera)
    query, gallery = as_features(query, "query"), as_features(gallery, "gallery")
    for name, features, labels in (
        ("query", query, matches.n_query),
        ("gallery", gallery, matches.n_gallery),
    ):
        if len(features) != labels:
            raise ValueError(f"{name} has {len(features)} rows, {name}_ids {labels}")
    if reranker is None:
        if len(matches.kept) < matches.n_gallery:
            gallery = gallery[torch.from_numpy(matches.kept).to(gallery.device)]
        blocks = _exact_rows(query, gallery, metric, matches)
    else:
        reranker.fit(query, gallery)
        blocks = _kept_columns(_reranked(reranker, len(query), len(gallery)), matches)
    return score(blocks, matches, rules)


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
    matches = Matches(query_ids, gallery_ids, query_cameras, gallery_cameras, same_camera)
    if isinstance(blocks, np.ndarray | Tensor):
        blocks = _row_blocks(blocks)
    return score(_kept_columns(blocks, matches), matches, rules)


def _exact_rows(
    query: Tensor, gallery: Tensor, metric: Metric, matches: Matches
) -> Iterator[FloatArray]:
    """Distance rows that order every entry exactly with respect to every match of its query.

    Entries whose float32 product lies within its error bound of a match are re-scored exactly;
    for the others the product already tells the side.
    """
    if len(gallery) == 0:
        raise ValueError("every gallery entry is junk (identity -1): nothing to rank")
    space = FeatureSpace(query, gallery, metric)
    step = default_block(len(gallery))
    for start in range(0, len(query), step):
        stop = min(start + step, len(query))
        squared = space.approximate(start, stop)
        distance = space.distance(squared).cpu().numpy()
        columns = [matches.of(row)[0] for row in range(start, stop)]
        at_match, target = _exact_pairs(space, start, columns)
        distance[at_match] = space.distance(target).cpu().numpy()
        slack = space.slack(slice(start, stop)).cpu().numpy()
        near = _near_targets(squared.cpu().numpy(), columns, target.cpu().numpy(), slack)
        at_near, value = _exact_pairs(space, start, near)
        distance[at_near] = space.distance(value).cpu().numpy()
        yield distance


def _exact_pairs(
    space: FeatureSpace, start: int, columns: list[IntArray]
) -> tuple[tuple[IntArray, IntArray], Tensor]:
    """Row (from `start`) and column of every listed entry, and their exact squared distances."""
    row = np.repeat(np.arange(len(columns)), [len(entries) for entries in columns])
    column = np.concatenate(columns)
    device = space.gallery.device
    squared = space.exact(
        torch.from_numpy(row + start).to(device), torch.from_numpy(column).to(device)
    )
    return (row, column), squared


def _near_targets(
    squared: npt.NDArray[np.float32],
    matches: list[IntArray],
    target: npt.NDArray[np.float64],
    slack: npt.NDArray[np.float32],
) -> list[IntArray]:
    """Columns of each row within the slack of one of its matches' exact squared distances."""
    ends = np.cumsum([len(columns) for columns in matches])
    near = np.zeros(squared.shape[1], dtype=bool)
    found = []
    for row, columns, end, width in zip(squared, matches, ends, slack, strict=True):
        near[:] = False
        for value in target[end - len(columns) : end].astype(np.float32):
            near |= np.abs(row - value) <= width
        near[columns] = False  # their exact distances are known
        found.append(np.flatnonzero(near))
    return found


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


def _kept_columns(blocks: Iterable[FloatArray | Tensor], matches: Matches) -> Iterator[FloatArray]:
    """Check row blocks and drop the junk columns."""
    for given in blocks:
        block = given.detach().cpu().numpy() if isinstance(given, Tensor) else np.asarray(given)
        if block.ndim != 2 or block.shape[1] != matches.n_gallery:
            raise ValueError(
                f"distance block of shape {block.shape}: expected (rows, {matches.n_gallery}), "
                "one column a gallery image"
            )
        if block.size and np.isnan(block.min()):
            raise ValueError("distances hold NaN: no rank can be given to them")
        # Rows must be contiguous, or each comparison walks the whole block (so `take`, not [:, i]).
        if len(matches.kept) < matches.n_gallery:
            block = np.take(block, matches.kept, axis=1)
        yield cast(FloatArray, np.ascontiguousarray(block))
