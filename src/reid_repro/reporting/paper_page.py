"""One paper with everything that its page shows: printed tables, figures, claims, then our own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from reid_repro import deviations
from reid_repro.deviations import Deviation
from reid_repro.ledger import printed as facts
from reid_repro.plan import Plan
from reid_repro.reporting import (
    claims_view,
    extra_figures,
    formats,
    ledger_tables,
    looks_view,
    provenance,
    sections,
    times,
)
from reid_repro.reporting.assets import Assets
from reid_repro.reporting.claims_view import Judged
from reid_repro.reporting.ledger_tables import PrintedTable
from reid_repro.reporting.looks_view import Look
from reid_repro.reporting.provenance import Download, Item, RunView
from reid_repro.reporting.tables import ResultTable, as_json, dataset_title, read_long, result_table
from reid_repro.rows import left_out
from reid_repro.shown import tables_not_run


@dataclass(frozen=True)
class LedgerTable:
    """A printed table: its cells (none, if it prints no values), its verdict, where it is from."""

    anchor: str
    label: str
    title: str
    judged: Judged | None
    printed: PrintedTable | None
    level: str
    runs: tuple[RunView, ...]
    item: Item


@dataclass(frozen=True)
class LedgerFigure:
    """A printed figure: its verdict, and what of ours answers it."""

    judged: Judged
    drawn: tuple[sections.Vector, ...]
    looks: tuple[Look, ...]


@dataclass(frozen=True)
class Ledger:
    """What a paper prints and claims, with ours."""

    tables: tuple[LedgerTable, ...]
    figures: tuple[LedgerFigure, ...]
    claims: tuple[Judged, ...]
    item: Item  # of the claims

    @property
    def verdicts(self) -> list[tuple[str, str]]:
        """(verdict, word) of the claims, for a filter."""
        marks = {one.mark.verdict: one.mark.word for one in self.claims}
        return list(marks.items())

    @property
    def types(self) -> list[str]:
        """What types of claims there are."""
        return sorted({one.type for one in self.claims})


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


def read_printed(plan: Plan, results: Path) -> dict[str, dict[str, PrintedTable]]:
    """The printed tables of every paper that has some, by paper and label."""
    titles = {name: dataset_title(plan, name) for name in plan.config.datasets}
    known = facts.papers(plan.workflow)
    return {
        paper: ledger_tables.printed_tables(
            ledger_tables.read_ledger(_ledger_file(results, paper)), titles
        )
        for paper in plan.config.papers
        if paper in known
    }


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
    answers = {
        label: tuple(v for f, v in swept.items() if label in settings.figures[f].printed)
        for figure in swept
        for label in settings.figures[figure].printed
    }
    looks = looks_view.looks(plan, name, results, assets)
    ledger, placed = None, set[str]()
    if printed is not None:
        ledger = _ledger(plan, name, results, assets, runs, judged, printed, answers, looks)
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
        time_tables=tuple(
            times.time_table(plan, name, table, results, assets) for table in settings.time_tables
        ),
        experiments=tuple(sections.experiments(plan, name, results, assets)),
        deviations=deviations.of_paper(deviations.read(), name),
        runs=tuple(run for run in runs if run.name in {str(one) for one in plan.runs_of(name)}),
    )


def _ledger_file(results: Path, paper: str) -> Path:
    return results / "ledger" / f"{paper}.csv"


def _ledger(
    plan: Plan,
    name: str,
    results: Path,
    assets: Assets,
    runs: Sequence[RunView],
    judged: Sequence[Judged],
    printed: Mapping[str, PrintedTable],
    answers: Mapping[str, tuple[sections.Vector, ...]],
    looks: Sequence[Look],
) -> Ledger:
    sources = provenance.sources(results, [_ledger_file(results, name)])
    command = provenance.command(plan, provenance.shown(results, _ledger_file(results, name)))
    tables = claims_view.of_kind(judged, "table")
    labels = dict.fromkeys([one.label for one in tables] + list(printed))
    by_label = {one.label: one for one in tables}
    figures = claims_view.of_kind(judged, "figure")
    shown: set[str] = set()
    return Ledger(
        tables=tuple(
            _ledger_table(
                name, label, by_label.get(label), printed.get(label), runs, assets, sources, command
            )
            for label in labels
        ),
        figures=tuple(
            LedgerFigure(
                judged=one,
                drawn=_not_yet(answers.get(one.label, ()), shown),
                looks=tuple(look for look in looks if look.answers == one.label),
            )
            for one in figures
        ),
        claims=tuple(claims_view.of_kind(judged, "claim")),
        item=_claims_item(plan, name, results, assets, judged),
    )


def _not_yet(vectors: Sequence[sections.Vector], shown: set[str]) -> tuple[sections.Vector, ...]:
    """Each figure of ours once, under the first printed figure that it answers."""
    new = tuple(vector for vector in vectors if vector.id not in shown)
    shown.update(vector.id for vector in new)
    return new


def _ledger_table(
    paper: str,
    label: str,
    judged: Judged | None,
    printed: PrintedTable | None,
    runs: Sequence[RunView],
    assets: Assets,
    sources: tuple[provenance.Source, ...],
    command: str,
) -> LedgerTable:
    anchor = claims_view.anchor(paper, "table", label)
    downloads: tuple[Download, ...] = ()
    if printed is not None:
        csv = printed.frame.to_csv(index=False, lineterminator="\n")
        downloads = (
            Download("CSV", assets.text(csv, f"ledger/{anchor}.csv")),
            Download("JSON", assets.text(as_json(printed.frame), f"ledger/{anchor}.json")),
        )
    behind = {*(printed.runs if printed else ()), *(judged.runs if judged else ())}
    level = printed.level if printed else None
    return LedgerTable(
        anchor=anchor,
        label=label,
        title=judged.title if judged else "",
        judged=judged,
        printed=printed,
        level=formats.level(level) if level else "",
        runs=tuple(run for run in runs if _is_of(run, behind)),
        item=Item(sources, downloads, command),
    )


def _is_of(run: RunView, behind: set[str]) -> bool:
    """Whether a training is one of those named, with or without its seed."""
    return run.name in behind or run.name.rpartition("/")[0] in behind


def _claims_item(
    plan: Plan, paper: str, results: Path, assets: Assets, judged: Sequence[Judged]
) -> Item:
    """All judged items of one paper, to be taken along as a table."""
    rows = [
        {
            "id": one.label,
            "kind": one.kind,
            "type": one.type,
            "section": one.section,
            "title": one.title,
            "statement": one.statement,
            "predicate": one.predicate,
            "verdict": one.mark.verdict,
            "scaled": one.scaled,
            "reason_code": one.reason_code,
            "reason": one.reason,
            "p_holds": one.share,
            "p": one.p,
        }
        for one in judged
    ]
    file = results / claims_view.FILE
    frame = pd.DataFrame(rows)
    text = frame.to_csv(index=False, lineterminator="\n")
    return Item(
        sources=provenance.sources(results, [file] if rows else []),
        downloads=(
            Download("CSV", assets.text(text, f"ledger/{paper}-claims.csv")),
            Download("JSON", assets.text(as_json(frame), f"ledger/{paper}-claims.json")),
        ),
        command=provenance.command(plan, provenance.shown(results, file)),
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
