"""Tables of one paper in long form: one row a (variant, ranking, dataset, metric).

With several seeds the value is the mean over them, the interval that of the per-query means,
`seed_sd` the standard deviation over seeds and `draw_sd` that over drawn galleries.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from reid_repro.config import StatisticsConfig
from reid_repro.errors import UserError
from reid_repro.files import read_json, read_parquet
from reid_repro.ledger.statistics import identity_bootstrap
from reid_repro.paths import metrics_file, per_query_file, sweep_file
from reid_repro.plan import Plan, Run
from reid_repro.rows import rows_of

__all__ = [
    "Reader",
    "Scores",
    "cells",
    "hit_share",
    "metrics_file",
    "per_query_file",
    "read_scores",
    "retrieval_table",
    "summarise",
]

COLUMNS = [
    *("variant", "variant_title", "reranker", "reranker_title", "dataset", "subset", "metric"),
    *("value", "low", "high", "level", "seeds", "seed_sd", "draw_sd"),
    *("n_query", "n_valid", "scale"),
]


@dataclass(frozen=True)
class Scores:
    """What one ranking of one run scored: the summary and the per-query values."""

    file: Path
    facts: dict[str, Any]
    per_query: pd.DataFrame


def retrieval_table(plan: Plan, paper: str, table: str, results: Path) -> pd.DataFrame:
    """The rows of a table or figure of `workflow/papers/{paper}.yaml`, from the metrics files."""
    shown = rows_of(plan, paper, table)
    settings = plan.papers[paper]
    figure = settings.figures.get(table)
    metrics = (figure.metric,) if figure else settings.tables[table].metrics
    read = Reader(results)
    rows: list[dict[str, Any]] = []
    datasets = plan.datasets_of_table(paper, table)
    tested = [(name, subset) for name in datasets for subset in plan.subsets(name)]
    for dataset, subset in tested:
        for row in shown:
            runs = plan.runs_of_variant(row.paper, row.variant, [dataset])
            if not runs:
                continue
            common = {
                "variant": row.name,
                "variant_title": row.variant_title,
                "reranker": row.ranking,
                "reranker_title": row.title,
                "dataset": dataset,
                "subset": subset,
                "seeds": " ".join(str(seed) for seed in plan.config.seeds),
                "scale": plan.config.scale,
            }
            scores = [read.ranking(paper, run, subset, row.ranking) for run in runs]
            rows += [common | cell for cell in cells(scores, metrics, plan.config.statistics)]
    return pd.DataFrame(rows)[COLUMNS]


class Reader:
    """Reads rankings' scores; a sweep's files, which hold many rankings, once."""

    def __init__(self, results: Path) -> None:
        self._results = results
        self._sweeps: dict[Path, tuple[dict[str, Any], pd.DataFrame]] = {}

    def ranking(self, paper: str, run: Run, subset: str, ranking: str) -> Scores:
        """The scores of RERANKER, or of SWEEP.POINT where the sweep is one of `paper`."""
        sweep, _, point = ranking.partition(".")
        if not point:
            return read_scores(metrics_file(self._results, run, subset, ranking))
        file = sweep_file(self._results, paper, sweep, run, subset)
        if file not in self._sweeps:
            self._sweeps[file] = read_json(file), read_parquet(per_query_file(file))
        facts, per_query = self._sweeps[file]
        if point not in facts["points"]:
            raise UserError(f"{file}: no point '{point}'; delete it and run again")
        of_point = per_query[per_query["point"] == point].reset_index(drop=True)
        return Scores(file, facts["points"][point], of_point)


def read_scores(file: Path) -> Scores:
    """A metrics file and the per-query values beside it."""
    return Scores(file, read_json(file), read_parquet(per_query_file(file)))


def summarise(
    files: list[Path], metrics: tuple[str, ...], statistics: StatisticsConfig
) -> list[dict[str, Any]]:
    """One cell a metric over the metrics files of several seeds of one ranking."""
    return cells([read_scores(file) for file in files], metrics, statistics)


def cells(
    scores: list[Scores], metrics: tuple[str, ...], statistics: StatisticsConfig
) -> list[dict[str, Any]]:
    """One cell a metric over the scores of several seeds of one ranking."""
    queries = [one.per_query for one in scores]
    for one in scores:
        if not one.per_query["query"].equals(queries[0]["query"]):
            raise UserError(
                f"{one.file}: other queries than in {scores[0].file}; delete both and run again"
            )
    # (n_query, m): the mean over seeds of each query's value
    values = np.mean([_columns(frame, metrics) for frame in queries], axis=0)
    low, high = identity_bootstrap(
        values,
        queries[0]["identity"].to_numpy(),
        resamples=statistics.resamples,
        level=statistics.level,
        seed=statistics.seed,
    )
    spread = [_columns(frame, metrics).mean(axis=0) for frame in queries]
    return [
        {
            "metric": metric,
            "value": round(float(values[:, number].mean()), 6),
            "low": round(float(low[number]), 6),
            "high": round(float(high[number]), 6),
            "level": statistics.level,
            "seed_sd": _deviation([float(row[number]) for row in spread]),
            "draw_sd": _draw_sd(scores[0].facts, metric),
            "n_query": scores[0].facts["n_query"],
            "n_valid": scores[0].facts["n_valid"],
        }
        for number, metric in enumerate(metrics)
    ]


def hit_share(queries: pd.DataFrame, ranks: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Share of the draws in which each query's first match is at rank r or better: (n_query, r).

    `queries` holds per-query values and `ranks` (r,) integers from 1. One ranking answers 0 or 1
    (column `first_hit`). Over repeated single-gallery-shot draws the shares come from the column
    `hits`: `first_hit` is then a mean rank, and its threshold is not the mean of thresholds. The
    mean over the queries is the CMC in either case.

    Raises:
        UserError: a rank beyond those that `hits` holds, or a mean `first_hit` without `hits`.
    """
    wanted = np.atleast_1d(np.asarray(ranks, dtype=np.int64))
    if "hits" not in queries:
        first = queries["first_hit"].to_numpy()
        if first.dtype.kind == "f":
            raise UserError(
                "per-query values of repeated draws have no column 'hits'; run 'metrics' again"
            )
        return np.asarray(first[:, None] <= wanted, dtype=np.float64)
    hits = np.stack(queries["hits"].to_list()).astype(np.float64)
    if wanted.max() > hits.shape[1]:
        raise UserError(
            f"R{wanted.max()}: with repeated draws the per-query values end at rank {hits.shape[1]}"
        )
    return np.asarray(hits[:, wanted - 1])


def _columns(queries: pd.DataFrame, metrics: tuple[str, ...]) -> npt.NDArray[np.float64]:
    """Per-query values (n_query, m) of mAP and R{rank}."""
    columns = []
    for metric in metrics:
        if metric == "mAP":
            columns.append(queries["AP"].to_numpy(np.float64))
        elif metric.startswith("R") and metric[1:].isdecimal():
            columns.append(hit_share(queries, int(metric[1:]))[:, 0])
        else:
            raise UserError(f"unknown metric '{metric}'; known: mAP, R1, R5, R10 and so on")
    return np.stack(columns, axis=1)


def _draw_sd(facts: dict[str, Any], metric: str) -> float | None:
    """The first seed's deviation over drawn galleries; None where there is one gallery."""
    if "mAP_sd" not in facts:
        return None
    if metric == "mAP":
        return round(float(facts["mAP_sd"]), 6)
    return round(float(facts["cmc_sd"][int(metric[1:]) - 1]), 6)


def _deviation(values: list[float]) -> float | None:
    return round(float(np.std(values, ddof=1)), 6) if len(values) > 1 else None
