"""Set-ups and tasks of the search lines of the retrieval benchmark: all at once, and one at a time.

Searches take features to neighbours and their distances, whose mean is told so that lines can be
compared. "One query" is the median of many, asked one at a time.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from retrieval_bounds import topk_search
from retrieval_line import Facts, Prepare, Task
from retrieval_peers import faiss_library, faiss_search

from reid_repro.retrieval import knn
from reid_repro.retrieval.distances import FeatureSpace
from reid_repro.retrieval.search import neighbours
from reid_repro.retrieval.simulation import Split

K = 21  # neighbours of the graphs: k1 of k-reciprocal encoding, and the node itself
NEAREST = 10  # neighbours of a query, as query expansion takes them
SINGLE = 200  # queries of the one-at-a-time lines
SINGLE_SPACES = 32  # prepared searches, each of which holds a vector or two over the gallery


def searched(split: Split) -> Task:
    def task() -> Facts:
        _, distances = knn(split.nodes, split.nodes, K, self_match="first")
        return {"mean distance": float(distances.mean())}

    return task


def gallery_searched(split: Split) -> Task:
    return lambda: {
        "mean distance": float(knn(split.query, split.gallery, NEAREST)[1].mean()),
    }


def faiss_searched(*, inner_product: bool) -> Prepare:
    def prepare(split: Split) -> Task:
        faiss_library()

        def task() -> Facts:
            found, _ = faiss_search(split.nodes, K, inner_product=inner_product)
            squared = 2 - 2 * found if inner_product else found
            return {"mean distance": float(np.sqrt(squared.clip(0)).mean())}

        return task

    return prepare


def topk_searched(split: Split) -> Task:
    nodes = torch.from_numpy(split.nodes)

    def task() -> Facts:
        cosine, _ = topk_search(nodes, K)
        return {"mean distance": float((2 - 2 * cosine).clamp(min=0).sqrt().mean())}

    return task


def one_at_a_time(ask: Callable[[int], object], queries: int) -> Facts:
    """Median seconds of a query."""
    seconds = []
    for q in range(min(queries, SINGLE)):
        begin = time.perf_counter()
        ask(q)
        seconds.append(time.perf_counter() - begin)
    return {"seconds": statistics.median(seconds)}


def single_product(split: Split) -> Task:
    query, gallery = torch.from_numpy(split.query), torch.from_numpy(split.gallery)
    return lambda: one_at_a_time(lambda q: torch.topk(gallery @ query[q], NEAREST), len(query))


def single_faiss(split: Split) -> Task:
    index = faiss_library().IndexFlatIP(split.gallery.shape[1])
    index.add(split.gallery)
    query = split.query
    return lambda: one_at_a_time(lambda q: index.search(query[q : q + 1], NEAREST), len(query))


def single_own(split: Split) -> Task:
    gallery = torch.from_numpy(split.gallery)
    spaces = [
        FeatureSpace(torch.from_numpy(split.query[q : q + 1]), gallery, "euclidean")
        for q in range(min(SINGLE_SPACES, len(split.query)))
    ]
    return lambda: one_at_a_time(lambda q: neighbours(spaces[q], NEAREST), len(spaces))
