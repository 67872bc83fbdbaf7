"""CMC curves with bootstrap bands, and training curves, as theme-aware SVG.

The CMC (cumulative matching characteristic) at rank k is the share of valid queries whose first
right answer is among the first k. Its band is the bootstrap over identities that the tables use
(`ledger.statistics`), computed from the hits of the per-query files (`ledger.tables.hit_share`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from reid_repro.config import StatisticsConfig
from reid_repro.errors import UserError
from reid_repro.files import read_json, read_parquet
from reid_repro.ledger.statistics import identity_bootstrap
from reid_repro.ledger.tables import hit_share
from reid_repro.paths import per_query_file
from reid_repro.reporting import theme
from reid_repro.reporting.svg import Panel, panel_figure, save, style

FloatArray = npt.NDArray[np.float64]
ZOOM = 10
# History columns that are losses, in the order of the legend; others are appended by name.
LOSS_TITLES = {"loss": "total", "loss_identity": "identity", "loss_metric": "metric"}


@dataclass
class _Curve:
    """One line of the CMC figure: a re-ranker on a subset, over one or several seeds."""

    title: str
    cmc: list[FloatArray] = field(default_factory=list)
    per_query: list[pd.DataFrame] = field(default_factory=list)
    n_valid: int = 0

    @property
    def mean(self) -> FloatArray:
        return np.asarray(np.mean(self.cmc, axis=0), dtype=np.float64)

    def band(self, statistics: StatisticsConfig) -> tuple[FloatArray, FloatArray]:
        """Lower and upper end of the interval at every rank, as shares.

        Seeds answer the same queries: their hits are averaged a query first, as in the tables, so
        that the seeds do not count as independent queries.
        """
        ranks = np.arange(1, len(self.cmc[0]) + 1)
        hits = [hit_share(frame, ranks) for frame in self.per_query]
        return identity_bootstrap(
            np.mean(hits, axis=0),
            self.per_query[0]["identity"].to_numpy(),
            resamples=statistics.resamples,
            level=statistics.level,
            seed=statistics.seed,
        )


def cmc_figure(metrics: Sequence[Path], out: Path, *, statistics: StatisticsConfig) -> None:
    """CMC 1-50 and a zoom on ranks 1-10, one line a re-ranker, with bootstrap bands.

    `metrics` are metrics JSON files (any order of seeds; the order of re-rankers is the order of
    the legend) whose `.per_query.parquet` lies beside them.
    """
    if not metrics:
        raise UserError(f"{out}: no metrics files given; at least one is needed")
    curves = _curves(metrics)
    bands = [curve.band(statistics) for curve in curves]
    depth = len(curves[0].cmc[0])
    level = f"{statistics.level:.0%}".replace("%", " %")
    with style():
        panels = [
            _cmc_panel(curves, bands, depth, legend=True),
            _cmc_panel(curves, bands, min(ZOOM, depth), legend=False),
        ]
        save(
            panels,
            out,
            title="Cumulative matching characteristic",
            description=(
                f"CMC curves of {', '.join(curve.title for curve in curves)} over ranks 1 to "
                f"{depth}, with a zoom on ranks 1 to {min(ZOOM, depth)}; bands are {level} "
                "bootstrap intervals over identities. "
                + " ".join(
                    f"{curve.title}: Rank-1 {100 * curve.mean[0]:.1f} %." for curve in curves
                )
            ),
        )


def _curves(metrics: Sequence[Path]) -> list[_Curve]:
    contents: list[dict[str, Any]] = [read_json(path) for path in metrics]
    subsets = {content["subset"] for content in contents}
    curves: dict[tuple[str, str], _Curve] = {}
    for path, content in zip(metrics, contents, strict=True):
        title = content["title"]
        if len(subsets) > 1:
            title = f"{title}, {content['subset']}"
        curve = curves.setdefault((content["subset"], content["reranker"]), _Curve(title))
        curve.cmc.append(np.asarray(content["cmc"], dtype=float))
        curve.per_query.append(read_parquet(per_query_file(path)))
        curve.n_valid = content["n_valid"]
    return list(curves.values())


def _cmc_panel(
    curves: list[_Curve], bands: list[tuple[FloatArray, FloatArray]], last: int, *, legend: bool
) -> Panel:
    figure = panel_figure(400, 290)
    axes = figure.add_subplot()
    ranks = np.arange(1, last + 1)
    marked = [rank - 1 for rank in (1, 5, 10, 20, 30, 40, 50) if rank <= last]
    for number, (curve, (low, high)) in enumerate(zip(curves, bands, strict=True)):
        colour = theme.series(number)
        axes.fill_between(
            ranks, 100 * low[:last], 100 * high[:last], color=colour, alpha=0.14, linewidth=0
        )
        for single in curve.cmc if len(curve.cmc) > 1 else ():
            axes.plot(ranks, 100 * single[:last], color=colour, linewidth=0.7, alpha=0.55)
        axes.plot(
            ranks,
            100 * curve.mean[:last],
            color=colour,
            linestyle=theme.DASHES[number % len(theme.DASHES)],
            marker=theme.MARKERS[number % len(theme.MARKERS)],
            markevery=marked if legend else 1,
            label=curve.title,
        )
    axes.set_title(f"Ranks 1 to {last}")
    axes.set_xlabel("Rank")
    axes.set_ylabel("Queries with a right answer (%)")
    axes.set_xticks([1, *range(10, last + 1, 10)] if last > ZOOM else list(ranks))
    axes.set_xlim(1 - 0.02 * last, last + 0.02 * last)
    if axes.get_ylim()[1] > 100:
        axes.set_ylim(top=100.5)
    if legend:
        axes.legend(loc="lower right")
    return Panel(figure, f"CMC curves over ranks 1 to {last}")


def training_figure(histories: Sequence[Path], out: Path) -> None:
    """Loss and its parts, training accuracy and learning rate by epoch; a line a seed.

    `histories` are history.csv files of runs that differ in the seed alone.
    """
    if not histories:
        raise UserError(f"{out}: no history files given; at least one is needed")
    frames = [_history(path) for path in histories]
    losses = [name for name in LOSS_TITLES if name in frames[0]]
    losses += [n for n in frames[0] if n.startswith("loss_") and n not in losses]
    last = frames[0].iloc[-1]
    with style():
        panels = [
            _loss_panel(frames, losses),
            _history_panel(frames, "accuracy", "Training accuracy", "%", factor=100),
            _history_panel(frames, "learning_rate", "Learning rate", "", factor=1),
        ]
        save(
            panels,
            out,
            title="Training curves",
            description=(
                f"Loss, training accuracy and learning rate over {len(frames[0])} epochs, "
                f"{len(frames)} seed{'s' if len(frames) > 1 else ''}. After the last epoch the "
                f"loss is {last['loss']:.3f} and the training accuracy "
                f"{100 * last['accuracy']:.1f} %."
            ),
        )


def _history(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; training writes it") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError):
        raise UserError(f"{path}: not a readable CSV; delete it and run again") from None
    missing = {"epoch", "loss", "accuracy", "learning_rate"} - set(frame)
    if missing or frame.empty:
        what = f"no column '{sorted(missing)[0]}'" if missing else "no epoch"
        raise UserError(f"{path}: {what}; delete it and run again")
    return frame


def _loss_panel(frames: list[pd.DataFrame], losses: list[str]) -> Panel:
    figure = panel_figure(300, 250)
    axes = figure.add_subplot()
    for number, name in enumerate(losses):
        label = LOSS_TITLES.get(name, name.removeprefix("loss_").replace("_", " "))
        _draw_history(axes, frames, name, factor=1, number=number, label=label)
    axes.set_ylim(bottom=0)
    axes.set_title("Loss")
    axes.legend(loc="upper right")
    return Panel(figure, "Training loss and its parts by epoch")


def _history_panel(
    frames: list[pd.DataFrame], column: str, title: str, unit: str, *, factor: float
) -> Panel:
    figure = panel_figure(300, 250)
    axes = figure.add_subplot()
    _draw_history(axes, frames, column, factor=factor, number=0, label=None)
    axes.set_ylim(bottom=0)
    axes.set_title(f"{title} ({unit})" if unit else title)
    return Panel(figure, f"{title} by epoch")


def _draw_history(
    axes: Axes,
    frames: list[pd.DataFrame],
    column: str,
    *,
    factor: float,
    number: int,
    label: str | None,
) -> None:
    for seed, frame in enumerate(frames):
        axes.plot(
            frame["epoch"],
            factor * frame[column],
            color=theme.series(number),
            linestyle=theme.DASHES[number % len(theme.DASHES)],
            marker=theme.MARKERS[number % len(theme.MARKERS)],
            markevery=max(1, len(frame) // 8),
            markersize=3.5,
            alpha=1.0 if seed == 0 else 0.6,
            label=label if seed == 0 else None,
        )
    axes.set_xlabel("Epoch")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
