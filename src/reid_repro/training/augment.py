"""Augmentation of whole batches in uint8: mirror, shifted crop, random erasing, in that order.

What is done to each image is drawn first, for the whole batch, so that it depends on nothing but
the generator. Random erasing (Zhong et al. 2020) follows torchvision's ranges: 2 to 33 % of the
image, ratio of the sides 0.3 to 3.3, ten tries; it fills with the ImageNet mean. Geometry goes
along: boxes and keypoints are mirrored and moved with their image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from reid_repro.config import TrainingConfig
from reid_repro.training.pixels import UInt8Array

FloatArray = npt.NDArray[np.float32]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
FILL = np.round(np.multiply(IMAGENET_MEAN, 255)).astype(np.uint8)
ERASED_SHARE = 0.02, 0.33
ERASED_RATIO = 0.3, 3.3
ERASING_TRIES = 10
# MPII joints that change sides in a mirror: ankles, knees, hips, wrists, elbows, shoulders.
MIRRORED_JOINTS = (5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6, 12, 13)


class Draws(NamedTuple):
    """What is done to each of n images of (height, width)."""

    flip: npt.NDArray[np.bool_]  # (n,)
    shift: npt.NDArray[np.int64]  # (n, 2) rows down, columns right
    erased: npt.NDArray[np.int64]  # (n, 4) top, left, height, width; height 0: nothing

    def of(self, share: slice) -> Draws:
        """Those of some images."""
        return Draws(self.flip[share], self.shift[share], self.erased[share])


def draw(rng: np.random.Generator, n: int, size: tuple[int, int], config: TrainingConfig) -> Draws:
    """The augmentation of `n` images of `size` (height, width)."""
    flip = rng.random(n) < config.flip
    shift = rng.integers(-config.crop_padding, config.crop_padding + 1, (n, 2))
    erased = _rectangles(rng, n, size)
    erased[rng.random(n) >= config.erasing] = 0
    return Draws(flip, shift, erased)


def _rectangles(rng: np.random.Generator, n: int, size: tuple[int, int]) -> npt.NDArray[np.int64]:
    """The first try of ten that fits inside each image; height 0 where none does."""
    tries = (n, ERASING_TRIES)
    area = rng.uniform(*ERASED_SHARE, tries) * size[0] * size[1]
    low, high = np.log(ERASED_RATIO)
    ratio = np.exp(rng.uniform(low, high, tries))
    sides = np.stack([np.sqrt(area * ratio), np.sqrt(area / ratio)], axis=2)
    sides = np.round(sides).astype(np.int64)
    fits = np.all((sides > 0) & (sides < np.array(size)), axis=2)
    first = np.take_along_axis(sides, fits.argmax(axis=1)[:, None, None], axis=1)[:, 0]
    first[~fits.any(axis=1)] = 0
    corner = np.floor(rng.random((n, 2)) * (np.array(size) - first + 1)).astype(np.int64)
    return np.concatenate([corner, first], axis=1)


def augmented(images: Sequence[UInt8Array], draws: Draws) -> UInt8Array:
    """The (n, height, width, 3) batch of `images` (height, width, 3); black comes in from outside.

    The images themselves stay as they are.
    """
    height, width, _ = images[0].shape
    batch = np.zeros((len(images), height, width, 3), np.uint8)
    for out, image, flip, shift, erased in zip(batch, images, *draws, strict=True):
        source = mirrored(image) if flip else image
        (to_y, from_y), (to_x, from_x) = _overlap(shift[0], height), _overlap(shift[1], width)
        out[to_y, to_x] = source[from_y, from_x]
        top, left, tall, wide = erased
        out[top : top + tall, left : left + wide] = FILL
    return batch


def _overlap(shift: int, length: int) -> tuple[slice, slice]:
    """Where the pixels of an axis go to, and where they come from, when moved by `shift`."""
    kept = max(0, length - abs(shift))
    to, source = max(0, shift), max(0, -shift)
    return slice(to, to + kept), slice(source, source + kept)


def mirrored(image: UInt8Array) -> UInt8Array:
    """`image` (height, width, 3) with left and right exchanged.

    By torch, which moves whole pixels with vector instructions where numpy goes byte by byte.
    """
    flipped: UInt8Array = torch.from_numpy(image).permute(2, 0, 1)[None].flip(3)[0].numpy()
    return flipped.transpose(1, 2, 0)


def mirrored_places(places: FloatArray) -> FloatArray:
    """Boxes (..., D, 4) of x0, y0, x1, y1 or keypoints (..., 14, 3) of the mirrored image."""
    if places.shape[-1] == 4:
        flipped = places[..., [2, 1, 0, 3]]
        flipped[..., [0, 2]] = 1 - flipped[..., [0, 2]]
    else:
        flipped = places[..., list(MIRRORED_JOINTS), :]
        flipped[..., 0] = 1 - flipped[..., 0]
    return flipped


def moved_places(places: FloatArray, draws: Draws, size: tuple[int, int]) -> FloatArray:
    """`places` (n, ..., 4 or 3), in shares of an image of `size`, after the augmentation.

    Boxes are cut at the image's edge; a keypoint may leave the image and keeps its confidence.
    """
    moved = np.where(draws.flip[:, None, None], mirrored_places(places), places)
    down, right = np.moveaxis((draws.shift / np.array(size)).astype(np.float32), 1, 0)
    is_box = places.shape[-1] == 4
    for x, y in ((0, 1), (2, 3)) if is_box else ((0, 1),):
        moved[..., x] += right[:, None]
        moved[..., y] += down[:, None]
    return moved.clip(0, 1) if is_box else moved
