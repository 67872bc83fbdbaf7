"""The perspective camera of a pedestrian's photograph."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from reid_repro.rendering.pedestrian_skeleton import Point


@dataclass(slots=True)
class View:
    """A perspective camera that looks at the body's centre from `distance` metres.

    Azimuth 0 sees the front and 90 degrees the person's left side; elevation looks down.
    `scale`, `x0` and `y0` place the picture: pixels per metre and the image of the centre.
    """

    azimuth: float
    elevation: float
    distance: float
    centre: Point
    scale: float = 1.0
    x0: float = 0.0
    y0: float = 0.0

    right: Point = field(init=False)
    up: Point = field(init=False)
    toward: Point = field(init=False)

    def __post_init__(self) -> None:
        a, e = math.radians(self.azimuth), math.radians(self.elevation)
        self.right = (-math.sin(a), math.cos(a), 0.0)
        self.up = (-math.sin(e) * math.cos(a), -math.sin(e) * math.sin(a), math.cos(e))
        self.toward = (math.cos(e) * math.cos(a), math.cos(e) * math.sin(a), math.sin(e))

    def project(self, point: Point) -> tuple[float, float, float, float]:
        """x, y, depth in pixels, and the pixels per metre at that depth."""
        px = point[0] - self.centre[0]
        py = point[1] - self.centre[1]
        pz = point[2] - self.centre[2]
        r, u, t = self.right, self.up, self.toward
        depth = t[0] * px + t[1] * py + t[2] * pz
        k = self.scale * self.distance / (self.distance - depth)
        return (
            self.x0 + k * (r[0] * px + r[1] * py),
            self.y0 - k * (u[0] * px + u[1] * py + u[2] * pz),
            self.scale * depth,
            k,
        )
