"""Flat things on vehicles: planes in space, outlines on them, and layers of decals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from reid_repro.rendering.vehicle_mesh import Colour, Finish, MeshBuilder, Wear, Zone


@dataclass(frozen=True)
class Plane:
    """`at` maps (s, t), metres along `right` and `up`, to the vehicle's frame."""

    origin: np.ndarray
    right: np.ndarray
    up: np.ndarray
    outward: np.ndarray

    def at(self, outline: ArrayLike, centre: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
        """(K, 2) plane coordinates, moved to `centre` -> (K, 3)."""
        flat = np.asarray(outline, dtype=np.float32) + np.asarray(centre, dtype=np.float32)
        points: np.ndarray = self.origin + flat[:, :1] * self.right + flat[:, 1:] * self.up
        return points

    def moved(self, s: float, t: float) -> Plane:
        """The same plane with its origin at (s, t)."""
        origin = self.origin + s * self.right + t * self.up
        return Plane(origin, self.right, self.up, self.outward)


def plane(origin: ArrayLike, right: ArrayLike, up: ArrayLike) -> Plane:
    """A plane through `origin`; `right` x `up` points outwards. Both are normalised."""
    across, upward = (np.asarray(v, dtype=np.float32) for v in (right, up))
    across, upward = across / np.linalg.norm(across), upward / np.linalg.norm(upward)
    return Plane(np.asarray(origin, dtype=np.float32), across, upward, np.cross(across, upward))


def upright(x: float, y: float, z: float, facing: str) -> Plane:
    """A vertical plane through a point, facing "front", "rear", "left" or "right"."""
    right = {
        "front": (0, 1, 0),
        "rear": (0, -1, 0),
        "left": (-1, 0, 0),
        "right": (1, 0, 0),
    }
    return plane((x, y, z), right[facing], (0, 0, 1))


@dataclass(frozen=True)
class Decals:
    """Outlines of one part on one plane, each drawn over those before it."""

    builder: MeshBuilder
    plane: Plane
    zone: Zone
    part: int = -1
    finish: Finish = Finish.LIT

    def add(
        self,
        outline: ArrayLike,
        colour: Colour,
        centre: tuple[float, float] = (0.0, 0.0),
        *,
        finish: Finish | None = None,
        wear: Wear = Wear.FIXED,
        inner: bool = False,
    ) -> None:
        """Add an outline (K, 2) about `centre`; `inner`: within earlier ones of the part."""
        self.builder.add(
            self.plane.at(outline, centre),
            colour,
            self.zone,
            self.plane.outward,
            finish=self.finish if finish is None else finish,
            part=self.part,
            wear=wear,
            inner=inner,
        )


def darker(colour: Colour, share: float) -> Colour:
    """`share` of a colour's brightness."""
    red, green, blue = colour
    return share * red, share * green, share * blue


def rectangle(width: float, height: float) -> np.ndarray:
    """(4, 2) corners about the origin."""
    x, y = width / 2, height / 2
    return np.array([[-x, -y], [x, -y], [x, y], [-x, y]])


def band(half: float, low: float, high: float, taper: float = 1.0) -> np.ndarray:
    """(4, 2): a trapezium about s = 0 from t = `low` to `high`; its top is `taper` as wide."""
    return np.array([(-half, low), (half, low), (taper * half, high), (-taper * half, high)])


def ngon(corners: int, width: float, height: float | None = None, turn: float = 0.0) -> np.ndarray:
    """(corners, 2): an n-gon in an ellipse of the given width and height; `turn` in degrees."""
    angle = np.arange(corners) * 2 * np.pi / corners + np.deg2rad(turn)
    size = np.array([width, width if height is None else height]) / 2
    return np.stack([np.cos(angle), np.sin(angle)], axis=1) * size


def star(points: int, outer: float, inner: float, share: float) -> np.ndarray:
    """(4 points, 2): blunt spokes between two radii; `share` of each turn is spoke."""
    step = 2 * np.pi / points
    offsets = np.array([-0.5, -0.3 * share, 0.3 * share, 0.5]) * step
    angle = (np.arange(points) * step)[:, None] + offsets
    radius = np.array([inner, outer, outer, inner])
    corners = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    return corners.reshape(-1, 2)
