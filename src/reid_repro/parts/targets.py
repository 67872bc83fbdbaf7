"""Which default box answers for which part, and the multibox loss (Liu et al. 2016, section 2.2).

Matching is done for a whole batch: a default box answers for the part that it overlaps most, if by
at least the network's threshold; and each part has the default box that overlaps it most, whatever
the overlap.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:  # scores need no network, and it takes two seconds to import
    from reid_repro.parts.network import Heads, PartsNetwork

BACKGROUND = -1
NEGATIVES = 3  # background boxes that count, for each positive one
CENTRE, SIDES, GROWTH = 10.0, 5.0, 1000 / 16  # torchvision's box coder for SSD
# Overlaps at a time: on a CPU what fits the cache is several times faster than a batch at once.
CPU_OVERLAPS, GPU_OVERLAPS = 1 << 17, 1 << 26


class Truth(NamedTuple):
    """The parts of n images, filled up to the same number T of rows."""

    boxes: Tensor  # (n, T, 4) x0, y0, x1, y1 as shares of the image; filling: zeros
    labels: Tensor  # (n, T) int64, 1 for the first class; filling: 0


def match(truth: Truth, anchors: Tensor, threshold: float) -> Tensor:
    """(n, A) the row of the part each default box answers for, `BACKGROUND` for none.

    `anchors` (A, 4) in the boxes' units. Where one default box is the best of several parts the
    last of them has it, as in torchvision.
    """
    images, rows = truth.labels.shape
    most = CPU_OVERLAPS if anchors.device.type == "cpu" else GPU_OVERLAPS
    each = max(1, most // max(1, rows * len(anchors)))
    if rows == 0:
        return anchors.new_full((images, len(anchors)), BACKGROUND, dtype=torch.int64)
    parts = [slice(start, start + each) for start in range(0, images, each)]
    return torch.cat(
        [_match(Truth(truth.boxes[p], truth.labels[p]), anchors, threshold) for p in parts]
    )


def _match(truth: Truth, anchors: Tensor, threshold: float) -> Tensor:
    real = truth.labels > 0
    overlap = pairwise_iou(truth.boxes, anchors).masked_fill_(~real[:, :, None], -1)
    best, matched = overlap.max(dim=1)
    matched = matched.masked_fill(best < threshold, BACKGROUND)
    rows = torch.arange(real.shape[1], device=real.device).expand_as(real)
    forced = torch.full_like(matched, BACKGROUND).scatter_reduce(
        1, overlap.argmax(dim=2), rows.masked_fill(~real, BACKGROUND), "amax"
    )
    return torch.where(forced >= 0, forced, matched)


def pairwise_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """(..., T, A) intersections over union of (..., T, 4) and (..., A, 4); 0 where both are empty.

    Broadcasts over leading dimensions; coordinates x0, y0, x1, y1 in any unit.
    """
    left, top, right, bottom = boxes[..., :, None, :].unbind(-1)
    to_left, to_top, to_right, to_bottom = others[..., None, :, :].unbind(-1)
    shared = (torch.minimum(right, to_right) - torch.maximum(left, to_left)).clamp_(min=0)
    shared *= (torch.minimum(bottom, to_bottom) - torch.maximum(top, to_top)).clamp_(min=0)
    whole = (right - left) * (bottom - top) + (to_right - to_left) * (to_bottom - to_top)
    return shared / (whole - shared).clamp_(min=1e-12)


def multibox_loss(network: PartsNetwork, heads: Heads, truth: Truth) -> dict[str, Tensor]:
    """The losses `classification` and `offsets`, sums over the positives divided by their number.

    Of the background boxes of an image only those count that are hardest, `NEGATIVES` a positive.
    The values are those of torchvision's `SSD.compute_loss`, which takes images one by one and
    differentiates through every box; here only those that count are.
    """
    pixels = truth.boxes * network.size
    threshold = network.ssd.proposal_matcher.high_threshold
    matched = match(Truth(pixels, truth.labels), heads.anchors, threshold)
    positive = matched >= 0
    image, box = positive.nonzero(as_tuple=True)
    row = matched[image, box]
    wanted = encode(pixels[image, row], heads.anchors[box])
    offsets = functional.smooth_l1_loss(heads.offsets[image, box].float(), wanted, reduction="sum")
    found = functional.cross_entropy(
        heads.logits[image, box].float(), truth.labels[image, row], reduction="sum"
    )
    missed = _background_loss(heads.logits[_hardest(heads.logits.detach(), positive)])
    count = max(1, len(image))
    return {"classification": (found + missed.sum()) / count, "offsets": offsets / count}


def _background_loss(logits: Tensor) -> Tensor:
    """Minus the logarithm of the background's probability, over the last dimension."""
    logits = logits.float()
    return logits.logsumexp(dim=-1) - logits[..., 0]


def _hardest(logits: Tensor, positive: Tensor) -> tuple[Tensor, Tensor]:
    """Indices (image, default box) of the hardest negatives of each image."""
    losses = _background_loss(logits).masked_fill_(positive, -torch.inf)
    allowed = (NEGATIVES * positive.sum(dim=1)).clamp(max=positive.shape[1])
    hard, box = losses.topk(int(allowed.max()), dim=1)
    rank = torch.arange(hard.shape[1], device=hard.device)
    taken = (rank < allowed[:, None]) & torch.isfinite(hard)
    image, place = taken.nonzero(as_tuple=True)
    return image, box[image, place]


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    """(..., 4) offsets of `boxes` from `anchors`, x0, y0, x1, y1 in one unit (Liu et al., Eq. 2).

    With torchvision's factors of SSD: 10 for the centre, 5 for the sides. A side of no length
    counts as a hundredth of a pixel.
    """
    size = anchors[..., 2:] - anchors[..., :2]
    own = (boxes[..., 2:] - boxes[..., :2]).clamp(min=1e-2)
    between = (boxes[..., :2] + boxes[..., 2:]) / 2 - (anchors[..., :2] + anchors[..., 2:]) / 2
    return torch.cat([CENTRE * between / size, SIDES * (own / size).log()], dim=-1)


def decode(offsets: Tensor, anchors: Tensor) -> Tensor:
    """The boxes that `encode` gives these `offsets`; a side grows at most `GROWTH` fold."""
    size = anchors[..., 2:] - anchors[..., :2]
    centre = (anchors[..., :2] + anchors[..., 2:]) / 2 + offsets[..., :2] / CENTRE * size
    half = (offsets[..., 2:] / SIDES).clamp(max=math.log(GROWTH)).exp() * size / 2
    return torch.cat([centre - half, centre + half], dim=-1)
