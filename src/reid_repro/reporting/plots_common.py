"""What the plots beyond CMC and sweeps share: two rankings to compare, per-query values, output.

A plot is drawn in memory (`Plot`), shown as a figure of inlined SVG panels, and downloadable as
SVG and as the CSV of its values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from markupsafe import Markup

from reid_repro.ledger.statistics import identity_bootstrap
from reid_repro.ledger.tables import Reader
from reid_repro.plan import Plan, Run
from reid_repro.reporting import formats, provenance
from reid_repro.reporting.assets import Assets
from reid_repro.reporting.plots_canvas import document
from reid_repro.reporting.provenance import Download, Item, command
from reid_repro.reporting.sections import Vector
from reid_repro.reporting.tables import dataset_title
from reid_repro.rows import rows_of

FloatArray = npt.NDArray[np.float64]
BASELINE_TITLE: Final = "Baseline"
MOST_POINTS: Final = 160  # of one line: beyond that a curve is drawn at even quantiles


@dataclass(frozen=True)
class Plot:
    """A drawn figure with its words, its values and the files that they come from."""

    name: str  # within the paper: names files and anchors
    title: str
    caption: str
    description: str
    panels: tuple[str, ...]  # one `<svg>` each
    values: pd.DataFrame
    sources: tuple[Path, ...]


@dataclass(frozen=True)
class Side:
    """One of two rankings: a ranking (RERANKER or SWEEP.POINT) of one variant's features."""

    paper: str
    variant: str
    ranking: str
    title: str

    def runs(self, plan: Plan, dataset: str) -> list[Run]:
        """The planned runs: one a seed."""
        return plan.runs_of_variant(self.paper, self.variant, [dataset])


@dataclass(frozen=True)
class Comparison:
    """The ranking that a paper proposes, and the one that it is held against."""

    base: Side
    main: Side


def comparison(plan: Plan, paper: str, dataset: str) -> Comparison | None:
    """What to compare on a dataset; None where a paper plans a single ranking there.

    The main variant of a paper is its first one; its base is the variant called "Baseline", else
    the next one that is planned. A single variant is compared by its first and last re-ranker, and
    a paper without networks by the first and last row of its first table.
    """
    settings = plan.papers[paper]
    planned = plan.variants_on(paper, dataset)
    if len(planned) > 1:
        titles = {name: settings.variants[name].title for name in planned}
        others = sorted(planned[1:], key=lambda name: titles[name] != BASELINE_TITLE)
        ranking = settings.rerankers[0]
        main, base = (Side(paper, name, ranking, titles[name]) for name in (planned[0], others[0]))
        return Comparison(base, main)
    if planned and len(settings.rerankers) > 1:
        first, last = settings.rerankers[0], settings.rerankers[-1]
        base, main = (
            Side(paper, planned[0], name, plan.config.rerankers[name].title)
            for name in (first, last)
        )
        return Comparison(base, main)
    if settings.variants:
        return None
    for table in settings.tables:
        rows = rows_of(plan, paper, table)
        if len(rows) > 1:
            base, main = (
                Side(row.paper, row.variant, row.ranking, row.title) for row in (rows[0], rows[-1])
            )
            return Comparison(base, main)
    return None


@dataclass(frozen=True)
class PerQuery:
    """Average precision a query, mean over the seeds: three columns of one length.

    `query` is the row of images.parquet; of repeated trials a query stands there once a trial.
    """

    query: npt.NDArray[np.int64]
    identity: npt.NDArray[np.int64]
    ap: FloatArray
    files: tuple[Path, ...]


def per_query(
    read: Reader, plan: Plan, paper: str, side: Side, dataset: str, subset: str
) -> PerQuery:
    """The AP of every valid query; UserError names a missing file."""
    scores = [read.ranking(paper, run, subset, side.ranking) for run in side.runs(plan, dataset)]
    frame = scores[0].per_query
    return PerQuery(
        query=frame["query"].to_numpy(np.int64),
        identity=frame["identity"].to_numpy(np.int64),
        ap=np.mean([one.per_query["AP"].to_numpy(np.float64) for one in scores], axis=0),
        files=tuple(one.file for one in scores),
    )


def interval(
    plan: Plan, values: FloatArray, identity: npt.NDArray[np.int64]
) -> tuple[float, float]:
    """Ends of the bootstrap interval of a mean over queries, by the plan's settings."""
    settings = plan.config.statistics
    low, high = identity_bootstrap(
        values, identity, resamples=settings.resamples, level=settings.level, seed=settings.seed
    )
    return float(low), float(high)


def scope(plan: Plan, dataset: str, *, first_seed: bool = False) -> str:
    """'Demo scale, Rendered vehicles, seed 0': what a caption's numbers hold for."""
    seeds = plan.config.seeds[:1] if first_seed else plan.config.seeds
    title = dataset_title(plan, dataset)
    return f"{plan.config.scale.capitalize()} scale, {title}, {formats.seeds(seeds)}"


def level(plan: Plan) -> str:
    """'95 %', the level of the intervals."""
    return formats.level(plan.config.statistics.level)


def at_quantiles(ordered: FloatArray, most: int = MOST_POINTS) -> tuple[FloatArray, FloatArray]:
    """A sorted curve at no more than `most` places: (place 0..1, value), the ends included."""
    places = np.linspace(0, 1, min(most, max(2, len(ordered))))
    values = np.interp(places, np.linspace(0, 1, len(ordered)), ordered)
    return places, values


def vector(plan: Plan, paper: str, results: Path, assets: Assets, plot: Plot) -> Vector:
    """A plot as the pages show it, its SVG and CSV among the files of the report."""
    name = f"{plot.name}-{paper}"
    whole = document(plot.panels, plot.title, plot.description)
    csv = plot.values.to_csv(index=False, lineterminator="\n")
    downloads = (
        Download("SVG", assets.text(whole, f"figures/{paper}/{plot.name}.svg")),
        Download("CSV", assets.text(csv, f"figures/{paper}/{plot.name}.csv")),
    )
    return Vector(
        id=name,
        title=plot.title,
        description=plot.description,
        caption=plot.caption,
        panels=tuple(Markup(panel) for panel in plot.panels),
        item=Item(
            sources=provenance.sources(results, plot.sources),
            downloads=downloads,
            command=command(plan, f"report/papers/{paper}.html"),
        ),
    )


def existing(files: Sequence[Path]) -> bool:
    """Whether all of `files` are there: a plot without its data is not drawn."""
    return all(file.is_file() for file in files)
