"""From the network's maps to joints: the best cell of each, and its way to the joint."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from reid_repro.keypoints.network import STRIDE, PoseMaps


def decode(maps: PoseMaps, size: tuple[int, int], *, locref_scale: float) -> Tensor:
    """Joints of n images of `size` (height, width) pixels: (n, 14, 3) float32.

    x and y in shares of the image, and the confidence: the sigmoid of the best cell's logit. The
    place is 8 i + 4 + `locref_scale` * refinement, clipped to the image.
    """
    images, joints, rows, columns = maps.scores.shape
    logit, cell = maps.scores.flatten(2).max(dim=2)
    moves = maps.offsets.reshape(images, joints, 2, rows * columns)
    index = cell[:, :, None, None].expand(-1, -1, 2, 1)
    move = moves.gather(3, index).squeeze(3).float() * locref_scale
    corner = torch.stack([cell % columns, cell // columns], dim=2) * STRIDE
    place = corner + STRIDE / 2 + move
    share = place / place.new_tensor((size[1], size[0]))
    return torch.cat([share.clamp(0, 1), logit.float().sigmoid()[..., None]], dim=2)


def surest(readings: Sequence[Tensor]) -> Tensor:
    """Of several readings (n, 14, 3) of the same images, each image's best: (n, 14, 3).

    The best is that whose least confident joint is the most confident; of equals the first.
    """
    stacked = torch.stack(list(readings))
    best = stacked[..., 2].amin(dim=2).argmax(dim=0)
    return stacked[best, torch.arange(stacked.shape[1], device=stacked.device)]
