"""What surrounds a rendered vehicle: its shadow on the road and what stands before it."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from reid_repro.rendering.vehicle_bodies import PAINTS
from reid_repro.rendering.vehicle_mesh import Colour
from reid_repro.rendering.vehicle_planes import darker

_SHADOW_SCALE = 2  # the shadow is soft: draw it this much smaller than the canvas


def cast_shadow(canvas: Image.Image, outlines: tuple[np.ndarray, ...], strength: float) -> None:
    """Darken `canvas` softly within the outlines, each (K, 2) in its pixels."""
    small = canvas.width // _SHADOW_SCALE, canvas.height // _SHADOW_SCALE
    mask = Image.new("L", small)
    draw = ImageDraw.Draw(mask)
    scale = np.array(small) / np.array(canvas.size)
    for outline, level in zip(outlines, (0.62, 1.0), strict=True):
        corners = (outline * scale).astype(np.float32).ravel()
        draw.polygon(corners, fill=round(255 * strength * level))
    mask = mask.filter(ImageFilter.BoxBlur(0.022 * small[0])).filter(
        ImageFilter.BoxBlur(0.02 * small[0])
    )
    canvas.paste((16, 17, 20), (0, 0), mask.resize(canvas.size, Image.Resampling.BILINEAR))


def draw_occluder(
    draw: ImageDraw.ImageDraw,
    size: tuple[int, int],
    first: int,
    rng: np.random.Generator,
) -> list[Colour]:
    """Put something before the vehicle: a pole, a bush, another vehicle or a passer-by.

    Polygons are drawn on the number canvas of `size` = (width, height) with numbers from
    `first` on; returns their colours in that order.
    """
    kind = int(rng.integers(0, 4))
    side = -1.0 if rng.random() < 0.5 else 1.0
    shapes = (_pole, _bush, _bonnet, _passer_by)[kind](side, rng)
    scale = np.array(size, dtype=np.float32)
    for number, (corners, _) in enumerate(shapes, start=first):
        draw.polygon((corners * scale).ravel().tolist(), fill=number)
    return [colour for _, colour in shapes]


Shape = tuple[np.ndarray, Colour]


def _ellipse(x: float, y: float, rx: float, ry: float, corners: int = 12) -> np.ndarray:
    angle = np.arange(corners) * 2 * np.pi / corners
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], axis=1)


def _box(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])


def _pole(side: float, rng: np.random.Generator) -> list[Shape]:
    x, half = 0.5 + side * rng.uniform(0.02, 0.42), rng.uniform(0.015, 0.035)
    grey = float(rng.uniform(60, 170))
    return [
        (_box(x - half, -0.1, x + half, 1.1), (grey, grey, grey)),
        (
            _box(x - half, -0.1, x - 0.3 * half, 1.1),
            (0.75 * grey, 0.75 * grey, 0.78 * grey),
        ),
    ]


def _bush(side: float, rng: np.random.Generator) -> list[Shape]:
    middle = 0.5 + side * rng.uniform(0.2, 0.5)
    shapes: list[Shape] = []
    for _ in range(18):
        x, y = middle + rng.normal(0, 0.09), 1.0 - abs(rng.normal(0, 0.08))
        r = rng.uniform(0.03, 0.08)
        tone = float(rng.uniform(0.7, 1.15))
        shapes.append((_ellipse(x, y, r, 0.9 * r, 7), (70 * tone, 84 * tone, 58 * tone)))
    return shapes


def _bonnet(side: float, rng: np.random.Generator) -> list[Shape]:
    """The end of another vehicle that comes into the frame from one side."""
    paints, shares = zip(*PAINTS.values(), strict=True)
    paint = paints[int(rng.choice(len(paints), p=np.array(shares) / sum(shares)))]
    reach, top = float(rng.uniform(0.08, 0.24)), float(rng.uniform(0.5, 0.68))
    # Corners as seen at the left edge: x in units of the reach, y below the bonnet's edge.
    profile = [
        (-0.5, -0.22),
        (0.2, -0.2),
        (0.55, 0.0),
        (1.0, 0.06),
        (1.05, 0.26),
        (-0.5, 0.28),
    ]
    window = [(-0.5, -0.18), (0.12, -0.17), (0.4, -0.01), (-0.5, 0.0)]
    lower = [(-0.5, 0.14), (1.03, 0.14), (1.05, 0.26), (-0.5, 0.28)]
    pieces = [
        (np.array(profile) * (reach, 1), darker(paint, 0.95)),
        (np.array(window) * (reach, 1), (44.0, 50.0, 56.0)),
        (np.array(lower) * (reach, 1), darker(paint, 0.7)),
        (_ellipse(0.42 * reach, 0.27, 0.05, 0.09), (24.0, 24.0, 26.0)),
    ]
    edge = 0.0 if side < 0 else 1.0
    return [(corners * (-side, 1) + np.array((edge, top)), colour) for corners, colour in pieces]


def _passer_by(side: float, rng: np.random.Generator) -> list[Shape]:
    x, head = 0.5 + side * rng.uniform(0.15, 0.44), rng.uniform(0.14, 0.28)
    coat, trousers = _any_colour(rng), _any_colour(rng)
    w, stride = rng.uniform(0.055, 0.08), rng.uniform(0.01, 0.05)

    def four(
        top: tuple[float, float], foot: tuple[float, float], y0: float, y1: float
    ) -> np.ndarray:
        """Left and right at the height `y0` below the head, then at `y1`."""
        corners = [(top[0], y0), (top[1], y0), (foot[1], y1), (foot[0], y1)]
        return np.array([(x + across, head + down) for across, down in corners])

    back = four((-0.7 * w, 0.1 * w), (-stride - 0.6 * w, -stride), 0.36, 0.8)
    front = four((-0.1 * w, 0.7 * w), (stride, stride + 0.6 * w), 0.36, 0.8)
    return [
        (back, trousers),
        (front, trousers),
        (four((-0.75 * w, 0.75 * w), (-1.05 * w, 1.05 * w), 0.065, 0.14), coat),
        (four((-1.05 * w, 1.05 * w), (-0.85 * w, 0.85 * w), 0.13, 0.42), coat),
        (_ellipse(x, head + 0.02, 0.6 * w, 0.055), (150.0, 118.0, 98.0)),
    ]


def _any_colour(rng: np.random.Generator) -> Colour:
    """The muted colour of a street coat."""
    red, green, blue = (rng.uniform(35, 125) + rng.uniform(-22, 22, size=3)).tolist()
    return red, green, blue
