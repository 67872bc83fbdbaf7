"""Change of average precision a query between two rankings of the same queries, sorted.

A mean says that a method gains; the sorted changes say whether it gains a little everywhere or
much on a few queries, and how many it costs.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from reid_repro.errors import UserError
from reid_repro.ledger.tables import Reader, per_query_file
from reid_repro.plan import Plan
from reid_repro.reporting.plots_axes import Axis, around
from reid_repro.reporting.plots_canvas import Canvas
from reid_repro.reporting.plots_common import (
    Comparison,
    FloatArray,
    Plot,
    at_quantiles,
    comparison,
    interval,
    level,
    per_query,
    scope,
)
from reid_repro.reporting.tables import dataset_title

SAME = 0.0005  # in AP: what would be printed as no change


def plot(plan: Plan, paper: str, dataset: str, read: Reader) -> Plot | None:
    """The waterfall of the paper's comparison on a dataset's first subset."""
    sides = comparison(plan, paper, dataset)
    if sides is None:
        return None
    subset = plan.subsets(dataset)[0]
    base = per_query(read, plan, paper, sides.base, dataset, subset)
    main = per_query(read, plan, paper, sides.main, dataset, subset)
    if not np.array_equal(base.query, main.query):
        raise UserError(
            f"{main.files[0]}: other queries than in {base.files[0]}; delete both and run again"
        )
    change = main.ap - base.ap
    mean = float(change.mean())
    low, high = interval(plan, change, main.identity)
    panel = _panel(change, mean, (low, high), sides)
    return Plot(
        name=f"change-{dataset}",
        title=f"Change of AP a query on {dataset_title(plan, dataset)}",
        caption=(
            f"{sides.main.title} against {sides.base.title}: the queries in the order of their "
            f"change. Line and band: the mean and its {level(plan)} interval (bootstrap over "
            f"identities). {scope(plan, dataset)}, {len(change):,} queries."
        ),
        description=words(change, mean, (low, high), sides),
        panels=(panel,),
        values=pd.DataFrame(
            {
                "query": main.query,
                "identity": main.identity,
                "AP_base": np.round(base.ap, 6),
                "AP_main": np.round(main.ap, 6),
                "change": np.round(change, 6),
            }
        ).sort_values(["change", "query"], kind="stable"),
        sources=tuple(per_query_file(file) for file in (*base.files, *main.files)),
    )


def shares(change: FloatArray) -> tuple[float, float]:
    """The shares of queries that gain and that lose."""
    return float((change > SAME).mean()), float((change < -SAME).mean())


def words(change: FloatArray, mean: float, ends: tuple[float, float], sides: Comparison) -> str:
    """The figure in words."""
    gains, losses = shares(change)
    return (
        f"From {sides.base.title} to {sides.main.title}, {100 * gains:.0f} % of {len(change):,} "
        f"queries gain average precision and {100 * losses:.0f} % lose some; the mean change is "
        f"{100 * mean:+.1f} points, interval {100 * ends[0]:+.1f} to {100 * ends[1]:+.1f}."
    )


def _panel(change: FloatArray, mean: float, ends: tuple[float, float], sides: Comparison) -> str:
    places, values = at_quantiles(100 * np.sort(change)[::-1])
    places = 100 * places
    gains, losses = shares(change)
    canvas = Canvas(
        Axis(0, 100, "Queries (%)"),
        Axis(*around([*values, 0]), "Change of AP (points)"),
        title=sides.main.title,
        label=f"Change of AP a query: {sides.main.title} against {sides.base.title}",
        legend=[
            (f"{100 * gains:.0f} % gain", "area", 0, 0),
            (f"{100 * losses:.0f} % lose", "area", 1, 0),
            (f"mean {100 * mean:+.1f}".replace("-", "\N{MINUS SIGN}"), "line", 2, 1),
        ],
    )
    nothing = np.zeros_like(values)
    canvas.area(places, nothing, np.maximum(values, 0), 0, 0.35)
    canvas.area(places, nothing, np.minimum(values, 0), 1, 0.35)
    canvas.across(0)
    canvas.area([0, 100], [100 * ends[0]] * 2, [100 * ends[1]] * 2, 2, 0.22)
    canvas.across(100 * mean, "series2", dash=1)
    return canvas.svg()
