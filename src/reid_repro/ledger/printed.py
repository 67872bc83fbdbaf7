"""What the papers print, cell by cell: `workflow/papers/values/*.csv` and `errata.csv`.

A cell keeps the paper's own words for its table and row, and its number as printed, trailing zeros
included. Cells that are printed empty stand in the file too, so that a table can be shown whole.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from reid_repro.checking import Strict, checked
from reid_repro.errors import UserError
from reid_repro.ledger import claims
from reid_repro.ledger.cells import CellKey
from reid_repro.ledger.claims import Item

WORKFLOW = Path("workflow")

Role = Literal["own", "own_variant", "baseline", "rerun", "quoted", "config"]
PrintedAs = Literal["", "blank", "N/A", "-"]
Unit = Literal["percent", "s", "ms", "count", "operations", "dimensions", "threshold", ""]

# Measured by the paper's authors; the others quote literature, or set what is varied.
OWN_ROLES: tuple[Role, ...] = ("own", "own_variant", "baseline", "rerun")

ACCURACY = re.compile(r"mAP|R[1-9]\d?")
UNITS: dict[str, Unit] = {
    "time_ms": "ms",
    "time_s": "s",
    "time_phase1_s": "s",
    "time_phase2_s": "s",
    "time_total_s": "s",
    "time_phase1_ms": "ms",
    "time_phase2_ms": "ms",
    "time_total_ms": "ms",
    "infer_s_per_img": "s",
    "params": "count",
    "flops": "operations",
    "group_number": "count",
    "part_number_D": "count",
    "gcn_depth_l": "count",
    "dimension": "dimensions",
    "theta": "threshold",
    "beta": "",
}

NUMBER = r"^(\d+(\.\d+)?(e-?\d+)?)?$"
Text = Annotated[str, Field(pattern=r"\S")]


class Cell(Strict):
    """One printed cell; `value` is its text as printed, empty where `printed_as` says how."""

    table: Text
    row: Text
    dataset: str
    split: str
    metric: Text
    value: Annotated[str, Field(pattern=NUMBER)]
    role: Role
    experiment: str
    printed_as: PrintedAs
    note: str

    @model_validator(mode="after")
    def _a_number_or_how_it_is_empty(self) -> Cell:
        if bool(self.value) == bool(self.printed_as):
            raise ValueError("either 'value' or 'printed_as' (blank, N/A, -), and not both")
        if not ACCURACY.fullmatch(self.metric) and self.metric not in UNITS:
            known = "mAP, R1, R5, ..., " + ", ".join(UNITS)
            raise ValueError(f"unknown metric '{self.metric}'; known: {known}")
        if self.value and self.unit == "percent" and float(self.value) > 100:
            raise ValueError(f"{self.value} percent of {self.metric}: the unit is percent, to 100")
        return self

    @property
    def key(self) -> CellKey:
        """The cell's name."""
        return CellKey(self.table, self.row, self.dataset, self.split, self.metric)

    @property
    def number(self) -> float | None:
        """The printed number in its printed unit; None where the cell is printed empty."""
        return float(self.value) if self.value else None

    @property
    def unit(self) -> Unit:
        """The unit that the number is printed in."""
        return UNITS.get(self.metric, "percent")

    @property
    def own(self) -> bool:
        """Whether the paper's authors measured it: neither quoted nor a setting, nor empty."""
        return bool(self.value) and self.role in OWN_ROLES


class Erratum(Strict):
    """Where papers contradict themselves, one another, or the data."""

    papers: tuple[Text, ...] = Field(min_length=1)
    id: Text
    section: Text
    statement: Text
    evidence: Text


@dataclass(frozen=True)
class PrintedPaper:
    """Everything printed in one paper, in the paper's order.

    `cells` hold a number, `blanks` none, `grid` is both. Look-ups raise LookupError with what
    there is instead.
    """

    name: str
    grid: tuple[Cell, ...]
    items: tuple[Item, ...]
    errata: tuple[Erratum, ...]

    @cached_property
    def cells(self) -> dict[CellKey, Cell]:
        """The cells with a number."""
        return {cell.key: cell for cell in self.grid if cell.value}

    @cached_property
    def blanks(self) -> dict[CellKey, Cell]:
        """The cells that are printed empty."""
        return {cell.key: cell for cell in self.grid if not cell.value}

    @cached_property
    def tables(self) -> dict[str, tuple[Cell, ...]]:
        """The cells of each table, empty ones too."""
        names = dict.fromkeys(cell.table for cell in self.grid)
        return {name: tuple(c for c in self.grid if c.table == name) for name in names}

    def item(self, name: str) -> Item:
        """The table, figure or claim of this id."""
        return next(item for item in self.items if item.id == name)

    def column(
        self, table: str, metric: str, dataset: str | None = None, split: str | None = None
    ) -> dict[str, Cell]:
        """Row -> cell of one column, empty cells too; LookupError if there is none, or several."""
        if table not in self.tables:
            raise LookupError(f"no table '{table}'; there are {', '.join(self.tables)}")
        found = [
            cell
            for cell in self.tables[table]
            if cell.metric == metric
            and dataset in (None, cell.dataset)
            and split in (None, cell.split)
        ]
        columns = {(cell.dataset, cell.split) for cell in found}
        named = " ".join(part for part in (dataset, split, metric) if part)
        if not columns:
            raise LookupError(f"{table} has no column '{named}'")
        if len(columns) > 1:
            several = ", ".join(" ".join(one).strip() for one in sorted(columns))
            raise LookupError(f"{table}: '{named}' is several columns: {several}")
        return {cell.row: cell for cell in found}

    def cell(
        self,
        table: str,
        row: str,
        metric: str,
        dataset: str | None = None,
        split: str | None = None,
    ) -> Cell:
        """One cell, empty or not; LookupError if there is none, or several."""
        column = self.column(table, metric, dataset, split)
        if row not in column:
            raise LookupError(f"{table} has no row '{row}' with {metric}")
        return column[row]

    def chosen(
        self,
        table: str,
        metric: str,
        dataset: str | None,
        split: str | None,
        exclude: tuple[str, ...],
        only: tuple[str, ...] | None,
        roles: tuple[str, ...] | None,
    ) -> dict[str, Cell]:
        """A column's cells with a number, of some rows; LookupError for rows that there are not."""
        column = self.column(table, metric, dataset, split)
        for row in (*exclude, *(only or ())):
            if row not in column:
                raise LookupError(f"{table} has no row '{row}' with {metric}")
        for role in roles or ():
            if role not in get_args(Role):
                raise LookupError(f"no role '{role}'; known: {', '.join(get_args(Role))}")
        return {
            row: cell
            for row, cell in column.items()
            if cell.value
            and row not in exclude
            and (only is None or row in only)
            and (roles is None or cell.role in roles)
        }


def label(key: CellKey) -> str:
    """A cell's name for readers: table, row, data, metric."""
    data = " ".join(part for part in (key.dataset, key.split) if part and part != "test")
    return " · ".join(part for part in (key.table, key.row, data, key.metric) if part)


def read(paper: str, workflow: Path = WORKFLOW) -> PrintedPaper:
    """What one paper prints; UserError names file, line and mistake."""
    folder = workflow / "papers"
    grid = _cells(folder / "values" / f"{paper}.csv")
    items = claims.read(folder / "claims" / f"{paper}.yaml")
    errata = tuple(one for one in read_errata(workflow) if paper in one.papers)
    return PrintedPaper(paper, grid, items, errata)


def papers(workflow: Path = WORKFLOW) -> tuple[str, ...]:
    """The papers whose printed cells are there, by name."""
    return tuple(sorted(file.stem for file in (workflow / "papers" / "values").glob("*.csv")))


def read_errata(workflow: Path = WORKFLOW) -> tuple[Erratum, ...]:
    """Every contradiction, in the order of the file; the first column names one paper or more."""
    file = workflow / "papers" / "errata.csv"
    if not file.exists():
        return ()
    found = []
    for where, row in _rows(file, ("paper", "id", "section", "statement", "evidence")):
        named = {"papers": tuple(row["paper"].split())}
        content = {key: text for key, text in row.items() if key != "paper"}
        found.append(checked(Erratum, named | content, where))
    return tuple(found)


def _cells(file: Path) -> tuple[Cell, ...]:
    """The cells of one file, each named once."""
    lines: dict[CellKey, str] = {}
    cells = []
    for where, row in _rows(file, tuple(Cell.model_fields)):
        cell = checked(Cell, row, where)
        if cell.key in lines:
            raise UserError(f"{where}: {label(cell.key)} stands in {lines[cell.key]} already")
        lines[cell.key] = where
        cells.append(cell)
    return tuple(cells)


def _rows(file: Path, columns: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    """Where each row of a CSV stands and its texts by column; UserError where it has others."""
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            lines = csv.reader(stream, strict=True)
            header = tuple(next(lines, ()))
            if header != columns:
                raise UserError(f"{file}, line 1: expected the columns {','.join(columns)}")
            for row in lines:
                where = f"{file}, line {lines.line_num}"
                if len(row) != len(columns):
                    raise UserError(f"{where}: expected {len(columns)} fields, found {len(row)}")
                yield where, dict(zip(columns, row, strict=True))
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; it holds what the paper prints") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{file}: not a readable CSV in UTF-8 ({error})") from None
