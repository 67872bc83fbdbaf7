"""Exact distances of the candidates of a search: which are the nearest, how far the farthest is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from reid_repro.retrieval.candidates import Stream
from reid_repro.retrieval.compiled import kernel
from reid_repro.retrieval.exact import as_distance, squared_gap
from reid_repro.retrieval.sorting import place_of_greatest


@kernel(over="columns")
def nearest_of(
    begin: int,
    end: int,
    stream: Stream,
    start: int,
    k: int,
    queries: npt.NDArray[np.float32],
    gallery: npt.NDArray[np.float32],
    zeros: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
    cosine: bool,
    columns: npt.NDArray[np.int64],
    distances: npt.NDArray[np.float32],
) -> None:
    """The k nearest candidates of each row by exact distance, then gallery order, nearest first.

    Row i of the stream is query start + i; `zeros` counts the zero rows of a cosine space.
    Marked rows are left as they are.
    """
    for i in range(begin, end):
        query = start + i
        have = 0
        kth = np.inf  # squared distance of the k-th nearest so far
        for c in range(stream.filled[i]):
            # The least that it can be is too far already: |value - half| is bounded.
            least = stream.value[i, c] * (1 - stream.widening) - stream.margin[i]
            if 2 * least > kth:
                continue
            column = stream.column[i, c]
            squared = squared_gap(queries[query], gallery[column])
            squared += zeros[0][query] + zeros[1][column]
            distance = as_distance(squared, cosine)
            # Insertion into the k kept so far, ordered by distance and then by column.
            place = have
            while place > 0 and (
                distances[i, place - 1] > distance
                or (distances[i, place - 1] == distance and columns[i, place - 1] > column)
            ):
                if place < k:
                    distances[i, place] = distances[i, place - 1]
                    columns[i, place] = columns[i, place - 1]
                place -= 1
            if place < k:
                distances[i, place] = distance
                columns[i, place] = column
            have = min(have + 1, k)
            if have == k:
                last = np.float64(distances[i, k - 1])
                kth = (2 * last if cosine else last * last) * (1 + 1e-6)


@kernel(over="farthest")
def farthest_of(
    begin: int,
    end: int,
    stream: Stream,
    start: int,
    queries: npt.NDArray[np.float32],
    gallery: npt.NDArray[np.float32],
    zeros: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
    cosine: bool,
    farthest: npt.NDArray[np.float32],
) -> None:
    """The greatest exact distance among the candidates of each row."""
    for i in range(begin, end):
        query = start + i
        most = 0.0
        if stream.filled[i] <= 0:
            continue
        top = place_of_greatest(stream.value[i, : stream.filled[i]])
        for turn in range(-1, stream.filled[i]):
            c = top if turn < 0 else turn  # what looks farthest comes first, and rules most out
            reach = stream.value[i, c] * (1 + stream.widening) + stream.margin[i]
            if 2 * reach < most or turn == top:
                continue
            column = stream.column[i, c]
            squared = squared_gap(queries[query], gallery[column])
            most = max(most, squared + zeros[0][query] + zeros[1][column])
        farthest[i] = as_distance(most, cosine)
