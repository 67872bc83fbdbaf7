"""Hangs flesh and clothes on a skeleton and draws the whole figure into a raster.

Everything is attached to the body's own frames, so a backpack covers the back from behind, shows
its thickness from the side and only its straps from the front. Lengths are shares of the
stature.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from reid_repro.rendering.pedestrian_bags import draw_bag
from reid_repro.rendering.pedestrian_figure import (
    LEFT_SHIFT,
    Brush,
    Figure,
    Part,
    between,
    offset,
)
from reid_repro.rendering.pedestrian_head import draw_hair, draw_head
from reid_repro.rendering.pedestrian_raster import Raster, Ring
from reid_repro.rendering.pedestrian_textures import Ink
from reid_repro.rendering.pedestrian_view import View

# Where cloth that hangs about both thighs ends, as a share of the way from pelvis to knee.
_HEMS: Final = {"skirt": 0.78, "dress": 0.9, "coat": 0.62}


def draw_figure(raster: Raster, view: View, figure: Figure) -> None:
    """Draw one person. `view` must already be placed on the raster."""
    brush = Brush(raster, view, figure)
    for side in ("right", "left"):
        _leg(brush, side)
        _arm(brush, side)
    _hips(brush)
    _torso(brush)
    draw_head(brush)
    draw_hair(brush)
    draw_bag(brush)


def _leg(brush: Brush, side: str) -> None:
    limbs = brush.bones.left if side == "left" else brush.bones.right
    shift = LEFT_SHIFT if side == "left" else 0
    g, kind = brush.limb_g, brush.person.legwear
    outward = (0.0, 1.0 if side == "left" else -1.0, 0.0)
    stripe = (outward, Ink.ACCENT) if kind == "striped-trousers" else None
    bare = kind in ("shorts", "skirt")
    knee, ankle = (0.046, 0.042) if kind == "wide-trousers" else (0.036, 0.026)
    shin = (0.034, 0.021) if bare else (knee * 0.98, ankle)
    if brush.person.boots and kind != "wide-trousers":
        shin = (shin[0], 0.027)
    # The thigh starts where the hips or the cloth about them end, so that none of it shows
    # through. Its texture runs from 0.14 of the way, the round end of a bare or trousered thigh.
    start = max(0.14, _hem(brush) - 0.12)
    hidden = round(len(brush.clothes.thigh) * (start - 0.14) / 0.86)
    brush.capsule(
        between(limbs["hip"], limbs["knee"], start), limbs["knee"],
        ((0.051 + (start - 0.14) / 0.86 * (knee - 0.051)) * g, knee * g),
        Part.RIGHT_THIGH + shift, brush.clothes.thigh[hidden:], stripe,
    )  # fmt: skip
    brush.capsule(
        limbs["knee"], limbs["ankle"], (shin[0] * g, shin[1] * g), Part.RIGHT_SHIN + shift,
        brush.clothes.shin, stripe,
    )  # fmt: skip
    heel = offset(
        offset(limbs["ankle"], (0.0, 0.0, -1.0), 0.018 * brush.h), (-1.0, 0.0, 0.0), 0.012 * brush.h
    )
    brush.capsule(heel, limbs["toe"], (0.022, 0.018), Part.RIGHT_FOOT + shift, Ink.SHOE)


def _hem(brush: Brush) -> float:
    """How far down the thigh the person's cloth hangs, as a share; 0 where it does not."""
    person = brush.person
    return max(_HEMS.get(person.legwear, 0.0), _HEMS.get(person.length, 0.0))


def _arm(brush: Brush, side: str) -> None:
    limbs = brush.bones.left if side == "left" else brush.bones.right
    shift = LEFT_SHIFT if side == "left" else 0
    g = brush.limb_g * (1.12 if brush.person.length == "coat" else 1.0)
    bare = brush.person.sleeves == "short"
    fore = (0.023, 0.017) if bare else (0.027 * g, 0.022 * g)
    forearm = np.array(
        [Ink.SKIN if bare else Ink.UPPER] * 30 + [Ink.SKIN if bare else Ink.UPPER_DARK] * 2,
        np.uint8,
    )
    if not bare and brush.person.pattern == "stripes":
        forearm = brush.clothes.sleeve
    brush.capsule(
        limbs["shoulder"], limbs["elbow"], (0.034 * g, 0.028 * g),
        Part.RIGHT_UPPER_ARM + shift, brush.clothes.sleeve,
    )  # fmt: skip
    brush.capsule(limbs["elbow"], limbs["wrist"], fore, Part.RIGHT_FOREARM + shift, forearm)
    brush.capsule(
        limbs["wrist"], limbs["fingertip"], (0.017, 0.013), Part.RIGHT_FOREARM + shift, Ink.SKIN
    )


def _hips(brush: Brush) -> None:
    s, h, g = brush.bones, brush.h, brush.g
    hips = brush.person.hips * g
    rings = [
        brush.ring(offset(s.pelvis, s.spine, 0.07 * h), 0.080 * hips, 0.056 * g, 0.0),
        brush.ring(offset(s.pelvis, s.spine, 0.02 * h), 0.094 * hips, 0.067 * g, 0.2),
    ]
    if brush.person.legwear in ("skirt", "dress"):
        reach = _HEMS[brush.person.legwear]
        rings += [
            _draped(brush, 0.35 * reach, 0.108 * hips, 0.078 * hips, 0.45),
            _draped(brush, reach, 0.118 * hips, 0.085 * hips, 1.0),
        ]
    else:
        rings.append(
            brush.ring(offset(s.pelvis, s.spine, -0.045 * h), 0.097 * hips, 0.064 * g, 1.0)
        )
    brush.barrel(rings, 0.0, Part.HIPS, brush.clothes.lower)


def _draped(brush: Brush, share: float, lateral: float, sagittal: float, v: float) -> Ring:
    """A ring of cloth about both thighs, at `share` of the way from the pelvis to the knees.

    It is at least as wide as the thighs are there, so that no stride pushes through the cloth.
    """
    s, g = brush.bones, brush.limb_g
    thigh = (0.054 - 0.012 * share) * g
    apart = share * abs(s.left["knee"][0] - s.right["knee"][0]) / (2 * brush.h)
    beside = (abs(s.left["hip"][1] - s.right["hip"][1]) / 2) / brush.h
    middle = between(s.pelvis, between(s.left["knee"], s.right["knee"], 0.5), share)
    # An ellipse is narrower beside its middle, where the thighs are.
    return brush.ring(
        middle, max(lateral, 1.06 * (beside + thigh)), max(sagittal, 1.16 * (apart + thigh)), v
    )


def _torso(brush: Brush) -> None:
    p, s, h, g = brush.person, brush.bones, brush.h, brush.g
    broad = p.shoulders
    bulk = 1.06 if p.length == "coat" else 1.0
    shape = [
        (0.345, 0.032, 0.034, 0.0),
        (0.322, 0.068 * broad, 0.042, 0.06),
        (0.304, 0.102 * broad, 0.048, 0.13),
        (0.272, 0.118 * broad, 0.060 * g, 0.22),
        (0.230, 0.108 * broad * (0.5 + 0.5 * g), 0.068 * g, 0.34),
        (0.130, 0.088 * g * bulk, 0.064 * g * bulk, 0.62),
        (0.040, 0.100 * p.hips * g * bulk, 0.076 * g * bulk, 0.88),
    ]
    hem = {"short": 0.03, "hip": -0.005, "coat": -0.03}[p.length]
    if p.length == "short":
        shape[-1] = (hem, 0.100 * p.hips * g, 0.076 * g, 1.0)
    else:
        shape.append(
            (
                hem,
                0.105 * p.hips * g * bulk,
                0.080 * g * bulk,
                0.93 if p.length == "coat" else 1.0,
            )
        )
    rings = [brush.ring(offset(s.pelvis, s.spine, k * h), a, b, v) for k, a, b, v in shape]
    if p.length == "coat":
        rings.append(_draped(brush, 0.34, 0.112 * p.hips * g, 0.088 * g, 0.96))
        rings.append(_draped(brush, _HEMS["coat"], 0.122 * p.hips * g, 0.092 * g, 1.0))
    brush.barrel(rings, s.chest_yaw, Part.TORSO, brush.clothes.torso)
    neck = offset(s.pelvis, s.spine, 0.335 * h)
    brush.capsule(neck, offset(s.head, s.head_up, -0.03 * h), (0.031, 0.029), Part.NECK, Ink.SKIN)
    if p.scarf:
        knot = offset(s.pelvis, s.spine, 0.352 * h)
        wrap = [
            brush.ring(offset(knot, s.spine, 0.016 * h), 0.042, 0.046, 0.0),
            brush.ring(knot, 0.054, 0.056, 0.5),
            brush.ring(offset(knot, s.spine, -0.024 * h), 0.058, 0.056, 1.0),
        ]
        brush.barrel(wrap, s.chest_yaw, Part.NECK, np.full((2, 2), Ink.ACCENT, np.uint8))
