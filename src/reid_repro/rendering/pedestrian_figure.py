"""A dressed figure and the brush that draws its solids.

Lengths given to the brush as radii or ring axes are shares of the stature; points are metres in
the body frame of pedestrian_skeleton.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from reid_repro.rendering.pedestrian_identity import Identity
from reid_repro.rendering.pedestrian_raster import Raster, Ring
from reid_repro.rendering.pedestrian_skeleton import Point, Skeleton
from reid_repro.rendering.pedestrian_textures import Ink, Wardrobe, colours
from reid_repro.rendering.pedestrian_view import View


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
LEFT_SHIFT: Final = Part.LEFT_THIGH - Part.RIGHT_THIGH


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
    spans = [(s.head, 0.066 * h), (offset(s.head, s.head_up, 0.01 * h), 0.066 * h)]
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


def offset(p: Point, q: Point, factor: float) -> Point:
    """p + factor * q."""
    return (p[0] + factor * q[0], p[1] + factor * q[1], p[2] + factor * q[2])


def between(p: Point, q: Point, t: float) -> Point:
    """The point at share t of the way from p to q."""
    return (p[0] + t * (q[0] - p[0]), p[1] + t * (q[1] - p[1]), p[2] + t * (q[2] - p[2]))


class Brush:
    """One person's raster, view and inks; `first` is the place of the inks in the palette."""

    def __init__(self, raster: Raster, view: View, figure: Figure) -> None:
        self.raster, self.view = raster, view
        self.person, self.clothes, self.bones = figure.person, figure.wardrobe, figure.skeleton
        self.h = figure.skeleton.stature
        self.g = figure.person.girth
        self.limb_g = 1 + 0.6 * (self.g - 1)
        self.first = raster.inks(colours(figure.person))

    def capsule(
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

    def barrel(self, rings: list[Ring], yaw: float, part: int, texture: np.ndarray) -> None:
        """A barrel whose texture holds `Ink` codes."""
        self.raster.barrel(self.view, rings, yaw, part, texture + np.uint8(self.first))

    def ring(self, centre: Point, lateral: float, sagittal: float, v: float) -> Ring:
        """A ring whose half-axes are shares of the stature."""
        return Ring(centre, lateral * self.h, sagittal * self.h, v)
