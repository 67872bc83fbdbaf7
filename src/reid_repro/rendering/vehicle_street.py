"""What surrounds a rendered vehicle: its shadow on the road and what stands before it."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from reid_repro.rendering.vehicle_bodies import PAINTS
from reid_repro.rendering.vehicle_mesh import Colour

_SHADOW_SCALE = 4  # the shadow is soft: draw it this much smaller than the canvas


def cast_shadow(
    canvas: Image.Image, outlines: tuple[np.ndarray, ...], strength: float
) -> None:
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
    canvas.paste(
        (16, 17, 20), (0, 0), mask.resize(canvas.size, Image.Resampling.BILINEAR)
    )


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
        draw.polygon((corners.astype(np.float32) * scale).ravel(), fill=number)
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
    for _ in range(9):
        x, y = middle + rng.normal(0, 0.09), 0.98 - abs(rng.normal(0, 0.07))
        r = rng.uniform(0.05, 0.11)
        tone = float(rng.uniform(0.7, 1.15))
        shapes.append(
            (_ellipse(x, y, r, 0.9 * r, 7), (70 * tone, 84 * tone, 58 * tone))
        )
    return shapes


def _bonnet(side: float, rng: np.random.Generator) -> list[Shape]:
    """The end of another vehicle that comes into the frame from one side."""
    names = list(PAINTS)
    paint = np.array(PAINTS[names[int(rng.integers(0, len(names)))]][0])
    reach, top = rng.uniform(0.08, 0.24), rng.uniform(0.5, 0.68)
    light, dark, black = (tuple((k * paint).tolist()) for k in (0.95, 0.7, 0.2))
    profile = [
        (-0.1, top - 0.22),
        (0.2 * reach, top - 0.2),
        (0.55 * reach, top),
        (reach, top + 0.06),
    ]
    profile += [(1.05 * reach, top + 0.26), (-0.1, top + 0.28)]
    window = [
        (-0.1, top - 0.18),
        (0.12 * reach, top - 0.17),
        (0.4 * reach, top - 0.01),
        (-0.1, top),
    ]
    lower = [
        (-0.1, top + 0.14),
        (1.03 * reach, top + 0.14),
        (1.05 * reach, top + 0.26),
        (-0.1, top + 0.28),
    ]
    wheel = _ellipse(0.42 * reach, top + 0.27, 0.05, 0.09)
    pieces = [
        (np.array(profile), light),
        (np.array(window), (44, 50, 56)),
        (np.array(lower), dark),
        (wheel, black),
    ]
    mirror = np.array([1.0, 1.0]) if side < 0 else np.array([-1.0, 1.0])
    offset = np.array([0.0, 0.0]) if side < 0 else np.array([1.0, 0.0])
    return [(corners * mirror + offset, colour) for corners, colour in pieces]  # type: ignore[misc]


def _passer_by(side: float, rng: np.random.Generator) -> list[Shape]:
    x, head = 0.5 + side * rng.uniform(0.15, 0.44), rng.uniform(0.14, 0.28)
    coat, trousers = (tuple(rng.uniform(30, 150, size=3).tolist()) for _ in range(2))
    w = rng.uniform(0.045, 0.065)
    stride = rng.uniform(0.01, 0.05)
    legs = [
        np.array(
            [
                (x - w * 0.7, head + 0.36),
                (x + 0.1 * w, head + 0.36),
                (x - stride, head + 0.8),
                (x - stride - 0.6 * w, head + 0.8),
            ]
        ),
        np.array(
            [
                (x - w * 0.1, head + 0.36),
                (x + 0.7 * w, head + 0.36),
                (x + stride + 0.6 * w, head + 0.8),
                (x + stride, head + 0.8),
            ]
        ),
    ]
    body = np.array(
        [
            (x - w, head + 0.08),
            (x + w, head + 0.08),
            (x + 0.85 * w, head + 0.4),
            (x - 0.85 * w, head + 0.4),
        ]
    )
    return [
        *((leg, trousers) for leg in legs),  # type: ignore[misc]
        (body, coat),
        (_ellipse(x, head + 0.02, 0.6 * w, 0.055), (150, 118, 98)),
    ]
