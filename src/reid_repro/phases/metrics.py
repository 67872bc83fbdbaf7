"""Phase `metrics`: features are ranked, re-ranked and scored."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import torch

from reid_repro import devices
from reid_repro.errors import UserError
from reid_repro.files import read_json, read_parquet, sha256, write_json, write_parquet
from reid_repro.methods import CoarseToFineOptions, Ranking, written
from reid_repro.paths import metrics_file, per_query_file
from reid_repro.phases.rankings import FirstRanks, Recorder, record_nearest
from reid_repro.plan import Plan, Run
from reid_repro.retrieval import rerank
from reid_repro.retrieval.metrics import Evaluation, evaluate

SHOWN = 10
DIMENSIONS = CoarseToFineOptions().dim


@dataclass(frozen=True)
class Inputs:
    """The features of one run's subset, row by row with their labels, and the protocol."""

    run: Run
    subset: str
    file: Path
    features: np.ndarray
    rows: pd.DataFrame
    protocol: dict[str, Any]

    @classmethod
    def read(cls, name: str, subset: str, results: Path) -> Inputs:
        """From what the phases before wrote; UserError names a missing or damaged file."""
        run = Run.parse(name)
        file = results / "features" / name / f"{subset}.npy"
        try:
            features = np.load(file)
        except (OSError, ValueError, EOFError):
            raise UserError(f"{file}: missing or damaged; delete it and run again") from None
        rows = read_parquet(file.with_suffix(".parquet"))
        if len(rows) != len(features):
            raise UserError(f"{file}: {len(features)} rows, its row order has {len(rows)}")
        facts = read_json(results / "data" / run.dataset / "dataset.json")
        return cls(run, subset, file, features, rows, facts["protocol"])

    @property
    def is_query(self) -> np.ndarray:
        """Which rows are queries, (n,) bool."""
        return np.asarray(self.rows["role"] == "query")

    @property
    def query(self) -> pd.DataFrame:
        """The labels of the queries."""
        return self.rows[self.is_query]

    @property
    def gallery(self) -> pd.DataFrame:
        """The labels of the gallery."""
        return self.rows[~self.is_query]

    @property
    def gallery_shape(self) -> tuple[int, int]:
        """Gallery images and dimensions of a feature."""
        return int((~self.is_query).sum()), self.features.shape[1]

    def evaluate(self, reranker: rerank.Reranker | None) -> Evaluation:
        """Rank and score; UserError names run and subset where that cannot be done."""
        query, gallery = self.query, self.gallery
        try:
            return evaluate(
                self.features[self.is_query],
                self.features[~self.is_query],
                query["identity"].to_numpy(),
                gallery["identity"].to_numpy(),
                query["camera"].to_numpy(),
                gallery["camera"].to_numpy(),
                ap=self.protocol["ap"],
                same_camera=self.protocol["same_camera"],
                single_gallery_shot=self.protocol["single_gallery_shot"],
                repeats=self.protocol["repeats"],
                reranker=reranker,
            )
        except ValueError as error:
            raise UserError(f"run {self.run}, subset {self.subset}: {error}") from error

    def per_query(self, evaluation: Evaluation) -> pd.DataFrame:
        """One row a valid query: its row in images.parquet, identity, AP, rank of the first match.

        Over repeated draws AP and rank are means, and `hits` lists the share of the draws whose
        first match is at rank 1, 2 and so on or better (`ledger.tables.hit_share`).
        """
        valid = self.query.iloc[evaluation.query]
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

    def facts(self, plan: Plan) -> dict[str, Any]:
        """What every metrics file says of where its numbers hold."""
        protocol = self.protocol
        return {
            "run": str(self.run),
            "subset": self.subset,
            "scale": plan.config.scale,
            "dataset": self.run.dataset,
            "seed": self.run.seed,
            "trials": protocol["repeats"] if protocol["single_gallery_shot"] else 1,
            "n_gallery": int((~self.is_query).sum()),
        }


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
    """Score one ranking and write what it gives."""
    settings, subset = plan.config.rerankers[reranker], inputs.subset
    evaluation, ranking, seconds = _score(inputs, settings)
    out = metrics_file(results, inputs.run, subset, reranker)
    first = results / "rankings" / str(inputs.run) / subset / f"{reranker}.parquet"
    write_parquet(first, ranking)
    write_parquet(per_query_file(out), inputs.per_query(evaluation))
    write_json(
        out,
        {
            **inputs.facts(plan),
            "reranker": reranker,
            **described(settings),
            **evaluation.to_dict(),
            "seconds": rounded(seconds),
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


def _score(inputs: Inputs, settings: Ranking) -> tuple[Evaluation, pd.DataFrame, dict[str, float]]:
    """The evaluation, the first ranks of every query, and seconds by phase.

    `total` is the wall time of ranking and scoring, the sum of the phases before it. Keeping the
    ranked lists for the report is no part of a method's cost: `recording` stands outside.
    """
    query, gallery = inputs.query, inputs.gallery
    remove = inputs.protocol["same_camera"] == "remove"
    first = FirstRanks(query, gallery, remove=remove, shown=SHOWN)
    recorder = (
        None
        if settings.method == "none"
        else Recorder(reranker_of(settings, inputs.gallery_shape), first)
    )
    began = time.perf_counter()
    evaluation = inputs.evaluate(recorder)
    wall = time.perf_counter() - began
    if recorder is None:
        began = time.perf_counter()
        features, is_query = inputs.features, inputs.is_query
        record_nearest(features[is_query], features[~is_query], gallery, first, shown=SHOWN)
        recording = time.perf_counter() - began
        # The exact distances stream through the scorer: the two cannot be told apart.
        seconds = {"ranking and scoring": wall, "total": wall}
    else:
        recording = recorder.recording
        seconds = phases_of(recorder.timings, wall - recording)
    return evaluation, first.table(), seconds | {"recording": recording}


def phases_of(timings: Mapping[str, float], total: float) -> dict[str, float]:
    """A re-ranker's phases, what is left of the total for scoring, and the total."""
    return {**timings, "scoring": total - sum(timings.values()), "total": total}
