"""Batches on the device: decoded, augmented and uploaded ahead of the network, in a thread.

What a batch holds depends on the seed, the epoch and its number alone: not on threads, memory or
the number of devices. Images travel as uint8 and become normalised float32 on the device.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from reid_repro.config import TrainingConfig
from reid_repro.training.augment import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    FloatArray,
    augmented,
    draw,
    moved_places,
)
from reid_repro.training.pixels import Pixels

AHEAD = 3  # batches that wait ready

Positions = Sequence[int] | npt.NDArray[np.integer]
T = TypeVar("T")


class Batch(NamedTuple):
    """A device's share of a batch, and the classes of the whole one (empty at test time)."""

    images: Tensor  # (n, 3, height, width) float32, normalised, channels last
    places: Tensor | None  # (n, D, 4) boxes or (n, 14, 3) keypoints
    labels: Tensor  # (whole batch,)


class Batches:
    """Makes batches of `pixels`, with `labels` and `places` (row-aligned) where there are any.

    This process is number `rank` of `world`: of each batch it makes its own share, and draws the
    augmentation for all. On a CPU the next batch's images overwrite the last one's.
    """

    def __init__(
        self,
        pixels: Pixels,
        *,
        device: torch.device,
        labels: npt.NDArray[np.int64] | None = None,
        places: FloatArray | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self._pixels, self._device = pixels, device
        self._labels, self._places = labels, places
        self._rank, self._world = rank, world
        self._normalise = Normalise(pixels.size, device)

    def training(
        self, order: Iterable[Positions], config: TrainingConfig, *, seed: int, epoch: int
    ) -> Iterator[Batch]:
        """The augmented batches of an epoch; `order` gives the positions of each whole batch."""

        def make() -> Iterator[_Made]:
            for number, positions in enumerate(order):
                rng = np.random.default_rng((seed, epoch, number))
                yield self._made(np.asarray(positions), rng, config)

        return self._uploaded(make())

    def test(self, order: Iterable[Positions]) -> Iterator[Batch]:
        """Batches as they are."""
        return self._uploaded(self._made(np.asarray(positions)) for positions in order)

    def _made(
        self,
        positions: npt.NDArray[np.int64],
        rng: np.random.Generator | None = None,
        config: TrainingConfig | None = None,
    ) -> _Made:
        each = len(positions) // self._world
        share = slice(self._rank * each, (self._rank + 1) * each)
        own = positions[share]
        images = self._pixels.images(own)
        places = None if self._places is None else self._places[own]
        if rng is None or config is None:
            batch = np.stack(images)
        else:
            draws = draw(rng, len(positions), self._pixels.size, config).of(share)
            batch = augmented(images, draws)
            if places is not None:
                places = moved_places(places, draws, self._pixels.size)
        labels = np.empty(0, np.int64) if self._labels is None else self._labels[positions]
        return _Made(
            self._pinned(batch), None if places is None else self._pinned(places),
            self._pinned(labels),
        )  # fmt: skip

    def _pinned(self, array: npt.NDArray[np.generic]) -> Tensor:
        """A tensor that a GPU can fetch while it computes."""
        tensor = torch.from_numpy(array)
        return tensor.pin_memory() if self._device.type == "cuda" else tensor

    def _uploaded(self, made: Iterator[_Made]) -> Iterator[Batch]:
        # With decoded images and the network on the same cores there is nothing to wait for: a
        # thread would only make the network wait for the interpreter's lock.
        waits = self._device.type == "cuda" or not self._pixels.complete
        for pixels, places, labels in prefetched(made) if waits else made:
            yield Batch(
                self._normalise(pixels.to(self._device, non_blocking=True)),
                None if places is None else places.to(self._device, non_blocking=True),
                labels.to(self._device, non_blocking=True),
            )


class _Made(NamedTuple):
    """A batch still in the machine's memory."""

    pixels: Tensor
    places: Tensor | None
    labels: Tensor


class Normalise:
    """(n, height, width, 3) uint8 to (n, 3, height, width) float32 of ImageNet's mean and scale.

    On a CPU every batch is written to the same memory: new pages for each would cost several times
    the arithmetic.
    """

    def __init__(self, size: tuple[int, int], device: torch.device) -> None:
        mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
        # As large as an image: in step with its memory, three numbers over and over are slower.
        self._scale = (1 / (255 * std)).expand(*size, 3).contiguous().to(device)
        self._offset = (-mean / std).expand(*size, 3).contiguous().to(device)
        self._memory = torch.empty(0, *size, 3)

    def __call__(self, pixels: Tensor) -> Tensor:
        """The images, in memory still channels last."""
        if pixels.device.type == "cpu":
            if len(self._memory) < len(pixels):
                self._memory = torch.empty(pixels.shape)
            images = self._memory[: len(pixels)].copy_(pixels)
        else:
            images = pixels.float()
        torch.addcmul(self._offset, images, self._scale, out=images)
        return images.permute(0, 3, 1, 2)


def prefetched(items: Iterator[T], ahead: int = AHEAD) -> Iterator[T]:
    """The same items, made by a thread that is up to `ahead` of them in front.

    Its errors come out here, in their place; closing the iterator ends the thread.
    """
    ready: queue.Queue[T | _End] = queue.Queue(maxsize=ahead)
    stop = threading.Event()

    def put(item: T | _End) -> bool:
        while not stop.is_set():
            try:
                ready.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        # A team of threads beside the network's own would only be in its way.
        torch.set_num_threads(1)
        try:
            for item in items:
                if not put(item):
                    return
        except BaseException as error:  # carried over to the reader, whatever it is
            put(_End(error))
        else:
            put(_End(None))

    thread = threading.Thread(target=work, name="batches", daemon=True)
    thread.start()
    try:
        while not isinstance(item := ready.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stop.set()
        thread.join()


class _End(NamedTuple):
    """The last item: why there are no more."""

    error: BaseException | None
