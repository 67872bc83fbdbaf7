"""The 16 part classes of PGAN's Table 4 as polygons on the shell: lamps, wheels, plates, roof.

What lies behind the windscreen is in `vehicle_windscreen`.
"""

from __future__ import annotations

import numpy as np

from reid_repro.rendering.vehicle_bodies import BodyShape
from reid_repro.rendering.vehicle_details import BLACK, CHROME, Details
from reid_repro.rendering.vehicle_mesh import (
    Colour,
    Finish,
    MeshBuilder,
    Plane,
    Zone,
    add_cuboid,
    ngon,
    plane,
    rectangle,
    star,
)
from reid_repro.rendering.vehicle_shell import REAR, RUBBER, CabinRings

# Wheel designs: spokes, inner radius and share of the turn that is spoke.
_SPOKES = {
    "five": (5, 0.24, 0.50),
    "ten": (10, 0.30, 0.45),
    "six": (6, 0.35, 0.75),
    "three": (3, 0.25, 0.60),
    "mesh": (16, 0.45, 0.40),
    "star": (5, 0.52, 0.20),
}
_ZONES = {
    1: (Zone.WHEELS_LEFT, Zone.MIRROR_LEFT),
    -1: (Zone.WHEELS_RIGHT, Zone.MIRROR_RIGHT),
}


def add_parts(
    builder: MeshBuilder, shape: BodyShape, rings: CabinRings, details: Details
) -> None:
    """Every part of the identity but those on or behind the windscreen."""
    _add_face(builder, shape, details)
    _add_tail(builder, shape, details)
    _add_newer_sign(builder, shape, rings, details)
    _add_wheels(builder, shape, details)
    _add_mirrors(builder, shape, details)
    _add_sunroof(builder, shape, details)
    _add_carrier(builder, shape, details)


# --- front and rear ---------------------------------------------------------------------------


def _add_face(builder: MeshBuilder, shape: BodyShape, details: Details) -> None:
    """Grille, intake, logo, plate and lamps."""
    ring = shape.ring(shape.front)
    low, top, half = ring[0, 1], ring[4, 1], ring[2, 0]
    tall = top - low
    face = plane((shape.front, 0, low), (0, 1, 0), (0, 0, 1))

    def decal(
        corners: list[tuple[float, float]], colour: Colour, finish: Finish
    ) -> None:
        builder.add(
            face.at(corners), colour, Zone.BODY_DECALS, face.outward, finish=finish
        )

    decal(_band(0.62 * half, 0.06 * tall, 0.20 * tall, 0.9), RUBBER, Finish.MATTE)
    _add_grille(decal, shape.grille_style, 0.50 * half, tall)
    part = builder.part("logo")
    spot = face.at(np.zeros((1, 2)), (0, 0.74 * tall))[0]
    _add_logo(
        builder, plane(spot, (0, 1, 0), (0, 0, 1)), details, part, Zone.BODY_DECALS
    )
    _add_plate(builder, face, (0.0, 0.36 * tall), details, Zone.BODY_DECALS)
    if details.fog_lamps:
        for side in (1, -1):
            part = builder.part("car light")
            lens = face.at(ngon(8, 0.15, 0.13), (side * 0.76 * half, 0.17 * tall))
            builder.add(
                lens,
                details.lamp_tint,
                Zone.BODY_DECALS,
                face.outward,
                finish=Finish.LIT,
                part=part,
            )
    for side in (1, -1):
        _add_lamp(builder, shape, side, details)


def _band(
    half: float, low: float, high: float, taper: float
) -> list[tuple[float, float]]:
    return [(-half, low), (half, low), (taper * half, high), (-taper * half, high)]


def _add_grille(decal, style: int, half: float, tall: float) -> None:  # type: ignore[no-untyped-def]
    low, high = 0.56 * tall, 0.90 * tall
    if style == 0:
        decal(_band(half, low, high, 0.9), RUBBER, Finish.MATTE)
        for k in range(3):
            t = low + (0.2 + 0.3 * k) * (high - low)
            decal(_band(0.9 * half, t, t + 0.018, 1.0), CHROME, Finish.PAINT)
    elif style == 1:
        decal(_band(half, low - 0.05 * tall, high, 0.78), (70, 72, 75), Finish.PAINT)
        decal(
            _band(0.93 * half, low - 0.03 * tall, high - 0.02, 0.78),
            RUBBER,
            Finish.MATTE,
        )
    elif style == 2:
        for sign in (1, -1):
            outer = [
                (sign * 0.06 * half, low),
                (sign * 0.9 * half, low),
                (sign * half, high),
                (sign * 0.06 * half, high),
            ]
            decal(outer, RUBBER, Finish.MATTE)
    else:
        decal(
            _band(1.05 * half, low + 0.1 * tall, high - 0.03 * tall, 1.0),
            RUBBER,
            Finish.MATTE,
        )
        decal(_band(1.05 * half, high - 0.03 * tall, high, 1.0), CHROME, Finish.PAINT)


def _add_lamp(
    builder: MeshBuilder, shape: BodyShape, side: int, details: Details
) -> None:
    """A headlamp wraps round the corner: a piece on the face and a piece on the wing."""
    ring = shape.ring(shape.front)
    low, tall = ring[0, 1], ring[4, 1] - ring[0, 1]
    half = float(np.interp(low + 0.8 * tall, ring[:5, 1], ring[:5, 0]))
    # Heights as shares of the face: inner bottom and top, corner bottom and top; reach back.
    inner, z0, z1, c0, c1, reach = (
        (0.56, 0.66, 0.84, 0.60, 0.92, 0.36),
        (0.60, 0.56, 0.90, 0.54, 0.92, 0.22),
        (0.50, 0.74, 0.88, 0.70, 0.92, 0.46),
        (0.62, 0.58, 0.92, 0.62, 0.92, 0.16),
    )[shape.lamp_style]
    front = shape.front

    def point(y: float, share: float) -> tuple[float, float, float]:
        return front, side * y * half, low + share * tall

    def wing(x: float, share: float) -> tuple[float, float, float]:
        rise = shape.shoulder_at(x) - shape.shoulder_at(front)
        return shape.flank(x, low + share * tall + 0.75 * rise, side)

    back, near = front - reach, front - 0.05
    lens = Finish.LIT
    part = builder.part("car light")
    ahead, aside = (1.0, 0.0, 0.0), (0.4, float(side), 0.1)
    face = [point(inner, z0), point(0.99, c0), point(0.99, c1), point(inner, z1)]
    flank = [
        point(0.99, c0),
        wing(near, c0),
        wing(back, c1 - 0.12),
        wing(back, c1),
        wing(near, c1),
        point(0.99, c1),
    ]
    builder.add(
        face, details.lamp_tint, Zone.BODY_DECALS, ahead, finish=lens, part=part
    )
    builder.add(
        flank, details.lamp_tint, Zone.BODY_DECALS, aside, finish=lens, part=part
    )
    bulb = plane(point(0.80, (c0 + c1) / 2), (0, 1, 0), (0, 0, 1))
    size = 0.7 * (c1 - c0) * tall
    builder.add(
        bulb.at(ngon(8, size)), (96, 102, 110), Zone.BODY_DECALS, ahead, part=part
    )
    builder.add(
        bulb.at(ngon(6, 0.55 * size)),
        (250, 250, 246),
        Zone.BODY_DECALS,
        ahead,
        finish=lens,
        part=part,
    )
    if details.light_cover is not None:
        thick = 0.075 / tall
        part = builder.part("light cover")
        over = [
            point(inner - 0.05, z1),
            point(0.99, c1),
            point(0.99, c1 + thick),
            point(inner - 0.05, z1 + thick),
        ]
        round_ = [
            point(0.99, c1),
            wing(near, c1),
            wing(back - 0.05, c1),
            wing(back - 0.05, c1 + thick),
            wing(near, c1 + thick),
            point(0.99, c1 + thick),
        ]
        under = [
            point(inner - 0.05, z0 - 0.8 * thick),
            point(0.99, c0 - 0.8 * thick),
            point(0.99, c0),
            point(inner - 0.05, z0),
        ]
        for strip, outward in ((over, ahead), (round_, aside), (under, ahead)):
            builder.add(
                strip,
                details.light_cover,
                Zone.BODY_DECALS,
                outward,
                finish=Finish.PAINT,
                part=part,
            )


def _add_tail(builder: MeshBuilder, shape: BodyShape, details: Details) -> None:
    if shape.cargo is not None:
        cargo = shape.cargo
        back = plane((cargo.back, 0, cargo.low), (0, -1, 0), (0, 0, 1))
        zone = Zone.CARGO_DECALS
        _add_plate(builder, back, (0.0, -0.145), details, zone)
        part = builder.part("logo")
        spot = back.at(np.zeros((1, 2)), (0.4, 0.5))[0]
        _add_logo(builder, plane(spot, (0, -1, 0), (0, 0, 1)), details, part, zone)
        for side in (1, -1):
            part = builder.part("car light")
            for centre, width, colour in (
                (0.0, 0.34, details.tail_tint),
                (-0.09, 0.1, (228, 130, 40)),
            ):
                lamp = back.at(rectangle(width, 0.16), (side * (0.74 + centre), -0.145))
                builder.add(
                    lamp, colour, zone, back.outward, finish=Finish.LIT, part=part
                )
        return
    ring = shape.ring(shape.rear)
    low, tall, half = ring[0, 1], ring[4, 1] - ring[0, 1], ring[2, 0]
    back = plane((shape.rear, 0, low), (0, -1, 0), (0, 0, 1))
    bumper = back.at(_band(0.97 * half, 0.0, 0.24 * tall, 1.0))
    builder.add(bumper, shape.trim, Zone.BODY_DECALS, back.outward)
    recess = back.at(_band(0.36 * half, 0.40 * tall, 0.70 * tall, 0.9))
    shade = tuple(0.6 * c for c in shape.paint)
    builder.add(recess, shade, Zone.BODY_DECALS, back.outward)
    _add_plate(builder, back, (0.0, 0.54 * tall), details, Zone.BODY_DECALS)
    part = builder.part("logo")
    spot = back.at(np.zeros((1, 2)), (0, 0.86 * tall))[0]
    _add_logo(
        builder, plane(spot, (0, -1, 0), (0, 0, 1)), details, part, Zone.BODY_DECALS
    )
    for side in (1, -1):
        _add_tail_lamp(builder, shape, side, details)


def _add_tail_lamp(
    builder: MeshBuilder, shape: BodyShape, side: int, details: Details
) -> None:
    ring = shape.ring(shape.rear)
    low, tall = ring[0, 1], ring[4, 1] - ring[0, 1]
    half = float(np.interp(low + 0.8 * tall, ring[:5, 1], ring[:5, 0]))
    inner, z0, z1, reach = (
        (0.52, 0.66, 0.90, 0.30),
        (0.66, 0.50, 0.93, 0.20),
        (0.44, 0.74, 0.92, 0.36),
        (0.74, 0.42, 0.95, 0.16),
    )[shape.lamp_style]

    def point(y: float, share: float) -> tuple[float, float, float]:
        return shape.rear, side * y * half, low + share * tall

    def wing(reach: float, share: float) -> tuple[float, float, float]:
        x = shape.rear + reach
        rise = shape.shoulder_at(x) - shape.shoulder_at(shape.rear)
        return shape.flank(x, low + share * tall + 0.7 * rise, side)

    part = builder.part("car light")
    behind, aside = (-1.0, 0.0, 0.0), (-0.4, float(side), 0.1)
    face = [point(inner, z0), point(0.99, z0), point(0.99, z1), point(inner, z1)]
    flank = [
        point(0.99, z0),
        wing(0.05, z0),
        wing(reach, z0 + 0.1),
        wing(reach, z1),
        wing(0.05, z1),
        point(0.99, z1),
    ]
    builder.add(
        face, details.tail_tint, Zone.BODY_DECALS, behind, finish=Finish.LIT, part=part
    )
    builder.add(
        flank, details.tail_tint, Zone.BODY_DECALS, aside, finish=Finish.LIT, part=part
    )
    near, third = inner + 0.03, (z1 - z0) / 3
    reverse = [
        point(near, z0 + 0.03),
        point(0.96, z0 + 0.03),
        point(0.96, z0 + third),
        point(near, z0 + third),
    ]
    builder.add(
        reverse, (226, 218, 210), Zone.BODY_DECALS, behind, finish=Finish.LIT, part=part
    )


def _add_logo(
    builder: MeshBuilder, spot: Plane, details: Details, part: int, zone: Zone
) -> None:
    """An emblem with a dark or bright core."""
    logo = details.logo
    w = logo.size
    outlines: dict[str, np.ndarray] = {
        "ring": ngon(12, w),
        "diamond": ngon(4, w, 1.1 * w),
        "cross": rectangle(1.3 * w, 0.42 * w),
        "oval": ngon(10, 1.7 * w, 0.9 * w),
        "triangle": ngon(3, 1.2 * w, turn=90),
        "bar": rectangle(2.0 * w, 0.45 * w),
        "shield": np.array(
            [(-0.5, 0.5), (-0.5, -0.1), (0, -0.6), (0.5, -0.1), (0.5, 0.5)]
        )
        * w,
    }
    outline = outlines[logo.shape]
    builder.add(
        spot.at(outline), CHROME, zone, spot.outward, finish=Finish.LIT, part=part
    )
    if logo.shape == "cross":
        upright = spot.at(rectangle(0.42 * w, 1.1 * w))
        builder.add(upright, CHROME, zone, spot.outward, finish=Finish.LIT, part=part)
    core = BLACK if logo.shape in ("ring", "bar") else logo.colour
    builder.add(
        spot.at(0.62 * outline), core, zone, spot.outward, finish=Finish.LIT, part=part
    )


def _add_plate(
    builder: MeshBuilder,
    wall: Plane,
    centre: tuple[float, float],
    details: Details,
    zone: Zone,
) -> None:
    """A plate of six characters; each has up to three strokes."""
    part = builder.part("plate")
    field, ink = details.plate
    width, height = 0.52, 0.17
    board = wall.at(rectangle(width, height), centre)
    builder.add(board, field, zone, wall.outward, finish=Finish.LIT, part=part)
    pitch = 0.88 * width / len(details.glyphs)
    for k, glyph in enumerate(details.glyphs):
        left = centre[0] - 0.44 * width + k * pitch
        strokes = [
            (0.42, 0.0, 0.2, 0.62)
        ]  # x share, y, width, height in units of the cell
        if glyph & 1:
            strokes.append((0.5, 0.22, 0.76, 0.16))
        if glyph & 2:
            strokes.append((0.5, -0.22, 0.76, 0.16))
        if glyph & 4:
            strokes.append((0.76, 0.0, 0.2, 0.5))
        for x, y, w, h in strokes:
            stroke = wall.at(
                rectangle(w * pitch, h * height),
                (left + x * pitch, centre[1] + y * height),
            )
            builder.add(stroke, ink, zone, wall.outward, finish=Finish.LIT, part=part)


def _add_newer_sign(
    builder: MeshBuilder, shape: BodyShape, rings: CabinRings, details: Details
) -> None:
    """The novice driver's sign at the back: on the glass or on the tail panel, left or right."""
    sign = details.newer_sign
    if sign is None:
        return
    place = int(sign.place)
    side = 1 if place % 2 else -1
    if shape.cargo is not None:
        cargo = shape.cargo
        wall = plane((cargo.back, 0, cargo.low), (0, -1, 0), (0, 0, 1))
        centre, zone = (side * 0.6, 0.9 if place < 2 else 0.3), Zone.CARGO_DECALS
    elif place < 2:
        foot, eaves = rings.panel(*REAR, 0.5, 0.0), rings.panel(*REAR, 0.5, 1.0)
        wall = plane(foot, (0, -1, 0), eaves - foot)
        half = np.abs(rings.belt[REAR[0], 1])
        centre = (side * 0.60 * float(half), 0.34 * float(np.linalg.norm(eaves - foot)))
        zone = Zone.CABIN_DECALS
    else:
        ring = shape.ring(shape.rear)
        wall = plane((shape.rear, 0, ring[0, 1]), (0, -1, 0), (0, 0, 1))
        centre, zone = (
            (side * 0.36 * ring[2, 0], 0.80 * (ring[4, 1] - ring[0, 1])),
            Zone.BODY_DECALS,
        )
    part = builder.part("newer sign")
    w = sign.size
    outline = {
        "disc": ngon(12, w),
        "square": rectangle(0.95 * w, 0.95 * w),
        "diamond": ngon(4, 1.15 * w),
    }[sign.shape]
    ink = BLACK if sum(sign.colour) > 330 else (240, 240, 236)
    builder.add(
        wall.at(outline, centre),
        sign.colour,
        zone,
        wall.outward,
        finish=Finish.LIT,
        part=part,
    )
    for y in (-0.16, 0.16):
        stroke = wall.at(rectangle(0.5 * w, 0.12 * w), (centre[0], centre[1] + y * w))
        builder.add(stroke, ink, zone, wall.outward, finish=Finish.LIT, part=part)


# --- sides and roof ---------------------------------------------------------------------------


def _add_wheels(builder: MeshBuilder, shape: BodyShape, details: Details) -> None:
    r = shape.wheel_radius
    for axle in shape.axles:
        for side in (1, -1):
            part = builder.part("wheel")
            zone = _ZONES[side][0]
            y = 0.985 * shape.half_width
            for depth in (0.24, 0.12):
                tread = plane((axle, side * (y - depth), r), (-side, 0, 0), (0, 0, 1))
                for outward in (tread.outward, -tread.outward):
                    builder.add(
                        tread.at(ngon(16, 2 * r)),
                        RUBBER,
                        Zone.TYRES,
                        outward,
                        part=part,
                    )
            disc = plane((axle, side * y, r), (-side, 0, 0), (0, 0, 1))

            def layer(
                outline: np.ndarray,
                colour: Colour,
                disc: Plane = disc,
                zone: Zone = zone,
                part: int = part,
            ) -> None:
                builder.add(disc.at(outline), colour, zone, disc.outward, part=part)

            rim = 0.76 * r
            layer(ngon(20, 2 * r), (36, 37, 39))
            layer(ngon(18, 2 * rim), details.wheel_rim)
            layer(ngon(16, 1.84 * rim), (52, 54, 57))
            if details.wheel_style == "disc":
                layer(ngon(16, 1.7 * rim), details.wheel_colour)
                for k in range(6):
                    angle = k * np.pi / 3
                    hole = ngon(4, 0.3 * rim) + 0.58 * rim * np.array(
                        [np.cos(angle), np.sin(angle)]
                    )
                    layer(hole, (52, 54, 57))
            else:
                count, inner, share = _SPOKES[details.wheel_style]
                layer(
                    star(count, 0.92 * rim, inner * rim, share=share),
                    details.wheel_colour,
                )
            layer(ngon(8, 0.36 * rim), details.wheel_colour)
            layer(ngon(6, 0.2 * rim), (70, 72, 75))


def _add_mirrors(builder: MeshBuilder, shape: BodyShape, details: Details) -> None:
    truck = shape.cargo is not None
    colour = shape.paint if details.mirror_colour is None else details.mirror_colour
    x = shape.cowl - (0.10 if truck else 0.32)
    belt = shape.shoulder_at(x)
    size = (0.12, 0.22, 0.42) if truck else (0.15, 0.25, 0.18)
    for side in (1, -1):
        zone = _ZONES[side][1]
        part = builder.part("back mirror")
        y = side * (0.94 * shape.half_width_at(x) + 0.11 + (0.04 if truck else 0.0))
        z = belt + (0.42 if truck else 0.10)
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
        glass = plane((x - size[0] / 2 - 0.004, y, z), (0, -1, 0), (0, 0, 1))
        pane = glass.at(rectangle(0.8 * size[1], 0.78 * size[2]))
        builder.add(
            pane, (150, 160, 168), zone, glass.outward, finish=Finish.GLASS, part=part
        )


def _add_sunroof(builder: MeshBuilder, shape: BodyShape, details: Details) -> None:
    if details.sunroof is None:
        return
    length = shape.roof_front - shape.roof_rear
    half = 0.925 * shape.half_width * shape.roof_width
    share, width, shift = {
        "small": (0.34, 1.0, 0.18),
        "panorama": (0.78, 1.16, 0.0),
        "framed": (0.42, 1.1, 0.12),
    }[details.sunroof]
    centre = (shape.roof_front + shape.roof_rear) / 2 + shift * length
    top = plane((centre, 0, shape.height), (0, -1, 0), (1, 0, 0))
    part = builder.part("car topwindow")
    size = (width * half, share * min(length, 2.2))
    if details.sunroof == "framed":
        builder.add(
            top.at(rectangle(size[0] + 0.14, size[1] + 0.12)),
            CHROME,
            Zone.CABIN_DECALS,
            (0, 0, 1),
            finish=Finish.PAINT,
            part=part,
        )
    glass: Colour = (26.0, 31.0, 36.0)
    builder.add(
        top.at(rectangle(*size)),
        glass,
        Zone.CABIN_DECALS,
        (0, 0, 1),
        finish=Finish.MATTE,
        part=part,
    )
    gleam = top.at(rectangle(0.9 * size[0], 0.2 * size[1]), (0, 0.2 * size[1]))
    builder.add(
        gleam,
        (74, 86, 96),
        Zone.CABIN_DECALS,
        (0, 0, 1),
        finish=Finish.MATTE,
        part=part,
    )


def _add_carrier(builder: MeshBuilder, shape: BodyShape, details: Details) -> None:
    """Roof rails, cross bars, a basket or a roof box."""
    style = details.carrier
    if style is None:
        return
    part = builder.part("carrier")
    colour, top = details.carrier_colour, shape.height
    length = 0.86 * (shape.roof_front - shape.roof_rear)
    middle = (shape.roof_front + shape.roof_rear) / 2
    half = 0.925 * shape.half_width * shape.roof_width * 0.84

    def beam(
        centre: tuple[float, float, float],
        size: tuple[float, float, float],
        taper: float = 1.0,
    ) -> None:
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

    if style in ("rails", "bars", "basket"):
        for side in (1, -1):
            beam((middle, side * half, top + 0.07), (length, 0.06, 0.06))
            for end in (0.45, -0.45):
                beam(
                    (middle + end * length, side * half, top + 0.02), (0.1, 0.05, 0.08)
                )
    if style in ("bars", "basket"):
        for x in (-0.28, 0.28) if style == "bars" else (-0.5, -0.25, 0.0, 0.25, 0.5):
            beam((middle + x * length, 0, top + 0.10), (0.08, 2 * half, 0.04))
    if style == "basket":
        for side in (1, -1):
            beam((middle, side * half, top + 0.20), (length, 0.04, 0.04))
            for x in (-0.5, -0.17, 0.17, 0.5):
                beam((middle + x * length, side * half, top + 0.14), (0.04, 0.03, 0.10))
        for x in (-0.5, 0.5):
            beam((middle + x * length, 0, top + 0.20), (0.04, 2 * half, 0.04))
    if style == "box":
        beam((middle, 0.12, top + 0.17), (0.85 * length, 1.05 * half, 0.26), 0.8)
        for x in (-0.25, 0.25):
            beam((middle + x * length, 0, top + 0.03), (0.08, 2 * half, 0.05))
