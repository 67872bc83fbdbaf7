"""Clustering and coarse-to-fine search: what GLAD's Section 6.6 times, and the peers beside it.

    python benchmarks/retrieval_groups.py [--images N] [--queries N] [--threads N] [--repeat N]

Each function takes what is measured and returns a set-up: from simulated features to a task, which
is what is timed. The peer of the clustering recomputes the float32 products of every group that it
splits; the peer of a query compares it with every image. One-at-a-time lines run on one thread.
The main prints a table of the printed group counts (Table 7); `--images` takes fewer images, with
the group counts in proportion. Clustering is checked: the groups are the same whether bfloat16 or
float32 products proposed the furthest pairs.
"""

from __future__ import annotations

import argparse
import heapq
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch

from reid_repro.retrieval import knn
from reid_repro.retrieval.groups import PCA, CoarseToFineIndex, SplitTree
from reid_repro.retrieval.products import Precision
from reid_repro.retrieval.simulation import SIZES, Split, simulate

Facts = dict[str, float | str]
Task = Callable[[], Facts]
Prepare = Callable[[Split], Task]
Features = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

PRINTED = (2558, 8509, 13509)  # groups of 19,732 images (Table 7)
IMAGES = 19732
K = 100  # images asked for, and groups searched
SINGLE = 200  # queries of the one-at-a-time lines


def in_proportion(groups: int, n: int) -> int:
    """The printed number of groups, for n images instead of 19,732."""
    return max(1, min(n, round(groups * n / IMAGES)))


def clustering(groups: int, precision: Precision = "auto") -> Prepare:
    """From features to group labels, the threshold calibrated to the number of groups."""

    def prepare(split: Split) -> Task:
        features = split.gallery
        wanted = in_proportion(groups, len(features))

        def task() -> Facts:
            tree = SplitTree(features, precision=precision)
            threshold = tree.threshold_for(wanted)
            return {"groups": int(tree.labels(threshold).max()) + 1, "threshold": threshold}

        return task

    return prepare


def clustering_by_group(groups: int) -> Prepare:
    """Peer: the same, with the float32 products of each group's members computed at its split."""

    def prepare(split: Split) -> Task:
        features = split.gallery
        wanted = in_proportion(groups, len(features))

        def task() -> Facts:
            labels, threshold = split_by_products(features, wanted)
            return {"groups": int(labels.max()) + 1, "threshold": threshold}

        return task

    return prepare


def split_by_products(features: Features, groups: int) -> tuple[Labels, float]:
    """Two-fold divisive clustering to a number of groups, the least uniform group first."""
    squared = np.einsum("nd,nd->n", features, features)

    def dissimilarity(members: Labels) -> float:
        n = len(members)
        if n == 1:
            return 0.0
        total = features[members].sum(axis=0, dtype=np.float64)
        spread = squared[members].sum(dtype=np.float64) - total @ total / n
        return float(2 * spread / (n - 1))

    everything = np.arange(len(features))
    heap = [(-dissimilarity(everything), 0, everything)]
    pushed = 1
    while len(heap) < groups:
        key, _, members = heapq.heappop(heap)
        rows = torch.from_numpy(features[members])
        distances = torch.mm(rows, rows.T).mul_(-2)
        norms = torch.from_numpy(squared[members])
        distances += norms
        distances += norms[:, None]
        left, right = divmod(int(distances.argmax()), len(members))
        goes_left = (distances[left] < distances[right]).numpy()
        goes_left[left], goes_left[right] = True, False
        del distances
        for part in (members[goes_left], members[~goes_left]):
            # The least value on the way from the root decides, as in `SplitTree`.
            heapq.heappush(heap, (max(key, -dissimilarity(part)), pushed, part))
            pushed += 1
    labels = np.empty(len(features), dtype=np.int64)
    for number, (_, _, members) in enumerate(heap):
        labels[members] = number
    return labels, -heap[0][0]


def indexed(split: Split, groups: int, dim: int | None) -> CoarseToFineIndex:
    """The index of the gallery at a printed number of groups."""
    tree = SplitTree(split.gallery)
    labels = tree.labels(tree.threshold_for(in_proportion(groups, tree.n)))
    dim = None if dim is None else min(dim, *split.gallery.shape)
    return CoarseToFineIndex(split.gallery, labels, dim=dim, groups=K)


def pca_fit(dim: int) -> Prepare:
    """Fit the projection on the gallery."""

    def prepare(split: Split) -> Task:
        def task() -> Facts:
            fitted = PCA(min(dim, *split.gallery.shape)).fit(split.gallery)
            return {"variance kept": float(fitted.variances.sum())}

        return task

    return prepare


def one_at_a_time(groups: int, dim: int | None) -> Prepare:
    """Coarse-to-fine search of single queries, one thread."""
    return lambda split: single_task(indexed(split, groups, dim), split)


def single_task(index: CoarseToFineIndex, split: Split) -> Task:
    return timed_queries(split.query[:SINGLE], lambda query: index.search(query, K).reached)


def one_at_a_time_exhaustive(split: Split) -> Task:
    """Peer: single queries against every image: a product, the squared norms and a top k."""
    gallery = torch.from_numpy(split.gallery)
    norms = gallery.square().sum(1)

    def nearest(query: Features) -> int:
        distances = torch.addmv(norms, gallery, torch.from_numpy(query), alpha=-2)
        torch.topk(distances, min(K, len(gallery)), largest=False)
        return len(gallery)

    return timed_queries(split.query[:SINGLE], nearest)


def timed_queries(queries: Features, search: Callable[[Features], int]) -> Task:
    def task() -> Facts:
        with one_thread():
            seconds, reached = [], []
            for query in queries:
                begin = time.perf_counter()
                reached.append(search(query))
                seconds.append(time.perf_counter() - begin)
        return {
            "seconds: one query (median)": statistics.median(seconds),
            "seconds: one query (fastest)": min(seconds),
            "images reached": statistics.mean(reached),
        }

    return task


def batched(groups: int, dim: int | None) -> Prepare:
    """Coarse-to-fine search of all queries in one batch, all threads."""
    return lambda split: batched_task(indexed(split, groups, dim), split)


def batched_task(index: CoarseToFineIndex, split: Split) -> Task:
    def task() -> Facts:
        found = index.search(split.query, K)
        return {"images reached": float(np.mean(found.reached)), "queries": len(split.query)}

    return task


def batched_exhaustive(split: Split) -> Task:
    """The exact search of all queries in one batch, all threads."""

    def task() -> Facts:
        knn(split.query, split.gallery, min(K, len(split.gallery)))
        return {"images reached": float(len(split.gallery)), "queries": len(split.query)}

    return task


@contextmanager
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def best(task: Task, repeat: int) -> tuple[float, float, Facts]:
    """Best wall seconds and best CPU seconds of several runs, and what the last run told."""
    wall = cpu = float("inf")
    for _ in range(repeat):
        begin, used = time.perf_counter(), time.process_time()
        facts = task()
        wall = min(wall, time.perf_counter() - begin)
        cpu = min(cpu, time.process_time() - used)
    return wall, cpu, facts


def show(name: str, seconds: float, cpu: float | None, peer: float | None, note: str = "") -> None:
    used = f"{cpu:9.2f}" if cpu is not None else " " * 9
    ratio = f"{peer / seconds:8.1f}x" if peer else " " * 9
    print(f"{name:44}{seconds:11.5f}{used}{ratio}  {note}", flush=True)


def cluster_table(split: Split, repeat: int) -> None:
    tree, other = (SplitTree(split.gallery, precision=kind) for kind in ("bfloat16", "float32"))
    for printed in PRINTED:
        threshold = tree.threshold_for(in_proportion(printed, tree.n))
        same = np.array_equal(tree.labels(threshold), other.labels(threshold))
        peer, peer_cpu, facts = best(clustering_by_group(printed)(split), 1)
        show(
            f"peer: products by group, {printed}", peer, peer_cpu, None, f"{facts['groups']} groups"
        )
        wall, cpu, facts = best(clustering(printed)(split), repeat)
        note = f"{facts['groups']} groups, " + ("same groups" if same else "GROUPS DIFFER")
        show(f"TDC, {printed}", wall, cpu, peer, note)


def search_table(split: Split, repeat: int) -> None:
    median = "seconds: one query (median)"
    show("PCA to 128, fitted on the gallery", *best(pca_fit(128)(split), 1)[:2], None)
    alone = float(best(one_at_a_time_exhaustive(split), repeat)[2][median])
    show("one query: exhaustive, one thread", alone, None, None)
    together = best(batched_exhaustive(split), 1)[0] / len(split.query)
    show("a query of a batch: exact search", together, None, None)
    for groups in PRINTED:
        for dim in (128, 512, None):
            index = indexed(split, groups, dim)
            facts = best(single_task(index, split), repeat)[2]
            reached = f"{facts['images reached']:.0f} images reached"
            name = f"{groups} groups, {dim or split.gallery.shape[1]}-d"
            show(f"one query: {name}", float(facts[median]), None, alone, reached)
            seconds = best(batched_task(index, split), 1)[0] / len(split.query)
            show(f"a query of a batch: {name}", seconds, None, together)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=2, help="best of so many runs")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--part", choices=("clustering", "search", "both"), default="both")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    whole = simulate(SIZES["glad"])
    n_query = len(whole.query_ids)
    kept = np.r_[: min(options.queries, n_query), n_query : n_query + options.images]
    split = Split(
        whole.nodes[kept],
        whole.query_ids[: options.queries],
        whole.gallery_ids[: options.images],
        whole.query_cameras[: options.queries],
        whole.gallery_cameras[: options.images],
    )
    del whole
    print(
        f"{len(split.query)} queries, {len(split.gallery)} images x {split.gallery.shape[1]}, "
        f"{options.threads} threads, best of {options.repeat}"
    )
    print(f"{'':44}{'seconds':>11}{'CPU':>9}{'to peer':>9}")
    clustering(100)(simulate(SIZES["small"]))()  # compiles
    if options.part != "search":
        cluster_table(split, options.repeat)
    if options.part != "clustering":
        search_table(split, options.repeat)


if __name__ == "__main__":
    main()
