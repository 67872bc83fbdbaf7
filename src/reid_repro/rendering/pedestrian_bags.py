"""Bags of a rendered pedestrian: a backpack, a shoulder bag, a handbag.

Their straps lie in the torso's texture (pedestrian_textures.torso).
"""

from __future__ import annotations

import math

from reid_repro.rendering.pedestrian_figure import Brush, Part, between, offset
from reid_repro.rendering.pedestrian_skeleton import Point
from reid_repro.rendering.pedestrian_textures import Ink


def draw_bag(brush: Brush) -> None:
    """The person's bag where it hangs: on the back, at the hip, in the hand."""
    p, s, h, g = brush.person, brush.bones, brush.h, brush.g
    yaw = s.chest_yaw
    back = (-math.cos(yaw), -math.sin(yaw), 0.0)
    limbs, sign = (s.left, 1.0) if p.bag_side == "left" else (s.right, -1.0)
    if p.bag == "backpack":
        depth = 0.066 * g + 0.034

        def at(k: float) -> Point:
            return offset(offset(s.pelvis, s.spine, k * h), back, depth * h)

        rings = [
            brush.ring(at(0.312), 0.045, 0.028, 0.0),
            brush.ring(at(0.298), 0.074, 0.042, 0.08),
            brush.ring(at(0.25), 0.088, 0.052, 0.3),
            brush.ring(at(0.10), 0.092, 0.06, 0.85),
            brush.ring(at(0.075), 0.082, 0.05, 1.0),
        ]
        brush.barrel(rings, yaw, Part.BAG, brush.clothes.bag)
    elif p.bag == "shoulder-bag":
        place = offset(s.pelvis, (0.0, sign, 0.0), (0.1 * p.hips * g + 0.03) * h)
        _hanging(brush, offset(place, (-1.0, 0, 0), 0.025 * h), 0.045, (0.03, 0.075), 0.11)
    elif p.bag == "handbag":
        grip = between(limbs["wrist"], limbs["fingertip"], 0.7)
        for x in (-0.035, 0.035):
            corner = (grip[0] + x * h, grip[1], grip[2] - 0.06 * h)
            brush.capsule(grip, corner, (0.007, 0.007), Part.BAG, Ink.BAG_TRIM)
        _hanging(brush, (grip[0], grip[1], grip[2]), -0.055, (0.028, 0.068), 0.105)


def _hanging(
    brush: Brush, place: Point, top: float, half: tuple[float, float], height: float
) -> None:
    """A bag that hangs upright below `place`; `top` and the sizes are shares of stature."""
    h = brush.h

    def at(drop: float) -> Point:
        return (place[0], place[1], place[2] + (top - drop) * h)

    rings = [
        brush.ring(at(0.0), half[0] * 0.7, half[1] * 0.9, 0.0),
        brush.ring(at(0.15 * height), half[0], half[1], 0.15),
        brush.ring(at(0.9 * height), half[0] * 1.1, half[1] * 1.05, 0.9),
        brush.ring(at(height), half[0] * 0.9, half[1] * 0.95, 1.0),
    ]
    brush.barrel(rings, 0.0, Part.BAG, brush.clothes.bag)
