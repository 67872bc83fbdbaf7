"""One paper with everything that its page shows: printed tables, figures, claims, then our own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reid_repro import deviations
from reid_repro.deviations import Deviation
from reid_repro.plan import Plan
from reid_repro.reporting import (
    extra_figures,
    looks_view,
    provenance,
    sections,
    times,
)
from reid_repro.reporting.assets import Assets
from reid_repro.reporting.claims_view import Judged
from reid_repro.reporting.ledger_tables import PrintedTable
from reid_repro.reporting.looks_view import Look
from reid_repro.reporting.paper_ledger import Ledger, ledger_of, plain, platforms_of
from reid_repro.reporting.provenance import Download, Item, RunView
from reid_repro.reporting.tables import ResultTable, as_json, read_long, result_table
from reid_repro.rows import left_out
from reid_repro.shown import tables_not_run


@dataclass(frozen=True)
class Paper:
    """One paper with everything its page shows."""

    name: str
    title: str
    summary: str
    ledger: Ledger | None
    tables: tuple[ResultTable, ...]
    left_out: tuple[str, ...]  # titles of the tables that are not run
    figures: tuple[sections.Vector, ...]
    extra: tuple[sections.Vector, ...]
    looks: tuple[Look, ...]
    time_tables: tuple[times.TimeTable, ...]
    experiments: tuple[sections.Experiment, ...]
    deviations: tuple[Deviation, ...]
    runs: tuple[RunView, ...]

    @property
    def page(self) -> str:
        """The page of this paper, from the front page."""
        return f"papers/{self.name}.html"

    @property
    def background(self) -> bool:
        """Whether it reproduces no print, but is what the others stand on."""
        return self.ledger is None

    @property
    def findings(self) -> list[tuple[str, str]]:
        """(dataset, sentence) of the first table."""
        return [(group.title, group.finding) for table in self.tables[:1] for group in table.groups]


def paper_page(
    plan: Plan,
    name: str,
    results: Path,
    assets: Assets,
    runs: Sequence[RunView],
    judged: Sequence[Judged],
    printed: Mapping[str, PrintedTable] | None,
) -> Paper:
    """Everything about one paper; UserError names the first results file that is missing."""
    settings = plan.papers[name]
    swept = {
        figure: sections.sweep_figure(plan, name, figure, results, assets)
        for figure in plan.tables_of(name)
        if figure in settings.figures
    }
    answers: dict[str, list[sections.Vector]] = {}
    for figure, vector in swept.items():
        for label in settings.figures[figure].printed:
            answers.setdefault(plain(label), []).append(vector)
    time_tables = tuple(
        times.time_table(plan, name, table, results, assets) for table in settings.time_tables
    )
    looks = looks_view.looks(plan, name, results, assets)
    ledger, placed = None, set[str]()
    if printed is not None:
        platforms = platforms_of(plan, name, results, time_tables)
        ledger = ledger_of(
            plan, name, results, assets, runs, judged, printed, answers, looks, platforms
        )
        placed = {one.id for figure in ledger.figures for one in figure.drawn}
        placed |= {one.id for figure in ledger.figures for one in figure.looks}
    return Paper(
        name=name,
        title=settings.title,
        summary=settings.summary,
        ledger=ledger,
        tables=tuple(
            _table(plan, name, table, results, assets)
            for table in plan.tables_of(name)
            if table in settings.tables
        ),
        left_out=tuple(settings.tables[table].title for table in tables_not_run(plan, name)),
        figures=tuple(vector for vector in swept.values() if vector.id not in placed),
        extra=tuple(extra_figures.figures(plan, name, results, assets)),
        looks=tuple(look for look in looks if look.id not in placed),
        time_tables=time_tables,
        experiments=tuple(sections.experiments(plan, name, results, assets)),
        deviations=deviations.of_paper(deviations.read(), name),
        runs=tuple(run for run in runs if run.name in {str(one) for one in plan.runs_of(name)}),
    )


def _table(plan: Plan, paper: str, table: str, results: Path, assets: Assets) -> ResultTable:
    file = results / "tables" / paper / f"{table}.csv"
    frame = read_long(file)
    downloads = (
        Download("CSV", assets.copy(file, f"tables/{paper}/{table}.csv")),
        Download("JSON", assets.text(as_json(frame), f"tables/{paper}/{table}.json")),
    )
    return result_table(
        frame,
        plan.papers[paper].tables[table],
        plan,
        name=f"table-{paper}-{table}",
        left_out=left_out(plan, paper, table),
        item=Item(
            sources=(provenance.source(results, file),),
            downloads=downloads,
            command=provenance.command(plan, provenance.shown(results, file)),
        ),
    )
