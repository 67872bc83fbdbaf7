"""What tells the vehicles of one group apart: the details of each identity.

The 16 part classes are those of PGAN's Table 4. Every detail is dealt like cards: a group
shuffles the options, its identities take them in turn. So identities of a group differ in as
many details as there are options, and none of the details betrays the group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from reid_repro.rendering.vehicle_mesh import Colour

T = TypeVar("T")

WHITE: Final[Colour] = (236, 236, 232)
BLACK: Final[Colour] = (28, 29, 31)
CHROME: Final[Colour] = (200, 203, 206)
STEEL: Final[Colour] = (120, 123, 127)
RED: Final[Colour] = (204, 36, 38)
GOLD: Final[Colour] = (222, 174, 52)
BLUE: Final[Colour] = (44, 92, 196)
GREEN: Final[Colour] = (52, 164, 88)
ORANGE: Final[Colour] = (232, 122, 36)
PINK: Final[Colour] = (232, 130, 168)
BRONZE: Final[Colour] = (158, 112, 62)
VIOLET: Final[Colour] = (122, 74, 168)
TEAL: Final[Colour] = (44, 158, 168)

_BRIGHT: Final = (RED, GOLD, WHITE, BLUE, GREEN, ORANGE, PINK, VIOLET, TEAL)
# Plate background and characters.
_PLATES: Final[tuple[tuple[Colour, Colour], ...]] = (
    ((40, 82, 178), WHITE),
    ((238, 238, 234), BLACK),
    ((236, 190, 40), BLACK),
    ((98, 190, 118), BLACK),
    ((40, 42, 46), WHITE),
)


@dataclass(frozen=True)
class Sign:
    """Something small of one shape and colour; `place` is a position number or a share."""

    shape: str
    colour: Colour
    size: float
    place: float


@dataclass(frozen=True)
class Details:
    """The parts of one identity; None or an empty tuple where it has none."""

    wheel_style: str
    wheel_colour: Colour
    wheel_rim: Colour
    mirror_colour: Colour | None  # None: body colour
    carrier: str | None
    carrier_colour: Colour
    sunroof: str | None
    lamp_tint: Colour
    tail_tint: Colour
    fog_lamps: bool
    light_cover: Colour | None
    logo: Sign
    plate: tuple[Colour, Colour]
    glyphs: tuple[int, ...]  # 0..7 each: which strokes a character has
    service_signs: tuple[Colour, ...]
    service_side: int  # +1 left, -1 right
    service_stacked: bool
    licence: Sign | None
    hanging: Sign | None
    ornaments: tuple[Sign, ...]
    tissue_box: Sign | None
    newer_sign: Sign | None
    belt: Colour | None

    def words(self) -> dict[str, str]:
        """The details that not every vehicle has, by part class."""
        present = {
            "annual service signs": str(len(self.service_signs)),
            "carrier": self.carrier,
            "car topwindow": self.sunroof,
            "entry license": self.licence and self.licence.shape,
            "hanging": self.hanging and self.hanging.shape,
            "lay ornament": str(len(self.ornaments)),
            "light cover": "yes" if self.light_cover else None,
            "newer sign": self.newer_sign and self.newer_sign.shape,
            "tissuebox": "yes" if self.tissue_box else None,
            "safe belt": "yes" if self.belt else None,
            "wheel": self.wheel_style,
            "logo": self.logo.shape,
        }
        return {label: word for label, word in present.items() if word and word != "0"}


class _Deck:
    """Deals options so that the identities of a group get different ones where they can."""

    def __init__(self, rng: np.random.Generator, rank: int) -> None:
        self._rng = rng
        self._rank = rank

    def pick(self, options: Sequence[T]) -> T:
        order = self._rng.permutation(len(options))
        return options[int(order[self._rank % len(options)])]


def draw_details(group: np.random.Generator, identity: np.random.Generator, rank: int) -> Details:
    """The details of the identity number `rank` of a group.

    `group` shuffles the options and must be in the same state for every identity of the group;
    `identity` is the identity's own randomness, for what has endless variants.
    """
    deck = _Deck(group, rank)

    def sign(shapes: Sequence[str], size: float, place: Sequence[float]) -> Sign:
        scale = float(identity.uniform(0.85, 1.2))
        return Sign(deck.pick(shapes), deck.pick(_BRIGHT), size * scale, deck.pick(place))

    def maybe(choice: Sign, chances: Sequence[bool]) -> Sign | None:
        return choice if deck.pick(chances) else None

    wheel_colour = deck.pick((CHROME, BLACK, WHITE, BRONZE, STEEL, CHROME))
    carrier_colour = deck.pick((CHROME, BLACK, STEEL, BLACK))
    often, half = (True, True, True, False), (True, False)
    ornaments = [
        sign(("duck", "doll", "ball", "cube"), 0.17, (0.34, 0.42, 0.5, 0.58)) for _ in "ab"
    ]
    stickers = [deck.pick(_BRIGHT[:6]) for _ in range(4)]
    return Details(
        wheel_style=deck.pick(("five", "ten", "six", "disc", "three", "mesh", "star")),
        wheel_colour=wheel_colour,
        wheel_rim=deck.pick((CHROME, STEEL))
        if wheel_colour is not BLACK
        else deck.pick((CHROME, RED)),
        mirror_colour=deck.pick((None, BLACK, CHROME, WHITE, None, RED)),
        carrier=deck.pick((None, "rails", "bars", "basket", None, "box")),
        carrier_colour=carrier_colour,
        sunroof=deck.pick((None, "small", "panorama", "framed")),
        lamp_tint=deck.pick(((232, 236, 240), (188, 204, 224), (238, 226, 176), (120, 126, 134))),
        tail_tint=deck.pick(((176, 22, 26), (112, 14, 20), (214, 66, 48), (148, 44, 62))),
        fog_lamps=deck.pick(half),
        light_cover=deck.pick((None, CHROME, BLACK, None, GOLD)),
        logo=sign(
            ("ring", "diamond", "cross", "oval", "triangle", "bar", "shield"),
            0.21,
            (0.0,),
        ),
        plate=deck.pick(_PLATES),
        glyphs=tuple(int(g) for g in identity.integers(0, 8, size=6)),
        service_signs=tuple(stickers[: deck.pick((1, 2, 3, 4, 0))]),
        service_side=deck.pick((1, -1)),
        service_stacked=deck.pick((True, False, False)),
        licence=maybe(sign(("card", "square", "disc"), 0.2, (-1.0, 1.0)), half),
        hanging=maybe(
            sign(("knot", "beads", "doll", "cross", "disc"), 0.2, (0.42, 0.5, 0.6)),
            often,
        ),
        ornaments=tuple(ornaments[: deck.pick((1, 0, 2, 1))]),
        tissue_box=maybe(sign(("box",), 0.27, (0.2, 0.44, 0.62)), half),
        newer_sign=maybe(sign(("disc", "square", "diamond"), 0.24, (0, 1, 2, 3)), often),
        belt=deck.pick((CHROME, None, BLACK, RED)),
    )
