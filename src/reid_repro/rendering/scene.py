"""What both renderers share: the result type and the source of randomness."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np

Kind = Literal["vehicle", "pedestrian"]

# A stream number keeps the draws for different purposes apart, so that adding a detail to one
# of them never changes the others.
_STREAMS: Final = {"identity": 1, "camera": 2, "image": 3}
_KINDS: Final = {"vehicle": 11, "pedestrian": 12}


@dataclass(frozen=True)
class PartBox:
    """A visible vehicle part: corners in 0..1 of the image, `visibility` = visible / full area."""

    label: str
    x0: float
    y0: float
    x1: float
    y1: float
    visibility: float


@dataclass(frozen=True)
class Rendered:
    """One photograph and its exact annotation.

    `image` is (height, width, 3) uint8 RGB. `parts` is empty for pedestrians. `joints` is
    (14, 3) float32: x, y in 0..1 and 1 where visible, in the MPII order; None for vehicles.
    `attributes` are per-identity words (body type, colour, group of hard negatives...).
    """

    image: np.ndarray
    parts: tuple[PartBox, ...] = ()
    joints: np.ndarray | None = None
    attributes: dict[str, str] = field(default_factory=dict)


def identity_generator(seed: int, kind: Kind, identity: int) -> np.random.Generator:
    """Randomness that belongs to an identity: its body, colours, details."""
    return _generator(seed, kind, "identity", identity)


def camera_generator(seed: int, kind: Kind, camera: int) -> np.random.Generator:
    """Randomness that belongs to a camera: where it stands, its light and optics."""
    return _generator(seed, kind, "camera", camera)


def image_generator(
    seed: int, kind: Kind, identity: int, camera: int, index: int
) -> np.random.Generator:
    """Randomness that belongs to one photograph."""
    return _generator(seed, kind, "image", identity, camera, index)


def _generator(seed: int, kind: Kind, stream: str, *keys: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64((seed, _KINDS[kind], _STREAMS[stream], *keys)))
