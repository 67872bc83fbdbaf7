"""Phase `metrics`: features are ranked, re-ranked and scored."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import torch

from reid_repro import devices
from reid_repro.errors import UserError
from reid_repro.files import sha256, write_json, write_parquet
from reid_repro.methods import CoarseToFineOptions, Ranking, written
from reid_repro.paths import metrics_file, per_query_file
from reid_repro.phases.inputs import Inputs, Trial, summed
from reid_repro.phases.rankings import FirstRanks, Recorder, record_nearest
from reid_repro.plan import Plan
from reid_repro.retrieval import rerank
from reid_repro.retrieval.metrics import Evaluation
from reid_repro.rows import reranker_on

SHOWN = 10
DIMENSIONS = CoarseToFineOptions().dim


def run(
    plan: Plan,
    name: str,
    subset: str,
    rerankers: Sequence[str],
    results: Path,
    *,
    threads: int = 0,
) -> None:
    """Score rankings of one run, each: metrics JSON, per-query values, the first ranks."""
    if threads:
        torch.set_num_threads(threads)
    for reranker in rerankers:
        if reranker not in plan.config.rerankers:
            known = ", ".join(plan.config.rerankers)
            raise UserError(f"unknown re-ranker '{reranker}'; known: {known}")
    inputs = Inputs.read(name, subset, results)
    for reranker in rerankers:
        _rank(plan, inputs, reranker, results)


def _rank(plan: Plan, inputs: Inputs, reranker: str, results: Path) -> None:
    """Score one ranking and write what it gives; the first ranks are those of the first trial."""
    settings, subset = reranker_on(plan, reranker, inputs.run.dataset), inputs.subset
    evaluations, rankings, times = zip(
        *(_score(inputs, trial, settings) for trial in inputs.trials), strict=True
    )
    out = metrics_file(results, inputs.run, subset, reranker)
    first = results / "rankings" / str(inputs.run) / subset / f"{reranker}.parquet"
    write_parquet(first, rankings[0])
    write_parquet(per_query_file(out), inputs.per_query(evaluations))
    write_json(
        out,
        {
            **inputs.facts(plan),
            "reranker": reranker,
            **described(settings),
            **summed(evaluations),
            "seconds": rounded(added(times)),
            **provenance(plan, inputs.file, out),
        },
    )


def described(settings: Ranking) -> dict[str, Any]:
    """Title, method and options of a ranking, as the configuration states them."""
    return {"title": settings.title, "method": settings.method, "options": written(settings)}


def rounded(seconds: Mapping[str, float]) -> dict[str, float]:
    """Seconds by phase, to a tenth of a millisecond."""
    return {phase: round(value, 4) for phase, value in seconds.items()}


def provenance(plan: Plan, features: Path, out: Path) -> dict[str, Any]:
    """Where and from what a metrics file was made."""
    return {
        "peak_memory_mib": devices.peak_memory_mib(),
        "config_digest": plan.digest,
        **devices.commit(),
        "versions": devices.versions(),
        "machine": devices.machine(),
        "features_hash": sha256(features),
        "command": plan.command(out.as_posix()),
    }


def reranker_of(settings: Ranking, gallery: tuple[int, int]) -> rerank.Reranker:
    """The re-ranker of a configuration's entry, for gallery features of shape (g, d)."""
    options: dict[str, Any] = dict(written(settings))
    room: ModuleType = rerank
    if settings.method == "CoarseToFine":
        from reid_repro.retrieval import groups  # half a second that no other method needs

        room, share = groups, options.pop("share", None)
        if share is not None:
            options["n_groups"] = max(1, round(share * gallery[0]))
        options["dim"] = coarse_dimensions(options.get("dim", DIMENSIONS), gallery)
    try:
        reranker: rerank.Reranker = getattr(room, settings.method)(**options)
    except (TypeError, ValueError) as error:
        raise UserError(f"re-ranker {settings.method}: {error}") from None
    return reranker


def coarse_dimensions(wanted: int | None, gallery: tuple[int, int]) -> int | None:
    """The dimensions of a coarse search, clipped to what features (g, d) have; None: all d."""
    if wanted is None or wanted >= gallery[1]:
        return None
    return min(wanted, gallery[0])


def _score(
    inputs: Inputs, trial: Trial, settings: Ranking
) -> tuple[Evaluation, pd.DataFrame, dict[str, float]]:
    """The evaluation, the first ranks of every query, and seconds by phase.

    `total` is the wall time of ranking and scoring, the sum of the phases before it. Keeping the
    ranked lists for the report is no part of a method's cost: `recording` stands outside.
    """
    query, gallery = trial.rows_of_query, trial.rows_of_gallery
    remove = inputs.protocol["same_camera"] == "remove"
    first = FirstRanks(query, gallery, remove=remove, shown=SHOWN, judgements=trial.judgements)
    recorder = (
        None
        if settings.method == "none"
        else Recorder(reranker_of(settings, trial.gallery.shape), first)
    )
    began = time.perf_counter()
    evaluation = inputs.evaluate(trial, recorder)
    wall = time.perf_counter() - began
    if recorder is None:
        began = time.perf_counter()
        record_nearest(trial.query, trial.gallery, first, shown=SHOWN)
        recording = time.perf_counter() - began
        # The exact distances stream through the scorer: the two cannot be told apart.
        seconds = {"ranking and scoring": wall, "total": wall}
    else:
        recording = recorder.recording
        seconds = phases_of(recorder.timings, wall - recording)
    return evaluation, first.table(), seconds | {"recording": recording}


def added(times: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Seconds by phase of all trials together."""
    return {phase: sum(each[phase] for each in times) for phase in times[0]}


def phases_of(timings: Mapping[str, float], total: float) -> dict[str, float]:
    """A re-ranker's phases, what is left of the total for scoring, and the total."""
    return {**timings, "scoring": total - sum(timings.values()), "total": total}
