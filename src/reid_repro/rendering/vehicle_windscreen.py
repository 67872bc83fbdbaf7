"""The windscreen and what one sees on and behind it: people, belt, signs, things on the dash.

Everything is drawn on the plane of the glass: the parallax of the few decimetres behind it is
below a pixel, and a decal on the glass is cut by it in no view.
"""

from __future__ import annotations

import numpy as np

from reid_repro.rendering.vehicle_details import BLACK, Details, Sign
from reid_repro.rendering.vehicle_mesh import (
    Colour,
    Finish,
    MeshBuilder,
    Plane,
    Wear,
    Zone,
    ngon,
    plane,
    rectangle,
)
from reid_repro.rendering.vehicle_shell import FRONT, GLASS, GLEAM, CabinRings

_SKIN: Colour = (150.0, 116.0, 96.0)
_DRIVER = 0.73  # across the glass; 0 is the right corner of the vehicle, 1 the left one


class Windscreen:
    """Adds decals to the glass by shares (u across, v up) of it and metres on it."""

    def __init__(self, builder: MeshBuilder, rings: CabinRings) -> None:
        self._builder = builder
        self._rings = rings
        foot, eaves = rings.panel(*FRONT, 0.5, 0.0), rings.panel(*FRONT, 0.5, 1.0)
        self.glass: Plane = plane(foot, (0, 1, 0), eaves - foot)
        self.height = float(np.linalg.norm(eaves - foot))
        # Leaning glass is seen foreshortened: draw things taller so that they look upright.
        rise = float(eaves[2] - foot[2]) / self.height
        self.upright = 1 / np.sqrt(max(rise, 0.3))
        self.part = builder.part("wind-shield glass")

    def patch(self, u0: float, u1: float, v0: float, v1: float) -> np.ndarray:
        """(4, 3): the part of the glass between these shares."""
        shares = ((u0, v0), (u1, v0), (u1, v1), (u0, v1))
        return np.stack([self._rings.panel(*FRONT, u, v) for u, v in shares])

    def add(
        self,
        points: np.ndarray,
        colour: Colour,
        *,
        part: int | None = None,
        finish: Finish = Finish.LIT,
        wear: Wear = Wear.FIXED,
    ) -> None:
        self._builder.add(
            points,
            colour,
            Zone.CABIN_DECALS,
            self.glass.outward,
            finish=finish,
            part=self.part if part is None else part,
            wear=wear,
        )

    def item(
        self,
        outline: np.ndarray,
        u: float,
        v: float,
        colour: Colour,
        *,
        part: int | None = None,
        wear: Wear = Wear.FIXED,
    ) -> None:
        """An outline in upright metres, centred at (u, v) of the glass."""
        centre = self._rings.panel(*FRONT, u, v)
        spot = plane(centre, self.glass.right, self.glass.up)
        stretched = outline * np.array([1.0, self.upright])
        self.add(spot.at(stretched), colour, part=part, wear=wear)

    def child(self, label: str) -> int:
        """Open a part that lies on the glass."""
        return self._builder.part(label, parent=self.part)


def add_windscreen(builder: MeshBuilder, rings: CabinRings, details: Details) -> None:
    """The glass with everything on and behind it."""
    screen = Windscreen(builder, rings)
    screen.add(screen.patch(0.03, 0.97, 0.03, 0.94), GLASS, finish=Finish.GLASS)
    gleam = np.stack(
        [
            rings.panel(*FRONT, u, v)
            for u, v in ((0.1, 0.03), (0.28, 0.03), (0.48, 0.94), (0.3, 0.94))
        ]
    )
    screen.add(gleam, tuple(0.75 * c for c in GLEAM), finish=Finish.GLASS)
    for u in (1 - _DRIVER, _DRIVER):
        screen.item(rectangle(0.46, 0.44), u, 0.36, (62, 64, 68))
        screen.item(rectangle(0.2, 0.14), u, 0.74, (66, 68, 72))
    _add_person(screen, 1 - _DRIVER, Wear.PASSENGER_CLOTHES, Wear.PASSENGER_SKIN)
    _add_person(screen, _DRIVER, Wear.DRIVER_CLOTHES, Wear.FIXED)
    if details.belt is not None:
        part = screen.child("safe belt")
        band = np.array([(-0.20, -0.17), (-0.12, -0.20), (0.17, 0.13), (0.10, 0.18)])
        screen.item(band, _DRIVER, 0.36, details.belt, part=part)
    screen.add(screen.patch(0.03, 0.97, 0.03, 0.13), (58, 60, 63))
    _add_dashboard(screen, details)
    screen.item(rectangle(0.24, 0.07), 0.5, 0.88, BLACK)
    if details.hanging is not None:
        _add_hanging(screen, details.hanging)
    _add_stickers(screen, details)
    if details.licence is not None:
        _add_licence(screen, details.licence)


def _add_person(screen: Windscreen, u: float, clothes: Wear, skin: Wear) -> None:
    torso = np.array(
        [
            (-0.25, -0.20),
            (0.25, -0.20),
            (0.23, 0.10),
            (0.10, 0.18),
            (-0.10, 0.18),
            (-0.23, 0.10),
        ]
    )
    screen.item(torso, u, 0.36, (78, 82, 92), wear=clothes)
    screen.item(ngon(9, 0.19, 0.23), u, 0.70, _SKIN, wear=skin)


def _add_dashboard(screen: Windscreen, details: Details) -> None:
    for sign in details.ornaments:
        part = screen.child("lay ornament")
        _add_figure(screen, sign, part)
    box = details.tissue_box
    if box is not None:
        part = screen.child("tissuebox")
        w = box.size
        screen.item(rectangle(w, 0.46 * w), box.place, 0.17, box.colour, part=part)
        screen.item(
            rectangle(w, 0.1 * w),
            box.place,
            0.19,
            tuple(0.7 * c for c in box.colour),
            part=part,
        )
        tissue = (
            np.array(
                [(-0.26, 0.23), (0.26, 0.23), (0.3, 0.5), (0.02, 0.4), (-0.2, 0.56)]
            )
            * w
        )
        screen.item(tissue, box.place, 0.17, (244, 244, 242), part=part)


def _add_figure(screen: Windscreen, sign: Sign, part: int) -> None:
    u, w = sign.place, sign.size
    shade = tuple(0.7 * c for c in sign.colour)
    if sign.shape == "duck":
        screen.item(ngon(8, 1.2 * w, 0.7 * w), u, 0.16, sign.colour, part=part)
        screen.item(
            ngon(8, 0.6 * w) + np.array([0.3, 0.5]) * w, u, 0.16, sign.colour, part=part
        )
        screen.item(
            rectangle(0.3 * w, 0.16 * w) + np.array([0.66, 0.48]) * w,
            u,
            0.16,
            (240, 130, 30),
            part=part,
        )
    elif sign.shape == "doll":
        screen.item(ngon(3, 1.1 * w, 1.3 * w, turn=90), u, 0.17, sign.colour, part=part)
        screen.item(
            ngon(8, 0.62 * w) + np.array([0.0, 0.6]) * w,
            u,
            0.17,
            (228, 196, 172),
            part=part,
        )
    elif sign.shape == "ball":
        screen.item(ngon(10, w), u, 0.18, sign.colour, part=part)
        screen.item(rectangle(w, 0.22 * w), u, 0.18, shade, part=part)
    else:
        screen.item(rectangle(w, 0.9 * w), u, 0.17, sign.colour, part=part)
        screen.item(rectangle(0.5 * w, 0.45 * w), u, 0.17, shade, part=part)


def _add_hanging(screen: Windscreen, sign: Sign) -> None:
    part = screen.child("hanging")
    v, w = sign.place, sign.size
    drop = (0.85 - v) * screen.height / screen.upright
    string = rectangle(0.022, drop) + np.array([0.0, drop / 2])
    screen.item(string, 0.5, v, sign.colour, part=part)
    dark = tuple(0.6 * c for c in sign.colour)
    if sign.shape == "knot":
        screen.item(ngon(4, w), 0.5, v, sign.colour, part=part)
        screen.item(ngon(4, 0.45 * w), 0.5, v, dark, part=part)
        screen.item(
            rectangle(0.3 * w, 0.6 * w) - np.array([0, 0.7 * w]),
            0.5,
            v,
            sign.colour,
            part=part,
        )
    elif sign.shape == "beads":
        for k in range(4):
            screen.item(
                ngon(8, 0.42 * w) + np.array([0, 0.42 * w * (1.2 - k)]),
                0.5,
                v,
                sign.colour if k % 2 else (240, 240, 236),
                part=part,
            )
    elif sign.shape == "doll":
        screen.item(
            ngon(8, 0.6 * w) + np.array([0, 0.5 * w]),
            0.5,
            v,
            (232, 204, 180),
            part=part,
        )
        screen.item(ngon(3, w, 1.1 * w, turn=90), 0.5, v, sign.colour, part=part)
    elif sign.shape == "cross":
        screen.item(rectangle(0.26 * w, 1.2 * w), 0.5, v, sign.colour, part=part)
        screen.item(
            rectangle(0.8 * w, 0.26 * w) + np.array([0, 0.2 * w]),
            0.5,
            v,
            sign.colour,
            part=part,
        )
    else:
        screen.item(ngon(10, 0.8 * w), 0.5, v, sign.colour, part=part)
        screen.item(ngon(6, 0.36 * w), 0.5, v, dark, part=part)


def _add_stickers(screen: Windscreen, details: Details) -> None:
    """Service stickers in an upper corner, in a row or in two."""
    if not details.service_signs:
        return
    part = screen.child("annual service signs")
    side = details.service_side
    size, pitch = 0.105, 0.13
    for k, colour in enumerate(details.service_signs):
        column, row = (k // 2, k % 2) if details.service_stacked else (k, 0)
        u, v = (0.88 if side > 0 else 0.12), 0.83
        outline = rectangle(size, size) - np.array([side * column * pitch, row * pitch])
        screen.item(outline, u, v, colour, part=part)
        core = rectangle(0.4 * size, 0.4 * size) - np.array(
            [side * column * pitch, row * pitch]
        )
        screen.item(core, u, v, (238, 238, 234), part=part)


def _add_licence(screen: Windscreen, sign: Sign) -> None:
    part = screen.child("entry license")
    w, u = sign.size, (0.13 if sign.place < 0 else 0.87)
    outline = {
        "card": rectangle(1.2 * w, 0.66 * w),
        "square": rectangle(0.8 * w, 0.8 * w),
        "disc": ngon(10, 0.85 * w),
    }
    screen.item(outline[sign.shape], u, 0.20, sign.colour, part=part)
    screen.item(rectangle(0.6 * w, 0.14 * w), u, 0.22, (240, 240, 236), part=part)
