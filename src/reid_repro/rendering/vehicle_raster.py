"""From a mesh to pixels: projection, painter's order, polygon numbers, exact part boxes.

Only one canvas is drawn: it holds the number of the polygon seen in each pixel. Colours and
parts are looked up from it, so the boxes are exact for what the image shows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from reid_repro.rendering.cameras import Camera
from reid_repro.rendering.scene import PartBox
from reid_repro.rendering.vehicle_mesh import SOLID_ZONES, Finish, Mesh, Zone

MIN_VISIBILITY = 0.3
_SOLID = np.isin(np.arange(len(Zone)), SOLID_ZONES)


@dataclass(frozen=True)
class View:
    """A pinhole camera that looks at `target`; `axes` rows are right, down and forward."""

    position: np.ndarray
    axes: np.ndarray

    def project(self, points: np.ndarray) -> np.ndarray:
        """(M, 3) -> (M, 3): x and y on the image plane at distance 1, y down, and the depth."""
        seen = (points - self.position) @ self.axes.T
        depth = np.maximum(seen[:, 2:], 0.1)
        projected: np.ndarray = np.concatenate([seen[:, :2] / depth, depth], axis=1)
        return projected


def look(azimuth: float, elevation: float, distance: float, target: np.ndarray) -> View:
    """The view from `azimuth` (0 = ahead of the vehicle, 90 = on its left), in degrees."""
    a, e = np.deg2rad(azimuth), np.deg2rad(elevation)
    back = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
    right = np.array([-np.sin(a), np.cos(a), 0.0])
    down = np.cross(-back, right)
    axes = np.stack([right, down, -back]).astype(np.float32)
    return View((target + distance * back).astype(np.float32), axes)


@dataclass(frozen=True)
class Drawing:
    """What is drawn: `order` lists the polygons back to front, `corners` is (M, 2) in pixels."""

    corners: np.ndarray
    order: np.ndarray
    mesh: Mesh

    def outlines(self, polygons: list[int]) -> list[np.ndarray]:
        """x and y in turn of the corners of each polygon, (2K,), in pixels."""
        flat, starts = self.corners.ravel(), self.mesh.starts
        return [flat[2 * starts[p] : 2 * starts[p + 1]] for p in polygons]


def arrange(
    mesh: Mesh,
    view: View,
    projected: np.ndarray,
    corners: np.ndarray,
    hidden: np.ndarray,
) -> Drawing:
    """Drop the polygons that face away or are `hidden` (P,), and order the others."""
    x, y = corners[:, 0], corners[:, 1]
    following = mesh.following
    cross = x * y[following] - x[following] * y
    area = np.add.reduceat(cross, mesh.first)
    # Anticlockwise outlines come out with a negative area because y points down.
    facing = np.flatnonzero((area < -0.3) & ~hidden)
    depth = np.add.reduceat(projected[:, 2], mesh.first) / np.diff(mesh.starts)
    zone = mesh.zone[facing]
    rank = zone_ranks(view.position, mesh.split)[zone] * 1000.0
    key = rank - np.where(_SOLID[zone], depth[facing], 0.0)
    return Drawing(corners, facing[np.argsort(key, kind="stable")], mesh)


def zone_ranks(position: np.ndarray, split: float) -> np.ndarray:
    """(zones,) drawing rank of each zone as seen from `position`."""
    left = position[1] > 0
    near_wheels = Zone.WHEELS_LEFT if left else Zone.WHEELS_RIGHT
    far_wheels = Zone.WHEELS_RIGHT if left else Zone.WHEELS_LEFT
    near_mirror = Zone.MIRROR_LEFT if left else Zone.MIRROR_RIGHT
    far_mirror = Zone.MIRROR_RIGHT if left else Zone.MIRROR_LEFT
    cabin = [
        far_mirror,
        Zone.BODY,
        Zone.BODY_DECALS,
        Zone.CABIN,
        Zone.CABIN_DECALS,
        Zone.ROOF,
        near_mirror,
    ]
    cargo = [Zone.CARGO, Zone.CARGO_DECALS]
    middle = cargo + cabin if position[0] > split else cabin + cargo
    ranks = np.empty(len(Zone))
    ranks[[Zone.TYRES, far_wheels, *middle, near_wheels]] = np.arange(len(Zone))
    return ranks


def paint_numbers(drawing: Drawing, size: tuple[int, int]) -> Image.Image:
    """A canvas of `size` = (width, height) with polygon number + 1 in each pixel, 0 = nothing."""
    numbers = Image.new("I;16", size)
    draw = ImageDraw.Draw(numbers)
    order = drawing.order.tolist()
    for polygon, outline in zip(order, drawing.outlines(order), strict=True):
        draw.polygon(cast(Sequence[float], outline), fill=polygon + 1)
    return numbers


def shade(
    mesh: Mesh, colours: np.ndarray, camera: Camera, view: View, azimuth: float
) -> np.ndarray:
    """(P, 3) uint8 colours under the camera's light: Lambert, sky from above, gloss on paint.

    `colours` (P, 3) are the surfaces' own. The sun stands where the camera has it, so that it
    turns with the viewpoint.
    """
    sun = np.deg2rad(azimuth + camera.light_azimuth)
    light = np.array([0.7 * np.cos(sun), 0.7 * np.sin(sun), 0.714], dtype=np.float32)
    normals, finish = mesh.normals, mesh.finish
    lambert = np.maximum(normals @ light, 0.0)
    sky = normals[:, 2]
    level = 0.55 + 0.12 * sky + 0.40 * lambert
    # Light that fails to reach the lower flanks.
    level *= 0.80 + 0.20 * np.clip((mesh.centres[:, 2] - 0.15) / 0.6, 0, 1)
    level = np.where(finish == Finish.LIT, 0.94 + 0.08 * lambert, level)
    level = np.where(finish == Finish.GLASS, 0.86 + 0.30 * np.maximum(sky, 0), level)
    towards = view.position - mesh.centres
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    half = towards + light
    half /= np.linalg.norm(half, axis=1, keepdims=True)
    spark = np.maximum(np.einsum("pc,pc->p", normals, half), 0.0)
    gloss = np.where(finish == Finish.PAINT, 50 * spark**20 + 20 * np.maximum(sky, 0) ** 2, 0.0)
    gloss = np.where(finish == Finish.GLASS, 26 * spark**16, gloss)
    shaded: np.ndarray = (colours * level[:, None] + gloss[:, None]).clip(0, 255).astype(np.uint8)
    return shaded


def composite(numbers: np.ndarray, colours: np.ndarray, street: Image.Image) -> Image.Image:
    """The vehicle before the street: an RGB image of the street's size.

    `numbers` (2 height, 2 width) are looked up in `colours` (P, 3) uint8; 0 is transparent. Each
    block of four becomes a pixel, so that edges are smooth.
    """
    table = np.zeros((len(colours) + 1, 4), dtype=np.uint8)
    table[1:, :3] = colours
    table[1:, 3] = 255
    vehicle = Image.fromarray(_halve(table.view(np.uint32)[:, 0].take(numbers)))
    # Where nothing is drawn the table holds black, so the mean colour is already weighted by
    # the mean opacity: the street shows through by the rest.
    behind = street.copy()
    behind.paste((0, 0, 0), (0, 0), vehicle.getchannel("A"))
    return ImageChops.add(behind, vehicle.convert("RGB"))


def _halve(pixels: np.ndarray) -> np.ndarray:
    """(2h, 2w) uint32 RGBA -> (h, w, 4) uint8: the rounded mean of every block of four.

    Two channels at a time in the halves of a word: the sum of four bytes fits in 16 bits.
    """
    every_other = np.uint32(0x00FF00FF)
    means = []
    for channels in (pixels & every_other, (pixels >> 8) & every_other):
        rows = channels[::2] + channels[1::2]
        block = rows[:, ::2] + rows[:, 1::2] + np.uint32(0x00020002)
        means.append((block >> 2) & every_other)
    packed = means[0] | (means[1] << 8)
    return packed.view(np.uint8).reshape(*packed.shape, 4)


def part_boxes(drawing: Drawing, numbers: np.ndarray) -> tuple[PartBox, ...]:
    """The visible parts in `numbers` (height, width): tight boxes of their visible pixels.

    Visibility is the number of a part's visible pixels over the number that its polygons cover
    when they are drawn alone on an unbounded canvas, so both what stands before a part and the
    edge of the frame lower it. What lies on a part (a sticker on the windscreen) counts as part
    of it. Parts under `MIN_VISIBILITY` are left out.
    """
    mesh = drawing.mesh
    height, width = numbers.shape
    boxes = []
    wanted = np.zeros(max(len(mesh.part), int(numbers.max())) + 1, dtype=bool)
    for part, polygons in _polygons_by_part(drawing).items():
        alone, low, high = _count_alone(drawing, polygons)
        left, top = max(low[0], 0), max(low[1], 0)
        region = numbers[top : max(high[1], 0), left : max(high[0], 0)]
        own = np.array(polygons) + 1
        wanted[own] = True
        seen = wanted[region]
        wanted[own] = False
        visible = int(np.count_nonzero(seen))
        if visible == 0 or visible < MIN_VISIBILITY * alone:
            continue
        rows, columns = (
            np.flatnonzero(seen.any(axis=1)),
            np.flatnonzero(seen.any(axis=0)),
        )
        boxes.append(
            PartBox(
                label=mesh.labels[part],
                x0=(left + int(columns[0])) / width,
                y0=(top + int(rows[0])) / height,
                x1=(left + int(columns[-1]) + 1) / width,
                y1=(top + int(rows[-1]) + 1) / height,
                visibility=min(1.0, visible / alone),
            )
        )
    return tuple(boxes)


def _polygons_by_part(drawing: Drawing) -> dict[int, list[int]]:
    """The drawn polygons of every part, those of the parts that lie on it among them."""
    mesh = drawing.mesh
    polygons: dict[int, list[int]] = {}
    for polygon, part in zip(
        drawing.order.tolist(), mesh.part[drawing.order].tolist(), strict=True
    ):
        while part >= 0:
            polygons.setdefault(part, []).append(polygon)
            part = mesh.parents[part]
    return dict(sorted(polygons.items()))


def _count_alone(
    drawing: Drawing, polygons: list[int]
) -> tuple[int, tuple[int, int], tuple[int, int]]:
    """Pixels of the polygons' union, drawn on a canvas that just holds them, and its corners."""
    mesh = drawing.mesh
    outer = [p for p in polygons if not mesh.inner[p]] or polygons
    corners = np.concatenate(drawing.outlines(outer))
    xs, ys = corners[::2], corners[1::2]
    low = math.floor(xs.min()) - 1, math.floor(ys.min()) - 1
    high = math.ceil(xs.max()) + 2, math.ceil(ys.max()) + 2
    canvas = Image.new("L", (high[0] - low[0], high[1] - low[1]))
    draw = ImageDraw.Draw(canvas)
    # A shift by whole pixels keeps the rasterisation the same as on the full canvas.
    corners[::2] -= low[0]
    corners[1::2] -= low[1]
    start = 0
    for polygon in outer:
        stop = start + 2 * (mesh.starts[polygon + 1] - mesh.starts[polygon])
        draw.polygon(cast(Sequence[float], corners[start:stop]), fill=1)
        start = stop
    return canvas.histogram()[1], low, high
