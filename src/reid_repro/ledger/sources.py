"""From the printed cells of a paper to what measures them here.

A table, time table or cost table of `workflow/papers/{paper}.yaml` answers a table in print
(`printed`), each of its rows a printed row (`label`); the printed dataset and split give the
dataset (`workflow/benchmarks.yaml`). Points of figures have keys of their own (`points`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from reid_repro.ledger import printed
from reid_repro.ledger.cells import CellKey, CellSource
from reid_repro.methods import Options
from reid_repro.paper import PaperConfig, PointsConfig, RowConfig, TableConfig
from reid_repro.plan import Plan

COSTS = ("params", "flops", "infer_s_per_img")
PERCENT, MILLISECONDS = 100.0, 1000.0
# The columns of time tables, by the printed metric without its unit.
COLUMNS = {"time_phase1": "phase 1", "time_phase2": "phase 2", "time_total": "total"}


def sources(plan: Plan, paper: str) -> dict[CellKey, CellSource]:
    """Where each cell that the paper's authors measured is measured here.

    Quoted cells and settings have none. UserError names a file that is missing or a dataset that
    workflow/benchmarks.yaml does not know.
    """
    cells = printed.read(paper, plan.workflow).cells
    return {key: source(plan, paper, key) for key, cell in cells.items() if cell.own}


def source(plan: Plan, paper: str, key: CellKey) -> CellSource:
    """Where one printed cell is measured here; of kind `none`, without a reason, if nowhere."""
    settings = plan.paper(paper)
    for entry in settings.not_run:
        if key.table in entry.printed and key.row in entry.label:
            return CellSource("none", reason=entry.reason, code=entry.code)
    if key.metric in COSTS:
        return _cost(settings, key)
    if key.metric == "group_number" or key.metric.startswith("time_"):
        return _time(plan, settings, key)
    for name, table, row in _rows(settings, key.table):
        if key.row in row.label:
            run = row.run or table.run or ""
            ranked = CellSource("ranking", table=name, run=run, ranking=row.ranking)
            return _placed(plan, paper, ranked, key.dataset, key.split, key.metric)
    return CellSource("none")


def _rows(settings: PaperConfig, table: str) -> Iterator[tuple[str, TableConfig, RowConfig]]:
    """Name, table and row of all rows that answer a printed table."""
    for name, shown in settings.tables.items():
        if table in shown.printed:
            for row in shown.rows:
                yield name, shown, row


def _cost(settings: PaperConfig, key: CellKey) -> CellSource:
    for name, table in settings.cost_tables.items():
        for row in table.rows if key.table in table.printed else ():
            if key.row in row.label:
                return CellSource("complexity", table=name, run=row.run, metric=key.metric)
    return CellSource("none")


def _time(plan: Plan, settings: PaperConfig, key: CellKey) -> CellSource:
    for name, table in settings.time_tables.items():
        for number, row in enumerate(table.rows if key.table in table.printed else ()):
            if key.row in row.label:
                return CellSource(
                    "time",
                    table=name,
                    metric=key.metric,
                    timing=table.timing,
                    time_table=name,
                    time_row=number,
                    column=_column(plan, key, table.columns),
                    factor=MILLISECONDS if key.metric.endswith("_ms") else 1.0,
                )
    return CellSource("none")


def _column(plan: Plan, key: CellKey, columns: str) -> str:
    """The column of a time table that holds a printed metric of a printed dataset."""
    if key.metric == "group_number":
        return "groups"
    if columns == "phases":
        return COLUMNS[key.metric.rpartition("_")[0]]
    if columns == "query":
        return "single"
    return str(plan.benchmarks.of(key.dataset).simulated) if key.dataset else key.split


def _placed(
    plan: Plan, paper: str, ranked: CellSource, dataset: str, split: str, metric: str
) -> CellSource:
    """A ranking on the dataset that is, or stands in for, a printed one; or why it is not there."""
    ranked = replace(ranked, metric=metric, factor=PERCENT)
    place = plan.benchmarks.place(dataset, split, plan.config.scale)
    if place is None:
        reason = f"nothing stands in for {dataset} at {plan.config.scale} scale"
        overrides = {**_without(plan, "scale", "evaluate_on"), "scale": "paper"}
        return _not_here(plan, paper, ranked, "other_scale", reason, overrides)
    ranked = replace(ranked, dataset=place.dataset, subset=place.subset, stand_in=place.stand_in)
    if place.dataset not in plan.datasets_of(paper) or paper not in plan.config.papers:
        reason = f"not run on '{place.dataset}' under this configuration"
        overrides = _without(plan, "evaluate_on", "papers")
        return _not_here(plan, paper, ranked, "not_run", reason, overrides)
    other, variant = ranked.run.split("/")
    reason = plan.left_out(other, variant, place.dataset)
    if not reason:
        return ranked
    reason, _, option = reason.partition(", run with --config ")
    overrides = {**plan.overrides, **dict(pair.split("=") for pair in option.split())}
    code = "no_weights" if plan.lacks_features(other, variant, place.dataset) else "not_run"
    return _not_here(plan, paper, ranked, code, reason, overrides)


def _without(plan: Plan, *names: str) -> dict[str, Any]:
    return {key: value for key, value in plan.overrides.items() if key not in names}


def _not_here(
    plan: Plan,
    paper: str,
    ranked: CellSource,
    code: str,
    reason: str,
    overrides: dict[str, Any],
) -> CellSource:
    target = f"results/tables/{paper}/{ranked.table}.csv" if ranked.table else ""
    command = replace(plan, overrides=overrides).command(target)
    return replace(ranked, code=code, reason=reason, command=command)


def point_sources(plan: Plan, paper: str) -> dict[tuple[str, ...], CellSource]:
    """Where the points of figures that are metrics of runs are measured here, by key of `f(...)`.

    A key is the figure and the words behind it, as texts: ("Fig. 6", "MP", "3", "mAP").
    """
    settings = plan.paper(paper)
    found: dict[tuple[str, ...], CellSource] = {}
    for points in settings.points:
        shown = settings.of_rankings
        table = next((name for name, one in shown.items() if points.figure in one.printed), "")
        for value in points.values or ("",):
            ranking = _swept(plan, paper, points, value) if points.values else points.ranking
            ranked = CellSource("ranking", table=table, run=points.run, ranking=ranking)
            for metric in points.metrics:
                words = {"metric": metric, "point": str(value)}
                key = (points.figure, *(words.get(word, word) for word in points.key))
                found[key] = _placed(plan, paper, ranked, points.dataset, points.split, metric)
    return found


def _swept(plan: Plan, paper: str, points: PointsConfig, value: float | str) -> str:
    """The point of a sweep that answers a printed value.

    At paper scale it is that value. A smaller scale has a setting of its own; there it is the swept
    value nearest, in ratio, to the same multiple of it.
    """
    sweep = plan.papers[paper].sweeps[points.ranking]
    ((option, by_scale),) = sweep.vary.items()
    values = [float(one) for one in by_scale[plan.config.scale] if isinstance(one, int | float)]
    wanted = float(value)
    if plan.config.scale != "paper":
        options = plan.config.rerankers[sweep.base].options
        own: Options = options.model_dump() | dict(sweep.options)
        wanted *= float(str(own[option])) / float(points.of or 1)
    nearest = min(values, key=lambda one: max(one / wanted, wanted / one))
    return f"{points.ranking}.{option}_{nearest:g}"
