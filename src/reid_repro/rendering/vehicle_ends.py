"""Parts on the front and the rear of a vehicle: lamps, covers, logos, plates, newer signs."""

from __future__ import annotations

import numpy as np

from reid_repro.rendering.vehicle_bodies import BodyShape
from reid_repro.rendering.vehicle_details import BLACK, CHROME, WHITE, Details
from reid_repro.rendering.vehicle_mesh import Colour, Finish, MeshBuilder, Zone
from reid_repro.rendering.vehicle_planes import (
    Decals,
    Plane,
    band,
    darker,
    ngon,
    plane,
    rectangle,
    upright,
)
from reid_repro.rendering.vehicle_shell import REAR, RUBBER, CabinRings

# Headlamps by style: inner edge as a share of the half width; then, as shares of the face's
# height, bottom and top at that edge, bottom and top at the corner; reach along the wing in m.
_LAMPS = (
    (0.56, 0.66, 0.84, 0.60, 0.92, 0.36),
    (0.60, 0.56, 0.90, 0.54, 0.92, 0.22),
    (0.50, 0.74, 0.88, 0.70, 0.92, 0.46),
    (0.62, 0.58, 0.92, 0.62, 0.92, 0.16),
)
# Tail lamps by style: inner edge, bottom, top, reach along the wing.
_TAIL_LAMPS = (
    (0.52, 0.66, 0.90, 0.30),
    (0.66, 0.50, 0.93, 0.20),
    (0.46, 0.74, 0.92, 0.36),
    (0.74, 0.42, 0.95, 0.16),
)
_PLATE = (0.52, 0.17)
_COVER = 0.075  # thickness of a light cover
_DECALS = Zone.BODY_DECALS


class _End:
    """The front or the rear face, with points on it and on the wings that run from it."""

    def __init__(self, shape: BodyShape, direction: int) -> None:
        self.shape = shape
        self.direction = direction
        self.x = shape.front if direction > 0 else shape.rear
        ring = shape.ring(self.x)
        self.low, self.tall = float(ring[0, 1]), float(ring[4, 1] - ring[0, 1])
        self.half = float(ring[2, 0])
        # Half width at the height of the lamps, where the shoulder begins to round.
        self.lamp_half = float(np.interp(self.low + 0.8 * self.tall, ring[:5, 1], ring[:5, 0]))
        facing = "front" if direction > 0 else "rear"
        self.face: Plane = upright(self.x, 0, self.low, facing)

    def point(self, side: int, y: float, share: float) -> tuple[float, float, float]:
        """On the face: `y` in shares of the half width, `share` of the height."""
        return self.x, side * y * self.lamp_half, self.low + share * self.tall

    def wing(self, side: int, reach: float, share: float) -> tuple[float, float, float]:
        """On the wing, `reach` metres from the face; heights rise with the shoulder."""
        x = self.x - self.direction * reach
        rise = self.shape.shoulder_at(x) - self.shape.shoulder_at(self.x)
        return self.shape.flank(x, self.low + share * self.tall + 0.75 * rise, side)


def add_ends(builder: MeshBuilder, shape: BodyShape, rings: CabinRings, details: Details) -> None:
    """Every part of an identity's front and rear."""
    _add_face(builder, shape, details)
    if shape.cargo is None:
        _add_tail(builder, shape, details)
    else:
        _add_cargo_tail(builder, shape, details)
    if details.newer_sign is not None:
        _add_newer_sign(builder, shape, rings, details)


def _add_face(builder: MeshBuilder, shape: BodyShape, details: Details) -> None:
    end = _End(shape, 1)
    fascia = Decals(builder, end.face, _DECALS, finish=Finish.MATTE)
    fascia.add(band(0.62 * end.half, 0.06 * end.tall, 0.20 * end.tall, 0.9), RUBBER)
    _add_grille(fascia, shape.grille_style, 0.50 * end.half, end.tall)
    _add_logo(builder, end.face.moved(0, 0.77 * end.tall), details, _DECALS)
    _add_plate(builder, end.face.moved(0, 0.31 * end.tall), details, _DECALS)
    for side in (1, -1):
        if details.fog_lamps:
            lamp = Decals(builder, end.face, _DECALS, builder.part("car light"))
            centre = (side * 0.76 * end.half, 0.17 * end.tall)
            lamp.add(ngon(8, 0.15, 0.13), details.lamp_tint, centre)
        _add_headlamp(builder, end, side, details)


def _add_grille(fascia: Decals, style: int, half: float, tall: float) -> None:
    low, high = 0.56 * tall, 0.90 * tall
    if style == 0:  # three bars
        fascia.add(band(half, low, high, 0.9), RUBBER)
        for share in (0.2, 0.5, 0.8):
            t = low + share * (high - low)
            fascia.add(band(0.9 * half, t, t + 0.018), CHROME, finish=Finish.PAINT)
    elif style == 1:  # a framed trapezium
        frame = band(half, low - 0.05 * tall, high, 0.78)
        fascia.add(frame, (70, 72, 75), finish=Finish.PAINT)
        fascia.add(band(0.93 * half, low - 0.03 * tall, high - 0.02, 0.78), RUBBER)
    elif style == 2:  # two halves
        for sign in (1, -1):
            corners = [(0.06, low), (0.9, low), (1.0, high), (0.06, high)]
            fascia.add([(sign * s * half, t) for s, t in corners], RUBBER)
    else:  # a slot under a bright bar
        bar = high - 0.03 * tall
        fascia.add(band(1.05 * half, low + 0.1 * tall, bar), RUBBER)
        fascia.add(band(1.05 * half, bar, high), CHROME, finish=Finish.PAINT)


def _add_headlamp(builder: MeshBuilder, end: _End, side: int, details: Details) -> None:
    """A headlamp wraps round the corner: a piece on the face and a piece on the wing."""
    inner, z0, z1, c0, c1, reach = _LAMPS[end.shape.lamp_style]
    ahead, aside = (1.0, 0.0, 0.0), (0.4, float(side), 0.1)
    corner0, corner1 = end.point(side, 0.99, c0), end.point(side, 0.99, c1)
    near0, near1 = end.wing(side, 0.05, c0), end.wing(side, 0.05, c1)
    tip = end.wing(side, reach, c1)
    face = [end.point(side, inner, z0), corner0, corner1, end.point(side, inner, z1)]
    flank = [corner0, near0, end.wing(side, reach, c1 - 0.12), tip, near1, corner1]
    part = builder.part("car light")
    for piece, outward in ((face, ahead), (flank, aside)):
        tint = details.lamp_tint
        builder.add(piece, tint, _DECALS, outward, finish=Finish.LIT, part=part)
    bulb = Decals(
        builder,
        plane(end.point(side, 0.80, (c0 + c1) / 2), (0, 1, 0), (0, 0, 1)),
        _DECALS,
        part,
    )
    size = 0.7 * (c1 - c0) * end.tall
    bulb.add(ngon(8, size), (96, 102, 110))
    bulb.add(ngon(6, 0.55 * size), (250, 250, 246), inner=True)
    if details.light_cover is None:
        return
    part, thick = builder.part("light cover"), _COVER / end.tall
    edge = inner - 0.05
    raised = end.point(side, 0.99, c1 + thick)
    over = [
        end.point(side, edge, z1),
        corner1,
        raised,
        end.point(side, edge, z1 + thick),
    ]
    low, high = (end.wing(side, reach + 0.05, c) for c in (c1, c1 + thick))
    along = [corner1, near1, low, high, end.wing(side, 0.05, c1 + thick), raised]
    sunk, sunk_in = end.point(side, 0.99, c0 - thick), end.point(side, edge, z0 - thick)
    under = [sunk_in, sunk, corner0, end.point(side, edge, z0)]
    for piece, outward in ((over, ahead), (along, aside), (under, ahead)):
        builder.add(piece, details.light_cover, _DECALS, outward, finish=Finish.PAINT, part=part)


def _add_tail(builder: MeshBuilder, shape: BodyShape, details: Details) -> None:
    end = _End(shape, -1)
    panel = Decals(builder, end.face, _DECALS, finish=Finish.MATTE)
    panel.add(band(0.97 * end.half, 0.0, 0.24 * end.tall), shape.trim)
    recess = band(0.40 * end.half, 0.34 * end.tall, 0.67 * end.tall, 0.9)
    panel.add(recess, darker(shape.paint, 0.6))
    _add_plate(builder, end.face.moved(0, 0.50 * end.tall), details, _DECALS)
    _add_logo(builder, end.face.moved(0, 0.85 * end.tall), details, _DECALS)
    inner, z0, z1, reach = _TAIL_LAMPS[shape.lamp_style]
    for side in (1, -1):
        behind, aside = (-1.0, 0.0, 0.0), (-0.4, float(side), 0.1)
        part = builder.part("car light")

        def add(
            points: list[tuple[float, float, float]],
            colour: Colour,
            outward: tuple[float, float, float],
            part: int = part,
        ) -> None:
            builder.add(points, colour, _DECALS, outward, finish=Finish.LIT, part=part)

        corner0, corner1 = end.point(side, 0.99, z0), end.point(side, 0.99, z1)
        add(
            [end.point(side, inner, z0), corner0, corner1, end.point(side, inner, z1)],
            details.tail_tint,
            behind,
        )
        wing = [(0.05, z0), (reach, z0 + 0.1), (reach, z1), (0.05, z1)]
        along = [corner0, *(end.wing(side, x, share) for x, share in wing), corner1]
        add(along, details.tail_tint, aside)
        low, high = z0 + 0.03, z0 + (z1 - z0) / 3
        reverse = [(inner + 0.03, low), (0.96, low), (0.96, high), (inner + 0.03, high)]
        add([end.point(side, y, z) for y, z in reverse], (226, 218, 210), behind)


def _add_cargo_tail(builder: MeshBuilder, shape: BodyShape, details: Details) -> None:
    """Plate and lamps on the beam below the box, the logo on a door."""
    back, zone = _cargo_doors(shape), Zone.CARGO_DECALS
    _add_plate(builder, back.moved(0, -0.145), details, zone)
    _add_logo(builder, back.moved(0.4, 0.5), details, zone)
    for side in (1, -1):
        lamp = Decals(builder, back.moved(side * 0.74, -0.145), zone, builder.part("car light"))
        lamp.add(rectangle(0.34, 0.16), details.tail_tint)
        lamp.add(rectangle(0.10, 0.16), (228, 130, 40), (-side * 0.09, 0), inner=True)


def _cargo_doors(shape: BodyShape) -> Plane:
    if shape.cargo is None:
        raise ValueError(f"a {shape.kind} has no cargo doors")
    return upright(shape.cargo.back, 0, shape.cargo.low, "rear")


def _add_logo(builder: MeshBuilder, spot: Plane, details: Details, zone: Zone) -> None:
    """A bright emblem with a dark or coloured core."""
    logo = details.logo
    w = logo.size
    shield = [(-0.5, 0.5), (-0.5, -0.1), (0, -0.6), (0.5, -0.1), (0.5, 0.5)]
    outline = {
        "ring": ngon(12, w),
        "diamond": ngon(4, w, 1.1 * w),
        "cross": rectangle(1.3 * w, 0.42 * w),
        "oval": ngon(10, 1.7 * w, 0.9 * w),
        "triangle": ngon(3, 1.2 * w, turn=90),
        "bar": rectangle(2.0 * w, 0.45 * w),
        "shield": np.array(shield) * w,
    }[logo.shape]
    emblem = Decals(builder, spot, zone, builder.part("logo"))
    emblem.add(outline, CHROME)
    if logo.shape == "cross":
        emblem.add(rectangle(0.42 * w, 1.1 * w), CHROME)
    core = BLACK if logo.shape in ("ring", "bar") else logo.colour
    emblem.add(0.62 * outline, core, inner=True)


def _add_plate(builder: MeshBuilder, spot: Plane, details: Details, zone: Zone) -> None:
    """A plate of six characters, each an upright with up to three strokes."""
    field, ink = details.plate
    width, height = _PLATE
    board = Decals(builder, spot, zone, builder.part("plate"))
    board.add(rectangle(width, height), field)
    pitch = 0.88 * width / len(details.glyphs)
    for k, glyph in enumerate(details.glyphs):
        left = -0.44 * width + k * pitch
        # x, y, width and height in units of the character's cell.
        strokes = (
            (0.5, 0.22, 0.76, 0.16),
            (0.5, -0.22, 0.76, 0.16),
            (0.76, 0.0, 0.2, 0.5),
        )
        drawn = [(0.42, 0.0, 0.2, 0.62)]
        drawn += [stroke for bit, stroke in enumerate(strokes) if glyph >> bit & 1]
        for x, y, w, h in drawn:
            centre = (left + x * pitch, y * height)
            board.add(rectangle(w * pitch, h * height), ink, centre, inner=True)


def _add_newer_sign(
    builder: MeshBuilder, shape: BodyShape, rings: CabinRings, details: Details
) -> None:
    """The novice driver's sign: on the rear window or on the tail panel, left or right."""
    sign = details.newer_sign
    if sign is None:
        return
    place = int(sign.place)
    side, on_glass = (1 if place % 2 else -1), place < 2
    if shape.cargo is not None:
        spot, zone = (
            _cargo_doors(shape).moved(side * 0.7, 1.2 if on_glass else 0.3),
            Zone.CARGO_DECALS,
        )
    elif on_glass:
        foot, eaves = rings.panel(*REAR, 0.5, 0.0), rings.panel(*REAR, 0.5, 1.0)
        across = side * 0.60 * abs(float(rings.belt[REAR[0], 1]))
        up = 0.34 * float(np.linalg.norm(eaves - foot))
        spot, zone = (
            plane(foot, (0, -1, 0), eaves - foot).moved(across, up),
            Zone.CABIN_DECALS,
        )
    else:
        end = _End(shape, -1)
        spot, zone = end.face.moved(side * 0.60 * end.half, 0.32 * end.tall), _DECALS
    w = sign.size
    outline = {
        "disc": ngon(12, w),
        "square": rectangle(0.95 * w, 0.95 * w),
        "diamond": ngon(4, 1.15 * w),
    }[sign.shape]
    ink = BLACK if sum(sign.colour) > 330 else WHITE
    sticker = Decals(builder, spot, zone, builder.part("newer sign"))
    sticker.add(outline, sign.colour)
    for t in (-0.16, 0.16):
        sticker.add(rectangle(0.5 * w, 0.12 * w), ink, (0, t * w), inner=True)
