"""What the two detectors found, drawn over a photograph, and the truth beside it.

Boxes carry their rank as a number; joints are hollow where the detector is unsure; GLAD's regions
carry a letter. Dashes tell what was not found from what was: boxes that only fill an image up, and
true parts that no box covers.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from reid_repro.datasets.places import HIDDEN
from reid_repro.reporting import theme
from reid_repro.reporting.overlays import (
    OUTLINE,
    SUPERSAMPLING,
    canvas_of,
    draw_joints,
    joint_legend,
    part_colour,
    tag,
)

BOX: Final = ("x0", "y0", "x1", "y1")
COVERED, MISSED = theme.PAGE["right"][1], theme.PAGE["wrong"][1]
# Region of GLAD's Eqs. 2 and 3 -> its letter, and the role of a colour that no limb has.
REGIONS: Final = {"head": ("H", "series3"), "upper": ("U", "series2"), "lower": ("L", "series5")}
DASH: Final = 5 * SUPERSAMPLING


def draw_ranked(tile: Image.Image, boxes: pd.DataFrame) -> Image.Image:
    """A copy of `tile` with its boxes numbered from 1, the most confident.

    `boxes` has rank, x0, y0, x1, y1 (0..1) and filled, whether a box only fills the image up.
    """
    canvas, draw = canvas_of(tile)
    area = (boxes["x1"] - boxes["x0"]) * (boxes["y1"] - boxes["y0"])
    corners = {}
    # Large boxes first, so that the small ones stay on top; then all numbers over all lines.
    for box in boxes.loc[area.sort_values(ascending=False, kind="stable").index].itertuples():
        number = int(box.rank) + 1
        corners[number] = _corners(box, canvas.size)
        _box(draw, corners[number], part_colour(number), dashed=bool(box.filled))
    # What fills an image up may lie in one place several times: its numbers stand in a row.
    filled = boxes.loc[boxes["filled"], "rank"].tolist()
    shift = {int(rank) + 1: place for place, rank in enumerate(filled)}
    for number, (left, top, *_) in corners.items():
        left += shift.get(number, 0) * 12 * SUPERSAMPLING
        tag(draw, left, top, str(number), part_colour(number), canvas.size)
    return canvas.resize(tile.size, Image.Resampling.BOX)


def draw_truth(tile: Image.Image, parts: pd.DataFrame, covered: Sequence[bool]) -> Image.Image:
    """A copy of `tile` with its true parts: solid where a box covers them, else dashed."""
    canvas, draw = canvas_of(tile)
    for hit in (True, False):  # what was missed stays on top
        for part, found in zip(parts.itertuples(), covered, strict=True):
            if bool(found) is hit:
                colour = COVERED if hit else MISSED
                _box(draw, _corners(part, canvas.size), colour, dashed=not hit)
    return canvas.resize(tile.size, Image.Resampling.BOX)


def draw_pose(tile: Image.Image, joints: pd.DataFrame, regions: np.ndarray) -> Image.Image:
    """A copy of `tile` with the regions of head, upper and lower body, and the joints over them.

    `joints` has joint, x, y (0..1), confidence: 0 is not drawn, up to `HIDDEN` hollow. `regions`
    (3, 4) are x0, y0, x1, y1 in 0..1.
    """
    canvas, draw = canvas_of(tile)
    for (letter, role), region in zip(REGIONS.values(), regions, strict=True):
        colour = theme.COLOURS[role][1]
        corners = _scaled(region, canvas.size)
        _box(draw, corners, colour, dashed=False)
        # To the right of the head; at the right border of what reaches over the whole width.
        left, top = corners[2] + SUPERSAMPLING, corners[1] + 16 * SUPERSAMPLING
        tag(draw, left, top, letter, colour, canvas.size)
    drawn = canvas.resize(tile.size, Image.Resampling.BOX)
    found = joints[joints["confidence"] > 0]
    return draw_joints(drawn, found.assign(visible=found["confidence"] > HIDDEN))


def parts_legend(*, truth: bool) -> list[dict[str, str]]:
    """What the marks on vehicles mean."""
    found = [
        {"mark": "1", "colour": part_colour(1), "label": "box by rank: 1 is the most confident"},
        {"mark": "dashed", "colour": part_colour(1), "label": "box that only fills the image up"},
    ]
    true = [
        {"mark": "solid", "colour": COVERED, "label": "true part that a box covers"},
        {"mark": "dashed", "colour": MISSED, "label": "true part that no box covers"},
    ]
    return found + true * truth


def pose_legend(*, truth: bool) -> list[dict[str, str]]:
    """What the marks on pedestrians mean."""
    words = {"head": "head", "upper": "upper body", "lower": "lower body"}
    unsure = f"confidence of at most {HIDDEN:g}" + (" (truth: hidden)" if truth else "")
    joints = [
        entry | ({"label": unsure} if entry["mark"] == "hollow" else {}) for entry in joint_legend()
    ]
    return joints + [
        {"mark": letter, "colour": theme.COLOURS[role][1], "label": f"region: {words[region]}"}
        for region, (letter, role) in REGIONS.items()
    ]


def _corners(box: Any, size: tuple[int, int]) -> list[float]:
    return _scaled([box.x0, box.y0, box.x1, box.y1], size)


def _scaled(box: Sequence[float] | np.ndarray, size: tuple[int, int]) -> list[float]:
    """Pixel corners within the canvas, right not left of left."""
    width, height = size
    left, right = (min(max(0.0, float(value)), 1.0) * width for value in (box[0], box[2]))
    top, bottom = (min(max(0.0, float(value)), 1.0) * height for value in (box[1], box[3]))
    return [left, top, max(left, right - 1), max(top, bottom - 1)]


def _box(draw: ImageDraw.ImageDraw, corners: Sequence[float], colour: str, *, dashed: bool) -> None:
    x0, y0, x1, y1 = corners
    draw.rectangle([x0, y0, x1, y1], outline=OUTLINE, width=2 * SUPERSAMPLING)
    if not dashed:
        draw.rectangle([x0, y0, x1, y1], outline=colour, width=SUPERSAMPLING)
        return
    line = SUPERSAMPLING
    ends = [(x0, y0), (x1 - line + 1, y0), (x1 - line + 1, y1 - line + 1), (x0, y1 - line + 1)]
    for start, stop in pairwise([*ends, ends[0]]):
        _dashes(draw, start, stop, colour, line)


def _dashes(
    draw: ImageDraw.ImageDraw,
    start: tuple[float, float],
    stop: tuple[float, float],
    colour: str,
    width: int,
) -> None:
    """Dashes along a side of a box, which is level or upright; they begin and end in colour."""
    length = abs(stop[0] - start[0]) + abs(stop[1] - start[1])
    steps = max(1, round(length / DASH)) // 2 * 2 + 1
    places = np.linspace(start, stop, steps + 1)
    for a, b in list(pairwise(places))[::2]:
        low, high = np.minimum(a, b), np.maximum(a, b)
        draw.rectangle([*low, *(high + width - 1)], fill=colour)
