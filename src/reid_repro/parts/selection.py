"""From raw heads to exactly D boxes an image (PGAN, section 3.2).

The most confident boxes come first; of two that overlap too much the less confident one goes,
whatever their classes, since PGAN ignores labels once a part is found. Kinds of vehicle are dropped
beforehand. Only D boxes are wanted, so greedy suppression is D rounds of "take the surest box left,
strike out what it overlaps", each for the whole batch at once: no loop over images or classes.

An image with fewer than D boxes is filled up with boxes of the whole image, of score 0, as
`reid_repro.datasets.places` fills true boxes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from reid_repro.parts.classes import VEHICLE_TYPES
from reid_repro.parts.network import Heads, PartsNetwork
from reid_repro.parts.targets import decode, pairwise_iou

# Default boxes of an image that take part in the suppression.
CANDIDATES = 256
# A box less wide or high than this share of the image holds no pixel of a feature map.
SMALLEST = 1e-3
WHOLE_IMAGE = 0.0, 0.0, 1.0, 1.0
FILLED = -1


class Selected(NamedTuple):
    """D boxes of each of n images, the most confident first."""

    boxes: Tensor  # (n, D, 4) x0, y0, x1, y1 as shares of the image, inside it
    scores: Tensor  # (n, D), 0 where filled
    labels: Tensor  # (n, D) int64, index into the network's classes, `FILLED` where filled


def select(network: PartsNetwork, heads: Heads, *, boxes: int, overlap: float) -> Selected:
    """The `boxes` surest boxes of each image, none overlapping a surer one by more than `overlap`.

    A default box has one candidate, of its likeliest part: its others would be the same box.
    """
    parts = [1 + n for n, name in enumerate(network.classes) if name not in VEHICLE_TYPES]
    places = _candidates(heads.logits, parts)
    image = torch.arange(len(places), device=places.device)[:, None]
    logits = heads.logits[image, places]
    scores, likeliest = _columns(logits.float().softmax(dim=-1), parts, 2).max(dim=-1)
    labels = torch.tensor(parts, device=places.device)[likeliest] - 1
    found = decode(heads.offsets[image, places].float(), heads.anchors[places]) / network.size
    return suppress(found.clamp(0, 1), scores, labels, boxes=boxes, overlap=overlap)


def _candidates(logits: Tensor, parts: list[int]) -> Tensor:
    """(n, K) the default boxes whose likeliest part is ahead of the background by the most.

    A softmax over all of them would cost a small network a third of its forward pass; and a CPU
    finds maxima many times faster along a dimension that is not the innermost.
    """
    turned = logits.transpose(1, 2).contiguous()
    ahead = _columns(turned, parts, 1).amax(dim=1).float() - turned[:, 0].float()
    return ahead.topk(min(CANDIDATES, ahead.shape[1]), dim=1, sorted=False).indices


def _columns(values: Tensor, parts: list[int], dim: int) -> Tensor:
    """Those of `parts`, a view where they are all that follows the background."""
    if len(parts) + 1 == values.shape[dim]:
        return values.narrow(dim, 1, len(parts))
    return values.index_select(dim, torch.tensor(parts, device=values.device))


def suppress(
    found: Tensor, scores: Tensor, labels: Tensor, *, boxes: int, overlap: float
) -> Selected:
    """Greedy suppression among (n, K, 4) candidates in 0..1, then filling up to `boxes`.

    Candidates that are all but empty never win. Of equal scores the first candidate wins.
    """
    sides = found[..., 2:] - found[..., :2]
    left = scores.masked_fill((sides < SMALLEST).any(dim=-1), 0)
    chosen, sure, named = [], [], []
    for _ in range(boxes):
        score, place = left.max(dim=1, keepdim=True)
        box = found.gather(1, place[..., None].expand(-1, -1, 4))
        none = score <= 0
        chosen.append(box.where(~none[..., None], box.new_tensor(WHOLE_IMAGE)))
        sure.append(score)
        named.append(labels.gather(1, place).masked_fill(none, FILLED))
        struck = pairwise_iou(box, found)[:, 0] > overlap
        left = left.masked_fill(struck, 0).scatter(1, place, 0)
    return Selected(torch.cat(chosen, 1), torch.cat(sure, 1), torch.cat(named, 1))
