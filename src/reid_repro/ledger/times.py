"""Tables of times at the printed sizes in long form: one row a (row, column), beside the print.

The times come from a timing's JSON (`phases.timings`); what a paper prints, from its YAML.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from reid_repro.errors import UserError
from reid_repro.files import read_json
from reid_repro.paper import TimeRowConfig, TimeTableConfig
from reid_repro.paths import timing_file
from reid_repro.plan import Plan

COLUMNS = [
    *("row", "row_title", "platform", "column", "seconds", "printed_seconds"),
    *("printed_platform", "n_query", "n_gallery", "dim", "groups", "shrink", "scale"),
]
COUNTS = ("n_query", "n_gallery", "dim", "groups")  # none of them in a mean
PHASES = ("phase 1", "phase 2", "total")


def time_table(plan: Plan, paper: str, table: str, results: Path) -> pd.DataFrame:
    """The rows of `workflow/papers/{paper}.yaml: time_tables.{table}`.

    A row for a GPU has no time where the timing was taken without one; the column `mean` has none
    where one of its sizes has not.
    """
    settings = plan.papers[paper].time_tables[table]
    file = timing_file(results, paper, settings.timing)
    facts = read_json(file)
    entries = {_key(entry): entry for entry in facts["entries"]}
    rows: list[dict[str, Any]] = []
    for number, row in enumerate(settings.rows):
        common = {
            "row": f"{number}:{row.of}",
            "row_title": row.title,
            "platform": row.platform,
            "shrink": facts["shrink"],
            "scale": facts["scale"],
        }
        taken: list[float | None] = []
        for column, size in _columns(settings, facts):
            entry = entries.get((size, row.of, row.platform))
            if entry is None and row.platform == "CPU":
                raise UserError(f"{file}: no '{row.of}' at {size}; delete it and run again")
            taken.append(None if entry is None else _seconds(entry, column, settings))
            cell = _cell(row, column, taken[-1])
            rows.append(common | cell | _size(facts["sizes"][size], entry))
        if settings.mean:
            rows.append(common | _cell(row, "mean", _mean(taken)))
    return pd.DataFrame(rows)[COLUMNS].astype(dict.fromkeys(COUNTS, "Int64"))


def _cell(row: TimeRowConfig, column: str, seconds: float | None) -> dict[str, Any]:
    """A time, and what the paper prints in its place."""
    printed = row.printed.get(column)
    return {
        "column": column,
        "seconds": seconds,
        "printed_seconds": printed.seconds if printed else None,
        "printed_platform": printed.platform if printed else None,
    }


def _mean(seconds: list[float | None]) -> float | None:
    known = [value for value in seconds if value is not None]
    return round(sum(known) / len(known), 6) if known and len(known) == len(seconds) else None


def _key(entry: Mapping[str, Any]) -> tuple[str, str, str]:
    return entry["size"], entry["of"], entry["platform"]


def _columns(settings: TimeTableConfig, facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(column, the size it belongs to)."""
    sizes = list(facts["sizes"])
    if settings.columns == "sizes":
        return [(size, size) for size in sizes]
    if settings.columns == "phases":
        return [(phase, str(settings.size)) for phase in PHASES]
    return [(column, sizes[0]) for column in ("single", "batch")]


def _seconds(entry: Mapping[str, Any], column: str, settings: TimeTableConfig) -> float:
    """A column's time: the total, a phase, or the sum of the phases that make it."""
    seconds: dict[str, float] = entry["seconds"]
    if settings.columns == "sizes":
        return seconds["total"]
    if settings.columns == "query" or column == "total":
        return seconds[column]
    first = sum(seconds.get(phase, 0.0) for phase in settings.first)
    return round(first if column == "phase 1" else seconds["total"] - first, 4)


def _size(size: Mapping[str, Any], entry: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the features were; of a coarse-to-fine query the coarse dimensions and the groups."""
    made = entry or {}
    return {
        "n_query": size["queries"],
        "n_gallery": size["gallery"],
        "dim": made.get("dim", size["dim"]),
        "groups": made.get("groups"),
    }
