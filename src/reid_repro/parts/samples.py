"""Training batches of the part detector: what batch number i holds follows from i alone.

Images are shuffled anew each round over the data; each is mirrored, zoomed and recoloured by draws
of its own. Geometry is done on uint8 by Pillow, colours on the device, with the normalisation.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from reid_repro.datasets.images import ImageStore
from reid_repro.datasets.places import BOX
from reid_repro.detectors import DetectorTraining
from reid_repro.parts.targets import Truth
from reid_repro.training.augment import FILL, FloatArray, mirrored, mirrored_places
from reid_repro.training.pixels import Pixels, UInt8Array, decoding_threads

# A part keeps its box if its centre and this share of it stay in sight when the image is zoomed.
VISIBLE = 0.5
BRIGHTNESS = 24.0  # added to all pixels, up or down, out of 255
CONTRAST = 0.2  # each channel is multiplied by 1 plus or minus this much


class Sample(NamedTuple):
    """A batch in the machine's memory."""

    pixels: Tensor  # (n, size, size, 3) uint8
    gain: Tensor  # (n, 3)
    shift: Tensor  # (n, 3), in units of 0..255
    truth: Truth

    def to(self, device: torch.device) -> Sample:
        """The same on `device`."""
        truth = Truth(*(each.to(device) for each in self.truth))
        return Sample(self.pixels.to(device), self.gain.to(device), self.shift.to(device), truth)


class Samples:
    """Batches of the images `rows` of a store with their annotations.

    `annotations` has one row a box: image (row of the store), label, x0, y0, x1, y1 in 0..1.
    """

    def __init__(
        self,
        store: ImageStore,
        annotations: pd.DataFrame,
        rows: npt.NDArray[np.integer],
        classes: tuple[str, ...],
        size: int,
        settings: DetectorTraining,
    ) -> None:
        self._pixels = Pixels(store, rows, size=(size, size), threads=decoding_threads(0))
        self._boxes, self._labels = _grouped(annotations, rows, classes)
        self._settings = settings
        self._orders: dict[int, npt.NDArray[np.int64]] = {}

    def __call__(self, number: int) -> Sample:
        """The batch of iteration `number`, from 0."""
        settings = self._settings
        rng = np.random.default_rng((settings.seed, 1, number))
        places = self._places(number)
        n = len(places)
        flip = rng.random(n) < settings.flip
        windows = _windows(rng, n, settings.zoom)
        colour = settings.colour
        gain = 1 + colour * rng.uniform(-CONTRAST, CONTRAST, (n, 3))
        shift = colour * rng.uniform(-BRIGHTNESS, BRIGHTNESS, (n, 1)) + 128 * (1 - gain)
        images, boxes, labels = [], [], []
        for image, place, mirror, window in zip(
            self._pixels.images(places), places, flip, windows, strict=True
        ):
            own, names = self._boxes[place], self._labels[place]
            if mirror:
                image, own = mirrored(image), mirrored_places(own)
            if settings.zoom:
                image = seen_through(image, window)
                own, names = moved(own, names, window)
            images.append(image)
            boxes.append(own)
            labels.append(names)
        return Sample(
            torch.from_numpy(np.stack(images)),
            torch.from_numpy(gain.astype(np.float32)),
            torch.from_numpy(shift.astype(np.float32)),
            padded(boxes, labels),
        )

    def _places(self, number: int) -> npt.NDArray[np.int64]:
        """The positions of a batch: rounds over the data follow each other without a gap."""
        size, total = self._settings.batch_size, len(self._boxes)
        turns, places = divmod(np.arange(number * size, (number + 1) * size), total)
        return np.array(
            [self._order(int(turn))[place] for turn, place in zip(turns, places, strict=True)]
        )

    def _order(self, turn: int) -> npt.NDArray[np.int64]:
        if turn not in self._orders:
            rng = np.random.default_rng((self._settings.seed, 0, turn))
            recent = {key: order for key, order in self._orders.items() if key >= turn - 1}
            self._orders = recent | {turn: rng.permutation(len(self._boxes))}
        return self._orders[turn]


def _grouped(
    annotations: pd.DataFrame, rows: npt.NDArray[np.integer], classes: tuple[str, ...]
) -> tuple[list[FloatArray], list[npt.NDArray[np.int64]]]:
    """Boxes (k, 4) and labels (k,) from 1 of each of the `rows`."""
    label = annotations["label"].map({name: 1 + n for n, name in enumerate(classes)})
    image = annotations["image"].to_numpy()
    order = np.argsort(image, kind="stable")
    boxes = annotations[BOX].to_numpy(np.float32)[order]
    labels = label.to_numpy(np.int64)[order]
    first = np.searchsorted(image[order], rows, "left")
    last = np.searchsorted(image[order], rows, "right")
    spans = list(zip(first, last, strict=True))
    return [boxes[a:b] for a, b in spans], [labels[a:b] for a, b in spans]


def _windows(rng: np.random.Generator, n: int, zoom: float) -> FloatArray:
    """(n, 4) squares of the image that are looked at, sides from 1 / (1 + zoom) to 1 + zoom.

    A smaller one lies inside the image, a larger one around it.
    """
    side = np.exp(rng.uniform(-1, 1, (n, 1)) * np.log1p(zoom))
    corner = rng.random((n, 2)) * (1 - side)
    return np.concatenate([corner, corner + side], axis=1).astype(np.float32)


def seen_through(image: UInt8Array, window: FloatArray) -> UInt8Array:
    """What of a (s, s, 3) image a window shows, at the image's size; the mean colour around it."""
    size = image.shape[0]
    x0, y0, x1, _ = (window * size).tolist()
    side = x1 - x0
    if side <= size:
        box = tuple(max(0.0, min(size, value)) for value in (x0, y0, x0 + side, y0 + side))
        source = Image.fromarray(image)
        return np.array(source.resize((size, size), Image.Resampling.BILINEAR, box=box))
    scale = size / side
    small = max(1, round(size * scale))
    resized = Image.fromarray(image).resize((small, small), Image.Resampling.BILINEAR)
    canvas = np.empty_like(image)
    canvas[:] = FILL
    left, top = (min(size - small, max(0, round(-at * scale))) for at in (x0, y0))
    canvas[top : top + small, left : left + small] = np.asarray(resized)
    return canvas


def moved(
    boxes: FloatArray, labels: npt.NDArray[np.int64], window: FloatArray
) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Boxes (k, 4) and labels of what a window shows, in shares of it, cut at its edge.

    A part whose centre, or most of which, is out of sight is left out.
    """
    corner, side = np.tile(window[:2], 2), window[2] - window[0]
    there = (boxes - corner) / side
    cut = there.clip(0, 1)
    centre = (there[:, :2] + there[:, 2:]) / 2
    shown = np.prod(cut[:, 2:] - cut[:, :2], axis=1)
    seen = shown >= VISIBLE * np.prod(there[:, 2:] - there[:, :2], axis=1)
    seen &= ((centre > 0) & (centre < 1)).all(axis=1)
    return cut[seen].astype(np.float32), labels[seen]


def padded(boxes: list[FloatArray], labels: list[npt.NDArray[np.int64]]) -> Truth:
    """The parts of the images of a batch as tensors, rows of label 0 where there are fewer."""
    most = max(map(len, boxes), default=0)
    corners = np.zeros((len(boxes), most, 4), np.float32)
    names = np.zeros((len(boxes), most), np.int64)
    for number, (own, label) in enumerate(zip(boxes, labels, strict=True)):
        corners[number, : len(own)] = own
        names[number, : len(own)] = label
    return Truth(torch.from_numpy(corners), torch.from_numpy(names))
