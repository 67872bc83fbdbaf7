"""The shell of a rendered vehicle: lofted body, cabin and windows.

All of it is the same for every identity of a group; the per-identity parts are added by
`vehicle_ends`, `vehicle_sides` and `vehicle_windscreen`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from reid_repro.rendering.vehicle_bodies import BodyShape
from reid_repro.rendering.vehicle_mesh import Colour, Finish, MeshBuilder, Zone
from reid_repro.rendering.vehicle_planes import darker

GLASS: Colour = (42.0, 50.0, 57.0)
GLEAM: Colour = (66.0, 76.0, 84.0)
RUBBER: Colour = (30.0, 31.0, 33.0)

# The cabin's outline points: 0 windscreen right, 1 windscreen left, 2 A pillar left, 3 C pillar
# left, 4 rear window left, 5 rear window right, 6 C pillar right, 7 A pillar right.
FRONT, LEFT, REAR, RIGHT = (0, 1), (2, 3), (4, 5), (6, 7)


@dataclass(frozen=True)
class CabinRings:
    """(8, 3) outlines of the cabin, anticlockwise from the right windscreen corner."""

    belt: np.ndarray
    eaves: np.ndarray  # where the glass ends and the roof begins
    crown: np.ndarray

    def panel(self, first: int, last: int, u: float, v: float) -> np.ndarray:
        """The point at (u, v) in 0..1 on the panel between outline points `first` and `last`."""
        low = (1 - u) * self.belt[first] + u * self.belt[last]
        high = (1 - u) * self.eaves[first] + u * self.eaves[last]
        point: np.ndarray = (1 - v) * low + v * high
        return point


def cabin_rings(shape: BodyShape) -> CabinRings:
    """Belt, eaves and crown of the cabin."""
    width = 0.925 * shape.half_width_at((shape.cowl + shape.tail) / 2) - 0.01
    belt = _outline(shape.cowl, shape.tail, width, 0.18)
    belt[:, 2] = [shape.shoulder_at(x) - 0.01 for x in belt[:, 0]]
    eaves = _outline(shape.roof_front, shape.roof_rear, width * shape.roof_width, 0.10)
    eaves[:, 2] = shape.height - 0.07
    centre = (shape.roof_front + shape.roof_rear) / 2
    crown = (eaves - (centre, 0, 0)) * (0.90, 0.80, 1.0) + (centre, 0, 0.07)
    return CabinRings(belt, eaves, crown)


def _outline(front: float, rear: float, width: float, set_back: float) -> np.ndarray:
    """(8, 3) at z = 0: an oblong with cut corners."""
    left = np.array(
        [
            (front, 0.84 * width, 0),
            (front - set_back, width, 0),
            (rear + set_back, width, 0),
            (rear, 0.86 * width, 0),
        ]
    )
    right = left[::-1] * (1, -1, 1)
    return np.concatenate([right[-1:], left, right[:-1]])


def add_shell(builder: MeshBuilder, shape: BodyShape) -> CabinRings:
    """Body and cabin; returns the outlines that the parts hang on."""
    rings = cabin_rings(shape)
    _add_lower_body(builder, shape)
    for side in (1, -1):
        _add_flank(builder, shape, side)
    _add_cabin(builder, shape, rings)
    return rings


def _add_lower_body(builder: MeshBuilder, shape: BodyShape) -> None:
    """Quads between successive cross-sections, and a face at either end."""
    stations = _stations(shape)
    for x0, x1 in pairwise(stations):
        back, front = shape.ring(x0), shape.ring(x1)
        for k in range(len(back) - 1):
            trimmed = shape.two_tone and k == 0
            colour, finish = (shape.trim, Finish.MATTE) if trimmed else (shape.paint, Finish.PAINT)
            y, z = back[k : k + 2].mean(axis=0)
            for side in (1, -1):
                corners = (
                    (x0, back[k]),
                    (x1, front[k]),
                    (x1, front[k + 1]),
                    (x0, back[k + 1]),
                )
                quad = [(x, side * yz[0], yz[1]) for x, yz in corners]
                builder.add(quad, colour, Zone.BODY, (0.0, side * y, z - 0.55), finish=finish)
    for x, direction in ((stations[0], -1), (stations[-1], 1)):
        ring = shape.ring(x)
        for half, colour in ((ring[:2], shape.trim), (ring[1:], shape.paint)):
            left = np.column_stack([np.full(len(half), x), half])
            face = np.concatenate([left, left[::-1] * (1, -1, 1)])
            builder.add(face, colour, Zone.BODY, (direction, 0, 0), finish=Finish.PAINT)


def _stations(shape: BodyShape) -> list[float]:
    """Where the cross-sections stand: close together where the curves bend."""
    near = (0.0, 0.05, 0.16, 0.4, 0.8)
    ends = [shape.rear + d for d in near] + [shape.front - d for d in near]
    middle = np.linspace(shape.rear + 0.8, shape.front - 0.8, 5)[1:-1].tolist()
    return sorted({round(x, 3) for x in (*ends, *middle)})


def _add_flank(builder: MeshBuilder, shape: BodyShape, side: int) -> None:
    """Sill, door seams, handles and wheel arches."""

    def add(corners: list[tuple[float, float]], colour: Colour) -> None:
        points = [shape.flank(x, z, side) for x, z in corners]
        builder.add(points, colour, Zone.BODY_DECALS, (0, side, 0))

    def add_box(x0: float, x1: float, z0: float, z1: float, colour: Colour) -> None:
        add([(x0, z0), (x1, z0), (x1, z1), (x0, z1)], colour)

    low, r = shape.clearance, shape.wheel_radius
    back, front = shape.axles
    if shape.cargo is None:
        sill = shape.trim if shape.two_tone else darker(shape.paint, 0.42)
        add_box(back, front, low, low + 0.09, sill)
    doors = _door_lines(shape)
    belt = shape.shoulder_at(doors[0]) - 0.06
    for x in doors:
        add_box(x - 0.009, x + 0.009, low + 0.1, belt, darker(shape.paint, 0.5))
    for x in doors[1:]:
        add_box(x - 0.26, x - 0.06, belt - 0.1, belt - 0.065, darker(shape.paint, 0.6))
    angle = np.linspace(0, np.pi, 11)
    rims = [(1.24 * r, shape.trim)] if shape.two_tone else []
    for axle in (front,) if shape.cargo is not None else (back, front):
        for radius, colour in (*rims, (1.13 * r, RUBBER)):
            bow = zip(axle + radius * np.cos(angle), r + radius * np.sin(angle), strict=True)
            foot = low - 0.02
            add([(axle + radius, foot), *bow, (axle - radius, foot)], colour)


def _door_lines(shape: BodyShape) -> list[float]:
    """x of the seams: behind the rear door, between the doors, before the front door."""
    if shape.cargo is not None:
        return [shape.rear + 0.12, shape.front - 0.45]
    front = shape.cowl - 0.42
    back = max(shape.tail + 0.75, shape.axles[0] + shape.wheel_radius * 0.8)
    return [back, (front + back) / 2 - 0.03, front]


def _add_cabin(builder: MeshBuilder, shape: BodyShape, rings: CabinRings) -> None:
    middle = rings.belt.mean(axis=0)
    count = len(rings.belt)
    for low, high in ((rings.belt, rings.eaves), (rings.eaves, rings.crown)):
        for k in range(count):
            n = (k + 1) % count
            quad = np.stack([low[k], low[n], high[n], high[k]])
            outward = (quad.mean(axis=0) - middle) * (1, 1, 0.5)
            builder.add(quad, shape.paint, Zone.CABIN, outward, finish=Finish.PAINT)
    builder.add(rings.crown, shape.paint, Zone.CABIN, (0, 0, 1), finish=Finish.PAINT)
    for start, end in _panes(shape):
        _add_pane(builder, rings, LEFT, (start, end), (0.10, 0.93), (0, 1, 0.2))
        _add_pane(builder, rings, RIGHT, (1 - end, 1 - start), (0.10, 0.93), (0, -1, 0.2))
    _add_pane(builder, rings, REAR, (0.05, 0.95), (0.10, 0.92), (-1, 0, 0.2))


def _panes(shape: BodyShape) -> list[tuple[float, float]]:
    """Extents of the side windows from the A pillar (0) to the C pillar (1)."""
    if shape.cargo is not None:
        return [(0.06, 0.90)]
    if shape.kind == "van":
        return [(0.03, 0.30), (0.33, 0.63), (0.66, 0.96)]
    if shape.kind == "suv":
        return [(0.04, 0.38), (0.41, 0.72), (0.75, 0.95)]
    return [(0.05, 0.47), (0.50, 0.90)]


def _add_pane(
    builder: MeshBuilder,
    rings: CabinRings,
    panel: tuple[int, int],
    across: tuple[float, float],
    up: tuple[float, float],
    outward: tuple[float, float, float],
) -> None:
    """A window whose upper half mirrors the sky."""
    (u0, u1), (v0, v1) = across, up
    whole = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    sky = ((0.0, 0.62), (1.0, 0.50), (1.0, 1.0), (0.0, 1.0))
    for shares, colour in ((whole, GLASS), (sky, GLEAM)):
        points = [rings.panel(*panel, u0 + (u1 - u0) * u, v0 + (v1 - v0) * v) for u, v in shares]
        builder.add(points, colour, Zone.CABIN_DECALS, outward, finish=Finish.GLASS)
