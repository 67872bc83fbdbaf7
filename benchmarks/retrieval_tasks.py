"""What the lines of the retrieval benchmark do: a set-up, and the task that is timed.

All work on the same simulated set (`reid_repro.retrieval.simulation`). What a line's time holds:
bounds, the product alone; evaluators, a given distance matrix to mAP and CMC; `evaluate` and the
re-rankers "with mAP", features to mAP and CMC; peers' re-rankers, whatever their function takes
(torchreid's takes distances, so its time holds no product) to distances, without scoring. Searches
are in `retrieval_tasks_search.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from retrieval_bounds import DenseGNN, euclidean_distances, numpy_product, torch_product
from retrieval_line import Facts, Prepare, Task
from retrieval_peers import (
    fastreid_expansion,
    fastreid_jaccard,
    fastreid_k_reciprocal,
    torchreid_evaluator,
    torchreid_reranking,
)

from reid_repro.retrieval import evaluate, evaluate_distances
from reid_repro.retrieval.distances import default_block
from reid_repro.retrieval.rerank import Reranker
from reid_repro.retrieval.simulation import Split

GNN_K1, GNN_K2 = 26, 7  # the GNN paper's on Market-1501 (Section 4.2), at every size
QE_K = 10

FloatArray = npt.NDArray[np.float32]
Maker = Callable[[], Reranker]
Evaluator = Callable[..., tuple[Any, ...]]


# Re-rankers come through makers that import late: one that fails then takes only its own line.
def k_reciprocal() -> Reranker:
    from reid_repro.retrieval.rerank import KReciprocal

    return KReciprocal(20, 6, 0.3)


def gnn() -> Reranker:
    from reid_repro.retrieval.rerank import GNN

    return GNN(GNN_K1, GNN_K2, layers=2, alpha=2.0)


def gnn_as_released() -> Reranker:
    from reid_repro.retrieval.rerank import GNN

    return GNN(GNN_K1, GNN_K2, layers=2, alpha=2.0, symmetric="authors")


def sca() -> Reranker:
    from reid_repro.retrieval.rerank import SparseContextualActivation

    return SparseContextualActivation(20, 6)


def average_expansion() -> Reranker:
    from reid_repro.retrieval.rerank import AverageQueryExpansion

    return AverageQueryExpansion(QE_K)


def alpha_expansion() -> Reranker:
    from reid_repro.retrieval.rerank import AlphaQueryExpansion

    return AlphaQueryExpansion(QE_K, 3.0)


def average_expansion_of_all() -> Reranker:
    """As fast-reid does it: queries and gallery, neighbours among both, one of k the image."""
    from reid_repro.retrieval.rerank import AverageQueryExpansion

    return AverageQueryExpansion(QE_K - 1, expand_gallery=True, pool="all")


def alpha_expansion_of_all() -> Reranker:
    from reid_repro.retrieval.rerank import AlphaQueryExpansion

    return AlphaQueryExpansion(QE_K - 1, 3.0, expand_gallery=True, pool="all")


def phases(timings: dict[str, float]) -> Facts:
    return {f"seconds: {phase}": value for phase, value in timings.items()}


def with_map(maker: Maker | None) -> Prepare:
    """Features to mAP, by a re-ranker or by the plain distances."""

    def task(split: Split) -> Facts:
        reranker = maker() if maker else None
        result = evaluate(split.query, split.gallery, *split.labels, reranker=reranker)
        facts: Facts = {"mAP": result.mAP, "rank-1": float(result.cmc[0])}
        return facts | phases(reranker.timings) if reranker is not None else facts

    return lambda split: lambda: task(split)


def rows_only(maker: Maker, device: str = "cpu") -> Prepare:
    """Features, resident on the device, to all distance rows, which are not kept."""

    def prepare(split: Split) -> Task:
        query, gallery = (
            torch.from_numpy(features).to(device) for features in (split.query, split.gallery)
        )

        def task() -> Facts:
            reranker = maker().fit(query, gallery)
            step = default_block(len(gallery)) if device == "cpu" else len(query)
            for start in range(0, len(query), step):
                reranker.distances(start, min(start + step, len(query)))
            if device == "cuda":
                torch.cuda.synchronize()
            return phases(reranker.timings)

        return task

    return prepare


def scored(load: Callable[[], Evaluator]) -> Prepare:
    """A given distance matrix to its scores; without junk, which the peers do not know."""

    def prepare(split: Split) -> Task:
        evaluator = load()
        kept = split.gallery_ids != -1
        distances = euclidean_distances(split.query, split.gallery[kept])
        labels = (split.query_ids, split.gallery_ids[kept])
        cameras = (split.query_cameras, split.gallery_cameras[kept])

        def task() -> Facts:
            cmc, precision = evaluator(distances, *labels, *cameras, 50)[:2]
            return {"mAP": float(np.mean(precision)), "rank-1": float(np.asarray(cmc)[0])}

        return task

    return prepare


def own_evaluator(distances: FloatArray, *labels: Any) -> tuple[Any, ...]:
    result = evaluate_distances(distances, *labels[:4], ranks=labels[4])
    return result.cmc, result.mAP


def torchreid_scored(*, compiled: bool) -> Prepare:
    return scored(lambda: torchreid_evaluator(compiled=compiled))


def product(bits: str, wide: bool) -> Prepare:
    def prepare(split: Split) -> Task:
        left, right = (split.nodes, split.nodes) if wide else (split.query, split.gallery)
        if bits == "numpy":
            return without_facts(lambda: numpy_product(left, right))
        kind = torch.bfloat16 if bits == "bf16" else torch.float32
        x, y = torch.from_numpy(left).to(kind), torch.from_numpy(right).to(kind)
        return without_facts(lambda: torch_product(x, y))

    return prepare


def without_facts(work: Callable[[], None]) -> Task:
    def task() -> Facts:
        work()
        return {}

    return task


def torchreid_k_reciprocal(split: Split) -> Task:
    function = torchreid_reranking()
    distances = euclidean_distances(split.nodes, split.nodes)
    q = len(split.query)

    return scored_after(
        lambda: function(distances[:q, q:], distances[:q, :q], distances[q:, q:]), split
    )


def fastreid_k_reciprocal_task(split: Split) -> Task:
    fastreid_jaccard()  # missing, it says so before the time starts
    return scored_after(lambda: fastreid_k_reciprocal(split.query, split.gallery), split)


def scored_after(work: Callable[[], FloatArray], split: Split) -> Task:
    """Time the making of distances alone, then tell their mAP."""

    def task() -> Facts:
        begin = time.perf_counter()
        distances = work()
        seconds = time.perf_counter() - begin
        return {"seconds": seconds, "mAP": evaluate_distances(distances, *split.labels).mAP}

    return task


def fastreid_aqe(split: Split) -> Task:
    function = fastreid_expansion()
    query, gallery = torch.from_numpy(split.query), torch.from_numpy(split.gallery)
    return lambda: {"dimensions": str(function(query, gallery, 1, QE_K, 3.0)[0].shape[1])}


def dense_gnn(device: str) -> Prepare:
    def prepare(split: Split) -> Task:
        query, gallery = (
            torch.from_numpy(features).to(device) for features in (split.query, split.gallery)
        )

        def task() -> Facts:
            model = DenseGNN(GNN_K1, GNN_K2)
            similarity = model.similarities(query, gallery)
            facts = phases(model.timings) | {"seconds": sum(model.timings.values())}
            if device == "cpu":
                facts["mAP"] = evaluate_distances(-similarity.numpy(), *split.labels).mAP
            return facts

        return task

    return prepare
