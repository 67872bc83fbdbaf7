"""Images as uint8 arrays at the network's size, decoded once where memory allows.

Decoding and resizing run in threads: Pillow works without the interpreter's lock. Resizing is
Pillow's bilinear filter, whose support grows with the shrinking (anti-aliased). What is kept
changes no pixel, only the time.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import psutil
import torch
from PIL import Image

from reid_repro.datasets.images import Images

UInt8Array = npt.NDArray[np.uint8]
IntArray = npt.NDArray[np.int64]

# Decoded images are kept if all of them fit into this many bytes, and into this share of the
# memory that is free when the training starts.
CACHE_BYTES = 8 * 1024**3
CACHE_SHARE = 0.25
MOST_THREADS = 16


def decoding_threads(workers: int, *, processes: int = 1) -> int:
    """`workers`, or where it is 0 the cores of each of this machine's `processes`, 16 at most."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return workers or max(1, min(MOST_THREADS, (cores or 1) // processes))


def spare_threads() -> int:
    """Threads that decode beside a network: the cores that it leaves, at least one."""
    used = 0 if torch.cuda.is_available() else torch.get_num_threads()
    return max(1, decoding_threads(0) - used)


class Pixels:
    """The images `rows` of a store, by position: each (height, width, 3) uint8 RGB.

    `threads` decode; `processes` of this machine share the memory for what is kept, and `keep`
    False (every image is asked for once) keeps nothing. Not for several threads at once.
    """

    def __init__(
        self,
        store: Images,
        rows: npt.NDArray[np.integer],
        *,
        size: tuple[int, int],
        threads: int = 1,
        keep: bool = True,
        processes: int = 1,
    ) -> None:
        self.size = size
        self._store, self._rows = store, rows
        self._pool = ThreadPoolExecutor(threads, "decode") if threads > 1 else None
        needed = len(rows) * size[0] * size[1] * 3
        free = min(CACHE_BYTES, CACHE_SHARE * psutil.virtual_memory().available) / processes
        self._kept: UInt8Array | None = None
        if keep and needed <= free:
            self._kept = np.empty((len(rows), *size, 3), np.uint8)
        self._decoded = np.zeros(len(rows), bool)

    @property
    def keeps(self) -> bool:
        """Whether each image is decoded only once."""
        return self._kept is not None

    @property
    def complete(self) -> bool:
        """Whether every image has been decoded and kept."""
        return self.keeps and bool(self._decoded.all())

    def images(self, positions: IntArray) -> list[UInt8Array]:
        """The images at `positions`, not to be written to. Raises UserError for a damaged one."""
        if self._kept is None:
            return self._decode(positions)
        missing = np.unique(positions[~self._decoded[positions]])
        for position, image in zip(missing, self._decode(missing), strict=True):
            self._kept[position] = image
        self._decoded[missing] = True
        return [self._kept[position] for position in positions]

    def _decode(self, positions: IntArray) -> list[UInt8Array]:
        over = self._pool.map if self._pool is not None and len(positions) > 1 else map
        return list(over(self._image, positions))

    def _image(self, position: int) -> UInt8Array:
        pixels: UInt8Array = self._store[int(self._rows[position])]
        height, width = self.size
        if pixels.shape[:2] == self.size:
            return pixels.copy()  # Pillow's memory is read-only, which torch does not take
        resized = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
        return np.array(resized)
