"""Hangs flesh, clothes, hair and bags on a skeleton and draws them into a raster.

Everything is attached to the body's own frames, so a backpack covers the back from behind, shows
its thickness from the side and only its straps from the front. Lengths are shares of the
stature.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from reid_repro.rendering.pedestrian_identity import Identity
from reid_repro.rendering.pedestrian_raster import Raster, Ring, View
from reid_repro.rendering.pedestrian_skeleton import Point, Skeleton
from reid_repro.rendering.pedestrian_textures import Ink, Wardrobe, colours


class Part(IntEnum):
    """Numbers in `Raster.part`; 0 is the background."""

    HEAD = 1
    NECK = 2
    TORSO = 3
    HIPS = 4
    RIGHT_THIGH = 5
    RIGHT_SHIN = 6
    RIGHT_FOOT = 7
    RIGHT_UPPER_ARM = 8
    RIGHT_FOREARM = 9
    LEFT_THIGH = 10
    LEFT_SHIN = 11
    LEFT_FOOT = 12
    LEFT_UPPER_ARM = 13
    LEFT_FOREARM = 14
    BAG = 15
    OCCLUDER = 16


# From a right limb's part to the left one's.
_LEFT: Final = Part.LEFT_THIGH - Part.RIGHT_THIGH


@dataclass(frozen=True, slots=True)
class Figure:
    """A posed and dressed person, ready to be drawn by any view."""

    person: Identity
    wardrobe: Wardrobe
    skeleton: Skeleton


def outline(figure: Figure) -> list[tuple[Point, float]]:
    """Points and radii (metres) whose union spans the body: what a detector's box encloses."""
    s, h = figure.skeleton, figure.skeleton.stature
    g = figure.person.girth
    spans = [(s.head, 0.066 * h), (_off(s.head, s.head_up, 0.01 * h), 0.066 * h)]
    for limbs in (s.left, s.right):
        spans += [
            (limbs["toe"], 0.018 * h),
            (limbs["ankle"], 0.037 * h),
            (limbs["fingertip"], 0.014 * h),
            (limbs["elbow"], 0.025 * h * g),
            (limbs["shoulder"], 0.032 * h * g),
            (limbs["hip"], 0.05 * h * g),
        ]
    return spans


def draw_figure(raster: Raster, view: View, figure: Figure) -> None:
    """Draw one person. `view` must already be placed on the raster."""
    painter = _Painter(raster, view, figure)
    for side in ("right", "left"):
        painter.leg(side)
        painter.arm(side)
    painter.hips()
    painter.torso()
    painter.head()
    painter.hair()
    painter.bag()


def _off(p: Point, q: Point, factor: float) -> Point:
    return (p[0] + factor * q[0], p[1] + factor * q[1], p[2] + factor * q[2])


def _between(p: Point, q: Point, t: float) -> Point:
    return (p[0] + t * (q[0] - p[0]), p[1] + t * (q[1] - p[1]), p[2] + t * (q[2] - p[2]))


class _Painter:
    """One person's drawing: the raster, the view and the inks in use."""

    def __init__(self, raster: Raster, view: View, figure: Figure) -> None:
        self.raster, self.view = raster, view
        self.person, self.clothes, self.bones = figure.person, figure.wardrobe, figure.skeleton
        self.h = figure.skeleton.stature
        self.g = figure.person.girth
        self.limb_g = 1 + 0.6 * (self.g - 1)
        self.first = raster.inks(colours(figure.person))

    def _capsule(
        self,
        start: Point,
        end: Point,
        radii: tuple[float, float],
        part: int,
        ink: Ink | np.ndarray,
        stripe: tuple[Point, Ink] | None = None,
    ) -> None:
        """A capsule between two points in metres; radii are shares of the stature."""
        ax, ay, az, ak = self.view.project(start)
        bx, by, bz, bk = self.view.project(end)
        band = None
        if stripe is not None:
            outward, code = stripe
            r, u, t = self.view.right, self.view.up, self.view.toward
            facing = sum(o * v for o, v in zip(outward, t, strict=True))
            if facing > -0.2:
                length = math.hypot(bx - ax, by - ay) or 1.0
                ox = sum(o * v for o, v in zip(outward, r, strict=True))
                oy = -sum(o * v for o, v in zip(outward, u, strict=True))
                band = ((oy * (bx - ax) - ox * (by - ay)) / length, self.first + code)
        self.raster.capsule(
            (ax, ay, az),
            (bx, by, bz),
            radii[0] * self.h * ak,
            radii[1] * self.h * bk,
            part,
            ink + np.uint8(self.first) if isinstance(ink, np.ndarray) else self.first + int(ink),
            band,
        )

    def _barrel(self, rings: list[Ring], yaw: float, part: int, texture: np.ndarray) -> None:
        self.raster.barrel(self.view, rings, yaw, part, texture + np.uint8(self.first))

    def _ring(self, centre: Point, lateral: float, sagittal: float, v: float) -> Ring:
        return Ring(centre, lateral * self.h, sagittal * self.h, v)

    def leg(self, side: str) -> None:
        limbs = self.bones.left if side == "left" else self.bones.right
        shift = _LEFT if side == "left" else 0
        g, kind = self.limb_g, self.person.legwear
        outward = (0.0, 1.0 if side == "left" else -1.0, 0.0)
        stripe = (outward, Ink.ACCENT) if kind == "striped-trousers" else None
        bare = kind in ("shorts", "skirt")
        knee, ankle = (0.046, 0.042) if kind == "wide-trousers" else (0.036, 0.026)
        shin = (0.034, 0.021) if bare else (knee * 0.98, ankle)
        if self.person.boots and kind != "wide-trousers":
            shin = (shin[0], 0.027)
        # The thigh starts below the hip joint, so that its round end stays inside the hips.
        self._capsule(
            _between(limbs["hip"], limbs["knee"], 0.14), limbs["knee"], (0.051 * g, knee * g),
            Part.RIGHT_THIGH + shift,
            self.clothes.thigh, stripe,
        )  # fmt: skip
        self._capsule(
            limbs["knee"], limbs["ankle"], (shin[0] * g, shin[1] * g), Part.RIGHT_SHIN + shift,
            self.clothes.shin, stripe,
        )  # fmt: skip
        heel = _off(
            _off(limbs["ankle"], (0.0, 0.0, -1.0), 0.018 * self.h), (-1.0, 0.0, 0.0), 0.012 * self.h
        )
        self._capsule(heel, limbs["toe"], (0.022, 0.018), Part.RIGHT_FOOT + shift, Ink.SHOE)

    def arm(self, side: str) -> None:
        limbs = self.bones.left if side == "left" else self.bones.right
        shift = _LEFT if side == "left" else 0
        g = self.limb_g * (1.12 if self.person.length == "coat" else 1.0)
        bare = self.person.sleeves == "short"
        fore = (0.023, 0.017) if bare else (0.027 * g, 0.022 * g)
        forearm = np.array(
            [Ink.SKIN if bare else Ink.UPPER] * 30 + [Ink.SKIN if bare else Ink.UPPER_DARK] * 2,
            np.uint8,
        )
        if not bare and self.person.pattern == "stripes":
            forearm = self.clothes.sleeve
        self._capsule(
            limbs["shoulder"], limbs["elbow"], (0.034 * g, 0.028 * g),
            Part.RIGHT_UPPER_ARM + shift, self.clothes.sleeve,
        )  # fmt: skip
        self._capsule(limbs["elbow"], limbs["wrist"], fore, Part.RIGHT_FOREARM + shift, forearm)
        self._capsule(
            limbs["wrist"], limbs["fingertip"], (0.017, 0.013), Part.RIGHT_FOREARM + shift, Ink.SKIN
        )

    def hips(self) -> None:
        s, h, g = self.bones, self.h, self.g
        hips = self.person.hips * g
        rings = [
            self._ring(_off(s.pelvis, s.spine, 0.07 * h), 0.080 * hips, 0.056 * g, 0.0),
            self._ring(_off(s.pelvis, s.spine, 0.02 * h), 0.094 * hips, 0.067 * g, 0.2),
        ]
        if self.person.legwear in ("skirt", "dress"):
            spread = abs(s.left["knee"][0] - s.right["knee"][0]) / h
            middle = _between(s.left["knee"], s.right["knee"], 0.5)
            reach = 0.78 if self.person.legwear == "skirt" else 0.9
            hem = _between(s.pelvis, middle, reach)
            rings += [
                self._ring(_between(s.pelvis, hem, 0.35), 0.108 * hips, 0.078 * hips, 0.45),
                self._ring(hem, 0.118 * hips, max(0.085 * hips, 0.045 + 0.5 * reach * spread), 1.0),
            ]
        else:
            rings.append(
                self._ring(_off(s.pelvis, s.spine, -0.045 * h), 0.097 * hips, 0.064 * g, 1.0)
            )
        self._barrel(rings, 0.0, Part.HIPS, self.clothes.lower)

    def torso(self) -> None:
        p, s, h, g = self.person, self.bones, self.h, self.g
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
        rings = [self._ring(_off(s.pelvis, s.spine, k * h), a, b, v) for k, a, b, v in shape]
        if p.length == "coat":
            spread = abs(s.left["knee"][0] - s.right["knee"][0]) / h
            middle = _between(s.left["knee"], s.right["knee"], 0.5)
            end = _between(s.pelvis, middle, 0.62)
            rings.append(
                self._ring(end, 0.122 * p.hips * g, max(0.092 * g, 0.05 + 0.35 * spread), 1.0)
            )
        self._barrel(rings, s.chest_yaw, Part.TORSO, self.clothes.torso)
        neck = _off(s.pelvis, s.spine, 0.335 * h)
        self._capsule(neck, _off(s.head, s.head_up, -0.03 * h), (0.031, 0.029), Part.NECK, Ink.SKIN)
        if p.scarf:
            knot = _off(s.pelvis, s.spine, 0.352 * h)
            wrap = [
                self._ring(_off(knot, s.spine, 0.016 * h), 0.042, 0.046, 0.0),
                self._ring(knot, 0.054, 0.056, 0.5),
                self._ring(_off(knot, s.spine, -0.024 * h), 0.058, 0.056, 1.0),
            ]
            self._barrel(wrap, s.chest_yaw, Part.NECK, np.full((2, 2), Ink.ACCENT, np.uint8))

    def _head_axes(self) -> tuple[Point, Point, Point]:
        v, s = self.view, self.bones

        def seen(axis: Point) -> Point:
            r, u, t = (
                sum(a * b for a, b in zip(axis, w, strict=True)) for w in (v.right, v.up, v.toward)
            )
            return (r, u, t)

        return seen(s.head_forward), seen(s.head_left), seen(s.head_up)

    def head(self) -> None:
        axes = self._head_axes()
        x, y, z, k = self.view.project(self.bones.head)
        # The skull is longer than wide; its outline's width follows the way it faces.
        width = math.hypot(0.049 * axes[1][0], 0.055 * axes[0][0]) * self.h * k
        self.raster.textured_ball(
            (x, y, z), (width, 0.066 * self.h * k), Part.HEAD, axes,
            self.clothes.head + np.uint8(self.first),
        )  # fmt: skip

    def _ball(
        self, place: tuple[float, float, float], radii: tuple[float, float], ink: Ink
    ) -> None:
        """A ball on the head at (forward, left, up), all shares of the stature."""
        x, y, z, k = self.view.project(self._on_head(*place))
        self.raster.ball(
            (x, y, z), (radii[0] * self.h * k, radii[1] * self.h * k), Part.HEAD, self.first + ink
        )

    def _on_head(self, forward: float, left: float, up: float) -> Point:
        s, h = self.bones, self.h
        return _off(
            _off(_off(s.head, s.head_forward, forward * h), s.head_left, left * h),
            s.head_up,
            up * h,
        )

    def hair(self) -> None:
        kind, on = self.person.hair, self._on_head
        turn = math.atan2(self.bones.head_forward[1], self.bones.head_forward[0])
        if kind == "long":
            hair = [
                self._ring(on(-0.008, 0, 0.045), 0.036, 0.040, 0.0),
                self._ring(on(-0.016, 0, 0.01), 0.052, 0.046, 0.3),
                self._ring(on(-0.026, 0, -0.07), 0.058, 0.038, 0.7),
                self._ring(on(-0.030, 0, -0.15), 0.052, 0.026, 1.0),
            ]
            self._barrel(hair, turn, Part.HEAD, np.full((2, 2), Ink.HAIR, np.uint8))
        elif kind == "bun":
            self._ball((-0.036, 0, 0.062), (0.031, 0.029), Ink.HAIR)
        elif kind == "ponytail":
            self._capsule(
                on(-0.06, 0, 0.03), on(-0.075, 0, -0.11), (0.022, 0.013), Part.HEAD, Ink.HAIR
            )
        elif kind == "cap":
            self._capsule(
                on(0.062, 0.024, 0.024),
                on(0.062, -0.024, 0.024),
                (0.011, 0.011),
                Part.HEAD,
                Ink.HAT,
            )
            self._capsule(
                on(0.082, 0.015, 0.021),
                on(0.082, -0.015, 0.021),
                (0.009, 0.009),
                Part.HEAD,
                Ink.HAT,
            )
        elif kind == "beanie":
            self._ball((-0.006, 0, 0.076), (0.016, 0.016), Ink.ACCENT)
        elif kind == "hat":
            brim = [
                self._ring(on(0, 0, 0.03), 0.07, 0.078, 0.0),
                self._ring(on(0, 0, 0.02), 0.094, 0.1, 1.0),
            ]
            crown = [
                self._ring(on(0, 0, 0.085), 0.038, 0.044, 0.0),
                self._ring(on(0, 0, 0.03), 0.051, 0.059, 1.0),
            ]
            band = np.full((4, 2), Ink.HAT, np.uint8)
            band[3] = Ink.ACCENT
            self._barrel(brim, turn, Part.HEAD, np.full((2, 2), Ink.HAT, np.uint8))
            self._barrel(crown, turn, Part.HEAD, band)

    def bag(self) -> None:
        p, s, h, g = self.person, self.bones, self.h, self.g
        yaw = s.chest_yaw
        back = (-math.cos(yaw), -math.sin(yaw), 0.0)
        limbs, sign = (s.left, 1.0) if p.bag_side == "left" else (s.right, -1.0)
        if p.bag == "backpack":
            depth = 0.066 * g + 0.034

            def at(k: float) -> Point:
                return _off(_off(s.pelvis, s.spine, k * h), back, depth * h)

            rings = [
                self._ring(at(0.312), 0.045, 0.028, 0.0),
                self._ring(at(0.298), 0.074, 0.042, 0.08),
                self._ring(at(0.25), 0.088, 0.052, 0.3),
                self._ring(at(0.10), 0.092, 0.06, 0.85),
                self._ring(at(0.075), 0.082, 0.05, 1.0),
            ]
            self._barrel(rings, yaw, Part.BAG, self.clothes.bag)
        elif p.bag == "shoulder-bag":
            place = _off(s.pelvis, (0.0, sign, 0.0), (0.1 * p.hips * g + 0.03) * h)
            self._hanging(_off(place, (-1.0, 0, 0), 0.025 * h), 0.045, (0.03, 0.075), 0.11)
        elif p.bag == "handbag":
            grip = _between(limbs["wrist"], limbs["fingertip"], 0.7)
            for x in (-0.035, 0.035):
                corner = (grip[0] + x * h, grip[1], grip[2] - 0.06 * h)
                self._capsule(grip, corner, (0.007, 0.007), Part.BAG, Ink.BAG_TRIM)
            self._hanging((grip[0], grip[1], grip[2]), -0.055, (0.028, 0.068), 0.105)

    def _hanging(self, place: Point, top: float, half: tuple[float, float], height: float) -> None:
        """A bag that hangs upright below `place`; `top` and the sizes are shares of stature."""
        h = self.h

        def at(drop: float) -> Point:
            return (place[0], place[1], place[2] + (top - drop) * h)

        rings = [
            self._ring(at(0.0), half[0] * 0.7, half[1] * 0.9, 0.0),
            self._ring(at(0.15 * height), half[0], half[1], 0.15),
            self._ring(at(0.9 * height), half[0] * 1.1, half[1] * 1.05, 0.9),
            self._ring(at(height), half[0] * 0.9, half[1] * 0.95, 1.0),
        ]
        self._barrel(rings, 0.0, Part.BAG, self.clothes.bag)
