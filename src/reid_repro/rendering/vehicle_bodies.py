"""Body shapes of the rendered vehicles: proportions by type and the curves they follow.

A `BodyShape` is what a group of hard negatives shares: the model (type and proportions) and the
paint. Lengths are metres in the vehicle's frame (x forward, y left, z up).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from reid_repro.rendering.vehicle_mesh import Colour

BODY_TYPES: Final = ("sedan", "suv", "truck", "hatchback", "van")

# What drives on the road is mostly white, black and grey; (RGB, share).
PAINTS: Final[dict[str, tuple[Colour, float]]] = {
    "white": ((212, 213, 211), 0.26),
    "black": ((44, 45, 49), 0.18),
    "silver": ((164, 167, 171), 0.16),
    "grey": ((104, 107, 111), 0.12),
    "red": ((148, 28, 30), 0.08),
    "blue": ((38, 66, 122), 0.08),
    "brown": ((102, 78, 60), 0.04),
    "beige": ((181, 167, 142), 0.04),
    "green": ((56, 88, 70), 0.02),
    "yellow": ((206, 160, 36), 0.02),
}


@dataclass(frozen=True)
class Cargo:
    """The box of a truck."""

    back: float
    front: float
    half_width: float
    low: float
    high: float
    colour: Colour


@dataclass(frozen=True)
class BodyShape:
    """Proportions and paint. `rear` and `front` are the ends of the lofted body along x.

    `shoulder` holds (x, z) of the edge between flank and bonnet, boot or belt line, by rising x.
    The cabin stands on it between `tail` and `cowl`; its roof runs from `roof_rear` to
    `roof_front`.
    """

    kind: str
    paint_name: str
    paint: Colour
    trim: Colour  # bumpers, sills and arches of the sturdier models
    two_tone: bool
    rear: float
    front: float
    half_width: float
    height: float
    clearance: float
    wheel_radius: float
    axles: tuple[float, float]  # x of the rear and of the front axle
    shoulder: tuple[tuple[float, float], ...]
    tail: float
    roof_rear: float
    roof_front: float
    cowl: float
    roof_width: float  # half width of the roof, as a share of the belt's
    nose_taper: float  # half width of the front face, as a share of the body's
    tail_taper: float
    lamp_style: int
    grille_style: int
    cargo: Cargo | None = None

    @property
    def ends(self) -> tuple[float, float]:
        """x of the rearmost and foremost points of the whole vehicle."""
        return (self.rear if self.cargo is None else self.cargo.back), self.front

    def shoulder_at(self, x: float) -> float:
        """Height of the shoulder line at `x` along the body."""
        xs, zs = zip(*self.shoulder, strict=True)
        return float(np.interp(x, xs, zs))

    def half_width_at(self, x: float) -> float:
        """Plan view: the body narrows towards both ends."""
        reach = (0.0, 0.05, 0.16, 0.4, 0.9)
        share = 1.0
        for distance, taper in (
            (self.front - x, self.nose_taper),
            (x - self.rear, self.tail_taper),
        ):
            depth = 1 - taper
            shares = [1 - depth * s for s in (1.0, 0.62, 0.28, 0.09, 0.0)]
            share *= float(np.interp(distance, reach, shares))
        return self.half_width * share

    def ring(self, x: float) -> np.ndarray:
        """(7, 2) y and z of the left half of the cross-section at x, from sill to centre line."""
        width, top = self.half_width_at(x), self.shoulder_at(x)
        end = min(self.front - x, x - self.rear)
        low = self.clearance + float(np.interp(end, (0.0, 0.15, 0.6), (0.04, 0.02, 0.0)))
        crown = 0.045
        return np.array(
            [
                (0.90 * width, low),
                (0.975 * width, low + 0.10),
                (1.0 * width, low + 0.48 * (top - low)),
                (0.985 * width, top - 0.07),
                (0.925 * width, top),
                (0.58 * width, top + 0.75 * crown),
                (0.0, top + crown),
            ]
        )

    def flank(self, x: float, z: float, side: int) -> tuple[float, float, float]:
        """The point of the flank at (x, z); `side` is +1 left, -1 right."""
        ring = self.ring(x)[:5]
        return x, side * float(np.interp(z, ring[:, 1], ring[:, 0])), z


@dataclass(frozen=True)
class _Model:
    """Mean proportions of a body type; lengths along x count inwards from the body's two ends."""

    length: float
    half_width: float
    height: float
    clearance: float
    wheel_radius: float
    overhangs: tuple[float, float]  # axles: from the rear end, from the front end
    rear_shoulder: tuple[tuple[float, float], ...]
    front_shoulder: tuple[tuple[float, float], ...]
    cabin: tuple[float, float, float, float]  # tail, roof rear; roof front, cowl
    slant: float  # how much the rear window's slope varies
    roof_width: float
    tapers: tuple[float, float]
    two_tone: float  # probability
    cab: float = 0.0  # length of a truck's cab; 0 without a cargo box


_MODELS: Final = {
    "sedan": _Model(
        length=4.7,
        half_width=0.91,
        height=1.46,
        clearance=0.21,
        wheel_radius=0.34,
        overhangs=(0.98, 0.88),
        rear_shoulder=((0, 0.86), (0.07, 0.95), (0.3, 0.99), (1.75, 0.98)),
        front_shoulder=(
            (0, 0.68),
            (0.05, 0.74),
            (0.18, 0.79),
            (0.5, 0.85),
            (1.25, 0.93),
        ),
        cabin=(0.5, 1.2, 1.95, 1.15),
        slant=0.1,
        roof_width=0.76,
        tapers=(0.80, 0.78),
        two_tone=0.1,
    ),
    "hatchback": _Model(
        length=4.05,
        half_width=0.88,
        height=1.52,
        clearance=0.20,
        wheel_radius=0.33,
        overhangs=(0.72, 0.80),
        rear_shoulder=((0, 0.90), (0.06, 0.98), (0.2, 1.01), (1.4, 1.0)),
        front_shoulder=(
            (0, 0.69),
            (0.04, 0.75),
            (0.15, 0.80),
            (0.4, 0.86),
            (1.0, 0.95),
        ),
        cabin=(0.10, 0.55, 1.72, 0.92),
        slant=0.1,
        roof_width=0.78,
        tapers=(0.86, 0.78),
        two_tone=0.15,
    ),
    "suv": _Model(
        length=4.6,
        half_width=0.95,
        height=1.74,
        clearance=0.30,
        wheel_radius=0.39,
        overhangs=(0.90, 0.88),
        rear_shoulder=((0, 1.00), (0.06, 1.09), (0.2, 1.12), (1.9, 1.11)),
        front_shoulder=(
            (0, 0.84),
            (0.04, 0.90),
            (0.12, 0.95),
            (0.4, 1.01),
            (1.15, 1.08),
        ),
        cabin=(0.10, 0.42, 1.78, 1.12),
        slant=0.06,
        roof_width=0.80,
        tapers=(0.88, 0.84),
        two_tone=0.7,
    ),
    "van": _Model(
        length=4.9,
        half_width=0.94,
        height=1.92,
        clearance=0.22,
        wheel_radius=0.34,
        overhangs=(1.0, 0.82),
        rear_shoulder=((0, 1.02), (0.05, 1.10), (0.2, 1.12), (2.0, 1.12)),
        front_shoulder=(
            (0, 0.80),
            (0.04, 0.86),
            (0.12, 0.92),
            (0.35, 0.99),
            (0.75, 1.08),
        ),
        cabin=(0.06, 0.22, 1.45, 0.58),
        slant=0.03,
        roof_width=0.86,
        tapers=(0.93, 0.82),
        two_tone=0.3,
    ),
    "truck": _Model(
        length=5.8,
        half_width=0.97,
        height=2.22,
        clearance=0.36,
        wheel_radius=0.41,
        overhangs=(1.15, 0.95),
        rear_shoulder=((0, 1.30),),
        front_shoulder=((0, 1.12), (0.04, 1.18), (0.12, 1.22), (0.4, 1.28)),
        cabin=(0.03, 0.10, 0.62, 0.14),
        slant=0.0,
        roof_width=0.84,
        tapers=(1.0, 0.88),
        two_tone=1.0,
        cab=1.75,
    ),
}
_TRIM: Final[Colour] = (52.0, 54.0, 57.0)
_CARGO_PAINTS: Final = ((206, 207, 206), (150, 155, 160), (64, 92, 134), (120, 60, 52))


def draw_body(kind: str, rng: np.random.Generator) -> BodyShape:
    """Proportions and paint of one model of the given type."""
    if kind not in _MODELS:
        raise ValueError(f"unknown body type {kind!r}: choose one of {', '.join(BODY_TYPES)}")
    model = _MODELS[kind]
    names = list(PAINTS)
    shares = np.array([PAINTS[name][1] for name in names])
    paint_name = names[int(rng.choice(len(names), p=shares / shares.sum()))]
    half = model.length / 2 * float(rng.uniform(0.93, 1.07))
    rear, front = (half - model.cab if model.cab else -half), half
    raised = float(rng.uniform(-0.04, 0.07))
    shoulder = [(rear + distance, z) for distance, z in model.rear_shoulder]
    shoulder += [(front - distance, z) for distance, z in reversed(model.front_shoulder)]
    tail, roof_rear, roof_front, cowl = model.cabin
    cargo = None
    if model.cab:
        box_paint = _CARGO_PAINTS[int(rng.integers(len(_CARGO_PAINTS)))]
        top = 2.62 + 2 * raised
        cargo = Cargo(-half, rear - 0.08, 1.04, 0.82, top, _vary(box_paint, rng, 8))
    return BodyShape(
        kind=kind,
        paint_name=paint_name,
        paint=_vary(PAINTS[paint_name][0], rng, 6),
        trim=_TRIM,
        two_tone=bool(rng.random() < model.two_tone),
        rear=rear,
        front=front,
        half_width=model.half_width,
        height=model.height + raised,
        clearance=model.clearance,
        wheel_radius=model.wheel_radius,
        axles=(model.overhangs[0] - half, half - model.overhangs[1]),
        shoulder=tuple(shoulder),
        tail=rear + tail,
        roof_rear=rear + roof_rear + model.slant * float(rng.uniform(-1, 1)),
        roof_front=front - roof_front,
        cowl=front - cowl,
        roof_width=model.roof_width,
        tail_taper=model.tapers[0],
        nose_taper=model.tapers[1],
        lamp_style=int(rng.integers(0, 4)),
        grille_style=int(rng.integers(0, 4)),
        cargo=cargo,
    )


def _vary(colour: Colour, rng: np.random.Generator, spread: float) -> Colour:
    jitter = rng.normal(0, spread / 2, size=3) + rng.normal(0, spread / 2)
    red, green, blue = (np.array(colour) + jitter).clip(8, 245).tolist()
    return red, green, blue
