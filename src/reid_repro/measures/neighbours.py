"""Whether hard negatives have other neighbours than true matches (GNN re-ranking, Section 3.3).

The neighbours of an image are its k1 nearest among all images of query and gallery, itself
included. Two images are as alike as their neighbours: the size of the intersection over that of
the union. Of each query two kinds of answers are looked at, both among its k1 nearest gallery
images: right ones, and wrong ones, which are hard because they are near.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from reid_repro.measures.source import LeftOutError, Measure, Rows, Source
from reid_repro.phases.inputs import Inputs, Trial
from reid_repro.retrieval.search import knn

Floats = npt.NDArray[np.float64]
K1 = 20  # where the scale's GNN has none


def jaccard(first: Rows, others: Rows) -> Floats:
    """Overlap of one neighbourhood (k,) with others (n, k), (n,); no neighbour stands twice."""
    shared = np.isin(others, first).sum(axis=1)
    found: Floats = shared / (len(first) + others.shape[1] - shared)
    return found


def overlaps_of(trial: Trial, k1: int, *, remove: bool) -> tuple[Floats, Floats]:
    """Of each query the mean overlap with its right and with its wrong near answers.

    NaN where one kind is missing among the `k1` nearest. With `remove`, images of the query's own
    identity in its own camera are no answers, but neighbours all the same; junk is neither.
    """
    gallery = trial.rows_of_gallery
    kept = (gallery["identity"] >= 0).to_numpy()
    features = np.concatenate([trial.query, trial.gallery[kept]])
    count = len(trial.query)
    neighbours, _ = knn(features, features, min(k1, len(features)))
    identity = np.concatenate([trial.rows_of_query["identity"], gallery["identity"][kept]])
    camera = np.concatenate([trial.rows_of_query["camera"], gallery["camera"][kept]])
    most = min(k1, int(kept.sum()))
    nearest, _ = knn(trial.query, trial.gallery[kept], most)
    right, wrong = np.full(count, np.nan), np.full(count, np.nan)
    for query in range(count):
        answers = nearest[query] + count
        own = identity[answers] == identity[query]
        if remove and camera[query] >= 0:
            answered = ~(own & (camera[answers] == camera[query]))
            answers, own = answers[answered], own[answered]
        if own.any() and not own.all():
            shared = jaccard(neighbours[query], neighbours[answers])
            right[query], wrong[query] = shared[own].mean(), shared[~own].mean()
    return right, wrong


def overlaps(source: Source) -> Iterator[Measure]:
    """The overlap with hard negatives and with true matches, by query."""
    inputs = Inputs.read(str(source.run("baseline/bnneck")), source.subset, source.results)
    trial = inputs.trials[0]
    if trial.judgements is not None:
        raise LeftOutError("where people judged, images have no identity to be neighbours of")
    ranking = source.plan.config.rerankers.get("gnn")
    k1 = getattr(ranking.options, "k1", K1) if ranking is not None else K1
    remove = inputs.protocol["same_camera"] == "remove"
    right, wrong = overlaps_of(trial, k1, remove=remove)
    queries = trial.rows_of_query["image"].to_numpy(np.int64)
    for key, values, kind in (
        ("hard_negative", wrong, "wrong"),
        ("true_match", right, "right"),
    ):
        what = (
            f"overlap of the {k1} nearest neighbours (Jaccard) of a query with those of the {kind} "
            f"answers among its {k1} nearest gallery images"
        )
        yield source.of("neighbours", (key, "jaccard"), queries, values, what)
