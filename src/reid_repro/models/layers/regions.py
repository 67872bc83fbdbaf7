"""Head, upper body and lower body from keypoints (GLAD, Section 4.1, Eqs. 2 and 3).

Boxes are continuous: pixel i reaches from i to i + 1, so that the image spans 0..W and 0..H where
the equations name its last pixel, W - 1 and H - 1. `overlap` is their alpha as a share of the
height (15 pixels at H = 512).
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

JOINTS = 14  # in MPII's order
HEAD_TOP, NECK, RIGHT_HIP, LEFT_HIP = 13, 12, 2, 3
ANCHORS = (HEAD_TOP, NECK, RIGHT_HIP, LEFT_HIP)  # x1 y1, x2 y2, x4 y4, x3 y3 in Eqs. 2 and 3
REGIONS = ("head", "upper", "lower")
# Sizes in pixels at 512 x 256 (Section 4.2).
SIZES = {"head": (96, 96), "upper": (224, 256), "lower": (224, 256)}
SMALLEST = 1 / 16  # share of the height below which no region's side falls

# A figure that fills its image upright, (x, y) of each joint in shares of the image.
STANDARD = (
    *((0.42, 0.95), (0.42, 0.73), (0.42, 0.52), (0.58, 0.52), (0.58, 0.73), (0.58, 0.95)),
    *((0.33, 0.53), (0.33, 0.37), (0.36, 0.21), (0.64, 0.21), (0.67, 0.37), (0.67, 0.53)),
    *((0.50, 0.18), (0.50, 0.04)),
)
ALL = tuple(range(JOINTS))
# Who stands in for a missing anchor, in this order: the first group with a visible joint.
STAND_INS = {
    HEAD_TOP: ((NECK,), (8, 9), ALL),
    NECK: ((8, 9), (HEAD_TOP,), ALL),
    RIGHT_HIP: ((LEFT_HIP,), (1, 4, 8, 9), ALL),
    LEFT_HIP: ((RIGHT_HIP,), (1, 4, 8, 9), ALL),
}


def check_keypoints(keypoints: Tensor | None, images: Tensor) -> Tensor:
    """The keypoints, if they are (n, 14, 3) for n images; ValueError says what they should be."""
    wanted = (len(images), JOINTS, 3)
    if keypoints is None or tuple(keypoints.shape) != wanted:
        found = "none" if keypoints is None else f"shape {tuple(keypoints.shape)}"
        raise ValueError(
            f"keypoints must be of shape {wanted} (x and y in 0..1, confidence) for these images; "
            f"got {found}"
        )
    return keypoints


def in_full_precision(device: torch.device) -> AbstractContextManager[object]:
    """No autocast: a coordinate in half precision is off by pixels."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def visible(keypoints: Tensor) -> Tensor:
    """Which joints are there, (n, 14) bool: a confidence above 0, and finite coordinates."""
    finite = keypoints[..., :2].isfinite().all(dim=-1)
    return (keypoints[..., 2] > 0) & finite


def anchors(keypoints: Tensor) -> Tensor:
    """Head top, neck, right and left hip, (n, 4, 2), in shares of the image.

    A missing one stands where the standard figure has it, once that figure is shifted onto the
    mean of its visible stand-ins; where nothing is visible, where the standard figure has it.
    """
    seen = visible(keypoints)
    xy = keypoints[..., :2].float()
    standard = xy.new_tensor(STANDARD)
    shift = torch.where(seen[..., None], xy - standard, 0)
    found = torch.zeros_like(seen[:, :4])
    estimate = standard[list(ANCHORS)].expand(len(xy), -1, -1)
    for group in range(3):
        members = xy.new_tensor([_mask(STAND_INS[anchor][group]) for anchor in ANCHORS])
        share = members * seen[:, None]  # (n, 4, 14)
        count = share.sum(dim=2)
        mean = (share[..., None] * shift[:, None]).sum(dim=2) / count.clamp(min=1)[..., None]
        use = (count > 0) & ~found
        estimate = torch.where(use[..., None], standard[list(ANCHORS)] + mean, estimate)
        found = found | use
    own = list(ANCHORS)
    return torch.where(seen[:, own, None], xy[:, own], estimate)


def _mask(joints: tuple[int, ...]) -> list[float]:
    return [float(joint in joints) for joint in ALL]


def region_boxes(keypoints: Tensor, height: int, width: int, overlap: float = 15 / 512) -> Tensor:
    """Boxes of head, upper and lower body, (n, 3, 4): x0, y0, x1, y1 in pixels.

    `keypoints` (n, 14, 3): x and y in shares of the image, confidence (0: missing). Boxes lie in
    the image; a side shorter than 1/16 of the height, as of a head above the image or of hips above
    the neck, grows to that about its middle.
    """
    points = anchors(keypoints) * keypoints.new_tensor((width, height), dtype=torch.float32)
    (x1, y1), (x2, y2) = points[:, 0].unbind(1), points[:, 1].unbind(1)
    alpha = overlap * height
    middle = (x1 + x2) / 2  # x_c of Eq. 2
    half = (y2 - y1 + 2 * alpha) / 2  # w / 2
    waist = (points[:, 2, 1] + points[:, 3, 1]) / 2  # y_c of Eq. 3
    left, right = torch.zeros_like(waist), torch.full_like(waist, width)
    bottom = torch.full_like(waist, height)
    boxes = torch.stack(
        [
            torch.stack([middle - half, y1 - alpha, middle + half, y2 + alpha], dim=1),
            torch.stack([left, y2 - 2 * alpha, right, waist + 2 * alpha], dim=1),
            torch.stack([left, waist - 2 * alpha, right, bottom], dim=1),
        ],
        dim=1,
    )
    return _sound(boxes, height, width)


def _sound(boxes: Tensor, height: int, width: int) -> Tensor:
    """Boxes clipped to the image, with the smallest side at least."""
    sizes = boxes.new_tensor((width, height))
    low, high = boxes[..., :2], boxes[..., 2:]
    low, high = (end.clamp(min=0).minimum(sizes) for end in (low, high))
    smallest = (boxes.new_full((), SMALLEST * height)).minimum(sizes)
    short = high - low < smallest
    start = ((low + high - smallest) / 2).clamp(min=0).minimum(sizes - smallest)
    low = torch.where(short, start, low)
    high = torch.where(short, start + smallest, high)
    return torch.cat([low, high], dim=-1)


def region_size(region: str, height: int, width: int) -> tuple[int, int]:
    """(height, width) of a region's crop for images of that size; 512 x 256 gives the paper's."""
    rows, columns = SIZES[region]
    return round(rows * height / 512), round(columns * width / 256)


def crop(images: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """`boxes` (n, r, 4) in pixels of `images` (n, c, h, w), resized to (n, r, c, *size).

    Bilinear at the middle of every pixel, as the usual resizing of a cropped image. Crops lie in
    memory as channels_last.
    """
    bands = crop_rows(images, boxes, size[0]).permute(0, 1, 3, 4, 2)
    start, stop = (boxes[..., i].flatten().repeat_interleave(size[0])[:, None] for i in (0, 2))
    crops = _resampled(bands.flatten(0, 2), start, stop, size[1])
    return crops.view(*bands.shape[:3], *crops.shape[1:]).permute(0, 1, 4, 2, 3)


def crop_rows(images: Tensor, boxes: Tensor, rows: int) -> Tensor:
    """`crop` for boxes over the whole width, which stays as it is: (n, r, c, rows, w)."""
    bands = _resampled(images.permute(0, 2, 3, 1), boxes[..., 1], boxes[..., 3], rows)
    return bands.view(*boxes.shape[:2], rows, *bands.shape[2:]).permute(0, 1, 4, 2, 3)


def _resampled(lines: Tensor, start: Tensor, stop: Tensor, size: int) -> Tensor:
    """Lines (n, length, ...) at `size` places of each range start..stop (n, r): (n, r size, ...).

    Two gathered lines and their mean a place: a fraction of the time of a general sampling.
    """
    count, length = lines.shape[:2]
    step = (stop - start) / size
    middle = torch.arange(size, device=start.device, dtype=start.dtype) + 0.5
    place = (start[..., None] + step[..., None] * middle - 0.5).clamp(0, length - 1).flatten(1)
    low = place.floor()
    first = torch.arange(count, device=start.device)[:, None] * length
    index = (low.long() + first).flatten()
    after = ((low + 1).clamp(max=length - 1).long() + first).flatten()
    flat = lines.reshape(count * length, -1)
    share = (place - low).to(lines.dtype).flatten()[:, None]
    mixed = torch.lerp(flat.index_select(0, index), flat.index_select(0, after), share)
    return mixed.view(count, -1, *lines.shape[2:])
