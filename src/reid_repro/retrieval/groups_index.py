"""Coarse-to-fine search: GLAD (Wei et al., 2017), Section 5, Eq. 7 and Fig. 4.

A query is compared with one descriptor a group, in few dimensions; the images of the nearest
groups are then ranked by their full features. What lies in other groups is lost: `Found.reached`
says how many images a query reached. With every image a group of its own, no projection and as many
groups as images this is exhaustive search, with the ranking of `search.knn`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from reid_repro.retrieval.distances import Features, FeatureSpace, as_features, check_choice
from reid_repro.retrieval.groups_block import placement
from reid_repro.retrieval.groups_pca import PCA, project
from reid_repro.retrieval.groups_rows import Integers, Singles, round_rows
from reid_repro.retrieval.groups_search import (
    Images,
    append_rest,
    count_members,
    group_means,
    nearest_rows,
    nearest_rows_batch,
    rank_members,
    rank_members_batch,
)
from reid_repro.retrieval.matches import Labels, as_labels
from reid_repro.retrieval.search import neighbours

FittedOn = Literal["gallery", "descriptors"]

LARGEST_GALLERY = 1 << 32  # ranks are sorted with 32 bits for the image
WIDE_DESCRIPTORS = 1 << 22  # elements from which a batch's coarse search goes by matrix products
BATCH = 256  # queries whose whole coarse ranking is held at a time


class Found(NamedTuple):
    """Ranked gallery images of one query (vectors), or of m (matrices, one row a query).

    Attributes:
        indices: gallery rows, nearest first, int64; behind the end of a shorter row -1.
        distances: Euclidean distances, float32; infinite for images that were appended unseen, and
            behind the end of a row.
        reached: images in the groups that were searched: an integer, or (m,) int64.
    """

    indices: Integers
    distances: Singles
    reached: int | Integers


class CoarseToFineIndex:
    """Groups of a gallery, searched first by group and then by image.

    Args:
        features: gallery (n, d), numpy or torch, any float type; a float32 copy is held, in group
            order, and one in bfloat16. Distances are Euclidean: L2-normalise for cosine.
        labels: group of each image, (n,) integers.
        dim: dimensions of the coarse search; None compares descriptors in full.
        groups: nearest groups whose images are ranked (clipped to what there is).
        append_rest: images of the other groups follow, group by group in coarse order.
        pca: a fitted projection to use in place of one fitted here (`dim` is then its own).
        fitted_on: what the projection is fitted on here: the gallery's images or its groups.

    Attributes:
        descriptors: mean feature of each group (Eq. 7), (groups, d) float32, by group number.
        pca: the projection, or None.
    """

    def __init__(
        self,
        features: Features,
        labels: Labels,
        *,
        dim: int | None = 128,
        groups: int = 100,
        append_rest: bool = False,
        pca: PCA | None = None,
        fitted_on: FittedOn = "gallery",
    ) -> None:
        rows = np.asarray(as_features(features, "features", "cpu").numpy())
        group = as_labels(labels, "labels", len(rows))
        check_choice("fitted_on", fitted_on, FittedOn)
        if isinstance(groups, bool) or not isinstance(groups, int | np.integer) or groups < 1:
            raise ValueError(f"groups is {groups!r}: use an integer of at least 1")
        if len(rows) >= LARGEST_GALLERY:
            raise ValueError(f"{len(rows)} images: an index holds fewer than {LARGEST_GALLERY}")
        _, group, size = np.unique(group, return_inverse=True, return_counts=True)
        self._members: Integers = np.argsort(group, kind="stable").astype(np.int64)
        self._start: Integers = np.concatenate([[0], np.cumsum(size)]).astype(np.int64)
        entries: Singles = rows[self._members]
        self.append_rest, self.groups = append_rest, min(int(groups), len(size))
        self.descriptors: Singles = np.empty((len(size), entries.shape[1]), dtype=np.float32)
        group_means(entries, self._start, self.descriptors)
        self._images = _images(entries, self._members, self._start)
        if pca is None and dim is not None:
            pca = PCA(dim).fit(rows if fitted_on == "gallery" else self.descriptors)
        self.pca = pca
        self._coarse = self.descriptors if pca is None else pca.transform(self.descriptors)

    @property
    def n(self) -> int:
        """Number of gallery images."""
        return len(self._members)

    def search(self, query: Features, k: int | None = None) -> Found:
        """Rank the gallery for one query (d,) or for a batch (m, d).

        One query runs on one thread; its result is the same as in a batch.

        Args:
            query: features, numpy or torch, any float type.
            k: images to return, 1 to n; None returns all that were found. Fewer come where fewer
                were reached and the rest is not appended.

        Raises:
            ValueError: bad features, of another width than the gallery, or k out of range.
        """
        if k is not None and not 1 <= k <= self.n:
            raise ValueError(f"k is {k}: use 1 to {self.n}, the number of images")
        single = query.ndim == 1
        if isinstance(query, Tensor):
            query = query.detach().cpu().numpy()
        queries = np.asarray(as_features(query[None] if single else query, "query").numpy())
        dim = self._images.entries.shape[1]
        if queries.shape[1] != dim:
            raise ValueError(f"query has {queries.shape[1]} dimensions, gallery has {dim}")
        if single:
            return self._search_one(queries[0], k)
        return self._search_batch(queries, k)

    def _search_one(self, query: Singles, k: int | None) -> Found:
        coarse = query
        if self.pca is not None:
            assert self.pca.mean is not None
            coarse = project(query, self.pca.mean, self.pca.components, self.pca.normalise)
        width = len(self._coarse) if self.append_rest else self.groups
        order = nearest_rows(coarse, self._coarse, width)
        near = order[: self.groups]
        reached = int(count_members(near, self._start))
        length = min(k or self.n, self.n if self.append_rest else reached)
        indices, distances = _empty(1, length)
        rank_members(query, near, self._images, indices[0], distances[0])
        if self.append_rest:
            append_rest(order[None], self.groups, self._members, self._start, indices)
        return Found(indices[0], distances[0], reached)

    def _search_batch(self, queries: Singles, k: int | None) -> Found:
        coarse = queries if self.pca is None else self.pca.transform(queries)
        near = self._nearest_groups(coarse, self.groups)
        size = np.diff(self._start)
        reached: Integers = size[near].sum(axis=1)
        longest = self.n if self.append_rest else int(reached.max())
        indices, distances = _empty(len(queries), min(k or self.n, longest))
        rank_members_batch(queries, near, self._images, indices, distances)
        if self.append_rest:
            for first in range(0, len(queries), BATCH):
                rows = slice(first, first + BATCH)
                order = self._nearest_groups(coarse[rows], len(size))
                append_rest(order, self.groups, self._members, self._start, indices[rows])
        return Found(indices, distances, reached)

    def _nearest_groups(self, coarse: Singles, k: int) -> Integers:
        """Nearest k groups of projected queries, (m, k), ties by group number."""
        if self._coarse.size < WIDE_DESCRIPTORS or k == len(self._coarse):
            found: Integers = np.empty((len(coarse), k), dtype=np.int64)
            nearest_rows_batch(coarse, self._coarse, k, found)
            return found
        queries, gallery = torch.from_numpy(coarse), torch.from_numpy(self._coarse)
        return neighbours(FeatureSpace(queries, gallery, "euclidean"), k).indices


def _images(entries: Singles, members: Integers, start: Integers) -> Images:
    """The gallery in group order, with its rounded rows."""
    every = np.arange(len(entries))
    exponent, centre = placement(entries, every)
    rounded = np.empty(entries.shape, dtype=np.uint16)
    norm, lost = round_rows(entries, every, centre, 2.0**exponent, rounded)
    return Images(entries, members, start, rounded, norm, lost, centre, 2.0**exponent)


def _empty(rows: int, length: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    indices = np.full((rows, length), -1, dtype=np.int64)
    return indices, np.full((rows, length), np.inf, dtype=np.float32)
