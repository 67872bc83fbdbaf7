"""The first ranks of every query, kept for the report's ranked lists."""

from __future__ import annotations

from typing import Self

import numpy as np
import pandas as pd

from reid_repro.retrieval.distances import Features
from reid_repro.retrieval.judgements import Judgements
from reid_repro.retrieval.rerank import Reranker
from reid_repro.retrieval.rerank.base import timed
from reid_repro.retrieval.search import knn


class FirstRanks:
    """Collects the `shown` nearest gallery images of each query, as the evaluation ranks them.

    `query` and `gallery` have image, identity and camera. Dropped are junk (-1) and, with
    `remove`, images of the query's own identity in its own (known) camera; equal distances keep
    the gallery's order. Where people judged, their junk is dropped and their word is the match.
    """

    def __init__(
        self,
        query: pd.DataFrame,
        gallery: pd.DataFrame,
        *,
        remove: bool,
        shown: int,
        judgements: Judgements | None = None,
    ) -> None:
        self._query = {name: query[name].to_numpy() for name in ("image", "identity", "camera")}
        self._gallery = {name: gallery[name].to_numpy() for name in self._query}
        self._remove, self._shown = remove, shown
        self._judged = judgements
        self._found: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def add(self, number: int, columns: np.ndarray, distances: np.ndarray) -> None:
        """Query `number`'s distances to the gallery entries `columns` (ascending where equal)."""
        identity = self._gallery["identity"][columns]
        kept = identity >= 0 if self._judged is None else ~self._is_judged(number, columns, False)
        camera = self._query["camera"][number]
        if self._judged is None and self._remove and camera >= 0:
            own = identity == self._query["identity"][number]
            kept &= ~(own & (self._gallery["camera"][columns] == camera))
        columns, distances = columns[kept], distances[kept]
        if len(columns) > self._shown:
            last = np.partition(distances, self._shown - 1)[self._shown - 1]
            near = np.flatnonzero(distances <= last)
            columns, distances = columns[near], distances[near]
        order = np.argsort(distances, kind="stable")[: self._shown]
        self._found[number] = columns[order], distances[order]

    def countable(self) -> np.ndarray:
        """The gallery entries that are junk for no reason of their own."""
        if self._judged is not None:
            return np.arange(len(self._gallery["identity"]))
        return np.flatnonzero(self._gallery["identity"] >= 0)

    def most_dropped(self) -> int:
        """At most so many of `countable` are dropped for a query."""
        if self._judged is not None:
            junk = self._judged.query[~self._judged.relevant]
            return int(np.bincount(junk).max(initial=0))
        if not self._remove:
            return 0
        known = self._gallery["identity"] > 0
        pairs = np.stack([self._gallery["identity"], self._gallery["camera"]], axis=1)[known]
        return int(np.unique(pairs, axis=0, return_counts=True)[1].max(initial=0))

    def table(self) -> pd.DataFrame:
        """query, rank (from 1), image, distance, match: the queries in order."""
        numbers = sorted(self._found)
        columns = np.concatenate([self._found[number][0] for number in numbers])
        lengths = [len(self._found[number][0]) for number in numbers]
        of_query = np.repeat(numbers, lengths)
        identity = self._gallery["identity"][columns]
        match = identity == self._query["identity"][of_query]
        if self._judged is not None:
            found = [self._is_judged(number, self._found[number][0], True) for number in numbers]
            match = np.concatenate(found)
        ranks = [np.arange(1, length + 1, dtype=np.int16) for length in lengths]
        return pd.DataFrame(
            {
                "query": self._query["image"][of_query].astype(np.int32),
                "rank": np.concatenate(ranks),
                "image": self._gallery["image"][columns].astype(np.int32),
                "distance": np.concatenate([self._found[n][1] for n in numbers]).astype(np.float32),
                "match": match,
            }
        )

    def _is_judged(self, number: int, columns: np.ndarray, relevant: bool) -> np.ndarray:
        assert self._judged is not None
        own = (self._judged.query == number) & (self._judged.relevant == relevant)
        return np.isin(columns, self._judged.gallery[own])


class Recorder:
    """A re-ranker that shows `first` the distance rows which pass through it, unchanged.

    `timings` are the inner re-ranker's alone; `recording` holds the seconds spent on showing.
    """

    def __init__(self, inner: Reranker, first: FirstRanks) -> None:
        self._inner, self._first = inner, first
        self.timings: dict[str, float] = {}
        self._own: dict[str, float] = {}

    @property
    def recording(self) -> float:
        """Seconds spent since the last fit on what is no part of the re-ranking."""
        return self._own.get("recording", 0.0)

    def fit(self, query: Features, gallery: Features) -> Self:
        """Fit the inner re-ranker."""
        self._own = {}
        self._inner.fit(query, gallery)
        self.timings = self._inner.timings  # the same dictionary, which goes on counting
        return self

    def distances(self, start: int, stop: int) -> np.ndarray:
        """The inner re-ranker's rows."""
        rows = self._inner.distances(start, stop)
        with timed(self._own, "recording"):
            columns = np.arange(rows.shape[1])
            for number, row in enumerate(rows, start):
                self._first.add(number, columns, row)
        return rows


def record_nearest(
    query: np.ndarray, gallery: np.ndarray, first: FirstRanks, *, shown: int
) -> None:
    """Show `first` the plain Euclidean neighbours, as many as it may have to drop some of."""
    kept = first.countable()
    most = min(shown + first.most_dropped(), len(kept))
    indices, distances = knn(query, gallery[kept], most)
    for number in range(len(query)):
        first.add(number, kept[indices[number]], distances[number])
