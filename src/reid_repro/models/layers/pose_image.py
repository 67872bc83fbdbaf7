"""The standard pose image: ten fine-grained parts, each moved to its fixed place by an affine map.

GLAD, Section 6.4 and Table 2, compares coarse regions with such an image, after Zheng et al., Pose
Invariant Embedding for Deep Person Re-identification, 2017. A part is a rectangle about the line
between two joints (or two midpoints): along the line as long as the distance and a margin at both
ends, across it as wide as its place in the canvas. Right limbs stand left, as of a person who faces
the camera. A part that has no visible joint at one of its ends leaves its place empty, in the mean
colour.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from reid_repro.models.layers.regions import (
    HEAD_TOP,
    JOINTS,
    LEFT_HIP,
    NECK,
    RIGHT_HIP,
    in_full_precision,
    visible,
)

OUTSIDE = -3.0  # a coordinate beyond the image, whose content is 0: the mean of normalised images


class Part(NamedTuple):
    """From the mean of the visible joints of `top` to that of `bottom`; margins in heights.

    `place`: x0, y0, x1, y1 in shares of the canvas.
    """

    top: tuple[int, ...]
    bottom: tuple[int, ...]
    margins: tuple[float, float]
    place: tuple[float, float, float, float]


PARTS = {
    "head": Part((HEAD_TOP,), (NECK,), (0.03, 0.00), (0.33, 0.00, 0.67, 0.18)),
    "torso": Part((8, 9), (RIGHT_HIP, LEFT_HIP), (0.03, 0.02), (0.25, 0.18, 0.75, 0.54)),
    "right upper arm": Part((8,), (7,), (0.02, 0.00), (0.05, 0.18, 0.25, 0.36)),
    "right lower arm": Part((7,), (6,), (0.00, 0.03), (0.05, 0.36, 0.25, 0.54)),
    "left upper arm": Part((9,), (10,), (0.02, 0.00), (0.75, 0.18, 0.95, 0.36)),
    "left lower arm": Part((10,), (11,), (0.00, 0.03), (0.75, 0.36, 0.95, 0.54)),
    "right upper leg": Part((RIGHT_HIP,), (1,), (0.02, 0.00), (0.22, 0.54, 0.50, 0.76)),
    "right lower leg": Part((1,), (0,), (0.00, 0.04), (0.22, 0.76, 0.50, 1.00)),
    "left upper leg": Part((LEFT_HIP,), (4,), (0.02, 0.00), (0.50, 0.54, 0.78, 0.76)),
    "left lower leg": Part((4,), (5,), (0.00, 0.04), (0.50, 0.76, 0.78, 1.00)),
}


@lru_cache(maxsize=8)
def canvas_keypoints(device: torch.device) -> Tensor:
    """The joints of the canvas that GLAD's regions are cut by, (1, 14, 3); others are missing."""
    waist = PARTS["torso"].place[3] - PARTS["torso"].margins[1]
    points = [(0.0, 0.0, 0.0)] * JOINTS
    points[HEAD_TOP] = (0.5, PARTS["head"].place[1], 1.0)
    points[NECK] = (0.5, PARTS["head"].place[3], 1.0)
    points[RIGHT_HIP], points[LEFT_HIP] = (0.4, waist, 1.0), (0.6, waist, 1.0)
    return torch.tensor([points], device=device)


def pose_image(images: Tensor, keypoints: Tensor) -> Tensor:
    """The standard pose images of normalised `images` (n, c, h, w), of the same shape, float32.

    `keypoints` (n, 14, 3): x and y in shares of the image, confidence (0: missing).
    """
    height, width = images.shape[-2:]
    with in_full_precision(images.device):
        maps = part_maps(keypoints, height, width)
        grid = _canvas(height, width, images.device) @ maps.flatten(1, 2)
        grid = grid.view(-1, height, width, 2)
        return functional.grid_sample(images.float(), grid, align_corners=False)


def part_maps(keypoints: Tensor, height: int, width: int) -> Tensor:
    """Affine maps of the ten parts and of the empty ground, (n, 11, 3, 2) float32.

    Row vector (u, v, 1) @ map is a point of the image in -1..1, with u and v in -1..1 across and
    along the part's place. That of a part without a joint at one end is outside of the image.
    """
    size = keypoints.new_tensor((width, height), dtype=torch.float32)
    seen = visible(keypoints)
    points = torch.where(seen[..., None], keypoints[..., :2].float(), 0) * size
    parts = PARTS.values()
    top, top_seen = _ends(points, seen, [part.top for part in parts])
    bottom, bottom_seen = _ends(points, seen, [part.bottom for part in parts])
    there = top_seen & bottom_seen

    line = bottom - top
    length = line.norm(dim=2, keepdim=True)
    # Joints on one spot: a part that points at the camera, taken upright.
    along = torch.where(length > 0, line / length.clamp(min=1e-6), line.new_tensor((0.0, 1.0)))
    across = torch.stack([along[..., 1], -along[..., 0]], dim=2)
    margins = line.new_tensor([part.margins for part in parts]) * height
    first, last = top - along * margins[:, :1], bottom + along * margins[:, 1:]
    half_width = line.new_tensor([part.place[2] - part.place[0] for part in parts]) * width / 2
    half_length = (length + margins.sum(dim=1, keepdim=True)) / 2
    rows = [across * half_width[:, None], along * half_length, (first + last) / 2]
    maps = torch.stack(rows, dim=2) * (2 / size)
    maps[:, :, 2] -= 1
    nowhere = maps.new_tensor(((0.0, 0.0), (0.0, 0.0), (OUTSIDE, OUTSIDE)))
    maps = torch.where(there[..., None, None], maps, nowhere)
    return torch.cat([maps, nowhere.expand(len(maps), 1, 3, 2)], dim=1)


def _ends(points: Tensor, seen: Tensor, ends: list[tuple[int, ...]]) -> tuple[Tensor, Tensor]:
    """Each part's mean of visible joints (n, 10, 2), and whether it has one, (n, 10)."""
    members = points.new_tensor([[float(j in end) for j in range(JOINTS)] for end in ends])
    counted = members * seen[:, None]
    count = counted.sum(dim=2)
    return counted @ points / count.clamp(min=1)[..., None], count > 0


@lru_cache(maxsize=8)
def _canvas(height: int, width: int, device: torch.device) -> Tensor:
    """(height width, 33): each pixel's (u, v, 1) in the three columns of its part, 0 elsewhere.

    One product with the parts' maps then gives where every pixel of the canvas comes from.
    """
    x = (torch.arange(width, device=device) + 0.5) / width
    y = (torch.arange(height, device=device) + 0.5) / height
    canvas = torch.zeros(height, width, len(PARTS) + 1, 3, device=device)
    canvas[:, :, -1, 2] = 1
    for number, part in enumerate(PARTS.values()):
        x0, y0, x1, y1 = part.place
        inside = ((y0 <= y) & (y < y1))[:, None] & ((x0 <= x) & (x < x1))
        u = ((2 * x - x0 - x1) / (x1 - x0)).expand(height, width)
        v = ((2 * y - y0 - y1) / (y1 - y0))[:, None].expand(height, width)
        own = torch.stack([u, v, torch.ones_like(u)], dim=2)
        canvas[:, :, number] = torch.where(inside[..., None], own, 0)
        canvas[:, :, -1, 2] *= ~inside
    return canvas.flatten(2).flatten(0, 1)
