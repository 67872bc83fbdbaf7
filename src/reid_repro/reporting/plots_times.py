"""Accuracy over the time that it takes, on a log axis: as measured here and as printed.

Two forms of the same question. A printed table may give a time and an mAP in one row (Table 7 of
GLAD and of SSR-Net); or a paper prints times of methods at the sizes of benchmarks in one table and
their accuracy on these in another one (Tables 4 and 5 of the GNN paper).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from reid_repro.paper import ReRankingTiming
from reid_repro.plan import Plan
from reid_repro.reporting import formats
from reid_repro.reporting.plots_axes import Axis, around
from reid_repro.reporting.plots_canvas import Canvas, Marker
from reid_repro.reporting.plots_common import Plot, existing
from reid_repro.reporting.plots_ledger import ledger_file, read_ledger
from reid_repro.reporting.times import SIZE_TITLES

SECONDS: Final = {"time_ms": 1e-3, "time_s": 1.0, "infer_s_per_img": 1.0}  # printed units
PLATFORMS: Final = ("CPU", "GPU")
_CITED = re.compile(r"\s*(\[\d+\]|\((CPU|GPU)\))")


@dataclass(frozen=True)
class Point:
    """A method: seconds and mAP with the ends of its interval (nan where there is none)."""

    label: str
    platform: str
    seconds: float
    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def drawn(self) -> bool:
        """Whether both coordinates are there."""
        return self.seconds > 0 and math.isfinite(self.seconds) and math.isfinite(self.value)


@dataclass(frozen=True)
class Points:
    """What one figure shows; `bare` is the mAP without re-ranking, ours and printed."""

    name: str
    title: str
    caption: str
    ours: tuple[Point, ...]
    printed: tuple[Point, ...]
    bare: tuple[float, float] = (math.nan, math.nan)


def plots(plan: Plan, paper: str, results: Path) -> Iterator[Plot]:
    """Every table of times whose rows have an accuracy that was measured."""
    ledger = read_ledger(results, paper)
    if ledger is None:
        return
    tables = _time_tables(plan, paper, results)
    for points in [*of_rows(ledger), *of_methods(plan, paper, ledger, tables)]:
        if len({one.label for one in points.ours}) < 2:
            continue
        yield Plot(
            name=points.name,
            title=points.title,
            caption=points.caption,
            description=_words(points),
            panels=_panels(points),
            values=_values(points),
            sources=(ledger_file(results, paper), *tables.values()),
        )


def of_rows(ledger: pd.DataFrame) -> Iterator[Points]:
    """Printed tables in which a row has both a time and an mAP."""
    for table, cells in ledger.groupby("table", sort=False):
        ours, printed = [], []
        for row, part in cells.groupby("row", sort=False):
            times = part[part["metric"].isin(list(SECONDS))]
            scores = part[part["metric"] == "mAP"]
            if times.empty or scores.empty:
                continue
            time, score = times.iloc[0], scores.iloc[0]
            unit = SECONDS[str(time["metric"])]
            label = _short(str(row))
            ends = (float(score["low"]), float(score["high"]))
            ours.append(Point(label, "", unit * time["value"], float(score["value"]), *ends))
            printed.append(Point(label, "", unit * time["printed"], float(score["printed"])))
        if ours:
            yield Points(
                f"times-{_slug(str(table))}",
                f"{table}: accuracy over time",
                "The time of one query or image, measured here at the printed size, and the mAP of "
                "the same setting at this scale; beside it what the paper prints. Platforms differ:"
                " compare orders within a panel, not across.",
                _only_drawn(ours),
                _only_drawn(printed),
            )


def of_methods(
    plan: Plan, paper: str, ledger: pd.DataFrame, tables: dict[str, Path]
) -> Iterator[Points]:
    """Times of methods at a benchmark's size against the methods' mAP on that benchmark."""
    for table, file in tables.items():
        frame = pd.read_csv(file)
        for size in dict.fromkeys(frame["column"]):
            title = SIZE_TITLES.get(size, size)
            scores = _scores_on(plan, ledger, title)
            if scores is None:
                continue
            found = frame[frame["column"] == size]
            methods = [_method_of(plan, paper, table, row) for row in found["row"]]
            ours, printed = [], []
            for record, method in zip(found.to_dict("records"), methods, strict=True):
                if method not in scores:
                    continue
                score = scores[method]
                label, platform = str(record["row_title"]), str(record["platform"])
                value, low, high = (float(score[name]) for name in ("value", "low", "high"))
                ours.append(Point(label, platform, float(record["seconds"]), value, low, high))
                time = float(record["printed_seconds"])
                printed.append(Point(label, platform, time, float(score["printed"])))
            bare = scores.get("none")
            yield Points(
                f"times-{table}-{size}",
                f"Re-ranking: accuracy over time, {title}",
                f"Time at the size of {title} on simulated features, from resident features to the "
                "last distance row, and the mAP of the same method at this scale; beside it what "
                "the paper prints. Line: without re-ranking. Platforms differ: compare orders "
                "within a panel, not across.",
                _only_drawn(ours),
                _only_drawn(printed),
                (math.nan, math.nan)
                if bare is None
                else (float(bare["value"]), float(bare["printed"])),
            )


def _time_tables(plan: Plan, paper: str, results: Path) -> dict[str, Path]:
    """The CSV files of a paper's tables of re-ranking times by size, where they are made."""
    settings = plan.papers[paper]
    found = {}
    for name, table in settings.time_tables.items():
        file = results / "tables" / paper / f"{name}.csv"
        of_methods = isinstance(settings.timings[table.timing], ReRankingTiming)
        if of_methods and table.columns == "sizes" and existing([file]):
            found[name] = file
    return found


def _method_of(plan: Plan, paper: str, table: str, row: str) -> str:
    """The class of the method that a row ('4:gnn2') times."""
    settings = plan.papers[paper]
    timing = settings.timings[settings.time_tables[table].timing]
    assert isinstance(timing, ReRankingTiming)
    return str(timing.methods[row.partition(":")[2]].method)


def _scores_on(plan: Plan, ledger: pd.DataFrame, title: str) -> dict[str, pd.Series] | None:
    """Class of the method -> its mAP cell, from the table that compares most methods there."""
    cells = ledger[(ledger["metric"] == "mAP") & (ledger["dataset"].map(_plain) == _plain(title))]
    rerankers = plan.config.rerankers
    best: dict[str, pd.Series] = {}
    for _, part in cells.groupby("table", sort=False):
        found = {
            str(rerankers[cell["ranking"]].method): cell
            for _, cell in part.iterrows()
            if cell["ranking"] in rerankers and math.isfinite(cell["value"])
        }
        if len(found) > len(best):
            best = found
    return best if len(best) > 1 else None


def _plain(name: str) -> str:
    """'Oxford-5k' and 'Oxford5k' are one name."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _short(row: str) -> str:
    """A row's label without citations, its parameters in signs."""
    return _CITED.sub("", row).replace("theta=", "θ ").replace("dim=", "")


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _only_drawn(points: list[Point]) -> tuple[Point, ...]:
    return tuple(one for one in points if one.drawn)


def _panels(points: Points) -> tuple[str, ...]:
    titles = ("Measured here", "As printed")
    return tuple(
        _panel(title, shown, bare)
        for title, shown, bare in zip(
            titles, (points.ours, points.printed), points.bare, strict=True
        )
        if shown
    )


def _panel(title: str, points: tuple[Point, ...], bare: float) -> str:
    seconds = [one.seconds for one in points]
    ends = [end for one in points for end in (one.value, one.low, one.high)]
    platforms = [name for name in PLATFORMS if name in {one.platform for one in points}]
    marks: dict[str, Marker] = {name: "square" if name == "GPU" else "dot" for name in platforms}
    legend: list[tuple[str, Marker, int | str, int]] = [
        (name, mark, number, 0) for number, (name, mark) in enumerate(marks.items())
    ]
    if math.isfinite(bare):
        legend.append(("no re-ranking", "line", "muted", 1))
    canvas = Canvas(
        Axis(min(seconds) / 1.6, max(seconds) * 1.9, "Seconds (log scale)", log=True),
        Axis(*around([*ends, bare], part=0.1), "mAP (%)"),
        title=title,
        label=f"mAP over seconds, {title.lower()}",
        height=300,
        legend=legend,
    )
    if math.isfinite(bare):
        canvas.across(bare, dash=1)
    ranged = [one for one in points if math.isfinite(one.low)]
    for number, name in enumerate(platforms or [""]):
        mine = [one for one in ranged if one.platform == name]
        lows, highs = [one.low for one in mine], [one.high for one in mine]
        canvas.bars([one.seconds for one in mine], lows, highs, number)
    canvas.words([(one.seconds, one.value, one.label) for one in points])
    for number, name in enumerate(platforms or [""]):
        mine = [one for one in points if one.platform == name]
        mark = marks.get(name, "dot")
        canvas.dots([one.seconds for one in mine], [one.value for one in mine], number, mark)
    return canvas.svg()


def _words(points: Points) -> str:
    parts = [
        f"{one.label}{' on ' + one.platform if one.platform else ''}: "
        f"{formats.short_time(one.seconds)}, mAP {one.value:.1f} %"
        for one in points.ours
    ]
    return f"{points.title}, measured here. {'; '.join(parts)}."


def _values(points: Points) -> pd.DataFrame:
    rows = [
        (where, one.label, one.platform, one.seconds, one.value, one.low, one.high)
        for where, shown in (("here", points.ours), ("printed", points.printed))
        for one in shown
    ]
    names = ["measured", "method", "platform", "seconds", "mAP", "low", "high"]
    return pd.DataFrame(rows, columns=names).round(6)
