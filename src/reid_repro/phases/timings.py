"""Phase `metrics`, its times: methods on simulated features of the papers' printed sizes.

What a method takes at a size needs no images (`retrieval.simulation`). Every time is one wall-clock
measurement of a warm process; the load of the machine when it began is written beside it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reid_repro import devices
from reid_repro.errors import UserError
from reid_repro.files import write_json
from reid_repro.methods import Ranking, written
from reid_repro.paper import ReRankingTiming
from reid_repro.paths import timing_file
from reid_repro.phases import timings_of_groups
from reid_repro.phases.metrics import reranker_of, rounded
from reid_repro.plan import Plan
from reid_repro.retrieval import knn
from reid_repro.retrieval.distances import FeatureSpace, default_block
from reid_repro.retrieval.products import WORTH_PROBING, Precision, product_for
from reid_repro.retrieval.search import neighbours
from reid_repro.retrieval.simulation import SIZES, Size, Split, simulate
from reid_repro.rows import methods_of

# Methods run on these parts of a small size before the clock starts: in a graph of many images rows
# stay sparse, in one of few they fill up, which takes other loops.
WARM = (2, 12)


def run(plan: Plan, paper: str, timing: str, results: Path, *, threads: int = 0) -> None:
    """Measure a timing of `workflow/papers/{paper}.yaml` and write its JSON."""
    if threads:
        torch.set_num_threads(threads)
    settings = plan.papers[paper].timings.get(timing) if paper in plan.papers else None
    if settings is None:
        raise UserError(f"no timing '{timing}' of paper '{paper}' in workflow/papers")
    load = os.getloadavg()[0]
    scale = plan.config.timings
    if isinstance(settings, ReRankingTiming):
        sizes = {str(name): shrunk(SIZES[name], scale.shrink) for name in settings.sizes}
        methods = {name: methods_of(plan, paper, timing, name) for name in sizes}
        entries = list(_reranking(methods, sizes, scale.seed))
    else:
        sizes = {settings.size: shrunk(SIZES[settings.size], scale.shrink)}
        split = simulate(sizes[settings.size], scale.seed, threads=torch.get_num_threads())
        entries = timings_of_groups.measure(settings, split, scale.shrink)
    write_json(
        timing_file(results, paper, timing),
        {
            "paper": paper,
            "timing": timing,
            "measure": settings.measure,
            "scale": plan.config.scale,
            "shrink": scale.shrink,
            "seed": scale.seed,
            "sizes": {name: counts(size) for name, size in sizes.items()},
            "entries": entries,
            "threads": torch.get_num_threads(),
            "load": round(load, 2),
            "peak_memory_mib": devices.peak_memory_mib(),
            "config_digest": plan.digest,
            **devices.commit(),
            "versions": devices.versions(),
            "machine": devices.machine(),
            "command": plan.command(timing_file(Path("results"), paper, timing).as_posix()),
        },
    )


def shrunk(size: Size, by: int) -> Size:
    """The size with its images divided by `by`, for a quick try; identities follow the images."""
    if by == 1:
        return size
    names = ("queries", "matches", "identities", "distractors", "junk", "strangers")
    least = {"queries": 2, "matches": 2, "identities": 2}
    values = {name: max(getattr(size, name) // by, least.get(name, 0)) for name in names}
    if values["distractors"] + values["junk"]:
        values["strangers"] = max(values["strangers"], 1)
    return replace(size, **values)


def counts(size: Size) -> dict[str, int | float]:
    """What a size is made of, with its gallery as a whole."""
    return {**asdict(size), "gallery": size.gallery}


def _reranking(
    methods: Mapping[str, Mapping[str, Ranking]], sizes: Mapping[str, Size], seed: int
) -> Iterator[dict[str, Any]]:
    """One entry a size, platform and method."""
    platforms = {"CPU": "cpu"} | ({"GPU": "cuda"} if torch.cuda.is_available() else {})
    warm_up(methods, platforms.values())
    for name, size in sizes.items():
        split = simulate(size, seed, threads=torch.get_num_threads())
        for platform, device in platforms.items():
            query, gallery = _resident(split, device)
            for method, ranking in methods[name].items():
                seconds = rounded(_timed(ranking, query, gallery))
                print(f"{name}: {ranking.title} on {platform}: {seconds['total']:.2f} s")
                yield {
                    "size": name,
                    "of": method,
                    "platform": platform,
                    "options": written(ranking),
                    "seconds": seconds,
                }
        del split, query, gallery  # before the next size is drawn


def warm_up(methods: Mapping[str, Mapping[str, Ranking]], devices: Iterable[str]) -> None:
    """Load, or compile, all that the methods run, and let large searches choose their product."""
    product = product_for("auto", torch.device("cpu"), WORTH_PROBING)
    each = {name: ranking for of in methods.values() for name, ranking in of.items()}
    most, *_ = splits = [simulate(shrunk(SIZES["small"], by)) for by in WARM]
    _warm_searches(most, "bfloat16" if product == "bfloat16" else "float32")
    for split in splits:
        for device in devices:
            for ranking in each.values():
                _timed(ranking, *_resident(split, device))


def _warm_searches(split: Split, precision: Precision) -> None:
    """The searches of large sizes, in several tiles and in the product that they take there."""
    knn(split.query, split.gallery, 10, precision=precision)
    space, half = FeatureSpace(split.nodes, split.nodes, "euclidean"), len(split.nodes) // 2
    neighbours(space, 10, block=half, self_match="first", farthest=True, precision=precision)


def _resident(split: Split, device: str) -> tuple[Tensor, Tensor]:
    """Query and gallery features, two views of one tensor on the device."""
    nodes = torch.from_numpy(split.nodes).to(device)
    return nodes[: len(split.query_ids)], nodes[len(split.query_ids) :]


def _timed(ranking: Ranking, query: Tensor, gallery: Tensor) -> dict[str, float]:
    """Seconds by phase and in total: fit, then every distance row, block by block."""
    reranker = reranker_of(ranking, (gallery.shape[0], gallery.shape[1]))

    def rank() -> None:
        reranker.fit(query, gallery)
        step = default_block(len(gallery))
        for start in range(0, len(query), step):
            reranker.distances(start, min(start + step, len(query)))

    total = wall(rank, on_gpu=query.is_cuda)
    return {**reranker.timings, "total": total}


def wall(work: Callable[[], None], *, on_gpu: bool = False) -> float:
    """Wall time of `work` in seconds; what a GPU still does is waited for on both sides."""
    if on_gpu:
        torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    if on_gpu:
        torch.cuda.synchronize()
    return time.perf_counter() - began
