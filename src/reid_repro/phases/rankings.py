"""The first ranks of every query, kept for the report's ranked lists."""

from __future__ import annotations

from typing import Self

import numpy as np
import pandas as pd

from reid_repro.retrieval.distances import Features
from reid_repro.retrieval.rerank import Reranker
from reid_repro.retrieval.rerank.base import timed
from reid_repro.retrieval.search import knn


class FirstRanks:
    """Collects the `shown` nearest gallery images of each query, as the evaluation ranks them.

    `query` and `gallery` have image, identity and camera. Dropped are junk (-1) and, with
    `remove`, images of the query's own identity in its own (known) camera; equal distances keep
    the gallery's order.
    """

    def __init__(
        self, query: pd.DataFrame, gallery: pd.DataFrame, *, remove: bool, shown: int
    ) -> None:
        self._query = {name: query[name].to_numpy() for name in ("image", "identity", "camera")}
        self._gallery = {name: gallery[name].to_numpy() for name in self._query}
        self._remove, self._shown = remove, shown
        self._found: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def add(self, number: int, columns: np.ndarray, distances: np.ndarray) -> None:
        """Query `number`'s distances to the gallery entries `columns` (ascending where equal)."""
        identity = self._gallery["identity"][columns]
        kept = identity >= 0
        camera = self._query["camera"][number]
        if self._remove and camera >= 0:
            own = identity == self._query["identity"][number]
            kept &= ~(own & (self._gallery["camera"][columns] == camera))
        columns, distances = columns[kept], distances[kept]
        if len(columns) > self._shown:
            last = np.partition(distances, self._shown - 1)[self._shown - 1]
            near = np.flatnonzero(distances <= last)
            columns, distances = columns[near], distances[near]
        order = np.argsort(distances, kind="stable")[: self._shown]
        self._found[number] = columns[order], distances[order]

    def table(self) -> pd.DataFrame:
        """query, rank (from 1), image, distance, match: the queries in order."""
        numbers = sorted(self._found)
        columns = np.concatenate([self._found[number][0] for number in numbers])
        lengths = [len(self._found[number][0]) for number in numbers]
        of_query = np.repeat(numbers, lengths)
        identity = self._gallery["identity"][columns]
        ranks = [np.arange(1, length + 1, dtype=np.int16) for length in lengths]
        return pd.DataFrame(
            {
                "query": self._query["image"][of_query].astype(np.int32),
                "rank": np.concatenate(ranks),
                "image": self._gallery["image"][columns].astype(np.int32),
                "distance": np.concatenate([self._found[n][1] for n in numbers]).astype(np.float32),
                "match": identity == self._query["identity"][of_query],
            }
        )


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
    query: np.ndarray,
    gallery: np.ndarray,
    identities: pd.DataFrame,
    first: FirstRanks,
    *,
    shown: int,
) -> None:
    """Show `first` the plain Euclidean neighbours.

    `identities` (identity, camera of the gallery rows) bounds how many of a query's nearest may
    have to be dropped: its own identity in its own camera, and all junk.
    """
    junk = identities["identity"] < 0
    kept = np.flatnonzero(~junk)
    sizes = identities[~junk].groupby(["identity", "camera"]).size()
    most = shown + int(sizes[sizes.index.get_level_values(0) > 0].max())
    indices, distances = knn(query, gallery[kept], min(most, len(kept)))
    for number in range(len(query)):
        first.add(number, kept[indices[number]], distances[number])
