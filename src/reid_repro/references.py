"""What a paper's file names has to exist: rankings, points, runs, timings.

Checked when the configuration is read, after the types; a mistake is named by file and key.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from reid_repro.errors import UserError
from reid_repro.paper import GroupsTiming, PaperConfig, ReRankingTiming
from reid_repro.rows import methods_of, points_of, reranker_on

if TYPE_CHECKING:
    from reid_repro.plan import Plan


def check(plan: Plan, workflow: Path) -> None:
    """Everything that a paper's file names exists; UserError names file and key."""
    for dataset, rerankers in plan.config.rerankers_on.items():
        _known(dataset, plan.config.datasets, "config: rerankers_on")
        for reranker in rerankers:
            _known(reranker, plan.config.rerankers, f"config: rerankers_on.{dataset}")
            reranker_on(plan, reranker, dataset)
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
        _check_datasets(plan, name, file)
        _check_points(plan, name, file)
        _check_labels(plan, name, file)


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
    costs = [row.run for table in paper.cost_tables.values() for row in table.rows]
    for run in [*paper.pointed, *costs]:
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
    if table.mean and table.columns != "sizes":
        raise UserError(f"{where}.mean: only a table of sizes has one")
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


def _check_datasets(plan: Plan, name: str, file: Path) -> None:
    """The datasets that a table shows at paper scale are the paper's."""
    paper = plan.papers[name]
    known = paper.datasets.get("paper", ())
    for kind in ("tables", "figures"):
        for table, settings in getattr(paper, kind).items():
            for dataset in settings.datasets:
                _known(dataset, known, f"{file}: {kind}.{table}.datasets")


def _check_points(plan: Plan, name: str, file: Path) -> None:
    """Points of figures name a printed dataset, a ranking, and values that are swept."""
    paper = plan.papers[name]
    for number, points in enumerate(paper.points):
        where = f"{file}: points.{number}"
        _known(points.dataset, plan.benchmarks.settings, f"{where}.dataset")
        splits = plan.benchmarks.settings[points.dataset].splits
        _known(points.split, splits, f"{where}.split")
        if not points.values:
            _known(points.ranking, plan.config.rerankers, f"{where}.ranking")
            continue
        swept = [sweep for sweep, settings in paper.sweeps.items() if settings.vary]
        _known(points.ranking, swept, f"{where}.ranking")
        ((option, by_scale),) = paper.sweeps[points.ranking].vary.items()
        lacking = [one for one in points.values if one not in by_scale.get("paper", ())]
        if lacking:
            raise UserError(
                f"{where}.values: {lacking[0]} is no value of '{option}' at paper scale"
            )


def _check_labels(plan: Plan, name: str, file: Path) -> None:
    """A printed row is answered once a kind of table."""
    found: dict[tuple[str, str, str], str] = {}
    for kind, row, printed, label in labels(plan.papers[name]):
        other = found.setdefault((kind, printed, label), row)
        if other != row:
            raise UserError(f"{file}: {row}: '{label}' of {printed} is answered by {other} already")


def labels(paper: PaperConfig) -> Iterator[tuple[str, str, str, str]]:
    """(kind, place in the file, printed table, printed row) of everything that answers print."""
    for kind in ("tables", "time_tables", "cost_tables"):
        for name, table in getattr(paper, kind).items():
            for number, row in enumerate(table.rows):
                for printed, label in product(table.printed, row.label):
                    yield kind, f"{kind}.{name}.rows.{number}", printed, label
    for number, entry in enumerate(paper.not_run):
        for printed, label in product(entry.printed, entry.label):
            yield "not_run", f"not_run.{number}", printed, label


def _known(name: str, names: Collection[str], where: str) -> None:
    if name not in names:
        raise UserError(f"{where}: unknown '{name}'; known: {', '.join(names)}")
