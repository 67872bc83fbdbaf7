"""Contact sheets: one look at what the renderers draw and whether the annotation fits.

Rows are identities, columns cameras. Part boxes and skeletons use the colours of Okabe and Ito,
which people with any kind of colour blindness tell apart; a hidden joint is drawn hollow.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from reid_repro.rendering.pedestrians import BONES, PedestrianRenderer
from reid_repro.rendering.scene import Kind, Rendered
from reid_repro.rendering.vehicles import PART_CLASSES, VehicleRenderer

Colour = tuple[int, int, int]

ORANGE: Final[Colour] = (230, 159, 0)
SKY: Final[Colour] = (86, 180, 233)
GREEN: Final[Colour] = (0, 158, 115)
YELLOW: Final[Colour] = (240, 228, 66)
BLUE: Final[Colour] = (0, 114, 178)
VERMILION: Final[Colour] = (213, 94, 0)
PURPLE: Final[Colour] = (204, 121, 167)
WHITE: Final[Colour] = (255, 255, 255)

_HUES: Final = (ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE, WHITE)
_PAPER: Final[Colour] = (32, 33, 36)
_TEXT: Final[Colour] = (232, 232, 232)
_SIZES: Final[dict[Kind, tuple[int, int]]] = {"vehicle": (224, 224), "pedestrian": (128, 64)}
_GAP: Final = 4
# Joints by side of the body.
_RIGHT: Final = frozenset((0, 1, 2, 6, 7, 8))
_LEFT: Final = frozenset((3, 4, 5, 9, 10, 11))
_SIDES: Final[tuple[tuple[str, Colour], ...]] = (
    ("right side", VERMILION),
    ("left side", SKY),
    ("middle", YELLOW),
)


def contact_sheet(
    kind: Kind,
    *,
    identities: int | Sequence[int],
    cameras: int | Sequence[int],
    seed: int,
    annotated: bool = True,
    scale: int = 2,
) -> Image.Image:
    """Photograph 0 of every identity (rows) by every camera (columns), with a legend below.

    A number n stands for 0..n - 1. `annotated` overlays part boxes or skeletons; `scale`
    enlarges every image by a whole factor. Raises ValueError for an empty sheet.
    """
    if kind not in _SIZES:
        raise ValueError(f"kind is {kind!r}; it must be one of {', '.join(_SIZES)}")
    rows, columns = _numbers("identities", identities), _numbers("cameras", cameras)
    if scale < 1:
        raise ValueError(f"scale is {scale}; it must be at least 1")
    make = VehicleRenderer if kind == "vehicle" else PedestrianRenderer
    renderer = make(seed=seed, cameras=max(columns) + 1)
    height, width = (side * scale for side in _SIZES[kind])
    font = ImageFont.load_default(size=max(11, 6 * scale))
    line = round(1.5 * font.getbbox("Xg")[3])
    left = round(font.getlength("000")) + 2 * _GAP
    grid = (left + len(columns) * (width + _GAP), line + len(rows) * (height + _GAP))
    legend = _legend(kind, grid[0], font, line) if annotated else None
    extra = legend.height if legend is not None else 0
    sheet = Image.new("RGB", (grid[0], grid[1] + extra), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, camera in enumerate(columns):
        place = (left + column * (width + _GAP) + width / 2, line / 2)
        draw.text(place, f"camera {camera + 1}", _TEXT, font, anchor="mm")
    for row, identity in enumerate(rows):
        y = line + row * (height + _GAP)
        draw.text((left / 2, y + height / 2), str(identity + 1), _TEXT, font, anchor="mm")
        for column, camera in enumerate(columns):
            rendered = renderer.render(identity, camera, 0, _SIZES[kind])
            picture = _enlarged(rendered, scale)
            if annotated:
                _annotate(picture, rendered, scale)
            sheet.paste(picture, (left + column * (width + _GAP), y))
    if legend is not None:
        sheet.paste(legend, (0, grid[1]))
    return sheet


def _numbers(name: str, given: int | Sequence[int]) -> list[int]:
    numbers = list(range(given)) if isinstance(given, int) else list(given)
    if not numbers or min(numbers) < 0:
        raise ValueError(f"{name} is {given!r}; give at least one, numbered from 0")
    return numbers


def _enlarged(rendered: Rendered, scale: int) -> Image.Image:
    picture = Image.fromarray(rendered.image)
    size = (picture.width * scale, picture.height * scale)
    return picture.resize(size, Image.Resampling.BICUBIC)


def _annotate(picture: Image.Image, rendered: Rendered, scale: int) -> None:
    draw = ImageDraw.Draw(picture)
    if rendered.joints is not None:
        _draw_skeleton(draw, picture.size, rendered.joints, scale)
    for part in rendered.parts:
        box = (
            part.x0 * picture.width, part.y0 * picture.height,
            part.x1 * picture.width - 1, part.y1 * picture.height - 1,
        )  # fmt: skip
        if box[2] > box[0] and box[3] > box[1]:
            _draw_box(draw, box, PART_CLASSES.index(part.label))


def _draw_box(
    draw: ImageDraw.ImageDraw, box: tuple[float, float, float, float], number: int
) -> None:
    """Sixteen classes, eight hues: the second eight have a doubled outline."""
    hue = _HUES[number % len(_HUES)]
    draw.rectangle(box, outline=hue)
    if number >= len(_HUES) and min(box[2] - box[0], box[3] - box[1]) > 5:
        draw.rectangle((box[0] + 2, box[1] + 2, box[2] - 2, box[3] - 2), outline=hue)


def _side(joint: int) -> Colour:
    if joint in _RIGHT:
        return VERMILION
    return SKY if joint in _LEFT else YELLOW


def _draw_skeleton(
    draw: ImageDraw.ImageDraw, size: tuple[int, int], joints: np.ndarray, scale: int
) -> None:
    points = [(float(x) * size[0], float(y) * size[1]) for x, y, _ in joints]
    for a, b in BONES:
        same_side = _side(a) == _side(b)
        draw.line((points[a], points[b]), _side(a) if same_side else YELLOW, max(1, scale // 2))
    radius = 1.2 * scale
    for row, (x, y) in enumerate(points):
        _draw_joint(draw, (x, y), radius, _side(row), seen=bool(joints[row, 2]))


def _draw_joint(
    draw: ImageDraw.ImageDraw,
    place: tuple[float, float],
    radius: float,
    hue: Colour,
    *,
    seen: bool,
) -> None:
    (x, y), r = place, radius
    draw.ellipse((x - r, y - r, x + r, y + r), fill=hue if seen else _PAPER, outline=hue)


def _legend(
    kind: Kind, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, line: int
) -> Image.Image:
    """Names beside their colours, wrapped to the sheet's width."""
    names: Iterable[str]
    if kind == "vehicle":
        names = PART_CLASSES
    else:
        names = [*(name for name, _ in _SIDES), "visible joint", "hidden joint"]
    key = line * 0.7
    places: list[tuple[float, float, str]] = []
    x, y = float(_GAP), float(_GAP)
    for name in names:
        room = key + 2 * _GAP + font.getlength(name) + 3 * _GAP
        if x + room > width and x > _GAP:
            x, y = float(_GAP), y + line
        places.append((x, y, name))
        x += room
    legend = Image.new("RGB", (width, round(y + line + _GAP)), _PAPER)
    draw = ImageDraw.Draw(legend)
    for number, (x, y, name) in enumerate(places):
        middle = y + line / 2
        if kind == "vehicle":
            _draw_box(draw, (x, middle - key / 2, x + key, middle + key / 2), number)
        elif number < len(_SIDES):
            draw.line((x, middle, x + key, middle), _SIDES[number][1], 3)
        else:
            seen = number == len(_SIDES)
            _draw_joint(draw, (x + key / 2, middle), key / 3, WHITE, seen=seen)
        draw.text((x + key + 2 * _GAP, middle), name, _TEXT, font, anchor="lm")
    return legend
