"""mAP by the camera of the query: where a mean over all queries hides a camera that fails."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from reid_repro.files import read_parquet
from reid_repro.ledger.tables import Reader, per_query_file
from reid_repro.plan import Plan
from reid_repro.reporting.plots_axes import Axis, around
from reid_repro.reporting.plots_canvas import LINE, Canvas
from reid_repro.reporting.plots_common import (
    PerQuery,
    Plot,
    Side,
    comparison,
    interval,
    level,
    per_query,
    scope,
)
from reid_repro.reporting.tables import dataset_title

MOST: Final = 24  # cameras drawn; of more the lowest and the highest
COLUMNS: Final = ("camera", "queries", "identities", "mAP", "low", "high")


def plot(plan: Plan, paper: str, dataset: str, results: Path, read: Reader) -> Plot | None:
    """mAP a camera of the paper's main ranking; None where cameras are unknown, or only one."""
    side = _main(plan, paper, dataset)
    images = results / "data" / dataset / "images.parquet"
    if side is None or not images.is_file():
        return None
    subset = plan.subsets(dataset)[0]
    queries = per_query(read, plan, paper, side, dataset, subset)
    cameras = read_parquet(images)["camera"].to_numpy(np.int64)[queries.query]
    table = by_camera(plan, queries, cameras)
    if len(table) < 2:
        return None
    overall = float(queries.ap.mean())
    worst, best = table.loc[table["mAP"].idxmin()], table.loc[table["mAP"].idxmax()]
    drawn = _drawn(table)
    left = (
        ""
        if len(drawn) == len(table)
        else (f" The {len(drawn) // 2} lowest and highest of {len(table)} cameras.")
    )
    panel = _panel(drawn, overall, side.title)
    return Plot(
        name=f"cameras-{dataset}",
        title=f"mAP by camera on {dataset_title(plan, dataset)}",
        caption=(
            f"{side.title}: mean AP of the queries that a camera took, with their number and "
            f"{level(plan)} intervals (bootstrap over identities). Dashed: all queries."
            f"{left} {scope(plan, dataset)}."
        ),
        description=(
            f"mAP of {side.title} by the query's camera, {100 * overall:.1f} % over all: from "
            f"{100 * worst['mAP']:.1f} % (camera {worst['camera']:.0f}, {worst['queries']:.0f} "
            f"queries) to {100 * best['mAP']:.1f} % (camera {best['camera']:.0f}, "
            f"{best['queries']:.0f} queries)."
        ),
        panels=(panel,),
        values=table.round(6),
        sources=(*(per_query_file(file) for file in queries.files), images),
    )


def by_camera(plan: Plan, queries: PerQuery, cameras: npt.NDArray[np.int64]) -> pd.DataFrame:
    """A row a known camera, in their order: queries, identities, mAP and its interval."""
    rows = []
    for camera in np.unique(cameras[cameras >= 0]):
        mine = cameras == camera
        ap, identity = queries.ap[mine], queries.identity[mine]
        low, high = interval(plan, ap, identity)
        rows.append((int(camera), len(ap), len(np.unique(identity)), ap.mean(), low, high))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _main(plan: Plan, paper: str, dataset: str) -> Side | None:
    found = comparison(plan, paper, dataset)
    if found is not None:
        return found.main
    planned = plan.variants_on(paper, dataset)
    if not planned:
        return None
    settings = plan.papers[paper]
    title = settings.variants[planned[0]].title
    return Side(paper, planned[0], settings.rerankers[0], title)


def _drawn(table: pd.DataFrame) -> pd.DataFrame:
    if len(table) <= MOST:
        return table
    ordered = table.sort_values(["mAP", "camera"])
    return pd.concat([ordered.head(MOST // 2), ordered.tail(MOST // 2)])


def _panel(table: pd.DataFrame, overall: float, title: str) -> str:
    places = np.arange(len(table), 0, -1, dtype=np.float64)
    value, low, high = (100 * table[name].to_numpy() for name in ("mAP", "low", "high"))
    names = [
        f"{camera} ({queries:,})"
        for camera, queries in zip(table["camera"], table["queries"], strict=True)
    ]
    canvas = Canvas(
        Axis(*around([*low, *high, 100 * overall]), "mAP (%)"),
        Axis(
            0.3,
            len(table) + 0.7,
            "Camera (queries)",
            ticks=tuple(zip(places.tolist(), names, strict=True)),
            grid=False,
        ),
        title=title,
        label=f"mAP by camera: {title}",
        height=90 + (LINE + 2) * len(table),
        legend=[("a camera", "dot", 0, 0), ("all queries", "line", 2, 1)],
    )
    canvas.upright(100 * overall, "series2", dash=1)
    canvas.levels(places, low, high, 0)
    canvas.dots(value, places, 0)
    return canvas.svg()
