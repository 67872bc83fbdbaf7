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
    "white": ((226, 227, 226), 0.26),
    "black": ((34, 35, 38), 0.18),
    "silver": ((176, 179, 182), 0.16),
    "grey": ((104, 107, 111), 0.12),
    "red": ((148, 28, 30), 0.08),
    "blue": ((38, 66, 122), 0.08),
    "brown": ((92, 72, 58), 0.04),
    "beige": ((181, 167, 142), 0.04),
    "green": ((52, 82, 66), 0.02),
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
        low = self.clearance + float(
            np.interp(end, (0.0, 0.15, 0.6), (0.04, 0.02, 0.0))
        )
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


def draw_body(kind: str, rng: np.random.Generator) -> BodyShape:
    """Proportions and paint of one model of the given type."""
    names = list(PAINTS)
    shares = np.array([PAINTS[name][1] for name in names])
    paint_name = names[int(rng.choice(len(names), p=shares / shares.sum()))]
    paint = _vary(PAINTS[paint_name][0], rng, 6)
    trim = (52.0, 54.0, 57.0)
    stretch = float(rng.uniform(0.95, 1.05))
    raised = float(rng.uniform(-0.03, 0.05))
    slant = float(rng.uniform(-0.1, 0.1))
    styles = int(rng.integers(0, 4)), int(rng.integers(0, 4))
    two_tone = bool(
        rng.random() < {"suv": 0.7, "van": 0.3, "truck": 1.0}.get(kind, 0.12)
    )
    cargo_colour = _vary(
        ((214, 215, 214), (150, 155, 160), (64, 92, 134), (120, 60, 52))[
            int(rng.choice(4))
        ],
        rng,
        8,
    )

    def finish(
        length: float,
        width: float,
        height: float,
        clearance: float,
        radius: float,
        overhangs: tuple[float, float],
        shoulder: list[tuple[float, float]],
        cabin: tuple[float, float, float, float],
        roof_width: float,
        tapers: tuple[float, float],
        rear: float | None = None,
        cargo: Cargo | None = None,
    ) -> BodyShape:
        half = length / 2
        return BodyShape(
            kind=kind,
            paint_name=paint_name,
            paint=paint,
            trim=trim,
            two_tone=two_tone,
            rear=-half if rear is None else rear,
            front=half,
            half_width=width,
            height=height + raised,
            clearance=clearance,
            wheel_radius=radius,
            axles=(-half + overhangs[0], half - overhangs[1]),
            shoulder=tuple(shoulder),
            tail=cabin[0],
            roof_rear=cabin[1],
            roof_front=cabin[2],
            cowl=cabin[3],
            roof_width=roof_width,
            nose_taper=tapers[1],
            tail_taper=tapers[0],
            lamp_style=styles[0],
            grille_style=styles[1],
            cargo=cargo,
        )

    if kind == "sedan":
        length = 4.7 * stretch
        h = length / 2
        shoulder = [(-h, 0.86), (-h + 0.07, 0.95), (-h + 0.3, 0.99), (-0.6, 0.98)]
        shoulder += [
            (h - 1.25, 0.93),
            (h - 0.5, 0.85),
            (h - 0.18, 0.79),
            (h - 0.05, 0.74),
            (h, 0.68),
        ]
        cabin = (-h + 0.5, -h + 1.2 + slant, h - 1.95, h - 1.15)
        return finish(
            length,
            0.91,
            1.46,
            0.21,
            0.34,
            (0.98, 0.88),
            shoulder,
            cabin,
            0.76,
            (0.80, 0.78),
        )
    if kind == "hatchback":
        length = 4.05 * stretch
        h = length / 2
        shoulder = [(-h, 0.90), (-h + 0.06, 0.98), (-h + 0.2, 1.01), (-0.6, 1.0)]
        shoulder += [
            (h - 1.0, 0.95),
            (h - 0.4, 0.86),
            (h - 0.15, 0.80),
            (h - 0.04, 0.75),
            (h, 0.69),
        ]
        cabin = (-h + 0.10, -h + 0.55 + slant, h - 1.72, h - 0.92)
        return finish(
            length,
            0.88,
            1.52,
            0.20,
            0.33,
            (0.72, 0.80),
            shoulder,
            cabin,
            0.78,
            (0.86, 0.78),
        )
    if kind == "suv":
        length = 4.6 * stretch
        h = length / 2
        shoulder = [(-h, 1.00), (-h + 0.06, 1.09), (-h + 0.2, 1.12), (-0.4, 1.11)]
        shoulder += [
            (h - 1.15, 1.08),
            (h - 0.4, 1.01),
            (h - 0.12, 0.95),
            (h - 0.04, 0.90),
            (h, 0.84),
        ]
        cabin = (-h + 0.10, -h + 0.42 + 0.6 * slant, h - 1.78, h - 1.12)
        return finish(
            length,
            0.95,
            1.74,
            0.30,
            0.39,
            (0.90, 0.88),
            shoulder,
            cabin,
            0.80,
            (0.88, 0.84),
        )
    if kind == "van":
        length = 4.9 * stretch
        h = length / 2
        shoulder = [(-h, 1.02), (-h + 0.05, 1.10), (-h + 0.2, 1.12), (-0.4, 1.12)]
        shoulder += [
            (h - 0.75, 1.08),
            (h - 0.35, 0.99),
            (h - 0.12, 0.92),
            (h - 0.04, 0.86),
            (h, 0.80),
        ]
        cabin = (-h + 0.06, -h + 0.22 + 0.3 * slant, h - 1.45, h - 0.58)
        return finish(
            length,
            0.94,
            1.92,
            0.22,
            0.34,
            (1.0, 0.82),
            shoulder,
            cabin,
            0.86,
            (0.93, 0.82),
        )
    if kind == "truck":
        length = 5.8 * stretch
        h = length / 2
        rear = h - 1.75
        shoulder = [
            (rear, 1.30),
            (h - 0.4, 1.28),
            (h - 0.12, 1.22),
            (h - 0.04, 1.18),
            (h, 1.12),
        ]
        cargo = Cargo(-h, rear - 0.08, 1.04, 0.82, 2.62 + 2 * raised, cargo_colour)
        cabin = (rear + 0.03, rear + 0.10, h - 0.62, h - 0.14)
        return finish(
            length,
            0.97,
            2.22,
            0.36,
            0.41,
            (1.15, 0.95),
            shoulder,
            cabin,
            0.84,
            (1.0, 0.88),
            rear=rear,
            cargo=cargo,
        )
    raise ValueError(
        f"unknown body type {kind!r}: choose one of {', '.join(BODY_TYPES)}"
    )


def _vary(colour: Colour, rng: np.random.Generator, spread: float) -> Colour:
    jitter = rng.normal(0, spread / 2, size=3) + rng.normal(0, spread / 2)
    red, green, blue = (np.array(colour) + jitter).clip(8, 245).tolist()
    return red, green, blue
