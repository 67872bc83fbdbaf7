"""Time of a coarse-to-fine query at a printed size (GLAD, Table 7), and what precedes it.

The gallery is clustered once, with thresholds calibrated to the wanted numbers of groups; each
point is an index on it. A query alone runs on one thread; in a batch, on all.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from reid_repro.paper import GroupsTiming
from reid_repro.phases.metrics import coarse_dimensions
from reid_repro.retrieval.groups import PCA, CoarseToFineIndex, SplitTree
from reid_repro.retrieval.groups_pca import project
from reid_repro.retrieval.groups_search import nearest_rows
from reid_repro.retrieval.simulation import SIZES, Split, simulate

WARM = 3  # queries before the clock starts
BATCH = 64
COARSE = 15  # queries whose coarse ranking is timed by itself


def measure(settings: GroupsTiming, split: Split, shrink: int) -> list[dict[str, Any]]:
    """One entry a point: seconds of a query alone (the median) and in a batch.

    Of the query alone, `coarse` goes to the ranking of the groups, `fine` to that of their images.

    With `shrink` the gallery is so many times smaller, and the groups are as many times fewer.
    """
    warm = simulate(SIZES["small"])
    for dim in (None, 8):
        _query_times(CoarseToFineIndex(warm.gallery, warm.gallery_ids, dim=dim), warm, WARM)
    SplitTree(warm.gallery[:200]).threshold_for(20)
    return list(_entries(settings, split, shrink))


def _entries(settings: GroupsTiming, split: Split, shrink: int) -> Iterator[dict[str, Any]]:
    gallery = split.gallery
    shape = gallery.shape[0], gallery.shape[1]
    dims = {name: coarse_dimensions(point.dim, shape) for name, point in settings.points.items()}
    began = time.perf_counter()
    widest = max((dim for dim in dims.values() if dim is not None), default=None)
    projection = None if widest is None else PCA(widest).fit(gallery)
    fitting = time.perf_counter() - began
    tree = SplitTree(gallery)
    for name, point in settings.points.items():
        wanted = len(gallery) if point.groups is None else max(1, point.groups // shrink)
        began = time.perf_counter()
        threshold = tree.threshold_for(min(wanted, len(gallery)))
        labels = tree.labels(threshold)
        clustering = time.perf_counter() - began
        dim = dims[name]
        index = CoarseToFineIndex(
            gallery,
            labels,
            dim=None,
            groups=settings.returned,
            pca=None if projection is None or dim is None else narrowed(projection, dim),
        )
        single, batch, reached = _query_times(index, split, settings.queries)
        coarse = min(single, _coarse_time(index, split, settings.returned))
        yield {
            "size": settings.size,
            "of": name,
            "platform": "CPU",
            "wanted": wanted,
            "groups": len(index.descriptors),
            "threshold": threshold,
            "dim": dim or shape[1],
            "reached": reached,
            "seconds": {
                "clustering": round(clustering, 3),  # what the points before left to be done
                "projection": 0.0 if dim is None else round(fitting, 3),  # to the most dimensions
                "single": round(single, 7),
                "coarse": round(coarse, 7),  # of `single`: to rank the groups
                "fine": round(single - coarse, 7),  # to rank their images
                "batch": round(batch, 7),
            },
        }


def narrowed(projection: PCA, dim: int) -> PCA:
    """The same projection to its first `dim` dimensions: components come by their variance."""
    found = PCA(dim, normalise=projection.normalise)
    found.mean = projection.mean
    found.components = np.ascontiguousarray(projection.components[:, :dim])
    found.variances = projection.variances[:dim]
    return found


def _query_times(index: CoarseToFineIndex, split: Split, count: int) -> tuple[float, float, float]:
    """Seconds of a query alone and of one in a batch, and the mean number of images reached."""
    times, reached = [], []
    for query in split.query[: count + WARM]:
        began = time.perf_counter()
        found = index.search(query)
        times.append(time.perf_counter() - began)
        reached.append(int(found.reached))
    batch = split.query[:BATCH]
    index.search(batch[:WARM])
    began = time.perf_counter()
    index.search(batch)
    of_batch = (time.perf_counter() - began) / len(batch)
    return float(np.median(times[WARM:])), of_batch, float(np.mean(reached))


def _coarse_time(index: CoarseToFineIndex, split: Split, groups: int) -> float:
    """Seconds in which a query alone ranks the groups (the median): the index's first step."""
    pca = index.pca
    descriptors = index.descriptors if pca is None else pca.transform(index.descriptors)
    width = min(groups, len(descriptors))
    times = []
    for query in split.query[: COARSE + WARM]:
        began = time.perf_counter()
        coarse = query
        if pca is not None:
            assert pca.mean is not None
            coarse = project(query, pca.mean, pca.components, pca.normalise)
        nearest_rows(coarse, descriptors, width)
        times.append(time.perf_counter() - began)
    return float(np.median(times[WARM:]))
