"""Training and test images as tensors: decoded, resized, augmented, normalised."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import v2

from reid_repro.config import TrainingConfig
from reid_repro.datasets.images import ImageStore

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Decoded images are kept while they fit into this many bytes: then an epoch decodes nothing.
# Only where the loader has no workers: theirs live for one epoch.
CACHE_BYTES = 2 * 1024**3


class ImageTensors(Dataset[tuple[Tensor, int]]):
    """(image (3, h, w) float32, label) by position.

    `rows` are row numbers of the store, `labels` classes (or row numbers at test time).
    """

    def __init__(
        self,
        store: ImageStore,
        rows: np.ndarray,
        labels: np.ndarray,
        *,
        size: tuple[int, int],
        transform: v2.Transform,
        keep: bool = False,
    ) -> None:
        self._store, self._rows, self._labels = store, rows, labels
        self._size, self._transform = size, transform
        self._cache: dict[int, Tensor] | None = None
        if keep and len(rows) * size[0] * size[1] * 3 <= CACHE_BYTES:
            self._cache = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        return self._transform(self._pixels(position)), int(self._labels[position])

    def _pixels(self, position: int) -> Tensor:
        """The (3, h, w) uint8 image at the network's size."""
        if self._cache is not None and position in self._cache:
            return self._cache[position]
        pixels = torch.from_numpy(self._store[int(self._rows[position])].copy()).permute(2, 0, 1)
        if pixels.shape[1:] != self._size:
            pixels = v2.functional.resize(pixels, list(self._size), antialias=True)
        if self._cache is not None:
            self._cache[position] = pixels
        return pixels


def training_transform(config: TrainingConfig) -> v2.Transform:
    """Mirror, shifted crop and random erasing filled with the mean (zero once normalised)."""
    size = (config.height, config.width)
    return v2.Compose(
        [
            v2.RandomHorizontalFlip(config.flip),
            v2.RandomCrop(size, padding=config.crop_padding),
            *_normalise(),
            v2.RandomErasing(config.erasing, scale=(0.02, 0.33), ratio=(0.3, 3.3), value=0),
        ]
    )


def test_transform() -> v2.Transform:
    """Normalised, nothing else."""
    return v2.Compose(_normalise())


def _normalise() -> list[v2.Transform]:
    return [v2.ToDtype(torch.float32, scale=True), v2.Normalize(IMAGENET_MEAN, IMAGENET_STD)]
