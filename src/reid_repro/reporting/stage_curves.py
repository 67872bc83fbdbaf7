"""The training curve of a detector, as theme-aware SVG, from its history.csv."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from reid_repro.errors import UserError
from reid_repro.reporting import theme
from reid_repro.reporting.svg import Panel, panel_figure, save, style

REQUIRED = ("iteration", "learning_rate", "loss")
NO_LOSS = {*REQUIRED[:2], "images_per_second", "seconds"}


def detector_figure(history: Path, out: Path) -> None:
    """Draw the loss with its parts, and the learning rate, over the iterations.

    `history` has a row an interval between checkpoints: the losses are its means. UserError where
    it is missing or of another form.
    """
    frame = _read(history)
    losses = [name for name in frame if name not in NO_LOSS]
    losses.sort(key=lambda name: name != "loss")
    first, last = frame.iloc[0], frame.iloc[-1]
    with style():
        save(
            [_panel(frame, losses, "Loss"), _panel(frame, ["learning_rate"], "Learning rate")],
            out,
            title="Training curve of the detector",
            description=(
                f"Loss and learning rate over {last['iteration']:,.0f} iterations. The loss falls "
                f"from {first['loss']:.3f} to {last['loss']:.3f}."
                if last["loss"] < first["loss"]
                else f"Loss and learning rate over {last['iteration']:,.0f} iterations. The loss "
                f"is {first['loss']:.3f} at first and {last['loss']:.3f} at the end."
            ),
        )


def _read(history: Path) -> pd.DataFrame:
    try:
        frame = pd.read_csv(history)
    except FileNotFoundError:
        raise UserError(f"{history}: no such file; training the detector writes it") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError):
        raise UserError(f"{history}: not a readable CSV; delete it and run again") from None
    missing = [name for name in REQUIRED if name not in frame]
    if missing or frame.empty:
        what = f"no column '{missing[0]}'" if missing else "no row"
        raise UserError(f"{history}: {what}; delete it and run again")
    return frame


def _panel(frame: pd.DataFrame, columns: list[str], title: str) -> Panel:
    figure = panel_figure(400, 250)
    axes = figure.add_subplot()
    for number, name in enumerate(columns):
        _line(axes, frame, name, number)
    axes.set_ylim(bottom=0)
    axes.set_title(title)
    axes.set_xlabel("Iteration")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    if len(columns) > 1:
        axes.legend(loc="upper right")
    return Panel(figure, f"{title} by iteration")


def _line(axes: Axes, frame: pd.DataFrame, name: str, number: int) -> None:
    label = "total" if name == "loss" else name.removeprefix("loss_").replace("_", " ")
    axes.plot(
        frame["iteration"],
        frame[name],
        color=theme.series(number),
        linestyle=theme.DASHES[number % len(theme.DASHES)],
        marker=theme.MARKERS[number % len(theme.MARKERS)],
        label=label,
    )
