"""Phase `metrics`, many settings of one re-ranker at once: the points of a paper's sweeps.

One job scores every point of every sweep of a paper on one run's features, which are read once. The
per-query values of a sweep have the columns of a single ranking's, and `point`.
"""

from __future__ import annotations

import time
from pathlib import Path

import pandas as pd
import torch

from reid_repro.files import write_json, write_parquet
from reid_repro.paths import per_query_file, sweep_file
from reid_repro.phases.inputs import Inputs, summed
from reid_repro.phases.metrics import (
    added,
    described,
    phases_of,
    provenance,
    reranker_of,
    rounded,
)
from reid_repro.plan import Plan
from reid_repro.rows import points_of


def run(plan: Plan, paper: str, name: str, subset: str, results: Path, *, threads: int = 0) -> None:
    """Score every sweep of a paper on one run: metrics JSON and per-query values of each."""
    if threads:
        torch.set_num_threads(threads)
    swept = plan.paper(paper).sweeps
    inputs = Inputs.read(name, subset, results)
    for sweep in swept:
        _score(plan, paper, sweep, inputs, results)


def _score(plan: Plan, paper: str, sweep: str, inputs: Inputs, results: Path) -> None:
    settings = points_of(plan, paper, sweep, inputs.run.dataset)
    points, frames = {}, []
    for point, ranking in settings.items():
        evaluations, times = [], []
        for trial in inputs.trials:
            reranker = reranker_of(ranking, trial.gallery.shape)
            began = time.perf_counter()
            evaluations.append(inputs.evaluate(trial, reranker))
            times.append(phases_of(reranker.timings, time.perf_counter() - began))
        points[point] = {
            **described(ranking),
            **summed(evaluations),
            "seconds": rounded(added(times)),
        }
        frames.append(inputs.per_query(evaluations).assign(point=point))
    out = sweep_file(results, paper, sweep, inputs.run, inputs.subset)
    write_parquet(per_query_file(out), pd.concat(frames, ignore_index=True))
    write_json(
        out,
        {
            "paper": paper,
            "sweep": sweep,
            **inputs.facts(plan),
            "points": points,
            "seconds": {"total": round(sum(p["seconds"]["total"] for p in points.values()), 4)},
            **provenance(plan, inputs.file, out),
        },
    )
