"""True matches by people's judgements instead of identities (Oxford5k, Paris6k).

For some pairs of query and gallery image somebody said whether the image is right. A right one is
a match; one judged junk is removed for that query alone, neither right nor wrong; all others are
wrong. One image may be right for a query and junk for another, which no identity can say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from reid_repro.retrieval.matches import (
    DISTRACTOR,
    BlockMatches,
    IntArray,
    Labels,
    Matches,
    as_labels,
)

RIGHT, JUNK = ("good", "ok"), "junk"


@dataclass(frozen=True, kw_only=True)
class Judgements:
    """Judged pairs: one entry a pair, in any order.

    Attributes:
        query: position of the query, (j,) integers.
        gallery: position of the gallery image, (j,) integers.
        relevant: whether it is right, (j,) bool; False is junk.

    Raises:
        ValueError: no such vectors, a negative position, or a pair judged twice.
    """

    query: npt.NDArray[np.integer[Any]]
    gallery: npt.NDArray[np.integer[Any]]
    relevant: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        query = as_labels(self.query, "judgements.query")
        gallery = as_labels(self.gallery, "judgements.gallery", len(query))
        relevant = np.asarray(self.relevant)
        if relevant.shape != query.shape or not (relevant.dtype == bool or relevant.size == 0):
            raise ValueError(
                f"judgements.relevant must be {len(query)} booleans; got {relevant.dtype} of shape "
                f"{relevant.shape}"
            )
        if len(query) and min(query.min(), gallery.min()) < 0:
            raise ValueError("judgements: positions start at 0")
        pairs = np.stack([query, gallery], axis=1)
        unique, times = np.unique(pairs, axis=0, return_counts=True)
        if len(unique) < len(pairs):
            q, g = unique[times > 1][0]
            raise ValueError(f"judgements: query {q} and gallery image {g} are judged twice")

    @classmethod
    def of(cls, table: pd.DataFrame, query_rows: Labels, gallery_rows: Labels) -> Judgements:
        """From a dataset's judgements (rows `query`, `image`; `judgement` good, ok or junk).

        Args:
            table: `Dataset.judgements`: row numbers of the images table.
            query_rows: row of each query, (n,); `gallery_rows` (g,). Pairs of other rows, such as
                those of another trial, are left out.

        Raises:
            ValueError: another judgement than these three.
        """
        unknown = set(table["judgement"]) - {*RIGHT, JUNK}
        if unknown:
            raise ValueError(f"judgement '{min(map(str, unknown))}' is none of good, ok, junk")
        query = _positions(table["query"], query_rows, "query_rows")
        gallery = _positions(table["image"], gallery_rows, "gallery_rows")
        ranked = (query >= 0) & (gallery >= 0)
        relevant = table["judgement"].isin(RIGHT).to_numpy(dtype=bool)
        return cls(query=query[ranked], gallery=gallery[ranked], relevant=relevant[ranked])


def _positions(wanted: pd.Series[Any], rows: Labels, name: str) -> IntArray:
    """The position in `rows` of each wanted row, -1 where it is not there."""
    index = pd.Index(as_labels(rows, name))
    if not index.is_unique:
        raise ValueError(f"{name} names a row twice")
    return np.asarray(index.get_indexer(wanted.to_numpy(dtype=np.int64)), dtype=np.int64)


class JudgedMatches(Matches):
    """Matches and removed entries as judged; identities and cameras say nothing.

    Every gallery image is kept: junk is so for single queries.
    """

    def __init__(self, query_ids: Labels, gallery_ids: Labels, judgements: Judgements) -> None:
        queries, entries = as_labels(query_ids, "query_ids"), as_labels(gallery_ids, "gallery_ids")
        super().__init__(queries, np.full_like(entries, DISTRACTOR), None, None, "keep")
        query, gallery = np.asarray(judgements.query), np.asarray(judgements.gallery)
        for name, given, count in (
            ("query", query, self.n_query),
            ("gallery", gallery, self.n_gallery),
        ):
            if len(given) and given.max() >= count:
                raise ValueError(f"judgements name {name} {given.max()}; there are {count}, from 0")
        self._right = _Pairs.of(judgements, judgements.relevant, self.n_query)
        self._junk = _Pairs.of(judgements, ~np.asarray(judgements.relevant, bool), self.n_query)

    def block(self, start: int, stop: int) -> BlockMatches:
        """The matches and the removed entries of queries start:stop."""
        return BlockMatches(*self._right.block(start, stop), *self._junk.block(start, stop))


@dataclass(frozen=True)
class _Pairs:
    """Gallery positions by query, ascending: those of query i are starts[i]:starts[i + 1]."""

    starts: IntArray
    gallery: IntArray

    @classmethod
    def of(cls, judgements: Judgements, chosen: npt.NDArray[np.bool_], count: int) -> _Pairs:
        chosen = np.asarray(chosen, dtype=bool)
        query = np.asarray(judgements.query)[chosen].astype(np.int64)
        gallery = np.asarray(judgements.gallery)[chosen].astype(np.int64)
        order = np.lexsort((gallery, query))
        return cls(np.searchsorted(query[order], np.arange(count + 1)), gallery[order])

    def block(self, start: int, stop: int) -> tuple[IntArray, IntArray]:
        first, last = self.starts[start], self.starts[min(stop, len(self.starts) - 1)]
        return self.starts[start : stop + 1] - first, self.gallery[first:last]
