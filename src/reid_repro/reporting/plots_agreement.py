"""Printed against measured values at paper scale, with the band that counts as reproduced.

On axes of 0 to 100 the tolerance is a hair: a second panel shows the differences themselves.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from reid_repro import verdict_settings
from reid_repro.plan import Plan
from reid_repro.reporting import formats
from reid_repro.reporting.plots_axes import Axis, around
from reid_repro.reporting.plots_canvas import MARKERS, Canvas, Marker
from reid_repro.reporting.plots_common import Plot
from reid_repro.reporting.plots_ledger import ledger_file, read_ledger

# verdict -> (series, mark); in the order of the legend
VERDICTS: Final[dict[str, tuple[int, Marker]]] = {
    verdict: (number, marker)
    for number, (verdict, marker) in enumerate(
        zip(("reproduced", "exceeds", "below", "inconclusive"), MARKERS, strict=True)
    )
}
KINDS: Final = {"mAP": "mAP", "rank": "Rank-k"}


def plots(plan: Plan, paper: str, results: Path) -> list[Plot]:
    """A plot of mAP and one of rank-k rates; none where no cell was judged against print."""
    ledger = read_ledger(results, paper)
    if ledger is None:
        return []
    judged = ledger[ledger["verdict"].isin(list(VERDICTS)) & ledger["value"].notna()]
    if judged.empty:
        return []
    band = verdict_settings.read().values.band
    kinds = judged["metric"].map(lambda metric: "mAP" if metric == "mAP" else "rank")
    found = []
    for kind in KINDS:
        cells = judged[kinds == kind]
        if len(cells):
            metric = str(cells["metric"].iloc[0])
            found.append(_plot(plan, paper, results, cells, kind, band.of(metric)))
    return found


def _plot(
    plan: Plan, paper: str, results: Path, cells: pd.DataFrame, kind: str, tolerance: float
) -> Plot:
    counts = cells["verdict"].value_counts()
    listed = ", ".join(f"{counts.get(name, 0)} {name}" for name in VERDICTS)
    return Plot(
        name=f"agreement-{kind.lower()}",
        title=f"Printed against measured: {KINDS[kind]}",
        caption=(
            f"Each printed cell that was measured at paper scale; bars: "
            f"{formats.level(float(cells['level'].iloc[0]))} intervals. "
            f"Band: {tolerance:g} points to both sides; a cell's own band is wider where its seeds "
            f"spread more. {formats.seeds(plan.config.seeds).capitalize()}."
        ),
        description=(
            f"{len(cells)} printed values of {KINDS[kind]} against ours: {listed}. The median "
            f"difference, ours minus printed, is {cells['difference'].median():+.2f} points."
        ),
        panels=(_scatter(cells, kind, tolerance), _differences(cells, kind, tolerance)),
        values=cells[
            [
                *("table", "row", "dataset", "split", "metric", "printed"),
                *("value", "low", "high", "difference", "verdict"),
            ]
        ],
        sources=(ledger_file(results, paper),),
    )


def _scatter(cells: pd.DataFrame, kind: str, tolerance: float) -> str:
    low, high = around([*cells["printed"], *cells["value"]])
    canvas = Canvas(
        Axis(low, high, f"Printed {KINDS[kind]} (%)"),
        Axis(low, high, "Measured (%)"),
        title="Measured over printed",
        label=f"Measured over printed {KINDS[kind]}",
        height=330,
        legend=[(name, VERDICTS[name][1], VERDICTS[name][0], 0) for name in _seen(cells)],
    )
    ends = [low, high]
    canvas.area(ends, [v - tolerance for v in ends], [v + tolerance for v in ends], 5, 0.25)
    canvas.line(ends, ends, 5, width=1)
    for name in _seen(cells):
        mine = cells[cells["verdict"] == name]
        number, marker = VERDICTS[name]
        canvas.dots(mine["printed"].to_numpy(), mine["value"].to_numpy(), number, marker)
    return canvas.svg()


def _differences(cells: pd.DataFrame, kind: str, tolerance: float) -> str:
    ends = [
        (cells[name] - cells["printed"]).fillna(cells["difference"]) for name in ("low", "high")
    ]
    canvas = Canvas(
        Axis(*around(cells["printed"]), f"Printed {KINDS[kind]} (%)"),
        Axis(
            *around([*ends[0], *ends[1], -tolerance, tolerance]),
            "Ours \N{MINUS SIGN} printed (points)",
        ),
        title="Differences",
        label=f"Differences of measured and printed {KINDS[kind]}",
        height=330,
        legend=[(name, VERDICTS[name][1], VERDICTS[name][0], 0) for name in _seen(cells)],
    )
    both = [canvas.x.low, canvas.x.high]
    canvas.area(both, [-tolerance] * 2, [tolerance] * 2, 5, 0.25)
    canvas.across(0)
    for name in _seen(cells):
        mine = cells["verdict"] == name
        number, marker = VERDICTS[name]
        printed = cells.loc[mine, "printed"].to_numpy()
        canvas.bars(printed, ends[0][mine].to_numpy(), ends[1][mine].to_numpy(), number)
        canvas.dots(printed, cells.loc[mine, "difference"].to_numpy(), number, marker)
    return canvas.svg()


def _seen(cells: pd.DataFrame) -> list[str]:
    present = set(cells["verdict"])
    return [name for name in VERDICTS if name in present]
