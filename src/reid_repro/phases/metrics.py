"""Phase `metrics`: features are ranked, re-ranked and scored."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from reid_repro import devices
from reid_repro.config import ReRankerConfig
from reid_repro.errors import UserError
from reid_repro.files import read_json, read_parquet, sha256, write_json, write_parquet
from reid_repro.paths import metrics_file, per_query_file
from reid_repro.phases.rankings import FirstRanks, Recorder, record_nearest
from reid_repro.plan import Plan, Run
from reid_repro.retrieval import rerank
from reid_repro.retrieval.metrics import Evaluation, evaluate

SHOWN = 10


def run(
    plan: Plan, name: str, subset: str, reranker: str, results: Path, *, threads: int = 0
) -> None:
    """Score one ranking of one run: metrics JSON, per-query values, the first ranks."""
    if threads:
        torch.set_num_threads(threads)
    settings = plan.config.rerankers.get(reranker)
    if settings is None:
        known = ", ".join(plan.config.rerankers)
        raise UserError(f"unknown re-ranker '{reranker}'; known: {known}")
    run_ = Run.parse(name)
    features_file = results / "features" / name / f"{subset}.npy"
    features, rows = _features(features_file)
    facts = read_json(results / "data" / run_.dataset / "dataset.json")
    protocol = facts["protocol"]
    where = f"run {name}, subset {subset}"
    evaluation, ranking, seconds = _score(features, rows, protocol, settings, where)
    out = metrics_file(results, run_, subset, reranker)
    write_parquet(results / "rankings" / name / subset / f"{reranker}.parquet", ranking)
    query = rows[rows["role"] == "query"].reset_index(drop=True)
    write_parquet(per_query_file(out), _per_query(evaluation, query))
    write_json(
        out,
        {
            "run": name,
            "subset": subset,
            "reranker": reranker,
            "title": settings.title,
            "method": settings.method,
            "options": settings.options,
            "scale": plan.config.scale,
            "dataset": run_.dataset,
            "seed": run_.seed,
            **evaluation.to_dict(),
            "trials": protocol["repeats"] if protocol["single_gallery_shot"] else 1,
            "n_gallery": len(rows) - len(query),
            "seconds": {phase: round(value, 4) for phase, value in seconds.items()},
            "peak_memory_mib": devices.peak_memory_mib(),
            "config_digest": plan.digest,
            **devices.commit(),
            "versions": devices.versions(),
            "machine": devices.machine(),
            "features_hash": sha256(features_file),
            "command": plan.command(out.as_posix()),
        },
    )


def _features(file: Path) -> tuple[np.ndarray, pd.DataFrame]:
    try:
        features = np.load(file)
    except (OSError, ValueError, EOFError):
        raise UserError(f"{file}: missing or damaged; delete it and run again") from None
    rows = read_parquet(file.with_suffix(".parquet"))
    if len(rows) != len(features):
        raise UserError(f"{file}: {len(features)} rows, its row order has {len(rows)}")
    return features, rows


def _score(
    features: np.ndarray,
    rows: pd.DataFrame,
    protocol: dict[str, Any],
    settings: ReRankerConfig,
    where: str,
) -> tuple[Evaluation, pd.DataFrame, dict[str, float]]:
    """The evaluation, the first ranks of every query, and seconds by phase.

    `total` is the wall time of ranking and scoring, the sum of the phases before it. Keeping the
    ranked lists for the report is no part of a method's cost: `recording` stands outside.
    """
    is_query = (rows["role"] == "query").to_numpy()
    query, gallery = rows[is_query], rows[~is_query]
    first = FirstRanks(query, gallery, remove=protocol["same_camera"] == "remove", shown=SHOWN)
    recorder = None if settings.method == "none" else Recorder(_reranker(settings), first)
    began = time.perf_counter()
    try:
        evaluation = evaluate(
            features[is_query],
            features[~is_query],
            query["identity"].to_numpy(),
            gallery["identity"].to_numpy(),
            query["camera"].to_numpy(),
            gallery["camera"].to_numpy(),
            ap=protocol["ap"],
            same_camera=protocol["same_camera"],
            single_gallery_shot=protocol["single_gallery_shot"],
            repeats=protocol["repeats"],
            reranker=recorder,
        )
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error
    wall = time.perf_counter() - began
    if recorder is None:
        began = time.perf_counter()
        record_nearest(features[is_query], features[~is_query], gallery, first, shown=SHOWN)
        recording = time.perf_counter() - began
        # The exact distances stream through the scorer: the two cannot be told apart.
        seconds = {"ranking and scoring": wall, "total": wall}
    else:
        recording, phases = recorder.recording, dict(recorder.timings)
        total = wall - recording
        seconds = phases | {"scoring": total - sum(phases.values()), "total": total}
    return evaluation, first.table(), seconds | {"recording": recording}


def _reranker(settings: ReRankerConfig) -> rerank.Reranker:
    try:
        reranker: rerank.Reranker = getattr(rerank, settings.method)(**settings.options)
    except (TypeError, ValueError) as error:
        raise UserError(f"re-ranker {settings.method}: {error}") from None
    return reranker


def _per_query(evaluation: Evaluation, query: pd.DataFrame) -> pd.DataFrame:
    """One row a valid query: its row in images.parquet, identity, AP, rank of the first match.

    Over repeated draws AP and rank are means, and `hits` lists the share of the draws whose first
    match is at rank 1, 2 and so on or better (`ledger.tables.hit_share`).
    """
    valid = query.iloc[evaluation.query]
    single = evaluation.hits is None
    frame = pd.DataFrame(
        {
            "query": valid["image"].to_numpy(np.int32),
            "identity": valid["identity"].to_numpy(np.int32),
            "AP": evaluation.ap.astype(np.float32),
            "first_hit": evaluation.first_hit.astype(np.int32 if single else np.float32),
        }
    )
    if evaluation.hits is not None:
        frame["hits"] = list(evaluation.hits)
    return frame
