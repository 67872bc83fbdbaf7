"""What the errors of a detector cost: the same network on what was found and on the truth.

Both runs answer the same queries, so the difference has an interval of its own: the bootstrap over
identities (`ledger.statistics`) of the difference of each query.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from reid_repro.config import StatisticsConfig
from reid_repro.errors import UserError
from reid_repro.ledger.statistics import identity_bootstrap
from reid_repro.ledger.tables import hit_share, metrics_file, per_query_file, read_scores
from reid_repro.plan import Plan
from reid_repro.reporting import formats, provenance
from reid_repro.reporting.provenance import Item
from reid_repro.reporting.stage_tables import ScoreRow, plain, points
from reid_repro.reporting.tables import dataset_title

METRICS = ("mAP", "Rank-1")
RANKING = "none"


@dataclass(frozen=True)
class Cost:
    """The table of one detector, or why there is none and the command that makes it."""

    groups: tuple[tuple[str, tuple[ScoreRow, ...]], ...]  # dataset, its rows
    titles: tuple[str, str]  # the networks on detections and on the truth
    caption: str
    reason: str
    command: str
    item: Item | None


def detection_cost(plan: Plan, results: Path, detected: str, true: str) -> Cost:
    """Both runs (PAPER/VARIANT) on every dataset that both are planned on.

    UserError names a metrics file that is missing, or that answers other queries than its partner.
    """
    reason = _reason(plan, detected, true)
    if reason:
        wanted = replace(plan, overrides={**plan.overrides, "ablations": "all"})
        return Cost((), (detected, true), "", reason, wanted.command(), None)
    statistics = plan.config.statistics
    groups, files = [], []
    for dataset in _datasets(plan, detected, true):
        pair = [_files(plan, results, run, dataset) for run in (detected, true)]
        groups.append((dataset_title(plan, dataset), _rows(pair, statistics)))
        files += [file for part in pair for file in part]
    return Cost(
        groups=tuple(groups),
        titles=(_title(plan, detected), _title(plan, true)),
        caption=(
            f"{plan.config.scale.capitalize()} scale, {formats.seeds(plan.config.seeds)}. In "
            f"percent, the difference in points, with {formats.level(statistics.level)} intervals "
            "(bootstrap over identities; the difference is taken query by query). They cover the "
            "choice of queries, not of training; one that holds 0 leaves open whether the errors "
            "cost anything."
        ),
        reason="",
        command=plan.command(),
        item=Item(
            sources=provenance.sources(results, [*files, *map(per_query_file, files)]),
            downloads=(),
            command=plan.command(provenance.shown(results, files[0])),
        ),
    )


def _reason(plan: Plan, detected: str, true: str) -> str:
    """Why the pair is not planned; empty where it is."""
    for run in (detected, true):
        paper, variant = run.split("/")
        if paper not in plan.papers or variant not in plan.papers[paper].variants:
            return f"Not run: the configuration knows no {run}."
        datasets = plan.datasets_of(paper)
        if not plan.runs_of_variant(paper, variant, datasets):
            reasons = [plan.left_out(paper, variant, dataset) for dataset in datasets]
            why = reasons[0] if reasons else "no dataset at this scale"
            return f"Not run: {_title(plan, run)} ({why.partition(', run with --')[0]})."
    if not _datasets(plan, detected, true):
        return "Not run: no dataset has both what was found and the truth."
    return ""


def _datasets(plan: Plan, detected: str, true: str) -> list[str]:
    planned = [
        {run.dataset: None for run in plan.runs_of_variant(paper, variant, plan.datasets_of(paper))}
        for paper, variant in (detected.split("/"), true.split("/"))
    ]
    return [dataset for dataset in planned[0] if dataset in planned[1]]


def _title(plan: Plan, run: str) -> str:
    paper, variant = run.split("/")
    return plan.papers[paper].variants[variant].title


def _files(plan: Plan, results: Path, run: str, dataset: str) -> list[Path]:
    paper, variant = run.split("/")
    runs = plan.runs_of_variant(paper, variant, [dataset])
    subset = plan.subsets(dataset)[0]
    return [metrics_file(results, one, subset, RANKING) for one in runs]


def _rows(pair: Sequence[list[Path]], statistics: StatisticsConfig) -> tuple[ScoreRow, ...]:
    """A row a metric: on detections, on the truth, and the cost."""
    values, queries = zip(*(_per_query(files) for files in pair), strict=True)
    if not queries[0].equals(queries[1]):
        raise UserError(
            f"{pair[1][0]}: other queries than in {pair[0][0]}; delete both and run again"
        )
    columns = np.stack([values[0], values[1], values[0] - values[1]], axis=1)  # (n, 3, metrics)
    low, high = identity_bootstrap(
        columns.reshape(len(columns), -1),
        queries[0]["identity"].to_numpy(),
        resamples=statistics.resamples,
        level=statistics.level,
        seed=statistics.seed,
    )
    mean = columns.mean(axis=0)
    low, high = low.reshape(mean.shape), high.reshape(mean.shape)
    rows = []
    for number, metric in enumerate(METRICS):
        cells = [
            plain(
                formats.percent(float(mean[system, number])),
                formats.interval(float(low[system, number]), float(high[system, number])),
            )
            for system in (0, 1)
        ]
        ends = (points(float(end[2, number])) for end in (low, high))
        cost = plain(points(float(mean[2, number])), " to ".join(ends))
        rows.append(ScoreRow(metric, "", (*cells, cost)))
    return tuple(rows)


def _per_query(files: list[Path]) -> tuple[np.ndarray, pd.DataFrame]:
    """(n, metrics) means over the seeds of each query's AP and hit at rank 1; whose queries."""
    frames = [read_scores(file).per_query.sort_values("query") for file in files]
    columns = [
        np.column_stack([frame["AP"].to_numpy(np.float64), hit_share(frame, 1)]) for frame in frames
    ]
    return np.mean(columns, axis=0), frames[0][["query", "identity"]].reset_index(drop=True)
