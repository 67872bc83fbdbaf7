"""Tables of the detectors' scores: recall and precision of part boxes, PCK of joints.

Every table comes from `summary.json` and, where the truth is known, `evaluation.json` of one
dataset; its numbers as they are go beside the page as CSV.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reid_repro.datasets.places import FILLED
from reid_repro.reporting import formats
from reid_repro.reporting.tables import Cell

Facts = Mapping[str, Any]
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class ScoreRow:
    """A row: its head, a second line of it, and the cells."""

    title: str
    note: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class ScoreTable:
    """A table of one dataset."""

    name: str
    title: str
    caption: str
    heads: tuple[str, ...]  # that of the rows first
    rows: tuple[ScoreRow, ...]
    totals: tuple[ScoreRow, ...]
    frame: pd.DataFrame  # the numbers behind it


def parts_tables(summary: Facts, evaluation: Facts | None) -> tuple[ScoreTable, ...]:
    """Recall at D with the images that needed filling, and average precision by class."""
    return _by_boxes(summary, evaluation), _by_class(summary, evaluation)


def keypoints_tables(
    summary: Facts, evaluation: Facts | None, anchors: tuple[str, ...]
) -> tuple[ScoreTable, ...]:
    """PCK by joint with the images that lack it; `anchors` are the four that GLAD cuts by."""
    return (_by_joint(summary, evaluation, anchors),)


def share(value: float | None, *, base: float | None = None, best: bool = False) -> Cell:
    """A share in percent, with a bar over 0 to 100 %: from `base` to the value, else from 0."""
    if value is None or not math.isfinite(value):
        return Cell(formats.MISSING, "", "not measured", None, False, None)
    low, high = sorted((100 * (base or 0.0), 100 * value))
    bar = (round(low, 2), round(100 * value, 2), round(high, 2))
    text = formats.percent(value)
    return Cell(text, "", f"{text} percent", None, best, bar)


def plain(value: str, below: str = "") -> Cell:
    """A text, with a second line in small."""
    spoken = f"{value}, {below}" if below else value
    return Cell(value, below, "not measured" if value == formats.MISSING else spoken, None, False,
                None)  # fmt: skip


def gain(value: float | None, base: float | None) -> str:
    """The difference of two shares in points."""
    if value is None or base is None:
        return formats.MISSING
    return points(value - base)


def points(difference: float) -> str:
    """A difference of shares in points, with its sign: '+12.3'."""
    shown = 100 * difference
    return f"{MINUS if round(shown, 1) < 0 else '+'}{abs(shown):.1f}"


def _by_boxes(summary: Facts, evaluation: Facts | None) -> ScoreTable:
    images = int(summary["images"])
    prior = (evaluation or {}).get("prior_recall") or {}
    records: list[dict[str, Any]] = []
    rows = []
    for boxes, filled in summary["filled"].items():
        record: dict[str, Any] = {"boxes": int(boxes), "filled": int(filled), "images": images}
        scored: tuple[Cell, ...] = ()
        if evaluation is not None:
            recall, fixed = evaluation["recall"].get(boxes), prior.get(boxes)
            record |= {"recall": recall, "prior_recall": fixed}
            scored = (share(recall, base=fixed),)
            if prior:
                scored += (plain(formats.percent(fixed)), plain(gain(recall, fixed)))
        below = f"{formats.percent(filled / images)} %"
        filled_cell = plain(formats.count(filled), below)
        records.append(record)
        rows.append(ScoreRow(f"D = {boxes}", "", (*scored, filled_cell)))
    heads = () if evaluation is None else ("Recall@D", *(("Fixed boxes", "Gain") * bool(prior)))
    return ScoreTable(
        name="recall",
        title="Recall and filled images by D" if evaluation is not None else "Filled images by D",
        caption=(
            f"{_recall_words(evaluation, prior)}Filled: of all {formats.count(images)} images, "
            "those with fewer than D detections, made up to D by rule."
        ),
        heads=("Boxes an image", *heads, "Images filled"),
        rows=tuple(rows),
        totals=(),
        frame=pd.DataFrame(records),
    )


def _recall_words(evaluation: Facts | None, prior: Facts) -> str:
    if evaluation is None:
        return ""
    words = (
        f"Recall@D: the share of true parts that the first D boxes cover (intersection over union "
        f"from {evaluation['iou']:g}, a part a box), counted against at most D parts an image, "
        f"over {formats.count(evaluation['images'])} test images of identities that no detector "
        "has seen. "
    )
    if prior:
        words += (
            "Fixed boxes: the same D boxes on every image, the prior to beat; the bar runs from "
            "there to the detector. "
        )
    return words


def _by_class(summary: Facts, evaluation: Facts | None) -> ScoreTable:
    precision: Facts = evaluation["average_precision"] if evaluation is not None else {}
    truth: Facts = evaluation["n_truth"] if evaluation is not None else {}
    labels = sorted({*summary["labels"], *precision} - {FILLED})
    labels.sort(key=lambda label: -(precision.get(label) or -1.0))
    frame = pd.DataFrame(
        {
            "label": labels,
            "average_precision": [precision.get(label) for label in labels],
            "true_boxes": [truth.get(label) for label in labels],
            "boxes_among_first_8": [int(summary["labels"].get(label, 0)) for label in labels],
        }
    )
    if evaluation is None:
        frame = frame.drop(columns=["average_precision", "true_boxes"])
    rows = []
    for label, boxes in zip(labels, frame["boxes_among_first_8"], strict=True):
        scored = (
            (share(precision.get(label)), plain(formats.count(truth.get(label))))
            if evaluation is not None
            else ()
        )
        rows.append(ScoreRow(label, "", (*scored, plain(formats.count(boxes)))))
    totals: tuple[ScoreRow, ...] = ()
    if evaluation is not None:
        together = (
            share(evaluation["mAP50"], best=True),
            plain(formats.count(sum(truth.values()))),
            plain(formats.count(int(frame["boxes_among_first_8"].sum()))),
        )
        totals = (ScoreRow(f"Mean (mAP@{evaluation['iou']:g})", "", together),)
    said = (
        f"AP: average precision in percent at an intersection over union of "
        f"{evaluation['iou']:g}, over {formats.count(evaluation['images'])} test images; a dash "
        "where no test image shows the part, or no box is called so. "
        if evaluation is not None
        else ""
    )
    return ScoreTable(
        name="classes",
        title="Average precision by class" if evaluation is not None else "Boxes by class",
        caption=(
            f"{said}Among the first 8: boxes that PGAN gets to see, over all "
            f"{formats.count(summary['images'])} images."
        ),
        heads=("Part", *(("AP", "True boxes") if evaluation else ()), "Among the first 8"),
        rows=tuple(rows),
        totals=totals,
        frame=frame,
    )


def _by_joint(summary: Facts, evaluation: Facts | None, anchors: tuple[str, ...]) -> ScoreTable:
    lacking: Facts = summary["lacking_by_joint"]
    names = list(evaluation["pck"]) if evaluation is not None else list(lacking)
    frame = pd.DataFrame({"joint": names, "lacking": [lacking.get(name) for name in names]})
    rows = []
    for name in names:
        scored: tuple[Cell, ...] = ()
        if evaluation is not None:
            scored = (
                share(evaluation["pck"][name]),
                plain(formats.percent(evaluation["pck_visible"].get(name))),
                plain(formats.count(evaluation["n"].get(name))),
            )
        note = "for GLAD" if name in anchors else ""
        rows.append(ScoreRow(name, note, (*scored, plain(formats.count(lacking.get(name))))))
    together = ScoreRow("Any of the four", "", (plain(formats.count(summary["lacking"])),))
    said = ""
    heads: tuple[str, ...] = ()
    totals: tuple[ScoreRow, ...]
    if evaluation is None:
        totals = (together,)
    else:
        for column in ("pck", "pck_visible", "n"):
            frame[column] = [evaluation[column].get(name) for name in names]
        said, heads, totals = _pck_words(summary, evaluation)
    return ScoreTable(
        name="pck",
        title="PCK by joint" if evaluation is not None else "Joints that images lack",
        caption=(
            f"{said}Lacking: of all {formats.count(summary['images'])} images, those in which the "
            "joint was not found; GLAD then puts a stand-in in its place."
        ),
        heads=("Joint", *heads, "Images lacking it"),
        rows=tuple(rows),
        totals=totals,
        frame=frame,
    )


def _pck_words(
    summary: Facts, evaluation: Facts
) -> tuple[str, tuple[str, ...], tuple[ScoreRow, ...]]:
    """Caption, heads and last rows of a table whose truth is known."""
    name = f"PCK@{evaluation['threshold']:g}"
    none = plain(formats.MISSING)
    seen = plain(formats.percent(evaluation["mean_visible"]))
    counted = plain(formats.count(sum(evaluation["n"].values())))
    lacking = plain(formats.count(summary["lacking"]), "any of GLAD's four")
    prior = (evaluation.get("prior") or {}).get("mean")
    said = (
        f"{name}: percent of joints found within {evaluation['threshold']:g} of a reference length "
        f"({evaluation['reference']}) of where they are, over "
        f"{formats.count(evaluation['images'])} test images of identities that no detector has "
        "seen; beside all joints, those that nothing hides. "
    )
    if prior is not None:
        said += "Mean pose: one mean pose put on every image, the prior to beat. "
    mean = share(evaluation["mean"], base=prior, best=True)
    totals = [ScoreRow("Mean", "", (mean, seen, counted, lacking))]
    if prior is not None:
        totals.append(ScoreRow("Mean pose", "", (share(prior), none, none, none)))
    return said, (name, "Visible ones", "Joints"), tuple(totals)
