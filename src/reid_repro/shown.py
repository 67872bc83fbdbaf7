"""Which runs a plan's tables need, why others are left out, and which tables a report shows.

At paper scale a table shows the datasets that it has in print, and a variant is planned on a
dataset if some table, figure or point of a figure shows it there. The other scales have one or two
stand-ins for all of them, on which every variant is planned. Neither torch nor snakemake is
imported here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from reid_repro import rows
from reid_repro.networks import SUBJECTS, needs
from reid_repro.paper import PaperConfig, SweepFigureConfig, TableConfig
from reid_repro.runs import Run

if TYPE_CHECKING:
    from reid_repro.plan import Plan


def is_by_table(plan: Plan) -> bool:
    """Whether it is the tables that say where a variant is planned."""
    return plan.config.scale == "paper" and not plan.config.evaluate_on


def datasets_of_table(plan: Plan, paper: str, table: str) -> tuple[str, ...]:
    """The datasets that a table or figure shows at this scale, in its own order."""
    shown = plan.paper(paper).of_rankings.get(table)
    if shown is not None and shown.datasets and is_by_table(plan):
        return shown.datasets
    return plan.datasets_of(paper)


def shown(plan: Plan) -> dict[str, frozenset[str]]:
    """The datasets on which each PAPER/VARIANT is shown, under the plan's `ablations`.

    With `printed` it is what has a name in print that counts, and the tables that show whatever the
    paper has; else every table. What no table names is then planned on all the paper's datasets.
    """
    found: dict[str, set[str]] = {}
    for name in plan.config.papers:
        for run, datasets in _shown_by(plan, name):
            found.setdefault(run, set()).update(datasets)
    if plan.config.ablations != "printed":
        for name, paper in plan.papers.items():
            for variant in paper.variants:
                found.setdefault(f"{name}/{variant}", set(plan.datasets_of(name)))
    return {run: frozenset(datasets) for run, datasets in found.items()}


def why_not(plan: Plan, paper: str, variant: str, dataset: str) -> str:
    """Why a variant is not planned on a dataset; empty where it is."""
    if plan.papers[paper].variants[variant].ablation and plan.config.ablations == "default":
        return "an ablation, run with --config ablations=all"
    on = plan.shown.get(f"{paper}/{variant}", frozenset())
    if plan.config.ablations == "printed" and not on:
        return "not in print, run with --config ablations=all"
    if is_by_table(plan) and dataset not in on:
        return f"no table shows it on '{dataset}'"
    if plan.lacks_features(paper, variant, dataset):
        return f"'{dataset}' has no images to train on: give its features (docs/experiments.md)"
    run = Run(paper, variant, dataset, 0)
    return "" if plan.features_of(run) else _why_without(plan, run)


def _why_without(plan: Plan, run: Run) -> str:
    """Why a network cannot have the part boxes or joints that it needs."""
    resolved = plan.resolve(run)
    needed = needs(resolved.model)
    if needed == "none":
        return ""
    if plan.dataset(run.dataset).subject != SUBJECTS[needed]:
        return f"it needs {needed}, and '{run.dataset}' shows no {SUBJECTS[needed]}s"
    if resolved.places == "truth" and not plan.is_rendered(run.dataset):
        return f"the true {needed} of '{run.dataset}' are not known"
    return ""


def _shown_by(plan: Plan, name: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """PAPER/VARIANT and datasets of every table, figure and point of one paper."""
    paper = plan.papers[name]
    printed_only = plan.config.ablations == "printed"
    for table, settings in paper.of_rankings.items():
        if printed_only and not settings.printed and not _shows_everything(settings):
            continue
        datasets = datasets_of_table(plan, name, table)
        for run in _runs_of_table(name, paper, settings):
            yield run, datasets
    for points in paper.points:
        place = plan.benchmarks.place(points.dataset, points.split, plan.config.scale)
        datasets = (place.dataset,) if place and is_by_table(plan) else plan.datasets_of(name)
        yield points.run, tuple(one for one in datasets if one in plan.datasets_of(name))


def _shows_everything(settings: TableConfig | SweepFigureConfig) -> bool:
    return isinstance(settings, TableConfig) and not settings.rows


def _runs_of_table(
    name: str, paper: PaperConfig, settings: TableConfig | SweepFigureConfig
) -> list[str]:
    """PAPER/VARIANT of a table's rows."""
    if isinstance(settings, SweepFigureConfig):
        return [settings.run]
    if not settings.rows:
        return [f"{name}/{variant}" for variant in paper.variants]
    return [row.run or settings.run or "" for row in settings.rows]


def tables_of(plan: Plan, paper: str) -> tuple[str, ...]:
    """The CSV files of a paper: tables, what its figures draw, tables of times.

    Left out are tables of other scales, tables and figures of which no row is planned, and tables
    of which one of several is: it has nothing to be compared with, and stands in another one.
    """
    settings = plan.paper(paper)
    named = [*_of_scale(plan, paper), *settings.figures]
    return (*(name for name in named if _has_rows(plan, paper, name)), *settings.time_tables)


def tables_not_run(plan: Plan, paper: str) -> tuple[str, ...]:
    """The tables of a paper that are left out because their rows are not planned."""
    return tuple(name for name in _of_scale(plan, paper) if not _has_rows(plan, paper, name))


def _of_scale(plan: Plan, paper: str) -> list[str]:
    """The tables that are shown at this scale."""
    tables = plan.paper(paper).tables
    scale = plan.config.scale
    return [name for name, table in tables.items() if scale in (table.scales or (scale,))]


def _has_rows(plan: Plan, paper: str, table: str) -> bool:
    found = len(rows.rows_of(plan, paper, table))
    if found != 1 or table not in plan.papers[paper].tables:
        return found > 0
    return not rows.left_out(plan, paper, table)
