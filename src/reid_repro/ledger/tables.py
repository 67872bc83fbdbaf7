"""Tables of one paper in long form: one row a (variant, re-ranker, dataset, metric).

With several seeds the value is the mean over them, the interval that of the per-query means,
and `seed_sd` the standard deviation over seeds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from reid_repro.config import StatisticsConfig
from reid_repro.errors import UserError
from reid_repro.files import read_json, read_parquet
from reid_repro.ledger.statistics import identity_bootstrap
from reid_repro.paths import metrics_file, per_query_file
from reid_repro.plan import Plan, Run

__all__ = ["hit_share", "metrics_file", "per_query_file", "retrieval_table", "summarise"]

COLUMNS = [
    *("variant", "variant_title", "reranker", "reranker_title", "dataset", "subset", "metric"),
    *("value", "low", "high", "level", "seeds", "seed_sd", "n_query", "n_valid", "scale"),
]


def retrieval_table(plan: Plan, paper: str, table: str, results: Path) -> pd.DataFrame:
    """The rows of `workflow/papers/{paper}.yaml: tables.{table}`, from the metrics files."""
    settings = plan.papers[paper]
    if table not in settings.tables:
        raise UserError(
            f"paper '{paper}' has no table '{table}'; known: {', '.join(settings.tables)}"
        )
    rows: list[dict[str, Any]] = []
    for dataset in plan.datasets_of(paper):
        for variant, facts in settings.variants.items():
            for reranker in settings.rerankers:
                runs = [Run(paper, variant, dataset, seed) for seed in plan.config.seeds]
                files = [metrics_file(results, run, "test", reranker) for run in runs]
                common = {
                    "variant": variant,
                    "variant_title": facts.title,
                    "reranker": reranker,
                    "reranker_title": plan.config.rerankers[reranker].title,
                    "dataset": dataset,
                    "subset": "test",
                    "seeds": " ".join(str(seed) for seed in plan.config.seeds),
                    "scale": plan.config.scale,
                }
                cells = summarise(files, settings.tables[table].metrics, plan.config.statistics)
                rows += [common | cell for cell in cells]
    return pd.DataFrame(rows)[COLUMNS]


def summarise(
    files: list[Path], metrics: tuple[str, ...], statistics: StatisticsConfig
) -> list[dict[str, Any]]:
    """One cell a metric over the metrics files of several seeds of one ranking."""
    facts = [read_json(file) for file in files]
    queries = [read_parquet(per_query_file(file)) for file in files]
    for file, frame in zip(files, queries, strict=True):
        if not frame["query"].equals(queries[0]["query"]):
            raise UserError(f"{file}: other queries than in {files[0]}; delete both and run again")
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
            "n_query": facts[0]["n_query"],
            "n_valid": facts[0]["n_valid"],
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


def _deviation(values: list[float]) -> float | None:
    return round(float(np.std(values, ddof=1)), 6) if len(values) > 1 else None
