"""Part boxes and body joints drawn over a photograph.

Parts are told apart by a number, which the legend repeats, and by colour; left and right limbs by
colour and by solid or dashed lines; hidden joints are hollow. The joint order is MPII's
(0 right ankle ... 13 forehead).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Final

import pandas as pd
from PIL import Image, ImageColor, ImageDraw, ImageFont

from reid_repro.reporting import theme

# Bright on photographs of any light; the dark outline below each line does the rest.
PART_COLOURS: Final = tuple(theme.COLOURS[role][1] for role in theme.SERIES)
RIGHT, LEFT, MIDDLE = (theme.COLOURS[role][1] for role in ("series1", "series0", "series4"))
OUTLINE: Final = "#101418"
SUPERSAMPLING: Final = 2

LIMBS: Final[tuple[tuple[int, int, str], ...]] = (
    (0, 1, "right"), (1, 2, "right"), (6, 7, "right"), (7, 8, "right"),
    (5, 4, "left"), (4, 3, "left"), (11, 10, "left"), (10, 9, "left"),
    (2, 3, "middle"), (8, 9, "middle"), (2, 8, "middle"), (3, 9, "middle"), (12, 13, "middle"),
)  # fmt: skip
RIGHT_JOINTS, LEFT_JOINTS = frozenset({0, 1, 2, 6, 7, 8}), frozenset({3, 4, 5, 9, 10, 11})


def part_numbers(labels: pd.Series) -> dict[str, int]:
    """label -> the number that stands for it, 1 for the first in alphabetical order."""
    return {str(label): place for place, label in enumerate(sorted(labels.unique()), start=1)}


def part_colour(number: int) -> str:
    """The colour of a numbered part."""
    return PART_COLOURS[(number - 1) % len(PART_COLOURS)]


def draw_parts(tile: Image.Image, boxes: pd.DataFrame, numbers: Mapping[str, int]) -> Image.Image:
    """A copy of `tile` with its part boxes; `boxes` has label, x0, y0, x1, y1 (0..1)."""
    canvas, draw = canvas_of(tile)
    width, height = canvas.size
    # Large boxes first, so that the small ones and their numbers stay on top.
    area = (boxes["x1"] - boxes["x0"]) * (boxes["y1"] - boxes["y0"])
    for box in boxes.loc[area.sort_values(ascending=False, kind="stable").index].itertuples():
        number = numbers[str(box.label)]
        corners = [box.x0 * width, box.y0 * height, box.x1 * width - 1, box.y1 * height - 1]
        corners = [corners[0], corners[1], max(corners[0], corners[2]), max(corners[1], corners[3])]
        draw.rectangle(corners, outline=OUTLINE, width=2 * SUPERSAMPLING)
        draw.rectangle(corners, outline=part_colour(number), width=SUPERSAMPLING)
        tag(draw, corners[0], corners[1], str(number), part_colour(number), canvas.size)
    return canvas.resize(tile.size, Image.Resampling.BOX)


def draw_joints(tile: Image.Image, joints: pd.DataFrame) -> Image.Image:
    """A copy of `tile` with its skeleton; `joints` has joint, x, y (0..1), visible."""
    canvas, draw = canvas_of(tile)
    width, height = canvas.size
    place = {
        int(row.joint): (row.x * width, row.y * height, bool(row.visible))
        for row in joints.itertuples()
    }
    unit = max(1.0, width / 96) * SUPERSAMPLING / 2
    for first, second, side in LIMBS:
        if first in place and second in place:
            ends = (place[first][:2], place[second][:2])
            _limb(draw, *ends, colour=_side_colour(side), width=unit * 2, dashed=side == "left")
    for joint, (x, y, visible) in place.items():
        side = "right" if joint in RIGHT_JOINTS else "left" if joint in LEFT_JOINTS else "middle"
        radius = 3 * unit
        box = [x - radius, y - radius, x + radius, y + radius]
        draw.ellipse([c + d for c, d in zip(box, (-unit, -unit, unit, unit), strict=True)], OUTLINE)
        fill = _side_colour(side) if visible else OUTLINE
        draw.ellipse(box, fill=fill, outline=_side_colour(side), width=max(1, round(unit)))
    return canvas.resize(tile.size, Image.Resampling.BOX)


def joint_legend() -> list[dict[str, str]]:
    """What the marks of `draw_joints` mean, for a legend beside the image."""
    return [
        {"mark": "solid", "colour": RIGHT, "label": "right side of the body"},
        {"mark": "dashed", "colour": LEFT, "label": "left side of the body"},
        {"mark": "solid", "colour": MIDDLE, "label": "trunk and head"},
        {"mark": "hollow", "colour": MIDDLE, "label": "joint hidden from the camera"},
    ]


def canvas_of(tile: Image.Image) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """`tile` enlarged by SUPERSAMPLING, to be drawn on and scaled back."""
    size = (tile.width * SUPERSAMPLING, tile.height * SUPERSAMPLING)
    canvas = tile.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    return canvas, ImageDraw.Draw(canvas)


def _side_colour(side: str) -> str:
    return {"right": RIGHT, "left": LEFT}.get(side, MIDDLE)


def _limb(
    draw: ImageDraw.ImageDraw,
    start: tuple[float, float],
    end: tuple[float, float],
    *,
    colour: str,
    width: float,
    dashed: bool,
) -> None:
    draw.line([start, end], fill=OUTLINE, width=round(width * 2))
    steps = 7 if dashed else 1  # odd, so that a dashed limb begins and ends in colour
    points = [
        tuple(a + (b - a) * step / steps for a, b in zip(start, end, strict=True))
        for step in range(steps + 1)
    ]
    for number, (a, b) in enumerate(pairwise(points)):
        if number % 2 == 0:
            draw.line([(a[0], a[1]), (b[0], b[1])], fill=colour, width=round(width))


@lru_cache(maxsize=4)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def tag(
    draw: ImageDraw.ImageDraw,
    left: float,
    top: float,
    text: str,
    colour: str,
    canvas: tuple[int, int],
) -> None:
    """A mark in a small filled field above the box, or inside it at the upper border."""
    font = _font(9 * SUPERSAMPLING)
    x0, y0, x1, y1 = draw.textbbox((0, 0), text, font=font)
    pad = SUPERSAMPLING
    width, height = x1 - x0 + 2 * pad, y1 - y0 + 2 * pad
    left = min(max(0.0, left), canvas[0] - width)
    top = top - height if top >= height else min(top, canvas[1] - height)
    draw.rectangle([left, top, left + width, top + height], fill=colour)
    ink = OUTLINE if sum(ImageColor.getrgb(colour)[:3]) > 300 else "#ffffff"
    draw.text((left + pad - x0, top + pad - y0), text, fill=ink, font=font)
