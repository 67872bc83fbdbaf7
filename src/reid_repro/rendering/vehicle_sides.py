"""Parts on the sides and the roof of a vehicle: wheels, mirrors, sunroof, roof carrier."""

from __future__ import annotations

import numpy as np

from reid_repro.rendering.vehicle_bodies import BodyShape
from reid_repro.rendering.vehicle_details import BLACK, CHROME, Details
from reid_repro.rendering.vehicle_mesh import Finish, MeshBuilder, Zone, add_cuboid
from reid_repro.rendering.vehicle_planes import (
    Decals,
    ngon,
    plane,
    rectangle,
    star,
    upright,
)
from reid_repro.rendering.vehicle_shell import RUBBER

# Wheel designs: spokes, inner radius as a share of the rim, share of the turn that is spoke.
_SPOKES = {
    "five": (5, 0.24, 0.50),
    "ten": (10, 0.30, 0.45),
    "six": (6, 0.35, 0.75),
    "three": (3, 0.25, 0.60),
    "mesh": (16, 0.45, 0.40),
    "star": (5, 0.52, 0.20),
}
_HOLLOW = (52, 54, 57)
# Sunroofs: share of the roof's length, width in half roof widths, shift to the front.
_SUNROOFS = {
    "small": (0.34, 1.0, 0.18),
    "panorama": (0.78, 1.16, 0.0),
    "framed": (0.42, 1.1, 0.12),
}


def add_sides(builder: MeshBuilder, shape: BodyShape, details: Details) -> None:
    """Wheels, mirrors, sunroof and carrier of an identity."""
    for axle in shape.axles:
        _add_wheel(builder, shape, details, axle, 1)
        _add_wheel(builder, shape, details, axle, -1)
    _add_mirror(builder, shape, details, 1)
    _add_mirror(builder, shape, details, -1)
    if details.sunroof is not None:
        _add_sunroof(builder, shape, details.sunroof)
    if details.carrier is not None:
        _add_carrier(builder, shape, details, details.carrier)


def _add_wheel(
    builder: MeshBuilder, shape: BodyShape, details: Details, axle: float, side: int
) -> None:
    """Tread, tyre, rim ring, spokes and hub."""
    r = shape.wheel_radius
    part = builder.part("wheel")
    y = 0.985 * shape.half_width
    facing = "left" if side > 0 else "right"
    for depth in (0.24, 0.12):
        tread = upright(axle, side * (y - depth), r, facing)
        for outward in (tread.outward, -tread.outward):
            builder.add(tread.at(ngon(16, 2 * r)), RUBBER, Zone.TYRES, outward, part=part)
    zone = Zone.WHEELS_LEFT if side > 0 else Zone.WHEELS_RIGHT
    disc = Decals(builder, upright(axle, side * y, r, facing), zone, part, Finish.MATTE)
    rim = 0.76 * r
    disc.add(ngon(20, 2 * r), (36, 37, 39))
    disc.add(ngon(18, 2 * rim), details.wheel_rim, inner=True)
    disc.add(ngon(16, 1.84 * rim), _HOLLOW, inner=True)
    if details.wheel_style == "disc":
        disc.add(ngon(16, 1.7 * rim), details.wheel_colour, inner=True)
        for hole in 0.58 * ngon(6, 2 * rim):
            disc.add(
                ngon(4, 0.3 * rim),
                _HOLLOW,
                (float(hole[0]), float(hole[1])),
                inner=True,
            )
    else:
        count, inner, share = _SPOKES[details.wheel_style]
        spokes = star(count, 0.92 * rim, inner * rim, share)
        disc.add(spokes, details.wheel_colour, inner=True)
    disc.add(ngon(8, 0.36 * rim), details.wheel_colour, inner=True)
    disc.add(ngon(6, 0.2 * rim), (70, 72, 75), inner=True)


def _add_mirror(builder: MeshBuilder, shape: BodyShape, details: Details, side: int) -> None:
    tall = shape.cargo is not None
    colour = shape.paint if details.mirror_colour is None else details.mirror_colour
    x = shape.cowl - (0.10 if tall else 0.32)
    size = (0.12, 0.22, 0.42) if tall else (0.15, 0.25, 0.18)
    y = side * (0.94 * shape.half_width_at(x) + (0.15 if tall else 0.11))
    z = shape.shoulder_at(x) + (0.42 if tall else 0.10)
    zone = Zone.MIRROR_LEFT if side > 0 else Zone.MIRROR_RIGHT
    part = builder.part("back mirror")
    arm = (x, side * 0.95 * shape.half_width_at(x), z - 0.03)
    add_cuboid(builder, arm, (0.06, 0.14, 0.05), BLACK, zone, part=part)
    add_cuboid(
        builder,
        (x, y, z),
        size,
        colour,
        zone,
        finish=Finish.PAINT,
        part=part,
        taper=0.86,
    )
    glass = upright(x - size[0] / 2 - 0.004, y, z, "rear")
    pane = rectangle(0.8 * size[1], 0.78 * size[2])
    Decals(builder, glass, zone, part, Finish.GLASS).add(pane, (150, 160, 168))


def _add_sunroof(builder: MeshBuilder, shape: BodyShape, style: str) -> None:
    share, width, shift = _SUNROOFS[style]
    length = shape.roof_front - shape.roof_rear
    x = (shape.roof_front + shape.roof_rear) / 2 + shift * length
    roof = plane((x, 0, shape.height), (0, -1, 0), (1, 0, 0))
    part = builder.part("car topwindow")
    glass = Decals(builder, roof, Zone.CABIN_DECALS, part, Finish.MATTE)
    across = width * 0.925 * shape.half_width * shape.roof_width
    along = share * min(length, 2.2)
    if style == "framed":
        glass.add(rectangle(across + 0.14, along + 0.12), CHROME, finish=Finish.PAINT)
    glass.add(rectangle(across, along), (26, 31, 36))
    gleam = rectangle(0.9 * across, 0.2 * along)
    glass.add(gleam, (74, 86, 96), (0, 0.2 * along), inner=True)


def _add_carrier(builder: MeshBuilder, shape: BodyShape, details: Details, style: str) -> None:
    """Roof rails, cross bars on rails, a basket, or a roof box on bars."""
    part = builder.part("carrier")
    length = 0.86 * (shape.roof_front - shape.roof_rear)
    middle, top = (shape.roof_front + shape.roof_rear) / 2, shape.height
    half = 0.925 * shape.half_width * shape.roof_width * 0.84

    def beam(
        x: float,
        y: float,
        z: float,
        size: tuple[float, float, float],
        taper: float = 1.0,
    ) -> None:
        """A beam at `x` lengths from the middle and `z` above the roof."""
        centre = (middle + x * length, y, top + z)
        colour = details.carrier_colour
        add_cuboid(
            builder,
            centre,
            size,
            colour,
            Zone.ROOF,
            finish=Finish.PAINT,
            part=part,
            taper=taper,
        )

    if style == "box":
        for x in (-0.25, 0.25):
            beam(x, 0, 0.03, (0.08, 2 * half, 0.05))
        beam(0, 0.12, 0.17, (0.85 * length, 1.05 * half, 0.26), 0.8)
        return
    for side in (1, -1):
        beam(0, side * half, 0.07, (length, 0.06, 0.06))
        for x in (0.45, -0.45):
            beam(x, side * half, 0.02, (0.1, 0.05, 0.08))
    crossings = {
        "rails": (),
        "bars": (-0.28, 0.28),
        "basket": (-0.5, -0.25, 0.0, 0.25, 0.5),
    }
    for x in crossings[style]:
        beam(x, 0, 0.10, (0.08, 2 * half, 0.04))
    if style == "basket":
        for side in (1, -1):
            beam(0, side * half, 0.20, (length, 0.04, 0.04))
            for x in np.linspace(-0.5, 0.5, 4).tolist():
                beam(x, side * half, 0.14, (0.04, 0.03, 0.10))
        for x in (-0.5, 0.5):
            beam(x, 0, 0.20, (0.04, 2 * half, 0.04))
