"""Made-up results of the real workflow, for the tests of evidence and verdicts.

Every planned ranking gets per-query values around a wanted mean, files as the phases write them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reid_repro.files import write_json, write_parquet
from reid_repro.ledger.cells import CellSource
from reid_repro.ledger.sources import point_sources, sources
from reid_repro.paths import metrics_file, per_query_file, sweep_file, timing_file
from reid_repro.plan import Plan, Run

IDENTITIES, QUERIES = 20, 4  # an identity
# The mean AP of a ranking, from its source and seed.
Wanted = Callable[[CellSource, int], float]


def per_query(mean: float, seed: int = 0, spread: float = 0.02) -> pd.DataFrame:
    """Values of 80 queries of 20 identities whose mean AP is `mean`, whatever the seed."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, spread, IDENTITIES * QUERIES)
    values = np.clip(mean + noise - noise.mean(), 0, 1)
    hits = np.where(np.arange(len(values)) < mean * len(values), 1, 7)
    return pd.DataFrame(
        {
            "query": np.arange(len(values), dtype=np.int32),
            "identity": np.repeat(np.arange(1, IDENTITIES + 1), QUERIES).astype(np.int32),
            "AP": values,
            "first_hit": hits.astype(np.int32),
        }
    )


def write_ranking(file: Path, frame: pd.DataFrame) -> None:
    """A metrics file and the per-query values beside it."""
    count = {"n_query": len(frame), "n_valid": len(frame)}
    write_json(file, {"mAP": float(frame["AP"].mean()), **count})
    write_parquet(per_query_file(file), frame)


def write_rankings(plan: Plan, paper: str, results: Path, wanted: Wanted) -> None:
    """Every ranking that the paper's cells and points of figures are planned to read."""
    found = [*sources(plan, paper).values(), *point_sources(plan, paper).values()]
    planned = {
        (s.run, s.ranking, s.dataset, s.subset): s
        for s in found
        if s.kind == "ranking" and s.planned
    }
    swept: dict[Path, dict[str, pd.DataFrame]] = {}
    for source in planned.values():
        other, variant = source.run.split("/")
        for seed in plan.config.seeds:
            run = Run(other, variant, source.dataset, seed)
            frame = per_query(wanted(source, seed), seed=hash_of(source, seed))
            sweep, _, point = source.ranking.partition(".")
            if point:
                file = sweep_file(results, paper, sweep, run, source.subset)
                swept.setdefault(file, {})[point] = frame
            else:
                file = metrics_file(results, run, source.subset, source.ranking)
                write_ranking(file, frame)
    for file, points in swept.items():
        write_json(file, {"points": {name: {} for name in points}})
        frames = [frame.assign(point=name) for name, frame in points.items()]
        write_parquet(per_query_file(file), pd.concat(frames, ignore_index=True))


def hash_of(source: CellSource, seed: int) -> int:
    """A number for the noise of a ranking: the same in every test run."""
    text = "|".join((source.run, source.ranking, source.dataset, source.subset, str(seed)))
    return sum(place * byte for place, byte in enumerate(text.encode(), 1))


def write_times(
    plan: Plan, paper: str, timing: str, results: Path, seconds: Callable[[str, str], float]
) -> None:
    """The times of a timing on the CPU, from the size and the method's name."""
    settings = plan.papers[paper].timings[timing]
    sizes = settings.sizes if settings.measure == "reranking" else (settings.size,)
    names = settings.methods if settings.measure == "reranking" else settings.points
    entries = [
        {
            "size": size,
            "of": name,
            "platform": "CPU",
            "groups": 9 + len(name),
            "dim": 4,
            "seconds": _phases(seconds(size, name)),
        }
        for size in sizes
        for name in names
    ]
    size = {"queries": 9, "gallery": 99, "dim": 4}
    content: dict[str, Any] = {
        "scale": plan.config.scale,
        "shrink": 1,
        "sizes": dict.fromkeys(sizes, size),
        "entries": entries,
    }
    write_json(timing_file(results, paper, timing), content)


def _phases(total: float) -> dict[str, float]:
    names = ("neighbours", "encoding", "graph", "jaccard", "expansion", "distances")
    return {**dict.fromkeys(names, total / 8), "total": total, "single": total, "batch": total}


def write_measures(
    results: Path, paper: str, dataset: str, points: Mapping[tuple[str, str, str], list[float]]
) -> None:
    """Measures by (figure, *key): several values are items, one identity each; one is a cost."""
    rows = []
    for (figure, *key), values in points.items():
        single = len(values) == 1
        rows += [
            {
                "figure": figure,
                "key": json.dumps(key),
                "item": -1 if single else place,
                "identity": -1 if single else place,
                "value": value,
                "what": "made up",
            }
            for place, value in enumerate(values)
        ]
    file = results / "measures" / paper / f"{dataset}.parquet"
    write_parquet(file, pd.DataFrame(rows))
    write_json(file.with_suffix(".json"), {"left_out": [{"figure": "A.9", "reason": "no views"}]})
