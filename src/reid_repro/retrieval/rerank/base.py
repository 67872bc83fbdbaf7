"""What every re-ranker offers: fit on two feature matrices, then distance rows on demand."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

from reid_repro.retrieval.distances import Features


@runtime_checkable
class Reranker(Protocol):
    """Turns features into new query-gallery distances, row block by row block.

    `fit` holds O(n k) beside the features; `distances` O(rows x gallery). Both accept numpy or
    torch features and work on the device that the tensors are on. A new `fit` starts afresh.

    Rows depend on their block in the last bits at most, where a matrix product takes part in them:
    the classes say where.

    Attributes:
        timings: seconds by phase of the last fit, and under "distances" those of the rows asked
            for since.

    A re-ranker that ranks by refined features also has an attribute `space: FeatureSpace | None`:
    refined queries and gallery after `fit`, None before. It is optional and so not declared below.
    Where `evaluate` finds one, it ranks the features of `space` exactly, as without a re-ranker,
    and does not ask for distance rows.
    """

    timings: dict[str, float]

    def fit(self, query: Features, gallery: Features) -> Self:
        """Prepare for queries (n, d) and a gallery (g, d)."""
        ...

    def distances(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Distances of queries start:stop to the whole gallery, (stop - start, g) float32."""
        ...


@contextmanager
def timed(timings: dict[str, float], phase: str) -> Iterator[None]:
    """Add the wall time of the block to `timings[phase]`, in seconds."""
    begin = time.perf_counter()
    try:
        yield
    finally:
        timings[phase] = timings.get(phase, 0.0) + time.perf_counter() - begin


def check_at_least(name: str, value: int, least: int) -> None:
    """Raise ValueError unless `value` is an integer of at least `least`."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} is {value!r}: use an integer of at least {least}")


def check_block(block: int | None) -> None:
    """Raise ValueError unless `block` is None (chosen from the size) or at least 1."""
    if block is not None:
        check_at_least("block", block, 1)


def check_rows(start: int, stop: int, n_query: int) -> None:
    """Raise ValueError unless start:stop is a range of the fitted queries."""
    if not 0 <= start <= stop <= n_query:
        raise ValueError(f"rows {start}:{stop} lie outside the {n_query} fitted queries")
