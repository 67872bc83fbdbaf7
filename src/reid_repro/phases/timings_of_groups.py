"""Time of a coarse-to-fine query at a printed size (GLAD, Table 7), and what precedes it.

The gallery is clustered once, with thresholds calibrated to the wanted numbers of groups, and
indexed once for each of these numbers; each point is a projection of such an index. A query alone
runs on one thread; in a batch, on all.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Self

import numpy as np
import torch

from reid_repro.paper import GroupsTiming
from reid_repro.phases.metrics import coarse_dimensions
from reid_repro.retrieval.groups import PCA, CoarseToFineIndex, SplitTree
from reid_repro.retrieval.groups_pca import project
from reid_repro.retrieval.groups_rows import Integers, Singles
from reid_repro.retrieval.groups_search import nearest_rows
from reid_repro.retrieval.products import WORTH_PROBING, product_for
from reid_repro.retrieval.simulation import SIZES, Size, Split, simulate

WARM = 3  # queries before the clock starts
BATCH = 64
COARSE = 15  # queries whose coarse ranking is timed by itself

# What runs before the clock starts: as wide as the size that is measured, so that a batch goes by
# matrix products there as well, and with enough images for the splits of large groups.
WARM_SIZE = replace(SIZES["small"], matches=900, distractors=200, junk=100, dim=4096)


class ProjectedIndex(CoarseToFineIndex):
    """An index that takes another projection, and that ranks groups by themselves."""

    def projected(self, pca: PCA | None) -> Self:
        """The same gallery and groups, with the groups compared in the projection's dimensions."""
        other = copy.copy(self)
        other.pca = pca
        other._coarse = self.descriptors if pca is None else pca.transform(self.descriptors)
        return other

    def rank_groups(self, query: Singles) -> Integers:
        """The groups nearest to a query alone, nearest first: the first step of its search."""
        coarse = query
        if self.pca is not None:
            assert self.pca.mean is not None
            coarse = project(query, self.pca.mean, self.pca.components, self.pca.normalise)
        ranked: Integers = nearest_rows(coarse, self._coarse, self.groups)
        return ranked


def measure(settings: GroupsTiming, split: Split, shrink: int) -> list[dict[str, Any]]:
    """One entry a point: seconds of a query alone (the median) and in a batch.

    Of the query alone, `coarse` goes to the ranking of the groups, `fine` to that of their images.

    With `shrink` the gallery is so many times smaller, and the groups are as many times fewer.
    """
    warm_up()
    entries = {entry["of"]: entry for entry in _entries(settings, split, shrink)}
    return [entries[name] for name in settings.points]


def warm_up(size: Size = WARM_SIZE) -> None:
    """Load, or compile, all that is measured, and let large products choose their type."""
    product_for("auto", torch.device("cpu"), WORTH_PROBING)
    split = simulate(size, threads=torch.get_num_threads())
    tree = SplitTree(split.gallery)
    labels = tree.labels(tree.threshold_for(len(split.gallery)))
    whole = ProjectedIndex(split.gallery, labels, dim=None)
    for index in (whole, whole.projected(PCA(8).fit(split.query[:64]))):
        _query_times(index, split, WARM)
        _coarse_time(index, split)


def _entries(settings: GroupsTiming, split: Split, shrink: int) -> Iterator[dict[str, Any]]:
    """The entries, those of one number of groups after another."""
    gallery = split.gallery
    shape = gallery.shape[0], gallery.shape[1]
    dims = {name: coarse_dimensions(point.dim, shape) for name, point in settings.points.items()}
    began = time.perf_counter()
    widest = max((dim for dim in dims.values() if dim is not None), default=None)
    projection = None if widest is None else PCA(widest).fit(gallery)
    fitting = time.perf_counter() - began
    tree = SplitTree(gallery)
    points: dict[int, list[str]] = {}
    for name, point in settings.points.items():
        wanted = len(gallery) if point.groups is None else max(1, point.groups // shrink)
        points.setdefault(min(wanted, len(gallery)), []).append(name)
    for wanted, names in points.items():
        whole = None
        for name in names:
            began = time.perf_counter()
            threshold = tree.threshold_for(wanted)
            labels = tree.labels(threshold)
            clustering = time.perf_counter() - began
            if whole is None:
                whole = ProjectedIndex(gallery, labels, dim=None, groups=settings.returned)
            dim = dims[name]
            narrow = None if projection is None or dim is None else narrowed(projection, dim)
            index = whole.projected(narrow)
            single, batch, reached = _query_times(index, split, settings.queries)
            coarse = min(single, _coarse_time(index, split))
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
                    "projection": 0.0 if dim is None else round(fitting, 3),  # to most dimensions
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
    """Seconds of a query alone and of one in a batch, and the batch's mean of images reached."""
    times = []
    for query in split.query[: count + WARM]:
        began = time.perf_counter()
        index.search(query)
        times.append(time.perf_counter() - began)
    batch = split.query[:BATCH]
    began = time.perf_counter()
    found = index.search(batch)
    of_batch = (time.perf_counter() - began) / len(batch)
    return float(np.median(times[WARM:])), of_batch, float(np.mean(found.reached))


def _coarse_time(index: ProjectedIndex, split: Split) -> float:
    """Seconds in which a query alone ranks the groups (the median): the index's first step."""
    times = []
    for query in split.query[: COARSE + WARM]:
        began = time.perf_counter()
        index.rank_groups(query)
        times.append(time.perf_counter() - began)
    return float(np.median(times[WARM:]))
