"""Time and peak memory of search, evaluation and re-ranking on simulated features.

    python benchmarks/retrieval.py [--size small|market] [--repeat N] [--threads N]

Features are L2-normalised: an identity centre, a shift of the camera, and noise, with distractors
(identity 0) and junk (-1) in the gallery. Each line runs in a process of its own, so that its peak
memory (with the features and the libraries) is its own. Bounds and peers are measured in the same
run: the bare float32 product of the same shape, and an evaluator that argsorts every row.

The header names the BLAS and OpenMP libraries and their threads as such a process sees them
(`threadpoolctl`, of the extra `bench`; a library linked into another one, as MKL may be in torch,
does not show).
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np
import numpy.typing as npt
import torch
from threadpoolctl import threadpool_info

from reid_repro.retrieval import average_precision, evaluate, evaluate_distances, knn
from reid_repro.retrieval.rerank import (
    AlphaQueryExpansion,
    AverageQueryExpansion,
    KReciprocal,
    Reranker,
)

Task = Callable[[], str]


@dataclass(frozen=True)
class Size:
    """Images and identities of a simulated test set, and the noise that gives mAP near 0.8."""

    queries: int
    matches: int
    distractors: int
    junk: int
    identities: int
    cameras: int
    dim: int
    noise: float


SIZES = {
    "small": Size(400, 2000, 400, 600, 100, 6, 256, 1.6),
    "market": Size(3368, 13115, 2798, 3819, 750, 6, 1536, 2.3),
}


@dataclass(frozen=True)
class Split:
    """Query and gallery features with their labels."""

    query: npt.NDArray[np.float32]
    gallery: npt.NDArray[np.float32]
    query_ids: npt.NDArray[np.int64]
    gallery_ids: npt.NDArray[np.int64]
    query_cameras: npt.NDArray[np.int64]
    gallery_cameras: npt.NDArray[np.int64]

    @property
    def labels(self) -> tuple[npt.NDArray[np.int64], ...]:
        return self.query_ids, self.gallery_ids, self.query_cameras, self.gallery_cameras


def simulate(size: Size, seed: int = 0) -> Split:
    """Draw a split; distractors and junk have identity centres of their own."""
    rng = np.random.default_rng(seed)
    n = size.queries + size.matches + size.distractors + size.junk
    centres = rng.normal(size=(2 * size.identities, size.dim)).astype(np.float32)
    shifts = 0.5 * rng.normal(size=(size.cameras, size.dim)).astype(np.float32)
    known = rng.integers(size.identities, size=size.queries + size.matches)
    other = rng.integers(size.identities, 2 * size.identities, size=n - len(known))
    centre, camera = np.concatenate([known, other]), rng.integers(size.cameras, size=n)
    # Hard images drown more: the noise of an image varies around the mean.
    level = size.noise * rng.uniform(0.4, 1.6, size=(n, 1)).astype(np.float32)
    features = rng.standard_normal(size=(n, size.dim), dtype=np.float32)
    features *= level
    features += centres[centre] + shifts[camera]
    features /= np.sqrt(np.square(features).sum(1, keepdims=True))
    ids = np.concatenate([known + 1, np.zeros(size.distractors), np.full(size.junk, -1)])
    order = size.queries + rng.permutation(n - size.queries)
    first = np.arange(size.queries)
    ids = ids.astype(np.int64)
    return Split(
        features[first], features[order], ids[first], ids[order], camera[first], camera[order]
    )


def product(left: npt.NDArray[np.float32], right: npt.NDArray[np.float32]) -> str:
    """The bare float32 product in blocks, nothing kept."""
    x, y = torch.from_numpy(left), torch.from_numpy(right).T
    for start in range(0, len(x), 512):
        torch.mm(x[start : start + 512], y)
    return ""


def argsort_evaluator(distances: npt.NDArray[np.float32], split: Split) -> str:
    """Peer: a stable argsort of each row, then a walk over masks."""
    aps = []
    for q, row in enumerate(distances):
        order = np.argsort(row, kind="stable")
        same = split.gallery_ids[order] == split.query_ids[q]
        own = same & (split.gallery_cameras[order] == split.query_cameras[q])
        match = same[(split.gallery_ids[order] != -1) & ~own]
        if match.any():
            aps.append(float(average_precision(np.flatnonzero(match) + 1)))
    return f"mAP {np.mean(aps):.4f}"


def given_distances(split: Split) -> npt.NDArray[np.float32]:
    cosine = torch.from_numpy(split.query) @ torch.from_numpy(split.gallery).T
    return np.asarray((2 - 2 * cosine).clamp_(min=0).sqrt_().numpy())


def reranked(split: Split, reranker: Reranker | None) -> str:
    result = evaluate(split.query, split.gallery, *split.labels, reranker=reranker)
    phases = reranker.timings if reranker is not None else {}
    parts = [f"mAP {result.mAP:.4f}"] + [f"{name} {value:.2f}" for name, value in phases.items()]
    return ", ".join(parts)


def searched(nodes: npt.NDArray[np.float32]) -> str:
    _, distances = knn(nodes, nodes, 21, self_match="first")
    return f"mean distance {distances.mean():.4f}"


def thread_pools() -> str:
    """The loaded BLAS and OpenMP libraries, their versions and threads, in one line."""
    pools = []
    for pool in threadpool_info():
        facts = (pool["prefix"], pool["version"], pool.get("architecture"))
        name = " ".join(str(fact) for fact in facts if fact)
        pools.append(f"{pool['user_api']} {name}: {pool['num_threads']} threads")
    return ", ".join(pools) or "none found"


def lines(split: Split) -> list[tuple[str, str | None, Callable[[], Task]]]:
    """Name of each line, the line it is compared with, and the (untimed) set-up of its task."""
    nodes = np.concatenate([split.query, split.gallery])

    def matrix_task(score: Callable[[npt.NDArray[np.float32]], str]) -> Task:
        distances = given_distances(split)
        return lambda: score(distances)

    def own_evaluator(distances: npt.NDArray[np.float32]) -> str:
        return f"mAP {evaluate_distances(distances, *split.labels).mAP:.4f}"

    wide, small, peer = "product n x n", "product q x g", "argsort of each row"
    return [
        (small, None, lambda: lambda: product(split.query, split.gallery)),
        (wide, None, lambda: lambda: product(nodes, nodes)),
        (peer, None, lambda: matrix_task(lambda rows: argsort_evaluator(rows, split))),
        ("evaluate_distances", peer, lambda: matrix_task(own_evaluator)),
        ("evaluate", small, lambda: lambda: reranked(split, None)),
        ("knn, k = 21", wide, lambda: lambda: searched(nodes)),
        ("AQE", small, lambda: lambda: reranked(split, AverageQueryExpansion(10))),
        ("alpha-QE", small, lambda: lambda: reranked(split, AlphaQueryExpansion(10, 3))),
        ("k-reciprocal", wide, lambda: lambda: reranked(split, KReciprocal())),
    ]


def child(prepare: Callable[[], Task], repeat: int, threads: int, answer: Connection) -> None:
    torch.set_num_threads(threads)
    task = prepare()
    seconds = float("inf")
    for _ in range(repeat):
        begin = time.perf_counter()
        note = task()
        seconds = min(seconds, time.perf_counter() - begin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2  # Linux counts KiB
    answer.send((seconds, peak, note))


def measure(prepare: Callable[[], Task], repeat: int, threads: int) -> tuple[float, float, str]:
    """Best seconds, peak GiB and note of a task in a process of its own."""
    # Children inherit the features; nothing that starts threads has run in this process yet.
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=child, args=(prepare, repeat, threads, send))
    process.start()
    send.close()
    seconds, peak, note = receive.recv()
    process.join()
    return seconds, peak, note


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--repeat", type=int, default=2, help="best of so many runs")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    split = simulate(SIZES[options.size])
    print(
        f"{options.size}: {len(split.query)} queries + {len(split.gallery)} gallery x "
        f"{split.query.shape[1]}, {options.threads} threads, best of {options.repeat}"
    )
    print("threads:", measure(lambda: thread_pools, 1, options.threads)[2])
    print(f"{'':22}{'seconds':>9}{'peak GiB':>10}{'ratio':>8}  to")
    measured: dict[str, float] = {}
    for name, bound, prepare in lines(split):
        seconds, peak, note = measure(prepare, options.repeat, options.threads)
        measured[name] = seconds
        ratio = f"{seconds / measured[bound]:8.2f}  {bound}" if bound else f"{'':10}"
        print(f"{name:22}{seconds:9.3f}{peak:10.2f}{ratio}  {note}", flush=True)


if __name__ == "__main__":
    main()
