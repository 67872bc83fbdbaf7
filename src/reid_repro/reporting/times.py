"""Tables of times: from the long CSV of the tables phase to what a page shows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from reid_repro.errors import UserError
from reid_repro.files import read_json
from reid_repro.ledger.times import COLUMNS
from reid_repro.paper import TimeTableConfig
from reid_repro.paths import timing_file
from reid_repro.plan import Plan
from reid_repro.reporting import formats, provenance
from reid_repro.reporting.assets import Assets
from reid_repro.reporting.provenance import Download, Item
from reid_repro.reporting.tables import as_json

# How the pages call the sizes: the test set whose counts they have.
SIZE_TITLES = {
    "small": "Small",
    "market": "Market-1501",
    "veri": "VeRi-776",
    "wild": "VERI-Wild",
    "oxford": "Oxford5k",
    "paris": "Paris6k",
    "university": "University-1652",
    "glad": "Market-1501, 4096-d",
}
COLUMN_TITLES = {"single": "One query alone", "batch": "One of a batch"}


@dataclass(frozen=True)
class TimeCell:
    """A time, and what the paper prints in its place."""

    value: str
    printed: str


@dataclass(frozen=True)
class TimeRow:
    """One method, on one platform."""

    title: str
    platform: str
    facts: tuple[str, ...]  # of a coarse-to-fine query: groups, dimensions
    cells: tuple[TimeCell, ...]


@dataclass(frozen=True)
class TimeTable:
    """A table of times at the printed sizes."""

    id: str
    title: str
    caption: str
    printed_on: str
    size: str  # what the simulated features were
    machine: str
    fact_heads: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]  # head, what stands below it
    rows: tuple[TimeRow, ...]
    item: Item

    @property
    def without_gpu(self) -> bool:
        """Whether there are rows for a GPU that could not be measured."""
        cells = [cell for row in self.rows if row.platform == "GPU" for cell in row.cells]
        return any(cell.value == formats.MISSING for cell in cells)


def time_table(plan: Plan, paper: str, table: str, results: Path, assets: Assets) -> TimeTable:
    """The table as shown; UserError names a file that is missing or of another form."""
    settings = plan.papers[paper].time_tables[table]
    file = results / "tables" / paper / f"{table}.csv"
    frame = _read(file)
    source = timing_file(results, paper, settings.timing)
    facts = read_json(source)
    return TimeTable(
        id=f"table-{paper}-{table}",
        title=settings.title,
        caption=settings.caption,
        printed_on=settings.printed_on,
        size=_sizes(settings, facts),
        machine=_machine(facts),
        fact_heads=("Groups made", "Dimensions") if settings.columns == "query" else (),
        columns=tuple(_column(name, facts) for name in dict.fromkeys(frame["column"])),
        rows=tuple(
            _row(part, settings) for _, part in frame.groupby(["row", "platform"], sort=False)
        ),
        item=Item(
            sources=provenance.sources(results, [file, source]),
            downloads=(
                Download("CSV", assets.copy(file, f"tables/{paper}/{table}.csv")),
                Download("JSON", assets.text(as_json(frame), f"tables/{paper}/{table}.json")),
            ),
            command=provenance.command(plan, provenance.shown(results, file)),
        ),
    )


def _read(file: Path) -> pd.DataFrame:
    try:
        frame = pd.read_csv(file)
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; `snakemake --cores all {file}` makes it") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError):
        raise UserError(f"{file}: not a readable CSV; delete it and run again") from None
    missing = [name for name in COLUMNS if name not in frame]
    if missing or frame.empty:
        what = f"no column '{missing[0]}'" if missing else "no row"
        raise UserError(f"{file}: {what}; delete it and run again")
    return frame


def _row(part: pd.DataFrame, settings: TimeTableConfig) -> TimeRow:
    records = part.to_dict("records")
    first = records[0]
    facts: tuple[str, ...] = ()
    if settings.columns == "query":
        facts = (formats.count(_number(first["groups"])), formats.count(_number(first["dim"])))
    return TimeRow(
        title=str(first["row_title"]),
        platform=str(first["platform"]),
        facts=facts,
        cells=tuple(_cell(record) for record in records),
    )


def _cell(record: Mapping[str, Any]) -> TimeCell:
    printed = _number(record["printed_seconds"])
    return TimeCell(
        formats.short_time(_number(record["seconds"])),
        "" if printed is None else formats.printed_time(printed),
    )


def _number(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _column(name: str, facts: Mapping[str, Any]) -> tuple[str, str]:
    """The head of a column; a size's has its counts below."""
    if name in facts["sizes"]:
        return SIZE_TITLES.get(name, name), _counts(facts["sizes"][name])
    return COLUMN_TITLES.get(name, name.capitalize()), ""


def _counts(size: Mapping[str, Any]) -> str:
    return f"{size['queries']:,} + {size['gallery']:,} \N{MULTIPLICATION SIGN} {size['dim']:,}"


def _sizes(settings: TimeTableConfig, facts: Mapping[str, Any]) -> str:
    """The features in words."""
    shrink = int(facts["shrink"])
    of = "of the printed size" if shrink == 1 else f"of 1/{shrink} of the printed size"
    name = settings.size or (next(iter(facts["sizes"])) if settings.columns == "query" else None)
    if name is None:
        return f"simulated features {of} (queries + gallery \N{MULTIPLICATION SIGN} dimensions)"
    size = facts["sizes"][name]
    return (
        f"simulated features {of} ({formats.count(size['queries'])} queries, "
        f"{formats.count(size['gallery'])} gallery images, {formats.count(size['dim'])} dimensions)"
    )


def _machine(facts: Mapping[str, Any]) -> str:
    threads = formats.plural(int(facts["threads"]), "thread")
    return (
        f"{provenance.machine(facts.get('machine') or {})}; {threads}, "
        f"load {facts['load']:.1f} when the measurement began"
    )
