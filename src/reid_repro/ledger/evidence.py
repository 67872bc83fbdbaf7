"""Evidence measured here, in the words of the predicates: cells, columns, points, tests, counts.

Own cells come from what is planned under the configuration; quoted literature stands at paper
scale alone, since it is quoted on the real datasets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import get_args

from reid_repro.errors import UserError
from reid_repro.ledger import sources as cell_sources
from reid_repro.ledger.cells import CellKey, CellSource
from reid_repro.ledger.evidence_files import Counts, Measures, Networks, Properties, Times
from reid_repro.ledger.evidence_rankings import Origin, Rankings, Scored
from reid_repro.ledger.predicate_types import Reason, Statistic, Unknown
from reid_repro.ledger.printed import Cell, PrintedPaper
from reid_repro.ledger.value import Value, exact
from reid_repro.plan import Plan
from reid_repro.verdict_settings import VerdictSettings

REASONS: tuple[Reason, ...] = get_args(Reason)


def code_of(source: CellSource) -> Reason:
    """Why a source is not planned, in the vocabulary of the verdicts."""
    return next((reason for reason in REASONS if reason == source.code), "not_run")


@dataclass
class OurEvidence:
    """What this project measured for one paper.

    `rankings` is shared by the papers, so that files are read once. Of the predicate at hand,
    `left_out` and `compared` name the cells that its columns lack, and have, and `commands` what
    would make cells that are missing; `ask` clears them.
    """

    plan: Plan
    printed: PrintedPaper
    results: Path
    settings: VerdictSettings
    rankings: Rankings
    left_out: set[CellKey] = field(default_factory=set)
    compared: set[CellKey] = field(default_factory=set)
    commands: dict[str, None] = field(default_factory=dict)
    _datasets: tuple[str, ...] = ()

    @property
    def paper(self) -> str:
        """The paper's name."""
        return self.printed.name

    @cached_property
    def sources(self) -> dict[CellKey, CellSource]:
        """Where each own cell is measured."""
        return cell_sources.sources(self.plan, self.paper)

    @cached_property
    def points(self) -> dict[tuple[str, ...], CellSource]:
        """Where points of figures that are metrics of runs are measured."""
        return cell_sources.point_sources(self.plan, self.paper)

    @cached_property
    def measures(self) -> Measures:
        """The other points of figures."""
        return Measures(self.plan, self.paper, self.results, self.settings.resampling)

    @cached_property
    def times(self) -> Times:
        """Times at the printed sizes."""
        return Times(self.plan, self.paper, self.results)

    @cached_property
    def networks(self) -> Networks:
        """Sizes of the printed networks."""
        return Networks(self.plan, self.paper, self.results)

    @cached_property
    def properties(self) -> Properties:
        """What tests have shown."""
        return Properties(self.results)

    @cached_property
    def counts(self) -> Counts:
        """Counts of the real datasets."""
        return Counts(self.plan, self.results)

    def ask(self, datasets: tuple[str, ...]) -> None:
        """Get ready for a predicate about `datasets`, in the printed words."""
        self.left_out.clear()
        self.compared.clear()
        self.commands.clear()
        self._datasets = self._measured_on(datasets)

    def _measured_on(self, datasets: tuple[str, ...]) -> tuple[str, ...]:
        """The datasets of this scale that measures are sought on: those of the claim first."""
        here = self.plan.datasets_of(self.paper)
        known = self.plan.benchmarks.settings
        asked = [
            place.dataset
            for name in datasets
            if name in known
            for split in known[name].splits
            if (place := self.plan.benchmarks.place(name, split, self.plan.config.scale))
        ]
        wanted = [name for name in asked if name in here]
        return tuple(dict.fromkeys([*wanted, *here]))

    def scored(self, origin: str) -> Scored | None:
        """The per-query or per-item values behind an origin; None where it has none."""
        return self.rankings.of(origin) or self.measures.of(origin)

    def m(self, table: str, row: str, metric: str, dataset: str | None, split: str | None) -> Value:
        """One cell, in the printed unit."""
        return self.cell(self.printed.cell(table, row, metric, dataset, split))

    def cell(self, cell: Cell) -> Value:
        """What stands here in the place of a printed cell.

        Raises:
            Unknown: nothing does, with the reason.
            UserError: it is planned, and its file is missing or broken.
        """
        if cell.number is None:
            raise Unknown("not_printed", f"{cell.table}: '{cell.row}' prints no {cell.metric}")
        if cell.role == "config":
            return exact(cell.number)
        if cell.role == "quoted":
            if self.plan.config.scale != "paper":
                raise Unknown("other_scale", "literature is quoted on the real datasets")
            return exact(cell.number, str(Origin("printed", metric=cell.metric)))
        return self.measured(self.sources[cell.key])

    def measured(self, source: CellSource) -> Value:
        """What a source measured, as a value of its own: two cells may read the same ranking.

        Unknown where it is not planned here.
        """
        if not source.planned:
            if source.command:
                self.commands[source.command] = None
            code = code_of(source)
            reason = source.reason or "nothing in workflow/papers answers it"
            raise Unknown(code, f"not planned here: {reason}" if code == "not_run" else reason)
        match source.kind:
            case "ranking":
                return replace(self.rankings.scored(self.paper, source).value)
            case "time":
                return self.times.value(source)
            case "complexity":
                return self.networks.value(source)
            case _:
                raise UserError(f"{self.paper}: no evidence is read for sources of '{source.kind}'")

    def col(
        self,
        table: str,
        metric: str,
        dataset: str | None,
        split: str | None,
        exclude: tuple[str, ...],
        only: tuple[str, ...] | None,
        roles: tuple[str, ...] | None,
    ) -> Mapping[str, Value | Unknown]:
        """A column by row.

        Rows of the paper's own that are not planned are left out where others are known, and named
        in `left_out`: the claim is then about those that are.
        """
        cells = self.printed.chosen(table, metric, dataset, split, exclude, only, roles)
        found = {row: self._cell_or_unknown(cell) for row, cell in cells.items()}
        known = {row for row, value in found.items() if isinstance(value, Value)}
        left = {
            row
            for row, value in found.items()
            if isinstance(value, Unknown) and value.code == "not_run" and cells[row].own
        }
        if not known:
            return found
        self.left_out |= {cells[row].key for row in left}
        self.compared |= {cells[row].key for row in known}
        return {row: value for row, value in found.items() if row not in left}

    def others(
        self, table: str, row: str, metric: str, dataset: str | None, split: str | None
    ) -> Mapping[str, Value | Unknown]:
        """The column without one row."""
        return self.col(table, metric, dataset, split, (row,), None, None)

    def _cell_or_unknown(self, cell: Cell) -> Value | Unknown:
        try:
            return self.cell(cell)
        except Unknown as unknown:
            return unknown

    def f(self, figure: str, *key: str) -> Value:
        """A point of a figure: a metric of a run, or a measure."""
        words = (figure, *(str(word) for word in key))
        if words in self.points:
            return self.measured(self.points[words])
        return replace(self.measures.point(words, self._datasets).value)

    def test(self, name: str) -> bool:
        """Whether a property's tests passed."""
        return self.properties.passed(name)

    def stat(self, name: str) -> Statistic:
        """A count of a real dataset."""
        return self.counts.statistic(name)
