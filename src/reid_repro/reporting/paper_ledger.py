"""What a paper prints and claims beside ours: tables, figures and claims as its page shows them.

The judge has written the values and verdicts (`results/ledger`, `results/claims.json`); here they
meet their titles, downloads, runs, platforms, and what of ours answers a printed figure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from reid_repro.files import read_json
from reid_repro.ledger import printed as facts
from reid_repro.measures.recipes import networks_file
from reid_repro.plan import Plan
from reid_repro.reporting import claims_view, formats, ledger_tables, provenance, sections, times
from reid_repro.reporting.assets import Assets
from reid_repro.reporting.claims_view import Judged
from reid_repro.reporting.ledger_tables import PrintedTable
from reid_repro.reporting.looks_view import Look
from reid_repro.reporting.provenance import Download, Item, RunView
from reid_repro.reporting.tables import as_json, dataset_title


@dataclass(frozen=True)
class LedgerTable:
    """A printed table: its cells (none, if it prints no values), its verdict, where it is from."""

    anchor: str
    label: str
    title: str
    judged: Judged | None
    printed: PrintedTable | None
    level: str
    platforms: str  # where times were taken, in print and here
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


def _ledger_file(results: Path, paper: str) -> Path:
    return results / "ledger" / f"{paper}.csv"


def ledger_of(
    plan: Plan,
    name: str,
    results: Path,
    assets: Assets,
    runs: Sequence[RunView],
    judged: Sequence[Judged],
    printed: Mapping[str, PrintedTable],
    answers: Mapping[str, Sequence[sections.Vector]],
    looks: Sequence[Look],
    platforms: Mapping[str, str],
) -> Ledger:
    """The ledger of one paper.

    `answers` are our sweeps by the printed figure that they answer (see `plain`), `platforms` the
    machines behind the times of a printed table. UserError names a missing file.
    """
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
                name,
                label,
                by_label.get(label),
                printed.get(label),
                runs,
                assets,
                platforms.get(label, ""),
                Item(sources, (), command),
            )
            for label in labels
        ),
        figures=tuple(
            LedgerFigure(
                judged=one,
                drawn=_not_yet(answers.get(plain(one.label), ()), shown),
                looks=tuple(look for look in looks if plain(look.answers) == plain(one.label)),
            )
            for one in figures
        ),
        claims=tuple(claims_view.of_kind(judged, "claim")),
        item=_claims_item(plan, name, results, assets, judged),
    )


def plain(label: str) -> str:
    """A figure's label however it is written: 'Figure 2(a)' and 'Fig. 2a' are 'fig2a'."""
    return re.sub(r"[^a-z0-9]", "", label.lower().replace("figure", "fig"))


def platforms_of(
    plan: Plan, paper: str, results: Path, tables: Sequence[times.TimeTable]
) -> dict[str, str]:
    """Where the times of a printed table were taken, in print and here."""
    settings = plan.papers[paper]
    found = {}
    for config, table in zip(settings.time_tables.values(), tables, strict=True):
        text = (
            f"Printed times: {config.printed_on or 'platform not printed'}; ours: {table.machine}"
        )
        found.update(dict.fromkeys(config.printed, text))
    networks = networks_file(results, paper)
    if settings.cost_tables and networks.is_file():
        machine = provenance.machine(read_json(networks).get("machine") or {})
        for costs in settings.cost_tables.values():
            found.update(dict.fromkeys(costs.printed, f"Ours measured on {machine}"))
    return found


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
    platforms: str,
    item: Item,
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
        platforms=platforms,
        runs=tuple(run for run in runs if _is_of(run, behind)),
        item=replace(item, downloads=downloads),
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
