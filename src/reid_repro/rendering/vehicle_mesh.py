"""Polygon meshes of vehicles: what the body and part modules build and the rasteriser draws.

Coordinates are metres in the vehicle's own frame: x forward, y left, z up, the ground at z = 0.
Every polygon belongs to a `Zone`; zones are drawn back to front (painter's algorithm), polygons
of a solid zone by distance and polygons of a decal zone in the order they were added.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike

Colour = tuple[float, float, float]  # RGB, 0..255


class Zone(IntEnum):
    """Where a polygon stands in the drawing order. See `vehicle_raster.zone_ranks`."""

    TYRES = 0  # the treads, seen below the body
    WHEELS_LEFT = 1
    WHEELS_RIGHT = 2
    MIRROR_LEFT = 3
    MIRROR_RIGHT = 4
    BODY = 5
    BODY_DECALS = 6
    CABIN = 7
    CABIN_DECALS = 8
    ROOF = 9
    CARGO = 10
    CARGO_DECALS = 11


SOLID_ZONES = (
    Zone.TYRES,
    Zone.MIRROR_LEFT,
    Zone.MIRROR_RIGHT,
    Zone.BODY,
    Zone.CABIN,
    Zone.ROOF,
    Zone.CARGO,
)


class Finish(IntEnum):
    """How a surface answers to light."""

    MATTE = 0
    PAINT = 1
    GLASS = 2
    LIT = 3  # prints, lenses and retro-reflectors: hardly any shading


class Wear(IntEnum):
    """Polygons whose colour or presence changes from photograph to photograph."""

    FIXED = 0
    DRIVER_CLOTHES = 1
    PASSENGER_CLOTHES = 2
    PASSENGER_SKIN = 3


@dataclass(frozen=True)
class Mesh:
    """P polygons with M corners in all, N part instances.

    `points` (M, 3); polygon p owns the corners `starts[p]:starts[p + 1]`, counter-clockwise seen
    from outside; `first` (P,) are the starts as an array, `following` (M,) is each corner's
    successor in its polygon. `colours`, `normals`, `centres` are (P, 3); `zone`, `finish`,
    `wear`, `part` are (P,), with part -1 for what is no part; `inner` (P,) marks polygons that
    lie wholly within others of their part. `labels` and `parents` are per instance: a sticker
    on the windscreen has the windscreen as its parent, -1 is none.
    """

    points: np.ndarray
    starts: tuple[int, ...]
    first: np.ndarray
    following: np.ndarray
    colours: np.ndarray
    normals: np.ndarray
    centres: np.ndarray
    zone: np.ndarray
    finish: np.ndarray
    wear: np.ndarray
    part: np.ndarray
    inner: np.ndarray
    labels: tuple[str, ...]
    parents: tuple[int, ...]
    split: float  # x of the plane between cabin and cargo box; -inf without a cargo box


class MeshBuilder:
    """Collects polygons; `build` turns them into arrays and orients them outwards."""

    def __init__(self) -> None:
        self._points: list[np.ndarray] = []
        self._colours: list[Colour] = []
        self._outward: list[ArrayLike] = []
        self._codes: list[tuple[int, int, int, int, int]] = []
        self._labels: list[str] = []
        self._parents: list[int] = []
        self.split = -np.inf

    def copy(self) -> MeshBuilder:
        """A builder that goes on from here; this one stays as it is."""
        twin = MeshBuilder()
        for name, value in vars(self).items():
            setattr(twin, name, value[:] if isinstance(value, list) else value)
        return twin

    def part(self, label: str, parent: int = -1) -> int:
        """Open a part instance and return its number."""
        self._labels.append(label)
        self._parents.append(parent)
        return len(self._labels) - 1

    def add(
        self,
        points: ArrayLike,
        colour: Colour,
        zone: Zone,
        outward: ArrayLike,
        *,
        finish: Finish = Finish.MATTE,
        part: int = -1,
        wear: Wear = Wear.FIXED,
        inner: bool = False,
    ) -> None:
        """Add one flat polygon, `points` (K, 3) in either sense; `outward` tells its outer side.

        `inner` says that it lies wholly within other polygons of its part.
        """
        self._points.append(np.asarray(points, dtype=np.float32))
        self._colours.append(colour)
        self._outward.append(outward)
        self._codes.append((zone, finish, wear, part, inner))

    def build(self) -> Mesh:
        """The mesh of everything added so far, with its normals and bounds."""
        counts = np.array([len(points) for points in self._points])
        starts = np.concatenate([[0], np.cumsum(counts)])
        points = np.concatenate(self._points)
        owner = np.repeat(np.arange(len(counts)), counts)
        following = np.arange(len(points)) + 1
        following[starts[1:] - 1] = starts[:-1]
        # Newell's method: half the sum of cross products of successive corners, about the
        # centroid to keep float32 accurate.
        centres = np.add.reduceat(points, starts[:-1], axis=0) / counts[:, None]
        local = points - centres[owner]
        normals = np.add.reduceat(np.cross(local, local[following]), starts[:-1], axis=0)
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        inward = np.einsum("pc,pc->p", normals, np.array(self._outward, dtype=np.float32)) < 0
        order = np.arange(len(points))
        mirrored = (starts[:-1] + starts[1:] - 1)[owner] - order
        points = points[np.where(inward[owner], mirrored, order)]
        normals[inward] *= -1
        codes = np.array(self._codes)
        return Mesh(
            points=points,
            starts=tuple(starts.tolist()),
            first=starts[:-1],
            following=following,
            colours=np.array(self._colours, dtype=np.float32),
            normals=normals,
            centres=centres,
            zone=codes[:, 0],
            finish=codes[:, 1],
            wear=codes[:, 2],
            part=codes[:, 3],
            inner=codes[:, 4].astype(bool),
            labels=tuple(self._labels),
            parents=tuple(self._parents),
            split=float(self.split),
        )


def add_cuboid(
    builder: MeshBuilder,
    centre: ArrayLike,
    size: ArrayLike,
    colour: Colour,
    zone: Zone,
    *,
    finish: Finish = Finish.MATTE,
    part: int = -1,
    taper: float = 1.0,
) -> None:
    """Five faces of a box (no bottom); the top is `taper` times as large as the base."""
    middle, half = (
        np.asarray(centre, dtype=np.float32),
        np.asarray(size, dtype=np.float32) / 2,
    )
    base = np.array([[-1, -1, -1], [1, -1, -1], [1, 1, -1], [-1, 1, -1]])
    top = base * np.array([taper, taper, -1])
    low, high = middle + base * half, middle + top * half
    add_up = [0, 0, 1]
    builder.add(high, colour, zone, add_up, finish=finish, part=part)
    for k in range(4):
        n = (k + 1) % 4
        quad = np.stack([low[k], low[n], high[n], high[k]])
        builder.add(quad, colour, zone, quad.mean(axis=0) - middle, finish=finish, part=part)
