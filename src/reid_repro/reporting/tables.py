"""Result tables: from the long CSV of the tables phase to what a page shows."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from reid_repro.config import TableConfig
from reid_repro.errors import UserError
from reid_repro.ledger.tables import COLUMNS
from reid_repro.plan import Plan
from reid_repro.reporting import formats
from reid_repro.reporting.provenance import Item

STEP = 5  # the ends of a bar's scale are multiples of this, in percent


@dataclass(frozen=True)
class Cell:
    """One value: percent, its interval, its place in its row's group."""

    value: str
    interval: str
    spoken: str  # the same in words, for assistive technology
    sd: str | None
    best: bool
    bar: tuple[float, float, float] | None  # low, value, high in 0..100 of the bar's width


@dataclass(frozen=True)
class Row:
    """One ranking method."""

    title: str
    variant: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Group:
    """The rows of one dataset and subset."""

    id: str
    dataset: str
    title: str
    subset: str
    seeds: str
    n_query: int
    n_valid: int
    rows: tuple[Row, ...]
    finding: str  # one sentence: the best row against the first one


@dataclass(frozen=True)
class ResultTable:
    """One table of a paper."""

    id: str
    title: str
    caption: str
    metrics: tuple[str, ...]  # as heads: 'mAP', 'Rank-1'
    scale: str
    level: str
    groups: tuple[Group, ...]
    left_out: tuple[tuple[str, str, str], ...]  # rows not run: titles, why, the option to run them
    item: Item

    @property
    def one_variant(self) -> bool:
        """Whether all rows come from the same network, which then need not be repeated."""
        return len({row.variant for group in self.groups for row in group.rows}) == 1


def read_long(path: Path) -> pd.DataFrame:
    """The CSV of one table; UserError names a missing file or column."""
    try:
        frame = pd.read_csv(path, dtype={"seeds": str}, keep_default_na=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; `snakemake --cores all {path}` makes it") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError):
        raise UserError(f"{path}: not a readable CSV; delete it and run again") from None
    missing = [name for name in COLUMNS if name not in frame]
    if missing:
        raise UserError(f"{path}: no column '{missing[0]}'; delete it and run again")
    if frame.empty:
        raise UserError(f"{path}: holds no row; delete it and run again")
    return frame


def as_json(frame: pd.DataFrame) -> str:
    """The same rows as a JSON list, for download."""
    rows = json.loads(frame.to_json(orient="records"))
    return json.dumps(rows, indent=1, ensure_ascii=False) + "\n"


def result_table(
    frame: pd.DataFrame,
    config: TableConfig,
    plan: Plan,
    *,
    name: str,
    item: Item,
    left_out: Mapping[str, Sequence[str]] | None = None,
) -> ResultTable:
    """The table as shown: rows grouped a dataset, metrics in the order of the file.

    `left_out` maps a reason to the titles of the rows that are not run for it.
    """
    metrics = tuple(dict.fromkeys(frame["metric"]))
    groups = tuple(
        _group(part, metrics, plan, f"{name}-{dataset}-{subset}")
        for (dataset, subset), part in frame.groupby(["dataset", "subset"], sort=False)
    )
    return ResultTable(
        id=name,
        title=config.title,
        caption=config.caption,
        metrics=tuple(head(metric) for metric in metrics),
        scale=str(frame["scale"].iloc[0]),
        level=formats.level(float(frame["level"].iloc[0])),
        groups=groups,
        left_out=tuple(_left_out(titles, why) for why, titles in (left_out or {}).items()),
        item=item,
    )


def _left_out(titles: Sequence[str], why: str) -> tuple[str, str, str]:
    """The titles of rows that are not run, the reason, and the option that it ends with."""
    reason, dashes, option = why.partition("--")
    return "; ".join(titles), reason, dashes + option


def head(metric: str) -> str:
    """'R5' -> 'Rank-5'."""
    return f"Rank-{metric[1:]}" if metric[0] == "R" and metric[1:].isdecimal() else metric


def _group(frame: pd.DataFrame, metrics: tuple[str, ...], plan: Plan, name: str) -> Group:
    cells = {}
    for metric, column in frame.groupby("metric", sort=False):
        scale = _bar_scale(column)
        best = column["value"].max()
        for record in column.to_dict("records"):
            key = (record["variant"], record["reranker"], metric)
            cells[key] = _cell(record, scale, best=len(column) > 1 and record["value"] == best)
    methods = frame.drop_duplicates(["variant", "reranker"]).to_dict("records")
    empty = Cell(formats.MISSING, "", "not measured", None, False, None)
    rows = tuple(
        Row(
            title=str(method["reranker_title"]),
            variant=str(method["variant_title"]),
            cells=tuple(
                cells.get((method["variant"], method["reranker"], metric), empty)
                for metric in metrics
            ),
        )
        for method in methods
    )
    first = frame.iloc[0]
    dataset = str(first["dataset"])
    return Group(
        id=name,
        dataset=dataset,
        title=dataset_title(plan, dataset),
        subset=str(first["subset"]),
        seeds=formats.seeds(str(first["seeds"]).split()),
        n_query=int(first["n_query"]),
        n_valid=int(first["n_valid"]),
        rows=rows,
        finding=_finding(frame[frame["metric"] == metrics[0]], head(metrics[0])),
    )


def dataset_title(plan: Plan, dataset: str) -> str:
    """The dataset's own title, else its name."""
    settings = plan.config.datasets.get(dataset)
    return settings.title if settings is not None and settings.title else dataset


def _bar_scale(column: pd.DataFrame) -> tuple[float, float] | None:
    """Ends of the axis that all bars of a column in one group share, in percent."""
    low, high = 100 * column["low"].min(), 100 * column["high"].max()
    if not (math.isfinite(low) and math.isfinite(high)):
        return None
    start = max(0, STEP * math.floor(low / STEP))
    return start, max(start + STEP, min(100, STEP * math.ceil(high / STEP)))


def _cell(record: dict[str, float], scale: tuple[float, float] | None, *, best: bool) -> Cell:
    value, low, high, sd = (float(record[key]) for key in ("value", "low", "high", "seed_sd"))
    bar = None
    if scale is not None and all(map(math.isfinite, (value, low, high))):
        width = scale[1] - scale[0]
        ends = (100 * (100 * share - scale[0]) / width for share in (low, value, high))
        first, middle, last = (round(min(100.0, max(0.0, end)), 2) for end in ends)
        bar = (first, middle, last)
    drawn = float(record.get("draw_sd", math.nan))
    over = "seeds" if math.isfinite(sd) else "drawn galleries"
    sd = sd if math.isfinite(sd) else drawn
    spread = formats.percent(sd) if math.isfinite(sd) else None
    spoken = f"{formats.percent(value)} percent"
    if bar:
        spoken += f", interval {formats.percent(low)} to {formats.percent(high)}"
    if spread:
        spoken += f", standard deviation over {over} {spread}"
    return Cell(
        formats.percent(value), formats.interval(low, high), spoken, spread, bool(best), bar
    )


def _finding(column: pd.DataFrame, metric: str) -> str:
    """The best row against the first, in one sentence; the intervals have the last word."""
    column = column.dropna(subset=["value"])
    if column.empty:
        return ""
    first, best = column.iloc[0], column.loc[column["value"].idxmax()]
    names = ["reranker_title"]
    if column["variant"].nunique() > 1 and not column["reranker_title"].is_unique:
        names.insert(0, "variant_title")
    title, base = (" + ".join(str(row[n]) for n in names) for row in (best, first))
    text = (
        f"{title}: highest {metric}, {formats.percent(best['value'])}\N{NO-BREAK SPACE}% "
        f"({formats.interval(best['low'], best['high'])})"
    )
    if len(column) == 1:
        return f"{title}: {text.partition(': highest ')[2]}."
    if best.name == first.name:
        return f"{text}; no other row is above it."
    gain = 100 * (best["value"] - first["value"])
    overlap = best["low"] <= first["high"] and first["low"] <= best["high"]
    return (
        f"{text}, {gain:+.1f} points over {base}"
        f"{'; their intervals overlap' if overlap else '; their intervals do not overlap'}."
    )
