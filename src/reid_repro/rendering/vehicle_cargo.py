"""The cargo box of a rendered truck, with ribs, rear doors and the chassis below it."""

from __future__ import annotations

import numpy as np

from reid_repro.rendering.vehicle_bodies import Cargo
from reid_repro.rendering.vehicle_mesh import (
    Colour,
    Finish,
    MeshBuilder,
    Zone,
    add_cuboid,
)
from reid_repro.rendering.vehicle_planes import Decals, darker, upright

_CHASSIS: Colour = (24.0, 25.0, 27.0)


def add_cargo(builder: MeshBuilder, cargo: Cargo) -> None:
    """The box and what is drawn on it; tells the mesh where the cab ends."""
    builder.split = cargo.front + 0.04
    x = (cargo.back + cargo.front) / 2
    length, height = cargo.front - cargo.back, cargo.high - cargo.low
    beam = (length - 0.1, 0.9, 0.22)
    add_cuboid(builder, (x, 0, cargo.low - 0.11), beam, _CHASSIS, Zone.CARGO)
    add_cuboid(
        builder,
        (x, 0, cargo.low + height / 2),
        (length, 2 * cargo.half_width, height),
        cargo.colour,
        Zone.CARGO,
        finish=Finish.PAINT,
    )
    for side, facing in ((1, "left"), (-1, "right")):
        wall = upright(x, side * cargo.half_width, cargo.low, facing)
        _draw_wall(Decals(builder, wall, Zone.CARGO_DECALS, finish=Finish.MATTE), cargo)
    doors = upright(cargo.back, 0, cargo.low, "rear")
    _draw_doors(Decals(builder, doors, Zone.CARGO_DECALS, finish=Finish.MATTE), cargo)


def _draw_wall(wall: Decals, cargo: Cargo) -> None:
    half, height = (cargo.front - cargo.back) / 2, cargo.high - cargo.low
    for s in np.linspace(-half, half, 8)[1:-1].tolist():
        wall.add(_box(s - 0.02, s + 0.02, 0.08, height), darker(cargo.colour, 0.8))
    frame = darker(cargo.colour, 0.55)
    wall.add(_box(-half, half, 0.0, 0.08), frame)
    wall.add(_box(-half, half, height - 0.07, height), frame)


def _draw_doors(doors: Decals, cargo: Cargo) -> None:
    w, height = cargo.half_width, cargo.high - cargo.low
    frame = darker(cargo.colour, 0.55)
    for s in (-0.55 * w, 0.0, 0.55 * w):
        doors.add(_box(s - 0.018, s + 0.018, 0.1, height - 0.1), frame)
    doors.add(_box(-w, w, 0.0, 0.09), frame)
    doors.add(_box(-w, w, height - 0.08, height), frame)
    doors.add(_box(-0.9 * w, 0.9 * w, -0.26, -0.03), _CHASSIS)


def _box(s0: float, s1: float, t0: float, t1: float) -> np.ndarray:
    return np.array([(s0, t0), (s1, t0), (s1, t1), (s0, t1)])
