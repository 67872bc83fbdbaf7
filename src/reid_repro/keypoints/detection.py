"""Multi-scale detection of the joints of every image of a dataset, batch by batch.

Each image is read at every scale of the settings, and the reading whose least confident joint is
the most confident is kept: people of re-ID crops stand taller in their images than those that the
released network was trained on. A batch that is done is kept on disk, so that a killed detection
loses one at most.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from reid_repro.datasets.images import Images
from reid_repro.detectors import KeypointsDetector
from reid_repro.devices import best_precision
from reid_repro.finished import FinishedBatches
from reid_repro.keypoints.decoding import decode, surest
from reid_repro.keypoints.joints import JOINTS, frame_of
from reid_repro.keypoints.network import PoseNetwork, scaled, shown
from reid_repro.progress import add_task, progress
from reid_repro.training.pixels import Pixels, spare_threads

AHEAD = 2  # batches that are decoded while one is computed
AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
# The code that decides what is detected, for the key of `FinishedBatches`.
CODE = (
    *(f"keypoints/{name}.py" for name in ("decoding", "detection", "network", "slim")),
    "datasets/images.py",
    "models/layers/resnet.py",
    "training/pixels.py",
)


def detect(
    name: str,
    network: PoseNetwork,
    store: Images,
    settings: KeypointsDetector,
    *,
    finished: FinishedBatches | None = None,
    threads: int = 0,
    device: torch.device | None = None,
) -> pd.DataFrame:
    """The joints of all images of `store`: image, joint, x, y (shares of the image), confidence.

    Sorted by image and joint, 14 rows an image. `threads` decode (0: the cores that the network
    leaves); `device` computes (None: a GPU where there is one), in the training's precision.
    `finished` keeps what is done; it is the caller's to clear once the answer is written. Raises
    UserError for an image that cannot be read.
    """
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = network.to(device).to(memory_format=torch.channels_last).eval()
    dtype = autocast_type(settings)
    images, step = len(store), settings.detection.batch_size
    found = np.empty((images, JOINTS, 3), np.float32)
    starts = [
        start
        for start in range(0, images, step)
        if not _filled(found[start : start + step], start, finished)
    ]
    size = settings.height, settings.image_width
    rows = np.arange(images)
    pixels = Pixels(store, rows, size=size, threads=threads or spare_threads(), keep=False)
    with progress() as display:
        task = add_task(display, name, images)
        display.update(task, completed=images - sum(min(step, images - s) for s in starts))
        for start, batch in _ahead(pixels, starts, step, images):
            answer = read(network, batch.to(device), settings, dtype).cpu().numpy()
            found[start : start + step] = answer
            if finished is not None:
                finished.save(start, answer)
            display.advance(task, len(answer))
    return frame_of(found, np.arange(images))


@torch.inference_mode()
def read(
    network: PoseNetwork,
    pixels: Tensor,
    settings: KeypointsDetector,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """The joints of images (n, height, width, 3) uint8: (n, 14, 3), x, y, confidence.

    The surest of the readings at all scales of the settings, image by image; `dtype` is that of
    autocast, None for none.
    """
    readings: list[Tensor] = []
    for scale in settings.detection.scales:
        size = scaled(settings, scale)
        images = shown(pixels, size)
        with torch.autocast(pixels.device.type, dtype, enabled=dtype is not None):
            maps = network(images)
        readings.append(decode(maps, size, locref_scale=settings.locref_scale))
    return surest(readings)


def autocast_type(settings: KeypointsDetector) -> torch.dtype | None:
    """What the network multiplies in, by the precision of the training; None for float32."""
    precision = settings.training.precision
    return AUTOCAST.get(best_precision() if precision == "auto" else precision)


def _filled(place: npt.NDArray[np.float32], start: int, finished: FinishedBatches | None) -> bool:
    """Fill in what was found before; whether there was something."""
    kept = finished.load(start, place.shape) if finished is not None else None
    if kept is not None:
        place[...] = kept
    return kept is not None


def _ahead(
    pixels: Pixels, starts: Sequence[int], step: int, images: int
) -> Iterator[tuple[int, Tensor]]:
    """The batches at `starts` in order, (n, h, w, 3) uint8, `AHEAD` of them in the making."""

    def batch(start: int) -> Tensor:
        return torch.from_numpy(
            np.stack(pixels.images(np.arange(start, min(start + step, images))))
        )

    with ThreadPoolExecutor(1, "batch") as pool:
        coming: deque[tuple[int, Future[Tensor]]] = deque()
        for start in starts:
            coming.append((start, pool.submit(batch, start)))
            if len(coming) > AHEAD:
                first, ready = coming.popleft()
                yield first, ready.result()
        for first, ready in coming:
            yield first, ready.result()
