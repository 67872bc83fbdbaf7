"""A small z-buffer rasteriser for three solids: capsules, barrels and balls.

Clothes and limbs are drawn as impostors: for every pixel of a solid's bounding box the surface
that the camera would see there is computed in closed form (its depth, its normal, its place in
the texture), so round shapes stay round, textures wrap around the body, and the buffer of part
numbers tells exactly which part is seen where. Colour is deferred: pixels hold a palette index
and a shade until `composite`.

Screen space: x to the right and y down in pixels, depth towards the camera, also in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from reid_repro.rendering.pedestrian_skeleton import Point
from reid_repro.rendering.pedestrian_view import View

Colour = tuple[int, int, int]

_ASIN_STEPS: Final = 512
# arcsin(s) for s = -1..1 in turns, so that one table look-up replaces the slow function.
_ASIN: Final = (np.arcsin(np.linspace(-1, 1, _ASIN_STEPS + 1)) / (2 * np.pi)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Ring:
    """One cross-section of a barrel: an ellipse about `centre`.

    `lateral` and `sagittal` are its half-axes in metres, across and along the walking
    direction; `v` is its place in the texture, 0 at the top and 1 at the bottom.
    """

    centre: Point
    lateral: float
    sagittal: float
    v: float


class Raster:
    """Depth, part number, palette index and shade of every pixel of one picture."""

    def __init__(self, height: int, width: int, light: Point) -> None:
        self.height, self.width = height, width
        self.depth = np.full((height, width), -np.inf, dtype=np.float32)
        self.part = np.zeros((height, width), dtype=np.uint8)
        self.ink = np.zeros((height, width), dtype=np.uint8)
        self.shade = np.ones((height, width), dtype=np.float32)
        self.palette: list[Colour] = [(0, 0, 0)]
        self.light = light
        self._x = np.arange(width, dtype=np.float32)[None, :] + np.float32(0.5)
        self._y = np.arange(height, dtype=np.float32)[:, None] + np.float32(0.5)

    def inks(self, colours: Sequence[Colour]) -> int:
        """Append colours to the palette; the index of the first."""
        first = len(self.palette)
        self.palette.extend(colours)
        if len(self.palette) > 256:
            raise ValueError(f"palette holds {len(self.palette)} colours; at most 256 fit a byte")
        return first

    def _window(self, x0: float, x1: float, y0: float, y1: float) -> tuple[slice, slice] | None:
        left, right = max(0, math.floor(x0)), min(self.width, math.ceil(x1))
        top, bottom = max(0, math.floor(y0)), min(self.height, math.ceil(y1))
        if left >= right or top >= bottom:
            return None
        return slice(top, bottom), slice(left, right)

    def _write(
        self,
        window: tuple[slice, slice],
        inside: np.ndarray,
        depth: np.ndarray,
        shade: np.ndarray,
        part: int,
        ink: int | np.ndarray,
    ) -> None:
        current = self.depth[window]
        inside &= depth > current
        np.copyto(current, depth, where=inside)
        np.copyto(self.shade[window], shade, where=inside)
        np.copyto(self.part[window], np.uint8(part), where=inside)
        if isinstance(ink, int):
            np.copyto(self.ink[window], np.uint8(ink), where=inside)
        else:
            np.copyto(self.ink[window], ink, where=inside)

    def capsule(
        self,
        start: tuple[float, float, float],
        end: tuple[float, float, float],
        start_radius: float,
        end_radius: float,
        part: int,
        ink: int | np.ndarray,
        stripe: tuple[float, int] | None = None,
    ) -> None:
        """A tapered capsule between two screen points (x, y, depth), radii in pixels.

        `ink` is one index, or an array of indices from start to end. `stripe` = (place across
        in -1..1, ink) lays a band along it.
        """
        (ax, ay, az), (bx, by, bz) = start, end
        ra, rb = start_radius, end_radius
        window = self._window(
            min(ax - ra, bx - rb),
            max(ax + ra, bx + rb),
            min(ay - ra, by - rb),
            max(ay + ra, by + rb),
        )
        if window is None:
            return
        x, y = self._x[:, window[1]] - np.float32(ax), self._y[window[0]] - np.float32(ay)
        vx, vy, vz = bx - ax, by - ay, bz - az
        squared = max(vx * vx + vy * vy, 1e-6)
        t = x * np.float32(vx / squared) + y * np.float32(vy / squared)
        np.maximum(t, 0, out=t)
        np.minimum(t, 1, out=t)
        inverse = 1 / (np.float32(ra) + np.float32(rb - ra) * t)
        nx = (x - t * np.float32(vx)) * inverse
        ny = (y - t * np.float32(vy)) * inverse
        nz = 1 - nx * nx - ny * ny
        inside = nz > 0
        np.maximum(nz, 0, out=nz)
        np.sqrt(nz, out=nz)
        depth = nz / inverse
        depth += t * np.float32(vz) + np.float32(az)
        if isinstance(ink, np.ndarray):
            ink = ink[(t * np.float32(len(ink) - 0.01)).astype(np.intp)]
        if stripe is not None:
            place, colour = stripe
            length = math.sqrt(squared)
            across = ny * np.float32(vx / length) - nx * np.float32(vy / length)
            ink = np.where(np.abs(across - np.float32(place)) < 0.26, np.uint8(colour), ink)
            ink = ink.astype(np.uint8)
        self._write(window, inside, depth, self._lit(nx, ny, nz), part, ink)

    def barrel(
        self, view: View, rings: Sequence[Ring], yaw: float, part: int, texture: np.ndarray
    ) -> None:
        """An upright stack of ellipses, top ring first, wrapped in a (V, U) texture of inks.

        Column 0 of the texture is the person's front, column U / 4 the left side. `yaw` turns
        the barrel to the person's left, in radians.
        """
        centres = [view.project(ring.centre) for ring in rings]
        ys = [c[1] for c in centres]
        tilt = math.sin(math.radians(view.elevation))
        alpha = math.radians(view.azimuth) - yaw
        cos, sin = math.cos(alpha), math.sin(alpha)
        widths = [max(math.hypot(ring.lateral * cos, ring.sagittal * sin), 1e-3) for ring in rings]
        bulges = [ring.lateral * ring.sagittal / w for ring, w in zip(rings, widths, strict=True)]
        skews = [
            (ring.lateral**2 - ring.sagittal**2) * sin * cos / w
            for ring, w in zip(rings, widths, strict=True)
        ]
        turns = [
            math.atan2(ring.sagittal * sin, ring.lateral * cos) / (2 * math.pi) for ring in rings
        ]
        # One angle would jump by a turn where a neighbour crosses +-180 degrees.
        turns = [turn - round(turn - turns[0]) for turn in turns]
        half = [w * c[3] for w, c in zip(widths, centres, strict=True)]
        window = self._window(
            min(c[0] - w for c, w in zip(centres, half, strict=True)),
            max(c[0] + w for c, w in zip(centres, half, strict=True)),
            ys[0],
            ys[-1] + abs(tilt) * bulges[-1] * centres[-1][3] + 1,
        )
        if window is None:
            return
        y = self._y[window[0]]
        rows = y[:, 0]

        def along(values: Sequence[float]) -> np.ndarray:
            column: np.ndarray = np.interp(rows, ys, values).astype(np.float32)[:, None]
            return column

        s = (self._x[:, window[1]] - along([c[0] for c in centres])) / along(half)
        nz = 1 - s * s
        inside = nz > 0
        np.maximum(nz, 0, out=nz)
        np.sqrt(nz, out=nz)
        np.clip(s, -1, 1, out=s)
        scales = [c[3] for c in centres]
        bulge = nz * along([b * k for b, k in zip(bulges, scales, strict=True)])
        bulge += s * along([b * k for b, k in zip(skews, scales, strict=True)])
        depth = bulge + along([c[2] for c in centres])
        # What is nearer to a camera that looks down appears lower in the picture.
        height = y - np.float32(tilt) * bulge
        inside &= (height >= ys[0]) & (height <= ys[-1])
        v = np.interp(height, ys, [ring.v for ring in rings])
        turn = _ASIN[((s + 1) * (_ASIN_STEPS / 2)).astype(np.intp)] + along(turns)
        columns = np.floor(turn * texture.shape[1]).astype(np.intp) % texture.shape[1]
        ink = texture[(v * (texture.shape[0] - 0.01)).astype(np.intp), columns]
        self._write(window, inside, depth, self._lit(s, np.float32(0), nz), part, ink)

    def ball(
        self, centre: tuple[float, float, float], radii: tuple[float, float], part: int, ink: int
    ) -> None:
        """An ellipsoid of one colour: screen centre (x, y, depth), radii across and up."""
        found = self.ball_normals(centre, radii)
        if found is not None:
            window, inside, nx, ny, nz = found
            depth = nz * np.float32(radii[0]) + np.float32(centre[2])
            self._write(window, inside, depth, self._lit(nx, ny, nz), part, ink)

    def ball_normals(
        self, centre: tuple[float, float, float], radii: tuple[float, float]
    ) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
        """Window, mask and the screen normal of an ellipsoid's visible side."""
        cx, cy, _ = centre
        rx, ry = radii
        window = self._window(cx - rx, cx + rx, cy - ry, cy + ry)
        if window is None:
            return None
        shape = (window[0].stop - window[0].start, window[1].stop - window[1].start)
        nx = np.broadcast_to((self._x[:, window[1]] - np.float32(cx)) * np.float32(1 / rx), shape)
        ny = np.broadcast_to((self._y[window[0]] - np.float32(cy)) * np.float32(1 / ry), shape)
        nz = 1 - nx * nx - ny * ny
        inside = nz > 0
        np.maximum(nz, 0, out=nz)
        np.sqrt(nz, out=nz)
        return window, inside, nx, ny, nz

    def textured_ball(
        self,
        centre: tuple[float, float, float],
        radii: tuple[float, float],
        part: int,
        axes: tuple[Point, Point, Point],
        texture: np.ndarray,
    ) -> None:
        """An ellipsoid whose (V, U) texture turns with it.

        `axes` are its forward, left and up directions as (right, up, toward) of the view. Row 0
        of the texture is the crown and the last row the underside; columns as for `barrel`.
        """
        found = self.ball_normals(centre, radii)
        if found is None:
            return
        window, inside, nx, ny, nz = found
        forward, left, up = (
            nx * np.float32(a[0]) - ny * np.float32(a[1]) + nz * np.float32(a[2]) for a in axes
        )
        rows, columns = texture.shape
        v = ((1 - up) * np.float32(0.5 * (rows - 0.01))).astype(np.intp)
        np.clip(v, 0, rows - 1, out=v)
        u = np.floor(np.arctan2(left, forward) * np.float32(columns / (2 * np.pi))).astype(np.intp)
        depth = nz * np.float32(radii[0]) + np.float32(centre[2])
        self._write(window, inside, depth, self._lit(nx, ny, nz), part, texture[v, u % columns])

    def cover(self, front: Raster, part: int) -> None:
        """Lay another raster's picture over this one; all of it becomes `part`."""
        drawn = front.ink > 0
        shift = self.inks(front.palette[1:]) - 1
        np.copyto(self.ink, front.ink + np.uint8(shift), where=drawn)
        np.copyto(self.shade, front.shade, where=drawn)
        np.copyto(self.depth, np.float32(np.inf), where=drawn)
        np.copyto(self.part, np.uint8(part), where=drawn)

    def _lit(self, nx: np.ndarray, ny: np.ndarray | np.float32, nz: np.ndarray) -> np.ndarray:
        lx, ly, lz = self.light
        return np.float32(0.66) + nx * np.float32(lx) + ny * np.float32(ly) + nz * np.float32(lz)

    def composite(self, background: np.ndarray) -> np.ndarray:
        """The picture, (height, width, 3) uint8, over a background of the same shape."""
        drawn = np.flatnonzero(self.ink)
        palette = np.array(self.palette, dtype=np.float32)
        colours = palette[self.ink.ravel()[drawn]] * self.shade.ravel()[drawn, None]
        np.minimum(colours, 255, out=colours)
        picture = background.copy()
        picture.reshape(-1, 3)[drawn] = colours.astype(np.uint8)
        return picture
