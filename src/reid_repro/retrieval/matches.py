"""Which gallery entries count for which query, and the ranks of its true matches without a sort.

AP, CMC and INP need only the ranks of the few true matches of a query, so rows are not sorted:
the rank of a match is one plus the number of counting entries before it. "Before" means a smaller
distance, or the same distance and an earlier place in the gallery: what a stable argsort gives.

Labels: identity -1 is junk (never counts, as query it has no match), identity 0 is a distractor
(always a wrong answer, never a match), camera -1 is unknown (never the same camera).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from torch import Tensor

from reid_repro.retrieval.distances import check_choice

SameCamera = Literal["remove", "keep"]
Labels = npt.ArrayLike | Tensor
IntArray = npt.NDArray[np.int64]

JUNK, DISTRACTOR, UNKNOWN_CAMERA = -1, 0, -1
COUNTED_MATCHES = 64  # with more matches than this, one sort of the row costs less


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

    def of(self, query: int) -> tuple[IntArray, IntArray]:
        """Positions of the matches and of the removed entries of one query, in gallery order."""
        if self.query_ids[query] in (JUNK, DISTRACTOR):
            return self._order[:0], self._order[:0]
        same = self._order[self._first[query] : self._last[query]]
        if self._query_cameras is None or self._query_cameras[query] == UNKNOWN_CAMERA:
            return same, same[:0]
        removed = self._gallery_cameras[same] == self._query_cameras[query]
        return same[~removed], same[removed]


def ranks_of_matches(
    row: npt.NDArray[np.floating[Any]], matches: IntArray, removed: IntArray
) -> IntArray:
    """Ranks (1 = nearest) of a query's matches among the entries that count for it, ascending.

    Args:
        row: distances to the kept gallery entries, (g,).
        matches: positions of the true matches, ascending, at least one.
        removed: positions that do not count for this query.
    """
    ranks = _places(row, matches)
    if len(removed):
        value, target = row[removed], row[matches][:, None]
        before = (value < target) | ((value == target) & (removed < matches[:, None]))
        ranks = ranks - before.sum(1)
    ranks.sort()
    return ranks


def _places(row: npt.NDArray[np.floating[Any]], matches: IntArray) -> IntArray:
    """Places (from 1) of positions `matches` in the stable order of `row`."""
    if len(matches) <= COUNTED_MATCHES:
        # Entries ahead in the gallery come first at equal distance, later ones do not.
        counts = [
            np.count_nonzero(row[:place] <= value) + np.count_nonzero(row[place + 1 :] < value)
            for place, value in zip(matches.tolist(), row[matches], strict=True)
        ]
        return np.asarray(counts, dtype=np.int64) + 1
    values, ordered = row[matches], np.sort(row)
    before = np.searchsorted(ordered, values, side="left")
    for i in np.flatnonzero(np.searchsorted(ordered, values, side="right") - before > 1):
        before[i] += np.count_nonzero(row[: matches[i]] == values[i])
    return before + 1


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
        self, rows: npt.NDArray[np.floating[Any]], queries: IntArray, matches: list[IntArray]
    ) -> IntArray:
        """Rank of the one match of each query in each repeat, (queries, repeats).

        Args:
            rows: distance rows of these queries to the kept entries, (m, g).
            queries: their numbers, (m,); `matches` their matches, at least one each.
        """
        m, width = len(queries), max(map(len, matches))
        padded = np.zeros((m, width), dtype=np.int64)
        padding = np.ones((m, width), dtype=bool)
        for i, positions in enumerate(matches):
            padded[i, : len(positions)] = positions
            padding[i, : len(positions)] = False
        every = np.arange(m)
        identity = self._matches.query_ids[queries][:, None]
        out = np.empty((m, self._repeats), dtype=np.int64)
        for repeat, (keys, gallery) in enumerate(self._draws()):
            choice = np.where(padding, len(keys), keys[padded]).argmin(1)
            place = padded[every, choice][:, None]
            value = rows[every[:, None], place]
            others = rows[:, gallery]
            before = (others < value) | ((others == value) & (gallery < place))
            before &= self._matches.gallery_ids[gallery] != identity
            out[:, repeat] = before.sum(1) + 1
        return out
