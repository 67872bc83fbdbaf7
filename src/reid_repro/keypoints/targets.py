"""What the pose network should answer, and how far it is from that (DeeperCut, Section 3).

A cell of the maps is `STRIDE` pixels wide; the centre of cell i is pixel 8 i + 4. Coordinates are
continuous: pixel i reaches from i to i + 1.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from reid_repro.keypoints.network import STRIDE, PoseMaps, map_size


class Targets(NamedTuple):
    """Of n images: where each joint's disc is, and the way from each cell to the joint.

    `inside` (n, 14, rows, columns) bool; `offsets` (n, 14, 2, rows, columns) float32, (dx, dy) in
    units of the location refinement, 0 outside the disc.
    """

    inside: Tensor
    offsets: Tensor


def targets(
    joints: Tensor, present: Tensor, size: tuple[int, int], *, radius: float, locref_scale: float
) -> Targets:
    """The targets of images of `size` (height, width).

    `joints` (n, 14, 2), x and y in pixels, `present` (n, 14) bool. A joint's disc holds the cells
    whose centres are at most `radius` pixels away, and the cell that the joint lies in, so that it
    is never empty. A joint that is not present has no disc.
    """
    rows, columns = map_size(size[0]), map_size(size[1])
    x, y = joints[..., 0, None], joints[..., 1, None]  # (n, 14, 1)
    dx = x - _centres(columns, joints)  # (n, 14, columns)
    dy = y - _centres(rows, joints)
    near = dx.square()[:, :, None, :] + dy.square()[..., None] <= radius**2
    own = _own_cell(x, columns)[:, :, None, :] & _own_cell(y, rows)[..., None]
    inside = (near | own) & present[..., None, None]
    shape = inside.shape
    offsets = torch.stack([dx[:, :, None, :].expand(shape), dy[..., None].expand(shape)], dim=2)
    return Targets(inside, torch.where(inside[:, :, None], offsets / locref_scale, 0))


def losses(maps: PoseMaps, wanted: Targets, *, locref_weight: float) -> dict[str, Tensor]:
    """The parts of the loss; their sum is what is minimised.

    `scores` and `intermediate`: sigmoid cross-entropy, the mean over all cells and joints;
    `offsets`: `locref_weight` times Huber's loss (k = 1), the mean over the discs' cells.
    """
    truth = wanted.inside.float()
    entropy = functional.binary_cross_entropy_with_logits
    parts = {"scores": entropy(maps.scores.float(), truth)}
    if maps.intermediate is not None:
        parts["intermediate"] = entropy(maps.intermediate.float(), truth)
    guess = maps.offsets.float().view_as(wanted.offsets)
    huber = functional.huber_loss(guess, wanted.offsets, reduction="none", delta=1.0)
    total = (huber * truth[:, :, None]).sum()
    parts["offsets"] = locref_weight * total / (2 * truth.sum()).clamp(min=1)
    return parts


def centres(cells: int) -> Tensor:
    """The pixel coordinate of the centre of each cell of a row, (cells,) float32."""
    return STRIDE * torch.arange(cells, dtype=torch.float32) + STRIDE / 2


def _centres(cells: int, like: Tensor) -> Tensor:
    return centres(cells).to(like.device)


def _own_cell(place: Tensor, cells: int) -> Tensor:
    """Which cell of a row a coordinate (n, 14, 1) lies in, (n, 14, cells) bool."""
    cell = (place / STRIDE).floor().clamp(0, cells - 1)
    return cell == torch.arange(cells, device=place.device)
