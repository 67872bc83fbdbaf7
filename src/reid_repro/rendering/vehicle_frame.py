"""How a vehicle sits in its frame: the detector-like crop, and the street around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from reid_repro.rendering.backdrop import draw_backdrop
from reid_repro.rendering.cameras import Camera, Shot
from reid_repro.rendering.vehicle_bodies import BodyShape
from reid_repro.rendering.vehicle_mesh import Mesh
from reid_repro.rendering.vehicle_raster import View, look
from reid_repro.rendering.vehicle_street import cast_shadow

_MAX_STRETCH = 1.5  # crops of long vehicles are squeezed into the square, as re-ID resizing does
_MIN_STRETCH = 0.85


@dataclass(frozen=True)
class Frame:
    """From the image plane to pixels: `scale` and `offset` are (2,) for x and y."""

    scale: np.ndarray
    offset: np.ndarray

    def apply(self, projected: np.ndarray) -> np.ndarray:
        """(M, 2 or 3) image-plane points -> (M, 2) float32 pixels."""
        pixels: np.ndarray = projected[:, :2] * self.scale + self.offset
        return pixels.astype(np.float32)

    def shrunk(self, times: int) -> Frame:
        """The same frame on a canvas so many times smaller."""
        return Frame(self.scale / times, self.offset / times)


def compose(
    shape: BodyShape,
    mesh: Mesh,
    shot: Shot,
    size: tuple[int, int],
    rng: np.random.Generator,
) -> tuple[View, Frame, np.ndarray]:
    """Aim at the vehicle and crop: it fills 80-95 % of the tighter side of `size` = (w, h).

    Also returns the mesh's corners as that view projects them, (M, 3).
    """
    rear, front = shape.ends
    high = shape.height if shape.cargo is None else shape.cargo.high
    target = np.array([(rear + front) / 2, 0.0, 0.45 * high])
    distance = float(rng.uniform(2.3, 3.2)) * (front - rear)
    view = look(shot.azimuth, shot.elevation, distance, target)
    projected = view.project(mesh.points)
    low, high_corner = projected[:, :2].min(axis=0), projected[:, :2].max(axis=0)
    extent = high_corner - low
    canvas = np.array(size, dtype=float)
    fill = float(rng.uniform(0.82, 0.95))
    wanted = (canvas[1] / canvas[0]) * extent[0] / extent[1]
    stretch = float(np.clip(wanted, _MIN_STRETCH, _MAX_STRETCH)) * float(rng.uniform(0.94, 1.0))
    unit = min(canvas[0] / extent[0], canvas[1] / (stretch * extent[1]))
    scale = fill * unit * np.array([1.0, stretch])
    jitter = rng.uniform(-1, 1, size=2) * (0.03 + 0.25 * (1 - fill)) * canvas
    offset = canvas / 2 - scale * (low + high_corner) / 2 + jitter
    return view, Frame(scale, offset), projected


def paint_street(
    camera: Camera,
    shot: Shot,
    shape: BodyShape,
    view: View,
    frame: Frame,
    size: tuple[int, int],
    rng: np.random.Generator,
) -> Image.Image:
    """The road with the vehicle's shadow; what is behind begins a few metres behind it."""
    away = view.axes[2, :2] / np.linalg.norm(view.axes[2, :2])
    rear, front = shape.ends
    foot = np.zeros((1, 3), dtype=np.float32)
    foot[0, :2] = away * (0.5 * (front - rear) + float(rng.uniform(2.0, 9.0)))
    horizon = float(frame.apply(view.project(foot))[0, 1]) / size[1]
    canvas = Image.new("RGB", size)
    draw_backdrop(canvas, camera, rng, horizon)
    sun = np.deg2rad(shot.azimuth + camera.light_azimuth)
    lean = -0.55 * np.array([np.cos(sun), np.sin(sun)])
    outlines = []
    for margin, shift in ((0.10, lean), (-0.05, 0 * lean)):
        x0, x1, y = rear - margin, front + margin, shape.half_width + margin
        cut = 0.35
        corners = [(x0, y - cut), (x0 + cut, y), (x1 - cut, y), (x1, y - cut)]
        corners += [(x, -v) for x, v in reversed(corners)]
        ground = np.zeros((len(corners), 3), dtype=np.float32)
        ground[:, :2] = np.array(corners) + shift
        outlines.append(frame.apply(view.project(ground)))
    cast_shadow(canvas, (outlines[0], outlines[1]), 0.86)
    return canvas
