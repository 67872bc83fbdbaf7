"""Textures of clothes, heads and bags: small (V, U) arrays of palette codes.

Rows run from the top of a garment to its hem; columns run once around the body, from the front
(0) over the person's left side (U / 4) to the back (U / 2). Codes are the `Ink` numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from reid_repro.rendering import pedestrian_identity as wardrobe
from reid_repro.rendering.pedestrian_identity import Identity
from reid_repro.rendering.pedestrian_raster import Colour

_ROWS: Final = 64
_COLUMNS: Final = 64


class Ink(IntEnum):
    """Places of a person's colours in the palette."""

    SKIN = 0
    DARK = 1  # eyes, glasses
    HAIR = 2
    UPPER = 3
    ACCENT = 4
    LOWER = 5
    SHOE = 6
    BAG = 7
    BAG_TRIM = 8
    UPPER_DARK = 9  # seams and the inner side of a jacket
    LOWER_DARK = 10
    LIP = 11
    HAT = 12


def _scaled(colour: Colour, factor: float) -> Colour:
    r, g, b = (min(255, round(c * factor)) for c in colour)
    return (r, g, b)


def colours(person: Identity) -> list[Colour]:
    """The palette of a person, in the order of `Ink`."""
    skin = wardrobe.SKINS[person.skin]
    bag = wardrobe.BAG_COLOURS[person.bag_colour]
    upper, lower = wardrobe.UPPER[person.upper], wardrobe.LOWER[person.lower]
    accent = wardrobe.ACCENTS[person.accent]
    return [
        skin,
        (44, 36, 34),
        wardrobe.HAIR_COLOURS[person.hair_colour],
        upper,
        accent,
        lower,
        wardrobe.SHOES[person.shoes],
        bag,
        _scaled(bag, 1.5 if sum(bag) < 300 else 0.6),
        _scaled(upper, 0.72),
        _scaled(lower, 0.72),
        _scaled(skin, 0.78),
        accent if person.hair == "cap" else _scaled(upper, 0.85),
    ]


@dataclass(frozen=True, slots=True)
class Wardrobe:
    """A person's textures. `sleeve`, `thigh` and `shin` run along the limb."""

    torso: np.ndarray
    lower: np.ndarray
    head: np.ndarray
    bag: np.ndarray
    sleeve: np.ndarray
    thigh: np.ndarray
    shin: np.ndarray


def _grid() -> tuple[np.ndarray, np.ndarray]:
    """v in 0..1 and the turn u in -0.5..0.5 (0 = front, 0.25 = left side)."""
    v = (np.arange(_ROWS)[:, None] + 0.5) / _ROWS
    u = (np.arange(_COLUMNS)[None, :] + 0.5) / _COLUMNS
    shape = (_ROWS, _COLUMNS)
    return np.broadcast_to(v, shape), np.broadcast_to(np.where(u > 0.5, u - 1, u), shape)


def _print(shape: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A mark of half-size 1 about the origin."""
    radius = np.hypot(x, y)
    marks: dict[str, np.ndarray] = {
        "disc": radius < 1,
        "square": np.maximum(abs(x), abs(y)) < 0.9,
        "diamond": abs(x) + abs(y) < 1.2,
        "triangle": (y < 0.9) & (y > 2 * abs(x) - 1.0),
        "ring": (radius < 1.05) & (radius > 0.6),
        "cross": (np.minimum(abs(x), abs(y)) < 0.35) & (np.maximum(abs(x), abs(y)) < 1.1),
        "bars": (abs(x) < 1.0) & (np.mod(y + 1.0, 0.7) < 0.38) & (abs(y) < 1.1),
    }
    return marks[shape]


def torso(person: Identity) -> np.ndarray:
    """The upper garment with its pattern and the straps that lie on it."""
    v, u = _grid()
    side = np.sin(2 * np.pi * u)  # -1 right .. 1 left
    ink = np.full(v.shape, Ink.UPPER, dtype=np.uint8)
    if person.pattern == "stripes":
        ink[np.mod(v, 0.2) < 0.1] = Ink.ACCENT
    elif person.pattern == "band":
        ink[(v > 0.34) & (v < 0.55)] = Ink.ACCENT
    elif person.pattern == "checks":
        lines = (np.mod(v, 0.2) < 0.07) | (np.mod(u, 0.125) < 0.04)
        ink[lines] = Ink.ACCENT
    elif person.pattern == "two-tone":
        ink[v > 0.58] = Ink.ACCENT
    elif person.pattern == "yoke":
        ink[v < 0.3] = Ink.ACCENT
    elif person.pattern == "sash":
        ink[abs(v - 0.5 - 0.34 * side) < 0.09] = Ink.ACCENT
    elif person.pattern == "print-front":
        ink[_print(person.print_shape, u / 0.13, (v - 0.4) / 0.17)] = Ink.ACCENT
    elif person.pattern == "print-back":
        behind = np.where(u < 0, u + 0.5, u - 0.5)
        ink[_print(person.print_shape, behind / 0.15, (v - 0.38) / 0.2)] = Ink.ACCENT
    elif person.pattern == "open-jacket":
        opening = 0.055 + 0.05 * v
        ink[abs(u) < opening + 0.022] = Ink.UPPER_DARK
        ink[abs(u) < opening] = Ink.ACCENT
    ink[v > 0.965] = Ink.UPPER_DARK
    if person.bag == "backpack":
        ink[(abs(abs(u) - 0.115) < 0.026) & (v < 0.55)] = Ink.BAG
    elif person.bag == "shoulder-bag":
        toward = side if person.bag_side == "left" else -side
        ink[abs(v - 0.46 - 0.42 * toward) < 0.045] = Ink.BAG
    return ink


def lower(person: Identity) -> np.ndarray:
    """The barrel about the hips: trousers' top, skirt, or the skirt of a dress."""
    v, _ = _grid()
    own = Ink.UPPER if person.legwear == "dress" else Ink.LOWER
    dark = Ink.UPPER_DARK if person.legwear == "dress" else Ink.LOWER_DARK
    ink = np.full(v.shape, own, dtype=np.uint8)
    if person.legwear == "dress" and person.pattern in ("stripes", "checks"):
        ink[np.mod(v, 0.34) < 0.16] = Ink.ACCENT
    if person.legwear in ("skirt", "dress"):
        ink[v > 0.93] = dark
    return ink


def head(person: Identity) -> np.ndarray:
    """Face, hair and close-fitting headgear on the skull."""
    v, u = _grid()
    up = 1 - 2 * v
    radius = np.sqrt(1 - up**2)
    front, left = radius * np.cos(2 * np.pi * u), radius * np.sin(2 * np.pi * u)
    ink = np.full(v.shape, Ink.SKIN, dtype=np.uint8)
    face = front > 0.25
    ink[face & (abs(abs(left) - 0.36) < 0.15) & (abs(up - 0.08) < 0.085)] = Ink.DARK
    if person.glasses:
        ink[(front > -0.1) & (abs(up - 0.08) < 0.05)] = Ink.DARK
        ink[face & (abs(abs(left) - 0.36) < 0.24) & (abs(up - 0.06) < 0.13)] = Ink.DARK
    ink[face & (abs(left) < 0.24) & (abs(up + 0.52) < 0.06)] = Ink.LIP
    if person.beard:
        beard = (front > 0.1) & (up < -0.36) & ~((abs(left) < 0.2) & (abs(up + 0.52) < 0.06))
        ink[beard] = Ink.HAIR
    hairline = {"bald": 9.0, "long": -0.05, "bun": 0.1, "ponytail": 0.1}.get(person.hair, 0.12)
    ink[up - 0.95 * front > hairline] = Ink.HAIR
    if person.hair in ("cap", "beanie", "hat"):
        ink[up + (0.2 if person.hair == "beanie" else 0.0) * -front > 0.3] = Ink.HAT
    return ink


def bag(person: Identity) -> np.ndarray:
    """A bag with a flap and a lighter or darker trim, closed all around."""
    v, u = _grid()
    ink = np.full(v.shape, Ink.BAG, dtype=np.uint8)
    if person.bag == "backpack":
        behind = abs(u) > 0.33
        ink[behind & (abs(v - 0.62) < 0.035)] = Ink.BAG_TRIM
        ink[behind & (v > 0.62) & (abs(abs(abs(u) - 0.5) - 0.13) < 0.015)] = Ink.BAG_TRIM
    else:
        ink[abs(v - 0.42) < 0.07] = Ink.BAG_TRIM
    ink[v < 0.06] = Ink.BAG_TRIM
    return ink


def _along(*stretches: tuple[float, Ink]) -> np.ndarray:
    """32 codes along a limb: each stretch lasts until its share of the length."""
    ink = np.empty(32, dtype=np.uint8)
    start = 0
    for end, code in stretches:
        stop = math.ceil(32 * end)
        ink[start:stop] = code
        start = stop
    return ink


def limbs(person: Identity) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes along the upper arm, the thigh and the shin."""
    return _sleeve(person), _thigh(person), _shin(person)


def _sleeve(person: Identity) -> np.ndarray:
    cuff = Ink.ACCENT if person.pattern in ("two-tone", "yoke") else Ink.UPPER_DARK
    if person.sleeves == "short":
        return _along((0.52, Ink.UPPER), (0.62, cuff), (1.0, Ink.SKIN))
    if person.pattern == "stripes":
        return np.where(np.arange(32) % 12 < 6, Ink.ACCENT, Ink.UPPER).astype(np.uint8)
    return _along((1.0, Ink.UPPER))


def _thigh(person: Identity) -> np.ndarray:
    """A striding thigh may push through a skirt or coat: what they cover wears their colour."""
    if person.legwear == "shorts":
        thigh = _along((0.72, Ink.LOWER), (0.8, Ink.LOWER_DARK), (1.0, Ink.SKIN))
    elif person.legwear == "skirt":
        thigh = _along((0.86, Ink.LOWER), (1.0, Ink.SKIN))
    elif person.legwear == "dress":
        thigh = _along((0.95, Ink.UPPER), (1.0, Ink.LOWER))
    else:
        thigh = _along((1.0, Ink.LOWER))
    if person.length == "coat":
        thigh[: round(32 * 0.56)] = Ink.UPPER  # the hem hangs at 0.62 of the way to the knee
    return thigh


def _shin(person: Identity) -> np.ndarray:
    bare = person.legwear in ("shorts", "skirt")
    leg = Ink.SKIN if bare else Ink.LOWER
    if person.boots and person.legwear != "wide-trousers":
        return _along((0.62 if bare else 0.55, leg), (1.0, Ink.SHOE))
    return _along((0.9, leg), (1.0, Ink.ACCENT)) if bare else _along((1.0, leg))


def make_wardrobe(person: Identity) -> Wardrobe:
    """All textures of a person."""
    sleeve, thigh, shin = limbs(person)
    return Wardrobe(torso(person), lower(person), head(person), bag(person), sleeve, thigh, shin)
