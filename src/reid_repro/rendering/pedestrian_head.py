"""Head, hair and headgear of a rendered pedestrian."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from reid_repro.rendering.pedestrian_figure import Brush, Part, offset
from reid_repro.rendering.pedestrian_skeleton import Point
from reid_repro.rendering.pedestrian_textures import Ink


def draw_head(brush: Brush) -> None:
    """The skull with its face."""
    axes = _axes(brush)
    x, y, z, k = brush.view.project(brush.bones.head)
    # The skull is longer than wide; its outline's width follows the way it faces.
    width = math.hypot(0.049 * axes[1][0], 0.055 * axes[0][0]) * brush.h * k
    brush.raster.textured_ball(
        (x, y, z), (width, 0.066 * brush.h * k), Part.HEAD, axes,
        brush.clothes.head + np.uint8(brush.first),
    )  # fmt: skip


def draw_hair(brush: Brush) -> None:
    """Hair or hat, fixed to the skull."""
    kind, on = brush.person.hair, partial(_place, brush)
    turn = math.atan2(brush.bones.head_forward[1], brush.bones.head_forward[0])
    if kind == "long":
        hair = [
            brush.ring(on(-0.008, 0, 0.045), 0.036, 0.040, 0.0),
            brush.ring(on(-0.016, 0, 0.01), 0.052, 0.046, 0.3),
            brush.ring(on(-0.026, 0, -0.07), 0.058, 0.038, 0.7),
            brush.ring(on(-0.030, 0, -0.15), 0.052, 0.026, 1.0),
        ]
        brush.barrel(hair, turn, Part.HEAD, np.full((2, 2), Ink.HAIR, np.uint8))
    elif kind == "bun":
        _ball(brush, (-0.036, 0, 0.062), (0.031, 0.029), Ink.HAIR)
    elif kind == "ponytail":
        brush.capsule(on(-0.06, 0, 0.03), on(-0.075, 0, -0.11), (0.022, 0.013), Part.HEAD, Ink.HAIR)
    elif kind == "cap":
        brim = [
            brush.ring(on(0.052, 0, 0.030), 0.036, 0.042, 0.0),
            brush.ring(on(0.056, 0, 0.018), 0.040, 0.048, 1.0),
        ]
        brush.barrel(brim, turn, Part.HEAD, np.full((2, 2), Ink.HAT, np.uint8))
    elif kind == "beanie":
        _ball(brush, (-0.006, 0, 0.076), (0.016, 0.016), Ink.ACCENT)
    elif kind == "hat":
        brim = [
            brush.ring(on(0, 0, 0.03), 0.07, 0.078, 0.0),
            brush.ring(on(0, 0, 0.02), 0.094, 0.1, 1.0),
        ]
        crown = [
            brush.ring(on(0, 0, 0.085), 0.038, 0.044, 0.0),
            brush.ring(on(0, 0, 0.03), 0.051, 0.059, 1.0),
        ]
        band = np.full((4, 2), Ink.HAT, np.uint8)
        band[3] = Ink.ACCENT
        brush.barrel(brim, turn, Part.HEAD, np.full((2, 2), Ink.HAT, np.uint8))
        brush.barrel(crown, turn, Part.HEAD, band)


def _axes(brush: Brush) -> tuple[Point, Point, Point]:
    v, s = brush.view, brush.bones

    def seen(axis: Point) -> Point:
        r, u, t = (
            sum(a * b for a, b in zip(axis, w, strict=True)) for w in (v.right, v.up, v.toward)
        )
        return (r, u, t)

    return seen(s.head_forward), seen(s.head_left), seen(s.head_up)


def _ball(
    brush: Brush, place: tuple[float, float, float], radii: tuple[float, float], ink: Ink
) -> None:
    """A ball on the head at (forward, left, up), all shares of the stature."""
    x, y, z, k = brush.view.project(_place(brush, *place))
    brush.raster.ball(
        (x, y, z), (radii[0] * brush.h * k, radii[1] * brush.h * k), Part.HEAD, brush.first + ink
    )


def _place(brush: Brush, forward: float, left: float, up: float) -> Point:
    s, h = brush.bones, brush.h
    return offset(
        offset(offset(s.head, s.head_forward, forward * h), s.head_left, left * h),
        s.head_up,
        up * h,
    )
