"""A metric over the options that sweeps vary, as in Figure 2 of the GNN paper: a theme-aware SVG.

A panel a sweep, a line a dataset, bands of the tables' bootstrap intervals (`ledger.tables`).
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.ticker import MaxNLocator

from reid_repro.errors import UserError
from reid_repro.methods import written
from reid_repro.paper import SweepFigureConfig
from reid_repro.plan import Plan
from reid_repro.reporting import formats, theme
from reid_repro.reporting.svg import Panel, panel_figure, save, style
from reid_repro.reporting.tables import dataset_title, head, read_long
from reid_repro.rows import points_of


def sweep_figure(plan: Plan, paper: str, name: str, results: Path) -> None:
    """Draw `results/figures/{paper}/{name}.svg` from `results/tables/{paper}/{name}.csv`."""
    settings = plan.paper(paper).figures.get(name)
    if settings is None:
        known = ", ".join(plan.paper(paper).figures) or "none"
        raise UserError(f"paper '{paper}' has no figure '{name}'; known: {known}")
    frame = read_long(results / "tables" / paper / f"{name}.csv")
    lines = {
        sweep: _line(plan, paper, sweep, frame, results / "tables" / paper / f"{name}.csv")
        for sweep in settings.sweeps
    }
    metric = head(settings.metric)
    with style():
        panels = [
            _panel(plan, paper, sweep, line, metric, legend=number == 0)
            for number, (sweep, line) in enumerate(lines.items())
        ]
        save(
            panels,
            results / "figures" / paper / f"{name}.svg",
            title=settings.title,
            description=_description(plan, settings, lines),
        )


def option_of(plan: Plan, paper: str, sweep: str) -> str:
    """The option that a sweep varies."""
    return next(iter(plan.papers[paper].sweeps[sweep].vary))


def _line(plan: Plan, paper: str, sweep: str, frame: pd.DataFrame, file: Path) -> pd.DataFrame:
    """The rows of one sweep, with the option's value as `x`, in ascending order."""
    option = option_of(plan, paper, sweep)
    values = {
        f"{sweep}.{point}": written(settings)[option]
        for point, settings in points_of(plan, paper, sweep).items()
    }
    missing = [name for name in values if name not in set(frame["reranker"])]
    if missing:
        raise UserError(f"{file}: no row '{missing[0]}'; delete it and run again")
    line = frame[frame["reranker"].isin(list(values))]
    return line.assign(x=line["reranker"].map(values).astype(float)).sort_values("x")


def _panel(
    plan: Plan, paper: str, sweep: str, line: pd.DataFrame, metric: str, *, legend: bool
) -> Panel:
    option = option_of(plan, paper, sweep)
    base = written(plan.config.rerankers[plan.papers[paper].sweeps[sweep].base])
    fixed = ", ".join(f"{key} = {value}" for key, value in base.items() if key != option)
    figure = panel_figure(400, 290)
    axes = figure.add_subplot()
    for number, (dataset, part) in enumerate(line.groupby("dataset", sort=False)):
        colour = theme.series(number)
        axes.fill_between(
            part["x"], 100 * part["low"], 100 * part["high"], color=colour, alpha=0.14, linewidth=0
        )
        axes.plot(
            part["x"],
            100 * part["value"],
            color=colour,
            linestyle=theme.DASHES[number % len(theme.DASHES)],
            marker=theme.MARKERS[number % len(theme.MARKERS)],
            label=dataset_title(plan, str(dataset)),
        )
    taken = base.get(option)
    if isinstance(taken, int | float):
        axes.axvline(taken, color=theme.light("muted"), linewidth=0.8, linestyle=(0, (2, 3)))
    axes.set_title(f"{option}, with {fixed}" if fixed else option)
    axes.set_xlabel(option)
    axes.set_ylabel(f"{metric} (%)")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=9, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=7))
    low, high = axes.get_ylim()
    axes.set_ylim(max(0.0, low), min(100.0, high))
    if legend:
        axes.legend(loc="best")
    return Panel(figure, f"{metric} over {option}")


def _description(plan: Plan, settings: SweepFigureConfig, lines: dict[str, pd.DataFrame]) -> str:
    """What the panels show, in words."""
    metric = head(settings.metric)
    parts = []
    for sweep, line in lines.items():
        for dataset, part in line.groupby("dataset", sort=False):
            best, worst = part.loc[part["value"].idxmax()], part.loc[part["value"].idxmin()]
            parts.append(
                f"{sweep} on {dataset_title(plan, str(dataset))}: {metric} from "
                f"{formats.percent(worst['value'])} % at {worst['x']:g} to "
                f"{formats.percent(best['value'])} % at {best['x']:g}."
            )
    return " ".join(parts)
