"""Things and people that stand between the camera and a pedestrian.

They are drawn in front of everything, in greys and muted colours that tell nothing about who
stands behind them, and carry the part number OCCLUDER.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from reid_repro.rendering.pedestrian_figure import Part
from reid_repro.rendering.pedestrian_raster import Colour, Raster

OCCLUDERS: Final = ("pole", "bin", "cart", "passer-by")


def draw_occluder(raster: Raster, kind: str, rng: np.random.Generator, front: float) -> None:
    """Draw a pole, a bin or a cart over the raster; `front` is its depth in pixels."""
    {"pole": _pole, "bin": _bin, "cart": _cart}[kind](raster, rng, front)


def _grey(rng: np.random.Generator, low: float, high: float) -> Colour:
    level = float(rng.uniform(low, high))
    r, g, b = (int(np.clip(level + t, 0, 255)) for t in rng.uniform(-8, 8, size=3))
    return (r, g, b)


def _pole(raster: Raster, rng: np.random.Generator, front: float) -> None:
    h, w = raster.height, raster.width
    ink = raster.inks([_grey(rng, 70, 170)])
    x, radius = float(rng.uniform(0.1, 0.9)) * w, float(rng.uniform(0.025, 0.06)) * w
    raster.capsule(
        (x, -h, front),
        (x + float(rng.normal(0, 0.01)) * w, 2 * h, front),
        radius,
        radius,
        Part.OCCLUDER,
        ink,
    )


def _bin(raster: Raster, rng: np.random.Generator, front: float) -> None:
    h, w = raster.height, raster.width
    body = _grey(rng, 60, 130)
    ink = raster.inks([body, _grey(rng, 120, 180)])
    x, radius = float(rng.uniform(0.0, 1.0)) * w, float(rng.uniform(0.2, 0.32)) * w
    top = float(rng.uniform(0.62, 0.82)) * h
    raster.capsule(
        (x, top + radius * 0.3, front), (x, 2 * h, front), radius, radius, Part.OCCLUDER, ink
    )
    raster.capsule(
        (x - 0.8 * radius, top + 0.35 * radius, front + radius),
        (x + 0.8 * radius, top + 0.35 * radius, front + radius),
        0.16 * radius,
        0.16 * radius,
        Part.OCCLUDER,
        ink + 1,
    )


def _cart(raster: Raster, rng: np.random.Generator, front: float) -> None:
    """A wire trolley: bars, a basket's rim and two wheels."""
    h, w = raster.height, raster.width
    ink = raster.inks([_grey(rng, 110, 190), _grey(rng, 30, 60)])
    left, right = (float(v) * w for v in np.sort(rng.uniform(-0.2, 1.2, size=2)))
    right = max(right, left + 0.5 * w)
    top, bottom = float(rng.uniform(0.58, 0.7)) * h, float(rng.uniform(0.82, 0.9)) * h
    thick = 0.012 * w + 0.8
    bars = [((left, top), (right, top)), ((left + 0.08 * w, bottom), (right - 0.08 * w, bottom))]
    bars += [
        ((x, top), (x + (0.5 - i / 8) * 0.15 * w, bottom))
        for i, x in enumerate(np.linspace(left, right, 9).tolist())
    ]
    for (ax, ay), (bx, by) in bars:
        raster.capsule((ax, ay, front), (bx, by, front), thick, thick, Part.OCCLUDER, ink)
    for x in (left + 0.14 * w, right - 0.14 * w):
        raster.capsule(
            (x, bottom, front), (x, bottom + 0.07 * h, front), thick, thick, Part.OCCLUDER, ink
        )
        raster.ball((x, bottom + 0.08 * h, front), (0.06 * w, 0.06 * w), Part.OCCLUDER, ink + 1)
