"""What a paper's file names has to exist: rankings, points, runs, timings.

Checked when the configuration is read, after the types; a mistake is named by file and key.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from reid_repro.errors import UserError
from reid_repro.paper import GroupsTiming, PaperConfig, ReRankingTiming
from reid_repro.rows import methods_of, points_of

if TYPE_CHECKING:
    from reid_repro.plan import Plan


def check(plan: Plan, workflow: Path) -> None:
    """Everything that a paper's file names exists; UserError names file and key."""
    for name, paper in plan.papers.items():
        file = workflow / "papers" / f"{name}.yaml"
        _check_names(plan, paper, file)
        points = {sweep: list(points_of(plan, name, sweep)) for sweep in paper.sweeps}
        for reranker in paper.rerankers:
            _known(reranker, plan.config.rerankers, f"{file}: rerankers")
        for table in paper.tables:
            _check_rows(plan, paper, table, points, file)
        _check_runs(plan, paper, file)
        _check_figures(paper, file)
        for timing in paper.timings:
            _check_timing(plan, name, timing, file)
        for table in paper.time_tables:
            _check_times(paper, table, file)


def _check_names(plan: Plan, paper: PaperConfig, file: Path) -> None:
    for sweep in paper.sweeps:
        if sweep in plan.config.rerankers:
            raise UserError(f"{file}: sweeps.{sweep}: the name of a re-ranker; choose another")
    for kind, names in (("figures", paper.figures), ("time_tables", paper.time_tables)):
        others = {*paper.tables, *(paper.figures if kind == "time_tables" else ())}
        for name in names:
            if name in others:
                raise UserError(f"{file}: {kind}.{name}: a table has this name; choose another")


def _check_rows(
    plan: Plan, paper: PaperConfig, name: str, points: Mapping[str, list[str]], file: Path
) -> None:
    table = paper.tables[name]
    if not table.rows and not paper.variants:
        raise UserError(f"{file}: tables.{name}: no rows, and the paper has no variants")
    for number, row in enumerate(table.rows):
        where = f"{file}: tables.{name}.rows.{number}"
        sweep, dot, point = row.ranking.partition(".")
        if sweep not in points:
            _known(row.ranking, [*plan.config.rerankers, *points], f"{where}.ranking")
        elif dot:
            _known(point, points[sweep], f"{where}.ranking")
        if not (row.run or table.run):
            raise UserError(f"{where}: no run; give the row or its table 'run: PAPER/VARIANT'")


def _check_runs(plan: Plan, paper: PaperConfig, file: Path) -> None:
    for run in paper.pointed:
        other, variant = run.split("/")
        if other not in plan.papers or variant not in plan.papers[other].variants:
            raise UserError(f"{file}: run: no variant '{run}' in workflow/papers")


def _check_figures(paper: PaperConfig, file: Path) -> None:
    for name, figure in paper.figures.items():
        where = f"{file}: figures.{name}.sweeps"
        for sweep in figure.sweeps:
            _known(sweep, paper.sweeps, where)
            if not paper.sweeps[sweep].vary:
                raise UserError(f"{where}: sweep '{sweep}' varies no option, so it has no axis")


def _check_timing(plan: Plan, paper: str, timing: str, file: Path) -> None:
    settings = plan.papers[paper].timings[timing]
    if isinstance(settings, ReRankingTiming):
        for method, sizes in settings.only.items():
            where = f"{file}: timings.{timing}.only"
            _known(method, settings.methods, where)
            for size in sizes:
                _known(size, settings.sizes, f"{where}.{method}")
        for size, over in settings.settings.items():
            where = f"{file}: timings.{timing}.settings"
            _known(size, settings.sizes, where)
            for method in over:
                _known(method, settings.methods, f"{where}.{size}")
            methods_of(plan, paper, timing, size)


def _check_times(paper: PaperConfig, name: str, file: Path) -> None:
    table = paper.time_tables[name]
    where = f"{file}: time_tables.{name}"
    _known(table.timing, paper.timings, f"{where}.timing")
    timing = paper.timings[table.timing]
    if isinstance(timing, GroupsTiming) != (table.columns == "query"):
        raise UserError(f"{where}.columns: '{table.columns}' is nothing that the timing takes")
    of: Collection[str]
    if isinstance(timing, GroupsTiming):
        of = timing.points
    else:
        sizes = {str(table.size)} if table.columns == "phases" else set(timing.sizes)
        for size in sizes:
            _known(size, timing.sizes, f"{where}.size")
        of = [name for name in timing.methods if sizes <= set(timing.only.get(name, sizes))]
    for number, row in enumerate(table.rows):
        _known(row.of, of, f"{where}.rows.{number}.of")


def _known(name: str, names: Collection[str], where: str) -> None:
    if name not in names:
        raise UserError(f"{where}: unknown '{name}'; known: {', '.join(names)}")
