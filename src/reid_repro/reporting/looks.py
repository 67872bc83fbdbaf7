"""Picture sheets of what networks look at: a row a query, a column a view, heat maps on one scale.

Heat maps lie over the photograph in grey, in the colours of cividis (Nuñez, Anderton and Renslow
2018), which read alike with and without colour vision and grow lighter with the value. The words
above the columns and the numbers on the tiles are part of the sheet; the JSON beside it repeats
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from reid_repro.files import write_json
from reid_repro.reporting import theme
from reid_repro.reporting.overlays import OUTLINE, SUPERSAMPLING, canvas_of, tag
from reid_repro.reporting.sprites import Grid, Pixels, fit, sheet, write_webp

TILE, GAP, HEAD, FOOT = 176, 4, 22, 26
INK, GROUND = "#ffffff", "#1b2025"  # of the words above the columns, on pages of either theme
COVER = 0.62  # how much of a tile's colour is the heat map's
LINE: Final = theme.COLOURS["series4"][1]
# Cividis at even steps from its least to its greatest value.
SCALE: Final[tuple[tuple[int, int, int], ...]] = (
    *((0, 34, 78), (0, 46, 106), (26, 56, 111), (50, 67, 109), (67, 78, 108)),
    *((83, 90, 109), (97, 101, 111), (111, 112, 115), (125, 124, 120), (140, 136, 120)),
    *((155, 148, 118), (171, 160, 114), (188, 174, 108), (205, 187, 99), (222, 201, 88)),
    *((240, 216, 70), (254, 232, 56)),
)

Floats = npt.NDArray[np.floating[Any]]
Box = tuple[float, float, float, float]  # x0, y0, x1, y1 in shares of the image


@dataclass(frozen=True)
class View:
    """One tile: the photograph, under a heat map (h, w) in 0..1 and boxes with a mark, if any."""

    heat: Floats | None = None
    boxes: tuple[tuple[Box, str], ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Line:
    """One query: its row of images.parquet, its views, and what was measured on it."""

    query: int
    identity: int
    camera: int
    pixels: Pixels
    views: tuple[View, ...]
    numbers: dict[str, float]


@dataclass(frozen=True)
class Picture:
    """A sheet with its words. `low`, `high` and `scale` say what the ends of the colours mean."""

    name: str
    title: str
    caption: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    low: str
    high: str
    scale: str


def colours(values: Floats) -> npt.NDArray[np.float64]:
    """Values in 0..1 to (..., 3) red, green, blue in 0..255."""
    places = np.linspace(0, 1, len(SCALE))
    table = np.array(SCALE, np.float64)
    given = np.asarray(values, np.float64).clip(0, 1)
    return np.stack([np.interp(given, places, table[:, band]) for band in range(3)], axis=-1)


def to_peak(maps: Floats) -> Floats:
    """Maps (n, h, w) as shares of their own maximum; what is negative is 0."""
    positive = np.asarray(maps, np.float64).clip(min=0)
    peak = positive.max(axis=(1, 2), keepdims=True)
    found: Floats = np.divide(positive, peak, out=np.zeros_like(positive), where=peak > 0)
    return found


def draw(picture: Picture, out: Path) -> None:
    """Write the sheet `out` (.webp), and `out.with_suffix(".json")` that says what is on it."""
    tiles = [_tile(line.pixels, view) for line in picture.lines for view in line.views]
    grid = Grid(TILE, TILE, columns=len(picture.columns), gap=GAP)
    below = sheet(tiles, grid)
    whole = Image.new("RGBA", (below.width, HEAD + below.height + FOOT), (0, 0, 0, 0))
    whole.paste(below, (0, HEAD))
    _heads(whole, picture.columns)
    _scale(whole, picture)
    write_webp(whole, out)
    write_json(
        out.with_suffix(".json"),
        {
            "id": picture.name,
            "title": picture.title,
            "caption": picture.caption,
            "size": [whole.width, whole.height],
            "width": whole.width,
            "height": whole.height,
            "tile": [TILE, TILE],
            "gap": GAP,
            "head": HEAD,
            "foot": FOOT,
            "columns": list(picture.columns),
            "rows": [
                {
                    "query": line.query,
                    "identity": line.identity,
                    "camera": line.camera,
                    "numbers": {name: round(value, 4) for name, value in line.numbers.items()},
                }
                for line in picture.lines
            ],
            "alt": _alt(picture),
            "colour_scale": {
                "low": picture.low,
                "high": picture.high,
                "label": picture.scale,
                "colours": [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in SCALE],
            },
        },
    )


def _alt(picture: Picture) -> str:
    rows = "; ".join(
        f"identity {line.identity}: "
        + ", ".join(f"{name} {value:.0%}" for name, value in line.numbers.items())
        for line in picture.lines
    )
    return f"{picture.title}. Columns: {', '.join(picture.columns)}. {rows}."


def _tile(pixels: Pixels, view: View) -> Image.Image:
    scale = min(TILE / pixels.shape[1], TILE / pixels.shape[0])
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    image = fit(pixels, *size)
    if view.heat is not None:
        image = _heated(image, view.heat)
    if view.boxes:
        image = _boxed(image, view.boxes)
    if view.note:
        image = _noted(image, view.note)
    return fit(np.asarray(image), TILE, TILE)


def _heated(image: Image.Image, heat: Floats) -> Image.Image:
    """The image in grey under a heat map, which is scaled up to it smoothly."""
    grey = np.asarray(image.convert("L"), np.float64)[..., None]
    field = Image.fromarray(np.asarray(heat, np.float32))
    values = np.asarray(field.resize(image.size, Image.Resampling.BILINEAR))
    mixed = (1 - COVER) * grey + COVER * colours(values)
    return Image.fromarray(mixed.round().clip(0, 255).astype(np.uint8))


def _boxed(image: Image.Image, boxes: Sequence[tuple[Box, str]]) -> Image.Image:
    """Boxes with their marks, those with a mark on top."""
    canvas, pen = canvas_of(image)
    width, height = canvas.size
    placed = [
        ([box[0] * width, box[1] * height, box[2] * width - 1, box[3] * height - 1], mark)
        for box, mark in sorted(boxes, key=lambda one: bool(one[1]))
    ]
    for (x0, y0, x1, y1), mark in placed:
        corners = [x0, y0, max(x0, x1), max(y0, y1)]
        pen.rectangle(corners, outline=OUTLINE, width=2 * SUPERSAMPLING)
        pen.rectangle(corners, outline=LINE if mark else "#c9ced4", width=SUPERSAMPLING)
    for (x0, y0, _, _), mark in placed:
        if mark:
            tag(pen, x0, y0, mark, LINE, canvas.size)
    return canvas.resize(image.size, Image.Resampling.BOX)


def _noted(image: Image.Image, note: str) -> Image.Image:
    """The image with words in its lower left corner."""
    noted = image.convert("RGB")
    pen = ImageDraw.Draw(noted)
    font = ImageFont.load_default(12)
    left, top, right, bottom = pen.textbbox((0, 0), note, font=font)
    corner = noted.height - (bottom - top) - 8
    pen.rectangle([0, corner, right - left + 9, noted.height], fill=GROUND)
    pen.text((5 - left, corner + 4 - top), note, fill=INK, font=font)
    return noted


def _heads(whole: Image.Image, columns: Sequence[str]) -> None:
    pen = ImageDraw.Draw(whole)
    font = ImageFont.load_default(13)
    for number, words in enumerate(columns):
        left = number * (TILE + GAP)
        pen.rectangle([left, 0, left + TILE - 1, HEAD - 3], fill=GROUND)
        _, top, _, bottom = pen.textbbox((0, 0), words, font=font)
        middle = (HEAD - 2 - (bottom - top)) / 2 - top
        pen.text((left + 6, middle), words, fill=INK, font=font)


def _scale(whole: Image.Image, picture: Picture) -> None:
    """The colours from the least to the greatest value, between what these mean."""
    pen = ImageDraw.Draw(whole)
    font = ImageFont.load_default(12)
    top, width = whole.height - FOOT + GAP, min(whole.width, 2 * TILE)
    pen.rectangle([0, top, width - 1, whole.height - 1], fill=GROUND)
    left, right = (pen.textlength(words, font=font) for words in (picture.low, picture.high))
    bar = round(width - left - right - 24)
    colour = colours(np.linspace(0, 1, bar)[None]).round().astype(np.uint8)
    strip = Image.fromarray(np.repeat(colour, whole.height - top - 10, axis=0))
    whole.paste(strip, (round(left) + 12, top + 5))
    for words, start in ((picture.low, 6), (picture.high, width - 6 - right)):
        _, above, _, below = pen.textbbox((0, 0), words, font=font)
        middle = top + (whole.height - top - (below - above)) / 2 - above
        pen.text((start, middle), words, fill=INK, font=font)
