"""The windscreen and what one sees on and behind it: people, belt, signs, things on the dash.

Everything is drawn on the plane of the glass: the parallax of the few decimetres behind it is
some pixels at most, and what lies on the glass is cut by it in no view.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from reid_repro.rendering.vehicle_details import BLACK, WHITE, Details, Sign
from reid_repro.rendering.vehicle_mesh import Colour, Finish, MeshBuilder, Wear, Zone
from reid_repro.rendering.vehicle_planes import Decals, darker, ngon, plane, rectangle
from reid_repro.rendering.vehicle_shell import FRONT, GLASS, GLEAM, CabinRings

_SKIN: Colour = (150.0, 116.0, 96.0)
_SEAT: Colour = (64.0, 66.0, 70.0)
_DASH: Colour = (58.0, 60.0, 63.0)
_DRIVER = 0.73  # across the glass; 0 is the right corner of the vehicle, 1 the left one
_TORSO = (
    (-0.25, -0.20), (0.25, -0.20), (0.23, 0.10), (0.10, 0.18), (-0.10, 0.18), (-0.23, 0.10)
)  # fmt: skip


class Windscreen:
    """The glass as a place for things, at shares of it: u from right to left, v upwards."""

    def __init__(self, builder: MeshBuilder, rings: CabinRings) -> None:
        self._builder = builder
        self._rings = rings
        foot, eaves = rings.panel(*FRONT, 0.5, 0.0), rings.panel(*FRONT, 0.5, 1.0)
        self._plane = plane(foot, (0, 1, 0), eaves - foot)
        height = float(np.linalg.norm(eaves - foot))
        # Leaning glass is seen foreshortened: draw things taller so that they look upright.
        self._tall = 1 / np.sqrt(max(float(eaves[2] - foot[2]) / height, 0.3))
        self.height = height / self._tall
        self._part = builder.part("wind-shield glass")

    def paint(
        self,
        shares: list[tuple[float, float]],
        colour: Colour,
        finish: Finish,
        *,
        inner: bool,
    ) -> None:
        """Fill the polygon with corners at the given shares of the glass."""
        points = [self._rings.panel(*FRONT, u, v) for u, v in shares]
        self._builder.add(
            points,
            colour,
            Zone.CABIN_DECALS,
            self._plane.outward,
            finish=finish,
            part=self._part,
            inner=inner,
        )

    def person(self, u: float, outline: ArrayLike, colour: Colour, v: float, wear: Wear) -> None:
        """Something behind the glass that is no part."""
        spot = self._decals(self._part, u, v)
        spot.add(np.asarray(outline) * (1, self._tall), colour, wear=wear, inner=True)

    def thing(self, label: str, u: float, v: float) -> Thing:
        """Open a part at (u, v)."""
        part = self._builder.part(label, parent=self._part)
        return Thing(self._decals(part, u, v), self._tall)

    def _decals(self, part: int, u: float, v: float) -> Decals:
        centre = self._rings.panel(*FRONT, u, v)
        spot = plane(centre, self._plane.right, self._plane.up)
        return Decals(self._builder, spot, Zone.CABIN_DECALS, part)


class Thing:
    """One part on the windscreen; outlines are in metres as seen upright, about its place."""

    def __init__(self, decals: Decals, tall: float) -> None:
        self._decals = decals
        self._tall = tall

    def add(self, outline: np.ndarray, colour: Colour, dx: float = 0.0, dy: float = 0.0) -> None:
        """Lay `outline` (n, 2), moved by (dx, dy), on the glass."""
        moved = (outline + np.array((dx, dy))) * (1, self._tall)
        self._decals.add(moved, colour)


def add_windscreen(builder: MeshBuilder, rings: CabinRings, details: Details) -> None:
    """The glass with everything on and behind it, from back to front."""
    screen = Windscreen(builder, rings)
    corners = [(0.03, 0.03), (0.97, 0.03), (0.97, 0.94), (0.03, 0.94)]
    screen.paint(corners, GLASS, Finish.GLASS, inner=False)
    gleam = [(0.1, 0.03), (0.28, 0.03), (0.48, 0.94), (0.3, 0.94)]
    screen.paint(gleam, darker(GLEAM, 0.85), Finish.GLASS, inner=True)
    for u in (1 - _DRIVER, _DRIVER):
        screen.person(u, rectangle(0.46, 0.44), _SEAT, 0.36, Wear.FIXED)
        screen.person(u, rectangle(0.20, 0.14), _SEAT, 0.74, Wear.FIXED)
    for u, clothes, skin in (
        (1 - _DRIVER, Wear.PASSENGER_CLOTHES, Wear.PASSENGER_SKIN),
        (_DRIVER, Wear.DRIVER_CLOTHES, Wear.FIXED),
    ):
        screen.person(u, _TORSO, _SEAT, 0.36, clothes)
        screen.person(u, ngon(9, 0.19, 0.23), _SKIN, 0.70, skin)
    if details.belt is not None:
        band = np.array([(-0.20, -0.17), (-0.12, -0.20), (0.17, 0.13), (0.10, 0.18)])
        screen.thing("safe belt", _DRIVER, 0.36).add(band, details.belt)
    dash = [(0.03, 0.03), (0.97, 0.03), (0.97, 0.13), (0.03, 0.13)]
    screen.paint(dash, _DASH, Finish.MATTE, inner=True)
    for sign in details.ornaments:
        _add_ornament(screen, sign)
    if details.tissue_box is not None:
        _add_tissue_box(screen, details.tissue_box)
    screen.person(0.5, rectangle(0.24, 0.07), BLACK, 0.88, Wear.FIXED)  # the inner mirror
    if details.hanging is not None:
        _add_hanging(screen, details.hanging)
    if details.service_signs:
        _add_service_signs(screen, details)
    if details.licence is not None:
        _add_licence(screen, details.licence)


def _add_ornament(screen: Windscreen, sign: Sign) -> None:
    figure, w = screen.thing("lay ornament", sign.place, 0.17), sign.size
    shade = darker(sign.colour, 0.7)
    if sign.shape == "duck":
        figure.add(ngon(8, 1.2 * w, 0.7 * w), sign.colour)
        figure.add(ngon(8, 0.6 * w), sign.colour, 0.3 * w, 0.5 * w)
        figure.add(rectangle(0.3 * w, 0.16 * w), (240, 130, 30), 0.66 * w, 0.48 * w)
    elif sign.shape == "doll":
        figure.add(ngon(3, 1.1 * w, 1.3 * w, turn=90), sign.colour)
        figure.add(ngon(8, 0.62 * w), (228, 196, 172), 0, 0.6 * w)
    elif sign.shape == "ball":
        figure.add(ngon(10, w), sign.colour)
        figure.add(rectangle(w, 0.22 * w), shade)
    else:
        figure.add(rectangle(w, 0.9 * w), sign.colour)
        figure.add(rectangle(0.5 * w, 0.45 * w), shade)


def _add_tissue_box(screen: Windscreen, sign: Sign) -> None:
    box, w = screen.thing("tissuebox", sign.place, 0.17), sign.size
    box.add(rectangle(w, 0.46 * w), sign.colour)
    box.add(rectangle(w, 0.10 * w), darker(sign.colour, 0.7), 0, 0.05 * w)
    tissue = np.array([(-0.26, 0.23), (0.26, 0.23), (0.3, 0.5), (0.02, 0.4), (-0.2, 0.56)])
    box.add(tissue * w, (244, 244, 242))


def _add_hanging(screen: Windscreen, sign: Sign) -> None:
    """A pendant on a string from the inner mirror."""
    pendant, w = screen.thing("hanging", 0.5, sign.place), sign.size
    drop = (0.85 - sign.place) * screen.height
    pendant.add(rectangle(0.022, drop), sign.colour, 0, drop / 2)
    shade, face = darker(sign.colour, 0.6), (232, 204, 180)
    if sign.shape == "knot":
        pendant.add(ngon(4, w), sign.colour)
        pendant.add(ngon(4, 0.45 * w), shade)
        pendant.add(rectangle(0.3 * w, 0.6 * w), sign.colour, 0, -0.7 * w)
    elif sign.shape == "beads":
        for k, colour in enumerate((WHITE, sign.colour, WHITE, sign.colour)):
            pendant.add(ngon(8, 0.42 * w), colour, 0, 0.42 * w * (1.2 - k))
    elif sign.shape == "doll":
        pendant.add(ngon(8, 0.6 * w), face, 0, 0.5 * w)
        pendant.add(ngon(3, w, 1.1 * w, turn=90), sign.colour)
    elif sign.shape == "cross":
        pendant.add(rectangle(0.26 * w, 1.2 * w), sign.colour)
        pendant.add(rectangle(0.8 * w, 0.26 * w), sign.colour, 0, 0.2 * w)
    else:
        pendant.add(ngon(10, 0.8 * w), sign.colour)
        pendant.add(ngon(6, 0.36 * w), shade)


def _add_service_signs(screen: Windscreen, details: Details) -> None:
    """Inspection stickers in an upper corner, in one row or in two."""
    side = details.service_side
    stickers = screen.thing("annual service signs", 0.88 if side > 0 else 0.12, 0.83)
    size, pitch = 0.105, 0.13
    for k, colour in enumerate(details.service_signs):
        column, row = (k // 2, k % 2) if details.service_stacked else (k, 0)
        dx, dy = -side * column * pitch, -row * pitch
        stickers.add(rectangle(size, size), colour, dx, dy)
        stickers.add(rectangle(0.4 * size, 0.4 * size), WHITE, dx, dy)


def _add_licence(screen: Windscreen, sign: Sign) -> None:
    """An entry permit in a lower corner."""
    w = sign.size
    outline = {
        "card": rectangle(1.2 * w, 0.66 * w),
        "square": rectangle(0.8 * w, 0.8 * w),
        "disc": ngon(10, 0.85 * w),
    }[sign.shape]
    card = screen.thing("entry license", 0.13 if sign.place < 0 else 0.87, 0.20)
    card.add(outline, sign.colour)
    card.add(rectangle(0.6 * w, 0.14 * w), WHITE, 0, 0.02)
