"""Printed tables with ours beside them: from `results/ledger/{paper}.csv` to what a page shows.

Rows and columns stand in the paper's order. What was measured on the printed dataset stands in the
printed cell, with the difference and the verdict. What was measured on a stand-in has columns of
its own, once a metric, under the stand-in's name: it is held against no printed value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from reid_repro.errors import UserError
from reid_repro.reporting import verdict_marks
from reid_repro.reporting.cell_formats import (
    COMPARED,
    base_metric,
    difference,
    head,
    interval,
    ours,
    printed,
    sort_key,
    spread,
)
from reid_repro.reporting.verdict_marks import Count, Mark

COLUMNS = (
    "table", "row", "dataset", "split", "metric", "printed", "printed_as", "role", "note", "kind",
    "our_table", "run", "ranking", "our_dataset", "our_subset", "value", "low", "high", "level",
    "seeds", "seed_sd", "difference", "verdict", "reason", "command", "scale", "stand_in",
)  # fmt: skip
QUOTED = "quoted"


@dataclass(frozen=True)
class Head:
    """A group of columns: a printed dataset and split, or the stand-in that replaces them."""

    title: str
    below: str
    metrics: tuple[str, ...]
    ours: bool  # what was measured on a stand-in
    printed: bool  # nothing in the group is ours


@dataclass(frozen=True)
class Ours:
    """A measured value with what is known of its uncertainty."""

    value: str
    interval: str
    spread: str  # over seeds
    mark: Mark
    difference: str = ""


@dataclass(frozen=True)
class Cell:
    """One cell of the page; `printed` is empty in the columns of a stand-in."""

    printed: str
    blank: bool
    ours: Ours | None
    missing: bool  # should be ours, and was not run
    order: str = ""  # what to sort by, where the text would mislead


@dataclass(frozen=True)
class Row:
    """One printed row."""

    title: str
    quoted: bool
    cells: tuple[tuple[Cell, ...], ...]  # one tuple a head


@dataclass(frozen=True)
class Missing:
    """Cells without a value of ours, which share a reason."""

    what: str
    reason: str
    command: str
    cells: int


@dataclass(frozen=True)
class PrintedTable:
    """One table of the paper, complete."""

    label: str
    heads: tuple[Head, ...]
    rows: tuple[Row, ...]
    missing: tuple[Missing, ...]
    tally: tuple[Count, ...]  # of the authors' own cells
    runs: tuple[str, ...]  # PAPER/VARIANT/DATASET of the values of ours
    level: float | None
    frame: pd.DataFrame  # the rows of the file, for download

    @property
    def together(self) -> bool:
        """Whether values of ours stand in printed cells."""
        cells = (cell for row in self.rows for group in row.cells for cell in group)
        return any(cell.printed and cell.ours for cell in cells)

    @property
    def timed(self) -> bool:
        """Whether some of these are times or sizes, shown with their ratio to print."""
        return bool(self.frame["kind"].isin(COMPARED).any())


def read_ledger(file: Path) -> pd.DataFrame:
    """Every printed cell of a paper, numbers as numbers; UserError names what is wrong."""
    try:
        frame = pd.read_csv(file, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; `snakemake --cores all {file}` makes it") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError):
        raise UserError(f"{file}: not a readable CSV; delete it and run again") from None
    missing = [name for name in COLUMNS if name not in frame]
    if missing or frame.empty:
        what = f"no column '{missing[0]}'" if missing else "no row"
        raise UserError(f"{file}: {what}; delete it and run again")
    for name in ("value", "low", "high", "level", "seed_sd", "difference"):
        frame[name] = pd.to_numeric(frame[name], errors="coerce")
    frame["stand_in"] = frame["stand_in"].str.lower().isin(["true", "1"])
    frame["base"] = [base_metric(metric) for metric in frame["metric"]]
    unknown = sorted(set(frame["verdict"]) - set(verdict_marks.MARKS) - verdict_marks.UNMARKED)
    if unknown:
        raise UserError(f"{file}: unknown verdict '{unknown[0]}'; delete it and run again")
    return frame


def printed_tables(frame: pd.DataFrame, titles: Mapping[str, str]) -> dict[str, PrintedTable]:
    """Every table of a paper by its label; `titles` names the datasets of this project."""
    return {
        str(label): _table(str(label), part, titles)
        for label, part in frame.groupby("table", sort=False)
    }


def _table(label: str, frame: pd.DataFrame, titles: Mapping[str, str]) -> PrintedTable:
    measured = frame[frame["value"].notna()]
    stand_ins, here = measured[measured["stand_in"]], measured[~measured["stand_in"]]
    groups = list(frame.groupby(["dataset", "split"], sort=False))
    heads, columns = [], []
    for (dataset, split), part in groups:
        metrics = tuple(dict.fromkeys(part["base"]))
        columns.append([(False, str(dataset), str(split), metric) for metric in metrics])
        ours_in = here[(here["dataset"] == dataset) & (here["split"] == split)]
        heads.append(
            Head(
                title=str(dataset) or _without_dataset(part, str(split)),
                below="" if not dataset or split in ("", "test") else str(split),
                metrics=tuple(head(metric) for metric in metrics),
                ours=False,
                printed=ours_in.empty,
            )
        )
    for (dataset, subset), part in stand_ins.groupby(["our_dataset", "our_subset"], sort=False):
        metrics = tuple(dict.fromkeys(part["base"]))
        columns.append([(True, str(dataset), str(subset), metric) for metric in metrics])
        below = f"ours, {part['scale'].iloc[0]} scale"
        if subset not in ("", "test"):
            below += f", {subset}"
        heads.append(
            Head(
                title=titles.get(str(dataset), str(dataset)),
                below=below,
                metrics=tuple(head(metric) for metric in metrics),
                ours=True,
                printed=False,
            )
        )
    own = frame[~frame["role"].isin([QUOTED, "config"])]
    return PrintedTable(
        label=label,
        heads=tuple(heads),
        rows=tuple(
            _row(str(title), part, columns) for title, part in frame.groupby("row", sort=False)
        ),
        missing=_missing(own),
        tally=verdict_marks.counted(
            (verdict, False) for verdict in own["verdict"] if verdict not in verdict_marks.UNMARKED
        ),
        runs=tuple(
            dict.fromkeys(
                f"{run}/{dataset}"
                for run, dataset in zip(measured["run"], measured["our_dataset"], strict=True)
                if run and dataset
            )
        ),
        level=float(measured["level"].max()) if measured["level"].notna().any() else None,
        frame=frame.drop(columns="base"),
    )


def _without_dataset(part: pd.DataFrame, split: str) -> str:
    """What heads columns that belong to no dataset: settings, sizes, a mean over all."""
    if split not in ("", "test"):
        return split.capitalize()
    return "Setting" if (part["role"] == "config").all() else "Network"


def _row(
    title: str, frame: pd.DataFrame, columns: Sequence[Sequence[tuple[bool, str, str, str]]]
) -> Row:
    at_home: dict[tuple[str, str, str], Mapping[str, object]] = {}
    abroad: dict[tuple[str, str, str], Mapping[str, object]] = {}
    for record in frame.to_dict("records"):
        at_home[record["dataset"], record["split"], record["base"]] = record
        if record["stand_in"] and pd.notna(record["value"]):
            key = (record["our_dataset"], record["our_subset"], record["base"])
            abroad.setdefault(key, record)
    quoted = bool((frame["role"] == QUOTED).all())
    empty = Cell("", True, None, False)
    return Row(
        title=title,
        quoted=quoted,
        cells=tuple(
            tuple(
                _stand_in(abroad.get(key), quoted=quoted)
                if ours_here
                else (_cell(at_home[key]) if key in at_home else empty)
                for ours_here, *rest in group
                for key in [(rest[0], rest[1], rest[2])]
            )
            for group in columns
        ),
    )


def _cell(record: Mapping[str, object]) -> Cell:
    shown = printed(record)
    judged = record["verdict"] not in verdict_marks.UNMARKED
    here = judged and not record["stand_in"]
    return Cell(
        printed=shown,
        blank=record["verdict"] == "blank",
        ours=_ours(record) if here and pd.notna(record["value"]) else None,
        missing=bool(here and pd.isna(record["value"])),
        order=sort_key(record),
    )


def _stand_in(record: Mapping[str, object] | None, *, quoted: bool) -> Cell:
    if record is None:
        return Cell("", quoted, None, not quoted)
    return Cell("", False, _ours(record, of_stand_in=True), False)


def _ours(record: Mapping[str, object], *, of_stand_in: bool = False) -> Ours:
    return Ours(
        value=ours(record),
        interval=interval(record),
        spread=spread(record),
        mark=verdict_marks.mark(str(record["verdict"])),
        difference="" if of_stand_in else difference(record),
    )


def _missing(own: pd.DataFrame) -> tuple[Missing, ...]:
    """The cells that were not run, by reason: named by rows if these have no value at all."""
    absent = own[own["value"].isna() & (own["verdict"] != "blank")]
    found = []
    for (reason, command), part in absent.groupby(["reason", "command"], sort=False):
        of_rows = own[own["row"].isin(part["row"])]
        of_columns = own[own["dataset"].isin(part["dataset"])]
        if len(part) == len(own):
            what = "all rows"
        elif len(part) == len(of_rows[of_rows["verdict"] != "blank"]):
            what = "; ".join(dict.fromkeys(part["row"]))
        elif len(part) == len(of_columns[of_columns["verdict"] != "blank"]):
            what = ", ".join(filter(None, dict.fromkeys(part["dataset"])))
            what = what or ", ".join(dict.fromkeys(head(metric) for metric in part["base"]))
        else:
            datasets = [name for name in dict.fromkeys(part["dataset"]) if name]
            metrics = list(dict.fromkeys(head(metric) for metric in part["base"]))
            where = ", ".join(metrics) if len(datasets) != 1 else datasets[0]
            what = f"{'; '.join(dict.fromkeys(part['row']))} ({where})"
        found.append(Missing(what, str(reason), str(command), len(part)))
    return tuple(found)
