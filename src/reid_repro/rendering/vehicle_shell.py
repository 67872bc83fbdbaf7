"""The shell of a rendered vehicle: lofted body, cabin, windows and cargo box.

All of it is the same for every identity of a group; the per-identity parts are added by
`vehicle_parts`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reid_repro.rendering.vehicle_bodies import BodyShape
from reid_repro.rendering.vehicle_mesh import (
    Colour,
    Finish,
    MeshBuilder,
    Plane,
    Zone,
    add_cuboid,
    plane,
)

GLASS: Colour = (42.0, 50.0, 57.0)
GLEAM: Colour = (84.0, 95.0, 103.0)
RUBBER: Colour = (30.0, 31.0, 33.0)
SEAM: Colour = (24.0, 25.0, 27.0)


@dataclass(frozen=True)
class CabinRings:
    """(10, 3) outlines of the cabin, anticlockwise from the right windscreen corner."""

    belt: np.ndarray
    eaves: np.ndarray  # where the glass ends and the roof begins
    crown: np.ndarray

    def panel(self, first: int, last: int, u: float, v: float) -> np.ndarray:
        """The point at (u, v) in 0..1 on the panel between outline points `first` and `last`."""
        low = (1 - u) * self.belt[first] + u * self.belt[last]
        high = (1 - u) * self.eaves[first] + u * self.eaves[last]
        point: np.ndarray = (1 - v) * low + v * high
        return point


# Outline points: 0 windscreen right, 1 windscreen left, 2 A pillar left, 3 C pillar left,
# 4 rear window left, 5 rear window right, 6 C pillar right, 7 A pillar right.
FRONT, LEFT, REAR, RIGHT = (0, 1), (2, 3), (4, 5), (6, 7)


def cabin_rings(shape: BodyShape) -> CabinRings:
    """Belt, eaves and crown of the cabin."""

    def outline(
        front: float, rear: float, width: float, set_back: float, z: list[float]
    ) -> np.ndarray:
        half = np.array(
            [
                (front, 0.84),
                (front - set_back, 1.0),
                (rear + set_back, 1.0),
                (rear, 0.86),
            ]
        )
        left = np.stack([half[:, 0], half[:, 1] * width, np.array(z)], axis=1)
        right = left[::-1] * np.array([1, -1, 1])
        return np.concatenate([right[-1:], left, right[:-1]])

    middle = (shape.cowl + shape.tail) / 2
    width = 0.925 * shape.half_width_at(middle) - 0.01
    xs = (shape.cowl, shape.cowl - 0.2, shape.tail + 0.16, shape.tail)
    belt_z = [shape.shoulder_at(x) - 0.01 for x in xs]
    belt = outline(shape.cowl, shape.tail, width, 0.18, belt_z)
    eaves_z = [shape.height - 0.07] * 4
    roof = width * shape.roof_width
    eaves = outline(shape.roof_front, shape.roof_rear, roof, 0.10, eaves_z)
    crown = eaves.copy()
    centre = (shape.roof_front + shape.roof_rear) / 2
    crown[:, 0] = centre + (eaves[:, 0] - centre) * 0.90
    crown[:, 1] *= 0.80
    crown[:, 2] = shape.height
    return CabinRings(belt, eaves, crown)


def add_shell(builder: MeshBuilder, shape: BodyShape) -> CabinRings:
    """Everything of a vehicle that is no part; returns the outlines that the parts hang on."""
    rings = cabin_rings(shape)
    _add_lower_body(builder, shape)
    _add_flank_decals(builder, shape)
    _add_cabin(builder, shape, rings)
    if shape.cargo is not None:
        _add_cargo(builder, shape)
    return rings


def _add_lower_body(builder: MeshBuilder, shape: BodyShape) -> None:
    stations = _stations(shape)
    rings = [shape.ring(x) for x in stations]
    for back, front, x0, x1 in zip(
        rings, rings[1:], stations, stations[1:], strict=False
    ):
        for k in range(len(back) - 1):
            colour = shape.trim if shape.two_tone and k == 0 else shape.paint
            finish = Finish.MATTE if colour is shape.trim else Finish.PAINT
            for side in (1, -1):
                quad = np.array(
                    [
                        (x0, side * back[k, 0], back[k, 1]),
                        (x1, side * front[k, 0], front[k, 1]),
                        (x1, side * front[k + 1, 0], front[k + 1, 1]),
                        (x0, side * back[k + 1, 0], back[k + 1, 1]),
                    ]
                )
                flat = back[k : k + 2].mean(axis=0)
                outward = (0.0, side * flat[0], flat[1] - 0.55)
                builder.add(quad, colour, Zone.BODY, outward, finish=finish)
    for x, ring, direction in (
        (stations[0], rings[0], -1),
        (stations[-1], rings[-1], 1),
    ):
        for band, colour in ((slice(0, 2), shape.trim), (slice(1, 7), shape.paint)):
            half = ring[band]
            left = np.column_stack([np.full(len(half), x), half])
            right = left[::-1] * np.array([1, -1, 1])
            builder.add(
                np.concatenate([left, right]),
                colour,
                Zone.BODY,
                (direction, 0, 0),
                finish=Finish.PAINT,
            )


def _stations(shape: BodyShape) -> list[float]:
    """Where the cross-sections stand: close together where the curves bend."""
    near = (0.0, 0.05, 0.16, 0.4, 0.8)
    ends = [shape.rear + d for d in near] + [shape.front - d for d in near]
    middle = list(np.linspace(shape.rear + 0.8, shape.front - 0.8, 5)[1:-1])
    return sorted({round(x, 3) for x in (*ends, *middle)})


def _add_flank_decals(builder: MeshBuilder, shape: BodyShape) -> None:
    """Wheel arches, sill, door seams, handles and a crease of light along the shoulder."""
    doors = _door_lines(shape)
    for side in (1, -1):
        outward = (0, side, 0)

        def strip(
            corners: list[tuple[float, float]], colour: Colour, side: int = side
        ) -> None:
            points = [shape.flank(x, z, side) for x, z in corners]
            builder.add(points, colour, Zone.BODY_DECALS, (0, side, 0))

        low = shape.clearance
        back, front = shape.axles
        r = shape.wheel_radius
        if shape.cargo is None:
            sill = (
                shape.trim if shape.two_tone else tuple(0.42 * c for c in shape.paint)
            )
            strip(
                [(back, low), (front, low), (front, low + 0.09), (back, low + 0.09)],
                sill,
            )
        belt = shape.shoulder_at(doors[0]) - 0.06
        for x in doors:
            lower = low + 0.1
            strip(
                [
                    (x - 0.01, lower),
                    (x + 0.01, lower),
                    (x + 0.01, belt),
                    (x - 0.01, belt),
                ],
                SEAM,
            )
        for x in doors[1:]:
            z = belt - 0.1
            dark = tuple(0.55 * c for c in shape.paint)
            strip(
                [
                    (x - 0.26, z),
                    (x - 0.06, z),
                    (x - 0.06, z + 0.035),
                    (x - 0.26, z + 0.035),
                ],
                dark,
            )
        for axle in (front,) if shape.cargo is not None else (back, front):
            angles = np.linspace(0, np.pi, 11)
            for radius, colour in ((1.24 * r, shape.trim), (1.13 * r, RUBBER)):
                if colour is shape.trim and not shape.two_tone:
                    continue
                arch = [
                    (axle + radius * c, r + radius * s)
                    for c, s in zip(np.cos(angles), np.sin(angles), strict=True)
                ]
                arch = [(axle + radius, low - 0.02), *arch, (axle - radius, low - 0.02)]
                points = [shape.flank(x, z, side) for x, z in arch]
                builder.add(points, colour, Zone.BODY_DECALS, outward)


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
            outward = (quad.mean(axis=0) - middle) * np.array([1, 1, 0.5])
            builder.add(quad, shape.paint, Zone.CABIN, outward, finish=Finish.PAINT)
    builder.add(rings.crown, shape.paint, Zone.CABIN, (0, 0, 1), finish=Finish.PAINT)
    for first, last, side in ((*LEFT, 1), (*RIGHT, -1)):
        for start, end in _panes(shape, side):
            _add_pane(
                builder,
                rings,
                (first, last),
                (start, end),
                (0.10, 0.93),
                (0, side, 0.2),
            )
    _add_pane(builder, rings, REAR, (0.05, 0.95), (0.10, 0.92), (-1, 0, 0.2))


def _panes(shape: BodyShape, side: int) -> list[tuple[float, float]]:
    """Extents of the side windows along their panel, which runs rearwards on the left."""
    if shape.cargo is not None:
        panes = [(0.06, 0.90)]
    elif shape.kind == "van":
        panes = [(0.03, 0.30), (0.33, 0.63), (0.66, 0.96)]
    elif shape.kind == "suv":
        panes = [(0.04, 0.38), (0.41, 0.72), (0.75, 0.95)]
    else:
        panes = [(0.05, 0.47), (0.50, 0.90)]
    return panes if side > 0 else [(1 - end, 1 - start) for start, end in panes]


def _add_pane(
    builder: MeshBuilder,
    rings: CabinRings,
    panel: tuple[int, int],
    across: tuple[float, float],
    up: tuple[float, float],
    outward: tuple[float, float, float],
) -> None:
    """A window with a band of sky in its upper half."""
    (u0, u1), (v0, v1) = across, up
    corners = [
        rings.panel(*panel, u, v) for u, v in ((u0, v0), (u1, v0), (u1, v1), (u0, v1))
    ]
    builder.add(corners, GLASS, Zone.CABIN_DECALS, outward, finish=Finish.GLASS)
    span = u1 - u0
    band = ((0.30, 0.0), (0.55, 0.0), (0.85, 1.0), (0.60, 1.0))
    gleam = [rings.panel(*panel, u0 + span * u, v0 + (v1 - v0) * v) for u, v in band]
    builder.add(gleam, GLEAM, Zone.CABIN_DECALS, outward, finish=Finish.GLASS)


def _add_cargo(builder: MeshBuilder, shape: BodyShape) -> None:
    """Cargo box with ribs and rear doors, chassis beam and fuel tank."""
    cargo = shape.cargo
    if cargo is None:
        raise ValueError(f"a {shape.kind} has no cargo box")
    builder.split = cargo.front + 0.04
    middle = (cargo.back + cargo.front) / 2
    length, height = cargo.front - cargo.back, cargo.high - cargo.low
    size = (length - 0.1, 0.9, 0.22)
    add_cuboid(builder, (middle, 0, cargo.low - 0.11), size, SEAM, Zone.CARGO)
    add_cuboid(
        builder,
        (middle, 0, cargo.low + height / 2),
        (length, 2 * cargo.half_width, height),
        cargo.colour,
        Zone.CARGO,
        finish=Finish.PAINT,
    )
    darker = tuple(0.80 * c for c in cargo.colour)
    frame = tuple(0.55 * c for c in cargo.colour)
    for side in (1, -1):
        wall = plane(
            (middle, side * cargo.half_width, cargo.low), (-side, 0, 0), (0, 0, 1)
        )
        for s in np.linspace(-length / 2, length / 2, 8)[1:-1]:
            rib = np.array(
                [
                    (s - 0.02, 0.08),
                    (s + 0.02, 0.08),
                    (s + 0.02, height),
                    (s - 0.02, height),
                ]
            )
            builder.add(wall.at(rib), darker, Zone.CARGO_DECALS, wall.outward)
        _frame(builder, wall, (-length / 2, length / 2), (0.0, 0.08), frame)
        _frame(builder, wall, (-length / 2, length / 2), (height - 0.07, height), frame)
    doors = plane((cargo.back, 0, cargo.low), (0, -1, 0), (0, 0, 1))
    w = cargo.half_width
    _frame(builder, doors, (-0.015, 0.015), (0.1, height - 0.1), frame)
    for s in (-0.55 * w, 0.55 * w):
        _frame(builder, doors, (s - 0.02, s + 0.02), (0.1, height - 0.1), frame)
    _frame(builder, doors, (-w, w), (0.0, 0.09), frame)
    _frame(builder, doors, (-w, w), (height - 0.08, height), frame)
    _frame(builder, doors, (-0.9 * w, 0.9 * w), (-0.26, -0.03), SEAM)


def _frame(
    builder: MeshBuilder,
    wall: Plane,
    across: tuple[float, float],
    up: tuple[float, float],
    colour: Colour,
) -> None:
    (s0, s1), (t0, t1) = across, up
    corners = np.array([(s0, t0), (s1, t0), (s1, t1), (s0, t1)])
    builder.add(wall.at(corners), colour, Zone.CARGO_DECALS, wall.outward)
