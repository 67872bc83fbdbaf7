"""Who a rendered pedestrian is: build, clothes, hair, bag, and the groups of hard negatives.

Identities come in groups of `group_size`. A group shares the colours of the upper and lower
clothing and of the print, so a colour histogram cannot tell its members apart; patterns, hair,
bags and legwear are dealt to them from shuffled decks, so that they differ where a person would
look. The palettes are short on purpose: many groups wear the same colours too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from reid_repro.rendering.pedestrian_raster import Colour
from reid_repro.rendering.scene import identity_generator

PATTERNS: Final = (
    "plain", "stripes", "band", "checks", "two-tone", "print-front", "print-back",
    "open-jacket", "sash", "yoke",
)  # fmt: skip
HAIRS: Final = ("short", "long", "bun", "ponytail", "bald", "cap", "beanie", "hat")
BAGS: Final = ("none", "backpack", "shoulder-bag", "handbag")
LEGWEAR: Final = ("slim-trousers", "wide-trousers", "striped-trousers", "shorts", "skirt", "dress")
LENGTHS: Final = ("short", "hip", "coat")
PRINTS: Final = ("disc", "square", "diamond", "triangle", "ring", "cross", "bars")

UPPER: Final[dict[str, Colour]] = {
    "black": (48, 48, 52),
    "white": (214, 213, 208),
    "grey": (128, 130, 133),
    "navy": (52, 62, 96),
    "red": (158, 54, 52),
    "green": (72, 104, 78),
    "blue": (76, 112, 160),
    "beige": (186, 166, 134),
}
LOWER: Final[dict[str, Colour]] = {
    "black": (46, 46, 50),
    "denim": (72, 88, 120),
    "grey": (108, 110, 114),
    "khaki": (140, 126, 98),
    "navy": (50, 56, 80),
}
ACCENTS: Final[dict[str, Colour]] = {
    "white": (222, 220, 214),
    "black": (40, 40, 44),
    "orange": (204, 122, 56),
    "yellow": (206, 182, 88),
    "teal": (66, 134, 136),
}
BAG_COLOURS: Final[dict[str, Colour]] = {
    "black": (42, 42, 46),
    "brown": (112, 80, 56),
    "grey": (142, 142, 144),
    "red": (150, 62, 58),
    "olive": (98, 102, 70),
}
HAIR_COLOURS: Final[dict[str, Colour]] = {
    "black": (38, 34, 34),
    "brown": (84, 60, 44),
    "auburn": (112, 66, 46),
    "blond": (178, 148, 98),
    "grey": (150, 148, 146),
}
SKINS: Final[dict[str, Colour]] = {
    "light": (226, 186, 160),
    "tan": (196, 152, 122),
    "brown": (150, 108, 82),
    "dark": (100, 70, 54),
}
SHOES: Final[dict[str, Colour]] = {
    "black": (36, 36, 38),
    "white": (218, 218, 216),
    "brown": (106, 76, 54),
    "red": (160, 62, 56),
}

MAX_IDENTITIES: Final = 1 << 30
# Groups draw from the same generator family as identities, far above any identity number.
_GROUPS: Final = 1 << 40
# Colours too close to a garment for a print on it to be seen.
_TOO_CLOSE: Final = 120


@dataclass(frozen=True, slots=True)
class Identity:
    """One person's lasting looks. Colour fields are names of the palettes above."""

    number: int
    group: int
    stature: float  # metres
    girth: float
    shoulders: float
    hips: float
    skin: str
    hair: str
    hair_colour: str
    beard: bool
    glasses: bool
    upper: str
    lower: str
    accent: str
    pattern: str
    print_shape: str
    sleeves: str  # long or short
    length: str  # of the upper garment
    legwear: str
    shoes: str
    boots: bool
    bag: str
    bag_colour: str
    bag_side: str  # left or right
    scarf: bool

    def attributes(self) -> dict[str, str]:
        """The words that `PedestrianRenderer.attributes` promises."""
        words = {
            name: getattr(self, name)
            for name in (
                "skin", "hair", "hair_colour", "upper", "lower", "accent", "pattern",
                "print_shape", "sleeves", "length", "legwear", "shoes", "bag", "bag_colour",
                "bag_side",
            )
        }  # fmt: skip
        words |= {
            name: "yes" if getattr(self, name) else "no"
            for name in ("beard", "glasses", "boots", "scarf")
        }
        words |= {
            "group": str(self.group),
            "stature": f"{self.stature:.2f}",
            "girth": f"{self.girth:.2f}",
        }
        return words


def _pick(
    rng: np.random.Generator,
    names: dict[str, Colour] | tuple[str, ...],
    p: tuple[float, ...] | None = None,
) -> str:
    options = tuple(names)
    return options[int(rng.choice(len(options), p=p))]


def _contrasting(rng: np.random.Generator, upper: Colour) -> str:
    """An accent that can be told from the garment."""
    far = tuple(
        name
        for name, colour in ACCENTS.items()
        if sum(abs(a - b) for a, b in zip(colour, upper, strict=True)) > _TOO_CLOSE
    )
    return _pick(rng, far)


def _deal(rng: np.random.Generator, deck: tuple[str, ...], size: int, place: int) -> str:
    """The card of player `place` when shuffled decks are dealt to `size` players."""
    cards: list[str] = []
    while len(cards) < size:
        cards.extend(deck[i] for i in rng.permutation(len(deck)))
    return cards[place]


def make_identity(seed: int, number: int, group_size: int) -> Identity:
    """The person with this number; a pure function of its arguments."""
    group, place = divmod(number, group_size)
    shared = identity_generator(seed, "pedestrian", _GROUPS + group)
    upper, lower = _pick(shared, UPPER), _pick(shared, LOWER)
    accent = _contrasting(shared, UPPER[upper])
    pattern = _deal(shared, PATTERNS, group_size, place)
    hair = _deal(shared, HAIRS, group_size, place)
    # Half of all people carry nothing or a backpack, so the deck holds those twice.
    bag = _deal(shared, (*BAGS, "none", "backpack"), group_size, place)
    legwear = _deal(shared, LEGWEAR, group_size, place)

    rng = identity_generator(seed, "pedestrian", number)
    feminine = hair in ("long", "bun", "ponytail") or legwear in ("skirt", "dress")
    broad = -0.06 if feminine else 0.05
    return Identity(
        number=number,
        group=group,
        stature=float(np.clip(rng.normal(1.66 if feminine else 1.77, 0.07), 1.48, 1.98)),
        girth=float(np.clip(rng.normal(1.0, 0.13), 0.8, 1.35)),
        shoulders=float(np.clip(rng.normal(1.0 + broad, 0.04), 0.85, 1.15)),
        hips=float(np.clip(rng.normal(1.0 - broad, 0.04), 0.88, 1.15)),
        skin=_pick(rng, SKINS, (0.4, 0.3, 0.18, 0.12)),
        hair=hair,
        hair_colour=_pick(rng, HAIR_COLOURS, (0.34, 0.3, 0.12, 0.12, 0.12)),
        beard=bool(rng.random() < 0.3) and not feminine,
        glasses=bool(rng.random() < 0.25),
        upper=upper,
        lower=lower,
        accent=accent,
        pattern=pattern,
        print_shape=_pick(rng, PRINTS),
        sleeves="short" if pattern != "open-jacket" and rng.random() < 0.4 else "long",
        length="hip" if legwear == "dress" else _pick(rng, LENGTHS, (0.35, 0.45, 0.2)),
        legwear=legwear,
        shoes=_pick(rng, SHOES, (0.4, 0.3, 0.2, 0.1)),
        boots=bool(rng.random() < 0.25),
        bag=bag,
        bag_colour=_pick(rng, BAG_COLOURS, (0.36, 0.22, 0.18, 0.12, 0.12)),
        bag_side=_pick(rng, ("left", "right")),
        scarf=bool(rng.random() < 0.15),
    )
