"""Which gallery entries count for which query: true matches, removed entries, drawn galleries.

AP, CMC and INP need only the ranks of the few true matches of a query, so rows are not sorted:
the rank of a match is one plus the number of counting entries before it (`counting.py`).

Labels: identity -1 is junk (never counts, as query it has no match), identity 0 is a distractor
(always a wrong answer, never a match), camera -1 is unknown (never the same camera).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from reid_repro.retrieval.distances import check_choice

SameCamera = Literal["remove", "keep"]
Labels = npt.ArrayLike | Tensor
IntArray = npt.NDArray[np.int64]

JUNK, DISTRACTOR, UNKNOWN_CAMERA = -1, 0, -1


def as_labels(values: Labels, name: str, length: int | None = None) -> IntArray:
    """Check a vector of integer labels and return it as int64.

    Raises:
        ValueError: not a vector of integers, or not of the given length.
    """
    array = np.asarray(values.detach().cpu().numpy() if isinstance(values, Tensor) else values)
    if array.ndim != 1 or not (np.issubdtype(array.dtype, np.integer) or array.size == 0):
        raise ValueError(
            f"{name} must be a vector of integers; got {array.dtype} of shape {array.shape}"
        )
    if length is not None and len(array) != length:
        raise ValueError(f"{name} has {len(array)} entries for {length} images")
    return array.astype(np.int64)


class BlockMatches(NamedTuple):
    """Matches and removed entries of m queries: those of query i are starts[i]:starts[i + 1].

    Attributes:
        starts: (m + 1,); `right` the positions of the matches, ascending for each query.
        removed_starts: (m + 1,); `removed` the positions of the removed entries, likewise.
    """

    starts: IntArray
    right: IntArray
    removed_starts: IntArray
    removed: IntArray


class Matches:
    """True matches and removed entries of every query, as positions among the kept entries.

    `kept` are the gallery rows that are not junk, in gallery order; every position below indexes
    `kept`. With `same_camera="remove"`, entries of the query's identity from the query's camera
    are removed for that query: neither right nor wrong.
    """

    def __init__(
        self,
        query_ids: Labels,
        gallery_ids: Labels,
        query_cameras: Labels | None,
        gallery_cameras: Labels | None,
        same_camera: SameCamera,
    ) -> None:
        check_choice("same_camera", same_camera, SameCamera)
        if (query_cameras is None) != (gallery_cameras is None):
            raise ValueError("give query_cameras and gallery_cameras together, or neither")
        self.query_ids = as_labels(query_ids, "query_ids")
        every_id = as_labels(gallery_ids, "gallery_ids")
        self.n_query, self.n_gallery = len(self.query_ids), len(every_id)
        self.kept: IntArray = np.flatnonzero(every_id != JUNK).astype(np.int64)
        self.gallery_ids = every_id[self.kept]
        self._query_cameras: IntArray | None = None
        if query_cameras is not None and gallery_cameras is not None:
            cameras = as_labels(query_cameras, "query_cameras", self.n_query)
            entries = as_labels(gallery_cameras, "gallery_cameras", self.n_gallery)
            if same_camera == "remove":
                self._query_cameras, self._gallery_cameras = cameras, entries[self.kept]
        # Positions grouped by identity; a stable sort keeps gallery order within one identity.
        self._order = np.argsort(self.gallery_ids, kind="stable")
        grouped = self.gallery_ids[self._order]
        self._first = np.searchsorted(grouped, self.query_ids, side="left")
        self._last = np.searchsorted(grouped, self.query_ids, side="right")

    def block(self, start: int, stop: int) -> BlockMatches:
        """The matches and the removed entries of queries start:stop."""
        ids = self.query_ids[start:stop]
        first, length = self._first[start:stop], self._last[start:stop] - self._first[start:stop]
        length = np.where((ids == JUNK) | (ids == DISTRACTOR), 0, length)
        query = np.repeat(np.arange(len(ids)), length)
        within = np.arange(len(query)) - np.repeat(np.cumsum(length) - length, length)
        same = self._order[first[query] + within]
        own = np.zeros(len(same), dtype=bool)
        if self._query_cameras is not None:
            camera = self._query_cameras[start:stop][query]
            own = (camera != UNKNOWN_CAMERA) & (self._gallery_cameras[same] == camera)
        return BlockMatches(
            _starts(query[~own], len(ids)), same[~own], _starts(query[own], len(ids)), same[own]
        )


def _starts(rows: IntArray, n: int) -> IntArray:
    """Where the entries of each row start in a flat array of ascending rows, (n + 1,)."""
    return np.concatenate([[0], np.bincount(rows, minlength=n).cumsum()]).astype(np.int64)


class SingleShotGalleries:
    """Seeded galleries of one image an identity, as in the CUHK03 protocol.

    In each repeat every gallery image gets one random key. For each query, an identity's image
    with the smallest key among those that count for that query represents it: a uniform draw after
    the removal of same-camera entries, equal for all queries wherever nothing is removed.
    Distractors are different unknown people, so they all stay; junk never enters.
    """

    def __init__(self, matches: Matches, *, repeats: int, seed: int) -> None:
        self._matches = matches
        self._repeats, self._seed = repeats, seed
        self._order = np.argsort(matches.gallery_ids, kind="stable")
        grouped = matches.gallery_ids[self._order]
        self._starts = np.flatnonzero(np.r_[True, grouped[1:] != grouped[:-1]])
        self._distractors = np.flatnonzero(matches.gallery_ids == DISTRACTOR)

    def _draws(self) -> Iterator[tuple[IntArray, IntArray]]:
        """For each repeat: the key of every kept entry, and the positions of its gallery."""
        count = len(self._matches.kept)
        for repeat in range(self._repeats):
            keys = np.random.default_rng([self._seed, repeat]).permutation(count)
            smallest = np.minimum.reduceat(keys[self._order], self._starts)
            chosen = np.argsort(keys)[smallest]
            named = chosen[self._matches.gallery_ids[chosen] != DISTRACTOR]
            yield keys, np.sort(np.concatenate([named, self._distractors]))

    def ranks(
        self, rows: npt.NDArray[np.floating[Any]], queries: IntArray, found: BlockMatches
    ) -> IntArray:
        """Rank of the one match of each query in each repeat, (queries, repeats).

        Args:
            rows: distance rows of these queries to the kept entries, (m, g).
            queries: their numbers, (m,); `found` their matches, at least one each.
        """
        every = np.arange(len(queries))
        identity = self._matches.query_ids[queries][:, None]
        out = np.empty((len(queries), self._repeats), dtype=np.int64)
        for repeat, (keys, gallery) in enumerate(self._draws()):
            smallest = np.minimum.reduceat(keys[found.right], found.starts[:-1])
            place = np.argsort(keys)[smallest][:, None]
            value = rows[every[:, None], place]
            others = rows[:, gallery]
            before = (others < value) | ((others == value) & (gallery < place))
            before &= self._matches.gallery_ids[gallery] != identity
            out[:, repeat] = before.sum(1) + 1
        return out
