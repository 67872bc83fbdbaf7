"""Part boxes as masks of a feature map, and the mean of the map under each (PGAN, Section 3.2-3.3).

Boxes come as shares of the image, so that the same ones serve a map of any size (Eq. 1).
"""

from __future__ import annotations

import torch
from torch import Tensor


def box_masks(boxes: Tensor, height: int, width: int) -> Tensor:
    """Boxes (n, d, 4) of x0, y0, x1, y1 in 0..1 to masks (n, d, `height`, `width`) of 0 and 1.

    A cell belongs to a part when its centre lies in the box, borders included; so does the cell of
    the box's centre, so that no mask is empty however small its box. Boxes are first clipped to the
    image. The masks have the boxes' type.
    """
    corners = boxes.clamp(0, 1)
    columns = _covered(corners[..., 0], corners[..., 2], width)
    rows = _covered(corners[..., 1], corners[..., 3], height)
    return (rows.unsqueeze(-1) & columns.unsqueeze(-2)).to(boxes.dtype)


def _covered(low: Tensor, high: Tensor, cells: int) -> Tensor:
    """Which of `cells` along one axis the intervals (n, d) cover: (n, d, cells) of bool."""
    index = torch.arange(cells, device=low.device)
    centres = (index + 0.5) / cells
    inside = (low.unsqueeze(-1) <= centres) & (centres <= high.unsqueeze(-1))
    middle = ((low + high) * (cells / 2)).floor().clamp(max=cells - 1)
    return inside | (index == middle.unsqueeze(-1))


def masked_mean(features: Tensor, masks: Tensor) -> Tensor:
    """MGAP: the mean of `features` (n, c, h, w) over the cells of each of `masks` (n, d, h, w).

    Gives (n, d, c) in float32: the masked sums over |M_i|_1, not over h w, without a masked copy
    of the map (Eq. 2).
    """
    flat = masks.flatten(2)
    sums = torch.bmm(flat.to(features.dtype), features.flatten(2).mT).float()
    return sums / flat.sum(-1, keepdim=True)
